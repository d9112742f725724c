/* SPDX-License-Identifier: Apache-2.0 */
/* Reads the streams backwards, merged by time. The cursor is a token whose places are those before which is gone on, and whose part counts from an entry's
   end. */
#include "client/event_page.h"

#include <stdio.h>

#include "client/client_internal.h"
#include "client/event_cursor.h"
#include "client/event_directory.h"
#include "store/plain_calls.h"

#define PAGE        200 /* entries of a shard that are read at once */
#define SCANNED_MAX 20000
#define WINDOW      256 /* events of an entry that are looked at together */

typedef struct source {
    dq_owned_reply reply;
    bool has_reply, is_over;
    dq_reply at;
    size_t n_left;
    bool is_cut;
    dq_event_entry entry; /* the next one; valid with n_left */
} source;

typedef struct pager {
    dureq_client *client;
    const dq_event_page *page;
    dq_event_directory *directory;
    source *sources;
    dq_event_cursor cursor; /* at: read before it; {0, 0}: nothing is left */
    bool is_open_ended;     /* the shards' places are not known yet: read from the end */
    dq_json_writer w;
    size_t n_given;
    int64_t n_scanned;
    dureq_error *err;
} pager;

/* ---- reading ---- */

static bool read_place(dureq_str text, uint64_t *ret_ms, uint64_t *ret_seq)
{
    dureq_str rest = text, first = dq_str_cut(&rest, '-');
    int64_t ms, seq;

    if (dq_parse_i64(first, 0, INT64_MAX, &ms) < 0 || dq_parse_i64(rest, 0, INT64_MAX, &seq) < 0)
        return false;
    *ret_ms = (uint64_t)ms;
    *ret_seq = (uint64_t)seq;
    return true;
}

static bool load_entry(source *s, unsigned shard)
{
    dq_reply fields = dq_reply_at(s->at, 1);

    s->entry = (dq_event_entry){.shard = shard};
    s->entry.e = dq_reply_str(dq_reply_lookup(fields, "e"));
    s->entry.x = dq_reply_str(dq_reply_lookup(fields, "x"));
    return read_place(dq_reply_str(dq_reply_first(s->at)), &s->entry.ms, &s->entry.seq);
}

static void step(source *s, unsigned shard)
{
    do {
        s->n_left--;
        if (s->n_left)
            s->at = dq_reply_next(s->at);
    } while (s->n_left && !load_entry(s, shard));
}

static void drop(source *s)
{
    if (s->has_reply)
        dq_owned_reply_deinit(&s->reply);
    s->has_reply = false;
    s->n_left = 0;
}

static int read_source(pager *p, unsigned shard)
{
    source *s = &p->sources[shard];
    dq_event_place at = p->cursor.at[shard];
    dq_buf bytes = {0};
    char before[48] = "+";
    int rc;

    drop(s);
    if (!p->is_open_ended)
        (void)snprintf(before, sizeof before, "%llu-%llu", (unsigned long long)at.ms, (unsigned long long)at.seq);
    dq_plain_range_back(&bytes, dq_client_keys(p->client), shard, "ev", before, PAGE);
    rc = dq_client_command(p->client, &bytes, 1, &s->reply, p->err);
    if (rc < 0)
        return rc;
    s->has_reply = true;
    s->n_left = dq_reply_type(s->reply.reply) == DQ_RESP_ARRAY ? dq_reply_len(s->reply.reply) : 0;
    s->is_cut = s->n_left == PAGE;
    s->at = dq_reply_first(s->reply.reply);
    if (s->n_left && !load_entry(s, shard))
        step(s, shard);
    if (p->is_open_ended)
        p->cursor.at[shard] = s->n_left ? (dq_event_place){s->entry.ms, s->entry.seq + 1} : (dq_event_place){0};
    return 0;
}

static int read_all(pager *p)
{
    int rc = 0;

    for (unsigned s = 0; rc == 0 && s < p->cursor.n_shards; s++)
        if ((p->is_open_ended || p->cursor.at[s].ms) && (!p->page->is_of_shard || s == p->page->shard))
            rc = read_source(p, s);
    p->is_open_ended = false;
    return rc;
}

