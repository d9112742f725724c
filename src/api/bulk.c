/* SPDX-License-Identifier: Apache-2.0 */
/* What is done to many jobs: to those of a list of ids, to all of a status, to all that fit filters. Ids go to the library in lists, so
   that a batch of jobs is a round trip, and the server serves others in between. */
#include "api/operation.h"
#include "api/scope.h"
#include "base/clock.h"
#include "client/client.h"
#include "client/tokens.h"
#include "model/job_json.h"

#define PAGE       1000             /* jobs of a filter that are looked up at a time */
#define INSIDE_US  INT64_C(2000000) /* so long a request works at them itself */
#define SAMPLE_MAX 10               /* jobs shown by dry_run */

/* A bulk call under way. `ids` and `codes` are in the arena, one of each; ids are NUL-ended and owned as said where they are set. */
typedef struct bulk {
    dq_api_ctx *c;
    const dq_api_verb *verb;
    dureq_many_options opts;
    const char **ids;
    int *codes;
    size_t n;
    int64_t n_before, n_affected, total; /* those of the pages before; total 0: not known */
    const char *status;                  /* of all its jobs, beside what the query says; NULL: none */
    int64_t began_us;
    bool is_dry;  /* nothing is done */
    bool goes_on; /* as an operation, which is the answer */
    bool stays;   /* it may not */
} bulk;

static bool on_progress(size_t n_done, size_t n, void *userdata)
{
    const bulk *b = userdata;
    const dq_api_request *req = b->c->req;

    (void)n;
    if (req->progress_fn)
        req->progress_fn(b->n_before + (int64_t)n_done, b->total, req->progress_userdata);
    return true;
}

static int reserve(bulk *b, size_t n, dureq_error *err)
{
    b->ids = dq_arena_alloc(&b->c->arena, (n + 1) * sizeof *b->ids);
    b->codes = dq_arena_alloc(&b->c->arena, (n + 1) * sizeof *b->codes);
    return b->ids && b->codes ? 0 : dq_fail_nomem(err);
}

static bool is_left(const bulk *b)
{
    dq_api_sink *sink = b->c->sink;

    return sink && sink->is_gone(sink);
}

/* What was done stays done. Nobody may be there to be told, so the audit has it as well. */
static int stop(bulk *b, dureq_error *err)
{
    static const char why[] = "the caller went away, or its token was revoked";
    DQ_BUF_AUTO detail = {0};

    dq_buf_append_fmt(&detail, "%lld jobs: %s", (long long)b->n_affected, why);
    if (!b->is_dry && !dq_buf_failed(&detail))
        (void)dq_client_audit_note(b->c->client, "bulk.stop", b->verb->name, dq_buf_str(&detail), NULL);
    return dq_fail(err, DUREQ_ECANCELLED, "stopped after %lld jobs: %s", (long long)b->n_affected, why);
}

/* Does it to b->ids. When the server goes away on the way, what was done before is told. */
static int run_ids(bulk *b, dureq_error *err)
{
    int rc = dq_client_change_many(b->c->client, b->verb->many, (dureq_str){0}, b->ids, b->n, &b->opts, b->codes, err);

    for (size_t i = 0; i < b->n; i++)
        b->n_affected += b->codes[i] == 0;
    b->n_before += (int64_t)b->n;
    if (rc < 0 && b->n_affected)
        return dq_fail(err, rc, "the server went away after %lld jobs", (long long)b->n_affected);
    return rc;
}

/* ---- ids ---- */

/* Of a caller that is limited: what is outside gets its code, the others are done. */
static int run_ids_within(bulk *b, dureq_error *err)
{
    const char **ids = b->ids;
    int *codes = b->codes;
    size_t n = b->n, n_inside = 0;
    size_t *at = dq_arena_alloc(&b->c->arena, (n + 1) * sizeof *at);
    int rc = at ? reserve(b, n, err) : dq_fail_nomem(err);

    if (rc == 0)
        rc = dq_client_look_within(b->c->client, ids, n, b->c->req->scope, codes, err);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < n; i++)
        if (codes[i] == 0) {
            b->ids[n_inside] = ids[i];
            at[n_inside++] = i;
        }
    b->n = n_inside;
    rc = run_ids(b, err);
    for (size_t i = 0; i < n_inside; i++)
        codes[at[i]] = b->codes[i];
    b->ids = ids;
    b->codes = codes;
    b->n = n;
    return rc;
}

