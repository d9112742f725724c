/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/mutex.h"
#include "redis/blocking.h"
#include "redis_server.h"
#include "test_conn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* Callers are threads; the loop turns in the test's thread. */

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

typedef struct caller {
    test_conn *conn;
    const char *words; /* space-separated; ';' begins another command */
    int times;
    int64_t timeout_ms;
    pthread_t thread;

    int rc; /* of the last call */
    dureq_error err;
    dq_buf raw;
    int64_t took_us;
    int failed; /* calls that did not give 0 */
    atomic_bool is_done;
} caller;

static int append_commands(dq_buf *out, const char *words)
{
    dureq_str all = dureq_str_from(words);
    int n = 0;

    for (; all.len; n++) {
        dureq_str rest = dq_str_cut(&all, ';'), args[16];
        size_t n_args = 0;

        while (rest.len)
            args[n_args++] = dq_str_cut(&rest, ' ');
        dq_resp_begin(out, n_args);
        for (size_t i = 0; i < n_args; i++)
            dq_resp_arg(out, args[i]);
    }
    return n;
}

static void *call_main(void *arg)
{
    caller *c = arg;
    dq_buf command = {0};
    int n = append_commands(&command, c->words);

    for (int i = 0; i < c->times; i++) {
        int64_t began_us = dq_mono_us();
        dq_buf raw = {0};

        c->rc = dq_redis_call(c->conn->loop, c->conn->redis, dq_buf_str(&command), n, c->timeout_ms, &raw, &c->err);
        c->took_us = dq_mono_us() - began_us;
        c->failed += c->rc < 0;
        if (c->rc == 0) {
            dq_buf_deinit(&c->raw);
            c->raw = raw;
        }
    }
    dq_buf_deinit(&command);
    atomic_store(&c->is_done, true);
    return NULL;
}

static void start_caller(caller *c, test_conn *conn, const char *words, int times, int64_t timeout_ms)
{
    *c = (caller){.conn = conn, .words = words, .times = times, .timeout_ms = timeout_ms};
    assert_int_equal(dq_thread_start(&c->thread, "caller", 0, call_main, c, NULL), 0);
}

static void finish_caller(caller *c)
{
    TEST_UNTIL(loop, atomic_load(&c->is_done));
    pthread_join(c->thread, NULL);
}

static void call(caller *c, test_conn *conn, const char *words, int64_t timeout_ms)
{
    start_caller(c, conn, words, 1, timeout_ms);
    finish_caller(c);
}

static void a_caller_gets_its_answer(void **state)
{
    dq_owned_reply o;
    test_conn c;
    caller a;

    (void)state;
    test_conn_open(&c, loop, test_redis_url(server));
    call(&a, &c, "ECHO hello", -1); /* not connected yet: it waits */
    assert_int_equal(a.rc, 0);
    assert_int_equal(dq_owned_reply_parse(&a.raw, &o, NULL), 0);
    assert_int_equal(a.raw.len, 0); /* taken */
    assert_true(dq_str_eq_text(dq_reply_str(o.reply), "hello"));
    dq_owned_reply_deinit(&o);
    test_conn_close(&c);
}

static void of_several_commands_it_gets_the_last_answer(void **state)
{
    test_conn c;
    caller a;

    (void)state;
    test_conn_open(&c, loop, test_redis_url(server));
    call(&a, &c, "SET n 41;INCR n;GET n", 5000);
    assert_int_equal(a.rc, 0);
    assert_string_equal(a.raw.ptr, "$2\r\n42\r\n");
    dq_buf_deinit(&a.raw);
    test_conn_close(&c);
}

static void an_error_of_the_server_is_the_callers_code(void **state)
{
    test_conn c;
    caller a;

    (void)state;
    test_conn_open(&c, loop, test_redis_url(server));
    call(&a, &c, "LPUSH n x", 5000);
    assert_int_equal(a.rc, DUREQ_EWRONGTYPE);
    assert_int_equal(a.err.code, DUREQ_EWRONGTYPE);
    assert_non_null(strstr(a.err.msg, "WRONGTYPE"));
    test_conn_close(&c);
}

static void nothing_to_send_is_an_error_of_the_caller(void **state)
{
    test_conn c;
    caller a;
    dq_buf raw = {0};

    (void)state;
    test_conn_open(&c, loop, test_redis_url(server));
    call(&a, &c, "", 5000);
    assert_int_equal(a.rc, DUREQ_EINVAL);
    assert_int_equal(dq_redis_call(loop, c.redis, DQ_STR_LIT("PING\r\n"), 0, 5000, &raw, NULL), DUREQ_EINVAL);
    test_conn_close(&c);
}

static void many_callers_share_the_connection(void **state)
{
    enum { CALLERS = 8, TIMES = 500 };
    caller a[CALLERS];
    test_conn c;

    (void)state;
    test_conn_open(&c, loop, test_redis_url(server));
    for (int i = 0; i < CALLERS; i++)
        start_caller(&a[i], &c, "INCR shared", TIMES, 5000);
    for (int i = 0; i < CALLERS; i++) {
        finish_caller(&a[i]);
        assert_int_equal(a[i].failed, 0);
        dq_buf_deinit(&a[i].raw);
    }
    assert_int_equal(test_redis_command_int(server, "GET", "shared", NULL), CALLERS * TIMES);
    test_conn_close(&c);
}

