/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DUREQ_NODE_H
#define DUREQ_NODE_H

/* A node runs handlers for jobs: create, register handlers, start; later drain or stop; destroy. One loop thread owns its
   sockets and state; handlers run on pool threads, with 1 MiB of stack unless stack_size says otherwise.

   Signals: the loop thread blocks all of them. Handler threads have the signal mask of the thread that called
   dureq_node_create, so programs that a handler starts inherit nothing of ours, and a crash reporter of yours works: each
   handler thread has an alternate stack of 64 KiB, so a handler for SIGSEGV with SA_ONSTACK runs even when the stack
   overflowed. Where nobody has one, a line on standard error names the task type whose handler overflowed its stack, and
   the process ends as it would have.

   Threads: create, use, handle, start, stop and destroy are for one thread at a time, and never for a handler or callback.
   The others may be called from any thread between start and stop.

   A job runs at least once: a handler that was lost half way (its process died, its lease ran out) runs again elsewhere.

   Example: a worker until standard input ends.

       static int greet(dureq_run *run, void *userdata)
       {
           dureq_str name = dureq_run_payload(run);
           char text[64];

           (void)userdata;
           if (name.len > 40)
               return dureq_run_fail(run, 0, "the name is too long");
           snprintf(text, sizeof text, "hello, " DUREQ_STR_FMT, DUREQ_STR_ARG(name));
           return dureq_run_set_result(run, dureq_str_from(text), "text/plain");
       }

       static int work(dureq_error *err)
       {
           dureq_node_options opts = dureq_node_options_init();
           dureq_node *node = NULL;
           int rc;

           opts.redis_url = "redis://localhost:6379";
           rc = dureq_node_create(&opts, &node, err);
           if (rc == 0)
               rc = dureq_node_handle(node, "greet", greet, NULL, NULL, err);
           if (rc == 0)
               rc = dureq_node_start(node, err);
           while (rc == 0 && getchar() != EOF)
               ;
           dureq_node_destroy(node);
           return rc;
       }
*/

#include <dureq/client.h>
#include <dureq/job.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct dureq_node dureq_node;
typedef struct dureq_run dureq_run;

/* ---- inside a handler ---- */

/* Run one job. Called on a pool thread, several at once; may block, and may call any client and dureq_node_client's. `run`
   and everything got from it is valid until it returns. Return 0 or more for done (the default result is empty), a negative
   code for a retryable failure. To say more, call one of the outcomes below and return what it returned; the last one
   counts, not the code.

   When it is told to stop (dureq_run_is_cancelled) it has grace_ms to return. Later it is given up: its outcome is
   recorded without it, and another thread takes its place. One that is still running when dureq_node_stop returns must not
   touch its run any more. */
typedef int (*dureq_handler_fn)(dureq_run *run, void *userdata);

/* What it runs; the handler's thread only. No texts are NULL. */
DUREQ_API const char *dureq_run_job_id(const dureq_run *run);
DUREQ_API const char *dureq_run_id(const dureq_run *run);  /* "<job id>.<run>" */
DUREQ_API int32_t dureq_run_attempt(const dureq_run *run); /* from 1: attempts that ended, and this one */
DUREQ_API int32_t dureq_run_max_attempts(const dureq_run *run);
DUREQ_API const char *dureq_run_task_type(const dureq_run *run);
DUREQ_API const char *dureq_run_queue(const dureq_run *run);
DUREQ_API int32_t dureq_run_priority(const dureq_run *run); /* as given, else 5 */
DUREQ_API const char *dureq_run_node_id(const dureq_run *run);
DUREQ_API dureq_str dureq_run_payload(const dureq_run *run);
DUREQ_API const char *dureq_run_content_type(const dureq_run *run);
DUREQ_API dureq_str dureq_run_header(const dureq_run *run, const char *name);       /* empty when absent */
DUREQ_API size_t dureq_run_headers(const dureq_run *run, const dureq_header **ret); /* how many; ret may be NULL */
DUREQ_API int64_t dureq_run_deadline_at_ms(const dureq_run *run);                   /* 0: none */
DUREQ_API int64_t dureq_run_enqueued_at_ms(const dureq_run *run);
/* Of an occurrence of a schedule: true, its schedule, and when it came round, without jitter. Both may be NULL. */
DUREQ_API bool dureq_run_schedule(const dureq_run *run, dureq_job_id *ret_id, int64_t *ret_scheduled_at_ms);
/* Of a task of a workflow: true, and its workflow, whose input dureq_client_get_workflow gives, as by the node's client. */
DUREQ_API bool dureq_run_workflow(const dureq_run *run, dureq_job_id *ret_id);

