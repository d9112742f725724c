/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "fake_redis.h"
#include "redis_server.h"
#include "test_store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* From a URL to a store that is up, and what is in the way. Calls and what becomes of them: test_store_send.c. */

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

static int clear(void **state)
{
    (void)state;
    free(test_redis_command(server, "FLUSHALL", NULL));
    return 0;
}

static void expect_text(const char *expected, char *reply)
{
    assert_string_equal(reply, expected);
    free(reply);
}

/* A refused store tries again after 5 s, a connection that is refused too: a test does not wait so long. */
static void try_again_now(test_store *s)
{
    dq_redis_reconnect(dq_store_redis(s->store, 0, DQ_CONN_MAIN), "the test cannot wait");
}

/* How many scripts were sent since the last look. */
static long scripts_sent(void)
{
    char *text = test_redis_info(server, "cmdstat_script|load");
    long n = text ? strtol(strchr(text, '=') + 1, NULL, 10) : 0;

    free(text);
    free(test_redis_command(server, "CONFIG", "RESETSTAT", NULL));
    return n;
}

static void scripts_are_sent_when_they_are_not_there(void **state)
{
    test_store s;

    (void)state;
    free(test_redis_command(server, "SCRIPT", "FLUSH", NULL));
    (void)scripts_sent();
    for (int i = 0; i < 3; i++) {
        if (i == 2)
            free(test_redis_command(server, "SCRIPT", "FLUSH", NULL));
        test_store_open(&s, loop, test_redis_url(server), "sent", 1);
        test_store_until_up(&s);
        test_store_close(&s);
        assert_int_equal(scripts_sent(), i == 1 ? 0 : DQ_SCRIPT_COUNT - 1); /* meta_init came as text */
    }
}

/* ---- a prefix is made ---- */

static void a_new_prefix_is_made_with_its_shards_and_queues(void **state)
{
    test_store s;

    (void)state;
    test_store_open(&s, loop, test_redis_url(server), "made", 4);
    assert_false(dq_store_is_up(s.store));
    test_store_until_up(&s);
    assert_string_equal(s.said.ptr, "qu"); /* the queues are known when it is up */
    assert_int_equal(dq_store_keys(s.store)->n_shards, 4);
    assert_int_equal(dq_store_queues(s.store)->n, 3);
    assert_non_null(dq_queue_set_find(dq_store_queues(s.store), DQ_STR_LIT("normal")));
    expect_text("*4\r\n$1\r\n1\r\n$1\r\n4\r\n$1\r\n1\r\n$1\r\n1\r\n",
                test_redis_command(server, "HMGET", "made:meta", "schema", "shards", "scripts", "envelope", NULL));
    for (int i = 0; i < 4; i++) {
        char key[32];

        snprintf(key, sizeof(key), "{made:%d}:sh", i);
        expect_text("*2\r\n$1\r\n1\r\n$9\r\n268435456\r\n", test_redis_command(server, "HMGET", key, "qv", "hm", NULL));
        snprintf(key, sizeof(key), "{made:%d}:q", i);
        assert_int_equal(test_redis_command_int(server, "HLEN", key, NULL), 3);
    }
    test_store_close(&s);
}

static void an_existing_prefix_keeps_its_shards(void **state)
{
    test_store a, b;

    (void)state;
    test_store_open(&a, loop, test_redis_url(server), "kept", 3);
    test_store_until_up(&a);
    test_store_open(&b, loop, test_redis_url(server), "kept", 8);
    test_store_until_up(&b);
    assert_int_equal(dq_store_keys(b.store)->n_shards, 3);
    test_store_close(&a);
    test_store_close(&b);
}

static void several_that_come_at_once_make_one_prefix(void **state)
{
    test_store s[4];

    (void)state;
    for (unsigned i = 0; i < DQ_ARRAY_LEN(s); i++)
        test_store_open(&s[i], loop, test_redis_url(server), "raced", i + 1);
    for (unsigned i = 0; i < DQ_ARRAY_LEN(s); i++)
        test_store_until_up(&s[i]);
    for (unsigned i = 0; i < DQ_ARRAY_LEN(s); i++) {
        assert_int_equal(dq_store_keys(s[i].store)->n_shards, dq_store_keys(s[0].store)->n_shards);
        assert_int_equal(s[i].n_refused, 0);
    }
    for (unsigned i = 0; i < DQ_ARRAY_LEN(s); i++)
        test_store_close(&s[i]);
}

