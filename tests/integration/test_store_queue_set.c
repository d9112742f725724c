/* SPDX-License-Identifier: Apache-2.0 */
#include "store/queue_calls.h"
#include "test_jobs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* queue_set.lua and queue_define.lua, and the change of a queue that is made of them. */

static int64_t set(test_world *w, unsigned shard, const char *action, const dq_queue *q)
{
    dq_buf call = {0};

    dq_call_queue_set(&call, dq_store_keys(w->s.store), shard, DQ_STR_LIT("me"), action, q);
    return dq_reply_int(test_store_call(&w->s, shard, &call, NULL));
}

static bool define(test_world *w, const char *name, const char *seen, const char *json)
{
    dq_buf call = {0};

    dq_call_queue_define(&call, dq_store_keys(w->s.store), dureq_str_from(name), dureq_str_from(seen), dureq_str_from(json));
    return dq_reply_int(test_store_call(&w->s, 0, &call, NULL)) == 1;
}

static int64_t version_of(test_world *w, unsigned shard)
{
    return dq_reply_int(test_key(w, "HGET", shard, "sh", DQ_STR_LIT("qv")));
}

/* ---- queue_set ---- */

static void a_shard_is_brought_up_to_a_definition(void **state)
{
    test_world *w = *state;
    dq_queue q = {.name = DQ_STR_LIT("bulk"), .weight = 2, .max_len = 1000, .retention_ms = 3600000, .paused = true};

    w->is_damaged = true; /* the definition is not written */
    for (unsigned i = 0; i < w->n_shards; i++) {
        int64_t before = version_of(w, i);
        dureq_str row;

        assert_int_equal(dq_store_subscribe(w->s.store, i, "ctl", (dureq_str){0}), 0);
        assert_int_equal(set(w, i, "queue.set", &q), before + 1);
        assert_int_equal(version_of(w, i), before + 1);
        row = dq_reply_str(test_key(w, "HGET", i, "q", DQ_STR_LIT("bulk")));
        assert_int_equal(row.len, 13);
        assert_memory_equal(row.ptr, "\0\0\0\0\x03\xe8\1\0\0\0\x36\xee\x80", 13);
        assert_int_equal(dq_reply_int(test_key(w, "SISMEMBER", i, "paused_queues", DQ_STR_LIT("bulk"))), 1);
        q.paused = false;
        assert_int_equal(set(w, i, "queue.resume", &q), before + 2);
        assert_int_equal(dq_reply_int(test_key(w, "SISMEMBER", i, "paused_queues", DQ_STR_LIT("bulk"))), 0);
        q.paused = true;
    }
}

/* Producers of plain calls hold the token: it must be another one after every change. */
static void the_token_changes_with_every_change(void **state)
{
    test_world *w = *state;
    dq_queue q = {.name = DQ_STR_LIT("normal"), .weight = 3};
    char seen[4][64];

    for (int i = 0; i < 4; i++) {
        dureq_str token = dq_reply_str(test_key(w, "HGET", 0, "sh", DQ_STR_LIT("v")));

        snprintf(seen[i], sizeof(seen[i]), DQ_STR_FMT, DQ_STR_ARG(token));
        for (int k = 0; k < i; k++)
            assert_string_not_equal(seen[k], seen[i]);
        /* What a token begins with says which prefix it is of, should that be made again with the same versions. */
        assert_true(i == 0 || strncmp(seen[0], seen[i], strcspn(seen[0], ".") + 1) == 0);
        (void)set(w, 0, "queue.set", &q);
    }
}

static void who_knows_an_older_one_is_told(void **state)
{
    test_world *w = *state;
    dq_queue q = {.name = DQ_STR_LIT("normal"), .weight = 3};
    unsigned last = w->n_shards - 1;
    char message[32];

    assert_int_equal(dq_store_subscribe(w->s.store, last, "ctl", (dureq_str){0}), 0);
    (void)set(w, last, "queue.set", &q);
    snprintf(message, sizeof(message), "%u ctl=P;", last);
    test_until_message(w, message);
}

static void a_change_of_the_row_is_audited_with_who_did_it(void **state)
{
    test_world *w = *state;
    dq_queue q = {.name = DQ_STR_LIT("normal"), .weight = 3, .paused = true};
    dq_reply audit, fields;

    w->is_damaged = true; /* as above */
    (void)set(w, 0, "queue.pause", &q);
    (void)set(w, 0, "queue.pause", &q); /* the same again: nothing to tell of */
    audit = test_command(w, "XRANGE", "{dureq:0}:au", "-", "+", NULL);
    assert_int_equal(dq_reply_len(audit), 1);
    fields = dq_reply_at(dq_reply_at(audit, 0), 1);
    assert_true(dq_str_eq_text(dq_reply_str(dq_reply_lookup(fields, "actor")), "me"));
    assert_true(dq_str_eq_text(dq_reply_str(dq_reply_lookup(fields, "action")), "queue.pause"));
    assert_true(dq_str_eq_text(dq_reply_str(dq_reply_lookup(fields, "target")), "normal"));
}

