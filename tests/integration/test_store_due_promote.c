/* SPDX-License-Identifier: Apache-2.0 */
#include "test_jobs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static dq_promoted promote_as(test_world *w, unsigned shard, dq_term t, int *ret_code)
{
    dq_promoted p = {0};
    dq_buf call = {0};
    dq_reply reply;

    dq_call_due_promote(&call, dq_store_keys(w->s.store), shard, t);
    reply = test_store_call(&w->s, shard, &call, ret_code);
    if (!ret_code || *ret_code == 0)
        assert_int_equal(dq_due_promote_decode(&reply, &p), 0);
    return p;
}

static dq_promoted promote(test_world *w, unsigned shard)
{
    return promote_as(w, shard, w->leader[shard], NULL);
}

static test_id add_at(test_world *w, unsigned shard, int64_t run_at_ms)
{
    dureq_job_options o = dureq_job_options_init();

    o.run_at_ms = run_at_ms;
    return test_job_add(w, shard, &o, "mail", "x");
}

static unsigned last_shard(const test_world *w)
{
    return w->n_shards - 1;
}

static void nothing_due_is_nothing_done(void **state)
{
    test_world *w = *state;
    dq_promoted p = promote(w, last_shard(w));

    assert_int_equal(p.n, 0);
    assert_int_equal(p.next_due_ms, -1);
    assert_int_equal(p.next_resume_ms, -1);
    assert_in_range(p.now_ms, test_server_ms(w) - 2000, test_server_ms(w));
}

static void what_is_due_goes_to_the_front_of_its_lane(void **state)
{
    test_world *w = *state;
    unsigned shard = last_shard(w);
    int64_t now = test_server_ms(w);
    uint64_t session = test_session_open(w, shard, "n1", 60000);
    test_id waiting = test_job_add(w, shard, NULL, "mail", "x"), due, later;
    dq_promoted p;

    due = add_at(w, shard, now - 5000);
    later = add_at(w, shard, now + 3600000);
    assert_int_equal(test_job_state(w, shard, &due), DUREQ_JOB_SCHEDULED);
    p = promote(w, shard);
    assert_int_equal(p.n, 1);
    assert_int_equal(p.next_due_ms, now + 3600000);
    assert_int_equal(test_job_state(w, shard, &due), DUREQ_JOB_PENDING);
    assert_int_equal(test_job_state(w, shard, &later), DUREQ_JOB_SCHEDULED);
    assert_int_equal(test_job_moved(w, shard, &due).due_at_ms, now - 5000); /* for who asks how late it was */
    assert_in_range(test_job_moved(w, shard, &due).ready_at_ms, now, now + 10000);
    assert_int_equal(test_session_take(w, shard, session, test_lane(w, shard, "normal|mail|"), 1), 1);
    assert_int_equal(test_job_state(w, shard, &due), DUREQ_JOB_RUNNING);
    assert_int_equal(test_job_state(w, shard, &waiting), DUREQ_JOB_PENDING);
}

static void jobs_come_in_the_order_they_are_due(void **state)
{
    test_world *w = *state;
    int64_t now = test_server_ms(w);
    uint64_t session = test_session_open(w, 0, "n1", 60000);
    test_id late = add_at(w, 0, now - 1000), early = add_at(w, 0, now - 3000), middle = add_at(w, 0, now - 2000);
    uint32_t lane;
    const test_id *order[] = {&early, &middle, &late};

    assert_int_equal(promote(w, 0).n, 3);
    lane = test_lane(w, 0, "normal|mail|");
    for (int i = 0; i < 3; i++) {
        assert_int_equal(test_session_take(w, 0, session, lane, 1), 1);
        assert_int_equal(test_job_state(w, 0, order[i]), DUREQ_JOB_RUNNING);
    }
}

static void the_set_and_its_records_go_together(void **state)
{
    test_world *w = *state;

    for (int i = 0; i < 3; i++)
        (void)add_at(w, 0, 1000);
    assert_int_equal(promote(w, 0).n, 3);
    assert_false(test_key_exists(w, 0, "due"));
    assert_false(test_key_exists(w, 0, "due:h"));
    assert_int_equal(dq_reply_int(test_key(w, "HLEN", 0, "loc", (dureq_str){0})), 3);
}

static void pause(test_world *w, unsigned shard, const test_id *id)
{
    dureq_str ids[] = {test_id_str(id)};
    dq_buf call = {0};

    dq_call_job_move(&call, dq_store_keys(w->s.store), shard, DQ_STR_LIT("me"), &(dq_job_move){.verb = DQ_JOB_PAUSE, .at_ms = 0},
                     ids, 1);
    assert_int_equal(dq_reply_int(dq_reply_at(test_store_call(&w->s, shard, &call, NULL), 0)), 0);
}

