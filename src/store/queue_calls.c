/* SPDX-License-Identifier: Apache-2.0 */
#include "store/queue_calls.h"

#include "store/core.h"

#define PURGE_LIMIT 200

void dq_call_queue_define(dq_buf *out, const dq_keys *k, dureq_str name, dureq_str seen, dureq_str json)
{
    DQ_BUF_AUTO key = {0};

    dq_buf_append_fmt(&key, "%s:config:queues", k->prefix);
    out->failed = out->failed || dq_buf_failed(&key);
    dq_call_begin(out, DQ_SCRIPT_QUEUE_DEFINE, 1, 3);
    dq_resp_arg_buf(out, &key);
    dq_resp_arg(out, name);
    dq_resp_arg(out, seen);
    dq_resp_arg(out, json);
}

void dq_call_queue_get(dq_buf *out, const dq_keys *k, dureq_str name)
{
    DQ_BUF_AUTO key = {0};

    dq_buf_append_fmt(&key, "%s:config:queues", k->prefix);
    out->failed = out->failed || dq_buf_failed(&key);
    dq_call_begin(out, DQ_SCRIPT_QUEUE_GET, 1, 1);
    dq_resp_arg_buf(out, &key);
    dq_resp_arg(out, name);
}

void dq_call_queue_set(dq_buf *out, const dq_keys *k, unsigned shard, dureq_str actor, const char *action, const dq_queue *q)
{
    unsigned char row[DQ_QUEUE_ROW_BYTES];

    dq_queue_row(q, row);
    dq_call_begin(out, DQ_SCRIPT_QUEUE_SET, 3, 5);
    dq_keys_arg(out, k, shard, "sh", (dureq_str){0});
    dq_keys_arg(out, k, shard, "q", (dureq_str){0});
    dq_keys_arg(out, k, shard, "paused_queues", (dureq_str){0});
    dq_resp_arg(out, actor);
    dq_resp_arg_text(out, action);
    dq_resp_arg(out, q->name);
    dq_resp_arg(out, dureq_str_of(row, sizeof(row)));
    dq_resp_arg_text(out, q->paused ? "1" : "");
}

void dq_call_lanes_listen(dq_buf *out, const dq_keys *k, unsigned shard, dureq_str session, dureq_str lanes, size_t n)
{
    dq_call_begin(out, DQ_SCRIPT_LANES_LISTEN, 2, 1 + 2 * n);
    dq_keys_arg(out, k, shard, "sh", (dureq_str){0});
    dq_keys_arg(out, k, shard, "s:", session);
    dq_resp_arg(out, session);
    dq_buf_append_str(out, lanes);
}

void dq_call_lanes_wake(dq_buf *out, const dq_keys *k, unsigned shard, dureq_str lanes, size_t n)
{
    dq_call_begin(out, DQ_SCRIPT_LANES_WAKE, 1, n);
    dq_keys_arg(out, k, shard, "sh", (dureq_str){0});
    dq_buf_append_str(out, lanes);
}

void dq_call_queues_paused(dq_buf *out, const dq_keys *k, unsigned shard, dureq_str cursor)
{
    dq_call_begin(out, DQ_SCRIPT_QUEUES_PAUSED, 2, 1);
    dq_keys_arg(out, k, shard, "sh", (dureq_str){0});
    dq_keys_arg(out, k, shard, "paused_queues", (dureq_str){0});
    dq_resp_arg(out, cursor);
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

void dq_call_queue_purge(dq_buf *out, const dq_keys *k, unsigned shard, dureq_str actor, dureq_str name)
{
    dq_call_begin(out, DQ_SCRIPT_QUEUE_PURGE, 1, 4);
    dq_keys_arg(out, k, shard, "sh", (dureq_str){0});
    dq_resp_arg(out, actor);
    dq_resp_arg_i64(out, shard);
    dq_resp_arg(out, name);
    dq_resp_arg_i64(out, PURGE_LIMIT);
}

int dq_queue_purge_decode(const dq_reply *r, dq_queue_purged *ret)
{
    if (dq_reply_type(*r) != DQ_RESP_ARRAY || dq_reply_len(*r) != 2)
        return DUREQ_EPROTO;
    ret->n = dq_reply_int(dq_reply_at(*r, 0));
    ret->more = dq_reply_int(dq_reply_at(*r, 1)) != 0;
    return 0;
}

void dq_call_queue_stats(dq_buf *out, const dq_keys *k, unsigned shard, const dureq_str *names, size_t n)
{
    dq_call_begin(out, DQ_SCRIPT_QUEUE_STATS, 1, n);
    dq_keys_arg(out, k, shard, "sh", (dureq_str){0});
    for (size_t i = 0; i < n; i++)
        dq_resp_arg(out, names[i]);
}

int dq_queue_stats_add(const dq_reply *r, dq_queue_stats *sums, size_t n, int64_t *ret_now_ms)
{
    if (dq_reply_type(*r) != DQ_RESP_ARRAY || dq_reply_len(*r) != n + 1)
        return DUREQ_EPROTO;
    dq_reply at = dq_reply_first(*r);
    for (size_t i = 0; i < n; i++, at = dq_reply_next(at)) {
        if (dq_reply_len(at) != 3)
            return DUREQ_EPROTO;
        int64_t oldest_ms = dq_reply_int(dq_reply_at(at, 2));

        dq_reply_add(dq_reply_at(at, 0), &sums[i].pending);
        dq_reply_add(dq_reply_at(at, 1), &sums[i].running);
        if (oldest_ms >= 0 && (sums[i].oldest_ms < 0 || oldest_ms < sums[i].oldest_ms))
            sums[i].oldest_ms = oldest_ms;
    }
    *ret_now_ms = dq_reply_int(at);
    return 0;
}
