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

bool dq_suspect_waits(const dq_claim *c)
{
    return c->state == DQ_CLAIM_SUSPECT || c->state == DQ_CLAIM_CHARGED || c->state == DQ_CLAIM_ALONE;
}

bool dq_suspect_wants_report(const dq_claim *c)
{
    bool has_turn = c->state == DQ_CLAIM_SUSPECT ? c->worker->suspects.together : c->state == DQ_CLAIM_ALONE;

    return dq_suspect_waits(c) && c->start_told == DQ_START_UNTOLD && has_turn;
}

bool dq_suspects_hold(const dq_worker *w)
{
    return w->suspects.alone || w->suspects.charged.n > 0;
}

/* All sessions are told whom to blame. */
static void tell_blame(dq_worker *w)
{
    w->suspects.blame_no++;
    for (unsigned i = 0; i < w->n_shards; i++)
        dq_session_beat_soon(&w->shards[i]);
}

static void set_alone(dq_worker *w, dq_claim *c)
{
    w->suspects.alone = c;
    tell_blame(w);
}

static void set_together(dq_worker *w, bool on)
{
    w->suspects.together = on;
    w->suspects.new_waits = false;
    w->suspects.together_until_us = dq_loop_now_us(w->loop) + ALONE_US;
    tell_blame(w);
}

dureq_str dq_suspects_blame(dq_wshard *s, unsigned char id[DQ_ID_BYTES])
{
    const dq_suspects *all = &s->worker->suspects;

    s->session.blame_flying = all->blame_no;
    if (!all->alone)
        return all->together ? DQ_STR_LIT("s") : (dureq_str){0};
    dq_id_pack(&all->alone->job.id, id);
    return dureq_str_of(id, DQ_ID_BYTES);
}

void dq_suspect_admit(dq_claim *c)
{
    dq_suspects *all = &c->worker->suspects;

    if (c->job.moved.crashes == 0) {
        all->new_waits = true;
        dq_claim_move(c, DQ_CLAIM_SUSPECT);
    } else {
        if (all->charged.n == 0)
            all->since_us = dq_loop_now_us(c->worker->loop);
        dq_claim_move(c, DQ_CLAIM_CHARGED);
    }
    dq_suspects_look(c->worker);
}

/* Does it still keep the others waiting? */
static bool is_alone(dq_worker *w)
{
    const dq_claim *c = w->suspects.alone;
    int64_t left_us = ALONE_US;

    if (!c)
        return false;
    if (dq_run_is_going(&c->run))
        left_us = c->run.started_loop_us + ALONE_US - dq_loop_now_us(w->loop);
    if (left_us > 0)
        dq_timer_set(&w->suspects.timer, left_us);
    else
        set_alone(w, NULL);
    return left_us > 0;
}

static bool any_new_waits(const dq_worker *w)
{
    for (unsigned i = 0; i < w->n_shards; i++)
        if (w->shards[i].claims[DQ_CLAIM_SUSPECT].n > 0)
            return true;
    return false;
}

/* Those never charged: do they run together, or shall they from now on? */
static bool is_together(dq_worker *w)
{
    dq_suspects *all = &w->suspects;
    int64_t left_us = all->together_until_us - dq_loop_now_us(w->loop);

    if (all->new_waits && !all->together) {
        set_together(w, true);
        return true;
    }
    if (all->new_waits) { /* the next heartbeat reports them, too */
        all->new_waits = false;
        all->together_until_us += ALONE_US - left_us;
        left_us = ALONE_US;
        for (unsigned i = 0; i < w->n_shards; i++)
            dq_session_beat_soon(&w->shards[i]);
    }
    if (!all->together)
        return false;
    if (left_us > 0 || any_new_waits(w)) {
        dq_timer_set(&all->timer, left_us > 0 ? left_us : ALONE_US);
        return true;
    }
    set_together(w, false);
    return false;
}

void dq_suspects_look(dq_worker *w)
{
    dq_suspects *all = &w->suspects;

    if (is_alone(w) || is_together(w))
        return;
    if (all->charged.n == 0) {
        dq_worker_pump(w);
        return;
    }
    int64_t left_us = all->since_us + SUSPECT_WAIT_US - dq_loop_now_us(w->loop);
    if (w->n_slots_taken > all->charged.n && left_us > 0) {
        dq_timer_set(&all->timer, left_us);
        return;
    }
    dq_claim *next = dq_container_of(all->charged.list.next, dq_claim, link);
    dq_claim_move(next, DQ_CLAIM_ALONE);
    set_alone(w, next);
}

void dq_suspect_over(dq_claim *c)
{
    dq_worker *w = c->worker;

    if (w->suspects.alone == c)
        set_alone(w, NULL);
    if (dq_claim_is_suspect(c) || dq_suspects_hold(w))
        dq_suspects_look(w);
}

static bool all_know_whom_to_blame(const dq_worker *w)
{
    for (unsigned i = 0; i < w->n_shards; i++) {
        const dq_wshard *s = &w->shards[i];

        if (dq_shard_is_live(s) && s->session.blame_told != w->suspects.blame_no)
            return false;
    }
    return true;
}

static bool is_on_record(const dq_claim *c)
{
    return c->start_told == DQ_START_TOLD && !c->is_named;
}

/* With their starts on record. They may end at once. */
static void start_together(dq_worker *w)
{
    w->suspects.together_until_us = dq_loop_now_us(w->loop) + ALONE_US;
    for (unsigned i = 0; i < w->n_shards; i++)
        DQ_LIST_FOREACH (dq_claim, c, &w->shards[i].claims[DQ_CLAIM_SUSPECT].list, link)
            if (is_on_record(c))
                dq_fetch_start(c);
}

/* Who starts may be another shard's than the one whose answer was missing. */
void dq_suspects_told(dq_wshard *s)
{
    dq_worker *w = s->worker;
    dq_claim *alone = w->suspects.alone;

    s->session.blame_told = s->session.blame_flying;
    if (alone && alone->state == DQ_CLAIM_ALONE && is_on_record(alone) && all_know_whom_to_blame(w))
        dq_fetch_start(alone);
    else if (w->suspects.together && any_new_waits(w) && all_know_whom_to_blame(w))
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

        DQ_LIST_FOREACH (dq_claim, c, &s->held, in_shard)
            if (dq_suspect_waits(c))
                dq_claim_move(c, DQ_CLAIM_RETURN);
        dq_session_return(s);
    }
}
