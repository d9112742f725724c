/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Subscriptions of a connection. They need RESP3, where messages come as pushes between the replies; they are made again
   by themselves after each reconnect, before on_ready. Messages go to on_push as the server sends them: an array of
   "message" (sharded: "smessage"), channel, payload. Loop thread only. */

#include "redis/conn.h"

/* Fine in any state, and when already subscribed. A subscription that the server refuses is logged and tried again after
   the next reconnect. 0, DUREQ_ENOMEM, or DUREQ_EUNSUPPORTED on a connection that was asked for RESP2. */
int dq_redis_subscribe(dq_redis *r, bool sharded, dureq_str channel);
void dq_redis_unsubscribe(dq_redis *r, bool sharded, dureq_str channel); /* fine when not subscribed */
