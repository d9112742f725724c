/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Calls of a handler's steps, as bytes, and their answers; and a job's steps as they are stored. Any thread. Both calls are refused with DUREQ_EFENCED when the
   session is over or its job went on without the run. Each may be made again. */

#include "store/session_calls.h"

#define DQ_STEP_SCRIPTS 7 /* version of the scripts that all sessions must know */

typedef struct dq_step_at {
    uint64_t session;
    dq_entry entry; /* of the job, as it was delivered to the session */
    dq_id id;
    unsigned run; /* number of it, from 1 */
    dureq_str key;
} dq_step_at;

void dq_call_step_begin(dq_buf *out, const dq_keys *k, unsigned shard, const dq_step_at *at);

typedef enum dq_step_may {
    DQ_STEP_GO,
    DQ_STEP_WAS_DONE,
    DQ_STEP_TOO_OLD,  /* DQ_STEP_SCRIPTS is not required of the shard's sessions yet */
    DQ_STEP_TOO_MANY, /* DUREQ_STEPS_MAX */
} dq_step_may;
typedef struct dq_step_begun {
    dq_step_may may;
    uint32_t round;   /* how often the job began its steps anew */
    dureq_str result; /* of one that was done; a view into the reply */
} dq_step_begun;
int dq_step_begin_decode(const dq_reply *r, dq_step_begun *ret);

void dq_call_step_end(dq_buf *out, const dq_keys *k, unsigned shard, const dq_step_at *at, dureq_str result);
int dq_step_end_decode(const dq_reply *r); /* 0, 1: too large, or DUREQ_EPROTO */

typedef struct dq_step_row {
    bool is_done;
    uint32_t run;
    int64_t started_at_ms, finished_at_ms; /* finished 0: not yet */
    dureq_str result;
} dq_step_row;
int dq_step_row_unpack(dureq_str packed, dq_step_row *ret); /* DUREQ_EPROTO */
