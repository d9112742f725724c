/* SPDX-License-Identifier: Apache-2.0 */
/* Answers that go on: events. A connection takes from the hub only when all that it took before is sent, and at most TAKE_BYTES, so that it holds no more than
   that, however slow its peer is; and one that does not move for as long as any answer must is closed. When nothing happens it is sent a sign of life.

   A WebSocket has the same in frames. What it sends is read and thrown away, but for what the protocol asks to be answered; of pings at most one answer waits.

   A token, or a session, may end while its stream goes on: all are looked at every CHECK_US. Loop thread, except for run_checks. */
#include "base/clock.h"
#include "serve/serve_internal.h"

#define TAKE_BYTES 16384
#define CHECK_US   INT64_C(2000000)
#define SNAP_US    INT64_C(1000000)

struct dq_stream {
    dq_list link; /* server's */
    dq_conn *conn;
    dq_api_stream *api;
    bool has_more;
    bool is_socket, was_pinged; /* was_pinged: and nothing came since */
    bool owes_pong;
    char pong[DQ_WS_CONTROL_MAX];
    size_t pong_len;
    dq_ws ws;
};

/* ---- who listens, still ---- */

static void check_later(dq_server *s)
{
    if (!dq_list_empty(&s->streams) && !dq_timer_is_set(&s->check))
        dq_timer_set(&s->check, CHECK_US);
}

/* The exchanges of streams that are looked at, each with a reference. */
struct dq_stream_checks {
    dq_exchange **of;
    dq_api_pass_check *checks;
    size_t n;
};

static void checks_destroy(dq_stream_checks *k)
{
    for (size_t i = 0; i < k->n; i++)
        dq_exchange_unref(k->of[i]);
    dq_free(k->of);
    dq_free(k->checks);
    dq_free(k);
}

/* Those that came by a token or a session. NULL: none did, or no memory. */
static dq_stream_checks *checks_create(dq_server *s)
{
    dq_stream_checks *k = dq_calloc(1, sizeof *k);
    size_t n = 0;

    DQ_LIST_FOREACH (dq_stream, t, &s->streams, link) {
        n++;
    }
    if (!k)
        return NULL;
    k->of = dq_calloc(n, sizeof(dq_exchange *));
    k->checks = dq_calloc(n, sizeof *k->checks);
    DQ_LIST_FOREACH (dq_stream, t, &s->streams, link) {
        if (!k->of || !k->checks || !dq_exchange_pass(t->conn->exchange, &k->checks[k->n].pass))
            continue;
        dq_exchange_ref(t->conn->exchange);
        k->of[k->n++] = t->conn->exchange;
    }
    if (k->n)
        return k;
    checks_destroy(k);
    return NULL;
}

static void end_checking(dq_server *s)
{
    checks_destroy(DQ_TAKE(s->checks));
    atomic_fetch_sub(&s->n_exchanges, 1);
    check_later(s);
}

static void on_checked(dq_message *m)
{
    dq_server *s = dq_container_of(m, dq_server, checked);

    for (size_t i = 0; i < s->checks->n; i++) {
        dq_conn *c = s->checks->of[i]->conn;

        if (s->checks->checks[i].is_over && c && c->stream)
            dq_stream_end(c, DQ_WS_POLICY);
    }
    end_checking(s);
}

static void run_checks(dq_work *w)
{
    dq_server *s = dq_container_of(w, dq_server, checking);

    (void)dq_api_tokens_check(s->client, s->checks->checks, s->checks->n, NULL); /* while Redis is away nobody is let in or out */
    dq_loop_post(s->loop, &s->checked);
}

void dq_stream_check(dq_timer *t)
{
    dq_server *s = dq_container_of(t, dq_server, check);

    if (s->checks || dq_list_empty(&s->streams))
        return;
    s->checks = checks_create(s);
    if (!s->checks) {
        check_later(s);
        return;
    }
    s->checking = (dq_work){.run = run_checks};
    s->checked.fn = on_checked;
    atomic_fetch_add(&s->n_exchanges, 1);
    if (!dq_workers_push(s->workers, &s->checking))
        end_checking(s);
}

