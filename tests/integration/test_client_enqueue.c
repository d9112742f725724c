/* SPDX-License-Identifier: Apache-2.0 */
/* What a producer is promised: jobs at once and later, many, keys, limits, back-pressure, repeats after a lost connection. */
#include "test_rig.h"

#include "base/mutex.h"

#include <stdatomic.h>
#include <stdlib.h>

static int count_run(dureq_run *task, void *userdata)
{
    (void)task;
    atomic_fetch_add((atomic_int *)userdata, 1);
    return 0;
}

static int echo(dureq_run *task, void *userdata)
{
    (void)userdata;
    return dureq_run_set_result(task, dureq_run_payload(task), NULL);
}

/* ---- now, later, many ---- */

SCENARIO(a_job_runs_as_soon_as_a_worker_is_free)
{
    dureq_job_id id;
    const dureq_job *j;

    (void)rig_node("n", "echo", echo, NULL);
    id = rig_enqueue("echo", "{\"a\": 1}", NULL);
    j = rig_wait(id.text);
    EXPECT_I64(DUREQ_JOB_COMPLETED, j->state);
    EXPECT_STR_TEXT("{\"a\": 1}", j->result);
    EXPECT_STR_TEXT("{\"a\": 1}", j->payload);
    EXPECT_STR_TEXT("echo", j->task_type);
    EXPECT_STR_TEXT("normal", j->queue);
    EXPECT_STR_TEXT("n", j->node_id);
    EXPECT_I64(1, j->runs);
    EXPECT_TRUE(j->created_at_ms <= j->started_at_ms && j->started_at_ms <= j->finished_at_ms);
}

SCENARIO(a_job_starts_at_its_time_and_not_sooner)
{
    dureq_job_options o = dureq_job_options_init();
    dureq_job_id at, delayed, past;
    int64_t now = rig_server_ms();

    (void)rig_node("n", "echo", echo, NULL);
    o.run_at_ms = now + 400;
    at = rig_enqueue("echo", "1", &o);
    o.run_at_ms = 0;
    o.delay_ms = 300;
    delayed = rig_enqueue("echo", "2", &o);
    o.delay_ms = 0;
    o.run_at_ms = now - 5000;
    past = rig_enqueue("echo", "3", &o);
    EXPECT_I64(DUREQ_JOB_SCHEDULED, rig_state(at.text));
    EXPECT_I64(now + 400, rig_job(at.text)->run_at_ms);
    EXPECT_I64(DUREQ_JOB_COMPLETED, rig_wait(past.text)->state);

    const dureq_job *j = rig_wait(at.text);
    EXPECT_TRUE(j->started_at_ms >= now + 400);
    EXPECT_TRUE(j->started_at_ms < now + 1400);
    j = rig_wait(delayed.text);
    EXPECT_TRUE(j->started_at_ms >= j->created_at_ms + 300);
    EXPECT_TRUE(j->started_at_ms < j->created_at_ms + 1300);
}

#define MANY 3000

