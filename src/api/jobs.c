/* SPDX-License-Identifier: Apache-2.0 */
/* Jobs: read, list, operate. Enqueueing is in enqueue.c. */
#include "api/scope.h"
#include "client/client.h"
#include "client/request.h"
#include "model/job_json.h"
#include "model/place.h"

/* "waiting_for" of a job that could run except for want of a node: one more member of the object that is written. */
static int add_waiting_for(dq_api_ctx *c, const dureq_job *job, dureq_error *err)
{
    dq_buf *body = &c->res->body;
    dureq_node_list *nodes;
    int rc;

    if (job->state != DUREQ_JOB_PENDING || job->waiting_for.len)
        return 0;
    rc = dureq_client_list_nodes(c->client, &nodes, err);
    if (rc < 0)
        return rc;
    if (!dq_api_is_handled(nodes, job->task_type) && !dq_buf_failed(body)) {
        body->len--; /* the brace */
        dq_buf_append_fmt(body, ",\"waiting_for\":\"a live node that handles '" DQ_STR_FMT "'\"}",
                          DQ_STR_ARG(job->task_type)); /* a name */
    }
    dureq_node_list_destroy(nodes);
    return 0;
}

/* Of an attempt: when and how it ended, not what it said. */
static int hide_attempts(dq_api_ctx *c, dureq_job *job)
{
    dureq_attempt *attempts = dq_arena_alloc(&c->arena, (job->n_attempts + 1) * sizeof *attempts);

    if (!attempts)
        return DUREQ_ENOMEM;
    for (size_t i = 0; i < job->n_attempts; i++) {
        attempts[i] = job->attempts[i];
        attempts[i].error = attempts[i].detail = attempts[i].output = (dureq_str){0};
    }
    job->attempts = attempts;
    return 0;
}

void dq_api_write_job(dq_api_ctx *c, const dureq_job *job)
{
    dureq_job shown = *job;

    if (c->req->hides_payload) {
        shown.payload = shown.result = shown.progress = shown.last_error = shown.reason = (dureq_str){0};
        shown.result_content_type = (dureq_str){0};
        shown.payload_omitted = true;
        shown.n_headers = 0;
        if (hide_attempts(c, &shown) < 0)
            shown.n_attempts = 0;
    }
    dq_job_to_json(&shown, &c->w);
}

static int get_job(dq_api_ctx *c, dureq_error *err)
{
    dureq_job_list *list;
    int rc = dureq_client_get_job(c->client, c->vars[0], &list, err);

    if (rc < 0)
        return rc;
    dq_api_write_job(c, &list->items[0]);
    rc = add_waiting_for(c, &list->items[0], err);
    dureq_job_list_destroy(list);
    return rc;
}

static void got_job(void *userdata, const dureq_job *job, const dureq_error *err)
{
    dq_api_quick *q = userdata;

    if (err) {
        dq_api_quick_ready(q, err->code, err);
    } else if (!job || job->state == DUREQ_JOB_PENDING) { /* then nodes are to be asked for, too */
        dq_api_quick_needs_thread(q);
    } else {
        dq_api_write_job(&q->c, job);
        dq_api_quick_ready(q, 0, NULL);
    }
}

static int begin_get(dq_api_quick *q)
{
    return dq_client_submit_get(q->c.client, q->c.vars[0], got_job, q, &q->request, NULL) == 0;
}

/* status=a,b into states. */
static int read_states(dq_api_ctx *c, dureq_job_state states[DQ_API_STATES_MAX], size_t *ret_n, dureq_error *err)
{
    dureq_str rest = dureq_str_from(dq_api_query(c, "status"));

    *ret_n = 0;
    while (rest.len) {
        dureq_str word = dq_str_cut(&rest, ',');
        dureq_job_state state;
        bool is_new = true;

        if (dureq_job_state_parse(word, &state) < 0)
            return dq_fail(err, DUREQ_EINVAL,
                           "parameter 'status' takes pending, scheduled, running, retrying, paused, completed, dead, cancelled");
        for (size_t i = 0; i < *ret_n; i++)
            is_new = is_new && states[i] != state;
        if (is_new) /* so that there is room for all there are */
            states[(*ret_n)++] = state;
    }
    return 0;
}

