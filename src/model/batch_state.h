/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The packed header of a batch (docs/redis-keys.md "Batches"). Pure. */

#include <dureq/batch.h>

#include "model/id.h"

#define DQ_BATCH_HEAD 64

typedef struct dq_batch_head {
    dureq_batch_status status;
    bool is_failing, fails_fast, is_open, is_timed_out;
    uint8_t once; /* 0 there is no one-time task, 1 it waits, 2 released, 3 done, 4 failed */
    uint32_t attempt, max_attempts, window;
    uint32_t n_items, n_running, n_completed, n_skipped, n_failed, n_cancelled;
    int64_t started_at_ms, finished_at_ms, deadline_ms; /* 0: none */
} dq_batch_head;

/* 0, DUREQ_ESCHEMA (of a later version), DUREQ_EPROTO. */
int dq_batch_head_unpack(dureq_str bytes, dq_batch_head *ret);
