/* SPDX-License-Identifier: Apache-2.0 */
/* The doctor on a prefix that is worked on meanwhile, by the client's own calls, and over two shards: it must find nothing wrong there. */
#include "base/mutex.h"
#include "doctor/doctor.h"
#include "redis_server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define ROUNDS     40 /* of the operator */
#define JOBS_ROUND 16

static test_redis *server;

static dureq_client *open_client(const char *prefix, int shards)
{
    dureq_client_options o = dureq_client_options_init();
    dureq_client *c = NULL;
    dureq_error err = {0};

    o.redis_url = test_redis_url(server);
    o.prefix = prefix;
    o.shards = shards;
    if (dureq_client_create(&o, &c, &err) < 0)
        fail_msg("client: %s", err.msg);
    return c;
}

static int start(void **state)
{
    (void)state;
    server = test_redis_start(NULL);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    test_redis_stop(server);
    return 0;
}

static void assert_clean(dureq_client *c, bool repair)
{
    dq_doctor_options o = {.repair = repair};
    dq_doctor_report r;
    dureq_error err = {0};

    if (dq_doctor_run(c, &o, &r, &err) < 0)
        fail_msg("doctor: %s", err.msg);
    for (size_t i = 0; i < r.n_faults; i++)
        print_error("  %s %s %s: %s\n", dq_fault_kind_to_str(r.faults[i].kind), r.faults[i].key, r.faults[i].id,
                    r.faults[i].text);
    assert_int_equal(r.n_found, 0);
    dq_doctor_report_deinit(&r);
}

/* ---- an operator at work ---- */

typedef struct operator_thread {
    dureq_client *client;
    char *large; /* a payload that is a key of its own */
    atomic_bool done;
    int failed; /* calls that failed with what cannot be; read after the join */
} operator_thread;

/* What became of the job meanwhile decides whether a call is possible. */
static void note(operator_thread *t, int rc)
{
    if (rc < 0 && rc != DUREQ_ENOTFOUND && rc != DUREQ_ECONFLICT && rc != DUREQ_EDUPLICATE && rc != DUREQ_ELIMIT) {
        print_error("operator: %s\n", dureq_errcode_name(rc));
        t->failed++;
    }
}

static void enqueue_round(operator_thread *t, int round, dureq_enqueue_result *results)
{
    dureq_job_options o[JOBS_ROUND];
    dureq_job_spec specs[JOBS_ROUND];
    char keys[JOBS_ROUND][32];

    for (int i = 0; i < JOBS_ROUND; i++) {
        o[i] = dureq_job_options_init();
        (void)snprintf(keys[i], sizeof keys[i], "key-%d-%d", round % 3, i);
        if (i % 2)
            o[i].unique_key = dureq_str_from(keys[i]);
        if (i % 3 == 0)
            o[i].request_id = dureq_str_from(keys[i]);
        o[i].delay_ms = i % 4 == 0 ? 3600000 : 0;
        o[i].schedule_to_start_timeout_ms = i % 5 == 0 ? 7200000 : 0;
        o[i].retention_ms = i % 7 == 0 ? -1 : i % 6 == 0 ? 3600000 : 0;
        specs[i] = (dureq_job_spec){
            .task_type = i % 2 ? "mail" : "report",
            .payload = dureq_str_of(t->large, i % 8 == 0 ? 40000 : 20),
            .options = &o[i],
        };
    }
    note(t, dureq_client_enqueue_many(t->client, specs, JOBS_ROUND, results, NULL));
}

static void operate(operator_thread *t, int i, const char *id)
{
    dureq_client *c = t->client;

    switch (i % 8) {
    case 0: note(t, dureq_client_run_now(c, id, NULL)); break;
    case 1: note(t, dureq_client_cancel(c, id, "live", NULL)); break;
    case 2:
        note(t, dureq_client_cancel(c, id, "live", NULL));
        note(t, dureq_client_retry(c, id, false, NULL));
        break;
    case 3:
        note(t, dureq_client_pause(c, id, NULL));
        note(t, dureq_client_resume(c, id, NULL));
        break;
    case 4: note(t, dureq_client_reschedule(c, id, INT64_C(4000000000000), NULL)); break;
    case 5:
        note(t, dureq_client_cancel(c, id, "live", NULL));
        note(t, dureq_client_delete(c, id, NULL));
        break;
    case 6: note(t, dureq_client_pause(c, id, NULL)); break;
    default: note(t, dureq_client_update_payload(c, id, dureq_str_of(t->large, i == 7 ? 40000 : 10), "text/plain", NULL)); break;
    }
}

static void *operator_main(void *arg)
{
    operator_thread *t = arg;

    for (int round = 0; round < ROUNDS; round++) {
        dureq_enqueue_result results[JOBS_ROUND];
        dureq_queue_options q = dureq_queue_options_init();

        enqueue_round(t, round, results);
        for (int i = 0; i < JOBS_ROUND; i++)
            if (results[i].code == 0)
                operate(t, i, results[i].id.text);
        q.weight = 1 + round % 5;
        q.max_len = 1000000 + round;
        note(t, dureq_client_set_queue(t->client, "bulk", &q, false, NULL, NULL));
        note(t,
             round % 2 ? dureq_client_pause_queue(t->client, "bulk", NULL) : dureq_client_resume_queue(t->client, "bulk", NULL));
        if (round % 16 == 15)
            note(t, dureq_client_purge_queue(t->client, "normal", NULL, NULL));
    }
    atomic_store(&t->done, true);
    return NULL;
}

