/* SPDX-License-Identifier: Apache-2.0 */
/* Outcomes and whose they are: a repeat may name entries whose delivery the server lost. */
#include "test_places.h"

#include "store/turn_calls.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

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

/* `kind` DQ_END_DUE or DQ_END_PAUSED: the job's group, with it alone. */
static void add_waiting(test_world *w, dq_complete *c, unsigned shard, dq_end_kind kind, const test_id *id, int64_t delay_ms)
{
    dq_job_view view = test_job_view(w, shard, id, NULL);
    dq_moved m = {.id = view.id, .attempts = 1, .runs = 1, .ready_at_ms = (int64_t)view.id.ms};
    dq_entry entry = {.ms = view.id.ms, .seq = view.id.seq, .lane = view.id.lane};
    dq_end_group group = {.kind = kind, .lane = view.id.lane};
    dq_buf packed = {0}, record = {0};

    dq_moved_pack(&packed, &m);
    dq_record_pack(&record, dq_buf_str(&packed), view.body);
    dq_complete_group(c, &group, &entry, 1);
    dq_complete_job(c, &(dq_end_job){.id = view.id, .delay_ms = delay_ms, .row = dq_buf_str(&record)});
    dq_buf_deinit(&packed);
    dq_buf_deinit(&record);
}

/* One call, a group for each job. */
static void end_waiting(test_world *w, uint64_t session, const dq_end_kind *kinds, const test_id *ids, const int64_t *delays_ms,
                        int n)
{
    dq_complete_head head = {.session = session, .call_no = ++w->call_no};
    dq_buf call = {0};
    dq_refusals r;
    dq_complete c = dq_complete_begin(&call, dq_store_keys(w->s.store), &head);

    for (int i = 0; i < n; i++)
        add_waiting(w, &c, 0, kinds[i], &ids[i], delays_ms[i]);
    dq_complete_end(&c);
    assert_int_equal(dq_refusals_decode(dq_reply_str(test_store_call(&w->s, 0, &call, NULL)), &r), 0);
    assert_int_equal(r.left, 0);
}

static int64_t waits_until(test_world *w, const char *set, const test_id *id)
{
    return strtoll(dq_reply_str(test_key(w, "ZSCORE", 0, set, test_id_str(id))).ptr, NULL, 10);
}

/* The leader looks only once an hour when nobody tells it. */
static void the_leader_is_told_of_the_soonest_of_all_groups_of_a_call(void **state)
{
    test_world *w = *state;
    static const dq_end_kind kinds[] = {DQ_END_PAUSED, DQ_END_PAUSED, DQ_END_DUE, DQ_END_PAUSED};
    static const int64_t delays_ms[] = {50000, 60000, 70000, 55000};
    uint64_t one = test_session_open(w, 0, "n1", LEASE_MS);
    test_id ids[6];
    char expected[120];

    for (int i = 0; i < 6; i++)
        ids[i] = running_under(w, 0, one);
    assert_int_equal(w->leader[0].session, 1);
    assert_int_equal(dq_store_subscribe(w->s.store, 0, "w:", DQ_STR_LIT("1")), 0);
    end_waiting(w, one, kinds, ids, delays_ms, 4);
    int64_t first = waits_until(w, "paused", &ids[0]);
    /* later than what is there of its kind, which is no matter of the other kind; a retry that is the first of its own */
    end_waiting(w, one, kinds + 1, ids + 4, (int64_t[]){60000, 65000}, 2);
    int64_t retry = waits_until(w, "due", &ids[5]);
    snprintf(expected, sizeof(expected), "0 w:1=D%" PRId64 ";0 w:1=D%" PRId64 ";", first, retry);
    TEST_UNTIL(w->s.loop, w->s.n_messages == 2);
    assert_string_equal(w->s.messages.ptr, expected);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_WORLDS(a_repeat_whose_delivery_was_lost_ends_nothing),
        TEST_WORLDS(a_repeat_leaves_what_runs_elsewhere_meanwhile),
        TEST_WORLDS(a_repeat_ends_what_is_its_own),
        TEST_WORLDS(a_repeat_of_what_was_done_has_its_answer),
        TEST_WORLDS(the_leader_is_told_of_the_soonest_of_all_groups_of_a_call),
    };

    return cmocka_run_group_tests(tests, test_world_group_start, test_world_group_stop);
}
