/* SPDX-License-Identifier: Apache-2.0 */
#include "model/place.h"

#include "expect.h"
#include "model/state.h"

TEST(each_state_is_that_of_one_place)
{
    unsigned seen = 0;

    for (int p = 0; p < DQ_N_PLACES; p++) {
        EXPECT_U64(0, seen & dq_places[p].states);
        seen |= dq_places[p].states;
    }
    EXPECT_U64((1u << (DUREQ_JOB_CANCELLED + 1)) - 1, seen);
}

/* From an ended state a job only comes back by hand, and then it waits. */
TEST(an_ended_state_is_one_that_leads_to_pending_only)
{
    for (int from = DUREQ_JOB_PENDING; from <= DUREQ_JOB_CANCELLED; from++) {
        bool leads_on = false;

        for (int to = DUREQ_JOB_PENDING + 1; to <= DUREQ_JOB_CANCELLED; to++)
            leads_on = leads_on || dq_job_state_can_move((dureq_job_state)from, (dureq_job_state)to);
        EXPECT_NOTE("%s", dureq_job_state_to_str((dureq_job_state)from));
        EXPECT_TRUE(leads_on == !dq_job_state_is_ended((dureq_job_state)from));
    }
    EXPECT_FALSE(dq_job_state_is_ended((dureq_job_state)-1));
    EXPECT_FALSE(dq_job_state_is_ended((dureq_job_state)32));
}

TEST_MAIN()
