/* SPDX-License-Identifier: Apache-2.0 */
#include "api/verbs.h"

#define STATE(name) (1u << DUREQ_JOB_##name)

const dq_api_verb dq_api_verbs[] = {
    {"cancel", DQ_MANY_CANCEL, STATE(PENDING) | STATE(SCHEDULED) | STATE(RUNNING) | STATE(RETRYING) | STATE(PAUSED), 0,
     "has ended already"},
    {"retry", DQ_MANY_RETRY, STATE(DEAD) | STATE(CANCELLED), STATE(COMPLETED),
     "is neither dead nor cancelled (completed ones are retried with force only)"},
    {"redrive", DQ_MANY_RETRY, STATE(DEAD), 0, "is not dead"},
    {"delete", DQ_MANY_DELETE, STATE(COMPLETED) | STATE(DEAD) | STATE(CANCELLED), 0, "has not ended: cancel it first"},
    {"run", DQ_MANY_RUN, STATE(SCHEDULED) | STATE(RETRYING), 0, "is not scheduled, retrying or pending"},
    {"pause", DQ_MANY_PAUSE, STATE(PENDING) | STATE(SCHEDULED) | STATE(RETRYING), 0, "is not pending, scheduled or retrying"},
    {"resume", DQ_MANY_RESUME, STATE(PAUSED), 0, "is not paused"},
    {NULL, DQ_MANY_CANCEL, 0, 0, NULL},
};

const dq_api_verb *dq_api_verb_of(dureq_str name)
{
    for (const dq_api_verb *v = dq_api_verbs; v->name; v++)
        if (dq_str_eq_text(name, v->name))
            return v;
    return NULL;
}

int dq_api_verb_states(const dq_api_verb *v, bool force, dureq_job_filter *f, dureq_job_state states[DQ_API_STATES_MAX],
                       dureq_error *err)
{
    unsigned takes = v->states | (force ? v->more_states : 0);

    for (size_t i = 0; i < f->n_states; i++)
        if (!(takes & 1u << states[i]))
            return dq_fail(err, DUREQ_EINVAL, "parameter 'status' names %s: a job that is so %s",
                           dureq_job_state_to_str(states[i]), v->refused);
    f->states = states;
    if (f->n_states)
        return 0;
    for (unsigned s = 0; s < 32 && f->n_states < DQ_API_STATES_MAX; s++)
        if (v->states & 1u << s)
            states[f->n_states++] = (dureq_job_state)s;
    return 0;
}

int dq_api_check_values(const dq_api_ctx *c, dureq_error *err)
{
    for (size_t i = 0; i < c->n_query; i++)
        if (!*c->query[i].value)
            return dq_fail(err, DUREQ_EINVAL, "parameter '%s' is empty", c->query[i].name);
    return 0;
}
