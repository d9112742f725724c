/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The ticker of a shard: promotes what is due, reaps sessions whose lease is over, keeps retention and limits, settles the outbox. Which session is
   ticker is decided by its heartbeat (session_beat.lua) together with an epoch, which every script called here checks. Loop
   thread; one dq_tickers a node, knowing only the shards it was elected for. */

#include "store/store.h"
#include "store/tick_calls.h"

typedef struct dq_tickers dq_tickers;

typedef struct dq_tickers_options {
    int64_t lease_ms;
    int max_crashes;
    dq_keep keep; /* 0: default; -1 of dead_ms and audit_ms: for ever */
    const dq_log *log;
} dq_tickers_options;

int dq_tickers_create(dq_store *store, const dq_tickers_options *opts, dq_tickers **ret, dureq_error *err);
void dq_tickers_destroy(dq_tickers *t);
/* A heartbeat's answer. epoch 0: not ticker (any more). next_due_ms -1: nothing is due ever. */
void dq_tickers_beat(dq_tickers *t, unsigned shard, uint64_t session, int64_t epoch, int64_t next_due_ms, int64_t n_expired,
                     int64_t n_outbox);
void dq_tickers_due(dq_tickers *t, unsigned shard, int64_t at_ms); /* something may be due sooner than known */
void dq_tickers_history(dq_tickers *t, unsigned shard);            /* there may be more of it than is to be kept */
void dq_tickers_memory(dq_tickers *t, unsigned shard,
                       bool is_short); /* short for a while: the oldest history goes, whatever its time */
void dq_tickers_late(dq_tickers *t, unsigned shard, int64_t at_ms); /* the next schedule-to-start limit; -1: none */
void dq_tickers_down(dq_tickers *t);
bool dq_tickers_is_ticker(const dq_tickers *t, unsigned shard);
