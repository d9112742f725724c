/* SPDX-License-Identifier: Apache-2.0 */
#include "test_jobs.h"

#include "doctor/doctor.h"
#include "store/enqueue_calls.h"
#include "store/session_calls.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define LEADER_LEASE_MS 60000

static const dq_keys *keys(const test_world *w)
{
    return dq_store_keys(w->s.store);
}

/* ---- life ---- */

void test_world_open(test_world *w, dq_loop *loop, test_redis *server, unsigned n_shards)
{
    *w = (test_world){.server = server, .n_shards = n_shards};
    assert_true(n_shards <= DQ_ARRAY_LEN(w->leader));
    free(test_redis_command(server, "FLUSHALL", NULL));
    test_store_open(&w->s, loop, test_redis_url(server), NULL, n_shards);
    test_store_until_up(&w->s);
    for (unsigned i = 0; i < n_shards; i++) {
        (void)test_plant(w, i, NULL, "call('HSET', K .. 'sh', 'ss', 0)"); /* sessions of tests count from 1 */
        w->leader[i].session = test_session_open(w, i, "leader", LEADER_LEASE_MS);
        w->leader[i].epoch =
            dq_reply_int(dq_reply_at(test_session_beat(w, i, w->leader[i].session, LEADER_LEASE_MS, true, NULL), 1));
        assert_int_equal(w->leader[i].epoch, 1);
    }
}

static void expect_healthy(test_world *w)
{
    dureq_client_options o = dureq_client_options_init();
    dq_doctor_options look = {0};
    dq_doctor_report report;
    dureq_client *client;
    dureq_error err = {0};

    o.redis_url = test_redis_url(w->server);
    if (dureq_client_create(&o, &client, &err) < 0)
        fail_msg("the doctor's client: %s", err.msg);
    if (dq_doctor_run(client, &look, &report, &err) < 0)
        fail_msg("the doctor: %s", err.msg);
    for (size_t i = 0; i < report.n_faults; i++)
        print_error("  %s: %s %s: %s\n", dq_fault_kind_to_str(report.faults[i].kind), report.faults[i].key, report.faults[i].id,
                    report.faults[i].text);
    assert_int_equal(report.n_found, 0);
    dq_doctor_report_deinit(&report);
    dureq_client_destroy(client);
}

void test_world_close(test_world *w)
{
    if (!w->is_damaged)
        expect_healthy(w);
    assert_int_equal(w->s.n_down, 0);
    test_store_close(&w->s);
}

static test_redis *group_server;
static dq_loop *group_loop;
static test_world world;

int test_world_group_start(void **state)
{
    (void)state;
    group_server = test_redis_start(NULL);
    group_loop = test_loop_create();
    return 0;
}

int test_world_group_stop(void **state)
{
    (void)state;
    dq_loop_destroy(group_loop);
    test_redis_stop(group_server);
    return 0;
}

int test_world_setup_one(void **state)
{
    test_world_open(&world, group_loop, group_server, 1);
    *state = &world;
    return 0;
}

int test_world_setup_four(void **state)
{
    test_world_open(&world, group_loop, group_server, 4);
    *state = &world;
    return 0;
}

int test_world_teardown(void **state)
{
    test_world_close(*state);
    return 0;
}

/* ---- producers ---- */

/* The only job of a call. */
static int read_job(dureq_str answer, unsigned shard, test_id *ret)
{
    dq_enqueue_answer a = dq_enqueue_answer_of(answer, shard);
    dq_id id = {0};
    int result = dq_enqueue_answer_next(&a, &id);

    assert_true(result >= 0);
    if (result == DQ_ENQUEUE_ACCEPTED || result == DQ_ENQUEUE_KEY_HELD || result == DQ_ENQUEUE_KNOWN)
        dq_id_pack(&id, (unsigned char *)ret->bytes);
    return result;
}

int test_job_add_code(test_world *w, unsigned shard, const dureq_job_options *o, const char *type, const char *payload,
                      test_id *ret)
{
    dureq_job_options none = dureq_job_options_init();
    dureq_job_spec spec = {.task_type = type, .payload = dureq_str_from(payload), .options = o ? o : &none};
    dq_enqueue_head head = {.shard = shard, .producer = DQ_STR_LIT("test"), .number = (uint64_t)++w->call_no};
    dureq_error err = {0};
    DQ_BUF_AUTO lane = {0};
    DQ_BUF_AUTO j = {0};
    DQ_BUF_AUTO args = {0};
    dq_enqueue_job job;
    dureq_str name;
    dq_buf call = {0};

    if (dq_job_spec_check(&spec, 1 << 20, &err) < 0)
        fail_msg("%s", err.msg);
    dq_buf_append_fmt(&lane, "%s|%s|", o && o->queue ? o->queue : "normal", type);
    name = dq_buf_str(&lane);
    dq_envelope_pack(&j, &spec, -1);
    dq_enqueue_pack(&args, &spec, spec.options, &j, &job);
    dq_enqueue e = dq_enqueue_begin(&call, keys(w), &head, &name, 1);
    dq_enqueue_add(&e, 0, &args, &job, (dureq_str){0}); /* without a reservation: its key is at home here */
    dq_enqueue_end(&e);
    return read_job(dq_reply_str(test_store_call(&w->s, shard, &call, NULL)), shard, ret);
}

