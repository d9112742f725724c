/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DUREQ_NODE_H
#define DUREQ_NODE_H

/* A node runs handlers for jobs. One loop thread owns its sockets and state; handlers run on pool threads.

   create, register handlers, start; later drain or stop; destroy. */

#include <dureq/client.h>
#include <dureq/job.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct dureq_node dureq_node;
typedef struct dureq_task dureq_task;

/* ---- inside a handler ---- */

/* Run one job. Called on a pool thread; may block and may call the client. Everything got from `task` is valid until it returns.
   Return 0 for done (the default result is empty), or a negative code for a retryable failure. To say more, call one of
   dureq_task_fail... and return what it returned. */
typedef int (*dureq_handler_fn)(dureq_task *task, void *userdata);

DUREQ_API const char *dureq_task_job_id(const dureq_task *task);
DUREQ_API const char *dureq_task_run_id(const dureq_task *task); /* "<job id>.<run>" */
DUREQ_API int32_t dureq_task_attempt(const dureq_task *task);    /* counts from 1 */
DUREQ_API int32_t dureq_task_max_attempts(const dureq_task *task);
DUREQ_API const char *dureq_task_type(const dureq_task *task);
DUREQ_API const char *dureq_task_queue(const dureq_task *task);
DUREQ_API int32_t dureq_task_priority(const dureq_task *task);
DUREQ_API const char *dureq_task_node_id(const dureq_task *task);
DUREQ_API dureq_str dureq_task_payload(const dureq_task *task);
DUREQ_API const char *dureq_task_content_type(const dureq_task *task);
DUREQ_API dureq_str dureq_task_header(const dureq_task *task, const char *name); /* empty when absent */
DUREQ_API size_t dureq_task_headers(const dureq_task *task, const dureq_header **ret);
DUREQ_API int64_t dureq_task_deadline_at_ms(const dureq_task *task); /* 0: none */
DUREQ_API int64_t dureq_task_enqueued_at_ms(const dureq_task *task);

/* Progress (JSON, at most 64 KiB): seen by readers within a second; also a sign of life. DUREQ_EINVAL when not JSON. */
DUREQ_API int dureq_task_progress(dureq_task *task, dureq_str json);
DUREQ_API void dureq_task_heartbeat(dureq_task *task);
/* True once the job was cancelled, timed out, or this node lost it: stop soon, what you return no longer counts. */
DUREQ_API bool dureq_task_is_cancelled(const dureq_task *task);
/* Sleeps up to timeout_ms (-1: until cancelled). True when cancelled. */
DUREQ_API bool dureq_task_wait_cancelled(dureq_task *task, int64_t timeout_ms);
/* The result (copied; at most 1 MiB, else DUREQ_ETOOLARGE). content_type NULL: JSON when it is, else bytes. */
DUREQ_API int dureq_task_set_result(dureq_task *task, dureq_str result, const char *content_type);
/* A line kept with the run; the last 64 KiB stay. */
DUREQ_API void dureq_task_log(dureq_task *task, const char *fmt, ...) DUREQ_PRINTF(2, 3);

/* Outcomes. Each records what is given and returns what the handler is to return. Texts are copied. `code` is yours (0 =
   DUREQ_EHANDLER); `detail` (may be empty) is kept up to 8 KiB. */
DUREQ_API int dureq_task_retry(dureq_task *task, int code, const char *msg, dureq_str detail); /* spends an attempt */
DUREQ_API int dureq_task_fail(dureq_task *task, int code, const char *msg, dureq_str detail);  /* final: dead */
DUREQ_API int dureq_task_rate_limited(dureq_task *task, int64_t after_ms, const char *msg);    /* no attempt spent; 0 = the policy's delay */
DUREQ_API int dureq_task_skip(dureq_task *task, const char *reason);                           /* completed, marked skipped */
DUREQ_API int dureq_task_pause(dureq_task *task, int64_t resume_after_ms, const char *reason); /* 0 = until resumed */
/* Run again, attempts anew, with a new payload (ptr NULL: the same one) as checkpoint. */
DUREQ_API int dureq_task_repeat(dureq_task *task, int64_t after_ms, dureq_str new_payload);
/* The same, but at most `limit` times in a row (1 to 255; 0 = no limit): beyond, the attempt fails for good. */
DUREQ_API int dureq_task_repeat_limited(dureq_task *task, int64_t after_ms, dureq_str new_payload, int32_t limit);

/* ---- registering ---- */

/* Around a handler: call next(task, next_data), before and after which it may act. */
typedef int (*dureq_next_fn)(dureq_task *task, void *next_data);
typedef int (*dureq_middleware_fn)(dureq_task *task, dureq_next_fn next, void *next_data, void *userdata);

typedef struct dureq_middleware {
    dureq_middleware_fn fn;
    void *userdata;
} dureq_middleware;

typedef struct dureq_handler_options {
    size_t struct_size;
    int32_t concurrency;      /* at a time on this node; 0 = the node's */
    int64_t timeout_ms;       /* of an attempt; 0 = none. The job's own goes first */
    int64_t grace_ms;         /* between telling and abandoning or killing; 0 = 5 s */
    const dureq_retry_policy *retry_policy; /* for jobs without one */
    const dureq_middleware *middleware; /* run in this order inside the node's */
    size_t n_middleware;
} dureq_handler_options;

