/* SPDX-License-Identifier: Apache-2.0 */
/* A request and its answer. The connection makes it and lets go of it; a thread answers. Between them is one message, which is on its way to
   the loop whenever there is something new: a short answer is one message. A long one goes out while it is made; who makes it waits while
   more than DQ_SERVE_UNSENT_MAX is not sent. */
#include "base/clock.h"
#include "serve/serve_internal.h"

#include <stdio.h>

#define POST_BYTES 16384            /* of an answer of unknown length, before the loop hears of it */
#define CHECK_US   INT64_C(1000000) /* between two looks whether a token is still good */

static dq_exchange *exchange_of(dq_api_sink *s)
{
    return dq_container_of(s, dq_exchange, sink);
}

/* ---- the answering side ---- */

static void post_locked(dq_exchange *e)
{
    if (e->is_posted)
        return;
    e->is_posted = true;
    atomic_fetch_add(&e->refs, 1);
    dq_loop_post(e->server->loop, &e->message);
}

static void sink_begin(dq_api_sink *s, const dq_api_response *head, int64_t length)
{
    dq_exchange *e = exchange_of(s);

    dq_mutex_lock(&e->mu);
    e->head = *head;
    e->head.body = (dq_buf){0};
    e->length = length;
    e->has_begun = true;
    dq_mutex_unlock(&e->mu);
}

static void sink_write(dq_api_sink *s, dureq_str part)
{
    dq_exchange *e = exchange_of(s);

    dq_mutex_lock(&e->mu);
    dq_buf_append_str(&e->out, part);
    if (e->length < 0 && e->out.len >= POST_BYTES)
        post_locked(e);
    while (e->length < 0 && e->n_unsent + e->out.len > DQ_SERVE_UNSENT_MAX && !atomic_load(&e->is_gone))
        dq_cond_wait(&e->cond, &e->mu); /* the connection's time-outs bound it */
    dq_mutex_unlock(&e->mu);
}

static void sink_end(dq_api_sink *s, bool is_whole)
{
    dq_exchange *e = exchange_of(s);

    dq_mutex_lock(&e->mu);
    e->has_ended = true;
    e->is_whole = is_whole;
    post_locked(e);
    dq_mutex_unlock(&e->mu);
}

static dq_api_pass pass_of(const dq_exchange *e)
{
    return (dq_api_pass){.text = dureq_str_from(e->token ? e->token : e->session), .is_session = !e->token};
}

/* An answer may take for ever: who gets it is looked at from time to time. */
static bool is_revoked(dq_exchange *e)
{
    int64_t now_us = dq_mono_us();
    dq_api_found found = DQ_API_KNOWN;
    dq_api_who who = {0};

    if (!e->has_who || now_us - e->checked_us < CHECK_US)
        return false;
    e->checked_us = now_us;
    (void)dq_api_tokens_look_up(e->server->tokens, e->server->client, pass_of(e), now_us, &found, &who, NULL);
    dq_api_who_deinit(&who);
    return found == DQ_API_UNKNOWN;
}

static bool sink_is_gone(dq_api_sink *s)
{
    dq_exchange *e = exchange_of(s);

    if (!atomic_load(&e->is_gone) && is_revoked(e))
        atomic_store(&e->is_gone, true);
    return atomic_load(&e->is_gone);
}

static void run_work(dq_work *w)
{
    dq_exchange *e = dq_container_of(w, dq_exchange, work);

    if (!atomic_load(&e->is_left)) /* nothing is done for who left before it began */
        dq_api_run(e->server->client, &e->req, &e->sink);
    dq_exchange_unref(e);
}

/* ---- the loop's side ---- */

static void take_part(dq_exchange *e, dq_answer_part *ret)
{
    dq_mutex_lock(&e->mu);
    *ret = (dq_answer_part){.head = e->head,
                            .length = e->length,
                            .bytes = e->out,
                            .begins = e->has_begun,
                            .ends = e->has_ended,
                            .is_whole = e->is_whole};
    e->out = (dq_buf){0};
    e->n_unsent += ret->bytes.len;
    e->has_begun = false;
    e->is_posted = false;
    dq_mutex_unlock(&e->mu);
}

static void on_message(dq_message *m)
{
    dq_exchange *e = dq_container_of(m, dq_exchange, message);
    dq_answer_part part;

    take_part(e, &part);
    if (e->conn)
        dq_conn_part(e->conn, &part);
    dq_buf_deinit(&part.bytes);
    dq_exchange_unref(e);
}

