/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the files of the server share. A connection (conn.c) reads one request at a time into an exchange (exchange.c), which is answered by the
   loop or by a thread (workers.c); the answer comes back through the exchange's mailbox message. All but the exchange's marked part and the
   workers is the loop thread's. */

#include <stdatomic.h>

#include "api/events.h"
#include "api/operator.h"
#include "api/tokens.h"
#include "base/map.h"
#include "base/mutex.h"
#include "io/loop.h"
#include "serve/http1.h"
#include "serve/pages.h"
#include "serve/proxies.h"
#include "serve/serve.h"
#include "serve/tls.h"
#include "serve/users.h"
#include "serve/ws.h"

#include <event2/event_struct.h>

#include <sys/socket.h>

#define DQ_SERVE_HELD_MAX   (INT64_C(256) << 20) /* bodies and answers of all connections */
#define DQ_SERVE_UNSENT_MAX (1 << 20)            /* of a long answer, before who makes it waits */
#define DQ_SERVE_BODY_MAX   (INT64_C(8) << 20)
#define DQ_SERVE_QUEUE_MAX  1024 /* requests that wait for a thread */
#define DQ_SERVE_SCANS_MAX  4    /* threads for those that scan */
#define DQ_SERVE_ACTOR_MAX  64
#define DQ_SERVE_BASE_MAX   256  /* of basePath */
#define DQ_SERVE_BRIEF_MAX  4096 /* a body that is taken of anybody, as that of a sign-in; a larger one only of who is let in */

typedef struct dq_conn dq_conn;
typedef struct dq_stream dq_stream;
typedef struct dq_stream_checks dq_stream_checks;

/* ---- workers.c: threads for what blocks ---- */
typedef struct dq_work {
    dq_list link;
    void (*run)(struct dq_work *w); /* on a thread; may free it */
    bool scans;
} dq_work;

typedef struct dq_workers dq_workers;
dq_workers *dq_workers_create(unsigned n_max); /* NULL: no memory */
/* False: too many wait already. */
bool dq_workers_push(dq_workers *w, dq_work *work);
void dq_workers_destroy(dq_workers *w); /* after all that was pushed ran */

/* ---- guard.c: who may ask at all ---- */
typedef struct dq_caller {
    bool is_local;     /* over a Unix socket and for itself: it may do all */
    bool is_secure;    /* by TLS, to us or to a proxy */
    dureq_str session; /* of its cookie; {NULL, 0}: none, or a token came along */
    dq_user user;      /* whom a proxy lets in */
    dureq_str port;    /* in the name that it has for this server; {NULL, 0}: none */
    char name[DQ_SERVE_ACTOR_MAX];
} dq_caller;
/* session, user, port: views into the head. False with *fault: it is refused. */
bool dq_guard_caller(const dq_conn *c, const dq_http_head *head, dq_caller *ret, dq_http_fault *fault);
bool dq_guard_passes(const dq_conn *c, const dq_caller *caller, const dq_http_head *head, dq_http_fault *fault);

/* ---- exchange.c: a request and its answer ---- */
typedef struct dq_exchange {
    dq_api_sink sink;
    dq_server *server;
    dq_conn *conn; /* loop thread; NULL: it is gone */
    dq_work work;
    dq_message message, looked_up;
    dureq_error tokens_err;
    const char *token, *session;       /* as they were sent; NULL: none */
    const char *last_event_id;         /* likewise */
    char ws_accept[DQ_WS_ACCEPT_TEXT]; /* of a request to become a WebSocket; empty: it is none */
    int64_t asked_us;                  /* when it was asked last who it is */
    int64_t checked_us;                /* the answering side's: when it last saw that the token was good */
    dq_api_found found;                /* what a thread looked up, as `who` */
    dq_api_who who;
    dq_user user; /* without its name, which is in req */
    bool has_who, is_local;
    bool awaits_body; /* it is not let in yet: whose body it is comes first */
    bool may_wait;    /* it is limited, and what it waits for is within its limits */
    dq_buf text;      /* what req points to */
    dq_buf body;
    dq_api_request req;
    char actor[DQ_SERVE_ACTOR_MAX], address[DQ_SERVE_ACTOR_MAX]; /* address: who it is without a token */
    bool is_head_only;
    dq_api_wait *wait;   /* loop thread; NULL: it waits for nothing */
    dq_api_quick *quick; /* loop thread; NULL: no thread answers it */
    dq_api_waited waited;
    atomic_bool is_gone; /* nobody waits for the answer, as it seems */
    atomic_bool is_left; /* the connection is no more */
    int64_t held;        /* of the body, counted in the server's */
    atomic_int refs;     /* connection, whoever answers, message under way */

    dq_mutex mu; /* guards the rest */
    dq_cond cond;
    dq_api_response head;
    int64_t length;
    dq_buf out;
    bool has_begun, has_ended, is_whole, is_posted;
    size_t n_unsent; /* went to the connection and is not sent yet */
} dq_exchange;

