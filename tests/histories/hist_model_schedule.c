/* SPDX-License-Identifier: Apache-2.0 */
/* The model of schedules: what comes round, what becomes of it while others are active, and what is recorded. Every firing is checked against the
   calendar: as many as came round were dispatched, wait, or were recorded as left out. */
#include "hist_model.h"

#include <string.h>

#include <dureq/schedule.h>

#include "model/schedule.h"
#include "store/schedule_calls.h"

#define GRACE_S  60
#define PER_TICK 10

/* Reasons of records, as docs/redis-keys.md has them. */
enum {
    WHY_NONE,
    WHY_OVERLAP,
    WHY_FULL,
    WHY_MISSED,
    WHY_REPLACED,
    WHY_QUEUE_FULL,
    WHY_QUEUE_GONE,
    WHY_PAUSED,
    WHY_TRIGGER,
    WHY_BACKFILL,
    WHY_BUFFER
};

static int now_s(const hm *m)
{
    return m->now * HM_UNIT_S;
}

int64_t hm_now_ms(const hm *m)
{
    return (int64_t)now_s(m) * 1000;
}

static void record(hm *m, hm_sched *s, hm_record r)
{
    r.at = now_s(m);
    if (s->n_records == HM_RECORDS)
        memmove(&s->record[0], &s->record[1], sizeof(s->record[0]) * (HM_RECORDS - 1));
    else
        s->n_records++;
    s->record[s->n_records - 1] = r;
}

static void leave_out(hm *m, hm_sched *s, int why, int first, int last, int n)
{
    s->skipped += n;
    record(m, s, (hm_record){.kind = DQ_RECORD_SKIPPED, .reason = why, .first = first, .last = last, .n = n, .job = -1});
}

static int n_active(const hm *m, int sched)
{
    int n = 0;

    for (int i = 0; i < m->n_jobs; i++)
        n += m->job[i].sched == sched && m->job[i].active;
    return n;
}

/* ---- dispatch ---- */

/* A look at the queue of a lane: 0, or why nothing can be dispatched. */
static int look_at_queue(hm *m, int lane, bool accepted_before)
{
    int queue = lane / 2;

    if (lane == HM_LANES)
        return WHY_QUEUE_GONE;
    if (m->lane_no[lane] == 0)
        m->lane_no[lane] = ++m->n_lanes;
    if (!m->room_seen[queue])
        m->room[queue] = hm_room(m, queue);
    m->room_seen[queue] = true;
    return m->room[queue] <= 0 && !accepted_before ? WHY_QUEUE_FULL : 0;
}

static int dispatch(hm *m, int sched, const hm_def *d, int at, bool tracked, int why)
{
    int job = m->n_jobs++;

    m->job[job] = (hm_job){.lane = d->lane,
                           .place = HM_LANE,
                           .turn = 1,
                           .ukey = -1,
                           .kept = d->kept,
                           .s2s = d->s2s,
                           .s2s_at = d->s2s > 0 ? m->now + d->s2s : -1,
                           .payload = d->large ? 0 : d->payload,
                           .large = d->large > 0,
                           .large_no = d->large,
                           .sched = sched,
                           .at = at,
                           .minds = tracked,
                           .pauses = d->pauses,
                           .active = tracked};
    m->stat_e[d->lane]++;
    m->room[d->lane / 2]--;
    record(m, &m->sched[sched], (hm_record){.kind = DQ_RECORD_FIRED, .reason = why, .first = at, .last = at, .n = 1, .job = job});
    return job;
}

static void buffer_clear(hm_sched *s, int *ret_by_hand)
{
    *ret_by_hand = 0;
    for (int i = 0; i < s->n_buf; i++)
        *ret_by_hand += s->buf_by_hand[i];
    s->n_buf = 0;
}

