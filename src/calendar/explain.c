/* SPDX-License-Identifier: Apache-2.0 */
/* A calendar as one English sentence: times of day, days, months, zone, bounds, and what becomes of it when clocks change. */

#include <stdio.h>

#include "base/buf.h"
#include "base/date.h"
#include "calendar/calendar.h"

#define LISTED_MAX 8 /* times of day told one by one; more are told by their minutes and hours */
#define TWO_YEARS  INT64_C(63158400)

static const char *const weekday_names[] = {"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"};
static const char *const weekdays_names[] = {"Sundays", "Mondays", "Tuesdays", "Wednesdays", "Thursdays", "Fridays", "Saturdays"};
static const char *const month_names[] = {"January", "February", "March",     "April",   "May",      "June",
                                          "July",    "August",   "September", "October", "November", "December"};
static const char *const ordinals[] = {"first", "second", "third", "fourth", "fifth"};

/* ---- times ---- */

void dq_calendar_format(const dq_zone *zone, int64_t at, char out[DQ_CALENDAR_TEXT_MAX])
{
    int32_t offset = zone ? dq_zone_offset_at(zone, at) : 0, minutes = offset < 0 ? -offset / 60 : offset / 60;
    bool is_utc = !zone || offset % 60 || strcmp(dq_zone_name(zone), "UTC") == 0; /* RFC 3339 has no seconds in an offset */
    int64_t local = at + (is_utc ? 0 : offset), day = dq_floor_div(local, DQ_DAY_S);
    int time = (int)(local - day * DQ_DAY_S), n;
    dq_date d = dq_date_of_days(day);

    n = snprintf(out, DQ_CALENDAR_TEXT_MAX, "%04d-%02d-%02dT%02d:%02d:%02d", (int)d.year, d.month, d.day, time / 3600,
                 time / 60 % 60, time % 60);
    if (n < 0 || n >= DQ_CALENDAR_TEXT_MAX)
        return;
    if (is_utc)
        (void)snprintf(out + n, (size_t)(DQ_CALENDAR_TEXT_MAX - n), "Z");
    else
        (void)snprintf(out + n, (size_t)(DQ_CALENDAR_TEXT_MAX - n), "%c%02d:%02d", offset < 0 ? '-' : '+', minutes / 60,
                       minutes % 60);
}

static void put_time(dq_buf *out, const dq_calendar *c, int64_t at)
{
    char text[DQ_CALENDAR_TEXT_MAX];

    dq_calendar_format(c->zone, at, text);
    dq_buf_append_text(out, text);
}

/* ---- lists: "a, b and c" ---- */

typedef struct listing {
    dq_buf *out;
    int n, done;
    const char *last; /* "and" */
} listing;

static void separate(listing *l)
{
    if (l->done > 0)
        dq_buf_append_fmt(l->out, l->done + 1 == l->n ? " %s " : ", ", l->last);
    l->done++;
}

/* Runs of three and more as "9 to 17". */
static int run_end(uint64_t set, int from)
{
    int to = from;

    while (to < 63 && set >> (to + 1) & 1)
        to++;
    return to - from >= 2 ? to : from;
}

static int count_runs(uint64_t set)
{
    int n = 0;

    for (int i = 0; i < 64; i++)
        if (set >> i & 1) {
            i = run_end(set, i);
            n++;
        }
    return n;
}

/* names: of the values from `base` on; NULL: the numbers themselves. */
static void put_set(dq_buf *out, uint64_t set, const char *const *names, int base)
{
    listing l = {out, count_runs(set), 0, "and"};

    for (int i = 0; i < 64; i++) {
        int to;

        if (!(set >> i & 1))
            continue;
        to = run_end(set, i);
        separate(&l);
        if (names)
            dq_buf_append_fmt(out, "%s%s%s", names[i - base], to > i ? " to " : "", to > i ? names[to - base] : "");
        else if (to > i)
            dq_buf_append_fmt(out, "%d to %d", i, to);
        else
            dq_buf_append_i64(out, i);
        i = to;
    }
}

