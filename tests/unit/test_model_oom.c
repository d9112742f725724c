/* SPDX-License-Identifier: Apache-2.0 */
#include "expect.h"

#include "json/json.h"
#include "model/job.h"
#include "model/job_json.h"
#include "model/queue.h"
#include "model/schedule.h"
#include "redis/resp.h"
#include "redis/url.h"

/* Each parser and each packer whose n-th allocation fails, for all n: it says so, gives nothing half done, and loses no memory (which the sanitizer
   sees). */

static long survives(int (*fn)(void *arg), const char *text)
{
    char copy[512];

    (void)snprintf(copy, sizeof copy, "%s", text);
    return expect_survives_nomem(fn, copy);
}

static int parse_json(void *arg)
{
    DQ_BUF_AUTO text = {0};
    dq_json doc = {0};
    dureq_error err = {0};
    int rc = dq_json_parse(dureq_str_from(arg), &doc, &err);

    if (rc < 0)
        return rc;
    rc = dq_json_string(&doc, dq_json_member(&doc, 0, "text"), &text);
    dq_json_deinit(&doc);
    return rc;
}

TEST(json)
{
    EXPECT_TRUE(survives(parse_json, "{\"text\": \"a \\u00e9 b\", \"list\": [1, [2, [3]], {\"a\": null}]}") >= 2);
}

static int base64_both_ways(void *arg)
{
    DQ_BUF_AUTO text = {0};
    DQ_BUF_AUTO bytes = {0};
    int rc;

    dq_base64_encode(&text, dureq_str_from(arg));
    if (dq_buf_failed(&text))
        return DUREQ_ENOMEM;
    rc = dq_base64_decode(dq_buf_str(&text), &bytes);
    return rc < 0 ? rc : dq_buf_finish(&bytes, NULL);
}

TEST(base64)
{
    EXPECT_TRUE(survives(base64_both_ways, "some bytes to be written as text, and back") >= 2);
}

static int read_queue(void *arg)
{
    DQ_BUF_AUTO again = {0};
    dq_arena arena = {0};
    dureq_error err = {0};
    dq_queue q;
    int rc = dq_queue_from_json(DQ_STR_LIT("low"), dureq_str_from(arg), &arena, &q, &err);

    if (rc == 0) {
        dq_queue_to_json(&q, &again);
        rc = dq_buf_finish(&again, &err);
    }
    dq_arena_deinit(&arena);
    return rc;
}

TEST(a_queue_definition)
{
    EXPECT_TRUE(
        survives(read_queue, "{\"weight\": 2, \"retry_policy\": {\"max_attempts\": 3, \"non_retryable_errors\": [\"a\"]}}") >= 3);
}

/* A spec into its packed form, and that into the job that readers get. */
static int pack_and_read(void *arg)
{
    dq_id id = {.ms = 1700000000000u, .seq = 1, .lane = 1};
    DQ_BUF_AUTO packed = {0};
    DQ_BUF_AUTO json = {0};
    dq_json_writer w = dq_json_writer_of(&json);
    dq_arena arena = {0};
    dureq_job_options options;
    dureq_job_spec spec;
    dureq_error err = {0};
    dq_json doc = {0};
    dureq_job job;
    int rc = dq_json_parse(dureq_str_from(arg), &doc, &err);

    if (rc == 0)
        rc = dq_job_spec_from_json(&doc, 0, &arena, &spec, &options, &err);
    if (rc == 0) {
        spec.options = &options;
        dq_envelope_pack(&packed, &spec, -1);
        rc = dq_buf_finish(&packed, &err);
    }
    if (rc == 0) {
        dq_job_parts p = {.id = id, .lane_name = DQ_STR_LIT("low|mail|"), .j = dq_buf_str(&packed)};

        rc = dq_job_from_parts(&p, NULL, NULL, &arena, &job, &err);
    }
    if (rc == 0) {
        EXPECT_I64(2, (int64_t)job.n_tags);
        EXPECT_I64(1, (int64_t)job.n_headers);
        dq_job_to_json(&job, &w);
        rc = dq_buf_finish(&json, &err);
    }
    dq_arena_deinit(&arena);
    dq_json_deinit(&doc);
    return rc;
}

TEST(a_job)
{
    static const char text[] =
        "{\"task_type\": \"mail\", \"payload\": {\"to\": 1}, \"tags\": [\"a\", \"b\"], \"headers\": {\"x\": \"y\"},"
        " \"retry_policy\": {\"max_attempts\": 3, \"non_retryable_errors\": [\"gone\"]}}";

    EXPECT_TRUE(survives(pack_and_read, text) >= 5);
}

static int add_attempts(void *arg)
{
    DQ_BUF_AUTO tail = {0};
    uint8_t n = 0;

    for (uint32_t run = 1; run <= 40; run++) {
        DQ_BUF_AUTO longer = {0};
        dq_attempt a = {.run = run, .outcome = 1, .error = dureq_str_from(arg)};

        dq_attempts_add(&longer, dq_buf_str(&tail), &a, &n);
        if (dq_buf_failed(&longer))
            return DUREQ_ENOMEM;
        dq_buf_deinit(&tail);
        tail = longer;
        longer = (dq_buf){0};
    }
    return 0;
}

TEST(attempts)
{
    EXPECT_TRUE(survives(add_attempts, "an error of some length") >= 40);
}

static int read_schedule(void *arg)
{
    DQ_BUF_AUTO json = {0};
    dq_json_writer w = dq_json_writer_of(&json);
    dq_arena arena = {0};
    dureq_schedule s;
    dureq_error err = {0};
    dq_json doc = {0};
    int rc = dq_json_parse(dureq_str_from(arg), &doc, &err);

    if (rc == 0)
        rc = dq_schedule_from_json(&doc, 0, &arena, &s, &err);
    if (rc == 0) {
        dq_schedule_to_json(&s, &w);
        rc = dq_buf_finish(&json, &err);
    }
    dq_arena_deinit(&arena);
    dq_json_deinit(&doc);
    return rc;
}

TEST(a_schedule)
{
    /* \u0041: texts with escapes are copied */
    EXPECT_TRUE(survives(read_schedule,
                         "{\"type\": \"D\\u0041ILY\", \"at_times\": [{\"hour\": 9}], \"timezone\": \"\\u0041sia/Tokyo\","
                         " \"gap\": \"\\u0073kip\"}") >= 3);
}

static int parse_url(void *arg)
{
    dq_redis_url url = {0}, copy = {0};
    DQ_BUF_AUTO shown = {0};
    dureq_error err = {0};
    int rc = dq_redis_url_parse(dureq_str_from(arg), &url, &err);

    if (rc == 0)
        rc = dq_redis_url_dup(&url, &copy);
    if (rc == 0) {
        dq_redis_url_describe(&copy, &shown);
        rc = dq_buf_finish(&shown, &err);
    }
    dq_redis_url_deinit(&url);
    dq_redis_url_deinit(&copy);
    return rc;
}

TEST(an_url)
{
    EXPECT_TRUE(survives(parse_url, "rediss://u:p%40@host:1/2?ca=/a&cert=/b&key=/c&servername=n") >= 10);
}

TEST_MAIN()
