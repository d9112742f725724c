/* SPDX-License-Identifier: Apache-2.0 */
/* Lanes of a shard, and what to read from which. A lane is `busy` while it may hold jobs: after a wake-up, a heartbeat's hint, or a read that gave
   all that was asked. The first read after a wake-up, and one that follows a read that gave less than was asked, registers this session for the lane's
   wake-ups in the same transaction; when that one gives less, the lane is idle and costs nothing until we are told. Lanes of which nothing is
   known yet (`fresh`) are registered and looked at many at a time, without a read: they take no slots.

   A turn names the lanes that share.c picks, those it registers and no others: what it costs follows what has work. Of a lane's share half
   goes to its front stream while both hold jobs.

   A wake-up reaches as many sessions as the jobs need by the free slots that those said they have. Who is woken and has none left, since
   other lanes took them, passes it on (lanes_wake.lua). */

#include <stdio.h>

#include "store/plain_calls.h"
#include "store/queue_calls.h"
#include "worker/worker_internal.h"

#define FRESH_MAX  256
#define CALLED_MAX 64
#define REST_BEATS 4

/* ---- what is known of lanes ---- */

static dq_handler *handler_of(const dq_wlane *lane)
{
    return lane->is_pinned ? NULL : dq_handlers_find(lane->shard->worker->handlers, dureq_str_from(lane->type));
}

/* False: there is no memory. *ret is NULL when the name is none. */
static bool lane_create(dq_wshard *s, uint32_t no, dureq_str name, dq_wlane **ret)
{
    dureq_str queue, type, version;

    *ret = NULL;
    if (!dq_lane_name_split(name, &queue, &type, &version))
        return true;
    dq_wlane *lane = dq_calloc(1, sizeof *lane + queue.len + type.len + name.len + 3);
    if (!lane)
        return false;
    lane->shard = s;
    lane->no = no;
    lane->queue = (char *)(lane + 1);
    lane->type = lane->queue + queue.len + 1;
    memcpy(lane->queue, queue.ptr, queue.len);
    lane->name = lane->type + type.len + 1;
    memcpy(lane->type, type.ptr, type.len);
    memcpy(lane->name, name.ptr, name.len);
    lane->is_pinned = version.len > 0;
    lane->handler = handler_of(lane);
    lane->queue_of = dq_share_queue(s, queue);
    lane->flow = lane->queue_of && lane->handler ? dq_share_flow(s, lane->queue_of, lane->handler) : NULL;
    if (!lane->queue_of || (lane->handler && !lane->flow)) {
        dq_free(lane);
        return false;
    }
    lane->was_served = lane->handler != NULL;
    if (lane->handler)
        dq_list_push_back(&s->lanes.fresh, &lane->fresh);
    *ret = lane;
    return true;
}

static bool lanes_grow(dq_wshard *s, uint32_t n)
{
    if (n <= s->lanes.cap)
        return true;
    uint32_t cap = DQ_MAX(n, s->lanes.cap * 2 + 8);
    dq_wlane **lanes = dq_realloc(s->lanes.items, cap * sizeof(dq_wlane *));
    if (!lanes)
        return false;
    s->lanes.items = lanes;
    s->lanes.cap = cap;
    return true;
}

/* Out of all lists: it is not there any more, or nothing is known of it. */
static void lane_unlist(dq_wlane *lane)
{
    lane->share = lane->want_main = lane->want_front = lane->got_main = lane->got_front = 0;
    lane->main_busy = lane->front_busy = lane->listing = lane->woken = false;
    lane->rest_beats = 0;
    dq_share_offer(lane);
    dq_list_remove(&lane->fresh);
    dq_list_remove(&lane->called);
    dq_list_remove(&lane->at_rest);
    dq_list_remove(&lane->planned);
}

/* Others may have left its jobs to us. */
static void lane_leave(dq_wlane *lane)
{
    dq_wlanes *l = &lane->shard->lanes;

    lane->main_busy = true;
    dq_list_push_back(&l->called, &lane->called);
    dq_list_push_back(&l->leaving, &lane->fresh);
}

/* Its handler is another one, or none. Not while a read of it is in flight. */
static void lane_rebind(dq_wlane *lane)
{
    dq_wshard *s = lane->shard;

    lane_unlist(lane);
    lane->rebinds = false;
    lane->flow = lane->handler ? dq_share_flow(s, lane->queue_of, lane->handler) : NULL;
    if (lane->handler && !lane->flow) {
        DQ_LOG(s->worker->log, DUREQ_LOG_ERROR, "worker.memory", "type=%s error=\"no more jobs of it are taken\"", lane->type);
        lane->handler = NULL;
    }
    if (lane->handler)
        dq_list_push_back(&s->lanes.fresh, &lane->fresh);
    else if (lane->was_served)
        lane_leave(lane);
    lane->was_served = lane->was_served || lane->handler;
}

