/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* How far the event streams of all shards were read, and the same as a resume token. Pure.

   A token has the place in every stream, not a time: entries of one ms may come into several streams while they are read, and a clock can be set
   back, so that no time says what was seen. It takes about two bytes a shard that is busy, six for one that was idle for long: 256 shards give 2 KiB. */

#include "base/buf.h"

typedef struct dq_event_place {
    uint64_t ms, seq; /* of the last entry; both 0: before the first one that the stream ever had */
} dq_event_place;

typedef struct dq_event_cursor {
    unsigned n_shards;
    dq_event_place *at;
    uint32_t part; /* events that were read of an entry that was not read to its end; 0: there is no such entry */
    unsigned part_shard;
    dq_event_place part_of;
} dq_event_cursor;

int dq_event_cursor_init(dq_event_cursor *c, unsigned n_shards); /* at the beginning; DUREQ_ENOMEM */
int dq_event_cursor_dup(const dq_event_cursor *c, dq_event_cursor *ret);
void dq_event_cursor_deinit(dq_event_cursor *c);

int dq_event_place_cmp(dq_event_place a, dq_event_place b);
/* Whether the event number `index` of an entry was read. */
bool dq_event_cursor_has(const dq_event_cursor *c, unsigned shard, dq_event_place entry, uint32_t index);

/* Letters, digits, '-' and '_'. */
void dq_event_token_put(dq_buf *out, const dq_event_cursor *c);
#define DQ_EVENT_TOKEN_MAX 8192
/* *ret was initialised, for as many shards as there are. DUREQ_EINVAL: it is no token, or one of another number of shards. */
int dq_event_token_parse(dureq_str text, dq_event_cursor *ret, dureq_error *err);
