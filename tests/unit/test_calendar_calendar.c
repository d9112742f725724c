/* SPDX-License-Identifier: Apache-2.0 */
#include "calendar/calendar.h"

#include <time.h>

#include "base/date.h"
#include "expect.h"
#include "test_build.h"
#include "test_zones.h"

/* ---- words for the tables ---- */

static int64_t at(const char *rfc3339)
{
    int64_t ms = 0;

    if (dq_parse_rfc3339_ms(dureq_str_from(rfc3339), &ms) < 0)
        print_error("no time: %s\n", rfc3339);
    return ms / 1000;
}

static void open_calendar(dq_calendar *c, const dureq_schedule *s, int64_t created_at)
{
    dureq_error err = {0};
    char name[DQ_ZONE_NAME_MAX + 1] = "";
    dq_zone *zone;

    if (dq_calendar_compile(c, s, created_at * 1000, &err) < 0)
        print_error("%s\n", err.msg);
    EXPECT_RC(0, err.code);
    memcpy(name, c->zone_name.ptr, c->zone_name.len);
    zone = test_zone_open(name);
    EXPECT_TRUE(zone != NULL);
    dq_calendar_use_zone(c, zone);
    dq_zone_unref(zone);
}

/* The occurrences after `from` are these, in RFC 3339 in the calendar's zone, blanks between; "-" at the end: and no more. */
static void expect_next(const dq_calendar *c, int64_t from, const char *wanted)
{
    dureq_str rest = dureq_str_from(wanted);

    while (rest.len) {
        dureq_str one = dq_str_cut(&rest, ' ');
        char text[DQ_CALENDAR_TEXT_MAX] = "-";

        if (dq_calendar_next(c, from, &from))
            dq_calendar_format(c->zone, from, text);
        EXPECT_STR_TEXT(text, one);
    }
}

/* ---- cron: the classics ---- */

typedef struct row {
    const char *cron, *zone, *from, *next;
} row;

static void check_rows(const row *rows, size_t n, dureq_gap gap, dureq_overlap_hour overlap_hour)
{
    for (size_t i = 0; i < n; i++) {
        dureq_schedule s = dureq_schedule_init();
        dq_calendar c;

        EXPECT_NOTE("'%s' in %s after %s", rows[i].cron, rows[i].zone, rows[i].from);
        s.type = DUREQ_SCHEDULE_CRON;
        s.cron_expr = rows[i].cron;
        s.timezone = rows[i].zone;
        s.gap = gap;
        s.overlap_hour = overlap_hour;
        open_calendar(&c, &s, at(rows[i].from));
        expect_next(&c, at(rows[i].from), rows[i].next);
        dq_calendar_deinit(&c);
    }
}

#define UTC NULL

