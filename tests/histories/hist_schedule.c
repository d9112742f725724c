/* SPDX-License-Identifier: Apache-2.0 */
/* Schedules: they are put, changed, paused, resumed, triggered, backfilled and deleted by hand, and fired by leaders: one asks what is due, plans with the
   code of the library, and what it sends may come at once, twice, later, or when another leads. What the model expects is planned at the same moment. */
#include "hist_play.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <dureq/schedule.h>

#include "leader/schedule_plan.h"
#include "model/job.h"
#include "redis/resp.h"
#include "store/job_calls.h"
#include "store/schedule_calls.h"

#define ME DQ_STR_LIT("me")

static int64_t ms_of(const hist *h, int s)
{
    return h->base_ms + (int64_t)s * 1000;
}

static dureq_str id_of(const hist *h, int sched)
{
    return hist_holder_id(h, HM_JOBS + sched);
}

static const char *skey_text(int key)
{
    static const char *const names[] = {"", "s0", "s1"};

    return names[key + 1];
}

/* ---- definitions ---- */

void hist_pack_definition(const hist *h, const hm_def *d, dq_buf *out)
{
    const hm_item it = {.lane = d->lane, .ukey = -1, .request = -1, .s2s = d->s2s, .kept = d->kept, .large = d->large};
    dq_definition def = {.schedule = dureq_schedule_init(),
                         .key = dureq_str_from(skey_text(d->skey)),
                         .unique_key = dureq_str_from(hist_key_text(d->ukey))};
    char lane[] = {'q', d->lane == HM_LANES ? '9' : (char)('0' + d->lane / 2), '|', (char)('a' + d->lane % 2), '|', '\0'};
    DQ_BUF_AUTO j = {0};

    def.more_at = (uint32_t)hist_pack_template(&it, d->large ? 0 : d->payload, &j);
    def.j = dq_buf_str(&j);
    def.lane_name = dureq_str_from(lane);
    def.schedule.type = DUREQ_SCHEDULE_DURATION;
    def.schedule.interval_ms = (int64_t)d->every * 1000;
    def.schedule.starts_at_ms = d->start == HM_NEVER ? 0 : ms_of(h, d->start);
    def.schedule.ends_at_ms = d->end == HM_NEVER ? 0 : ms_of(h, d->end);
    def.schedule.overlap_policy = (dureq_overlap)d->policy;
    def.schedule.misfire = d->misfire_skip ? DUREQ_MISFIRE_SKIP : DUREQ_MISFIRE_FIRE;
    def.schedule.catchup_window_ms = (int64_t)d->catchup * 1000;
    def.schedule.max_backfill_per_tick = d->per_tick;
    def.schedule.max_occurrences = d->max;
    def.schedule.pause_on_failure = d->pauses;
    dq_definition_pack(out, &def);
}

static void any_payload(hist *h, hm_def *d, uint32_t bits)
{
    d->payload = ++h->payloads;
    d->large = bits % 6 == 0 ? d->payload : 0;
}

static void any_times(const hist *h, hm_def *d, uint32_t bits)
{
    static const int every[] = {30, 50, 100, 100, 200, 300}, from[] = {-130, -20, 0, 20, 80, 180};
    int now = h->m.now * HM_UNIT_S;

    d->every = every[bits % DQ_ARRAY_LEN(every)];
    d->start = bits / 8 % 3 == 0 ? HM_NEVER : now + from[bits / 32 % DQ_ARRAY_LEN(from)];
    if (d->start != HM_NEVER && ms_of(h, d->start) <= 0)
        d->start = HM_NEVER;
    d->end = bits / 256 % 5 == 0 ? (d->start == HM_NEVER ? now : DQ_MAX(now, d->start)) + 50 * (1 + (int)(bits / 2048 % 10))
                                 : HM_NEVER;
}

