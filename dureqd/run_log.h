/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What happens to jobs, as log records: each end of a run at info when it failed or the job died, all else at debug. At most
   DQ_RUN_LOG_PER_SECOND a second of each level; how many were left out is told once the second is over. Thread of `loop` only. */

#include <dureq/node.h>

#include "base/log.h"
#include "io/loop.h"

#define DQ_RUN_LOG_PER_SECOND 20

typedef struct dq_run_log_level {
    int64_t since_us; /* when this second began; 0: never */
    unsigned n;       /* records in it */
    uint64_t n_left_out;
} dq_run_log_level;

typedef struct dq_run_log {
    const dq_log *log;
    dq_loop *loop;
    dq_timer timer; /* set while something is left out */
    dq_run_log_level bad, fine;
} dq_run_log;

/* `log` is borrowed until deinit. DUREQ_ENOMEM. */
int dq_run_log_init(dq_run_log *r, dq_loop *loop, const dq_log *log, dureq_error *err);
void dq_run_log_deinit(dq_run_log *r);                               /* tells what was left out; zeroed is fine */
void dq_run_log_event(const dureq_node_event *event, void *run_log); /* a dureq_node_event_fn */
