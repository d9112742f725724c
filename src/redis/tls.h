/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* TLS (1.2 or later) of one connection, over a non-blocking socket that the caller owns. Loop thread only. */

#include "redis/url.h"

#include <sys/types.h>

typedef struct dq_tls_context dq_tls_context; /* certificates; one per dq_redis */
typedef struct dq_tls dq_tls;                 /* one session */

/* Reads the files the URL names. DUREQ_EINVAL when one cannot be read or does not fit. */
int dq_tls_context_create(const dq_redis_url *url, dq_tls_context **ret, dureq_error *err);
void dq_tls_context_destroy(dq_tls_context *ctx);

int dq_tls_create(dq_tls_context *ctx, const dq_redis_url *url, int fd, dq_tls **ret, dureq_error *err);
void dq_tls_destroy(dq_tls *tls); /* says goodbye if that needs no waiting; the socket stays open */

/* 1: done; 0: wait for the socket (to write: *ret_wants_write); DUREQ_EAUTH: the certificate or its name is refused. */
int dq_tls_handshake(dq_tls *tls, bool *ret_wants_write, dureq_error *err);
/* Bytes moved; 0: the socket must be waited for; negative: the connection is over. */
ssize_t dq_tls_read(dq_tls *tls, void *out, size_t cap, dureq_error *err);
ssize_t dq_tls_write(dq_tls *tls, const void *ptr, size_t len, dureq_error *err);
bool dq_tls_has_pending(const dq_tls *tls); /* bytes that are out of the socket but not yet read */
