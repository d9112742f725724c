/* SPDX-License-Identifier: Apache-2.0 */
#include "test_places.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static unsigned last_shard(const test_world *w)
{
    return w->n_shards - 1;
}

static const char *const verbs[] = {
    [DQ_JOB_RUN_NOW] = "run", [DQ_JOB_RESCHEDULE] = "reschedule", [DQ_JOB_PAUSE] = "pause", [DQ_JOB_RESUME] = "resume"};

enum { NO = -4 };

/* The state after each move, or NO. */
static const int moves[4][TEST_PLACES] = {
    [DQ_JOB_RUN_NOW] = {DUREQ_JOB_PENDING, DUREQ_JOB_PENDING, DUREQ_JOB_PENDING, NO, NO, DUREQ_JOB_PENDING, NO, NO, NO, NO},
    [DQ_JOB_RESCHEDULE] = {DUREQ_JOB_SCHEDULED, DUREQ_JOB_SCHEDULED, DUREQ_JOB_SCHEDULED, NO, NO, DUREQ_JOB_RETRYING, NO, NO, NO,
                           NO},
    [DQ_JOB_PAUSE] = {DUREQ_JOB_PAUSED, DUREQ_JOB_PAUSED, DUREQ_JOB_PAUSED, NO, NO, DUREQ_JOB_PAUSED, NO, NO, NO, NO},
    [DQ_JOB_RESUME] = {NO, NO, NO, NO, NO, NO, DUREQ_JOB_PENDING, NO, NO, NO},
};

static void jobs_that_wait_can_be_moved_and_no_others(void **state)
{
    test_world *w = *state;
    unsigned shard = last_shard(w);
    uint64_t session = test_session_open(w, shard, "n1", 60000);
    int64_t at_ms = test_server_ms(w) + 3600000;

    for (int verb = 0; verb < 4; verb++)
        for (test_place place = 0; place < TEST_PLACES; place++) {
            test_id id = test_job_at(w, shard, place, NULL, session);
            int after = moves[verb][place], code = test_job_move(w, shard, verb, at_ms, &id);
            int now = test_job_state(w, shard, &id);

            if (code != (after == NO ? NO : 0) || now != (after == NO ? test_place_states[place] : after))
                fail_msg("%s of a job in %s: %d, then state %d", verbs[verb], test_place_names[place], code, now);
            if (after != NO) {
                char action[32];

                snprintf(action, sizeof(action), "job.%s", verbs[verb]);
                test_expect_audit(w, shard, action, &id);
            }
        }
}

static void a_job_that_nobody_knows_is_told(void **state)
{
    test_world *w = *state;
    test_id id = {{1, 2, 3}};

    for (int verb = 0; verb < 4; verb++)
        assert_int_equal(test_job_move(w, 0, verb, 0, &id), -3);
}

static void a_job_run_now_comes_before_those_that_wait(void **state)
{
    test_world *w = *state;
    unsigned shard = last_shard(w);
    uint64_t session = test_session_open(w, shard, "n1", 60000);
    test_id first = test_job_at(w, shard, TEST_PLACE_LANE, NULL, 0), due = test_job_at(w, shard, TEST_PLACE_DUE, NULL, 0);

    assert_int_equal(test_job_move(w, shard, DQ_JOB_RUN_NOW, 0, &due), 0);
    assert_int_equal(test_session_take(w, shard, session, test_lane(w, shard, "normal|mail|"), 1), 1);
    assert_int_equal(test_job_state(w, shard, &due), DUREQ_JOB_RUNNING);
    assert_int_equal(test_job_state(w, shard, &first), DUREQ_JOB_PENDING);
    assert_int_equal(test_job_moved(w, shard, &due).due_at_ms, 0); /* it is not late: nobody waits for that time any more */
}

