/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes: of Redis per queued and per kept job, of the append-only file per job, of a node's process. */
#include "rig.h"

#define PER_SIZE  10000 /* jobs of each payload size, 100 to 1,000 bytes */
#define SIZE_STEP 100
#define SIZE_LAST 1000
#define ALL_JOBS  (PER_SIZE * (SIZE_LAST / SIZE_STEP))
#define EVENTS    "{dureq:0}:ev"

typedef struct reading {
    double bytes, events;
} reading;

static int read_memory(rig *r, reading *ret, dureq_error *err)
{
    int rc = rig_memory(r, &ret->bytes, err);

    return rc < 0 ? rc : rig_key_bytes(r, EVENTS, &ret->events, err);
}

/* The same number of jobs of each size. *ret_payload: bytes of all payloads. */
static int enqueue_sizes(role_proc *producer, double *ret_payload, dureq_error *err)
{
    *ret_payload = 0;
    for (int size = SIZE_STEP; size <= SIZE_LAST; size += SIZE_STEP) {
        int rc = role_ask(producer, NULL, err, "enqueue n=%d payload=%d batch=%d", PER_SIZE, size, BENCH_BATCH);

        if (rc < 0)
            return rc;
        *ret_payload += (double)PER_SIZE * size;
    }
    return 0;
}

static void put_bytes(bench_out *out, const char *row, reading before, reading after, double payload)
{
    bench_put(out, row, (after.bytes - before.bytes - payload) / ALL_JOBS,
              "over payloads of 100 to 1,000; %.1f of it the event stream", (after.events - before.events) / ALL_JOBS);
}

static int run_mem_queued(bench_out *out, dureq_error *err)
{
    RIG_AUTO r = {.redis = NULL};
    ROLE_AUTO producer = {.pid = 0};
    reading before = {0}, after = {0};
    double payload = 0;
    int rc = rig_open(&r, &(rig_options){.append_only = false}, err);

    if (rc == 0)
        rc = rig_start(&r, &producer, "producer", err, NULL);
    if (rc == 0)
        rc = role_ask(&producer, NULL, err, "enqueue n=%d batch=%d", BENCH_BATCH, BENCH_BATCH);
    if (rc == 0)
        rc = read_memory(&r, &before, err);
    if (rc == 0)
        rc = enqueue_sizes(&producer, &payload, err);
    if (rc == 0)
        rc = read_memory(&r, &after, err);
    if (rc == 0)
        put_bytes(out, "mem_queued", before, after, payload);
    return rc;
}

static int run_mem_kept(bench_out *out, dureq_error *err)
{
    RIG_AUTO r = {.redis = NULL};
    ROLE_AUTO producer = {.pid = 0};
    ROLE_AUTO node = {.pid = 0};
    reading before = {0}, after = {0};
    double payload = 0;
    int rc = rig_open(&r, &(rig_options){.append_only = false}, err);

    if (rc == 0)
        rc = rig_start(&r, &producer, "producer", err, NULL);
    if (rc == 0)
        rc = rig_start(&r, &node, "node", err, NULL);
    if (rc == 0)
        rc = role_ask(&producer, NULL, err, "enqueue n=%d batch=%d", BENCH_BATCH, BENCH_BATCH);
    if (rc == 0)
        rc = role_ask(&node, NULL, err, "wait completed=%d", BENCH_BATCH);
    if (rc == 0)
        rc = read_memory(&r, &before, err);
    if (rc == 0)
        rc = enqueue_sizes(&producer, &payload, err);
    if (rc == 0)
        rc = role_ask(&node, NULL, err, "wait completed=%d", BENCH_BATCH + ALL_JOBS);
    if (rc == 0)
        rc = read_memory(&r, &after, err);
    if (rc == 0)
        put_bytes(out, "mem_kept", before, after, payload);
    return rc;
}

/* ---- the append-only file ---- */

#define FILE_JOBS 30000

static int run_aof_bytes(bench_out *out, dureq_error *err)
{
    RIG_AUTO r = {.redis = NULL};
    ROLE_AUTO producer = {.pid = 0};
    ROLE_AUTO node = {.pid = 0};
    double size[2] = {0};
    int rc = rig_open(&r, &(rig_options){.append_only = true}, err);

    if (rc == 0)
        rc = rig_start(&r, &producer, "producer", err, NULL);
    if (rc == 0)
        rc = rig_start(&r, &node, "node", err, "--drained=1", NULL);
    if (rc == 0)
        rc = rig_info(&r, "persistence", "aof_current_size", &size[0], err);
    if (rc == 0)
        rc = role_ask(&producer, NULL, err, "enqueue n=%d batch=%d retention_ms=-1", FILE_JOBS, BENCH_BATCH);
    if (rc == 0)
        rc = role_ask(&node, NULL, err, "drain on=0");
    if (rc == 0)
        rc = role_ask(&node, NULL, err, "wait completed=%d", FILE_JOBS);
    if (rc == 0)
        rc = rig_info(&r, "persistence", "aof_current_size", &size[1], err);
    if (rc == 0)
        bench_put(out, "aof_bytes", (size[1] - size[0]) / FILE_JOBS, "payload of %d, retention 0; 2.5 payloads and 500",
                  BENCH_PAYLOAD);
    return rc;
}

/* ---- a node's process ---- */

#define NODE_JOBS 2000

/* All 100 threads have run a handler before the process is looked at. */
static int run_node_memory(bench_out *out, dureq_error *err)
{
    RIG_AUTO r = {.redis = NULL};
    ROLE_AUTO producer = {.pid = 0};
    ROLE_AUTO node = {.pid = 0};
    role_words answer = {.n = 0};
    int rc = rig_open(&r, &(rig_options){.append_only = false}, err);

    if (rc == 0)
        rc = rig_start(&r, &node, "node", err, "--threads=100", "--concurrency=100", "--mode=sleep", "--sleep_us=20000", NULL);
    if (rc == 0)
        rc = rig_start(&r, &producer, "producer", err, NULL);
    if (rc == 0)
        rc = role_ask(&producer, NULL, err, "enqueue n=%d", NODE_JOBS);
    if (rc == 0)
        rc = role_ask(&node, NULL, err, "wait completed=%d", NODE_JOBS);
    if (rc == 0)
        rc = role_ask(&node, &answer, err, "usage");
    if (rc == 0)
        bench_put(out, "node_memory", role_get(&answer, "rss_kb", 0) / 1024, "resident, 100 threads; %.1f MB of it not of files",
                  role_get(&answer, "anon_kb", 0) / 1024);
    return rc;
}

#define ROW(name, what, unit, target)       \
    (const bench_row[])                     \
    {                                       \
        {#name, what, unit, target, false}, \
        {                                   \
            NULL, NULL, NULL, 0, false      \
        }                                   \
    }

const bench_group bench_memory_groups[] = {
    {"mem_queued", ROW(mem_queued, "Redis memory of a queued job over its payload", "bytes", 90), run_mem_queued, false},
    {"mem_kept", ROW(mem_kept, "Redis memory of a kept job over its payload", "bytes", 190), run_mem_kept, false},
    {"aof_bytes", ROW(aof_bytes, "append-only file, a job", "bytes", 2.5 * BENCH_PAYLOAD + 500), run_aof_bytes, false},
    {"node_memory", ROW(node_memory, "memory of a node with 100 threads", "MB", 15), run_node_memory, false},
    {NULL, NULL, NULL, false},
};
