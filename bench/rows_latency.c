/* SPDX-License-Identifier: Apache-2.0 */
/* From the producer's call to the first line of the handler, in another process. */
#include "load.h"
#include "stats.h"

#define WARM_UP 20
#define PULSES  400  /* a run */
#define GAP_US  5000 /* between an enqueue and a bare message */

/* Start times of jobs [first, first + n) less their enqueue times; jobs that did not start are not counted. */
static void take_latencies(const board *b, int64_t first, int64_t n, bench_samples *s)
{
    for (int64_t i = first; i < first + n; i++) {
        int64_t started = atomic_load(&b->jobs[i].started_us);

        if (started)
            bench_samples_add(s, (double)(started - b->jobs[i].enqueued_us));
    }
}

/* ---- idle ---- */

typedef struct idle_rig {
    rig rig;
    role_proc producer, node, ear;
    int64_t sent;
} idle_rig;

typedef struct idle_run {
    double p50_us, p99_us, bare_p50_us, bare_p99_us;
} idle_run;

static void idle_close(idle_rig *i)
{
    role_deinit(&i->producer);
    role_deinit(&i->node);
    role_deinit(&i->ear);
    rig_close(&i->rig);
}

static int idle_open(idle_rig *i, dureq_error *err)
{
    rig_options opts = {.has_board = true, .board_jobs = WARM_UP + PULSES * BENCH_RUNS};
    int rc = rig_open(&i->rig, &opts, err);

    if (rc == 0)
        rc = rig_start(&i->rig, &i->node, "node", err, NULL);
    if (rc == 0)
        rc = rig_start(&i->rig, &i->producer, "producer", err, NULL);
    if (rc == 0)
        rc = rig_start(&i->rig, &i->ear, "floor", err, NULL);
    if (rc == 0)
        rc = role_ask(&i->ear, NULL, err, "ear");
    return rc;
}

static int idle_measure(idle_rig *i, int64_t n, idle_run *ret, dureq_error *err)
{
    BENCH_SAMPLES_AUTO s = {0};
    role_words heard = {.n = 0};
    int64_t first = i->sent;
    int rc = role_tell(&i->ear, err, "listen n=%lld", (long long)n);

    i->sent += n;
    if (rc == 0)
        rc = role_ask(&i->producer, NULL, err, "pulse n=%lld first=%lld batch=1 gap_us=%d", (long long)n, (long long)first,
                      GAP_US);
    if (rc == 0)
        rc = role_wait(&i->ear, &heard, err);
    if (rc == 0)
        rc = role_ask(&i->node, NULL, err, "wait completed=%lld", (long long)i->sent);
    if (rc < 0)
        return rc;

    take_latencies(i->rig.board, first, n, &s);
    *ret = (idle_run){
        .p50_us = bench_quantile(&s, 0.5),
        .p99_us = bench_quantile(&s, 0.99),
        .bare_p50_us = role_get(&heard, "p50_us", 0),
        .bare_p99_us = role_get(&heard, "p99_us", 0),
    };
    return 0;
}

static int run_latency_idle(bench_out *out, dureq_error *err)
{
    DQ_CLEANUP(idle_close) idle_rig idle = {.sent = 0};
    BENCH_SAMPLES_AUTO p50 = {0};
    BENCH_SAMPLES_AUTO p99 = {0};
    BENCH_SAMPLES_AUTO bare = {0};
    BENCH_SAMPLES_AUTO ratio = {0};
    idle_run run = {0};
    int rc = idle_open(&idle, err);

    if (rc == 0)
        rc = idle_measure(&idle, WARM_UP, &run, err);
    for (size_t i = 0; rc == 0 && bench_again(out, i); i++) {
        rc = idle_measure(&idle, PULSES, &run, err);
        bench_samples_add(&p50, run.p50_us);
        bench_samples_add(&p99, run.p99_us);
        bench_samples_add(&bare, run.bare_p50_us);
        bench_samples_add(&ratio, run.p99_us / DQ_MAX(run.bare_p99_us, 1));
    }
    if (rc < 0)
        return rc;

    bench_put(out, "latency_idle_p50", bench_median(&p50) / 1000, "bare XADD and wake-up: %.3f ms", bench_median(&bare) / 1000);
    bench_put(out, "latency_idle_p99", bench_median(&ratio), "p99 %.3f ms; median of %zu", bench_median(&p99) / 1000, p99.n);
    return 0;
}

/* ---- loaded ---- */

#define LOADED_S    20
#define LOADED_JOBS 4000000 /* at most */

static int run_latency_loaded(bench_out *out, dureq_error *err)
{
    LOAD_AUTO l = {.lead = 0};
    BENCH_SAMPLES_AUTO s = {0};
    load_run full = {0};
    double per_s;
    int64_t n;
    int rc = load_open(&l, &(load_options){.board_jobs = LOADED_JOBS}, err);

    if (rc == 0)
        rc = load_size(&l, /*seconds=*/10, &n, &per_s, err);
    if (rc == 0)
        rc = load_measure(&l, n, &full, err);
    if (rc < 0)
        return rc;

    board_clear(l.rig.board);
    per_s = full.per_s / 2;
    n = DQ_MIN((int64_t)(per_s * LOADED_S), LOADED_JOBS);
    l.completed += n;
    rc = role_ask(&l.producer, NULL, err, "enqueue n=%lld per_s=%.0f batch=%d", (long long)n, per_s,
                  DQ_MAX((int)(per_s / 1000), 1));
    if (rc == 0)
        rc = role_ask(&l.node, NULL, err, "wait completed=%lld", (long long)l.completed);
    if (rc < 0)
        return rc;

    take_latencies(l.rig.board, 0, n, &s);
    bench_put(out, "latency_loaded", bench_quantile(&s, 0.99) / 1000, "p50 %.3f ms, at %.0f jobs/s for %d s",
              bench_quantile(&s, 0.5) / 1000, per_s, LOADED_S);
    return 0;
}

#define END                        \
    {                              \
        NULL, NULL, NULL, 0, false \
    }

const bench_group bench_latency_groups[] = {
    {"latency_idle",
     (const bench_row[]){{"latency_idle_p50", "enqueue to handler start, idle, p50", "ms", 0.4, false},
                         {"latency_idle_p99", "the same, p99", "x bare", 3, false},
                         END},
     run_latency_idle, false},
    {"latency_loaded", (const bench_row[]){{"latency_loaded", "the same at half of the throughput, p99", "ms", 10, false}, END},
     run_latency_loaded, true},
    {NULL, NULL, NULL, false},
};
