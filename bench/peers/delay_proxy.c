/* SPDX-License-Identifier: Apache-2.0 */
/* A longer way to Redis:  delay_proxy SERVER-SOCKET OWN-SOCKET MICROSECONDS

   Listens on a Unix socket and passes everything on to another, half of the time later each way. Nothing waits for anything else: what a
   connection says while earlier bytes are on their way arrives just as much later, as on a real network. One thread; stands alone, so that
   bench/peers/run can compile it with nothing but a C compiler. Ends by a signal. */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define PAIRS_MAX   500
#define CHUNK       65536
#define PENDING_MAX (64 << 20) /* bytes on their way in one direction; then its reader waits */

typedef struct chunk {
    struct chunk *next;
    int64_t due_us;
    size_t len, at;
    char bytes[];
} chunk;

typedef struct way {
    chunk *head, *tail;
    size_t pending;
} way;

typedef struct pair {
    int fds[2];  /* client, server */
    way ways[2]; /* by the side that is read */
} pair;

static pair pairs[PAIRS_MAX];
static int n_pairs, listener;
static int64_t half_us;
static const char *server_path;

static int64_t now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * INT64_C(1000000) + t.tv_nsec / 1000;
}

static int fail(const char *what)
{
    fprintf(stderr, "delay_proxy: %s: %s\n", what, strerror(errno));
    return 1;
}

static bool address_of(const char *path, struct sockaddr_un *ret)
{
    *ret = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(ret->sun_path))
        return false;
    memcpy(ret->sun_path, path, strlen(path) + 1);
    return true;
}

static void accept_one(void)
{
    struct sockaddr_un a;
    int client = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK), server;

    if (client < 0)
        return;
    server = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (n_pairs == PAIRS_MAX || !address_of(server_path, &a) || connect(server, (struct sockaddr *)&a, sizeof(a)) < 0) {
        close(client);
        close(server);
        return;
    }
    pairs[n_pairs++] = (pair){.fds = {client, server}};
}

static void drop(int i)
{
    for (int side = 0; side < 2; side++) {
        while (pairs[i].ways[side].head) {
            chunk *c = pairs[i].ways[side].head;

            pairs[i].ways[side].head = c->next;
            free(c);
        }
        close(pairs[i].fds[side]);
    }
    pairs[i] = pairs[--n_pairs];
}

/* False: the connection is over. */
static bool take(pair *p, int side)
{
    static char bytes[CHUNK];
    ssize_t got = recv(p->fds[side], bytes, sizeof(bytes), MSG_DONTWAIT);
    way *w = &p->ways[side];
    chunk *c;

    if (got < 0)
        return errno == EAGAIN || errno == EINTR;
    c = got > 0 ? malloc(sizeof(*c) + (size_t)got) : NULL;
    if (!c)
        return false;
    *c = (chunk){.due_us = now_us() + half_us, .len = (size_t)got};
    memcpy(c->bytes, bytes, (size_t)got);
    if (w->tail)
        w->tail->next = c;
    else
        w->head = c;
    w->tail = c;
    w->pending += c->len;
    return true;
}

/* Passes on what is due. *ret_blocked: the receiver is slow. */
static bool give(pair *p, int side, int64_t now, bool *ret_blocked)
{
    way *w = &p->ways[side];

    while (w->head && w->head->due_us <= now) {
        chunk *c = w->head;
        ssize_t put = send(p->fds[1 - side], c->bytes + c->at, c->len - c->at, MSG_NOSIGNAL | MSG_DONTWAIT);

        *ret_blocked = put < 0 && (errno == EAGAIN || errno == EINTR);
        if (put < 0)
            return *ret_blocked;
        c->at += (size_t)put;
        w->pending -= (size_t)put;
        if (c->at < c->len)
            continue;
        w->head = c->next;
        if (!w->head)
            w->tail = NULL;
        free(c);
    }
    return true;
}

/* Gives what is due and says what to wait for; *until falls to the next due time. */
static bool prepare(pair *p, struct pollfd *polled, int64_t now, int64_t *until)
{
    for (int side = 0; side < 2; side++)
        polled[side] = (struct pollfd){.fd = p->fds[side]};
    for (int side = 0; side < 2; side++) {
        bool blocked = false;

        if (!give(p, side, now, &blocked))
            return false;
        if (p->ways[side].pending < PENDING_MAX)
            polled[side].events |= POLLIN;
        if (blocked)
            polled[1 - side].events |= POLLOUT;
        else if (p->ways[side].head && p->ways[side].head->due_us < *until)
            *until = p->ways[side].head->due_us;
    }
    return true;
}

static void turn(void)
{
    static struct pollfd polled[1 + 2 * PAIRS_MAX];
    int64_t now = now_us(), until = now + 1000000;
    struct timespec wait;
    int n;

    for (int i = 0; i < n_pairs; i++)
        if (!prepare(&pairs[i], &polled[1 + 2 * i], now, &until))
            drop(i--);
    polled[0] = (struct pollfd){.fd = listener, .events = POLLIN};
    n = n_pairs;
    now = now_us();
    until = until > now ? until - now : 0;
    wait = (struct timespec){.tv_sec = until / 1000000, .tv_nsec = until % 1000000 * 1000};
    if (ppoll(polled, (nfds_t)(1 + 2 * n), &wait, NULL) <= 0)
        return;
    for (int i = n - 1; i >= 0; i--) /* from the end: drop puts the last one, already done, in the place of a dropped one */
        for (int side = 0; side < 2; side++)
            if ((polled[1 + 2 * i + side].revents & (POLLIN | POLLHUP | POLLERR)) && !take(&pairs[i], side)) {
                drop(i);
                break;
            }
    if (polled[0].revents)
        accept_one();
}

int main(int argc, char **argv)
{
    struct sockaddr_un a;

    if (argc != 4 || !address_of(argv[2], &a))
        return fprintf(stderr, "usage: delay_proxy SERVER-SOCKET OWN-SOCKET MICROSECONDS\n"), 2;
    server_path = argv[1];
    half_us = strtoll(argv[3], NULL, 10) / 2; /* lint: allow: stands alone, without our parsers */
    listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (listener < 0 || bind(listener, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(listener, 128) < 0)
        return fail(argv[2]);
    for (;;)
        turn();
}
