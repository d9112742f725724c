/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The bench's own client: one blocking Unix socket, commands pipelined as RESP bytes. Nothing of the library's connection is in
   it, so that the floor and the readings do not depend on what is measured. */

#include "base/buf.h"
#include "redis/resp.h"

typedef struct wire {
    int fd;
    dq_buf in;
    size_t taken; /* bytes of `in` that the reply handed out last used */
    dq_resp_parser *parser;
} wire;

int wire_open(wire *w, const char *socket_path, dureq_error *err);
void wire_close(wire *w); /* zeroed memory is fine */
/* Sends all of `out` and clears it. */
int wire_send(wire *w, dq_buf *out, dureq_error *err);
/* The next reply, valid until the next call. A server error gives its code. */
int wire_next(wire *w, dq_reply *ret, dureq_error *err);
/* Sends, and passes over n replies; *ret (may be NULL) is the last one. */
int wire_call(wire *w, dq_buf *out, size_t n, dq_reply *ret, dureq_error *err);
/* One command, words by blanks. */
int wire_words(wire *w, const char *words, dq_reply *ret, dureq_error *err);
void wire_put(dq_buf *out, const char *words); /* the same, appended to a pipeline */

#define WIRE_AUTO DQ_CLEANUP(wire_close) wire
