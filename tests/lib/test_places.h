/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A job in every structure that jobs can be in, brought there by the calls that bring jobs there. */

#include "test_jobs.h"

#define TEST_PLACE_MAP(X)                      \
    X(LANE, "lane", PENDING)                   \
    X(FRONT, "front", PENDING)                 \
    X(DUE, "due", SCHEDULED)                   \
    X(RUNNING, "running", RUNNING)             \
    X(FRONT_RUNNING, "front_running", RUNNING) \
    X(RETRYING, "retrying", RETRYING)          \
    X(PAUSED, "paused", PAUSED)                \
    X(COMPLETED, "completed", COMPLETED)       \
    X(DEAD, "dead", DEAD)                      \
    X(CANCELLED, "cancelled", CANCELLED)

typedef enum test_place {
#define X(name, text, state) TEST_PLACE_##name,
    TEST_PLACE_MAP(X)
#undef X
} test_place;

#define TEST_PLACES (TEST_PLACE_CANCELLED + 1)

extern const char *const test_place_names[TEST_PLACES];
extern const int test_place_states[TEST_PLACES]; /* dureq_job_state */

/* A new job of type "mail" that is there. `session` runs it or ran it, and with it whatever waited in that lane before: make jobs that
   run first. */
test_id test_job_at(test_world *w, unsigned shard, test_place place, const dureq_job_options *o, uint64_t session);
/* The same with a payload. */
test_id test_job_at_with(test_world *w, unsigned shard, test_place place, const dureq_job_options *o, uint64_t session,
                         const char *payload);

/* Calls about one job; what the script answers: 0, or one of its negative codes. */
int test_job_cancel(test_world *w, unsigned shard, const test_id *id);
int test_job_move(test_world *w, unsigned shard, dq_job_verb verb, int64_t at_ms, const test_id *id);
/* Delivers jobs of its lane to the session until it runs there. */
void test_job_take(test_world *w, unsigned shard, uint64_t session, const test_id *id);
/* Ends the first attempt of a job that runs under a session: it is tried again in an hour. */
void test_job_fail_once(test_world *w, unsigned shard, uint64_t session, const test_id *id);
/* Ends a job that runs under a session: state completed or dead, by `complete`. What it refused: 0 or 1. */
int test_job_end(test_world *w, unsigned shard, uint64_t session, const test_id *id, int state);
/* The same, but `before` is done between the call's making and its sending. */
int test_job_end_after(test_world *w, unsigned shard, uint64_t session, const test_id *id, int state,
                       int (*before)(test_world *w, unsigned shard, const test_id *id));
/* Its last audit entry says so. */
void test_expect_audit(test_world *w, unsigned shard, const char *action, const test_id *id);
