/* SPDX-License-Identifier: Apache-2.0 */
#include "redis/owned.h"

#include "expect.h"

TEST(a_reply_is_kept_with_its_bytes)
{
    dq_owned_reply o;
    dq_buf bytes = {0};

    dq_buf_append_text(&bytes, "*2\r\n:1\r\n$3\r\nabc\r\n");
    EXPECT_RC(0, dq_owned_reply_parse(&bytes, &o, NULL));
    EXPECT_TRUE(bytes.ptr == NULL);
    EXPECT_I64(1, dq_reply_int(dq_reply_at(o.reply, 0)));
    EXPECT_STR_TEXT("abc", dq_reply_str(dq_reply_at(o.reply, 1)));
    dq_owned_reply_deinit(&o);
}

TEST(half_a_reply_is_refused)
{
    dq_owned_reply o;
    dq_buf bytes = {0};

    dq_buf_append_text(&bytes, "*2\r\n:1\r\n");
    EXPECT_RC(DUREQ_EPROTO, dq_owned_reply_parse(&bytes, &o, NULL));
    dq_buf_append_text(&bytes, "?what\r\n");
    EXPECT_RC(DUREQ_EPROTO, dq_owned_reply_parse(&bytes, &o, NULL));
    EXPECT_TRUE(bytes.ptr == NULL);
}

TEST_MAIN()
