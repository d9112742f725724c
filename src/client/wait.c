/* SPDX-License-Identifier: Apache-2.0 */
/* Waiting for the end of jobs. Each client listens to one channel of its own, d:<random>, on the shards where it waits; it registers the channel
   with the job (wait_register), and the script that ends the job publishes the id there. The subscription goes out before the
   registration on the same connection, so nothing falls between the two; after a reconnect all are registered again, and a job
   that ended meanwhile is answered then. All are asked for again every 10 s: what was deleted by hand (FLUSHALL) tells nobody of its end.
   Loop thread, but for dureq_client_wait. */

#include <stdatomic.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/random.h"
#include "client/client_internal.h"
#include "store/job_calls.h"

#define ASK_EVERY_US (10 * 1000000LL)
#define ASK_MAX      500 /* ids in a call */
#define CLOSED_TEXT  "the client was closed while the job was waited for"

typedef struct waiter {
    dq_list link; /* in dq_waiters.all while it waits */
    dq_message start, leave;
    dq_waiters *owner;
    unsigned char id[DQ_ID_BYTES];
    unsigned shard;
    atomic_int refs; /* caller, list, call in flight */

    dq_mutex mu; /* guards the next four */
    dq_cond cond;
    bool done;
    bool cancelled; /* and not kept */
    dureq_error err;
} waiter;

struct dq_waiters {
    dureq_client *client;
    char channel[24];
    dq_list all;
    dq_message close;
    dq_timer ask;     /* set when anybody waits */
    bool closed;      /* whoever comes now is told so */
    bool *subscribed; /* by shard; made at first use */
};

int dq_waiters_create(dureq_client *c, dq_waiters **ret, dureq_error *err)
{
    dq_waiters *w = dq_calloc(1, sizeof *w);
    uint64_t random;
    int rc;

    if (!w)
        return dq_fail_nomem(err);
    rc = dq_random_bytes(&random, sizeof random, err);
    if (rc < 0) {
        dq_free(w);
        return rc;
    }
    w->client = c;
    dq_list_init(&w->all);
    (void)snprintf(w->channel, sizeof w->channel, "%016llx", (unsigned long long)random);
    *ret = w;
    return 0;
}

static void waiter_unref(waiter *w)
{
    if (atomic_fetch_sub(&w->refs, 1) != 1)
        return;
    dq_cond_deinit(&w->cond);
    dq_mutex_deinit(&w->mu);
    dq_free(w);
}

static void waiter_done(waiter *w, int code, const char *msg)
{
    if (!dq_list_linked(&w->link))
        return;
    dq_list_remove(&w->link);
    dq_mutex_lock(&w->mu);
    w->done = true;
    if (code < 0)
        dq_fail(&w->err, code, "%s", msg);
    dq_cond_signal(&w->cond);
    dq_mutex_unlock(&w->mu);
    waiter_unref(w);
}

static void end_all(dq_waiters *w)
{
    while (!dq_list_empty(&w->all))
        waiter_done(dq_container_of(w->all.next, waiter, link), DUREQ_ECLOSED, CLOSED_TEXT);
}

static void run_close(dq_message *m)
{
    dq_waiters *ws = dq_container_of(m, dq_waiters, close);
    dureq_client *c = ws->client;

    ws->closed = true;
    end_all(ws);
    dq_timer_clear(&ws->ask);
    dq_mutex_lock(&c->mu);
    c->waits_closed = true;
    dq_cond_broadcast(&c->cond);
    dq_mutex_unlock(&c->mu);
}

void dq_waiters_close(dq_waiters *ws)
{
    dureq_client *c = ws->client;

    dq_mutex_lock(&c->mu);
    c->is_closing = true;
    dq_mutex_unlock(&c->mu);
    ws->close.fn = run_close;
    dq_loop_post(c->loop, &ws->close);
    dq_mutex_lock(&c->mu);
    while (!c->waits_closed || c->n_waits > 0)
        dq_cond_wait(&c->cond, &c->mu);
    dq_mutex_unlock(&c->mu);
}

void dq_waiters_destroy(dq_waiters *w)
{
    if (!w)
        return;
    end_all(w);
    dq_timer_deinit(&w->ask);
    dq_free(w->subscribed);
    dq_free(w);
}

