/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The leader of a shard promotes what is due, reaps sessions whose lease is over, keeps retention and limits, settles the outbox: duties, which are a
   table (leader/duty.h). Which session leads is decided by its heartbeat (session_beat.lua) together with an epoch, which every script called here
   checks. Loop thread; one dq_leaders a node, knowing only the shards it was elected for. */

#include "store/leader_calls.h"
#include "store/store.h"

typedef struct dq_leaders dq_leaders;

typedef struct dq_leaders_options {
    int64_t lease_ms;
    int max_crashes;
    dq_keep keep; /* 0: default; -1 of dead_ms and audit_ms: for ever */
    const dq_log *log;
} dq_leaders_options;

/* What a heartbeat answered that concerns the leader of a shard. */
typedef struct dq_leader_beat {
    unsigned shard;
    uint64_t session;
    int64_t epoch; /* 0: does not lead (any more) */
    int64_t next_due_ms;
    int64_t n_expired, n_outbox;
    int64_t next_late_ms;     /* the next schedule-to-start limit; -1: none */
    int64_t next_schedule_ms; /* -1: none */
    int64_t n_flow_steps;     /* that workflows and batches left to do */
    int64_t next_timer_ms;    /* of theirs; -1: none */
    bool memory_is_short;     /* for a while: the oldest history goes, whatever its time */
} dq_leader_beat;

int dq_leaders_create(dq_store *store, const dq_leaders_options *opts, dq_leaders **ret, dureq_error *err);
void dq_leaders_destroy(dq_leaders *all);
void dq_leaders_beat(dq_leaders *all, const dq_leader_beat *beat);
void dq_leaders_due(dq_leaders *all, unsigned shard, int64_t at_ms);      /* something may be due sooner than known */
void dq_leaders_schedule(dq_leaders *all, unsigned shard, int64_t at_ms); /* the same of schedules */
void dq_leaders_history(dq_leaders *all, unsigned shard);                 /* there may be more of it than is to be kept */
void dq_leaders_flow(dq_leaders *all, unsigned shard);                    /* a workflow left something to do */
void dq_leaders_down(dq_leaders *all);
