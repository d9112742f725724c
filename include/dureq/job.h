/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DUREQ_JOB_H
#define DUREQ_JOB_H

/* Jobs: their ids, states, what a producer says of one, and what a reader gets back. Only plain memory: a spec borrows all
   that it points to, a list owns all that it points to until dureq_job_list_destroy. Nothing here is locked: one thread at
   a time, or readers only. <dureq/client.h> has the calls.

   A run is one start of a job; its id is "<job id>.<run>", and runs count from 1 as long as the job lives. An attempt is a
   run that counts against max_attempts: one that is done, failed or timed out. One that was rate limited, skipped, paused
   by its handler, repeated, cancelled, given back, or went down with its process is a run and no attempt.

   Example: a job for later, one at a time, with its own retries; and a job that was read.

       static dureq_job_spec nightly(dureq_job_options *o, dureq_retry_policy *policy)
       {
           dureq_job_spec spec = {"report.build", dureq_str_from("{\"pages\": 3}"), o};

           *policy = dureq_retry_policy_init();
           policy->max_attempts = 10;
           *o = dureq_job_options_init();
           o->delay_ms = 600000;
           o->unique_key = dureq_str_from("report");
           o->retry_policy = policy;
           return spec;
       }

       static void print_job(const dureq_job *job)
       {
           printf("%s %s, attempt %d: ", job->id.text, dureq_job_state_to_str(job->state), job->attempt);
           printf("%.*s\n", (int)job->last_error.len, job->last_error.ptr);
       }
*/

#include <dureq/error.h>
#include <dureq/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Limits. Names (task types, queues, tags, header names, node ids): [A-Za-z0-9_.:-], 1 to DUREQ_NAME_MAX
   bytes. Keys (unique, request): any bytes, 1 to DUREQ_KEY_MAX. Prefix: [A-Za-z0-9_.-]{1,64}. */
#define DUREQ_NAME_MAX            128
#define DUREQ_KEY_MAX             256
#define DUREQ_PREFIX_MAX          64
#define DUREQ_HEADERS_MAX         64
#define DUREQ_HEADER_VALUE_MAX    4096
#define DUREQ_TAGS_MAX            32
#define DUREQ_PAYLOAD_DEFAULT_MAX (1024 * 1024)
#define DUREQ_PAYLOAD_LIMIT_MAX   (64 * 1024 * 1024) /* what max_payload_bytes can be raised to */
#define DUREQ_RESULT_MAX          (1024 * 1024)
#define DUREQ_CONTENT_TYPE_MAX    128
#define DUREQ_STEPS_MAX           1000          /* of a job */
#define DUREQ_STEPS_BYTES_MAX     (1024 * 1024) /* their keys and results together, with 15 bytes each */

/* A job's id: 20 characters of base32hex ("0-9a-v"), NUL-ended. Ids sort by creation. */
#define DUREQ_JOB_ID_LEN 20
typedef struct dureq_job_id {
    char text[DUREQ_JOB_ID_LEN + 4];
} dureq_job_id;

/* X(number, NAME, text) */
#define DUREQ_JOB_STATE_MAP(X)   \
    X(0, PENDING, "pending")     \
    X(1, SCHEDULED, "scheduled") \
    X(2, RUNNING, "running")     \
    X(3, RETRYING, "retrying")   \
    X(4, PAUSED, "paused")       \
    X(5, COMPLETED, "completed") \
    X(6, DEAD, "dead")           \
    X(7, CANCELLED, "cancelled")

typedef enum dureq_job_state {
#define X(num, name, text) DUREQ_JOB_##name = num,
    DUREQ_JOB_STATE_MAP(X)
#undef X
} dureq_job_state;

/* Words are static texts, "unknown" for a number of no meaning; parsing fails with DUREQ_EINVAL for an unknown word. Any
   thread. */
DUREQ_API const char *dureq_job_state_to_str(dureq_job_state state);
/* "failed", the word of the Go version of dureq, is read as dead. */
DUREQ_API int dureq_job_state_parse(dureq_str text, dureq_job_state *ret);

