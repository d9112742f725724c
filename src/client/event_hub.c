/* SPDX-License-Identifier: Apache-2.0 */
/*  the hub:   IDLE -> STARTING -> WAITING -> PACING -> READING -> (GIVING) -> WAITING ...
    a listener: STARTING -> LIVE, or with a token STARTING -> QUEUED -> CATCHING -> LIVE */
#include "client/event_hub.h"

#include <stdio.h>

#include "client/client_internal.h"
#include "client/event_reader.h"
#include "store/plain_calls.h"

#define PACE_US       20000
#define WAIT_MS       5000    /* of a command that waits: the connection is known to live */
#define RETRY_US      1000000 /* after an answer that says no */
#define RING_FRAMES   16384   /* a power of two */
#define RING_BYTES    (INT64_C(16) << 20)
#define TURN_FRAMES   1024 /* of a turn of the loop, then those who listen get theirs */
#define CATCHING_MAX  4
#define TOKENS_SHARDS 16 /* with more, tokens are given now and then and not with each event: they are long */

typedef struct frame {
    dq_event_type type;
    bool is_gap, has_job;
    unsigned shard;
    dq_event_place place;
    uint32_t index;
    dq_id job;
    dq_event_secret secret;
    uint32_t text_len, token_len, queue_len, task_type_len;
    uint8_t schedule_len, workflow_len;
    char bytes[]; /* text, token, queue, task type, schedule, workflow */
} frame;

typedef enum hub_state { HUB_IDLE, HUB_STARTING, HUB_WAITING, HUB_PACING, HUB_READING, HUB_GIVING } hub_state;
typedef enum sub_state { SUB_STARTING, SUB_QUEUED, SUB_CATCHING, SUB_LIVE } sub_state;

/* An entry that is being turned into events. */
typedef struct unrolled {
    bool is_on;
    dq_event_entry entry;
    uint32_t n, done;
} unrolled;

struct dq_event_sub {
    dq_event_hub *hub;
    dq_list link; /* hub's all */
    dq_list queue_link;
    dq_event_filter filter;
    char *words; /* what the filter points to */
    bool hides_payload;
    void (*on_more)(void *userdata);
    void *userdata;
    sub_state state;
    bool is_waiting; /* for on_more */
    bool owes_position;
    uint64_t next; /* frame */
    bool has_skip; /* frames that this cursor has were given */
    dq_event_cursor skip;
    dq_buf token; /* of the last item */

    /* SUB_CATCHING */
    dq_event_reader *reader;
    bool is_read; /* it can be taken from */
    unrolled now;
    dq_event_cursor given;
    dq_timer retry;
};

struct dq_event_hub {
    dureq_client *client;
    const dq_keys *keys; /* NULL: not started */
    dq_redis *conn;
    dq_event_directory *directory;
    dq_event_reader *reader;
    hub_state state;
    unsigned run; /* number of the present life of the connection: answers of earlier ones do not count */
    dq_timer timer;
    bool has_timer;
    dq_deferred give;
    dq_deferred tell;
    dq_list subs;
    unsigned n_subs;
    uint64_t types; /* that anybody wants */

    dq_event_cursor place; /* of what is in the ring */
    unrolled now;
    frame *ring[RING_FRAMES];
    uint64_t first, end; /* numbers of frames */
    int64_t bytes;

    dq_list queue; /* listeners that wait for their turn to catch up */
    unsigned n_catching;
};

static void hub_wait(dq_event_hub *h);
static void hub_go(dq_event_hub *h);
static void catch_next(dq_event_hub *h);

/* ---- the ring ---- */

static frame *frame_at(const dq_event_hub *h, uint64_t no)
{
    return h->ring[no % RING_FRAMES];
}

static int64_t size_of(const frame *f)
{
    return (int64_t)(sizeof *f + f->text_len + f->token_len + f->queue_len + f->task_type_len + f->schedule_len +
                     f->workflow_len);
}

static void ring_drop(dq_event_hub *h)
{
    frame *f = frame_at(h, h->first);

    h->ring[h->first++ % RING_FRAMES] = NULL;
    h->bytes -= size_of(f);
    dq_free(f);
}

static void ring_clear(dq_event_hub *h)
{
    while (h->first < h->end)
        ring_drop(h);
}

