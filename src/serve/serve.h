/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The HTTP server of a daemon: the resources of api over TCP and Unix sockets.

   It works on the loop of a client that is its own: sockets and what a request asks of Redis turn in one thread, and never in a node's, so
   that no flood of requests delays a heartbeat. What blocks runs on a few threads beside it. */

#include "api/meter.h"
#include "base/log.h"
#include "serve/pages.h"

typedef struct dq_server dq_server;

typedef struct dq_server_options {
    dureq_client *client;         /* of its own; outlives the server */
    const char *const *addresses; /* "127.0.0.1:8080", "[::1]:8080", "localhost:8080", "unix:/run/dureq/api.sock"; port 0: any */
    size_t n_addresses;
    const char *hosts;     /* names that Host may have beside loopback's and numbers, with commas; NULL: none */
    const char *origins;   /* origins of pages elsewhere that may send requests that change something, with commas; NULL: none */
    const dq_page *pages;  /* the dashboard; NULL: none */
    const char *base_path; /* under which a proxy shows all this, such as "/dureq"; NULL: the root */
    const char *proxies;   /* addresses and networks whose word for whom they ask is believed, with commas; NULL: none */
    const char *proxy_users;                     /* users whom a proxy names, and their roles, as dq_users_options; NULL: none */
    const char *proxy_user_field, *proxy_secret; /* likewise; NULL: the usual one, none */
    const char *stays_local;        /* why it may listen on loopback and Unix sockets only, for the message; NULL: anywhere */
    bool needs_token;               /* of whoever comes over TCP; one that is sent must be good in any case */
    const char *tls_cert, *tls_key; /* PEM files, of all TCP addresses; NULL: no TLS */
    int64_t body_max_bytes;         /* of a request; 0: 8 MiB */
    unsigned connections_max;       /* 0: 4096 */
    unsigned per_address_max;       /* from one address that is not loopback; 0: 256 */
    unsigned threads_max;           /* for what blocks; 0: 16 */
    int64_t head_timeout_ms, idle_timeout_ms; /* 0: 10 s, 60 s */
    dq_meter_fn metrics;                      /* what /metrics tells beside the server's own values; any thread; NULL: nothing */
    dq_meter_unsent_fn unsent;                /* completions that a node of this process holds; NULL: none */
    void *metrics_userdata;                   /* of both */
    const dq_log *log;
} dq_server_options;

/* Takes the addresses; nobody is answered yet. DUREQ_EINVAL: an address is none, or one that others reach; DUREQ_EIO: it is taken. */
int dq_server_create(const dq_server_options *o, dq_server **ret, dureq_error *err);
/* Of address i, with the port it got; NULL when there are no more. */
const char *dq_server_address(const dq_server *s, size_t i);
void dq_server_start(dq_server *s);
/* Any thread but the loop's. Reads certificate and key again: connections that come from now on have them. On failure all stays as it is. */
int dq_server_reload(dq_server *s, const char *tls_cert, const char *tls_key, dureq_error *err);
/* Any thread but the loop's. No new connection is taken, idle ones are closed, what is under way gets its answer; back at once. */
void dq_server_drain(dq_server *s);
/* What is under way has so long yet (0: none), then all is closed. Drains first. NULL is fine. */
void dq_server_destroy(dq_server *s, int64_t timeout_ms);
