/* SPDX-License-Identifier: Apache-2.0 */
/* Definitions of schedules from JSON and to it. One table says which fields there are; what their values may be is checked where every
   definition is (schedule.c). */

#include <stdio.h>

#include "model/fields.h"
#include "model/schedule.h"

/* Text of a string, to be looked up; `takes` is what it may be. */
static int word_of(const dq_fields_reading *r, const dq_field *f, dq_json_ref v, const char *takes, dureq_str *ret)
{
    if (dq_json_type_of(r->doc, v) != DQ_JSON_STRING)
        return dq_field_fail_type(r, f, v, takes);
    return dq_field_string_of(r, v, ret);
}

/* read_<what>: a field that takes a word of an enumeration. */
#define WORD_READER(what, type, takes_words)                                                                  \
    static int read_##what(const dq_fields_reading *r, const dq_field *f, dq_json_ref v, void *target)        \
    {                                                                                                         \
        static const char takes[] = takes_words;                                                              \
        dureq_str text;                                                                                       \
        int rc = word_of(r, f, v, takes, &text);                                                              \
                                                                                                              \
        if (rc < 0)                                                                                           \
            return rc;                                                                                        \
        return type##_parse(text, DQ_FIELD_AT(type, f, target)) < 0 ? dq_field_fail_type(r, f, v, takes) : 0; \
    }
WORD_READER(type, dureq_schedule_type, "IMMEDIATE, ONE_TIME, DURATION, CRON, DAILY, WEEKLY or MONTHLY")
WORD_READER(gap, dureq_gap, "\"after\" or \"skip\"")
WORD_READER(overlap_hour, dureq_overlap_hour, "\"first\" or \"both\"")
WORD_READER(overlap, dureq_overlap, "ALLOW_ALL, SKIP, BUFFER_ONE, BUFFER_ALL or REPLACE")
WORD_READER(misfire, dureq_misfire, "\"fire\" or \"skip\"")
#undef WORD_READER

static int read_flag(const dq_fields_reading *r, const dq_field *f, dq_json_ref v, void *target)
{
    dq_json_type type = dq_json_type_of(r->doc, v);

    if (type != DQ_JSON_TRUE && type != DQ_JSON_FALSE)
        return dq_field_fail_type(r, f, v, "true or false");
    *DQ_FIELD_AT(bool, f, target) = type == DQ_JSON_TRUE;
    return 0;
}

/* An interval of none would pass for one that was left out. */
static int read_interval(const dq_fields_reading *r, const dq_field *f, dq_json_ref v, void *target)
{
    int64_t ms;

    if (!dq_field_duration_of(r, v, &ms) || ms == 0)
        return dq_field_fail_type(r, f, v, "a duration of whole seconds, at least \"1s\"");
    *DQ_FIELD_AT(int64_t, f, target) = ms;
    return 0;
}

static int read_at_time(const dq_fields_reading *list, size_t i, dq_json_ref v, dureq_at_time *ret)
{
    static const dq_field fields[] = {
        {"hour", dq_field_read_i32, offsetof(dureq_at_time, hour), 0, 23, false},
        {"minute", dq_field_read_i32, offsetof(dureq_at_time, minute), 0, 59, false},
        {"second", dq_field_read_i32, offsetof(dureq_at_time, second), 0, 59, false},
    };
    char parent[40];
    dq_fields_reading r = {list->doc, list->arena, parent, list->err};

    (void)snprintf(parent, sizeof parent, "at_times[%zu].", i);
    return dq_fields_read(&r, v, fields, DQ_ARRAY_LEN(fields), ret);
}