static void add_bytes(char **at, dureq_str s)
{
    if (s.len)
        memcpy(*at, s.ptr, s.len);
    *at += s.len;
}

/* Without memory those who listen miss it, as if they were too slow: the ring begins after it. */
static void ring_add(dq_event_hub *h, const frame *like, const dureq_str parts[6])
{
    size_t n = 0;
    frame *f;
    char *at;

    for (size_t i = 0; i < 6; i++)
        n += parts[i].len;
    f = dq_malloc(sizeof *f + n + 1);
    if (!f) {
        ring_clear(h);
        h->first = ++h->end;
        return;
    }
    *f = *like;
    f->text_len = (uint32_t)parts[0].len;
    f->token_len = (uint32_t)parts[1].len;
    f->queue_len = (uint32_t)parts[2].len;
    f->task_type_len = (uint32_t)parts[3].len;
    f->schedule_len = (uint8_t)parts[4].len;
    f->workflow_len = (uint8_t)parts[5].len;
    at = f->bytes;
    for (size_t i = 0; i < 6; i++)
        add_bytes(&at, parts[i]);
    while (h->first < h->end && (h->end - h->first == RING_FRAMES || h->bytes + size_of(f) > RING_BYTES))
        ring_drop(h);
    h->ring[h->end++ % RING_FRAMES] = f;
    h->bytes += size_of(f);
}

static void frame_parts(const frame *f, dureq_str parts[6])
{
    const size_t lens[] = {f->text_len, f->token_len, f->queue_len, f->task_type_len, f->schedule_len, f->workflow_len};
    const char *at = f->bytes;

    for (size_t i = 0; i < 6; i++) {
        parts[i] = dureq_str_of(at, lens[i]);
        at += lens[i];
    }
}

static bool frame_fits(const frame *f, const dq_event_filter *filter, const dureq_str parts[6])
{
    dq_event e = {.type = f->type, .has_job = f->has_job, .job = f->job, .schedule = parts[4], .workflow = parts[5]};
    dq_event_names names = {.queue = parts[2], .task_type = parts[3]};

    return f->is_gap || dq_event_fits(filter, &e, &names);
}

/* ---- from entries to events ---- */

static void count_one(const dq_event *e, void *userdata)
{
    uint32_t *n = userdata;

    (void)e;
    ++*n;
}

static void unroll(unrolled *u, const dq_event_entry *entry)
{
    *u = (unrolled){.is_on = true, .entry = *entry};
    dq_event_each(entry, count_one, &u->n);
}

/* The cursor after event `index` of the entry, which has n. */
static void move_past(dq_event_cursor *c, const dq_event_entry *entry, uint32_t index, uint32_t n)
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

static bool gives_tokens(const dq_event_cursor *c)
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
    frame like;

    if (index < h->now.done || index >= g->upto)
        return;
    move_past(&h->place, &h->now.entry, index, h->now.n);
    if (!(h->types >> e->type & 1))
        return;
    names = dq_event_directory_get(h->directory, h->now.entry.shard, e);
    like = (frame){.type = e->type,
                   .has_job = e->has_job,
                   .job = e->job,
                   .shard = h->now.entry.shard,
                   .place = {h->now.entry.ms, h->now.entry.seq},
                   .index = index};
    dq_event_write(e, &names, &text, &like.secret);
    if (gives_tokens(&h->place))
        dq_event_token_put(&token, &h->place);
    if (dq_buf_failed(&text) || dq_buf_failed(&token)) {
        ring_clear(h);
        h->first = ++h->end;
        return;
    }
    ring_add(h, &like,
             (const dureq_str[]){dq_buf_str(&text), dq_buf_str(&token), e->queue.len ? e->queue : names.queue, names.task_type,
                                 e->schedule, e->workflow});
}

