/* SPDX-License-Identifier: Apache-2.0 */
/* Schedules that come round each second, while the leader is killed or stands still, Redis is killed, and definitions are changed: judged by what
   handlers saw. Each occurrence is one job, none is missing, what runs again ran where something was killed, and none is later than the faults explain.

   Time passes for the sake of the judgment: after each fault as long as an occurrence may be late by it, and a second's worth of occurrences more, which
   nothing explains if they are late; and a leader that stands still does so for three leases. So a round takes 2.6 s, and a thousand schedules and 200
   rounds (DUREQ_TEST_LONG=1, make faults) nine minutes. What runs beside other tests has fewer of both: the limit is the same. */
#include <dureq/schedule.h>

#include "base/clock.h"
#include "base/random.h"
#include "base/str.h"
#include "fault_wait.h"
#include "fault_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define LIMIT_MS 30000
#define LATE_MS  (FAULT_LEASE_MS * 5 / 4 + 1000)
#define EDITS    40 /* in a round, among a thousand schedules */

/* All that the four kinds of round are, twice over; once where each step takes many times as long. */
#define ROUNDS          8
#define ROUNDS_SHORT    4
#define ROUNDS_LONG     200
#define ROUNDS_A_ROUND  5 /* of DUREQ_FAULT_ROUNDS, whose 40 are the long form */
#define SCHEDULES       100
#define SCHEDULES_SHORT 20
#define SCHEDULES_LONG  1000

/* ---- what handlers saw ---- */

typedef struct seen {
    char schedule[24], job[24], node[32];
    int64_t at_ms, start_ms;
} seen;

typedef struct sight {
    seen *items;
    size_t n;
} sight;

static int by_occurrence(const void *a, const void *b)
{
    const seen *x = a, *y = b;
    int c = strcmp(x->schedule, y->schedule);

    if (c == 0)
        c = x->at_ms < y->at_ms ? -1 : x->at_ms > y->at_ms;
    return c ? c : x->start_ms < y->start_ms ? -1 : x->start_ms > y->start_ms;
}

static sight read_sight(const fault_world *w)
{
    char path[300], line[256];
    sight s = {0};
    size_t room = 0;

    (void)snprintf(path, sizeof path, "%s" FAULT_OCCURRENCES, w->log_path);
    FILE *f = fopen(path, "r");
    while (f && fgets(line, sizeof line, f)) {
        long long start, at;

        if (s.n == room) {
            room = room ? 2 * room : 4096;
            s.items = dq_realloc(s.items, room * sizeof *s.items);
            assert_non_null(s.items);
        }
        seen *o = &s.items[s.n];
        if (sscanf(line, "%lld %31s %23s %lld %23s", &start, o->node, o->schedule, &at, o->job) != 5)
            fault_die("a line cannot be read: %s", line);
        o->start_ms = start;
        o->at_ms = at;
        s.n++;
    }
    if (f)
        (void)fclose(f);
    qsort(s.items, s.n, sizeof *s.items, by_occurrence);
    return s;
}

/* ---- the scene ---- */

typedef struct trouble {
    int64_t from_ms, to_ms; /* to_ms: when it could go on again */
    char node[32];          /* that was killed or stood still; "": the server */
} trouble;

typedef struct scene {
    fault_world *world;
    dq_rng rng;
    trouble *troubles;
    int n_troubles;
    int n_edits;
    int n_schedules;
} scene;

static void put(scene *s, int i)
{
    dureq_schedule schedule = dureq_schedule_init();
    dureq_job_options o = dureq_job_options_init();
    char key[24], payload[32];
    dureq_job_spec spec = {.task_type = "wait", .options = &o};
    dureq_error err = {0};
    dureq_job_id id;

    o.retention_ms = -1;
    (void)snprintf(key, sizeof key, "s%d", i);
    (void)snprintf(payload, sizeof payload, "w %d 0", s->n_edits);
    spec.payload = dureq_str_from(payload);
    if (dq_rng_below(&s->rng, 2)) { /* other words for the same times */
        schedule.type = DUREQ_SCHEDULE_CRON;
        schedule.cron_expr = "* * * * * *";
    } else {
        schedule.type = DUREQ_SCHEDULE_DURATION;
        schedule.interval_ms = 1000;
    }
    if (dureq_client_put_schedule(s->world->client, dureq_str_from(key), &schedule, &spec, &id, NULL, &err) < 0)
        fault_die("put: %s", err.msg);
}

