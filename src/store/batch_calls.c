/* SPDX-License-Identifier: Apache-2.0 */
#include "store/batch_calls.h"

#include <stdio.h>

static void put_field(dq_call *c, const char *name, dureq_str value)
{
    if (!value.len)
        return;
    dq_call_arg_text(c, name);
    dq_call_arg(c, value);
}

void dq_call_batch_start(dq_buf *out, const dq_keys *k, unsigned shard, const dq_batch_start *s)
{
    dq_call c = dq_call_begin(out, k, shard, DQ_SCRIPT_BATCH_START);
    char s2s[24];

    dq_call_arg_i64(&c, shard);
    dq_call_arg(&c, s->request);
    dq_call_arg_i64(&c, s->request_ms);
    dq_call_arg(&c, s->unique_key);
    dq_call_arg_i64(&c, s->unique_ms);
    dq_call_arg_i64(&c, s->keep_ms);
    dq_call_arg_i64(&c, s->limit_ms);
    dq_call_arg_flag(&c, s->is_open);
    dq_call_arg_flag(&c, s->fails_fast);
    dq_call_arg_i64(&c, s->window);
    dq_call_arg_i64(&c, s->max_attempts);
    dq_call_arg(&c, s->lane);
    dq_call_arg(&c, s->once_lane);
    put_field(&c, "name", s->name);
    put_field(&c, "h0", s->front_json);
    put_field(&c, "h1", s->front_bytes);
    put_field(&c, "oh", s->once_front);
    put_field(&c, "op", s->once_payload);
    if (s->s2s_ms > 0) {
        (void)snprintf(s2s, sizeof s2s, "%lld", (long long)s->s2s_ms);
        put_field(&c, "s2s", dureq_str_from(s2s));
    }
    put_field(&c, "tags", s->tags);
    put_field(&c, "actor", s->actor);
    put_field(&c, "def", s->definition);
    dq_call_end(&c);
}

int dq_batch_start_decode(const dq_reply *r, dq_batch_start_answer *ret)
{
    size_t n = dq_reply_type(*r) == DQ_RESP_ARRAY ? dq_reply_len(*r) : 0;
    int64_t what = n >= 2 ? dq_reply_int(dq_reply_at(*r, 0)) : -1;

    *ret = (dq_batch_start_answer){.what = (dq_batch_started)what};
    if (what < 0 || what > DQ_BATCH_OF_FLOW)
        return DUREQ_EPROTO;
    if (what == DQ_BATCH_NO_QUEUE) {
        ret->lane = dq_reply_str(dq_reply_at(*r, 1));
        return 0;
    }
    if (what == DQ_BATCH_KNOWN && n >= 4) {
        ret->status = (dureq_batch_status)dq_reply_int(dq_reply_at(*r, 2));
        ret->n_items = (uint32_t)dq_reply_int(dq_reply_at(*r, 3));
    }
    return dq_id_unpack(dq_reply_str(dq_reply_at(*r, 1)), &ret->id) ? 0 : DUREQ_EPROTO;
}

dq_call dq_call_batch_add(dq_buf *out, const dq_keys *k, unsigned shard, dureq_str id, int64_t at)
{
    dq_call c = dq_call_begin(out, k, shard, DQ_SCRIPT_BATCH_ADD);

    dq_call_arg(&c, id);
    if (at < 0)
        dq_call_arg(&c, (dureq_str){0});
    else
        dq_call_arg_i64(&c, at);
    return c;
}

void dq_batch_add_item(dq_call *c, const dureq_batch_item *item, dq_buf *scratch)
{
    dq_buf_clear(scratch);
    dq_buf_append_char(scratch, item->is_json ? 0 : 1);
    dq_buf_append_char(scratch, (char)item->id.len);
    dq_buf_append_str(scratch, item->id);
    dq_buf_append_str(scratch, item->payload);
    dq_call_arg_buf(c, scratch);
}

int dq_batch_add_decode(const dq_reply *r, uint32_t *ret_n)
{
    size_t len = dq_reply_type(*r) == DQ_RESP_ARRAY ? dq_reply_len(*r) : 0;
    int64_t what = len >= 1 ? dq_reply_int(dq_reply_at(*r, 0)) : INT64_MIN;

    if (what < DQ_BATCH_ADD_TOO_MANY || what > UINT32_MAX)
        return DUREQ_EPROTO;
    *ret_n = (uint32_t)(what >= 0 ? what : len >= 2 ? dq_reply_int(dq_reply_at(*r, 1)) : 0);
    return what >= 0 ? DQ_BATCH_ADDED : (int)what;
}

void dq_call_batch_seal(dq_buf *out, const dq_keys *k, unsigned shard, dureq_str id)
{
    dq_call c = dq_call_begin(out, k, shard, DQ_SCRIPT_BATCH_SEAL);

    dq_call_arg(&c, id);
    dq_call_end(&c);
}

void dq_call_batch_cancel(dq_buf *out, const dq_keys *k, unsigned shard, dureq_str actor, dureq_str id, dureq_str reason,
                          bool first, dureq_str token)
{
    dq_call c = dq_call_begin(out, k, shard, DQ_SCRIPT_BATCH_CANCEL);

    dq_call_arg(&c, actor);
    dq_call_arg(&c, id);
    dq_call_arg(&c, reason);
    dq_call_arg_flag(&c, first);
    dq_call_arg(&c, token);
    dq_call_end(&c);
}

void dq_call_batch_retry(dq_buf *out, const dq_keys *k, unsigned shard, dureq_str actor, dureq_str id, bool all)
{
    dq_call c = dq_call_begin(out, k, shard, DQ_SCRIPT_BATCH_RETRY);

    dq_call_arg(&c, actor);
    dq_call_arg(&c, id);
    dq_call_arg_flag(&c, all);
    dq_call_end(&c);
}

void dq_call_batch_get(dq_buf *out, const dq_keys *k, unsigned shard, dureq_str id)
{
    dq_call c = dq_call_begin(out, k, shard, DQ_SCRIPT_BATCH_GET);

    dq_call_arg(&c, id);
    dq_call_end(&c);
}

void dq_call_batch_list(dq_buf *out, const dq_keys *k, unsigned shard, dureq_str before, int limit, dureq_str status)
{
    dq_call c = dq_call_begin(out, k, shard, DQ_SCRIPT_BATCH_LIST);

    dq_call_key(&c, "ba");
    dq_call_arg(&c, before);
    dq_call_arg_i64(&c, limit);
    dq_call_arg(&c, status);
    dq_call_end(&c);
}

void dq_call_batch_items(dq_buf *out, const dq_keys *k, unsigned shard, dureq_str id, const dq_batch_page *page)
{
    dq_call c = dq_call_begin(out, k, shard, DQ_SCRIPT_BATCH_ITEMS);

    dq_call_arg(&c, id);
    dq_call_arg_i64(&c, page->first);
    dq_call_arg_i64(&c, page->limit);
    dq_call_arg(&c, page->states);
    dq_call_arg(&c, page->item);
    dq_call_end(&c);
}