/* These five may also be called from threads that the handler joins before it returns. */

/* Progress (JSON, copied): seen by readers within a second; also a sign of life. DUREQ_EINVAL: not JSON; DUREQ_ETOOLARGE:
   over 64 KiB. */
DUREQ_API int dureq_run_progress(dureq_run *run, dureq_str json);
/* A sign of life, for the job's heartbeat_timeout_ms. Costs next to nothing. */
DUREQ_API void dureq_run_heartbeat(dureq_run *run);
/* True once the job was cancelled or timed out, this node lost it, or its stop has no more time: return soon. What you
   return counts in the last case only: done is done, anything else gives the job back without spending an attempt. */
DUREQ_API bool dureq_run_is_cancelled(const dureq_run *run);
/* Sleeps up to timeout_ms (-1: for ever) or until that is true, and returns it. */
DUREQ_API bool dureq_run_wait_cancelled(dureq_run *run, int64_t timeout_ms);
/* A line (cut at 4 KiB) of the job's log, of which the last 64 KiB are kept. */
DUREQ_API void dureq_run_log(dureq_run *run, const char *fmt, ...) DUREQ_PRINTF(2, 3);

/* The result (copied), for a job that is done; the last one counts. content_type NULL: JSON when it is, else bytes.
   DUREQ_ETOOLARGE: over DUREQ_RESULT_MAX; DUREQ_EINVAL: a content_type of 0 or over DUREQ_CONTENT_TYPE_MAX bytes. The
   handler's thread only. */
DUREQ_API int dureq_run_set_result(dureq_run *run, dureq_str result, const char *content_type);

/* Steps: parts of a handler that are done once, however often its job runs. What a step gave is kept with the job, and given back
   instead of doing it again, in whichever attempt and on whichever node.

   Example: whatever fails after the charge, and whichever node goes on, nobody is charged twice.

       static int charge(dureq_step *step, void *userdata)
       {
           (void)userdata;
           printf("charging, once: %s\n", dureq_step_idempotency_key(step));
           return dureq_step_set_result(step, dureq_str_from("receipt 17"));
       }

       static int order(dureq_run *run, void *userdata)
       {
           dureq_error err = {0, 0, ""};
           char *receipt;
           int rc = dureq_run_step(run, "charge", charge, userdata, &receipt, NULL, &err);

           if (rc < 0)
               return dureq_run_retry(run, rc, "%s", err.msg);
           printf("send %s by mail\n", receipt);
           dureq_free(receipt);
           return 0;
       } */
typedef struct dureq_step dureq_step;
/* Does it, on the handler's thread. 0 or more: done. Negative: it failed, nothing is kept, and the next run does it again. */
typedef int (*dureq_step_fn)(dureq_step *step, void *userdata);

/* The same in each run of the job that comes to this step, so that whoever is asked twice can know: "dureq:<job id>:<n>:<key>", where n counts the
   repeats of the job. A run that went down within the step has not put its end on record: then the step is done again. */
DUREQ_API const char *dureq_step_idempotency_key(const dureq_step *step); /* valid until the step's function returns */
/* What it gives (copied); the last one counts. DUREQ_ETOOLARGE: over DUREQ_STEPS_BYTES_MAX. */
DUREQ_API int dureq_step_set_result(dureq_step *step, dureq_str result);

/* 0: it was done by this call; 1: it was done before; *ret (may be NULL) gets what it gave, NUL-ended, freed with dureq_free, and *ret_len (may be NULL)
   its length. Negative: what fn returned, or DUREQ_EFENCED: the job went on without this run, which should end; DUREQ_ECANCELLED: the run was told to
   stop; DUREQ_ELIMIT, DUREQ_ETOOLARGE: the job has DUREQ_STEPS_MAX steps, or they are over DUREQ_STEPS_BYTES_MAX; DUREQ_EREDISOOM; DUREQ_ECONFLICT: nodes
   of an older version are alive, which err names; DUREQ_ENOMEM; DUREQ_EINVAL. While the server is away it waits, until the run is told to stop. Two
   round trips for a step that is done, one for one that was. The key has 1 to DUREQ_KEY_MAX bytes. A repeat of the job begins all steps anew. The
   handler's thread only; not within a step. */