static const char *either(const char *a, const char *b)
{
    return a && *a ? a : b;
}

int dq_api_read_filter(dq_api_ctx *c, dureq_job_filter *f, dureq_job_state states[DQ_API_STATES_MAX], int64_t *ret_offset,
                       dureq_error *err)
{
    int64_t limit = 10;
    const char *sort = dq_api_query(c, "sort");
    const char *type = dq_api_query(c, "type"), *task_type = dq_api_query(c, "task_type");
    const char *text = dq_api_query(c, "text"), *search = dq_api_query(c, "search");
    int rc = read_states(c, states, &f->n_states, err);

    if (rc < 0)
        return rc;
    f->states = states;
    f->task_type = either(type, task_type);
    f->queue = dq_api_query(c, "queue");
    f->tag = dq_api_query(c, "tag");
    f->text = either(text, search);
    f->unique_key = dureq_str_from(dq_api_query(c, "unique_key"));
    f->cursor = dq_api_query(c, "cursor");
    if (sort && strcmp(sort, "oldest") != 0 && strcmp(sort, "newest") != 0)
        return dq_fail(err, DUREQ_EINVAL, "parameter 'sort' takes newest or oldest");
    f->oldest_first = sort && strcmp(sort, "oldest") == 0;
    *ret_offset = 0;
    rc = dq_api_query_i64(c, "limit", 1, 1000, &limit, err);
    if (rc == 0)
        rc = dq_api_query_i64(c, "offset", 0, 10000, ret_offset, err);
    if (rc == 0)
        rc = dq_api_query_time(c, "since", &f->since_ms, err);
    if (rc == 0)
        rc = dq_api_query_time(c, "until", &f->until_ms, err);
    if (rc == 0)
        rc = dq_api_query_bool(c, "payload", &f->with_payload, err);
    f->limit = (int32_t)limit;
    return rc;
}

static void write_page(dq_api_ctx *c, const dureq_job_list *list)
{
    dq_json_begin_object(&c->w);
    dq_json_key(&c->w, "data");
    dq_json_begin_array(&c->w);
    for (size_t i = 0; i < list->n; i++)
        dq_api_write_job(c, &list->items[i]);
    dq_json_end_array(&c->w);
    dq_json_key(&c->w, "total");
    dq_json_put_i64(&c->w, list->total);
    if (!list->total_exact) {
        dq_json_key(&c->w, "total_exact");
        dq_json_put_bool(&c->w, false);
    }
    dq_json_key(&c->w, "scanned");
    dq_json_put_i64(&c->w, list->scanned);
    if (list->next_cursor.len) {
        dq_json_key(&c->w, "next_cursor");
        dq_json_put_str(&c->w, list->next_cursor);
    }
    dq_json_end_object(&c->w);
}

/* What was skipped on the way to a page counts, too. */
static void add_skipped(dureq_job_list *list, int64_t skipped, bool from_start)
{
    int64_t seen = skipped + (int64_t)list->n;

    if (list->total_exact || list->total > seen)
        return;
    list->total = seen;
    list->total_exact = from_start && list->next_cursor.len == 0;
}

