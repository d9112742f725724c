/* SPDX-License-Identifier: Apache-2.0 */
#include "redis/pubsub.h"
#include "redis_server.h"
#include "test_conn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
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

/* How many it reached. */
static long long publish(const char *verb, const char *channel, const char *text)
{
    return test_redis_command_int(server, verb, channel, text, NULL);
}

static bool has_pushed(const test_conn *c, const char *text)
{
    return c->pushes.ptr && strstr(c->pushes.ptr, text);
}

static void messages_come_from_the_channels_subscribed(void **state)
{
    test_conn c;

    (void)state;
    test_conn_open(&c, loop, test_redis_url(server));
    test_conn_until_ready(&c);
    assert_int_equal(dq_redis_subscribe(c.redis, false, DQ_STR_LIT("news")), 0);
    assert_int_equal(dq_redis_subscribe(c.redis, true, DQ_STR_LIT("{a}:w:1")), 0);
    (void)test_conn_ask(&c, "PING", NULL); /* after the two */
    assert_int_equal(publish("PUBLISH", "news", "one"), 1);
    assert_int_equal(publish("SPUBLISH", "{a}:w:1", "two"), 1);
    assert_int_equal(publish("PUBLISH", "other", "three"), 0);
    TEST_UNTIL(loop, c.n_push == 2);
    assert_string_equal(c.pushes.ptr, "message:news:one;smessage:{a}:w:1:two;");
    test_conn_close(&c);
}

static void replies_and_messages_do_not_mix(void **state)
{
    enum { N = 500 };
    test_answer a[N] = {0};
    test_conn c;

    (void)state;
    test_conn_open(&c, loop, test_redis_url(server));
    assert_int_equal(dq_redis_subscribe(c.redis, false, DQ_STR_LIT("self")), 0);
    test_conn_until_ready(&c);
    for (int i = 0; i < N; i++) /* its own messages come between its own answers */
        assert_int_equal(test_conn_send(&c, 0, &a[i], i % 2 ? "PUBLISH self x" : "ECHO y"), 0);
    TEST_UNTIL(loop, a[N - 1].calls == 1 && c.n_push == N / 2);
    for (int i = 0; i < N; i++) {
        assert_int_equal(a[i].calls, 1);
        assert_string_equal(a[i].raw.ptr, i % 2 ? ":1\r\n" : "$1\r\ny\r\n");
        test_answer_reset(&a[i]);
    }
    test_conn_close(&c);
}

/* The server puts a message that a script publishes to its own caller into the middle of EXEC's answer. */
static void a_message_from_ones_own_transaction_is_told(void **state)
{
    static const char *const publish_it = "redis.call('SPUBLISH','self',ARGV[1])return(7)";
    test_answer exec = {0};
    test_conn c;

    (void)state;
    test_conn_open(&c, loop, test_redis_url(server));
    assert_int_equal(dq_redis_subscribe(c.redis, true, DQ_STR_LIT("self")), 0);
    test_conn_until_ready(&c);
    for (int i = 1; i <= 3; i++) {
        char words[128];

        assert_int_equal(test_conn_send(&c, 0, NULL, "MULTI"), 0);
        snprintf(words, sizeof(words), "EVAL %s 0 x", publish_it);
        assert_int_equal(test_conn_send(&c, 0, NULL, words), 0);
        assert_int_equal(test_conn_send(&c, 0, NULL, "PING"), 0);
        assert_int_equal(test_conn_send(&c, 0, &exec, "EXEC"), 0);
        TEST_UNTIL(loop, exec.calls == i && c.n_push == i);
        assert_int_equal(exec.code, 0);
    }
    assert_string_equal(c.pushes.ptr, "smessage:self:x;smessage:self:x;smessage:self:x;");
    assert_int_equal(c.n_lost, 0);
    test_answer_reset(&exec);
    test_conn_close(&c);
}

static void subscriptions_asked_for_before_it_is_ready_are_made(void **state)
{
    test_conn c;

    (void)state;
    test_conn_open(&c, loop, test_redis_url(server));
    assert_int_equal(dq_redis_subscribe(c.redis, true, DQ_STR_LIT("early")), 0);
    assert_int_equal(dq_redis_subscribe(c.redis, true, DQ_STR_LIT("early")), 0); /* again: the same one */
    test_conn_until_ready(&c);
    assert_int_equal(publish("SPUBLISH", "early", "x"), 1); /* made before on_ready */
    TEST_UNTIL(loop, c.n_push == 1);
    test_conn_close(&c);
}

