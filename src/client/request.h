/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Requests with an end: what is asked of a client without a thread that waits for it. A call of a script and the wait for the end of a job
   are requests; the blocking calls of the public header are such ones, submitted and waited for.

   Submitting, cancelling and releasing: any thread, the client's loop and callbacks included; never blocks. Not once dureq_client_destroy (of a
   node: dureq_node_destroy) was called, except for releasing. */

#include <dureq/client.h>

#include "redis/resp.h"

typedef struct dq_request dq_request;

typedef struct dq_answer {
    int code;               /* 0, or what err says */
    const dureq_error *err; /* code < 0 */
    const dq_reply *reply;  /* of a call, code 0 */
    int state;              /* of a wait, code 0: -1, the job can be read; DUREQ_JOB_COMPLETED or _CANCELLED, it was not kept */
} dq_answer;

/* Called once for each request that was submitted, on the client's loop thread. It must not block and cannot call what waits for this client (DUREQ_EDEADLK); it may submit, cancel and release. What
   `answer` points to is valid during the call only. Codes of its own, beside the server's answers: DUREQ_ETIMEOUT, DUREQ_ECANCELLED by
   dq_request_cancel, DUREQ_ECLOSED by the end of the client or the stop of its node. A call that ended by one of these may have been
   carried out or may yet be. */
typedef void (*dq_request_fn)(void *userdata, const dq_answer *answer);

/* A script call (bytes as dq_call_... made them; taken, also on failure), with the client's time-out. flags: DQ_CALL_... (call.h) On 0 fn will be called; it may
   have been before this returns. *ret (ret may be NULL: it will not be cancelled) is released by dq_request_release, before or after its end. */
int dq_client_submit_call(dureq_client *c, unsigned shard, unsigned flags, dq_buf *call, dq_request_fn fn, void *userdata,
                          dq_request **ret, dureq_error *err);
/* The wait for the end of a job, as dureq_client_wait except for reading the job. timeout_ms -1: none. */
int dq_client_submit_wait(dureq_client *c, const char *id, int64_t timeout_ms, dq_request_fn fn, void *userdata, dq_request **ret,
                          dureq_error *err);

/* One job read; job NULL with code 0: it takes more than one answer of the server, or is large, so that a thread should ask (dureq_client_get_job). What
   the arguments point to is valid during the call only. */
typedef void (*dq_job_fn)(void *userdata, const dureq_job *job, const dureq_error *err);
int dq_client_submit_get(dureq_client *c, const char *id, dq_job_fn fn, void *userdata, dq_request **ret, dureq_error *err);
/* One job enqueued, as dureq_client_enqueue. The spec and what it points to must stay until fn is called. A job that is refused as it is fails here. */
typedef void (*dq_enqueued_fn)(void *userdata, const dureq_enqueue_result *result);
int dq_client_submit_enqueue(dureq_client *c, const dureq_job_spec *spec, dq_enqueued_fn fn, void *userdata, dq_request **ret,
                             dureq_error *err);

/* Ends it soon, by DUREQ_ECANCELLED, unless it ended before or another answer overtakes; fn is called in any case. */
void dq_request_cancel(dq_request *r);
void dq_request_release(dq_request *r); /* the holder's; does not cancel. NULL is fine */
