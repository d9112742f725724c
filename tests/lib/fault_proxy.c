/* SPDX-License-Identifier: Apache-2.0 */
#include "fault_proxy.h"

#include "base/clock.h"
#include "base/mutex.h"
#include "fault_wait.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define PAIRS_MAX 64
#define TICK_MS   2
#define CHUNK     65536

/* What was read of one direction and not written yet. */
typedef struct pipe_buf {
    char bytes[CHUNK];
    size_t n, at;
    int64_t not_before_us;
} pipe_buf;

typedef struct pair {
    int fds[2]; /* client, server; by fault_way the one that is read from */
    pipe_buf bufs[2];
} pair;

struct fault_proxy {
    char server_socket[128], own_socket[128], url[160];
    int listener; /* of the thread; -1: none */
    pthread_t thread;
    pair *pairs[PAIRS_MAX];
    int n_pairs;
    atomic_bool stop, hold, cut_all;
    _Atomic(fault_refusal) refusal;
    atomic_int delay_ms;
    atomic_long cut_in[2]; /* bytes until the ordered cut; 0: none */
    atomic_long connections, cuts, bytes[2];
};

static struct sockaddr_un address_of(const char *path)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};

    if (strlen(path) >= sizeof a.sun_path)
        fault_die("too long for a socket: %s", path);
    memcpy(a.sun_path, path, strlen(path) + 1);
    return a;
}

static int open_socket(int flags)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);

    if (fd < 0)
        fault_die("socket: %s", strerror(errno));
    return fd;
}

/* ---- connections ---- */

static void close_pair(fault_proxy *p, int i)
{
    close(p->pairs[i]->fds[0]);
    close(p->pairs[i]->fds[1]);
    dq_free(p->pairs[i]);
    p->pairs[i] = p->pairs[--p->n_pairs];
}

static void accept_one(fault_proxy *p)
{
    struct sockaddr_un a = address_of(p->server_socket);
    int client = accept4(p->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK), server;

    if (client < 0)
        return;
    server = open_socket(0);
    if (atomic_load(&p->refusal) != FAULT_TAKE || p->n_pairs == PAIRS_MAX ||
        connect(server, (struct sockaddr *)&a, sizeof a) < 0) {
        close(client);
        close(server);
        return;
    }
    pair *c = dq_calloc(1, sizeof *c);
    c->fds[FAULT_TO_SERVER] = client;
    c->fds[FAULT_TO_CLIENT] = server;
    p->pairs[p->n_pairs++] = c;
    atomic_fetch_add(&p->connections, 1);
}

/* How many of n bytes may pass before the ordered cut; *ret_cut: it is due behind them. */
static size_t until_cut(fault_proxy *p, int way, size_t n, bool *ret_cut)
{
    long left = atomic_load(&p->cut_in[way]);

    *ret_cut = left > 0 && (size_t)left <= n;
    if (left <= 0)
        return n;
    n = *ret_cut ? (size_t)left : n;
    /* ordered again meanwhile: that order stands */
    (void)atomic_compare_exchange_strong(&p->cut_in[way], &left, left - (long)n);
    return n;
}

/* Takes what one side says. False: the connection is over. */
static bool read_side(fault_proxy *p, pair *c, int way)
{
    pipe_buf *b = &c->bufs[way];
    ssize_t got = recv(c->fds[way], b->bytes, sizeof b->bytes, MSG_DONTWAIT);

    if (got < 0)
        return errno == EAGAIN || errno == EINTR;
    if (got == 0)
        return false;
    b->n = (size_t)got;
    b->at = 0;
    b->not_before_us = dq_mono_us() + (way == FAULT_TO_CLIENT ? atomic_load(&p->delay_ms) * 1000L : 0);
    return true;
}

static bool write_side(fault_proxy *p, pair *c, int way)
{
    pipe_buf *b = &c->bufs[way];
    size_t left = b->n - b->at;
    bool cut;
    size_t n = until_cut(p, way, left, &cut);

    while (n > 0) {
        ssize_t put = send(c->fds[1 - way], b->bytes + b->at, n, MSG_NOSIGNAL);

        if (put < 0 && (errno == EAGAIN || errno == EINTR))
            continue; /* the reader is slow and not gone */
        if (put <= 0)
            return false;
        b->at += (size_t)put;
        n -= (size_t)put;
        atomic_fetch_add(&p->bytes[way], put);
    }
    if (cut)
        atomic_fetch_add(&p->cuts, 1);
    return !cut;
}

static bool is_due(fault_proxy *p, const pipe_buf *b)
{
    return b->at < b->n && !atomic_load(&p->hold) && dq_mono_us() >= b->not_before_us;
}

/* ---- the thread ---- */

