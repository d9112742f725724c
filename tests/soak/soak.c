/* SPDX-License-Identifier: Apache-2.0 */
/* An hour at half of the maximum rate with a fault every ten seconds, and then: has anything been lost or done twice, and is memory back where it
   was? Two nodes and two producers are processes of their own, Redis is a real one that syncs its append-only file always, so that nothing at
   all may be lost. One node and one producer are never killed: their memory, and the keys of Redis, are what a leak would show in.

   First the maximum rate is measured, with these very processes and no fault; then the load that is to come, with each fault once, warms everything up; when
   all of it has ended memory is read (the baseline). Jobs are not kept when they end, except for dead ones, which go after half a minute.

     soak [min=60] [seed=S]       the order of faults follows from the seed, which is printed

   DUREQ_SOAK_REPORT=FILE: a run of half an hour or more writes what it found between the marks of that file. DUREQ_FAULT_LOG=1: what nodes and producers
   say. DUREQ_SOAK_KEYS=1: each key and its bytes, whenever memory is read. Ends with 1 when anything is wrong. */

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "client/stats.h"
#include "doctor/doctor.h"
#include "fault_wait.h"
#include "soak_fault.h"
#include "soak_memory.h"
#include "soak_role.h"
#include "test_report.h"

#define MINUTES        60
#define REPORT_MINUTES 30
#define RAMP_MS        5000 /* of the measurement, not counted */
#define MEASURE_MS     15000
#define FAULT_EACH_MS  10000
#define MINUTE_MS      60000
#define HOLD_LIMIT_MS  70000
#define DRAIN_LIMIT_MS 300000 /* dead jobs are looked for once a minute */
#define DOCTOR_MS      3000
#define RATE_GUESS_MAX 200000
#define KB_SHARE       5 /* percent that memory may be over the baseline */
#define KEYS_SHARE     1
#define KEYS_BYTES     512 /* all keys are a few KB, and numbers of sessions and the like get more digits */

typedef struct soak {
    soak_scene scene;
    dureq_client *client;
    int64_t minutes, seed;
    double rate_max;
    int64_t began_us;
    int64_t soak_ms, soaked; /* how long the soak proper was, and jobs that ran in it */
    soak_memory before, after;
    soak_tally tally;
    dq_day_stats stats; /* of all days */
    int n_wrong;
} soak;

/* ---- the scene ---- */

static void open_scene(soak *s)
{
    /* The file is rewritten before it takes long to be read. */
    static const char *const args[] = {"--auto-aof-rewrite-min-size", "256mb", NULL};
    test_redis_options ro = {.append_only = true, .extra_args = args};
    dureq_client_options o = dureq_client_options_init();
    dureq_error err = {0};

    dq_rng_seed(&s->scene.rng, (uint64_t)s->seed);
    s->scene.server = test_redis_start(&ro);
    s->scene.url = test_redis_url(s->scene.server);
    s->scene.board_fd = soak_board_create((s->minutes + 3) * 60 * RATE_GUESS_MAX, &s->scene.board);
    o.redis_url = s->scene.url;
    o.prefix = SOAK_PREFIX;
    if (dureq_client_create(&o, &s->client, &err) < 0)
        fault_die("client: %s", err.msg);
    for (int i = 0; i < SOAK_N_PROCESSES; i++)
        soak_scene_spawn(&s->scene, (soak_who)i);
}

static void close_scene(soak *s)
{
    for (int i = SOAK_N_NODES; i < SOAK_N_PROCESSES; i++)
        fault_node_kill(&s->scene.processes[i]);
    for (int i = 0; i < SOAK_N_NODES; i++)
        fault_node_stop(&s->scene.processes[i]);
    dureq_client_destroy(s->client);
    test_redis_stop(s->scene.server);
    (void)close(s->scene.board_fd);
}

static dureq_counts count(soak *s)
{
    dureq_counts n = {0};
    dureq_error err = {0};

    if (dureq_client_count(s->client, &n, &err) < 0)
        fault_die("count: %s", err.msg);
    return n;
}

