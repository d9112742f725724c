/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Walks over all lanes (lanes.h), and who shares what one of them found. Where lanes fit a page it is read each time, and is as new as an answer can be. Where
   they do not, a walk costs the server 5 us a lane, and a client that shares (the daemon's, which many pages ask) gives its callers what was found for
   FRESH_US, or for COST times as long as the walk took, STALE_US at most: it takes a tenth of the server at most, however many ask. One walks, the others wait for it. */

#include "client/client_internal.h"

struct dq_walked {
    unsigned refs;
    bool is_wide; /* it took several pages */
    int64_t done_us, took_us;
    int64_t now_ms; /* the server's */
    dq_buf rows;
};

typedef int (*dq_walk_fn)(dureq_client *c, dq_walked *ret, dureq_error *err);
/* A caller that has announced itself (dq_client_enter). *ret is the caller's to release. */
int dq_walk_read(dureq_client *c, dq_walk_kind kind, dq_walk_fn fn, dq_walked **ret, dureq_error *err);
void dq_walk_release(dureq_client *c, dq_walked *w);
void dq_walks_deinit(dureq_client *c);
