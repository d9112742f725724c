/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* One dureq deployment as a program sees it: its connections, shards, scripts, queues.

   On a single server all shards are on one server; everything above speaks in shards all the same. Loop thread only, except for what says
   "any thread". After each connect the store checks the server (version at least 7.0, maxmemory-policy), reads or creates
   <prefix>:meta, has every shard initialised (script shard_init) and the queues read; only then is it up. A failed check that
   waiting cannot mend (too old, policy, schema, wrong type of a key, wrong password, no permission) goes to on_refused; the
   store stays down and tries again at the slow back-off. No callback, nor the fn of a call, may destroy the store. */

#include "io/loop.h"
#include "model/queue.h"
#include "redis/conn.h"
#include "store/call.h"

#define DQ_SCHEMA_VERSION  1
#define DQ_SCRIPTS_VERSION 8 /* that this program knows, and its sessions report */
#define DQ_SCRIPTS_BASE \
    1 /* that a new prefix asks for: older programs may work on it until something needs more (store/versions.h) */
#define DQ_ENVELOPE_VERSION 1

typedef struct dq_store dq_store;

typedef struct dq_store_callbacks {
    void (*on_up)(dq_store *s, bool same_server, void *userdata);
    void (*on_down)(dq_store *s, const dureq_error *why, void *userdata);
    void (*on_waiting)(dq_store *s, const dureq_error *why,
                       void *userdata); /* now and then while connecting fails, or the server takes no writes */
    void (*on_refused)(dq_store *s, const dureq_error *why, void *userdata);
    /* A Pub/Sub message on a channel "{prefix:shard}:<name>": name as in docs/redis-keys.md ("ctl", "w:12", "d:..."). */
    void (*on_message)(dq_store *s, unsigned shard, dureq_str name, dureq_str text, void *userdata);
    void (*on_queues)(dq_store *s, void *userdata); /* the queue set changed */
    void (*on_cycle)(dq_store *s, bool ready,
                     void *userdata); /* the cycle's connection came or went; may be NULL, as all of these */
    void *userdata;
} dq_store_callbacks;

typedef struct dq_store_options {
    const char *redis_url;
    const char *prefix; /* NULL = "dureq" */
    unsigned shards;    /* of a new prefix; 0 = 1 */
    bool no_create;     /* see dq_store_is_absent */
    bool allow_eviction;
    const char *client_name;
    int64_t history_max_bytes; /* 0: leave as it is or default; -1 none */
    const dq_log *log;
} dq_store_options;

int dq_store_create(dq_loop *loop, const dq_store_options *opts, const dq_store_callbacks *cb, dq_store **ret, dureq_error *err);
void dq_store_destroy(dq_store *s);
bool dq_store_takes_no_writes(int code); /* the server is there and says why it changes nothing for now */
bool dq_store_is_up(const dq_store *s);
/* It is up although the prefix does not exist, and has written nothing: with no_create. What reads finds nothing; what writes must
   not be sent. It looks every second whether the prefix was made, and then goes down and up again, by what it finds. */
bool dq_store_is_absent(const dq_store *s);
void dq_store_last_error(const dq_store *s, dureq_error *ret);
dq_loop *dq_store_loop(const dq_store *s);
/* Any thread, once it was up: immutable from then on. */
const dq_keys *dq_store_keys(const dq_store *s);
const dq_queue_set *dq_store_queues(const dq_store *s); /* loop thread; valid until on_queues */
void dq_store_refresh_queues(dq_store *s);              /* on_queues follows when they differ. Done by itself at each
                                                           connect and at 'P' on a subscribed "ctl" */
/* The same, for whoever must not act on older definitions: from when dq_store_queue_reads is at least the returned number, the set is
   no older than this call. */
uint64_t dq_store_fresh_queues(dq_store *s);
uint64_t dq_store_queue_reads(const dq_store *s);
/* Servers that the shards are on, each a link of its own; which one a shard is on. A single server in this version. */
unsigned dq_store_n_links(const dq_store *s);
unsigned dq_store_link_of(const dq_store *s, unsigned shard);
/* The clock of a shard's server, from the last reply that told it. */
int64_t dq_store_now_ms(const dq_store *s, unsigned shard);
void dq_store_saw_time(dq_store *s, unsigned shard, int64_t server_now_ms);

/* ---- sending ---- */

/* The store's own connection serves everything but the workers' cycle, which watches keys and needs a connection to itself. */
typedef enum dq_store_conn {
    DQ_CONN_MAIN,
    DQ_CONN_CYCLE, /* opened at the first use by dq_store_open_cycle */
    DQ_CONN_BULK, /* opened at the first use; for answers of many MB: Redis drops subscribers, as the store's own is, whose answers pile up beyond
                      32 MiB. NULL: no memory */
} dq_store_conn;
int dq_store_open_cycle(dq_store *s, dureq_error *err);
dq_redis *dq_store_redis(dq_store *s, unsigned shard, dq_store_conn which);
/* One more connection to the shards' server, which is the caller's to destroy. */
int dq_store_connect(dq_store *s, const dq_redis_callbacks *cb, dq_redis **ret, dureq_error *err);
int dq_store_subscribe(dq_store *s, unsigned shard, const char *name,
                       dureq_str suffix); /* SSUBSCRIBE; again after each reconnect */
int dq_store_unsubscribe(dq_store *s, unsigned shard, const char *name, dureq_str suffix);

/* Script calls are bytes first (store/call.h; any thread can build them, given the keys), sent later from the loop. */
typedef void (*dq_store_fn)(void *userdata, int code, const dq_reply *reply, const dureq_error *err);
#define DQ_SEND_WAIT (1u << 0) /* while the store is down: keep it and send it when up, first come first served */
/* Sends one script call. On NOSCRIPT the scripts are loaded and the same bytes sent once more. A call that was in
   flight when the connection was lost is answered DUREQ_EUNAVAILABLE, and is NOT repeated here: only its owner knows whether
   repeating is safe. Returns 0 (fn will be called once) or negative (fn will not be called). */
int dq_store_send(dq_store *s, unsigned shard, unsigned flags, dureq_str call, dq_store_fn fn, void *userdata);
