/* SPDX-License-Identifier: Apache-2.0 */
/* Listing jobs. Nothing is in order of all jobs: each shard keeps lanes, due, paused and dead jobs and its history by themselves, each in an
   order of its own. A page is merged from those that may hold what is wanted: of each the next job that fits is known, and the newest (or
   oldest) of these is given. The cursor says of each how far it was given, so pages stay stable while jobs come and go, and a page costs
   a few rows of each structure, whatever they hold. Under a filter that only rows can answer, one is read after the other. Filters are applied before the page is full; a call looks at a bounded number of rows:
   a page may come short, with a cursor to go on from. */

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <strings.h>

#include "base/clock.h"
#include "client/list_internal.h"
#include "store/plain_calls.h"

#define LIMIT_DEFAULT  10
#define LIMIT_MAX      1000
#define PAGE_BYTES_MAX (4u << 20)

/* ---- filters ---- */

bool dq_list_wants_state(const dq_lister *l, dureq_job_state state)
{
    if (l->f.n_states == 0)
        return true;
    for (size_t i = 0; i < l->f.n_states; i++)
        if (l->f.states[i] == state)
            return true;
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
    if (contains(dureq_str_from(job->id.text), text) || contains(job->task_type, text) || contains(job->payload, text) ||
        contains(job->last_error, text) || contains(job->reason, text))
        return true;
    for (size_t i = 0; i < job->n_attempts; i++)
        if (contains(job->attempts[i].error, text) || contains(job->attempts[i].detail, text))
            return true;
    for (size_t i = 0; i < job->n_tags; i++)
        if (contains(job->tags[i], text))
            return true;
    return false;
}

bool dq_list_fits(const dq_lister *l, const dureq_job *job)
{
    const dureq_job_filter *f = &l->f;

    return dq_list_wants_state(l, job->state) && name_fits(f->task_type, job->task_type) &&
           (!f->queue || dq_str_eq_text(job->queue, f->queue)) && (!f->tag || has_tag(job, f->tag)) &&
           (f->unique_key.len == 0 || dq_str_eq(f->unique_key, job->unique_key)) &&
           (f->since_ms == 0 || job->created_at_ms >= f->since_ms) && (f->until_ms == 0 || job->created_at_ms < f->until_ms) &&
           (!f->text || has_text(job, f->text)) && dq_scope_fits(l->scope, job->queue, job->task_type);
}

/* ---- sources ---- */

static bool wants_place(const dq_lister *l, dq_place place)
{
    for (unsigned state = 0; dq_places[place].states >> state; state++)
        if ((dq_places[place].states >> state & 1) && dq_list_wants_state(l, (dureq_job_state)state))
            return true;
    return false;
}

static dq_list_source *source_add(dq_lister *l, unsigned shard, dq_place place, uint32_t group)
{
    if (l->n_sources == l->sources_cap) {
        size_t cap = l->sources_cap ? 2 * l->sources_cap : 8;
        dq_list_source *grown = dq_realloc(l->sources, cap * sizeof *grown);

        if (!grown)
            return NULL;
        l->sources = grown;
        l->sources_cap = cap;
    }
    dq_list_source *s = &l->sources[l->n_sources++];
    *s = (dq_list_source){.shard = shard, .place = place, .group = group};
    return s;
}

static bool lane_fits(const dq_lister *l, dureq_str name)
{
    dureq_str queue, type, version;

    if (!dq_lane_name_split(name, &queue, &type, &version))
        return false;
    return name_fits(l->f.task_type, type) && (!l->f.queue || dq_str_eq_text(queue, l->f.queue)) &&
           dq_scope_fits(l->scope, queue, type);
}

/* Lanes are numbered from 1. */
static int lane_add(dq_lister *l, unsigned shard, uint32_t lane)
{
    uint32_t group = lane / DQ_LIST_GROUP;
    dq_list_source *s = l->n_sources ? &l->sources[l->n_sources - 1] : NULL;

    if (!s || s->shard != shard || s->place != DQ_PLACE_LANES || s->group != group) {
        s = source_add(l, shard, DQ_PLACE_LANES, group);
        if (!s)
            return dq_fail_nomem(l->err);
        s->lanes = dq_calloc(DQ_LIST_GROUP, sizeof *s->lanes);
        if (!s->lanes)
            return dq_fail_nomem(l->err);
    }
    s->lanes[s->n_lanes++] = lane;
    return 0;
}

static int add_lanes(dq_lister *l, unsigned shard)
{
    dq_owned_reply names;
    dq_buf bytes = {0};
    int rc;

    dq_plain_list(&bytes, dq_client_keys(l->c), shard, "lane", 0);
    rc = dq_client_command(l->c, &bytes, 1, &names, l->err);
    if (rc < 0)
        return rc;
    dq_reply_items items = dq_reply_items_of(names.reply);
    dq_reply name;
    for (uint32_t no = 1; rc == 0 && dq_reply_items_next(&items, &name); no++)
        if (lane_fits(l, dq_reply_str(name)))
            rc = lane_add(l, shard, no);
    dq_owned_reply_deinit(&names);
    return rc;
}

