/* SPDX-License-Identifier: Apache-2.0 */
#include "test_loop.h"

#include "base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define TICK_US 5000

static void on_tick(dq_timer *t)
{
    dq_timer_set(t, TICK_US);
}

void test_wait_begin(test_wait *w, dq_loop *loop, int limit_ms)
{
    w->loop = loop;
    w->until_us = dq_mono_us() + (int64_t)limit_ms * 1000;
    if (dq_timer_init(&w->tick, loop, on_tick) < 0)
        abort();
    dq_timer_set(&w->tick, TICK_US);
}

bool test_wait_turn(test_wait *w)
{
    if (dq_mono_us() > w->until_us) {
        test_wait_end(w);
        return false;
    }
    dq_loop_run_once(w->loop, /*block=*/true);
    return true;
}

void test_wait_end(test_wait *w)
{
    dq_timer_deinit(&w->tick);
}

void test_wait_failed(const char *what, int limit_ms, const char *file, int line)
{
    print_error("not within %d ms: %s\n", limit_ms, what);
    _fail(file, line);
    abort();
}

dq_loop *test_loop_create(void)
{
    dq_loop *loop;

    if (dq_loop_create(&loop, NULL) < 0)
        abort();
    return loop;
}
