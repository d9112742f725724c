/* SPDX-License-Identifier: Apache-2.0 */
/* A worker's life, its tasks' lives, deadlines, stop.

   A task takes a slot from its fetch until its handler is through with it. Told to stop (cancelled, timed out, lost, shutdown), a handler has its
   grace; then an external one is killed, and an in-process one is abandoned: what is to be recorded is recorded for it by a twin,
   and the thread and the slot are stuck until it returns. Nothing here is drawn from Redis but through the other files. Loop thread. */

#include "worker/worker.h"

#include <stdio.h>

#include "base/clock.h"
#include "worker/overflow.h"
#include "worker/worker_internal.h"

/* ---- create ---- */

static void run_task(dq_list *link, void *userdata)
{
    dureq_run *t = dq_container_of(link, dureq_run, pool_link);

    (void)userdata;
    dq_overflow_note(t->type_text);
    t->started_mono_us = dq_mono_us();
    t->pool_rc = dq_task_run(t);
    t->ended_mono_us = dq_mono_us();
    dq_overflow_note(NULL);
}

static void task_ended(dureq_run *t, int rc);

static void task_back(dq_list *link, void *userdata)
{
    dureq_run *t = dq_container_of(link, dureq_run, pool_link);

    (void)userdata;
    t->ran_ms = (t->ended_mono_us - t->started_mono_us) / 1000;
    task_ended(t, t->pool_rc);
}

static void batch_back(void *userdata)
{
    dq_worker *w = userdata;

    /* At once: what arrives while the next exchange is in flight goes with the one behind it. */
    dq_cycle_look(w);
    dq_worker_look_for_end(w);
}

