/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"

#include "expect.h"

#include <limits.h>
#include <wchar.h>

TEST(appends_follow_each_other_and_a_nul_stands_behind)
{
    DQ_BUF_AUTO b = {0};

    dq_buf_append_text(&b, "ab");
    dq_buf_append(&b, "c\0d", 3);
    dq_buf_append_char(&b, '!');
    dq_buf_append_str(&b, DQ_STR_LIT("ef"));
    dq_buf_append_fmt(&b, "%s-%d", "x", 42);
    EXPECT_STR(DQ_STR_LIT("abc\0d!efx-42"), dq_buf_str(&b));
    EXPECT_I64('\0', b.ptr[b.len]);
    EXPECT_FALSE(dq_buf_failed(&b));
    EXPECT_RC(0, dq_buf_finish(&b, NULL));
}

TEST(an_empty_buffer_is_readable_and_owns_nothing)
{
    dq_buf b = {0};

    dq_buf_append(&b, NULL, 0);
    dq_buf_append_str(&b, (dureq_str){0});
    dq_buf_append_text(&b, "");
    EXPECT_STR_TEXT("", dq_buf_str(&b));
    EXPECT_TRUE(dq_buf_str(&b).ptr != NULL);
    EXPECT_PTR(NULL, b.ptr);
    dq_buf_deinit(&b);
}

TEST(growing_keeps_every_byte)
{
    DQ_BUF_AUTO b = {0};

    for (int i = 0; i < 100000; i++) {
        dq_buf_append_char(&b, (char)(i * 7));
        EXPECT_I64(0, b.ptr[b.len]);
    }
    EXPECT_U64(100000, b.len);
    for (int i = 0; i < 100000; i++)
        if (b.ptr[i] != (char)(i * 7)) {
            EXPECT_NOTE("byte %d", i);
            EXPECT_I64((char)(i * 7), b.ptr[i]);
        }
}

TEST(formatted_text_of_any_length_is_whole)
{
    DQ_BUF_AUTO b = {0};

    for (int width = 1; width < 300; width++) {
        dq_buf_clear(&b);
        dq_buf_append_fmt(&b, "%*d", width, 7);
        EXPECT_U64((uint64_t)width, b.len);
        EXPECT_U64((uint64_t)width, strlen(b.ptr));
        EXPECT_I64('7', b.ptr[b.len - 1]);
    }
}

TEST(integers_are_written_in_decimal_up_to_both_ends)
{
    static const int64_t values[] = {0, 7, -7, 10, -10, 1234567890123, INT64_MAX, INT64_MIN};
    DQ_BUF_AUTO b = {0};

    for (size_t i = 0; i < DQ_ARRAY_LEN(values); i++) {
        char want[32];

        (void)snprintf(want, sizeof(want), "%lld", (long long)values[i]);
        dq_buf_clear(&b);
        dq_buf_append_i64(&b, values[i]);
        EXPECT_STR_TEXT(want, dq_buf_str(&b));
    }
}

TEST(binary_numbers_have_their_documented_bytes)
{
    DQ_BUF_AUTO b = {0};

    dq_buf_append_u32be(&b, 0x01020384);
    dq_buf_append_u64be(&b, 0x8182838485868788);
    dq_buf_append_varint(&b, 0);
    dq_buf_append_varint(&b, 127);
    dq_buf_append_varint(&b, 128);
    dq_buf_append_varint(&b, 300);
    dq_buf_append_varint(&b, UINT64_MAX);
    dq_buf_append_lstr(&b, DQ_STR_LIT("hi"));
    EXPECT_STR(DQ_STR_LIT("\x01\x02\x03\x84\x81\x82\x83\x84\x85\x86\x87\x88"
                          "\x00"
                          "\x7f"
                          "\x80\x01"
                          "\xac\x02"
                          "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"
                          "\x02hi"),
               dq_buf_str(&b));
}

TEST(reserved_room_is_written_by_the_caller)
{
    DQ_BUF_AUTO b = {0};
    char *room;

    dq_buf_append_text(&b, "ab");
    room = dq_buf_reserve(&b, 1000);
    EXPECT_PTR(b.ptr + 2, room);
    EXPECT_TRUE(b.cap >= 1003);
    memset(room, 'x', 1000);
    b.len += 1000;
    dq_buf_append_text(&b, "c");
    EXPECT_U64(1003, b.len);
    EXPECT_TEXT("xc", b.ptr + 1001);
}

