/* SPDX-License-Identifier: Apache-2.0 */
/* Suspects: jobs whose process went down before anybody had said that they had started. One of them may have been the cause, most were not, so
   none was charged with it. To find out, from then on the start of a suspect is on record before its handler runs, which takes a heartbeat's
   round trip:

   - A suspect of one crash runs beside everything else. Most processes end for reasons of their own, all at once and with many jobs, and those
     must be running elsewhere as soon as any others. If this process goes down as well, each job on record is charged with a crash.
   - A suspect that has been charged before runs alone: it waits until nothing else runs, or until what does has run for a while; then
     nothing is fetched, and all sessions of this node name it as the one to be charged. What takes a process down does so at once, as a
     rule: so after a while it is a job like any other, and a long one does not hold up the node.

   A job that takes down its process each time is so dead after max_crashes charged crashes and one that was not, and a job that was beside
   it was charged once at most. Handlers that are programs of their own are no suspects: how they end is known. Loop thread. */

#include "worker/worker_internal.h"

#define SUSPECT_WAIT_US 200000
#define ALONE_US        300000

bool dq_suspect_wants_report(const dureq_run *t)
{
    bool has_turn = t->moved.crashes == 0 || t == t->worker->alone;

    return t->suspect && t->phase == TASK_WAITING && !t->reported && !t->admitted && has_turn && !t->in_returns;
}

bool dq_suspects_hold(const dq_worker *w)
{
    return w->alone || !dq_list_empty(&w->suspects);
}

void dq_suspect_admit(dureq_run *t)
{
    dq_worker *w = t->worker;

    if (t->moved.crashes == 0) {
        dq_session_beat_soon(t->shard);
        return;
    }
    if (dq_list_empty(&w->suspects))
        w->suspect_since_us = dq_loop_now_us(w->loop);
    dq_list_push_back(&w->suspects, &t->link);
    dq_suspects_look(w);
}

/* All sessions are told whom to blame. */
static void set_alone(dq_worker *w, dureq_run *t)
{
    w->alone = t;
    w->alone_no++;
    for (unsigned i = 0; i < w->n_shards; i++)
        dq_session_beat_soon(&w->shards[i]);
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

static uint32_t count_waiting(dq_worker *w)
{
    uint32_t n = 0;

    DQ_LIST_FOREACH (dureq_run, t, &w->suspects, link)
        n++;
    return n;
}

void dq_suspects_look(dq_worker *w)
{
    if (is_alone(w))
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

static void start(dureq_run *t)
{
    t->admitted = true;
    dq_fetch_start(t);
}

/* The alone one may be another shard's than the one whose answer was missing. */
void dq_suspects_told(dq_wshard *s)
{
    dq_worker *w = s->worker;
    dureq_run *alone = w->alone;

    s->blame_told = s->blame_flying;
    DQ_LIST_FOREACH (dureq_run, t, &s->held, in_shard)
        if (t->suspect && t->phase == TASK_WAITING && t->reported && !t->admitted && t != alone)
            start(t);
    if (alone && alone->phase == TASK_WAITING && alone->reported && !alone->report_flying && !alone->admitted &&
        all_know_whom_to_blame(w))
        start(alone);
    dq_pool_push(w->pool, &w->to_pool);
    dq_suspects_look(w);
}

void dq_suspects_give_back(dq_worker *w)
{
    for (unsigned i = 0; i < w->n_shards; i++) {
        dq_wshard *s = &w->shards[i];

        DQ_LIST_FOREACH (dureq_run, t, &s->held, in_shard) {
            if (!t->suspect || t->phase != TASK_WAITING || t->admitted || t->in_returns)
                continue;
            dq_list_remove(&t->link);
            t->suspect = false;
            dq_worker_task_over(t);
            dq_fetch_give_back(t);
        }
        dq_session_return(s);
    }
}
