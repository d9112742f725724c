/* SPDX-License-Identifier: Apache-2.0 */
/* Nodes that are killed at a given step of a job: before its handler, in it, between its effect and its return, while its completion is on
   its way, and after that. The job ends once all the same, within lease + 1 s, and begins as often as the step implies.

   A survivor is there all the time, drained while jobs go to those that will die. These are started several at a time and then get a
   job each, one after the other, so that a round costs a part of a lease. */
#include "base/clock.h"
#include "base/str.h"
#include "client/stats.h"
#include "fault_wait.h"
#include "fault_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#define LIMIT_MS 20000
#define KILLS    4
#define ROUND_MS (FAULT_LEASE_MS / 2)
#define VICTIMS  (FAULT_NODES_MAX - 1)
#define SURVIVOR VICTIMS

typedef struct death {
    char node_id[32], job_id[24];
    int64_t at_us;
    bool was_recorded; /* the job's completion, when its node had died */
} death;

/* What the nodes wrote of the job of one death. */
typedef struct after {
    int starts, ends;
    int64_t start_us, end_us; /* of the last */
    bool began_on_victim;
} after;

typedef struct step_case {
    fault_step step;
    const char *name;
    fault_world *world;
    long
        n_aside; /* jobs that are not judged: the survivor took them before it heard that it is drained, or a round took too long */
    int at_once; /* deaths in a round; one, which nothing confuses, after one that was too slow */
} step_case;

static after look(const fault_lines *lines, const death *d)
{
    after a = {0};

    for (size_t i = 0; i < lines->n; i++) {
        const fault_line *x = &lines->items[i];

        if (strcmp(x->job_id, d->job_id) != 0)
            continue;
        if (x->mark == FAULT_MARK_START) {
            a.starts++;
            a.start_us = x->at_us;
            a.began_on_victim = a.began_on_victim || strcmp(x->node_id, d->node_id) == 0;
        }
        if (x->mark == FAULT_MARK_COMPLETED) {
            a.ends++;
            a.end_us = x->at_us;
        }
    }
    return a;
}

static bool is_completed(fault_world *w, const char *job_id)
{
    dureq_job_list *list = NULL;
    dureq_error err = {0};

    if (dureq_client_get_job(w->client, job_id, &list, &err) < 0)
        fault_die("job %s: %s", job_id, err.msg);
    bool completed = list->items[0].state == DUREQ_JOB_COMPLETED;
    dureq_job_list_destroy(list);
    return completed;
}

static void drain_survivor(fault_world *w, bool drain)
{
    dureq_error err = {0};

    if (dureq_client_drain_node(w->client, w->nodes[SURVIVOR].node_id, drain, &err) < 0)
        fault_die("drain: %s", err.msg);
}

/* ---- one death ---- */

typedef struct wait_death {
    fault_world *world;
    death *death;
    int slot; /* of whoever died; -1: the survivor took the job */
} wait_death;

static bool somebody_had_it(void *userdata)
{
    wait_death *a = userdata;
    fault_world *w = a->world;

    for (int i = 0; i < VICTIMS; i++)
        if (w->nodes[i].pid && !fault_node_is_alive(&w->nodes[i])) {
            a->slot = i;
            a->death->at_us = dq_mono_us();
            return true;
        }
    fault_lines lines = fault_lines_read(w->log_path);
    a->slot = -1;
    (void)snprintf(a->death->node_id, sizeof a->death->node_id, "%s", w->nodes[SURVIVOR].node_id);
    bool taken = look(&lines, a->death).began_on_victim;
    fault_lines_deinit(&lines);
    return taken;
}

static bool try_one(step_case *c, death *d)
{
    fault_world *w = c->world;
    wait_death a = {.world = w, .death = d};

    if (fault_ledger_enqueue_kind(w->ledger, w->client, 'w', 0) != 0)
        fault_die("a job was not acknowledged");
    (void)snprintf(d->job_id, sizeof d->job_id, "%s", fault_ledger_entry(w->ledger, fault_ledger_len(w->ledger) - 1)->id.text);
    if (!fault_wait(LIMIT_MS, somebody_had_it, &a))
        fault_die("%s: no node died of job %s", c->name, d->job_id);
    if (a.slot < 0)
        return false;
    (void)snprintf(d->node_id, sizeof d->node_id, "%s", w->nodes[a.slot].node_id);
    fault_node_kill(&w->nodes[a.slot]);        /* buries it */
    (void)fault_world_has_node(w, d->node_id); /* a round trip: what the node had sent has been read then */
    d->was_recorded = is_completed(w, d->job_id);
    return true;
}

/* How many of the n deaths are to be judged: where they took so long that the first victim's lease may have ended, a later one may have died
   of the first one's job instead of its own. Nothing is known of such a round but that all its jobs end once. */
static int kill_some(step_case *c, death *deaths, int n)
{
    fault_world *w = c->world;
    int64_t began_us;
    bool in_time = true;
    int i;

    drain_survivor(w, /*drain=*/true);
    for (i = 0; i < n; i++)
        fault_world_spawn_dying(w, i, c->step);
    began_us = dq_mono_us();
    for (i = 0; i < n && in_time; i++) {
        while (!try_one(c, &deaths[i]))
            c->n_aside++;
        in_time = n == 1 || dq_mono_us() - began_us < ROUND_MS * 1000;
    }
    c->at_once = in_time ? VICTIMS : 1;
    if (!in_time)
        c->n_aside += i;
    for (int slot = 0; slot < VICTIMS; slot++)
        fault_node_kill(&w->nodes[slot]);
    drain_survivor(w, /*drain=*/false);
    fault_world_wait_done(w, LIMIT_MS);
    return in_time ? n : 0;
}

