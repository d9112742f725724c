/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Operations as Redis keeps them: records with a lease, and what was done. What an operation is to do stands in its spec, which the caller makes and
   reads. Any thread; blocking. */

#include <dureq/client.h>

#include "store/operation_calls.h"

#define DQ_OPERATION_ID_MAX 40

/* A record; views, until the function it is given to returns. */
typedef struct dq_operation_record {
    dureq_str id, spec, state, cursor, reason, error;
    int64_t created_at_ms, updated_at_ms, ended_at_ms; /* 0: not yet */
    int64_t n_seen, n_refused;
    int64_t n_done; /* of one that ended; -1: each shard knows its part */
} dq_operation_record;
typedef int (*dq_operation_fn)(void *userdata, const dq_operation_record *record, dureq_error *err);

/* One, or with an empty id a page of those before `before`; limit 0 gives the server's time only. What fn returns below 0 ends it. */
int dq_client_operations(dureq_client *c, dureq_str id, dureq_str before, int limit, dq_operation_fn fn, void *userdata,
                         int64_t *ret_now_ms, dureq_error *err);
/* detail: for the audit. DUREQ_ELIMIT: a hundred are under way. */
int dq_client_operation_start(dureq_client *c, dureq_str id, dureq_str spec, dureq_str detail, dureq_error *err);
/* DUREQ_ENOTFOUND, DUREQ_ECONFLICT when it has ended. */
int dq_client_operation_stop(dureq_client *c, dureq_str id, dureq_str reason, dureq_error *err);
/* 1, and fn was called with what it is; 0: there is none to take up. */
int dq_client_operation_claim(dureq_client *c, dureq_str holder, dureq_str id, int64_t lease_ms, dq_operation_fn fn,
                              void *userdata, dureq_error *err);
/* Not of a claim. *ret_stops: it is asked to stop. DUREQ_EFENCED: another took it up. */
int dq_client_operation_turn(dureq_client *c, const dq_operation_turn *what, bool *ret_stops, dureq_error *err);
/* In all shards; verb as in dq_call_operation_count. */
int dq_client_operation_count(dureq_client *c, const char *verb, dureq_str id, int64_t *ret_n, dureq_error *err);

typedef enum dq_many_verb {
    DQ_MANY_CANCEL,
    DQ_MANY_RETRY,
    DQ_MANY_DELETE,
    DQ_MANY_RUN,
    DQ_MANY_PAUSE,
    DQ_MANY_RESUME,
} dq_many_verb;
/* As dureq_client_cancel_many and the like, as a step of an operation: as_of_ms I6 and its id; empty: of none. */
int dq_client_change_many(dureq_client *c, dq_many_verb verb, dureq_str operation, const char *const *ids, size_t n,
                          const dureq_many_options *opts, int *codes, dureq_error *err);
