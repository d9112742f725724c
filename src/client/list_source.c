/* SPDX-License-Identifier: Apache-2.0 */
/* One structure of a shard as a sequence of the jobs that fit: read page by page, each row with the place after it, so that a listing can
   go on at any row. */

#include <stdio.h>

#include "client/list_internal.h"
#include "redis/resp.h"

#define SCAN_MAX      10000 /* rows a call looks at */
#define PAGE_ROWS     100   /* rows of one script call: keeps it under 5 ms with payloads left out */
#define PAGE_ROWS_BIG 8     /* the same with payloads of up to 1 MiB; and what is read of each of many structures */
#define BYTES_SMALL   4608  /* 4 KiB of payload and what comes before it */
#define BYTES_BIG     1100000
#define UNITS_BIG     5 /* DQ_CALL_LARGE, of a page of these */

static bool is_big(const dq_lister *l)
{
    return l->f.with_payload || l->f.text;
}

static dq_node_names *names_of(dq_lister *l, unsigned shard)
{
    if (!l->names[shard])
        l->names[shard] = dq_node_names_create(l->c, shard);
    return l->names[shard];
}

static int read_whole(dq_lister *l, unsigned shard, const dq_job_view *view, dureq_job *ret)
{
    unsigned char packed[DQ_ID_BYTES];
    dq_owned_reply reply;
    dq_buf call = {0};
    dq_job_view whole;
    int rc;

    dq_id_pack(&view->id, packed);
    dureq_str one = dureq_str_of(packed, sizeof packed);
    dq_call_job_get(&call, dq_client_keys(l->c), shard, &one, 1);
    rc = dq_client_call(l->c, shard, DQ_CALL_REPEAT | DQ_CALL_LARGE, &call, &reply, l->err);
    if (rc < 0)
        return rc;
    rc = dq_job_view_decode(dq_reply_at(reply.reply, 0), &whole);
    if (rc == 0)
        rc = dq_job_view_to_job(&whole, dq_node_names_get, names_of(l, shard), dq_job_list_arena(l->list), ret, l->err);
    if (rc == 0)
        rc = dq_client_read_payload(l->c, shard, &view->id, dq_job_list_arena(l->list), ret, l->err);
    dq_owned_reply_deinit(&reply);
    return rc;
}

static int decode_row(dq_lister *l, unsigned shard, const dq_job_view *view, dureq_job *ret)
{
    int rc;

    if (view->cut)
        return read_whole(l, shard, view, ret);
    rc = dq_job_view_to_job(view, dq_node_names_get, names_of(l, shard), dq_job_list_arena(l->list), ret, l->err);
    if (rc == 0 && ret->payload_omitted && is_big(l)) /* it has a key of its own */
        rc = read_whole(l, shard, view, ret);
    return rc;
}

/* One that never moved was not retried either. */
static bool has_moved(const dq_job_view *view)
{
    dq_row row;

    return dq_row_unpack(view->body, &view->id, &row) < 0 || row.m.len > 0;
}

/* Ended, retried by hand and ended again, it is in the order of completion twice. */
static bool is_listed(const dq_lister *l, const dq_list_source *s, const dq_job_view *view, const dureq_job *job)
{
    if (s->place != DQ_PLACE_HISTORY || !has_moved(view))
        return false;
    for (size_t i = 0; i < l->list->n; i++)
        if (strcmp(l->list->items[i].id.text, job->id.text) == 0)
            return true;
    return false;
}

/* By what the structure is in order; of a set in order of times to come, when its jobs were accepted. */
static int64_t key_of(const dq_list_source *s, const dureq_job *job, dureq_str behind)
{
    int64_t ms;

    if (s->place == DQ_PLACE_LANES && dq_parse_i64(dq_str_cut(&behind, '-'), 0, INT64_MAX, &ms) == 0)
        return ms;
    return dq_places[s->place].by_end ? job->finished_at_ms : job->created_at_ms;
}

/* Only now: the text filter looks at payloads. */
static void leave_out(const dq_lister *l, dureq_job *job)
{
    if (l->f.with_payload || job->payload.len <= 4096)
        return;
    job->payload = (dureq_str){0};
    job->payload_omitted = true;
}

static void copy_place(char out[DQ_LIST_PLACE_MAX], dureq_str place)
{
    (void)snprintf(out, DQ_LIST_PLACE_MAX, DQ_STR_FMT, DQ_STR_ARG(place));
}

/* Newest first: whether none that follows can be since the time that is asked for, as it was accepted before it came, or died. Of times to come, and of history,
   which is in order of completion bucket by bucket, the order does not tell. */
