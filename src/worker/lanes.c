/* SPDX-License-Identifier: Apache-2.0 */
/* Lanes of a shard, and what to read from which. A lane is `busy` while it may hold jobs: after a wake-up, a heartbeat's hint, or a read that gave
   all that was asked. A read that gives less is followed by one that registers this session for the lane's wake-ups in the same
   transaction; when that one gives less too, the lane is idle and costs nothing until we are told.

   Free slots are shared out to queues by weight, with credits so that fractions are not lost, and within a queue to its lanes in turn; of a lane's
   share half goes to its front stream while both hold jobs. */

#include <stdio.h>

#include "redis/resp.h"
#include "worker/worker_internal.h"

/* ---- what is known of lanes ---- */

static void lane_judge(dq_wlane *lane)
{
    const dq_queue *q = dq_queue_set_find(dq_store_queues(lane->shard->worker->store), dureq_str_from(lane->queue));

    lane->weight = q ? q->weight : 1;
    lane->paused = q && q->paused;
    lane->class_ms = dq_retention_class(q && q->retention_ms ? q->retention_ms : DQ_RETENTION_DEFAULT_MS);
    if (q && q->retention_ms < 0)
        lane->class_ms = 0;
    dq_buf_clear(&lane->retry_packed);
    if (q && q->retry_policy)
        dq_retry_pack(&lane->retry_packed, q->retry_policy);
}

void dq_lanes_judge(dq_wshard *s)
{
    for (uint32_t i = 0; i < s->n_lanes; i++)
        if (s->lanes[i])
            lane_judge(s->lanes[i]);
    dq_worker_pump(s->worker);
}

static dq_wlane *lane_create(dq_wshard *s, uint32_t no, dureq_str name)
{
    dureq_str queue, type, version;

    if (!dq_lane_name_split(name, &queue, &type, &version))
        return NULL;
    dq_wlane *lane = dq_calloc(1, sizeof *lane + queue.len + type.len + name.len + 3);
    if (!lane)
        return NULL;
    lane->shard = s;
    lane->no = no;
    lane->queue = (char *)(lane + 1);
    lane->type = lane->queue + queue.len + 1;
    memcpy(lane->queue, queue.ptr, queue.len);
    lane->name = lane->type + type.len + 1;
    memcpy(lane->type, type.ptr, type.len);
    memcpy(lane->name, name.ptr, name.len);
    lane->handler = version.len == 0 ? dq_handlers_find(s->worker->handlers, type) : NULL;
    lane->main_busy = lane->front_busy = true;
    lane_judge(lane);
    return lane;
}

static bool lanes_grow(dq_wshard *s, uint32_t n)
{
    if (n <= s->cap_lanes)
        return true;
    uint32_t cap = DQ_MAX(n, s->cap_lanes * 2 + 8);
    dq_wlane **lanes = dq_realloc(s->lanes, cap * sizeof(dq_wlane *));
    if (!lanes)
        return false;
    s->lanes = lanes;
    s->cap_lanes = cap;
    return true;
}

static void lane_free(dq_wlane *lane)
{
    if (lane)
        dq_buf_deinit(&lane->retry_packed);
    dq_free(lane);
}

void dq_lanes_free_old(dq_worker *w)
{
    while (w->old_lanes) {
        dq_wlane *lane = w->old_lanes;

        w->old_lanes = lane->next_old;
        lane_free(lane);
    }
}

/* Whether the server's list begins with the lanes that are known here. */
static bool lanes_are_same(const dq_wshard *s, dq_reply list)
{
    size_t n = dq_reply_len(list);
    dq_reply at = n > 0 ? dq_reply_first(list) : list;

    if (n < s->n_lanes)
        return false;
    for (uint32_t i = 0; i < s->n_lanes; i++) {
        if (!s->lanes[i] || !dq_str_eq_text(dq_reply_str(at), s->lanes[i]->name))
            return false;
        if (i + 1 < n)
            at = dq_reply_next(at);
    }
    return true;
}

/* The server lost what it knew of lanes, and with it what we hold of them. */
static void lanes_forget(dq_wshard *s)
{
    if (!s->opened_unsure)
        dq_session_lost(s, "the server has other lanes now");
    for (uint32_t i = 0; i < s->n_lanes; i++) {
        if (!s->lanes[i])
            continue;
        s->lanes[i]->next_old = s->worker->old_lanes;
        s->worker->old_lanes = s->lanes[i];
    }
    s->n_lanes = 0;
}

