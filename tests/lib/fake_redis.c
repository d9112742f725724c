/* SPDX-License-Identifier: Apache-2.0 */
#include "fake_redis.h"

#include "base/mutex.h"
#include "redis/resp.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* One thread polls the listening socket, an eventfd and the connections. What others want of it they write down under `mu`
   and wake it; it answers by `cond`. Output is written blocking: clients under test read. */

enum { CONNECTIONS_MAX = 64, WORDS_MAX = 64 };

typedef struct peer_conn {
    int fd; /* -1: ended */
    int number;
    dq_buf in, out;
    dq_resp_parser *parser;
    size_t written;
} peer_conn;

struct fake_redis {
    fake_redis_options opts;
    char dir[64];
    char socket[96], url[128];
    int listener, wake;
    pthread_t thread;
    peer_conn conns[CONNECTIONS_MAX];
    int n_conns;

    dq_mutex mu; /* guards the rest */
    dq_cond cond;
    bool is_stopping, must_hang_up;
    dq_buf unasked;
    int accepted, commands;
    int steps_asked, steps_done;
    bool stepped_nothing;
};

static void __attribute__((noreturn)) die(const char *what)
{
    perror(what);
    abort();
}

/* ---- the usual answers ---- */

static void append_bulk(dq_buf *out, dureq_str s)
{
    dq_buf_append_fmt(out, "$%zu\r\n", s.len);
    dq_buf_append_str(out, s);
    dq_buf_append_text(out, "\r\n");
}

static bool is_word(dureq_str s, const char *text)
{
    return s.len == strlen(text) && strncasecmp(s.ptr, text, s.len) == 0;
}

static void answer_hello(const fake_redis *f, dq_buf *out)
{
    if (f->opts.no_hello) {
        dq_buf_append_text(out, "-ERR unknown command `HELLO`, with args beginning with: `3`, \r\n");
        return;
    }
    dq_buf_append_text(out, "%3\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n");
    append_bulk(out, dureq_str_from(f->opts.version));
    dq_buf_append_text(out, "$5\r\nproto\r\n:3\r\n");
}

static void answer_info(const fake_redis *f, dureq_str section, dq_buf *out)
{
    dq_buf text = {0};

    if (is_word(section, "server"))
        dq_buf_append_fmt(&text, "# Server\r\nredis_version:%s\r\nrun_id:%040d\r\n%s", f->opts.version, 4711,
                          f->opts.more_info ? f->opts.more_info : "");
    else if (!f->opts.no_memory)
        dq_buf_append_fmt(&text, "# Memory\r\nmaxmemory:0\r\nmaxmemory_policy:%s\r\n", f->opts.policy);
    append_bulk(out, dq_buf_str(&text));
    dq_buf_deinit(&text);
}

static void answer_usual(const fake_redis *f, const dureq_str *words, size_t n, dq_buf *out)
{
    if (is_word(words[0], "HELLO"))
        answer_hello(f, out);
    else if (is_word(words[0], "INFO") && n == 2)
        answer_info(f, words[1], out);
    else if (is_word(words[0], "PING"))
        dq_buf_append_text(out, "+PONG\r\n");
    else if (is_word(words[0], "ECHO") && n == 2)
        append_bulk(out, words[1]);
    else if (is_word(words[0], "AUTH") || is_word(words[0], "CLIENT") || is_word(words[0], "SELECT"))
        dq_buf_append_text(out, "+OK\r\n");
    else
        dq_buf_append_text(out, "-ERR unknown command\r\n");
}

/* ---- connections ---- */

static void end_conn(peer_conn *c)
{
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
    dq_buf_deinit(&c->in);
    dq_buf_deinit(&c->out);
    dq_resp_parser_destroy(c->parser);
    c->parser = NULL;
}

static void accept_conn(fake_redis *f)
{
    peer_conn *c;
    int fd = accept4(f->listener, NULL, NULL, SOCK_CLOEXEC);

    if (fd < 0)
        die("fake redis: accept");
    if (f->n_conns == CONNECTIONS_MAX)
        die("fake redis: too many connections");
    c = &f->conns[f->n_conns++];
    *c = (peer_conn){.fd = fd, .number = f->n_conns};
    if (dq_resp_parser_create(&c->parser) < 0)
        die("fake redis: parser");
    dq_mutex_lock(&f->mu);
    f->accepted++;
    dq_mutex_unlock(&f->mu);
}

