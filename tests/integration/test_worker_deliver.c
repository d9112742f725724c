/* SPDX-License-Identifier: Apache-2.0 */
/* Jobs that come with the wake-up of an idle node instead of being read: the same promises hold as for those that are read. */
#include "test_rig.h"

#include "base/mutex.h"

#include <stdatomic.h>
#include <stdlib.h>

static atomic_bool may_end;
static atomic_int n_long; /* starts */

static int wait_long(dureq_run *task, void *userdata)
{
    (void)userdata;
    atomic_fetch_add(&n_long, 1);
    while (!atomic_load(&may_end) && !dureq_run_wait_cancelled(task, 5))
        ;
    return 0;
}

static int done(dureq_run *task, void *userdata)
{
    (void)task;
    (void)userdata;
    return 0;
}

static long long n_idle(const char *lane)
{
    char key[80];
    long long n = 0;

    for (int i = 0; i < rig.shards; i++) {
        (void)snprintf(key, sizeof key, "{%s:%d}:idle:%s", rig.prefix, i, lane);
        n += test_redis_command_int(rig.server, "SCARD", key, NULL);
    }
    return n;
}

static long long n_lanes(void)
{
    char key[80];
    long long n = 0;

    for (int i = 0; i < rig.shards; i++) {
        (void)snprintf(key, sizeof key, "{%s:%d}:lane", rig.prefix, i);
        n += test_redis_command_int(rig.server, "LLEN", key, NULL);
    }
    return n;
}

/* Of a node with these slots. When this returns, it waits to be woken for both lanes of each shard that has them. */
static dureq_node *idle_node(const char *id, int slots)
{
    dureq_node_options o = rig_node_options(id);

    o.concurrency = slots;
    dureq_node *n = rig_node_create(&o);
    rig_handle(n, "long", wait_long, NULL, NULL);
    rig_handle(n, "short", done, NULL, NULL);
    rig_start(n);
    return n;
}

/* Lanes for both types on each shard, and whoever is there waits for their work. */
static void make_lanes(int nodes)
{
    atomic_store(&may_end, true);
    for (int i = 0; i < rig.shards * 4; i++) { /* calls take the shards in turn */
        dureq_job_id id = rig_enqueue(i % 2 ? "long" : "short", "1", NULL);

        (void)rig_wait(id.text);
    }
    atomic_store(&may_end, false);
    RIG_UNTIL(n_idle("1") + n_idle("2") >= nodes * rig.shards);
}

SCENARIO(a_busy_node_gives_back_what_it_is_sent)
{
    dureq_job_id first, second;

    (void)idle_node("a", 1);
    make_lanes(1);
    first = rig_enqueue("long", "1", NULL);
    RIG_UNTIL(rig_state(first.text) == DUREQ_JOB_RUNNING);
    second = rig_enqueue("short", "1", NULL);
    RIG_UNTIL(rig_counts().pending == 1);
    EXPECT_I64(DUREQ_JOB_PENDING, rig_state(second.text));
    atomic_store(&may_end, true);
    EXPECT_I64(DUREQ_JOB_COMPLETED, rig_wait(second.text)->state);
    EXPECT_I64(1, rig_job(second.text)->runs);
    EXPECT_I64(DUREQ_JOB_COMPLETED, rig_wait(first.text)->state);
}

SCENARIO(what_a_busy_node_gives_back_runs_on_an_idle_one)
{
    dureq_job_id first;

    (void)idle_node("a", 1);
    make_lanes(1);
    first = rig_enqueue("long", "1", NULL);
    RIG_UNTIL(rig_state(first.text) == DUREQ_JOB_RUNNING);
    (void)idle_node("b", 1);
    for (int i = 0; i < 20; i++) {
        dureq_job_id id = rig_enqueue("short", "1", NULL);
        const dureq_job *j = rig_wait(id.text);

        EXPECT_NOTE("job %d", i);
        EXPECT_I64(DUREQ_JOB_COMPLETED, j->state);
        EXPECT_STR_TEXT("b", j->node_id);
        EXPECT_I64(1, j->runs);
    }
    EXPECT_I64(DUREQ_JOB_RUNNING, rig_state(first.text));
    atomic_store(&may_end, true);
    (void)rig_wait(first.text);
}

