/* SPDX-License-Identifier: Apache-2.0 */

#include "model/schedule.h"

#include <inttypes.h>

#include "base/base.h"
#include "model/job.h"
#include "model/words.h"

#define YEARS_100_MS (INT64_C(100) * 366 * 86400000)
#define TIME_MAX_MS  (INT64_C(1) << 44) /* the year 2527 */

/* ---- words ---- */

static const char *const type_words[] = {
#define X(num, name, text) [num] = text,
    DUREQ_SCHEDULE_TYPE_MAP(X)
#undef X
};

static const char *const gap_words[] = {
#define X(num, name, text) [num] = text,
    DUREQ_GAP_MAP(X)
#undef X
};

static const char *const overlap_hour_words[] = {
#define X(num, name, text) [num] = text,
    DUREQ_OVERLAP_HOUR_MAP(X)
#undef X
};

static const char *const overlap_words[] = {
#define X(num, name, text) [num] = text,
    DUREQ_OVERLAP_MAP(X)
#undef X
};

static const char *const misfire_words[] = {
#define X(num, name, text) [num] = text,
    DUREQ_MISFIRE_MAP(X)
#undef X
};

DQ_DEFINE_WORDS(dureq_schedule_type, type_words)
DQ_DEFINE_WORDS(dureq_gap, gap_words)
DQ_DEFINE_WORDS(dureq_overlap_hour, overlap_hour_words)
DQ_DEFINE_WORDS(dureq_overlap, overlap_words)
DQ_DEFINE_WORDS(dureq_misfire, misfire_words)

/* ---- checks ---- */

#define TYPE(name) (1u << DUREQ_SCHEDULE_##name)
#define CIVIL      (TYPE(DAILY) | TYPE(WEEKLY) | TYPE(MONTHLY))
#define RECURRING  (CIVIL | TYPE(DURATION) | TYPE(CRON))

bool dq_schedule_is_recurring(dureq_schedule_type type)
{
    return (RECURRING >> type) & 1;
}

/* Each field that is set belongs to the type, each that the type needs is set. */
static int check_belongs(const dureq_schedule *s, dureq_error *err)
{
    const struct {
        const char *name;
        bool is_set;
        unsigned types, required;
    } fields[] = {
        {"run_at", s->run_at_ms != 0, TYPE(ONE_TIME), TYPE(ONE_TIME)},
        {"interval", s->interval_ms != 0, TYPE(DURATION), TYPE(DURATION)},
        {"cron_expr", s->cron_expr != NULL, TYPE(CRON), TYPE(CRON)},
        {"regular_interval", s->regular_interval != 0, CIVIL, 0},
        {"at_times", s->n_at_times != 0, CIVIL, CIVIL},
        {"included_days", s->n_included_days != 0, TYPE(WEEKLY) | TYPE(MONTHLY), TYPE(WEEKLY) | TYPE(MONTHLY)},
        {"starts_at", s->starts_at_ms != 0, RECURRING, 0},
        {"ends_at", s->ends_at_ms != 0, RECURRING, 0},
        {"jitter", s->jitter_ms != 0, RECURRING, 0},
        {"gap", s->gap != DUREQ_GAP_AFTER, CIVIL | TYPE(CRON), 0},
        {"overlap_hour", s->overlap_hour != DUREQ_OVERLAP_HOUR_FIRST, CIVIL | TYPE(CRON), 0},
        {"overlap_policy", s->overlap_policy != DUREQ_OVERLAP_ALLOW_ALL, RECURRING, 0},
        {"misfire", s->misfire != DUREQ_MISFIRE_FIRE, RECURRING, 0},
        {"catchup_window", s->catchup_window_ms != 0, RECURRING, 0},
        {"max_backfill_per_tick", s->max_backfill_per_tick != 0, RECURRING, 0},
        {"max_occurrences", s->max_occurrences != 0, RECURRING, 0},
        {"pause_on_failure", s->pause_on_failure, RECURRING, 0},
    };

    for (size_t i = 0; i < DQ_ARRAY_LEN(fields); i++) {
        if (fields[i].is_set && !((fields[i].types >> s->type) & 1))
            return dq_fail(err, DUREQ_EINVAL, "%s is no field of a schedule of type %s", fields[i].name, type_words[s->type]);
        if (!fields[i].is_set && (fields[i].required >> s->type) & 1)
            return dq_fail(err, DUREQ_EINVAL, "%s is missing: a schedule of type %s needs it", fields[i].name,
                           type_words[s->type]);
    }
    return 0;
}

static int check_times(const dureq_schedule *s, dureq_error *err)
{
    const struct {
        const char *name;
        int64_t ms;
    } times[] = {{"run_at", s->run_at_ms}, {"starts_at", s->starts_at_ms}, {"ends_at", s->ends_at_ms}};

    for (size_t i = 0; i < DQ_ARRAY_LEN(times); i++)
        if (times[i].ms < 0 || times[i].ms >= TIME_MAX_MS)
            return dq_fail(err, DUREQ_EINVAL, "%s takes a time from 1970 to 2527", times[i].name);
    if (s->starts_at_ms && s->ends_at_ms && s->ends_at_ms < s->starts_at_ms)
        return dq_fail(err, DUREQ_EINVAL, "ends_at is before starts_at");
    if (s->interval_ms < 0 || s->interval_ms % 1000 || s->interval_ms / 1000 > DQ_SCHEDULE_INTERVAL_MAX_S)
        return dq_fail(err, DUREQ_EINVAL, "interval takes whole seconds, from 1s to 400 years");
    if (s->jitter_ms < 0 || s->jitter_ms > YEARS_100_MS)
        return dq_fail(err, DUREQ_EINVAL, "jitter takes 0 to 100 years");
    return 0;
}

