/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The events of a job. Any thread; blocking. */

#include <dureq/client.h>

#include "base/buf.h"

/* Events that name a job or a schedule, oldest first: the newest 1,000 of those that a page of its shard's stream finds (event_page.h), as a JSON array
   appended to ret. An event is as in the stream, with the name that this list had for its time, too. */
int dq_client_job_events(dureq_client *client, const char *id, bool hides_payload, dq_buf *ret, dureq_error *err);
