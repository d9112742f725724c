/* SPDX-License-Identifier: Apache-2.0 */
/* Which instants a calendar has.

   Local times first: a pattern of days and times of day is asked for the next one, month by month. Then the zone, span by span of constant
   offset: within a span local time runs evenly, so its occurrences are the local times that it has, less those that an earlier span had
   already (one that exists twice is the first of the two, unless both are asked for), and at its beginning, where clocks were set forward,
   one for all local times that were left out. */

#include "calendar/calendar.h"

#include "base/date.h"

#define CYCLE_S \
    INT64_C(12622780800) /* 400 years: then days of the week fall on the same dates again, and so do the rules of zones */
#define CYCLE_MONTHS 4800
#define EARLIEST     INT64_C(-62135596800) /* the year 1 */
#define LATEST       INT64_C(253402300800) /* the year 10000 */
#define NEVER        INT64_MAX

/* ---- local times ---- */

static uint32_t every_nth_day(const dq_calendar *c, int64_t first, int len)
{
    uint32_t set = 0;

    for (int64_t day = 1 + dq_floor_mod(c->anchor_day - first, c->every); day <= len; day += c->every)
        set |= UINT32_C(1) << day;
    return set;
}

static uint32_t days_of_weeks(const dq_calendar *c, int64_t first, int len)
{
    uint32_t set = 0;

    for (int day = 1; day <= len; day++) {
        int64_t n = first + day - 1;

        if (c->included_days >> dq_weekday_of_days(n) & 1 && dq_floor_mod(dq_floor_div(n + 4, 7) - c->anchor_week, c->every) == 0)
            set |= UINT32_C(1) << day;
    }
    return set;
}

/* Bits 1 to 31. */
static uint32_t days_of_month(const dq_calendar *c, int64_t year, int month)
{
    int64_t first;
    int len;

    if (c->type == DUREQ_SCHEDULE_CRON)
        return dq_cron_days(&c->cron, year, month);
    len = dq_days_in_month(year, month);
    if (c->type == DUREQ_SCHEDULE_MONTHLY) {
        bool comes = dq_floor_mod(year * 12 + month - 1 - c->anchor_month, c->every) == 0;

        return comes ? c->included_days & (uint32_t)((UINT64_C(2) << len) - 2) : 0;
    }
    first = dq_days_of_date(year, month, 1);
    return c->type == DUREQ_SCHEDULE_DAILY ? every_nth_day(c, first, len) : days_of_weeks(c, first, len);
}

/* The first second of a day at or after `from` that fits; -1 when there is none. */
static int32_t time_of_day(const dq_calendar *c, int32_t from)
{
    int32_t best = INT32_MAX;

    if (from <= c->first_time)
        return c->first_time;
    if (c->type == DUREQ_SCHEDULE_CRON)
        return dq_cron_second_of_day(&c->cron, from);
    for (size_t i = 0; i < c->n_at_times; i++) {
        int32_t t = c->at_times[i].hour * 3600 + c->at_times[i].minute * 60 + c->at_times[i].second;

        if (t >= from)
            best = DQ_MIN(best, t);
    }
    return best == INT32_MAX ? -1 : best;
}

/* The first local time at or after this one that fits; NEVER when there is none within 400 years. */
static int64_t next_local(const dq_calendar *c, int64_t local)
{
    int64_t day = dq_floor_div(local, DQ_DAY_S);
    int32_t time = time_of_day(c, (int32_t)(local - day * DQ_DAY_S));
    dq_date d = dq_date_of_days(day);
    uint32_t days = days_of_month(c, d.year, d.month);

    if (time >= 0 && days >> d.day & 1)
        return day * DQ_DAY_S + time;
    days &= ~(uint32_t)((UINT64_C(2) << d.day) - 1);
    for (int i = 0; i <= CYCLE_MONTHS; i++) {
        if (days)
            return dq_days_of_date(d.year, d.month, __builtin_ctz(days)) * DQ_DAY_S + c->first_time;
        d.year += d.month == 12;
        d.month = d.month % 12 + 1;
        days = days_of_month(c, d.year, d.month);
    }
    return NEVER;
}

/* ---- spans of constant offset ---- */

/* Whether a local time that fits was left out when this span began, by this change of the clocks and no earlier one. */
static bool fires_after_gap(const dq_calendar *c, const dq_zone_span *s)
{
    int64_t local = next_local(c, s->start + s->offset_before);

    while (local < s->start + s->offset) {
        dq_zone_instants i = dq_zone_instants_of(c->zone, local);

        if (i.n == 0 && i.first == s->start)
            return true;
        local = next_local(c, DQ_MAX(i.until, local + 1));
    }
    return false;
}

/* The first local time at or after this one that fits and, if only the first of two counts, is not the second; it may lie beyond the span. */
static int64_t next_in_span(const dq_calendar *c, const dq_zone_span *s, int64_t local)
{
    for (;;) {
        dq_zone_instants i;

        local = next_local(c, local);
        if (local == NEVER || c->takes_both || s->start == INT64_MIN || local - s->offset >= s->end ||
            local - s->offset >= s->start + DQ_ZONE_SHIFT_S)
            return local;
        i = dq_zone_instants_of(c->zone, local);
        if (i.first == local - s->offset)
            return local;
        local = DQ_MAX(i.until, local + 1);
    }
}

/* Spans are left out only when they hold nothing for certain. Two days and a bit after `from` every local time is later than it was
   there, and until as much before `local`, the next that fits, every local time is earlier. */
static int64_t skip_to(const dq_zone_span *s, int64_t from, int64_t local, int64_t until)
{
    int64_t sure = local == NEVER ? until + 1 : local - DQ_ZONE_SHIFT_S / 2;

    return s->end >= from + DQ_ZONE_SHIFT_S && sure > s->end ? sure : s->end;
}

