/* SPDX-License-Identifier: Apache-2.0 */
/* Many who listen over WebSockets, each to some of what happens: how much a daemon hands out, how late, and what one who listens costs it. Over loopback, all
   clients in this process, by one epoll. The types of the jobs are those of nobody, so that the event of each is its acceptance and nothing else. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <dureq/client.h>

#include "base/mutex.h"
#include "rig.h"
#include "stats.h"

#define WS_CLIENTS  5000
#define WS_TYPES    50
#define WS_ROUND_MS 100 /* a call for jobs, two of each type: 1,000 a second, each for 100 who listen */
#define WS_PER_TYPE 2
#define WS_SECONDS  10
#define WS_LATE_MS  20000 /* what comes later counts as that */
#define WS_LIMIT_MS 30000
#define WS_CARRY    2048 /* of a frame that came in part */

static const bench_row ws_rows[] = {
    {"ws_rate", "frames a second to 5,000 WebSockets with filters", "frames/s", 100000, true},
    {"ws_late_p99", "from what happened to the frame, p99", "ms", 100, false},
    {"ws_memory", "resident memory of the daemon for each", "KB", 16, false},
    {NULL, NULL, NULL, 0, false},
};

typedef struct listener {
    int fd;
    size_t n_carry;
    char carry[WS_CARRY];
} listener;

typedef struct ws_rig {
    rig rig;
    role_proc api;
    dureq_client *client;
    listener *all;
    int epoll;
    pthread_t producer;
    bool has_producer;
    atomic_bool is_over, has_failed; /* has_failed: a call of the producer */
    int64_t n_frames, n_positions;
    int64_t by_late_ms[WS_LATE_MS + 1];
} ws_rig;

static void ws_close(ws_rig *w)
{
    atomic_store(&w->is_over, true);
    if (w->has_producer)
        (void)pthread_join(w->producer, NULL);
    for (int i = 0; w->all && i < WS_CLIENTS; i++)
        if (w->all[i].fd > 0)
            (void)close(w->all[i].fd);
    dq_free(w->all);
    if (w->epoll > 0)
        (void)close(w->epoll);
    dureq_client_destroy(w->client);
    role_deinit(&w->api);
    rig_close(&w->rig);
}

#define WS_AUTO DQ_CLEANUP(ws_close) ws_rig

/* ---- who listens ---- */

static int say(int fd, int type, dureq_error *err)
{
    char text[400];
    int n = snprintf(text, sizeof(text),
                     "GET /api/ws?types=job.enqueued&type=load.%d HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
                     "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n",
                     type);

    return write(fd, text, (size_t)n) == n ? 0 : dq_fail_errno(err, DUREQ_EUNAVAILABLE, errno, "cannot write a handshake");
}

/* Until the head of the answer is there; frames that came with it are carried. */
static int hear(listener *l, dureq_error *err)
{
    char *end = NULL;

    while (!end) {
        ssize_t n = read(l->fd, l->carry + l->n_carry, sizeof(l->carry) - 1 - l->n_carry);

        if (n <= 0)
            return dq_fail_errno(err, DUREQ_EUNAVAILABLE, errno, "a WebSocket was closed");
        l->n_carry += (size_t)n;
        l->carry[l->n_carry] = '\0';
        end = strstr(l->carry, "\r\n\r\n");
    }
    if (strncmp(l->carry, "HTTP/1.1 101", 12) != 0)
        return dq_fail(err, DUREQ_EPROTO, "no WebSocket: %.200s", l->carry);
    l->n_carry -= (size_t)(end + 4 - l->carry);
    memmove(l->carry, end + 4, l->n_carry);
    return 0;
}

static int join(ws_rig *w, int i, int port, dureq_error *err)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = &w->all[i]};
    listener *l = &w->all[i];
    int rc;

    l->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (l->fd < 0 || connect(l->fd, (struct sockaddr *)&to, sizeof(to)) < 0)
        return dq_fail_errno(err, DUREQ_EUNAVAILABLE, errno, "client %d cannot connect", i);
    rc = say(l->fd, i % WS_TYPES, err);
    if (rc == 0)
        rc = hear(l, err);
    if (rc == 0 && epoll_ctl(w->epoll, EPOLL_CTL_ADD, l->fd, &e) < 0)
        rc = dq_fail_errno(err, DUREQ_EUNAVAILABLE, errno, "epoll");
    return rc;
}