static void after_unsubscribing_there_is_silence(void **state)
{
    test_conn c;

    (void)state;
    test_conn_open(&c, loop, test_redis_url(server));
    test_conn_until_ready(&c);
    assert_int_equal(dq_redis_subscribe(c.redis, true, DQ_STR_LIT("on-off")), 0);
    dq_redis_unsubscribe(c.redis, true, DQ_STR_LIT("on-off"));
    dq_redis_unsubscribe(c.redis, true, DQ_STR_LIT("on-off"));
    dq_redis_unsubscribe(c.redis, false, DQ_STR_LIT("never"));
    (void)test_conn_ask(&c, "PING", NULL);
    assert_int_equal(publish("SPUBLISH", "on-off", "x"), 0);
    assert_int_equal(dq_redis_subscribe(c.redis, true, DQ_STR_LIT("on-off")), 0);
    (void)test_conn_ask(&c, "PING", NULL);
    assert_int_equal(publish("SPUBLISH", "on-off", "y"), 1);
    TEST_UNTIL(loop, c.n_push == 1);
    assert_string_equal(c.pushes.ptr, "smessage:on-off:y;"); /* no confirmation among them */
    assert_int_equal(dq_redis_in_flight(c.redis), 0);
    test_conn_close(&c);
}

static void subscriptions_are_made_again_before_it_is_ready_again(void **state)
{
    char channel[32];
    test_conn c;

    (void)state;
    test_conn_open(&c, loop, test_redis_url(server));
    test_conn_until_ready(&c);
    for (int i = 0; i < 100; i++) {
        snprintf(channel, sizeof(channel), "many:%d", i);
        assert_int_equal(dq_redis_subscribe(c.redis, i % 2, dureq_str_from(channel)), 0);
    }
    dq_redis_unsubscribe(c.redis, false, DQ_STR_LIT("many:98"));
    (void)test_conn_ask(&c, "PING", NULL); /* after them all */
    for (int round = 2; round < 4; round++) {
        if (round == 2)
            free(test_redis_command(server, "CLIENT", "KILL", "TYPE", "pubsub", NULL));
        else
            test_redis_restart(server);
        TEST_UNTIL(loop, c.n_ready == round);
        for (int i = 0; i < 100; i++) {
            snprintf(channel, sizeof(channel), "many:%d", i);
            assert_int_equal(publish(i % 2 ? "SPUBLISH" : "PUBLISH", channel, "x"), i != 98);
        }
        TEST_UNTIL(loop, c.n_push == 99 * (round - 1));
    }
    test_conn_close(&c);
}

/* While it is away the owner changes its mind. */
static void what_is_wanted_when_it_comes_back_counts(void **state)
{
    test_conn c;

    (void)state;
    test_conn_open(&c, loop, test_redis_url(server));
    assert_int_equal(dq_redis_subscribe(c.redis, true, DQ_STR_LIT("old")), 0);
    test_conn_until_ready(&c);
    test_redis_kill(server);
    TEST_UNTIL(loop, c.n_lost == 1);
    dq_redis_unsubscribe(c.redis, true, DQ_STR_LIT("old"));
    assert_int_equal(dq_redis_subscribe(c.redis, true, DQ_STR_LIT("new")), 0);
    test_redis_restart(server);
    TEST_UNTIL(loop, c.n_ready == 2);
    assert_int_equal(publish("SPUBLISH", "old", "x"), 0);
    assert_int_equal(publish("SPUBLISH", "new", "x"), 1);
    TEST_UNTIL(loop, has_pushed(&c, "smessage:new:x;"));
    test_conn_close(&c);
}

static void a_refused_subscription_costs_nothing_else(void **state)
{
    char url[300];
    test_conn c;

    (void)state;
    free(test_redis_command(server, "ACL", "SETUSER", "quiet", "on", ">secret", "~*", "+@all", "resetchannels", "&mine:*", NULL));
    snprintf(url, sizeof(url), "unix://quiet:secret@%s", test_redis_socket(server));
    test_conn_open(&c, loop, url);
    assert_int_equal(dq_redis_subscribe(c.redis, true, DQ_STR_LIT("theirs:1")), 0);
    assert_int_equal(dq_redis_subscribe(c.redis, true, DQ_STR_LIT("mine:1")), 0);
    test_conn_until_ready(&c);
    assert_int_equal(dq_redis_subscribe(c.redis, false, DQ_STR_LIT("theirs:2")), 0);
    assert_int_equal(dq_redis_subscribe(c.redis, false, DQ_STR_LIT("mine:2")), 0);
    assert_string_equal(test_conn_ask(&c, "PING", NULL), "+PONG\r\n");
    assert_int_equal(publish("SPUBLISH", "mine:1", "x"), 1);
    assert_int_equal(publish("PUBLISH", "mine:2", "x"), 1);
    assert_int_equal(publish("SPUBLISH", "theirs:1", "x"), 0);
    TEST_UNTIL(loop, c.n_push == 2);
    assert_int_equal(c.n_lost, 0);
    test_conn_close(&c);
}