static const row cron_rows[] = {
    /* leap days and the century rule */
    {"0 0 29 2 *", UTC, "2026-01-01T00:00:00Z", "2028-02-29T00:00:00Z 2032-02-29T00:00:00Z"},
    {"0 0 29 2 *", UTC, "2096-03-01T00:00:00Z", "2104-02-29T00:00:00Z 2108-02-29T00:00:00Z"},
    {"0 0 29 2 *", UTC, "1999-01-01T00:00:00Z", "2000-02-29T00:00:00Z"},
    {"0 0 29 2 1", UTC, "2026-02-10T00:00:00Z", "2026-02-16T00:00:00Z 2026-02-23T00:00:00Z 2027-02-01T00:00:00Z"},
    {"0 0 29 2 ?", UTC, "2196-03-01T00:00:00Z", "2204-02-29T00:00:00Z"},
    /* the end of the month */
    {"0 0 L * *", UTC, "2026-01-31T00:00:00Z", "2026-02-28T00:00:00Z 2026-03-31T00:00:00Z 2026-04-30T00:00:00Z"},
    {"0 0 L 2 *", UTC, "2027-03-01T00:00:00Z", "2028-02-29T00:00:00Z 2029-02-28T00:00:00Z"},
    {"0 0 L-3 * *", UTC, "2026-01-01T00:00:00Z", "2026-01-28T00:00:00Z 2026-02-25T00:00:00Z 2026-03-28T00:00:00Z"},
    {"0 0 L-30 * *", UTC, "2026-01-02T00:00:00Z", "2026-03-01T00:00:00Z 2026-05-01T00:00:00Z"},
    {"0 0 L,1 * *", UTC, "2026-01-30T00:00:00Z", "2026-01-31T00:00:00Z 2026-02-01T00:00:00Z 2026-02-28T00:00:00Z"},
    {"0 0 LW * *", UTC, "2026-01-01T00:00:00Z", "2026-01-30T00:00:00Z 2026-02-27T00:00:00Z 2026-03-31T00:00:00Z"},
    {"0 0 lw * *", UTC, "2026-05-01T00:00:00Z", "2026-05-29T00:00:00Z"},
    {"0 0 31 * *", UTC, "2026-03-31T00:00:00Z", "2026-05-31T00:00:00Z 2026-07-31T00:00:00Z 2026-08-31T00:00:00Z"},
    {"0 0 30,31 2,4 *", UTC, "2026-01-01T00:00:00Z", "2026-04-30T00:00:00Z 2027-04-30T00:00:00Z"},
    /* nearest weekdays */
    {"0 0 15W * *", UTC, "2026-02-01T00:00:00Z", "2026-02-16T00:00:00Z 2026-03-16T00:00:00Z 2026-04-15T00:00:00Z"},
    {"0 0 15W 8 *", UTC, "2026-01-01T00:00:00Z", "2026-08-14T00:00:00Z"},
    {"0 0 1W 8 *", UTC, "2026-01-01T00:00:00Z", "2026-08-03T00:00:00Z"},  /* a Saturday: Monday the 3rd, not July */
    {"0 0 1W 11 *", UTC, "2026-01-01T00:00:00Z", "2026-11-02T00:00:00Z"}, /* a Sunday */
    {"0 0 31W * *", UTC, "2026-01-01T00:00:00Z", "2026-01-30T00:00:00Z 2026-03-31T00:00:00Z 2026-05-29T00:00:00Z"},
    {"0 0 30W * *", UTC, "2026-08-01T00:00:00Z", "2026-08-31T00:00:00Z"}, /* Sunday the 30th: the 31st */
    {"0 0 28W 2 *", UTC, "2027-01-01T00:00:00Z", "2027-02-26T00:00:00Z"}, /* Sunday, the last day: the Friday before */
    {"0 0 1W,15W * *", UTC, "2026-08-01T00:00:00Z", "2026-08-03T00:00:00Z 2026-08-14T00:00:00Z 2026-09-01T00:00:00Z"},
    /* weekdays by their place in the month */
    {"0 0 * * 5L", UTC, "2026-01-01T00:00:00Z", "2026-01-30T00:00:00Z 2026-02-27T00:00:00Z 2026-03-27T00:00:00Z"},
    {"0 0 * * FRIL", UTC, "2026-01-01T00:00:00Z", "2026-01-30T00:00:00Z"},
    {"0 0 * * 7L", UTC, "2026-01-01T00:00:00Z", "2026-01-25T00:00:00Z"},
    {"0 0 * * 5#2", UTC, "2026-01-01T00:00:00Z", "2026-01-09T00:00:00Z 2026-02-13T00:00:00Z"},
    {"0 0 * * 5#5", UTC, "2026-02-01T00:00:00Z", "2026-05-29T00:00:00Z 2026-07-31T00:00:00Z"},
    {"0 0 * * 7#1,0#3", UTC, "2026-02-01T00:00:00Z", "2026-02-15T00:00:00Z 2026-03-01T00:00:00Z 2026-03-15T00:00:00Z"},
    {"0 0 * 2 1#5", UTC, "2026-01-01T00:00:00Z", "2044-02-29T00:00:00Z"},
    /* both day fields */
    {"0 0 13 * 5", UTC, "2026-02-01T00:00:00Z", "2026-02-06T00:00:00Z 2026-02-13T00:00:00Z 2026-02-20T00:00:00Z"},
    {"0 0 1 * MON", UTC, "2026-09-25T00:00:00Z", "2026-09-28T00:00:00Z 2026-10-01T00:00:00Z 2026-10-05T00:00:00Z"},
    {"0 0 */2 * MON", UTC, "2026-11-01T00:00:00Z", "2026-11-09T00:00:00Z 2026-11-23T00:00:00Z 2026-12-07T00:00:00Z"},
    {"0 0 13 * */5", UTC, "2026-01-01T00:00:00Z", "2026-02-13T00:00:00Z 2026-03-13T00:00:00Z 2026-09-13T00:00:00Z"},
    {"0 0 ? * MON", UTC, "2026-11-01T00:00:00Z", "2026-11-02T00:00:00Z 2026-11-09T00:00:00Z"},
    {"0 0 13 * ?", UTC, "2026-11-01T00:00:00Z", "2026-11-13T00:00:00Z 2026-12-13T00:00:00Z"},
    {"0 0 L * 1", UTC, "2026-11-24T00:00:00Z", "2026-11-30T00:00:00Z 2026-12-07T00:00:00Z"},
    /* names, lists, ranges, steps */
    {"0 9 * JAN,jul MON-FRI", UTC, "2026-01-30T10:00:00Z", "2026-07-01T09:00:00Z 2026-07-02T09:00:00Z"},
    {"0 0 * * 5-7", UTC, "2026-11-26T00:00:00Z",
     "2026-11-27T00:00:00Z 2026-11-28T00:00:00Z 2026-11-29T00:00:00Z 2026-12-04T00:00:00Z"},
    {"0 0 * * 7", UTC, "2026-11-26T00:00:00Z", "2026-11-29T00:00:00Z"},
    {"0 0 * * 2/2", UTC, "2026-11-29T00:00:00Z",
     "2026-12-01T00:00:00Z 2026-12-03T00:00:00Z 2026-12-05T00:00:00Z 2026-12-08T00:00:00Z"},
    {"5/20 * * * *", UTC, "2026-11-29T00:00:00Z",
     "2026-11-29T00:05:00Z 2026-11-29T00:25:00Z 2026-11-29T00:45:00Z 2026-11-29T01:05:00Z"},
    {"*/25 * * * *", UTC, "2026-11-29T00:00:00Z", "2026-11-29T00:25:00Z 2026-11-29T00:50:00Z 2026-11-29T01:00:00Z"},
    {"10-30/10 3,5 * * *", UTC, "2026-11-29T03:20:00Z", "2026-11-29T03:30:00Z 2026-11-29T05:10:00Z"},
    {"0 20/2 * * *", UTC, "2026-11-29T00:00:00Z", "2026-11-29T20:00:00Z 2026-11-29T22:00:00Z 2026-11-30T20:00:00Z"},
    {"0 0 28/2 * *", UTC, "2026-11-01T00:00:00Z", "2026-11-28T00:00:00Z 2026-11-30T00:00:00Z 2026-12-28T00:00:00Z"},
    {"0  0\t1 1 *", UTC, "2026-11-01T00:00:00Z", "2027-01-01T00:00:00Z"},
    /* the year's end, strictly after */
    {"59 23 31 12 *", UTC, "2026-12-31T23:59:00Z", "2027-12-31T23:59:00Z"},
    {"0 0 1 1 *", UTC, "2026-12-31T23:59:59Z", "2027-01-01T00:00:00Z"},
    {"* * * * *", UTC, "2026-12-31T23:59:00Z", "2027-01-01T00:00:00Z 2027-01-01T00:01:00Z"},
    /* seconds */
    {"*/15 * * * * *", UTC, "2026-12-31T23:59:30Z", "2026-12-31T23:59:45Z 2027-01-01T00:00:00Z"},
    {"59 59 23 31 12 *", UTC, "2026-01-01T00:00:00Z", "2026-12-31T23:59:59Z 2027-12-31T23:59:59Z"},
    {"30 0 12 * * MON", UTC, "2026-11-30T12:00:30Z", "2026-12-07T12:00:30Z"},
    {"5,10 1 0 * * *", UTC, "2026-11-30T00:01:05Z", "2026-11-30T00:01:10Z 2026-12-01T00:01:05Z"},
    /* words */
    {"@yearly", UTC, "2026-11-30T00:00:00Z", "2027-01-01T00:00:00Z 2028-01-01T00:00:00Z"},
    {"@annually", UTC, "2026-11-30T00:00:00Z", "2027-01-01T00:00:00Z"},
    {"@monthly", UTC, "2026-11-30T00:00:00Z", "2026-12-01T00:00:00Z"},
    {"@weekly", UTC, "2026-11-30T00:00:00Z", "2026-12-06T00:00:00Z"},
    {"@daily", UTC, "2026-11-30T00:00:00Z", "2026-12-01T00:00:00Z"},
    {"@midnight", UTC, "2026-11-30T00:00:00Z", "2026-12-01T00:00:00Z"},
    {"@hourly", UTC, "2026-11-30T00:00:00Z", "2026-11-30T01:00:00Z 2026-11-30T02:00:00Z"},
    {"@every 1h30m", UTC, "2026-11-30T00:00:00Z", "2026-11-30T01:30:00Z 2026-11-30T03:00:00Z"},
    {"TZ=Asia/Tokyo 0 9 * * *", UTC, "2026-11-30T00:00:00Z", "2026-12-01T09:00:00+09:00"},
    {"CRON_TZ=Asia/Tokyo 0 9 * * *", "Asia/Tokyo", "2026-11-29T23:59:59Z", "2026-11-30T09:00:00+09:00"},
    {"CRON_TZ=Asia/Tokyo @daily", UTC, "2026-11-30T00:00:00Z", "2026-12-01T00:00:00+09:00"},
};