static int read_at_times(const dq_fields_reading *r, const dq_field *f, dq_json_ref v, void *target)
{
    static const char takes[] = "an array of objects with hour, minute and second";
    dureq_schedule *s = target;
    dureq_at_time *times;
    size_t n = 0;

    if (dq_json_type_of(r->doc, v) != DQ_JSON_ARRAY)
        return dq_field_fail_type(r, f, v, takes);
    times = dq_arena_alloc(r->arena, (r->doc->nodes[v].n + (size_t)1) * sizeof *times);
    if (!times)
        return dq_fail_nomem(r->err);
    for (dq_json_ref at = dq_json_first(r->doc, v); at != DQ_JSON_NONE; at = dq_json_next(r->doc, v, at)) {
        int rc = dq_json_type_of(r->doc, at) == DQ_JSON_OBJECT ? read_at_time(r, n, at, &times[n])
                                                               : dq_field_fail_type(r, f, at, takes);

        if (rc < 0)
            return rc;
        n++;
    }
    s->at_times = times;
    s->n_at_times = n;
    return 0;
}

static int read_days(const dq_fields_reading *r, const dq_field *f, dq_json_ref v, void *target)
{
    dureq_schedule *s = target;
    int32_t *days;
    size_t n = 0;

    if (dq_json_type_of(r->doc, v) != DQ_JSON_ARRAY)
        return dq_field_fail_type(r, f, v, "an array of numbers");
    days = dq_arena_alloc(r->arena, (r->doc->nodes[v].n + (size_t)1) * sizeof *days);
    if (!days)
        return dq_fail_nomem(r->err);
    for (dq_json_ref at = dq_json_first(r->doc, v); at != DQ_JSON_NONE; at = dq_json_next(r->doc, v, at)) {
        int64_t day;

        if (dq_json_i64(r->doc, at, &day) < 0 || day < 0 || day > 31)
            return dq_field_fail_type(r, f, at, "days: 0 (Sunday) to 6 of a week, 1 to 31 of a month");
        days[n++] = (int32_t)day;
    }
    s->included_days = days;
    s->n_included_days = n;
    return 0;
}

#define AT(member) offsetof(dureq_schedule, member)

static const dq_field table[] = {
    {"at_times", read_at_times, 0, 0, 0, false},
    {"catchup_window", dq_field_read_duration, AT(catchup_window_ms), 0, 0, false},
    {"cron_expr", dq_field_read_text, AT(cron_expr), 0, 0, false},
    {"ends_at", dq_field_read_time, AT(ends_at_ms), 0, 0, false},
    {"gap", read_gap, AT(gap), 0, 0, false},
    {"included_days", read_days, 0, 0, 0, false},
    {"interval", read_interval, AT(interval_ms), 0, 0, false},
    {"jitter", dq_field_read_duration, AT(jitter_ms), 0, 0, false},
    {"max_backfill_per_tick", dq_field_read_i32, AT(max_backfill_per_tick), 1, DUREQ_BACKFILL_MAX, false},
    {"max_occurrences", dq_field_read_i32, AT(max_occurrences), 1, INT32_MAX, false},
    {"misfire", read_misfire, AT(misfire), 0, 0, false},
    {"overlap_hour", read_overlap_hour, AT(overlap_hour), 0, 0, false},
    {"overlap_policy", read_overlap, AT(overlap_policy), 0, 0, false},
    {"pause_on_failure", read_flag, AT(pause_on_failure), 0, 0, false},
    {"regular_interval", dq_field_read_i32, AT(regular_interval), 1, DUREQ_REGULAR_INTERVAL_MAX, false},
    {"run_at", dq_field_read_time, AT(run_at_ms), 0, 0, false},
    {"starts_at", dq_field_read_time, AT(starts_at_ms), 0, 0, false},
    {"timezone", dq_field_read_text, AT(timezone), 0, 0, false},
    {"type", read_type, AT(type), 0, 0, false},
};

int dq_schedule_from_json(const dq_json *doc, dq_json_ref v, dq_arena *a, dureq_schedule *ret, dureq_error *err)
{
    dureq_schedule s = dureq_schedule_init();
    dq_fields_reading r = {doc, a, "", err};
    int rc;

    if (dq_json_type_of(doc, v) != DQ_JSON_OBJECT)
        return dq_fail(err, DUREQ_EINVAL, "a schedule is an object, not %s", dq_json_type_name(dq_json_type_of(doc, v)));
    rc = dq_fields_read(&r, v, table, DQ_ARRAY_LEN(table), &s);
    if (rc < 0)
        return rc;
    if (!s.type)
        return dq_fail(err, DUREQ_EINVAL, "field 'type' is missing");
    rc = dq_schedule_check(&s, err);
    if (rc < 0)
        return rc;
    *ret = s;
    return 0;
}