/* All that waits is left out. */
static void buffer_leave_out(hm *m, hm_sched *s, int why)
{
    int by_hand, n = s->n_buf;

    leave_out(m, s, why, s->buf[0], s->buf[n - 1], n);
    buffer_clear(s, &by_hand);
    s->taken -= n - by_hand;
    s->n_left_out += n - by_hand;
}

static void drain(hm *m, int sched)
{
    hm_sched *s = &m->sched[sched];
    int why;

    if (s->paused || s->n_buf == 0 || n_active(m, sched) > 0)
        return;
    why = look_at_queue(m, s->d.lane, /*accepted_before=*/true);
    if (why) {
        buffer_leave_out(m, s, why);
        return;
    }
    (void)dispatch(m, sched, &s->d, s->buf[0], /*tracked=*/true, WHY_BUFFER);
    s->n_buf--;
    memmove(&s->buf[0], &s->buf[1], sizeof(s->buf[0]) * (size_t)s->n_buf);
    memmove(&s->buf_by_hand[0], &s->buf_by_hand[1], sizeof(s->buf_by_hand[0]) * (size_t)s->n_buf);
}

/* ---- what follows from the end of an occurrence ---- */

void hm_occurrence_ended(hm *m, int job, bool died)
{
    hm_job *j = &m->job[job];
    hm_sched *s;

    if (j->sched < 0 || !j->active || !j->minds)
        return;
    s = &m->sched[j->sched];
    j->lingers = hm_has_late(m, job) && (m->replaces || s->d.policy == DUREQ_OVERLAP_REPLACE);
    j->active = j->lingers;
    if (died && j->pauses && !s->paused && !s->ended) {
        s->paused = s->failed = true;
        s->due_ms = HM_NEVER_MS;
    }
    if (!j->lingers)
        drain(m, j->sched);
}

void hm_occurrence_late_over(hm *m, int job)
{
    hm_job *j = &m->job[job];

    if (!j->lingers)
        return;
    j->lingers = j->active = false;
    if (m->sched[j->sched].there)
        drain(m, j->sched);
}

bool hm_occurrence_retried(hm *m, int job)
{
    hm_job *j = &m->job[job];

    if (j->sched < 0 || !j->minds || !m->sched[j->sched].there)
        return true;
    if (m->sched[j->sched].d.policy != DUREQ_OVERLAP_ALLOW_ALL && n_active(m, j->sched) > 0)
        return false;
    j->active = true;
    j->lingers = false;
    return true;
}

/* ---- what becomes of one that comes round ---- */

static void replace(hm *m, int sched)
{
    hm_sched *s = &m->sched[sched];
    int n_jobs = m->n_jobs;

    if (s->n_buf > 0)
        buffer_leave_out(m, s, WHY_REPLACED);
    m->replaces = true;
    for (int i = 0; i < n_jobs; i++) {
        if (m->job[i].sched == sched && m->job[i].active && !m->job[i].lingers)
            (void)hm_cancel(m, i);
    }
    m->replaces = false;
}

/* 0 and *ret_job (-1: it waits, or is left out), or why it cannot be dispatched. why: WHY_NONE when it came round by itself. */
static int occurrence(hm *m, int sched, const hm_def *d, int at, int policy, int why, int *ret_job)
{
    hm_sched *s = &m->sched[sched];
    bool tracked = policy != DUREQ_OVERLAP_ALLOW_ALL || d->policy != DUREQ_OVERLAP_ALLOW_ALL || d->pauses,
         by_hand = why != WHY_NONE;
    int held = look_at_queue(m, d->lane, /*accepted_before=*/false);

    *ret_job = -1;
    if (held)
        return held;
    if (policy == DUREQ_OVERLAP_REPLACE && n_active(m, sched) > 0)
        replace(m, sched);
    if (policy == DUREQ_OVERLAP_ALLOW_ALL || n_active(m, sched) == 0) {
        *ret_job = dispatch(m, sched, d, at, tracked, why);
        m->job[*ret_job].by_hand = by_hand;
        s->taken += !by_hand;
    } else if (policy == DUREQ_OVERLAP_SKIP) {
        leave_out(m, s, WHY_OVERLAP, at, at, 1);
        s->n_left_out += !by_hand;
    } else if (s->n_buf >= (policy == DUREQ_OVERLAP_BUFFER_ALL ? HM_BUFFER : 1)) {
        leave_out(m, s, WHY_FULL, at, at, 1);
        s->n_left_out += !by_hand;
    } else {
        s->buf_by_hand[s->n_buf] = by_hand;
        s->buf[s->n_buf++] = at;
        s->taken += !by_hand;
    }
    return 0;
}

