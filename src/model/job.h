/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The packed forms of a job (docs/redis-keys.md "Packed parts"), checks of what a producer says, defaults. Pure: no clock, no
   Redis. Views point into the packed bytes. */

#include <dureq/job.h>
#include <dureq/queue.h>

#include "base/arena.h"
#include "base/buf.h"
#include "model/id.h"

/* Larger payloads are keys of their own: set once, never copied again. At 10 KB that costs Redis 15 % more than carrying them along does. */
#define DQ_PAYLOAD_INLINE_MAX (32 * 1024)
#define DQ_DETAIL_MAX         8192
#define DQ_OUTPUT_MAX         16384
#define DQ_ERROR_TEXT_MAX     1024
#define DQ_LOG_MAX            65536
#define DQ_ATTEMPTS_KEPT      20
#define DQ_PRIORITY_DEFAULT   5

/* ---- checks: DUREQ_EINVAL or DUREQ_ETOOLARGE, the message names the field and what it takes ---- */
int dq_name_check(const char *what, dureq_str name, dureq_error *err);
/* Of jobs to be found; NULL: any. A '*' means something at the end only; elsewhere it would fit nothing. */
int dq_type_filter_check(const char *type, dureq_error *err);
int dq_key_check(const char *what, dureq_str key, dureq_error *err);
int dq_prefix_check(dureq_str prefix, dureq_error *err);
int dq_retry_policy_check(const dureq_retry_policy *p, dureq_error *err);
/* All of a spec but whether its queue exists. Payload against max_payload. Also unknown bytes after struct_size. */
int dq_job_spec_check(const dureq_job_spec *spec, size_t max_payload, dureq_error *err);

/* Options of any struct_size brought to ours: copies min(size), zeroes the rest; DUREQ_EINVAL when bytes we do not know are set. */
int dq_options_adopt(void *ours, size_t our_size, const void *theirs, const char *what, dureq_error *err);

/* Rounds a retention up to one of the classes rows are kept by (10 s, 30 s, 1 m, 5 m, 10 m, 30 m, 1 h, 3 h, 6 h, 12 h, 1 d, 2 d, 3 d, 7 d,
   14 d, 30 d, 60 d, 90 d, 180 d, 400 d): few classes keep look-ups bounded. <= 0 gives 0: not kept. */
int64_t dq_retention_class(int64_t retention_ms);
#define DQ_RETENTION_DEFAULT_MS       (7 * 86400000LL) /* a class itself */
#define DQ_RETENTION_DEAD_DEFAULT_MS  (30 * 86400000LL)
#define DQ_RETENTION_AUDIT_DEFAULT_MS (30 * 86400000LL)
/* Statistics by minute, hour and day. */
#define DQ_RETENTION_MINUTES_DEFAULT_MS (2 * 86400000LL)
#define DQ_RETENTION_HOURS_DEFAULT_MS   (30 * 86400000LL)
#define DQ_RETENTION_DAYS_DEFAULT_MS    (400 * 86400000LL)

/* Known to scripts as well: src/store/lua/include/base.lua; DQ_ID_SEQ_DUE is another one. */
#define DQ_ROW_OVERHEAD          110         /* bytes that a history row costs beside itself: its id in a hash and in a list */
#define DQ_LIST_MAX              128         /* jobs of a call with a list: up to 30 us each, and 5 ms are the bound */
#define DQ_LIST_BYTES            262144      /* of jobs that such a call moves; it leaves the rest to the next */
#define DQ_HISTORY_DEFAULT_BYTES (1LL << 30) /* cap of kept rows, of a server without maxmemory */
#define DQ_PRODUCER_KEPT_MS      3600000LL   /* the server forgets a producer so long after its last call */
#define DQ_REQUEST_WINDOW_MS     3600000LL   /* of a request id, when none is given */

/* ---- envelope `j` ---- */
#define DQ_J_JSON      (1u << 0)
#define DQ_J_TEXT      (1u << 1)
#define DQ_J_CTYPE     (1u << 2)
#define DQ_J_PRIORITY  (1u << 3)
#define DQ_J_TIMEOUT   (1u << 4)
#define DQ_J_S2S       (1u << 5)
#define DQ_J_HEARTBEAT (1u << 6)
#define DQ_J_DLQ_AFTER (1u << 7)
#define DQ_J_RETENTION (1u << 8)
#define DQ_J_RETRY     (1u << 9)
#define DQ_J_UNIQUE    (1u << 10)
#define DQ_J_REQUEST   (1u << 11)
#define DQ_J_HEADERS   (1u << 12)
#define DQ_J_TAGS      (1u << 13)
#define DQ_J_TRACE     (1u << 14)
#define DQ_J_BLOB      (1u << 15)
#define DQ_J_MORE \
    (1u           \
     << 16) /* of an occurrence: its schedule and its time; of a task: its workflow; of an item: its batch; else parts of later versions, which this one skips */
