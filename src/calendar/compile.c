/* SPDX-License-Identifier: Apache-2.0 */
/* A definition made ready to compute with. */

#include "calendar/calendar.h"

#include "base/date.h"
#include "model/job.h"
#include "model/schedule.h"

static int64_t ceil_s(int64_t ms)
{
    return -dq_floor_div(-ms, 1000);
}

/* UTC unless the definition says otherwise, in one of two places or in both alike. */
static int find_zone_name(dq_calendar *c, const dureq_schedule *s, dureq_error *err)
{
    dureq_str named = dureq_str_from(s->timezone), in_cron = c->cron.zone;
    dureq_error why = {0};

    if (in_cron.len && s->timezone && !dq_str_eq(named, in_cron))
        return dq_fail(err, DUREQ_EINVAL,
                       "cron_expr, column %zu: its time zone '%.*s' is not the '%.60s' of timezone: give one of them",
                       c->cron.zone_column, (int)DQ_MIN(in_cron.len, (size_t)60), in_cron.ptr, s->timezone);
    c->zone_name = s->timezone ? named : in_cron.len ? in_cron : DQ_STR_LIT("UTC");
    if (dq_zone_name_check(c->zone_name, &why) == 0)
        return 0;
    if (s->timezone)
        return dq_fail(err, DUREQ_EINVAL, "timezone: %s", why.msg);
    return dq_fail(err, DUREQ_EINVAL, "cron_expr, column %zu: %s", c->cron.zone_column, why.msg);
}

static void set_interval(dq_calendar *c, int64_t interval, bool from_start)
{
    c->interval = interval;
    c->origin = from_start ? c->anchor : c->anchor + interval;
}

static int32_t first_of_at_times(const dureq_schedule *s)
{
    int32_t first = INT32_MAX;

    for (size_t i = 0; i < s->n_at_times; i++)
        first = DQ_MIN(first, s->at_times[i].hour * 3600 + s->at_times[i].minute * 60 + s->at_times[i].second);
    return first;
}

static int take_cron(dq_calendar *c, const dureq_schedule *s, dureq_error *err)
{
    int rc = dq_cron_parse(dureq_str_from(s->cron_expr), &c->cron, err);

    if (rc < 0)
        return rc;
    if (c->cron.every_s) {
        set_interval(c, c->cron.every_s, s->starts_at_ms != 0);
        return 0;
    }
    c->first_time = dq_cron_second_of_day(&c->cron, 0);
    if (c->cron.follows_elapsed_time)
        c->skips_gap = c->takes_both = true;
    return 0;
}

static void take_days(dq_calendar *c, const dureq_schedule *s)
{
    c->at_times = s->at_times;
    c->n_at_times = s->n_at_times;
    c->first_time = first_of_at_times(s);
    c->every = s->regular_interval ? s->regular_interval : 1;
    for (size_t i = 0; i < s->n_included_days; i++)
        c->included_days |= UINT32_C(1) << s->included_days[i];
}

int dq_calendar_compile(dq_calendar *ret, const dureq_schedule *given, int64_t created_at_ms, dureq_error *err)
{
    dq_calendar c = {0};
    dureq_schedule s;
    int rc = dq_options_adopt(&s, sizeof s, given, "schedule", err);

    if (rc == 0)
        rc = dq_schedule_check(&s, err);
    if (rc < 0)
        return rc;
    c.type = s.type;
    c.anchor = s.starts_at_ms ? ceil_s(s.starts_at_ms) : dq_floor_div(created_at_ms, 1000);
    c.first = s.starts_at_ms ? c.anchor : INT64_MIN;
    c.last = s.ends_at_ms ? dq_floor_div(s.ends_at_ms, 1000) : INT64_MAX;
    c.jitter_ms = s.jitter_ms;
    c.skips_gap = s.gap == DUREQ_GAP_SKIP;
    c.takes_both = s.overlap_hour == DUREQ_OVERLAP_HOUR_BOTH;
    switch (s.type) {
    case DUREQ_SCHEDULE_IMMEDIATE: c.once = c.anchor; break;
    case DUREQ_SCHEDULE_ONE_TIME: c.once = ceil_s(s.run_at_ms); break;
    case DUREQ_SCHEDULE_DURATION: set_interval(&c, s.interval_ms / 1000, s.starts_at_ms != 0); break;
    case DUREQ_SCHEDULE_CRON: rc = take_cron(&c, &s, err); break;
    case DUREQ_SCHEDULE_DAILY:
    case DUREQ_SCHEDULE_WEEKLY:
    case DUREQ_SCHEDULE_MONTHLY: take_days(&c, &s); break;
    }
    if (rc == 0)
        rc = find_zone_name(&c, &s, err);
    if (rc < 0)
        return rc;
    *ret = c;
    return 0;
}

/* Days, weeks (from Sunday) and months are counted from the anchor's date where the schedule lives. */
void dq_calendar_use_zone(dq_calendar *c, dq_zone *zone)
{
    int64_t day = dq_floor_div(c->anchor + dq_zone_offset_at(zone, c->anchor), DQ_DAY_S);
    dq_date d = dq_date_of_days(day);
    dq_zone *before = c->zone;

    c->zone = dq_zone_ref(zone);
    dq_zone_unref(before);
    c->anchor_day = day;
    c->anchor_week = dq_floor_div(day + 4, 7);
    c->anchor_month = d.year * 12 + d.month - 1;
}

void dq_calendar_deinit(dq_calendar *c)
{
    dq_zone_unref(c->zone);
    *c = (dq_calendar){0};
}