static void two_prefixes_do_not_see_each_other(void **state)
{
    static const char snapshot[] = "local t = redis.call('KEYS', '*one*') table.sort(t) "
                                   "for i, k in ipairs(t) do t[i] = k .. redis.sha1hex(redis.call('DUMP', k)) end return t";
    char *before, *after;
    test_store a, b;

    (void)state;
    test_store_open(&a, loop, test_redis_url(server), "one", 1);
    test_store_until_up(&a);
    (void)test_redis_command_int(server, "HSET", "one:config:queues", "bulk", "{\"weight\":2}", NULL);
    before = test_redis_command(server, "EVAL", snapshot, "0", NULL);
    test_store_open(&b, loop, test_redis_url(server), "two", 2);
    test_store_until_up(&b);
    after = test_redis_command(server, "EVAL", snapshot, "0", NULL);
    assert_string_equal(before, after);
    assert_int_equal(dq_store_queues(b.store)->n, 3);
    dq_store_refresh_queues(a.store);
    TEST_UNTIL(loop, a.n_queues == 2);
    assert_int_equal(dq_store_queues(a.store)->n, 4);
    assert_int_equal(b.n_queues, 1);
    free(before);
    free(after);
    test_store_close(&a);
    test_store_close(&b);
}

static void a_prefix_that_is_deleted_while_it_is_made_is_made_again(void **state)
{
    test_store s;

    (void)state;
    test_store_open(&s, loop, test_redis_url(server), "twice", 2);
    TEST_UNTIL(loop, test_redis_command_int(server, "EXISTS", "twice:config:queues", NULL) == 1);
    assert_int_equal(s.n_up, 0);
    free(test_redis_command(server, "FLUSHALL", NULL));
    test_store_until_up(&s);
    assert_int_equal(dq_store_queues(s.store)->n, 3);
    assert_int_equal(test_redis_command_int(server, "HLEN", "twice:config:queues", NULL), 3);
    assert_int_equal(test_redis_command_int(server, "HEXISTS", "twice:meta", "schema", NULL), 1);
    assert_int_equal(test_redis_command_int(server, "HEXISTS", "{twice:1}:sh", "v", NULL), 1);
    test_store_close(&s);
}

static void the_history_cap_follows_the_options(void **state)
{
    static const struct {
        int64_t option;
        const char *cap;
    } rows[] = {{1000000, "$6\r\n500000\r\n"}, {0, "$6\r\n500000\r\n"}, {-1, "$16\r\n1125899906842624\r\n"}, {2, "$1\r\n1\r\n"}};

    (void)state;
    for (size_t i = 0; i < DQ_ARRAY_LEN(rows); i++) {
        dq_store_options o = {.redis_url = test_redis_url(server), .shards = 2, .history_max_bytes = rows[i].option};
        test_store s;

        test_store_open_with(&s, loop, &o);
        test_store_until_up(&s);
        expect_text(rows[i].cap, test_redis_command(server, "HGET", "{dureq:1}:sh", "hm", NULL));
        test_store_close(&s);
    }
}

static void its_clock_is_the_servers(void **state)
{
    test_store s;

    (void)state;
    test_store_open(&s, loop, test_redis_url(server), NULL, 1);
    test_store_until_up(&s);
    assert_in_range(dq_store_now_ms(s.store, 0), dq_wall_ms() - 500, dq_wall_ms() + 500); /* here both are one */
    test_store_close(&s);
}

/* ---- options ---- */

static void wrong_options_are_refused_at_once(void **state)
{
    const dq_store_options rows[] = {
        {.redis_url = "http://localhost"},
        {.redis_url = ""},
        {.redis_url = "redis://localhost", .prefix = ""},
        {.redis_url = "redis://localhost", .prefix = "with space"},
        {.redis_url = "redis://localhost", .prefix = "with{brace"},
        {.redis_url = "redis://localhost", .shards = 1025},
        {.redis_url = "redis://localhost", .history_max_bytes = -2},
        {.redis_url = "rediss://localhost?ca=/nowhere"},
    };
    const dq_store_callbacks none = {0};

    (void)state;
    for (size_t i = 0; i < DQ_ARRAY_LEN(rows); i++) {
        dq_store *s = NULL;
        dureq_error err = {0};

        assert_int_equal(dq_store_create(loop, &rows[i], &none, &s, &err), DUREQ_EINVAL);
        assert_true(err.msg[0]);
        assert_null(s);
    }
}

