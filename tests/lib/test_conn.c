/* SPDX-License-Identifier: Apache-2.0 */
#include "test_conn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static int n_answers;

static void on_ready(dq_redis *r, bool same_server, void *userdata)
{
    test_conn *c = userdata;

    assert_true(dq_redis_is_ready(r));
    c->n_ready++;
    c->same_server = same_server;
}

static void on_lost(dq_redis *r, const dureq_error *why, void *userdata)
{
    test_conn *c = userdata;

    assert_false(dq_redis_is_ready(r));
    assert_true(why->code < 0);
    c->n_lost++;
    c->why = *why;
    assert_int_equal(c->n_lost, c->n_ready); /* once for each on_ready */
}

static void on_push(dq_redis *r, dq_reply push, void *userdata)
{
    test_conn *c = userdata;
    size_t n = dq_reply_len(push);

    (void)r;
    for (size_t i = 0; i < n; i++) {
        dq_buf_append_str(&c->pushes, dq_reply_str(dq_reply_at(push, i)));
        dq_buf_append_char(&c->pushes, i + 1 < n ? ':' : ';');
    }
    c->n_push++;
}

void test_conn_open_with(test_conn *c, dq_loop *loop, const char *url, dq_redis_options base)
{
    dq_redis_callbacks cb = {.on_ready = on_ready, .on_lost = on_lost, .on_push = on_push, .userdata = c};
    dureq_error err = {0};

    *c = (test_conn){.loop = loop};
    if (dq_redis_url_parse(dureq_str_from(url), &base.url, &err) < 0)
        fail_msg("%s: %s", url, err.msg);
    if (dq_redis_create(loop, &base, &cb, &c->redis, &err) < 0)
        fail_msg("%s: %s", url, err.msg);
    dq_redis_url_deinit(&base.url);
}

void test_conn_open(test_conn *c, dq_loop *loop, const char *url)
{
    test_conn_open_with(c, loop, url, (dq_redis_options){0});
}

void test_conn_until_ready(test_conn *c)
{
    TEST_UNTIL(c->loop, dq_redis_is_ready(c->redis));
}

static int last_code(const test_conn *c)
{
    dureq_error err;

    dq_redis_last_error(c->redis, &err);
    return err.code;
}

void test_conn_until_refused(test_conn *c, int code)
{
    TEST_UNTIL(c->loop, last_code(c) == code);
}

void test_conn_close(test_conn *c)
{
    dq_redis_destroy(c->redis);
    c->redis = NULL;
    dq_buf_deinit(&c->pushes);
}

void test_answer_fn(void *userdata, int code, const dq_reply *reply, const dureq_error *err)
{
    test_answer *a = userdata;

    a->calls++;
    a->code = code;
    a->order = n_answers++;
    dq_buf_clear(&a->raw);
    if (reply)
        dq_buf_append_str(&a->raw, dq_redis_reply_raw(a->conn->redis));
    assert_true((code < 0) == (err != NULL));
    if (err) {
        assert_int_equal(err->code, code);
        a->err = *err;
    }
}

void test_answer_reset(test_answer *a)
{
    dq_buf_deinit(&a->raw);
    *a = (test_answer){0};
}

int test_conn_send(test_conn *c, unsigned flags, test_answer *a, const char *words)
{
    dureq_str rest = dureq_str_from(words), args[32];
    int n = 0;

    while (rest.len && n < (int)DQ_ARRAY_LEN(args))
        args[n++] = dq_str_cut(&rest, ' ');
    if (a)
        a->conn = c;
    return dq_redis_command(c->redis, flags, a ? test_answer_fn : NULL, a, n, args);
}

const char *test_conn_ask(test_conn *c, const char *words, int *ret_code)
{
    static test_answer a;

    test_answer_reset(&a);
    assert_int_equal(test_conn_send(c, DQ_REDIS_HOLD, &a, words), 0);
    TEST_UNTIL(c->loop, a.calls == 1);
    if (ret_code)
        *ret_code = a.code;
    else if (a.code < 0)
        fail_msg("%s: %s", words, a.err.msg);
    return a.raw.ptr ? a.raw.ptr : "";
}