static void any_rules(hm_def *d, uint32_t bits)
{
    static const int catchup[] = {0, 0, 150, 250, 350}, per_tick[] = {0, 1, 2, 5}, max[] = {0, 0, 0, 2, 3};

    d->misfire_skip = bits % 4 == 0;
    d->catchup = catchup[bits / 4 % DQ_ARRAY_LEN(catchup)];
    d->per_tick = per_tick[bits / 32 % DQ_ARRAY_LEN(per_tick)];
    d->max = max[bits / 128 % DQ_ARRAY_LEN(max)];
    d->pauses = bits / 1024 % 4 == 0;
}

static void any_place(hm_def *d, uint32_t bits)
{
    d->lane = bits % 16 == 0 ? HM_LANES : (int)(bits / 16 % HM_LANES);
    d->s2s = bits / 64 % 6 == 0 ? 2 + (int)(bits / 512 % 4) : 0;
    d->kept = bits / 2048 % 4 != 0;
}

static hm_def any_def(hist *h, const uint32_t *r)
{
    hm_def d = {.ukey = r[1] % 6 == 0 ? (int)(r[1] / 8 % HM_KEYS) : -1,
                .skey = r[1] / 32 % 2 == 0 ? (int)(r[1] / 64 % HM_SKEYS) : -1,
                .policy = (int)(r[1] / 256 % 5)};

    any_times(h, &d, r[2]);
    any_rules(&d, r[3]);
    any_place(&d, r[2] >> 16);
    any_payload(h, &d, r[3] >> 16);
    return d;
}

/* The same but for one thing, or for none. */
static void alter(hist *h, hm_def *d, const uint32_t *r)
{
    switch (r[1] / 8 % 8) {
    case 0: any_times(h, d, r[2]); break;
    case 1: any_rules(d, r[2]); break;
    case 2: any_place(d, r[2]); break;
    case 3: any_payload(h, d, r[2]); break;
    case 4: d->ukey = r[2] % 2 ? (int)(r[2] / 2 % HM_KEYS) : -1; break;
    case 5: break;
    default: d->policy = (int)(r[2] % 5); break;
    }
}

/* ---- by hand ---- */

static const hm_def *newest_of(const hm_sched *s)
{
    return s->edited ? &s->e : &s->d;
}

static void put(hist *h, const uint32_t *r, hist_msg *msg)
{
    int of = h->m.n_scheds > 0 ? (int)(r[1] / 1024 % (uint32_t)h->m.n_scheds) : -1;
    dq_schedule_put p = {.actor = ME};
    DQ_BUF_AUTO seen = {0};
    DQ_BUF_AUTO packed = {0};

    msg->who = -1;
    msg->def = any_def(h, r);
    if (of >= 0 && r[0] / 16 % 3 != 0) { /* one that is there is changed, by id or by key */
        msg->seen = msg->def = *newest_of(&h->m.sched[of]);
        alter(h, &msg->def, r);
        msg->who = msg->def.skey < 0 || r[0] / 64 % 2 ? of : -1;
    }
    if (msg->who >= 0)
        hist_pack_definition(h, &msg->seen, &seen);
    hist_pack_definition(h, &msg->def, &packed);
    p.id = msg->who >= 0 ? id_of(h, msg->who) : (dureq_str){0};
    p.key = msg->who >= 0 ? (dureq_str){0} : dureq_str_from(skey_text(msg->def.skey));
    p.seen = dq_buf_str(&seen);
    p.definition = dq_buf_str(&packed);
    p.payload = msg->def.large ? hist_large_payload(msg->def.large) : (dureq_str){0};
    dq_call_schedule_put(&msg->bytes, &h->w->keys, 0, &p);
}

