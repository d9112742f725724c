/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Where a job can be: the table of src/store/lua/include/places.lua (a test compares), as readers of a shard need it. Pure. */

#include <dureq/job.h>

#include "base/base.h"

/* In the order in which listings look through them; cursors of listings hold these numbers. */
typedef enum dq_place {
    DQ_PLACE_LANES, /* lanes and their fronts, waiting and running */
    DQ_PLACE_DUE,
    DQ_PLACE_PAUSED,
    DQ_PLACE_DEAD,
    DQ_PLACE_HISTORY,
    DQ_N_PLACES
} dq_place;

typedef struct dq_place_row {
    const char *name;    /* as scripts call it */
    const char *records; /* hash beside it, when it is a set; else NULL */
    unsigned states;     /* of the jobs there: bits 1 << dureq_job_state */
    bool by_end;         /* it is in order of when its jobs ended */
} dq_place_row;
extern const dq_place_row dq_places[DQ_N_PLACES];

/* Whether nothing more happens to a job by itself. */
bool dq_job_state_is_ended(dureq_job_state state);
