/* SPDX-License-Identifier: Apache-2.0 */
/* A go sends one command a shard that is wanted, and once more for what these answers ask for: names that are not known, and the end of a stream whose
   place is gone. Answers are kept until they were taken, entry by entry. */
#include "client/event_reader.h"

#include <stdio.h>

#include "client/client_internal.h"
#include "store/plain_calls.h"

#define PAGE 100 /* entries of a shard and go: of at most some ten KiB each */

typedef enum todo_kind {
    TODO_NOTHING,
    TODO_READ,
    TODO_LAST,  /* where does it end? */
    TODO_BEGIN, /* from its beginning: was all of it kept? Then READ */
} todo_kind;

typedef struct source {
    dq_event_reader *reader;
    unsigned no;
    todo_kind todo;
    bool has_gap;
    dq_event_place gap_from;
    dq_owned_reply reply;
    bool has_reply;
    dq_reply at; /* the next entry of the reply */
    size_t n_left;
    bool is_cut; /* there may be more after it */
    bool needs_lanes;
} source;

typedef struct ask { /* of a node's name */
    dq_event_reader *reader;
    unsigned shard;
    uint64_t session;
} ask;

struct dq_event_reader {
    dureq_client *client;
    const dq_keys *keys;
    dq_event_directory *directory;
    dq_event_read_fn fn;
    void *userdata;
    dq_redis *conn; /* while something is under way */
    dq_event_cursor cursor;
    source *shards;
    unsigned n_pending;
    int code;
    bool is_dead, is_naming;
    dq_deferred later;
    source *looked_at; /* by note_names */
};

static void answered(dq_event_reader *r);

/* ---- life ---- */

static void on_later(dq_deferred *d)
{
    dq_event_reader *r = dq_container_of(d, dq_event_reader, later);

    r->fn(r, r->code, r->userdata);
}

dq_event_reader *dq_event_reader_create(dureq_client *c, dq_event_directory *d, dq_event_read_fn fn, void *userdata)
{
    const dq_keys *keys = dq_client_keys(c);
    dq_event_reader *r = dq_calloc(1, sizeof *r);

    if (!r)
        return NULL;
    r->client = c;
    r->keys = keys;
    r->directory = d;
    r->fn = fn;
    r->userdata = userdata;
    r->later.fn = on_later;
    r->shards = dq_calloc(keys->n_shards, sizeof *r->shards);
    if (!r->shards || dq_event_cursor_init(&r->cursor, keys->n_shards) < 0) {
        dq_free(r->shards);
        dq_free(r);
        return NULL;
    }
    for (unsigned s = 0; s < keys->n_shards; s++)
        r->shards[s] = (source){.reader = r, .no = s};
    return r;
}

static void drop_reply(source *s)
{
    if (s->has_reply)
        dq_owned_reply_deinit(&s->reply);
    s->has_reply = false;
    s->n_left = 0;
}

static void free_reader(dq_event_reader *r)
{
    for (unsigned s = 0; s < r->keys->n_shards; s++)
        drop_reply(&r->shards[s]);
    dq_event_cursor_deinit(&r->cursor);
    dq_free(r->shards);
    dq_free(r);
}

void dq_event_reader_destroy(dq_event_reader *r)
{
    if (!r || r->is_dead)
        return;
    r->is_dead = true;
    dq_loop_undefer(&r->later);
    if (r->n_pending == 0)
        free_reader(r);
}

/* ---- what is to be read ---- */

const dq_event_cursor *dq_event_reader_cursor(const dq_event_reader *r)
{
    return &r->cursor;
}

static void set_all(dq_event_reader *r, todo_kind todo)
{
    for (unsigned s = 0; s < r->keys->n_shards; s++) {
        drop_reply(&r->shards[s]);
        r->shards[s].has_gap = false;
        r->shards[s].todo = todo;
    }
}

void dq_event_reader_from_now(dq_event_reader *r)
{
    set_all(r, TODO_LAST);
}

void dq_event_reader_from(dq_event_reader *r, const dq_event_cursor *at)
{
    set_all(r, TODO_READ);
    memcpy(r->cursor.at, at->at, r->keys->n_shards * sizeof *at->at);
    for (unsigned s = 0; s < r->keys->n_shards; s++)
        if (at->at[s].ms == 0)
            r->shards[s].todo = TODO_BEGIN;
}

