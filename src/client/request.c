/* SPDX-License-Identifier: Apache-2.0 */
/* The life of a request. It is shared by its holder, who may give up, and the loop, which answers later: whoever lets go last frees it. What
   the mailbox brings comes in the order of posting, so a request is started before it is cancelled, and both before the client closes.
   A client that is being destroyed waits for the callbacks as for callers: each counts among n_calls until it returned. */

#include "client/request_internal.h"

#include "base/clock.h"

#define CLOSED_TEXT "the client was closed before this was answered"

static void run_start(dq_message *m);
static void run_cancel(dq_message *m);

void dq_request_init(dq_request *r, const dq_request_kind *kind, dureq_client *c, int64_t deadline_us, dq_request_fn fn,
                     void *userdata)
{
    r->kind = kind;
    r->client = c;
    r->start.fn = run_start;
    r->cancel.fn = run_cancel;
    r->deadline_us = deadline_us;
    r->fn = fn;
    r->userdata = userdata;
    atomic_init(&r->refs, 2);
    atomic_init(&r->is_cancelled, false);
    dq_mutex_init(&r->mu);
    dq_cond_init(&r->cond);
}

void dq_request_deinit(dq_request *r)
{
    dq_buf_deinit(&r->reply);
    dq_cond_deinit(&r->cond);
    dq_mutex_deinit(&r->mu);
}

void dq_request_ref(dq_request *r)
{
    atomic_fetch_add(&r->refs, 1);
}

void dq_request_unref(dq_request *r)
{
    if (atomic_fetch_sub(&r->refs, 1) == 1)
        r->kind->destroy(r);
}

void dq_request_release(dq_request *r)
{
    if (r)
        dq_request_unref(r);
}

static bool enter(dureq_client *c)
{
    dq_mutex_lock(&c->mu);
    bool is_closing = c->is_closing;
    c->n_calls += !is_closing;
    dq_mutex_unlock(&c->mu);
    return !is_closing;
}

void dq_request_post(dq_request *r)
{
    dq_loop_post(r->client->loop, &r->start);
}

int dq_request_submit(dq_request *r, dq_request **ret, dureq_error *err)
{
    if (!enter(r->client)) {
        r->kind->destroy(r);
        return dq_fail(err, DUREQ_ECLOSED, CLOSED_TEXT);
    }
    if (ret)
        *ret = r;
    dq_request_post(r);
    if (!ret)
        dq_request_unref(r);
    return 0;
}

/* ---- the end ---- */

static void tell_thread(dq_request *r, const dq_answer *answer, dureq_str raw)
{
    dq_mutex_lock(&r->mu);
    if (answer->code < 0)
        r->err = *answer->err;
    else
        dq_buf_append_str(&r->reply, raw);
    r->state = answer->state;
    r->is_done = true;
    dq_cond_signal(&r->cond);
    dq_mutex_unlock(&r->mu);
}

void dq_request_end(dq_request *r, const dq_answer *answer, dureq_str raw)
{
    if (r->is_ended)
        return;
    r->is_ended = true;
    dq_list_remove(&r->link);
    dq_timer_deinit(&r->timer);
    r->kind->leave(r);
    if (r->fn) {
        r->fn(r->userdata, answer);
        dq_client_leave(r->client);
    } else {
        tell_thread(r, answer, raw);
    }
    dq_request_unref(r);
}

void dq_request_fail(dq_request *r, int code, const char *msg)
{
    dureq_error why;

    (void)dq_fail(&why, code, "%s", msg);
    dq_request_end(r, &(dq_answer){.code = code, .err = &why, .state = -1}, (dureq_str){0});
}

static void run_cancel(dq_message *m)
{
    dq_request *r = dq_container_of(m, dq_request, cancel);

    dq_request_fail(r, DUREQ_ECANCELLED, "it was cancelled by who asked for it");
    dq_request_unref(r);
}

void dq_request_cancel(dq_request *r)
{
    if (atomic_exchange(&r->is_cancelled, true))
        return;
    dq_request_ref(r);
    dq_loop_post(r->client->loop, &r->cancel);
}

static void timer_fired(dq_timer *t)
{
    dq_request *r = dq_container_of(t, dq_request, timer);
    dureq_error why;
    int code = r->kind->late(r, &why);

    dq_request_end(r, &(dq_answer){.code = code, .err = &why, .state = -1}, (dureq_str){0});
}

/* ---- start ---- */

static int set_timer(dq_request *r)
{
    int64_t left_us = r->deadline_us - dq_mono_us();
    int rc;

    if (r->deadline_us < 0)
        return 0;
    rc = dq_timer_init(&r->timer, r->client->loop, timer_fired);
    if (rc == 0)
        dq_timer_set(&r->timer, left_us > 0 ? left_us : 0);
    return rc;
}

/* One that was cancelled is not looked at closer: its client may be gone when nobody waits for it any more. */
static void run_start(dq_message *m)
{
    dq_request *r = dq_container_of(m, dq_request, start);

    if (atomic_load(&r->is_cancelled)) {
        dq_request_fail(r, DUREQ_ECANCELLED, "it was cancelled by who asked for it");
        return;
    }
    if (r->fn || r->kind->ends_with_client) {
        if (r->client->requests_closed) {
            dq_request_fail(r, DUREQ_ECLOSED, CLOSED_TEXT);
            return;
        }
        dq_list_push_back(&r->client->requests, &r->link);
    }
    if (set_timer(r) < 0)
        dq_request_fail(r, DUREQ_ENOMEM, dureq_errcode_text(DUREQ_ENOMEM));
    else
        r->kind->start(r);
}

int dq_request_await(dq_request *r, int64_t deadline_us, dureq_error *err)
{
    bool in_time = true;

    dq_mutex_lock(&r->mu);
    while (!r->is_done && in_time)
        in_time = dq_cond_wait_until(&r->cond, &r->mu, deadline_us);
    bool is_done = r->is_done;
    dureq_error why = r->err;
    dq_mutex_unlock(&r->mu);
    if (!is_done) {
        dq_request_cancel(r);
        return r->kind->late(r, err);
    }
    if (why.code < 0 && err)
        *err = why;
    return why.code;
}

/* ---- with the client ---- */

void dq_requests_init(dureq_client *c)
{
    dq_list_init(&c->requests);
}

static void run_close(dq_message *m)
{
    dureq_client *c = dq_container_of(m, dureq_client, close);

    c->requests_closed = true;
    while (!dq_list_empty(&c->requests))
        dq_request_fail(dq_container_of(c->requests.next, dq_request, link), DUREQ_ECLOSED, CLOSED_TEXT);
    dq_waiters_stop(c->waiters);
    dq_mutex_lock(&c->mu);
    c->waits_closed = true;
    dq_cond_broadcast(&c->cond);
    dq_mutex_unlock(&c->mu);
}

void dq_requests_close(dureq_client *c)
{
    dq_mutex_lock(&c->mu);
    c->is_closing = true;
    dq_mutex_unlock(&c->mu);
    c->close.fn = run_close;
    dq_loop_post(c->loop, &c->close);
    dq_mutex_lock(&c->mu);
    while (!c->waits_closed || c->n_waits > 0)
        dq_cond_wait(&c->cond, &c->mu);
    dq_mutex_unlock(&c->mu);
}
