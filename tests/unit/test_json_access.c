/* SPDX-License-Identifier: Apache-2.0 */
#include "json/json.h"

#include "expect.h"

static dq_json doc;

static void parse(const char *text)
{
    dureq_error err = {0};

    dq_json_deinit(&doc);
    if (dq_json_parse(dureq_str_from(text), &doc, &err) < 0)
        fail_msg("%s: %s", text, err.msg);
}

static dureq_str raw(dq_json_ref v)
{
    return dq_json_raw(&doc, v);
}

TEST(each_value_knows_its_type)
{
    static const struct {
        const char *text;
        dq_json_type type;
        const char *name;
    } rows[] = {
        {"null", DQ_JSON_NULL, "null"},      {"false", DQ_JSON_FALSE, "false"},    {"true", DQ_JSON_TRUE, "true"},
        {"1", DQ_JSON_NUMBER, "a number"},   {"\"\"", DQ_JSON_STRING, "a string"}, {"[]", DQ_JSON_ARRAY, "an array"},
        {"{}", DQ_JSON_OBJECT, "an object"},
    };

    for (size_t i = 0; i < DQ_ARRAY_LEN(rows); i++) {
        parse(rows[i].text);
        EXPECT_I64(rows[i].type, dq_json_type_of(&doc, 0));
        EXPECT_TEXT(rows[i].name, dq_json_type_name(rows[i].type));
        EXPECT_U64(1, doc.n_nodes);
    }
    EXPECT_TEXT("a value", dq_json_type_name((dq_json_type)99));
    parse("\"\\n\"");
    EXPECT_I64(DQ_JSON_STRING, dq_json_type_of(&doc, 0)); /* the escape mark is no part of the type */
}

TEST(raw_bytes_are_those_of_the_text_to_the_last_blank)
{
    static const char text[] = " { \"a\\u0041\" : [ 1.50e+0 , -0 ] ,\n\"b\":{ \"x\" :null} } ";
    dq_json_ref a, b;

    parse(text);
    a = dq_json_member(&doc, 0, "aA");
    b = dq_json_member(&doc, 0, "b");
    EXPECT_STR(dureq_str_of(text + 1, sizeof(text) - 3), raw(0));
    EXPECT_STR_TEXT("[ 1.50e+0 , -0 ]", raw(a));
    EXPECT_STR_TEXT("\"a\\u0041\"", raw(a - 1));
    EXPECT_STR_TEXT("{ \"x\" :null}", raw(b));
    EXPECT_STR_TEXT("1.50e+0", raw(dq_json_first(&doc, a)));
    EXPECT_PTR(text + 1, raw(0).ptr); /* a view into the text, no copy */
}

TEST(a_ref_to_nothing_gives_nothing)
{
    int64_t i;
    double d;
    DQ_BUF_AUTO out = {0};

    parse("[1]");
    EXPECT_STR_TEXT("", raw(DQ_JSON_NONE));
    EXPECT_STR_TEXT("", raw(2));
    EXPECT_I64(DQ_JSON_NULL, dq_json_type_of(&doc, DQ_JSON_NONE));
    EXPECT_RC(DUREQ_EINVAL, dq_json_i64(&doc, DQ_JSON_NONE, &i));
    EXPECT_RC(DUREQ_EINVAL, dq_json_f64(&doc, DQ_JSON_NONE, &d));
    EXPECT_RC(DUREQ_EINVAL, dq_json_string(&doc, DQ_JSON_NONE, &out));
    EXPECT_FALSE(dq_json_string_eq(&doc, DQ_JSON_NONE, ""));
    EXPECT_U64(DQ_JSON_NONE, dq_json_first(&doc, DQ_JSON_NONE));
    EXPECT_U64(DQ_JSON_NONE, dq_json_member(&doc, DQ_JSON_NONE, "a"));
}

TEST(elements_come_in_order_whatever_they_hold)
{
    static const char *const want[] = {"1", "[2,[3]]", "{}", "{\"a\":[4]}", "\"x\"", "[]"};
    dq_json_ref v;
    size_t i = 0;

    parse("[1,[2,[3]],{},{\"a\":[4]},\"x\",[]]");
    EXPECT_U64(6, doc.nodes[0].n);
    for (v = dq_json_first(&doc, 0); v != DQ_JSON_NONE; v = dq_json_next(&doc, 0, v)) {
        EXPECT_TRUE(i < DQ_ARRAY_LEN(want));
        EXPECT_STR_TEXT(want[i++], raw(v));
    }
    EXPECT_U64(DQ_ARRAY_LEN(want), i);
}

