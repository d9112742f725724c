/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A schedule's definition with its zone read from the system's tzdata. */

#include "calendar/calendar.h"
#include "io/zones.h"

/* The definition must outlive the calendar, which is the caller's to deinit. zones: NULL to read them afresh. DUREQ_EINVAL names the field,
   in a cron_expr also the column. */
int dq_schedule_open(dq_calendar *ret, const dureq_schedule *s, int64_t created_at_ms, dq_zones *zones, dureq_error *err);
/* The first `room` occurrences after from_ms, in Unix seconds; how many there are. */
size_t dq_schedule_list(const dq_calendar *c, int64_t from_ms, size_t room, int64_t *ret);
