/* SPDX-License-Identifier: Apache-2.0 */
#include <dureq/schedule.h>

#include <stdlib.h>

#include "client/schedule.h"
#include "expect.h"

#define FROM INT64_C(1772755200000) /* 2026-03-06T00:00:00Z */

static dureq_schedule cron(const char *expr, const char *timezone)
{
    dureq_schedule s = dureq_schedule_init();

    s.type = DUREQ_SCHEDULE_CRON;
    s.cron_expr = expr;
    s.timezone = timezone;
    return s;
}

TEST(a_preview_is_the_next_times_in_milliseconds)
{
    dureq_schedule s = cron("30 2 * * *", "America/New_York");
    int64_t at_ms[5] = {0};
    size_t n = 0;
    dureq_error err = {0};

    EXPECT_RC(0, dureq_schedule_preview(&s, FROM, 5, at_ms, &n, &err));
    EXPECT_I64(5, (int64_t)n);
    EXPECT_I64(1772782200000, at_ms[0]); /* 02:30 -05:00 */
    EXPECT_I64(1772953200000, at_ms[2]); /* 03:00 -04:00, after the gap */
    s.ends_at_ms = at_ms[1];
    EXPECT_RC(0, dureq_schedule_preview(&s, FROM, 5, at_ms, &n, &err));
    EXPECT_I64(2, (int64_t)n);
    s = dureq_schedule_init();
    s.type = DUREQ_SCHEDULE_IMMEDIATE;
    EXPECT_RC(0, dureq_schedule_preview(&s, FROM + 5, 5, at_ms, &n, &err));
    EXPECT_I64(1, (int64_t)n);
    EXPECT_I64(FROM, at_ms[0]);
}

TEST(what_is_wrong_is_told_and_nothing_is_given)
{
    static const struct {
        const char *expr, *timezone, *says;
    } rows[] = {
        {"0 25 * * *", NULL, "cron_expr, column 3: hour takes 0 to 23, not '25'"},
        {"0 0 31 2 *", NULL, "cron_expr, column 5: it never fires"},
        {"0 0 * * *", "Europe/Berln", "timezone: unknown time zone 'Europe/Berln': the nearest is 'Europe/Berlin'"},
        {"TZ=Europe/Berln 0 0 * * *", NULL,
         "cron_expr, column 4: unknown time zone 'Europe/Berln': the nearest is 'Europe/Berlin'"},
        {"TZ=Europe/Berlin 0 0 * * *", "Europe/Paris",
         "cron_expr, column 4: its time zone 'Europe/Berlin' is not the 'Europe/Paris'"},
        {"TZ=../x 0 0 * * *", NULL, "cron_expr, column 4: a time zone's name is one such as"},
        {"0 0 * * *", "localtime", "timezone: time zone 'localtime' is another one on each machine"},
        {"0 0 * * *", "", "timezone: a time zone's name takes 1 to 64 bytes"},
    };

    for (size_t i = 0; i < DQ_ARRAY_LEN(rows); i++) {
        dureq_schedule s = cron(rows[i].expr, rows[i].timezone);
        int64_t at_ms[2] = {42, 42};
        char text[64] = "untouched";
        size_t n = 42;
        dureq_error err = {0};

        EXPECT_NOTE("'%s' in %s", rows[i].expr, rows[i].timezone);
        EXPECT_RC(DUREQ_EINVAL, dureq_schedule_preview(&s, FROM, 2, at_ms, &n, &err));
        EXPECT_HAS(rows[i].says, err.msg);
        EXPECT_TRUE(at_ms[0] == 42 && n == 42);
        EXPECT_RC(DUREQ_EINVAL, dureq_schedule_explain(&s, FROM, text, sizeof text, &err));
        EXPECT_HAS(rows[i].says, err.msg);
        EXPECT_TEXT("untouched", text);
    }
}

TEST(arguments_have_their_bounds)
{
    dureq_schedule s = cron("0 0 * * *", NULL);
    int64_t at_ms[1];
    size_t n = 0;
    dureq_error err = {0};

    EXPECT_RC(DUREQ_EINVAL, dureq_schedule_preview(NULL, FROM, 1, at_ms, &n, &err));
    EXPECT_RC(DUREQ_EINVAL, dureq_schedule_preview(&s, FROM, 0, at_ms, &n, &err));
    EXPECT_RC(DUREQ_EINVAL, dureq_schedule_preview(&s, FROM, DUREQ_PREVIEW_MAX + 1, at_ms, &n, &err));
    EXPECT_HAS("room takes 1 to 10000", err.msg);
    EXPECT_RC(DUREQ_EINVAL, dureq_schedule_explain(NULL, FROM, NULL, 0, &err));
    EXPECT_RC(DUREQ_EINVAL, dureq_schedule_explain(&s, FROM, NULL, 5, &err));
    s.struct_size = 3;
    EXPECT_RC(DUREQ_EINVAL, dureq_schedule_preview(&s, FROM, 1, at_ms, &n, &err));
}

TEST(a_sentence_is_cut_to_the_room_and_its_length_told)
{
    dureq_schedule s = cron("0 9 * * MON-FRI", NULL);
    static const char whole[] = "At 09:00 on Mondays to Fridays, UTC.";
    char text[64] = "";

    EXPECT_I64(sizeof whole - 1, dureq_schedule_explain(&s, FROM, text, sizeof text, NULL));
    EXPECT_TEXT(whole, text);
    EXPECT_I64(sizeof whole - 1, dureq_schedule_explain(&s, FROM, text, 9, NULL));
    EXPECT_TEXT("At 09:00", text);
    EXPECT_I64(sizeof whole - 1, dureq_schedule_explain(&s, FROM, NULL, 0, NULL));
}

