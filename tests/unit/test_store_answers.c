/* SPDX-License-Identifier: Apache-2.0 */
#include "expect.h"

#include "redis/resp.h"
#include "store/job_calls.h"
#include "store/queue_calls.h"

/* Answers that no script of ours gives: told as damage, and as nothing else. */

typedef struct answer {
    dq_resp_parser *parser;
    dq_buf text;
    dq_reply reply;
} answer;

static void answer_parse(answer *a)
{
    size_t used;

    EXPECT_RC(0, dq_resp_parser_create(&a->parser));
    EXPECT_I64(1, dq_resp_parse(a->parser, a->text.ptr, a->text.len, &used, &a->reply, NULL));
}

static void answer_deinit(answer *a)
{
    dq_resp_parser_destroy(a->parser);
    dq_buf_deinit(&a->text);
}

static int view_of(int64_t state, const char *due, dq_job_view *ret)
{
    dq_id id = {.ms = 1700000000000u, .seq = 1, .lane = 1};
    unsigned char packed[DQ_ID_BYTES];
    answer a = {0};
    int rc;

    dq_id_pack(&id, packed);
    dq_resp_begin(&a.text, 10);
    dq_resp_arg(&a.text, dureq_str_of(packed, sizeof packed));
    dq_resp_arg_i64(&a.text, state);
    dq_resp_arg_text(&a.text, "normal|mail|");
    for (int i = 0; i < 3; i++)
        dq_resp_arg_text(&a.text, "");
    dq_resp_arg_text(&a.text, due);
    for (int i = 0; i < 3; i++)
        dq_resp_arg_text(&a.text, "0");
    answer_parse(&a);
    rc = dq_job_view_decode(a.reply, ret);
    answer_deinit(&a);
    return rc;
}

TEST(a_state_that_there_is_not_is_damage)
{
    dq_job_view v;

    EXPECT_RC(0, view_of(-1, "", &v));
    EXPECT_RC(0, view_of(DUREQ_JOB_CANCELLED, "", &v));
    EXPECT_RC(DUREQ_EPROTO, view_of(-2, "", &v));
    EXPECT_RC(DUREQ_EPROTO, view_of(DUREQ_JOB_CANCELLED + 1, "", &v));
}

TEST(a_score_beyond_all_times_is_the_last_one)
{
    dq_job_view v;

    EXPECT_RC(0, view_of(DUREQ_JOB_SCHEDULED, "1.7e12", &v));
    EXPECT_I64(1700000000000, v.due_at_ms);
    EXPECT_RC(0, view_of(DUREQ_JOB_SCHEDULED, "1e300", &v));
    EXPECT_I64(9000000000000000000, v.due_at_ms);
    EXPECT_RC(0, view_of(DUREQ_JOB_SCHEDULED, "-1e300", &v));
    EXPECT_I64(-9000000000000000000, v.due_at_ms);
}

TEST(a_queue_without_definition_is_damage_and_not_a_lack_of_memory)
{
    static const char *const pairs[][2] = {{"low", ""}, {"", "{}"}, {"low", "[]"}};

    for (size_t i = 0; i < DQ_ARRAY_LEN(pairs); i++) {
        dq_queue_set set;
        dureq_error err = {0};
        answer a = {0};

        dq_resp_begin(&a.text, 2);
        dq_resp_arg_text(&a.text, pairs[i][0]);
        dq_resp_arg_text(&a.text, pairs[i][1]);
        answer_parse(&a);
        EXPECT_RC(DUREQ_EPROTO, dq_queue_set_from_reply(&a.reply, &set, &err));
        EXPECT_HAS("is damaged", err.msg);
        answer_deinit(&a);
    }
}

TEST_MAIN()