void dq_event_reader_want(dq_event_reader *r, unsigned shard)
{
    if (r->shards[shard].todo == TODO_NOTHING && r->shards[shard].n_left == 0)
        r->shards[shard].todo = TODO_READ;
}

void dq_event_reader_want_all(dq_event_reader *r)
{
    for (unsigned s = 0; s < r->keys->n_shards; s++)
        dq_event_reader_want(r, s);
}

bool dq_event_reader_wants(const dq_event_reader *r)
{
    for (unsigned s = 0; s < r->keys->n_shards; s++)
        if (r->shards[s].todo != TODO_NOTHING)
            return true;
    return false;
}

/* ---- names ---- */

static void on_lanes(void *userdata, int code, const dq_reply *reply, const dureq_error *err)
{
    source *s = userdata;
    dq_event_reader *r = s->reader;

    (void)err;
    if (code == 0 && !r->is_dead && dq_reply_type(*reply) == DQ_RESP_ARRAY) {
        dq_reply_items items = dq_reply_items_of(*reply);
        dq_reply name;

        while (dq_reply_items_next(&items, &name) && r->code == 0)
            r->code = dq_event_directory_add_lane(r->directory, s->no, dq_reply_str(name));
    }
    if (code < 0 && r->code == 0)
        r->code = code;
    s->needs_lanes = false;
    answered(r);
}

static void on_node(void *userdata, int code, const dq_reply *reply, const dureq_error *err)
{
    ask *a = userdata;
    dq_event_reader *r = a->reader;

    (void)err;
    if (code == 0 && !r->is_dead)
        code = dq_event_directory_add_node(r->directory, a->shard, a->session, dq_reply_str(*reply));
    if (code < 0 && r->code == 0)
        r->code = code;
    dq_free(a);
    answered(r);
}

static void commit(dq_event_reader *r, dq_redis_reply_fn fn, void *userdata)
{
    int rc = dq_redis_commit(r->conn, DQ_REDIS_HOLD, fn, userdata);

    r->n_pending++;
    if (rc < 0)
        fn(userdata, rc, NULL, NULL);
}

static void ask_node(dq_event_reader *r, unsigned shard, uint64_t session)
{
    ask *a = dq_calloc(1, sizeof *a);
    char number[24];

    if (!a || dq_event_directory_add_node(r->directory, shard, session, (dureq_str){0}) < 0) { /* asked for once */
        dq_free(a);
        r->code = DUREQ_ENOMEM;
        return;
    }
    *a = (ask){.reader = r, .shard = shard, .session = session};
    (void)snprintf(number, sizeof number, "%llu", (unsigned long long)session);
    dq_plain_field(dq_redis_out(r->conn), r->keys, shard, "sn", dureq_str_from(number));
    commit(r, on_node, a);
}

static void note_names(const dq_event *e, void *userdata)
{
    dq_event_reader *r = userdata;
    unsigned no = r->looked_at->no;

    if (e->has_job && e->job.shard < r->keys->n_shards && e->job.lane > dq_event_directory_lanes(r->directory, e->job.shard))
        r->shards[e->job.shard].needs_lanes = true;
    if (e->session && e->node.len == 0 && !dq_event_directory_has_node(r->directory, no, e->session))
        ask_node(r, no, e->session);
}

/* ---- entries ---- */

static bool parse_place(dureq_str text, dq_event_place *ret)
{
    dureq_str rest = text, first = dq_str_cut(&rest, '-');
    int64_t ms, seq;

    if (dq_parse_i64(first, 0, INT64_MAX, &ms) < 0 || dq_parse_i64(rest, 0, INT64_MAX, &seq) < 0)
        return false;
    *ret = (dq_event_place){.ms = (uint64_t)ms, .seq = (uint64_t)seq};
    return true;
}