SCENARIO(nothing_of_a_paused_queue_is_sent_to_anybody)
{
    dureq_job_id id;

    (void)idle_node("a", 4);
    make_lanes(1);
    RIG_OK(dureq_client_pause_queue(rig.client, "normal", &err));
    id = rig_enqueue("short", "1", NULL);
    EXPECT_I64(DUREQ_JOB_PENDING, rig_state(id.text));
    RIG_OK(dureq_client_resume_queue(rig.client, "normal", &err));
    EXPECT_I64(DUREQ_JOB_COMPLETED, rig_wait(id.text)->state);
    EXPECT_TRUE(rig_job(id.text)->started_at_ms >= rig_job(id.text)->created_at_ms);
}

SCENARIO(a_node_that_drains_gives_back_what_it_is_sent)
{
    dureq_node *n = idle_node("a", 4);
    dureq_job_id id;

    make_lanes(1);
    EXPECT_RC(0, dureq_node_drain(n, true));
    RIG_UNTIL(rig_stats(n).draining);
    id = rig_enqueue("short", "1", NULL);
    RIG_UNTIL(rig_counts().pending == 1);
    EXPECT_I64(DUREQ_JOB_PENDING, rig_state(id.text));
    EXPECT_RC(0, dureq_node_drain(n, false));
    EXPECT_I64(DUREQ_JOB_COMPLETED, rig_wait(id.text)->state);
    EXPECT_I64(1, rig_job(id.text)->runs);
}

SCENARIO(jobs_sent_to_many_idle_nodes_run_once_each)
{
    char id[8];
    int64_t made;

    for (int i = 0; i < 4; i++) {
        (void)snprintf(id, sizeof id, "n%d", i);
        (void)idle_node(id, 2);
    }
    make_lanes(4);
    made = rig_counts().completed;
    for (int i = 0; i < 200; i++)
        (void)rig_enqueue("short", "1", NULL);
    RIG_UNTIL(rig_counts().completed == made + 200);
    EXPECT_I64(0, rig_counts().running);
    EXPECT_I64(0, rig_counts().pending);
}

/* As a server does that lost the end of its file: what was delivered to somebody waits again, on the lane `no` of each shard. */
static void forget_deliveries(const char *no)
{
    static const char script[] = "if redis.call('EXISTS', KEYS[1]) == 0 then return 1 end\n"
                                 "for _, p in ipairs(redis.call('XPENDING', KEYS[1], 'g', '-', '+', 10)) do\n"
                                 "  redis.call('XACK', KEYS[1], 'g', p[1])\n"
                                 "end\n"
                                 "redis.call('XGROUP', 'SETID', KEYS[1], 'g', '0-0')\n"
                                 "return 1";
    char key[80];

    for (int i = 0; i < rig.shards; i++) {
        (void)snprintf(key, sizeof key, "{%s:%d}:l:%s", rig.prefix, i, no);
        EXPECT_I64(1, test_redis_command_int(rig.server, "EVAL", script, "1", key, NULL));
    }
}

SCENARIO(what_a_node_runs_already_is_not_run_again_when_it_is_sent_anew)
{
    dureq_job_id ids[8];
    int n = 0;

    (void)idle_node("a", 8);
    make_lanes(1);
    atomic_store(&n_long, 0);
    ids[n++] = rig_enqueue("long", "1", NULL);
    RIG_UNTIL(rig_state(ids[0].text) == DUREQ_JOB_RUNNING);
    RIG_UNTIL(n_idle("1") + n_idle("2") == n_lanes());
    forget_deliveries("1");
    forget_deliveries("2");
    for (int i = 0; i < rig.shards; i++) /* the first of its shard has the other one delivered */
        ids[n++] = rig_enqueue("long", "1", NULL);
    RIG_UNTIL(atomic_load(&n_long) >= n);
    atomic_store(&may_end, true);
    for (int i = 0; i < n; i++)
        EXPECT_I64(DUREQ_JOB_COMPLETED, rig_wait(ids[i].text)->state);
    EXPECT_I64(n, atomic_load(&n_long));
}

RIG_MAIN()