static int take_ids(bulk *b, const dq_json *doc, dq_json_ref ids, dureq_error *err)
{
    int rc;

    if (dq_json_type_of(doc, ids) != DQ_JSON_ARRAY)
        return dq_fail(err, DUREQ_EINVAL, "field 'ids' takes an array of job ids");
    if (doc->nodes[ids].n > DQ_API_IDS_MAX)
        return dq_fail(err, DUREQ_EINVAL, "field 'ids' takes at most %d ids", DQ_API_IDS_MAX);
    rc = reserve(b, doc->nodes[ids].n, err);
    if (rc < 0)
        return rc;
    for (dq_json_ref v = dq_json_first(doc, ids); v != DQ_JSON_NONE; v = dq_json_next(doc, ids, v)) {
        DQ_BUF_AUTO id = {0};

        if (dq_json_string(doc, v, &id) < 0)
            return dq_fail(err, DUREQ_EINVAL, "field 'ids' takes an array of job ids");
        b->ids[b->n] = dq_arena_dup(&b->c->arena, dq_buf_str(&id));
        if (!b->ids[b->n++])
            return dq_fail_nomem(err);
    }
    b->total = (int64_t)b->n;
    return 0;
}

static void write_refused(bulk *b, const char *id, int code)
{
    dq_json_writer *w = &b->c->w;
    DQ_BUF_AUTO text = {0};

    if (code == DUREQ_ENOTFOUND)
        dq_buf_append_fmt(&text, "no job %s", id);
    else if (code == DUREQ_EINVAL)
        dq_buf_append_fmt(&text, "'%.64s' is no job id", id);
    else if (code == DUREQ_EPERM)
        dq_buf_append_fmt(&text, "job %s is outside the queues or task types that this token is limited to", id);
    else if (code == DUREQ_EDUPLICATE)
        dq_buf_append_fmt(&text, "the unique key of job %s is held by another job", id);
    else
        dq_buf_append_fmt(&text, "job %s %s", id, code == DUREQ_ECONFLICT ? b->verb->refused : dureq_errcode_text(code));
    dq_json_begin_object(w);
    dq_json_key(w, "id");
    dq_json_put_text(w, id);
    dq_json_key(w, "error");
    dq_json_put_str(w, dq_buf_str(&text));
    dq_json_key(w, "code");
    dq_json_put_text(w, dq_api_code_word(code));
    dq_json_end_object(w);
}

static void write_affected(bulk *b)
{
    dq_json_key(&b->c->w, "affected");
    dq_json_put_i64(&b->c->w, b->n_affected);
}

/* {"affected": n, "refused": [{"id", "error", "code"}]}: refused in the order of the ids. */
static int run_list(bulk *b, const dq_json *doc, dq_json_ref ids, dureq_error *err)
{
    int rc = take_ids(b, doc, ids, err);

    if (rc == 0)
        rc = dq_api_is_limited(b->c) ? run_ids_within(b, err) : run_ids(b, err);
    if (rc < 0)
        return rc;
    dq_json_begin_object(&b->c->w);
    write_affected(b);
    if (b->n_affected < (int64_t)b->n) {
        dq_json_key(&b->c->w, "refused");
        dq_json_begin_array(&b->c->w);
        for (size_t i = 0; i < b->n; i++)
            if (b->codes[i] != 0)
                write_refused(b, b->ids[i], b->codes[i]);
        dq_json_end_array(&b->c->w);
    }
    dq_json_end_object(&b->c->w);
    return 0;
}

/* ---- filters ---- */

static int run_page(bulk *b, const dureq_job_list *list, dureq_error *err)
{
    if (b->n_before == 0 && list->total_exact)
        b->total = list->total;
    b->n = list->n;
    for (size_t i = 0; i < list->n; i++)
        b->ids[i] = list->items[i].id.text;
    return run_ids(b, err);
}

/* Where a server works on operations. Who is limited has its calls carried out to the end. */
static bool takes_long(const bulk *b)
{
    return !b->is_dry && !b->stays && b->c->req->operations && !dq_api_is_limited(b->c) &&
           dq_mono_us() - b->began_us >= INSIDE_US;
}

