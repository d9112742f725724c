/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Days, and the server's INFO. Any thread; blocking. */

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
