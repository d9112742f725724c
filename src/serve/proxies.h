/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Proxies that are trusted to say for whom they ask: addresses and networks. What they say is believed for the audit and for cookies only; nobody
   is let in by it. */

#include "serve/http1.h"

#include <sys/socket.h>

#define DQ_PROXY_TEXT_MAX 48 /* an address as text */

typedef struct dq_proxies dq_proxies;

/* "10.0.0.0/8,127.0.0.1,fd00::/8". NULL or empty: none. DUREQ_EINVAL names what is no address. */
int dq_proxies_create(const char *list, dq_proxies **ret, dureq_error *err);
void dq_proxies_destroy(dq_proxies *p);
bool dq_proxies_has(const dq_proxies *p, const struct sockaddr *address);
/* Whom a proxy that is trusted asks for: of the addresses that X-Forwarded-For names, the last one that is no trusted proxy. False: it names none. */
bool dq_proxies_client(const dq_proxies *p, const dq_http_head *head, char ret[DQ_PROXY_TEXT_MAX]);
/* Whether the request says that it was passed on. */
bool dq_proxies_passed_on(const dq_http_head *head);
/* Whether it came to the proxy by TLS, as it says. */
bool dq_proxies_says_tls(const dq_http_head *head);
