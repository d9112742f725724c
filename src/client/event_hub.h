/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Everything that happens, to many who listen. Loop thread of its client, all of it; nothing here blocks.

   The streams of all shards are read once, over a connection of the hub's own, and only while somebody listens: one command waits for any of them
   (XREAD BLOCK), and PACE after it answers what came is read, so that a busy deployment costs some forty reads a second and a quiet one none. Each event that
   anybody wants is written as JSON once, into a ring of at most DQ_EVENT_RING_FRAMES and DQ_EVENT_RING_BYTES. Who listens has a place in the ring and a filter, and no queue: it
   costs what its connection holds. Who reads so slowly that the ring has gone over its place is told of a gap, with the token of what it was given last,
   and goes on with what is new; nobody else notices.

   Who comes with a token is first given what the streams hold after it, by a reader of its own (CATCHING_MAX of them at a time, the others wait their
   turn), and then from the ring what this reader had not reached.

   When Redis goes away all places stay; when it is back they are looked at again, and what is missing is told as a gap (client/event_reader.h). */

#include <dureq/client.h>

#include "client/event.h"
#include "client/event_cursor.h"

typedef struct dq_event_hub dq_event_hub;
typedef struct dq_event_sub dq_event_sub;

dq_event_hub *dq_event_hub_create(dureq_client *c); /* NULL: no memory; any thread */
void dq_event_hub_destroy(dq_event_hub *h);         /* nobody listens any more. NULL is fine */

typedef struct dq_event_sub_options {
    dq_event_filter filter; /* what it points to is copied */
    const char *since;      /* token; NULL: from now on */
    bool hides_payload;
    /* Not 0: what comes within so many ms of what was given waits and comes together, without progress that is out of date by then. */
    int coalesce_ms;
    bool is_digest; /* what comes together is one item that counts it; with coalesce_ms */
    /* There is something to take; once after each take that found nothing. */
    void (*on_more)(void *userdata);
    void *userdata;
} dq_event_sub_options;

/* DUREQ_EINVAL: `since` is no token; DUREQ_EUNAVAILABLE: Redis was not there yet; DUREQ_ENOMEM. on_more follows in a later turn. */
int dq_event_sub_open(dq_event_hub *h, const dq_event_sub_options *o, dq_event_sub **ret, dureq_error *err);
void dq_event_sub_close(dq_event_sub *s); /* also in on_more. NULL is fine */

typedef enum dq_event_item_kind {
    DQ_EVENT_ITEM_EVENT,
    DQ_EVENT_ITEM_GAP,      /* of type stream.gap, with from and to */
    DQ_EVENT_ITEM_DIGEST,   /* of type stream.digest */
    DQ_EVENT_ITEM_POSITION, /* of type stream.position: everything before it was given. The first item is one */
} dq_event_item_kind;

typedef struct dq_event_item {
    dq_event_item_kind kind;
    dureq_str json;  /* whole, with `seq` where there is a token */
    dureq_str token; /* may be empty */
    dq_event_type type;
    dureq_str job; /* its id as text, where it has one: which of several states of progress is the latest */
} dq_event_item;
typedef void (*dq_event_put_fn)(void *userdata, const dq_event_item *item);

/* Gives items until they were max_bytes of JSON; returns false when nothing is left: on_more tells when there is. */
bool dq_event_sub_take(dq_event_sub *s, size_t max_bytes, dq_event_put_fn put, void *userdata);
/* Gives a position, if it is another than that of the item before and nothing is left to take. */
void dq_event_sub_position(dq_event_sub *s, dq_event_put_fn put, void *userdata);
/* How many entries of streams came by since it was made: another number says that something happened. It moves only while somebody listens. */
uint64_t dq_event_hub_seen(const dq_event_hub *h);
