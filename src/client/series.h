/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What happened in each of the last minutes, hours or days. Any thread; blocking. */

#include <dureq/client.h>

typedef enum dq_series_unit {
    DQ_SERIES_MINUTE,
    DQ_SERIES_HOUR,
    DQ_SERIES_DAY,
} dq_series_unit;

#define DQ_SERIES_BUCKETS 24 /* bucket i holds what is below 2^i ms, the last one all that is longer */

typedef struct dq_series_row {
    int64_t at_ms, length_ms; /* when it began; how much of it is over */
    int64_t enqueued, completed, failed, dead, cancelled;
    int64_t waited[DQ_SERIES_BUCKETS], ran[DQ_SERIES_BUCKETS];
} dq_series_row;

#define DQ_SERIES_MAX 1440

/* The last n, the present one included, oldest first, those without jobs too; 1 <= n <= DQ_SERIES_MAX. ret has room for n. queue and type
   NULL: all; type may end in '*'. */
int dq_client_series(dureq_client *client, dq_series_unit unit, int n, const char *queue, const char *type, dq_series_row *ret,
                     dureq_error *err);

/* The same of n from that one on, counted from 1970; of what has not begun the length is 0. */
int dq_client_series_from(dureq_client *client, dq_series_unit unit, int64_t first, int n, const char *queue, const char *type,
                          dq_series_row *ret, dureq_error *err);

/* The last minutes of all jobs, the present one included, for many who ask (walk.h). */
#define DQ_SERIES_PULSE 60
int dq_client_pulse(dureq_client *client, dq_series_row ret[DQ_SERIES_PULSE], dureq_error *err);

void dq_series_add(dq_series_row *sum, const dq_series_row *next); /* of the time after it */
/* Completed ones, of what is over; failed attempts of all that ended: both rounded to thousandths. */
double dq_series_per_second(const dq_series_row *row);
double dq_series_failure_ratio(const dq_series_row *row);

/* About what time the part q (0 to 1) of them did not exceed: within its bucket, which is a power of two wide, by rule of three. -1: there are
   none. */
int64_t dq_series_percentile(const int64_t buckets[DQ_SERIES_BUCKETS], double q);
