/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"

#include <stdio.h>
#include <stdlib.h>

#include "../../dureqctl/output.c"         /* NOLINT(bugprone-suspicious-include) */
#include "../../dureqctl/schedule_words.c" /* NOLINT(bugprone-suspicious-include) */
#include "../../dureqctl/text.c"           /* NOLINT(bugprone-suspicious-include) */

/* An answer of the API, printed in each format: values in it are what others wrote. A table drives no terminal and has a line for each row, CSV has a field
   for each column, which holds the value as it is, and each line of NDJSON is JSON. */

static const ctl_column columns[] = {
    {"ID", "id", CTL_TEXT},        {"AT", "at", CTL_TIME},        {"N", "n", CTL_NUMBER},
    {"IN", "n", CTL_NUMBER, "in"}, {"VALUE", "value", CTL_VALUE}, {"SCHEDULE", "schedule", CTL_SCHEDULE},
    {NULL, NULL, CTL_TEXT},
};

enum { COLUMNS = DQ_ARRAY_LEN(columns) - 1 };

static void begin_printing(FILE **was, char **text, size_t *len)
{
    *was = stdout;
    stdout = open_memstream(text, len);
    if (!stdout)
        abort();
}

static void end_printing(FILE *was)
{
    (void)fclose(stdout);
    stdout = was;
}

static void print_list(ctl_format format, const ctl_answer *a, dq_json_ref list, dq_buf *out)
{
    const ctl c = {.format = format, .quiet = true};
    char *text = NULL;
    size_t len = 0;
    FILE *was;

    begin_printing(&was, &text, &len);
    ctl_print_list(&c, a, list, columns);
    end_printing(was);
    dq_buf_append(out, text, len);
    free(text);
}

static void print_object(ctl_format format, const ctl_answer *a, dq_json_ref object, dq_buf *out)
{
    const ctl c = {.format = format, .quiet = true};
    char *text = NULL;
    size_t len = 0;
    FILE *was;

    begin_printing(&was, &text, &len);
    ctl_print_object(&c, a, object);
    end_printing(was);
    dq_buf_append(out, text, len);
    free(text);
}

/* ---- what is expected ---- */

/* How many lines. Whoever reads along sees each character of a text that UTF-8 knows. */
static size_t check_clean(dureq_str out, bool tabs)
{
    size_t n = 0;

    assert(out.len == 0 || out.ptr[out.len - 1] == '\n');
    for (size_t i = 0; i < out.len; i++) {
        unsigned char c = (unsigned char)out.ptr[i], next = i + 1 < out.len ? (unsigned char)out.ptr[i + 1] : 0;

        assert((c >= ' ' && c != 0x7f) || c == '\n' || (tabs && c == '\t'));
        assert(c != 0xc2 || next >= 0xa0);
        assert(c != 0xe2 || next != 0x80 || i + 2 == out.len || (unsigned char)out.ptr[i + 2] < 0xa8 ||
               (unsigned char)out.ptr[i + 2] > 0xae);
        n += c == '\n';
    }
    return n;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\n' || c == '\r';
}

/* The same bytes, except for blanks in place of line breaks. */
static void check_json_line(dureq_str line, dureq_str raw)
{
    assert(line.len == raw.len && dq_json_valid(line));
    for (size_t i = 0; i < raw.len; i++)
        assert(line.ptr[i] == raw.ptr[i] || (is_blank(line.ptr[i]) && is_blank(raw.ptr[i])));
}

/* Takes a field and what ends it off the front: a comma, or the end of a line. */
static bool take_field(dureq_str *rest, dq_buf *out)
{
    bool quoted = rest->len > 0 && rest->ptr[0] == '"';
    size_t i = quoted;

    dq_buf_clear(out);
    for (; i < rest->len; i++) {
        char c = rest->ptr[i];

        if (quoted && c == '"' && (++i == rest->len || rest->ptr[i] != '"'))
            break;
        assert(quoted || c != '"');
        if (!quoted && (c == ',' || c == '\r'))
            break;
        dq_buf_append_char(out, c);
    }
    assert(i < rest->len && (rest->ptr[i] == ',' || (rest->ptr[i] == '\r' && i + 1 < rest->len && rest->ptr[i + 1] == '\n')));
    bool more = rest->ptr[i] == ',';
    i += more ? 1 : 2;
    *rest = dureq_str_of(rest->ptr + i, rest->len - i);
    return more;
}

