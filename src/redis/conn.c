/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "redis/conn_internal.h"

#include <assert.h>

/* States, commands and answers of one connection. Everything here runs on the loop's thread.

       WAITING -> CONNECTING -> (TLS) -> GREETING -> READY
          ^------------------------------- dq_conn_lost --'       any -> CLOSED by dq_redis_destroy

   Commands lie in `out` as bytes and in `ring` as who gets the answer, in the same order. While the connection is not ready
   the ring holds only commands that asked to be held, none of their bytes sent; the greeting has a buffer of its own. So
   becoming ready is to start writing, and being lost is to answer the whole ring if it was ready, and nothing otherwise.

   Callbacks may do anything, destroying the connection included: each frame that goes on afterwards pins it, and an answer
   is given only once its slot has left the ring.

   Nothing here reads Redis data; what a server answers is judged by resp.c and hello.c. */

enum { RING_FIRST_CAP = 64 };

#define DEFAULT_CONNECT_TIMEOUT_US 5000000
#define DEFAULT_REPLY_TIMEOUT_US   10000000
#define BACKOFF_FIRST_US           10000
#define BACKOFF_MAX_US             1000000 /* work goes on within a second of the server's coming back */
#define STEADY_AFTER_US            1000000 /* ready for so long: the next loss starts the back-off again */

static void on_state_timer(dq_timer *t);
static void on_reply_timer(dq_timer *t);
static void on_flush(dq_deferred *d);

/* ---- ring ---- */

/* Room for `more` commands. */
static bool ring_reserve(dq_pending_ring *ring, size_t more)
{
    size_t cap = ring->cap ? ring->cap : RING_FIRST_CAP;
    dq_pending *slots;

    if (ring->cap - ring->n >= more)
        return true;
    while (cap - ring->n < more)
        cap *= 2;
    slots = dq_malloc(cap * sizeof(*slots));
    if (!slots)
        return false;
    for (size_t i = 0; i < ring->n; i++)
        slots[i] = ring->slots[(ring->head + i) & (ring->cap - 1)];
    dq_free(ring->slots);
    *ring = (dq_pending_ring){.slots = slots, .cap = cap, .n = ring->n};
    return true;
}

static inline void ring_push(dq_pending_ring *ring, dq_pending p)
{
    ring->slots[(ring->head + ring->n) & (ring->cap - 1)] = p;
    ring->n++;
}

static inline dq_pending *ring_front(dq_pending_ring *ring)
{
    return &ring->slots[ring->head];
}

static inline dq_pending ring_pop(dq_pending_ring *ring)
{
    dq_pending p = ring->slots[ring->head];

    ring->head = (ring->head + 1) & (ring->cap - 1);
    ring->n--;
    return p;
}

/* ---- life ---- */

/* CLIENT SETNAME takes neither blanks nor control characters. */
static char *dup_client_name(const char *name)
{
    char *copy = dq_strdup(name);

    for (char *c = copy; c && *c; c++)
        if (*c <= ' ' || *c > '~')
            *c = '-';
    return copy;
}

static int64_t timeout_us(int64_t ms, int64_t default_us)
{
    if (ms == 0)
        return default_us;
    return ms < 0 ? -1 : ms * 1000;
}

static int init_members(dq_redis *r, const dq_redis_options *opts, dureq_error *err)
{
    dq_buf address = {0};
    uint64_t seed = 0;
    int rc = dq_redis_url_dup(&opts->url, &r->url);

    if (rc < 0)
        return dq_fail_nomem(err);
    r->client_name = opts->client_name ? dup_client_name(opts->client_name) : NULL;
    dq_redis_url_describe(&r->url, &address);
    r->address = dq_buf_take(&address);
    if (!r->address || (opts->client_name && !r->client_name) || dq_resp_parser_create(&r->parser) < 0 ||
        dq_timer_init(&r->state_timer, r->loop, on_state_timer) < 0 ||
        dq_timer_init(&r->reply_timer, r->loop, on_reply_timer) < 0 ||
        dq_timer_init(&r->again_timer, r->loop, dq_socket_on_again) < 0)
        return dq_fail_nomem(err);
    rc = dq_random_bytes(&seed, sizeof(seed), err);
    if (rc < 0)
        return rc;
    dq_rng_seed(&r->rng, seed);
    return r->url.kind == DQ_REDIS_TLS ? dq_tls_context_create(&r->url, &r->tls_ctx, err) : 0;
}