static void edit_some(scene *s, int n)
{
    for (int i = 0; i < n; i++) {
        s->n_edits++;
        put(s, (int)dq_rng_below(&s->rng, (uint64_t)s->n_schedules));
    }
}

static int leader_slot(scene *s)
{
    dureq_node_list *list = NULL;
    dureq_error err = {0};
    int slot = 0;

    if (dureq_client_list_nodes(s->world->client, &list, &err) < 0)
        fault_die("nodes: %s", err.msg);
    for (size_t i = 0; i < list->n; i++)
        for (int k = 0; k < 2; k++)
            if (list->items[i].leader && dq_str_eq_text(list->items[i].node_id, s->world->nodes[k].node_id))
                slot = k;
    dureq_node_list_destroy(list);
    return slot;
}

static trouble *begin(scene *s, const char *node)
{
    trouble *t = &s->troubles[s->n_troubles++];

    *t = (trouble){.from_ms = dq_wall_ms()};
    (void)snprintf(t->node, sizeof t->node, "%s", node);
    return t;
}

static void kill_leader(scene *s)
{
    int slot = leader_slot(s);
    trouble *t = begin(s, s->world->nodes[slot].node_id);

    fault_node_kill(&s->world->nodes[slot]);
    t->to_ms = dq_wall_ms();
    fault_world_spawn(s->world, slot);
}

static void freeze_leader(scene *s)
{
    fault_node *n = &s->world->nodes[leader_slot(s)];
    trouble *t = begin(s, n->node_id);

    fault_node_freeze(n);
    t->to_ms = dq_wall_ms();
    fault_pass(3 * FAULT_LEASE_MS);
    fault_node_thaw(n);
}

static void kill_redis(scene *s)
{
    trouble *t = begin(s, "");

    test_redis_kill(s->world->server);
    test_redis_restart(s->world->server);
    t->to_ms = dq_wall_ms() + 1000; /* nobody waits longer to connect again */
}

static void kill_leader_amid_edits(scene *s)
{
    int n = DQ_MAX(EDITS / 2 * s->n_schedules / SCHEDULES_LONG, 1);

    edit_some(s, n);
    kill_leader(s);
    edit_some(s, n);
}

static void round_of(scene *s, int round)
{
    switch (round % 4) {
    case 0: kill_leader(s); break;
    case 1: freeze_leader(s); break;
    case 2: kill_redis(s); break;
    default: kill_leader_amid_edits(s); break;
    }
    fault_pass(LATE_MS + 500);
}

/* ---- the judgment ---- */

static bool is_explained(const scene *s, const seen *o, int64_t late_by_ms)
{
    for (int i = 0; i < s->n_troubles; i++) {
        const trouble *t = &s->troubles[i];

        if (o->at_ms <= t->to_ms + LATE_MS && o->start_ms >= t->from_ms && o->start_ms <= t->to_ms + LATE_MS + late_by_ms)
            return true;
    }
    return false;
}

/* It ran where something was killed, or stood still (and began late what others had begun meanwhile), or while the server was away. */
static bool may_run_again(const scene *s, const seen *first, const seen *again)
{
    for (int i = 0; i < s->n_troubles; i++) {
        const trouble *t = &s->troubles[i];
        bool is_its = t->node[0] ? strcmp(t->node, first->node) == 0 || strcmp(t->node, again->node) == 0
                                 : t->from_ms >= first->start_ms - 2000;

        if (is_its && t->from_ms <= again->start_ms)
            return true;
    }
    return false;
}

/* With the last fault before it started. */
static void die_late(const scene *s, const seen *o)
{
    const trouble *last = NULL;

    for (int i = 0; i < s->n_troubles; i++)
        if (s->troubles[i].from_ms <= o->start_ms)
            last = &s->troubles[i];
    fault_die(
        "%s at %lld started %lld ms late on %s as job %s, and no fault explains it; the last one was of %s, from %lld to %lld",
        o->schedule, (long long)o->at_ms, (long long)(o->start_ms - o->at_ms), o->node, o->job,
        !last           ? "nothing"
        : last->node[0] ? last->node
                        : "the server",
        last ? (long long)last->from_ms : 0, last ? (long long)last->to_ms : 0);
}

