/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A deployment under test as its users see it: a client and nodes, by the public headers, on a prefix of its own of the test
   program's server. Each scenario runs with one shard and with four; after it the doctor must find nothing wrong, with the
   nodes alive and again when they are stopped.

       SCENARIO(a_job_runs) { ... rig.client ... }
       RIG_MAIN()

   Nothing here may be called from a handler: a failure ends the test by a jump. */

#include "expect.h"
#include "redis_server.h"

#include <dureq/dureq.h>

#include <stdlib.h>

#define RIG_NODES_MAX 8
#define RIG_LIMIT_MS  10000

typedef struct test_rig {
    test_redis *server;
    dureq_client *client;
    char prefix[48];
    int shards;
    dureq_node *nodes[RIG_NODES_MAX];
    int n_nodes;
    bool is_damaged; /* by the test: the doctor is not asked */
    int64_t ahead_s; /* of the server's clock: rig_step_clock */
} test_rig;

extern test_rig rig; /* of the scenario that runs */

int rig_group_start(void **state);
int rig_group_start_own_clock(void **state); /* its server has one: rig_step_clock */
int rig_group_stop(void **state);
int rig_setup_one(void **state);
int rig_setup_four(void **state);
int rig_teardown(void **state);

#define RIG_ADD(fn, text, setup) \
    expect_add(                  \
        (struct CMUnitTest){.name = #fn " " text, .test_func = fn##_run, .setup_func = setup, .teardown_func = rig_teardown})
#define SCENARIO(fn) EXPECT_CASE(fn, RIG_ADD(fn, "[1 shard]", rig_setup_one); RIG_ADD(fn, "[4 shards]", rig_setup_four))
/* Of what one shard does not have. */
#define SCENARIO_OF_SHARDS(fn) EXPECT_CASE(fn, RIG_ADD(fn, "[4 shards]", rig_setup_four))
/* DUREQ_TEST_ONLY: a pattern of scenarios such as "*queue*"; DUREQ_TEST_LOG=1: what nodes log. */
#define RIG_MAIN_WITH(start)                                                                           \
    int main(void)                                                                                     \
    {                                                                                                  \
        cmocka_set_test_filter(getenv("DUREQ_TEST_ONLY"));                                             \
        return _cmocka_run_group_tests(__FILE__, expect_tests, expect_n_tests, start, rig_group_stop); \
    }
#define RIG_MAIN() RIG_MAIN_WITH(rig_group_start)

/* ---- waiting: looks again every few milliseconds until the limit ---- */

int64_t rig_mono_ms(void);
void rig_pause(void); /* between two looks */
void rig_wait_failed(const char *what, const char *file, int line) __attribute__((noreturn));

#define RIG_UNTIL_MS(limit_ms, condition)                        \
    do {                                                         \
        int64_t until_ = rig_mono_ms() + (limit_ms);             \
                                                                 \
        while (!(condition)) {                                   \
            if (rig_mono_ms() > until_)                          \
                rig_wait_failed(#condition, __FILE__, __LINE__); \
            rig_pause();                                         \
        }                                                        \
    } while (0)
#define RIG_UNTIL(condition) RIG_UNTIL_MS(RIG_LIMIT_MS, condition)

/* ---- clients ---- */

dureq_client *rig_client(const char *prefix, int shards); /* another one; NULL: the rig's prefix. Ends the test on failure */
void rig_doctor(void);                                    /* fails the test when it finds something */
void rig_ok(int rc, const dureq_error *err, const char *what, const char *file, int line);
#define RIG_OK(call)                                  \
    do {                                              \
        dureq_error err = {0};                        \
        int rc_ = (call);                             \
                                                      \
        rig_ok(rc_, &err, #call, __FILE__, __LINE__); \
    } while (0) /* `call` ends in &err */

/* A code, and a part of its message. */
#define RIG_FAILS(code_, part, call)  \
    do {                              \
        dureq_error err = {0};        \
                                      \
        EXPECT_RC((code_), (call));   \
        EXPECT_RC((code_), err.code); \
        EXPECT_HAS((part), err.msg);  \
    } while (0)

dureq_job_id rig_enqueue(const char *type, const char *payload, const dureq_job_options *o); /* o NULL: none */
/* One job; the list is kept by the rig until 16 more were read. Ends the test when there is none. */
const dureq_job *rig_job(const char *id);
int rig_state(const char *id); /* dureq_job_state; -1: there is no such job */
/* Waits for its end. */
const dureq_job *rig_wait(const char *id);
dureq_counts rig_counts(void);
int64_t rig_server_ms(void);
void rig_step_clock(int64_t seconds); /* of a server that has its own: on, or back; returns when the server tells so */

/* ---- nodes: destroyed with the scenario ---- */

dureq_node_options rig_node_options(const char *node_id);
dureq_node *rig_node_create(const dureq_node_options *o);
void rig_handle(dureq_node *n, const char *type, dureq_handler_fn fn, void *userdata, const dureq_handler_options *o);
void rig_start(dureq_node *n);
/* Created, with one handler, and started. */
dureq_node *rig_node(const char *node_id, const char *type, dureq_handler_fn fn, void *userdata);
dureq_node_stats rig_stats(dureq_node *n);
