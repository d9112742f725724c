/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz_reply.h"

#include "store/doctor_calls.h"
#include "store/job_calls.h"
#include "store/leader_calls.h"
#include "store/queue_calls.h"

/* The answers of scripts, each reply read by every decoder: what one takes lies within the reply and within its limits. */

static dureq_str whole; /* the reply */

static void within(dureq_str part)
{
    assert(part.len == 0 || (part.ptr >= whole.ptr && part.ptr + part.len <= whole.ptr + whole.len));
}

static void read_job(dq_reply r)
{
    dq_arena arena = {0};
    dureq_error err = {0};
    dq_job_view view;
    dureq_job job;
    int rc = dq_job_view_decode(r, &view);

    if (rc < 0) {
        assert(rc == DUREQ_ENOTFOUND || rc == DUREQ_EPROTO);
        return;
    }
    within(view.lane_name);
    within(view.m);
    within(view.body);
    within(view.blob);
    within(view.progress);
    assert(view.state >= -1 && view.state <= DUREQ_JOB_CANCELLED);
    rc = dq_job_view_to_job(&view, NULL, NULL, &arena, &job, &err);
    if (rc == 0) {
        assert((unsigned)job.state <= DUREQ_JOB_CANCELLED && strlen(job.id.text) == DUREQ_JOB_ID_LEN);
        for (size_t i = 0; i < job.n_attempts; i++)
            assert(job.attempts[i].error.len <= view.m.len + view.body.len);
    } else {
        assert(err.code == rc && err.msg[0]);
    }
    dq_arena_deinit(&arena);
}

static void read_queues(dq_reply r)
{
    dq_queue_set set = {0};
    dureq_error err = {0};
    int rc = dq_queue_set_from_reply(&r, &set, &err);

    if (rc < 0) {
        assert(rc == DUREQ_EPROTO && err.code == rc && err.msg[0]);
        return;
    }
    assert(set.n == dq_reply_len(r) / 2);
    for (int p = 1; p <= 10; p++)
        assert((set.by_priority[p] != NULL) == (set.n > 0));
    dq_queue_set_deinit(&set);
}

static int see_lane(dureq_str queue, dureq_str type, int64_t n, void *userdata)
{
    within(queue);
    within(type);
    *(int64_t *)userdata ^= n;
    return 0;
}

static int see_queue(dureq_str queue, const dq_queue_stats *part, void *userdata)
{
    within(queue);
    dq_queue_stats_add(userdata, part);
    return 0;
}

static void read_counts(dq_reply r)
{
    dq_queue_stats sum = {.oldest_ms = -1};
    dq_queue_purged purged;
    int64_t now_ms, next, seen = 0;
    dq_promoted promoted;
    dq_reaped reaped;
    dq_kept kept;

    (void)dq_queue_stats_decode(&r, &next, &now_ms, see_queue, &sum);
    (void)dq_queue_purge_decode(&r, &purged);
    (void)dq_lanes_waiting_decode(&r, &next, see_lane, &seen);
    (void)dq_due_promote_decode(&r, &promoted);
    (void)dq_session_reap_decode(&r, &reaped);
    (void)dq_housekeep_decode(&r, &kept);
}

static void read_doctor_step(dq_reply r)
{
    dq_doctor_step step;
    dq_tally tally = {0};
    dq_fault_view fault;
    dq_doctor_more more;

    if (dq_doctor_step_decode(r, &step, &tally) < 0)
        return;
    within(step.cursor);
    for (size_t i = 0; i < step.n_faults; i++)
        if (dq_doctor_fault_decode(dq_reply_at(step.faults, i), &fault) == 0) {
            within(fault.key);
            within(fault.id);
            within(fault.text);
        }
    for (size_t i = 0; i < step.n_more; i++)
        if (dq_doctor_more_decode(dq_reply_at(step.more, i), &more) == 0) {
            within(more.a);
            within(more.b);
        }
}

/* Whoever walks on after the last value gets nils and stays within the reply. */
static void walk_beyond(dq_reply r)
{
    dq_reply at = dq_reply_first(r);
    size_t n = dq_reply_len(r);

    for (size_t i = 0; i < n + 3; i++) {
        within(dq_reply_str(at));
        assert(i < n || dq_reply_is_nil(at));
        at = dq_reply_next(at);
    }
}

static void read_all(dq_reply r, dureq_str all)
{
    whole = all;
    walk_beyond(r);
    read_job(r);
    read_queues(r);
    read_counts(r);
    read_doctor_step(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_with_reply(data, size, read_all);
    return 0;
}
