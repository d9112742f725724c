/* SPDX-License-Identifier: Apache-2.0 */
/* From packed parts to the public dureq_job. */

#include <limits.h>

#include "base/clock.h"
#include "model/job.h"

bool dq_lane_name_split(dureq_str lane_name, dureq_str *ret_queue, dureq_str *ret_type, dureq_str *ret_version)
{
    *ret_queue = dq_str_cut(&lane_name, '|');
    if (!lane_name.ptr)
        return false;
    *ret_type = dq_str_cut(&lane_name, '|');
    if (!lane_name.ptr)
        return false;
    *ret_version = lane_name;
    return true;
}

typedef struct builder {
    const dq_job_parts *p;
    dureq_str (*node_of)(uint64_t session, void *);
    void *node_of_data;
    dq_arena *arena;
    dureq_job *job;
    dureq_error *err;
} builder;

static int set_headers(builder *b, dureq_str list)
{
    dureq_str rest = list, name, value;
    size_t n = 0;

    while (dq_headers_next(&rest, &name, &value))
        n++;
    dureq_header *headers = dq_arena_alloc(b->arena, (n + 1) * sizeof *headers);
    if (!headers)
        return dq_fail_nomem(b->err);
    rest = list;
    for (size_t i = 0; i < n && dq_headers_next(&rest, &name, &value); i++) {
        headers[i].name = dq_arena_dup(b->arena, name);
        headers[i].value = value;
        if (!headers[i].name)
            return dq_fail_nomem(b->err);
    }
    b->job->headers = headers;
    b->job->n_headers = n;
    return 0;
}

static int set_tags(builder *b, dureq_str list)
{
    dureq_str rest = list, tag;
    size_t n = 0;

    while (dq_tags_next(&rest, &tag))
        n++;
    dureq_str *tags = dq_arena_alloc(b->arena, (n + 1) * sizeof *tags);
    if (!tags)
        return dq_fail_nomem(b->err);
    rest = list;
    for (size_t i = 0; i < n && dq_tags_next(&rest, &tag); i++)
        tags[i] = tag;
    b->job->tags = tags;
    b->job->n_tags = n;
    return 0;
}

static int set_final_errors(builder *b, dureq_str list, dureq_retry_policy *policy)
{
    dureq_str rest = list, text;
    size_t n = 0, i = 0;

    while (dq_tags_next(&rest, &text))
        n++;
    const char **texts = dq_arena_alloc(b->arena, (n + 1) * sizeof *texts);
    if (!texts)
        return dq_fail_nomem(b->err);
    rest = list;
    while (i < n && dq_tags_next(&rest, &text)) {
        texts[i] = dq_arena_dup(b->arena, text);
        if (!texts[i])
            return dq_fail_nomem(b->err);
        i++;
    }
    policy->non_retryable_errors = texts;
    policy->n_non_retryable_errors = n;
    return 0;
}

/* With its defaults filled in: what it means is what a reader wants to know. */
static int set_retry(builder *b, const dq_envelope *e)
{
    dq_retry r = dq_retry_default;

    if (e->flags & DQ_J_RETRY) {
        int rc = dq_retry_unpack(e->retry, &r);
        if (rc < 0)
            return dq_fail(b->err, rc, "the retry policy of a job cannot be read");
        dureq_retry_policy *p = dq_arena_alloc(b->arena, sizeof *p);
        if (!p)
            return dq_fail_nomem(b->err);
        *p = (dureq_retry_policy){
            .struct_size = sizeof *p,
            .max_attempts = r.max_attempts,
            .initial_delay_ms = r.initial_ms ? r.initial_ms : -1,
            .max_delay_ms = r.max_ms,
            .multiplier = r.factor,
            .jitter = r.jitter > 0 ? r.jitter : -1,
            .pause_after_err_count = r.pause_after,
            .pause_retry_delay_ms = r.pause_delay_ms,
        };
        rc = set_final_errors(b, r.final_errors, p);
        if (rc < 0)
            return rc;
        b->job->retry_policy = p;
        b->job->max_attempts = r.max_attempts;
    }
    /* What the handler, the queue or the default would say is not the job's to tell: who runs it decides. */
    if (e->dlq_after > 0 && (b->job->max_attempts == 0 || e->dlq_after < b->job->max_attempts))
        b->job->max_attempts = e->dlq_after;
    return 0;
}

static void set_schedule(dureq_job *job, const dq_envelope *e)
{
    dq_id id;

    if (!dq_id_unpack(e->schedule_id, &id))
        return;
    dq_id_to_text(&id, &job->schedule_id);
    job->scheduled_at_ms = e->scheduled_at * 1000;
}

static int set_envelope(builder *b)
{
    dureq_job *job = b->job;
    dq_envelope e;
    int rc;

    rc = dq_envelope_unpack(b->p->j, &e);
    if (rc < 0)
        return dq_fail(b->err, rc, "the envelope of a job cannot be read");
    job->content_type = e.content_type;
    job->payload = e.flags & DQ_J_BLOB ? b->p->blob : e.payload;
    job->payload_omitted = (e.flags & DQ_J_BLOB) && b->p->blob.len != e.blob_len;
    job->priority = e.priority;
    job->timeout_ms = e.timeout_ms;
    job->schedule_to_start_timeout_ms = e.s2s_ms;
    job->heartbeat_timeout_ms = e.heartbeat_ms;
    job->dlq_after = e.dlq_after;
    job->retention_ms = !(e.flags & DQ_J_RETENTION) ? 0 : e.retention_ms ? e.retention_ms : -1;
    job->unique_key = e.unique_key;
    job->request_id = e.request_id;
    set_schedule(job, &e);
    rc = set_headers(b, e.headers);
    if (rc < 0)
        return rc;
    rc = set_tags(b, e.tags);
    if (rc < 0)
        return rc;
    return set_retry(b, &e);
}

