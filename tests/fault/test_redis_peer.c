/* SPDX-License-Identifier: Apache-2.0 */
#include "base/random.h"
#include "fake_redis.h"
#include "redis/owned.h"
#include "redis/pubsub.h"
#include "test_conn.h"

#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

/* A connection whose peer does what a real server cannot be made to do. */

static dq_loop *loop;

static int start(void **state)
{
    (void)state;
    loop = test_loop_create();
    return 0;
}

static int stop(void **state)
{
    (void)state;
    dq_loop_destroy(loop);
    return 0;
}

/* The command SAY is answered with `text`, whatever it is. */
typedef struct script {
    dureq_str text;
} script;

static bool say(void *userdata, int connection, const dureq_str *words, size_t n, dq_buf *out)
{
    const script *s = userdata;

    (void)connection;
    (void)n;
    if (!dq_str_eq_text(words[0], "SAY"))
        return false;
    dq_buf_append_str(out, s->text);
    return true;
}

/* ---- torn ---- */

static const char one_of_each[] =
    "*12\r\n+simple\r\n$4\r\nbulk\r\n$0\r\n\r\n$-1\r\n:-17\r\n,1.5e3\r\n#t\r\n_\r\n(123456789012345678901234567890\r\n"
    "=8\r\ntxt:text\r\n~2\r\n:1\r\n*0\r\n%1\r\n+key\r\n|1\r\n+meta\r\n:1\r\n*-1\r\n";

/* One byte at a time: the connection looks at every prefix of all that is said, greeting and pushes included. */
static void replies_torn_at_every_byte_are_the_same_replies(void **state)
{
    script s = {DQ_STR_LIT(">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nm\r\n")};
    fake_redis_options opts = {.fn = say, .userdata = &s, .stepped = true};
    test_answer say_it = {0}, after = {0};
    dq_buf text = {0};
    fake_redis *f;
    test_conn c;

    (void)state;
    dq_buf_append_str(&text, s.text);
    dq_buf_append_text(&text, one_of_each);
    s.text = dq_buf_str(&text);
    f = fake_redis_start(&opts);
    test_conn_open_with(&c, loop, fake_redis_url(f), (dq_redis_options){.client_name = "torn"});
    assert_int_equal(test_conn_send(&c, DQ_REDIS_HOLD, &say_it, "SAY"), 0);
    assert_int_equal(test_conn_send(&c, DQ_REDIS_HOLD, &after, "ECHO after"), 0);
    TEST_UNTIL(loop, (fake_redis_step(f), after.calls == 1));
    assert_int_equal(say_it.calls, 1);
    assert_string_equal(say_it.raw.ptr, one_of_each);
    assert_string_equal(after.raw.ptr, "$5\r\nafter\r\n");
    assert_string_equal(c.pushes.ptr, "message:c:m;");
    assert_int_equal(c.n_lost, 0);
    test_answer_reset(&say_it);
    test_answer_reset(&after);
    test_conn_close(&c);
    fake_redis_stop(f);
    dq_buf_deinit(&text);
}

static bool has_failed(const test_conn *c)
{
    dureq_error err;

    dq_redis_last_error(c->redis, &err);
    return c->n_lost > 0 || (err.code < 0 && !strstr(err.msg, "not connected yet"));
}

/* The first connection ends after `at` bytes of answers. False when all had been said by then. */
static bool survives_a_cut(size_t at)
{
    script s = {dureq_str_from(one_of_each)};
    fake_redis_options opts = {.fn = say, .userdata = &s, .has_cut = true, .cut_after = at};
    fake_redis *f = fake_redis_start(&opts);
    test_answer a = {0};
    bool answered;
    test_conn c;

    test_conn_open(&c, loop, fake_redis_url(f));
    assert_int_equal(test_conn_send(&c, DQ_REDIS_HOLD, &a, "SAY"), 0);
    TEST_UNTIL(loop, has_failed(&c) || a.calls == 1);
    answered = a.code == 0 && a.calls == 1;
    assert_true(answered || a.calls == 0 || a.code == DUREQ_EUNAVAILABLE);
    dq_redis_reconnect(c.redis, "no time for a back-off");
    assert_string_equal(test_conn_ask(&c, "ECHO again", NULL), "$5\r\nagain\r\n"); /* nothing of before is left */
    assert_int_equal(a.calls, 1); /* one that was held all the time is answered now */
    test_answer_reset(&a);
    test_conn_close(&c);
    fake_redis_stop(f);
    return !answered;
}