static void check_field(const dq_buf *field, const dq_json *doc, dq_json_ref v)
{
    DQ_BUF_AUTO want = {0};

    if (v != DQ_JSON_NONE && dq_json_type_of(doc, v) == DQ_JSON_STRING)
        assert(dq_json_string(doc, v, &want) == 0);
    else if (v != DQ_JSON_NONE && dq_json_type_of(doc, v) != DQ_JSON_NULL)
        dq_buf_append_str(&want, dq_json_raw(doc, v));
    assert(dq_str_eq(dq_buf_str(field), dq_buf_str(&want)));
}

static void check_csv(dureq_str out, const dq_json *doc, dq_json_ref list)
{
    DQ_BUF_AUTO field = {0};

    for (size_t i = 0; i < COLUMNS; i++) {
        assert(take_field(&out, &field) == (i + 1 < COLUMNS));
        assert(dq_str_eq_text(dq_buf_str(&field), columns[i].name));
    }
    for (dq_json_ref row = dq_json_first(doc, list); row != DQ_JSON_NONE; row = dq_json_next(doc, list, row))
        for (size_t i = 0; i < COLUMNS; i++) {
            assert(take_field(&out, &field) == (i + 1 < COLUMNS));
            check_field(&field, doc, cell(doc, row, &columns[i]));
        }
    assert(out.len == 0);
}

static void check_list(const ctl_answer *a, dq_json_ref list)
{
    size_t n = 0;
    DQ_BUF_AUTO table = {0};
    DQ_BUF_AUTO csv = {0};
    DQ_BUF_AUTO lines = {0};
    DQ_BUF_AUTO json = {0};

    print_list(CTL_TABLE, a, list, &table);
    print_list(CTL_CSV, a, list, &csv);
    print_list(CTL_NDJSON, a, list, &lines);
    print_list(CTL_JSON, a, list, &json);
    dureq_str rest = dq_buf_str(&lines), whole = dq_buf_str(&json);
    for (dq_json_ref row = dq_json_first(&a->doc, list); row != DQ_JSON_NONE; row = dq_json_next(&a->doc, list, row), n++)
        check_json_line(dq_str_cut(&rest, '\n'), dq_json_raw(&a->doc, row));
    assert(rest.len == 0);
    check_json_line(dq_str_cut(&whole, '\n'), dq_json_raw(&a->doc, 0));
    assert(check_clean(dq_buf_str(&table), /*tabs=*/false) == n + 1);
    check_csv(dq_buf_str(&csv), &a->doc, list);
}

/* The names of a real one are ours. */
static void check_object(const ctl_answer *a, dq_json_ref object)
{
    DQ_BUF_AUTO pairs = {0};
    DQ_BUF_AUTO json = {0};
    DQ_BUF_AUTO csv = {0};
    DQ_BUF_AUTO field = {0};
    size_t n = 0;

    print_object(CTL_TABLE, a, object, &pairs);
    print_object(CTL_JSON, a, object, &json);
    print_object(CTL_CSV, a, object, &csv); /* with its names in front, the first time */
    for (dq_json_ref k = dq_json_first(&a->doc, object); k != DQ_JSON_NONE; k = dq_json_next(&a->doc, object, k))
        n++;
    assert(check_clean(dq_buf_str(&pairs), /*tabs=*/true) >= n);
    dureq_str rest = dq_buf_str(&json);
    check_json_line(dq_str_cut(&rest, '\n'), dq_json_raw(&a->doc, object));
    rest = dq_buf_str(&csv);
    while (rest.len > 0)
        (void)take_field(&rest, &field);
}

static bool has_our_names(const dq_json *doc, dq_json_ref object)
{
    for (dq_json_ref k = dq_json_first(doc, object); k != DQ_JSON_NONE; k = dq_json_next(doc, object, k)) {
        dureq_str name = dq_json_raw(doc, k);

        for (size_t i = 1; i + 1 < name.len; i++)
            if (name.ptr[i] != '_' && (name.ptr[i] < 'a' || name.ptr[i] > 'z'))
                return false;
    }
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ctl_answer a = {0};
    dq_json_ref list;

    if (dq_json_parse(dureq_str_of((const char *)data, size), &a.doc, NULL) < 0)
        return 0;
    if (dq_json_type_of(&a.doc, 0) == DQ_JSON_ARRAY)
        check_list(&a, 0);
    if (dq_json_type_of(&a.doc, 0) == DQ_JSON_OBJECT) {
        list = dq_json_member(&a.doc, 0, "jobs");
        if (list != DQ_JSON_NONE && dq_json_type_of(&a.doc, list) == DQ_JSON_ARRAY)
            check_list(&a, list);
        if (has_our_names(&a.doc, 0))
            check_object(&a, 0);
    }
    dq_json_deinit(&a.doc);
    return 0;
}
