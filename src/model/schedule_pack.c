/* SPDX-License-Identifier: Apache-2.0 */
/* What Redis keeps of schedules, packed (docs/redis-keys.md "Schedules"). Scripts read the head of a definition and all of a state; the calendar part is
   read here only. */

#include "model/schedule.h"

#include "model/id.h"

#define VERSION 1

static void put_be(dq_buf *out, uint64_t v, int n)
{
    for (int i = n - 1; i >= 0; i--)
        dq_buf_append_char(out, (char)(v >> (8 * i)));
}

static void put_text(dq_buf *out, const char *text)
{
    dq_buf_append_lstr(out, dureq_str_from(text));
}

/* ---- when it comes round ---- */

enum { SKIPS_GAP = 1, TAKES_BOTH = 2, HAS_ZONE = 4, HAS_CRON = 8, SKIPS_MISFIRE = 16 };

static void put_lists(dq_buf *out, const dureq_schedule *s)
{
    dq_buf_append_varint(out, s->n_at_times);
    for (size_t i = 0; i < s->n_at_times; i++) {
        const dureq_at_time *t = &s->at_times[i];

        dq_buf_append_varint(out, (uint64_t)t->hour * 3600 + (uint64_t)t->minute * 60 + (uint64_t)t->second);
    }
    dq_buf_append_varint(out, s->n_included_days);
    for (size_t i = 0; i < s->n_included_days; i++)
        dq_buf_append_char(out, (char)s->included_days[i]);
}

void dq_calendar_pack(dq_buf *out, const dureq_schedule *s)
{
    unsigned flags = 0;

    flags |= s->gap == DUREQ_GAP_SKIP ? SKIPS_GAP : 0;
    flags |= s->overlap_hour == DUREQ_OVERLAP_HOUR_BOTH ? TAKES_BOTH : 0;
    flags |= s->timezone ? HAS_ZONE : 0;
    flags |= s->cron_expr ? HAS_CRON : 0;
    flags |= s->misfire == DUREQ_MISFIRE_SKIP ? SKIPS_MISFIRE : 0;
    dq_buf_append_char(out, VERSION);
    dq_buf_append_varint(out, (uint64_t)s->catchup_window_ms);
    dq_buf_append_varint(out, (uint64_t)s->max_backfill_per_tick);
    dq_buf_append_char(out, (char)s->type);
    dq_buf_append_char(out, (char)flags);
    dq_buf_append_varint(out, (uint64_t)s->interval_ms);
    dq_buf_append_varint(out, (uint64_t)s->regular_interval);
    dq_buf_append_varint(out, (uint64_t)s->starts_at_ms);
    dq_buf_append_varint(out, (uint64_t)s->ends_at_ms);
    dq_buf_append_varint(out, (uint64_t)s->jitter_ms);
    put_lists(out, s);
    if (s->timezone)
        put_text(out, s->timezone);
    if (s->cron_expr)
        put_text(out, s->cron_expr);
}

static int read_at_times(dq_reader *r, dq_arena *a, dureq_schedule *s)
{
    uint64_t n = dq_read_varint(r);
    dureq_at_time *times;

    if (r->bad || n > DUREQ_AT_TIMES_MAX)
        return DUREQ_EPROTO;
    times = dq_arena_alloc(a, ((size_t)n + 1) * sizeof *times);
    if (!times)
        return DUREQ_ENOMEM;
    for (size_t i = 0; i < n; i++) {
        uint64_t at = dq_read_varint(r);

        if (at >= 86400)
            return DUREQ_EPROTO;
        times[i] = (dureq_at_time){(int32_t)(at / 3600), (int32_t)(at / 60 % 60), (int32_t)(at % 60)};
    }
    s->at_times = times;
    s->n_at_times = (size_t)n;
    return 0;
}

static int read_days(dq_reader *r, dq_arena *a, dureq_schedule *s)
{
    uint64_t n = dq_read_varint(r);
    int32_t *days;

    if (r->bad || n > 31)
        return DUREQ_EPROTO;
    days = dq_arena_alloc(a, ((size_t)n + 1) * sizeof *days);
    if (!days)
        return DUREQ_ENOMEM;
    for (size_t i = 0; i < n; i++)
        days[i] = dq_read_u8(r);
    s->included_days = days;
    s->n_included_days = (size_t)n;
    return 0;
}