static int64_t backlog_of(const dureq_counts *n)
{
    return n->pending + n->scheduled + n->running + n->retrying + n->paused;
}

static bool is_drained(void *userdata)
{
    dureq_counts n = count(userdata);

    return backlog_of(&n) + n.dead == 0;
}

static bool is_idle(void *userdata)
{
    soak *s = userdata;

    return atomic_load(&s->scene.board->is_idle[SOAK_PRODUCER]) && atomic_load(&s->scene.board->is_idle[SOAK_PRODUCER_2]);
}

static void drain(soak *s)
{
    atomic_store(&s->scene.board->rate, 0);
    if (!fault_wait(HOLD_LIMIT_MS, is_idle, s))
        fault_die("a producer does not come back from its call");
    if (!fault_wait(DRAIN_LIMIT_MS, is_drained, s)) {
        dureq_counts n = count(s);

        fault_die("not drained: %lld wait or run, %lld dead", (long long)backlog_of(&n), (long long)n.dead);
    }
}

static soak_memory read_memory(soak *s)
{
    const fault_node *p = s->scene.processes;

    if (getenv("DUREQ_SOAK_KEYS"))
        soak_memory_print_keys(s->scene.server);
    return soak_memory_read(s->scene.server, p[SOAK_NODE].pid, p[SOAK_PRODUCER].pid);
}

static void say(const char *fmt, ...) DUREQ_PRINTF(1, 2);
static void say(const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    (void)vprintf(fmt, args);
    va_end(args);
    (void)fflush(stdout);
}

/* ---- load ---- */

static void measure_rate(soak *s)
{
    soak_board *b = s->scene.board;
    int64_t began_us, ran;

    atomic_store(&b->rate, SOAK_RATE_MAX);
    fault_pass(RAMP_MS);
    began_us = dq_mono_us();
    ran = atomic_load(&b->ran);
    fault_pass(MEASURE_MS);
    s->rate_max = (double)(atomic_load(&b->ran) - ran) * 1e6 / (double)(dq_mono_us() - began_us);
    say("maximum rate: %.0f jobs/s over %d s\n", s->rate_max, MEASURE_MS / 1000);
}

static int n_faults(void)
{
    int n = 0;

    for (int i = 0; i < SOAK_N_FAULTS; i++)
        n += soak_faults[i].n;
    return n;
}

static void tell_minute(soak *s, int64_t minute, int64_t ran, int64_t ms)
{
    const fault_node *p = s->scene.processes;
    dureq_counts n = count(s);

    say("%3" PRId64 " min  %6.0f jobs/s  %6lld wait or run  node %lld KB  producer %lld KB  used_memory %.1f MB  %d faults\n",
        minute, (double)ran * 1000 / (double)DQ_MAX(ms, 1), (long long)backlog_of(&n), soak_resident_kb(p[SOAK_NODE].pid),
        soak_resident_kb(p[SOAK_PRODUCER].pid), (double)soak_used_memory(s->scene.server) / 1e6, n_faults());
}

typedef struct minute {
    int64_t at_us, ran;
} minute;

static minute look_at_clock(soak *s)
{
    return (minute){.at_us = dq_mono_us(), .ran = atomic_load(&s->scene.board->ran)};
}

/* The load at half of the maximum rate with n faults. One may last longer than usual on a busy machine; the next one then comes at its own time, or at
   once. */
static void run_load(soak *s, int64_t n, bool tell)
{
    minute began = look_at_clock(s), last = began, now;

    atomic_store(&s->scene.board->rate, (int64_t)(s->rate_max / 2));
    for (int64_t i = 1; i <= n; i++) {
        fault_pass(DQ_MAX(i * FAULT_EACH_MS - (dq_mono_us() - began.at_us) / 1000, 0));
        soak_fault_next(&s->scene);
        now = look_at_clock(s);
        if (tell && i * FAULT_EACH_MS % MINUTE_MS == 0) {
            tell_minute(s, i * FAULT_EACH_MS / MINUTE_MS, now.ran - last.ran, (now.at_us - last.at_us) / 1000);
            last = now;
        }
    }
    now = look_at_clock(s);
    s->soak_ms = (now.at_us - began.at_us) / 1000;
    s->soaked = now.ran - began.ran;
}