/* -1: nothing is left. */
static int latest(const pager *p)
{
    int best = -1;

    for (unsigned s = 0; s < p->cursor.n_shards; s++) {
        const source *a = &p->sources[s], *b = best < 0 ? NULL : &p->sources[best];

        if (a->n_left && (!b || a->entry.ms > b->entry.ms))
            best = (int)s;
    }
    return best;
}

/* ---- names ---- */

static int read_lanes(pager *p, unsigned shard)
{
    dq_owned_reply reply;
    dq_buf bytes = {0};
    dq_reply_items items;
    dq_reply name;
    int rc;

    dq_plain_list(&bytes, dq_client_keys(p->client), shard, "lane", dq_event_directory_lanes(p->directory, shard));
    rc = dq_client_command(p->client, &bytes, 1, &reply, p->err);
    if (rc < 0)
        return rc;
    items = dq_reply_items_of(reply.reply);
    while (rc == 0 && dq_reply_items_next(&items, &name))
        rc = dq_event_directory_add_lane(p->directory, shard, dq_reply_str(name));
    dq_owned_reply_deinit(&reply);
    return rc;
}

static int read_node(pager *p, unsigned shard, uint64_t session)
{
    dq_owned_reply reply;
    dq_buf bytes = {0};
    char number[24];
    int rc;

    (void)snprintf(number, sizeof number, "%llu", (unsigned long long)session);
    dq_plain_field(&bytes, dq_client_keys(p->client), shard, "sn", dureq_str_from(number));
    rc = dq_client_command(p->client, &bytes, 1, &reply, p->err);
    if (rc < 0)
        return rc;
    rc = dq_event_directory_add_node(p->directory, shard, session, dq_reply_str(reply.reply));
    dq_owned_reply_deinit(&reply);
    return rc;
}

static int learn_names(pager *p, unsigned shard, const dq_event *e)
{
    int rc = 0;

    if (e->has_job && e->job.shard < p->cursor.n_shards && e->job.lane > dq_event_directory_lanes(p->directory, e->job.shard))
        rc = read_lanes(p, e->job.shard);
    if (rc == 0 && e->session && e->node.len == 0 && !dq_event_directory_has_node(p->directory, shard, e->session))
        rc = read_node(p, shard, e->session);
    return rc;
}

/* ---- events of an entry, from its end ---- */

typedef struct window {
    dq_event events[WINDOW];
    uint32_t from, upto, index;
} window;

static void count_one(const dq_event *e, void *userdata)
{
    (void)e;
    ++*(uint32_t *)userdata;
}

static void keep_one(const dq_event *e, void *userdata)
{
    window *w = userdata;

    if (w->index >= w->from && w->index < w->upto)
        w->events[w->index - w->from] = *e;
    w->index++;
}

static int give(pager *p, unsigned shard, const dq_event *e)
{
    int rc = p->page->filter.types >> e->type & 1 ? learn_names(p, shard, e) : 0;
    dq_event_names names;
    dq_event_secret secret;
    DQ_BUF_AUTO text = {0};

    if (rc < 0)
        return rc;
    names = dq_event_directory_get(p->directory, shard, e);
    if (!dq_event_fits(&p->page->filter, e, &names))
        return 0;
    dq_event_write(e, &names, &text, &secret);
    if (p->page->hides_payload)
        text.len = secret.at; /* it is the last part */
    dq_buf_append_char(&text, '}');
    dq_json_put_raw(&p->w, dq_buf_str(&text));
    p->n_given++;
    return dq_buf_failed(&text) ? dq_fail_nomem(p->err) : 0;
}

/* 1: all of it was given. 0: the page is full. */
static int give_entry(pager *p, unsigned shard, const dq_event_entry *entry)
{
    dq_event_cursor *c = &p->cursor;
    bool is_part = c->part && c->part_shard == shard && c->part_of.ms == entry->ms && c->part_of.seq == entry->seq;
    window *w = dq_malloc(sizeof *w);
    uint32_t n = 0, done = is_part ? c->part : 0;
    int rc = w ? 0 : dq_fail_nomem(p->err);

    dq_event_each(entry, count_one, &n);
    while (rc == 0 && done < n && p->n_given < p->page->limit) {
        w->upto = n - done;
        w->from = w->upto - DQ_MIN(w->upto, (uint32_t)WINDOW);
        w->index = 0;
        dq_event_each(entry, keep_one, w);
        for (uint32_t i = w->upto; rc == 0 && i-- > w->from && p->n_given < p->page->limit; done++)
            rc = give(p, shard, &w->events[i - w->from]);
    }
    dq_free(w);
    if (rc < 0)
        return rc;
    c->part = done < n ? done : 0;
    c->part_shard = shard;
    c->part_of = (dq_event_place){entry->ms, entry->seq};
    return done >= n;
}