#define DQ_J_TRACKED (1u << 31) /* never packed: its part of MORE says that its schedule minds its end */
#define DQ_J_TASK    (1u << 30) /* never packed: its part of MORE makes it a task of a workflow, which minds its end */
#define DQ_J_ITEM    (1u << 29) /* never packed: its part of MORE makes it an item of a batch, which minds its end */

/* With one of these a job goes the general way, by the script that looks at each job, and not by plain commands with a script for all of
   them: when it is enqueued; when it ends (src/store/lua/include/job_end.lua). */
#define DQ_J_ENQUEUE_GENERAL (DQ_J_S2S | DQ_J_UNIQUE | DQ_J_REQUEST)
#define DQ_J_END_GENERAL     (DQ_J_UNIQUE | DQ_J_TRACKED | DQ_J_TASK | DQ_J_ITEM)

typedef struct dq_envelope {
    uint32_t flags;
    dureq_str content_type; /* always set: a constant or a view */
    uint8_t priority;
    int64_t timeout_ms, s2s_ms, heartbeat_ms, retention_ms /* class; valid with DQ_J_RETENTION */;
    int32_t dlq_after;
    dureq_str retry; /* packed policy; see dq_retry_unpack */
    dureq_str unique_key, request_id;
    int64_t unique_for_ms;
    int unique_shard;        /* home shard of the key when it is another one, else -1 */
    dureq_str headers, tags; /* packed lists: see dq_headers_next, dq_tags_next */
    dureq_str trace;
    dureq_str more;         /* with DQ_J_MORE */
    dureq_str schedule_id;  /* of an occurrence: packed; else empty */
    int64_t scheduled_at;   /* s */
    dureq_str workflow_id;  /* of a task: packed; else empty */
    uint32_t workflow_task; /* its number */
    bool result_is_wanted;  /* other tasks get it, or its batch keeps it */
    dureq_str batch_id;     /* of an item: packed; else empty */
    dureq_str batch_item;   /* its id; empty: it is the batch's one-time task */
    uint64_t blob_len;      /* with DQ_J_BLOB */
    dureq_str payload;
} dq_envelope;

/* Appends the envelope of a checked spec. unique_shard as above. A payload over DQ_PAYLOAD_INLINE_MAX is left out and flagged: the
   caller passes it beside. The content type is found by looking when the spec names none (JSON when it parses). */
void dq_envelope_pack(dq_buf *out, const dureq_job_spec *spec, int unique_shard);
/* The envelope of a schedule's jobs: with a part of DQ_MORE_SCHEDULE_BYTES for schedule and time, which begins at the offset that is returned. */
size_t dq_envelope_pack_template(dq_buf *out, const dureq_job_spec *spec);
#define DQ_MORE_SCHEDULE       1 /* its first byte */
#define DQ_MORE_SCHEDULE_BYTES 21
/* The envelope of a task's jobs, without the part of DQ_J_MORE, which the script that releases it puts in at the offset that is returned. */
size_t dq_envelope_pack_task(dq_buf *out, const dureq_job_spec *spec);
#define DQ_MORE_TASK        2 /* its first byte; then workflow, incarnation I2, task I3, flags, n of edges, edges */
#define DQ_MORE_TASK_BYTES  21
#define DQ_MORE_ITEM        3 /* its first byte; then batch, epoch I2, number I4, id of the item */
#define DQ_MORE_ITEM_BYTES  20
#define DQ_MORE_TASK_WANTED 32 /* of its flags: its result goes on to other tasks */
/* The DQ_J_... of one that was packed here; 0 of what is none. */
uint32_t dq_envelope_flags(dureq_str packed);
/* 0, DUREQ_ESCHEMA (version not known) or DUREQ_EPROTO. Fast: the worker calls it for every job. */
int dq_envelope_unpack(dureq_str j, dq_envelope *ret);
/* The same envelope with another payload and content type. */
int dq_envelope_repack(dq_buf *out, dureq_str j, dureq_str payload, const char *content_type);
bool dq_headers_next(dureq_str *rest, dureq_str *ret_name, dureq_str *ret_value);
bool dq_tags_next(dureq_str *rest, dureq_str *ret_tag);
void dq_retry_pack(dq_buf *out, const dureq_retry_policy *p);