/* ---- the calendar: every so many seconds ---- */

static int first_of(const hm_sched *s, const hm_def *d)
{
    return d->start != HM_NEVER ? d->start : s->made + d->every;
}

/* 0: none. */
static int next_of(const hm_sched *s, const hm_def *d, int after)
{
    int at = first_of(s, d);

    if (at <= after)
        at += (after - at) / d->every * d->every + d->every;
    return at > d->end ? 0 : at;
}

static int count_of(const hm_sched *s, const hm_def *d, int after, int until)
{
    int n = 0;

    for (int at = next_of(s, d, after); at != 0 && at <= until; at = next_of(s, d, at))
        n++;
    return n;
}

static bool same_calendar(const hm_def *a, const hm_def *b)
{
    return a->start == b->start && a->every == b->every && a->end == b->end;
}

/* ---- what the leader does ---- */

bool hm_sched_is_due(const hm *m, int sched)
{
    const hm_sched *s = &m->sched[sched];

    return s->there && s->due_ms <= hm_now_ms(m);
}

static int until_of(const hm *m, const hm_sched *s)
{
    return s->edited && s->e_at < now_s(m) ? s->e_at : now_s(m);
}

/* The change takes the definition's place, from the moment on at which it came. */
static void plan_swap(const hm *m, const hm_sched *s, int cursor, hm_plan *p)
{
    int until = until_of(m, s);

    p->swaps = true;
    p->to_cursor = same_calendar(&s->d, &s->e) || until < cursor ? cursor : until;
    p->to_next = next_of(s, &s->e, p->to_cursor);
    p->to_due_ms = p->to_next > 0 ? (int64_t)p->to_next * 1000 : 0;
}

/* Of what is late the newest is for dispatch, and what the window holds: so many are left out, the oldest. */
static int n_missed(const hm *m, const hm_sched *s, const hm_def *rules, int *ret_late)
{
    int until = until_of(m, s), window = rules->catchup > GRACE_S ? rules->catchup : GRACE_S, beyond = 0;

    *ret_late = 0;
    for (int at = next_of(s, &s->d, s->cursor); at != 0 && at <= until; at = next_of(s, &s->d, at)) {
        *ret_late += at < now_s(m) - GRACE_S;
        beyond += at < now_s(m) - window;
    }
    return beyond > 0 && beyond == *ret_late && !rules->misfire_skip ? beyond - 1 : beyond;
}

void hm_sched_plan(const hm *m, int sched, hm_plan *p)
{
    const hm_sched *s = &m->sched[sched];
    const hm_def *rules = s->edited ? &s->e : &s->d;
    int until = until_of(m, s), missed, late, n_of_late = 0, most = HM_FIRED, cursor = s->cursor, at;

    *p = (hm_plan){.sched = sched, .version = s->version, .cursor = s->cursor, .edit = s->edited ? s->e_no : 0};
    missed = n_missed(m, s, rules, &late);
    for (int i = 0; i < missed; i++) {
        cursor = next_of(s, &s->d, cursor);
        p->missed = (hm_missed){.n = i + 1, .first = i == 0 ? cursor : p->missed.first, .last = cursor};
    }
    if (late > 0)
        most = rules->per_tick > 0 ? rules->per_tick : PER_TICK;
    for (at = next_of(s, &s->d, cursor); at != 0 && at <= until && p->n < most; at = next_of(s, &s->d, at)) {
        n_of_late += at < now_s(m) - GRACE_S;
        p->at[p->n++] = cursor = at;
    }
    p->next = at;
    if (at != 0 && at <= until) {
        p->due_ms = hm_now_ms(m) + (at < now_s(m) - GRACE_S && n_of_late > 0 ? 1000 : 0);
        return;
    }
    p->due_ms = at > 0 ? (int64_t)at * 1000 : 0;
    if (s->edited)
        plan_swap(m, s, cursor, p);
}

