/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A cron expression as sets of numbers, and which days and times of day they name. What it means in a zone is in calendar.c. Pure. */

#include "base/str.h"

#define DQ_CRON_TEXT_MAX    1024                 /* bytes of an expression */
#define DQ_CRON_EVERY_MAX_S INT64_C(12622780800) /* 400 years */

/* Sets are bits: bit n stands for n. */
typedef struct dq_cron {
    uint64_t seconds, minutes;
    uint32_t hours;
    uint32_t days;             /* 1 to 31 */
    uint32_t days_from_end;    /* bit 0: the last day (L), bit n: the n-th before it (L-n) */
    uint32_t days_on_weekday;  /* 1 to 31: the weekday nearest to that day (15W) */
    uint16_t months;           /* 1 to 12 */
    uint8_t weekdays;          /* 0, Sunday, to 6 */
    uint8_t last_weekdays;     /* 0 to 6: the last of the month (5L) */
    uint8_t nth_weekdays[5];   /* 0 to 6: the first, second ... of the month (5#2) */
    bool last_workday;         /* LW */
    bool any_day, any_weekday; /* the field begins with * or ?, so it is no restriction that either may fit */
    bool follows_elapsed_time; /* the hour field begins with * */
    bool has_seconds;          /* six fields */
    int64_t every_s;           /* of @every; 0: all the above counts */
    size_t day_column;         /* where the day of the month stands in the text, from 1; 0: nowhere */
    dureq_str zone;            /* of TZ= or CRON_TZ=, a view into the text; empty when there is none */
    size_t zone_column;        /* where it stands in the text, from 1 */
} dq_cron;

/* Five fields, or six with seconds first; @daily and the like; @every. DUREQ_EINVAL names the column (from 1), the field and what it takes. */
int dq_cron_parse(dureq_str text, dq_cron *ret, dureq_error *err);
/* Bits 1 to 31: the days of this month that fit; 0 when the month itself does not. */
uint32_t dq_cron_days(const dq_cron *c, int64_t year, int month);
/* The first second of the day at or after `from` (0 to 86400) that fits; -1 when there is none. */
int32_t dq_cron_second_of_day(const dq_cron *c, int32_t from);
