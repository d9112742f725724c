/* SPDX-License-Identifier: Apache-2.0 */
#include "log_out.h"

#include "base/clock.h"
#include "json/json.h"

#include <errno.h>
#include <unistd.h>

const char *dq_log_level_text(dureq_log_level level)
{
    switch (level) {
    case DUREQ_LOG_ERROR: return "error";
    case DUREQ_LOG_WARN: return "warn";
    case DUREQ_LOG_INFO: return "info";
    case DUREQ_LOG_DEBUG: return "debug";
    }
    return "?";
}

/* ---- text ---- */

static void format_text(const dureq_log_record *r, int64_t at_ms, dq_buf *out)
{
    char at[DQ_RFC3339_TEXT_MAX];

    dq_format_rfc3339_ms(at_ms, at);
    dq_buf_append_fmt(out, "%s %-5s %s %s\n", at, dq_log_level_text(r->level), r->event, r->text);
    /* What came from outside may hold control characters, which a terminal would obey. */
    for (size_t i = 0; i + 1 < out->len; i++)
        if ((unsigned char)out->ptr[i] < ' ' || out->ptr[i] == 0x7f)
            out->ptr[i] = '?';
}

/* ---- JSON ---- */

static size_t key_len(dureq_str s)
{
    size_t n = 0;

    while (n < s.len &&
           ((s.ptr[n] >= 'a' && s.ptr[n] <= 'z') || s.ptr[n] == '_' || (n > 0 && s.ptr[n] >= '0' && s.ptr[n] <= '9')))
        n++;
    return n < s.len && s.ptr[n] == '=' ? n : 0;
}

/* The value at the front of *rest: up to a blank, or between quotation marks. */
static dureq_str cut_value(dureq_str *rest)
{
    const char *close;

    if (rest->len == 0 || rest->ptr[0] != '"')
        return dq_str_cut(rest, ' ');
    close = memchr(rest->ptr + 1, '"', rest->len - 1);
    if (!close)
        return dq_str_cut(rest, ' ');

    dureq_str value = dureq_str_of(rest->ptr + 1, (size_t)(close - rest->ptr) - 1);

    *rest = dureq_str_of(close + 1, rest->len - value.len - 2);
    return value;
}

/* "007" and "-0" are names: as numbers they would be others. */
static bool is_written_as_number(dureq_str s)
{
    size_t at = s.len > 0 && s.ptr[0] == '-';

    return s.len > at && (s.ptr[at] != '0' || s.len == 1);
}

static void put_member(dq_json_writer *w, dureq_str key, dureq_str value)
{
    int64_t n;

    dq_json_key_str(w, key);
    if (is_written_as_number(value) && dq_parse_i64(value, INT64_MIN, INT64_MAX, &n) == 0)
        dq_json_put_i64(w, n);
    else
        dq_json_put_str(w, value);
}

static bool is_reserved(dureq_str key)
{
    return dq_str_eq_text(key, "time") || dq_str_eq_text(key, "level") || dq_str_eq_text(key, "event") ||
           dq_str_eq_text(key, "msg");
}

static void put_text_members(dq_json_writer *w, dureq_str rest)
{
    DQ_BUF_AUTO msg = {0};

    while (rest.ptr && rest.len > 0) {
        size_t n = key_len(rest);
        dureq_str key = dureq_str_of(rest.ptr, n);

        if (n > 0 && !is_reserved(key)) {
            rest = dureq_str_of(rest.ptr + n + 1, rest.len - n - 1);
            put_member(w, key, cut_value(&rest));
        } else {
            dureq_str word = dq_str_cut(&rest, ' ');

            if (word.len > 0)
                dq_buf_append_fmt(&msg, "%s" DQ_STR_FMT, msg.len ? " " : "", DQ_STR_ARG(word));
        }
    }
    if (dq_buf_failed(&msg))
        w->out->failed = true; /* no line rather than one without its words */
    if (msg.len > 0) {
        dq_json_set_str(w, "msg", dq_buf_str(&msg));
    }
}

static void format_json(const dureq_log_record *r, int64_t at_ms, dq_buf *out)
{
    dq_json_writer w = dq_json_writer_of(out);

    dq_json_begin_object(&w);
    dq_json_set_rfc3339(&w, "time", at_ms);
    dq_json_set_text(&w, "level", dq_log_level_text(r->level));
    dq_json_set_text(&w, "event", r->event);
    put_text_members(&w, dureq_str_from(r->text));
    dq_json_end_object(&w);
    dq_buf_append_char(out, '\n');
}

void dq_log_out_format(dq_log_format format, const dureq_log_record *record, int64_t at_ms, dq_buf *out)
{
    if (format == DQ_LOG_JSON)
        format_json(record, at_ms, out);
    else
        format_text(record, at_ms, out);
}

void dq_log_out_write(const dureq_log_record *record, void *userdata)
{
    const dq_log_out *o = userdata;
    DQ_BUF_AUTO line = {0};
    dureq_str rest;

    dq_log_out_format(o->format, record, dq_wall_ms(), &line);
    if (line.failed)
        return; /* no memory to say so */
    rest = dq_buf_str(&line);
    while (rest.len > 0) {
        ssize_t n = write(o->fd, rest.ptr, rest.len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return; /* nobody reads the log: nowhere to say so */
        rest = dureq_str_of(rest.ptr + n, rest.len - (size_t)n);
    }
}
