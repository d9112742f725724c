/* SPDX-License-Identifier: Apache-2.0 */
#include "redis_server.h"
#include "store/queue_calls.h"
#include "test_store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* A store whose server comes and goes: what becomes of calls, of scripts, of queues and subscriptions. */

static test_redis *server;
static dq_loop *loop;

static int start(void **state)
{
    static const test_redis_options opts = {.append_only = true}; /* data outlives a kill */

    (void)state;
    server = test_redis_start(&opts);
    loop = test_loop_create();
    return 0;
}

static int stop(void **state)
{
    (void)state;
    dq_loop_destroy(loop);
    test_redis_stop(server);
    return 0;
}

static int clear(void **state)
{
    (void)state;
    free(test_redis_command(server, "FLUSHALL", NULL));
    return 0;
}

static void open_up(test_store *s)
{
    test_store_open(s, loop, test_redis_url(server), NULL, 2);
    test_store_until_up(s);
}

static void kill_clients(void)
{
    free(test_redis_command(server, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes", NULL));
    free(test_redis_command(server, "CLIENT", "KILL", "TYPE", "pubsub", NULL));
}

/* A call that counts: its answer is one higher each time. */
static int send_counted(test_store *s, unsigned flags, test_store_answer *a)
{
    dq_queue q = {.name = DQ_STR_LIT("normal"), .weight = 1};
    dq_buf call = {0};
    int rc;

    a->store = s;
    dq_call_queue_set(&call, dq_store_keys(s->store), 0, DQ_STR_LIT("test"), "queue.set", &q);
    rc = dq_store_send(s->store, 0, flags, dq_buf_str(&call), test_store_fn, a);
    dq_buf_deinit(&call);
    return rc;
}

static void expect_in_order(test_store_answer *a, int n)
{
    for (int i = 0; i < n; i++) {
        assert_int_equal(a[i].calls, 1);
        assert_int_equal(a[i].code, 0);
        assert_true(i == 0 || dq_reply_int(a[i].owned.reply) == dq_reply_int(a[i - 1].owned.reply) + 1);
    }
    for (int i = 0; i < n; i++)
        test_store_answer_reset(&a[i]);
}

/* ---- away ---- */

static void a_server_away_at_the_start_is_waited_for(void **state)
{
    dureq_error err = {0};
    test_store s;

    (void)state;
    test_redis_kill(server);
    test_store_open(&s, loop, test_redis_url(server), NULL, 2);
    TEST_UNTIL(loop, (dq_store_last_error(s.store, &err), strstr(err.msg, "cannot connect") != NULL));
    assert_int_equal(err.code, DUREQ_EUNAVAILABLE);
    assert_int_equal(s.n_refused + s.n_up + s.n_down, 0);
    test_redis_restart(server);
    test_store_until_up(&s);
    assert_string_equal(s.said.ptr, "qu");
    test_store_close(&s);
}

static void a_server_that_went_is_told_once_and_waited_for(void **state)
{
    dureq_error err;
    test_store s;

    (void)state;
    open_up(&s);
    test_redis_kill(server);
    TEST_UNTIL(loop, s.n_down == 1);
    assert_int_equal(s.down.code, DUREQ_EUNAVAILABLE);
    dq_store_last_error(s.store, &err);
    assert_int_equal(err.code, DUREQ_EUNAVAILABLE);
    test_redis_restart(server);
    TEST_UNTIL(loop, s.n_up == 2);
    assert_false(s.same_server);
    assert_string_equal(s.said.ptr, "qudu"); /* the queues are as before */
    dq_store_last_error(s.store, &err);
    assert_int_equal(err.code, 0);
    kill_clients();
    TEST_UNTIL(loop, s.n_up == 3);
    assert_true(s.same_server);
    test_store_close(&s);
}

static void calls_wait_for_the_server_if_they_may(void **state)
{
    enum { N = 40 };
    test_store_answer a[N] = {0}, refused = {0};
    test_store s;

    (void)state;
    open_up(&s);
    test_redis_kill(server);
    TEST_UNTIL(loop, s.n_down == 1);
    for (int i = 0; i < N; i++) {
        assert_int_equal(send_counted(&s, DQ_SEND_WAIT, &a[i]), 0);
        assert_int_equal(send_counted(&s, 0, &refused), DUREQ_EUNAVAILABLE);
    }
    test_redis_restart(server);
    TEST_UNTIL(loop, a[N - 1].calls == 1);
    assert_int_equal(refused.calls, 0);
    expect_in_order(a, N);
    test_store_close(&s);
}

static void a_call_in_flight_at_the_loss_is_not_repeated(void **state)
{
    test_store_answer a[3] = {0};
    char *before, *after;
    test_store s;

    (void)state;
    open_up(&s);
    before = test_redis_command(server, "HGET", "{dureq:0}:sh", "qv", NULL);
    for (int i = 0; i < 3; i++)
        assert_int_equal(send_counted(&s, i == 1 ? DQ_SEND_WAIT : 0, &a[i]), 0);
    dq_redis_reconnect(dq_store_redis(s.store, 0, DQ_CONN_MAIN), "lost by the test"); /* nothing is written yet */
    assert_int_equal(s.n_down, 1);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(a[i].calls, 1);
        assert_int_equal(a[i].code, DUREQ_EUNAVAILABLE);
        test_store_answer_reset(&a[i]);
    }
    test_store_until_up(&s);
    after = test_redis_command(server, "HGET", "{dureq:0}:sh", "qv", NULL);
    assert_string_equal(before, after);
    free(before);
    free(after);
    test_store_close(&s);
}

static void a_destroyed_store_answers_all_its_calls(void **state)
{
    test_store_answer flying = {0}, waiting = {0};
    test_store s;

    (void)state;
    open_up(&s);
    assert_int_equal(send_counted(&s, 0, &flying), 0);
    test_store_close(&s);
    assert_int_equal(flying.code, DUREQ_ECLOSED);

    test_store_open(&s, loop, test_redis_url(server), NULL, 1);
    waiting.store = &s;
    assert_int_equal(dq_store_send(s.store, 0, DQ_SEND_WAIT, DQ_STR_LIT("*1\r\n$4\r\nPING\r\n"), test_store_fn, &waiting), 0);
    test_store_close(&s);
    assert_int_equal(waiting.code, DUREQ_ECLOSED);
    assert_int_equal(flying.calls + waiting.calls, 2);
}

/* ---- scripts that vanish ---- */

static void calls_keep_their_order_when_the_scripts_are_flushed(void **state)
{
    enum { N = 120 };
    static test_store_answer a[N];
    test_store s;

    (void)state;
    open_up(&s);
    for (int round = 0; round < 3; round++) {
        free(test_redis_command(server, "SCRIPT", "FLUSH", NULL));
        for (int i = 0; i < N; i++) {
            assert_int_equal(send_counted(&s, 0, &a[i]), 0);
            /* Some are in flight, some not yet written, some come while the scripts are loaded again. */
            if (i % 40 == 20 + round)
                dq_loop_run_once(loop, /*block=*/round == 1);
        }
        TEST_UNTIL(loop, a[N - 1].calls == 1);
        expect_in_order(a, N);
    }
    assert_int_equal(s.n_down, 0);
    test_store_close(&s);
}

static void scripts_are_there_after_a_restart(void **state)
{
    test_store_answer a = {0};
    test_store s;

    (void)state;
    open_up(&s);
    test_redis_restart(server); /* its memory of scripts is empty */
    TEST_UNTIL(loop, s.n_up == 2);
    assert_int_equal(send_counted(&s, 0, &a), 0);
    TEST_UNTIL(loop, a.calls == 1);
    assert_int_equal(a.code, 0);
    test_store_answer_reset(&a);
    test_store_close(&s);
}

/* ---- data that changed meanwhile ---- */

static void a_prefix_that_was_flushed_is_made_again(void **state)
{
    test_store s;

    (void)state;
    open_up(&s);
    free(test_redis_command(server, "FLUSHALL", NULL));
    kill_clients();
    TEST_UNTIL(loop, s.n_up == 2);
    assert_int_equal(test_redis_command_int(server, "EXISTS", "dureq:meta", "{dureq:0}:sh", "{dureq:1}:sh", NULL), 3);
    test_store_close(&s);
}

static void a_prefix_with_other_shards_than_before_is_refused(void **state)
{
    test_store s;

    (void)state;
    open_up(&s);
    (void)test_redis_command_int(server, "HSET", "dureq:meta", "shards", "3", NULL);
    kill_clients();
    TEST_UNTIL(loop, s.n_refused == 1);
    assert_int_equal(s.refused.code, DUREQ_ESCHEMA);
    assert_int_equal(dq_store_keys(s.store)->n_shards, 2);
    assert_false(dq_store_is_up(s.store));
    test_store_close(&s);
}

static void queues_changed_while_away_are_known_before_it_is_up(void **state)
{
    test_store s;

    (void)state;
    open_up(&s);
    (void)test_redis_command_int(server, "HSET", "dureq:config:queues", "extra", "{\"weight\":2}", NULL);
    kill_clients();
    TEST_UNTIL(loop, s.n_up == 2);
    assert_string_equal(s.said.ptr, "qudqu");
    assert_non_null(dq_queue_set_find(dq_store_queues(s.store), DQ_STR_LIT("extra")));
    assert_int_equal(test_redis_command_int(server, "HEXISTS", "{dureq:1}:q", "extra", NULL), 1);
    test_store_close(&s);
}

/* ---- queues and messages while up ---- */

static void a_queue_set_of_older_definitions_is_not_taken_for_fresh(void **state)
{
    uint64_t target;
    test_store s;

    (void)state;
    open_up(&s);
    dq_store_refresh_queues(s.store); /* on its way */
    (void)test_redis_command_int(server, "HSET", "dureq:config:queues", "extra", "{\"weight\":2}", NULL);
    target = dq_store_fresh_queues(s.store);
    TEST_UNTIL(loop, dq_store_queue_reads(s.store) >= target);
    assert_non_null(dq_queue_set_find(dq_store_queues(s.store), DQ_STR_LIT("extra")));
    assert_int_equal(s.n_queues, 2); /* told when they differ, not when they are read */
    test_store_close(&s);
}

static void messages_come_with_their_shard_and_name(void **state)
{
    test_store s;

    (void)state;
    test_store_open(&s, loop, test_redis_url(server), "with.dots-and_more", 2);
    assert_int_equal(dq_store_subscribe(s.store, 0, "ctl", (dureq_str){0}), DUREQ_EUNAVAILABLE); /* shards are not known yet */
    test_store_until_up(&s);
    assert_int_equal(dq_store_subscribe(s.store, 2, "ctl", (dureq_str){0}), DUREQ_EUNAVAILABLE);
    assert_int_equal(dq_store_subscribe(s.store, 1, "w:", DQ_STR_LIT("12")), 0);
    assert_int_equal(dq_store_subscribe(s.store, 0, "ctl", (dureq_str){0}), 0);
    TEST_UNTIL(loop, test_redis_command_int(server, "SPUBLISH", "{with.dots-and_more:0}:ctl", "N1", NULL) == 1);
    (void)test_redis_command_int(server, "SPUBLISH", "{with.dots-and_more:1}:w:12", "L3", NULL);
    (void)test_redis_command_int(server, "SPUBLISH", "{with.dots-and_more:1}:w:13", "L3", NULL);
    TEST_UNTIL(loop, s.n_messages == 2);
    assert_string_equal(s.messages.ptr, "0 ctl=N1;1 w:12=L3;");

    kill_clients(); /* subscriptions are made again by themselves */
    TEST_UNTIL(loop, s.n_up == 2);
    assert_int_equal(test_redis_command_int(server, "SPUBLISH", "{with.dots-and_more:1}:w:12", "L4", NULL), 1);
    TEST_UNTIL(loop, s.n_messages == 3);
    assert_int_equal(dq_store_unsubscribe(s.store, 1, "w:", DQ_STR_LIT("12")), 0);
    TEST_UNTIL(loop, test_redis_command_int(server, "SPUBLISH", "{with.dots-and_more:1}:w:12", "L5", NULL) == 0);
    test_store_close(&s);
}

static void a_word_on_the_control_channel_has_the_queues_read_again(void **state)
{
    test_store s;

    (void)state;
    open_up(&s);
    assert_int_equal(dq_store_subscribe(s.store, 0, "ctl", (dureq_str){0}), 0);
    (void)test_redis_command_int(server, "HSET", "dureq:config:queues", "extra", "{\"weight\":2}", NULL);
    TEST_UNTIL(loop, test_redis_command_int(server, "SPUBLISH", "{dureq:0}:ctl", "P", NULL) == 1);
    TEST_UNTIL(loop, s.n_queues == 2);
    test_store_close(&s);
}

static void the_cycles_connection_comes_and_goes_by_itself(void **state)
{
    test_store s;

    (void)state;
    open_up(&s);
    assert_null(dq_store_redis(s.store, 0, DQ_CONN_CYCLE));
    assert_int_equal(dq_store_open_cycle(s.store, NULL), 0);
    assert_int_equal(dq_store_open_cycle(s.store, NULL), 0); /* the same one */
    TEST_UNTIL(loop, s.n_cycle_up == 1);
    dq_redis_reconnect(dq_store_redis(s.store, 0, DQ_CONN_CYCLE), "lost by the test");
    assert_int_equal(s.n_cycle_down, 1);
    TEST_UNTIL(loop, s.n_cycle_up == 2);
    assert_int_equal(s.n_down, 0); /* the other one is not concerned */
    test_store_close(&s);
    assert_int_equal(s.n_cycle_down, 1);
}

/* Whoever works off jobs makes room: a full server must still be opened. */
static void a_full_server_is_opened(void **state)
{
    test_store_answer a = {0};
    test_store s;

    (void)state;
    free(test_redis_command(server, "CONFIG", "SET", "maxmemory", "1", NULL));
    open_up(&s);
    assert_int_equal(send_counted(&s, 0, &a), 0);
    TEST_UNTIL(loop, a.calls == 1);
    assert_int_equal(a.code, DUREQ_EREDISOOM); /* a change of a queue is not what makes room */
    test_store_answer_reset(&a);
    test_store_close(&s);
    free(test_redis_command(server, "CONFIG", "SET", "maxmemory", "0", NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_server_away_at_the_start_is_waited_for, clear),
        cmocka_unit_test_setup(a_server_that_went_is_told_once_and_waited_for, clear),
        cmocka_unit_test_setup(calls_wait_for_the_server_if_they_may, clear),
        cmocka_unit_test_setup(a_call_in_flight_at_the_loss_is_not_repeated, clear),
        cmocka_unit_test_setup(a_destroyed_store_answers_all_its_calls, clear),
        cmocka_unit_test_setup(calls_keep_their_order_when_the_scripts_are_flushed, clear),
        cmocka_unit_test_setup(scripts_are_there_after_a_restart, clear),
        cmocka_unit_test_setup(a_prefix_that_was_flushed_is_made_again, clear),
        cmocka_unit_test_setup(a_prefix_with_other_shards_than_before_is_refused, clear),
        cmocka_unit_test_setup(queues_changed_while_away_are_known_before_it_is_up, clear),
        cmocka_unit_test_setup(a_queue_set_of_older_definitions_is_not_taken_for_fresh, clear),
        cmocka_unit_test_setup(messages_come_with_their_shard_and_name, clear),
        cmocka_unit_test_setup(a_word_on_the_control_channel_has_the_queues_read_again, clear),
        cmocka_unit_test_setup(the_cycles_connection_comes_and_goes_by_itself, clear),
        cmocka_unit_test_setup(a_full_server_is_opened, clear),
    };

    return cmocka_run_group_tests(tests, start, stop);
}
