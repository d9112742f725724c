/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The packed state of a workflow (docs/redis-keys.md "State of a workflow"): a header, then a cell for each task. Pure. */

#include <dureq/workflow.h>

#include "model/id.h"

#define DQ_FLOW_HEAD 64
#define DQ_FLOW_CELL 32

typedef struct dq_flow_head {
    dureq_workflow_status status;
    bool is_failing;
    uint32_t n_tasks, n_active, n_ended, n_failed, n_skipped, n_unreached;
    int64_t started_at_ms, finished_at_ms; /* finished 0: it has not */
    uint32_t attempt, max_attempts, max_running;
} dq_flow_head;

typedef struct dq_flow_cell {
    dureq_workflow_task_state state;
    uint32_t n_met; /* of its dependencies, how many have ended */
    dq_id job;      /* ms 0: none */
    int64_t released_at_ms, ended_at_ms;
} dq_flow_cell;

/* 0, DUREQ_ESCHEMA (of a later version), DUREQ_EPROTO. */
int dq_flow_head_unpack(dureq_str bytes, dq_flow_head *ret);
bool dq_flow_cell_unpack(dureq_str cells, size_t i, dq_flow_cell *ret);
