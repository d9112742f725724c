/* SPDX-License-Identifier: Apache-2.0 */
/* Answers as table, JSON, NDJSON or CSV. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/clock.h"
#include "ctl.h"

#define CELL_MAX 60 /* characters of a value shown in a table */

static void put(dureq_str s)
{
    if (s.len)
        fwrite(s.ptr, 1, s.len, stdout);
}

/* JSON on a line of its own. Payloads are shown byte for byte, line breaks between their values, too: these become blanks. */
static void put_line(dureq_str s)
{
    while (s.len) {
        size_t n = 0;

        while (n < s.len && s.ptr[n] != '\n' && s.ptr[n] != '\r')
            n++;
        put(dureq_str_of(s.ptr, n));
        if (n == s.len)
            break;
        fputc(' ', stdout);
        s = dureq_str_of(s.ptr + n + 1, s.len - n - 1);
    }
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

void ctl_clean(dq_buf *b, bool keep_lines)
{
    for (size_t i = 0; i < b->len; i++) {
        unsigned char c = (unsigned char)b->ptr[i], next = i + 1 < b->len ? (unsigned char)b->ptr[i + 1] : 0;

        if (keep_lines && (c == '\n' || c == '\t'))
            continue;
        if (c < ' ' || c == 127)
            b->ptr[i] = ' ';
        else if (c == 0xc2 && next >= 0x80 && next < 0xa0) /* U+0080 to U+009F: controls, too */
            b->ptr[i] = b->ptr[i + 1] = ' ';
    }
}

static dq_json_ref cell(const dq_json *doc, dq_json_ref row, const ctl_column *col)
{
    if (col->within)
        row = dq_json_type_of(doc, row) == DQ_JSON_OBJECT ? dq_json_member(doc, row, col->within) : DQ_JSON_NONE;
    if (row == DQ_JSON_NONE || dq_json_type_of(doc, row) != DQ_JSON_OBJECT)
        return DQ_JSON_NONE;
    return dq_json_member(doc, row, col->name);
}

/* Characters, not bytes: what continues one does not count. */
static size_t width_of(dureq_str s)
{
    size_t n = 0;

    for (size_t i = 0; i < s.len; i++)
        n += ((unsigned char)s.ptr[i] & 0xc0) != 0x80;
    return n;
}

static void table_cell(dq_buf *out, const dq_json *doc, dq_json_ref row, const ctl_column *col)
{
    size_t n = 0, at = 0;

    dq_buf_clear(out);
    append_value(out, doc, cell(doc, row, col), col->kind);
    ctl_clean(out, /*keep_lines=*/false);
    if (width_of(dq_buf_str(out)) <= CELL_MAX)
        return;
    for (; n < CELL_MAX - 3; n++) /* never inside a character */
        for (at++; at < out->len && ((unsigned char)out->ptr[at] & 0xc0) == 0x80; at++)
            ;
    out->len = at;
    dq_buf_append_text(out, "...");
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
            width[i] = DQ_MAX(width[i], width_of(dq_buf_str(&text)));
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
                pad(width[i] - width_of(dq_buf_str(&text)));
            put(dq_buf_str(&text));
            if (columns[i].kind != CTL_NUMBER && i + 1 < n)
                pad(width[i] - width_of(dq_buf_str(&text)));
            fputs(i + 1 < n ? "  " : "\n", stdout);
        }
}

