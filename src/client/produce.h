/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Between the callers' side of enqueueing (enqueue.c: packs) and the loop's (produce.c: lanes and shards; produce_call.c: numbered calls). */

#include "client/client_internal.h"
#include "store/enqueue_calls.h"

#define DQ_CALL_BYTES_MAX (256 * 1024)  /* of a script */
#define DQ_FAST_BYTES_MAX (1024 * 1024) /* of plain commands */
#define DQ_CALLS_FLYING   4             /* per shard; the server's window of answers is 64 */

typedef struct enq_lane {
    dureq_str name; /* "queue|type|version"; stored after the struct */
    size_t queue_len;
    bool plain; /* its queue is known and has no limit: jobs may go as a plain call */
    bool limited;
    uint32_t no[]; /* of each shard; 0: not known yet */
} enq_lane;

typedef struct enq_request enq_request;

typedef struct enq_item {
    dq_list link; /* in its shard's queue while it waits */
    enq_request *request;
    enq_lane *lane;
    uint32_t index; /* in the request's results */
    bool done;
    dureq_str request_id; /* the caller's; empty: none */
    bool scheduled, has_request;
    bool has_looked;                  /* whether the holder of its unique key is alive */
    int8_t priority;                  /* picks the queue when there is no name */
    int16_t shard;                    /* -1: any */
    int16_t ukey_home;                /* -1: no unique key */
    dureq_str queue, task_type, ukey; /* the caller's, valid until the request is done */
    dq_enqueue_job job;               /* its arguments, in the request's buffer */
    uint8_t token_len;                /* 0: none; else what enqueue.lua gets as token */
    unsigned char token[DQ_KEY_TOKEN_BYTES];
    int64_t ukey_ms;       /* how long its unique key is held; 0: until its end */
    int64_t reserved_us;   /* when its unique key was asked for on another shard; 0: it was not */
    struct enq_call *call; /* while it flies */
    size_t call_slot;
    struct enq_reserve *reserve; /* while its unique key is asked for */
} enq_item;

/* The jobs of one caller that wait for their answers together. */
struct enq_request {
    dq_message message, withdraw;
    dq_producer *producer;
    dq_buf args;
    enq_item *items;
    size_t n;
    dureq_enqueue_result *results;
    dureq_error why; /* for what has no answer when it is withdrawn */

    void (*done)(enq_request *r); /* all is answered: loop thread, may free it. NULL: a thread waits */

    dq_mutex mu; /* guards the next two */
    dq_cond cond;
    size_t left; /* items without answer, and one for each message the loop has not dealt with */
};

/* One numbered call, kept until it is answered. */
typedef struct enq_call {
    dq_list link; /* in its shard's `flying`, oldest first */
    dq_producer *producer;
    unsigned shard;
    uint64_t number;
    bool fast;
    bool lost; /* its reply was: to be sent again when the server is back */
    int64_t first_sent_us;
    int64_t reserved_us; /* the oldest of its items; 0: none has one */
    size_t n_executed;   /* replies of EXEC */
    dq_buf bytes;
    size_t n;
    enq_item *items[DQ_ENQUEUE_JOBS_MAX];   /* NULL: its caller gave up */
    enq_lane *lanes[DQ_ENQUEUE_JOBS_MAX];   /* of items, which may be gone */
    bool large[DQ_ENQUEUE_JOBS_MAX];        /* fast: which have a payload key */
    uint32_t lane_nos[DQ_ENQUEUE_JOBS_MAX]; /* as a fast call named them */
} enq_call;

typedef struct enq_shard {
    dq_producer *producer;
    unsigned no;
    dq_list waiting; /* enq_item */
    dq_list flying;  /* enq_call */
    size_t n_flying;
    uint64_t next_number;
    char token[64]; /* of K sh `v`; empty: not known */
    char shard_is
        [24]; /* its part before the dot, which a shard keeps for life: lanes' numbers are of this one; empty: of none yet */
    bool asks_token;
    uint64_t token_reads; /* valid once the queues were read so often */
} enq_shard;

struct dq_producer {
    dureq_client *client;
    char id[32];
    dq_map lanes;      /* name -> enq_lane */
    enq_shard *shards; /* NULL until it was up once */
    unsigned n_shards;
    unsigned current; /* shard that takes jobs without a home */
    dq_deferred send;
    dq_buf scratch;
};

/* How long a unique key on another shard is held for a job whose call is yet to come: that goes out within the first part of it, again if its
   answer was lost within the second. Later the key may be another job's. */
#define DQ_RESERVE_MS       60000
#define DQ_RESERVE_FIRST_US 30000000
#define DQ_RESERVE_AGAIN_US 45000000

#define DQ_ENQ_NO_ANSWER "the call was sent, its answer did not come in time"

/* Callers' side to the loop. */
void dq_enq_submit(dq_producer *p, enq_request *r);
void dq_enq_withdraw(enq_request *r); /* answers all that is left */
/* The same two on the loop thread, at once. */
void dq_enq_take(dq_producer *p, enq_request *r);
void dq_enq_drop(enq_request *r);
/* Loop thread: an item's answer. */
void dq_enq_answer(enq_item *item, int code, const dq_id *id, const char *msg);

/* produce_call.c; loop thread */
void dq_enq_send(enq_shard *s); /* as many calls as may fly */
void dq_enq_resend(enq_shard *s, bool same_server);
void dq_enq_reserve(dq_producer *p, enq_item *item); /* produce.c; it comes back to its shard's queue, or is answered */
void dq_enq_held(enq_item *item,
                 const dq_id *holder);                /* produce.c; its unique key is held by that job (ms 0: reserved for one) */
void dq_enq_confirm(enq_item *item, const dq_id *id); /* produce.c; its reservation is this job's, which was accepted */
void dq_enq_ask_token(enq_shard *s);                  /* produce.c */
void dq_enq_call_free(enq_call *call);
