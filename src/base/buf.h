/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A growing byte buffer, always NUL-ended after `len`. A failed allocation sticks: later appends do
   nothing, and the writer asks once with dq_buf_finish or dq_buf_failed. Zeroed memory is an empty buffer. */

#include "base/str.h"

typedef struct dq_buf {
    char *ptr; /* NULL until the first append */
    size_t len;
    size_t cap;
    bool failed;
} dq_buf;

void dq_buf_free(dq_buf *b);
/* Frees; the buffer is empty and reusable afterwards. Inline, since most of a job's buffers were never written to. */
static inline void dq_buf_deinit(dq_buf *b)
{
    if (b->ptr || b->failed)
        dq_buf_free(b);
}
void dq_buf_clear(dq_buf *b); /* keeps the memory, clears `failed` */
void dq_buf_append(dq_buf *b, const void *ptr, size_t len);
void dq_buf_append_str(dq_buf *b, dureq_str s);
void dq_buf_append_buf(dq_buf *b, const dq_buf *part); /* a part that failed makes the whole fail: never half of it */
void dq_buf_append_text(dq_buf *b, const char *text);
void dq_buf_append_char(dq_buf *b, char c);
void dq_buf_append_fmt(dq_buf *b, const char *fmt, ...) DUREQ_PRINTF(2, 3);
void dq_buf_append_i64(dq_buf *b, int64_t v);     /* decimal text */
void dq_buf_append_varint(dq_buf *b, uint64_t v); /* LEB128 */
void dq_buf_append_u32be(dq_buf *b, uint32_t v);
void dq_buf_append_u64be(dq_buf *b, uint64_t v);
char *dq_buf_reserve(dq_buf *b, size_t len); /* room for len bytes after `len`; NULL when out of memory. Caller adds to b->len */
void dq_buf_consume(dq_buf *b, size_t len);  /* drops from the front (memmove) */
dureq_str dq_buf_str(const dq_buf *b);       /* valid until the next append */
static inline bool dq_buf_failed(const dq_buf *b)
{
    return b->failed;
}
int dq_buf_finish(dq_buf *b, dureq_error *err); /* 0, or DUREQ_ENOMEM */
char *dq_buf_take(dq_buf *b);                   /* NUL-ended, caller frees with dq_free; buffer becomes empty. NULL when failed */

#define DQ_BUF_AUTO DQ_CLEANUP(dq_buf_deinit) dq_buf

/* Reading back. A reader never reads beyond its end: a short read sets `bad` and gives zeros, so
   a decoder checks once at the end. */
typedef struct dq_reader {
    const unsigned char *p, *end;
    bool bad;
} dq_reader;

dq_reader dq_reader_of(dureq_str s);
uint8_t dq_read_u8(dq_reader *r);
uint64_t dq_read_be(dq_reader *r, size_t n);       /* of n bytes, at most 8, the highest first */
uint64_t dq_read_varint(dq_reader *r);             /* more than 10 bytes is bad */
dureq_str dq_read_bytes(dq_reader *r, size_t len); /* view into the input */
dureq_str dq_read_lstr(dq_reader *r);              /* varint length, then bytes */
dureq_str dq_read_rest(dq_reader *r);
void dq_buf_append_lstr(dq_buf *b, dureq_str s); /* varint length, then bytes */