TEST(what_is_consumed_goes_from_the_front)
{
    DQ_BUF_AUTO b = {0};

    dq_buf_consume(&b, 5);
    dq_buf_append_text(&b, "abcdef");
    dq_buf_consume(&b, 2);
    EXPECT_TEXT("cdef", b.ptr);
    dq_buf_consume(&b, 0);
    EXPECT_TEXT("cdef", b.ptr);
    dq_buf_consume(&b, 100);
    EXPECT_U64(0, b.len);
    EXPECT_TEXT("", b.ptr);
}

TEST(a_cleared_buffer_keeps_its_memory)
{
    DQ_BUF_AUTO b = {0};
    char *ptr;

    dq_buf_append_text(&b, "abc");
    ptr = b.ptr;
    dq_buf_clear(&b);
    EXPECT_TEXT("", b.ptr);
    dq_buf_append_text(&b, "d");
    EXPECT_PTR(ptr, b.ptr);
    EXPECT_TEXT("d", b.ptr);
}

TEST(taking_gives_the_memory_away)
{
    dq_buf b = {0};
    char *text;

    dq_buf_append_text(&b, "abc");
    text = dq_buf_take(&b);
    EXPECT_TEXT("abc", text);
    EXPECT_PTR(NULL, b.ptr);
    EXPECT_U64(0, b.len);
    dq_free(text);

    text = dq_buf_take(&b);
    EXPECT_TEXT("", text);
    dq_free(text);
}

TEST(a_failed_allocation_sticks_until_cleared)
{
    DQ_BUF_AUTO b = {0};
    dureq_error err = {0};

    dq_buf_append_text(&b, "before");
    dq_alloc_fail_at(1);
    EXPECT_PTR(NULL, dq_buf_reserve(&b, 1000));
    dq_alloc_fail_at(0);
    EXPECT_TRUE(dq_buf_failed(&b));
    dq_buf_append_text(&b, "x");
    dq_buf_append_fmt(&b, "%d", 1);
    dq_buf_append_i64(&b, 1);
    EXPECT_STR_TEXT("before", dq_buf_str(&b));
    EXPECT_RC(DUREQ_ENOMEM, dq_buf_finish(&b, &err));
    EXPECT_RC(DUREQ_ENOMEM, err.code);

    dq_buf_clear(&b);
    dq_buf_append_text(&b, "x");
    EXPECT_RC(0, dq_buf_finish(&b, NULL));
    EXPECT_STR_TEXT("x", dq_buf_str(&b));
}

TEST(a_part_that_failed_makes_the_whole_fail)
{
    DQ_BUF_AUTO whole = {0};
    DQ_BUF_AUTO part = {0};

    dq_buf_append_text(&part, "half");
    dq_buf_append_buf(&whole, &part);
    EXPECT_STR_TEXT("half", dq_buf_str(&whole));
    dq_alloc_fail_at(1);
    EXPECT_PTR(NULL, dq_buf_reserve(&part, 1000));
    dq_alloc_fail_at(0);
    dq_buf_append_buf(&whole, &part);
    EXPECT_TRUE(dq_buf_failed(&whole));
}

TEST(a_failed_buffer_gives_nothing_away)
{
    dq_buf b = {0};

    dq_alloc_fail_at(1);
    dq_buf_append_text(&b, "x");
    dq_alloc_fail_at(0);
    EXPECT_PTR(NULL, dq_buf_take(&b));
    EXPECT_FALSE(dq_buf_failed(&b));
    dq_buf_append_text(&b, "y");
    EXPECT_TEXT("y", b.ptr);
    dq_buf_deinit(&b);
}

TEST(a_length_beyond_all_memory_fails_without_asking_for_it)
{
    DQ_BUF_AUTO b = {0};

    dq_buf_append_text(&b, "x");
    dq_alloc_fail_at(LONG_MAX); /* counts, never fails */
    EXPECT_PTR(NULL, dq_buf_reserve(&b, SIZE_MAX));
    EXPECT_PTR(NULL, dq_buf_reserve(&b, SIZE_MAX - 1));
    EXPECT_I64(0, dq_alloc_count());
    EXPECT_TRUE(dq_buf_failed(&b));
}

TEST(a_text_that_cannot_be_formatted_is_a_failure_and_not_a_gap)
{
    static const wchar_t no_character[] = {0x7fffffff, 0};
    DQ_BUF_AUTO b = {0};

    dq_buf_append_fmt(&b, "%ls", no_character);
    EXPECT_TRUE(dq_buf_failed(&b));
}

TEST_MAIN()
