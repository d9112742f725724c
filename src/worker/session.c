/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions: one a shard. Opened when the store is up, kept alive by a heartbeat each quarter of the lease, closed at stop. The heartbeat also
   reports starts and progress and brings what changed. After a connection was lost, what Redis holds pending for the session is compared with
   what it holds: entries unknown here were in a reply that was lost and are given back; tasks unknown there were taken away. A session that is
   fenced drops all it holds and is opened again: its jobs run elsewhere. */

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "json/json.h"
#include "worker/worker_internal.h"

#define BEAT_STARTS_MAX   256
#define BEAT_PROGRESS_MAX 64
#define BEAT_LANES_MAX    64
#define BEAT_LOOKED_MAX   1024
#define RESYNC_LANES      50
#define PROGRESS_BEAT_US  200000
#define DOUBT_BEAT_US     250000
#define REPORT_BEAT_US    100000 /* a run that lasts is on record this soon: a crash then finds few jobs whose start nobody knows */
#define REPORT_AGE_US     50000 /* shorter runs are not worth a row */

static dureq_str none(void)
{
    return (dureq_str){0};
}

static int64_t beat_every_us(const dq_worker *w)
{
    return w->lease_ms * 1000 / 4;
}

static void send_call(dq_wshard *s, dq_buf *call, dq_store_fn fn, void *userdata, bool *flag)
{
    int rc = dq_buf_failed(call) ? DUREQ_ENOMEM : dq_store_send(s->worker->store, s->no, 0, dq_buf_str(call), fn, userdata);

    *flag = rc == 0;
}

/* ---- open ---- */

static void look_if_live(dq_worker *w)
{
    if (w->was_live)
        return;
    for (unsigned i = 0; i < w->n_shards; i++)
        if (w->shards[i].state != WSHARD_LIVE)
            return;
    w->was_live = true;
    if (w->cb.on_live)
        w->cb.on_live(w, w->cb.userdata);
}

static void keep_identity(dq_wshard *s, dureq_str data)
{
    (void)snprintf(s->data, sizeof s->data, DQ_STR_FMT, (int)DQ_MIN(data.len, sizeof s->data - 1), data.ptr ? data.ptr : "");
}

static void on_opened(void *userdata, int code, const dq_reply *reply, const dureq_error *err)
{
    dq_wshard *s = userdata;
    dq_worker *w = s->worker;
    dq_session_opened opened;

    if (s->state != WSHARD_OPENING)
        return;
    s->state = WSHARD_CLOSED;
    if (code == 0)
        code = dq_session_open_decode(reply, &opened);
    if (code < 0) {
        if (code != DUREQ_EUNAVAILABLE && code != DUREQ_ECLOSED)
            DQ_LOG(w->log, DUREQ_LOG_WARN, "session.open", "shard=%u error=\"%s\"", s->no,
                   err ? err->msg : dureq_errcode_text(code));
        dq_timer_set(&s->beat, beat_every_us(w)); /* tries again */
        return;
    }
    s->session = opened.session;
    (void)snprintf(s->session_text, sizeof s->session_text, "%llu", (unsigned long long)s->session);
    s->opened_ms = opened.now_ms;
    dq_store_saw_time(w->store, s->opened_ms);
    (void)snprintf(s->x, sizeof s->x, DQ_STR_FMT, DQ_STR_ARG(opened.x));
    (void)snprintf(s->hv, sizeof s->hv, DQ_STR_FMT, DQ_STR_ARG(opened.hv));
    s->state = WSHARD_LIVE;
    w->too_old = false;
    s->opened_unsure = s->unsure_lanes;
    s->verified = s->needs_resync = s->resyncing = s->call_lost = false;
    s->call_no = 0;
    s->class_ms = 0;
    s->refused_unseen = false;
    keep_identity(s, opened.data);
    (void)dq_store_subscribe(w->store, s->no, "w:", dureq_str_from(s->session_text));
    (void)dq_store_subscribe(w->store, s->no, "ctl", none());
    DQ_LOG(w->log, DUREQ_LOG_DEBUG, "session.live", "shard=%u session=%s", s->no, s->session_text);
    dq_lanes_forgotten(s);
    dq_lanes_load(s);
    s->paused_version = -1;
    dq_paused_load(s);
    s->blame_told = 0;
    dq_session_beat_now(s);
    look_if_live(w);
    dq_worker_pump(w);
}

