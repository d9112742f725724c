/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The handlers that settings ask for: those of the file and of --handler, then the built-ins under their own names. */

#include "base/log.h"
#include "config.h"
#include "exec.h"

/* `*at` begins at 0. False at the end. */
bool dq_handler_list_next(const dq_config *cfg, size_t *at, dq_handler_spec *ret);
/* How many jobs of it run at a time on a node of these settings. */
int64_t dq_handler_concurrency(const dq_config *cfg, const dq_handler_spec *spec);
/* Registers all. */
int dq_handler_list_add(const dq_config *cfg, dq_exec_host *exec, dureq_node *node, int *ret_n, dureq_error *err);

typedef enum dq_handler_change {
    DQ_HANDLER_SAME,
    DQ_HANDLER_ADDED,
    DQ_HANDLER_CHANGED,
    DQ_HANDLER_REMOVED,
} dq_handler_change;

/* What is new about the handler for a type in `next`; one that is not there is removed. DUREQ_ENOMEM, else a dq_handler_change. */
int dq_handler_compare(const dq_config *now, const dq_config *next, const char *type);
/* A record of one handler of a node with the settings `cfg`. SAME: as at the start. */
void dq_handler_say(const dq_log *log, const dq_config *cfg, const dq_handler_spec *spec, dq_handler_change change);
