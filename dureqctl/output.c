/* SPDX-License-Identifier: Apache-2.0 */
/* Answers as table, JSON, NDJSON or CSV. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/clock.h"
#include "ctl.h"

#define CELL_MAX 60 /* bytes of a value shown in a table */

static void put_line(dureq_str s)
{
    fwrite(s.ptr, 1, s.len, stdout);
    fputc('\n', stdout);
}

/* "3m ago", "in 20s". */
static void append_age(dq_buf *out, int64_t at_ms)
{
    static const struct {
        int64_t ms;
        char unit;
    } units[] = {{86400000, 'd'}, {3600000, 'h'}, {60000, 'm'}, {1000, 's'}};
    int64_t ago = dq_wall_ms() - at_ms, len = ago < 0 ? -ago : ago;

    for (size_t i = 0; i < DQ_ARRAY_LEN(units); i++)
        if (len >= units[i].ms || i + 1 == DQ_ARRAY_LEN(units)) {
            dq_buf_append_fmt(out, ago < 0 ? "in %" PRId64 "%c" : "%" PRId64 "%c ago", len / units[i].ms, units[i].unit);
            return;
        }
}

/* A value as people read it: strings without quotes, times as ages, the rest as JSON. */
static void append_value(dq_buf *out, const dq_json *doc, dq_json_ref v, ctl_kind kind)
{
    int64_t at_ms;

    if (v == DQ_JSON_NONE || dq_json_type_of(doc, v) == DQ_JSON_NULL)
        return;
    if (dq_json_type_of(doc, v) != DQ_JSON_STRING) {
        dq_buf_append_str(out, dq_json_raw(doc, v));
        return;
    }
    if (kind == CTL_TIME) {
        DQ_BUF_AUTO text = {0};

        (void)dq_json_string(doc, v, &text); /* a string, as seen above */
        if (dq_parse_rfc3339_ms(dq_buf_str(&text), &at_ms) == 0) {
            append_age(out, at_ms);
            return;
        }
    }
    (void)dq_json_string(doc, v, out);
}

static dq_json_ref cell(const dq_json *doc, dq_json_ref row, const ctl_column *col)
{
    return dq_json_type_of(doc, row) == DQ_JSON_OBJECT ? dq_json_member(doc, row, col->name) : DQ_JSON_NONE;
}

/* Control characters would break lines or drive the terminal: they become blanks. */
static void clean(dq_buf *b)
{
    for (size_t i = 0; i < b->len; i++)
        if ((unsigned char)b->ptr[i] < ' ' || b->ptr[i] == 127)
            b->ptr[i] = ' ';
}

static void table_cell(dq_buf *out, const dq_json *doc, dq_json_ref row, const ctl_column *col)
{
    dq_buf_clear(out);
    append_value(out, doc, cell(doc, row, col), col->kind);
    clean(out);
    if (out->len > CELL_MAX) {
        out->len = CELL_MAX - 3;
        while (out->len && ((unsigned char)out->ptr[out->len] & 0xc0) == 0x80) /* not inside a character */
            out->len--;
        out->ptr[out->len] = '\0';
        dq_buf_append_text(out, "...");
    }
}

static void pad(size_t n)
{
    while (n--)
        fputc(' ', stdout);
}

static void print_table(const dq_json *doc, dq_json_ref list, const ctl_column *columns)
{
    DQ_BUF_AUTO text = {0};
    size_t width[32] = {0}, n = 0;

    for (; columns[n].title && n < DQ_ARRAY_LEN(width); n++)
        width[n] = strlen(columns[n].title);
    for (dq_json_ref row = dq_json_first(doc, list); row != DQ_JSON_NONE; row = dq_json_next(doc, list, row))
        for (size_t i = 0; i < n; i++) {
            table_cell(&text, doc, row, &columns[i]);
            width[i] = DQ_MAX(width[i], text.len);
        }
    for (size_t i = 0; i < n; i++) {
        if (columns[i].kind == CTL_NUMBER)
            pad(width[i] - strlen(columns[i].title));
        fputs(columns[i].title, stdout);
        if (columns[i].kind != CTL_NUMBER && i + 1 < n)
            pad(width[i] - strlen(columns[i].title));
        fputs(i + 1 < n ? "  " : "\n", stdout);
    }
    for (dq_json_ref row = dq_json_first(doc, list); row != DQ_JSON_NONE; row = dq_json_next(doc, list, row))
        for (size_t i = 0; i < n; i++) {
            table_cell(&text, doc, row, &columns[i]);
            if (columns[i].kind == CTL_NUMBER)
                pad(width[i] - text.len);
            fwrite(text.ptr ? text.ptr : "", 1, text.len, stdout);
            if (columns[i].kind != CTL_NUMBER && i + 1 < n)
                pad(width[i] - text.len);
            fputs(i + 1 < n ? "  " : "\n", stdout);
        }
}

