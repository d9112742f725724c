/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What this daemon's node did, for /metrics. Events come on the node's loop, the text is made on any thread. */

#include <dureq/node.h>

#include "api/exposition.h"

typedef struct dq_node_meter dq_node_meter;

dq_node_meter *dq_node_meter_create(void); /* NULL: no memory */
void dq_node_meter_destroy(dq_node_meter *m);
void dq_node_meter_event(dq_node_meter *m, const dureq_node_event *event);
/* Whose values are told; it outlives the server that tells them. */
void dq_node_meter_watch(dq_node_meter *m, dureq_node *node);
int64_t dq_node_meter_unsent(void *node_meter);               /* runs that ended and are not known to be recorded */
void dq_node_meter_write(dq_exposition *x, void *node_meter); /* a dq_meter_fn */
