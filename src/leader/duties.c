/* SPDX-License-Identifier: Apache-2.0 */
/* The table of duties. Each call is bounded and repeated at once while it says that there is more. Nothing polls: promotion and schedules sleep until the next due
   time by the server's clock; reaping and the outbox start when a heartbeat says so; housekeeping runs each minute, sooner when a schedule-to-start limit
   is near, a bucket of history was opened or the server's memory is short; files of time zones are looked at each minute. */
#include "leader/duty.h"

#include "store/flow_calls.h"

#define HOUR_MS      3600000
#define HOUSEKEEP_MS 60000
#define ZONES_MS     60000
#define KEEP_GAP_MS  5 /* between two looks at limits that are over */

static int64_t time_or_never(int64_t at_ms)
{
    return at_ms < 0 ? DQ_DUTY_NEVER : at_ms;
}

/* ---- promotion ---- */

static int64_t promote_due(const dq_leader_beat *beat)
{
    return time_or_never(beat->next_due_ms);
}

static void promote_put(dq_leader *l, dq_buf *call)
{
    dq_call_due_promote(call, dq_store_keys(l->all->store), l->shard, l->term);
}

static int promote_decode(dq_leader *l, const dq_reply *reply, int64_t *ret_next_ms)
{
    dq_promoted p;
    int rc = dq_due_promote_decode(reply, &p);

    if (rc < 0)
        return rc;
    dq_store_saw_time(l->all->store, l->shard, p.now_ms);
    *ret_next_ms = DQ_MIN(time_or_never(p.next_due_ms), time_or_never(p.next_resume_ms));
    return 0;
}

/* ---- reaping ---- */

static int64_t reap_due(const dq_leader_beat *beat)
{
    return beat->n_expired > 0 ? DQ_DUTY_NOW : DQ_DUTY_NEVER;
}

static void reap_put(dq_leader *l, dq_buf *call)
{
    dq_reap opts = {.lease_ms = l->all->opts.lease_ms, .max_crashes = l->all->opts.max_crashes};

    dq_call_session_reap(call, dq_store_keys(l->all->store), l->shard, l->term, &opts);
}

static int reap_decode(dq_leader *l, const dq_reply *reply, int64_t *ret_next_ms)
{
    dq_reaped r;
    int rc = dq_session_reap_decode(reply, &r);

    if (rc < 0)
        return rc;
    if (r.session && (r.n_handed_over || r.n_dead))
        DQ_LOG(l->all->opts.log, DUREQ_LOG_INFO, "session.reaped", "shard=%u session=%llu handed_over=%lld dead=%lld", l->shard,
               (unsigned long long)r.session, (long long)r.n_handed_over, (long long)r.n_dead);
    *ret_next_ms = r.more ? DQ_DUTY_NOW : DQ_DUTY_NEVER;
    return 0;
}

/* ---- housekeeping ---- */

static int64_t keep_due(const dq_leader_beat *beat)
{
    return time_or_never(beat->next_late_ms);
}

static void keep_put(dq_leader *l, dq_buf *call)
{
    dq_call_housekeep(call, dq_store_keys(l->all->store), l->shard, l->term, &l->all->opts.keep, l->memory_is_short);
    l->memory_is_short = false;
}

static int keep_decode(dq_leader *l, const dq_reply *reply, int64_t *ret_next_ms)
{
    dq_kept k;
    int rc = dq_housekeep_decode(reply, &k);

    if (rc < 0)
        return rc;
    *ret_next_ms = DQ_DUTY_NOW;
    if (!k.more)
        *ret_next_ms = DQ_MAX(time_or_never(k.next_late_ms), dq_store_now_ms(l->all->store, l->shard) + KEEP_GAP_MS);
    return 0;
}

/* ---- the outbox: leader/outbox.c ---- */

static int64_t settle_due(const dq_leader_beat *beat)
{
    return beat->n_outbox > 0 ? DQ_DUTY_NOW : DQ_DUTY_NEVER;
}

/* ---- schedules: leader/schedules.c ---- */

static int64_t schedule_due(const dq_leader_beat *beat)
{
    return time_or_never(beat->next_schedule_ms);
}

/* ---- what workflows and batches left to do, and their timers ---- */

static int64_t flow_due(const dq_leader_beat *beat)
{
    return beat->n_flow_steps > 0 ? DQ_DUTY_NOW : time_or_never(beat->next_timer_ms);
}

static void flow_put(dq_leader *l, dq_buf *call)
{
    dq_call_flow_step(call, dq_store_keys(l->all->store), l->shard, l->term);
}

static int flow_decode(dq_leader *l, const dq_reply *reply, int64_t *ret_next_ms)
{
    dq_flow_stepped s;
    int rc = dq_flow_step_decode(reply, &s);

    if (rc < 0)
        return rc;
    dq_store_saw_time(l->all->store, l->shard, s.now_ms);
    *ret_next_ms = s.n_left > 0 ? DQ_DUTY_NOW : time_or_never(s.next_timer_ms);
    return 0;
}

/* ---- time zones that changed: leader/zones.c ---- */

static int64_t never_due(const dq_leader_beat *beat)
{
    (void)beat;
    return DQ_DUTY_NEVER;
}

/* ---- all of them ---- */

const dq_duty dq_duties[DQ_DUTY_COUNT] = {
    [DQ_DUTY_PROMOTE] = {"due_promote", HOUR_MS, promote_due, promote_put, promote_decode},
    [DQ_DUTY_REAP] = {"session_reap", 0, reap_due, reap_put, reap_decode},
    [DQ_DUTY_KEEP] = {"housekeep", HOUSEKEEP_MS, keep_due, keep_put, keep_decode},
    [DQ_DUTY_SETTLE] = {"outbox_read", 0, settle_due, dq_outbox_put, dq_outbox_settle},
    [DQ_DUTY_SCHEDULE] = {"schedule_due", HOUR_MS, schedule_due, dq_schedules_put, dq_schedules_fire},
    [DQ_DUTY_FLOW] = {"flow_step", 0, flow_due, flow_put, flow_decode},
    [DQ_DUTY_ZONES] = {"schedule_look", ZONES_MS, never_due, dq_zone_look_put, dq_zone_look_decode},
};
