/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Small things of the fault tests: a condition with a limit, the end of the test with a message, and how long it shall run. */

#include <stdbool.h>
#include <stdint.h>

#include "base/base.h"

/* Looks every 2 ms; false when the limit passed first. */
bool fault_wait(int64_t limit_ms, bool (*is_so)(void *userdata), void *userdata);
/* Lets time pass that is a part of the scenario, such as that of load between two faults. Never for waiting for something. */
void fault_pass(int64_t ms);
/* By how long, in all, this thread was late to look when it waited or let time pass; what is usual is left out. A machine that gives it no time gives none
   to those it looks at either, and what took long meanwhile says nothing of them. */
int64_t fault_held_up_ms(void);
/* Of something that took so long: whether more than it may, but not without what this thread was held up since that count was read, so that it says
   nothing. */
bool fault_is_to_set_aside(int64_t ms, int64_t most_ms, int64_t held_up_ms);
__attribute__((noreturn)) void fault_die(const char *fmt, ...) DUREQ_PRINTF(1, 2);

bool fault_is_short(void); /* DUREQ_TEST_SHORT=1 */
#define FAULT_ROUNDS_MAX 1000
/* How many rounds: DUREQ_FAULT_ROUNDS when set (another number than 1 to 1000 ends the test), else by DUREQ_TEST_SHORT. */
int fault_rounds(int usual, int brief);
/* Of a kind whose rounds are quick: `times` as many when DUREQ_FAULT_ROUNDS is set. */
int fault_rounds_times(int times, int usual, int brief);
