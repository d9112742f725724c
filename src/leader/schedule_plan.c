/* SPDX-License-Identifier: Apache-2.0 */
/* What came round is what was due up to now, or up to the change of the definition that waits; then the definition that waits goes on from
   there. Of what is over a minute late, the newest is dispatched, and what the window for catching up holds; the rest is one range that was missed. */

#include "leader/schedule_plan.h"

#include "base/date.h"
#include "model/schedule.h"

#define GRACE_MS         60000 /* what is no later than this is no misfire */
#define TICK_MS          1000  /* of max_backfill_per_tick */
#define BACKFILL_DEFAULT 10
#define COUNT_MAX        10000          /* of what was missed: more is not counted */
#define LOOK_AGAIN_MS    (24 * 3600000) /* at each, however far its next time is: its zone may have changed */

/* One of them, with what its calendars need. */
typedef struct plan {
    const dq_due_schedule *s;
    dureq_schedule schedule, schedule_new;
    dq_calendar cal, cal_new;
    bool has_cal, has_new;
    dq_arena arena;
    int64_t now_ms, until_ms;
    int64_t newest; /* the last that came round; the cursor: none did */
    int64_t *at;    /* instants to dispatch, and how many there may be */
    size_t room;
} plan;

static void plan_deinit(plan *p)
{
    if (p->has_cal)
        dq_calendar_deinit(&p->cal);
    if (p->has_new)
        dq_calendar_deinit(&p->cal_new);
    dq_arena_deinit(&p->arena);
}

static int open_part(plan *p, dq_zones *zones, dureq_str bytes, dureq_schedule *s, dq_calendar *ret, dureq_error *err)
{
    int rc = dq_calendar_unpack(bytes, &p->arena, s);

    if (rc < 0)
        return dq_fail(err, rc, "its definition cannot be read: %s", dureq_errcode_text(rc));
    return dq_zones_open_calendar(zones, s, p->s->state.created_ms, ret, err);
}

static int plan_open(plan *p, dq_zones *zones, dureq_error *err)
{
    int rc = open_part(p, zones, p->s->calendar, &p->schedule, &p->cal, err);

    p->has_cal = rc == 0;
    if (rc == 0 && p->s->is_edited) {
        rc = open_part(p, zones, p->s->edit.rest, &p->schedule_new, &p->cal_new, err);
        p->has_new = rc == 0;
    }
    return rc;
}

/* ---- what came round ---- */

/* The last occurrence that was due by then, and not before `than`. Due times rise with occurrences, and none reaches the next occurrence. */
static int64_t newest_due(const plan *p, int64_t ms, int64_t than)
{
    int64_t at = dq_floor_div(ms, 1000);

    while (dq_calendar_newest(&p->cal, at, &at) && at > than) {
        if (dq_calendar_due_ms(&p->cal, p->s->id, at) <= ms)
            return at;
        at--;
    }
    return than;
}

static int64_t due_ms_of(const plan *p, const dq_calendar *cal, int64_t at)
{
    return DQ_MIN(dq_calendar_due_ms(cal, p->s->id, at), p->now_ms + LOOK_AGAIN_MS);
}

/* What lies after `from`, up to `to`. */
static dq_missed range_of(const plan *p, int64_t from, int64_t to)
{
    dq_missed m = {.n = -1};

    if (to <= from || !dq_calendar_next(&p->cal, from, &m.first) || m.first > to)
        return m;
    m.last = to;
    m.n = dq_calendar_count(&p->cal, from, to, COUNT_MAX);
    if (m.n >= COUNT_MAX)
        m.n = 0;
    return m;
}

/* The most recent definition says how it is made up for what was missed. */
static const dureq_schedule *rules_of(const plan *p)
{
    return p->has_new ? &p->schedule_new : &p->schedule;
}

