/* SPDX-License-Identifier: Apache-2.0 */
/* What the end of a run means: from what the handler said or returned, the policy and the job's history to an outcome and what follows. Decides
   only; record.c carries it out. */

#include <stdio.h>

#include "base/clock.h"
#include "base/random.h"
#include "worker/worker_internal.h"

/* The text of a failure nobody explained; what was said on being told to stop explains nothing. */
static void explain(dq_claim *c)
{
    char text[96];

    if (c->words.msg && c->verdict.outcome != DUREQ_OUTCOME_TIMED_OUT)
        return;
    if (c->run.was_silent)
        (void)snprintf(text, sizeof text, "no heartbeat for %lld ms", (long long)c->job.env.heartbeat_ms);
    else if (c->verdict.outcome == DUREQ_OUTCOME_TIMED_OUT)
        (void)snprintf(text, sizeof text, "timed out after %lld ms", (long long)c->verdict.ran_ms);
    else
        (void)snprintf(text, sizeof text, "%s (%s)", dureq_errcode_text(c->verdict.rc), dureq_errcode_name(c->verdict.rc));
    dq_free(c->words.msg);
    c->words.msg = dq_strdup(text);
}

static int64_t policy_delay_ms(dq_claim *c, int failures)
{
    return dq_retry_delay_ms(&c->job.retry, DQ_MAX(failures, 1), dq_rng_unit(&c->worker->rng));
}

/* A failed attempt: again later, paused, or dead. */
static void judge_failure(dq_claim *c, bool final)
{
    int attempts = c->job.moved.attempts + 1, in_row = c->job.moved.errors_in_row + 1;

    explain(c);
    c->verdict.is_spent = true;
    if (final || dq_retry_is_final(&c->job.retry, dureq_str_from(c->words.msg ? c->words.msg : ""))) {
        c->verdict.next = DQ_NEXT_DEAD;
        return;
    }
    if (c->job.retry.pause_after > 0 &&
        in_row >= c->job.retry.pause_after) { /* also after the last attempt: who resumes it gives it another */
        c->verdict.next = DQ_NEXT_PAUSED;
        c->verdict.delay_ms = c->job.retry.pause_delay_ms > 0 ? c->job.retry.pause_delay_ms : -1;
        return;
    }
    if (attempts >= c->job.retry.max_attempts) {
        c->verdict.next = DQ_NEXT_DEAD;
        return;
    }
    c->verdict.delay_ms = policy_delay_ms(c, attempts);
    c->verdict.next = c->verdict.delay_ms > 0 ? DQ_NEXT_DUE : DQ_NEXT_FRONT;
}

static void too_many_repeats(dq_claim *c)
{
    char text[64];

    (void)snprintf(text, sizeof text, "repeated %u times, which is its limit", (unsigned)c->job.moved.repeats);
    dq_free(c->words.msg);
    c->words.msg = dq_strdup(text);
    c->words.code = DUREQ_ELIMIT;
    c->verdict.outcome = DUREQ_OUTCOME_FAIL;
    judge_failure(c, true);
}

static dureq_outcome outcome_of(const dq_claim *c)
{
    if (c->run.why_stop == DQ_STOP_TIMED_OUT)
        return DUREQ_OUTCOME_TIMED_OUT;
    if (c->words.has_said)
        return c->words.outcome;
    return c->verdict.rc < 0 ? DUREQ_OUTCOME_RETRY : DUREQ_OUTCOME_DONE;
}

void dq_outcome_judge(dq_claim *c, int rc)
{
    c->verdict.rc = rc;
    c->verdict.outcome = outcome_of(c);
    c->verdict.is_spent = false;
    c->verdict.delay_ms = 0;
    switch (c->verdict.outcome) {
    case DUREQ_OUTCOME_DONE:
    case DUREQ_OUTCOME_SKIP: c->verdict.next = DQ_NEXT_COMPLETED; break;
    case DUREQ_OUTCOME_FAIL: judge_failure(c, true); break;
    case DUREQ_OUTCOME_RATE_LIMITED:
        c->verdict.next = DQ_NEXT_DUE;
        c->verdict.delay_ms = c->words.after_ms > 0 ? c->words.after_ms : policy_delay_ms(c, c->job.moved.errors_in_row + 1);
        break;
    case DUREQ_OUTCOME_PAUSE:
        c->verdict.next = DQ_NEXT_PAUSED;
        c->verdict.delay_ms = c->words.after_ms > 0 ? c->words.after_ms : -1;
        break;
    case DUREQ_OUTCOME_REPEAT:
        if (c->words.repeat_limit > 0 && c->job.moved.repeats >= c->words.repeat_limit) {
            too_many_repeats(c);
            break;
        }
        c->verdict.next = c->words.after_ms > 0 ? DQ_NEXT_DUE : DQ_NEXT_FRONT;
        c->verdict.delay_ms = c->words.after_ms;
        break;
    case DUREQ_OUTCOME_RETRY:
    case DUREQ_OUTCOME_TIMED_OUT:
    case DUREQ_OUTCOME_CANCELLED:
    case DUREQ_OUTCOME_CRASHED: judge_failure(c, false); break;
    }
}
