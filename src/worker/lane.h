/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What a shard's worker knows of lanes, their queues, and which of these are paused. Loop thread. */

#include "base/arena.h"
#include "base/heap.h"
#include "base/map.h"
#include "store/turn_calls.h"
#include "worker/claim.h"

typedef struct dq_wflow dq_wflow; /* share.c */
typedef struct dq_wroom dq_wroom;

/* A queue in one shard; kept as long as that. */
typedef struct dq_wqueue {
    char *name; /* NUL-ended, in its own block */
    int32_t weight;
    bool paused;
    int64_t class_ms;    /* retention class of jobs that name none */
    dq_buf retry_packed; /* its policy; empty: none */
    dq_wflow *first;     /* of its flows */
    dq_list flows;       /* those with something to read, in turn */
    dq_heap_node turn;   /* in lanes.ready */
} dq_wqueue;

struct dq_wlane {
    dq_wshard *shard;
    uint32_t no;
    char *name, *queue, *type; /* NUL-ended, in the lane's own block */
    dq_wlane *next_old;        /* of w->old_lanes */
    dq_handler *handler;       /* NULL: none here, or pinned to a version */
    dq_wqueue *queue_of;
    dq_wflow *flow;             /* NULL: no handler */
    dq_list ready;              /* in its flow, while it may be read */
    dq_list fresh;              /* in lanes.fresh: nothing is known of it, and nobody was told that we wait for its jobs; or in
                                   lanes.leaving: it has no handler any more, and nobody was told that we do not */
    dq_list called;             /* in lanes.called: we were woken, and may find more than we have slots for */
    dq_list at_rest;            /* in lanes.at_rest: a job was read that this node does not understand */
    bool main_busy, front_busy; /* may hold jobs */
    int8_t rest_beats;          /* heartbeats until it is read again; 0: it does not rest */
    /* the read under way */
    dq_list planned; /* in lanes.planned */
    int32_t share;   /* slots it was given */
    int32_t want_main, want_front, got_main, got_front;
    bool front_turn; /* the odd slot of a share goes to the front stream */
    bool listing;    /* this read, or the next, comes with a registration */
    bool woken;      /* a wake-up came while it was in flight */
    bool rebinds;    /* its handler was replaced while it was in flight */

    bool is_pinned;  /* to a version */
    bool was_served; /* it has or had a handler: entries of it may be ours */
};

/* Something that is read by calls of its own. */
typedef enum dq_load {
    DQ_LOAD_NONE,
    DQ_LOAD_FLYING,
    DQ_LOAD_AGAIN, /* in flight, and asked for once more meanwhile */
} dq_load;

typedef struct dq_wlanes {
    dq_wlane **items; /* lane no - 1 */
    uint32_t n, cap;
    dq_load load;
    bool load_is_whole;                      /* of the load in flight: all lanes, and not only those that are new */
    dq_list fresh, called, at_rest, planned; /* of dq_wlane, by the links of these names */
    dq_list fresh_sent;                      /* of fresh: a call is under way about them */
    bool listening;                          /* it is, */
    uint64_t listening_session;              /* for this session */
    dq_list leaving, leaving_sent;           /* likewise, of lanes that are not served any more: */
    bool telling;                            /* a call is under way about these, and info, */
    uint64_t telling_session;                /* for this session */
    bool info_due;                           /* the server knows what was served when the session was opened, not what is now */
    uint32_t beat_from;                      /* where the next heartbeat goes on to ask which hold jobs */
    int64_t slots_told;                      /* free slots that the server knows of; -1: it may not */
    int64_t slots_asked;                     /* those of the turn in flight */

    /* share.c */
    dq_map queues;    /* name -> dq_wqueue */
    dq_wroom **rooms; /* by the number of the handler; NULL where there was none yet */
    size_t n_rooms;
    dq_list crowded; /* rooms where somebody waits */
    dq_heap ready;   /* of queues: who is next */
    int64_t now;     /* virtual time */
} dq_wlanes;

typedef struct dq_names {
    dq_map map;
    dq_arena arena;
} dq_names;

