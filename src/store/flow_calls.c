/* SPDX-License-Identifier: Apache-2.0 */
#include "store/flow_calls.h"

#define FLAG_CANCELS 2 /* FLOW_CANCELS of flow.lua */

void dq_call_flow_segment(dq_buf *out, const dq_keys *k, unsigned shard, dureq_str hash, const char *name, dureq_str bytes)
{
    dq_call c = dq_call_begin(out, k, shard, DQ_SCRIPT_FLOW_SEGMENT);

    dq_call_arg(&c, hash);
    dq_call_arg_text(&c, name);
    dq_call_arg(&c, bytes);
    dq_call_end(&c);
}

void dq_call_flow_lanes(dq_buf *out, const dq_keys *k, unsigned shard, dureq_str hash, uint32_t first, const dureq_str *names,
                        size_t n)
{
    dq_call c = dq_call_begin(out, k, shard, DQ_SCRIPT_FLOW_LANES);

    dq_call_arg(&c, hash);
    dq_call_arg_i64(&c, first);
    dq_call_args(&c, names, n);
    dq_call_end(&c);
}

dureq_str dq_flow_lanes_refused(const dq_reply *r)
{
    return dq_reply_type(*r) == DQ_RESP_ARRAY && dq_reply_len(*r) == 1 ? dq_reply_str(dq_reply_first(*r)) : (dureq_str){0};
}

static void put_field(dq_call *c, const char *name, dureq_str value)
{
    if (!value.len)
        return;
    dq_call_arg_text(c, name);
    dq_call_arg(c, value);
}

void dq_call_flow_start(dq_buf *out, const dq_keys *k, unsigned shard, const dq_flow_start *s)
{
    dq_call c = dq_call_begin(out, k, shard, DQ_SCRIPT_FLOW_START);

    dq_call_arg_i64(&c, shard);
    dq_call_arg(&c, s->hash);
    dq_call_arg_i64(&c, s->n_tasks);
    dq_call_arg_i64(&c, s->n_segments);
    dq_call_arg(&c, s->request);
    dq_call_arg_i64(&c, s->request_ms);
    dq_call_arg(&c, s->unique_key);
    dq_call_arg_i64(&c, s->unique_ms);
    dq_call_arg_i64(&c, s->keep_ms);
    dq_call_arg_i64(&c, s->cancels_on_failure ? FLAG_CANCELS : 0);
    dq_call_arg_i64(&c, s->limit_ms);
    dq_call_arg_i64(&c, s->max_attempts);
    dq_call_arg_i64(&c, s->scripts);
    dq_call_arg_i64(&c, s->max_running);
    dq_call_arg_i64(&c, (int64_t)s->n_large);
    for (size_t i = 0; i < s->n_large; i++)
        dq_call_arg_i64(&c, s->large[i]);
    dq_call_arg_i64(&c, (int64_t)s->n_queues);
    dq_call_args(&c, s->queues, s->n_queues);
    put_field(&c, "name", s->name);
    put_field(&c, "input", s->input);
    put_field(&c, "tags", s->tags);
    put_field(&c, "actor", s->actor);
    dq_call_end(&c);
}

int dq_flow_start_decode(const dq_reply *r, dq_id *ret)
{
    int64_t what;

    if (dq_reply_type(*r) != DQ_RESP_ARRAY || dq_reply_len(*r) < 1)
        return DUREQ_EPROTO;
    what = dq_reply_int(dq_reply_at(*r, 0));
    if (what == DQ_FLOW_UNDEFINED || what == DQ_FLOW_TOO_OLD)
        return (int)what;
    if (what < 0 || what > DQ_FLOW_OF_BATCH || dq_reply_len(*r) < 2 || !dq_id_unpack(dq_reply_str(dq_reply_at(*r, 1)), ret))
        return DUREQ_EPROTO;
    return (int)what;
}

void dq_call_flow_get(dq_buf *out, const dq_keys *k, unsigned shard, dureq_str id, uint32_t first, uint32_t n)
{
    dq_call c = dq_call_begin(out, k, shard, DQ_SCRIPT_FLOW_GET);

    dq_call_arg(&c, id);
    dq_call_arg_i64(&c, first);
    dq_call_arg_i64(&c, n);
    dq_call_end(&c);
}

void dq_call_flow_cancel(dq_buf *out, const dq_keys *k, unsigned shard, dureq_str actor, dureq_str id, dureq_str reason,
                         int64_t at, dureq_str token)
{
    dq_call c = dq_call_begin(out, k, shard, DQ_SCRIPT_FLOW_CANCEL);

    dq_call_arg(&c, actor);
    dq_call_arg(&c, id);
    dq_call_arg(&c, reason);
    dq_call_arg_i64(&c, at);
    dq_call_arg(&c, token);
    dq_call_end(&c);
}

void dq_call_flow_retry(dq_buf *out, const dq_keys *k, unsigned shard, dureq_str actor, dureq_str id)
{
    dq_call c = dq_call_begin(out, k, shard, DQ_SCRIPT_FLOW_RETRY);

    dq_call_arg(&c, actor);
    dq_call_arg(&c, id);
    dq_call_end(&c);
}

void dq_call_flow_suspend(dq_buf *out, const dq_keys *k, unsigned shard, dureq_str actor, dureq_str id, int64_t at)
{
    dq_call c = dq_call_begin(out, k, shard, DQ_SCRIPT_FLOW_SUSPEND);

    dq_call_arg(&c, actor);
    dq_call_arg(&c, id);
    dq_call_arg_i64(&c, DQ_FLOW_HOLDS);
    dq_call_arg_i64(&c, at);
    dq_call_end(&c);
}

void dq_call_flow_resume(dq_buf *out, const dq_keys *k, unsigned shard, dureq_str actor, dureq_str id)
{
    dq_call c = dq_call_begin(out, k, shard, DQ_SCRIPT_FLOW_RESUME);

    dq_call_arg(&c, actor);
    dq_call_arg(&c, id);
    dq_call_end(&c);
}

void dq_call_flow_list(dq_buf *out, const dq_keys *k, unsigned shard, dureq_str before, int limit, dureq_str status)
{
    dq_call c = dq_call_begin(out, k, shard, DQ_SCRIPT_FLOW_LIST);

    dq_call_key(&c, "wi");
    dq_call_arg(&c, before);
    dq_call_arg_i64(&c, limit);
    dq_call_arg(&c, status);
    dq_call_end(&c);
}

void dq_call_flow_step(dq_buf *out, const dq_keys *k, unsigned shard, dq_term t)
{
    dq_call c = dq_call_begin(out, k, shard, DQ_SCRIPT_FLOW_STEP);

    dq_call_key(&c, "wq");
    dq_call_key(&c, "tm");
    dq_call_arg_i64(&c, (int64_t)t.session);
    dq_call_arg_i64(&c, t.epoch);
    dq_call_end(&c);
}

int dq_flow_step_decode(const dq_reply *r, dq_flow_stepped *ret)
{
    if (dq_reply_type(*r) != DQ_RESP_ARRAY || dq_reply_len(*r) != 3)
        return DUREQ_EPROTO;
    *ret = (dq_flow_stepped){.now_ms = dq_reply_int(dq_reply_at(*r, 0)),
                             .n_left = dq_reply_int(dq_reply_at(*r, 1)),
                             .next_timer_ms = dq_reply_int(dq_reply_at(*r, 2))};
    return 0;
}
