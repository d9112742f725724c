/* SPDX-License-Identifier: Apache-2.0 */
/*  the hub:   IDLE -> STARTING -> WAITING -> PACING -> READING -> (GIVING) -> WAITING ... */
#include "client/event_hub.h"

#include <stdio.h>

#include "base/clock.h"
#include "client/event_hub_internal.h"
#include "store/plain_calls.h"

#define WAIT_MS       5000 /* of a command that waits: the connection is known to live */
#define TURN_FRAMES   1024 /* of a turn of the loop, then those who listen get theirs */
#define TOKENS_SHARDS 16   /* with more, tokens are given now and then and not with each event: they are long */

static void hub_wait(dq_event_hub *h);
static void hub_go(dq_event_hub *h);

/* ---- from entries to events ---- */

static void count_one(const dq_event *e, void *userdata)
{
    uint32_t *n = userdata;

    (void)e;
    ++*n;
}

void dq_event_unroll(dq_event_unrolled *u, const dq_event_entry *entry)
{
    *u = (dq_event_unrolled){.is_on = true, .entry = *entry};
    dq_event_each(entry, count_one, &u->n);
}

/* The cursor after event `index` of the entry, which has n. */
void dq_event_move_past(dq_event_cursor *c, const dq_event_entry *entry, uint32_t index, uint32_t n)
{
    dq_event_place place = {entry->ms, entry->seq};

    c->part = 0;
    if (index + 1 >= n) {
        c->at[entry->shard] = place;
        return;
    }
    c->part = index + 1;
    c->part_shard = entry->shard;
    c->part_of = place;
}

bool dq_event_gives_tokens(const dq_event_cursor *c)
{
    return c->n_shards <= TOKENS_SHARDS;
}

/* ---- the hub's side ---- */

typedef struct giver {
    dq_event_hub *hub;
    uint32_t index, upto;
} giver;

static void give_one(const dq_event *e, void *userdata)
{
    giver *g = userdata;
    dq_event_hub *h = g->hub;
    uint32_t index = g->index++;
    DQ_BUF_AUTO text = {0};
    DQ_BUF_AUTO token = {0};
    dq_event_names names;
    dq_event_frame like;

    if (index < h->now.done || index >= g->upto)
        return;
    dq_event_move_past(&h->place, &h->now.entry, index, h->now.n);
    if (!(h->types >> e->type & 1))
        return;
    names = dq_event_directory_get(h->directory, h->now.entry.shard, e);
    like = (dq_event_frame){.type = e->type,
                            .has_job = e->has_job,
                            .job = e->job,
                            .shard = h->now.entry.shard,
                            .place = {h->now.entry.ms, h->now.entry.seq},
                            .index = index};
    dq_event_write(e, &names, &text, &like.secret);
    if (dq_event_gives_tokens(&h->place))
        dq_event_token_put(&token, &h->place);
    if (dq_buf_failed(&text) || dq_buf_failed(&token)) {
        dq_event_ring_lose(&h->ring);
        return;
    }
    dq_event_ring_add(&h->ring, &like,
                      (const dureq_str[]){dq_buf_str(&text), dq_buf_str(&token), e->queue.len ? e->queue : names.queue,
                                          names.task_type, e->schedule, e->workflow});
}

void dq_event_gap_put(dq_buf *text, dureq_str from, dureq_str to)
{
    dq_json_writer w = dq_json_writer_of(text);

    dq_json_begin_object(&w);
    dq_json_set_text(&w, "type", "stream.gap");
    dq_json_set_str(&w, "from", from);
    dq_json_set_str(&w, "to", to);
}

/* The reader's place is after the gap. */
static void give_gap(dq_event_hub *h, const dq_event_entry *at)
{
    DQ_BUF_AUTO from = {0};
    DQ_BUF_AUTO to = {0};
    DQ_BUF_AUTO text = {0};
    dq_event_frame like = {.is_gap = true, .shard = at->shard, .place = {at->ms, at->seq}};

    h->place.at[at->shard] = (dq_event_place){at->ms, at->seq};
    h->place.part = 0;
    dq_event_token_put(&from, &h->place);
    h->place.at[at->shard] = dq_event_reader_cursor(h->reader)->at[at->shard];
    dq_event_token_put(&to, &h->place);
    like.place = h->place.at[at->shard];
    dq_event_gap_put(&text, dq_buf_str(&from), dq_buf_str(&to));
    dq_event_ring_add(&h->ring, &like, (const dureq_str[DQ_FRAME_PARTS]){dq_buf_str(&text), dq_buf_str(&to)});
}

static bool has_some(const dq_event_sub *s)
{
    return s->state == SUB_LIVE ? s->next < s->hub->ring.end || s->owes_position : s->is_read;
}

