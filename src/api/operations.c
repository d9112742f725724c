/* SPDX-License-Identifier: Apache-2.0 */
/* Operations as resources: what one would do, its start, how far it is, its stop. */
#include "api/groups.h"
#include "api/operation.h"
#include "api/operator.h"
#include "api/passes.h"
#include "api/scope.h"
#include "base/clock.h"
#include "base/random.h"
#include "client/client.h"
#include "model/job.h"

#include <stdio.h>

#define PREVIEW_US INT64_C(2000000) /* so long a preview counts, and a page more */
#define SAMPLE_MAX 10
#define ID_RANDOM  4
#define LIMIT_MAX  1000

/* ---- reading one ---- */

static int take_text(dq_api_ctx *c, const dq_json *doc, const char *name, const char **ret, dureq_error *err)
{
    dq_json_ref v = dq_json_member(doc, 0, name);
    DQ_BUF_AUTO text = {0};

    if (v == DQ_JSON_NONE)
        return 0;
    if (dq_json_string(doc, v, &text) < 0)
        return dq_fail(err, DUREQ_EINVAL, "field '%s' takes a text", name);
    *ret = dq_arena_dup(&c->arena, dq_buf_str(&text));
    return *ret ? 0 : dq_fail_nomem(err);
}

/* As long as a job's own record of it may be. */
static int take_reason(dq_api_ctx *c, const dq_json *doc, const char **ret, dureq_error *err)
{
    int rc = take_text(c, doc, "reason", ret, err);

    if (rc == 0 && *ret && strlen(*ret) > DQ_ERROR_TEXT_MAX)
        rc = dq_fail(err, DUREQ_EINVAL, "field 'reason' takes at most %d bytes", DQ_ERROR_TEXT_MAX);
    return rc;
}

static int take_bool(const dq_json *doc, const char *name, bool *ret, dureq_error *err)
{
    dq_json_ref v = dq_json_member(doc, 0, name);
    dq_json_type type = v == DQ_JSON_NONE ? DQ_JSON_FALSE : dq_json_type_of(doc, v);

    *ret = type == DQ_JSON_TRUE;
    return *ret || type == DQ_JSON_FALSE ? 0 : dq_fail(err, DUREQ_EINVAL, "field '%s' takes true or false", name);
}

/* Whoever knows of no limits must not take an operation that has one for one that has none: it finds no action, and does nothing. */
static const char *action_key(bool is_limited)
{
    return is_limited ? "limited_action" : "action";
}

static bool spec_is_limited(const dq_json *spec)
{
    return dq_json_member(spec, 0, action_key(true)) != DQ_JSON_NONE;
}

/* A name of the filter as if it were a parameter. */
static int take_filter(dq_api_ctx *c, const dq_json *doc, dq_json_ref filter, dureq_str name, dureq_error *err)
{
    const char *key = dq_arena_dup(&c->arena, name);
    DQ_BUF_AUTO text = {0};
    dq_json_ref v;

    if (!key)
        return dq_fail_nomem(err);
    v = dq_json_member(doc, filter, key);
    if (v == DQ_JSON_NONE)
        return 0;
    if (dq_json_string(doc, v, &text) < 0 || text.len == 0 || memchr(text.ptr, '\0', text.len))
        return dq_fail(err, DUREQ_EINVAL, "field '%s' of the filter takes a text", key);
    c->query[c->n_query].name = key;
    c->query[c->n_query].value = dq_arena_dup(&c->arena, dq_buf_str(&text));
    return c->query[c->n_query++].value ? 0 : dq_fail_nomem(err);
}

static int check_filter_names(const dq_json *doc, dq_json_ref filter, const char *names, dureq_error *err)
{
    size_t n = 0;

    for (dureq_str rest = dureq_str_from(names); rest.len;) {
        dureq_str name = dq_str_cut(&rest, ' ');
        char key[32];

        (void)snprintf(key, sizeof key, DQ_STR_FMT, DQ_STR_ARG(name));
        n += dq_json_member(doc, filter, key) != DQ_JSON_NONE;
    }
    for (dq_json_ref k = dq_json_first(doc, filter); k != DQ_JSON_NONE; k = dq_json_next(doc, filter, k))
        n--;
    return n == 0 ? 0 : dq_fail(err, DUREQ_EINVAL, "the filter has an unknown or repeated name (it takes %s)", names);
}

