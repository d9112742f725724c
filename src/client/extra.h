/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the API layer asks of a client beyond the public header. Any thread; blocking. */

#include <dureq/client.h>

#include "base/buf.h"

typedef struct dq_day_stats {
    char date[12]; /* "2026-11-23", UTC */
    int64_t enqueued, completed, failed, dead, cancelled;
} dq_day_stats;
/* The last n days, oldest first, days without jobs included. 1 <= n <= 400; ret has room for n. */
int dq_client_days(dureq_client *client, int n, dq_day_stats *ret, dureq_error *err);

/* INFO's text of the server. section NULL: all. */
int dq_client_redis_info(dureq_client *client, const char *section, dq_buf *ret, dureq_error *err);
/* How to name the server to people: no password. Valid as long as the client. */
const char *dq_client_server_name(dureq_client *client);

/* Starts it so long from now, by the server's clock; else as dureq_client_reschedule. */
int dq_client_reschedule_in(dureq_client *client, const char *id, int64_t delay_ms, dureq_error *err);

/* Audit entries of one target (a job id, a queue name, a node id), newest first, at most limit of the last 10,000: as JSON objects
   in an array appended to ret. target empty: all. */
int dq_client_audit(dureq_client *client, dureq_str target, int limit, dq_buf *ret, dureq_error *err);
/* Events that name a job, oldest first, from the last `scan` entries of its shard's stream: JSON array appended to ret. */
int dq_client_job_events(dureq_client *client, const char *id, int scan, dq_buf *ret, dureq_error *err);