void dq_session_open(dq_wshard *s)
{
    dq_worker *w = s->worker;
    DQ_BUF_AUTO call = {0};
    bool sent;

    if (s->state != WSHARD_CLOSED || !w->up || w->stopping)
        return;
    dq_call_session_open(&call, dq_store_keys(w->store), s->no,
                         &(dq_session_opening){.node_id = w->node_id, .info = w->info, .lease_ms = w->lease_ms});
    s->state = WSHARD_OPENING;
    send_call(s, &call, on_opened, s, &sent);
    if (!sent) {
        s->state = WSHARD_CLOSED;
        dq_timer_set(&s->beat, beat_every_us(w));
    }
}

/* ---- lost ---- */

void dq_session_lost(dq_wshard *s, const char *why)
{
    dq_worker *w = s->worker;

    if (s->state != WSHARD_LIVE)
        return;
    DQ_LOG(w->log, DUREQ_LOG_WARN, "session.lost", "shard=%u session=%s error=\"%s\"", s->no, s->session_text, why);
    (void)dq_store_unsubscribe(w->store, s->no, "w:", dureq_str_from(s->session_text));
    s->state = WSHARD_CLOSED;
    s->verified = s->call_lost = s->resyncing = s->needs_resync = s->unsure_session = false;
    /* All may have been deleted and made again, with other lanes; a list that is on its way may be of before. */
    s->unsure_lanes = s->n_lanes > 0 || s->loading_lanes;
    s->loading_all = false;
    dq_store_refresh_queues(w->store);
    while (!dq_list_empty(&s->held))
        dq_worker_lose_task(dq_container_of(s->held.next, dureq_run, in_shard), DQ_STOP_LOST);
    s->n_fast = s->n_slow = s->n_returns = 0;
    dq_list_init(&s->done_fast);
    dq_list_init(&s->done_slow);
    dq_list_init(&s->returns);
    dq_list_init(&s->sent);
    dq_list_init(&s->after_beat);
    dq_list_init(&s->gated);
    dq_lanes_read_off(s);
    dq_session_open(s);
    dq_worker_look_for_end(w);
}

/* ---- heartbeat ---- */

static bool wants_start_report(dureq_run *t)
{
    if (t->phase != TASK_RUNNING || t->lost || (t->reported && !t->report_again))
        return false;
    if (dq_loop_now_us(t->worker->loop) - t->started_loop_us >= REPORT_AGE_US)
        return true;
    t->shard->has_young = true;
    return false;
}

/* A job was started: unless it is short, its start is to be reported soon. */
void dq_session_started(dq_wshard *s)
{
    if (s->has_young || s->state != WSHARD_LIVE)
        return;
    s->has_young = true;
    int64_t due_us = s->last_beat_us + beat_every_us(s->worker) - dq_loop_now_us(s->worker->loop);
    if (due_us > REPORT_BEAT_US)
        dq_timer_set(&s->beat, REPORT_BEAT_US);
}

/* Starts, as many as fit. None before a resync has shown whose they are: the row of a job that is not ours any more would stay. */
static void put_starts(dq_wshard *s, dq_beat *b)
{
    size_t n = 0;

    if (s->needs_resync || s->resyncing) {
        s->has_young = true;
        return;
    }
    DQ_LIST_FOREACH (dureq_run, t, &s->held, in_shard) {
        if (!wants_start_report(t) && !dq_suspect_wants_report(t))
            continue;
        if (n == BEAT_STARTS_MAX) {
            s->beat_again = true;
            return;
        }
        dq_beat_start(b, &t->id, t->started_at_ms ? t->started_at_ms : dq_store_now_ms(s->worker->store));
        t->reported = t->report_flying = true;
        t->report_again = false;
        n++;
    }
}

