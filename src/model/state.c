/* SPDX-License-Identifier: Apache-2.0 */
/* The legal moves of a job. Scripts make them; this table is what tests and readers hold them against. It is the same as the one in
   docs/state-machines.md, which says who makes each move and why. */

#include "model/state.h"

#include "base/base.h"

#define BIT(name) (1u << DUREQ_JOB_##name)

static const unsigned next_states[] = {
    [DUREQ_JOB_PENDING] = BIT(SCHEDULED) | BIT(RUNNING) | BIT(RETRYING) | BIT(PAUSED) | BIT(DEAD) | BIT(CANCELLED),
    [DUREQ_JOB_SCHEDULED] = BIT(PENDING) | BIT(PAUSED) | BIT(DEAD) | BIT(CANCELLED),
    [DUREQ_JOB_RUNNING] = BIT(PENDING) | BIT(RETRYING) | BIT(PAUSED) | BIT(COMPLETED) | BIT(DEAD) | BIT(CANCELLED),
    [DUREQ_JOB_RETRYING] = BIT(PENDING) | BIT(PAUSED) | BIT(CANCELLED),
    [DUREQ_JOB_PAUSED] = BIT(PENDING) | BIT(CANCELLED),
    [DUREQ_JOB_COMPLETED] = BIT(PENDING),
    [DUREQ_JOB_DEAD] = BIT(PENDING),
    [DUREQ_JOB_CANCELLED] = BIT(PENDING),
};

bool dq_job_state_can_move(dureq_job_state from, dureq_job_state to)
{
    if ((size_t)from >= DQ_ARRAY_LEN(next_states) || (size_t)to >= DQ_ARRAY_LEN(next_states))
        return false;
    return next_states[from] & (1u << to);
}