/* Which queues are paused (paused.c). */
typedef struct dq_wpauses {
    dq_names names, next; /* as last read; those of a read under way */
    int64_t version;      /* of the shard's queues when that read began; -1: none was read */
    int64_t next_version;
    int64_t least; /* version that the read under way must not be older than, or it is done again; -1: any will do */
    dq_load load;
    bool gate_is_open; /* what the turn's reply holds may start: its gate knew no more of pauses than we do */
} dq_wpauses;

/* ---- lane_list.c ---- */

void dq_lanes_init(dq_wshard *s);
void dq_lanes_deinit(dq_wshard *s);
void dq_lanes_load(dq_wshard *s);
void dq_lanes_load_lost(dq_wshard *s); /* the connection came again: no answer of before will come */
unsigned dq_lanes_doubt(dq_wshard *s); /* they may be others now: DQ_DOUBT_LANES, or 0 when none were known */
void dq_lanes_free_old(dq_worker *w);
void dq_lanes_rebind(dq_wshard *s);    /* other handlers: each lane gets its own */
void dq_lane_rebind(dq_wlane *lane);   /* of one of which a read was in flight then */
void dq_lanes_forgotten(dq_wshard *s); /* a new session: nobody knows what it waits for */

/* ---- lane_calls.c ---- */

void dq_lanes_listen(dq_wshard *s); /* registers fresh lanes, and looks which hold jobs */
void dq_lanes_leave(dq_wshard *s);  /* tells the server what is served now, and what not any more */
void dq_lanes_pass(dq_wshard *s);   /* lanes that we were woken for and have no slots for: others are */

/* ---- lanes.c ---- */

void dq_lane_busy(dq_wlane *lane);                            /* it may hold jobs */
void dq_lane_wake(dq_wshard *s, uint32_t no, bool is_called); /* called: others were not, because we were */
void dq_lanes_unsure(dq_wshard *s);                           /* wake-ups may have been lost with the connection */
void dq_lane_rest(dq_wlane *lane);                            /* not read for a while */
void dq_lanes_beat(dq_wshard *s);                             /* a heartbeat came through: some have rested enough */
bool dq_lanes_take_work(const dq_worker *w);
int32_t dq_lanes_slots(const dq_wshard *s);
bool dq_lane_has_slot(const dq_wlane *lane);
bool dq_lanes_worth(dq_wshard *s);                  /* a turn now may give something, or a registration is due */
void dq_lanes_plan(dq_wshard *s, dq_turn *turn);    /* adds what is to be read; sets want_ */
void dq_lanes_listing(dq_wshard *s, dq_turn *turn); /* adds lanes of the plan that are to be registered with it */
void dq_lanes_read_done(dq_wshard *s);              /* all replies of a plan are in */
void dq_lanes_read_off(dq_wshard *s);               /* a plan that was not carried out */

/* ---- share.c ---- */

void dq_share_init(dq_wshard *s);
void dq_share_deinit(dq_wshard *s);
dq_wqueue *dq_share_queue(dq_wshard *s, dureq_str name);            /* made when new; NULL: no memory */
dq_wflow *dq_share_flow(dq_wshard *s, dq_wqueue *q, dq_handler *h); /* likewise */
void dq_share_replaced(dq_wshard *s);                               /* handlers were: rooms are those of the new ones */
void dq_share_judge(dq_wshard *s);                                  /* definitions of queues changed */
void dq_share_paused(dq_wshard *s);                                 /* others are paused */
void dq_share_offer(dq_wlane *lane);                                /* whether it may be read has changed */
bool dq_share_any(dq_wshard *s);                                    /* some lane may be read, and has a slot */
void dq_share_out(dq_wshard *s, int32_t slots);                     /* into lanes.planned */
void dq_share_back(dq_wlane *lane, int32_t n);                      /* so many of its slots were not used */

/* ---- paused.c ---- */

void dq_paused_init(dq_wshard *s);
void dq_paused_deinit(dq_wshard *s);
bool dq_paused_has(const dq_wshard *s, dureq_str queue);
bool dq_paused_sure(const dq_wshard *s); /* nothing is read before */
void dq_paused_load(dq_wshard *s);
void dq_paused_told(dq_wshard *s, int64_t version, dq_reply page); /* by a gate: another version than we know */
void dq_paused_beat(dq_wshard *s, int64_t version);                /* by a heartbeat */
void dq_paused_give_back(dq_worker *w);                            /* those that wait for it: at a stop */
