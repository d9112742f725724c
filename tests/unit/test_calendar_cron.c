/* SPDX-License-Identifier: Apache-2.0 */
#include "calendar/cron.h"

#include "expect.h"

static const struct {
    const char *cron, *says;
} refused[] = {
    {"", "cron_expr takes 1 to 1024 bytes"},
    {"   ", "column 4: 0 fields: it takes five (minute, hour, day of month, month, day of week), or six with seconds first"},
    {"* * * *", "column 8: 4 fields"},
    {"*", "column 2: 1 field: it takes five"},
    {"60 * * * *", "column 1: minute takes 0 to 59, not '60'"},
    {"-1 * * * *", "column 1: minute takes 0 to 59, not ''"},
    {"1.5 * * * *", "column 1: minute takes 0 to 59, not '1.5'"},
    {"+5 * * * *", "column 1: minute takes 0 to 59, not '+5'"},
    {"99999 * * * *", "column 1: minute takes 0 to 59, not '99999'"},
    {"5, * * * *", "column 3: minute has an empty item in its list"},
    {",5 * * * *", "column 1: minute has an empty item in its list"},
    {"1,2,61 * * * *", "column 5: minute takes 0 to 59, not '61'"},
    {"*5 * * * *", "column 1: minute takes 0 to 59, not '*5'"},
    {"? * * * *", "column 1: minute takes no '?', which is for the two day fields: write '*'"},
    {"* 24 * * *", "column 3: hour takes 0 to 23, not '24'"},
    {"* noon * * *", "column 3: hour takes 0 to 23, not 'noon'"},
    {"0 17-9 * * *", "column 3: hour range '17-9' runs backwards: write '17-23,0-9'"},
    {"0 22-2/3 * * *", "column 3: hour range '22-2' runs backwards: write '22,1'"},
    {"0 20-4/2 * * *", "column 3: hour range '20-4' runs backwards: write '20-22/2,0-4/2'"},
    {"50-10 * * * *", "column 1: minute range '50-10' runs backwards: write '50-59,0-10'"},
    {"0 5-3/23 * * *", "column 3: hour range '5-3' runs backwards: write '5'"},
    {"*/0 * * * *", "column 3: the step of minute takes 1 to 60, not '0'"},
    {"*/61 * * * *", "column 3: the step of minute takes 1 to 60, not '61'"},
    {"*/x * * * *", "column 3: the step of minute takes 1 to 60, not 'x'"},
    {"*/ * * * *", "column 3: the step of minute takes 1 to 60, not ''"},
    {"*/5/5 * * * *", "column 3: the step of minute takes 1 to 60, not '5/5'"},
    {"1-2-3 * * * *", "column 3: minute takes 0 to 59, not '2-3'"},
    {"5- * * * *", "column 3: minute takes 0 to 59, not ''"},
    {"0 0 0 * *", "column 5: day of month takes 1 to 31, not '0'"},
    {"0 0 32 * *", "column 5: day of month takes 1 to 31, not '32'"},
    {"0 0 MON * *", "column 5: day of month takes 1 to 31, not 'MON'"},
    {"0 0 0W * *", "column 5: day of month takes 1W to 31W"},
    {"0 0 32W * *", "column 5: day of month takes 1W to 31W"},
    {"0 0 W * *", "column 5: day of month takes 1W to 31W"},
    {"0 0 1-5W * *", "column 5: day of month takes 1W to 31W"},
    {"0 0 L-0 * *", "column 5: day of month takes L (the last day), L-1 to L-30"},
    {"0 0 L-31 * *", "column 5: day of month takes L (the last day), L-1 to L-30"},
    {"0 0 L5 * *", "column 5: day of month takes L"},
    {"0 0 LWW * *", "column 5: day of month takes L"},
    {"0 0 ?/2 * *", "column 5: '?' of day of month stands alone"},
    {"0 0 * 0 *", "column 7: month takes 1 to 12 or JAN to DEC, not '0'"},
    {"0 0 * 13 *", "column 7: month takes 1 to 12 or JAN to DEC, not '13'"},
    {"0 0 * JANUARY *", "column 7: month takes 1 to 12 or JAN to DEC, not 'JANUARY'"},
    {"0 0 * NOV-FEB *", "column 7: month range 'NOV-FEB' runs backwards: write '11-12,1-2'"},
    {"0 0 * L *", "column 7: month takes 1 to 12"},
    {"0 0 * * 8", "column 9: day of week takes 0 to 7 (0 and 7 are Sunday) or SUN to SAT, not '8'"},
    {"0 0 * * XYZ", "column 9: day of week takes"},
    {"0 0 * * FRI-MON", "column 9: day of week range 'FRI-MON' runs backwards: write '5-6,0-1'"},
    {"0 0 * * 6-0", "column 9: day of week range '6-0' runs backwards: write '6,0'"},
    {"0 0 * * 7-1", "column 9: day of week range '7-1' runs backwards: write '0-1'"},
    {"0 0 * * L", "column 9: day of week takes L with a day, such as 6L (the last Saturday), not 'L' alone"},
    {"0 0 * * 8L", "column 9: day of week takes"},
    {"0 0 * * 5#0", "column 11: day of week takes #1 to #5 (the first to the fifth of the month), not '#0'"},
    {"0 0 * * 5#6", "column 11: day of week takes #1 to #5"},
    {"0 0 * * FRI#", "column 13: day of week takes #1 to #5"},
    {"0 0 * * #2", "column 9: day of week takes"},
    {"0 0 * * */8", "column 11: the step of day of week takes 1 to 7, not '8'"},
    {"70 0 0 * * *", "column 1: second takes 0 to 59, not '70'"},
    {"* 70 0 * * *", "column 3: minute takes 0 to 59, not '70'"},
    {"0 0 1 1 * 2027", "column 11: a year field ('2027') is not taken: bound the schedule by starts_at and ends_at"},
    {"0 0 0 1 1 * 2027", "column 13: a seventh field (a year) is not taken"},
    {"0 0 0 1 1 * *", "column 13: a seventh field (a year) is not taken"},
    {"@reboot", "column 1: @reboot is not taken"},
    {"@fortnightly", "column 1: '@fortnightly' is none of @yearly"},
    {"@daily 5", "column 8: nothing may follow @daily"},
    {"@every", "column 7: @every takes a duration such as 1h30m"},
    {"@every soon", "column 8: @every takes a duration of whole seconds, at least 1s, such as 1h30m, not 'soon'"},
    {"@every 500ms", "column 8: @every takes a duration of whole seconds"},
    {"@every 1.5s", "column 8: @every takes a duration of whole seconds"},
    {"@every 0s", "column 8: @every takes a duration of whole seconds"},
    {"@every -5m", "column 8: @every takes a duration of whole seconds"},
    {"@every 1h 30m", "column 8: @every takes one duration"},
    {"@every 9999999h", "column 8: @every takes at most 400 years"},
    {"TZ= 0 0 * * *", "column 4: TZ= takes a time zone such as Europe/Berlin"},
    {"CRON_TZ=Europe/Berlin 0 0 * *", "column 30: 4 fields"},
    {"TZ=Europe/Berlin 0 25 * * *", "column 20: hour takes 0 to 23, not '25'"},
    {"FOO=1 0 0 * * *", "column 1: second takes 0 to 59, not 'FOO=1'"},
    {"\x01 * * * *", "column 1: minute takes 0 to 59, not '?'"},
    {"0 0 * * *\n", "column 9: day of week takes 0 to 7 (0 and 7 are Sunday) or SUN to SAT, not '*?'"},
    {"a-very-long-item-that-goes-on-and-on-and-on * * * *", "column 1: minute takes 0 to 59, not 'a'"},
    {"averylongitemthatgoesonandonandonandon * * * *", "not 'averylongitemthatgoesonandonando...'"},
};

