/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What a row works with: a private redis-server on a Unix socket, a connection to read it, a board, and roles on them. */

#include "bench.h"
#include "board.h"
#include "redis_server.h"
#include "role.h"
#include "wire.h"

typedef struct rig {
    test_redis *redis;
    wire w;
    board *board; /* NULL: none */
    char board_path[300];
} rig;

typedef struct rig_options {
    bool append_only;       /* every second, without rewrites */
    const char *max_memory; /* NULL: none. History is capped at a quarter of it, and the server keeps the memory it has */
    bool has_board;
    int64_t board_jobs; /* jobs whose times are noted */
} rig_options;

int rig_open(rig *r, const rig_options *opts, dureq_error *err);
void rig_close(rig *r);
#define RIG_AUTO DQ_CLEANUP(rig_close) rig

/* Starts a role with this rig's server and board, and the options that follow, ended by NULL. */
int rig_start(rig *r, role_proc *p, const char *role, dureq_error *err, ...) __attribute__((sentinel));

/* One number of INFO. */
int rig_info(rig *r, const char *section, const char *field, double *ret, dureq_error *err);
int rig_cpu_us(rig *r, double *ret, dureq_error *err); /* of the whole server, without its forks */
/* used_memory without the buffers of connections. */
int rig_memory(rig *r, double *ret, dureq_error *err);
/* Calls of scripts so far. */
int rig_script_calls(rig *r, double *ret, dureq_error *err);
/* MEMORY USAGE of one key, all of it; 0 when there is none. */
int rig_key_bytes(rig *r, const char *key, double *ret, dureq_error *err);
