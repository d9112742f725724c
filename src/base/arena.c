/* SPDX-License-Identifier: Apache-2.0 */
#include "base/arena.h"

#define CHUNK_MIN 4096
#define ALIGNMENT 16

struct dq_arena_chunk {
    dq_arena_chunk *next;
    size_t used, cap;
    _Alignas(ALIGNMENT) char bytes[];
};

static void free_chunks(dq_arena_chunk *c)
{
    while (c) {
        dq_arena_chunk *next = c->next;

        dq_free(c);
        c = next;
    }
}

void dq_arena_deinit(dq_arena *a)
{
    free_chunks(a->chunks);
    *a = (dq_arena){0};
}

void dq_arena_reset(dq_arena *a)
{
    if (!a->chunks)
        return;
    free_chunks(a->chunks->next);
    a->chunks->next = NULL;
    a->chunks->used = 0;
    a->used = 0;
}

void *dq_arena_alloc(dq_arena *a, size_t size)
{
    dq_arena_chunk *c = a->chunks;
    char *ptr;

    if (size > SIZE_MAX / 4)
        return NULL;
    size = (size + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
    if (!c || c->cap - c->used < size) {
        size_t cap = DQ_MAX(size, c ? DQ_MIN(c->cap * 2, (size_t)(1024 * 1024)) : (size_t)CHUNK_MIN);

        c = dq_malloc(sizeof *c + cap);
        if (!c)
            return NULL;
        *c = (dq_arena_chunk){.next = a->chunks, .cap = cap};
        a->chunks = c;
    }
    ptr = c->bytes + c->used;
    c->used += size;
    a->used += size;
    return memset(ptr, 0, size);
}

char *dq_arena_dup(dq_arena *a, dureq_str s)
{
    char *copy = dq_arena_alloc(a, s.len + 1);

    if (copy && s.len)
        memcpy(copy, s.ptr, s.len);
    return copy;
}

dureq_str dq_arena_dup_str(dq_arena *a, dureq_str s)
{
    char *copy = s.len ? dq_arena_dup(a, s) : NULL;

    return dureq_str_of(copy, copy ? s.len : 0);
}
