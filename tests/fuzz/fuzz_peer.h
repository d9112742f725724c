/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* For targets that play the server: a connection as it is behind connect(), over a pair of sockets whose other end is the target's. */

#include "fuzz.h"

#include "redis/conn_internal.h"

#include <event2/event.h>

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

typedef struct fuzz_peer {
    dq_redis *redis;
    int fd;     /* the server's end; -1: none */
    dq_buf got; /* what the client wrote, not looked at yet */
} fuzz_peer;

static inline void fuzz_peer_ignore(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    (void)arg;
}

/* The connection's timers are the target's: how long an input takes must not decide what comes of it. */
static inline void fuzz_peer_stop_clock(fuzz_peer *p)
{
    dq_timer_clear(&p->redis->state_timer);
    dq_timer_clear(&p->redis->reply_timer);
}

/* In place of the socket that begin_attempt would open. */
static inline void fuzz_peer_connect(fuzz_peer *p)
{
    dq_redis *r = p->redis;
    int fds[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) < 0)
        abort();
    if (p->fd >= 0)
        (void)close(p->fd);
    p->fd = fds[1];
    dq_buf_clear(&p->got);
    dq_resp_parser_reset(r->parser);
    dq_inbox_clear(&r->in);
    r->state = DQ_CONN_CONNECTING;
    r->fd = fds[0];
    r->ev_write = event_new(dq_loop_base(r->loop), r->fd, EV_WRITE | EV_PERSIST, fuzz_peer_ignore, NULL);
    if (!r->ev_write)
        abort();
    dq_conn_connected(r);
}

/* Reads what is there into p->got. */
static inline void fuzz_peer_hear(fuzz_peer *p)
{
    ssize_t n = 1;

    while (p->fd >= 0 && n > 0) {
        char *room = dq_buf_reserve(&p->got, 65536);

        if (!room)
            abort();
        n = recv(p->fd, room, 65536, 0);
        p->got.len += n > 0 ? (size_t)n : 0;
    }
}

/* All that the client has to write. */
static inline void fuzz_peer_flush(fuzz_peer *p)
{
    dq_redis *r = p->redis;

    do {
        dq_socket_flush(r);
        fuzz_peer_hear(p);
    } while (r->fd >= 0 && r->wants_write);
}

/* The bytes arrive; false when the connection did not live to read all of them. */
static inline bool fuzz_peer_say(fuzz_peer *p, const char *bytes, size_t len)
{
    dq_redis *r = p->redis;

    while (len > 0 && r->fd >= 0) {
        ssize_t n = send(p->fd, bytes, len, MSG_NOSIGNAL);

        if (n <= 0)
            abort(); /* what was written before has been read */
        bytes += n;
        len -= (size_t)n;
        dq_socket_on_read_more(&r->read_more);
    }
    return r->fd >= 0;
}

/* Takes whole commands off p->got, and asserts that there is nothing else. How many. */
static inline size_t fuzz_peer_commands(fuzz_peer *p)
{
    dq_resp_parser *parser = NULL;
    dureq_error err = {0};
    size_t n = 0, at = 0, used;
    dq_reply r;

    if (dq_resp_parser_create(&parser) < 0)
        abort();
    while (at < p->got.len && dq_resp_parse(parser, p->got.ptr + at, p->got.len - at, &used, &r, &err) == 1) {
        assert(dq_reply_type(r) == DQ_RESP_ARRAY && dq_reply_len(r) > 0);
        assert(dq_reply_type(dq_reply_first(r)) == DQ_RESP_STRING);
        at += used;
        n++;
    }
    assert(at == p->got.len);
    dq_buf_clear(&p->got);
    dq_resp_parser_destroy(parser);
    return n;
}

static inline void fuzz_peer_deinit(fuzz_peer *p)
{
    if (p->fd >= 0)
        (void)close(p->fd);
    p->fd = -1;
    dq_buf_deinit(&p->got);
}
