/* SPDX-License-Identifier: Apache-2.0 */
/* Producers that die at any instant, and connections that break at any byte, of producers and of nodes: no job is there twice, none that was
   acknowledged is missing, no key is held by nobody. A call ends with DUREQ_EUNKNOWN only when its time was over before its answer could be had. */
#include "base/clock.h"
#include "base/random.h"
#include "fault_maker.h"
#include "fault_wait.h"
#include "fault_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#define LOAD_LIMIT    20000
#define CUT_TRIES     1000
#define MAKERS        3
#define MAKER_KILLS   30
#define MAKER_TIMES   4
#define MAKER_LESS    6
#define LIFE_MS_MAX   60
#define CUTS          24
#define CUTS_LESS     8
#define CUT_NEAR      3000
#define CUT_FAR       250000 /* beyond the greeting, which brings the scripts */
#define CUT_FAR_BACK  12000
#define HOLDS         4
#define HOLDS_LESS    1
#define SHORT_TIMEOUT 300
#define HOLD_MS       700
#define REFUSED_MS    60000 /* in a long run */

/* ---- killed ---- */

static void spawn_maker(fault_world *w, fault_maker *m, int round)
{
    fault_maker_options o = {.url = w->url, .prefix = FAULT_PREFIX, .shards = w->o.shards, .in_a_call = round % 2 ? 1 : 5};

    fault_maker_spawn(m, w->ledger, &o);
}

static void kill_makers(int shards, const char *what)
{
    fault_world_options o = {.shards = shards, .concurrency = 24};
    fault_world *w = fault_world_open(&o);
    fault_maker makers[MAKERS] = {{0}};
    int rounds = fault_rounds_times(MAKER_TIMES, MAKER_KILLS, MAKER_LESS);
    int64_t round_us = dq_mono_us();
    fault_sums s;
    dq_rng rng;

    dq_rng_seed(&rng, (uint64_t)shards);
    fault_world_spawn(w, 0);
    fault_world_spawn(w, 1);
    for (int i = 0; i < MAKERS; i++)
        spawn_maker(w, &makers[i], i);
    fault_world_wait_load(w, 1, LOAD_LIMIT);
    for (int i = 0; i < rounds; i++) {
        fault_pass((int64_t)dq_rng_below(&rng, LIFE_MS_MAX));
        fault_maker_kill(&makers[i % MAKERS]);
        spawn_maker(w, &makers[i % MAKERS], i);
        fault_world_wait_at_work(w);
    }
    for (int i = 0; i < MAKERS; i++)
        fault_maker_kill(&makers[i]);
    round_us = (dq_mono_us() - round_us) / rounds;
    s = fault_world_finish(w, what);
    printf("%s: %d kills, one each %lld ms, %ld jobs of whom their producer did not know, %ld of them there\n", what,
           rounds + MAKERS, (long long)round_us / 1000, s.orphaned, s.orphaned_found);
    (void)fflush(stdout);
    assert_int_equal(s.unknown + s.refused, 0);
    fault_world_close(w);
}

static void test_producers_are_killed_at_any_instant(void **state)
{
    (void)state;
    kill_makers(1, "producers killed, 1 shard");
    kill_makers(4, "producers killed, 4 shards");
}

/* ---- cut ---- */

static fault_world *open_proxied(int shards, int64_t timeout_ms, int nodes)
{
    fault_world_options o = {.shards = shards, .proxied = true, .timeout_ms = timeout_ms};
    fault_world *w = fault_world_open(&o);

    for (int i = 0; i < nodes; i++)
        fault_world_spawn(w, i);
    fault_world_produce(w, 2, /*pause_ms=*/1);
    return w;
}

static bool has_cut(void *userdata)
{
    fault_world *w = userdata;

    return fault_proxy_has_cut(w->proxy);
}

/* All connections that are cut come back within two seconds, and are used again. */
static void cut_rounds(int shards, fault_way way, const char *what)
{
    fault_world *w = open_proxied(shards, /*timeout_ms=*/30000, /*nodes=*/2);
    int rounds = fault_rounds(CUTS, CUTS_LESS);
    fault_sums s;
    dq_rng rng;

    dq_rng_seed(&rng, (uint64_t)shards * 2 + way);
    for (int i = 0; i < rounds; i++) {
        uint64_t far = way == FAULT_TO_SERVER ? CUT_FAR : CUT_FAR_BACK;

        fault_proxy_cut_at(w->proxy, way, 1 + (long)dq_rng_below(&rng, i % 3 ? far : CUT_NEAR));
        if (!fault_wait(LOAD_LIMIT, has_cut, w))
            fault_die("nothing goes through any more");
        fault_world_wait_at_work(w);
    }
    fault_world_wait_load(w, 20, LOAD_LIMIT);
    s = fault_world_finish(w, what);
    printf("%s: %ld cuts\n", what, fault_proxy_get_stats(w->proxy).cuts);
    (void)fflush(stdout);
    assert_int_equal(s.unknown + s.refused, 0);
    fault_world_close(w);
}

