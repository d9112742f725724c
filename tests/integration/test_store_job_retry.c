/* SPDX-License-Identifier: Apache-2.0 */
#include "test_places.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define MAX_CRASHES 3

static unsigned last_shard(const test_world *w)
{
    return w->n_shards - 1;
}

static int retry(test_world *w, unsigned shard, bool force, const test_id *id)
{
    dureq_str ids[] = {test_id_str(id)};
    dq_buf call = {0};
    dq_reply reply;

    dq_call_job_retry(&call, dq_store_keys(w->s.store), shard, DQ_STR_LIT("me"), force, (dureq_str){0}, ids, 1);
    reply = test_store_call(&w->s, shard, &call, NULL);
    assert_int_equal(dq_reply_len(reply), 1);
    return (int)dq_reply_int(dq_reply_at(reply, 0));
}

static void ended_jobs_start_anew_completed_ones_when_forced(void **state)
{
    test_world *w = *state;
    unsigned shard = last_shard(w);
    uint64_t session = test_session_open(w, shard, "n1", 60000);

    for (int force = 0; force < 2; force++)
        for (test_place place = 0; place < TEST_PLACES; place++) {
            test_id id = test_job_at(w, shard, place, NULL, session);
            bool may = place == TEST_PLACE_DEAD || place == TEST_PLACE_CANCELLED || (place == TEST_PLACE_COMPLETED && force);
            int code = retry(w, shard, force, &id), now = test_job_state(w, shard, &id);

            if (code != (may ? 0 : -4) || now != (may ? DUREQ_JOB_PENDING : test_place_states[place]))
                fail_msg("%s, force %d: %d, then state %d", test_place_names[place], force, code, now);
            if (may)
                test_expect_audit(w, shard, "job.retry", &id);
        }
}

static void a_job_that_nobody_knows_is_told(void **state)
{
    test_world *w = *state;
    test_id id = {{1, 2, 3}};

    assert_int_equal(retry(w, 0, true, &id), -3);
}

/* A job with attempts, crashes and errors after it, dead. */
static test_id dead_after_much(test_world *w, unsigned shard)
{
    uint64_t session = test_session_open(w, shard, "n1", 60000);
    test_id id = test_job_at_with(w, shard, TEST_PLACE_RETRYING, NULL, session, "the payload");

    assert_int_equal(test_job_move(w, shard, DQ_JOB_RUN_NOW, 0, &id), 0);
    for (int crash = 0; crash < MAX_CRASHES; crash++) {
        dq_buf call = {0};

        session = test_session_open(w, shard, "n1", 60000);
        assert_int_equal(test_session_take(w, shard, session, test_lane(w, shard, "normal|mail|"), 1), 1);
        test_session_started(w, shard, session, &id, test_server_ms(w), NULL);
        test_session_expire(w, shard, session);
        dq_call_session_reap(&call, dq_store_keys(w->s.store), shard, w->leader[shard],
                             &(dq_reap){.lease_ms = 60000, .max_crashes = MAX_CRASHES});
        (void)test_store_call(&w->s, shard, &call, NULL);
    }
    assert_int_equal(test_job_state(w, shard, &id), DUREQ_JOB_DEAD);
    return id;
}

static void counters_start_from_zero_and_what_was_is_kept(void **state)
{
    test_world *w = *state;
    unsigned shard = last_shard(w);
    test_id id = dead_after_much(w, shard);
    int64_t now = test_server_ms(w);
    dq_envelope e;
    dq_moved m;

    assert_int_equal(test_job_moved(w, shard, &id).attempts, 1);
    assert_int_equal(retry(w, shard, false, &id), 0);
    m = test_job_moved(w, shard, &id);
    assert_int_equal(m.attempts, 0);
    assert_int_equal(m.crashes, 0);
    assert_int_equal(m.errors_in_row, 0);
    assert_int_equal(m.flags, 0);
    assert_int_equal(m.runs, 4);       /* run ids stay unique */
    assert_int_equal(m.n_attempts, 3); /* the story stays readable */
    assert_in_range(m.ready_at_ms, now, now + 10000);
    assert_int_equal(dq_envelope_unpack(test_job_view(w, shard, &id, NULL).body, &e), 0);
    assert_true(dq_str_eq_text(e.payload, "the payload"));
}

