/* SPDX-License-Identifier: Apache-2.0 */
/* The resources of schedules. */
#include "test_api.h"

#define EVERY_HOUR "{\"task_type\":\"t\",\"payload\":{\"a\":1},\"schedule\":{\"type\":\"CRON\",\"cron_expr\":\"0 * * * *\"}}"

static const char *make(void)
{
    EXPECT_I64(201, api("POST", "/api/schedules", NULL, EVERY_HOUR));
    EXPECT_TEXT("scheduled", api_text("status"));
    return api_text("id");
}

SCENARIO(a_schedule_is_made_read_listed_and_deleted)
{
    const char *id = make();

    EXPECT_TEXT(api_path("/api/schedules/%s", id), api_response()->location);
    EXPECT_I64(200, api("GET", api_path("/api/schedules/%s", id), NULL, NULL));
    EXPECT_TEXT("active", api_text("status"));
    EXPECT_TEXT("t", api_text("task_type"));
    EXPECT_HAS(":00:00.000Z", api_text("next_run_at"));
    EXPECT_HAS("\"schedule\":{\"type\":\"CRON\",\"cron_expr\":\"0 * * * *\"}", api_body());
    EXPECT_HAS("\"payload\":{\"a\":1}", api_body());
    EXPECT_HAS("\"records\":[]", api_body());
    EXPECT_I64(200, api("GET", "/api/schedules", NULL, NULL));
    EXPECT_I64(1, api_i64("total"));
    EXPECT_HAS(id, api_body());
    EXPECT_I64(200, api("DELETE", api_path("/api/schedules/%s", id), NULL, NULL));
    API_FAILS(404, "not_found", "no schedule", "GET", api_path("/api/schedules/%s", id), NULL, NULL);
    EXPECT_I64(200, api("GET", "/api/schedules", NULL, NULL));
    EXPECT_I64(0, api_i64("total"));
}

static int keyed(const char *path, const char *key, const char *body)
{
    return api_of(&(dq_api_request){.method = "POST", .path = path, .idempotency_key = key, .body = dureq_str_from(body)});
}

SCENARIO(an_idempotency_key_is_heard_of_one_job_and_refused_of_a_schedule)
{
    static const char once[] = "{\"task_type\":\"t\",\"schedule\":{\"type\":\"ONE_TIME\",\"run_at\":\"2036-01-01T00:00:00Z\"}}";
    const char *id;

    EXPECT_I64(201, keyed("/api/jobs", "k", once));
    id = api_text("id");
    EXPECT_I64(201, keyed("/api/jobs", "k", once));
    EXPECT_TEXT(id, api_text("id"));
    EXPECT_I64(201, keyed("/api/schedules", "k", once));
    EXPECT_TEXT(id, api_text("id"));
    EXPECT_I64(201, keyed("/api/jobs", "other", once));
    EXPECT_TRUE(strcmp(id, api_text("id")) != 0);
    EXPECT_I64(2, rig_counts().scheduled);
    EXPECT_I64(400, keyed("/api/jobs", "k", EVERY_HOUR));
    EXPECT_HAS("Idempotency-Key is not for a schedule", api_text("error"));
    EXPECT_I64(400, keyed("/api/schedules", "k", EVERY_HOUR));
    EXPECT_I64(200, api("GET", "/api/schedules", NULL, NULL));
    EXPECT_I64(0, api_i64("total"));
    EXPECT_I64(201, keyed("/api/jobs", "", EVERY_HOUR));
}

SCENARIO(a_job_spec_with_a_schedule_makes_one_and_a_single_time_makes_a_job)
{
    EXPECT_I64(201, api("POST", "/api/jobs", NULL, EVERY_HOUR));
    EXPECT_HAS("/api/schedules/", api_response()->location);
    EXPECT_I64(201, api("POST", "/api/schedules", NULL,
                        "{\"task_type\":\"t\",\"schedule\":{\"type\":\"ONE_TIME\",\"run_at\":\"2036-01-01T00:00:00Z\"}}"));
    EXPECT_HAS("/api/jobs/", api_response()->location);
    EXPECT_I64(DUREQ_JOB_SCHEDULED, rig_state(api_text("id")));
    EXPECT_I64(201, api("POST", "/api/schedules", NULL, "{\"task_type\":\"t\",\"schedule\":{\"type\":\"IMMEDIATE\"}}"));
    EXPECT_I64(DUREQ_JOB_PENDING, rig_state(api_text("id")));
}

