/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Tokens of the API: who they stand for. A copy of what Redis has, which is read again when it is older than two seconds: whoever was revoked is
   refused soon after. Any thread. */

#include "api/api.h"

typedef struct dq_api_tokens dq_api_tokens;

typedef struct dq_api_who {
    dq_api_role role;
    bool hides_payload;
    char name[64];
} dq_api_who;

dq_api_tokens *dq_api_tokens_create(void); /* NULL: no memory */
void dq_api_tokens_destroy(dq_api_tokens *t);
/* Reads them when the copy is too old; blocks as a call of the client. */
int dq_api_tokens_read(dq_api_tokens *t, dureq_client *client, dureq_error *err);
typedef enum dq_api_found {
    DQ_API_KNOWN,   /* *ret is who */
    DQ_API_UNKNOWN, /* no such token, or its time is over */
    DQ_API_STALE,   /* to be read first */
} dq_api_found;
dq_api_found dq_api_tokens_find(dq_api_tokens *t, dureq_str token, dq_api_who *ret);
