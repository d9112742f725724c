/* SPDX-License-Identifier: Apache-2.0 */
/* Suspects: jobs whose process went down before anybody had said that they had started. One of them may have been the cause, most were not, so
   none was charged with it. To find out, from then on the start of a suspect is on record before its handler runs, which takes a heartbeat's
   round trip:

   - A suspect that was never charged runs beside everything else, together with others of its kind. Most processes end for reasons of their own,
     all at once and with many jobs, and those must be running elsewhere as soon as any others. Until the last of them has run for a while, all
     sessions of this node name them as those to be charged: what ran before them did not do it.
   - A suspect that has been charged before runs alone: it waits until nothing else runs, or until what does has run for a while; then
     nothing is fetched, what a read brings that was under way is given back, and all sessions of this node name it as the one to be charged.
     What takes a process down does so at once, as a rule: so after a while it is a job like any other, and a long one does not hold up the node.

   The two take turns. So a job that takes down its process at once each time is dead after max_crashes charged crashes and one that was not,
   and a job that was beside it was charged once at most. A program is a suspect like a function: it can take the daemon down as well, and how
   it ended, only a daemon that lives knows. Loop thread. */

#include "worker/worker_internal.h"

#define SUSPECT_WAIT_US 200000
#define ALONE_US        300000

/* Not told to start yet; whether its start is on record or not. */
static bool waits(const dureq_run *t)
{
    return t->suspect && t->phase == TASK_WAITING && !t->admitted && !t->in_returns && !t->gated;
}

bool dq_suspect_wants_report(const dureq_run *t)
{
    bool has_turn = t->moved.crashes == 0 ? t->worker->together : t == t->worker->alone;

    return waits(t) && !t->reported && has_turn;
}

bool dq_suspects_hold(const dq_worker *w)
{
    return w->alone || !dq_list_empty(&w->suspects);
}

/* All sessions are told whom to blame. */
static void tell_blame(dq_worker *w)
{
    w->alone_no++;
    for (unsigned i = 0; i < w->n_shards; i++)
        dq_session_beat_soon(&w->shards[i]);
}

static void set_alone(dq_worker *w, dureq_run *t)
{
    w->alone = t;
    tell_blame(w);
}

static void set_together(dq_worker *w, bool on)
{
    w->together = on;
    w->new_waits = false;
    w->together_until_us = dq_loop_now_us(w->loop) + ALONE_US;
    tell_blame(w);
}

void dq_suspect_admit(dureq_run *t)
{
    dq_worker *w = t->worker;

    if (t->moved.crashes == 0) {
        w->new_waits = true;
    } else {
        if (dq_list_empty(&w->suspects))
            w->suspect_since_us = dq_loop_now_us(w->loop);
        dq_list_push_back(&w->suspects, &t->link);
    }
    dq_suspects_look(w);
}

/* Does it still keep the others waiting? */
static bool is_alone(dq_worker *w)
{
    int64_t left_us = ALONE_US;

    if (!w->alone)
        return false;
    if (w->alone->phase == TASK_RUNNING)
        left_us = w->alone->started_loop_us + ALONE_US - dq_loop_now_us(w->loop);
    if (left_us > 0)
        dq_timer_set(&w->suspect_timer, left_us);
    else
        set_alone(w, NULL);
    return left_us > 0;
}

static bool any_new_waits(const dq_worker *w)
{
    for (unsigned i = 0; i < w->n_shards; i++)
        DQ_LIST_FOREACH (dureq_run, t, &w->shards[i].held, in_shard)
            if (waits(t) && t->moved.crashes == 0)
                return true;
    return false;
}

/* Those never charged: do they run together, or shall they from now on? */
static bool is_together(dq_worker *w)
{
    int64_t left_us = w->together_until_us - dq_loop_now_us(w->loop);

    if (w->new_waits && !w->together) {
        set_together(w, true);
        return true;
    }
    if (w->new_waits) { /* the next heartbeat reports them, too */
        w->new_waits = false;
        w->together_until_us += ALONE_US - left_us;
        left_us = ALONE_US;
        for (unsigned i = 0; i < w->n_shards; i++)
            dq_session_beat_soon(&w->shards[i]);
    }
    if (!w->together)
        return false;
    if (left_us > 0 || any_new_waits(w)) {
        dq_timer_set(&w->suspect_timer, left_us > 0 ? left_us : ALONE_US);
        return true;
    }
    set_together(w, false);
    return false;
}

static uint32_t count_waiting(dq_worker *w)
{
    uint32_t n = 0;

    DQ_LIST_FOREACH (dureq_run, t, &w->suspects, link)
        n++;
    return n;
}

void dq_suspects_look(dq_worker *w)
{
    if (is_alone(w) || is_together(w))
        return;
    if (dq_list_empty(&w->suspects)) {
        dq_worker_pump(w);
        return;
    }
    int64_t left_us = w->suspect_since_us + SUSPECT_WAIT_US - dq_loop_now_us(w->loop);
    if (w->n_held > count_waiting(w) && left_us > 0) {
        dq_timer_set(&w->suspect_timer, left_us);
        return;
    }
    set_alone(w, dq_container_of(dq_list_pop_front(&w->suspects), dureq_run, link));
}

void dq_suspect_over(dureq_run *t)
{
    dq_worker *w = t->worker;

    if (w->alone == t)
        set_alone(w, NULL);
    if (t->suspect || dq_suspects_hold(w))
        dq_suspects_look(w);
}

static bool all_know_whom_to_blame(const dq_worker *w)
{
    for (unsigned i = 0; i < w->n_shards; i++)
        if (w->shards[i].state == WSHARD_LIVE && w->shards[i].blame_told != w->alone_no)
            return false;
    return true;
}

/* With its start on record. It may end at once. */
static void start(dureq_run *t)
{
    t->admitted = true;
    dq_fetch_start(t);
}

static void start_together(dq_worker *w)
{
    w->together_until_us = dq_loop_now_us(w->loop) + ALONE_US;
    for (unsigned i = 0; i < w->n_shards; i++)
        DQ_LIST_FOREACH (dureq_run, t, &w->shards[i].held, in_shard)
            if (waits(t) && t->moved.crashes == 0 && t->reported && !t->report_flying)
                start(t);
}

/* Who starts may be another shard's than the one whose answer was missing. */
void dq_suspects_told(dq_wshard *s)
{
    dq_worker *w = s->worker;
    dureq_run *alone = w->alone;

    s->blame_told = s->blame_flying;
    if (alone && waits(alone) && alone->reported && !alone->report_flying && all_know_whom_to_blame(w))
        start(alone);
    else if (w->together && any_new_waits(w) && all_know_whom_to_blame(w))
        start_together(w);
    for (unsigned i = 0; i < w->n_shards; i++) /* whose payload could not be asked for */
        dq_session_return(&w->shards[i]);
    dq_pool_push(w->pool, &w->to_pool);
    dq_suspects_look(w);
}

void dq_suspects_give_back(dq_worker *w)
{
    for (unsigned i = 0; i < w->n_shards; i++) {
        dq_wshard *s = &w->shards[i];

        DQ_LIST_FOREACH (dureq_run, t, &s->held, in_shard) {
            if (!waits(t))
                continue;
            dq_list_remove(&t->link);
            t->suspect = false;
            dq_worker_task_over(t);
            dq_fetch_give_back(t);
        }
        dq_session_return(s);
    }
}