static void test_what_is_sent_is_cut_at_any_byte(void **state)
{
    (void)state;
    cut_rounds(1, FAULT_TO_SERVER, "requests cut, 1 shard");
    cut_rounds(4, FAULT_TO_SERVER, "requests cut, 4 shards");
}

static void test_what_is_answered_is_cut_at_any_byte(void **state)
{
    (void)state;
    cut_rounds(1, FAULT_TO_CLIENT, "replies cut, 1 shard");
    cut_rounds(4, FAULT_TO_CLIENT, "replies cut, 4 shards");
}

/* ---- half-open, refused, slow ---- */

/* After a time-out the answer of a call that was sent is not known; it must not have been executed twice all the same. */
static void hold_rounds(int shards, const char *what)
{
    fault_world *w = open_proxied(shards, SHORT_TIMEOUT, /*nodes=*/2);
    int rounds = fault_rounds(HOLDS, HOLDS_LESS);
    fault_sums s;

    for (int i = 0; i < rounds; i++) {
        fault_world_wait_load(w, 40, LOAD_LIMIT);
        fault_proxy_hold(w->proxy, true);
        fault_pass(HOLD_MS);
        if (i % 2)
            fault_proxy_cut_all(w->proxy); /* what was held is lost */
        fault_proxy_hold(w->proxy, false);
        fault_world_wait_at_work(w);
    }
    fault_world_wait_load(w, 40, LOAD_LIMIT);
    w->times = rounds;
    s = fault_world_finish(w, what);
    assert_true(s.unknown > 0);
    fault_world_close(w);
}

static void test_connections_that_are_open_and_dead(void **state)
{
    (void)state;
    hold_rounds(1, "half-open, 1 shard");
    hold_rounds(4, "half-open, 4 shards");
}

static bool is_refused(void *userdata)
{
    return fault_proxy_is_refused(userdata);
}

static void refuse_for_a_while(fault_refusal how, const char *what)
{
    const int refused_ms = fault_rounds(0, 0) > 0 ? REFUSED_MS : 2 * FAULT_LEASE_MS;
    fault_world *w = open_proxied(4, /*timeout_ms=*/2 * REFUSED_MS, /*nodes=*/2);
    fault_sums s;

    fault_world_wait_load(w, 40, LOAD_LIMIT);
    fault_proxy_refuse(w->proxy, how);
    if (how == FAULT_NO_LISTENER && !fault_wait(LOAD_LIMIT, is_refused, w->proxy))
        fault_die("connections are not refused");
    fault_proxy_cut_all(w->proxy);
    fault_pass(refused_ms);
    assert_int_equal(fault_proxy_is_refused(w->proxy), how == FAULT_NO_LISTENER);
    fault_proxy_refuse(w->proxy, FAULT_TAKE);
    fault_world_wait_at_work(w);
    fault_world_wait_load(w, 40, LOAD_LIMIT);
    s = fault_world_finish(w, what);
    printf("%s: %d s\n", what, refused_ms / 1000);
    (void)fflush(stdout);
    assert_int_equal(s.unknown + s.refused, 0);
    fault_world_close(w);
}

static void test_a_server_that_hangs_up_on_connections_for_a_while(void **state)
{
    (void)state;
    refuse_for_a_while(FAULT_HANG_UP, "hung up on for a while");
}

static void test_a_server_that_refuses_connections_for_a_while(void **state)
{
    (void)state;
    refuse_for_a_while(FAULT_NO_LISTENER, "refused for a while");
}

/* Up to a round trip of nearly half a lease takes nobody's jobs. */
static void slow_way(int shards, const char *what)
{
    static const int delays[] = {200, 10, 1};
    fault_world *w = open_proxied(shards, /*timeout_ms=*/30000, /*nodes=*/2);
    fault_sums s;

    for (size_t i = 0; i < DQ_ARRAY_LEN(delays); i++) {
        fault_proxy_delay(w->proxy, delays[i]);
        dureq_client_destroy(fault_world_client(w)); /* slow is not down */
        fault_world_wait_load(w, fault_rounds(60, 20), LOAD_LIMIT);
    }
    fault_proxy_delay(w->proxy, 0);
    fault_world_wait_at_work(w);
    w->times = DQ_ARRAY_LEN(delays);
    s = fault_world_finish(w, what);
    assert_int_equal(s.unknown + s.refused + s.taken, 0);
    assert_int_equal(s.starts, s.starts_expected);
    fault_world_close(w);
}