TEST(dates_of_cron)
{
    check_rows(cron_rows, DQ_ARRAY_LEN(cron_rows), DUREQ_GAP_AFTER, DUREQ_OVERLAP_HOUR_FIRST);
}

#define NY "America/New_York"

TEST(clocks_set_forward_and_back)
{
    static const row rows[] = {
        {"30 2 * * *", NY, "2026-03-07T00:00:00Z",
         "2026-03-07T02:30:00-05:00 2026-03-08T03:00:00-04:00 2026-03-09T02:30:00-04:00"},
        {"0,30 2 * * *", NY, "2026-03-07T12:00:00Z", "2026-03-08T03:00:00-04:00 2026-03-09T02:00:00-04:00"},
        {"30 2,3 * * *", NY, "2026-03-07T12:00:00Z",
         "2026-03-08T03:00:00-04:00 2026-03-08T03:30:00-04:00 2026-03-09T02:30:00-04:00"},
        {"0 2,3 * * *", NY, "2026-03-07T12:00:00Z", "2026-03-08T03:00:00-04:00 2026-03-09T02:00:00-04:00"},
        {"30 1 * * *", NY, "2026-10-31T12:00:00Z", "2026-11-01T01:30:00-04:00 2026-11-02T01:30:00-05:00"},
        {"0 2 * * *", NY, "2026-10-31T12:00:00Z", "2026-11-01T02:00:00-05:00 2026-11-02T02:00:00-05:00"},
        {"0 1-2 * * *", NY, "2026-11-01T04:00:00Z", "2026-11-01T01:00:00-04:00 2026-11-01T02:00:00-05:00"},
        {"*/30 0-23 * * *", NY, "2026-11-01T05:00:00Z", "2026-11-01T01:30:00-04:00 2026-11-01T02:00:00-05:00"},
        /* the hour field begins with a star */
        {"30 * * * *", NY, "2026-03-08T06:00:00Z", "2026-03-08T01:30:00-05:00 2026-03-08T03:30:00-04:00"},
        {"30 * * * *", NY, "2026-11-01T04:40:00Z",
         "2026-11-01T01:30:00-04:00 2026-11-01T01:30:00-05:00 2026-11-01T02:30:00-05:00"},
        {"30 */2 * * *", NY, "2026-03-08T05:00:00Z", "2026-03-08T00:30:00-05:00 2026-03-08T04:30:00-04:00"},
        {"*/20 */1 * * *", NY, "2026-11-01T05:30:00Z",
         "2026-11-01T01:40:00-04:00 2026-11-01T01:00:00-05:00 2026-11-01T01:20:00-05:00"},
        {"* * * * * *", NY, "2026-03-08T06:59:58Z",
         "2026-03-08T01:59:59-05:00 2026-03-08T03:00:00-04:00 2026-03-08T03:00:01-04:00"},
        {"@hourly", NY, "2026-11-01T05:00:00Z", "2026-11-01T01:00:00-05:00 2026-11-01T02:00:00-05:00"},
        {"@every 1h", NY, "2026-11-01T05:00:00Z", "2026-11-01T01:00:00-05:00 2026-11-01T02:00:00-05:00"},
        /* other zones: odd offsets, changes at midnight, half an hour, a day left out, changes the other way round */
        {"0 0 * * *", "Africa/Cairo", "2026-04-23T12:00:00Z", "2026-04-24T01:00:00+03:00 2026-04-25T00:00:00+03:00"},
        {"30 0 * * *", "America/Havana", "2026-03-07T12:00:00Z", "2026-03-08T01:00:00-04:00 2026-03-09T00:30:00-04:00"},
        {"0 0 * * *", "America/Santiago", "2026-09-05T12:00:00Z", "2026-09-06T01:00:00-03:00 2026-09-07T00:00:00-03:00"},
        {"15 2 * * *", "Australia/Lord_Howe", "2026-10-02T12:00:00Z", "2026-10-03T02:15:00+10:30 2026-10-04T02:30:00+11:00"},
        {"45 1 * * *", "Australia/Lord_Howe", "2026-04-03T16:00:00Z", "2026-04-05T01:45:00+11:00 2026-04-06T01:45:00+10:30"},
        {"0 12 * * *", "Pacific/Apia", "2011-12-29T12:00:00Z",
         "2011-12-29T12:00:00-10:00 2011-12-31T00:00:00+14:00 2011-12-31T12:00:00+14:00"},
        {"0 12 * * *", "Asia/Kathmandu", "2026-01-01T00:00:00Z", "2026-01-01T12:00:00+05:45"},
        {"30 1 * * *", "Europe/Dublin", "2026-03-28T12:00:00Z", "2026-03-29T02:00:00+01:00 2026-03-30T01:30:00+01:00"},
        {"30 1 * * *", "Europe/London", "2026-10-24T12:00:00Z", "2026-10-25T01:30:00+01:00 2026-10-26T01:30:00+00:00"},
        {"30 2 * * *", "Africa/Casablanca", "2026-02-14T12:00:00Z", "2026-02-15T02:30:00+01:00 2026-02-16T02:30:00+00:00"},
        {"30 2 * * *", "America/Nuuk", "2045-03-01T12:00:00Z", "2045-03-02T02:30:00-02:00"},
        {"30 2 8-14 3 */7", NY, "2100-01-01T00:00:00Z", "2100-03-14T03:00:00-04:00"}, /* by the rule alone */
    };

    check_rows(rows, DQ_ARRAY_LEN(rows), DUREQ_GAP_AFTER, DUREQ_OVERLAP_HOUR_FIRST);
}

