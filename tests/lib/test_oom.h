/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Tests in which the n-th allocation fails, for each n, or some of them, until what is tested needs no more. */

#include <dureq/dureq.h>

#include "base/base.h"
#include "base/clock.h"
#include "fault_wait.h"

/* How a call may end that was told there is no memory. */
static inline bool oom_is_fair(int rc)
{
    return rc == 0 || rc == DUREQ_ENOMEM;
}

/* Memory is back; whether the n-th allocation was never asked for. */
static inline bool oom_is_over(long n)
{
    bool over = dq_alloc_count() < n;

    dq_alloc_fail_at(0);
    return over;
}

/* The first n, and from one n to the next: the short form leaves most places out, others each time. */
static inline long oom_first(long brief)
{
    return fault_is_short() ? 1 + (long)(dq_mono_us() % brief) : 1;
}

static inline long oom_step(long brief)
{
    return fault_is_short() ? brief : 1;
}

/* ---- a client's calls (test_rig) ---- */

typedef struct oom_call {
    int64_t calls;   /* for whoever needs names that differ */
    int64_t n_jobs;  /* there are, as far as the client was told; prepare, run and check keep it right */
    dureq_job_id id; /* what the call is about, or gave */
} oom_call;

typedef struct oom_row {
    const char *name;
    int (*run)(oom_call *c, dureq_error *err);
    void (*prepare)(oom_call *c);       /* before each call, with memory; NULL: nothing */
    void (*check)(oom_call *c, int rc); /* after it, with memory again; NULL: none */
    bool acts; /* on the job c->id: a success leaves it in the state `after` (-1: gone), a failure as it was */
    int after;
    bool may_be_unknown; /* DUREQ_EUNKNOWN is fair: it happened or it did not */
    bool may_lose;       /* a failure may have taken effect for some jobs, which n_jobs is set to then */
} oom_row;

/* The row's call with the n-th allocation failing, for each n until it needs no more. It ends soon, with success or with DUREQ_ENOMEM (or as its row says), nothing of it is half done, and with memory back the same client goes on. */
void oom_each(const oom_row *row);
void oom_each_of(const oom_row *rows, size_t n);
