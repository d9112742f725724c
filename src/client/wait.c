/* SPDX-License-Identifier: Apache-2.0 */
/* Waiting for the end of jobs. Each client listens to one channel of its own, d:<random>, on the shards where it waits; it registers the channel
   with the job (wait_register), and the script that ends the job publishes the id there. The subscription goes out before the
   registration on the same connection, so nothing falls between the two; after a reconnect all are registered again, and a job
   that ended meanwhile is answered then. All are asked for again every 10 s: what was deleted by hand (FLUSHALL) tells nobody of its end, nor
   is anybody told who came when a thousand were registered for the job.

   A job is registered once for all the waits for it here. When the last of them leaves, the registration is taken back (wait_leave); one call
   about a job is under way at a time, so the two cannot overtake each other. What is to be said of jobs is collected and goes out when the
   loop is about to wait, many ids in a call. Loop thread, except for dureq_client_wait and dq_client_submit_wait. */

#include <stdio.h>

#include "base/clock.h"
#include "base/random.h"
#include "client/request_internal.h"
#include "store/job_calls.h"

#define ASK_EVERY_US (10 * 1000000LL)
#define ASK_MAX      500 /* ids in a call */

typedef enum wait_verb {
    WAIT_REGISTER,
    WAIT_LEAVE,
    WAIT_VERBS,
} wait_verb;

typedef struct awaited { /* a job that is waited for, or whose registration is not taken back yet */
    unsigned char id[DQ_ID_BYTES];
    unsigned shard;
    dq_list waits;
    dq_list link;       /* in its shard's list of what is to be said */
    bool must_ask;      /* to be registered, or again */
    bool is_registered; /* or may be */
    bool is_flying;     /* a call about it is under way */
} awaited;

typedef struct wait_request {
    dq_request request;
    unsigned char id[DQ_ID_BYTES];
    unsigned shard;
    awaited *job; /* NULL: not yet, or no more */
    dq_list link; /* of its job */
} wait_request;

typedef struct wait_shard {
    bool is_subscribed;
    dq_list to_say[WAIT_VERBS];
} wait_shard;

struct dq_waiters {
    dureq_client *client;
    char channel[24];
    dq_map jobs;  /* by id */
    dq_timer ask; /* set when there are any */
    dq_deferred say;
    unsigned n_shards;
    wait_shard *shards; /* made at first use */
};

static void say_fired(dq_deferred *d);

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
    w->say.fn = say_fired;
    (void)snprintf(w->channel, sizeof w->channel, "%016llx", (unsigned long long)random);
    *ret = w;
    return 0;
}

void dq_waiters_stop(dq_waiters *ws)
{
    dq_timer_clear(&ws->ask);
}

/* Calls were answered and waits ended before. */
void dq_waiters_destroy(dq_waiters *ws)
{
    awaited *job;

    if (!ws)
        return;
    for (size_t i = 0; (job = dq_map_next(&ws->jobs, &i));)
        dq_free(job);
    dq_map_deinit(&ws->jobs);
    dq_loop_undefer(&ws->say);
    dq_timer_deinit(&ws->ask);
    dq_free(ws->shards);
    dq_free(ws);
}

static wait_request *wait_of(dq_request *r)
{
    return dq_container_of(r, wait_request, request);
}

/* ---- what is to be said of a job ---- */

static void say_later(dq_waiters *ws, awaited *job, wait_verb verb)
{
    dq_list_push_back(&ws->shards[job->shard].to_say[verb], &job->link);
    dq_loop_defer(ws->client->loop, &ws->say);
}

/* After each change of it; it may be gone then. */
static void settle(dq_waiters *ws, awaited *job)
{
    bool is_awaited = !dq_list_empty(&job->waits);

    if (job->is_flying)
        return;
    dq_list_remove(&job->link);
    if (is_awaited && job->must_ask)
        say_later(ws, job, WAIT_REGISTER);
    else if (!is_awaited && job->is_registered)
        say_later(ws, job, WAIT_LEAVE);
    else if (!is_awaited) {
        (void)dq_map_remove(&ws->jobs, dureq_str_of(job->id, DQ_ID_BYTES));
        dq_free(job);
    }
}

/* Ends all waits for it, before settle. code 0: it ended; state as in dq_answer. */
static void end_waits(awaited *job, int code, const char *msg, int state)
{
    while (!dq_list_empty(&job->waits)) {
        wait_request *w = dq_container_of(dq_list_pop_front(&job->waits), wait_request, link);

        w->job = NULL;
        if (code < 0)
            dq_request_fail(&w->request, code, msg);
        else
            dq_request_end(&w->request, &(dq_answer){.state = state}, (dureq_str){0});
    }
}

/* ---- saying it: many jobs of a shard in a call ---- */

