/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* JSON objects by a table of their fields: which there are, what each takes, where it goes in a struct. What is wrong is refused with the
   field's name and what it takes. Pure. */

#include "base/arena.h"
#include "json/json.h"

typedef struct dq_fields_reading {
    const dq_json *doc;
    dq_arena *arena;    /* owns what is no view into the document */
    const char *parent; /* "", "retry_policy." ...: what stands before a field's name in messages */
    dureq_error *err;
} dq_fields_reading;

typedef struct dq_field dq_field;
typedef int dq_field_read_fn(const dq_fields_reading *r, const dq_field *f, dq_json_ref v, void *target);

struct dq_field {
    const char *name;
    dq_field_read_fn *read;
    size_t offset; /* in the struct that is filled */
    int64_t min, max;
    bool takes_null; /* null is a value; elsewhere it is the same as leaving the field out */
};

#define DQ_FIELD_AT(type, f, target) ((type *)((char *)(target) + (f)->offset))

/* An object into the struct `target`. DUREQ_EINVAL: a name that is not in the table, or what a reader refuses. */
int dq_fields_read(const dq_fields_reading *r, dq_json_ref object, const dq_field *fields, size_t n, void *target);
const dq_field *dq_field_find(const dq_fields_reading *r, const dq_field *fields, size_t n,
                              dq_json_ref key); /* NULL: none of that name */
/* "field 'x' takes TAKES, not ...": DUREQ_EINVAL. */
int dq_field_fail_type(const dq_fields_reading *r, const dq_field *f, dq_json_ref v, const char *takes);

/* Readers for a table. */
dq_field_read_fn dq_field_read_text;        /* const char *, NUL-ended */
dq_field_read_fn dq_field_read_i32;         /* int32_t from min to max */
dq_field_read_fn dq_field_read_duration;    /* int64_t ms, from text such as "30s" */
dq_field_read_fn dq_field_read_time;        /* int64_t Unix ms, from RFC 3339, after 1970 */
dq_field_read_fn dq_field_read_value;       /* dq_json_ref */
dq_field_read_fn dq_field_read_unsupported; /* DUREQ_EUNSUPPORTED by name */

/* Parts of readers. */
int dq_field_string_of(const dq_fields_reading *r, dq_json_ref v,
                       dureq_str *ret); /* of a string; a view into the document or the arena */
int dq_field_text_of(const dq_fields_reading *r, const dq_field *f, dq_json_ref v,
                     const char **ret); /* NUL-ended, without one inside */
bool dq_field_duration_of(const dq_fields_reading *r, dq_json_ref v, int64_t *ret_ms);
