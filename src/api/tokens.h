/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Tokens of the API and sessions: who they stand for. A copy of what Redis has, which is read again when it is older than two seconds, so that
   whoever was revoked is refused soon after; and when somebody comes whom it does not know. Any thread. */

#include "api/api.h"

dq_api_tokens *dq_api_tokens_create(void); /* NULL: no memory */
void dq_api_tokens_destroy(dq_api_tokens *t);
/* Reads them when the copy is too old for who came at asked_us (dq_mono_us); blocks as a call of the client. */
int dq_api_tokens_read(dq_api_tokens *t, dureq_client *client, int64_t asked_us, dureq_error *err);
/* What was read is of no use any more: something was changed here. */
void dq_api_tokens_forget(dq_api_tokens *t);

typedef enum dq_api_found {
    DQ_API_KNOWN,   /* *ret is who; the caller's to deinit */
    DQ_API_UNKNOWN, /* no such token, or its time is over */
    DQ_API_STALE,   /* to be read first */
    DQ_API_NO_MEMORY,
} dq_api_found;
dq_api_found dq_api_tokens_find(dq_api_tokens *t, dureq_str token, int64_t asked_us, dq_api_who *ret);
dq_api_found dq_api_tokens_find_session(dq_api_tokens *t, dureq_str session, int64_t asked_us, dq_api_who *ret);
void dq_api_who_deinit(dq_api_who *who);

/* ---- cookies ---- */

/* The port in "host:port" as the caller names the server; {NULL, 0}: none is there. A view. */
dureq_str dq_api_port_in(dureq_str authority);
/* The session among the cookies of a request to that port; {NULL, 0}: none. base_path NULL or empty: the root. */
dureq_str dq_api_session_in(dureq_str cookies, bool is_secure, const char *base_path, dureq_str port);