/* Sentences, each read by a human being. */
#define GAP_FIRST                                                                                                      \
    "; with daylight saving time, a time that is skipped fires at the first instant after the gap and one that comes " \
    "twice fires the first time only."
#define ELAPSED                                                                                                     \
    "; with daylight saving time it follows elapsed time: both passes of an hour that is repeated, nothing of one " \
    "that is skipped."

TEST(a_sentence_says_what_the_definition_means)
{
    static const struct {
        const char *expr, *timezone, *text;
    } rows[] = {
        {"30 2 * * *", "America/New_York", "At 02:30 every day, time of America/New_York" GAP_FIRST},
        {"30 2 * * *", "Asia/Tokyo", "At 02:30 every day, time of Asia/Tokyo."},
        {"* * * * *", NULL, "Every minute, UTC."},
        {"0 * * * *", "Europe/Berlin", "At minute 0 of every hour, time of Europe/Berlin" ELAPSED},
        {"*/15 9-17 * * MON-FRI", NULL, "Every 15 minutes of hours 9 to 17 on Mondays to Fridays, UTC."},
        {"5 */2 * * *", NULL, "At minute 5 of every 2nd hour, UTC."},
        {"0,10,35 * 1 * *", NULL, "At minutes 0, 10 and 35 of every hour on day 1 of the month, UTC."},
        {"0 9,12-14 * * *", NULL, "At 09:00, 12:00, 13:00 and 14:00 every day, UTC."},
        {"*/5 * * * * *", NULL, "Every 5 seconds, UTC."},
        {"15 */10 * * * *", NULL, "At second 15 of minutes 0, 10, 20, 30, 40 and 50 of every hour, UTC."},
        {"30 * 0 * * *", NULL, "At second 30 of every minute of hour 0, UTC."},
        {"5 30 9 * * *", NULL, "At 09:30:05 every day, UTC."},
        {"0 0 L * *", NULL, "At 00:00 on the last day of the month, UTC."},
        {"0 0 15W,L-3,LW 1,7 ?", NULL,
         "At 00:00 on the 3rd day before the last, the weekday nearest to the 15th and the last weekday of the month in January and July, UTC."},
        {"0 12 * * 5L", NULL, "At 12:00 on the last Friday of the month, UTC."},
        {"0 12 * * 1,5#2", NULL, "At 12:00 on Mondays and the second Friday of the month, UTC."},
        {"0 0 13 * 5", NULL, "At 00:00 on day 13 of the month, and on Fridays, UTC."},
        {"0 0 13 * */5", NULL, "At 00:00 on day 13 of the month that are Sundays and Fridays, UTC."},
        {"0 0 1 JAN-MAR *", NULL, "At 00:00 on day 1 of the month in January to March, UTC."},
        {"@every 1h30m", NULL, "Every 1h30m0s of elapsed time, counted from when it is created."},
    };

    for (size_t i = 0; i < DQ_ARRAY_LEN(rows); i++) {
        dureq_schedule s = cron(rows[i].expr, rows[i].timezone);
        char text[512] = "";
        dureq_error err = {0};

        EXPECT_NOTE("'%s'", rows[i].expr);
        EXPECT_TRUE(dureq_schedule_explain(&s, FROM, text, sizeof text, &err) > 0);
        EXPECT_TEXT(rows[i].text, text);
    }
}

TEST(a_sentence_tells_bounds_rules_and_jitter)
{
    static const dureq_at_time times[] = {{18, 30, 0}, {9, 0, 15}};
    static const int32_t days[] = {1, 15, 31};
    dureq_schedule s = dureq_schedule_init();
    char text[512] = "";

    s.type = DUREQ_SCHEDULE_MONTHLY;
    s.at_times = times;
    s.n_at_times = 2;
    s.included_days = days;
    s.n_included_days = 3;
    s.regular_interval = 3;
    s.timezone = "Europe/Berlin";
    s.gap = DUREQ_GAP_SKIP;
    s.overlap_hour = DUREQ_OVERLAP_HOUR_BOTH;
    s.starts_at_ms = FROM;
    s.jitter_ms = 300000;
    EXPECT_TRUE(dureq_schedule_explain(&s, FROM, text, sizeof text, NULL) > 0);
    EXPECT_TEXT(
        "At 09:00:15 and 18:30 on days 1, 15 and 31 of every 3rd month, time of Europe/Berlin, from 2026-03-06T01:00:00+01:00 on, "
        "each put off by up to 5m0s; with daylight saving time, a time that is skipped does not fire and one that comes twice "
        "fires both times.",
        text);
    s = dureq_schedule_init();
    s.type = DUREQ_SCHEDULE_DURATION;
    s.interval_ms = 30000;
    s.starts_at_ms = FROM;
    s.ends_at_ms = FROM + 86400000;
    EXPECT_TRUE(dureq_schedule_explain(&s, FROM, text, sizeof text, NULL) > 0);
    EXPECT_TEXT("Every 30s of elapsed time, from 2026-03-06T00:00:00Z on, until 2026-03-07T00:00:00Z.", text);
}

static int preview_and_explain(void *arg)
{
    dureq_schedule s = cron(arg, "Europe/Berlin");
    int64_t at_ms[3];
    char text[300];
    size_t n;
    dureq_error err = {0};
    int rc = dureq_schedule_preview(&s, FROM, 3, at_ms, &n, &err);

    if (rc == 0)
        rc = dureq_schedule_explain(&s, FROM, text, sizeof text, &err);
    return DQ_MIN(rc, 0);
}

TEST(without_memory_it_is_told_and_nothing_is_lost)
{
    char expr[] = "0 9 * * 1-5";

    EXPECT_TRUE(expect_survives_nomem(preview_and_explain, expr) >= 6);
}

TEST_MAIN()
