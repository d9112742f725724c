/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Script calls of a shard's leader, as bytes for dq_store_send, and their answers. One function a script, named after it. Any thread.
   Each is refused with DUREQ_EFENCED when another session became leader, or the same one again in a later epoch. */

#include "store/store.h"

#define DQ_PROMOTE_LIMIT 128
#define DQ_PROMOTE_BYTES (1024 * 1024)
#define DQ_REAP_LIMIT    100
#define DQ_REAP_LANES    250
#define DQ_OUTBOX_LIMIT  256

typedef struct dq_term {
    uint64_t session;
    int64_t epoch;
} dq_term;

typedef struct dq_promoted {
    int64_t now_ms, n;
    int64_t next_due_ms, next_resume_ms; /* -1: none */
} dq_promoted;
/* Call again at once when n > 0 and next_due_ms or next_resume_ms is not after now_ms. */
void dq_call_due_promote(dq_buf *out, const dq_keys *k, unsigned shard, dq_term t);
int dq_due_promote_decode(const dq_reply *r, dq_promoted *ret);

typedef struct dq_reaped {
    int64_t now_ms;
    uint64_t session; /* worked on; 0: none is over */
    int64_t n_handed_over, n_dead;
    bool more; /* call again at once */
} dq_reaped;
typedef struct dq_reap {
    int64_t lease_ms;     /* as the sessions of this shard have it */
    int max_crashes;      /* so many make a job dead */
    int64_t limit, lanes; /* jobs and lanes of one call; 0: DQ_REAP_LIMIT, DQ_REAP_LANES */
} dq_reap;
void dq_call_session_reap(dq_buf *out, const dq_keys *k, unsigned shard, dq_term t, const dq_reap *reap);
int dq_session_reap_decode(const dq_reply *r, dq_reaped *ret);

typedef struct dq_kept {
    int64_t now_ms;
    bool more;            /* call again soon */
    int64_t n_dead;       /* by schedule-to-start */
    int64_t next_late_ms; /* next schedule-to-start limit or end of a history bucket; -1: none */
} dq_kept;
/* How long things are kept, in ms. */
typedef struct dq_keep {
    int64_t dead_ms, audit_ms;             /* 0: for ever */
    int64_t minutes_ms, hours_ms, days_ms; /* statistics; over 0 */
} dq_keep;
/* memory_short: drops the oldest history, whatever its time. */
void dq_call_housekeep(dq_buf *out, const dq_keys *k, unsigned shard, dq_term t, const dq_keep *keep, bool memory_short);
int dq_housekeep_decode(const dq_reply *r, dq_kept *ret);

/* Rows of a shard's outbox: what became of keys that are at home on others. */
typedef struct dq_outbox_row {
    dureq_str field, value; /* views into the reply */
} dq_outbox_row;
typedef struct dq_outbox {
    dq_reply at;
    size_t left;
    bool more; /* than fit into this answer */
} dq_outbox;
void dq_call_outbox_read(dq_buf *out, const dq_keys *k, unsigned shard);
dq_outbox dq_outbox_decode(const dq_reply *r);
bool dq_outbox_next(dq_outbox *o, dq_outbox_row *ret);
dureq_str dq_outbox_key(const dq_outbox_row *row);
/* To the home of its key, dq_keys_shard_of. */
void dq_call_outbox_settle(dq_buf *out, const dq_keys *k, unsigned shard, const dq_outbox_row *row);
/* Those that were settled: begin, add, dq_call_end. */
dq_call dq_call_outbox_done(dq_buf *out, const dq_keys *k, unsigned shard);
void dq_outbox_done_add(dq_call *c, const dq_outbox_row *row);
