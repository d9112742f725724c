/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions: one a shard. Opened when its server is there, kept alive by a heartbeat (beat.c), closed at stop. After a connection was lost, what Redis
   holds pending for it is compared with what it holds (sync.c). A session that is fenced drops all it holds and is opened again: its jobs run
   elsewhere. Loop thread. */

#include "worker/session.h"

#include <assert.h>
#include <stdio.h>

#include "worker/worker_internal.h"

#define BIT(name) (1u << DQ_SESSION_##name)

static const unsigned next_states[] = {
    [DQ_SESSION_CLOSED] = BIT(OPENING) | BIT(GONE),
    [DQ_SESSION_OPENING] = BIT(LIVE) | BIT(CLOSED) | BIT(GONE),
    [DQ_SESSION_LIVE] = BIT(CLOSED) | BIT(CLOSING) | BIT(GONE),
    [DQ_SESSION_CLOSING] = BIT(GONE),
    [DQ_SESSION_GONE] = 0,
};

bool dq_session_can_move(dq_session_state from, dq_session_state to)
{
    return (size_t)from < DQ_ARRAY_LEN(next_states) && (size_t)to < DQ_ARRAY_LEN(next_states) && next_states[from] & (1u << to);
}

void dq_session_move(dq_wshard *s, dq_session_state to)
{
    assert(next_states[s->session.state] & (1u << to));
    s->session.state = to;
}

bool dq_session_send(dq_wshard *s, const dq_buf *call, dq_store_fn fn, void *userdata)
{
    return !dq_buf_failed(call) && dq_store_send(s->worker->store, s->no, 0, dq_buf_str(call), fn, userdata) == 0;
}

/* ---- open ---- */

static void look_if_live(dq_worker *w)
{
    if (w->was_live)
        return;
    for (unsigned i = 0; i < w->n_shards; i++)
        if (!dq_shard_is_live(&w->shards[i]))
            return;
    w->was_live = true;
    if (w->cb.on_live)
        w->cb.on_live(w, w->cb.userdata);
}

/* Nothing of an earlier session counts. */
static void begin(dq_wshard *s, const dq_session_opened *opened)
{
    dq_wsession *x = &s->session;

    x->no = opened->session;
    (void)snprintf(x->text, sizeof x->text, "%llu", (unsigned long long)x->no);
    x->opened_ms = opened->now_ms;
    dq_copy_text(x->x, sizeof x->x, opened->x);
    dq_copy_text(x->hv, sizeof x->hv, opened->hv);
    dq_copy_text(x->data, sizeof x->data, opened->data);
    x->opened_in_doubt = x->doubts & DQ_DOUBT_LANES;
    x->blame_told = 0;
    dq_sync_forget(s);
    dq_link_unsure(s);
    s->turn.call_is_lost = s->turn.refused_unseen = false;
    s->turn.call_no = 0;
    s->turn.class_ms = 0;
    s->pauses.version = -1;
}

static void on_opened(void *userdata, int code, const dq_reply *reply, const dureq_error *err)
{
    dq_wshard *s = userdata;
    dq_worker *w = s->worker;
    dq_session_opened opened = {0};

    if (s->session.state != DQ_SESSION_OPENING)
        return;
    if (code == 0)
        code = dq_session_open_decode(reply, &opened);
    if (code < 0) {
        dq_session_move(s, DQ_SESSION_CLOSED);
        if (code != DUREQ_EUNAVAILABLE && code != DUREQ_ECLOSED)
            DQ_LOG(w->log, DUREQ_LOG_WARN, "session.open", "shard=%u error=\"%s\"", s->no,
                   err ? err->msg : dureq_errcode_text(code));
        if (err && w->cb.on_waiting)
            w->cb.on_waiting(w, err, w->cb.userdata);
        dq_timer_set(&s->session.beat, dq_session_beat_every_us(w)); /* tries again */
        return;
    }
    dq_session_move(s, DQ_SESSION_LIVE);
    begin(s, &opened);
    dq_store_saw_time(w->store, s->no, opened.now_ms);
    dq_worker_hold(w, DQ_HOLD_TOO_OLD, false);
    (void)dq_store_subscribe(w->store, s->no, "w:", dureq_str_from(s->session.text));
    (void)dq_store_subscribe(w->store, s->no, "ctl", (dureq_str){0});
    DQ_LOG(w->log, DUREQ_LOG_DEBUG, "session.live", "shard=%u session=%s", s->no, s->session.text);
    dq_lanes_forgotten(s);
    dq_lanes_load(s);
    dq_paused_load(s);
    dq_session_beat_now(s);
    look_if_live(w);
    dq_worker_pump(w);
}

