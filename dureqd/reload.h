/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* SIGHUP: the settings are read again as at the start. Handlers, schedules and the log level are taken; what else differs is named. Settings with any
   fault change nothing. On the daemon's first thread, except for what the node's loop does, for the reading, which may take a while, and for schedules,
   which wait for the server: these two are on threads of their own. */

#include "base/log.h"
#include "config.h"
#include "exec.h"

#include <pthread.h>
#include <stdatomic.h>

typedef struct dq_reload {
    const dq_config *boot; /* what else the daemon runs with; borrowed */
    dq_config *now;        /* ours: whose handlers and schedules it has. NULL: those of boot */
    dq_config *next;       /* ours: it is read, or its handlers are on their way to the node, or its schedules to the server */
    bool has_next;         /* there is something in it */
    dq_loop *loop;
    dureq_node *node;
    dq_exec_host *exec;
    dq_log *log;
    dq_message was_read, swapped, declared;
    pthread_t reader; /* joined by the first thread */
    bool has_reader;
    int read_rc; /* the reader's, read after it posted, as the next */
    dureq_error read_err;
    pthread_t declarer; /* joined by the first thread, or once it is off by whoever stops the node */
    bool has_declarer;
    int n_declared;
    bool declares_all;             /* some were refused: what did not change is put again, too */
    atomic_bool declaring_is_over; /* it begins nothing more */
    bool is_wanted;                /* once more, when that is done */
    bool is_off;                   /* the node stops */
} dq_reload;

void dq_reload_init(dq_reload *r, const dq_config *boot, dq_log *log);
/* The node runs: `loop` is that of the first thread. */
void dq_reload_ready(dq_reload *r, dq_loop *loop, dureq_node *node, dq_exec_host *exec);
/* One that comes before that, or while the last one is under way, is done then. */
void dq_reload_want(dq_reload *r);
/* The node is about to stop: nothing more is read. */
void dq_reload_off(dq_reload *r);
/* After that, on any thread: nobody uses the node's client any more. */
void dq_reload_join(dq_reload *r);
/* After the node's stop. */
void dq_reload_deinit(dq_reload *r);

/* Names of settings that differ and need a new start, with ", " between. */
void dq_reload_not_taken(const dq_config *boot, const dq_config *next, dq_buf *out);