static int write_rest(bulk *b, dq_buf *out, dureq_error *err)
{
    dq_json_writer w = dq_json_writer_of(out);

    dq_json_begin_object(&w);
    dq_json_set_text(&w, "action", b->verb->name);
    dq_json_key(&w, "filter");
    dq_json_begin_object(&w);
    for (size_t i = 0; i < b->c->n_query; i++)
        if (strcmp(b->c->query[i].name, "dry_run") != 0)
            dq_json_set_text(&w, b->c->query[i].name, b->c->query[i].value);
    if (b->status)
        dq_json_set_text(&w, "status", b->status);
    dq_json_end_object(&w);
    if (b->opts.reason)
        dq_json_set_text(&w, "reason", b->opts.reason);
    if (b->opts.force)
        dq_json_set_bool(&w, "force", true);
    dq_json_end_object(&w);
    return dq_buf_finish(out, err);
}

/* What is left is done as an operation. When too many of these are under way it stays a request. */
static int go_on_outside(bulk *b, dureq_error *err)
{
    DQ_BUF_AUTO body = {0};
    int rc = write_rest(b, &body, err);

    if (rc == 0)
        rc = dq_api_operation_go_on(b->c, dq_buf_str(&body), b->began_us, b->n_affected, err);
    b->goes_on = rc == 0;
    b->stays = rc == DUREQ_ELIMIT;
    return rc == DUREQ_ELIMIT ? 0 : rc;
}

typedef int (*page_fn)(bulk *b, const dureq_job_list *list, dureq_error *err);

/* All jobs that fit, from the newest to the oldest, each once: what ends up in the list again (a retried job that died) is newer
   than the place where the cursor stands. Jobs in the wrong state are passed over. Between two pages it is seen to whether anybody wants it still. */
static int each_page(bulk *b, dureq_job_filter *f, page_fn fn, dureq_error *err)
{
    DQ_BUF_AUTO cursor = {0};

    f->limit = PAGE;
    f->cursor = NULL;
    do {
        dureq_job_list *list;
        int rc;

        if (f->cursor && is_left(b))
            return stop(b, err);
        rc = f->cursor && takes_long(b) ? go_on_outside(b, err) : 0;
        if (rc < 0 || b->goes_on)
            return rc;
        rc = dq_api_list_jobs(b->c, f, &list, err);
        if (rc < 0 && b->n_affected)
            return dq_fail(err, rc, "the server went away after %lld jobs", (long long)b->n_affected);
        if (rc < 0)
            return rc;
        rc = fn(b, list, err);
        dq_buf_clear(&cursor);
        dq_buf_append_str(&cursor, list->next_cursor);
        dureq_job_list_destroy(list);
        if (rc == 0)
            rc = dq_buf_finish(&cursor, err);
        if (rc < 0)
            return rc;
        f->cursor = cursor.ptr;
    } while (cursor.len);
    return 0;
}

static int sample_page(bulk *b, const dureq_job_list *list, dureq_error *err)
{
    (void)err;
    for (size_t i = 0; i < list->n && b->n_before + (int64_t)i < SAMPLE_MAX; i++)
        dq_api_write_job(b->c, &list->items[i]);
    b->n_before += (int64_t)list->n;
    on_progress(0, 0, b);
    return 0;
}

/* {"data": [the first ten], "matched": n}, and nothing is done. */
static int run_dry(bulk *b, dureq_job_filter *f, dureq_error *err)
{
    int rc;

    dq_json_begin_object(&b->c->w);
    dq_json_key(&b->c->w, "data");
    dq_json_begin_array(&b->c->w);
    rc = each_page(b, f, sample_page, err);
    dq_json_end_array(&b->c->w);
    dq_json_key(&b->c->w, "matched");
    dq_json_put_i64(&b->c->w, b->n_before);
    dq_json_end_object(&b->c->w);
    return rc;
}

static int run_filter(bulk *b, dureq_job_filter *f, dureq_error *err)
{
    int rc = dq_api_query_bool(b->c, "dry_run", &b->is_dry, err);

    b->began_us = dq_mono_us();
    if (rc == 0)
        rc = reserve(b, PAGE, err);
    if (rc == 0 && b->is_dry)
        rc = run_dry(b, f, err);
    else if (rc == 0)
        rc = each_page(b, f, run_page, err);
    if (rc == 0 && b->n_before == 0)
        rc = dq_api_check_queue(b->c, f, err);
    if (rc < 0 || b->is_dry || b->goes_on)
        return rc;
    dq_json_begin_object(&b->c->w);
    write_affected(b);
    dq_json_end_object(&b->c->w);
    return 0;
}

