/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DUREQ_CLIENT_H
#define DUREQ_CLIENT_H

/* A producer's and operator's connection to one dureq deployment (a Redis server and a key prefix).

   Every call may be made from any thread, several at once: calls made at the same time share round trips. Calls block
   until their answer or time-out, but are not to be made from within a dureq callback that says so. Times are
   milliseconds; `..._at_ms` is Unix time. Every fallible call returns 0 or a negative DUREQ_E code and fills `err` (may be
   NULL).

   A call whose reply was lost is repeated by the client after it reconnected, and never enqueues twice; when one round trip
   cannot find out what became of it, it answers DUREQ_EUNKNOWN. */

#include <dureq/job.h>
#include <dureq/log.h>
#include <dureq/queue.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct dureq_client dureq_client;

typedef struct dureq_client_options {
    size_t struct_size;
    const char *redis_url;      /* required: redis://, rediss:// or unix:// */
    const char *prefix;         /* NULL = "dureq" */
    int64_t timeout_ms;         /* of a call; 0 = 10 s, -1 = wait for ever */
    int64_t max_payload_bytes;  /* 0 = 1 MiB; at most 64 MiB */
    int32_t shards;             /* used when the prefix is new; 0 = 1 (a single server). At most 256 */
    bool allow_eviction;        /* accept a server whose maxmemory-policy is not noeviction */
    const char *client_name;    /* shown by CLIENT LIST; NULL = "dureq-client" */
    const char *actor;          /* who operates, for the audit; NULL = "lib" */
    dureq_log_fn log_fn;        /* NULL = silent */
    void *log_userdata;
    int32_t log_level;          /* 0 = info */
} dureq_client_options;

static inline dureq_client_options dureq_client_options_init(void)
{
    dureq_client_options o;
    memset(&o, 0, sizeof o);
    o.struct_size = sizeof o;
    return o;
}

/* Connect, check server and schema (see DUREQ_ETOOOLD, EPOLICY, ESCHEMA, EWRONGTYPE, EAUTH, EUNAVAILABLE), create the
   prefix when it is new. On success *ret is the caller's to destroy. */
DUREQ_API DUREQ_MUST_CHECK int dureq_client_create(const dureq_client_options *opts, dureq_client **ret, dureq_error *err);
/* Waits for calls under way in other threads. NULL is fine. */
DUREQ_API void dureq_client_destroy(dureq_client *client);

/* ---- enqueue ---- */

/* Accept one job. *ret (may be NULL) gets its id. DUREQ_EDUPLICATE: *ret is the living job that holds the unique key.
   A repeated request id gives 0 and the first call's id. */
DUREQ_API DUREQ_MUST_CHECK int dureq_client_enqueue(dureq_client *client, const dureq_job_spec *spec, dureq_job_id *ret,
                                                    dureq_error *err);

typedef struct dureq_enqueue_result {
    int code;        /* 0, or why this item was refused */
    dureq_job_id id; /* of the job; for DUREQ_EDUPLICATE of the living one */
    bool existing;   /* code 0, but the request id had been used before */
    bool scheduled;  /* accepted for later */
    char msg[96];    /* for code < 0: one sentence */
} dureq_enqueue_result;

/* Accept any number of jobs, each by itself, in order; chunks of 256 jobs or 256 KiB are one round trip each. 0 when every
   item has an answer in results[i]; negative when the call as a whole failed (then results[i].code is negative for
   every item without a known answer). */
DUREQ_API DUREQ_MUST_CHECK int dureq_client_enqueue_many(dureq_client *client, const dureq_job_spec *specs, size_t n,
                                                         dureq_enqueue_result *results, dureq_error *err);

/* ---- read ---- */

/* One job in any state; DUREQ_ENOTFOUND. *ret holds one item. */
DUREQ_API DUREQ_MUST_CHECK int dureq_client_get_job(dureq_client *client, const char *id, dureq_job_list **ret,
                                                    dureq_error *err);

typedef struct dureq_job_filter {
    size_t struct_size;
    const dureq_job_state *states; /* n_states of them; none: all */
    size_t n_states;
    const char *task_type;   /* may end in '*'; NULL: any */
    const char *queue;       /* NULL: any */
    const char *tag;         /* NULL: any */
    const char *text;        /* substring of id, type, tag or payload, ASCII case ignored; NULL: any */
    dureq_str unique_key;    /* empty: any */
    int64_t since_ms, until_ms; /* created within [since, until); 0: open */
    bool oldest_first;       /* newest first unless set; within each shard, state and lane (queue and type), which come one after the other */
    int32_t limit;           /* 1 to 1000; 0 = 10 */
    const char *cursor;      /* next_cursor of the page before; NULL: first page */
    bool with_payload;       /* else payloads over 4 KiB are left out */
} dureq_job_filter;

static inline dureq_job_filter dureq_job_filter_init(void)
{
    dureq_job_filter f;
    memset(&f, 0, sizeof f);
    f.struct_size = sizeof f;
    return f;
}

DUREQ_API DUREQ_MUST_CHECK int dureq_client_list_jobs(dureq_client *client, const dureq_job_filter *filter,
                                                      dureq_job_list **ret, dureq_error *err);

/* Wait until the job is completed, dead or cancelled: *ret holds it then, result and error included. DUREQ_ETIMEOUT;
   DUREQ_ENOTFOUND also when it is purged meanwhile. Of a job that is not kept only id and state are known. timeout_ms -1: for ever. */
