/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Definitions of schedules: checks that need neither clock nor zone, and the JSON form with the names of the Go version of dureq. Pure. */

#include <dureq/schedule.h>

#include "base/arena.h"
#include "json/json.h"

#define DQ_SCHEDULE_INTERVAL_MAX_S INT64_C(12622780800) /* 400 years */

/* What each field may be, and which belong to the type; what cron_expr and timezone say is looked at in calendar/. */
int dq_schedule_check(const dureq_schedule *s, dureq_error *err);
bool dq_schedule_is_recurring(dureq_schedule_type type);

/* {"type": "DAILY", "at_times": [{"hour": 9}], ...}. DUREQ_EINVAL names the field and what it takes; what belongs to the firing of
   schedules is DUREQ_EUNSUPPORTED by name. Texts and lists lie in the arena. */
int dq_schedule_from_json(const dq_json *doc, dq_json_ref v, dq_arena *a, dureq_schedule *ret, dureq_error *err);
void dq_schedule_to_json(const dureq_schedule *s, dq_json_writer *w);
