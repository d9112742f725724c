/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Which queues and task types have jobs that no node was given yet. Any thread; blocking. */

#include <dureq/client.h>

#include "store/queue_calls.h"

/* fn: in the caller's thread, for each lane of each shard where jobs wait, so that a pair of queue and type may come several times. What it
   returns below 0 ends the walk, and is returned (fn sets *err itself). */
int dq_client_walk_waiting(dureq_client *client, dq_lane_waiting_fn fn, void *userdata, dureq_error *err);
