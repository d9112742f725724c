/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Samples, and what a row says of them. A sample that cannot be stored is dropped: a table is no place to die for memory. */

#include "base/base.h"

typedef struct bench_samples {
    double *values;
    size_t n, cap;
} bench_samples;

void bench_samples_add(bench_samples *s, double value);
void bench_samples_deinit(bench_samples *s);
/* q in [0,1], nearest rank; 0 without samples. Both sort the samples. */
double bench_quantile(bench_samples *s, double q);
double bench_median(bench_samples *s); /* mean of the middle two of an even count */

#define BENCH_SAMPLES_AUTO DQ_CLEANUP(bench_samples_deinit) bench_samples
