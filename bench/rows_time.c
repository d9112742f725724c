/* SPDX-License-Identifier: Apache-2.0 */
/* What happens by time: delayed jobs, retries, what holds up the server longest, and what an idle node does. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "load.h"
#include "slow.h"
#include "stats.h"

/* ---- delayed jobs ---- */

#define DUE_PER_S 1000
#define DUE_JOBS  10000

/* What to add to dq_mono_us for Unix time, in us. */
static int64_t wall_offset_us(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_REALTIME, &t); /* cannot fail for this clock */
    return t.tv_sec * INT64_C(1000000) + t.tv_nsec / 1000 - dq_mono_us();
}

static void take_lateness(const board *b, int64_t first_due_ms, bench_samples *s)
{
    int64_t offset = wall_offset_us();

    for (int64_t i = 0; i < DUE_JOBS; i++)
        bench_samples_add(s,
                          (double)(atomic_load(&b->jobs[i].started_us) + offset - (first_due_ms + i * 1000 / DUE_PER_S) * 1000));
}

typedef struct lateness {
    bench_samples p50, p99, largest; /* ms; one of each run */
} lateness;

static void lateness_deinit(lateness *l)
{
    bench_samples_deinit(&l->p50);
    bench_samples_deinit(&l->p99);
    bench_samples_deinit(&l->largest);
}

static int measure_delayed(lateness *ret, dureq_error *err)
{
    LOAD_AUTO l = {.lead = 0};
    BENCH_SAMPLES_AUTO s = {0};
    int64_t due_ms;
    int rc = load_open(&l, &(load_options){.board_jobs = DUE_JOBS}, err);

    if (rc < 0)
        return rc;
    due_ms = dq_wall_ms() + 2000;
    rc = role_ask(&l.producer, NULL, err, "enqueue n=%d batch=%d due_ms=%lld due_per_s=%d", DUE_JOBS, BENCH_BATCH,
                  (long long)due_ms, DUE_PER_S);
    if (rc == 0)
        rc = role_ask(&l.node, NULL, err, "wait completed=%d", DUE_JOBS);
    if (rc < 0)
        return rc;

    take_lateness(l.rig.board, due_ms, &s);
    bench_samples_add(&ret->p50, bench_quantile(&s, 0.5) / 1000);
    bench_samples_add(&ret->p99, bench_quantile(&s, 0.99) / 1000);
    bench_samples_add(&ret->largest, bench_quantile(&s, 1) / 1000);
    return 0;
}

static int run_delayed(bench_out *out, dureq_error *err)
{
    DQ_CLEANUP(lateness_deinit) lateness l = {.p50 = {0}};
    int rc = 0;

    for (size_t i = 0; rc == 0 && bench_again(out, i); i++)
        rc = measure_delayed(&l, err);
    if (rc == 0)
        bench_put(out, "delayed_lateness", bench_median(&l.p99), "p50 %.2f ms, largest %.2f ms; median of %zu, of %d jobs each",
                  bench_median(&l.p50), bench_quantile(&l.largest, 1), l.p99.n, DUE_JOBS);
    return rc;
}

/* ---- retries ---- */

#define RETRY_JOBS     5000
#define RETRY_ATTEMPTS 10 /* role_node.c */

static int run_retry(bench_out *out, dureq_error *err)
{
    RIG_AUTO r = {.redis = NULL};
    ROLE_AUTO producer = {.pid = 0};
    ROLE_AUTO node = {.pid = 0};
    BENCH_SAMPLES_AUTO per_s = {0};
    role_words answer = {.n = 0};
    int rc = rig_open(&r, &(rig_options){.append_only = false}, err);

    if (rc == 0)
        rc = rig_start(&r, &producer, "producer", err, NULL);
    if (rc == 0)
        rc = rig_start(&r, &node, "node", err, "--mode=retry", "--drained=1", NULL);
    for (size_t i = 0; rc == 0 && bench_again(out, i); i++) {
        int64_t begun;

        rc = role_ask(&producer, NULL, err, "enqueue n=%d", RETRY_JOBS);
        begun = dq_mono_us();
        if (rc == 0)
            rc = role_ask(&node, NULL, err, "drain on=0");
        if (rc == 0)
            rc = role_ask(&node, &answer, err, "wait completed=%zu", (i + 1) * RETRY_JOBS);
        if (rc == 0)
            rc = role_ask(&node, NULL, err, "drain on=1");
        bench_samples_add(&per_s, RETRY_JOBS * RETRY_ATTEMPTS * 1e6 / (role_get(&answer, "at_us", 0) - (double)begun));
    }
    if (rc == 0)
        bench_put(out, "retry_rate", bench_median(&per_s), "%d attempts each; median of %zu", RETRY_ATTEMPTS, per_s.n);
    return rc;
}