static void waiter_answered(waiter *w, int64_t answer)
{
    if (answer == 1)
        waiter_done(w, 0, NULL);
    else if (answer == DUREQ_ENOTFOUND)
        waiter_done(w, DUREQ_ENOTFOUND, "no such job");
    else if (answer == DUREQ_ELIMIT)
        waiter_done(w, DUREQ_ELIMIT, "too many clients wait for this job");
}

static void on_registered(void *userdata, int code, const dq_reply *reply, const dureq_error *err)
{
    waiter *w = userdata;

    if (code == 0)
        waiter_answered(w, dq_reply_int(dq_reply_at(*reply, 0)));
    else if (code != DUREQ_EUNAVAILABLE) /* else it is registered again when the server is back */
        waiter_done(w, code, err->msg);
    waiter_unref(w);
}

static void subscribe(dq_waiters *ws, unsigned shard)
{
    if (!ws->subscribed)
        ws->subscribed = dq_calloc(dq_client_keys(ws->client)->n_shards, sizeof *ws->subscribed);
    if (ws->subscribed && !ws->subscribed[shard])
        ws->subscribed[shard] = dq_store_subscribe(ws->client->store, shard, "d:", dureq_str_from(ws->channel)) == 0;
}

static void do_register(waiter *w)
{
    dq_waiters *ws = w->owner;
    DQ_BUF_AUTO call = {0};

    subscribe(ws, w->shard);
    dureq_str id = dureq_str_of(w->id, sizeof w->id);
    dq_call_wait_register(&call, dq_client_keys(ws->client), w->shard, dureq_str_from(ws->channel), &id, 1);
    atomic_fetch_add(&w->refs, 1);
    int rc =
        dq_buf_failed(&call) ? DUREQ_ENOMEM : dq_store_send(ws->client->store, w->shard, 0, dq_buf_str(&call), on_registered, w);
    if (rc == 0)
        return;
    if (rc != DUREQ_EUNAVAILABLE)
        waiter_done(w, rc, dureq_errcode_text(rc));
    waiter_unref(w);
}

void dq_waiters_up(dq_waiters *ws)
{
    dq_list now;

    dq_list_init(&now);
    dq_list_splice_back(&now, &ws->all);
    while (!dq_list_empty(&now)) {
        waiter *w = dq_container_of(dq_list_pop_front(&now), waiter, link);

        dq_list_push_back(&ws->all, &w->link);
        do_register(w);
    }
}

/* ---- asking again: all of a shard in one call ---- */

typedef struct ask_call {
    size_t n;
    waiter *waiters[ASK_MAX]; /* of one shard; a reference each */
} ask_call;

static void ask_free(ask_call *a)
{
    for (size_t i = 0; i < a->n; i++)
        waiter_unref(a->waiters[i]);
    dq_free(a);
}

/* They were registered before and may still be: a failure (of memory that is full, say) is no reason to end their waits. */
static void on_asked(void *userdata, int code, const dq_reply *reply, const dureq_error *err)
{
    ask_call *a = userdata;

    (void)err;
    if (code == 0 && dq_reply_len(*reply) == a->n) {
        dq_reply at = dq_reply_first(*reply);

        for (size_t i = 0; i < a->n; i++, at = dq_reply_next(at))
            waiter_answered(a->waiters[i], dq_reply_int(at));
    }
    ask_free(a);
}

static void send_ask(dq_waiters *ws, ask_call *a)
{
    unsigned shard = a->waiters[0]->shard;
    dureq_str ids[ASK_MAX];
    DQ_BUF_AUTO call = {0};

    for (size_t i = 0; i < a->n; i++)
        ids[i] = dureq_str_of(a->waiters[i]->id, DQ_ID_BYTES);
    dq_call_wait_register(&call, dq_client_keys(ws->client), shard, dureq_str_from(ws->channel), ids, a->n);
    if (dq_buf_failed(&call) || dq_store_send(ws->client->store, shard, 0, dq_buf_str(&call), on_asked, a) < 0)
        ask_free(a); /* the next time */
}