/* The page `offset` rows into the list: skips whole pages by cursor. */
static int list_at(dq_api_ctx *c, dureq_job_filter *f, int64_t offset, dureq_job_list **ret, dureq_error *err)
{
    int32_t limit = f->limit;
    int64_t skipped = 0;
    bool from_start = !f->cursor || !*f->cursor;

    for (;;) {
        dureq_job_list *list;
        int rc;

        f->limit = offset > 0 ? (int32_t)DQ_MIN(offset, 1000) : limit;
        rc = dq_api_list_jobs(c, f, &list, err);
        if (rc < 0)
            return rc;
        if (offset <= 0) {
            add_skipped(list, skipped, from_start);
            *ret = list;
            return 0;
        }
        offset -= (int64_t)list->n;
        skipped += (int64_t)list->n;
        f->cursor = list->next_cursor.len ? dq_arena_dup(&c->arena, list->next_cursor) : NULL;
        if (!f->cursor) { /* the list ends before the offset */
            list->n = 0;
            add_skipped(list, skipped, from_start);
            *ret = list;
            return 0;
        }
        dureq_job_list_destroy(list);
    }
}

int dq_api_check_queue(dq_api_ctx *c, const dureq_job_filter *f, dureq_error *err)
{
    dureq_queue_list *list;
    bool found = false;
    int rc;

    if (!f->queue)
        return 0;
    rc = dureq_client_list_queues(c->client, &list, err);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < list->n; i++)
        found = found || dq_str_eq_text(list->items[i].name, f->queue);
    dureq_queue_list_destroy(list);
    return found ? 0 : dq_fail(err, DUREQ_ENOTFOUND, "no queue '%.128s'", f->queue);
}

static int answer_page(dq_api_ctx *c, dureq_job_filter *f, int64_t offset, dureq_error *err)
{
    dureq_job_list *list;
    int rc;

    rc = list_at(c, f, offset, &list, err);
    if (rc < 0)
        return rc;
    if (list->total == 0)
        rc = dq_api_check_queue(c, f, err);
    if (rc == 0)
        write_page(c, list);
    dureq_job_list_destroy(list);
    return rc;
}

static int list_jobs(dq_api_ctx *c, dureq_error *err)
{
    dureq_job_filter f = dureq_job_filter_init();
    dureq_job_state states[DQ_API_STATES_MAX];
    int64_t offset;
    int rc = dq_api_read_filter(c, &f, states, &offset, err);

    return rc < 0 ? rc : answer_page(c, &f, offset, err);
}

static int list_dead(dq_api_ctx *c, dureq_error *err)
{
    static const dureq_job_state dead[] = {DUREQ_JOB_DEAD};
    dureq_job_filter f = dureq_job_filter_init();
    dureq_job_state states[DQ_API_STATES_MAX];
    int64_t offset;
    int rc = dq_api_read_filter(c, &f, states, &offset, err);

    if (rc < 0)
        return rc;
    f.states = dead;
    f.n_states = 1;
    return answer_page(c, &f, offset, err);
}

static int delete_job(dq_api_ctx *c, dureq_error *err)
{
    int rc = dureq_client_delete(c->client, c->vars[0], err);

    return rc < 0 ? rc : dq_api_reply_status(c, "deleted", "job_id", c->vars[0]);
}

static int cancel_job(dq_api_ctx *c, dureq_error *err)
{
    const char *reason = dq_api_query(c, "reason");
    int rc = dureq_client_cancel(c->client, c->vars[0], reason ? reason : "", err);

    return rc < 0 ? rc : dq_api_reply_status(c, "cancelled", "job_id", c->vars[0]);
}

static int retry_job(dq_api_ctx *c, dureq_error *err)
{
    bool force = false;
    int rc = dq_api_query_bool(c, "force", &force, err);

    if (rc == 0)
        rc = dureq_client_retry(c->client, c->vars[0], force, err);
    return rc < 0 ? rc : dq_api_reply_status(c, "retried", "job_id", c->vars[0]);
}

static int run_job(dq_api_ctx *c, dureq_error *err)
{
    int rc = dureq_client_run_now(c->client, c->vars[0], err);

    return rc < 0 ? rc : dq_api_reply_status(c, "pending", "job_id", c->vars[0]);
}

static int pause_job(dq_api_ctx *c, dureq_error *err)
{
    int rc = dureq_client_pause(c->client, c->vars[0], err);

    return rc < 0 ? rc : dq_api_reply_status(c, "paused", "job_id", c->vars[0]);
}

