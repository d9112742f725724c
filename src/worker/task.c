/* SPDX-License-Identifier: Apache-2.0 */
/* What handlers see of their job and say about it. A handler function has its task to itself, except for the cancel flag, the sign of life, log and
   progress, which the loop reads or writes meanwhile. */

#include "worker/task.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/clock.h"
#include "json/json.h"
#include "worker/worker_internal.h"

#define PROGRESS_MAX 65536

dureq_run *dq_task_create(dq_worker *w)
{
    dureq_run *t;

    if (!dq_list_empty(&w->spare)) {
        t = dq_container_of(dq_list_pop_front(&w->spare), dureq_run, link);
        w->n_spare--;
    } else {
        t = dq_calloc(1, sizeof *t);
        if (!t)
            return NULL;
        dq_mutex_init(&t->mu);
        dq_cond_init(&t->cond);
    }
    t->worker = w;
    return t;
}

/* What a run may have left behind; most leave nothing. */
static void forget_said(dureq_run *t)
{
    dq_free(t->said.msg);
    dq_buf_deinit(&t->said.detail);
    dq_buf_deinit(&t->said.output);
    dq_buf_deinit(&t->said.payload);
    dq_buf_deinit(&t->result);
    dq_buf_deinit(&t->blob);
    dq_buf_deinit(&t->log);
    dq_buf_deinit(&t->progress);
    dq_free(t->result_type);
    dq_free(t->headers);
}

void dq_task_free(dureq_run *t)
{
    dq_worker *w = t->worker;

    if (t->rbuf)
        dq_rbuf_unref(t->rbuf);
    forget_said(t);
    if (w->n_spare >= w->concurrency) {
        dq_cond_deinit(&t->cond);
        dq_mutex_deinit(&t->mu);
        dq_free(t);
        return;
    }
    memset(t, 0, offsetof(struct dureq_run, mu)); /* what lies after the lock is empty by now */
    t->progress_new = false;
    dq_list_push_back(&w->spare, &t->link);
    w->n_spare++;
}

dq_entry dq_task_entry(const dureq_run *t)
{
    return (dq_entry){.ms = t->entry_ms, .seq = t->entry_seq, .lane = t->lane->no, .front = t->front};
}

void dq_task_cancel(dureq_run *t, dq_stop_reason why)
{
    if (!t->why_stop)
        t->why_stop = why;
    dq_mutex_lock(&t->mu);
    atomic_store_explicit(&t->cancelled, true, memory_order_relaxed);
    dq_cond_broadcast(&t->cond);
    dq_mutex_unlock(&t->mu);
}

/* ---- running it ---- */

typedef struct chain {
    dureq_run *task;
    const dq_handlers *all;
    size_t at; /* next middleware: global ones first, then the handler's */
} chain;

static int run_next(dureq_run *t, void *data)
{
    chain next = *(chain *)data;
    const dq_handler *h = t->handler;
    const dureq_middleware *m = NULL;

    if (next.at < next.all->n_global)
        m = &next.all->global[next.at];
    else if (next.at - next.all->n_global < h->n_middleware)
        m = &h->middleware[next.at - next.all->n_global];
    if (!m)
        return h->fn(t, h->userdata);
    next.at++;
    return m->fn(t, run_next, &next, m->userdata);
}

int dq_task_run(dureq_run *t)
{
    chain first = {.task = t, .all = t->worker->handlers};

    return run_next(t, &first);
}

/* ---- what it is ---- */

const char *dureq_run_job_id(const dureq_run *t)
{
    return t->job_id_text;
}

const char *dureq_run_id(const dureq_run *t)
{
    return t->run_id_text;
}

int32_t dureq_run_attempt(const dureq_run *t)
{
    return t->moved.attempts + 1;
}

int32_t dureq_run_max_attempts(const dureq_run *t)
{
    return t->retry.max_attempts;
}

bool dq_task_was_moved(const dureq_run *t)
{
    return t->m.len > 0;
}

const char *dureq_run_task_type(const dureq_run *t)
{
    return t->type_text;
}

const char *dureq_run_queue(const dureq_run *t)
{
    return t->queue_text;
}

int32_t dureq_run_priority(const dureq_run *t)
{
    return t->env.priority ? t->env.priority : DQ_PRIORITY_DEFAULT;
}

const char *dureq_run_node_id(const dureq_run *t)
{
    return t->worker->node_id;
}

dureq_str dureq_run_payload(const dureq_run *t)
{
    return t->env.flags & DQ_J_BLOB ? dq_buf_str(&t->blob) : t->env.payload;
}