static void trigger(hist *h, const uint32_t *r, hist_msg *msg)
{
    int64_t at[HIST_BACKFILL];

    msg->a = r[2] % 3 == 0 ? -1 : (int)(r[2] / 4 % 5);
    msg->n = r[2] / 32 % 2 ? 0 : 1 + (int)(r[2] / 64 % HIST_BACKFILL);
    for (int i = 0; i < msg->n; i++) {
        msg->at[i] = h->m.now * HM_UNIT_S - 1000 + 100 * i;
        at[i] = ms_of(h, msg->at[i]) / 1000;
    }
    dq_call_schedule_trigger(&msg->bytes, &h->w->keys, 0, ME, msg->a, id_of(h, msg->who), at, (size_t)msg->n);
}

/* By its own call, or as a job is: cancelled or deleted. */
static void delete_one(hist *h, const uint32_t *r, hist_msg *msg)
{
    const dq_keys *k = &h->w->keys;
    dureq_str id = id_of(h, msg->who);

    msg->a = (int)(r[2] % 3);
    switch (msg->a) {
    case 0: dq_call_schedule_delete(&msg->bytes, k, 0, ME, id); break;
    case 1: dq_call_job_cancel(&msg->bytes, k, 0, ME, DQ_STR_LIT("no more"), (dureq_str){0}, &id, 1); break;
    default: dq_call_job_delete(&msg->bytes, k, 0, ME, (dureq_str){0}, &id, 1); break;
    }
}

void hist_step_schedule(hist *h, const uint32_t *r, hist_msg *msg)
{
    static const hist_msg_kind kinds[] = {MSG_SCHED_PUT,   MSG_SCHED_PUT,   MSG_SCHED_PUT,     MSG_SCHED_PUT,
                                          MSG_SCHED_PAUSE, MSG_SCHED_PAUSE, MSG_SCHED_TRIGGER, MSG_SCHED_TRIGGER,
                                          MSG_SCHED_PAUSE, MSG_SCHED_DELETE};

    msg->kind = kinds[r[0] % DQ_ARRAY_LEN(kinds)];
    if (h->m.n_scheds < 2 || msg->kind == MSG_SCHED_PUT) {
        msg->kind = MSG_SCHED_PUT;
        put(h, r, msg);
        return;
    }
    msg->who = (int)(r[1] % (uint32_t)h->m.n_scheds);
    if (msg->kind == MSG_SCHED_DELETE && r[3] % 2)
        msg->kind = MSG_SCHED_PAUSE;
    if (msg->kind == MSG_SCHED_PAUSE) {
        msg->flag = r[2] % 2;
        dq_call_schedule_pause(&msg->bytes, &h->w->keys, 0, ME, msg->flag, id_of(h, msg->who));
    } else if (msg->kind == MSG_SCHED_TRIGGER) {
        trigger(h, r, msg);
    } else {
        delete_one(h, r, msg);
    }
}

/* ---- leaders ---- */

static int sched_of(const hist *h, dureq_str id)
{
    for (int i = 0; i < h->m.n_scheds; i++) {
        if (dq_str_eq(id, id_of(h, i)))
            return i;
    }
    return -1;
}

/* -1: none but such as wait for nothing. */
static int64_t next_due_ms(const hist *h)
{
    int64_t ms = HM_NEVER_MS;

    for (int i = 0; i < h->m.n_scheds; i++)
        ms = h->m.sched[i].there ? DQ_MIN(ms, h->m.sched[i].due_ms) : ms;
    return ms == HM_NEVER_MS ? -1 : h->base_ms + ms;
}

static void plan_one(hist *h, dq_call *call, const dq_due_schedule *due, int64_t now_ms, hist_msg *msg)
{
    int sched = sched_of(h, due->id);
    dureq_error err = {0};
    dq_plan plan;

    if (sched < 0 || !hm_sched_is_due(&h->m, sched) || msg->n == HM_SCHEDS) {
        hist_fail(h, "due: schedule %d is told of, which is not", sched);
        return;
    }
    if (dq_schedule_plan(&plan, due, h->zones, now_ms, DQ_FIRE_INSTANTS, &err) < 0) {
        hist_fail(h, "due: schedule %d cannot be planned: %s", sched, err.msg);
        return;
    }
    dq_fire_add(call, due, &plan.firing);
    hm_sched_plan(&h->m, sched, &msg->plan[msg->n]);
    hist_say(h, "    schedule %d: %d come round, %d missed%s", sched, msg->plan[msg->n].n, msg->plan[msg->n].missed.n,
             msg->plan[msg->n].edit ? ", and is changed" : "");
    msg->n++;
}

