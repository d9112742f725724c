/* SPDX-License-Identifier: Apache-2.0 */
/* Jobs, queues and nodes as JSON: names of the Go version of dureq in its forms, ours beside them. */

#include "model/job_json.h"

#include <inttypes.h>
#include <stdio.h>

#include "model/place.h"

/* ---- members ---- */

static void put_str_if(dq_json_writer *w, const char *name, dureq_str text)
{
    if (text.len == 0)
        return;
    dq_json_set_str(w, name, text);
}

static void put_i64_if(dq_json_writer *w, const char *name, int64_t v)
{
    if (v != 0)
        dq_json_set_i64(w, name, v);
}

static void put_time_if(dq_json_writer *w, const char *name, int64_t at_ms)
{
    if (at_ms <= 0)
        return;
    dq_json_set_rfc3339(w, name, at_ms);
}

static void put_duration(dq_json_writer *w, const char *name, int64_t ms)
{
    char text[DQ_DURATION_TEXT_MAX];

    dq_json_set_str(w, name, dureq_str_of(text, dq_format_duration_ms(ms, text)));
}

/* 0 is "not said" and left out; -1 is "none at all", which as a length is zero. */
static void put_duration_if(dq_json_writer *w, const char *name, int64_t ms)
{
    if (ms != 0)
        put_duration(w, name, DQ_MAX(ms, 0));
}

/* What comes from Redis as JSON is looked at before it is put into a document. */
static void put_json_if(dq_json_writer *w, const char *name, dureq_str json)
{
    if (json.len == 0)
        return;
    dq_json_key(w, name);
    dq_json_put_checked(w, json);
}

/* ---- content ---- */

/* The type without its parameters, such as a charset. */
static dureq_str media_type(dureq_str content_type)
{
    return dq_str_trim(dq_str_cut(&content_type, ';'));
}

bool dq_content_is_json(dureq_str content_type)
{
    dureq_str type = media_type(content_type);

    return dq_str_eq_text(type, "application/json") || dq_str_ends_with(type, DQ_STR_LIT("+json"));
}

bool dq_content_is_text(dureq_str content_type)
{
    return dq_str_starts_with(media_type(content_type), DQ_STR_LIT("text/"));
}

void dq_json_put_content(dq_json_writer *w, const char *name, dureq_str bytes, dureq_str content_type)
{
    char base64_name[64];
    size_t len = strlen(name);

    if (dq_content_is_json(content_type) && dq_json_valid(bytes)) {
        dq_json_set_raw(w, name, bytes); /* byte for byte as given, blanks around it too */
        return;
    }
    if (dq_content_is_text(content_type) && dq_utf8_valid(bytes)) {
        dq_json_set_str(w, name, bytes);
        return;
    }
    len = DQ_MIN(len, sizeof base64_name - sizeof "_base64"); /* names are ours and short */
    memcpy(base64_name, name, len);
    memcpy(base64_name + len, "_base64", sizeof "_base64");
    dq_json_key(w, base64_name);
    dq_json_put_base64(w, bytes);
}

/* ---- retry policy ---- */

#define NS_PER_MS 1000000

/* As the Go version: whole nanoseconds, 0 for none. */
static void put_delay_ns(dq_json_writer *w, const char *name, int64_t given_ms, int64_t default_ms)
{
    int64_t ms = given_ms ? given_ms : default_ms;

    ms = DQ_MAX(ms, 0);
    dq_json_set_i64(w, name, ms > INT64_MAX / NS_PER_MS ? INT64_MAX : ms * NS_PER_MS);
}

static void put_final_errors(dq_json_writer *w, const dureq_retry_policy *p)
{
    if (p->n_non_retryable_errors == 0)
        return;
    dq_json_key(w, "non_retryable_errors");
    dq_json_begin_array(w);
    for (size_t i = 0; i < p->n_non_retryable_errors; i++)
        dq_json_put_text(w, p->non_retryable_errors[i]);
    dq_json_end_array(w);
}

void dq_retry_policy_to_json(const dureq_retry_policy *given, dq_json_writer *w)
{
    const dq_retry *d = &dq_retry_default;
    dureq_retry_policy p = {0};

    memcpy(&p, given, DQ_MIN(given->struct_size, sizeof p)); /* an older program's is shorter */
    dq_json_begin_object(w);
    dq_json_set_i64(w, "max_attempts", p.max_attempts ? p.max_attempts : d->max_attempts);
    put_delay_ns(w, "initial_delay", p.initial_delay_ms, d->initial_ms);
    put_delay_ns(w, "max_delay", p.max_delay_ms, d->max_ms);
    dq_json_set_f64(w, "multiplier", p.multiplier ? p.multiplier : d->factor);
    dq_json_set_f64(w, "jitter", p.jitter < 0 ? 0 : p.jitter > 0 ? p.jitter : d->jitter);
    put_final_errors(w, &p);
    put_i64_if(w, "pause_after_err_count", p.pause_after_err_count);
    if (p.pause_retry_delay_ms)
        put_delay_ns(w, "pause_retry_delay", p.pause_retry_delay_ms, 0);
    dq_json_end_object(w);
}

