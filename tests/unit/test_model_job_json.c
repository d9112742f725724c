/* SPDX-License-Identifier: Apache-2.0 */
#include "model/job_json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#define ID "0d6kq2v0m5t0g0000g00"

/* What was written must be one JSON value, whatever went in. */
static void expect_json(const dq_buf *out, const char *want)
{
    assert_false(out->failed);
    if (!dq_json_valid(dq_buf_str(out)))
        fail_msg("not JSON: %s", out->ptr);
    assert_string_equal(out->ptr, want);
}

static void expect_job(const dureq_job *job, const char *want)
{
    DQ_BUF_AUTO out = {0};
    dq_json_writer w = dq_json_writer_of(&out);

    dq_job_to_json(job, &w);
    expect_json(&out, want);
}

static dureq_job plain_job(void)
{
    return (dureq_job){.id = {ID},
                       .state = DUREQ_JOB_PENDING,
                       .task_type = DQ_STR_LIT("mail.send"),
                       .queue = DQ_STR_LIT("normal"),
                       .payload = DQ_STR_LIT("{\"to\": 1}"),
                       .content_type = DQ_STR_LIT("application/json"),
                       .max_attempts = 3,
                       .created_at_ms = 1000};
}

static void a_waiting_job(void **state)
{
    dureq_job job = plain_job();

    (void)state;
    expect_job(&job, "{\"id\":\"" ID "\",\"task_type\":\"mail.send\",\"payload\":{\"to\": 1},"
                     "\"content_type\":\"application/json\",\"queue\":\"normal\",\"schedule\":{\"type\":\"IMMEDIATE\"},"
                     "\"status\":\"pending\",\"attempt\":0,\"max_attempts\":3,\"runs\":0,\"attempts\":[],"
                     "\"created_at\":\"1970-01-01T00:00:01.000Z\",\"updated_at\":\"1970-01-01T00:00:01.000Z\"}");
}

static void an_empty_job_is_still_json(void **state)
{
    dureq_job job = {0};

    (void)state;
    expect_job(&job, "{\"id\":\"\",\"task_type\":\"\",\"payload_base64\":\"\",\"schedule\":{\"type\":\"IMMEDIATE\"},"
                     "\"status\":\"pending\",\"attempt\":0,\"runs\":0,\"attempts\":[]}");
}

static void all_that_a_producer_said(void **state)
{
    static const dureq_header headers[] = {{"trace-id", {"a\"b", 3}}, {"bytes", {"\xff", 1}}};
    static const dureq_str tags[] = {{"red", 3}, {"blue", 4}};
    dureq_retry_policy p = dureq_retry_policy_init();
    dureq_job job = plain_job();

    (void)state;
    p.max_attempts = 5;
    job.payload_omitted = true;
    job.state = DUREQ_JOB_SCHEDULED;
    job.run_at_ms = 5000;
    job.version = DQ_STR_LIT("v2");
    job.priority = 7;
    job.retry_policy = &p;
    job.unique_key = DQ_STR_LIT("k\n");
    job.request_id = DQ_STR_LIT("r");
    job.dlq_after = 2;
    job.timeout_ms = 90000;
    job.schedule_to_start_timeout_ms = 1;
    job.heartbeat_timeout_ms = 1500;
    job.retention_ms = -1;
    job.tags = tags;
    job.n_tags = 2;
    job.headers = headers;
    job.n_headers = 2;
    expect_job(&job,
               "{\"id\":\"" ID "\",\"task_type\":\"mail.send\",\"payload_omitted\":true,\"content_type\":\"application/json\","
               "\"queue\":\"normal\",\"version\":\"v2\",\"priority\":7,"
               "\"schedule\":{\"type\":\"ONE_TIME\",\"run_at\":\"1970-01-01T00:00:05.000Z\"},"
               "\"retry_policy\":{\"max_attempts\":5,\"initial_delay\":5000000000,\"max_delay\":300000000000,"
               "\"multiplier\":2,\"jitter\":0.1},"
               "\"unique_key\":\"k\\n\",\"request_id\":\"r\",\"dlq_after\":2,\"timeout\":\"1m30s\","
               "\"schedule_to_start_timeout\":\"1ms\",\"heartbeat_timeout\":\"1.5s\",\"retention\":\"0s\","
               "\"tags\":[\"red\",\"blue\"],\"headers\":{\"trace-id\":\"a\\\"b\",\"bytes\":\"\xef\xbf\xbd\"},"
               "\"status\":\"scheduled\",\"attempt\":0,\"max_attempts\":3,\"runs\":0,"
               "\"next_run_at\":\"1970-01-01T00:00:05.000Z\",\"attempts\":[],"
               "\"created_at\":\"1970-01-01T00:00:01.000Z\",\"updated_at\":\"1970-01-01T00:00:01.000Z\"}");
}

