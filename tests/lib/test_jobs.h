/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Jobs and sessions for tests of the store's scripts, made by the calls that producers and workers make. Ids are the packed
   13 bytes. Whatever is refused here ends the test. */

#include "redis_server.h"
#include "test_store.h"

#include "model/id.h"
#include "model/job.h"
#include "store/job_calls.h"
#include "store/leader_calls.h"

typedef struct test_world {
    test_redis *server; /* borrowed */
    test_store s;
    unsigned n_shards;
    int64_t call_no;
    bool repeats;      /* completions say that they are repeats */
    bool is_damaged;   /* by the test: the doctor is not asked at the end */
    dq_term leader[4]; /* a session of each shard that is its leader */
} test_world;

/* ---- life: a group has a server, each test a fresh world on it, once with one shard and once with four ---- */

/* Empties the server, opens a store, and a session on each shard as its leader. */
void test_world_open(test_world *w, dq_loop *loop, test_redis *server, unsigned n_shards);
void test_world_close(test_world *w); /* the doctor must find nothing wrong */

int test_world_group_start(void **state);
int test_world_group_stop(void **state);
int test_world_setup_one(void **state); /* *state is the test_world */
int test_world_setup_four(void **state);
int test_world_teardown(void **state);

/* clang-format off */
#define TEST_WORLD(fn, text, setup) {#fn text, fn, setup, test_world_teardown, NULL}
/* clang-format on */
#define TEST_WORLDS(fn) TEST_WORLD(fn, " [1 shard]", test_world_setup_one), TEST_WORLD(fn, " [4 shards]", test_world_setup_four)

typedef struct test_id {
    char bytes[DQ_ID_BYTES];
} test_id;

static inline dureq_str test_id_str(const test_id *id)
{
    return dureq_str_of(id->bytes, sizeof(id->bytes));
}

/* ---- producers ---- */

/* One job with these options (NULL: none); lane "queue|type|" from the options' queue ("normal" when NULL). run_at_ms and
   delay_ms as given; unique keys have their home on this shard. */
test_id test_job_add(test_world *w, unsigned shard, const dureq_job_options *o, const char *type, const char *payload);
int test_job_add_code(test_world *w, unsigned shard, const dureq_job_options *o, const char *type, const char *payload,
                      test_id *ret); /* the kind of the answer's item: 0 accepted, 1 to 4 as in enqueue.lua */
uint32_t test_lane(test_world *w, unsigned shard, const char *lane_name); /* its number; 0 when there is none */

/* ---- workers ---- */

uint64_t test_session_open(test_world *w, unsigned shard, const char *node_id, int64_t lease_ms);
/* One heartbeat. Its raw answer as a reply, or the code. */
dq_reply test_session_beat(test_world *w, unsigned shard, uint64_t session, int64_t lease_ms, bool leader, int *ret_code);
void test_session_started(test_world *w, unsigned shard, uint64_t session, const test_id *id, int64_t at_ms,
                          const test_id *blamed);
extern const test_id test_blame_suspects; /* as `blamed`: suspects that were never charged */
/* Delivers up to n jobs of a lane to a session, front stream first. How many. */
int test_session_take(test_world *w, unsigned shard, uint64_t session, uint32_t lane, int n);
void test_session_close(test_world *w, unsigned shard, uint64_t session);
/* Ends the lease at once: its time is over for the reaper. */
void test_session_expire(test_world *w, unsigned shard, uint64_t session);

/* ---- readers ---- */

/* By job_get; valid until the next call. DUREQ_ENOTFOUND in *ret_code (may be NULL: then a failure). */
dq_job_view test_job_view(test_world *w, unsigned shard, const test_id *id, int *ret_code);
int test_job_state(test_world *w, unsigned shard, const test_id *id);      /* dureq_job_state; of rows too; -1: no such job */
dq_row test_job_row(test_world *w, unsigned shard, const test_id *id);     /* of an ended job; views as above */
dq_moved test_job_moved(test_world *w, unsigned shard, const test_id *id); /* zero when it has none */

/* A plain command over the store's connection, words NUL-ended and ended by NULL. Valid until the next one. */
dq_reply test_command(test_world *w, const char *word, ...) __attribute__((sentinel));
dq_reply test_command_of(test_world *w, const dureq_str *words, int n, int *ret_code); /* words of any bytes */
/* The same for one key of a shard, by its name after the base, and at most one argument. */
dq_reply test_key(test_world *w, const char *command, unsigned shard, const char *key, dureq_str arg /* or none */);
bool test_key_exists(test_world *w, unsigned shard, const char *key);
bool test_id_key_exists(test_world *w, unsigned shard, const char *key, const test_id *id); /* key followed by the id */
int64_t test_server_ms(test_world *w);
/* Runs Lua against the shard: K, now, call, pack, unpk and `id` (may be NULL) are there. For what would take days otherwise. */
dq_reply test_plant(test_world *w, unsigned shard, const test_id *id, const char *lua);
/* Turns until a message of that text ("0 ctl=P;") has come; the store must be subscribed. */
void test_until_message(test_world *w, const char *text);