static void plan_all(hist *h, dq_due_schedules *due, dq_term t, hist_msg *msg)
{
    int want = 0;
    int64_t now_ms = due->now_ms;
    dq_call call = dq_call_schedule_fire(&msg->bytes, &h->w->keys, 0, t);
    dq_due_schedule one;
    int rc = 1;

    (void)hist_equal(h, "due: the time", h->base_ms + hm_now_ms(&h->m), now_ms);
    if (due->left == 0)
        (void)hist_equal(h, "due: the next one", next_due_ms(h), due->next_ms);
    for (int i = 0; i < h->m.n_scheds; i++)
        want += hm_sched_is_due(&h->m, i);
    (void)hist_equal(h, "due: schedules", want, (int64_t)due->left);
    while (rc != 0 && !h->failed) {
        rc = dq_due_schedules_next(due, &one);
        if (rc < 0)
            hist_fail(h, "due: one cannot be read");
        else if (rc > 0)
            plan_one(h, &call, &one, now_ms, msg);
    }
    dq_call_end(&call);
}

void hist_step_fire(hist *h, int who, hist_msg *msg)
{
    dq_term t = {.session = (uint64_t)who, .epoch = h->epoch_of[who]};
    hist_msg ask = {.kind = MSG_SCHED_FIRE, .who = who, .no = t.epoch};
    dq_due_schedules due;
    DQ_BUF_AUTO call = {0};
    dq_reply reply;

    if (!h->zones && dq_zones_create(NULL, &h->zones, NULL) < 0)
        hist_die("zones", "cannot be read");
    dq_call_schedule_due(&call, &h->w->keys, 0, t);
    reply = hist_ask(h->w, 0, &call, 1);
    hist_say(h, "  session %d asks which schedules are due", who);
    if (!hist_answered(h, &ask, reply, hm_leader_check(&h->m, who, (int)t.epoch)))
        return;
    if (dq_schedule_due_decode(&reply, &due) < 0) {
        hist_fail(h, "due: the answer cannot be read");
        return;
    }
    *msg = ask;
    plan_all(h, &due, t, msg);
    if (msg->n == 0 || h->failed) {
        dq_buf_deinit(&msg->bytes);
        *msg = (hist_msg){0};
    }
}

/* ---- answers ---- */

int hist_schedule_jobs(const hist_msg *msg)
{
    int n = 0;

    if (msg->kind == MSG_SCHED_TRIGGER)
        return DQ_MAX(msg->n, 1);
    for (int i = 0; msg->kind == MSG_SCHED_FIRE && i < msg->n; i++)
        n += msg->plan[i].n;
    return n;
}

bool hist_schedule_fits(const hist *h, const hist_msg *msg)
{
    bool makes = msg->kind == MSG_SCHED_PUT && msg->who < 0 && (msg->def.skey < 0 || h->m.skey[msg->def.skey] < 0);

    return !makes || h->m.n_scheds < HM_SCHEDS;
}

