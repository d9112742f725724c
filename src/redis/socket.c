/* SPDX-License-Identifier: Apache-2.0 */
#include "redis/conn_internal.h"

#include <event2/event.h>

#include <errno.h>
#include <netinet/tcp.h>
#include <sys/un.h>
#include <unistd.h>

/* The descriptor of a connection: opening it, and moving bytes. Reads come when libevent says so; writes at the end of a
   turn, and on a writable socket only after one that the kernel did not take whole. */

enum {
    READ_BUDGET = 1 << 20,      /* bytes a turn may read before other sockets get theirs */
    OUT_IDLE_CAP_MAX = 1 << 20, /* a larger output buffer is given back once it is written */
    COMPACT_MIN = 64 * 1024,    /* less than this is not worth moving the rest for */
    KEEPALIVE_IDLE_S = 15,
    KEEPALIVE_INTERVAL_S = 5,
    KEEPALIVE_PROBES = 3,
    AGAIN_FIRST_US = 2000, /* until a full backlog is asked again; doubles */
    AGAIN_MAX_US = 100000,
};

static void on_socket(evutil_socket_t fd, short what, void *arg);
static void connect_next(dq_redis *r);

/* ---- opening and closing ---- */

static void lose(dq_redis *r, int code, int sys_errno, const char *what)
{
    dureq_error why;

    (void)dq_fail_errno(&why, code, sys_errno, "%s: %s", r->address, what);
    dq_conn_lost(r, &why);
}

static void close_descriptor(dq_redis *r)
{
    if (r->ev_read)
        event_free(r->ev_read);
    if (r->ev_write)
        event_free(r->ev_write);
    r->ev_read = r->ev_write = NULL;
    r->wants_write = false;
    dq_tls_destroy(r->tls);
    r->tls = NULL;
    if (r->fd >= 0)
        close(r->fd);
    r->fd = -1;
}

/* The inbox stays as it is: a reply that is being answered lies in it. The next attempt clears it. */
void dq_socket_close(dq_redis *r)
{
    dq_timer_clear(&r->again_timer);
    dq_resolve_cancel(r->lookup);
    r->lookup = NULL;
    dq_loop_undefer(&r->read_more);
    close_descriptor(r);
}

/* Faults here cost only speed or the discovery of dead peers: not a reason to give the connection up. */
static void tune_tcp(int fd)
{
    const int on = 1, idle = KEEPALIVE_IDLE_S, interval = KEEPALIVE_INTERVAL_S, probes = KEEPALIVE_PROBES;

    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof(interval));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof(probes));
}

static void want_write(dq_redis *r, bool wants)
{
    if (wants == r->wants_write)
        return;
    r->wants_write = wants;
    if (wants)
        (void)event_add(r->ev_write, NULL);
    else
        (void)event_del(r->ev_write);
}

/* The backlog of a Unix socket is full: there is no event for when it no longer is, and the attempt has time left. */
static void ask_again_later(dq_redis *r)
{
    r->again_us = r->again_us ? DQ_MIN(2 * r->again_us, (int64_t)AGAIN_MAX_US) : AGAIN_FIRST_US;
    dq_timer_set(&r->again_timer, r->again_us);
}

void dq_socket_on_again(dq_timer *t)
{
    dq_redis *r = dq_container_of(t, dq_redis, again_timer);

    dq_conn_pin(r);
    r->addresses_tried = 0;
    connect_next(r);
    dq_conn_unpin(r);
}

