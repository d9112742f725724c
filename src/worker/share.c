/* SPDX-License-Identifier: Apache-2.0 */
/* Who is next to be read. What a turn costs follows what it reads, not what exists or waits: nothing here is looked for.

   lane     in the list of its flow while it may hold jobs and may be read
   flow     the lanes of one queue under one limit: all handlers without a limit of their own, or one handler that has one
   queue    its flows in turn; in the heap lanes.ready while one of them has lanes and the queue is not paused
   room     a handler with a limit: flows that found it full are `parked` there, and come back as slots come free

   Between queues, and between the flows that wait for one room, shares follow weights by virtual time: whoever is served n jobs is put back by n
   over its weight, and the one that is least far goes next. Who comes back after a while without work starts from where the others are: nothing is
   saved up. So shares hold over any number of queues, and each step costs the logarithm of how many have work.

   A turn takes at most READS_MAX bites of the free slots, so that it names few streams when many have work: the others are next. Heaps are
   grown when a queue or flow is made, so that no push fails later. Loop thread. */

#include "worker/worker_internal.h"

#define READS_MAX 64
#define TIME_UNIT (1 << 18) /* virtual time of a job at weight 1: years of it fit */

struct dq_wroom {
    dq_handler *handler; /* NULL: there is none of its number any more */
    dq_heap parked;      /* of dq_wflow */
    size_t n_flows;      /* that may be parked here */
    int32_t n_up;        /* flows in the lists of their queues */
    int64_t now;         /* virtual time */
    dq_list link;        /* in lanes.crowded while one is parked */
};

struct dq_wflow {
    dq_wqueue *queue;
    dq_wroom *room; /* NULL: only the node's slots count */
    dq_list lanes;  /* that may be read, by `ready` */
    size_t n_lanes; /* of these */
    size_t round;   /* bites until the queue's next flow has its turn: one a lane */
    dq_list link;   /* in queue->flows */
    dq_heap_node parked;
    dq_wflow *next; /* of its queue */
};

/* ---- made once, kept as long as the shard ---- */

void dq_share_init(dq_wshard *s)
{
    dq_list_init(&s->lanes.crowded);
}

void dq_share_deinit(dq_wshard *s)
{
    size_t at = 0;
    dq_wqueue *q;

    for (q = dq_map_next(&s->lanes.queues, &at); q; q = dq_map_next(&s->lanes.queues, &at)) {
        while (q->first) {
            dq_wflow *f = q->first;

            q->first = f->next;
            dq_free(f);
        }
        dq_buf_deinit(&q->retry_packed);
        dq_free(q);
    }
    dq_map_deinit(&s->lanes.queues);
    dq_heap_deinit(&s->lanes.ready);
    for (size_t i = 0; i < s->lanes.n_rooms; i++) {
        if (s->lanes.rooms[i])
            dq_heap_deinit(&s->lanes.rooms[i]->parked);
        dq_free(s->lanes.rooms[i]);
    }
    dq_free(s->lanes.rooms);
    s->lanes.rooms = NULL;
    s->lanes.n_rooms = 0;
}

static void queue_judge(dq_wshard *s, dq_wqueue *wq)
{
    const dq_queue *q = dq_queue_set_find(dq_store_queues(s->worker->store), dureq_str_from(wq->name));

    wq->weight = q ? DQ_MAX(q->weight, 1) : 1;
    wq->class_ms = dq_retention_class(q && q->retention_ms ? q->retention_ms : DQ_RETENTION_DEFAULT_MS);
    if (q && q->retention_ms < 0)
        wq->class_ms = 0;
    dq_buf_clear(&wq->retry_packed);
    if (q && q->retry_policy)
        dq_retry_pack(&wq->retry_packed, q->retry_policy);
}

void dq_share_judge(dq_wshard *s)
{
    size_t at = 0;
    dq_wqueue *q;

    for (q = dq_map_next(&s->lanes.queues, &at); q; q = dq_map_next(&s->lanes.queues, &at))
        queue_judge(s, q);
}

dq_wqueue *dq_share_queue(dq_wshard *s, dureq_str name)
{
    dq_wqueue *q = dq_map_get(&s->lanes.queues, name);

    if (q)
        return q;
    q = dq_calloc(1, sizeof *q + name.len + 1);
    if (!q)
        return NULL;
    q->name = (char *)(q + 1);
    memcpy(q->name, name.ptr, name.len);
    dq_list_init(&q->flows);
    if (dq_heap_reserve(&s->lanes.ready, s->lanes.queues.n + 1) < 0 ||
        dq_map_put(&s->lanes.queues, dureq_str_of(q->name, name.len), q) < 0) {
        dq_free(q);
        return NULL;
    }
    queue_judge(s, q);
    q->paused = dq_paused_has(s, name);
    return q;
}

