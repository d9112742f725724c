/* SPDX-License-Identifier: Apache-2.0 */
/* Outcomes and whose they are: a repeat may name entries whose delivery the server lost. */
#include "test_places.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#define LEASE_MS 60000

/* A job of "normal|mail|" that `session` runs. */
static test_id running_under(test_world *w, unsigned shard, uint64_t session)
{
    test_id id = test_job_add(w, shard, NULL, "mail", "x");

    assert_int_equal(test_session_take(w, shard, session, test_lane(w, shard, "normal|mail|"), 1), 1);
    assert_int_equal(test_job_state(w, shard, &id), DUREQ_JOB_RUNNING);
    return id;
}

/* What a server that lost the tail of its file, or a promoted replica, does not know any more: that the lane was read. */
static void lose_deliveries(test_world *w, unsigned shard)
{
    char lua[300];

    snprintf(lua, sizeof(lua),
             "local l = K .. 'l:%" PRIu32
             "' for _, p in ipairs(call('XPENDING', l, 'g', '-', '+', 100)) do call('XACK', l, 'g', p[1]) end "
             "call('XGROUP', 'SETID', l, 'g', '0')",
             test_lane(w, shard, "normal|mail|"));
    (void)test_plant(w, shard, NULL, lua);
}

static void a_repeat_whose_delivery_was_lost_ends_nothing(void **state)
{
    test_world *w = *state;
    unsigned shard = w->n_shards - 1;
    uint64_t one = test_session_open(w, shard, "n1", LEASE_MS), two = test_session_open(w, shard, "n2", LEASE_MS);
    test_id id = running_under(w, shard, one);

    lose_deliveries(w, shard);
    assert_int_equal(test_job_state(w, shard, &id), DUREQ_JOB_PENDING);
    w->repeats = true;
    assert_int_equal(test_job_end(w, shard, one, &id, DUREQ_JOB_COMPLETED), 1);
    assert_int_equal(test_job_state(w, shard, &id), DUREQ_JOB_PENDING);
    assert_int_equal(test_session_take(w, shard, two, test_lane(w, shard, "normal|mail|"), 1), 1);
    assert_int_equal(test_job_end(w, shard, two, &id, DUREQ_JOB_COMPLETED), 0);
    assert_int_equal(test_job_state(w, shard, &id), DUREQ_JOB_COMPLETED);
}

static void a_repeat_leaves_what_runs_elsewhere_meanwhile(void **state)
{
    test_world *w = *state;
    unsigned shard = w->n_shards - 1;
    uint64_t one = test_session_open(w, shard, "n1", LEASE_MS), two = test_session_open(w, shard, "n2", LEASE_MS);
    test_id id = running_under(w, shard, one);

    lose_deliveries(w, shard);
    assert_int_equal(test_session_take(w, shard, two, test_lane(w, shard, "normal|mail|"), 1), 1);
    w->repeats = true;
    assert_int_equal(test_job_end(w, shard, one, &id, DUREQ_JOB_DEAD), 1);
    assert_int_equal(test_job_state(w, shard, &id), DUREQ_JOB_RUNNING);
    w->repeats = false;
    assert_int_equal(test_job_end(w, shard, two, &id, DUREQ_JOB_COMPLETED), 0);
    assert_int_equal(test_job_state(w, shard, &id), DUREQ_JOB_COMPLETED);
}

static void a_repeat_ends_what_is_its_own(void **state)
{
    test_world *w = *state;
    unsigned shard = w->n_shards - 1;
    uint64_t one = test_session_open(w, shard, "n1", LEASE_MS);
    test_id id = running_under(w, shard, one);

    w->repeats = true;
    assert_int_equal(test_job_end(w, shard, one, &id, DUREQ_JOB_COMPLETED), 0);
    assert_int_equal(test_job_state(w, shard, &id), DUREQ_JOB_COMPLETED);
}

/* Under the number of the call that was executed: its answer, and nothing once more. */
static void a_repeat_of_what_was_done_has_its_answer(void **state)
{
    test_world *w = *state;
    unsigned shard = w->n_shards - 1;
    uint64_t one = test_session_open(w, shard, "n1", LEASE_MS);
    test_id id = running_under(w, shard, one), other = running_under(w, shard, one);

    assert_int_equal(test_job_end(w, shard, one, &id, DUREQ_JOB_COMPLETED), 0);
    w->repeats = true;
    w->call_no--;
    assert_int_equal(test_job_end(w, shard, one, &other, DUREQ_JOB_COMPLETED), 0);
    assert_int_equal(test_job_state(w, shard, &other), DUREQ_JOB_RUNNING);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_WORLDS(a_repeat_whose_delivery_was_lost_ends_nothing),
        TEST_WORLDS(a_repeat_leaves_what_runs_elsewhere_meanwhile),
        TEST_WORLDS(a_repeat_ends_what_is_its_own),
        TEST_WORLDS(a_repeat_of_what_was_done_has_its_answer),
    };

    return cmocka_run_group_tests(tests, test_world_group_start, test_world_group_stop);
}
