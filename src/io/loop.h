/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The event loop (over libevent), its timers and its mailbox.

   A dq_loop belongs to one thread at a time: the thread inside dq_loop_run. Everything here is for that
   thread only, except for dq_loop_post and dq_loop_stop, which any thread may call. */

#include "base/list.h"
#include "base/str.h"

typedef struct dq_loop dq_loop;
struct event_base;

int dq_loop_create(dq_loop **ret, dureq_error *err);
void dq_loop_destroy(dq_loop *loop); /* posted messages not yet run are run first */
int dq_loop_run(dq_loop *loop);      /* until dq_loop_stop */
void dq_loop_run_once(dq_loop *loop, bool block);
void dq_loop_stop(dq_loop *loop);                                            /* any thread */
int dq_loop_start_thread(dq_loop *loop, const char *name, dureq_error *err); /* runs the loop in its own thread */
void dq_loop_stop_thread(dq_loop *loop);                                     /* dq_loop_stop and join */
bool dq_loop_is_here(const dq_loop *loop);
bool dq_loop_is_turning_here(const dq_loop *loop); /* the same, and it runs: to wait here for it would be for ever. Any thread */
void dq_loop_assert_here(const dq_loop *loop);
int64_t dq_loop_now_us(dq_loop *loop); /* monotonic; cached per turn */
struct event_base *dq_loop_base(dq_loop *loop);
/* Between the two something needs a few more turns to go away: dq_loop_destroy waits for it, turning. */
void dq_loop_hold(dq_loop *loop);
void dq_loop_release(dq_loop *loop);

/* Messages from other threads: embed a dq_message, fill fn, post. Runs once on the loop thread, in order of
   posting of one thread. The loop is woken only when its mailbox was empty. The message may be freed or posted
   again from within fn. */
typedef struct dq_message {
    dq_list link;
    void (*fn)(struct dq_message *m);
} dq_message;
void dq_loop_post(dq_loop *loop, dq_message *m);

/* One-shot timers; embed. Zeroed is "not set". fn may set it again or free its owner. */
typedef struct dq_timer {
    struct dq_loop *loop;
    void *ev; /* struct event * */
    void (*fn)(struct dq_timer *t);
} dq_timer;
int dq_timer_init(dq_timer *t, dq_loop *loop, void (*fn)(dq_timer *t)); /* DUREQ_ENOMEM */
void dq_timer_set(dq_timer *t, int64_t delay_us);                       /* from now; replaces an earlier setting */
void dq_timer_clear(dq_timer *t);
bool dq_timer_is_set(const dq_timer *t);
void dq_timer_deinit(dq_timer *t);

/* Looks whether a descriptor is readable; embed. fn may not free its owner. */
typedef struct dq_readable {
    void *ev; /* struct event * */
    void (*fn)(struct dq_readable *w, int fd);
} dq_readable;
int dq_readable_init(dq_readable *w, dq_loop *loop, int fd, void (*fn)(dq_readable *w, int fd)); /* DUREQ_ENOMEM */
void dq_readable_deinit(dq_readable *w);

/* Runs once before the loop next waits (after all that is ready now): where batches are sent. */
typedef struct dq_deferred {
    dq_list link;
    void (*fn)(struct dq_deferred *d);
} dq_deferred;
void dq_loop_defer(dq_loop *loop, dq_deferred *d); /* fine when already deferred */
void dq_loop_undefer(dq_deferred *d);
