/* SPDX-License-Identifier: Apache-2.0 */
/* Randomised histories: producers, nodes, leaders, operators and clocks that are simulated drive the real scripts on a real Redis, and a
   small model (hist_model.c) says what each job may be in and what each call must answer.

   A seed makes a history of 30 to 96 steps (hist_play.c). A step is a kind and five numbers that are chosen beforehand and mean something
   wherever it stands: "the job of that number, modulo how many there are". So a history that fails is shrunk by dropping steps while it still
   fails, and replays from its seed. Calls are made as bytes (hist_calls.c, hist_produce.c), as programs make them. Some are sent twice (the reply
   was lost), some later than what was done after them (the connection was slow, their sender may be dead by then), some never. A node's turn goes
   over a connection of its own that watches what the worker's does, so that anything can happen between the look and EXEC, and EXEC may never
   come. Each answer is compared with the model's at once, all jobs after every few steps, and the whole shard at the end: every locator, record,
   start limit, unique key, request id, lease, row and counter.

   What is not real: the clock. The scripts read the server's time plus a number that the history steps forth and back (hist_wire.h).

     histories [seed=S] [n=N] [seconds=T]                  seed=S without n: that one, with its trace, shrunk when it fails;
                                                           without any: as many as 45 s allow, and 1000 however long it takes
     histories planted [plant=TEXT] [from=K]               each planted fault (hist_plant.c) must be found within n histories, which
                                                           pass without it; plant: those only that have this in their name;
                                                           from: not the first K

   DUREQ_TEST_SHORT=1 plays 400 at most. DUREQ_HISTORIES_REPORT=FILE: a run of 100000 and more writes what it did between the marks of that
   file. */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "fault_wait.h"
#include "hist_play.h"
#include "test_report.h"

#define DEFAULT_SECONDS 45
#define LEAST_N         1000 /* the time is over, but so many are wanted */
#define SHORT_N         400
#define REPORT_N        100000
#define PLANTED_N       10000
#define DOCTOR_EACH     100

typedef struct options {
    int64_t seed, n, least, seconds; /* as many as n within the seconds (0: no limit), and `least` whatever it takes */
    bool one, planted;
    const char *plant; /* NULL: all */
    int64_t from;
} options;

static hist h;
static bool ask_doctor; /* after each history */

static bool fails(hist_wire *w, const hist_step *steps, int n, bool trace)
{
    hist_play(&h, w, steps, n, trace);
    if (ask_doctor)
        hist_check_health(&h);
    return h.failed;
}

/* ---- shrinking: chunks, then single steps, while it still fails ---- */

static int without(const hist_step *steps, int n, int from, int len, hist_step *out)
{
    memcpy(out, steps, (size_t)from * sizeof(*steps));
    memcpy(out + from, steps + from + len, (size_t)(n - from - len) * sizeof(*steps));
    return n - len;
}

static int shrink(hist_wire *w, hist_step *steps, int n)
{
    hist_step fewer[HIST_STEPS_MAX];

    for (int len = n / 2; len > 0; len /= 2) {
        for (int from = 0; from + len <= n;) {
            int left = without(steps, n, from, len, fewer);

            if (fails(w, fewer, left, /*trace=*/false)) {
                memcpy(steps, fewer, (size_t)left * sizeof(*steps));
                n = left;
            } else {
                from += len;
            }
        }
    }
    return n;
}

static void tell(hist_wire *w, uint64_t seed, hist_step *steps, int n)
{
    int left;

    printf("seed %" PRIu64 " fails at step %d of %d: %s\n", seed, h.step, n, h.fault);
    left = shrink(w, steps, n);
    printf("shrunk to %d steps:\n", left);
    (void)fails(w, steps, left, /*trace=*/true);
    printf("FAULT %s\n      replay: make histories SEED=%" PRIu64 "\n", h.fault, seed);
    (void)fflush(stdout);
}

/* ---- runs ---- */

