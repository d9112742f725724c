/* SPDX-License-Identifier: Apache-2.0 */
/* Answers as table, JSON, NDJSON or CSV. */
#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/clock.h"
#include "ctl.h"

#define CELL_MAX     60 /* cells of a value where no terminal says how many there are */
#define COLUMNS_MAX  32 /* of our own tables */
#define READABLE_MIN 20 /* a text keeps as much while there are columns to leave out */
#define SHRUNK_MIN   8  /* and as much at last */

static void put(dureq_str s)
{
    if (s.len)
        fwrite(s.ptr, 1, s.len, stdout);
}

/* JSON on a line of its own. Payloads are shown byte for byte, line breaks between their values, too: these become blanks. On a
   terminal, what would drive it is escaped. */
void ctl_put_json(const ctl *c, dureq_str s)
{
    DQ_BUF_AUTO safe = {0};

    if (c->is_terminal) {
        ctl_append_json(&safe, s);
        s = dq_buf_str(&safe);
    }
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

/* "34s", "2m": the largest unit of it. */
static void append_length(dq_buf *out, int64_t ms)
{
    static const struct {
        int64_t ms;
        char unit;
    } units[] = {{86400000, 'd'}, {3600000, 'h'}, {60000, 'm'}, {1000, 's'}};

    for (size_t i = 0; i < DQ_ARRAY_LEN(units); i++)
        if (ms >= units[i].ms) {
            dq_buf_append_fmt(out, "%" PRId64 "%c", ms / units[i].ms, units[i].unit);
            return;
        }
    dq_buf_append_fmt(out, ms ? "%" PRId64 "ms" : "%" PRId64 "s", ms);
}

/* "3m ago", "in 20s". */
static void append_age(dq_buf *out, int64_t at_ms)
{
    int64_t ago = (dq_wall_ms() - at_ms) / 1000 * 1000;

    if (ago < 0)
        dq_buf_append_text(out, "in ");
    append_length(out, ago < 0 ? -ago : ago);
    if (ago >= 0)
        dq_buf_append_text(out, " ago");
}

static void append_words(dq_buf *out, const dq_json *doc, dq_json_ref array)
{
    for (dq_json_ref v = dq_json_first(doc, array); v != DQ_JSON_NONE; v = dq_json_next(doc, array, v)) {
        if (v != dq_json_first(doc, array))
            dq_buf_append_text(out, ", ");
        (void)dq_json_string(doc, v, out); /* ours: not a string, nothing to show */
    }
}

/* A value as people read it: strings without quotes, times as ages, the rest as JSON. */
static void append_value(dq_buf *out, const dq_json *doc, dq_json_ref v, ctl_kind kind)
{
    int64_t at_ms;

    if (v == DQ_JSON_NONE || dq_json_type_of(doc, v) == DQ_JSON_NULL)
        return;
    if (kind == CTL_MS && dq_json_i64(doc, v, &at_ms) == 0 && at_ms >= 0) {
        append_length(out, at_ms);
        return;
    }
    if (kind == CTL_WORDS && dq_json_type_of(doc, v) == DQ_JSON_ARRAY) {
        append_words(out, doc, v);
        return;
    }
    if (kind == CTL_SCHEDULE && dq_json_type_of(doc, v) == DQ_JSON_OBJECT) {
        ctl_append_schedule(out, doc, v);
        return;
    }
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
    if (kind == CTL_LENGTH) {
        DQ_BUF_AUTO text = {0};

        (void)dq_json_string(doc, v, &text);
        if (dq_parse_duration_ms(dq_buf_str(&text), &at_ms) == 0) {
            append_length(out, at_ms);
            return;
        }
    }
    (void)dq_json_string(doc, v, out);
}

static dq_json_ref cell(const dq_json *doc, dq_json_ref row, const ctl_column *col)
{
    if (col->within)
        row = dq_json_type_of(doc, row) == DQ_JSON_OBJECT ? dq_json_member(doc, row, col->within) : DQ_JSON_NONE;
    if (row == DQ_JSON_NONE || dq_json_type_of(doc, row) != DQ_JSON_OBJECT)
        return DQ_JSON_NONE;
    return dq_json_member(doc, row, col->name);
}

/* ---- tables ---- */

static void table_cell(dq_buf *out, const dq_json *doc, dq_json_ref row, const ctl_column *col)
{
    dq_buf_clear(out);
    append_value(out, doc, cell(doc, row, col), col->kind);
    ctl_clean(out, /*keep_lines=*/false);
}

static void pad(size_t n)
{
    while (n--)
        fputc(' ', stdout);
}

/* The columns that are shown, and how wide each is. */
typedef struct layout {
    const ctl_column *columns[COLUMNS_MAX];
    size_t width[COLUMNS_MAX], natural[COLUMNS_MAX];
    size_t n;
} layout;

static size_t whole_width(const layout *l)
{
    size_t sum = 2 * (l->n - 1);

    for (size_t i = 0; i < l->n; i++)
        sum += l->width[i];
    return sum;
}

static void drop(layout *l, size_t i)
{
    memmove(&l->columns[i], &l->columns[i + 1], (l->n - i - 1) * sizeof l->columns[0]);
    memmove(&l->natural[i], &l->natural[i + 1], (l->n - i - 1) * sizeof l->natural[0]);
    l->n--;
    memcpy(l->width, l->natural, l->n * sizeof l->width[0]); /* there is more room for the others now */
}

/* The first column, a name to be copied, keeps its width, as numbers and states do; then the widest gives way. */
static bool shrink(layout *l, size_t min)
{
    size_t widest = 0;

    for (size_t i = 1; i < l->n; i++) {
        size_t least = DQ_MAX(strlen(l->columns[i]->title), min);
        ctl_kind kind = l->columns[i]->kind;
        bool is_text = kind == CTL_TEXT || kind == CTL_VALUE || kind == CTL_WORDS || kind == CTL_SCHEDULE;

        if (is_text && l->width[i] > least && l->width[i] > (widest ? l->width[widest] : 0))
            widest = i;
    }
    if (widest)
        l->width[widest]--;
    return widest > 0;
}

/* What may be left out goes from the right. */
static bool leave_out(layout *l)
{
    for (size_t i = l->n; i-- > 1;)
        if (l->columns[i]->may_go) {
            drop(l, i);
            return true;
        }
    return false;
}

static void fit(layout *l, size_t columns)
{
    memcpy(l->natural, l->width, l->n * sizeof l->width[0]);
    while (whole_width(l) > columns) {
        if (shrink(l, READABLE_MIN) || leave_out(l) || shrink(l, SHRUNK_MIN))
            continue;
        if (l->n == 1)
            break;
        drop(l, l->n - 1); /* no row wraps, however narrow it is */
    }
}

static void lay_out(layout *l, const ctl *c, const dq_json *doc, dq_json_ref list, const ctl_column *columns)
{
    size_t most = c->columns ? (size_t)c->columns : CELL_MAX;
    DQ_BUF_AUTO text = {0};

    for (l->n = 0; columns[l->n].title; l->n++) {
        assert(l->n < COLUMNS_MAX);
        l->columns[l->n] = &columns[l->n];
        l->width[l->n] = strlen(columns[l->n].title);
    }
    for (dq_json_ref row = dq_json_first(doc, list); row != DQ_JSON_NONE; row = dq_json_next(doc, list, row))
        for (size_t i = 0; i < l->n; i++) {
            table_cell(&text, doc, row, &columns[i]);
            l->width[i] = DQ_MAX(l->width[i], DQ_MIN(ctl_width(dq_buf_str(&text)), most));
        }
    if (c->columns)
        fit(l, (size_t)c->columns);
}

const char *ctl_color_of(const ctl *c, dureq_str text)
{
    static const struct {
        const char *word, *color;
    } colors[] = {{"completed", "32"}, {"succeeded", "32"}, {"done", "32"},   {"running", "36"},
                  {"dead", "31"},      {"failed", "31"},    {"fail", "31"},   {"retrying", "33"},
                  {"timed_out", "31"}, {"crashed", "31"},   {"paused", "35"}, {"cancelled", "2"}};

    for (size_t i = 0; c->color && i < DQ_ARRAY_LEN(colors); i++)
        if (dq_str_eq_text(text, colors[i].word))
            return colors[i].color;
    return NULL;
}

static bool is_right(ctl_kind kind)
{
    return kind == CTL_NUMBER || kind == CTL_MS;
}

static void put_cell(const ctl *c, const layout *l, size_t i, dq_buf *text, const char *color)
{
    size_t blanks;

    ctl_cut(text, l->width[i]);
    blanks = l->width[i] - DQ_MIN(ctl_width(dq_buf_str(text)), l->width[i]);
    if (is_right(l->columns[i]->kind))
        pad(blanks);
    if (c->color && color)
        printf("\033[%sm", color);
    put(dq_buf_str(text));
    if (c->color && color)
        fputs("\033[0m", stdout);
    if (!is_right(l->columns[i]->kind) && i + 1 < l->n)
        pad(blanks);
    fputs(i + 1 < l->n ? "  " : "\n", stdout);
}

static void print_table(const ctl *c, const dq_json *doc, dq_json_ref list, const ctl_column *columns)
{
    DQ_BUF_AUTO text = {0};
    layout l;

    lay_out(&l, c, doc, list, columns);
    for (size_t i = 0; i < l.n; i++) {
        dq_buf_clear(&text);
        dq_buf_append_text(&text, l.columns[i]->title);
        put_cell(c, &l, i, &text, "1");
    }
    for (dq_json_ref row = dq_json_first(doc, list); row != DQ_JSON_NONE; row = dq_json_next(doc, list, row))
        for (size_t i = 0; i < l.n; i++) {
            table_cell(&text, doc, row, l.columns[i]);
            put_cell(c, &l, i, &text, l.columns[i]->kind == CTL_STATE ? ctl_color_of(c, dq_buf_str(&text)) : NULL);
        }
}

/* ---- CSV ---- */

/* RFC 4180: quoted when needed, quotes doubled. */
static void csv_field(const ctl *c, dq_buf *text)
{
    dureq_str s;

    if (c->is_terminal)
        ctl_clean(text, /*keep_lines=*/true);
    s = dq_buf_str(text);
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

static void print_csv(const ctl *c, const dq_json *doc, dq_json_ref list, const ctl_column *columns)
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
            csv_field(c, &text);
        }
        fputs("\r\n", stdout);
    }
}

