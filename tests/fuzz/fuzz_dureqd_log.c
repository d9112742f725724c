/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"

#include <stdlib.h>

#include "json/json.h"
#include "log_out.h"

/* A record, its level in the first byte and its text after it: texts quote what servers and programs say. As JSON it is one object on one line, whose
   values stand in the text as they are; as text it is one line without control characters. Without memory a line says so, or is whole. */

enum { AT_MS = 1700000000, NOMEM_MAX = 200, NOMEM_BYTES_MAX = 512 };

static const char *const firsts[] = {"time", "level", "event"};

static void check_text(dureq_str line)
{
    assert(line.len > 0 && line.ptr[line.len - 1] == '\n');
    for (size_t i = 0; i + 1 < line.len; i++)
        assert((unsigned char)line.ptr[i] >= ' ' && line.ptr[i] != 0x7f);
}

/* "key=value" or "key="value"" as it stands in the text, bytes that are no UTF-8 left aside. */
static void check_member(const dq_json *doc, dq_json_ref k, dureq_str text)
{
    DQ_BUF_AUTO pair = {0};
    size_t at;

    assert(dq_json_string(doc, k, &pair) == 0);
    dq_buf_append_char(&pair, '=');
    at = pair.len;
    if (dq_json_type_of(doc, k + 1) == DQ_JSON_NUMBER)
        dq_buf_append_str(&pair, dq_json_raw(doc, k + 1));
    else
        assert(dq_json_string(doc, k + 1, &pair) == 0);
    if (memmem(text.ptr, text.len, pair.ptr, pair.len) || !dq_utf8_valid(text))
        return;
    dq_buf_append_char(&pair, '"');
    memmove(pair.ptr + at + 1, pair.ptr + at, pair.len - at - 1);
    pair.ptr[at] = '"';
    assert(memmem(text.ptr, text.len, pair.ptr, pair.len));
}

static void check_json(dureq_str line, dureq_str text)
{
    dq_json doc = {0};
    size_t n = 0;

    assert(line.len > 0 && memchr(line.ptr, '\n', line.len) == line.ptr + line.len - 1);
    line.len--;
    assert(dq_utf8_valid(line) && dq_json_parse(line, &doc, NULL) == 0 && dq_json_type_of(&doc, 0) == DQ_JSON_OBJECT);
    for (dq_json_ref k = dq_json_first(&doc, 0); k != DQ_JSON_NONE; k = dq_json_next(&doc, 0, k), n++) {
        if (n < DQ_ARRAY_LEN(firsts)) {
            assert(dq_json_string_eq(&doc, k, firsts[n]) && dq_json_type_of(&doc, k + 1) == DQ_JSON_STRING);
            continue;
        }
        for (size_t i = 0; i < DQ_ARRAY_LEN(firsts); i++)
            assert(!dq_json_string_eq(&doc, k, firsts[i]));
        if (dq_json_string_eq(&doc, k, "msg"))
            assert(dq_json_next(&doc, 0, k) == DQ_JSON_NONE);
        else
            check_member(&doc, k, text);
    }
    assert(n >= DQ_ARRAY_LEN(firsts));
    dq_json_deinit(&doc);
}

static void check_without_memory(dq_log_format format, const dureq_log_record *r, dureq_str whole)
{
    bool failed = true;

    for (long n = 1; failed && n < NOMEM_MAX; n++) {
        DQ_BUF_AUTO line = {0};

        dq_alloc_fail_at(n);
        dq_log_out_format(format, r, AT_MS, &line);
        failed = dq_alloc_count() >= n;
        dq_alloc_fail_at(0);
        assert(dq_buf_failed(&line) || dq_str_eq(dq_buf_str(&line), whole));
    }
}

static void check(const dureq_log_record *r, void *userdata)
{
    DQ_BUF_AUTO text = {0};
    DQ_BUF_AUTO json = {0};

    (void)userdata;
    dq_log_out_format(DQ_LOG_TEXT, r, AT_MS, &text);
    check_text(dq_buf_str(&text));
    dq_log_out_format(DQ_LOG_JSON, r, AT_MS, &json);
    check_json(dq_buf_str(&json), dureq_str_from(r->text));
    if (strlen(r->text) > NOMEM_BYTES_MAX)
        return;
    check_without_memory(DQ_LOG_TEXT, r, dq_buf_str(&text));
    check_without_memory(DQ_LOG_JSON, r, dq_buf_str(&json));
}

/* As a program's own text, and as the library makes records of one: cut, without line breaks. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const dq_log log = {.fn = check};
    char *text = dq_memdup(data, size);
    dureq_log_record r = {.event = "e.x", .file = "f.c", .line = 1};

    if (!text)
        abort();
    if (size > 0) {
        r.level = (dureq_log_level)(data[0] & 7);
        r.text = text + 1;
        check(&r, NULL);
        dq_log_emit(&log, r.level, r.event, r.file, r.line, "%s", r.text);
    }
    dq_free(text);
    return 0;
}