/* How many were played: those of consecutive seeds, the last of which may have failed. */
static int64_t play_many(hist_wire *w, const options *o, bool doctor, bool *ret_failed)
{
    int64_t until = dq_mono_us() / 1000 + o->seconds * 1000, i;
    hist_step steps[HIST_STEPS_MAX];
    int n_steps;

    *ret_failed = false;
    for (i = 0; i < o->n && !*ret_failed && (i < o->least || o->seconds == 0 || dq_mono_us() / 1000 < until); i++) {
        hist_make((uint64_t)(o->seed + i), steps, &n_steps);
        ask_doctor = doctor && i % DOCTOR_EACH == 0;
        *ret_failed = fails(w, steps, n_steps, /*trace=*/false);
    }
    return i;
}

/* A history finds a plant only when it fails with it again, and does not fail without it. */
static bool is_due_to_plant(hist_wire *with, hist_wire *without, uint64_t seed, char *ret_fault, size_t cap)
{
    hist_step steps[HIST_STEPS_MAX];
    int n;

    hist_make(seed, steps, &n);
    if (!fails(with, steps, n, /*trace=*/false))
        return false;
    (void)snprintf(ret_fault, cap, "%s", h.fault);
    return !fails(without, steps, n, /*trace=*/false);
}

/* *latest: grows to the number of the history that found it. */
static bool find_planted(const options *o, const hist_plant *plant, hist_wire *without, int *n_doubtful, int64_t *latest)
{
    hist_wire w;
    bool found = false;
    char fault[sizeof(h.fault)] = "";
    int64_t n = 0;
    hist_step steps[HIST_STEPS_MAX];
    int n_steps;

    hist_wire_open(&w, plant);
    ask_doctor = false;
    for (uint64_t seed = (uint64_t)o->seed; !found && n < o->n; seed++) {
        if (hist_kind_of(seed) != plant->of)
            continue;
        n++;
        hist_make(seed, steps, &n_steps);
        if (!fails(&w, steps, n_steps, /*trace=*/false))
            continue;
        found = is_due_to_plant(&w, without, seed, fault, sizeof(fault));
        if (!found) {
            printf("  seed %" PRIu64 " fails for another reason: %s\n", seed, h.fault[0] ? h.fault : "not again");
            ++*n_doubtful;
        }
    }
    printf("%-44s %s %" PRId64 ": %s\n", plant->name, found ? "found by history" : "NOT FOUND in", n, fault);
    (void)fflush(stdout);
    *latest = DQ_MAX(*latest, n);
    hist_wire_close(&w);
    return found;
}

/* A long run is written into the document that it is given. */
static void report_to_document(hist_wire *w, const char *command, const char *said, const char *begin, const char *end)
{
    const char *path = getenv("DUREQ_HISTORIES_REPORT");
    DQ_BUF_AUTO text = {0};

    if (!path || !path[0])
        return;
    test_report_head(&text, command, w->server);
    dq_buf_append_fmt(&text, ": %s", said);
    if (dq_buf_failed(&text))
        hist_die("report", "no memory");
    test_report_write(path, begin, end, text.ptr);
}

static int run_planted(const options *o)
{
    hist_wire without;
    int n = 0, missed = 0, doubtful = 0;
    int64_t latest = 0;
    char said[200], command[80];

    hist_wire_open(&without, NULL);
    for (size_t i = (size_t)o->from; i < hist_n_plants; i++) {
        if (!o->plant || strstr(hist_plants[i].name, o->plant)) {
            missed += !find_planted(o, &hist_plants[i], &without, &doubtful, &latest);
            n++;
        }
    }
    (void)snprintf(said, sizeof(said),
                   "%d planted, %d not found, %d failures that no plant explains, the last one found by history %" PRId64 ".\n",
                   n, missed, doubtful, latest);
    printf("%s", said);
    (void)snprintf(command, sizeof(command), "make histories-planted N=%" PRId64 " SEED=%" PRId64, o->n, o->seed);
    report_to_document(&without, command, said, "<!-- planted -->", "<!-- end planted -->");
    hist_wire_close(&without);
    return missed > 0 || doubtful > 0;
}