static bool is_too_old(const dq_lister *l, const dq_list_source *s, int64_t key)
{
    return !l->f.oldest_first && key < l->f.since_ms && (s->place == DQ_PLACE_LANES || s->place == DQ_PLACE_DEAD);
}

/* The next row of the page: the head when it fits, else passed over. */
static int take_row(dq_lister *l, dq_list_source *s)
{
    dq_job_view view;
    int rc;

    s->row = dq_reply_next(s->row);
    s->n_left--;
    rc = dq_job_view_decode(s->row, &view);
    if (rc < 0)
        return dq_fail(l->err, rc, "a row of the list cannot be read");
    rc = decode_row(l, s->shard, &view, &s->head);
    if (rc < 0 && rc != DUREQ_ENOTFOUND) /* gone meanwhile */
        return rc;
    if (rc < 0 || !dq_list_fits(l, &s->head) || is_listed(l, s, &view, &s->head)) {
        copy_place(s->at, view.behind);
        if (rc == 0 && is_too_old(l, s, key_of(s, &s->head, view.behind))) {
            s->n_left = 0;
            s->is_read = true;
        }
        return 0;
    }
    leave_out(l, &s->head);
    s->key = key_of(s, &s->head, view.behind);
    copy_place(s->head_at, view.behind);
    s->has_head = true;
    s->is_dry = false;
    return 0;
}

/* Rows that are read and not given are read again for the next page: of many structures a few of each. */
static int rows_to_read(const dq_lister *l, const dq_list_source *s)
{
    int64_t missing = l->f.limit - (int64_t)l->list->n;
    int64_t share = l->is_merged && l->n_sources > 1 ? 2 * missing / (int64_t)l->n_sources + 1 : missing;

    if (is_big(l))
        return PAGE_ROWS_BIG;
    return s->is_dry ? PAGE_ROWS : (int)DQ_MIN(DQ_MAX(share, PAGE_ROWS_BIG), PAGE_ROWS);
}

static void drop_page(dq_list_source *s)
{
    if (s->has_page)
        dq_owned_reply_deinit(&s->page);
    s->has_page = false;
}

static int read_page(dq_lister *l, dq_list_source *s)
{
    dq_page p = {
        .shard = s->shard,
        .place = s->place,
        .cursor = dureq_str_from(s->read_at),
        .limit = rows_to_read(l, s),
        .newest_first = !l->f.oldest_first,
        .bytes_max = is_big(l) ? BYTES_BIG : BYTES_SMALL,
        .pending = dq_list_wants_state(l, DUREQ_JOB_PENDING),
        .running = dq_list_wants_state(l, DUREQ_JOB_RUNNING),
        .lanes = s->lanes,
        .n_lanes = s->n_lanes,
    };
    dq_buf call = {0};
    int rc;

    drop_page(s);
    dq_call_page(&call, dq_client_keys(l->c), &p);
    rc = dq_client_call(l->c, s->shard, DQ_CALL_REPEAT | (is_big(l) ? UNITS_BIG * DQ_CALL_LARGE : 0), &call, &s->page, l->err);
    if (rc < 0)
        return rc;
    s->has_page = true;
    if (dq_reply_len(s->page.reply) < 2)
        return dq_fail(l->err, DUREQ_EPROTO, "a page of the list cannot be read");
    dq_reply next = dq_reply_first(s->page.reply);
    s->row = dq_reply_next(next);
    dq_reply_add(s->row, &l->list->scanned);
    s->n_left = dq_reply_len(s->page.reply) - 2;
    s->is_read = dq_reply_str(next).len == 0;
    s->is_dry = true;
    copy_place(s->read_at, dq_reply_str(next));
    return 0;
}

int dq_list_look(dq_lister *l, dq_list_source *s, bool *ret_known)
{
    int rc = 0;

    *ret_known = true;
    while (rc == 0 && !s->has_head) {
        if (s->n_left > 0) {
            rc = take_row(l, s);
        } else if (s->is_read) {
            break;
        } else if (s->has_page && l->list->scanned >= SCAN_MAX) { /* the first page is read anyway, so that each call gets on */
            *ret_known = false;
            break;
        } else {
            rc = read_page(l, s);
        }
    }
    return rc;
}

void dq_list_give(dq_lister *l, dq_list_source *s)
{
    l->list->items[l->list->n++] = s->head;
    l->n_bytes += s->head.payload.len + s->head.result.len;
    memcpy(s->at, s->head_at, sizeof s->at);
    s->has_head = false;
}

void dq_list_source_deinit(dq_list_source *s)
{
    drop_page(s);
    dq_free(s->lanes);
}
