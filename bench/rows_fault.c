/* SPDX-License-Identifier: Apache-2.0 */
/* A node that is killed, and a Redis that stands still. */
#include <stdio.h>
#include <string.h>

#include "rig.h"
#include "stats.h"

/* ---- a killed node ---- */

#define HELD       100 /* jobs that the node holds: its concurrency */
#define POLL_US    5000
#define LIMIT_US   40000000
#define SETTLE_US  2000000 /* a heartbeat has reported the starts by then */
#define FIRST_NODE 1       /* started_by: 1 + --number */
#define OTHER_NODE 2

typedef struct fault_rig {
    rig rig;
    role_proc producer, first, other;
} fault_rig;

static void fault_close(fault_rig *f)
{
    role_deinit(&f->producer);
    role_deinit(&f->first);
    role_deinit(&f->other);
    rig_close(&f->rig);
}

/* The numbers of the jobs that ran last on `node`. */
static int64_t list_jobs(const board *b, int32_t node, int64_t *ret, int64_t max)
{
    int64_t n = 0;

    for (int64_t i = 0; i < b->n && n < max; i++)
        if (atomic_load(&b->jobs[i].started_by) == node)
            ret[n++] = i;
    return n;
}

static bool all_on(const board *b, const int64_t *jobs, int64_t n, int32_t node)
{
    for (int64_t i = 0; i < n; i++)
        if (atomic_load(&b->jobs[jobs[i]].started_by) != node)
            return false;
    return true;
}

/* The first node holds jobs for ever; the other one is slow enough to have a backlog until the end. */
static int fill(fault_rig *f, int64_t n_jobs, dureq_error *err)
{
    int rc = rig_start(&f->rig, &f->first, "node", err, "--number=0", "--mode=sleep", "--sleep_us=-1", NULL);

    if (rc == 0)
        rc = rig_start(&f->rig, &f->producer, "producer", err, NULL);
    if (rc == 0)
        rc = role_ask(&f->producer, NULL, err, "enqueue n=%lld batch=1024", (long long)n_jobs);
    if (rc == 0)
        rc = role_ask(&f->first, NULL, err, "wait running=%d", HELD);
    if (rc == 0)
        rc = rig_start(&f->rig, &f->other, "node", err, "--number=1", "--mode=sleep", "--sleep_us=50000", NULL);
    role_sleep_until_us(dq_mono_us() + SETTLE_US);
    return rc;
}

static int recover_once(int64_t n_jobs, bench_samples *ret_s, int64_t *ret_held, dureq_error *err)
{
    DQ_CLEANUP(fault_close) fault_rig f = {.rig = {.redis = NULL}};
    int64_t held[HELD], n, begun;
    int rc = rig_open(&f.rig, &(rig_options){.has_board = true, .board_jobs = n_jobs}, err);

    if (rc == 0)
        rc = fill(&f, n_jobs, err);
    if (rc < 0)
        return rc;

    n = list_jobs(f.rig.board, FIRST_NODE, held, HELD);
    begun = dq_mono_us();
    role_kill(&f.first);
    while (!all_on(f.rig.board, held, n, OTHER_NODE)) {
        if (dq_mono_us() - begun > LIMIT_US)
            return dq_fail(err, DUREQ_ETIMEOUT, "its jobs did not all run elsewhere within %d s", LIMIT_US / 1000000);
        role_sleep_until_us(dq_mono_us() + POLL_US);
    }
    bench_samples_add(ret_s, (double)(dq_mono_us() - begun) / 1e6);
    *ret_held = n;
    return 0;
}

static int recover(int64_t n_jobs, const char *row, size_t max_runs, bench_out *out, dureq_error *err)
{
    BENCH_SAMPLES_AUTO s = {0};
    int64_t held = 0;
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < max_runs && bench_again(out, i); i++)
        rc = recover_once(n_jobs, &s, &held, err);
    if (rc == 0)
        bench_put(out, row, bench_median(&s), "%lld jobs of it, %lld queued; lease %.0f s; longest %.2f s; median of %zu",
                  (long long)held, (long long)n_jobs, BENCH_LEASE_MS / 1000.0, bench_quantile(&s, 1), s.n);
    return rc;
}

static int run_recovery(bench_out *out, dureq_error *err)
{
    return recover(100000, "recovery", BENCH_RUNS, out, err);
}

static int run_recovery_1m(bench_out *out, dureq_error *err)
{
    return recover(1000000, "recovery_1m", /*max_runs=*/1, out, err);
}

/* ---- a stall ---- */

#define STALL_JOBS 200

