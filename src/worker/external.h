/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Handlers that need no thread: child processes, network calls. All calls are made on the node's loop thread.

   Life of one run: start(run) -> ... -> dq_run_finish(run, rc), exactly once, from within start or later. When the job is
   cancelled, times out or is lost, stop(run, why) is called once; after the handler's grace kill(run) is called once if the
   run is not finished by then; the handler still finishes it (what it returns then no longer counts, except that a time-out is
   recorded as such by the worker). */

#include <dureq/node.h>

#include "io/loop.h"

typedef enum dq_stop_reason {
    DQ_STOP_CANCELLED = 1,
    DQ_STOP_TIMED_OUT = 2,
    DQ_STOP_LOST = 3,     /* this node lost the job: another one will run it */
    DQ_STOP_SHUTDOWN = 4, /* the node stops; the job is given back */
} dq_stop_reason;

typedef struct dq_external_ops {
    int (*start)(
        dureq_run *run,
        void *userdata); /* 0, or a negative code: the attempt failed to start (retryable; use dureq_run_fail... to say more) */
    void (*stop)(dureq_run *run, dq_stop_reason why, void *userdata);
    void (*kill)(dureq_run *run, void *userdata);
    /* It was replaced or never used, and no run names it any more; not at the node's end. The loop's thread, or that which gave the set up. NULL: none. */
    void (*released)(void *userdata);
} dq_external_ops;

/* rc as a handler function returns it: 0 done, or what dureq_run_fail, _retry, _skip ... returned. The run is gone afterwards. */
void dq_run_finish(dureq_run *run, int rc);

/* Instead of finish, when it could not be started for want of something that all share (descriptors, processes, memory): the job is given back
   as if it had never been fetched, and for a while the node takes no more jobs than run now. The run is gone afterwards. */
void dq_run_no_room(dureq_run *run);

/* A place for the handler's own state of this run. */
void dq_run_set_state(dureq_run *run, void *state);
void *dq_run_get_state(dureq_run *run);
/* Log bytes kept with the run (whole lines not required), each line with its time and the run's number; the last 64 KiB stay. */
void dq_run_log_bytes(dureq_run *run, dureq_str bytes);
/* What a run that failed had written as its result: kept with the attempt, beside the detail. At most 16 KiB. */
void dq_run_set_output(dureq_run *run, dureq_str output);
/* Whether it may have run before, here or elsewhere: it was retried, handed over, given back. */
bool dq_run_was_moved(const dureq_run *run);
/* Milliseconds given between stop and kill. */
int64_t dq_run_grace_ms(const dureq_run *run);