static void its_row_is_gone_and_the_sums_with_it(void **state)
{
    test_world *w = *state;
    unsigned shard = last_shard(w);
    uint64_t session = test_session_open(w, shard, "n1", 60000);

    for (test_place place = TEST_PLACE_COMPLETED; place < TEST_PLACES; place++) {
        test_id id = test_job_at(w, shard, place, NULL, session);

        assert_int_equal(retry(w, shard, true, &id), 0);
    }
    assert_int_equal(dq_reply_int(test_key(w, "HGET", shard, "hz", DQ_STR_LIT("1"))), 0);
    assert_int_equal(dq_reply_int(test_key(w, "HGET", shard, "hn", DQ_STR_LIT("1"))), 0);
    assert_false(test_key_exists(w, shard, "dead"));
    assert_false(test_key_exists(w, shard, "dead:h"));
}

static void it_can_end_and_start_again_many_times(void **state)
{
    test_world *w = *state;
    uint64_t session = test_session_open(w, 0, "n1", 60000);
    test_id id = test_job_at(w, 0, TEST_PLACE_COMPLETED, NULL, session);

    for (int i = 0; i < 5; i++) {
        assert_int_equal(retry(w, 0, true, &id), 0);
        assert_int_equal(retry(w, 0, true, &id), -4); /* it lives */
        assert_int_equal(test_session_take(w, 0, session, 1, 1), 1);
        assert_int_equal(test_job_end(w, 0, session, &id, i % 2 ? DUREQ_JOB_DEAD : DUREQ_JOB_COMPLETED), 0);
    }
    assert_int_equal(test_job_state(w, 0, &id), DUREQ_JOB_COMPLETED);
}

/* ---- its unique key ---- */

static void it_takes_its_key_again(void **state)
{
    test_world *w = *state;
    unsigned shard = last_shard(w);
    dureq_job_options o = dureq_job_options_init();
    test_id id, other;

    o.unique_key = DQ_STR_LIT("mine");
    id = test_job_at(w, shard, TEST_PLACE_CANCELLED, &o, 0);
    assert_false(test_key_exists(w, shard, "u:mine"));
    assert_int_equal(retry(w, shard, false, &id), 0);
    assert_int_equal(test_job_add_code(w, shard, &o, "mail", "x", &other), 3);
    assert_memory_equal(other.bytes, id.bytes, sizeof(id.bytes));
}

static void a_key_that_is_taken_by_now_is_in_the_way(void **state)
{
    test_world *w = *state;
    dureq_job_options o = dureq_job_options_init();
    test_id id, other;

    o.unique_key = DQ_STR_LIT("mine");
    id = test_job_at(w, 0, TEST_PLACE_CANCELLED, &o, 0);
    other = test_job_add(w, 0, &o, "mail", "y");
    assert_int_equal(retry(w, 0, false, &id), -5);
    assert_int_equal(test_job_state(w, 0, &id), DUREQ_JOB_CANCELLED);
    assert_int_equal(test_job_cancel(w, 0, &other), 0);
    assert_int_equal(retry(w, 0, false, &id), 0);
}

static void a_key_held_for_a_time_is_held_anew(void **state)
{
    test_world *w = *state;
    dureq_job_options o = dureq_job_options_init();
    test_id id;

    o.unique_key = DQ_STR_LIT("mine");
    o.unique_for_ms = 3600000;
    id = test_job_at(w, 0, TEST_PLACE_CANCELLED, &o, 0);
    assert_true(test_key_exists(w, 0, "u:mine")); /* whatever happens to the job */
    (void)test_key(w, "PEXPIRE", 0, "u:mine", DQ_STR_LIT("1000000"));
    assert_int_equal(retry(w, 0, false, &id), 0);
    assert_in_range(dq_reply_int(test_key(w, "PTTL", 0, "u:mine", (dureq_str){0})), 3500000, 3600000);
}