static int add_sources(dq_lister *l)
{
    unsigned n_shards = dq_client_keys(l->c)->n_shards;
    int rc = 0;

    l->names = dq_calloc(n_shards, sizeof(dq_node_names *));
    if (!l->names)
        return dq_fail_nomem(l->err);
    for (unsigned shard = 0; rc == 0 && shard < n_shards; shard++) {
        if (wants_place(l, DQ_PLACE_LANES))
            rc = add_lanes(l, shard);
        for (dq_place place = DQ_PLACE_LANES + 1; rc == 0 && place < DQ_N_PLACES; place++)
            if (wants_place(l, place) && !source_add(l, shard, place, 0))
                rc = dq_fail_nomem(l->err);
    }
    return rc;
}

/* ---- the cursor: shard.place.group.row of each source that was given from, with commas between ---- */

static bool cut_number(dureq_str *rest, char end, int64_t max, int64_t *ret)
{
    return dq_parse_i64(dq_str_cut(rest, end), 0, max, ret) == 0;
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

static bool is_numbers(dureq_str rest, char between, int n)
{
    int64_t ignored;

    for (int i = 0; i < n; i++)
        if (!cut_number(&rest, between, INT64_MAX, &ignored))
            return false;
    return !rest.ptr || rest.len == 0;
}

/* What the scripts gave for a structure of this kind. */
static bool row_fits(dq_place place, dureq_str row)
{
    if (row.len >= DQ_LIST_PLACE_MAX)
        return false;
    if (dq_places[place].records)
        return is_score_and_id(row);
    return place == DQ_PLACE_LANES ? is_numbers(row, '-', 4) : is_numbers(row, ':', 3);
}

/* One source's place, off the front of a cursor. */
typedef struct cursor_part {
    int64_t shard, place, group;
    dureq_str row;
} cursor_part;

static bool cursor_next(dureq_str *rest, unsigned n_shards, cursor_part *ret)
{
    ret->row = dq_str_cut(rest, ',');
    return cut_number(&ret->row, '.', n_shards - 1, &ret->shard) && cut_number(&ret->row, '.', DQ_N_PLACES - 1, &ret->place) &&
           cut_number(&ret->row, '.', UINT32_MAX, &ret->group) && row_fits((dq_place)ret->place, ret->row);
}

static int cursor_apply(dq_lister *l, dureq_str rest)
{
    while (rest.len > 0) {
        cursor_part p;

        if (!cursor_next(&rest, dq_client_keys(l->c)->n_shards, &p))
            return dq_fail(l->err, DUREQ_EINVAL, "cursor is not one that a page gave");
        for (size_t i = 0; i < l->n_sources; i++) {
            dq_list_source *s = &l->sources[i];

            if (s->shard == p.shard && s->place == (dq_place)p.place && s->group == p.group) {
                (void)snprintf(s->at, sizeof s->at, DQ_STR_FMT, DQ_STR_ARG(p.row));
                memcpy(s->read_at, s->at, sizeof s->at);
            }
        }
    }
    return 0;
}

static int cursor_put(dq_lister *l)
{
    DQ_BUF_AUTO text = {0};
    int rc;

    for (size_t i = 0; i < l->n_sources; i++) {
        const dq_list_source *s = &l->sources[i];

        if (s->at[0])
            dq_buf_append_fmt(&text, "%s%u.%d.%" PRIu32 ".%s", text.len ? "," : "", s->shard, (int)s->place, s->group, s->at);
    }
    rc = dq_buf_finish(&text, l->err);
    if (rc < 0)
        return rc;
    l->list->next_cursor = dq_arena_dup_str(dq_job_list_arena(l->list), dq_buf_str(&text));
    return l->list->next_cursor.len > 0 || text.len == 0 ? 0 : dq_fail_nomem(l->err);
}

/* ---- merging ---- */

static bool comes_first(const dq_lister *l, const dq_list_source *a, const dq_list_source *b)
{
    bool newest = !l->f.oldest_first;

    if (a->key != b->key)
        return (a->key > b->key) == newest;
    return (strcmp(a->head.id.text, b->head.id.text) > 0) == newest;
}

/* NULL: none has a job that fits. */
static dq_list_source *first_of(const dq_lister *l)
{
    dq_list_source *first = NULL;

    for (size_t i = 0; i < l->n_sources; i++)
        if (l->sources[i].has_head && (!first || comes_first(l, &l->sources[i], first)))
            first = &l->sources[i];
    return first;
}

static bool is_over(const dq_lister *l)
{
    for (size_t i = 0; i < l->n_sources; i++)
        if (l->sources[i].has_head || l->sources[i].n_left > 0 || !l->sources[i].is_read)
            return false;
    return true;
}

/* With a filter that only rows can answer, the next job of a structure may be far or nowhere: merging would look through all of them
   before it gave one. */
static bool is_merged(const dq_lister *l)
{
    const dureq_job_filter *f = &l->f;

    return dq_scope_is_open(l->scope) && !f->task_type && !f->queue && !f->tag && !f->text && f->unique_key.len == 0 &&
           f->since_ms == 0 && f->until_ms == 0;
}

/* A page ends when it is full, or large: payloads are as they are, and a caller holds it whole. */
static bool has_room(const dq_lister *l)
{
    return (int64_t)l->list->n < l->f.limit && l->n_bytes < l->bytes_max;
}

static int one_by_one(dq_lister *l)
{
    bool known = true;
    int rc = 0;

    for (size_t i = 0; rc == 0 && known && i < l->n_sources; i++) {
        dq_list_source *s = &l->sources[i];

        while (rc == 0 && known && has_room(l)) {
            rc = dq_list_look(l, s, &known);
            if (rc < 0 || !s->has_head)
                break;
            dq_list_give(l, s);
        }
    }
    return rc;
}

static int merge(dq_lister *l)
{
    bool known = true;
    int rc = 0;

    for (size_t i = 0; rc == 0 && known && i < l->n_sources; i++)
        rc = dq_list_look(l, &l->sources[i], &known);
    while (rc == 0 && known && has_room(l)) {
        dq_list_source *s = first_of(l);

        if (!s)
            break;
        dq_list_give(l, s);
        if (has_room(l)) /* what comes after a full page is the next one's to know */
            rc = dq_list_look(l, s, &known);
    }
    return rc;
}

/* Above it a shard does not look which of its delayed jobs are retrying (counts.lua). */
#define COUNTED_DUE 1000

/* Under a filter that nothing counts: what this page knows. */
static void set_total_seen(dq_lister *l)
{
    bool is_whole = is_over(l) && (!l->f.cursor || !*l->f.cursor);

    l->list->total = (int64_t)l->list->n;
    l->list->total_exact = is_whole;
}

/* Known without looking when nothing but the state is asked for. */
static void set_total(dq_lister *l)
{
    dureq_counts n;

    if (!l->is_merged || dureq_client_count(l->c, &n, NULL) < 0) {
        set_total_seen(l);
        return;
    }
    const int64_t by_state[] = {n.pending, n.scheduled, n.running, n.retrying, n.paused, n.completed, n.dead, n.cancelled};
    l->list->total = 0;
    for (int s = 0; s < (int)DQ_ARRAY_LEN(by_state); s++)
        if (dq_list_wants_state(l, (dureq_job_state)s))
            l->list->total = dq_add_sat(l->list->total, by_state[s]);
    l->list->total_exact = dq_list_wants_state(l, DUREQ_JOB_SCHEDULED) == dq_list_wants_state(l, DUREQ_JOB_RETRYING) ||
                           dq_add_sat(n.scheduled, n.retrying) <= COUNTED_DUE;
}

static int take_filter(dq_lister *l, const dureq_job_filter *filter)
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
    return dq_type_filter_check(l->f.task_type, l->err);
}

