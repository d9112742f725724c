/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* dureq-bench: measures what docs/benchmarks.md lists and prints it beside its target.

   The main process runs one group of rows after another, each in a child of its own (so that nothing a row does can end the
   table), and the child runs whole processes for what is measured: a redis-server, and this same program as producer, node or
   floor ("roles", role.h). Rows are in rows_*.c, one group a function. */

#include "base/base.h"
#include "base/buf.h"

#define BENCH_PAYLOAD   200          /* bytes */
#define BENCH_TASK_TYPE "bench.noop" /* 10 bytes */
#define BENCH_BATCH     100          /* jobs a call, where a row says "batch of 100" */
#define BENCH_RUNS      5            /* a small row is the median of so many */
#define BENCH_LEASE_MS  5000         /* the node's default */

typedef struct bench_row {
    const char *name; /* NULL ends a list */
    const char *what; /* for people, one line */
    const char *unit;
    double target;
    bool at_least; /* the target is a minimum; else a maximum */
} bench_row;

typedef struct bench_out bench_out;

typedef struct bench_group {
    const char *name;
    const bench_row *rows;
    /* Measures and reports each row with bench_put. What it did not report is printed with err's text. */
    int (*run)(bench_out *out, dureq_error *err);
    bool is_long; /* only by --long or by name */
} bench_group;

/* The value of one row of the group; the note says what a reader must know beside it ("" for none). */
void bench_put(bench_out *out, const char *row, double value, const char *fmt, ...) DUREQ_PRINTF(4, 5);
/* Whether another repetition fits: false after BENCH_RUNS of them, or when it may not end within the row's minute. */
bool bench_again(const bench_out *out, size_t n_done);

/* One list a file, ended by a group without name. */
extern const bench_group bench_cost_groups[], bench_throughput_groups[], bench_memory_groups[], bench_latency_groups[],
    bench_time_groups[], bench_fault_groups[], bench_idle_groups[], bench_schedule_groups[], bench_api_groups[],
    bench_exec_groups[], bench_flow_groups[], bench_ws_groups[];
