/* SPDX-License-Identifier: Apache-2.0 */
/* What operators do to a system that works: nodes are restarted in turn, permissions are taken and given back, the password is changed, the server
   takes no writes, its clock is set. Nothing is lost, nothing runs twice that need not, and work goes on by itself when all is well again. */
#include "base/clock.h"
#include "base/random.h"
#include "fault_wait.h"
#include "fault_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define LOAD_LIMIT     20000
#define RESTARTS       6
#define RESTARTS_LESS  2
#define TAKEN          3
#define TAKEN_LESS     1
#define TAKEN_MS       (2 * FAULT_LEASE_MS)
#define STEPS          4
#define STEPS_LESS     2
#define STEP_MAX_S     1500             /* twice that is less than the longest limit of a job of the ledger, an hour */
#define CLOCK_LIMIT_US INT64_C(2000000) /* until the server tells the time it was given */

static fault_world *open_world(const fault_world_options *o)
{
    fault_world *w = fault_world_open(o);

    fault_world_spawn(w, 0);
    fault_world_spawn(w, 1);
    fault_world_produce(w, 2, /*pause_ms=*/2);
    return w;
}

/* ---- rolling restart ---- */

/* A node that is asked to end gives back what it cannot finish, without a crash and without an attempt: whatever starts again, began before. */
static void restart_rounds(int shards, const char *what)
{
    fault_world_options o = {.shards = shards, .timeout_ms = 30000};
    fault_world *w = open_world(&o);
    int rounds = fault_rounds(RESTARTS, RESTARTS_LESS);
    int64_t longest_ms = 0;
    fault_sums s;

    for (int i = 0; i < rounds; i++) {
        int64_t from_us = dq_mono_us();

        fault_world_wait_load(w, 40, LOAD_LIMIT);
        fault_node_stop(&w->nodes[i % 2]);
        fault_world_spawn(w, i % 2);
        longest_ms = DQ_MAX(longest_ms, (dq_mono_us() - from_us) / 1000);
        fault_world_wait_at_work(w);
    }
    fault_world_wait_load(w, 40, LOAD_LIMIT);
    s = fault_world_finish(w, what);
    assert_int_equal(s.taken, 0);
    assert_int_equal(s.unknown + s.refused, 0);
    assert_int_equal(s.starts, s.starts_expected);
    printf("%s: %d restarts, %lld ms at most\n", what, rounds, (long long)longest_ms);
    (void)fflush(stdout);
    fault_world_close(w);
}

static void test_nodes_are_restarted_in_turn(void **state)
{
    (void)state;
    if (!fault_is_short())
        restart_rounds(1, "rolling restart, 1 shard");
    restart_rounds(4, "rolling restart, 4 shards");
}

/* ---- permissions ---- */

static void may(fault_world *w, const char *rule)
{
    char *reply = test_redis_command(w->server, "ACL", "SETUSER", "default", rule, "+acl", NULL);

    if (reply[0] != '+')
        fault_die("ACL SETUSER default %s: %s", rule, reply);
    free(reply);
}

static void close_connections(fault_world *w)
{
    free(test_redis_command(w->server, "CLIENT", "KILL", "TYPE", "normal", NULL));
    free(test_redis_command(w->server, "CLIENT", "KILL", "TYPE", "pubsub", NULL));
}

/* Whole groups, since a script that is refused a single command has done what stood before it (docs/guarantees.md). */
static void take_permissions(int shards, const char *what)
{
    static const char *const taken[][2] = {
        {"-@scripting", "+@scripting"}, {"resetkeys", "~*"}, {"-@write", "+@write"}, {"resetchannels", "&*"}, {"-@all", "+@all"}};
    fault_world_options o = {.shards = shards, .timeout_ms = 30000};
    fault_world *w = open_world(&o);
    int rounds = fault_rounds(TAKEN, TAKEN_LESS) * (int)DQ_ARRAY_LEN(taken);

    for (int i = 0; i < rounds; i++) {
        fault_world_wait_load(w, 20, LOAD_LIMIT);
        may(w, taken[i % (int)DQ_ARRAY_LEN(taken)][0]);
        fault_pass(TAKEN_MS / 2);
        may(w, taken[i % (int)DQ_ARRAY_LEN(taken)][1]);
        fault_world_wait_at_work(w);
    }
    fault_world_wait_load(w, 60, LOAD_LIMIT);
    w->times = rounds;
    (void)fault_world_finish(w, what);
    fault_world_close(w);
}

static void test_permissions_are_taken_and_given_back(void **state)
{
    (void)state;
    if (!fault_is_short())
        take_permissions(1, "permission taken, 1 shard");
    take_permissions(4, "permission taken, 4 shards");
}

/* ---- password ---- */

/* Who is in stays in when the password changes, so connections are closed as well: nobody gets in until the old one is back. */
static void change_password(int shards, const char *what)
{
    fault_world_options o = {.shards = shards, .timeout_ms = 30000};
    fault_world *w = open_world(&o);
    int rounds = fault_rounds(TAKEN, TAKEN_LESS);
    fault_sums s;

    for (int i = 0; i < rounds; i++) {
        fault_world_wait_load(w, 40, LOAD_LIMIT);
        test_redis_set_password(w->server, "another");
        close_connections(w);
        fault_pass(TAKEN_MS);
        test_redis_set_password(w->server, NULL);
        fault_world_wait_at_work(w);
    }
    fault_world_wait_load(w, 40, LOAD_LIMIT);
    w->times = rounds;
    s = fault_world_finish(w, what);
    assert_int_equal(s.unknown, 0);
    fault_world_close(w);
}

static void test_the_password_is_another_for_a_while(void **state)
{
    (void)state;
    if (!fault_is_short())
        change_password(1, "password changed, 1 shard");
    change_password(4, "password changed, 4 shards");
}

