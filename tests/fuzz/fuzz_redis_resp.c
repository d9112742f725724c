/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"

#include <stdlib.h>

#include "redis/resp.h"

/* A reply read at once and read byte by byte is the same reply, value by value, and the pushes found in it are the same ones. What a parser
   gives lies within the input. */

enum { SLOW_MAX = 512, DEPTH_MAX = 64 };

typedef struct outcome {
    int rc;
    size_t used, n_pushes;
    dq_reply reply;
    dureq_str pushes[DQ_RESP_PUSHES_MAX];
} outcome;

static void parse_whole(dq_resp_parser *p, const char *text, size_t size, outcome *out)
{
    dureq_error err = {0};

    out->rc = dq_resp_parse(p, text, size, &out->used, &out->reply, &err);
    assert(out->rc == 0 || out->rc == 1 || (out->rc == DUREQ_EPROTO && err.code == DUREQ_EPROTO));
    if (out->rc != 1)
        return;
    assert(out->used > 0 && out->used <= size);
    out->n_pushes = dq_resp_parser_pushes(p, text, out->pushes);
}

static void parse_slowly(dq_resp_parser *p, const char *text, size_t size, outcome *out)
{
    out->rc = 0;
    for (size_t len = 0; len <= size && out->rc == 0; len++)
        parse_whole(p, text, len, out);
}

static void check_value(dq_reply r, const char *text, size_t size)
{
    dureq_str s = dq_reply_str(r);
    dureq_error err = {0};
    int code;

    assert(s.len == 0 || (s.ptr >= text && s.ptr + s.len <= text + size));
    (void)dq_reply_int(r);
    code = dq_reply_error(r, &err);
    assert(code == 0 || (err.code == code && err.msg[0]));
    (void)dq_reply_lookup(r, "key");
}

static void check_all(dq_reply r, const char *text, size_t size, int depth)
{
    size_t n = dq_reply_len(r);
    dq_reply child = n ? dq_reply_first(r) : r;

    assert(depth < DEPTH_MAX);
    check_value(r, text, size);
    for (size_t i = 0; i < n; i++) {
        check_all(child, text, size, depth + 1);
        if (i + 1 < n)
            child = dq_reply_next(child);
    }
}

static void assert_same(dq_reply a, dq_reply b)
{
    size_t n = dq_reply_len(a);
    dq_reply x, y;

    assert(dq_reply_type(a) == dq_reply_type(b) && n == dq_reply_len(b));
    assert(dq_str_eq(dq_reply_str(a), dq_reply_str(b)) && dq_reply_int(a) == dq_reply_int(b));
    if (n == 0)
        return;
    x = dq_reply_first(a);
    y = dq_reply_first(b);
    for (size_t i = 0; i < n; i++) {
        assert_same(x, y);
        if (i + 1 < n) {
            x = dq_reply_next(x);
            y = dq_reply_next(y);
        }
    }
}

static void check_against_slow(dq_resp_parser *p, const char *text, size_t size, const outcome *whole)
{
    outcome slow = {0};

    parse_slowly(p, text, size, &slow);
    assert(slow.rc == whole->rc);
    if (slow.rc != 1)
        return;
    assert(slow.used == whole->used && slow.n_pushes == whole->n_pushes);
    for (size_t i = 0; i < slow.n_pushes; i++)
        assert(dq_str_eq(slow.pushes[i], whole->pushes[i]));
    assert_same(slow.reply, whole->reply);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    dq_resp_parser *whole = NULL, *slow = NULL;
    outcome out = {.rc = 1};

    if (dq_resp_parser_create(&whole) < 0 || dq_resp_parser_create(&slow) < 0)
        abort();
    while (out.rc == 1) {
        parse_whole(whole, text, size, &out);
        if (size <= SLOW_MAX)
            check_against_slow(slow, text, size, &out);
        if (out.rc == 1) {
            check_all(out.reply, text, out.used, 0);
            text += out.used;
            size -= out.used;
            dq_resp_parser_reset(slow);
        }
    }
    dq_resp_parser_destroy(whole);
    dq_resp_parser_destroy(slow);
    return 0;
}
