/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The events of a job. Any thread; blocking. */

#include <dureq/client.h>

#include "base/buf.h"

/* Events that name a job, oldest first, from the last `scan` entries of its shard's stream: JSON array appended to ret. */
int dq_client_job_events(dureq_client *client, const char *id, int scan, dq_buf *ret, dureq_error *err);
