/* SPDX-License-Identifier: Apache-2.0 */
/* Listing jobs: one structure after the other (shard by shard; running, waiting, due, paused, dead, ended), each in its own order. The cursor names
   the structure and the place in it, so pages stay stable while jobs come and go; filters are applied before the page is full.
   A call looks at a bounded number of rows: a page may come short, with a cursor to go on from. */

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <strings.h>

#include "client/client_internal.h"
#include "redis/resp.h"

#define LIMIT_DEFAULT 10
#define LIMIT_MAX     1000
#define SCAN_MAX      10000 /* rows a call looks at */
#define PAGE_ROWS     100   /* rows of one script call: keeps it under 5 ms with payloads left out */
#define PAGE_ROWS_BIG 8     /* the same with payloads of up to 1 MiB */
#define BYTES_SMALL   4608  /* 4 KiB of payload and what comes before it */

typedef struct place {
    unsigned shard;
    int kind;      /* dq_page_kind */
    uint32_t lane; /* from 1, for the streams */
    char inner[64];
} place;

typedef struct lister {
    dureq_client *c;
    dureq_job_filter f;
    dureq_job_list *list;
    place at;
    bool over;
    dq_owned_reply lanes; /* of shard lanes_of */
    int64_t lanes_of;     /* -1: none read */
    dq_node_names *names;
    dureq_error *err;
} lister;

static bool is_stream(int kind)
{
    return kind <= DQ_PAGE_FRONT_RUNNING;
}

/* ---- the cursor ---- */

static bool cut_number(dureq_str *rest, char end, int64_t min, int64_t max, int64_t *ret)
{
    return dq_parse_i64(dq_str_cut(rest, end), min, max, ret) == 0;
}

static bool is_score_and_id(dureq_str rest)
{
    dureq_str score = dq_str_cut(&rest, ':');
    double ignored;

    for (size_t i = 0; i < rest.len; i++)
        if (!isxdigit((unsigned char)rest.ptr[i]))
            return false;
    return rest.len == 2 * DQ_ID_BYTES && (dq_str_eq_text(score, "inf") || dq_parse_f64(score, &ignored) == 0);
}

/* What jobs_page.lua gave for a structure of this kind; empty: its beginning. */
static bool inner_fits(int kind, dureq_str rest)
{
    int64_t n;

    if (rest.len == 0)
        return true;
    if (rest.len >= sizeof((place *)NULL)->inner)
        return false;
    if (is_stream(kind))
        return cut_number(&rest, '-', 0, INT64_MAX, &n) && cut_number(&rest, '-', 0, INT64_MAX, &n) && rest.len == 0;
    if (kind != DQ_PAGE_HISTORY)
        return is_score_and_id(rest);
    return cut_number(&rest, ':', 0, INT64_MAX, &n) && cut_number(&rest, ':', 0, INT64_MAX, &n) &&
           cut_number(&rest, ':', 0, INT64_MAX, &n) && rest.len == 0;
}

static int cursor_parse(const char *text, place *ret, unsigned n_shards, dureq_error *err)
{
    dureq_str rest = dureq_str_from(text);
    int64_t shard, kind, lane;

    if (rest.len == 0)
        return 0;
    if (!cut_number(&rest, '.', 0, n_shards - 1, &shard) || !cut_number(&rest, '.', 0, DQ_PAGE_HISTORY, &kind) ||
        !cut_number(&rest, '.', 1, UINT32_MAX, &lane) || !inner_fits((int)kind, rest))
        return dq_fail(err, DUREQ_EINVAL, "cursor is not one that a page gave");
    ret->shard = (unsigned)shard;
    ret->kind = (int)kind;
    ret->lane = (uint32_t)lane;
    (void)snprintf(ret->inner, sizeof ret->inner, DQ_STR_FMT, DQ_STR_ARG(rest));
    return 0;
}

static int cursor_put(lister *l)
{
    char text[128];
    int len = snprintf(text, sizeof text, "%u.%d.%" PRIu32 ".%s", l->at.shard, l->at.kind, l->at.lane, l->at.inner);

    l->list->next_cursor = dq_arena_dup_str(dq_job_list_arena(l->list), dureq_str_of(text, (size_t)len));
    return l->list->next_cursor.len > 0 ? 0 : dq_fail_nomem(l->err);
}

/* ---- filters ---- */

static bool wants_state(const lister *l, dureq_job_state state)
{
    if (l->f.n_states == 0)
        return true;
    for (size_t i = 0; i < l->f.n_states; i++)
        if (l->f.states[i] == state)
            return true;
    return false;
}