TEST(the_other_rules_for_changed_clocks)
{
    static const row rows[] = {
        {"30 2 * * *", NY, "2026-03-07T00:00:00Z", "2026-03-07T02:30:00-05:00 2026-03-09T02:30:00-04:00"},
        {"0,30 2-3 * * *", NY, "2026-03-08T00:00:00Z",
         "2026-03-08T03:00:00-04:00 2026-03-08T03:30:00-04:00 2026-03-09T02:00:00-04:00"},
        {"30 1 * * *", NY, "2026-10-31T12:00:00Z",
         "2026-11-01T01:30:00-04:00 2026-11-01T01:30:00-05:00 2026-11-02T01:30:00-05:00"},
        {"0,30 1 * * *", NY, "2026-11-01T04:00:00Z",
         "2026-11-01T01:00:00-04:00 2026-11-01T01:30:00-04:00 2026-11-01T01:00:00-05:00 2026-11-01T01:30:00-05:00 2026-11-02T01:00:00-05:00"},
        {"0 12 * * *", "Pacific/Apia", "2011-12-29T12:00:00Z", "2011-12-29T12:00:00-10:00 2011-12-31T12:00:00+14:00"},
    };

    check_rows(rows, DQ_ARRAY_LEN(rows), DUREQ_GAP_SKIP, DUREQ_OVERLAP_HOUR_BOTH);
}

