/* SPDX-License-Identifier: Apache-2.0 */
/* The heartbeat of a session, each quarter of the lease and when there is something to report. It renews the lease, reports starts and progress, and
   brings what changed: what was cancelled, lanes that hold jobs, whether to drain, the leader's work, the identity of the data.

   A claim of which the heartbeat in flight says something is named by it: it is not recorded until that is answered, or the row of its start would be
   written after its end. Loop thread. */

#include <stdio.h>
#include <string.h>

#include "worker/worker_internal.h"

#define BEAT_STARTS_MAX   256
#define BEAT_PROGRESS_MAX 64
#define BEAT_LANES_MAX    64
#define BEAT_LOOKED_MAX   1024
#define PROGRESS_BEAT_US  200000
#define DOUBT_BEAT_US     250000
#define REPORT_BEAT_US    100000 /* a run that lasts is on record this soon: a crash then finds few jobs whose start nobody knows */
#define REPORT_AGE_US     50000 /* shorter runs are not worth a row */

int64_t dq_session_beat_every_us(const dq_worker *w)
{
    return w->lease_ms * 1000 / 4;
}

/* ---- what it says ---- */

static bool wants_start_report(dq_claim *c)
{
    if (c->state != DQ_CLAIM_STARTED || !dq_run_is_going(&c->run) || c->start_told == DQ_START_TOLD)
        return false;
    if (dq_loop_now_us(c->worker->loop) - c->run.started_loop_us >= REPORT_AGE_US)
        return true;
    c->shard->session.has_young = true;
    return false;
}

/* A job was started: unless it is short, its start is to be reported soon. */
void dq_session_started(dq_wshard *s)
{
    dq_wsession *x = &s->session;

    if (x->has_young || !dq_shard_is_live(s))
        return;
    x->has_young = true;
    int64_t due_us = x->last_beat_us + dq_session_beat_every_us(s->worker) - dq_loop_now_us(s->worker->loop);
    if (due_us > REPORT_BEAT_US)
        dq_timer_set(&x->beat, REPORT_BEAT_US);
}

/* Starts, as many as fit; false: there are more. */
static bool put_starts(dq_wshard *s, dq_beat *b)
{
    size_t n = 0;

    DQ_LIST_FOREACH (dq_claim, c, &s->held, in_shard) {
        if (!wants_start_report(c) && !dq_suspect_wants_report(c))
            continue;
        if (n == BEAT_STARTS_MAX)
            return false;
        dq_beat_start(b, &c->job.id, c->run.started_at_ms ? c->run.started_at_ms : dq_store_now_ms(s->worker->store, s->no));
        c->start_told = DQ_START_TOLD;
        c->is_named = true;
        n++;
    }
    return true;
}

static bool put_progress(dq_wshard *s, dq_beat *b)
{
    bool all = true;
    size_t n = 0;

    DQ_LIST_FOREACH (dq_claim, c, &s->claims[DQ_CLAIM_STARTED].list, link) {
        dureq_run *r = &c->run;

        dq_mutex_lock(&r->mu);
        if (r->progress_new && n == BEAT_PROGRESS_MAX) {
            all = false;
        } else if (r->progress_new) {
            dq_beat_progress(b, &c->job.id, &r->progress);
            r->progress_new = false;
            c->progress_told = c->is_named = true;
            n++;
        }
        dq_mutex_unlock(&r->mu);
    }
    return all;
}

/* Lanes we could serve and believe to be empty: the answer says which are not, should a wake-up have been lost. Some at each heartbeat, in turn. */
static void put_lanes(dq_wshard *s, dq_beat *b)
{
    dq_wlanes *lanes = &s->lanes;
    uint32_t looked = 0;
    size_t n = 0;

    for (; looked < DQ_MIN(lanes->n, BEAT_LOOKED_MAX) && n < BEAT_LANES_MAX; looked++) {
        const dq_wlane *lane = lanes->items[(lanes->beat_from + looked) % lanes->n];

        if (!lane || !lane->handler || lane->main_busy || lane->front_busy || dq_list_linked(&lane->fresh))
            continue;
        dq_beat_lane(b, lane->no);
        n++;
    }
    lanes->beat_from += looked;
}

