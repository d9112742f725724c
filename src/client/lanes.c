/* SPDX-License-Identifier: Apache-2.0 */
#include "client/lanes.h"

#include "client/walk.h"

#define LANES_A_CALL 500 /* some 3 ms of the server, when jobs wait in all of them */

/* Reads one page: the answer of a call that begins with lane *from, which is moved on to the next page's, 0 at the end. */
typedef int (*page_fn)(dureq_client *c, unsigned shard, int64_t *from, dq_walked *w, dureq_error *err);

static int walk(dureq_client *c, page_fn fn, dq_walked *w, dureq_error *err)
{
    int rc = 0;

    for (unsigned s = 0; rc == 0 && s < dq_client_keys(c)->n_shards; s++) {
        int64_t from = 1;

        do {
            rc = fn(c, s, &from, w, err);
            w->is_wide = w->is_wide || from > 0;
        } while (rc == 0 && from > 0);
    }
    return rc;
}

/* ---- jobs by state: rows is a dureq_counts ---- */

static void add_counts(dureq_counts *sum, dq_reply r, int64_t *from)
{
    int64_t *const fields[] = {&sum->pending,   &sum->scheduled, &sum->running,   &sum->retrying, &sum->paused,
                               &sum->completed, &sum->dead,      &sum->cancelled, &sum->nodes,    &sum->history_bytes};
    dq_reply_items items = dq_reply_items_of(r);
    dq_reply count;

    *from = dq_reply_items_next(&items, &count) ? dq_reply_int(count) : 0;
    for (size_t i = 0; i < DQ_ARRAY_LEN(fields) && dq_reply_items_next(&items, &count); i++)
        dq_reply_add(count, fields[i]);
}

static int count_page(dureq_client *c, unsigned shard, int64_t *from, dq_walked *w, dureq_error *err)
{
    dq_owned_reply reply;
    dq_buf call = {0};
    dureq_counts sum;
    int rc;

    dq_call_counts(&call, dq_client_keys(c), shard, *from, LANES_A_CALL);
    rc = dq_client_call(c, shard, DQ_CALL_REPEAT, &call, &reply, err);
    if (rc < 0)
        return rc;
    memcpy(&sum, w->rows.ptr, sizeof sum);
    add_counts(&sum, reply.reply, from);
    memcpy(w->rows.ptr, &sum, sizeof sum);
    dq_owned_reply_deinit(&reply);
    return 0;
}

static int count_all(dureq_client *c, dq_walked *w, dureq_error *err)
{
    const dureq_counts none = {0};

    dq_buf_append(&w->rows, &none, sizeof none);
    return dq_buf_failed(&w->rows) ? dq_fail_nomem(err) : walk(c, count_page, w, err);
}

int dureq_client_count(dureq_client *c, dureq_counts *ret, dureq_error *err)
{
    dq_walked *w;
    unsigned n;
    int rc;

    if (!c || !ret)
        return dq_fail(err, DUREQ_EINVAL, "client and ret must be given");
    dq_client_enter(c);
    rc = dq_walk_read(c, DQ_WALK_COUNTS, count_all, &w, err);
    if (rc == 0) {
        n = dq_client_keys(c)->n_shards;
        memcpy(ret, w->rows.ptr, sizeof *ret);
        if (n > 1)
            ret->nodes = (ret->nodes + n - 1) / n; /* a session in each shard */
        dq_walk_release(c, w);
    }
    dq_client_leave(c);
    return rc;
}

/* ---- what waits: rows of queue, type, n ---- */

static int put_waiting(dureq_str queue, dureq_str type, int64_t n, void *userdata)
{
    dq_buf *rows = userdata;

    dq_buf_append_lstr(rows, queue);
    dq_buf_append_lstr(rows, type);
    dq_buf_append_varint(rows, (uint64_t)n);
    return 0;
}