SCENARIO(a_put_by_key_is_done_once)
{
    const char *id;

    EXPECT_I64(201, api("PUT", "/api/schedules", "key=nightly", EVERY_HOUR));
    EXPECT_TEXT("created", api_text("status"));
    id = api_text("id");
    EXPECT_I64(200, api("PUT", "/api/schedules", "key=nightly", EVERY_HOUR));
    EXPECT_TEXT("same", api_text("status"));
    EXPECT_TEXT(id, api_text("id"));
    EXPECT_I64(200, api("PUT", "/api/schedules", "key=nightly",
                        "{\"task_type\":\"t\",\"schedule\":{\"type\":\"DURATION\",\"interval\":\"1h\"}}"));
    EXPECT_TEXT("changed", api_text("status"));
    EXPECT_I64(200, api("GET", "/api/schedules", "key=nightly", NULL));
    EXPECT_I64(1, api_i64("total"));
    EXPECT_HAS("\"interval\":\"1h0m0s\"", api_body());
    EXPECT_I64(200, api("GET", "/api/schedules", "key=other", NULL));
    EXPECT_I64(0, api_i64("total"));
}

SCENARIO(an_edit_changes_what_it_names)
{
    const char *path = api_path("/api/schedules/%s", make());

    EXPECT_I64(200,
               api("PUT", path, NULL, "{\"schedule\":{\"type\":\"DURATION\",\"interval\":\"2h\",\"overlap_policy\":\"SKIP\"}}"));
    EXPECT_I64(200, api("GET", path, NULL, NULL));
    EXPECT_HAS("\"schedule\":{\"type\":\"DURATION\",\"interval\":\"2h0m0s\",\"overlap_policy\":\"SKIP\"}", api_body());
    EXPECT_HAS("\"payload\":{\"a\":1}", api_body());
    EXPECT_I64(200, api("PUT", path, NULL, "{\"task_type\":\"u\",\"payload\":[2]}"));
    EXPECT_I64(200, api("GET", path, NULL, NULL));
    EXPECT_TEXT("u", api_text("task_type"));
    EXPECT_HAS("\"payload\":[2]", api_body());
    EXPECT_HAS("\"interval\":\"2h0m0s\"", api_body());
    /* A part of the job is not the job. */
    API_FAILS(400, "invalid", "task_type", "PUT", path, NULL, "{\"payload\":[3]}");
    EXPECT_I64(200, api("GET", path, NULL, NULL));
    EXPECT_HAS("\"payload\":[2]", api_body());
}

SCENARIO(its_id_answers_as_a_job)
{
    const char *id = make();

    EXPECT_I64(200, api("GET", api_path("/api/jobs/%s", id), NULL, NULL));
    EXPECT_TEXT("scheduled", api_text("status"));
    EXPECT_I64(200, api("PUT", api_path("/api/jobs/%s/payload", id), NULL, "{\"payload\":{\"b\":2}}"));
    EXPECT_I64(200, api("GET", api_path("/api/schedules/%s", id), NULL, NULL));
    EXPECT_HAS("\"payload\":{\"b\":2}", api_body());
    API_FAILS(409, "wrong_state", "", "POST", api_path("/api/jobs/%s/retry", id), NULL, NULL);
    API_FAILS(409, "wrong_state", "", "POST", api_path("/api/jobs/%s/run", id), NULL, NULL);
    API_FAILS(409, "wrong_state", "does not end", "GET", api_path("/api/jobs/%s/result", id), "wait=1s", NULL);
    EXPECT_I64(200, api("GET", "/api/jobs", NULL, NULL));
    EXPECT_I64(0, api_i64("total"));
    EXPECT_I64(0, rig_counts().scheduled);
    EXPECT_I64(200, api("POST", api_path("/api/jobs/%s/cancel", id), NULL, NULL));
    API_FAILS(404, "not_found", "", "GET", api_path("/api/schedules/%s", id), NULL, NULL);
}

