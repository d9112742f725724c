/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What is known of all lanes by looking at each: how many jobs wait and run, in which queue, of which type. Lanes are as many as there are pairs of queue and
   task type, so they are read in pages, and a client of many may share what was read (dq_client_share_walks). Any thread; blocking. */

#include <dureq/client.h>

#include "store/queue_calls.h"

/* Which queues and task types have jobs that no node was given yet. fn: in the caller's thread, for each lane of each shard where jobs wait, so that a
   pair of queue and type may come several times. What it returns below 0 ends the walk, and is returned (fn sets *err itself). */
int dq_client_walk_waiting(dureq_client *client, dq_lane_waiting_fn fn, void *userdata, dureq_error *err);
/* How full queues are; a queue may come several times (dq_queue_stats_add), one without jobs does not come. *ret_now_ms: by the server's clock. */
int dq_client_walk_queues(dureq_client *client, dq_queue_stats_fn fn, void *userdata, int64_t *ret_now_ms, dureq_error *err);
