/* SPDX-License-Identifier: Apache-2.0 */
/* Nodes and running jobs. */
#include "api/scope.h"
#include "model/job_json.h"

static int list_nodes(dq_api_ctx *c, dureq_error *err)
{
    dureq_node_list *list;
    int rc = dureq_client_list_nodes(c->client, &list, err);

    if (rc < 0)
        return rc;
    dq_json_begin_array(&c->w);
    for (size_t i = 0; i < list->n; i++)
        dq_node_info_to_json(&list->items[i], &c->w);
    dq_json_end_array(&c->w);
    dureq_node_list_destroy(list);
    return 0;
}

typedef void (*write_node_fn)(dq_api_ctx *c, const dureq_node_info *n);

static int with_node(dq_api_ctx *c, write_node_fn fn, dureq_error *err)
{
    dureq_node_list *list;
    int rc = dureq_client_list_nodes(c->client, &list, err);

    if (rc < 0)
        return rc;
    rc = dq_fail(err, DUREQ_ENOTFOUND, "no node '%s'", c->vars[0]);
    for (size_t i = 0; i < list->n; i++)
        if (dq_str_eq_text(list->items[i].node_id, c->vars[0])) {
            fn(c, &list->items[i]);
            rc = 0;
            break;
        }
    dureq_node_list_destroy(list);
    return rc;
}

static void write_node(dq_api_ctx *c, const dureq_node_info *n)
{
    dq_node_info_to_json(n, &c->w);
}

static void write_draining(dq_api_ctx *c, const dureq_node_info *n)
{
    dq_json_begin_object(&c->w);
    dq_json_key(&c->w, "node_id");
    dq_json_put_str(&c->w, n->node_id);
    dq_json_key(&c->w, "draining");
    dq_json_put_bool(&c->w, n->draining);
    dq_json_end_object(&c->w);
}

static int get_node(dq_api_ctx *c, dureq_error *err)
{
    return with_node(c, write_node, err);
}

static int get_drain(dq_api_ctx *c, dureq_error *err)
{
    return with_node(c, write_draining, err);
}

static int drain(dq_api_ctx *c, dureq_error *err)
{
    int rc = dureq_client_drain_node(c->client, c->vars[0], true, err);

    return rc < 0 ? rc : dq_api_reply_status(c, "draining", "node_id", c->vars[0]);
}

static int undrain(dq_api_ctx *c, dureq_error *err)
{
    int rc = dureq_client_drain_node(c->client, c->vars[0], false, err);

    return rc < 0 ? rc : dq_api_reply_status(c, "active", "node_id", c->vars[0]);
}

static void write_run(dq_api_ctx *c, const dureq_job *job)
{
    DQ_BUF_AUTO id = {0};

    dq_buf_append_fmt(&id, "%s.%d", job->id.text, (int)job->runs);
    dq_json_begin_object(&c->w);
    dq_json_key(&c->w, "id");
    dq_json_put_str(&c->w, dq_buf_str(&id));
    dq_json_key(&c->w, "job_id");
    dq_json_put_text(&c->w, job->id.text);
    dq_json_key(&c->w, "node_id");
    dq_json_put_str(&c->w, job->node_id);
    dq_json_key(&c->w, "task_type");
    dq_json_put_str(&c->w, job->task_type);
    dq_json_key(&c->w, "queue");
    dq_json_put_str(&c->w, job->queue);
    dq_json_key(&c->w, "status");
    dq_json_put_text(&c->w, "running");
    dq_json_key(&c->w, "attempt");
    dq_json_put_i64(&c->w, job->attempt + 1);
    if (job->started_at_ms) {
        dq_json_key(&c->w, "started_at");
        dq_json_put_rfc3339(&c->w, job->started_at_ms);
    }
    if (job->progress.len) {
        dq_json_key(&c->w, "progress");
        dq_json_put_checked(&c->w, job->progress);
    }
    dq_json_end_object(&c->w);
}

/* What runs now: as many as there are slots, in pages. */
static int list_runs(dq_api_ctx *c, dureq_error *err)
{
    static const dureq_job_state running[] = {DUREQ_JOB_RUNNING};
    dureq_job_filter f = dureq_job_filter_init();
    DQ_BUF_AUTO cursor = {0};

    f.states = running;
    f.n_states = 1;
    f.limit = 1000;
    dq_json_begin_array(&c->w);
    do {
        dureq_job_list *list;
        int rc = dq_api_list_jobs(c, &f, &list, err);

        if (rc < 0)
            return rc;
        for (size_t i = 0; i < list->n; i++)
            write_run(c, &list->items[i]);
        dq_buf_clear(&cursor);
        dq_buf_append_str(&cursor, list->next_cursor);
        dureq_job_list_destroy(list);
        rc = dq_buf_finish(&cursor, err);
        if (rc < 0)
            return rc;
        f.cursor = cursor.ptr;
    } while (cursor.len);
    dq_json_end_array(&c->w);
    return 0;
}

/* "<job>.<n>": the job, which the caller frees, and n. */
static int job_of_run(dq_api_ctx *c, dureq_job_list **ret, int64_t *ret_n, dureq_error *err)
{
    dureq_str id = dureq_str_from(c->vars[0]), job_id = dq_str_cut(&id, '.');
    const char *text;

    if (!id.ptr || dq_parse_i64(id, 1, INT32_MAX, ret_n) < 0)
        return dq_fail(err, DUREQ_EINVAL, "a run id is <job id>.<run>, not '%.64s'", c->vars[0]);
    text = dq_arena_dup(&c->arena, job_id);
    return text ? dureq_client_get_job(c->client, text, ret, err) : dq_fail_nomem(err);
}