/* ---- days, weeks and months ---- */

static const dureq_at_time nine = {9, 0, 0}, half_past_two = {2, 30, 0};
static const dureq_at_time twice[] = {{18, 0, 0}, {9, 0, 15}, {18, 0, 0}};

TEST(days_are_counted_from_the_anchors_date)
{
    dureq_schedule s = dureq_schedule_init();
    dq_calendar c;

    s.type = DUREQ_SCHEDULE_DAILY;
    s.at_times = &nine;
    s.n_at_times = 1;
    s.regular_interval = 3;
    s.timezone = NY;
    open_calendar(&c, &s, at("2026-03-06T15:00:00Z")); /* 10:00 on the 6th */
    expect_next(&c, at("2026-03-06T15:00:00Z"), "2026-03-09T09:00:00-04:00 2026-03-12T09:00:00-04:00");
    dq_calendar_deinit(&c);

    s.starts_at_ms = at("2026-10-31T04:00:00Z") * 1000; /* midnight there: the 31st itself */
    open_calendar(&c, &s, 0);
    expect_next(&c, 0, "2026-10-31T09:00:00-04:00 2026-11-03T09:00:00-05:00 2026-11-06T09:00:00-05:00");
    dq_calendar_deinit(&c);

    s.starts_at_ms = at("2026-10-31T13:00:00Z") * 1000; /* 09:00: it is the first */
    open_calendar(&c, &s, 0);
    expect_next(&c, 0, "2026-10-31T09:00:00-04:00 2026-11-03T09:00:00-05:00");
    dq_calendar_deinit(&c);

    s.starts_at_ms += 1; /* a millisecond later it is over, and the day still counts as the first */
    open_calendar(&c, &s, 0);
    expect_next(&c, 0, "2026-11-03T09:00:00-05:00");
    dq_calendar_deinit(&c);
}

TEST(several_times_a_day_come_in_order_and_once)
{
    dureq_schedule s = dureq_schedule_init();
    dq_calendar c;

    s.type = DUREQ_SCHEDULE_DAILY;
    s.at_times = twice;
    s.n_at_times = 3;
    open_calendar(&c, &s, 0);
    expect_next(&c, at("2026-03-06T09:00:14Z"), "2026-03-06T09:00:15Z 2026-03-06T18:00:00Z 2026-03-07T09:00:15Z");
    dq_calendar_deinit(&c);
}

TEST(weeks_are_counted_from_the_anchors_week_and_begin_on_sunday)
{
    static const int32_t days[] = {5, 1, 0};
    dureq_schedule s = dureq_schedule_init();
    dq_calendar c;

    s.type = DUREQ_SCHEDULE_WEEKLY;
    s.at_times = &nine;
    s.n_at_times = 1;
    s.included_days = days;
    s.n_included_days = 3;
    s.regular_interval = 2;
    open_calendar(&c, &s, at("2026-11-25T00:00:00Z")); /* Wednesday; its week began on the 22nd */
    expect_next(&c, at("2026-11-25T00:00:00Z"),
                "2026-11-27T09:00:00Z 2026-12-06T09:00:00Z 2026-12-07T09:00:00Z 2026-12-11T09:00:00Z 2026-12-20T09:00:00Z");
    expect_next(&c, at("2026-11-01T00:00:00Z"), "2026-11-08T09:00:00Z"); /* before the anchor, too, for who asks */
    dq_calendar_deinit(&c);
}

