/* SPDX-License-Identifier: Apache-2.0 */
/* A client's life. Its loop thread owns the store, the producer (produce.c) and the waiters (wait.c); callers' threads come in by requests
   (request.c) and the producer's mailbox. A client of a node borrows the node's loop and store. Nothing is drawn from Redis here. */

#include "client/request_internal.h"

#include <stdio.h>

#include "base/clock.h"
#include "client/walk.h"
#include "model/job.h"

#define TIMEOUT_DEFAULT_MS 10000

/* ---- what the store tells ---- */

void dq_client_on_up(dureq_client *c, bool same_server)
{
    dq_mutex_lock(&c->mu);
    c->was_up = true;
    c->refused = false;
    c->away = false;
    c->absent = dq_store_is_absent(c->store);
    c->why = (dureq_error){0};
    dq_cond_broadcast(&c->cond);
    dq_mutex_unlock(&c->mu);
    dq_producer_up(c->producer, same_server);
    dq_waiters_up(c->waiters);
}

void dq_client_on_down(dureq_client *c, const dureq_error *why)
{
    dq_mutex_lock(&c->mu);
    c->why = *why;
    dq_mutex_unlock(&c->mu);
    dq_producer_down(c->producer);
}

void dq_client_on_refused(dureq_client *c, const dureq_error *why)
{
    dq_mutex_lock(&c->mu);
    c->refused = true;
    c->absent = false; /* there is one: it is the reason */
    c->why = *why;
    dq_cond_broadcast(&c->cond);
    dq_mutex_unlock(&c->mu);
}

void dq_client_on_message(dureq_client *c, unsigned shard, dureq_str name, dureq_str text)
{
    (void)shard;
    if (dq_str_starts_with(name, DQ_STR_LIT("d:")))
        dq_waiters_message(c->waiters, name, text);
}

void dq_client_on_queues(dureq_client *c)
{
    dq_producer_queues(c->producer);
}

static void on_up(dq_store *s, bool same_server, void *userdata)
{
    (void)s;
    dq_client_on_up(userdata, same_server);
}

static void on_down(dq_store *s, const dureq_error *why, void *userdata)
{
    (void)s;
    dq_client_on_down(userdata, why);
}

static void on_waiting(dq_store *s, const dureq_error *why, void *userdata)
{
    dureq_client *c = userdata;

    (void)s;
    dq_mutex_lock(&c->mu);
    c->away = true;
    c->why = *why;
    dq_cond_broadcast(&c->cond);
    dq_mutex_unlock(&c->mu);
}

static void on_refused(dq_store *s, const dureq_error *why, void *userdata)
{
    (void)s;
    dq_client_on_refused(userdata, why);
}

static void on_message(dq_store *s, unsigned shard, dureq_str name, dureq_str text, void *userdata)
{
    (void)s;
    dq_client_on_message(userdata, shard, name, text);
}

static void on_queues(dq_store *s, void *userdata)
{
    (void)s;
    dq_client_on_queues(userdata);
}

/* ---- create ---- */

static int take_options(dureq_client *c, const dureq_client_options *o, dureq_error *err)
{
    if (!o->redis_url)
        return dq_fail(err, DUREQ_EINVAL, "redis_url is missing: it takes redis://, rediss:// or unix://");
    if (o->timeout_ms < -1)
        return dq_fail(err, DUREQ_EINVAL, "timeout_ms takes 1 or more, 0 for 10 s, or -1 to wait for ever");
    if (o->max_payload_bytes < 0 || o->max_payload_bytes > DUREQ_PAYLOAD_LIMIT_MAX)
        return dq_fail(err, DUREQ_EINVAL, "max_payload_bytes takes 1 to %d, or 0 for 1 MiB", DUREQ_PAYLOAD_LIMIT_MAX);
    if (o->shards < 0 || o->shards > 256)
        return dq_fail(err, DUREQ_EINVAL, "shards takes 1 to 256, or 0 for 1");
    c->log = (dq_log){.fn = o->log_fn, .userdata = o->log_userdata, .level = o->log_level};
    c->timeout_ms = o->timeout_ms ? o->timeout_ms : TIMEOUT_DEFAULT_MS;
    c->max_payload = o->max_payload_bytes ? (size_t)o->max_payload_bytes : DUREQ_PAYLOAD_DEFAULT_MAX;
    c->actor = dq_strdup(o->actor ? o->actor : "lib");
    return c->actor ? 0 : dq_fail_nomem(err);
}