static void pump_fired(dq_deferred *d)
{
    dq_worker *w = dq_container_of(d, dq_worker, pump);

    for (unsigned i = 0; i < w->n_shards; i++) {
        dq_lanes_listen(&w->shards[i]);
        dq_lanes_pass(&w->shards[i]);
    }
    dq_cycle_look(w);
    dq_worker_look_for_end(w); /* the last outcome may just have been recorded */
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

static void deadline_fired(dq_timer *t);

static void suspect_fired(dq_timer *t)
{
    dq_suspects_look(dq_container_of(t, dq_worker, suspect_timer));
}

static void hold_off_fired(dq_timer *t)
{
    dq_cycle_look(dq_container_of(t, dq_worker, hold_off));
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

static void init_lists(dq_worker *w)
{
    dq_list_init(&w->spare);
    dq_list_init(&w->suspects);
    dq_list_init(&w->to_pool);
    dq_list_init(&w->undecided);
    w->pump.fn = pump_fired;
    w->progress_message.fn = run_progress;
}

int dq_worker_create(dq_store *store, dq_handlers *handlers, const dq_worker_options *o, const dq_worker_callbacks *cb,
                     dq_worker **ret, dureq_error *err)
{
    dq_pool_options pool_options = {.n_max = o->threads, .stack_bytes = o->stack_bytes, .signals = o->signals};
    dq_pool_callbacks pool_cb = {.run = run_task, .done = task_back, .batch_done = batch_back};
    dq_worker *w = dq_calloc(1, sizeof *w);
    uint64_t seed;
    int rc;

    if (!w)
        return dq_fail_nomem(err);
    w->store = store;
    w->loop = dq_store_loop(store);
    w->log = o->log;
    w->handlers = handlers;
    w->cb = *cb;
    w->concurrency = w->room = o->concurrency;
    w->lease_ms = o->lease_ms;
    w->stands_to_lead = o->stands_to_lead;
    w->on_event = o->on_event;
    w->on_event_userdata = o->on_event_userdata;
    init_lists(w);
    w->node_id = dq_strdup(o->node_id);
    w->info = dq_strdup(o->info);
    pool_cb.userdata = w;
    rc = w->node_id && w->info ? dq_random_bytes(&seed, sizeof seed, err) : dq_fail_nomem(err);
    if (rc == 0) {
        dq_rng_seed(&w->rng, seed);
        rc = dq_timer_init(&w->deadline_timer, w->loop, deadline_fired);
    }
    if (rc == 0)
        rc = dq_timer_init(&w->hold_off, w->loop, hold_off_fired);
    if (rc == 0)
        rc = dq_timer_init(&w->suspect_timer, w->loop, suspect_fired);
    if (rc == 0)
        rc = dq_timer_init(&w->room_timer, w->loop, room_fired);
    if (rc == 0)
        rc = dq_pool_create(w->loop, &pool_options, &pool_cb, &w->pool, err);
    if (rc < 0) {
        dq_worker_destroy(w);
        return rc;
    }
    *ret = w;
    return 0;
}

static int make_shards(dq_worker *w)
{
    unsigned n = dq_store_keys(w->store)->n_shards;

    w->shards = dq_calloc(n, sizeof *w->shards);
    if (!w->shards)
        return DUREQ_ENOMEM;
    w->n_shards = n;
    for (unsigned i = 0; i < n; i++) {
        dq_wshard *s = &w->shards[i];

        s->worker = w;
        s->no = i;
        s->width = 1;
        dq_list_init(&s->held);
        dq_list_init(&s->done_fast);
        dq_list_init(&s->done_slow);
        dq_list_init(&s->returns);
        dq_list_init(&s->sent);
        dq_list_init(&s->after_beat);
        dq_lanes_init(s);
        int rc = dq_timer_init(&s->beat, w->loop, dq_session_beat_fired);
        if (rc < 0)
            return rc;
    }
    return 0;
}

void dq_worker_destroy(dq_worker *w)
{
    if (!w)
        return;
    dq_loop_undefer(&w->pump);
    dq_pool_destroy(w->pool);
    for (unsigned i = 0; i < w->n_shards; i++) {
        dq_wshard *s = &w->shards[i];

        while (!dq_list_empty(&s->held)) {
            dureq_run *t = dq_container_of(s->held.next, dureq_run, in_shard);

            dq_list_remove(&t->in_shard);
            if (t->phase != TASK_RUNNING) /* else a handler that never returns still uses it */
                dq_task_free(t);
        }
        dq_timer_deinit(&s->beat);
        dq_lanes_deinit(s);
    }
    while (!dq_list_empty(&w->spare)) {
        dureq_run *t = dq_container_of(dq_list_pop_front(&w->spare), dureq_run, link);

        dq_cond_deinit(&t->cond);
        dq_mutex_deinit(&t->mu);
        dq_free(t);
    }
    dq_timer_deinit(&w->deadline_timer);
    dq_timer_deinit(&w->hold_off);
    dq_timer_deinit(&w->suspect_timer);
    dq_timer_deinit(&w->room_timer);
    dq_heap_deinit(&w->deadlines);
    dq_buf_deinit(&w->scratch);
    dq_lanes_free_old(w);
    dq_free(w->shards);
    dq_free(w->node_id);
    dq_free(w->info);
    if (atomic_load_explicit(&w->s_stuck, memory_order_relaxed) == 0)
        dq_free(w);
}

/* ---- what the store tells ---- */

int dq_worker_on_up(dq_worker *w, bool same_server)
{
    int rc = w->shards ? 0 : make_shards(w);

    if (rc == 0)
        rc = dq_store_open_cycle(w->store, NULL);
    if (rc < 0) {
        DQ_LOG(w->log, DUREQ_LOG_ERROR, "worker.up", "error=\"%s\"", dureq_errcode_text(rc));
        return rc;
    }
    w->up = true;
    atomic_store_explicit(&w->s_connected, true, memory_order_relaxed);
    for (unsigned i = 0; i < w->n_shards; i++) {
        dq_wshard *s = &w->shards[i];

        s->beating = s->loading_lanes = s->load_again = false;
        s->unsure_session = s->unsure_session || s->state == WSHARD_LIVE; /* the same server may hold other data */
        s->unsure_lanes = s->unsure_lanes || (!same_server && s->n_lanes > 0);
        s->opened_unsure = s->opened_unsure && same_server;
        if (s->state == WSHARD_LIVE) {
            s->needs_resync = true;
            dq_lanes_load(s);
            dq_paused_load(s);
            dq_session_beat_now(s);
        } else {
            dq_session_open(s);
        }
    }
    dq_worker_pump(w);
    return 0;
}

void dq_worker_on_down(dq_worker *w)
{
    w->up = false;
    atomic_store_explicit(&w->s_connected, false, memory_order_relaxed);
    dq_worker_look_for_end(w);
}

void dq_worker_on_cycle(dq_worker *w, bool ready)
{
    w->cycle_up = ready;
    if (!ready)
        dq_cycle_lost(w);
    for (unsigned i = 0; ready && i < w->n_shards; i++)
        w->shards[i].needs_resync = w->shards[i].state == WSHARD_LIVE;
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

void dq_worker_pump(dq_worker *w)
{
    dq_loop_defer(w->loop, &w->pump);
}

void dq_worker_tell(dureq_run *t, dureq_node_event_kind kind, const char *error)
{
    dq_worker *w = t->worker;
    dureq_node_event e = {
        .kind = kind,
        .job_id = t->job_id_text,
        .run_id = t->run_id_text,
        .task_type = t->type_text,
        .queue = t->queue_text,
        .attempt = t->moved.attempts + 1,
        .error = error ? error : "",
        .ran_ms = t->ran_ms,
    };

    if (!w->on_event)
        return;
    e.code = kind == DUREQ_NODE_JOB_FAILED || kind == DUREQ_NODE_JOB_DEAD ? (t->said.any ? t->said.code : t->rc) : 0;
    w->on_event(&e, w->on_event_userdata);
}

/* ---- deadlines ---- */

int64_t dq_task_timeout_ms(const dureq_run *t)
{
    return t->env.timeout_ms ? t->env.timeout_ms : t->handler->timeout_ms;
}

static void arm_deadlines(dq_worker *w)
{
    dq_heap_node *top = dq_heap_top(&w->deadlines);

    if (!top)
        dq_timer_clear(&w->deadline_timer);
    else
        dq_timer_set(&w->deadline_timer, DQ_MAX(top->key - dq_loop_now_us(w->loop), 0));
}

static void set_deadline(dureq_run *t, int64_t at_us)
{
    dq_worker *w = t->worker;
    bool first = !dq_heap_top(&w->deadlines) || at_us < dq_heap_top(&w->deadlines)->key;

    if (t->deadline.pos) {
        dq_heap_update(&w->deadlines, &t->deadline, at_us);
    } else {
        t->deadline.key = at_us;
        if (dq_heap_push(&w->deadlines, &t->deadline) < 0)
            DQ_LOG(w->log, DUREQ_LOG_ERROR, "worker.memory", "job=%s error=\"its time-out cannot be watched\"", t->job_id_text);
    }
    if (first)
        arm_deadlines(w);
}

/* When this task must be looked at next; INT64_MAX: never. */
static int64_t next_deadline_us(const dureq_run *t, int64_t started_us)
{
    int64_t at = INT64_MAX, timeout_ms = dq_task_timeout_ms(t);

    if (timeout_ms)
        at = dq_add_sat(started_us, timeout_ms > INT64_MAX / 1000 ? INT64_MAX : timeout_ms * 1000);
    if (t->env.heartbeat_ms) {
        int64_t sign = atomic_load_explicit(&((dureq_run *)t)->sign_mono_us, memory_order_relaxed);
        int64_t beat = dq_add_sat(DQ_MAX(sign, started_us), t->env.heartbeat_ms * 1000);

        at = DQ_MIN(at, beat);
    }
    return at;
}

/* A stand-in that is recorded in place of a task whose handler does not come back. */
static dureq_run *make_twin(dureq_run *t)
{
    dureq_run *twin = dq_task_create(t->worker);

    if (!twin)
        return NULL;
    twin->shard = t->shard;
    twin->lane = t->lane;
    twin->handler = t->handler;
    twin->id = t->id;
    twin->front = t->front;
    twin->entry_ms = t->entry_ms;
    twin->entry_seq = t->entry_seq;
    twin->m = t->m;
    twin->j = t->j;
    twin->rbuf = t->rbuf;
    if (twin->rbuf)
        dq_rbuf_ref(twin->rbuf);
    twin->env = t->env;
    twin->moved = t->moved;
    twin->retry = t->retry;
    twin->reported = t->reported;
    twin->progress_sent = t->progress_sent;
    twin->report_flying = t->report_flying;
    twin->heartbeat_missed = t->heartbeat_missed;
    twin->why_stop = t->why_stop;
    twin->started_at_ms = t->started_at_ms;
    twin->type_text = t->type_text;
    twin->queue_text = t->queue_text;
    memcpy(twin->job_id_text, t->job_id_text, sizeof twin->job_id_text);
    memcpy(twin->run_id_text, t->run_id_text, sizeof twin->run_id_text);
    dq_mutex_lock(&t->mu); /* what was logged until now; the handler may go on */
    dq_buf_append_buf(&twin->log, &t->log);
    bool failed = dq_buf_failed(&twin->log);
    dq_mutex_unlock(&t->mu);
    if (failed)
        dq_buf_clear(&twin->log);
    return twin;
}

static void put_finished(dureq_run *t, int rc)
{
    t->phase = TASK_FINISHED;
    dq_task_end_log(t);
    dq_outcome_judge(t, rc);
    dq_worker_put_done(t);
}

/* Written by this thread only, so a load and a store do. */
static void count_unsent(dureq_run *t, bool unsent)
{
    _Atomic uint64_t *n = &t->worker->s_unsent;

    if (t->unsent == unsent)
        return;
    t->unsent = unsent;
    atomic_store_explicit(n, atomic_load_explicit(n, memory_order_relaxed) + (unsent ? 1 : -1), memory_order_relaxed);
}

void dq_worker_put_done(dureq_run *t)
{
    dq_wshard *s = t->shard;

    count_unsent(t, true);
    if (t->report_flying) {
        dq_list_push_back(&s->after_beat, &t->link);
        return;
    }
    t->in_fast = dq_record_is_plain(t);
    dq_list_push_back(t->in_fast ? &s->done_fast : &s->done_slow, &t->link);
    *(t->in_fast ? &s->n_fast : &s->n_slow) += 1;
}

/* The grace is over and the handler has not come back. */
static void abandon(dureq_run *t)
{
    dq_worker *w = t->worker;
    dq_wshard *s = t->shard;

    DQ_LOG(w->log, DUREQ_LOG_WARN, "handler.stuck", "job=%s run=%s type=%s", t->job_id_text, t->run_id_text, t->type_text);
    atomic_fetch_add_explicit(&w->s_stuck, 1, memory_order_relaxed);
    t->abandoned = true;
    dq_pool_lost_thread(w->pool, 1);
    dq_worker_pump(w); /* a stop may have waited for it */
    if (t->lost)
        return;
    dureq_run *twin = make_twin(t);
    dq_list_remove(&t->in_shard);
    t->lost = true;
    if (!twin)
        return; /* stays pending; the reaper gives it to somebody when this session ends */
    dq_list_push_back(&s->held, &twin->in_shard);
    twin->finished_at_ms = dq_store_now_ms(w->store);
    twin->ran_ms = DQ_MAX(twin->finished_at_ms - twin->started_at_ms, 0);
    if (t->why_stop == DQ_STOP_SHUTDOWN) {
        dq_fetch_give_back(twin);
        dq_session_return(s);
    } else {
        put_finished(twin, DUREQ_ETIMEOUT);
    }
}

static void grace_over(dureq_run *t)
{
    if (t->handler->fn) {
        abandon(t);
    } else if (!t->killed) {
        t->killed = true;
        t->handler->ops->kill(t, t->handler->userdata);
    }
}

/* No thread was free for it until now, and none shall begin it. */
static bool stop_unbegun(dureq_run *t, dq_stop_reason why)
{
    if (t->why_stop || t->phase != TASK_RUNNING || !t->handler->fn || !dq_pool_take_out(t->worker->pool, &t->pool_link))
        return false;
    dq_task_cancel(t, why);
    dq_task_finish(t, DUREQ_ETIMEOUT);
    return true;
}

void dq_worker_stop_task(dureq_run *t, dq_stop_reason why)
{
    if (t->why_stop || t->phase != TASK_RUNNING)
        return;
    if (stop_unbegun(t, why))
        return;
    dq_task_cancel(t, why);
    set_deadline(t, dq_loop_now_us(t->worker->loop) + dq_task_grace_ms(t) * 1000);
    if (!t->handler->fn)
        t->handler->ops->stop(t, why, t->handler->userdata); /* may finish it: not touched after this */
}

static void look_at_deadline(dureq_run *t)
{
    int64_t now_us = dq_loop_now_us(t->worker->loop), at;

    if (t->why_stop) {
        grace_over(t);
        return;
    }
    at = next_deadline_us(t, t->started_loop_us);
    if (at > now_us) { /* it gave a sign of life meanwhile */
        if (at != INT64_MAX)
            set_deadline(t, at);
        return;
    }
    int64_t timeout_ms = dq_task_timeout_ms(t);
    t->heartbeat_missed = !timeout_ms || now_us < t->started_loop_us + timeout_ms * 1000;
    dq_worker_stop_task(t, DQ_STOP_TIMED_OUT);
}

static void deadline_fired(dq_timer *timer)
{
    dq_worker *w = dq_container_of(timer, dq_worker, deadline_timer);
    dq_heap_node *top = dq_heap_top(&w->deadlines);

    for (; top && top->key <= dq_loop_now_us(w->loop); top = dq_heap_top(&w->deadlines)) {
        dq_heap_remove(&w->deadlines, top);
        look_at_deadline(dq_container_of(top, dureq_run, deadline));
    }
    arm_deadlines(w);
}

/* ---- a task's life ---- */

void dq_worker_start_task(dureq_run *t)
{
    dq_worker *w = t->worker;
    int64_t at_us;
    int rc;

    t->phase = TASK_RUNNING;
    t->started_at_ms = dq_store_now_ms(w->store);
    t->started_loop_us = t->started_mono_us = dq_loop_now_us(w->loop);
    atomic_fetch_add_explicit(&w->s_running, 1, memory_order_relaxed);
    dq_stat_add(&w->s_started, 1);
    at_us = next_deadline_us(t, t->started_loop_us);
    if (at_us != INT64_MAX)
        set_deadline(t, at_us);
    dq_session_started(t->shard);
    dq_worker_tell(t, DUREQ_NODE_JOB_STARTED, "");
    if (t->handler->fn) {
        dq_list_push_back(&w->to_pool, &t->pool_link);
        if (!w->taking) /* else pushed with the rest of the reply */
            dq_pool_push(w->pool, &w->to_pool);
        return;
    }
    rc = t->handler->ops->start(t, t->handler->userdata);
    if (rc < 0)
        dq_task_finish(t, rc);
}

void dq_worker_task_over(dureq_run *t)
{
    dq_worker *w = t->worker;

    w->n_held--;
    ((dq_handler *)t->handler)->running--;
    dq_suspect_over(t);
}

static void task_ended(dureq_run *t, int rc)
{
    dq_worker *w = t->worker;

    if (t->deadline.pos)
        dq_heap_remove(&w->deadlines, &t->deadline);
    t->finished_at_ms = dq_store_now_ms(w->store);
    t->phase = TASK_FINISHED;
    if (t->abandoned) {
        atomic_fetch_sub_explicit(&w->s_stuck, 1, memory_order_relaxed);
        dq_pool_lost_thread(w->pool, -1);
    }
    dq_worker_task_over(t);
    if (t->lost) {
        dq_worker_drop_task(t);
    } else if (t->why_stop == DQ_STOP_SHUTDOWN && (rc < 0 || (t->said.any && t->said.outcome != DUREQ_OUTCOME_SKIP))) {
        t->phase = TASK_WAITING;
        dq_fetch_give_back(t);
        dq_session_return(t->shard);
    } else {
        put_finished(t, rc);
    }
    atomic_fetch_sub_explicit(&w->s_running, 1, memory_order_relaxed); /* last: who sees none running sees what is unsent */
}

void dq_task_finish(dureq_run *t, int rc)
{
    dq_worker *w = t->worker;

    t->ran_ms = (dq_mono_us() - t->started_mono_us) / 1000;
    task_ended(t, rc);
    dq_worker_pump(w);
    dq_worker_look_for_end(w);
}

void dq_task_no_room(dureq_run *t)
{
    dq_worker *w = t->worker;

    if (t->deadline.pos)
        dq_heap_remove(&w->deadlines, &t->deadline);
    t->phase = TASK_WAITING;
    t->started_at_ms = 0; /* it never ran */
    dq_worker_task_over(t);
    w->room = DQ_MIN(w->room, w->n_held);
    dq_timer_set(&w->room_timer, ROOM_LOOK_US);
    if (t->lost) {
        dq_worker_drop_task(t);
    } else {
        dq_fetch_give_back(t);
        dq_session_return(t->shard);
    }
    atomic_fetch_sub_explicit(&w->s_running, 1, memory_order_relaxed);
    dq_worker_look_for_end(w);
}

void dq_worker_drop_task(dureq_run *t)
{
    count_unsent(t, false);
    dq_list_remove(&t->in_shard);
    if (t->phase == TASK_RUNNING || t->fetching_blob) {
        t->lost = true; /* freed when its handler, or its payload, comes back */
        return;
    }
    dq_list_remove(&t->link);
    if (t->deadline.pos)
        dq_heap_remove(&t->worker->deadlines, &t->deadline);
    dq_task_free(t);
}

/* Out of whichever list of its shard it waits in. */
static void unlist(dureq_run *t)
{
    dq_wshard *s = t->shard;

    if (!dq_list_linked(&t->link))
        return;
    dq_list_remove(&t->link);
    if (t->in_returns)
        s->n_returns--;
    else if (t->phase == TASK_FINISHED && !t->report_flying)
        *(t->in_fast ? &s->n_fast : &s->n_slow) -= 1;
    t->in_returns = t->gated = false;
}

void dq_worker_lose_task(dureq_run *t, dq_stop_reason why)
{
    dq_worker *w = t->worker;
    bool held = t->phase == TASK_WAITING && !t->in_returns && !t->undecided; /* takes a slot, without a handler yet */

    if (why == DQ_STOP_LOST && !t->told_cancelled)
        dq_stat_add(&w->s_lost, 1);
    t->lost = true;
    if (t->phase == TASK_RUNNING) {
        dq_list_remove(&t->in_shard);
        dq_worker_stop_task(t, why);
        return;
    }
    unlist(t);
    if (held && !t->fetching_blob)
        dq_worker_task_over(t);
    if (t->phase == TASK_WAITING && t->fetching_blob) {
        dq_list_remove(&t->in_shard);
        return; /* its slot and itself go when the payload comes */
    }
    dq_worker_drop_task(t);
}

/* ---- drain and stop ---- */

void dq_worker_drain(dq_worker *w, bool drain)
{
    w->draining = drain;
    atomic_store_explicit(&w->s_draining, drain || w->drain_asked, memory_order_relaxed);
    dq_worker_pump(w);
}

static bool shard_is_through(const dq_wshard *s)
{
    if (s->state == WSHARD_GONE || s->state == WSHARD_CLOSED)
        return true;
    return s->n_fast == 0 && s->n_slow == 0 && s->n_returns == 0 && dq_list_empty(&s->after_beat) && dq_list_empty(&s->sent) &&
           dq_list_empty(&s->held) && !s->returning;
}

/* Nothing is to be recorded any more, or there is no way to. */
static bool all_through(dq_worker *w)
{
    for (unsigned i = 0; i < w->n_shards; i++)
        if (!shard_is_through(&w->shards[i]) && !(w->give_up && !w->up))
            return false;
    return true;
}

void dq_worker_look_for_end(dq_worker *w)
{
    bool gone = true;

    if (!w->stopping || w->stopped)
        return;
    if (w->n_held - (uint32_t)atomic_load_explicit(&w->s_stuck, memory_order_relaxed) > 0 || !all_through(w))
        return;
    for (unsigned i = 0; i < w->n_shards; i++) {
        if (w->shards[i].state != WSHARD_CLOSING && w->shards[i].state != WSHARD_GONE)
            dq_session_close(&w->shards[i]);
        gone = gone && w->shards[i].state == WSHARD_GONE;
    }
    if (!gone)
        return;
    w->stopped = true;
    dq_pool_close(w->pool);
    if (w->cb.on_stopped)
        w->cb.on_stopped(w, w->cb.userdata);
}

void dq_worker_stop(dq_worker *w)
{
    w->stopping = true;
    dq_suspects_give_back(w);
    dq_paused_give_back(w);
    dq_worker_pump(w);
    if (w->give_up)
        dq_worker_stop_now(w);
    else
        dq_worker_look_for_end(w);
}

void dq_worker_stop_now(dq_worker *w)
{
    w->give_up = true;                         /* nothing is read any more either */
    for (unsigned i = 0; i < w->n_shards; i++) /* first, or threads that others leave would begin them */
        DQ_LIST_FOREACH (dureq_run, t, &w->shards[i].held, in_shard)
            (void)stop_unbegun(t, DQ_STOP_SHUTDOWN);
    for (unsigned i = 0; i < w->n_shards; i++)
        DQ_LIST_FOREACH (dureq_run, t, &w->shards[i].held, in_shard)
            dq_worker_stop_task(t, DQ_STOP_SHUTDOWN);
    dq_worker_look_for_end(w);
}

void dq_worker_get_stats(const dq_worker *worker, dureq_node_stats *ret)
{
    dq_worker *w = (dq_worker *)worker;

    *ret = (dureq_node_stats){
        .running = atomic_load_explicit(&w->s_running, memory_order_relaxed),
        .concurrency = (int32_t)w->concurrency,
        .stuck = atomic_load_explicit(&w->s_stuck, memory_order_relaxed),
        .started = atomic_load_explicit(&w->s_started, memory_order_relaxed),
        .completed = atomic_load_explicit(&w->s_completed, memory_order_relaxed),
        .failed = atomic_load_explicit(&w->s_failed, memory_order_relaxed),
        .dead = atomic_load_explicit(&w->s_dead, memory_order_relaxed),
        .cancelled = atomic_load_explicit(&w->s_cancelled, memory_order_relaxed),
        .returned = atomic_load_explicit(&w->s_returned, memory_order_relaxed),
        .lost = atomic_load_explicit(&w->s_lost, memory_order_relaxed),
        .unsent = atomic_load_explicit(&w->s_unsent, memory_order_relaxed),
        .connected = atomic_load_explicit(&w->s_connected, memory_order_relaxed),
        .draining = atomic_load_explicit(&w->s_draining, memory_order_relaxed),
    };
}