/* With each fault once: what is made when a thing happens first is no leak. */
static void warm_up(soak *s)
{
    run_load(s, SOAK_N_FAULTS, /*tell=*/false);
    drain(s);
    s->before = read_memory(s);
    soak_faults_reset();
    say("baseline: node %lld KB, producer %lld KB, %lld keys of %lld bytes, used_memory %.1f MB\n", s->before.node_kb,
        s->before.producer_kb, s->before.state.n, s->before.state.bytes, (double)s->before.used / 1e6);
}

/* ---- the verdict ---- */

static void expect(soak *s, bool is_so, const char *fmt, ...) DUREQ_PRINTF(3, 4);
static void expect(soak *s, bool is_so, const char *fmt, ...)
{
    va_list args;

    if (is_so)
        return;
    s->n_wrong++;
    (void)fflush(stdout);
    (void)fputs("WRONG: ", stderr);
    va_start(args, fmt);
    (void)vfprintf(stderr, fmt, args);
    va_end(args);
    (void)fputc('\n', stderr);
}

static void ask_doctor(soak *s)
{
    dq_doctor_options o = {.settle_ms = DOCTOR_MS};
    dq_doctor_report r;
    dureq_error err = {0};

    if (dq_doctor_run(s->client, &o, &r, &err) < 0)
        fault_die("doctor: %s", err.msg);
    for (size_t i = 0; i < r.n_faults && i < 20; i++)
        fprintf(stderr, "  %s %s %s: %s\n", dq_fault_kind_to_str(r.faults[i].kind), r.faults[i].key, r.faults[i].id,
                r.faults[i].text);
    expect(s, r.n_found == 0, "the doctor found %lld faults", (long long)r.n_found);
    dq_doctor_report_deinit(&r);
}

/* What the engine itself counted; it may have been midnight since. */
static void read_stats(soak *s)
{
    dq_day_stats days[3];
    dureq_error err = {0};

    if (dq_client_days(s->client, DQ_ARRAY_LEN(days), days, &err) < 0)
        fault_die("statistics: %s", err.msg);
    for (size_t i = 0; i < DQ_ARRAY_LEN(days); i++) {
        s->stats.enqueued += days[i].enqueued;
        s->stats.completed += days[i].completed;
        s->stats.dead += days[i].dead;
        s->stats.cancelled += days[i].cancelled;
    }
}

static void judge_jobs(soak *s)
{
    const soak_tally *t = &s->tally;
    int64_t ended = s->stats.completed + s->stats.dead + s->stats.cancelled;

    expect(s, t->lost == 0, "%" PRId64 " acknowledged jobs never ran", t->lost);
    expect(s, t->refused_and_started == 0, "%" PRId64 " jobs were refused and ran", t->refused_and_started);
    expect(s, s->stats.enqueued == t->there, "%" PRId64 " jobs were taken by the engine's count, %" PRId64 " by ours",
           s->stats.enqueued, t->there);
    expect(s, ended == t->there, "%" PRId64 " ends were recorded for %" PRId64 " jobs", ended, t->there);
    expect(s, atomic_load(&s->scene.board->unknown) == 0, "%" PRId64 " answers were unknown",
           atomic_load(&s->scene.board->unknown));
    expect(s, atomic_load(&s->scene.board->failed) == 0, "%" PRId64 " jobs were refused for nothing that was done",
           atomic_load(&s->scene.board->failed));
}

static double percent_over(long long after, long long before)
{
    return before ? (double)(after - before) * 100 / (double)before : 0;
}

/* Statistics have a key for each minute, hour and day; a producer has one for an hour; and there is one with the names of sessions. */
static int64_t timed_keys_max(const soak *s)
{
    int64_t minutes = (dq_mono_us() - s->began_us) / 60000000 + 2;

    return minutes + minutes / 60 + 2 + minutes / 1440 + 2 + s->scene.n_producers + 1;
}

