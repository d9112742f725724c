/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DUREQ_CLIENT_H
#define DUREQ_CLIENT_H

/* A producer's and operator's connection to one dureq deployment (a Redis server and a key prefix).

   Threads: every call but destroy may be made from any thread, several at once: calls made at the same time share round
   trips. They block until their answer or time-out; handlers may make them. In dureq_log_fn and dureq_node_event_fn, which
   run on the thread that such a call would wait for, each is refused at once by DUREQ_EDEADLK.
   Lists that come through `ret` are the caller's, and outlive the client.

   Errors: beside what stands at each, every call that asks the server may answer DUREQ_EUNAVAILABLE, ETIMEOUT, ELOADING,
   EBUSY, EREADONLY, EAUTH, EPERM, EPROTO (what is stored or answered cannot be read), EREDIS, and one that stores something
   EREDISOOM.

   A client reconnects by itself. When a reply is lost, what reads and what enqueues is sent again, and nothing is enqueued
   twice. Changes of jobs and keys are not: DUREQ_EUNKNOWN says that one may or may not have happened, DUREQ_ETIMEOUT and
   EUNAVAILABLE that it was not seen to happen in time, and may still. For enqueueing these two say that the job neither was
   nor will be accepted.

   Example: connect, enqueue, wait for the end.

       static int produce(dureq_error *err)
       {
           dureq_client_options opts = dureq_client_options_init();
           dureq_job_spec spec = {"mail.send", dureq_str_from("{\"to\": \"a@example.com\"}"), NULL};
           dureq_client *client = NULL;
           dureq_job_list *ended = NULL;
           dureq_job_id id;
           int rc;

           opts.redis_url = "redis://localhost:6379";
           rc = dureq_client_create(&opts, &client, err);
           if (rc == 0)
               rc = dureq_client_enqueue(client, &spec, &id, err);
           if (rc == 0)
               rc = dureq_client_wait(client, id.text, 10000, &ended, err);
           if (rc == 0)
               printf("%s: %s\n", id.text, dureq_job_state_to_str(ended->items[0].state));
           dureq_job_list_destroy(ended);
           dureq_client_destroy(client);
           return rc;
       }
*/

#include <dureq/job.h>
#include <dureq/log.h>
#include <dureq/queue.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct dureq_client dureq_client;

typedef struct dureq_client_options {
    size_t struct_size;
    const char *redis_url;     /* required: redis://, rediss:// or unix:// */
    const char *prefix;        /* NULL = "dureq" */
    int64_t timeout_ms;        /* of a call; 0 = 10 s, -1 = wait for ever */
    int64_t max_payload_bytes; /* 0 = 1 MiB; at most 64 MiB */
    int32_t shards;            /* used when the prefix is new; 0 = 1 (a single server). At most 256 */
    bool allow_eviction;       /* accept a server whose maxmemory-policy is not noeviction */
    const char *client_name;   /* shown by CLIENT LIST; NULL = "dureq-client" */
    const char *actor;         /* who operates, for the audit; NULL = "lib" */
    dureq_log_fn log_fn;       /* NULL = silent */
    void *log_userdata;
    int32_t log_level; /* a dureq_log_level; 0 = info */
    bool no_create;    /* a prefix that does not exist is not made: it reads as empty, and what writes is DUREQ_ENOTFOUND */
} dureq_client_options;

static inline dureq_client_options dureq_client_options_init(void)
{
    dureq_client_options o;
    memset(&o, 0, sizeof o);
    o.struct_size = sizeof o;
    return o;
}

/* Connect, check server and data (DUREQ_ETOOOLD, EPOLICY, ESCHEMA; EWRONGTYPE: other keys are in the way; EIO: no thread or
   descriptor), create the prefix when it is new (see no_create). Fails at once when nobody listens there. */
DUREQ_API DUREQ_MUST_CHECK int dureq_client_create(const dureq_client_options *opts, dureq_client **ret, dureq_error *err);
/* Ends each dureq_client_wait of other threads by DUREQ_ECLOSED, and waits for their calls under way. The last call on it;
   not for a node's client. */
