/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Script calls about unique keys, on their home shards and on those of their jobs, as bytes for dq_store_send. Any thread. Ids are the packed
   13 bytes. */

#include "model/id.h"
#include "store/store.h"

#define DQ_KEY_TOKEN_BYTES 16
#define DQ_KEY_VALUE_MAX   32

void dq_call_key_reserve(dq_buf *out, const dq_keys *k, unsigned home, dureq_str key, dureq_str token, int64_t for_ms);
void dq_call_key_delete(dq_buf *out, const dq_keys *k, unsigned home, dureq_str actor, dureq_str key);
void dq_call_key_look(dq_buf *out, const dq_keys *k, unsigned home, dureq_str key);
/* On the shard of the job. */
void dq_call_key_owner(dq_buf *out, const dq_keys *k, unsigned shard, dureq_str id);
void dq_call_key_lost(dq_buf *out, const dq_keys *k, unsigned shard, dureq_str id);

typedef enum dq_key_word {
    DQ_KEY_CONFIRM = 'k',         /* the job was accepted: it holds the key */
    DQ_KEY_CONFIRM_RETRIED = 'K', /* a job that was retried */
    DQ_KEY_RELEASE = 'r',
    DQ_KEY_FREE = 'd', /* a value that stands there, of a job that was seen not to be alive; not while it is held for a time */
    DQ_KEY_FREE_OWN = 'D', /* the same by the job itself, which may */
} dq_key_word;
/* job_shard: of the job that the value is about. */
void dq_call_key_settle(dq_buf *out, const dq_keys *k, unsigned home, unsigned job_shard, dq_key_word word, dureq_str key,
                        dureq_str value);
/* The value of a confirmation (held_ms 0: until the job's end), and of a release (held_ms < 0). */
void dq_key_word_value(dq_buf *out, dureq_str token, dureq_str id, int64_t held_ms);

/* Who holds a key, as key_look and key_delete tell. */
typedef struct dq_key_holder {
    enum {
        DQ_KEY_FREE_NOW,
        DQ_KEY_HELD,
        DQ_KEY_RESERVED,
        DQ_KEY_HELD_AWAY
    } how; /* away: by a job of another shard, which may not be alive */
    unsigned char id[DQ_ID_BYTES];
    unsigned shard;  /* of the job */
    int64_t left_ms; /* -1: until its end */
    unsigned char value[DQ_KEY_VALUE_MAX];
    size_t len;
} dq_key_holder;
/* 0 or DUREQ_EPROTO. */
int dq_key_holder_decode(dureq_str value, int64_t left_ms, const dq_keys *k, dq_key_holder *ret);
static inline dureq_str dq_key_holder_value(const dq_key_holder *h)
{
    return dureq_str_of(h->value, h->len);
}