static void free_members(dq_redis *r)
{
    dq_pubsub_deinit(r);
    dq_hello_deinit(&r->hello);
    dq_inbox_clear(&r->in);
    dq_resp_parser_destroy(r->parser);
    dq_buf_deinit(&r->out);
    dq_free(r->ring.slots);
    dq_timer_deinit(&r->state_timer);
    dq_timer_deinit(&r->reply_timer);
    dq_timer_deinit(&r->again_timer);
    dq_tls_context_destroy(r->tls_ctx);
    dq_redis_url_deinit(&r->url);
    dq_free(r->client_name);
    dq_free(r->address);
    dq_free(r);
}

int dq_redis_create(dq_loop *loop, const dq_redis_options *opts, const dq_redis_callbacks *cb, dq_redis **ret, dureq_error *err)
{
    dq_redis *r = dq_calloc(1, sizeof(*r));
    int rc;

    if (!r)
        return dq_fail_nomem(err);
    dq_loop_assert_here(loop);
    r->loop = loop;
    r->fd = -1;
    r->state = DQ_CONN_WAITING;
    r->wants_resp2 = opts->resp2;
    r->log = opts->log;
    r->connect_timeout_us = timeout_us(opts->connect_timeout_ms, DEFAULT_CONNECT_TIMEOUT_US);
    r->reply_timeout_us = timeout_us(opts->reply_timeout_ms, DEFAULT_REPLY_TIMEOUT_US);
    if (cb)
        r->cb = *cb;
    r->flush.fn = on_flush;
    r->read_more.fn = dq_socket_on_read_more;
    dq_list_init(&r->subscriptions);
    rc = init_members(r, opts, err);
    if (rc < 0) {
        free_members(r);
        return rc;
    }

    (void)dq_fail(&r->last_error, DUREQ_EUNAVAILABLE, "%s: not connected yet", r->address);
    /* From a turn of its own: the owner gets its handle before anything can happen to it. */
    dq_timer_set(&r->state_timer, 0);
    *ret = r;
    return 0;
}

void dq_conn_pin(dq_redis *r)
{
    r->pins++;
}

void dq_conn_unpin(dq_redis *r)
{
    r->pins--;
    if (r->pins == 0 && r->state == DQ_CONN_CLOSED)
        free_members(r);
}

/* Answers the `n` oldest commands with `why`. Those that are committed meanwhile are not among them. */
static void answer_all(dq_redis *r, size_t n, const dureq_error *why)
{
    while (n-- > 0 && r->ring.n > 0) {
        dq_pending p = ring_pop(&r->ring);

        if (p.fn)
            p.fn(p.userdata, why->code, NULL, why);
    }
}

static void drop_output(dq_redis *r)
{
    dq_buf_clear(&r->out);
    r->mark = r->sent = 0;
    dq_loop_undefer(&r->flush);
}

void dq_redis_destroy(dq_redis *r)
{
    dureq_error why;

    if (!r || r->state == DQ_CONN_CLOSED)
        return;
    dq_loop_assert_here(r->loop);
    dq_conn_pin(r);
    r->state = DQ_CONN_CLOSED;
    dq_socket_close(r);
    dq_timer_clear(&r->state_timer);
    dq_timer_clear(&r->reply_timer);
    drop_output(r);
    (void)dq_fail(&why, DUREQ_ECLOSED, "%s: connection closed", r->address);
    answer_all(r, r->ring.n, &why);
    dq_conn_unpin(r);
}

/* ---- coming and going ---- */

bool dq_redis_error_is_refusal(int code)
{
    return code == DUREQ_EAUTH || code == DUREQ_EPERM || code == DUREQ_EREDIS || code == DUREQ_EPROTO;
}

static int64_t next_backoff_us(dq_redis *r, int code)
{
    unsigned doublings = DQ_MIN(r->failures, 10u);
    int64_t span = DQ_MIN((int64_t)BACKOFF_FIRST_US << doublings, (int64_t)BACKOFF_MAX_US);

    if (dq_redis_error_is_refusal(code)) /* no hurry to try again */
        span = BACKOFF_MAX_US;
    /* Between half of it and all: many clients of a server that fell must not come back as one. */
    return span / 2 + (int64_t)dq_rng_below(&r->rng, (uint64_t)span / 2);
}

