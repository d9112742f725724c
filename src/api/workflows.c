/* SPDX-License-Identifier: Apache-2.0 */
/* Workflows. The names are the Go version's; what a workflow of more than 1,000 tasks does not show at once is in pages of its own. */
#include "api/request.h"

#include <stdio.h>

#include "client/workflow.h"
#include "flow/flow.h"
#include "model/job_json.h"

#define TASKS_MAX 1000 /* in one answer */

/* ---- writing ---- */

static void put_time(dq_json_writer *w, const char *name, int64_t at_ms)
{
    if (!at_ms)
        return;
    dq_json_key(w, name);
    dq_json_put_rfc3339(w, at_ms);
}

static void put_count(dq_json_writer *w, const char *name, int64_t n)
{
    dq_json_key(w, name);
    dq_json_put_i64(w, n);
}

static const char *status_of(const dureq_workflow_task *t)
{
    if (t->state == DUREQ_WORKFLOW_TASK_RELEASED && t->job_state >= 0)
        return dureq_job_state_to_str((dureq_job_state)t->job_state);
    return dureq_workflow_task_state_to_str(t->state);
}

static void put_task(dq_json_writer *w, const dureq_workflow_task *t)
{
    bool is_skipped = t->state == DUREQ_WORKFLOW_TASK_SKIPPED;

    dq_json_begin_object(w);
    dq_json_key(w, "name");
    dq_json_put_str(w, t->name);
    dq_json_key(w, "status");
    dq_json_put_text(w, status_of(t));
    dq_json_key(w, "task_type");
    dq_json_put_str(w, t->task_type);
    dq_json_key(w, "queue");
    dq_json_put_str(w, t->queue);
    if (*t->job_id.text) {
        dq_json_key(w, "job_id");
        dq_json_put_text(w, t->job_id.text);
    }
    put_time(w, "released_at", t->released_at_ms);
    put_time(w, "finished_at", t->ended_at_ms);
    if (is_skipped) {
        dq_json_key(w, "skipped");
        dq_json_put_bool(w, true);
    }
    if (t->error.len) {
        dq_json_key(w, is_skipped ? "skip_reason" : "error");
        dq_json_put_str(w, t->error);
    }
    dq_json_end_object(w);
}

static void put_head(dq_json_writer *w, const dureq_workflow *f)
{
    dq_json_key(w, "id");
    dq_json_put_text(w, f->id.text);
    dq_json_key(w, "workflow_name");
    dq_json_put_str(w, f->name);
    dq_json_key(w, "status");
    dq_json_put_text(w, dureq_workflow_status_to_str(f->status));
    if (f->failing && (f->status == DUREQ_WORKFLOW_RUNNING || f->status == DUREQ_WORKFLOW_SUSPENDED)) {
        dq_json_key(w, "failing");
        dq_json_put_bool(w, true);
    }
    put_count(w, "task_count", f->n_tasks);
    put_count(w, "released", f->n_active);
    put_count(w, "ended", f->n_ended);
    put_count(w, "failed", f->n_failed);
    put_count(w, "skipped", f->n_skipped);
    put_count(w, "unreached", f->n_unreached);
    put_count(w, "attempt", f->attempt);
    put_count(w, "max_attempts", f->max_attempts);
    if (f->max_running)
        put_count(w, "max_running", f->max_running);
    put_time(w, "deadline", f->deadline_ms);
    put_time(w, "created_at", f->created_at_ms);
    put_time(w, "completed_at", f->finished_at_ms);
}

/* ---- routes ---- */

static int list(dq_api_ctx *c, dureq_error *err)
{
    dureq_workflow_filter f = dureq_workflow_filter_init();
    dureq_workflow_status one;
    dureq_workflow_list *found;
    int64_t limit = 0;
    const char *status = dq_api_query(c, "status");
    int rc = dq_api_query_i64(c, "limit", 1, 1000, &limit, err);

    if (rc == 0 && status && dureq_workflow_status_parse(dureq_str_from(status), &one) < 0)
        rc = dq_fail(err, DUREQ_EINVAL,
                     "parameter 'status' takes running, suspended, completed, failed, cancelling or cancelled, not '%.40s'",
                     status);
    if (rc < 0)
        return rc;
    f.limit = (int32_t)limit;
    f.cursor = dq_api_query(c, "cursor");
    f.statuses = status ? &one : NULL;
    f.n_statuses = status ? 1 : 0;
    rc = dureq_client_list_workflows(c->client, &f, &found, err);
    if (rc < 0)
        return rc;
    dq_json_begin_object(&c->w);
    dq_json_key(&c->w, "data");
    dq_json_begin_array(&c->w);
    for (size_t i = 0; i < found->n; i++) {
        dq_json_begin_object(&c->w);
        put_head(&c->w, &found->items[i]);
        dq_json_end_object(&c->w);
    }
    dq_json_end_array(&c->w);
    if (*found->next_cursor) {
        dq_json_key(&c->w, "next_cursor");
        dq_json_put_text(&c->w, found->next_cursor);
    }
    dq_json_end_object(&c->w);
    dureq_workflow_list_destroy(found);
    return 0;
}

