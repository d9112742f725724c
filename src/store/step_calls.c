/* SPDX-License-Identifier: Apache-2.0 */
#include "store/step_calls.h"

static dq_call begin(dq_buf *out, const dq_keys *k, unsigned shard, int script, const dq_step_at *at)
{
    char stream[DQ_STREAM_TEXT_MAX], entry[DQ_ENTRY_TEXT_MAX];
    dq_call c = dq_call_begin(out, k, shard, script);

    dq_call_key_no(&c, "s:", at->session);
    dq_call_arg_i64(&c, (int64_t)at->session);
    dq_call_arg(&c, dq_entry_stream(&at->entry, stream));
    dq_call_arg(&c, dq_entry_text(&at->entry, entry));
    dq_call_arg_id(&c, &at->id);
    dq_call_arg_i64(&c, at->run);
    dq_call_arg(&c, at->key);
    return c;
}

void dq_call_step_begin(dq_buf *out, const dq_keys *k, unsigned shard, const dq_step_at *at)
{
    dq_call c = begin(out, k, shard, DQ_SCRIPT_STEP_BEGIN, at);

    dq_call_arg_i64(&c, DQ_STEP_SCRIPTS);
    dq_call_end(&c);
}

int dq_step_begin_decode(const dq_reply *r, dq_step_begun *ret)
{
    size_t n = dq_reply_type(*r) == DQ_RESP_ARRAY ? dq_reply_len(*r) : 0;
    int64_t may = n > 0 ? dq_reply_int(dq_reply_at(*r, 0)) : -1;

    if (may < DQ_STEP_GO || may > DQ_STEP_TOO_MANY || (may == DQ_STEP_GO && n < 2) || (may == DQ_STEP_WAS_DONE && n < 3))
        return DUREQ_EPROTO;
    *ret = (dq_step_begun){.may = (dq_step_may)may};
    if (n >= 2)
        ret->round = (uint32_t)dq_reply_int(dq_reply_at(*r, 1));
    if (n >= 3)
        ret->result = dq_reply_str(dq_reply_at(*r, 2));
    return 0;
}

void dq_call_step_end(dq_buf *out, const dq_keys *k, unsigned shard, const dq_step_at *at, dureq_str result)
{
    dq_call c = begin(out, k, shard, DQ_SCRIPT_STEP_END, at);

    dq_call_arg(&c, result);
    dq_call_end(&c);
}

int dq_step_end_decode(const dq_reply *r)
{
    int64_t what = dq_reply_type(*r) == DQ_RESP_INTEGER ? dq_reply_int(*r) : -1;

    return what == 0 || what == 1 ? (int)what : DUREQ_EPROTO;
}

int dq_step_row_unpack(dureq_str packed, dq_step_row *ret)
{
    dq_reader r = dq_reader_of(packed);
    uint8_t state = dq_read_u8(&r);
    dq_step_row row = {.is_done = state == 1};

    row.run = (uint32_t)dq_read_be(&r, 2);
    row.started_at_ms = (int64_t)dq_read_be(&r, 6);
    row.finished_at_ms = (int64_t)dq_read_be(&r, 6);
    row.result = dq_read_rest(&r);
    if (r.bad || state > 1)
        return DUREQ_EPROTO;
    *ret = row;
    return 0;
}
