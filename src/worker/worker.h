/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Fetches jobs, runs their handlers, records what became of them, keeps the sessions alive. One worker a node; loop thread, except for what says
   otherwise. Its owner (node/) forwards what the store tells. */

#include <signal.h>

#include "store/store.h"
#include "worker/handlers.h"

typedef struct dq_worker dq_worker;

typedef struct dq_worker_options {
    const char *node_id;
    uint32_t concurrency;
    uint32_t threads;
    size_t stack_bytes;      /* of a handler thread; 0: the pool's default */
    const sigset_t *signals; /* mask of handler threads, copied */
    size_t max_payload;      /* of a repeat, in bytes; 0: DUREQ_PAYLOAD_DEFAULT_MAX */
    int64_t lease_ms;
    bool stands_to_lead;
    const char *info;             /* JSON of what does not change; copied */
    dureq_node_event_fn on_event; /* NULL: none */
    void *on_event_userdata;
    const dq_log *log;
} dq_worker_options;

/* What a heartbeat answered that concerns the leader of a shard. */
typedef struct dq_worker_beat {
    unsigned shard;
    uint64_t session;
    int64_t epoch; /* 0: not leader */
    int64_t now_ms;
    int64_t next_due_ms; /* -1: none */
    int64_t n_expired;   /* sessions to reap */
    int64_t n_outbox;
    int64_t next_late_ms;     /* -1: no job has a schedule-to-start limit */
    int64_t next_schedule_ms; /* -1: none */
    int64_t n_flow_steps;
    int64_t next_timer_ms;
    bool memory_is_short; /* of the server */
} dq_worker_beat;

typedef struct dq_worker_callbacks {
    void (*on_live)(dq_worker *w, void *userdata); /* all sessions are open, for the first time */
    void (*on_waiting)(dq_worker *w, const dureq_error *why,
                       void *userdata); /* a session was not opened, and will be tried again */
    void (*on_beat)(dq_worker *w, const dq_worker_beat *beat, void *userdata);
    void (*on_due)(dq_worker *w, unsigned shard, int64_t at_ms, void *userdata);      /* something due sooner than known */
    void (*on_schedule)(dq_worker *w, unsigned shard, int64_t at_ms, void *userdata); /* the same of schedules */
    void (*on_history)(dq_worker *w, unsigned shard, void *userdata);                 /* may be more than is to be kept */
    void (*on_flow)(dq_worker *w, unsigned shard, void *userdata);                    /* a workflow left something to do */
    void (*on_stopped)(dq_worker *w, void *userdata);                                 /* dq_worker_stop is through */
    void *userdata;
} dq_worker_callbacks;

int dq_worker_create(dq_store *store, dq_handlers *handlers, const dq_worker_options *opts, const dq_worker_callbacks *cb,
                     dq_worker **ret, dureq_error *err);
void dq_worker_destroy(dq_worker *w); /* after on_stopped, or before it was ever up */

/* link: of dq_store_n_links. */
int dq_worker_on_up(dq_worker *w, unsigned link, bool same_server); /* negative: it has no memory for its first time */
void dq_worker_on_down(dq_worker *w, unsigned link);
void dq_worker_on_cycle(dq_worker *w, unsigned link, bool ready);
void dq_worker_on_message(dq_worker *w, unsigned shard, dureq_str name, dureq_str text);
void dq_worker_on_queues(dq_worker *w);

/* From now on jobs are taken for these; what was begun ends as it began. `info` as in the options, taken over. See worker/handlers.h. */
void dq_worker_replace_handlers(dq_worker *w, dq_handlers *next, char *info);
void dq_worker_drain(dq_worker *w, bool drain);
/* Take nothing more; when handlers are done give the rest back, close the sessions, on_stopped. Whoever has no patience left calls stop_now. */
void dq_worker_stop(dq_worker *w);
void dq_worker_stop_now(dq_worker *w);                               /* tells handlers to end */
void dq_worker_get_stats(const dq_worker *w, dureq_node_stats *ret); /* any thread: counters are atomic */
