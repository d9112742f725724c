/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/base.h"

/* Unpredictable bytes from the kernel (getrandom). */
int dq_random_bytes(void *out, size_t len, dureq_error *err);
/* Fast generator (xoshiro256**), seeded; for jitter and tests. */
typedef struct dq_rng {
    uint64_t s[4];
} dq_rng;
void dq_rng_seed(dq_rng *r, uint64_t seed);
uint64_t dq_rng_next(dq_rng *r);
uint64_t dq_rng_below(dq_rng *r, uint64_t n); /* 0..n-1; n>0 */
double dq_rng_unit(dq_rng *r);                /* [0,1) */