/* ---- times of day ---- */

static void put_clock(dq_buf *out, int32_t second_of_day)
{
    dq_buf_append_fmt(out, "%02d:%02d", second_of_day / 3600, second_of_day / 60 % 60);
    if (second_of_day % 60)
        dq_buf_append_fmt(out, ":%02d", second_of_day % 60);
}

static const char *ordinal_end(int n)
{
    if (n % 100 >= 11 && n % 100 <= 13)
        return "th";
    return n % 10 == 1 ? "st" : n % 10 == 2 ? "nd" : n % 10 == 3 ? "rd" : "th";
}

static void put_nth(dq_buf *out, const char *before, int64_t n, const char *what)
{
    if (n == 1)
        dq_buf_append_fmt(out, "%severy %s", before, what);
    else
        dq_buf_append_fmt(out, "%severy %d%s %s", before, (int)n, ordinal_end((int)n), what);
}

/* The step of a set that begins at 0 and goes on evenly round the clock; 0 when it is no such set. */
static int even_step(uint64_t set, int size)
{
    int step = set & 1 ? 1 : 0;

    if (!step)
        return 0;
    while (step < size && !(set >> step & 1))
        step++;
    if (step == size || size % step)
        return 0;
    for (int i = 0; i < size; i++)
        if ((set >> i & 1) != (i % step == 0))
            return 0;
    return step;
}

/* "every minute", "every 15 minutes", "at minutes 5 and 35" */
static void put_unit(dq_buf *out, uint64_t set, int size, const char *name)
{
    int step = even_step(set, size);

    if (step == 1) {
        dq_buf_append_fmt(out, "every %s", name);
    } else if (step > 1) {
        dq_buf_append_fmt(out, "every %d %ss", step, name);
    } else {
        dq_buf_append_fmt(out, "at %s%s ", name, set & (set - 1) ? "s" : "");
        put_set(out, set, NULL, 0);
    }
}

static void put_units(dq_buf *out, const dq_cron *c)
{
    if (c->seconds != 1) {
        put_unit(out, c->seconds, 60, "second");
        if (even_step(c->seconds, 60) && even_step(c->minutes, 60) == 1 && even_step(c->hours, 24) == 1)
            return;
        dq_buf_append_text(out, " of ");
        if (even_step(c->minutes, 60) != 1) {
            dq_buf_append_fmt(out, "minute%s ", c->minutes & (c->minutes - 1) ? "s" : "");
            put_set(out, c->minutes, NULL, 0);
        } else {
            dq_buf_append_text(out, "every minute");
        }
    } else {
        put_unit(out, c->minutes, 60, "minute");
        if (even_step(c->minutes, 60) && even_step(c->hours, 24) == 1)
            return;
    }
    if (even_step(c->hours, 24)) {
        put_nth(out, " of ", even_step(c->hours, 24), "hour");
        return;
    }
    dq_buf_append_fmt(out, " of hour%s ", c->hours & (c->hours - 1) ? "s" : "");
    put_set(out, c->hours, NULL, 0);
}

static int32_t next_time(const dq_calendar *c, int32_t from)
{
    int32_t best = -1;

    if (c->type == DUREQ_SCHEDULE_CRON)
        return dq_cron_second_of_day(&c->cron, from);
    for (size_t i = 0; i < c->n_at_times; i++) {
        int32_t t = c->at_times[i].hour * 3600 + c->at_times[i].minute * 60 + c->at_times[i].second;

        if (t >= from && (best < 0 || t < best))
            best = t;
    }
    return best;
}

static int count_times(const dq_calendar *c)
{
    int n = 0;

    for (int32_t t = next_time(c, 0); t >= 0 && n <= LISTED_MAX; t = next_time(c, t + 1))
        n++;
    return n;
}