static void test_a_slow_way_to_the_server(void **state)
{
    (void)state;
    slow_way(1, "slow way, 1 shard");
    if (!fault_is_short())
        slow_way(4, "slow way, 4 shards");
}

typedef struct span {
    int64_t from_us, to_us;
} span;

/* Of jobs that the node had in hand all the while from from_us to to_us. */
static int in_hand(const fault_world *w, const char *node_id, int64_t from_us, int64_t to_us)
{
    fault_lines lines = fault_lines_read_sorted(w->log_path);
    int n = 0;

    for (size_t i = 0; i < lines.n; i++) {
        const fault_line *x = &lines.items[i], *next = i + 1 < lines.n ? x + 1 : NULL;
        bool goes_on = next && strcmp(next->job_id, x->job_id) == 0 && next->at_us <= to_us;

        n += x->mark == FAULT_MARK_START && x->at_us <= from_us && strcmp(x->node_id, node_id) == 0 && !goes_on;
    }
    fault_lines_deinit(&lines);
    return n;
}

/* Cuts the node off while it has jobs in hand. Returns since when it was, at the latest. */
static int64_t cut_off_at_work(fault_world *w, const char *node_id)
{
    for (int i = 0; i < CUT_TRIES; i++) {
        int64_t from_us = dq_mono_us();

        fault_proxy_hold(w->proxy, true);
        if (in_hand(w, node_id, from_us, dq_mono_us()) > 0)
            return from_us;
        fault_proxy_hold(w->proxy, false);
        fault_world_wait_load(w, 1, LOAD_LIMIT);
    }
    fault_die("the node never had a job in hand");
}

/* Half of the nodes' connections stand open and dead: what those nodes held runs on the others, and what they say later is refused. */
static void cut_off(int shards, const char *what)
{
    fault_world_options o = {.shards = shards, .proxied = true, .timeout_ms = 30000};
    fault_world *w = fault_world_open(&o);
    int rounds = fault_rounds(2, 1), jobs = 0;
    span *silences = dq_calloc((size_t)rounds, sizeof *silences);
    int64_t longest_ms = 0;
    char lonely[32];

    fault_world_spawn(w, 0);
    (void)snprintf(lonely, sizeof lonely, "%s", w->nodes[0].node_id);
    fault_world_go_direct(w);
    fault_world_spawn(w, 1);
    fault_world_produce(w, 2, /*pause_ms=*/2);
    for (int i = 0; i < rounds; i++) {
        fault_recovery r;
        fault_lines lines;
        int64_t from_us;

        fault_world_wait_load(w, 80, LOAD_LIMIT);
        from_us = cut_off_at_work(w, lonely);
        fault_pass(FAULT_RECOVER_MS);
        lines = fault_lines_read_sorted(w->log_path);
        r = fault_recovery_of(&lines, lonely, from_us);
        fault_lines_deinit(&lines);
        jobs += r.n_jobs;
        longest_ms = DQ_MAX(longest_ms, r.longest_ms);
        if (i % 2)
            fault_proxy_cut_all(w->proxy);
        silences[i] = (span){from_us, dq_mono_us()};
        fault_proxy_hold(w->proxy, false);
        fault_world_wait_at_work(w);
    }
    fault_world_wait_load(w, 80, LOAD_LIMIT);
    (void)fault_world_finish(w, what);
    fault_lines lines = fault_lines_read_sorted(w->log_path);
    for (int i = 0; i < rounds; i++)
        fault_assert_fenced(&lines, lonely, silences[i].from_us, silences[i].to_us);
    fault_lines_deinit(&lines);
    printf("%s: %d times, its jobs (%d) ran elsewhere after %lld ms at most\n", what, rounds, jobs, (long long)longest_ms);
    (void)fflush(stdout);
    assert_true(jobs >= rounds);
    assert_true(longest_ms <= FAULT_RECOVER_MS);
    dq_free(silences);
    fault_world_close(w);
}

static void test_a_node_that_is_cut_off_while_others_run(void **state)
{
    (void)state;
    cut_off(1, "node cut off, 1 shard");
    if (!fault_is_short())
        cut_off(4, "node cut off, 4 shards");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_producers_are_killed_at_any_instant),
        cmocka_unit_test(test_what_is_sent_is_cut_at_any_byte),
        cmocka_unit_test(test_what_is_answered_is_cut_at_any_byte),
        cmocka_unit_test(test_connections_that_are_open_and_dead),
        cmocka_unit_test(test_a_server_that_hangs_up_on_connections_for_a_while),
        cmocka_unit_test(test_a_server_that_refuses_connections_for_a_while),
        cmocka_unit_test(test_a_slow_way_to_the_server),
        cmocka_unit_test(test_a_node_that_is_cut_off_while_others_run),
    };

    fault_node_main(argc, argv);
    fault_maker_main(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