static int check_at_times(const dureq_schedule *s, dureq_error *err)
{
    if (s->n_at_times > DUREQ_AT_TIMES_MAX)
        return dq_fail(err, DUREQ_EINVAL, "at_times takes at most %d times, not %zu", DUREQ_AT_TIMES_MAX, s->n_at_times);
    if (s->n_at_times && !s->at_times)
        return dq_fail(err, DUREQ_EINVAL, "at_times is NULL");
    for (size_t i = 0; i < s->n_at_times; i++) {
        const dureq_at_time *t = &s->at_times[i];

        if (t->hour < 0 || t->hour > 23)
            return dq_fail(err, DUREQ_EINVAL, "at_times[%zu].hour takes 0 to 23, not %d", i, (int)t->hour);
        if (t->minute < 0 || t->minute > 59)
            return dq_fail(err, DUREQ_EINVAL, "at_times[%zu].minute takes 0 to 59, not %d", i, (int)t->minute);
        if (t->second < 0 || t->second > 59)
            return dq_fail(err, DUREQ_EINVAL, "at_times[%zu].second takes 0 to 59, not %d", i, (int)t->second);
    }
    return 0;
}

static int check_days(const dureq_schedule *s, dureq_error *err)
{
    int min = s->type == DUREQ_SCHEDULE_WEEKLY ? 0 : 1, max = s->type == DUREQ_SCHEDULE_WEEKLY ? 6 : 31;

    if (s->n_included_days > 31)
        return dq_fail(err, DUREQ_EINVAL, "included_days takes at most 31 days, not %zu", s->n_included_days);
    if (s->n_included_days && !s->included_days)
        return dq_fail(err, DUREQ_EINVAL, "included_days is NULL");
    for (size_t i = 0; i < s->n_included_days; i++)
        if (s->included_days[i] < min || s->included_days[i] > max)
            return dq_fail(err, DUREQ_EINVAL, "included_days[%zu] takes %s, not %d", i,
                           s->type == DUREQ_SCHEDULE_WEEKLY ? "0 (Sunday) to 6" : "1 to 31", (int)s->included_days[i]);
    return 0;
}

static int check_firing(const dureq_schedule *s, dureq_error *err)
{
    if (s->catchup_window_ms < 0 || s->catchup_window_ms > YEARS_100_MS)
        return dq_fail(err, DUREQ_EINVAL, "catchup_window takes 0 to 100 years");
    if (s->max_backfill_per_tick < 0 || s->max_backfill_per_tick > DUREQ_BACKFILL_MAX)
        return dq_fail(err, DUREQ_EINVAL, "max_backfill_per_tick takes 1 to %d, not %d", DUREQ_BACKFILL_MAX,
                       (int)s->max_backfill_per_tick);
    if (s->max_occurrences < 0)
        return dq_fail(err, DUREQ_EINVAL, "max_occurrences takes 1 or more, not %d", (int)s->max_occurrences);
    return 0;
}

int dq_schedule_check(const dureq_schedule *s, dureq_error *err)
{
    int rc;

    if ((size_t)s->type >= DQ_ARRAY_LEN(type_words) || !type_words[s->type])
        return dq_fail(err, DUREQ_EINVAL, "type takes IMMEDIATE, ONE_TIME, DURATION, CRON, DAILY, WEEKLY or MONTHLY");
    if ((size_t)s->gap >= DQ_ARRAY_LEN(gap_words))
        return dq_fail(err, DUREQ_EINVAL, "gap takes 'after' or 'skip'");
    if ((size_t)s->overlap_hour >= DQ_ARRAY_LEN(overlap_hour_words))
        return dq_fail(err, DUREQ_EINVAL, "overlap_hour takes 'first' or 'both'");
    if ((size_t)s->overlap_policy >= DQ_ARRAY_LEN(overlap_words))
        return dq_fail(err, DUREQ_EINVAL, "overlap_policy takes ALLOW_ALL, SKIP, BUFFER_ONE, BUFFER_ALL or REPLACE");
    if ((size_t)s->misfire >= DQ_ARRAY_LEN(misfire_words))
        return dq_fail(err, DUREQ_EINVAL, "misfire takes 'fire' or 'skip'");
    rc = check_belongs(s, err);
    if (rc == 0)
        rc = check_times(s, err);
    if (rc == 0 && (s->regular_interval < 0 || s->regular_interval > DUREQ_REGULAR_INTERVAL_MAX))
        rc = dq_fail(err, DUREQ_EINVAL, "regular_interval takes 1 to %d, not %d", DUREQ_REGULAR_INTERVAL_MAX,
                     (int)s->regular_interval);
    if (rc == 0)
        rc = check_at_times(s, err);
    if (rc == 0)
        rc = check_firing(s, err);
    return rc < 0 ? rc : check_days(s, err);
}
