/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DUREQ_TYPES_H
#define DUREQ_TYPES_H

/* What every other header of libdureq builds on: byte views, export marks.
   All of <dureq/...> compiles as C99 and as C++11. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__GNUC__)
#define DUREQ_API         __attribute__((visibility("default")))
#define DUREQ_MUST_CHECK  __attribute__((warn_unused_result))
#define DUREQ_PRINTF(f, a) __attribute__((format(printf, f, a)))
#else
#define DUREQ_API
#define DUREQ_MUST_CHECK
#define DUREQ_PRINTF(f, a)
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* A view of bytes: owns nothing, is not NUL-ended, may hold NUL bytes. How long it stays valid
   is said where it is handed out. An empty view has len 0; its ptr is then never read. */
typedef struct dureq_str {
    const char *ptr;
    size_t len;
} dureq_str;

/* A view of a NUL-ended text (NULL gives the empty view). */
static inline dureq_str dureq_str_from(const char *text)
{
    dureq_str s;
    s.ptr = text;
    s.len = text ? strlen(text) : 0;
    return s;
}

/* A view of `len` bytes at `ptr`. */
static inline dureq_str dureq_str_of(const void *ptr, size_t len)
{
    dureq_str s;
    s.ptr = (const char *)ptr;
    s.len = len;
    return s;
}

#ifdef __cplusplus
}
#endif
#endif
