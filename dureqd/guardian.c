/* SPDX-License-Identifier: Apache-2.0 */
#include "guardian.h"

#include "leftovers.h"
#include "orphans.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define DYING_MS 5000 /* from the end of the pipe, which is one of the first that a killed daemon closes, to its end */

typedef struct starting {
    const char *program, *dir;
    int fd;
} starting;

/* Other threads of the daemon may be there: only what a signal handler may do. */
static void child_main(const starting *s)
{
    const char *argv[] = {"dureqd", "--guardian", s->dir, NULL};
    char *envp[] = {NULL};

    int null_fd = open("/dev/null", O_RDWR);

    (void)setsid(); /* a Ctrl-C is not for it */
    if (dup2(s->fd, STDIN_FILENO) < 0 || dup2(null_fd, STDOUT_FILENO) < 0 || dup2(null_fd, STDERR_FILENO) < 0)
        _exit(127);
    (void)syscall(SYS_close_range, 3u, ~0u, 0u);
    (void)execve(s->program, (char *const *)argv, envp);
    _exit(127);
}

static pid_t make_child(void *arg)
{
    pid_t pid = fork();

    if (pid == 0)
        child_main(arg);
    return pid;
}

void dq_guardian_start(dq_guardian *g, const char *program, const char *dir)
{
    starting s = {.program = program, .dir = dir};
    int fds[2];

    *g = (dq_guardian){.fd = -1};
    if (!program || pipe2(fds, O_CLOEXEC) < 0)
        return;
    s.fd = fds[0];
    g->pid = dq_orphans_make_kept(make_child, &s);
    (void)close(fds[0]);
    g->fd = fds[1];
    if (g->pid > 0)
        return;
    (void)close(fds[1]);
    *g = (dq_guardian){.fd = -1};
}

void dq_guardian_stop(dq_guardian *g)
{
    if (g->pid <= 0)
        return;
    (void)!write(g->fd, "e", 1); /* one that is gone needs no word */
    (void)close(g->fd);
    while (waitpid(g->pid, NULL, 0) < 0 && errno == EINTR)
        ;
    dq_orphans_forget(g->pid);
    *g = (dq_guardian){.fd = -1};
}

int dq_guardian_run(const char *dir)
{
    static const int signals[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM};
    char word;
    ssize_t n;

    for (size_t i = 0; i < DQ_ARRAY_LEN(signals); i++)
        (void)signal(signals[i], SIG_IGN); /* it goes when the daemon does */
    do
        n = read(STDIN_FILENO, &word, 1);
    while (n < 0 && errno == EINTR);
    if (n == 0)
        dq_leftovers_end_dir(dir, /*owner=*/NULL, DYING_MS, /*log=*/NULL);
    return 0;
}