/* A group is one of dead jobs: nothing else has what it is made of. */
static int take_group(dq_api_ctx *c, dq_api_operation *op, dureq_error *err)
{
    op->group = dq_api_query(c, "group");
    if (!op->group)
        return 0;
    if (!dq_api_is_group(op->group))
        return dq_fail(err, DUREQ_EINVAL,
                       "field 'group' of the filter takes one that GET /api/dlq/groups said, 16 digits of 0-9 and a-f");
    if (op->filter.n_states != 1 || op->filter.states[0] != DUREQ_JOB_DEAD)
        return dq_fail(err, DUREQ_EINVAL, "field 'group' of the filter is for dead jobs: say status dead");
    return 0;
}

static int read_filter(dq_api_ctx *c, const dq_json *doc, dq_api_operation *op, dureq_error *err)
{
    static const char names[] = DQ_API_FILTERS " status group";
    dq_json_ref filter = dq_json_member(doc, 0, "filter");
    dureq_str rest = dureq_str_from(names);
    int64_t offset;
    int rc = 0;

    c->n_query = 0;
    if (filter != DQ_JSON_NONE) {
        if (dq_json_type_of(doc, filter) != DQ_JSON_OBJECT)
            return dq_fail(err, DUREQ_EINVAL, "field 'filter' takes an object");
        rc = check_filter_names(doc, filter, names, err);
    }
    while (rc == 0 && filter != DQ_JSON_NONE && rest.len)
        rc = take_filter(c, doc, filter, dq_str_cut(&rest, ' '), err);
    op->filter = dureq_job_filter_init();
    if (rc == 0)
        rc = dq_api_read_filter(c, &op->filter, op->states, &offset, err);
    if (rc == 0)
        rc = dq_api_verb_states(op->verb, op->force, &op->filter, op->states, err);
    op->filter.limit = DQ_API_OPERATION_PAGE;
    return rc < 0 ? rc : take_group(c, op, err);
}

static int read_verb(dq_api_ctx *c, const dq_json *doc, dq_api_operation *op, dureq_error *err)
{
    const char *action = NULL;
    int rc = take_text(c, doc, action_key(spec_is_limited(doc)), &action, err);

    if (rc < 0)
        return rc;
    op->verb = dq_api_verb_of(dureq_str_from(action));
    return op->verb ? 0 : dq_fail(err, DUREQ_EINVAL, "field 'action' takes cancel, retry, redrive, delete, run, pause or resume");
}

static int read_as_of(dq_api_ctx *c, const dq_json *doc, dq_api_operation *op, dureq_error *err)
{
    const char *text = NULL;
    int rc = take_text(c, doc, "as_of", &text, err);

    if (rc == 0 && text && dq_parse_rfc3339_ms(dureq_str_from(text), &op->as_of_ms) < 0)
        rc = dq_fail(err, DUREQ_EINVAL, "field 'as_of' takes the time that the preview said, such as 2026-11-23T20:00:00Z");
    return rc;
}

static int read_matched(const dq_json *doc, dq_api_operation *op, dureq_error *err)
{
    dq_json_ref v = dq_json_member(doc, 0, "matched");

    op->n_matched = -1;
    if (v != DQ_JSON_NONE && (dq_json_i64(doc, v, &op->n_matched) < 0 || op->n_matched < 0))
        return dq_fail(err, DUREQ_EINVAL, "field 'matched' takes a number from 0 on");
    return 0;
}

int dq_api_operation_read(dq_api_ctx *c, const dq_json *doc, dq_api_operation *ret, dureq_error *err)
{
    int rc = read_verb(c, doc, ret, err);

    if (rc == 0)
        rc = take_bool(doc, "force", &ret->force, err);
    if (rc == 0)
        rc = read_filter(c, doc, ret, err);
    if (rc == 0)
        rc = read_as_of(c, doc, ret, err);
    if (rc == 0)
        rc = read_matched(doc, ret, err);
    if (rc == 0)
        rc = take_reason(c, doc, &ret->reason, err);
    if (rc == 0)
        rc = take_text(c, doc, "actor", &ret->actor, err);
    return rc < 0 ? rc : take_text(c, doc, "token", &ret->token, err);
}

