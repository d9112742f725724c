/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What is printed: a table, or one JSON object a line (name, value, unit, target, met, and note). */

#include "bench.h"

typedef struct bench_result {
    bool is_measured;
    double value;
    char note[200]; /* beside the value; or why there is none */
} bench_result;

void report_begin(bool json);
void report_row(const bench_row *row, const bench_result *result, bool json);
