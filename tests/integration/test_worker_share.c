/* SPDX-License-Identifier: Apache-2.0 */
/* Large numbers: of queues that have work, of queues that are paused, of task types that exist. What a node does costs what has work, and shares hold. With
   DUREQ_TEST_LONG=1 with the numbers that are promised, else with fewer that go beyond each number that was a limit once. */
#include "test_rig.h"

#include "base/mutex.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static bool is_long(void)
{
    return getenv("DUREQ_TEST_LONG") != NULL;
}

static dureq_job_options in_queue(const char *queue)
{
    dureq_job_options o = dureq_job_options_init();

    o.queue = queue;
    return o;
}

/* n jobs, the type and queue of each from `name`, called with its number. */
typedef struct many {
    int n;
    const char *type, *queue; /* formats of a number */
    int n_types, n_queues;
} many;

static void enqueue(const many *m)
{
    enum { CALL = 1000 };
    static char types[CALL][24], queues[CALL][24];
    static dureq_job_options options[CALL];
    static dureq_job_spec specs[CALL];
    static dureq_enqueue_result results[CALL];

    for (int from = 0; from < m->n; from += CALL) {
        int n = DQ_MIN(CALL, m->n - from);

        for (int i = 0; i < n; i++) {
            (void)snprintf(types[i], sizeof types[i], "%s%d", m->type, (from + i) % m->n_types);
            (void)snprintf(queues[i], sizeof queues[i], "%s%d", m->queue, (from + i) % m->n_queues);
            options[i] = in_queue(m->n_queues > 1 ? queues[i] : "normal");
            options[i].retention_ms = -1;
            specs[i] = (dureq_job_spec){.task_type = types[i], .payload = DQ_STR_LIT("1"), .options = &options[i]};
        }
        RIG_OK(dureq_client_enqueue_many(rig.client, specs, (size_t)n, results, &err));
        for (int i = 0; i < n; i++)
            EXPECT_RC(0, results[i].code);
    }
}

static void make_queues(const char *prefix, int n, int (*weight)(int))
{
    char name[24];

    for (int i = 0; i < n; i++) {
        dureq_queue_options q = {.struct_size = sizeof q, .weight = weight(i)};

        (void)snprintf(name, sizeof name, "%s%d", prefix, i);
        RIG_OK(dureq_client_set_queue(rig.client, name, &q, false, NULL, &err));
    }
}

/* ---- queues with work ---- */

#define QUEUES_MAX 1000

static struct {
    dq_mutex mu;
    int n, until;
    int of[QUEUES_MAX], at_end[QUEUES_MAX];
} starts;

static int note(dureq_run *run, void *userdata)
{
    int q = atoi(dureq_run_queue(run) + 1);

    (void)userdata;
    dq_mutex_lock(&starts.mu);
    starts.of[q]++;
    if (++starts.n == starts.until)
        memcpy(starts.at_end, starts.of, sizeof starts.at_end);
    dq_mutex_unlock(&starts.mu);
    return 0;
}

static int n_starts(void)
{
    dq_mutex_lock(&starts.mu);
    int n = starts.n;
    dq_mutex_unlock(&starts.mu);
    return n;
}

static int weight_of(int queue)
{
    return queue % 10 == 0 ? 3 : 1;
}

SCENARIO(shares_hold_over_any_number_of_queues)
{
    int n = is_long() ? 1000 : 150, each = is_long() ? 1000 : 40, weights = 0, worst = 0;
    dureq_node_options o = rig_node_options("n");
    dureq_node *node;

    if (rig.shards > 1 && is_long())
        return;
    make_queues("q", n, weight_of);
    for (int i = 0; i < n; i++)
        weights += weight_of(i);
    /* More than will be started of each, so that all have work until the end; a third as much again for each of three calls a queue of weight 3. */
    for (int part = 0; part < 3 * (each + each / 5 + 5); part++) {
        many m = {.n = n, .type = "t", .n_types = 1, .queue = "q", .n_queues = n};

        if (part < each + each / 5 + 5) {
            enqueue(&m);
        } else { /* those of weight 3 only */
            char names[QUEUES_MAX / 10][24];
            dureq_job_options options[QUEUES_MAX / 10];
            dureq_job_spec specs[QUEUES_MAX / 10];
            dureq_enqueue_result results[QUEUES_MAX / 10];

            for (int i = 0; i < n / 10; i++) {
                (void)snprintf(names[i], sizeof names[i], "q%d", 10 * i);
                options[i] = in_queue(names[i]);
                options[i].retention_ms = -1;
                specs[i] = (dureq_job_spec){.task_type = "t0", .payload = DQ_STR_LIT("1"), .options = &options[i]};
            }
            RIG_OK(dureq_client_enqueue_many(rig.client, specs, (size_t)(n / 10), results, &err));
        }
    }
    dq_mutex_init(&starts.mu);
    starts.n = 0;
    memset(starts.of, 0, sizeof starts.of);
    starts.until = each * weights;
    o.concurrency = 50;
    node = rig_node_create(&o);
    rig_handle(node, "t*", note, NULL, NULL);
    rig_start(node);
    RIG_UNTIL_MS(600000, n_starts() >= starts.until);
    for (int i = 0; i < n; i++) {
        int want = each * weight_of(i), off = abs(starts.at_end[i] - want) * 1000 / want;

        worst = DQ_MAX(worst, off);
    }
    EXPECT_NOTE("%d queues, %d starts of each a weight: the worst is off by %d.%d %%", n, each, worst / 10, worst % 10);
    EXPECT_TRUE(worst <= (is_long() ? 100 : 250)); /* four shards share by themselves, and 40 starts are few */
    for (int i = 0; i < n; i++) {
        char name[24];

        (void)snprintf(name, sizeof name, "q%d", i);
        if (is_long())
            RIG_OK(dureq_client_purge_queue(rig.client, name, NULL, &err));
    }
    if (!is_long())
        RIG_UNTIL_MS(60000, rig_counts().pending == 0 && rig_counts().running == 0);
}

