/* SPDX-License-Identifier: Apache-2.0 */
/* What a request costs the daemon that answers it: processor time of the process that holds the server, over connections that stay open. A few
   connections ask at a time, each for the next thing when it has its answer, as programs do. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "rig.h"
#include "stats.h"

#define API_CONNS      8
#define API_REQUESTS   20000
#define API_WARM_UP    2000
#define API_LINES      50000 /* jobs of a body of lines */
#define API_ANSWER_MAX 16384
#define API_LIMIT_MS   30000

typedef struct api_rig {
    rig rig;
    role_proc api, node;
    int fds[API_CONNS];
    char socket[400];
    char job[32]; /* id of one that completed */
} api_rig;

static void api_close(api_rig *a)
{
    for (int i = 0; i < API_CONNS; i++)
        if (a->fds[i] > 0)
            close(a->fds[i]);
    role_deinit(&a->api);
    role_deinit(&a->node);
    rig_close(&a->rig);
}

#define API_AUTO DQ_CLEANUP(api_close) api_rig

/* ---- HTTP, as far as this needs it ---- */

static int dial(const char *path, int *ret, dureq_error *err)
{
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    int fd;

    if (strlen(path) >= sizeof(sun.sun_path))
        return dq_fail(err, DUREQ_EINVAL, "the socket's path is too long");
    memcpy(sun.sun_path, path, strlen(path) + 1);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    *ret = fd;
    if (fd < 0 || connect(fd, (struct sockaddr *)&sun, sizeof(sun)) < 0)
        return dq_fail_errno(err, DUREQ_EUNAVAILABLE, errno, "cannot connect to %s", path);
    return 0;
}

static int put_all(int fd, const char *bytes, size_t len, dureq_error *err)
{
    for (size_t at = 0; at < len;) {
        ssize_t n = write(fd, bytes + at, len - at);

        if (n < 0)
            return dq_fail_errno(err, DUREQ_EUNAVAILABLE, errno, "cannot write a request");
        at += (size_t)n;
    }
    return 0;
}

/* One answer with a Content-Length, which is of this status. */
static int take_answer(int fd, const char *status, char body[API_ANSWER_MAX], dureq_error *err)
{
    char text[API_ANSWER_MAX];
    size_t len = 0, whole = 0;

    while (whole == 0 || len < whole) {
        ssize_t n = read(fd, text + len, sizeof(text) - 1 - len);
        unsigned n_body = 0;
        const char *end, *length;

        if (n <= 0)
            return dq_fail_errno(err, DUREQ_EUNAVAILABLE, errno, "the connection was closed within an answer");
        len += (size_t)n;
        text[len] = '\0';
        end = strstr(text, "\r\n\r\n");
        length = strstr(text, "Content-Length: ");
        if (end && length && sscanf(length, "Content-Length: %u", &n_body) == 1)
            whole = (size_t)(end + 4 - text) + n_body;
        if (whole >= sizeof(text))
            return dq_fail(err, DUREQ_ETOOLARGE, "the answer is too long for this row");
    }
    if (strncmp(text, "HTTP/1.1 ", 9) != 0 || strncmp(text + 9, status, 3) != 0)
        return dq_fail(err, DUREQ_EPROTO, "not %s: %.120s", status, text);
    memcpy(body, strstr(text, "\r\n\r\n") + 4, len - (size_t)(strstr(text, "\r\n\r\n") + 4 - text) + 1);
    return 0;
}

/* n requests over all connections; each has one under way. */
static int ask_many(api_rig *a, const char *request, const char *status, int64_t n, dureq_error *err)
{
    struct pollfd p[API_CONNS];
    char body[API_ANSWER_MAX];
    int64_t asked = 0, answered = 0;
    int rc = 0;

    for (int i = 0; rc == 0 && i < API_CONNS; i++, asked++) {
        p[i] = (struct pollfd){.fd = a->fds[i], .events = POLLIN};
        rc = put_all(a->fds[i], request, strlen(request), err);
    }
    while (rc == 0 && answered < asked) {
        if (poll(p, API_CONNS, API_LIMIT_MS) <= 0)
            return dq_fail(err, DUREQ_ETIMEOUT, "no answer in time");
        for (int i = 0; rc == 0 && i < API_CONNS; i++) {
            if (!(p[i].revents & (POLLIN | POLLHUP | POLLERR)))
                continue;
            rc = take_answer(a->fds[i], status, body, err);
            answered++;
            if (rc == 0 && asked < n && ++asked)
                rc = put_all(a->fds[i], request, strlen(request), err);
        }
    }
    return rc;
}

