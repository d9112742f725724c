/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A schedule as a list of instants: (definition, anchor, time zone) to strictly increasing Unix seconds, and nothing else. No clock, no
   state, no end that is waited for: every call comes back within a scan of 400 years, after which the calendar repeats itself.

       dq_calendar c;
       dq_calendar_compile(&c, &definition, created_at_ms, err);    all that can be wrong without the zone
       ... the zone named c.zone_name is read ...
       dq_calendar_use_zone(&c, zone);                              again when its file has changed
       dq_calendar_next(&c, after, &at);
       dq_calendar_deinit(&c);
*/

#include <dureq/schedule.h>

#include "base/buf.h"

#include "calendar/cron.h"
#include "calendar/zone.h"

typedef struct dq_calendar {
    dureq_schedule_type type;
    dureq_str zone_name; /* a view of the definition's text, or "UTC" */
    dq_zone *zone;       /* a reference; NULL until dq_calendar_use_zone */
    int64_t anchor;      /* starts_at, else when it was created */
    int64_t first, last; /* no occurrence before, none after; INT64_MIN, INT64_MAX: not bounded */
    int64_t once;        /* IMMEDIATE, ONE_TIME: the occurrence */
    int64_t interval;    /* DURATION, @every: seconds, which know no zone; else 0 */
    int64_t origin;      /* the first of them */
    dq_cron cron;
    const dureq_at_time *at_times; /* the definition's */
    size_t n_at_times;
    uint32_t included_days;                        /* bits */
    int64_t every;                                 /* regular_interval */
    int64_t anchor_day, anchor_week, anchor_month; /* the anchor's local date */
    int32_t first_time;                            /* of a day that fits: second of the day */
    bool skips_gap;                                /* a local time that does not exist is left out */
    bool takes_both;                               /* one that exists twice is two occurrences */
    int64_t jitter_ms;
} dq_calendar;

/* The definition must outlive the calendar: texts and lists are borrowed. created_at_ms is the anchor of intervals that have no starts_at.
   DUREQ_EINVAL names the field and what it takes, in a cron_expr also the column. */
int dq_calendar_compile(dq_calendar *ret, const dureq_schedule *s, int64_t created_at_ms, dureq_error *err);
void dq_calendar_use_zone(dq_calendar *c, dq_zone *zone);
void dq_calendar_deinit(dq_calendar *c);

/* The first occurrence after this instant; false when there is none (within 400 years). */
bool dq_calendar_next(const dq_calendar *c, int64_t after, int64_t *ret);
/* The last occurrence at or before this instant, found without walking over those between; false when there is none in the 400 years. */
bool dq_calendar_newest(const dq_calendar *c, int64_t at, int64_t *ret);
/* How many there are after `after` up to `until`, at most `cap`: counting costs one step each. */
int64_t dq_calendar_count(const dq_calendar *c, int64_t after, int64_t until, int64_t cap);
/* 0 when there is an occurrence after this instant; else DUREQ_EINVAL with the field that forbids it and why. */
int dq_calendar_check_fires(const dq_calendar *c, int64_t after, dureq_error *err);

/* When an occurrence is due, in ms: put off evenly by less than jitter_ms, by a hash of the schedule's id and the occurrence, but neither
   up to the next occurrence nor beyond ends_at. */
int64_t dq_calendar_due_ms(const dq_calendar *c, dureq_str schedule_id, int64_t occurrence);

#define DQ_CALENDAR_TEXT_MAX 40
/* RFC 3339 in the zone's time, "2026-03-08T03:00:00-04:00"; with Z in UTC, and where an offset has seconds, which RFC 3339 cannot say. */
void dq_calendar_format(const dq_zone *zone, int64_t at, char out[DQ_CALENDAR_TEXT_MAX]);
/* The definition as one English sentence. `from`: what is said of daylight saving time is true of the years after it. */
void dq_calendar_explain(const dq_calendar *c, int64_t from, dq_buf *out);
