/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The blocking face of a connection, for any thread but the loop's: posts a command to the loop, waits for its answer. */

#include "redis/conn.h"

/* `command` is RESP bytes (one or several commands; n_replies of them; the last one's reply is returned). Waits at most
   timeout_ms (-1: for ever). On 0 *ret_bytes holds a copy of the reply's raw RESP bytes, to be parsed by the caller with
   dq_resp_parse; caller deinits. A server error reply gives its code, err filled. While the connection is away the command
   waits for it; DUREQ_ETIMEOUT, or why the connection is away, when the time is over: the command may run later all the
   same. A connection that the server refuses (DUREQ_EAUTH and the like) is told at once. `r` outlives all calls. */
int dq_redis_call(dq_loop *loop, dq_redis *r, dureq_str command, int n_replies, int64_t timeout_ms, dq_buf *ret_bytes,
                  dureq_error *err);

/* An owned reply for callers that keep it. */
typedef struct dq_owned_reply {
    dq_buf bytes;
    dq_resp_parser *parser;
    dq_reply reply;
} dq_owned_reply;
int dq_owned_reply_parse(dq_buf *bytes /* taken */, dq_owned_reply *ret, dureq_error *err);
void dq_owned_reply_deinit(dq_owned_reply *o);