DUREQ_API DUREQ_MUST_CHECK int dureq_run_step(dureq_run *run, const char *key, dureq_step_fn fn, void *userdata, char **ret,
                                              size_t *ret_len, dureq_error *err);

/* Outcomes; the handler's thread only. Each records what is given and returns what the handler is to return.
   Texts are copied: the message and `reason` (NULL: none) are kept up to 1 KiB, `detail` (may be empty), such as a
   backtrace, up to 8 KiB. `code` is yours (0 = DUREQ_EHANDLER).

       return dureq_run_fail(run, 0, "no customer '%s'", name); */
DUREQ_API int dureq_run_retry(dureq_run *run, int code, const char *fmt, ...) DUREQ_PRINTF(3, 4); /* dead after the last */
DUREQ_API int dureq_run_fail(dureq_run *run, int code, const char *fmt, ...) DUREQ_PRINTF(3, 4);  /* final: dead */
/* The same with a message as it is, and a detail. */
DUREQ_API int dureq_run_retry_detail(dureq_run *run, int code, const char *msg, dureq_str detail);
DUREQ_API int dureq_run_fail_detail(dureq_run *run, int code, const char *msg, dureq_str detail);
DUREQ_API int dureq_run_rate_limited(dureq_run *run, int64_t after_ms,
                                     const char *msg);            /* no attempt spent; 0 = policy's delay */
DUREQ_API int dureq_run_skip(dureq_run *run, const char *reason); /* completed, marked skipped */
DUREQ_API int dureq_run_pause(dureq_run *run, int64_t resume_after_ms, const char *reason); /* 0 = until resumed */
/* Run again after after_ms (0: at once), attempts counted from zero, with a new payload (ptr NULL: the same one) as checkpoint.
   The attempt fails, with what this returns: DUREQ_ETOOLARGE: the payload is over the node's max_payload_bytes; DUREQ_ENOMEM. */
DUREQ_API int dureq_run_repeat(dureq_run *run, int64_t after_ms, dureq_str new_payload);
/* The same, but at most `limit` times in a row (1 to 255, more is 255; 0 = no limit): beyond, the attempt fails for good. */
DUREQ_API int dureq_run_repeat_limited(dureq_run *run, int64_t after_ms, dureq_str new_payload, int32_t limit);

/* ---- registering ---- */

/* What a middleware is around: the next one, or the handler. Returns what that returned. `next_data` is valid until the
   middleware returns. */
typedef int (*dureq_next_fn)(dureq_run *run, void *next_data);
/* Around a handler: calls next(run, next_data), before and after which it may act. Called on the pool thread that runs the
   handler and under the same rules; what it returns counts as the handler's. Not calling next leaves the handler out. */
typedef int (*dureq_middleware_fn)(dureq_run *run, dureq_next_fn next, void *next_data, void *userdata);

typedef struct dureq_middleware {
    dureq_middleware_fn fn;
    void *userdata;
} dureq_middleware;