SCENARIO(it_is_paused_resumed_triggered_and_backfilled)
{
    const char *id = make();
    const char *of = api_path("/api/schedules/%s", id);

    EXPECT_I64(200, api("POST", api_path("/api/schedules/%s/pause", id), NULL, NULL));
    EXPECT_I64(200, api("POST", api_path("/api/schedules/%s/pause", id), NULL, NULL));
    EXPECT_I64(200, api("GET", of, NULL, NULL));
    EXPECT_TEXT("paused", api_text("status"));
    EXPECT_I64(200, api("POST", api_path("/api/schedules/%s/resume", id), NULL, NULL));
    EXPECT_I64(200, api("POST", api_path("/api/schedules/%s/trigger", id), NULL, NULL));
    EXPECT_TEXT("dispatched", api_text("status"));
    EXPECT_I64(200, api("GET", api_path("/api/jobs/%s", api_text("job_id")), NULL, NULL));
    EXPECT_TEXT(id, api_text("schedule_id"));
    EXPECT_HAS("Z", api_text("scheduled_at"));
    EXPECT_I64(200, api("POST", api_path("/api/schedules/%s/backfill", id),
                        "from=2026-01-01T00:00:00Z&to=2026-01-01T05:00:00Z&policy=ALLOW_ALL", NULL));
    EXPECT_I64(6, api_i64("dispatched"));
    EXPECT_I64(7, rig_counts().pending);
    EXPECT_I64(200, api("GET", of, NULL, NULL));
    EXPECT_HAS("{\"what\":\"fired\",\"reason\":\"trigger\"", api_body());
    EXPECT_HAS("\"reason\":\"backfill\"", api_body());
    EXPECT_I64(0, api_i64("dispatched"));
}

SCENARIO(a_list_has_pages)
{
    int seen = 0, pages = 0;
    char query[128] = "limit=3";

    for (int i = 0; i < 7; i++)
        (void)make();
    for (bool more = true; more; pages++) {
        const char *cursor;

        EXPECT_I64(200, api("GET", "/api/schedules", query, NULL));
        EXPECT_I64(7, api_i64("total"));
        for (const char *at = strstr(api_body(), "\"job_id\""); at; at = strstr(at + 1, "\"job_id\""))
            seen++;
        cursor = api_text("next_cursor");
        more = *cursor;
        (void)snprintf(query, sizeof query, "limit=3&cursor=%s", cursor);
    }
    EXPECT_I64(7, seen);
    EXPECT_TRUE(pages >= 3);
    API_FAILS(400, "invalid", "not one that a page gave", "GET", "/api/schedules", "cursor=9.x", NULL);
    API_FAILS(400, "invalid", "limit", "GET", "/api/schedules", "limit=1001", NULL);
}

SCENARIO(times_are_shown_before_it_is_made)
{
    EXPECT_I64(200, api("POST", "/api/schedules/preview", "from=2026-03-07T00:00:00Z&n=2",
                        "{\"type\":\"CRON\",\"cron_expr\":\"30 2 * * *\",\"timezone\":\"America/New_York\"}"));
    EXPECT_HAS("{\"data\":[\"2026-03-07T02:30:00-05:00\",\"2026-03-08T03:00:00-04:00\"],\"text\":\"", api_body());
    EXPECT_I64(200, api("GET", api_path("/api/schedules/%s/preview", make()), "from=2026-03-07T00:30:00Z&n=1", NULL));
    EXPECT_HAS("[\"2026-03-07T01:00:00Z\"]", api_body());
}

