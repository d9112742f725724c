/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Exec handlers: a program per job, as docs/configuration.md says. No thread waits for a child. */

#include "base/log.h"
#include "config.h"
#include "node/external.h"

/* All exec handlers of one node. */
typedef struct dq_exec_host dq_exec_host;

typedef struct dq_exec_host_options {
    const char *owner;
    const dq_log *log;
    const char *proc;     /* where `cgroup` and `mountinfo` are; NULL: no control groups */
    const char *guardian; /* this program, to be started as the guardian; NULL: none */
} dq_exec_host_options;

/* The loop is the node's. Makes the directory of context files, takes over orphans of this process, and ends what killed daemons of the same
   `owner` left on this machine: a text that is the same for all daemons that run the same jobs. */
int dq_exec_host_create(dq_loop *loop, const dq_exec_host_options *o, dq_exec_host **ret, dureq_error *err);
/* Finds and checks program and user, and registers the handler. Before the node starts, or into a set that is to replace its handlers. */
int dq_exec_host_add(dq_exec_host *host, dureq_node *node, const dq_handler_spec *spec, dureq_error *err);
/* How many jobs of it run at a time: what it says, else as many as there are processors for this process. */
int32_t dq_exec_concurrency(const dq_handler_spec *spec);
/* The same checks alone, for --check. */
int dq_exec_check(const dq_handler_spec *spec, dureq_error *err);
/* Says how memory and processes of a run are limited on this machine. */
void dq_exec_host_say(const dq_exec_host *host);
/* After the node's stop, before its destroy. Kills what still runs. NULL is fine. */
void dq_exec_host_destroy(dq_exec_host *host);
