/* SPDX-License-Identifier: Apache-2.0 */
/* See leader.h. One call of each duty a shard is in flight at most. A call that is lost is made again by the next heartbeat; one that is answered sets
   the timer of the next, and a heartbeat sets it again, since the server's clock may have been set. */
#include "leader/duty.h"

#include "base/clock.h"
#include "model/job.h"

/* ---- calls ---- */

bool dq_leader_send(dq_leader *l, unsigned shard, const dq_buf *call, dq_store_fn fn, void *userdata)
{
    return !dq_buf_failed(call) && dq_store_send(l->all->store, shard, 0, dq_buf_str(call), fn, userdata) == 0;
}

bool dq_leader_answered(dq_leader *l, const char *call, int code, const dureq_error *err)
{
    if (code == 0)
        return true;
    if (code == DUREQ_EFENCED)
        l->term.epoch = 0;
    else if (code != DUREQ_EUNAVAILABLE && code != DUREQ_ECLOSED)
        DQ_LOG(l->all->opts.log, DUREQ_LOG_WARN, "leader.error", "shard=%u call=%s error=\"%s\"", l->shard, call, err->msg);
    return false;
}

/* ---- a duty's turn ---- */

static void on_answer(void *userdata, int code, const dq_reply *reply, const dureq_error *err)
{
    dq_duty_state *d = userdata;
    const dq_duty *duty = &dq_duties[d->no];
    int64_t next_ms = DQ_DUTY_NEVER;
    int rc = code;

    if (dq_leader_answered(d->leader, duty->name, code, err))
        rc = duty->decode(d->leader, reply, &next_ms);
    if (rc < 0)
        dq_duty_lose(d->leader, d->no);
    else if (rc != DQ_DUTY_GOES_ON)
        dq_duty_end(d->leader, d->no, next_ms);
}

static void run_or_wait(dq_duty_state *d);

static void run(dq_duty_state *d)
{
    DQ_BUF_AUTO call = {0};

    dq_timer_clear(&d->timer);
    d->at_ms = DQ_DUTY_NEVER;
    dq_duties[d->no].put(d->leader, &call);
    if (call.len == 0 && !call.failed) {
        d->is_lost = false;
        run_or_wait(d); /* at most_ms */
        return;
    }
    d->is_busy = dq_leader_send(d->leader, d->leader->shard, &call, on_answer, d);
    d->is_lost = !d->is_busy;
}

/* Runs it, or sets its timer. */
static void run_or_wait(dq_duty_state *d)
{
    int64_t now_ms = dq_store_now_ms(d->leader->all->store, d->leader->shard), most_ms = dq_duties[d->no].most_ms;

    if (d->is_busy || d->leader->term.epoch == 0)
        return;
    if (most_ms > 0)
        d->at_ms = DQ_MIN(d->at_ms, now_ms + most_ms);
    if (d->at_ms <= now_ms)
        run(d);
    else if (d->at_ms != DQ_DUTY_NEVER)
        dq_timer_set(&d->timer, (d->at_ms - now_ms) * 1000);
}

static void timer_fired(dq_timer *timer)
{
    dq_duty_state *d = dq_container_of(timer, dq_duty_state, timer);

    if (d->is_busy || d->leader->term.epoch == 0)
        return;
    run(d);
}

void dq_duty_want(dq_leader *l, dq_duty_no no, int64_t at_ms)
{
    dq_duty_state *d = &l->duties[no];

    if (l->term.epoch == 0)
        return;
    d->at_ms = DQ_MIN(d->at_ms, at_ms);
    run_or_wait(d);
}

void dq_duty_end(dq_leader *l, dq_duty_no no, int64_t next_ms)
{
    l->duties[no].is_busy = false;
    dq_duty_want(l, no, next_ms);
}

void dq_duty_lose(dq_leader *l, dq_duty_no no)
{
    l->duties[no].is_busy = false;
    l->duties[no].is_lost = true;
}

/* ---- heartbeats ---- */

static void step_down(dq_leader *l)
{
    l->term.epoch = 0;
    l->memory_is_short = false;
    l->short_since_us = 0;
    for (int i = 0; i < DQ_DUTY_COUNT; i++) {
        l->duties[i].at_ms = DQ_DUTY_NEVER; /* one that is busy stays so until it is answered */
        l->duties[i].is_lost = false;
        dq_timer_clear(&l->duties[i].timer);
    }
}

/* A peak is none. And one bucket at a time: what a dropped one took is given back after the call, and is not yet seen by the next. */
static void look_at_memory(dq_leader *l, bool is_short)
{
    int64_t now_us = dq_mono_us();

    if (!is_short || l->short_since_us == 0) {
        l->short_since_us = is_short ? now_us : 0;
    } else if (now_us - l->short_since_us >= l->all->opts.lease_ms * 1000 / 4) {
        l->short_since_us = now_us;
        l->memory_is_short = true;
        dq_duty_want(l, DQ_DUTY_KEEP, DQ_DUTY_NOW);
    }
}