static void put_progress(dq_wshard *s, dq_beat *b)
{
    size_t n = 0;

    if (s->needs_resync || s->resyncing)
        return;
    DQ_LIST_FOREACH (dureq_run, t, &s->held, in_shard) {
        if (t->phase != TASK_RUNNING || t->lost)
            continue;
        dq_mutex_lock(&t->mu);
        if (t->progress_new && n == BEAT_PROGRESS_MAX) {
            s->beat_again = true;
        } else if (t->progress_new) {
            dq_beat_progress(b, &t->id, &t->progress);
            t->progress_new = false;
            t->progress_sent = t->report_flying = true;
            n++;
        }
        dq_mutex_unlock(&t->mu);
    }
}

/* Lanes we could serve and believe to be empty: the answer says which are not, should a wake-up have been lost. Some at each heartbeat, in turn. */
static void put_lanes(dq_wshard *s, dq_beat *b)
{
    uint32_t looked = 0;
    size_t n = 0;

    for (; looked < DQ_MIN(s->n_lanes, BEAT_LOOKED_MAX) && n < BEAT_LANES_MAX; looked++) {
        dq_wlane *lane = s->lanes[(s->turn_hint + looked) % s->n_lanes];

        if (!lane || !lane->handler || lane->main_busy || lane->front_busy || dq_list_linked(&lane->fresh))
            continue;
        dq_beat_lane(b, lane->no);
        n++;
    }
    s->turn_hint += looked;
}

/* Whether this is the run that was cancelled, and not one after it. */
static bool is_run(const dureq_run *t, const dq_cancelled *c)
{
    unsigned char mine[DQ_ID_BYTES];
    dq_entry entry = dq_task_entry(t);
    char text[48];

    dq_id_pack(&t->id, mine);
    return memcmp(mine, c->id.ptr, DQ_ID_BYTES) == 0 && c->front == t->front && dq_str_eq(c->entry, dq_entry_text(&entry, text));
}

/* One whose outcome is on its way stays where it is: the answer counts the jobs of its call, and says that it was refused. */
static void take_cancelled(dq_wshard *s, dureq_str what)
{
    dq_cancelled c;

    if (!dq_cancelled_decode(what, &c))
        return;
    DQ_LIST_FOREACH (dureq_run, t, &s->held, in_shard) {
        if (!is_run(t, &c))
            continue;
        if (t->told_cancelled)
            return;
        t->told_cancelled = true;
        dq_stat_add(&s->worker->s_cancelled, 1);
        dq_worker_tell(t, DUREQ_NODE_JOB_CANCELLED, "");
        if (t->phase != TASK_SENT)
            dq_worker_lose_task(t, DQ_STOP_CANCELLED);
        return;
    }
}

void dq_session_cancelled(dq_wshard *s, dureq_str id)
{
    take_cancelled(s, id);
}

static void take_lists(dq_wshard *s, dq_reply cancelled, dq_reply busy)
{
    dq_reply at = dq_reply_len(cancelled) ? dq_reply_first(cancelled) : cancelled;

    for (size_t i = 0; i < dq_reply_len(cancelled); i++) {
        take_cancelled(s, dq_reply_str(at));
        if (i + 1 < dq_reply_len(cancelled))
            at = dq_reply_next(at);
    }
    at = dq_reply_len(busy) ? dq_reply_first(busy) : busy;
    for (size_t i = 0; i < dq_reply_len(busy); i++) {
        dq_lane_wake(s, (uint32_t)dq_reply_int(at), /*is_called=*/false);
        if (i + 1 < dq_reply_len(busy))
            at = dq_reply_next(at);
    }
}

/* What runs is finished; no more is taken and, as the epoch says, it does not lead. */
static void look_at_version(dq_wshard *s, bool too_old)
{
    if (too_old && !s->worker->too_old)
        DQ_LOG(s->worker->log, DUREQ_LOG_ERROR, "node.too_old",
               "shard=%u session=%s error=\"the prefix asks for a newer dureq: no more jobs are taken\"", s->no, s->session_text);
    s->worker->too_old = s->worker->too_old || too_old;
}

