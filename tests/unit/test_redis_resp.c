/* SPDX-License-Identifier: Apache-2.0 */
#include "base/random.h"
#include "redis/resp.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* ---- printing a reply, to compare whole trees ---- */

static void print_value(dq_reply r, dq_buf *out)
{
    static const char *const names[] = {
        [DQ_RESP_NIL] = "nil",   [DQ_RESP_STRING] = "s",  [DQ_RESP_ERROR] = "e",
        [DQ_RESP_INTEGER] = "i", [DQ_RESP_DOUBLE] = "d",  [DQ_RESP_ARRAY] = "array",
        [DQ_RESP_MAP] = "map",   [DQ_RESP_PUSH] = "push", [DQ_RESP_BIGNUM] = "big",
    };
    dq_resp_type type = dq_reply_type(r);
    dureq_str text = dq_reply_str(r);

    dq_buf_append_text(out, names[type]);
    if (type == DQ_RESP_INTEGER)
        dq_buf_append_fmt(out, ":%lld", (long long)r.node->i);
    else if (type == DQ_RESP_ARRAY || type == DQ_RESP_MAP || type == DQ_RESP_PUSH) {
        dq_buf_append_text(out, "(");
        for (size_t i = 0; i < dq_reply_len(r); i++) {
            if (i)
                dq_buf_append_text(out, " ");
            print_value(dq_reply_at(r, i), out);
        }
        dq_buf_append_text(out, ")");
    } else if (type != DQ_RESP_NIL) {
        dq_buf_append_text(out, ":");
        dq_buf_append_str(out, text);
    }
}

static void assert_prints(dq_reply r, const char *want)
{
    DQ_BUF_AUTO out = {0};

    print_value(r, &out);
    assert_string_equal(out.ptr, want);
}

/* A copy of exactly len bytes, so that a read beyond shows under ASan. */
static char *exact_copy(const char *ptr, size_t len)
{
    char *copy = malloc(len ? len : 1);

    assert_non_null(copy);
    if (len)
        memcpy(copy, ptr, len);
    return copy;
}

/* ---- table ---- */

typedef struct good_case {
    const char *wire;
    const char *tree;
} good_case;

static const good_case good_cases[] = {
    {"+OK\r\n", "s:OK"},
    {"+\r\n", "s:"},
    {"-ERR no\r\n", "e:ERR no"},
    {":0\r\n", "i:0"},
    {":+7\r\n", "i:7"},
    {":-12\r\n", "i:-12"},
    {":9223372036854775807\r\n", "i:9223372036854775807"},
    {":-9223372036854775808\r\n", "i:-9223372036854775808"},
    {"$0\r\n\r\n", "s:"},
    {"$5\r\nhello\r\n", "s:hello"},
    {"$4\r\na\r\nb\r\n", "s:a\r\nb"},
    {"$-1\r\n", "nil"},
    {"*-1\r\n", "nil"},
    {"_\r\n", "nil"},
    {"*0\r\n", "array()"},
    {"#t\r\n", "i:1"},
    {"#f\r\n", "i:0"},
    {",3.25\r\n", "d:3.25"},
    {",inf\r\n", "d:inf"},
    {"(123456789012345678901234567890\r\n", "big:123456789012345678901234567890"},
    {"!9\r\nERR sorry\r\n", "e:ERR sorry"},
    {"=7\r\ntxt:abc\r\n", "s:abc"},
    {"=4\r\ntxt:\r\n", "s:"},
    {"*3\r\n:1\r\n$1\r\na\r\n*2\r\n_\r\n*0\r\n", "array(i:1 s:a array(nil array()))"},
    {"~2\r\n+a\r\n+b\r\n", "array(s:a s:b)"},
    {"%2\r\n+a\r\n:1\r\n+b\r\n*1\r\n:2\r\n", "map(s:a i:1 s:b array(i:2))"},
    {"%0\r\n", "map()"},
    {">3\r\n+message\r\n+ch\r\n$2\r\nhi\r\n", "push(s:message s:ch s:hi)"},
    {"|1\r\n+ttl\r\n:5\r\n$1\r\nx\r\n", "s:x"},
    {"|0\r\n:4\r\n", "i:4"},
    {"*2\r\n|1\r\n+a\r\n*1\r\n:1\r\n:7\r\n|0\r\n*1\r\n:8\r\n", "array(i:7 array(i:8))"},
    {"|1\r\n|1\r\n+x\r\n+y\r\n+k\r\n+v\r\n+z\r\n", "s:z"},
    {"*2\r\n*2\r\n+id1\r\n*2\r\n+f\r\n+v\r\n*2\r\n+id2\r\n*2\r\n+f\r\n+w\r\n",
     "array(array(s:id1 array(s:f s:v)) array(s:id2 array(s:f s:w)))"},
};