static int run_query(bulk *b, dureq_error *err)
{
    dureq_job_filter f = dureq_job_filter_init();
    dureq_job_state states[DQ_API_STATES_MAX];
    int64_t offset;
    int rc = dq_api_check_values(b->c, err);

    if (rc == 0)
        rc = dq_api_read_filter(b->c, &f, states, &offset, err);
    if (rc == 0)
        rc = dq_api_verb_states(b->verb, b->opts.force, &f, states, err);
    return rc < 0 ? rc : run_filter(b, &f, err);
}

/* ---- the body ---- */

static int run_status(bulk *b, const dq_json *doc, dq_json_ref status, dureq_error *err)
{
    dureq_job_filter f = dureq_job_filter_init();
    DQ_BUF_AUTO word = {0};
    dureq_job_state state;

    if (dq_json_string(doc, status, &word) < 0 || dureq_job_state_parse(dq_buf_str(&word), &state) < 0)
        return dq_fail(err, DUREQ_EINVAL, "field 'status' takes a job status");
    f.states = &state;
    f.n_states = 1;
    b->status = dureq_job_state_to_str(state);
    return run_filter(b, &f, err);
}

static int read_options(bulk *b, const dq_json *doc, dureq_error *err)
{
    dq_json_ref reason = dq_json_member(doc, 0, "reason"), force = dq_json_member(doc, 0, "force");
    DQ_BUF_AUTO text = {0};
    int rc = dq_api_body_names(doc, "ids status reason force", err);

    if (rc < 0)
        return rc;
    b->opts = dureq_many_options_init();
    b->opts.progress_fn = on_progress;
    b->opts.progress_userdata = b;
    b->opts.force = force != DQ_JSON_NONE && dq_json_type_of(doc, force) == DQ_JSON_TRUE;
    if (reason == DQ_JSON_NONE)
        return 0;
    if (dq_json_string(doc, reason, &text) < 0)
        return dq_fail(err, DUREQ_EINVAL, "field 'reason' takes a text");
    b->opts.reason = dq_arena_dup(&b->c->arena, dq_buf_str(&text));
    return b->opts.reason ? 0 : dq_fail_nomem(err);
}

static int run_body(bulk *b, const dq_json *doc, dureq_error *err)
{
    dq_json_ref ids = dq_json_member(doc, 0, "ids"), status = dq_json_member(doc, 0, "status");
    int rc = read_options(b, doc, err);

    if (rc < 0)
        return rc;
    if (b->c->n_query && (ids != DQ_JSON_NONE || status != DQ_JSON_NONE))
        return dq_fail(err, DUREQ_EINVAL, "give filters as parameters, or 'ids' or 'status' in the body, not both");
    if (b->c->n_query)
        return run_query(b, err);
    if (ids != DQ_JSON_NONE && (doc->nodes[ids].n > 0 || status == DQ_JSON_NONE))
        return run_list(b, doc, ids, err);
    if (status == DQ_JSON_NONE)
        return dq_fail(err, DUREQ_EINVAL, "give 'ids' (an array of job ids), 'status' (a job status), or filters as parameters");
    return run_status(b, doc, status, err);
}

static int run_verb(dq_api_ctx *c, const char *verb, dureq_error *err)
{
    bulk b = {.c = c, .verb = dq_api_verb_of(dureq_str_from(verb))};
    dq_json doc = {0};
    int rc = dq_api_body_object(c, &doc, err);

    if (rc < 0)
        return rc;
    rc = run_body(&b, &doc, err);
    dq_json_deinit(&doc);
    return rc;
}

static int bulk_cancel(dq_api_ctx *c, dureq_error *err)
{
    return run_verb(c, "cancel", err);
}

static int bulk_retry(dq_api_ctx *c, dureq_error *err)
{
    return run_verb(c, "retry", err);
}

static int bulk_delete(dq_api_ctx *c, dureq_error *err)
{
    return run_verb(c, "delete", err);
}