/* ---- what is in the way ---- */

static void expect_refused_by(const fake_redis_options *peer, int code, const char *says)
{
    fake_redis *f = fake_redis_start(peer);
    test_store s;
    dureq_error err;

    test_store_open(&s, loop, fake_redis_url(f), NULL, 1);
    TEST_UNTIL(loop, s.n_refused == 1);
    assert_int_equal(s.refused.code, code);
    if (!strstr(s.refused.msg, says))
        fail_msg("\"%s\" does not say \"%s\"", s.refused.msg, says);
    dq_store_last_error(s.store, &err);
    assert_int_equal(err.code, code);
    assert_int_equal(s.n_up, 0);
    test_store_close(&s);
    fake_redis_stop(f);
}

static void a_server_too_old_is_refused(void **state)
{
    (void)state;
    expect_refused_by(&(fake_redis_options){.version = "6.2.14"}, DUREQ_ETOOOLD, "6.2.14");
    expect_refused_by(&(fake_redis_options){.version = "2.8.24", .no_hello = true}, DUREQ_ETOOOLD, "2.8.24");
}

static void a_server_that_does_not_say_what_it_is_is_refused(void **state)
{
    (void)state;
    expect_refused_by(&(fake_redis_options){.version = "seven"}, DUREQ_EPROTO, "version");
    expect_refused_by(&(fake_redis_options){.no_memory = true}, DUREQ_EPROTO, "maxmemory_policy");
}

/* The peer knows nothing of scripts: that it is asked for one says that its version was accepted. */
static void valkey_is_taken_by_its_own_version(void **state)
{
    (void)state;
    expect_refused_by(&(fake_redis_options){.version = "6.0.0", .more_info = "valkey_version:8.0.1\r\n"}, DUREQ_EREDIS,
                      "unknown command");
    expect_refused_by(&(fake_redis_options){.version = "10.0.0"}, DUREQ_EREDIS, "unknown command");
}

static void a_policy_that_drops_keys_is_refused_unless_allowed(void **state)
{
    dq_store_options o = {.redis_url = test_redis_url(server), .prefix = "evicted"};
    test_store s;

    (void)state;
    free(test_redis_command(server, "CONFIG", "SET", "maxmemory-policy", "allkeys-lru", NULL));
    test_store_open_with(&s, loop, &o);
    TEST_UNTIL(loop, s.n_refused == 1);
    assert_int_equal(s.refused.code, DUREQ_EPOLICY);
    assert_non_null(strstr(s.refused.msg, "allkeys-lru"));
    assert_int_equal(test_redis_command_int(server, "DBSIZE", NULL), 0); /* nothing was written yet */

    free(test_redis_command(server, "CONFIG", "SET", "maxmemory-policy", "noeviction", NULL));
    try_again_now(&s);
    test_store_until_up(&s);
    test_store_close(&s);

    free(test_redis_command(server, "CONFIG", "SET", "maxmemory-policy", "volatile-ttl", NULL));
    o.allow_eviction = true;
    test_store_open_with(&s, loop, &o);
    test_store_until_up(&s);
    assert_int_equal(s.n_refused, 0);
    test_store_close(&s);
    free(test_redis_command(server, "CONFIG", "SET", "maxmemory-policy", "noeviction", NULL));
}