/* ---- queues that are paused ---- */

static atomic_int ran, ran_paused;

static int count_runs(dureq_run *run, void *userdata)
{
    (void)userdata;
    atomic_fetch_add(dureq_run_queue(run)[0] == 'p' ? &ran_paused : &ran, 1);
    return 0;
}

static int one(int queue)
{
    (void)queue;
    return 1;
}

static int64_t calls_of(const char *command)
{
    char *info = test_redis_command(rig.server, "INFO", "commandstats", NULL), name[48];
    const char *at;
    int64_t n = 0;

    (void)snprintf(name, sizeof name, "cmdstat_%s:calls=", command);
    at = strstr(info, name);
    if (at)
        n = strtoll(at + strlen(name), NULL, 10);
    free(info);
    return n;
}

static void pause_all(int n, bool pauses)
{
    char name[24];

    for (int i = 0; i < n; i++) {
        (void)snprintf(name, sizeof name, "p%d", i);
        if (pauses)
            RIG_OK(dureq_client_pause_queue(rig.client, name, &err));
        else
            RIG_OK(dureq_client_resume_queue(rig.client, name, &err));
    }
}

SCENARIO(any_number_of_queues_is_paused)
{
    int n = is_long() ? 10000 : 400;
    many m = {.n = n, .type = "t", .n_types = 1, .queue = "p", .n_queues = n},
         others = {.n = 1000, .type = "t", .n_types = 1, .n_queues = 1};
    dureq_node *node;
    int64_t before;

    if (rig.shards > 1 && is_long())
        return;
    atomic_store(&ran, 0);
    atomic_store(&ran_paused, 0);
    make_queues("p", n, one);
    pause_all(n, true);
    enqueue(&m);
    node = rig_node("n", "t*", count_runs, NULL);
    enqueue(&others);
    RIG_UNTIL(atomic_load(&ran) == 1000);
    before = calls_of("sscan");
    enqueue(&others);
    RIG_UNTIL(atomic_load(&ran) == 2000);
    EXPECT_TRUE(calls_of("sscan") == before); /* nothing changed, so no turn was told their names */
    EXPECT_TRUE(atomic_load(&ran_paused) == 0);
    EXPECT_TRUE(rig_stats(node).lost == 0 && rig_stats(node).returned == 0);
    if (is_long()) {
        EXPECT_TRUE(rig_counts().pending == n);
        return;
    }
    pause_all(n, false);
    RIG_UNTIL(atomic_load(&ran_paused) == n);
}

