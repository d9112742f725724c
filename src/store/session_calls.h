/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Calls of a worker's session beside its turns, as bytes, and their answers. Any thread. Each but the first is refused with DUREQ_EFENCED when the
   session is over. */

#include "redis/resp.h"
#include "store/call.h"

/* Where an entry is: the stream of a lane, or its front. */
typedef struct dq_entry {
    uint64_t ms, seq;
    uint32_t lane;
    bool front;
} dq_entry;
#define DQ_ENTRY_TEXT_MAX  (2 * DQ_DIGITS_MAX + 2)
#define DQ_STREAM_TEXT_MAX (DQ_DIGITS_MAX + 3)
/* The text lies somewhere in `out`, without a NUL. */
dureq_str dq_entry_text(const dq_entry *e, char out[DQ_ENTRY_TEXT_MAX]);    /* "ms-seq" */
dureq_str dq_entry_stream(const dq_entry *e, char out[DQ_STREAM_TEXT_MAX]); /* "l:LANE" or "f:LANE" */

/* ---- open ---- */

typedef struct dq_session_opening {
    const char *node_id, *info;
    int64_t lease_ms;
} dq_session_opening;
typedef struct dq_session_opened {
    uint64_t session;
    int64_t now_ms;
    dureq_str x, hv; /* values of the watched keys; views into the reply */
    dureq_str data;  /* as in a heartbeat's answer */
} dq_session_opened;
void dq_call_session_open(dq_buf *out, const dq_keys *k, unsigned shard, const dq_session_opening *o);
int dq_session_open_decode(const dq_reply *r, dq_session_opened *ret);

/* ---- heartbeat ---- */

typedef struct dq_beat_head {
    uint64_t session;
    int64_t lease_ms;
    const char *state; /* JSON */
    bool stands_to_lead;
    dureq_str
        blamed; /* id of the only job that a crash is charged to; empty: each whose start was reported; "s": suspects among these
                          that were never charged */
    int64_t opened_ms; /* when it was opened; -1: not asked */
    dureq_str data;    /* as last answered; empty: unknown. When it is other data now, starts and progress are not recorded */
} dq_beat_head;

/* Starts first, then progress, then lanes, then late runs that ended. */
typedef struct dq_beat {
    dq_call call;
    size_t n, n_at; /* of the list that is open */
    unsigned lists; /* that were begun */
} dq_beat;
dq_beat dq_beat_begin(dq_buf *out, const dq_keys *k, unsigned shard, const dq_beat_head *head);
void dq_beat_start(dq_beat *b, const dq_id *id, int64_t started_at_ms);
void dq_beat_progress(dq_beat *b, const dq_id *id, const dq_buf *json);
void dq_beat_lane(dq_beat *b, uint32_t lane); /* believed to be empty: is it? */
void dq_beat_late_ended(dq_beat *b, dureq_str run);
void dq_beat_end(dq_beat *b);

/* A late run as heartbeats name it: its job went on without it, and its handler may still run. The first run of a job is number 1. */
#define DQ_LATE_BYTES (DQ_ID_BYTES + 2)
void dq_late_pack(const dq_id *id, int run, unsigned char out[DQ_LATE_BYTES]);

typedef struct dq_beat_answer {
    int64_t now_ms;
    int64_t epoch;       /* as leader; 0: it is not */
    int64_t next_due_ms; /* -1: none */
    uint32_t n_lanes;
    int64_t queues_version;
    bool drain;
    bool too_old;       /* the shard asks for a later version of the scripts than was reported: take no more and do not lead */
    dq_reply cancelled; /* list of strings: dq_cancelled_decode */
    dq_reply busy;      /* list of lanes that were given and hold jobs */
    /* the leader's */
    int64_t n_expired, n_outbox, next_late_ms; /* -1: none */
    int64_t n_flow_steps;                      /* that workflows and batches left to do */
    int64_t next_timer_ms;                     /* of theirs; -1: none */
    bool memory_is_short;
    int64_t next_schedule_ms; /* -1: none */
    dureq_str data;           /* identity of what the server holds, Redis' replication id; empty: it does not tell */
    dq_reply late;            /* late runs of this session, packed; none when they are many */
} dq_beat_answer;
int dq_beat_decode(const dq_reply *r, dq_beat_answer *ret);

/* A run that was cancelled, as a heartbeat's answer and a wake-up name it. False: it cannot be read. */
typedef struct dq_cancelled {
    dureq_str id; /* packed */
    bool front;
    dureq_str entry; /* "ms-seq" */
} dq_cancelled;
bool dq_cancelled_decode(dureq_str what, dq_cancelled *ret);

/* ---- what it serves, when that has changed: its info, and lanes it does not wait for any more ---- */

dq_call dq_call_session_change(dq_buf *out, const dq_keys *k, unsigned shard, uint64_t session, const char *info);
void dq_change_leave(dq_call *c, uint32_t lane); /* then dq_call_end */

/* ---- what is pending for it, and giving back ---- */

typedef struct dq_pending_head {
    uint64_t session;
    int64_t limit; /* entries of a stream */
} dq_pending_head;
dq_call dq_call_session_pending(dq_buf *out, const dq_keys *k, unsigned shard, const dq_pending_head *head);
void dq_pending_lane(dq_call *c, uint32_t lane); /* then dq_call_end */

typedef struct dq_pending_list {
    dq_reply at;
    size_t left;
} dq_pending_list;
dq_pending_list dq_pending_decode(const dq_reply *r);
bool dq_pending_next(dq_pending_list *p, dq_entry *ret); /* what cannot be read is passed over */

dq_call dq_call_session_return(dq_buf *out, const dq_keys *k, unsigned shard, uint64_t session);
void dq_return_entry(dq_call *c, const dq_entry *e, bool has_run); /* then dq_call_end */
typedef struct dq_returned {
    int64_t n;
    int64_t x; /* the watched key, from then on */
} dq_returned;
int dq_session_return_decode(const dq_reply *r, dq_returned *ret);

/* ---- close ---- */

void dq_call_session_close(dq_buf *out, const dq_keys *k, unsigned shard, uint64_t session);
