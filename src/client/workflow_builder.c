/* SPDX-License-Identifier: Apache-2.0 */
/* A workflow's definition put together call by call. Each task is written as JSON when it is added; what depends on what is kept aside until the start,
   and then all of it is read and checked as any definition is. Faults that only the builder can see (a task that is not there) are told with those. Plain
   memory. */

#include <dureq/build.h>

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/arena.h"
#include "base/map.h"
#include "client/client_internal.h"
#include "client/job_fields.h"
#include "client/workflow.h"

typedef struct edge {
    struct edge *next;
    const char *from;
    bool pipes;
    dureq_str key; /* of the map: the address of its task, then `from` */
} edge;

typedef struct task {
    struct task *next;
    const char *name;
    dq_buf fields; /* members of its object, as JSON, but its edges */
    edge *edges, **edges_end;
    size_t n_pipes;
} task;

struct dureq_workflow_builder {
    dq_arena arena;
    const char *name;
    dq_buf options; /* members of the definition */
    task *tasks, **tasks_end;
    dq_map by_name, edges;
    dq_buf early;  /* faults that were seen while it was built, a line each */
    dq_buf faults; /* those of the last start */
    size_t n_early;
    bool failed; /* out of memory */
};

/* ---- memory ---- */

dureq_workflow_builder *dureq_workflow_builder_create(const char *name)
{
    dureq_workflow_builder *b = dq_calloc(1, sizeof *b);

    if (!b)
        return NULL;
    b->tasks_end = &b->tasks;
    b->name = name ? dq_arena_dup(&b->arena, dureq_str_from(name)) : "";
    b->failed = !b->name;
    return b;
}

void dureq_workflow_builder_destroy(dureq_workflow_builder *b)
{
    if (!b)
        return;
    for (task *t = b->tasks; t; t = t->next)
        dq_buf_deinit(&t->fields);
    dq_map_deinit(&b->by_name);
    dq_map_deinit(&b->edges);
    dq_buf_deinit(&b->options);
    dq_buf_deinit(&b->early);
    dq_buf_deinit(&b->faults);
    dq_arena_deinit(&b->arena);
    dq_free(b);
}

/* ---- building ---- */

static void fault(dureq_workflow_builder *b, const char *fmt, ...) DUREQ_PRINTF(2, 3);
static void fault(dureq_workflow_builder *b, const char *fmt, ...)
{
    char text[DUREQ_ERROR_MSG_MAX];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    dq_buf_append_fmt(&b->early, "%s\n", text);
    b->n_early++;
}

/* What is written between the braces. */
static dureq_str members_of(const dq_buf *object)
{
    dureq_str all = dq_buf_str(object);

    return all.len > 2 ? dureq_str_of(all.ptr + 1, all.len - 2) : (dureq_str){0};
}

void dureq_workflow_builder_set(dureq_workflow_builder *b, const dureq_workflow_options *given)
{
    dureq_workflow_options o = dureq_workflow_options_init();

    if (!b || !given)
        return;
    memcpy(&o, given, DQ_MIN(given->struct_size, sizeof o));
    dq_buf_clear(&b->options);
    dq_json_writer w = dq_json_writer_of(&b->options);
    dq_json_begin_object(&w);
    if (o.input.len && dq_json_valid(o.input))
        dq_json_set_raw(&w, "input", o.input);
    else if (o.input.len)
        fault(b, "input: is no JSON");
    dq_duration_field_to_json("execution_timeout", o.execution_timeout_ms, &w);
    if (o.max_attempts) {
        dq_json_key(&w, "retry_policy");
        dq_json_begin_object(&w);
        dq_json_set_i64(&w, "max_attempts", o.max_attempts);
        dq_json_end_object(&w);
    }
    if (o.default_priority)
        dq_json_set_i64(&w, "default_priority", o.default_priority);
    if (o.cancels_on_failure)
        dq_json_set_text(&w, "on_failure", "cancel");
    dq_texts_field_to_json("tags", o.tags, o.n_tags, &w);
    if (o.unique_key.len)
        dq_json_set_str(&w, "unique_key", o.unique_key);
    if (o.request_id.len)
        dq_json_set_str(&w, "request_id", o.request_id);
    dq_duration_field_to_json("retention", o.retention_ms, &w);
    dq_json_end_object(&w);
}

static void put_task(dureq_workflow_builder *b, task *t, const dureq_job_spec *job, const dureq_workflow_task_options *given)
{
    static const char *const run_if[] = {"all_success", "all_done", "any_failed"};
    dureq_workflow_task_options o = dureq_workflow_task_options_init();
    dq_json_writer w = dq_json_writer_of(&t->fields);

    if (given)
        memcpy(&o, given, DQ_MIN(given->struct_size, sizeof o));
    dq_json_begin_object(&w);
    dq_json_set_text(&w, "name", t->name);
    dq_job_spec_fields_to_json(job, &w);
    if (job->options && job->options->priority)
        fault(b, "task '%s': priority: of a job picks a queue: name the queue, or set default_priority", t->name);
    if ((unsigned)o.run_if >= DQ_ARRAY_LEN(run_if))
        fault(b, "task '%s': run_if: is none that is known", t->name);
    else if (o.run_if != DUREQ_WORKFLOW_ALL_SUCCESS)
        dq_json_set_text(&w, "run_if", run_if[o.run_if]);
    if (o.allow_failure)
        dq_json_set_bool(&w, "allow_failure", true);
    if (o.priority)
        dq_json_set_i64(&w, "priority", o.priority);
    dq_json_end_object(&w);
}

