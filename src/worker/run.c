/* SPDX-License-Identifier: Apache-2.0 */
/* What handlers see of their job and say about it. A handler function has its run to itself, except for the cancel flag, the sign of life, log and
   progress, which the loop reads or writes meanwhile. */

#include "worker/run.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/clock.h"
#include "json/json.h"
#include "worker/worker_internal.h"

#define PROGRESS_MAX 65536

static const dq_wjob *job_of(const dureq_run *r)
{
    return &dq_claim_of(r)->job;
}

void dq_words_deinit(dq_words *w)
{
    dq_free(w->msg);
    dq_buf_deinit(&w->detail);
    dq_buf_deinit(&w->output);
    dq_buf_deinit(&w->payload);
    dq_buf_deinit(&w->result);
    dq_free(w->result_type);
}

/* ---- running it ---- */

typedef struct chain {
    dureq_run *run;
    const dq_handlers *all;
    size_t at; /* next middleware: global ones first, then the handler's */
} chain;

static int run_next(dureq_run *r, void *data)
{
    chain next = *(chain *)data;
    const dq_handler *h = dq_claim_of(r)->handler;
    const dureq_middleware *m = NULL;

    if (next.at < next.all->n_global)
        m = &next.all->global[next.at];
    else if (next.at - next.all->n_global < h->n_middleware)
        m = &h->middleware[next.at - next.all->n_global];
    if (!m)
        return h->fn(r, h->userdata);
    next.at++;
    return m->fn(r, run_next, &next, m->userdata);
}

int dq_run_call(dureq_run *r)
{
    chain first = {.run = r, .all = dq_claim_of(r)->worker->handlers};

    return run_next(r, &first);
}

/* ---- what it is ---- */

const char *dureq_run_job_id(const dureq_run *r)
{
    return job_of(r)->id_text;
}

const char *dureq_run_id(const dureq_run *r)
{
    return job_of(r)->run_text;
}

int32_t dureq_run_attempt(const dureq_run *r)
{
    return job_of(r)->moved.attempts + 1;
}

int32_t dureq_run_max_attempts(const dureq_run *r)
{
    return job_of(r)->retry.max_attempts;
}

bool dq_run_was_moved(const dureq_run *r)
{
    return job_of(r)->m.len > 0;
}

const char *dureq_run_task_type(const dureq_run *r)
{
    return job_of(r)->type;
}

const char *dureq_run_queue(const dureq_run *r)
{
    return job_of(r)->queue;
}

bool dureq_run_schedule(const dureq_run *r, dureq_job_id *ret_id, int64_t *ret_scheduled_at_ms)
{
    const dq_envelope *e = &job_of(r)->env;
    dq_id id;

    if (!dq_id_unpack(e->schedule_id, &id))
        return false;
    if (ret_id)
        dq_id_to_text(&id, ret_id);
    if (ret_scheduled_at_ms)
        *ret_scheduled_at_ms = e->scheduled_at * 1000;
    return true;
}

bool dureq_run_workflow(const dureq_run *r, dureq_job_id *ret_id)
{
    dq_id id;

    if (!dq_id_unpack(job_of(r)->env.workflow_id, &id))
        return false;
    if (ret_id)
        dq_id_to_text(&id, ret_id);
    return true;
}

int32_t dureq_run_priority(const dureq_run *r)
{
    return job_of(r)->env.priority ? job_of(r)->env.priority : DQ_PRIORITY_DEFAULT;
}

const char *dureq_run_node_id(const dureq_run *r)
{
    return dq_claim_of(r)->worker->node_id;
}

dureq_str dureq_run_payload(const dureq_run *r)
{
    return job_of(r)->env.flags & DQ_J_BLOB ? dq_buf_str(&job_of(r)->blob) : job_of(r)->env.payload;
}

const char *dureq_run_content_type(const dureq_run *run)
{
    dureq_run *r = (dureq_run *)run;

    if (!r->content_type[0])
        (void)snprintf(r->content_type, sizeof r->content_type, DQ_STR_FMT, DQ_STR_ARG(job_of(r)->env.content_type));
    return r->content_type;
}

/* Names get their NUL: one block holds the array and all names. */
static void make_headers(dureq_run *r)
{
    dureq_str rest = job_of(r)->env.headers, name, value;
    size_t n = 0, bytes = 0;

    while (dq_headers_next(&rest, &name, &value)) {
        n++;
        bytes += name.len + 1;
    }
    dureq_header *list = n > 0 ? dq_malloc(n * sizeof *list + bytes) : NULL;
    if (!list)
        return;
    char *text = (char *)&list[n];
    rest = job_of(r)->env.headers;
    for (size_t i = 0; i < n && dq_headers_next(&rest, &name, &value); i++) {
        memcpy(text, name.ptr, name.len);
        text[name.len] = '\0';
        list[i] = (dureq_header){.name = text, .value = value};
        text += name.len + 1;
    }
    r->headers = list;
    r->n_headers = n;
}

