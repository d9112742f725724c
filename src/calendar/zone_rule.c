/* SPDX-License-Identifier: Apache-2.0 */

#include "calendar/zone_rule.h"

#include "base/date.h"

/* ---- text ---- */

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool cut_char(dureq_str *s, char c)
{
    if (s->len == 0 || s->ptr[0] != c)
        return false;
    *s = dureq_str_of(s->ptr + 1, s->len - 1);
    return true;
}

/* "EST" or "<+0330>": at least three characters. */
static int cut_name(dureq_str *s)
{
    bool quoted = cut_char(s, '<');
    size_t n = 0;

    while (n < s->len && (is_letter(s->ptr[n]) || (quoted && (is_digit(s->ptr[n]) || s->ptr[n] == '+' || s->ptr[n] == '-'))))
        n++;
    if (n < 3)
        return DUREQ_EPARSE;
    *s = dureq_str_of(s->ptr + n, s->len - n);
    return !quoted || cut_char(s, '>') ? 0 : DUREQ_EPARSE;
}

static int cut_number(dureq_str *s, int min, int max, int *ret)
{
    int v = 0;
    size_t n = 0;

    for (; n < s->len && n < 4 && is_digit(s->ptr[n]); n++)
        v = v * 10 + (s->ptr[n] - '0');
    if (n == 0 || v < min || v > max)
        return DUREQ_EPARSE;
    *s = dureq_str_of(s->ptr + n, s->len - n);
    *ret = v;
    return 0;
}

/* "[+-]hh[:mm[:ss]]" */
static int cut_time(dureq_str *s, int max_hours, int32_t *ret)
{
    bool negative = cut_char(s, '-');
    int parts[3] = {0};

    if (!negative)
        (void)cut_char(s, '+');
    for (size_t i = 0; i < DQ_ARRAY_LEN(parts); i++) {
        if (i > 0 && !cut_char(s, ':'))
            break;
        if (cut_number(s, 0, i == 0 ? max_hours : 59, &parts[i]) < 0)
            return DUREQ_EPARSE;
    }
    *ret = parts[0] * 3600 + parts[1] * 60 + parts[2];
    if (negative)
        *ret = -*ret;
    return 0;
}

static int cut_weekday(dureq_str *s, dq_rule_day *ret)
{
    ret->kind = DQ_RULE_WEEKDAY;
    if (cut_number(s, 1, 12, &ret->month) < 0 || !cut_char(s, '.') || cut_number(s, 1, 5, &ret->week) < 0 || !cut_char(s, '.'))
        return DUREQ_EPARSE;
    return cut_number(s, 0, 6, &ret->day);
}

/* ",M3.2.0/2", ",J60", ",59/-1:30" */
static int cut_day(dureq_str *s, dq_rule_day *ret)
{
    int rc;

    if (!cut_char(s, ','))
        return DUREQ_EPARSE;
    *ret = (dq_rule_day){.kind = DQ_RULE_ZERO_BASED, .time = 2 * 3600};
    if (cut_char(s, 'M')) {
        rc = cut_weekday(s, ret);
    } else if (cut_char(s, 'J')) {
        ret->kind = DQ_RULE_JULIAN;
        rc = cut_number(s, 1, 365, &ret->day);
    } else {
        rc = cut_number(s, 0, 365, &ret->day);
    }
    if (rc == 0 && cut_char(s, '/'))
        rc = cut_time(s, 167, &ret->time);
    return rc;
}

/* Offsets are west of UTC in the text. */
int dq_zone_rule_parse(dureq_str text, dq_zone_rule *ret)
{
    dq_zone_rule r = {0};
    int32_t west;

    if (cut_name(&text) < 0 || cut_time(&text, 24, &west) < 0)
        return DUREQ_EPARSE;
    r.std = r.dst = -west;
    if (text.len == 0) {
        *ret = r;
        return 0;
    }
    if (cut_name(&text) < 0)
        return DUREQ_EPARSE;
    r.has_dst = true;
    r.dst = r.std + 3600;
    if (text.len && text.ptr[0] != ',') {
        if (cut_time(&text, 24, &west) < 0)
            return DUREQ_EPARSE;
        r.dst = -west;
    }
    if (cut_day(&text, &r.start) < 0 || cut_day(&text, &r.end) < 0 || text.len)
        return DUREQ_EPARSE;
    *ret = r;
    return 0;
}

/* ---- instants ---- */

static int64_t day_in_year(const dq_rule_day *d, int64_t year)
{
    int64_t first, day;

    switch (d->kind) {
    case DQ_RULE_JULIAN: return dq_days_of_date(year, 1, 1) + d->day - 1 + (d->day >= 60 && dq_days_in_month(year, 2) == 29);
    case DQ_RULE_ZERO_BASED: return dq_days_of_date(year, 1, 1) + d->day;
    case DQ_RULE_WEEKDAY: break;
    }
    first = dq_days_of_date(year, d->month, 1);
    day = first + dq_floor_mod(d->day - dq_weekday_of_days(first), 7) + (int64_t)(d->week - 1) * 7;
    return day >= first + dq_days_in_month(year, d->month) ? day - 7 : day; /* week 5 is the last one */
}

typedef struct change {
    int64_t at;
    int32_t offset; /* from then on */
} change;

/* A year's two changes in order. */
static void changes_of_year(const dq_zone_rule *r, int64_t year, change ret[2])
{
    change start = {day_in_year(&r->start, year) * DQ_DAY_S + r->start.time - r->std, r->dst};
    change end = {day_in_year(&r->end, year) * DQ_DAY_S + r->end.time - r->dst, r->std};
    bool start_is_first = start.at <= end.at;

    ret[0] = start_is_first ? start : end;
    ret[1] = start_is_first ? end : start;
}

/* Hours up to 167 may move a change into the year before or after, and a year whose saving time ends with it has its last change at the
   instant of the next one's first. Hence five years, of which the first and the last change only tell what is beyond the others; and of
   two changes at one instant the later counts. */
dq_zone_span dq_zone_rule_span_at(const dq_zone_rule *r, int64_t at)
{
    dq_zone_span span = {.start = INT64_MIN, .end = INT64_MAX, .offset = r->std, .offset_before = r->std};
    int64_t year;
    change c[10];

    if (!r->has_dst || r->dst == r->std)
        return span;
    year = dq_date_of_days(dq_floor_div(at, DQ_DAY_S)).year;
    for (int i = 0; i < 5; i++)
        changes_of_year(r, year - 2 + i, &c[2 * (size_t)i]);
    span.offset = span.offset_before = c[0].offset;
    for (size_t i = 1; i + 1 < DQ_ARRAY_LEN(c); i++) {
        if (c[i + 1].at <= c[i].at || c[i].offset == span.offset)
            continue;
        if (c[i].at > at) {
            span.end = c[i].at;
            break;
        }
        span.start = c[i].at;
        span.offset_before = span.offset;
        span.offset = c[i].offset;
    }
    return span;
}