/* The part that a node's client has too. */
static int init_parts(dureq_client *c, dureq_error *err)
{
    int rc;

    dq_mutex_init(&c->mu);
    dq_cond_init(&c->cond);
    dq_client_rooms_init(c);
    dq_requests_init(c);
    rc = dq_producer_create(c, &c->producer, err);
    if (rc < 0)
        return rc;
    return dq_waiters_create(c, &c->waiters, err);
}

/* user:password@ of an URL left out. */
static char *name_of_server(const char *url)
{
    const char *scheme_end = strstr(url, "://");
    const char *host = scheme_end ? scheme_end + 3 : url;
    const char *at = strrchr(host, '@');
    dq_buf b = {0};

    dq_buf_append(&b, url, (size_t)(host - url));
    dq_buf_append_text(&b, at ? at + 1 : host);
    return dq_buf_take(&b);
}

static int open_store(dureq_client *c, const dureq_client_options *o, dureq_error *err)
{
    dq_store_options so = {
        .redis_url = o->redis_url,
        .prefix = o->prefix,
        .shards = (unsigned)o->shards,
        .allow_eviction = o->allow_eviction,
        .no_create = o->no_create,
        .client_name = o->client_name ? o->client_name : "dureq-client",
        .log = &c->log,
    };
    dq_store_callbacks cb = {
        .on_up = on_up,
        .on_down = on_down,
        .on_waiting = on_waiting,
        .on_refused = on_refused,
        .on_message = on_message,
        .on_queues = on_queues,
        .userdata = c,
    };

    c->server_name = name_of_server(o->redis_url);
    if (!c->server_name)
        return dq_fail_nomem(err);
    return dq_store_create(c->loop, &so, &cb, &c->store, err);
}

/* Until the store was up once. A connection that is refused by the system counts as an answer too: whoever starts a client
   wants to know at once that nobody listens there. */
static int wait_up(dureq_client *c, dureq_error *err)
{
    int64_t deadline_us = dq_client_deadline_us(c);
    bool in_time = true;

    dq_mutex_lock(&c->mu);
    while (!c->was_up && !c->refused && !c->away && in_time)
        in_time = dq_cond_wait_until(&c->cond, &c->mu, deadline_us);
    bool up = c->was_up;
    dq_mutex_unlock(&c->mu);
    return up ? 0 : dq_client_why_down(c, err);
}

static int create(const dureq_client_options *o, dureq_client *c, dureq_error *err)
{
    int rc;

    rc = take_options(c, o, err);
    if (rc < 0)
        return rc;
    rc = dq_loop_create(&c->loop, err);
    if (rc < 0)
        return rc;
    c->owns = true;
    rc = open_store(c, o, err);
    if (rc < 0)
        return rc;
    rc = dq_loop_start_thread(c->loop, "dq-client", err);
    if (rc < 0)
        return rc;
    c->runs = true;
    return wait_up(c, err);
}

int dureq_client_create(const dureq_client_options *opts, dureq_client **ret, dureq_error *err)
{
    dureq_client_options o;
    int rc;

    if (!opts || !ret)
        return dq_fail(err, DUREQ_EINVAL, "opts and ret must be given");
    rc = dq_options_adopt(&o, sizeof o, opts, "client options", err);
    if (rc < 0)
        return rc;
    dureq_client *c = dq_calloc(1, sizeof *c);
    if (!c)
        return dq_fail_nomem(err);
    rc = init_parts(c, err);
    if (rc == 0)
        rc = create(&o, c, err);
    if (rc < 0) {
        dureq_client_destroy(c);
        return rc;
    }
    *ret = c;
    return 0;
}

