/* SPDX-License-Identifier: Apache-2.0 */
/* Whoever stands still, and whoever is cut off for a moment. A node that slept through its lease has lost its jobs: they run elsewhere, what it says of
   them later is refused, and it takes work again under a new session. A server that slept has taken nothing from anybody. Connections
   that are closed, scripts that are forgotten and memory that is full cost time and nothing else. */
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

#include <cmocka.h>

#define LOAD_LIMIT   20000
#define STALL_MS     (2 * FAULT_LEASE_MS)
#define FREEZES      3
#define FREEZES_LESS 1
#define STALLS       1
#define STALLS_LESS  1
#define CUTS         10
#define CUTS_LESS    2
#define FLUSHES      60
#define FLUSHES_LESS 10

static fault_world *open_world(int shards)
{
    fault_world_options o = {.shards = shards, .timeout_ms = 30000};
    fault_world *w = fault_world_open(&o);

    fault_world_spawn(w, 0);
    fault_world_spawn(w, 1);
    fault_world_produce(w, 2, /*pause_ms=*/2);
    return w;
}

static void command(fault_world *w, const char *a, const char *b, const char *c, const char *d)
{
    free(test_redis_command(w->server, a, b, c, d, NULL));
}

/* The counters of sessions of all shards. */
static long long count_sessions(fault_world *w)
{
    long long n = 0;

    for (int i = 0; i < w->o.shards; i++) {
        char key[32];

        (void)snprintf(key, sizeof key, "{fault:%d}:sh", i);
        n += test_redis_command_int(w->server, "HGET", key, "ss", NULL);
    }
    return n;
}

typedef struct watched {
    fault_world *world;
    const char *node_id;
} watched;

static bool is_known(void *userdata)
{
    watched *a = userdata;

    return fault_world_has_node(a->world, a->node_id);
}

static bool is_gone(void *userdata)
{
    return !is_known(userdata);
}

/* ---- a node stands still ---- */

typedef struct freeze {
    char node_id[32];
    int64_t at_us, thawed_us, gone_ms, back_ms;
} freeze;

static void freeze_one(fault_world *w, int slot, freeze *f)
{
    fault_node *n = &w->nodes[slot];
    watched a = {.world = w, .node_id = n->node_id};

    (void)snprintf(f->node_id, sizeof f->node_id, "%s", n->node_id);
    fault_node_freeze(n);
    f->at_us = dq_mono_us();
    if (!fault_wait(LOAD_LIMIT, is_gone, &a))
        fault_die("frozen node %s keeps its session", n->node_id);
    f->gone_ms = (dq_mono_us() - f->at_us) / 1000;
    fault_pass(FAULT_RECOVER_MS - f->gone_ms > 0 ? FAULT_RECOVER_MS - f->gone_ms : 0); /* until its jobs must run elsewhere */
    f->thawed_us = dq_mono_us();
    fault_node_thaw(n);
    if (!fault_wait(LOAD_LIMIT, is_known, &a))
        fault_die("node %s did not come back", n->node_id);
    f->back_ms = (dq_mono_us() - f->thawed_us) / 1000;
}

/* After it is back it must start jobs again. */
static bool has_started_since(const fault_lines *lines, const char *node_id, int64_t since_us)
{
    bool found = false;

    for (size_t i = 0; i < lines->n && !found; i++)
        found = lines->items[i].mark == FAULT_MARK_START && lines->items[i].at_us > since_us &&
                dq_str_eq_text(dureq_str_from(lines->items[i].node_id), node_id);
    return found;
}

