/* SPDX-License-Identifier: Apache-2.0 */
/* What the end of a run means: from what the handler said or returned, the policy and the job's history to an outcome and what follows. Decides
   only; record.c carries it out. */

#include <stdio.h>

#include "base/clock.h"
#include "base/random.h"
#include "worker/worker_internal.h"

/* The text of a failure nobody explained; what was said on being told to stop explains nothing. */
static void explain(dureq_run *t)
{
    char text[96];

    if (t->said.msg && t->outcome != DUREQ_OUTCOME_TIMED_OUT)
        return;
    if (t->heartbeat_missed)
        (void)snprintf(text, sizeof text, "no heartbeat for %lld ms", (long long)t->env.heartbeat_ms);
    else if (t->outcome == DUREQ_OUTCOME_TIMED_OUT)
        (void)snprintf(text, sizeof text, "timed out after %lld ms", (long long)t->ran_ms);
    else
        (void)snprintf(text, sizeof text, "%s (%s)", dureq_errcode_text(t->rc), dureq_errcode_name(t->rc));
    dq_free(t->said.msg);
    t->said.msg = dq_strdup(text);
}

static int64_t policy_delay_ms(dureq_run *t, int failures)
{
    return dq_retry_delay_ms(&t->retry, DQ_MAX(failures, 1), dq_rng_unit(&t->worker->rng));
}

/* A failed attempt: again later, paused, or dead. */
static void judge_failure(dureq_run *t, bool final)
{
    int attempts = t->moved.attempts + 1, in_row = t->moved.errors_in_row + 1;

    explain(t);
    t->spent = true;
    if (final || dq_retry_is_final(&t->retry, dureq_str_from(t->said.msg ? t->said.msg : ""))) {
        t->next = NEXT_DEAD;
        return;
    }
    if (t->retry.pause_after > 0 &&
        in_row >= t->retry.pause_after) { /* also after the last attempt: who resumes it gives it another */
        t->next = NEXT_PAUSED;
        t->delay_ms = t->retry.pause_delay_ms > 0 ? t->retry.pause_delay_ms : -1;
        return;
    }
    if (attempts >= t->retry.max_attempts) {
        t->next = NEXT_DEAD;
        return;
    }
    t->delay_ms = policy_delay_ms(t, attempts);
    t->next = t->delay_ms > 0 ? NEXT_DUE : NEXT_FRONT;
}

static void too_many_repeats(dureq_run *t)
{
    char text[64];

    (void)snprintf(text, sizeof text, "repeated %u times, which is its limit", (unsigned)t->moved.repeats);
    dq_free(t->said.msg);
    t->said.msg = dq_strdup(text);
    t->said.code = DUREQ_ELIMIT;
    t->outcome = DUREQ_OUTCOME_FAIL;
    judge_failure(t, true);
}

static dureq_outcome outcome_of(const dureq_run *t)
{
    if (t->why_stop == DQ_STOP_TIMED_OUT)
        return DUREQ_OUTCOME_TIMED_OUT;
    if (t->said.any)
        return t->said.outcome;
    return t->rc < 0 ? DUREQ_OUTCOME_RETRY : DUREQ_OUTCOME_DONE;
}

void dq_outcome_judge(dureq_run *t, int rc)
{
    t->rc = rc;
    t->outcome = outcome_of(t);
    t->spent = false;
    t->delay_ms = 0;
    switch (t->outcome) {
    case DUREQ_OUTCOME_DONE:
    case DUREQ_OUTCOME_SKIP: t->next = NEXT_COMPLETED; break;
    case DUREQ_OUTCOME_FAIL: judge_failure(t, true); break;
    case DUREQ_OUTCOME_RATE_LIMITED:
        t->next = NEXT_DUE;
        t->delay_ms = t->said.after_ms > 0 ? t->said.after_ms : policy_delay_ms(t, t->moved.errors_in_row + 1);
        break;
    case DUREQ_OUTCOME_PAUSE:
        t->next = NEXT_PAUSED;
        t->delay_ms = t->said.after_ms > 0 ? t->said.after_ms : -1;
        break;
    case DUREQ_OUTCOME_REPEAT:
        if (t->said.repeat_limit > 0 && t->moved.repeats >= t->said.repeat_limit) {
            too_many_repeats(t);
            break;
        }
        t->next = t->said.after_ms > 0 ? NEXT_DUE : NEXT_FRONT;
        t->delay_ms = t->said.after_ms;
        break;
    case DUREQ_OUTCOME_RETRY:
    case DUREQ_OUTCOME_TIMED_OUT:
    case DUREQ_OUTCOME_CANCELLED:
    case DUREQ_OUTCOME_CRASHED: judge_failure(t, false); break;
    }
}
