/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Script calls about queues, as bytes for dq_store_send, their answers; and changes of a queue's definition, which are several calls. */

#include "store/store.h"

/* ---- one function a script, named after it; any thread ---- */
/* seen: the JSON this change is based on, empty when there was none. json: empty to delete it. Answer: 1, 0 when it is another one by
   now, -1 when the prefix is not there, or -2 when the last queue would go. */
void dq_call_queue_define(dq_buf *out, const dq_keys *k, dureq_str name, dureq_str seen, dureq_str json);
/* Answer: whether the prefix is there (1, 0), definition or empty. */
void dq_call_queue_get(dq_buf *out, const dq_keys *k, dureq_str name);
/* Answer, of both: the version of the shard's queues, or 0 when the shard is not initialised; of a deleted one -1 when nothing was left of it. */
void dq_call_queue_set(dq_buf *out, const dq_keys *k, unsigned shard, dureq_str actor, const char *action, const dq_queue *q);
void dq_call_queue_unset(dq_buf *out, const dq_keys *k, unsigned shard, dureq_str actor, dureq_str name); /* it was deleted */
/* Lanes that shall wake a session: begin, add, dq_call_end. most: how many of its jobs it can run at most; 0: as many as it has slots. */
dq_call dq_call_lanes_listen(dq_buf *out, const dq_keys *k, unsigned shard, uint64_t session);
void dq_listen_lane(dq_call *c, uint32_t lane, uint32_t most);
bool dq_listen_next(dureq_str *answer, uint32_t *ret_lane); /* those that hold jobs, one after the other */
/* Lanes for which others are to be woken: begin, add, dq_call_end. */
dq_call dq_call_lanes_wake(dq_buf *out, const dq_keys *k, unsigned shard);
void dq_wake_lane(dq_call *c, uint32_t lane);
/* Names of paused queues, a page a call, the first at cursor "0". */
void dq_call_queues_paused(dq_buf *out, const dq_keys *k, unsigned shard, dureq_str cursor);
typedef struct dq_paused_page {
    int64_t version;  /* of the shard's queues */
    dureq_str cursor; /* of the next page; "0": there is none */
    dq_reply names;
} dq_paused_page;
int dq_paused_page_decode(const dq_reply *r, dq_paused_page *ret);
/* Rows of queues go to a shard in parts, once it said that it wants them: that it has other ones than the digest says. */
typedef enum dq_shard_part {
    DQ_SHARD_ASK,  /* has no queues */
    DQ_SHARD_ROWS, /* some */
    DQ_SHARD_LAST, /* some, and it is ready */
} dq_shard_part;
typedef struct dq_shard_init {
    dq_shard_part part;
    dureq_str token;
    dureq_str digest; /* empty: none */
    int64_t history_max_bytes;
    bool keeps_cap; /* one that is set already stays */
    const dq_queue *queues;
    size_t n_queues; /* of this part */
    size_t n_all;    /* queues that there are */
} dq_shard_init;
void dq_call_shard_init(dq_buf *out, const dq_keys *k, unsigned shard, const dq_shard_init *init); /* NULL: only look */
/* Of DQ_SHARD_ASK: it wants the rows. Of DQ_SHARD_LAST: it has rows of other queues, too. */
bool dq_shard_init_wants(const dq_reply *r);
/* type: empty, or as a filter has it. until_ms: of the step before, 0 in the first. */
void dq_call_queue_purge(dq_buf *out, const dq_keys *k, unsigned shard, dureq_str actor, dureq_str name, dureq_str type,
                         int64_t until_ms);
/* HGETALL of <prefix>:config:queues; *ret is the caller's to deinit. */
int dq_queue_set_from_reply(const dq_reply *reply, dq_queue_set *ret, dureq_error *err);
typedef struct dq_queue_purged {
    int64_t n;
    bool more; /* call again */
    int64_t until_ms;
} dq_queue_purged;
int dq_queue_purge_decode(const dq_reply *r, dq_queue_purged *ret);

typedef struct dq_queue_stats {
    int64_t pending, running;
    int64_t oldest_ms; /* since when the longest waiting job could run; -1: none waits */
} dq_queue_stats;
/* `limit` lanes a page. *ret_next: the first lane of the next page, 0 at the end. fn gets what a queue has in these lanes; what it returns below 0 ends
   it. DUREQ_EPROTO when the answer cannot be read. */
typedef int (*dq_queue_stats_fn)(dureq_str queue, const dq_queue_stats *stats, void *userdata);
void dq_call_queue_stats(dq_buf *out, const dq_keys *k, unsigned shard, int64_t from, int limit);
int dq_queue_stats_decode(const dq_reply *r, int64_t *ret_next, int64_t *ret_now_ms, dq_queue_stats_fn fn, void *userdata);
void dq_queue_stats_add(dq_queue_stats *sum, const dq_queue_stats *part); /* of another part of the same queue */

/* Lanes where jobs wait, `limit` lanes a page. *ret_next: the first lane of the next page, 0 at the end. fn gets the lane's name in its
   parts; what it returns below 0 ends the walk. DUREQ_EPROTO when the answer cannot be read. */
typedef int (*dq_lane_waiting_fn)(dureq_str queue, dureq_str type, int64_t n, void *userdata);
void dq_call_lanes_waiting(dq_buf *out, const dq_keys *k, unsigned shard, int64_t from, int limit);
int dq_lanes_waiting_decode(const dq_reply *r, int64_t *ret_next, dq_lane_waiting_fn fn, void *userdata);

/* ---- changes: the definition first, then every shard, then a look whether it is still ours; all again on a prefix made again when it was
   deleted. Loop thread ---- */
typedef enum dq_queue_verb {
    DQ_QUEUE_SET,
    DQ_QUEUE_SET_IF_MISSING,
    DQ_QUEUE_PAUSE,
    DQ_QUEUE_RESUME,
    DQ_QUEUE_DELETE,
    DQ_QUEUE_PUT_BACK, /* as SET_IF_MISSING, and paused when `wanted` is */
    DQ_QUEUE_COPY,     /* what stands there, or that it stands there no more, to the shards: after a change that failed between */
} dq_queue_verb;
/* differs: with DQ_QUEUE_SET_IF_MISSING, whether the queue exists with another definition (it is left as it is); with DQ_QUEUE_COPY, of a queue that
   is defined no more, whether a shard still had it. */
typedef void (*dq_queue_change_fn)(void *userdata, int code, bool differs, const dureq_error *err);
/* wanted: for the SETs and PUT_BACK; of a SET its `paused` is not looked at: it never pauses nor resumes. All is copied. Returns 0 (fn will be
   called once, never from inside) or negative. DUREQ_ENOTFOUND (in fn) when a queue to pause, resume or delete does not exist. */
int dq_store_change_queue(dq_store *s, dq_queue_verb verb, dureq_str name, const dq_queue *wanted, dureq_str actor,
                          dq_queue_change_fn fn, void *userdata, dureq_error *err);