static int resume_job(dq_api_ctx *c, dureq_error *err)
{
    int rc = dureq_client_resume(c->client, c->vars[0], err);

    return rc < 0 ? rc : dq_api_reply_status(c, "resumed", "job_id", c->vars[0]);
}

static int reschedule_at(dq_api_ctx *c, const dq_json *doc, dq_json_ref v, dureq_error *err)
{
    DQ_BUF_AUTO text = {0};
    int64_t at_ms;

    if (dq_json_string(doc, v, &text) < 0 || dq_parse_rfc3339_ms(dq_buf_str(&text), &at_ms) < 0 || at_ms <= 0)
        return dq_fail(err, DUREQ_EINVAL, "field 'run_at' takes an RFC 3339 time such as 2026-11-23T20:00:00Z");
    return dureq_client_reschedule(c->client, c->vars[0], at_ms, err);
}

static int reschedule_in(dq_api_ctx *c, const dq_json *doc, dq_json_ref v, dureq_error *err)
{
    DQ_BUF_AUTO text = {0};
    int64_t delay_ms;

    if (dq_json_string(doc, v, &text) < 0 || dq_parse_duration_ms(dq_buf_str(&text), &delay_ms) < 0 || delay_ms < 0)
        return dq_fail(err, DUREQ_EINVAL, "field 'delay' takes a duration such as \"30s\"");
    return dq_client_reschedule_in(c->client, c->vars[0], delay_ms, err);
}

static int reschedule(dq_api_ctx *c, const dq_json *doc, dureq_error *err)
{
    dq_json_ref at = dq_json_member(doc, 0, "run_at"), delay = dq_json_member(doc, 0, "delay");
    int rc = dq_api_body_names(doc, "run_at delay", err);

    if (rc < 0)
        return rc;
    if ((at == DQ_JSON_NONE) == (delay == DQ_JSON_NONE))
        return dq_fail(err, DUREQ_EINVAL, "give either 'run_at' (a time) or 'delay' (a duration)");
    return at != DQ_JSON_NONE ? reschedule_at(c, doc, at, err) : reschedule_in(c, doc, delay, err);
}

static int reschedule_job(dq_api_ctx *c, dureq_error *err)
{
    dq_json doc = {0};
    int rc = dq_api_body_object(c, &doc, err);

    if (rc < 0)
        return rc;
    rc = reschedule(c, &doc, err);
    dq_json_deinit(&doc);
    return rc < 0 ? rc : dq_api_reply_status(c, "scheduled", "job_id", c->vars[0]);
}

/* The payload as a job spec has it: a value, a text or bytes, as its content type says. */
static int read_payload(dq_api_ctx *c, const dq_json *doc, dureq_job_spec *spec, dureq_job_options *o, dureq_error *err)
{
    int rc = dq_api_body_names(doc, "payload payload_base64 content_type", err);

    if (rc < 0)
        return rc;
    if (dq_json_member(doc, 0, "payload") == DQ_JSON_NONE && dq_json_member(doc, 0, "payload_base64") == DQ_JSON_NONE)
        return dq_fail(err, DUREQ_EINVAL, "field 'payload' is missing");
    return dq_payload_from_json(doc, 0, &c->arena, spec, o, err);
}

static int put_payload(dq_api_ctx *c, dureq_error *err)
{
    dureq_job_options o = dureq_job_options_init();
    dureq_job_spec spec = {0};
    dq_json doc = {0};
    int rc = dq_api_body_object(c, &doc, err);

    if (rc < 0)
        return rc;
    rc = read_payload(c, &doc, &spec, &o, err);
    if (rc == 0)
        rc = dureq_client_update_payload(c->client, c->vars[0], spec.payload, o.content_type, err);
    dq_json_deinit(&doc);
    return rc < 0 ? rc : dq_api_reply_status(c, "updated", "job_id", c->vars[0]);
}