/* What a read in flight brings is for the new handler already, or given back when there is none. */
void dq_lanes_rebind(dq_wshard *s)
{
    dq_share_replaced(s);
    for (uint32_t i = 0; i < s->lanes.n; i++) {
        dq_wlane *lane = s->lanes.items[i];

        if (!lane || (!lane->handler && !handler_of(lane)))
            continue;
        lane->handler = handler_of(lane);
        if (!dq_list_linked(&lane->planned)) {
            lane_rebind(lane);
            continue;
        }
        lane->rebinds = true;
        lane->main_busy = lane->front_busy = false;
        dq_share_offer(lane);
    }
}

void dq_lanes_free_old(dq_worker *w)
{
    while (w->old_lanes) {
        dq_wlane *lane = w->old_lanes;

        w->old_lanes = lane->next_old;
        dq_free(lane);
    }
}

/* Whether the server's list begins with the lanes that are known here. */
static bool lanes_are_same(const dq_wshard *s, dq_reply list)
{
    size_t n = dq_reply_len(list);
    dq_reply at = n > 0 ? dq_reply_first(list) : list;

    if (n < s->lanes.n)
        return false;
    for (uint32_t i = 0; i < s->lanes.n; i++) {
        if (!s->lanes.items[i] || !dq_str_eq_text(dq_reply_str(at), s->lanes.items[i]->name))
            return false;
        if (i + 1 < n)
            at = dq_reply_next(at);
    }
    return true;
}

/* The server lost what it knew of lanes, and with it what we hold of them. */
static void lanes_forget(dq_wshard *s)
{
    if (!s->session.opened_in_doubt)
        dq_session_lost(s, "the server has other lanes now");
    for (uint32_t i = 0; i < s->lanes.n; i++) {
        if (!s->lanes.items[i])
            continue;
        lane_unlist(s->lanes.items[i]);
        s->lanes.items[i]->next_old = s->worker->old_lanes;
        s->worker->old_lanes = s->lanes.items[i];
    }
    s->lanes.n = 0;
}

/* From the first lane that is not known here. One there is no memory for is not known: the next heartbeat has them loaded again. */
static bool lanes_add(dq_wshard *s, dq_reply list, size_t known)
{
    size_t n = dq_reply_len(list);
    dq_reply at = n > 0 ? dq_reply_first(list) : list;

    if (!lanes_grow(s, (uint32_t)n + s->lanes.n))
        return false;
    for (size_t i = 0; i < n; i++) {
        if (i >= known) {
            if (!lane_create(s, s->lanes.n + 1, dq_reply_str(at), &s->lanes.items[s->lanes.n]))
                return false;
            s->lanes.n++;
        }
        if (i + 1 < n)
            at = dq_reply_next(at);
    }
    return true;
}

static void on_lanes(void *userdata, int code, const dq_reply *reply, const dureq_error *err)
{
    dq_wshard *s = userdata;
    bool again = s->lanes.load == DQ_LOAD_AGAIN, in_doubt = s->session.doubts & DQ_DOUBT_LANES;

    (void)err;
    s->lanes.load = DQ_LOAD_NONE;
    if (code < 0) /* the connection: loaded again with the next session step */
        return;
    if (in_doubt && !s->lanes.load_is_whole) { /* since it was asked for: these are only the last of them */
        dq_lanes_load(s);
        return;
    }
    if (in_doubt && !lanes_are_same(s, *reply))
        lanes_forget(s);
    if (!lanes_add(s, *reply, in_doubt ? s->lanes.n : 0))
        return;
    s->session.doubts &= ~(unsigned)DQ_DOUBT_LANES;
    s->session.opened_in_doubt = false;
    dq_session_look_if_sure(s);
    if (again)
        dq_lanes_load(s);
    dq_worker_pump(s->worker);
}

/* Lanes are only ever added: what is not known yet is read. All are when the server may have forgotten some. */
void dq_lanes_load(dq_wshard *s)
{
    dq_redis *r = dq_store_redis(s->worker->store, s->no, DQ_CONN_MAIN);

    if (!s->link->is_up)
        return; /* subscribed already and told of a lane, but not up yet: then all are read, and twice would be once too often */
    if (s->lanes.load != DQ_LOAD_NONE) {
        s->lanes.load = DQ_LOAD_AGAIN;
        return;
    }
    s->lanes.load_is_whole = s->session.doubts & DQ_DOUBT_LANES;
    dq_plain_list(dq_redis_out(r), dq_store_keys(s->worker->store), s->no, "lane", s->lanes.load_is_whole ? 0 : s->lanes.n);
    if (dq_redis_commit(r, 0, on_lanes, s) == 0)
        s->lanes.load = DQ_LOAD_FLYING;
}