/* One object a row. A command that prints several of the same kind has one header. */
static void print_csv_object(const ctl *c, const dq_json *doc, dq_json_ref object)
{
    static bool has_header;

    for (int turn = has_header ? 1 : 0; turn < 2; turn++) {
        DQ_BUF_AUTO text = {0};

        for (dq_json_ref k = dq_json_first(doc, object); k != DQ_JSON_NONE; k = dq_json_next(doc, object, k)) {
            if (k != dq_json_first(doc, object))
                fputc(',', stdout);
            dq_buf_clear(&text);
            append_value(&text, doc, turn ? k + 1 : k, CTL_VALUE);
            csv_field(c, &text);
        }
        fputs("\r\n", stdout);
    }
    has_header = true;
}

void ctl_print_csv_row(const ctl *c, const char *const *fields, size_t n)
{
    DQ_BUF_AUTO text = {0};

    for (size_t i = 0; i < n; i++) {
        if (i)
            fputc(',', stdout);
        dq_buf_clear(&text);
        dq_buf_append_text(&text, fields[i]);
        csv_field(c, &text);
    }
    fputs("\r\n", stdout);
}

/* What a row is: the name at the end of the columns. */
static const char *noun_of(const ctl_column *columns)
{
    while (columns->title)
        columns++;
    return columns->name;
}