static void put_whole(dq_json_writer *w, const dureq_workflow *f)
{
    dq_json_begin_object(w);
    put_head(w, f);
    if (f->reason.len) {
        dq_json_key(w, "reason");
        dq_json_put_str(w, f->reason);
    }
    if (f->input.len) {
        dq_json_key(w, "input");
        dq_json_put_checked(w, f->input);
    }
    if (f->n_tasks > f->n) {
        dq_json_key(w, "truncated");
        dq_json_put_bool(w, true);
    }
    dq_json_key(w, "tasks");
    dq_json_begin_object(w);
    for (size_t i = 0; i < f->n; i++) {
        dq_json_key_str(w, f->tasks[i].name);
        put_task(w, &f->tasks[i]);
    }
    dq_json_end_object(w);
    dq_json_end_object(w);
}

static int get(dq_api_ctx *c, dureq_error *err)
{
    const char *wait = dq_api_query(c, "wait");
    int64_t wait_ms = 0;
    dureq_workflow *f;
    int rc;

    if (wait && (dq_parse_duration_ms(dureq_str_from(wait), &wait_ms) < 0 || wait_ms < 0))
        return dq_fail(err, DUREQ_EINVAL, "parameter 'wait' takes a duration such as 30s");
    if (wait && c->req->waited && c->req->waited->err.code < 0) {
        *err = c->req->waited->err;
        return err->code;
    }
    if (wait && !c->req->waited)
        rc = dureq_client_wait_workflow(c->client, c->vars[0], wait_ms, &f, err);
    else
        rc = dureq_client_get_workflow(c->client, c->vars[0], 0, TASKS_MAX, &f, err);
    if (rc < 0)
        return rc;
    put_whole(&c->w, f);
    dureq_workflow_destroy(f);
    return 0;
}

static int list_tasks(dq_api_ctx *c, dureq_error *err)
{
    int64_t offset = 0, limit = 100;
    dureq_workflow *f;
    int rc = dq_api_query_i64(c, "offset", 0, DQ_FLOW_TASKS_MAX, &offset, err);

    if (rc == 0)
        rc = dq_api_query_i64(c, "limit", 1, TASKS_MAX, &limit, err);
    if (rc == 0)
        rc = dureq_client_get_workflow(c->client, c->vars[0], (uint32_t)offset, (uint32_t)limit, &f, err);
    if (rc < 0)
        return rc;
    dq_json_begin_object(&c->w);
    dq_json_key(&c->w, "data");
    dq_json_begin_array(&c->w);
    for (size_t i = 0; i < f->n; i++)
        put_task(&c->w, &f->tasks[i]);
    dq_json_end_array(&c->w);
    put_count(&c->w, "total", f->n_tasks);
    dq_json_end_object(&c->w);
    dureq_workflow_destroy(f);
    return 0;
}

/* Length of the longest way to each task. Tasks are looked at in the order in which they have no edge left. */
static void find_layers(const dureq_workflow *f, uint32_t *layer, uint32_t *left, uint32_t *order)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < f->n; i++) {
        left[i] = f->tasks[i].n_depends_on;
        if (!left[i])
            order[n++] = i;
    }
    for (uint32_t at = 0; at < n; at++) {
        const dureq_workflow_task *t = &f->tasks[order[at]];

        for (size_t k = 0; k < t->n_dependents; k++) {
            uint32_t to = t->dependents[k];

            if (to >= f->n || !left[to])
                continue;
            layer[to] = DQ_MAX(layer[to], layer[order[at]] + 1);
            if (--left[to] == 0)
                order[n++] = to;
        }
    }
}

