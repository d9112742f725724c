/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Script calls about operations: what is done to all jobs that fit a filter, step by step. Records are in shard 0; each shard counts what was done in
   it. */

#include "store/store.h"

typedef struct dq_operation_start {
    dureq_str id, spec, actor, detail;
} dq_operation_start;
/* Answer: 1, 0 when it is there already, DUREQ_ELIMIT. */
void dq_call_operation_start(dq_buf *out, const dq_keys *k, const dq_operation_start *what);

typedef enum dq_operation_verb {
    DQ_OPERATION_CLAIM,
    DQ_OPERATION_SAVE,
    DQ_OPERATION_FINISH,
    DQ_OPERATION_FREE,
    DQ_OPERATION_DROP,
} dq_operation_verb;
typedef struct dq_operation_turn {
    dq_operation_verb verb;
    dureq_str holder, id; /* id empty: of a claim, any */
    int64_t lease_ms;
    const dureq_str *fields; /* names and values */
    size_t n_fields;         /* both */
} dq_operation_turn;
void dq_call_operation_turn(dq_buf *out, const dq_keys *k, const dq_operation_turn *what);
void dq_call_operation_stop(dq_buf *out, const dq_keys *k, dureq_str actor, dureq_str id, dureq_str reason);
/* id empty: a page, of those before that one. */
void dq_call_operations_page(dq_buf *out, const dq_keys *k, dureq_str id, dureq_str before, int limit);
/* verb: "open", "read", "close", "drop". */
void dq_call_operation_count(dq_buf *out, const dq_keys *k, unsigned shard, const char *verb, dureq_str id);
