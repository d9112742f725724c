/* SPDX-License-Identifier: Apache-2.0 */
#include "expect.h"

#include "model/scope.h"

static bool fits(const char *queues, const char *types, const char *queue, const char *type)
{
    const dq_scope s = {.queues = (char *)queues, .types = (char *)types};

    return dq_scope_fits(&s, dureq_str_from(queue), dureq_str_from(type));
}

TEST(without_names_all_is_within)
{
    const dq_scope none = {0};

    EXPECT_TRUE(dq_scope_is_open(NULL));
    EXPECT_TRUE(dq_scope_is_open(&none));
    EXPECT_TRUE(dq_scope_fits(NULL, DQ_STR_LIT("q"), DQ_STR_LIT("t")));
    EXPECT_TRUE(fits(NULL, NULL, "q", "t"));
}

TEST(names_and_beginnings_are_within)
{
    EXPECT_TRUE(fits("a,b-*", NULL, "a", "t"));
    EXPECT_TRUE(fits("a,b-*", NULL, "b-1", "t"));
    EXPECT_TRUE(fits("a,b-*", NULL, "b-", "t"));
    EXPECT_FALSE(fits("a,b-*", NULL, "b", "t"));
    EXPECT_FALSE(fits("a,b-*", NULL, "ab", "t"));
    EXPECT_FALSE(fits("a,b-*", NULL, "A", "t"));
    EXPECT_FALSE(fits("a,b-*", NULL, "", "t"));
}

TEST(both_limits_hold_at_once)
{
    EXPECT_TRUE(fits("q", "mail.*", "q", "mail.send"));
    EXPECT_FALSE(fits("q", "mail.*", "r", "mail.send"));
    EXPECT_FALSE(fits("q", "mail.*", "q", "mail"));
}

TEST(a_list_of_nothing_holds_nothing)
{
    const dq_scope nothing = {.queues = (char *)""};

    EXPECT_FALSE(dq_scope_is_open(&nothing));
    EXPECT_FALSE(fits("", NULL, "q", "t"));
    EXPECT_FALSE(fits("", NULL, "", "t"));
    EXPECT_FALSE(fits(",", NULL, "", "t"));
}

/* A pattern is within a wider one, and not the other way round. */
TEST(patterns_are_compared_by_what_they_hold)
{
    const dq_scope s = {.types = (char *)"mail.*,one"};

    EXPECT_TRUE(dq_scope_has_type(&s, DQ_STR_LIT("mail.a*")));
    EXPECT_TRUE(dq_scope_has_type(&s, DQ_STR_LIT("mail.*")));
    EXPECT_FALSE(dq_scope_has_type(&s, DQ_STR_LIT("mail*")));
    EXPECT_FALSE(dq_scope_has_type(&s, DQ_STR_LIT("one*")));
    EXPECT_FALSE(dq_scope_has_type(&s, DQ_STR_LIT("*")));
}

TEST(a_copy_is_whole_or_none)
{
    const dq_scope s = {.queues = (char *)"a", .types = (char *)"b"};

    for (long n = 1; n <= 3; n++) {
        dq_scope copy = {0};
        int rc;

        dq_alloc_fail_at(n);
        rc = dq_scope_copy(&s, &copy);
        dq_alloc_fail_at(0);
        EXPECT_I64(n < 3 ? DUREQ_ENOMEM : 0, rc);
        EXPECT_TRUE(dq_scope_is_open(&copy) == (n < 3));
        dq_scope_deinit(&copy);
    }
}

TEST_MAIN()