static bool wants_kind(const lister *l, int kind)
{
    switch ((dq_page_kind)kind) {
    case DQ_PAGE_PENDING:
    case DQ_PAGE_FRONT_PENDING: return wants_state(l, DUREQ_JOB_PENDING);
    case DQ_PAGE_RUNNING:
    case DQ_PAGE_FRONT_RUNNING: return wants_state(l, DUREQ_JOB_RUNNING);
    case DQ_PAGE_DUE: return wants_state(l, DUREQ_JOB_SCHEDULED) || wants_state(l, DUREQ_JOB_RETRYING);
    case DQ_PAGE_PAUSED: return wants_state(l, DUREQ_JOB_PAUSED);
    case DQ_PAGE_DEAD: return wants_state(l, DUREQ_JOB_DEAD);
    case DQ_PAGE_HISTORY: return wants_state(l, DUREQ_JOB_COMPLETED) || wants_state(l, DUREQ_JOB_CANCELLED);
    }
    return false;
}

static bool name_fits(const char *pattern, dureq_str name)
{
    size_t len = pattern ? strlen(pattern) : 0;

    if (!pattern)
        return true;
    if (len > 0 && pattern[len - 1] == '*')
        return dq_str_starts_with(name, dureq_str_of(pattern, len - 1));
    return dq_str_eq_text(name, pattern);
}

static bool contains(dureq_str text, const char *part)
{
    size_t len = strlen(part);

    for (size_t i = 0; i + len <= text.len; i++)
        if (strncasecmp(text.ptr + i, part, len) == 0)
            return true;
    return false;
}

static bool has_tag(const dureq_job *job, const char *tag)
{
    for (size_t i = 0; i < job->n_tags; i++)
        if (dq_str_eq_text(job->tags[i], tag))
            return true;
    return false;
}

static bool has_text(const dureq_job *job, const char *text)
{
    if (contains(dureq_str_from(job->id.text), text) || contains(job->task_type, text) || contains(job->payload, text))
        return true;
    for (size_t i = 0; i < job->n_tags; i++)
        if (contains(job->tags[i], text))
            return true;
    return false;
}

static bool fits(const lister *l, const dureq_job *job)
{
    const dureq_job_filter *f = &l->f;

    return wants_state(l, job->state) && name_fits(f->task_type, job->task_type) &&
           (!f->queue || dq_str_eq_text(job->queue, f->queue)) && (!f->tag || has_tag(job, f->tag)) &&
           (f->unique_key.len == 0 || dq_str_eq(f->unique_key, job->unique_key)) &&
           (f->since_ms == 0 || job->created_at_ms >= f->since_ms) && (f->until_ms == 0 || job->created_at_ms < f->until_ms) &&
           (!f->text || has_text(job, f->text));
}

/* ---- from place to place ---- */

static int read_lanes(lister *l)
{
    dq_buf bytes = {0};
    int rc;

    if (l->lanes_of == (int64_t)l->at.shard)
        return 0;
    if (l->lanes_of >= 0)
        dq_owned_reply_deinit(&l->lanes);
    l->lanes_of = -1;
    dq_resp_begin(&bytes, 4);
    dq_resp_arg(&bytes, DQ_STR_LIT("LRANGE"));
    dq_keys_arg(&bytes, dq_client_keys(l->c), l->at.shard, "lane", (dureq_str){0});
    dq_resp_arg(&bytes, DQ_STR_LIT("0"));
    dq_resp_arg(&bytes, DQ_STR_LIT("-1"));
    rc = dq_client_command(l->c, &bytes, 1, &l->lanes, l->err);
    if (rc == 0)
        l->lanes_of = l->at.shard;
    return rc;
}

static bool lane_fits(const lister *l, uint32_t lane)
{
    dureq_str queue, type, version;

    if (!dq_lane_name_split(dq_reply_str(dq_reply_at(l->lanes.reply, lane - 1)), &queue, &type, &version))
        return false;
    return name_fits(l->f.task_type, type) && (!l->f.queue || dq_str_eq_text(queue, l->f.queue));
}

/* The order of a shard: streams kind by kind, lane by lane, then the sets. */
static void step(lister *l)
{
    l->at.inner[0] = '\0';
    if (is_stream(l->at.kind) && l->at.lane < dq_reply_len(l->lanes.reply)) {
        l->at.lane++;
        return;
    }
    l->at.lane = 1;
    if (++l->at.kind <= DQ_PAGE_HISTORY)
        return;
    l->at.kind = 0;
    if (++l->at.shard >= dq_client_keys(l->c)->n_shards)
        l->over = true;
}

