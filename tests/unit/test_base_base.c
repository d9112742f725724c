/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "base/str.h"

#include "expect.h"

TEST(the_nth_allocation_fails_and_only_that)
{
    for (long n = 1; n <= 4; n++) {
        void *p[4];

        EXPECT_NOTE("allocation %ld", n);
        dq_alloc_fail_at(n);
        p[0] = dq_malloc(8);
        p[1] = dq_calloc(2, 8);
        p[2] = dq_realloc(NULL, 8);
        p[3] = dq_strdup("x");
        EXPECT_I64(4, dq_alloc_count());
        dq_alloc_fail_at(0);
        for (long i = 0; i < 4; i++) {
            EXPECT_TRUE((p[i] == NULL) == (i == n - 1));
            dq_free(p[i]);
        }
    }
}

TEST(switched_off_no_allocation_fails_or_counts)
{
    void *p;

    dq_alloc_fail_at(1);
    dq_alloc_fail_at(0);
    p = dq_malloc(1);
    EXPECT_TRUE(p != NULL);
    EXPECT_I64(0, dq_alloc_count());
    dq_free(p);
    dq_free(NULL);
}

/* NULL must mean "out of memory" and nothing else. */
TEST(nothing_at_all_can_be_allocated)
{
    void *p[] = {dq_malloc(0), dq_calloc(0, 8), dq_calloc(8, 0), dq_realloc(NULL, 0)};

    for (size_t i = 0; i < DQ_ARRAY_LEN(p); i++) {
        EXPECT_TRUE(p[i] != NULL);
        p[i] = dq_realloc(p[i], 0);
        EXPECT_TRUE(p[i] != NULL);
        dq_free(p[i]);
    }
}

TEST(a_refused_realloc_leaves_the_old_memory)
{
    char *p = dq_strdup("abc"), *bigger;

    dq_alloc_fail_at(1);
    bigger = dq_realloc(p, 1000);
    dq_alloc_fail_at(0);
    EXPECT_PTR(NULL, bigger);
    EXPECT_TEXT("abc", p);
    dq_free(p);
}

TEST(calloc_gives_zeros)
{
    char *p = dq_calloc(3, 100);

    for (int i = 0; i < 300; i++)
        EXPECT_I64(0, p[i]);
    dq_free(p);
}

TEST(copies_of_bytes_are_nul_ended)
{
    char *p = dq_memdup("a\0b", 3), *empty = dq_memdup(NULL, 0);

    EXPECT_STR(DQ_STR_LIT("a\0b\0"), dureq_str_of(p, 4));
    EXPECT_TEXT("", empty);
    dq_free(p);
    dq_free(empty);
}

typedef struct thing {
    int *freed;
} thing;

static void thing_destroy(thing *t)
{
    ++*t->freed;
    dq_free(t);
}
DQ_DEFINE_CLEANUP(thing, thing_destroy);

static thing *make_thing(int *freed, bool fails)
{
    DQ_CLEANUP(thing_destroy_p) thing *t = dq_malloc(sizeof(*t));

    assert_non_null(t);
    t->freed = freed;
    if (fails)
        return NULL;
    return DQ_TAKE(t);
}

TEST(an_owned_local_is_destroyed_unless_it_was_taken)
{
    int freed = 0;
    thing *t = make_thing(&freed, /*fails=*/true);

    EXPECT_PTR(NULL, t);
    EXPECT_I64(1, freed);
    t = make_thing(&freed, /*fails=*/false);
    EXPECT_TRUE(t != NULL);
    EXPECT_I64(1, freed);
    thing_destroy(t);
    EXPECT_I64(2, freed);
}

TEST_MAIN()