/* Seconds and milliseconds of "2026-11-30T13:21:39.442Z", as ms within the minute; -1: there is none. */
static int64_t ms_of(const char *text, size_t len)
{
    static const char word[] = "\"timestamp\":\"";
    const char *at = memmem(text, len, word, sizeof(word) - 1);

    if (!at || (size_t)(at - text) + sizeof(word) + 23 > len)
        return -1;
    at += sizeof(word) - 1;
    return (at[17] - '0') * 10000 + (at[18] - '0') * 1000 + (at[20] - '0') * 100 + (at[21] - '0') * 10 + (at[22] - '0');
}

static void take_frame(ws_rig *w, const char *text, size_t len, int64_t now_ms)
{
    int64_t at_ms = ms_of(text, len);
    int64_t late_ms;

    if (at_ms < 0) {
        w->n_positions++;
        return;
    }
    late_ms = (now_ms % 60000 - at_ms + 60000) % 60000;
    if (late_ms > 59000) /* the clock of the event was ahead by a little */
        late_ms = 0;
    w->n_frames++;
    w->by_late_ms[DQ_MIN(late_ms, (int64_t)WS_LATE_MS)]++;
}

/* All whole frames; returns how many bytes they are. */
static size_t take_frames(ws_rig *w, const char *bytes, size_t len, int64_t now_ms)
{
    size_t at = 0;

    while (len - at >= 2) {
        size_t n = (unsigned char)bytes[at + 1], head = 2;

        if (n == 126 && len - at < 4)
            break;
        if (n == 126) {
            n = (size_t)(unsigned char)bytes[at + 2] << 8 | (unsigned char)bytes[at + 3];
            head = 4;
        }
        if (len - at < head + n)
            break;
        if (bytes[at] == (char)0x81)
            take_frame(w, bytes + at + head, n, now_ms);
        at += head + n;
    }
    return at;
}

