/* SPDX-License-Identifier: Apache-2.0 */
/* The row's side of a role: start, ask, end. */
#include "role.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define OPTIONS_MAX  24
#define ANSWER_MS    (40 * 60 * 1000) /* a row has a limit of its own, and a long row none */
#define END_LIMIT_MS 10000

/* In the child. The pipes were made close-on-exec, so that it keeps no other role's. */
static void run_child(const char *role, const char *const *options, int in, int out, pid_t parent)
{
    const char *argv[OPTIONS_MAX + 4] = {"dureq-bench", "--role", role};
    size_t n = 3;

    for (size_t i = 0; options && options[i] && i < OPTIONS_MAX; i++)
        argv[n++] = options[i];
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent || dup2(in, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0)
        _exit(127);
    execv("/proc/self/exe", (char *const *)argv);
    _exit(127);
}

static int spawn(role_proc *p, const char *role, const char *const *options, dureq_error *err)
{
    int to[2], from[2];
    pid_t parent = getpid();

    if (pipe2(to, O_CLOEXEC) < 0)
        return dq_fail_errno(err, DUREQ_EIO, errno, "pipe");
    if (pipe2(from, O_CLOEXEC) < 0) {
        int saved = errno;

        close(to[0]);
        close(to[1]);
        return dq_fail_errno(err, DUREQ_EIO, saved, "pipe");
    }
    p->pid = fork();
    if (p->pid == 0)
        run_child(role, options, to[0], from[1], parent);
    close(to[0]);
    close(from[1]);
    p->in = to[1];
    p->out = from[0];
    if (p->pid < 0) {
        p->pid = 0;
        close(p->in);
        close(p->out);
        return dq_fail_errno(err, DUREQ_EIO, errno, "fork");
    }
    return 0;
}

int role_start(role_proc *p, const char *role, const char *const *options, dureq_error *err)
{
    int rc;

    *p = (role_proc){.pid = 0};
    snprintf(p->what, sizeof(p->what), "%s", role);
    rc = spawn(p, role, options, err);
    if (rc < 0)
        return rc;

    rc = role_wait(p, NULL, err);
    if (rc < 0)
        role_kill(p);
    return rc;
}

DUREQ_PRINTF(3, 0) static int tell(role_proc *p, dureq_error *err, const char *fmt, va_list args)
{
    char line[1024];
    int len = vsnprintf(line, sizeof(line) - 1, fmt, args);

    if (p->pid == 0)
        return dq_fail(err, DUREQ_ECLOSED, "%s does not run", p->what);
    if (len < 0 || (size_t)len >= sizeof(line) - 1)
        return dq_fail(err, DUREQ_ETOOLARGE, "a question of %d bytes", len);
    line[len++] = '\n';
    if (write(p->in, line, (size_t)len) != len)
        return dq_fail_errno(err, DUREQ_EIO, errno, "%s cannot be told", p->what);
    return 0;
}

int role_tell(role_proc *p, dureq_error *err, const char *fmt, ...)
{
    va_list args;
    int rc;

    va_start(args, fmt);
    rc = tell(p, err, fmt, args);
    va_end(args);
    return rc;
}

/* One line without its end. One question is under way at a time, so nothing follows the line. */
static int read_line(role_proc *p, char *line, size_t cap, dureq_error *err)
{
    size_t len = 0;

    for (;;) {
        struct pollfd poller = {.fd = p->out, .events = POLLIN};
        ssize_t got;

        if (poll(&poller, 1, ANSWER_MS) == 0)
            return dq_fail(err, DUREQ_ETIMEOUT, "%s does not answer", p->what);
        got = read(p->out, line + len, cap - 1 - len);
        if (got <= 0)
            return dq_fail(err, DUREQ_ECLOSED, "%s ended", p->what);
        len += (size_t)got;
        if (line[len - 1] == '\n') {
            line[len - 1] = '\0';
            return 0;
        }
        if (len == cap - 1)
            return dq_fail(err, DUREQ_EPROTO, "%s answers too much", p->what);
    }
}

int role_wait(role_proc *p, role_words *answer, dureq_error *err)
{
    char line[4096];
    int rc;

    if (p->pid == 0)
        return dq_fail(err, DUREQ_ECLOSED, "%s does not run", p->what);
    rc = read_line(p, line, sizeof(line), err);
    if (rc < 0)
        return rc;

    if (strncmp(line, "ok", 2) != 0)
        return dq_fail(err, DUREQ_EIO, "%s: %s", p->what, strncmp(line, "error ", 6) == 0 ? line + 6 : line);
    if (answer)
        role_parse(line, answer);
    return 0;
}

int role_ask(role_proc *p, role_words *answer, dureq_error *err, const char *fmt, ...)
{
    va_list args;
    int rc;

    va_start(args, fmt);
    rc = tell(p, err, fmt, args);
    va_end(args);
    if (rc < 0)
        return rc;
    return role_wait(p, answer, err);
}

/* ---- ending ---- */

static void reap(role_proc *p, struct rusage *ret)
{
    while (wait4(p->pid, NULL, 0, ret) < 0 && errno == EINTR)
        ;
    close(p->out);
    *p = (role_proc){.pid = 0};
}

void role_kill(role_proc *p)
{
    struct rusage u;

    if (p->pid == 0)
        return;
    kill(p->pid, SIGKILL);
    close(p->in);
    reap(p, &u);
}

void role_stop(role_proc *p, int64_t *ret_cpu_us)
{
    struct pollfd poller = {.fd = p->out, .events = 0};
    struct rusage u = {0};

    if (p->pid == 0)
        return;
    close(p->in);
    /* Its end closes the pipe; one that does not end is killed. */
    if (poll(&poller, 1, END_LIMIT_MS) == 0)
        kill(p->pid, SIGKILL);
    reap(p, &u);
    if (ret_cpu_us)
        *ret_cpu_us = (u.ru_utime.tv_sec + u.ru_stime.tv_sec) * INT64_C(1000000) + u.ru_utime.tv_usec + u.ru_stime.tv_usec;
}

void role_deinit(role_proc *p)
{
    role_kill(p);
}