/* Writes up to `len` bytes; a client that is gone ends the connection. */
static void write_out(fake_redis *f, peer_conn *c, size_t len)
{
    size_t left = len;

    if (f->opts.has_cut && c->number == 1)
        left = DQ_MIN(left, f->opts.cut_after - c->written);
    while (left > 0) {
        ssize_t n = send(c->fd, c->out.ptr, left, MSG_NOSIGNAL);

        if (n <= 0) {
            end_conn(c);
            return;
        }
        dq_buf_consume(&c->out, (size_t)n);
        c->written += (size_t)n;
        left -= (size_t)n;
    }
    if (f->opts.has_cut && c->number == 1 && c->written == f->opts.cut_after)
        end_conn(c);
}

static void take_command(fake_redis *f, peer_conn *c, dq_reply command)
{
    dureq_str words[WORDS_MAX];
    size_t n = DQ_MIN(dq_reply_len(command), (size_t)WORDS_MAX);

    if (n == 0)
        die("fake redis: an empty command");
    for (size_t i = 0; i < n; i++)
        words[i] = dq_reply_str(dq_reply_at(command, i));
    if (!f->opts.fn || !f->opts.fn(f->opts.userdata, c->number, words, n, &c->out))
        answer_usual(f, words, n, &c->out);
    dq_mutex_lock(&f->mu);
    f->commands++;
    dq_cond_broadcast(&f->cond);
    dq_mutex_unlock(&f->mu);
}

static void read_conn(fake_redis *f, peer_conn *c)
{
    char *room = dq_buf_reserve(&c->in, 65536);
    ssize_t n = room ? recv(c->fd, room, 65536, 0) : -1;
    int rc = 1;

    if (n <= 0) {
        end_conn(c);
        return;
    }
    c->in.len += (size_t)n;
    while (rc == 1 && c->in.len > 0) {
        size_t used;
        dq_reply command;

        rc = dq_resp_parse(c->parser, c->in.ptr, c->in.len, &used, &command, NULL);
        if (rc < 0)
            die("fake redis: the client does not speak RESP");
        if (rc == 1) {
            take_command(f, c, command);
            dq_buf_consume(&c->in, used);
        }
    }
    if (!f->opts.stepped)
        write_out(f, c, c->out.len);
}

/* ---- the thread ---- */

static void step(fake_redis *f)
{
    bool nothing = true;

    for (int i = 0; i < f->n_conns && nothing; i++)
        if (f->conns[i].fd >= 0 && f->conns[i].out.len > 0) {
            write_out(f, &f->conns[i], 1);
            nothing = false;
        }
    dq_mutex_lock(&f->mu);
    f->steps_done++;
    f->stepped_nothing = nothing;
    dq_cond_broadcast(&f->cond);
    dq_mutex_unlock(&f->mu);
}

static void send_unasked(fake_redis *f, dureq_str bytes)
{
    for (int i = 0; i < f->n_conns; i++) {
        peer_conn *c = &f->conns[i];

        if (c->fd < 0)
            continue;
        dq_buf_append_str(&c->out, bytes);
        if (!f->opts.stepped)
            write_out(f, c, c->out.len);
    }
}

/* What others asked for. False: stop. */
static bool obey(fake_redis *f)
{
    dq_buf unasked;
    bool hang_up, goes_on, wants_step;
    uint64_t n;

    if (read(f->wake, &n, sizeof(n)) < 0)
        die("fake redis: eventfd");
    dq_mutex_lock(&f->mu);
    unasked = f->unasked;
    f->unasked = (dq_buf){0};
    hang_up = f->must_hang_up;
    f->must_hang_up = false;
    goes_on = !f->is_stopping;
    wants_step = f->steps_asked > f->steps_done;
    dq_mutex_unlock(&f->mu);
    if (unasked.len)
        send_unasked(f, dq_buf_str(&unasked));
    dq_buf_deinit(&unasked);
    for (int i = 0; hang_up && i < f->n_conns; i++)
        end_conn(&f->conns[i]);
    if (wants_step)
        step(f);
    return goes_on;
}