static void judge(const scene *s, const sight *all, int64_t held_up_ms)
{
    int64_t latest_ms = 0;
    size_t n_occurrences = 0, n_again = 0, n_schedules = 0;

    for (size_t i = 0; i < all->n; i++) {
        const seen *o = &all->items[i], *before = i ? &all->items[i - 1] : NULL;
        bool is_other = !before || strcmp(before->schedule, o->schedule) != 0;

        n_schedules += is_other;
        if (!is_other && before->at_ms == o->at_ms) {
            n_again++;
            if (strcmp(before->job, o->job) != 0)
                fault_die("%s at %lld is two jobs: %s and %s", o->schedule, (long long)o->at_ms, before->job, o->job);
            if (!may_run_again(s, before, o))
                fault_die("job %s ran on %s at %lld and again on %s at %lld, and neither was killed or stood still", o->job,
                          before->node, (long long)before->start_ms, o->node, (long long)o->start_ms);
            continue;
        }
        n_occurrences++;
        if (!is_other && o->at_ms != before->at_ms + 1000)
            fault_die("%s came round at %lld and then at %lld", o->schedule, (long long)before->at_ms, (long long)o->at_ms);
        if (!is_explained(s, o, 0))
            latest_ms = DQ_MAX(latest_ms, o->start_ms - o->at_ms);
        if (o->start_ms - o->at_ms > LATE_MS + held_up_ms && !is_explained(s, o, held_up_ms))
            die_late(s, o);
    }
    printf(
        "schedules: %d faults, %d edits, %zu occurrences of %zu schedules, each one job; %zu ran again; %lld ms late at most where no fault was "
        "(the machine stood still for %lld ms in all)\n",
        s->n_troubles, s->n_edits, n_occurrences, n_schedules, n_again, (long long)latest_ms, (long long)held_up_ms);
    assert_int_equal(s->n_schedules, n_schedules);
    assert_true(n_occurrences > n_schedules * (size_t)s->n_troubles);
}

static bool nothing_is_left(void *userdata)
{
    fault_world *w = userdata;
    dureq_counts n;

    return dureq_client_count(w->client, &n, NULL) == 0 && n.pending + n.running + n.scheduled + n.retrying == 0;
}

static void delete_all(scene *s)
{
    dureq_schedule_list *list = NULL;
    dureq_error err = {0};

    for (size_t n = 1; n > 0;) {
        if (dureq_client_list_schedules(s->world->client, 1000, NULL, &list, &err) < 0)
            fault_die("list: %s", err.msg);
        n = list->n;
        for (size_t i = 0; i < n; i++)
            if (dureq_client_delete_schedule(s->world->client, list->items[i].id.text, &err) < 0)
                fault_die("delete: %s", err.msg);
        dureq_schedule_list_destroy(list);
    }
}

static void test_each_occurrence_is_one_job_whatever_dies(void **state)
{
    /* A thousand a second make a long file, and how long a server reads it is not what is judged. */
    static const char *const short_file[] = {"--auto-aof-rewrite-min-size", "16mb", "--auto-aof-rewrite-percentage", "50", NULL};
    fault_world_options o = {.append_only = true, .timeout_ms = 30000, .concurrency = 64, .redis_args = short_file};
    bool is_long = getenv("DUREQ_FAULT_ROUNDS") || (getenv("DUREQ_TEST_LONG") && !fault_is_short());
    int rounds = fault_rounds_times(ROUNDS_A_ROUND, is_long ? ROUNDS_LONG : ROUNDS, ROUNDS_SHORT);
    scene s = {.world = fault_world_open(&o),
               .n_schedules = is_long            ? SCHEDULES_LONG
                              : fault_is_short() ? SCHEDULES_SHORT
                                                 : SCHEDULES};
    sight all;

    (void)state;
    dq_rng_seed(&s.rng, 7);
    s.troubles = dq_calloc((size_t)rounds, sizeof *s.troubles);
    fault_world_spawn(s.world, 0);
    fault_world_spawn(s.world, 1);
    for (int i = 0; i < s.n_schedules; i++)
        put(&s, i);
    for (int i = 0; i < rounds; i++)
        round_of(&s, i);
    delete_all(&s);
    if (!fault_wait(LIMIT_MS, nothing_is_left, s.world))
        fault_die("jobs are left");
    fault_node_stop(&s.world->nodes[0]);
    fault_node_stop(&s.world->nodes[1]);
    fault_world_assert_clean(s.world);
    all = read_sight(s.world);
    judge(&s, &all, fault_held_up_ms());
    dq_free(all.items);
    dq_free(s.troubles);
    fault_world_close(s.world);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_occurrence_is_one_job_whatever_dies),
    };

    fault_node_main(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