typedef struct dureq_handler_options {
    size_t struct_size;
    int32_t concurrency;                    /* at a time on this node; 0 = the node's */
    int64_t timeout_ms;                     /* of a run; 0 = none. The job's own goes first */
    int64_t grace_ms;                       /* between telling it to stop and giving it up; 0 = 5 s */
    const dureq_retry_policy *retry_policy; /* for jobs without one; NULL: the queue's */
    const dureq_middleware *middleware;     /* n_middleware of them, run in this order inside the node's; copied */
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

/* What became of jobs on this node. A run that was given back, rate limited or repeated has no event of its end, nor has a
   job that ends without a run here. JOB_RESUMED is told by one node for each shard, wherever the job will run, and may be
   missed while a connection is broken; of the job it may know the id only: other texts are "", attempt is 0. */
typedef enum dureq_node_event_kind {
    DUREQ_NODE_JOB_STARTED = 1,   /* its handler is about to be called; on record within a heartbeat, or with its end */
    DUREQ_NODE_JOB_COMPLETED = 2, /* skipped ones too */
    DUREQ_NODE_JOB_FAILED = 3,    /* an attempt failed; the job will be retried */
    DUREQ_NODE_JOB_DEAD = 4,
    DUREQ_NODE_JOB_PAUSED = 5,
    DUREQ_NODE_JOB_RESUMED = 6,  /* by hand, or its pause is over */
    DUREQ_NODE_JOB_CANCELLED = 7 /* by somebody, while this node had it; perhaps before it was started */
} dureq_node_event_kind;

typedef struct dureq_node_event {
    dureq_node_event_kind kind;
    const char *job_id, *run_id, *task_type, *queue;
    int32_t attempt;   /* as dureq_run_attempt */
    int code;          /* of FAILED and DEAD: what the handler said or returned; else 0 */
    const char *error; /* of FAILED and DEAD: the message, of PAUSED the reason; else "" */
    int64_t ran_ms;    /* of a run's end: how long it ran; else 0 */
} dureq_node_event;

/* Called on the loop thread, after the change is on record in Redis, except for JOB_STARTED. The event and its texts are
   valid until it returns. It must not block: nothing else of the node moves meanwhile. It must not stop or destroy
   the node; drain, stop_now and get_stats are fine. The node's own client refuses each call here (DUREQ_EDEADLK). */
typedef void (*dureq_node_event_fn)(const dureq_node_event *event, void *userdata);

typedef struct dureq_node_options {
    size_t struct_size;
    const char *redis_url;        /* required: redis://, rediss:// or unix:// */
    const char *prefix;           /* NULL = "dureq" */
    const char *node_id;          /* a name; NULL = host name and random letters */
    int32_t concurrency;          /* jobs at a time; 0 = 100, at most 65,536 */
    int32_t threads;              /* pool threads at most; 0 = concurrency */
    int64_t lease_ms;             /* unseen so long, its jobs run elsewhere; 0 = 5 s; 200 ms to 1 h */
    int64_t shutdown_timeout_ms;  /* dureq_node_stop waits so long for handlers; 0 = 30 s */
    int32_t max_crashes;          /* a job that took its process down so often is dead; 0 = 3, at most 255 */
    int64_t max_payload_bytes;    /* of its client, and of repeats; 0 = 1 MiB, at most 64 MiB */
    int32_t shards;               /* used when the prefix is new; 0 = 1, at most 256 */
    int64_t history_max_bytes;    /* cap of kept rows; 0 = a quarter of maxmemory, else 1 GiB; -1 = none */
    bool allow_eviction;          /* accept a server whose maxmemory-policy is not noeviction */
    bool never_leads;             /* leave promoting and reaping to other nodes */
    dureq_node_event_fn on_event; /* NULL: none */
    void *on_event_userdata;
    dureq_log_fn log_fn; /* NULL = silent */
    void *log_userdata;
    int32_t log_level; /* a dureq_log_level; 0 = info */
    /* How long things are kept; at most 100 years. The node that is a shard's leader decides: give all nodes the same. */
    int64_t dead_retention_ms;          /* dead jobs; 0 = 30 d, -1 = for ever */
    int64_t audit_retention_ms;         /* audit entries; 0 = 30 d, -1 = for ever */
    int64_t stats_minutes_retention_ms; /* statistics by minute; 0 = 48 h, at least 1 h */
    int64_t stats_hours_retention_ms;   /* by hour; 0 = 30 d, at least 1 d */
    int64_t stats_days_retention_ms;    /* by day; 0 = 400 d, at least 1 d */
    int64_t stack_size;                 /* bytes of a handler thread's stack; 0 = 1 MiB; 64 KiB to 1 GiB */
} dureq_node_options;

static inline dureq_node_options dureq_node_options_init(void)
{
    dureq_node_options o;
    memset(&o, 0, sizeof o);
    o.struct_size = sizeof o;
    return o;
}

/* Nothing is connected yet. DUREQ_EIO: no descriptor is left. */
DUREQ_API DUREQ_MUST_CHECK int dureq_node_create(const dureq_node_options *opts, dureq_node **ret, dureq_error *err);
/* A middleware for all handlers; the first one is outermost. DUREQ_ECONFLICT when the node is started. */
DUREQ_API DUREQ_MUST_CHECK int dureq_node_use(dureq_node *node, dureq_middleware_fn fn, void *userdata, dureq_error *err);
/* `task_type` is a name, or a pattern ending in '*': exact goes first, then the longest prefix. opts NULL: all defaults.
   DUREQ_EDUPLICATE when it is taken, DUREQ_ECONFLICT when the node is started. */
DUREQ_API DUREQ_MUST_CHECK int dureq_node_handle(dureq_node *node, const char *task_type, dureq_handler_fn fn, void *userdata,
                                                 const dureq_handler_options *opts, dureq_error *err);
/* Connect, check, open sessions, begin to take jobs. Waits at most 10 s for the server, then fails with DUREQ_EUNAVAILABLE
   or what the server said; at once with DUREQ_ETOOOLD, EPOLICY, ESCHEMA, EWRONGTYPE, EAUTH, EPERM, EPROTO, EREDIS.
   DUREQ_EIO: no thread; DUREQ_EINVAL: no handler is registered, or URL or prefix are wrong; DUREQ_ECONFLICT: it was started
   before. A node that failed to start may be started again, one that was stopped may not. */
DUREQ_API DUREQ_MUST_CHECK int dureq_node_start(dureq_node *node, dureq_error *err);
/* Take no more jobs, finish what runs; false: take them again. Returns at once. DUREQ_ECONFLICT when the node is not
   started. */
DUREQ_API int dureq_node_drain(dureq_node *node, bool drain);
/* Drain, wait up to shutdown_timeout_ms for handlers, tell those that still run to stop and wait for their grace, give
   unfinished jobs back without spending an attempt, close the session. No callback runs after it, but handlers that were
   given up. Who waits in dureq_client_wait with the node's client is told DUREQ_ECLOSED; other calls on it, but those of
   handlers, must have returned before. DUREQ_ECONFLICT when the node is not started; nothing else fails. */
DUREQ_API int dureq_node_stop(dureq_node *node, dureq_error *err);
/* For the main thread of a service: waits until SIGTERM or SIGINT, then drains and stops as dureq_node_stop; a second
   signal is dureq_node_stop_now. While it waits it handles the two signals for the whole process; before it returns it gives
   them back to whoever handled them. DUREQ_ECONFLICT when the node is not started, or another node of this process waits
   like this; DUREQ_EIO. */
DUREQ_API DUREQ_MUST_CHECK int dureq_node_run_until_signal(dureq_node *node, dureq_error *err);
/* Ask a stop in progress (or to come) to tell handlers to stop at once. Returns at once; any thread, and safe in a signal
   handler, from create until destroy. */
DUREQ_API void dureq_node_stop_now(dureq_node *node);
/* Stops when needed. NULL is fine. */
DUREQ_API void dureq_node_destroy(dureq_node *node);
/* A client that shares the node's connections; lent until stop, NULL before start and after stop. Its calls take at most
   10 s. */
DUREQ_API dureq_client *dureq_node_client(dureq_node *node);
DUREQ_API const char *dureq_node_id(const dureq_node *node); /* lent until destroy */

/* Of this node, since start; counters but `unsent` only grow. */
typedef struct dureq_node_stats {
    int32_t running, concurrency, stuck; /* stuck: abandoned handlers that still hold their thread */
    uint64_t started;                    /* runs */
    uint64_t completed, dead, cancelled; /* jobs that ended here */
    uint64_t failed;                     /* attempts that will be tried again */
    uint64_t returned;                   /* jobs given back without their end */
    uint64_t lost;                       /* jobs that went elsewhere: the lease was over */
    uint64_t unsent;                     /* runs that ended here, not yet known to be recorded: goes down again */
    bool connected, draining;
} dureq_node_stats;
/* Before start all 0 but concurrency; after stop what it was at the end. Any thread, from create until destroy. */
DUREQ_API void dureq_node_get_stats(dureq_node *node, dureq_node_stats *ret);

#ifdef __cplusplus
}
#endif
#endif