static void free_ukey(hm *m, int sched, int ukey)
{
    if (ukey >= 0 && m->key[ukey] == HM_JOBS + sched)
        m->key[ukey] = -1;
}

/* It lets its keys go. */
static void end(hm *m, int sched)
{
    hm_sched *s = &m->sched[sched];

    s->ended = true;
    s->next = 0;
    if (s->d.skey >= 0 && m->skey[s->d.skey] == sched)
        m->skey[s->d.skey] = -1;
    free_ukey(m, sched, s->d.ukey);
    if (s->edited)
        free_ukey(m, sched, s->e.ukey);
}

static void hold(hm *m, hm_sched *s, int at, int why)
{
    if (!s->held)
        record(m, s, (hm_record){.kind = DQ_RECORD_HELD, .reason = why, .first = at, .last = at, .n = 1, .job = -1});
    s->held = true;
    s->next = at;
}

static int64_t kept_until_ms(const hm *m)
{
    return hm_now_ms(m) + HM_KEPT_S * 1000;
}

static bool is_used_up(const hm_sched *s, const hm_def *d)
{
    return d->max > 0 && s->taken >= d->max;
}

/* When it is due next. *ret_waits: not all of it was done. */
static int64_t fire_instants(hm *m, const hm_plan *p, hm_fired *ret, bool *ret_waits)
{
    hm_sched *s = &m->sched[p->sched];
    int next = p->next;

    if (p->missed.n > 0) {
        leave_out(m, s, WHY_MISSED, p->missed.first, p->missed.last, p->missed.n);
        s->n_left_out += p->missed.n;
        s->cursor = p->missed.last;
    }
    s->held = s->held && p->n > 0;
    *ret_waits = true;
    for (int i = 0; i < p->n; i++) {
        int job, why;

        if (p->at[i] > now_s(m)) { /* the clock was set back since the leader looked */
            s->next = p->at[i];
            return (int64_t)s->next * 1000;
        }
        if (is_used_up(s, &s->d)) { /* not all that came round before a change was settled in one call */
            s->cursor = p->at[p->n - 1];
            next = 0;
            break;
        }
        why = occurrence(m, p->sched, &s->d, p->at[i], s->d.policy, WHY_NONE, &job);
        if (why && (!s->edited || why == WHY_QUEUE_FULL)) {
            hold(m, s, p->at[i], why);
            return hm_now_ms(m) + 1000;
        }
        if (why) { /* a change does not wait for a queue that is gone */
            leave_out(m, s, why, p->at[i], p->at[p->n - 1], p->n - i);
            s->n_left_out += p->n - i;
            s->cursor = p->at[p->n - 1];
            break;
        }
        s->held = false;
        s->cursor = p->at[i];
        ret->n += job >= 0;
        if (is_used_up(s, &s->d)) {
            next = 0;
            break;
        }
    }
    *ret_waits = false;
    s->next = next;
    if (next > 0 || s->edited)
        return p->due_ms;
    end(m, p->sched);
    return kept_until_ms(m);
}

static int64_t swap(hm *m, const hm_plan *p)
{
    hm_sched *s = &m->sched[p->sched];

    s->version = s->e_no;
    s->cursor = p->to_cursor;
    s->next = p->to_next;
    s->d = s->e;
    s->edited = false;
    if (s->next > 0 && !is_used_up(s, &s->d))
        return p->to_due_ms;
    end(m, p->sched);
    return kept_until_ms(m);
}

