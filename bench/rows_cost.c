/* SPDX-License-Identifier: Apache-2.0 */
/* Processor time of Redis per job over its whole life, as a ratio to the floor.

   One server serves both, in turns: engine, floor, engine, floor. A turn of the engine enqueues n jobs while the node drains, then
   lets the node take them and waits until the last completion is recorded; a turn of the floor adds n entries and then reads,
   acknowledges and deletes them. Each pair of turns gives a ratio; the row is their median. */
#include "rig.h"
#include "stats.h"

typedef struct cost_case {
    const char *row;
    bool append_only;
    int retention_ms; /* 0: default, -1: none */
    int payload;
    int n; /* jobs a turn */
    int floor_batch;
    const char *max_memory; /* NULL: none */
    int warm_up;            /* turns before it counts; 0: a tenth of one */
} cost_case;

typedef struct cost_turn {
    double engine_us, floor_us; /* a job */
    double node_calls;          /* scripts called, enqueues aside */
} cost_turn;

typedef struct cost_rig {
    rig rig;
    role_proc producer, node, floor;
    int64_t completed; /* by the node so far */
} cost_rig;

static void cost_close(cost_rig *c)
{
    role_deinit(&c->producer);
    role_deinit(&c->node);
    role_deinit(&c->floor);
    rig_close(&c->rig);
}

static int cost_open(cost_rig *c, const cost_case *k, dureq_error *err)
{
    rig_options opts = {.append_only = k->append_only, .max_memory = k->max_memory};
    int rc = rig_open(&c->rig, &opts, err);

    if (rc == 0)
        rc = rig_start(&c->rig, &c->floor, "floor", err, NULL);
    if (rc == 0)
        rc = rig_start(&c->rig, &c->node, "node", err, "--drained=1", NULL);
    if (rc == 0)
        rc = rig_start(&c->rig, &c->producer, "producer", err, NULL);
    return rc;
}

static int engine_turn(cost_rig *c, const cost_case *k, int n, dureq_error *err)
{
    int rc = role_ask(&c->producer, NULL, err, "enqueue n=%d payload=%d batch=%d retention_ms=%d", n, k->payload, BENCH_BATCH,
                      k->retention_ms);

    if (rc == 0)
        rc = role_ask(&c->node, NULL, err, "drain on=0");
    c->completed += n;
    if (rc == 0)
        rc = role_ask(&c->node, NULL, err, "wait completed=%lld", (long long)c->completed);
    if (rc == 0)
        rc = role_ask(&c->node, NULL, err, "drain on=1");
    return rc;
}

static int floor_turn(cost_rig *c, const cost_case *k, int n, dureq_error *err)
{
    int rc = role_ask(&c->floor, NULL, err, "produce n=%d payload=%d batch=%d", n, k->payload, k->floor_batch);

    if (rc == 0)
        rc = role_ask(&c->floor, NULL, err, "consume n=%d batch=%d", n, k->floor_batch);
    return rc;
}

static int measure(cost_rig *c, const cost_case *k, cost_turn *ret, dureq_error *err)
{
    double calls[2] = {0}, cpu[3] = {0};
    int rc = rig_script_calls(&c->rig, &calls[0], err);

    if (rc == 0)
        rc = rig_cpu_us(&c->rig, &cpu[0], err);
    if (rc == 0)
        rc = engine_turn(c, k, k->n, err);
    if (rc == 0)
        rc = rig_cpu_us(&c->rig, &cpu[1], err);
    if (rc == 0)
        rc = floor_turn(c, k, k->n, err);
    if (rc == 0)
        rc = rig_cpu_us(&c->rig, &cpu[2], err);
    if (rc == 0)
        rc = rig_script_calls(&c->rig, &calls[1], err);
    if (rc < 0)
        return rc;

    ret->engine_us = (cpu[1] - cpu[0]) / k->n;
    ret->floor_us = (cpu[2] - cpu[1]) / k->n;
    ret->node_calls = calls[1] - calls[0] - (double)k->n / BENCH_BATCH;
    return 0;
}