/* False: it is none. */
static bool read_entry(const source *s, dq_reply r, dq_event_entry *ret)
{
    dq_event_place place;
    dq_reply fields;

    if (dq_reply_type(r) != DQ_RESP_ARRAY || dq_reply_len(r) != 2 || !parse_place(dq_reply_str(dq_reply_first(r)), &place))
        return false;
    fields = dq_reply_at(r, 1);
    *ret = (dq_event_entry){.shard = s->no,
                            .ms = place.ms,
                            .seq = place.seq,
                            .e = dq_reply_str(dq_reply_lookup(fields, "e")),
                            .x = dq_reply_str(dq_reply_lookup(fields, "x"))};
    return true;
}

static bool is_place(const dq_event_entry *e, dq_event_place p)
{
    return e->ms == p.ms && e->seq == p.seq;
}

static void step(source *s)
{
    s->n_left--;
    if (s->n_left)
        s->at = dq_reply_next(s->at);
    else if (s->is_cut)
        s->todo = TODO_READ;
}

static void gap(source *s)
{
    s->has_gap = true;
    s->gap_from = s->reader->cursor.at[s->no];
    dq_event_directory_forget(s->reader->directory, s->no);
}

/* What came of a READ: from the place on, that included. */
static void take_entries(source *s)
{
    dq_event_reader *r = s->reader;
    dq_event_place at = r->cursor.at[s->no];
    dq_event_entry e = {0};
    bool is_first = at.ms == 0;

    s->n_left = dq_reply_type(s->reply.reply) == DQ_RESP_ARRAY ? dq_reply_len(s->reply.reply) : 0;
    s->at = dq_reply_first(s->reply.reply);
    s->is_cut = s->n_left >= PAGE;
    s->todo = TODO_NOTHING;
    if (!is_first && !(s->n_left && read_entry(s, s->at, &e) && is_place(&e, at))) {
        gap(s);
        s->todo = s->n_left ? TODO_NOTHING : TODO_LAST;
        if (e.ms) /* before what there is; another entry than this one is not known of */
            r->cursor.at[s->no] = e.seq ? (dq_event_place){e.ms, e.seq - 1} : (dq_event_place){e.ms - 1, INT64_MAX};
    } else if (!is_first) {
        step(s);
    }
}

static int keep(source *s)
{
    DQ_BUF_AUTO bytes = {0};
    int rc;

    drop_reply(s);
    dq_buf_append_str(&bytes, dq_redis_reply_raw(s->reader->conn));
    if (dq_buf_failed(&bytes))
        return DUREQ_ENOMEM;
    rc = dq_owned_reply_parse(&bytes, &s->reply, NULL);
    s->has_reply = rc == 0;
    return rc;
}

/* Names that are needed are asked for at once, behind the answers that are still to come. */
static void look_at(source *s)
{
    dq_event_reader *r = s->reader;
    dq_reply at = s->at;

    for (size_t i = 0; i < s->n_left; i++) {
        dq_event_entry e;

        r->looked_at = s;
        if (read_entry(s, at, &e))
            dq_event_each(&e, note_names, r);
        at = i + 1 < s->n_left ? dq_reply_next(at) : at;
    }
}

/* The stream was never written to beyond what it holds: then nothing before the first entry is missing. */
static void take_info(source *s, const dq_reply *reply)
{
    s->todo = TODO_READ;
    if (reply && dq_reply_type(*reply) != DQ_RESP_ERROR &&
        dq_reply_int(dq_reply_lookup(*reply, "entries-added")) > dq_reply_int(dq_reply_lookup(*reply, "length")))
        gap(s);
}

static void take_last(source *s, dq_reply reply)
{
    dq_event_entry e = {0};

    s->todo = TODO_NOTHING;
    if (dq_reply_len(reply) > 0)
        (void)read_entry(s, dq_reply_first(reply), &e);
    s->reader->cursor.at[s->no] = (dq_event_place){.ms = e.ms, .seq = e.seq};
}

static void on_shard(void *userdata, int code, const dq_reply *reply, const dureq_error *err)
{
    source *s = userdata;
    dq_event_reader *r = s->reader;

    (void)err;
    if (code == 0 && dq_reply_type(*reply) == DQ_RESP_ERROR)
        code = DUREQ_EPROTO;
    if (r->is_dead) {
        answered(r);
        return;
    }
    if (s->todo == TODO_BEGIN && (code == 0 || reply)) { /* "no such key" */
        take_info(s, reply);
    } else if (code < 0) {
        r->code = r->code ? r->code : code;
    } else if (s->todo == TODO_LAST) {
        take_last(s, *reply);
    } else {
        code = keep(s);
        if (code == 0)
            take_entries(s);
        if (code == 0)
            look_at(s);
        r->code = r->code ? r->code : code;
    }
    answered(r);
}

