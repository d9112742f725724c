/* SPDX-License-Identifier: Apache-2.0 */
#include "model/place.h"

#define BIT(name) (1u << DUREQ_JOB_##name)

const dq_place_row dq_places[DQ_N_PLACES] = {
    [DQ_PLACE_LANES] = {"lanes", NULL, BIT(PENDING) | BIT(RUNNING), false},
    [DQ_PLACE_DUE] = {"due", "due:h", BIT(SCHEDULED) | BIT(RETRYING), false},
    [DQ_PLACE_PAUSED] = {"paused", "paused:h", BIT(PAUSED), false},
    [DQ_PLACE_DEAD] = {"dead", "dead:h", BIT(DEAD), true},
    [DQ_PLACE_HISTORY] = {"history", NULL, BIT(COMPLETED) | BIT(CANCELLED), true},
};

bool dq_job_state_is_ended(dureq_job_state state)
{
    const unsigned ended = dq_places[DQ_PLACE_DEAD].states | dq_places[DQ_PLACE_HISTORY].states;

    return (size_t)state < 8 * sizeof ended && (ended & (1u << state));
}
