/* SPDX-License-Identifier: Apache-2.0 */
#include "json/json.h"
#include "json/scan.h"

dq_json_type dq_json_type_of(const dq_json *doc, dq_json_ref v)
{
    return v < doc->n_nodes ? (dq_json_type)(doc->nodes[v].type & 255) : DQ_JSON_NULL;
}

const char *dq_json_type_name(dq_json_type t)
{
    switch (t) {
    case DQ_JSON_NULL: return "null";
    case DQ_JSON_FALSE: return "false";
    case DQ_JSON_TRUE: return "true";
    case DQ_JSON_NUMBER: return "a number";
    case DQ_JSON_STRING: return "a string";
    case DQ_JSON_ARRAY: return "an array";
    case DQ_JSON_OBJECT: return "an object";
    }
    return "a value";
}

dureq_str dq_json_raw(const dq_json *doc, dq_json_ref v)
{
    if (v >= doc->n_nodes)
        return dureq_str_of("", 0);
    return dureq_str_of(doc->text.ptr + doc->nodes[v].start, doc->nodes[v].len);
}

static void append_utf8(dq_buf *out, uint32_t c)
{
    char bytes[4];
    size_t n = 0;

    if (c < 0x80) {
        bytes[n++] = (char)c;
    } else if (c < 0x800) {
        bytes[n++] = (char)(0xc0 | c >> 6);
        bytes[n++] = (char)(0x80 | (c & 63));
    } else if (c < 0x10000) {
        bytes[n++] = (char)(0xe0 | c >> 12);
        bytes[n++] = (char)(0x80 | (c >> 6 & 63));
        bytes[n++] = (char)(0x80 | (c & 63));
    } else {
        bytes[n++] = (char)(0xf0 | c >> 18);
        bytes[n++] = (char)(0x80 | (c >> 12 & 63));
        bytes[n++] = (char)(0x80 | (c >> 6 & 63));
        bytes[n++] = (char)(0x80 | (c & 63));
    }
    dq_buf_append(out, bytes, n);
}

/* The escape whose letter is at p; already known to be good. Returns what follows it. */
static const char *append_escape(dq_buf *out, const char *p, const char *end)
{
    static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
    const char *at = strchr(from, *p);
    uint32_t c;

    if (*p != 'u') {
        dq_buf_append_char(out, at ? to[at - from] : *p);
        return p + 1;
    }
    c = (uint32_t)dq_json_hex4(p + 1, end);
    p += 5;
    if (c >= 0xd800 && c <= 0xdbff) {
        c = 0x10000 + ((c - 0xd800) << 10) + ((uint32_t)dq_json_hex4(p + 2, end) - 0xdc00);
        p += 6;
    }
    append_utf8(out, c);
    return p;
}

int dq_json_string(const dq_json *doc, dq_json_ref v, dq_buf *out)
{
    dureq_str raw = dq_json_raw(doc, v);
    const char *p, *end;

    if (dq_json_type_of(doc, v) != DQ_JSON_STRING)
        return DUREQ_EINVAL;
    p = raw.ptr + 1;
    end = raw.ptr + raw.len - 1;
    while (p < end) {
        const char *slash = doc->nodes[v].type & 256 ? memchr(p, '\\', (size_t)(end - p)) : NULL;

        dq_buf_append(out, p, (size_t)((slash ? slash : end) - p));
        p = slash ? append_escape(out, slash + 1, end) : end;
    }
    return dq_buf_finish(out, NULL);
}

bool dq_json_string_eq(const dq_json *doc, dq_json_ref v, const char *text)
{
    dureq_str raw = dq_json_raw(doc, v);

    if (dq_json_type_of(doc, v) != DQ_JSON_STRING)
        return false;
    if (doc->nodes[v].type & 256) {
        DQ_BUF_AUTO plain = {0};

        return dq_json_string(doc, v, &plain) == 0 && dq_str_eq_text(dq_buf_str(&plain), text);
    }
    return dq_str_eq_text(dureq_str_of(raw.ptr + 1, raw.len - 2), text);
}

int dq_json_i64(const dq_json *doc, dq_json_ref v, int64_t *ret)
{
    if (dq_json_type_of(doc, v) != DQ_JSON_NUMBER || dq_parse_i64(dq_json_raw(doc, v), INT64_MIN, INT64_MAX, ret) < 0)
        return DUREQ_EINVAL;
    return 0;
}

int dq_json_f64(const dq_json *doc, dq_json_ref v, double *ret)
{
    if (dq_json_type_of(doc, v) != DQ_JSON_NUMBER || dq_parse_f64(dq_json_raw(doc, v), ret) < 0)
        return DUREQ_EINVAL;
    return 0;
}

dq_json_ref dq_json_member(const dq_json *doc, dq_json_ref object, const char *name)
{
    dq_json_ref found = DQ_JSON_NONE;

    if (dq_json_type_of(doc, object) != DQ_JSON_OBJECT)
        return DQ_JSON_NONE;
    for (dq_json_ref k = dq_json_first(doc, object); k != DQ_JSON_NONE; k = dq_json_next(doc, object, k))
        if (dq_json_string_eq(doc, k, name))
            found = k + 1;
    return found;
}

dq_json_ref dq_json_first(const dq_json *doc, dq_json_ref v)
{
    return v < doc->n_nodes && doc->nodes[v].end > v + 1 ? v + 1 : DQ_JSON_NONE;
}

dq_json_ref dq_json_next(const dq_json *doc, dq_json_ref parent, dq_json_ref child)
{
    dq_json_ref next = doc->nodes[child].end;

    if (dq_json_type_of(doc, parent) == DQ_JSON_OBJECT)
        next = doc->nodes[child + 1].end;
    return next < doc->nodes[parent].end ? next : DQ_JSON_NONE;
}