/* While others are, so that names come by pages: a turn that finds a change holds what it read until it knows them. */
SCENARIO(a_pause_holds_among_many)
{
    enum { ROUNDS = 8, JOBS = 400 };
    many m = {.n = JOBS, .type = "t", .n_types = 1, .queue = "p", .n_queues = 1},
         other = {.n = 1, .type = "t", .n_types = 1, .n_queues = 1};
    dureq_job_options o = in_queue("p600");

    atomic_store(&ran, 0);
    atomic_store(&ran_paused, 0);
    make_queues("p", 601, one);
    pause_all(600, true);
    (void)m;
    (void)rig_node("n", "t*", count_runs, NULL);
    for (int round = 0; round < ROUNDS; round++) {
        int seen;

        for (int i = 0; i < JOBS; i++)
            (void)rig_enqueue("t0", "1", &o);
        RIG_OK(dureq_client_pause_queue(rig.client, "p600", &err));
        enqueue(&other); /* what was on its way to the node when the pause was acknowledged comes before this one */
        for (int i = 0; rig.shards > 1 && i < 200; i++)
            enqueue(&other);
        RIG_UNTIL(atomic_load(&ran) >= (rig.shards > 1 ? 201 : 1) * (round + 1));
        seen = atomic_load(&ran_paused);
        for (int i = 0; i < 20; i++)
            enqueue(&other);
        RIG_UNTIL(rig_counts().pending + rig_counts().running == (int64_t)JOBS * (round + 1) - atomic_load(&ran_paused));
        EXPECT_TRUE(atomic_load(&ran_paused) == seen);
        atomic_store(&ran, (rig.shards > 1 ? 201 : 1) * (round + 1));
        RIG_OK(dureq_client_resume_queue(rig.client, "p600", &err));
        RIG_UNTIL(atomic_load(&ran_paused) == JOBS * (round + 1));
    }
}

/* ---- task types that exist ---- */

static int64_t cpu_us(void)
{
    struct timespec ts;
    char *info = test_redis_command(rig.server, "INFO", "cpu", NULL), *user = strstr(info, "used_cpu_user:"),
         *sys = strstr(info, "used_cpu_sys:");
    double redis = strtod(user + 14, NULL) + strtod(sys + 13, NULL);

    free(info);
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return ts.tv_sec * 1000000 + ts.tv_nsec / 1000 + (int64_t)(redis * 1e6);
}

/* What n jobs of so many types cost from the call to the end, of client, node and server: the least of three. */
static int64_t cost_of(int n, int n_types, int *done)
{
    many m = {.n = n, .type = "t", .n_types = n_types, .n_queues = 1};
    int64_t least = INT64_MAX;

    for (int i = 0; i < 3; i++) {
        int64_t before = cpu_us(), after;

        enqueue(&m);
        *done += n;
        RIG_UNTIL_MS(60000, atomic_load(&ran) == *done);
        after = cpu_us();
        least = DQ_MIN(least, after - before);
    }
    return least;
}

SCENARIO(task_types_that_have_no_work_cost_nothing)
{
    int n_types = is_long() ? 10000 : 2000, n = 3 * (is_long() ? 5000 : n_types), done = 0;
    many all = {.n = n_types, .type = "t", .n_types = n_types, .n_queues = 1};
    int64_t alone, spread, beside;

    if (rig.shards > 1)
        return;
    atomic_store(&ran, 0);
    (void)rig_node("n", "t*", count_runs, NULL);
    alone = cost_of(n, 1, &done);
    enqueue(&all);
    done += n_types;
    RIG_UNTIL_MS(60000, atomic_load(&ran) == done);
    beside = cost_of(n, 1, &done);
    spread = cost_of(n, n / 3, &done);
    EXPECT_NOTE("%d jobs: of the only type %d ms, beside %d others %d ms, over %d types %d ms", n, (int)(alone / 1000), n_types,
                (int)(beside / 1000), n / 3, (int)(spread / 1000));
    EXPECT_TRUE(beside < 3 * alone / 2);
    EXPECT_TRUE(spread < 4 * alone);
}

/* ---- idle nodes ---- */

/* How many sessions n jobs wake, enqueued in one call while all nodes are idle. */
static int64_t woken_by(int n, int *done)
{
    many m = {.n = n, .type = "t", .n_types = 1, .n_queues = 1};
    int64_t before = calls_of("spublish"), after;

    enqueue(&m);
    after = calls_of("spublish");
    *done += n;
    RIG_UNTIL(atomic_load(&ran) == *done && rig_counts().running == 0);
    return after - before;
}

SCENARIO(idle_nodes_are_woken_as_many_as_the_jobs_need)
{
    enum { NODES = 8 };
    int done = 0;
    int64_t least = INT64_MAX;

    if (rig.shards > 1)
        return;
    atomic_store(&ran, 0);
    for (int i = 0; i < NODES; i++) {
        char id[8];
        dureq_node_options o;

        (void)snprintf(id, sizeof id, "n%d", i);
        o = rig_node_options(id);
        o.concurrency = 100;
        dureq_node *n = rig_node_create(&o);
        rig_handle(n, "t*", count_runs, NULL, NULL);
        rig_start(n);
    }
    (void)woken_by(250, &done);
    for (int i = 0; i < 5; i++) /* nodes that end jobs of the call before may not be idle again yet */
        least = DQ_MIN(least, woken_by(250, &done));
    EXPECT_NOTE("at least %d of %d were woken", (int)least, NODES);
    EXPECT_TRUE(least >= 1 && least <= 4); /* 3 have 300 slots */
}

RIG_MAIN()
