/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DUREQ_SCHEDULE_H
#define DUREQ_SCHEDULE_H

/* When something happens later or again: definitions of schedules, when they come round, and what they mean in words. A definition with its
   time zone is a list of instants in whole seconds that depends on nothing else; docs/schedules.md tells the rules. The first part needs no
   server, the second (dureq_client_...) makes schedules that start jobs. Any thread; time zones are read from the system's tzdata at each call.

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

#include <dureq/client.h>
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

/* What becomes of an occurrence while another of the schedule is active: from its dispatch until it is completed, dead, cancelled or purged, retries and
   pauses included. */
#define DUREQ_OVERLAP_MAP(X)                                                             \
    X(0, ALLOW_ALL, "ALLOW_ALL")   /* it starts all the same */                          \
    X(1, SKIP, "SKIP")             /* it is left out */                                  \
    X(2, BUFFER_ONE, "BUFFER_ONE") /* one waits; further ones are left out */            \
    X(3, BUFFER_ALL, "BUFFER_ALL") /* up to 10,000 wait and start one after the other */ \
    X(4, REPLACE, "REPLACE")       /* those that are active are cancelled for it */

typedef enum dureq_overlap {
#define X(num, name, text) DUREQ_OVERLAP_##name = num,
    DUREQ_OVERLAP_MAP(X)
#undef X
} dureq_overlap;

/* What becomes of the newest occurrence that nobody dispatched within a minute after it was due. */
#define DUREQ_MISFIRE_MAP(X)                       \
    X(0, FIRE, "fire") /* it is dispatched late */ \
    X(1, SKIP, "skip") /* it is left out */

typedef enum dureq_misfire {
#define X(num, name, text) DUREQ_MISFIRE_##name = num,
    DUREQ_MISFIRE_MAP(X)
#undef X
} dureq_misfire;

/* Words are static texts, "unknown" for a number of no meaning; parsing fails with DUREQ_EINVAL for an unknown word. */
DUREQ_API const char *dureq_schedule_type_to_str(dureq_schedule_type type);
DUREQ_API int dureq_schedule_type_parse(dureq_str text, dureq_schedule_type *ret);
DUREQ_API const char *dureq_gap_to_str(dureq_gap gap);
DUREQ_API int dureq_gap_parse(dureq_str text, dureq_gap *ret);
DUREQ_API const char *dureq_overlap_hour_to_str(dureq_overlap_hour overlap_hour);
DUREQ_API int dureq_overlap_hour_parse(dureq_str text, dureq_overlap_hour *ret);
DUREQ_API const char *dureq_overlap_to_str(dureq_overlap overlap);
DUREQ_API int dureq_overlap_parse(dureq_str text, dureq_overlap *ret);
DUREQ_API const char *dureq_misfire_to_str(dureq_misfire misfire);
DUREQ_API int dureq_misfire_parse(dureq_str text, dureq_misfire *ret);

/* A local time of day. */
typedef struct dureq_at_time {
    int32_t hour, minute, second; /* 0 to 23, 0 to 59, 0 to 59 */
} dureq_at_time;

#define DUREQ_AT_TIMES_MAX         1440
#define DUREQ_REGULAR_INTERVAL_MAX 10000
#define DUREQ_BACKFILL_MAX         100

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
    /* How it is fired; none of these is for IMMEDIATE and ONE_TIME. */
    dureq_overlap overlap_policy;
    dureq_misfire misfire;
    int64_t
        catchup_window_ms; /* what was missed is made up for when it was due within so long, beyond the minute that all are; at most 100 years */
    int32_t max_backfill_per_tick; /* so many of these a second; 0 = 10, at most DUREQ_BACKFILL_MAX */
    int32_t max_occurrences;       /* it ends after so many that were dispatched; 0 = not */
    bool pause_on_failure;         /* an occurrence that is dead pauses it */
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

/* ---- schedules that start jobs ----

   At each occurrence the leader of the schedule's shard dispatches one job, exactly once, whichever node leads. The schedule's id answers as a job of
   state scheduled where a job's id is taken: cancel and delete remove it, a new payload is that of the occurrences to come. Errors as in
   <dureq/client.h>. */

/* Make one. The job is what each occurrence is: without delay, run_at_ms, request_id and unique_for_ms; its unique_key is held by the schedule, for as
   long as it lives. An IMMEDIATE or ONE_TIME schedule makes a plain job, whose id *ret is then. DUREQ_ECONFLICT: a live node is too old, which is
   named; DUREQ_EDUPLICATE: the unique key is held, by *ret. */
DUREQ_API DUREQ_MUST_CHECK int dureq_client_create_schedule(dureq_client *client, const dureq_schedule *schedule,
                                                            const dureq_job_spec *job, dureq_job_id *ret, dureq_error *err);

typedef enum dureq_put_result {
    DUREQ_PUT_CREATED = 0,
    DUREQ_PUT_CHANGED = 1,
    DUREQ_PUT_SAME = 2, /* it was so already, and nothing was done */
} dureq_put_result;

/* The schedule of that key (1 to 256 bytes) as it is given here: made when there is none, changed when it is another. What came round before the change is
   dispatched as it was. *ret_what may be NULL. */
