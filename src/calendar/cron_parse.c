/* SPDX-License-Identifier: Apache-2.0 */
/* Cron expressions: fields by blanks, items by commas, and in an item a value, a range or a star, with a step; the two day fields have
   forms of their own. Whatever is refused is refused with its column, counted from 1 in the text as it was given. */

#include <stdarg.h>
#include <stdio.h>

#include "calendar/cron.h"

typedef enum field_id { SECOND, MINUTE, HOUR, DAY, MONTH, WEEKDAY, N_FIELDS } field_id;

typedef struct field {
    const char *name, *takes;
    int min, max;
    int end;           /* where a star and a/n end: 7 is only another word for Sunday */
    const char *words; /* three letters each */
    int first_word;
} field;

static const field fields[] = {
    [SECOND] = {"second", "0 to 59", 0, 59, 59, "", 0},
    [MINUTE] = {"minute", "0 to 59", 0, 59, 59, "", 0},
    [HOUR] = {"hour", "0 to 23", 0, 23, 23, "", 0},
    [DAY] = {"day of month", "1 to 31", 1, 31, 31, "", 0},
    [MONTH] = {"month", "1 to 12 or JAN to DEC", 1, 12, 12, "JANFEBMARAPRMAYJUNJULAUGSEPOCTNOVDEC", 1},
    [WEEKDAY] = {"day of week", "0 to 7 (0 and 7 are Sunday) or SUN to SAT", 0, 7, 6, "SUNMONTUEWEDTHUFRISAT", 0},
};

typedef struct parser {
    dureq_str text;
    dureq_error *err;
    dq_cron *cron;
    field_id id;
    const field *f;
    uint64_t set; /* of the field that is read */
} parser;

#define SHOWN_MAX 32

/* What the user wrote, short and printable. */
static const char *shown(dureq_str s, char room[SHOWN_MAX + 4])
{
    size_t n = DQ_MIN(s.len, (size_t)SHOWN_MAX);

    for (size_t i = 0; i < n; i++)
        room[i] = s.ptr[i] >= ' ' && s.ptr[i] < 127 ? s.ptr[i] : '?';
    memcpy(room + n, s.len > n ? "..." : "", s.len > n ? 4 : 1);
    return room;
}

static size_t column_of(const parser *p, const char *at)
{
    return (size_t)(at - p->text.ptr) + 1;
}

#define FAIL_AT(p, at, ...) fail_at((p), column_of((p), (at)), __VA_ARGS__)

static int fail_at(const parser *p, size_t column, const char *fmt, ...) DUREQ_PRINTF(3, 4);

static int fail_at(const parser *p, size_t column, const char *fmt, ...)
{
    char what[DUREQ_ERROR_MSG_MAX];
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(what, sizeof what, fmt, args);
    va_end(args);
    return dq_fail(p->err, DUREQ_EINVAL, "cron_expr, column %zu: %s", column, what);
}

static int fail_value(const parser *p, dureq_str s)
{
    char room[SHOWN_MAX + 4];

    if (p->id == WEEKDAY && s.len == 4 && (s.ptr[0] == '1' || s.ptr[0] == '2'))
        return FAIL_AT(p, s.ptr, "a year field ('%s') is not taken: bound the schedule by starts_at and ends_at", shown(s, room));
    return FAIL_AT(p, s.ptr, "%s takes %s, not '%s'", p->f->name, p->f->takes, shown(s, room));
}

/* ---- letters ---- */

