/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Reads the event streams of all shards forwards from a cursor, merged by time: in order within a shard, and nearly so over all.

   Whether something is missing is seen by reading from the place itself and not from after it: the entry that was read last must be there still.
   When it is not (the stream was trimmed past it, the data were deleted, the server came back without its tail) that is a gap, which is told in the
   place where it is, and reading goes on with what there is. Loop thread of its client. */

#include <dureq/client.h>

#include "client/event_cursor.h"
#include "client/event_directory.h"
#include "redis/conn.h"
#include "redis/owned.h"

typedef struct dq_event_reader dq_event_reader;
typedef void (*dq_event_read_fn)(dq_event_reader *r, int code, void *userdata);

/* fn: each dq_event_reader_go ends with it, in a later turn. */
dq_event_reader *dq_event_reader_create(dureq_client *c, dq_event_directory *d, dq_event_read_fn fn, void *userdata);
void dq_event_reader_destroy(dq_event_reader *r); /* fn is not called any more. NULL is fine; may be called in fn */

const dq_event_cursor *dq_event_reader_cursor(const dq_event_reader *r);
void dq_event_reader_from_now(dq_event_reader *r);                        /* the next go finds where the streams end */
void dq_event_reader_from(dq_event_reader *r, const dq_event_cursor *at); /* the next go reads all shards from there */
void dq_event_reader_want(dq_event_reader *r, unsigned shard);            /* the next go reads this one */
void dq_event_reader_want_all(dq_event_reader *r);
bool dq_event_reader_wants(const dq_event_reader *r); /* something is left to read */

/* Over this connection, held while it is away. code of fn: 0, or why not all was read: nothing is lost by it, another go goes on. Names come along. */
void dq_event_reader_go(dq_event_reader *r, dq_redis *conn);

typedef enum dq_event_next {
    DQ_EVENT_NONE,  /* nothing is left of what was read: whoever wants more lets it go again, if it wants */
    DQ_EVENT_ENTRY, /* *ret is the next entry, valid until the next call; the cursor is after it */
    DQ_EVENT_GAP,   /* in ret->shard events are missing, from the place ret->ms, ret->seq on */
} dq_event_next;
dq_event_next dq_event_reader_next(dq_event_reader *r, dq_event_entry *ret);
