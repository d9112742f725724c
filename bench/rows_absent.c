/* SPDX-License-Identifier: Apache-2.0 */
/* Targets for parts that libdureq does not have yet: the table names them, so that nobody takes it for complete. */
#include "bench.h"

static int run_workflows(bench_out *out, dureq_error *err)
{
    (void)out;
    return dq_fail(err, DUREQ_EUNSUPPORTED, "libdureq has no workflows yet");
}

static int run_batches(bench_out *out, dureq_error *err)
{
    (void)out;
    return dq_fail(err, DUREQ_EUNSUPPORTED, "libdureq has no batches yet");
}

#define ROW(name, what, unit, target, at_least) \
    (const bench_row[])                         \
    {                                           \
        {#name, what, unit, target, at_least},  \
        {                                       \
            NULL, NULL, NULL, 0, false          \
        }                                       \
    }

const bench_group bench_absent_groups[] = {
    {"workflow_hop", ROW(workflow_hop, "linear workflow, time of a hop, p50", "ms", 0.8, false), run_workflows, false},
    {"fan_out", ROW(fan_out, "fan-out of 10,000 tasks and fan-in", "tasks/s", 30000, true), run_workflows, false},
    {"batch_items", ROW(batch_items, "batch of 1,000,000 items", "items/s", 40000, true), run_batches, true},
    {NULL, NULL, NULL, false},
};
