/* SPDX-License-Identifier: Apache-2.0 */
/* POST /api/jobs: one spec, an array, or one a line; each is accepted or refused by itself. */
#include "test_api.h"

#include "base/buf.h"
#include "json/json.h"

#include <stdlib.h>

SCENARIO(one_job_is_created_and_told_where_it_is)
{
    char location[128];

    EXPECT_I64(201, api("POST", "/api/jobs", NULL, "{\"task_type\":\"mail\",\"payload\":{\"a\": 1},\"tags\":[\"x\"]}"));
    EXPECT_TEXT("pending", api_text("status"));
    (void)snprintf(location, sizeof location, "/api/jobs/%s", api_text("id"));
    EXPECT_TEXT(location, api_response()->location);
    EXPECT_I64(200, api("GET", location, NULL, NULL));
    EXPECT_TEXT("mail", api_text("task_type"));
    EXPECT_HAS("\"payload\":{\"a\": 1}", api_body());
    EXPECT_I64(201, api("POST", "/api/jobs", NULL, "{\"task_type\":\"mail\",\"delay\":\"1h\"}"));
    EXPECT_TEXT("scheduled", api_text("status"));
}

SCENARIO(a_used_request_id_is_200_and_the_same_job)
{
    static const char spec[] = "{\"task_type\":\"t\",\"request_id\":\"r\"}";
    const char *id;

    EXPECT_I64(201, api("POST", "/api/jobs", NULL, spec));
    id = api_text("id");
    EXPECT_I64(200, api("POST", "/api/jobs", NULL, spec));
    EXPECT_TEXT(id, api_text("id"));
    EXPECT_HAS("\"existing\":true", api_body());
}

SCENARIO(a_used_request_id_says_nothing_of_a_state_that_may_be_another)
{
    static const char spec[] = "{\"task_type\":\"t\",\"request_id\":\"r\",\"delay\":\"1h\"}";
    const char *id;
    dureq_enqueue_result result;
    dureq_job_options o = dureq_job_options_init();
    dureq_job_spec one = {.task_type = "t", .payload = DQ_STR_LIT("1"), .options = &o};

    EXPECT_I64(201, api("POST", "/api/jobs", NULL, spec));
    id = api_text("id");
    RIG_OK(dureq_client_cancel(rig.client, id, NULL, &err));
    EXPECT_I64(200, api("POST", "/api/jobs", NULL, spec));
    EXPECT_TEXT(id, api_text("id"));
    EXPECT_TRUE(strstr(api_body(), "status") == NULL);
    o.request_id = DQ_STR_LIT("r");
    o.delay_ms = 3600000;
    RIG_OK(dureq_client_enqueue_many(rig.client, &one, 1, &result, &err));
    EXPECT_TRUE(result.existing && !result.scheduled);
}

SCENARIO(a_refused_job_has_the_status_of_its_reason)
{
    static const struct {
        const char *spec;
        int status;
        const char *word, *said;
    } rows[] = {
        {"{}", 400, "invalid", "field 'task_type' is missing"},
        {"{\"task_type\":\"a b\"}", 400, "invalid", "task_type has a character outside"},
        {"{\"task_type\":\"t\",\"colour\":1}", 400, "invalid", "unknown field 'colour'"},
        {"{\"task_type\":\"t\",\"priority\":11}", 400, "invalid", "field 'priority' takes a whole number from 1 to 10"},
        {"{\"task_type\":\"t\",\"delay\":5}", 400, "invalid", "field 'delay' takes a duration such as \"30s\", not 5"},
        {"{\"task_type\":\"t\",\"delay\":\"-1s\"}", 400, "invalid", "field 'delay' takes a duration"},
        {"{\"task_type\":\"t\",\"run_at\":\"soon\"}", 400, "invalid", "field 'run_at' takes an RFC 3339 time"},
        {"{\"task_type\":\"t\",\"delay\":\"1s\",\"run_at\":\"2036-01-01T00:00:00Z\"}", 400, "invalid", "exclude each other"},
        {"{\"task_type\":\"t\",\"unique_key\":\"\"}", 400, "invalid", "field 'unique_key' takes a string of 1 to 256 bytes"},
        {"{\"task_type\":\"t\",\"headers\":{\"a\":1}}", 400, "invalid", "field 'headers' takes an object of strings"},
        {"{\"task_type\":\"t\",\"payload_base64\":\"?\"}", 400, "invalid", "field 'payload_base64' takes a string of base64"},
        {"{\"task_type\":\"t\",\"schedule\":{}}", 400, "invalid", "field 'type' is missing"},
        {"{\"task_type\":\"t\",\"version\":\"2\"}", 400, "unsupported", "field 'version' is not supported"},
        {"{\"task_type\":\"t\",\"queue\":\"nowhere\"}", 404, "not_found", "queue 'nowhere' is not defined"},
        {"{\"task_type\":\"t\",\"unique_key\":\"held\"}", 409, "duplicate", "unique_key is held by a living job"},
        {"{\"task_type\":\"t\",\"queue\":\"full\"}", 429, "limit", "queue 'full' is full"},
    };

    EXPECT_I64(201, api("POST", "/api/jobs", NULL, "{\"task_type\":\"t\",\"unique_key\":\"held\"}"));
    EXPECT_I64(200, api("PUT", "/api/queues/full", NULL, "{\"max_len\":1}"));
    EXPECT_I64(201, api("POST", "/api/jobs", NULL, "{\"task_type\":\"t\",\"queue\":\"full\"}"));
    for (size_t i = 0; i < DQ_ARRAY_LEN(rows); i++) {
        EXPECT_NOTE("%s", rows[i].spec);
        API_FAILS(rows[i].status, rows[i].word, rows[i].said, "POST", "/api/jobs", NULL, rows[i].spec);
        EXPECT_TEXT("", api_response()->location);
    }
    EXPECT_I64(2, rig_counts().pending);
}

