/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* pthread mutex and condition with clang's thread-safety attributes, and thread naming. */

#include <pthread.h>
#include <signal.h>

#include "base/base.h"

#ifdef __clang__
#define DQ_TSA(x) __attribute__((x))
#else
#define DQ_TSA(x)
#endif
#define DQ_REQUIRES(m) DQ_TSA(requires_capability(m))

typedef struct DQ_TSA(capability("mutex")) dq_mutex {
    pthread_mutex_t os;
} dq_mutex;

typedef struct dq_cond {
    pthread_cond_t os; /* waits on CLOCK_MONOTONIC */
} dq_cond;

void dq_mutex_init(dq_mutex *m);
void dq_mutex_deinit(dq_mutex *m);
void dq_mutex_lock(dq_mutex *m) DQ_TSA(acquire_capability(*m));
void dq_mutex_unlock(dq_mutex *m) DQ_TSA(release_capability(*m));
void dq_cond_init(dq_cond *c);
void dq_cond_deinit(dq_cond *c);
void dq_cond_wait(dq_cond *c, dq_mutex *m) DQ_REQUIRES(*m);
/* Waits until deadline_mono_us (dq_mono_us clock; <0: for ever). False when the time is over. */
bool dq_cond_wait_until(dq_cond *c, dq_mutex *m, int64_t deadline_mono_us) DQ_REQUIRES(*m);
void dq_cond_signal(dq_cond *c);
void dq_cond_broadcast(dq_cond *c);

/* All signals are blocked in the new thread. Name: at most 15 bytes. */
int dq_thread_start(pthread_t *ret, const char *name, size_t stack_bytes, void *(*fn)(void *), void *arg, dureq_error *err);

typedef struct dq_thread_spec {
    const char *name;
    size_t stack_bytes, guard_bytes; /* 0: the system's */
    const sigset_t *signals;         /* the new thread's mask; NULL: all are blocked */
    void *(*fn)(void *);
    void *arg;
} dq_thread_spec;
int dq_thread_start_as(pthread_t *ret, const dq_thread_spec *spec, dureq_error *err);
