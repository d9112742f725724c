/* SPDX-License-Identifier: Apache-2.0 */
#include "json/json.h"

#include "expect.h"

#include <stdlib.h>

/* In memory of its exact size, so that a read beyond the end is seen by ASan. */
static char *exact_copy(dureq_str text)
{
    char *copy = malloc(text.len ? text.len : 1);

    assert_non_null(copy);
    if (text.len)
        memcpy(copy, text.ptr, text.len);
    return copy;
}

static int parse(dureq_str text, dureq_error *err)
{
    char *copy = exact_copy(text);
    dq_json doc;
    int rc = dq_json_parse(dureq_str_of(copy, text.len), &doc, err);

    EXPECT_I64(rc == 0, dq_json_valid(dureq_str_of(copy, text.len))); /* the two ways agree */
    if (rc < 0)
        EXPECT_PTR(NULL, doc.nodes);
    dq_json_deinit(&doc);
    free(copy);
    return rc;
}

/* ---- what is JSON ---- */

TEST(every_form_of_rfc_8259_is_taken)
{
    static const char *const texts[] = {
        "null",
        "true",
        "false",
        "0",
        "-0",
        "\"\"",
        "[]",
        "{}",
        " \t\r\n1 \t\r\n",
        "[ ]",
        "{ }",
        "[[]]",
        "[{}]",
        "{\"\":{}}",
        "[1,2,3]",
        "[1 , 2]",
        "{\"a\":1,\"b\":[true,false,null]}",
        "{ \"a\" : 1 , \"b\" : 2 }",
        "{\"a\":1,\"a\":2}",
        "1.5",
        "-1.5e10",
        "1E+2",
        "1e-2",
        "0.0",
        "0e0",
        "123456789012345678901234567890",
        "1e400",
        "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"",
        "\"\\u0000\"",
        "\"\\uD83D\\uDE00\"",
        "\"\\ud83d\\ude00\"",
        "\"\\uffff\"",
        "\"\x7f\"",
        "\"\xc3\xa4\"",
        "\"\xe2\x82\xac\"",
        "\"\xf0\x9f\x98\x80\"",
        "\"\xf4\x8f\xbf\xbf\"",
        "\"\xef\xbf\xbf\"",
        "\"/\"",
        "\"'\"",
    };

    for (size_t i = 0; i < DQ_ARRAY_LEN(texts); i++) {
        dureq_error err = {0};

        EXPECT_NOTE("%s", texts[i]);
        EXPECT_RC(0, parse(dureq_str_from(texts[i]), &err));
    }
}

typedef struct bad_row {
    const char *text;
    const char *says;
} bad_row;

static void check_bad(const bad_row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        dureq_error err = {0};

        EXPECT_NOTE("%s", rows[i].text);
        EXPECT_RC(DUREQ_EPARSE, parse(dureq_str_from(rows[i].text), &err));
        EXPECT_TEXT(rows[i].says, err.msg);
    }
}

TEST(damage_around_values_is_named_with_its_place)
{
    static const bad_row rows[] = {
        {"", "line 1, column 1: the text ends too soon"},
        {"  ", "line 1, column 3: the text ends too soon"},
        {"[", "line 1, column 2: the text ends too soon"},
        {"[1", "line 1, column 3: the text ends too soon"},
        {"[1,", "line 1, column 4: the text ends too soon"},
        {"[1,]", "line 1, column 4: not a JSON value"},
        {"[,1]", "line 1, column 2: not a JSON value"},
        {"[1 2]", "line 1, column 4: ',' or ']' is expected"},
        {"[1}", "line 1, column 3: ',' or ']' is expected"},
        {"]", "line 1, column 1: not a JSON value"},
        {"{", "line 1, column 2: a member name in quotes is expected"},
        {"{\"a\"", "line 1, column 5: ':' is expected"},
        {"{\"a\":", "line 1, column 6: the text ends too soon"},
        {"{\"a\":}", "line 1, column 6: not a JSON value"},
        {"{\"a\" 1}", "line 1, column 6: ':' is expected"},
        {"{\"a\":1,}", "line 1, column 8: a member name in quotes is expected"},
        {"{\"a\":1]", "line 1, column 7: ',' or '}' is expected"},
        {"{a:1}", "line 1, column 2: a member name in quotes is expected"},
        {"{1:1}", "line 1, column 2: a member name in quotes is expected"},
        {"{'a':1}", "line 1, column 2: a member name in quotes is expected"},
        {"1 2", "line 1, column 3: something follows the value"},
        {"[]]", "line 1, column 3: something follows the value"},
        {"null,", "line 1, column 5: something follows the value"},
        {"{\n \"a\": 1,\n \"b\": x\n}", "line 3, column 7: not a JSON value"},
        {"// c\n1", "line 1, column 1: not a JSON value"},
        {"[1,/*x*/2]", "line 1, column 4: not a JSON value"},
        {"\xef\xbb\xbf[]", "line 1, column 1: not a JSON value"}, /* a byte order mark */
    };

    check_bad(rows, DQ_ARRAY_LEN(rows));
}

