/* SPDX-License-Identifier: Apache-2.0 */
/* More at once than can be done at once: jobs by the ten thousand (in a long run a million) whose time comes within one second. Each begins once and
   none too soon, heartbeats go on in between so that no session is lost, and the doctor finds nothing. */
#include "base/clock.h"
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

#define A_ROUND    25000 /* jobs */
#define ROUNDS     1
#define ROUNDS_MAX 40   /* a million; Redis has them all in memory */
#define RATE_LEAST 5000 /* jobs a second, which a busy machine reaches as well */
#define CALL       1000
#define AHEAD_MS   3000 /* and what enqueueing takes: */
#define PER_S      20000
#define DONE_LIMIT 60000

/* In a mixed order, as callers are: due at one of the 1,000 ms from `due_ms` on. */
static void enqueue_due(fault_world *w, long n, int64_t due_ms)
{
    static dureq_job_spec specs[CALL];
    static dureq_job_options options[CALL];
    static dureq_enqueue_result results[CALL];
    dureq_error err = {0};

    for (long done = 0; done < n; done += CALL) {
        for (int i = 0; i < CALL; i++) {
            options[i] = dureq_job_options_init();
            options[i].run_at_ms = due_ms + (done + i) * 7919 % 1000;
            options[i].retention_ms = -1;
            specs[i] = (dureq_job_spec){.task_type = fault_type_of('w'), .payload = DQ_STR_LIT("w 0 0"), .options = &options[i]};
        }
        if (dureq_client_enqueue_many(w->client, specs, CALL, results, &err) < 0)
            fault_die("enqueue: %s", err.msg);
        for (int i = 0; i < CALL; i++)
            if (results[i].code < 0)
                fault_die("enqueue: %s", results[i].msg);
    }
}

/* How long after the end of that second the last one began. */
static int64_t look_at_starts(const char *log_path, long n, int64_t due_us)
{
    fault_lines lines = fault_lines_read(log_path);
    int64_t last_us = 0;
    long starts = 0;

    for (size_t i = 0; i < lines.n; i++) {
        if (lines.items[i].mark == FAULT_MARK_LOST)
            assert_int_equal(lines.items[i].run, 0);
        if (lines.items[i].mark != FAULT_MARK_START)
            continue;
        if (lines.items[i].at_us < due_us)
            fault_die("%s began before it was due", lines.items[i].job_id);
        last_us = DQ_MAX(last_us, lines.items[i].at_us);
        starts++;
    }
    assert_int_equal(starts, n);
    fault_lines_deinit(&lines);
    return (last_us - due_us) / 1000 - 999;
}

static void many_due(int shards, const char *what)
{
    const long n = A_ROUND * (long)DQ_MIN(fault_rounds(ROUNDS, ROUNDS), ROUNDS_MAX);
    fault_world_options o = {.shards = shards, .concurrency = 100};
    fault_world *w = fault_world_open(&o);
    int64_t due_ms = dq_wall_ms() + AHEAD_MS + n * 1000 / PER_S, due_us = dq_mono_us() + (due_ms - dq_wall_ms()) * 1000, late_ms;
    dureq_counts counts = {0};
    dureq_error err = {0};

    fault_world_spawn(w, 0);
    fault_world_spawn(w, 1);
    enqueue_due(w, n, due_ms);
    assert_true(dq_wall_ms() < due_ms); /* else it says nothing */
    while (dq_wall_ms() < due_ms + 1000)
        fault_pass(10);
    fault_world_wait_done(w, DONE_LIMIT);
    fault_world_assert_clean(w);
    assert_int_equal(dureq_client_count(w->client, &counts, &err), 0);
    fault_node_stop(&w->nodes[0]);
    fault_node_stop(&w->nodes[1]);
    late_ms = look_at_starts(w->log_path, n, due_us - 1000); /* what the two clocks were read apart */
    printf("%s: %ld jobs due within a second, the last began %lld ms after it, none twice, no session lost\n", what, n,
           (long long)late_ms);
    (void)fflush(stdout);
    assert_int_equal(counts.dead, 0);
    assert_true(late_ms <= FAULT_RECOVER_MS + n * 1000 / RATE_LEAST);
    fault_world_close(w);
}

static void test_many_jobs_are_due_in_one_second(void **state)
{
    (void)state;
    if (!fault_is_short())
        many_due(1, "many due, 1 shard");
    many_due(4, "many due, 4 shards");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_many_jobs_are_due_in_one_second),
    };

    fault_node_main(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
