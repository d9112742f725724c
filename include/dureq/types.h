/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DUREQ_TYPES_H
#define DUREQ_TYPES_H

/* What every other header of libdureq builds on: byte views, export marks, and the rules that hold in all of them. Each
   compiles alone, as C99 and as C++11.

   Errors: a function that can fail returns 0 or a documented positive, or a negative DUREQ_E code, and fills `err` (NULL is
   fine; read it after a failure only). *ret is set on success and not touched on failure, unless it is said. DUREQ_EINVAL
   (err names the argument and what it takes) and DUREQ_ENOMEM are not listed again at each.

   Ownership: what comes through `ret` is yours to destroy; what is returned is lent. What a call is given is borrowed until
   it returns, options and their texts included; userdata until the object is destroyed. A destructor takes NULL. `const
   char *` is NUL-ended; none of them is NULL when handed out.

   Units: `_ms` is milliseconds, `..._at_ms` Unix time; sizes are bytes. Options come from their _init function, which sets
   struct_size; zero is the default of each field. A struct of an older program is taken, one with a field set that this
   library does not know is refused (DUREQ_EINVAL).

   Callbacks: none may let a C++ exception out, longjmp out, or end its thread. The library's threads block all signals.
   In a child after fork() nothing of it may be used.

   Example: bytes that need no copy.

       static dureq_str without_newline(dureq_str line)
       {
           if (line.len > 0 && line.ptr[line.len - 1] == '\n')
               line.len--;
           return line;
       }

       static bool is_ping(const char *text)
       {
           dureq_str line = without_newline(dureq_str_from(text));

           return line.len == 4 && memcmp(line.ptr, "ping", 4) == 0;
       }
*/

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__GNUC__)
#define DUREQ_API          __attribute__((visibility("default")))
#define DUREQ_MUST_CHECK   __attribute__((warn_unused_result))
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

/* For printf: printf("got " DUREQ_STR_FMT "\n", DUREQ_STR_ARG(payload)). Stops at a NUL byte; at most 2 GiB. */
#define DUREQ_STR_FMT    "%.*s"
#define DUREQ_STR_ARG(s) (int)(s).len, (s).len > 0 ? (s).ptr : ""

/* A view of a NUL-ended text, valid as long as the text (NULL gives the empty view). */
static inline dureq_str dureq_str_from(const char *text)
{
    dureq_str s;
    s.ptr = text;
    s.len = text ? strlen(text) : 0;
    return s;
}

/* A view of `len` bytes at `ptr`, valid as long as they are. */
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
