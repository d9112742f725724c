/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Strict RFC 8259 parser onto a flat tape, and a writer.

   The tape refers to the input text, which must outlive the document: numbers and strings are slices of
   it, nothing is converted until asked, so a value's bytes can be given back exactly as they came.
   Limits: depth 128, 64 MiB of text, 16 M nodes. Duplicate member names: last wins on look-up. */

#include "base/buf.h"

typedef enum dq_json_type {
    DQ_JSON_NULL,
    DQ_JSON_FALSE,
    DQ_JSON_TRUE,
    DQ_JSON_NUMBER,
    DQ_JSON_STRING,
    DQ_JSON_ARRAY,
    DQ_JSON_OBJECT,
} dq_json_type;

typedef struct dq_json_node {
    uint32_t type;  /* dq_json_type; low byte. Bit 8: string holds escapes */
    uint32_t start; /* offset of the value's first byte in the text (strings: the opening quote) */
    uint32_t len;   /* bytes of the value's text, quotes and brackets included */
    uint32_t end;   /* index of the node after this value on the tape */
    uint32_t n;     /* members or elements */
} dq_json_node;

typedef struct dq_json {
    dureq_str text;
    dq_json_node *nodes; /* nodes[0] is the root; an object's children are key, value, key, value... */
    size_t n_nodes, cap;
} dq_json;

/* Handle of a value: index on the tape. */
typedef uint32_t dq_json_ref;
#define DQ_JSON_NONE UINT32_MAX

/* Whole text must be one value. DUREQ_EPARSE with "line L, column C: what" in err; DUREQ_ETOOLARGE beyond a
   limit; DUREQ_ENOMEM. On success *doc is the caller's to deinit. */
int dq_json_parse(dureq_str text, dq_json *doc, dureq_error *err);
/* The same, with room for eight levels more: for a document that has users' values in it, each of which may have full depth. */
int dq_json_parse_frame(dureq_str text, dq_json *doc, dureq_error *err);
bool dq_json_valid(dureq_str text); /* without building a tape */
void dq_json_deinit(dq_json *doc);

dq_json_type dq_json_type_of(const dq_json *doc, dq_json_ref v);
const char *dq_json_type_name(dq_json_type t);            /* "an object", "a string" ... for messages */
dureq_str dq_json_raw(const dq_json *doc, dq_json_ref v); /* exactly the bytes of the value */
/* Unescaped text appended to out. Only for strings (DUREQ_EINVAL otherwise). */
int dq_json_string(const dq_json *doc, dq_json_ref v, dq_buf *out);
bool dq_json_string_eq(const dq_json *doc, dq_json_ref v, const char *text);
int dq_json_i64(const dq_json *doc, dq_json_ref v, int64_t *ret); /* integers in range only, else DUREQ_EINVAL */
int dq_json_f64(const dq_json *doc, dq_json_ref v, double *ret);
dq_json_ref dq_json_member(const dq_json *doc, dq_json_ref object, const char *name); /* DQ_JSON_NONE when absent */
/* Children in order: first child, then next. For objects both yield the key node; its value is key + 1. */
dq_json_ref dq_json_first(const dq_json *doc, dq_json_ref v);
dq_json_ref dq_json_next(const dq_json *doc, dq_json_ref parent, dq_json_ref child); /* for objects: pass a key */

/* Writer: appends to a dq_buf, puts commas itself. Errors stick in the buffer. */
typedef struct dq_json_writer {
    dq_buf *out;
    uint64_t has_items; /* one bit a level */
    int depth;          /* at most 63 */
    bool after_key;
} dq_json_writer;

dq_json_writer dq_json_writer_of(dq_buf *out);
void dq_json_begin_object(dq_json_writer *w);
void dq_json_end_object(dq_json_writer *w);
void dq_json_begin_array(dq_json_writer *w);
void dq_json_end_array(dq_json_writer *w);
void dq_json_key(dq_json_writer *w, const char *name);
void dq_json_key_str(dq_json_writer *w, dureq_str name);
void dq_json_put_str(dq_json_writer *w, dureq_str text); /* escapes; invalid UTF-8 bytes become U+FFFD */
void dq_json_put_text(dq_json_writer *w, const char *text);
void dq_json_put_i64(dq_json_writer *w, int64_t v);
void dq_json_put_f64(dq_json_writer *w, double v);
void dq_json_put_bool(dq_json_writer *w, bool v);
void dq_json_put_null(dq_json_writer *w);
void dq_json_put_raw(dq_json_writer *w, dureq_str json);     /* already JSON, copied as it is */
void dq_json_put_checked(dq_json_writer *w, dureq_str json); /* the same if it is JSON, else as a text: for what others wrote */
void dq_json_put_base64(dq_json_writer *w, dureq_str bytes);
void dq_json_put_rfc3339(dq_json_writer *w, int64_t at_ms);
/* A member: its key, then its value. */
void dq_json_set_str(dq_json_writer *w, const char *name, dureq_str text);
void dq_json_set_text(dq_json_writer *w, const char *name, const char *text);
void dq_json_set_i64(dq_json_writer *w, const char *name, int64_t v);
void dq_json_set_f64(dq_json_writer *w, const char *name, double v);
void dq_json_set_bool(dq_json_writer *w, const char *name, bool v);
void dq_json_set_raw(dq_json_writer *w, const char *name, dureq_str json);
void dq_json_set_rfc3339(dq_json_writer *w, const char *name, int64_t at_ms);

bool dq_utf8_valid(dureq_str s);
void dq_base64_encode(dq_buf *out, dureq_str bytes);
int dq_base64_decode(dureq_str text, dq_buf *out); /* standard alphabet with padding; DUREQ_EPARSE */