void dq_exchange_sent(dq_exchange *e, size_t n)
{
    dq_mutex_lock(&e->mu);
    e->n_unsent -= DQ_MIN(n, e->n_unsent);
    dq_cond_signal(&e->cond);
    dq_mutex_unlock(&e->mu);
}

void dq_exchange_leave(dq_exchange *e)
{
    e->conn = NULL;
    dq_exchange_stop_waiting(e);
    if (e->quick)
        dq_api_quick_cancel(e->quick);
    dq_mutex_lock(&e->mu);
    atomic_store(&e->is_gone, true);
    atomic_store(&e->is_left, true);
    dq_cond_signal(&e->cond);
    dq_mutex_unlock(&e->mu);
    dq_exchange_unref(e);
}

void dq_exchange_stop_waiting(dq_exchange *e)
{
    if (e->wait)
        dq_api_wait_cancel(e->wait);
}

static bool push(dq_exchange *e, void (*run)(dq_work *w), bool scans)
{
    static const dq_http_fault full = {503, "too many requests wait for their turn"};

    e->work = (dq_work){.run = run, .scans = scans};
    atomic_fetch_add(&e->refs, 1);
    if (dq_workers_push(e->server->workers, &e->work))
        return true;
    dq_exchange_unref(e);
    dq_conn_fault(e->conn, &full);
    return false;
}

static void run_blocking(dq_exchange *e)
{
    (void)push(e, run_work, dq_api_cost_of(e->req.method, e->req.path) == DQ_API_SCANS);
}

/* Of what no thread answered. */
static void on_quick(void *userdata, dq_api_response *answer)
{
    dq_exchange *e = userdata;

    e->quick = NULL;
    if (e->conn && answer) {
        dq_answer_part part = {.head = *answer,
                               .length = (int64_t)answer->body.len,
                               .bytes = answer->body,
                               .begins = true,
                               .ends = true,
                               .is_whole = true};

        part.head.body = (dq_buf){0};
        answer->body = (dq_buf){0};
        dq_conn_part(e->conn, &part);
        dq_buf_deinit(&part.bytes);
    } else if (e->conn) {
        run_blocking(e);
    }
    dq_exchange_unref(e);
}

/* Without a thread when that can be, else with one. */
static void run_now(dq_exchange *e)
{
    atomic_fetch_add(&e->refs, 1);
    if (dq_api_quick_start(e->server->client, &e->req, on_quick, e, &e->quick) > 0)
        return;
    dq_exchange_unref(e);
    run_blocking(e);
}

static void on_waited(void *userdata, const dq_api_waited *waited)
{
    dq_exchange *e = userdata;

    e->wait = NULL;
    e->waited = *waited;
    e->req.waited = &e->waited;
    if (e->conn)
        dq_exchange_start(e); /* its token may have been revoked meanwhile */
    dq_exchange_unref(e);
}

static void on_wait_allowed(dq_message *m)
{
    dq_exchange *e = dq_container_of(m, dq_exchange, looked_up);

    e->may_wait = true;
    if (e->conn)
        dq_exchange_start(e);
    dq_exchange_unref(e);
}

/* A thread looks whether it may wait; the wait itself holds none. */
static void check_wait(dq_work *w)
{
    dq_exchange *e = dq_container_of(w, dq_exchange, work);

    if (atomic_load(&e->is_left) || !dq_api_wait_allowed(e->server->client, &e->req)) {
        run_work(w); /* it is refused there */
        return;
    }
    e->looked_up.fn = on_wait_allowed;
    dq_loop_post(e->server->loop, &e->looked_up); /* our reference goes along */
}

static void run(dq_exchange *e)
{
    dq_api_stream_kind kind = dq_api_stream_of(e->req.method, e->req.path);

    if (kind == DQ_API_STREAM_EVENTS || (kind == DQ_API_STREAM_SOCKET && e->ws_accept[0])) {
        dq_stream_begin(e);
        return;
    }
    if (e->req.waited) {
        run_blocking(e);
        return;
    }
    if (!e->may_wait && !dq_scope_is_open(e->req.scope) && dq_api_wait_wanted(&e->req)) {
        (void)push(e, check_wait, /*scans=*/false);
        return;
    }
    atomic_fetch_add(&e->refs, 1);
    if (dq_api_wait_start(e->server->client, &e->req, on_waited, e, &e->wait) > 0)
        return;
    dq_exchange_unref(e); /* no memory for a wait: it waits in a thread */
    run_now(e);
}

/* ---- who asks ---- */