/* ---- what became of it ---- */

static void check_counts(const step_case *c, const death *d, const after *a)
{
    int starts = c->step == FAULT_STEP_STARTING || d->was_recorded ? 1 : 2;
    bool must_be_recorded = c->step == FAULT_STEP_COMPLETED;
    bool may_be_recorded = must_be_recorded || c->step == FAULT_STEP_COMPLETING;

    if ((d->was_recorded && !may_be_recorded) || (!d->was_recorded && must_be_recorded))
        fault_die("%s: the completion of job %s was %srecorded", c->name, d->job_id, d->was_recorded ? "" : "not ");
    if (a->starts != starts) {
        fault_print_job(c->world->log_path, d->job_id, d->at_us);
        fault_die("%s: job %s began %d times, recorded %d", c->name, d->job_id, a->starts, d->was_recorded);
    }
    if (a->began_on_victim != (c->step != FAULT_STEP_STARTING))
        fault_die("%s: job %s began on %s: %d", c->name, d->job_id, d->node_id, a->began_on_victim);
    /* whoever is killed on the way may have recorded an end and not told it */
    if (a->ends != 1 && !(a->ends == 0 && d->was_recorded && c->step == FAULT_STEP_COMPLETING))
        fault_die("%s: the end of job %s was told %d times", c->name, d->job_id, a->ends);
}

static void report(const step_case *c, const char *what, const death *deaths, int n)
{
    fault_lines lines = fault_lines_read(c->world->log_path);
    int64_t longest_ms = 0;
    int recorded = 0, again = 0;

    for (int i = 0; i < n; i++) {
        after a = look(&lines, &deaths[i]);

        check_counts(c, &deaths[i], &a);
        recorded += deaths[i].was_recorded;
        again += a.starts == 2;
        if (deaths[i].was_recorded)
            continue;
        longest_ms = DQ_MAX((a.end_us - deaths[i].at_us) / 1000, longest_ms);
        if (longest_ms > FAULT_RECOVER_MS)
            fault_print_job(c->world->log_path, deaths[i].job_id, deaths[i].at_us);
        assert_true(longest_ms <= FAULT_RECOVER_MS);
    }
    fault_lines_deinit(&lines);
    printf("%s: %d kills, all jobs ended once, %d completions were recorded before, %d jobs began again, ended elsewhere after "
           "%lld ms at most\n",
           what, n, recorded, again, (long long)longest_ms);
    (void)fflush(stdout);
}

/* By the engine's own count; it may have been midnight since. */
static int64_t count_completed(fault_world *w)
{
    dq_day_stats days[3];
    dureq_error err = {0};
    int64_t sum = 0;

    if (dq_client_days(w->client, DQ_ARRAY_LEN(days), days, &err) < 0)
        fault_die("statistics: %s", err.msg);
    for (size_t i = 0; i < DQ_ARRAY_LEN(days); i++)
        sum += days[i].completed;
    return sum;
}

static void kill_rounds(fault_step step, const char *name, int shards)
{
    fault_world_options o = {.shards = shards, .concurrency = 1};
    step_case c = {.step = step, .name = name, .at_once = VICTIMS, .world = fault_world_open(&o)};
    int rounds = fault_rounds(KILLS, KILLS);
    death *deaths = dq_calloc((size_t)rounds, sizeof *deaths);
    char what[64];
    int done = 0;

    (void)snprintf(what, sizeof what, "killed %s, %d shard%s", name, shards, shards == 1 ? "" : "s");
    fault_world_spawn(c.world, SURVIVOR);
    while (done < rounds)
        done += kill_some(&c, &deaths[done], DQ_MIN(c.at_once, rounds - done));
    (void)fault_world_finish(c.world, what);
    report(&c, what, deaths, rounds);
    assert_int_equal(count_completed(c.world), rounds + c.n_aside);
    dq_free(deaths);
    fault_world_close(c.world);
}

static void kill_rounds_on_shards(fault_step step, const char *name)
{
    kill_rounds(step, name, 1);
    kill_rounds(step, name, 4);
}

static void test_killed_before_the_handler(void **state)
{
    (void)state;
    kill_rounds_on_shards(FAULT_STEP_STARTING, "before start");
}

static void test_killed_in_the_handler(void **state)
{
    (void)state;
    kill_rounds_on_shards(FAULT_STEP_HANDLER, "in the handler");
}

static void test_killed_between_effect_and_completion(void **state)
{
    (void)state;
    kill_rounds_on_shards(FAULT_STEP_EFFECT, "after the effect");
}

static void test_killed_during_the_completion(void **state)
{
    (void)state;
    kill_rounds_on_shards(FAULT_STEP_COMPLETING, "while completing");
}

static void test_killed_behind_the_completion(void **state)
{
    (void)state;
    kill_rounds_on_shards(FAULT_STEP_COMPLETED, "when completed");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_killed_before_the_handler),
        cmocka_unit_test(test_killed_in_the_handler),
        cmocka_unit_test(test_killed_between_effect_and_completion),
        cmocka_unit_test(test_killed_during_the_completion),
        cmocka_unit_test(test_killed_behind_the_completion),
    };

    fault_node_main(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
