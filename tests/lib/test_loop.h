/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Turning a loop in the test's thread until something holds. A test never sleeps: it names what it waits for, and fails with
   that text when the limit is over. */

#include "io/loop.h"

#include <stdbool.h>

#define TEST_LIMIT_MS 5000

/* After TEST_UNTIL: a deadline, and a tick that lets conditions outside of the loop be looked at again. */
typedef struct test_wait {
    dq_loop *loop;
    dq_timer tick;
    int64_t until_us;
} test_wait;

void test_wait_begin(test_wait *w, dq_loop *loop, int limit_ms);
bool test_wait_turn(test_wait *w); /* one turn; false when the time is over */
void test_wait_end(test_wait *w);
void test_wait_failed(const char *what, int limit_ms, const char *file, int line) __attribute__((noreturn));

#define TEST_UNTIL_MS(loop, limit_ms, condition)                              \
    do {                                                                      \
        test_wait wait_;                                                      \
                                                                              \
        test_wait_begin(&wait_, (loop), (limit_ms));                          \
        while (!(condition))                                                  \
            if (!test_wait_turn(&wait_))                                      \
                test_wait_failed(#condition, (limit_ms), __FILE__, __LINE__); \
        test_wait_end(&wait_);                                                \
    } while (0)
#define TEST_UNTIL(loop, condition) TEST_UNTIL_MS(loop, TEST_LIMIT_MS, condition)

dq_loop *test_loop_create(void); /* or the test program ends */
