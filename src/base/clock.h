/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The two clocks. Wall time goes to Redis and to people; monotonic time never leaves the process. */

#include "base/base.h"

int64_t dq_wall_ms(void);
int64_t dq_mono_us(void);
int64_t dq_add_sat(int64_t a, int64_t b); /* saturating */
