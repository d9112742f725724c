/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Script calls of batches, as bytes for dq_store_send, and their answers. One function a script, named after it. Any thread. Ids are the packed 13
   bytes, as those of jobs. */

#include "model/batch_state.h"
#include "store/call.h"
#include "store/store.h"

#define DQ_BATCH_ADD_MAX   500          /* items in a call, */
#define DQ_BATCH_ADD_BYTES (256 * 1024) /* and their bytes, but for one that is larger by itself */
#define DQ_BATCH_PAGE_MAX  1000

typedef struct dq_batch_start {
    dureq_str request, unique_key; /* unique_key empty: none */
    int64_t request_ms, unique_ms; /* unique_ms 0: until its end */
    int64_t keep_ms;               /* after its end */
    int64_t limit_ms;              /* from its start to its end; 0: none */
    bool is_open, fails_fast;
    int32_t window, max_attempts;
    dureq_str lane, once_lane;               /* "queue|type|version"; once_lane empty: no one-time task */
    dureq_str front_json, front_bytes;       /* what comes before an item's part of its envelope */
    dureq_str once_front, once_payload;      /* the same of the one-time task, and its payload */
    int64_t s2s_ms;                          /* of each item; 0: none */
    dureq_str name, tags, actor, definition; /* kept beside; tags: packed as of a job */
} dq_batch_start;
void dq_call_batch_start(dq_buf *out, const dq_keys *k, unsigned shard, const dq_batch_start *s);

typedef enum dq_batch_started {
    DQ_BATCH_STARTED,
    DQ_BATCH_KNOWN,    /* by its request */
    DQ_BATCH_KEY_HELD, /* by the job, workflow or batch id */
    DQ_BATCH_NO_QUEUE, /* of this lane, or it would be one too many */
    DQ_BATCH_OF_FLOW,  /* its request is that of the workflow id */
} dq_batch_started;
typedef struct dq_batch_start_answer {
    dq_batch_started what;
    dq_id id;
    dureq_batch_status status; /* KNOWN: it is so far */
    uint32_t n_items;
    dureq_str lane; /* NO_QUEUE; a view into the answer */
} dq_batch_start_answer;
int dq_batch_start_decode(const dq_reply *r, dq_batch_start_answer *ret);

/* begin, items, end. at: -1, whatever comes next. */
dq_call dq_call_batch_add(dq_buf *out, const dq_keys *k, unsigned shard, dureq_str id, int64_t at);
void dq_batch_add_item(dq_call *c, const dureq_batch_item *item, dq_buf *scratch);

typedef enum dq_batch_added {
    DQ_BATCH_ADDED = 0,
    DQ_BATCH_ADD_NONE = -3,    /* there is no such batch */
    DQ_BATCH_ADD_SEALED = -4,  /* it takes no items any more */
    DQ_BATCH_ADD_AT = -5,      /* that is not the next one: n is */
    DQ_BATCH_ADD_TWICE = -6,   /* the id of the nth of the call is there already */
    DQ_BATCH_ADD_NAMES = -7,   /* items with ids and items without */
    DQ_BATCH_ADD_NO_JSON = -8, /* with a one-time task payloads are JSON */
    DQ_BATCH_ADD_TOO_MANY = -9,
} dq_batch_added;
/* A dq_batch_added, or DUREQ_EPROTO; ret_n: ADDED: of its items now. */
int dq_batch_add_decode(const dq_reply *r, uint32_t *ret_n);

/* n of items; DUREQ_ENOTFOUND, DUREQ_ECONFLICT. */
void dq_call_batch_seal(dq_buf *out, const dq_keys *k, unsigned shard, dureq_str id);
/* 1: to be called again, no more as the first; 0; DUREQ_ENOTFOUND, DUREQ_ECONFLICT. token: of this cancel, by which a repeat of its first call is known;
   empty: none. */
void dq_call_batch_cancel(dq_buf *out, const dq_keys *k, unsigned shard, dureq_str actor, dureq_str id, dureq_str reason,
                          bool first, dureq_str token);
void dq_call_batch_retry(dq_buf *out, const dq_keys *k, unsigned shard, dureq_str actor, dureq_str id, bool all);
void dq_call_batch_get(dq_buf *out, const dq_keys *k, unsigned shard, dureq_str id);
/* before: empty, from the newest. status: numbers with blanks between; empty: any. */
void dq_call_batch_list(dq_buf *out, const dq_keys *k, unsigned shard, dureq_str before, int limit, dureq_str status);

typedef struct dq_batch_page {
    uint32_t first;
    int limit;
    dureq_str states; /* bytes that states may have; empty: any */
    dureq_str item;   /* only this one; empty: a page */
} dq_batch_page;
void dq_call_batch_items(dq_buf *out, const dq_keys *k, unsigned shard, dureq_str id, const dq_batch_page *page);
