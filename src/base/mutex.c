/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mutex.h"

#include <assert.h>
#include <signal.h>
#include <time.h>

void dq_mutex_init(dq_mutex *m)
{
    int rc = pthread_mutex_init(&m->os, NULL);

    assert(rc == 0); /* the default kind needs no resources on Linux */
    (void)rc;
}

void dq_mutex_deinit(dq_mutex *m)
{
    (void)pthread_mutex_destroy(&m->os);
}

DQ_TSA(no_thread_safety_analysis) void dq_mutex_lock(dq_mutex *m)
{
    (void)pthread_mutex_lock(&m->os);
}

DQ_TSA(no_thread_safety_analysis) void dq_mutex_unlock(dq_mutex *m)
{
    (void)pthread_mutex_unlock(&m->os);
}

void dq_cond_init(dq_cond *c)
{
    pthread_condattr_t attr;

    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&c->os, &attr);
    (void)pthread_condattr_destroy(&attr);
}

void dq_cond_deinit(dq_cond *c)
{
    (void)pthread_cond_destroy(&c->os);
}

void dq_cond_wait(dq_cond *c, dq_mutex *m)
{
    (void)pthread_cond_wait(&c->os, &m->os);
}

bool dq_cond_wait_until(dq_cond *c, dq_mutex *m, int64_t deadline_mono_us)
{
    struct timespec at = {.tv_sec = deadline_mono_us / 1000000, .tv_nsec = deadline_mono_us % 1000000 * 1000};

    if (deadline_mono_us < 0) {
        dq_cond_wait(c, m);
        return true;
    }
    return pthread_cond_timedwait(&c->os, &m->os, &at) == 0;
}

void dq_cond_signal(dq_cond *c)
{
    (void)pthread_cond_signal(&c->os);
}

void dq_cond_broadcast(dq_cond *c)
{
    (void)pthread_cond_broadcast(&c->os);
}

int dq_thread_start_as(pthread_t *ret, const dq_thread_spec *spec, dureq_error *err)
{
    pthread_attr_t attr;
    sigset_t mask, before;
    int rc;

    (void)pthread_attr_init(&attr);
    if (spec->stack_bytes)
        (void)pthread_attr_setstacksize(&attr, spec->stack_bytes);
    if (spec->guard_bytes)
        (void)pthread_attr_setguardsize(&attr, spec->guard_bytes);
    (void)sigfillset(&mask);
    if (spec->signals)
        mask = *spec->signals;
    (void)pthread_sigmask(SIG_SETMASK, &mask, &before); /* inherited by the new thread */
    rc = pthread_create(ret, &attr, spec->fn, spec->arg);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    (void)pthread_attr_destroy(&attr);
    if (rc != 0)
        return dq_fail_errno(err, DUREQ_EIO, rc, "cannot start thread '%s'", spec->name);
    (void)pthread_setname_np(*ret, spec->name);
    return 0;
}

int dq_thread_start(pthread_t *ret, const char *name, size_t stack_bytes, void *(*fn)(void *), void *arg, dureq_error *err)
{
    dq_thread_spec spec = {.name = name, .stack_bytes = stack_bytes, .fn = fn, .arg = arg};

    return dq_thread_start_as(ret, &spec, err);
}
