/* SPDX-License-Identifier: Apache-2.0 */
#include "test_store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void on_up(dq_store *store, bool same_server, void *userdata)
{
    test_store *s = userdata;

    assert_true(dq_store_is_up(store));
    s->n_up++;
    s->same_server = same_server;
    dq_buf_append_char(&s->said, 'u');
}

static void on_down(dq_store *store, const dureq_error *why, void *userdata)
{
    test_store *s = userdata;

    assert_false(dq_store_is_up(store));
    assert_true(why->code < 0);
    s->n_down++;
    s->down = *why;
    dq_buf_append_char(&s->said, 'd');
    assert_int_equal(s->n_down, s->n_up); /* once for each on_up */
}

static void on_refused(dq_store *store, const dureq_error *why, void *userdata)
{
    test_store *s = userdata;

    assert_false(dq_store_is_up(store));
    s->n_refused++;
    s->refused = *why;
    dq_buf_append_char(&s->said, 'r');
}

static void on_message(dq_store *store, unsigned shard, dureq_str name, dureq_str text, void *userdata)
{
    test_store *s = userdata;

    (void)store;
    s->n_messages++;
    dq_buf_append_fmt(&s->messages, "%u " DQ_STR_FMT "=" DQ_STR_FMT ";", shard, DQ_STR_ARG(name), DQ_STR_ARG(text));
}

static void on_queues(dq_store *store, void *userdata)
{
    test_store *s = userdata;

    (void)store;
    s->n_queues++;
    dq_buf_append_char(&s->said, 'q');
}

static void on_cycle(dq_store *store, bool ready, void *userdata)
{
    test_store *s = userdata;

    (void)store;
    *(ready ? &s->n_cycle_up : &s->n_cycle_down) += 1;
}

void test_store_open_with(test_store *s, dq_loop *loop, const dq_store_options *opts)
{
    dq_store_callbacks cb = {.on_up = on_up,
                             .on_down = on_down,
                             .on_refused = on_refused,
                             .on_message = on_message,
                             .on_queues = on_queues,
                             .on_cycle = on_cycle,
                             .userdata = s};
    dureq_error err = {0};

    *s = (test_store){.loop = loop};
    if (dq_store_create(loop, opts, &cb, &s->store, &err) < 0)
        fail_msg("%s: %s", opts->redis_url, err.msg);
}

void test_store_open(test_store *s, dq_loop *loop, const char *url, const char *prefix, unsigned shards)
{
    test_store_open_with(s, loop, &(dq_store_options){.redis_url = url, .prefix = prefix, .shards = shards});
}

void test_store_until_up(test_store *s)
{
    test_wait w;

    test_wait_begin(&w, s->loop, TEST_LIMIT_MS);
    while (!dq_store_is_up(s->store) && test_wait_turn(&w))
        ;
    if (!dq_store_is_up(s->store)) {
        dureq_error err;

        dq_store_last_error(s->store, &err);
        fail_msg("the store is not up: %s", err.msg);
    }
    test_wait_end(&w);
}

static int last_code(const test_store *s)
{
    dureq_error err;

    dq_store_last_error(s->store, &err);
    return err.code;
}

void test_store_until_error(test_store *s, int code)
{
    TEST_UNTIL(s->loop, last_code(s) == code);
}

void test_store_close(test_store *s)
{
    dq_store_destroy(s->store);
    s->store = NULL;
    dq_buf_deinit(&s->messages);
    dq_buf_deinit(&s->said);
}

void test_store_fn(void *userdata, int code, const dq_reply *reply, const dureq_error *err)
{
    test_store_answer *a = userdata;
    dq_buf bytes = {0};

    a->calls++;
    a->code = code;
    assert_true((code < 0) == (err != NULL));
    if (err) {
        assert_int_equal(err->code, code);
        a->err = *err;
        return;
    }
    assert_non_null(reply);
    dq_buf_append_str(&bytes, dq_redis_reply_raw(dq_store_redis(a->store->store, 0, DQ_CONN_MAIN)));
    dq_owned_reply_deinit(&a->owned);
    assert_int_equal(dq_owned_reply_parse(&bytes, &a->owned, NULL), 0);
}

void test_store_answer_reset(test_store_answer *a)
{
    dq_owned_reply_deinit(&a->owned);
    *a = (test_store_answer){0};
}

static test_store_answer last_answer;

dq_reply test_store_call(test_store *s, unsigned shard, dq_buf *bytes, int *ret_code)
{
    static const dq_resp_node nil = {.type = DQ_RESP_NIL, .end = 1};
    test_store_answer *a = &last_answer;

    test_store_answer_reset(a);
    a->store = s;
    assert_false(dq_buf_failed(bytes));
    assert_int_equal(dq_store_send(s->store, shard, 0, dq_buf_str(bytes), test_store_fn, a), 0);
    dq_buf_deinit(bytes);
    TEST_UNTIL(s->loop, a->calls == 1);
    if (ret_code)
        *ret_code = a->code;
    else if (a->code < 0)
        fail_msg("the call failed: %s", a->err.msg);
    return a->code < 0 ? (dq_reply){.node = &nil} : a->owned.reply;
}

const char *test_store_call_error(void)
{
    return last_answer.err.msg;
}