/* Refused with the greeting, and later. */
static void a_channel_that_is_given_back_is_heard_again(void **state)
{
    char url[300];
    test_conn c;

    (void)state;
    free(test_redis_command(server, "ACL", "SETUSER", "moody", "on", ">secret", "~*", "+@all", "resetchannels", NULL));
    snprintf(url, sizeof(url), "unix://moody:secret@%s", test_redis_socket(server));
    test_conn_open(&c, loop, url);
    assert_int_equal(dq_redis_subscribe(c.redis, true, DQ_STR_LIT("a")), 0);
    test_conn_until_ready(&c);
    free(test_redis_command(server, "ACL", "SETUSER", "moody", "&a", NULL));
    TEST_UNTIL(loop, c.n_ready == 2); /* with a connection made again, for what was missed */
    assert_int_equal(publish("SPUBLISH", "a", "x"), 1);
    assert_int_equal(dq_redis_subscribe(c.redis, false, DQ_STR_LIT("b")), 0);
    assert_string_equal(test_conn_ask(&c, "PING", NULL), "+PONG\r\n");
    assert_int_equal(publish("PUBLISH", "b", "x"), 0);
    free(test_redis_command(server, "ACL", "SETUSER", "moody", "&b", NULL));
    TEST_UNTIL(loop, c.n_ready == 3);
    assert_int_equal(publish("PUBLISH", "b", "x"), 1);
    assert_int_equal(publish("SPUBLISH", "a", "y"), 1);
    TEST_UNTIL(loop, has_pushed(&c, "smessage:a:y;"));
    test_conn_close(&c);
}

static void resp2_has_no_subscriptions(void **state)
{
    test_conn c;

    (void)state;
    test_conn_open_with(&c, loop, test_redis_url(server), (dq_redis_options){.resp2 = true});
    assert_int_equal(dq_redis_subscribe(c.redis, true, DQ_STR_LIT("x")), DUREQ_EUNSUPPORTED);
    test_conn_until_ready(&c);
    assert_int_equal(dq_redis_subscribe(c.redis, false, DQ_STR_LIT("x")), DUREQ_EUNSUPPORTED);
    test_conn_close(&c);
}

/* The server ends a subscriber who reads too slowly; what was subscribed comes back with the next connection. */
static void a_subscriber_cut_off_by_the_server_comes_back(void **state)
{
    char *big = malloc(1 << 20);
    test_conn c;

    (void)state;
    memset(big, 'x', (1 << 20) - 1);
    big[(1 << 20) - 1] = '\0';
    free(test_redis_command(server, "CONFIG", "SET", "client-output-buffer-limit", "pubsub 2mb 0 0", NULL));
    test_conn_open(&c, loop, test_redis_url(server));
    assert_int_equal(dq_redis_subscribe(c.redis, false, DQ_STR_LIT("flood")), 0);
    test_conn_until_ready(&c);
    /* Meanwhile our loop does not turn. What fits into the kernel's buffers does not count against the limit, so there are many. */
    for (int i = 0; i < 64; i++)
        (void)publish("PUBLISH", "flood", big);
    TEST_UNTIL(loop, c.n_ready == 2);
    assert_int_equal(publish("PUBLISH", "flood", "small"), 1);
    TEST_UNTIL(loop, has_pushed(&c, "message:flood:small;"));
    test_conn_close(&c);
    free(big);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_come_from_the_channels_subscribed),
        cmocka_unit_test(replies_and_messages_do_not_mix),
        cmocka_unit_test(a_message_from_ones_own_transaction_is_told),
        cmocka_unit_test(subscriptions_asked_for_before_it_is_ready_are_made),
        cmocka_unit_test(after_unsubscribing_there_is_silence),
        cmocka_unit_test(subscriptions_are_made_again_before_it_is_ready_again),
        cmocka_unit_test(what_is_wanted_when_it_comes_back_counts),
        cmocka_unit_test(a_refused_subscription_costs_nothing_else),
        cmocka_unit_test(a_channel_that_is_given_back_is_heard_again),
        cmocka_unit_test(resp2_has_no_subscriptions),
        cmocka_unit_test(a_subscriber_cut_off_by_the_server_comes_back),
    };

    return cmocka_run_group_tests(tests, start, stop);
}
