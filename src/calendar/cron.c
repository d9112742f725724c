/* SPDX-License-Identifier: Apache-2.0 */
/* Which days of a month and which times of a day an expression names. */

#include "calendar/cron.h"

#include <assert.h>

#include "base/date.h"

#define BIT(n) (UINT32_C(1) << (n))

/* The month that is looked at. */
typedef struct month {
    int len, first_weekday;
} month;

static int weekday_of(const month *m, int day)
{
    return (m->first_weekday + day - 1) % 7;
}

/* The day from Monday to Friday nearest to this one, never in another month. */
static int workday_near(const month *m, int day)
{
    assert(day >= 1 && day <= m->len && m->len >= 28);
    switch (weekday_of(m, day)) {
    case 6: return day > 1 ? day - 1 : day + 2;
    case 0: return day < m->len ? day + 1 : day - 2;
    default: return day;
    }
}

static uint32_t days_by_day(const dq_cron *c, const month *m)
{
    uint32_t set = c->days;

    for (int n = 0; n < m->len && c->days_from_end >> n; n++)
        if (c->days_from_end & BIT(n))
            set |= BIT(m->len - n);
    for (int day = 1; day <= m->len && c->days_on_weekday >> day; day++)
        if (c->days_on_weekday & BIT(day))
            set |= BIT(workday_near(m, day));
    if (c->last_workday)
        set |= BIT(workday_near(m, m->len));
    return set;
}

/* The days of one weekday: five at most, a week apart. */
static uint32_t days_of_weekday(const dq_cron *c, const month *m, int weekday)
{
    int first = 1 + (weekday - m->first_weekday + 7) % 7, last = first + (m->len - first) / 7 * 7;
    uint32_t set = c->weekdays & BIT(weekday) ? UINT32_C(0x10204081) << first : 0;

    for (int nth = 0; nth < 5; nth++)
        if (c->nth_weekdays[nth] & BIT(weekday) && first + 7 * nth <= m->len)
            set |= BIT(first + 7 * nth);
    return c->last_weekdays & BIT(weekday) ? set | BIT(last) : set;
}

static uint32_t days_by_weekday(const dq_cron *c, const month *m)
{
    uint32_t set = 0;

    for (int weekday = 0; weekday < 7; weekday++)
        set |= days_of_weekday(c, m, weekday);
    return set;
}

uint32_t dq_cron_days(const dq_cron *c, int64_t year, int number)
{
    month m = {.len = dq_days_in_month(year, number)};
    uint32_t all = (uint32_t)((UINT64_C(2) << m.len) - 2), by_day, by_weekday;

    if (!(c->months & BIT(number)))
        return 0;
    m.first_weekday = dq_weekday_of_days(dq_days_of_date(year, number, 1));
    by_day = days_by_day(c, &m);
    by_weekday = days_by_weekday(c, &m);
    if (!c->any_day && !c->any_weekday)
        return (by_day | by_weekday) & all;
    return by_day & by_weekday & all;
}

/* The first bit at or after `from`; -1 when there is none. */
static int next_bit(uint64_t set, int from)
{
    uint64_t left = from < 64 ? set >> from : 0;

    return left ? from + __builtin_ctzll(left) : -1;
}

int32_t dq_cron_second_of_day(const dq_cron *c, int32_t from)
{
    int hour = from / 3600, minute = from / 60 % 60, second = from % 60;
    int h = next_bit(c->hours, hour), m, s;

    if (h != hour)
        minute = second = 0;
    for (; h >= 0; h = next_bit(c->hours, h + 1), minute = second = 0) {
        m = next_bit(c->minutes, minute);
        if (m != minute)
            second = 0;
        s = m < 0 ? -1 : next_bit(c->seconds, second);
        if (m >= 0 && s < 0) {
            m = next_bit(c->minutes, m + 1);
            s = next_bit(c->seconds, 0);
        }
        if (m >= 0)
            return h * 3600 + m * 60 + s;
    }
    return -1;
}