/* ---- the rows ---- */

static int api_open(api_rig *a, dureq_error *err)
{
    char address[420];
    int rc = rig_open(&a->rig, &(rig_options){.append_only = false}, err);

    if (rc < 0)
        return rc;
    (void)snprintf(a->socket, sizeof(a->socket), "%s/api.sock", test_redis_dir(a->rig.redis));
    (void)snprintf(address, sizeof(address), "--address=unix:%s", a->socket);
    rc = rig_start(&a->rig, &a->api, "api", err, address, NULL);
    for (int i = 0; rc == 0 && i < API_CONNS; i++)
        rc = dial(a->socket, &a->fds[i], err);
    return rc;
}

static int cpu_us(api_rig *a, double *ret, dureq_error *err)
{
    role_words usage = {.n = 0};
    int rc = role_ask(&a->api, &usage, err, "usage");

    *ret = role_get(&usage, "cpu_us", 0);
    return rc;
}

typedef struct api_run {
    double cpu_us, per_s; /* of a request */
} api_run;

static int measure(api_rig *a, const char *request, const char *status, int64_t n, api_run *ret, dureq_error *err)
{
    double before = 0, after = 0;
    int64_t began = dq_mono_us();
    int rc = cpu_us(a, &before, err);

    if (rc == 0)
        rc = ask_many(a, request, status, n, err);
    ret->per_s = (double)n * 1e6 / (double)DQ_MAX(dq_mono_us() - began, 1);
    if (rc == 0)
        rc = cpu_us(a, &after, err);
    ret->cpu_us = (after - before) / (double)n;
    return rc;
}

static int median_of(bench_out *out, api_rig *a, const char *row, const char *request, const char *status, dureq_error *err)
{
    BENCH_SAMPLES_AUTO cpu = {0};
    BENCH_SAMPLES_AUTO rate = {0};
    api_run run;
    int rc = measure(a, request, status, API_WARM_UP, &run, err);

    for (size_t k = 0; rc == 0 && bench_again(out, k); k++) {
        rc = measure(a, request, status, API_REQUESTS, &run, err);
        bench_samples_add(&cpu, run.cpu_us);
        bench_samples_add(&rate, run.per_s);
    }
    if (rc == 0)
        bench_put(out, row, bench_median(&cpu), "%.0f requests/s over %d connections; median of %zu", bench_median(&rate),
                  API_CONNS, cpu.n);
    return rc;
}

/* POST of a job of BENCH_PAYLOAD bytes. */
static void put_enqueue(dq_buf *out)
{
    char payload[BENCH_PAYLOAD + 1];
    DQ_BUF_AUTO body = {0};

    memset(payload, 'x', BENCH_PAYLOAD - 2);
    payload[BENCH_PAYLOAD - 2] = '\0';
    dq_buf_append_fmt(&body, "{\"task_type\":\"%s\",\"payload\":\"%s\"}", BENCH_TASK_TYPE, payload);
    dq_buf_append_fmt(
        out, "POST /api/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
        body.len, body.ptr);
}

static int complete_one(api_rig *a, dureq_error *err)
{
    DQ_BUF_AUTO request = {0};
    char body[API_ANSWER_MAX];
    const char *id;
    int rc = rig_start(&a->rig, &a->node, "node", err, NULL);

    put_enqueue(&request);
    if (rc == 0)
        rc = put_all(a->fds[0], request.ptr, request.len, err);
    if (rc == 0)
        rc = take_answer(a->fds[0], "201", body, err);
    if (rc < 0)
        return rc;
    id = strstr(body, "\"id\":\"");
    (void)snprintf(a->job, sizeof(a->job), "%.20s", id ? id + 6 : "");
    return role_ask(&a->node, NULL, err, "wait completed=1");
}

static int run_get(bench_out *out, dureq_error *err)
{
    API_AUTO a = {.job = ""};
    DQ_BUF_AUTO request = {0};
    int rc = api_open(&a, err);

    if (rc == 0)
        rc = complete_one(&a, err);
    dq_buf_append_fmt(&request, "GET /api/jobs/%s HTTP/1.1\r\nHost: localhost\r\n\r\n", a.job);
    return rc < 0 ? rc : median_of(out, &a, "api_get", request.ptr, "200", err);
}