static int run_case(const cost_case *k, bench_out *out, dureq_error *err)
{
    DQ_CLEANUP(cost_close) cost_rig c = {.completed = 0};
    BENCH_SAMPLES_AUTO ratio = {0};
    BENCH_SAMPLES_AUTO engine = {0};
    BENCH_SAMPLES_AUTO floor = {0};
    cost_turn t = {0};
    int rc = cost_open(&c, k, err);

    /* Not counted: scripts are loaded, buffers grow; history comes to its cap. */
    for (int i = 0; rc == 0 && i < DQ_MAX(k->warm_up, 1); i++)
        rc = engine_turn(&c, k, k->warm_up ? k->n : DQ_MAX(k->n / 10, 1), err);
    if (rc == 0)
        rc = floor_turn(&c, k, DQ_MAX(k->n / 10, 1), err);
    for (size_t i = 0; rc == 0 && bench_again(out, i); i++) {
        rc = measure(&c, k, &t, err);
        bench_samples_add(&ratio, t.engine_us / DQ_MAX(t.floor_us, 0.001));
        bench_samples_add(&engine, t.engine_us);
        bench_samples_add(&floor, t.floor_us);
    }
    if (rc < 0)
        return rc;

    bench_put(out, k->row, bench_median(&ratio),
              "engine %.2f us, floor %.2f us a job; node: %.0f jobs a script call; median of %zu", bench_median(&engine),
              bench_median(&floor), k->n / DQ_MAX(t.node_calls, 1), ratio.n);
    return 0;
}

#define COST_CASE(name, ...)                                    \
    static int run_##name(bench_out *out, dureq_error *err)     \
    {                                                           \
        static const cost_case k = {.row = #name, __VA_ARGS__}; \
                                                                \
        return run_case(&k, out, err);                          \
    }

COST_CASE(redis_cpu_hist, .payload = BENCH_PAYLOAD, .n = 30000, .floor_batch = BENCH_BATCH)
COST_CASE(redis_cpu_hist_aof, .append_only = true, .payload = BENCH_PAYLOAD, .n = 30000, .floor_batch = BENCH_BATCH)
COST_CASE(redis_cpu_ret0, .retention_ms = -1, .payload = BENCH_PAYLOAD, .n = 30000, .floor_batch = BENCH_BATCH)
COST_CASE(redis_cpu_ret0_aof, .append_only = true, .retention_ms = -1, .payload = BENCH_PAYLOAD, .n = 30000,
          .floor_batch = BENCH_BATCH)
/* Large payloads are measured where a server comes to soon: history at its cap, so that its memory is used again instead of asked of the
   system, page by page, which costs more than all the rest. A pipeline of 100 megabytes would be 100 MB. */
COST_CASE(payload_10k, .payload = 10000, .n = 3000, .floor_batch = BENCH_BATCH, .max_memory = "256mb", .warm_up = 3)
COST_CASE(payload_1m, .payload = 1000000, .n = 60, .floor_batch = 4, .max_memory = "256mb", .warm_up = 3)

#define COST_ROW(name, what, target)             \
    (const bench_row[])                          \
    {                                            \
        {#name, what, "x floor", target, false}, \
        {                                        \
            NULL, NULL, NULL, 0, false           \
        }                                        \
    }

const bench_group bench_cost_groups[] = {
    {"redis_cpu_hist", COST_ROW(redis_cpu_hist, "Redis CPU a job, history kept", 1.6), run_redis_cpu_hist, false},
    {"redis_cpu_hist_aof", COST_ROW(redis_cpu_hist_aof, "the same, append-only every second", 1.6), run_redis_cpu_hist_aof,
     false},
    {"redis_cpu_ret0", COST_ROW(redis_cpu_ret0, "Redis CPU a job, retention 0", 1.3), run_redis_cpu_ret0, false},
    {"redis_cpu_ret0_aof", COST_ROW(redis_cpu_ret0_aof, "the same, append-only every second", 1.3), run_redis_cpu_ret0_aof,
     false},
    {"payload_10k", COST_ROW(payload_10k, "Redis CPU a job of 10 KB", 1.3), run_payload_10k, false},
    {"payload_1m", COST_ROW(payload_1m, "Redis CPU a job of 1 MB", 1.3), run_payload_1m, false},
    {NULL, NULL, NULL, false},
};
