/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the files of one connection share: conn.c (states, commands, replies), socket.c (descriptor, bytes), hello.c
   (greeting), pubsub.c. Nobody outside of src/redis includes this. */

#include "base/random.h"
#include "io/resolve.h"
#include "redis/conn.h"
#include "redis/pubsub.h"
#include "redis/rbuf.h"
#include "redis/tls.h"

struct event;

typedef enum dq_conn_state {
    DQ_CONN_WAITING,    /* for the back-off timer */
    DQ_CONN_CONNECTING, /* for the address or the socket */
    DQ_CONN_TLS,        /* for the handshake */
    DQ_CONN_GREETING,   /* for the answers of hello.c */
    DQ_CONN_READY,
    DQ_CONN_CLOSED, /* destroyed, perhaps not yet freed */
} dq_conn_state;

typedef enum dq_pending_kind {
    DQ_PENDING_COMMAND,
    DQ_PENDING_SUBSCRIBE,   /* answered by a push */
    DQ_PENDING_UNSUBSCRIBE, /* likewise */
} dq_pending_kind;

typedef struct dq_pending {
    dq_redis_reply_fn fn; /* NULL: nobody cares */
    void *userdata;
    int64_t at_mono_us; /* committed, or sent if it was held */
    dq_pending_kind kind;
} dq_pending;

/* Commands not yet answered, oldest first. cap is a power of two. */
typedef struct dq_pending_ring {
    dq_pending *slots;
    size_t cap, head, n;
} dq_pending_ring;

typedef enum dq_hello_step {
    DQ_HELLO_HELLO,
    DQ_HELLO_AUTH,
    DQ_HELLO_SETNAME,
    DQ_HELLO_SELECT,
    DQ_HELLO_INFO,
    DQ_HELLO_PING,
    DQ_HELLO_SUBSCRIBE,
} dq_hello_step;

enum { DQ_HELLO_STEPS_MAX = 8, DQ_RUN_ID_MAX = 64, DQ_VERSION_MAX = 32 };

typedef struct dq_hello {
    dq_buf out;
    size_t sent;
    dq_hello_step steps[DQ_HELLO_STEPS_MAX];
    size_t n, i;            /* steps sent, steps answered */
    size_t subscribes_left; /* confirmations still to come */
    bool speaks_resp3;
    bool must_fall_back; /* no HELLO here: once more in RESP2 */
    bool is_paused;      /* the server is loading or busy: ask again later */
    char run_id[DQ_RUN_ID_MAX];
    char version[DQ_VERSION_MAX];
} dq_hello;

struct dq_redis {
    dq_loop *loop;
    dq_redis_url url;
    char *client_name;
    char *address; /* the URL without secrets, for messages */
    int64_t connect_timeout_us;
    int64_t reply_timeout_us; /* -1: never */
    bool wants_resp2;
    bool subscribe_refused; /* at least once over this connection */
    size_t n_asked_again;   /* for channels, not confirmed yet and none refused */
    const dq_log *log;
    dq_redis_callbacks cb;
    dq_tls_context *tls_ctx;

    dq_conn_state state; /* written by conn.c only */
    unsigned pins;       /* frames on the stack that still need `this` */
    dureq_error last_error;
    unsigned failures; /* attempts since the connection last held */
    int64_t ready_at_mono_us, last_byte_us;
    dq_rng rng;
    dq_timer state_timer; /* end of the attempt, or of the wait */
    dq_timer reply_timer;
    bool reply_timer_is_set;

    dq_buf out;  /* not ready: held commands. Ready: [sent, len) is still to be written */
    size_t mark; /* end of the last committed command */
    size_t sent;
    dq_deferred flush;
    dq_pending_ring ring;

    int fd; /* -1: none */
    struct event *ev_read, *ev_write;
    bool wants_write; /* ev_write is on */
    dq_tls *tls;
    dq_resolve *lookup;
    dq_address addresses[8];
    size_t n_addresses, address_i, addresses_tried;
    dq_timer again_timer; /* the backlog was full */
    int64_t again_us;     /* the last wait for it in this attempt; 0: none yet */
    dq_deferred read_more;

    dq_inbox in;
    dq_resp_parser *parser;
    dureq_str raw; /* bytes of the reply being answered */

    dq_hello hello;
    char run_id[DQ_RUN_ID_MAX];
    char version[DQ_VERSION_MAX];

    dq_list subscriptions;
};

/* conn.c */
void dq_conn_pin(dq_redis *r);
void dq_conn_unpin(dq_redis *r); /* may free it */
void dq_conn_lost(dq_redis *r, const dureq_error *why);
void dq_conn_connected(dq_redis *r); /* the socket is open; next TLS or greeting */
void dq_conn_secured(dq_redis *r);   /* the TLS session stands; next greeting */
void dq_conn_greeted(dq_redis *r);
void dq_conn_take_reply(dq_redis *r, dq_reply reply);
int dq_conn_commit_kind(dq_redis *r, dq_pending_kind kind); /* what was appended to `out`; its answer is nobody's */

/* socket.c */
void dq_socket_connect(dq_redis *r);
void dq_socket_close(dq_redis *r);
void dq_socket_flush(dq_redis *r); /* greeting first, then commands if ready */
void dq_socket_on_read_more(dq_deferred *d);
void dq_socket_on_again(dq_timer *t);

/* hello.c */
void dq_hello_start(dq_redis *r);
void dq_hello_take_reply(dq_redis *r, dq_reply reply);
void dq_hello_on_timer(dq_redis *r); /* the pause is over, or the answers did not come */
void dq_hello_deinit(dq_hello *h);

/* pubsub.c */
size_t dq_pubsub_append_all(dq_redis *r, dq_buf *out); /* commands for all that is wanted; how many */
void dq_pubsub_after_greeting(dq_redis *r);            /* those added since */
void dq_pubsub_on_lost(dq_redis *r);
void dq_pubsub_on_refused(dq_redis *r, const dureq_error *why);
void dq_pubsub_on_confirmed(dq_redis *r); /* may end the connection */
void dq_pubsub_ask_again(dq_redis *r);    /* for all of them */
void dq_pubsub_deinit(dq_redis *r);
bool dq_pubsub_is_confirmation(dq_reply push, dq_pending_kind *ret_kind);