SCENARIO(a_duplicate_names_the_living_job)
{
    const char *id;

    EXPECT_I64(201, api("POST", "/api/jobs", NULL, "{\"task_type\":\"t\",\"unique_key\":\"k\"}"));
    id = api_text("id");
    EXPECT_I64(409, api("POST", "/api/jobs", NULL, "{\"task_type\":\"t\",\"unique_key\":\"k\"}"));
    EXPECT_TEXT(id, api_text("existing_id"));
}

SCENARIO(a_payload_that_is_too_large_is_413)
{
    size_t n = 1024 * 1024;
    DQ_BUF_AUTO body = {0};
    char *text = malloc(n);

    if (!text)
        fail_msg("out of memory");
    memset(text, 'x', n);
    dq_buf_append_text(&body, "{\"task_type\":\"t\",\"payload\":\"");
    dq_buf_append(&body, text, n);
    dq_buf_append_text(&body, "\"}");
    free(text);
    API_FAILS(413, "too_large", "payload", "POST", "/api/jobs", NULL, body.ptr);
    EXPECT_I64(0, rig_counts().pending);
}

SCENARIO(an_array_has_one_answer_an_item_in_order)
{
    EXPECT_I64(
        200,
        api("POST", "/api/jobs", NULL,
            "[{\"task_type\":\"a\"}, 5, {\"task_type\":\"a\",\"queue\":\"nowhere\"}, {\"task_type\":\"a\",\"delay\":\"1h\"}]"));
    EXPECT_HAS("[{\"id\":\"", api_body());
    EXPECT_HAS("\",\"status\":\"pending\"},{\"error\":\"a job spec is an object, not a number\",\"code\":\"invalid\"},"
               "{\"error\":\"queue 'nowhere' is not defined\",\"code\":\"not_found\"},{\"id\":\"",
               api_body());
    EXPECT_HAS("\",\"status\":\"scheduled\"}]", api_body());
    EXPECT_I64(1, rig_counts().pending);
    EXPECT_I64(200, api("POST", "/api/jobs", NULL, "[]"));
    EXPECT_TEXT("[]", api_body());
}

SCENARIO(lines_are_specs_and_empty_ones_are_passed_over)
{
    EXPECT_I64(200, api_ndjson("/api/jobs", "{\"task_type\":\"a\"}\r\n\n{\"task_type\":\"a\",}\n{\"task_type\":\"b\"}"));
    EXPECT_HAS("\"status\":\"pending\"},{\"error\":\"line 1, column 18: ", api_body());
    EXPECT_I64(2, rig_counts().pending);
    EXPECT_I64(200, api_ndjson("/api/jobs", ""));
    EXPECT_TEXT("[]", api_body());
}

/* How often a text is in the answer. */
static size_t count_of(const char *part)
{
    size_t n = 0;

    for (const char *at = strstr(api_body(), part); at; at = strstr(at + 1, part))
        n++;
    return n;
}

SCENARIO(a_thousand_of_one_call_all_have_answers)
{
    DQ_BUF_AUTO body = {0};

    for (int i = 0; i < 1000; i++)
        dq_buf_append_text(&body, i % 10 == 3 ? "nonsense\n" : "{\"task_type\":\"many\"}\n");
    EXPECT_I64(200, api_ndjson("/api/jobs", body.ptr));
    EXPECT_U64(900, count_of("\"id\":"));
    EXPECT_U64(100, count_of("\"error\":"));
    EXPECT_I64(900, rig_counts().pending);
}

/* The server takes jobs until it is out of memory: what it took must be told although the rest fails. */
SCENARIO(what_was_accepted_is_told_when_the_rest_fails)
{
    DQ_BUF_AUTO body = {0};

    EXPECT_I64(200, api("PUT", "/api/queues/short", NULL, "{\"max_len\":300}"));
    for (int i = 0; i < 600; i++)
        dq_buf_append_text(&body, "{\"task_type\":\"t\",\"queue\":\"short\"}\n");
    EXPECT_I64(200, api_ndjson("/api/jobs", body.ptr));
    EXPECT_I64(rig_counts().pending, (int64_t)count_of("\"id\":"));
    EXPECT_U64(600 - count_of("\"id\":"), count_of("\"code\":\"limit\""));
    EXPECT_TRUE(count_of("\"id\":") >= 300);
}

RIG_MAIN()
