/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Script calls that read and operate jobs, as bytes for dq_store_send, and their answers. One function a script, named after it.
   Any thread. Ids are the packed 13 bytes. */

#include "model/job.h"
#include "model/place.h"
#include "store/store.h"

void dq_call_job_get(dq_buf *out, const dq_keys *k, unsigned shard, const dureq_str *ids, size_t n);
/* operation, of the next four: empty, or of which operation they are a step: from when it counts (6 bytes), then its id (include/operation.lua). */
void dq_call_job_cancel(dq_buf *out, const dq_keys *k, unsigned shard, dureq_str actor, dureq_str reason, dureq_str operation,
                        const dureq_str *ids, size_t n);
/* An id may have the token after it (16 bytes) under which its unique key is reserved on another shard. */
void dq_call_job_retry(dq_buf *out, const dq_keys *k, unsigned shard, dureq_str actor, bool force, dureq_str operation,
                       const dureq_str *ids, size_t n);
void dq_call_job_delete(dq_buf *out, const dq_keys *k, unsigned shard, dureq_str actor, dureq_str operation, const dureq_str *ids,
                        size_t n);

typedef enum dq_job_verb {
    DQ_JOB_RUN_NOW,
    DQ_JOB_RESCHEDULE,
    DQ_JOB_PAUSE,
    DQ_JOB_RESUME,
    DQ_JOB_DELAY, /* rescheduled to at_ms from now, by the server's clock */
} dq_job_verb;
typedef struct dq_job_move {
    dq_job_verb verb;
    int64_t at_ms;
    dureq_str operation;
} dq_job_move;
void dq_call_job_move(dq_buf *out, const dq_keys *k, unsigned shard, dureq_str actor, const dq_job_move *what,
                      const dureq_str *ids, size_t n);
/* blob: the new payload when it is kept in a key of its own, else empty. */
void dq_call_job_update(dq_buf *out, const dq_keys *k, unsigned shard, dureq_str actor, dureq_str id, dureq_str old_j,
                        dureq_str new_j, dureq_str blob);

/* channel: of this client, without "d:". The answer has for each id 1 (ended already), 0 (its id is published there when it ends), 2 (it is not,
   for about a thousand others are told: ask again) or DUREQ_ENOTFOUND. */
void dq_call_wait_register(dq_buf *out, const dq_keys *k, unsigned shard, dureq_str channel, const dureq_str *ids, size_t n);
/* No more to be told of them. */
void dq_call_wait_leave(dq_buf *out, const dq_keys *k, unsigned shard, dureq_str channel, const dureq_str *ids, size_t n);

/* Structures a page can come from. */
typedef struct dq_page {
    unsigned shard;
    dq_place place;
    dureq_str cursor; /* empty: from the beginning */
    int limit;
    bool newest_first;
    size_t bytes_max; /* envelopes and rows come cut to it */
    bool pending, running;
    const uint32_t *lanes; /* n_lanes of them; these three for DQ_PLACE_LANES */
    size_t n_lanes;
} dq_page;
void dq_call_page(dq_buf *out, const dq_keys *k, const dq_page *p);
void dq_call_counts(dq_buf *out, const dq_keys *k, unsigned shard, int64_t from, int limit);
/* first_day: days since 1970 UTC. */
typedef struct dq_stats_series {
    char unit;     /* 'm', 'h' or 'd' */
    int64_t first; /* number of the unit, from 1970 */
    int n;
    dureq_str queue, type; /* empty: all; type may end in '*' */
} dq_stats_series;
/* Answer: for each unit, or the first of them, 5 counts and 2 x 24 buckets. */
void dq_call_stats_series(dq_buf *out, const dq_keys *k, unsigned shard, const dq_stats_series *what);
void dq_call_stats_days(dq_buf *out, const dq_keys *k, unsigned shard, int64_t first_day, int n);
/* sessions: n numbers as arguments; n 0: the numbers of all are asked for. */
void dq_call_node_list(dq_buf *out, const dq_keys *k, unsigned shard, const dureq_str *sessions, size_t n);
typedef struct dq_node_drain {
    dureq_str actor, node_id;
    bool drain; /* or no more */
    bool first; /* of the calls for a shard: notes it */
} dq_node_drain;
/* Answer: how many of these sessions are the node's; they are told. */
void dq_call_node_drain(dq_buf *out, const dq_keys *k, unsigned shard, const dq_node_drain *what, const dureq_str *sessions,
                        size_t n);
/* An entry of the audit by itself. */
typedef struct dq_audit_note {
    dureq_str actor, target, detail;
    const char *action;
} dq_audit_note;
void dq_call_audit_add(dq_buf *out, const dq_keys *k, unsigned shard, const dq_audit_note *note);

/* One job as job_get and jobs_page answer it: views into the reply. */
typedef struct dq_job_view {
    dq_id id;
    int state; /* dureq_job_state, or -1: the row says */
    dureq_str lane_name, m, body /* j, or the row */, blob;
    int64_t due_at_ms; /* -1: paused until resumed */
    uint64_t session;  /* 0: none */
    int64_t started_at_ms;
    dureq_str progress;
    bool cut;              /* body is only its beginning */
    dureq_str behind;      /* of a page: the cursor that goes on after it */
    uint64_t node_session; /* that runs or ran it, and its node's name; 0: not told */
    dureq_str node_name;
} dq_job_view;
/* 0, DUREQ_ENOTFOUND for a nil, DUREQ_EPROTO. */
int dq_job_view_decode(dq_reply r, dq_job_view *ret);
/* The public form: texts are copied into the arena, so the reply may go. node_of as in dq_job_from_parts. */
int dq_job_view_to_job(const dq_job_view *v, dureq_str (*node_of)(uint64_t session, void *), void *node_of_data, dq_arena *a,
                       dureq_job *ret, dureq_error *err);
