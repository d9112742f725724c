/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "fake_redis.h"
#include "redis_server.h"
#include "test_conn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

/* How a connection is lost and comes back. Each test has a connection of its own; the server is the same. */

static test_redis *server;
static dq_loop *loop;

static int start(void **state)
{
    static const test_redis_options opts = {.tcp = true};

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

static void open_ready(test_conn *c, dq_redis_options base)
{
    test_conn_open_with(c, loop, test_redis_url(server), base);
    test_conn_until_ready(c);
}

static void a_killed_server_answers_what_was_in_flight_and_comes_back(void **state)
{
    test_answer flying[3] = {0}, held = {0};
    test_conn c;

    (void)state;
    open_ready(&c, (dq_redis_options){0});
    test_redis_freeze(server);
    for (int i = 0; i < 3; i++)
        assert_int_equal(test_conn_send(&c, i == 2 ? DQ_REDIS_HOLD : 0, &flying[i], "PING"), 0);
    dq_loop_run_once(loop, /*block=*/false);
    test_redis_kill(server);
    TEST_UNTIL(loop, c.n_lost == 1);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(flying[i].calls, 1); /* a held one too: it was sent, and may have run */
        assert_int_equal(flying[i].code, DUREQ_EUNAVAILABLE);
        assert_true(i == 0 || flying[i].order == flying[i - 1].order + 1);
    }
    for (int i = 0; i < 3; i++)
        test_answer_reset(&flying[i]);

    assert_int_equal(test_conn_send(&c, 0, &held, "PING"), DUREQ_EUNAVAILABLE);
    assert_int_equal(test_conn_send(&c, DQ_REDIS_HOLD, &held, "PING"), 0);
    test_redis_restart(server);
    TEST_UNTIL(loop, held.calls == 1);
    assert_string_equal(held.raw.ptr, "+PONG\r\n");
    assert_int_equal(c.n_ready, 2);
    assert_false(c.same_server); /* it has another run id */
    test_answer_reset(&held);
    test_conn_close(&c);
}

/* ---- back-off ---- */

enum { ATTEMPTS = 14 };

typedef struct attempts {
    int n;
    long long retry_in_ms[ATTEMPTS];
} attempts;

static void note_attempt(const dureq_log_record *record, void *userdata)
{
    attempts *a = userdata;
    const char *delay = strstr(record->text, "retry_in_ms=");

    if (delay && a->n < ATTEMPTS)
        a->retry_in_ms[a->n++] = atoll(delay + strlen("retry_in_ms="));
}

static void attempts_become_rarer_up_to_a_second(void **state)
{
    attempts seen = {0};
    dq_log log = {.fn = note_attempt, .userdata = &seen, .level = DUREQ_LOG_DEBUG};
    test_conn c;

    (void)state;
    test_conn_open_with(&c, loop, "unix:///nowhere/redis.sock", (dq_redis_options){.log = &log});
    /* Every attempt would double the wait: asking for the next one at once shows the waits without waiting them. */
    while (seen.n < ATTEMPTS) {
        int n = seen.n;

        TEST_UNTIL_MS(loop, 1000, seen.n > n);
        if (seen.n > 5 && seen.n < ATTEMPTS)
            dq_redis_reconnect(c.redis, "asked for");
    }
    for (int i = 0; i < ATTEMPTS; i++) {
        long long span = i < 7 ? 10LL << i : 1000;

        assert_in_range(seen.retry_in_ms[i], span / 2 - 1, span);
    }
    test_conn_close(&c);
}

/* ---- a full backlog ---- */

