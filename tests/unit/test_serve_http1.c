/* SPDX-License-Identifier: Apache-2.0 */
/* Heads and chunked bodies, as bytes: what is read, what is refused and by which status, and that where the bytes are cut makes no difference. */
#include "expect.h"

#include "serve/http1.h"

static dq_http_head head;
static dq_http_fault fault;

static ptrdiff_t parse(const char *text)
{
    size_t seen = 0;

    fault = (dq_http_fault){0};
    return dq_http_head_parse(dureq_str_from(text), &seen, &head, &fault);
}

TEST(a_request_is_read)
{
    const char *text = "POST /api/jobs?a=1&b=2 HTTP/1.1\r\nHost: localhost:80\r\nContent-Type:  application/json \t\r\n"
                       "content-LENGTH: 12\r\nExpect: 100-Continue\r\nX-Empty:\r\n\r\nrest";

    EXPECT_I64((int64_t)strlen(text) - 4, parse(text));
    EXPECT_STR_TEXT("POST", head.method);
    EXPECT_STR_TEXT("/api/jobs", head.path);
    EXPECT_STR_TEXT("a=1&b=2", head.query);
    EXPECT_STR_TEXT("localhost:80", head.authority);
    EXPECT_I64(1, head.minor);
    EXPECT_I64(12, head.length);
    EXPECT_TRUE(head.keeps_alive && head.expects_continue && !head.is_chunked);
    EXPECT_STR_TEXT("application/json", dq_http_field_get(&head, "content-type"));
    EXPECT_STR_TEXT("", dq_http_field_get(&head, "x-empty"));
    EXPECT_TRUE(dq_http_field_get(&head, "x-none").ptr == NULL);
}

TEST(a_head_that_is_cut_anywhere_is_waited_for)
{
    const char *text = "GET /a?b HTTP/1.1\r\nHost: [::1]:1\r\nConnection: x, close\r\n\r\n";
    size_t seen = 0;

    for (size_t n = 0; n < strlen(text); n++) {
        EXPECT_NOTE("%zu bytes", n);
        EXPECT_I64(0, dq_http_head_parse(dureq_str_of(text, n), &seen, &head, &fault));
    }
    EXPECT_I64((int64_t)strlen(text), dq_http_head_parse(dureq_str_from(text), &seen, &head, &fault));
    EXPECT_FALSE(head.keeps_alive);
}

TEST(http_1_0_closes_unless_it_says_otherwise)
{
    EXPECT_TRUE(parse("GET / HTTP/1.0\r\n\r\n") > 0);
    EXPECT_FALSE(head.keeps_alive);
    EXPECT_TRUE(parse("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n") > 0);
    EXPECT_TRUE(head.keeps_alive);
}

TEST(the_host_of_an_absolute_target_counts)
{
    EXPECT_TRUE(parse("GET http://evil.example/api HTTP/1.1\r\nHost: localhost\r\n\r\n") > 0);
    EXPECT_STR_TEXT("evil.example", head.authority);
    EXPECT_STR_TEXT("/api", head.path);
}

#define H "Host: x\r\n"

