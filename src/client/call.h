/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Calls to the server from callers' threads: built there, sent by the loop, waited for. What is asked beyond the public header
   goes this way, in this layer and above. */

#include <dureq/client.h>

#include "redis/owned.h"
#include "store/keys.h"

/* A caller announces itself, so that destroy waits for it; err when the client was never connected. */
void dq_client_enter(dureq_client *c);
void dq_client_leave(dureq_client *c);
/* 0, or DUREQ_EDEADLK on the loop's own thread, which nobody may wait for there. Whoever is about to wait asks. */
int dq_client_may_wait(const dureq_client *c, dureq_error *err);
/* The same for what writes: DUREQ_ENOTFOUND where there is no prefix, and it may not be made. */
int dq_client_may_write(dureq_client *c, dureq_error *err);

#define DQ_CALL_REPEAT (1u << 0) /* safe to send again when its reply was lost */
#define DQ_CALL_LARGE \
    (1u << 8) /* times how many units of about 2 MiB the answer may take, up to 12: it waits until few such are under way */

/* Sends a script call (bytes as dq_call_... made them; taken) and waits for its answer. On 0 *ret is the caller's to deinit. DUREQ_EUNKNOWN: the
   reply was lost and the call is not one to repeat. */
int dq_client_call(dureq_client *c, unsigned shard, unsigned flags, dq_buf *call, dq_owned_reply *ret, dureq_error *err);
/* The same in two halves, so that several are under way at once: each that was begun is ended. begin: NULL when there is no memory, which end
   then says. */
void *dq_client_call_begin(dureq_client *c, unsigned shard, unsigned flags, dq_buf *call);
int dq_client_call_end(void *begun, int64_t deadline_us, dq_owned_reply *ret, dureq_error *err);
/* Any commands (RESP bytes, n_replies of them); the last reply. */
int dq_client_command(dureq_client *c, dq_buf *bytes, int n_replies, dq_owned_reply *ret, dureq_error *err);
/* A command that reads, and whose answer may be of many MB: over a connection of its own, one at a time. */
int dq_client_read_large(dureq_client *c, dq_buf *bytes, dq_owned_reply *ret, dureq_error *err);
int64_t dq_client_deadline_us(const dureq_client *c); /* -1: none */
const dq_keys *dq_client_keys(const dureq_client *c);
/* Who operates, for the audit: of this thread's calls, as dq_client_act_as said, else the client's. */
dureq_str dq_client_actor(const dureq_client *c);
/* Whoever the calls of this thread are made for from now on; NULL: the client's own actor again. Not copied. */
void dq_client_act_as(const char *actor);
/* Why nothing can be sent, as an error for a caller whose time is over. */
int dq_client_why_down(dureq_client *c, dureq_error *err);