/* The numbers of the sessions that hold a lease, blanks around each (docs/redis-keys.md). */
static int list_sessions(rig *r, dq_buf *ret, size_t *ret_n, dureq_error *err)
{
    dq_reply reply, member;
    int rc = wire_words(&r->w, "ZRANGE {dureq:0}:lease 0 -1", &reply, err);

    if (rc < 0)
        return rc;
    *ret_n = dq_reply_len(reply);
    member = dq_reply_first(reply);
    dq_buf_append_char(ret, ' ');
    for (size_t i = 0; i < *ret_n; i++, member = dq_reply_next(member)) {
        dq_buf_append_str(ret, dq_reply_str(member));
        dq_buf_append_char(ret, ' ');
    }
    return dq_buf_finish(ret, err);
}

/* Words of `before` that `after` has no more. */
static size_t count_missing(dureq_str before, dureq_str after)
{
    size_t n = 0;

    before = dq_str_trim(before);
    while (before.len) {
        dureq_str word = dq_str_cut(&before, ' ');
        char text[64];
        int len = snprintf(text, sizeof(text), " " DQ_STR_FMT " ", DQ_STR_ARG(word));

        n += len > 0 && !memmem(after.ptr, after.len, text, (size_t)len);
    }
    return n;
}

static double count_doubled(const board *b)
{
    double n = 0;

    for (int64_t i = 0; i < b->n; i++)
        n += atomic_load(&b->jobs[i].starts) > 1;
    return n;
}

static int start_holders(fault_rig *f, dureq_error *err)
{
    int rc = rig_start(&f->rig, &f->first, "node", err, "--number=0", "--mode=sleep", "--sleep_us=-1", NULL);

    if (rc == 0)
        rc = rig_start(&f->rig, &f->other, "node", err, "--number=1", "--mode=sleep", "--sleep_us=-1", NULL);
    if (rc == 0)
        rc = rig_start(&f->rig, &f->producer, "producer", err, NULL);
    if (rc == 0)
        rc = role_ask(&f->producer, NULL, err, "enqueue n=%d", STALL_JOBS);
    if (rc == 0)
        rc = role_ask(&f->first, NULL, err, "wait running=%d", HELD);
    if (rc == 0)
        rc = role_ask(&f->other, NULL, err, "wait running=%d", HELD);
    return rc;
}

typedef struct stall {
    double sessions, missing, doubled; /* of all runs */
} stall;

static int stall_once(stall *sum, dureq_error *err)
{
    DQ_CLEANUP(fault_close) fault_rig f = {.rig = {.redis = NULL}};
    DQ_BUF_AUTO before = {0};
    DQ_BUF_AUTO after = {0};
    size_t n_before = 0, n_after = 0;
    char words[32];
    int rc = rig_open(&f.rig, &(rig_options){.has_board = true, .board_jobs = STALL_JOBS}, err);

    if (rc == 0)
        rc = start_holders(&f, err);
    if (rc == 0)
        rc = list_sessions(&f.rig, &before, &n_before, err);
    snprintf(words, sizeof(words), "DEBUG SLEEP %d", 2 * BENCH_LEASE_MS / 1000);
    if (rc == 0)
        rc = wire_words(&f.rig.w, words, NULL, err);
    /* As long as a sweep would need to take a session away. */
    role_sleep_until_us(dq_mono_us() + (BENCH_LEASE_MS + 2000) * 1000);
    if (rc == 0)
        rc = list_sessions(&f.rig, &after, &n_after, err);
    if (rc == 0 && n_before < 2)
        rc = dq_fail(err, DUREQ_EPROTO, "%zu sessions before the stall, not two", n_before);
    if (rc < 0)
        return rc;
    sum->sessions += (double)n_before;
    sum->missing += (double)count_missing(dq_buf_str(&before), dq_buf_str(&after));
    sum->doubled += count_doubled(f.rig.board);
    return 0;
}

static int run_stall(bench_out *out, dureq_error *err)
{
    stall sum = {0};
    size_t n = 0;
    int rc = 0;

    for (; rc == 0 && bench_again(out, n); n++)
        rc = stall_once(&sum, err);
    if (rc == 0)
        bench_put(out, "stall", sum.missing, "of %.0f in %zu runs, with %d jobs running in each; %.0f of these started twice",
                  sum.sessions, n, STALL_JOBS, sum.doubled);
    return rc;
}

#define ROW(name, what, unit, target)       \
    (const bench_row[])                     \
    {                                       \
        {#name, what, unit, target, false}, \
        {                                   \
            NULL, NULL, NULL, 0, false      \
        }                                   \
    }

const bench_group bench_fault_groups[] = {
    {"recovery", ROW(recovery, "node killed until its jobs run elsewhere", "s", BENCH_LEASE_MS / 1000.0 + 1), run_recovery,
     false},
    {"stall", ROW(stall, "live sessions reaped after a Redis stall", "sessions", 0), run_stall, false},
    {"recovery_1m", ROW(recovery_1m, "node killed, a million jobs queued", "s", BENCH_LEASE_MS / 1000.0 + 1), run_recovery_1m,
     true},
    {NULL, NULL, NULL, false},
};