static int read_text(dq_reader *r, dq_arena *a, const char **ret)
{
    dureq_str text = dq_read_lstr(r);

    if (r->bad || memchr(text.ptr, 0, text.len))
        return DUREQ_EPROTO;
    *ret = dq_arena_dup(a, text);
    return *ret ? 0 : DUREQ_ENOMEM;
}

/* Those that are numbers; the flags are returned. */
static unsigned read_numbers(dq_reader *r, dureq_schedule *s)
{
    unsigned flags;

    s->catchup_window_ms = (int64_t)dq_read_varint(r);
    s->max_backfill_per_tick = (int32_t)dq_read_varint(r);
    s->type = (dureq_schedule_type)dq_read_u8(r);
    flags = dq_read_u8(r);
    s->interval_ms = (int64_t)dq_read_varint(r);
    s->regular_interval = (int32_t)dq_read_varint(r);
    s->starts_at_ms = (int64_t)dq_read_varint(r);
    s->ends_at_ms = (int64_t)dq_read_varint(r);
    s->jitter_ms = (int64_t)dq_read_varint(r);
    s->gap = flags & SKIPS_GAP ? DUREQ_GAP_SKIP : DUREQ_GAP_AFTER;
    s->overlap_hour = flags & TAKES_BOTH ? DUREQ_OVERLAP_HOUR_BOTH : DUREQ_OVERLAP_HOUR_FIRST;
    s->misfire = flags & SKIPS_MISFIRE ? DUREQ_MISFIRE_SKIP : DUREQ_MISFIRE_FIRE;
    return flags;
}

int dq_calendar_unpack(dureq_str bytes, dq_arena *a, dureq_schedule *ret)
{
    dq_reader r = dq_reader_of(bytes);
    dureq_schedule s = dureq_schedule_init();
    unsigned flags;
    int rc;

    if (dq_read_u8(&r) != VERSION)
        return bytes.len ? DUREQ_ESCHEMA : DUREQ_EPROTO;
    flags = read_numbers(&r, &s);
    rc = read_at_times(&r, a, &s);
    if (rc == 0)
        rc = read_days(&r, a, &s);
    if (rc == 0 && (flags & HAS_ZONE))
        rc = read_text(&r, a, &s.timezone);
    if (rc == 0 && (flags & HAS_CRON))
        rc = read_text(&r, a, &s.cron_expr);
    if (rc < 0 || r.bad)
        return rc < 0 ? rc : DUREQ_EPROTO;
    rc = dq_schedule_check(&s, NULL);
    if (rc < 0 || !dq_schedule_is_recurring(s.type))
        return DUREQ_EPROTO;
    *ret = s;
    return 0;
}

/* What says how it is made up for what was missed comes first, and is passed over. */
static dureq_str times_of(dureq_str bytes)
{
    dq_reader r = dq_reader_of(bytes);

    (void)dq_read_u8(&r);
    (void)dq_read_varint(&r);
    (void)dq_read_varint(&r);
    return dq_read_rest(&r);
}

bool dq_calendar_is_same(dureq_str one, dureq_str other)
{
    dureq_str a = times_of(one), b = times_of(other);

    if (a.len != b.len || a.len < 2 || a.ptr[0] != b.ptr[0] || ((a.ptr[1] ^ b.ptr[1]) & ~SKIPS_MISFIRE))
        return false;
    return memcmp(a.ptr + 2, b.ptr + 2, a.len - 2) == 0;
}

/* ---- definitions ---- */

#define PAUSES_ON_FAILURE 1

void dq_definition_pack(dq_buf *out, const dq_definition *d)
{
    DQ_BUF_AUTO calendar = {0};

    dq_calendar_pack(&calendar, &d->schedule);
    dq_buf_append_char(out, VERSION);
    dq_buf_append_char(out, (char)d->schedule.overlap_policy);
    dq_buf_append_char(out, d->schedule.pause_on_failure ? PAUSES_ON_FAILURE : 0);
    put_be(out, (uint64_t)d->schedule.max_occurrences, 4);
    put_be(out, d->more_at, 4);
    dq_buf_append_lstr(out, d->lane_name);
    dq_buf_append_lstr(out, d->key);
    dq_buf_append_lstr(out, d->unique_key);
    dq_buf_append_lstr(out, dq_buf_str(&calendar));
    dq_buf_append_str(out, d->j);
    out->failed = out->failed || calendar.failed;
}

