/* SPDX-License-Identifier: Apache-2.0 */
/* The loop's side of a run: it starts, its deadlines, it is told to stop, it ends.

   A run has its claim's slot until its handler is through. Told to stop (cancelled, timed out, lost, shutdown), a handler has its grace; then an
   external one is killed, and the thread of an in-process one is stuck until it returns, and the slot with it: what the claim came to is
   recorded without it. Loop thread. */

#include "worker/run.h"

#include <assert.h>

#include "base/clock.h"
#include "worker/overflow.h"
#include "worker/worker_internal.h"

#define BIT(name) (1u << DQ_RUN_##name)

static const unsigned next_states[] = {
    [DQ_RUN_NONE] = BIT(LOADING) | BIT(GOING),
    [DQ_RUN_LOADING] = BIT(NONE) | BIT(GOING),
    [DQ_RUN_GOING] = BIT(NONE) | BIT(STOPPING) | BIT(ENDED),
    [DQ_RUN_STOPPING] = BIT(NONE) | BIT(KILLED) | BIT(STUCK) | BIT(ENDED),
    [DQ_RUN_KILLED] = BIT(NONE) | BIT(ENDED),
    [DQ_RUN_STUCK] = BIT(ENDED),
    [DQ_RUN_ENDED] = 0,
};

bool dq_run_can_move(dq_run_state from, dq_run_state to)
{
    return (size_t)from < DQ_ARRAY_LEN(next_states) && (size_t)to < DQ_ARRAY_LEN(next_states) && next_states[from] & (1u << to);
}

void dq_run_move(dureq_run *r, dq_run_state to)
{
    assert(next_states[r->state] & (1u << to));
    r->state = to;
}

/* ---- deadlines ---- */

int64_t dq_run_timeout_ms(const dureq_run *r)
{
    const dq_claim *c = dq_claim_of(r);

    return c->job.env.timeout_ms ? c->job.env.timeout_ms : c->handler->timeout_ms;
}

static void arm_deadlines(dq_worker *w)
{
    dq_heap_node *top = dq_heap_top(&w->deadlines);

    if (!top)
        dq_timer_clear(&w->deadline_timer);
    else
        dq_timer_set(&w->deadline_timer, DQ_MAX(top->key - dq_loop_now_us(w->loop), 0));
}

static void set_deadline(dureq_run *r, int64_t at_us)
{
    dq_claim *c = dq_claim_of(r);
    dq_worker *w = c->worker;
    bool first = !dq_heap_top(&w->deadlines) || at_us < dq_heap_top(&w->deadlines)->key;

    if (r->deadline.pos) {
        dq_heap_update(&w->deadlines, &r->deadline, at_us);
    } else {
        r->deadline.key = at_us;
        if (dq_heap_push(&w->deadlines, &r->deadline) < 0)
            DQ_LOG(w->log, DUREQ_LOG_ERROR, "worker.memory", "job=%s error=\"its time-out cannot be watched\"", c->job.id_text);
    }
    if (first)
        arm_deadlines(w);
}

static void clear_deadline(dureq_run *r)
{
    if (r->deadline.pos)
        dq_heap_remove(&dq_claim_of(r)->worker->deadlines, &r->deadline);
}

/* When this run must be looked at next; INT64_MAX: never. */
static int64_t next_deadline_us(const dureq_run *r)
{
    const dq_claim *c = dq_claim_of(r);
    int64_t at = INT64_MAX, timeout_ms = dq_run_timeout_ms(r);

    if (timeout_ms)
        at = dq_add_sat(r->started_loop_us, timeout_ms > INT64_MAX / 1000 ? INT64_MAX : timeout_ms * 1000);
    if (c->job.env.heartbeat_ms) {
        int64_t sign = atomic_load_explicit(&((dureq_run *)r)->sign_mono_us, memory_order_relaxed);
        int64_t beat = dq_add_sat(DQ_MAX(sign, r->started_loop_us), c->job.env.heartbeat_ms * 1000);

        at = DQ_MIN(at, beat);
    }
    return at;
}

/* ---- told to stop ---- */

void dq_run_cancel(dureq_run *r, dq_stop_reason why)
{
    if (!r->why_stop)
        r->why_stop = why;
    dq_mutex_lock(&r->mu);
    atomic_store_explicit(&r->cancelled, true, memory_order_relaxed);
    dq_cond_broadcast(&r->cond);
    dq_mutex_unlock(&r->mu);
}