/* It was given something less than `coalesce` ago: it is told later. */
static bool pauses(dq_event_sub *s)
{
    int64_t left_us = s->coalesce_us && s->state == SUB_LIVE ? s->pause_until_us - dq_mono_us() : 0;

    if (left_us <= 0)
        return false;
    if (!dq_timer_is_set(&s->timer))
        dq_timer_set(&s->timer, left_us);
    return true;
}

static void on_tell(dq_deferred *d)
{
    dq_event_hub *h = dq_container_of(d, dq_event_hub, tell);
    dq_list all;

    dq_list_init(&all);
    dq_list_splice_back(&all, &h->subs);
    while (!dq_list_empty(&all)) { /* who is told may close, itself or another */
        dq_event_sub *s = dq_container_of(dq_list_pop_front(&all), dq_event_sub, link);

        dq_list_push_back(&h->subs, &s->link);
        if (!s->is_waiting || !has_some(s) || pauses(s))
            continue;
        s->is_waiting = false;
        s->on_more(s->userdata);
    }
    dq_event_count_types(h); /* who closed meanwhile counted those that were back in the list only */
}

void dq_event_hub_tell_soon(dq_event_hub *h)
{
    dq_loop_defer(h->client->loop, &h->tell);
}

static void on_give(dq_deferred *d)
{
    dq_event_hub *h = dq_container_of(d, dq_event_hub, give);
    uint64_t until = h->ring.end + TURN_FRAMES;

    while (h->ring.end < until) {
        dq_event_entry entry;
        dq_event_next next;

        if (h->now.is_on) {
            giver g = {.hub = h, .upto = (uint32_t)DQ_MIN(h->now.done + (until - h->ring.end), (uint64_t)h->now.n)};

            dq_event_each(&h->now.entry, give_one, &g);
            if (h->now.n == 0)
                dq_event_move_past(&h->place, &h->now.entry, 0, 0);
            h->now.done = g.upto;
            h->now.is_on = h->now.done < h->now.n;
            continue;
        }
        next = dq_event_reader_next(h->reader, &entry);
        if (next == DQ_EVENT_NONE) {
            dq_event_hub_tell_soon(h);
            if (dq_event_reader_wants(h->reader))
                hub_go(h);
            else
                hub_wait(h);
            return;
        }
        if (next == DQ_EVENT_GAP)
            give_gap(h, &entry);
        else
            dq_event_unroll(&h->now, &entry);
        h->n_entries++;
    }
    dq_event_hub_tell_soon(h);
    dq_loop_defer(h->client->loop, &h->give);
}

static void hub_started(dq_event_hub *h)
{
    const dq_event_cursor *at = dq_event_reader_cursor(h->reader);

    memcpy(h->place.at, at->at, at->n_shards * sizeof *at->at);
    h->place.part = 0;
    DQ_LIST_FOREACH (dq_event_sub, s, &h->subs, link) {
        if (s->state == SUB_STARTING)
            dq_event_sub_started(s);
    }
    dq_event_catch_next(h);
    dq_event_hub_tell_soon(h);
    hub_wait(h);
}

static void hub_retry(dq_event_hub *h)
{
    h->state = h->state == HUB_STARTING ? HUB_STARTING : HUB_READING;
    dq_timer_set(&h->timer, DQ_EVENT_RETRY_US);
}

static void on_hub_read(dq_event_reader *r, int code, void *userdata)
{
    dq_event_hub *h = userdata;

    (void)r;
    if (code < 0 && code != DUREQ_EUNAVAILABLE) {
        hub_retry(h);
    } else if (code < 0) { /* the command waits for the connection */
        hub_go(h);
    } else if (h->state == HUB_STARTING) {
        hub_started(h);
    } else {
        h->state = HUB_GIVING;
        on_give(&h->give);
    }
}

static void hub_go(dq_event_hub *h)
{
    if (h->state != HUB_STARTING)
        h->state = HUB_READING;
    dq_event_reader_go(h->reader, h->conn);
}

/* The keys of the streams that have something: of "{prefix:12}:ev" 12. */
static void want_key(dq_event_hub *h, dureq_str key)
{
    const char *end = key.len ? memrchr(key.ptr, '}', key.len) : NULL;
    const char *colon = end ? memrchr(key.ptr, ':', (size_t)(end - key.ptr)) : NULL;
    int64_t shard;

    if (colon && dq_parse_i64(dureq_str_of(colon + 1, (size_t)(end - colon) - 1), 0, h->keys->n_shards - 1, &shard) == 0)
        dq_event_reader_want(h->reader, (unsigned)shard);
}

static void want_streams(dq_event_hub *h, dq_reply reply)
{
    bool is_map = dq_reply_type(reply) == DQ_RESP_MAP;
    dq_reply_items items = dq_reply_items_of(reply);
    dq_reply item;

    for (size_t i = 0; dq_reply_items_next(&items, &item); i++)
        if (!is_map)
            want_key(h, dq_reply_str(dq_reply_at(item, 0)));
        else if (i % 2 == 0)
            want_key(h, dq_reply_str(item));
}