/* From the first lane that is not known here. */
static bool lanes_add(dq_wshard *s, dq_reply list, size_t known)
{
    size_t n = dq_reply_len(list);
    dq_reply at = n > 0 ? dq_reply_first(list) : list;

    if (!lanes_grow(s, (uint32_t)n + s->n_lanes))
        return false;
    for (size_t i = 0; i < n; i++) {
        if (i >= known) {
            s->lanes[s->n_lanes] = lane_create(s, s->n_lanes + 1, dq_reply_str(at));
            s->n_lanes++;
        }
        if (i + 1 < n)
            at = dq_reply_next(at);
    }
    return true;
}

static void on_lanes(void *userdata, int code, const dq_reply *reply, const dureq_error *err)
{
    dq_wshard *s = userdata;

    (void)err;
    s->loading_lanes = false;
    if (code < 0)
        return; /* the connection: loaded again with the next session step */
    bool was_unsure = s->unsure_lanes;
    if (was_unsure && !s->loading_all) { /* since it was asked for: these are only the last of them */
        s->load_again = false;
        dq_lanes_load(s);
        return;
    }
    if (was_unsure && !lanes_are_same(s, *reply))
        lanes_forget(s);
    if (!lanes_add(s, *reply, was_unsure ? s->n_lanes : 0))
        return;
    s->unsure_lanes = s->opened_unsure = false;
    dq_session_look_if_sure(s);
    if (s->load_again) {
        s->load_again = false;
        dq_lanes_load(s);
    }
    dq_worker_pump(s->worker);
}

/* Lanes are only ever added: what is not known yet is read. All are when the server may have forgotten some. */
void dq_lanes_load(dq_wshard *s)
{
    dq_redis *r = dq_store_redis(s->worker->store, s->no, DQ_CONN_MAIN);
    dq_buf *out;

    if (!s->worker->up)
        return; /* subscribed already and told of a lane, but not up yet: then all are read, and twice would be once too often */
    if (s->loading_lanes) {
        s->load_again = true;
        return;
    }
    out = dq_redis_out(r);
    dq_resp_begin(out, 4);
    dq_resp_arg(out, DQ_STR_LIT("LRANGE"));
    dq_keys_arg(out, dq_store_keys(s->worker->store), s->no, "lane", (dureq_str){0});
    s->loading_all = s->unsure_lanes;
    dq_resp_arg_i64(out, s->loading_all ? 0 : s->n_lanes);
    dq_resp_arg(out, DQ_STR_LIT("-1"));
    s->loading_lanes = dq_redis_commit(r, 0, on_lanes, s) == 0;
}

void dq_lanes_deinit(dq_wshard *s)
{
    for (uint32_t i = 0; i < s->n_lanes; i++)
        lane_free(s->lanes[i]);
    dq_free(s->lanes);
    s->lanes = NULL;
    s->n_lanes = s->cap_lanes = 0;
}

void dq_lane_wake(dq_wshard *s, uint32_t no)
{
    if (no == 0 || no > s->n_lanes || !s->lanes[no - 1]) {
        dq_lanes_load(s);
        return;
    }
    s->lanes[no - 1]->main_busy = s->lanes[no - 1]->front_busy = true;
    s->lanes[no - 1]->woken = s->lanes[no - 1]->want_main || s->lanes[no - 1]->want_front;
    s->lanes[no - 1]->listed = false;
    dq_worker_pump(s->worker);
}

void dq_lanes_set_paused(dq_wshard *s, const dureq_str *queues, size_t n)
{
    for (uint32_t i = 0; i < s->n_lanes; i++) {
        dq_wlane *lane = s->lanes[i];
        bool paused = false;

        if (!lane)
            continue;
        for (size_t q = 0; q < n && !paused; q++)
            paused = dq_str_eq_text(queues[q], lane->queue);
        lane->paused = paused;
    }
}

/* ---- sharing out free slots ---- */

typedef struct credit {
    char *name;
    double slots; /* due to this queue, fractions included */
    int32_t weight;
    unsigned n_lanes; /* busy ones of the plan under way */
    int32_t share;
    uint64_t seen; /* plan number */
} credit;

void dq_credits_deinit(dq_worker *w)
{
    size_t at = 0;
    credit *c;

    for (c = dq_map_next(&w->queue_credit, &at); c; c = dq_map_next(&w->queue_credit, &at)) {
        dq_free(c->name);
        dq_free(c);
    }
    dq_map_deinit(&w->queue_credit);
}