TEST(words_and_numbers_have_one_form_only)
{
    static const bad_row rows[] = {
        {"nul", "line 1, column 1: not a JSON value"},
        {"True", "line 1, column 1: not a JSON value"},
        {"nulll", "line 1, column 5: something follows the value"},
        {"NaN", "line 1, column 1: not a JSON value"},
        {"Infinity", "line 1, column 1: not a JSON value"},
        {"-Infinity", "line 1, column 2: a digit is expected"},
        {"-", "line 1, column 2: a digit is expected"},
        {"+1", "line 1, column 1: not a JSON value"},
        {".5", "line 1, column 1: not a JSON value"},
        {"1.", "line 1, column 3: a digit is expected"},
        {"1.e5", "line 1, column 3: a digit is expected"},
        {"1e", "line 1, column 3: a digit is expected"},
        {"1e+", "line 1, column 4: a digit is expected"},
        {"01", "line 1, column 1: a number has no leading zeros"},
        {"-01", "line 1, column 2: a number has no leading zeros"},
        {"00", "line 1, column 1: a number has no leading zeros"},
        {"0x10", "line 1, column 2: something follows the value"},
        {"1_000", "line 1, column 2: something follows the value"},
        {"--1", "line 1, column 2: a digit is expected"},
    };

    check_bad(rows, DQ_ARRAY_LEN(rows));
}

TEST(damaged_strings_are_refused)
{
    static const bad_row rows[] = {
        {"\"", "line 1, column 2: a string has no end"},
        {"\"abc", "line 1, column 5: a string has no end"},
        {"\"a\\\"", "line 1, column 5: a string has no end"},
        {"\"\\", "line 1, column 3: the text ends too soon"},
        {"\"a\nb\"", "line 1, column 3: a control character in a string must be escaped"},
        {"\"a\tb\"", "line 1, column 3: a control character in a string must be escaped"},
        {"\"\x1f\"", "line 1, column 2: a control character in a string must be escaped"},
        {"\"\xff\"", "line 1, column 2: invalid UTF-8"},
        {"\"\x80\"", "line 1, column 2: invalid UTF-8"},
        {"\"\xc0\xaf\"", "line 1, column 2: invalid UTF-8"},         /* overlong '/' */
        {"\"\xe0\x80\xaf\"", "line 1, column 2: invalid UTF-8"},     /* the same in three bytes */
        {"\"\xed\xa0\x80\"", "line 1, column 2: invalid UTF-8"},     /* a surrogate as UTF-8 */
        {"\"\xf4\x90\x80\x80\"", "line 1, column 2: invalid UTF-8"}, /* beyond U+10FFFF */
        {"\"\xc3", "line 1, column 2: invalid UTF-8"},
        {"\"\xc3\"", "line 1, column 2: invalid UTF-8"},
    };

    check_bad(rows, DQ_ARRAY_LEN(rows));
}

TEST(damaged_escapes_are_refused)
{
    static const bad_row rows[] = {
        {"\"\\x41\"", "line 1, column 3: unknown escape"},
        {"\"\\'\"", "line 1, column 3: unknown escape"},
        {"\"\\U0041\"", "line 1, column 3: unknown escape"},
        {"\"\\u12\"", "line 1, column 3: \\u needs four hexadecimal digits"},
        {"\"\\u", "line 1, column 3: \\u needs four hexadecimal digits"},
        {"\"\\u12g4\"", "line 1, column 3: \\u needs four hexadecimal digits"},
        {"\"\\ud800\"", "line 1, column 3: a lone surrogate"},
        {"\"\\udc00\"", "line 1, column 3: a lone surrogate"},
        {"\"\\ud800x\"", "line 1, column 3: a lone surrogate"},
        {"\"\\ud800\\n\"", "line 1, column 3: a lone surrogate"},
        {"\"\\ud800\\u0041\"", "line 1, column 3: a lone surrogate"},
        {"\"\\ud800\\ud800\"", "line 1, column 3: a lone surrogate"},
        {"\"\\ude00\\ud83d\"", "line 1, column 3: a lone surrogate"},
        {"\"\\ud800\\u", "line 1, column 3: a lone surrogate"},
    };

    check_bad(rows, DQ_ARRAY_LEN(rows));
}

TEST(a_nul_byte_is_nowhere_allowed)
{
    static const dureq_str texts[] = {{"1\0", 2},
                                      {"\0"
                                       "1",
                                       2},
                                      {"\"a\0\"", 4},
                                      {"\"\\\0\"", 4},
                                      {"[\0]", 3}};

    for (size_t i = 0; i < DQ_ARRAY_LEN(texts); i++) {
        EXPECT_NOTE("row %zu", i);
        EXPECT_RC(DUREQ_EPARSE, parse(texts[i], NULL));
    }
}