static void a_retrying_job_shows_its_attempts(void **state)
{
    static const dureq_attempt attempts[] = {
        {1, DUREQ_OUTCOME_RETRY, 2000, 2500, {"n1", 2}, 7, {"no route", 8}, {"at line\n1", 9}},
        {2, DUREQ_OUTCOME_TIMED_OUT, 4000, 0, {NULL, 0}, 0, {NULL, 0}, {NULL, 0}},
    };
    dureq_job job = plain_job();

    (void)state;
    job.state = DUREQ_JOB_RETRYING;
    job.run_at_ms = 9000;
    job.attempt = 2;
    job.runs = 2;
    job.crashes = 1;
    job.last_error = DQ_STR_LIT("no route");
    job.node_id = DQ_STR_LIT("n1");
    job.started_at_ms = 4000;
    job.attempts = attempts;
    job.n_attempts = 2;
    expect_job(&job,
               "{\"id\":\"" ID "\",\"task_type\":\"mail.send\",\"payload\":{\"to\": 1},\"content_type\":\"application/json\","
               "\"queue\":\"normal\",\"schedule\":{\"type\":\"IMMEDIATE\"},\"status\":\"retrying\",\"attempt\":2,"
               "\"max_attempts\":3,\"runs\":2,\"crashes\":1,\"last_error\":\"no route\",\"node_id\":\"n1\","
               "\"last_run_at\":\"1970-01-01T00:00:04.000Z\",\"next_run_at\":\"1970-01-01T00:00:09.000Z\",\"attempts\":["
               "{\"attempt\":1,\"run_id\":\"" ID ".1\",\"node_id\":\"n1\",\"started_at\":\"1970-01-01T00:00:02.000Z\","
               "\"finished_at\":\"1970-01-01T00:00:02.500Z\",\"outcome\":\"retry\",\"code\":7,\"error\":\"no route\","
               "\"detail\":\"at line\\n1\"},"
               "{\"attempt\":2,\"run_id\":\"" ID ".2\",\"node_id\":\"\",\"started_at\":\"1970-01-01T00:00:04.000Z\","
               "\"outcome\":\"timed_out\"}],"
               "\"created_at\":\"1970-01-01T00:00:01.000Z\",\"updated_at\":\"1970-01-01T00:00:04.000Z\"}");
}

static void a_completed_job_shows_its_result(void **state)
{
    dureq_job job = plain_job();

    (void)state;
    job.state = DUREQ_JOB_COMPLETED;
    job.payload = DQ_STR_LIT("hello");
    job.content_type = DQ_STR_LIT("text/plain");
    job.max_attempts = 0;
    job.runs = 1;
    job.skipped = true;
    job.reason = DQ_STR_LIT("nothing to do");
    job.progress = DQ_STR_LIT("{\"done\":1}");
    job.result = DQ_STR_LIT("\x01\x02");
    job.result_content_type = DQ_STR_LIT("application/octet-stream");
    job.started_at_ms = 2000;
    job.finished_at_ms = 3000;
    expect_job(&job,
               "{\"id\":\"" ID "\",\"task_type\":\"mail.send\",\"payload\":\"hello\",\"content_type\":\"text/plain\","
               "\"queue\":\"normal\",\"schedule\":{\"type\":\"IMMEDIATE\"},\"status\":\"completed\",\"attempt\":0,\"runs\":1,"
               "\"reason\":\"nothing to do\",\"skipped\":true,\"progress\":{\"done\":1},\"result_base64\":\"AQI=\","
               "\"result_content_type\":\"application/octet-stream\",\"last_run_at\":\"1970-01-01T00:00:02.000Z\","
               "\"completed_at\":\"1970-01-01T00:00:03.000Z\",\"attempts\":[],"
               "\"created_at\":\"1970-01-01T00:00:01.000Z\",\"updated_at\":\"1970-01-01T00:00:03.000Z\"}");
}

