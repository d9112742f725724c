/* SPDX-License-Identifier: Apache-2.0 */
/* Workflows in the model, from docs/workflows.md alone: no counters, no continuations, no marks that travel along edges. A task looks at those it depends on
   whenever somebody asks. When a call may leave work to a later one, the model does not say which part of it: hist_check_flow.c reads what was
   done, and asks here whether that was right, and whether all was done where nothing is left. */
#include "hist_model.h"

#include <dureq/workflow.h>

#include "flow/flow.h"
#include "store/flow_calls.h"

#include <string.h>

static bool is_over(int state)
{
    return state > DUREQ_WORKFLOW_TASK_RELEASED;
}

bool hm_flow_is_over(const hm_flow *f)
{
    return f->status == DUREQ_WORKFLOW_COMPLETED || f->status == DUREQ_WORKFLOW_FAILED || f->status == DUREQ_WORKFLOW_CANCELLED;
}

/* ---- calls ---- */

static void begin(hm *m, hm_flow *f)
{
    f->status = DUREQ_WORKFLOW_RUNNING;
    f->due = f->d.limit > 0 ? m->now + f->d.limit : HM_NEVER;
}

/* A lane has its number from the first time it is named, whatever becomes of the start. */
static void name_lanes(hm *m, const hm_flow_def *d)
{
    for (int i = 0; i < d->n; i++) {
        if (m->lane_no[d->task[i].lane] == 0)
            m->lane_no[d->task[i].lane] = ++m->n_lanes;
    }
}

int hm_flow_start(hm *m, int request, const hm_flow_def *d, int *ret_holder)
{
    hm_flow *f = &m->flow[m->n_flows];

    name_lanes(m, d);
    for (int i = 0; i < m->n_flows; i++) {
        if (m->flow[i].request == request) {
            *ret_holder = HM_FLOW_KEYS + i;
            return DQ_FLOW_KNOWN;
        }
    }
    if (d->ukey >= 0 && m->key[d->ukey] >= 0) {
        *ret_holder = m->key[d->ukey];
        return DQ_FLOW_KEY_HELD;
    }
    *f = (hm_flow){.there = true, .attempt = 1, .request = request, .d = *d};
    for (int i = 0; i < d->n; i++)
        f->task[i].job = -1;
    begin(m, f);
    *ret_holder = HM_FLOW_KEYS + m->n_flows;
    if (d->ukey >= 0)
        m->key[d->ukey] = *ret_holder;
    m->n_flows++;
    return DQ_FLOW_STARTED;
}

int hm_flow_cancel(hm *m, int flow, bool first)
{
    hm_flow *f = &m->flow[flow];

    if (!f->there)
        return -3;
    if (hm_flow_is_over(f))
        return first ? -4 : -1;
    f->status = DUREQ_WORKFLOW_CANCELLING;
    return 0;
}

int hm_flow_retry(hm *m, int flow)
{
    hm_flow *f = &m->flow[flow];

    if (!f->there)
        return -3;
    if (f->status != DUREQ_WORKFLOW_FAILED && f->status != DUREQ_WORKFLOW_CANCELLED)
        return -4;
    f->failing = f->timed_out = false;
    f->begins_again = true;
    f->attempt++;
    begin(m, f);
    return 0;
}

void hm_flows_time_out(hm *m)
{
    for (int i = 0; i < m->n_flows; i++) {
        hm_flow *f = &m->flow[i];

        if (!f->there || f->due > m->now)
            continue;
        f->due = HM_NEVER;
        if (f->status != DUREQ_WORKFLOW_RUNNING)
            continue;
        f->status = DUREQ_WORKFLOW_CANCELLING;
        f->timed_out = true;
    }
}

void hm_flows_drop(hm *m)
{
    for (int i = 0; i < m->n_flows; i++) {
        hm_flow *f = &m->flow[i];

        f->there = f->there && !(hm_flow_is_over(f) && f->gone_at <= m->now);
    }
}

/* ---- tasks ---- */

static bool is_bad(const hm_flow *f, int task)
{
    int state = f->task[task].state;

    if (state == DUREQ_WORKFLOW_TASK_UNREACHED)
        return true;
    return (state == DUREQ_WORKFLOW_TASK_FAILED || state == DUREQ_WORKFLOW_TASK_CANCELLED) && !f->d.task[task].allow;
}

int hm_task_becomes(const hm *m, int flow, int task, bool *ret_after)
{
    const hm_flow *f = &m->flow[flow];
    const hm_task_def *d = &f->d.task[task];
    bool bad = false, after = false;

    for (int i = 0; i < f->d.n; i++) {
        if (!(d->deps >> i & 1))
            continue;
        if (!is_over(f->task[i].state))
            return -1;
        bad = bad || is_bad(f, i);
        after = after || (!is_bad(f, i) && f->task[i].after);
    }
    *ret_after = after || f->failing;
    if (d->run_if == DQ_FLOW_ALL_DONE || (d->run_if == DQ_FLOW_ANY_FAILED && bad))
        return DUREQ_WORKFLOW_TASK_RELEASED;
    if (d->run_if == DQ_FLOW_ANY_FAILED) {
        *ret_after = after;
        return DUREQ_WORKFLOW_TASK_SKIPPED;
    }
    return bad || (f->failing && !after) ? DUREQ_WORKFLOW_TASK_UNREACHED : DUREQ_WORKFLOW_TASK_RELEASED;
}

