/* SPDX-License-Identifier: Apache-2.0 */
#include "store/call.h"

#include "expect.h"

#include <stdio.h>

static dq_keys make_keys(void)
{
    dq_keys k;

    EXPECT_RC(0, dq_keys_init(&k, DQ_STR_LIT("dq"), 2));
    return k;
}

static void expect_call(const char *want_tail, size_t n_words, int script, const dq_buf *out)
{
    char head[128];

    (void)snprintf(head, sizeof head, "*%zu\r\n$7\r\nEVALSHA\r\n$40\r\n%s\r\n", n_words, dq_scripts[script].sha1);
    EXPECT_TRUE(out->len > strlen(head));
    EXPECT_STR_TEXT(head, dureq_str_of(out->ptr, strlen(head)));
    EXPECT_STR_TEXT(want_tail, dureq_str_of(out->ptr + strlen(head), out->len - strlen(head)));
    EXPECT_I64('\0', out->ptr[out->len]);
}

TEST(a_call_declares_the_keys_of_its_script_and_then_the_guard)
{
    dq_keys k = make_keys();
    DQ_BUF_AUTO out = {0};

    dq_call c = dq_call_begin(&out, &k, 1, DQ_SCRIPT_OUTBOX_READ);
    dq_call_key(&c, "ob");
    dq_call_arg_i64(&c, 7);
    dq_call_end(&c);
    expect_call("$1\r\n3\r\n$9\r\n{dq:1}:sh\r\n$9\r\n{dq:1}:ob\r\n$8\r\n{dq:1}:!\r\n$1\r\n7\r\n", 7, DQ_SCRIPT_OUTBOX_READ, &out);
    dq_keys_deinit(&k);
}

TEST(a_call_without_arguments_has_a_guard_too)
{
    dq_keys k = make_keys();
    DQ_BUF_AUTO out = {0};

    dq_call c = dq_call_begin(&out, &k, 0, DQ_SCRIPT_COUNTS);
    dq_call_end(&c);
    expect_call("$1\r\n2\r\n$9\r\n{dq:0}:sh\r\n$8\r\n{dq:0}:!\r\n", 5, DQ_SCRIPT_COUNTS, &out);
    dq_keys_deinit(&k);
}

/* A hash tag, {...}, is what the slot is made of: that of the guard is the whole other key. */
TEST(the_guard_of_a_key_without_a_tag_is_in_the_same_slot)
{
    DQ_BUF_AUTO out = {0};

    dq_call c = dq_call_begin_lone(&out, DQ_STR_LIT("dq:meta"), &(dq_call_form){.script = DQ_SCRIPT_DOCTOR_READ});
    dq_call_end(&c);
    expect_call("$1\r\n2\r\n$7\r\ndq:meta\r\n$11\r\n{dq:meta}:!\r\n", 5, DQ_SCRIPT_DOCTOR_READ, &out);
}

/* A call after something else, of n arguments, when n_about were said. */
static void count(size_t n, size_t n_about)
{
    dq_keys k = make_keys();
    DQ_BUF_AUTO out = {0};
    DQ_BUF_AUTO want = {0};
    dq_call_form form = {.script = DQ_SCRIPT_JOB_GET, .n_about = n_about};

    dq_buf_append_text(&out, "before");
    dq_call c = dq_call_begin_as(&out, &k, 0, &form);
    for (size_t i = 0; i < n; i++)
        dq_call_arg_text(&c, "x");
    dq_call_end(&c);
    dq_buf_append_fmt(&want, "before*%zu\r\n$7\r\nEVALSHA\r\n$40\r\n%s\r\n$1\r\n2\r\n$9\r\n{dq:0}:sh\r\n$8\r\n{dq:0}:!\r\n",
                      5 + n, dq_scripts[DQ_SCRIPT_JOB_GET].sha1);
    for (size_t i = 0; i < n; i++)
        dq_buf_append_text(&want, "$1\r\nx\r\n");
    EXPECT_STR(dq_buf_str(&want), dq_buf_str(&out));
    dq_keys_deinit(&k);
}

TEST(the_count_is_right_whatever_was_expected)
{
    static const size_t n[] = {0, 4, 5, 94, 95, 994, 995, 9994, 9995, 20000};
    static const size_t about[] = {0, 1, 50, 500, 50000};

    for (size_t i = 0; i < DQ_ARRAY_LEN(n); i++)
        for (size_t j = 0; j < DQ_ARRAY_LEN(about); j++)
            count(n[i], about[j]);
}

TEST(a_number_that_comes_later_stands_where_it_was_announced)
{
    dq_keys k = make_keys();
    DQ_BUF_AUTO out = {0};

    dq_call c = dq_call_begin(&out, &k, 0, DQ_SCRIPT_JOB_GET);
    size_t at = dq_call_number_later(&c);
    dq_call_arg_text(&c, "x");
    dq_call_number(&c, at, 123456);
    dq_call_end(&c);
    expect_call("$1\r\n2\r\n$9\r\n{dq:0}:sh\r\n$8\r\n{dq:0}:!\r\n$6\r\n123456\r\n$1\r\nx\r\n", 7, DQ_SCRIPT_JOB_GET, &out);
    dq_keys_deinit(&k);
}

TEST_MAIN()
