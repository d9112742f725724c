/* SPDX-License-Identifier: Apache-2.0 */
#include "json/json.h"
#include "json/scan.h"

#include "expect.h"

static size_t utf8_len(dureq_str s)
{
    return dq_utf8_len(s.ptr, s.ptr + s.len);
}

TEST(the_length_of_a_character_follows_from_its_first_byte)
{
    EXPECT_U64(1, utf8_len(DQ_STR_LIT("a")));
    EXPECT_U64(1, utf8_len(DQ_STR_LIT("\0")));
    EXPECT_U64(1, utf8_len(DQ_STR_LIT("\x7f")));
    EXPECT_U64(2, utf8_len(DQ_STR_LIT("\xc2\x80")));
    EXPECT_U64(2, utf8_len(DQ_STR_LIT("\xdf\xbf")));
    EXPECT_U64(3, utf8_len(DQ_STR_LIT("\xe0\xa0\x80")));
    EXPECT_U64(3, utf8_len(DQ_STR_LIT("\xed\x9f\xbf")));
    EXPECT_U64(3, utf8_len(DQ_STR_LIT("\xee\x80\x80")));
    EXPECT_U64(3, utf8_len(DQ_STR_LIT("\xef\xbf\xbf")));
    EXPECT_U64(4, utf8_len(DQ_STR_LIT("\xf0\x90\x80\x80")));
    EXPECT_U64(4, utf8_len(DQ_STR_LIT("\xf4\x8f\xbf\xbf")));
}

TEST(ill_formed_characters_have_no_length)
{
    static const char *const bad[] = {
        "\x80",
        "\xbf",
        "\xc0\x80",
        "\xc1\xbf",
        "\xc2",
        "\xc2z",
        "\xc2\xc2",
        "\xe0\x9f\xbf",
        "\xe0\xa0",
        "\xe1\x80\x7f",
        "\xed\xa0\x80",
        "\xed\xbf\xbf",
        "\xef\xbf",
        "\xf0\x8f\xbf\xbf",
        "\xf0\x90\x80",
        "\xf1\x80\x80\x7f",
        "\xf4\x90\x80\x80",
        "\xf5\x80\x80\x80",
        "\xff",
    };

    for (size_t i = 0; i < DQ_ARRAY_LEN(bad); i++) {
        EXPECT_NOTE("row %zu", i);
        EXPECT_U64(0, utf8_len(dureq_str_from(bad[i])));
        EXPECT_FALSE(dq_utf8_valid(dureq_str_from(bad[i])));
    }
}

static size_t encode(uint32_t c, char out[4])
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (char)(0xc0 | c >> 6);
        out[1] = (char)(0x80 | (c & 63));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (char)(0xe0 | c >> 12);
        out[1] = (char)(0x80 | (c >> 6 & 63));
        out[2] = (char)(0x80 | (c & 63));
        return 3;
    }
    out[0] = (char)(0xf0 | c >> 18);
    out[1] = (char)(0x80 | (c >> 12 & 63));
    out[2] = (char)(0x80 | (c >> 6 & 63));
    out[3] = (char)(0x80 | (c & 63));
    return 4;
}

TEST(every_code_point_is_well_formed_but_the_surrogates)
{
    for (uint32_t c = 0; c < 0x110100; c++) {
        char bytes[4];
        size_t len = encode(c, bytes);
        bool is_good = c < 0x110000 && !(c >= 0xd800 && c <= 0xdfff);

        EXPECT_NOTE("U+%04X", (unsigned)c);
        EXPECT_U64(is_good ? len : 0, dq_utf8_len(bytes, bytes + len));
    }
}

TEST(a_text_is_valid_when_all_of_it_is)
{
    EXPECT_TRUE(dq_utf8_valid((dureq_str){0}));
    EXPECT_TRUE(dq_utf8_valid(DQ_STR_LIT("a\0b")));
    EXPECT_TRUE(dq_utf8_valid(DQ_STR_LIT("gr\xc3\xbc\xc3\x9f \xf0\x9f\x98\x80")));
    EXPECT_FALSE(dq_utf8_valid(DQ_STR_LIT("gr\xc3\xbc\xc3")));
    EXPECT_FALSE(dq_utf8_valid(DQ_STR_LIT("ok\xffok")));
}

TEST(four_hexadecimal_digits_are_a_number)
{
    static const char text[] = "09afAF", bad[] = "00g0";

    EXPECT_I64(0x09af, dq_json_hex4(text, text + 6));
    EXPECT_I64(0xafAF, dq_json_hex4(text + 2, text + 6));
    EXPECT_I64(-1, dq_json_hex4(text + 3, text + 6)); /* three are too few */
    EXPECT_I64(-1, dq_json_hex4(bad, bad + 4));
}

TEST(a_number_ends_where_it_can_go_no_further)
{
    static const struct {
        const char *text;
        size_t len;
    } rows[] = {{"0", 1}, {"0,", 1}, {"12]", 2}, {"-1.50e+10 ", 9}, {"1-", 1}, {"1e5.5", 3}, {"0.", 2}};

    for (size_t i = 0; i < DQ_ARRAY_LEN(rows); i++) {
        const char *what = NULL, *end = rows[i].text + strlen(rows[i].text);

        EXPECT_NOTE("%s", rows[i].text);
        EXPECT_U64(rows[i].len, (uint64_t)(dq_json_scan_number(rows[i].text, end, &what) - rows[i].text));
        EXPECT_TRUE((what != NULL) == (i == DQ_ARRAY_LEN(rows) - 1));
    }
}

TEST(a_string_ends_behind_its_closing_quote_and_tells_of_escapes)
{
    static const char plain[] = "\"ab\",", escaped[] = "\"a\\\"b\"]";
    const char *what = NULL;
    bool escapes = false;

    EXPECT_PTR(plain + 4, dq_json_scan_string(plain, plain + 5, &escapes, &what));
    EXPECT_FALSE(escapes);
    EXPECT_PTR(escaped + 6, dq_json_scan_string(escaped, escaped + 7, &escapes, &what));
    EXPECT_TRUE(escapes);
    EXPECT_PTR(NULL, what);
}

TEST_MAIN()