DUREQ_API void dureq_client_destroy(dureq_client *client);

/* ---- enqueue ---- */

/* Accept one job. *ret (may be NULL) gets its id. DUREQ_EDUPLICATE: *ret is set all the same, to the living job that holds
   the unique key. A repeated request id gives 0 and the first call's id. DUREQ_ETOOLARGE: payload or a header;
   DUREQ_ENOTFOUND: its queue is not defined; DUREQ_ELIMIT: the queue is full; DUREQ_EUNKNOWN. */
DUREQ_API DUREQ_MUST_CHECK int dureq_client_enqueue(dureq_client *client, const dureq_job_spec *spec, dureq_job_id *ret,
                                                    dureq_error *err);

typedef struct dureq_enqueue_result {
    int code;        /* 0, or why this item was refused */
    dureq_job_id id; /* of the job; for DUREQ_EDUPLICATE of the living one */
    bool existing;   /* code 0, but the request id had been used before */
    bool scheduled;  /* accepted for later, by this call */
    char msg[96];    /* for code < 0: one sentence, perhaps cut */
} dureq_enqueue_result;

/* Accept any number of jobs (below 2^32), each by itself, in order within a shard; a round trip takes at most 256. results
   (the caller's, n of them) are written also on failure. 0 when items have answers of their own there, refusals and
   DUREQ_EUNKNOWN included; negative when the call as a whole failed: results[i].code is then negative for each item that
   was not accepted. */
DUREQ_API DUREQ_MUST_CHECK int dureq_client_enqueue_many(dureq_client *client, const dureq_job_spec *specs, size_t n,
                                                         dureq_enqueue_result *results, dureq_error *err);

/* ---- read; an id is the text of a dureq_job_id ---- */

/* One job in any state, large payloads included; DUREQ_ENOTFOUND. *ret holds one item. */
DUREQ_API DUREQ_MUST_CHECK int dureq_client_get_job(dureq_client *client, const char *id, dureq_job_list **ret, dureq_error *err);

typedef struct dureq_job_filter {
    size_t struct_size;
    const dureq_job_state *states; /* n_states of them; 0: all */
    size_t n_states;
    const char *task_type;      /* may end in '*', which stands nowhere else; NULL: any */
    const char *queue;          /* NULL: any */
    const char *tag;            /* NULL: any */
    const char *text;           /* substring of id, type, tag, payload, errors or reason, ASCII case ignored; NULL: any */
    dureq_str unique_key;       /* empty: any */
    int64_t since_ms, until_ms; /* created within [since, until); 0: open */
    bool oldest_first;          /* newest first unless set, see dureq_client_list_jobs */
    int32_t limit;              /* 1 to 1000; 0 = 10 */
    const char *cursor;         /* next_cursor of the page before; NULL: first page */
    bool with_payload;          /* else payloads over 4 KiB are left out */
} dureq_job_filter;

static inline dureq_job_filter dureq_job_filter_init(void)
{
    dureq_job_filter f;
    memset(&f, 0, sizeof f);
    f.struct_size = sizeof f;
    return f;
}

/* A page of the jobs that fit all of the filter (NULL: any job). With a filter of states or none they are in order over all
   states, queues, types and shards; with others so within each of the structures that a shard keeps (lanes, due, paused,
   dead, ended), which then come one after the other. The order is by when they ended, else by when they came to their lane: accepted, or due, retried or resumed since. Scheduled, retrying and
   paused ones are kept by the time that they wait for, in which order they come, each at the earliest where its acceptance
   puts it; so come ended ones that are kept for different times. A call looks at 10,000 rows or few more: a page may be
   short, even empty, and still have a next_cursor. Pages stay good while jobs come and go; the cost of one is a few rows of
   each of five structures a shard, and of each 128 lanes. */
DUREQ_API DUREQ_MUST_CHECK int dureq_client_list_jobs(dureq_client *client, const dureq_job_filter *filter, dureq_job_list **ret,
                                                      dureq_error *err);

