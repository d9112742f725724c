/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* One asynchronous, pipelined connection to a Redis server, on a loop.

   States: connecting -> greeting (AUTH, HELLO 3, SELECT, CLIENT SETNAME) -> ready -> (lost) waiting -> connecting ...
   While it is not ready, commands are refused with DUREQ_EUNAVAILABLE or held, as the caller asks per command
   (DQ_REDIS_HOLD). When the connection is lost every command in flight is answered with DUREQ_EUNAVAILABLE: whether it
   ran is not known; repeating is the caller's business. Reconnects by itself after a capped, jittered back-off
   (10 ms doubling to 1 s). A server that says that it cannot serve now (MASTERDOWN, CLUSTERDOWN, TRYAGAIN) is
   left, too, after that answer; one that takes no writes (MISCONF, NOREPLICAS) is kept, since it answers reads. Replies are answered strictly in order. Loop thread only.

   A RESP3 push (Pub/Sub message) goes to on_push. */

#include "base/log.h"
#include "io/loop.h"
#include "redis/resp.h"
#include "redis/url.h"

typedef struct dq_redis dq_redis;

/* Called once per command. On failure to get an answer `code` is negative, err says why and reply is NULL.
   A server's error reply also has code < 0 (see dq_resp_error_code) and reply set. The callback may issue commands,
   and may destroy the connection. */
typedef void (*dq_redis_reply_fn)(void *userdata, int code, const dq_reply *reply, const dureq_error *err);

typedef struct dq_redis_callbacks {
    void (*on_ready)(dq_redis *r, bool same_server, void *userdata);      /* greeted; same_server: run id as before */
    void (*on_lost)(dq_redis *r, const dureq_error *why, void *userdata); /* once for each on_ready, after the answers */
    void (*on_push)(dq_redis *r, dq_reply push, void *userdata);
    void *userdata;
} dq_redis_callbacks;

typedef struct dq_redis_options {
    dq_redis_url url;           /* duplicated */
    const char *client_name;    /* CLIENT SETNAME; NULL: none */
    int64_t connect_timeout_ms; /* 0 = 5 s */
    int64_t reply_timeout_ms;   /* oldest command unanswered for so long: connection is lost. 0 = 10 s, -1 = never */
    bool resp2;                 /* do not ask for RESP3 */
    const dq_log *log;          /* outlives the connection */
} dq_redis_options;

int dq_redis_create(dq_loop *loop, const dq_redis_options *opts, const dq_redis_callbacks *cb, dq_redis **ret,
                    dureq_error *err); /* starts connecting */
void dq_redis_destroy(dq_redis *r);    /* commands in flight are answered DUREQ_ECLOSED first */
bool dq_redis_is_ready(const dq_redis *r);
bool dq_redis_has_failed(const dq_redis *r); /* an attempt to connect, or a connection; not while the first is under way */
void dq_redis_last_error(const dq_redis *r, dureq_error *ret); /* why it is not ready; code 0 when it is */
/* Waiting does not mend it: the server refuses us, and a person must act. One that is away or starting is no such case. */
bool dq_redis_error_is_refusal(int code);
dureq_str dq_redis_server_version(const dq_redis *r);  /* "7.0.15" once greeted */
void dq_redis_reconnect(dq_redis *r, const char *why); /* drop the socket and start over now */

#define DQ_REDIS_HOLD (1u << 0) /* while not ready: keep it and send it when ready, first come first served */

/* Queue one command that the caller has appended in RESP form to dq_redis_out(r): the pattern is
       dq_buf *out = dq_redis_out(r);  dq_resp_begin(out, 2); ...; dq_redis_commit(r, flags, fn, userdata);
   Everything committed in one loop turn goes out with one write. dq_redis_commit returns 0, or DUREQ_EUNAVAILABLE (not
   ready and no HOLD; what was appended is taken back, fn is not called), or DUREQ_ENOMEM. */
dq_buf *dq_redis_out(dq_redis *r);
int dq_redis_commit(dq_redis *r, unsigned flags, dq_redis_reply_fn fn, void *userdata);
/* The same for n_replies commands appended at once: fn gets the last answer, the others are ignored. */
int dq_redis_commit_many(dq_redis *r, unsigned flags, size_t n_replies, dq_redis_reply_fn fn, void *userdata);
/* The same for a command whose RESP bytes the caller already has, in one or two pieces (copied before return). */
int dq_redis_send(dq_redis *r, unsigned flags, dureq_str head, dureq_str tail, dq_redis_reply_fn fn, void *userdata);
/* Convenience for short commands: NUL-ended words. */
int dq_redis_command(dq_redis *r, unsigned flags, dq_redis_reply_fn fn, void *userdata, int n_args, const dureq_str *args);

/* How the bytes of a reply stay alive beyond its callback: the receive buffer is reference-counted. Between
   dq_redis_reply_ref inside a callback and dq_redis_reply_unref (any thread) the reply's bytes (not its nodes) stay
   where they are. Returns NULL when out of memory. */
typedef struct dq_rbuf dq_rbuf;
dq_rbuf *dq_redis_reply_ref(dq_redis *r);
void dq_rbuf_ref(dq_rbuf *b);
void dq_rbuf_unref(dq_rbuf *b);

/* Inside a reply callback: the reply as it came, in RESP form. Valid until the callback returns, or as long as the buffer
   is held. */
dureq_str dq_redis_reply_raw(const dq_redis *r);

size_t dq_redis_in_flight(const dq_redis *r); /* commands not yet answered, held ones too */
