/* SPDX-License-Identifier: Apache-2.0 */
#include "json/json.h"

#include "base/random.h"

#include "expect.h"

/* RFC 4648, section 10, and the ends of the alphabet. */
static const struct {
    dureq_str bytes;
    const char *text;
} rows[] = {
    {{NULL, 0}, ""},
    {{"f", 1}, "Zg=="},
    {{"fo", 2}, "Zm8="},
    {{"foo", 3}, "Zm9v"},
    {{"foob", 4}, "Zm9vYg=="},
    {{"fooba", 5}, "Zm9vYmE="},
    {{"foobar", 6}, "Zm9vYmFy"},
    {{"\0\0\0", 3}, "AAAA"},
    {{"\0", 1}, "AA=="},
    {{"\xff\xff\xff", 3}, "////"},
    {{"\xfb\xef\xbe", 3}, "++++"},
    {{"\xff", 1}, "/w=="},
};

TEST(bytes_become_text_and_text_becomes_bytes)
{
    for (size_t i = 0; i < DQ_ARRAY_LEN(rows); i++) {
        DQ_BUF_AUTO out = {0};

        EXPECT_NOTE("%s", rows[i].text);
        dq_base64_encode(&out, rows[i].bytes);
        EXPECT_STR_TEXT(rows[i].text, dq_buf_str(&out));
        dq_buf_clear(&out);
        EXPECT_RC(0, dq_base64_decode(dureq_str_from(rows[i].text), &out));
        EXPECT_STR(rows[i].bytes, dq_buf_str(&out));
    }
}

TEST(both_append_to_what_is_there)
{
    DQ_BUF_AUTO out = {0};

    dq_buf_append_text(&out, "x:");
    dq_base64_encode(&out, DQ_STR_LIT("fo"));
    EXPECT_STR_TEXT("x:Zm8=", dq_buf_str(&out));
    EXPECT_RC(0, dq_base64_decode(DQ_STR_LIT("Zm9v"), &out));
    EXPECT_STR_TEXT("x:Zm8=foo", dq_buf_str(&out));
}

TEST(only_the_one_canonical_text_is_taken)
{
    static const dureq_str bad[] = {
        {"Z", 1},     {"Zg", 2},      {"Zg=", 3},      {"Zm9vY", 5},        {"Zg==Zg==", 8}, {"Zg=a", 4},
        {"Z===", 4},  {"====", 4},    {"=Zg=", 4},     {"Zm9=v", 5},        {"Zm=v", 4},     {"Zh==", 4},
        {"Zm9=", 4},  {"Zm 9", 4},    {"Zm9v\n", 5},   {"Zm9\n", 4},        {"Zm9-", 4},     {"Zm9_", 4},
        {"Zm9\0", 4}, {"Zm9\xff", 4}, {"Zm8=Zm9v", 8}, {"Zg==\n\n\n\n", 8},
    };

    for (size_t i = 0; i < DQ_ARRAY_LEN(bad); i++) {
        DQ_BUF_AUTO out = {0};

        EXPECT_NOTE("row %zu: %.*s", i, (int)bad[i].len, bad[i].ptr);
        EXPECT_RC(DUREQ_EPARSE, dq_base64_decode(bad[i], &out));
    }
}

TEST(bytes_of_any_length_come_back)
{
    DQ_BUF_AUTO text = {0};
    DQ_BUF_AUTO back = {0};
    char bytes[300];

    EXPECT_RC(0, dq_random_bytes(bytes, sizeof(bytes), NULL));
    for (size_t len = 0; len <= sizeof(bytes); len++) {
        EXPECT_NOTE("%zu bytes", len);
        dq_buf_clear(&text);
        dq_buf_clear(&back);
        dq_base64_encode(&text, dureq_str_of(bytes, len));
        EXPECT_U64((len + 2) / 3 * 4, text.len);
        EXPECT_RC(0, dq_base64_decode(dq_buf_str(&text), &back));
        EXPECT_STR(dureq_str_of(bytes, len), dq_buf_str(&back));
    }
}

TEST(without_memory_decoding_says_so)
{
    DQ_BUF_AUTO out = {0};
    int rc;

    dq_alloc_fail_at(1);
    rc = dq_base64_decode(DQ_STR_LIT("Zm9v"), &out);
    dq_alloc_fail_at(0);
    EXPECT_RC(DUREQ_ENOMEM, rc);
}

TEST_MAIN()