static void a_silent_server_is_a_time_out_that_may_still_run(void **state)
{
    test_conn c;
    caller a;

    (void)state;
    test_conn_open(&c, loop, test_redis_url(server));
    test_conn_until_ready(&c);
    free(test_redis_command(server, "CLIENT", "PAUSE", "150", "ALL", NULL));
    call(&a, &c, "SET late yes", 40);
    assert_int_equal(a.rc, DUREQ_ETIMEOUT);
    assert_in_range(a.took_us, 40000, 1000000);
    TEST_UNTIL(loop, dq_redis_in_flight(c.redis) == 0); /* its answer finds nobody, and frees the call */
    assert_string_equal(test_conn_ask(&c, "GET late", NULL), "$3\r\nyes\r\n");
    test_conn_close(&c);
}

static void a_server_that_is_away_is_waited_for(void **state)
{
    test_conn c;
    caller a, b;

    (void)state;
    test_conn_open(&c, loop, test_redis_url(server));
    test_conn_until_ready(&c);
    test_redis_kill(server);
    TEST_UNTIL(loop, c.n_lost == 1);
    call(&a, &c, "PING", 50);
    assert_int_equal(a.rc, DUREQ_EUNAVAILABLE); /* why it waited, not only that it did */
    assert_in_range(a.took_us, 50000, 2000000);
    call(&a, &c, "PING", 0);
    assert_true(a.rc == DUREQ_EUNAVAILABLE || a.rc == DUREQ_ETIMEOUT);
    start_caller(&b, &c, "ECHO back", 1, 5000);
    test_redis_restart(server);
    finish_caller(&b);
    assert_int_equal(b.rc, 0);
    assert_string_equal(b.raw.ptr, "$4\r\nback\r\n");
    dq_buf_deinit(&b.raw);
    test_conn_close(&c);
}

static void a_call_in_flight_when_the_server_dies_is_told(void **state)
{
    test_conn c;
    caller a;

    (void)state;
    test_conn_open(&c, loop, test_redis_url(server));
    test_conn_until_ready(&c);
    test_redis_freeze(server);
    start_caller(&a, &c, "PING", 1, 5000);
    TEST_UNTIL(loop, dq_redis_in_flight(c.redis) == 1);
    test_redis_restart(server);
    finish_caller(&a);
    assert_int_equal(a.rc, DUREQ_EUNAVAILABLE); /* not sent again: whether it ran is not known */
    test_conn_close(&c);
}

static void a_server_that_refuses_us_is_told_at_once(void **state)
{
    char url[300];
    test_conn c;
    caller a;

    (void)state;
    snprintf(url, sizeof(url), "unix://nobody:wrong@%s", test_redis_socket(server));
    test_conn_open(&c, loop, url);
    test_conn_until_refused(&c, DUREQ_EAUTH);
    call(&a, &c, "PING", 30000);
    assert_int_equal(a.rc, DUREQ_EAUTH);
    assert_true(a.took_us < 2000000);
    test_conn_close(&c);
}

/* The refusal comes while the caller waits already. */
static void a_refusal_ends_a_wait_under_way(void **state)
{
    char url[300];
    test_conn c;
    caller a;

    (void)state;
    snprintf(url, sizeof(url), "unix://nobody:wrong@%s", test_redis_socket(server));
    test_conn_open(&c, loop, url);
    call(&a, &c, "PING", 3000);
    assert_int_equal(a.rc, DUREQ_EAUTH);
    assert_true(a.took_us < 1000000);
    test_conn_close(&c);
}

static void a_closed_connection_frees_its_callers(void **state)
{
    test_conn c;
    caller a[3];

    (void)state;
    test_conn_open(&c, loop, test_redis_url(server));
    test_conn_until_ready(&c);
    free(test_redis_command(server, "CLIENT", "PAUSE", "100", "ALL", NULL));
    for (int i = 0; i < 3; i++)
        start_caller(&a[i], &c, "PING", 1, -1);
    TEST_UNTIL(loop, dq_redis_in_flight(c.redis) == 3);
    test_conn_close(&c);
    for (int i = 0; i < 3; i++) {
        finish_caller(&a[i]);
        assert_int_equal(a[i].rc, DUREQ_ECLOSED);
    }
}

static void half_a_reply_is_refused(void **state)
{
    dq_owned_reply o;
    dq_buf bytes = {0};

    (void)state;
    dq_buf_append_text(&bytes, "*2\r\n:1\r\n");
    assert_int_equal(dq_owned_reply_parse(&bytes, &o, NULL), DUREQ_EPROTO);
    dq_buf_append_text(&bytes, "?what\r\n");
    assert_int_equal(dq_owned_reply_parse(&bytes, &o, NULL), DUREQ_EPROTO);
    assert_null(bytes.ptr);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_caller_gets_its_answer),
        cmocka_unit_test(of_several_commands_it_gets_the_last_answer),
        cmocka_unit_test(an_error_of_the_server_is_the_callers_code),
        cmocka_unit_test(nothing_to_send_is_an_error_of_the_caller),
        cmocka_unit_test(many_callers_share_the_connection),
        cmocka_unit_test(a_silent_server_is_a_time_out_that_may_still_run),
        cmocka_unit_test(a_server_that_is_away_is_waited_for),
        cmocka_unit_test(a_call_in_flight_when_the_server_dies_is_told),
        cmocka_unit_test(a_server_that_refuses_us_is_told_at_once),
        cmocka_unit_test(a_refusal_ends_a_wait_under_way),
        cmocka_unit_test(a_closed_connection_frees_its_callers),
        cmocka_unit_test(half_a_reply_is_refused),
    };

    return cmocka_run_group_tests(tests, start, stop);
}