static const struct {
    const char *text;
    int status;
} bad[] = {
    {"GET / HTTP/1.1\n" H "\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: x\n\r\n", 400},
    {"\nGET / HTTP/1.1\r\n" H "\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: x\ry: z\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n" H "A: b\r\n c\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n" H "A: b\r\n\tc\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n Host: x\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n" H "A : b\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n" H "A\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n" H ": b\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n" H "A\x01: b\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n" H "A: b\x01\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n" H "A: b\x7f\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nA: b\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n" H H "\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: a@b\r\n\r\n", 400},
    {"GET  / HTTP/1.1\r\n" H "\r\n", 400},
    {" GET / HTTP/1.1\r\n" H "\r\n", 400},
    {"GET / HTTP/1.1 \r\n" H "\r\n", 400},
    {"GET /\r\n" H "\r\n", 400},
    {"GET / a HTTP/1.1\r\n" H "\r\n", 400},
    {"GET /\xc3\xa4 HTTP/1.1\r\n" H "\r\n", 400},
    {"GET /#a HTTP/1.1\r\n" H "\r\n", 400},
    {"GET a HTTP/1.1\r\n" H "\r\n", 400},
    {"GET http:///a HTTP/1.1\r\n" H "\r\n", 400},
    {"GET http://a@b/ HTTP/1.1\r\n" H "\r\n", 400},
    {"CONNECT a:1 HTTP/1.1\r\n" H "\r\n", 400},
    {"GET / http/1.1\r\n" H "\r\n", 400},
    {"GET / HTTP/1.11\r\n" H "\r\n", 400},
    {"G@T / HTTP/1.1\r\n" H "\r\n", 400},
    {"GET / HTTP/1.2\r\n" H "\r\n", 505},
    {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505},
    {"VERYLONGMETHODNAME / HTTP/1.1\r\n" H "\r\n", 501},
    {"POST / HTTP/1.1\r\n" H "Content-Length: 1\r\nContent-Length: 1\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\n" H "Content-Length: 1, 1\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\n" H "Content-Length: +1\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\n" H "Content-Length: -1\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\n" H "Content-Length: 0x1\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\n" H "Content-Length: 1 1\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\n" H "Content-Length:\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\n" H "Content-Length: 99999999999999999999\r\n\r\n", 413},
    {"POST / HTTP/1.1\r\n" H "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\n" H "Transfer-Encoding: gzip, chunked\r\n\r\n", 501},
    {"POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked, identity\r\n\r\n", 501},
    {"POST / HTTP/1.1\r\n" H "Transfer-Encoding: \x0b"
     "chunked\r\n\r\n",
     400},
    {"POST / HTTP/1.1\r\n" H "Transfer-Encoding : chunked\r\n\r\n", 400},
    {"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\n" H "Expect: 200-ok\r\n\r\n", 417},
};

TEST(what_two_programs_could_read_differently_is_refused)
{
    for (size_t i = 0; i < DQ_ARRAY_LEN(bad); i++) {
        EXPECT_NOTE("%zu: %.80s", i, bad[i].text);
        EXPECT_I64(-1, parse(bad[i].text));
        EXPECT_I64(bad[i].status, fault.status);
        EXPECT_TRUE(fault.text != NULL && !strchr(fault.text, '"'));
    }
}

TEST(a_nul_is_refused)
{
    static const char in_value[] = "GET / HTTP/1.1\r\nHost: x\0y\r\n\r\n", in_path[] = "GET /\0 HTTP/1.1\r\nHost: x\r\n\r\n",
                      in_name[] = "GET / HTTP/1.1\r\nHost: x\r\nA\0: b\r\n\r\n";
    const dureq_str rows[] = {DQ_STR_LIT(in_value), DQ_STR_LIT(in_path), DQ_STR_LIT(in_name)};

    for (size_t i = 0; i < DQ_ARRAY_LEN(rows); i++) {
        size_t seen = 0;

        EXPECT_NOTE("%zu", i);
        EXPECT_I64(-1, dq_http_head_parse(rows[i], &seen, &head, &fault));
        EXPECT_I64(400, fault.status);
    }
}

TEST(what_is_too_long_is_refused_before_its_end_is_seen)
{
    DQ_BUF_AUTO line = {0};
    DQ_BUF_AUTO fields = {0};
    DQ_BUF_AUTO many = {0};
    size_t seen = 0;

    dq_buf_append_text(&line, "GET /");
    while (line.len <= DQ_HTTP_LINE_MAX)
        dq_buf_append_char(&line, 'a');
    EXPECT_I64(-1, dq_http_head_parse(dq_buf_str(&line), &seen, &head, &fault));
    EXPECT_I64(414, fault.status);
    dq_buf_append_text(&fields, "GET / HTTP/1.1\r\nA: ");
    while (fields.len <= DQ_HTTP_HEAD_MAX)
        dq_buf_append_char(&fields, 'a');
    seen = 0;
    EXPECT_I64(-1, dq_http_head_parse(dq_buf_str(&fields), &seen, &head, &fault));
    EXPECT_I64(431, fault.status);
    dq_buf_append_text(&many, "GET / HTTP/1.1\r\nHost: x\r\n");
    for (int i = 0; i < DQ_HTTP_FIELDS_MAX; i++)
        dq_buf_append_text(&many, "A:\r\n");
    dq_buf_append_text(&many, "\r\n");
    seen = 0;
    EXPECT_I64(-1, dq_http_head_parse(dq_buf_str(&many), &seen, &head, &fault));
    EXPECT_I64(431, fault.status);
}