static void exec_put(hist *h, const hist_msg *msg, dq_reply r)
{
    dq_schedule_answer a;
    int holder, want;

    if (!hist_answered(h, msg, r, 0))
        return;
    if (dq_schedule_put_decode(&r, &a) < 0) {
        hist_fail(h, "schedule put: the answer cannot be read");
        return;
    }
    want = hm_sched_put(&h->m, msg->who, &msg->seen, &msg->def, &holder);
    if (!hist_equal(h, "schedule put", want, a.what))
        return;
    hist_say(h, "    %d: schedule %d, every %d from %d to %d, policy %d", want, holder - HM_JOBS, msg->def.every, msg->def.start,
             msg->def.end, msg->def.policy);
    if (want == DQ_SCHEDULE_MADE && a.id.len == DQ_ID_BYTES)
        memcpy(h->m.sched[holder - HM_JOBS].id, a.id.ptr, DQ_ID_BYTES);
    else if (!dq_str_eq(a.id, hist_holder_id(h, holder)))
        hist_fail(h, "schedule put: the answer is not the id of %d", holder);
}

static void exec_trigger(hist *h, const hist_msg *msg, dq_reply r)
{
    hm_triggered want;
    dq_triggered got;

    if (!hist_answered(h, msg, r, 0))
        return;
    if (dq_schedule_trigger_decode(&r, &got) < 0) {
        hist_fail(h, "schedule trigger: the answer cannot be read");
        return;
    }
    want = hm_sched_trigger(&h->m, msg->who, msg->a, msg->at, msg->n);
    (void)hist_equal(h, "schedule trigger", want.what, got.what);
    (void)hist_equal(h, "schedule trigger: dispatched", want.n, got.n);
    (void)hist_equal(h, "schedule trigger: done", want.done, got.n_done);
    (void)hist_equal(h, "schedule trigger: why not", want.why, got.reason);
    (void)hist_equal(h, "schedule trigger: id of a job", want.job >= 0 ? DQ_ID_BYTES : 0, (int64_t)got.job.len);
}

static void exec_delete(hist *h, const hist_msg *msg, dq_reply r)
{
    int want, got;

    if (!hist_answered(h, msg, r, 0))
        return;
    want = hm_sched_delete(&h->m, msg->who);
    got = (int)dq_reply_int(dq_reply_at(r, 0));
    (void)hist_equal(h, "schedule delete", DQ_MIN(want, 0), got);
    if (msg->a == 0)
        (void)hist_equal(h, "schedule delete: waited", DQ_MAX(want, 0), dq_reply_int(dq_reply_at(r, 1)));
}

static void exec_fire(hist *h, const hist_msg *msg, dq_reply r)
{
    dq_fired got;
    hm_fired want;

    if (!hist_answered(h, msg, r, hm_leader_check(&h->m, msg->who, (int)msg->no)))
        return;
    if (dq_schedule_fire_decode(&r, &got) < 0) {
        hist_fail(h, "fire: the answer cannot be read");
        return;
    }
    want = hm_sched_fire(&h->m, msg->plan, msg->n);
    hist_say(h, "    %d dispatched, %d stale", want.n, want.n_stale);
    (void)hist_equal(h, "fire: dispatched", want.n, got.n);
    (void)hist_equal(h, "fire: not as the leader saw them", want.n_stale, got.n_stale);
    (void)hist_equal(h, "fire: the next one", next_due_ms(h), got.next_ms);
    if (h->m.lost >= 0)
        hist_fail(h, "fire: of schedule %d something came round that was neither dispatched nor recorded", h->m.lost);
}

void hist_exec_schedule(hist *h, const hist_msg *msg, dq_reply r)
{
    switch (msg->kind) {
    case MSG_SCHED_PUT: exec_put(h, msg, r); break;
    case MSG_SCHED_TRIGGER: exec_trigger(h, msg, r); break;
    case MSG_SCHED_DELETE: exec_delete(h, msg, r); break;
    case MSG_SCHED_FIRE: exec_fire(h, msg, r); break;
    default:
        if (hist_answered(h, msg, r, 0))
            (void)hist_equal(h, "schedule pause", hm_sched_pause(&h->m, msg->who, msg->flag), dq_reply_int(dq_reply_at(r, 0)));
        break;
    }
}
