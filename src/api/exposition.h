/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The text that Prometheus reads: format 0.0.4, or OpenMetrics 1.0 where that was asked for. A family is begun, then has its samples; a failed
   allocation sticks in the buffer. */

#include "base/buf.h"

typedef enum dq_exposition_type {
    DQ_GAUGE,
    DQ_COUNTER, /* its name has no _total: samples get it */
    DQ_HISTOGRAM,
} dq_exposition_type;

typedef struct dq_exposition {
    dq_buf *out;
    bool open_metrics;
    const char *name; /* of the family that was begun */
    dq_exposition_type type;
} dq_exposition;

#define DQ_EXPOSITION_TEXT "text/plain; version=0.0.4; charset=utf-8"
#define DQ_EXPOSITION_OPEN "application/openmetrics-text; version=1.0.0; charset=utf-8"

/* name and help must stay until the next family. The unit is the end of the name, as Prometheus wants it. */
void dq_exposition_begin(dq_exposition *x, dq_exposition_type type, const char *name, const char *help);
/* labels: as dq_label_put wrote them; NULL: none. */
void dq_exposition_put(dq_exposition *x, const dq_buf *labels, double value);
void dq_exposition_put_u64(dq_exposition *x, const dq_buf *labels, uint64_t value);

typedef struct dq_exposed_histogram {
    const double *bounds;   /* n of them, growing */
    const uint64_t *counts; /* n + 1: of each bucket by itself, the last one of what is above all bounds */
    size_t n;
    double sum;
} dq_exposed_histogram;
void dq_exposition_put_histogram(dq_exposition *x, const dq_buf *labels, const dq_exposed_histogram *h);
void dq_exposition_end(dq_exposition *x);

/* Appends name="value", with a comma before all but the first. */
void dq_label_put(dq_buf *labels, const char *name, dureq_str value);
