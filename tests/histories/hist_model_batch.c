/* SPDX-License-Identifier: Apache-2.0 */
/* Batches in the model, from docs/batches.md alone. What is released and cancelled is read from the server and looked at, as for workflows
   (hist_check_flow.c). */
#include "hist_model.h"

#include <dureq/batch.h>

#include "store/batch_calls.h"

#include <string.h>

enum { ONCE_NONE, ONCE_WAITS, ONCE_RELEASED, ONCE_DONE, ONCE_FAILED };

bool hm_batch_is_over(const hm_batch *b)
{
    return b->status == DUREQ_BATCH_COMPLETED || b->status == DUREQ_BATCH_FAILED || b->status == DUREQ_BATCH_CANCELLED;
}

static void begin(hm *m, hm_batch *b)
{
    b->status = DUREQ_BATCH_RUNNING;
    b->due = b->d.limit > 0 ? m->now + b->d.limit : HM_NEVER;
}

static void name_lane(hm *m, int lane)
{
    if (lane >= 0 && m->lane_no[lane] == 0)
        m->lane_no[lane] = ++m->n_lanes;
}

int hm_batch_start(hm *m, int request, const hm_batch_def *d, int *ret_holder)
{
    hm_batch *b = &m->batch[m->n_batches];

    for (int i = 0; i < m->n_batches; i++) {
        if (m->batch[i].request == request) {
            *ret_holder = HM_FLOW_KEYS + HM_FLOWS + i;
            return DQ_BATCH_KNOWN;
        }
    }
    if (d->ukey >= 0 && m->key[d->ukey] >= 0) {
        *ret_holder = m->key[d->ukey];
        return DQ_BATCH_KEY_HELD;
    }
    name_lane(m, d->lane);
    name_lane(m, d->once_lane);
    *b = (hm_batch){.there = true,
                    .attempt = 1,
                    .request = request,
                    .d = *d,
                    .is_open = d->is_open,
                    .status = DUREQ_BATCH_LOADING,
                    .loads_until = m->now,
                    .due = HM_NEVER,
                    .once = d->once_lane >= 0 ? ONCE_WAITS : ONCE_NONE,
                    .once_job = -1};
    if (d->is_open)
        begin(m, b);
    *ret_holder = HM_FLOW_KEYS + HM_FLOWS + m->n_batches;
    if (d->ukey >= 0)
        m->key[d->ukey] = *ret_holder;
    m->n_batches++;
    return DQ_BATCH_STARTED;
}

int hm_batch_add(hm *m, int batch, int at, const int *payloads, int n)
{
    hm_batch *b = &m->batch[batch];

    if (!b->there)
        return -3;
    if (n > 0 && at + n <= b->n)
        return b->n;
    if (b->status != DUREQ_BATCH_LOADING && !(b->status == DUREQ_BATCH_RUNNING && b->is_open))
        return -4;
    if (at != b->n)
        return -5;
    for (int i = 0; i < n; i++)
        b->item[b->n++] = (hm_member){.job = -1, .payload = payloads[i]};
    if (b->status == DUREQ_BATCH_LOADING)
        b->loads_until = m->now;
    return b->n;
}

int hm_batch_seal(hm *m, int batch)
{
    hm_batch *b = &m->batch[batch];

    if (!b->there)
        return -3;
    if (!b->is_open && (b->status == DUREQ_BATCH_CANCELLING || b->status == DUREQ_BATCH_CANCELLED))
        return -4;
    if (b->status == DUREQ_BATCH_LOADING)
        begin(m, b);
    b->is_open = false;
    return b->n;
}

int hm_batch_cancel(hm *m, int batch, bool first)
{
    hm_batch *b = &m->batch[batch];

    if (!b->there)
        return -3;
    if (hm_batch_is_over(b))
        return first ? -4 : 0;
    if (b->status != DUREQ_BATCH_CANCELLING)
        b->is_open = false;
    if (b->status == DUREQ_BATCH_LOADING)
        b->request = -1; /* it never began: its request begins another */
    b->status = DUREQ_BATCH_CANCELLING;
    b->due = HM_NEVER;
    return 1;
}

static void again(hm *m, hm_batch *b, bool all)
{
    b->attempt++;
    b->next = b->n_failed = b->n_cancelled = 0;
    b->failing = b->timed_out = false;
    if (all) {
        b->n_completed = b->n_skipped = 0;
        for (int i = 0; i < b->n; i++)
            b->item[i].state = DUREQ_BATCH_ITEM_PENDING;
    }
    if (b->once == ONCE_FAILED || (all && b->once != ONCE_NONE))
        b->once = ONCE_WAITS;
    begin(m, b);
}

int hm_batch_retry(hm *m, int batch, bool all)
{
    hm_batch *b = &m->batch[batch];

    if (!b->there)
        return -3;
    if (b->status != DUREQ_BATCH_FAILED && b->status != DUREQ_BATCH_CANCELLED)
        return -4;
    again(m, b, all);
    return 0;
}

static void finish(hm *m, int batch, int status)
{
    hm_batch *b = &m->batch[batch];

    b->status = status;
    b->due = HM_NEVER;
    b->gone_at = m->now + b->d.keep;
    if (b->d.ukey >= 0 && m->key[b->d.ukey] == HM_FLOW_KEYS + HM_FLOWS + batch)
        m->key[b->d.ukey] = -1;
}