int dq_client_create_shared(dq_loop *loop, dq_store *store, const dq_log *log, const char *actor, const char *server_name,
                            int64_t max_payload_bytes, dureq_client **ret, dureq_error *err)
{
    dureq_client *c = dq_calloc(1, sizeof *c);
    int rc;

    if (!c)
        return dq_fail_nomem(err);
    c->loop = loop;
    c->store = store;
    c->log = *log;
    c->timeout_ms = TIMEOUT_DEFAULT_MS;
    c->max_payload = max_payload_bytes ? (size_t)max_payload_bytes : DUREQ_PAYLOAD_DEFAULT_MAX;
    c->actor = dq_strdup(actor);
    c->server_name = name_of_server(server_name);
    rc = init_parts(c, err);
    if (rc == 0 && (!c->actor || !c->server_name))
        rc = dq_fail_nomem(err);
    if (rc < 0) {
        dureq_client_destroy(c);
        return rc;
    }
    *ret = c;
    return 0;
}

static void wait_for_callers(dureq_client *c)
{
    dq_mutex_lock(&c->mu);
    while (c->n_calls > 0)
        dq_cond_wait(&c->cond, &c->mu);
    dq_mutex_unlock(&c->mu);
}

void dq_client_close_waits(dureq_client *c)
{
    dq_requests_close(c);
}

void dureq_client_destroy(dureq_client *c)
{
    if (!c)
        return;
    if (c->runs)
        dq_requests_close(c);
    wait_for_callers(c);
    if (c->runs)
        dq_loop_stop_thread(c->loop);
    if (c->owns)
        dq_store_destroy(c->store);
    dq_client_rooms_close(c);
    dq_producer_destroy(c->producer);
    dq_waiters_destroy(c->waiters);
    if (c->owns)
        dq_loop_destroy(c->loop);
    dq_walks_deinit(c);
    dq_cond_deinit(&c->cond);
    dq_mutex_deinit(&c->mu);
    dq_free(c->actor);
    dq_free(c->server_name);
    dq_free(c);
}

/* ---- for the other files ---- */

int64_t dq_client_deadline_us(const dureq_client *c)
{
    return c->timeout_ms < 0 ? -1 : dq_mono_us() + c->timeout_ms * 1000;
}

const dq_keys *dq_client_keys(const dureq_client *c)
{
    return dq_store_keys(c->store);
}

static _Thread_local const char *acts_as;

void dq_client_act_as(const char *actor)
{
    acts_as = actor;
}

dureq_str dq_client_actor(const dureq_client *c)
{
    return dureq_str_from(acts_as ? acts_as : c->actor);
}

dq_loop *dq_client_loop(dureq_client *c)
{
    return c->loop;
}

const char *dq_client_server_name(dureq_client *c)
{
    return c->server_name;
}

void dq_client_enter(dureq_client *c)
{
    dq_mutex_lock(&c->mu);
    c->n_calls++;
    dq_mutex_unlock(&c->mu);
}

void dq_client_leave(dureq_client *c)
{
    dq_mutex_lock(&c->mu);
    c->n_calls--;
    if (c->n_calls == 0)
        dq_cond_broadcast(&c->cond);
    dq_mutex_unlock(&c->mu);
}

int dq_client_may_wait(const dureq_client *c, dureq_error *err)
{
    if (!dq_loop_is_turning_here(c->loop))
        return 0;
    return dq_fail(err, DUREQ_EDEADLK,
                   "this client's own thread (a log or event callback) cannot wait for the server: call from another");
}

bool dq_client_is_absent(dureq_client *c)
{
    dq_mutex_lock(&c->mu);
    bool absent = c->absent;
    dq_mutex_unlock(&c->mu);
    return absent;
}

int dq_client_may_write(dureq_client *c, dureq_error *err)
{
    int rc = dq_client_may_wait(c, err);

    if (rc == 0 && dq_client_is_absent(c))
        return dq_fail(err, DUREQ_ENOTFOUND, "nothing is here yet: no program that writes has used the prefix '%s'",
                       dq_client_keys(c)->prefix);
    return rc;
}

void dureq_free(void *ptr)
{
    dq_free(ptr);
}