/* ---- no writes ---- */

static void config_set(fault_world *w, const char *name, const char *value)
{
    char *reply = test_redis_command(w->server, "CONFIG", "SET", name, value, NULL);

    assert_string_equal(reply, "+OK\r\n");
    free(reply);
}

static void save_to(fault_world *w, const char *dir, const char *status)
{
    const int64_t until_us = dq_mono_us() + LOAD_LIMIT * INT64_C(1000);
    bool is_over = false;

    config_set(w, "dir", dir);
    if (strcmp(status, "err") == 0)
        assert_int_equal(rmdir(dir), 0);
    free(test_redis_command(w->server, "BGSAVE", NULL));
    while (!is_over) {
        char *info = test_redis_command(w->server, "INFO", "persistence", NULL);
        const char *told = strstr(info, "rdb_last_bgsave_status:");

        is_over = told && strncmp(told + 23, status, strlen(status)) == 0;
        free(info);
        assert_true(dq_mono_us() < until_us);
        fault_pass(10);
    }
}

/* First it has too few replicas to write (NOREPLICAS), then its snapshots fail (MISCONF), as on a full disk. Reads are answered all the while. */
static void refuse_writes(int shards, const char *what)
{
    const char *const with_snapshots[] = {"--save", "3600 1", "--enable-protected-configs", "yes", NULL};
    fault_world_options o = {.shards = shards, .timeout_ms = 30000, .redis_args = with_snapshots};
    fault_world *w = open_world(&o);
    int rounds = fault_rounds(TAKEN, TAKEN_LESS);
    fault_sums s;

    for (int i = 0; i < rounds; i++) {
        char dir[] = "/tmp/dureq-saves-XXXXXX";

        fault_world_wait_load(w, 40, LOAD_LIMIT);
        config_set(w, "min-replicas-to-write", "1");
        fault_pass(TAKEN_MS);
        config_set(w, "min-replicas-to-write", "0");
        fault_world_wait_at_work(w);
        fault_world_wait_load(w, 40, LOAD_LIMIT);
        assert_non_null(mkdtemp(dir));
        save_to(w, dir, "err");
        fault_pass(TAKEN_MS);
        save_to(w, test_redis_dir(w->server), "ok");
        fault_world_wait_at_work(w);
    }
    fault_world_wait_load(w, 40, LOAD_LIMIT);
    w->times = 2 * rounds;
    s = fault_world_finish(w, what);
    assert_int_equal(s.unknown, 0);
    assert_true(s.refused > 0); /* at once, with the reason, instead of waiting for as long as a call may */
    fault_world_close(w);
}

static void test_the_server_takes_no_writes_for_a_while(void **state)
{
    (void)state;
    if (!fault_is_short())
        refuse_writes(1, "writes refused, 1 shard");
    refuse_writes(4, "writes refused, 4 shards");
}

/* ---- clock ---- */

static int64_t server_ahead_s(const fault_world *w)
{
    char *reply = test_redis_command(w->server, "TIME", NULL);
    int64_t told = strtoll(strchr(strchr(reply, '\n') + 1, '\n') + 1, NULL, 10); /* *2 $10 seconds ... */

    free(reply);
    return told - dq_wall_ms() / 1000;
}

/* Valkey 9 keeps the time of its last look for some rounds of its loop, so the new one is not always told at once. */
static void set_clock(fault_world *w, int64_t seconds)
{
    int64_t limit = dq_mono_us() + CLOCK_LIMIT_US;
    int64_t off;

    test_redis_set_clock(w->server, seconds);
    do
        off = server_ahead_s(w) - seconds;
    while ((off < -1 || off > 1) && dq_mono_us() < limit);
    assert_in_range(off + 10, 9, 11);
}

/* Elapsed times of the server that are negative count as none, and leases do not follow its clock. Due times do; so it ends in the future. */
static void step_clock(int shards, const char *what)
{
    fault_world_options o = {.shards = shards, .timeout_ms = 30000, .own_clock = true};
    int rounds = fault_rounds(STEPS, STEPS_LESS);
    dq_rng rng;
    fault_world *w = open_world(&o);
    fault_sums s;

    dq_rng_seed(&rng, (uint64_t)shards);
    for (int i = 0; i < rounds; i++) {
        fault_world_wait_load(w, 60, LOAD_LIMIT);
        set_clock(w, (int64_t)dq_rng_below(&rng, 2 * STEP_MAX_S) - STEP_MAX_S);
        fault_world_wait_at_work(w);
    }
    fault_world_wait_load(w, 60, LOAD_LIMIT);
    set_clock(w, STEP_MAX_S);
    fault_world_wait_at_work(w);
    fault_world_wait_load(w, 60, LOAD_LIMIT);
    s = fault_world_finish(w, what);
    assert_int_equal(s.taken, 0); /* no session was reaped */
    assert_int_equal(s.starts, s.starts_expected);
    assert_int_equal(s.unknown + s.refused, 0);
    printf("%s: %d steps of up to %d minutes, forward and back\n", what, rounds + 1, 2 * STEP_MAX_S / 60);
    (void)fflush(stdout);
    fault_world_close(w);
}

static void test_the_servers_clock_is_stepped(void **state)
{
    (void)state;
    if (!fault_is_short())
        step_clock(1, "clock stepped, 1 shard");
    step_clock(4, "clock stepped, 4 shards");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nodes_are_restarted_in_turn),         cmocka_unit_test(test_permissions_are_taken_and_given_back),
        cmocka_unit_test(test_the_password_is_another_for_a_while), cmocka_unit_test(test_the_server_takes_no_writes_for_a_while),
        cmocka_unit_test(test_the_servers_clock_is_stepped),
    };

    fault_node_main(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
