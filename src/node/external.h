/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What dureqd needs of a node beyond <dureq/node.h>. */

#include "worker/external.h"

/* Like dureq_node_handle, for a handler without thread. `ops` is borrowed until destroy. */
int dq_node_handle_external(dureq_node *node, const char *task_type, const dq_external_ops *ops, void *userdata,
                            const dureq_handler_options *opts, dureq_error *err);
/* The node's loop; valid from create to destroy. Handlers watch their descriptors on it, from within their callbacks only. */
dq_loop *dq_node_loop(dureq_node *node);
/* Ends a dureq_node_start that waits for the server, now or to come: it fails with DUREQ_ECANCELLED. Any thread. */
void dq_node_cancel_start(dureq_node *node);