/* False: not all that there is to say had room. */
static bool put_beat(dq_wshard *s, dq_buf *call)
{
    dq_worker *w = s->worker;
    unsigned char id[DQ_ID_BYTES];
    char state[64];
    bool all = true;
    dq_beat_head head = {
        .session = s->session.no,
        .lease_ms = w->lease_ms,
        .state = state,
        .stands_to_lead = w->stands_to_lead && !dq_worker_is_stopping(w),
        .blamed = dq_suspects_blame(s, id),
        .opened_ms = s->session.opened_ms,
        .data = dureq_str_from(s->session.data),
    };

    (void)snprintf(state, sizeof state, "{\"running\":%u,\"stuck\":%d}", (unsigned)w->n_slots_taken,
                   (int)atomic_load_explicit(&w->stats.stuck, memory_order_relaxed));
    dq_beat b = dq_beat_begin(call, dq_store_keys(w->store), s->no, &head);
    if (s->session.sync == DQ_SYNC_DONE) {
        all = put_starts(s, &b);
        all = put_progress(s, &b) && all;
    } else { /* before it is known whose the jobs are: the row of one that is not ours any more would stay */
        s->session.has_young = true;
    }
    put_lanes(s, &b);
    dq_late_put(s, &b);
    dq_beat_end(&b);
    return all;
}

/* ---- what it brings ---- */

/* Whether this is the run that was cancelled, and not one after it. */
static bool is_run(const dq_claim *c, const dq_cancelled *what)
{
    unsigned char mine[DQ_ID_BYTES];
    char text[DQ_ENTRY_TEXT_MAX];

    dq_id_pack(&c->job.id, mine);
    return memcmp(mine, what->id.ptr, DQ_ID_BYTES) == 0 && what->front == c->job.entry.front &&
           dq_str_eq(what->entry, dq_entry_text(&c->job.entry, text));
}

/* One whose outcome is on its way stays where it is: the answer counts the jobs of its call, and says that it was refused. */
void dq_session_cancelled(dq_wshard *s, dureq_str text)
{
    dq_cancelled what;

    if (!dq_cancelled_decode(text, &what))
        return;
    DQ_LIST_FOREACH (dq_claim, c, &s->held, in_shard) {
        if (!is_run(c, &what))
            continue;
        if (c->told_cancelled)
            return;
        c->told_cancelled = true;
        dq_stat_add(&s->worker->stats.cancelled, 1);
        dq_worker_tell(c, DUREQ_NODE_JOB_CANCELLED, "");
        if (!dq_run_is_going(&c->run))
            dq_late_ended(c);
        if (c->state != DQ_CLAIM_SENT)
            dq_claim_lose(c, DQ_STOP_CANCELLED);
        return;
    }
}

static void take_lists(dq_wshard *s, dq_reply cancelled, dq_reply busy)
{
    dq_reply_items jobs = dq_reply_items_of(cancelled), lanes = dq_reply_items_of(busy);
    dq_reply item;

    while (dq_reply_items_next(&jobs, &item))
        dq_session_cancelled(s, dq_reply_str(item));
    while (dq_reply_items_next(&lanes, &item))
        dq_lane_wake(s, (uint32_t)dq_reply_int(item), /*is_called=*/false);
}

/* What runs is finished; no more is taken and, as the epoch says, it does not lead. */
static void look_at_version(dq_wshard *s, bool too_old)
{
    if (!too_old || s->worker->holds & DQ_HOLD_TOO_OLD)
        return;
    DQ_LOG(s->worker->log, DUREQ_LOG_ERROR, "node.too_old",
           "shard=%u session=%s error=\"the prefix asks for a newer dureq: no more jobs are taken\"", s->no, s->session.text);
    dq_worker_hold(s->worker, DQ_HOLD_TOO_OLD, true);
}