static void report_freezes(fault_world *w, const char *what, const freeze *list, int n)
{
    int64_t gone_ms = 0, back_ms = 0, started_ms = 0;
    fault_lines lines = fault_lines_read_sorted(w->log_path);
    int jobs = 0;

    for (int i = 0; i < n; i++) {
        fault_recovery r = fault_recovery_of(&lines, list[i].node_id, list[i].at_us);

        gone_ms = DQ_MAX(gone_ms, list[i].gone_ms);
        back_ms = DQ_MAX(back_ms, list[i].back_ms);
        started_ms = DQ_MAX(started_ms, r.longest_ms);
        jobs += r.n_jobs;
        fault_assert_fenced(&lines, list[i].node_id, list[i].at_us, list[i].thawed_us);
        if (!has_started_since(&lines, list[i].node_id, list[i].thawed_us))
            fault_die("%s came back and did nothing", list[i].node_id);
    }
    fault_lines_deinit(&lines);
    printf("%s: %d freezes, gone after %lld ms at most, their %d jobs elsewhere after %lld ms, back %lld ms after they went on\n",
           what, n, (long long)gone_ms, jobs, (long long)started_ms, (long long)back_ms);
    (void)fflush(stdout);
    assert_true(jobs > 0);
    assert_true(gone_ms <= FAULT_RECOVER_MS);
    assert_true(started_ms <= FAULT_RECOVER_MS);
}

static void freeze_rounds(int shards, const char *what)
{
    fault_world *w = open_world(shards);
    int rounds = fault_rounds(FREEZES, FREEZES_LESS);
    freeze *list = dq_calloc((size_t)rounds, sizeof *list);

    for (int i = 0; i < rounds; i++) {
        fault_world_wait_load(w, 80, LOAD_LIMIT);
        freeze_one(w, i % 2, &list[i]);
        fault_world_wait_at_work(w);
    }
    fault_world_wait_load(w, 300, LOAD_LIMIT);
    (void)fault_world_finish(w, what);
    report_freezes(w, what, list, rounds);
    dq_free(list);
    fault_world_close(w);
}

static void test_a_node_that_slept_through_its_lease(void **state)
{
    (void)state;
    if (!fault_is_short())
        freeze_rounds(1, "node asleep, 1 shard");
    freeze_rounds(4, "node asleep, 4 shards");
}

/* ---- the server stands still ---- */

typedef enum stall {
    STALL_SLEEP, /* in a command */
    STALL_PAUSE, /* answers nobody */
    STALL_STOP,  /* the process */
    N_STALLS
} stall;

static void stall_server(fault_world *w, stall how)
{
    char text[32];

    switch (how) {
    case STALL_SLEEP:
        (void)snprintf(text, sizeof text, "%d.%03d", STALL_MS / 1000, STALL_MS % 1000);
        command(w, "DEBUG", "SLEEP", text, NULL);
        break;
    case STALL_PAUSE:
        (void)snprintf(text, sizeof text, "%d", STALL_MS);
        command(w, "CLIENT", "PAUSE", text, "ALL");
        fault_pass(STALL_MS);
        break;
    default:
        test_redis_freeze(w->server);
        fault_pass(STALL_MS);
        test_redis_thaw(w->server);
    }
}

static void stall_rounds(int shards, const char *what)
{
    fault_world *w = open_world(shards);
    int rounds = fault_rounds(STALLS, STALLS_LESS) * N_STALLS;
    long long sessions;
    fault_sums s;

    fault_world_wait_load(w, 60, LOAD_LIMIT);
    sessions = count_sessions(w);
    for (int i = 0; i < rounds; i++) {
        fault_world_wait_load(w, 60, LOAD_LIMIT);
        stall_server(w, (stall)(i % N_STALLS));
        fault_world_wait_at_work(w);
    }
    fault_world_wait_load(w, 60, LOAD_LIMIT);
    assert_int_equal(count_sessions(w), sessions); /* none was reaped, or another would have been opened */
    s = fault_world_finish(w, what);
    assert_int_equal(s.taken, 0);
    assert_int_equal(s.starts, s.starts_expected);
    assert_int_equal(s.unknown + s.refused, 0);
    printf("%s: %d stalls of %d ms, no session reaped\n", what, rounds, STALL_MS);
    (void)fflush(stdout);
    fault_world_close(w);
}

static void test_a_server_that_slept_took_nothing_from_anybody(void **state)
{
    (void)state;
    if (!fault_is_short())
        stall_rounds(1, "server asleep, 1 shard");
    stall_rounds(4, "server asleep, 4 shards");
}

/* ---- connections and scripts go ---- */

static void cut_all(fault_world *w)
{
    command(w, "CLIENT", "KILL", "TYPE", "normal");
    command(w, "CLIENT", "KILL", "TYPE", "pubsub");
}

static void flush_scripts(fault_world *w)
{
    command(w, "SCRIPT", "FLUSH", NULL, NULL);
}

