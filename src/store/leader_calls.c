/* SPDX-License-Identifier: Apache-2.0 */
#include "store/leader_calls.h"

#include "store/key_calls.h"

static void put_leader(dq_call *c, dq_term t)
{
    dq_call_arg_i64(c, (int64_t)t.session);
    dq_call_arg_i64(c, t.epoch);
}

/* Exactly n integers. */
static int read_ints(const dq_reply *r, int64_t *out, size_t n)
{
    if (dq_reply_type(*r) != DQ_RESP_ARRAY || dq_reply_len(*r) != n)
        return DUREQ_EPROTO;
    dq_reply at = dq_reply_first(*r);
    for (size_t i = 0; i < n; i++) {
        if (dq_reply_type(at) != DQ_RESP_INTEGER)
            return DUREQ_EPROTO;
        out[i] = dq_reply_int(at);
        if (i + 1 < n)
            at = dq_reply_next(at);
    }
    return 0;
}

void dq_call_due_promote(dq_buf *out, const dq_keys *k, unsigned shard, dq_term t)
{
    dq_call c = dq_call_begin(out, k, shard, DQ_SCRIPT_DUE_PROMOTE);

    dq_call_key(&c, "due");
    dq_call_key(&c, "due:h");
    dq_call_key(&c, "paused");
    dq_call_key(&c, "paused:h");
    put_leader(&c, t);
    dq_call_arg_i64(&c, DQ_PROMOTE_LIMIT);
    dq_call_arg_i64(&c, DQ_PROMOTE_BYTES);
    dq_call_end(&c);
}

int dq_due_promote_decode(const dq_reply *r, dq_promoted *ret)
{
    int64_t v[4];
    int code = read_ints(r, v, DQ_ARRAY_LEN(v));

    if (code == 0)
        *ret = (dq_promoted){.now_ms = v[0], .n = v[1], .next_due_ms = v[2], .next_resume_ms = v[3]};
    return code;
}

void dq_call_session_reap(dq_buf *out, const dq_keys *k, unsigned shard, dq_term t, const dq_reap *reap)
{
    dq_call c = dq_call_begin(out, k, shard, DQ_SCRIPT_SESSION_REAP);

    dq_call_key(&c, "lease");
    dq_call_key(&c, "dead");
    dq_call_key(&c, "dead:h");
    put_leader(&c, t);
    dq_call_arg_i64(&c, shard);
    dq_call_arg_i64(&c, reap->lease_ms);
    dq_call_arg_i64(&c, reap->max_crashes);
    dq_call_arg_i64(&c, reap->limit ? reap->limit : DQ_REAP_LIMIT);
    dq_call_arg_i64(&c, reap->lanes ? reap->lanes : DQ_REAP_LANES);
    dq_call_end(&c);
}

int dq_session_reap_decode(const dq_reply *r, dq_reaped *ret)
{
    int64_t v[5];
    int code = read_ints(r, v, DQ_ARRAY_LEN(v));

    if (code == 0)
        *ret = (dq_reaped){.now_ms = v[0], .session = (uint64_t)v[1], .n_handed_over = v[2], .n_dead = v[3], .more = v[4] != 0};
    return code;
}

void dq_call_housekeep(dq_buf *out, const dq_keys *k, unsigned shard, dq_term t, const dq_keep *keep, bool memory_short)
{
    dq_call c = dq_call_begin(out, k, shard, DQ_SCRIPT_HOUSEKEEP);

    dq_call_key(&c, "dead");
    dq_call_key(&c, "dead:h");
    dq_call_key(&c, "s2s");
    put_leader(&c, t);
    dq_call_arg_i64(&c, k->n_shards);
    dq_call_arg_i64(&c, keep->dead_ms);
    dq_call_arg_flag(&c, memory_short);
    dq_call_arg_i64(&c, keep->audit_ms);
    dq_call_arg_i64(&c, keep->minutes_ms);
    dq_call_arg_i64(&c, keep->hours_ms);
    dq_call_arg_i64(&c, keep->days_ms);
    dq_call_end(&c);
}

int dq_housekeep_decode(const dq_reply *r, dq_kept *ret)
{
    int64_t v[4];
    int code = read_ints(r, v, DQ_ARRAY_LEN(v));

    if (code == 0)
        *ret = (dq_kept){.now_ms = v[0], .more = v[1] != 0, .n_dead = v[2], .next_late_ms = v[3]};
    return code;
}

/* ---- the outbox ---- */

void dq_call_outbox_read(dq_buf *out, const dq_keys *k, unsigned shard)
{
    dq_call c = dq_call_begin(out, k, shard, DQ_SCRIPT_OUTBOX_READ);

    dq_call_key(&c, "ob");
    dq_call_arg_i64(&c, DQ_OUTBOX_LIMIT);
    dq_call_end(&c);
}

dq_outbox dq_outbox_decode(const dq_reply *r)
{
    dq_outbox o = {.left = dq_reply_len(*r) / 2};

    if (o.left > 0)
        o.at = dq_reply_first(*r);
    o.more = o.left >= DQ_OUTBOX_LIMIT;
    return o;
}

bool dq_outbox_next(dq_outbox *o, dq_outbox_row *ret)
{
    while (o->left > 0) {
        ret->field = dq_reply_str(o->at);
        o->at = dq_reply_next(o->at);
        ret->value = dq_reply_str(o->at);
        o->left--;
        if (o->left > 0)
            o->at = dq_reply_next(o->at);
        if (ret->field.len > 1)
            return true;
    }
    return false;
}

dureq_str dq_outbox_key(const dq_outbox_row *row)
{
    return dureq_str_of(row->field.ptr + 1, row->field.len - 1);
}

void dq_call_outbox_settle(dq_buf *out, const dq_keys *k, unsigned shard, const dq_outbox_row *row)
{
    dureq_str key = dq_outbox_key(row);

    dq_call_key_settle(out, k, dq_keys_shard_of(k, key), shard, (dq_key_word)row->field.ptr[0], key, row->value);
}

dq_call dq_call_outbox_done(dq_buf *out, const dq_keys *k, unsigned shard)
{
    dq_call c = dq_call_begin(out, k, shard, DQ_SCRIPT_OUTBOX_DONE);

    dq_call_key(&c, "ob");
    return c;
}

void dq_outbox_done_add(dq_call *c, const dq_outbox_row *row)
{
    dq_call_arg(c, row->field);
    dq_call_arg(c, row->value);
}