static void put_gap(dq_buf *text, dureq_str from, dureq_str to)
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
    frame like = {.is_gap = true, .shard = at->shard, .place = {at->ms, at->seq}};

    h->place.at[at->shard] = (dq_event_place){at->ms, at->seq};
    h->place.part = 0;
    dq_event_token_put(&from, &h->place);
    h->place.at[at->shard] = dq_event_reader_cursor(h->reader)->at[at->shard];
    dq_event_token_put(&to, &h->place);
    like.place = h->place.at[at->shard];
    put_gap(&text, dq_buf_str(&from), dq_buf_str(&to));
    ring_add(h, &like, (const dureq_str[6]){dq_buf_str(&text), dq_buf_str(&to)});
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
        if (!s->is_waiting || (s->state == SUB_LIVE ? s->next >= h->end && !s->owes_position : !s->is_read))
            continue;
        s->is_waiting = false;
        s->on_more(s->userdata);
    }
}

static void tell_soon(dq_event_hub *h)
{
    dq_loop_defer(h->client->loop, &h->tell);
}

static void on_give(dq_deferred *d)
{
    dq_event_hub *h = dq_container_of(d, dq_event_hub, give);
    uint64_t until = h->end + TURN_FRAMES;

    while (h->end < until) {
        dq_event_entry entry;
        dq_event_next next;

        if (h->now.is_on) {
            giver g = {.hub = h, .upto = (uint32_t)DQ_MIN(h->now.done + (until - h->end), (uint64_t)h->now.n)};

            dq_event_each(&h->now.entry, give_one, &g);
            if (h->now.n == 0)
                move_past(&h->place, &h->now.entry, 0, 0);
            h->now.done = g.upto;
            h->now.is_on = h->now.done < h->now.n;
            continue;
        }
        next = dq_event_reader_next(h->reader, &entry);
        if (next == DQ_EVENT_NONE) {
            tell_soon(h);
            if (dq_event_reader_wants(h->reader))
                hub_go(h);
            else
                hub_wait(h);
            return;
        }
        if (next == DQ_EVENT_GAP)
            give_gap(h, &entry);
        else
            unroll(&h->now, &entry);
    }
    tell_soon(h);
    dq_loop_defer(h->client->loop, &h->give);
}

static void sub_started(dq_event_sub *s)
{
    dq_event_hub *h = s->hub;

    s->next = h->end;
    if (s->given.at) {
        s->state = SUB_QUEUED;
        dq_list_push_back(&h->queue, &s->queue_link);
        return;
    }
    s->state = SUB_LIVE;
    s->owes_position = true;
}

static void hub_started(dq_event_hub *h)
{
    const dq_event_cursor *at = dq_event_reader_cursor(h->reader);

    memcpy(h->place.at, at->at, at->n_shards * sizeof *at->at);
    h->place.part = 0;
    DQ_LIST_FOREACH (dq_event_sub, s, &h->subs, link) {
        if (s->state == SUB_STARTING)
            sub_started(s);
    }
    catch_next(h);
    tell_soon(h);
    hub_wait(h);
}

static void hub_retry(dq_event_hub *h)
{
    h->state = h->state == HUB_STARTING ? HUB_STARTING : HUB_READING;
    dq_timer_set(&h->timer, RETRY_US);
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
    dq_timer_set(&h->timer, PACE_US);
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

static void hub_stop(dq_event_hub *h)
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
    ring_clear(h);
    dq_event_cursor_deinit(&h->place);
    dq_event_directory_destroy(DQ_TAKE(h->directory));
    h->now = (unrolled){0};
    h->keys = NULL;
}

void dq_event_hub_destroy(dq_event_hub *h)
{
    if (!h)
        return;
    hub_stop(h);
    dq_free(h);
}

static bool was_up(dureq_client *c)
{
    dq_mutex_lock(&c->mu);
    bool was = c->was_up;
    dq_mutex_unlock(&c->mu);
    return was;
}

static int hub_start(dq_event_hub *h, dureq_error *err)
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

/* ---- who listens ---- */

static int copy_words(dq_event_sub *s, const dq_event_filter *f)
{
    size_t n = f->queue.len + f->task_type.len + f->workflow.len;
    char *at = dq_malloc(n + 1);

    s->filter = *f;
    s->words = at;
    if (!at)
        return DUREQ_ENOMEM;
    s->filter.queue.ptr = at;
    add_bytes(&at, f->queue);
    s->filter.task_type.ptr = at;
    add_bytes(&at, f->task_type);
    s->filter.workflow.ptr = at;
    add_bytes(&at, f->workflow);
    return 0;
}

