/* SPDX-License-Identifier: Apache-2.0 */
/* Steps in the scripts: whose word counts, and what takes them away. */
#include "test_places.h"

#include "store/step_calls.h"
#include "store/turn_calls.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define LEASE_MS 60000

/* A job that a session took, as it was delivered. */
typedef struct held {
    test_id id;
    dq_step_at at;
} held;

static unsigned last_shard(const test_world *w)
{
    return w->n_shards - 1;
}

static void require_version(test_world *w, unsigned shard)
{
    char lua[64];

    (void)snprintf(lua, sizeof lua, "call('HSET', K .. 'sh', 'mv', %d)", DQ_STEP_SCRIPTS);
    (void)test_plant(w, shard, NULL, lua);
}

static held take_one(test_world *w, unsigned shard)
{
    held h = {.id = test_job_add(w, shard, NULL, "mail", "x")};
    uint64_t session = test_session_open(w, shard, "n1", LEASE_MS);
    dq_id id;

    assert_int_equal(test_session_take(w, shard, session, test_lane(w, shard, "normal|mail|"), 1), 1);
    assert_true(dq_id_unpack(test_id_str(&h.id), &id));
    h.at = (dq_step_at){
        .session = session, .id = id, .run = 1, .key = DQ_STR_LIT("k"), .entry = {.ms = id.ms, .seq = id.seq, .lane = id.lane}};
    return h;
}

/* What step_begin answers, or the code of its refusal. */
static int begin(test_world *w, unsigned shard, const held *h, dq_step_begun *ret)
{
    dq_buf call = {0};
    dq_reply reply;
    int code = 0;

    dq_call_step_begin(&call, dq_store_keys(w->s.store), shard, &h->at);
    reply = test_store_call(&w->s, shard, &call, &code);
    if (code == 0)
        assert_int_equal(dq_step_begin_decode(&reply, ret), 0);
    return code;
}

static int end(test_world *w, unsigned shard, const held *h, const char *result)
{
    dq_buf call = {0};
    dq_reply reply;
    int code = 0;

    dq_call_step_end(&call, dq_store_keys(w->s.store), shard, &h->at, dureq_str_from(result));
    reply = test_store_call(&w->s, shard, &call, &code);
    return code < 0 ? code : dq_step_end_decode(&reply);
}

static void expect_begun(test_world *w, unsigned shard, const held *h, dq_step_may may, const char *result)
{
    dq_step_begun begun;

    assert_int_equal(begin(w, shard, h, &begun), 0);
    assert_int_equal(begun.may, may);
    assert_int_equal(begun.result.len, strlen(result));
    assert_memory_equal(begun.result.ptr ? begun.result.ptr : "", result, strlen(result));
}

static void reap(test_world *w, unsigned shard)
{
    dq_buf call = {0};

    dq_call_session_reap(&call, dq_store_keys(w->s.store), shard, w->leader[shard],
                         &(dq_reap){.lease_ms = LEASE_MS, .max_crashes = 3});
    (void)test_store_call(&w->s, shard, &call, NULL);
}

static void what_a_step_gave_is_given_back_and_calls_may_be_made_twice(void **state)
{
    test_world *w = *state;
    unsigned shard = last_shard(w);
    held h = take_one(w, shard);

    require_version(w, shard);
    expect_begun(w, shard, &h, DQ_STEP_GO, "");
    expect_begun(w, shard, &h, DQ_STEP_GO, "");
    assert_int_equal(end(w, shard, &h, "seventeen"), 0);
    assert_int_equal(end(w, shard, &h, "seventeen"), 0);
    expect_begun(w, shard, &h, DQ_STEP_WAS_DONE, "seventeen");
    /* 1 of the key, 15 of the step, 9 of the result: once. */
    dq_reply bytes = test_plant(w, shard, &h.id, "return (unpk('>I4', call('HGET', K .. 'sp:' .. id, ''), 5))");
    assert_int_equal(dq_reply_int(bytes), 25);
}

static void before_the_version_is_required_nothing_is_written(void **state)
{
    test_world *w = *state;
    held h = take_one(w, 0);

    expect_begun(w, 0, &h, DQ_STEP_TOO_OLD, "");
    assert_false(test_id_key_exists(w, 0, "sp:", &h.id));
}