/* How a run ended. X(number, NAME, text) */
#define DUREQ_OUTCOME_MAP(X)           \
    X(0, DONE, "done")                 \
    X(1, RETRY, "retry")               \
    X(2, FAIL, "fail")                 \
    X(3, RATE_LIMITED, "rate_limited") \
    X(4, SKIP, "skip")                 \
    X(5, PAUSE, "pause")               \
    X(6, REPEAT, "repeat")             \
    X(7, TIMED_OUT, "timed_out")       \
    X(8, CANCELLED, "cancelled")       \
    X(9, CRASHED, "crashed")

typedef enum dureq_outcome {
#define X(num, name, text) DUREQ_OUTCOME_##name = num,
    DUREQ_OUTCOME_MAP(X)
#undef X
} dureq_outcome;

DUREQ_API const char *dureq_outcome_to_str(dureq_outcome outcome);
DUREQ_API int dureq_outcome_parse(dureq_str text, dureq_outcome *ret);

/* Delay before attempt n+1 after n failures: initial * multiplier^(n-1), at most max_delay, then spread evenly over
   +-jitter. */
typedef struct dureq_retry_policy {
    size_t struct_size;
    int32_t max_attempts;                    /* 0 = 3; the first one counts; at most 10,000 */
    int64_t initial_delay_ms;                /* 0 = 5 s; -1 = none */
    int64_t max_delay_ms;                    /* 0 = 5 min; -1 = no cap */
    double multiplier;                       /* 0 = 2.0; 1 to 1000 */
    double jitter;                           /* 0 = 0.1; -1 = none; at most 1 */
    const char *const *non_retryable_errors; /* substrings of an error text that make it final; 1 to 256 bytes each */
    size_t n_non_retryable_errors;           /* at most 16 */
    int32_t pause_after_err_count;           /* 0 = never; pause the job after so many errors in a row */
    int64_t pause_retry_delay_ms;            /* 0 = until resumed by hand */
} dureq_retry_policy;

static inline dureq_retry_policy dureq_retry_policy_init(void)
{
    dureq_retry_policy p;
    memset(&p, 0, sizeof p);
    p.struct_size = sizeof p;
    return p;
}

typedef struct dureq_header {
    const char *name; /* NUL-ended */
    dureq_str value;  /* any bytes, at most DUREQ_HEADER_VALUE_MAX */
} dureq_header;

/* What a producer says of one job. No length may be over a hundred years. */
typedef struct dureq_job_options {
    size_t struct_size;
    const char *queue;         /* NULL: chosen by priority */
    int32_t priority;          /* 1 to 10; 0 = 5. Picks the queue that takes it, no place within: queues share by
                                  weight, a queue is first in, first out. Ignored when queue is given */
    int64_t delay_ms;          /* start no sooner than this from now; 0 = at once */
    int64_t run_at_ms;         /* start no sooner than this Unix time (by the server's clock); 0 = at once. Not with delay_ms */
    dureq_str unique_key;      /* empty: none. Refused with DUREQ_EDUPLICATE while a living job holds it */
    int64_t unique_for_ms;     /* 0 = until the job ends; else held for this time whatever happens to the job */
    dureq_str request_id;      /* empty: none. The same id again within its window answers with the same job */
    int64_t request_window_ms; /* 0 = 1 h */
    const dureq_header *headers;
    size_t n_headers; /* at most DUREQ_HEADERS_MAX */
    const char *const *tags;
    size_t n_tags;                          /* at most DUREQ_TAGS_MAX */
    const dureq_retry_policy *retry_policy; /* NULL: the handler's, else the queue's, else the default */
    int64_t timeout_ms;                     /* of each run; 0 = the handler's, else none */
    int64_t schedule_to_start_timeout_ms;   /* a job that waited longer is dead; 0 = none */
    int64_t heartbeat_timeout_ms;           /* the handler must give a sign of life so often; 0 = none */
    int32_t dlq_after;                      /* lowers max_attempts; 0 = not */
    int64_t retention_ms;     /* how long it is kept when completed or cancelled, rounded up to one of 20 lengths from
                                             10 s to 400 days, which is the longest; 0 = the queue's, -1 = not at all */
    const char *content_type; /* NULL: "application/json" when the payload is JSON, else "application/octet-stream" */
} dureq_job_options;

