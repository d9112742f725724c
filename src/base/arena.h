/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Many small allocations freed at once. Zeroed memory is an empty arena. Not thread-safe. */

#include "base/str.h"

typedef struct dq_arena_chunk dq_arena_chunk;

typedef struct dq_arena {
    dq_arena_chunk *chunks;
    size_t used; /* bytes handed out, all chunks */
} dq_arena;

void dq_arena_deinit(dq_arena *a);
void dq_arena_reset(dq_arena *a);                     /* keeps one chunk */
void *dq_arena_alloc(dq_arena *a, size_t size);       /* 16-byte aligned, zeroed; NULL when out of memory */
char *dq_arena_dup(dq_arena *a, dureq_str s);         /* NUL-ended copy */
dureq_str dq_arena_dup_str(dq_arena *a, dureq_str s); /* {NULL,0} when out of memory and s not empty */