unsigned dq_lanes_doubt(dq_wshard *s)
{
    s->lanes.load_is_whole = false; /* a list that is on its way may be of before */
    return s->lanes.n > 0 || s->lanes.load != DQ_LOAD_NONE ? DQ_DOUBT_LANES : 0;
}

void dq_lanes_load_lost(dq_wshard *s)
{
    s->lanes.load = DQ_LOAD_NONE;
}

void dq_lanes_init(dq_wshard *s)
{
    dq_list_init(&s->lanes.fresh);
    dq_list_init(&s->lanes.fresh_sent);
    dq_list_init(&s->lanes.leaving);
    dq_list_init(&s->lanes.leaving_sent);
    dq_list_init(&s->lanes.called);
    dq_list_init(&s->lanes.at_rest);
    dq_list_init(&s->lanes.planned);
    dq_share_init(s);
    dq_paused_init(s);
}

void dq_lanes_deinit(dq_wshard *s)
{
    for (uint32_t i = 0; i < s->lanes.n; i++)
        dq_free(s->lanes.items[i]);
    dq_free(s->lanes.items);
    s->lanes.items = NULL;
    s->lanes.n = s->lanes.cap = 0;
    dq_share_deinit(s);
    dq_paused_deinit(s);
}

void dq_lanes_forgotten(dq_wshard *s)
{
    s->lanes.info_due = false; /* it was told at the opening */
    while (!dq_list_empty(&s->lanes.leaving))
        (void)dq_list_pop_front(&s->lanes.leaving);
    for (uint32_t i = 0; i < s->lanes.n; i++) {
        if (!s->lanes.items[i] || !s->lanes.items[i]->handler)
            continue;
        lane_unlist(s->lanes.items[i]);
        dq_list_push_back(&s->lanes.fresh, &s->lanes.items[i]->fresh);
    }
    s->lanes.slots_told = -1;
}

/* ---- what may hold jobs ---- */

static void lane_busy(dq_wlane *lane)
{
    lane->main_busy = lane->front_busy = lane->listing = true;
    dq_list_remove(&lane->fresh);
    dq_share_offer(lane);
}

void dq_lane_wake(dq_wshard *s, uint32_t no, bool is_called)
{
    dq_wlane *lane = no > 0 && no <= s->lanes.n ? s->lanes.items[no - 1] : NULL;

    if (!lane) {
        dq_lanes_load(s);
        return;
    }
    if (!lane->handler) { /* others have waited with us for its jobs, and were not told */
        lane->main_busy = is_called;
        if (is_called && !dq_list_linked(&lane->called))
            dq_list_push_back(&s->lanes.called, &lane->called);
        dq_worker_pump(s->worker);
        return;
    }
    lane_busy(lane);
    lane->woken = lane->want_main || lane->want_front;
    if (is_called && !dq_list_linked(&lane->called))
        dq_list_push_back(&s->lanes.called, &lane->called);
    dq_worker_pump(s->worker);
}

/* What is being read may have been read before the wake-up that was lost. */
void dq_lanes_unsure(dq_wshard *s)
{
    for (uint32_t i = 0; i < s->lanes.n; i++) {
        dq_wlane *lane = s->lanes.items[i];

        if (!lane || !lane->handler || dq_list_linked(&lane->fresh))
            continue;
        if (dq_list_linked(&lane->planned))
            lane->woken = lane->want_main || lane->want_front;
        else if (!lane->main_busy && !lane->front_busy)
            dq_list_push_back(&s->lanes.fresh, &lane->fresh);
    }
}

void dq_lane_rest(dq_wlane *lane)
{
    lane->rest_beats = REST_BEATS;
    if (!dq_list_linked(&lane->at_rest))
        dq_list_push_back(&lane->shard->lanes.at_rest, &lane->at_rest);
    dq_share_offer(lane);
}

void dq_lanes_beat(dq_wshard *s)
{
    DQ_LIST_FOREACH (dq_wlane, lane, &s->lanes.at_rest, at_rest) {
        if (--lane->rest_beats > 0)
            continue;
        dq_list_remove(&lane->at_rest);
        dq_share_offer(lane);
    }
}

/* ---- slots ---- */