static inline dureq_job_options dureq_job_options_init(void)
{
    dureq_job_options o;
    memset(&o, 0, sizeof o);
    o.struct_size = sizeof o;
    return o;
}

typedef struct dureq_job_spec {
    const char *task_type;            /* required: a name */
    dureq_str payload;                /* any bytes, at most the client's max_payload_bytes */
    const dureq_job_options *options; /* NULL: all defaults */
} dureq_job_spec;

/* One run of a job, and how it ended. */
typedef struct dureq_attempt {
    int32_t attempt; /* the run's number: its id is "<job id>.<run>" */
    dureq_outcome outcome;
    int64_t started_at_ms, finished_at_ms;
    dureq_str node_id;
    int32_t code;     /* the code the handler gave, or DUREQ_E...; 0 = none */
    dureq_str error;  /* at most 1 KiB */
    dureq_str detail; /* such as a backtrace, at most 8 KiB; of a program: the end of its standard error */
    dureq_str output; /* of a program: the end of its standard output, at most 16 KiB */
} dureq_attempt;

/* A job as read back, valid as long as its list. Absent texts are empty views, absent times 0. */
typedef struct dureq_job {
    dureq_job_id id;
    dureq_job_state state;
    dureq_str task_type, queue, version;
    dureq_str payload, content_type;
    bool payload_omitted; /* too large for a list: get the job by itself */
    int32_t priority;     /* as given; 0 when none was */
    int32_t attempt;      /* attempts that ended */
    int32_t
        max_attempts; /* as its own policy and dlq_after say; 0: they do not, so its handler's, queue's or default policy counts */
    int32_t runs;     /* so far */
    int32_t crashes;  /* of these, that took their process down */
    int64_t created_at_ms, run_at_ms /* next start when scheduled or retrying */, started_at_ms, finished_at_ms, resume_at_ms;
    int64_t timeout_ms, schedule_to_start_timeout_ms, heartbeat_timeout_ms, retention_ms;
    int32_t dlq_after;
    dureq_str unique_key, request_id;
    const dureq_header *headers;
    size_t n_headers;
    const dureq_str *tags;
    size_t n_tags;
    const dureq_retry_policy *retry_policy; /* NULL: none given with the job */
    const dureq_attempt *attempts;          /* of its runs with an outcome, oldest first; of many the first 2 and the last */
    size_t n_attempts;
    dureq_str result, result_content_type;
    dureq_str last_error;
    dureq_str node_id;     /* where it runs or ran last */
    dureq_str progress;    /* JSON */
    dureq_str waiting_for; /* why a parked job does not start; empty in this version */
    dureq_str reason;      /* why it is dead, cancelled, skipped or paused */
    bool skipped;
    dureq_job_id schedule_id; /* of an occurrence; else its text is empty */
    int64_t scheduled_at_ms;  /* when it came round, without jitter */
} dureq_job;

typedef struct dureq_job_list {
    dureq_job *items;
    size_t n;
    dureq_str next_cursor; /* empty: nothing more */
    int64_t total;         /* of a list: how many jobs fit. -1: not a list's */
    bool total_exact;      /* false: there are at least so many, such as those of this page under a filter that nothing counts */
    int64_t scanned;       /* rows looked at for it */
    void *owner;           /* private */
} dureq_job_list;

DUREQ_API void dureq_job_list_destroy(dureq_job_list *list); /* NULL is fine */

/* A step of a job's handler (dureq_run_step), valid as long as its list. */
typedef struct dureq_step_info {
    dureq_str key;
    bool is_done;                          /* false: a run began it and did not come to its end yet */
    int32_t run;                           /* number of that which began it last, or did it */
    int64_t started_at_ms, finished_at_ms; /* finished 0: not yet */
    dureq_str result;                      /* what it gave: any bytes */
} dureq_step_info;

typedef struct dureq_step_list {
    dureq_step_info *items; /* in the order in which they began */
    size_t n;
    void *owner; /* private */
} dureq_step_list;

DUREQ_API void dureq_step_list_destroy(dureq_step_list *list); /* any thread; NULL is fine */

#ifdef __cplusplus
}
#endif
#endif