typedef struct wait_call {
    dq_waiters *owner;
    wait_verb verb;
    size_t n;
    awaited *jobs[ASK_MAX];
} wait_call;

/* The server's answer for one: see wait_register.lua. */
static void job_asked(awaited *job, int64_t answer)
{
    job->is_registered = answer == 0;
    if (answer == 1)
        end_waits(job, 0, NULL, -1);
    else if (answer == DUREQ_ENOTFOUND)
        end_waits(job, DUREQ_ENOTFOUND, "no such job", -1);
}

/* Who was registered before may still be: a failure (of memory that is full, say) is no reason to end the waits. */
static void job_not_asked(awaited *job, int code, const char *msg)
{
    if (code == DUREQ_EUNAVAILABLE)
        job->is_registered = job->must_ask = true; /* perhaps, and again when the server is back */
    else if (!job->is_registered)
        end_waits(job, code, msg, -1);
}

static void on_said(void *userdata, int code, const dq_reply *reply, const dureq_error *err)
{
    wait_call *call = userdata;
    bool is_answered = code == 0 && (call->verb == WAIT_LEAVE || dq_reply_len(*reply) == call->n);
    dq_reply at = is_answered && call->verb == WAIT_REGISTER ? dq_reply_first(*reply) : (dq_reply){0};

    for (size_t i = 0; i < call->n; i++) {
        awaited *job = call->jobs[i];

        job->is_flying = false;
        if (call->verb == WAIT_LEAVE) {
            job->is_registered = !is_answered;
        } else if (is_answered) {
            job_asked(job, dq_reply_int(at));
            at = dq_reply_next(at);
        } else {
            job_not_asked(job, code < 0 ? code : DUREQ_EPROTO, code < 0 ? err->msg : "an answer that makes no sense");
        }
        if (is_answered || call->verb == WAIT_REGISTER ||
            !dq_list_empty(&job->waits)) /* else it leaves in 10 s, or when the server is back */
            settle(call->owner, job);
    }
    dq_free(call);
}

static bool write_call(dq_buf *out, const dq_waiters *ws, unsigned shard, const wait_call *call)
{
    dureq_str ids[ASK_MAX];

    for (size_t i = 0; i < call->n; i++)
        ids[i] = dureq_str_of(call->jobs[i]->id, DQ_ID_BYTES);
    (call->verb == WAIT_LEAVE ? dq_call_wait_leave : dq_call_wait_register)(out, dq_client_keys(ws->client), shard,
                                                                            dureq_str_from(ws->channel), ids, call->n);
    return !dq_buf_failed(out);
}

/* It is not sent: again in 10 s, or when the server is back. Who was never registered does not wait for that when memory is the reason. */
static void not_said(dq_waiters *ws, awaited *job, wait_verb verb, int rc)
{
    job->is_flying = false;
    if (verb == WAIT_LEAVE || rc == DUREQ_EUNAVAILABLE || job->is_registered)
        return;
    end_waits(job, rc, dureq_errcode_text(rc), -1);
    settle(ws, job);
}

static void send_call(dq_waiters *ws, unsigned shard, wait_call *call)
{
    DQ_BUF_AUTO bytes = {0};
    int rc;

    rc = write_call(&bytes, ws, shard, call) ? dq_store_send(ws->client->store, shard, 0, dq_buf_str(&bytes), on_said, call)
                                             : DUREQ_ENOMEM;
    if (rc == 0)
        return;
    for (size_t i = 0; i < call->n; i++)
        not_said(ws, call->jobs[i], call->verb, rc);
    dq_free(call);
}

static void subscribe(dq_waiters *ws, unsigned shard)
{
    bool *is_subscribed = &ws->shards[shard].is_subscribed;

    if (!*is_subscribed)
        *is_subscribed = dq_store_subscribe(ws->client->store, shard, "d:", dureq_str_from(ws->channel)) == 0;
}

static void say_some(dq_waiters *ws, unsigned shard, wait_verb verb)
{
    dq_list *list = &ws->shards[shard].to_say[verb];
    wait_call *call = dq_malloc(sizeof *call);

    if (!call) {
        not_said(ws, dq_container_of(dq_list_pop_front(list), awaited, link), verb, DUREQ_ENOMEM);
        return;
    }
    call->owner = ws;
    call->verb = verb;
    call->n = 0;
    while (call->n < ASK_MAX && !dq_list_empty(list)) {
        awaited *job = dq_container_of(dq_list_pop_front(list), awaited, link);

        job->is_flying = true;
        if (verb == WAIT_REGISTER)
            job->must_ask = false;
        call->jobs[call->n++] = job;
    }
    if (verb == WAIT_REGISTER)
        subscribe(ws, shard);
    send_call(ws, shard, call);
}

