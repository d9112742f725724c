/* SPDX-License-Identifier: Apache-2.0 */
/* Redis that is killed and started again under load, again and again. With an append-only file that is synced always nothing is lost. With any
   other setting what was not synced may be, and nothing else: jobs acknowledged before are there, every job that is there comes to its end as the type it
   is of, and keys, sets and counters agree. Work goes on by itself. */
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
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define LOAD_LIMIT   20000
#define KILLS        8
#define KILLS_LOSSY  5
#define KILLS_SHORT  2
#define SYNC_LATE_US 2500000 /* everysec: a write may wait two seconds for a slow sync */
#define LONG_DOWN_MS (FAULT_LEASE_MS + 200)
#define FIRST_LOAD   30
#define LOAD_MAX     90

typedef enum keeping {
    KEEP_ALWAYS,
    KEEP_EVERYSEC, /* the process is killed: the system keeps what was written */
    KEEP_TORN,     /* the machine fails: a tail of the file is lost, up to any byte */
    KEEP_SNAPSHOT, /* no file but snapshots made now and then */
    KEEP_NOTHING,
} keeping;

typedef struct scene {
    fault_world *world;
    keeping keeping;
    dq_rng rng;
    int64_t since_us; /* what was done until then is safe */
    off_t safe_bytes; /* KEEP_TORN: so much of the file */
} scene;

static const char *const *args_of(keeping k)
{
    static const char *const rewrite_off[] = {"--auto-aof-rewrite-percentage", "0", NULL};
    static const char *const everysec[] = {"--appendonly", "yes", "--appendfsync", "everysec", NULL};
    static const char *const torn[] = {"--appendonly", "yes", "--appendfsync", "no", "--auto-aof-rewrite-percentage", "0", NULL};

    switch (k) {
    case KEEP_ALWAYS: return rewrite_off;
    case KEEP_EVERYSEC: return everysec;
    case KEEP_TORN: return torn;
    default: return NULL;
    }
}

static void open_scene(scene *s, keeping k, int shards)
{
    fault_world_options o = {.shards = shards, .append_only = k == KEEP_ALWAYS, .redis_args = args_of(k), .timeout_ms = 30000};

    *s = (scene){.keeping = k};
    dq_rng_seed(&s->rng, (uint64_t)shards * 10 + (uint64_t)k);
    s->world = fault_world_open(&o);
    fault_world_spawn(s->world, 0);
    fault_world_spawn(s->world, 1);
    fault_world_produce(s->world, 2, /*pause_ms=*/2);
}

/* ---- what is kept ---- */

static const char *file_path(scene *s)
{
    return test_redis_file(s->world->server, "appendonlydir/appendonly.aof.1.incr.aof");
}

static off_t file_bytes(scene *s)
{
    struct stat st;

    if (stat(file_path(s), &st) < 0)
        fault_die("no append-only file at %s", file_path(s));
    return st.st_size;
}

/* From here on things may get lost. */
static void begin_unsafe(scene *s)
{
    if (s->keeping == KEEP_SNAPSHOT)
        free(test_redis_command(s->world->server, "SAVE", NULL));
    if (s->keeping == KEEP_TORN)
        s->safe_bytes = file_bytes(s);
}

static char *read_file(scene *s, size_t len)
{
    FILE *f = fopen(file_path(s), "re");
    char *text = dq_calloc(1, len + 1);

    if (!f || fread(text, 1, len, f) != len)
        fault_die("cannot read %s", file_path(s));
    (void)fclose(f);
    return text;
}

/* The command at `at`: where it ends, and its first word's first letter when that word is MULTI or EXEC. 0: it is not whole. */
static size_t command_end(const char *text, size_t len, size_t at, char *ret_word)
{
    const char *line_end = memchr(text + at, '\n', len - at);
    long n = line_end ? strtol(text + at + 1, NULL, 10) : 0;

    *ret_word = 0;
    for (long i = 0; line_end && i < n; i++) {
        at = (size_t)(line_end - text) + 1;
        line_end = at < len ? memchr(text + at, '\n', len - at) : NULL;
        if (!line_end)
            return 0;
        size_t word = (size_t)(line_end - text) + 1, bytes = (size_t)strtol(text + at + 1, NULL, 10);
        if (word + bytes + 2 > len)
            return 0;
        if (i == 0 &&
            ((bytes == 5 && memcmp(text + word, "MULTI", 5) == 0) || (bytes == 4 && memcmp(text + word, "EXEC", 4) == 0)))
            *ret_word = text[word];
        line_end = text + word + bytes + 1;
    }
    return line_end ? (size_t)(line_end - text) + 1 : 0;
}

/* A file that is torn within a transaction is cut in front of it, which is what redis-check-aof --fix does. The server itself (7.0) leaves its
   beginning there, and takes it for done at the start after next. */