/* Every shard is told; any will do. */
static void look_at_drain(dq_wshard *s, bool drain)
{
    dq_worker *w = s->worker;
    bool was_asked = w->holds & DQ_HOLD_DRAIN_ASKED, asked = false;

    if (drain == s->session.is_to_drain)
        return;
    s->session.is_to_drain = drain;
    for (unsigned i = 0; i < w->n_shards; i++)
        asked = asked || w->shards[i].session.is_to_drain;
    if (asked == was_asked)
        return;
    dq_worker_hold(w, DQ_HOLD_DRAIN_ASKED, asked);
    DQ_LOG(w->log, DUREQ_LOG_INFO, "node.drain", "drain=%s", asked ? "yes" : "no");
}

static void take_beat(dq_wshard *s, const dq_beat_answer *a)
{
    dq_worker *w = s->worker;
    dq_worker_beat beat = {
        .shard = s->no,
        .session = s->session.no,
        .now_ms = a->now_ms,
        .epoch = a->epoch,
        .next_due_ms = a->next_due_ms,
        .n_expired = a->n_expired,
        .n_outbox = a->n_outbox,
        .n_flow_steps = a->n_flow_steps,
        .next_timer_ms = a->next_timer_ms,
        .next_late_ms = a->next_late_ms,
        .next_schedule_ms = a->next_schedule_ms,
        .memory_is_short = a->memory_is_short,
    };

    s->session.alive_us = s->session.last_beat_us;
    dq_store_saw_time(w->store, s->no, beat.now_ms);
    if (a->n_lanes > s->lanes.n || s->session.doubts & DQ_DOUBT_LANES)
        dq_lanes_load(s);
    dq_paused_beat(s, a->queues_version);
    dq_lanes_beat(s);
    look_at_drain(s, a->drain);
    look_at_version(s, a->too_old);
    take_lists(s, a->cancelled, a->busy);
    dq_late_shown(s, a->late);
    if (w->cb.on_beat)
        w->cb.on_beat(w, &beat, w->cb.userdata);
    dq_suspects_told(s);
    dq_worker_pump(w);
}

/* ---- other data ---- */

/* Perhaps it is not on record, which a suspect must know before it begins; or it is, and its row goes with the end of the job. */
static void start_doubted(dq_claim *c)
{
    if (c->start_told == DQ_START_TOLD)
        c->start_told = dq_suspect_waits(c) ? DQ_START_UNTOLD : DQ_START_DOUBTED;
}

/* What was reported may be lost, and what was in the last heartbeat was not recorded. */
static void report_all_again(dq_wshard *s)
{
    s->session.has_young = true;
    DQ_LIST_FOREACH (dq_claim, c, &s->held, in_shard) {
        start_doubted(c);
        dq_mutex_lock(&c->run.mu);
        c->run.progress_new = c->run.progress_new || c->progress_told;
        dq_mutex_unlock(&c->run.mu);
    }
}

void dq_session_doubt(dq_wshard *s)
{
    if (!dq_shard_is_live(s))
        return;
    s->session.doubts |= DQ_DOUBT_SESSION;
    s->session.beat_is_late = true;
    dq_session_beat_soon(s);
}

/* What one session of a server noticed is true of its others: those that know the same identity. */
static void doubt_of_server(dq_wshard *s)
{
    for (unsigned i = 0; i < s->link->n_shards; i++) {
        dq_wshard *o = s->link->shards[i];

        if (o != s && strcmp(o->session.data, s->session.data) == 0)
            dq_session_doubt(o);
    }
}

/* The server kept the connection, and holds other data than it did: it was a replica meanwhile. As after a reconnect to another server; that
   the session lives there was just said. */
static void look_at_data(dq_wshard *s, dureq_str data)
{
    dq_wsession *x = &s->session;

    if (!x->data[0] || data.len == 0 || dq_str_eq_text(data, x->data)) {
        dq_copy_text(x->data, sizeof x->data, data);
        return;
    }
    doubt_of_server(s);
    dq_copy_text(x->data, sizeof x->data, data);
    DQ_LOG(s->worker->log, DUREQ_LOG_WARN, "session.other_data", "shard=%u session=%s", s->no, x->text);
    dq_link_unsure(s);
    dq_sync_want(s);
    x->doubts = (x->doubts & DQ_DOUBT_SESSION) | dq_lanes_doubt(s);
    x->opened_in_doubt = false;
    s->turn.class_ms = 0;
    report_all_again(s);
    dq_store_refresh_queues(s->worker->store);
    s->pauses.version = -1;
    dq_paused_load(s);
}