TEST(months_are_counted_from_the_anchors_month_and_days_they_lack_are_passed_over)
{
    static const int32_t days[] = {31, 1};
    dureq_schedule s = dureq_schedule_init();
    dq_calendar c;

    s.type = DUREQ_SCHEDULE_MONTHLY;
    s.at_times = &nine;
    s.n_at_times = 1;
    s.included_days = days;
    s.n_included_days = 2;
    s.regular_interval = 3;
    open_calendar(&c, &s, at("2026-11-25T00:00:00Z"));
    expect_next(&c, at("2026-11-25T00:00:00Z"),
                "2027-02-01T09:00:00Z 2027-05-01T09:00:00Z 2027-05-31T09:00:00Z 2027-08-01T09:00:00Z");
    dq_calendar_deinit(&c);
}

/* Every day of two years in which clocks change: the local time stays where it is, or is the first instant after the gap. */
TEST(a_daily_schedule_does_not_drift)
{
    static const char *const zones[] = {NY, "Europe/Berlin", "Australia/Lord_Howe", "America/Santiago", "Africa/Cairo"};

    for (size_t z = 0; z < DQ_ARRAY_LEN(zones); z++) {
        dureq_schedule s = dureq_schedule_init();
        int64_t now = at("2026-01-01T00:00:00Z"), day = 0;
        int n_after_gap = 0;
        dq_calendar c;

        s.type = DUREQ_SCHEDULE_DAILY;
        s.at_times = &half_past_two;
        s.n_at_times = 1;
        s.timezone = zones[z];
        open_calendar(&c, &s, now);
        for (int i = 0; i < 730; i++) {
            int64_t local;

            EXPECT_TRUE(dq_calendar_next(&c, now, &now));
            local = now + dq_zone_offset_at(c.zone, now);
            EXPECT_NOTE("%s, occurrence %d", zones[z], i);
            if (i > 0)
                EXPECT_I64(day + 1, dq_floor_div(local, DQ_DAY_S));
            day = dq_floor_div(local, DQ_DAY_S);
            if (dq_floor_mod(local, DQ_DAY_S) != 2 * 3600 + 1800) {
                EXPECT_I64(now, dq_zone_span_at(c.zone, now).start);
                n_after_gap++;
            }
        }
        EXPECT_TRUE(n_after_gap <= 2);
        dq_calendar_deinit(&c);
    }
}

/* ---- intervals ---- */

TEST(intervals_stay_on_their_anchor_whenever_they_are_asked)
{
    dureq_schedule s = dureq_schedule_init();
    int64_t created = at("2026-03-06T00:00:07Z"), got = 0;
    dq_calendar c;

    s.type = DUREQ_SCHEDULE_DURATION;
    s.interval_ms = 90000;
    open_calendar(&c, &s, created);
    expect_next(&c, created, "2026-03-06T00:01:37Z 2026-03-06T00:03:07Z");
    expect_next(&c, 0, "2026-03-06T00:01:37Z"); /* one interval after the creation, never before */
    for (int64_t after = created; after < created + 100000; after += 37) {
        EXPECT_TRUE(dq_calendar_next(&c, after, &got));
        EXPECT_I64(0, (got - created) % 90);
        EXPECT_TRUE(got > after && got <= after + 90);
    }
    dq_calendar_deinit(&c);

    s.starts_at_ms = at("2026-03-07T00:00:00Z") * 1000;
    open_calendar(&c, &s, created);
    expect_next(&c, 0, "2026-03-07T00:00:00Z 2026-03-07T00:01:30Z"); /* the first is then */
    dq_calendar_deinit(&c);

    s.starts_at_ms += 1;
    s.ends_at_ms = at("2026-03-07T00:03:01Z") * 1000 + 999;
    open_calendar(&c, &s, created);
    expect_next(&c, 0,
                "2026-03-07T00:00:01Z 2026-03-07T00:01:31Z 2026-03-07T00:03:01Z -"); /* whole seconds; the end is included */
    dq_calendar_deinit(&c);
}

TEST(once_is_once)
{
    dureq_schedule s = dureq_schedule_init();
    dq_calendar c;

    s.type = DUREQ_SCHEDULE_ONE_TIME;
    s.run_at_ms = at("2026-03-07T00:00:00Z") * 1000;
    open_calendar(&c, &s, 0);
    expect_next(&c, 0, "2026-03-07T00:00:00Z -");
    dq_calendar_deinit(&c);
    s = dureq_schedule_init();
    s.type = DUREQ_SCHEDULE_IMMEDIATE;
    open_calendar(&c, &s, 1000);
    expect_next(&c, 999, "1970-01-01T00:16:40Z -");
    dq_calendar_deinit(&c);
}

TEST(starts_at_and_ends_at_bound_a_cron_and_are_included)
{
    dureq_schedule s = dureq_schedule_init();
    dq_calendar c;

    s.type = DUREQ_SCHEDULE_CRON;
    s.cron_expr = "0 9 * * *";
    s.starts_at_ms = at("2026-03-07T09:00:00Z") * 1000;
    s.ends_at_ms = at("2026-03-08T09:00:00Z") * 1000;
    open_calendar(&c, &s, 0);
    expect_next(&c, 0, "2026-03-07T09:00:00Z 2026-03-08T09:00:00Z -");
    dq_calendar_deinit(&c);
}

