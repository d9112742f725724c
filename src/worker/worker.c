/* SPDX-License-Identifier: Apache-2.0 */
/* A worker is made and unmade; what the store tells goes to the links and sessions it is about. Loop thread. */

#include "worker/worker.h"

#include <stdio.h>

#include "worker/worker_internal.h"

/* ---- timers and messages ---- */

static void batch_back(void *userdata)
{
    dq_worker *w = userdata;

    /* At once: what arrives while the next exchange is in flight goes with the one after it. */
    for (unsigned i = 0; i < w->n_links; i++)
        dq_link_look(&w->links[i]);
    dq_worker_look_for_end(w);
}

static void pump_fired(dq_deferred *d)
{
    dq_worker *w = dq_container_of(d, dq_worker, pump);

    for (unsigned i = 0; i < w->n_shards; i++) {
        dq_lanes_listen(&w->shards[i]);
        dq_lanes_leave(&w->shards[i]);
        dq_lanes_pass(&w->shards[i]);
        dq_steps_look(&w->shards[i]);
    }
    for (unsigned i = 0; i < w->n_links; i++)
        dq_link_look(&w->links[i]);
    dq_worker_look_for_end(w); /* the last outcome may just have been recorded */
}

void dq_worker_pump(dq_worker *w)
{
    dq_loop_defer(w->loop, &w->pump);
}

static void run_progress(dq_message *m)
{
    dq_worker *w = dq_container_of(m, dq_worker, progress_message);

    atomic_store_explicit(&w->progress_noted, false, memory_order_release);
    dq_session_progress(w);
}

void dq_worker_note_progress(dq_worker *w)
{
    if (!atomic_exchange_explicit(&w->progress_noted, true, memory_order_acquire))
        dq_loop_post(w->loop, &w->progress_message);
}

static void suspect_fired(dq_timer *t)
{
    dq_suspects_look(dq_container_of(t, dq_worker, suspects.timer));
}

#define ROOM_LOOK_US 1000000

/* Whatever there was too little of may be there again. */
static void room_fired(dq_timer *t)
{
    dq_worker *w = dq_container_of(t, dq_worker, room_timer);

    w->room = DQ_MIN(w->room + DQ_MAX(w->room / 4, 1), w->concurrency);
    if (w->room < w->concurrency)
        dq_timer_set(&w->room_timer, ROOM_LOOK_US);
    dq_worker_pump(w);
}

void dq_worker_less_room(dq_worker *w)
{
    w->room = DQ_MIN(w->room, w->n_slots_taken);
    dq_timer_set(&w->room_timer, ROOM_LOOK_US);
}

void dq_worker_replace_handlers(dq_worker *w, dq_handlers *next, char *info)
{
    dq_handlers_replace(w->handlers, next);
    dq_free(w->info);
    w->info = info;
    for (unsigned i = 0; i < w->n_shards; i++) {
        dq_lanes_rebind(&w->shards[i]);
        w->shards[i].lanes.info_due = true;
    }
    dq_worker_pump(w);
}

/* ---- create ---- */

static void take_options(dq_worker *w, const dq_worker_options *o)
{
    w->log = o->log;
    w->concurrency = w->room = o->concurrency;
    w->max_payload = o->max_payload ? o->max_payload : DUREQ_PAYLOAD_DEFAULT_MAX;
    w->lease_ms = o->lease_ms;
    w->stands_to_lead = o->stands_to_lead;
    w->on_event = o->on_event;
    w->on_event_userdata = o->on_event_userdata;
    w->node_id = dq_strdup(o->node_id);
    w->info = dq_strdup(o->info);
}

static void init_lists(dq_worker *w)
{
    dq_list_init(&w->spare.list);
    dq_list_init(&w->suspects.charged.list);
    dq_list_init(&w->to_pool);
    w->pump.fn = pump_fired;
    w->progress_message.fn = run_progress;
}

static int init_by_entry(dq_worker *w)
{
    w->n_by_entry = 16;
    while (w->n_by_entry < w->concurrency)
        w->n_by_entry *= 2;
    w->by_entry = dq_calloc(w->n_by_entry, sizeof *w->by_entry);
    for (uint32_t i = 0; w->by_entry && i < w->n_by_entry; i++)
        dq_list_init(&w->by_entry[i]);
    return w->by_entry ? 0 : DUREQ_ENOMEM;
}

static int init_timers(dq_worker *w)
{
    int rc = dq_timer_init(&w->deadline_timer, w->loop, dq_run_deadline_fired);

    if (rc == 0)
        rc = dq_timer_init(&w->suspects.timer, w->loop, suspect_fired);
    if (rc == 0)
        rc = dq_timer_init(&w->room_timer, w->loop, room_fired);
    return rc;
}