/* ---- sent and answered ---- */

/* What was named may be recorded now. Where the heartbeat did not come through, what it reported is reported again: a start twice is the same row. */
static void release_named(dq_wshard *s, bool came_through)
{
    dq_late_told(s, came_through);
    DQ_LIST_FOREACH (dq_claim, c, &s->held, in_shard) {
        if (c->is_named && !came_through)
            start_doubted(c);
        c->is_named = false;
        if (c->state == DQ_CLAIM_NAMED)
            dq_claim_judged(c);
    }
}

static void failed(dq_wshard *s, int code, const dureq_error *err)
{
    if (code != DUREQ_EUNAVAILABLE && code != DUREQ_ECLOSED)
        DQ_LOG(s->worker->log, DUREQ_LOG_WARN, "session.beat", "shard=%u error=\"%s\"", s->no,
               err ? err->msg : dureq_errcode_text(code));
    if (!dq_is_of_replica(code))
        return;
    s->session.doubts |= DQ_DOUBT_SESSION;
    dq_timer_set(&s->session.beat, DOUBT_BEAT_US);
}

static void on_beat(void *userdata, int code, const dq_reply *reply, const dureq_error *err)
{
    dq_wshard *s = userdata;
    bool again = s->session.beating == DQ_BEAT_AGAIN;
    dq_beat_answer answer = {0};

    s->session.beating = DQ_BEAT_IDLE;
    if (code == 0)
        code = dq_beat_decode(reply, &answer);
    release_named(s, code == 0);
    if (!dq_shard_is_live(s))
        return;
    if (code == DUREQ_EFENCED) {
        dq_session_lost(s, err->msg);
        return;
    }
    if (code < 0) {
        failed(s, code, err);
    } else {
        look_at_data(s, answer.data);
        take_beat(s, &answer);
        if (!s->session.beat_is_late)
            s->session.doubts &= ~(unsigned)DQ_DOUBT_SESSION;
        dq_session_look_if_sure(s);
    }
    if (again)
        dq_session_beat_now(s);
}

void dq_session_beat_soon(dq_wshard *s)
{
    if (s->session.beating != DQ_BEAT_IDLE)
        s->session.beating = DQ_BEAT_AGAIN;
    else if (dq_shard_is_live(s))
        dq_timer_set(&s->session.beat, 0);
}

void dq_session_beat_now(dq_wshard *s)
{
    dq_wsession *x = &s->session;
    int64_t every_us = dq_session_beat_every_us(s->worker);
    DQ_BUF_AUTO call = {0};

    if (!dq_shard_is_live(s) || !s->link->is_up)
        return;
    if (x->beating != DQ_BEAT_IDLE) {
        x->beating = DQ_BEAT_AGAIN;
        return;
    }
    x->has_young = x->beat_is_late = false;
    bool all = put_beat(s, &call);
    if (dq_session_send(s, &call, on_beat, s))
        x->beating = all ? DQ_BEAT_FLYING : DQ_BEAT_AGAIN;
    else
        release_named(s, /*came_through=*/false);
    x->last_beat_us = dq_loop_now_us(s->worker->loop);
    dq_timer_set(&x->beat, x->has_young ? DQ_MIN(REPORT_BEAT_US, every_us) : every_us);
}

/* Progress is seen within a second: a beat out of turn, but not more than five a second. */
void dq_session_progress(dq_worker *w)
{
    int64_t now_us = dq_loop_now_us(w->loop);

    for (unsigned i = 0; i < w->n_shards; i++) {
        dq_wshard *s = &w->shards[i];

        if (dq_shard_is_live(s))
            dq_timer_set(&s->session.beat, DQ_MAX(s->session.last_beat_us + PROGRESS_BEAT_US - now_us, 0));
    }
}