static void a_connection_cut_at_any_byte_comes_back(void **state)
{
    size_t at = 0;

    (void)state;
    while (survives_a_cut(at))
        at++;
    assert_true(at > strlen(one_of_each) + 100); /* the greeting was cut everywhere, too */
}

/* ---- damaged ---- */

static int code_of_saying(dureq_str text, size_t *ret_memory)
{
    script s = {text};
    fake_redis_options opts = {.fn = say, .userdata = &s};
    fake_redis *f = fake_redis_start(&opts);
    test_answer a = {0};
    size_t before;
    test_conn c;
    int code;

    test_conn_open_with(&c, loop, fake_redis_url(f), (dq_redis_options){.reply_timeout_ms = 60});
    test_conn_until_ready(&c);
    before = mallinfo2().uordblks + mallinfo2().hblkhd;
    assert_int_equal(test_conn_send(&c, 0, &a, "SAY"), 0);
    /* A reply that does not end is lost by its time-out: what it took of memory is there to be seen until then. */
    TEST_UNTIL(loop, a.calls == 1 || fake_redis_commands(f) == 4);
    for (int i = 0; i < 20 && a.calls == 0; i++)
        dq_loop_run_once(loop, /*block=*/false);
    if (ret_memory)
        *ret_memory = mallinfo2().uordblks + mallinfo2().hblkhd - before;
    TEST_UNTIL(loop, a.calls == 1);
    code = a.code;
    assert_int_equal(c.n_lost, code < 0);
    test_answer_reset(&a);
    test_conn_close(&c);
    fake_redis_stop(f);
    return code;
}

static void what_is_not_resp_costs_the_connection(void **state)
{
    static const dureq_str rows[] = {
        {"HTTP/1.1 400 Bad Request\r\n\r\n", 28},
        {"$536870913\r\n", 12}, /* one more than the limit */
        {"$99999999999999999999999\r\n", 26},
        {"*8388609\r\n", 10},
        {"%8388609\r\n", 10},
        {"*99999999999999999999999\r\n", 26},
        {"$-2\r\n", 5},
        {"*-2\r\n", 5},
        {"$1x\r\n", 5},
        {":1x\r\n", 5},
        {":\r\n", 3},
        {"#y\r\n", 4},
        {"_x\r\n", 4},
        {"$3\r\nabcde\r\n", 11}, /* longer than it said */
        {"*1\r\n>0\r\n", 8},     /* an empty push within a reply */
        {">0\r\n", 4},
        {"\0\0\0\0", 4},
        {"\r\n", 2},
    };

    (void)state;
    for (size_t i = 0; i < DQ_ARRAY_LEN(rows); i++) {
        int code = code_of_saying(rows[i], NULL);

        if (code != DUREQ_EPROTO)
            fail_msg("row %zu (%.*s): %s", i, (int)rows[i].len, rows[i].ptr, dureq_errcode_name(code));
    }
}

static void a_reply_too_deep_costs_the_connection(void **state)
{
    dq_buf text = {0};

    (void)state;
    for (int i = 0; i < 100; i++)
        dq_buf_append_text(&text, "*1\r\n");
    assert_int_equal(code_of_saying(dq_buf_str(&text), NULL), DUREQ_EPROTO);
    dq_buf_deinit(&text);
}

static void announced_sizes_take_no_memory(void **state)
{
    static const char *const rows[] = {"$536870912\r\nabc", "*8388608\r\n:1\r\n:2\r\n", "%4194304\r\n+a\r\n", "~8388608\r\n",
                                       "=536870912\r\ntxt:"};

    (void)state;
    for (size_t i = 0; i < DQ_ARRAY_LEN(rows); i++) {
        size_t memory;
        int code = code_of_saying(dureq_str_from(rows[i]), &memory);

        assert_int_equal(code, DUREQ_EUNAVAILABLE); /* nothing wrong with it but that it does not end */
        assert_in_range(memory, 0, 4 << 20);
    }
}