static void on_sub_retry(dq_timer *t);

static int take_options(dq_event_sub *s, const dq_event_sub_options *o, dureq_error *err)
{
    s->hides_payload = o->hides_payload;
    s->on_more = o->on_more;
    s->userdata = o->userdata;
    s->is_waiting = true;
    if (copy_words(s, &o->filter) < 0 || dq_timer_init(&s->retry, s->hub->client->loop, on_sub_retry) < 0)
        return dq_fail_nomem(err);
    if (!o->since || !*o->since)
        return 0;
    if (dq_event_cursor_init(&s->given, s->hub->keys->n_shards) < 0)
        return dq_fail_nomem(err);
    dq_buf_append_text(&s->token, o->since);
    return dq_event_token_parse(dureq_str_from(o->since), &s->given, err);
}

static void count_types(dq_event_hub *h)
{
    h->types = 0;
    DQ_LIST_FOREACH (dq_event_sub, s, &h->subs, link) {
        h->types |= s->filter.types;
    }
}

static void stop_catching(dq_event_sub *s)
{
    if (s->state == SUB_CATCHING)
        s->hub->n_catching--;
    dq_event_reader_destroy(DQ_TAKE(s->reader));
    s->is_read = false;
}

int dq_event_sub_open(dq_event_hub *h, const dq_event_sub_options *o, dq_event_sub **ret, dureq_error *err)
{
    dq_event_sub *s = dq_calloc(1, sizeof *s);
    int rc = s ? 0 : dq_fail_nomem(err);

    if (rc == 0 && h->state == HUB_IDLE)
        rc = hub_start(h, err);
    if (rc == 0) {
        s->hub = h;
        dq_list_push_back(&h->subs, &s->link);
        h->n_subs++;
        rc = take_options(s, o, err);
    }
    if (rc < 0) {
        if (s && s->hub)
            dq_event_sub_close(s);
        else
            dq_free(s);
        if (h->n_subs == 0)
            hub_stop(h);
        return rc;
    }
    h->types |= s->filter.types;
    if (h->state != HUB_STARTING) {
        sub_started(s);
        catch_next(h);
        tell_soon(h);
    }
    *ret = s;
    return 0;
}

void dq_event_sub_close(dq_event_sub *s)
{
    dq_event_hub *h;

    if (!s)
        return;
    h = s->hub;
    stop_catching(s);
    dq_list_remove(&s->link);
    dq_list_remove(&s->queue_link);
    h->n_subs--;
    dq_timer_deinit(&s->retry);
    dq_event_cursor_deinit(&s->skip);
    dq_event_cursor_deinit(&s->given);
    dq_buf_deinit(&s->token);
    dq_free(s->words);
    dq_free(s);
    if (h->n_subs == 0) {
        hub_stop(h);
        return;
    }
    count_types(h);
    catch_next(h);
}

/* ---- catching up ---- */

static void catch_go(dq_event_sub *s)
{
    dq_redis *conn = dq_store_redis(s->hub->client->store, 0, DQ_CONN_BULK);

    s->is_read = false;
    if (conn)
        dq_event_reader_go(s->reader, conn);
    else
        dq_timer_set(&s->retry, RETRY_US);
}

static void on_sub_retry(dq_timer *t)
{
    catch_go(dq_container_of(t, dq_event_sub, retry));
}

static void on_sub_read(dq_event_reader *r, int code, void *userdata)
{
    dq_event_sub *s = userdata;

    (void)r;
    if (code < 0) {
        dq_timer_set(&s->retry, code == DUREQ_EUNAVAILABLE ? PACE_US : RETRY_US);
        return;
    }
    s->is_read = true;
    tell_soon(s->hub);
}

static void catch_next(dq_event_hub *h)
{
    while (h->n_catching < CATCHING_MAX && !dq_list_empty(&h->queue)) {
        dq_event_sub *s = dq_container_of(h->queue.next, dq_event_sub, queue_link);

        s->reader = dq_event_reader_create(h->client, h->directory, on_sub_read, s);
        if (!s->reader)
            return; /* with the next one that comes or goes */
        dq_list_remove(&s->queue_link);
        s->state = SUB_CATCHING;
        h->n_catching++;
        dq_event_reader_from(s->reader, &s->given);
        catch_go(s);
    }
}