static void put_graph(dq_json_writer *w, const dureq_workflow *f, const uint32_t *layer, uint32_t *places)
{
    dq_json_begin_object(w);
    put_head(w, f);
    dq_json_key(w, "nodes");
    dq_json_begin_array(w);
    for (size_t i = 0; i < f->n; i++) {
        dq_json_begin_object(w);
        dq_json_key(w, "name");
        dq_json_put_str(w, f->tasks[i].name);
        dq_json_key(w, "status");
        dq_json_put_text(w, status_of(&f->tasks[i]));
        put_count(w, "layer", layer[i]);
        put_count(w, "order", places[layer[i]]++);
        if (*f->tasks[i].job_id.text) {
            dq_json_key(w, "job_id");
            dq_json_put_text(w, f->tasks[i].job_id.text);
        }
        dq_json_end_object(w);
    }
    dq_json_end_array(w);
    dq_json_key(w, "edges"); /* [from, to], as indexes of nodes */
    dq_json_begin_array(w);
    for (size_t i = 0; i < f->n; i++)
        for (size_t k = 0; k < f->tasks[i].n_dependents; k++) {
            dq_json_begin_array(w);
            dq_json_put_i64(w, (int64_t)i);
            dq_json_put_i64(w, f->tasks[i].dependents[k]);
            dq_json_end_array(w);
        }
    dq_json_end_array(w);
    dq_json_end_object(w);
}

static int graph(dq_api_ctx *c, dureq_error *err)
{
    dureq_workflow *f;
    int rc = dureq_client_get_workflow(c->client, c->vars[0], 0, TASKS_MAX, &f, err);

    if (rc < 0)
        return rc;
    uint32_t *room = dq_arena_alloc(&c->arena, 4 * (f->n + 1) * sizeof *room);
    if (f->n_tasks > f->n || f->no_dependents)
        rc = dq_fail(err, DUREQ_ETOOLARGE,
                     "a graph takes at most %d tasks and about 40,000 edges, this workflow has %u tasks: "
                     "read /api/workflows/{id}/tasks",
                     TASKS_MAX, (unsigned)f->n_tasks);
    else if (!room)
        rc = dq_fail_nomem(err);
    if (rc == 0) {
        find_layers(f, room, room + f->n, room + 2 * f->n);
        put_graph(&c->w, f, room, room + 3 * f->n);
    }
    dureq_workflow_destroy(f);
    return rc;
}

static void put_faults(dq_api_ctx *c, const dq_flow_faults *faults)
{
    dq_json_writer *w = &c->w;

    dq_json_key(w, "details");
    dq_json_begin_array(w);
    for (size_t i = 0; i < faults->n; i++) {
        const dq_flow_fault *f = &faults->items[i];

        dq_json_begin_object(w);
        dq_json_key(w, "path");
        dq_json_put_text(w, f->path);
        put_count(w, "line", f->line);
        put_count(w, "column", f->column);
        dq_json_key(w, "error");
        dq_json_put_text(w, f->text);
        dq_json_end_object(w);
    }
    dq_json_end_array(w);
    put_count(w, "more", (int64_t)faults->n_more);
}

/* All faults at once: the error of the first, with all of them beside it. */
static void write_faulty(dq_api_ctx *c, const dq_flow_faults *faults, const dureq_error *why)
{
    c->res->status = dq_api_status_of(DUREQ_EINVAL);
    c->res->code = DUREQ_EINVAL;
    dq_json_begin_object(&c->w);
    dq_json_key(&c->w, "error");
    dq_json_put_text(&c->w, why->msg);
    dq_json_key(&c->w, "code");
    dq_json_put_text(&c->w, dq_api_code_word(DUREQ_EINVAL));
    put_faults(c, faults);
    dq_json_end_object(&c->w);
}

static int start(dq_api_ctx *c, dureq_error *err)
{
    dq_flow_faults faults = {0};
    dureq_job_id id;
    dq_json doc;
    int rc = dq_json_parse_frame(c->req->body, &doc, err);

    if (rc < 0)
        return rc == DUREQ_EPARSE ? DUREQ_EINVAL : rc;
    rc = dq_client_start_flow(c->client, &doc, 0, &id, &faults, err);
    if (rc == DUREQ_EINVAL && faults.n) {
        write_faulty(c, &faults, err);
        rc = 0;
    } else if (rc == 0) {
        c->res->status = 201;
        (void)snprintf(c->res->location, sizeof c->res->location, "/api/workflows/%s", id.text);
        (void)dq_api_reply_status(c, "running", "workflow_id", id.text);
    }
    dq_flow_faults_deinit(&faults);
    dq_json_deinit(&doc);
    return rc;
}