/* Its body may come, or it is answered. */
static void go_on(dq_exchange *e, bool is_let_in)
{
    static const dq_http_fault nobody = {401, "this takes a token, and none that is good came before the body"};

    if (!e->awaits_body)
        run(e);
    else if (is_let_in)
        dq_conn_take_body(e->conn);
    else
        dq_conn_fault(e->conn, &nobody);
}

/* Whom the token or the session stands for. */
static void go_on_as_known(dq_exchange *e)
{
    e->has_who = true;
    e->checked_us = e->asked_us;
    e->req.who = &e->who;
    e->req.scope = &e->who.scope;
    e->req.role = e->who.role;
    e->req.hides_payload = e->who.hides_payload;
    (void)snprintf(e->actor, sizeof e->actor, "%s", e->who.name);
    go_on(e, true);
}

/* Whom a proxy asked, and vouches for. */
static void go_on_as_user(dq_exchange *e)
{
    e->req.role = e->user.role;
    e->req.hides_payload = e->user.hides_payload;
    (void)snprintf(e->actor, sizeof e->actor, "user:%s", e->req.user);
    go_on(e, true);
}

/* A cookie that is none any more is as good as no cookie; a token that was sent must be good. */
static void go_on_as_unknown(dq_exchange *e)
{
    bool may_all = !e->token && (e->is_local || !e->server->needs_token);

    e->req.role = may_all ? DQ_API_ADMIN : DQ_API_ANYONE;
    (void)snprintf(e->actor, sizeof e->actor, "%s", may_all ? e->address : "anyone");
    go_on(e, may_all);
}

static void look_up(dq_work *w);

/* The last thing that is done with it: it may be gone after it. */
static void settle(dq_exchange *e, dq_api_found found)
{
    static const dq_http_fault no_memory = {500, "out of memory"};

    switch (found) {
    case DQ_API_KNOWN: go_on_as_known(e); break;
    case DQ_API_UNKNOWN: go_on_as_unknown(e); break;
    case DQ_API_STALE: (void)push(e, look_up, /*scans=*/false); break;
    case DQ_API_NO_MEMORY: dq_conn_fault(e->conn, &no_memory); break;
    }
}

static void on_looked_up(dq_message *m)
{
    static const dq_http_fault away = {503, "tokens cannot be looked up: Redis is away"};
    dq_exchange *e = dq_container_of(m, dq_exchange, looked_up);

    if (e->conn && e->tokens_err.code == DUREQ_ENOMEM)
        settle(e, DQ_API_NO_MEMORY);
    else if (e->conn && e->tokens_err.code < 0)
        dq_conn_fault(e->conn, &away);
    else if (e->conn)
        settle(e, e->found);
    dq_exchange_unref(e);
}

static void look_up(dq_work *w)
{
    dq_exchange *e = dq_container_of(w, dq_exchange, work);

    if (atomic_load(&e->is_left)) { /* nobody is told */
        dq_exchange_unref(e);
        return;
    }
    e->tokens_err = (dureq_error){0};
    (void)dq_api_tokens_look_up(e->server->tokens, e->server->client, pass_of(e), e->asked_us, &e->found, &e->who,
                                &e->tokens_err);
    e->looked_up.fn = on_looked_up;
    dq_loop_post(e->server->loop, &e->looked_up); /* our reference goes along */
}

static void look(dq_exchange *e)
{
    dq_api_who_deinit(&e->who); /* of a look before */
    e->who = (dq_api_who){0};
    e->has_who = false;
    e->req.who = NULL;
    e->req.scope = NULL;
    e->req.hides_payload = false;
    e->asked_us = dq_mono_us();
    if (e->req.user && !e->token) {
        go_on_as_user(e);
        return;
    }
    settle(e, e->token || e->session ? dq_api_tokens_find(e->server->tokens, pass_of(e), e->asked_us, &e->who) : DQ_API_UNKNOWN);
}

void dq_exchange_begin(dq_exchange *e)
{
    e->awaits_body = true;
    look(e);
}

void dq_exchange_start(dq_exchange *e)
{
    e->awaits_body = false;
    e->req.body = dq_buf_str(&e->body);
    look(e); /* who asks may have been revoked while the body came, or while it waited */
}

bool dq_exchange_pass(const dq_exchange *e, dq_api_pass *ret)
{
    if (e->has_who)
        *ret = pass_of(e);
    return e->has_who;
}

/* ---- its life ---- */

/* A NUL-ended copy; where it begins. The buffer may move until all are in it. */
static size_t put(dq_buf *b, dureq_str s)
{
    size_t at = b->len;

    dq_buf_append_str(b, s);
    dq_buf_append_char(b, '\0');
    return at;
}

