/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A claim: an entry that is this node's until what became of its job is recorded, it is given back, or it is taken from us. Loop thread.

   It has one state, which says which list it is in and whether it takes a slot; dq_claim_move is who moves it. The run of its handler lies in it, and
   may outlive it: a claim that is over stays in memory until then, so that the handler keeps its job. */

#include "base/buf.h"
#include "base/list.h"
#include "model/job.h"
#include "redis/conn.h"
#include "store/session_calls.h"
#include "worker/handlers.h"
#include "worker/run.h"

typedef struct dq_wshard dq_wshard;
typedef struct dq_wlane dq_wlane;

/* docs/state-machines.md draws the moves; claim.c has their table. */
typedef enum dq_claim_state {
    DQ_CLAIM_READ,    /* just read: nothing was decided of it */
    DQ_CLAIM_PUSHED,  /* came with a wake-up; whether there is a slot for it is decided when no read is in flight */
    DQ_CLAIM_GATED,   /* which queues are paused is being read */
    DQ_CLAIM_SUSPECT, /* suspect.c: never charged; its start is being put on record */
    DQ_CLAIM_CHARGED, /* likewise: charged before, waits until it may run alone */
    DQ_CLAIM_ALONE,   /* likewise: it may, once its start is on record */
    DQ_CLAIM_STARTED, /* its run has begun, with its payload to be fetched perhaps */
    DQ_CLAIM_NAMED,   /* judged, and named in the heartbeat in flight: not recorded before that is answered */
    DQ_CLAIM_PLAIN,   /* judged: plain commands can record it */
    DQ_CLAIM_GENERAL, /* judged: only the general call can */
    DQ_CLAIM_SENT,    /* in the call in flight, or in one whose answer was lost */
    DQ_CLAIM_RETURN,  /* to be given back */
    DQ_CLAIM_OVER,    /* not ours any more */
} dq_claim_state;
#define DQ_CLAIM_STATES (DQ_CLAIM_OVER + 1)

/* Those of one state. */
typedef struct dq_claims {
    dq_list list; /* by dq_claim.link */
    size_t n;
} dq_claims;

/* A job as it was read; it stays as it is while a handler may look at it. */
typedef struct dq_wjob {
    dq_id id;
    dq_entry entry;
    dureq_str m, j; /* views into rbuf; m is empty: it was never moved */
    dq_rbuf *rbuf;
    dq_envelope env;
    dq_moved moved; /* zeroed when m is empty */
    dq_buf blob;    /* payload kept in a key of its own */
    dq_retry retry;
    char id_text[DUREQ_JOB_ID_LEN + 4], run_text[DUREQ_JOB_ID_LEN + 12];
    char *type, *queue; /* borrowed from the lane */
} dq_wjob;

/* What follows from a run's end. */
typedef enum dq_next {
    DQ_NEXT_COMPLETED,
    DQ_NEXT_DUE,    /* after delay_ms */
    DQ_NEXT_PAUSED, /* for delay_ms; -1: until resumed */
    DQ_NEXT_FRONT,  /* ready again at once */
    DQ_NEXT_DEAD,
} dq_next;

typedef struct dq_verdict {
    dureq_outcome outcome;
    int rc; /* what the handler returned */
    dq_next next;
    int64_t delay_ms;
    bool is_spent; /* an attempt */
    int64_t started_at_ms, finished_at_ms, ran_ms;
} dq_verdict;

/* What run:<session> may hold of its start. */
typedef enum dq_start_told {
    DQ_START_UNTOLD,
    DQ_START_TOLD,
    DQ_START_DOUBTED, /* it was told, and perhaps in vain: to be told again */
} dq_start_told;

struct dq_claim {
    dq_list link;     /* in the list of its state */
    dq_list in_shard; /* in its shard's `held`, until it is over */
    dq_list by_entry; /* as long, in one of its worker's `by_entry` */
    dq_worker *worker;
    dq_wshard *shard;
    dq_wlane *lane;
    dq_handler *handler;  /* set by dq_claim_set_handler alone; NULL: none here */
    dq_claim_state state; /* moved by dq_claim_move alone */
    dq_wjob job;

    dq_start_told start_told;
    bool progress_told;  /* a row of K pg is ours */
    bool has_steps;      /* its handler began some, perhaps (step.c) */
    bool is_named;       /* the heartbeat in flight says something of it */
    bool told_cancelled; /* we were told that this run is cancelled */
    bool seen;           /* by the resync under way */

    dq_verdict verdict; /* when judged; the next two as well */
    dq_words words;
    dq_buf log;

    dureq_run run; /* last: what lies after its lock is not zeroed for the next claim */
};

static inline dq_claim *dq_claim_of(const dureq_run *r)
{
    return (dq_claim *)((char *)(uintptr_t)r - offsetof(dq_claim, run));
}
static inline bool dq_claim_is_suspect(const dq_claim *c)
{
    return c->job.moved.flags & DQ_M_SUSPECT;
}

/* READ, in no list, without a shard. NULL when out of memory. */
dq_claim *dq_claim_create(dq_worker *w);
void dq_claim_free(dq_claim *c);
void dq_claim_set_handler(dq_claim *c, dq_handler *h);
void dq_claims_free_spare(dq_worker *w);
bool dq_claim_can_move(dq_claim_state from, dq_claim_state to);
/* To the end of the list of that state. A slot is taken before it runs, and given back when it leaves without having run. */
void dq_claim_move(dq_claim *c, dq_claim_state to);
void dq_claim_free_slot(dq_claim *c); /* that of a run, which keeps it until its end, whatever becomes of the claim */
void dq_claim_judged(dq_claim *c);    /* among what is to be recorded */
void dq_claim_again(dq_claim *c);     /* what it was sent in was not executed: to the front of what is to be recorded */
void dq_claim_over(dq_claim *c);      /* freed when no run uses it */
void dq_claim_lose(dq_claim *c, dq_stop_reason why);      /* taken from us */
void dq_claim_hold(dq_claim *c);                          /* its entry is known: among what its shard holds */
void dq_claim_let_go(dq_claim *c);                        /* the reverse */
dq_claim *dq_claim_find(dq_wshard *s, const dq_entry *e); /* held; NULL: none */
