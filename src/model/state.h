/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Which moves of a job's state are legal: the table of docs/state-machines.md. Pure. */

#include <dureq/job.h>

/* Staying in a state is no move: false for from == to. */
bool dq_job_state_can_move(dureq_job_state from, dureq_job_state to);
