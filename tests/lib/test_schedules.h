/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Schedules under test: made by few words, wound back so that they have missed something, and what their handlers saw. */

#include "test_rig.h"

#include <stdatomic.h>

/* What handlers saw: which occurrence, of which schedule, as which job. */
typedef struct test_seen {
    char schedule[DUREQ_JOB_ID_LEN + 4], job[DUREQ_JOB_ID_LEN + 4];
    int64_t at_ms;
    atomic_bool done; /* the others are written */
} test_seen;
#define TEST_SEEN_MAX 65536
typedef struct test_board {
    test_seen items[TEST_SEEN_MAX];
    atomic_int n;
} test_board;
/* A handler; userdata: a test_board. */
int test_board_run(dureq_run *run, void *userdata);
/* How many runs were seen of the schedule (NULL: any); of one occurrence of it (at_ms 0: any). */
int test_board_count(const test_board *b, const char *schedule, int64_t at_ms);

dureq_schedule test_every(int64_t interval_ms);
dureq_job_id test_schedule(const dureq_schedule *s, const char *type, const dureq_job_options *o);
/* As it is now; valid until 16 more were read. */
const dureq_schedule_info *test_schedule_get(const char *id);
/* As if nobody had looked at it for so long: what came round since is due now. */
void test_schedule_wind_back(const char *id, int64_t seconds);
/* How many records it has of a kind and a reason (NULL: any). */
int test_schedule_records(const char *id, const char *what, const char *reason);