/* ---- what holds up the server longest ---- */

/* How long this command took, by percentile ("p100") since CONFIG RESETSTAT. The slow log has no EXEC, only what is inside of it. */
static int read_latency(rig *r, const char *command, const char *percentile, double *ret_us, dureq_error *err)
{
    DQ_BUF_AUTO line = {0};
    DQ_BUF_AUTO name = {0};
    dq_reply reply;
    const char *at;
    int rc = wire_words(&r->w, "INFO latencystats", &reply, err);

    if (rc < 0)
        return rc;
    dq_buf_append_str(&line, dq_reply_str(reply));
    dq_buf_append_fmt(&name, "latency_percentiles_usec_%s:", command);
    at = line.failed || name.failed ? NULL : strstr(line.ptr ? line.ptr : "", name.ptr);
    dq_buf_clear(&name);
    dq_buf_append_fmt(&name, "%s=", percentile);
    at = at ? strstr(at, name.ptr) : NULL;
    if (!at)
        return dq_fail(err, DUREQ_EPROTO, "the server says nothing of how long %s took", command);
    *ret_us = strtod(at + strlen(name.ptr), NULL);
    return 0;
}

/* From the start again, for these percentiles. */
static int track_latency(rig *r, dureq_error *err)
{
    DQ_BUF_AUTO out = {0};

    dq_resp_begin(&out, 4);
    dq_resp_arg(&out, DQ_STR_LIT("CONFIG"));
    dq_resp_arg(&out, DQ_STR_LIT("SET"));
    dq_resp_arg(&out, DQ_STR_LIT("latency-tracking-info-percentiles"));
    dq_resp_arg(&out, DQ_STR_LIT("50 99 100"));
    wire_put(&out, "CONFIG RESETSTAT");
    return wire_call(&r->w, &out, 2, NULL, err);
}

#define BURST 50000

/* Load, and then 50,000 jobs that fall due in the same millisecond. The node holds four jobs a thread: its turns are as large as they get. */
static int load_and_burst(load_rig *l, dureq_error *err)
{
    load_run run = {0};
    double per_s;
    int64_t n;
    int rc = load_open(l, &(load_options){.concurrency = 400, .threads = 100}, err);

    if (rc == 0)
        rc = slow_watch(&l->rig, err);
    if (rc == 0)
        rc = load_size(l, /*seconds=*/4, &n, &per_s, err);
    if (rc == 0)
        rc = track_latency(&l->rig, err);
    if (rc == 0)
        rc = load_measure(l, n, &run, err);
    l->completed += BURST;
    if (rc == 0)
        rc = role_ask(&l->producer, NULL, err, "enqueue n=%d batch=%d due_ms=%lld due_per_s=1e12", BURST, LOAD_CALL,
                      (long long)dq_wall_ms() + 3000);
    if (rc == 0)
        rc = role_ask(&l->node, NULL, err, "wait completed=%lld", (long long)l->completed);
    return rc;
}

typedef struct turns {
    bench_samples p50, p99, longest; /* us; one of each run */
} turns;

static void turns_deinit(turns *t)
{
    bench_samples_deinit(&t->p50);
    bench_samples_deinit(&t->p99);
    bench_samples_deinit(&t->longest);
}

static int read_turns(rig *r, turns *ret, dureq_error *err)
{
    const struct {
        const char *percentile;
        bench_samples *to;
    } parts[] = {{"p50", &ret->p50}, {"p99", &ret->p99}, {"p100", &ret->longest}};
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < DQ_ARRAY_LEN(parts); i++) {
        double us = 0;

        rc = read_latency(r, "exec", parts[i].percentile, &us, err);
        bench_samples_add(parts[i].to, us);
    }
    return rc;
}

