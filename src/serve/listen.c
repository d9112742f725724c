/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses that are listened on, and whom they let in. When all places are taken, the connection that has waited longest without a request
   under way gives up its place: whoever opens thousands and sends nothing keeps nobody out. */
#include "serve/serve_internal.h"

#include <event2/event.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG     1024
#define ACCEPTS_MAX 32 /* of a turn */
#define AGAIN_US    100000

/* ---- addresses ---- */

typedef union any_address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    struct sockaddr_un un;
} any_address;

static bool is_loopback(const any_address *a)
{
    if (a->any.sa_family == AF_INET)
        return ntohl(a->v4.sin_addr.s_addr) >> 24 == 127;
    if (a->any.sa_family == AF_INET6)
        return IN6_IS_ADDR_LOOPBACK(&a->v6.sin6_addr) ||
               (IN6_IS_ADDR_V4MAPPED(&a->v6.sin6_addr) && a->v6.sin6_addr.s6_addr[12] == 127);
    return true;
}

static int parse_number(const char *host, uint16_t port, any_address *ret, socklen_t *ret_len)
{
    *ret = (any_address){0};
    if (inet_pton(AF_INET, host, &ret->v4.sin_addr) == 1) {
        ret->v4.sin_family = AF_INET;
        ret->v4.sin_port = htons(port);
        *ret_len = sizeof ret->v4;
        return 0;
    }
    if (inet_pton(AF_INET6, host, &ret->v6.sin6_addr) != 1)
        return -1;
    ret->v6.sin6_family = AF_INET6;
    ret->v6.sin6_port = htons(port);
    *ret_len = sizeof ret->v6;
    return 0;
}

/* "127.0.0.1:8080", "[::1]:8080", "localhost:8080", ":8080" for all. */
static int parse_tcp(const char *text, any_address *ret, socklen_t *ret_len, dureq_error *err)
{
    const char *colon = strrchr(text, ':');
    char host[INET6_ADDRSTRLEN + 2];
    size_t n = colon ? (size_t)(colon - text) : 0;
    int64_t port;

    if (!colon || n >= sizeof host || dq_parse_i64(dureq_str_from(colon + 1), 0, 65535, &port) < 0)
        return dq_fail(err, DUREQ_EINVAL,
                       "'%.100s' is no address to listen on: it takes 127.0.0.1:8080, [::1]:8080 or unix:/path", text);
    memcpy(host, text, n);
    host[n] = '\0';
    if (n >= 2 && host[0] == '[' && host[n - 1] == ']') {
        host[n - 1] = '\0';
        memmove(host, host + 1, n - 1);
    }
    if (strcmp(host, "localhost") == 0)
        memcpy(host, "127.0.0.1", sizeof "127.0.0.1");
    if (n == 0 || strcmp(host, "*") == 0)
        memcpy(host, "::", sizeof "::"); /* both families */
    if (parse_number(host, (uint16_t)port, ret, ret_len) < 0)
        return dq_fail(err, DUREQ_EINVAL, "'%.100s' is no address to listen on: it takes a number or localhost before the port",
                       text);
    return 0;
}

static void put_name(dq_listener *l)
{
    any_address a = {0};
    socklen_t len = sizeof a;
    char host[INET6_ADDRSTRLEN] = "?";

    if (getsockname(l->fd, &a.any, &len) < 0)
        return;
    if (a.any.sa_family == AF_INET) {
        (void)inet_ntop(AF_INET, &a.v4.sin_addr, host, sizeof host);
        (void)snprintf(l->name, sizeof l->name, "%s:%u", host, ntohs(a.v4.sin_port));
    } else {
        (void)inet_ntop(AF_INET6, &a.v6.sin6_addr, host, sizeof host);
        (void)snprintf(l->name, sizeof l->name, "[%s]:%u", host, ntohs(a.v6.sin6_port));
    }
}

