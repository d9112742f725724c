/* SPDX-License-Identifier: Apache-2.0 */
/* Jobs a second from producer to recorded completion, and what the node's and the producer's process spend on each. */
#include "load.h"
#include "stats.h"

typedef struct samples {
    bench_samples per_s, node_us, client_us, redis_us;
} samples;

static void samples_deinit(samples *s)
{
    bench_samples_deinit(&s->per_s);
    bench_samples_deinit(&s->node_us);
    bench_samples_deinit(&s->client_us);
    bench_samples_deinit(&s->redis_us);
}

static int measure_all(const load_options *opts, bench_out *out, samples *s, dureq_error *err)
{
    LOAD_AUTO l = {.lead = 0};
    load_run run = {0};
    double per_s;
    int64_t n;
    int rc = load_open(&l, opts, err);

    if (rc == 0)
        rc = load_size(&l, /*seconds=*/4, &n, &per_s, err);
    for (size_t i = 0; rc == 0 && bench_again(out, i); i++) {
        rc = load_measure(&l, n, &run, err);
        if (rc < 0)
            return rc;
        bench_samples_add(&s->per_s, run.per_s);
        bench_samples_add(&s->node_us, run.node_us);
        bench_samples_add(&s->client_us, run.client_us);
        bench_samples_add(&s->redis_us, run.redis_us);
    }
    return rc;
}

static int run_throughput(bench_out *out, dureq_error *err)
{
    DQ_CLEANUP(samples_deinit) samples s = {0};
    int rc = measure_all(&(load_options){.append_only = false}, out, &s, err);

    if (rc < 0)
        return rc;
    bench_put(out, "throughput", bench_median(&s.per_s), "median of %zu; Redis %.2f us a job", s.per_s.n,
              bench_median(&s.redis_us));
    bench_put(out, "node_cpu", bench_median(&s.node_us), "at %.0f jobs/s", bench_median(&s.per_s));
    bench_put(out, "client_cpu", bench_median(&s.client_us), "at %.0f jobs/s", bench_median(&s.per_s));
    return 0;
}

/* One row, with what it spent in the note. */
static int run_other(const char *row, const load_options *opts, bench_out *out, dureq_error *err)
{
    DQ_CLEANUP(samples_deinit) samples s = {0};
    int rc = measure_all(opts, out, &s, err);

    if (rc < 0)
        return rc;
    bench_put(out, row, bench_median(&s.per_s), "median of %zu; Redis %.2f us, node %.2f us, client %.2f us a job", s.per_s.n,
              bench_median(&s.redis_us), bench_median(&s.node_us), bench_median(&s.client_us));
    return 0;
}

static int run_throughput_aof(bench_out *out, dureq_error *err)
{
    return run_other("throughput_aof", &(load_options){.append_only = true}, out, err);
}

static int run_throughput_1ms(bench_out *out, dureq_error *err)
{
    return run_other("throughput_1ms", &(load_options){.handler_us = 1000}, out, err);
}

static int run_throughput_1ms_ahead(bench_out *out, dureq_error *err)
{
    return run_other("throughput_1ms_ahead", &(load_options){.handler_us = 1000, .concurrency = 400, .threads = 100}, out, err);
}

/* The same work behind ten million waiting jobs and behind ten thousand. */
static int run_backlog(bench_out *out, dureq_error *err)
{
    const int64_t backlog = INT64_C(10000000);
    LOAD_AUTO l = {.lead = 0};
    load_run shallow = {0}, deep = {0};
    double per_s, memory = 0;
    int64_t n;
    int rc = load_open(&l, &(load_options){.append_only = false}, err);

    if (rc == 0)
        rc = load_size(&l, /*seconds=*/10, &n, &per_s, err);
    if (rc == 0)
        rc = load_measure(&l, n, &shallow, err);
    if (rc == 0)
        rc = role_ask(&l.node, NULL, err, "drain on=1");
    if (rc == 0)
        rc = role_ask(&l.producer, NULL, err, "enqueue n=%lld batch=%d", (long long)backlog, LOAD_CALL);
    if (rc == 0)
        rc = rig_memory(&l.rig, &memory, err);
    if (rc == 0)
        rc = role_ask(&l.node, NULL, err, "drain on=0");
    if (rc == 0)
        rc = load_measure(&l, n, &deep, err);
    if (rc < 0)
        return rc;

    bench_put(out, "backlog_10m", deep.per_s / shallow.per_s, "%.0f jobs/s, %.0f with 10,000; %.1f GB", deep.per_s, shallow.per_s,
              memory / 1e9);
    return 0;
}

#define END                        \
    {                              \
        NULL, NULL, NULL, 0, false \
    }

const bench_group bench_throughput_groups[] = {
    {"throughput",
     (const bench_row[]){{"throughput", "jobs end to end: client, node, Redis", "jobs/s", 100000, true},
                         {"node_cpu", "CPU of the node's process, a job", "us", 6, false},
                         {"client_cpu", "CPU of the producer's process, a job", "us", 3, false},
                         END},
     run_throughput, false},
    {"throughput_aof", (const bench_row[]){{"throughput_aof", "the same, append-only every second", "jobs/s", 70000, true}, END},
     run_throughput_aof, false},
    {"throughput_1ms",
     (const bench_row[]){{"throughput_1ms", "the same, handlers of 1 ms, 100 at a time", "jobs/s", 70000, true}, END},
     run_throughput_1ms, false},
    {"throughput_1ms_ahead",
     (const bench_row[]){{"throughput_1ms_ahead", "the same, and 300 more jobs held ready", "jobs/s", 70000, true}, END},
     run_throughput_1ms_ahead, false},
    {"backlog_10m", (const bench_row[]){{"backlog_10m", "throughput with 10 million waiting", "x with 10,000", 0.8, true}, END},
     run_backlog, true},
    {NULL, NULL, NULL, false},
};