void dureq_workflow_builder_add(dureq_workflow_builder *b, const char *name, const dureq_job_spec *job,
                                const dureq_workflow_task_options *options)
{
    static const dureq_job_spec none;
    task *t = b ? dq_arena_alloc(&b->arena, sizeof *t) : NULL;

    if (!b)
        return;
    if (t)
        t->name = dq_arena_dup(&b->arena, dureq_str_from(name ? name : ""));
    if (!t || !t->name) {
        b->failed = true;
        return;
    }
    t->edges_end = &t->edges;
    put_task(b, t, job ? job : &none, options);
    *b->tasks_end = t;
    b->tasks_end = &t->next;
    if (!dq_map_get(&b->by_name, dureq_str_from(t->name)) && dq_map_put(&b->by_name, dureq_str_from(t->name), t) < 0)
        b->failed = true;
}

static edge *edge_create(dureq_workflow_builder *b, task *t, const char *from, dureq_str key)
{
    edge *e = dq_arena_alloc(&b->arena, sizeof *e);

    if (!e)
        return NULL;
    e->from = dq_arena_dup(&b->arena, dureq_str_from(from));
    e->key = dq_arena_dup_str(&b->arena, key);
    if (!e->from || !e->key.ptr || dq_map_put(&b->edges, e->key, e) < 0)
        return NULL;
    *t->edges_end = e;
    t->edges_end = &e->next;
    return e;
}

static void connect_tasks(dureq_workflow_builder *b, const char *name, const char *from, bool pipes)
{
    task *t = dq_map_get(&b->by_name, dureq_str_from(name));
    DQ_BUF_AUTO key = {0};
    edge *e;

    if (!t) {
        fault(b, "task '%s': is none of this workflow: add it before you say what it depends on", name);
        return;
    }
    dq_buf_append(&key, &t, sizeof t);
    dq_buf_append_text(&key, from);
    e = dq_buf_failed(&key) ? NULL : dq_map_get(&b->edges, dq_buf_str(&key));
    if (!e && !dq_buf_failed(&key))
        e = edge_create(b, t, from, dq_buf_str(&key));
    if (!e) {
        b->failed = true;
        return;
    }
    t->n_pipes += pipes && !e->pipes;
    e->pipes = e->pipes || pipes;
}

void dureq_workflow_builder_depend(dureq_workflow_builder *b, const char *name, const char *on)
{
    if (b)
        connect_tasks(b, name ? name : "", on ? on : "", /*pipes=*/false);
}

void dureq_workflow_builder_pipe(dureq_workflow_builder *b, const char *name, const char *from)
{
    if (b)
        connect_tasks(b, name ? name : "", from ? from : "", /*pipes=*/true);
}

/* ---- the definition ---- */

static void put_edges(const task *t, dq_buf *out)
{
    dq_json_writer w = dq_json_writer_of(out);

    dq_json_begin_object(&w);
    dq_json_key(&w, "depends_on");
    dq_json_begin_array(&w);
    for (const edge *e = t->edges; e; e = e->next)
        dq_json_put_text(&w, e->from);
    dq_json_end_array(&w);
    if (t->n_pipes > 0) {
        dq_json_key(&w, "result_from");
        if (t->n_pipes > 1)
            dq_json_begin_array(&w);
        for (const edge *e = t->edges; e; e = e->next)
            if (e->pipes)
                dq_json_put_text(&w, e->from);
        if (t->n_pipes > 1)
            dq_json_end_array(&w);
    }
    dq_json_end_object(&w);
}

static void put_task_object(const task *t, dq_buf *out)
{
    DQ_BUF_AUTO edges = {0};

    dq_buf_append_char(out, '{');
    dq_buf_append_str(out, members_of(&t->fields));
    if (t->edges) {
        put_edges(t, &edges);
        dq_buf_append_char(out, ',');
        dq_buf_append_str(out, members_of(&edges));
    }
    dq_buf_append_char(out, '}');
    out->failed = out->failed || dq_buf_failed(&edges) || dq_buf_failed(&t->fields);
}

static int put_definition(const dureq_workflow_builder *b, dq_buf *out, dureq_error *err)
{
    DQ_BUF_AUTO name = {0};
    dq_json_writer w = dq_json_writer_of(&name);
    dureq_str options = members_of(&b->options);

    dq_json_put_text(&w, b->name ? b->name : "");
    dq_buf_append_text(out, "{\"name\":");
    dq_buf_append_buf(out, &name);
    if (options.len) {
        dq_buf_append_char(out, ',');
        dq_buf_append_str(out, options);
    }
    dq_buf_append_text(out, ",\"tasks\":[");
    for (const task *t = b->tasks; t; t = t->next) {
        put_task_object(t, out);
        if (t->next)
            dq_buf_append_char(out, ',');
    }
    dq_buf_append_text(out, "]}");
    if (b->failed || dq_buf_failed(&b->options) || dq_buf_failed(&b->early))
        return dq_fail_nomem(err);
    return dq_buf_finish(out, err);
}