static void every_kind_of_reply_is_understood(void **state)
{
    (void)state;
    for (size_t i = 0; i < DQ_ARRAY_LEN(good_cases); i++) {
        dq_resp_parser *p;
        size_t len = strlen(good_cases[i].wire), used = 0;
        char *wire = exact_copy(good_cases[i].wire, len);
        dq_reply r;

        assert_int_equal(dq_resp_parser_create(&p), 0);
        assert_int_equal(dq_resp_parse(p, wire, len, &used, &r, NULL), 1);
        assert_int_equal(used, len);
        assert_prints(r, good_cases[i].tree);
        dq_resp_parser_destroy(p);
        free(wire);
    }
}

static void a_reply_cut_at_any_byte_is_taken_up_where_it_was_left(void **state)
{
    (void)state;
    for (size_t i = 0; i < DQ_ARRAY_LEN(good_cases); i++) {
        size_t len = strlen(good_cases[i].wire);

        for (size_t cut = 0; cut < len; cut++) {
            char *first = exact_copy(good_cases[i].wire, cut);
            char *whole = exact_copy(good_cases[i].wire, len); /* the bytes moved meanwhile */
            dq_resp_parser *p;
            size_t used = 0;
            dq_reply r;

            assert_int_equal(dq_resp_parser_create(&p), 0);
            assert_int_equal(dq_resp_parse(p, first, cut, &used, &r, NULL), 0);
            free(first);
            assert_int_equal(dq_resp_parse(p, whole, len, &used, &r, NULL), 1);
            assert_int_equal(used, len);
            assert_prints(r, good_cases[i].tree);
            dq_resp_parser_destroy(p);
            free(whole);
        }
    }
}

static void many_replies_in_random_pieces_come_out_whole(void **state)
{
    dq_rng rng;

    (void)state;
    dq_rng_seed(&rng, 42);
    for (int round = 0; round < 200; round++) {
        DQ_BUF_AUTO wire = {0};
        size_t order[40], start = 0, have = 0, done = 0;
        dq_resp_parser *p;

        for (size_t i = 0; i < DQ_ARRAY_LEN(order); i++) {
            order[i] = dq_rng_below(&rng, DQ_ARRAY_LEN(good_cases));
            dq_buf_append_text(&wire, good_cases[order[i]].wire);
        }
        assert_int_equal(dq_resp_parser_create(&p), 0);
        while (done < DQ_ARRAY_LEN(order)) {
            size_t used = 0;
            dq_reply r;
            int rc = dq_resp_parse(p, wire.ptr + start, have - start, &used, &r, NULL);

            assert_true(rc == 0 || rc == 1);
            if (rc == 1) {
                assert_prints(r, good_cases[order[done]].tree);
                start += used;
                done++;
            } else {
                have = DQ_MIN(wire.len, have + 1 + dq_rng_below(&rng, 9));
            }
        }
        assert_int_equal(start, wire.len);
        dq_resp_parser_destroy(p);
    }
}

static void a_line_fed_byte_by_byte_is_not_searched_anew_each_time(void **state)
{
    enum { LEN = 200000 };
    char *wire = malloc(LEN + 3);
    dq_resp_parser *p;
    size_t used = 0;
    dq_reply r;

    (void)state;
    assert_non_null(wire);
    memset(wire, 'x', LEN);
    wire[0] = '+';
    wire[LEN] = '\r';
    wire[LEN + 1] = '\n';
    assert_int_equal(dq_resp_parser_create(&p), 0);
    /* Quadratic work would be 2e10 byte looks: the test's time limit notices. */
    for (size_t len = 1; len < LEN + 2; len++)
        assert_int_equal(dq_resp_parse(p, wire, len, &used, &r, NULL), 0);
    assert_int_equal(dq_resp_parse(p, wire, LEN + 2, &used, &r, NULL), 1);
    assert_int_equal(dq_reply_str(r).len, LEN - 1);
    dq_resp_parser_destroy(p);
    free(wire);
}