static void take_beat(dq_wshard *s, const dq_beat_answer *a)
{
    dq_worker *w = s->worker;
    dq_worker_beat beat = {
        .shard = s->no,
        .session = s->session,
        .now_ms = a->now_ms,
        .epoch = a->epoch,
        .next_due_ms = a->next_due_ms,
        .n_expired = a->n_expired,
        .n_outbox = a->n_outbox,
        .next_late_ms = a->next_late_ms,
        .memory_is_short = a->memory_is_short,
    };

    s->alive_us = s->last_beat_us;
    dq_store_saw_time(w->store, beat.now_ms);
    if (a->n_lanes > s->n_lanes || s->unsure_lanes)
        dq_lanes_load(s);
    dq_paused_beat(s, a->queues_version);
    dq_lanes_beat(s);
    if (s->no == 0 && a->drain != w->drain_asked) {
        w->drain_asked = a->drain;
        atomic_store_explicit(&w->s_draining, a->drain || w->draining, memory_order_relaxed);
        DQ_LOG(w->log, DUREQ_LOG_INFO, "node.drain", "drain=%s", a->drain ? "yes" : "no");
    }
    look_at_version(s, a->too_old);
    take_lists(s, a->cancelled, a->busy);
    if (w->cb.on_beat)
        w->cb.on_beat(w, &beat, w->cb.userdata);
    dq_suspects_told(s);
    dq_worker_pump(w);
}

/* What was reported in a beat that did not come through is reported again: a start twice is the same row. */
static void beat_failed(dq_wshard *s)
{
    DQ_LIST_FOREACH (dureq_run, t, &s->held, in_shard)
        if (t->phase == TASK_WAITING)
            t->reported = false;
}

/* What was reported may be lost, and what was in the last heartbeat was not recorded. */
static void report_all_again(dq_wshard *s)
{
    beat_failed(s);
    s->has_young = true;
    DQ_LIST_FOREACH (dureq_run, t, &s->held, in_shard) {
        t->report_again = t->reported;
        dq_mutex_lock(&t->mu);
        t->progress_new = t->progress_new || t->progress_sent;
        dq_mutex_unlock(&t->mu);
    }
}

void dq_session_doubt(dq_wshard *s)
{
    if (s->state != WSHARD_LIVE)
        return;
    s->unsure_session = true;
    s->beat_is_late = true;
    dq_session_beat_soon(s);
}

/* What one session of a server noticed is true of its others: those that know the same identity. */
static void doubt_of_server(dq_wshard *s)
{
    for (unsigned i = 0; i < s->worker->n_shards; i++) {
        dq_wshard *o = &s->worker->shards[i];

        if (o != s && strcmp(o->data, s->data) == 0)
            dq_session_doubt(o);
    }
}

/* The server kept the connection, and holds other data than it did: it was a replica meanwhile. As after a reconnect to another server; that
   the session lives there was just said. */
static void look_at_data(dq_wshard *s, dureq_str data)
{
    if (!s->data[0] || data.len == 0 || dq_str_eq_text(data, s->data)) {
        keep_identity(s, data);
        return;
    }
    doubt_of_server(s);
    keep_identity(s, data);
    DQ_LOG(s->worker->log, DUREQ_LOG_WARN, "session.other_data", "shard=%u session=%s", s->no, s->session_text);
    s->verified = false;
    s->needs_resync = true;
    s->unsure_lanes = s->n_lanes > 0 || s->loading_lanes;
    s->loading_all = s->opened_unsure = false;
    s->class_ms = 0;
    report_all_again(s);
    dq_store_refresh_queues(s->worker->store);
    s->paused_version = -1;
    dq_paused_load(s);
}

/* It was refused by a server that is a replica, or reads what its master sent it. */
static void beat_doubts(dq_wshard *s)
{
    s->unsure_session = true;
    dq_timer_set(&s->beat, DOUBT_BEAT_US);
}

/* Whatever the answer: what was named may be recorded now. */
static void release_named(dq_wshard *s)
{
    DQ_LIST_FOREACH (dureq_run, t, &s->held, in_shard)
        t->report_flying = false;
    while (!dq_list_empty(&s->after_beat))
        dq_worker_put_done(dq_container_of(dq_list_pop_front(&s->after_beat), dureq_run, link));
}