int dq_api_operation_scope(const dq_json *spec, dq_scope *ret, dureq_error *err)
{
    if (!dq_scope_of_json(spec, ret) || (spec_is_limited(spec) && dq_scope_is_open(ret)))
        return dq_fail(err, DUREQ_EPROTO, "what it is limited to cannot be read");
    return 0;
}

static bool is_of(const char *group, const dureq_job *job, dq_buf *key)
{
    char name[DQ_API_GROUP_TEXT];

    return dq_api_group_of(job, key, name, NULL) == 0 && strcmp(name, group) == 0;
}

bool dq_api_operation_wants(const dq_api_operation *op, const dureq_job *job, dq_buf *key)
{
    bool has_ended = job->state == DUREQ_JOB_COMPLETED || job->state == DUREQ_JOB_DEAD || job->state == DUREQ_JOB_CANCELLED;

    return (has_ended ? job->finished_at_ms : job->created_at_ms) < op->as_of_ms && (!op->group || is_of(op->group, job, key));
}

/* ---- preview ---- */

typedef struct preview {
    int64_t n, total; /* total: of a filter that is counted without looking; else 0 */
    bool is_whole;
    dq_buf key;
} preview;

static void preview_page(dq_api_ctx *c, const dq_api_operation *op, const dureq_job_list *list, preview *p)
{
    for (size_t i = 0; i < list->n; i++)
        if (dq_api_operation_wants(op, &list->items[i], &p->key) && p->n++ < SAMPLE_MAX)
            dq_api_write_job(c, &list->items[i]);
    if (list->total_exact && !op->group)
        p->total = DQ_MAX(p->total, list->total);
}

/* Counts as far as it gets in its time. */
static int run_preview(dq_api_ctx *c, dq_api_operation *op, preview *p, dureq_error *err)
{
    int64_t until_us = dq_mono_us() + PREVIEW_US;
    DQ_BUF_AUTO cursor = {0};
    int rc = 0;

    do {
        dureq_job_list *list;

        rc = dq_client_list_jobs_within(c->client, &op->filter, op->scope, &list, err);
        if (rc < 0)
            return rc;
        preview_page(c, op, list, p);
        dq_buf_clear(&cursor);
        dq_buf_append_str(&cursor, list->next_cursor);
        dureq_job_list_destroy(list);
        rc = dq_buf_finish(&cursor, err);
        op->filter.cursor = cursor.ptr;
        p->is_whole = cursor.len == 0;
    } while (rc == 0 && !p->is_whole && dq_mono_us() < until_us);
    if (!p->is_whole)
        p->n = DQ_MAX(p->n, p->total);
    return rc;
}

static void put_filter(dq_json_writer *w, const dq_json *doc)
{
    dq_json_ref filter = dq_json_member(doc, 0, "filter");

    dq_json_key(w, "filter");
    dq_json_put_raw(w, filter == DQ_JSON_NONE ? DQ_STR_LIT("{}") : dq_json_raw(doc, filter));
}

static int write_preview(dq_api_ctx *c, const dq_json *doc, dq_api_operation *op, dureq_error *err)
{
    preview p = {0};
    int rc;

    dq_json_begin_object(&c->w);
    dq_json_set_text(&c->w, "action", op->verb->name);
    put_filter(&c->w, doc);
    dq_json_set_rfc3339(&c->w, "as_of", op->as_of_ms);
    dq_json_key(&c->w, "data");
    dq_json_begin_array(&c->w);
    rc = run_preview(c, op, &p, err);
    dq_buf_deinit(&p.key);
    dq_json_end_array(&c->w);
    dq_json_set_i64(&c->w, "matched", p.n);
    dq_json_set_bool(&c->w, "matched_exact", p.is_whole);
    dq_json_end_object(&c->w);
    if (rc == 0 && p.n == 0)
        rc = dq_api_check_queue(c, &op->filter, err);
    return rc;
}

/* ---- a record ---- */

static void put_member_as(dq_json_writer *w, const dq_json *doc, const char *name, const char *as)
{
    dq_json_ref v = dq_json_member(doc, 0, name);

    if (v == DQ_JSON_NONE)
        return;
    dq_json_key(w, as);
    dq_json_put_raw(w, dq_json_raw(doc, v));
}

static void put_member(dq_json_writer *w, const dq_json *doc, const char *name)
{
    put_member_as(w, doc, name, name);
}

static void put_time_if(dq_json_writer *w, const char *name, int64_t at_ms)
{
    if (at_ms > 0)
        dq_json_set_rfc3339(w, name, at_ms);
}