/* ---- taking ---- */

typedef struct taker {
    dq_event_sub *sub;
    dq_event_put_fn put;
    void *userdata;
    size_t left; /* bytes */
    uint32_t index;
    dq_buf json, token;
} taker;

static void put_item(taker *t, dq_event_item_kind kind, const frame *f, dureq_str text, dureq_str token)
{
    dq_event_sub *s = t->sub;
    dureq_job_id job = {0};
    dq_event_item item = {.kind = kind, .type = f ? f->type : 0, .token = token};
    size_t cut = f && s->hides_payload ? f->secret.len : 0, at = f ? f->secret.at : 0;

    dq_buf_clear(&t->json);
    dq_buf_append(&t->json, text.ptr, cut ? at : text.len);
    if (cut)
        dq_buf_append(&t->json, text.ptr + at + cut, text.len - at - cut);
    if (token.len) {
        dq_buf_append_text(&t->json, ",\"seq\":\"");
        dq_buf_append_str(&t->json, token);
        dq_buf_append_char(&t->json, '"');
        dq_buf_clear(&s->token);
        dq_buf_append_str(&s->token, token);
    }
    dq_buf_append_char(&t->json, '}');
    if (f && f->has_job) {
        dq_id_to_text(&f->job, &job);
        item.job = dureq_str_from(job.text);
    }
    item.json = dq_buf_str(&t->json);
    t->left -= DQ_MIN(t->left, item.json.len);
    if (!dq_buf_failed(&t->json))
        t->put(t->userdata, &item);
}

static void put_position(taker *t, const dq_event_cursor *at)
{
    dq_buf_clear(&t->token);
    dq_event_token_put(&t->token, at);
    put_item(t, DQ_EVENT_ITEM_POSITION, NULL, DQ_STR_LIT("{\"type\":\"stream.position\""), dq_buf_str(&t->token));
}

static void put_slow_gap(taker *t)
{
    dq_event_hub *h = t->sub->hub;
    DQ_BUF_AUTO text = {0};

    dq_buf_clear(&t->token);
    dq_event_token_put(&t->token, &h->place);
    put_gap(&text, dq_buf_str(&t->sub->token), dq_buf_str(&t->token));
    put_item(t, DQ_EVENT_ITEM_GAP, NULL, dq_buf_str(&text), dq_buf_str(&t->token));
}

static bool covers(const dq_event_cursor *a, const dq_event_cursor *b)
{
    for (unsigned s = 0; s < a->n_shards; s++)
        if (dq_event_place_cmp(a->at[s], b->at[s]) < 0)
            return false;
    return true;
}

static void take_frame(taker *t, const frame *f)
{
    dureq_str parts[6];

    if (t->sub->has_skip && dq_event_cursor_has(&t->sub->skip, f->shard, f->place, f->index))
        return;
    frame_parts(f, parts);
    if (!frame_fits(f, &t->sub->filter, parts))
        return;
    put_item(t, f->is_gap ? DQ_EVENT_ITEM_GAP : DQ_EVENT_ITEM_EVENT, f, parts[0], parts[1]);
    t->sub->owes_position = t->sub->owes_position || f->token_len == 0;
}

/* False: nothing is left. */
static bool take_live(taker *t)
{
    dq_event_sub *s = t->sub;
    dq_event_hub *h = s->hub;

    if (s->next < h->first) {
        put_slow_gap(t);
        s->next = h->end;
        s->has_skip = false;
    }
    while (s->next < h->end && t->left > 0)
        take_frame(t, frame_at(h, s->next++));
    if (s->next < h->end)
        return true;
    if (s->has_skip && covers(&h->place, &s->skip))
        s->has_skip = false;
    if (s->owes_position && !h->now.is_on) {
        s->owes_position = false;
        put_position(t, s->has_skip ? &s->skip : &h->place);
    }
    return false;
}

