/* SPDX-License-Identifier: Apache-2.0 */
/* What happens by time: delayed jobs, retries, the longest script, and what an idle node does. */
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "load.h"
#include "stats.h"
#include "store/script.h"
#include "store/scripts.h"

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

static int run_delayed(bench_out *out, dureq_error *err)
{
    LOAD_AUTO l = {.lead = 0};
    BENCH_SAMPLES_AUTO s = {0};
    int64_t due_ms;
    int rc = load_open(&l, &(load_options){.board_jobs = DUE_JOBS}, err);

    if (rc < 0)
        return rc;
    due_ms = dq_wall_ms() + 3000;
    rc = role_ask(&l.producer, NULL, err, "enqueue n=%d batch=%d due_ms=%lld due_per_s=%d", DUE_JOBS, BENCH_BATCH,
                  (long long)due_ms, DUE_PER_S);
    if (rc == 0)
        rc = role_ask(&l.node, NULL, err, "wait completed=%d", DUE_JOBS);
    if (rc < 0)
        return rc;

    take_lateness(l.rig.board, due_ms, &s);
    bench_put(out, "delayed_lateness", bench_quantile(&s, 0.99) / 1000, "p50 %.2f ms, largest %.2f ms, of %zu",
              bench_quantile(&s, 0.5) / 1000, bench_quantile(&s, 1) / 1000, s.n);
    return 0;
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

/* ---- the longest script ---- */

typedef struct slow {
    int64_t longest_us, second_us;
    size_t n_over;   /* 5 ms */
    char script[32]; /* the longest one */
} slow;

/* Scripts that a client sends as text are told by their kind alone. */
static const char *script_name(dureq_str sha)
{
    for (size_t i = 0; i < DQ_SCRIPT_COUNT; i++)
        if (dq_str_eq_text(sha, dq_scripts[i].sha1))
            return dq_scripts[i].name;
    return "sent as text";
}

static void take_slow_entry(dq_reply entry, slow *s)
{
    dq_reply words = dq_reply_at(entry, 3);
    dureq_str name = dq_reply_str(dq_reply_at(words, 0)), sha = dq_reply_str(dq_reply_at(words, 1));
    int64_t us = dq_reply_int(dq_reply_at(entry, 2));

    if (name.len < 4 || strncasecmp(name.ptr, "eval", 4) != 0)
        return;
    s->n_over += us > 5000;
    if (us <= s->longest_us) {
        s->second_us = DQ_MAX(s->second_us, us);
        return;
    }
    s->second_us = s->longest_us;
    s->longest_us = us;
    snprintf(s->script, sizeof(s->script), "%s", script_name(sha));
}

static int read_slow(rig *r, slow *ret, dureq_error *err)
{
    dq_reply reply, entry;
    int rc = wire_words(&r->w, "SLOWLOG GET -1", &reply, err);

    if (rc < 0)
        return rc;
    entry = dq_reply_first(reply);
    for (size_t i = 0; i < dq_reply_len(reply); i++, entry = dq_reply_next(entry))
        take_slow_entry(entry, ret);
    return 0;
}

/* Load, and then 50,000 jobs that fall due in the same millisecond. */
static int run_longest_script(bench_out *out, dureq_error *err)
{
    LOAD_AUTO l = {.lead = 0};
    slow s = {0};
    load_run run = {0};
    double per_s;
    int64_t n;
    const int burst = 50000;
    int rc = load_open(&l, &(load_options){.append_only = false}, err);

    if (rc == 0)
        rc = wire_words(&l.rig.w, "CONFIG SET slowlog-log-slower-than 300 slowlog-max-len 20000", NULL, err);
    if (rc == 0)
        rc = load_size(&l, /*seconds=*/10, &n, &per_s, err);
    if (rc == 0)
        rc = load_measure(&l, n, &run, err);
    l.completed += burst;
    if (rc == 0)
        rc = role_ask(&l.producer, NULL, err, "enqueue n=%d batch=%d due_ms=%lld due_per_s=1e12", burst, LOAD_CALL,
                      (long long)dq_wall_ms() + 4000);
    if (rc == 0)
        rc = role_ask(&l.node, NULL, err, "wait completed=%lld", (long long)l.completed);
    if (rc == 0)
        rc = read_slow(&l.rig, &s, err);
    if (rc == 0)
        bench_put(out, "longest_script", (double)s.longest_us / 1000, "wall time; second %.2f ms, %zu over 5 ms; in %s",
                  (double)s.second_us / 1000, s.n_over, s.script);
    return rc;
}

/* ---- an idle node ---- */

#define SETTLE_S 3
#define WATCH_S  10

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

static int run_idle_commands(bench_out *out, dureq_error *err)
{
    RIG_AUTO r = {.redis = NULL};
    ROLE_AUTO node = {.pid = 0};
    WIRE_AUTO monitor = {.fd = -1};
    int64_t n = 0;
    int rc = rig_open(&r, &(rig_options){.append_only = false}, err);

    if (rc == 0)
        rc = rig_start(&r, &node, "node", err, NULL);
    if (rc == 0)
        rc = wire_open(&monitor, test_redis_socket(r.redis), err);
    if (rc < 0)
        return rc;
    /* The length of the measurement, not a wait for something. */
    role_sleep_until_us(dq_mono_us() + SETTLE_S * 1000000);
    rc = wire_words(&monitor, "MONITOR", NULL, err);
    role_sleep_until_us(dq_mono_us() + WATCH_S * 1000000);
    if (rc == 0)
        rc = wire_words(&r.w, "ECHO bench-end", NULL, err);
    if (rc == 0)
        rc = count_commands(&monitor, &n, err);
    if (rc == 0)
        bench_put(out, "idle_commands", (double)n / WATCH_S, "%lld in %d s, one shard", (long long)n, WATCH_S);
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

const bench_group bench_time_groups[] = {
    {"delayed_lateness", ROW(delayed_lateness, "delayed jobs, 1,000 due a second, p99 late", "ms", 5, false), run_delayed, false},
    {"retry_rate", ROW(retry_rate, "attempts that fail and run again", "attempts/s", 60000, true), run_retry, false},
    {"longest_script", ROW(longest_script, "longest script under load", "ms", 5, false), run_longest_script, false},
    {"idle_commands", ROW(idle_commands, "commands of an idle node", "a s and shard", 1, false), run_idle_commands, false},
    {NULL, NULL, NULL, false},
};