TEST(what_is_wrong_is_refused_with_its_column_its_field_and_what_it_takes)
{
    for (size_t i = 0; i < DQ_ARRAY_LEN(refused); i++) {
        dq_cron c = {.every_s = 42};
        dureq_error err = {0};

        EXPECT_NOTE("'%s'", refused[i].cron);
        EXPECT_RC(DUREQ_EINVAL, dq_cron_parse(dureq_str_from(refused[i].cron), &c, &err));
        EXPECT_HAS(refused[i].says, err.msg);
        EXPECT_HAS("cron_expr", err.msg);
        EXPECT_I64(42, c.every_s);
    }
}

/* All that is taken, and the sets it makes. */
TEST(fields_are_sets)
{
    dq_cron c;

    EXPECT_RC(0, dq_cron_parse(DQ_STR_LIT("0-10/5,30 8-18/5 1,L-2,15W,LW JAN-MAR,12 MON,5L,2#3"), &c, NULL));
    EXPECT_U64(1, c.seconds);
    EXPECT_U64(1 | 1 << 5 | 1 << 10 | 1 << 30, c.minutes);
    EXPECT_U64(1 << 8 | 1 << 13 | 1 << 18, c.hours);
    EXPECT_U64(1 << 1, c.days);
    EXPECT_U64(1 << 2, c.days_from_end);
    EXPECT_U64(1 << 15, c.days_on_weekday);
    EXPECT_TRUE(c.last_workday);
    EXPECT_U64(1 << 1 | 1 << 2 | 1 << 3 | 1 << 12, c.months);
    EXPECT_U64(1 << 1, c.weekdays);
    EXPECT_U64(1 << 5, c.last_weekdays);
    EXPECT_U64(1 << 2, c.nth_weekdays[2]);
    EXPECT_FALSE(c.any_day || c.any_weekday || c.follows_elapsed_time || c.has_seconds);

    EXPECT_RC(0, dq_cron_parse(DQ_STR_LIT("TZ=Asia/Tokyo 1 2 */3 ? * 0-7"), &c, NULL));
    EXPECT_STR_TEXT("Asia/Tokyo", c.zone);
    EXPECT_I64(4, (int64_t)c.zone_column);
    EXPECT_I64(23, (int64_t)c.day_column);
    EXPECT_TRUE(c.any_day && !c.any_weekday && c.follows_elapsed_time && c.has_seconds);
    EXPECT_U64(0x7f, c.weekdays);
    EXPECT_U64(0xfffffffe, c.days);

    EXPECT_RC(0, dq_cron_parse(DQ_STR_LIT("0 0 * * 7/3"), &c, NULL)); /* from Sunday on */
    EXPECT_U64(1 | 1 << 3 | 1 << 6, c.weekdays);
    EXPECT_RC(0, dq_cron_parse(DQ_STR_LIT("@every 90s"), &c, NULL));
    EXPECT_I64(90, c.every_s);
    EXPECT_RC(0, dq_cron_parse(DQ_STR_LIT(" \t@Daily "), &c, NULL));
}