static void log_loss(const dq_redis *r, bool was_ready, int64_t delay_us)
{
    dureq_log_level level = was_ready || r->failures == 1 ? DUREQ_LOG_WARN : DUREQ_LOG_DEBUG;

    DQ_LOG(r->log, level, was_ready ? "redis.lost" : "redis.unreachable", "server=%s code=%s error=\"%s\" retry_in_ms=%lld",
           r->address, dureq_errcode_name(r->last_error.code), r->last_error.msg, (long long)(delay_us / 1000));
}

void dq_conn_lost(dq_redis *r, const dureq_error *why)
{
    bool was_ready = r->state == DQ_CONN_READY;
    size_t n_in_flight = was_ready ? r->ring.n : 0;
    dureq_error error = *why; /* it may lie in what is torn down here */
    int64_t delay_us;

    if (r->state == DQ_CONN_CLOSED)
        return;
    dq_conn_pin(r);
    dq_socket_close(r);
    r->state = DQ_CONN_WAITING;
    r->last_error = error;
    if (was_ready) {
        drop_output(r);
        if (dq_loop_now_us(r->loop) - r->ready_at_mono_us >= STEADY_AFTER_US)
            r->failures = 0;
    }
    dq_pubsub_on_lost(r);
    delay_us = next_backoff_us(r, error.code);
    r->failures++;
    dq_timer_set(&r->state_timer, delay_us);
    log_loss(r, was_ready, delay_us);

    answer_all(r, n_in_flight, &error);
    if (was_ready && r->state != DQ_CONN_CLOSED && r->cb.on_lost)
        r->cb.on_lost(r, &error, r->cb.userdata);
    dq_conn_unpin(r);
}

static void begin_attempt(dq_redis *r)
{
    dq_resp_parser_reset(r->parser);
    dq_inbox_clear(&r->in);
    r->state = DQ_CONN_CONNECTING;
    if (r->connect_timeout_us >= 0)
        dq_timer_set(&r->state_timer, r->connect_timeout_us);
    dq_socket_connect(r);
}

static void fail_attempt_by_time(dq_redis *r)
{
    dureq_error why;

    (void)dq_fail(&why, DUREQ_EUNAVAILABLE, "%s: no connection within %lld ms%s", r->address,
                  (long long)(r->connect_timeout_us / 1000), r->again_us ? ": its backlog is full" : "");
    dq_conn_lost(r, &why);
}

static void on_state_timer(dq_timer *t)
{
    dq_redis *r = dq_container_of(t, dq_redis, state_timer);

    dq_conn_pin(r);
    switch (r->state) {
    case DQ_CONN_WAITING: begin_attempt(r); break;
    case DQ_CONN_CONNECTING:
    case DQ_CONN_TLS: fail_attempt_by_time(r); break;
    case DQ_CONN_GREETING: dq_hello_on_timer(r); break;
    case DQ_CONN_READY: dq_pubsub_ask_again(r); break;
    case DQ_CONN_CLOSED: break;
    }
    dq_conn_unpin(r);
}

void dq_conn_connected(dq_redis *r)
{
    dureq_error err;
    int rc;

    if (r->url.kind != DQ_REDIS_TLS) {
        dq_conn_secured(r);
        return;
    }
    r->state = DQ_CONN_TLS;
    rc = dq_tls_create(r->tls_ctx, &r->url, r->fd, &r->tls, &err);
    if (rc < 0)
        dq_conn_lost(r, &err);
}

void dq_conn_secured(dq_redis *r)
{
    r->state = DQ_CONN_GREETING;
    dq_hello_start(r);
}

static void arm_reply_timer(dq_redis *r, int64_t delay_us)
{
    r->reply_timer_is_set = true;
    dq_timer_set(&r->reply_timer, delay_us);
}

/* What was held goes out now, and its time to be answered begins. */
static void release_held(dq_redis *r)
{
    int64_t now_us = dq_loop_now_us(r->loop);

    for (size_t i = 0; i < r->ring.n; i++)
        r->ring.slots[(r->ring.head + i) & (r->ring.cap - 1)].at_mono_us = now_us;
    if (r->ring.n == 0)
        return;
    dq_loop_defer(r->loop, &r->flush);
    if (r->reply_timeout_us >= 0 && !r->reply_timer_is_set)
        arm_reply_timer(r, r->reply_timeout_us);
}

