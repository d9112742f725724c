/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Inside of a node. Files: node.c (its life), options.c (what it was given), parts.c (what it is made of, and what these tell it), registry.c
   (handlers, and others in their place). */

#include <dureq/dureq.h>

#include <signal.h>
#include <stdatomic.h>

#include "base/buf.h"
#include "base/mutex.h"
#include "client/client_internal.h"
#include "leader/leader.h"
#include "node/external.h"
#include "worker/worker.h"

struct dureq_node {
    dureq_node_options o; /* strings are ours */
    char instance[17];
    dq_log log;
    sigset_t signals; /* the mask of the thread that created it: handler threads get it */
    dq_loop *loop;
    dq_store *store;
    dq_handlers handlers;
    dq_handlers staged; /* to replace them: of the thread that registers, until it is committed */
    bool is_staging;
    char *staged_info;
    dq_message swap;
    atomic_bool is_swapping; /* swap is under way */
    void (*on_swapped)(void *userdata);
    void *on_swapped_userdata;
    dq_worker *worker;
    dq_leaders *leaders;
    dureq_client *client;
    bool started, ended;
    dq_timer stop_timer;
    int stop_pipe[2]; /* written by dureq_node_stop_now, which may be in a signal handler */
    dq_readable stop_readable;
    dq_message begin, drain, stop;

    dq_mutex mu; /* guards the rest */
    dq_cond cond;
    bool live, stopped, refused, start_cancelled, want_drain, drain_posted;
    dureq_error why;
    dureq_node_stats last_stats; /* of a worker that is gone */
};

/* ---- options.c ---- */

int dq_node_take_options(dureq_node *n, const dureq_node_options *given, dureq_error *err);
void dq_node_drop_options(dureq_node *n);

/* ---- parts.c ---- */

/* All but the loop. What was made before a failure is dropped by dq_node_drop_parts. */
int dq_node_make_parts(dureq_node *n, dureq_error *err);
/* The loop's thread is over. */
void dq_node_drop_parts(dureq_node *n);

/* ---- registry.c ---- */

/* What a session tells of its node, as JSON, with these handlers. */
void dq_node_make_info(const dureq_node *n, const dq_handlers *handlers, dq_buf *out);
