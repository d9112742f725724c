/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>

#define CAP_MIN 64

/* Room for len bytes and the NUL after them. */
static bool grow(dq_buf *b, size_t len)
{
    size_t need, cap;
    char *ptr;

    if (b->failed)
        return false;
    if (len >= SIZE_MAX / 4 || b->len >= SIZE_MAX / 4) {
        b->failed = true;
        return false;
    }
    need = b->len + len + 1;
    if (need <= b->cap)
        return true;

    cap = DQ_MAX(b->cap + b->cap / 2, (size_t)CAP_MIN);
    cap = DQ_MAX(cap, need);
    ptr = dq_realloc(b->ptr, cap);
    if (!ptr) {
        b->failed = true;
        return false;
    }
    b->ptr = ptr;
    b->cap = cap;
    return true;
}

void dq_buf_free(dq_buf *b)
{
    dq_free(b->ptr);
    *b = (dq_buf){0};
}

void dq_buf_clear(dq_buf *b)
{
    b->len = 0;
    b->failed = false;
    if (b->ptr)
        b->ptr[0] = '\0';
}

void dq_buf_append(dq_buf *b, const void *ptr, size_t len)
{
    if (len == 0 || !grow(b, len))
        return;
    memcpy(b->ptr + b->len, ptr, len);
    b->len += len;
    b->ptr[b->len] = '\0';
}

void dq_buf_append_str(dq_buf *b, dureq_str s)
{
    dq_buf_append(b, s.ptr, s.len);
}

void dq_buf_append_buf(dq_buf *b, const dq_buf *part)
{
    if (part->failed)
        b->failed = true;
    dq_buf_append(b, part->ptr, part->len);
}

void dq_buf_append_text(dq_buf *b, const char *text)
{
    dq_buf_append(b, text, strlen(text));
}

void dq_buf_append_char(dq_buf *b, char c)
{
    dq_buf_append(b, &c, 1);
}

void dq_buf_append_fmt(dq_buf *b, const char *fmt, ...)
{
    va_list args, again;
    int n;

    va_start(args, fmt);
    va_copy(again, args);
    n = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    if (n < 0)
        b->failed = true; /* longer than an int counts, or no such character */
    if (n > 0 && grow(b, (size_t)n)) {
        (void)vsnprintf(b->ptr + b->len, (size_t)n + 1, fmt, again); /* measured above */
        b->len += (size_t)n;
    }
    va_end(again);
}

void dq_buf_append_i64(dq_buf *b, int64_t v)
{
    char text[DQ_DIGITS_MAX + 1];
    char *p = dq_digits_before(text + sizeof text, v < 0 ? 0 - (uint64_t)v : (uint64_t)v);

    if (v < 0)
        *--p = '-';
    dq_buf_append(b, p, (size_t)(text + sizeof text - p));
}

void dq_buf_append_varint(dq_buf *b, uint64_t v)
{
    unsigned char bytes[10];
    size_t n = 0;

    while (v >= 128) {
        bytes[n++] = (unsigned char)(v | 128);
        v >>= 7;
    }
    bytes[n++] = (unsigned char)v;
    dq_buf_append(b, bytes, n);
}

void dq_buf_append_u32be(dq_buf *b, uint32_t v)
{
    unsigned char bytes[4] = {(unsigned char)(v >> 24), (unsigned char)(v >> 16), (unsigned char)(v >> 8), (unsigned char)v};

    dq_buf_append(b, bytes, sizeof bytes);
}

void dq_buf_append_u64be(dq_buf *b, uint64_t v)
{
    dq_buf_append_u32be(b, (uint32_t)(v >> 32));
    dq_buf_append_u32be(b, (uint32_t)v);
}

void dq_buf_append_lstr(dq_buf *b, dureq_str s)
{
    dq_buf_append_varint(b, s.len);
    dq_buf_append(b, s.ptr, s.len);
}

char *dq_buf_reserve(dq_buf *b, size_t len)
{
    return grow(b, len) ? b->ptr + b->len : NULL;
}

void dq_buf_consume(dq_buf *b, size_t len)
{
    len = DQ_MIN(len, b->len);
    if (len == 0)
        return;
    memmove(b->ptr, b->ptr + len, b->len - len);
    b->len -= len;
    b->ptr[b->len] = '\0';
}

dureq_str dq_buf_str(const dq_buf *b)
{
    return dureq_str_of(b->ptr ? b->ptr : "", b->len);
}

int dq_buf_finish(dq_buf *b, dureq_error *err)
{
    return b->failed ? dq_fail_nomem(err) : 0;
}

char *dq_buf_take(dq_buf *b)
{
    char *ptr = NULL;

    if (grow(b, 0)) {
        b->ptr[b->len] = '\0';
        ptr = b->ptr;
        b->ptr = NULL;
    }
    dq_buf_free(b);
    return ptr;
}