/* A Unix socket that takes one connection, which `*ret_first` is. */
static int listen_full(const char *path, int *ret_first)
{
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", path);
    (void)unlink(path);
    assert_int_equal(bind(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
    assert_int_equal(listen(fd, 0), 0);
    *ret_first = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_int_equal(connect(*ret_first, (struct sockaddr *)&sun, sizeof(sun)), 0);
    return fd;
}

static void a_full_backlog_is_asked_again_within_the_attempt(void **state)
{
    int64_t until_us = dq_mono_us() + 100000;
    char path[100], url[120];
    dureq_error why;
    test_conn c;
    int listener, first, accepted[2] = {-1, -1};

    (void)state;
    snprintf(path, sizeof(path), "%s", test_redis_file(server, "full.sock"));
    snprintf(url, sizeof(url), "unix://%s", path);
    listener = listen_full(path, &first);
    test_conn_open(&c, loop, url);
    while (dq_mono_us() < until_us)
        dq_loop_run_once(loop, /*block=*/true);
    assert_false(dq_redis_has_failed(c.redis));
    accepted[0] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    assert_true(accepted[0] >= 0);
    TEST_UNTIL(loop, (accepted[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) >= 0);
    assert_false(dq_redis_has_failed(c.redis));
    test_conn_close(&c);
    close(accepted[0]);
    close(accepted[1]);
    close(first);

    /* One that stays full is told of at the end of the attempt. */
    assert_int_equal(close(listener), 0);
    listener = listen_full(path, &first);
    test_conn_open_with(&c, loop, url, (dq_redis_options){.connect_timeout_ms = 50});
    TEST_UNTIL(loop, dq_redis_has_failed(c.redis));
    dq_redis_last_error(c.redis, &why);
    assert_int_equal(why.code, DUREQ_EUNAVAILABLE);
    assert_non_null(strstr(why.msg, "no connection within 50 ms: its backlog is full"));
    test_conn_close(&c);
    close(first);
    close(listener);
}

static void kill_clients_but_the_caller(void)
{
    free(test_redis_command(server, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes", NULL));
}

static void a_client_killed_by_an_operator_finds_the_same_server(void **state)
{
    test_conn c;

    (void)state;
    open_ready(&c, (dq_redis_options){.client_name = "killed"});
    kill_clients_but_the_caller();
    TEST_UNTIL(loop, c.n_ready == 2);
    assert_int_equal(c.n_lost, 1);
    assert_int_equal(c.why.code, DUREQ_EUNAVAILABLE);
    assert_non_null(strstr(c.why.msg, test_redis_socket(server))); /* it says whom it lost */
    assert_true(c.same_server);
    assert_string_equal(test_conn_ask(&c, "CLIENT GETNAME", NULL), "$6\r\nkilled\r\n"); /* greeted again */
    test_conn_close(&c);
}

static void a_reconnect_that_was_asked_for_does_not_wait(void **state)
{
    int64_t began_us;
    test_answer a = {0};
    test_conn c;

    (void)state;
    open_ready(&c, (dq_redis_options){0});
    for (int i = 0; i < 12; i++) { /* the back-off would be at its second by then */
        began_us = dq_mono_us();
        assert_int_equal(test_conn_send(&c, 0, &a, "PING"), 0);
        dq_redis_reconnect(c.redis, "asked for");
        assert_int_equal(a.code, DUREQ_EUNAVAILABLE);
        assert_non_null(strstr(a.err.msg, "asked for"));
        TEST_UNTIL(loop, c.n_ready == i + 2);
        assert_true(dq_mono_us() - began_us < 900000);
    }
    test_answer_reset(&a);
    test_conn_close(&c);
}

/* ---- silence ---- */

static void an_answer_that_does_not_come_costs_the_connection(void **state)
{
    test_answer first = {0}, second = {0};
    test_conn c;
    int64_t began_us;

    (void)state;
    open_ready(&c, (dq_redis_options){.reply_timeout_ms = 80, .connect_timeout_ms = 80});
    free(test_redis_command(server, "CLIENT", "PAUSE", "400", "ALL", NULL));
    began_us = dq_mono_us();
    assert_int_equal(test_conn_send(&c, 0, &first, "PING"), 0);
    assert_int_equal(test_conn_send(&c, 0, &second, "PING"), 0);
    TEST_UNTIL(loop, c.n_lost == 1);
    assert_true(dq_mono_us() - began_us >= 79000);
    assert_int_equal(first.code, DUREQ_EUNAVAILABLE);
    assert_int_equal(second.code, DUREQ_EUNAVAILABLE);
    assert_non_null(strstr(c.why.msg, "no reply within 80 ms"));
    TEST_UNTIL(loop, c.n_ready == 2); /* attempts in between ended the same way, and more came */
    assert_true(c.same_server);
    test_answer_reset(&first);
    test_answer_reset(&second);
    test_conn_close(&c);
}

static void without_a_time_out_it_waits(void **state)
{
    test_answer a = {0};
    test_conn c;

    (void)state;
    open_ready(&c, (dq_redis_options){.reply_timeout_ms = -1});
    free(test_redis_command(server, "CLIENT", "PAUSE", "200", "ALL", NULL));
    assert_int_equal(test_conn_send(&c, 0, &a, "PING"), 0);
    TEST_UNTIL(loop, a.calls == 1);
    assert_int_equal(a.code, 0);
    assert_int_equal(c.n_lost, 0);
    test_answer_reset(&a);
    test_conn_close(&c);
}

/* Only the oldest command's time counts: a busy connection is not lost as long as answers come. */
static void answers_that_come_keep_the_connection(void **state)
{
    test_conn c;
    int64_t until_us = dq_mono_us() + 300000;

    (void)state;
    open_ready(&c, (dq_redis_options){.reply_timeout_ms = 60});
    while (dq_mono_us() < until_us)
        assert_string_equal(test_conn_ask(&c, "ECHO busy", NULL), "$4\r\nbusy\r\n");
    assert_int_equal(c.n_lost, 0);
    test_conn_close(&c);
}

static bool be_silent(void *userdata, int connection, const dureq_str *words, size_t n, dq_buf *out)
{
    (void)userdata;
    (void)connection;
    (void)n;
    (void)out;
    return dq_str_eq_text(words[0], "ECHO");
}

/* As a long answer over a slow way does: each byte well within the time-out, all of them in twice of it. */
static void an_answer_that_comes_slowly_keeps_the_connection(void **state)
{
    static const char answer[] = "$13\r\nbit by bit ..\r\n";
    fake_redis_options o = {.fn = be_silent};
    fake_redis *f = fake_redis_start(&o);
    test_answer a = {0};
    test_conn c;

    (void)state;
    test_conn_open_with(&c, loop, fake_redis_url(f), (dq_redis_options){.reply_timeout_ms = 400});
    test_conn_until_ready(&c);
    assert_int_equal(test_conn_send(&c, 0, &a, "ECHO slow"), 0);
    for (const char *p = answer; *p; p++) {
        int64_t until_us = dq_mono_us() + 40000;

        TEST_UNTIL(loop, dq_mono_us() >= until_us);
        fake_redis_send(f, dureq_str_of(p, 1));
    }
    TEST_UNTIL(loop, a.calls == 1);
    assert_int_equal(a.code, 0);
    assert_int_equal(c.n_lost, 0);
    test_answer_reset(&a);
    test_conn_close(&c);
    fake_redis_stop(f);
}

static void a_server_that_stands_still_while_greeting_is_given_up(void **state)
{
    dureq_error err = {0};
    test_conn c;

    (void)state;
    test_redis_freeze(server);
    test_conn_open_with(&c, loop, test_redis_url(server), (dq_redis_options){.connect_timeout_ms = 50});
    TEST_UNTIL(loop, (dq_redis_last_error(c.redis, &err), strstr(err.msg, "does not answer the greeting") != NULL));
    assert_int_equal(err.code, DUREQ_EUNAVAILABLE);
    test_redis_thaw(server);
    test_conn_until_ready(&c);
    test_conn_close(&c);
}

/* ---- what is held ---- */

static void what_is_held_survives_failed_attempts_in_order(void **state)
{
    test_answer a[50] = {0};
    dureq_error err = {0};
    test_conn c;

    (void)state;
    test_redis_kill(server);
    test_conn_open(&c, loop, test_redis_url(server));
    for (size_t i = 0; i < DQ_ARRAY_LEN(a); i++) {
        char words[32];

        snprintf(words, sizeof(words), "ECHO %zu", i);
        assert_int_equal(test_conn_send(&c, DQ_REDIS_HOLD, &a[i], words), 0);
        if (i % 10 == 0) /* a refused one in between leaves nothing */
            assert_int_equal(test_conn_send(&c, 0, &a[i], "ECHO refused"), DUREQ_EUNAVAILABLE);
    }
    TEST_UNTIL(loop, (dq_redis_last_error(c.redis, &err), strstr(err.msg, "cannot connect") != NULL));
    assert_int_equal(dq_redis_in_flight(c.redis), DQ_ARRAY_LEN(a));
    test_redis_restart(server);
    TEST_UNTIL(loop, a[DQ_ARRAY_LEN(a) - 1].calls == 1);
    for (size_t i = 0; i < DQ_ARRAY_LEN(a); i++) {
        char raw[32];

        snprintf(raw, sizeof(raw), "$%d\r\n%zu\r\n", i < 10 ? 1 : 2, i);
        assert_int_equal(a[i].calls, 1);
        assert_string_equal(a[i].raw.ptr, raw);
        assert_true(i == 0 || a[i].order == a[i - 1].order + 1);
    }
    for (size_t i = 0; i < DQ_ARRAY_LEN(a); i++)
        test_answer_reset(&a[i]);
    test_conn_close(&c);
}

/* Its time to be answered begins when it is sent: waiting for the server must not count. */
static void what_was_held_long_is_not_late_when_it_is_sent(void **state)
{
    test_answer a = {0};
    test_conn c;
    int64_t since_us;

    (void)state;
    test_redis_kill(server);
    test_conn_open_with(&c, loop, test_redis_url(server), (dq_redis_options){.reply_timeout_ms = 100});
    assert_int_equal(test_conn_send(&c, DQ_REDIS_HOLD, &a, "PING"), 0);
    since_us = dq_mono_us();
    TEST_UNTIL(loop, dq_mono_us() - since_us > 150000);
    test_redis_restart(server);
    TEST_UNTIL(loop, a.calls == 1);
    assert_int_equal(a.code, 0);
    test_answer_reset(&a);
    test_conn_close(&c);
}

typedef struct resender {
    test_conn *conn;
    test_answer *again;
} resender;

static void send_again_when_lost(void *userdata, int code, const dq_reply *reply, const dureq_error *err)
{
    resender *s = userdata;

    (void)reply;
    (void)err;
    assert_int_equal(code, DUREQ_EUNAVAILABLE);
    assert_int_equal(test_conn_send(s->conn, 0, s->again, "ECHO refused"), DUREQ_EUNAVAILABLE);
    assert_int_equal(test_conn_send(s->conn, DQ_REDIS_HOLD, s->again, "ECHO again"), 0);
}

static void an_answer_of_loss_may_send_the_command_again(void **state)
{
    dureq_str ping[] = {DQ_STR_LIT("PING")};
    test_answer again[3] = {0};
    test_conn c;
    resender s[] = {{&c, &again[0]}, {&c, &again[1]}, {&c, &again[2]}};

    (void)state;
    open_ready(&c, (dq_redis_options){0});
    for (int i = 0; i < 3; i++)
        assert_int_equal(dq_redis_command(c.redis, 0, send_again_when_lost, &s[i], 1, ping), 0);
    dq_redis_reconnect(c.redis, "asked for");
    assert_int_equal(dq_redis_in_flight(c.redis), 3);
    TEST_UNTIL(loop, again[2].calls == 1);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(again[i].calls, 1);
        assert_string_equal(again[i].raw.ptr, "$5\r\nagain\r\n");
        test_answer_reset(&again[i]);
    }
    test_conn_close(&c);
}

static void a_command_lost_half_written_leaves_no_bytes_behind(void **state)
{
    enum { LEN = 8 << 20 };
    char *value = calloc(1, LEN);
    dureq_str set[] = {DQ_STR_LIT("SET"), DQ_STR_LIT("half"), dureq_str_of(value, LEN)};
    test_answer a = {0};
    test_conn c;

    (void)state;
    open_ready(&c, (dq_redis_options){0});
    test_redis_freeze(server);
    a.conn = &c;
    assert_int_equal(dq_redis_command(c.redis, 0, test_answer_fn, &a, 3, set), 0);
    dq_loop_run_once(loop, /*block=*/false); /* as much as the socket takes */
    test_redis_kill(server);
    TEST_UNTIL(loop, a.calls == 1);
    assert_int_equal(a.code, DUREQ_EUNAVAILABLE);
    test_redis_restart(server);
    assert_string_equal(test_conn_ask(&c, "EXISTS half", NULL), ":0\r\n");
    test_answer_reset(&a);
    test_conn_close(&c);
    free(value);
}

/* ---- destroying within on_lost ---- */

static void destroy_when_lost(dq_redis *r, const dureq_error *why, void *userdata)
{
    int *n = userdata;

    (void)why;
    ++*n;
    dq_redis_destroy(r);
}

static void it_may_be_destroyed_when_lost(void **state)
{
    int n_lost = 0;
    dq_redis_callbacks cb = {.on_lost = destroy_when_lost, .userdata = &n_lost};
    dq_redis_options opts = {0};
    dq_redis *r;

    (void)state;
    assert_int_equal(dq_redis_url_parse(dureq_str_from(test_redis_url(server)), &opts.url, NULL), 0);
    assert_int_equal(dq_redis_create(loop, &opts, &cb, &r, NULL), 0);
    TEST_UNTIL(loop, dq_redis_is_ready(r));
    kill_clients_but_the_caller();
    TEST_UNTIL(loop, n_lost == 1);
    dq_redis_url_deinit(&opts.url);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_killed_server_answers_what_was_in_flight_and_comes_back),
        cmocka_unit_test(attempts_become_rarer_up_to_a_second),
        cmocka_unit_test(a_full_backlog_is_asked_again_within_the_attempt),
        cmocka_unit_test(a_client_killed_by_an_operator_finds_the_same_server),
        cmocka_unit_test(a_reconnect_that_was_asked_for_does_not_wait),
        cmocka_unit_test(an_answer_that_does_not_come_costs_the_connection),
        cmocka_unit_test(without_a_time_out_it_waits),
        cmocka_unit_test(answers_that_come_keep_the_connection),
        cmocka_unit_test(an_answer_that_comes_slowly_keeps_the_connection),
        cmocka_unit_test(a_server_that_stands_still_while_greeting_is_given_up),
        cmocka_unit_test(what_is_held_survives_failed_attempts_in_order),
        cmocka_unit_test(what_was_held_long_is_not_late_when_it_is_sent),
        cmocka_unit_test(an_answer_of_loss_may_send_the_command_again),
        cmocka_unit_test(a_command_lost_half_written_leaves_no_bytes_behind),
        cmocka_unit_test(it_may_be_destroyed_when_lost),
    };

    return cmocka_run_group_tests(tests, start, stop);
}