SCENARIO(what_is_wrong_is_refused_by_its_field)
{
#define CRON "\"schedule\":{\"type\":\"CRON\",\"cron_expr\":\"0 * * * *\"}"
    static const struct {
        const char *body;
        int status;
        const char *word, *says;
    } rows[] = {
        {"{\"task_type\":\"t\"}", 400, "invalid", "field 'schedule' is missing"},
        {"{" CRON "}", 400, "invalid", "field 'task_type' is missing"},
        {"{\"task_type\":\"t\"," CRON ",\"colour\":1}", 400, "invalid", "unknown field 'colour'"},
        {"{\"task_type\":\"t\"," CRON ",\"delay\":\"1s\"}", 400, "invalid", "delay is not for the jobs of a schedule"},
        {"{\"task_type\":\"t\"," CRON ",\"run_at\":\"2036-01-01T00:00:00Z\"}", 400, "invalid", "run_at is not for"},
        {"{\"task_type\":\"t\"," CRON ",\"request_id\":\"r\"}", 400, "invalid", "request_id is not for"},
        {"{\"task_type\":\"t\"," CRON ",\"unique_key\":\"k\",\"unique_for\":\"1h\"}", 400, "invalid", "unique_for is not for"},
        {"{\"task_type\":\"t\"," CRON ",\"queue\":\"nowhere\"}", 404, "not_found", "queue 'nowhere' is not defined"},
        {"{\"task_type\":\"t\",\"schedule\":{\"type\":\"CRON\",\"cron_expr\":\"0 22-2 * * *\"}}", 400, "invalid",
         "cron_expr, column 3: hour range"},
        {"{\"task_type\":\"t\",\"schedule\":{\"type\":\"CRON\",\"cron_expr\":\"0 0 31 2 *\"}}", 400, "invalid", "cron_expr"},
        {"{\"task_type\":\"t\",\"schedule\":{\"type\":\"CRON\",\"cron_expr\":\"0 0 * * *\",\"ends_at\":\"2001-01-01T00:00:00Z\"}}",
         400, "invalid", "ends_at"},
        {"{\"task_type\":\"t\",\"schedule\":{\"type\":\"CRON\",\"cron_expr\":\"0 0 * * *\",\"timezone\":\"Europe/Berlni\"}}", 400,
         "invalid", "Europe/Berlin"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        EXPECT_NOTE("%s", rows[i].body);
        API_FAILS(rows[i].status, rows[i].word, rows[i].says, "POST", "/api/schedules", NULL, rows[i].body);
        API_FAILS(rows[i].status, rows[i].word, rows[i].says, "PUT", "/api/schedules", "key=k", rows[i].body);
    }
    API_FAILS(400, "invalid", "parameter 'key' is missing", "PUT", "/api/schedules", NULL, EVERY_HOUR);
    API_FAILS(400, "invalid", "is one job", "PUT", "/api/schedules", "key=k",
              "{\"task_type\":\"t\",\"schedule\":{\"type\":\"IMMEDIATE\"}}");
    API_FAILS(400, "invalid", "policy", "POST", api_path("/api/schedules/%s/trigger", make()), "policy=NONE", NULL);
    EXPECT_I64(200, api("GET", "/api/schedules", NULL, NULL));
    EXPECT_I64(1, api_i64("total"));
}

/* The types of its events, in their order. */
static void expect_events(const char *id, const char *types)
{
    DQ_BUF_AUTO got = {0};

    EXPECT_I64(200, api("GET", api_path("/api/jobs/%s/events", id), NULL, NULL));
    for (const char *at = strstr(api_body(), "\"type\":\""); at; at = strstr(at, "\"type\":\"")) {
        at += strlen("\"type\":\"");
        dq_buf_append_fmt(&got, "%.*s ", (int)strcspn(at, "\""), at);
    }
    EXPECT_STR_TEXT(types, dq_buf_str(&got));
}

SCENARIO(what_it_did_and_what_was_done_with_it_is_told_as_events)
{
    static const char every[] =
        "{\"task_type\":\"t\",\"schedule\":{\"type\":\"DURATION\",\"interval\":\"1h\",\"overlap_policy\":\"%s\"}}";
    char body[256];
    const char *id, *job;

    (void)snprintf(body, sizeof body, every, "BUFFER_ONE");
    EXPECT_I64(201, api("PUT", "/api/schedules", "key=k", body));
    id = api_text("id");
    EXPECT_I64(200, api("POST", api_path("/api/schedules/%s/trigger", id), NULL, NULL));
    job = api_text("job_id");
    for (int i = 0; i < 2; i++) /* one waits, the other is left out */
        EXPECT_I64(200, api("POST", api_path("/api/schedules/%s/trigger", id), NULL, NULL));
    EXPECT_I64(200, api("POST", api_path("/api/jobs/%s/cancel", job), NULL, NULL));
    EXPECT_I64(200, api("POST", api_path("/api/schedules/%s/pause", id), NULL, NULL));
    EXPECT_I64(200, api("POST", api_path("/api/schedules/%s/resume", id), NULL, NULL));
    (void)snprintf(body, sizeof body, every, "SKIP");
    EXPECT_I64(200, api("PUT", "/api/schedules", "key=k", body));
    EXPECT_I64(200, api("DELETE", api_path("/api/schedules/%s", id), NULL, NULL));
    expect_events(id, "schedule.created schedule.fired schedule.skipped schedule.fired schedule.paused schedule.resumed "
                      "schedule.updated schedule.removed ");
    EXPECT_HAS("\"reason\":\"trigger\",\"scheduled_at\":", api_body());
    EXPECT_HAS(job, api_body());
    EXPECT_HAS("\"reason\":\"buffer_full\"", api_body());
    EXPECT_HAS("\"count\":1", api_body());
    EXPECT_HAS("\"reason\":\"buffer\"", api_body());
}

SCENARIO(its_removal_as_a_job_is_told_as_an_event)
{
    const char *id = make();

    EXPECT_I64(200, api("DELETE", api_path("/api/jobs/%s", id), NULL, NULL));
    expect_events(id, "schedule.created schedule.removed ");
}

RIG_MAIN()
