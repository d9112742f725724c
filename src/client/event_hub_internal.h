/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What event_hub.c (one reader of all streams, into the ring) and event_sub.c (those who listen) have of each other. Nobody else includes it. */

#include "client/client_internal.h"
#include "client/event_hub.h"
#include "client/event_reader.h"
#include "client/event_ring.h"

#define DQ_EVENT_PACE_US  20000
#define DQ_EVENT_RETRY_US 1000000 /* after an answer that says no */

typedef enum dq_event_hub_state { HUB_IDLE, HUB_STARTING, HUB_WAITING, HUB_PACING, HUB_READING, HUB_GIVING } dq_event_hub_state;
typedef enum dq_event_sub_state { SUB_STARTING, SUB_QUEUED, SUB_CATCHING, SUB_LIVE } dq_event_sub_state;

/* An entry that is being turned into events. */
typedef struct dq_event_unrolled {
    bool is_on;
    dq_event_entry entry;
    uint32_t n, done;
} dq_event_unrolled;

struct dq_event_sub {
    dq_event_hub *hub;
    dq_list link; /* hub's all */
    dq_list queue_link;
    dq_event_filter filter;
    char *words;    /* what the filter points to */
    dq_scope scope; /* the same */
    bool hides_payload, is_digest;
    int64_t coalesce_us; /* 0: at once */
    int64_t pause_until_us;
    void (*on_more)(void *userdata);
    void *userdata;
    dq_event_sub_state state;
    bool is_waiting; /* for on_more */
    bool owes_position;
    uint64_t next; /* frame */
    bool has_skip; /* frames that this cursor has were given */
    dq_event_cursor skip;
    dq_buf token; /* of the last item */

    /* SUB_CATCHING */
    dq_event_reader *reader;
    bool is_read; /* it can be taken from */
    dq_event_unrolled now;
    dq_event_cursor given;
    dq_timer timer; /* tries to catch up again; SUB_LIVE: its pause is over */
};

struct dq_event_hub {
    dureq_client *client;
    const dq_keys *keys; /* NULL: not started */
    dq_redis *conn;
    dq_event_directory *directory;
    dq_event_reader *reader;
    dq_event_hub_state state;
    unsigned run; /* number of the present life of the connection: answers of earlier ones do not count */
    dq_timer timer;
    bool has_timer;
    dq_deferred give;
    dq_deferred tell;
    dq_list subs;
    unsigned n_subs;
    uint64_t types; /* that anybody wants */

    dq_event_cursor place; /* of what is in the ring */
    dq_event_unrolled now;
    uint64_t n_entries; /* that were given since the hub is there */
    dq_event_ring ring;

    dq_list queue; /* listeners that wait for their turn to catch up */
    unsigned n_catching;
};

/* event_hub.c */
int dq_event_hub_start(dq_event_hub *h, dureq_error *err);
void dq_event_hub_stop(dq_event_hub *h);
void dq_event_hub_tell_soon(dq_event_hub *h); /* on_more of those who wait and have something now */
void dq_event_unroll(dq_event_unrolled *u, const dq_event_entry *entry);
void dq_event_move_past(dq_event_cursor *c, const dq_event_entry *entry, uint32_t index,
                        uint32_t n); /* event `index` of the entry, which has n */
bool dq_event_gives_tokens(const dq_event_cursor *c);
void dq_event_gap_put(dq_buf *text, dureq_str from, dureq_str to); /* JSON without its end */

/* event_sub.c */
void dq_event_sub_started(dq_event_sub *s); /* the hub knows its place */
void dq_event_catch_next(dq_event_hub *h);
void dq_event_count_types(dq_event_hub *h); /* that those in `subs` want */