size_t dureq_run_headers(const dureq_run *run, const dureq_header **ret)
{
    dureq_run *r = (dureq_run *)run;

    if (!r->headers)
        make_headers(r);
    if (ret)
        *ret = r->headers;
    return r->n_headers;
}

dureq_str dureq_run_header(const dureq_run *r, const char *wanted)
{
    dureq_str rest = job_of(r)->env.headers, name, value;

    while (dq_headers_next(&rest, &name, &value))
        if (dq_str_eq_text(name, wanted))
            return value;
    return (dureq_str){0};
}

int64_t dureq_run_deadline_at_ms(const dureq_run *r)
{
    int64_t timeout_ms = dq_run_timeout_ms(r);

    return timeout_ms ? r->started_at_ms + timeout_ms : 0;
}

int64_t dureq_run_enqueued_at_ms(const dureq_run *r)
{
    return (int64_t)job_of(r)->id.ms;
}

/* ---- signs of life ---- */

static void sign(dureq_run *r)
{
    atomic_store_explicit(&r->sign_mono_us, dq_mono_us(), memory_order_relaxed);
}

void dureq_run_heartbeat(dureq_run *r)
{
    sign(r);
}

int dureq_run_progress(dureq_run *r, dureq_str json)
{
    if (json.len > PROGRESS_MAX)
        return DUREQ_ETOOLARGE;
    if (!dq_json_valid(json))
        return DUREQ_EINVAL;
    sign(r);
    dq_mutex_lock(&r->mu);
    dq_buf_clear(&r->progress);
    dq_buf_append_str(&r->progress, json);
    bool failed = dq_buf_failed(&r->progress);
    bool first = !r->progress_new;
    r->progress_new = !failed;
    dq_mutex_unlock(&r->mu);
    if (failed)
        return DUREQ_ENOMEM;
    if (first)
        dq_worker_note_progress(dq_claim_of(r)->worker);
    return 0;
}

bool dureq_run_is_cancelled(const dureq_run *r)
{
    return atomic_load_explicit(&((dureq_run *)r)->cancelled, memory_order_relaxed);
}

bool dureq_run_wait_cancelled(dureq_run *r, int64_t timeout_ms)
{
    int64_t deadline_us = timeout_ms < 0 || timeout_ms > INT64_MAX / 1000 ? -1 : dq_add_sat(dq_mono_us(), timeout_ms * 1000);
    bool in_time = true;

    dq_mutex_lock(&r->mu);
    while (!atomic_load_explicit(&r->cancelled, memory_order_relaxed) && in_time)
        in_time = dq_cond_wait_until(&r->cond, &r->mu, deadline_us);
    dq_mutex_unlock(&r->mu);
    return dureq_run_is_cancelled(r);
}

/* The rest of a line, or a whole one, which begins with `stamp`. */
static void append_piece(dq_buf *log, dureq_str stamp, dureq_str piece)
{
    if (log->len == 0 || log->ptr[log->len - 1] == '\n')
        dq_buf_append_str(log, stamp);
    dq_buf_append_str(log, piece);
}

/* A line begins with its time and the number of its run: those of all runs of a job are one text. Keeps the last DQ_LOG_MAX bytes; cut
   only when twice that, so that a line costs its length. */
void dq_run_log_bytes(dureq_run *r, dureq_str bytes)
{
    char stamp[DQ_RFC3339_TEXT_MAX + sizeof job_of(r)->run_text];
    size_t n = dq_format_rfc3339_ms(dq_wall_ms(), stamp);

    n += (size_t)snprintf(stamp + n, sizeof stamp - n, " %s ", job_of(r)->run_text + DUREQ_JOB_ID_LEN + 1);
    bytes = dq_str_last(bytes, DQ_LOG_MAX);
    dq_mutex_lock(&r->mu);
    if (dq_buf_failed(&r->log))
        dq_buf_clear(&r->log);
    while (bytes.len) {
        const char *end = memchr(bytes.ptr, '\n', bytes.len);
        size_t len = end ? (size_t)(end - bytes.ptr) + 1 : bytes.len;

        append_piece(&r->log, dureq_str_of(stamp, n), dureq_str_of(bytes.ptr, len));
        bytes = dureq_str_of(bytes.ptr + len, bytes.len - len);
        if (r->log.len > 2 * DQ_LOG_MAX)
            dq_buf_consume(&r->log, r->log.len - DQ_LOG_MAX);
    }
    dq_mutex_unlock(&r->mu);
}

void dureq_run_log(dureq_run *r, const char *fmt, ...)
{
    char line[4096]; /* longer lines are cut */
    va_list args;
    int len;

    va_start(args, fmt);
    len = vsnprintf(line, sizeof line - 1, fmt, args);
    va_end(args);
    if (len < 0)
        return;
    size_t n = DQ_MIN((size_t)len, sizeof line - 2);
    if (n == 0 || line[n - 1] != '\n')
        line[n++] = '\n';
    dq_run_log_bytes(r, dureq_str_of(line, n));
}