static int open_socket(dq_listener *l, const any_address *a, socklen_t len, const char *text, dureq_error *err)
{
    const int on = 1;

    l->fd = socket(a->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (l->fd < 0)
        return dq_fail_errno(err, DUREQ_EIO, errno, "cannot listen on %.100s", text);
    if (a->any.sa_family != AF_UNIX)
        (void)setsockopt(l->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(l->fd, &a->any, len) < 0 || listen(l->fd, BACKLOG) < 0)
        return dq_fail_errno(err, DUREQ_EIO, errno, "cannot listen on %.100s", text);
    return 0;
}

/* A socket that nobody listens on any more is taken away; no other file is. */
static int clear_path(const struct sockaddr_un *un, dureq_error *err)
{
    struct stat st;
    int fd, rc;

    if (lstat(un->sun_path, &st) < 0)
        return 0;
    if (!S_ISSOCK(st.st_mode))
        return dq_fail(err, DUREQ_EIO, "cannot listen on unix:%.100s: a file that is no socket is there", un->sun_path);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    rc = fd < 0 ? -1 : connect(fd, (const struct sockaddr *)un, sizeof *un);
    if (fd >= 0)
        (void)close(fd);
    if (rc == 0 || errno == EAGAIN)
        return dq_fail(err, DUREQ_EIO, "cannot listen on unix:%.100s: another program does", un->sun_path);
    (void)unlink(un->sun_path);
    return 0;
}

static int open_unix(dq_listener *l, const char *path, dureq_error *err)
{
    any_address a = {.un = {.sun_family = AF_UNIX}};
    mode_t before;
    int rc;

    if (!*path || strlen(path) >= sizeof a.un.sun_path)
        return dq_fail(err, DUREQ_EINVAL, "the path of a socket takes 1 to %zu bytes: '%.120s'", sizeof a.un.sun_path - 1, path);
    memcpy(a.un.sun_path, path, strlen(path));
    rc = clear_path(&a.un, err);
    if (rc < 0)
        return rc;
    before = umask(0177); /* nobody else, from its first moment */
    rc = open_socket(l, &a, sizeof a.un, path, err);
    (void)umask(before);
    l->is_local = true;
    (void)snprintf(l->name, sizeof l->name, "unix:%s", path);
    l->path = rc < 0 ? NULL : dq_strdup(path);
    return rc;
}

int dq_listener_open(dq_listener *l, dq_server *s, const char *address, const char *stays_local, dureq_error *err)
{
    any_address a;
    socklen_t len = 0;
    int rc;

    *l = (dq_listener){.server = s, .fd = -1};
    if (strncmp(address, "unix:", 5) == 0)
        return open_unix(l, strncmp(address, "unix:///", 8) == 0 ? address + 7 : address + 5, err);
    rc = parse_tcp(address, &a, &len, err);
    if (rc == 0 && !is_loopback(&a) && stays_local)
        rc = dq_fail(err, DUREQ_EPERM, "%.60s can be reached by others: %s", address, stays_local);
    if (rc == 0)
        rc = open_socket(l, &a, len, address, err);
    if (rc == 0)
        put_name(l);
    return rc;
}

void dq_listener_close(dq_listener *l)
{
    dq_listener_off(l);
    if (l->fd >= 0)
        (void)close(l->fd);
    l->fd = -1;
    if (l->path)
        (void)unlink(l->path);
    dq_free(DQ_TAKE(l->path));
}

/* ---- who is counted ---- */

void dq_listen_left(dq_server *s, dq_peer *peer)
{
    if (!peer || --peer->n > 0)
        return;
    (void)dq_map_remove(&s->peers, dureq_str_of(peer->key, peer->key_len));
    dq_free(peer);
}

/* By the address, of IPv6 by its network of 64 bits. NULL: none is counted, or no memory. */
static dq_peer *count_peer(dq_server *s, const any_address *a)
{
    const void *bytes = a->any.sa_family == AF_INET ? (const void *)&a->v4.sin_addr : (const void *)&a->v6.sin6_addr;
    size_t len = a->any.sa_family == AF_INET ? 4 : IN6_IS_ADDR_V4MAPPED(&a->v6.sin6_addr) ? 16 : 8;
    dq_peer *p = dq_map_get(&s->peers, dureq_str_of(bytes, len));

    if (!p) {
        p = dq_calloc(1, sizeof *p);
        if (!p)
            return NULL;
        memcpy(p->key, bytes, len);
        p->key_len = len;
        if (dq_map_put(&s->peers, dureq_str_of(p->key, p->key_len), p) < 0) {
            dq_free(p);
            return NULL;
        }
    }
    p->n++;
    return p;
}

/* ---- accepting ---- */

static void refuse(dq_server *s, int fd, const char *text)
{
    dq_http_fault fault = {503, text};
    DQ_BUF_AUTO out = {0};

    dq_answer_fault(s, &fault, /*has_no_body=*/false, &out);
    if (!dq_buf_failed(&out) && !s->tls) { /* in clear it would be no answer where TLS is spoken */
        ssize_t n = send(fd, out.ptr, out.len, MSG_NOSIGNAL | MSG_DONTWAIT);

        (void)n; /* it is told if it can be */
    }
    (void)close(fd);
}

static bool make_place(dq_server *s)
{
    if (dq_list_empty(&s->waiting))
        return false;
    dq_conn_close(dq_container_of(s->waiting.next, dq_conn, wait_link));
    return true;
}

static void put_peer_name(int fd, const any_address *a, char out[DQ_SERVE_ACTOR_MAX])
{
    char host[INET6_ADDRSTRLEN] = "?";
    struct ucred cred = {0};
    socklen_t len = sizeof cred;

    if (a->any.sa_family == AF_INET)
        (void)inet_ntop(AF_INET, &a->v4.sin_addr, host, sizeof host);
    else if (a->any.sa_family == AF_INET6)
        (void)inet_ntop(AF_INET6, &a->v6.sin6_addr, host, sizeof host);
    if (a->any.sa_family == AF_UNIX && getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) == 0)
        (void)snprintf(out, DQ_SERVE_ACTOR_MAX, "unix:%u", (unsigned)cred.uid);
    else
        (void)snprintf(out, DQ_SERVE_ACTOR_MAX, "http:%s", host);
}

