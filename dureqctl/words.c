/* SPDX-License-Identifier: Apache-2.0 */
/* Words as people write them: times, and a word that is nearly one that is known. */
#include <time.h>

#include "base/clock.h"
#include "base/date.h"
#include "ctl.h"

#define TIME_END_MS (INT64_C(1) << 44) /* what the time of a job has room for */

/* ---- times ---- */

typedef struct day {
    int year, month, day;
} day;

static day day_of(int64_t at_ms, int offset)
{
    time_t at = (time_t)(at_ms / 1000);
    struct tm tm;

    (void)localtime_r(&at, &tm);
    return (day){tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday + offset};
}

/* Of two digits each: "10:00" or "10:00:30". */
static bool read_clock(dureq_str text, int *ret_s)
{
    int64_t parts[3] = {0};
    size_t n = 0;

    for (; n < 3 && text.ptr; n++) {
        dureq_str part = dq_str_cut(&text, ':');

        if (part.len < 1 || part.len > 2 || dq_parse_i64(part, 0, n == 0 ? 23 : 59, &parts[n]) < 0)
            return false;
    }
    *ret_s = (int)(parts[0] * 3600 + parts[1] * 60 + parts[2]);
    return !text.ptr && n >= 2;
}

/* "2026-12-01", or a word. */
static bool read_day(dureq_str text, int64_t now_ms, day *ret)
{
    static const struct {
        const char *word;
        int offset;
    } words[] = {{"yesterday", -1}, {"today", 0}, {"tomorrow", 1}};
    int64_t parts[3];

    for (size_t i = 0; i < DQ_ARRAY_LEN(words); i++)
        if (dq_str_eq_text(text, words[i].word)) {
            *ret = day_of(now_ms, words[i].offset);
            return true;
        }
    if (text.len != 10)
        return false;
    for (size_t i = 0; i < 3; i++)
        if (dq_parse_i64(dq_str_cut(&text, '-'), i ? 1 : 1970, i == 0 ? 9999 : i == 1 ? 12 : 31, &parts[i]) < 0)
            return false;
    *ret = (day){(int)parts[0], (int)parts[1], (int)parts[2]};
    return ret->day <= dq_days_in_month(ret->year, ret->month);
}

/* In the local zone; a time that a change of the clocks leaves out is what mktime makes of it. */
static bool local_ms(day d, int seconds, int64_t *ret)
{
    struct tm tm = {.tm_year = d.year - 1900, .tm_mon = d.month - 1, .tm_mday = d.day, .tm_isdst = -1};
    time_t at;

    tm.tm_hour = seconds / 3600;
    tm.tm_min = seconds / 60 % 60;
    tm.tm_sec = seconds % 60;
    at = mktime(&tm);
    *ret = (int64_t)at * 1000;
    return at > 0;
}

/* A clock time alone is the next one, or where the past is meant, today's. */
static bool read_local(dureq_str text, int64_t now_ms, bool is_past, int64_t *ret)
{
    dureq_str rest = text, first = dq_str_cut(&rest, ' ');
    int seconds = 0;
    day d;

    if (!rest.ptr && read_clock(text, &seconds)) {
        if (!local_ms(day_of(now_ms, 0), seconds, ret))
            return false;
        return is_past || *ret > now_ms || local_ms(day_of(now_ms, 1), seconds, ret);
    }
    if (!read_day(first, now_ms, &d) || (rest.ptr && !read_clock(dq_str_trim(rest), &seconds)))
        return false;
    return local_ms(d, seconds, ret);
}

/* "1h ago", "in 1h", or "1h" alone: then the direction is the option's. */
static bool read_distance(dureq_str text, int64_t now_ms, bool is_past, int64_t *ret)
{
    dureq_str before = text;
    int64_t length_ms;

    if (text.len > 3 && memcmp(text.ptr, "in ", 3) == 0) {
        text = dq_str_trim(dureq_str_of(text.ptr + 3, text.len - 3));
        is_past = false;
    } else if (text.len > 4 && memcmp(text.ptr + text.len - 4, " ago", 4) == 0) {
        text = dq_str_trim(dureq_str_of(before.ptr, before.len - 4));
        is_past = true;
    }
    if (dq_parse_duration_ms(text, &length_ms) < 0 || length_ms < 0)
        return false;
    *ret = is_past ? now_ms - length_ms : now_ms + length_ms;
    return true;
}