test_id test_job_add(test_world *w, unsigned shard, const dureq_job_options *o, const char *type, const char *payload)
{
    test_id id;

    assert_int_equal(test_job_add_code(w, shard, o, type, payload, &id), 0);
    return id;
}

uint32_t test_lane(test_world *w, unsigned shard, const char *lane_name)
{
    return (uint32_t)dq_reply_int(test_key(w, "HGET", shard, "lanes", dureq_str_from(lane_name)));
}

/* ---- workers ---- */

uint64_t test_session_open(test_world *w, unsigned shard, const char *node_id, int64_t lease_ms)
{
    dq_buf call = {0};

    dq_call_session_open(&call, keys(w), shard, &(dq_session_opening){.node_id = node_id, .info = "{}", .lease_ms = lease_ms});
    return (uint64_t)dq_reply_int(dq_reply_at(test_store_call(&w->s, shard, &call, NULL), 0));
}

const test_id test_blame_suspects;

/* A heartbeat with at most one start; blamed: NULL for everybody. */
static dq_reply beat(test_world *w, unsigned shard, uint64_t session, int64_t lease_ms, bool leader, const test_id *started,
                     int64_t at_ms, const test_id *blamed, int *ret_code)
{
    dq_beat_head head = {
        .session = session,
        .lease_ms = lease_ms,
        .state = "{}",
        .stands_to_lead = leader,
        .blamed = blamed == &test_blame_suspects ? DQ_STR_LIT("s")
                  : blamed                       ? test_id_str(blamed)
                                                 : (dureq_str){0},
        .opened_ms = -1,
    };
    dq_buf call = {0};
    dq_beat b = dq_beat_begin(&call, keys(w), shard, &head);

    if (started) {
        dq_id id;

        assert_true(dq_id_unpack(test_id_str(started), &id));
        dq_beat_start(&b, &id, at_ms);
    }
    dq_beat_end(&b);
    return test_store_call(&w->s, shard, &call, ret_code);
}

dq_reply test_session_beat(test_world *w, unsigned shard, uint64_t session, int64_t lease_ms, bool leader, int *ret_code)
{
    return beat(w, shard, session, lease_ms, leader, NULL, 0, NULL, ret_code);
}

void test_session_started(test_world *w, unsigned shard, uint64_t session, const test_id *id, int64_t at_ms,
                          const test_id *blamed)
{
    (void)beat(w, shard, session, LEADER_LEASE_MS, false, id, at_ms, blamed, NULL);
}

void test_session_close(test_world *w, unsigned shard, uint64_t session)
{
    dq_buf call = {0};

    dq_call_session_close(&call, keys(w), shard, session);
    (void)test_store_call(&w->s, shard, &call, NULL);
}

static int take_from(test_world *w, unsigned shard, uint64_t session, const char *kind, uint32_t lane, int n)
{
    char stream[64], consumer[24], count[16];
    dq_reply streams;

    snprintf(stream, sizeof(stream), "{dureq:%u}:%s%u", shard, kind, lane);
    snprintf(consumer, sizeof(consumer), "%" PRIu64, session);
    snprintf(count, sizeof(count), "%d", n);
    streams = test_command(w, "XREADGROUP", "GROUP", "g", consumer, "COUNT", count, "STREAMS", stream, ">", NULL);
    return (int)dq_reply_len(dq_reply_at(streams, 1)); /* a map of one stream */
}

int test_session_take(test_world *w, unsigned shard, uint64_t session, uint32_t lane, int n)
{
    int front = take_from(w, shard, session, "f:", lane, n);

    if (front >= n)
        return front;
    return front + take_from(w, shard, session, "l:", lane, n - front);
}

/* The lease's time is that of the shard's served clock, which moves only when somebody looks: the end is put far behind it. */
void test_session_expire(test_world *w, unsigned shard, uint64_t session)
{
    char key[64], member[24];

    snprintf(key, sizeof(key), "{dureq:%u}:lease", shard);
    snprintf(member, sizeof(member), "%" PRIu64, session);
    assert_int_equal(dq_reply_int(test_command(w, "ZADD", key, "XX", "CH", "-1", member, NULL)), 1);
}
