/* SPDX-License-Identifier: Apache-2.0 */
/* The words of states and outcomes. */

#include <dureq/job.h>

#include "model/words.h"

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

int dq_word_find(const char *const *words, size_t n, dureq_str text)
{
    for (size_t i = 0; i < n; i++)
        if (words[i] && dq_str_eq_text(text, words[i]))
            return (int)i;
    return -1;
}

const char *dq_word_at(const char *const *words, size_t n, size_t i)
{
    return i < n && words[i] ? words[i] : "unknown";
}

const char *dureq_job_state_to_str(dureq_job_state state)
{
    return dq_word_at(state_words, DQ_ARRAY_LEN(state_words), (size_t)state);
}

int dureq_job_state_parse(dureq_str text, dureq_job_state *ret)
{
    int i = dq_str_eq_text(text, "failed") ? DUREQ_JOB_DEAD : dq_word_find(state_words, DQ_ARRAY_LEN(state_words), text);

    if (i < 0)
        return DUREQ_EINVAL;
    *ret = (dureq_job_state)i;
    return 0;
}

DQ_DEFINE_WORDS(dureq_outcome, outcome_words)