static int run_one(hist_wire *w, uint64_t seed)
{
    hist_step steps[HIST_STEPS_MAX];
    int n;

    ask_doctor = true;
    hist_make(seed, steps, &n);
    if (fails(w, steps, n, /*trace=*/false))
        tell(w, seed, steps, n);
    else
        (void)fails(w, steps, n, /*trace=*/true);
    printf("%s\n", h.failed ? "failed" : "nothing wrong");
    return h.failed;
}

static void report(hist_wire *w, const options *o, int64_t n, int64_t ms, bool failed)
{
    char said[200], command[80];

    (void)snprintf(said, sizeof(said),
                   "%" PRId64 " histories, seeds %" PRId64 " to %" PRId64 ", in %.0f s, %.0f each second: %s.\n", n, o->seed,
                   o->seed + n - 1, (double)ms / 1000, (double)n * 1000 / (double)ms,
                   failed ? "the last one failed, a replay by its seed shows how" : "none failed");
    printf("%s", said);
    (void)snprintf(command, sizeof(command), "make histories N=%" PRId64 " SEED=%" PRId64, o->n, o->seed);
    if (o->n >= REPORT_N)
        report_to_document(w, command, said, "<!-- histories -->", "<!-- end -->");
}

static int run_many(hist_wire *w, const options *o)
{
    int64_t from = dq_mono_us() / 1000, n, ms;
    hist_step steps[HIST_STEPS_MAX];
    bool failed;
    int n_steps;

    n = play_many(w, o, /*doctor=*/true, &failed);
    ms = DQ_MAX(dq_mono_us() / 1000 - from, 1);
    report(w, o, n, ms, failed);
    if (failed) {
        uint64_t seed = (uint64_t)(o->seed + n - 1);

        hist_make(seed, steps, &n_steps);
        (void)fails(w, steps, n_steps, /*trace=*/false);
        tell(w, seed, steps, n_steps);
    }
    return failed;
}

static bool number(const char *arg, const char *name, int64_t *ret)
{
    size_t len = strlen(name);

    return strncmp(arg, name, len) == 0 && dq_parse_i64(dureq_str_from(arg + len), 0, INT64_MAX / 2, ret) == 0;
}

static options read_options(int argc, char **argv)
{
    options o = {.seed = -1, .n = -1, .seconds = -1};

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "planted") == 0)
            o.planted = true;
        else if (strncmp(argv[i], "plant=", 6) == 0)
            o.plant = argv[i] + 6;
        else if (argv[i][0] && !number(argv[i], "seed=", &o.seed) && !number(argv[i], "n=", &o.n) &&
                 !number(argv[i], "from=", &o.from) && !number(argv[i], "seconds=", &o.seconds))
            hist_die(argv[i], "is no option");
    }
    o.one = o.seed >= 0 && o.n < 0 && !o.planted;
    o.least = o.n < 0 && o.seconds < 0 && !fault_is_short() ? LEAST_N : 0;
    if (o.seconds < 0)
        o.seconds = o.n < 0 ? DEFAULT_SECONDS : 0;
    if (o.n < 0)
        o.n = o.planted ? PLANTED_N : fault_is_short() ? SHORT_N : INT64_MAX / 2;
    if (o.seed < 0)
        o.seed = 1;
    return o;
}

int main(int argc, char **argv)
{
    options o = read_options(argc, argv);
    hist_wire w;
    int rc;

    if (o.planted)
        return run_planted(&o);
    hist_check_plants();
    hist_wire_open(&w, NULL);
    rc = o.one ? run_one(&w, (uint64_t)o.seed) : run_many(&w, &o);
    hist_wire_close(&w);
    return rc;
}
