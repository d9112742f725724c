/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* One run of a job on this node, from its fetch until its end is recorded.

   Owner by phase: loop (fetched, waiting) -> pool thread or external handler (RUNNING; only what dureq_run_... functions touch, and the
   loop's own fields) -> loop again (FINISHED). `mu` of the worker's pool guards nothing here; what both sides touch at once is atomic, or
   guarded by the task's lock below. */

#include <stdatomic.h>

#include "base/heap.h"
#include "base/list.h"
#include "base/mutex.h"
#include "model/job.h"
#include "redis/conn.h"
#include "store/session_calls.h"
#include "worker/external.h"
#include "worker/handlers.h"

typedef struct dq_worker dq_worker;
typedef struct dq_wshard dq_wshard;
typedef struct dq_wlane dq_wlane;

typedef enum task_phase {
    TASK_WAITING,  /* fetched; its payload, its turn (suspects) or a thread is awaited */
    TASK_RUNNING,  /* with its handler */
    TASK_FINISHED, /* outcome known; to be recorded */
    TASK_SENT,     /* in a call that records it */
} task_phase;

/* What follows from a run's end. */
typedef enum task_next {
    NEXT_COMPLETED,
    NEXT_DUE,    /* after delay_ms */
    NEXT_PAUSED, /* for delay_ms; -1: until resumed */
    NEXT_FRONT,  /* ready again at once */
    NEXT_DEAD,
} task_next;

/* What a handler said, before it is judged (outcome.c). */
typedef struct task_said {
    bool any; /* one of dureq_run_fail ... was called */
    dureq_outcome outcome;
    int code;
    char *msg; /* NULL: none */
    dq_buf detail, output;
    int64_t after_ms;     /* 0: not given */
    bool has_payload;     /* of a repeat */
    uint8_t repeat_limit; /* 0: none */
    dq_buf payload;
} task_said;

struct dureq_run {
    dq_list link;      /* in the list of its phase */
    dq_list pool_link; /* the pool's, while it has the task */
    dq_list in_shard;  /* in its shard's `held`, until it is recorded or lost */
    dq_worker *worker;
    dq_wshard *shard;
    dq_wlane *lane;
    const dq_handler *handler;
    dq_id id;
    bool front; /* entry is in f:, else in l: */
    uint64_t entry_ms, entry_seq;
    dureq_str m, j; /* views into rbuf */
    dq_rbuf *rbuf;
    dq_envelope env;
    dq_moved moved; /* zeroed when m is empty */
    dq_buf blob;    /* payload kept in a key of its own */
    dq_retry retry;

    task_phase phase;         /* loop's */
    bool lost;                /* taken from us: nothing of it is recorded. Loop's */
    bool reported;            /* its start is in run:<session>. Loop's */
    bool report_flying;       /* a heartbeat that names it is not answered yet: until then its end is not recorded. Loop's */
    bool unsent;              /* its end is known here and not yet known to be recorded. Loop's */
    bool abandoned;           /* recorded or lost while its handler still runs. Loop's */
    bool told_cancelled;      /* the session was told that this run is cancelled. Loop's */
    bool suspect;             /* waits until its start is on record (suspect.c) */
    bool undecided;           /* whether it is started (fetch.c). Loop's */
    bool gated;               /* in its shard's `gated`. Loop's */
    bool in_fast, in_returns; /* which list of its shard it is in, when FINISHED or WAITING. Loop's */
    bool seen, admitted;      /* loop's: resync; a suspect whose start is on record */
    bool heartbeat_missed;
    bool fetching_blob;
    bool report_again;       /* its start was reported to other data than the server has now */
    bool progress_sent;      /* a row of K pg is ours. Loop's */
    dq_stop_reason why_stop; /* 0: not stopped. Loop's */
    bool killed;
    dq_heap_node deadline; /* next of: time-out, heartbeat, grace */
    int64_t started_at_ms, started_loop_us;
    int64_t started_mono_us, ended_mono_us; /* the handler's thread writes them; the loop's for an external one */
    int pool_rc;
    int64_t finished_at_ms, ran_ms;
    dureq_outcome outcome; /* judged; valid when FINISHED */
    int rc;                /* what the handler returned */
    task_next next;
    int64_t delay_ms;
    bool spent; /* an attempt */

    char job_id_text[DUREQ_JOB_ID_LEN + 4], run_id_text[DUREQ_JOB_ID_LEN + 12];
    char *type_text, *queue_text; /* borrowed from the lane */
    char content_type_text[DUREQ_CONTENT_TYPE_MAX + 4];
    dureq_header *headers; /* made at first use, by the handler */
    size_t n_headers;
    void *state; /* external handler's */

    task_said said;
    dq_buf result;
    bool has_result;
    char *result_type; /* NULL: as the bytes look */

    atomic_bool cancelled;        /* relaxed; the lock below pairs it with `wait` */
    _Atomic int64_t sign_mono_us; /* relaxed: last sign of life */

    dq_mutex mu; /* guards the next four */
    dq_cond cond;
    dq_buf log;
    dq_buf progress;
    bool progress_new;
};

/* Loop thread. The task is in no list yet. NULL when out of memory. */
dureq_run *dq_task_create(dq_worker *w);
void dq_task_free(dureq_run *t);
dq_entry dq_task_entry(const dureq_run *t);
/* Tells the handler to stop; loop thread. */
void dq_task_cancel(dureq_run *t, dq_stop_reason why);
void dq_task_end_log(dureq_run *t); /* loop thread; its handler has ended, or is no more heard in this task */
/* Runs the handler with its middleware. Pool thread. */
int dq_task_run(dureq_run *t);