static const char *const bad_cases[] = {
    "x\r\n",
    "\r\n",
    "$abc\r\n",
    "$\r\n",
    "$-2\r\n",
    "$536870913\r\n",
    "$1\r\nabc",
    "$1\r\na\rb",
    ":\r\n",
    ":12x\r\n",
    ":1\rx",
    ":9223372036854775808\r\n",
    ":-9223372036854775809\r\n",
    ":99999999999999999999\r\n",
    "*-2\r\n",
    "*8388609\r\n",
    "%-1\r\n",
    "~-1\r\n",
    "*1\r\n>0\r\n",
    ">0\r\n",
    "_x\r\n",
    "#x\r\n",
    "#\r\n",
    "+a\n",
    "=3\r\nabc\r\n",
    "$?\r\n",
    "*?\r\n",
    "!-1\r\n",
    "|-1\r\n",
    ":--1\r\n",
    ": 1\r\n",
};

static void damaged_replies_are_refused_with_a_reason(void **state)
{
    (void)state;
    for (size_t i = 0; i < DQ_ARRAY_LEN(bad_cases); i++) {
        size_t len = strlen(bad_cases[i]), used = 0;
        char *wire = exact_copy(bad_cases[i], len);
        dq_resp_parser *p;
        dureq_error err = {0};
        dq_reply r;
        int rc;

        assert_int_equal(dq_resp_parser_create(&p), 0);
        rc = dq_resp_parse(p, wire, len, &used, &r, &err);
        if (rc != DUREQ_EPROTO)
            fail_msg("case %zu '%s': %d", i, bad_cases[i], rc);
        assert_int_equal(err.code, DUREQ_EPROTO);
        assert_true(strlen(err.msg) > 5);
        dq_resp_parser_destroy(p);
        free(wire);
    }
}

/* Redis 7.0 does that when a script in a MULTI publishes to its own caller. */
static void pushes_in_the_middle_of_a_reply_are_set_aside(void **state)
{
    static const char wire[] = "*2\r\n:1\r\n>2\r\n+a\r\n*1\r\n:5\r\n%1\r\n>1\r\n+b\r\n+k\r\n+v\r\n+next\r\n";
    size_t reply_len = sizeof(wire) - 1 - strlen("+next\r\n");
    dureq_str pushes[DQ_RESP_PUSHES_MAX];
    dq_resp_parser *p;
    size_t used = 0;
    dq_reply r;

    (void)state;
    assert_int_equal(dq_resp_parser_create(&p), 0);
    for (size_t len = 0; len < reply_len; len++) /* offsets survive being taken up again */
        assert_int_equal(dq_resp_parse(p, wire, len, &used, &r, NULL), 0);
    assert_int_equal(dq_resp_parse(p, wire, sizeof(wire) - 1, &used, &r, NULL), 1);
    assert_int_equal(used, reply_len);
    assert_int_equal(dq_reply_len(r), 2);
    assert_int_equal(dq_reply_int(dq_reply_at(r, 0)), 1);
    assert_true(dq_str_eq_text(dq_reply_str(dq_reply_lookup(dq_reply_at(r, 1), "k")), "v"));
    assert_int_equal(dq_resp_parser_pushes(p, wire, pushes), 2);
    assert_true(dq_str_eq_text(pushes[0], ">2\r\n+a\r\n*1\r\n:5\r\n"));
    assert_true(dq_str_eq_text(pushes[1], ">1\r\n+b\r\n"));
    assert_int_equal(dq_resp_parse(p, wire + used, sizeof(wire) - 1 - used, &used, &r, NULL), 1);
    assert_int_equal(dq_resp_parser_pushes(p, wire, pushes), 0); /* those of one reply only */
    dq_resp_parser_destroy(p);
}

