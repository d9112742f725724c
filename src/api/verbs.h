/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What can be done to many jobs. */

#include "api/request.h"
#include "client/operations.h"

typedef struct dq_api_verb {
    const char *name;
    dq_many_verb many;
    unsigned states;      /* that it takes by filter: bits by state */
    unsigned more_states; /* that it takes, too, with force and when they are named */
    const char *refused;  /* what a job in another state is told */
} dq_api_verb;

extern const dq_api_verb dq_api_verbs[]; /* ended by one without a name */
const dq_api_verb *dq_api_verb_of(dureq_str name);
/* The states of the filter are those that the verb takes, or are named among them. DUREQ_EINVAL. */
int dq_api_verb_states(const dq_api_verb *v, bool force, dureq_job_filter *f, dureq_job_state states[DQ_API_STATES_MAX],
                       dureq_error *err);
/* DUREQ_EINVAL for a filter without a value: it would mean all. */
int dq_api_check_values(const dq_api_ctx *c, dureq_error *err);
