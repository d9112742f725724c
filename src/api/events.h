/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Events as they happen, for whoever holds a connection open: pulled by it, at its own speed. Loop thread of the client, except for create. What the hub
   behind it promises: client/event_hub.h. */

#include "api/api.h"

typedef struct dq_api_streams dq_api_streams;
typedef struct dq_api_stream dq_api_stream;

dq_api_streams *dq_api_streams_create(dureq_client *client); /* NULL: no memory */
void dq_api_streams_destroy(dq_api_streams *s);              /* after all that were opened; NULL is fine */

/* How the answer to a request goes on. */
typedef enum dq_api_stream_kind {
    DQ_API_NO_STREAM,
    DQ_API_STREAM_EVENTS, /* GET /api/events: server-sent events, or NDJSON */
    DQ_API_STREAM_SOCKET, /* GET /api/ws */
} dq_api_stream_kind;
dq_api_stream_kind dq_api_stream_of(const char *method, const char *path);

typedef struct dq_api_stream_options {
    const char *last_event_id; /* field of the request, or NULL: wins over `since` */
    /* There is something to take: once after each take that found nothing. May close the stream. */
    void (*on_more)(void *userdata);
    void *userdata;
    /* Puts a message (JSON) into a frame; NULL: as the request asked for it, server-sent events or lines. */
    void (*frame_fn)(dq_buf *out, dureq_str message);
} dq_api_stream_options;

/* True: *ret is open, and res has status, content type and no body. False: res is a whole answer that says why not. */
bool dq_api_stream_open(dq_api_streams *s, const dq_api_request *req, const dq_api_stream_options *o, dq_api_stream **ret,
                        dq_api_response *res);
void dq_api_stream_close(dq_api_stream *s);
/* Appends about max_bytes; returns false when nothing is left. */
bool dq_api_stream_take(dq_api_stream *s, size_t max_bytes, dq_buf *out);
/* Appends what shows that the connection lives, and from where to go on. */
void dq_api_stream_beat(dq_api_stream *s, dq_buf *out);

/* Snapshots (?snapshot=counts,queues,nodes), for what has no event of its own: read once for all who asked for them. */
bool dq_api_streams_want_snapshots(const dq_api_streams *s); /* does anybody? */
/* Whether to read them now, since something happened or it is long ago: then dq_api_snapshots_read, on any thread but the loop's, and _give after it. */
bool dq_api_snapshots_begin(dq_api_streams *s, int64_t now_us);
void dq_api_snapshots_read(dq_api_streams *s);
void dq_api_snapshots_give(dq_api_streams *s); /* calls on_more of those for whom something is new */
