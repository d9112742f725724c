/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Compiler attributes, ownership helpers and the allocator every layer uses. */

#include <dureq/error.h>
#include <dureq/types.h>

#define DQ_ARRAY_LEN(a)                    (sizeof(a) / sizeof((a)[0]))
#define DQ_MIN(a, b)                       ((a) < (b) ? (a) : (b))
#define DQ_MAX(a, b)                       ((a) > (b) ? (a) : (b))
#define DQ_UNUSED                          __attribute__((unused))
#define dq_container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

#define DQ_CLEANUP(fn) __attribute__((cleanup(fn)))
#define DQ_DEFINE_CLEANUP(type, fn)                \
    static inline DQ_UNUSED void fn##_p(type **pp) \
    {                                              \
        if (*pp)                                   \
            fn(*pp);                               \
    }                                              \
    struct dq_swallow_semicolon
#define DQ_TAKE(p)                  \
    __extension__({                 \
        __typeof__(p) taken_ = (p); \
        (p) = NULL;                 \
        taken_;                     \
    })

/* Allocation. Tests make the n-th call fail with dq_alloc_fail_at(n) (0 switches it off);
   dq_alloc_count() tells how many calls were made since. All are thread-safe. */
void *dq_malloc(size_t size);
void *dq_calloc(size_t n, size_t size);
void *dq_realloc(void *ptr, size_t size);
void dq_free(void *ptr); /* NULL is fine */
char *dq_strdup(const char *text);
char *dq_memdup(const void *ptr, size_t len); /* NUL-ended copy of len bytes; NULL when out of memory */
void dq_alloc_fail_at(long n);
long dq_alloc_count(void);

/* Fill *err (may be NULL) and return `code`. The text is cut at DUREQ_ERROR_MSG_MAX. */
int dq_fail(dureq_error *err, int code, const char *fmt, ...) DUREQ_PRINTF(3, 4);
int dq_fail_errno(dureq_error *err, int code, int sys_errno, const char *fmt, ...) DUREQ_PRINTF(4, 5);
int dq_fail_nomem(dureq_error *err);
