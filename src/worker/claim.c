/* SPDX-License-Identifier: Apache-2.0 */
/* The life of a claim: its states, the lists they are, and the counts that follow from them. */

#include "worker/claim.h"

#include <assert.h>

#include "worker/worker_internal.h"

#define BIT(name) (1u << DQ_CLAIM_##name)

/* Before a run; each takes the slot that the run will have. */
#define WITH_SLOT (BIT(GATED) | BIT(SUSPECT) | BIT(CHARGED) | BIT(ALONE))
/* Its end is known here, and not yet known to be recorded. */
#define UNSENT (BIT(NAMED) | BIT(PLAIN) | BIT(GENERAL) | BIT(SENT))

static const unsigned next_states[DQ_CLAIM_STATES] = {
    [DQ_CLAIM_READ] =
        BIT(PUSHED) | BIT(GATED) | BIT(SUSPECT) | BIT(CHARGED) | BIT(STARTED) | BIT(PLAIN) | BIT(GENERAL) | BIT(RETURN),
    [DQ_CLAIM_PUSHED] = BIT(SUSPECT) | BIT(CHARGED) | BIT(STARTED) | BIT(RETURN) | BIT(OVER),
    [DQ_CLAIM_GATED] = BIT(SUSPECT) | BIT(CHARGED) | BIT(STARTED) | BIT(RETURN) | BIT(OVER),
    [DQ_CLAIM_SUSPECT] = BIT(STARTED) | BIT(RETURN) | BIT(OVER),
    [DQ_CLAIM_CHARGED] = BIT(ALONE) | BIT(RETURN) | BIT(OVER),
    [DQ_CLAIM_ALONE] = BIT(STARTED) | BIT(RETURN) | BIT(OVER),
    [DQ_CLAIM_STARTED] = BIT(NAMED) | BIT(PLAIN) | BIT(GENERAL) | BIT(RETURN) | BIT(OVER),
    [DQ_CLAIM_NAMED] = BIT(PLAIN) | BIT(GENERAL) | BIT(OVER),
    [DQ_CLAIM_PLAIN] = BIT(SENT) | BIT(OVER),
    [DQ_CLAIM_GENERAL] = BIT(SENT) | BIT(OVER),
    [DQ_CLAIM_SENT] = BIT(PLAIN) | BIT(GENERAL) | BIT(OVER),
    [DQ_CLAIM_RETURN] = BIT(OVER),
};

bool dq_claim_can_move(dq_claim_state from, dq_claim_state to)
{
    return (size_t)from < DQ_CLAIM_STATES && (size_t)to < DQ_CLAIM_STATES && next_states[from] & (1u << to);
}

/* ---- memory ---- */

dq_claim *dq_claim_create(dq_worker *w)
{
    dq_claim *c;

    if (!dq_list_empty(&w->spare.list)) {
        c = dq_container_of(dq_list_pop_front(&w->spare.list), dq_claim, link);
        w->spare.n--;
    } else {
        c = dq_calloc(1, sizeof *c);
        if (!c)
            return NULL;
        dq_mutex_init(&c->run.mu);
        dq_cond_init(&c->run.cond);
    }
    c->worker = w;
    return c;
}

static void claim_destroy(dq_claim *c)
{
    dq_cond_deinit(&c->run.cond);
    dq_mutex_deinit(&c->run.mu);
    dq_free(c);
}

/* What a run may have left behind; most leave nothing. */
static void forget_run(dureq_run *r)
{
    dq_words_deinit(&r->words);
    dq_buf_deinit(&r->log);
    dq_buf_deinit(&r->progress);
    r->progress_new = false;
    dq_free(r->headers);
}

void dq_claim_set_handler(dq_claim *c, dq_handler *h)
{
    dq_handler *old = c->handler;

    if (h)
        dq_handler_hold(h);
    c->handler = h;
    if (old)
        dq_handlers_let_go(c->worker->handlers, old);
}

void dq_claim_free(dq_claim *c)
{
    dq_worker *w = c->worker;

    if (c->job.rbuf)
        dq_rbuf_unref(c->job.rbuf);
    dq_buf_deinit(&c->job.blob);
    dq_words_deinit(&c->words);
    dq_buf_deinit(&c->log);
    forget_run(&c->run);
    dq_claim_set_handler(c, NULL);
    if (w->spare.n >= w->concurrency) {
        claim_destroy(c);
        return;
    }
    memset(c, 0, offsetof(dq_claim, run) + offsetof(struct dureq_run, mu));
    dq_list_push_back(&w->spare.list, &c->link);
    w->spare.n++;
}

void dq_claims_free_spare(dq_worker *w)
{
    while (!dq_list_empty(&w->spare.list))
        claim_destroy(dq_container_of(dq_list_pop_front(&w->spare.list), dq_claim, link));
}

/* ---- moves ---- */

