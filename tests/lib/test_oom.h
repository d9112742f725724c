/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Tests in which the n-th allocation fails, for n = 1, 1 + step ... until what is tested needs no more. */

#include <dureq/dureq.h>

#include "base/base.h"
#include "fault_wait.h"

/* How a call may end that was told there is no memory. */
static inline bool oom_is_fair(int rc)
{
    return rc == 0 || rc == DUREQ_ENOMEM;
}

/* Memory is back; whether the n-th allocation was never asked for. */
static inline bool oom_is_over(long n)
{
    bool over = dq_alloc_count() < n;

    dq_alloc_fail_at(0);
    return over;
}

/* From one n to the next: the short form leaves most places out, others each time. */
static inline long oom_step(long brief)
{
    return fault_is_short() ? brief : 1;
}