/* ---- job ---- */

static bool has_ended(const dureq_job *job)
{
    return dq_job_state_is_ended(job->state);
}

static bool waits_for_time(const dureq_job *job)
{
    return job->state == DUREQ_JOB_SCHEDULED || job->state == DUREQ_JOB_RETRYING;
}

/* The last thing known to have happened to it. Pausing and the like leave no time behind. */
static int64_t updated_at_ms(const dureq_job *job)
{
    int64_t at_ms = DQ_MAX(job->created_at_ms, job->started_at_ms);

    for (size_t i = 0; i < job->n_attempts; i++)
        at_ms = DQ_MAX(at_ms, job->attempts[i].finished_at_ms);
    return DQ_MAX(at_ms, job->finished_at_ms);
}

static void put_schedule(const dureq_job *job, dq_json_writer *w)
{
    bool timed = job->run_at_ms > 0 && job->state != DUREQ_JOB_RETRYING; /* a retry's time is the policy's, not the producer's */

    dq_json_key(w, "schedule");
    dq_json_begin_object(w);
    dq_json_set_text(w, "type", timed ? "ONE_TIME" : "IMMEDIATE");
    if (timed)
        put_time_if(w, "run_at", job->run_at_ms);
    dq_json_end_object(w);
}

static void put_what(const dureq_job *job, dq_json_writer *w)
{
    dq_json_set_text(w, "id", job->id.text);
    dq_json_set_str(w, "task_type", job->task_type);
    if (job->payload_omitted)
        dq_json_set_bool(w, "payload_omitted", true);
    else
        dq_json_put_content(w, "payload", job->payload, job->content_type);
    put_str_if(w, "content_type", job->content_type);
    put_str_if(w, "queue", job->queue);
    put_str_if(w, "version", job->version);
    put_i64_if(w, "priority", job->priority);
    if (job->schedule_id.text[0]) {
        dq_json_set_text(w, "schedule_id", job->schedule_id.text);
        put_time_if(w, "scheduled_at", job->scheduled_at_ms);
    }
    put_schedule(job, w);
}

static void put_options(const dureq_job *job, dq_json_writer *w)
{
    if (job->retry_policy) {
        dq_json_key(w, "retry_policy");
        dq_retry_policy_to_json(job->retry_policy, w);
    }
    put_str_if(w, "unique_key", job->unique_key);
    put_str_if(w, "request_id", job->request_id);
    put_i64_if(w, "dlq_after", job->dlq_after);
    put_duration_if(w, "timeout", job->timeout_ms);
    put_duration_if(w, "schedule_to_start_timeout", job->schedule_to_start_timeout_ms);
    put_duration_if(w, "heartbeat_timeout", job->heartbeat_timeout_ms);
    put_duration_if(w, "retention", job->retention_ms);
    if (job->n_tags) {
        dq_json_key(w, "tags");
        dq_json_begin_array(w);
        for (size_t i = 0; i < job->n_tags; i++)
            dq_json_put_str(w, job->tags[i]);
        dq_json_end_array(w);
    }
    if (job->n_headers) {
        dq_json_key(w, "headers");
        dq_json_begin_object(w);
        for (size_t i = 0; i < job->n_headers; i++) {
            dq_json_set_str(w, job->headers[i].name, job->headers[i].value);
        }
        dq_json_end_object(w);
    }
}

static void put_progress(const dureq_job *job, dq_json_writer *w)
{
    dq_json_set_text(w, "status", dureq_job_state_to_str(job->state));
    dq_json_set_i64(w, "attempt", job->attempt);
    put_i64_if(w, "max_attempts", job->max_attempts);
    dq_json_set_i64(w, "runs", job->runs);
    put_i64_if(w, "crashes", job->crashes);
    if (job->state != DUREQ_JOB_COMPLETED) /* then it is past; the attempts still have it */
        put_str_if(w, "last_error", job->last_error);
    put_str_if(w, "reason", job->reason);
    put_str_if(w, "waiting_for", job->waiting_for);
    put_str_if(w, "node_id", job->node_id);
    if (job->skipped)
        dq_json_set_bool(w, "skipped", true);
    put_json_if(w, "progress", job->progress);
    if (job->result_content_type.len) {
        dq_json_put_content(w, "result", job->result, job->result_content_type);
        put_str_if(w, "result_content_type", job->result_content_type);
    }
    put_time_if(w, "last_run_at", job->started_at_ms);
    if (waits_for_time(job))
        put_time_if(w, "next_run_at", job->run_at_ms);
    if (job->state == DUREQ_JOB_PAUSED)
        put_time_if(w, "resume_at", job->resume_at_ms);
    if (has_ended(job))
        put_time_if(w, "completed_at", job->finished_at_ms);
}

