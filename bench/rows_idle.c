/* SPDX-License-Identifier: Apache-2.0 */
/* Enqueueing while many nodes are idle: each call may wake some of them. What the nodes then do on their own account is told apart: the rate is the
   producer's, and the note has the processor time a job of the server, of all nodes together, and of the client. */
#include "load.h"
#include "stats.h"

#define IDLE_NODES_MAX 100
#define IDLE_JOBS      60000
#define IDLE_WARM_UP   5000
#define IDLE_LIMIT_S   50

typedef struct idle_nodes {
    rig rig;
    role_proc producer;
    role_proc nodes[IDLE_NODES_MAX];
    int n;
} idle_nodes;

static void idle_nodes_close(idle_nodes *i)
{
    role_deinit(&i->producer);
    for (int k = 0; k < i->n; k++)
        role_deinit(&i->nodes[k]);
    rig_close(&i->rig);
}

static int idle_nodes_open(idle_nodes *i, int n, dureq_error *err)
{
    int rc = rig_open(&i->rig, &(rig_options){.append_only = false}, err);

    for (; rc == 0 && i->n < n; i->n++)
        rc = rig_start(&i->rig, &i->nodes[i->n], "node", err, "--threads=2", "--concurrency=100", NULL);
    return rc < 0 ? rc : rig_start(&i->rig, &i->producer, "producer", err, NULL);
}

/* Of all nodes: processor time and completed jobs. */
static int nodes_sum(idle_nodes *i, double *ret_cpu_us, double *ret_completed, dureq_error *err)
{
    int rc = 0;

    *ret_cpu_us = *ret_completed = 0;
    for (int k = 0; rc == 0 && k < i->n; k++) {
        role_words usage = {.n = 0}, stats = {.n = 0};

        rc = role_ask(&i->nodes[k], &usage, err, "usage");
        if (rc == 0)
            rc = role_ask(&i->nodes[k], &stats, err, "stats");
        *ret_cpu_us += role_get(&usage, "cpu_us", 0);
        *ret_completed += role_get(&stats, "completed", 0);
    }
    return rc;
}

/* Until the nodes are idle again, with all jobs done. */
static int wait_done(idle_nodes *i, double completed, double *ret_cpu_us, dureq_error *err)
{
    int64_t until_us = dq_mono_us() + IDLE_LIMIT_S * 1000000LL;
    double now = 0;
    int rc = 0;

    while (rc == 0 && now < completed) {
        if (dq_mono_us() > until_us)
            return dq_fail(err, DUREQ_ETIMEOUT, "%.0f of %.0f jobs were completed in time", now, completed);
        role_sleep_until_us(dq_mono_us() + 50000);
        rc = nodes_sum(i, ret_cpu_us, &now, err);
    }
    return rc;
}

typedef struct idle_run {
    double per_s, redis_us, nodes_us, client_us; /* the latter three: a job */
} idle_run;

static int idle_nodes_measure(idle_nodes *i, int64_t n, idle_run *ret, dureq_error *err)
{
    role_words produced = {.n = 0};
    double nodes[2] = {0}, redis[2] = {0}, completed = 0;
    int rc = nodes_sum(i, &nodes[0], &completed, err);

    if (rc == 0)
        rc = rig_cpu_us(&i->rig, &redis[0], err);
    if (rc == 0)
        rc = role_ask(&i->producer, &produced, err, "enqueue n=%lld batch=%d", (long long)n, LOAD_CALL);
    if (rc == 0)
        rc = wait_done(i, completed + (double)n, &nodes[1], err);
    if (rc == 0)
        rc = rig_cpu_us(&i->rig, &redis[1], err);
    if (rc < 0)
        return rc;
    *ret = (idle_run){
        .per_s = (double)n * 1e6 / DQ_MAX(role_get(&produced, "us", 0), 1),
        .redis_us = (redis[1] - redis[0]) / (double)n,
        .nodes_us = (nodes[1] - nodes[0]) / (double)n,
        .client_us = role_get(&produced, "cpu_us", 0) / (double)n,
    };
    return 0;
}

static int run_with(bench_out *out, const char *row, int n, dureq_error *err)
{
    DQ_CLEANUP(idle_nodes_close) idle_nodes i = {.n = 0};
    BENCH_SAMPLES_AUTO per_s = {0};
    BENCH_SAMPLES_AUTO redis = {0};
    BENCH_SAMPLES_AUTO nodes = {0};
    BENCH_SAMPLES_AUTO client = {0};
    idle_run run = {0};
    int rc = idle_nodes_open(&i, n, err);

    if (rc == 0)
        rc = idle_nodes_measure(&i, IDLE_WARM_UP, &run, err);
    for (size_t k = 0; rc == 0 && bench_again(out, k); k++) {
        rc = idle_nodes_measure(&i, IDLE_JOBS, &run, err);
        bench_samples_add(&per_s, run.per_s);
        bench_samples_add(&redis, run.redis_us);
        bench_samples_add(&nodes, run.nodes_us);
        bench_samples_add(&client, run.client_us);
    }
    if (rc == 0)
        bench_put(out, row, bench_median(&per_s), "Redis %.2f us, nodes %.2f us, client %.2f us a job; median of %zu",
                  bench_median(&redis), bench_median(&nodes), bench_median(&client), per_s.n);
    return rc;
}

static int run_idle_nodes_1(bench_out *out, dureq_error *err)
{
    return run_with(out, "idle_nodes_1", 1, err);
}

static int run_idle_nodes_10(bench_out *out, dureq_error *err)
{
    return run_with(out, "idle_nodes_10", 10, err);
}

static int run_idle_nodes_100(bench_out *out, dureq_error *err)
{
    return run_with(out, "idle_nodes_100", 100, err);
}

#define ROW(name, what, target)                \
    (const bench_row[])                        \
    {                                          \
        {#name, what, "jobs/s", target, true}, \
        {                                      \
            NULL, NULL, NULL, 0, false         \
        }                                      \
    }

const bench_group bench_idle_groups[] = {
    {"idle_nodes_1", ROW(idle_nodes_1, "enqueueing while one node is idle", 100000), run_idle_nodes_1, false},
    {"idle_nodes_10", ROW(idle_nodes_10, "the same with 10 idle nodes", 70000), run_idle_nodes_10, false},
    {"idle_nodes_100", ROW(idle_nodes_100, "the same with 100 idle nodes", 35000), run_idle_nodes_100, false},
    {NULL, NULL, NULL, false},
};