static void on_beat(void *userdata, int code, const dq_reply *reply, const dureq_error *err)
{
    dq_wshard *s = userdata;
    dq_worker *w = s->worker;
    dq_beat_answer answer = {0};

    s->beating = false;
    release_named(s);
    if (s->state != WSHARD_LIVE)
        return;
    if (code == DUREQ_EFENCED) {
        dq_session_lost(s, err->msg);
        return;
    }
    if (code == 0)
        code = dq_beat_decode(reply, &answer);
    if (code < 0) {
        beat_failed(s);
        if (code != DUREQ_EUNAVAILABLE && code != DUREQ_ECLOSED)
            DQ_LOG(w->log, DUREQ_LOG_WARN, "session.beat", "shard=%u error=\"%s\"", s->no,
                   err ? err->msg : dureq_errcode_text(code));
        if (dq_is_of_replica(code))
            beat_doubts(s);
    } else {
        look_at_data(s, answer.data);
        take_beat(s, &answer);
        s->unsure_session = s->unsure_session && s->beat_is_late;
        dq_session_look_if_sure(s);
    }
    if (s->beat_again) {
        s->beat_again = false;
        dq_session_beat_now(s);
    }
}

void dq_session_beat_soon(dq_wshard *s)
{
    if (s->beating)
        s->beat_again = true;
    else if (s->state == WSHARD_LIVE)
        dq_timer_set(&s->beat, 0);
}

/* Who is to be blamed for a crash from here on; empty: everybody whose start was reported; "s": suspects among them never charged before. */
static dureq_str blamed(dq_wshard *s, unsigned char id[DQ_ID_BYTES])
{
    const dureq_run *alone = s->worker->alone;

    s->blame_flying = s->worker->alone_no;
    if (!alone)
        return s->worker->together ? DQ_STR_LIT("s") : none();
    dq_id_pack(&alone->id, id);
    return dureq_str_of(id, DQ_ID_BYTES);
}

static void put_beat(dq_wshard *s, dq_buf *call)
{
    dq_worker *w = s->worker;
    unsigned char id[DQ_ID_BYTES];
    char state[64];
    dq_beat_head head = {
        .session = s->session,
        .lease_ms = w->lease_ms,
        .state = state,
        .stands_to_lead = w->stands_to_lead && !w->stopping,
        .blamed = blamed(s, id),
        .opened_ms = s->opened_ms,
        .data = dureq_str_from(s->data),
    };

    (void)snprintf(state, sizeof state, "{\"running\":%u,\"stuck\":%d}", (unsigned)w->n_held,
                   (int)atomic_load_explicit(&w->s_stuck, memory_order_relaxed));
    s->beat_is_late = false;
    dq_beat b = dq_beat_begin(call, dq_store_keys(w->store), s->no, &head);
    put_starts(s, &b);
    put_progress(s, &b);
    put_lanes(s, &b);
    dq_beat_end(&b);
}

void dq_session_beat_now(dq_wshard *s)
{
    dq_worker *w = s->worker;
    DQ_BUF_AUTO call = {0};

    if (s->state != WSHARD_LIVE || !w->up)
        return;
    if (s->beating) {
        s->beat_again = true;
        return;
    }
    s->has_young = false;
    put_beat(s, &call);
    send_call(s, &call, on_beat, s, &s->beating);
    if (!s->beating) {
        beat_failed(s);
        release_named(s);
    }
    s->last_beat_us = dq_loop_now_us(w->loop);
    dq_timer_set(&s->beat, s->has_young ? DQ_MIN(REPORT_BEAT_US, beat_every_us(w)) : beat_every_us(w));
}

void dq_session_beat_fired(dq_timer *t)
{
    dq_wshard *s = dq_container_of(t, dq_wshard, beat);

    if (s->state == WSHARD_CLOSED)
        dq_session_open(s);
    else if (s->state == WSHARD_LIVE && s->worker->up)
        dq_session_beat_now(s); /* after the one in flight, if any */
    else if (s->state == WSHARD_LIVE)
        dq_timer_set(&s->beat, beat_every_us(s->worker));
}