static int waiting_page(dureq_client *c, unsigned shard, int64_t *from, dq_walked *w, dureq_error *err)
{
    dq_owned_reply reply;
    dq_buf call = {0};
    int rc;

    dq_call_lanes_waiting(&call, dq_client_keys(c), shard, *from, LANES_A_CALL);
    rc = dq_client_call(c, shard, DQ_CALL_REPEAT, &call, &reply, err);
    if (rc < 0)
        return rc;
    rc = dq_lanes_waiting_decode(&reply.reply, from, put_waiting, &w->rows);
    dq_owned_reply_deinit(&reply);
    return rc < 0 ? dq_fail(err, rc, "the answer of lanes_waiting cannot be read") : 0;
}

static int waiting_all(dureq_client *c, dq_walked *w, dureq_error *err)
{
    return walk(c, waiting_page, w, err);
}

int dq_client_walk_waiting(dureq_client *c, dq_lane_waiting_fn fn, void *userdata, dureq_error *err)
{
    dq_walked *w;
    int rc;

    dq_client_enter(c);
    rc = dq_walk_read(c, DQ_WALK_WAITING, waiting_all, &w, err);
    if (rc == 0) {
        dq_reader r = dq_reader_of(dq_buf_str(&w->rows));

        while (rc >= 0 && r.p < r.end) {
            dureq_str queue = dq_read_lstr(&r), type = dq_read_lstr(&r);

            rc = fn(queue, type, (int64_t)dq_read_varint(&r), userdata);
        }
        dq_walk_release(c, w);
    }
    dq_client_leave(c);
    return DQ_MIN(rc, 0);
}

/* ---- queues: rows of queue, pending, running, oldest + 1 ---- */

static int put_queue(dureq_str queue, const dq_queue_stats *s, void *userdata)
{
    dq_buf *rows = userdata;

    dq_buf_append_lstr(rows, queue);
    dq_buf_append_varint(rows, (uint64_t)s->pending);
    dq_buf_append_varint(rows, (uint64_t)s->running);
    dq_buf_append_varint(rows, (uint64_t)(s->oldest_ms + 1));
    return 0;
}

static int queues_page(dureq_client *c, unsigned shard, int64_t *from, dq_walked *w, dureq_error *err)
{
    dq_owned_reply reply;
    dq_buf call = {0};
    int rc;

    dq_call_queue_stats(&call, dq_client_keys(c), shard, *from, LANES_A_CALL);
    rc = dq_client_call(c, shard, DQ_CALL_REPEAT, &call, &reply, err);
    if (rc < 0)
        return rc;
    rc = dq_queue_stats_decode(&reply.reply, from, &w->now_ms, put_queue, &w->rows);
    dq_owned_reply_deinit(&reply);
    return rc < 0 ? dq_fail(err, rc, "the answer of queue_stats cannot be read") : 0;
}

static int queues_all(dureq_client *c, dq_walked *w, dureq_error *err)
{
    return walk(c, queues_page, w, err);
}

int dq_client_walk_queues(dureq_client *c, dq_queue_stats_fn fn, void *userdata, int64_t *ret_now_ms, dureq_error *err)
{
    dq_walked *w;
    int rc;

    dq_client_enter(c);
    rc = dq_walk_read(c, DQ_WALK_QUEUES, queues_all, &w, err);
    if (rc == 0) {
        dq_reader r = dq_reader_of(dq_buf_str(&w->rows));

        *ret_now_ms = w->now_ms;
        while (rc >= 0 && r.p < r.end) {
            dureq_str queue = dq_read_lstr(&r);
            dq_queue_stats s = {.pending = (int64_t)dq_read_varint(&r)};

            s.running = (int64_t)dq_read_varint(&r);
            s.oldest_ms = (int64_t)dq_read_varint(&r) - 1;
            rc = fn(queue, &s, userdata);
        }
        dq_walk_release(c, w);
    }
    dq_client_leave(c);
    return DQ_MIN(rc, 0);
}
