/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Calls that enqueue, as bytes, and their answers. Jobs are written as arguments once, by whoever brings them (any thread); the calls are put
   together from that, in one of two forms:

   sealed   MULTI, an XADD for each job (and a SET of a large payload), enqueue_seal, EXEC: for jobs that start at once and hold no keys
   named    enqueue.lua: for all others, and for a sealed call that was refused as a whole

   Calls of a producer are numbered; the server keeps its last 64 answers. */

#include "base/buf.h"
#include "model/job.h"
#include "redis/resp.h"
#include "store/call.h"
#include "store/key_calls.h"

#define DQ_ENQUEUE_JOBS_MAX 256 /* in a call */

typedef enum dq_enqueue_kind {
    DQ_ENQUEUE_READY = 'r',
    DQ_ENQUEUE_DUE = 'd',
    DQ_ENQUEUE_KEYED = 'x', /* it has a unique key, a request id, a start limit or a large payload */
} dq_enqueue_kind;

/* Where the arguments of a job are in its producer's buffer. */
typedef struct dq_enqueue_job {
    uint32_t off, len;
    uint32_t token_at;                /* of `len`, KEYED: where the token goes, which is not there yet; */
    uint32_t payload_at, payload_end; /* where its payload argument is, */
    uint32_t j_at;                    /* and its last one */
    uint8_t kind;
    bool large; /* KEYED for nothing but its payload: a sealed call takes it */
} dq_enqueue_job;

/* Appends to args. `o`: the whole options; j: its envelope. */
void dq_enqueue_pack(dq_buf *args, const dureq_job_spec *spec, const dureq_job_options *o, const dq_buf *j, dq_enqueue_job *ret);

typedef struct dq_enqueue_head {
    unsigned shard;
    dureq_str producer;
    uint64_t number;
} dq_enqueue_head;

/* ---- sealed ---- */

typedef struct dq_seal {
    dq_buf *out;
    const dq_keys *keys;
    dq_enqueue_head head;
    size_t n_jobs, n_lanes, n_large;
    size_t n_replies; /* that EXEC has; the seal's is the last */
    uint32_t lane[DQ_ENQUEUE_JOBS_MAX];
    size_t n_of[DQ_ENQUEUE_JOBS_MAX]; /* jobs of lane[i] */
    struct {
        size_t job, place; /* among all jobs; among those of its lane */
        uint32_t lane;
    } large[DQ_ENQUEUE_JOBS_MAX];
} dq_seal;

/* In the caller's memory, which need not be cleared. */
void dq_seal_begin(dq_seal *s, dq_buf *out, const dq_keys *k, const dq_enqueue_head *head);
void dq_seal_add(dq_seal *s, uint32_t lane, const dq_buf *args, const dq_enqueue_job *job);
/* The seal itself; EXEC is to follow (dq_plain_exec). token: `v` of the shard's head, as the producer knows it. by_name: by its hash, which is for
   where it is known to be loaded: a seal that fails leaves the jobs of its transaction unsealed. */
void dq_seal_end(dq_seal *s, const char *token, bool by_name);

/* ---- named ---- */

typedef struct dq_enqueue {
    dq_call call;
    /* the segment that is open: jobs of one kind and lane */
    size_t lane, n, n_at;
    uint8_t kind; /* 0: none is */
} dq_enqueue;

/* lanes: names "queue|type|version", each once. */
dq_enqueue dq_enqueue_begin(dq_buf *out, const dq_keys *k, const dq_enqueue_head *head, const dureq_str *lanes, size_t n_lanes);
/* lane: index of those. token: the reservation of its unique key, DQ_KEY_TOKEN_BYTES; or 'X' and the id of the job that holds it; or empty. */
void dq_enqueue_add(dq_enqueue *e, size_t lane, const dq_buf *args, const dq_enqueue_job *job, dureq_str token);
void dq_enqueue_end(dq_enqueue *e);

/* ---- answers ---- */

typedef enum dq_enqueue_result {
    DQ_ENQUEUE_ACCEPTED,
    DQ_ENQUEUE_NO_QUEUE,
    DQ_ENQUEUE_FULL,
    DQ_ENQUEUE_KEY_HELD, /* id: by this job; all zeros while it is only reserved */
    DQ_ENQUEUE_KNOWN,    /* id: of the job of this request */
    DQ_ENQUEUE_NO_LANE,  /* its lane would be one too many */
} dq_enqueue_result;

typedef struct dq_enqueue_answer {
    dq_reader r;
    bool by_lane; /* runs of lanes, in the order of the lanes; else in the order of the jobs */
    unsigned shard;
    uint32_t left, lane, seq;
    uint64_t ms;
} dq_enqueue_answer;

dq_enqueue_answer dq_enqueue_answer_of(dureq_str bytes, unsigned shard);
/* The next job: a dq_enqueue_result, with its id unless it is NO_QUEUE, FULL or NO_LANE. DUREQ_EPROTO: it cannot be read, or ends too early. */
int dq_enqueue_answer_next(dq_enqueue_answer *a, dq_id *ret);

typedef enum dq_seal_result {
    DQ_SEAL_NEW,     /* its ids are the entries that the XADDs answered */
    DQ_SEAL_REFUSED, /* nothing was added: lanes or queues are not as the token says */
    DQ_SEAL_KNOWN,   /* a repeat: its answer as it was kept */
} dq_seal_result;
dq_seal_result dq_seal_result_of(dureq_str bytes);
