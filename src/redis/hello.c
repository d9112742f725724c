/* SPDX-License-Identifier: Apache-2.0 */
#include "redis/conn_internal.h"

/* The greeting: one pipelined write, and its answers.

       RESP3:  HELLO 3 [AUTH user password] [SETNAME name]
       RESP2:  [AUTH [user] password] [CLIENT SETNAME name]       (asked for, or a server without HELLO)
       both:   [SELECT db]  INFO server  PING  [SUBSCRIBE ...]

   PING is there for its errors: while a server loads its data, waits for its master or is busy with a script, all the
   others work and PING does not. It is then asked again, on the same connection, until the server answers. */

#define PAUSE_US 50000

typedef enum hello_verdict {
    GO_ON,
    STOP, /* lost, paused or started over */
} hello_verdict;

void dq_hello_deinit(dq_hello *h)
{
    dq_buf_deinit(&h->out);
}

static void add_step(dq_redis *r, dq_hello_step step)
{
    r->hello.steps[r->hello.n++] = step;
}

static bool has_credentials(const dq_redis *r)
{
    return r->url.password || r->url.user;
}

static const char *user_or_default(const dq_redis *r)
{
    return r->url.user ? r->url.user : "default";
}

static const char *password_or_empty(const dq_redis *r)
{
    return r->url.password ? r->url.password : "";
}

static void append_resp3_opening(dq_redis *r, dq_buf *out)
{
    size_t n = 2 + (has_credentials(r) ? 3u : 0u) + (r->client_name ? 2u : 0u);

    dq_resp_begin(out, n);
    dq_resp_arg_text(out, "HELLO");
    dq_resp_arg_text(out, "3");
    if (has_credentials(r)) {
        dq_resp_arg_text(out, "AUTH");
        dq_resp_arg_text(out, user_or_default(r));
        dq_resp_arg_text(out, password_or_empty(r));
    }
    if (r->client_name) {
        dq_resp_arg_text(out, "SETNAME");
        dq_resp_arg_text(out, r->client_name);
    }
    add_step(r, DQ_HELLO_HELLO);
}

static void append_resp2_opening(dq_redis *r, dq_buf *out)
{
    if (has_credentials(r)) {
        dq_resp_begin(out, r->url.user ? 3 : 2);
        dq_resp_arg_text(out, "AUTH");
        if (r->url.user)
            dq_resp_arg_text(out, r->url.user);
        dq_resp_arg_text(out, password_or_empty(r));
        add_step(r, DQ_HELLO_AUTH);
    }
    if (r->client_name) {
        dq_resp_begin(out, 3);
        dq_resp_arg_text(out, "CLIENT");
        dq_resp_arg_text(out, "SETNAME");
        dq_resp_arg_text(out, r->client_name);
        add_step(r, DQ_HELLO_SETNAME);
    }
}

static void append_ping(dq_redis *r, dq_buf *out)
{
    dq_resp_begin(out, 1);
    dq_resp_arg_text(out, "PING");
    add_step(r, DQ_HELLO_PING);
}

static void append_rest(dq_redis *r, dq_buf *out)
{
    if (r->url.db) {
        dq_resp_begin(out, 2);
        dq_resp_arg_text(out, "SELECT");
        dq_resp_arg_i64(out, r->url.db);
        add_step(r, DQ_HELLO_SELECT);
    }
    dq_resp_begin(out, 2);
    dq_resp_arg_text(out, "INFO");
    dq_resp_arg_text(out, "server");
    add_step(r, DQ_HELLO_INFO);
    append_ping(r, out);
}

static void fresh_sequence(dq_redis *r)
{
    dq_hello *h = &r->hello;

    dq_buf_clear(&h->out);
    h->sent = h->n = h->i = h->subscribes_left = 0;
    h->must_fall_back = h->is_paused = false;
}

static void send_sequence(dq_redis *r)
{
    dureq_error err;

    if (dq_buf_finish(&r->hello.out, &err) < 0) {
        dq_conn_lost(r, &err);
        return;
    }
    dq_loop_defer(r->loop, &r->flush);
}

static void begin(dq_redis *r, bool resp3)
{
    fresh_sequence(r);
    r->hello.speaks_resp3 = resp3;
    if (resp3)
        append_resp3_opening(r, &r->hello.out);
    else
        append_resp2_opening(r, &r->hello.out);
    append_rest(r, &r->hello.out);
    send_sequence(r);
}

void dq_hello_start(dq_redis *r)
{
    memset(r->hello.run_id, 0, sizeof(r->hello.run_id));
    memset(r->hello.version, 0, sizeof(r->hello.version));
    begin(r, !r->wants_resp2);
}

void dq_hello_on_timer(dq_redis *r)
{
    dureq_error why;

    if (!r->hello.is_paused) {
        (void)dq_fail(&why, DUREQ_EUNAVAILABLE, "%s: the server does not answer the greeting", r->address);
        dq_conn_lost(r, &why);
        return;
    }
    fresh_sequence(r);
    append_ping(r, &r->hello.out);
    if (r->connect_timeout_us >= 0)
        dq_timer_set(&r->state_timer, r->connect_timeout_us);
    send_sequence(r);
}

/* ---- answers ---- */

static hello_verdict refuse(dq_redis *r, int code, const dureq_error *err)
{
    dureq_error why;

    (void)dq_fail(&why, code, "%s: %s", r->address, err->msg);
    dq_conn_lost(r, &why);
    return STOP;
}

