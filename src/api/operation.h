/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* An operation: what is done to all jobs that fit a filter and are older than it, in steps, by whichever daemon has the time (operator.c). Between
   its resources (operations.c) and that. */

#include "api/verbs.h"

typedef struct dq_api_operation {
    const dq_api_verb *verb;
    dureq_job_filter filter;
    dureq_job_state states[DQ_API_STATES_MAX];
    int64_t as_of_ms;  /* only what was there, or had ended, before; 0: not said */
    int64_t n_matched; /* that the preview found; -1: not said */
    int64_t n_before;  /* that the request did before it became an operation */
    bool force;
    const char *group;                  /* of dead jobs, as groups.h names it; in the arena. NULL: any */
    const char *reason, *actor, *token; /* in the arena; NULL: none */
    const dq_scope *scope;              /* what it is limited to: of who started it. NULL: nothing */
} dq_api_operation;

/* From a body, or the spec of a record: texts go to the arena of c, whose query becomes the filter. */
int dq_api_operation_read(dq_api_ctx *c, const dq_json *doc, dq_api_operation *ret, dureq_error *err);
/* What a spec is limited to; the caller's to deinit. One whose word is that it is limited, and that does not say to what, is refused. */
int dq_api_operation_scope(const dq_json *spec, dq_scope *ret, dureq_error *err);
/* Of a request that began at began_us (dq_mono_us) and did n_before jobs: the rest becomes an operation, which is the answer (202). body: as that of
   POST /api/operations. DUREQ_ELIMIT: too many are under way. */
int dq_api_operation_go_on(dq_api_ctx *c, dureq_str body, int64_t began_us, int64_t n_before, dureq_error *err);
/* Whether the job is older than the operation, and of its group. key: room. */
bool dq_api_operation_wants(const dq_api_operation *op, const dureq_job *job, dq_buf *key);

#define DQ_API_OPERATION_PAGE 1000 /* jobs that are looked up at a time */