/* "36 jobs", "10 of at least 500 jobs". */
static void append_total(dq_buf *out, const dq_json *doc, dq_json_ref list, const char *noun)
{
    dq_json_ref total = list ? dq_json_member(doc, 0, "total") : DQ_JSON_NONE;
    bool at_least = total != DQ_JSON_NONE && dq_json_type_of(doc, dq_json_member(doc, 0, "total_exact")) == DQ_JSON_FALSE;
    int64_t shown = 0, n;

    for (dq_json_ref row = dq_json_first(doc, list); row != DQ_JSON_NONE; row = dq_json_next(doc, list, row))
        shown++;
    if (total == DQ_JSON_NONE || dq_json_i64(doc, total, &n) < 0 || n < shown)
        n = shown;
    if (n != shown)
        dq_buf_append_fmt(out, "%" PRId64 " of %s", shown, at_least ? "at least " : "");
    dq_buf_append_fmt(out, "%" PRId64 " %s%s", n, noun, n == 1 ? "" : "s");
    if (n == shown && at_least)
        dq_buf_append_text(out, " on this page");
}

/* Under a page: how much there is of it all, and how to get the rest. Both are on standard error, outside of the data; where nobody looks
   only the latter. */
static void tell_page(const ctl *c, const dq_json *doc, dq_json_ref list, const char *noun)
{
    dq_json_ref cursor = list ? dq_json_member(doc, 0, "next_cursor") : DQ_JSON_NONE;
    DQ_BUF_AUTO text = {0};

    if (c->quiet || c->format == CTL_JSON)
        return;
    if (c->format == CTL_TABLE && noun && (c->is_terminal || cursor != DQ_JSON_NONE)) {
        append_total(&text, doc, list, noun);
        dq_buf_append_text(&text, cursor == DQ_JSON_NONE ? ".\n" : ". ");
    }
    if (cursor != DQ_JSON_NONE) {
        dq_buf_append_text(&text, "There is more: --cursor ");
        (void)dq_json_string(doc, cursor, &text); /* our own answer */
        dq_buf_append_char(&text, '\n');
    }
    if (text.len) {
        (void)fflush(stdout); /* the same terminal may show both */
        fwrite(text.ptr, 1, text.len, stderr);
    }
}