/* A policy with all defaults filled in, substrings as views. */
typedef struct dq_retry {
    int32_t max_attempts;
    int64_t initial_ms, max_ms /* -1: no cap */;
    double factor, jitter;
    int32_t pause_after;
    int64_t pause_delay_ms;
    dureq_str final_errors; /* packed list: varint n, lstr each */
} dq_retry;
extern const dq_retry dq_retry_default;
int dq_retry_unpack(dureq_str packed, dq_retry *ret);
/* Ancestor's formula: initial * factor^(failures-1), capped, then spread over +-jitter by unit (0..1). failures >= 1. Saturates. */
int64_t dq_retry_delay_ms(const dq_retry *r, int failures, double unit);
bool dq_retry_is_final(const dq_retry *r, dureq_str error_text); /* contains one of the substrings */

/* ---- moved part `m` ---- */
#define DQ_M_HEAD     36
#define DQ_M_SUSPECT  1
#define DQ_M_LOGS     2 /* or steps */
#define DQ_M_REPEATED 4

typedef struct dq_moved {
    dq_id id;
    uint16_t attempts, runs;
    uint8_t crashes, flags;
    uint16_t errors_in_row;
    int64_t ready_at_ms, due_at_ms;
    uint8_t n_attempts;
    uint8_t repeats; /* in a row, at most 255 */
    dureq_str tail;  /* packed attempts */
} dq_moved;

int dq_moved_unpack(dureq_str m, dq_moved *ret);    /* checks the tail too; DUREQ_ESCHEMA, DUREQ_EPROTO */
void dq_moved_pack(dq_buf *out, const dq_moved *m); /* tail copied */
/* What follows the id in `m` of a fresh scheduled job (the id is put in by the script): 22 bytes. */
void dq_moved_tail_fresh(dq_buf *out, int64_t due_at_ms);

typedef struct dq_attempt {
    uint32_t run;
    uint8_t outcome;
    int64_t started_at_ms, ran_ms;
    uint64_t session;
    int32_t code;
    dureq_str error, detail, output;
} dq_attempt;
bool dq_attempt_next(dureq_str *rest, dq_attempt *ret);
/* Writes to out the tail with one run more, thinned to what is kept; *ret_n is the new count. */
void dq_attempts_add(dq_buf *out, dureq_str tail, const dq_attempt *a, uint8_t *ret_n);

/* ---- record and row ---- */
int dq_record_split(dureq_str record, dureq_str *ret_m, dureq_str *ret_j);
void dq_record_pack(dq_buf *out, dureq_str m, dureq_str j);

typedef struct dq_row {
    dureq_job_state state;
    bool skipped, has_logs;
    int64_t started_at_ms, ran_ms, finished_at_ms; /* started 0: never */
    uint64_t session;
    dureq_str result, result_type; /* result_type empty: no result */
    dureq_str reason;
    dureq_str m, j;
} dq_row;
/* Everything of a row but `j` itself (which the caller appends or sends after): */
void dq_row_pack_head(dq_buf *out, const dq_row *row, const dq_id *id);
int dq_row_unpack(dureq_str bytes, const dq_id *id, dq_row *ret);

/* ---- to the public struct: fills *ret from parts, lists allocated in the arena, all views into the inputs or the arena ---- */
typedef struct dq_job_parts {
    dq_id id;
    dureq_job_state state;
    dureq_str lane_name; /* queue|type|version */
    dureq_str m;         /* may be empty */
    dureq_str j;
    const dq_row *row;     /* NULL unless ended */
    dureq_str blob;        /* payload kept beside, when fetched */
    int64_t due_at_ms;     /* score of due or paused (INT64_MAX: never) */
    dureq_str node_id;     /* of the session that runs or ran it */
    int64_t started_at_ms; /* of a running job whose start is known */
    dureq_str progress;
} dq_job_parts;
/* node_of(session) gives a node id or an empty view; may be NULL. */
int dq_job_from_parts(const dq_job_parts *p, dureq_str (*node_of)(uint64_t session, void *), void *node_of_data, dq_arena *a,
                      dureq_job *ret, dureq_error *err);
/* "queue|type|version" into its three. */
bool dq_lane_name_split(dureq_str lane_name, dureq_str *ret_queue, dureq_str *ret_type, dureq_str *ret_version);