static void a_newer_schema_is_refused_and_left_as_it_is(void **state)
{
    static const struct {
        const char *field, *value;
        int code;
    } rows[] = {
        {"schema", "2", DUREQ_ESCHEMA},   {"scripts", "999", DUREQ_ESCHEMA}, {"envelope", "2", DUREQ_ESCHEMA},
        {"schema", "0", DUREQ_EPROTO},    {"schema", "new", DUREQ_EPROTO},   {"shards", "0", DUREQ_EPROTO},
        {"shards", "many", DUREQ_EPROTO}, {"shards", "5000", DUREQ_EPROTO},
    };

    (void)state;
    for (size_t i = 0; i < DQ_ARRAY_LEN(rows); i++) {
        test_store s;

        free(test_redis_command(server, "FLUSHALL", NULL));
        (void)test_redis_command_int(server, "HSET", "newer:meta", rows[i].field, rows[i].value, NULL);
        test_store_open(&s, loop, test_redis_url(server), "newer", 1);
        TEST_UNTIL(loop, s.n_refused == 1);
        assert_int_equal(s.refused.code, rows[i].code);
        assert_non_null(strstr(s.refused.msg, rows[i].field));
        assert_int_equal(test_redis_command_int(server, "HLEN", "newer:meta", NULL), 1);
        assert_int_equal(test_redis_command_int(server, "DBSIZE", NULL), 1);
        test_store_close(&s);
    }
}

static void a_foreign_key_of_another_type_is_refused_by_name(void **state)
{
    static const char *const strings[] = {"taken:meta",    "taken:config:queues",     "{taken:0}:sh",
                                          "{taken:1}:q",   "{taken:1}:paused_queues", "{taken:1}:due",
                                          "{taken:0}:lane"};

    (void)state;
    for (size_t i = 0; i < DQ_ARRAY_LEN(strings); i++) {
        test_store s;

        free(test_redis_command(server, "FLUSHALL", NULL));
        free(test_redis_command(server, "SET", strings[i], "somebody else's", NULL));
        test_store_open(&s, loop, test_redis_url(server), "taken", 2);
        TEST_UNTIL(loop, s.n_refused == 1);
        assert_int_equal(s.refused.code, DUREQ_EWRONGTYPE);
        if (!strstr(s.refused.msg, strings[i]))
            fail_msg("\"%s\" does not name %s", s.refused.msg, strings[i]);
        expect_text("$15\r\nsomebody else's\r\n", test_redis_command(server, "GET", strings[i], NULL));
        assert_int_equal(test_redis_command_int(server, "DBSIZE", NULL), 1); /* nothing half done */

        free(test_redis_command(server, "DEL", strings[i], NULL));
        try_again_now(&s);
        test_store_until_up(&s);
        assert_int_equal(s.n_refused, 1); /* told once */
        test_store_close(&s);
    }
}

static void a_damaged_queue_definition_is_refused(void **state)
{
    test_store s;

    (void)state;
    (void)test_redis_command_int(server, "HSET", "dureq:config:queues", "normal", "{\"weight\":", NULL);
    test_store_open(&s, loop, test_redis_url(server), NULL, 1);
    TEST_UNTIL(loop, s.n_refused == 1);
    assert_int_equal(s.refused.code, DUREQ_EPROTO);
    assert_non_null(strstr(s.refused.msg, "normal"));
    assert_int_equal(test_redis_command_int(server, "DBSIZE", NULL), 1);
    test_store_close(&s);
}

static const char *url_as(const char *user_and_password)
{
    static char url[300];

    snprintf(url, sizeof(url), "unix://%s@%s", user_and_password, test_redis_socket(server));
    return url;
}

static void a_wrong_password_is_refused_and_mended(void **state)
{
    test_store s;

    (void)state;
    test_store_open(&s, loop, url_as("later:secret"), NULL, 1);
    TEST_UNTIL(loop, s.n_refused == 1);
    assert_int_equal(s.refused.code, DUREQ_EAUTH);
    free(test_redis_command(server, "ACL", "SETUSER", "later", "on", ">secret", "+@all", "~*", "&*", NULL));
    try_again_now(&s);
    test_store_until_up(&s);
    assert_string_equal(s.said.ptr, "rqu");
    test_store_close(&s);
    free(test_redis_command(server, "ACL", "DELUSER", "later", NULL));
}

