/* SPDX-License-Identifier: Apache-2.0 */
/* Which lanes a shard has, and who handles them here. Lanes are only ever added; a server that lost its data may have others. */

#include "store/plain_calls.h"
#include "worker/worker_internal.h"

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
void dq_lane_rebind(dq_wlane *lane)
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
            dq_lane_rebind(lane);
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
    dq_reply_items items = dq_reply_items_of(list);
    dq_reply name;

    for (uint32_t i = 0; i < s->lanes.n; i++)
        if (!s->lanes.items[i] || !dq_reply_items_next(&items, &name) ||
            !dq_str_eq_text(dq_reply_str(name), s->lanes.items[i]->name))
            return false;
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
    dq_reply_items items = dq_reply_items_of(list);
    dq_reply name;

    if (!lanes_grow(s, (uint32_t)dq_reply_len(list) + s->lanes.n))
        return false;
    for (size_t i = 0; dq_reply_items_next(&items, &name); i++) {
        if (i < known)
            continue;
        if (!lane_create(s, s->lanes.n + 1, dq_reply_str(name), &s->lanes.items[s->lanes.n]))
            return false;
        s->lanes.n++;
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
