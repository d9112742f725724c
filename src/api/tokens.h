/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Tokens of the API and sessions: who they stand for. Each that comes is looked up in Redis by its id, however many there are, and what was found is
   kept for two seconds, so that whoever was revoked is refused soon after. Any thread. */

#include "api/api.h"

/* As it was sent. */
typedef struct dq_api_pass {
    dureq_str text;
    bool is_session; /* of a cookie; else a token */
} dq_api_pass;

typedef enum dq_api_found {
    DQ_API_KNOWN,   /* *ret is who; the caller's to deinit */
    DQ_API_UNKNOWN, /* no such token, or its time is over */
    DQ_API_STALE,   /* to be looked up */
    DQ_API_NO_MEMORY,
} dq_api_found;

dq_api_tokens *dq_api_tokens_create(void); /* NULL: no memory */
void dq_api_tokens_destroy(dq_api_tokens *t);
/* By what is kept here, at once. asked_us (dq_mono_us): when the request came. */
dq_api_found dq_api_tokens_find(dq_api_tokens *t, dq_api_pass pass, int64_t asked_us, dq_api_who *ret);
/* The same with a look at Redis, where that is needed; blocks as a call of the client. Never STALE: what Redis has after asked_us decides, whatever
   changes while it is looked at. Below 0: it cannot be told. */
int dq_api_tokens_look_up(dq_api_tokens *t, dureq_client *client, dq_api_pass pass, int64_t asked_us, dq_api_found *ret_found,
                          dq_api_who *ret, dureq_error *err);
/* What is kept is of no use any more: some were revoked here. */
void dq_api_tokens_forget(dq_api_tokens *t);
void dq_api_who_deinit(dq_api_who *who);

/* Many at once, in two calls of the client for each 500: who let them in goes on for long. */
typedef struct dq_api_pass_check {
    dq_api_pass pass;
    bool is_over; /* it lets nobody in any more */
} dq_api_pass_check;
int dq_api_tokens_check(dureq_client *client, dq_api_pass_check *checks, size_t n, dureq_error *err);

/* ---- cookies ---- */

/* The port in "host:port" as the caller names the server; {NULL, 0}: none is there. A view. */
dureq_str dq_api_port_in(dureq_str authority);
/* The session among the cookies of a request to that port; {NULL, 0}: none. base_path NULL or empty: the root. */
dureq_str dq_api_session_in(dureq_str cookies, bool is_secure, const char *base_path, dureq_str port);