/* 1: it goes on. */
static int next(pager *p)
{
    int shard = p->n_given < p->page->limit && p->n_scanned < SCANNED_MAX ? latest(p) : -2, rc;
    source *s;

    if (shard < 0)
        return 0;
    s = &p->sources[shard];
    if ((int64_t)s->entry.ms < p->page->since_ms) {
        drop(s);
        p->cursor.at[shard] = (dq_event_place){0};
        return 1;
    }
    p->n_scanned++;
    rc = give_entry(p, (unsigned)shard, &s->entry);
    if (rc <= 0)
        return rc;
    p->cursor.at[shard] = (dq_event_place){s->entry.ms, s->entry.seq};
    step(s, (unsigned)shard);
    if (s->n_left)
        return 1;
    if (s->is_cut)
        rc = read_source(p, (unsigned)shard);
    else
        p->cursor.at[shard] = (dq_event_place){0};
    return rc < 0 ? rc : 1;
}

/* ---- the page ---- */

static bool is_over(const pager *p)
{
    for (unsigned s = 0; s < p->cursor.n_shards; s++)
        if (p->cursor.at[s].ms)
            return false;
    return true;
}

static int begin(pager *p)
{
    p->directory = dq_event_directory_create(dq_client_keys(p->client)->n_shards);
    p->sources = dq_calloc(dq_client_keys(p->client)->n_shards, sizeof *p->sources);
    if (!p->directory || !p->sources || dq_event_cursor_init(&p->cursor, dq_client_keys(p->client)->n_shards) < 0)
        return dq_fail_nomem(p->err);
    if (p->page->cursor && *p->page->cursor)
        return dq_event_token_parse(dureq_str_from(p->page->cursor), &p->cursor, p->err);
    p->is_open_ended = p->page->until_ms == INT64_MAX;
    for (unsigned s = 0; !p->is_open_ended && s < p->cursor.n_shards; s++)
        p->cursor.at[s] = (dq_event_place){(uint64_t)DQ_MAX(p->page->until_ms, 0), 0};
    return 0;
}

static int write_page(pager *p)
{
    bool was_whole = !p->page->cursor || !*p->page->cursor;
    int rc;

    dq_json_begin_object(&p->w);
    dq_json_key(&p->w, "data");
    dq_json_begin_array(&p->w);
    rc = read_all(p);
    while (rc >= 0) {
        rc = next(p);
        if (rc == 0)
            break;
    }
    dq_json_end_array(&p->w);
    dq_json_set_i64(&p->w, "total", (int64_t)p->n_given);
    dq_json_set_bool(&p->w, "total_exact", was_whole && is_over(p));
    dq_json_set_i64(&p->w, "scanned", p->n_scanned);
    if (!is_over(p)) {
        DQ_BUF_AUTO token = {0};

        dq_event_token_put(&token, &p->cursor);
        dq_json_set_str(&p->w, "next_cursor", dq_buf_str(&token));
    }
    dq_json_end_object(&p->w);
    return rc;
}

int dq_client_event_page(dureq_client *c, const dq_event_page *page, dq_buf *ret, dureq_error *err)
{
    pager p = {.client = c, .page = page, .w = dq_json_writer_of(ret), .err = err};
    int rc;

    dq_client_enter(c);
    rc = begin(&p);
    if (rc == 0)
        rc = write_page(&p);
    dq_client_leave(c);
    for (unsigned s = 0; p.sources && s < p.cursor.n_shards; s++)
        drop(&p.sources[s]);
    dq_free(p.sources);
    dq_event_cursor_deinit(&p.cursor);
    dq_event_directory_destroy(p.directory);
    return rc < 0 ? rc : dq_buf_finish(ret, err);
}
