/* SPDX-License-Identifier: Apache-2.0 */
/* Schedules that are due: what came round is computed here, and dispatched by one script, which moves each schedule on in the same step, and does so only
   when it is still as it was seen. A call that is made twice, late, or by a leader that was replaced does nothing twice; what it did not do is due still. */

#include "leader/duty.h"

#include "leader/schedule_plan.h"
#include "model/id.h"
#include "store/schedule_calls.h"

#define UNREADABLE_MS 60000 /* to the next look, when none that is due can be read */

typedef struct batch {
    dq_leader *leader;
    int64_t now_ms;
    size_t room; /* instants that the call takes yet */
} batch;

/* ---- calls ---- */

void dq_schedules_put(dq_leader *l, dq_buf *call)
{
    dq_call_schedule_due(call, dq_store_keys(l->all->store), l->shard, l->term);
}

static void on_fired(void *userdata, int code, const dq_reply *reply, const dureq_error *err)
{
    dq_leader *l = userdata;
    dq_fired fired;

    if (!dq_leader_answered(l, "schedule_fire", code, err) || dq_schedule_fire_decode(reply, &fired) < 0) {
        dq_duty_lose(l, DQ_DUTY_SCHEDULE);
        return;
    }
    dq_store_saw_time(l->all->store, l->shard, fired.now_ms);
    dq_duty_end(l, DQ_DUTY_SCHEDULE, fired.next_ms < 0 ? DQ_DUTY_NEVER : fired.next_ms);
}

static void say_error(const dq_leader *l, const dq_due_schedule *s, const dureq_error *err)
{
    dureq_job_id text = {0};
    dq_id id;

    if (dq_id_unpack(s->id, &id))
        dq_id_to_text(&id, &text);
    DQ_LOG(l->all->opts.log, DUREQ_LOG_ERROR, "schedule.error", "schedule=%s error=\"%s\"", text.text, err->msg);
}

static void add_one(batch *b, dq_call *call, const dq_due_schedule *s)
{
    dq_plan p = {0};
    dureq_error err = {0};

    if (dq_schedule_plan(&p, s, b->leader->all->zones, b->now_ms, b->room, &err) < 0)
        say_error(b->leader, s, &err);
    b->room -= p.firing.n;
    dq_fire_add(call, s, &p.firing);
}

int dq_schedules_fire(dq_leader *l, const dq_reply *reply, int64_t *ret_next_ms)
{
    DQ_BUF_AUTO bytes = {0};
    dq_due_schedules due;
    dq_due_schedule s;
    int rc = dq_schedule_due_decode(reply, &due);

    if (rc < 0)
        return rc;
    dq_store_saw_time(l->all->store, l->shard, due.now_ms);
    *ret_next_ms = due.next_ms < 0 ? DQ_DUTY_NEVER : due.next_ms;
    if (due.left == 0 || l->term.epoch == 0)
        return 0;
    if (!dq_leader_zones(l))
        return DUREQ_ENOMEM;
    batch b = {.leader = l, .now_ms = due.now_ms, .room = DQ_FIRE_INSTANTS};
    dq_call call = dq_call_schedule_fire(&bytes, dq_store_keys(l->all->store), l->shard, l->term);
    size_t n = 0;
    for (rc = 1; b.room > 0 && rc != 0;) {
        rc = dq_due_schedules_next(&due, &s);
        if (rc > 0) {
            add_one(&b, &call, &s);
            n++;
        }
    }
    dq_call_end(&call);
    *ret_next_ms = b.now_ms + UNREADABLE_MS;
    if (n == 0)
        return 0;
    return dq_leader_send(l, l->shard, &bytes, on_fired, l) ? DQ_DUTY_GOES_ON : DUREQ_EUNAVAILABLE;
}