/* Wait until the job is completed, dead or cancelled: *ret holds it then, result and error included. DUREQ_ETIMEOUT;
   DUREQ_ENOTFOUND also when it is purged meanwhile, and within 10 s when its keys were deleted by hand. Of a job that is not kept only id,
   state and created_at_ms are known. Any number may wait for one job; the end is told at once to the first thousand clients (each for all its
   threads), the others ask for it every 10 s. timeout_ms is instead of the client's; -1: for ever. DUREQ_ECLOSED: its client was
   destroyed, or its node stopped, meanwhile. */
DUREQ_API DUREQ_MUST_CHECK int dureq_client_wait(dureq_client *client, const char *id, int64_t timeout_ms, dureq_job_list **ret,
                                                 dureq_error *err);

/* The same two for who wants the job and no list: *ret is freed with dureq_job_destroy.

       rc = dureq_client_wait_one(client, id.text, 10000, &job, err);
       if (rc == 0)
           printf("%s: " DUREQ_STR_FMT "\n", id.text, DUREQ_STR_ARG(job->result));
       dureq_job_destroy(job); */
DUREQ_API DUREQ_MUST_CHECK int dureq_client_get_one(dureq_client *client, const char *id, dureq_job **ret, dureq_error *err);
DUREQ_API DUREQ_MUST_CHECK int dureq_client_wait_one(dureq_client *client, const char *id, int64_t timeout_ms, dureq_job **ret,
                                                     dureq_error *err);
DUREQ_API void dureq_job_destroy(dureq_job *job); /* of these two only; any thread; NULL is fine */

/* The last 64 KiB of a job's log lines, "" when it has none; DUREQ_ENOTFOUND. Each line begins with its time and the number of its run,
   "2026-11-23T20:00:00.123Z 1 text". *ret is NUL-ended, freed with dureq_free. */
DUREQ_API DUREQ_MUST_CHECK int dureq_client_get_logs(dureq_client *client, const char *id, char **ret, size_t *ret_len,
                                                     dureq_error *err);
DUREQ_API void dureq_free(void *ptr); /* any thread; NULL is fine */
/* The steps of a job's handler and what they gave; none when it has none. They are kept as long as the job. DUREQ_ENOTFOUND. */
DUREQ_API DUREQ_MUST_CHECK int dureq_client_list_steps(dureq_client *client, const char *id, dureq_step_list **ret,
                                                       dureq_error *err);

/* ---- operate: DUREQ_ENOTFOUND, DUREQ_ECONFLICT in a wrong state, DUREQ_EUNKNOWN ---- */

/* In any state but an ended one. A running handler is told and what it returns no longer counts; the job is cancelled when
   the call returns. reason may be NULL; over 1 KiB: DUREQ_ETOOLARGE. */
DUREQ_API DUREQ_MUST_CHECK int dureq_client_cancel(dureq_client *client, const char *id, const char *reason, dureq_error *err);
/* The holder of the key. */
DUREQ_API DUREQ_MUST_CHECK int dureq_client_cancel_by_unique_key(dureq_client *client, dureq_str key, dureq_error *err);
/* Dead and cancelled jobs start over, attempts from 0; completed ones only with force. DUREQ_EDUPLICATE when its unique key
   is taken by now. */
DUREQ_API DUREQ_MUST_CHECK int dureq_client_retry(dureq_client *client, const char *id, bool force, dureq_error *err);
DUREQ_API DUREQ_MUST_CHECK int dureq_client_delete(dureq_client *client, const char *id, dureq_error *err); /* ended jobs */
/* Scheduled, retrying, pending: run_now, reschedule (run_at_ms over 0) and pause. */
DUREQ_API DUREQ_MUST_CHECK int dureq_client_run_now(dureq_client *client, const char *id, dureq_error *err);
DUREQ_API DUREQ_MUST_CHECK int dureq_client_reschedule(dureq_client *client, const char *id, int64_t run_at_ms, dureq_error *err);
DUREQ_API DUREQ_MUST_CHECK int dureq_client_pause(dureq_client *client, const char *id, dureq_error *err);
DUREQ_API DUREQ_MUST_CHECK int dureq_client_resume(dureq_client *client, const char *id, dureq_error *err); /* paused */
/* Neither running nor ended; a pending job goes to the front of its lane. content_type as in dureq_job_options; DUREQ_ETOOLARGE. */
DUREQ_API DUREQ_MUST_CHECK int dureq_client_update_payload(dureq_client *client, const char *id, dureq_str payload,
                                                           const char *content_type, dureq_error *err);