/* Progress is seen within a second: a beat out of turn, but not more than five a second. */
void dq_session_progress(dq_worker *w)
{
    int64_t now_us = dq_loop_now_us(w->loop);

    for (unsigned i = 0; i < w->n_shards; i++) {
        dq_wshard *s = &w->shards[i];

        if (s->state == WSHARD_LIVE)
            dq_timer_set(&s->beat, DQ_MAX(s->last_beat_us + PROGRESS_BEAT_US - now_us, 0));
    }
}

void dq_session_look_if_sure(dq_wshard *s)
{
    if (dq_shard_is_unsure(s))
        return;
    dq_session_return(s);
    dq_worker_pump(s->worker);
}

/* ---- resync ---- */

typedef struct resync {
    dq_wshard *shard;
    uint64_t session;
    uint32_t next_lane; /* from 1 */
    /* Entries pending for us that we never saw, whose reply was lost: the call that gives them back. */
    dq_buf bytes;
    dq_call unknown;
    size_t n_unknown;
} resync;

static void resync_step(resync *r);

static void resync_free(resync *r)
{
    dq_buf_deinit(&r->bytes);
    dq_free(r);
}

static void take_pending(resync *r, const dq_reply *reply)
{
    dq_pending_list p = dq_pending_decode(reply);
    dq_entry e;

    while (dq_pending_next(&p, &e)) {
        dureq_run *t = dq_fetch_held(r->shard, &e);

        if (t) {
            t->seen = true;
            continue;
        }
        dq_return_entry(&r->unknown, &e, /*has_run=*/false);
        r->n_unknown++;
    }
}

/* session_return tells x after it: if it counted up by our own call alone, nobody else took anything, and the next look need not be
   followed by a resync. */
static void x_returned(dq_wshard *s, const dq_reply *r)
{
    dq_returned ret;
    int64_t before;

    if (dq_session_return_decode(r, &ret) == 0 && dq_parse_i64(dureq_str_from(s->x), 0, INT64_MAX - 1, &before) == 0 &&
        before + (ret.n > 0) == ret.x)
        (void)snprintf(s->x, sizeof s->x, "%lld", (long long)ret.x);
}

static void on_unknown_returned(void *userdata, int code, const dq_reply *reply, const dureq_error *err)
{
    dq_wshard *s = userdata;

    if (code == DUREQ_EFENCED) {
        dq_session_lost(s, err->msg);
        return;
    }
    if (s->state != WSHARD_LIVE)
        return;
    s->resyncing = false;
    s->verified = false;
    if (code < 0)
        s->needs_resync = true;
    else
        x_returned(s, reply);
    dq_worker_pump(s->worker);
}

/* All lanes were looked at: what is held here and not there was taken from us. */
static void resync_finish(resync *r)
{
    dq_wshard *s = r->shard;

    DQ_LIST_FOREACH (dureq_run, t, &s->held, in_shard) {
        bool ours = t->seen || t->phase == TASK_SENT;

        t->seen = false;
        if (!ours)
            dq_worker_lose_task(t, DQ_STOP_LOST);
    }
    s->resyncing = false;
    if (r->n_unknown > 0) {
        DQ_LOG(s->worker->log, DUREQ_LOG_INFO, "session.resync", "shard=%u unknown=%zu", s->no, r->n_unknown);
        dq_call_end(&r->unknown);
        send_call(s, &r->bytes, on_unknown_returned, s, &s->resyncing);
        s->needs_resync = s->needs_resync || !s->resyncing;
    }
    resync_free(r);
    dq_worker_look_for_end(s->worker);
    dq_worker_pump(s->worker);
}

static void on_pending(void *userdata, int code, const dq_reply *reply, const dureq_error *err)
{
    resync *r = userdata;
    dq_wshard *s = r->shard;

    (void)err;
    if (s->state != WSHARD_LIVE || s->session != r->session) {
        resync_free(r);
        return;
    }
    if (code < 0) { /* the connection: from the start when it is back */
        s->resyncing = false;
        s->needs_resync = true;
        resync_free(r);
        return;
    }
    take_pending(r, reply);
    resync_step(r);
}