/* Of "Bearer x" x; nothing of another scheme, which is between a proxy and its callers; and the whole where there is no scheme. */
static dureq_str bearer_of(dureq_str field)
{
    dureq_str rest = field, scheme = dq_str_cut(&rest, ' ');

    if (!rest.ptr)
        return field;
    return dq_http_eq_nocase(scheme, "bearer") ? dq_str_trim(rest) : dureq_str_of(NULL, 0);
}

static bool take_request(dq_exchange *e, const dq_caller *caller, const dq_http_head *head)
{
    dureq_str type = dq_http_field_get(head, "content-type");
    dureq_str bearer = bearer_of(dq_http_field_get(head, "authorization"));
    dureq_str accept = dq_http_field_get(head, "accept"), key = dq_http_field_get(head, "idempotency-key");
    dureq_str last = dq_http_field_get(head, "last-event-id");
    size_t method, path, query, content, token, session, accepts, keyed, last_event_id, port, user;

    e->is_head_only = dq_str_eq_text(head->method, "HEAD");
    method = put(&e->text, e->is_head_only ? DQ_STR_LIT("GET") : head->method);
    path = put(&e->text, head->path);
    query = put(&e->text, head->query);
    content = put(&e->text, type);
    token = put(&e->text, bearer);
    session = put(&e->text, caller->session);
    accepts = put(&e->text, accept);
    keyed = put(&e->text, key);
    last_event_id = put(&e->text, last);
    port = put(&e->text, caller->port);
    user = put(&e->text, caller->user.name);
    if (dq_buf_failed(&e->text))
        return false;
    e->req = (dq_api_request){
        .method = e->text.ptr + method,
        .path = e->text.ptr + path,
        .query = head->query.ptr ? e->text.ptr + query : NULL,
        .content_type = type.ptr ? e->text.ptr + content : NULL,
        .idempotency_key = key.ptr ? e->text.ptr + keyed : NULL,
        .accept = accept.ptr ? e->text.ptr + accepts : NULL,
        .meter = e->server->meter,
        .operations = e->server->operations,
        .actor = e->actor,
        .role = DQ_API_ANYONE,
        .tokens = e->server->tokens,
        .base_path = e->server->base_path,
        .port = e->text.ptr + port,
        .user = caller->user.name.ptr ? e->text.ptr + user : NULL,
        .is_secure = caller->is_secure,
    };
    e->user = (dq_user){.role = caller->user.role, .hides_payload = caller->user.hides_payload};
    e->token = bearer.ptr ? e->text.ptr + token : NULL;
    e->session = caller->session.ptr ? e->text.ptr + session : NULL;
    if (dq_api_stream_of(e->req.method, e->req.path) == DQ_API_STREAM_SOCKET)
        (void)dq_ws_handshake(head, e->ws_accept); /* else the route says what it takes */
    e->last_event_id = last.ptr ? e->text.ptr + last_event_id : NULL;
    return true;
}

dq_exchange *dq_exchange_create(dq_conn *c, const dq_caller *caller, const dq_http_head *head)
{
    dq_exchange *e = dq_calloc(1, sizeof *e);

    if (!e)
        return NULL;
    e->sink = (dq_api_sink){.begin = sink_begin, .write = sink_write, .end = sink_end, .is_gone = sink_is_gone};
    e->server = c->server;
    e->conn = c;
    e->message.fn = on_message;
    memcpy(e->address, caller->name, sizeof e->address);
    e->is_local = caller->is_local;
    atomic_init(&e->is_gone, false);
    atomic_init(&e->is_left, false);
    atomic_init(&e->refs, 1);
    dq_mutex_init(&e->mu);
    dq_cond_init(&e->cond);
    atomic_fetch_add(&e->server->n_exchanges, 1);
    if (take_request(e, caller, head))
        return e;
    dq_exchange_unref(e);
    return NULL;
}

void dq_exchange_ref(dq_exchange *e)
{
    atomic_fetch_add(&e->refs, 1);
}

void dq_exchange_unref(dq_exchange *e)
{
    if (atomic_fetch_sub(&e->refs, 1) != 1)
        return;
    atomic_fetch_sub(&e->server->n_exchanges, 1);
    atomic_fetch_sub(&e->server->held, e->held);
    dq_api_who_deinit(&e->who);
    dq_buf_deinit(&e->text);
    dq_buf_deinit(&e->body);
    dq_buf_deinit(&e->out);
    dq_cond_deinit(&e->cond);
    dq_mutex_deinit(&e->mu);
    dq_free(e);
}
