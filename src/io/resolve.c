/* SPDX-License-Identifier: Apache-2.0 */
#include "io/resolve.h"

#include <event2/dns.h>
#include <event2/util.h>

#include <netinet/in.h>
#include <stdio.h>

/* A look-up lives until evdns has let go of it, which is later than the answer or the cancelling: evdns answers from
   within itself, so its base is freed in a turn of its own. dq_loop_destroy runs such turns out (dq_loop_hold). */

enum { ADDRESSES_MAX = 16 };

struct dq_resolve {
    dq_loop *loop;
    struct evdns_base *dns;
    struct evdns_getaddrinfo_request *request; /* NULL: answered */
    dq_resolve_fn fn;                          /* NULL: cancelled */
    void *userdata;
    dq_deferred cleanup;
    char host[256];
};

static void free_lookup(dq_resolve *q)
{
    if (q->dns)
        evdns_base_free(q->dns, /*fail_requests=*/0);
    dq_loop_release(q->loop);
    dq_free(q);
}

static void on_cleanup(dq_deferred *d)
{
    free_lookup(dq_container_of(d, dq_resolve, cleanup));
}

static size_t collect(const struct evutil_addrinfo *list, dq_address out[ADDRESSES_MAX])
{
    size_t n = 0;

    for (const struct evutil_addrinfo *ai = list; ai && n < ADDRESSES_MAX; ai = ai->ai_next) {
        if (ai->ai_addrlen > sizeof(out[n].sa))
            continue;
        out[n] = (dq_address){.len = (socklen_t)ai->ai_addrlen};
        memcpy(&out[n].sa, ai->ai_addr, ai->ai_addrlen);
        n++;
    }
    return n;
}

static void on_answer(int result, struct evutil_addrinfo *list, void *arg)
{
    dq_resolve *q = arg;
    dq_resolve_fn fn = q->fn;
    void *userdata = q->userdata;
    dq_address addresses[ADDRESSES_MAX];
    size_t n = collect(list, addresses);
    dureq_error err = {0};

    if (list)
        evutil_freeaddrinfo(list);
    if (n == 0)
        (void)dq_fail(&err, DUREQ_EUNAVAILABLE, "host '%s' is not known: %s", q->host,
                      result ? evutil_gai_strerror(result) : "no address");
    q->request = NULL;
    q->fn = NULL;
    dq_loop_defer(q->loop, &q->cleanup);
    if (fn)
        fn(userdata, addresses, n, n ? NULL : &err);
}

int dq_resolve_start(dq_loop *loop, const char *host, int port, dq_resolve_fn fn, void *userdata, dq_resolve **ret,
                     dureq_error *err)
{
    struct evutil_addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_protocol = IPPROTO_TCP};
    char service[8];
    dq_resolve *q = dq_calloc(1, sizeof(*q));

    if (!q)
        return dq_fail_nomem(err);
    *q = (dq_resolve){.loop = loop, .fn = fn, .userdata = userdata, .cleanup.fn = on_cleanup};
    dq_loop_hold(loop);
    q->dns = evdns_base_new(dq_loop_base(loop), 0);
    if (!q->dns) {
        free_lookup(q);
        return dq_fail_nomem(err);
    }
    /* Without the file evdns asks a name server on this host, and numbers and /etc/hosts work all the same. */
    (void)evdns_base_resolv_conf_parse(q->dns, DNS_OPTIONS_ALL, "/etc/resolv.conf");
    (void)snprintf(q->host, sizeof(q->host), "%s", host);
    (void)snprintf(service, sizeof(service), "%d", port);
    *ret = NULL;
    q->request = evdns_getaddrinfo(q->dns, host, service, &hints, on_answer, q);
    /* NULL: answered already, and q is waiting for its clean-up. */
    if (q->request)
        *ret = q;
    return 0;
}

void dq_resolve_cancel(dq_resolve *q)
{
    if (!q || !q->fn)
        return;
    q->fn = NULL;
    if (q->request)
        evdns_getaddrinfo_cancel(q->request); /* on_answer comes once more */
}
