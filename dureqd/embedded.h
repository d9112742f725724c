/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The private redis-server of a daemon that was given no address. Thread of its loop only: the program's first thread. */

#include "base/log.h"
#include "io/loop.h"

typedef struct dq_embedded dq_embedded;

typedef struct dq_embedded_options {
    const char *program;     /* name or path */
    const char *dir;         /* made when missing; data and socket are in it */
    const char *appendfsync; /* "everysec", "always", "no" */
    const dq_log *log;       /* borrowed until stop */
    bool insecure_dir;       /* take it whoever owns it and can write to it */
    const bool *give_up;     /* set by a callback of the loop: the start is no longer wanted */
} dq_embedded_options;

/* Starts it and turns the loop until it answers. DUREQ_ENOTFOUND or DUREQ_EPERM: no such program, or not our directory; DUREQ_ETOOOLD; DUREQ_ECONFLICT:
   the directory is another daemon's; DUREQ_EUNAVAILABLE: it ended, err says its last line; DUREQ_ECANCELLED: *give_up. From then
   on it is started again whenever it dies. */
int dq_embedded_start(dq_loop *loop, const dq_embedded_options *opts, dq_embedded **ret, dureq_error *err);
const char *dq_embedded_url(const dq_embedded *e); /* unix://...; valid until stop */
/* dq_embedded_stop waits for a moment only. NULL is fine. */
void dq_embedded_hurry(dq_embedded *e);
/* Ends it (SIGTERM: it writes what it has), waits for its end, up to a minute or until a signal that ends us. NULL is fine. */
void dq_embedded_stop(dq_embedded *e);

/* ---- embedded_check.c ---- */

/* The version in the first line that `--version` prints, as major * 10000 + minor * 100 + patch; -1 when it is none. */
int dq_embedded_parse_version(dureq_str line, bool *ret_valkey);
/* Runs it with --version. DUREQ_ETOOOLD under Redis 7.0 and Valkey 7.2, DUREQ_EINVAL when it is no Redis. */
int dq_embedded_check_program(const char *path, dureq_error *err);
/* Makes the directory and its parents, private. */
int dq_embedded_make_dir(const char *dir, dureq_error *err);
/* state_guard.c: the directory is 0700 and what the server keeps in it 0600 afterwards. DUREQ_EPERM: others own or can write it. */
int dq_embedded_guard_dir(const char *dir, dureq_error *err);
/* Takes the directory for this process and those that inherit *ret_fd; waits up to 10 s for a server that a daemon which died
   left behind. DUREQ_ECONFLICT: a daemon lives there. */
int dq_embedded_lock_dir(const char *dir, int *ret_fd, dureq_error *err);
/* Sends one inline command ("PING\r\n") and reads what one read gives, at most size - 1 bytes, NUL-ended. false: no answer within a second. */
bool dq_embedded_ask(const char *socket_path, const char *command, char *reply, size_t size);
/* Whether a server answers at the socket: 1 yes, 0 it is loading its data, -1 no. Waits a second at most. */
int dq_embedded_ping(const char *socket_path);
/* Of its append-only file: 1 the last rewrite went well, -1 it failed, 0 one is under way or it does not say. */
int dq_embedded_rewrite_state(const char *socket_path);
