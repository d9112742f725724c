/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the files of the store share; nobody else includes it. Loop thread only. */

#include "base/list.h"
#include "store/store.h"

/* The steps between "connected" and "up", in this order (open.c). */
typedef enum dq_open_step {
    DQ_OPEN_IDLE, /* not connected, waiting to try again, or up */
    DQ_OPEN_SERVER,
    DQ_OPEN_MEMORY,
    DQ_OPEN_LOOK_META, /* this and the next three write nothing */
    DQ_OPEN_SCRIPTS,
    DQ_OPEN_LOOK_QUEUES, /* this and the next one: only of a prefix that is new */
    DQ_OPEN_LOOK_SHARDS,
    DQ_OPEN_META,
    DQ_OPEN_QUEUES,
    DQ_OPEN_SHARDS,
    DQ_OPEN_VERIFY,       /* the queues once more: a change between reading and copying them is copied too */
    DQ_OPEN_SHARDS_PRUNE, /* only where shards have rows of queues that are not there; then DQ_OPEN_VERIFY again */
    DQ_OPEN_READ_META,    /* instead of those that write, where the server takes no writes; then DQ_OPEN_VERIFY */
} dq_open_step;

/* A script call from dq_store_send until its answer. */
typedef struct dq_store_call {
    dq_list link; /* in `waiting` or `again`; in no list while it is in flight */
    dq_store *store;
    dq_store_fn fn;
    void *userdata;
    bool wait;       /* DQ_SEND_WAIT */
    uint8_t repeats; /* how often it was sent again after NOSCRIPT */
    size_t len;
    char bytes[];
} dq_store_call;

#define DQ_ROWS_DIGEST_MAX 48

struct dq_store {
    dq_loop *loop;
    const dq_log *log;
    dq_store_callbacks cb;
    dq_redis_url url;
    char *prefix, *client_name;
    unsigned shards_wanted;
    bool allow_eviction;
    bool no_create;
    int64_t history_max_bytes;

    dq_redis *main, *cycle, *bulk; /* the latter two NULL until used */
    bool up;
    bool absent;           /* up without a prefix */
    dureq_error no_writes; /* why this opening does not write; code 0: it does */
    bool other_server;     /* than the last one that it was up with */
    dq_keys keys;          /* made at the first meta; the same from then on */
    bool has_keys;
    dureq_error last;
    int64_t offset_us; /* server's wall clock minus our monotonic one */
    bool has_time;

    dq_open_step step;
    unsigned step_pending; /* replies the step waits for */
    int step_code;         /* first failure among them */
    unsigned look_shards;  /* shards that the prefix has or will have; 0: it is made, there is nothing to look for */
    dureq_error step_err;
    dq_timer retry;   /* set whenever the store is not up and nothing else goes on */
    int64_t retry_ms; /* last delay, 0 after a success */
    int64_t maxmemory;

    struct dq_open_shard *shards; /* shards.c; NULL before the first opening came so far */
    char rows_digest[DQ_ROWS_DIGEST_MAX];
    bool has_others; /* some shard has rows of queues that are not there */

    dq_queue_set queues;
    bool queues_changed; /* since the connection was made */
    bool refreshing, refresh_again;
    uint64_t queue_reads; /* refreshes that were answered */

    size_t flying; /* calls in flight on main */
    bool reloading;
    unsigned load_pending;
    struct {
        dq_redis_reply_fn fn;
        void *userdata;
        unsigned *n;
    } load;          /* of scripts: what is told of each, and how many of these there will be */
    dq_list again;   /* answered NOSCRIPT: sent once more after the scripts are loaded */
    dq_list waiting; /* sent when up, or when reloading is over */
};

/* open.c */
void dq_open_start(dq_store *s);
void dq_open_watch(dq_store *s); /* not connected: tell when connecting is refused */
void dq_open_retry_fired(dq_timer *t);
bool dq_error_is_refusal(int code); /* waiting does not mend it: the connection's refusals, and wrong versions, data, settings */
/* One answer of the step that goes on. */
void dq_open_answered(dq_store *s, int code, const dq_reply *reply, const dureq_error *err);
/* shards.c; each sets step_pending to what it sent */
int dq_shards_send(dq_store *s);
int dq_shards_prune(dq_store *s);
/* queues.c */
bool dq_queues_take(dq_store *s, dq_queue_set *fresh); /* true: they differ from before. Taken either way */
int dq_queues_take_one(dq_store *s, dureq_str name, dureq_str json, dureq_error *err); /* 1: it differs from before; negative */
int dq_queues_defaults(dq_buf *out, size_t *ret_n, dureq_error *err);                  /* appends (name json) as arguments */
int dq_queues_read(dq_store *s, dq_redis_reply_fn fn, void *userdata);                 /* HGETALL */
#define DQ_QUEUE_ROW_BYTES 13
void dq_queue_row(const dq_queue *q, unsigned char out[DQ_QUEUE_ROW_BYTES]); /* docs/redis-keys.md, `K q` */
void dq_queues_gone(dq_store *s); /* the prefix was deleted: connects as to another server, so that it is made again */
/* send.c */
void dq_send_up(dq_store *s);                           /* sends what waited */
void dq_send_down(dq_store *s, const dureq_error *why); /* answers what may not wait */
void dq_send_close(dq_store *s);
/* Loads those that the server does not know. *n is kept at how many answers fn will still get, the one it is called for included. */
int dq_send_load_scripts(dq_store *s, dq_redis_reply_fn fn, void *userdata, unsigned *n);
/* subscribe.c */
void dq_subscribe_push(dq_store *s, dq_reply push);