static int list_jobs(dq_lister *l)
{
    int rc;

    l->list = dq_job_list_create();
    if (l->list)
        l->list->items = dq_arena_alloc(dq_job_list_arena(l->list), ((size_t)l->f.limit + 1) * sizeof *l->list->items);
    if (!l->list || !l->list->items)
        return dq_fail_nomem(l->err);
    rc = add_sources(l);
    if (rc == 0)
        rc = cursor_apply(l, dureq_str_from(l->f.cursor));
    l->is_merged = is_merged(l);
    if (rc == 0)
        rc = l->is_merged ? merge(l) : one_by_one(l);
    if (rc == 0 && !is_over(l))
        rc = cursor_put(l);
    if (rc == 0)
        set_total(l);
    return rc;
}

static void lister_deinit(dq_lister *l)
{
    for (size_t i = 0; i < l->n_sources; i++)
        dq_list_source_deinit(&l->sources[i]);
    dq_free(l->sources);
    for (unsigned i = 0; l->names && i < dq_client_keys(l->c)->n_shards; i++)
        dq_node_names_destroy(l->names[i]);
    dq_free(l->names);
}

static int list_for(dq_lister *l, const dureq_job_filter *filter, dureq_job_list **ret)
{
    int rc;

    if (!l->c || !ret)
        return dq_fail(l->err, DUREQ_EINVAL, "client and ret must be given");
    dq_client_enter(l->c);
    rc = take_filter(l, filter);
    if (rc == 0)
        rc = list_jobs(l);
    lister_deinit(l);
    if (rc == 0)
        *ret = l->list;
    else
        dureq_job_list_destroy(l->list);
    dq_client_leave(l->c);
    return rc;
}

int dq_client_list_jobs_within(dureq_client *c, const dureq_job_filter *filter, const dq_scope *scope, dureq_job_list **ret,
                               dureq_error *err)
{
    dq_lister l = {.c = c, .scope = scope, .bytes_max = PAGE_BYTES_MAX, .err = err};

    return list_for(&l, filter, ret);
}

int dureq_client_list_jobs(dureq_client *c, const dureq_job_filter *filter, dureq_job_list **ret, dureq_error *err)
{
    dq_lister l = {.c = c, .bytes_max = SIZE_MAX, .err = err};

    return list_for(&l, filter, ret);
}
