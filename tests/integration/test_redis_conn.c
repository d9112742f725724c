/* SPDX-License-Identifier: Apache-2.0 */
#include "redis_server.h"
#include "test_conn.h"

#include "redis/owned.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* Connecting, greeting, and commands on a connection that holds. How it is lost: test_redis_lost.c. */

#define PASSWORD        "p@ss:w/rd"
#define PASSWORD_IN_URL "p%40ss%3Aw%2Frd"

static test_redis *server;
static dq_loop *loop;

static int start(void **state)
{
    static const test_redis_options opts = {.tcp = true, .tls = true, .tls_client_auth = true, .password = PASSWORD};

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

static const char *url_of(const char *scheme_and_user, const char *where)
{
    static char url[2048];

    snprintf(url, sizeof(url), "%s@%s", scheme_and_user, where);
    return url;
}

static const char *unix_url(void)
{
    return url_of("unix://:" PASSWORD_IN_URL, test_redis_socket(server));
}

static const char *tcp_url(const char *credentials, const char *behind)
{
    char scheme[256], where[64];

    snprintf(scheme, sizeof(scheme), "redis://%s", credentials);
    snprintf(where, sizeof(where), "127.0.0.1:%d%s", test_redis_port(server), behind);
    return url_of(scheme, where);
}

static const char *tls_url(const char *host, const char *ca, bool with_client, const char *more)
{
    char where[1500];
    char file[3][400];

    snprintf(file[0], sizeof(file[0]), "%s", test_redis_file(server, ca));
    snprintf(file[1], sizeof(file[1]), "%s", test_redis_file(server, "client.crt"));
    snprintf(file[2], sizeof(file[2]), "%s", test_redis_file(server, "client.key"));
    snprintf(where, sizeof(where), "%s:%d?ca=%s%s%s%s%s%s", host, test_redis_tls_port(server), file[0],
             with_client ? "&cert=" : "", with_client ? file[1] : "", with_client ? "&key=" : "", with_client ? file[2] : "",
             more);
    return url_of("rediss://:" PASSWORD_IN_URL, where);
}

static bool is_version_of_server(dureq_str told)
{
    char *redis = test_redis_info(server, "redis_version"), *valkey = test_redis_info(server, "valkey_version");
    bool is = (redis && dq_str_eq_text(told, redis)) || (valkey && dq_str_eq_text(told, valkey));

    free(redis);
    free(valkey);
    return is;
}

static void expect_pong(const char *url)
{
    test_conn c;

    test_conn_open(&c, loop, url);
    assert_string_equal(test_conn_ask(&c, "PING", NULL), "+PONG\r\n");
    assert_int_equal(c.n_ready, 1);
    assert_false(c.same_server); /* the first of all */
    assert_true(is_version_of_server(dq_redis_server_version(c.redis)));
    test_conn_close(&c);
    assert_int_equal(c.n_lost, 0);
}

static void expect_refused(const char *url, int code)
{
    dureq_error err;
    test_conn c;

    test_conn_open(&c, loop, url);
    test_conn_until_refused(&c, code);
    dq_redis_last_error(c.redis, &err);
    assert_null(strstr(err.msg, PASSWORD)); /* nothing secret where a log may take it from */
    assert_null(strstr(err.msg, "wrong-one"));
    assert_int_equal(c.n_ready, 0);
    test_conn_close(&c);
}

static void it_connects_over_tcp_and_unix(void **state)
{
    (void)state;
    expect_pong(tcp_url(":" PASSWORD_IN_URL, ""));
    expect_pong(tcp_url("default:" PASSWORD_IN_URL, ""));
    expect_pong(unix_url());
}

/* A server that DUREQ_TEST_REDIS names may have been built without TLS. */
static void skip_without_tls(void)
{
    if (!test_redis_tls_url(server))
        skip();
}

static void it_connects_over_tls(void **state)
{
    (void)state;
    skip_without_tls();
    expect_pong(tls_url("localhost", "ca.crt", true, ""));
    expect_pong(tls_url("127.0.0.1", "ca.crt", true, ""));
}

static void it_finds_the_host_by_name(void **state)
{
    char where[64];

    (void)state;
    snprintf(where, sizeof(where), "localhost:%d", test_redis_port(server));
    expect_pong(url_of("redis://:" PASSWORD_IN_URL, where));
}

static void a_certificate_of_another_authority_is_refused(void **state)
{
    (void)state;
    skip_without_tls();
    expect_refused(tls_url("localhost", "other_ca.crt", true, ""), DUREQ_EAUTH);
    expect_pong(tls_url("localhost", "other_ca.crt", true, "&insecure=1"));
}

static void a_certificate_for_another_name_is_refused(void **state)
{
    (void)state;
    skip_without_tls();
    expect_refused(tls_url("127.0.0.1", "ca.crt", true, "&servername=elsewhere.example"), DUREQ_EAUTH);
    expect_pong(tls_url("127.0.0.1", "ca.crt", true, "&servername=localhost"));
}

/* TLS 1.3 lets a client without a certificate finish its half of the handshake: the refusal comes after it. */
static void a_missing_client_certificate_never_gets_ready(void **state)
{
    test_conn c;
    dureq_error err = {0};

    (void)state;
    skip_without_tls();
    test_conn_open(&c, loop, tls_url("localhost", "ca.crt", false, ""));
    TEST_UNTIL(loop, (dq_redis_last_error(c.redis, &err), strstr(err.msg, "not connected yet") == NULL));
    assert_true(err.code == DUREQ_EAUTH || err.code == DUREQ_EUNAVAILABLE);
    assert_int_equal(c.n_ready, 0);
    test_conn_close(&c);
}

static void missing_certificate_files_are_an_error_of_the_caller(void **state)
{
    dq_redis_options opts = {0};
    dureq_error err;
    dq_redis *r = NULL;

    (void)state;
    assert_int_equal(dq_redis_url_parse(dureq_str_from("rediss://localhost?ca=/nowhere/ca.crt"), &opts.url, &err), 0);
    assert_int_equal(dq_redis_create(loop, &opts, NULL, &r, &err), DUREQ_EINVAL);
    assert_non_null(strstr(err.msg, "/nowhere/ca.crt"));
    assert_null(r);
    dq_redis_url_deinit(&opts.url);
}

static void a_wrong_password_is_told_apart_from_a_server_that_is_away(void **state)
{
    char nowhere[64];

    (void)state;
    expect_refused(tcp_url(":wrong-one", ""), DUREQ_EAUTH);
    expect_refused(tcp_url("nobody:wrong-one", ""), DUREQ_EAUTH);
    expect_refused(url_of("unix://:wrong-one", test_redis_socket(server)), DUREQ_EAUTH);
    snprintf(nowhere, sizeof(nowhere), "redis://127.0.0.1:%d", test_redis_port(server));
    expect_refused(nowhere, DUREQ_EAUTH); /* none at all */
    snprintf(nowhere, sizeof(nowhere), "redis://127.0.0.1:%d", test_free_port());
    expect_refused(nowhere, DUREQ_EUNAVAILABLE);
    expect_refused("unix:///nowhere/redis.sock", DUREQ_EUNAVAILABLE);
}

static void a_wrong_password_in_resp2_says_the_same(void **state)
{
    test_conn c;

    (void)state;
    test_conn_open_with(&c, loop, tcp_url(":wrong-one", ""), (dq_redis_options){.resp2 = true});
    test_conn_until_refused(&c, DUREQ_EAUTH);
    test_conn_close(&c);
}

static void a_mended_password_is_found_by_the_same_connection(void **state)
{
    test_conn c;

    (void)state;
    test_conn_open(&c, loop, tcp_url("later:secret", ""));
    test_conn_until_refused(&c, DUREQ_EAUTH);
    free(test_redis_command(server, "ACL", "SETUSER", "later", "on", ">secret", "+@all", "~*", "&*", NULL));
    test_conn_until_ready(&c);
    free(test_redis_command(server, "ACL", "DELUSER", "later", NULL));
    test_conn_close(&c);
}

static void a_user_without_permission_is_told_so_per_command(void **state)
{
    test_conn c;
    int code;

    (void)state;
    free(test_redis_command(server, "ACL", "SETUSER", "small", "on", ">secret", "~mine:*", "&*", "+get", "+hello", NULL));
    test_conn_open(&c, loop, tcp_url("small:secret", ""));
    assert_string_equal(test_conn_ask(&c, "GET mine:1", NULL), "_\r\n");
    (void)test_conn_ask(&c, "SET mine:1 x", &code);
    assert_int_equal(code, DUREQ_EPERM);
    (void)test_conn_ask(&c, "GET theirs:1", &code);
    assert_int_equal(code, DUREQ_EPERM);
    assert_int_equal(c.n_lost, 0);
    test_conn_close(&c);
}

/* The name of a connection is a courtesy; INFO and PING are asked for what they tell. None of them is worth a refusal. */
static void a_user_who_may_do_next_to_nothing_gets_ready(void **state)
{
    test_conn c;

    (void)state;
    free(test_redis_command(server, "ACL", "SETUSER", "less", "on", ">secret", "~*", "+get", NULL));
    test_conn_open_with(&c, loop, tcp_url("less:secret", ""), (dq_redis_options){.client_name = "some one"});
    test_conn_until_ready(&c);
    test_conn_close(&c);
}

static void it_selects_the_database(void **state)
{
    test_conn a, b;
    char socket[200];

    (void)state;
    test_conn_open(&a, loop, tcp_url(":" PASSWORD_IN_URL, "/3"));
    snprintf(socket, sizeof(socket), "%s?db=3", test_redis_socket(server));
    test_conn_open(&b, loop, url_of("unix://:" PASSWORD_IN_URL, socket));
    (void)test_conn_ask(&a, "SET where three", NULL);
    assert_string_equal(test_conn_ask(&b, "GET where", NULL), "$5\r\nthree\r\n");
    test_conn_close(&a);
    test_conn_close(&b);
    test_conn_open(&b, loop, unix_url());
    assert_string_equal(test_conn_ask(&b, "EXISTS where", NULL), ":0\r\n");
    test_conn_close(&b);
}

static void a_database_out_of_range_is_refused(void **state)
{
    (void)state;
    expect_refused(tcp_url(":" PASSWORD_IN_URL, "/4711"), DUREQ_EREDIS);
}

static void it_speaks_resp3_unless_told_otherwise(void **state)
{
    test_conn c;

    (void)state;
    test_conn_open_with(&c, loop, unix_url(), (dq_redis_options){.client_name = "named-here"});
    assert_string_equal(test_conn_ask(&c, "CLIENT GETNAME", NULL), "$10\r\nnamed-here\r\n");
    assert_string_equal(test_conn_ask(&c, "HGETALL none", NULL), "%0\r\n");
    test_conn_close(&c);
    test_conn_open_with(&c, loop, unix_url(), (dq_redis_options){.client_name = "named-here", .resp2 = true});
    assert_string_equal(test_conn_ask(&c, "CLIENT GETNAME", NULL), "$10\r\nnamed-here\r\n");
    assert_string_equal(test_conn_ask(&c, "HGETALL none", NULL), "*0\r\n");
    test_conn_close(&c);
}

enum { PIPELINED = 20000 };

static int next_in_order;

static void on_numbered(void *userdata, int code, const dq_reply *reply, const dureq_error *err)
{
    (void)err;
    assert_int_equal(code, 0);
    assert_int_equal((intptr_t)userdata, next_in_order);
    assert_int_equal(dq_reply_int(*reply), next_in_order);
    next_in_order++;
}

static void answers_come_in_the_order_of_the_commands(void **state)
{
    test_conn c;

    (void)state;
    next_in_order = 0;
    test_conn_open(&c, loop, unix_url());
    for (int i = 0; i < PIPELINED; i++) {
        dq_buf *out = dq_redis_out(c.redis);

        /* The first ones are held until it is connected. */
        if (i == PIPELINED / 2)
            test_conn_until_ready(&c);
        dq_resp_begin(out, 2);
        dq_resp_arg_text(out, "ECHO");
        dq_resp_arg_i64(out, i);
        assert_int_equal(dq_redis_commit(c.redis, DQ_REDIS_HOLD, on_numbered, (void *)(intptr_t)i), 0);
    }
    TEST_UNTIL(loop, next_in_order == PIPELINED);
    assert_int_equal(dq_redis_in_flight(c.redis), 0);
    test_conn_close(&c);
}

static void without_hold_a_command_is_refused_until_ready(void **state)
{
    test_answer a = {0};
    test_conn c;

    (void)state;
    test_conn_open(&c, loop, unix_url());
    assert_int_equal(test_conn_send(&c, 0, &a, "PING"), DUREQ_EUNAVAILABLE);
    test_conn_until_ready(&c);
    assert_int_equal(test_conn_send(&c, 0, &a, "ECHO clean"), 0); /* nothing of the refused one is left */
    TEST_UNTIL(loop, a.calls > 0);
    assert_string_equal(a.raw.ptr, "$5\r\nclean\r\n");
    test_answer_reset(&a);
    test_conn_close(&c);
}

static void of_many_commands_the_last_answer_counts(void **state)
{
    dq_buf *out;
    test_answer a = {0};
    test_conn c;

    (void)state;
    test_conn_open(&c, loop, unix_url());
    a.conn = &c;
    out = dq_redis_out(c.redis);
    for (int i = 0; i < 3; i++) {
        dq_resp_begin(out, 2);
        dq_resp_arg_text(out, i == 1 ? "NOSUCHCOMMAND" : "ECHO");
        dq_resp_arg_i64(out, i);
    }
    assert_int_equal(dq_redis_commit_many(c.redis, DQ_REDIS_HOLD, 3, test_answer_fn, &a), 0);
    TEST_UNTIL(loop, a.calls > 0);
    assert_string_equal(a.raw.ptr, "$1\r\n2\r\n");
    assert_int_equal(a.calls, 1);
    test_answer_reset(&a);
    test_conn_close(&c);
}

/* More than the buffers of the kernel take in either direction, over plain and TLS sockets. */
static void huge_values_travel_whole(void **state)
{
    const size_t len = (size_t)24 << 20;
    const char *urls[] = {strdup(unix_url()), strdup(tls_url("localhost", "ca.crt", true, ""))};
    size_t n = test_redis_tls_url(server) ? DQ_ARRAY_LEN(urls) : 1;
    char *value = malloc(len);

    (void)state;
    for (size_t i = 0; i < len; i++)
        value[i] = (char)(i * 2654435761u >> 13);
    for (size_t i = 0; i < n; i++) {
        dureq_str set[] = {DQ_STR_LIT("SET"), DQ_STR_LIT("huge"), dureq_str_of(value, len)};
        test_answer a = {0};
        test_conn c;

        test_conn_open(&c, loop, urls[i]);
        assert_int_equal(dq_redis_command(c.redis, DQ_REDIS_HOLD, NULL, NULL, 3, set), 0);
        assert_int_equal(test_conn_send(&c, DQ_REDIS_HOLD, &a, "GET huge"), 0);
        TEST_UNTIL(loop, a.calls > 0);
        assert_int_equal(a.code, 0);
        assert_int_equal(a.raw.len, strlen("$25165824\r\n\r\n") + len);
        assert_memory_equal(a.raw.ptr + strlen("$25165824\r\n"), value, len);
        test_answer_reset(&a);
        (void)test_conn_ask(&c, "DEL huge", NULL);
        test_conn_close(&c);
    }
    free((char *)urls[0]);
    free((char *)urls[1]);
    free(value);
}

static void a_reply_of_many_values_is_walked_whole(void **state)
{
    test_conn c;
    const char *raw;
    dq_buf bytes = {0};
    dq_owned_reply o;
    int64_t sum = 0;

    (void)state;
    test_conn_open(&c, loop, unix_url());
    free(test_redis_command(server, "EVAL",
                            "for i=1,200000,100 do local t={} for j=i,i+99 do t[#t+1]=j end "
                            "redis.call('RPUSH','many',unpack(t)) end",
                            "0", NULL));
    raw = test_conn_ask(&c, "LRANGE many 0 -1", NULL);
    dq_buf_append_text(&bytes, raw);
    assert_int_equal(dq_owned_reply_parse(&bytes, &o, NULL), 0);
    assert_int_equal(dq_reply_len(o.reply), 200000);
    dq_reply item = dq_reply_first(o.reply);
    for (size_t i = 0; i < dq_reply_len(o.reply); i++, item = dq_reply_next(item))
        sum += dq_reply_int(item);
    assert_int_equal(sum, 200000LL * 200001 / 2);
    dq_owned_reply_deinit(&o);
    (void)test_conn_ask(&c, "DEL many", NULL);
    test_conn_close(&c);
}

/* ---- bytes beyond the callback ---- */

static dq_rbuf *held;
static dureq_str held_bytes;

static void on_reply_to_hold(void *userdata, int code, const dq_reply *reply, const dureq_error *err)
{
    test_conn *c = userdata;

    (void)err;
    assert_int_equal(code, 0);
    held = dq_redis_reply_ref(c->redis);
    held_bytes = dq_reply_str(*reply);
}

static void held_bytes_outlive_later_replies_and_the_connection(void **state)
{
    dureq_str get[] = {DQ_STR_LIT("GET"), DQ_STR_LIT("kept")};
    test_conn c;

    (void)state;
    free(test_redis_command(server, "SET", "kept", "bytes to keep", NULL));
    test_conn_open(&c, loop, unix_url());
    assert_int_equal(dq_redis_command(c.redis, DQ_REDIS_HOLD, on_reply_to_hold, &c, 2, get), 0);
    for (int i = 0; i < 2000; i++) {
        int code;

        (void)test_conn_send(&c, DQ_REDIS_HOLD, NULL, "CONFIG GET *");
        if (i % 100 == 99)
            (void)test_conn_ask(&c, "PING", &code);
    }
    test_conn_close(&c);
    assert_true(dq_str_eq_text(held_bytes, "bytes to keep"));
    dq_rbuf_unref(held);
}

static void destroy_within(void *userdata, int code, const dq_reply *reply, const dureq_error *err)
{
    test_conn *c = userdata;

    (void)reply;
    (void)err;
    assert_int_equal(code, 0);
    test_conn_close(c);
}

static void it_may_be_destroyed_in_an_answer_and_closes_the_others(void **state)
{
    dureq_str ping[] = {DQ_STR_LIT("PING")};
    test_answer before = {0}, after = {0};
    test_conn c;

    (void)state;
    test_conn_open(&c, loop, unix_url());
    assert_int_equal(test_conn_send(&c, DQ_REDIS_HOLD, &before, "PING"), 0);
    assert_int_equal(dq_redis_command(c.redis, DQ_REDIS_HOLD, destroy_within, &c, 1, ping), 0);
    assert_int_equal(test_conn_send(&c, DQ_REDIS_HOLD, &after, "PING"), 0);
    TEST_UNTIL(loop, after.calls == 1);
    assert_int_equal(before.code, 0);
    assert_int_equal(after.code, DUREQ_ECLOSED);
    assert_int_equal(c.n_lost, 0);
    test_answer_reset(&before);
    test_answer_reset(&after);
}

static void it_may_be_destroyed_at_any_step_of_connecting(void **state)
{
    (void)state;
    skip_without_tls();
    for (int turns = 0; turns < 12; turns++) {
        test_answer a = {0};
        test_conn c;

        test_conn_open(&c, loop, tls_url("localhost", "ca.crt", true, ""));
        assert_int_equal(test_conn_send(&c, DQ_REDIS_HOLD, &a, "PING"), 0);
        for (int i = 0; i < turns && a.calls == 0; i++) {
            test_wait w;

            test_wait_begin(&w, loop, TEST_LIMIT_MS);
            (void)test_wait_turn(&w);
            test_wait_end(&w);
        }
        test_conn_close(&c);
        assert_int_equal(a.calls, 1); /* answered, one way or the other */
        test_answer_reset(&a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_connects_over_tcp_and_unix),
        cmocka_unit_test(it_connects_over_tls),
        cmocka_unit_test(it_finds_the_host_by_name),
        cmocka_unit_test(a_certificate_of_another_authority_is_refused),
        cmocka_unit_test(a_certificate_for_another_name_is_refused),
        cmocka_unit_test(a_missing_client_certificate_never_gets_ready),
        cmocka_unit_test(missing_certificate_files_are_an_error_of_the_caller),
        cmocka_unit_test(a_wrong_password_is_told_apart_from_a_server_that_is_away),
        cmocka_unit_test(a_wrong_password_in_resp2_says_the_same),
        cmocka_unit_test(a_mended_password_is_found_by_the_same_connection),
        cmocka_unit_test(a_user_without_permission_is_told_so_per_command),
        cmocka_unit_test(a_user_who_may_do_next_to_nothing_gets_ready),
        cmocka_unit_test(it_selects_the_database),
        cmocka_unit_test(a_database_out_of_range_is_refused),
        cmocka_unit_test(it_speaks_resp3_unless_told_otherwise),
        cmocka_unit_test(answers_come_in_the_order_of_the_commands),
        cmocka_unit_test(without_hold_a_command_is_refused_until_ready),
        cmocka_unit_test(of_many_commands_the_last_answer_counts),
        cmocka_unit_test(huge_values_travel_whole),
        cmocka_unit_test(a_reply_of_many_values_is_walked_whole),
        cmocka_unit_test(held_bytes_outlive_later_replies_and_the_connection),
        cmocka_unit_test(it_may_be_destroyed_in_an_answer_and_closes_the_others),
        cmocka_unit_test(it_may_be_destroyed_at_any_step_of_connecting),
    };

    return cmocka_run_group_tests(tests, start, stop);
}