/* ---- operate on many: as above, for lists ----

   A round trip takes at most 128 ids and keeps the server for 5 ms at most, so that others are served in between. codes (the caller's,
   n of them) are written also on failure: 0, DUREQ_ENOTFOUND, ECONFLICT, EDUPLICATE, or EINVAL for what is no job id. 0 when each has
   its answer there; negative when the call stopped on its way: then those under way have the code that is returned, and those that
   were not asked for any more DUREQ_ECANCELLED. The client's time-out is for each round trip. */

/* Told in the caller's thread after each round trip: n_done of n have their answer. It may call the client; false: stop, which makes
   the call return DUREQ_ECANCELLED unless all is done. */
typedef bool (*dureq_progress_fn)(size_t n_done, size_t n, void *userdata);

typedef struct dureq_many_options {
    size_t struct_size;
    const char *reason;            /* of dureq_client_cancel_many, in bytes up to 1 KiB, else DUREQ_ETOOLARGE; NULL: none */
    bool force;                    /* of dureq_client_retry_many: completed jobs too */
    int64_t run_at_ms;             /* of dureq_client_reschedule_many, required there: Unix time in ms */
    dureq_progress_fn progress_fn; /* NULL: none */
    void *progress_userdata;
} dureq_many_options;

static inline dureq_many_options dureq_many_options_init(void)
{
    dureq_many_options o;
    memset(&o, 0, sizeof o);
    o.struct_size = sizeof o;
    return o;
}

/* opts may be NULL: no reason, no force, no progress. */
DUREQ_API DUREQ_MUST_CHECK int dureq_client_cancel_many(dureq_client *client, const char *const *ids, size_t n,
                                                        const dureq_many_options *opts, int *codes, dureq_error *err);
DUREQ_API DUREQ_MUST_CHECK int dureq_client_retry_many(dureq_client *client, const char *const *ids, size_t n,
                                                       const dureq_many_options *opts, int *codes, dureq_error *err);
DUREQ_API DUREQ_MUST_CHECK int dureq_client_delete_many(dureq_client *client, const char *const *ids, size_t n,
                                                        const dureq_many_options *opts, int *codes, dureq_error *err);
DUREQ_API DUREQ_MUST_CHECK int dureq_client_run_now_many(dureq_client *client, const char *const *ids, size_t n,
                                                         const dureq_many_options *opts, int *codes, dureq_error *err);
DUREQ_API DUREQ_MUST_CHECK int dureq_client_reschedule_many(dureq_client *client, const char *const *ids, size_t n,
                                                            const dureq_many_options *opts, int *codes, dureq_error *err);
DUREQ_API DUREQ_MUST_CHECK int dureq_client_pause_many(dureq_client *client, const char *const *ids, size_t n,
                                                       const dureq_many_options *opts, int *codes, dureq_error *err);
DUREQ_API DUREQ_MUST_CHECK int dureq_client_resume_many(dureq_client *client, const char *const *ids, size_t n,
                                                        const dureq_many_options *opts, int *codes, dureq_error *err);

/* ---- keys ---- */

/* The job that holds a unique key; DUREQ_ENOTFOUND. *ret_ttl_ms (may be NULL): how long yet; -1: until the job ends. */
DUREQ_API DUREQ_MUST_CHECK int dureq_client_get_unique_key(dureq_client *client, dureq_str key, dureq_job_id *ret,
                                                           int64_t *ret_ttl_ms, dureq_error *err);
/* Let go of it; its job stays. DUREQ_ENOTFOUND, DUREQ_EUNKNOWN. */
DUREQ_API DUREQ_MUST_CHECK int dureq_client_delete_unique_key(dureq_client *client, dureq_str key, dureq_error *err);

/* ---- queues ---- */