int ctl_time(const char *option, const char *text, bool is_past, int64_t *ret_ms)
{
    dureq_str s = dq_str_trim(dureq_str_from(text));
    int64_t now_ms = dq_wall_ms();
    bool good;

    if (!text)
        return 0;
    if (dq_str_eq_text(s, "now")) {
        *ret_ms = now_ms;
        return 0;
    }
    good = dq_parse_rfc3339_ms(s, ret_ms) == 0 || read_distance(s, now_ms, is_past, ret_ms) ||
           read_local(s, now_ms, is_past, ret_ms);
    if (good && *ret_ms >= TIME_END_MS)
        return ctl_usage("--%s takes a time before the year 2527, not '%s'", option, text);
    if (good && *ret_ms > 0)
        return 0;
    return ctl_usage("--%s takes a time%s, not '%s': %s 10:00', '2026-12-01 10:00' (in the local zone), or RFC 3339 such as "
                     "2026-11-23T20:00:00Z",
                     option, good ? " after 1970" : "", text, is_past ? "1h (ago), 'yesterday" : "1h (from now), 'tomorrow");
}

int ctl_time_text(const char *option, const char *text, bool is_past, char out[DQ_RFC3339_TEXT_MAX])
{
    int64_t at_ms = 0;
    int rc = ctl_time(option, text, is_past, &at_ms);

    if (rc == 0)
        (void)dq_format_rfc3339_ms(at_ms, out);
    return rc;
}

/* ---- own words ---- */

typedef struct own_word {
    const char *word, *option;
} own_word;

/* Longer ones first where one begins with another. */
static const own_word own_words[] = {
    {"schedule_to_start_timeout_ms", "--schedule-to-start-timeout"},
    {"retry_policy.initial_delay_ms", "--initial-delay"},
    {"retry_policy.max_attempts", "--max-attempts"},
    {"retry_policy.max_delay_ms", "--max-delay"},
    {"heartbeat_timeout_ms", "--heartbeat-timeout"},
    {"unique_for_ms", "--unique-for"},
    {"retention_ms", "--retention"},
    {"content_type", "--content-type"},
    {"timeout_ms", "--timeout"},
    {"unique_key", "--unique-key"},
    {"request_id", "--request-id"},
    {"run_at_ms", "--at"},
    {"dlq_after", "--dlq-after"},
    {"starts_at", "--starts-at"},
    {"cron_expr", "--cron"},
    {"delay_ms", "--delay"},
    {"ends_at", "--ends-at"},
};

/* Words that mean the option only where they begin the message. */
static const own_word first_words[] = {
    {"cursor ", "--cursor "},     {"delay ", "--delay "},    {"task_type ", "--type "}, {"interval ", "--every "},
    {"timezone:", "--timezone:"}, {"gap:", "--gap:"},        {"gap is ", "--gap is "},  {"a tag ", "--tag "},
    {"tags ", "--tag "},          {"headers ", "--header "},
};

/* Those of which the option is another word. */
static const own_word parameters[] = {{"n", "last"}, {"run_at", "at"}, {"task_type", "type"}, {"task_types", "types"}};

static const own_word *own_word_at(dureq_str msg, const own_word *words, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (dq_str_starts_with(msg, dureq_str_from(words[i].word)))
            return &words[i];
    return NULL;
}