void dq_conn_greeted(dq_redis *r)
{
    bool same_server = r->run_id[0] && strcmp(r->run_id, r->hello.run_id) == 0;

    memcpy(r->run_id, r->hello.run_id, sizeof(r->run_id));
    memcpy(r->version, r->hello.version, sizeof(r->version));
    dq_timer_clear(&r->state_timer);
    r->state = DQ_CONN_READY;
    r->ready_at_mono_us = dq_loop_now_us(r->loop);
    r->last_error = (dureq_error){0};
    release_held(r);
    dq_pubsub_after_greeting(r);
    DQ_LOG(r->log, DUREQ_LOG_INFO, "redis.ready", "server=%s version=%s resp=%d same_server=%s", r->address, r->version,
           r->hello.speaks_resp3 ? 3 : 2, same_server ? "yes" : "no");
    if (r->cb.on_ready)
        r->cb.on_ready(r, same_server, r->cb.userdata);
}

void dq_redis_reconnect(dq_redis *r, const char *why)
{
    dureq_error err;

    if (r->state == DQ_CONN_CLOSED)
        return;
    dq_conn_pin(r);
    (void)dq_fail(&err, DUREQ_EUNAVAILABLE, "%s: %s", r->address, why);
    dq_conn_lost(r, &err);
    if (r->state == DQ_CONN_WAITING)
        dq_timer_set(&r->state_timer, 0);
    dq_conn_unpin(r);
}

bool dq_redis_is_ready(const dq_redis *r)
{
    return r->state == DQ_CONN_READY;
}

bool dq_redis_has_failed(const dq_redis *r)
{
    return r->failures > 0;
}

void dq_redis_last_error(const dq_redis *r, dureq_error *ret)
{
    *ret = r->last_error;
}

dureq_str dq_redis_server_version(const dq_redis *r)
{
    return dureq_str_from(r->version);
}

size_t dq_redis_in_flight(const dq_redis *r)
{
    return r->ring.n;
}

/* ---- commands ---- */

dq_buf *dq_redis_out(dq_redis *r)
{
    return &r->out;
}

static int take_back(dq_redis *r, int code)
{
    r->out.failed = false;
    r->out.len = r->mark;
    if (r->out.ptr)
        r->out.ptr[r->mark] = '\0';
    return code;
}

/* `last` gets the last of n_replies answers, nobody the others. */
static int commit(dq_redis *r, unsigned flags, size_t n_replies, dq_pending last)
{
    bool is_ready = r->state == DQ_CONN_READY;

    if (!is_ready && (!(flags & DQ_REDIS_HOLD) || r->state == DQ_CONN_CLOSED))
        return take_back(r, DUREQ_EUNAVAILABLE);
    if (dq_buf_failed(&r->out) || !ring_reserve(&r->ring, n_replies))
        return take_back(r, DUREQ_ENOMEM);

    assert(r->out.len > r->mark); /* a command was appended */
    last.at_mono_us = dq_loop_now_us(r->loop);
    for (size_t i = 1; i < n_replies; i++)
        ring_push(&r->ring, (dq_pending){.at_mono_us = last.at_mono_us});
    ring_push(&r->ring, last);
    r->mark = r->out.len;
    if (!is_ready)
        return 0;
    dq_loop_defer(r->loop, &r->flush);
    if (r->reply_timeout_us >= 0 && !r->reply_timer_is_set)
        arm_reply_timer(r, r->reply_timeout_us);
    return 0;
}

int dq_redis_commit(dq_redis *r, unsigned flags, dq_redis_reply_fn fn, void *userdata)
{
    return commit(r, flags, 1, (dq_pending){.fn = fn, .userdata = userdata});
}

int dq_redis_commit_many(dq_redis *r, unsigned flags, size_t n_replies, dq_redis_reply_fn fn, void *userdata)
{
    return commit(r, flags, n_replies, (dq_pending){.fn = fn, .userdata = userdata});
}

int dq_conn_commit_kind(dq_redis *r, dq_pending_kind kind)
{
    return commit(r, 0, 1, (dq_pending){.kind = kind});
}