/* ---- chunks ---- */

/* In pieces of n bytes; how many bytes of text were read, -1: refused, -2: it is not complete. */
static ptrdiff_t unchunk(const char *text, size_t n, dq_buf *out)
{
    dq_http_chunks c = {0};
    size_t at = 0, len = strlen(text);
    bool is_done = false;

    dq_buf_clear(out);
    while (at < len && !is_done) {
        ptrdiff_t got = dq_http_chunks_read(&c, dureq_str_of(text + at, DQ_MIN(n, len - at)), SIZE_MAX, out, &is_done, &fault);

        if (got < 0)
            return -1;
        at += (size_t)got;
    }
    return is_done ? (ptrdiff_t)at : -2;
}

TEST(chunks_are_put_together_however_they_are_cut)
{
    const char *text = "4\r\nWiki\r\n0000C;a=\"b\";c\r\npedia in \r\nx\r\n0;last\r\nTrailer: y\r\nOther:\r\n\r\nGET";
    DQ_BUF_AUTO out = {0};

    for (size_t n = 1; n <= strlen(text); n++) {
        EXPECT_NOTE("%zu bytes at a time", n);
        EXPECT_I64((int64_t)strlen(text) - 3, unchunk(text, n, &out));
        EXPECT_STR_TEXT("Wikipedia in \r\nx", dq_buf_str(&out));
    }
}

TEST(chunks_that_two_programs_could_read_differently_are_refused)
{
    static const char *const rows[] = {
        "\r\n",
        "g\r\n",
        " 1\r\na\r\n0\r\n\r\n",
        "1 \r\na",
        "1\na\r\n0\r\n\r\n",
        "1\r\na\n0\r\n\r\n",
        "1\r\nab\r\n",
        "0x1\r\na",
        "-1\r\na",
        "1;a\n\r\n",
        "1;a\rb\r\n",
        "1;\x01\r\n",
        "1\r\na\r\r\n",
        "0\r\n\n",
        "0\r\nbad\r\n",
        "0\r\nb d: x\r\n",
        "0\r\n b: x\r\n",
        "0\r\na: b\n",
        "0\r\n: b\r\n",
        "1000000000000000\r\n",
        "00000000000000001\r\n",
        ";\r\n",
        "0\r\n\rx",
    };
    DQ_BUF_AUTO out = {0};

    for (size_t i = 0; i < DQ_ARRAY_LEN(rows); i++)
        for (size_t n = 1; n < 4; n += 2) {
            EXPECT_NOTE("%zu: %.40s", i, rows[i]);
            EXPECT_I64(-1, unchunk(rows[i], n, &out));
            EXPECT_I64(400, fault.status);
        }
}

TEST(extensions_and_trailers_end)
{
    DQ_BUF_AUTO text = {0};
    DQ_BUF_AUTO out = {0};

    dq_buf_append_text(&text, "1;");
    for (int i = 0; i <= DQ_HTTP_EXT_MAX; i++)
        dq_buf_append_char(&text, 'a');
    EXPECT_I64(-1, unchunk(text.ptr, 1000, &out));
    dq_buf_clear(&text);
    dq_buf_append_text(&text, "0\r\n");
    for (int i = 0; i <= DQ_HTTP_TRAILER_MAX / 2; i++)
        dq_buf_append_text(&text, "a:\r\n");
    EXPECT_I64(-1, unchunk(text.ptr, 1000, &out));
}

TEST(no_more_is_taken_than_there_is_room_for)
{
    dq_http_chunks c = {0};
    DQ_BUF_AUTO out = {0};
    bool is_done = false;

    EXPECT_I64(6, dq_http_chunks_read(&c, DQ_STR_LIT("5\r\nhello\r\n"), 3, &out, &is_done, &fault));
    EXPECT_STR_TEXT("hel", dq_buf_str(&out));
    EXPECT_FALSE(is_done);
}

TEST_MAIN()
