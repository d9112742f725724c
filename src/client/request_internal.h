/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What a call (call.c) and a wait (wait.c) are made of. Either a callback hears of the end, or a caller's thread waits for it. */

#include <stdatomic.h>

#include "client/client_internal.h"
#include "client/request.h"

typedef struct dq_request_kind {
    void (*start)(dq_request *r);                 /* loop thread; may end it */
    void (*leave)(dq_request *r);                 /* it ended; loop thread: takes it from where it waits */
    int (*late)(dq_request *r, dureq_error *err); /* what a request says whose time is over; any thread */
    void (*destroy)(dq_request *r);               /* any thread */
    bool ends_with_client;                        /* by dq_requests_close; those with a callback do in any case */
} dq_request_kind;

struct dq_request {
    const dq_request_kind *kind;
    dureq_client *client;
    dq_message start, cancel;
    dq_list link;        /* loop thread: the client's requests that end when it closes */
    dq_timer timer;      /* loop thread */
    int64_t deadline_us; /* of the timer; -1: none */
    bool is_ended;       /* loop thread */
    atomic_bool is_cancelled;
    atomic_int refs;  /* holder, loop until its end, cancel under way, call in flight */
    dq_request_fn fn; /* NULL: a thread waits */
    void *userdata;

    dq_mutex mu; /* guards the rest, all for the thread that waits */
    dq_cond cond;
    bool is_done;
    int state;
    dureq_error err; /* code 0: answered */
    dq_buf reply;
};

/* r: zeroed. deadline_us: the callback's; who waits brings its own to dq_request_await. */
void dq_request_init(dq_request *r, const dq_request_kind *kind, dureq_client *c, int64_t deadline_us, dq_request_fn fn,
                     void *userdata);
void dq_request_deinit(dq_request *r); /* by kind->destroy */
void dq_request_ref(dq_request *r);
void dq_request_unref(dq_request *r);
/* To the loop: of one that a thread waits for. */
void dq_request_post(dq_request *r);
/* The same of one with a callback. DUREQ_ECLOSED, and the request is gone, when the client is closing; else *ret (may be NULL) is the holder's. */
int dq_request_submit(dq_request *r, dq_request **ret, dureq_error *err);
/* Loop thread; nothing when it ended before. raw: the bytes of the reply. */
void dq_request_end(dq_request *r, const dq_answer *answer, dureq_str raw);
void dq_request_fail(dq_request *r, int code, const char *msg);
/* Until it ended: 0 or its code. After deadline_us (-1: none) it is cancelled, and late says what. Not on the loop thread. */
int dq_request_await(dq_request *r, int64_t deadline_us, dureq_error *err);

void dq_requests_init(dureq_client *c);