static bool has_ended(const dureq_job *job)
{
    return dq_job_state_is_ended(job->state);
}

static void put_str_if(dq_api_ctx *c, const char *name, dureq_str text)
{
    if (text.len == 0)
        return;
    dq_json_key(&c->w, name);
    dq_json_put_str(&c->w, text);
}

/* Why it ended so is said once: of a job that failed it is the error. */
static void write_result(dq_api_ctx *c, const dureq_job *job)
{
    dq_json_begin_object(&c->w);
    dq_json_key(&c->w, "job_id");
    dq_json_put_text(&c->w, job->id.text);
    dq_json_key(&c->w, "status");
    dq_json_put_text(&c->w, dureq_job_state_to_str(job->state));
    if (job->result_content_type.len)
        dq_json_put_content(&c->w, "result", job->result, job->result_content_type);
    if (job->skipped) {
        dq_json_key(&c->w, "skipped");
        dq_json_put_bool(&c->w, true);
    }
    if (job->state != DUREQ_JOB_COMPLETED)
        put_str_if(c, "error", job->last_error);
    if (!dq_str_eq(job->reason, job->last_error))
        put_str_if(c, "reason", job->reason);
    dq_json_end_object(&c->w);
}

static int read_wait(const dq_api_ctx *c, int64_t *ret_ms, dureq_error *err)
{
    const char *wait = dq_api_query(c, "wait");

    if (wait && (dq_parse_duration_ms(dureq_str_from(wait), ret_ms) < 0 || *ret_ms < 0))
        return dq_fail(err, DUREQ_EINVAL, "parameter 'wait' takes a duration such as 30s");
    return wait != NULL;
}

/* It was waited for before, and its end was told. */
static int write_waited(dq_api_ctx *c, dureq_error *err)
{
    const dq_api_waited *w = c->req->waited;
    dureq_job job = {.state = (dureq_job_state)w->state};
    dureq_job_list *list;
    int rc;

    if (w->err.code < 0) {
        *err = w->err;
        return w->err.code;
    }
    rc = dureq_client_get_job(c->client, c->vars[0], &list, err);
    if (rc == DUREQ_ENOTFOUND && w->state >= 0) {
        memcpy(job.id.text, c->vars[0], DQ_MIN(strlen(c->vars[0]), sizeof job.id.text - 1));
        write_result(c, &job);
        return 0;
    }
    if (rc < 0)
        return rc;
    write_result(c, &list->items[0]);
    dureq_job_list_destroy(list);
    return 0;
}

/* With ?wait=30s waits for the end. */
static int get_result(dq_api_ctx *c, dureq_error *err)
{
    int64_t wait_ms = 0;
    dureq_job_list *list;
    dureq_job *job;
    int rc = read_wait(c, &wait_ms, err);

    if (rc < 0)
        return rc;
    if (rc > 0 && c->req->waited)
        return write_waited(c, err);
    if (rc > 0)
        rc = dureq_client_wait(c->client, c->vars[0], wait_ms, &list, err);
    else
        rc = dureq_client_get_job(c->client, c->vars[0], &list, err);
    if (rc < 0)
        return rc;
    job = &list->items[0];
    if (has_ended(job))
        write_result(c, job);
    else
        rc = dq_fail(err, DUREQ_ECONFLICT, "the job is %s: it has no result yet", dureq_job_state_to_str(job->state));
    dureq_job_list_destroy(list);
    return rc;
}

static int get_logs(dq_api_ctx *c, dureq_error *err)
{
    char *text;
    size_t len;
    int rc = dureq_client_get_logs(c->client, c->vars[0], &text, &len, err);

    if (rc < 0)
        return rc;
    dq_json_begin_object(&c->w);
    dq_json_key(&c->w, "logs");
    dq_json_put_str(&c->w, dureq_str_of(text, len));
    dq_json_end_object(&c->w);
    dureq_free(text);
    return 0;
}