bool dq_run_stop_unbegun(dureq_run *r, dq_stop_reason why)
{
    dq_claim *c = dq_claim_of(r);

    if (r->state != DQ_RUN_GOING || !c->handler->fn || !dq_pool_take_out(c->worker->pool, &r->pool_link))
        return false;
    dq_run_cancel(r, why);
    dq_run_finish(r, DUREQ_ETIMEOUT);
    return true;
}

void dq_run_stop(dureq_run *r, dq_stop_reason why)
{
    dq_claim *c = dq_claim_of(r);

    if (r->state != DQ_RUN_GOING || dq_run_stop_unbegun(r, why))
        return;
    dq_run_cancel(r, why);
    dq_run_move(r, DQ_RUN_STOPPING);
    set_deadline(r, dq_loop_now_us(c->worker->loop) + dq_run_grace_ms(r) * 1000);
    if (!c->handler->fn)
        c->handler->ops->stop(r, why, c->handler->userdata); /* may finish it: not touched after this */
}

/* ---- its end ---- */

/* What the next run says begins a line. */
static void end_log(dq_buf *log)
{
    if (log->len && log->ptr[log->len - 1] != '\n')
        dq_buf_append_char(log, '\n');
}

static void judge(dq_claim *c, int rc)
{
    end_log(&c->log);
    c->verdict.started_at_ms = c->run.started_at_ms;
    c->verdict.finished_at_ms = dq_store_now_ms(c->worker->store, c->shard->no);
    dq_outcome_judge(c, rc);
    dq_claim_judged(c);
}

static void give_back(dq_claim *c)
{
    dq_claim_move(c, DQ_CLAIM_RETURN);
    dq_session_return(c->shard);
}

/* The handler goes on, and may yet say something: the claim has what was logged until now. */
static void stuck(dureq_run *r)
{
    dq_claim *c = dq_claim_of(r);
    dq_worker *w = c->worker;

    DQ_LOG(w->log, DUREQ_LOG_WARN, "handler.stuck", "job=%s run=%s type=%s", c->job.id_text, c->job.run_text, c->job.type);
    dq_run_move(r, DQ_RUN_STUCK);
    atomic_fetch_add_explicit(&w->stats.stuck, 1, memory_order_relaxed);
    dq_pool_lost_thread(w->pool, 1);
    dq_worker_pump(w); /* a stop may have waited for it */
    if (c->state == DQ_CLAIM_OVER)
        return;
    dq_mutex_lock(&r->mu);
    dq_buf_append_buf(&c->log, &r->log);
    dq_mutex_unlock(&r->mu);
    if (dq_buf_failed(&c->log))
        dq_buf_clear(&c->log);
    if (r->why_stop == DQ_STOP_SHUTDOWN) {
        give_back(c);
        return;
    }
    dq_late_begin(c);
    c->verdict.ran_ms = DQ_MAX(dq_store_now_ms(w->store, c->shard->no) - r->started_at_ms, 0);
    judge(c, DUREQ_ETIMEOUT);
}

static void grace_over(dureq_run *r)
{
    const dq_handler *h = dq_claim_of(r)->handler;

    if (h->fn) {
        stuck(r);
        return;
    }
    dq_run_move(r, DQ_RUN_KILLED);
    h->ops->kill(r, h->userdata);
}

static void look_at_deadline(dureq_run *r)
{
    int64_t now_us = dq_loop_now_us(dq_claim_of(r)->worker->loop), at;

    if (r->state != DQ_RUN_GOING) {
        if (r->state == DQ_RUN_STOPPING)
            grace_over(r);
        return;
    }
    at = next_deadline_us(r);
    if (at > now_us) { /* it gave a sign of life meanwhile */
        if (at != INT64_MAX)
            set_deadline(r, at);
        return;
    }
    int64_t timeout_ms = dq_run_timeout_ms(r);
    r->was_silent = !timeout_ms || now_us < r->started_loop_us + timeout_ms * 1000;
    dq_run_stop(r, DQ_STOP_TIMED_OUT);
}

void dq_run_deadline_fired(dq_timer *timer)
{
    dq_worker *w = dq_container_of(timer, dq_worker, deadline_timer);
    dq_heap_node *top = dq_heap_top(&w->deadlines);

    for (; top && top->key <= dq_loop_now_us(w->loop); top = dq_heap_top(&w->deadlines)) {
        dq_heap_remove(&w->deadlines, top);
        look_at_deadline(dq_container_of(top, dureq_run, deadline));
    }
    arm_deadlines(w);
}

