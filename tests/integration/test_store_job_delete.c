/* SPDX-License-Identifier: Apache-2.0 */
#include "test_places.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static unsigned last_shard(const test_world *w)
{
    return w->n_shards - 1;
}

static dq_reply delete_all(test_world *w, unsigned shard, const dureq_str *ids, size_t n)
{
    dq_buf call = {0};

    dq_call_job_delete(&call, dq_store_keys(w->s.store), shard, DQ_STR_LIT("me"), (dureq_str){0}, ids, n);
    return test_store_call(&w->s, shard, &call, NULL);
}

static int delete_one(test_world *w, unsigned shard, const test_id *id)
{
    dureq_str ids[] = {test_id_str(id)};

    return (int)dq_reply_int(dq_reply_at(delete_all(w, shard, ids, 1), 0));
}

static void ended_jobs_can_be_forgotten_and_no_others(void **state)
{
    test_world *w = *state;
    unsigned shard = last_shard(w);
    uint64_t session = test_session_open(w, shard, "n1", 60000);

    for (test_place place = 0; place < TEST_PLACES; place++) {
        test_id id = test_job_at(w, shard, place, NULL, session);
        bool may = place >= TEST_PLACE_COMPLETED;
        int code = delete_one(w, shard, &id), now = test_job_state(w, shard, &id);

        if (code != (may ? 0 : -4) || now != (may ? -1 : test_place_states[place]))
            fail_msg("%s: %d, then state %d", test_place_names[place], code, now);
        if (may) {
            test_expect_audit(w, shard, "job.delete", &id);
            assert_int_equal(delete_one(w, shard, &id), -3);
        }
    }
}

static void payload_and_log_go_with_it(void **state)
{
    test_world *w = *state;
    unsigned shard = last_shard(w);
    uint64_t session = test_session_open(w, shard, "n1", 60000);
    char *payload = calloc(1, DQ_PAYLOAD_INLINE_MAX + 2);

    memset(payload, 'x', DQ_PAYLOAD_INLINE_MAX + 1);
    for (test_place place = TEST_PLACE_COMPLETED; place < TEST_PLACES; place++) {
        test_id id = test_job_at_with(w, shard, place, NULL, session, payload);

        (void)test_plant(w, shard, &id, "call('SET', K .. 'lg:' .. id, 'a line')");
        assert_true(test_id_key_exists(w, shard, "b:", &id));
        assert_int_equal(delete_one(w, shard, &id), 0);
        assert_false(test_id_key_exists(w, shard, "b:", &id));
        assert_false(test_id_key_exists(w, shard, "lg:", &id));
    }
    free(payload);
}

static void the_sums_of_its_bucket_go_down(void **state)
{
    test_world *w = *state;
    uint64_t session = test_session_open(w, 0, "n1", 60000);
    test_id completed = test_job_at(w, 0, TEST_PLACE_COMPLETED, NULL, session);
    test_id cancelled = test_job_at(w, 0, TEST_PLACE_CANCELLED, NULL, session);

    assert_int_equal(dq_reply_int(test_key(w, "HGET", 0, "hn", DQ_STR_LIT("1"))), 1);
    assert_int_equal(dq_reply_int(test_key(w, "HGET", 0, "hr", DQ_STR_LIT("1"))), 2);
    assert_int_equal(delete_one(w, 0, &completed), 0);
    assert_int_equal(dq_reply_int(test_key(w, "HGET", 0, "hn", DQ_STR_LIT("1"))), 1);
    assert_int_equal(dq_reply_int(test_key(w, "HGET", 0, "hr", DQ_STR_LIT("1"))), 1);
    assert_int_equal(delete_one(w, 0, &cancelled), 0);
    assert_int_equal(dq_reply_int(test_key(w, "HGET", 0, "hn", DQ_STR_LIT("1"))), 0);
    assert_int_equal(dq_reply_int(test_key(w, "HGET", 0, "hr", DQ_STR_LIT("1"))), 0);
    assert_int_equal(dq_reply_int(test_key(w, "HGET", 0, "hz", DQ_STR_LIT("1"))), 0);
}

/* What was enqueued under a request id stays answered by that id: the window is the producer's guard, not the job's. */
static void a_request_stays_known(void **state)
{
    test_world *w = *state;
    dureq_job_options o = dureq_job_options_init();
    test_id id, again;

    o.request_id = DQ_STR_LIT("request 1");
    id = test_job_at(w, 0, TEST_PLACE_CANCELLED, &o, 0);
    assert_int_equal(delete_one(w, 0, &id), 0);
    assert_int_equal(test_job_add_code(w, 0, &o, "mail", "x", &again), 4);
    assert_memory_equal(again.bytes, id.bytes, sizeof(id.bytes));
}

static void each_of_many_is_answered_by_itself(void **state)
{
    test_world *w = *state;
    test_id ids[] = {test_job_at(w, 0, TEST_PLACE_CANCELLED, NULL, 0), {{9}}, test_job_at(w, 0, TEST_PLACE_DUE, NULL, 0)};
    dureq_str views[] = {test_id_str(&ids[0]), test_id_str(&ids[1]), test_id_str(&ids[2]), test_id_str(&ids[0])};
    static const int expected[] = {0, -3, -4, -3};
    dq_reply reply = delete_all(w, 0, views, 4);

    assert_int_equal(dq_reply_len(reply), 4);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(dq_reply_int(dq_reply_at(reply, i)), expected[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_WORLDS(ended_jobs_can_be_forgotten_and_no_others),
        TEST_WORLDS(payload_and_log_go_with_it),
        TEST_WORLDS(the_sums_of_its_bucket_go_down),
        TEST_WORLDS(a_request_stays_known),
        TEST_WORLDS(each_of_many_is_answered_by_itself),
    };

    return cmocka_run_group_tests(tests, test_world_group_start, test_world_group_stop);
}
