/* SPDX-License-Identifier: Apache-2.0 */
#include "stats.h"

#include <stdlib.h>

void bench_samples_add(bench_samples *s, double value)
{
    if (s->n == s->cap) {
        size_t cap = s->cap ? s->cap * 2 : 64;
        double *values = dq_realloc(s->values, cap * sizeof(*values));

        if (!values)
            return;
        s->values = values;
        s->cap = cap;
    }
    s->values[s->n++] = value;
}

void bench_samples_deinit(bench_samples *s)
{
    dq_free(s->values);
    *s = (bench_samples){0};
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static void sort(bench_samples *s)
{
    if (s->n)
        qsort(s->values, s->n, sizeof(*s->values), compare);
}

double bench_quantile(bench_samples *s, double q)
{
    size_t i = (size_t)(q * (double)s->n);

    sort(s);
    if (s->n == 0)
        return 0;
    return s->values[DQ_MIN(i, s->n - 1)];
}

double bench_median(bench_samples *s)
{
    sort(s);
    if (s->n == 0)
        return 0;
    return s->n % 2 ? s->values[s->n / 2] : (s->values[s->n / 2 - 1] + s->values[s->n / 2]) / 2;
}