static void judge_memory(soak *s)
{
    const soak_memory *a = &s->after, *b = &s->before;

    expect(s, percent_over(a->node_kb, b->node_kb) <= KB_SHARE, "the node grew from %lld to %lld KB", b->node_kb, a->node_kb);
    expect(s, percent_over(a->producer_kb, b->producer_kb) <= KB_SHARE, "the producer grew from %lld to %lld KB", b->producer_kb,
           a->producer_kb);
    expect(s, percent_over(a->state.n, b->state.n) <= KEYS_SHARE, "keys of Redis: %lld, before %lld", a->state.n, b->state.n);
    expect(s, percent_over(a->state.bytes, b->state.bytes) <= KEYS_SHARE || a->state.bytes - b->state.bytes <= KEYS_BYTES,
           "keys of Redis take %lld bytes, before %lld", a->state.bytes, b->state.bytes);
    expect(s, a->timed.n <= timed_keys_max(s), "%lld keys are kept for a time, %" PRId64 " should be", a->timed.n,
           timed_keys_max(s));
}

/* Within lease + 1 s. A run in which the machine had no time for us most of the time has shown nothing. */
static void judge_recovery(soak *s, const soak_fault *f)
{
    expect(s, s->minutes == 1 || f->n > 0, "%s: never", f->name);
    expect(s, f->n_aside <= DQ_MAX(f->n / 2, 1), "%s: the machine stood still in %d of %d recoveries", f->name, f->n_aside, f->n);
    expect(s, f->elsewhere_ms <= FAULT_RECOVER_MS, "%s: what it ran was running elsewhere after %" PRId64 " ms only", f->name,
           f->elsewhere_ms);
    expect(s, f->at_work_ms <= FAULT_RECOVER_MS, "%s: everyone was at work after %" PRId64 " ms only", f->name, f->at_work_ms);
    expect(s, !f->takes_jobs || s->minutes < REPORT_MINUTES || f->n_jobs > 0, "%s: nothing ran there any time", f->name);
}

static void judge(soak *s)
{
    drain(s);
    ask_doctor(s);
    s->after = read_memory(s);
    read_stats(s);
    s->tally = soak_board_tally(s->scene.board);
    judge_jobs(s);
    judge_memory(s);
    for (int i = 0; i < SOAK_N_FAULTS; i++)
        judge_recovery(s, &soak_faults[i]);
}

/* ---- the report ---- */

static void report_head(const soak *s, dq_buf *out)
{
    test_report_head(out, "make soak", s->scene.server);
    dq_buf_append_fmt(out, ", append-only file `always`, %.0f minutes, seed %" PRId64 ".\n\n", (double)s->soak_ms / 60000,
                      s->seed);
}

static void report_jobs(const soak *s, dq_buf *out)
{
    const soak_tally *t = &s->tally;

    dq_buf_append_text(out, "| what | counted |\n| --- | --- |\n");
    dq_buf_append_fmt(out, "| jobs a second | %.0f, of %.0f that were measured at most |\n",
                      (double)s->soaked * 1000 / (double)DQ_MAX(s->soak_ms, 1), s->rate_max);
    dq_buf_append_fmt(out,
                      "| jobs | %" PRId64 " acknowledged, %" PRId64 " refused as duplicates, %" PRId64
                      " of producers that were killed before they knew (%" PRId64 " there) |\n",
                      t->acknowledged, t->refused, t->orphaned, t->orphaned_and_there);
    dq_buf_append_fmt(out, "| acknowledged and lost | %" PRId64 " |\n", t->lost);
    dq_buf_append_fmt(out, "| ends that the engine recorded | %" PRId64 " (%" PRId64 " dead) for %" PRId64 " jobs |\n",
                      s->stats.completed + s->stats.dead + s->stats.cancelled, s->stats.dead, t->there);
    dq_buf_append_fmt(out, "| starts of handlers | %" PRId64 ", %" PRId64 " of them again (%.4f %%) |\n", t->starts, t->again,
                      (double)t->again * 100 / (double)DQ_MAX(t->starts, 1));
}