TEST(a_text_of_any_length_has_its_limit)
{
    char text[DQ_CRON_TEXT_MAX + 8];
    dq_cron c;
    dureq_error err = {0};

    memset(text, ' ', sizeof text);
    memcpy(text, "0 0 * * *", 9);
    EXPECT_RC(0, dq_cron_parse(dureq_str_of(text, DQ_CRON_TEXT_MAX), &c, &err));
    EXPECT_RC(DUREQ_EINVAL, dq_cron_parse(dureq_str_of(text, DQ_CRON_TEXT_MAX + 1), &c, &err));
}

TEST(a_time_of_day_is_found_from_any_second)
{
    dq_cron c;

    EXPECT_RC(0, dq_cron_parse(DQ_STR_LIT("10,50 5,30 3,20 * * *"), &c, NULL));
    EXPECT_I64(3 * 3600 + 5 * 60 + 10, dq_cron_second_of_day(&c, 0));
    EXPECT_I64(3 * 3600 + 5 * 60 + 50, dq_cron_second_of_day(&c, 3 * 3600 + 5 * 60 + 11));
    EXPECT_I64(3 * 3600 + 30 * 60 + 10, dq_cron_second_of_day(&c, 3 * 3600 + 5 * 60 + 51));
    EXPECT_I64(20 * 3600 + 5 * 60 + 10, dq_cron_second_of_day(&c, 3 * 3600 + 30 * 60 + 51));
    EXPECT_I64(20 * 3600 + 5 * 60 + 10, dq_cron_second_of_day(&c, 4 * 3600 + 59 * 60));
    EXPECT_I64(-1, dq_cron_second_of_day(&c, 20 * 3600 + 30 * 60 + 51));
    EXPECT_I64(-1, dq_cron_second_of_day(&c, 86400));
}

TEST_MAIN()