static void say_fired(dq_deferred *d)
{
    dq_waiters *ws = dq_container_of(d, dq_waiters, say);

    if (!dq_store_is_up(ws->client->store)) /* else all is said when it is */
        return;
    for (unsigned shard = 0; shard < ws->n_shards; shard++)
        for (int verb = 0; verb < WAIT_VERBS; verb++)
            while (!dq_list_empty(&ws->shards[shard].to_say[verb]))
                say_some(ws, shard, (wait_verb)verb);
}

/* None is freed by this: each is awaited or registered. */
static void say_all(dq_waiters *ws)
{
    awaited *job;

    for (size_t i = 0; (job = dq_map_next(&ws->jobs, &i));) {
        job->must_ask = true;
        settle(ws, job);
    }
}

void dq_waiters_up(dq_waiters *ws)
{
    say_all(ws);
}

static void ask_fired(dq_timer *t)
{
    dq_waiters *ws = dq_container_of(t, dq_waiters, ask);

    if (ws->jobs.n == 0)
        return;
    say_all(ws);
    dq_timer_set(t, ASK_EVERY_US);
}

static void ask_later(dq_waiters *ws)
{
    if (!ws->ask.loop && dq_timer_init(&ws->ask, ws->client->loop, ask_fired) < 0)
        return; /* no memory: with the next one who waits */
    if (!dq_timer_is_set(&ws->ask))
        dq_timer_set(&ws->ask, ASK_EVERY_US);
}

/* ---- what is told ---- */

/* state: of a job of which nothing is left (see tell.lua); -1: it can be looked at. */
static void job_told(awaited *job, int state)
{
    job->is_registered = false;
    if (state == DUREQ_JOB_PENDING)
        end_waits(job, DUREQ_ENOTFOUND, "the job was purged with its queue", -1);
    else
        end_waits(job, 0, NULL, state);
}

void dq_waiters_message(dq_waiters *ws, dureq_str name, dureq_str id)
{
    if (!dq_str_eq_text(dureq_str_of(name.ptr + 2, name.len - 2), ws->channel) || id.len < DQ_ID_BYTES)
        return;
    awaited *job = dq_map_get(&ws->jobs, dureq_str_of(id.ptr, DQ_ID_BYTES));
    if (!job)
        return;
    job_told(job, id.len > DQ_ID_BYTES ? (unsigned char)id.ptr[DQ_ID_BYTES] : -1);
    settle(ws, job);
}

/* ---- a wait ---- */

static bool make_shards(dq_waiters *ws)
{
    unsigned n = dq_client_keys(ws->client)->n_shards;

    if (ws->shards)
        return true;
    ws->shards = dq_calloc(n, sizeof *ws->shards);
    if (!ws->shards)
        return false;
    ws->n_shards = n;
    for (unsigned i = 0; i < n; i++)
        for (int verb = 0; verb < WAIT_VERBS; verb++)
            dq_list_init(&ws->shards[i].to_say[verb]);
    return true;
}

static awaited *job_create(dq_waiters *ws, const wait_request *w)
{
    awaited *job = make_shards(ws) ? dq_calloc(1, sizeof *job) : NULL;

    if (!job)
        return NULL;
    memcpy(job->id, w->id, sizeof job->id);
    job->shard = w->shard;
    dq_list_init(&job->waits);
    if (dq_map_put(&ws->jobs, dureq_str_of(job->id, DQ_ID_BYTES), job) == 0)
        return job;
    dq_free(job);
    return NULL;
}

static void start_wait(dq_request *r)
{
    wait_request *w = wait_of(r);
    dq_waiters *ws = r->client->waiters;
    awaited *job = dq_map_get(&ws->jobs, dureq_str_of(w->id, DQ_ID_BYTES));

    if (!job)
        job = job_create(ws, w);
    if (!job) {
        dq_request_fail(r, DUREQ_ENOMEM, dureq_errcode_text(DUREQ_ENOMEM));
        return;
    }
    w->job = job;
    dq_list_push_back(&job->waits, &w->link);
    job->must_ask = true;
    settle(ws, job);
    ask_later(ws);
}

static void leave_job(dq_request *r)
{
    wait_request *w = wait_of(r);
    awaited *job = w->job;

    if (!job)
        return;
    w->job = NULL;
    dq_list_remove(&w->link);
    settle(r->client->waiters, job);
}

static int late_wait(dq_request *r, dureq_error *err)
{
    (void)r;
    return dq_fail(err, DUREQ_ETIMEOUT, "the job has not ended in time");
}

static void destroy_wait(dq_request *r)
{
    dq_request_deinit(r);
    dq_free(wait_of(r));
}

