/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Script calls about schedules, as bytes for dq_store_send, and their answers. One function a script, named after it. Any thread. Ids are the packed
   13 bytes. */

#include "model/schedule.h"
#include "store/leader_calls.h"
#include "store/store.h"

#define DQ_SCHEDULE_SCRIPTS 4 /* version of the scripts that all sessions must know */

typedef struct dq_schedule_put {
    dureq_str actor;
    dureq_str id;   /* of the one to change; empty: none */
    dureq_str key;  /* else of the one to make or change; empty: one is made */
    dureq_str seen; /* with id: the definition that this one was made from */
    dureq_str definition;
    dureq_str payload; /* when it is a key of its own */
} dq_schedule_put;
typedef enum dq_schedule_what {
    DQ_SCHEDULE_MADE,
    DQ_SCHEDULE_CHANGED,
    DQ_SCHEDULE_SAME,
    DQ_SCHEDULE_UNKNOWN = -3,
    DQ_SCHEDULE_HAS_ENDED = -4,
    DQ_SCHEDULE_KEY_HELD = -5, /* the unique key, by the job `id` */
    DQ_SCHEDULE_OTHER = -7,    /* it was changed meanwhile: read again */
    DQ_SCHEDULE_TOO_OLD = -9,  /* the version is not asked for yet */
    DQ_SCHEDULE_NO_ROOM = -10, /* of a trigger: it could not be dispatched */
} dq_schedule_what;
typedef struct dq_schedule_answer {
    int what;
    dureq_str id;
    int64_t now_ms;
} dq_schedule_answer;
void dq_call_schedule_put(dq_buf *out, const dq_keys *k, unsigned shard, const dq_schedule_put *p);
int dq_schedule_put_decode(const dq_reply *r, dq_schedule_answer *ret);

/* id empty: by key. */
void dq_call_schedule_get(dq_buf *out, const dq_keys *k, unsigned shard, dureq_str id, dureq_str key, bool with_records);
typedef struct dq_schedule_view {
    int64_t now_ms;
    dureq_str id, definition, edit, payload;
    dq_schedule_state state;
    int64_t look_ms; /* when the leader looks at it next; INT64_MAX: not */
    dureq_str score;
    int64_t n_active, n_buffered;
    size_t n_records;
    dq_reply records; /* the first, when there are some */
} dq_schedule_view;
/* DUREQ_ENOTFOUND: *ret has only now_ms. */
int dq_schedule_view_decode(dq_reply r, dq_schedule_view *ret);
void dq_call_schedules_page(dq_buf *out, const dq_keys *k, unsigned shard, dureq_str score, dureq_str id, int limit,
                            size_t bytes_max);
typedef struct dq_schedules_page {
    int64_t now_ms, total;
    bool more;
    size_t n;
    dq_reply rows; /* the first, when there are some */
} dq_schedules_page;
int dq_schedules_page_decode(const dq_reply *r, dq_schedules_page *ret);

/* Answers, of these two: the first is 0, 1 (it is so already) or a dq_schedule_what. */
void dq_call_schedule_pause(dq_buf *out, const dq_keys *k, unsigned shard, dureq_str actor, bool pause, dureq_str id);
void dq_call_schedule_delete(dq_buf *out, const dq_keys *k, unsigned shard, dureq_str actor, dureq_str id);
/* policy: a dureq_overlap, or -1: the schedule's. at: of a backfill, in s; n 0: one, now. */
void dq_call_schedule_trigger(dq_buf *out, const dq_keys *k, unsigned shard, dureq_str actor, int policy, dureq_str id,
                              const int64_t *at, size_t n);
typedef struct dq_triggered {
    int what;
    int64_t n, n_done;
    dureq_str job; /* the last one; empty: none was dispatched */
    unsigned reason;
} dq_triggered;
int dq_schedule_trigger_decode(const dq_reply *r, dq_triggered *ret);

/* ---- the leader's ---- */

#define DQ_FIRE_SCHEDULES 100
#define DQ_FIRE_INSTANTS  128
#define DQ_FIRE_BYTES     (256 * 1024)

void dq_call_schedule_due(dq_buf *out, const dq_keys *k, unsigned shard, dq_term t);
typedef struct dq_due_schedule {
    dureq_str id, calendar;
    dq_schedule_state state;
    bool is_edited;
    dq_schedule_edit edit; /* rest: its calendar */
    int64_t max;           /* occurrences; 0: no end */
} dq_due_schedule;
typedef struct dq_due_schedules {
    int64_t now_ms, next_ms; /* next_ms: -1 none; not told when there are some */
    dq_reply at;
    size_t left;
} dq_due_schedules;
int dq_schedule_due_decode(const dq_reply *r, dq_due_schedules *ret);
/* 1, 0 at the end, or negative: this one cannot be read, and the next can be asked for. */
int dq_due_schedules_next(dq_due_schedules *d, dq_due_schedule *ret);

/* What was missed: a range. n -1: none; 0: too many to count. */
typedef struct dq_missed {
    int64_t n, first, last;
} dq_missed;
typedef struct dq_firing {
    int64_t next, due_ms; /* next 0: it has ended */
    const int64_t *at;
    size_t n;
    dq_missed missed;
    uint32_t edit; /* the change that waits; 0: none */
    struct {
        int64_t cursor, next, due_ms; /* cursor -1: it does not take its place yet */
    } to;
} dq_firing;
/* begin, add, dq_call_end */
dq_call dq_call_schedule_fire(dq_buf *out, const dq_keys *k, unsigned shard, dq_term t);
void dq_fire_add(dq_call *c, const dq_due_schedule *s, const dq_firing *f);
typedef struct dq_fired {
    int64_t now_ms, next_ms, n, n_stale;
} dq_fired;
int dq_schedule_fire_decode(const dq_reply *r, dq_fired *ret);

/* Where the last call came to; zeros: at the beginning. */
typedef struct dq_look_at {
    char score[40];
    size_t n_score, n_id;
    char id[16];
} dq_look_at;
typedef struct dq_look {
    dureq_str version; /* of the time zone files; empty: not known */
    bool is_changed;   /* some file is another one, whatever the version */
    int64_t upto_ms;
    int limit;
    size_t bytes_max;
} dq_look;
void dq_call_schedule_look(dq_buf *out, const dq_keys *k, unsigned shard, dq_term t, const dq_look *look, const dq_look_at *at);
typedef struct dq_looked {
    int64_t now_ms, n;
    bool more;
} dq_looked;
int dq_schedule_look_decode(const dq_reply *r, dq_looked *ret, dq_look_at *ret_at);