static int validate(dq_api_ctx *c, dureq_error *err)
{
    dq_flow_faults faults = {0};
    dq_flow flow = {0};
    dq_json doc;
    int rc = dq_json_parse_frame(c->req->body, &doc, err);

    if (rc < 0)
        return rc == DUREQ_EPARSE ? DUREQ_EINVAL : rc;
    rc = dq_flow_from_json(&doc, 0, DUREQ_PAYLOAD_LIMIT_MAX, &flow, &faults);
    if (rc == 0 || rc == DUREQ_EINVAL) {
        dq_json_begin_object(&c->w);
        dq_json_key(&c->w, "valid");
        dq_json_put_bool(&c->w, rc == 0);
        if (rc < 0)
            put_faults(c, &faults);
        dq_json_end_object(&c->w);
        rc = 0;
    } else {
        rc = dq_fail_nomem(err);
    }
    dq_flow_deinit(&flow);
    dq_flow_faults_deinit(&faults);
    dq_json_deinit(&doc);
    return rc;
}

static int cancel(dq_api_ctx *c, dureq_error *err)
{
    DQ_BUF_AUTO reason = {0};
    dq_json doc;
    dq_json_ref v;
    int rc = dq_api_body_object(c, &doc, err);

    if (rc < 0)
        return rc;
    rc = dq_api_body_names(&doc, "reason", err);
    v = dq_json_member(&doc, 0, "reason");
    if (rc == 0 && v != DQ_JSON_NONE && dq_json_type_of(&doc, v) != DQ_JSON_NULL && dq_json_string(&doc, v, &reason) < 0)
        rc = dq_fail(err, DUREQ_EINVAL, "field 'reason' takes a string");
    dq_json_deinit(&doc);
    if (rc == 0)
        rc = dq_buf_finish(&reason, err);
    if (rc == 0)
        rc = dureq_client_cancel_workflow(c->client, c->vars[0], reason.ptr, err);
    return rc < 0 ? rc : dq_api_reply_status(c, "cancelled", "workflow_id", c->vars[0]);
}

static int retry(dq_api_ctx *c, dureq_error *err)
{
    int rc = dureq_client_retry_workflow(c->client, c->vars[0], err);

    return rc < 0 ? rc : dq_api_reply_status(c, "retried", "workflow_id", c->vars[0]);
}

static int suspend(dq_api_ctx *c, dureq_error *err)
{
    int rc = dureq_client_suspend_workflow(c->client, c->vars[0], err);

    return rc < 0 ? rc : dq_api_reply_status(c, "suspended", "workflow_id", c->vars[0]);
}

static int resume(dq_api_ctx *c, dureq_error *err)
{
    int rc = dureq_client_resume_workflow(c->client, c->vars[0], err);

    return rc < 0 ? rc : dq_api_reply_status(c, "resumed", "workflow_id", c->vars[0]);
}

const dq_api_route dq_api_workflow_routes[] = {
    {"GET", "/api/workflows", list, "status limit cursor", .answer = "WorkflowPage",
     .text = "A page of workflows, the newest first."},
    {"POST", "/api/workflows", start, NULL, .creates = true, .body = "WorkflowIn", .answer = "WorkflowDone",
     .text = "Starts a workflow."},
    {"POST", "/api/workflows/validate", validate, NULL, .scope = DQ_API_SCOPE_OPEN, .body = "WorkflowIn",
     .answer = "WorkflowChecked", .text = "Says what is wrong with a definition."},
    {"GET", "/api/workflows/{id}", get, "wait", .waits = true, .shows_payload = true, .answer = "Workflow",
     .text = "One workflow with its tasks; with wait it waits for its end."},
    {"POST", "/api/workflows/{id}/cancel", cancel, NULL, .body = "WorkflowCancel", .answer = "WorkflowDone",
     .text = "Has no task of it start any more."},
    {"GET", "/api/workflows/{id}/graph", graph, NULL, .answer = "WorkflowGraph",
     .text = "What depends on what, with places to draw it."},
    {"POST", "/api/workflows/{id}/resume", resume, NULL, .answer = "WorkflowDone", .text = "Lets one that is suspended go on."},
    {"POST", "/api/workflows/{id}/retry", retry, NULL, .answer = "WorkflowDone",
     .text = "Runs one that failed or was cancelled again from where it failed."},
    {"POST", "/api/workflows/{id}/suspend", suspend, NULL, .answer = "WorkflowDone",
     .text = "Has no task of it start until it is resumed; what runs goes on."},
    {"GET", "/api/workflows/{id}/tasks", list_tasks, "offset limit", .shows_payload = true, .answer = "WorkflowTaskPage",
     .text = "A page of its tasks."},
    {NULL, NULL, NULL, NULL},
};
