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

   Therefore the child makes nothing but bare system calls. What libc puts around them is for a process of its own: setting a user
   would make every thread of the daemon do the same, and a sanitizer's wrappers would book the child's doings as ours. Signals are
   all blocked; the daemon has no handlers, so that resetting them before they are let in is enough. */

/* Time between SIGXCPU, which names the reason, and SIGKILL. */
#define CPU_HARD_EXTRA_SECONDS 2

#define KERNEL_SIGNALS 64

static bool set_limit(int which, uint64_t soft, uint64_t hard)
{
    const uint64_t limit[2] = {soft, hard};

    return syscall(SYS_prlimit64, 0, which, limit, NULL) == 0;
}

static bool set_limits(const dq_child *c)
{
    const dq_spawn_profile *p = c->profile;
    uint64_t cpu = (uint64_t)p->cpu_seconds, memory = (uint64_t)p->memory_bytes, files = (uint64_t)p->open_files;
    uint64_t processes = (uint64_t)p->max_processes;

    if (p->nice && syscall(SYS_setpriority, PRIO_PROCESS, 0, p->nice) < 0)
        return false;
    if (cpu && !set_limit(RLIMIT_CPU, cpu, cpu + CPU_HARD_EXTRA_SECONDS))
        return false;
    if (memory && c->limits_data && !set_limit(RLIMIT_DATA, memory, memory))
        return false;
    if (processes && c->limits_user && !set_limit(RLIMIT_NPROC, processes, processes))
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

static bool move_fd(int from, int to)
{
    return syscall(SYS_dup3, from, to, 0) >= 0;
}

/* The sources are above 2, so none of 0 to 2 overwrites one; when 3 is overwritten the first three are done. */
static bool set_fds(const dq_child *c)
{
    if (!move_fd(c->in_fd, 0) || !move_fd(c->out_fd, 1) || !move_fd(c->err_fd, 2))
        return false;
    if (c->ctl_fd == 3 ? syscall(SYS_fcntl, 3, F_SETFD, 0) < 0 : !move_fd(c->ctl_fd, 3))
        return false;
    return syscall(SYS_close_range, 4u, ~0u, 0u) == 0;
}

static bool set_signals(void)
{
    /* The kernel's struct sigaction, of which zeros mean SIG_DFL with nothing else; no architecture has a larger one. */
    const uint64_t dfl[4] = {0}, none = 0;

    for (int sig = 1; sig <= KERNEL_SIGNALS; sig++)
        (void)syscall(SYS_rt_sigaction, sig, dfl, NULL, sizeof none); /* fails for SIGKILL and SIGSTOP */
    return syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, NULL, sizeof none) == 0;
}

/* Killed with the daemon, unless that is already gone. After the user is set, which would forget it. */
static bool set_fate(const dq_child *c)
{
    return syscall(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == 0 && syscall(SYS_getppid) == c->parent;
}

static int child_main(void *arg)
{
    dq_child *c = arg;

    if (c->group_fd >= 0 && syscall(SYS_write, c->group_fd, "0", (size_t)1) != 1)
        c->failed_step = "entering its control group";
    else if (syscall(SYS_setpgid, 0, 0) < 0)
        c->failed_step = "setpgid";
    else if (!set_fds(c))
        c->failed_step = "setting up descriptors";
    else if (!set_limits(c))
        c->failed_step = "setting limits";
    else if (!set_user(c->profile))
        c->failed_step = "becoming the user";
    else if (c->profile->cwd && syscall(SYS_chdir, c->profile->cwd) < 0)
        c->failed_step = "entering cwd";
    else if (!set_fate(c) || !set_signals())
        c->failed_step = "setting up signals";
    else {
        (void)syscall(SYS_execve, c->program, c->argv, c->envp);
        c->failed_step = DQ_CHILD_STEP_PROGRAM;
    }
    c->sys_errno = errno ? errno : EIO;
    (void)syscall(SYS_exit_group, 127);
    return 127;
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

/* ThreadSanitizer takes clone for a fork and would stop looking at this process. gcc says that it is there by a macro, clang by a feature. */
#if defined(__has_feature)
#if __has_feature(thread_sanitizer) && !defined(__SANITIZE_THREAD__)
#define __SANITIZE_THREAD__ 1
#endif
#endif
#ifdef __SANITIZE_THREAD__
extern int __clone(int (*fn)(void *), void *stack, int flags, void *arg, ...);
#define clone __clone
#endif

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
