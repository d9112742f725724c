/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A connection under test with everything it says written down. */

#include "test_loop.h"

#include "redis/conn.h"

typedef struct test_conn {
    dq_loop *loop; /* borrowed */
    dq_redis *redis;
    int n_ready, n_lost;
    bool same_server; /* of the last on_ready */
    dureq_error why;  /* of the last on_lost */
    int n_push;
    dq_buf pushes; /* "message:channel:payload;" each */
} test_conn;

/* Fields of `base` are kept; url is parsed into it. Ends the test when the URL or the options are refused. */
void test_conn_open_with(test_conn *c, dq_loop *loop, const char *url, dq_redis_options base);
void test_conn_open(test_conn *c, dq_loop *loop, const char *url);
void test_conn_until_ready(test_conn *c);
void test_conn_until_refused(test_conn *c, int code); /* until the last error is of that code */
void test_conn_close(test_conn *c);

/* One answer, kept as its raw RESP text. */
typedef struct test_answer {
    test_conn *conn;
    int calls, code;
    int order; /* how many answers of any kind came before */
    dureq_error err;
    dq_buf raw;
} test_answer;

void test_answer_fn(void *userdata, int code, const dq_reply *reply, const dureq_error *err);
void test_answer_reset(test_answer *a);

/* Commits one command of space-separated words. Result of dq_redis_commit. */
int test_conn_send(test_conn *c, unsigned flags, test_answer *a, const char *words);
/* The same, and waits: the raw answer, valid until the next call. The code, when `ret_code` is not NULL (then no failure). */
const char *test_conn_ask(test_conn *c, const char *words, int *ret_code);
