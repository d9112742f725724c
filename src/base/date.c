/* SPDX-License-Identifier: Apache-2.0 */
/* After H. Hinnant, "chrono-Compatible Low-Level Date Algorithms", https://howardhinnant.github.io/date_algorithms.html: years begin
   in March there, so that the leap day is the last one. */

#include "base/date.h"

#define ERA_DAYS 146097 /* of 400 years */

int64_t dq_days_of_date(int64_t year, int month, int day)
{
    int64_t y = year - (month <= 2), era = dq_floor_div(y, 400), year_of_era = y - era * 400;
    int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

    return era * ERA_DAYS + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719468;
}

dq_date dq_date_of_days(int64_t days)
{
    int64_t era = dq_floor_div(days + 719468, ERA_DAYS), year_of_era;
    int day_of_era = (int)(days + 719468 - era * ERA_DAYS), day_of_year, month;

    year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    day_of_year = day_of_era - (int)(365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    month = (5 * day_of_year + 2) / 153; /* from March */
    return (dq_date){
        .year = year_of_era + era * 400 + (month >= 10),
        .month = month < 10 ? month + 3 : month - 9,
        .day = day_of_year - (153 * month + 2) / 5 + 1,
    };
}

int dq_days_in_month(int64_t year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

    return days[month - 1] + (month == 2 && year % 4 == 0 && (year % 100 != 0 || year % 400 == 0));
}

int dq_weekday_of_days(int64_t days)
{
    return (int)dq_floor_mod(days + 4, 7);
}