/* ---- snapshots, while anybody asked for them ---- */

static void snap_in(dq_server *s, int64_t us)
{
    if (dq_api_streams_want_snapshots(s->streams_of_api) && !s->is_snapping && !dq_timer_is_set(&s->snap))
        dq_timer_set(&s->snap, us);
}

static void on_snapshots_read(dq_message *m)
{
    dq_server *s = dq_container_of(m, dq_server, snapped);

    s->is_snapping = false;
    dq_api_snapshots_give(s->streams_of_api);
    atomic_fetch_sub(&s->n_exchanges, 1);
    snap_in(s, SNAP_US);
}

static void read_snapshots(dq_work *w)
{
    dq_server *s = dq_container_of(w, dq_server, snapping);

    dq_api_snapshots_read(s->streams_of_api);
    dq_loop_post(s->loop, &s->snapped);
}

void dq_stream_snapshots(dq_timer *t)
{
    dq_server *s = dq_container_of(t, dq_server, snap);

    if (s->is_snapping || !dq_api_snapshots_begin(s->streams_of_api, dq_mono_us())) {
        snap_in(s, SNAP_US);
        return;
    }
    s->is_snapping = true;
    s->snapping = (dq_work){.run = read_snapshots};
    s->snapped.fn = on_snapshots_read;
    atomic_fetch_add(&s->n_exchanges, 1);
    if (dq_workers_push(s->workers, &s->snapping))
        return;
    atomic_fetch_sub(&s->n_exchanges, 1); /* they are busy with requests: the next time */
    s->is_snapping = false;
    snap_in(s, SNAP_US);
}

/* ---- what it is given ---- */

/* The connection may be gone after it. */
static void more(dq_stream *t)
{
    dq_answer_part part = {0};

    if (t->owes_pong)
        dq_ws_put_pong(&part.bytes, dureq_str_of(t->pong, t->pong_len));
    t->owes_pong = false;
    t->has_more = dq_api_stream_take(t->api, TAKE_BYTES, &part.bytes);
    if (part.bytes.len)
        dq_conn_part(t->conn, &part);
    dq_buf_deinit(&part.bytes);
}

static void on_more(void *userdata)
{
    dq_stream *t = userdata;

    t->has_more = true;
    if (t->conn->out.len == 0)
        more(t);
}

void dq_stream_go_on(dq_conn *c)
{
    if (c->out.len == 0 && dq_stream_has_more(c))
        more(c->stream);
}

bool dq_stream_has_more(const dq_conn *c)
{
    return c->stream->has_more || c->stream->owes_pong;
}

void dq_stream_beat(dq_conn *c)
{
    dq_stream *t = c->stream;
    dq_answer_part part = {0};

    if (t->is_socket && t->was_pinged) {
        dq_conn_close(c);
        return;
    }
    dq_api_stream_beat(t->api, &part.bytes);
    if (t->is_socket)
        dq_ws_put_ping(&part.bytes, (dureq_str){0});
    t->was_pinged = t->is_socket;
    dq_conn_part(c, &part);
    dq_buf_deinit(&part.bytes);
}

/* ---- its beginning and end ---- */

void dq_stream_close(dq_conn *c)
{
    dq_stream *t = DQ_TAKE(c->stream);

    if (!t)
        return;
    dq_list_remove(&t->link);
    dq_api_stream_close(t->api);
    dq_ws_deinit(&t->ws);
    dq_free(t);
}

void dq_stream_end(dq_conn *c, int code)
{
    dq_answer_part last = {.ends = true, .is_whole = true};

    if (c->stream->is_socket)
        dq_ws_put_close(&last.bytes, code);
    c->closes = true;
    dq_stream_close(c);
    dq_conn_part(c, &last);
    dq_buf_deinit(&last.bytes);
}

