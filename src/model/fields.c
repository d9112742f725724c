/* SPDX-License-Identifier: Apache-2.0 */

#include "model/fields.h"

#include <inttypes.h>
#include <stdio.h>

#include "json/json.h"

int dq_field_fail_type(const dq_fields_reading *r, const dq_field *f, dq_json_ref v, const char *takes)
{
    dq_json_type type = dq_json_type_of(r->doc, v);

    if (type == DQ_JSON_STRING || type == DQ_JSON_NUMBER) {
        dureq_str raw = dq_json_raw(r->doc, v);

        return dq_fail(r->err, DUREQ_EINVAL, "field '%s%s' takes %s, not %.*s%s", r->parent, f->name, takes,
                       (int)DQ_MIN(raw.len, (size_t)40), raw.ptr, raw.len > 40 ? "..." : "");
    }
    return dq_fail(r->err, DUREQ_EINVAL, "field '%s%s' takes %s, not %s", r->parent, f->name, takes,
                   type == DQ_JSON_TRUE || type == DQ_JSON_FALSE ? "a boolean" : dq_json_type_name(type));
}

/* Text of a string: a view into the document, or into the arena when it had escapes. */
int dq_field_string_of(const dq_fields_reading *r, dq_json_ref v, dureq_str *ret)
{
    DQ_BUF_AUTO plain = {0};
    dureq_str raw = dq_json_raw(r->doc, v);

    if (!(r->doc->nodes[v].type & 256)) {
        *ret = dureq_str_of(raw.ptr + 1, raw.len - 2);
        return 0;
    }
    if (dq_json_string(r->doc, v, &plain) < 0)
        return dq_fail_nomem(r->err);
    *ret = dq_arena_dup_str(r->arena, dq_buf_str(&plain));
    return ret->ptr || plain.len == 0 ? 0 : dq_fail_nomem(r->err);
}

/* NUL-ended; a NUL inside would hide what follows it. */
int dq_field_text_of(const dq_fields_reading *r, const dq_field *f, dq_json_ref v, const char **ret)
{
    dureq_str s;
    int rc;

    if (dq_json_type_of(r->doc, v) != DQ_JSON_STRING)
        return dq_field_fail_type(r, f, v, "a string");
    rc = dq_field_string_of(r, v, &s);
    if (rc < 0)
        return rc;
    if (s.len && memchr(s.ptr, 0, s.len))
        return dq_fail(r->err, DUREQ_EINVAL, "field '%s%s' takes text without NUL characters", r->parent, f->name);
    *ret = dq_arena_dup(r->arena, s);
    return *ret ? 0 : dq_fail_nomem(r->err);
}

int dq_field_read_text(const dq_fields_reading *r, const dq_field *f, dq_json_ref v, void *target)
{
    return dq_field_text_of(r, f, v, DQ_FIELD_AT(const char *, f, target));
}

int dq_field_read_i32(const dq_fields_reading *r, const dq_field *f, dq_json_ref v, void *target)
{
    char takes[64];
    int64_t n;

    if (dq_json_i64(r->doc, v, &n) < 0 || n < f->min || n > f->max) {
        (void)snprintf(takes, sizeof takes, "a whole number from %" PRId64 " to %" PRId64, f->min, f->max);
        return dq_field_fail_type(r, f, v, takes);
    }
    *DQ_FIELD_AT(int32_t, f, target) = (int32_t)n;
    return 0;
}

bool dq_field_duration_of(const dq_fields_reading *r, dq_json_ref v, int64_t *ret)
{
    dureq_str raw = dq_json_raw(r->doc, v); /* a duration has nothing to escape */

    return dq_json_type_of(r->doc, v) == DQ_JSON_STRING &&
           dq_parse_duration_ms(dureq_str_of(raw.ptr + 1, raw.len - 2), ret) == 0 && *ret >= 0;
}

int dq_field_read_duration(const dq_fields_reading *r, const dq_field *f, dq_json_ref v, void *target)
{
    int64_t ms;

    if (!dq_field_duration_of(r, v, &ms))
        return dq_field_fail_type(r, f, v, "a duration such as \"30s\"");
    *DQ_FIELD_AT(int64_t, f, target) = ms;
    return 0;
}

int dq_field_read_time(const dq_fields_reading *r, const dq_field *f, dq_json_ref v, void *target)
{
    dureq_str raw = dq_json_raw(r->doc, v);
    int64_t at_ms;

    if (dq_json_type_of(r->doc, v) != DQ_JSON_STRING || dq_parse_rfc3339_ms(dureq_str_of(raw.ptr + 1, raw.len - 2), &at_ms) < 0 ||
        at_ms <= 0)
        return dq_field_fail_type(r, f, v, "an RFC 3339 time such as \"2026-11-23T20:00:00Z\"");
    *DQ_FIELD_AT(int64_t, f, target) = at_ms;
    return 0;
}

int dq_field_read_unsupported(const dq_fields_reading *r, const dq_field *f, dq_json_ref v, void *target)
{
    (void)v;
    (void)target;
    return dq_fail(r->err, DUREQ_EUNSUPPORTED, "field '%s' is not supported by this version", f->name);
}

const dq_field *dq_field_find(const dq_fields_reading *r, const dq_field *fields, size_t n, dq_json_ref key)
{
    for (size_t i = 0; i < n; i++)
        if (dq_json_string_eq(r->doc, key, fields[i].name))
            return &fields[i];
    return NULL;
}

int dq_fields_read(const dq_fields_reading *r, dq_json_ref object, const dq_field *fields, size_t n, void *target)
{
    for (dq_json_ref k = dq_json_first(r->doc, object); k != DQ_JSON_NONE; k = dq_json_next(r->doc, object, k)) {
        const dq_field *f = dq_field_find(r, fields, n, k);
        dureq_str name = dq_json_raw(r->doc, k);
        int rc;

        if (!f)
            return dq_fail(r->err, DUREQ_EINVAL, "unknown field '%s%.*s'", r->parent, (int)DQ_MIN(name.len - 2, (size_t)60),
                           name.ptr + 1);
        if (dq_json_type_of(r->doc, k + 1) == DQ_JSON_NULL && !f->takes_null)
            continue;
        rc = f->read(r, f, k + 1, target);
        if (rc < 0)
            return rc;
    }
    return 0;
}

int dq_field_read_value(const dq_fields_reading *r, const dq_field *f, dq_json_ref v, void *target)
{
    (void)r;
    *DQ_FIELD_AT(dq_json_ref, f, target) = v;
    return 0;
}
