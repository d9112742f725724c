/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Many events as one message: how many there were of each type, and of which jobs as long as these are few. Pure. */

#include "client/event.h"

#define DQ_EVENT_DIGEST_JOBS_MAX 32

/* Zeroed is empty. */
typedef struct dq_event_digest {
    uint32_t n[DQ_EVENT_N_TYPES];
    dq_id jobs[DQ_EVENT_DIGEST_JOBS_MAX];
    size_t n_jobs;
    bool has_more_jobs; /* than it names */
    bool has_any;
} dq_event_digest;

void dq_event_digest_add(dq_event_digest *d, dq_event_type type, const dq_id *job /* NULL: of none */);
/* One object without its closing brace. */
void dq_event_digest_write(const dq_event_digest *d, dq_buf *out);
