/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Events that the streams still hold, the newest first. Any thread; blocking. */

#include <dureq/client.h>

#include "client/event.h"

typedef struct dq_event_page {
    dq_event_filter filter;
    int64_t since_ms, until_ms; /* from since on, before until */
    const char *cursor;         /* of the page before; NULL: from the end */
    size_t limit;
    bool hides_payload;
    bool is_of_shard; /* of this one only */
    unsigned shard;
} dq_event_page;

/* {"data": [...], "total", "total_exact", "scanned", "next_cursor"?}. A call looks at some 20,000 entries at most; it may come short, with a cursor. */
int dq_client_event_page(dureq_client *c, const dq_event_page *p, dq_buf *ret, dureq_error *err);