static int run_longest(bench_out *out, dureq_error *err)
{
    DQ_CLEANUP(turns_deinit) turns t = {.p50 = {0}};
    slow_scripts s = {0};
    size_t n = 0;
    int rc = 0;

    for (; rc == 0 && bench_again(out, n); n++) {
        LOAD_AUTO l = {.lead = 0};

        rc = load_and_burst(&l, err);
        if (rc == 0)
            rc = slow_read(&l.rig, &s, err);
        if (rc == 0)
            rc = read_turns(&l.rig, &t, err);
    }
    if (rc < 0)
        return rc;
    bench_put(out, "longest_script", (double)s.longest_us / 1000,
              "wall time; second %.2f ms, %zu over 5 ms; in %s; longest of %zu runs", (double)s.second_us / 1000, s.n_over,
              s.script, n);
    bench_put(out, "longest_turn", bench_quantile(&t.longest, 1) / 1000,
              "wall time; p50 %.2f ms, p99 %.2f ms (medians); longest of %zu runs", bench_median(&t.p50) / 1000,
              bench_median(&t.p99) / 1000, n);
    return 0;
}

/* ---- an idle node ---- */

#define SETTLE_S 3
#define WATCH_S  5

/* Commands of connections, as MONITOR shows them until our mark; what scripts call does not count. */
static int count_commands(wire *monitor, int64_t *ret, dureq_error *err)
{
    for (;;) {
        dq_reply reply;
        dureq_str line;
        int rc = wire_next(monitor, &reply, err);

        if (rc < 0)
            return rc;
        line = dq_reply_str(reply);
        if (memmem(line.ptr, line.len, "bench-end", 9))
            return 0;
        *ret += !memmem(line.ptr, line.len, "[0 lua]", 7);
    }
}

/* One look: its length is the measurement, not a wait for something. */
static int watch_idle(rig *r, int64_t *ret, dureq_error *err)
{
    WIRE_AUTO monitor = {.fd = -1};
    int rc = wire_open(&monitor, test_redis_socket(r->redis), err);

    if (rc == 0)
        rc = wire_words(&monitor, "MONITOR", NULL, err);
    role_sleep_until_us(dq_mono_us() + WATCH_S * 1000000);
    if (rc == 0)
        rc = wire_words(&r->w, "ECHO bench-end", NULL, err);
    return rc < 0 ? rc : count_commands(&monitor, ret, err);
}

static int run_idle_commands(bench_out *out, dureq_error *err)
{
    RIG_AUTO r = {.redis = NULL};
    ROLE_AUTO node = {.pid = 0};
    BENCH_SAMPLES_AUTO per_s = {0};
    int rc = rig_open(&r, &(rig_options){.append_only = false}, err);

    if (rc == 0)
        rc = rig_start(&r, &node, "node", err, NULL);
    if (rc < 0)
        return rc;
    role_sleep_until_us(dq_mono_us() + SETTLE_S * 1000000);
    for (size_t i = 0; rc == 0 && bench_again(out, i); i++) {
        int64_t n = 0;

        rc = watch_idle(&r, &n, err);
        bench_samples_add(&per_s, (double)n / WATCH_S);
    }
    if (rc == 0)
        bench_put(out, "idle_commands", bench_median(&per_s), "one shard; median of %zu looks of %d s", per_s.n, WATCH_S);
    return rc;
}

#define ROW(name, what, unit, target, at_least) \
    (const bench_row[])                         \
    {                                           \
        {#name, what, unit, target, at_least},  \
        {                                       \
            NULL, NULL, NULL, 0, false          \
        }                                       \
    }

static const bench_row longest_rows[] = {
    {"longest_script", "longest script under load", "ms", 5, false},
    {"longest_turn", "longest EXEC of a turn under load", "ms", 5, false},
    {NULL, NULL, NULL, 0, false},
};

const bench_group bench_time_groups[] = {
    {"delayed_lateness", ROW(delayed_lateness, "delayed jobs, 1,000 due a second, p99 late", "ms", 5, false), run_delayed, false},
    {"retry_rate", ROW(retry_rate, "attempts that fail and run again", "attempts/s", 60000, true), run_retry, false},
    {"longest", longest_rows, run_longest, false},
    {"idle_commands", ROW(idle_commands, "commands of an idle node", "a s and shard", 1, false), run_idle_commands, false},
    {NULL, NULL, NULL, false},
};
