/* SPDX-License-Identifier: Apache-2.0 */
#include "model/schedule.h"

#include "expect.h"

static int read_one(const char *text, dq_arena *a, dureq_schedule *ret, dureq_error *err)
{
    dq_json doc = {0};
    int rc = dq_json_parse(dureq_str_from(text), &doc, err);

    if (rc == 0)
        rc = dq_schedule_from_json(&doc, 0, a, ret, err);
    dq_json_deinit(&doc);
    return rc;
}

TEST(a_definition_survives_the_way_through_json)
{
    static const char *const rows[] = {
        "{\"type\":\"IMMEDIATE\"}",
        "{\"type\":\"ONE_TIME\",\"run_at\":\"2026-12-01T00:00:00.000Z\"}",
        "{\"type\":\"DURATION\",\"interval\":\"1h30m0s\",\"starts_at\":\"2026-12-01T00:00:00.000Z\",\"ends_at\":\"2027-12-01T00:00:00.500Z\"}",
        "{\"type\":\"CRON\",\"cron_expr\":\"30 2 * * *\",\"timezone\":\"Europe/Berlin\",\"jitter\":\"5m0s\",\"gap\":\"skip\",\"overlap_hour\":\"both\"}",
        "{\"type\":\"DAILY\",\"regular_interval\":2,\"at_times\":[{\"hour\":9,\"minute\":0,\"second\":0},{\"hour\":18,\"minute\":30,\"second\":15}]}",
        "{\"type\":\"WEEKLY\",\"at_times\":[{\"hour\":9,\"minute\":0,\"second\":0}],\"included_days\":[0,6]}",
        "{\"type\":\"MONTHLY\",\"regular_interval\":3,\"at_times\":[{\"hour\":9,\"minute\":0,\"second\":0}],\"included_days\":[1,31]}",
    };

    for (size_t i = 0; i < DQ_ARRAY_LEN(rows); i++) {
        DQ_BUF_AUTO out = {0};
        dq_json_writer w = dq_json_writer_of(&out);
        dq_arena arena = {0};
        dureq_schedule s;
        dureq_error err = {0};
        int rc = read_one(rows[i], &arena, &s, &err);

        EXPECT_NOTE("%.200s", rows[i]);
        if (rc < 0)
            print_error("%s\n", err.msg);
        EXPECT_RC(0, rc);
        /* The document is gone: what views it had must lie in the arena, or be read before. */
        dq_schedule_to_json(&s, &w);
        EXPECT_STR_TEXT(rows[i], dq_buf_str(&out));
        dq_arena_deinit(&arena);
    }
}

