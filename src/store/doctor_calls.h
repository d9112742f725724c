/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Script calls of the doctor, as bytes for dq_store_send, and their answers: each is one bounded step of a walk through one structure,
   which the caller repeats with the cursor it gets until that is empty. Any thread.

   Every fault is found within one script, so it was true at one moment and is no trace of a job that moved meanwhile. What cannot be seen
   in one script (sums over a bucket's rows, what two shards or a shard and the definitions must agree about) is left to the caller. */

#include "model/id.h"
#include "model/queue.h"
#include "store/store.h"

/* X(NAME, "text", "what it means"). The texts are what the scripts report. */
#define DQ_FAULT_MAP(X)                                                                                       \
    X(BATCH_COUNTS, "batch_counts", "a batch's header counts other than its items")                           \
    X(BATCH_ITEM, "batch_item", "an item of a batch and its job do not know of each other")                   \
    X(BATCH_ORPHAN, "batch_orphan", "a key of a batch that is not there")                                     \
    X(BATCH_STUCK, "batch_stuck", "a batch that nobody goes on with")                                         \
    X(BATCH_UNLISTED, "batch_unlisted", "a batch that nobody finds, or that stays")                           \
    X(BLOB_MISSING, "blob_missing", "the payload of a job is gone")                                           \
    X(BUCKET_LOST, "bucket_lost", "rows go into a history bucket that nobody finds")                          \
    X(BUCKET_ORPHAN, "bucket_orphan", "keys or counters of a history bucket that is not there")               \
    X(CONSUMER_STALE, "consumer_stale", "a consumer without jobs whose session is not there")                 \
    X(DUE_TIME, "due_time", "a job's place in the due set is not its time")                                   \
    X(HISTORY_BYTES, "history_bytes", "the bytes of a bucket are not what its rows take")                     \
    X(HISTORY_CANCELLED, "history_cancelled", "the cancelled rows of a bucket are miscounted")                \
    X(HISTORY_ORDER, "history_order", "a row that is in no order list: no page shows it")                     \
    X(HISTORY_ROWS, "history_rows", "the rows of a bucket are miscounted")                                    \
    X(IDLE_STALE, "idle_stale", "a session that is not there would be woken for work")                        \
    X(ID_AHEAD, "id_ahead", "an id is newer than the newest that was given")                                  \
    X(KEY_FOREIGN, "key_foreign", "a unique key is held by a job that does not know of it")                   \
    X(KEY_LOST, "key_lost", "a job lives without the unique key that it was accepted with")                   \
    X(KEY_NOTE, "key_note", "a note on the unique key of a job that is not alive")                            \
    X(KEY_STALE, "key_stale", "a unique key is held by a job that is not alive")                              \
    X(LANE_MAP, "lane_map", "the lists of lanes do not agree")                                                \
    X(LEASE_NO_SESSION, "lease_no_session", "a lease without its session")                                    \
    X(LIMIT_OVERDUE, "limit_overdue", "a limit to start is over and nobody looked")                           \
    X(LOC_MISSING, "loc_missing", "a handed-over job that nobody can find")                                   \
    X(LOC_STALE, "loc_stale", "a locator that leads nowhere")                                                 \
    X(META, "meta", "what the prefix says of itself does not fit this program")                               \
    X(MISPLACED, "misplaced", "an entry where it does not belong")                                            \
    X(NO_EXPIRY, "no_expiry", "a key that must go by itself and will not")                                    \
    X(NO_GROUP, "no_group", "a lane whose jobs nobody can take")                                              \
    X(OPERATION_LOST, "operation_lost", "an operation that has not ended and that nobody would take up")      \
    X(OPERATION_UNLISTED, "operation_unlisted", "an operation that no page shows")                            \
    X(OUTBOX_STALE, "outbox_stale", "word to another shard does not go out")                                  \
    X(PART_UNLISTED, "part_unlisted", "a part of a bucket that its bucket does not know")                     \
    X(PENDING_GONE, "pending_gone", "a job that is not there counts as running")                              \
    X(PENDING_LOST, "pending_lost", "a job that its session does not know of")                                \
    X(PENDING_ORPHAN, "pending_orphan", "jobs run under a session that is not there")                         \
    X(PROGRESS_STALE, "progress_stale", "progress of a job that does not run")                                \
    X(QUEUE_DEFINITION, "queue_definition", "a queue's definition cannot be read")                            \
    X(QUEUE_ROW, "queue_row", "a shard's copy of a queue differs from its definition")                        \
    X(RECORD_MISSING, "record_missing", "a member of a set without its record: the job is lost")              \
    X(RESERVATION_STALE, "reservation_stale", "a unique key is reserved beyond its deadline")                 \
    X(ROW_STATE, "row_state", "a row's state does not fit where it is")                                       \
    X(RUN_STALE, "run_stale", "a reported start of a job that does not run there")                            \
    X(SCORE_MISSING, "score_missing", "a record without its place in the set")                                \
    X(SCHEDULE_ACTIVE, "schedule_active", "an occurrence counts as active and is not, or lives and does not") \
    X(SCHEDULE_KEY, "schedule_key", "a schedule and its key do not know of each other")                       \
    X(SCHEDULE_ORPHAN, "schedule_orphan", "a key or row of a schedule that is not there")                     \
    X(SCHEDULE_OVERDUE, "schedule_overdue", "a schedule came round and nobody looked")                        \
    X(SCHEDULE_PART, "schedule_part", "a schedule without its state or definition")                           \
    X(SCHEDULE_STUCK, "schedule_stuck", "occurrences wait and nothing is active")                             \
    X(SCHEDULE_UNLISTED, "schedule_unlisted", "a schedule that no leader looks at")                           \
    X(SESSION_KEY, "session_key", "a key of a session that is not there")                                     \
    X(SESSION_NO_LEASE, "session_no_lease", "a session without a lease: nobody reaps it")                     \
    X(SIDE_ORPHAN, "side_orphan", "a payload, log or steps without their job")                                \
    X(SMALL_STATE, "small_state", "a counter of the shard is damaged or behind")                              \
    X(STUCK, "stuck", "a job that was delivered and is pending for nobody")                                   \
    X(LEADER, "leader", "the leader's fields are damaged")                                                    \
    X(TWICE, "twice", "a job in two structures")                                                              \
    X(UNKNOWN_KEY, "unknown_key", "a key that dureq does not know")                                           \
    X(SET_ASIDE, "set_aside", "data that could not be read were set aside")                                   \
    X(UNREADABLE, "unreadable", "data that cannot be read")                                                   \
    X(WAITER_STALE, "waiter_stale", "somebody waits for a job that is not alive")                             \
    X(WORKFLOW_COUNTS, "workflow_counts", "a workflow's header counts other than its tasks")                  \
    X(WORKFLOW_EDGES, "workflow_edges", "a task's count of what it waits for is wrong")                       \
    X(WORKFLOW_ORPHAN, "workflow_orphan", "a key of a workflow or definition that is not there")              \
    X(WORKFLOW_TASK, "workflow_task", "a task and its job do not know of each other")                         \
    X(WORKFLOW_UNLISTED, "workflow_unlisted", "a workflow that nobody finds, or that stays")                  \
    X(WRONG_TYPE, "wrong_type", "a key of another type")

typedef enum dq_fault_kind {
#define X(name, text, meaning) DQ_FAULT_##name,
    DQ_FAULT_MAP(X)
#undef X
} dq_fault_kind;
const char *dq_fault_kind_to_str(dq_fault_kind kind);        /* never NULL */
const char *dq_fault_kind_meaning(dq_fault_kind kind);       /* never NULL */
int dq_fault_kind_parse(dureq_str text, dq_fault_kind *ret); /* DUREQ_EINVAL */

/* X(member, "text"): what is counted. */
#define DQ_TALLY_MAP(X)           \
    X(keys, "keys")               \
    X(lanes, "lanes")             \
    X(sessions, "sessions")       \
    X(pending, "pending")         \
    X(running, "running")         \
    X(scheduled, "scheduled")     \
    X(retrying, "retrying")       \
    X(paused, "paused")           \
    X(dead, "dead")               \
    X(completed, "completed")     \
    X(cancelled, "cancelled")     \
    X(buckets, "buckets")         \
    X(unique_keys, "unique_keys") \
    X(request_ids, "request_ids") \
    X(payloads, "payloads")       \
    X(logs, "logs")               \
    X(steps, "steps")             \
    X(outbox, "outbox")           \
    X(workflows, "workflows")     \
    X(batches, "batches")         \
    X(definitions, "definitions")

typedef struct dq_tally {
#define X(member, text) int64_t member;
    DQ_TALLY_MAP(X)
#undef X
} dq_tally;

/* Views into the reply. */
typedef struct dq_fault_view {
    dq_fault_kind kind;
    dureq_str key, id /* 13 bytes, or empty */, text;
    bool repairable, repaired;
} dq_fault_view;

typedef struct dq_doctor_step {
    dureq_str cursor; /* empty: this was the last step */
    size_t n_faults, n_more;
    dq_reply faults, more; /* the lists: walk with dq_reply_first and dq_reply_next */
} dq_doctor_step;
/* Adds what was counted to *tally (may be NULL). 0 or DUREQ_EPROTO. */
int dq_doctor_step_decode(dq_reply r, dq_doctor_step *ret, dq_tally *tally);
int dq_doctor_fault_decode(dq_reply fault, dq_fault_view *ret);

/* What there is to do besides: one element of `more`. */
typedef enum dq_doctor_more_kind {
    DQ_MORE_WALK = 'w',    /* a: a structure for dq_call_doctor_set */
    DQ_MORE_FOREIGN = 'x', /* a unique key `a` held by job `b` of shard n[0] */
    DQ_MORE_RELEASE = 'o', /* word of key `a` of job `b` waits in the outbox, age unknown */
    DQ_MORE_LOST =
        'k', /* the living job in `b` (id, perhaps with the token of its reservation) names key `a`, whose home is shard n[0] */
    DQ_MORE_LANES = 'l',   /* n[0] of them */
    DQ_MORE_BUCKET = 'b',  /* number a */
    DQ_MORE_NUMBERS = 'n', /* of a bucket: n[0] rows, n[1] bytes, n[2] cancelled, as its counters say */
    DQ_MORE_PART = 'p',    /* a */
    DQ_MORE_ROWS = 'r',    /* a: ids of the rows seen; n[0] their bytes, n[1] cancelled among them, n[2] rows in the whole part */
    DQ_MORE_ORDER = 'i',   /* a: ids; n[0] elements of the list */
    DQ_MORE_UNLISTED = 'u', /* bucket a has rows in a part it does not know: its sums say nothing */
    DQ_MORE_HOME = 'h',     /* schedule b is here, so key a of schedules must be at home here */
    DQ_MORE_YES = 'y',
} dq_doctor_more_kind;
typedef struct dq_doctor_more {
    dq_doctor_more_kind kind;
    dureq_str a, b;
    int64_t n[3];
} dq_doctor_more;
int dq_doctor_more_decode(dq_reply r, dq_doctor_more *ret);

/* ---- calls ---- */

typedef struct dq_doctor_at {
    const dq_keys *keys;
    unsigned shard;
    bool repair;
} dq_doctor_at;

#define DQ_DOCTOR_KEYS_STEP  100 /* keys a step: a unique key leads to its job */
#define DQ_DOCTOR_JOBS_STEP  48  /* jobs a step; each is looked for in some ten places */
#define DQ_DOCTOR_ROWS_STEP  150
#define DQ_DOCTOR_ORDER_STEP 64 /* elements of an order list, each of up to some hundred ids */
#define DQ_DOCTOR_LANES_STEP 100

void dq_call_doctor_keys(dq_buf *out, dq_doctor_at at, dureq_str cursor);
void dq_call_doctor_set(dq_buf *out, dq_doctor_at at, dureq_str structure, dureq_str cursor);
/* The walks over structures that each shard has, in order; NULL after the last. */
const char *dq_doctor_set_name(size_t i);

typedef enum dq_doctor_stream {
    DQ_STREAM_LANE,
    DQ_STREAM_FRONT,
} dq_doctor_stream;
void dq_call_doctor_stream(dq_buf *out, dq_doctor_at at, dq_doctor_stream which, uint32_t lane, bool pending, dureq_str cursor);

void dq_call_doctor_small(dq_buf *out, dq_doctor_at at);
void dq_call_doctor_lanes(dq_buf *out, dq_doctor_at at, dureq_str cursor);
void dq_call_doctor_queue_rows(dq_buf *out, dq_doctor_at at, const dq_queue *queues, size_t n);

void dq_call_doctor_buckets(dq_buf *out, dq_doctor_at at);
void dq_call_doctor_bucket(dq_buf *out, dq_doctor_at at, dureq_str bucket);
void dq_call_doctor_part(dq_buf *out, dq_doctor_at at, dureq_str bucket, dureq_str part, dureq_str cursor);
void dq_call_doctor_order(dq_buf *out, dq_doctor_at at, dureq_str bucket, int64_t from);
void dq_call_doctor_unlisted(dq_buf *out, dq_doctor_at at, dureq_str bucket, dureq_str id);
/* A sum that is wrong by `by`: of the bytes, or of the cancelled rows. */
void dq_call_doctor_sum(dq_buf *out, dq_doctor_at at, dureq_str bucket, bool bytes, int64_t by);

void dq_call_doctor_holder(dq_buf *out, dq_doctor_at at, dureq_str ukey, dureq_str id, unsigned home);
void dq_call_doctor_held(dq_buf *out, dq_doctor_at at, dureq_str ukey, unsigned job_shard, dureq_str id);
void dq_call_doctor_lost(dq_buf *out, dq_doctor_at at, dureq_str ukey, unsigned job_shard, dureq_str id_and_token, bool report);
void dq_call_doctor_lives(dq_buf *out, dq_doctor_at at, dureq_str ukey, dureq_str id);
void dq_call_doctor_release(dq_buf *out, dq_doctor_at at, dureq_str ukey, dureq_str id, bool report);

/* Hashes of the prefix without a shard, sent to shard 0; the answer is { field, value... }. */
void dq_call_doctor_meta(dq_buf *out, const dq_keys *k);
void dq_call_doctor_definitions(dq_buf *out, const dq_keys *k);