static int run_enqueue(bench_out *out, dureq_error *err)
{
    API_AUTO a = {.job = ""};
    DQ_BUF_AUTO request = {0};
    int rc = api_open(&a, err);

    put_enqueue(&request);
    return rc < 0 ? rc : median_of(out, &a, "api_enqueue", request.ptr, "201", err);
}

/* One body of many lines; the answer, of as many, is read until it ends. */
static int send_lines(api_rig *a, const dq_buf *request, dureq_error *err)
{
    int fd = -1, rc = dial(a->socket, &fd, err);
    struct pollfd p = {.fd = fd};
    char last[101] = "";
    size_t at = 0, n = 0;

    while (rc == 0) { /* it answers while it reads */
        char text[65536];
        ssize_t got;

        p.events = (short)(POLLIN | (at < request->len ? POLLOUT : 0));
        if (poll(&p, 1, API_LIMIT_MS) <= 0) {
            rc = dq_fail(err, DUREQ_ETIMEOUT, "no answer in time");
            break;
        }
        if (p.revents & POLLOUT) {
            got = send(fd, request->ptr + at, request->len - at, MSG_DONTWAIT);
            at += got > 0 ? (size_t)got : 0;
        }
        if (!(p.revents & (POLLIN | POLLHUP)))
            continue;
        got = recv(fd, text, sizeof(text), MSG_DONTWAIT);
        if (got <= 0)
            break;
        (void)snprintf(last, sizeof(last), "%.*s", (int)DQ_MIN(got, 100), text + got - DQ_MIN(got, 100));
        for (char *s = text; (s = memchr(s, '{', (size_t)(text + got - s))); s++)
            n++;
    }
    if (fd >= 0)
        close(fd);
    return rc == 0 && n != API_LINES ? dq_fail(err, DUREQ_EPROTO, "%zu of %d jobs were answered: %.100s", n, API_LINES, last)
                                     : rc;
}

static int run_lines(bench_out *out, dureq_error *err)
{
    API_AUTO a = {.job = ""};
    BENCH_SAMPLES_AUTO rate = {0};
    BENCH_SAMPLES_AUTO cpu = {0};
    DQ_BUF_AUTO request = {0};
    DQ_BUF_AUTO body = {0};
    char payload[BENCH_PAYLOAD + 1];
    int rc = api_open(&a, err);

    memset(payload, 'x', BENCH_PAYLOAD - 2);
    payload[BENCH_PAYLOAD - 2] = '\0';
    for (int i = 0; i < API_LINES; i++)
        dq_buf_append_fmt(&body, "{\"task_type\":\"%s\",\"payload\":\"%s\"}\n", BENCH_TASK_TYPE, payload);
    dq_buf_append_fmt(&request,
                      "POST /api/jobs HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/x-ndjson\r\n"
                      "Content-Length: %zu\r\n\r\n",
                      body.len);
    dq_buf_append_buf(&request, &body);
    for (size_t k = 0; rc == 0 && bench_again(out, k); k++) {
        double before = 0, after = 0;
        int64_t began;

        rc = cpu_us(&a, &before, err);
        began = dq_mono_us();
        if (rc == 0)
            rc = send_lines(&a, &request, err);
        bench_samples_add(&rate, API_LINES * 1e6 / (double)(dq_mono_us() - began));
        if (rc == 0)
            rc = cpu_us(&a, &after, err);
        bench_samples_add(&cpu, (after - before) / API_LINES);
    }
    if (rc == 0)
        bench_put(out, "api_lines", bench_median(&rate), "%.2f us of the daemon's processor a job; median of %zu",
                  bench_median(&cpu), rate.n);
    return rc;
}

#define ROW(name, what, unit, target, at_least) \
    (const bench_row[])                         \
    {                                           \
        {#name, what, unit, target, at_least},  \
        {                                       \
            NULL, NULL, NULL, 0, false          \
        }                                       \
    }

const bench_group bench_api_groups[] = {
    {"api_get", ROW(api_get, "daemon's CPU, GET of a job", "us", 50, false), run_get, false},
    {"api_enqueue", ROW(api_enqueue, "daemon's CPU, POST of a job", "us", 60, false), run_enqueue, false},
    {"api_lines", ROW(api_lines, "jobs by NDJSON over HTTP", "jobs/s", 100000, true), run_lines, false},
    {NULL, NULL, NULL, false},
};