static void keep_text(char *out, size_t cap, dureq_str value)
{
    size_t n = DQ_MIN(value.len, cap - 1);

    if (n)
        memcpy(out, value.ptr, n);
    out[n] = '\0';
}

static bool says_unknown_hello(dureq_str text)
{
    return dq_str_starts_with(text, DQ_STR_LIT("ERR unknown command")) || dq_str_starts_with(text, DQ_STR_LIT("NOPROTO")) ||
           dq_str_starts_with(text, DQ_STR_LIT("-ERR unknown command"));
}

static hello_verdict take_hello(dq_redis *r, dq_reply reply, int code, const dureq_error *err)
{
    if (code == 0) {
        keep_text(r->hello.version, sizeof(r->hello.version), dq_reply_str(dq_reply_lookup(reply, "version")));
        return GO_ON;
    }
    if (!says_unknown_hello(dq_reply_str(reply)))
        return refuse(r, code, err);
    r->hello.must_fall_back = true; /* once the other answers of this round are in */
    return GO_ON;
}

static hello_verdict take_info(dq_redis *r, dq_reply reply)
{
    dureq_str text = dq_reply_type(reply) == DQ_RESP_STRING ? dq_reply_str(reply) : (dureq_str){0};

    while (text.len > 0) {
        dureq_str value = dq_str_trim(dq_str_cut(&text, '\n'));
        dureq_str key = dq_str_cut(&value, ':');

        if (dq_str_eq_text(key, "redis_version"))
            keep_text(r->hello.version, sizeof(r->hello.version), value);
        else if (dq_str_eq_text(key, "run_id"))
            keep_text(r->hello.run_id, sizeof(r->hello.run_id), value);
    }
    return GO_ON; /* a user without INFO has the version from HELLO, and no run id: every reconnect may be another server */
}

static hello_verdict take_ping(dq_redis *r, int code, const dureq_error *err)
{
    bool passes = code == DUREQ_ELOADING || code == DUREQ_EBUSY || code == DUREQ_EUNAVAILABLE;

    if (code == 0 || code == DUREQ_EPERM || code == DUREQ_ENOWRITE) /* the last refuses PING too, but reads are served */
        return GO_ON;
    if (!passes)
        return refuse(r, code, err);
    if (r->last_error.code != code)
        DQ_LOG(r->log, DUREQ_LOG_WARN, "redis.not_ready_yet", "server=%s error=\"%s\"", r->address, err->msg);
    (void)dq_fail(&r->last_error, code, "%s: %s", r->address, err->msg);
    r->hello.is_paused = true;
    dq_timer_set(&r->state_timer, PAUSE_US);
    return STOP;
}

static hello_verdict take_step(dq_redis *r, dq_hello_step step, dq_reply reply)
{
    dureq_error err;
    int code = dq_reply_error(reply, &err);

    if (r->hello.must_fall_back)
        return GO_ON;
    switch (step) {
    case DQ_HELLO_HELLO: return take_hello(r, reply, code, &err);
    case DQ_HELLO_AUTH: return code < 0 ? refuse(r, DUREQ_EAUTH, &err) : GO_ON;
    case DQ_HELLO_SETNAME: return GO_ON; /* a courtesy */
    case DQ_HELLO_SELECT: return code < 0 ? refuse(r, code, &err) : GO_ON;
    case DQ_HELLO_INFO: return code == DUREQ_EAUTH ? refuse(r, code, &err) : take_info(r, reply);
    case DQ_HELLO_PING: return take_ping(r, code, &err);
    case DQ_HELLO_SUBSCRIBE:
        if (code < 0)
            dq_pubsub_on_refused(r, &err);
        return GO_ON;
    }
    return GO_ON;
}

/* All but the subscriptions is answered. */
static void finish_or_subscribe(dq_redis *r)
{
    size_t n = 0;

    if (r->hello.must_fall_back) {
        begin(r, /*resp3=*/false);
        return;
    }
    fresh_sequence(r);
    if (r->hello.speaks_resp3)
        n = dq_pubsub_append_all(r, &r->hello.out);
    if (n == 0) {
        dq_conn_greeted(r);
        return;
    }
    r->hello.subscribes_left = n;
    send_sequence(r);
}

static void take_subscribe_answer(dq_redis *r, dq_reply reply)
{
    (void)take_step(r, DQ_HELLO_SUBSCRIBE, reply);
    r->hello.subscribes_left--;
    if (r->hello.subscribes_left == 0)
        dq_conn_greeted(r);
}

void dq_hello_take_reply(dq_redis *r, dq_reply reply)
{
    dq_hello *h = &r->hello;
    bool is_push = dq_reply_type(reply) == DQ_RESP_PUSH;
    dq_pending_kind kind;
    dureq_error why;

    if (h->subscribes_left > 0) {
        if (!is_push || (dq_pubsub_is_confirmation(reply, &kind) && kind == DQ_PENDING_SUBSCRIBE))
            take_subscribe_answer(r, reply);
        else if (r->cb.on_push)
            r->cb.on_push(r, reply, r->cb.userdata); /* a message of a channel that is subscribed already */
        return;
    }
    if (is_push)
        return;
    if (h->i == h->n) {
        (void)dq_fail(&why, DUREQ_EPROTO, "%s: a reply that nobody asked for", r->address);
        dq_conn_lost(r, &why);
        return;
    }
    if (take_step(r, h->steps[h->i++], reply) == GO_ON && h->i == h->n)
        finish_or_subscribe(r);
}