/* A token made here would be the same each time, and what producers keep under it, too. */
static void a_shard_that_is_not_initialised_is_left_alone(void **state)
{
    test_world *w = *state;
    dq_queue q = {.name = DQ_STR_LIT("normal"), .weight = 3, .paused = true};

    free(test_redis_command(w->server, "FLUSHALL", NULL));
    for (unsigned i = 0; i < w->n_shards; i++)
        assert_int_equal(set(w, i, "queue.set", &q), 0);
    assert_int_equal(test_redis_command_int(w->server, "DBSIZE", NULL), 0);
}

/* ---- queue_define ---- */

static void a_definition_is_written_only_over_what_was_seen(void **state)
{
    test_world *w = *state;

    w->is_damaged = true;
    assert_true(define(w, "bulk", "", "{\"weight\":2}"));
    assert_false(define(w, "bulk", "", "{\"weight\":9}"));
    assert_false(define(w, "bulk", "{\"weight\":1}", "{\"weight\":9}"));
    assert_true(dq_str_eq_text(dq_reply_str(test_command(w, "HGET", "dureq:config:queues", "bulk", NULL)), "{\"weight\":2}"));
    assert_true(define(w, "bulk", "{\"weight\":2}", "{\"weight\":3}"));
    assert_false(define(w, "none", "{\"weight\":2}", "{\"weight\":3}"));
    assert_int_equal(dq_reply_int(test_command(w, "HEXISTS", "dureq:config:queues", "none", NULL)), 0);
}

static void nothing_is_defined_where_no_queue_is(void **state)
{
    test_world *w = *state;
    dq_buf call = {0};

    free(test_redis_command(w->server, "FLUSHALL", NULL));
    dq_call_queue_define(&call, dq_store_keys(w->s.store), DQ_STR_LIT("bulk"), DQ_STR_LIT(""), DQ_STR_LIT("{\"weight\":2}"));
    assert_int_equal(dq_reply_int(test_store_call(&w->s, 0, &call, NULL)), -1);
    assert_int_equal(test_redis_command_int(w->server, "DBSIZE", NULL), 0);
}

/* ---- the change ---- */

typedef struct outcome {
    int calls, code;
    bool differs;
} outcome;

static void on_changed(void *userdata, int code, bool differs, const dureq_error *err)
{
    outcome *o = userdata;

    assert_int_equal(err->code, code);
    o->calls++;
    o->code = code;
    o->differs = differs;
}

static outcome change(test_world *w, dq_queue_verb verb, const char *name, const dq_queue *wanted)
{
    outcome o = {0};

    assert_int_equal(
        dq_store_change_queue(w->s.store, verb, dureq_str_from(name), wanted, DQ_STR_LIT("me"), on_changed, &o, NULL), 0);
    assert_int_equal(o.calls, 0);
    TEST_UNTIL(w->s.loop, o.calls == 1);
    return o;
}

static const dq_queue *known(test_world *w, const char *name)
{
    return dq_queue_set_find(dq_store_queues(w->s.store), dureq_str_from(name));
}

static void a_new_queue_is_in_the_definitions_and_in_every_shard(void **state)
{
    test_world *w = *state;
    dq_queue q = {.name = DQ_STR_LIT("bulk"), .weight = 2, .max_len = 10};

    assert_int_equal(change(w, DQ_QUEUE_SET, "bulk", &q).code, 0);
    TEST_UNTIL(w->s.loop, known(w, "bulk"));
    assert_int_equal(known(w, "bulk")->max_len, 10);
    for (unsigned i = 0; i < w->n_shards; i++)
        assert_int_equal(dq_reply_int(test_key(w, "HEXISTS", i, "q", DQ_STR_LIT("bulk"))), 1);
}

static void an_existing_queue_is_left_alone_if_asked(void **state)
{
    test_world *w = *state;
    dq_queue q = {.name = DQ_STR_LIT("bulk"), .weight = 2};
    outcome o;

    assert_int_equal(change(w, DQ_QUEUE_SET_IF_MISSING, "bulk", &q).code, 0);
    o = change(w, DQ_QUEUE_SET_IF_MISSING, "bulk", &q);
    assert_int_equal(o.code, 0);
    assert_false(o.differs);
    q.weight = 7;
    o = change(w, DQ_QUEUE_SET_IF_MISSING, "bulk", &q);
    assert_true(o.differs);
    TEST_UNTIL(w->s.loop, known(w, "bulk"));
    assert_int_equal(known(w, "bulk")->weight, 2);
}

