/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DUREQ_BATCH_H
#define DUREQ_BATCH_H

/* Batches: one task type for each of many items, some of which are in flight at a time (docs/batches.md).

   Example: two items.

       int run_batch(dureq_client *client, dureq_error *err)
       {
           static const char definition[] = "{\"name\": \"thumbs\", \"item_task_type\": \"thumb\","
                                            "\"items\": [{\"id\": \"a\", \"payload\": 1}, {\"id\": \"b\", \"payload\": 2}]}";
           dureq_batch *batch;
           dureq_job_id id;
           int rc;

           rc = dureq_client_start_batch(client, dureq_str_from(definition), &id, err);
           if (rc == 0)
               rc = dureq_client_wait_batch(client, id.text, 60000, &batch, err);
           if (rc < 0)
               return rc;
           printf("%s, %u failed\n", dureq_batch_status_to_str(batch->status), (unsigned)batch->n_failed);
           dureq_batch_destroy(batch);
           return 0;
       }
*/

#include <dureq/client.h>

#ifdef __cplusplus
extern "C" {
#endif

/* X(number, NAME, text) */
#define DUREQ_BATCH_STATUS_MAP(X)                                                \
    X(1, RUNNING, "running")                                                     \
    X(2, COMPLETED, "completed") /* no item failed */                            \
    X(3, FAILED, "failed")                                                       \
    X(4, CANCELLING, "cancelling") /* nothing starts, what runs is being told */ \
    X(5, CANCELLED, "cancelled")                                                 \
    X(6, LOADING, "loading") /* items are being added; nothing runs before it is sealed */

typedef enum dureq_batch_status {
#define X(num, name, text) DUREQ_BATCH_##name = num,
    DUREQ_BATCH_STATUS_MAP(X)
#undef X
} dureq_batch_status;

#define DUREQ_BATCH_ITEM_STATE_MAP(X)               \
    X(0, PENDING, "pending")                        \
    X(1, RUNNING, "running") /* its job is there */ \
    X(2, COMPLETED, "completed")                    \
    X(3, SKIPPED, "skipped") /* by its handler */   \
    X(4, FAILED, "failed")                          \
    X(5, CANCELLED, "cancelled")

typedef enum dureq_batch_item_state {
#define X(num, name, text) DUREQ_BATCH_ITEM_##name = num,
    DUREQ_BATCH_ITEM_STATE_MAP(X)
#undef X
} dureq_batch_item_state;

/* Words are static texts, "unknown" for a number of no meaning; parsing fails with DUREQ_EINVAL for an unknown word. */
DUREQ_API const char *dureq_batch_status_to_str(dureq_batch_status status);
DUREQ_API int dureq_batch_status_parse(dureq_str text, dureq_batch_status *ret);
DUREQ_API const char *dureq_batch_item_state_to_str(dureq_batch_item_state state);
DUREQ_API int dureq_batch_item_state_parse(dureq_str text, dureq_batch_item_state *ret);

/* Views are into the batch. */
typedef struct dureq_batch {
    dureq_job_id id;
    dureq_str name;
    dureq_batch_status status;
    bool failing; /* an item failed */
    bool fails_fast, open, timed_out;
    uint32_t attempt, max_attempts, chunk_size;
    uint32_t n_items, n_pending, n_running, n_completed, n_skipped, n_failed, n_cancelled; /* completed: skipped ones, too */
    int64_t created_at_ms, finished_at_ms, deadline_ms;                                    /* 0: not yet, none */
    dureq_str definition;                                                                  /* JSON, without its items */
    dureq_str reason;      /* why it was cancelled, or failed as a whole */
    int once;              /* state of its one-time task: 0 there is none, 1 it waits, 2 it runs, 3 done, 4 failed */
    dureq_job_id once_job; /* text "": none */
    dureq_str once_result; /* JSON */
    dureq_str once_error;
    void *owner; /* private */
} dureq_batch;

typedef struct dureq_batch_list {
    dureq_batch *items; /* without definition, reason and what the one-time task gave */
    size_t n;
    char next_cursor[24]; /* "" when there are no more */
    void *owner;          /* private */
} dureq_batch_list;

typedef struct dureq_batch_item_info {
    uint32_t number; /* in the order in which items were added, from 0 */
    dureq_str id;
    dureq_batch_item_state state;
    dureq_job_id job_id; /* while it is in flight; else text "" */
    dureq_str result;    /* of a completed one: JSON, or base64 of what is none */
    bool result_is_base64;
    dureq_str error; /* why it failed, was skipped or cancelled */
} dureq_batch_item_info;

typedef struct dureq_batch_items {
    dureq_batch_item_info *items;
    size_t n;
    uint32_t n_items; /* of the batch */
    uint32_t next;    /* number to go on with */
    bool has_more;
    void *owner; /* private */
} dureq_batch_items;

DUREQ_API void dureq_batch_destroy(dureq_batch *batch); /* any thread; NULL is fine */
DUREQ_API void dureq_batch_list_destroy(dureq_batch_list *list);
DUREQ_API void dureq_batch_items_destroy(dureq_batch_items *items);

/* Start a batch: definition is JSON, as docs/batches.md has it, with its items. All are on the server when the call returns, and the first run. The
   same as open_batch, add_batch_items and seal_batch. DUREQ_EINVAL; DUREQ_ECONFLICT: nodes of an older version are alive, which err names;
   DUREQ_EDUPLICATE: its unique key is held, *ret says by whom, or two items have one id. A call with the request_id of an earlier one answers with that
   one's batch, and goes on with it where it broke off. */
DUREQ_API DUREQ_MUST_CHECK int dureq_client_start_batch(dureq_client *client, dureq_str definition, dureq_job_id *ret,
                                                        dureq_error *err);
/* The same without sealing it: items of the definition are there, more may be added. Nothing runs before the seal, unless the definition says "open".
   One that is not open is cancelled when for a minute nothing is added. */
DUREQ_API DUREQ_MUST_CHECK int dureq_client_open_batch(dureq_client *client, dureq_str definition, dureq_job_id *ret,
                                                       dureq_error *err);

typedef struct dureq_batch_item {
    dureq_str id; /* empty: it is called by its number. Either all items have one, or none */
    dureq_str payload;
    bool is_json; /* the payload is JSON; else bytes */
} dureq_batch_item;

/* at: number of the first of these items, which is how many were added before: a call that is made again adds nothing twice. -1: whatever comes
   next. DUREQ_EDUPLICATE: an id is there already, and err says which; then the items before are added. DUREQ_ECONFLICT: it takes no items any more,
   or others came in between. *ret_n: how many there are now; may be NULL. */
DUREQ_API DUREQ_MUST_CHECK int dureq_client_add_batch_items(dureq_client *client, const char *id, int64_t at,
                                                            const dureq_batch_item *items, size_t n, uint32_t *ret_n,
                                                            dureq_error *err);
DUREQ_API DUREQ_MUST_CHECK int dureq_client_seal_batch(dureq_client *client, const char *id, dureq_error *err);

/* DUREQ_ENOTFOUND. */
DUREQ_API DUREQ_MUST_CHECK int dureq_client_get_batch(dureq_client *client, const char *id, dureq_batch **ret, dureq_error *err);
/* Wait for its end, as dureq_client_wait does for a job's. */
DUREQ_API DUREQ_MUST_CHECK int dureq_client_wait_batch(dureq_client *client, const char *id, int64_t timeout_ms,
                                                       dureq_batch **ret, dureq_error *err);
/* When it returns no item starts any more, and those that run were told to stop. reason may be NULL. DUREQ_ECONFLICT: it has ended. */
DUREQ_API DUREQ_MUST_CHECK int dureq_client_cancel_batch(dureq_client *client, const char *id, const char *reason,
                                                         dureq_error *err);
/* One that failed or was cancelled runs again: items that failed, were cancelled or never began; with `all` every item. DUREQ_ECONFLICT: it runs, or
   completed. */
DUREQ_API DUREQ_MUST_CHECK int dureq_client_retry_batch(dureq_client *client, const char *id, bool all, dureq_error *err);

typedef struct dureq_batch_filter {
    size_t struct_size;
    const dureq_batch_status *statuses; /* NULL: any */
    size_t n_statuses;
    int32_t limit;      /* 1 to 1000; 0 = 10 */
    const char *cursor; /* next_cursor of the page before; NULL: first page */
} dureq_batch_filter;

static inline dureq_batch_filter dureq_batch_filter_init(void)
{
    dureq_batch_filter f;
    memset(&f, 0, sizeof f);
    f.struct_size = sizeof f;
    return f;
}

/* Newest first. filter may be NULL. A page may be short, even empty, and still have a next_cursor. */
DUREQ_API DUREQ_MUST_CHECK int dureq_client_list_batches(dureq_client *client, const dureq_batch_filter *filter,
                                                         dureq_batch_list **ret, dureq_error *err);

typedef struct dureq_batch_items_filter {
    size_t struct_size;
    uint32_t first;                       /* from this number on */
    int32_t limit;                        /* 1 to 1000; 0 = 100 */
    const dureq_batch_item_state *states; /* NULL: any */
    size_t n_states;
    const char *item_id; /* only this one; NULL: a page */
} dureq_batch_items_filter;

static inline dureq_batch_items_filter dureq_batch_items_filter_init(void)
{
    dureq_batch_items_filter f;
    memset(&f, 0, sizeof f);
    f.struct_size = sizeof f;
    return f;
}

/* Items with their results, in the order of their numbers. filter may be NULL. A page may be short, even empty, and still have more. */
DUREQ_API DUREQ_MUST_CHECK int dureq_client_list_batch_items(dureq_client *client, const char *id,
                                                             const dureq_batch_items_filter *filter, dureq_batch_items **ret,
                                                             dureq_error *err);

#ifdef __cplusplus
}
#endif
#endif