static void take_beat(dq_leader *l, const dq_leader_beat *b)
{
    bool elected = l->term.epoch != b->epoch || l->term.session != b->session;

    l->term = (dq_term){.session = b->session, .epoch = b->epoch};
    if (elected)
        DQ_LOG(l->all->opts.log, DUREQ_LOG_DEBUG, "leader.elected", "shard=%u epoch=%lld", l->shard, (long long)b->epoch);
    for (int i = 0; i < DQ_DUTY_COUNT; i++) {
        bool at_once = l->duties[i].is_lost || (elected && dq_duties[i].most_ms > 0);

        dq_duty_want(l, (dq_duty_no)i, at_once ? DQ_DUTY_NOW : dq_duties[i].due(b));
    }
    look_at_memory(l, b->memory_is_short);
}

static void drop_items(dq_leaders *all)
{
    for (unsigned i = 0; i < all->n; i++)
        for (int j = 0; j < DQ_DUTY_COUNT; j++)
            dq_timer_deinit(&all->items[i].duties[j].timer);
    dq_free(all->items);
    all->items = NULL;
    all->n = 0;
}

static bool make_items(dq_leaders *all)
{
    unsigned n = dq_store_keys(all->store)->n_shards;

    all->items = dq_calloc(n, sizeof *all->items);
    if (!all->items)
        return false;
    all->n = n;
    for (unsigned i = 0; i < n; i++) {
        dq_leader *l = &all->items[i];

        l->all = all;
        l->shard = i;
        for (int j = 0; j < DQ_DUTY_COUNT; j++) {
            l->duties[j] = (dq_duty_state){.leader = l, .no = (dq_duty_no)j, .at_ms = DQ_DUTY_NEVER};
            if (dq_timer_init(&l->duties[j].timer, dq_store_loop(all->store), timer_fired) < 0) {
                drop_items(all); /* the next heartbeat tries again */
                return false;
            }
        }
    }
    return true;
}

void dq_leaders_beat(dq_leaders *all, const dq_leader_beat *b)
{
    if (!all->items && !make_items(all))
        return;
    if (b->epoch == 0)
        step_down(&all->items[b->shard]);
    else
        take_beat(&all->items[b->shard], b);
}

static void want_of(dq_leaders *all, unsigned shard, dq_duty_no no, int64_t at_ms)
{
    if (shard < all->n)
        dq_duty_want(&all->items[shard], no, at_ms);
}

void dq_leaders_due(dq_leaders *all, unsigned shard, int64_t at_ms)
{
    want_of(all, shard, DQ_DUTY_PROMOTE, at_ms);
}

void dq_leaders_schedule(dq_leaders *all, unsigned shard, int64_t at_ms)
{
    want_of(all, shard, DQ_DUTY_SCHEDULE, at_ms);
}

void dq_leaders_history(dq_leaders *all, unsigned shard)
{
    want_of(all, shard, DQ_DUTY_KEEP, DQ_DUTY_NOW);
}

void dq_leaders_flow(dq_leaders *all, unsigned shard)
{
    want_of(all, shard, DQ_DUTY_FLOW, DQ_DUTY_NOW);
}

void dq_leaders_down(dq_leaders *all)
{
    for (unsigned i = 0; i < all->n; i++)
        step_down(&all->items[i]);
}

/* ---- all of a node ---- */

dq_zones *dq_leader_zones(dq_leader *l)
{
    if (!l->all->zones)
        (void)dq_zones_create(NULL, &l->all->zones, NULL);
    return l->all->zones;
}

static int64_t resolved(int64_t given_ms, int64_t default_ms)
{
    return given_ms < 0 ? 0 : given_ms ? given_ms : default_ms;
}

static void resolve_keep(dq_keep *k)
{
    k->dead_ms = resolved(k->dead_ms, DQ_RETENTION_DEAD_DEFAULT_MS);
    k->audit_ms = resolved(k->audit_ms, DQ_RETENTION_AUDIT_DEFAULT_MS);
    k->minutes_ms = resolved(k->minutes_ms, DQ_RETENTION_MINUTES_DEFAULT_MS);
    k->hours_ms = resolved(k->hours_ms, DQ_RETENTION_HOURS_DEFAULT_MS);
    k->days_ms = resolved(k->days_ms, DQ_RETENTION_DAYS_DEFAULT_MS);
}

int dq_leaders_create(dq_store *store, const dq_leaders_options *opts, dq_leaders **ret, dureq_error *err)
{
    dq_leaders *all = dq_calloc(1, sizeof *all);

    if (!all)
        return dq_fail_nomem(err);
    all->store = store;
    all->opts = *opts;
    resolve_keep(&all->opts.keep);
    *ret = all;
    return 0;
}

void dq_leaders_destroy(dq_leaders *all)
{
    if (!all)
        return;
    drop_items(all);
    dq_zones_destroy(all->zones);
    dq_free(all);
}
