/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A process that outlives the daemon by a moment: when the daemon is killed, it ends what its programs left, at once and not at the next start. It is
   this program again (dureqd --guardian DIR), waits for the end of a pipe that only the daemon has, and does what leftovers.h does. */

#include <sys/types.h>

#include "base/base.h"

typedef struct dq_guardian {
    pid_t pid; /* 0: none */
    int fd;    /* the daemon's end of the pipe */
} dq_guardian;

/* `dir` is that of the context files. That there can be none is no failure: the next start finds what is left. */
void dq_guardian_start(dq_guardian *g, const char *program, const char *dir);
void dq_guardian_stop(dq_guardian *g); /* nothing is left; zeroed is fine */
/* In the new process, with the pipe as standard input: its exit code. */
int dq_guardian_run(const char *dir);
