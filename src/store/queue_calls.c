/* SPDX-License-Identifier: Apache-2.0 */
#include "store/queue_calls.h"

#include "base/clock.h"
#include "store/core.h"

#define PURGE_LIMIT 200

void dq_call_queue_define(dq_buf *out, const dq_keys *k, dureq_str name, dureq_str seen, dureq_str json)
{
    DQ_BUF_AUTO key = {0};

    dq_buf_append_fmt(&key, "%s:config:queues", k->prefix);
    out->failed = out->failed || dq_buf_failed(&key);
    dq_call c = dq_call_begin_lone(out, dq_buf_str(&key), &(dq_call_form){.script = DQ_SCRIPT_QUEUE_DEFINE});
    dq_call_arg(&c, name);
    dq_call_arg(&c, seen);
    dq_call_arg(&c, json);
    dq_call_end(&c);
}

void dq_call_queue_get(dq_buf *out, const dq_keys *k, dureq_str name)
{
    DQ_BUF_AUTO key = {0};

    dq_buf_append_fmt(&key, "%s:config:queues", k->prefix);
    out->failed = out->failed || dq_buf_failed(&key);
    dq_call c = dq_call_begin_lone(out, dq_buf_str(&key), &(dq_call_form){.script = DQ_SCRIPT_QUEUE_GET});
    dq_call_arg(&c, name);
    dq_call_end(&c);
}

static void queue_row(dq_buf *out, const dq_keys *k, unsigned shard, dureq_str actor, const char *action, dureq_str name,
                      const dq_queue *q)
{
    unsigned char row[DQ_QUEUE_ROW_BYTES];
    dq_call c = dq_call_begin(out, k, shard, DQ_SCRIPT_QUEUE_SET);

    if (q)
        dq_queue_row(q, row);
    dq_call_key(&c, "q");
    dq_call_key(&c, "paused_queues");
    dq_call_arg(&c, actor);
    dq_call_arg_text(&c, action);
    dq_call_arg(&c, name);
    dq_call_arg(&c, dureq_str_of((const char *)row, q ? sizeof row : 0));
    dq_call_arg_flag(&c, q && q->paused);
    dq_call_end(&c);
}

void dq_call_queue_set(dq_buf *out, const dq_keys *k, unsigned shard, dureq_str actor, const char *action, const dq_queue *q)
{
    queue_row(out, k, shard, actor, action, q->name, q);
}

void dq_call_queue_unset(dq_buf *out, const dq_keys *k, unsigned shard, dureq_str actor, dureq_str name)
{
    queue_row(out, k, shard, actor, "queue.delete", name, /*q=*/NULL);
}

void dq_call_shard_init(dq_buf *out, const dq_keys *k, unsigned shard, const dq_shard_init *init)
{
    static const char *const parts[] = {[DQ_SHARD_ASK] = "a", [DQ_SHARD_ROWS] = "p", [DQ_SHARD_LAST] = "e"};
    dq_call c = dq_call_begin(out, k, shard, DQ_SCRIPT_SHARD_INIT);

    dq_call_key(&c, "q");
    dq_call_key(&c, "paused_queues");
    if (init) {
        dq_call_arg(&c, init->token);
        dq_call_arg_i64(&c, init->history_max_bytes);
        dq_call_arg_text(&c, init->keeps_cap ? "k" : "");
        dq_call_arg(&c, init->digest);
        dq_call_arg_text(&c, parts[init->part]);
        dq_call_arg_i64(&c, (int64_t)init->n_all);
    }
    for (size_t i = 0; init && i < init->n_queues; i++) {
        const dq_queue *q = &init->queues[i];
        unsigned char row[DQ_QUEUE_ROW_BYTES];

        dq_queue_row(q, row);
        dq_call_arg(&c, q->name);
        dq_call_arg(&c, dureq_str_of(row, sizeof(row)));
        dq_call_arg_flag(&c, q->paused);
    }
    dq_call_end(&c);
}

bool dq_shard_init_wants(const dq_reply *r)
{
    return dq_reply_len(*r) >= 4 && dq_reply_int(dq_reply_at(*r, 3)) == 1;
}

dq_call dq_call_lanes_listen(dq_buf *out, const dq_keys *k, unsigned shard, uint64_t session)
{
    dq_call c = dq_call_begin(out, k, shard, DQ_SCRIPT_LANES_LISTEN);

    dq_call_key_no(&c, "s:", session);
    dq_call_arg_i64(&c, (int64_t)session);
    return c;
}

void dq_listen_lane(dq_call *c, uint32_t lane, uint32_t most)
{
    dq_call_arg_i64(c, lane);
    if (most)
        dq_call_arg_i64(c, most);
    else
        dq_call_arg(c, (dureq_str){0});
}

bool dq_listen_next(dureq_str *answer, uint32_t *ret_lane)
{
    const unsigned char *p = (const unsigned char *)answer->ptr;

    if (answer->len < 3)
        return false;
    *ret_lane = (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2];
    *answer = dureq_str_of(answer->ptr + 3, answer->len - 3);
    return true;
}

dq_call dq_call_lanes_wake(dq_buf *out, const dq_keys *k, unsigned shard)
{
    return dq_call_begin(out, k, shard, DQ_SCRIPT_LANES_WAKE);
}