static void more_pushes_than_fit_are_lost_and_the_reply_is_whole(void **state)
{
    DQ_BUF_AUTO wire = {0};
    dureq_str pushes[DQ_RESP_PUSHES_MAX];
    dq_resp_parser *p;
    size_t used = 0;
    dq_reply r;

    (void)state;
    dq_buf_append_text(&wire, "*1\r\n");
    for (int i = 0; i < 1000; i++)
        dq_buf_append_text(&wire, ">1\r\n+a\r\n");
    dq_buf_append_text(&wire, ":7\r\n");
    assert_int_equal(dq_resp_parser_create(&p), 0);
    assert_int_equal(dq_resp_parse(p, wire.ptr, wire.len, &used, &r, NULL), 1);
    assert_int_equal(used, wire.len);
    assert_int_equal(dq_reply_int(dq_reply_at(r, 0)), 7);
    assert_int_equal(dq_resp_parser_pushes(p, wire.ptr, pushes), DQ_RESP_PUSHES_MAX);
    dq_resp_parser_destroy(p);
}

static void announced_sizes_alone_cost_no_memory(void **state)
{
    static const char *const greedy[] = {"*8000000\r\n", "%4000000\r\n", "$536870912\r\n",
                                         "*8000000\r\n*8000000\r\n*8000000\r\n"};

    (void)state;
    for (size_t i = 0; i < DQ_ARRAY_LEN(greedy); i++) {
        dq_resp_parser *p;
        size_t used = 0;
        dq_reply r;

        assert_int_equal(dq_resp_parser_create(&p), 0);
        dq_alloc_fail_at(0);
        assert_int_equal(dq_resp_parse(p, greedy[i], strlen(greedy[i]), &used, &r, NULL), 0);
        assert_true(dq_alloc_count() <= 1); /* the first few nodes */
        dq_resp_parser_destroy(p);
    }
}

static int parse_nested(int depth)
{
    DQ_BUF_AUTO wire = {0};
    dq_resp_parser *p;
    size_t used = 0;
    dq_reply r;
    int rc;

    for (int i = 0; i < depth; i++)
        dq_buf_append_text(&wire, "*1\r\n");
    dq_buf_append_text(&wire, ":1\r\n");
    assert_int_equal(dq_resp_parser_create(&p), 0);
    rc = dq_resp_parse(p, wire.ptr, wire.len, &used, &r, NULL);
    dq_resp_parser_destroy(p);
    return rc;
}

static void nesting_is_limited_to_32_levels(void **state)
{
    (void)state;
    assert_int_equal(parse_nested(32), 1);
    assert_int_equal(parse_nested(33), DUREQ_EPROTO);
    assert_int_equal(parse_nested(100000), DUREQ_EPROTO);
}

static void a_line_without_end_is_refused_at_a_mebibyte(void **state)
{
    size_t len = (1 << 20) + 2, used = 0;
    char *wire = malloc(len);
    dq_resp_parser *p;
    dq_reply r;

    (void)state;
    assert_non_null(wire);
    memset(wire, '+', len);
    assert_int_equal(dq_resp_parser_create(&p), 0);
    assert_int_equal(dq_resp_parse(p, wire, len - 1, &used, &r, NULL), 0);
    assert_int_equal(dq_resp_parse(p, wire, len, &used, &r, NULL), DUREQ_EPROTO);
    dq_resp_parser_destroy(p);
    free(wire);
}

static void without_memory_the_parser_says_so_and_leaks_nothing(void **state)
{
    DQ_BUF_AUTO wire = {0};
    bool done = false;

    (void)state;
    dq_buf_append_text(&wire, "*5000\r\n");
    for (int i = 0; i < 5000; i++)
        dq_buf_append_text(&wire, "*2\r\n:1\r\n$1\r\na\r\n");
    assert_false(dq_buf_failed(&wire));
    for (long n = 1; !done; n++) {
        dq_resp_parser *p = NULL;
        size_t used = 0;
        dq_reply r;
        int rc;

        assert_true(n < 100);
        dq_alloc_fail_at(n);
        rc = dq_resp_parser_create(&p);
        if (rc == 0)
            rc = dq_resp_parse(p, wire.ptr, wire.len, &used, &r, NULL);
        dq_alloc_fail_at(0);
        assert_true(rc == DUREQ_ENOMEM || rc == 1);
        done = rc == 1;
        dq_resp_parser_destroy(p);
    }
}

