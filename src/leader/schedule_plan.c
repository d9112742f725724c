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
#define UNREADABLE_MS    3600000        /* to the next look at one that cannot be read, or whose zone is gone */

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

static int open_old(plan *p, dq_zones *zones, dureq_error *err)
{
    int rc = open_part(p, zones, p->s->calendar, &p->schedule, &p->cal, err);

    p->has_cal = rc == 0;
    return rc;
}

static int open_new(plan *p, dq_zones *zones, dureq_error *err)
{
    int rc = p->s->is_edited ? open_part(p, zones, p->s->edit.rest, &p->schedule_new, &p->cal_new, err) : 0;

    p->has_new = p->s->is_edited && rc == 0;
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

static void replace_from(const plan *p, dq_firing *f, int64_t cursor)
{
    f->to.cursor = cursor;
    if (!dq_calendar_next(&p->cal_new, cursor, &f->to.next))
        f->to.next = 0;
    else
        f->to.due_ms = due_ms_of(p, &p->cal_new, f->to.next);
}

/* The change takes its place: where the times stay as they are, so does all that follows from them. */
static void replace(const plan *p, dq_firing *f, int64_t cursor)
{
    bool is_same = dq_calendar_is_same(p->s->calendar, p->s->edit.rest);

    replace_from(p, f, is_same ? cursor : DQ_MAX(dq_floor_div(p->until_ms, 1000), cursor));
}

/* Nothing is done with it but that it is looked at again. */
static void put_off(const plan *p, dq_firing *f, int64_t until_ms)
{
    *f = (dq_firing){.next = DQ_MAX(p->s->state.next, 1), .due_ms = until_ms, .missed = {.n = -1}};
    f->edit = p->s->is_edited ? p->s->edit.number : 0;
    f->to.cursor = -1;
}

/* What came round under a definition that can be read no more is not known, except for the one that was found to be next: from there on it is missed, at
   least that one. */
static void replace_lost(const plan *p, dq_firing *f)
{
    int64_t next = p->s->state.next, cursor = p->s->state.cursor, until = dq_floor_div(p->until_ms, 1000);

    put_off(p, f, p->now_ms);
    if (next > cursor && next <= until)
        f->missed = (dq_missed){.n = 1, .first = next, .last = until};
    replace_from(p, f, DQ_MAX(until, cursor));
}

/* Returns false when the change has to wait though nothing more comes round before it. */
static bool plan_fire(plan *p, dq_firing *f)
{
    put_off(p, f, p->now_ms);
    p->newest = newest_due(p, p->until_ms, p->s->state.cursor);
    if (!settle(p, f) || !p->s->is_edited)
        return true;
    if (p->has_new)
        replace(p, f, DQ_MAX(p->newest, p->s->state.cursor));
    else
        f->due_ms = p->now_ms + UNREADABLE_MS;
    return p->has_new;
}

/* Whether it stays so: what there is no memory for, or what this machine cannot read just now, it may read later. */
static bool is_lost(int rc)
{
    return rc < 0 && rc != DUREQ_ENOMEM && rc != DUREQ_EIO;
}

int dq_schedule_plan(dq_plan *ret, const dq_due_schedule *s, dq_zones *zones, int64_t now_ms, size_t room, dureq_error *err)
{
    plan p = {.s = s, .now_ms = now_ms, .at = ret->at, .room = room};
    dureq_error why_new = {0};
    int rc, rc_new;

    /* What came round is settled when it is resumed, and before a change takes its place. */
    if (s->state.flags & DQ_SCHEDULE_PAUSED) {
        put_off(&p, &ret->firing, now_ms);
        return 0;
    }
    p.until_ms = s->is_edited ? DQ_MIN(now_ms, s->edit.at_ms) : now_ms;
    rc = open_old(&p, zones, err);
    rc_new = open_new(&p, zones, &why_new);
    if (p.has_cal) {
        if (!plan_fire(&p, &ret->firing))
            rc = dq_fail(err, rc_new, "its change: %s", why_new.msg);
    } else if (p.has_new && is_lost(rc)) {
        replace_lost(&p, &ret->firing);
        rc = 0;
    } else {
        put_off(&p, &ret->firing, now_ms + UNREADABLE_MS);
    }
    plan_deinit(&p);
    return rc;
}