static void put_times(dq_buf *out, const dq_calendar *c)
{
    listing l = {out, count_times(c), 0, "and"};

    if (l.n > LISTED_MAX && c->type == DUREQ_SCHEDULE_CRON) {
        put_units(out, &c->cron);
        return;
    }
    dq_buf_append_text(out, "at ");
    if (l.n > LISTED_MAX) {
        dq_buf_append_fmt(out, "%zu times, from ", c->n_at_times);
        put_clock(out, next_time(c, 0));
        dq_buf_append_text(out, " on,");
        return;
    }
    for (int32_t t = next_time(c, 0); t >= 0; t = next_time(c, t + 1)) {
        separate(&l);
        put_clock(out, t);
    }
}

/* ---- days ---- */

static int count_bits(uint64_t set)
{
    return __builtin_popcountll(set);
}

static void put_days(dq_buf *out, const dq_cron *c)
{
    listing l = {out, (c->days != 0) + count_bits(c->days_from_end) + count_bits(c->days_on_weekday) + c->last_workday, 0, "and"};

    if (c->days) {
        separate(&l);
        dq_buf_append_fmt(out, "day%s ", c->days & (c->days - 1) ? "s" : "");
        put_set(out, c->days, NULL, 0);
    }
    for (int n = 0; n < 32; n++)
        if (c->days_from_end >> n & 1) {
            separate(&l);
            if (n == 0)
                dq_buf_append_text(out, "the last day");
            else
                dq_buf_append_fmt(out, "the %d%s day before the last", n, ordinal_end(n));
        }
    for (int n = 1; n < 32; n++)
        if (c->days_on_weekday >> n & 1) {
            separate(&l);
            dq_buf_append_fmt(out, "the weekday nearest to the %d%s", n, ordinal_end(n));
        }
    if (c->last_workday) {
        separate(&l);
        dq_buf_append_text(out, "the last weekday");
    }
    dq_buf_append_text(out, " of the month");
}

static int count_weekday_parts(const dq_cron *c)
{
    int n = (c->weekdays != 0) + count_bits(c->last_weekdays);

    for (int nth = 0; nth < 5; nth++)
        n += count_bits(c->nth_weekdays[nth]);
    return n;
}

static void put_weekdays(dq_buf *out, const dq_cron *c)
{
    listing l = {out, count_weekday_parts(c), 0, "and"};

    if (c->weekdays) {
        separate(&l);
        put_set(out, c->weekdays, weekdays_names, 0);
    }
    for (int nth = 0; nth < 5; nth++)
        for (int day = 0; day < 7; day++)
            if (c->nth_weekdays[nth] >> day & 1) {
                separate(&l);
                dq_buf_append_fmt(out, "the %s %s of the month", ordinals[nth], weekday_names[day]);
            }
    for (int day = 0; day < 7; day++)
        if (c->last_weekdays >> day & 1) {
            separate(&l);
            dq_buf_append_fmt(out, "the last %s of the month", weekday_names[day]);
        }
}

static void put_cron_days(dq_buf *out, const dq_cron *c, bool tells_times)
{
    bool all_days = c->days == 0xfffffffeu, all_weekdays = c->weekdays == 0x7f;

    if (all_days && all_weekdays) {
        dq_buf_append_text(out, tells_times ? " every day" : "");
    } else if (all_weekdays && c->any_weekday) {
        dq_buf_append_text(out, " on ");
        put_days(out, c);
    } else if (all_days && c->any_day) {
        dq_buf_append_text(out, " on ");
        put_weekdays(out, c);
    } else {
        dq_buf_append_text(out, " on ");
        put_days(out, c);
        dq_buf_append_text(out, c->any_day || c->any_weekday ? " that are " : ", and on ");
        put_weekdays(out, c);
    }
    if (c->months != 0x1ffe) {
        dq_buf_append_text(out, " in ");
        put_set(out, c->months, month_names, 1);
    }
}