/* From `list` to `asked` and into one call: those of the first one's shard, as many as a call takes. */
static ask_call *gather(dq_list *list, dq_list *asked)
{
    unsigned shard = dq_container_of(list->next, waiter, link)->shard;
    ask_call *a = dq_calloc(1, sizeof *a);

    if (!a)
        return NULL;
    DQ_LIST_FOREACH (waiter, w, list, link) {
        if (w->shard != shard || a->n == ASK_MAX)
            continue;
        atomic_fetch_add(&w->refs, 1);
        a->waiters[a->n++] = w;
        dq_list_remove(&w->link);
        dq_list_push_back(asked, &w->link);
    }
    return a;
}

static void ask_all(dq_waiters *ws)
{
    dq_list left;

    dq_list_init(&left);
    dq_list_splice_back(&left, &ws->all);
    while (!dq_list_empty(&left)) {
        ask_call *a = gather(&left, &ws->all);

        if (!a)
            break;
        send_ask(ws, a);
    }
    dq_list_splice_back(&ws->all, &left);
}

static void ask_fired(dq_timer *t)
{
    dq_waiters *ws = dq_container_of(t, dq_waiters, ask);

    if (dq_list_empty(&ws->all))
        return;
    if (dq_store_is_up(ws->client->store)) /* else all are registered when it is */
        ask_all(ws);
    dq_timer_set(t, ASK_EVERY_US);
}

static void ask_later(dq_waiters *ws)
{
    if (!ws->ask.loop && dq_timer_init(&ws->ask, ws->client->loop, ask_fired) < 0)
        return; /* no memory: with the next one who waits */
    if (!dq_timer_is_set(&ws->ask))
        dq_timer_set(&ws->ask, ASK_EVERY_US);
}

/* state: of a job of which nothing is left (see tell.lua); -1: it can be looked at. */
static void waiter_told(waiter *w, int state)
{
    if (state == DUREQ_JOB_PENDING) {
        waiter_done(w, DUREQ_ENOTFOUND, "the job was purged with its queue");
        return;
    }
    dq_mutex_lock(&w->mu);
    w->cancelled = state == DUREQ_JOB_CANCELLED;
    dq_mutex_unlock(&w->mu);
    waiter_done(w, 0, NULL);
}

void dq_waiters_message(dq_waiters *ws, dureq_str name, dureq_str id)
{
    if (!dq_str_eq_text(dureq_str_of(name.ptr + 2, name.len - 2), ws->channel) || id.len < DQ_ID_BYTES)
        return;
    DQ_LIST_FOREACH (waiter, w, &ws->all, link)
        if (memcmp(w->id, id.ptr, DQ_ID_BYTES) == 0)
            waiter_told(w, id.len > DQ_ID_BYTES ? id.ptr[DQ_ID_BYTES] : -1);
}

static void run_start(dq_message *m)
{
    waiter *w = dq_container_of(m, waiter, start);
    dq_waiters *ws = w->owner; /* w may be gone when it is registered */

    dq_list_push_back(&ws->all, &w->link);
    if (ws->closed) {
        waiter_done(w, DUREQ_ECLOSED, CLOSED_TEXT);
        return;
    }
    do_register(w);
    ask_later(ws);
}

static void run_leave(dq_message *m)
{
    waiter *w = dq_container_of(m, waiter, leave);

    waiter_done(w, DUREQ_ETIMEOUT, "not ended in time");
    waiter_unref(w);
}

static waiter *waiter_create(dureq_client *c, const unsigned char id[DQ_ID_BYTES], unsigned shard)
{
    waiter *w = dq_calloc(1, sizeof *w);

    if (!w)
        return NULL;
    w->owner = c->waiters;
    w->start.fn = run_start;
    w->leave.fn = run_leave;
    memcpy(w->id, id, DQ_ID_BYTES);
    w->shard = shard;
    atomic_init(&w->refs, 2);
    dq_mutex_init(&w->mu);
    dq_cond_init(&w->cond);
    return w;
}

