/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A reply together with its bytes, for callers that keep it. */

#include "redis/resp.h"

typedef struct dq_owned_reply {
    dq_buf bytes;
    dq_resp_parser *parser;
    dq_reply reply;
} dq_owned_reply;
/* bytes: one whole reply, taken. DUREQ_EPROTO. */
int dq_owned_reply_parse(dq_buf *bytes, dq_owned_reply *ret, dureq_error *err);
void dq_owned_reply_deinit(dq_owned_reply *o);