void dq_api_write_attempt(dq_api_ctx *c, const dureq_job *job, const dureq_attempt *a)
{
    dq_json_begin_object(&c->w);
    dq_json_key(&c->w, "id");
    {
        DQ_BUF_AUTO id = {0};

        dq_buf_append_fmt(&id, "%s.%d", job->id.text, (int)a->attempt);
        dq_json_put_str(&c->w, dq_buf_str(&id));
    }
    dq_json_key(&c->w, "job_id");
    dq_json_put_text(&c->w, job->id.text);
    dq_json_key(&c->w, "node_id");
    dq_json_put_str(&c->w, a->node_id);
    dq_json_key(&c->w, "status");
    dq_json_put_text(&c->w, a->outcome == DUREQ_OUTCOME_DONE || a->outcome == DUREQ_OUTCOME_SKIP ? "succeeded"
                            : a->outcome == DUREQ_OUTCOME_TIMED_OUT                              ? "timed_out"
                            : a->outcome == DUREQ_OUTCOME_CANCELLED                              ? "cancelled"
                                                                                                 : "failed");
    dq_json_key(&c->w, "attempt");
    dq_json_put_i64(&c->w, a->attempt);
    dq_json_key(&c->w, "started_at");
    dq_json_put_rfc3339(&c->w, a->started_at_ms);
    dq_json_key(&c->w, "finished_at");
    dq_json_put_rfc3339(&c->w, a->finished_at_ms);
    dq_json_key(&c->w, "duration");
    dq_json_put_i64(&c->w, (a->finished_at_ms - a->started_at_ms) * 1000000);
    if (a->error.len) {
        dq_json_key(&c->w, "error");
        dq_json_put_str(&c->w, a->error);
    }
    if (a->detail.len) {
        dq_json_key(&c->w, "detail");
        dq_json_put_str(&c->w, a->detail);
    }
    if (a->output.len) {
        dq_json_key(&c->w, "output");
        dq_json_put_str(&c->w, a->output);
    }
    dq_json_end_object(&c->w);
}

/* The runs of a job, newest first: what its attempts list holds. */
static int get_runs(dq_api_ctx *c, dureq_error *err)
{
    dureq_job_list *list;
    int rc = dureq_client_get_job(c->client, c->vars[0], &list, err);

    if (rc < 0)
        return rc;
    dq_json_begin_array(&c->w);
    for (size_t i = list->items[0].n_attempts; i-- > 0;)
        dq_api_write_attempt(c, &list->items[0], &list->items[0].attempts[i]);
    dq_json_end_array(&c->w);
    dureq_job_list_destroy(list);
    return 0;
}

static void write_step(dq_api_ctx *c, const dureq_step_info *s)
{
    dureq_str type = dq_json_valid(s->result)   ? DQ_STR_LIT("application/json")
                     : dq_utf8_valid(s->result) ? DQ_STR_LIT("text/plain")
                                                : DQ_STR_LIT("application/octet-stream");
    DQ_BUF_AUTO run = {0};

    dq_json_begin_object(&c->w);
    dq_json_set_str(&c->w, "key", s->key);
    dq_json_set_text(&c->w, "status", s->is_done ? "done" : "begun");
    dq_buf_append_fmt(&run, "%s.%d", c->vars[0], (int)s->run);
    dq_json_set_str(&c->w, "run_id", dq_buf_str(&run));
    dq_json_set_rfc3339(&c->w, "started_at", s->started_at_ms);
    if (s->is_done)
        dq_json_set_rfc3339(&c->w, "finished_at", s->finished_at_ms);
    if (s->result.len)
        dq_json_put_content(&c->w, "result", s->result, type);
    dq_json_end_object(&c->w);
}

/* What its handler has done once and for all, in the order in which it was begun. */
static int get_steps(dq_api_ctx *c, dureq_error *err)
{
    dureq_step_list *list;
    int rc = dureq_client_list_steps(c->client, c->vars[0], &list, err);

    if (rc < 0)
        return rc;
    dq_json_begin_array(&c->w);
    for (size_t i = 0; i < list->n; i++)
        write_step(c, &list->items[i]);
    dq_json_end_array(&c->w);
    dureq_step_list_destroy(list);
    return 0;
}