const char *dureq_run_content_type(const dureq_run *task)
{
    dureq_run *t = (dureq_run *)task;

    if (!t->content_type_text[0])
        (void)snprintf(t->content_type_text, sizeof t->content_type_text, DQ_STR_FMT, DQ_STR_ARG(t->env.content_type));
    return t->content_type_text;
}

/* Names get their NUL: one block holds the array and all names. */
static void make_headers(dureq_run *t)
{
    dureq_str rest = t->env.headers, name, value;
    size_t n = 0, bytes = 0;

    while (dq_headers_next(&rest, &name, &value)) {
        n++;
        bytes += name.len + 1;
    }
    dureq_header *list = n > 0 ? dq_malloc(n * sizeof *list + bytes) : NULL;
    if (!list)
        return;
    char *text = (char *)&list[n];
    rest = t->env.headers;
    for (size_t i = 0; i < n && dq_headers_next(&rest, &name, &value); i++) {
        memcpy(text, name.ptr, name.len);
        text[name.len] = '\0';
        list[i] = (dureq_header){.name = text, .value = value};
        text += name.len + 1;
    }
    t->headers = list;
    t->n_headers = n;
}

size_t dureq_run_headers(const dureq_run *task, const dureq_header **ret)
{
    dureq_run *t = (dureq_run *)task;

    if (!t->headers)
        make_headers(t);
    if (ret)
        *ret = t->headers;
    return t->n_headers;
}

dureq_str dureq_run_header(const dureq_run *t, const char *wanted)
{
    dureq_str rest = t->env.headers, name, value;

    while (dq_headers_next(&rest, &name, &value))
        if (dq_str_eq_text(name, wanted))
            return value;
    return (dureq_str){0};
}

int64_t dureq_run_deadline_at_ms(const dureq_run *t)
{
    int64_t timeout_ms = dq_task_timeout_ms(t);

    return timeout_ms ? t->started_at_ms + timeout_ms : 0;
}

int64_t dureq_run_enqueued_at_ms(const dureq_run *t)
{
    return (int64_t)t->id.ms;
}

/* ---- signs of life ---- */

static void sign(dureq_run *t)
{
    atomic_store_explicit(&t->sign_mono_us, dq_mono_us(), memory_order_relaxed);
}

void dureq_run_heartbeat(dureq_run *t)
{
    sign(t);
}

int dureq_run_progress(dureq_run *t, dureq_str json)
{
    if (json.len > PROGRESS_MAX)
        return DUREQ_ETOOLARGE;
    if (!dq_json_valid(json))
        return DUREQ_EINVAL;
    sign(t);
    dq_mutex_lock(&t->mu);
    dq_buf_clear(&t->progress);
    dq_buf_append_str(&t->progress, json);
    bool failed = dq_buf_failed(&t->progress);
    bool first = !t->progress_new;
    t->progress_new = !failed;
    dq_mutex_unlock(&t->mu);
    if (failed)
        return DUREQ_ENOMEM;
    if (first)
        dq_worker_note_progress(t->worker);
    return 0;
}

bool dureq_run_is_cancelled(const dureq_run *t)
{
    return atomic_load_explicit(&((dureq_run *)t)->cancelled, memory_order_relaxed);
}

bool dureq_run_wait_cancelled(dureq_run *t, int64_t timeout_ms)
{
    int64_t deadline_us = timeout_ms < 0 || timeout_ms > INT64_MAX / 1000 ? -1 : dq_add_sat(dq_mono_us(), timeout_ms * 1000);
    bool in_time = true;

    dq_mutex_lock(&t->mu);
    while (!atomic_load_explicit(&t->cancelled, memory_order_relaxed) && in_time)
        in_time = dq_cond_wait_until(&t->cond, &t->mu, deadline_us);
    dq_mutex_unlock(&t->mu);
    return dureq_run_is_cancelled(t);
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
void dq_task_log_bytes(dureq_run *t, dureq_str bytes)
{
    char stamp[DQ_RFC3339_TEXT_MAX + sizeof t->run_id_text];
    size_t n = dq_format_rfc3339_ms(dq_wall_ms(), stamp);

    n += (size_t)snprintf(stamp + n, sizeof stamp - n, " %s ", t->run_id_text + DUREQ_JOB_ID_LEN + 1);
    bytes = dq_str_last(bytes, DQ_LOG_MAX);
    dq_mutex_lock(&t->mu);
    if (dq_buf_failed(&t->log))
        dq_buf_clear(&t->log);
    while (bytes.len) {
        const char *end = memchr(bytes.ptr, '\n', bytes.len);
        size_t len = end ? (size_t)(end - bytes.ptr) + 1 : bytes.len;

        append_piece(&t->log, dureq_str_of(stamp, n), dureq_str_of(bytes.ptr, len));
        bytes = dureq_str_of(bytes.ptr + len, bytes.len - len);
        if (t->log.len > 2 * DQ_LOG_MAX)
            dq_buf_consume(&t->log, t->log.len - DQ_LOG_MAX);
    }
    dq_mutex_unlock(&t->mu);
}

/* What the next run says begins a line. No lock: nobody else has the log by then, as when it is recorded. */
void dq_task_end_log(dureq_run *t)
{
    if (t->log.len && t->log.ptr[t->log.len - 1] != '\n')
        dq_buf_append_char(&t->log, '\n');
}

void dureq_run_log(dureq_run *t, const char *fmt, ...)
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
    dq_task_log_bytes(t, dureq_str_of(line, n));
}

