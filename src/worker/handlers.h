/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The handlers of a node: by exact type or by prefix. Filled before start, only counters change afterwards (loop thread). */

#include "base/buf.h"
#include "base/map.h"
#include "worker/external.h"

typedef struct dq_handler {
    size_t no;     /* in the node's list */
    char *pattern; /* without its '*' */
    size_t len;
    bool is_prefix;
    dureq_handler_fn fn; /* NULL: external */
    const dq_external_ops *ops;
    void *userdata;
    int32_t concurrency; /* 0: the node's */
    int64_t timeout_ms, grace_ms;
    dq_buf retry_packed; /* empty: none */
    dureq_middleware *middleware;
    size_t n_middleware;
    int32_t running; /* loop's */
    int32_t planned; /* loop's; asked for by the read under construction, over all its lanes */
} dq_handler;

typedef struct dq_handlers {
    dq_handler **items;
    size_t n, cap;
    dq_map by_type;        /* those without '*' */
    dq_handler **prefixes; /* the others */
    size_t n_prefixes;
    dureq_middleware *global;
    size_t n_global;
} dq_handlers;

void dq_handlers_deinit(dq_handlers *hs);
int dq_handlers_add(dq_handlers *hs, const char *task_type, dureq_handler_fn fn, const dq_external_ops *ops, void *userdata,
                    const dureq_handler_options *opts, dureq_error *err);
int dq_handlers_use(dq_handlers *hs, dureq_middleware_fn fn, void *userdata, dureq_error *err);
dq_handler *dq_handlers_find(const dq_handlers *hs, dureq_str task_type); /* exact, else longest prefix, else NULL */
int32_t dq_handler_free(const dq_handler *h);                             /* slots of its own; INT32_MAX: only the node's count */
void dq_handlers_names(const dq_handlers *hs, dq_buf *out);               /* comma-separated, patterns with '*' */
