/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* One run of a job on this node, the handler's side: from when its payload is asked for until its handler is through. It lies in the claim
   that it is of (claim.h), and so has the job; it may go on after the claim is over.

   While it is GOING and until it has ENDED, the handler's thread has what dureq_run_... functions touch, and the loop the rest. What both
   sides touch at once is atomic, or guarded by the lock below. */

#include <stdatomic.h>

#include "base/buf.h"
#include "base/heap.h"
#include "base/list.h"
#include "base/mutex.h"
#include "worker/external.h"

typedef struct dq_worker dq_worker;
typedef struct dq_claim dq_claim;

/* docs/state-machines.md draws the moves; run_life.c has their table. */
typedef enum dq_run_state {
    DQ_RUN_NONE,
    DQ_RUN_LOADING,  /* its payload is on its way */
    DQ_RUN_GOING,    /* with its handler, or queued for a thread */
    DQ_RUN_STOPPING, /* its handler was told to end, and has its grace */
    DQ_RUN_KILLED,   /* the grace is over, and the external handler was told so */
    DQ_RUN_STUCK,    /* the grace is over, and the handler's thread did not come back */
    DQ_RUN_ENDED,
} dq_run_state;

/* What a handler leaves: the run's while it goes on, its claim's afterwards. */
typedef struct dq_words {
    bool has_said; /* one of dureq_run_fail ... was called */
    dureq_outcome outcome;
    int code;
    char *msg; /* NULL: none */
    dq_buf detail, output;
    int64_t after_ms;     /* 0: not given */
    bool has_payload;     /* of a repeat */
    uint8_t repeat_limit; /* 0: none */
    dq_buf payload;
    bool has_result;
    dq_buf result;
    char *result_type; /* NULL: as the bytes look */
} dq_words;

struct dureq_run {
    dq_run_state state;      /* loop's, moved by dq_run_move alone */
    dq_list pool_link;       /* the pool's, while it has the run */
    dq_list late;            /* in its shard's `late` */
    dq_stop_reason why_stop; /* 0: not stopped. Loop's */
    bool was_silent;         /* it was stopped for want of a sign of life. Loop's */
    dq_heap_node deadline;   /* next of: time-out, heartbeat, grace */
    int64_t started_at_ms;   /* 0: it did not start */
    int64_t started_loop_us;
    int64_t started_mono_us, ended_mono_us; /* the handler's thread writes them; the loop's for an external one */
    int rc;                                 /* what the handler returned */

    char content_type[DUREQ_CONTENT_TYPE_MAX + 4];
    dureq_header *headers; /* made at first use, by the handler */
    size_t n_headers;
    void *external; /* an external handler's own */

    dq_words words;

    atomic_bool cancelled;        /* relaxed; the lock below pairs it with `cond` */
    _Atomic int64_t sign_mono_us; /* relaxed: last sign of life */

    dq_mutex mu; /* guards the next four. What lies before it is zeroed for the next run */
    dq_cond cond;
    dq_buf log;
    dq_buf progress;
    bool progress_new;
};

/* ---- any thread ---- */

int64_t dq_run_timeout_ms(const dureq_run *r); /* 0: none */
int dq_run_call(dureq_run *r);                 /* the handler with its middleware; pool thread */

/* ---- loop thread ---- */

bool dq_run_can_move(dq_run_state from, dq_run_state to);
void dq_run_move(dureq_run *r, dq_run_state to);
/* A handler has it. */
static inline bool dq_run_is_going(const dureq_run *r)
{
    return r->state >= DQ_RUN_GOING && r->state < DQ_RUN_ENDED;
}
/* Somebody will still come back to it: its memory must stay. */
static inline bool dq_run_is_used(const dureq_run *r)
{
    return r->state >= DQ_RUN_LOADING && r->state < DQ_RUN_ENDED;
}
void dq_run_start(dureq_run *r);                            /* its job is there, with the payload */
void dq_run_stop(dureq_run *r, dq_stop_reason why);         /* may end it */
bool dq_run_stop_unbegun(dureq_run *r, dq_stop_reason why); /* true: no thread had it yet, and none will; it has ended */
void dq_run_cancel(dureq_run *r, dq_stop_reason why);       /* tells the handler, no more */
void dq_run_call_on_thread(dq_list *link, void *userdata);  /* these two: for the pool */
void dq_run_back(dq_list *link, void *userdata);
void dq_run_deadline_fired(dq_timer *t);
void dq_words_deinit(dq_words *w);
