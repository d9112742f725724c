/* SPDX-License-Identifier: Apache-2.0 */
/* What clients see of nodes, how they drain them, and what is counted. */
#include "test_rig.h"

#include <stdatomic.h>
#include <unistd.h>

static atomic_bool let_go;
static atomic_int entered;

static int stay(dureq_run *task, void *userdata)
{
    (void)userdata;
    atomic_fetch_add(&entered, 1);
    for (int i = 0; i < 3000 && !atomic_load(&let_go) && !dureq_run_is_cancelled(task); i++)
        rig_pause();
    return dq_str_eq_text(dureq_run_payload(task), "die") ? dureq_run_fail(task, 1, "died") : 0;
}

static void begin(void)
{
    atomic_store(&let_go, false);
    atomic_store(&entered, 0);
}

/* The node with this id of a list that the caller destroys; NULL: not in it. */
static const dureq_node_info *find(const dureq_node_list *list, const char *id)
{
    for (size_t i = 0; i < list->n; i++)
        if (dq_str_eq_text(list->items[i].node_id, id))
            return &list->items[i];
    return NULL;
}

static dureq_node_list *nodes(void)
{
    dureq_node_list *list = NULL;

    RIG_OK(dureq_client_list_nodes(rig.client, &list, &err));
    return list;
}

static bool is_draining(const char *id)
{
    dureq_node_list *list = nodes();
    bool draining = find(list, id) && find(list, id)->draining;

    dureq_node_list_destroy(list);
    return draining;
}

static int running_on(const char *id)
{
    dureq_node_list *list = nodes();
    int running = find(list, id) ? find(list, id)->running : -1;

    dureq_node_list_destroy(list);
    return running;
}

SCENARIO(a_node_is_listed_with_what_it_is_while_it_lives)
{
    dureq_node_options o = rig_node_options("one.a");
    dureq_node *n = rig_node_create(&o);
    int64_t before = rig_server_ms(), beat;
    dureq_node_list *list;
    const dureq_node_info *info;

    begin();
    rig_handle(n, "mail.*", stay, NULL, NULL);
    rig_handle(n, "order", stay, NULL, NULL);
    rig_start(n);
    (void)rig_node("two", "t", stay, NULL);
    list = nodes();
    EXPECT_U64(2, list->n);
    info = find(list, "one.a");
    EXPECT_STR_TEXT("mail.*,order", info->task_types);
    EXPECT_STR_TEXT(dureq_version(), info->version);
    EXPECT_TRUE(info->host.len > 0);
    EXPECT_I64(getpid(), info->pid);
    EXPECT_I64(8, info->concurrency);
    EXPECT_I64(0, info->running);
    EXPECT_FALSE(info->draining);
    EXPECT_TRUE(info->started_at_ms >= before - 1 && info->last_heartbeat_ms >= info->started_at_ms);
    beat = info->last_heartbeat_ms;
    dureq_node_list_destroy(list);
    for (bool later = false; !later; rig_pause()) {
        list = nodes();
        later = find(list, "one.a")->last_heartbeat_ms > beat;
        dureq_node_list_destroy(list);
        EXPECT_TRUE(rig_server_ms() < before + RIG_LIMIT_MS);
    }
    RIG_OK(dureq_node_stop(n, &err));
    list = nodes();
    EXPECT_U64(1, list->n);
    EXPECT_PTR(NULL, find(list, "one.a"));
    dureq_node_list_destroy(list);
}

SCENARIO(what_a_node_runs_is_seen)
{
    begin();
    (void)rig_node("n", "t", stay, NULL);
    for (int i = 0; i < 3; i++)
        (void)rig_enqueue("t", "1", NULL);
    RIG_UNTIL(running_on("n") == 3);
    EXPECT_I64(3, rig_counts().running);
    atomic_store(&let_go, true);
    RIG_UNTIL(running_on("n") == 0);
}

