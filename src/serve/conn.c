/* SPDX-License-Identifier: Apache-2.0 */
/* A connection: one request after the other. What comes while one is being answered stays in the socket, so that a connection holds one
   request and one answer at most, and nothing while it waits. Whatever it waits for has an end: a head has 10 s; a body and an answer must move by
   RATE_BYTES in RATE_US; an idle connection is closed after a minute, or when another needs its place. Loop thread.

       HEAD -> WHO -> BODY -> BUSY -> FLUSH -> HEAD ...       a fault, or "close": FLUSH -> LINGER -> closed

   Bodies of all connections share DQ_SERVE_HELD_MAX: who may not send one that is more than brief is told before any of it is read. */
#include "serve/serve_internal.h"

#include <event2/event.h>

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#define READ_BYTES   16384
#define RATE_BYTES   65536
#define RATE_US      INT64_C(15000000)
#define LINGER_US    INT64_C(2000000)
#define LINGER_BYTES (1 << 20)
#define NEVER        INT64_MAX
#define BEAT_US      INT64_C(15000000) /* between signs of life of a stream */

static void advance(dq_conn *c);
static void read_body(dq_conn *c);
static void read_once(dq_conn *c);
static void flush(dq_conn *c);

/* ---- time ---- */

static void set_deadline(dq_conn *c, int64_t at_us)
{
    c->deadline_us = at_us;
    if (at_us == NEVER || (dq_timer_is_set(&c->timer) && c->timer_at_us <= at_us))
        return; /* the timer looks again when it fires */
    c->timer_at_us = at_us;
    dq_timer_set(&c->timer, DQ_MAX(at_us - dq_loop_now_us(c->server->loop), 0));
}

static void deadline_in(dq_conn *c, int64_t us)
{
    set_deadline(c, dq_loop_now_us(c->server->loop) + us);
}

/* Something moved: that much time more, up to RATE_US from now. */
static void deadline_moved(dq_conn *c, size_t n)
{
    int64_t now = dq_loop_now_us(c->server->loop), more = (int64_t)(n * (size_t)RATE_US / RATE_BYTES);

    if (c->deadline_us == NEVER)
        return;
    set_deadline(c, DQ_MIN(c->deadline_us + more, now + RATE_US));
}

static void on_timer(dq_timer *t)
{
    static const dq_http_fault late = {408, "the request did not come in time"};
    dq_conn *c = dq_container_of(t, dq_conn, timer);

    if (c->deadline_us == NEVER)
        return;
    if (dq_loop_now_us(c->server->loop) < c->deadline_us) {
        set_deadline(c, c->deadline_us);
        return;
    }
    if ((c->phase == DQ_CONN_HEAD && c->in.len) || c->phase == DQ_CONN_BODY)
        dq_conn_fault(c, &late);
    else if (c->stream && c->out.len == 0)
        dq_stream_beat(c);
    else
        dq_conn_close(c);
}

/* ---- what the socket is looked at for ---- */

static void want_read(dq_conn *c, bool wants)
{
    if (c->is_reading != wants)
        (void)(wants ? event_add(&c->readable, NULL) : event_del(&c->readable));
    c->is_reading = wants;
}

static void want_write(dq_conn *c, bool wants)
{
    if (c->is_writing != wants)
        (void)(wants ? event_add(&c->writable, NULL) : event_del(&c->writable));
    c->is_writing = wants;
}

/* ---- phases ---- */

static void set_phase(dq_conn *c, dq_conn_phase phase)
{
    c->phase = phase;
    if (phase != DQ_CONN_HEAD)
        dq_list_remove(&c->wait_link);
    else if (!dq_list_linked(&c->wait_link))
        dq_list_push_back(&c->server->waiting, &c->wait_link);
}

static void drop_exchange(dq_conn *c)
{
    if (c->exchange)
        dq_exchange_leave(DQ_TAKE(c->exchange));
}

static void recount(dq_conn *c)
{
    int64_t now = (int64_t)c->out.len;

    atomic_fetch_add(&c->server->held, now - c->held);
    c->held = now;
}

