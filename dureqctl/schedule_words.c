/* SPDX-License-Identifier: Apache-2.0 */
/* A schedule in the words of one cell: "0 3 * * * Europe/Berlin", "every 5m", "daily at 09:00,18:00", "every 2 weeks on mon,fri at 10:00". The whole
   sentence is what `schedule explain` says. */
#include "base/str.h"
#include "ctl.h"
#include "model/schedule.h"

/* "1h30m0s" as "1h30m", "2h0m0s" as "2h". */
static void put_length(dq_buf *out, int64_t ms)
{
    char text[DQ_DURATION_TEXT_MAX];
    size_t n = dq_format_duration_ms(ms, text);

    if (n > 3 && memcmp(text + n - 3, "m0s", 3) == 0)
        n -= 2;
    if (n > 3 && memcmp(text + n - 3, "h0m", 3) == 0)
        n -= 2;
    dq_buf_append(out, text, n);
}

static void put_times(dq_buf *out, const dureq_schedule *s)
{
    for (size_t i = 0; i < s->n_at_times; i++) {
        const dureq_at_time *t = &s->at_times[i];

        dq_buf_append_fmt(out, "%s%02d:%02d", i ? "," : " at ", t->hour, t->minute);
        if (t->second)
            dq_buf_append_fmt(out, ":%02d", t->second);
    }
}

static void put_days(dq_buf *out, const dureq_schedule *s)
{
    static const char *const names[] = {"sun", "mon", "tue", "wed", "thu", "fri", "sat"};

    for (size_t i = 0; i < s->n_included_days; i++) {
        int32_t day = s->included_days[i];

        dq_buf_append_text(out, i ? "," : " on ");
        if (s->type == DUREQ_SCHEDULE_WEEKLY && day >= 0 && day < 7)
            dq_buf_append_text(out, names[day]);
        else
            dq_buf_append_fmt(out, "%d", day);
    }
}

static void put_regular(dq_buf *out, const dureq_schedule *s, const char *adverb, const char *units)
{
    if (s->regular_interval > 1)
        dq_buf_append_fmt(out, "every %d %s", s->regular_interval, units);
    else
        dq_buf_append_text(out, adverb);
    put_days(out, s);
    put_times(out, s);
}

static void put_schedule(dq_buf *out, const dureq_schedule *s)
{
    switch (s->type) {
    case DUREQ_SCHEDULE_IMMEDIATE: dq_buf_append_text(out, "at once"); break;
    case DUREQ_SCHEDULE_ONE_TIME: dq_buf_append_text(out, "once"); break;
    case DUREQ_SCHEDULE_DURATION:
        dq_buf_append_text(out, "every ");
        put_length(out, s->interval_ms);
        return; /* which knows no zone */
    case DUREQ_SCHEDULE_CRON: dq_buf_append_text(out, s->cron_expr); break;
    case DUREQ_SCHEDULE_DAILY: put_regular(out, s, "daily", "days"); break;
    case DUREQ_SCHEDULE_WEEKLY: put_regular(out, s, "weekly", "weeks"); break;
    case DUREQ_SCHEDULE_MONTHLY: put_regular(out, s, "monthly", "months"); break;
    }
    if (s->timezone)
        dq_buf_append_fmt(out, " %s", s->timezone);
}

void ctl_append_schedule(dq_buf *out, const dq_json *doc, dq_json_ref v)
{
    dq_arena arena = {0};
    dureq_schedule s;

    if (dq_schedule_from_json(doc, v, &arena, &s, NULL) == 0)
        put_schedule(out, &s);
    else
        dq_buf_append_str(out, dq_json_raw(doc, v)); /* a later version's */
    dq_arena_deinit(&arena);
}