static fault_sums disturb(int shards, const char *what, void (*fn)(fault_world *w), int rounds)
{
    fault_world *w = open_world(shards);
    fault_sums s;

    for (int i = 0; i < rounds; i++) {
        fault_world_wait_load(w, 1 + i * 7 % 20, LOAD_LIMIT);
        fn(w);
        fault_world_wait_at_work(w);
    }
    w->times = rounds;
    s = fault_world_finish(w, what);
    assert_int_equal(s.unknown + s.refused, 0);
    fault_world_close(w);
    return s;
}

static void test_connections_are_closed_again_and_again(void **state)
{
    (void)state;
    if (!fault_is_short())
        (void)disturb(1, "connections closed, 1 shard", cut_all, fault_rounds(CUTS, CUTS_LESS));
    (void)disturb(4, "connections closed, 4 shards", cut_all, fault_rounds(CUTS, CUTS_LESS));
}

static void test_scripts_are_forgotten_under_load(void **state)
{
    (void)state;
    for (int shards = fault_is_short() ? 4 : 1; shards <= 4; shards += 3) {
        fault_sums s = disturb(shards, shards == 1 ? "scripts forgotten, 1 shard" : "scripts forgotten, 4 shards", flush_scripts,
                               fault_rounds(FLUSHES, FLUSHES_LESS));

        assert_int_equal(s.taken, 0);
        assert_int_equal(s.starts, s.starts_expected);
    }
}

/* ---- memory is full ---- */

static void limit_memory(fault_world *w, long long more)
{
    char *used = test_redis_info(w->server, "used_memory"), text[32];

    (void)snprintf(text, sizeof text, "%lld", more ? strtoll(used, NULL, 10) + more : 0);
    command(w, "CONFIG", "SET", "maxmemory", text);
    free(used);
}

static bool is_refused(void *userdata)
{
    fault_world *w = userdata;

    return fault_ledger_count(w->ledger, FAULT_REFUSED) > 100;
}

static void assert_refused_for_memory_only(fault_world *w)
{
    for (long i = 0; i < fault_ledger_len(w->ledger); i++) {
        const fault_entry *e = fault_ledger_entry(w->ledger, i);

        if (e->answer == FAULT_REFUSED && e->code != DUREQ_EREDISOOM)
            fault_die("job %ld was refused with %s", i, dureq_errcode_name(e->code));
    }
}

/* With nobody there to drain it first: whoever comes when it is full must be able to work. */
static void fill_memory(int shards, const char *what)
{
    fault_world_options o = {.shards = shards};
    fault_world *w = fault_world_open(&o);
    fault_sums s;

    fault_world_produce(w, 2, /*pause_ms=*/1);
    fault_world_wait_load(w, 200, LOAD_LIMIT);
    fault_ledger_let_history_go(w->ledger);
    limit_memory(w, 200000);
    if (!fault_wait(LOAD_LIMIT, is_refused, w))
        fault_die("nothing was refused");
    fault_world_spawn(w, 0);
    fault_world_spawn(w, 1);
    fault_world_stop_producers(w);
    fault_world_wait_done(w, LOAD_LIMIT);
    limit_memory(w, 0);
    fault_world_produce(w, 2, /*pause_ms=*/1);
    fault_world_wait_at_work(w);
    fault_world_wait_load(w, 200, LOAD_LIMIT);
    s = fault_world_finish(w, what);
    assert_refused_for_memory_only(w);
    assert_int_equal(s.unknown + s.taken, 0);
    fault_world_close(w);
}

static void test_a_full_server_refuses_new_jobs_and_lets_workers_drain_it(void **state)
{
    (void)state;
    if (!fault_is_short())
        fill_memory(1, "memory full, 1 shard");
    fill_memory(4, "memory full, 4 shards");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_node_that_slept_through_its_lease),
        cmocka_unit_test(test_a_server_that_slept_took_nothing_from_anybody),
        cmocka_unit_test(test_connections_are_closed_again_and_again),
        cmocka_unit_test(test_scripts_are_forgotten_under_load),
        cmocka_unit_test(test_a_full_server_refuses_new_jobs_and_lets_workers_drain_it),
    };

    fault_node_main(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
