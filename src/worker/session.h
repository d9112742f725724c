/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A worker's session in one shard. Loop thread. */

#include "io/loop.h"
#include "store/store.h"
#include "worker/claim.h"

/* docs/state-machines.md draws the moves of these; session.c has their tables. */
typedef enum dq_session_state {
    DQ_SESSION_CLOSED, /* none, or no more: it is opened when the server is there */
    DQ_SESSION_OPENING,
    DQ_SESSION_LIVE,
    DQ_SESSION_CLOSING,
    DQ_SESSION_GONE, /* closed for good: the worker stops */
} dq_session_state;

/* Comparing what is held with what Redis holds pending for us. */
typedef enum dq_sync_state {
    DQ_SYNC_DONE,
    DQ_SYNC_WANTED, /* as soon as nothing is in flight that would be mistaken */
    DQ_SYNC_GOING,
    DQ_SYNC_STALE, /* under way, and wanted once more */
} dq_sync_state;

typedef enum dq_beat_state {
    DQ_BEAT_IDLE,
    DQ_BEAT_FLYING,
    DQ_BEAT_AGAIN, /* in flight, and another one is to follow at once */
} dq_beat_state;

/* What the server may have forgotten, and whose number it may have given away again: while there is any, nothing is sent but what finds out. */
enum {
    DQ_DOUBT_SESSION = 1 << 0,
    DQ_DOUBT_LANES = 1 << 1,
};

typedef struct dq_wsession {
    dq_session_state state; /* moved by dq_session_move alone */
    uint64_t no;
    char text[24]; /* that number */
    int64_t opened_ms;
    char x[24], hv[24];   /* values of the watched keys as far as we know */
    char data[96];        /* identity of what the server held when we were last told; empty: it does not tell */
    unsigned doubts;      /* of DQ_DOUBT_... */
    bool opened_in_doubt; /* while its lanes were in doubt, so it has nothing of those that were before */
    dq_sync_state sync;   /* moved by dq_sync_... alone */
    bool returning;       /* a call that gives back is in flight */

    dq_buf late_ended;  /* late runs that ended, DQ_LATE_BYTES each, for the next heartbeat */
    size_t late_flying; /* bytes of it that are in the one in flight */
    dq_timer beat;
    dq_beat_state beating;
    bool beat_is_late; /* the one in flight was sent before the last doubt about the data */
    bool is_to_drain;  /* the last one was told so */
    bool has_young;    /* runs that were too young to report at the last beat, or started since */
    int64_t last_beat_us;
    int64_t alive_us;                  /* when the last heartbeat that came through was sent */
    uint64_t blame_flying, blame_told; /* suspects.blame_no of the heartbeat in flight, and of the last that came through */
} dq_wsession;

/* ---- session.c ---- */

bool dq_session_can_move(dq_session_state from, dq_session_state to);
void dq_session_move(dq_wshard *s, dq_session_state to);
void dq_session_open(dq_wshard *s);
void dq_session_close(dq_wshard *s);
void dq_session_lost(dq_wshard *s, const char *why); /* fenced: drops all it holds, opens a new one */
void dq_session_timer_fired(dq_timer *t);
void dq_session_look_if_sure(dq_wshard *s); /* goes on once session and lanes are known to be ours */
void dq_session_connected(dq_wshard *s);
bool dq_session_send(dq_wshard *s, const dq_buf *call, dq_store_fn fn, void *userdata); /* false: fn will not be called */

/* ---- beat.c ---- */

void dq_session_beat_now(dq_wshard *s);
void dq_session_beat_soon(dq_wshard *s); /* with what else comes up in this turn of the loop */
void dq_session_progress(dq_worker *w);
void dq_session_started(dq_wshard *s);
void dq_session_cancelled(dq_wshard *s, dureq_str what);
void dq_session_doubt(dq_wshard *s); /* perhaps it is other data now: a heartbeat asks before anything else is sent */
int64_t dq_session_beat_every_us(const dq_worker *w);

/* ---- sync.c ---- */

bool dq_sync_can_move(dq_sync_state from, dq_sync_state to);
void dq_sync_want(dq_wshard *s);
void dq_sync_forget(dq_wshard *s); /* of a session that is over or new */
void dq_sync_begin(dq_wshard *s);  /* only between exchanges */
static inline bool dq_sync_is_wanted(dq_sync_state s)
{
    return s == DQ_SYNC_WANTED || s == DQ_SYNC_STALE;
}
static inline bool dq_sync_is_going(dq_sync_state s)
{
    return s == DQ_SYNC_GOING || s == DQ_SYNC_STALE;
}

/* ---- give_back.c ---- */

void dq_session_return(dq_wshard *s); /* sends those that are to be given back */
void dq_session_x_returned(dq_wshard *s, const dq_reply *r);