static bool step_pair(fault_proxy *p, pair *c, const struct pollfd *polled)
{
    for (int way = 0; way < 2; way++) {
        if ((polled[way].revents & (POLLIN | POLLHUP | POLLERR)) && c->bufs[way].at == c->bufs[way].n && !atomic_load(&p->hold) &&
            !read_side(p, c, way))
            return false;
        if (is_due(p, &c->bufs[way]) && !write_side(p, c, way))
            return false;
    }
    return true;
}

static int fill_polls(fault_proxy *p, struct pollfd *polls)
{
    bool hold = atomic_load(&p->hold);

    polls[0] = (struct pollfd){.fd = p->listener, .events = POLLIN};
    for (int i = 0; i < p->n_pairs; i++)
        for (int way = 0; way < 2; way++) {
            const pipe_buf *b = &p->pairs[i]->bufs[way];

            polls[1 + 2 * i + way] = (struct pollfd){.fd = hold || b->at < b->n ? -1 : p->pairs[i]->fds[way], .events = POLLIN};
        }
    return 1 + 2 * p->n_pairs;
}

static void listen_anew(fault_proxy *p)
{
    struct sockaddr_un a = address_of(p->own_socket);

    (void)unlink(p->own_socket);
    p->listener = open_socket(SOCK_NONBLOCK);
    if (bind(p->listener, (struct sockaddr *)&a, sizeof a) < 0 || listen(p->listener, PAIRS_MAX) < 0)
        fault_die("cannot listen on %s: %s", p->own_socket, strerror(errno));
}

static void open_or_close_listener(fault_proxy *p)
{
    bool wanted = atomic_load(&p->refusal) != FAULT_NO_LISTENER;

    if (wanted && p->listener < 0)
        listen_anew(p);
    if (!wanted && p->listener >= 0) {
        close(p->listener);
        p->listener = -1;
    }
}

static void *run(void *userdata)
{
    fault_proxy *p = userdata;
    struct pollfd polls[1 + 2 * PAIRS_MAX];

    while (!atomic_load(&p->stop)) {
        open_or_close_listener(p);
        int n = fill_polls(p, polls);

        if (poll(polls, (nfds_t)n, TICK_MS) < 0)
            continue;
        bool all = atomic_exchange(&p->cut_all, false);
        for (int i = p->n_pairs - 1; i >= 0; i--)
            if (all || !step_pair(p, p->pairs[i], &polls[1 + 2 * i]))
                close_pair(p, i);
        if (polls[0].revents)
            accept_one(p);
    }
    while (p->n_pairs > 0)
        close_pair(p, 0);
    return NULL;
}

fault_proxy *fault_proxy_start(const char *server_socket, const char *own_socket)
{
    fault_proxy *p = dq_calloc(1, sizeof *p);

    (void)snprintf(p->server_socket, sizeof p->server_socket, "%s", server_socket);
    (void)snprintf(p->own_socket, sizeof p->own_socket, "%s", own_socket);
    (void)snprintf(p->url, sizeof p->url, "unix://%s", own_socket);
    listen_anew(p);
    if (dq_thread_start(&p->thread, "proxy", 0, run, p, NULL) < 0)
        fault_die("the proxy's thread did not start");
    return p;
}

void fault_proxy_stop(fault_proxy *p)
{
    atomic_store(&p->stop, true);
    (void)pthread_join(p->thread, NULL);
    if (p->listener >= 0)
        close(p->listener);
    (void)unlink(p->own_socket);
    dq_free(p);
}

const char *fault_proxy_url(const fault_proxy *p)
{
    return p->url;
}

void fault_proxy_cut_at(fault_proxy *p, fault_way way, long n)
{
    atomic_store(&p->cut_in[way], n);
}

bool fault_proxy_has_cut(fault_proxy *p)
{
    return atomic_load(&p->cut_in[0]) == 0 && atomic_load(&p->cut_in[1]) == 0;
}

void fault_proxy_cut_all(fault_proxy *p)
{
    atomic_store(&p->cut_all, true);
}

void fault_proxy_hold(fault_proxy *p, bool hold)
{
    atomic_store(&p->hold, hold);
}

void fault_proxy_refuse(fault_proxy *p, fault_refusal how)
{
    atomic_store(&p->refusal, how);
}

bool fault_proxy_is_refused(const fault_proxy *p)
{
    struct sockaddr_un a = address_of(p->own_socket);
    int fd = open_socket(0);
    bool is_refused = connect(fd, (struct sockaddr *)&a, sizeof a) < 0 && errno == ECONNREFUSED;

    close(fd);
    return is_refused;
}

void fault_proxy_delay(fault_proxy *p, int ms)
{
    atomic_store(&p->delay_ms, ms);
}

fault_proxy_stats fault_proxy_get_stats(fault_proxy *p)
{
    return (fault_proxy_stats){
        .connections = atomic_load(&p->connections),
        .cuts = atomic_load(&p->cuts),
        .bytes = {atomic_load(&p->bytes[0]), atomic_load(&p->bytes[1])},
    };
}