/* "parameter 'unique_key'" or "field 'max_len'" as --unique-key, --max-len: how many bytes that was, 0 when it is none. */
static size_t put_parameter(dureq_str msg, dq_buf *out)
{
    size_t before = dq_str_starts_with(msg, DQ_STR_LIT("parameter '")) ? 11
                    : dq_str_starts_with(msg, DQ_STR_LIT("field '"))   ? 7
                                                                       : 0;
    dureq_str rest = dureq_str_of(msg.ptr + before, msg.len - before), name = dq_str_cut(&rest, '\'');

    if (before == 0 || !rest.ptr)
        return 0;
    dq_buf_append_text(out, "--");
    for (size_t i = 0; i < DQ_ARRAY_LEN(parameters); i++)
        if (dq_str_eq_text(name, parameters[i].word)) {
            dq_buf_append_text(out, parameters[i].option);
            return before + name.len + 1;
        }
    for (size_t i = 0; i < name.len; i++)
        dq_buf_append_char(out, name.ptr[i] == '_' ? '-' : name.ptr[i]);
    return before + name.len + 1;
}

/* What is quoted, with its quotes; 0: nothing is at this place. */
static size_t put_quoted(dureq_str msg, dq_buf *out)
{
    const char *end = msg.ptr[0] == '\'' ? memchr(msg.ptr + 1, '\'', msg.len - 1) : NULL;
    size_t n = end ? (size_t)(end - msg.ptr) + 1 : 0;

    dq_buf_append(out, msg.ptr, n);
    return n;
}

void ctl_own_words(const char *msg, dq_buf *out)
{
    dureq_str rest = dureq_str_from(msg);
    const own_word *w = own_word_at(rest, first_words, DQ_ARRAY_LEN(first_words));
    size_t n;

    for (; rest.len; rest = dureq_str_of(rest.ptr + n, rest.len - n)) {
        if (!w)
            w = own_word_at(rest, own_words, DQ_ARRAY_LEN(own_words));
        if (w) {
            dq_buf_append_text(out, w->option);
            n = strlen(w->word);
            w = NULL;
            continue;
        }
        n = put_parameter(rest, out);
        if (n == 0)
            n = put_quoted(rest, out);
        if (n == 0) {
            dq_buf_append_char(out, rest.ptr[0]);
            n = 1;
        }
    }
}

/* ---- nearly ---- */

#define NEAR_MAX 64 /* longer words are not compared */

/* How many characters are to be put in, taken out, changed, or swapped with the next. */
static unsigned distance(dureq_str a, dureq_str b)
{
    unsigned rows[3][NEAR_MAX + 1];

    for (size_t k = 0; k <= b.len; k++)
        rows[1][k] = (unsigned)k;
    for (size_t i = 1; i <= a.len; i++) {
        unsigned *two = rows[(i + 2) % 3], *last = rows[i % 3], *now = rows[(i + 1) % 3];

        now[0] = (unsigned)i;
        for (size_t k = 1; k <= b.len; k++) {
            bool same = a.ptr[i - 1] == b.ptr[k - 1];

            now[k] = DQ_MIN(DQ_MIN(last[k], now[k - 1]) + 1, last[k - 1] + !same);
            if (i > 1 && k > 1 && a.ptr[i - 1] == b.ptr[k - 2] && a.ptr[i - 2] == b.ptr[k - 1])
                now[k] = DQ_MIN(now[k], two[k - 2] + 1);
        }
    }
    return rows[(a.len + 1) % 3][b.len];
}

void ctl_nearer(ctl_near *n, dureq_str candidate)
{
    unsigned d, limit = n->word.len > 5 ? 2 : 1;

    if (n->word.len == 0 || n->word.len > NEAR_MAX || candidate.len > NEAR_MAX || candidate.len == 0)
        return;
    if (candidate.len > n->word.len && n->word.len > 2 && memcmp(candidate.ptr, n->word.ptr, n->word.len) == 0)
        d = limit; /* its beginning */
    else
        d = distance(n->word, candidate);
    if (d > limit || (n->best.len && d >= n->distance))
        return;
    n->best = candidate;
    n->distance = d;
}

void ctl_did_you_mean(const ctl_near *n, const char *dashes, dq_buf *out)
{
    if (n->best.len)
        dq_buf_append_fmt(out, ": did you mean '%s" DQ_STR_FMT "'?", dashes, DQ_STR_ARG(n->best));
}