SCENARIO(a_client_drains_a_node_and_lets_it_work_again)
{
    dureq_job_id first, second, third;
    dureq_node *n;

    begin();
    n = rig_node("n", "t", stay, NULL);
    first = rig_enqueue("t", "1", NULL);
    RIG_UNTIL(atomic_load(&entered) == 1);
    RIG_OK(dureq_client_drain_node(rig.client, "n", true, &err));
    RIG_UNTIL(rig_stats(n).draining);
    EXPECT_TRUE(is_draining("n"));
    second = rig_enqueue("t", "1", NULL);
    atomic_store(&let_go, true);
    EXPECT_I64(DUREQ_JOB_COMPLETED, rig_wait(first.text)->state);
    EXPECT_I64(DUREQ_JOB_PENDING, rig_state(second.text));
    (void)rig_node("m", "t", stay, NULL); /* the others go on */
    EXPECT_STR_TEXT("m", rig_wait(second.text)->node_id);
    RIG_OK(dureq_client_drain_node(rig.client, "m", true, &err));
    RIG_OK(dureq_client_drain_node(rig.client, "n", false, &err));
    RIG_UNTIL(!rig_stats(n).draining);
    RIG_UNTIL(rig_stats(rig.nodes[1]).draining);
    third = rig_enqueue("t", "1", NULL);
    EXPECT_STR_TEXT("n", rig_wait(third.text)->node_id);
    RIG_FAILS(DUREQ_ENOTFOUND, "'x'", dureq_client_drain_node(rig.client, "x", true, &err));
    RIG_FAILS(DUREQ_EINVAL, "node_id", dureq_client_drain_node(rig.client, "a b", true, &err));
}

SCENARIO(jobs_are_counted_in_each_state)
{
    dureq_job_options later = {.struct_size = sizeof later, .delay_ms = 3600000};
    dureq_job_id id;
    dureq_counts c;

    begin();
    (void)rig_node("n", "t", stay, NULL);
    for (int i = 0; i < 2; i++)
        (void)rig_enqueue("nobody", "1", NULL);
    for (int i = 0; i < 3; i++)
        (void)rig_enqueue("nobody", "1", &later);
    id = rig_enqueue("nobody", "1", NULL);
    RIG_OK(dureq_client_pause(rig.client, id.text, &err));
    id = rig_enqueue("nobody", "1", NULL);
    RIG_OK(dureq_client_cancel(rig.client, id.text, NULL, &err));
    (void)rig_enqueue("t", "1", NULL);
    (void)rig_enqueue("t", "die", NULL);
    RIG_UNTIL(rig_counts().running == 2);
    c = rig_counts();
    EXPECT_I64(2, c.pending);
    EXPECT_I64(3, c.scheduled);
    EXPECT_I64(1, c.paused);
    EXPECT_I64(1, c.cancelled);
    EXPECT_I64(0, c.completed + c.dead + c.retrying);
    EXPECT_I64(1, c.nodes);
    atomic_store(&let_go, true);
    RIG_UNTIL(rig_counts().completed == 1 && rig_counts().dead == 1);
    EXPECT_I64(0, rig_counts().running);
    EXPECT_TRUE(rig_counts().history_bytes > 0);
}

/* Sessions of nodes that are not there, with leases that last. */
static const char many_sessions[] =
    "for i = 1, 1200 do local s = 5000000000 + i "
    "redis.call('HSET', KEYS[1] .. 's:' .. s, 'st', 'live', 'node', 'made' .. i, 'info', '{}', 'dyn', '{}', 'at', 1, 'hb', 1) "
    "redis.call('ZADD', KEYS[1] .. 'lease', 1000 + i, s) end";

SCENARIO(all_nodes_are_listed_and_drained_however_many)
{
    dureq_node_list *list;
    char base[64];

    rig.is_damaged = true; /* sessions without their other keys */
    for (int s = 0; s < rig.shards; s++) {
        (void)snprintf(base, sizeof base, "{%s:%d}:", rig.prefix, s);
        free(test_redis_command(rig.server, "EVAL", many_sessions, "1", base, NULL));
    }
    list = nodes();
    EXPECT_I64(1200, (int64_t)list->n);
    EXPECT_TRUE(find(list, "made1") != NULL && find(list, "made1200") != NULL);
    dureq_node_list_destroy(list);
    RIG_OK(dureq_client_drain_node(rig.client, "made1200", true, &err));
    EXPECT_TRUE(is_draining("made1200"));
    EXPECT_TRUE(!is_draining("made1199"));
    RIG_FAILS(DUREQ_ENOTFOUND, "no live node", dureq_client_drain_node(rig.client, "made1201", true, &err));
}

RIG_MAIN()