static void admit(dq_listener *l, int fd, const any_address *a)
{
    dq_server *s = l->server;
    dq_origin from = {.is_local = l->is_local, .is_proxy = l->is_local || dq_proxies_has(s->proxies, &a->any)};
    bool is_counted = !from.is_proxy && !is_loopback(a); /* a proxy asks for many */
    const int on = 1;

    from.peer = is_counted ? count_peer(s, a) : NULL;
    if (is_counted && (!from.peer || from.peer->n > s->per_address_max)) {
        dq_listen_left(s, from.peer);
        refuse(s, fd, "too many connections come from this address");
        return;
    }
    if (s->n_conns >= s->connections_max && !make_place(s)) {
        dq_listen_left(s, from.peer);
        refuse(s, fd, "too many connections are open");
        return;
    }
    if (!l->is_local)
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    put_peer_name(fd, a, from.name);
    dq_conn_open(s, fd, &from);
}

/* No descriptor is free: one that waits gives up its own; else the spare one takes the caller in to be told, and then it is quiet for a moment. */
static void no_descriptor(dq_listener *l)
{
    dq_server *s = l->server;
    int fd;

    if (make_place(s))
        return;
    (void)close(s->spare_fd);
    fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd >= 0)
        refuse(s, fd, "this process has no file descriptor left");
    s->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    dq_listener_off(l);
    dq_timer_set(&s->again, AGAIN_US);
}

static void on_accept(evutil_socket_t lfd, short what, void *arg)
{
    dq_listener *l = arg;

    (void)what;
    for (int i = 0; i < ACCEPTS_MAX; i++) {
        any_address a = {0};
        socklen_t len = sizeof a;
        int fd = accept4(lfd, &a.any, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);

        if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)) {
            no_descriptor(l);
            return;
        }
        if (fd < 0 && errno != ECONNABORTED && errno != EINTR)
            return;
        if (fd >= 0)
            admit(l, fd, &a);
    }
}

void dq_listener_on(dq_listener *l)
{
    if (l->is_on || l->fd < 0)
        return;
    (void)event_assign(&l->event, dq_loop_base(l->server->loop), l->fd, EV_READ | EV_PERSIST, on_accept, l);
    l->is_on = event_add(&l->event, NULL) == 0;
}

void dq_listener_off(dq_listener *l)
{
    if (l->is_on)
        (void)event_del(&l->event);
    l->is_on = false;
}
