/* SPDX-License-Identifier: Apache-2.0 */
#include "store/tick_calls.h"

/* The script's keys, then session and epoch; n_more arguments to come. */
static void begin(dq_buf *out, const dq_keys *k, unsigned shard, int script, const char *const *names, size_t n_names,
                  dq_ticker t, size_t n_more)
{
    dq_call_begin(out, script, n_names, 2 + n_more);
    for (size_t i = 0; i < n_names; i++)
        dq_keys_arg(out, k, shard, names[i], (dureq_str){0});
    dq_resp_arg_i64(out, (int64_t)t.session);
    dq_resp_arg_i64(out, t.epoch);
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

void dq_call_due_promote(dq_buf *out, const dq_keys *k, unsigned shard, dq_ticker t)
{
    static const char *const names[] = {"sh", "due", "due:h", "paused", "paused:h"};

    begin(out, k, shard, DQ_SCRIPT_DUE_PROMOTE, names, DQ_ARRAY_LEN(names), t, 2);
    dq_resp_arg_i64(out, DQ_PROMOTE_LIMIT);
    dq_resp_arg_i64(out, DQ_PROMOTE_BYTES);
}

int dq_due_promote_decode(const dq_reply *r, dq_promoted *ret)
{
    int64_t v[4];
    int code = read_ints(r, v, DQ_ARRAY_LEN(v));

    if (code == 0)
        *ret = (dq_promoted){.now_ms = v[0], .n = v[1], .next_due_ms = v[2], .next_resume_ms = v[3]};
    return code;
}

void dq_call_session_reap(dq_buf *out, const dq_keys *k, unsigned shard, dq_ticker t, int64_t lease_ms, int max_crashes)
{
    static const char *const names[] = {"sh", "lease", "dead", "dead:h"};

    begin(out, k, shard, DQ_SCRIPT_SESSION_REAP, names, DQ_ARRAY_LEN(names), t, 5);
    dq_resp_arg_i64(out, shard);
    dq_resp_arg_i64(out, lease_ms);
    dq_resp_arg_i64(out, max_crashes);
    dq_resp_arg_i64(out, DQ_REAP_LIMIT);
    dq_resp_arg_i64(out, DQ_REAP_LANES);
}

int dq_session_reap_decode(const dq_reply *r, dq_reaped *ret)
{
    int64_t v[5];
    int code = read_ints(r, v, DQ_ARRAY_LEN(v));

    if (code == 0)
        *ret = (dq_reaped){.now_ms = v[0], .session = (uint64_t)v[1], .n_handed_over = v[2], .n_dead = v[3], .more = v[4] != 0};
    return code;
}

void dq_call_housekeep(dq_buf *out, const dq_keys *k, unsigned shard, dq_ticker t, const dq_keep *keep, bool memory_short)
{
    static const char *const names[] = {"sh", "dead", "dead:h", "s2s"};

    begin(out, k, shard, DQ_SCRIPT_HOUSEKEEP, names, DQ_ARRAY_LEN(names), t, 7);
    dq_resp_arg_i64(out, k->n_shards);
    dq_resp_arg_i64(out, keep->dead_ms);
    dq_resp_arg_text(out, memory_short ? "1" : "");
    dq_resp_arg_i64(out, keep->audit_ms);
    dq_resp_arg_i64(out, keep->minutes_ms);
    dq_resp_arg_i64(out, keep->hours_ms);
    dq_resp_arg_i64(out, keep->days_ms);
}

int dq_housekeep_decode(const dq_reply *r, dq_kept *ret)
{
    int64_t v[4];
    int code = read_ints(r, v, DQ_ARRAY_LEN(v));

    if (code == 0)
        *ret = (dq_kept){.now_ms = v[0], .more = v[1] != 0, .n_dead = v[2], .next_late_ms = v[3]};
    return code;
}