void ctl_print_list(const ctl *c, const ctl_answer *a, dq_json_ref list, const ctl_column *columns)
{
    const dq_json *doc = &a->doc;

    if (list == DQ_JSON_NONE)
        list = 0;
    switch (c->format) {
    case CTL_JSON: ctl_put_json(c, dq_json_raw(doc, 0)); break;
    case CTL_NDJSON:
        for (dq_json_ref row = dq_json_first(doc, list); row != DQ_JSON_NONE; row = dq_json_next(doc, list, row))
            ctl_put_json(c, dq_json_raw(doc, row));
        break;
    case CTL_CSV: print_csv(c, doc, list, columns); break;
    case CTL_TABLE: print_table(c, doc, list, columns); break;
    }
    tell_page(c, doc, list, noun_of(columns));
}

/* Names in one column, values in another; a value of several lines stays in its column, so that it cannot pass for a name. */
void ctl_print_pair(const ctl *c, dureq_str name, size_t width, dq_buf *value)
{
    DQ_BUF_AUTO shown = {0};
    dureq_str rest;
    const char *color;

    dq_buf_append_str(&shown, name);
    ctl_clean(&shown, /*keep_lines=*/false);
    while (value->len && value->ptr[value->len - 1] == '\n')
        value->len--;
    ctl_clean(value, /*keep_lines=*/true);
    put(dq_buf_str(&shown));
    pad(DQ_MAX(width, ctl_width(dq_buf_str(&shown))) - ctl_width(dq_buf_str(&shown)) + 2);
    rest = dq_buf_str(value);
    color = dq_str_eq_text(name, "status") ? ctl_color_of(c, rest) : NULL;
    if (color)
        printf("\033[%sm", color);
    put(dq_str_cut(&rest, '\n'));
    if (color)
        fputs("\033[0m", stdout);
    while (rest.ptr) {
        fputc('\n', stdout);
        pad(width + 2);
        put(dq_str_cut(&rest, '\n'));
    }
    fputc('\n', stdout);
}

/* A time is followed by how long ago that is, where a person looks. */
static void append_pair_value(dq_buf *out, const ctl *c, const dq_json *doc, dureq_str name, dq_json_ref v)
{
    int64_t at_ms;

    append_value(out, doc, v, CTL_TEXT);
    if (!c->is_terminal || name.len < 3 || memcmp(name.ptr + name.len - 3, "_at", 3) != 0 ||
        dq_parse_rfc3339_ms(dq_buf_str(out), &at_ms) < 0)
        return;
    dq_buf_append_text(out, "  (");
    append_age(out, at_ms);
    dq_buf_append_text(out, ")");
}

void ctl_print_pairs(const ctl *c, const dq_json *doc, dq_json_ref object, const char *but)
{
    size_t width = 0;

    for (dq_json_ref k = dq_json_first(doc, object); k != DQ_JSON_NONE; k = dq_json_next(doc, object, k))
        width = DQ_MAX(width, dq_json_raw(doc, k).len - 2);
    for (dq_json_ref k = dq_json_first(doc, object); k != DQ_JSON_NONE; k = dq_json_next(doc, object, k)) {
        dureq_str raw = dq_json_raw(doc, k), name = dureq_str_of(raw.ptr + 1, raw.len - 2);
        DQ_BUF_AUTO text = {0};

        if (but && dq_str_eq_text(name, but))
            continue;
        append_pair_value(&text, c, doc, name, k + 1);
        ctl_print_pair(c, name, width, &text);
    }
}

void ctl_print_object(const ctl *c, const ctl_answer *a, dq_json_ref object)
{
    if (c->format == CTL_TABLE)
        ctl_print_pairs(c, &a->doc, object, /*but=*/NULL);
    else if (c->format == CTL_CSV)
        print_csv_object(c, &a->doc, object);
    else
        ctl_put_json(c, dq_json_raw(&a->doc, object));
}

void ctl_print_done(const ctl *c, const ctl_answer *a, const char *fmt, ...)
{
    DQ_BUF_AUTO text = {0};
    va_list args;

    if (c->format != CTL_TABLE) {
        ctl_print_object(c, a, 0);
        return;
    }
    if (c->quiet)
        return;
    va_start(args, fmt);
    ctl_append_vfmt(&text, fmt, args);
    va_end(args);
    ctl_clean(&text, /*keep_lines=*/false);
    put(dq_buf_str(&text));
    fputc('\n', stdout);
}