/* What a user lacks is found before a job depends on it, and named. */
static void a_user_without_a_permission_is_refused(void **state)
{
    static const struct {
        const char *rule, *says;
    } rows[] = {{"-eval", "eval"},         {"-evalsha", "evalsha"}, {"-script", "script"},       {"-info", "info"},
                {"-hgetall", "hgetall"},   {"-hset", "hset"},       {"-multi", "multi"},         {"-exec", "exec"},
                {"-mget", "mget"},         {"-pubsub", "pubsub"},   {"-xrevrange", "xrevrange"}, {"-xreadgroup", "xreadgroup"},
                {"-spublish", "spublish"}, {"-xack", "xack"}};

    (void)state;
    for (size_t i = 0; i < DQ_ARRAY_LEN(rows); i++) {
        test_store s;

        free(test_redis_command(server, "ACL", "SETUSER", "less", "reset", "on", ">secret", "~*", "&*", "+@all", rows[i].rule,
                                NULL));
        test_store_open(&s, loop, url_as("less:secret"), "less", 1);
        TEST_UNTIL(loop, s.n_refused == 1);
        assert_int_equal(s.refused.code, DUREQ_EPERM);
        if (!strcasestr(s.refused.msg, rows[i].says))
            fail_msg("\"%s\" does not name %s", s.refused.msg, rows[i].says);
        assert_int_equal(test_redis_command_int(server, "DBSIZE", NULL), 0);
        test_store_close(&s);
    }
}

static void a_user_of_other_keys_is_refused(void **state)
{
    test_store s;

    (void)state;
    free(test_redis_command(server, "ACL", "SETUSER", "other", "reset", "on", ">secret", "~mine:*", "~{mine:*", "&*", "+@all",
                            NULL));
    test_store_open(&s, loop, url_as("other:secret"), "theirs", 1);
    TEST_UNTIL(loop, s.n_refused == 1);
    assert_int_equal(s.refused.code, DUREQ_EPERM);
    test_store_close(&s);
    test_store_open(&s, loop, url_as("other:secret"), "mine", 1);
    test_store_until_up(&s);
    test_store_close(&s);
}

static void a_replica_is_waited_for_not_refused(void **state)
{
    test_store s;

    (void)state;
    free(test_redis_command(server, "REPLICAOF", "127.0.0.1", "1", NULL));
    test_store_open(&s, loop, test_redis_url(server), NULL, 1);
    test_store_until_error(&s, DUREQ_EREADONLY);
    free(test_redis_command(server, "REPLICAOF", "NO", "ONE", NULL));
    test_store_until_up(&s);
    assert_int_equal(s.n_refused, 0);
    test_store_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(scripts_are_sent_when_they_are_not_there, clear),
        cmocka_unit_test_setup(a_new_prefix_is_made_with_its_shards_and_queues, clear),
        cmocka_unit_test_setup(an_existing_prefix_keeps_its_shards, clear),
        cmocka_unit_test_setup(several_that_come_at_once_make_one_prefix, clear),
        cmocka_unit_test_setup(two_prefixes_do_not_see_each_other, clear),
        cmocka_unit_test_setup(a_prefix_that_is_deleted_while_it_is_made_is_made_again, clear),
        cmocka_unit_test_setup(the_history_cap_follows_the_options, clear),
        cmocka_unit_test_setup(its_clock_is_the_servers, clear),
        cmocka_unit_test_setup(wrong_options_are_refused_at_once, clear),
        cmocka_unit_test_setup(a_server_too_old_is_refused, clear),
        cmocka_unit_test_setup(a_server_that_does_not_say_what_it_is_is_refused, clear),
        cmocka_unit_test_setup(valkey_is_taken_by_its_own_version, clear),
        cmocka_unit_test_setup(a_policy_that_drops_keys_is_refused_unless_allowed, clear),
        cmocka_unit_test_setup(a_newer_schema_is_refused_and_left_as_it_is, clear),
        cmocka_unit_test_setup(a_foreign_key_of_another_type_is_refused_by_name, clear),
        cmocka_unit_test_setup(a_damaged_queue_definition_is_refused, clear),
        cmocka_unit_test_setup(a_wrong_password_is_refused_and_mended, clear),
        cmocka_unit_test_setup(a_user_without_a_permission_is_refused, clear),
        cmocka_unit_test_setup(a_user_of_other_keys_is_refused, clear),
        cmocka_unit_test_setup(a_replica_is_waited_for_not_refused, clear),
    };

    return cmocka_run_group_tests(tests, start, stop);
}