void dq_conn_close(dq_conn *c)
{
    dq_server *s = c->server;

    dq_stream_close(c);
    drop_exchange(c);
    dq_loop_undefer(&c->next);
    want_read(c, false);
    want_write(c, false);
    dq_timer_deinit(&c->timer);
    dq_serve_tls_close(c->tls);
    (void)close(c->fd);
    dq_list_remove(&c->link);
    dq_list_remove(&c->wait_link);
    dq_buf_deinit(&c->in);
    dq_buf_deinit(&c->out);
    recount(c);
    dq_listen_left(s, c->peer);
    dq_free(c);
    dq_server_conn_gone(s);
}

static void linger(dq_conn *c)
{
    dq_serve_tls_close(DQ_TAKE(c->tls)); /* what comes is thrown away, whatever it means */
    (void)shutdown(c->fd, SHUT_WR);
    set_phase(c, DQ_CONN_LINGER);
    dq_buf_deinit(&c->in);
    want_read(c, true);
    deadline_in(c, LINGER_US);
}

static void next_request(dq_conn *c)
{
    if (c->closes || c->server->is_draining) {
        linger(c);
        return;
    }
    set_phase(c, DQ_CONN_HEAD);
    c->seen = 0;
    c->has_skipped_line = false;
    if (c->in.len == 0)
        dq_buf_deinit(&c->in);
    deadline_in(c, c->in.len ? c->server->head_timeout_us : c->server->idle_timeout_us);
    want_read(c, true);
    if (c->in.len || dq_serve_tls_has_more(c->tls))
        dq_loop_defer(c->server->loop, &c->next); /* others first */
}

static void on_next(dq_deferred *d)
{
    dq_conn *c = dq_container_of(d, dq_conn, next);

    if (c->stream && dq_stream_reads(c) && (c->in.len || dq_serve_tls_has_more(c->tls))) {
        dq_loop_defer(c->server->loop, d); /* what there is to send comes after it */
        if (dq_serve_tls_has_more(c->tls))
            read_once(c);
        else
            advance(c);
        return;
    }
    if (c->stream) {
        dq_stream_go_on(c);
        return;
    }
    if (c->phase == DQ_CONN_WHO || c->phase == DQ_CONN_BUSY || c->phase == DQ_CONN_FLUSH)
        return; /* it is looked at again when the body, or the next request, may come */
    if (c->in.len && c->phase != DQ_CONN_LINGER && !dq_serve_tls_has_more(c->tls))
        advance(c);
    else
        read_once(c);
}

/* ---- writing ---- */

static void sent_of_stream(dq_conn *c)
{
    deadline_in(c, BEAT_US);
    if (dq_stream_has_more(c))
        dq_loop_defer(c->server->loop, &c->next); /* others first */
}

static void sent_all(dq_conn *c)
{
    dq_buf_deinit(&c->out);
    c->n_out = 0;
    recount(c);
    want_write(c, false);
    if (c->stream)
        sent_of_stream(c);
    else if (c->phase == DQ_CONN_FLUSH)
        next_request(c);
    else if (c->phase == DQ_CONN_BUSY)
        set_deadline(c, NEVER);
}

