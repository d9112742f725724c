/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DUREQ_SCHEDULE_H
#define DUREQ_SCHEDULE_H

/* When something happens later or again: definitions of schedules, when they come round, and what they mean in words. A definition with its
   time zone is a list of instants in whole seconds that depends on nothing else; docs/schedules.md tells the rules. Nothing here
   needs a server. Any thread; time zones are read from the system's tzdata at each call.

   Example: the next five weekday mornings in Berlin.

       static int print_mornings(int64_t now_ms)
       {
           dureq_schedule s = dureq_schedule_init();
           int64_t at_ms[5];
           size_t n = 0;
           dureq_error err;

           s.type = DUREQ_SCHEDULE_CRON;
           s.cron_expr = "30 9 * * MON-FRI";
           s.timezone = "Europe/Berlin";
           if (dureq_schedule_preview(&s, now_ms, 5, at_ms, &n, &err) < 0) {
               fprintf(stderr, "%s\n", err.msg);
               return -1;
           }
           for (size_t i = 0; i < n; i++)
               printf("%lld\n", (long long)at_ms[i]);
           return 0;
       }
*/

#include <dureq/error.h>
#include <dureq/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* X(number, NAME, text) */
#define DUREQ_SCHEDULE_TYPE_MAP(X)                                               \
    X(1, IMMEDIATE, "IMMEDIATE") /* once, at once */                             \
    X(2, ONE_TIME, "ONE_TIME")   /* once, at run_at_ms */                        \
    X(3, DURATION, "DURATION")   /* every interval_ms */                         \
    X(4, CRON, "CRON")           /* as cron_expr says */                         \
    X(5, DAILY, "DAILY")         /* at_times of every regular_interval-th day */ \
    X(6, WEEKLY, "WEEKLY")       /* the same of weeks, on included_days */       \
    X(7, MONTHLY, "MONTHLY")     /* the same of months */

typedef enum dureq_schedule_type {
#define X(num, name, text) DUREQ_SCHEDULE_##name = num,
    DUREQ_SCHEDULE_TYPE_MAP(X)
#undef X
} dureq_schedule_type;

/* What becomes of a local time that does not exist because clocks were set forward over it. */
#define DUREQ_GAP_MAP(X)                                                              \
    X(0, AFTER, "after") /* it is the first instant after the gap; several are one */ \
    X(1, SKIP, "skip")   /* it is left out */

typedef enum dureq_gap {
#define X(num, name, text) DUREQ_GAP_##name = num,
    DUREQ_GAP_MAP(X)
#undef X
} dureq_gap;

/* Which one is meant when a local time exists twice because clocks were set back. */
#define DUREQ_OVERLAP_HOUR_MAP(X) \
    X(0, FIRST, "first")          \
    X(1, BOTH, "both")

typedef enum dureq_overlap_hour {
#define X(num, name, text) DUREQ_OVERLAP_HOUR_##name = num,
    DUREQ_OVERLAP_HOUR_MAP(X)
#undef X
} dureq_overlap_hour;

/* Words are static texts, "unknown" for a number of no meaning; parsing fails with DUREQ_EINVAL for an unknown word. */
DUREQ_API const char *dureq_schedule_type_to_str(dureq_schedule_type type);
DUREQ_API int dureq_schedule_type_parse(dureq_str text, dureq_schedule_type *ret);
DUREQ_API const char *dureq_gap_to_str(dureq_gap gap);
DUREQ_API int dureq_gap_parse(dureq_str text, dureq_gap *ret);
DUREQ_API const char *dureq_overlap_hour_to_str(dureq_overlap_hour overlap_hour);
DUREQ_API int dureq_overlap_hour_parse(dureq_str text, dureq_overlap_hour *ret);

/* A local time of day. */
typedef struct dureq_at_time {
    int32_t hour, minute, second; /* 0 to 23, 0 to 59, 0 to 59 */
} dureq_at_time;

#define DUREQ_AT_TIMES_MAX         1440
#define DUREQ_REGULAR_INTERVAL_MAX 10000

/* A field that does not belong to the type must be left at zero. */
typedef struct dureq_schedule {
    size_t struct_size;
    dureq_schedule_type type;
    int64_t run_at_ms;               /* ONE_TIME: Unix time; required there */
    int64_t interval_ms;             /* DURATION: whole seconds, 1 s to 400 years; required there */
    const char *cron_expr;           /* CRON: five fields, six with seconds first, @daily ..., @every 1h30m; required there */
    int32_t regular_interval;        /* DAILY, WEEKLY, MONTHLY: every so many days, weeks, months; 0 = 1, at most
                                       DUREQ_REGULAR_INTERVAL_MAX. Counted from the date of the anchor */
    const dureq_at_time *at_times;   /* DAILY, WEEKLY, MONTHLY: in any order */
    size_t n_at_times;               /* 1 to DUREQ_AT_TIMES_MAX */
    const int32_t *included_days;    /* WEEKLY: 0 (Sunday) to 6; MONTHLY: 1 to 31, passed over in months that lack it */
    size_t n_included_days;          /* 1 or more there */
    int64_t starts_at_ms;            /* no sooner than this Unix time; 0 = not bounded. It is the anchor of intervals, which else
                                       is when the schedule is created. Not for IMMEDIATE and ONE_TIME */
    int64_t ends_at_ms;              /* no later than this Unix time; 0 = not bounded. As starts_at_ms */
    const char *timezone;            /* such as "Europe/Berlin"; NULL: "UTC", or what cron_expr names */
    int64_t jitter_ms;               /* each start is put off by up to this, the same for whoever computes it; at most 100 years.
                                       Not for IMMEDIATE and ONE_TIME */
    dureq_gap gap;                   /* CRON, DAILY, WEEKLY, MONTHLY. No matter to a cron_expr whose hour field begins with "*" */
    dureq_overlap_hour overlap_hour; /* as gap */
} dureq_schedule;

static inline dureq_schedule dureq_schedule_init(void)
{
    dureq_schedule s;
    memset(&s, 0, sizeof s);
    s.struct_size = sizeof s;
    return s;
}

#define DUREQ_PREVIEW_MAX 10000

/* The next occurrences after from_ms (a Unix time, also taken as the time of creation) go to ret_at_ms, which has room for `room`: 1 to
   DUREQ_PREVIEW_MAX. *ret_n is less than that when the schedule ends before. Times are whole seconds, before jitter. DUREQ_EINVAL: the
   definition is wrong, or has no occurrence after from_ms; err says which field, and where in a cron_expr. */
DUREQ_API int dureq_schedule_preview(const dureq_schedule *schedule, int64_t from_ms, size_t room, int64_t *ret_at_ms,
                                     size_t *ret_n, dureq_error *err);

/* The definition as one English sentence, NUL-ended and cut to `room` bytes; returns its whole length. What it says of daylight
   saving time is true of the years after from_ms. DUREQ_EINVAL as above. */
DUREQ_API int dureq_schedule_explain(const dureq_schedule *schedule, int64_t from_ms, char *ret_text, size_t room,
                                     dureq_error *err);

#ifdef __cplusplus
}
#endif
#endif
