/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Dates of the proleptic Gregorian calendar as numbers of days. Pure; right for years -30,000,000 to 30,000,000. */

#include "base/base.h"

#define DQ_DAY_S INT64_C(86400)

typedef struct dq_date {
    int64_t year;
    int month, day; /* from 1 */
} dq_date;

int64_t dq_days_of_date(int64_t year, int month, int day); /* days since 1970-01-01; month 1 to 12 */
dq_date dq_date_of_days(int64_t days);
int dq_days_in_month(int64_t year, int month);
int dq_weekday_of_days(int64_t days); /* 0 is Sunday */

/* Division that rounds down, and its remainder from 0; b > 0. */
static inline int64_t dq_floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

static inline int64_t dq_floor_mod(int64_t a, int64_t b)
{
    return a % b + (a % b < 0 ? b : 0);
}
