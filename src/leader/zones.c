/* SPDX-License-Identifier: Apache-2.0 */
/* Schedules are computed from the time zones of the system, which change a few times a year. Once a minute the leader looks at the version of their files,
   and at the files that it has read; when something is another, all schedules that have a zone are looked at again, as if they were due: nothing has come
   round, so only their next time changes. All of them, since a zone that only others have read may be another, too. A new leader does so when its files are
   of another version than those by which they were computed, or say no version.

   All that are stored are gone through, some in a call and with a pause after each, so that what is really due waits for nothing. Only at the end are
   they computed by that version: the next leader begins again with what this one did not end. */

#include "leader/duty.h"

#include "store/schedule_calls.h"

#define LOOK_LIMIT    200
#define LOOK_BYTES    (256 * 1024)   /* of definitions that a call reads */
#define LOOK_GAP_MS   50             /* so 4,000 a second: a quarter of what is dispatched in that time */
#define DUE_WITHIN_MS (25 * 3600000) /* whatever is computed is looked at again within a day */

static dureq_str version_of(const dq_zone_look *z)
{
    return dureq_str_of(z->version, z->n_version);
}

/* Whether there is anything to look for, from the beginning. */
static bool begin(dq_leader *l, dq_zones *zones)
{
    dq_zone_look *z = &l->zone_look;
    bool is_elected = z->epoch != l->term.epoch, led_before = z->epoch != 0;
    bool is_changed = (led_before && z->changes != dq_zones_changes(zones)) || (z->is_on && z->is_changed);
    dureq_str version = dq_zones_version(zones);

    if (!is_elected && !is_changed && dq_str_eq(version, version_of(z)))
        return false;
    z->n_version = version.len;
    if (version.len > 0)
        memcpy(z->version, version.ptr, version.len);
    z->is_on = true;
    z->is_changed = is_changed;
    z->changes = dq_zones_changes(zones);
    z->epoch = l->term.epoch;
    z->at = (dq_look_at){0};
    z->upto_ms = dq_store_now_ms(l->all->store, l->shard) + DUE_WITHIN_MS;
    z->n_found = 0;
    return true;
}

void dq_zone_look_put(dq_leader *l, dq_buf *call)
{
    dq_zone_look *z = &l->zone_look;
    dq_zones *zones = dq_leader_zones(l);

    if (!zones)
        return;
    if (!z->is_on || z->epoch != l->term.epoch) {
        dq_zones_look(zones);
        if (!begin(l, zones))
            return;
    }
    dq_look look = {.version = version_of(z),
                    .is_changed = z->is_changed,
                    .upto_ms = z->upto_ms,
                    .limit = LOOK_LIMIT,
                    .bytes_max = LOOK_BYTES};
    dq_call_schedule_look(call, dq_store_keys(l->all->store), l->shard, l->term, &look, &z->at);
}

int dq_zone_look_decode(dq_leader *l, const dq_reply *reply, int64_t *ret_next_ms)
{
    dq_zone_look *z = &l->zone_look;
    dq_looked looked;
    int rc = dq_schedule_look_decode(reply, &looked, &z->at);

    if (rc < 0)
        return rc;
    dq_store_saw_time(l->all->store, l->shard, looked.now_ms);
    z->n_found += looked.n;
    if (looked.n > 0)
        dq_duty_want(l, DQ_DUTY_SCHEDULE, DQ_DUTY_NOW);
    if (!looked.more && z->n_found > 0)
        DQ_LOG(l->all->opts.log, DUREQ_LOG_INFO, "schedule.zones", "shard=%u schedules=%lld are computed again", l->shard,
               (long long)z->n_found);
    z->is_on = looked.more;
    *ret_next_ms = looked.more ? looked.now_ms + LOOK_GAP_MS : DQ_DUTY_NEVER;
    return 0;
}