/* What came of an answer since the last time. */
typedef struct dq_answer_part {
    dq_api_response head;
    int64_t length;
    dq_buf bytes;
    bool begins, ends, is_whole;
    bool needs_no_room; /* it goes out however much is held */
} dq_answer_part;

dq_exchange *dq_exchange_create(dq_conn *c, const dq_caller *caller, const dq_http_head *head);
void dq_exchange_ref(dq_exchange *e);
void dq_exchange_unref(dq_exchange *e);
void dq_exchange_begin(dq_exchange *e); /* its head is there: dq_conn_take_body when it is let in; it may be gone after it */
void dq_exchange_start(dq_exchange *e); /* its body is there; likewise */
void dq_exchange_leave(dq_exchange *e); /* the connection lets go; whoever answers hears of it */
void dq_exchange_stop_waiting(dq_exchange *e); /* it is answered soon */
void dq_exchange_sent(dq_exchange *e, size_t n);
bool dq_exchange_pass(const dq_exchange *e, dq_api_pass *ret); /* what it was let in by; a view. False: nothing was needed */

/* ---- conn.c ---- */
typedef enum dq_conn_phase {
    DQ_CONN_HEAD,   /* waits for a request, or reads its head */
    DQ_CONN_WHO,    /* it is looked up who asks; the body stays where it is meanwhile */
    DQ_CONN_BODY,   /* reads its body */
    DQ_CONN_BUSY,   /* it is being answered */
    DQ_CONN_FLUSH,  /* all of the answer is known, and goes out */
    DQ_CONN_LINGER, /* the last answer is out; what still comes is thrown away, so that the answer is not lost with it */
} dq_conn_phase;

typedef struct dq_peer { /* an address that is counted */
    char key[20];
    size_t key_len;
    unsigned n;
} dq_peer;

struct dq_conn {
    dq_server *server;
    dq_list link;      /* server's all */
    dq_list wait_link; /* server's waiting: no request under way, the longest first */
    dq_peer *peer;     /* NULL: not counted */
    int fd;
    dq_serve_tls_conn *tls; /* NULL: in clear */
    struct event readable, writable;
    dq_timer timer;
    int64_t deadline_us, timer_at_us;
    dq_conn_phase phase;
    dq_buf in, out;
    size_t seen;    /* of in, by the head's parser */
    size_t n_out;   /* of out, sent */
    size_t n_drunk; /* thrown away while it lingers */
    dq_http_chunks chunks;
    int64_t body_left;
    dq_exchange *exchange;
    dq_stream *stream; /* its answer goes on; NULL: it does not */
    int64_t held;      /* of out, counted in the server's */
    dq_deferred next;
    int minor;     /* of the HTTP/1 that the request speaks */
    bool is_local; /* a Unix socket */
    bool is_proxy; /* its word for whom it asks is believed */
    bool is_chunked_in, is_chunked_out, has_no_body_out, expects_continue;
    bool closes, is_reading, is_writing, has_skipped_line;
    char name[DQ_SERVE_ACTOR_MAX]; /* for the audit */
};

typedef struct dq_origin { /* where a connection comes from */
    dq_peer *peer;
    bool is_local, is_proxy;
    char name[DQ_SERVE_ACTOR_MAX];
} dq_origin;
void dq_conn_open(dq_server *s, int fd, const dq_origin *from);
void dq_conn_close(dq_conn *c);
void dq_conn_take_body(dq_conn *c);                  /* of the exchange that is begun; the connection may be gone after it */
void dq_conn_part(dq_conn *c, dq_answer_part *part); /* bytes are taken */
void dq_conn_fault(dq_conn *c, const dq_http_fault *fault); /* answers it, and closes */
/* Of the server that stops: those that wait are closed, the others close after their answer. */
void dq_conn_drain(dq_conn *c);