static const dq_request_kind wait_kind = {
    .start = start_wait, .leave = leave_job, .late = late_wait, .destroy = destroy_wait, .ends_with_client = true};

static wait_request *wait_create(dureq_client *c, const dq_id *id, int64_t deadline_us, dq_request_fn fn, void *userdata)
{
    wait_request *w = dq_calloc(1, sizeof *w);

    if (!w)
        return NULL;
    dq_request_init(&w->request, &wait_kind, c, deadline_us, fn, userdata);
    dq_id_pack(id, w->id);
    w->shard = id->shard;
    return w;
}

static int64_t wait_deadline_us(int64_t timeout_ms)
{
    return timeout_ms < 0 || timeout_ms > INT64_MAX / 1000 ? -1 : dq_add_sat(dq_mono_us(), timeout_ms * 1000);
}

static int check_wait(const dureq_client *c, const char *id_text, int64_t timeout_ms, dq_id *ret, dureq_error *err)
{
    unsigned char packed[DQ_ID_BYTES];
    int rc;

    rc = dq_parse_job_id(id_text, c, ret, packed, err);
    if (rc < 0)
        return rc;
    if (ret->lane == 0)
        return dq_fail(err, DUREQ_ECONFLICT, "%s is a schedule, which does not end: wait for one of its jobs", id_text);
    return timeout_ms < -1 ? dq_fail(err, DUREQ_EINVAL, "timeout_ms takes 0 or more, or -1 to wait for ever") : 0;
}

int dq_client_submit_wait(dureq_client *c, const char *id_text, int64_t timeout_ms, dq_request_fn fn, void *userdata,
                          dq_request **ret, dureq_error *err)
{
    dq_id id;
    int rc;

    rc = check_wait(c, id_text, timeout_ms, &id, err);
    if (rc < 0)
        return rc;
    wait_request *w = wait_create(c, &id, wait_deadline_us(timeout_ms), fn, userdata);
    return w ? dq_request_submit(&w->request, ret, err) : dq_fail_nomem(err);
}

/* ---- a thread waits ---- */

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

/* From here on, dq_requests_close waits for it to end, and ends it. */
static int enter_wait(dureq_client *c, dureq_error *err)
{
    int rc;

    rc = dq_client_may_wait(c, err);
    if (rc < 0)
        return rc;
    dq_mutex_lock(&c->mu);
    bool is_closing = c->is_closing;
    c->n_waits += !is_closing;
    dq_mutex_unlock(&c->mu);
    return is_closing ? dq_fail(err, DUREQ_ECLOSED, "the client was closed while the job was waited for") : 0;
}

static void leave_wait(dureq_client *c)
{
    dq_mutex_lock(&c->mu);
    c->n_waits--;
    if (c->n_waits == 0)
        dq_cond_broadcast(&c->cond);
    dq_mutex_unlock(&c->mu);
}

static int wait_for_end(dureq_client *c, const dq_id *id, int64_t timeout_ms, bool *ret_cancelled, dureq_error *err)
{
    int rc;

    rc = enter_wait(c, err);
    if (rc < 0)
        return rc;
    wait_request *w = wait_create(c, id, -1, /*fn=*/NULL, NULL);
    if (w) {
        dq_request_post(&w->request);
        rc = dq_request_await(&w->request, wait_deadline_us(timeout_ms), err);
        *ret_cancelled = rc == 0 && w->request.state == DUREQ_JOB_CANCELLED;
        dq_request_release(&w->request);
    } else {
        rc = dq_fail_nomem(err);
    }
    leave_wait(c);
    return rc;
}

int dq_client_wait_end(dureq_client *c, const dq_id *id, int64_t timeout_ms, dureq_error *err)
{
    bool cancelled = false;

    if (timeout_ms < -1)
        return dq_fail(err, DUREQ_EINVAL, "timeout_ms takes 0 or more, or -1 to wait for ever");
    return wait_for_end(c, id, timeout_ms, &cancelled, err);
}

int dureq_client_wait(dureq_client *c, const char *id_text, int64_t timeout_ms, dureq_job_list **ret, dureq_error *err)
{
    bool cancelled = false;
    dq_id id;
    int rc;

    if (!c || !id_text || !ret)
        return dq_fail(err, DUREQ_EINVAL, "client, id and ret must be given");
    rc = check_wait(c, id_text, timeout_ms, &id, err);
    if (rc < 0)
        return rc;
    dq_client_enter(c);
    rc = wait_for_end(c, &id, timeout_ms, &cancelled, err);
    if (rc == 0) {
        rc = dureq_client_get_job(c, id_text, ret, err);
        if (rc == DUREQ_ENOTFOUND)
            rc = ended_without_trace(&id, cancelled, ret, err);
    }
    dq_client_leave(c);
    return rc;
}