DUREQ_API DUREQ_MUST_CHECK int dureq_client_wait(dureq_client *client, const char *id, int64_t timeout_ms,
                                                 dureq_job_list **ret, dureq_error *err);

/* The last 64 KiB of a job's log lines. *ret is NUL-ended, freed with dureq_free. */
DUREQ_API DUREQ_MUST_CHECK int dureq_client_get_logs(dureq_client *client, const char *id, char **ret, size_t *ret_len,
                                                     dureq_error *err);
DUREQ_API void dureq_free(void *ptr);

/* ---- operate: DUREQ_ENOTFOUND, DUREQ_ECONFLICT in a wrong state ---- */

DUREQ_API DUREQ_MUST_CHECK int dureq_client_cancel(dureq_client *client, const char *id, const char *reason, dureq_error *err);
DUREQ_API DUREQ_MUST_CHECK int dureq_client_cancel_by_unique_key(dureq_client *client, dureq_str key, dureq_error *err);
/* Dead and cancelled jobs start anew, attempts from 0; completed ones only with force. DUREQ_EDUPLICATE when its unique key
   is taken by now. */
DUREQ_API DUREQ_MUST_CHECK int dureq_client_retry(dureq_client *client, const char *id, bool force, dureq_error *err);
DUREQ_API DUREQ_MUST_CHECK int dureq_client_delete(dureq_client *client, const char *id, dureq_error *err); /* ended jobs */
DUREQ_API DUREQ_MUST_CHECK int dureq_client_run_now(dureq_client *client, const char *id, dureq_error *err); /* scheduled, retrying, pending */
DUREQ_API DUREQ_MUST_CHECK int dureq_client_reschedule(dureq_client *client, const char *id, int64_t run_at_ms, dureq_error *err); /* scheduled, retrying, pending */
DUREQ_API DUREQ_MUST_CHECK int dureq_client_pause(dureq_client *client, const char *id, dureq_error *err);  /* pending, scheduled, retrying */
DUREQ_API DUREQ_MUST_CHECK int dureq_client_resume(dureq_client *client, const char *id, dureq_error *err); /* paused */
DUREQ_API DUREQ_MUST_CHECK int dureq_client_update_payload(dureq_client *client, const char *id, dureq_str payload,
                                                           const char *content_type, dureq_error *err); /* not running, not ended */

/* ---- keys ---- */

/* The job that holds a unique key; DUREQ_ENOTFOUND. *ret_ttl_ms (may be NULL): -1 until the job ends. */
DUREQ_API DUREQ_MUST_CHECK int dureq_client_get_unique_key(dureq_client *client, dureq_str key, dureq_job_id *ret,
                                                           int64_t *ret_ttl_ms, dureq_error *err);
DUREQ_API DUREQ_MUST_CHECK int dureq_client_delete_unique_key(dureq_client *client, dureq_str key, dureq_error *err);

/* ---- queues ---- */

DUREQ_API DUREQ_MUST_CHECK int dureq_client_list_queues(dureq_client *client, dureq_queue_list **ret, dureq_error *err);
/* Create or change. With only_if_missing an existing queue is left as it is; *ret_differs (may be NULL) then tells
   whether it differs. */
DUREQ_API DUREQ_MUST_CHECK int dureq_client_set_queue(dureq_client *client, const char *name, const dureq_queue_options *opts,
                                                      bool only_if_missing, bool *ret_differs, dureq_error *err);
DUREQ_API DUREQ_MUST_CHECK int dureq_client_pause_queue(dureq_client *client, const char *name, dureq_error *err);
DUREQ_API DUREQ_MUST_CHECK int dureq_client_resume_queue(dureq_client *client, const char *name, dureq_error *err);
/* Delete its waiting jobs in bounded steps; *ret_n (may be NULL) gets how many. Running ones are not touched. */
DUREQ_API DUREQ_MUST_CHECK int dureq_client_purge_queue(dureq_client *client, const char *name, int64_t *ret_n, dureq_error *err);

/* ---- nodes, counts ---- */

typedef struct dureq_node_info {
    dureq_str node_id;
    dureq_str task_types; /* comma-separated, patterns with '*' */
    dureq_str version, host;
    int64_t pid;
    int64_t started_at_ms, last_heartbeat_ms;
    int32_t concurrency, running; /* running: slots that are taken */
    int32_t stuck;                /* of them, by handlers that did not end behind their grace */
    bool draining;
    bool ticker; /* promotes and reaps for at least one shard */
} dureq_node_info;

typedef struct dureq_node_list {
    dureq_node_info *items;
    size_t n;
    void *owner;
} dureq_node_list;

DUREQ_API void dureq_node_list_destroy(dureq_node_list *list);
DUREQ_API DUREQ_MUST_CHECK int dureq_client_list_nodes(dureq_client *client, dureq_node_list **ret, dureq_error *err);
DUREQ_API DUREQ_MUST_CHECK int dureq_client_drain_node(dureq_client *client, const char *node_id, bool drain, dureq_error *err);

typedef struct dureq_counts {
    int64_t pending, scheduled, running, retrying, paused, completed, dead, cancelled;
    int64_t nodes;
    int64_t history_bytes;
} dureq_counts;

DUREQ_API DUREQ_MUST_CHECK int dureq_client_count(dureq_client *client, dureq_counts *ret, dureq_error *err);

#ifdef __cplusplus
}
#endif
#endif