static bool next_civil(const dq_calendar *c, int64_t after, int64_t *ret)
{
    int64_t from = after + 1, until = DQ_MIN(after + CYCLE_S + 2 * DQ_ZONE_SHIFT_S, c->last);

    while (from <= until) {
        dq_zone_span s = dq_zone_span_at(c->zone, from);
        int64_t local;

        if (s.start == from && s.offset > s.offset_before && !c->skips_gap && fires_after_gap(c, &s)) {
            *ret = from;
            return true;
        }
        local = next_in_span(c, &s, from + s.offset);
        if (local != NEVER && local - s.offset < s.end) {
            *ret = local - s.offset;
            return true;
        }
        if (s.end == INT64_MAX)
            return false;
        from = skip_to(&s, from, local, until);
    }
    return false;
}

static bool next_of_interval(const dq_calendar *c, int64_t after, int64_t *ret)
{
    int64_t n = after < c->origin ? 0 : (after - c->origin) / c->interval + 1;

    *ret = c->origin + n * c->interval;
    return true;
}

bool dq_calendar_next(const dq_calendar *c, int64_t after, int64_t *ret)
{
    int64_t at;
    bool found;

    after = DQ_MAX(after, EARLIEST);
    if (c->first != INT64_MIN)
        after = DQ_MAX(after, c->first - 1);
    if (after >= c->last || after >= LATEST)
        return false;
    if (c->type == DUREQ_SCHEDULE_IMMEDIATE || c->type == DUREQ_SCHEDULE_ONE_TIME) {
        at = c->once;
        found = at > after;
    } else {
        found = c->interval ? next_of_interval(c, after, &at) : next_civil(c, after, &at);
    }
    if (!found || at > c->last)
        return false;
    *ret = at;
    return true;
}

/* There is one in (before, at] exactly while `before` is before the newest: doubling finds a bound, halving the instant. */
bool dq_calendar_newest(const dq_calendar *c, int64_t at, int64_t *ret)
{
    dq_calendar until = *c; /* whose search ends at `at` */
    int64_t none = at, some = at - 1, found;

    until.last = DQ_MIN(c->last, at);
    while (!dq_calendar_next(&until, some, &found)) {
        if (some <= at - CYCLE_S || some < EARLIEST || some < c->first)
            return false;
        none = some;
        some = at - (at - some) * 2;
    }
    while (none - some > 1) {
        int64_t mid = some + (none - some) / 2;

        if (dq_calendar_next(&until, mid, &found))
            some = mid;
        else
            none = mid;
    }
    *ret = none;
    return true;
}

int64_t dq_calendar_count(const dq_calendar *c, int64_t after, int64_t until, int64_t cap)
{
    int64_t n = 0;

    while (n < cap && dq_calendar_next(c, after, &after) && after <= until)
        n++;
    return n;
}

/* ---- never ---- */

static int fail_no_day(const dq_calendar *c, dureq_error *err)
{
    if (c->type != DUREQ_SCHEDULE_CRON)
        return dq_fail(err, DUREQ_EINVAL, "included_days never comes: no month that regular_interval comes to has such a day");
    return dq_fail(err, DUREQ_EINVAL,
                   "cron_expr, column %zu: it never fires: in 400 years no day has this day of month, month and day of week",
                   c->cron.day_column);
}

int dq_calendar_check_fires(const dq_calendar *c, int64_t after, dureq_error *err)
{
    dq_calendar endless = *c;
    char text[DQ_RFC3339_TEXT_MAX];
    int64_t at;

    if (dq_calendar_next(c, after, &at))
        return 0;
    if (c->type == DUREQ_SCHEDULE_IMMEDIATE || c->type == DUREQ_SCHEDULE_ONE_TIME)
        return dq_fail(err, DUREQ_EINVAL, "run_at is in the past");
    endless.last = INT64_MAX;
    if (dq_calendar_next(&endless, after, &at)) {
        (void)dq_format_rfc3339_ms(at * 1000, text);
        return dq_fail(err, DUREQ_EINVAL, "ends_at is before the next occurrence, which would be %s", text);
    }
    after = DQ_MAX(after, c->first == INT64_MIN ? after : c->first);
    if (next_local(c, after) == NEVER)
        return fail_no_day(c, err);
    return dq_fail(err, DUREQ_EINVAL, "gap: 'skip' leaves out every occurrence: in %s clocks are always set forward over them",
                   dq_zone_name(c->zone));
}

/* ---- jitter ---- */

/* Evenly over what is left of the jitter: a hash's upper bits times the room, so that no remainder favours the low ones. */
int64_t dq_calendar_due_ms(const dq_calendar *c, dureq_str schedule_id, int64_t occurrence)
{
    int64_t room = c->jitter_ms, next;
    unsigned char bytes[16];
    uint64_t hash = dq_hash_bytes(schedule_id.ptr, schedule_id.len);

    if (dq_calendar_next(c, occurrence, &next))
        room = DQ_MIN(room, (next - occurrence) * 1000);
    if (c->last != INT64_MAX)
        room = DQ_MIN(room, (c->last - occurrence) * 1000 + 1);
    if (room <= 0)
        return occurrence * 1000;
    for (int i = 0; i < 8; i++) {
        bytes[i] = (unsigned char)(hash >> (8 * i));
        bytes[8 + i] = (unsigned char)((uint64_t)occurrence >> (8 * i));
    }
    hash = dq_hash_bytes(bytes, sizeof bytes);
    return occurrence * 1000 + (int64_t)(((unsigned __int128)hash * (uint64_t)room) >> 64);
}