/* ---- stream.c: answers that go on ---- */
void dq_stream_begin(dq_exchange *e); /* answers it, also by a refusal */
void dq_stream_close(dq_conn *c);     /* fine when there is none */
void dq_stream_go_on(dq_conn *c);     /* all is sent; the connection may be gone after it, and after the next */
bool dq_stream_has_more(const dq_conn *c);
bool dq_stream_reads(const dq_conn *c);   /* it is a WebSocket: what comes is for it */
void dq_stream_read(dq_conn *c);          /* what is in c->in; the connection may be gone after it */
void dq_stream_end(dq_conn *c, int code); /* says goodbye; code: of a WebSocket */
void dq_stream_beat(dq_conn *c);
void dq_stream_check(dq_timer *t);
void dq_stream_snapshots(dq_timer *t);

/* ---- pages.c: the dashboard ---- */
int dq_pages_init(dq_server *s, const dq_page *pages, const char *base_path, dureq_error *err);
void dq_pages_strip(const dq_server *s, dq_http_head *head); /* the base path, when it is there: a proxy may leave it */
/* False: the request is for something else. Else its whole answer is in `out`. */
bool dq_pages_answer(dq_server *s, const dq_http_head *head, bool closes, dq_buf *out);

/* ---- answer.c: bytes of answers ---- */
const char *dq_answer_date(dq_server *s); /* for Date; until the next call */
void dq_answer_head(dq_server *s, const dq_api_response *r, int64_t length, int minor, bool closes, dq_buf *out);
void dq_answer_fault(dq_server *s, const dq_http_fault *fault, bool has_no_body, dq_buf *out); /* the connection closes */

/* ---- listen.c ---- */
typedef struct dq_listener {
    dq_server *server;
    int fd;
    bool is_local, is_on;
    struct event event;
    char name[160]; /* as people write it */
    char *path;     /* of a Unix socket */
} dq_listener;

int dq_listener_open(dq_listener *l, dq_server *s, const char *address, const char *stays_local, dureq_error *err);
void dq_listener_on(dq_listener *l);
void dq_listener_off(dq_listener *l);
void dq_listener_close(dq_listener *l);
void dq_listen_left(dq_server *s, dq_peer *peer); /* a connection of this address is gone; NULL: of one that is not counted */

/* ---- server.c ---- */
void dq_server_conn_gone(dq_server *s);

struct dq_server {
    dureq_client *client;
    dq_loop *loop;
    dq_workers *workers;
    dq_serve_tls *tls;      /* NULL: none is spoken */
    dq_serve_tls *next_tls; /* on its way from or to who reloads */
    dq_api_tokens *tokens;
    dq_proxies *proxies;
    dq_users *users; /* NULL: no proxy names any */
    dq_api_meter *meter;
    dq_api_operator *operations;
    bool needs_token;
    const dq_log *log;
    dq_listener *listeners;
    size_t n_listeners;
    char *hosts, *origins;
    const dq_page *pages;                  /* NULL: none */
    char base_path[DQ_SERVE_BASE_MAX + 1]; /* "/dureq"; empty: the root */
    dq_buf index;
    int64_t body_max, head_timeout_us, idle_timeout_us;
    unsigned connections_max, per_address_max;

    dq_api_streams *streams_of_api;
    dq_list streams;
    dq_timer check; /* of their tokens */
    dq_work checking;
    dq_message checked;
    dq_stream_checks *checks; /* under way; NULL: none are */
    dq_timer snap;            /* reads snapshots again */
    dq_work snapping;
    dq_message snapped;
    bool is_snapping;

    dq_list conns, waiting;
    unsigned n_conns;
    dq_map peers;
    atomic_llong held;
    bool is_draining;
    int spare_fd;   /* given up for a moment when descriptors are used up */
    dq_timer again; /* accepts again */
    int64_t date_s;
    char date[40];

    dq_mutex mu; /* guards the rest */
    dq_cond cond;
    bool is_done;  /* a message to the loop was carried out */
    bool is_empty; /* no connection is left */
    atomic_int n_exchanges;
    atomic_uint n_conns_now;      /* n_conns, for other threads */
    atomic_ullong n_answers[500]; /* by status, from 100 on */
};