int dq_redis_send(dq_redis *r, unsigned flags, dureq_str head, dureq_str tail, dq_redis_reply_fn fn, void *userdata)
{
    dq_buf_append_str(&r->out, head);
    dq_buf_append_str(&r->out, tail);
    return dq_redis_commit(r, flags, fn, userdata);
}

int dq_redis_command(dq_redis *r, unsigned flags, dq_redis_reply_fn fn, void *userdata, int n_args, const dureq_str *args)
{
    dq_resp_begin(&r->out, (size_t)n_args);
    for (int i = 0; i < n_args; i++)
        dq_resp_arg(&r->out, args[i]);
    return dq_redis_commit(r, flags, fn, userdata);
}

static void on_flush(dq_deferred *d)
{
    dq_redis *r = dq_container_of(d, dq_redis, flush);

    dq_conn_pin(r);
    dq_socket_flush(r);
    dq_conn_unpin(r);
}

/* One timer looks at the oldest command now and then, instead of one set and cleared for each. A long answer over a slow way is one as long as bytes
   of it come. */
static void on_reply_timer(dq_timer *t)
{
    dq_redis *r = dq_container_of(t, dq_redis, reply_timer);
    dureq_error why;
    int64_t left_us;

    r->reply_timer_is_set = false;
    if (r->state != DQ_CONN_READY || r->ring.n == 0)
        return;
    left_us = DQ_MAX(ring_front(&r->ring)->at_mono_us, r->last_byte_us) + r->reply_timeout_us - dq_loop_now_us(r->loop);
    if (left_us > 0) {
        arm_reply_timer(r, left_us);
        return;
    }
    (void)dq_fail(&why, DUREQ_EUNAVAILABLE, "%s: no reply within %lld ms", r->address, (long long)(r->reply_timeout_us / 1000));
    dq_conn_lost(r, &why);
}

/* ---- answers ---- */

static void lose_by_protocol(dq_redis *r, const char *what)
{
    dureq_error why;

    (void)dq_fail(&why, DUREQ_EPROTO, "%s: %s", r->address, what);
    dq_conn_lost(r, &why);
}

static void take_push(dq_redis *r, dq_reply push)
{
    dq_pending_kind kind;

    if (dq_pubsub_is_confirmation(push, &kind) && r->ring.n > 0 && ring_front(&r->ring)->kind == kind) {
        (void)ring_pop(&r->ring);
        if (kind == DQ_PENDING_SUBSCRIBE)
            dq_pubsub_on_confirmed(r);
        return;
    }
    if (r->cb.on_push)
        r->cb.on_push(r, push, r->cb.userdata);
}

static void take_answer(dq_redis *r, dq_reply reply)
{
    dureq_error err;
    dq_pending p;
    int code;

    if (r->ring.n == 0) {
        /* A last word of a server that is about to close ("-ERR ..."), or nonsense: either way this is over. */
        if (dq_reply_error(reply, &err) < 0)
            dq_conn_lost(r, &err);
        else
            lose_by_protocol(r, "a reply that nobody asked for");
        return;
    }
    p = ring_pop(&r->ring);
    if (p.fn) {
        code = dq_reply_error(reply, &err);
        p.fn(p.userdata, code, &reply, code < 0 ? &err : NULL);
        /* It does not serve for now (MASTERDOWN, CLUSTERDOWN ...). Whoever repeats what was not answered does so when the connection is back. */
        if (code == DUREQ_EUNAVAILABLE && r->state == DQ_CONN_READY)
            dq_conn_lost(r, &err);
    } else if (p.kind != DQ_PENDING_COMMAND) {
        if (dq_reply_error(reply, &err) < 0)
            dq_pubsub_on_refused(r, &err);
        else
            lose_by_protocol(r, "a subscription was answered with something else");
    }
}

void dq_conn_take_reply(dq_redis *r, dq_reply reply)
{
    if (r->state == DQ_CONN_GREETING)
        dq_hello_take_reply(r, reply);
    else if (dq_reply_type(reply) == DQ_RESP_PUSH)
        take_push(r, reply);
    else
        take_answer(r, reply);
}

dureq_str dq_redis_reply_raw(const dq_redis *r)
{
    return r->raw;
}

dq_rbuf *dq_redis_reply_ref(dq_redis *r)
{
    dq_rbuf_ref(r->in.buf);
    return r->in.buf;
}
