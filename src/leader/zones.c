/* SPDX-License-Identifier: Apache-2.0 */
/* Schedules are computed from the time zones of the system, which change a few times a year. Once a minute the leader looks at the files of the zones that it
   has read; when some changed, the schedules that name them are looked at again, as if they were due: nothing has come round, so only their next
   time changes. A new leader does so for all of them when its files are of another version than those of the leader before.

   All that are stored are gone through, some in a call and with a pause after each, so that what is really due waits for nothing. */

#include "leader/duty.h"

#include "store/schedule_calls.h"

#define LOOK_LIMIT    200
#define LOOK_GAP_MS   50             /* so 4,000 a second: a quarter of what is dispatched in that time */
#define DUE_WITHIN_MS (25 * 3600000) /* whatever is computed is looked at again within a day */

/* Whether there is anything to look for, from the beginning. */
static bool begin(dq_leader *l, const dq_zones *zones)
{
    dq_zone_look *z = &l->zone_look;
    bool is_elected = z->epoch != l->term.epoch;

    if (!is_elected && z->changes == dq_zones_changes(zones))
        return false;
    z->is_on = true;
    z->since = is_elected ? UINT64_MAX : z->changes;
    z->changes = dq_zones_changes(zones);
    z->epoch = l->term.epoch;
    z->at = (dq_look_at){0};
    z->upto_ms = dq_store_now_ms(l->all->store, l->shard) + DUE_WITHIN_MS;
    return true;
}

void dq_zone_look_put(dq_leader *l, dq_buf *call)
{
    dq_zone_look *z = &l->zone_look;
    dq_zones *zones = dq_leader_zones(l);
    size_t i = 0;

    if (!zones)
        return;
    if (!z->is_on || z->epoch != l->term.epoch) {
        dq_zones_look(zones);
        if (!begin(l, zones))
            return;
    }
    dq_look look = {.version = dq_zones_version(zones), .upto_ms = z->upto_ms, .limit = LOOK_LIMIT};
    dq_call c = dq_call_schedule_look(call, dq_store_keys(l->all->store), l->shard, l->term, &look, &z->at);
    for (const char *name = dq_zones_changed(zones, z->since, &i); name; name = dq_zones_changed(zones, z->since, &i))
        dq_look_add(&c, name);
    dq_call_end(&c);
}

int dq_zone_look_decode(dq_leader *l, const dq_reply *reply, int64_t *ret_next_ms)
{
    dq_zone_look *z = &l->zone_look;
    dq_looked looked;
    int rc = dq_schedule_look_decode(reply, &looked, &z->at);

    if (rc < 0)
        return rc;
    dq_store_saw_time(l->all->store, l->shard, looked.now_ms);
    if (looked.n > 0) {
        DQ_LOG(l->all->opts.log, DUREQ_LOG_INFO, "schedule.zones", "shard=%u schedules=%lld are computed again", l->shard,
               (long long)looked.n);
        dq_duty_want(l, DQ_DUTY_SCHEDULE, DQ_DUTY_NOW);
    }
    z->is_on = looked.more;
    *ret_next_ms = looked.more ? looked.now_ms + LOOK_GAP_MS : DQ_DUTY_NEVER;
    return 0;
}