/* ---- to JSON ---- */

static void put_time(dq_json_writer *w, const char *name, int64_t at_ms)
{
    if (!at_ms)
        return;
    dq_json_key(w, name);
    dq_json_put_rfc3339(w, at_ms);
}

static void put_duration(dq_json_writer *w, const char *name, int64_t ms)
{
    char text[DQ_DURATION_TEXT_MAX];

    if (!ms)
        return;
    (void)dq_format_duration_ms(ms, text);
    dq_json_key(w, name);
    dq_json_put_text(w, text);
}

static void put_text(dq_json_writer *w, const char *name, const char *text)
{
    if (!text)
        return;
    dq_json_key(w, name);
    dq_json_put_text(w, text);
}

static void put_number(dq_json_writer *w, const char *name, int32_t n)
{
    if (!n)
        return;
    dq_json_key(w, name);
    dq_json_put_i64(w, n);
}

static void put_at_times(dq_json_writer *w, const dureq_schedule *s)
{
    dq_json_key(w, "at_times");
    dq_json_begin_array(w);
    for (size_t i = 0; i < s->n_at_times; i++) {
        dq_json_begin_object(w);
        dq_json_key(w, "hour");
        dq_json_put_i64(w, s->at_times[i].hour);
        dq_json_key(w, "minute");
        dq_json_put_i64(w, s->at_times[i].minute);
        dq_json_key(w, "second");
        dq_json_put_i64(w, s->at_times[i].second);
        dq_json_end_object(w);
    }
    dq_json_end_array(w);
}

static void put_days(dq_json_writer *w, const dureq_schedule *s)
{
    dq_json_key(w, "included_days");
    dq_json_begin_array(w);
    for (size_t i = 0; i < s->n_included_days; i++)
        dq_json_put_i64(w, s->included_days[i]);
    dq_json_end_array(w);
}

static void put_firing(dq_json_writer *w, const dureq_schedule *s)
{
    if (s->overlap_policy != DUREQ_OVERLAP_ALLOW_ALL)
        put_text(w, "overlap_policy", dureq_overlap_to_str(s->overlap_policy));
    if (s->misfire != DUREQ_MISFIRE_FIRE)
        put_text(w, "misfire", dureq_misfire_to_str(s->misfire));
    put_duration(w, "catchup_window", s->catchup_window_ms);
    put_number(w, "max_backfill_per_tick", s->max_backfill_per_tick);
    put_number(w, "max_occurrences", s->max_occurrences);
    if (s->pause_on_failure) {
        dq_json_key(w, "pause_on_failure");
        dq_json_put_bool(w, true);
    }
}

void dq_schedule_to_json(const dureq_schedule *s, dq_json_writer *w)
{
    dq_json_begin_object(w);
    put_text(w, "type", dureq_schedule_type_to_str(s->type));
    put_time(w, "run_at", s->run_at_ms);
    put_duration(w, "interval", s->interval_ms);
    put_text(w, "cron_expr", s->cron_expr);
    put_number(w, "regular_interval", s->regular_interval);
    if (s->n_at_times)
        put_at_times(w, s);
    if (s->n_included_days)
        put_days(w, s);
    put_time(w, "starts_at", s->starts_at_ms);
    put_time(w, "ends_at", s->ends_at_ms);
    put_text(w, "timezone", s->timezone);
    put_duration(w, "jitter", s->jitter_ms);
    if (s->gap != DUREQ_GAP_AFTER)
        put_text(w, "gap", dureq_gap_to_str(s->gap));
    if (s->overlap_hour != DUREQ_OVERLAP_HOUR_FIRST)
        put_text(w, "overlap_hour", dureq_overlap_hour_to_str(s->overlap_hour));
    put_firing(w, s);
    dq_json_end_object(w);
}
