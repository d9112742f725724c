/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Host names to addresses without blocking the loop (libevent's evdns: /etc/hosts, then the name servers of
   /etc/resolv.conf, both read again by each look-up). Loop thread only. */

#include "io/loop.h"

#include <sys/socket.h>

typedef struct dq_resolve dq_resolve;

typedef struct dq_address {
    struct sockaddr_storage sa;
    socklen_t len;
} dq_address;

/* Called once: n > 0 addresses (valid until return), or n == 0 and why. May be called before dq_resolve_start returns, as
   a number needs no look-up; *ret is then NULL. */
typedef void (*dq_resolve_fn)(void *userdata, const dq_address *addresses, size_t n, const dureq_error *err);

/* Looks `host` (name or number) up. 0, or DUREQ_ENOMEM; after an error fn is not called. */
int dq_resolve_start(dq_loop *loop, const char *host, int port, dq_resolve_fn fn, void *userdata, dq_resolve **ret,
                     dureq_error *err);
void dq_resolve_cancel(dq_resolve *q); /* fn is not called any more; NULL is fine */