void hm_batches_time_out(hm *m)
{
    for (int i = 0; i < m->n_batches; i++) {
        hm_batch *b = &m->batch[i];

        if (!b->there)
            continue;
        if (b->status == DUREQ_BATCH_LOADING && b->loads_until < m->now) {
            b->d.keep = 0;
            b->request = -1;
            finish(m, i, DUREQ_BATCH_CANCELLED);
        } else if (b->due <= m->now && b->status == DUREQ_BATCH_RUNNING) {
            b->status = DUREQ_BATCH_CANCELLING;
            b->timed_out = true;
            b->due = HM_NEVER;
        }
    }
}

void hm_batches_drop(hm *m)
{
    for (int i = 0; i < m->n_batches; i++) {
        hm_batch *b = &m->batch[i];

        b->there = b->there && !(hm_batch_is_over(b) && b->gone_at <= m->now);
    }
}

/* ---- items ---- */

int hm_batch_running(const hm_batch *b)
{
    int n = 0;

    for (int i = 0; i < b->n; i++)
        n += b->item[i].state == DUREQ_BATCH_ITEM_RUNNING;
    return n;
}

int hm_batch_next(const hm_batch *b)
{
    for (int i = b->next; i < b->n; i++) {
        int state = b->item[i].state;

        if (state == DUREQ_BATCH_ITEM_PENDING || state == DUREQ_BATCH_ITEM_FAILED || state == DUREQ_BATCH_ITEM_CANCELLED)
            return i;
    }
    return -1;
}

bool hm_batch_stops(const hm_batch *b)
{
    return b->once == ONCE_FAILED || (b->failing && b->d.fails_fast);
}

bool hm_batch_may_release(const hm *m, int batch)
{
    const hm_batch *b = &m->batch[batch];

    return b->status == DUREQ_BATCH_RUNNING && !hm_batch_stops(b) && (b->once == ONCE_NONE || b->once == ONCE_DONE) &&
           hm_batch_running(b) < b->d.window;
}

bool hm_batch_may_cancel(const hm_batch *b)
{
    return b->status == DUREQ_BATCH_CANCELLING || (b->status == DUREQ_BATCH_RUNNING && hm_batch_stops(b));
}

/* item HM_MEMBERS: the one-time task. */
void hm_batch_release(hm *m, int batch, int item)
{
    hm_batch *b = &m->batch[batch];
    bool once = item == HM_MEMBERS;
    const hm_item it = {
        .lane = once ? b->d.once_lane : b->d.lane, .ukey = -1, .request = -1, .s2s = once ? 0 : b->d.s2s, .kept = false};
    int job = hm_make_of(m, &it);

    m->job[job].batch = batch + 1;
    m->job[job].task = item;
    m->job[job].payload = once ? b->d.once_payload : b->item[item].payload;
    if (once) {
        b->once = ONCE_RELEASED;
        b->once_job = job;
        return;
    }
    b->item[item].state = DUREQ_BATCH_ITEM_RUNNING;
    b->item[item].job = job;
    b->next = item + 1;
}

static void once_ended(hm_batch *b, const hm_job *j, int state)
{
    bool done = state == DUREQ_JOB_COMPLETED;

    b->once = done ? ONCE_DONE : ONCE_FAILED;
    b->once_result = done && !j->skips ? j->result : 0;
    b->failing = !done;
}

void hm_batch_job_ended(hm *m, int job, int state)
{
    const hm_job *j = &m->job[job];
    hm_batch *b = &m->batch[j->batch - 1];

    if (j->task == HM_MEMBERS) {
        once_ended(b, j, state);
        return;
    }
    hm_member *i = &b->item[j->task];
    i->result = 0;
    if (state == DUREQ_JOB_COMPLETED) {
        i->state = j->skips ? DUREQ_BATCH_ITEM_SKIPPED : DUREQ_BATCH_ITEM_COMPLETED;
        i->result = j->skips ? 0 : j->result;
        b->n_completed++;
        b->n_skipped += j->skips;
    } else {
        i->state = state == DUREQ_JOB_DEAD ? DUREQ_BATCH_ITEM_FAILED : DUREQ_BATCH_ITEM_CANCELLED;
        b->n_failed += state == DUREQ_JOB_DEAD;
        b->n_cancelled += state != DUREQ_JOB_DEAD;
        b->failing = true;
    }
}

void hm_batch_settle(hm *m, int batch)
{
    hm_batch *b = &m->batch[batch];

    if (hm_batch_running(b) > 0 || b->once == ONCE_RELEASED)
        return;
    if (b->status == DUREQ_BATCH_CANCELLING) {
        finish(m, batch, b->timed_out ? DUREQ_BATCH_FAILED : DUREQ_BATCH_CANCELLED);
    } else if (b->status == DUREQ_BATCH_RUNNING &&
               (hm_batch_stops(b) || (b->once != ONCE_WAITS && hm_batch_next(b) < 0 && !b->is_open))) {
        if (!b->failing)
            finish(m, batch, DUREQ_BATCH_COMPLETED);
        else if (b->attempt < b->d.attempts)
            again(m, b, /*all=*/false);
        else
            finish(m, batch, DUREQ_BATCH_FAILED);
    }
}