static void a_pause_whose_time_is_over_ends(void **state)
{
    test_world *w = *state;
    unsigned shard = last_shard(w);
    test_id ends = test_job_add(w, shard, NULL, "mail", "x"), later = test_job_add(w, shard, NULL, "mail", "x");
    test_id never = test_job_add(w, shard, NULL, "mail", "x");
    dq_promoted p;

    pause(w, shard, &ends);
    pause(w, shard, &later);
    pause(w, shard, &never);
    /* Paused after errors in a row, to be resumed by itself: the counter starts over then. */
    (void)test_plant(w, shard, &ends,
                     "local r = call('HGET', K .. 'paused:h', id) "
                     "call('HSET', K .. 'paused:h', id, string.sub(r, 1, 24) .. pack('>I2', 7) .. string.sub(r, 27)) "
                     "call('ZADD', K .. 'paused', now - 1, id)");
    assert_int_equal(test_job_moved(w, shard, &ends).errors_in_row, 7);
    (void)test_plant(w, shard, &later, "call('ZADD', K .. 'paused', 5000000000000, id)");
    p = promote(w, shard);
    assert_int_equal(p.n, 1);
    assert_int_equal(p.next_resume_ms, 5000000000000);
    assert_int_equal(test_job_state(w, shard, &ends), DUREQ_JOB_PENDING);
    assert_int_equal(test_job_moved(w, shard, &ends).errors_in_row, 0);
    assert_int_equal(test_job_state(w, shard, &later), DUREQ_JOB_PAUSED);
    assert_int_equal(test_job_state(w, shard, &never), DUREQ_JOB_PAUSED);
    (void)test_plant(w, shard, &later, "call('ZADD', K .. 'paused', '+inf', id)");
    assert_int_equal(promote(w, shard).next_resume_ms, -1); /* for ever is no time to wake at */
}

static void a_step_is_bounded_by_jobs(void **state)
{
    test_world *w = *state;
    int64_t now = test_server_ms(w);
    dq_promoted p;

    for (int i = 0; i < DQ_PROMOTE_LIMIT + 40; i++)
        (void)add_at(w, 0, now - 1000 + i);
    p = promote(w, 0);
    assert_int_equal(p.n, DQ_PROMOTE_LIMIT);
    assert_int_equal(p.next_due_ms, now - 1000 + DQ_PROMOTE_LIMIT); /* at once again */
    assert_int_equal(promote(w, 0).n, 40);
}

static void a_step_is_bounded_by_bytes(void **state)
{
    test_world *w = *state;
    dureq_job_options o = dureq_job_options_init();
    char *payload = calloc(1, DQ_PAYLOAD_INLINE_MAX + 1);
    int64_t moved = 0;
    int steps = 0;
    dq_promoted p;

    memset(payload, 'x', DQ_PAYLOAD_INLINE_MAX);
    o.run_at_ms = 1000;
    for (int i = 0; i < 80; i++)
        (void)test_job_add(w, 0, &o, "mail", payload);
    do {
        p = promote(w, 0);
        assert_true(p.n * DQ_PAYLOAD_INLINE_MAX <= DQ_PROMOTE_BYTES + DQ_PAYLOAD_INLINE_MAX);
        moved += p.n;
        steps++;
    } while (p.n > 0);
    assert_int_equal(moved, 80);
    assert_int_equal(steps, 4); /* 32, 32, 16, none */
    free(payload);
}

/* ---- who is woken ---- */

static void idle_sessions_of_the_lane_are_woken(void **state)
{
    test_world *w = *state;
    unsigned shard = last_shard(w);
    char lane_key[32], message[32];
    uint32_t lane;

    (void)add_at(w, shard, 1000);
    lane = test_lane(w, shard, "normal|mail|");
    snprintf(lane_key, sizeof(lane_key), "idle:%u", lane);
    (void)test_key(w, "SADD", shard, lane_key, DQ_STR_LIT("1"));
    assert_int_equal(dq_store_subscribe(w->s.store, shard, "w:", DQ_STR_LIT("1")), 0);
    (void)promote(w, shard);
    snprintf(message, sizeof(message), "%u w:1=L%u;", shard, lane);
    test_until_message(w, message);
    assert_false(test_key_exists(w, shard, lane_key)); /* once */
}

