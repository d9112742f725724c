/* SPDX-License-Identifier: Apache-2.0 */
#include "store/queue_calls.h"
#include "test_jobs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static dq_queue_purged purge_type(test_world *w, unsigned shard, const char *queue, const char *type)
{
    dq_queue_purged p;
    dq_buf call = {0};
    dq_reply reply;

    dq_call_queue_purge(&call, dq_store_keys(w->s.store), shard, DQ_STR_LIT("me"), dureq_str_from(queue), dureq_str_from(type),
                        /*until_ms=*/0);
    reply = test_store_call(&w->s, shard, &call, NULL);
    assert_int_equal(dq_queue_purge_decode(&reply, &p), 0);
    return p;
}

static dq_queue_purged purge(test_world *w, unsigned shard, const char *queue)
{
    return purge_type(w, shard, queue, "");
}

static unsigned last_shard(const test_world *w)
{
    return w->n_shards - 1;
}

static void waiting_jobs_of_the_queue_go(void **state)
{
    test_world *w = *state;
    unsigned shard = last_shard(w);
    dureq_job_options high = dureq_job_options_init();
    test_id gone[3], other;
    dq_queue_purged p;

    high.queue = "high";
    gone[0] = test_job_add(w, shard, NULL, "mail", "a");
    gone[1] = test_job_add(w, shard, NULL, "mail", "b");
    gone[2] = test_job_add(w, shard, NULL, "fax", "c"); /* another lane of the same queue */
    other = test_job_add(w, shard, &high, "mail", "d");
    p = purge(w, shard, "normal");
    assert_int_equal(p.n, 3);
    assert_false(p.more);
    for (int i = 0; i < 3; i++)
        assert_int_equal(test_job_state(w, shard, &gone[i]), -1);
    assert_int_equal(test_job_state(w, shard, &other), DUREQ_JOB_PENDING);
    assert_int_equal(purge(w, shard, "normal").n, 0);
}

static void only_jobs_of_the_type_go(void **state)
{
    test_world *w = *state;
    unsigned shard = last_shard(w);
    test_id mail, fax, mailing;

    mail = test_job_add(w, shard, NULL, "mail", "a");
    mailing = test_job_add(w, shard, NULL, "mail.all", "b");
    fax = test_job_add(w, shard, NULL, "fax", "c");
    assert_int_equal(purge_type(w, shard, "normal", "mail").n, 1);
    assert_int_equal(test_job_state(w, shard, &mail), -1);
    assert_int_equal(test_job_state(w, shard, &mailing), DUREQ_JOB_PENDING);
    assert_int_equal(purge_type(w, shard, "normal", "ma*").n, 1);
    assert_int_equal(test_job_state(w, shard, &mailing), -1);
    assert_int_equal(purge_type(w, shard, "normal", "x*").n, 0);
    assert_int_equal(test_job_state(w, shard, &fax), DUREQ_JOB_PENDING);
}

static void running_scheduled_and_paused_jobs_stay(void **state)
{
    test_world *w = *state;
    unsigned shard = last_shard(w);
    dureq_job_options later = dureq_job_options_init();
    uint64_t session = test_session_open(w, shard, "n1", 60000);
    test_id running = test_job_add(w, shard, NULL, "mail", "a"), scheduled, paused, waiting;
    dureq_str ids[1];
    dq_buf call = {0};

    later.delay_ms = 3600000;
    scheduled = test_job_add(w, shard, &later, "mail", "b");
    assert_int_equal(test_session_take(w, shard, session, test_lane(w, shard, "normal|mail|"), 10), 1);
    paused = test_job_add(w, shard, NULL, "mail", "c");
    ids[0] = test_id_str(&paused);
    dq_call_job_move(&call, dq_store_keys(w->s.store), shard, DQ_STR_LIT("me"), &(dq_job_move){.verb = DQ_JOB_PAUSE, .at_ms = 0},
                     ids, 1);
    (void)test_store_call(&w->s, shard, &call, NULL);
    waiting = test_job_add(w, shard, NULL, "mail", "d");

    assert_int_equal(purge(w, shard, "normal").n, 1);
    assert_int_equal(test_job_state(w, shard, &running), DUREQ_JOB_RUNNING);
    assert_int_equal(test_job_state(w, shard, &scheduled), DUREQ_JOB_SCHEDULED);
    assert_int_equal(test_job_state(w, shard, &paused), DUREQ_JOB_PAUSED);
    assert_int_equal(test_job_state(w, shard, &waiting), -1);
}

/* Everything that is kept for a job beside its entry. */
static void nothing_of_a_purged_job_is_left(void **state)
{
    test_world *w = *state;
    unsigned shard = last_shard(w);
    dureq_job_options o = dureq_job_options_init();
    char *payload = malloc(DQ_PAYLOAD_INLINE_MAX + 2);
    test_id a, b;

    memset(payload, 'x', DQ_PAYLOAD_INLINE_MAX + 1);
    payload[DQ_PAYLOAD_INLINE_MAX + 1] = '\0';
    o.unique_key = DQ_STR_LIT("only one");
    o.schedule_to_start_timeout_ms = 60000;
    a = test_job_add(w, shard, &o, "mail", payload);
    assert_true(test_id_key_exists(w, shard, "b:", &a));
    assert_true(test_key_exists(w, shard, "u:only one"));
    assert_int_equal(dq_reply_int(test_key(w, "ZCARD", shard, "s2s", (dureq_str){0})), 1);
    assert_int_equal(purge(w, shard, "normal").n, 1);
    assert_false(test_id_key_exists(w, shard, "b:", &a));
    assert_false(test_key_exists(w, shard, "u:only one"));
    assert_int_equal(dq_reply_int(test_key(w, "ZCARD", shard, "s2s", (dureq_str){0})), 0);
    b = test_job_add(w, shard, &o, "mail", "y"); /* the key is free */
    assert_int_equal(test_job_state(w, shard, &b), DUREQ_JOB_PENDING);
    free(payload);
}

