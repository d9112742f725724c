/* SPDX-License-Identifier: Apache-2.0 */
#include "store/key_calls.h"

#include <string.h>

void dq_call_key_reserve(dq_buf *out, const dq_keys *k, unsigned home, dureq_str key, dureq_str token, int64_t for_ms)
{
    dq_call c = dq_call_begin(out, k, home, DQ_SCRIPT_KEY_RESERVE);

    dq_call_key_of(&c, "u:", key);
    dq_call_arg(&c, token);
    dq_call_arg_i64(&c, for_ms);
    dq_call_end(&c);
}

void dq_call_key_delete(dq_buf *out, const dq_keys *k, unsigned home, dureq_str actor, dureq_str key)
{
    dq_call c = dq_call_begin(out, k, home, DQ_SCRIPT_KEY_DELETE);

    dq_call_key_of(&c, "u:", key);
    dq_call_arg(&c, actor);
    dq_call_arg(&c, key);
    dq_call_end(&c);
}

void dq_call_key_look(dq_buf *out, const dq_keys *k, unsigned home, dureq_str key)
{
    dq_call c = dq_call_begin(out, k, home, DQ_SCRIPT_KEY_LOOK);

    dq_call_key_of(&c, "u:", key);
    dq_call_end(&c);
}

void dq_call_key_owner(dq_buf *out, const dq_keys *k, unsigned shard, dureq_str id)
{
    dq_call c = dq_call_begin(out, k, shard, DQ_SCRIPT_KEY_OWNER);

    dq_call_arg(&c, id);
    dq_call_end(&c);
}

void dq_call_key_lost(dq_buf *out, const dq_keys *k, unsigned shard, dureq_str id)
{
    dq_call c = dq_call_begin(out, k, shard, DQ_SCRIPT_KEY_LOST);

    dq_call_arg(&c, id);
    dq_call_end(&c);
}

void dq_call_key_settle(dq_buf *out, const dq_keys *k, unsigned home, unsigned job_shard, dq_key_word word, dureq_str key,
                        dureq_str value)
{
    dq_call c = dq_call_begin(out, k, home, DQ_SCRIPT_KEY_SETTLE);
    char letter = (char)word;

    dq_call_arg_i64(&c, job_shard);
    dq_call_arg(&c, dureq_str_of(&letter, 1));
    dq_call_arg(&c, key);
    dq_call_arg(&c, value);
    dq_call_end(&c);
}

void dq_key_word_value(dq_buf *out, dureq_str token, dureq_str id, int64_t held_ms)
{
    dq_buf_append_str(out, token);
    dq_buf_append_str(out, id);
    if (held_ms >= 0)
        dq_buf_append_i64(out, held_ms);
}

/* docs/redis-keys.md, `K u:<key>`: an id, or `R` deadline I6 token, or `X` shard I2 id, perhaps a token. */
int dq_key_holder_decode(dureq_str value, int64_t left_ms, const dq_keys *k, dq_key_holder *ret)
{
    const unsigned char *v = (const unsigned char *)value.ptr;
    dq_id id;

    *ret = (dq_key_holder){.left_ms = left_ms < 0 ? -1 : left_ms, .len = value.len};
    if (value.len > sizeof ret->value)
        return DUREQ_EPROTO;
    if (value.len == 0)
        return 0;
    memcpy(ret->value, v, value.len);
    if (value.len != DQ_ID_BYTES && v[0] == 'R') {
        ret->how = DQ_KEY_RESERVED;
        return 0;
    }
    ret->how = value.len == DQ_ID_BYTES ? DQ_KEY_HELD : DQ_KEY_HELD_AWAY;
    if (ret->how == DQ_KEY_HELD_AWAY && (v[0] != 'X' || value.len < 3 + DQ_ID_BYTES))
        return DUREQ_EPROTO;
    memcpy(ret->id, ret->how == DQ_KEY_HELD ? v : v + 3, DQ_ID_BYTES);
    if (!dq_id_unpack(dureq_str_of(ret->id, DQ_ID_BYTES), &id) || id.shard >= k->n_shards)
        return DUREQ_EPROTO;
    ret->shard = id.shard;
    return 0;
}
