/* SPDX-License-Identifier: Apache-2.0 */
#include "base/arena.h"
#include "base/random.h"

#include "expect.h"

TEST(memory_from_an_arena_is_aligned_and_zeroed)
{
    dq_arena a = {0};

    for (int round = 0; round < 3; round++) {
        for (size_t size = 0; size < 600; size++) {
            unsigned char *p = dq_arena_alloc(&a, size);

            EXPECT_NOTE("size %zu", size);
            EXPECT_TRUE(p != NULL);
            EXPECT_U64(0, (uintptr_t)p % 16);
            for (size_t i = 0; i < size; i++)
                EXPECT_U64(0, p[i]);
            memset(p, 0xee, size); /* also after a reset it must be zero again */
        }
        dq_arena_reset(&a);
    }
    dq_arena_deinit(&a);
}

TEST(what_an_arena_gave_stays_where_it_is)
{
    enum { N = 2000 };
    dq_arena a = {0};
    unsigned char *blocks[N];
    size_t sizes[N], total = 0;
    dq_rng rng;

    dq_rng_seed(&rng, 5);
    for (size_t i = 0; i < N; i++) {
        sizes[i] = 1 + dq_rng_below(&rng, i % 100 ? 100 : 20000);
        blocks[i] = dq_arena_alloc(&a, sizes[i]);
        EXPECT_TRUE(blocks[i] != NULL);
        memset(blocks[i], (int)(i & 255), sizes[i]);
        total += sizes[i];
    }
    for (size_t i = 0; i < N; i++) {
        EXPECT_NOTE("block %zu", i);
        EXPECT_U64(i & 255, blocks[i][0]);
        EXPECT_U64(i & 255, blocks[i][sizes[i] - 1]);
    }
    EXPECT_TRUE(a.used >= total && a.used < total + N * 16);
    dq_arena_deinit(&a);
    EXPECT_PTR(NULL, a.chunks);
    EXPECT_U64(0, a.used);
}

TEST(many_small_pieces_cost_few_allocations)
{
    dq_arena a = {0};

    dq_alloc_fail_at(1000000); /* counts */
    for (int i = 0; i < 10000; i++)
        EXPECT_TRUE(dq_arena_alloc(&a, 24) != NULL);
    EXPECT_TRUE(dq_alloc_count() < 20);
    dq_arena_deinit(&a);
}

TEST(a_reset_arena_is_used_again_without_asking_for_memory)
{
    dq_arena a = {0};

    for (int i = 0; i < 1000; i++)
        (void)dq_arena_alloc(&a, 100);
    dq_arena_reset(&a);
    EXPECT_U64(0, a.used);
    dq_alloc_fail_at(1);
    EXPECT_TRUE(dq_arena_alloc(&a, 100) != NULL);
    EXPECT_U64(112, a.used);
    dq_alloc_fail_at(0);
    dq_arena_deinit(&a);
    dq_arena_reset(&a);
    dq_arena_deinit(&a);
}

TEST(copies_are_nul_ended_and_views_know_emptiness)
{
    dq_arena a = {0};
    dureq_str copy;

    EXPECT_TEXT("abc", dq_arena_dup(&a, DQ_STR_LIT("abc")));
    EXPECT_TEXT("", dq_arena_dup(&a, (dureq_str){0}));
    copy = dq_arena_dup_str(&a, DQ_STR_LIT("a\0b"));
    EXPECT_STR(DQ_STR_LIT("a\0b"), copy);
    EXPECT_I64(0, copy.ptr[3]);
    copy = dq_arena_dup_str(&a, (dureq_str){0});
    EXPECT_PTR(NULL, copy.ptr);
    EXPECT_U64(0, copy.len);
    dq_arena_deinit(&a);
}

TEST(without_memory_an_arena_gives_null_and_goes_on_later)
{
    dq_arena a = {0};
    dureq_str copy;

    dq_alloc_fail_at(1);
    EXPECT_PTR(NULL, dq_arena_alloc(&a, 10));
    dq_alloc_fail_at(1);
    EXPECT_PTR(NULL, dq_arena_dup(&a, DQ_STR_LIT("abc")));
    dq_alloc_fail_at(1);
    copy = dq_arena_dup_str(&a, DQ_STR_LIT("abc"));
    EXPECT_PTR(NULL, copy.ptr);
    EXPECT_U64(0, copy.len);
    dq_alloc_fail_at(0);
    EXPECT_U64(0, a.used);
    EXPECT_TEXT("abc", dq_arena_dup(&a, DQ_STR_LIT("abc")));
    dq_arena_deinit(&a);
}

TEST(a_size_beyond_all_memory_is_refused)
{
    dq_arena a = {0};

    EXPECT_PTR(NULL, dq_arena_alloc(&a, SIZE_MAX));
    EXPECT_PTR(NULL, dq_arena_alloc(&a, SIZE_MAX - 15));
    EXPECT_PTR(NULL, a.chunks);
    dq_arena_deinit(&a);
}

TEST_MAIN()