static void resync_step(resync *r)
{
    dq_wshard *s = r->shard;
    DQ_BUF_AUTO bytes = {0};
    dq_pending_head head = {.session = s->session, .limit = s->worker->concurrency + DQ_BATCH_MAX};
    dq_call call = dq_call_session_pending(&bytes, dq_store_keys(s->worker->store), s->no, &head);
    size_t n = 0;
    bool sent;

    while (r->next_lane <= s->n_lanes && n < RESYNC_LANES) {
        if (s->lanes[r->next_lane - 1] && s->lanes[r->next_lane - 1]->handler) {
            dq_pending_lane(&call, r->next_lane);
            n++;
        }
        r->next_lane++;
    }
    if (n == 0) {
        resync_finish(r);
        return;
    }
    dq_call_end(&call);
    send_call(s, &bytes, on_pending, r, &sent);
    if (!sent) {
        s->resyncing = false;
        s->needs_resync = true;
        resync_free(r);
    }
}

/* Only between exchanges: with a read in flight, entries would look unknown that are on their way. */
void dq_session_resync(dq_wshard *s)
{
    resync *r;

    if (s->state != WSHARD_LIVE || s->resyncing || s->call_lost || s->returning)
        return;
    r = dq_calloc(1, sizeof *r);
    if (!r)
        return;
    DQ_LIST_FOREACH (dureq_run, t, &s->held, in_shard)
        t->seen = false;
    r->shard = s;
    r->session = s->session;
    r->next_lane = 1;
    r->unknown = dq_call_session_return(&r->bytes, dq_store_keys(s->worker->store), s->no, s->session);
    s->needs_resync = false;
    s->resyncing = true;
    resync_step(r);
}

/* ---- giving back ---- */

static void on_returned(void *userdata, int code, const dq_reply *reply, const dureq_error *err)
{
    dq_wshard *s = userdata;

    s->returning = false;
    if (s->state != WSHARD_LIVE)
        return;
    if (code == DUREQ_EFENCED) {
        dq_session_lost(s, err->msg);
        return;
    }
    if (code < 0) { /* perhaps done: what is still ours then shows up as unknown, and is given back again */
        s->needs_resync = true;
    } else {
        x_returned(s, reply);
    }
    s->verified = false;
    if (s->n_returns > 0)
        dq_session_return(s);
    dq_worker_look_for_end(s->worker);
    dq_worker_pump(s->worker);
}

void dq_session_return(dq_wshard *s)
{
    dq_worker *w = s->worker;
    DQ_BUF_AUTO bytes = {0};

    if (s->returning || s->n_returns == 0 || s->state != WSHARD_LIVE || dq_shard_is_unsure(s))
        return;
    dq_call call = dq_call_session_return(&bytes, dq_store_keys(w->store), s->no, s->session);
    for (size_t n = 0; n < DQ_BATCH_MAX && !dq_list_empty(&s->returns); n++) {
        dureq_run *t = dq_container_of(dq_list_pop_front(&s->returns), dureq_run, link);
        dq_entry entry = dq_task_entry(t);

        dq_return_entry(&call, &entry, t->started_at_ms != 0);
        dq_stat_add(&w->s_returned, 1);
        s->n_returns--;
        t->in_returns = false;
        dq_worker_drop_task(t);
    }
    dq_call_end(&call);
    send_call(s, &bytes, on_returned, s, &s->returning);
    if (!s->returning)
        s->needs_resync = true;
}

/* ---- close ---- */

static void on_closed(void *userdata, int code, const dq_reply *reply, const dureq_error *err)
{
    dq_wshard *s = userdata;

    (void)code;
    (void)reply;
    (void)err; /* not closed: the reaper does it when the lease is over */
    s->state = WSHARD_GONE;
    dq_worker_look_for_end(s->worker);
}

void dq_session_close(dq_wshard *s)
{
    dq_worker *w = s->worker;
    DQ_BUF_AUTO call = {0};
    bool sent;

    dq_timer_clear(&s->beat);
    if (s->state != WSHARD_LIVE || !w->up || s->unsure_session) {
        s->state = WSHARD_GONE;
        return;
    }
    dq_call_session_close(&call, dq_store_keys(w->store), s->no, s->session);
    s->state = WSHARD_CLOSING;
    send_call(s, &call, on_closed, s, &sent);
    if (!sent)
        s->state = WSHARD_GONE;
}