void dq_session_open(dq_wshard *s)
{
    dq_worker *w = s->worker;
    DQ_BUF_AUTO call = {0};

    if (s->session.state != DQ_SESSION_CLOSED || !s->link->is_up || dq_worker_is_stopping(w))
        return;
    dq_call_session_open(&call, dq_store_keys(w->store), s->no,
                         &(dq_session_opening){.node_id = w->node_id, .info = w->info, .lease_ms = w->lease_ms});
    if (dq_session_send(s, &call, on_opened, s))
        dq_session_move(s, DQ_SESSION_OPENING);
    else
        dq_timer_set(&s->session.beat, dq_session_beat_every_us(w));
}

/* The connection is there: for the first time, or again. */
void dq_session_connected(dq_wshard *s)
{
    s->session.beating = DQ_BEAT_IDLE;
    if (!dq_shard_is_live(s)) {
        dq_session_open(s);
        return;
    }
    dq_sync_want(s);
    dq_lanes_unsure(s);
    dq_lanes_load(s);
    dq_paused_load(s);
    dq_session_beat_now(s);
}

void dq_session_timer_fired(dq_timer *t)
{
    dq_wshard *s = dq_container_of(t, dq_wshard, session.beat);

    if (s->session.state == DQ_SESSION_CLOSED)
        dq_session_open(s);
    else if (dq_shard_is_live(s) && s->link->is_up)
        dq_session_beat_now(s); /* after the one in flight, if any */
    else if (dq_shard_is_live(s))
        dq_timer_set(&s->session.beat, dq_session_beat_every_us(s->worker));
}

void dq_session_look_if_sure(dq_wshard *s)
{
    if (s->session.doubts)
        return;
    dq_session_return(s);
    dq_worker_pump(s->worker);
}

/* ---- lost ---- */

void dq_session_lost(dq_wshard *s, const char *why)
{
    dq_worker *w = s->worker;

    if (!dq_shard_is_live(s))
        return;
    DQ_LOG(w->log, DUREQ_LOG_WARN, "session.lost", "shard=%u session=%s error=\"%s\"", s->no, s->session.text, why);
    (void)dq_store_unsubscribe(w->store, s->no, "w:", dureq_str_from(s->session.text));
    dq_session_move(s, DQ_SESSION_CLOSED);
    dq_sync_forget(s);
    dq_link_unsure(s);
    s->turn.call_is_lost = false;
    /* All may have been deleted and made again, with other lanes; a list that is on its way may be of before. */
    s->session.doubts = dq_lanes_doubt(s);
    dq_store_refresh_queues(w->store);
    while (!dq_list_empty(&s->held))
        dq_claim_lose(dq_container_of(s->held.next, dq_claim, in_shard), DQ_STOP_LOST);
    dq_lanes_read_off(s);
    dq_session_open(s);
    dq_worker_look_for_end(w);
}

/* ---- close ---- */

static void on_closed(void *userdata, int code, const dq_reply *reply, const dureq_error *err)
{
    dq_wshard *s = userdata;

    (void)code;
    (void)reply;
    (void)err; /* not closed: the reaper does it when the lease is over */
    dq_session_move(s, DQ_SESSION_GONE);
    dq_worker_look_for_end(s->worker);
}

void dq_session_close(dq_wshard *s)
{
    DQ_BUF_AUTO call = {0};
    bool sent = false;

    dq_timer_clear(&s->session.beat);
    if (dq_shard_is_live(s) && s->link->is_up && !(s->session.doubts & DQ_DOUBT_SESSION)) {
        dq_call_session_close(&call, dq_store_keys(s->worker->store), s->no, s->session.no);
        sent = dq_session_send(s, &call, on_closed, s);
    }
    dq_session_move(s, sent ? DQ_SESSION_CLOSING : DQ_SESSION_GONE);
}