TEST(members_come_in_order_as_name_and_value)
{
    static const char *const want[] = {"\"a\"", "1", "\"b\"", "[2,3]", "\"c\"", "{\"d\":4}"};
    dq_json_ref k;
    size_t i = 0;

    parse("{\"a\":1,\"b\":[2,3],\"c\":{\"d\":4}}");
    EXPECT_U64(3, doc.nodes[0].n);
    for (k = dq_json_first(&doc, 0); k != DQ_JSON_NONE; k = dq_json_next(&doc, 0, k)) {
        EXPECT_TRUE(i < DQ_ARRAY_LEN(want));
        EXPECT_STR_TEXT(want[i++], raw(k));
        EXPECT_STR_TEXT(want[i++], raw(k + 1));
    }
    EXPECT_U64(DQ_ARRAY_LEN(want), i);
}

TEST(empty_containers_and_scalars_have_no_children)
{
    static const char *const texts[] = {"[]", "{}", "1", "\"a\"", "null", "[ ]"};

    for (size_t i = 0; i < DQ_ARRAY_LEN(texts); i++) {
        parse(texts[i]);
        EXPECT_U64(DQ_JSON_NONE, dq_json_first(&doc, 0));
    }
}

TEST(a_member_is_found_by_its_name_alone)
{
    parse("{\"a\":\"b\",\"b\":{\"c\":1},\"\":2,\"d\\ud83d\\ude00\":3,\"ab\":4}");
    EXPECT_STR_TEXT("{\"c\":1}", raw(dq_json_member(&doc, 0, "b"))); /* not the value "b" */
    EXPECT_U64(DQ_JSON_NONE, dq_json_member(&doc, 0, "c"));          /* one level below */
    EXPECT_STR_TEXT("2", raw(dq_json_member(&doc, 0, "")));
    EXPECT_STR_TEXT("3", raw(dq_json_member(&doc, 0, "d\xf0\x9f\x98\x80")));
    EXPECT_STR_TEXT("4", raw(dq_json_member(&doc, 0, "ab")));
    EXPECT_U64(DQ_JSON_NONE, dq_json_member(&doc, 0, "A"));
    parse("[\"a\",1]");
    EXPECT_U64(DQ_JSON_NONE, dq_json_member(&doc, 0, "a"));
}

TEST(of_duplicate_names_the_last_wins)
{
    parse("{\"a\":1,\"b\":2,\"\\u0061\":3}");
    EXPECT_STR_TEXT("3", raw(dq_json_member(&doc, 0, "a")));
    EXPECT_U64(3, doc.nodes[0].n);
}

TEST(strings_are_given_back_without_their_escapes)
{
    static const struct {
        const char *json;
        dureq_str text;
    } rows[] = {
        {"\"\"", {"", 0}},
        {"\"abc\"", {"abc", 3}},
        {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", {"\"\\/\b\f\n\r\t", 8}},
        {"\"a\\u0000b\"", {"a\0b", 3}},
        {"\"\\u007f\\u0080\\u07ff\\u0800\\uffff\"", {"\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80\xef\xbf\xbf", 11}},
        {"\"\\ud800\\udc00\\uDBFF\\uDFFF\"", {"\xf0\x90\x80\x80\xf4\x8f\xbf\xbf", 8}},
        {"\"x\\u00e4y\xc3\xa4z\"", {"x\xc3\xa4y\xc3\xa4z", 7}},
        {"\"\\\\u0041\"", {"\\u0041", 6}}, /* an escaped backslash, then letters */
        {"\"\\\\\\u0041\"", {"\\A", 2}},
    };

    for (size_t i = 0; i < DQ_ARRAY_LEN(rows); i++) {
        DQ_BUF_AUTO out = {0};

        parse(rows[i].json);
        EXPECT_RC(0, dq_json_string(&doc, 0, &out));
        EXPECT_STR(rows[i].text, dq_buf_str(&out));
        EXPECT_RC(0, dq_json_string(&doc, 0, &out)); /* appended */
        EXPECT_U64(2 * rows[i].text.len, out.len);
    }
}