/* Up to where it is left out, after the cursor; it is the cursor when nothing is. */
static int64_t missed_until(const plan *p, int64_t late)
{
    const dureq_schedule *rules = rules_of(p);
    int64_t window_ms = DQ_MAX(rules->catchup_window_ms, GRACE_MS), cursor = p->s->state.cursor;
    int64_t beyond = newest_due(p, DQ_MIN(p->now_ms - window_ms - 1, p->until_ms), cursor), before;

    if (beyond < late || rules->misfire == DUREQ_MISFIRE_SKIP || beyond == cursor)
        return beyond;
    /* None of those that are late is within the window: the newest of them is for dispatch. */
    return dq_calendar_newest(&p->cal, beyond - 1, &before) && before > cursor ? before : cursor;
}

/* Fills *f, except for what a change does. Returns whether all that came round is settled by it. */
static bool settle(plan *p, dq_firing *f)
{
    int64_t cursor = p->s->state.cursor, at;
    int64_t late = newest_due(p, DQ_MIN(p->now_ms - GRACE_MS - 1, p->until_ms), cursor);
    int32_t per_tick = rules_of(p)->max_backfill_per_tick;
    size_t most = DQ_MIN(p->room, (size_t)DQ_FIRE_INSTANTS), n_late = 0;

    f->missed = (dq_missed){.n = -1};
    if (late > cursor) {
        int64_t until = missed_until(p, late);

        f->missed = range_of(p, cursor, until);
        cursor = until;
        most = DQ_MIN(most, (size_t)(per_tick > 0 ? per_tick : BACKFILL_DEFAULT));
    }
    at = cursor;
    while (f->n < most && dq_calendar_next(&p->cal, at, &at) && at <= p->newest) {
        n_late += at <= late;
        p->at[f->n++] = cursor = at;
    }
    f->at = p->at;
    bool has_next = dq_calendar_next(&p->cal, cursor, &f->next);
    if (!has_next)
        f->next = 0;
    if (has_next && f->next <= p->newest) {
        f->due_ms = f->next <= late && n_late > 0 ? p->now_ms + TICK_MS : p->now_ms;
        return false;
    }
    f->due_ms = has_next ? due_ms_of(p, &p->cal, f->next) : 0;
    return true;
}

/* The change takes its place: where the times stay as they are, so does all that follows from them. */
static void replace(plan *p, dq_firing *f, int64_t cursor)
{
    const dq_due_schedule *s = p->s;
    bool is_same = dq_calendar_is_same(s->calendar, s->edit.rest);

    f->to.cursor = is_same ? cursor : DQ_MAX(dq_floor_div(p->until_ms, 1000), cursor);
    if (!dq_calendar_next(&p->cal_new, f->to.cursor, &f->to.next))
        f->to.next = 0;
    else
        f->to.due_ms = due_ms_of(p, &p->cal_new, f->to.next);
}

static void plan_fire(plan *p, dq_firing *f)
{
    bool is_paused = p->s->state.flags & DQ_SCHEDULE_PAUSED;
    int64_t cursor = p->s->state.cursor;

    p->until_ms = p->s->is_edited ? DQ_MIN(p->now_ms, p->s->edit.at_ms) : p->now_ms;
    p->newest = newest_due(p, p->until_ms, cursor);
    if (p->s->is_edited)
        f->edit = p->s->edit.number;
    f->to.cursor = -1;
    f->to.missed = (dq_missed){.n = -1};
    if (is_paused) {
        f->missed = (dq_missed){.n = -1};
        f->next = p->s->state.next;
        f->due_ms = p->now_ms;
        if (p->s->is_edited) {
            replace(p, f, cursor);
            if (f->to.cursor > cursor)
                f->to.missed = range_of(p, cursor, p->newest);
        }
        return;
    }
    if (settle(p, f) && p->s->is_edited)
        replace(p, f, DQ_MAX(p->newest, cursor));
}

int dq_schedule_plan(dq_plan *ret, const dq_due_schedule *s, dq_zones *zones, int64_t now_ms, size_t room, dureq_error *err)
{
    plan p = {.s = s, .now_ms = now_ms, .at = ret->at, .room = room};
    int rc = plan_open(&p, zones, err);

    ret->firing = (dq_firing){0};
    if (rc == 0)
        plan_fire(&p, &ret->firing);
    plan_deinit(&p);
    return rc;
}