/* All that came round up to where it is now is dispatched, waits, or was left out, and recorded so. until: of the definition that it had. */
static void look_for_lost(hm *m, int sched, const hm_sched *before, int until)
{
    const hm_sched *s = &m->sched[sched];
    int settled = s->taken + s->n_left_out - before->taken - before->n_left_out;

    if (settled != count_of(before, &before->d, before->cursor, until))
        m->lost = sched;
}

static void drop(hm *m, int sched)
{
    hm_sched *s = &m->sched[sched];

    if (!s->ended)
        end(m, sched);
    s->there = false;
    for (int i = 0; i < m->n_jobs; i++) {
        if (m->job[i].sched == sched)
            m->job[i].active = false;
    }
}

static void fire_one(hm *m, const hm_plan *p, hm_fired *ret)
{
    hm_sched *s = &m->sched[p->sched], before = *s;
    bool waits = false;
    int until;

    if (!s->there || s->version != p->version || s->cursor != p->cursor || !hm_sched_is_due(m, p->sched)) {
        ret->n_stale++;
        return;
    }
    if (s->ended) {
        if (n_active(m, p->sched) + s->n_buf > 0)
            s->due_ms = kept_until_ms(m);
        else
            drop(m, p->sched);
        return;
    }
    if (s->paused) { /* since the leader looked */
        s->due_ms = HM_NEVER_MS;
        return;
    }
    s->due_ms = fire_instants(m, p, ret, &waits);
    until = s->cursor;
    if (is_used_up(&before, &before.d)) /* nothing more of that definition comes round */
        until = p->missed.n > 0 ? p->missed.last : before.cursor;
    if (s->edited && !waits && p->edit != s->e_no) {
        s->due_ms = hm_now_ms(m); /* it came, or another did, since the leader looked */
    } else if (s->edited && !waits && p->swaps) {
        if (!same_calendar(&s->d, &s->e) && !is_used_up(s, &s->d))
            until = until_of(m, s) > until ? until_of(m, s) : until;
        s->due_ms = swap(m, p);
    }
    look_for_lost(m, p->sched, &before, until);
}

static void begin_call(hm *m)
{
    memset(m->room_seen, 0, sizeof(m->room_seen));
}

hm_fired hm_sched_fire(hm *m, const hm_plan *plans, int n)
{
    hm_fired ret = {0};

    begin_call(m);
    for (int i = 0; i < n; i++)
        fire_one(m, &plans[i], &ret);
    return ret;
}

/* ---- by hand ---- */

static bool same_def(const hm_def *a, const hm_def *b)
{
    return memcmp(a, b, sizeof(*a)) == 0;
}

/* As who read it can tell: a payload that is a key of its own is no part of it, but for its length, which is the same for all here. */
static bool is_as_seen(const hm_def *d, const hm_def *seen)
{
    hm_def a = *d, b = *seen;

    if (a.large && b.large)
        a.large = b.large = a.payload = b.payload = 1;
    return same_def(&a, &b);
}

static int make(hm *m, const hm_def *d, int *ret)
{
    int sched = m->n_scheds;

    if (d->ukey >= 0 && m->key[d->ukey] >= 0) {
        *ret = m->key[d->ukey];
        return DQ_SCHEDULE_KEY_HELD;
    }
    m->n_scheds++;
    m->sched[sched] =
        (hm_sched){.there = true, .made = now_s(m), .version = 1, .cursor = now_s(m), .d = *d, .due_ms = hm_now_ms(m)};
    if (d->skey >= 0)
        m->skey[d->skey] = sched;
    if (d->ukey >= 0)
        m->key[d->ukey] = HM_JOBS + sched;
    *ret = HM_JOBS + sched;
    return DQ_SCHEDULE_MADE;
}

