/* SPDX-License-Identifier: Apache-2.0 */
/* A master that becomes a replica and a master again keeps its connections and its run id, and holds other data: that of the server it followed. */
#include "test_rig.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define JOBS 18

static test_redis *first, *other;
static atomic_bool may_end;
static atomic_int n_starts, n_told_lost;
static atomic_int n_connections, n_noticed; /* of the node: made, and sessions that noticed */

static bool is_linked(test_redis *s)
{
    char *status = test_redis_info(s, "master_link_status");
    bool is = status && strcmp(status, "up") == 0;

    free(status);
    return is;
}

/* It follows the other one until it has its data, and is a master then. */
static void copy_of(test_redis *to, test_redis *from)
{
    char port[16];

    (void)snprintf(port, sizeof port, "%d", test_redis_port(from));
    free(test_redis_command(to, "REPLICAOF", "127.0.0.1", port, NULL));
    RIG_UNTIL(is_linked(to));
    free(test_redis_command(to, "REPLICAOF", "NO", "ONE", NULL));
}

static int group_start(void **state)
{
    static const char *const args[] = {"--repl-diskless-sync-delay", "0", NULL};
    test_redis_options o = {.tcp = true, .extra_args = args};

    first = test_redis_start(&o);
    other = test_redis_start(&o);
    copy_of(other, first); /* the first replica of a server changes its replication id, too: not in a scenario */
    copy_of(first, other);
    return rig_group_start(state);
}

static int group_stop(void **state)
{
    test_redis_stop(other);
    test_redis_stop(first);
    return rig_group_stop(state);
}

static void log_seen(const dureq_log_record *record, void *userdata)
{
    (void)userdata;
    if (strcmp(record->event, "redis.ready") == 0)
        atomic_fetch_add(&n_connections, 1);
    if (strcmp(record->event, "session.other_data") == 0)
        atomic_fetch_add(&n_noticed, 1);
    if (getenv("DUREQ_TEST_LOG"))
        fprintf(stderr, "  %s %s\n", record->event, record->text);
}

static int hold(dureq_run *run, void *userdata)
{
    (void)userdata;
    atomic_fetch_add(&n_starts, 1);
    while (!atomic_load(&may_end)) {
        if (!dureq_run_wait_cancelled(run, 5))
            continue;
        atomic_fetch_add(&n_told_lost, 1);
        return 0;
    }
    return 0;
}

static dureq_node *node_with_lease(int64_t lease_ms)
{
    dureq_client *old = rig.client;
    dureq_node_options o;
    dureq_node *n;

    rig.server = first;
    rig.client = rig_client(NULL, rig.shards);
    dureq_client_destroy(old);
    atomic_store(&may_end, false);
    atomic_store(&n_starts, 0);
    atomic_store(&n_told_lost, 0);
    atomic_store(&n_connections, 0);
    atomic_store(&n_noticed, 0);
    o = rig_node_options("n");
    o.concurrency = 2 * JOBS;
    o.lease_ms = lease_ms;
    o.log_fn = log_seen;
    o.log_level = DUREQ_LOG_DEBUG;
    n = rig_node_create(&o);
    rig_handle(n, "t", hold, NULL, NULL);
    rig_start(n);
    return n;
}

static void enqueue_all(void)
{
    for (int i = 0; i < JOBS; i++)
        (void)rig_enqueue("t", "1", NULL);
    RIG_UNTIL(atomic_load(&n_starts) == JOBS);
}

/* The node ran jobs and recorded their ends; the server forgets these ends. */
static void forget_the_ends(void)
{
    enqueue_all();
    copy_of(other, first);
    atomic_store(&may_end, true);
    RIG_UNTIL(rig_counts().completed == JOBS);
    int connections = atomic_load(&n_connections);
    copy_of(first, other);
    EXPECT_I64(connections, atomic_load(&n_connections));
}

SCENARIO(ends_that_a_demoted_master_forgot_are_reached_again)
{
    (void)node_with_lease(1000);
    forget_the_ends();
    RIG_UNTIL_MS(5000, rig_counts().completed == JOBS);
    EXPECT_I64(0, rig_counts().running);
    EXPECT_I64(2 * JOBS, atomic_load(&n_starts));
    EXPECT_I64(rig.shards, atomic_load(&n_noticed));
}

static bool all_are_idle(void)
{
    for (int i = 0; i < rig.shards; i++) {
        char key[80];

        (void)snprintf(key, sizeof key, "{%s:%d}:idle:1", rig.prefix, i);
        if (test_redis_command_int(rig.server, "SCARD", key, NULL) != 1)
            return false;
    }
    return true;
}

/* No heartbeat is due for long: the refused transaction of the next turn is what makes the session ask, before the turn is made again. Only one
   shard's keys are watched at a time; the other sessions of the server ask because one noticed it. */
SCENARIO(a_turn_that_was_refused_though_nothing_changed_asks_which_data_it_is)
{
    dureq_job_id id;

    (void)node_with_lease(120000);
    atomic_store(&may_end, true);
    for (int i = 0; i < rig.shards; i++) { /* calls take the shards in turn */
        id = rig_enqueue("t", "1", NULL);
        (void)rig_wait(id.text);
    }
    RIG_UNTIL(all_are_idle());
    copy_of(other, first);
    free(test_redis_command(first, "SET", "forgotten", "1", NULL)); /* or there is nothing to replace */
    copy_of(first, other);
    id = rig_enqueue("t", "1", NULL);
    (void)rig_wait(id.text);
    if (rig.shards == 1)
        EXPECT_I64(1, atomic_load(&n_noticed));
    RIG_UNTIL(atomic_load(&n_noticed) == rig.shards);
}

SCENARIO(runs_of_jobs_that_a_demoted_master_forgot_are_told)
{
    (void)node_with_lease(1000);
    dureq_job_id id = rig_enqueue("t", "1", NULL);
    RIG_UNTIL(atomic_load(&n_starts) == 1);
    copy_of(other, first);
    atomic_store(&n_starts, 0);
    enqueue_all();
    copy_of(first, other);
    RIG_UNTIL_MS(5000, atomic_load(&n_told_lost) == JOBS);
    EXPECT_I64(DUREQ_JOB_RUNNING, rig_state(id.text)); /* it was there before, and goes on */
    atomic_store(&may_end, true);
    EXPECT_I64(1, rig_wait(id.text)->runs);
    EXPECT_I64(1, rig_counts().completed);
}

int main(void)
{
    cmocka_set_test_filter(getenv("DUREQ_TEST_ONLY"));
    return _cmocka_run_group_tests(__FILE__, expect_tests, expect_n_tests, group_start, group_stop);
}
