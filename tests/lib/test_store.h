/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A store under test with everything it says written down, and calls waited for in the test's thread. */

#include "test_loop.h"

#include "redis/owned.h"
#include "store/store.h"

typedef struct test_store {
    dq_loop *loop; /* borrowed */
    dq_store *store;
    int n_up, n_down, n_refused, n_queues, n_cycle_up, n_cycle_down, n_messages;
    bool same_server;    /* of the last on_up */
    dureq_error down;    /* of the last on_down */
    dureq_error refused; /* of the last on_refused */
    dq_buf messages;     /* "shard name=text;" each */
    dq_buf said;         /* what came in which order: q queues, u up, d down, r refused */
} test_store;

/* Ends the test when the options are refused. */
void test_store_open_with(test_store *s, dq_loop *loop, const dq_store_options *opts);
void test_store_open(test_store *s, dq_loop *loop, const char *url, const char *prefix, unsigned shards);
void test_store_until_up(test_store *s);
void test_store_until_error(test_store *s, int code); /* until it is down for this reason */
void test_store_close(test_store *s);

/* One answer to a call, kept. */
typedef struct test_store_answer {
    test_store *store;
    int calls, code;
    dureq_error err;
    dq_owned_reply owned; /* when there was a reply */
} test_store_answer;

void test_store_fn(void *userdata, int code, const dq_reply *reply, const dureq_error *err);
void test_store_answer_reset(test_store_answer *a);
/* Sends the call in `bytes` (which is emptied) and waits for the answer. The reply is valid until the next one of this file;
   nil when it is an error. A code < 0 fails the test unless ret_code is not NULL. */
dq_reply test_store_call(test_store *s, unsigned shard, dq_buf *bytes, int *ret_code);
const char *test_store_call_error(void); /* the message of the last one */