int dureq_workflow_builder_definition(const dureq_workflow_builder *b, char **ret, size_t *ret_len, dureq_error *err)
{
    DQ_BUF_AUTO json = {0};
    int rc;

    if (!ret)
        return dq_fail(err, DUREQ_EINVAL, "ret must be given");
    rc = b ? put_definition(b, &json, err) : dq_fail_nomem(err);
    if (rc < 0)
        return rc;
    if (ret_len)
        *ret_len = json.len;
    *ret = dq_buf_take(&json);
    return 0;
}

/* ---- its faults ---- */

static const task *task_at(const dureq_workflow_builder *b, uint32_t number)
{
    const task *t = b->tasks;

    while (t && number-- > 0)
        t = t->next;
    return t;
}

/* "tasks[3].depends_on[0]" is of the JSON form: here tasks have names. */
static void put_fault(dureq_workflow_builder *b, const dq_flow_fault *f)
{
    dureq_str field = dureq_str_from(f->path);
    int64_t number;

    if (dq_str_starts_with(field, DQ_STR_LIT("tasks["))) {
        field = dureq_str_of(field.ptr + 6, field.len - 6);
        dureq_str digits = dq_str_cut(&field, ']');

        if (dq_parse_i64(digits, 0, DQ_FLOW_TASKS_MAX, &number) == 0) {
            const task *t = task_at(b, (uint32_t)number);

            dq_buf_append_fmt(&b->faults, "task '%s': ", t ? t->name : "");
            if (field.len && field.ptr[0] == '.')
                field = dureq_str_of(field.ptr + 1, field.len - 1);
        }
    }
    if (field.len)
        dq_buf_append_fmt(&b->faults, DQ_STR_FMT ": ", DQ_STR_ARG(field));
    dq_buf_append_text(&b->faults, f->text);
    dq_buf_append_char(&b->faults, '\n');
}

static int tell_faults(dureq_workflow_builder *b, const dq_flow_faults *faults, dureq_error *err)
{
    size_t n = b->n_early + faults->n + faults->n_more;
    dureq_str rest, first;

    dq_buf_append_buf(&b->faults, &b->early);
    for (size_t i = 0; i < faults->n; i++)
        put_fault(b, &faults->items[i]);
    if (faults->n_more)
        dq_buf_append_fmt(&b->faults, "(and %zu more)\n", faults->n_more);
    if (dq_buf_failed(&b->faults))
        return dq_fail_nomem(err);
    rest = dq_buf_str(&b->faults);
    first = dq_str_cut(&rest, '\n');
    if (n > 1)
        return dq_fail(err, DUREQ_EINVAL, "%.*s (and %zu more)", (int)DQ_MIN(first.len, (size_t)200), first.ptr, n - 1);
    return dq_fail(err, DUREQ_EINVAL, DQ_STR_FMT, DQ_STR_ARG(first));
}

const char *dureq_workflow_builder_faults(const dureq_workflow_builder *b)
{
    return b && b->faults.len ? b->faults.ptr : "";
}

/* ---- the start ---- */

/* What the builder saw by itself is told with what the reader sees: then nothing is started. */
static int check_all(dureq_workflow_builder *b, const dureq_client *c, const dq_json *doc, dureq_error *err)
{
    dq_flow_faults faults = {0};
    dq_flow flow;
    int rc = dq_flow_from_json(doc, 0, c->max_payload, &flow, &faults);

    if (rc == 0)
        dq_flow_deinit(&flow);
    if (rc == DUREQ_ENOMEM)
        rc = dq_fail_nomem(err);
    else if (rc < 0 || b->n_early)
        rc = tell_faults(b, &faults, err);
    dq_flow_faults_deinit(&faults);
    return rc;
}

int dureq_workflow_builder_start(dureq_workflow_builder *b, dureq_client *c, dureq_job_id *ret, dureq_error *err)
{
    dq_flow_faults faults = {0};
    DQ_BUF_AUTO json = {0};
    dq_json doc;
    int rc;

    if (!c || !ret)
        return dq_fail(err, DUREQ_EINVAL, "client and ret must be given");
    if (!b)
        return dq_fail_nomem(err);
    dq_buf_clear(&b->faults);
    rc = put_definition(b, &json, err);
    if (rc == 0)
        rc = dq_json_parse_frame(dq_buf_str(&json), &doc, err);
    if (rc < 0)
        return rc;
    rc = b->n_early ? check_all(b, c, &doc, err) : dq_client_start_flow(c, &doc, 0, ret, &faults, err);
    if (rc == DUREQ_EINVAL && faults.n)
        rc = tell_faults(b, &faults, err);
    dq_flow_faults_deinit(&faults);
    dq_json_deinit(&doc);
    return rc;
}