#define PAGE " limit sort cursor offset payload"

const dq_api_route dq_api_job_routes[] = {
    {"GET", "/api/jobs", list_jobs, DQ_API_FILTERS PAGE " status", .scope = DQ_API_SCOPE_OWN, .cost = DQ_API_SCANS,
     .answer = "JobPage", .text = "A page of jobs."},
    {"POST", "/api/jobs", dq_api_enqueue, .begin = dq_api_begin_enqueue, .scope = DQ_API_SCOPE_OWN, .creates = true,
     .body = "JobSpecs", .answer = "Enqueued", .text = "Enqueues one job, an array of them, or one a line."},
    {"GET", "/api/jobs/{id}", get_job, .begin = begin_get, .scope = DQ_API_SCOPE_JOB, .answer = "Job",
     .text = "One job in any state."},
    {"DELETE", "/api/jobs/{id}", delete_job, NULL, .scope = DQ_API_SCOPE_JOB, .answer = "JobDone",
     .text = "Forgets an ended job."},
    {"POST", "/api/jobs/{id}/cancel", cancel_job, "reason", .scope = DQ_API_SCOPE_JOB, .answer = "JobDone",
     .text = "Cancels a job that has not ended."},
    {"GET", "/api/jobs/{id}/logs", get_logs, NULL, .scope = DQ_API_SCOPE_JOB, .shows_payload = true, .answer = "Logs",
     .text = "What its runs logged: the last 64 KiB."},
    {"POST", "/api/jobs/{id}/pause", pause_job, NULL, .scope = DQ_API_SCOPE_JOB, .answer = "JobDone",
     .text = "Holds a waiting job back."},
    {"PUT", "/api/jobs/{id}/payload", put_payload, NULL, .scope = DQ_API_SCOPE_JOB, .body = "Payload", .answer = "JobDone",
     .text = "Gives a waiting job another payload."},
    {"POST", "/api/jobs/{id}/reschedule", reschedule_job, NULL, .scope = DQ_API_SCOPE_JOB, .body = "Reschedule",
     .answer = "JobDone", .text = "Gives a waiting job another time."},
    {"GET", "/api/jobs/{id}/result", get_result, "wait", .scope = DQ_API_SCOPE_JOB, .waits = true, .shows_payload = true,
     .answer = "Result", .text = "The result; with wait it waits for it."},
    {"POST", "/api/jobs/{id}/resume", resume_job, NULL, .scope = DQ_API_SCOPE_JOB, .answer = "JobDone",
     .text = "Lets a paused job go."},
    {"POST", "/api/jobs/{id}/retry", retry_job, "force", .scope = DQ_API_SCOPE_JOB, .answer = "JobDone",
     .text = "Starts an ended job again."},
    {"POST", "/api/jobs/{id}/run", run_job, NULL, .scope = DQ_API_SCOPE_JOB, .answer = "JobDone",
     .text = "Starts a job now that waits for a time."},
    {"GET", "/api/jobs/{id}/runs", get_runs, NULL, .scope = DQ_API_SCOPE_JOB, .shows_payload = true, .answer = "Runs",
     .text = "Its runs that are kept, the newest first."},
    {"GET", "/api/jobs/{id}/steps", get_steps, NULL, .scope = DQ_API_SCOPE_JOB, .shows_payload = true, .answer = "Steps",
     .text = "What its handler does once however often it runs, and what that gave."},
    {"GET", "/api/dlq", list_dead, DQ_API_FILTERS PAGE, .scope = DQ_API_SCOPE_OWN, .cost = DQ_API_SCANS, .answer = "JobPage",
     .text = "A page of dead jobs."},
    {NULL, NULL, NULL, NULL},
};