static void a_paused_job_says_when_it_resumes(void **state)
{
    dureq_job job = plain_job();

    (void)state;
    job.state = DUREQ_JOB_PAUSED;
    job.max_attempts = 0;
    job.resume_at_ms = 7000;
    job.waiting_for = DQ_STR_LIT("its hour");
    job.progress = DQ_STR_LIT("{broken");
    expect_job(&job,
               "{\"id\":\"" ID "\",\"task_type\":\"mail.send\",\"payload\":{\"to\": 1},\"content_type\":\"application/json\","
               "\"queue\":\"normal\",\"schedule\":{\"type\":\"IMMEDIATE\"},\"status\":\"paused\",\"attempt\":0,\"runs\":0,"
               "\"waiting_for\":\"its hour\",\"progress\":\"{broken\",\"resume_at\":\"1970-01-01T00:00:07.000Z\","
               "\"attempts\":[],\"created_at\":\"1970-01-01T00:00:01.000Z\",\"updated_at\":\"1970-01-01T00:00:01.000Z\"}");
}

/* ---- content ---- */

typedef struct content_case {
    dureq_str bytes;
    const char *type, *want;
} content_case;

#define B(x) DQ_STR_LIT(x)

static const content_case content_cases[] = {
    {B("1.0e2"), "application/json", "{\"p\":1.0e2}"}, /* byte for byte */
    {B(" [1, 2]\n"), "application/json", "{\"p\": [1, 2]\n}"},
    {B("null"), "application/json; charset=utf-8", "{\"p\":null}"},
    {B("{}"), "application/cloudevents+json", "{\"p\":{}}"},
    {B("{x"), "application/json", "{\"p_base64\":\"e3g=\"}"}, /* the type lies */
    {B(""), "application/json", "{\"p_base64\":\"\"}"},
    {B("a\"b"), "text/plain", "{\"p\":\"a\\\"b\"}"},
    {B(""), "text/plain", "{\"p\":\"\"}"},
    {B("<b>"), "text/html; charset=utf-8", "{\"p\":\"<b>\"}"},
    {B("\xc3"), "text/plain", "{\"p_base64\":\"ww==\"}"}, /* no UTF-8: nothing may be lost */
    {B("{}"), "application/octet-stream", "{\"p_base64\":\"e30=\"}"},
    {B("{}"), "application/jsonx", "{\"p_base64\":\"e30=\"}"},
    {B("{}"), "", "{\"p_base64\":\"e30=\"}"},
};

static void content_is_shown_by_its_type(void **state)
{
    (void)state;
    for (size_t i = 0; i < DQ_ARRAY_LEN(content_cases); i++) {
        DQ_BUF_AUTO out = {0};
        dq_json_writer w = dq_json_writer_of(&out);

        dq_json_begin_object(&w);
        dq_json_put_content(&w, "p", content_cases[i].bytes, dureq_str_from(content_cases[i].type));
        dq_json_end_object(&w);
        expect_json(&out, content_cases[i].want);
    }
}

/* ---- retry policy ---- */

static void expect_policy(const dureq_retry_policy *p, const char *want)
{
    DQ_BUF_AUTO out = {0};
    dq_json_writer w = dq_json_writer_of(&out);

    dq_retry_policy_to_json(p, &w);
    expect_json(&out, want);
}

static void defaults_of_a_policy_are_spelt_out(void **state)
{
    dureq_retry_policy p = dureq_retry_policy_init();

    (void)state;
    expect_policy(&p, "{\"max_attempts\":3,\"initial_delay\":5000000000,\"max_delay\":300000000000,\"multiplier\":2,"
                      "\"jitter\":0.1}");
}

static void none_is_zero_in_a_policy(void **state)
{
    dureq_retry_policy p = dureq_retry_policy_init();

    (void)state;
    p.initial_delay_ms = -1;
    p.max_delay_ms = -1;
    p.jitter = -1;
    expect_policy(&p, "{\"max_attempts\":3,\"initial_delay\":0,\"max_delay\":0,\"multiplier\":2,\"jitter\":0}");
}

static void a_full_policy(void **state)
{
    static const char *const finals[] = {"no such", "a\"b"};
    dureq_retry_policy p = dureq_retry_policy_init();

    (void)state;
    p.max_attempts = 9;
    p.initial_delay_ms = 1;
    p.max_delay_ms = INT64_MAX; /* more nanoseconds than there are */
    p.multiplier = 1.5;
    p.jitter = 1;
    p.non_retryable_errors = finals;
    p.n_non_retryable_errors = 2;
    p.pause_after_err_count = 4;
    p.pause_retry_delay_ms = 60000;
    expect_policy(&p, "{\"max_attempts\":9,\"initial_delay\":1000000,\"max_delay\":9223372036854775807,\"multiplier\":1.5,"
                      "\"jitter\":1,\"non_retryable_errors\":[\"no such\",\"a\\\"b\"],\"pause_after_err_count\":4,"
                      "\"pause_retry_delay\":60000000000}");
}