/* Whatever bytes come: no crash (the sanitizers look on), and the command is answered once. */
static void random_bytes_are_survived(void **state)
{
    static const char alphabet[] = "+-:$*%~>_#,(=!|\r\n\r\n\r\n0123456789-ab\0\xff";
    dq_rng rng;

    (void)state;
    dq_rng_seed(&rng, 4711);
    for (int round = 0; round < 150; round++) {
        char bytes[200];
        size_t len = 1 + dq_rng_below(&rng, sizeof(bytes));
        script s = {dureq_str_of(bytes, len)};
        fake_redis_options opts = {.fn = say, .userdata = &s};
        fake_redis *f = fake_redis_start(&opts);
        test_answer a = {0};
        test_conn c;

        for (size_t i = 0; i < len; i++)
            bytes[i] = alphabet[dq_rng_below(&rng, sizeof(alphabet) - 1)];
        test_conn_open(&c, loop, fake_redis_url(f));
        assert_int_equal(test_conn_send(&c, DQ_REDIS_HOLD, &a, "SAY"), 0);
        TEST_UNTIL(loop, a.calls == 1 || fake_redis_commands(f) == 4);
        dq_loop_run_once(loop, /*block=*/false);
        fake_redis_hang_up(f);
        TEST_UNTIL(loop, c.n_lost == 1);
        assert_int_equal(a.calls, 1);
        test_answer_reset(&a);
        test_conn_close(&c);
        fake_redis_stop(f);
    }
}

/* ---- unasked ---- */

static void say_unasked(const char *bytes, test_conn *c, fake_redis **ret)
{
    fake_redis *f = fake_redis_start(NULL);

    test_conn_open(c, loop, fake_redis_url(f));
    test_conn_until_ready(c);
    fake_redis_send(f, dureq_str_from(bytes));
    *ret = f;
}

static void a_reply_that_nobody_asked_for_costs_the_connection(void **state)
{
    fake_redis *f;
    test_conn c;

    (void)state;
    say_unasked("+OK\r\n", &c, &f);
    TEST_UNTIL(loop, c.n_lost == 1);
    assert_int_equal(c.why.code, DUREQ_EPROTO);
    test_conn_close(&c);
    fake_redis_stop(f);
}

static void a_last_word_of_the_server_is_the_reason(void **state)
{
    fake_redis *f;
    test_conn c;

    (void)state;
    say_unasked("-ERR going down now\r\n", &c, &f);
    TEST_UNTIL(loop, c.n_lost == 1);
    assert_int_equal(c.why.code, DUREQ_EREDIS);
    assert_non_null(strstr(c.why.msg, "going down now"));
    test_conn_close(&c);
    fake_redis_stop(f);
}

static void a_push_needs_nobody_to_ask(void **state)
{
    fake_redis *f;
    test_conn c;

    (void)state;
    say_unasked(">2\r\n+invalidate\r\n+key\r\n>1\r\n:1\r\n", &c, &f);
    TEST_UNTIL(loop, c.n_push == 2);
    assert_string_equal(test_conn_ask(&c, "PING", NULL), "+PONG\r\n");
    test_conn_close(&c);
    fake_redis_stop(f);
}

/* Redis does that when a script in a transaction publishes to its own caller. */
static const char with_pushes[] =
    "*2\r\n>2\r\n+a\r\n:1\r\n*1\r\n>1\r\n$3\r\nb\r\n\r\n:7\r\n>3\r\n+c\r\n*1\r\n:1\r\n+d\r\n+end\r\n";