static void put_regular_days(dq_buf *out, const dq_calendar *c)
{
    dq_buf_append_char(out, ' ');
    switch (c->type) {
    case DUREQ_SCHEDULE_WEEKLY:
        dq_buf_append_text(out, "on ");
        put_set(out, c->included_days, c->every == 1 ? weekdays_names : weekday_names, 0);
        if (c->every > 1)
            put_nth(out, " of ", c->every, "week");
        break;
    case DUREQ_SCHEDULE_MONTHLY:
        dq_buf_append_fmt(out, "on day%s ", c->included_days & (c->included_days - 1) ? "s" : "");
        put_set(out, c->included_days, NULL, 0);
        put_nth(out, " of ", c->every, "month");
        break;
    default: put_nth(out, "", c->every, "day"); break;
    }
}

/* ---- the sentence ---- */

static void put_clock_changes(dq_buf *out, const dq_calendar *c, int64_t from)
{
    int64_t start = c->first == INT64_MIN ? from : DQ_MAX(from, c->first);

    if (!dq_zone_changes_between(c->zone, start, DQ_MIN(start + TWO_YEARS, c->last)))
        return;
    if (c->type == DUREQ_SCHEDULE_CRON && c->cron.follows_elapsed_time) {
        dq_buf_append_text(
            out, "; with daylight saving time it follows elapsed time: both passes of an hour that is repeated, nothing of "
                 "one that is skipped");
        return;
    }
    dq_buf_append_fmt(out, "; with daylight saving time, a time that is skipped %s and one that comes twice fires %s",
                      c->skips_gap ? "does not fire" : "fires at the first instant after the gap",
                      c->takes_both ? "both times" : "the first time only");
}

static void put_interval(dq_buf *out, const dq_calendar *c)
{
    char text[DQ_DURATION_TEXT_MAX];

    (void)dq_format_duration_ms(c->interval * 1000, text);
    dq_buf_append_fmt(out, "every %s of elapsed time", text);
    if (c->first == INT64_MIN)
        dq_buf_append_text(out, ", counted from when it is created");
}

static void put_what(dq_buf *out, const dq_calendar *c)
{
    if (c->type == DUREQ_SCHEDULE_IMMEDIATE) {
        dq_buf_append_text(out, "once, as soon as it is created");
    } else if (c->type == DUREQ_SCHEDULE_ONE_TIME) {
        dq_buf_append_text(out, "once, at ");
        put_time(out, c, c->once);
    } else if (c->interval) {
        put_interval(out, c);
    } else {
        put_times(out, c);
        if (c->type == DUREQ_SCHEDULE_CRON)
            put_cron_days(out, &c->cron, count_times(c) <= LISTED_MAX);
        else
            put_regular_days(out, c);
        dq_buf_append_fmt(out, ", %s%s", strcmp(dq_zone_name(c->zone), "UTC") == 0 ? "" : "time of ", dq_zone_name(c->zone));
    }
}

void dq_calendar_explain(const dq_calendar *c, int64_t from, dq_buf *out)
{
    size_t begin = out->len;
    char text[DQ_DURATION_TEXT_MAX];

    put_what(out, c);
    if (c->first != INT64_MIN) {
        dq_buf_append_text(out, ", from ");
        put_time(out, c, c->first);
        dq_buf_append_text(out, " on");
    }
    if (c->last != INT64_MAX) {
        dq_buf_append_text(out, ", until ");
        put_time(out, c, c->last);
    }
    if (c->jitter_ms) {
        (void)dq_format_duration_ms(c->jitter_ms, text);
        dq_buf_append_fmt(out, ", each put off by up to %s", text);
    }
    if (c->first_time >= 0 && !c->interval && c->type >= DUREQ_SCHEDULE_CRON)
        put_clock_changes(out, c, from);
    dq_buf_append_char(out, '.');
    if (!dq_buf_failed(out) && out->ptr[begin] >= 'a' && out->ptr[begin] <= 'z')
        out->ptr[begin] = (char)(out->ptr[begin] - 32);
}
