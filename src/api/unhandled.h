/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Jobs that wait although nothing holds them back but that no live node handles their type. */

#include "api/request.h"
#include "base/map.h"

typedef struct dq_unhandled_type {
    dureq_str task_type;
    int64_t n; /* jobs that wait */
} dq_unhandled_type;

typedef struct dq_unhandled_queue {
    int64_t n;                 /* jobs, of all these types */
    dq_unhandled_type **types; /* most jobs first */
    size_t n_types;
} dq_unhandled_queue;

typedef struct dq_unhandled {
    dq_map queues; /* name -> dq_unhandled_queue, in the arena of the request */
} dq_unhandled;

/* 0 and *ret, which the caller deinits, or what went wrong. */
int dq_unhandled_find(dq_api_ctx *c, dq_unhandled *ret, dureq_error *err);
void dq_unhandled_deinit(dq_unhandled *u);
const dq_unhandled_queue *dq_unhandled_of(const dq_unhandled *u, dureq_str queue); /* NULL: none */
