/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What is in memory when nothing is left to do: of the two witnesses, and of Redis. */

#include "redis_server.h"
#include "soak_board.h"

/* Keys of one sort, and MEMORY USAGE SAMPLES 0 of them. */
typedef struct soak_keys {
    long long n, bytes;
} soak_keys;

typedef struct soak_memory {
    long long node_kb, producer_kb; /* resident, without the board, which is the soak's own */
    soak_keys state;                /* all but what follows */
    soak_keys timed;  /* kept for a time of their own: statistics by minute, producers' windows, names of sessions */
    soak_keys events; /* a stream capped by bytes */
    long long used;   /* used_memory of INFO, connections and all */
} soak_memory;

long long soak_resident_kb(pid_t pid);
long long soak_used_memory(test_redis *server);
soak_memory soak_memory_read(test_redis *server, pid_t node, pid_t producer);
void soak_memory_print_keys(test_redis *server); /* each, to standard error */
