/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Processes that outlived the job that made them and left its process group. As this process is their reaper, they become its
   children; a sweep over those kills the ones whose job has ended, and nothing that comes from elsewhere. */

#include <sys/types.h>

#include "base/buf.h"
#include "base/log.h"
#include "io/loop.h"

typedef struct dq_orphans dq_orphans;

typedef struct dq_orphans_ops {
    bool (*is_live_run)(dq_orphans *o, dureq_str run_id);
    bool (*is_live_group)(dq_orphans *o, pid_t pgid);
    /* Whether a job runs that began at or before this time: it may be the owner. */
    bool (*has_run_since)(dq_orphans *o, int64_t ticks);
} dq_orphans_ops;

struct dq_orphans {
    dq_timer timer;
    const dq_orphans_ops *ops;
    const dq_log *log;
    const char *context_dir; /* borrowed: that of the host's runs */
    pid_t self;
    bool has_others; /* who may leave orphans here, too */
    bool is_soon;    /* the timer, when set, is set to the short delay */
    bool is_off;     /* the system does not list children */
    bool is_closing; /* what ends is waited for */
};

/* Before any child is made that is not kept: children there are now are somebody else's. */
int dq_orphans_init(dq_orphans *o, dq_loop *loop, const dq_orphans_ops *ops, const char *context_dir, const dq_log *log,
                    dureq_error *err);
void dq_orphans_deinit(dq_orphans *o); /* zeroed is fine */
/* A job ended: sweep soon. */
void dq_orphans_sweep_soon(dq_orphans *o);
/* Sweeps now; returns how many processes of jobs were left alive. */
int dq_orphans_sweep(dq_orphans *o);
/* No job runs any more: what they left is killed and reaped when this returns. */
void dq_orphans_close(dq_orphans *o);
/* Clock ticks since boot, the unit in which Linux tells when a process began. */
int64_t dq_orphans_now_ticks(void);

/* The run named by the environment of a process, as /proc/PID/environ has it; empty when it names none. */
dureq_str dq_orphans_run_in(dureq_str environ_text);
/* Whether it names a context file in this directory. */
bool dq_orphans_is_context_in(dureq_str environ_text, const char *dir);
/* Appends a process's environment (not all of one that is larger than any of ours); false when it is gone or not ours to read. */
bool dq_orphans_read_environ(pid_t pid, dq_buf *out);
/* When it began, in clock ticks, from /proc/PID/stat; -1 when unknown. */
int64_t dq_orphans_start_in(dureq_str stat);
bool dq_orphans_is_exiting_in(dureq_str stat); /* it has no memory left: field 23 */

/* Runs `make`, which makes a child of the daemon's own and returns its number (or -1): it is never taken for an orphan, nor is
   what it leaves in its session, when it leads one. For a few long-lived ones. Any thread. */
pid_t dq_orphans_make_kept(pid_t (*make)(void *arg), void *arg);
void dq_orphans_forget(pid_t pid); /* after it was reaped */
