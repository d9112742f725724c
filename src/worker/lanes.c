/* SPDX-License-Identifier: Apache-2.0 */
/* Lanes of a shard, and what to read from which. A lane is `busy` while it may hold jobs: after a wake-up, a heartbeat's hint, or a read that gave
   all that was asked. The first read after a wake-up, and one that follows a read that gave less than was asked, registers this session for the lane's
   wake-ups in the same transaction; when that one gives less, the lane is idle and costs nothing until we are told. Lanes of which nothing is
   known yet (`fresh`) are registered and looked at many at a time, without a read: they take no slots.

   A turn names the lanes that share.c picks, those it registers and no others: what it costs follows what has work. Of a lane's share half
   goes to its front stream while both hold jobs. */

#include "worker/worker_internal.h"

#define REST_BEATS 4

/* ---- what may hold jobs ---- */

void dq_lane_busy(dq_wlane *lane)
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
    dq_lane_busy(lane);
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

bool dq_lanes_take_work(const dq_worker *w)
{
    return w->life == DQ_LIFE_WORKING && !w->holds && !dq_suspects_hold(w);
}

static int32_t free_slots(const dq_worker *w)
{
    return dq_lanes_take_work(w) && w->n_slots_taken < w->room ? (int32_t)(w->room - w->n_slots_taken) : 0;
}

int32_t dq_lanes_slots(const dq_wshard *s)
{
    return free_slots(s->worker);
}

bool dq_lane_has_slot(const dq_wlane *lane)
{
    return lane->handler && free_slots(lane->shard->worker) > 0 && !lane->queue_of->paused && dq_handler_free(lane->handler) > 0;
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
        dq_lane_rebind(lane);
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