int dq_worker_create(dq_store *store, dq_handlers *handlers, const dq_worker_options *o, const dq_worker_callbacks *cb,
                     dq_worker **ret, dureq_error *err)
{
    dq_pool_options pool_options = {.n_max = o->threads, .stack_bytes = o->stack_bytes, .signals = o->signals};
    dq_worker *w = dq_calloc(1, sizeof *w);
    uint64_t seed;
    int rc;

    if (!w)
        return dq_fail_nomem(err);
    w->store = store;
    w->loop = dq_store_loop(store);
    w->handlers = handlers;
    w->cb = *cb;
    init_lists(w);
    take_options(w, o);
    rc = w->node_id && w->info && init_by_entry(w) == 0 ? dq_random_bytes(&seed, sizeof seed, err) : dq_fail_nomem(err);
    if (rc == 0) {
        dq_rng_seed(&w->rng, seed);
        rc = init_timers(w);
    }
    if (rc == 0) {
        dq_pool_callbacks pool_cb = {.run = dq_run_call_on_thread, .done = dq_run_back, .batch_done = batch_back, .userdata = w};

        rc = dq_pool_create(w->loop, &pool_options, &pool_cb, &w->pool, err);
    }
    if (rc < 0) {
        dq_worker_destroy(w);
        return rc;
    }
    *ret = w;
    return 0;
}

static int init_shard(dq_wshard *s, dq_wlink *l, unsigned no)
{
    s->worker = l->worker;
    s->link = l;
    s->no = no;
    s->turn.width = 1;
    dq_list_init(&s->held);
    dq_list_init(&s->late);
    dq_list_init(&s->steps);
    for (unsigned i = 0; i < DQ_CLAIM_STATES; i++)
        dq_list_init(&s->claims[i].list);
    dq_lanes_init(s);
    int rc = dq_timer_init(&s->session.beat, s->worker->loop, dq_session_timer_fired);
    return rc == 0 ? dq_link_add(l, s) : rc;
}

static void deinit_shard(dq_wshard *s)
{
    dq_steps_close(s);
    while (!dq_list_empty(&s->held)) {
        dq_claim *c = dq_container_of(s->held.next, dq_claim, in_shard);

        dq_claim_let_go(c);
        if (!dq_run_is_going(&c->run)) /* else a handler that never returns still uses it */
            dq_claim_free(c);
    }
    dq_buf_deinit(&s->session.late_ended);
    dq_timer_deinit(&s->session.beat);
    dq_lanes_deinit(s);
}

static void unmake_shards(dq_worker *w)
{
    for (unsigned i = 0; i < w->n_shards; i++)
        deinit_shard(&w->shards[i]);
    for (unsigned i = 0; i < w->n_links; i++)
        dq_link_deinit(&w->links[i]);
    dq_free(w->shards);
    dq_free(w->links);
    w->shards = NULL;
    w->links = NULL;
    w->n_shards = w->n_links = 0;
}

/* The store says which servers there are, and which shards are on them. */
static int make_shards(dq_worker *w)
{
    unsigned n = dq_store_keys(w->store)->n_shards, n_links = dq_store_n_links(w->store);
    int rc = 0;

    w->links = dq_calloc(n_links, sizeof *w->links);
    w->shards = dq_calloc(n, sizeof *w->shards);
    if (!w->links || !w->shards)
        rc = DUREQ_ENOMEM;
    for (; w->n_links < n_links && rc == 0; w->n_links++)
        rc = dq_link_init(&w->links[w->n_links], w, w->n_links);
    for (; w->n_shards < n && rc == 0; w->n_shards++)
        rc = init_shard(&w->shards[w->n_shards], &w->links[dq_store_link_of(w->store, w->n_shards)], w->n_shards);
    if (rc < 0)
        unmake_shards(w);
    return rc;
}

/* ---- destroy ---- */

void dq_worker_destroy(dq_worker *w)
{
    if (!w)
        return;
    dq_loop_undefer(&w->pump);
    dq_pool_destroy(w->pool);
    unmake_shards(w);
    dq_claims_free_spare(w);
    dq_free(w->by_entry);
    dq_timer_deinit(&w->deadline_timer);
    dq_timer_deinit(&w->suspects.timer);
    dq_timer_deinit(&w->room_timer);
    dq_heap_deinit(&w->deadlines);
    dq_buf_deinit(&w->scratch);
    dq_lanes_free_old(w);
    dq_free(w->node_id);
    dq_free(w->info);
    if (atomic_load_explicit(&w->stats.stuck, memory_order_relaxed) == 0)
        dq_free(w);
}