/* ---- the rest ---- */

static void its_payload_is_still_there(void **state)
{
    test_world *w = *state;
    char *payload = calloc(1, DQ_PAYLOAD_INLINE_MAX + 2);
    test_id id;

    memset(payload, 'x', DQ_PAYLOAD_INLINE_MAX + 1);
    id = test_job_at_with(w, 0, TEST_PLACE_CANCELLED, NULL, 0, payload);
    assert_int_equal(retry(w, 0, false, &id), 0);
    assert_int_equal(test_job_view(w, 0, &id, NULL).blob.len, DQ_PAYLOAD_INLINE_MAX + 1);
    free(payload);
}

static void an_idle_session_is_woken(void **state)
{
    test_world *w = *state;
    unsigned shard = last_shard(w);
    test_id id = test_job_at(w, shard, TEST_PLACE_CANCELLED, NULL, 0);
    char message[32];

    assert_int_equal(dq_store_subscribe(w->s.store, shard, "w:", DQ_STR_LIT("1")), 0);
    (void)test_key(w, "SADD", shard, "idle:1", DQ_STR_LIT("1"));
    assert_int_equal(retry(w, shard, false, &id), 0);
    snprintf(message, sizeof(message), "%u w:1=L1;", shard);
    test_until_message(w, message);
}

/* ---- side keys outlive the bucket that named them ---- */

static void drop_history(test_world *w, unsigned shard)
{
    dq_kept k;

    (void)test_plant(w, shard, NULL,
                     "for _, b in ipairs(call('ZRANGE', K .. 'hx', 0, -1)) do call('ZADD', K .. 'hx', now - 1, b) end");
    do {
        dq_buf call = {0};
        dq_reply reply;

        dq_call_housekeep(&call, dq_store_keys(w->s.store), shard, w->leader[shard], &(dq_keep){0}, false);
        reply = test_store_call(&w->s, shard, &call, NULL);
        assert_int_equal(dq_housekeep_decode(&reply, &k), 0);
    } while (k.more);
}

static void its_payload_outlives_the_history_it_was_in(void **state)
{
    test_world *w = *state;
    char *payload = calloc(1, DQ_PAYLOAD_INLINE_MAX + 2);
    test_id id, ended;

    memset(payload, 'x', DQ_PAYLOAD_INLINE_MAX + 1);
    id = test_job_at_with(w, 0, TEST_PLACE_CANCELLED, NULL, 0, payload);
    ended = test_job_at_with(w, 0, TEST_PLACE_CANCELLED, NULL, 0, payload);
    assert_int_equal(retry(w, 0, false, &id), 0);
    drop_history(w, 0);
    assert_int_equal(test_job_state(w, 0, &ended), -1);
    assert_false(test_id_key_exists(w, 0, "b:", &ended));
    assert_int_equal(test_job_state(w, 0, &id), DUREQ_JOB_PENDING);
    assert_true(test_id_key_exists(w, 0, "b:", &id));
    free(payload);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_WORLDS(ended_jobs_start_anew_completed_ones_when_forced),
        TEST_WORLDS(a_job_that_nobody_knows_is_told),
        TEST_WORLDS(counters_start_from_zero_and_what_was_is_kept),
        TEST_WORLDS(its_row_is_gone_and_the_sums_with_it),
        TEST_WORLDS(it_can_end_and_start_again_many_times),
        TEST_WORLDS(it_takes_its_key_again),
        TEST_WORLDS(a_key_that_is_taken_by_now_is_in_the_way),
        TEST_WORLDS(a_key_held_for_a_time_is_held_anew),
        TEST_WORLDS(its_payload_is_still_there),
        TEST_WORLDS(an_idle_session_is_woken),
        TEST_WORLDS(its_payload_outlives_the_history_it_was_in),
    };

    return cmocka_run_group_tests(tests, test_world_group_start, test_world_group_stop);
}
