/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The audit. Any thread; blocking. */

#include <dureq/client.h>

#include "base/buf.h"
#include "redis/blocking.h"

/* Audit entries of one target (a job id, a queue name, a node id), newest first, at most limit of the last 10,000: as JSON objects
   in an array appended to ret. target empty: all. */
int dq_client_audit(dureq_client *client, dureq_str target, int limit, dq_buf *ret, dureq_error *err);

/* The newest `count` entries of a stream of the shard ("au", "ev"), newest first. Within dq_client_enter and dq_client_leave. */
int dq_client_newest(dureq_client *client, unsigned shard, const char *name, int count, dq_owned_reply *ret, dureq_error *err);
