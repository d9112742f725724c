/* SPDX-License-Identifier: Apache-2.0 */
#include "json/json.h"

#include "base/random.h"

#include "expect.h"

#include <locale.h>
#include <math.h>

TEST(commas_and_colons_come_by_themselves)
{
    DQ_BUF_AUTO out = {0};
    dq_json_writer w = dq_json_writer_of(&out);

    dq_json_begin_object(&w);
    dq_json_key(&w, "a");
    dq_json_put_i64(&w, 1);
    dq_json_key(&w, "b");
    dq_json_begin_array(&w);
    dq_json_put_bool(&w, true);
    dq_json_put_bool(&w, false);
    dq_json_put_null(&w);
    dq_json_begin_object(&w);
    dq_json_end_object(&w);
    dq_json_begin_array(&w);
    dq_json_end_array(&w);
    dq_json_put_text(&w, "x");
    dq_json_end_array(&w);
    dq_json_key_str(&w, DQ_STR_LIT("c"));
    dq_json_put_raw(&w, DQ_STR_LIT("{ \"kept\" : 1.0 }"));
    dq_json_key(&w, "d");
    dq_json_begin_object(&w);
    dq_json_key(&w, "e");
    dq_json_put_f64(&w, 0.5);
    dq_json_end_object(&w);
    dq_json_end_object(&w);
    EXPECT_STR_TEXT("{\"a\":1,\"b\":[true,false,null,{},[],\"x\"],\"c\":{ \"kept\" : 1.0 },\"d\":{\"e\":0.5}}", dq_buf_str(&out));
    EXPECT_TRUE(dq_json_valid(dq_buf_str(&out)));
}

static void put_alone(dq_buf *out, dureq_str text)
{
    dq_json_writer w = dq_json_writer_of(out);

    dq_buf_clear(out);
    dq_json_put_str(&w, text);
}

TEST(strings_are_escaped_where_they_must_be_and_nowhere_else)
{
    static const struct {
        dureq_str text;
        const char *json;
    } rows[] = {
        {{NULL, 0}, "\"\""},
        {{"abc/'<>&", 8}, "\"abc/'<>&\""},
        {{"\"\\", 2}, "\"\\\"\\\\\""},
        {{"\b\f\n\r\t", 5}, "\"\\b\\f\\n\\r\\t\""},
        {{"\0\x01\x1f\x7f", 4}, "\"\\u0000\\u0001\\u001f\x7f\""},
        {{"a\nb", 3}, "\"a\\nb\""},
        {{"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", 9}, "\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\""},
    };
    DQ_BUF_AUTO out = {0};

    for (size_t i = 0; i < DQ_ARRAY_LEN(rows); i++) {
        EXPECT_NOTE("row %zu", i);
        put_alone(&out, rows[i].text);
        EXPECT_STR_TEXT(rows[i].json, dq_buf_str(&out));
    }
}

TEST(bytes_that_are_no_utf8_become_replacement_characters)
{
#define FFFD "\xef\xbf\xbd"
    static const struct {
        const char *text, *json;
    } rows[] = {
        {"\xff", "\"" FFFD "\""},
        {"a\x80z", "\"a" FFFD "z\""},
        {"\xc3", "\"" FFFD "\""},
        {"\xc3z", "\"" FFFD "z\""},
        {"\xed\xa0\x80", "\"" FFFD FFFD FFFD "\""},
        {"\xc0\xaf", "\"" FFFD FFFD "\""},
        {"\xf0\x9f\x98", "\"" FFFD FFFD FFFD "\""},
        {"\xff\n\xff", "\"" FFFD "\\n" FFFD "\""},
    };
    DQ_BUF_AUTO out = {0};

    for (size_t i = 0; i < DQ_ARRAY_LEN(rows); i++) {
        EXPECT_NOTE("row %zu", i);
        put_alone(&out, dureq_str_from(rows[i].text));
        EXPECT_STR_TEXT(rows[i].json, dq_buf_str(&out));
    }
}

TEST(any_bytes_become_valid_json_and_good_text_reads_back)
{
    DQ_BUF_AUTO out = {0};
    DQ_BUF_AUTO back = {0};
    dq_rng rng;

    dq_rng_seed(&rng, 11);
    for (int round = 0; round < 20000; round++) {
        char bytes[24];
        size_t len = dq_rng_below(&rng, sizeof(bytes) + 1);
        dureq_str text = dureq_str_of(bytes, len);
        dq_json doc;

        for (size_t i = 0; i < len; i++) /* mostly ASCII, so that some of it is well-formed */
            bytes[i] = (char)dq_rng_below(&rng, dq_rng_below(&rng, 16) ? 128 : 256);
        put_alone(&out, text);
        EXPECT_NOTE("round %d", round);
        EXPECT_RC(0, dq_json_parse(dq_buf_str(&out), &doc, NULL));
        dq_buf_clear(&back);
        EXPECT_RC(0, dq_json_string(&doc, 0, &back));
        if (dq_utf8_valid(text))
            EXPECT_STR(text, dq_buf_str(&back));
        dq_json_deinit(&doc);
    }
}