static ssize_t send_bytes(dq_conn *c, const char *bytes, size_t len)
{
    return c->tls ? dq_serve_tls_send(c->tls, bytes, len) : send(c->fd, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void flush(dq_conn *c)
{
    while (c->n_out < c->out.len) {
        ssize_t n = send_bytes(c, c->out.ptr + c->n_out, c->out.len - c->n_out);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            want_write(c, true);
            return;
        }
        if (n < 0) {
            dq_conn_close(c);
            return;
        }
        c->n_out += (size_t)n;
        deadline_moved(c, (size_t)n);
        if (c->exchange)
            dq_exchange_sent(c->exchange, (size_t)n);
    }
    sent_all(c);
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
    dq_conn *c = arg;

    (void)fd;
    (void)what;
    if (c->n_out < c->out.len) {
        flush(c);
        return;
    }
    want_write(c, false);
    if (dq_serve_tls_wants_write(c->tls)) /* its handshake goes on */
        read_once(c);
}

void dq_conn_fault(dq_conn *c, const dq_http_fault *fault)
{
    dq_stream_close(c);
    drop_exchange(c);
    c->closes = true;
    dq_buf_deinit(&c->in);
    dq_answer_fault(c->server, fault, c->has_no_body_out, &c->out);
    set_phase(c, DQ_CONN_FLUSH);
    deadline_in(c, RATE_US);
    if (dq_buf_failed(&c->out)) {
        dq_conn_close(c);
        return;
    }
    recount(c);
    flush(c);
}

/* ---- answers ---- */

static void put_head(dq_conn *c, const dq_answer_part *part)
{
    c->closes = c->closes || c->server->is_draining || (part->length < 0 && c->minor == 0);
    c->is_chunked_out = part->length < 0 && c->minor == 1;
    dq_answer_head(c->server, &part->head, part->length, c->minor, c->closes, &c->out);
}

static void put_bytes(dq_conn *c, const dq_answer_part *part)
{
    if (c->has_no_body_out || part->bytes.len == 0)
        return;
    if (c->is_chunked_out)
        dq_buf_append_fmt(&c->out, "%zx\r\n", part->bytes.len);
    dq_buf_append_buf(&c->out, &part->bytes);
    if (c->is_chunked_out)
        dq_buf_append_text(&c->out, "\r\n");
}

void dq_conn_part(dq_conn *c, dq_answer_part *part)
{
    static const dq_http_fault no_memory = {500, "out of memory"}, no_room = {503, "too many answers wait to be read"};
    bool is_full = !part->needs_no_room && atomic_load(&c->server->held) > DQ_SERVE_HELD_MAX;

    if (part->begins && (part->bytes.failed || is_full)) {
        dq_conn_fault(c, is_full ? &no_room : &no_memory);
        return;
    }
    if (part->begins)
        put_head(c, part);
    put_bytes(c, part);
    if (part->ends && part->is_whole && c->is_chunked_out && !c->has_no_body_out)
        dq_buf_append_text(&c->out, "0\r\n\r\n");
    if (dq_buf_failed(&c->out) || part->bytes.failed || (part->ends && !part->is_whole)) {
        dq_conn_close(c); /* in the middle: the caller sees that it is not whole */
        return;
    }
    if (part->ends)
        drop_exchange(c);
    recount(c);
    if (part->ends)
        set_phase(c, DQ_CONN_FLUSH);
    if (c->deadline_us == NEVER || c->stream)
        deadline_in(c, RATE_US);
    flush(c);
}

/* ---- reading ---- */

static void start(dq_conn *c)
{
    set_phase(c, DQ_CONN_BUSY);
    set_deadline(c, NEVER);
    dq_exchange_start(c->exchange);
}

static void say_alive(dq_conn *c)
{
    dq_answer_part part = {.head = {.status = 200, .content_type = "application/json"},
                           .begins = true,
                           .ends = true,
                           .is_whole = true,
                           .needs_no_room = true}; /* a full server is alive: to start it again would not help */

    dq_buf_append_text(&part.bytes, "{\"status\":\"ok\"}");
    part.length = (int64_t)part.bytes.len;
    set_phase(c, DQ_CONN_BUSY);
    set_deadline(c, NEVER);
    dq_conn_part(c, &part);
    dq_buf_deinit(&part.bytes);
}

/* Of the dashboard; false: it is no part of it. */
static bool send_page(dq_conn *c, const dq_http_head *head, size_t len)
{
    bool closes = c->closes || c->server->is_draining;

    if (!dq_pages_answer(c->server, head, closes, &c->out))
        return false;
    c->closes = closes;
    dq_buf_consume(&c->in, len);
    set_phase(c, DQ_CONN_FLUSH);
    deadline_in(c, RATE_US);
    recount(c);
    if (dq_buf_failed(&c->out))
        dq_conn_close(c);
    else
        flush(c);
    return true;
}

void dq_conn_take_body(dq_conn *c)
{
    set_phase(c, DQ_CONN_BODY);
    deadline_in(c, RATE_US);
    want_read(c, true);
    if (dq_serve_tls_has_more(c->tls)) /* the socket will not tell of it */
        dq_loop_defer(c->server->loop, &c->next);
    if (c->in.len) {
        read_body(c);
        return;
    }
    if (!c->expects_continue)
        return;
    dq_buf_append_text(&c->out, "HTTP/1.1 100 Continue\r\n\r\n");
    recount(c);
    flush(c);
}

static void begin_body(dq_conn *c, const dq_http_head *head)
{
    c->is_chunked_in = head->is_chunked;
    c->chunks = (dq_http_chunks){0};
    c->body_left = head->length;
    c->expects_continue = head->expects_continue;
    if (!head->is_chunked && head->length <= DQ_SERVE_BRIEF_MAX) {
        dq_conn_take_body(c);
        return;
    }
    set_phase(c, DQ_CONN_WHO);
    set_deadline(c, NEVER); /* the look has an end of its own */
    dq_exchange_begin(c->exchange);
}

/* A whole head of len bytes, at the beginning of `in`. */
static void take_head(dq_conn *c, const dq_http_head *head, size_t len)
{
    static const dq_http_fault no_memory = {500, "out of memory"}, too_large = {413, "the body is larger than this server takes"};
    bool has_body = head->is_chunked || head->length > 0;
    dq_http_fault fault;
    dq_caller caller;

    c->minor = head->minor;
    c->closes = c->closes || !head->keeps_alive;
    c->has_no_body_out = dq_str_eq_text(head->method, "HEAD");
    if (!dq_guard_caller(c, head, &caller, &fault) || !dq_guard_passes(c, &caller, head, &fault)) {
        dq_conn_fault(c, &fault);
        return;
    }
    if (head->length > c->server->body_max) {
        dq_conn_fault(c, &too_large);
        return;
    }
    if (dq_str_eq_text(head->path, "/livez") && !has_body) {
        dq_buf_consume(&c->in, len);
        say_alive(c);
        return;
    }
    if (!has_body && send_page(c, head, len))
        return;
    c->exchange = dq_exchange_create(c, &caller, head);
    if (!c->exchange) {
        dq_conn_fault(c, &no_memory);
        return;
    }
    dq_buf_consume(&c->in, len);
    if (has_body)
        begin_body(c, head);
    else
        start(c);
}

static void read_head(dq_conn *c)
{
    dq_http_head head;
    dq_http_fault fault;
    ptrdiff_t len;

    if (!c->has_skipped_line && c->in.len >= 2 && memcmp(c->in.ptr, "\r\n", 2) == 0) {
        c->has_skipped_line = true; /* RFC 9112, 2.2: some send one after a body */
        dq_buf_consume(&c->in, 2);
    }
    if (c->in.len == 0)
        return;
    if (c->seen == 0) /* its first bytes; of a connection that never sent any the time runs since it was opened */
        set_deadline(c, DQ_MIN(c->deadline_us, dq_loop_now_us(c->server->loop) + c->server->head_timeout_us));
    len = dq_http_head_parse(dq_buf_str(&c->in), &c->seen, &head, &fault);
    if (len < 0) {
        dq_conn_fault(c, &fault);
    } else if (len > 0) {
        dq_pages_strip(c->server, &head);
        take_head(c, &head, (size_t)len);
    }
}

/* How much of `in` belongs to the body, taken into it; -1 with *fault. */
static ptrdiff_t take_body(dq_conn *c, bool *ret_done, dq_http_fault *fault)
{
    dq_buf *body = &c->exchange->body;
    size_t room = (size_t)c->server->body_max - body->len + 1, n;

    if (c->is_chunked_in)
        return dq_http_chunks_read(&c->chunks, dq_buf_str(&c->in), room, body, ret_done, fault);
    n = DQ_MIN(c->in.len, (size_t)c->body_left);
    dq_buf_append(body, c->in.ptr, n);
    c->body_left -= (int64_t)n;
    *ret_done = c->body_left == 0;
    return (ptrdiff_t)n;
}

static bool body_fits(dq_conn *c, dq_http_fault *fault)
{
    dq_exchange *e = c->exchange;

    atomic_fetch_add(&c->server->held, (int64_t)e->body.len - e->held);
    e->held = (int64_t)e->body.len;
    if (dq_buf_failed(&e->body))
        *fault = (dq_http_fault){500, "out of memory"};
    else if (e->held > c->server->body_max)
        *fault = (dq_http_fault){413, "the body is larger than this server takes"};
    else if (atomic_load(&c->server->held) > DQ_SERVE_HELD_MAX)
        *fault = (dq_http_fault){503, "too many large requests are under way"};
    else
        return true;
    return false;
}

static void read_body(dq_conn *c)
{
    dq_http_fault fault;
    bool is_done = false;
    ptrdiff_t n = take_body(c, &is_done, &fault);

    if (n < 0 || !body_fits(c, &fault)) {
        dq_conn_fault(c, &fault);
        return;
    }
    dq_buf_consume(&c->in, (size_t)n);
    deadline_moved(c, (size_t)n);
    if (is_done)
        start(c);
}

static void advance(dq_conn *c)
{
    if (c->stream)
        dq_stream_read(c);
    else if (c->phase == DQ_CONN_HEAD)
        read_head(c);
    else if (c->phase == DQ_CONN_BODY)
        read_body(c);
}

/* While an answer is made: is somebody there? What else comes stays where it is. */
static void look(dq_conn *c)
{
    char one;
    ssize_t n = recv(c->fd, &one, 1, MSG_PEEK | MSG_DONTWAIT);

    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
        return;
    want_read(c, false);
    if (n > 0)
        return;
    c->closes = true;
    if (n < 0 || c->stream) {
        dq_conn_close(c);
        return;
    }
    if (!c->exchange)
        return;
    atomic_store(&c->exchange->is_gone, true); /* or it has only said that it sends no more: it gets its answer */
    dq_exchange_stop_waiting(c->exchange);
}

/* The connection may be gone after it. */
static void read_once(dq_conn *c)
{
    char bytes[READ_BYTES];
    ssize_t n = c->tls ? dq_serve_tls_recv(c->tls, bytes, sizeof bytes) : recv(c->fd, bytes, sizeof bytes, MSG_DONTWAIT);
    bool lingers = c->phase == DQ_CONN_LINGER;

    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) {
        if (dq_serve_tls_wants_write(c->tls))
            want_write(c, true);
        return;
    }
    if (dq_serve_tls_has_more(c->tls)) /* the socket will not tell of it */
        dq_loop_defer(c->server->loop, &c->next);
    c->n_drunk += lingers && n > 0 ? (size_t)n : 0;
    if (n > 0 && !lingers)
        dq_buf_append(&c->in, bytes, (size_t)n);
    if (n <= 0 || c->n_drunk > LINGER_BYTES || dq_buf_failed(&c->in))
        dq_conn_close(c);
    else if (!lingers)
        advance(c);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    dq_conn *c = arg;

    (void)fd;
    (void)what;
    if (c->stream && dq_stream_reads(c))
        read_once(c);
    else if (c->phase == DQ_CONN_WHO || c->phase == DQ_CONN_BUSY || c->phase == DQ_CONN_FLUSH)
        look(c);
    else
        read_once(c);
}