static void a_key_held_for_a_time_stays_held(void **state)
{
    test_world *w = *state;
    dureq_job_options o = dureq_job_options_init();
    test_id a, holder;

    o.unique_key = DQ_STR_LIT("once an hour");
    o.unique_for_ms = 3600000;
    a = test_job_add(w, 0, &o, "mail", "x");
    assert_int_equal(purge(w, 0, "normal").n, 1);
    assert_int_equal(test_job_add_code(w, 0, &o, "mail", "y", &holder), 3);
    assert_memory_equal(a.bytes, holder.bytes, sizeof(a.bytes));
}

/* Jobs that were handed over wait in the front stream, under a locator, perhaps with a log. */
static void handed_over_jobs_go_too(void **state)
{
    test_world *w = *state;
    unsigned shard = last_shard(w);
    dureq_job_options later = dureq_job_options_init();
    dureq_str ids[1];
    dq_buf call = {0};
    test_id id;

    later.delay_ms = 3600000;
    id = test_job_add(w, shard, &later, "mail", "x");
    ids[0] = test_id_str(&id);
    dq_call_job_move(&call, dq_store_keys(w->s.store), shard, DQ_STR_LIT("me"),
                     &(dq_job_move){.verb = DQ_JOB_RUN_NOW, .at_ms = 0}, ids, 1);
    (void)test_store_call(&w->s, shard, &call, NULL);
    (void)test_plant(w, shard, &id, "call('SET', K .. 'lg:' .. id, 'a line')");
    assert_int_equal(test_job_state(w, shard, &id), DUREQ_JOB_PENDING);
    assert_int_equal(purge(w, shard, "normal").n, 1);
    assert_int_equal(test_job_state(w, shard, &id), -1);
    assert_false(test_id_key_exists(w, shard, "lg:", &id));
    assert_int_equal(dq_reply_int(test_key(w, "HLEN", shard, "loc", (dureq_str){0})), 0);
}

static void a_large_queue_takes_several_bounded_steps(void **state)
{
    test_world *w = *state;
    int64_t total = 0;
    int steps = 0;
    dq_queue_purged p;

    for (int i = 0; i < 450; i++)
        (void)test_job_add(w, 0, NULL, i % 3 ? "mail" : "fax", "x");
    do {
        p = purge(w, 0, "normal");
        assert_true(p.n <= 200);
        total += p.n;
        steps++;
    } while (p.more);
    assert_int_equal(total, 450);
    assert_int_equal(steps, 3);
}

static void who_waits_for_a_purged_job_is_told(void **state)
{
    test_world *w = *state;
    test_id id = test_job_add(w, 0, NULL, "mail", "x");

    assert_int_equal(dq_store_subscribe(w->s.store, 0, "d:", DQ_STR_LIT("me")), 0);
    (void)test_plant(w, 0, &id, "call('HSET', K .. 'wt', id, 'me')");
    assert_int_equal(purge(w, 0, "normal").n, 1);
    TEST_UNTIL(w->s.loop, w->s.n_messages == 1);
    assert_int_equal(dq_reply_int(test_key(w, "HLEN", 0, "wt", (dureq_str){0})), 0);
}

static void it_is_audited_with_how_many(void **state)
{
    test_world *w = *state;
    dq_reply audit, fields;

    (void)test_job_add(w, 0, NULL, "mail", "x");
    (void)test_job_add(w, 0, NULL, "mail", "y");
    (void)purge(w, 0, "normal");
    (void)purge(w, 0, "normal"); /* nothing was done: nothing to tell of */
    audit = test_command(w, "XRANGE", "{dureq:0}:au", "-", "+", NULL);
    assert_int_equal(dq_reply_len(audit), 1);
    fields = dq_reply_at(dq_reply_at(audit, 0), 1);
    assert_true(dq_str_eq_text(dq_reply_str(dq_reply_lookup(fields, "action")), "queue.purge"));
    assert_true(dq_str_eq_text(dq_reply_str(dq_reply_lookup(fields, "detail")), "2"));
}

static void a_queue_that_nobody_used_has_nothing_to_purge(void **state)
{
    test_world *w = *state;

    assert_int_equal(purge(w, 0, "low").n, 0);
    assert_int_equal(purge(w, 0, "no such queue").n, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_WORLDS(waiting_jobs_of_the_queue_go),
        TEST_WORLDS(only_jobs_of_the_type_go),
        TEST_WORLDS(running_scheduled_and_paused_jobs_stay),
        TEST_WORLDS(nothing_of_a_purged_job_is_left),
        TEST_WORLDS(a_key_held_for_a_time_stays_held),
        TEST_WORLDS(handed_over_jobs_go_too),
        TEST_WORLDS(a_large_queue_takes_several_bounded_steps),
        TEST_WORLDS(who_waits_for_a_purged_job_is_told),
        TEST_WORLDS(it_is_audited_with_how_many),
        TEST_WORLDS(a_queue_that_nobody_used_has_nothing_to_purge),
    };

    return cmocka_run_group_tests(tests, test_world_group_start, test_world_group_stop);
}