static void a_reaped_run_is_refused_and_the_next_has_its_steps(void **state)
{
    test_world *w = *state;
    unsigned shard = last_shard(w);
    held h = take_one(w, shard);
    dq_step_begun begun;

    require_version(w, shard);
    expect_begun(w, shard, &h, DQ_STEP_GO, "");
    assert_int_equal(end(w, shard, &h, "one"), 0);
    h.at.key = DQ_STR_LIT("other");
    expect_begun(w, shard, &h, DQ_STEP_GO, "");
    test_session_expire(w, shard, h.at.session);
    reap(w, shard);
    assert_int_equal(end(w, shard, &h, "too late"), DUREQ_EFENCED);
    assert_int_equal(begin(w, shard, &h, &begun), DUREQ_EFENCED);
    assert_int_equal(test_job_moved(w, shard, &h.id).flags & DQ_M_LOGS, DQ_M_LOGS); /* so that they go with the job */
    assert_true(test_id_key_exists(w, shard, "sp:", &h.id));
}

/* The session lives, and its job is another's by now; and its own again, by another entry. */
static void a_run_whose_job_went_on_is_refused_though_its_session_lives(void **state)
{
    test_world *w = *state;
    unsigned shard = last_shard(w);
    held h = take_one(w, shard);
    dq_step_begun begun;
    dq_buf call = {0};

    require_version(w, shard);
    expect_begun(w, shard, &h, DQ_STEP_GO, "");
    dq_call c = dq_call_session_return(&call, dq_store_keys(w->s.store), shard, h.at.session);
    dq_return_entry(&c, &h.at.entry, /*has_run=*/true);
    dq_call_end(&c);
    (void)test_store_call(&w->s, shard, &call, NULL);
    assert_int_equal(test_job_moved(w, shard, &h.id).flags & DQ_M_LOGS, DQ_M_LOGS);
    assert_int_equal(end(w, shard, &h, "too late"), DUREQ_EFENCED);
    assert_int_equal(test_session_take(w, shard, h.at.session, test_lane(w, shard, "normal|mail|"), 1), 1);
    assert_int_equal(end(w, shard, &h, "too late"), DUREQ_EFENCED);
    assert_int_equal(begin(w, shard, &h, &begun), DUREQ_EFENCED);
}

/* All buckets are over, and are dropped. */
static void drop_history(test_world *w, unsigned shard)
{
    dq_kept k;

    (void)test_plant(w, shard, NULL,
                     "for _, m in ipairs(call('ZRANGE', K .. 'hx', 0, -1)) do call('ZADD', K .. 'hx', now - 1, m) end");
    do {
        dq_buf call = {0};
        dq_reply reply;

        dq_call_housekeep(&call, dq_store_keys(w->s.store), shard, w->leader[shard], &(dq_keep){0}, false);
        reply = test_store_call(&w->s, shard, &call, NULL);
        assert_int_equal(dq_housekeep_decode(&reply, &k), 0);
    } while (k.more);
}

static void steps_of_a_cancelled_run_go_with_its_row(void **state)
{
    test_world *w = *state;
    unsigned shard = last_shard(w);
    held h = take_one(w, shard);

    require_version(w, shard);
    expect_begun(w, shard, &h, DQ_STEP_GO, "");
    assert_int_equal(end(w, shard, &h, "x"), 0);
    assert_int_equal(test_job_cancel(w, shard, &h.id), 0);
    assert_int_equal(end(w, shard, &h, "y"), DUREQ_EFENCED);
    assert_true(test_id_key_exists(w, shard, "sp:", &h.id));
    drop_history(w, shard);
    assert_false(test_id_key_exists(w, shard, "sp:", &h.id));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_WORLDS(what_a_step_gave_is_given_back_and_calls_may_be_made_twice),
        TEST_WORLDS(before_the_version_is_required_nothing_is_written),
        TEST_WORLDS(a_reaped_run_is_refused_and_the_next_has_its_steps),
        TEST_WORLDS(a_run_whose_job_went_on_is_refused_though_its_session_lives),
        TEST_WORLDS(steps_of_a_cancelled_run_go_with_its_row),
    };

    return cmocka_run_group_tests(tests, test_world_group_start, test_world_group_stop);
}
