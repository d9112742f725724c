/* SPDX-License-Identifier: Apache-2.0 */
/* Those who listen to the hub. STARTING -> LIVE, or with a token STARTING -> QUEUED -> CATCHING -> LIVE. */
#include "base/clock.h"
#include "client/event_digest.h"
#include "client/event_hub_internal.h"

#define CATCHING_MAX 4

/* ---- who listens ---- */

static void add_bytes(char **at, dureq_str s)
{
    if (s.len)
        memcpy(*at, s.ptr, s.len);
    *at += s.len;
}

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
    if (!f->scope)
        return 0;
    s->filter.scope = &s->scope;
    return dq_scope_copy(f->scope, &s->scope);
}

static void on_sub_timer(dq_timer *t);

static int take_options(dq_event_sub *s, const dq_event_sub_options *o, dureq_error *err)
{
    s->hides_payload = o->hides_payload;
    s->is_digest = o->is_digest;
    s->coalesce_us = (int64_t)o->coalesce_ms * 1000;
    s->on_more = o->on_more;
    s->userdata = o->userdata;
    s->is_waiting = true;
    if (copy_words(s, &o->filter) < 0 || dq_timer_init(&s->timer, s->hub->client->loop, on_sub_timer) < 0)
        return dq_fail_nomem(err);
    if (!o->since || !*o->since)
        return 0;
    if (dq_event_cursor_init(&s->given, s->hub->keys->n_shards) < 0)
        return dq_fail_nomem(err);
    dq_buf_append_text(&s->token, o->since);
    return dq_event_token_parse(dureq_str_from(o->since), &s->given, err);
}

void dq_event_count_types(dq_event_hub *h)
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
        rc = dq_event_hub_start(h, err);
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
            dq_event_hub_stop(h);
        return rc;
    }
    h->types |= s->filter.types;
    if (h->state != HUB_STARTING) {
        dq_event_sub_started(s);
        dq_event_catch_next(h);
        dq_event_hub_tell_soon(h);
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
    dq_timer_deinit(&s->timer);
    dq_event_cursor_deinit(&s->skip);
    dq_event_cursor_deinit(&s->given);
    dq_buf_deinit(&s->token);
    dq_free(s->words);
    dq_scope_deinit(&s->scope);
    dq_free(s);
    if (h->n_subs == 0) {
        dq_event_hub_stop(h);
        return;
    }
    dq_event_count_types(h);
    dq_event_catch_next(h);
}

/* ---- catching up ---- */

void dq_event_sub_started(dq_event_sub *s)
{
    dq_event_hub *h = s->hub;

    s->next = h->ring.end;
    if (s->given.at) {
        s->state = SUB_QUEUED;
        dq_list_push_back(&h->queue, &s->queue_link);
        return;
    }
    s->state = SUB_LIVE;
    s->owes_position = true;
}

static void catch_go(dq_event_sub *s)
{
    dq_redis *conn = dq_store_redis(s->hub->client->store, 0, DQ_CONN_BULK);

    s->is_read = false;
    if (conn)
        dq_event_reader_go(s->reader, conn);
    else
        dq_timer_set(&s->timer, DQ_EVENT_RETRY_US);
}

static void on_sub_timer(dq_timer *t)
{
    dq_event_sub *s = dq_container_of(t, dq_event_sub, timer);

    if (s->state == SUB_CATCHING)
        catch_go(s);
    else
        dq_event_hub_tell_soon(s->hub);
}

static void on_sub_read(dq_event_reader *r, int code, void *userdata)
{
    dq_event_sub *s = userdata;

    (void)r;
    if (code < 0) {
        dq_timer_set(&s->timer, code == DUREQ_EUNAVAILABLE ? DQ_EVENT_PACE_US : DQ_EVENT_RETRY_US);
        return;
    }
    s->is_read = true;
    dq_event_hub_tell_soon(s->hub);
}

void dq_event_catch_next(dq_event_hub *h)
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
    dq_event_digest *digest; /* NULL: each event by itself */
} taker;

static void put_item(taker *t, dq_event_item_kind kind, const dq_event_frame *f, dureq_str text, dureq_str token)
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
    dq_event_gap_put(&text, dq_buf_str(&t->sub->token), dq_buf_str(&t->token));
    put_item(t, DQ_EVENT_ITEM_GAP, NULL, dq_buf_str(&text), dq_buf_str(&t->token));
}

/* All that was counted, as one message. */
static void put_digest(taker *t)
{
    dq_event_sub *s = t->sub;
    DQ_BUF_AUTO text = {0};

    if (!t->digest || !t->digest->has_any)
        return;
    dq_buf_clear(&t->token);
    dq_event_token_put(&t->token, s->state == SUB_CATCHING ? &s->given : s->has_skip ? &s->skip : &s->hub->place);
    dq_event_digest_write(t->digest, &text);
    if (dq_buf_failed(&text))
        return;
    *t->digest = (dq_event_digest){0};
    put_item(t, DQ_EVENT_ITEM_DIGEST, NULL, dq_buf_str(&text), dq_buf_str(&t->token));
    s->owes_position = false; /* it has one */
}