static int wait_ended(dureq_client *c, waiter *w, int64_t deadline_us, bool *ret_cancelled, dureq_error *err)
{
    bool in_time = true;

    dq_loop_post(c->loop, &w->start);
    dq_mutex_lock(&w->mu);
    while (!w->done && in_time)
        in_time = dq_cond_wait_until(&w->cond, &w->mu, deadline_us);
    bool done = w->done;
    *ret_cancelled = w->cancelled;
    dureq_error why = w->err;
    dq_mutex_unlock(&w->mu);
    if (!done) {
        atomic_fetch_add(&w->refs, 1);
        dq_loop_post(c->loop, &w->leave);
        return dq_fail(err, DUREQ_ETIMEOUT, "the job has not ended in time");
    }
    if (why.code < 0 && err)
        *err = why;
    return why.code;
}

/* A job that is not kept is gone when its end is told. */
static int ended_without_trace(const dq_id *id, bool cancelled, dureq_job_list **ret, dureq_error *err)
{
    dureq_job_list *list = dq_job_list_create();

    if (!list)
        return dq_fail_nomem(err);
    list->items = dq_arena_alloc(dq_job_list_arena(list), sizeof *list->items);
    if (!list->items) {
        dureq_job_list_destroy(list);
        return dq_fail_nomem(err);
    }
    dq_id_to_text(id, &list->items[0].id);
    list->items[0].state = cancelled ? DUREQ_JOB_CANCELLED : DUREQ_JOB_COMPLETED;
    list->items[0].created_at_ms = (int64_t)id->ms;
    list->n = 1;
    *ret = list;
    return 0;
}

static int64_t wait_deadline_us(int64_t timeout_ms)
{
    return timeout_ms < 0 || timeout_ms > INT64_MAX / 1000 ? -1 : dq_add_sat(dq_mono_us(), timeout_ms * 1000);
}

/* From here on, dq_waiters_close waits for it to end, and ends it. */
static int enter_wait(dureq_client *c, dureq_error *err)
{
    int rc;

    rc = dq_client_may_write(c, err);
    if (rc < 0)
        return rc;
    dq_mutex_lock(&c->mu);
    bool is_closing = c->is_closing;
    c->n_waits += !is_closing;
    dq_mutex_unlock(&c->mu);
    return is_closing ? dq_fail(err, DUREQ_ECLOSED, CLOSED_TEXT) : 0;
}

static void leave_wait(dureq_client *c)
{
    dq_mutex_lock(&c->mu);
    c->n_waits--;
    if (c->n_waits == 0)
        dq_cond_broadcast(&c->cond);
    dq_mutex_unlock(&c->mu);
}

static int wait_for_end(dureq_client *c, const dq_id *id, const unsigned char packed[DQ_ID_BYTES], int64_t timeout_ms,
                        bool *ret_cancelled, dureq_error *err)
{
    int rc;

    rc = enter_wait(c, err);
    if (rc < 0)
        return rc;
    waiter *w = waiter_create(c, packed, id->shard);
    if (w) {
        rc = wait_ended(c, w, wait_deadline_us(timeout_ms), ret_cancelled, err);
        waiter_unref(w);
    } else {
        rc = dq_fail_nomem(err);
    }
    leave_wait(c);
    return rc;
}

int dureq_client_wait(dureq_client *c, const char *id_text, int64_t timeout_ms, dureq_job_list **ret, dureq_error *err)
{
    unsigned char packed[DQ_ID_BYTES];
    bool cancelled = false;
    dq_id id;
    int rc;

    if (!c || !id_text || !ret)
        return dq_fail(err, DUREQ_EINVAL, "client, id and ret must be given");
    rc = dq_parse_job_id(id_text, c, &id, packed, err);
    if (rc < 0)
        return rc;
    if (timeout_ms < -1)
        return dq_fail(err, DUREQ_EINVAL, "timeout_ms takes 0 or more, or -1 to wait for ever");
    dq_client_enter(c);
    rc = wait_for_end(c, &id, packed, timeout_ms, &cancelled, err);
    if (rc == 0) {
        rc = dureq_client_get_job(c, id_text, ret, err);
        if (rc == DUREQ_ENOTFOUND)
            rc = ended_without_trace(&id, cancelled, ret, err);
    }
    dq_client_leave(c);
    return rc;
}
