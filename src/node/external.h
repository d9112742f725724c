/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What dureqd needs of a node beyond <dureq/node.h>. */

#include "worker/external.h"

/* Like dureq_node_handle, for a handler without thread. `ops` is borrowed until destroy. */
int dq_node_handle_external(dureq_node *node, const char *task_type, const dq_external_ops *ops, void *userdata,
                            const dureq_handler_options *opts, dureq_error *err);
/* Other handlers for all of the node's, while it runs: from begin on the calls that register handlers fill a set of their own, which the loop takes for
   the node's at commit. What was begun ends with the handler that it began with. One thread at a time does this. `done` is called on the
   loop's thread, and never when the node is stopped before. begin: DUREQ_ECONFLICT before start, or while the last set is on its way. */
int dq_node_handlers_begin(dureq_node *node, dureq_error *err);
void dq_node_handlers_abort(dureq_node *node);
int dq_node_handlers_commit(dureq_node *node, void (*done)(void *userdata), void *userdata, dureq_error *err);
/* As dureq_node_options has it; any thread. */
void dq_node_set_log_level(dureq_node *node, dureq_log_level level);
/* The node's loop; valid from create to destroy. Handlers watch their descriptors on it, from within their callbacks only. */
dq_loop *dq_node_loop(dureq_node *node);
/* As dureq_node_info has it. */
const char *dq_node_instance(const dureq_node *node);
/* Ends a dureq_node_start that waits for the server, now or to come: it fails with DUREQ_ECANCELLED. Any thread. */
void dq_node_cancel_start(dureq_node *node);