static bool rooms_grow(dq_wshard *s, size_t n)
{
    dq_wlanes *l = &s->lanes;
    size_t cap = DQ_MAX(n, s->worker->handlers->n);
    dq_wroom **rooms;

    if (n <= l->n_rooms)
        return true;
    rooms = dq_realloc(l->rooms, cap * sizeof(dq_wroom *));
    if (!rooms)
        return false;
    memset(rooms + l->n_rooms, 0, (cap - l->n_rooms) * sizeof(dq_wroom *));
    l->rooms = rooms;
    l->n_rooms = cap;
    return true;
}

static dq_wroom *room_of(dq_wshard *s, dq_handler *h)
{
    dq_wroom **at;

    if (!rooms_grow(s, h->no + 1))
        return NULL;
    at = &s->lanes.rooms[h->no];
    if (!*at)
        *at = dq_calloc(1, sizeof **at);
    if (*at)
        (*at)->handler = h;
    return *at;
}

void dq_share_replaced(dq_wshard *s)
{
    const dq_handlers *hs = s->worker->handlers;
    const dq_wlanes *l = &s->lanes;

    for (size_t i = 0; i < l->n_rooms; i++)
        if (l->rooms[i])
            l->rooms[i]->handler = NULL;
    for (size_t i = 0; i < hs->n; i++)
        if (hs->items[i]->no < l->n_rooms && l->rooms[hs->items[i]->no])
            l->rooms[hs->items[i]->no]->handler = hs->items[i];
}

dq_wflow *dq_share_flow(dq_wshard *s, dq_wqueue *q, dq_handler *h)
{
    dq_wroom *room = h->concurrency ? room_of(s, h) : NULL;
    dq_wflow *f;

    if (h->concurrency && !room)
        return NULL;
    for (f = q->first; f; f = f->next)
        if (f->room == room)
            return f;
    if (room && dq_heap_reserve(&room->parked, room->n_flows + 1) < 0)
        return NULL;
    f = dq_calloc(1, sizeof *f);
    if (!f)
        return NULL;
    f->queue = q;
    f->room = room;
    dq_list_init(&f->lanes);
    f->next = q->first;
    q->first = f;
    if (room)
        room->n_flows++;
    return f;
}

/* ---- in and out ---- */

static int32_t slots_in(const dq_wroom *room)
{
    return room->handler ? dq_handler_free(room->handler) : 0;
}

static int32_t room_free(const dq_wflow *f)
{
    return f->room ? slots_in(f->room) : INT32_MAX;
}

/* Into the list of its queue, and that among those whose turn comes. */
static void flow_up(dq_wshard *s, dq_wflow *f)
{
    dq_wqueue *q = f->queue;

    dq_list_push_back(&q->flows, &f->link);
    if (f->room)
        f->room->n_up++;
    if (q->turn.pos)
        return;
    q->turn.key = DQ_MAX(q->turn.key, s->lanes.now);
    (void)dq_heap_push(&s->lanes.ready, &q->turn); /* reserved */
}

static void flow_off(dq_wshard *s, dq_wflow *f)
{
    if (f->parked.pos) {
        dq_heap_remove(&f->room->parked, &f->parked);
        if (!dq_heap_top(&f->room->parked))
            dq_list_remove(&f->room->link);
    } else if (dq_list_linked(&f->link)) {
        dq_list_remove(&f->link);
        if (f->room)
            f->room->n_up--;
        if (dq_list_empty(&f->queue->flows))
            dq_heap_remove(&s->lanes.ready, &f->queue->turn);
    }
}

static void flow_park(dq_wshard *s, dq_wflow *f)
{
    flow_off(s, f);
    if (!dq_heap_top(&f->room->parked))
        dq_list_push_back(&s->lanes.crowded, &f->room->link);
    (void)dq_heap_push(&f->room->parked, &f->parked); /* reserved */
}

static void flow_begin(dq_wshard *s, dq_wflow *f)
{
    if (f->room)
        f->parked.key = DQ_MAX(f->parked.key, f->room->now);
    flow_up(s, f);
}

void dq_share_offer(dq_wlane *lane)
{
    dq_wflow *f = lane->flow;
    bool wants = f && (lane->main_busy || lane->front_busy) && lane->rest_beats == 0;

    if (!f || wants == dq_list_linked(&lane->ready))
        return;
    if (!wants) {
        dq_list_remove(&lane->ready);
        if (--f->n_lanes == 0)
            flow_off(lane->shard, f);
        return;
    }
    dq_list_push_back(&f->lanes, &lane->ready);
    if (++f->n_lanes == 1 && !f->queue->paused)
        flow_begin(lane->shard, f);
}

