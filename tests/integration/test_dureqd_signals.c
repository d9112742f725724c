/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"
#include "base/clock.h"
#include "fault_wait.h"
#include "test_daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

/* Signals at moments when the daemon waits for something else. Each of these waits is 10 s or longer by itself. */

#define SOON_US (5 * 1000000)

static void end_soon(test_child *c, int sig, int code)
{
    int64_t begun_us = dq_mono_us();
    int got;

    assert_int_equal(kill(c->pid, sig), 0);
    got = test_child_end(c);
    if (got != code || dq_mono_us() - begun_us > SOON_US)
        fail_msg("code %d after %lld us: %s", got, (long long)(dq_mono_us() - begun_us), c->out.ptr ? c->out.ptr : "");
    test_child_free(c);
}

/* ---- the configuration is a pipe ---- */

typedef struct pipe_wait {
    const char *path;
    int fd;
} pipe_wait;

static bool has_reader(void *userdata)
{
    pipe_wait *w = userdata;

    w->fd = open(w->path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    return w->fd >= 0;
}

static void a_signal_ends_it_while_it_reads_a_pipe(void **state)
{
    static const char *const more[] = {NULL, "--check"};

    (void)state;
    for (size_t i = 0; i < DQ_ARRAY_LEN(more); i++) {
        DQ_BUF_AUTO path = {0};
        pipe_wait w;
        test_child c;

        test_daemon_path(more[i] ? "checked.fifo" : "config.fifo", &path);
        assert_int_equal(mkfifo(path.ptr, 0600), 0);
        w = (pipe_wait){.path = path.ptr};
        test_child_start(&c, (const char *const[]){"--config", path.ptr, more[i], NULL});
        assert_true(fault_wait(TEST_DAEMON_WAIT_MS, has_reader, &w));
        end_soon(&c, i == 0 ? SIGTERM : SIGINT, 128 + (i == 0 ? SIGTERM : SIGINT));
        (void)close(w.fd);
    }
}

/* ---- a server that says nothing ---- */

static int listen_at(const char *path)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(strlen(path) < sizeof addr.sun_path);
    memcpy(addr.sun_path, path, strlen(path) + 1);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof addr), 0);
    assert_int_equal(listen(fd, 8), 0);
    return fd;
}

static void a_signal_ends_a_start_that_waits_for_a_silent_server(void **state)
{
    DQ_BUF_AUTO path = {0};
    DQ_BUF_AUTO url = {0};
    struct pollfd p = {.events = POLLIN};
    test_child c;

    (void)state;
    test_daemon_path("silent.sock", &path);
    dq_buf_append_fmt(&url, "unix://%s", path.ptr);
    p.fd = listen_at(path.ptr);
    test_child_start(&c, (const char *const[]){"--redis", url.ptr, NULL});
    assert_int_equal(poll(&p, 1, TEST_DAEMON_WAIT_MS), 1); /* it has called */
    end_soon(&c, SIGTERM, 0);
    (void)close(p.fd);
}

static void a_signal_ends_a_start_without_any_server(void **state)
{
    test_child c;

    (void)state;
    test_child_start(&c, (const char *const[]){"--redis", "unix:///no/such/socket", "--log-level", "debug", NULL});
    test_child_wait_for(&c, "redis.unreachable");
    end_soon(&c, SIGINT, 0);
}

/* ---- a server program that hangs ---- */

static void write_script(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    (void)fputs(text, f);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(chmod(path, 0700), 0);
}

static bool file_is_there(void *path)
{
    return access(path, F_OK) == 0;
}

static void a_signal_ends_a_start_whose_server_program_hangs(void **state)
{
    DQ_BUF_AUTO path = {0};
    DQ_BUF_AUTO flag = {0};
    DQ_BUF_AUTO text = {0};
    test_child c;

    (void)state;
    test_daemon_path("hangs", &path);
    test_daemon_path("hangs.runs", &flag);
    dq_buf_append_fmt(&text, "#!/bin/sh\n: >%s\nexec /bin/sleep 1000\n", flag.ptr);
    write_script(path.ptr, text.ptr);
    test_child_start(&c, (const char *const[]){"--redis-server", path.ptr, NULL});
    assert_true(fault_wait(TEST_DAEMON_WAIT_MS, file_is_there, flag.ptr));
    end_soon(&c, SIGTERM, 0);
}

/* ---- a server that stops answering ---- */

static int server_pid(const test_child *c)
{
    const char *at = strstr(c->out.ptr, "\"event\":\"embedded.ready\"");
    const char *pid = at ? strstr(at, "\"pid\":") : NULL;

    assert_non_null(pid);
    return atoi(pid + 6);
}

/* Its own server stands: neither the jobs can be given back, nor does it end by SIGTERM. */
static void a_second_signal_shortens_every_wait(void **state)
{
    int64_t begun_us;
    dureq_job_id id;
    test_daemon d;

    (void)state;
    test_daemon_start(&d, "stands", "t=exec:sleep 1000");
    test_daemon_connect(&d);
    id = test_daemon_enqueue(&d, "t", "1");
    test_daemon_wait_running(&d, &id);
    assert_int_equal(kill(server_pid(&d.c), SIGSTOP), 0);
    begun_us = dq_mono_us();
    assert_int_equal(kill(d.c.pid, SIGTERM), 0);
    test_child_wait_for(&d.c, "\"event\":\"daemon.stopping\"");
    assert_int_equal(kill(d.c.pid, SIGTERM), 0);
    test_child_wait_for(&d.c, "\"event\":\"daemon.stopping_now\"");
    assert_int_equal(test_child_end(&d.c), 0);
    assert_true(dq_mono_us() - begun_us < 4 * SOON_US);
    test_child_wait_for(&d.c, "\"event\":\"embedded.killed\"");
    test_daemon_free(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_signal_ends_it_while_it_reads_a_pipe),
        cmocka_unit_test(a_signal_ends_a_start_that_waits_for_a_silent_server),
        cmocka_unit_test(a_signal_ends_a_start_without_any_server),
        cmocka_unit_test(a_signal_ends_a_start_whose_server_program_hangs),
        cmocka_unit_test(a_second_signal_shortens_every_wait),
    };

    return cmocka_run_group_tests(tests, test_daemon_make_dir, test_daemon_remove_dir);
}
