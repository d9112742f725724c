/* SPDX-License-Identifier: Apache-2.0 */
/* Drain and stop. A worker that stops takes nothing more; when its handlers are through, what is left is given back and its sessions are
   closed. Loop thread. */

#include "worker/worker_internal.h"

#include <assert.h>

#define BIT(name) (1u << DQ_LIFE_##name)

static const unsigned next_lives[] = {
    [DQ_LIFE_WORKING] = BIT(HALTED) | BIT(STOPPING),
    [DQ_LIFE_HALTED] = BIT(ENDING),
    [DQ_LIFE_STOPPING] = BIT(ENDING) | BIT(STOPPED),
    [DQ_LIFE_ENDING] = BIT(STOPPED),
    [DQ_LIFE_STOPPED] = 0,
};

bool dq_worker_life_can_move(dq_worker_life from, dq_worker_life to)
{
    return (size_t)from < DQ_ARRAY_LEN(next_lives) && (size_t)to < DQ_ARRAY_LEN(next_lives) && next_lives[from] & (1u << to);
}

static void move(dq_worker *w, dq_worker_life to)
{
    assert(next_lives[w->life] & (1u << to));
    w->life = to;
}

/* ---- drain ---- */

void dq_worker_hold(dq_worker *w, unsigned hold, bool on)
{
    w->holds = on ? w->holds | hold : w->holds & ~hold;
    atomic_store_explicit(&w->stats.draining, (w->holds & (DQ_HOLD_DRAIN | DQ_HOLD_DRAIN_ASKED)) != 0, memory_order_relaxed);
}

void dq_worker_drain(dq_worker *w, bool drain)
{
    dq_worker_hold(w, DQ_HOLD_DRAIN, drain);
    dq_worker_pump(w);
}

/* ---- stop ---- */

static bool shard_is_through(const dq_wshard *s)
{
    if (s->session.state == DQ_SESSION_GONE || s->session.state == DQ_SESSION_CLOSED)
        return true;
    return dq_list_empty(&s->held) && !s->session.returning;
}

/* Nothing is to be recorded any more, or there is no way to. */
static bool all_through(dq_worker *w)
{
    for (unsigned i = 0; i < w->n_shards; i++)
        if (!shard_is_through(&w->shards[i]) && !(w->life == DQ_LIFE_ENDING && !w->shards[i].link->is_up))
            return false;
    return true;
}

static bool close_sessions(dq_worker *w)
{
    bool gone = true;

    for (unsigned i = 0; i < w->n_shards; i++) {
        dq_session_state state = w->shards[i].session.state;

        if (state != DQ_SESSION_CLOSING && state != DQ_SESSION_GONE)
            dq_session_close(&w->shards[i]);
        gone = gone && w->shards[i].session.state == DQ_SESSION_GONE;
    }
    return gone;
}

void dq_worker_look_for_end(dq_worker *w)
{
    uint32_t n_stuck = (uint32_t)atomic_load_explicit(&w->stats.stuck, memory_order_relaxed);

    if (w->life != DQ_LIFE_STOPPING && w->life != DQ_LIFE_ENDING)
        return;
    if (w->n_slots_taken - n_stuck > 0 || !all_through(w) || !close_sessions(w))
        return;
    move(w, DQ_LIFE_STOPPED);
    dq_pool_close(w->pool);
    if (w->cb.on_stopped)
        w->cb.on_stopped(w, w->cb.userdata);
}

static void end_handlers(dq_worker *w)
{
    for (unsigned i = 0; i < w->n_shards; i++) /* first, or threads that others leave would begin them */
        DQ_LIST_FOREACH (dq_claim, c, &w->shards[i].held, in_shard)
            (void)dq_run_stop_unbegun(&c->run, DQ_STOP_SHUTDOWN);
    for (unsigned i = 0; i < w->n_shards; i++)
        DQ_LIST_FOREACH (dq_claim, c, &w->shards[i].held, in_shard)
            dq_run_stop(&c->run, DQ_STOP_SHUTDOWN);
}

void dq_worker_stop(dq_worker *w)
{
    bool halted = w->life == DQ_LIFE_HALTED;

    if (dq_worker_is_stopping(w))
        return;
    move(w, halted ? DQ_LIFE_ENDING : DQ_LIFE_STOPPING);
    dq_suspects_give_back(w);
    dq_paused_give_back(w);
    dq_worker_pump(w);
    if (halted)
        end_handlers(w);
    dq_worker_look_for_end(w);
}

void dq_worker_stop_now(dq_worker *w)
{
    if (w->life == DQ_LIFE_WORKING)
        move(w, DQ_LIFE_HALTED);
    else if (w->life == DQ_LIFE_STOPPING)
        move(w, DQ_LIFE_ENDING);
    end_handlers(w);
    dq_worker_look_for_end(w);
}