static bool worth_reading(const lister *l)
{
    if (!wants_kind(l, l->at.kind))
        return false;
    return !is_stream(l->at.kind) || (l->at.lane <= dq_reply_len(l->lanes.reply) && lane_fits(l, l->at.lane));
}

/* ---- rows ---- */

static int read_whole(lister *l, const dq_job_view *view, dureq_job *ret)
{
    unsigned char packed[DQ_ID_BYTES];
    dq_owned_reply reply;
    dq_buf call = {0};
    dq_job_view whole;
    int rc;

    dq_id_pack(&view->id, packed);
    dureq_str one = dureq_str_of(packed, sizeof packed);
    dq_call_job_get(&call, dq_client_keys(l->c), l->at.shard, &one, 1);
    rc = dq_client_call(l->c, l->at.shard, DQ_CALL_REPEAT, &call, &reply, l->err);
    if (rc < 0)
        return rc;
    rc = dq_job_view_decode(dq_reply_at(reply.reply, 0), &whole);
    if (rc == 0)
        rc = dq_job_view_to_job(&whole, dq_node_names_get, l->names, dq_job_list_arena(l->list), ret, l->err);
    dq_owned_reply_deinit(&reply);
    return rc;
}

static int decode_row(lister *l, dq_reply r, dureq_job *ret)
{
    dq_job_view view;
    int rc;

    rc = dq_job_view_decode(r, &view);
    if (rc < 0)
        return rc == DUREQ_ENOTFOUND ? rc : dq_fail(l->err, rc, "a row of the list cannot be read");
    if (view.cut)
        return read_whole(l, &view, ret);
    rc = dq_job_view_to_job(&view, dq_node_names_get, l->names, dq_job_list_arena(l->list), ret, l->err);
    if (rc == 0 && ret->payload_omitted && (l->f.with_payload || l->f.text)) /* it has a key of its own */
        rc = read_whole(l, &view, ret);
    return rc;
}

/* Ended, retried by hand and ended again, it is in the order of completion twice. */
static bool is_listed(const lister *l, const dureq_job *job)
{
    if (l->at.kind != DQ_PAGE_HISTORY || job->runs < 2)
        return false;
    for (size_t i = 0; i < l->list->n; i++)
        if (strcmp(l->list->items[i].id.text, job->id.text) == 0)
            return true;
    return false;
}

/* Only now: the text filter looks at payloads. */
static void leave_out(const lister *l, dureq_job *job)
{
    if (l->f.with_payload || job->payload.len <= 4096)
        return;
    job->payload = (dureq_str){0};
    job->payload_omitted = true;
}

static int take_rows(lister *l, dq_reply page)
{
    dq_reply at = dq_reply_first(page);
    size_t n = dq_reply_len(page);
    int rc;

    (void)snprintf(l->at.inner, sizeof l->at.inner, DQ_STR_FMT, DQ_STR_ARG(dq_reply_str(at)));
    at = dq_reply_next(at);
    l->list->scanned += dq_reply_int(at);
    for (size_t i = 2; i < n; i++) {
        dureq_job *job = &l->list->items[l->list->n];

        at = dq_reply_next(at);
        rc = decode_row(l, at, job);
        if (rc == DUREQ_ENOTFOUND)
            continue;
        if (rc < 0)
            return rc;
        if (fits(l, job) && !is_listed(l, job)) {
            leave_out(l, job);
            l->list->n++;
        }
    }
    return 0;
}

/* No more rows than are missing are asked for, so the cursor always stands behind what was given. */
static int read_page(lister *l)
{
    bool big = l->f.with_payload || l->f.text;
    int64_t missing = l->f.limit - (int64_t)l->list->n;
    dq_owned_reply reply;
    dq_buf call = {0};
    int rc;

    dq_call_jobs_page(&call, dq_client_keys(l->c), l->at.shard, (dq_page_kind)l->at.kind, l->at.lane, dureq_str_from(l->at.inner),
                      (int)DQ_MIN(missing, big ? PAGE_ROWS_BIG : PAGE_ROWS), !l->f.oldest_first, big ? 1100000 : BYTES_SMALL);
    rc = dq_client_call(l->c, l->at.shard, DQ_CALL_REPEAT, &call, &reply, l->err);
    if (rc < 0)
        return rc;
    rc = take_rows(l, reply.reply);
    dq_owned_reply_deinit(&reply);
    return rc;
}

static int names_for(lister *l)
{
    if (!l->names)
        l->names = dq_node_names_create(l->c, l->at.shard);
    return 0;
}

