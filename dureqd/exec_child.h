/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* One child from clone to execve. */

#include <sys/resource.h>

#include "exec_spawn.h"

#define DQ_CHILD_STEP_PROGRAM "starting the program"
#define DQ_CHILD_STACK_BYTES  (64 * 1024)

typedef struct dq_child {
    const dq_spawn_profile *profile;
    const char *program;
    char **argv, **envp;
    int in_fd, out_fd, err_fd, ctl_fd; /* all above 2 */
    int group_fd;                      /* cgroup.procs of its control group; -1: none */
    bool limits_data, limits_user;     /* memory and processes are not limited by that group */
    struct rlimit open_files;          /* when the profile says none; zeroed: leave it */
    void *stack;                       /* DQ_CHILD_STACK_BYTES */

    /* Out. Without failure pid and pid_fd hold. */
    pid_t pid;
    int pid_fd;
    int sys_errno;
    const char *failed_step;

    pid_t parent; /* of the child, to see that it is still there */
} dq_child;

/* Returns when the child runs its program, or could not and is gone. The calling thread blocks all signals, and the child dies
   with it. */
void dq_child_start(dq_child *c);