static inline dureq_handler_options dureq_handler_options_init(void)
{
    dureq_handler_options o;
    memset(&o, 0, sizeof o);
    o.struct_size = sizeof o;
    return o;
}

/* ---- life ---- */

typedef enum dureq_node_event_kind {
    DUREQ_NODE_JOB_STARTED = 1,
    DUREQ_NODE_JOB_COMPLETED = 2,
    DUREQ_NODE_JOB_FAILED = 3, /* an attempt failed; the job will be retried */
    DUREQ_NODE_JOB_DEAD = 4,
    DUREQ_NODE_JOB_PAUSED = 5,
    DUREQ_NODE_JOB_RESUMED = 6,
    DUREQ_NODE_JOB_CANCELLED = 7
} dureq_node_event_kind;

typedef struct dureq_node_event {
    dureq_node_event_kind kind;
    const char *job_id, *run_id, *task_type, *queue;
    int32_t attempt;
    int code;
    const char *error; /* never NULL */
} dureq_node_event;

/* On the loop thread, after the change is recorded in Redis; must not block and must not call the client. */
typedef void (*dureq_node_event_fn)(const dureq_node_event *event, void *userdata);

typedef struct dureq_node_options {
    size_t struct_size;
    const char *redis_url;       /* required */
    const char *prefix;          /* NULL = "dureq" */
    const char *node_id;         /* NULL = host name and random letters */
    int32_t concurrency;         /* jobs at a time; 0 = 100, at most 65,536 */
    int32_t threads;             /* pool threads at most; 0 = concurrency */
    int64_t lease_ms;            /* 0 = 5 s; at least 200 ms */
    int64_t shutdown_timeout_ms; /* dureq_node_stop waits so long for handlers; 0 = 30 s */
    int32_t max_crashes;         /* a job that took its process down so often is dead; 0 = 3 */
    int64_t max_payload_bytes;   /* of its client; 0 = 1 MiB */
    int32_t shards;              /* used when the prefix is new; 0 = 1 */
    int64_t history_max_bytes;   /* cap of kept rows; 0 = a quarter of maxmemory, else 1 GiB; -1 = none */
    bool allow_eviction;
    bool no_ticker;              /* leave promoting and reaping to other nodes */
    dureq_node_event_fn on_event; /* NULL: none */
    void *on_event_userdata;
    dureq_log_fn log_fn; /* NULL = silent */
    void *log_userdata;
    int32_t log_level; /* 0 = info */
} dureq_node_options;

static inline dureq_node_options dureq_node_options_init(void)
{
    dureq_node_options o;
    memset(&o, 0, sizeof o);
    o.struct_size = sizeof o;
    return o;
}

/* Nothing is connected yet. On success *ret is the caller's to destroy. */
DUREQ_API DUREQ_MUST_CHECK int dureq_node_create(const dureq_node_options *opts, dureq_node **ret, dureq_error *err);
/* For all handlers; the first one is outermost. Before start. */
DUREQ_API DUREQ_MUST_CHECK int dureq_node_use(dureq_node *node, dureq_middleware_fn fn, void *userdata, dureq_error *err);
/* `task_type` exact, or a pattern ending in '*': exact goes first, then the longest prefix. DUREQ_EDUPLICATE when taken.
   Before start. */
DUREQ_API DUREQ_MUST_CHECK int dureq_node_handle(dureq_node *node, const char *task_type, dureq_handler_fn fn, void *userdata,
                                                 const dureq_handler_options *opts, dureq_error *err);
/* Connect, check, open sessions, begin to take jobs. Waits at most 10 s for the server. */
DUREQ_API DUREQ_MUST_CHECK int dureq_node_start(dureq_node *node, dureq_error *err);
/* Take no more jobs, finish what runs; undrain takes them again. Returns at once. */
DUREQ_API int dureq_node_drain(dureq_node *node, bool drain);
/* Drain, wait up to shutdown_timeout_ms, give unfinished jobs back without spending an attempt, close the session. */
DUREQ_API int dureq_node_stop(dureq_node *node, dureq_error *err);
/* Ask a stop in progress (or to come) to give everything back at once. Safe in a signal handler. */
DUREQ_API void dureq_node_stop_now(dureq_node *node);
/* Stops when needed. NULL is fine. */
DUREQ_API void dureq_node_destroy(dureq_node *node);
/* A client that shares the node's connections; borrowed, valid until stop. NULL before start. For pool and caller threads. */
DUREQ_API dureq_client *dureq_node_client(dureq_node *node);
DUREQ_API const char *dureq_node_id(const dureq_node *node);

typedef struct dureq_node_stats {
    int32_t running, concurrency, stuck; /* stuck: abandoned handlers that still hold their thread */
    uint64_t started, completed, failed, dead, cancelled, returned, lost;
    uint64_t unsent; /* completions held while Redis is away */
    bool connected, draining;
} dureq_node_stats;
DUREQ_API void dureq_node_get_stats(dureq_node *node, dureq_node_stats *ret);

#ifdef __cplusplus
}
#endif
#endif