static void put_text_if(dq_json_writer *w, const char *name, dureq_str text)
{
    if (text.len > 0)
        dq_json_set_str(w, name, text);
}

static void put_record(dq_json_writer *w, const dq_json *spec, const dq_operation_record *r, int64_t n_done)
{
    dq_json_begin_object(w);
    dq_json_set_str(w, "id", r->id);
    put_member_as(w, spec, action_key(spec_is_limited(spec)), "action");
    put_filter(w, spec);
    put_member(w, spec, "queues");
    put_member(w, spec, "task_types");
    dq_json_set_str(w, "status", r->state);
    put_member(w, spec, "actor");
    put_member(w, spec, "reason");
    put_member(w, spec, "force");
    put_member(w, spec, "as_of");
    dq_json_set_rfc3339(w, "created_at", r->created_at_ms);
    dq_json_set_rfc3339(w, "updated_at", r->updated_at_ms);
    put_time_if(w, "completed_at", r->ended_at_ms);
    put_member(w, spec, "matched");
    put_member(w, spec, "affected_before");
    dq_json_set_i64(w, "affected", n_done);
    dq_json_set_i64(w, "refused", r->n_refused);
    dq_json_set_i64(w, "looked_at", r->n_seen);
    put_text_if(w, "stopped_because", r->reason);
    put_text_if(w, "error", r->error);
    dq_json_end_object(w);
}

typedef struct page {
    dq_api_ctx *c;
    size_t n, n_read; /* shown, and looked at */
    char last[DQ_OPERATION_ID_MAX + 1];
} page;

/* Who is limited knows of what it started itself. */
static bool is_own(const dq_api_ctx *c, const dq_json *spec)
{
    dq_json_ref v = dq_json_member(spec, 0, "token");
    DQ_BUF_AUTO text = {0};

    if (!dq_api_is_limited(c))
        return true;
    return c->req->who && v != DQ_JSON_NONE && dq_json_string(spec, v, &text) == 0 &&
           dq_str_eq_text(dq_buf_str(&text), c->req->who->token);
}

static int write_own(page *p, const dq_json *spec, const dq_operation_record *r, dureq_error *err)
{
    int64_t n_done = r->n_done;
    int rc = 0;

    if (!is_own(p->c, spec))
        return 0;
    if (n_done < 0)
        rc = dq_client_operation_count(p->c->client, "read", r->id, &n_done, err);
    if (rc == 0) {
        put_record(&p->c->w, spec, r, n_done);
        p->n++;
    }
    return rc;
}

static int write_record(void *userdata, const dq_operation_record *r, dureq_error *err)
{
    page *p = userdata;
    dq_json spec = {0};
    int rc = dq_json_parse(r->spec, &spec, err);

    if (rc < 0)
        return rc;
    p->n_read++;
    (void)snprintf(p->last, sizeof p->last, DQ_STR_FMT, DQ_STR_ARG(r->id));
    rc = write_own(p, &spec, r, err);
    dq_json_deinit(&spec);
    return rc;
}

static int look_at(void *userdata, const dq_operation_record *r, dureq_error *err)
{
    page *p = userdata;
    dq_json spec = {0};
    int rc = dq_json_parse(r->spec, &spec, err);

    if (rc < 0)
        return rc;
    p->n_read++;
    p->n += is_own(p->c, &spec);
    dq_json_deinit(&spec);
    return 0;
}

/* fn gets the one of that id. */
static int find_one(dq_api_ctx *c, const char *id, dq_operation_fn fn, dureq_error *err)
{
    page p = {.c = c};
    int rc = strlen(id) > DQ_OPERATION_ID_MAX || !*id
                 ? 0
                 : dq_client_operations(c->client, dureq_str_from(id), (dureq_str){0}, 1, fn, &p, NULL, err);

    if (rc == 0 && p.n_read == 0)
        return dq_fail(err, DUREQ_ENOTFOUND, "no operation '%.64s'", id);
    if (rc == 0 && p.n == 0)
        return dq_fail(err, DUREQ_EPERM, "operation '%.64s' was started by somebody else, and this token is limited", id);
    return rc;
}

static int write_one(dq_api_ctx *c, const char *id, dureq_error *err)
{
    return find_one(c, id, write_record, err);
}

/* ---- start ---- */