static const dureq_attempt *find_attempt(const dureq_job *job, int64_t n)
{
    for (size_t i = 0; i < job->n_attempts; i++)
        if (job->attempts[i].attempt == n)
            return &job->attempts[i];
    return NULL;
}

static bool is_running(const dureq_job *job, int64_t n)
{
    return job->state == DUREQ_JOB_RUNNING && job->runs == n;
}

/* The running one, or a finished attempt of the job. */
static int get_run(dq_api_ctx *c, dureq_error *err)
{
    const dureq_attempt *attempt;
    dureq_job_list *list;
    const dureq_job *job;
    int64_t n;
    int rc = job_of_run(c, &list, &n, err);

    if (rc < 0)
        return rc;
    job = &list->items[0];
    attempt = find_attempt(job, n);
    if (is_running(job, n))
        write_run(c, job);
    else if (attempt)
        dq_api_write_attempt(c, job, attempt);
    else
        rc = dq_fail(err, DUREQ_ENOTFOUND, "no run '%s' is known", c->vars[0]);
    dureq_job_list_destroy(list);
    return rc;
}

static int requeue_run(dq_api_ctx *c, dureq_error *err)
{
    dureq_job_list *list;
    const dureq_job *job;
    int64_t n;
    int rc = job_of_run(c, &list, &n, err);

    if (rc < 0)
        return rc;
    job = &list->items[0];
    if (is_running(job, n))
        rc = dq_fail(err, DUREQ_ECONFLICT, "run '%s' has not ended", c->vars[0]);
    else if (n > job->runs)
        rc = dq_fail(err, DUREQ_ENOTFOUND, "no run '%s' is known", c->vars[0]);
    else
        rc = dureq_client_retry(c->client, job->id.text, /*force=*/true, err);
    dureq_job_list_destroy(list);
    return rc < 0 ? rc : dq_api_reply_status(c, "requeued", "run_id", c->vars[0]);
}

static void write_progress(dq_api_ctx *c, const dureq_job *job)
{
    DQ_BUF_AUTO id = {0};

    dq_buf_append_fmt(&id, "%s.%d", job->id.text, (int)job->runs);
    dq_json_begin_object(&c->w);
    dq_json_key(&c->w, "run_id");
    dq_json_put_str(&c->w, dq_buf_str(&id));
    dq_json_key(&c->w, "status");
    dq_json_put_text(&c->w, "running");
    if (job->progress.len) {
        dq_json_key(&c->w, "progress");
        dq_json_put_checked(&c->w, job->progress);
    }
    dq_json_end_object(&c->w);
}

static int get_run_progress(dq_api_ctx *c, dureq_error *err)
{
    dureq_job_list *list;
    int64_t n;
    int rc = job_of_run(c, &list, &n, err);

    if (rc < 0)
        return rc;
    if (is_running(&list->items[0], n))
        write_progress(c, &list->items[0]);
    else
        rc = dq_fail(err, DUREQ_ENOTFOUND, "run '%s' is not under way", c->vars[0]);
    dureq_job_list_destroy(list);
    return rc;
}

/* Of the run that is under way; none gives an empty list. */
static int get_job_progress(dq_api_ctx *c, dureq_error *err)
{
    dureq_job_list *list;
    int rc = dureq_client_get_job(c->client, c->vars[0], &list, err);

    if (rc < 0)
        return rc;
    dq_json_begin_array(&c->w);
    if (list->items[0].state == DUREQ_JOB_RUNNING)
        write_progress(c, &list->items[0]);
    dq_json_end_array(&c->w);
    dureq_job_list_destroy(list);
    return 0;
}

const dq_api_route dq_api_node_routes[] = {
    {"GET", "/api/jobs/{id}/progress", get_job_progress, NULL, .scope = DQ_API_SCOPE_JOB, .shows_payload = true,
     .answer = "Progresses", .text = "How far the run of a job is that is under way."},
    {"GET", "/api/runs/{id}/progress", get_run_progress, NULL, .scope = DQ_API_SCOPE_RUN, .shows_payload = true,
     .answer = "Progress", .text = "How far a run is that is under way."},
    {"GET", "/api/nodes", list_nodes, NULL, .scope = DQ_API_SCOPE_OPEN, .answer = "Nodes", .text = "The nodes that are alive."},
    {"GET", "/api/nodes/{id}", get_node, NULL, .scope = DQ_API_SCOPE_OPEN, .answer = "Node", .text = "One node."},
    {"DELETE", "/api/nodes/{id}/drain", undrain, NULL, .answer = "NodeDone", .text = "Lets a node take jobs again."},
    {"GET", "/api/nodes/{id}/drain", get_drain, NULL, .scope = DQ_API_SCOPE_OPEN, .answer = "Drain",
     .text = "Whether a node takes no more jobs."},
    {"POST", "/api/nodes/{id}/drain", drain, NULL, .answer = "NodeDone", .text = "Has a node take no more jobs."},
    {"GET", "/api/runs", list_runs, NULL, .scope = DQ_API_SCOPE_OWN, .shows_payload = true, .answer = "Runs",
     .text = "What runs now."},
    {"GET", "/api/runs/{id}", get_run, NULL, .scope = DQ_API_SCOPE_RUN, .shows_payload = true, .answer = "Run",
     .text = "One run that is under way, or kept."},
    {"POST", "/api/runs/{id}/requeue", requeue_run, NULL, .scope = DQ_API_SCOPE_RUN, .answer = "RunDone",
     .text = "Starts the job of an ended run again."},
    {NULL, NULL, NULL, NULL},
};