static credit *credit_of(dq_worker *w, const dq_wlane *lane)
{
    credit *c = dq_map_get(&w->queue_credit, dureq_str_from(lane->queue));

    if (c)
        return c;
    c = dq_calloc(1, sizeof *c);
    if (!c)
        return NULL;
    c->name = dq_strdup(lane->queue);
    if (!c->name || dq_map_put(&w->queue_credit, dureq_str_from(c->name), c) < 0) {
        dq_free(c->name);
        dq_free(c);
        return NULL;
    }
    return c;
}

static int32_t handler_free(const dq_wlane *lane)
{
    const dq_handler *h = lane->handler;

    return h->concurrency ? h->concurrency - h->running - h->planned : INT32_MAX;
}

static bool lane_may_read(const dq_wlane *lane)
{
    return lane && lane->handler && !lane->paused && (lane->main_busy || lane->front_busy) && handler_free(lane) > 0;
}

static int32_t free_slots(const dq_worker *w)
{
    if (w->draining || w->drain_asked || w->stopping || w->give_up || w->schema_refused || dq_suspects_hold(w))
        return 0;
    return w->n_held < w->room ? (int32_t)(w->room - w->n_held) : 0;
}

bool dq_lane_has_slot(const dq_wlane *lane)
{
    return free_slots(lane->shard->worker) > 0 && !lane->paused && handler_free(lane) > 0;
}

bool dq_lanes_worth(const dq_wshard *s)
{
    if (free_slots(s->worker) <= 0)
        return false;
    for (uint32_t i = 0; i < s->n_lanes; i++)
        if (lane_may_read(s->lanes[i]))
            return true;
    return false;
}

/* Queues that want to read, in *list; their weights summed. */
static size_t busy_queues(dq_wshard *s, credit **list, size_t max, double *ret_weights)
{
    uint64_t plan = ++s->worker->plan_no;
    size_t n = 0;

    *ret_weights = 0;
    for (uint32_t i = 0; i < s->n_lanes; i++) {
        credit *c = lane_may_read(s->lanes[i]) ? credit_of(s->worker, s->lanes[i]) : NULL;

        if (!c)
            continue;
        if (c->seen != plan) {
            if (n == max)
                continue;
            c->seen = plan;
            c->n_lanes = 0;
            c->weight = s->lanes[i]->weight;
            *ret_weights += c->weight;
            list[n++] = c;
        }
        c->n_lanes++;
    }
    return n;
}

/* Whole slots by credit; what rounding leaves goes to whoever is owed most. */
static void share_out(credit **list, size_t n, double weights, int32_t slots)
{
    int32_t left = slots;

    for (size_t i = 0; i < n; i++) {
        list[i]->slots = DQ_MIN(list[i]->slots, (double)slots) + slots * (list[i]->weight / weights);
        list[i]->share = DQ_MAX(DQ_MIN((int32_t)list[i]->slots, left), 0);
        left -= list[i]->share;
        list[i]->slots -= list[i]->share;
    }
    while (left > 0) {
        credit *most = list[0];

        for (size_t i = 1; i < n; i++)
            if (list[i]->slots > most->slots)
                most = list[i];
        most->share++;
        most->slots -= 1;
        left--;
    }
}

/* ---- the read ---- */

/* As worker_cycle takes it: stream, count. */
static void put_read_words(dq_wlane *lane, bool front, int32_t count, dq_buf *out)
{
    char stream[24];
    int len = snprintf(stream, sizeof stream, "%c:%u", front ? 'f' : 'l', (unsigned)lane->no);

    dq_resp_arg(out, dureq_str_of(stream, (size_t)len));
    dq_resp_arg_i64(out, count);
}

static void put_read_command(dq_wlane *lane, bool front, int32_t count, dq_buf *out)
{
    dq_wshard *s = lane->shard;

    dq_resp_begin(out, 9);
    dq_buf_append_text(out, "$10\r\nXREADGROUP\r\n$5\r\nGROUP\r\n$1\r\ng\r\n");
    dq_resp_arg_text(out, s->session_text);
    dq_buf_append_text(out, "$5\r\nCOUNT\r\n");
    dq_resp_arg_i64(out, count);
    dq_buf_append_text(out, "$7\r\nSTREAMS\r\n");
    dq_keys_arg_u64(out, dq_store_keys(s->worker->store), s->no, front ? "f:" : "l:", lane->no);
    dq_buf_append_text(out, "$1\r\n>\r\n");
}

