/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"

#include "expect.h"

TEST(what_was_written_is_read_back)
{
    static const uint64_t values[] = {0, 1, 127, 128, 16383, 16384, UINT32_MAX, UINT64_MAX / 2, UINT64_MAX / 2 + 1, UINT64_MAX};
    DQ_BUF_AUTO b = {0};
    dq_reader r;

    dq_buf_append_char(&b, '\xfe');
    dq_buf_append_u32be(&b, 0xfedcba98);
    dq_buf_append_u64be(&b, 0xfedcba9876543210);
    for (size_t i = 0; i < DQ_ARRAY_LEN(values); i++)
        dq_buf_append_varint(&b, values[i]);
    dq_buf_append_lstr(&b, DQ_STR_LIT("a\0b"));
    dq_buf_append_lstr(&b, DQ_STR_LIT(""));
    dq_buf_append_text(&b, "rest");

    r = dq_reader_of(dq_buf_str(&b));
    EXPECT_U64(0xfe, dq_read_u8(&r));
    EXPECT_U64(0xfedcba98, dq_read_be(&r, 4));
    EXPECT_U64(0xfedcba9876543210, dq_read_be(&r, 8));
    for (size_t i = 0; i < DQ_ARRAY_LEN(values); i++)
        EXPECT_U64(values[i], dq_read_varint(&r));
    EXPECT_STR(DQ_STR_LIT("a\0b"), dq_read_lstr(&r));
    EXPECT_STR_TEXT("", dq_read_lstr(&r));
    EXPECT_STR_TEXT("re", dq_read_bytes(&r, 2));
    EXPECT_STR_TEXT("st", dq_read_rest(&r));
    EXPECT_STR_TEXT("", dq_read_rest(&r));
    EXPECT_FALSE(r.bad);
}

TEST(a_short_read_is_bad_and_gives_zero)
{
    dq_reader r = dq_reader_of(DQ_STR_LIT("\xff\xff\xff\xff\xff\xff\xff"));

    EXPECT_U64(0, dq_read_be(&r, 8));
    EXPECT_TRUE(r.bad);

    r = dq_reader_of(DQ_STR_LIT("\xff\xff\xff"));
    EXPECT_U64(0, dq_read_be(&r, 4));
    EXPECT_TRUE(r.bad);

    r = dq_reader_of((dureq_str){0});
    EXPECT_U64(0, dq_read_u8(&r));
    EXPECT_TRUE(r.bad);
}

TEST(a_bad_reader_stays_bad_and_gives_no_more_bytes)
{
    dq_reader r = dq_reader_of(DQ_STR_LIT("abc"));

    EXPECT_STR_TEXT("", dq_read_bytes(&r, 4));
    EXPECT_TRUE(r.bad);
    EXPECT_U64(0, dq_read_u8(&r));
    EXPECT_U64(0, dq_read_varint(&r));
    EXPECT_STR_TEXT("", dq_read_lstr(&r));
    EXPECT_STR_TEXT("", dq_read_rest(&r));
    EXPECT_TRUE(r.bad);
}

TEST(a_varint_that_is_cut_or_too_long_is_bad)
{
    static const dureq_str texts[] = {
        {"", 0},
        {"\x80", 1},
        {"\x80\x80\x80", 3},
        {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 10}, /* more than 64 bits */
        {"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x81\x00", 11},
        {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 12},
    };

    for (size_t i = 0; i < DQ_ARRAY_LEN(texts); i++) {
        dq_reader r = dq_reader_of(texts[i]);

        EXPECT_NOTE("row %zu", i);
        EXPECT_U64(0, dq_read_varint(&r));
        EXPECT_TRUE(r.bad);
    }
}

TEST(a_length_beyond_the_end_is_bad)
{
    DQ_BUF_AUTO b = {0};
    dq_reader r = dq_reader_of(DQ_STR_LIT("\x03xy"));

    EXPECT_STR_TEXT("", dq_read_lstr(&r));
    EXPECT_TRUE(r.bad);

    dq_buf_append_varint(&b, UINT64_MAX);
    dq_buf_append_text(&b, "xy");
    r = dq_reader_of(dq_buf_str(&b));
    EXPECT_STR_TEXT("", dq_read_lstr(&r));
    EXPECT_TRUE(r.bad);
}

TEST(bytes_read_are_views_into_the_input)
{
    static const char text[] = "\x02hi!";
    dq_reader r = dq_reader_of(dureq_str_of(text, 4));

    EXPECT_PTR(text + 1, dq_read_lstr(&r).ptr);
    EXPECT_PTR(text + 3, dq_read_rest(&r).ptr);
}

TEST_MAIN()
