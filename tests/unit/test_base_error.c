/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "base/str.h"

#include "expect.h"

#include <errno.h>

static const struct {
    int code;
    const char *name;
} rows[] = {
#define X(num, name, text, retryable) {num, #name},
    DUREQ_ERROR_MAP(X)
#undef X
};

TEST(every_code_has_a_number_of_its_own_a_name_and_a_text)
{
    for (size_t i = 0; i < DQ_ARRAY_LEN(rows); i++) {
        EXPECT_NOTE("%s", rows[i].name);
        EXPECT_I64(-(int64_t)i - 1, rows[i].code); /* none left out, none used twice */
        EXPECT_TEXT(rows[i].name, dureq_errcode_name(rows[i].code));
        EXPECT_TRUE(strlen(dureq_errcode_text(rows[i].code)) > 3);
    }
}

/* Programs store these numbers: one that moves is a broken promise, so they stand here a second time. */
TEST(numbers_given_out_never_change)
{
    EXPECT_I64(0, DUREQ_OK);
    EXPECT_I64(-1, DUREQ_EINVAL);
    EXPECT_I64(-4, DUREQ_ECONFLICT);
    EXPECT_I64(-9, DUREQ_EUNAVAILABLE);
    EXPECT_I64(-16, DUREQ_EREDISOOM);
    EXPECT_I64(-24, DUREQ_EUNKNOWN);
    EXPECT_I64(-27, DUREQ_EFENCED);
    EXPECT_I64(-32, DUREQ_EPAUSED);
    EXPECT_I64(-34, DUREQ_EDEADLK);
}

TEST(success_and_unknown_numbers_have_names_too)
{
    EXPECT_TEXT("OK", dureq_errcode_name(0));
    EXPECT_TEXT("success", dureq_errcode_text(0));
    EXPECT_TEXT("E?", dureq_errcode_name(-9999));
    EXPECT_TEXT("E?", dureq_errcode_name(1));
    EXPECT_TEXT("unknown error", dureq_errcode_text(-9999));
}

TEST(only_what_may_pass_by_itself_is_retryable)
{
    EXPECT_TRUE(dureq_errcode_is_retryable(DUREQ_EUNAVAILABLE));
    EXPECT_TRUE(dureq_errcode_is_retryable(DUREQ_ELOADING));
    EXPECT_TRUE(dureq_errcode_is_retryable(DUREQ_ETIMEOUT));
    EXPECT_FALSE(dureq_errcode_is_retryable(DUREQ_EINVAL));
    EXPECT_FALSE(dureq_errcode_is_retryable(DUREQ_EUNKNOWN)); /* it may have been done */
    EXPECT_FALSE(dureq_errcode_is_retryable(DUREQ_EFENCED));
    EXPECT_FALSE(dureq_errcode_is_retryable(DUREQ_OK));
    EXPECT_FALSE(dureq_errcode_is_retryable(-9999));
}

TEST(a_failure_is_one_expression_that_fills_the_detail)
{
    dureq_error err = {.sys_errno = 5};

    EXPECT_RC(DUREQ_ENOTFOUND, dq_fail(&err, DUREQ_ENOTFOUND, "no job '%s'", "x"));
    EXPECT_RC(DUREQ_ENOTFOUND, err.code);
    EXPECT_I64(0, err.sys_errno);
    EXPECT_TEXT("no job 'x'", err.msg);

    EXPECT_RC(DUREQ_EIO, dq_fail_errno(&err, DUREQ_EIO, ENOENT, "cannot open '%s'", "f"));
    EXPECT_RC(DUREQ_EIO, err.code);
    EXPECT_I64(ENOENT, err.sys_errno);
    EXPECT_TEXT("cannot open 'f'", err.msg);

    EXPECT_RC(DUREQ_ENOMEM, dq_fail_nomem(&err));
    EXPECT_TEXT("out of memory", err.msg);
}

TEST(nobody_needs_to_want_the_detail)
{
    EXPECT_RC(DUREQ_EINVAL, dq_fail(NULL, DUREQ_EINVAL, "x"));
    EXPECT_RC(DUREQ_EIO, dq_fail_errno(NULL, DUREQ_EIO, ENOENT, "x"));
    EXPECT_RC(DUREQ_ENOMEM, dq_fail_nomem(NULL));
}

TEST(a_long_message_is_cut_and_nul_ended)
{
    dureq_error err;

    memset(&err, 'x', sizeof(err));
    (void)dq_fail(&err, DUREQ_EINVAL, "%1000d", 1);
    EXPECT_U64(DUREQ_ERROR_MSG_MAX - 1, strlen(err.msg));
}

TEST_MAIN()