static void *thread_main(void *arg)
{
    fake_redis *f = arg;
    bool goes_on = true;

    while (goes_on) {
        struct pollfd p[CONNECTIONS_MAX + 2];
        int n = f->n_conns;

        /* Ended ones have descriptor -1, which poll passes by. */
        for (int i = 0; i < n; i++)
            p[i] = (struct pollfd){.fd = f->conns[i].fd, .events = POLLIN};
        p[n] = (struct pollfd){.fd = f->wake, .events = POLLIN};
        p[n + 1] = (struct pollfd){.fd = f->listener, .events = POLLIN};
        if (poll(p, (nfds_t)n + 2, -1) < 0)
            die("fake redis: poll");
        for (int i = 0; i < n; i++)
            if (p[i].revents && f->conns[i].fd >= 0)
                read_conn(f, &f->conns[i]);
        if (p[n].revents)
            goes_on = obey(f);
        if (p[n + 1].revents)
            accept_conn(f);
    }
    return NULL;
}

static void wake(fake_redis *f)
{
    const uint64_t one = 1;

    if (write(f->wake, &one, sizeof(one)) < 0)
        die("fake redis: eventfd");
}

/* ---- life ---- */

static void listen_on_socket(fake_redis *f)
{
    struct sockaddr_un sun = {.sun_family = AF_UNIX};

    snprintf(f->dir, sizeof(f->dir), "/tmp/dureq-fake-XXXXXX");
    if (!mkdtemp(f->dir))
        die("fake redis: mkdtemp");
    snprintf(f->socket, sizeof(f->socket), "%s/s", f->dir);
    snprintf(f->url, sizeof(f->url), "unix://%s", f->socket);
    memcpy(sun.sun_path, f->socket, strlen(f->socket));
    f->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (f->listener < 0 || bind(f->listener, (struct sockaddr *)&sun, sizeof(sun)) < 0 || listen(f->listener, 64) < 0)
        die("fake redis: listen");
}

fake_redis *fake_redis_start(const fake_redis_options *opts)
{
    fake_redis *f = calloc(1, sizeof(*f));

    if (!f)
        die("fake redis");
    if (opts)
        f->opts = *opts;
    if (!f->opts.version)
        f->opts.version = "7.0.15";
    if (!f->opts.policy)
        f->opts.policy = "noeviction";
    dq_mutex_init(&f->mu);
    dq_cond_init(&f->cond);
    listen_on_socket(f);
    f->wake = eventfd(0, EFD_CLOEXEC);
    if (f->wake < 0 || dq_thread_start(&f->thread, "fake-redis", 0, thread_main, f, NULL) < 0)
        die("fake redis: thread");
    return f;
}

void fake_redis_stop(fake_redis *f)
{
    if (!f)
        return;
    dq_mutex_lock(&f->mu);
    f->is_stopping = true;
    dq_mutex_unlock(&f->mu);
    wake(f);
    pthread_join(f->thread, NULL);
    for (int i = 0; i < f->n_conns; i++)
        end_conn(&f->conns[i]);
    close(f->listener);
    close(f->wake);
    (void)unlink(f->socket);
    (void)rmdir(f->dir);
    dq_buf_deinit(&f->unasked);
    dq_cond_deinit(&f->cond);
    dq_mutex_deinit(&f->mu);
    free(f);
}

const char *fake_redis_url(const fake_redis *f)
{
    return f->url;
}

int fake_redis_connections(fake_redis *f)
{
    dq_mutex_lock(&f->mu);
    int n = f->accepted;
    dq_mutex_unlock(&f->mu);
    return n;
}

int fake_redis_commands(fake_redis *f)
{
    dq_mutex_lock(&f->mu);
    int n = f->commands;
    dq_mutex_unlock(&f->mu);
    return n;
}

bool fake_redis_step(fake_redis *f)
{
    dq_mutex_lock(&f->mu);
    int mine = ++f->steps_asked;
    dq_mutex_unlock(&f->mu);
    wake(f);
    dq_mutex_lock(&f->mu);
    while (f->steps_done < mine)
        dq_cond_wait(&f->cond, &f->mu);
    bool stepped = !f->stepped_nothing;
    dq_mutex_unlock(&f->mu);
    return stepped;
}

void fake_redis_send(fake_redis *f, dureq_str bytes)
{
    dq_mutex_lock(&f->mu);
    dq_buf_append_str(&f->unasked, bytes);
    dq_mutex_unlock(&f->mu);
    wake(f);
}

void fake_redis_hang_up(fake_redis *f)
{
    dq_mutex_lock(&f->mu);
    f->must_hang_up = true;
    dq_mutex_unlock(&f->mu);
    wake(f);
}