static const struct {
    const char *json;
    int rc;
    const char *says;
} refused[] = {
    {"[]", DUREQ_EINVAL, "a schedule is an object, not an array"},
    {"{}", DUREQ_EINVAL, "field 'type' is missing"},
    {"{\"type\":null}", DUREQ_EINVAL, "field 'type' is missing"},
    {"{\"type\":\"HOURLY\"}", DUREQ_EINVAL, "field 'type' takes IMMEDIATE, ONE_TIME, DURATION, CRON, DAILY, WEEKLY or MONTHLY"},
    {"{\"type\":\"daily\"}", DUREQ_EINVAL, "field 'type' takes"},
    {"{\"type\":5}", DUREQ_EINVAL, "field 'type' takes"},
    {"{\"type\":\"CRON\",\"cron\":\"* * * * *\"}", DUREQ_EINVAL, "unknown field 'cron'"},
    {"{\"type\":\"CRON\"}", DUREQ_EINVAL, "cron_expr is missing: a schedule of type CRON needs it"},
    {"{\"type\":\"CRON\",\"cron_expr\":7}", DUREQ_EINVAL, "field 'cron_expr' takes a string"},
    {"{\"type\":\"CRON\",\"cron_expr\":\"* * * * *\",\"interval\":\"5s\"}", DUREQ_EINVAL,
     "interval is no field of a schedule of type CRON"},
    {"{\"type\":\"ONE_TIME\"}", DUREQ_EINVAL, "run_at is missing"},
    {"{\"type\":\"ONE_TIME\",\"run_at\":\"tomorrow\"}", DUREQ_EINVAL, "field 'run_at' takes an RFC 3339 time"},
    {"{\"type\":\"ONE_TIME\",\"run_at\":\"2026-02-30T00:00:00Z\"}", DUREQ_EINVAL, "field 'run_at' takes an RFC 3339 time"},
    {"{\"type\":\"ONE_TIME\",\"run_at\":\"9999-01-01T00:00:00Z\"}", DUREQ_EINVAL, "run_at takes a time from 1970 to 2527"},
    {"{\"type\":\"ONE_TIME\",\"run_at\":\"2026-12-01T00:00:00Z\",\"jitter\":\"5s\"}", DUREQ_EINVAL,
     "jitter is no field of a schedule of type ONE_TIME"},
    {"{\"type\":\"IMMEDIATE\",\"starts_at\":\"2026-12-01T00:00:00Z\"}", DUREQ_EINVAL, "starts_at is no field"},
    {"{\"type\":\"DURATION\"}", DUREQ_EINVAL, "interval is missing"},
    {"{\"type\":\"DURATION\",\"interval\":\"0s\"}", DUREQ_EINVAL,
     "field 'interval' takes a duration of whole seconds, at least \"1s\""},
    {"{\"type\":\"DURATION\",\"interval\":30}", DUREQ_EINVAL, "field 'interval' takes a duration"},
    {"{\"type\":\"DURATION\",\"interval\":\"-5s\"}", DUREQ_EINVAL, "field 'interval' takes a duration"},
    {"{\"type\":\"DURATION\",\"interval\":\"1500ms\"}", DUREQ_EINVAL, "interval takes whole seconds, from 1s to 400 years"},
    {"{\"type\":\"DURATION\",\"interval\":\"5s\",\"gap\":\"skip\"}", DUREQ_EINVAL,
     "gap is no field of a schedule of type DURATION"},
    {"{\"type\":\"DURATION\",\"interval\":\"5s\",\"starts_at\":\"2026-12-02T00:00:00Z\",\"ends_at\":\"2026-12-01T00:00:00Z\"}",
     DUREQ_EINVAL, "ends_at is before starts_at"},
    {"{\"type\":\"DAILY\"}", DUREQ_EINVAL, "at_times is missing"},
    {"{\"type\":\"DAILY\",\"at_times\":[]}", DUREQ_EINVAL, "at_times is missing"},
    {"{\"type\":\"DAILY\",\"at_times\":[\"09:00\"]}", DUREQ_EINVAL,
     "field 'at_times' takes an array of objects with hour, minute and second"},
    {"{\"type\":\"DAILY\",\"at_times\":[{\"hour\":9},{\"hour\":24}]}", DUREQ_EINVAL,
     "field 'at_times[1].hour' takes a whole number from 0 to 23, not 24"},
    {"{\"type\":\"DAILY\",\"at_times\":[{\"hour\":9,\"minute\":60}]}", DUREQ_EINVAL, "field 'at_times[0].minute' takes"},
    {"{\"type\":\"DAILY\",\"at_times\":[{\"hour\":9,\"second\":-1}]}", DUREQ_EINVAL, "field 'at_times[0].second' takes"},
    {"{\"type\":\"DAILY\",\"at_times\":[{\"hours\":9}]}", DUREQ_EINVAL, "unknown field 'at_times[0].hours'"},
    {"{\"type\":\"DAILY\",\"at_times\":[{\"hour\":9}],\"regular_interval\":0}", DUREQ_EINVAL,
     "field 'regular_interval' takes a whole number from 1 to 10000"},
    {"{\"type\":\"DAILY\",\"at_times\":[{\"hour\":9}],\"regular_interval\":1.5}", DUREQ_EINVAL, "field 'regular_interval' takes"},
    {"{\"type\":\"DAILY\",\"at_times\":[{\"hour\":9}],\"included_days\":[1]}", DUREQ_EINVAL,
     "included_days is no field of a schedule of type DAILY"},
    {"{\"type\":\"WEEKLY\",\"at_times\":[{\"hour\":9}]}", DUREQ_EINVAL, "included_days is missing"},
    {"{\"type\":\"WEEKLY\",\"at_times\":[{\"hour\":9}],\"included_days\":[1,7]}", DUREQ_EINVAL,
     "included_days[1] takes 0 (Sunday) to 6, not 7"},
    {"{\"type\":\"WEEKLY\",\"at_times\":[{\"hour\":9}],\"included_days\":[\"MON\"]}", DUREQ_EINVAL,
     "field 'included_days' takes days"},
    {"{\"type\":\"MONTHLY\",\"at_times\":[{\"hour\":9}],\"included_days\":[0]}", DUREQ_EINVAL,
     "included_days[0] takes 1 to 31, not 0"},
    {"{\"type\":\"MONTHLY\",\"at_times\":[{\"hour\":9}],\"included_days\":[32]}", DUREQ_EINVAL,
     "field 'included_days' takes days"},
    {"{\"type\":\"MONTHLY\",\"at_times\":[{\"hour\":9}],\"included_days\":5}", DUREQ_EINVAL,
     "field 'included_days' takes an array"},
    {"{\"type\":\"CRON\",\"cron_expr\":\"* * * * *\",\"gap\":\"before\"}", DUREQ_EINVAL,
     "field 'gap' takes \"after\" or \"skip\""},
    {"{\"type\":\"CRON\",\"cron_expr\":\"* * * * *\",\"overlap_hour\":\"last\"}", DUREQ_EINVAL,
     "field 'overlap_hour' takes \"first\" or \"both\""},
    {"{\"type\":\"CRON\",\"cron_expr\":\"* * * * *\",\"jitter\":\"-1s\"}", DUREQ_EINVAL, "field 'jitter' takes a duration"},
    {"{\"type\":\"CRON\",\"cron_expr\":\"* * * * *\",\"jitter\":\"999999h\"}", DUREQ_EINVAL, "jitter takes 0 to 100 years"},
    {"{\"type\":\"CRON\",\"cron_expr\":\"* * * * *\",\"timezone\":\"Europe\\u0000\"}", DUREQ_EINVAL,
     "field 'timezone' takes text without NUL"},
    {"{\"type\":\"CRON\",\"cron_expr\":\"* * * * *\",\"overlap_policy\":\"skip\"}", DUREQ_EINVAL,
     "field 'overlap_policy' takes ALLOW_ALL, SKIP, BUFFER_ONE, BUFFER_ALL or REPLACE"},
    {"{\"type\":\"CRON\",\"cron_expr\":\"* * * * *\",\"misfire\":\"never\"}", DUREQ_EINVAL,
     "field 'misfire' takes \"fire\" or \"skip\""},
    {"{\"type\":\"CRON\",\"cron_expr\":\"* * * * *\",\"catchup_window\":\"999999h\"}", DUREQ_EINVAL,
     "catchup_window takes 0 to 100 years"},
    {"{\"type\":\"CRON\",\"cron_expr\":\"* * * * *\",\"max_backfill_per_tick\":101}", DUREQ_EINVAL,
     "field 'max_backfill_per_tick' takes a whole number from 1 to 100"},
    {"{\"type\":\"CRON\",\"cron_expr\":\"* * * * *\",\"max_occurrences\":0}", DUREQ_EINVAL,
     "field 'max_occurrences' takes a whole number from 1"},
    {"{\"type\":\"CRON\",\"cron_expr\":\"* * * * *\",\"pause_on_failure\":1}", DUREQ_EINVAL,
     "field 'pause_on_failure' takes true or false"},
    {"{\"type\":\"IMMEDIATE\",\"overlap_policy\":\"SKIP\"}", DUREQ_EINVAL,
     "overlap_policy is no field of a schedule of type IMMEDIATE"},
};

