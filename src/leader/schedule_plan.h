/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What came round of one schedule, and what is to be done with it: from what schedule_due told of it to what schedule_fire is told. No clock, no call;
   time zones are read. One thread at a time. */

#include "io/zones.h"
#include "store/schedule_calls.h"

typedef struct dq_plan {
    dq_firing firing; /* its instants are those below */
    int64_t at[DQ_FIRE_INSTANTS];
} dq_plan;

/* room: at most so many instants. Negative: its definition, or that of the change that waits, cannot be read, or has a zone that is gone: what *ret says
   is to be done all the same. */
int dq_schedule_plan(dq_plan *ret, const dq_due_schedule *s, dq_zones *zones, int64_t now_ms, size_t room, dureq_error *err);