static bool covers(const dq_event_cursor *a, const dq_event_cursor *b)
{
    for (unsigned s = 0; s < a->n_shards; s++)
        if (dq_event_place_cmp(a->at[s], b->at[s]) < 0)
            return false;
    return true;
}

static void take_frame(taker *t, const dq_event_frame *f)
{
    dureq_str parts[DQ_FRAME_PARTS];

    if (t->sub->has_skip && dq_event_cursor_has(&t->sub->skip, f->shard, f->place, f->index))
        return;
    if (f->is_outdated && t->sub->coalesce_us)
        return;
    dq_event_frame_parts(f, parts);
    if (!dq_event_frame_fits(f, &t->sub->filter, parts))
        return;
    if (t->digest && !f->is_gap) {
        dq_event_digest_add(t->digest, f->type, f->has_job ? &f->job : NULL);
        return;
    }
    put_item(t, f->is_gap ? DQ_EVENT_ITEM_GAP : DQ_EVENT_ITEM_EVENT, f, parts[DQ_FRAME_TEXT], parts[DQ_FRAME_TOKEN]);
    t->sub->owes_position = t->sub->owes_position || f->lens[DQ_FRAME_TOKEN] == 0;
}

/* False: nothing is left. */
static bool take_live(taker *t)
{
    dq_event_sub *s = t->sub;
    dq_event_hub *h = s->hub;

    if (s->next < h->ring.first) {
        put_slow_gap(t);
        s->next = h->ring.end;
        s->has_skip = false;
    }
    while (s->next < h->ring.end && t->left > 0)
        take_frame(t, dq_event_ring_at(&h->ring, s->next++));
    if (s->next < h->ring.end)
        return true;
    if (s->has_skip && covers(&h->place, &s->skip))
        s->has_skip = false;
    put_digest(t);
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
    dq_event_frame f = {.type = e->type, .has_job = e->has_job, .job = e->job};
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
    dq_event_move_past(&s->given, &s->now.entry, index, s->now.n);
    if (t->digest) {
        dq_event_digest_add(t->digest, e->type, e->has_job ? &e->job : NULL);
        return;
    }
    dq_event_write(e, &names, &text, &f.secret);
    dq_buf_clear(&t->token);
    if (dq_event_gives_tokens(&s->given))
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
    dq_event_gap_put(&text, dq_buf_str(&from), dq_buf_str(&t->token));
    put_item(t, DQ_EVENT_ITEM_GAP, NULL, dq_buf_str(&text), dq_buf_str(&t->token));
}

/* All that there was is given. What came since the listener began is in the ring, if it still is; of that skip what was given. */
static bool caught_up(dq_event_sub *s)
{
    dq_event_hub *h = s->hub;

    if (s->next < h->ring.first) {
        s->next = h->ring.end;
        dq_event_reader_want_all(s->reader);
        return false;
    }
    s->skip = s->given;
    s->given = (dq_event_cursor){0};
    s->has_skip = true;
    stop_catching(s);
    s->state = SUB_LIVE;
    s->owes_position = true;
    dq_event_catch_next(h);
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
            dq_event_move_past(&s->given, &s->now.entry, 0, 0);
            s->now.is_on = false;
            continue;
        }
        switch (dq_event_reader_next(s->reader, &entry)) {
        case DQ_EVENT_ENTRY: dq_event_unroll(&s->now, &entry); break;
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

static bool take(dq_event_sub *s, taker *t)
{
    bool has_more = false;

    if (s->state == SUB_LIVE)
        has_more = take_live(t);
    else if (s->state == SUB_CATCHING)
        has_more = take_caught(t);
    put_digest(t);
    s->is_waiting = !has_more;
    if (s->coalesce_us && !has_more)
        s->pause_until_us = dq_mono_us() + s->coalesce_us;
    dq_buf_deinit(&t->json);
    dq_buf_deinit(&t->token);
    return has_more;
}

static bool take_digest(dq_event_sub *s, taker *t)
{
    dq_event_digest digest = {0};
    bool has_more;

    t->digest = &digest;
    has_more = take(s, t);
    t->digest = NULL;
    return has_more;
}

bool dq_event_sub_take(dq_event_sub *s, size_t max_bytes, dq_event_put_fn put, void *userdata)
{
    taker t = {.sub = s, .put = put, .userdata = userdata, .left = max_bytes};

    if (s->coalesce_us && s->is_waiting)
        return false;
    return s->is_digest ? take_digest(s, &t) : take(s, &t);
}

void dq_event_sub_position(dq_event_sub *s, dq_event_put_fn put, void *userdata)
{
    taker t = {.sub = s, .put = put, .userdata = userdata, .left = SIZE_MAX};
    dq_event_hub *h = s->hub;

    if (s->state != SUB_LIVE || s->next < h->ring.end || h->now.is_on || s->has_skip)
        return;
    dq_event_token_put(&t.token, &h->place);
    if (!dq_str_eq(dq_buf_str(&t.token), dq_buf_str(&s->token)))
        put_position(&t, &h->place);
    dq_buf_deinit(&t.json);
    dq_buf_deinit(&t.token);
}
