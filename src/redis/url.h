/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Where and how to connect: redis://[user[:password]@]host[:port][/db], rediss:// the same over TLS,
   unix://[user[:password]@]/path/to/socket[?db=n]. IPv6 hosts in brackets; user and password percent-decoded.
   Query of rediss://: ca=FILE, cert=FILE, key=FILE, servername=NAME, insecure=1 (no verification). */

#include "base/buf.h"

typedef struct dq_redis_url {
    enum { DQ_REDIS_TCP, DQ_REDIS_TLS, DQ_REDIS_UNIX } kind;
    char *host;            /* or socket path */
    int port;              /* default 6379 */
    char *user, *password; /* NULL: none */
    int db;
    char *tls_ca, *tls_cert, *tls_key, *tls_servername;
    bool tls_insecure;
} dq_redis_url;

/* DUREQ_EINVAL with a message that names the part that is wrong (never the password). */
int dq_redis_url_parse(dureq_str text, dq_redis_url *ret, dureq_error *err);
void dq_redis_url_deinit(dq_redis_url *u);
int dq_redis_url_dup(const dq_redis_url *u, dq_redis_url *ret);
/* For logs and errors: without user and password. */
void dq_redis_url_describe(const dq_redis_url *u, dq_buf *out);