TEST(what_is_wrong_is_refused_by_the_fields_name)
{
    for (size_t i = 0; i < DQ_ARRAY_LEN(refused); i++) {
        dq_arena arena = {0};
        dureq_schedule s = {.n_at_times = 42};
        dureq_error err = {0};

        EXPECT_NOTE("%.200s", refused[i].json);
        EXPECT_RC(refused[i].rc, read_one(refused[i].json, &arena, &s, &err));
        EXPECT_HAS(refused[i].says, err.msg);
        EXPECT_I64(42, (int64_t)s.n_at_times);
        dq_arena_deinit(&arena);
    }
}

/* What JSON cannot say, but a program can. */
TEST(a_struct_is_checked_as_a_whole)
{
    static const int32_t days[32] = {1};
    static const dureq_at_time bad = {9, 0, 60};
    dureq_schedule s = dureq_schedule_init();
    dureq_error err = {0};

    EXPECT_RC(DUREQ_EINVAL, dq_schedule_check(&s, &err));
    EXPECT_HAS("type takes IMMEDIATE", err.msg);
    s.type = (dureq_schedule_type)99;
    EXPECT_RC(DUREQ_EINVAL, dq_schedule_check(&s, &err));
    s.type = DUREQ_SCHEDULE_MONTHLY;
    s.at_times = &bad;
    s.n_at_times = 1;
    s.included_days = days;
    s.n_included_days = 32;
    EXPECT_RC(DUREQ_EINVAL, dq_schedule_check(&s, &err));
    EXPECT_HAS("at_times[0].second takes 0 to 59, not 60", err.msg);
    s.at_times = NULL;
    EXPECT_RC(DUREQ_EINVAL, dq_schedule_check(&s, &err));
    EXPECT_HAS("at_times is NULL", err.msg);
    s.n_at_times = DUREQ_AT_TIMES_MAX + 1;
    EXPECT_RC(DUREQ_EINVAL, dq_schedule_check(&s, &err));
    EXPECT_HAS("at most 1440 times, not 1441", err.msg);
    s.at_times = &(dureq_at_time){9, 0, 0};
    s.n_at_times = 1;
    EXPECT_RC(DUREQ_EINVAL, dq_schedule_check(&s, &err));
    EXPECT_HAS("included_days takes at most 31 days", err.msg);
    s.n_included_days = 1;
    s.regular_interval = -1;
    EXPECT_RC(DUREQ_EINVAL, dq_schedule_check(&s, &err));
    EXPECT_HAS("regular_interval takes 1 to 10000", err.msg);
    s.regular_interval = 0;
    s.gap = (dureq_gap)2;
    EXPECT_RC(DUREQ_EINVAL, dq_schedule_check(&s, &err));
    s.gap = DUREQ_GAP_SKIP;
    s.overlap_hour = (dureq_overlap_hour)-1;
    EXPECT_RC(DUREQ_EINVAL, dq_schedule_check(&s, &err));
    s.overlap_hour = DUREQ_OVERLAP_HOUR_BOTH;
    s.starts_at_ms = -1;
    EXPECT_RC(DUREQ_EINVAL, dq_schedule_check(&s, &err));
    s.starts_at_ms = 0;
    EXPECT_RC(0, dq_schedule_check(&s, &err));
}

TEST(words_are_read_back)
{
    for (int i = 1; i <= 7; i++) {
        dureq_schedule_type type = (dureq_schedule_type)0;

        EXPECT_RC(0, dureq_schedule_type_parse(dureq_str_from(dureq_schedule_type_to_str((dureq_schedule_type)i)), &type));
        EXPECT_I64(i, (int64_t)type);
        EXPECT_TRUE(dq_schedule_is_recurring(type) == (i > 2));
    }
    EXPECT_TEXT("unknown", dureq_schedule_type_to_str((dureq_schedule_type)0));
    EXPECT_TEXT("unknown", dureq_schedule_type_to_str((dureq_schedule_type)8));
    EXPECT_TEXT("unknown", dureq_gap_to_str((dureq_gap)2));
    EXPECT_TEXT("both", dureq_overlap_hour_to_str(DUREQ_OVERLAP_HOUR_BOTH));
}

TEST_MAIN()
