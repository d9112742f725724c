/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the files of the client share. A client has a store on a loop: its own thread's, or a node's, which then forwards what the store
   tells (dq_client_on_...). Callers' threads build calls and wait; only the loop thread touches store and producer. */

#include <dureq/client.h>

#include <stdatomic.h>

#include "base/list.h"
#include "base/map.h"
#include "base/mutex.h"
#include "client/absent.h"
#include "client/call.h"
#include "client/client.h"
#include "store/job_calls.h"
#include "store/store.h"

typedef struct dq_producer dq_producer;
typedef struct dq_waiters dq_waiters;

typedef struct dq_large_room { /* call.c */
    int free;                  /* units */
    dq_list waiting;
} dq_large_room;

typedef enum dq_walk_kind { DQ_WALK_COUNTS, DQ_WALK_QUEUES, DQ_WALK_WAITING, DQ_WALK_PULSE, DQ_N_WALKS } dq_walk_kind;
typedef struct dq_walked dq_walked;
typedef struct dq_walks { /* walk.c */
    bool shares;
    dq_walked *kept[DQ_N_WALKS];
    unsigned n_walking[DQ_N_WALKS];
} dq_walks;

struct dureq_client {
    dq_loop *loop;
    dq_store *store;
    bool owns; /* loop and store are ours */
    bool runs; /* our loop's thread was started */
    dq_log log;
    char *actor;
    char *server_name;
    int64_t timeout_ms; /* -1: for ever */
    size_t max_payload;
    dq_producer *producer; /* loop thread, except for what produce.h says */
    dq_waiters *waiters;
    dq_large_room room_main, room_bulk; /* loop thread */
    dq_list requests;                   /* loop thread: those that end when it closes (request.c) */
    bool requests_closed;               /* loop thread: whoever comes now is told so */
    dq_message close;

    dq_mutex mu; /* guards the rest */
    dq_cond cond;
    bool was_up;      /* keys may be used */
    bool absent;      /* dq_store_is_absent */
    bool away;        /* connecting failed at least once since it was up */
    bool refused;     /* `why` is a refusal that waiting does not mend */
    dureq_error why;  /* why the store is not up */
    unsigned n_calls; /* under way in callers' threads, and requests with a callback */
    unsigned n_waits; /* of the former, those in wait.c */
    bool is_closing, waits_closed;
    dq_walks walks;
};

/* ---- calls (call.c) ---- */

/* The payload that job_get left out, if it did, into the arena. It stays left out when it is gone by now. */
int dq_client_read_payload(dureq_client *c, unsigned shard, const dq_id *id, dq_arena *arena, dureq_job *job, dureq_error *err);
void dq_client_rooms_init(dureq_client *c);
void dq_client_rooms_close(dureq_client *c); /* after the store's end */

/* Ends all waits, and all requests with a callback, by DUREQ_ECLOSED and lets no other begin; back when their callers know. The loop must run; not
   its thread. */
void dq_requests_close(dureq_client *c);

/* ---- a node's client ---- */
int dq_client_create_shared(dq_loop *loop, dq_store *store, const dq_log *log, const char *actor, const char *server_name,
                            int64_t max_payload_bytes, dureq_client **ret, dureq_error *err);
/* Before the node's loop is stopped: see dq_requests_close. */
void dq_client_close_waits(dureq_client *c);
/* What the node's store tells; loop thread. */
void dq_client_on_up(dureq_client *c, bool same_server);
void dq_client_on_down(dureq_client *c, const dureq_error *why);
void dq_client_on_refused(dureq_client *c, const dureq_error *why);
void dq_client_on_message(dureq_client *c, unsigned shard, dureq_str name, dureq_str text);
void dq_client_on_queues(dureq_client *c);

/* ---- producer (produce.c) ---- */
int dq_producer_create(dureq_client *c, dq_producer **ret, dureq_error *err);
void dq_producer_destroy(dq_producer *p);
void dq_producer_up(dq_producer *p, bool same_server);
void dq_producer_down(dq_producer *p);
void dq_producer_queues(dq_producer *p);

/* ---- waiters (wait.c) ---- */
int dq_waiters_create(dureq_client *c, dq_waiters **ret, dureq_error *err);
void dq_waiters_destroy(dq_waiters *w);
void dq_waiters_stop(dq_waiters *w); /* no wait is left, nor will be */
void dq_waiters_up(dq_waiters *w);
void dq_waiters_message(dq_waiters *w, dureq_str name, dureq_str id);
/* A thread waits for the end of a job or workflow. */
int dq_client_wait_end(dureq_client *c, const dq_id *id, int64_t timeout_ms, dureq_error *err);

/* ---- results ---- */
typedef struct dq_result_owner {
    dq_arena arena;
    dq_owned_reply reply; /* may be unused */
} dq_result_owner;

int dq_parse_job_id(const char *id, const dureq_client *c, dq_id *ret, unsigned char packed[DQ_ID_BYTES], dureq_error *err);
dureq_job_list *dq_job_list_create(void);
static inline dq_arena *dq_job_list_arena(dureq_job_list *list)
{
    return &((dq_result_owner *)list->owner)->arena;
}
/* Node ids of sessions, fetched at first need of one list: see nodes.c. */
typedef struct dq_node_names dq_node_names;
dq_node_names *dq_node_names_create(dureq_client *c, unsigned shard);
void dq_node_names_destroy(dq_node_names *n);
void dq_node_names_know(dq_node_names *n, uint64_t session, dureq_str text); /* so that it need not be asked for */
dureq_str dq_node_names_get(uint64_t session, void *names);
