/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

/* Both relaxed: tests set them while one thread allocates. fail_at 0 is the usual, checked first. */
static atomic_long fail_at;
static atomic_long n_calls;

static bool refused(void)
{
    long at = atomic_load_explicit(&fail_at, memory_order_relaxed);

    if (at == 0)
        return false;
    return atomic_fetch_add_explicit(&n_calls, 1, memory_order_relaxed) + 1 == at;
}

void *dq_malloc(size_t size)
{
    return refused() ? NULL : malloc(size ? size : 1);
}

void *dq_calloc(size_t n, size_t size)
{
    return refused() ? NULL : calloc(n ? n : 1, size ? size : 1);
}

void *dq_realloc(void *ptr, size_t size)
{
    return refused() ? NULL : realloc(ptr, size ? size : 1);
}

void dq_free(void *ptr)
{
    free(ptr);
}

char *dq_memdup(const void *ptr, size_t len)
{
    char *copy = dq_malloc(len + 1);

    if (!copy)
        return NULL;

    if (len)
        memcpy(copy, ptr, len);
    copy[len] = '\0';
    return copy;
}

char *dq_strdup(const char *text)
{
    return dq_memdup(text, strlen(text));
}

void dq_alloc_fail_at(long n)
{
    atomic_store_explicit(&n_calls, 0, memory_order_relaxed);
    atomic_store_explicit(&fail_at, n, memory_order_relaxed);
}

long dq_alloc_count(void)
{
    return atomic_load_explicit(&n_calls, memory_order_relaxed);
}

DUREQ_PRINTF(4, 0)
static int fill(dureq_error *err, int code, int sys_errno, const char *fmt, va_list args)
{
    if (err) {
        err->code = code;
        err->sys_errno = sys_errno;
        (void)vsnprintf(err->msg, sizeof err->msg, fmt, args); /* cut is fine */
    }
    return code;
}

int dq_fail(dureq_error *err, int code, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    code = fill(err, code, 0, fmt, args);
    va_end(args);
    return code;
}

int dq_fail_errno(dureq_error *err, int code, int sys_errno, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    code = fill(err, code, sys_errno, fmt, args);
    va_end(args);
    return code;
}

int dq_fail_nomem(dureq_error *err)
{
    return dq_fail(err, DUREQ_ENOMEM, "out of memory");
}