static bool is_to_go_back(const dq_claim *c, int rc)
{
    const dq_words *words = &c->words;

    return c->run.why_stop == DQ_STOP_SHUTDOWN && (rc < 0 || (words->has_said && words->outcome != DUREQ_OUTCOME_SKIP));
}

/* What the handler left is the claim's from now on. */
static void take_words(dq_claim *c)
{
    dureq_run *r = &c->run;

    c->words = r->words;
    c->log = r->log;
    r->words = (dq_words){0};
    r->log = (dq_buf){0};
}

static void ended(dq_claim *c, int rc)
{
    dq_worker *w = c->worker;
    bool was_stuck = c->run.state == DQ_RUN_STUCK;

    clear_deadline(&c->run);
    dq_run_move(&c->run, DQ_RUN_ENDED);
    if (was_stuck) {
        atomic_fetch_sub_explicit(&w->stats.stuck, 1, memory_order_relaxed);
        dq_pool_lost_thread(w->pool, -1);
    }
    dq_claim_free_slot(c);
    if (dq_list_linked(&c->run.late))
        dq_late_ended(c);
    if (c->state == DQ_CLAIM_STARTED) {
        take_words(c);
        if (is_to_go_back(c, rc))
            give_back(c);
        else
            judge(c, rc);
    } else if (c->state == DQ_CLAIM_OVER) {
        dq_claim_free(c);
    }                                                                      /* else what it was judged without it is on its way */
    atomic_fetch_sub_explicit(&w->stats.running, 1, memory_order_relaxed); /* last: who sees none running sees what is unsent */
}

void dq_run_finish(dureq_run *r, int rc)
{
    dq_claim *c = dq_claim_of(r);
    dq_worker *w = c->worker;

    c->verdict.ran_ms = (dq_mono_us() - r->started_mono_us) / 1000;
    ended(c, rc);
    dq_worker_pump(w);
    dq_worker_look_for_end(w);
}

void dq_run_no_room(dureq_run *r)
{
    dq_claim *c = dq_claim_of(r);
    dq_worker *w = c->worker;

    clear_deadline(r);
    r->started_at_ms = 0; /* it never ran */
    dq_run_move(r, DQ_RUN_NONE);
    dq_claim_free_slot(c);
    if (dq_list_linked(&r->late))
        dq_late_ended(c);
    dq_worker_less_room(w);
    if (c->state == DQ_CLAIM_OVER)
        dq_claim_free(c);
    else
        give_back(c);
    atomic_fetch_sub_explicit(&w->stats.running, 1, memory_order_relaxed);
    dq_worker_look_for_end(w);
}

/* ---- its start ---- */

void dq_run_start(dureq_run *r)
{
    dq_claim *c = dq_claim_of(r);
    dq_worker *w = c->worker;
    int64_t at_us;
    int rc;

    dq_run_move(r, DQ_RUN_GOING);
    r->started_at_ms = dq_store_now_ms(w->store, c->shard->no);
    r->started_loop_us = r->started_mono_us = dq_loop_now_us(w->loop);
    atomic_fetch_add_explicit(&w->stats.running, 1, memory_order_relaxed);
    dq_stat_add(&w->stats.started, 1);
    at_us = next_deadline_us(r);
    if (at_us != INT64_MAX)
        set_deadline(r, at_us);
    dq_session_started(c->shard);
    dq_worker_tell(c, DUREQ_NODE_JOB_STARTED, "");
    if (c->handler->fn) {
        dq_list_push_back(&w->to_pool, &r->pool_link);
        if (!w->is_taking) /* else pushed with the rest of the reply */
            dq_pool_push(w->pool, &w->to_pool);
        return;
    }
    rc = c->handler->ops->start(r, c->handler->userdata);
    if (rc < 0)
        dq_run_finish(r, rc);
}

/* ---- the pool's ---- */

void dq_run_call_on_thread(dq_list *link, void *userdata)
{
    dureq_run *r = dq_container_of(link, dureq_run, pool_link);

    (void)userdata;
    dq_overflow_note(dureq_run_task_type(r));
    r->started_mono_us = dq_mono_us();
    r->rc = dq_run_call(r);
    r->ended_mono_us = dq_mono_us();
    dq_overflow_note(NULL);
}

void dq_run_back(dq_list *link, void *userdata)
{
    dureq_run *r = dq_container_of(link, dureq_run, pool_link);
    dq_claim *c = dq_claim_of(r);

    (void)userdata;
    if (r->state != DQ_RUN_STUCK) /* else its verdict has told how long it ran */
        c->verdict.ran_ms = (r->ended_mono_us - r->started_mono_us) / 1000;
    ended(c, r->rc);
}