/* ---- catching up ---- */

TEST(the_newest_and_the_number_of_missed_ones_are_found_without_a_walk)
{
    static const char *const crons[] = {"* * * * * *", "*/7 * * * *", "30 2 * * *", "0 0 29 2 *", "0 0 31 12 *"};
    int64_t now = at("2026-11-30T12:00:00Z");

    for (size_t i = 0; i < DQ_ARRAY_LEN(crons); i++) {
        dureq_schedule s = dureq_schedule_init();
        int64_t newest = 0, next = 0;
        dq_calendar c;

        EXPECT_NOTE("%s", crons[i]);
        s.type = DUREQ_SCHEDULE_CRON;
        s.cron_expr = crons[i];
        s.timezone = NY;
        open_calendar(&c, &s, 0);
        EXPECT_TRUE(dq_calendar_newest(&c, now, &newest));
        EXPECT_TRUE(newest <= now);
        EXPECT_TRUE(dq_calendar_next(&c, newest - 1, &next));
        EXPECT_I64(newest, next);
        EXPECT_TRUE(dq_calendar_next(&c, newest, &next));
        EXPECT_TRUE(next > now);
        EXPECT_TRUE(dq_calendar_newest(&c, newest, &next));
        EXPECT_I64(newest, next);
        EXPECT_I64(1, dq_calendar_count(&c, newest - 1, now, 10));
        dq_calendar_deinit(&c);
    }
}

TEST(counting_ends_at_its_cap)
{
    dureq_schedule s = dureq_schedule_init();
    int64_t found = 0;
    dq_calendar c;

    s.type = DUREQ_SCHEDULE_DURATION;
    s.interval_ms = 1000;
    s.starts_at_ms = 1000000;
    open_calendar(&c, &s, 0);
    EXPECT_I64(100, dq_calendar_count(&c, 0, 2000, 100));
    EXPECT_I64(11, dq_calendar_count(&c, 0, 1010, 100));
    EXPECT_I64(0, dq_calendar_count(&c, 0, 999, 100));
    EXPECT_FALSE(dq_calendar_newest(&c, 999, &found));
    EXPECT_TRUE(dq_calendar_newest(&c, 1000, &found));
    EXPECT_I64(1000, found);
    dq_calendar_deinit(&c);
}

/* ---- never ---- */

static void expect_never(const char *cron, const char *zone, dureq_gap gap, const char *says)
{
    dureq_schedule s = dureq_schedule_init();
    struct timespec began, ended;
    dureq_error err = {0};
    int64_t us, best = INT64_MAX;
    dq_calendar c;

    EXPECT_NOTE("'%s'", cron);
    s.type = DUREQ_SCHEDULE_CRON;
    s.cron_expr = cron;
    s.timezone = zone;
    s.gap = gap;
    open_calendar(&c, &s, at("2026-01-01T00:00:00Z"));
    for (int i = 0; i < 20; i++) { /* the best of several: the machine may be busy */
        (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &began);
        EXPECT_RC(DUREQ_EINVAL, dq_calendar_check_fires(&c, at("2026-01-01T00:00:00Z"), &err));
        (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ended);
        us = (ended.tv_sec - began.tv_sec) * 1000000 + (ended.tv_nsec - began.tv_nsec) / 1000;
        best = DQ_MIN(best, us);
    }
    EXPECT_HAS(says, err.msg);
#if !TEST_SANITIZED && defined(__OPTIMIZE__)
    EXPECT_TRUE(best < 1000);
#endif
    dq_calendar_deinit(&c);
}

TEST(what_never_fires_is_found_within_a_millisecond)
{
    expect_never("0 0 31 2 *", UTC, DUREQ_GAP_AFTER, "cron_expr, column 5: it never fires");
    expect_never("0 0 30,31 2 *", UTC, DUREQ_GAP_AFTER, "column 5");
    expect_never("0 0 0 31 4,6,9,11 *", UTC, DUREQ_GAP_AFTER, "column 7");
    expect_never("0 0 31W 2,4 *", UTC, DUREQ_GAP_AFTER, "column 5");
    expect_never("30 2 * 3 0#2", NY, DUREQ_GAP_SKIP, "gap: 'skip' leaves out every occurrence: in America/New_York");
    expect_never("15 2 8-14 3 */7", NY, DUREQ_GAP_SKIP, "gap: 'skip'");
}