SCENARIO(many_are_accepted_or_refused_each_by_itself_in_order)
{
    dureq_job_spec *specs = calloc(MANY, sizeof *specs);
    dureq_enqueue_result *results = calloc(MANY, sizeof *results);
    dureq_job_options later = dureq_job_options_init(), nowhere = dureq_job_options_init();
    int64_t accepted = 0;

    later.delay_ms = 3600000;
    nowhere.queue = "nowhere";
    for (int i = 0; i < MANY; i++) {
        specs[i] = (dureq_job_spec){.task_type = i % 10 == 3 ? "bad name" : "many", .payload = dureq_str_from("{}")};
        if (i % 10 == 5)
            specs[i].options = &later;
        if (i % 10 == 7)
            specs[i].options = &nowhere;
    }
    RIG_OK(dureq_client_enqueue_many(rig.client, specs, MANY, results, &err));
    for (int i = 0; i < MANY; i++) {
        EXPECT_NOTE("job %d", i);
        EXPECT_RC(i % 10 == 3 ? DUREQ_EINVAL : i % 10 == 7 ? DUREQ_ENOTFOUND : 0, results[i].code);
        EXPECT_TRUE(results[i].code == 0 || results[i].msg[0]);
        EXPECT_TRUE((results[i].code == 0) == (results[i].id.text[0] != '\0'));
        EXPECT_TRUE(results[i].scheduled == (i % 10 == 5));
        EXPECT_FALSE(results[i].existing);
        accepted += results[i].code == 0;
    }
    EXPECT_I64(MANY / 10 * 8, accepted);
    EXPECT_I64(MANY / 10 * 7, rig_counts().pending);
    EXPECT_I64(MANY / 10, rig_counts().scheduled);
    EXPECT_I64(DUREQ_JOB_SCHEDULED, rig_state(results[2995].id.text));
    EXPECT_STR_TEXT("many", rig_job(results[2999].id.text)->task_type);
    free(specs);
    free(results);
}

SCENARIO(every_accepted_job_of_many_runs_once)
{
    enum { N = 2000 };
    dureq_job_spec *specs = calloc(N, sizeof *specs);
    dureq_enqueue_result *results = calloc(N, sizeof *results);
    atomic_int ran = 0;

    (void)rig_node("n", "count", count_run, &ran);
    for (int i = 0; i < N; i++)
        specs[i] = (dureq_job_spec){.task_type = "count", .payload = dureq_str_from("1")};
    RIG_OK(dureq_client_enqueue_many(rig.client, specs, N, results, &err));
    RIG_UNTIL(rig_counts().completed == N);
    EXPECT_I64(N, atomic_load(&ran));
    EXPECT_I64(0, rig_counts().pending);
    EXPECT_I64(0, rig_counts().running);
    free(specs);
    free(results);
}

SCENARIO(priorities_go_to_queues)
{
    static const struct {
        int priority;
        const char *queue;
    } rows[] = {{0, "normal"}, {1, "low"}, {3, "low"}, {5, "normal"}, {8, "high"}, {10, "high"}};

    for (size_t i = 0; i < DQ_ARRAY_LEN(rows); i++) {
        dureq_job_options o = dureq_job_options_init();

        EXPECT_NOTE("priority %d", rows[i].priority);
        o.priority = rows[i].priority;
        dureq_job_id id = rig_enqueue("t", "1", &o);
        EXPECT_STR_TEXT(rows[i].queue, rig_job(id.text)->queue);
        EXPECT_I64(rows[i].priority, rig_job(id.text)->priority);
    }
}

/* A lane's number has 18 bits in an id. */
SCENARIO(a_lane_that_ids_cannot_name_is_refused)
{
    static const char fill[] =
        "for i = redis.call('LLEN', KEYS[1]) + 1, 262142 do redis.call('RPUSH', KEYS[1], 'normal|made' .. i .. '|') end";
    dureq_job_spec specs[] = {{.task_type = "last", .payload = DQ_STR_LIT("1")},
                              {.task_type = "beyond", .payload = DQ_STR_LIT("1")}};
    dureq_enqueue_result r[2];
    char lanes[96];

    rig.is_damaged = true; /* lanes without streams */
    for (int s = 0; s < rig.shards; s++) {
        (void)snprintf(lanes, sizeof lanes, "{%s:%d}:lane", rig.prefix, s);
        free(test_redis_command(rig.server, "EVAL", fill, "1", lanes, NULL));
    }
    RIG_OK(dureq_client_enqueue_many(rig.client, specs, 2, r, &err));
    EXPECT_RC(0, r[0].code);
    EXPECT_RC(DUREQ_ELIMIT, r[1].code);
    EXPECT_HAS("262143", r[1].msg);
    EXPECT_I64(DUREQ_JOB_PENDING, rig_state(r[0].id.text));
}

RIG_MAIN()
