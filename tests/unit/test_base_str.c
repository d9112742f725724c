/* SPDX-License-Identifier: Apache-2.0 */
#include "base/str.h"

#include "expect.h"

static const dureq_str none = {NULL, 0};

TEST(views_are_equal_when_their_bytes_are)
{
    EXPECT_TRUE(dq_str_eq(DQ_STR_LIT("a\0b"), DQ_STR_LIT("a\0b")));
    EXPECT_FALSE(dq_str_eq(DQ_STR_LIT("a\0b"), DQ_STR_LIT("a\0c")));
    EXPECT_FALSE(dq_str_eq(DQ_STR_LIT("ab"), DQ_STR_LIT("abc")));
    EXPECT_TRUE(dq_str_eq(none, DQ_STR_LIT("")));
    EXPECT_TRUE(dq_str_eq(none, none));
    EXPECT_TRUE(dq_str_eq_text(DQ_STR_LIT("ab"), "ab"));
    EXPECT_FALSE(dq_str_eq_text(DQ_STR_LIT("ab\0"), "ab"));
    EXPECT_TRUE(dq_str_eq_text(none, NULL));
}

TEST(a_prefix_is_at_the_start_and_a_suffix_at_the_end)
{
    EXPECT_TRUE(dq_str_starts_with(DQ_STR_LIT("redis://h"), DQ_STR_LIT("redis://")));
    EXPECT_FALSE(dq_str_starts_with(DQ_STR_LIT("redis"), DQ_STR_LIT("redis://")));
    EXPECT_FALSE(dq_str_starts_with(DQ_STR_LIT("xredis"), DQ_STR_LIT("redis")));
    EXPECT_TRUE(dq_str_ends_with(DQ_STR_LIT("a.lua"), DQ_STR_LIT(".lua")));
    EXPECT_FALSE(dq_str_ends_with(DQ_STR_LIT("a.luax"), DQ_STR_LIT(".lua")));
    EXPECT_FALSE(dq_str_ends_with(DQ_STR_LIT("lua"), DQ_STR_LIT(".lua")));
}

TEST(every_view_starts_and_ends_with_the_empty_one)
{
    EXPECT_TRUE(dq_str_starts_with(DQ_STR_LIT("a"), none));
    EXPECT_TRUE(dq_str_ends_with(DQ_STR_LIT("a"), none));
    EXPECT_TRUE(dq_str_starts_with(none, none));
    EXPECT_TRUE(dq_str_ends_with(none, none));
    EXPECT_FALSE(dq_str_starts_with(none, DQ_STR_LIT("a")));
    EXPECT_FALSE(dq_str_ends_with(none, DQ_STR_LIT("a")));
}

static int sign(int x)
{
    return (x > 0) - (x < 0);
}

TEST(order_is_by_unsigned_bytes_then_by_length)
{
    EXPECT_I64(0, dq_str_cmp(DQ_STR_LIT("ab"), DQ_STR_LIT("ab")));
    EXPECT_I64(-1, sign(dq_str_cmp(DQ_STR_LIT("ab"), DQ_STR_LIT("ac"))));
    EXPECT_I64(1, sign(dq_str_cmp(DQ_STR_LIT("b"), DQ_STR_LIT("ab"))));
    EXPECT_I64(-1, sign(dq_str_cmp(DQ_STR_LIT("ab"), DQ_STR_LIT("abc"))));
    EXPECT_I64(1, sign(dq_str_cmp(DQ_STR_LIT("\xff"), DQ_STR_LIT("z"))));
    EXPECT_I64(1, sign(dq_str_cmp(DQ_STR_LIT("a\0b"), DQ_STR_LIT("a\0a"))));
    EXPECT_I64(-1, sign(dq_str_cmp(none, DQ_STR_LIT("a"))));
    EXPECT_I64(0, dq_str_cmp(none, DQ_STR_LIT("")));
}

TEST(the_last_bytes_are_at_most_all)
{
    EXPECT_STR_TEXT("cd", dq_str_last(DQ_STR_LIT("abcd"), 2));
    EXPECT_STR_TEXT("abcd", dq_str_last(DQ_STR_LIT("abcd"), 4));
    EXPECT_STR_TEXT("abcd", dq_str_last(DQ_STR_LIT("abcd"), 5));
    EXPECT_STR_TEXT("", dq_str_last((dureq_str){0}, 5));
}

TEST(trimming_takes_blanks_from_both_ends_and_none_from_within)
{
    EXPECT_STR_TEXT("a b", dq_str_trim(DQ_STR_LIT(" \t\r\na b\n\r\t ")));
    EXPECT_STR_TEXT("a", dq_str_trim(DQ_STR_LIT("a")));
    EXPECT_STR_TEXT("", dq_str_trim(DQ_STR_LIT(" \n ")));
    EXPECT_STR_TEXT("", dq_str_trim(none));
    EXPECT_STR_TEXT("\v", dq_str_trim(DQ_STR_LIT("\v")));
}

TEST(a_text_is_cut_at_each_separator)
{
    dureq_str rest = DQ_STR_LIT("a,,bc,");

    EXPECT_STR_TEXT("a", dq_str_cut(&rest, ','));
    EXPECT_STR_TEXT("", dq_str_cut(&rest, ','));
    EXPECT_STR_TEXT("bc", dq_str_cut(&rest, ','));
    EXPECT_TRUE(rest.ptr != NULL); /* something was cut off: one more, empty part */
    EXPECT_STR_TEXT("", dq_str_cut(&rest, ','));
    EXPECT_PTR(NULL, rest.ptr);
    EXPECT_STR_TEXT("", dq_str_cut(&rest, ','));
}

TEST(without_a_separator_all_is_cut_off)
{
    dureq_str rest = DQ_STR_LIT("abc");

    EXPECT_STR_TEXT("abc", dq_str_cut(&rest, ','));
    EXPECT_PTR(NULL, rest.ptr);
    EXPECT_U64(0, rest.len);
}

/* The shard of a key follows from the hash: were it to change, living data would not be found again. */
TEST(the_hash_of_a_text_never_changes)
{
    EXPECT_U64(0xecba3df2c3383c52u, dq_hash_bytes(NULL, 0));
    EXPECT_U64(0xed8170de1919a24du, dq_hash_bytes("a", 1));
    EXPECT_U64(0x779456cbe519b503u, dq_hash_bytes("invoice:4711", 12));
}

TEST(the_hash_spreads_like_keys_over_shards)
{
    int n_in[16] = {0};

    for (int i = 0; i < 16000; i++) {
        char key[32];
        int len = snprintf(key, sizeof(key), "user:%d", i);

        n_in[dq_hash_bytes(key, (size_t)len) % 16]++;
    }
    for (int i = 0; i < 16; i++) {
        EXPECT_NOTE("shard %d holds %d of 16000", i, n_in[i]);
        EXPECT_TRUE(n_in[i] > 850 && n_in[i] < 1150);
    }
}

TEST_MAIN()