/* A job has at most one entry: whatever is done to it, it is delivered once. */
static void moved_to_and_fro_it_is_delivered_once(void **state)
{
    test_world *w = *state;
    unsigned shard = last_shard(w);
    uint64_t session = test_session_open(w, shard, "n1", 60000);
    static const dq_job_verb path[] = {DQ_JOB_RUN_NOW, DQ_JOB_PAUSE,  DQ_JOB_RESUME,  DQ_JOB_RESCHEDULE, DQ_JOB_RESCHEDULE,
                                       DQ_JOB_PAUSE,   DQ_JOB_RESUME, DQ_JOB_RUN_NOW, DQ_JOB_RUN_NOW};
    test_id id = test_job_at(w, shard, TEST_PLACE_LANE, NULL, 0);

    for (size_t i = 0; i < DQ_ARRAY_LEN(path); i++)
        assert_int_equal(test_job_move(w, shard, path[i], test_server_ms(w) + 60000, &id), 0);
    assert_int_equal(test_session_take(w, shard, session, test_lane(w, shard, "normal|mail|"), 10), 1);
    assert_int_equal(test_job_state(w, shard, &id), DUREQ_JOB_RUNNING);
    assert_int_equal(dq_reply_int(test_key(w, "ZCARD", shard, "due", (dureq_str){0})), 0);
    assert_int_equal(dq_reply_int(test_key(w, "HLEN", shard, "paused:h", (dureq_str){0})), 0);
}

static void what_it_went_through_moves_with_it(void **state)
{
    test_world *w = *state;
    uint64_t session = test_session_open(w, 0, "n1", 60000);
    test_id id = test_job_at_with(w, 0, TEST_PLACE_RETRYING, NULL, session, "the payload");
    dq_envelope e;

    assert_int_equal(test_job_move(w, 0, DQ_JOB_PAUSE, 0, &id), 0);
    assert_int_equal(test_job_move(w, 0, DQ_JOB_RESUME, 0, &id), 0);
    assert_int_equal(test_job_moved(w, 0, &id).attempts, 1);
    assert_int_equal(test_job_moved(w, 0, &id).runs, 1);
    assert_int_equal(dq_envelope_unpack(test_job_view(w, 0, &id, NULL).body, &e), 0);
    assert_true(dq_str_eq_text(e.payload, "the payload"));
}

static void a_pause_by_hand_ends_by_hand(void **state)
{
    test_world *w = *state;
    test_id id = test_job_at(w, 0, TEST_PLACE_DUE, NULL, 0);
    dq_buf call = {0};

    assert_int_equal(test_job_move(w, 0, DQ_JOB_PAUSE, 0, &id), 0);
    assert_int_equal(test_job_view(w, 0, &id, NULL).due_at_ms, -1);
    dq_call_due_promote(&call, dq_store_keys(w->s.store), 0, w->leader[0]);
    (void)test_store_call(&w->s, 0, &call, NULL);
    assert_int_equal(test_job_state(w, 0, &id), DUREQ_JOB_PAUSED);
    assert_int_equal(test_job_move(w, 0, DQ_JOB_PAUSE, 0, &id), -4);
}

static void a_new_time_counts_from_then_on(void **state)
{
    test_world *w = *state;
    unsigned shard = last_shard(w);
    int64_t at_ms = test_server_ms(w) + 7200000;
    test_id id = test_job_at(w, shard, TEST_PLACE_LANE, NULL, 0);

    assert_int_equal(test_job_move(w, shard, DQ_JOB_RESCHEDULE, at_ms, &id), 0);
    assert_int_equal(test_job_view(w, shard, &id, NULL).due_at_ms, at_ms);
    assert_int_equal(test_job_moved(w, shard, &id).due_at_ms, at_ms);
    assert_int_equal(test_job_moved(w, shard, &id).ready_at_ms, at_ms);
}