/* 0: connected or on the way (then the socket becomes writable); else errno. */
static int open_descriptor(dq_redis *r, const dq_address *address)
{
    const struct sockaddr *sa = (const struct sockaddr *)&address->sa;
    struct event_base *base = dq_loop_base(r->loop);
    int rc;

    r->fd = socket(sa->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (r->fd < 0)
        return errno;
    if (sa->sa_family != AF_UNIX)
        tune_tcp(r->fd);
    rc = connect(r->fd, sa, address->len);
    if (rc < 0 && errno != EINPROGRESS)
        return errno;
    r->ev_read = event_new(base, r->fd, EV_READ | EV_PERSIST, on_socket, r);
    r->ev_write = event_new(base, r->fd, EV_WRITE | EV_PERSIST, on_socket, r);
    if (!r->ev_read || !r->ev_write || event_add(r->ev_read, NULL) < 0)
        return ENOMEM;
    /* Also when connected at once: the next step comes from the loop, as with all others. */
    want_write(r, true);
    return 0;
}

static void connect_next(dq_redis *r)
{
    int sys_errno = 0;

    while (r->addresses_tried < r->n_addresses) {
        const dq_address *address = &r->addresses[r->address_i % r->n_addresses];

        r->address_i++; /* the next attempt starts with another one, as this may swallow all of its time */
        r->addresses_tried++;
        sys_errno = open_descriptor(r, address);
        if (sys_errno == 0)
            return;
        close_descriptor(r);
    }
    if (sys_errno == EAGAIN && r->url.kind == DQ_REDIS_UNIX)
        ask_again_later(r);
    else
        lose(r, DUREQ_EUNAVAILABLE, sys_errno ? sys_errno : ECONNREFUSED, "cannot connect");
}

static void on_resolved(void *userdata, const dq_address *addresses, size_t n, const dureq_error *err)
{
    dq_redis *r = userdata;

    r->lookup = NULL;
    if (n == 0) {
        dq_conn_lost(r, err);
        return;
    }
    r->n_addresses = DQ_MIN(n, DQ_ARRAY_LEN(r->addresses));
    memcpy(r->addresses, addresses, r->n_addresses * sizeof(r->addresses[0]));
    connect_next(r);
}

static void connect_unix(dq_redis *r)
{
    struct sockaddr_un *sun = (struct sockaddr_un *)&r->addresses[0].sa;
    size_t len = strlen(r->url.host);

    _Static_assert(sizeof(r->addresses[0].sa) >= sizeof(*sun), "a Unix address fits");
    *sun = (struct sockaddr_un){.sun_family = AF_UNIX};
    memcpy(sun->sun_path, r->url.host, DQ_MIN(len, sizeof(sun->sun_path) - 1)); /* the URL's parser refuses longer ones */
    r->addresses[0].len = sizeof(*sun);
    r->n_addresses = 1;
    connect_next(r);
}

void dq_socket_connect(dq_redis *r)
{
    dureq_error err;
    dq_resolve *lookup = NULL;
    int rc;

    r->addresses_tried = 0;
    r->again_us = 0;
    if (r->url.kind == DQ_REDIS_UNIX) {
        connect_unix(r);
        return;
    }
    rc = dq_resolve_start(r->loop, r->url.host, r->url.port, on_resolved, r, &lookup, &err);
    if (rc < 0)
        dq_conn_lost(r, &err);
    else if (lookup)
        r->lookup = lookup;
}

static void finish_connect(dq_redis *r)
{
    int sys_errno = 0;
    socklen_t len = sizeof(sys_errno);

    if (getsockopt(r->fd, SOL_SOCKET, SO_ERROR, &sys_errno, &len) < 0)
        sys_errno = errno;
    if (sys_errno) {
        close_descriptor(r);
        if (r->addresses_tried < r->n_addresses)
            connect_next(r);
        else
            lose(r, DUREQ_EUNAVAILABLE, sys_errno, "cannot connect");
        return;
    }
    want_write(r, false);
    dq_conn_connected(r);
    if (r->state == DQ_CONN_TLS)
        want_write(r, true); /* the handshake speaks first */
}

static void go_on_with_handshake(dq_redis *r)
{
    bool wants_write = false;
    dureq_error err, why;
    int rc = dq_tls_handshake(r->tls, &wants_write, &err);

    if (rc < 0) {
        (void)dq_fail(&why, rc, "%s: %s", r->address, err.msg);
        dq_conn_lost(r, &why);
        return;
    }
    want_write(r, rc == 0 && wants_write);
    if (rc == 1)
        dq_conn_secured(r);
}

/* ---- bytes ---- */

/* Bytes moved; 0: not now; negative: over. */
static ssize_t write_some(dq_redis *r, const char *ptr, size_t len, dureq_error *err)
{
    ssize_t n;

    if (r->tls)
        return dq_tls_write(r->tls, ptr, len, err);
    n = send(r->fd, ptr, len, MSG_NOSIGNAL);
    if (n >= 0)
        return n;
    if (errno == EAGAIN || errno == EINTR)
        return 0;
    return dq_fail_errno(err, DUREQ_EUNAVAILABLE, errno, "connection broken");
}

static ssize_t read_some(dq_redis *r, void *out, size_t cap, dureq_error *err)
{
    ssize_t n;

    if (r->tls)
        return dq_tls_read(r->tls, out, cap, err);
    n = recv(r->fd, out, cap, 0);
    if (n > 0)
        return n;
    if (n == 0)
        return dq_fail(err, DUREQ_EUNAVAILABLE, "closed by the server");
    if (errno == EAGAIN || errno == EINTR)
        return 0;
    return dq_fail_errno(err, DUREQ_EUNAVAILABLE, errno, "connection broken");
}

static void lose_with_address(dq_redis *r, const dureq_error *err)
{
    dureq_error why;

    (void)dq_fail(&why, err->code, "%s: %s", r->address, err->msg);
    why.sys_errno = err->sys_errno;
    dq_conn_lost(r, &why);
}

/* Writes from *sent on. 1: all of it; 0: the socket is full; negative: lost (and said so). */
static int write_buffer(dq_redis *r, const dq_buf *b, size_t len, size_t *sent)
{
    dureq_error err;

    while (*sent < len) {
        ssize_t n = write_some(r, b->ptr + *sent, len - *sent, &err);

        if (n < 0) {
            lose_with_address(r, &err);
            return (int)n;
        }
        if (n == 0)
            return 0;
        *sent += (size_t)n;
        /* A plain socket that took less is full; TLS takes a record or so at a time. */
        if (!r->tls && *sent < len)
            return 0;
    }
    return 1;
}

static void tidy_output(dq_redis *r)
{
    if (r->sent == r->out.len) {
        if (r->out.cap > OUT_IDLE_CAP_MAX)
            dq_buf_deinit(&r->out);
        dq_buf_clear(&r->out);
        r->sent = r->mark = 0;
    } else if (r->sent >= COMPACT_MIN && r->sent >= r->out.len / 2) {
        dq_buf_consume(&r->out, r->sent);
        r->mark -= r->sent;
        r->sent = 0;
    }
}

void dq_socket_flush(dq_redis *r)
{
    int rc = 1;

    if (r->fd < 0 || r->state < DQ_CONN_GREETING)
        return;
    if (r->hello.sent < r->hello.out.len)
        rc = write_buffer(r, &r->hello.out, r->hello.out.len, &r->hello.sent);
    if (rc == 1 && r->state == DQ_CONN_READY) {
        rc = write_buffer(r, &r->out, r->mark, &r->sent);
        if (rc >= 0)
            tidy_output(r);
    }
    if (rc >= 0)
        want_write(r, rc == 0);
}

/* Pushes that came inside a reply, told before it. False when the connection is over. */
static bool take_inner_pushes(dq_redis *r, const dureq_str *pushes, size_t n)
{
    dq_resp_parser *parser;

    if (dq_resp_parser_create(&parser) < 0)
        return true; /* lost, as messages may be */
    for (size_t i = 0; i < n && r->fd >= 0; i++) {
        size_t used;
        dq_reply push;

        if (dq_resp_parse(parser, pushes[i].ptr, pushes[i].len, &used, &push, NULL) == 1)
            dq_conn_take_reply(r, push);
    }
    dq_resp_parser_destroy(parser);
    return r->fd >= 0;
}

/* False when the connection is over. */
static bool take_replies(dq_redis *r)
{
    dq_inbox *in = &r->in;

    while (r->fd >= 0 && in->start < in->end) {
        const char *unread = in->buf->data + in->start;
        dureq_str pushes[DQ_RESP_PUSHES_MAX];
        size_t used, n_pushes;
        dq_reply reply;
        dureq_error err;
        int rc = dq_resp_parse(r->parser, unread, in->end - in->start, &used, &reply, &err);

        if (rc == 0)
            break;
        if (rc < 0) {
            lose_with_address(r, &err);
            return false;
        }
        in->start += used;
        r->raw = dureq_str_of(unread, used);
        n_pushes = dq_resp_parser_pushes(r->parser, unread, pushes);
        if (n_pushes > 0 && !take_inner_pushes(r, pushes, n_pushes))
            return false;
        dq_conn_take_reply(r, reply);
    }
    return r->fd >= 0;
}

/* False when the connection is over; *ret_more: there may be more to read. */
static bool read_once(dq_redis *r, size_t *ret_got, bool *ret_more)
{
    size_t room = dq_inbox_reserve(&r->in);
    dureq_error err;
    ssize_t n;

    *ret_got = 0;
    *ret_more = false;
    if (room == 0) {
        (void)dq_fail_nomem(&err);
        lose_with_address(r, &err);
        return false;
    }
    n = read_some(r, r->in.buf->data + r->in.end, room, &err);
    if (n < 0) {
        lose_with_address(r, &err);
        return false;
    }
    if (n == 0)
        return true;
    dq_inbox_added(&r->in, (size_t)n);
    r->last_byte_us = dq_loop_now_us(r->loop);
    *ret_got = (size_t)n;
    *ret_more = r->tls || (size_t)n == room; /* a plain socket that gave less is empty */
    return take_replies(r);
}

static void read_replies(dq_redis *r)
{
    size_t total = 0, got;
    bool more = true;

    while (more && total < READ_BUDGET) {
        if (!read_once(r, &got, &more))
            return;
        total += got;
    }
    /* Bytes that OpenSSL already took from the socket make no event. */
    if (more && r->tls && dq_tls_has_pending(r->tls))
        dq_loop_defer(r->loop, &r->read_more);
}

void dq_socket_on_read_more(dq_deferred *d)
{
    dq_redis *r = dq_container_of(d, dq_redis, read_more);

    dq_conn_pin(r);
    if (r->fd >= 0)
        read_replies(r);
    dq_conn_unpin(r);
}

static void on_socket(evutil_socket_t fd, short what, void *arg)
{
    dq_redis *r = arg;

    (void)fd;
    dq_conn_pin(r);
    switch (r->state) {
    case DQ_CONN_CONNECTING:
        if (what & EV_WRITE)
            finish_connect(r);
        break;
    case DQ_CONN_TLS: go_on_with_handshake(r); break;
    case DQ_CONN_GREETING:
    case DQ_CONN_READY:
        if (what & EV_READ)
            read_replies(r);
        else
            dq_socket_flush(r);
        break;
    case DQ_CONN_WAITING:
    case DQ_CONN_CLOSED: break;
    }
    dq_conn_unpin(r);
}
