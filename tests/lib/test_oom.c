/* SPDX-License-Identifier: Apache-2.0 */
#include "test_oom.h"

#include "test_rig.h"

#define ROUNDS_MAX 3000
#define CALL_MS    2000 /* no call waits for a time-out instead of saying what is wrong */
#define BRIEF      3

static int64_t jobs_there(void)
{
    dureq_counts n = rig_counts();

    return n.pending + n.scheduled + n.running + n.retrying + n.paused + n.completed + n.dead + n.cancelled;
}

/* A change that was made may be told as such, or as one that cannot be known. */
static bool is_fair(const oom_row *row, int rc)
{
    return oom_is_fair(rc) || (row->may_be_unknown && rc == DUREQ_EUNKNOWN);
}

static void look_behind(const oom_row *row, oom_call *c, int rc, int before)
{
    if (row->acts) {
        int state = rig_state(c->id.text);

        if (rc != DUREQ_EUNKNOWN || state != before)
            EXPECT_I64(rc == DUREQ_ENOMEM ? before : row->after, state);
        c->n_jobs -= state < 0;
    }
    if (row->check)
        row->check(c, rc);
    if (row->may_lose && rc < 0)
        c->n_jobs = jobs_there();
    EXPECT_I64(c->n_jobs, jobs_there());
}

void oom_each(const oom_row *row)
{
    oom_call c = {.n_jobs = jobs_there()};
    bool over = false;

    for (long n = oom_first(BRIEF); !over && n < ROUNDS_MAX; n += oom_step(BRIEF)) {
        dureq_error err = {0};
        int64_t began;
        int rc, before = 0;

        EXPECT_NOTE("%s, allocation %ld fails", row->name, n);
        c.calls++;
        if (row->prepare)
            row->prepare(&c);
        if (row->acts)
            before = rig_state(c.id.text);
        began = rig_mono_ms();
        dq_alloc_fail_at(n);
        rc = row->run(&c, &err);
        over = oom_is_over(n);
        if (!is_fair(row, rc))
            print_error("%s\n", err.msg);
        EXPECT_TRUE(is_fair(row, rc));
        EXPECT_TRUE(rc == 0 || err.code == rc);
        EXPECT_TRUE(rig_mono_ms() - began < CALL_MS);
        look_behind(row, &c, rc, before);
    }
    EXPECT_TRUE(over);
}

void oom_each_of(const oom_row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++)
        oom_each(&rows[i]);
}