/* The leader sleeps until the next due job: it must know of a sooner one. */
static void the_leader_is_told_of_a_sooner_time_only(void **state)
{
    test_world *w = *state;
    int64_t now = test_server_ms(w);
    test_id a = test_job_at(w, 0, TEST_PLACE_LANE, NULL, 0), b = test_job_at(w, 0, TEST_PLACE_LANE, NULL, 0);
    test_id c = test_job_at(w, 0, TEST_PLACE_LANE, NULL, 0);
    char expected[120];

    assert_int_equal(w->leader[0].session, 1);
    assert_int_equal(dq_store_subscribe(w->s.store, 0, "w:", DQ_STR_LIT("1")), 0);
    assert_int_equal(test_job_move(w, 0, DQ_JOB_RESCHEDULE, now + 50000, &a), 0);
    assert_int_equal(test_job_move(w, 0, DQ_JOB_RESCHEDULE, now + 60000, &b), 0);
    assert_int_equal(test_job_move(w, 0, DQ_JOB_RESCHEDULE, now + 40000, &c), 0);
    snprintf(expected, sizeof(expected), "0 w:1=D%lld;0 w:1=D%lld;", (long long)now + 50000, (long long)now + 40000);
    TEST_UNTIL(w->s.loop, w->s.n_messages == 2);
    assert_string_equal(w->s.messages.ptr, expected);
}

static void an_idle_session_is_woken(void **state)
{
    test_world *w = *state;
    static const dq_job_verb waking[] = {DQ_JOB_RUN_NOW, DQ_JOB_RESUME};
    test_id ids[] = {test_job_at(w, 0, TEST_PLACE_DUE, NULL, 0), test_job_at(w, 0, TEST_PLACE_PAUSED, NULL, 0)};

    assert_int_equal(dq_store_subscribe(w->s.store, 0, "w:", DQ_STR_LIT("1")), 0);
    for (int i = 0; i < 2; i++) {
        (void)test_key(w, "SADD", 0, "idle:1", DQ_STR_LIT("1"));
        assert_int_equal(test_job_move(w, 0, waking[i], 0, &ids[i]), 0);
        TEST_UNTIL(w->s.loop, w->s.n_messages == 1 + 2 * i);
    }
    /* session 1 is leader too, and as such is told that a job was resumed: U and its id */
    const dq_buf *told = &w->s.messages;
    assert_memory_equal(told->ptr, "0 w:1=L1;0 w:1=U", 16);
    assert_string_equal(told->ptr + told->len - 10, ";0 w:1=L1;");
}

static void each_of_many_is_answered_by_itself(void **state)
{
    test_world *w = *state;
    test_id ids[] = {test_job_at(w, 0, TEST_PLACE_PAUSED, NULL, 0),
                     {{9}},
                     test_job_at(w, 0, TEST_PLACE_CANCELLED, NULL, 0),
                     test_job_at(w, 0, TEST_PLACE_DUE, NULL, 0)};
    static const int expected[] = {-4, -3, -4, 0};
    dureq_str views[4];
    dq_buf call = {0};
    dq_reply reply;

    for (int i = 0; i < 4; i++)
        views[i] = test_id_str(&ids[i]);
    dq_call_job_move(&call, dq_store_keys(w->s.store), 0, DQ_STR_LIT("me"), &(dq_job_move){.verb = DQ_JOB_PAUSE, .at_ms = 0},
                     views, 4);
    reply = test_store_call(&w->s, 0, &call, NULL);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(dq_reply_int(dq_reply_at(reply, i)), expected[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_WORLDS(jobs_that_wait_can_be_moved_and_no_others),
        TEST_WORLDS(a_job_that_nobody_knows_is_told),
        TEST_WORLDS(a_job_run_now_comes_before_those_that_wait),
        TEST_WORLDS(moved_to_and_fro_it_is_delivered_once),
        TEST_WORLDS(what_it_went_through_moves_with_it),
        TEST_WORLDS(a_pause_by_hand_ends_by_hand),
        TEST_WORLDS(a_new_time_counts_from_then_on),
        TEST_WORLDS(the_leader_is_told_of_a_sooner_time_only),
        TEST_WORLDS(an_idle_session_is_woken),
        TEST_WORLDS(each_of_many_is_answered_by_itself),
    };

    return cmocka_run_group_tests(tests, test_world_group_start, test_world_group_stop);
}