/* It is a job as an enqueued one is, but that no queue is too full for it. */
static void release(hm *m, int flow, int task)
{
    const hm_task_def *d = &m->flow[flow].d.task[task];
    const hm_item it = {.lane = d->lane, .ukey = -1, .request = -1, .s2s = d->s2s, .kept = d->kept, .large = d->large};
    int job = hm_make_of(m, &it);

    m->job[job].payload = d->large ? 0 : d->payload;
    m->job[job].flow = flow + 1;
    m->job[job].task = task;
    m->flow[flow].task[task].job = job;
}

void hm_task_decide(hm *m, int flow, int task, int state, bool after)
{
    hm_task *t = &m->flow[flow].task[task];

    *t = (hm_task){.state = state, .job = -1, .after = after};
    if (state == DUREQ_WORKFLOW_TASK_RELEASED)
        release(m, flow, task);
}

void hm_flow_job_ended(hm *m, int job, int state)
{
    const hm_job *j = &m->job[job];
    hm_flow *f = &m->flow[j->flow - 1];
    hm_task *t = &f->task[j->task];

    if (state == DUREQ_JOB_COMPLETED)
        t->state = j->skips ? DUREQ_WORKFLOW_TASK_SKIPPED : DUREQ_WORKFLOW_TASK_COMPLETED;
    else
        t->state = state == DUREQ_JOB_DEAD ? DUREQ_WORKFLOW_TASK_FAILED : DUREQ_WORKFLOW_TASK_CANCELLED;
    t->swept = state == DUREQ_JOB_CANCELLED && (f->status != DUREQ_WORKFLOW_RUNNING || (f->failing && f->d.cancels));
    t->result = t->state == DUREQ_WORKFLOW_TASK_COMPLETED ? j->result : 0;
    t->has_error = t->state != DUREQ_WORKFLOW_TASK_COMPLETED && state != -1;
    if (f->status == DUREQ_WORKFLOW_RUNNING)
        f->failing = f->failing || is_bad(f, j->task);
}

bool hm_task_stays(const hm *m, int flow, int task)
{
    const hm_flow *f = &m->flow[flow];
    const hm_task *t = &f->task[task];

    if (t->after || t->swept)
        return false;
    return t->state == DUREQ_WORKFLOW_TASK_COMPLETED || t->state == DUREQ_WORKFLOW_TASK_SKIPPED ||
           ((t->state == DUREQ_WORKFLOW_TASK_FAILED || t->state == DUREQ_WORKFLOW_TASK_CANCELLED) && f->d.task[task].allow);
}

bool hm_task_may_be_cancelled(const hm *m, int flow, int task)
{
    const hm_flow *f = &m->flow[flow];

    return f->status == DUREQ_WORKFLOW_CANCELLING ||
           (f->status == DUREQ_WORKFLOW_RUNNING && f->failing && f->d.cancels && !f->task[task].after);
}

/* ---- the whole ---- */

void hm_flow_reset(hm *m, int flow)
{
    hm_flow *f = &m->flow[flow];
    bool stays[HM_TASKS] = {false};

    for (int i = 0; i < f->d.n; i++)
        stays[i] = hm_task_stays(m, flow, i);
    for (int i = 0; i < f->d.n; i++) {
        if (!stays[i])
            f->task[i] = (hm_task){.job = -1};
    }
    f->begins_again = false;
}

static void finish(hm *m, int flow, int status)
{
    hm_flow *f = &m->flow[flow];

    f->status = status;
    f->due = HM_NEVER;
    f->gone_at = m->now + f->d.keep;
    f->begins_again = false;
    if (f->d.ukey >= 0 && m->key[f->d.ukey] == HM_FLOW_KEYS + flow)
        m->key[f->d.ukey] = -1;
}

void hm_flow_settle(hm *m, int flow)
{
    hm_flow *f = &m->flow[flow];
    int n_over = 0, n_released = 0;

    for (int i = 0; i < f->d.n; i++) {
        n_over += is_over(f->task[i].state);
        n_released += f->task[i].state == DUREQ_WORKFLOW_TASK_RELEASED;
    }
    if (f->status == DUREQ_WORKFLOW_CANCELLING && n_released == 0 && !f->begins_again) {
        finish(m, flow, f->timed_out ? DUREQ_WORKFLOW_FAILED : DUREQ_WORKFLOW_CANCELLED);
    } else if (f->status == DUREQ_WORKFLOW_RUNNING && n_over == f->d.n && !f->begins_again) {
        if (f->failing && f->attempt < f->d.attempts) {
            f->failing = false;
            f->begins_again = true;
            f->attempt++;
            begin(m, f);
        } else {
            finish(m, flow, f->failing ? DUREQ_WORKFLOW_FAILED : DUREQ_WORKFLOW_COMPLETED);
        }
    }
}

int hm_flows_to_come(const hm *m)
{
    int n = 0;

    for (int i = 0; i < m->n_flows; i++) {
        const hm_flow *f = &m->flow[i];

        if (f->there && !hm_flow_is_over(f))
            n += f->d.n * (1 + (f->d.attempts > f->attempt ? f->d.attempts - f->attempt : 0));
    }
    for (int i = 0; i < m->n_batches; i++) {
        const hm_batch *b = &m->batch[i];

        if (b->there && !hm_batch_is_over(b))
            n += (HM_MEMBERS + 1) * (1 + (b->d.attempts > b->attempt ? b->d.attempts - b->attempt : 0));
    }
    return n;
}
