/* SPDX-License-Identifier: Apache-2.0 */
#include "wire.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define READ_BYTES (256 * 1024)

int wire_open(wire *w, const char *socket_path, dureq_error *err)
{
    struct sockaddr_un sun = {.sun_family = AF_UNIX};

    *w = (wire){.fd = -1};
    if (strlen(socket_path) >= sizeof(sun.sun_path))
        return dq_fail(err, DUREQ_EINVAL, "the socket's path is too long");
    memcpy(sun.sun_path, socket_path, strlen(socket_path) + 1);
    w->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (w->fd < 0 || connect(w->fd, (struct sockaddr *)&sun, sizeof(sun)) < 0)
        return dq_fail_errno(err, DUREQ_EUNAVAILABLE, errno, "cannot connect to %s", socket_path);
    if (dq_resp_parser_create(&w->parser) < 0)
        return dq_fail_nomem(err);
    return 0;
}

void wire_close(wire *w)
{
    if (w->fd > 0)
        close(w->fd);
    dq_buf_deinit(&w->in);
    dq_resp_parser_destroy(w->parser);
    *w = (wire){.fd = -1};
}

int wire_send(wire *w, dq_buf *out, dureq_error *err)
{
    int rc = dq_buf_finish(out, err);

    if (rc < 0)
        return rc;
    for (size_t at = 0; at < out->len;) {
        ssize_t n = write(w->fd, out->ptr + at, out->len - at);

        if (n < 0)
            return dq_fail_errno(err, DUREQ_EUNAVAILABLE, errno, "cannot write to the server");
        at += (size_t)n;
    }
    dq_buf_clear(out);
    return 0;
}

static int fill(wire *w, dureq_error *err)
{
    char *room = dq_buf_reserve(&w->in, READ_BYTES);
    ssize_t n;

    if (!room)
        return dq_fail_nomem(err);
    n = read(w->fd, room, READ_BYTES);
    if (n < 0)
        return dq_fail_errno(err, DUREQ_EUNAVAILABLE, errno, "cannot read from the server");
    if (n == 0)
        return dq_fail(err, DUREQ_EUNAVAILABLE, "the server closed the connection");
    w->in.len += (size_t)n;
    return 0;
}

/* Bytes are dropped only when the buffer was used up or the next reply is not whole: else each reply would move all after it. */
int wire_next(wire *w, dq_reply *ret, dureq_error *err)
{
    size_t used;
    int rc;

    for (;;) {
        rc = dq_resp_parse(w->parser, w->in.ptr + w->taken, w->in.len - w->taken, &used, ret, err);
        if (rc < 0)
            return rc;
        if (rc == 1)
            break;
        dq_buf_consume(&w->in, w->taken);
        w->taken = 0;
        rc = fill(w, err);
        if (rc < 0)
            return rc;
    }
    w->taken += used;
    return dq_reply_error(*ret, err);
}

int wire_call(wire *w, dq_buf *out, size_t n, dq_reply *ret, dureq_error *err)
{
    dq_reply reply;
    int rc = wire_send(w, out, err);

    for (size_t i = 0; i < n && rc == 0; i++)
        rc = wire_next(w, ret ? ret : &reply, err);
    return rc;
}

void wire_put(dq_buf *out, const char *words)
{
    dureq_str rest = dureq_str_from(words);
    size_t n = 1;

    for (const char *c = words; *c; c++)
        n += *c == ' ';
    dq_resp_begin(out, n);
    while (n--)
        dq_resp_arg(out, dq_str_cut(&rest, ' '));
}

int wire_words(wire *w, const char *words, dq_reply *ret, dureq_error *err)
{
    DQ_BUF_AUTO out = {0};

    wire_put(&out, words);
    return wire_call(w, &out, 1, ret, err);
}
