/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A scene for the fault tests: a private Redis, nodes as processes, producer threads that keep enqueueing and book every answer. */

#include "fault_ledger.h"
#include "fault_proxy.h"
#include "redis_server.h"

#define FAULT_PREFIX        "fault"
#define FAULT_NODES_MAX     5
#define FAULT_PRODUCERS_MAX 4

typedef struct fault_world_options {
    int shards;       /* 0 = 1 */
    long n_jobs;      /* at most; 0 = 200,000 or more, by the rounds */
    bool append_only; /* of the server */
    bool own_clock;   /* of the server: test_redis_set_clock */
    const char *const *redis_args;
    bool proxied;       /* nodes and producers connect through w->proxy */
    int concurrency;    /* of a node; 0 = 8 */
    int max_crashes;    /* of a node; 0 = 200 */
    int64_t timeout_ms; /* of a producer's call; 0 = 10 s */
} fault_world_options;

typedef struct fault_producer fault_producer;

/* How long it took until everyone was at work, after each fault. */
typedef struct fault_recoveries {
    int n;
    int n_aside; /* in which the machine stood still; the time is of the others */
    int64_t longest_ms;
} fault_recoveries;

typedef struct fault_world {
    fault_world_options o;
    test_redis *server;
    fault_proxy *proxy; /* NULL unless proxied */
    char url[256];      /* for nodes and producers */
    char log_path[256];
    fault_ledger *ledger;
    fault_node nodes[FAULT_NODES_MAX];
    int n_spawned; /* node ids are never used twice */
    fault_producer *producers[FAULT_PRODUCERS_MAX];
    dureq_client *client; /* directly to the server, for looking */
    int times;            /* how often the fault came, to be told at the end; 0: said elsewhere */
    fault_recoveries recoveries;
} fault_world;

fault_world *fault_world_open(const fault_world_options *o);
void fault_world_close(fault_world *w);           /* kills what still runs */
dureq_client *fault_world_client(fault_world *w); /* another one, for a thread; the caller's to destroy */
void fault_world_spawn(fault_world *w, int slot); /* a node with a new id */
void fault_world_go_direct(fault_world *w);       /* whoever is spawned from now on passes the proxy by */
void fault_world_respawn_dead(fault_world *w);    /* a new one for each that ended by itself */
/* A node that kills itself when the first job of its life reaches this step. */
void fault_world_spawn_dying(fault_world *w, int slot, fault_step step);
/* Producers until fault_world_quiesce: each enqueues one job at a time, every other one batches, with `pause_ms` between calls. */
void fault_world_produce(fault_world *w, int n, int64_t pause_ms);
/* How many jobs were acknowledged so far. */
long fault_world_acknowledged(fault_world *w);
/* Waits until `n` more are, which is how load of a known size passes between two faults. */
void fault_world_wait_load(fault_world *w, long n, int64_t limit_ms);
/* The fault is over now: waits until every node has started a job and a producer was acknowledged. That it took FAULT_RECOVER_MS at most is looked at
   at the end. */
void fault_world_wait_at_work(fault_world *w);
/* Stops the producers; waits until nothing is left to do; stops the nodes; asks the doctor and the ledger. */
fault_sums fault_world_finish(fault_world *w, const char *what);
void fault_world_stop_producers(fault_world *w);
bool fault_world_is_done(fault_world *w);                     /* nothing is left to do */
void fault_world_wait_done(fault_world *w, int64_t limit_ms); /* as long as there is less to do within each limit */
void fault_world_assert_clean(fault_world *w);                /* the doctor */
/* Is this node among those with a live session? */
bool fault_world_has_node(fault_world *w, const char *node_id);
