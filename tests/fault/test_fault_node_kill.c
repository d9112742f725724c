/* SPDX-License-Identifier: Apache-2.0 */
/* Nodes that are killed, or stand still for longer than their lease, while there is work: nothing acknowledged is lost, every job ends
   once, what a node had is running elsewhere within lease + 1 s, and what it says later is refused. */
#include "base/clock.h"
#include "fault_wait.h"
#include "fault_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#define LOAD_LIMIT  20000
#define KILLS       14
#define KILLS_SHORT 4

static fault_world *open_world(int shards)
{
    fault_world_options o = {.shards = shards};
    fault_world *w = fault_world_open(&o);

    fault_world_spawn(w, 0);
    fault_world_spawn(w, 1);
    fault_world_produce(w, 2, /*pause_ms=*/2);
    return w;
}

typedef struct absence {
    fault_world *world;
    const char *node_id;
} absence;

static bool is_gone(void *userdata)
{
    absence *a = userdata;

    return !fault_world_has_node(a->world, a->node_id);
}

/* How long the others took to see it; ms. */
static int64_t wait_gone(fault_world *w, const char *node_id, int64_t since_us)
{
    absence a = {.world = w, .node_id = node_id};

    if (!fault_wait(LOAD_LIMIT, is_gone, &a))
        fault_die("node %s still has a session", node_id);
    return (dq_mono_us() - since_us) / 1000;
}

typedef struct death {
    char node_id[32];
    int64_t at_us;
    int64_t gone_ms;
} death;

static void kill_one(fault_world *w, int slot, death *d)
{
    fault_node *n = &w->nodes[slot];

    (void)snprintf(d->node_id, sizeof d->node_id, "%s", n->node_id);
    fault_node_kill(n);
    d->at_us = dq_mono_us();
    d->gone_ms = wait_gone(w, d->node_id, d->at_us);
}

/* The last death of those that came, one after the other, before the one before had had its time. */
static int64_t last_death_us(const death *deaths, int n, int i)
{
    while (i + 1 < n && deaths[i + 1].at_us - deaths[i].at_us <= FAULT_RECOVER_MS * 1000)
        i++;
    return deaths[i].at_us;
}

typedef struct restarts {
    int jobs;
    int64_t longest_ms; /* after the last death */
} restarts;

/* What ran there must run elsewhere in time; where whoever took over died as well, after that. */
static void look_at_restarts(fault_world *w, const fault_lines *lines, const death *d, int64_t last_us, restarts *ret)
{
    fault_recovery r = fault_recovery_of(lines, d->node_id, d->at_us);
    int64_t behind_last_ms = r.longest_ms - (last_us - d->at_us) / 1000;

    ret->jobs += r.n_jobs;
    ret->longest_ms = DQ_MAX(behind_last_ms, ret->longest_ms);
    if (behind_last_ms <= FAULT_RECOVER_MS)
        return;
    fprintf(stderr, "%s was gone after %lld ms; its job %s started again after %lld ms:\n", d->node_id, (long long)d->gone_ms,
            r.job_id, (long long)r.longest_ms);
    fault_print_job(w->log_path, r.job_id, d->at_us);
}

static void report(fault_world *w, const char *what, const death *deaths, int n)
{
    fault_lines lines = fault_lines_read_sorted(w->log_path);
    restarts alone = {0}, followed = {0};
    int64_t gone_ms = 0;

    for (int i = 0; i < n; i++) {
        int64_t last_us = last_death_us(deaths, n, i);

        gone_ms = DQ_MAX(deaths[i].gone_ms, gone_ms);
        look_at_restarts(w, &lines, &deaths[i], last_us, last_us == deaths[i].at_us ? &alone : &followed);
    }
    fault_lines_deinit(&lines);
    printf("%s: %d kills, one each %lld ms, a dead node was known to be gone after %lld ms at most, its jobs (%d) ran elsewhere "
           "after %lld ms at most, and, where the next node died too, its jobs (%d) %lld ms after that at most\n",
           what, n, (long long)(deaths[n - 1].at_us - deaths[0].at_us) / 1000 / DQ_MAX(n - 1, 1), (long long)gone_ms, alone.jobs,
           (long long)alone.longest_ms, followed.jobs, (long long)followed.longest_ms);
    (void)fflush(stdout);
    assert_true(alone.jobs > 0 && followed.jobs > 0);
    assert_true(gone_ms <= FAULT_RECOVER_MS);
    assert_true(DQ_MAX(alone.longest_ms, followed.longest_ms) <= FAULT_RECOVER_MS);
}

/* Every other time whoever took over is killed as well, right away. */
static void let_recover(const death *d, int round)
{
    if (round % 2 == 1)
        fault_pass(DQ_MAX(FAULT_RECOVER_MS - (dq_mono_us() - d->at_us) / 1000, 0));
}

static void kill_rounds(int shards, const char *what)
{
    fault_world *w = open_world(shards);
    int rounds = fault_rounds_times(2, KILLS, KILLS_SHORT);
    death *deaths = dq_calloc((size_t)rounds, sizeof *deaths);

    for (int i = 0; i < rounds; i++) {
        fault_world_wait_load(w, 60, LOAD_LIMIT);
        kill_one(w, i % 2, &deaths[i]);
        fault_world_spawn(w, i % 2);
        fault_world_wait_at_work(w);
        let_recover(&deaths[i], i);
    }
    (void)fault_world_finish(w, what);
    report(w, what, deaths, rounds);
    dq_free(deaths);
    fault_world_close(w);
}

static void test_killed_again_and_again(void **state)
{
    (void)state;
    kill_rounds(1, "kill, 1 shard");
}

static void test_killed_again_and_again_on_four_shards(void **state)
{
    (void)state;
    kill_rounds(4, "kill, 4 shards");
}

static bool done_with_new_nodes(void *userdata)
{
    fault_world_respawn_dead(userdata);
    return fault_world_is_done(userdata);
}

/* It is found among many that were beside it, and these are not punished for that. */
static void test_a_job_that_takes_its_process_down_is_set_aside(void **state)
{
    fault_world_options o = {.concurrency = 50, .max_crashes = 3};
    fault_world *w = fault_world_open(&o);
    fault_sums s;

    (void)state;
    for (int i = 0; i < 40; i++)
        (void)fault_ledger_enqueue_kind(w->ledger, w->client, i == 17 ? 'p' : 'w', i == 17 ? 20 : 1000);
    fault_world_spawn(w, 0);
    fault_world_spawn(w, 1);
    if (!fault_wait(LOAD_LIMIT, done_with_new_nodes, w))
        fault_die("the jobs did not end");
    s = fault_world_finish(w, "poison");
    assert_int_equal(s.completed, 39);
    assert_int_equal(s.dead, 1);
    assert_int_equal(w->n_spawned - 2, 4); /* crashes: one before its start was known, and max_crashes */
    fault_world_close(w);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_killed_again_and_again),
        cmocka_unit_test(test_killed_again_and_again_on_four_shards),
        cmocka_unit_test(test_a_job_that_takes_its_process_down_is_set_aside),
    };

    fault_node_main(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