static void a_pause_stays_when_the_queue_is_changed(void **state)
{
    test_world *w = *state;
    dq_queue q = {.name = DQ_STR_LIT("normal"), .weight = 9};

    assert_int_equal(change(w, DQ_QUEUE_PAUSE, "normal", NULL).code, 0);
    assert_int_equal(change(w, DQ_QUEUE_SET, "normal", &q).code, 0);
    TEST_UNTIL(w->s.loop, known(w, "normal")->weight == 9);
    assert_true(known(w, "normal")->paused);
    for (unsigned i = 0; i < w->n_shards; i++)
        assert_int_equal(dq_reply_int(test_key(w, "SISMEMBER", i, "paused_queues", DQ_STR_LIT("normal"))), 1);
    assert_int_equal(change(w, DQ_QUEUE_RESUME, "normal", NULL).code, 0);
    TEST_UNTIL(w->s.loop, !known(w, "normal")->paused);
    for (unsigned i = 0; i < w->n_shards; i++)
        assert_int_equal(dq_reply_int(test_key(w, "SCARD", i, "paused_queues", (dureq_str){0})), 0);
}

static void a_queue_that_is_not_there_cannot_be_paused(void **state)
{
    test_world *w = *state;

    assert_int_equal(change(w, DQ_QUEUE_PAUSE, "none", NULL).code, DUREQ_ENOTFOUND);
    assert_int_equal(change(w, DQ_QUEUE_RESUME, "none", NULL).code, DUREQ_ENOTFOUND);
}

/* ---- the change of what was deleted ---- */

/* The server is asked by a connection of the test's: the store has none now and then. */
static bool shard_is_whole(const test_world *w, unsigned shard, int n_queues)
{
    char sh[32], rows[32];

    snprintf(sh, sizeof(sh), "{dureq:%u}:sh", shard);
    snprintf(rows, sizeof(rows), "{dureq:%u}:q", shard);
    return test_redis_command_int(w->server, "HEXISTS", sh, "v", NULL) == 1 &&
           test_redis_command_int(w->server, "HLEN", rows, NULL) == n_queues;
}

static bool is_whole(test_world *w)
{
    int n_queues = known(w, "bulk") ? 4 : 3;
    bool whole = dq_store_is_up(w->s.store) && known(w, "normal") &&
                 test_redis_command_int(w->server, "HEXISTS", "dureq:meta", "schema", NULL) == 1 &&
                 test_redis_command_int(w->server, "HLEN", "dureq:config:queues", NULL) == n_queues;

    for (unsigned i = 0; i < w->n_shards; i++)
        whole = whole && shard_is_whole(w, i, n_queues);
    return whole;
}

static void a_change_on_a_deleted_prefix_makes_it_anew_first(void **state)
{
    test_world *w = *state;
    dq_queue q = {.name = DQ_STR_LIT("bulk"), .weight = 2, .max_len = 10};

    for (int round = 1; round <= 2; round++) {
        free(test_redis_command(w->server, "FLUSHALL", NULL));
        assert_int_equal(change(w, DQ_QUEUE_SET, "bulk", &q).code, 0);
        assert_false(w->s.same_server);
        assert_non_null(known(w, "bulk"));
        assert_true(is_whole(w));
        free(test_redis_command(w->server, "FLUSHALL", NULL));
        assert_int_equal(change(w, DQ_QUEUE_PAUSE, "normal", NULL).code, 0);
        assert_true(known(w, "normal")->paused);
        assert_null(known(w, "bulk"));
        assert_true(is_whole(w));
    }
    free(test_redis_command(w->server, "FLUSHALL", NULL));
    assert_int_equal(change(w, DQ_QUEUE_RESUME, "bulk", NULL).code, DUREQ_ENOTFOUND);
    assert_true(is_whole(w));
    assert_int_equal(w->s.n_down, 5);
    w->s.n_down = 0; /* these are what is tested */
}

static void a_deletion_in_the_middle_of_a_change_leaves_no_half_made_prefix(void **state)
{
    enum { TURNS_MAX = 16 };
    test_world *w = *state;
    dq_queue q = {.name = DQ_STR_LIT("bulk"), .weight = 2, .max_len = 10};

    for (int turns = 0; turns <= TURNS_MAX; turns++) {
        outcome o = {0};
        test_wait wait;

        assert_int_equal(dq_store_change_queue(w->s.store, DQ_QUEUE_SET, q.name, &q, DQ_STR_LIT("me"), on_changed, &o, NULL), 0);
        test_wait_begin(&wait, w->s.loop, TEST_LIMIT_MS);
        for (int i = 0; i < turns && o.calls == 0; i++)
            assert_true(test_wait_turn(&wait));
        test_wait_end(&wait);
        free(test_redis_command(w->server, "FLUSHALL", NULL));
        TEST_UNTIL(w->s.loop, o.calls == 1);
        assert_int_equal(o.code, 0);
        assert_non_null(known(w, "normal")); /* what is not there is not taken for the queues */
        dq_store_refresh_queues(w->s.store); /* it may have come after all */
        TEST_UNTIL(w->s.loop, is_whole(w));
    }
    w->s.n_down = 0; /* these are what is tested */
}

