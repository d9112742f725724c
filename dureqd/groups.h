/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Control groups (cgroup v2): one of the daemon's own, and in it one for each run, whose processes none can leave without the right to. Where none
   can be had (another version, no right to make one, no cgroup.kill before Linux 5.14) `dir` is NULL, and all of this does nothing. */

#include "base/buf.h"
#include "base/log.h"

typedef struct dq_groups {
    char *dir;
    bool has_memory, has_pids; /* limits of these can be set */
    dq_buf left;               /* numbers of groups that could not be removed yet, u64 each */
} dq_groups;

/* The directory of this process's own group, from the texts of its `cgroup` and `mountinfo`. False: it is in none that can be reached. Pure. */
bool dq_groups_own_dir(dureq_str cgroup, dureq_str mountinfo, dq_buf *out);

/* `proc` has these two files: "/proc/self". `name` is that of the new group. DUREQ_ENOMEM; that there is none is no failure. */
int dq_groups_open(dq_groups *g, const char *proc, const char *name, dureq_error *err);
/* Kills what is in it, waits a moment, removes it. */
void dq_groups_close(dq_groups *g);
/* Of a daemon that is gone: the directory that its dq_groups had. */
void dq_groups_kill(const char *dir);

/* One group for a run; limits of 0 are none. A descriptor of its cgroup.procs, or -1 with errno. Any thread. */
int dq_group_make(const dq_groups *g, uint64_t no, int64_t memory_bytes, int64_t processes);
/* Kills what is left in it, and removes it; soon, if that takes a moment. True when something was left. One thread. */
bool dq_group_end(dq_groups *g, uint64_t no);
/* Whether the system killed something in it for want of its memory. */
bool dq_group_ran_out(const dq_groups *g, uint64_t no);
