/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* TLS of connections, over sockets that do not block. Loop thread, except for dq_serve_tls_create. */

#include <dureq/error.h>

#include <sys/types.h>

typedef struct dq_serve_tls dq_serve_tls;           /* certificate and key; shared, goes with its last connection */
typedef struct dq_serve_tls_conn dq_serve_tls_conn; /* of a connection */

int dq_serve_tls_create(const char *cert_file, const char *key_file, dq_serve_tls **ret, dureq_error *err);
void dq_serve_tls_destroy(dq_serve_tls *t);
dq_serve_tls_conn *dq_serve_tls_accept(dq_serve_tls *t, int fd); /* NULL: no memory */
void dq_serve_tls_close(dq_serve_tls_conn *c);                   /* says goodbye if it can */
/* As recv and send: bytes, 0 at the end, -1 with errno; EAGAIN also when it waits for the other direction (dq_serve_tls_wants_write). */
ssize_t dq_serve_tls_recv(dq_serve_tls_conn *c, void *out, size_t len);
ssize_t dq_serve_tls_send(dq_serve_tls_conn *c, const void *bytes, size_t len);
bool dq_serve_tls_has_more(const dq_serve_tls_conn *c);    /* bytes that the socket will not tell of */
bool dq_serve_tls_wants_write(const dq_serve_tls_conn *c); /* to go on reading it must write */
