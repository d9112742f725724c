/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* HTTP/1.1 as it comes in: heads and chunked bodies. Pure: bytes in, views out. What RFC 9112 calls an error is one here, and so is what two
   programs in a row could read differently (two lengths, a length beside chunks, folded lines, a bare LF, blanks before a colon): such a
   request is refused and its connection closed. */

#include "base/buf.h"

#define DQ_HTTP_LINE_MAX    8192  /* the request line */
#define DQ_HTTP_HEAD_MAX    16384 /* all of a head */
#define DQ_HTTP_FIELDS_MAX  100
#define DQ_HTTP_METHOD_MAX  16
#define DQ_HTTP_EXT_MAX     256  /* extensions of a chunk */
#define DQ_HTTP_TRAILER_MAX 8192 /* all trailer lines */

typedef struct dq_http_field {
    dureq_str name, value; /* without blanks around it */
} dq_http_field;

/* Views into the bytes that were parsed. */
typedef struct dq_http_head {
    dureq_str method, path, query; /* query: after '?', else {NULL, 0} */
    dureq_str authority;           /* whom it is for: Host, or of an absolute target; {NULL, 0} when neither */
    int minor;                     /* of HTTP/1 */
    int64_t length;                /* of the body; 0 when none is told */
    bool has_length, is_chunked, keeps_alive, expects_continue;
    dq_http_field fields[DQ_HTTP_FIELDS_MAX];
    size_t n_fields;
} dq_http_head;

/* Why a request is not read: the answer's status and one sentence. */
typedef struct dq_http_fault {
    int status;
    const char *text;
} dq_http_fault;

/* A head from the beginning of `in`: its bytes with the empty line, 0 when more are needed, -1 with *fault. *seen: how far earlier calls
   looked at the same bytes; 0 at first. */
ptrdiff_t dq_http_head_parse(dureq_str in, size_t *seen, dq_http_head *ret, dq_http_fault *fault);
/* The value of a field, ASCII case of the name ignored; {NULL, 0} when absent. The first of several. */
dureq_str dq_http_field_get(const dq_http_head *head, const char *name);
bool dq_http_eq_nocase(dureq_str a, const char *lower);

/* A chunked body, piece by piece. Zeroed is the beginning. */
typedef struct dq_http_chunks {
    int state;
    uint64_t left; /* of the chunk */
    size_t n_line; /* bytes of extensions of this chunk, or of all trailers */
    size_t n_digits;
    bool line_has_colon;
} dq_http_chunks;

/* Reads from `in`; what is data is appended to `out`, at most `room` bytes. Returns how many bytes were read, -1 with *fault. *ret_done: the body is
   complete, and nothing after it was read. */
ptrdiff_t dq_http_chunks_read(dq_http_chunks *c, dureq_str in, size_t room, dq_buf *out, bool *ret_done, dq_http_fault *fault);

const char *dq_http_reason(int status);