static int bulk_run(dq_api_ctx *c, dureq_error *err)
{
    return run_verb(c, "run", err);
}

static int bulk_pause(dq_api_ctx *c, dureq_error *err)
{
    return run_verb(c, "pause", err);
}

static int bulk_resume(dq_api_ctx *c, dureq_error *err)
{
    return run_verb(c, "resume", err);
}

/* ---- dead jobs ---- */

static int for_dead(dq_api_ctx *c, const char *verb, dureq_error *err)
{
    static const dureq_job_state dead[] = {DUREQ_JOB_DEAD};
    bulk b = {.c = c, .verb = dq_api_verb_of(dureq_str_from(verb)), .opts = dureq_many_options_init()};
    dureq_job_filter f = dureq_job_filter_init();
    dureq_job_state states[DQ_API_STATES_MAX];
    int64_t offset;
    int rc = dq_api_check_values(c, err);

    if (rc == 0)
        rc = dq_api_read_filter(c, &f, states, &offset, err);
    if (rc < 0)
        return rc;
    b.opts.progress_fn = on_progress;
    b.opts.progress_userdata = &b;
    f.states = dead;
    f.n_states = 1;
    b.status = "dead";
    return run_filter(&b, &f, err);
}

static int redrive_dead(dq_api_ctx *c, dureq_error *err)
{
    return for_dead(c, "redrive", err);
}

static int purge_dead(dq_api_ctx *c, dureq_error *err)
{
    return for_dead(c, "delete", err);
}

const dq_api_route dq_api_bulk_routes[] = {
    {"POST", "/api/jobs/bulk/cancel", bulk_cancel, DQ_API_FILTERS " status dry_run", .scope = DQ_API_SCOPE_OWN,
     .cost = DQ_API_SCANS, .starts = true, .body = "Bulk", .answer = "BulkDone",
     .text = "Cancels jobs: those of a list, of a status, or that fit filters."},
    {"POST", "/api/jobs/bulk/delete", bulk_delete, DQ_API_FILTERS " status dry_run", .scope = DQ_API_SCOPE_OWN,
     .cost = DQ_API_SCANS, .starts = true, .body = "Bulk", .answer = "BulkDone",
     .text = "Forgets ended jobs: those of a list, of a status, or that fit filters."},
    {"POST", "/api/jobs/bulk/pause", bulk_pause, DQ_API_FILTERS " status dry_run", .scope = DQ_API_SCOPE_OWN,
     .cost = DQ_API_SCANS, .starts = true, .body = "Bulk", .answer = "BulkDone",
     .text = "Holds waiting jobs back: those of a list, of a status, or that fit filters."},
    {"POST", "/api/jobs/bulk/resume", bulk_resume, DQ_API_FILTERS " status dry_run", .scope = DQ_API_SCOPE_OWN,
     .cost = DQ_API_SCANS, .starts = true, .body = "Bulk", .answer = "BulkDone",
     .text = "Lets paused jobs go: those of a list, of a status, or that fit filters."},
    {"POST", "/api/jobs/bulk/retry", bulk_retry, DQ_API_FILTERS " status dry_run", .scope = DQ_API_SCOPE_OWN,
     .cost = DQ_API_SCANS, .starts = true, .body = "Bulk", .answer = "BulkDone",
     .text = "Starts ended jobs again: those of a list, of a status, or that fit filters."},
    {"POST", "/api/jobs/bulk/run", bulk_run, DQ_API_FILTERS " status dry_run", .scope = DQ_API_SCOPE_OWN, .cost = DQ_API_SCANS,
     .starts = true, .body = "Bulk", .answer = "BulkDone",
     .text = "Starts jobs now that wait for a time: those of a list, of a status, or that fit filters."},
    {"POST", "/api/dlq/redrive", redrive_dead, DQ_API_FILTERS " dry_run", .scope = DQ_API_SCOPE_OWN, .cost = DQ_API_SCANS,
     .starts = true, .answer = "BulkDone", .text = "Retries all dead jobs that fit, each once."},
    {"DELETE", "/api/dlq", purge_dead, DQ_API_FILTERS " dry_run", .scope = DQ_API_SCOPE_OWN, .cost = DQ_API_SCANS, .starts = true,
     .answer = "BulkDone", .text = "Deletes all dead jobs that fit."},
    {NULL, NULL, NULL, NULL},
};