/* NULL: a state without a list. */
static dq_claims *list_of(const dq_claim *c)
{
    switch (c->state) {
    case DQ_CLAIM_READ:
    case DQ_CLAIM_OVER: return NULL;
    case DQ_CLAIM_PUSHED: return &c->shard->link->pushed;
    case DQ_CLAIM_CHARGED: return &c->worker->suspects.charged;
    case DQ_CLAIM_GATED:
    case DQ_CLAIM_SUSPECT:
    case DQ_CLAIM_ALONE:
    case DQ_CLAIM_STARTED:
    case DQ_CLAIM_NAMED:
    case DQ_CLAIM_PLAIN:
    case DQ_CLAIM_GENERAL:
    case DQ_CLAIM_SENT:
    case DQ_CLAIM_RETURN: break;
    }
    return &c->shard->claims[c->state];
}

static void take_slot(dq_claim *c)
{
    c->worker->n_slots_taken++;
    dq_handler_began(c->handler);
}

void dq_claim_free_slot(dq_claim *c)
{
    c->worker->n_slots_taken--;
    dq_handler_ended(c->handler);
    dq_suspect_over(c);
}

/* Written by this thread only, so a load and a store do. */
static void count_unsent(dq_worker *w, int change)
{
    _Atomic uint64_t *n = &w->stats.unsent;

    atomic_store_explicit(n, atomic_load_explicit(n, memory_order_relaxed) + (uint64_t)(int64_t)change, memory_order_relaxed);
}

static void move(dq_claim *c, dq_claim_state to, bool to_front)
{
    unsigned from_bit = 1u << c->state, to_bit = 1u << to;
    dq_claims *list = list_of(c);

    assert(next_states[c->state] & to_bit);
    if (list) {
        dq_list_remove(&c->link);
        list->n--;
    }
    c->state = to;
    list = list_of(c);
    if (list && to_front)
        dq_list_push_front(&list->list, &c->link);
    else if (list)
        dq_list_push_back(&list->list, &c->link);
    if (list)
        list->n++;
    if (!(from_bit & UNSENT) != !(to_bit & UNSENT))
        count_unsent(c->worker, to_bit & UNSENT ? 1 : -1);
    if (!(from_bit & WITH_SLOT) && to_bit & (WITH_SLOT | BIT(STARTED)))
        take_slot(c);
    else if (from_bit & WITH_SLOT && !(to_bit & (WITH_SLOT | BIT(STARTED))))
        dq_claim_free_slot(c);
}

void dq_claim_move(dq_claim *c, dq_claim_state to)
{
    move(c, to, /*to_front=*/false);
}

static dq_claim_state how_recorded(const dq_claim *c)
{
    return dq_record_is_plain(c) ? DQ_CLAIM_PLAIN : DQ_CLAIM_GENERAL;
}

void dq_claim_judged(dq_claim *c)
{
    dq_claim_move(c, c->is_named ? DQ_CLAIM_NAMED : how_recorded(c));
}

void dq_claim_again(dq_claim *c)
{
    move(c, how_recorded(c), /*to_front=*/true);
}

void dq_claim_over(dq_claim *c)
{
    dq_claim_let_go(c);
    dq_claim_move(c, DQ_CLAIM_OVER);
    if (!dq_run_is_used(&c->run))
        dq_claim_free(c);
}

void dq_claim_lose(dq_claim *c, dq_stop_reason why)
{
    if (why == DQ_STOP_LOST && !c->told_cancelled)
        dq_stat_add(&c->worker->stats.lost, 1);
    dq_claim_let_go(c);
    dq_claim_move(c, DQ_CLAIM_OVER);
    if (dq_run_is_going(&c->run)) {
        dq_late_begin(c);
        dq_run_stop(&c->run, why); /* may end it, and so free the claim */
    } else if (!dq_run_is_used(&c->run)) {
        dq_claim_free(c);
    }
}

/* ---- by their entry ---- */

static dq_list *by_entry(const dq_wshard *s, const dq_entry *e)
{
    uint64_t hash = (e->ms ^ (uint64_t)e->lane << 42 ^ e->seq) * 0x9e3779b97f4a7c15u;

    return &s->worker->by_entry[hash >> 32 & (s->worker->n_by_entry - 1)];
}

void dq_claim_hold(dq_claim *c)
{
    dq_list_push_back(&c->shard->held, &c->in_shard);
    dq_list_push_back(by_entry(c->shard, &c->job.entry), &c->by_entry);
}

void dq_claim_let_go(dq_claim *c)
{
    dq_list_remove(&c->in_shard);
    dq_list_remove(&c->by_entry);
}

dq_claim *dq_claim_find(dq_wshard *s, const dq_entry *e)
{
    DQ_LIST_FOREACH (dq_claim, c, by_entry(s, e), by_entry) {
        const dq_entry *mine = &c->job.entry;

        if (c->shard == s && mine->seq == e->seq && mine->ms == e->ms && mine->front == e->front && mine->lane == e->lane)
            return c;
    }
    return NULL;
}
