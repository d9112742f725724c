/* SPDX-License-Identifier: Apache-2.0 */
#include "test_jobs.h"

#include "store/queue_calls.h"
#include "store/session_calls.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#define LEASE_MS 60000

/* What a session serves changes while it lives. */

static int change(test_world *w, unsigned shard, uint64_t session, const char *info, const uint32_t *lanes, size_t n)
{
    dq_buf call = {0};
    dq_call c = dq_call_session_change(&call, dq_store_keys(w->s.store), shard, session, info);
    int code = 0;

    for (size_t i = 0; i < n; i++)
        dq_change_leave(&c, lanes[i]);
    dq_call_end(&c);
    (void)test_store_call(&w->s, shard, &call, &code);
    return code;
}

static void listen(test_world *w, unsigned shard, uint64_t session, uint32_t lane)
{
    dq_buf call = {0};
    dq_call c = dq_call_lanes_listen(&call, dq_store_keys(w->s.store), shard, session);

    dq_listen_lane(&c, lane, 5);
    dq_call_end(&c);
    (void)test_store_call(&w->s, shard, &call, NULL);
}

static int64_t waits(test_world *w, unsigned shard, uint64_t session, uint32_t lane)
{
    char key[32], member[24];

    snprintf(key, sizeof key, "idle:%u", (unsigned)lane);
    snprintf(member, sizeof member, "%llu", (unsigned long long)session);
    return dq_reply_int(test_key(w, "SISMEMBER", shard, key, dureq_str_from(member)));
}

static void a_session_leaves_the_lanes_it_names_and_no_others(void **state)
{
    test_world *w = *state;
    unsigned shard = w->n_shards - 1;
    test_id id = test_job_add(w, shard, NULL, "mail", "x");
    uint64_t session = test_session_open(w, shard, "n1", LEASE_MS), other = test_session_open(w, shard, "n2", LEASE_MS);
    uint32_t mail, bill;
    char key[40], field[24];

    assert_int_equal(test_job_state(w, shard, &id), DUREQ_JOB_PENDING);
    (void)test_job_add(w, shard, NULL, "bill", "x");
    mail = test_lane(w, shard, "normal|mail|");
    bill = test_lane(w, shard, "normal|bill|");
    listen(w, shard, session, mail);
    listen(w, shard, session, bill);
    listen(w, shard, other, mail);
    assert_int_equal(change(w, shard, session, "{\"task_types\":\"bill\"}", &mail, 1), 0);
    assert_int_equal(waits(w, shard, session, mail), 0);
    assert_int_equal(waits(w, shard, session, bill), 1);
    assert_int_equal(waits(w, shard, other, mail), 1);
    snprintf(key, sizeof key, "s:%llu", (unsigned long long)session);
    assert_true(dq_str_eq_text(dq_reply_str(test_key(w, "HGET", shard, key, DQ_STR_LIT("info"))), "{\"task_types\":\"bill\"}"));
    snprintf(field, sizeof field, "c%u", (unsigned)mail);
    assert_int_equal(dq_reply_int(test_key(w, "HEXISTS", shard, key, dureq_str_from(field))), 0);
    snprintf(field, sizeof field, "c%u", (unsigned)bill);
    assert_int_equal(dq_reply_int(test_key(w, "HEXISTS", shard, key, dureq_str_from(field))), 1);
}

/* Nothing of a session that is gone comes back. */
static void one_that_is_over_changes_nothing(void **state)
{
    test_world *w = *state;
    uint32_t lane = 1;

    assert_int_equal(change(w, 0, 77, "{}", &lane, 1), DUREQ_EFENCED);
    assert_false(test_key_exists(w, 0, "s:77"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_WORLDS(a_session_leaves_the_lanes_it_names_and_no_others),
        TEST_WORLDS(one_that_is_over_changes_nothing),
    };

    return cmocka_run_group_tests(tests, test_world_group_start, test_world_group_stop);
}