TEST(only_strings_are_strings)
{
    static const char *const texts[] = {"1", "null", "true", "[\"a\"]", "{\"a\":\"a\"}"};

    for (size_t i = 0; i < DQ_ARRAY_LEN(texts); i++) {
        DQ_BUF_AUTO out = {0};

        parse(texts[i]);
        EXPECT_RC(DUREQ_EINVAL, dq_json_string(&doc, 0, &out));
        EXPECT_U64(0, out.len);
        EXPECT_FALSE(dq_json_string_eq(&doc, 0, texts[i]));
    }
}

TEST(a_string_is_compared_by_what_it_means)
{
    parse("\"a\\u0062\"");
    EXPECT_TRUE(dq_json_string_eq(&doc, 0, "ab"));
    EXPECT_FALSE(dq_json_string_eq(&doc, 0, "a\\u0062"));
    EXPECT_FALSE(dq_json_string_eq(&doc, 0, "abc"));
    parse("\"ab\"");
    EXPECT_TRUE(dq_json_string_eq(&doc, 0, "ab"));
    EXPECT_FALSE(dq_json_string_eq(&doc, 0, "a"));
    parse("\"a\\u0000b\"");
    EXPECT_FALSE(dq_json_string_eq(&doc, 0, "a"));
}

TEST(integers_of_64_bits_are_exact_and_others_refused)
{
    static const struct {
        const char *text;
        int rc;
        int64_t value;
    } rows[] = {
        {"0", 0, 0},
        {"-0", 0, 0},
        {"9007199254740993", 0, INT64_C(9007199254740993)}, /* no double */
        {"9223372036854775807", 0, INT64_MAX},
        {"-9223372036854775808", 0, INT64_MIN},
        {"9223372036854775808", DUREQ_EINVAL, 0},
        {"-9223372036854775809", DUREQ_EINVAL, 0},
        {"1.0", DUREQ_EINVAL, 0},
        {"1e3", DUREQ_EINVAL, 0},
        {"\"1\"", DUREQ_EINVAL, 0},
        {"true", DUREQ_EINVAL, 0},
        {"null", DUREQ_EINVAL, 0},
        {"[1]", DUREQ_EINVAL, 0},
    };

    for (size_t i = 0; i < DQ_ARRAY_LEN(rows); i++) {
        int64_t v = 77;

        parse(rows[i].text);
        EXPECT_NOTE("%s", rows[i].text);
        EXPECT_RC(rows[i].rc, dq_json_i64(&doc, 0, &v));
        EXPECT_I64(rows[i].rc < 0 ? 77 : rows[i].value, v);
    }
}

TEST(floating_point_takes_any_number_in_range)
{
    static const struct {
        const char *text;
        int rc;
        double value;
    } rows[] = {
        {"1", 0, 1},
        {"-0.0", 0, -0.0},
        {"1.5e3", 0, 1500},
        {"9007199254740993", 0, 9007199254740992.0},
        {"0.1000000000000000055511151231257827021181583404541015625000000000000000001", 0, 0.1},
        {"1e400", DUREQ_EINVAL, 0},
        {"\"1\"", DUREQ_EINVAL, 0},
        {"false", DUREQ_EINVAL, 0},
    };

    for (size_t i = 0; i < DQ_ARRAY_LEN(rows); i++) {
        double v = 77;

        parse(rows[i].text);
        EXPECT_NOTE("%s", rows[i].text);
        EXPECT_RC(rows[i].rc, dq_json_f64(&doc, 0, &v));
        EXPECT_F64(rows[i].rc < 0 ? 77 : rows[i].value, v);
    }
}

TEST(without_memory_a_string_fails_and_equals_nothing)
{
    DQ_BUF_AUTO out = {0};
    bool is_equal;
    int rc;

    parse("\"a\\u0062\"");
    dq_alloc_fail_at(1);
    rc = dq_json_string(&doc, 0, &out);
    dq_alloc_fail_at(1);
    is_equal = dq_json_string_eq(&doc, 0, "ab");
    dq_alloc_fail_at(0);
    EXPECT_RC(DUREQ_ENOMEM, rc);
    EXPECT_FALSE(is_equal);
    dq_json_deinit(&doc);
}

TEST_MAIN()