DUREQ_API DUREQ_MUST_CHECK int dureq_client_list_queues(dureq_client *client, dureq_queue_list **ret, dureq_error *err);
/* Create, or replace the whole definition: a field left at zero becomes its default, whatever it was before; only whether
   the queue is paused stays. With only_if_missing an existing queue is left as it is; *ret_differs (may be NULL) then tells
   whether it differs, else it is false. DUREQ_ECONFLICT: others change it all the time. When it fails otherwise it may hold
   already, or on some shards only: call it again. */
DUREQ_API DUREQ_MUST_CHECK int dureq_client_set_queue(dureq_client *client, const char *name, const dureq_queue_options *opts,
                                                      bool only_if_missing, bool *ret_differs, dureq_error *err);
/* DUREQ_ENOTFOUND; else as set_queue. Pausing one that is paused is fine, as is resuming one that is not. */
DUREQ_API DUREQ_MUST_CHECK int dureq_client_pause_queue(dureq_client *client, const char *name, dureq_error *err);
DUREQ_API DUREQ_MUST_CHECK int dureq_client_resume_queue(dureq_client *client, const char *name, dureq_error *err);
/* Delete its waiting jobs in bounded steps, for good; *ret_n (may be NULL) gets how many. Running ones are not touched.
   DUREQ_ENOTFOUND. When it fails on its way, what is gone is gone; call it again. */
DUREQ_API DUREQ_MUST_CHECK int dureq_client_purge_queue(dureq_client *client, const char *name, int64_t *ret_n, dureq_error *err);

/* The same for the jobs of one task type, which may end in '*'; NULL: all. */
DUREQ_API DUREQ_MUST_CHECK int dureq_client_purge_queue_type(dureq_client *client, const char *name, const char *task_type,
                                                             int64_t *ret_n, dureq_error *err);
/* Delete the queue itself. DUREQ_ECONFLICT while a job that has not ended, or a dead one, names it, and when it is the last one. With
   force its jobs are cancelled and deleted, running ones too, in bounded steps; *ret_n (may be NULL) gets how many. DUREQ_ENOTFOUND.
   What has ended stays in the history, and runs again in its lane when it is retried. When it fails on its way, call it again. */
DUREQ_API DUREQ_MUST_CHECK int dureq_client_delete_queue(dureq_client *client, const char *name, bool force, int64_t *ret_n,
                                                         dureq_error *err);

/* ---- nodes, counts ---- */

/* A live node, as it told of itself; views are into the list. */
typedef struct dureq_node_info {
    dureq_str node_id;    /* of two processes that have the same one, each is listed */
    dureq_str task_types; /* comma-separated, patterns with '*' */
    dureq_str version, host;
    int64_t pid;
    int64_t started_at_ms, last_heartbeat_ms;
    int32_t concurrency, running; /* running: slots that are taken */
    int32_t stuck;                /* of them, by handlers that did not end within their grace */
    bool draining;
    bool leader;        /* promotes and reaps for at least one shard */
    bool too_old;       /* for what the prefix asks for by now: it takes no more and does not lead */
    dureq_str instance; /* no other node has the same, of whatever name; empty: one of an older version */
    int64_t pid_space;  /* where `pid` counts: the inode of its PID namespace; 0: unknown */
} dureq_node_info;

typedef struct dureq_node_list {
    dureq_node_info *items;
    size_t n;
    void *owner; /* private */
} dureq_node_list;

DUREQ_API void dureq_node_list_destroy(dureq_node_list *list); /* NULL is fine */
DUREQ_API DUREQ_MUST_CHECK int dureq_client_list_nodes(dureq_client *client, dureq_node_list **ret, dureq_error *err);
/* drain: it takes no more jobs and finishes what runs; false: it takes them again. The node hears of it within a heartbeat
   (a quarter of its lease). DUREQ_ENOTFOUND: no live node of that name is there to be drained. */
DUREQ_API DUREQ_MUST_CHECK int dureq_client_drain_node(dureq_client *client, const char *node_id, bool drain, dureq_error *err);

/* Jobs by state, live nodes, and the bytes of kept rows; each shard at an instant of its own. While a shard has over 1,000
   delayed jobs, retrying ones count as scheduled. */
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