static int put_spec(const dq_api_ctx *c, const dq_json *doc, const dq_api_operation *op, dq_buf *out, dureq_error *err)
{
    dq_json_writer w = dq_json_writer_of(out);

    dq_json_begin_object(&w);
    dq_json_set_text(&w, action_key(!dq_scope_is_open(op->scope)), op->verb->name);
    put_filter(&w, doc);
    if (op->scope)
        dq_scope_to_json(&w, op->scope);
    dq_json_set_rfc3339(&w, "as_of", op->as_of_ms);
    dq_json_set_text(&w, "actor", c->req->actor ? c->req->actor : "dureqctl");
    if (c->req->who)
        dq_json_set_text(&w, "token", c->req->who->token);
    if (op->reason)
        dq_json_set_text(&w, "reason", op->reason);
    if (op->force)
        dq_json_set_bool(&w, "force", true);
    if (op->n_matched >= 0)
        dq_json_set_i64(&w, "matched", op->n_matched);
    if (op->n_before > 0)
        dq_json_set_i64(&w, "affected_before", op->n_before);
    dq_json_end_object(&w);
    return dq_buf_finish(out, err);
}

/* In the order of their starts, by the server's clock. */
static int make_id(int64_t now_ms, char out[DQ_OPERATION_ID_MAX + 1], dureq_error *err)
{
    unsigned char bytes[ID_RANDOM];
    int rc = dq_random_bytes(bytes, sizeof bytes, err);

    if (rc == 0)
        (void)snprintf(out, DQ_OPERATION_ID_MAX + 1, "%011llx%02x%02x%02x%02x", (unsigned long long)now_ms, bytes[0], bytes[1],
                       bytes[2], bytes[3]);
    return rc;
}

static int start(dq_api_ctx *c, const dq_json *doc, const dq_api_operation *op, int64_t now_ms, dureq_error *err)
{
    char id[DQ_OPERATION_ID_MAX + 1];
    DQ_BUF_AUTO spec = {0};
    DQ_BUF_AUTO detail = {0};
    dq_json_ref filter = dq_json_member(doc, 0, "filter");
    int rc = make_id(now_ms, id, err);

    if (rc == 0)
        rc = put_spec(c, doc, op, &spec, err);
    dq_buf_append_fmt(&detail, "%s %.400s", op->verb->name, filter == DQ_JSON_NONE ? "{}" : "");
    if (filter != DQ_JSON_NONE)
        dq_buf_append_str(&detail, dq_json_raw(doc, filter));
    if (rc == 0)
        rc = dq_buf_finish(&detail, err);
    if (rc == 0)
        rc = dq_client_operation_start(c->client, dureq_str_from(id), dq_buf_str(&spec), dq_buf_str(&detail), err);
    if (rc < 0)
        return rc;
    if (c->req->operations)
        dq_api_operator_wake(c->req->operations);
    c->res->status = 202;
    (void)snprintf(c->res->location, sizeof c->res->location, "/api/operations/%s", id);
    return write_one(c, id, err);
}

/* A preview leaves out what came in its own millisecond: that may have been after it. A start without one takes it. */
static int settle_as_of(dq_api_ctx *c, dq_api_operation *op, bool dry, int64_t *ret_now_ms, dureq_error *err)
{
    int rc = dq_client_operations(c->client, (dureq_str){0}, (dureq_str){0}, /*limit=*/0, write_record, NULL, ret_now_ms, err);

    if (rc == 0 && op->as_of_ms > *ret_now_ms)
        rc = dq_fail(err, DUREQ_EINVAL, "field 'as_of' is in the future");
    if (rc == 0 && op->as_of_ms == 0)
        op->as_of_ms = *ret_now_ms + !dry;
    return rc;
}

/* What came, or died, after the request began is none of it, as if all had been done at once. */
int dq_api_operation_go_on(dq_api_ctx *c, dureq_str body, int64_t began_us, int64_t n_before, dureq_error *err)
{
    dq_api_operation op = {.n_before = n_before};
    int64_t now_ms = 0;
    dq_json doc = {0};
    int rc = dq_json_parse(body, &doc, err);

    if (rc < 0)
        return rc;
    rc = dq_api_operation_read(c, &doc, &op, err);
    if (rc == 0)
        rc = settle_as_of(c, &op, /*dry=*/false, &now_ms, err);
    op.as_of_ms = now_ms - (dq_mono_us() - began_us) / 1000;
    if (rc == 0)
        rc = start(c, &doc, &op, now_ms, err);
    dq_json_deinit(&doc);
    return rc;
}