/* A copy: the table of names may go before the job does. */
static dureq_str node_of(const builder *b, uint64_t session)
{
    return session && b->node_of ? dq_arena_dup_str(b->arena, b->node_of(session, b->node_of_data)) : (dureq_str){0};
}

static void attempt_set(const builder *b, dureq_attempt *out, const dq_attempt *a)
{
    *out = (dureq_attempt){
        .attempt = (int32_t)a->run,
        .outcome = (dureq_outcome)a->outcome,
        .started_at_ms = a->started_at_ms,
        .finished_at_ms = dq_add_sat(a->started_at_ms, a->ran_ms),
        .node_id = node_of(b, a->session),
        .code = a->code,
        .error = a->error,
        .detail = a->detail,
        .output = a->output,
    };
}

/* The run that ended the job has no record of its own when it ended well or was cancelled: the row tells all of it. */
static bool last_run(const builder *b, dq_attempt *ret)
{
    const dq_row *row = b->p->row;

    if (!row || !row->started_at_ms || row->state == DUREQ_JOB_DEAD)
        return false;
    *ret = (dq_attempt){
        .run = (uint32_t)b->job->runs + 1,
        .outcome = row->state == DUREQ_JOB_CANCELLED ? DUREQ_OUTCOME_CANCELLED
                   : row->skipped                    ? DUREQ_OUTCOME_SKIP
                                                     : DUREQ_OUTCOME_DONE,
        .started_at_ms = row->started_at_ms,
        .ran_ms = row->ran_ms,
        .session = row->session,
    };
    return true;
}

static int set_attempts(builder *b, const dq_moved *m)
{
    dureq_job *job = b->job;
    dureq_attempt *list = dq_arena_alloc(b->arena, ((size_t)m->n_attempts + 1) * sizeof *list);
    dureq_str rest = m->tail;
    dq_attempt a;

    if (!list)
        return dq_fail_nomem(b->err);
    while (job->n_attempts < m->n_attempts && dq_attempt_next(&rest, &a)) {
        attempt_set(b, &list[job->n_attempts++], &a);
        if (a.error.len > 0)
            job->last_error = a.error;
    }
    if (last_run(b, &a)) {
        attempt_set(b, &list[job->n_attempts++], &a);
        job->runs++;
        job->attempt += a.outcome == DUREQ_OUTCOME_DONE;
    }
    job->attempts = list;
    return 0;
}

static int set_moved(builder *b)
{
    dq_moved m = {0};
    int rc;

    if (b->p->m.len > 0) {
        rc = dq_moved_unpack(b->p->m, &m);
        if (rc < 0)
            return dq_fail(b->err, rc, "the moved part of a job cannot be read");
    }
    b->job->attempt = m.attempts;
    b->job->runs = m.runs;
    b->job->crashes = m.crashes;
    rc = set_attempts(b, &m);
    if (b->job->state == DUREQ_JOB_RUNNING)
        b->job->runs++;
    return rc;
}

static void set_times(builder *b)
{
    dureq_job *job = b->job;
    const dq_row *row = b->p->row;

    job->created_at_ms = (int64_t)b->p->id.ms;
    job->started_at_ms = row ? row->started_at_ms : b->p->started_at_ms;
    if (row)
        job->finished_at_ms = row->finished_at_ms;
    if (job->state == DUREQ_JOB_SCHEDULED || job->state == DUREQ_JOB_RETRYING)
        job->run_at_ms = b->p->due_at_ms;
    if (job->state == DUREQ_JOB_PAUSED && b->p->due_at_ms != INT64_MAX)
        job->resume_at_ms = b->p->due_at_ms;
}

int dq_job_from_parts(const dq_job_parts *p, dureq_str (*node_of_fn)(uint64_t session, void *), void *node_of_data, dq_arena *a,
                      dureq_job *ret, dureq_error *err)
{
    builder b = {.p = p, .node_of = node_of_fn, .node_of_data = node_of_data, .arena = a, .job = ret, .err = err};
    int rc;

    memset(ret, 0, sizeof *ret);
    dq_id_to_text(&p->id, &ret->id);
    ret->state = p->state;
    if (p->lane_name.len > 0 && !dq_lane_name_split(p->lane_name, &ret->queue, &ret->task_type, &ret->version))
        return dq_fail(err, DUREQ_EPROTO, "a lane's name has no queue and type");
    rc = set_envelope(&b);
    if (rc < 0)
        return rc;
    rc = set_moved(&b);
    if (rc < 0)
        return rc;
    set_times(&b);
    if (ret->state == DUREQ_JOB_PAUSED)
        ret->reason = ret->last_error;
    ret->node_id = dq_arena_dup_str(a, p->node_id); /* a copy, as in node_of */
    ret->progress = p->progress;
    if (p->row) {
        ret->result = p->row->result;
        ret->result_content_type = p->row->result_type;
        ret->reason = p->row->reason;
        ret->skipped = p->row->skipped;
    }
    return 0;
}