/* ---- result and outcome ---- */

int dureq_run_set_result(dureq_run *r, dureq_str result, const char *content_type)
{
    if (result.len > DUREQ_RESULT_MAX)
        return DUREQ_ETOOLARGE;
    if (content_type && (strlen(content_type) == 0 || strlen(content_type) > DUREQ_CONTENT_TYPE_MAX))
        return DUREQ_EINVAL;
    dq_buf_clear(&r->words.result);
    dq_buf_append_str(&r->words.result, result);
    dq_free(r->words.result_type);
    r->words.result_type = content_type ? dq_strdup(content_type) : NULL;
    if (dq_buf_failed(&r->words.result) || (content_type && !r->words.result_type))
        return DUREQ_ENOMEM;
    r->words.has_result = true;
    return 0;
}

static void say(dureq_run *r, dureq_outcome outcome, int code, const char *msg)
{
    r->words.has_said = true;
    r->words.outcome = outcome;
    r->words.code = code;
    dq_free(r->words.msg);
    r->words.msg = msg && *msg ? dq_strdup(msg) : NULL;
}

static void say_detail(dureq_run *r, dureq_str detail)
{
    dq_buf_clear(&r->words.detail);
    dq_buf_append(&r->words.detail, detail.ptr, DQ_MIN(detail.len, DQ_DETAIL_MAX));
}

int dureq_run_retry_detail(dureq_run *r, int code, const char *msg, dureq_str detail)
{
    say(r, DUREQ_OUTCOME_RETRY, code ? code : DUREQ_EHANDLER, msg);
    say_detail(r, detail);
    return code < 0 ? code : DUREQ_EHANDLER;
}

int dureq_run_fail_detail(dureq_run *r, int code, const char *msg, dureq_str detail)
{
    say(r, DUREQ_OUTCOME_FAIL, code ? code : DUREQ_EHANDLER, msg);
    say_detail(r, detail);
    return code < 0 ? code : DUREQ_EHANDLER;
}

int dureq_run_rate_limited(dureq_run *r, int64_t after_ms, const char *msg)
{
    say(r, DUREQ_OUTCOME_RATE_LIMITED, 0, msg);
    r->words.after_ms = DQ_MAX(after_ms, 0);
    return DUREQ_ELIMIT;
}

int dureq_run_skip(dureq_run *r, const char *reason)
{
    say(r, DUREQ_OUTCOME_SKIP, 0, reason);
    return 0;
}

int dureq_run_pause(dureq_run *r, int64_t resume_after_ms, const char *reason)
{
    say(r, DUREQ_OUTCOME_PAUSE, 0, reason);
    r->words.after_ms = DQ_MAX(resume_after_ms, 0);
    return DUREQ_EPAUSED;
}

/* Instead of a repeat: else a handler that does not look at what this returned would end its job as done. */
static int refuse_payload(dureq_run *r, int code, const char *msg)
{
    r->words.has_payload = false;
    dq_buf_deinit(&r->words.payload);
    say(r, DUREQ_OUTCOME_RETRY, code, msg);
    return code;
}

int dureq_run_repeat(dureq_run *r, int64_t after_ms, dureq_str new_payload)
{
    return dureq_run_repeat_limited(r, after_ms, new_payload, 0);
}

int dureq_run_repeat_limited(dureq_run *r, int64_t after_ms, dureq_str new_payload, int32_t limit)
{
    size_t max = dq_claim_of(r)->worker->max_payload;
    char msg[128];

    if (new_payload.len > max) {
        (void)snprintf(msg, sizeof msg, "the new payload is %zu bytes long: at most %zu are taken", new_payload.len, max);
        return refuse_payload(r, DUREQ_ETOOLARGE, msg);
    }
    say(r, DUREQ_OUTCOME_REPEAT, 0, NULL);
    r->words.after_ms = DQ_MAX(after_ms, 0);
    r->words.has_payload = new_payload.ptr != NULL;
    dq_buf_clear(&r->words.payload);
    dq_buf_append_str(&r->words.payload, new_payload);
    if (dq_buf_failed(&r->words.payload))
        return refuse_payload(r, DUREQ_ENOMEM, "there is no memory for the new payload");
    r->words.repeat_limit = (uint8_t)DQ_MIN(DQ_MAX(limit, 0), UINT8_MAX);
    return 0;
}

/* ---- for external handlers ---- */

void dq_run_set_state(dureq_run *r, void *state)
{
    r->external = state;
}

void dq_run_set_output(dureq_run *r, dureq_str output)
{
    dq_buf_clear(&r->words.output);
    dq_buf_append(&r->words.output, output.ptr, DQ_MIN(output.len, DQ_OUTPUT_MAX));
}

void *dq_run_get_state(dureq_run *r)
{
    return r->external;
}

int64_t dq_run_grace_ms(const dureq_run *r)
{
    return dq_claim_of(r)->handler->grace_ms;
}