static void queue_pause(dq_wshard *s, dq_wqueue *q, bool paused)
{
    if (paused == q->paused)
        return;
    q->paused = paused;
    for (dq_wflow *f = q->first; f; f = f->next) {
        if (paused)
            flow_off(s, f);
        else if (f->n_lanes > 0)
            flow_begin(s, f);
    }
}

void dq_share_paused(dq_wshard *s)
{
    size_t at = 0;
    dq_wqueue *q;

    for (q = dq_map_next(&s->lanes.queues, &at); q; q = dq_map_next(&s->lanes.queues, &at))
        queue_pause(s, q, dq_paused_has(s, dureq_str_from(q->name)));
}

/* As many parked flows come back as their room has slots that nobody else was brought back for. */
static void unpark(dq_wshard *s)
{
    DQ_LIST_FOREACH (dq_wroom, room, &s->lanes.crowded, link) {
        int32_t n = slots_in(room) - room->n_up;

        while (n-- > 0 && dq_heap_top(&room->parked)) {
            dq_wflow *f = dq_container_of(dq_heap_top(&room->parked), dq_wflow, parked);

            flow_off(s, f);
            flow_up(s, f);
        }
    }
}

/* ---- whose turn it is ---- */

/* The flow that is next and has a slot. Those before it that have none are parked. */
static dq_wflow *next_flow(dq_wshard *s)
{
    for (dq_heap_node *top = dq_heap_top(&s->lanes.ready); top; top = dq_heap_top(&s->lanes.ready)) {
        dq_wqueue *q = dq_container_of(top, dq_wqueue, turn);
        dq_wflow *f = dq_container_of(q->flows.next, dq_wflow, link);

        if (room_free(f) > 0)
            return f;
        flow_park(s, f);
    }
    return NULL;
}

bool dq_share_any(dq_wshard *s)
{
    unpark(s);
    return next_flow(s) != NULL;
}

/* To the end of its list: the next one of that list is next. */
static void rotate(dq_list *head, dq_list *link)
{
    dq_list_remove(link);
    dq_list_push_back(head, link);
}

static void serve(dq_wshard *s, dq_wflow *f, dq_wlane *lane, int32_t n)
{
    dq_wqueue *q = f->queue;
    int64_t cost = (int64_t)n * TIME_UNIT / q->weight;

    lane->share += n;
    if (!dq_list_linked(&lane->planned))
        dq_list_push_back(&s->lanes.planned, &lane->planned);
    lane->handler->planned += n;
    rotate(&f->lanes, &lane->ready);
    f->round = (f->round ? f->round : f->n_lanes) - 1;
    if (f->round == 0)
        rotate(&q->flows, &f->link);
    s->lanes.now = q->turn.key;
    dq_heap_update(&s->lanes.ready, &q->turn, q->turn.key + cost);
    if (!f->room)
        return;
    f->room->now = DQ_MAX(f->room->now, f->parked.key);
    f->parked.key += cost;
    if (room_free(f) <= 0)
        flow_park(s, f);
}

void dq_share_out(dq_wshard *s, int32_t slots)
{
    int32_t bite = (slots + READS_MAX - 1) / READS_MAX;

    unpark(s);
    while (slots > 0) {
        dq_wflow *f = next_flow(s);

        if (!f)
            break;
        dq_wlane *lane = dq_container_of(f->lanes.next, dq_wlane, ready);
        int32_t n = DQ_MIN(DQ_MIN(bite, slots), room_free(f));
        serve(s, f, lane, n);
        slots -= n;
    }
    DQ_LIST_FOREACH (dq_wlane, lane, &s->lanes.planned, planned)
        lane->handler->planned = 0;
}

/* What was asked for and did not come. */
void dq_share_back(dq_wlane *lane, int32_t n)
{
    dq_wshard *s = lane->shard;
    dq_wqueue *q = lane->queue_of;
    int64_t cost = (int64_t)n * TIME_UNIT / q->weight;

    if (q->turn.pos)
        dq_heap_update(&s->lanes.ready, &q->turn, DQ_MAX(q->turn.key - cost, s->lanes.now));
    else
        q->turn.key -= cost; /* it comes back no earlier than where the others are */
    if (lane->flow->parked.pos)
        dq_heap_update(&lane->flow->room->parked, &lane->flow->parked, lane->flow->parked.key - cost);
    else
        lane->flow->parked.key -= cost;
}
