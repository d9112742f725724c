/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A time zone as its file says: which offset holds at an instant, and which instants a local time names.

   Instants are Unix seconds. A local time is written as the Unix seconds that it would be in UTC, so that its date and clock come out by
   division. A zone does not change once it is made, is counted by reference, and may be used by any thread. */

#include "base/str.h"

#define DQ_ZONE_NAME_MAX 64
#define DQ_ZONE_FILE_MAX (256 * 1024) /* bytes; the largest of tzdata has 4,000 */
#define DQ_ZONE_SHIFT_S  (52 * 3600)  /* no two offsets differ by more: each lies within 26 hours of UTC */

typedef struct dq_zone dq_zone;

/* From the bytes of a TZif file of version 2 or later (RFC 9636). Bytes that are none: DUREQ_EPARSE, saying what is wrong; a file that
   counts leap seconds or has only 32-bit times: DUREQ_EUNSUPPORTED. */
int dq_zone_parse(dureq_str name, dureq_str bytes, dq_zone **ret, dureq_error *err);
int dq_zone_create_utc(dq_zone **ret, dureq_error *err);
dq_zone *dq_zone_ref(dq_zone *z);
void dq_zone_unref(dq_zone *z); /* NULL is fine */
DQ_DEFINE_CLEANUP(dq_zone, dq_zone_unref);

const char *dq_zone_name(const dq_zone *z);
/* The name of a zone as tzdata has them: no way out of its folder, and no name that each machine has of its own ("localtime"). */
int dq_zone_name_check(dureq_str name, dureq_error *err);

/* How long an offset holds: at each instant from `start` up to, not including, `end`. */
typedef struct dq_zone_span {
    int64_t start, end;    /* INT64_MIN, INT64_MAX where there is no other */
    int32_t offset;        /* seconds east of UTC */
    int32_t offset_before; /* of the span before; the same when there is none */
} dq_zone_span;

dq_zone_span dq_zone_span_at(const dq_zone *z, int64_t at);
int32_t dq_zone_offset_at(const dq_zone *z, int64_t at);

/* What a local time names. `until` is the first later local time for which another span or gap may be the one to look at. */
typedef struct dq_zone_instants {
    int n;         /* how many: 0 in a gap, 2 where clocks were set back; more only in a strange file */
    int64_t first; /* the earliest; in a gap the first instant after it */
    int64_t last;  /* the latest; in a gap the same as first */
    int64_t until;
} dq_zone_instants;

dq_zone_instants dq_zone_instants_of(const dq_zone *z, int64_t local);
/* Whether the offset changes in the given time; ever again with INT64_MAX. */
bool dq_zone_changes_between(const dq_zone *z, int64_t from, int64_t until);