void dq_wake_lane(dq_call *c, uint32_t lane)
{
    dq_call_arg_i64(c, lane);
}

void dq_call_queues_paused(dq_buf *out, const dq_keys *k, unsigned shard, dureq_str cursor)
{
    dq_call c = dq_call_begin(out, k, shard, DQ_SCRIPT_QUEUES_PAUSED);

    dq_call_key(&c, "paused_queues");
    dq_call_arg(&c, cursor);
    dq_call_end(&c);
}

int dq_paused_page_decode(const dq_reply *r, dq_paused_page *ret)
{
    if (dq_reply_type(*r) != DQ_RESP_ARRAY || dq_reply_len(*r) != 3)
        return DUREQ_EPROTO;
    ret->version = dq_reply_int(dq_reply_at(*r, 0));
    ret->cursor = dq_reply_str(dq_reply_at(*r, 1));
    ret->names = dq_reply_at(*r, 2);
    return ret->cursor.len > 0 ? 0 : DUREQ_EPROTO;
}

void dq_call_queue_purge(dq_buf *out, const dq_keys *k, unsigned shard, dureq_str actor, dureq_str name, dureq_str type,
                         int64_t until_ms)
{
    dq_call c = dq_call_begin(out, k, shard, DQ_SCRIPT_QUEUE_PURGE);

    dq_call_arg(&c, actor);
    dq_call_arg_i64(&c, shard);
    dq_call_arg(&c, name);
    dq_call_arg_i64(&c, PURGE_LIMIT);
    dq_call_arg(&c, type);
    dq_call_arg_i64(&c, until_ms);
    dq_call_end(&c);
}

int dq_queue_purge_decode(const dq_reply *r, dq_queue_purged *ret)
{
    if (dq_reply_type(*r) != DQ_RESP_ARRAY || dq_reply_len(*r) != 3)
        return DUREQ_EPROTO;
    ret->n = dq_reply_int(dq_reply_at(*r, 0));
    ret->more = dq_reply_int(dq_reply_at(*r, 1)) != 0;
    ret->until_ms = dq_reply_int(dq_reply_at(*r, 2));
    return 0;
}

void dq_call_queue_stats(dq_buf *out, const dq_keys *k, unsigned shard, int64_t from, int limit)
{
    dq_call c = dq_call_begin(out, k, shard, DQ_SCRIPT_QUEUE_STATS);

    dq_call_arg_i64(&c, from);
    dq_call_arg_i64(&c, limit);
    dq_call_end(&c);
}

int dq_queue_stats_decode(const dq_reply *r, int64_t *ret_next, int64_t *ret_now_ms, dq_queue_stats_fn fn, void *userdata)
{
    dq_reply_items items = dq_reply_items_of(*r);
    dq_reply at, queue;
    int rc = 0;

    if (dq_reply_type(*r) != DQ_RESP_ARRAY || dq_reply_len(*r) % 4 != 2)
        return DUREQ_EPROTO;
    *ret_next = dq_reply_items_next(&items, &at) ? dq_reply_int(at) : 0;
    *ret_now_ms = dq_reply_items_next(&items, &at) ? dq_reply_int(at) : 0;
    while (rc >= 0 && dq_reply_items_next(&items, &queue)) {
        dq_queue_stats s = {0};
        int64_t *const fields[] = {&s.pending, &s.running, &s.oldest_ms};

        for (size_t i = 0; i < DQ_ARRAY_LEN(fields) && dq_reply_items_next(&items, &at); i++)
            *fields[i] = dq_reply_int(at);
        rc = fn(dq_reply_str(queue), &s, userdata);
    }
    return rc < 0 ? rc : 0;
}

void dq_queue_stats_add(dq_queue_stats *sum, const dq_queue_stats *part)
{
    sum->pending = dq_add_sat(sum->pending, part->pending);
    sum->running = dq_add_sat(sum->running, part->running);
    if (part->oldest_ms >= 0 && (sum->oldest_ms < 0 || part->oldest_ms < sum->oldest_ms))
        sum->oldest_ms = part->oldest_ms;
}

void dq_call_lanes_waiting(dq_buf *out, const dq_keys *k, unsigned shard, int64_t from, int limit)
{
    dq_call c = dq_call_begin(out, k, shard, DQ_SCRIPT_LANES_WAITING);

    dq_call_arg_i64(&c, from);
    dq_call_arg_i64(&c, limit);
    dq_call_end(&c);
}

int dq_lanes_waiting_decode(const dq_reply *r, int64_t *ret_next, dq_lane_waiting_fn fn, void *userdata)
{
    size_t n = dq_reply_type(*r) == DQ_RESP_ARRAY ? dq_reply_len(*r) : 0;
    dq_reply at;
    int rc = 0;

    if (n % 2 == 0)
        return DUREQ_EPROTO;
    at = dq_reply_first(*r);
    *ret_next = dq_reply_int(at);
    for (size_t i = 1; rc >= 0 && i < n; i += 2) {
        dq_reply name = dq_reply_next(at);
        dureq_str rest = dq_reply_str(name), queue = dq_str_cut(&rest, '|');

        at = dq_reply_next(name);
        rc = fn(queue, dq_str_cut(&rest, '|'), dq_reply_int(at), userdata);
    }
    return rc < 0 ? rc : 0;
}