static void a_change_on_a_shard_that_was_deleted_initialises_it_first(void **state)
{
    test_world *w = *state;
    dq_queue q = {.name = DQ_STR_LIT("bulk"), .weight = 2, .max_len = 10};
    char token[64];

    w->is_damaged = true; /* the sessions of the shard are gone, too */
    snprintf(token, sizeof(token), DQ_STR_FMT, DQ_STR_ARG(dq_reply_str(test_key(w, "HGET", 0, "sh", DQ_STR_LIT("v")))));
    (void)test_key(w, "DEL", 0, "sh", (dureq_str){0});
    assert_int_equal(change(w, DQ_QUEUE_SET, "bulk", &q).code, 0);
    assert_non_null(known(w, "bulk"));
    assert_true(is_whole(w));
    dureq_str now = dq_reply_str(test_key(w, "HGET", 0, "sh", DQ_STR_LIT("v")));
    assert_int_equal(now.len, 18);
    assert_memory_not_equal(now.ptr, token, 16);
    assert_int_equal(w->s.n_down, 1);
    w->s.n_down = 0;
}

/* Two stores change the same queue at once, again and again: definitions and shards end up the same, whoever was last. */
static void changes_that_race_converge(void **state)
{
    test_world *w = *state;
    test_store other;
    outcome o[40] = {0};

    test_store_open(&other, w->s.loop, test_redis_url(w->server), NULL, 1);
    test_store_until_up(&other);
    for (int i = 0; i < 40; i++) {
        dq_queue q = {.name = DQ_STR_LIT("normal"), .weight = 1 + i, .max_len = 100 + i};
        dq_store *s = i % 2 ? other.store : w->s.store;
        dq_queue_verb verb = i % 5 == 3 ? DQ_QUEUE_PAUSE : i % 5 == 4 ? DQ_QUEUE_RESUME : DQ_QUEUE_SET;

        assert_int_equal(dq_store_change_queue(s, verb, DQ_STR_LIT("normal"), verb == DQ_QUEUE_SET ? &q : NULL, DQ_STR_LIT("me"),
                                               on_changed, &o[i], NULL),
                         0);
    }
    for (int i = 0; i < 40; i++) {
        TEST_UNTIL(w->s.loop, o[i].calls == 1);
        assert_true(o[i].code == 0 || o[i].code == DUREQ_ECONFLICT);
    }
    for (unsigned i = 1; i < w->n_shards; i++) {
        char first[16] = {0}, row[16] = {0};
        dureq_str v = dq_reply_str(test_key(w, "HGET", 0, "q", DQ_STR_LIT("normal")));

        memcpy(first, v.ptr, v.len);
        v = dq_reply_str(test_key(w, "HGET", i, "q", DQ_STR_LIT("normal")));
        memcpy(row, v.ptr, v.len);
        assert_memory_equal(first, row, 13);
    }
    test_store_close(&other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_WORLDS(a_shard_is_brought_up_to_a_definition),
        TEST_WORLDS(the_token_changes_with_every_change),
        TEST_WORLDS(who_knows_an_older_one_is_told),
        TEST_WORLDS(a_change_of_the_row_is_audited_with_who_did_it),
        TEST_WORLDS(a_shard_that_is_not_initialised_is_left_alone),
        TEST_WORLDS(nothing_is_defined_where_no_queue_is),
        TEST_WORLDS(a_definition_is_written_only_over_what_was_seen),
        TEST_WORLDS(a_new_queue_is_in_the_definitions_and_in_every_shard),
        TEST_WORLDS(an_existing_queue_is_left_alone_if_asked),
        TEST_WORLDS(a_pause_stays_when_the_queue_is_changed),
        TEST_WORLDS(a_queue_that_is_not_there_cannot_be_paused),
        TEST_WORLDS(a_change_on_a_deleted_prefix_makes_it_anew_first),
        TEST_WORLDS(a_deletion_in_the_middle_of_a_change_leaves_no_half_made_prefix),
        TEST_WORLDS(a_change_on_a_shard_that_was_deleted_initialises_it_first),
        TEST_WORLDS(changes_that_race_converge),
    };

    return cmocka_run_group_tests(tests, test_world_group_start, test_world_group_stop);
}
