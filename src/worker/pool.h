/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Threads that run blocking handlers. Runs come in batches from the loop, go back through a mailbox that wakes the loop only when it was
   empty. Who takes a run wakes the next thread, one at a time while few handlers run, so a burst of short handlers does not wake a crowd; the
   more handlers run, so that they must be blocking, the more threads may be on their way at once. The first thread is made with the pool,
   others when needed; all are kept. */

#include "base/list.h"
#include "base/mutex.h"
#include "io/loop.h"

typedef struct dq_pool dq_pool;

/* run: on a pool thread, for each run's link. done: on the loop thread, for each link that was run, in order. */
typedef struct dq_pool_callbacks {
    void (*run)(dq_list *link, void *userdata);
    void (*done)(dq_list *link, void *userdata);
    void (*batch_done)(void *userdata); /* loop thread, after a batch of done */
    void *userdata;
} dq_pool_callbacks;

typedef struct dq_pool_options {
    unsigned n_max;          /* threads, without those that were lost */
    size_t stack_bytes;      /* of a thread; 0: DQ_POOL_STACK_BYTES */
    const sigset_t *signals; /* mask of the threads, copied; NULL: all are blocked */
} dq_pool_options;

#define DQ_POOL_STACK_BYTES (1024 * 1024)

int dq_pool_create(dq_loop *loop, const dq_pool_options *options, const dq_pool_callbacks *cb, dq_pool **ret, dureq_error *err);
/* Loop thread: all runs are back, or stuck. `done` is not called any more, whatever comes back. */
void dq_pool_close(dq_pool *p);
/* The loop has ended. Threads of stuck runs that never end are left behind (detached). */
void dq_pool_destroy(dq_pool *p);
/* Loop thread. */
void dq_pool_push(dq_pool *p, dq_list *batch);    /* takes all of it */
bool dq_pool_take_out(dq_pool *p, dq_list *link); /* false: a thread has it, or had it; else `run` will not see it */
bool dq_pool_runs_off(dq_pool *p);                /* runs wait for a thread, and are short: few run at a time; a guess */
/* A handler will not come back soon: its thread no longer counts, another may be made for it; once it does come back, undone by the pool. */
void dq_pool_lost_thread(dq_pool *p, int n);
