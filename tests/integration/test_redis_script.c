/* SPDX-License-Identifier: Apache-2.0 */
#include "redis/script.h"
#include "redis_server.h"
#include "test_conn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static test_redis *server;
static dq_loop *loop;

static int start(void **state)
{
    (void)state;
    server = test_redis_start(NULL);
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

static void flush_scripts(void)
{
    free(test_redis_command(server, "SCRIPT", "FLUSH", "SYNC", NULL));
}

/* One key, one argument. */
static int eval(test_conn *c, unsigned flags, const char *text, const char *key, dureq_str arg, test_answer *a)
{
    char sha1[41];

    a->conn = c;
    dq_redis_script_sha1(dureq_str_from(text), sha1);
    assert_int_equal(dq_redis_eval_begin(c->redis, sha1, 1, 1), 0);
    dq_resp_arg_text(dq_redis_out(c->redis), key);
    dq_resp_arg(dq_redis_out(c->redis), arg);
    return dq_redis_eval_commit(c->redis, flags, dureq_str_from(text), test_answer_fn, a);
}

static const char append_and_count[] = "redis.call('RPUSH', KEYS[1], ARGV[1]) return redis.call('LLEN', KEYS[1])";

static void open_clean(test_conn *c)
{
    free(test_redis_command(server, "FLUSHALL", NULL));
    flush_scripts();
    test_conn_open(c, loop, test_redis_url(server));
    test_conn_until_ready(c);
}

static void the_sum_is_the_servers(void **state)
{
    char sha1[41], *reply;

    (void)state;
    dq_redis_script_sha1(dureq_str_from(append_and_count), sha1);
    reply = test_redis_command(server, "SCRIPT", "LOAD", append_and_count, NULL);
    assert_memory_equal(reply, "$40\r\n", 5);
    assert_memory_equal(reply + 5, sha1, 40);
    free(reply);
}

static void a_script_that_the_server_does_not_know_runs_once_all_the_same(void **state)
{
    test_answer a = {0};
    test_conn c;

    (void)state;
    open_clean(&c);
    for (int i = 0; i < 3; i++) {
        if (i == 2)
            flush_scripts();
        assert_int_equal(eval(&c, 0, append_and_count, "list", DQ_STR_LIT("x"), &a), 0);
        TEST_UNTIL(loop, a.calls == i + 1);
        assert_int_equal(a.code, 0);
        assert_int_equal(a.raw.ptr[1] - '0', i + 1);
    }
    assert_int_equal(test_redis_command_int(server, "LLEN", "list", NULL), 3);
    test_answer_reset(&a);
    test_conn_close(&c);
}

static void arguments_are_the_same_the_second_time(void **state)
{
    static const char bytes[] = "\0\r\n$5\r\n\xff*3\r\n";
    dureq_str arg = dureq_str_of(bytes, sizeof(bytes) - 1);
    test_answer a = {0};
    test_conn c;

    (void)state;
    open_clean(&c);
    assert_int_equal(eval(&c, 0, "return {KEYS[1], ARGV[1], #KEYS, #ARGV}", "k", arg, &a), 0);
    TEST_UNTIL(loop, a.calls == 1);
    dq_buf expected = {0};
    dq_buf_append_text(&expected, "*4\r\n$1\r\nk\r\n$12\r\n");
    dq_buf_append_str(&expected, arg);
    dq_buf_append_text(&expected, "\r\n:1\r\n:1\r\n");
    assert_int_equal(a.raw.len, expected.len);
    assert_memory_equal(a.raw.ptr, expected.ptr, expected.len);
    dq_buf_deinit(&expected);
    test_answer_reset(&a);
    test_conn_close(&c);
}

static void many_calls_at_once_each_get_their_answer_once(void **state)
{
    enum { N = 500 };
    static test_answer a[N];
    bool seen[N + 1] = {0};
    test_conn c;

    (void)state;
    open_clean(&c);
    for (int i = 0; i < N; i++)
        assert_int_equal(eval(&c, 0, append_and_count, "list", DQ_STR_LIT("x"), &a[i]), 0);
    TEST_UNTIL(loop, dq_redis_in_flight(c.redis) == 0);
    for (int i = 0; i < N; i++) {
        int n = atoi(a[i].raw.ptr + 1);

        assert_int_equal(a[i].calls, 1);
        assert_in_range(n, 1, N);
        assert_false(seen[n]);
        seen[n] = true;
        test_answer_reset(&a[i]);
    }
    test_conn_close(&c);
}

/* Scripts vanish in the middle of a pipeline: those before and behind run once each. */
static void a_flush_in_the_middle_of_a_pipeline_loses_nothing(void **state)
{
    enum { N = 90 };
    static test_answer a[N];
    test_conn c;

    (void)state;
    open_clean(&c);
    for (int i = 0; i < N; i++) {
        if (i % 30 == 0)
            assert_int_equal(test_conn_send(&c, 0, NULL, "SCRIPT FLUSH SYNC"), 0);
        assert_int_equal(eval(&c, 0, append_and_count, "list", DQ_STR_LIT("x"), &a[i]), 0);
    }
    TEST_UNTIL(loop, dq_redis_in_flight(c.redis) == 0);
    assert_int_equal(test_redis_command_int(server, "LLEN", "list", NULL), N);
    for (int i = 0; i < N; i++) {
        assert_int_equal(a[i].calls, 1);
        assert_int_equal(a[i].code, 0);
        test_answer_reset(&a[i]);
    }
    test_conn_close(&c);
}

static void errors_of_a_script_reach_the_caller(void **state)
{
    static const struct {
        const char *text;
        int code;
    } rows[] = {
        {"return redis.error_reply('DQNOTFOUND no such job')", DUREQ_ENOTFOUND},
        {"return redis.error_reply('NOSCRIPT of my own making')", DUREQ_ENOSCRIPT},
        {"redis.call('SET', KEYS[1], 1) return redis.call('LPUSH', KEYS[1], 1)", DUREQ_EWRONGTYPE},
        {"return nosuchvariable", DUREQ_EREDIS},
        {"this is not Lua", DUREQ_EREDIS},
    };
    test_conn c;

    (void)state;
    open_clean(&c);
    for (size_t i = 0; i < DQ_ARRAY_LEN(rows); i++) {
        test_answer a = {0};

        assert_int_equal(eval(&c, 0, rows[i].text, "key", DQ_STR_LIT("x"), &a), 0);
        TEST_UNTIL(loop, a.calls == 1);
        assert_int_equal(a.code, rows[i].code);
        test_answer_reset(&a);
    }
    test_conn_close(&c);
}

static void a_held_call_runs_when_the_server_is_back_without_its_scripts(void **state)
{
    test_answer a = {0}, refused = {0};
    test_conn c;

    (void)state;
    open_clean(&c);
    test_redis_kill(server);
    TEST_UNTIL(loop, c.n_lost == 1);
    assert_int_equal(eval(&c, 0, append_and_count, "list", DQ_STR_LIT("x"), &refused), DUREQ_EUNAVAILABLE);
    assert_int_equal(eval(&c, DQ_REDIS_HOLD, append_and_count, "list", DQ_STR_LIT("x"), &a), 0);
    test_redis_restart(server);
    TEST_UNTIL(loop, a.calls == 1);
    assert_string_equal(a.raw.ptr, ":1\r\n");
    assert_int_equal(refused.calls, 0);
    test_answer_reset(&a);
    test_conn_close(&c);
}

static void a_call_in_flight_when_the_connection_is_lost_is_not_repeated(void **state)
{
    test_answer a[3] = {0};
    test_conn c;

    (void)state;
    open_clean(&c);
    free(test_redis_command(server, "SCRIPT", "LOAD", append_and_count, NULL));
    for (int i = 0; i < 3; i++)
        assert_int_equal(eval(&c, 0, append_and_count, "list", DQ_STR_LIT("x"), &a[i]), 0);
    dq_redis_reconnect(c.redis, "asked for");
    test_conn_until_ready(&c);
    assert_string_equal(test_conn_ask(&c, "LLEN list", NULL), ":0\r\n"); /* nothing had been written yet */
    for (int i = 0; i < 3; i++) {
        assert_int_equal(a[i].calls, 1);
        assert_int_equal(a[i].code, DUREQ_EUNAVAILABLE);
        test_answer_reset(&a[i]);
    }
    test_conn_close(&c);
}

static void a_closed_connection_answers_its_calls(void **state)
{
    test_answer a[40] = {0};
    test_conn c;

    (void)state;
    open_clean(&c);
    for (size_t i = 0; i < DQ_ARRAY_LEN(a); i++)
        assert_int_equal(eval(&c, 0, append_and_count, "list", DQ_STR_LIT("x"), &a[i]), 0);
    test_conn_close(&c);
    for (size_t i = 0; i < DQ_ARRAY_LEN(a); i++) {
        assert_int_equal(a[i].calls, 1);
        assert_int_equal(a[i].code, DUREQ_ECLOSED);
        test_answer_reset(&a[i]);
    }
}

static void large_arguments_are_repeated_too(void **state)
{
    enum { LEN = 4 << 20 };
    char *value = malloc(LEN);
    test_answer a = {0};
    test_conn c;

    (void)state;
    memset(value, 'v', LEN);
    open_clean(&c);
    assert_int_equal(eval(&c, 0, "return #ARGV[1]", "key", dureq_str_of(value, LEN), &a), 0);
    TEST_UNTIL(loop, a.calls == 1);
    assert_string_equal(a.raw.ptr, ":4194304\r\n");
    test_answer_reset(&a);
    test_conn_close(&c);
    free(value);
}

/* Whichever allocation fails: the caller is told, and what was sent before is answered as it should. */
static void without_memory_it_refuses_and_goes_on(void **state)
{
    bool done = false;
    test_conn c;

    (void)state;
    open_clean(&c);
    for (int n = 1; !done; n++) {
        test_answer a = {0};
        int rc;

        dq_alloc_fail_at(n);
        rc = eval(&c, 0, append_and_count, "list", DQ_STR_LIT("x"), &a);
        done = dq_alloc_count() < n;
        dq_alloc_fail_at(0);
        assert_true(rc == 0 || rc == DUREQ_ENOMEM);
        assert_int_equal(rc == 0, done);
        assert_string_equal(test_conn_ask(&c, "PING", NULL), "+PONG\r\n");
        TEST_UNTIL(loop, dq_redis_in_flight(c.redis) == 0);
        assert_int_equal(a.calls, rc == 0);
        test_answer_reset(&a);
        if (n > 20)
            break;
    }
    assert_true(done);
    test_conn_close(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_sum_is_the_servers),
        cmocka_unit_test(a_script_that_the_server_does_not_know_runs_once_all_the_same),
        cmocka_unit_test(arguments_are_the_same_the_second_time),
        cmocka_unit_test(many_calls_at_once_each_get_their_answer_once),
        cmocka_unit_test(a_flush_in_the_middle_of_a_pipeline_loses_nothing),
        cmocka_unit_test(errors_of_a_script_reach_the_caller),
        cmocka_unit_test(a_held_call_runs_when_the_server_is_back_without_its_scripts),
        cmocka_unit_test(a_call_in_flight_when_the_connection_is_lost_is_not_repeated),
        cmocka_unit_test(a_closed_connection_answers_its_calls),
        cmocka_unit_test(large_arguments_are_repeated_too),
        cmocka_unit_test(without_memory_it_refuses_and_goes_on),
    };

    return cmocka_run_group_tests(tests, start, stop);
}
