/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Script calls of workflows, as bytes for dq_store_send, and their answers. One function a script, named after it. Any thread. Ids are the packed 13
   bytes, as those of jobs. */

#include "model/flow_state.h"
#include "store/leader_calls.h"
#include "store/store.h"

#define DQ_FLOW_SCRIPTS   8   /* version of the scripts that all sessions must know, */
#define DQ_FLOW_HOLDS     6   /* once a workflow is suspended, */
#define DQ_FLOW_CONTROLS  8   /* and once one asks for max_running, delay or result_reuse */
#define DQ_FLOW_LANES_MAX 256 /* in a call */
#define DQ_FLOW_PAGE_MAX  1000

/* ---- a definition ---- */

/* hash: of the image. name: "0", "1" ... of a segment, "b7" of the payload of task 7. The answer is 1 when it is in use already. */
void dq_call_flow_segment(dq_buf *out, const dq_keys *k, unsigned shard, dureq_str hash, const char *name, dureq_str bytes);
void dq_call_flow_lanes(dq_buf *out, const dq_keys *k, unsigned shard, dureq_str hash, uint32_t first, const dureq_str *names,
                        size_t n);
/* Empty: all have a number; else the lane whose queue there is not, or that would be one too many. */
dureq_str dq_flow_lanes_refused(const dq_reply *r);

typedef struct dq_flow_start {
    dureq_str hash;
    uint32_t n_tasks, n_segments;
    dureq_str request, unique_key; /* unique_key empty: none */
    int64_t request_ms, unique_ms; /* unique_ms 0: until its end */
    int64_t keep_ms;               /* after its end */
    int64_t limit_ms;              /* from its start to its end; 0: none */
    int32_t max_attempts;          /* how often it may start by itself */
    int32_t max_running;           /* 0: any number */
    int scripts;                   /* version of them that all sessions must know */
    bool cancels_on_failure;
    const uint32_t *large;
    size_t n_large;
    const dureq_str *queues; /* of its lanes, each once */
    size_t n_queues;
    dureq_str name, input, tags, actor; /* kept beside; tags: packed as of a job */
} dq_flow_start;
void dq_call_flow_start(dq_buf *out, const dq_keys *k, unsigned shard, const dq_flow_start *s);

typedef enum dq_flow_started {
    DQ_FLOW_STARTED,
    DQ_FLOW_KNOWN,     /* by its request: id is that of the first start */
    DQ_FLOW_KEY_HELD,  /* by the job or workflow id */
    DQ_FLOW_UNDEFINED, /* the image is not here: load it and start again */
    DQ_FLOW_TOO_OLD,   /* that version is not required of the shard's sessions yet */
    DQ_FLOW_OF_BATCH,  /* its request is that of the batch id */
} dq_flow_started;
/* A dq_flow_started; DUREQ_EPROTO. */
int dq_flow_start_decode(const dq_reply *r, dq_id *ret);

/* ---- a workflow ---- */

void dq_call_flow_get(dq_buf *out, const dq_keys *k, unsigned shard, dureq_str id, uint32_t first, uint32_t n);
/* at: 0, then as answered, until that is -1. DUREQ_ENOTFOUND, DUREQ_ECONFLICT when it has ended. token: of this cancel, by which a repeat of its first
   call is known; empty: none. */
void dq_call_flow_cancel(dq_buf *out, const dq_keys *k, unsigned shard, dureq_str actor, dureq_str id, dureq_str reason,
                         int64_t at, dureq_str token);
/* 0; DUREQ_ENOTFOUND, DUREQ_ECONFLICT when it has not failed and was not cancelled. */
void dq_call_flow_retry(dq_buf *out, const dq_keys *k, unsigned shard, dureq_str actor, dureq_str id);
/* at: 0, then as answered, until that is -1. DUREQ_ENOTFOUND, DUREQ_ECONFLICT when it does not run; DUREQ_EUNSUPPORTED: DQ_FLOW_HOLDS is not required of the
   shard's sessions yet. */
void dq_call_flow_suspend(dq_buf *out, const dq_keys *k, unsigned shard, dureq_str actor, dureq_str id, int64_t at);
/* 0; DUREQ_ENOTFOUND, DUREQ_ECONFLICT when it is not suspended. */
void dq_call_flow_resume(dq_buf *out, const dq_keys *k, unsigned shard, dureq_str actor, dureq_str id);
/* before: empty, from the newest. status: numbers with blanks between; empty: any. */
void dq_call_flow_list(dq_buf *out, const dq_keys *k, unsigned shard, dureq_str before, int limit, dureq_str status);

/* ---- the leader ---- */

void dq_call_flow_step(dq_buf *out, const dq_keys *k, unsigned shard, dq_term t);
typedef struct dq_flow_stepped {
    int64_t now_ms;
    int64_t n_left;        /* of what workflows and batches left to do */
    int64_t next_timer_ms; /* of theirs; -1: none */
} dq_flow_stepped;
int dq_flow_step_decode(const dq_reply *r, dq_flow_stepped *ret);