TEST(an_end_before_the_first_occurrence_is_refused_with_its_time)
{
    static const int32_t thirtieth = 30;
    dureq_schedule s = dureq_schedule_init();
    dureq_error err = {0};
    dq_calendar c;

    s.type = DUREQ_SCHEDULE_CRON;
    s.cron_expr = "0 9 * * *";
    s.ends_at_ms = at("2026-03-07T08:59:59Z") * 1000;
    open_calendar(&c, &s, 0);
    EXPECT_RC(DUREQ_EINVAL, dq_calendar_check_fires(&c, at("2026-03-06T10:00:00Z"), &err));
    EXPECT_HAS("ends_at is before the next occurrence, which would be 2026-03-07T09:00:00", err.msg);
    dq_calendar_deinit(&c);

    s = dureq_schedule_init();
    s.type = DUREQ_SCHEDULE_MONTHLY;
    s.at_times = &nine;
    s.n_at_times = 1;
    s.included_days = &thirtieth;
    s.n_included_days = 1;
    s.regular_interval = 12;
    open_calendar(&c, &s, at("2026-02-06T10:00:00Z"));
    EXPECT_RC(DUREQ_EINVAL, dq_calendar_check_fires(&c, at("2026-02-06T10:00:00Z"), &err));
    EXPECT_HAS("included_days never comes", err.msg);
    dq_calendar_deinit(&c);

    s = dureq_schedule_init();
    s.type = DUREQ_SCHEDULE_ONE_TIME;
    s.run_at_ms = 1000;
    open_calendar(&c, &s, 0);
    EXPECT_RC(DUREQ_EINVAL, dq_calendar_check_fires(&c, 1, &err));
    EXPECT_HAS("run_at is in the past", err.msg);
    EXPECT_RC(0, dq_calendar_check_fires(&c, 0, &err));
    dq_calendar_deinit(&c);
}

/* ---- jitter ---- */

TEST(jitter_is_even_repeatable_and_passes_nothing)
{
    dureq_schedule s = dureq_schedule_init();
    int buckets[10] = {0};
    dq_calendar c, other;

    s.type = DUREQ_SCHEDULE_DURATION;
    s.interval_ms = 60000;
    s.jitter_ms = 10000;
    s.starts_at_ms = 1000000000;
    open_calendar(&c, &s, 0);
    s.ends_at_ms = 2000000000000; /* far away: another definition of the same calendar */
    open_calendar(&other, &s, 77);
    for (int64_t i = 0; i < 20000; i++) {
        int64_t occurrence = 1000000 + 60 * i, due = dq_calendar_due_ms(&c, DQ_STR_LIT("some-id"), occurrence);

        EXPECT_TRUE(due >= occurrence * 1000 && due < occurrence * 1000 + 10000);
        EXPECT_I64(due, dq_calendar_due_ms(&other, DQ_STR_LIT("some-id"), occurrence));
        buckets[(due - occurrence * 1000) / 1000]++;
    }
    for (int i = 0; i < 10; i++)
        EXPECT_TRUE(buckets[i] > 1800 && buckets[i] < 2200);
    EXPECT_TRUE(dq_calendar_due_ms(&c, DQ_STR_LIT("a"), 1000000) != dq_calendar_due_ms(&c, DQ_STR_LIT("b"), 1000000));
    dq_calendar_deinit(&c);
    dq_calendar_deinit(&other);

    s.jitter_ms = 3600000; /* more than the interval */
    s.ends_at_ms = (1000000 + 90) * 1000;
    open_calendar(&c, &s, 0);
    for (int i = 0; i < 200; i++) {
        char id[16];
        int64_t first, last;

        (void)snprintf(id, sizeof id, "id-%d", i);
        first = dq_calendar_due_ms(&c, dureq_str_from(id), 1000000);
        last = dq_calendar_due_ms(&c, dureq_str_from(id), 1000060);
        EXPECT_TRUE(first >= 1000000000 && first < 1000060000);
        EXPECT_TRUE(last >= 1000060000 && last <= s.ends_at_ms);
    }
    dq_calendar_deinit(&c);
}

TEST(times_are_written_with_the_zones_offset)
{
    static const struct {
        const char *zone, *text;
        int64_t at;
    } rows[] = {
        {"UTC", "2026-03-08T07:00:00Z", 1772953200},
        {NY, "2026-03-08T03:00:00-04:00", 1772953200},
        {"Asia/Kathmandu", "2026-03-08T12:45:00+05:45", 1772953200},
        {"Europe/London", "2026-03-08T07:00:00+00:00", 1772953200},
        {NY, "1880-01-01T00:00:00Z", -2840140800}, /* local mean time, which has seconds */
    };

    for (size_t i = 0; i < DQ_ARRAY_LEN(rows); i++) {
        dq_zone *zone = test_zone_open(rows[i].zone);
        char text[DQ_CALENDAR_TEXT_MAX];

        EXPECT_TRUE(zone != NULL);
        dq_calendar_format(zone, rows[i].at, text);
        EXPECT_TEXT(rows[i].text, text);
        dq_zone_unref(zone);
    }
}

TEST_MAIN()