static void catch_one(const dq_event *e, void *userdata)
{
    taker *t = userdata;
    dq_event_sub *s = t->sub;
    uint32_t index = t->index++;
    frame f = {.type = e->type, .has_job = e->has_job, .job = e->job};
    DQ_BUF_AUTO text = {0};
    dq_event_names names;
    bool is_given;

    if (index < s->now.done || t->left == 0)
        return;
    s->now.done = index + 1;
    is_given = dq_event_cursor_has(&s->given, s->now.entry.shard, (dq_event_place){s->now.entry.ms, s->now.entry.seq}, index);
    if (is_given)
        return;
    names = dq_event_directory_get(s->hub->directory, s->now.entry.shard, e);
    if (!dq_event_fits(&s->filter, e, &names))
        return;
    move_past(&s->given, &s->now.entry, index, s->now.n);
    dq_event_write(e, &names, &text, &f.secret);
    dq_buf_clear(&t->token);
    if (gives_tokens(&s->given))
        dq_event_token_put(&t->token, &s->given);
    put_item(t, DQ_EVENT_ITEM_EVENT, &f, dq_buf_str(&text), dq_buf_str(&t->token));
}

static void catch_gap(taker *t, const dq_event_entry *at)
{
    dq_event_sub *s = t->sub;
    DQ_BUF_AUTO from = {0};
    DQ_BUF_AUTO text = {0};

    dq_event_token_put(&from, &s->given);
    s->given.at[at->shard] = dq_event_reader_cursor(s->reader)->at[at->shard];
    s->given.part = 0;
    dq_buf_clear(&t->token);
    dq_event_token_put(&t->token, &s->given);
    put_gap(&text, dq_buf_str(&from), dq_buf_str(&t->token));
    put_item(t, DQ_EVENT_ITEM_GAP, NULL, dq_buf_str(&text), dq_buf_str(&t->token));
}

/* All that there was is given. What came since the listener began is in the ring, if it still is; of that skip what was given. */
static bool caught_up(dq_event_sub *s)
{
    dq_event_hub *h = s->hub;

    if (s->next < h->first) {
        s->next = h->end;
        dq_event_reader_want_all(s->reader);
        return false;
    }
    s->skip = s->given;
    s->given = (dq_event_cursor){0};
    s->has_skip = true;
    stop_catching(s);
    s->state = SUB_LIVE;
    s->owes_position = true;
    catch_next(h);
    return true;
}

static bool take_caught(taker *t)
{
    dq_event_sub *s = t->sub;

    while (s->is_read && t->left > 0) {
        dq_event_entry entry;

        if (s->now.is_on) {
            t->index = 0;
            dq_event_each(&s->now.entry, catch_one, t);
            if (s->now.done < s->now.n)
                return true;
            move_past(&s->given, &s->now.entry, 0, 0);
            s->now.is_on = false;
            continue;
        }
        switch (dq_event_reader_next(s->reader, &entry)) {
        case DQ_EVENT_ENTRY: unroll(&s->now, &entry); break;
        case DQ_EVENT_GAP: catch_gap(t, &entry); break;
        case DQ_EVENT_NONE:
            if (!dq_event_reader_wants(s->reader) && caught_up(s))
                return take_live(t);
            catch_go(s);
            return false;
        }
    }
    return s->is_read;
}

bool dq_event_sub_take(dq_event_sub *s, size_t max_bytes, dq_event_put_fn put, void *userdata)
{
    taker t = {.sub = s, .put = put, .userdata = userdata, .left = max_bytes};
    bool has_more = false;

    if (s->state == SUB_LIVE)
        has_more = take_live(&t);
    else if (s->state == SUB_CATCHING)
        has_more = take_caught(&t);
    s->is_waiting = !has_more;
    dq_buf_deinit(&t.json);
    dq_buf_deinit(&t.token);
    return has_more;
}

void dq_event_sub_position(dq_event_sub *s, dq_event_put_fn put, void *userdata)
{
    taker t = {.sub = s, .put = put, .userdata = userdata, .left = SIZE_MAX};
    dq_event_hub *h = s->hub;

    if (s->state != SUB_LIVE || s->next < h->end || h->now.is_on || s->has_skip)
        return;
    dq_event_token_put(&t.token, &h->place);
    if (!dq_str_eq(dq_buf_str(&t.token), dq_buf_str(&s->token)))
        put_position(&t, &h->place);
    dq_buf_deinit(&t.json);
    dq_buf_deinit(&t.token);
}