/* ---- reading ---- */

static void values_are_found_by_position_and_by_name(void **state)
{
    const char *wire = "*3\r\n%2\r\n+a\r\n*2\r\n:1\r\n:2\r\n+b\r\n$2\r\n42\r\n*4\r\n+x\r\n+y\r\n+a\r\n:9\r\n$1\r\nz\r\n";
    dq_resp_parser *p;
    size_t used;
    dq_reply r, map, flat;

    (void)state;
    assert_int_equal(dq_resp_parser_create(&p), 0);
    assert_int_equal(dq_resp_parse(p, wire, strlen(wire), &used, &r, NULL), 1);
    map = dq_reply_at(r, 0);
    flat = dq_reply_at(r, 1);
    assert_int_equal(dq_reply_len(dq_reply_lookup(map, "a")), 2);
    assert_int_equal(dq_reply_int(dq_reply_lookup(map, "b")), 42);
    assert_true(dq_reply_is_nil(dq_reply_lookup(map, "c")));
    assert_int_equal(dq_reply_int(dq_reply_lookup(flat, "a")), 9);
    assert_true(dq_reply_is_nil(dq_reply_lookup(flat, "y"))); /* a value, not a key */
    assert_true(dq_str_eq_text(dq_reply_str(dq_reply_at(r, 2)), "z"));
    assert_true(dq_reply_is_nil(dq_reply_at(r, 3)));
    assert_true(dq_reply_is_nil(dq_reply_at(dq_reply_at(r, 2), 0)));
    assert_int_equal(dq_reply_int(dq_reply_at(r, 2)), 0);
    assert_int_equal(dq_reply_str(map).len, 0);
    dq_resp_parser_destroy(p);
}

typedef struct error_case {
    const char *text;
    int code;
} error_case;

static void server_errors_are_told_apart(void **state)
{
    static const error_case cases[] = {
        {"LOADING Redis is loading the dataset in memory", DUREQ_ELOADING},
        {"BUSY Redis is busy running a script.", DUREQ_EBUSY},
        {"READONLY You can't write against a read only replica.", DUREQ_EREADONLY},
        {"OOM command not allowed when used memory > 'maxmemory'.", DUREQ_EREDISOOM},
        {"MOVED 3999 127.0.0.1:6381", DUREQ_EMOVED},
        {"ASK 3999 127.0.0.1:6381", DUREQ_EMOVED},
        {"NOSCRIPT No matching script. Please use EVAL.", DUREQ_ENOSCRIPT},
        {"NOPERM this user has no permissions", DUREQ_EPERM},
        {"WRONGTYPE Operation against a key", DUREQ_EWRONGTYPE},
        {"NOAUTH Authentication required.", DUREQ_EAUTH},
        {"WRONGPASS invalid username-password pair", DUREQ_EAUTH},
        {"MASTERDOWN Link with MASTER is down", DUREQ_EUNAVAILABLE},
        {"CLUSTERDOWN The cluster is down", DUREQ_EUNAVAILABLE},
        {"TRYAGAIN Multiple keys request during rehashing of slot", DUREQ_EUNAVAILABLE},
        {"MISCONF Redis is configured to save RDB snapshots", DUREQ_ENOWRITE},
        {"EXECABORT Transaction discarded", DUREQ_EREDIS},
        {"ERR max number of clients reached", DUREQ_EUNAVAILABLE},
        {"ERR unknown command 'FOO'", DUREQ_EREDIS},
        {"ERR user_script:1: boom script: abc, on @user_script:1.", DUREQ_EREDIS},
        {"DQFENCED lease is gone", DUREQ_EFENCED},
        {"DQFENCED lease is gone script: 0123, on @user_script:7.", DUREQ_EFENCED},
        {"ERR DQSCHEMA 3 script: 0123, on @user_script:7.", DUREQ_ESCHEMA},
        {"DQINVAL x", DUREQ_EINVAL},
        {"DQNOTFOUND x", DUREQ_ENOTFOUND},
        {"DQCONFLICT x", DUREQ_ECONFLICT},
        {"DQUNKNOWN x", DUREQ_EUNKNOWN},
        {"DQLIMIT", DUREQ_ELIMIT},
        {"DQNOSUCH x", DUREQ_EREDIS},
        {"", DUREQ_EREDIS},
        {"ERR", DUREQ_EREDIS},
    };

    (void)state;
    for (size_t i = 0; i < DQ_ARRAY_LEN(cases); i++)
        if (dq_resp_error_code(dureq_str_from(cases[i].text)) != cases[i].code)
            fail_msg("'%s' became %d", cases[i].text, dq_resp_error_code(dureq_str_from(cases[i].text)));
}

