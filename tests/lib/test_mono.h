/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A monotonic clock that a test sets, of its whole program: the store's time-outs and libevent's too. Waits within the kernel go on as they do.
   To be included in one file of a program, which it gives its clock_gettime. */

#include <stdatomic.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static atomic_long test_mono_ahead_s;

__attribute__((visibility("default"))) int clock_gettime(clockid_t id, struct timespec *ts)
{
    long rc = syscall(SYS_clock_gettime, id, ts);

    if (rc == 0 && (id == CLOCK_MONOTONIC || id == CLOCK_MONOTONIC_COARSE))
        ts->tv_sec += atomic_load(&test_mono_ahead_s);
    return (int)rc;
}

static inline void test_mono_pass(long seconds)
{
    atomic_fetch_add(&test_mono_ahead_s, seconds);
}