/* A document cut anywhere is no document; ASan sees a read beyond the cut. */
TEST(every_cut_of_a_document_is_refused_without_reading_on)
{
    static const char text[] = "{\"a\\u00e4\\ud83d\\ude00\":[1.5e+3,-0,true,false,null,\"\xf0\x9f\x98\x80\"],\"b\":{\"c\":[]}}";

    for (size_t len = 0; len < sizeof(text) - 1; len++) {
        EXPECT_NOTE("%zu bytes", len);
        EXPECT_RC(DUREQ_EPARSE, parse(dureq_str_of(text, len), NULL));
    }
    EXPECT_RC(0, parse(dureq_str_of(text, sizeof(text) - 1), NULL));
}

/* ---- limits ---- */

static int parse_nested(int depth, const char *open, const char *close)
{
    DQ_BUF_AUTO b = {0};

    for (int i = 0; i < depth; i++)
        dq_buf_append_text(&b, open);
    dq_buf_append_text(&b, "1");
    for (int i = 0; i < depth; i++)
        dq_buf_append_text(&b, close);
    return parse(dq_buf_str(&b), NULL);
}

TEST(nesting_is_limited_to_128_levels)
{
    EXPECT_RC(0, parse_nested(128, "[", "]"));
    EXPECT_RC(0, parse_nested(128, "{\"a\":", "}"));
    EXPECT_RC(DUREQ_ETOOLARGE, parse_nested(129, "[", "]"));
    EXPECT_RC(DUREQ_ETOOLARGE, parse_nested(129, "{\"a\":", "}"));
    EXPECT_RC(DUREQ_ETOOLARGE, parse_nested(1000000, "[", "]"));
}

TEST(a_frame_has_room_for_eight_levels_around_a_value)
{
    dq_json doc = {0};
    char text[2 * 137] = "";

    memset(text, '[', 136);
    memset(text + 136, ']', 136);
    EXPECT_RC(0, dq_json_parse_frame(dureq_str_of(text, 272), &doc, NULL));
    dq_json_deinit(&doc);
    memset(text, '[', 137);
    memset(text + 137, ']', 137);
    EXPECT_RC(DUREQ_ETOOLARGE, dq_json_parse_frame(dureq_str_of(text, 274), &doc, NULL));
    EXPECT_FALSE(dq_json_valid(dureq_str_of(text, 272)));
}

TEST(values_are_limited_to_16_million_in_both_ways_of_reading)
{
    size_t n = 16 * 1024 * 1024;
    DQ_BUF_AUTO b = {0};
    char *p = dq_buf_reserve(&b, 2 * n + 1);

    assert_non_null(p);
    for (size_t i = 0; i < n; i++)
        memcpy(p + 2 * i, i ? ",1" : "[1", 2);
    p[2 * n] = ']';
    EXPECT_FALSE(dq_json_valid(dureq_str_of(p, 2 * n + 1))); /* the array itself is one too many */
    memcpy(p + 2 * n - 2, " ]", 2);
    EXPECT_TRUE(dq_json_valid(dureq_str_of(p, 2 * n)));
}

TEST(a_text_over_64_mebibytes_is_refused)
{
    size_t limit = 64 * 1024 * 1024;
    char *text = malloc(limit + 1);
    dureq_error err = {0};
    dq_json doc;

    assert_non_null(text);
    memset(text, ' ', limit + 1);
    text[0] = '1';
    EXPECT_RC(0, dq_json_parse(dureq_str_of(text, limit), &doc, &err));
    dq_json_deinit(&doc);
    EXPECT_RC(DUREQ_ETOOLARGE, dq_json_parse(dureq_str_of(text, limit + 1), &doc, &err));
    EXPECT_FALSE(dq_json_valid(dureq_str_of(text, limit + 1)));
    dq_json_deinit(&doc);
    free(text);
}

static int parse_some(void *arg)
{
    dq_json doc;
    int rc = dq_json_parse(*(dureq_str *)arg, &doc, NULL);

    if (rc < 0)
        EXPECT_PTR(NULL, doc.nodes);
    dq_json_deinit(&doc);
    return rc;
}

TEST(without_memory_the_parser_says_so_and_leaks_nothing)
{
    DQ_BUF_AUTO b = {0};
    dureq_str text;

    dq_buf_append_text(&b, "[0");
    for (int i = 0; i < 200; i++)
        dq_buf_append_text(&b, ",{\"a\":1}");
    dq_buf_append_text(&b, "]");
    text = dq_buf_str(&b);
    EXPECT_TRUE(expect_survives_nomem(parse_some, &text) >= 5);
}

TEST(checking_alone_needs_no_memory)
{
    dq_alloc_fail_at(1);
    EXPECT_TRUE(dq_json_valid(DQ_STR_LIT("{\"a\":[1,2,\"\\u0041\",{}]}")));
    EXPECT_FALSE(dq_json_valid(DQ_STR_LIT("{\"a\":[1,2,}")));
    EXPECT_I64(0, dq_alloc_count());
}

TEST_MAIN()