static void an_error_reply_gives_code_and_the_servers_text(void **state)
{
    const char *wire = "-WRONGTYPE Operation against a key\r\n";
    dq_resp_parser *p;
    size_t used;
    dureq_error err = {0};
    dq_reply r;

    (void)state;
    assert_int_equal(dq_resp_parser_create(&p), 0);
    assert_int_equal(dq_resp_parse(p, wire, strlen(wire), &used, &r, NULL), 1);
    assert_int_equal(dq_reply_error(r, &err), DUREQ_EWRONGTYPE);
    assert_string_equal(err.msg, "WRONGTYPE Operation against a key");
    dq_resp_parser_destroy(p);
}

static void an_error_without_a_text_has_a_message(void **state)
{
    static const char wire[] = "-\r\n-\0x\r\n";
    dq_resp_parser *p = NULL;
    size_t at = 0, used;
    dq_reply r;

    (void)state;
    assert_int_equal(dq_resp_parser_create(&p), 0);
    for (int i = 0; i < 2; i++, at += used) {
        dureq_error err = {0};

        assert_int_equal(dq_resp_parse(p, wire + at, sizeof wire - 1 - at, &used, &r, NULL), 1);
        assert_int_equal(dq_reply_error(r, &err), DUREQ_EREDIS);
        assert_string_equal(err.msg, dureq_errcode_text(DUREQ_EREDIS));
    }
    dq_resp_parser_destroy(p);
}

/* ---- writing ---- */

static void commands_are_written_as_the_protocol_wants(void **state)
{
    DQ_BUF_AUTO out = {0};
    static const char want[] = "*5\r\n$3\r\nSET\r\n$0\r\n\r\n$3\r\na\0b\r\n$20\r\n-9223372036854775808\r\n$2\r\n42\r\n";

    (void)state;
    dq_resp_begin(&out, 5);
    dq_resp_arg_text(&out, "SET");
    dq_resp_arg(&out, (dureq_str){0});
    dq_resp_arg(&out, DQ_STR_LIT("a\0b"));
    dq_resp_arg_i64(&out, INT64_MIN);
    dq_resp_arg_i64(&out, 42);
    assert_int_equal(out.len, sizeof(want) - 1);
    assert_memory_equal(out.ptr, want, sizeof(want)); /* NUL-ended too */
}

static void lengths_of_any_number_of_digits_are_written_right(void **state)
{
    static const size_t lengths[] = {0, 9, 10, 11, 99, 100, 101, 110, 999, 1000, 1001, 9999, 10000, 123456, 1000000};
    char *bytes = calloc(1, 1000000);

    (void)state;
    assert_non_null(bytes);
    for (size_t i = 0; i < DQ_ARRAY_LEN(lengths); i++) {
        DQ_BUF_AUTO out = {0};
        char head[32];

        dq_resp_arg(&out, dureq_str_of(bytes, lengths[i]));
        (void)snprintf(head, sizeof(head), "$%zu\r\n", lengths[i]);
        assert_memory_equal(out.ptr, head, strlen(head));
        assert_int_equal(out.len, strlen(head) + lengths[i] + 2);
        dq_buf_clear(&out);
        dq_resp_begin(&out, lengths[i]);
        head[0] = '*';
        assert_string_equal(out.ptr, head);
    }
    free(bytes);
}