/* ---- result and outcome ---- */

int dureq_run_set_result(dureq_run *t, dureq_str result, const char *content_type)
{
    if (result.len > DUREQ_RESULT_MAX)
        return DUREQ_ETOOLARGE;
    if (content_type && (strlen(content_type) == 0 || strlen(content_type) > DUREQ_CONTENT_TYPE_MAX))
        return DUREQ_EINVAL;
    dq_buf_clear(&t->result);
    dq_buf_append_str(&t->result, result);
    dq_free(t->result_type);
    t->result_type = content_type ? dq_strdup(content_type) : NULL;
    if (dq_buf_failed(&t->result) || (content_type && !t->result_type))
        return DUREQ_ENOMEM;
    t->has_result = true;
    return 0;
}

static void say(dureq_run *t, dureq_outcome outcome, int code, const char *msg)
{
    t->said.any = true;
    t->said.outcome = outcome;
    t->said.code = code;
    dq_free(t->said.msg);
    t->said.msg = msg && *msg ? dq_strdup(msg) : NULL;
}

static void say_detail(dureq_run *t, dureq_str detail)
{
    dq_buf_clear(&t->said.detail);
    dq_buf_append(&t->said.detail, detail.ptr, DQ_MIN(detail.len, DQ_DETAIL_MAX));
}

int dureq_run_retry_detail(dureq_run *t, int code, const char *msg, dureq_str detail)
{
    say(t, DUREQ_OUTCOME_RETRY, code ? code : DUREQ_EHANDLER, msg);
    say_detail(t, detail);
    return code < 0 ? code : DUREQ_EHANDLER;
}

int dureq_run_fail_detail(dureq_run *t, int code, const char *msg, dureq_str detail)
{
    say(t, DUREQ_OUTCOME_FAIL, code ? code : DUREQ_EHANDLER, msg);
    say_detail(t, detail);
    return code < 0 ? code : DUREQ_EHANDLER;
}

int dureq_run_rate_limited(dureq_run *t, int64_t after_ms, const char *msg)
{
    say(t, DUREQ_OUTCOME_RATE_LIMITED, 0, msg);
    t->said.after_ms = DQ_MAX(after_ms, 0);
    return DUREQ_ELIMIT;
}

int dureq_run_skip(dureq_run *t, const char *reason)
{
    say(t, DUREQ_OUTCOME_SKIP, 0, reason);
    return 0;
}

int dureq_run_pause(dureq_run *t, int64_t resume_after_ms, const char *reason)
{
    say(t, DUREQ_OUTCOME_PAUSE, 0, reason);
    t->said.after_ms = DQ_MAX(resume_after_ms, 0);
    return DUREQ_EPAUSED;
}

int dureq_run_repeat(dureq_run *t, int64_t after_ms, dureq_str new_payload)
{
    return dureq_run_repeat_limited(t, after_ms, new_payload, 0);
}

int dureq_run_repeat_limited(dureq_run *t, int64_t after_ms, dureq_str new_payload, int32_t limit)
{
    say(t, DUREQ_OUTCOME_REPEAT, 0, NULL);
    t->said.after_ms = DQ_MAX(after_ms, 0);
    t->said.has_payload = new_payload.ptr != NULL;
    dq_buf_clear(&t->said.payload);
    dq_buf_append_str(&t->said.payload, new_payload);
    t->said.repeat_limit = (uint8_t)DQ_MIN(DQ_MAX(limit, 0), UINT8_MAX);
    return 0;
}

/* ---- for external handlers ---- */

void dq_task_set_state(dureq_run *t, void *state)
{
    t->state = state;
}

void dq_task_set_output(dureq_run *t, dureq_str output)
{
    dq_buf_clear(&t->said.output);
    dq_buf_append(&t->said.output, output.ptr, DQ_MIN(output.len, DQ_OUTPUT_MAX));
}

void *dq_task_get_state(dureq_run *t)
{
    return t->state;
}

int64_t dq_task_grace_ms(const dureq_run *t)
{
    return t->handler->grace_ms;
}