TEST(keys_are_escaped_too)
{
    DQ_BUF_AUTO out = {0};
    dq_json_writer w = dq_json_writer_of(&out);

    dq_json_begin_object(&w);
    dq_json_key_str(&w, DQ_STR_LIT("a\"\n"));
    dq_json_put_null(&w);
    dq_json_end_object(&w);
    EXPECT_STR_TEXT("{\"a\\\"\\n\":null}", dq_buf_str(&out));
}

TEST(integers_keep_all_64_bits)
{
    DQ_BUF_AUTO out = {0};
    dq_json_writer w = dq_json_writer_of(&out);

    dq_json_begin_array(&w);
    dq_json_put_i64(&w, INT64_MIN);
    dq_json_put_i64(&w, INT64_MAX);
    dq_json_put_i64(&w, 0);
    dq_json_end_array(&w);
    EXPECT_STR_TEXT("[-9223372036854775808,9223372036854775807,0]", dq_buf_str(&out));
}

static void put_numbers(dq_buf *out)
{
    dq_json_writer w = dq_json_writer_of(out);

    dq_buf_clear(out);
    dq_json_begin_array(&w);
    dq_json_put_f64(&w, 0.1);
    dq_json_put_f64(&w, 0.1 + 0.2);
    dq_json_put_f64(&w, -1e300);
    dq_json_put_f64(&w, 3);
    dq_json_put_f64(&w, NAN);
    dq_json_put_f64(&w, INFINITY);
    dq_json_put_f64(&w, -INFINITY);
    dq_json_end_array(&w);
}

TEST(floating_point_is_short_and_what_is_no_number_is_null)
{
    DQ_BUF_AUTO out = {0};

    put_numbers(&out);
    EXPECT_STR_TEXT("[0.1,0.30000000000000004,-1e+300,3,null,null,null]", dq_buf_str(&out));
    EXPECT_TRUE(dq_json_valid(dq_buf_str(&out)));
}

TEST(floating_point_is_json_in_the_programs_locale_too)
{
    DQ_BUF_AUTO out = {0};

    if (!setlocale(LC_NUMERIC, "de_DE.UTF-8") && !setlocale(LC_NUMERIC, "fr_FR.UTF-8"))
        skip(); /* neither is installed here */
    put_numbers(&out);
    (void)setlocale(LC_NUMERIC, "C");
    EXPECT_STR_TEXT("[0.1,0.30000000000000004,-1e+300,3,null,null,null]", dq_buf_str(&out));
}

TEST(bytes_and_times_are_strings)
{
    DQ_BUF_AUTO out = {0};
    dq_json_writer w = dq_json_writer_of(&out);

    dq_json_begin_array(&w);
    dq_json_put_base64(&w, DQ_STR_LIT("\xff\0"));
    dq_json_put_base64(&w, (dureq_str){0});
    dq_json_put_rfc3339(&w, INT64_C(1795464000123));
    dq_json_end_array(&w);
    EXPECT_STR_TEXT("[\"/wA=\",\"\",\"2026-11-23T20:00:00.123Z\"]", dq_buf_str(&out));
}

static void nest(dq_buf *out, int depth)
{
    dq_json_writer w = dq_json_writer_of(out);

    for (int i = 0; i < depth; i++) {
        dq_json_begin_array(&w);
        dq_json_put_i64(&w, i);
    }
    for (int i = 0; i < depth; i++)
        dq_json_end_array(&w);
}

TEST(each_level_keeps_its_own_commas_down_to_the_deepest)
{
    DQ_BUF_AUTO out = {0};

    nest(&out, 63);
    EXPECT_RC(0, dq_buf_finish(&out, NULL));
    EXPECT_TRUE(dq_json_valid(dq_buf_str(&out)));
}

TEST(deeper_nesting_than_63_is_a_failure_and_no_wrong_text)
{
    DQ_BUF_AUTO out = {0};

    nest(&out, 64);
    EXPECT_TRUE(dq_buf_failed(&out));
    dq_buf_clear(&out);
    nest(&out, 200);
    EXPECT_TRUE(dq_buf_failed(&out));
}

static int write_some(void *arg)
{
    DQ_BUF_AUTO out = {0};
    dq_json_writer w = dq_json_writer_of(&out);

    (void)arg;
    dq_json_begin_object(&w);
    for (int i = 0; i < 100; i++) {
        dq_json_key(&w, "name\n");
        dq_json_put_text(&w, "value\xff");
    }
    dq_json_end_object(&w);
    return dq_buf_finish(&out, NULL);
}

TEST(without_memory_the_buffer_remembers)
{
    EXPECT_TRUE(expect_survives_nomem(write_some, NULL) >= 3);
}

TEST_MAIN()