static void no_more_are_woken_than_have_work(void **state)
{
    test_world *w = *state;
    char lane_key[32];

    w->is_damaged = true; /* sessions that are not there */
    (void)add_at(w, 0, 1000);
    (void)add_at(w, 0, 1000);
    snprintf(lane_key, sizeof(lane_key), "idle:%u", test_lane(w, 0, "normal|mail|"));
    for (int i = 0; i < 5; i++)
        (void)test_key(w, "SADD", 0, lane_key, dureq_str_of(&"34567"[i], 1));
    (void)promote(w, 0);
    assert_int_equal(dq_reply_int(test_key(w, "SCARD", 0, lane_key, (dureq_str){0})), 3);
}

/* ---- fencing ---- */

static void only_the_leader_of_this_epoch_may(void **state)
{
    test_world *w = *state;
    unsigned shard = last_shard(w);
    dq_term t = w->leader[shard];
    uint64_t other = test_session_open(w, shard, "n2", 60000);
    int code;

    (void)add_at(w, shard, 1000);
    (void)promote_as(w, shard, (dq_term){.session = t.session, .epoch = t.epoch + 1}, &code);
    assert_int_equal(code, DUREQ_EFENCED);
    (void)promote_as(w, shard, (dq_term){.session = other, .epoch = t.epoch}, &code);
    assert_int_equal(code, DUREQ_EFENCED);
    assert_int_equal(dq_reply_int(test_key(w, "ZCARD", shard, "due", (dureq_str){0})), 1);

    /* Its time as leader is over and another one comes: the old one may no more. */
    (void)test_plant(w, shard, NULL, "call('HSET', K .. 'sh', 'tu', now - 1)");
    assert_int_equal(dq_reply_int(dq_reply_at(test_session_beat(w, shard, other, 60000, true, NULL), 1)), t.epoch + 1);
    (void)promote_as(w, shard, t, &code);
    assert_int_equal(code, DUREQ_EFENCED);
    assert_int_equal(promote_as(w, shard, (dq_term){.session = other, .epoch = t.epoch + 1}, NULL).n, 1);
}

/* A member without its record is the doctor's; here it must not stand in the way of the others for ever. */
static void a_member_without_a_record_is_passed(void **state)
{
    test_world *w = *state;
    test_id lost = add_at(w, 0, 1000), good = add_at(w, 0, 2000);
    dq_promoted p;

    (void)test_plant(w, 0, &lost, "call('HDEL', K .. 'due:h', id)");
    p = promote(w, 0);
    assert_int_equal(p.n, 1);
    assert_int_equal(p.next_due_ms, -1);
    assert_int_equal(test_job_state(w, 0, &good), DUREQ_JOB_PENDING);
}

static void a_record_that_cannot_be_read_is_set_aside(void **state)
{
    test_world *w = *state;
    unsigned shard = last_shard(w);
    int64_t now = test_server_ms(w);
    test_id bad = add_at(w, shard, now - 5000), good = add_at(w, shard, now - 4000);

    (void)test_plant(w, shard, &bad,
                     "call('HSET', K .. 'due:h', id, 'x') call('ZADD', K .. 'due', 1, 'no id') "
                     "call('HSET', K .. 'due:h', 'no id', 'x')");
    assert_int_equal(promote(w, shard).n, 1);
    assert_int_equal(test_job_state(w, shard, &good), DUREQ_JOB_PENDING);
    assert_int_equal(dq_reply_int(test_plant(w, shard, &bad, "return call('HEXISTS', K .. 'aside', 'due ' .. id)")), 1);
    assert_int_equal(dq_reply_int(test_plant(w, shard, NULL, "return call('HEXISTS', K .. 'aside', 'due no id')")), 1);
    assert_int_equal(dq_reply_int(test_plant(w, shard, NULL, "return call('HLEN', K .. 'aside') + call('ZCARD', K .. 'due')")),
                     2);
    (void)test_plant(w, shard, NULL, "call('DEL', K .. 'aside')"); /* the doctor, who comes after each test, would name them */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_WORLDS(nothing_due_is_nothing_done),         TEST_WORLDS(what_is_due_goes_to_the_front_of_its_lane),
        TEST_WORLDS(jobs_come_in_the_order_they_are_due), TEST_WORLDS(the_set_and_its_records_go_together),
        TEST_WORLDS(a_pause_whose_time_is_over_ends),     TEST_WORLDS(a_step_is_bounded_by_jobs),
        TEST_WORLDS(a_step_is_bounded_by_bytes),          TEST_WORLDS(idle_sessions_of_the_lane_are_woken),
        TEST_WORLDS(no_more_are_woken_than_have_work),    TEST_WORLDS(only_the_leader_of_this_epoch_may),
        TEST_WORLDS(a_member_without_a_record_is_passed), TEST_WORLDS(a_record_that_cannot_be_read_is_set_aside),
    };

    return cmocka_run_group_tests(tests, test_world_group_start, test_world_group_stop);
}