int dq_definition_unpack(dureq_str bytes, dq_arena *a, dq_definition *ret)
{
    dq_reader r = dq_reader_of(bytes);
    unsigned policy, flags;
    uint32_t max;
    dureq_str calendar;
    int rc;

    memset(ret, 0, sizeof *ret);
    if (dq_read_u8(&r) != VERSION)
        return bytes.len ? DUREQ_ESCHEMA : DUREQ_EPROTO;
    policy = dq_read_u8(&r);
    flags = dq_read_u8(&r);
    max = (uint32_t)dq_read_be(&r, 4);
    ret->more_at = (uint32_t)dq_read_be(&r, 4);
    ret->lane_name = dq_read_lstr(&r);
    ret->key = dq_read_lstr(&r);
    ret->unique_key = dq_read_lstr(&r);
    calendar = dq_read_lstr(&r);
    ret->j = dq_read_rest(&r);
    if (r.bad || policy > DUREQ_OVERLAP_REPLACE || max > INT32_MAX)
        return DUREQ_EPROTO;
    rc = dq_calendar_unpack(calendar, a, &ret->schedule);
    ret->schedule.overlap_policy = (dureq_overlap)policy;
    ret->schedule.pause_on_failure = flags & PAUSES_ON_FAILURE;
    ret->schedule.max_occurrences = (int32_t)max;
    return rc;
}

/* ---- states, changes that wait, records ---- */

int dq_schedule_state_unpack(dureq_str bytes, dq_schedule_state *ret)
{
    dq_reader r = dq_reader_of(bytes);

    if (dq_read_u8(&r) != VERSION)
        return bytes.len ? DUREQ_ESCHEMA : DUREQ_EPROTO;
    ret->flags = dq_read_u8(&r);
    ret->version = (uint32_t)dq_read_be(&r, 4);
    ret->created_ms = (int64_t)dq_read_be(&r, 6);
    ret->cursor = (int64_t)dq_read_be(&r, 6);
    ret->next = (int64_t)dq_read_be(&r, 6);
    ret->n_taken = (int64_t)dq_read_be(&r, 4);
    ret->n_skipped = (int64_t)dq_read_be(&r, 4);
    return r.bad ? DUREQ_EPROTO : 0;
}

int dq_schedule_edit_unpack(dureq_str bytes, dq_schedule_edit *ret)
{
    dq_reader r = dq_reader_of(bytes);

    ret->at_ms = (int64_t)dq_read_be(&r, 6);
    ret->number = (uint32_t)dq_read_be(&r, 4);
    ret->rest = dq_read_rest(&r);
    return r.bad ? DUREQ_EPROTO : 0;
}

int dq_schedule_record_unpack(dureq_str bytes, dq_schedule_record *ret)
{
    dq_reader r = dq_reader_of(bytes);

    unsigned what = dq_read_u8(&r);
    ret->kind = (dq_record_kind)(what % 4);
    ret->reason = what / 4;
    ret->at_ms = (int64_t)dq_read_be(&r, 6);
    ret->first = ret->last = (int64_t)dq_read_be(&r, 5);
    ret->n = 1;
    ret->job = (dureq_str){0};
    if (ret->kind == DQ_RECORD_FIRED) {
        ret->job = dq_read_rest(&r);
    } else {
        ret->last = (int64_t)dq_read_be(&r, 5);
        ret->n = (int64_t)dq_read_be(&r, 4);
    }
    if (r.bad || ret->kind < DQ_RECORD_FIRED || ret->kind > DQ_RECORD_HELD)
        return DUREQ_EPROTO;
    return 0;
}

const char *dq_schedule_reason(unsigned reason)
{
    static const char *const words[] = {
        "",       "overlap", "buffer_full", "missed", "replaced", "queue_full", "queue_gone",
        "paused", "trigger", "backfill",    "buffer", "no_lane",  "failure",
    };

    return reason < DQ_ARRAY_LEN(words) ? words[reason] : "unknown";
}