static void without_memory_the_buffer_remembers_that_it_failed(void **state)
{
    bool done = false;

    (void)state;
    for (long n = 1; !done; n++) {
        DQ_BUF_AUTO out = {0};

        dq_alloc_fail_at(n);
        dq_resp_begin(&out, 3);
        for (int i = 0; i < 3; i++)
            dq_resp_arg(&out, DQ_STR_LIT("0123456789012345678901234567890123456789012345678901234567890123456789"));
        dq_alloc_fail_at(0);
        done = !dq_buf_failed(&out);
        assert_true(n < 100);
        assert_true(!done || out.len == 4 + 3 * (5 + 70 + 2));
    }
}

/* A peer may send fewer values than were asked for: whoever walks on gets nils, and stays there. */
static void a_walk_behind_the_last_value_gives_nils(void **state)
{
    static const char *const texts[] = {":1\r\n", "*0\r\n", "*1\r\n$1\r\na\r\n", "$-1\r\n", "%1\r\n+k\r\n*1\r\n:1\r\n"};

    (void)state;
    for (size_t i = 0; i < DQ_ARRAY_LEN(texts); i++) {
        dq_resp_parser *p = NULL;
        size_t used;
        dq_reply r;

        assert_int_equal(dq_resp_parser_create(&p), 0);
        assert_int_equal(dq_resp_parse(p, texts[i], strlen(texts[i]), &used, &r, NULL), 1);
        dq_reply at = dq_reply_first(r);
        for (size_t n = 0; n < dq_reply_len(r); n++)
            at = dq_reply_next(at);
        for (int n = 0; n < 10; n++) {
            assert_true(dq_reply_is_nil(at));
            assert_int_equal(dq_reply_len(at), 0);
            at = dq_reply_next(at);
        }
        dq_resp_parser_destroy(p);
    }
}

static void a_part_without_memory_makes_the_command_fail(void **state)
{
    DQ_BUF_AUTO part = {0};
    DQ_BUF_AUTO out = {0};

    (void)state;
    dq_alloc_fail_at(1);
    dq_buf_append_text(&part, "key");
    dq_alloc_fail_at(0);
    dq_resp_begin(&out, 1);
    dq_resp_arg_buf(&out, &part);
    assert_true(dq_buf_failed(&out));
    dq_buf_clear(&out);
    dq_buf_clear(&part);
    dq_buf_append_text(&part, "key");
    dq_resp_begin(&out, 1);
    dq_resp_arg_buf(&out, &part);
    assert_string_equal(out.ptr, "*1\r\n$3\r\nkey\r\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_of_reply_is_understood),
        cmocka_unit_test(a_reply_cut_at_any_byte_is_taken_up_where_it_was_left),
        cmocka_unit_test(many_replies_in_random_pieces_come_out_whole),
        cmocka_unit_test(a_line_fed_byte_by_byte_is_not_searched_anew_each_time),
        cmocka_unit_test(damaged_replies_are_refused_with_a_reason),
        cmocka_unit_test(pushes_in_the_middle_of_a_reply_are_set_aside),
        cmocka_unit_test(more_pushes_than_fit_are_lost_and_the_reply_is_whole),
        cmocka_unit_test(announced_sizes_alone_cost_no_memory),
        cmocka_unit_test(nesting_is_limited_to_32_levels),
        cmocka_unit_test(a_line_without_end_is_refused_at_a_mebibyte),
        cmocka_unit_test(without_memory_the_parser_says_so_and_leaks_nothing),
        cmocka_unit_test(values_are_found_by_position_and_by_name),
        cmocka_unit_test(a_walk_behind_the_last_value_gives_nils),
        cmocka_unit_test(server_errors_are_told_apart),
        cmocka_unit_test(an_error_reply_gives_code_and_the_servers_text),
        cmocka_unit_test(an_error_without_a_text_has_a_message),
        cmocka_unit_test(commands_are_written_as_the_protocol_wants),
        cmocka_unit_test(lengths_of_any_number_of_digits_are_written_right),
        cmocka_unit_test(without_memory_the_buffer_remembers_that_it_failed),
        cmocka_unit_test(a_part_without_memory_makes_the_command_fail),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