static char upper(char c)
{
    return c >= 'a' && c <= 'z' ? (char)(c - 32) : c;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool same_word(dureq_str s, const char *word)
{
    size_t len = strlen(word);

    if (s.len != len)
        return false;
    for (size_t i = 0; i < len; i++)
        if (upper(s.ptr[i]) != upper(word[i]))
            return false;
    return true;
}

static dureq_str behind(dureq_str s, size_t n)
{
    return dureq_str_of(s.ptr + n, s.len - n);
}

/* Up to four digits; -1 for anything else. */
static int number_of(dureq_str s)
{
    int v = 0;

    if (s.len == 0 || s.len > 4)
        return -1;
    for (size_t i = 0; i < s.len; i++) {
        if (!is_digit(s.ptr[i]))
            return -1;
        v = v * 10 + (s.ptr[i] - '0');
    }
    return v;
}

/* ---- values, ranges, steps ---- */

static int parse_value(const parser *p, dureq_str s, int *ret)
{
    int v = number_of(s);

    if (s.len == 3 && *p->f->words)
        for (int i = 0; p->f->words[3 * i]; i++)
            if (upper(s.ptr[0]) == p->f->words[3 * i] && upper(s.ptr[1]) == p->f->words[3 * i + 1] &&
                upper(s.ptr[2]) == p->f->words[3 * i + 2])
                v = p->f->first_word + i;
    if (v < p->f->min || v > p->f->max)
        return fail_value(p, s);
    *ret = v;
    return 0;
}

static int parse_step(const parser *p, dureq_str s, int *ret)
{
    int n = number_of(s), max = p->f->end - p->f->min + 1;
    char room[SHOWN_MAX + 4];

    if (n < 1 || n > max)
        return FAIL_AT(p, s.ptr, "the step of %s takes 1 to %d, not '%s'", p->f->name, max, shown(s, room));
    *ret = n;
    return 0;
}

static void put_range(char *out, size_t cap, int from, int to, int step)
{
    if (from == to)
        (void)snprintf(out, cap, "%d", from);
    else if (step == 1)
        (void)snprintf(out, cap, "%d-%d", from, to);
    else
        (void)snprintf(out, cap, "%d-%d/%d", from, to, step);
}

/* Says how to write it: to the end, and on from the beginning with the step kept. */
static int fail_backwards(const parser *p, dureq_str range, int from, int to, int step)
{
    int size = p->f->end - p->f->min + 1, end = p->f->end;
    int on = from + (end - from + step) / step * step - size; /* the first one from the beginning */
    char room[SHOWN_MAX + 4], head[32], tail[32];

    if (from > end) { /* 7-1 */
        put_range(head, sizeof head, p->f->min, to, step);
        return FAIL_AT(p, range.ptr, "%s range '%s' runs backwards: write '%s'", p->f->name, shown(range, room), head);
    }
    put_range(head, sizeof head, from, from + (end - from) / step * step, step);
    put_range(tail, sizeof tail, on, DQ_MAX(on, on + (to - on) / step * step), step);
    if (on > to)
        return FAIL_AT(p, range.ptr, "%s range '%s' runs backwards: write '%s'", p->f->name, shown(range, room), head);
    return FAIL_AT(p, range.ptr, "%s range '%s' runs backwards: write '%s,%s'", p->f->name, shown(range, room), head, tail);
}

static void add_range(parser *p, int from, int to, int step)
{
    for (int v = from; v <= to; v += step)
        p->set |= UINT64_C(1) << (p->id == WEEKDAY ? v % 7 : v);
}

/* "a", "a-b", "*" or "?", then "/n" or nothing. */
static int parse_plain(parser *p, dureq_str item)
{
    dureq_str step_text = item, base = dq_str_cut(&step_text, '/'), to_text = base, from_text;
    int from = p->f->min, to = p->f->end, step = 1, rc = 0;

    if (step_text.ptr) {
        rc = parse_step(p, step_text, &step);
        if (rc < 0)
            return rc;
    }
    if (dq_str_eq_text(base, "*")) {
        add_range(p, from, to, step);
        return 0;
    }
    from_text = dq_str_cut(&to_text, '-');
    rc = parse_value(p, from_text, &from);
    if (rc < 0)
        return rc;
    if (to_text.ptr)
        rc = parse_value(p, to_text, &to);
    else if (!step_text.ptr)
        to = from;
    else if (from > to) /* 7/2: from Sunday on */
        from = p->f->min;
    if (rc < 0)
        return rc;
    if (from > to)
        return fail_backwards(p, base, from, to, step);
    add_range(p, from, to, step);
    return 0;
}

/* ---- forms of the two day fields ---- */

/* "L", "L-3", "LW" */
static int parse_last_day(parser *p, dureq_str item)
{
    int n;
    char room[SHOWN_MAX + 4];

    if (item.len == 1) {
        p->cron->days_from_end |= 1;
        return 0;
    }
    if (same_word(item, "LW")) {
        p->cron->last_workday = true;
        return 0;
    }
    n = item.ptr[1] == '-' ? number_of(behind(item, 2)) : -1;
    if (n < 1 || n > 30)
        return FAIL_AT(p, item.ptr,
                       "day of month takes L (the last day), L-1 to L-30 (days before it) or LW (the last weekday), not '%s'",
                       shown(item, room));
    p->cron->days_from_end |= 1u << n;
    return 0;
}

static int parse_day(parser *p, dureq_str item)
{
    int n;
    char room[SHOWN_MAX + 4];

    if (upper(item.ptr[0]) == 'L')
        return parse_last_day(p, item);
    if (upper(item.ptr[item.len - 1]) != 'W')
        return parse_plain(p, item);
    n = number_of(dureq_str_of(item.ptr, item.len - 1));
    if (n < 1 || n > 31)
        return FAIL_AT(p, item.ptr, "day of month takes 1W to 31W (the weekday nearest to that day) or LW, not '%s'",
                       shown(item, room));
    p->cron->days_on_weekday |= 1u << n;
    return 0;
}

static int parse_weekday(parser *p, dureq_str item)
{
    dureq_str nth_text = item, day_text = dq_str_cut(&nth_text, '#');
    char room[SHOWN_MAX + 4];
    int day = 0, nth, rc;

    if (same_word(item, "L"))
        return FAIL_AT(p, item.ptr, "day of week takes L with a day, such as 6L (the last Saturday), not 'L' alone");
    if (!nth_text.ptr && upper(item.ptr[item.len - 1]) != 'L')
        return parse_plain(p, item);
    if (!nth_text.ptr)
        day_text = dureq_str_of(item.ptr, item.len - 1);
    rc = parse_value(p, day_text, &day);
    if (rc < 0)
        return rc;
    if (!nth_text.ptr) {
        p->cron->last_weekdays |= (uint8_t)(1u << day % 7);
        return 0;
    }
    nth = number_of(nth_text);
    if (nth < 1 || nth > 5)
        return FAIL_AT(p, nth_text.ptr, "day of week takes #1 to #5 (the first to the fifth of the month), not '#%s'",
                       shown(nth_text, room));
    p->cron->nth_weekdays[nth - 1] |= (uint8_t)(1u << day % 7);
    return 0;
}

/* ---- fields ---- */

static int parse_item(parser *p, dureq_str item)
{
    bool is_day = p->id == DAY || p->id == WEEKDAY;

    if (item.len == 0)
        return FAIL_AT(p, item.ptr, "%s has an empty item in its list: it takes %s", p->f->name, p->f->takes);
    if (item.ptr[0] == '?') {
        if (!is_day)
            return FAIL_AT(p, item.ptr, "%s takes no '?', which is for the two day fields: write '*'", p->f->name);
        if (item.len > 1)
            return FAIL_AT(p, item.ptr, "'?' of %s stands alone: for steps write '*'", p->f->name);
        add_range(p, p->f->min, p->f->end, 1);
        return 0;
    }
    if (p->id == DAY)
        return parse_day(p, item);
    return p->id == WEEKDAY ? parse_weekday(p, item) : parse_plain(p, item);
}

static void store_set(parser *p, bool free)
{
    dq_cron *c = p->cron;

    switch (p->id) {
    case SECOND: c->seconds = p->set; break;
    case MINUTE: c->minutes = p->set; break;
    case HOUR:
        c->hours = (uint32_t)p->set;
        c->follows_elapsed_time = free;
        break;
    case DAY:
        c->days = (uint32_t)p->set;
        c->any_day = free;
        break;
    case MONTH: c->months = (uint16_t)p->set; break;
    case WEEKDAY:
        c->weekdays = (uint8_t)p->set;
        c->any_weekday = free;
        break;
    case N_FIELDS: break;
    }
}

static int parse_field(parser *p, field_id id, dureq_str text)
{
    bool free = text.ptr[0] == '*' || text.ptr[0] == '?';

    p->id = id;
    p->f = &fields[id];
    p->set = 0;
    while (text.ptr) {
        dureq_str item = dq_str_cut(&text, ',');
        int rc = parse_item(p, item);

        if (rc < 0)
            return rc;
    }
    store_set(p, free);
    return 0;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static dureq_str cut_word(dureq_str *rest)
{
    size_t from = 0, to;
    dureq_str word;

    while (from < rest->len && is_blank(rest->ptr[from]))
        from++;
    for (to = from; to < rest->len && !is_blank(rest->ptr[to]);)
        to++;
    word = dureq_str_of(rest->ptr + from, to - from);
    *rest = behind(*rest, to);
    return word;
}

static int parse_fields(parser *p, dureq_str rest)
{
    dureq_str words[N_FIELDS];
    size_t n = 0;

    for (;;) {
        dureq_str word = cut_word(&rest);

        if (word.len == 0)
            break;
        if (n == N_FIELDS)
            return FAIL_AT(p, word.ptr, "a seventh field (a year) is not taken: bound the schedule by starts_at and ends_at");
        words[n++] = word;
    }
    if (n < 5)
        return FAIL_AT(p, rest.ptr,
                       "%zu field%s: it takes five (minute, hour, day of month, month, day of week), or six with seconds first",
                       n, n == 1 ? "" : "s");
    p->cron->has_seconds = n == N_FIELDS;
    p->cron->seconds = 1;
    if (words[0].ptr >= p->text.ptr && words[0].ptr < p->text.ptr + p->text.len) /* @daily has its fields elsewhere */
        p->cron->day_column = column_of(p, words[n - 3].ptr);
    for (size_t i = 0; i < n; i++) {
        int rc = parse_field(p, (field_id)(i + (n == N_FIELDS ? 0 : 1)), words[i]);

        if (rc < 0)
            return rc;
    }
    return 0;
}

/* ---- @daily, @every, and the zone before it ---- */

static int parse_every(parser *p, dureq_str rest, const char *end)
{
    dureq_str text = cut_word(&rest);
    int64_t ms;
    char room[SHOWN_MAX + 4];

    if (text.len == 0)
        return FAIL_AT(p, end, "@every takes a duration such as 1h30m");
    if (cut_word(&rest).len)
        return FAIL_AT(p, text.ptr, "@every takes one duration such as 1h30m");
    if (dq_parse_duration_ms(text, &ms) < 0 || ms < 1000 || ms % 1000)
        return FAIL_AT(p, text.ptr, "@every takes a duration of whole seconds, at least 1s, such as 1h30m, not '%s'",
                       shown(text, room));
    if (ms > DQ_CRON_EVERY_MAX_S * 1000)
        return FAIL_AT(p, text.ptr, "@every takes at most 400 years, not '%s'", shown(text, room));
    p->cron->every_s = ms / 1000;
    return 0;
}

static int parse_word(parser *p, dureq_str rest)
{
    static const struct {
        const char *name, *means;
    } words[] = {
        {"@yearly", "0 0 1 1 *"}, {"@annually", "0 0 1 1 *"}, {"@monthly", "0 0 1 * *"}, {"@weekly", "0 0 * * 0"},
        {"@daily", "0 0 * * *"},  {"@midnight", "0 0 * * *"}, {"@hourly", "0 * * * *"},
    };
    dureq_str word = cut_word(&rest), more;
    const char *end = p->text.ptr + p->text.len;
    char room[SHOWN_MAX + 4];

    if (same_word(word, "@every"))
        return parse_every(p, rest, end);
    if (same_word(word, "@reboot"))
        return FAIL_AT(p, word.ptr, "@reboot is not taken: a schedule has times of its own and does not follow a machine");
    more = cut_word(&rest);
    for (size_t i = 0; i < DQ_ARRAY_LEN(words); i++) {
        if (!same_word(word, words[i].name))
            continue;
        if (more.len)
            return FAIL_AT(p, more.ptr, "nothing may follow %s", words[i].name);
        return parse_fields(p, dureq_str_from(words[i].means));
    }
    return FAIL_AT(p, word.ptr,
                   "'%s' is none of @yearly, @annually, @monthly, @weekly, @daily, @midnight, @hourly and @every DURATION",
                   shown(word, room));
}

static int parse_zone(parser *p, dureq_str *rest)
{
    dureq_str after = *rest, word = cut_word(&after), name = word, key = dq_str_cut(&name, '=');

    if (!name.ptr || !(dq_str_eq_text(key, "TZ") || dq_str_eq_text(key, "CRON_TZ")))
        return 0;
    if (name.len == 0)
        return FAIL_AT(p, name.ptr, "%.*s= takes a time zone such as Europe/Berlin", (int)key.len, key.ptr);
    p->cron->zone = name;
    p->cron->zone_column = column_of(p, name.ptr);
    *rest = after;
    return 0;
}

int dq_cron_parse(dureq_str text, dq_cron *ret, dureq_error *err)
{
    dq_cron c = {0};
    parser p = {.text = text, .err = err, .cron = &c};
    dureq_str rest = text, first;
    int rc;

    if (text.len == 0 || text.len > DQ_CRON_TEXT_MAX)
        return dq_fail(err, DUREQ_EINVAL, "cron_expr takes 1 to %d bytes, such as '30 9 * * MON-FRI'", DQ_CRON_TEXT_MAX);
    rc = parse_zone(&p, &rest);
    if (rc < 0)
        return rc;
    first = rest;
    first = cut_word(&first);
    rc = first.len && first.ptr[0] == '@' ? parse_word(&p, rest) : parse_fields(&p, rest);
    if (rc < 0)
        return rc;
    *ret = c;
    return 0;
}
