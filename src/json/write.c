/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "json/json.h"
#include "json/scan.h"

#define DEPTH_MAX 63

dq_json_writer dq_json_writer_of(dq_buf *out)
{
    return (dq_json_writer){.out = out};
}

static void before_value(dq_json_writer *w)
{
    if (w->after_key) {
        w->after_key = false;
        return;
    }
    if (w->has_items & UINT64_C(1) << w->depth)
        dq_buf_append_char(w->out, ',');
    w->has_items |= UINT64_C(1) << w->depth;
}

static void begin(dq_json_writer *w, char c)
{
    before_value(w);
    dq_buf_append_char(w->out, c);
    if (w->depth == DEPTH_MAX) {
        w->out->failed = true; /* deeper than any document of ours: fails like memory */
        return;
    }
    w->depth++;
    w->has_items &= ~(UINT64_C(1) << w->depth);
}

static void end(dq_json_writer *w, char c)
{
    if (w->depth)
        w->depth--;
    dq_buf_append_char(w->out, c);
}

void dq_json_begin_object(dq_json_writer *w)
{
    begin(w, '{');
}

void dq_json_end_object(dq_json_writer *w)
{
    end(w, '}');
}

void dq_json_begin_array(dq_json_writer *w)
{
    begin(w, '[');
}

void dq_json_end_array(dq_json_writer *w)
{
    end(w, ']');
}

static void append_escaped(dq_buf *out, unsigned char c)
{
    static const char from[] = "\b\f\n\r\t\"\\", to[] = "bfnrt\"\\";
    const char *at = c ? strchr(from, c) : NULL;

    if (at)
        dq_buf_append_fmt(out, "\\%c", to[at - from]);
    else
        dq_buf_append_fmt(out, "\\u%04x", c);
}

static void append_quoted(dq_buf *out, dureq_str s)
{
    const char *p = s.len ? s.ptr : "", *stop = p + s.len, *plain = p;

    dq_buf_append_char(out, '"');
    while (p < stop) {
        unsigned char c = (unsigned char)*p;
        size_t len = c < 0x80 ? 1 : dq_utf8_len(p, stop);

        if (len && c >= ' ' && c != '"' && c != '\\') {
            p += len;
            continue;
        }
        dq_buf_append(out, plain, (size_t)(p - plain));
        if (len == 0)
            dq_buf_append_text(out, "\xef\xbf\xbd"); /* U+FFFD */
        else
            append_escaped(out, c);
        plain = ++p;
    }
    dq_buf_append(out, plain, (size_t)(p - plain));
    dq_buf_append_char(out, '"');
}

void dq_json_key_str(dq_json_writer *w, dureq_str name)
{
    before_value(w);
    append_quoted(w->out, name);
    dq_buf_append_char(w->out, ':');
    w->after_key = true;
}

void dq_json_key(dq_json_writer *w, const char *name)
{
    dq_json_key_str(w, dureq_str_from(name));
}

void dq_json_put_str(dq_json_writer *w, dureq_str text)
{
    before_value(w);
    append_quoted(w->out, text);
}

void dq_json_put_text(dq_json_writer *w, const char *text)
{
    dq_json_put_str(w, dureq_str_from(text));
}

void dq_json_put_i64(dq_json_writer *w, int64_t v)
{
    before_value(w);
    dq_buf_append_i64(w->out, v);
}

void dq_json_put_f64(dq_json_writer *w, double v)
{
    char text[DQ_F64_TEXT_MAX];

    before_value(w);
    if (isfinite(v))
        dq_buf_append(w->out, text, dq_format_f64(v, text));
    else
        dq_buf_append_text(w->out, "null");
}

void dq_json_put_bool(dq_json_writer *w, bool v)
{
    before_value(w);
    dq_buf_append_text(w->out, v ? "true" : "false");
}

void dq_json_put_null(dq_json_writer *w)
{
    before_value(w);
    dq_buf_append_text(w->out, "null");
}

void dq_json_put_raw(dq_json_writer *w, dureq_str json)
{
    before_value(w);
    dq_buf_append_str(w->out, json);
}

void dq_json_put_checked(dq_json_writer *w, dureq_str json)
{
    if (dq_json_valid(json))
        dq_json_put_raw(w, json);
    else
        dq_json_put_str(w, json);
}

void dq_json_put_base64(dq_json_writer *w, dureq_str bytes)
{
    before_value(w);
    dq_buf_append_char(w->out, '"');
    dq_base64_encode(w->out, bytes);
    dq_buf_append_char(w->out, '"');
}

void dq_json_put_rfc3339(dq_json_writer *w, int64_t at_ms)
{
    char text[DQ_RFC3339_TEXT_MAX];

    dq_json_put_str(w, dureq_str_of(text, dq_format_rfc3339_ms(at_ms, text)));
}

/* ---- members ---- */

#define SETTER(what, type)                                               \
    void dq_json_set_##what(dq_json_writer *w, const char *name, type v) \
    {                                                                    \
        dq_json_key(w, name);                                            \
        dq_json_put_##what(w, v);                                        \
    }
SETTER(str, dureq_str)
SETTER(text, const char *)
SETTER(i64, int64_t)
SETTER(f64, double)
SETTER(bool, bool)
SETTER(raw, dureq_str)
SETTER(rfc3339, int64_t)
#undef SETTER
