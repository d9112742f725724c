/* SPDX-License-Identifier: Apache-2.0 */
#include "run_log.h"

#include <stdio.h>

#define SECOND_US       1000000
#define ERROR_BYTES_MAX 400 /* a record has 1023 */

static void tell_left_out(dq_run_log *r, dq_run_log_level *l, dureq_log_level level)
{
    if (l->n_left_out > 0)
        DQ_LOG(r->log, level, "run.left_out", "count=%llu more than %d a second", (unsigned long long)l->n_left_out,
               DQ_RUN_LOG_PER_SECOND);
    *l = (dq_run_log_level){0};
}

static void tell_all_left_out(dq_run_log *r)
{
    tell_left_out(r, &r->bad, DUREQ_LOG_INFO);
    tell_left_out(r, &r->fine, DUREQ_LOG_DEBUG);
}

static void on_timer(dq_timer *t)
{
    tell_all_left_out(dq_container_of(t, dq_run_log, timer));
}

int dq_run_log_init(dq_run_log *r, dq_loop *loop, const dq_log *log, dureq_error *err)
{
    *r = (dq_run_log){.log = log, .loop = loop};
    return dq_timer_init(&r->timer, loop, on_timer) < 0 ? dq_fail_nomem(err) : 0;
}

void dq_run_log_deinit(dq_run_log *r)
{
    if (!r->loop)
        return;
    tell_all_left_out(r);
    dq_timer_deinit(&r->timer);
    r->loop = NULL;
}

static bool may_say(dq_run_log *r, dq_run_log_level *l, dureq_log_level level)
{
    int64_t now_us = dq_loop_now_us(r->loop);

    if (l->since_us == 0 || now_us - l->since_us >= SECOND_US) {
        tell_left_out(r, l, level);
        l->since_us = now_us;
    }
    if (l->n++ < DQ_RUN_LOG_PER_SECOND)
        return true;
    if (l->n_left_out++ == 0 && !dq_timer_is_set(&r->timer))
        dq_timer_set(&r->timer, SECOND_US);
    return false;
}

static const char *outcome_of(dureq_node_event_kind kind)
{
    switch (kind) {
    case DUREQ_NODE_JOB_STARTED: return "started";
    case DUREQ_NODE_JOB_COMPLETED: return "completed";
    case DUREQ_NODE_JOB_FAILED: return "failed";
    case DUREQ_NODE_JOB_DEAD: return "dead";
    case DUREQ_NODE_JOB_PAUSED: return "paused";
    case DUREQ_NODE_JOB_RESUMED: return "resumed";
    case DUREQ_NODE_JOB_CANCELLED: return "cancelled";
    }
    return "?";
}

/* The first line that says anything, in whole characters; without quotation marks, which would end it in the record. */
static void first_line(const char *error, char out[ERROR_BYTES_MAX + 1])
{
    size_t n;

    error += strspn(error, " \t\r\n");
    n = strcspn(error, "\r\n");
    if (n > ERROR_BYTES_MAX)
        for (n = ERROR_BYTES_MAX; n > 0 && ((unsigned char)error[n] & 0xC0) == 0x80;)
            n--;
    memcpy(out, error, n);
    out[n] = '\0';
    for (char *p = strchr(out, '"'); p; p = strchr(p, '"'))
        *p = '\'';
}

void dq_run_log_event(const dureq_node_event *e, void *run_log)
{
    dq_run_log *r = run_log;
    bool bad = e->kind == DUREQ_NODE_JOB_FAILED || e->kind == DUREQ_NODE_JOB_DEAD;
    dureq_log_level level = bad ? DUREQ_LOG_INFO : DUREQ_LOG_DEBUG;
    char error[ERROR_BYTES_MAX + 1];

    if (!dq_log_wants(r->log, level) || !may_say(r, bad ? &r->bad : &r->fine, level))
        return;
    first_line(e->error, error);
    if (e->kind == DUREQ_NODE_JOB_STARTED)
        DQ_LOG(r->log, level, "run.started", "type=%s job=%s run=%s attempt=%d", e->task_type, e->job_id, e->run_id,
               (int)e->attempt);
    else
        DQ_LOG(r->log, level, "run.ended", "type=%s job=%s run=%s attempt=%d duration_ms=%lld outcome=%s%s%s%s", e->task_type,
               e->job_id, e->run_id, (int)e->attempt, (long long)e->ran_ms, outcome_of(e->kind), *error ? " error=\"" : "", error,
               *error ? "\"" : "");
}