static int walk(lister *l)
{
    int rc;

    while (!l->over && l->list->n < (size_t)l->f.limit && l->list->scanned < SCAN_MAX) {
        unsigned shard = l->at.shard;

        rc = read_lanes(l);
        if (rc < 0)
            return rc;
        if (!worth_reading(l)) {
            step(l);
        } else {
            (void)names_for(l);
            rc = read_page(l);
            if (rc < 0)
                return rc;
            if (l->at.inner[0] == '\0')
                step(l);
        }
        if (l->at.shard != shard) {
            dq_node_names_destroy(l->names);
            l->names = NULL;
        }
    }
    return l->over ? 0 : cursor_put(l);
}

/* Above it a shard does not look which of its delayed jobs are retrying (counts.lua). */
#define COUNTED_DUE 1000

/* Under a filter that nothing counts: what this page knows. */
static void set_total_seen(lister *l)
{
    bool is_whole = l->over && (!l->f.cursor || !*l->f.cursor);

    l->list->total = (int64_t)l->list->n;
    l->list->total_exact = is_whole;
}

/* Known without looking when nothing but the state is asked for. */
static void set_total(lister *l)
{
    const dureq_job_filter *f = &l->f;
    dureq_counts n;

    if (f->task_type || f->queue || f->tag || f->text || f->unique_key.len || f->since_ms || f->until_ms ||
        dureq_client_count(l->c, &n, NULL) < 0) {
        set_total_seen(l);
        return;
    }
    const int64_t by_state[] = {n.pending, n.scheduled, n.running, n.retrying, n.paused, n.completed, n.dead, n.cancelled};
    l->list->total = 0;
    for (int s = 0; s < (int)DQ_ARRAY_LEN(by_state); s++)
        if (wants_state(l, (dureq_job_state)s))
            l->list->total += by_state[s];
    l->list->total_exact =
        wants_state(l, DUREQ_JOB_SCHEDULED) == wants_state(l, DUREQ_JOB_RETRYING) || n.scheduled + n.retrying <= COUNTED_DUE;
}

/* A '*' means something at the end only; elsewhere it would fit nothing. */
static int check_type(const char *type, dureq_error *err)
{
    const char *star = type ? strchr(type, '*') : NULL;

    if (star && star[1] != '\0')
        return dq_fail(err, DUREQ_EINVAL, "task_type takes a name, or its beginning and '*' at the end, not '%.80s'", type);
    return 0;
}

static int take_filter(lister *l, const dureq_job_filter *filter)
{
    int rc;

    if (filter) {
        rc = dq_options_adopt(&l->f, sizeof l->f, filter, "filter", l->err);
        if (rc < 0)
            return rc;
    }
    if (l->f.limit < 0 || l->f.limit > LIMIT_MAX)
        return dq_fail(l->err, DUREQ_EINVAL, "limit takes 1 to %d, or 0 for %d", LIMIT_MAX, LIMIT_DEFAULT);
    if (l->f.limit == 0)
        l->f.limit = LIMIT_DEFAULT;
    if (l->f.since_ms < 0 || l->f.until_ms < 0)
        return dq_fail(l->err, DUREQ_EINVAL, "since_ms and until_ms take Unix times in ms, or 0");
    rc = check_type(l->f.task_type, l->err);
    if (rc < 0)
        return rc;
    l->at = (place){.lane = 1};
    return cursor_parse(l->f.cursor, &l->at, dq_client_keys(l->c)->n_shards, l->err);
}

int dureq_client_list_jobs(dureq_client *c, const dureq_job_filter *filter, dureq_job_list **ret, dureq_error *err)
{
    lister l = {.c = c, .lanes_of = -1, .err = err};
    int rc;

    if (!c || !ret)
        return dq_fail(err, DUREQ_EINVAL, "client and ret must be given");
    dq_client_enter(c);
    rc = take_filter(&l, filter);
    if (rc == 0) {
        l.list = dq_job_list_create();
        if (l.list)
            l.list->items = dq_arena_alloc(dq_job_list_arena(l.list), ((size_t)l.f.limit + 1) * sizeof *l.list->items);
        rc = l.list && l.list->items ? walk(&l) : dq_fail_nomem(err);
    }
    if (rc == 0)
        set_total(&l);
    if (l.lanes_of >= 0)
        dq_owned_reply_deinit(&l.lanes);
    if (rc == 0)
        *ret = l.list;
    else
        dureq_job_list_destroy(l.list);
    dq_node_names_destroy(l.names);
    dq_client_leave(c);
    return rc;
}
