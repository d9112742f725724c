/* SPDX-License-Identifier: Apache-2.0 */
/* What is said of lanes outside of turns: which we wait for, which we serve no more, and which we were woken for and are too much for us.

   A wake-up reaches as many sessions as the jobs need by the free slots that those said they have. Who is woken and has none left, since
   other lanes took them, passes it on (lanes_wake.lua). */

#include "store/queue_calls.h"
#include "worker/worker_internal.h"

#define FRESH_MAX  256
#define CALLED_MAX 64

/* ---- lanes of which nothing is known ---- */

static void on_listening(void *userdata, int code, const dq_reply *reply, const dureq_error *err)
{
    dq_wshard *s = userdata;
    dureq_str busy = code == 0 ? dq_reply_str(*reply) : (dureq_str){0};
    uint32_t no;

    (void)err; /* a heartbeat's pump tries again */
    s->lanes.listening = false;
    if (code < 0 || !dq_shard_is_live(s) || s->lanes.listening_session != s->session.no) {
        dq_list_splice_back(&s->lanes.fresh, &s->lanes.fresh_sent);
        return;
    }
    while (!dq_list_empty(&s->lanes.fresh_sent))
        (void)dq_list_pop_front(&s->lanes.fresh_sent);
    while (dq_listen_next(&busy, &no))
        if (no > 0 && no <= s->lanes.n && s->lanes.items[no - 1] && s->lanes.items[no - 1]->handler)
            dq_lane_busy(s->lanes.items[no - 1]);
    dq_worker_pump(s->worker);
}

void dq_lanes_listen(dq_wshard *s)
{
    dq_worker *w = s->worker;
    DQ_BUF_AUTO bytes = {0};

    if (!dq_shard_is_live(s) || s->lanes.listening || dq_list_empty(&s->lanes.fresh) || s->session.doubts || !s->link->is_up ||
        !dq_lanes_take_work(w))
        return;
    dq_call call = dq_call_lanes_listen(&bytes, dq_store_keys(w->store), s->no, s->session.no);
    for (size_t n = 0; n < FRESH_MAX && !dq_list_empty(&s->lanes.fresh); n++) {
        dq_wlane *lane = dq_container_of(dq_list_pop_front(&s->lanes.fresh), dq_wlane, fresh);

        dq_list_push_back(&s->lanes.fresh_sent, &lane->fresh);
        dq_listen_lane(&call, lane->no, lane->handler->concurrency); /* where its handler has a limit of its own */
    }
    dq_call_end(&call);
    s->lanes.listening_session = s->session.no;
    s->lanes.listening = !dq_buf_failed(&bytes) && dq_store_send(w->store, s->no, 0, dq_buf_str(&bytes), on_listening, s) == 0;
    if (!s->lanes.listening)
        dq_list_splice_back(&s->lanes.fresh, &s->lanes.fresh_sent);
}

/* ---- lanes that are served no more ---- */

static void on_told(void *userdata, int code, const dq_reply *reply, const dureq_error *err)
{
    dq_wshard *s = userdata;
    dq_wlanes *l = &s->lanes;

    (void)reply;
    (void)err; /* a heartbeat's pump tries again */
    l->telling = false;
    if (code < 0 && dq_shard_is_live(s) && l->telling_session == s->session.no) {
        dq_list_splice_back(&l->leaving, &l->leaving_sent);
        l->info_due = true;
        return;
    }
    while (!dq_list_empty(&l->leaving_sent))
        (void)dq_list_pop_front(&l->leaving_sent);
    dq_lanes_leave(s);
}

void dq_lanes_leave(dq_wshard *s)
{
    dq_worker *w = s->worker;
    dq_wlanes *l = &s->lanes;
    DQ_BUF_AUTO bytes = {0};

    if (!dq_shard_is_live(s) || l->telling || (!l->info_due && dq_list_empty(&l->leaving)) || s->session.doubts ||
        !s->link->is_up)
        return;
    dq_call call = dq_call_session_change(&bytes, dq_store_keys(w->store), s->no, s->session.no, w->info);
    for (size_t n = 0; n < FRESH_MAX && !dq_list_empty(&l->leaving); n++) {
        dq_wlane *lane = dq_container_of(dq_list_pop_front(&l->leaving), dq_wlane, fresh);

        dq_list_push_back(&l->leaving_sent, &lane->fresh);
        dq_change_leave(&call, lane->no);
    }
    dq_call_end(&call);
    l->telling_session = s->session.no;
    l->telling = dq_session_send(s, &bytes, on_told, s);
    l->info_due = !l->telling;
    if (!l->telling)
        dq_list_splice_back(&l->leaving, &l->leaving_sent);
}

/* ---- lanes that are too much for us ---- */

static void on_passed(void *userdata, int code, const dq_reply *reply, const dureq_error *err)
{
    (void)userdata;
    (void)code;
    (void)reply;
    (void)err; /* not passed on: heartbeats of others find the lanes */
}

/* A bounded look at those that were called: who is idle by now, or paused, is of no concern; what is still being read is looked at again later. */
void dq_lanes_pass(dq_wshard *s)
{
    DQ_BUF_AUTO bytes = {0};
    dq_list later;
    size_t n = 0;

    if (!dq_shard_is_live(s) || dq_list_empty(&s->lanes.called))
        return;
    dq_call call = dq_call_lanes_wake(&bytes, dq_store_keys(s->worker->store), s->no);
    dq_list_init(&later);
    for (size_t i = 0; i < CALLED_MAX && !dq_list_empty(&s->lanes.called); i++) {
        dq_wlane *lane = dq_container_of(dq_list_pop_front(&s->lanes.called), dq_wlane, called);

        if ((!lane->main_busy && !lane->front_busy) || lane->queue_of->paused)
            continue;
        if (dq_list_linked(&lane->planned) || dq_lane_has_slot(lane)) {
            dq_list_push_back(&later, &lane->called);
            continue;
        }
        dq_wake_lane(&call, lane->no);
        n++;
    }
    dq_list_splice_back(&s->lanes.called, &later);
    if (n == 0)
        return;
    dq_call_end(&call);
    if (!dq_buf_failed(&bytes))
        (void)dq_store_send(s->worker->store, s->no, 0, dq_buf_str(&bytes), on_passed, NULL);
}
