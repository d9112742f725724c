/* SPDX-License-Identifier: Apache-2.0 */
#include "exec_child.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* The child shares our memory (CLONE_VM) on a stack of its own while our thread is suspended (CLONE_VFORK): nothing is copied
   however large the daemon is, and a failure is told by writing it into the dq_child.

   Therefore the child only makes system calls. Users and groups are set by bare system calls: libc's functions would make every
   thread of the daemon do the same. Signals are all blocked and, as the daemon has no handlers that matter, only the ignored
   ones need to be reset before they are let in. */

/* Time between SIGXCPU, which names the reason, and SIGKILL. */
#define CPU_HARD_EXTRA_SECONDS 2

static bool set_limit(int which, rlim_t soft, rlim_t hard)
{
    const struct rlimit limit = {.rlim_cur = soft, .rlim_max = hard};

    return setrlimit((__rlimit_resource_t)which, &limit) == 0;
}

static bool set_limits(const dq_child *c)
{
    const dq_spawn_profile *p = c->profile;
    rlim_t files = (rlim_t)p->open_files;

    if (p->cpu_seconds && !set_limit(RLIMIT_CPU, (rlim_t)p->cpu_seconds, (rlim_t)p->cpu_seconds + CPU_HARD_EXTRA_SECONDS))
        return false;
    if (p->memory_bytes && !set_limit(RLIMIT_AS, (rlim_t)p->memory_bytes, (rlim_t)p->memory_bytes))
        return false;
    if (files)
        return set_limit(RLIMIT_NOFILE, files, files);
    return c->open_files.rlim_cur == 0 || set_limit(RLIMIT_NOFILE, c->open_files.rlim_cur, c->open_files.rlim_max);
}

static bool set_user(const dq_spawn_profile *p)
{
    if (!p->has_user)
        return true;
    return syscall(SYS_setgroups, (size_t)p->n_groups, p->groups) == 0 && syscall(SYS_setresgid, p->gid, p->gid, p->gid) == 0 &&
           syscall(SYS_setresuid, p->uid, p->uid, p->uid) == 0;
}

/* The sources are above 2, so none of 0 to 2 overwrites one; when 3 is overwritten the first three are done. */
static bool set_fds(const dq_child *c)
{
    if (dup2(c->in_fd, 0) < 0 || dup2(c->out_fd, 1) < 0 || dup2(c->err_fd, 2) < 0)
        return false;
    if (c->ctl_fd != 3 && dup2(c->ctl_fd, 3) < 0)
        return false;
    return fcntl(3, F_SETFD, 0) == 0 && syscall(SYS_close_range, 4u, ~0u, 0u) == 0;
}

static bool set_signals(void)
{
    struct sigaction dfl = {.sa_handler = SIG_DFL};
    sigset_t none;

    for (int sig = 1; sig < NSIG; sig++)
        (void)sigaction(sig, &dfl, NULL); /* fails for SIGKILL, SIGSTOP and libc's own */
    sigemptyset(&none);
    return sigprocmask(SIG_SETMASK, &none, NULL) == 0;
}

/* Killed with the daemon, unless that is already gone. After the user is set, which would forget it. */
static bool set_fate(const dq_child *c)
{
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
        return false;
    return syscall(SYS_getppid) == c->parent;
}

__attribute__((no_sanitize("address", "thread", "undefined"))) static int child_main(void *arg)
{
    dq_child *c = arg;

    if (setpgid(0, 0) < 0)
        c->failed_step = "setpgid";
    else if (!set_fds(c))
        c->failed_step = "setting up descriptors";
    else if (!set_limits(c))
        c->failed_step = "setting limits";
    else if (!set_user(c->profile))
        c->failed_step = "becoming the user";
    else if (!set_fate(c) || !set_signals())
        c->failed_step = "setting up signals";
    else {
        (void)execve(c->program, c->argv, c->envp);
        c->failed_step = "starting the program";
    }
    c->sys_errno = errno ? errno : EIO;
    _exit(127);
}

static void reap(dq_child *c)
{
    siginfo_t info;

    while (waitid(P_PIDFD, (id_t)c->pid_fd, &info, WEXITED) < 0 && errno == EINTR)
        ;
    (void)close(c->pid_fd);
    c->pid_fd = -1;
    c->pid = -1;
}

void dq_child_start(dq_child *c)
{
    char *top = (char *)c->stack + DQ_CHILD_STACK_BYTES;

    c->sys_errno = 0;
    c->failed_step = NULL;
    c->pid_fd = -1;
    c->parent = getpid();
    c->pid = clone(child_main, top, CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD, c, &c->pid_fd);
    if (c->pid < 0) {
        c->failed_step = "making a process";
        c->sys_errno = errno;
    } else if (c->sys_errno) {
        reap(c);
    }
}
