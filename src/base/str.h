/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Views, and text to number. Nothing here allocates. */

#include "base/base.h"

#define DQ_STR_FMT    "%.*s"
#define DQ_STR_ARG(s) (int)(s).len, (s).ptr
#define DQ_STR_LIT(x) ((dureq_str){(x), sizeof(x) - 1})

bool dq_str_eq(dureq_str a, dureq_str b);
bool dq_str_eq_text(dureq_str a, const char *text);
bool dq_str_starts_with(dureq_str s, dureq_str prefix);
bool dq_str_ends_with(dureq_str s, dureq_str suffix);
int dq_str_cmp(dureq_str a, dureq_str b);     /* bytewise, shorter first */
dureq_str dq_str_trim(dureq_str s);           /* blanks, tabs, CR, LF at both ends */
dureq_str dq_str_last(dureq_str s, size_t n); /* at most n bytes, from its end */
/* Cuts *rest at the first `sep`: returns what is before, *rest becomes what is behind. With no
   `sep` left returns all and *rest becomes {NULL, 0}. */
dureq_str dq_str_cut(dureq_str *rest, char sep);

/* Whole view must be the number; DUREQ_EPARSE on anything else, DUREQ_EINVAL outside min..max. */
int dq_parse_i64(dureq_str text, int64_t min, int64_t max, int64_t *ret);
int dq_parse_f64(dureq_str text, double *ret);
/* Go's duration syntax: "1h30m", "250ms", "1.5s", "0"; units ns us ms s m h, and d. Sub-millisecond
   parts round up. A number without unit (but 0) is DUREQ_EPARSE. */
int dq_parse_duration_ms(dureq_str text, int64_t *ret);
/* RFC 3339 ("2026-11-23T20:00:00.5Z", "+01:00") to Unix ms. */
int dq_parse_rfc3339_ms(dureq_str text, int64_t *ret);
/* "512", "64KiB", "1MiB", "2GB": bytes. */
int dq_parse_bytes(dureq_str text, int64_t *ret);

#define DQ_DIGITS_MAX 20 /* of a uint64_t */
/* The decimal digits of v, written so that they end before `end`, without a NUL; returns the first. Inline: ids are written a million times a second. */
static inline char *dq_digits_before(char *end, uint64_t v)
{
    do {
        *--end = (char)('0' + v % 10);
        v /= 10;
    } while (v);
    return end;
}

#define DQ_DURATION_TEXT_MAX 32
#define DQ_RFC3339_TEXT_MAX  32
#define DQ_F64_TEXT_MAX      32
/* NUL-ended Go-style text such as "1m30s", "250ms"; returns its length. */
size_t dq_format_duration_ms(int64_t ms, char out[DQ_DURATION_TEXT_MAX]);
/* "2026-11-23T20:00:00.123Z" (UTC); returns its length. */
size_t dq_format_rfc3339_ms(int64_t at_ms, char out[DQ_RFC3339_TEXT_MAX]);
/* The shortest of 15 to 17 digits that reads back the same, in any locale with a point; v is finite. Returns its length. */
size_t dq_format_f64(double v, char out[DQ_F64_TEXT_MAX]);

uint64_t dq_hash_bytes(
    const void *ptr,
    size_t len); /* FNV-1a 64 with a final mix: stable across machines and versions; shard choice depends on it */
