/* SPDX-License-Identifier: Apache-2.0 */
#include "redis_server.h"
#include "test_conn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* What a real server refuses, told apart: which of it costs a command, which the connection, and what the greeting waits for. */

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

static void configure(const char *name, const char *value)
{
    char *reply = test_redis_command(server, "CONFIG", "SET", name, value, NULL);

    assert_string_equal(reply, "+OK\r\n");
    free(reply);
}

static int code_of(test_conn *c, const char *words)
{
    int code;

    (void)test_conn_ask(c, words, &code);
    return code;
}

static void errors_of_a_command_leave_the_connection_as_it_is(void **state)
{
    test_conn c;

    (void)state;
    test_conn_open(&c, loop, test_redis_url(server));
    (void)test_conn_ask(&c, "SET text x", NULL);
    assert_int_equal(code_of(&c, "LPUSH text y"), DUREQ_EWRONGTYPE);
    assert_int_equal(code_of(&c, "EVALSHA ffffffffffffffffffffffffffffffffffffffff 0"), DUREQ_ENOSCRIPT);
    assert_int_equal(code_of(&c, "NOSUCHCOMMAND"), DUREQ_EREDIS);
    assert_int_equal(code_of(&c, "INCR text"), DUREQ_EREDIS);
    assert_int_equal(code_of(&c, "PING"), 0);
    assert_int_equal(c.n_lost, 0);
    test_conn_close(&c);
}

static void the_servers_own_words_are_kept(void **state)
{
    test_answer a = {0};
    test_conn c;

    (void)state;
    test_conn_open(&c, loop, test_redis_url(server));
    assert_int_equal(test_conn_send(&c, DQ_REDIS_HOLD, &a, "INCR text"), 0);
    TEST_UNTIL(loop, a.calls == 1);
    assert_non_null(strstr(a.err.msg, "not an integer"));
    assert_int_equal(a.raw.ptr[0], '-');
    test_answer_reset(&a);
    test_conn_close(&c);
}

static void a_full_server_refuses_writes_only(void **state)
{
    test_conn c;

    (void)state;
    test_conn_open(&c, loop, test_redis_url(server));
    test_conn_until_ready(&c);
    configure("maxmemory", "1");
    assert_int_equal(code_of(&c, "SET more x"), DUREQ_EREDISOOM);
    assert_int_equal(code_of(&c, "GET more"), 0);
    assert_int_equal(code_of(&c, "EVAL return(redis.call('SET',KEYS[1],1)) 1 more"), DUREQ_EREDISOOM);
    configure("maxmemory", "0");
    assert_int_equal(code_of(&c, "SET more x"), 0);
    test_conn_close(&c);
}

static void a_replica_refuses_writes_only(void **state)
{
    test_conn c;

    (void)state;
    free(test_redis_command(server, "REPLICAOF", "127.0.0.1", "1", NULL));
    test_conn_open(&c, loop, test_redis_url(server));
    assert_int_equal(code_of(&c, "SET more x"), DUREQ_EREADONLY);
    assert_int_equal(code_of(&c, "GET more"), 0);
    free(test_redis_command(server, "REPLICAOF", "NO", "ONE", NULL));
    assert_int_equal(code_of(&c, "SET more x"), 0);
    assert_int_equal(c.n_lost, 0);
    test_conn_close(&c);
}

static void a_replica_without_its_master_is_waited_for(void **state)
{
    dureq_error err = {0};
    test_conn c;

    (void)state;
    configure("replica-serve-stale-data", "no");
    free(test_redis_command(server, "REPLICAOF", "127.0.0.1", "1", NULL));
    test_conn_open(&c, loop, test_redis_url(server));
    TEST_UNTIL(loop, (dq_redis_last_error(c.redis, &err), strstr(err.msg, "MASTERDOWN") != NULL));
    assert_int_equal(err.code, DUREQ_EUNAVAILABLE);
    free(test_redis_command(server, "REPLICAOF", "NO", "ONE", NULL));
    test_conn_until_ready(&c);
    configure("replica-serve-stale-data", "yes");
    test_conn_close(&c);
}

/* One connection runs a script that does not end; one is refused; a third waits with its greeting. */
static void a_server_busy_with_a_script_is_told_and_waited_for(void **state)
{
    test_answer endless = {0}, held = {0};
    test_conn runner, ready, late;

    (void)state;
    configure("busy-reply-threshold", "20");
    test_conn_open(&runner, loop, test_redis_url(server));
    test_conn_open(&ready, loop, test_redis_url(server));
    test_conn_until_ready(&runner);
    test_conn_until_ready(&ready);
    assert_int_equal(test_conn_send(&runner, 0, &endless, "EVAL while(true)do(function()end)()end 0"), 0);
    TEST_UNTIL(loop, code_of(&ready, "PING") == DUREQ_EBUSY);

    test_conn_open(&late, loop, test_redis_url(server));
    assert_int_equal(test_conn_send(&late, DQ_REDIS_HOLD, &held, "ECHO late"), 0);
    test_conn_until_refused(&late, DUREQ_EBUSY);
    assert_int_equal(held.calls, 0);
    free(test_redis_command(server, "SCRIPT", "KILL", NULL));
    TEST_UNTIL(loop, held.calls == 1 && endless.calls == 1);
    assert_string_equal(held.raw.ptr, "$4\r\nlate\r\n");
    assert_int_equal(endless.code, DUREQ_EREDIS);
    assert_int_equal(ready.n_lost + late.n_lost + runner.n_lost, 0);
    test_answer_reset(&held);
    test_answer_reset(&endless);
    test_conn_close(&runner);
    test_conn_close(&ready);
    test_conn_close(&late);
}

