/* SPDX-License-Identifier: Apache-2.0 */
/* The words of states and outcomes. */

#include <dureq/job.h>

#include "base/str.h"

static const char *const state_words[] = {
#define X(num, name, text) [num] = text,
    DUREQ_JOB_STATE_MAP(X)
#undef X
};

static const char *const outcome_words[] = {
#define X(num, name, text) [num] = text,
    DUREQ_OUTCOME_MAP(X)
#undef X
};

static int find(const char *const *words, size_t n, dureq_str text)
{
    for (size_t i = 0; i < n; i++)
        if (dq_str_eq_text(text, words[i]))
            return (int)i;
    return -1;
}

const char *dureq_job_state_to_str(dureq_job_state state)
{
    return (size_t)state < DQ_ARRAY_LEN(state_words) ? state_words[state] : "unknown";
}

int dureq_job_state_parse(dureq_str text, dureq_job_state *ret)
{
    int i = dq_str_eq_text(text, "failed") ? DUREQ_JOB_DEAD : find(state_words, DQ_ARRAY_LEN(state_words), text);

    if (i < 0)
        return DUREQ_EINVAL;
    *ret = (dureq_job_state)i;
    return 0;
}

const char *dureq_outcome_to_str(dureq_outcome outcome)
{
    return (size_t)outcome < DQ_ARRAY_LEN(outcome_words) ? outcome_words[outcome] : "unknown";
}

int dureq_outcome_parse(dureq_str text, dureq_outcome *ret)
{
    int i = find(outcome_words, DQ_ARRAY_LEN(outcome_words), text);

    if (i < 0)
        return DUREQ_EINVAL;
    *ret = (dureq_outcome)i;
    return 0;
}