/* ---- what the store tells ---- */

static void count_links(dq_worker *w)
{
    bool all = true;

    for (unsigned i = 0; i < w->n_links; i++)
        all = all && w->links[i].is_up;
    atomic_store_explicit(&w->stats.connected, all, memory_order_relaxed);
}

/* A session that lived before the connection was lost: is it still there, and what does it hold? */
static void session_again(dq_wshard *s, bool same_server)
{
    dq_wsession *x = &s->session;

    if (dq_shard_is_live(s))
        x->doubts |= DQ_DOUBT_SESSION; /* the same server may hold other data */
    if (!same_server && s->lanes.n > 0)
        x->doubts |= DQ_DOUBT_LANES;
    x->opened_in_doubt = x->opened_in_doubt && same_server;
    dq_lanes_load_lost(s);
    dq_session_connected(s);
}

int dq_worker_on_up(dq_worker *w, unsigned link, bool same_server)
{
    int rc = w->links ? 0 : make_shards(w);

    if (rc == 0)
        rc = dq_store_open_cycle(w->store, NULL);
    if (rc < 0) {
        DQ_LOG(w->log, DUREQ_LOG_ERROR, "worker.up", "error=\"%s\"", dureq_errcode_text(rc));
        return rc;
    }
    w->links[link].is_up = true;
    count_links(w);
    for (unsigned i = 0; i < w->links[link].n_shards; i++)
        session_again(w->links[link].shards[i], same_server);
    dq_worker_pump(w);
    return 0;
}

void dq_worker_on_down(dq_worker *w, unsigned link)
{
    if (!w->links)
        return;
    w->links[link].is_up = false;
    count_links(w);
    dq_worker_look_for_end(w);
}

void dq_worker_on_cycle(dq_worker *w, unsigned link, bool ready)
{
    dq_wlink *l = &w->links[link];

    l->turns_are_up = ready;
    if (!ready)
        dq_link_lost(l);
    for (unsigned i = 0; ready && i < l->n_shards; i++)
        if (dq_shard_is_live(l->shards[i]))
            dq_sync_want(l->shards[i]);
    dq_worker_pump(w);
    dq_worker_look_for_end(w);
}

void dq_worker_on_queues(dq_worker *w)
{
    for (unsigned i = 0; i < w->n_shards; i++) {
        dq_share_judge(&w->shards[i]);
        dq_paused_load(&w->shards[i]);
    }
}

/* ---- what is told ---- */

void dq_worker_tell(dq_claim *c, dureq_node_event_kind kind, const char *error)
{
    dq_worker *w = c->worker;
    dureq_node_event e = {
        .kind = kind,
        .job_id = c->job.id_text,
        .run_id = c->job.run_text,
        .task_type = c->job.type,
        .queue = c->job.queue,
        .attempt = c->job.moved.attempts + 1,
        .error = error ? error : "",
        .ran_ms = c->verdict.ran_ms,
    };

    if (!w->on_event)
        return;
    if (kind == DUREQ_NODE_JOB_FAILED || kind == DUREQ_NODE_JOB_DEAD)
        e.code = c->words.has_said ? c->words.code : c->verdict.rc;
    w->on_event(&e, w->on_event_userdata);
}

void dq_worker_get_stats(const dq_worker *w, dureq_node_stats *ret)
{
    dq_worker_stats *s = &((dq_worker *)w)->stats;

    *ret = (dureq_node_stats){
        .running = atomic_load_explicit(&s->running, memory_order_relaxed),
        .concurrency = (int32_t)w->concurrency,
        .stuck = atomic_load_explicit(&s->stuck, memory_order_relaxed),
        .started = atomic_load_explicit(&s->started, memory_order_relaxed),
        .completed = atomic_load_explicit(&s->completed, memory_order_relaxed),
        .failed = atomic_load_explicit(&s->failed, memory_order_relaxed),
        .dead = atomic_load_explicit(&s->dead, memory_order_relaxed),
        .cancelled = atomic_load_explicit(&s->cancelled, memory_order_relaxed),
        .returned = atomic_load_explicit(&s->returned, memory_order_relaxed),
        .lost = atomic_load_explicit(&s->lost, memory_order_relaxed),
        .unsent = atomic_load_explicit(&s->unsent, memory_order_relaxed),
        .connected = atomic_load_explicit(&s->connected, memory_order_relaxed),
        .draining = atomic_load_explicit(&s->draining, memory_order_relaxed),
    };
}