static bool takes_work(const dq_worker *w)
{
    return w->life == DQ_LIFE_WORKING && !w->holds && !dq_suspects_hold(w);
}

static int32_t free_slots(const dq_worker *w)
{
    return takes_work(w) && w->n_slots_taken < w->room ? (int32_t)(w->room - w->n_slots_taken) : 0;
}

int32_t dq_lanes_slots(const dq_wshard *s)
{
    return free_slots(s->worker);
}

bool dq_lane_has_slot(const dq_wlane *lane)
{
    return lane->handler && free_slots(lane->shard->worker) > 0 && !lane->queue_of->paused && dq_handler_free(lane->handler) > 0;
}

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
            lane_busy(s->lanes.items[no - 1]);
    dq_worker_pump(s->worker);
}

void dq_lanes_listen(dq_wshard *s)
{
    dq_worker *w = s->worker;
    DQ_BUF_AUTO bytes = {0};

    if (!dq_shard_is_live(s) || s->lanes.listening || dq_list_empty(&s->lanes.fresh) || s->session.doubts || !s->link->is_up ||
        !takes_work(w))
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

bool dq_lanes_worth(dq_wshard *s)
{
    return free_slots(s->worker) > 0 && dq_paused_sure(s) && dq_share_any(s);
}

/* ---- the read ---- */

static void put_read(dq_wlane *lane, bool front, int32_t count, dq_turn *turn)
{
    dq_turn_read(turn, lane->no, front, count);
    if (front)
        lane->want_front = count;
    else
        lane->want_main = count;
}

/* Half of the lane's share is for its front stream while both may hold jobs, the odd slot for each of them in turn, since a share may be one
   slot for ever; all is for the only one that may. */
static void plan_lane(dq_wlane *lane, int32_t n, dq_turn *turn)
{
    int32_t front = 0, main;

    if (lane->front_busy && lane->main_busy) {
        lane->front_turn = !lane->front_turn;
        front = (n + lane->front_turn) / 2;
    } else if (lane->front_busy) {
        front = n;
    }
    main = lane->main_busy ? n - front : 0;
    if (front > 0)
        put_read(lane, true, front, turn);
    if (main > 0)
        put_read(lane, false, main, turn);
}

void dq_lanes_plan(dq_wshard *s, dq_turn *turn)
{
    int32_t slots = DQ_MIN(free_slots(s->worker), DQ_BATCH_MAX);

    if (slots <= 0 || !dq_paused_sure(s))
        return;
    dq_share_out(s, slots);
    DQ_LIST_FOREACH (dq_wlane, lane, &s->lanes.planned, planned)
        plan_lane(lane, lane->share, turn);
}

void dq_lanes_listing(dq_wshard *s, dq_turn *turn)
{
    DQ_LIST_FOREACH (dq_wlane, lane, &s->lanes.planned, planned)
        if (lane->listing)
            dq_turn_listing(turn, lane->no);
}

/* ---- what came of it ---- */

static void lane_read_done(dq_wlane *lane)
{
    bool short_main = lane->want_main > 0 && lane->got_main < lane->want_main;
    bool short_front = lane->want_front > 0 && lane->got_front < lane->want_front;

    dq_share_back(lane, DQ_MAX(lane->want_main - lane->got_main, 0) + DQ_MAX(lane->want_front - lane->got_front, 0));
    if (lane->listing) {
        /* Registered before it was read, in one transaction: what comes later, we are told. */
        lane->main_busy = lane->main_busy && !short_main;
        lane->front_busy = lane->front_busy && !short_front;
        lane->listing = false;
    } else if (short_main || short_front) {
        lane->listing = true;
    }
    if (lane->woken) { /* while the read was in flight: it may have been before what the wake-up is about */
        lane->main_busy = lane->front_busy = lane->listing = true;
        lane->woken = false;
    }
    dq_share_offer(lane);
}

static void lane_read_over(dq_wlane *lane)
{
    dq_list_remove(&lane->planned);
    lane->share = lane->want_main = lane->want_front = lane->got_main = lane->got_front = 0;
    if (lane->rebinds)
        lane_rebind(lane);
}

void dq_lanes_read_done(dq_wshard *s)
{
    DQ_LIST_FOREACH (dq_wlane, lane, &s->lanes.planned, planned) {
        lane_read_done(lane);
        lane_read_over(lane);
    }
}

void dq_lanes_read_off(dq_wshard *s)
{
    DQ_LIST_FOREACH (dq_wlane, lane, &s->lanes.planned, planned) {
        dq_share_back(lane, lane->share);
        lane_read_over(lane);
    }
}
