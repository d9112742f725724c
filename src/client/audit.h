/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The audit. Any thread; blocking. */

#include <dureq/client.h>

#include "base/buf.h"
#include "redis/owned.h"

typedef struct dq_audit_query {
    dureq_str target; /* a job id, a queue name, a node id; empty: any */
    int limit;
} dq_audit_query;
/* Audit entries, newest first, at most q->limit; of one target those among the last 10,000 of each shard: as JSON objects in an array appended to
   ret. *ret_more (may be NULL): there are older ones, or may be. */
int dq_client_audit(dureq_client *client, const dq_audit_query *q, bool *ret_more, dq_buf *ret, dureq_error *err);

/* The newest `count` entries of a stream of the shard ("au", "ev"), newest first. Within dq_client_enter and dq_client_leave. */
int dq_client_newest(dureq_client *client, unsigned shard, const char *name, int count, dq_owned_reply *ret, dureq_error *err);