static void examine_live(const char *prefix, int shards)
{
    operator_thread t = {.client = open_client(prefix, shards), .large = dq_calloc(1, 40000)};
    dureq_client *c = open_client(prefix, shards);
    pthread_t thread;

    memset(t.large, 'x', 40000);
    assert_int_equal(dq_thread_start(&thread, "operator", 0, operator_main, &t, NULL), 0);
    for (int i = 0; !atomic_load(&t.done); i++)
        assert_clean(c, /*repair=*/i % 2 != 0);
    (void)pthread_join(thread, NULL);
    assert_int_equal(t.failed, 0);
    assert_clean(c, false);
    dureq_client_destroy(t.client);
    dureq_client_destroy(c);
    dq_free(t.large);
}

static void test_nothing_is_found_while_an_operator_works(void **state)
{
    (void)state;
    examine_live("one", 1);
}

static void test_nothing_is_found_over_two_shards(void **state)
{
    (void)state;
    examine_live("two", 2);
}

/* ---- keys of other shards ---- */

static void eval(const char *lua)
{
    DQ_BUF_AUTO text = {0};

    dq_buf_append_text(&text, "local K, O, c, pack = '{two:0}:', '{two:1}:', redis.call, struct.pack\n"
                              "local T = 1000000\n"
                              "local function id(seq) return pack('>I6I4I3', T, seq * 16, 1024 + 1) end\n"
                              "local function keyed(key)\n"
                              "  return '\\1\\128\\8' .. string.char(#key) .. key .. '\\0' .. pack('>I2', 1) .. 'payload'\n"
                              "end\n");
    dq_buf_append_text(&text, lua);
    char *reply = test_redis_command(server, "EVAL", text.ptr, "0", NULL);
    if (reply[0] == '-')
        fail_msg("%s in: %s", reply, lua);
    free(reply);
}

static void assert_one(dureq_client *c, bool repair, dq_fault_kind kind, const char *key)
{
    dq_doctor_options o = {.repair = repair, .settle_ms = 40};
    dq_doctor_report r;

    assert_int_equal(dq_doctor_run(c, &o, &r, NULL), 0);
    assert_int_equal(r.n_found, 1);
    assert_int_equal(r.faults[0].kind, kind);
    assert_string_equal(r.faults[0].key, key);
    assert_int_equal(r.faults[0].repaired, repair);
    dq_doctor_report_deinit(&r);
}

static void test_a_key_and_its_job_on_another_shard(void **state)
{
    dureq_client *c;

    (void)state;
    free(test_redis_command(server, "FLUSHALL", NULL));
    c = open_client("two", 2);
    eval("c('RPUSH', O .. 'lane', 'normal|mail|1')\n"
         "c('HSET', O .. 'lanes', 'normal|mail|1', 1)\n"
         "c('SADD', O .. 'ql:normal', 1)\n"
         "c('XGROUP', 'CREATE', O .. 'f:1', 'g', '0', 'MKSTREAM')\n"
         "c('XGROUP', 'CREATE', O .. 'l:1', 'g', '0', 'MKSTREAM')\n"
         "c('XADD', O .. 'l:1', T .. '-1', 'j', keyed('k'))\n"
         "c('SET', K .. 'u:k', 'X' .. pack('>I2', 1) .. id(1))");
    assert_clean(c, false);

    /* The job ends: its outbox says so, and nobody applies it as there is no leader. */
    eval("c('XDEL', O .. 'l:1', T .. '-1') c('HSET', O .. 'ob', 'rk', id(1))");
    assert_clean(c, false);

    /* With a leader at work a row in the outbox does not stay. */
    eval("local t = c('TIME')\n"
         "c('HSET', O .. 's:1', 'st', 'live') c('ZADD', O .. 'lease', 1000, 1)\n"
         "c('HSET', O .. 'sh', 'tk', 1, 'te', 1, 'tu', t[1] * 1000 + 3600000, 'ss', 1)");
    assert_one(c, /*repair=*/false, DQ_FAULT_OUTBOX_STALE, "{two:1}:ob");

    /* The row is gone and the key is still held. */
    eval("c('DEL', O .. 'ob')");
    assert_one(c, /*repair=*/false, DQ_FAULT_KEY_STALE, "{two:0}:u:k");
    assert_one(c, /*repair=*/true, DQ_FAULT_KEY_STALE, "{two:0}:u:k");
    assert_clean(c, false);
    dureq_client_destroy(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_is_found_while_an_operator_works),
        cmocka_unit_test(test_nothing_is_found_over_two_shards),
        cmocka_unit_test(test_a_key_and_its_job_on_another_shard),
    };

    return cmocka_run_group_tests(tests, start, stop);
}