DUREQ_API DUREQ_MUST_CHECK int dureq_client_put_schedule(dureq_client *client, dureq_str key, const dureq_schedule *schedule,
                                                         const dureq_job_spec *job, dureq_job_id *ret, dureq_put_result *ret_what,
                                                         dureq_error *err);
/* schedule or job may be NULL: that part stays as it is. DUREQ_ECONFLICT: it has ended. */
DUREQ_API DUREQ_MUST_CHECK int dureq_client_edit_schedule(dureq_client *client, const char *id, const dureq_schedule *schedule,
                                                          const dureq_job_spec *job, dureq_error *err);

/* Something that it did. */
typedef struct dureq_schedule_record {
    const char *what; /* "fired", "skipped", or "held": not dispatched yet, and tried again each second */
    const char *
        reason; /* "" for what was fired when it came round; else "overlap", "buffer_full", "missed", "replaced", "paused", "trigger", "backfill",
                                   "buffer", "queue_full", "queue_gone", "no_lane" */
    int64_t at_ms;             /* when it did that */
    int64_t first_ms, last_ms; /* the occurrence; of many that were skipped the first and the last */
    int64_t n;                 /* how many; 0: 10,000 or more */
    dureq_job_id job_id;       /* of one that was fired */
} dureq_schedule_record;

typedef struct dureq_schedule_info {
    dureq_job_id id;
    dureq_str key;      /* empty: none */
    const char *status; /* "active", "paused", or "completed": nothing more comes round; it is listed for 7 days */
    const char *reason; /* why it is paused or does not start what came round: "failure", "queue"; "" */
    dureq_schedule schedule;
    dureq_job job; /* what its occurrences are */
    int64_t created_at_ms;
    int64_t next_at_ms; /* without jitter; 0: none */
    int64_t n_dispatched, n_skipped;
    int64_t n_active; /* of its occurrences; not counted under ALLOW_ALL */
    int64_t n_buffered;
    const dureq_schedule_record *records; /* the last hundred, newest first; of a list: none */
    size_t n_records;
} dureq_schedule_info;

typedef struct dureq_schedule_list {
    dureq_schedule_info *items;
    size_t n;
    dureq_str next_cursor; /* empty: nothing more */
    int64_t total;         /* of a list: how many there are */
    void *owner;           /* private */
} dureq_schedule_list;

DUREQ_API void dureq_schedule_list_destroy(dureq_schedule_list *list); /* NULL is fine */

/* One, with what it did; *ret holds one item. DUREQ_ENOTFOUND. */
DUREQ_API DUREQ_MUST_CHECK int dureq_client_get_schedule(dureq_client *client, const char *id, dureq_schedule_list **ret,
                                                         dureq_error *err);
DUREQ_API DUREQ_MUST_CHECK int dureq_client_get_schedule_by_key(dureq_client *client, dureq_str key, dureq_schedule_list **ret,
                                                                dureq_error *err);
/* A page of all, by shard and by when they come round next; paused ones come last. limit: 1 to 1000, 0 = 10; a page may be shorter. cursor: next_cursor of
   the page before; NULL: the first. One that comes round between two pages may be on both. */
DUREQ_API DUREQ_MUST_CHECK int dureq_client_list_schedules(dureq_client *client, int32_t limit, const char *cursor,
                                                           dureq_schedule_list **ret, dureq_error *err);

/* Nothing comes round, nor leaves its buffer, until it is resumed; what was missed meanwhile is made up for as after an outage. Pausing one that is paused is
   fine, as is resuming one that is not. DUREQ_ECONFLICT: it has ended. */
DUREQ_API DUREQ_MUST_CHECK int dureq_client_pause_schedule(dureq_client *client, const char *id, dureq_error *err);
DUREQ_API DUREQ_MUST_CHECK int dureq_client_resume_schedule(dureq_client *client, const char *id, dureq_error *err);
/* What it dispatched goes on; what waits in its buffer does not. */
DUREQ_API DUREQ_MUST_CHECK int dureq_client_delete_schedule(dureq_client *client, const char *id, dureq_error *err);

/* policy: NULL: the schedule's own. One occurrence at once, which changes nothing of the others. *ret: its job; empty when it was skipped, or waits in
   the buffer. DUREQ_ELIMIT: the queue is full; DUREQ_ENOTFOUND: no such schedule, or its queue is gone. */
DUREQ_API DUREQ_MUST_CHECK int dureq_client_trigger_schedule(dureq_client *client, const char *id, const dureq_overlap *policy,
                                                             dureq_job_id *ret, dureq_error *err);
/* The occurrences from one time to another, both included, at once, at most DUREQ_PREVIEW_MAX: each as if it came round now. *ret_n: how many were
   dispatched. When it fails on its way, those stay. */
DUREQ_API DUREQ_MUST_CHECK int dureq_client_backfill_schedule(dureq_client *client, const char *id, int64_t from_ms,
                                                              int64_t to_ms, const dureq_overlap *policy, int64_t *ret_n,
                                                              dureq_error *err);

#ifdef __cplusplus
}
#endif
#endif