/* ---- its life ---- */

void dq_conn_drain(dq_conn *c)
{
    if (c->phase == DQ_CONN_HEAD && c->in.len == 0) {
        dq_conn_close(c);
        return;
    }
    c->closes = true;
    if (c->stream) {
        dq_stream_end(c, DQ_WS_GOING_AWAY);
        return;
    }
    if (c->exchange)
        dq_exchange_stop_waiting(c->exchange);
}

void dq_conn_open(dq_server *s, int fd, const dq_origin *from)
{
    dq_conn *c = dq_calloc(1, sizeof *c);
    bool has_tls = s->tls && !from->is_local;

    if (c && has_tls)
        c->tls = dq_serve_tls_accept(s->tls, fd);
    if (!c || (has_tls && !c->tls) || dq_timer_init(&c->timer, s->loop, on_timer) < 0) {
        if (c)
            dq_serve_tls_close(c->tls);
        dq_free(c);
        (void)close(fd);
        dq_listen_left(s, from->peer);
        return;
    }
    c->server = s;
    c->peer = from->peer;
    c->fd = fd;
    c->is_local = from->is_local;
    c->is_proxy = from->is_proxy;
    c->next.fn = on_next;
    memcpy(c->name, from->name, sizeof c->name);
    (void)event_assign(&c->readable, dq_loop_base(s->loop), fd, EV_READ | EV_PERSIST, on_readable, c);
    (void)event_assign(&c->writable, dq_loop_base(s->loop), fd, EV_WRITE | EV_PERSIST, on_writable, c);
    dq_list_push_back(&s->conns, &c->link);
    s->n_conns++;
    atomic_store(&s->n_conns_now, s->n_conns);
    set_phase(c, DQ_CONN_HEAD);
    deadline_in(c, s->head_timeout_us);
    want_read(c, true);
}
