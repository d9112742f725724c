/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The rule that a TZif file ends with: a POSIX TZ text, with the hours up to 167 of RFC 9636. Pure. */

#include "calendar/zone.h"

typedef struct dq_rule_day {
    enum { DQ_RULE_JULIAN, DQ_RULE_ZERO_BASED, DQ_RULE_WEEKDAY } kind;
    int month, week, day; /* day: 1 to 365 without leap days, 0 to 365, or a weekday from Sunday */
    int32_t time;         /* seconds after local midnight, -167 to 167 hours */
} dq_rule_day;

typedef struct dq_zone_rule {
    bool has_dst;
    int32_t std, dst;       /* offsets east of UTC */
    dq_rule_day start, end; /* of daylight saving time */
} dq_zone_rule;

/* DUREQ_EPARSE for a text that is none. */
int dq_zone_rule_parse(dureq_str text, dq_zone_rule *ret);
/* The span that holds at an instant when nothing but the rule counts. */
dq_zone_span dq_zone_rule_span_at(const dq_zone_rule *r, int64_t at);