static void pushes_within_a_reply_are_told_before_it_and_are_no_part_of_it(void **state)
{
    script s = {dureq_str_from(with_pushes)};

    (void)state;
    for (int stepped = 0; stepped < 2; stepped++) {
        fake_redis_options opts = {.fn = say, .userdata = &s, .stepped = stepped};
        fake_redis *f = fake_redis_start(&opts);
        test_answer a = {0};
        dq_owned_reply o;
        test_conn c;

        test_conn_open(&c, loop, fake_redis_url(f));
        assert_int_equal(test_conn_send(&c, DQ_REDIS_HOLD, &a, "SAY"), 0);
        TEST_UNTIL(loop, ((void)(stepped && fake_redis_step(f)), a.calls == 1));
        assert_string_equal(c.pushes.ptr, "a:;b\r\n;c::d;");
        assert_int_equal(dq_owned_reply_parse(&a.raw, &o, NULL), 0);
        assert_int_equal(dq_reply_len(o.reply), 2);
        assert_int_equal(dq_reply_int(dq_reply_at(dq_reply_at(o.reply, 0), 0)), 7);
        assert_true(dq_str_eq_text(dq_reply_str(dq_reply_at(o.reply, 1)), "end"));
        dq_owned_reply_deinit(&o);
        test_answer_reset(&a);
        test_conn_close(&c);
        fake_redis_stop(f);
    }
}

static void of_very_many_pushes_within_a_reply_the_first_are_told(void **state)
{
    dq_buf text = {0};
    script s;
    fake_redis_options opts = {.fn = say, .userdata = &s};
    fake_redis *f = fake_redis_start(&opts);
    test_conn c;

    (void)state;
    dq_buf_append_text(&text, "*1\r\n");
    for (int i = 0; i < DQ_RESP_PUSHES_MAX + 10; i++)
        dq_buf_append_text(&text, ">1\r\n+x\r\n");
    dq_buf_append_text(&text, ":5\r\n");
    s.text = dq_buf_str(&text);
    test_conn_open(&c, loop, fake_redis_url(f));
    (void)test_conn_ask(&c, "SAY", NULL);
    assert_int_equal(c.n_push, DQ_RESP_PUSHES_MAX);
    assert_string_equal(test_conn_ask(&c, "PING", NULL), "+PONG\r\n");
    test_conn_close(&c);
    fake_redis_stop(f);
    dq_buf_deinit(&text);
}

static void destroy_at_push(dq_redis *r, dq_reply push, void *userdata)
{
    (void)push;
    ++*(int *)userdata;
    dq_redis_destroy(r);
}

static void it_may_be_destroyed_at_a_push_within_a_reply(void **state)
{
    script s = {dureq_str_from(with_pushes)};
    fake_redis_options opts = {.fn = say, .userdata = &s};
    fake_redis *f = fake_redis_start(&opts);
    int n_push = 0;
    dq_redis_callbacks cb = {.on_push = destroy_at_push, .userdata = &n_push};
    dq_redis_options o = {0};
    test_conn c = {.loop = loop};
    test_answer a = {0};

    (void)state;
    assert_int_equal(dq_redis_url_parse(dureq_str_from(fake_redis_url(f)), &o.url, NULL), 0);
    assert_int_equal(dq_redis_create(loop, &o, &cb, &c.redis, NULL), 0);
    assert_int_equal(test_conn_send(&c, DQ_REDIS_HOLD, &a, "SAY"), 0);
    TEST_UNTIL(loop, a.calls == 1);
    assert_int_equal(n_push, 1);
    assert_int_equal(a.code, DUREQ_ECLOSED);
    test_answer_reset(&a);
    dq_redis_url_deinit(&o.url);
    fake_redis_stop(f);
}

static bool confirm_wrongly(void *userdata, int connection, const dureq_str *words, size_t n, dq_buf *out)
{
    (void)userdata;
    (void)connection;
    (void)n;
    if (!dq_str_eq_text(words[0], "SUBSCRIBE"))
        return false;
    dq_buf_append_text(out, "+OK\r\n");
    return true;
}

static void a_subscription_answered_with_something_else_costs_the_connection(void **state)
{
    fake_redis_options opts = {.fn = confirm_wrongly};
    fake_redis *f = fake_redis_start(&opts);
    test_conn c;

    (void)state;
    test_conn_open(&c, loop, fake_redis_url(f));
    test_conn_until_ready(&c);
    assert_int_equal(dq_redis_subscribe(c.redis, false, DQ_STR_LIT("x")), 0);
    TEST_UNTIL(loop, c.n_lost == 1);
    assert_int_equal(c.why.code, DUREQ_EPROTO);
    test_conn_close(&c);
    fake_redis_stop(f);
}

/* ---- greeting ---- */

