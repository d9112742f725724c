/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Definitions of schedules: checks that need neither clock nor zone, and the JSON form with the names of the Go version of dureq. Pure. */

#include <dureq/schedule.h>

#include "base/arena.h"
#include "base/buf.h"
#include "json/json.h"

#define DQ_SCHEDULE_INTERVAL_MAX_S INT64_C(12622780800) /* 400 years */

/* What each field may be, and which belong to the type; what cron_expr and timezone say is looked at in calendar/. */
int dq_schedule_check(const dureq_schedule *s, dureq_error *err);
bool dq_schedule_is_recurring(dureq_schedule_type type);

/* {"type": "DAILY", "at_times": [{"hour": 9}], ...}. DUREQ_EINVAL names the field and what it takes; what belongs to the firing of
   schedules is DUREQ_EUNSUPPORTED by name. Texts and lists lie in the arena. */
int dq_schedule_from_json(const dq_json *doc, dq_json_ref v, dq_arena *a, dureq_schedule *ret, dureq_error *err);
void dq_schedule_to_json(const dureq_schedule *s, dq_json_writer *w);

/* ---- packed forms (docs/redis-keys.md "Schedules") ---- */

/* All that decides when it comes round; the same definition is always the same bytes. What unpack gives lies in the arena. */
void dq_calendar_pack(dq_buf *out, const dureq_schedule *s);
int dq_calendar_unpack(dureq_str bytes, dq_arena *a, dureq_schedule *ret);
/* Whether two of these come round at the same times. */
bool dq_calendar_is_same(dureq_str one, dureq_str other);

typedef struct dq_definition {
    dureq_schedule schedule;
    dureq_str lane_name, key, unique_key;
    dureq_str j;      /* envelope of its jobs, with a part for schedule and time */
    uint32_t more_at; /* where in j that is */
} dq_definition;
void dq_definition_pack(dq_buf *out, const dq_definition *d);
/* DUREQ_ESCHEMA, DUREQ_EPROTO. Texts are views; the schedule lies in the arena. */
int dq_definition_unpack(dureq_str bytes, dq_arena *a, dq_definition *ret);

#define DQ_SCHEDULE_PAUSED 1
#define DQ_SCHEDULE_ENDED  2
#define DQ_SCHEDULE_HELD   4
#define DQ_SCHEDULE_FAILED 8

typedef struct dq_schedule_state {
    unsigned flags;
    uint32_t version;
    int64_t created_ms;
    int64_t cursor, next; /* s; next 0: not known, or none */
    int64_t n_taken, n_skipped;
} dq_schedule_state;
int dq_schedule_state_unpack(dureq_str bytes, dq_schedule_state *ret);

/* A change that waits: what follows is a definition, or its calendar alone. */
typedef struct dq_schedule_edit {
    int64_t at_ms;
    uint32_t number;
    dureq_str rest;
} dq_schedule_edit;
int dq_schedule_edit_unpack(dureq_str bytes, dq_schedule_edit *ret);

/* What a schedule did, as it is recorded. */
typedef enum dq_record_kind { DQ_RECORD_FIRED = 1, DQ_RECORD_SKIPPED = 2, DQ_RECORD_HELD = 3 } dq_record_kind;
typedef struct dq_schedule_record {
    dq_record_kind kind;
    unsigned reason;
    int64_t at_ms, first, last; /* first and last occurrence: s */
    int64_t n;                  /* 0: too many to count */
    dureq_str job;              /* of one that was fired: its packed id */
} dq_schedule_record;
int dq_schedule_record_unpack(dureq_str bytes, dq_schedule_record *ret);
const char *dq_schedule_reason(unsigned reason);
