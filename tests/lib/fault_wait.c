/* SPDX-License-Identifier: Apache-2.0 */
#include "fault_wait.h"

#include "base/clock.h"
#include "base/str.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define LOOK_MS 2
#define LATE_US 20000 /* less is usual on cores that are busy */

static _Thread_local int64_t held_up_us;

int64_t fault_held_up_ms(void)
{
    return held_up_us / 1000;
}

bool fault_is_to_set_aside(int64_t ms, int64_t most_ms, int64_t held_up_ms)
{
    return ms > most_ms && ms - (fault_held_up_ms() - held_up_ms) <= most_ms;
}

void fault_pass(int64_t ms)
{
    struct timespec ts = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    int64_t until_us = dq_mono_us() + ms * 1000, late_us;

    while (nanosleep(&ts, &ts) < 0)
        ;
    late_us = dq_mono_us() - until_us;
    if (late_us > LATE_US)
        held_up_us += late_us;
}

bool fault_wait(int64_t limit_ms, bool (*is_so)(void *userdata), void *userdata)
{
    int64_t until_us = dq_mono_us() + limit_ms * 1000;

    while (!is_so(userdata)) {
        if (dq_mono_us() > until_us)
            return false;
        fault_pass(LOOK_MS);
    }
    return true;
}

void fault_die(const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    (void)vfprintf(stderr, fmt, args);
    va_end(args);
    (void)fputc('\n', stderr);
    exit(1);
}

bool fault_is_short(void)
{
    const char *text = getenv("DUREQ_TEST_SHORT");

    return text && text[0] == '1';
}

/* 0: not set */
static int rounds_wanted(void)
{
    const char *text = getenv("DUREQ_FAULT_ROUNDS");
    int64_t rounds = 0;

    if (text && text[0] && dq_parse_i64(dureq_str_from(text), 1, FAULT_ROUNDS_MAX, &rounds) < 0)
        fault_die("DUREQ_FAULT_ROUNDS=%s: it is a number from 1 to %d", text, FAULT_ROUNDS_MAX);
    return (int)rounds;
}

int fault_rounds_times(int times, int usual, int brief)
{
    int wanted = rounds_wanted();

    if (wanted > 0)
        return wanted * times;
    return fault_is_short() ? brief : usual;
}

int fault_rounds(int usual, int brief)
{
    return fault_rounds_times(1, usual, brief);
}