static void a_server_without_hello_is_spoken_to_in_resp2(void **state)
{
    fake_redis_options opts = {.no_hello = true, .version = "4.0.14"};
    fake_redis *f = fake_redis_start(&opts);
    test_conn c;

    (void)state;
    test_conn_open_with(&c, loop, fake_redis_url(f), (dq_redis_options){.client_name = "old"});
    test_conn_until_ready(&c);
    assert_true(dq_str_eq_text(dq_redis_server_version(c.redis), "4.0.14"));
    assert_string_equal(test_conn_ask(&c, "ECHO x", NULL), "$1\r\nx\r\n");
    assert_int_equal(fake_redis_connections(f), 1); /* on the same connection */
    test_conn_close(&c);
    fake_redis_stop(f);
}

static bool answer_all_with(void *userdata, int connection, const dureq_str *words, size_t n, dq_buf *out)
{
    (void)connection;
    (void)words;
    (void)n;
    dq_buf_append_text(out, userdata);
    return true;
}

static void a_greeting_answered_with_nonsense_is_refused(void **state)
{
    static const struct {
        const char *answer;
        int code;
    } rows[] = {
        {"HTTP/1.1 400 Bad Request\r\n", DUREQ_EPROTO},
        {"-NOAUTH Authentication required.\r\n", DUREQ_EAUTH},
        {"-ERR something else\r\n", DUREQ_EREDIS},
        {"+OK\r\n+OK\r\n", DUREQ_EPROTO}, /* more answers than questions */
    };

    (void)state;
    for (size_t i = 0; i < DQ_ARRAY_LEN(rows); i++) {
        fake_redis_options opts = {.fn = answer_all_with, .userdata = (void *)rows[i].answer};
        fake_redis *f = fake_redis_start(&opts);
        test_conn c;

        test_conn_open(&c, loop, fake_redis_url(f));
        TEST_UNTIL(loop, has_failed(&c));
        test_conn_until_refused(&c, rows[i].code);
        test_conn_close(&c);
        fake_redis_stop(f);
    }
}

static void a_peer_that_hangs_up_at_once_is_tried_again_ever_more_rarely(void **state)
{
    fake_redis_options opts = {.has_cut = true, .cut_after = 0};
    fake_redis *f = fake_redis_start(&opts);
    dureq_error err;
    test_conn c;

    (void)state;
    test_conn_open(&c, loop, fake_redis_url(f));
    TEST_UNTIL(loop, has_failed(&c));
    dq_redis_last_error(c.redis, &err);
    assert_int_equal(err.code, DUREQ_EUNAVAILABLE);
    test_conn_until_ready(&c); /* the second one holds */
    for (int i = 2; i < 6; i++) {
        fake_redis_hang_up(f);
        TEST_UNTIL(loop, c.n_ready == i);
        assert_int_equal(fake_redis_connections(f), i + 1); /* no attempts in vain */
    }
    test_conn_close(&c);
    fake_redis_stop(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replies_torn_at_every_byte_are_the_same_replies),
        cmocka_unit_test(a_connection_cut_at_any_byte_comes_back),
        cmocka_unit_test(what_is_not_resp_costs_the_connection),
        cmocka_unit_test(a_reply_too_deep_costs_the_connection),
        cmocka_unit_test(announced_sizes_take_no_memory),
        cmocka_unit_test(random_bytes_are_survived),
        cmocka_unit_test(a_reply_that_nobody_asked_for_costs_the_connection),
        cmocka_unit_test(a_last_word_of_the_server_is_the_reason),
        cmocka_unit_test(a_push_needs_nobody_to_ask),
        cmocka_unit_test(pushes_within_a_reply_are_told_before_it_and_are_no_part_of_it),
        cmocka_unit_test(of_very_many_pushes_within_a_reply_the_first_are_told),
        cmocka_unit_test(it_may_be_destroyed_at_a_push_within_a_reply),
        cmocka_unit_test(a_subscription_answered_with_something_else_costs_the_connection),
        cmocka_unit_test(a_server_without_hello_is_spoken_to_in_resp2),
        cmocka_unit_test(a_greeting_answered_with_nonsense_is_refused),
        cmocka_unit_test(a_peer_that_hangs_up_at_once_is_tried_again_ever_more_rarely),
    };

    return cmocka_run_group_tests(tests, start, stop);
}