typedef struct waiting { /* a command that waits */
    dq_event_hub *hub;
    unsigned run;
} waiting;

static void on_awaited(void *userdata, int code, const dq_reply *reply, const dureq_error *err)
{
    waiting *w = userdata;
    dq_event_hub *h = w->hub;
    bool is_ours = h && code != DUREQ_ECLOSED && w->run == h->run;

    (void)err;
    dq_free(w);
    if (!is_ours)
        return;
    if (code < 0) {
        dq_event_reader_want_all(h->reader); /* the places must still be there */
        if (code == DUREQ_EUNAVAILABLE)
            hub_go(h);
        else
            hub_retry(h);
        return;
    }
    want_streams(h, *reply);
    if (!dq_event_reader_wants(h->reader)) {
        hub_wait(h);
        return;
    }
    h->state = HUB_PACING;
    dq_timer_set(&h->timer, DQ_EVENT_PACE_US);
}

static void hub_wait(dq_event_hub *h)
{
    const dq_event_cursor *at = dq_event_reader_cursor(h->reader);
    waiting *w = dq_calloc(1, sizeof *w);
    char(*places)[48] = dq_calloc(h->keys->n_shards, sizeof *places);
    int rc = DUREQ_ENOMEM;

    if (w && places) {
        for (unsigned s = 0; s < at->n_shards; s++)
            (void)snprintf(places[s], sizeof places[s], "%llu-%llu", (unsigned long long)at->at[s].ms,
                           (unsigned long long)at->at[s].seq);
        *w = (waiting){.hub = h, .run = h->run};
        dq_plain_await(dq_redis_out(h->conn), h->keys, "ev", (const char(*)[48])places, WAIT_MS);
        rc = dq_redis_commit(h->conn, DQ_REDIS_HOLD, on_awaited, w);
    }
    dq_free(places);
    h->state = HUB_WAITING;
    if (rc == 0)
        return;
    dq_free(w);
    dq_event_reader_want_all(h->reader);
    hub_retry(h);
}

static void on_timer(dq_timer *t)
{
    hub_go(dq_container_of(t, dq_event_hub, timer));
}

/* ---- its beginning and end ---- */

dq_event_hub *dq_event_hub_create(dureq_client *c)
{
    dq_event_hub *h = dq_calloc(1, sizeof *h);

    if (!h)
        return NULL;
    h->client = c;
    h->give.fn = on_give;
    h->tell.fn = on_tell;
    dq_list_init(&h->subs);
    dq_list_init(&h->queue);
    return h;
}

void dq_event_hub_stop(dq_event_hub *h)
{
    h->run++;
    h->state = HUB_IDLE;
    h->types = 0;
    dq_loop_undefer(&h->give);
    dq_loop_undefer(&h->tell);
    if (h->has_timer)
        dq_timer_deinit(&h->timer);
    h->has_timer = false;
    dq_event_reader_destroy(DQ_TAKE(h->reader));
    if (h->conn)
        dq_redis_destroy(DQ_TAKE(h->conn));
    dq_event_ring_clear(&h->ring);
    dq_event_cursor_deinit(&h->place);
    dq_event_directory_destroy(DQ_TAKE(h->directory));
    h->now = (dq_event_unrolled){0};
    h->keys = NULL;
}

void dq_event_hub_destroy(dq_event_hub *h)
{
    if (!h)
        return;
    dq_event_hub_stop(h);
    dq_free(h);
}

static bool was_up(dureq_client *c)
{
    dq_mutex_lock(&c->mu);
    bool was = c->was_up;
    dq_mutex_unlock(&c->mu);
    return was;
}

int dq_event_hub_start(dq_event_hub *h, dureq_error *err)
{
    dq_redis_callbacks none = {0};
    int rc;

    if (!was_up(h->client))
        return dq_fail(err, DUREQ_EUNAVAILABLE, "Redis has not been there yet");
    h->keys = dq_client_keys(h->client);
    if (dq_timer_init(&h->timer, h->client->loop, on_timer) < 0)
        return dq_fail_nomem(err);
    h->has_timer = true;
    h->directory = dq_event_directory_create(h->keys->n_shards);
    rc = dq_store_connect(h->client->store, &none, &h->conn, err);
    if (rc < 0)
        return rc;
    h->reader = h->directory ? dq_event_reader_create(h->client, h->directory, on_hub_read, h) : NULL;
    if (!h->reader || dq_event_cursor_init(&h->place, h->keys->n_shards) < 0)
        return dq_fail_nomem(err);
    h->state = HUB_STARTING;
    dq_event_reader_from_now(h->reader);
    hub_go(h);
    return 0;
}

uint64_t dq_event_hub_seen(const dq_event_hub *h)
{
    return h->n_entries;
}