static void put_attempt(const dureq_job *job, const dureq_attempt *at, dq_json_writer *w)
{
    char run_id[DUREQ_JOB_ID_LEN + 16];
    int len = snprintf(run_id, sizeof run_id, "%.*s.%" PRId32, DUREQ_JOB_ID_LEN, job->id.text, at->attempt);

    dq_json_begin_object(w);
    dq_json_set_i64(w, "attempt", at->attempt);
    dq_json_set_str(w, "run_id", dureq_str_of(run_id, (size_t)len));
    dq_json_set_str(w, "node_id", at->node_id);
    put_time_if(w, "started_at", at->started_at_ms);
    put_time_if(w, "finished_at", at->finished_at_ms);
    dq_json_set_text(w, "outcome", dureq_outcome_to_str(at->outcome));
    put_i64_if(w, "code", at->code);
    put_str_if(w, "error", at->error);
    put_str_if(w, "detail", at->detail);
    put_str_if(w, "output", at->output);
    dq_json_end_object(w);
}

void dq_job_to_json(const dureq_job *job, dq_json_writer *w)
{
    dq_json_begin_object(w);
    put_what(job, w);
    put_options(job, w);
    put_progress(job, w);
    dq_json_key(w, "attempts");
    dq_json_begin_array(w);
    for (size_t i = 0; i < job->n_attempts; i++)
        put_attempt(job, &job->attempts[i], w);
    dq_json_end_array(w);
    put_time_if(w, "created_at", job->created_at_ms);
    put_time_if(w, "updated_at", updated_at_ms(job));
    dq_json_end_object(w);
}

/* ---- queue and node ---- */

void dq_queue_info_members_to_json(const dureq_queue_info *q, dq_json_writer *w)
{
    dq_json_set_str(w, "name", q->name);
    dq_json_set_i64(w, "weight", q->weight);
    if (q->priority_min) {
        dq_json_key(w, "priorities");
        dq_json_begin_array(w);
        dq_json_put_i64(w, q->priority_min);
        dq_json_put_i64(w, q->priority_max);
        dq_json_end_array(w);
    }
    dq_json_set_i64(w, "max_len", q->max_len);
    put_duration_if(w, "retention", q->retention_ms);
    if (q->retry_policy) {
        dq_json_key(w, "retry_policy");
        dq_retry_policy_to_json(q->retry_policy, w);
    }
    dq_json_set_bool(w, "paused", q->paused);
    dq_json_set_i64(w, "pending", q->pending);
    dq_json_set_i64(w, "running", q->running);
    put_duration(w, "oldest_age", q->oldest_age_ms);
    dq_json_set_i64(w, "size", q->pending); /* the Go version's name for it */
}

static void put_task_types(dureq_str types, dq_json_writer *w)
{
    dq_json_key(w, "task_types");
    dq_json_begin_array(w);
    while (types.len) {
        dureq_str type = dq_str_trim(dq_str_cut(&types, ','));

        if (type.len)
            dq_json_put_str(w, type);
    }
    dq_json_end_array(w);
}

void dq_node_info_to_json(const dureq_node_info *n, dq_json_writer *w)
{
    dq_json_begin_object(w);
    dq_json_set_str(w, "node_id", n->node_id);
    put_task_types(n->task_types, w);
    put_time_if(w, "started_at", n->started_at_ms);
    put_time_if(w, "last_heartbeat", n->last_heartbeat_ms);
    dq_json_key(w, "pool_stats");
    dq_json_begin_object(w);
    dq_json_set_i64(w, "running_workers", n->running);
    dq_json_set_i64(w, "idle_workers", DQ_MAX(n->concurrency - n->running, 0));
    dq_json_set_i64(w, "max_concurrency", n->concurrency);
    dq_json_set_i64(w, "stuck_workers", n->stuck);
    dq_json_end_object(w);
    put_str_if(w, "version", n->version);
    put_str_if(w, "host", n->host);
    put_i64_if(w, "pid", n->pid);
    dq_json_set_bool(w, "draining", n->draining);
    dq_json_set_bool(w, "leader", n->leader);
    dq_json_set_bool(w, "too_old", n->too_old);
    dq_json_end_object(w);
}