/* ---- a go ---- */

static void put_range(dq_event_reader *r, const source *s)
{
    dq_event_place at = r->cursor.at[s->no];
    dq_buf *out = dq_redis_out(r->conn);
    char from[48];

    (void)snprintf(from, sizeof from, "%llu-%llu", (unsigned long long)at.ms, (unsigned long long)at.seq);
    dq_plain_range(out, r->keys, s->no, "ev", from, PAGE);
}

static void send_shard(dq_event_reader *r, source *s)
{
    switch (s->todo) {
    case TODO_NOTHING: return;
    case TODO_READ: put_range(r, s); break;
    case TODO_LAST: dq_plain_newest(dq_redis_out(r->conn), r->keys, s->no, "ev", 1); break;
    case TODO_BEGIN: dq_plain_stream_info(dq_redis_out(r->conn), r->keys, s->no, "ev"); break;
    }
    commit(r, on_shard, s);
}

static void send_lanes(dq_event_reader *r)
{
    for (unsigned s = 0; s < r->keys->n_shards; s++)
        if (r->shards[s].needs_lanes) {
            dq_plain_list(dq_redis_out(r->conn), r->keys, s, "lane", dq_event_directory_lanes(r->directory, s));
            commit(r, on_lanes, &r->shards[s]);
        }
}

static bool has_work(const dq_event_reader *r)
{
    for (unsigned s = 0; s < r->keys->n_shards; s++)
        if (r->shards[s].needs_lanes || (r->shards[s].todo != TODO_NOTHING && r->shards[s].n_left == 0))
            return true;
    return false;
}

static void send_all(dq_event_reader *r)
{
    r->n_pending++; /* none of these answers is the last before all are sent */
    for (unsigned s = 0; s < r->keys->n_shards && r->code == 0; s++)
        if (r->shards[s].n_left == 0)
            send_shard(r, &r->shards[s]);
    send_lanes(r);
    answered(r);
}

static void answered(dq_event_reader *r)
{
    r->n_pending--;
    if (r->n_pending)
        return;
    if (r->is_dead)
        free_reader(r);
    else if (r->code == 0 && has_work(r))
        send_all(r);
    else
        dq_loop_defer(r->client->loop, &r->later);
}

void dq_event_reader_go(dq_event_reader *r, dq_redis *conn)
{
    r->conn = conn;
    r->code = 0;
    send_all(r);
}

/* ---- taking ---- */

static int cmp(const dq_event_entry *a, const dq_event_entry *b)
{
    if (a->ms != b->ms)
        return a->ms < b->ms ? -1 : 1;
    return 0; /* then by source */
}

/* NULL: nothing is left, or what comes next may be of a shard that has more and must be read first. */
static source *earliest(dq_event_reader *r, dq_event_entry *ret)
{
    source *first = NULL;

    for (unsigned i = 0; i < r->keys->n_shards; i++) {
        source *s = &r->shards[i];
        dq_event_entry e;

        if (s->n_left == 0 && s->is_cut && s->todo == TODO_READ)
            return NULL;
        while (s->n_left && !read_entry(s, s->at, &e))
            step(s);
        if (s->n_left && (!first || cmp(&e, ret) < 0)) {
            first = s;
            *ret = e;
        }
    }
    return first;
}

dq_event_next dq_event_reader_next(dq_event_reader *r, dq_event_entry *ret)
{
    source *s;

    for (unsigned i = 0; i < r->keys->n_shards; i++) {
        s = &r->shards[i];
        if (!s->has_gap)
            continue;
        s->has_gap = false;
        *ret = (dq_event_entry){.shard = i, .ms = s->gap_from.ms, .seq = s->gap_from.seq};
        return DQ_EVENT_GAP;
    }
    s = earliest(r, ret);
    if (!s)
        return DQ_EVENT_NONE;
    step(s);
    r->cursor.at[s->no] = (dq_event_place){.ms = ret->ms, .seq = ret->seq};
    return DQ_EVENT_ENTRY;
}