/* RFC 4180: quoted when needed, quotes doubled. */
static void csv_field(const dq_buf *text)
{
    dureq_str s = dq_buf_str(text);

    if (s.len == 0)
        return;
    if (!memchr(s.ptr, ',', s.len) && !memchr(s.ptr, '"', s.len) && !memchr(s.ptr, '\n', s.len) && !memchr(s.ptr, '\r', s.len)) {
        put(s);
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

/* One object a row. A command that prints several of the same kind has one header. */
static void print_csv_object(const dq_json *doc, dq_json_ref object)
{
    static bool has_header;

    for (int turn = has_header ? 1 : 0; turn < 2; turn++) {
        DQ_BUF_AUTO text = {0};

        for (dq_json_ref k = dq_json_first(doc, object); k != DQ_JSON_NONE; k = dq_json_next(doc, object, k)) {
            if (k != dq_json_first(doc, object))
                fputc(',', stdout);
            dq_buf_clear(&text);
            append_value(&text, doc, turn ? k + 1 : k, CTL_VALUE);
            csv_field(&text);
        }
        fputs("\r\n", stdout);
    }
    has_header = true;
}

void ctl_print_csv_row(const char *const *fields, size_t n)
{
    DQ_BUF_AUTO text = {0};

    for (size_t i = 0; i < n; i++) {
        if (i)
            fputc(',', stdout);
        dq_buf_clear(&text);
        dq_buf_append_text(&text, fields[i]);
        csv_field(&text);
    }
    fputs("\r\n", stdout);
}

static void tell_cursor(const ctl *c, const dq_json *doc, dq_json_ref list)
{
    dq_json_ref cursor = list ? dq_json_member(doc, 0, "next_cursor") : DQ_JSON_NONE;
    DQ_BUF_AUTO text = {0};

    if (cursor == DQ_JSON_NONE || c->quiet || c->format == CTL_JSON)
        return;
    (void)dq_json_string(doc, cursor, &text); /* our own answer */
    fprintf(stderr, "There is more: --cursor %s\n", text.ptr ? text.ptr : "");
}

void ctl_print_list(const ctl *c, const ctl_answer *a, dq_json_ref list, const ctl_column *columns)
{
    const dq_json *doc = &a->doc;

    if (list == DQ_JSON_NONE)
        list = 0;
    switch (c->format) {
    case CTL_JSON: put_line(dq_json_raw(doc, 0)); break;
    case CTL_NDJSON:
        for (dq_json_ref row = dq_json_first(doc, list); row != DQ_JSON_NONE; row = dq_json_next(doc, list, row))
            put_line(dq_json_raw(doc, row));
        break;
    case CTL_CSV: print_csv(doc, list, columns); break;
    case CTL_TABLE: print_table(doc, list, columns); break;
    }
    tell_cursor(c, doc, list);
}

/* Names in one column, values in another; a value of several lines stays in its column, so that it cannot pass for a name. */
static void print_pairs(const dq_json *doc, dq_json_ref object)
{
    size_t width = 0;

    for (dq_json_ref k = dq_json_first(doc, object); k != DQ_JSON_NONE; k = dq_json_next(doc, object, k))
        width = DQ_MAX(width, dq_json_raw(doc, k).len - 2);
    for (dq_json_ref k = dq_json_first(doc, object); k != DQ_JSON_NONE; k = dq_json_next(doc, object, k)) {
        DQ_BUF_AUTO text = {0};
        dureq_str name = dq_json_raw(doc, k), rest;

        append_value(&text, doc, k + 1, CTL_TEXT);
        while (text.len && text.ptr[text.len - 1] == '\n')
            text.len--;
        ctl_clean(&text, /*keep_lines=*/true);
        printf("%-*.*s  ", (int)width, (int)name.len - 2, name.ptr + 1);
        rest = dq_buf_str(&text);
        put(dq_str_cut(&rest, '\n'));
        while (rest.ptr) {
            fputc('\n', stdout);
            pad(width + 2);
            put(dq_str_cut(&rest, '\n'));
        }
        fputc('\n', stdout);
    }
}

void ctl_print_object(const ctl *c, const ctl_answer *a, dq_json_ref object)
{
    if (c->format == CTL_TABLE)
        print_pairs(&a->doc, object);
    else if (c->format == CTL_CSV)
        print_csv_object(&a->doc, object);
    else
        put_line(dq_json_raw(&a->doc, object));
}

void ctl_print_done(const ctl *c, const ctl_answer *a, const char *fmt, ...)
{
    va_list args;

    if (c->format != CTL_TABLE) {
        ctl_print_object(c, a, 0);
        return;
    }
    if (c->quiet)
        return;
    va_start(args, fmt);
    vprintf(fmt, args);
    va_end(args);
    fputc('\n', stdout);
}