static void report_faults(dq_buf *out)
{
    for (int i = 0; i < SOAK_N_FAULTS; i++) {
        const soak_fault *f = &soak_faults[i];

        dq_buf_append_fmt(out, "| %s | %d times; ", f->name, f->n);
        if (f->takes_jobs)
            dq_buf_append_fmt(out, "the %" PRId64 " slow jobs that it ran were running elsewhere after %" PRId64 " ms at most, ",
                              f->n_jobs, f->elsewhere_ms);
        if (f->loading_ms)
            dq_buf_append_fmt(out, "it had read its file %" PRId64 " ms after its end at most, ", f->loading_ms);
        dq_buf_append_fmt(out, "everyone at work %" PRId64 " ms after it at most", f->at_work_ms);
        if (f->n_aside > 0)
            dq_buf_append_fmt(out, " (%d not judged: the machine stood still)", f->n_aside);
        dq_buf_append_text(out, " |\n");
    }
}

static void report_growth(dq_buf *out, const char *what, long long before, long long after, const char *unit)
{
    dq_buf_append_fmt(out, "| %s | %lld %s, before %lld (%+.2f %%) |\n", what, after, unit, before, percent_over(after, before));
}

static void report_memory(const soak *s, dq_buf *out)
{
    const soak_memory *a = &s->after, *b = &s->before;

    report_growth(out, "memory of the node that lived through it", b->node_kb, a->node_kb, "KB");
    report_growth(out, "memory of the producer that lived through it", b->producer_kb, a->producer_kb, "KB");
    report_growth(out, "keys of Redis", b->state.n, a->state.n, "keys");
    report_growth(out, "bytes of these keys", b->state.bytes, a->state.bytes, "bytes");
    dq_buf_append_fmt(out, "| beside them, kept for a time | %lld keys, %lld bytes, before %lld and %lld |\n", a->timed.n,
                      a->timed.bytes, b->timed.n, b->timed.bytes);
    dq_buf_append_fmt(out, "| events, capped by bytes | %lld bytes, before %lld |\n", a->events.bytes, b->events.bytes);
    dq_buf_append_fmt(out, "| `used_memory` | %lld bytes, before %lld |\n", a->used, b->used);
}

static void report(const soak *s)
{
    const char *path = getenv("DUREQ_SOAK_REPORT");
    dq_buf out = {0};

    report_head(s, &out);
    report_jobs(s, &out);
    report_faults(&out);
    report_memory(s, &out);
    if (s->n_wrong > 0)
        dq_buf_append_fmt(&out, "\n**%d things were wrong.**\n", s->n_wrong);
    if (dq_buf_failed(&out))
        fault_die("no memory for the report");
    say("\n%s\n%s\n", out.ptr, s->n_wrong ? "soak: FAILED" : "soak: nothing lost, nothing twice, nothing grown");
    if (path && path[0] && s->minutes >= REPORT_MINUTES)
        test_report_write(path, "<!-- soak -->", "<!-- end soak -->", out.ptr);
    dq_buf_deinit(&out);
}

/* ---- start ---- */

static bool number(const char *arg, const char *name, int64_t most, int64_t *ret)
{
    size_t len = strlen(name);

    return strncmp(arg, name, len) == 0 && dq_parse_i64(dureq_str_from(arg + len), 1, most, ret) == 0;
}

int main(int argc, char **argv)
{
    soak s = {.minutes = MINUTES, .seed = time(NULL), .began_us = dq_mono_us()};

    soak_role_main(argc, argv);
    for (int i = 1; i < argc; i++)
        if (!number(argv[i], "min=", 24 * 60, &s.minutes) && !number(argv[i], "seed=", INT64_MAX, &s.seed))
            fault_die("%s is no option: soak [min=%d] [seed=S]", argv[i], MINUTES);
    say("soak of %" PRId64 " minutes, seed %" PRId64 "\n", s.minutes, s.seed);
    open_scene(&s);
    measure_rate(&s);
    warm_up(&s);
    run_load(&s, s.minutes * MINUTE_MS / FAULT_EACH_MS, /*tell=*/true);
    judge(&s);
    report(&s);
    close_scene(&s);
    return s.n_wrong > 0;
}
