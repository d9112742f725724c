/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the resource files share: the parsed request, its parameters, and how a response is written. */

#include "api/api.h"
#include "base/arena.h"
#include "json/json.h"

#define DQ_API_VARS_MAX   3
#define DQ_API_QUERY_MAX  32
#define DQ_API_IDS_MAX    10000
#define DQ_API_STATES_MAX 8                                                             /* as many as there are */
#define DQ_API_FILTERS    "type task_type queue tag text search unique_key since until" /* parameters of dq_api_read_filter */

typedef struct dq_api_ctx {
    dureq_client *client;
    const dq_api_request *req;
    dq_api_response *res;
    dq_api_sink *sink;                 /* NULL: all goes into res */
    bool has_begun;                    /* the head went to the sink */
    const char *vars[DQ_API_VARS_MAX]; /* decoded path variables, in order */
    struct {
        const char *name, *value; /* decoded */
    } query[DQ_API_QUERY_MAX];
    size_t n_query;
    dq_arena arena;
    bool no_memory;   /* a part of the path or query could not be kept */
    dq_json_writer w; /* onto res->body */
} dq_api_ctx;

/* Begins what a handler does, on the client's loop and without waiting: 1, and dq_api_quick_ready or _needs_thread will be called; else the handler will be, on
   a thread, and says what is wrong. */
typedef int (*dq_api_begin_fn)(dq_api_quick *q);

/* A handler returns 0 when it wrote its response (status 200 unless it set another), or a negative code with err filled: the router
   then writes the error body. */
typedef int (*dq_api_fn)(dq_api_ctx *c, dureq_error *err);

/* How a token that is limited to queues or task types is held to them (scope.h). */
typedef enum dq_api_scope_rule {
    DQ_API_SCOPE_NONE, /* about all of them: refused to it */
    DQ_API_SCOPE_OPEN, /* nothing of jobs */
    DQ_API_SCOPE_JOB,  /* {id} is a job, or the template of a schedule */
    DQ_API_SCOPE_RUN,
    DQ_API_SCOPE_SCHEDULE,
    DQ_API_SCOPE_KEY,    /* {key} is held by a job */
    DQ_API_SCOPE_QUEUE,  /* {name} */
    DQ_API_SCOPE_NAMED,  /* the parameters queue and type say of what */
    DQ_API_SCOPE_TARGET, /* the parameter target is a job, or a queue */
    DQ_API_SCOPE_OWN,    /* its function sees to it, item by item */
} dq_api_scope_rule;

typedef struct dq_api_route {
    const char *method, *pattern; /* "/api/jobs/{id}/cancel" */
    dq_api_fn fn;
    const char *params; /* query parameters it takes, with blanks between; NULL: none. Others are refused before fn is called */
    dq_api_cost cost;
    bool waits;         /* with ?wait= for the end of the job {id} */
    bool creates;       /* may answer 201 */
    bool starts;        /* may answer 202 with an operation */
    bool streams;       /* it answers for ever, in messages of the schema `answer` */
    bool shows_payload; /* what it answers is of no use without payloads, errors or logs: refused to who may not see them */
    dq_api_role role;   /* who may; 0: a viewer may GET, an operator the rest */
    dq_api_scope_rule scope;
    const char *body;      /* the schema of its body; NULL: it takes none */
    const char *answer;    /* the schema of its answer */
    const char *text;      /* what it does: a sentence */
    dq_api_begin_fn begin; /* NULL: it takes a thread */
} dq_api_route;

