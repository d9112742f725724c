/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The handlers of a node: by exact type or by prefix. Filled before start; afterwards a set takes the place of the whole (loop thread), and what
   runs goes on with the handler it began with. A handler that was replaced is kept until no claim names it; what it still runs takes slots of
   the one that came for its pattern, so that no more run at a time than that allows. */

#include "base/buf.h"
#include "base/map.h"
#include "worker/external.h"

typedef struct dq_handler {
    size_t no;     /* that no other handler of the set has, and the one that it replaced had */
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
    int32_t running;          /* loop's */
    int32_t carried;          /* loop's: that those it replaced still run */
    int32_t planned;          /* loop's; asked for by the read under construction, over all its lanes */
    uint32_t n_claims;        /* loop's: that name it */
    struct dq_handler *heir;  /* of one that was replaced: in whose `carried` its runs are. NULL: its pattern has none */
    struct dq_handler *older; /* in the set's list of those that were replaced */
    bool is_gone;             /* it is in that */
} dq_handler;

typedef struct dq_handlers {
    dq_handler **items;
    size_t n, cap;
    dq_map by_type;        /* those without '*' */
    dq_handler **prefixes; /* the others */
    size_t n_prefixes;
    dureq_middleware *global;
    size_t n_global;
    dq_handler *gone; /* were replaced, and claims name them yet */
} dq_handlers;

/* Does not call `released`: at a node's end external handlers are gone before. */
void dq_handlers_deinit(dq_handlers *hs);
/* Before they replace those of `now`: whoever has a pattern that is there takes its number. Reads what the loop does not change. DUREQ_ENOMEM. */
int dq_handlers_number(dq_handlers *next, const dq_handlers *now, dureq_error *err);
/* Loop thread. `next` is empty afterwards; middleware around all handlers stays. */
void dq_handlers_replace(dq_handlers *hs, dq_handlers *next);
/* A set that is not to be used after all. */
void dq_handlers_drop(dq_handlers *next);
/* A claim names it, or does not any more: then one that was replaced may be freed. Loop thread. */
void dq_handler_hold(dq_handler *h);
void dq_handlers_let_go(dq_handlers *hs, dq_handler *h);
void dq_handler_began(dq_handler *h); /* a slot of its own is taken; free again */
void dq_handler_ended(dq_handler *h);
int dq_handlers_add(dq_handlers *hs, const char *task_type, dureq_handler_fn fn, const dq_external_ops *ops, void *userdata,
                    const dureq_handler_options *opts, dureq_error *err);
int dq_handlers_use(dq_handlers *hs, dureq_middleware_fn fn, void *userdata, dureq_error *err);
dq_handler *dq_handlers_find(const dq_handlers *hs, dureq_str task_type); /* exact, else longest prefix, else NULL */
int32_t dq_handler_free(const dq_handler *h);                             /* slots of its own; INT32_MAX: only the node's count */
void dq_handlers_names(const dq_handlers *hs, dq_buf *out);               /* comma-separated, patterns with '*' */