static int run_body(dq_api_ctx *c, const dq_json *doc, dureq_error *err)
{
    dq_api_operation op = {.scope = c->req->scope};
    bool dry = false;
    int64_t now_ms = 0;
    int rc = dq_api_body_names(doc, "action filter dry_run as_of matched reason force", err);

    if (rc == 0)
        rc = take_bool(doc, "dry_run", &dry, err);
    if (rc == 0)
        rc = dq_api_operation_read(c, doc, &op, err);
    if (rc == 0)
        rc = settle_as_of(c, &op, dry, &now_ms, err);
    if (rc < 0)
        return rc;
    return dry ? write_preview(c, doc, &op, err) : start(c, doc, &op, now_ms, err);
}

static int post_operation(dq_api_ctx *c, dureq_error *err)
{
    dq_json doc = {0};
    int rc = dq_api_body_object(c, &doc, err);

    if (rc < 0)
        return rc;
    rc = run_body(c, &doc, err);
    dq_json_deinit(&doc);
    return rc;
}

/* ---- the other resources ---- */

static int list_operations(dq_api_ctx *c, dureq_error *err)
{
    const char *cursor = dq_api_query(c, "cursor");
    int64_t limit = 10;
    page p = {.c = c};
    int rc = dq_api_query_i64(c, "limit", 1, LIMIT_MAX, &limit, err);

    if (rc == 0 && cursor && strlen(cursor) > DQ_OPERATION_ID_MAX)
        rc = dq_fail(err, DUREQ_EINVAL, "cursor is not one that a page gave");
    if (rc < 0)
        return rc;
    dq_json_begin_object(&c->w);
    dq_json_key(&c->w, "data");
    dq_json_begin_array(&c->w);
    rc = dq_client_operations(c->client, (dureq_str){0}, dureq_str_from(cursor ? cursor : ""), (int)limit, write_record, &p, NULL,
                              err);
    dq_json_end_array(&c->w);
    if (rc == 0 && p.n_read == (size_t)limit)
        dq_json_set_text(&c->w, "next_cursor", p.last);
    dq_json_end_object(&c->w);
    return rc;
}

static int get_operation(dq_api_ctx *c, dureq_error *err)
{
    return write_one(c, c->vars[0], err);
}

static int stop_operation(dq_api_ctx *c, dureq_error *err)
{
    const char *reason = NULL;
    dq_json doc = {0};
    int rc = dq_api_body_object(c, &doc, err);

    if (rc < 0)
        return rc;
    rc = dq_api_body_names(&doc, "reason", err);
    if (rc == 0)
        rc = take_reason(c, &doc, &reason, err);
    dq_json_deinit(&doc);
    if (rc == 0)
        rc = find_one(c, c->vars[0], look_at, err);
    if (rc == 0)
        rc = dq_client_operation_stop(c->client, dureq_str_from(c->vars[0]), dureq_str_from(reason ? reason : ""), err);
    if (rc < 0)
        return rc;
    if (c->req->operations)
        dq_api_operator_wake(c->req->operations);
    return write_one(c, c->vars[0], err);
}

const dq_api_route dq_api_operation_routes[] = {
    {"GET", "/api/operations", list_operations, "limit cursor", .scope = DQ_API_SCOPE_OWN, .answer = "OperationPage",
     .text = "Operations, the newest first; those that ended are kept for 30 days, a thousand at most."},
    {"POST", "/api/operations", post_operation, NULL, .scope = DQ_API_SCOPE_OWN, .cost = DQ_API_SCANS, .starts = true,
     .body = "OperationIn", .answer = "OperationPreview",
     .text = "Does something to all jobs that fit a filter and are older than as_of; with dry_run it tells how many they are."},
    {"GET", "/api/operations/{id}", get_operation, NULL, .scope = DQ_API_SCOPE_OWN, .answer = "Operation",
     .text = "How far an operation is."},
    {"POST", "/api/operations/{id}/stop", stop_operation, NULL, .scope = DQ_API_SCOPE_OWN, .body = "OperationStop",
     .answer = "Operation", .text = "Lets it go no further; what it did stays done."},
    {NULL, NULL, NULL, NULL},
};
