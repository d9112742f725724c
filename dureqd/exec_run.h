/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Inside of the exec handlers: one run of one program. Loop thread only. */

#include <event2/event.h>
#include <event2/event_struct.h>

#include "base/mutex.h"
#include "exec.h"
#include "exec_outcome.h"
#include "exec_spawn.h"
#include "groups.h"
#include "guardian.h"
#include "line_cut.h"
#include "orphans.h"

#define DQ_EXEC_READ_BYTES   (64 * 1024)
#define DQ_EXEC_TAIL_BYTES   (8 * 1024)        /* of standard error, kept with a failed attempt */
#define DQ_EXEC_OUTPUT_BYTES (16 * 1024)       /* of standard output, likewise */
#define DQ_EXEC_LINE_MAX     (2 * 1024 * 1024) /* of descriptor 3 */

typedef struct dq_exec_handler {
    dq_list link; /* in the host */
    dq_exec_host *host;
    dq_handler_spec spec; /* what runs need of it, in the arena: words, allow_leading_dash, cwd, limits */
    dq_arena arena;
    const char *program; /* absolute */
    const char *const *base_env;
    dq_spawn_profile profile;
    char output_limit_text[64], memory_limit_text[64], processes_limit_text[96];
} dq_exec_handler;

struct dq_exec_host {
    dq_loop *loop;
    const dq_log *log;
    dq_spawner *spawner;
    dq_orphans orphans;
    dq_mutex mu; /* guards the next one: handlers are made on the daemon's first thread, and released on the loop's */
    dq_list handlers;
    dq_list runs;
    char *context_dir, *owner;
    int64_t leftovers_mono_us; /* when what killed daemons left was last looked for; of the spawner's thread */
    int lock_fd;               /* of context_dir: we live */
    dq_groups groups;
    dq_guardian guardian;
    uint64_t n_contexts;
    int64_t no_room_us; /* when a program could not be started for want of room; 0: never */
    char *scratch;      /* DQ_EXEC_READ_BYTES */
    bool is_closing;    /* tasks are not to be touched any more */
};

typedef struct dq_exec_run dq_exec_run;

typedef struct dq_exec_stream {
    dq_exec_run *run;
    int fd; /* -1: closed */
    struct event event;
    void (*take)(dq_exec_run *run, dureq_str bytes);
} dq_exec_stream;

struct dq_exec_run {
    dq_list link; /* in the host */
    dq_exec_handler *handler;
    dureq_run *task;
    dq_spawn spawn;
    dq_arena arena; /* what the spawn refers to */
    dq_buf context;
    int64_t started_ticks; /* dq_orphans_now_ticks before the child was made */

    bool was_started;              /* there was a child */
    bool is_running;               /* there is a child; pid and exit_event hold */
    bool stop_wanted, kill_wanted; /* told before there was a child */
    struct event exit_event;
    dq_exec_stream out, err, ctl;

    dq_buf stdout_kept; /* the first DQ_EXEC_STDOUT_KEEP bytes */
    dq_buf stdout_over; /* the end of what came after them, at most twice DQ_EXEC_OUTPUT_BYTES */
    dq_buf stderr_tail; /* at most twice DQ_EXEC_TAIL_BYTES */
    dq_line_cut lines;  /* of descriptor 3 */
    int64_t n_bytes;    /* read from all three */
    const char *limit;  /* it was killed for this */
    dq_exec_said said;
};

/* ---- exec_io.c ---- */

/* Watches the child that the spawn made; `on_exit` when it ended. On DUREQ_ENOMEM not all is watched: close it. */
int dq_exec_io_start(dq_exec_run *run, event_callback_fn on_exit);
/* Takes what the child left in its pipes. */
void dq_exec_io_drain(dq_exec_run *run);
void dq_exec_io_close(dq_exec_run *run);                  /* closes all descriptors; fine when never started */
void dq_exec_run_signal(const dq_exec_run *run, int sig); /* to its process group */

/* ---- exec.c ---- */

extern const dq_external_ops dq_exec_ops;    /* userdata: the dq_exec_handler */
void dq_exec_handler_release(void *handler); /* exec_host.c */
/* Kills and forgets a run whose task is not to be finished any more. */
void dq_exec_run_abandon(dq_exec_run *run);