static void put_read(dq_wlane *lane, bool front, int32_t count, dq_buf *out)
{
    if (lane->shard->reads_in_script)
        put_read_words(lane, front, count, out);
    else
        put_read_command(lane, front, count, out);
    if (front)
        lane->want_front = count;
    else
        lane->want_main = count;
}

/* How much of its queue's share this lane takes; lanes behind it get the rest. */
static int32_t lane_share(dq_wlane *lane, credit *c)
{
    int32_t n = c->n_lanes > 0 ? (c->share + (int32_t)c->n_lanes - 1) / (int32_t)c->n_lanes : 0;

    n = DQ_MIN(DQ_MIN(n, c->share), handler_free(lane));
    c->n_lanes--;
    c->share -= n;
    return n;
}

/* Half of the lane's share, rounded up, is for its front stream while both may hold jobs; all is for the only one that may. */
static size_t plan_lane(dq_wlane *lane, int32_t n, dq_buf *out)
{
    int32_t front = 0, main;

    if (lane->front_busy)
        front = lane->main_busy ? (n + 1) / 2 : n;
    main = lane->main_busy ? n - front : 0;
    if (front > 0)
        put_read(lane, true, front, out);
    if (main > 0)
        put_read(lane, false, main, out);
    return (front > 0) + (main > 0);
}

#define QUEUES_MAX 64

size_t dq_lanes_plan(dq_wshard *s, dq_buf *out)
{
    credit *list[QUEUES_MAX];
    double weights;
    int32_t slots = free_slots(s->worker);
    size_t n_queues = slots > 0 ? busy_queues(s, list, QUEUES_MAX, &weights) : 0, n = 0;

    if (n_queues == 0)
        return 0;
    share_out(list, n_queues, weights, DQ_MIN(slots, DQ_BATCH_MAX));
    s->turn_lane = (s->turn_lane + 1) % s->n_lanes;
    for (uint32_t i = 0; i < s->n_lanes; i++) {
        dq_wlane *lane = s->lanes[(s->turn_lane + i) % s->n_lanes];
        credit *c = lane_may_read(lane) ? credit_of(s->worker, lane) : NULL;

        if (!c || c->n_lanes == 0)
            continue;
        int32_t share = lane_share(lane, c);
        lane->handler->planned += share;
        if (share > 0)
            n += plan_lane(lane, share, out);
    }
    for (size_t i = 0; i < s->worker->handlers->n; i++)
        s->worker->handlers->items[i]->planned = 0;
    return n;
}

/* Lanes whose last read gave less than asked: this read settles whether they are idle. Both streams are read then. */
size_t dq_lanes_listing(dq_wshard *s, dq_buf *out)
{
    size_t n = 0;

    for (uint32_t i = 0; i < s->n_lanes; i++) {
        dq_wlane *lane = s->lanes[i];

        if (!lane || !lane->listing || (lane->want_main == 0 && lane->want_front == 0))
            continue;
        dq_resp_arg_i64(out, lane->no);
        n++;
    }
    return n;
}

static void lane_read_done(dq_wlane *lane)
{
    bool short_main = lane->want_main > 0 && lane->got_main < lane->want_main;
    bool short_front = lane->want_front > 0 && lane->got_front < lane->want_front;

    if (lane->listing) {
        /* Registered before it was read, in one transaction: what comes later, we are told. */
        lane->main_busy = lane->main_busy && !short_main;
        lane->front_busy = lane->front_busy && !short_front;
        lane->listing = false;
        lane->listed = true;
    } else if (short_main || short_front) {
        lane->listing = true;
    }
    if (lane->woken) { /* while the read was in flight: it may have been before what the wake-up is about */
        lane->main_busy = lane->front_busy = true;
        lane->listing = lane->woken = false;
    }
    lane->want_main = lane->want_front = lane->got_main = lane->got_front = 0;
}

void dq_lanes_read_done(dq_wshard *s)
{
    for (uint32_t i = 0; i < s->n_lanes; i++)
        if (s->lanes[i] && (s->lanes[i]->want_main || s->lanes[i]->want_front))
            lane_read_done(s->lanes[i]);
}

void dq_lanes_read_off(dq_wshard *s)
{
    for (uint32_t i = 0; i < s->n_lanes; i++)
        if (s->lanes[i])
            s->lanes[i]->want_main = s->lanes[i]->want_front = s->lanes[i]->got_main = s->lanes[i]->got_front = 0;
}