static int change(hm *m, int sched, const hm_def *seen, const hm_def *d, int *ret)
{
    hm_sched *s = &m->sched[sched];
    hm_def *newest = s->edited ? &s->e : &s->d;

    *ret = HM_JOBS + sched;
    if (!s->there)
        return DQ_SCHEDULE_UNKNOWN;
    if (s->ended)
        return DQ_SCHEDULE_HAS_ENDED;
    if (seen && !is_as_seen(newest, seen))
        return DQ_SCHEDULE_OTHER;
    if (same_def(newest, d))
        return DQ_SCHEDULE_SAME;
    if (d->ukey >= 0 && m->key[d->ukey] >= 0 && m->key[d->ukey] != HM_JOBS + sched) {
        *ret = m->key[d->ukey];
        return DQ_SCHEDULE_KEY_HELD;
    }
    if (newest->ukey != d->ukey) {
        if (newest->ukey >= 0 && m->key[newest->ukey] == HM_JOBS + sched)
            m->key[newest->ukey] = -1;
        if (d->ukey >= 0)
            m->key[d->ukey] = HM_JOBS + sched;
    }
    s->e_no = (s->edited ? s->e_no : s->version) + 1;
    s->e = *d;
    s->e_at = now_s(m);
    s->edited = true;
    if (!s->paused)
        s->due_ms = hm_now_ms(m);
    return DQ_SCHEDULE_CHANGED;
}

int hm_sched_put(hm *m, int by_id, const hm_def *seen, const hm_def *d, int *ret)
{
    int sched = by_id;

    if (sched < 0 && d->skey >= 0)
        sched = m->skey[d->skey];
    return sched < 0 ? make(m, d, ret) : change(m, sched, by_id >= 0 ? seen : NULL, d, ret);
}

int hm_sched_pause(hm *m, int sched, bool pause)
{
    hm_sched *s = &m->sched[sched];

    if (!s->there)
        return DQ_SCHEDULE_UNKNOWN;
    if (s->ended)
        return DQ_SCHEDULE_HAS_ENDED;
    if (s->paused == pause)
        return 1;
    s->paused = pause;
    s->failed = s->held = false;
    s->due_ms = pause ? HM_NEVER_MS : hm_now_ms(m);
    begin_call(m);
    if (!pause)
        drain(m, sched);
    return 0;
}

int hm_sched_delete(hm *m, int sched)
{
    int n = m->sched[sched].n_buf;

    if (!m->sched[sched].there)
        return DQ_SCHEDULE_UNKNOWN;
    drop(m, sched);
    return n;
}

hm_triggered hm_sched_trigger(hm *m, int sched, int policy, const int *at, int n)
{
    hm_sched *s = &m->sched[sched];
    hm_triggered t = {.job = -1};
    const hm_def d = s->edited ? s->e : s->d;

    if (!s->there)
        t.what = DQ_SCHEDULE_UNKNOWN;
    else if (s->ended)
        t.what = DQ_SCHEDULE_HAS_ENDED;
    if (t.what)
        return t;
    begin_call(m);
    for (int i = 0; i < (n > 0 ? n : 1) && t.why == 0; i++) {
        int job;

        t.why = occurrence(m, sched, &d, n > 0 ? at[i] : now_s(m), policy < 0 ? d.policy : policy,
                           n > 0 ? WHY_BACKFILL : WHY_TRIGGER, &job);
        t.done += t.why == 0;
        t.n += job >= 0;
        t.job = job >= 0 ? job : t.job;
    }
    t.what = t.why ? DQ_SCHEDULE_NO_ROOM : 0;
    return t;
}

int hm_n_buffered(const hm *m)
{
    int n = 0;

    for (int i = 0; i < m->n_scheds; i++)
        n += m->sched[i].there ? m->sched[i].n_buf : 0;
    return n;
}
