/* SPDX-License-Identifier: Apache-2.0 */
/* What the start and the end of a program cost, of its own (a program that ends at once, from clone until it is reaped), and with a control group made for
   it and removed. In turns: bare, in a group. The parts of dureqd are called as its spawner's thread calls them; no pipe, no payload. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "bench.h"
#include "exec_child.h"
#include "groups.h"
#include "stats.h"

#define STARTS  200 /* pairs a repetition */
#define WARM_UP 20
#define PROGRAM "/bin/true"

typedef struct exec_rig {
    dq_groups groups;
    void *stack;
    uint64_t no;
    bench_samples bare, grouped, more, made, ended; /* more: in a group, less the bare one before it */
} exec_rig;

static void exec_close(exec_rig *r)
{
    dq_groups_close(&r->groups);
    if (r->stack)
        (void)munmap(r->stack, DQ_CHILD_STACK_BYTES);
    bench_samples_deinit(&r->bare);
    bench_samples_deinit(&r->grouped);
    bench_samples_deinit(&r->more);
    bench_samples_deinit(&r->made);
    bench_samples_deinit(&r->ended);
}

static int exec_open(exec_rig *r, dureq_error *err)
{
    char name[40];
    int rc;

    r->stack = mmap(NULL, DQ_CHILD_STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    if (r->stack == MAP_FAILED) {
        r->stack = NULL;
        return dq_fail_nomem(err);
    }
    (void)snprintf(name, sizeof name, "dureq-bench-%d", (int)getpid());
    rc = dq_groups_open(&r->groups, "/proc/self", name, err);
    return rc < 0 || r->groups.dir ? rc : dq_fail(err, DUREQ_EUNSUPPORTED, "no control group can be made here");
}

static int run_program(exec_rig *r, int group_fd, dureq_error *err)
{
    static const dq_spawn_profile plain;
    char *argv[] = {(char *)PROGRAM, NULL}, *envp[] = {NULL};
    dq_child c = {.profile = &plain, .program = PROGRAM, .argv = argv, .envp = envp, .group_fd = group_fd, .stack = r->stack};
    siginfo_t info;

    c.in_fd = c.out_fd = c.err_fd = c.ctl_fd = dup(STDERR_FILENO);
    dq_child_start(&c);
    (void)close(c.in_fd);
    if (c.sys_errno)
        return dq_fail_errno(err, DUREQ_EIO, c.sys_errno, "%s", c.failed_step);
    while (waitid(P_PIDFD, (id_t)c.pid_fd, &info, WEXITED) < 0 && errno == EINTR)
        ;
    (void)close(c.pid_fd);
    return 0;
}

static int start_bare(exec_rig *r, double *ret_us, dureq_error *err)
{
    int64_t begun_us = dq_mono_us();
    int rc = run_program(r, -1, err);

    *ret_us = (double)(dq_mono_us() - begun_us);
    bench_samples_add(&r->bare, *ret_us);
    return rc;
}

static int start_in_group(exec_rig *r, double bare_us, dureq_error *err)
{
    int64_t begun_us = dq_mono_us(), made_us, ran_us, ended_us;
    int fd = dq_group_make(&r->groups, ++r->no, 0, 0), rc;

    if (fd < 0)
        return dq_fail_errno(err, DUREQ_EIO, errno, "making a control group");
    made_us = dq_mono_us();
    rc = run_program(r, fd, err);
    (void)close(fd);
    ran_us = dq_mono_us();
    (void)dq_group_end(&r->groups, r->no);
    ended_us = dq_mono_us();
    bench_samples_add(&r->grouped, (double)(ended_us - begun_us));
    bench_samples_add(&r->more, (double)(ended_us - begun_us) - bare_us);
    bench_samples_add(&r->made, (double)(made_us - begun_us));
    bench_samples_add(&r->ended, (double)(ended_us - ran_us));
    return rc;
}

static int run_pairs(exec_rig *r, int n, dureq_error *err)
{
    int rc = 0;

    for (int i = 0; rc == 0 && i < n; i++) {
        double bare_us = 0;

        rc = start_bare(r, &bare_us, err);
        if (rc == 0)
            rc = start_in_group(r, bare_us, err);
    }
    return rc;
}

static int run_exec(bench_out *out, dureq_error *err)
{
    DQ_CLEANUP(exec_close) exec_rig r = {0};
    sigset_t all, before;
    int rc = exec_open(&r, err);

    (void)sigfillset(&all);
    (void)sigprocmask(SIG_SETMASK, &all, &before); /* as a child that shares our memory needs it */
    if (rc == 0)
        rc = run_pairs(&r, WARM_UP, err);
    r.bare.n = r.grouped.n = r.more.n = r.made.n = r.ended.n = 0;
    for (size_t i = 0; rc == 0 && bench_again(out, i); i++)
        rc = run_pairs(&r, STARTS, err);
    (void)sigprocmask(SIG_SETMASK, &before, NULL);
    if (rc < 0)
        return rc;
    bench_put(out, "exec_start", bench_median(&r.bare), "p10 %.0f us, p99 %.0f us; median of %zu", bench_quantile(&r.bare, 0.1),
              bench_quantile(&r.bare, 0.99), r.bare.n);
    bench_put(out, "exec_group", bench_median(&r.more), "p10 of all %.0f us, p99 %.0f us; making it %.0f us, removing it %.0f us",
              bench_quantile(&r.grouped, 0.1), bench_quantile(&r.grouped, 0.99), bench_median(&r.made), bench_median(&r.ended));
    return 0;
}

static const bench_row exec_rows[] = {
    {"exec_start", "a program that ends at once, from clone to reaped", "us", 2000, false},
    {"exec_group", "what a control group of its own adds to that", "us", 500, false},
    {NULL, NULL, NULL, 0, false},
};

const bench_group bench_exec_groups[] = {
    {"exec", exec_rows, run_exec, false},
    {NULL, NULL, NULL, false},
};