const dq_api_route *dq_api_route_at(size_t i); /* of all tables; NULL when there are no more */
dq_api_role dq_api_role_of(const dq_api_route *route);
const char *dq_api_word_at(size_t i); /* of all that errors may have as code; NULL when there are no more */
/* What begins without a thread (quick.c): its context, whose arena lives until the end, and the request that is under way. */
struct dq_api_quick {
    dq_api_ctx c;
    dq_api_response res;
    struct dq_request *request; /* NULL: none yet */
    dq_json doc;
    dureq_job_spec spec; /* of a job that is enqueued */
    dureq_job_options options;
    dq_api_quick_fn fn;
    void *userdata;
};
void dq_api_quick_ready(dq_api_quick *q, int code, const dureq_error *err); /* code 0: its answer is in q->c */
void dq_api_quick_needs_thread(dq_api_quick *q);
/* The route of a request that may be carried out as it is, its path and query read; NULL: it will be refused. */
const dq_api_route *dq_api_taken(dq_api_ctx *c);
void dq_api_write_failure(dq_api_ctx *c, int code, const dureq_error *err);
/* Whether the request will be taken, by a route that waits; then its path and query are read. */
bool dq_api_waits(dq_api_ctx *c);
/* The pattern that is nearest to a path that is none; NULL: nothing is near. */
const char *dq_api_nearest(const char *path);

extern const dq_api_route dq_api_group_routes[], dq_api_job_routes[], dq_api_bulk_routes[], dq_api_queue_routes[],
    dq_api_node_routes[], dq_api_stat_routes[], dq_api_info_routes[], dq_api_schedule_routes[], dq_api_workflow_routes[],
    dq_api_batch_routes[], dq_api_token_routes[], dq_api_sign_in_routes[], dq_api_operation_routes[], dq_api_history_routes[],
    dq_api_event_routes[], dq_api_metric_routes[];

/* The route of a request, its query read and all checked that can be before it is run; NULL: it is refused, and c->res says why. */
const dq_api_route *dq_api_admit(dq_api_ctx *c);
/* Hands on what was written so far, when an answer is long; DUREQ_ECANCELLED when nobody waits for it. The status stands from the first time. */
int dq_api_flush(dq_api_ctx *c, dureq_error *err);
const char *dq_api_query(const dq_api_ctx *c, const char *name); /* NULL when absent */
/* Absent: *ret keeps its value. DUREQ_EINVAL naming the parameter and what it takes. */
int dq_api_query_i64(const dq_api_ctx *c, const char *name, int64_t min, int64_t max, int64_t *ret, dureq_error *err);
int dq_api_query_time(const dq_api_ctx *c, const char *name, int64_t *ret_ms, dureq_error *err);
int dq_api_query_bool(const dq_api_ctx *c, const char *name, bool *ret, dureq_error *err);
/* The body as one JSON object; DUREQ_EINVAL. *doc is the caller's to deinit. An empty body gives {}. */
int dq_api_body_object(dq_api_ctx *c, dq_json *doc, dureq_error *err);
/* DUREQ_EINVAL for a member that is none of these names, with blanks between. */
int dq_api_body_names(const dq_json *doc, const char *names, dureq_error *err);
/* The filters of the query, and what it says of pages when the route takes that. */
int dq_api_read_filter(dq_api_ctx *c, dureq_job_filter *f, dureq_job_state states[DQ_API_STATES_MAX], int64_t *ret_offset,
                       dureq_error *err);
/* Nothing was found: DUREQ_ENOTFOUND when the queue of the filter does not exist. */
int dq_api_check_queue(dq_api_ctx *c, const dureq_job_filter *f, dureq_error *err);
int dq_api_enqueue(dq_api_ctx *c, dureq_error *err); /* enqueue.c, as the next */
int dq_api_begin_enqueue(dq_api_quick *q);
int dq_api_create_schedule(dq_api_ctx *c, const dq_json *doc, dureq_error *err); /* schedules.c: of a job spec with a schedule */
void dq_api_write_attempt(dq_api_ctx *c, const dureq_job *job, const dureq_attempt *a); /* jobs.c */
/* As dq_job_to_json, without what the caller may not see. */
void dq_api_write_job(dq_api_ctx *c, const dureq_job *job);     /* jobs.c */
void dq_api_write_counts(dq_api_ctx *c, const dureq_counts *n); /* stats.c, as the next */
struct dq_series_row;
void dq_api_write_series_row(dq_api_ctx *c, const struct dq_series_row *row);
int dq_api_write_queues(dq_api_ctx *c, dureq_error *err); /* queues.c */
/* 401, as the whole answer. */
void dq_api_write_no_token(dq_api_ctx *c, const char *text);
/* {"status": word, name: value} */
int dq_api_reply_status(dq_api_ctx *c, const char *word, const char *name, const char *value);