static void a_server_without_room_for_clients_is_tried_again(void **state)
{
    dureq_error err = {0};
    test_conn c, late;

    (void)state;
    test_conn_open(&c, loop, test_redis_url(server));
    test_conn_until_ready(&c);
    (void)test_conn_ask(&c, "CONFIG SET maxclients 1", NULL);
    test_conn_open(&late, loop, test_redis_url(server));
    TEST_UNTIL(loop, (dq_redis_last_error(late.redis, &err), strstr(err.msg, "max number of clients") != NULL));
    assert_int_equal(err.code, DUREQ_EUNAVAILABLE);
    (void)test_conn_ask(&c, "CONFIG SET maxclients 1000", NULL);
    test_conn_until_ready(&late);
    test_conn_close(&c);
    test_conn_close(&late);
}

/* A dump whose keys take their time, read by a server that serves its clients in between. */
static void a_server_that_loads_its_data_is_waited_for(void **state)
{
    static const char *const slowly[] = {"--key-load-delay", "10000", "--loading-process-events-interval-bytes", "1024", NULL};
    test_answer held = {0};
    test_conn c;

    (void)state;
    free(test_redis_command(server, "EVAL", "for i=1,40 do redis.call('SET','load:'..i,string.rep(i,1000)) end", "0", NULL));
    configure("rdbcompression", "no");
    free(test_redis_command(server, "SAVE", NULL));
    test_conn_open(&c, loop, test_redis_url(server));
    test_conn_until_ready(&c);
    test_redis_kill(server);
    test_redis_set_extra_args(server, slowly);
    test_redis_spawn(server);
    test_conn_until_refused(&c, DUREQ_ELOADING);
    assert_int_equal(test_conn_send(&c, DQ_REDIS_HOLD, &held, "EXISTS load:40"), 0);
    TEST_UNTIL(loop, held.calls == 1);
    assert_string_equal(held.raw.ptr, ":1\r\n");
    assert_int_equal(c.n_ready, 2);
    test_answer_reset(&held);
    test_conn_close(&c);
    test_redis_set_extra_args(server, NULL);
    test_redis_restart(server);
}

/* A replica in a cluster of two sends everybody to the master, of which there is only the address. */
static void a_node_of_a_cluster_sends_elsewhere(void **state)
{
    static const test_redis_options with_port = {.tcp = true};
    static const char nodes[] =
        "1111111111111111111111111111111111111111 127.0.0.1:1@1 myself,slave 2222222222222222222222222222222222222222 0 0 1 connected\n"
        "2222222222222222222222222222222222222222 127.0.0.1:2@2 master - 0 0 1 connected 0-16383\n"
        "vars currentEpoch 1 lastVoteEpoch 0\n";
    char bus[16];
    const char *const args[] = {"--cluster-enabled", "yes", "--cluster-port", bus, NULL};
    test_redis *node = test_redis_start(&with_port);
    FILE *f = fopen(test_redis_file(node, "nodes.conf"), "w");
    test_conn c;

    (void)state;
    assert_non_null(f);
    assert_true(fputs(nodes, f) >= 0);
    assert_int_equal(fclose(f), 0);
    snprintf(bus, sizeof(bus), "%d", test_free_port());
    test_redis_set_extra_args(node, args);
    test_redis_restart(node);
    test_conn_open(&c, loop, test_redis_url(node));
    TEST_UNTIL(loop, code_of(&c, "GET key") == DUREQ_EMOVED);
    assert_int_equal(c.n_lost, 0);
    test_conn_close(&c);
    test_redis_stop(node);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors_of_a_command_leave_the_connection_as_it_is),
        cmocka_unit_test(the_servers_own_words_are_kept),
        cmocka_unit_test(a_full_server_refuses_writes_only),
        cmocka_unit_test(a_replica_refuses_writes_only),
        cmocka_unit_test(a_replica_without_its_master_is_waited_for),
        cmocka_unit_test(a_server_busy_with_a_script_is_told_and_waited_for),
        cmocka_unit_test(a_server_without_room_for_clients_is_tried_again),
        cmocka_unit_test(a_server_that_loads_its_data_is_waited_for),
        cmocka_unit_test(a_node_of_a_cluster_sends_elsewhere),
    };

    return cmocka_run_group_tests(tests, start, stop);
}