static int64_t wall_ms(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int take(ws_rig *w, listener *l, dureq_error *err)
{
    static char bytes[1 << 17];
    size_t len = l->n_carry, done;
    ssize_t n;

    memcpy(bytes, l->carry, len);
    n = read(l->fd, bytes + len, sizeof(bytes) - len);
    if (n <= 0)
        return dq_fail_errno(err, DUREQ_EUNAVAILABLE, errno, "a WebSocket was closed");
    len += (size_t)n;
    done = take_frames(w, bytes, len, wall_ms());
    if (len - done > sizeof(l->carry))
        return dq_fail(err, DUREQ_ETOOLARGE, "a frame is too long for this row");
    l->n_carry = len - done;
    memcpy(l->carry, bytes + done, l->n_carry);
    return 0;
}

static int listen_for(ws_rig *w, int64_t us, dureq_error *err)
{
    int64_t until_us = dq_mono_us() + us;
    int rc = 0;

    while (rc == 0 && dq_mono_us() < until_us) {
        struct epoll_event found[256];
        int n = epoll_wait(w->epoll, found, 256, 20);

        for (int i = 0; rc == 0 && i < n; i++)
            rc = take(w, found[i].data.ptr, err);
    }
    return rc;
}

/* ---- what happens ---- */

static void *produce(void *arg)
{
    ws_rig *w = arg;
    dureq_job_spec specs[WS_TYPES * WS_PER_TYPE];
    dureq_enqueue_result results[WS_TYPES * WS_PER_TYPE];
    char types[WS_TYPES][16];
    int64_t next_us = dq_mono_us();

    memset(specs, 0, sizeof(specs));
    for (int i = 0; i < WS_TYPES; i++)
        (void)snprintf(types[i], sizeof(types[i]), "load.%d", i);
    for (int i = 0; i < WS_TYPES * WS_PER_TYPE; i++)
        specs[i] = (dureq_job_spec){.task_type = types[i % WS_TYPES], .payload = DQ_STR_LIT("1")};
    while (!atomic_load(&w->is_over)) {
        if (dureq_client_enqueue_many(w->client, specs, WS_TYPES * WS_PER_TYPE, results, NULL) < 0)
            atomic_store(&w->has_failed, true);
        next_us += WS_ROUND_MS * 1000;
        role_sleep_until_us(next_us);
    }
    return NULL;
}

/* ---- the rows ---- */

static int raise_files(dureq_error *err)
{
    struct rlimit files;

    if (getrlimit(RLIMIT_NOFILE, &files) < 0)
        return dq_fail_errno(err, DUREQ_EUNAVAILABLE, errno, "getrlimit");
    files.rlim_cur = files.rlim_max;
    if (files.rlim_max < WS_CLIENTS + 200 || setrlimit(RLIMIT_NOFILE, &files) < 0)
        return dq_fail(err, DUREQ_EUNAVAILABLE, "it needs %d open files, and the limit is %llu", WS_CLIENTS + 200,
                       (unsigned long long)files.rlim_max);
    return 0;
}

static int memory_kb(ws_rig *w, double *ret, dureq_error *err)
{
    role_words usage = {.n = 0};
    int rc = role_ask(&w->api, &usage, err, "usage");

    *ret = role_get(&usage, "rss_kb", 0);
    return rc;
}

static int ws_open(ws_rig *w, dureq_error *err)
{
    dureq_client_options o = dureq_client_options_init();
    char url[400];
    int rc = raise_files(err);

    if (rc == 0)
        rc = rig_open(&w->rig, &(rig_options){.append_only = false}, err);
    if (rc == 0)
        rc = rig_start(&w->rig, &w->api, "api", err, "--address=127.0.0.1:0", "--connections=6000", NULL);
    if (rc < 0)
        return rc;
    (void)snprintf(url, sizeof(url), "%s", test_redis_url(w->rig.redis));
    o.redis_url = url;
    rc = dureq_client_create(&o, &w->client, err);
    w->epoll = epoll_create1(EPOLL_CLOEXEC);
    w->all = dq_calloc(WS_CLIENTS, sizeof(*w->all));
    return rc == 0 && (!w->all || w->epoll < 0) ? dq_fail_nomem(err) : rc;
}

static int join_all(ws_rig *w, dureq_error *err)
{
    role_words port = {.n = 0};
    int rc = role_ask(&w->api, &port, err, "port");

    for (int i = 0; rc == 0 && i < WS_CLIENTS; i++)
        rc = join(w, i, (int)role_get(&port, "port", 0), err);
    return rc;
}

static double quantile(const ws_rig *w, double q)
{
    int64_t left = (int64_t)((double)w->n_frames * q);

    for (int64_t ms = 0; ms < WS_LATE_MS; ms++) {
        left -= w->by_late_ms[ms];
        if (left < 0)
            return (double)ms;
    }
    return WS_LATE_MS;
}

static int run_ws(bench_out *out, dureq_error *err)
{
    WS_AUTO w = {.epoll = 0};
    double bare_kb = 0, full_kb = 0, idle_kb = 0, cpu_us = 0;
    role_words usage = {.n = 0};
    int64_t began_us = 0;
    int rc = ws_open(&w, err);

    if (rc == 0)
        rc = memory_kb(&w, &bare_kb, err);
    if (rc == 0)
        rc = join_all(&w, err);
    if (rc == 0)
        rc = memory_kb(&w, &idle_kb, err);
    if (rc == 0)
        rc = dq_thread_start(&w.producer, "bench-producer", 1 << 18, produce, &w, err);
    w.has_producer = rc == 0;
    if (rc == 0)
        rc = listen_for(&w, 2000000, err); /* warm */
    if (rc == 0)
        rc = role_ask(&w.api, &usage, err, "usage");
    cpu_us = role_get(&usage, "cpu_us", 0);
    w.n_frames = 0;
    memset(w.by_late_ms, 0, sizeof(w.by_late_ms));
    began_us = dq_mono_us();
    if (rc == 0)
        rc = listen_for(&w, WS_SECONDS * 1000000LL, err);
    if (rc == 0 && atomic_load(&w.has_failed))
        rc = dq_fail(err, DUREQ_EUNAVAILABLE, "jobs could not be enqueued");
    if (rc == 0) {
        double per_s = (double)w.n_frames * 1e6 / (double)(dq_mono_us() - began_us);

        usage = (role_words){.n = 0};
        rc = role_ask(&w.api, &usage, err, "usage");
        full_kb = role_get(&usage, "rss_kb", 0);
        bench_put(out, "ws_rate", per_s, "%d clients, each told one of %d types; daemon: %.1f us a frame", WS_CLIENTS, WS_TYPES,
                  (role_get(&usage, "cpu_us", 0) - cpu_us) / (double)DQ_MAX(w.n_frames, (int64_t)1));
        bench_put(out, "ws_late_p99", quantile(&w, 0.99), "p50 %.0f ms, p999 %.0f ms, of %lld frames", quantile(&w, 0.5),
                  quantile(&w, 0.999), (long long)w.n_frames);
        bench_put(out, "ws_memory", (full_kb - bare_kb) / WS_CLIENTS,
                  "under that load; %.1f KB before it began; the daemon has %.0f KB without them",
                  (idle_kb - bare_kb) / WS_CLIENTS, bare_kb);
    }
    return rc;
}

const bench_group bench_ws_groups[] = {{"ws", ws_rows, run_ws, false}, {NULL, NULL, NULL, false}};