static off_t whole_bytes(const char *text, size_t len)
{
    size_t whole = 0, at = 0, end;
    bool within = false;
    char word;

    for (end = command_end(text, len, at, &word); end > 0; end = at < len ? command_end(text, len, at, &word) : 0) {
        within = word == 'M' || (within && word != 'E');
        at = end;
        if (!within)
            whole = at;
    }
    return (off_t)whole;
}

static void lose_tail(scene *s)
{
    off_t left = s->safe_bytes + (off_t)dq_rng_below(&s->rng, (uint64_t)(file_bytes(s) - s->safe_bytes) + 1);
    char *text = read_file(s, (size_t)left);

    if (truncate(file_path(s), whole_bytes(text, (size_t)left)) < 0)
        fault_die("cannot truncate %s", file_path(s));
    dq_free(text);
}

/* ---- the kill ---- */

static void kill_redis(scene *s)
{
    int64_t ended_us;

    test_redis_kill(s->world->server);
    ended_us = dq_mono_us();
    if (s->keeping == KEEP_TORN)
        lose_tail(s);
    if (s->keeping == KEEP_EVERYSEC)
        s->since_us = ended_us - SYNC_LATE_US;
    if (s->keeping == KEEP_NOTHING)
        s->since_us = 0;
    if (s->keeping != KEEP_ALWAYS)
        fault_ledger_note_loss(s->world->ledger, s->since_us, ended_us);
}

static void kill_round(scene *s, int round)
{
    if (round > 0) {
        fault_world_wait_load(s->world, (long)dq_rng_below(&s->rng, FIRST_LOAD), LOAD_LIMIT);
        s->since_us = dq_mono_us();
        begin_unsafe(s);
    }
    fault_world_wait_load(s->world, 1 + (long)dq_rng_below(&s->rng, LOAD_MAX), LOAD_LIMIT);
    kill_redis(s);
    if (round % 4 == 3)
        fault_pass(LONG_DOWN_MS);
    test_redis_restart(s->world->server);
    if (s->keeping != KEEP_ALWAYS)
        fault_ledger_note_back(s->world->ledger);
    fault_world_wait_at_work(s->world);
}

static void kill_rounds(keeping k, int shards, const char *what)
{
    int rounds = k == KEEP_ALWAYS ? fault_rounds_times(2, KILLS, KILLS_SHORT) : fault_rounds(KILLS_LOSSY, KILLS_SHORT);
    int64_t round_us;
    fault_sums sums;
    scene s;

    open_scene(&s, k, shards);
    round_us = dq_mono_us();
    for (int i = 0; i < rounds; i++)
        kill_round(&s, i);
    round_us = (dq_mono_us() - round_us) / rounds;
    sums = fault_world_finish(s.world, what);
    printf("%s: %d kills, one each %lld ms\n", what, rounds, (long long)round_us / 1000);
    (void)fflush(stdout);
    assert_int_equal(sums.unknown, 0);
    assert_int_equal(sums.refused, 0);
    if (k == KEEP_ALWAYS)
        assert_int_equal(sums.forgotten, 0);
    fault_world_close(s.world);
}

static void test_nothing_is_lost_when_synced_always(void **state)
{
    (void)state;
    kill_rounds(KEEP_ALWAYS, 1, "always, 1 shard");
    kill_rounds(KEEP_ALWAYS, 4, "always, 4 shards");
}

static void test_synced_every_second(void **state)
{
    (void)state;
    kill_rounds(KEEP_EVERYSEC, 1, "everysec, 1 shard");
    if (!fault_is_short())
        kill_rounds(KEEP_EVERYSEC, 4, "everysec, 4 shards");
}

static void test_a_lost_tail_of_the_file_leaves_a_consistent_rest(void **state)
{
    (void)state;
    kill_rounds(KEEP_TORN, 1, "torn, 1 shard");
    kill_rounds(KEEP_TORN, 4, "torn, 4 shards");
}

static void test_a_snapshot_is_gone_back_to(void **state)
{
    (void)state;
    kill_rounds(KEEP_SNAPSHOT, 1, "snapshot, 1 shard");
    kill_rounds(KEEP_SNAPSHOT, 4, "snapshot, 4 shards");
}

static void test_a_server_that_lost_everything_is_used_like_a_new_one(void **state)
{
    (void)state;
    kill_rounds(KEEP_NOTHING, 1, "nothing kept, 1 shard");
    kill_rounds(KEEP_NOTHING, 4, "nothing kept, 4 shards");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_is_lost_when_synced_always),
        cmocka_unit_test(test_synced_every_second),
        cmocka_unit_test(test_a_lost_tail_of_the_file_leaves_a_consistent_rest),
        cmocka_unit_test(test_a_snapshot_is_gone_back_to),
        cmocka_unit_test(test_a_server_that_lost_everything_is_used_like_a_new_one),
    };

    fault_node_main(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
