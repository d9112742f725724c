/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Duties of a shard's leader, as rows of a table: when one is due, the call it makes, and what its answer says of the next. A row needs no more than
   that: leader.c sends the call, has one of each in flight at most, and sees to the timer, to what is wanted meanwhile and to what is lost. */

#include "leader/leader.h"

#include "base/base.h"
#include "io/loop.h"
#include "io/zones.h"
#include "store/schedule_calls.h"

#define DQ_DUTY_NOW     INT64_C(0)
#define DQ_DUTY_NEVER   INT64_MAX
#define DQ_DUTY_GOES_ON 1 /* of decode: there are more steps to it, and dq_duty_end comes after the last */

typedef struct dq_leader dq_leader; /* of one shard */

typedef enum dq_duty_no {
    DQ_DUTY_PROMOTE,
    DQ_DUTY_REAP,
    DQ_DUTY_KEEP,
    DQ_DUTY_SETTLE,
    DQ_DUTY_SCHEDULE,
    DQ_DUTY_FLOW,
    DQ_DUTY_ZONES,
    DQ_DUTY_COUNT
} dq_duty_no;

/* All times are the server's, in ms; DQ_DUTY_NOW, DQ_DUTY_NEVER. */
typedef struct dq_duty {
    const char *name; /* in logs */
    int64_t
        most_ms; /* it runs when elected, and is looked at again after so long, whatever its answer said; 0: only when wanted */
    int64_t (*due)(const dq_leader_beat *beat);
    void (*put)(dq_leader *l, dq_buf *call); /* nothing: there is nothing to do until most_ms */
    int (*decode)(dq_leader *l, const dq_reply *reply,
                  int64_t *ret_next_ms); /* 0, DQ_DUTY_GOES_ON or negative: nothing can be made of it */
} dq_duty;

extern const dq_duty dq_duties[DQ_DUTY_COUNT];

typedef struct dq_duty_state {
    dq_leader *leader;
    dq_duty_no no;
    dq_timer timer;
    int64_t at_ms; /* when it is wanted next */
    bool is_busy;  /* from its call to its end */
    bool is_lost;  /* made again by the next heartbeat */
} dq_duty_state;

/* leader/zones.c: schedules that are computed again. */
typedef struct dq_zone_look {
    int64_t epoch;    /* of the term that it is for */
    uint64_t changes; /* of the files that this node has read, when it last began */
    char version[DQ_ZONES_VERSION_MAX];
    size_t n_version; /* of all of them, then */
    bool is_on, is_changed;
    dq_look_at at;
    int64_t upto_ms, n_found;
} dq_zone_look;

struct dq_leader {
    dq_leaders *all;
    unsigned shard;
    dq_term term; /* epoch 0: does not lead */
    dq_duty_state duties[DQ_DUTY_COUNT];
    bool memory_is_short;   /* for the next call that keeps house */
    int64_t short_since_us; /* 0: it is not, or that was looked at */
    dq_zone_look zone_look;
};

struct dq_leaders {
    dq_store *store;
    dq_leaders_options opts;
    dq_zones *zones;  /* dq_leader_zones */
    dq_leader *items; /* made at the first beat */
    unsigned n;
};

/* Sooner than what was known. While the duty is busy: after its end. */
void dq_duty_want(dq_leader *l, dq_duty_no no, int64_t at_ms);
void dq_duty_end(dq_leader *l, dq_duty_no no, int64_t next_ms);
/* The same without an answer of use. */
void dq_duty_lose(dq_leader *l, dq_duty_no no);

/* A further call of a duty to a shard. Returns false when fn will not be called. */
bool dq_leader_send(dq_leader *l, unsigned shard, const dq_buf *call, dq_store_fn fn, void *userdata);
/* Whether an answer can be used; else it is logged. A fenced leader leads no more. */
bool dq_leader_answered(dq_leader *l, const char *call, int code, const dureq_error *err);

/* The time zones of this node, made when they are first wanted; NULL: no memory. */
dq_zones *dq_leader_zones(dq_leader *l);

/* leader/zones.c */
void dq_zone_look_put(dq_leader *l, dq_buf *call);
int dq_zone_look_decode(dq_leader *l, const dq_reply *reply, int64_t *ret_next_ms);

/* leader/schedules.c */
void dq_schedules_put(dq_leader *l, dq_buf *call);
int dq_schedules_fire(dq_leader *l, const dq_reply *reply, int64_t *ret_next_ms);

/* leader/outbox.c */
void dq_outbox_put(dq_leader *l, dq_buf *call);
int dq_outbox_settle(dq_leader *l, const dq_reply *reply, int64_t *ret_next_ms);
