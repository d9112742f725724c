/* SPDX-License-Identifier: Apache-2.0 */
#include "base/date.h"

#include <time.h>

#include "expect.h"

/* Every eleventh day of 4,300 years against the C library. */
TEST(days_and_dates_are_those_of_the_c_library)
{
    for (int64_t days = -800000; days < 800000; days += 11) {
        time_t at = (time_t)(days * DQ_DAY_S);
        dq_date d = dq_date_of_days(days);
        struct tm tm;

        EXPECT_NOTE("day %lld", (long long)days);
        EXPECT_TRUE(gmtime_r(&at, &tm) != NULL);
        EXPECT_I64(tm.tm_year + 1900, d.year);
        EXPECT_I64(tm.tm_mon + 1, d.month);
        EXPECT_I64(tm.tm_mday, d.day);
        EXPECT_I64(tm.tm_wday, dq_weekday_of_days(days));
        EXPECT_I64(days, dq_days_of_date(d.year, d.month, d.day));
    }
}

TEST(a_month_has_its_days_in_leap_years_and_centuries)
{
    EXPECT_I64(31, dq_days_in_month(2026, 1));
    EXPECT_I64(28, dq_days_in_month(2026, 2));
    EXPECT_I64(29, dq_days_in_month(2028, 2));
    EXPECT_I64(28, dq_days_in_month(2100, 2));
    EXPECT_I64(29, dq_days_in_month(2000, 2));
    EXPECT_I64(30, dq_days_in_month(2026, 11));
}

TEST(division_rounds_down)
{
    EXPECT_I64(-1, dq_floor_div(-1, 7));
    EXPECT_I64(6, dq_floor_mod(-1, 7));
    EXPECT_I64(-1, dq_floor_div(-7, 7));
    EXPECT_I64(0, dq_floor_mod(-7, 7));
    EXPECT_I64(1, dq_floor_div(13, 7));
    EXPECT_I64(6, dq_floor_mod(13, 7));
}

TEST_MAIN()