/* ---- what a WebSocket sends ---- */

bool dq_stream_reads(const dq_conn *c)
{
    return c->stream->is_socket;
}

/* False: the connection is gone, or on its way. */
static bool take_event(dq_conn *c, const dq_ws_event *e)
{
    dq_stream *t = c->stream;

    t->was_pinged = false;
    switch (e->kind) {
    case DQ_WS_PING: /* the answer to the latest is enough */
        t->owes_pong = true;
        t->pong_len = DQ_MIN(e->data.len, sizeof t->pong);
        memcpy(t->pong, e->data.ptr ? e->data.ptr : "", t->pong_len);
        dq_loop_defer(c->server->loop, &c->next);
        return true;
    case DQ_WS_CLOSE: dq_stream_end(c, e->code == DQ_WS_NO_CODE ? DQ_WS_NORMAL : e->code); return false;
    case DQ_WS_FAULT: dq_stream_end(c, e->code); return false;
    default: return true;
    }
}

void dq_stream_read(dq_conn *c)
{
    while (c->in.len) {
        dq_ws_event e;
        size_t n = dq_ws_read(&c->stream->ws, dq_buf_str(&c->in), &e);

        if (n == c->in.len)
            dq_buf_deinit(&c->in);
        else
            dq_buf_consume(&c->in, n);
        if (!take_event(c, &e))
            return;
    }
}

static void put_frame(dq_buf *out, dureq_str message)
{
    dq_ws_put_text(out, message);
}

static void switch_protocols(dq_conn *c, const char *accept)
{
    dq_answer_part part = {0};

    c->is_chunked_out = false;
    dq_buf_append_fmt(&part.bytes,
                      "HTTP/1.1 101 Switching Protocols\r\nDate: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                      "Sec-WebSocket-Accept: %s\r\n\r\n",
                      dq_answer_date(c->server), accept);
    dq_loop_defer(c->server->loop, &c->next); /* it may have sent frames already */
    dq_conn_part(c, &part);
    dq_buf_deinit(&part.bytes);
}

static void answer(dq_conn *c, dq_api_response *res, bool goes_on)
{
    dq_answer_part part = {.head = *res, .length = goes_on ? -1 : (int64_t)res->body.len, .begins = true};

    part.head.body = (dq_buf){0};
    part.bytes = res->body;
    part.ends = !goes_on;
    part.is_whole = true;
    if (goes_on && !c->has_no_body_out && strcmp(res->content_type, "text/event-stream") == 0)
        dq_buf_append_text(&part.bytes, "retry: 2000\n\n");
    dq_conn_part(c, &part);
    dq_buf_deinit(&part.bytes);
}

void dq_stream_begin(dq_exchange *e)
{
    static const dq_http_fault no_memory = {500, "out of memory"};
    dq_conn *c = e->conn;
    dq_stream *t = dq_calloc(1, sizeof *t);
    dq_api_stream_options o = {.last_event_id = e->last_event_id, .on_more = on_more, .userdata = t};
    dq_api_response res;

    if (!t) {
        dq_conn_fault(c, &no_memory);
        return;
    }
    t->conn = c;
    t->is_socket = e->ws_accept[0] != '\0';
    o.frame_fn = t->is_socket ? put_frame : NULL;
    if (dq_api_stream_open(c->server->streams_of_api, &e->req, &o, &t->api, &res)) {
        c->stream = t;
        dq_list_push_back(&c->server->streams, &t->link);
        check_later(c->server);
        snap_in(c->server, 0);
        if (t->is_socket) {
            switch_protocols(c, e->ws_accept);
            return;
        }
        if (e->is_head_only)
            dq_stream_close(c);
    } else {
        dq_free(t);
    }
    answer(c, &res, c->stream != NULL);
}
