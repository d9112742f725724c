/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A receive buffer that outlives its connection while somebody holds it. Only the connection that made it writes to it,
   and only after the bytes it has already handed out; holders read. dq_rbuf_ref and dq_rbuf_unref (redis/conn.h) are for
   any thread. */

#include "redis/conn.h"

#include <stdatomic.h>

struct dq_rbuf {
    atomic_uint refs;
    size_t cap;
    char data[];
};

dq_rbuf *dq_rbuf_create(size_t cap); /* one reference; NULL when out of memory */
bool dq_rbuf_is_shared(const dq_rbuf *b);

/* Where a connection reads into: `buf` with unread bytes in [start, end). Zeroed memory is an empty one. */
typedef struct dq_inbox {
    dq_rbuf *buf;
    size_t start, end;
    size_t want; /* capacity of the next buffer; grows with what one read brings */
} dq_inbox;

void dq_inbox_clear(dq_inbox *in); /* forgets what is unread, drops the buffer */
/* Makes room after `end`, moving unread bytes if need be. Room in bytes; 0 when out of memory. */
size_t dq_inbox_reserve(dq_inbox *in);
void dq_inbox_added(dq_inbox *in, size_t len);