static void a_shorter_policy_of_an_older_program_is_read_so_far(void **state)
{
    dureq_retry_policy p = dureq_retry_policy_init();

    (void)state;
    p.max_attempts = 9;
    p.jitter = 0.5;
    p.struct_size = offsetof(dureq_retry_policy, jitter);
    expect_policy(&p, "{\"max_attempts\":9,\"initial_delay\":5000000000,\"max_delay\":300000000000,\"multiplier\":2,"
                      "\"jitter\":0.1}");
}

/* ---- queue and node ---- */

static void a_queue(void **state)
{
    DQ_BUF_AUTO out = {0};
    DQ_BUF_AUTO full = {0};
    dq_json_writer w = dq_json_writer_of(&out), wf = dq_json_writer_of(&full);
    dureq_retry_policy p = dureq_retry_policy_init();
    dureq_queue_info q = {.name = DQ_STR_LIT("mail"), .weight = 3};

    (void)state;
    dq_json_begin_object(&w);
    dq_queue_info_members_to_json(&q, &w);
    dq_json_end_object(&w);
    expect_json(&out, "{\"name\":\"mail\",\"weight\":3,\"max_len\":0,\"paused\":false,\"pending\":0,\"running\":0,"
                      "\"oldest_age\":\"0s\",\"size\":0}");
    q = (dureq_queue_info){.name = DQ_STR_LIT("mail"),
                           .weight = 3,
                           .priority_min = 4,
                           .priority_max = 7,
                           .max_len = 10,
                           .retention_ms = 3600000,
                           .paused = true,
                           .pending = 5,
                           .running = 2,
                           .oldest_age_ms = 61000,
                           .retry_policy = &p};
    dq_json_begin_object(&wf);
    dq_queue_info_members_to_json(&q, &wf);
    dq_json_end_object(&wf);
    expect_json(&full, "{\"name\":\"mail\",\"weight\":3,\"priorities\":[4,7],\"max_len\":10,\"retention\":\"1h0m0s\","
                       "\"retry_policy\":{\"max_attempts\":3,\"initial_delay\":5000000000,\"max_delay\":300000000000,"
                       "\"multiplier\":2,\"jitter\":0.1},\"paused\":true,\"pending\":5,\"running\":2,"
                       "\"oldest_age\":\"1m1s\",\"size\":5}");
}

static void a_node(void **state)
{
    DQ_BUF_AUTO out = {0};
    dq_json_writer w = dq_json_writer_of(&out);
    dureq_node_info n = {.node_id = DQ_STR_LIT("n1"),
                         .task_types = DQ_STR_LIT("mail.*, echo,,"),
                         .version = DQ_STR_LIT("0.1.0"),
                         .host = DQ_STR_LIT("h"),
                         .pid = 12,
                         .started_at_ms = 1000,
                         .last_heartbeat_ms = 2000,
                         .concurrency = 10,
                         .running = 4,
                         .stuck = 1,
                         .draining = true,
                         .leader = true};

    (void)state;
    dq_node_info_to_json(&n, &w);
    expect_json(&out, "{\"node_id\":\"n1\",\"task_types\":[\"mail.*\",\"echo\"],\"started_at\":\"1970-01-01T00:00:01.000Z\","
                      "\"last_heartbeat\":\"1970-01-01T00:00:02.000Z\","
                      "\"pool_stats\":{\"running_workers\":4,\"idle_workers\":6,\"max_concurrency\":10,\"stuck_workers\":1},"
                      "\"version\":\"0.1.0\",\"host\":\"h\",\"pid\":12,\"draining\":true,\"leader\":true,\"too_old\":false}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_waiting_job),
        cmocka_unit_test(an_empty_job_is_still_json),
        cmocka_unit_test(all_that_a_producer_said),
        cmocka_unit_test(a_retrying_job_shows_its_attempts),
        cmocka_unit_test(a_completed_job_shows_its_result),
        cmocka_unit_test(a_paused_job_says_when_it_resumes),
        cmocka_unit_test(content_is_shown_by_its_type),
        cmocka_unit_test(defaults_of_a_policy_are_spelt_out),
        cmocka_unit_test(none_is_zero_in_a_policy),
        cmocka_unit_test(a_full_policy),
        cmocka_unit_test(a_shorter_policy_of_an_older_program_is_read_so_far),
        cmocka_unit_test(a_queue),
        cmocka_unit_test(a_node),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