/* RFC 4180: quoted when needed, quotes doubled. */
static void csv_field(const dq_buf *text)
{
    dureq_str s = dq_buf_str(text);

    if (!memchr(s.ptr, ',', s.len) && !memchr(s.ptr, '"', s.len) && !memchr(s.ptr, '\n', s.len) && !memchr(s.ptr, '\r', s.len)) {
        fwrite(s.ptr, 1, s.len, stdout);
        return;
    }
    fputc('"', stdout);
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] == '"')
            fputc('"', stdout);
        fputc(s.ptr[i], stdout);
    }
    fputc('"', stdout);
}

static void print_csv(const dq_json *doc, dq_json_ref list, const ctl_column *columns)
{
    DQ_BUF_AUTO text = {0};

    for (size_t i = 0; columns[i].title; i++)
        printf("%s%s", i ? "," : "", columns[i].name);
    fputs("\r\n", stdout);
    for (dq_json_ref row = dq_json_first(doc, list); row != DQ_JSON_NONE; row = dq_json_next(doc, list, row)) {
        for (size_t i = 0; columns[i].title; i++) {
            dq_buf_clear(&text);
            append_value(&text, doc, cell(doc, row, &columns[i]), CTL_VALUE);
            if (i)
                fputc(',', stdout);
            csv_field(&text);
        }
        fputs("\r\n", stdout);
    }
}

void ctl_print_list(const ctl *c, const ctl_answer *a, dq_json_ref list, const ctl_column *columns)
{
    const dq_json *doc = &a->doc;
    dq_json_ref cursor;

    if (list == DQ_JSON_NONE)
        list = 0;
    switch (c->format) {
    case CTL_JSON: put_line(dq_json_raw(doc, 0)); return;
    case CTL_NDJSON:
        for (dq_json_ref row = dq_json_first(doc, list); row != DQ_JSON_NONE; row = dq_json_next(doc, list, row))
            put_line(dq_json_raw(doc, row));
        return;
    case CTL_CSV: print_csv(doc, list, columns); return;
    case CTL_TABLE: print_table(doc, list, columns); break;
    }
    cursor = list ? dq_json_member(doc, 0, "next_cursor") : DQ_JSON_NONE;
    if (cursor != DQ_JSON_NONE) {
        dureq_str raw = dq_json_raw(doc, cursor);

        fprintf(stderr, "There is more: --cursor %.*s\n", (int)raw.len - 2, raw.ptr + 1);
    }
}

static void print_pairs(const dq_json *doc, dq_json_ref object)
{
    size_t width = 0;

    for (dq_json_ref k = dq_json_first(doc, object); k != DQ_JSON_NONE; k = dq_json_next(doc, object, k))
        width = DQ_MAX(width, dq_json_raw(doc, k).len - 2);
    for (dq_json_ref k = dq_json_first(doc, object); k != DQ_JSON_NONE; k = dq_json_next(doc, object, k)) {
        DQ_BUF_AUTO text = {0};
        dureq_str name = dq_json_raw(doc, k);

        append_value(&text, doc, k + 1, CTL_TEXT);
        printf("%-*.*s  %s\n", (int)width, (int)name.len - 2, name.ptr + 1, text.ptr ? text.ptr : "");
    }
}

void ctl_print_object(const ctl *c, const ctl_answer *a, dq_json_ref object)
{
    if (c->format == CTL_TABLE)
        print_pairs(&a->doc, object);
    else
        put_line(dq_json_raw(&a->doc, object));
}

void ctl_print_done(const ctl *c, const ctl_answer *a, const char *fmt, ...)
{
    va_list args;

    if (c->format != CTL_TABLE) {
        put_line(dq_json_raw(&a->doc, 0));
        return;
    }
    if (c->quiet)
        return;
    va_start(args, fmt);
    vprintf(fmt, args);
    va_end(args);
    fputc('\n', stdout);
}
