/* SPDX-License-Identifier: Apache-2.0 */
/* Events as they happen, and those of before, in pages. */
#include "api/events.h"

#include "api/scope.h"
#include "api/snapshots.h"
#include "base/list.h"
#include "client/event_follow.h"
#include "client/event_hub.h"
#include "client/event_page.h"

#define FILTERS         "types job workflow queue type"
#define COALESCE_MIN_MS 20
#define COALESCE_MAX_MS 10000
#define DIGEST_MS       250 /* when it is not said */

struct dq_api_streams {
    dureq_client *client;
    dq_event_hub *hub;
    dq_api_snapshots snapshots;
    dq_list watching; /* those that take snapshots */
};

struct dq_api_stream {
    dq_api_streams *all;
    dq_event_sub *sub;
    dq_list link; /* watching; in no list: it takes none */
    unsigned kinds;
    uint64_t seen[DQ_API_N_SNAPSHOTS];
    dq_buf *out; /* while something is taken */
    bool is_lines;
    void (*frame_fn)(dq_buf *out, dureq_str message);
    void (*on_more)(void *userdata);
    void *userdata;
};

dq_api_streams *dq_api_streams_create(dureq_client *client)
{
    dq_api_streams *s = dq_calloc(1, sizeof *s);

    if (!s)
        return NULL;
    s->client = client;
    dq_list_init(&s->watching);
    s->hub = dq_event_hub_create(client);
    if (s->hub)
        return s;
    dq_free(s);
    return NULL;
}

void dq_api_streams_destroy(dq_api_streams *s)
{
    if (!s)
        return;
    dq_event_hub_destroy(s->hub);
    dq_api_snapshots_deinit(&s->snapshots);
    dq_free(s);
}

/* ---- what is asked for ---- */

static int parse_id(const char *name, const char *text, dq_id *ret, dureq_error *err)
{
    if (dq_id_parse(dureq_str_from(text), ret) < 0)
        return dq_fail(err, DUREQ_EINVAL, "parameter '%s' takes an id, 20 characters of 0-9 and a-v", name);
    return 0;
}

/* packed: room for what f->workflow points to. */
static int read_filter(const dq_api_ctx *c, dq_event_filter *f, unsigned char packed[DQ_ID_BYTES], dureq_error *err)
{
    const char *job = dq_api_query(c, "job"), *workflow = dq_api_query(c, "workflow");
    dq_id id;
    int rc;

    *f = (dq_event_filter){.queue = dureq_str_from(dq_api_query(c, "queue")),
                           .task_type = dureq_str_from(dq_api_query(c, "type")),
                           .scope = c->req->scope};
    rc = dq_event_types(dq_api_query(c, "types"), &f->types, err);
    if (rc == 0 && job)
        rc = parse_id("job", job, &f->job, err);
    f->has_job = job != NULL;
    if (rc == 0 && workflow)
        rc = parse_id("workflow", workflow, &id, err);
    if (rc < 0)
        return rc;
    if (workflow) {
        dq_id_pack(&id, packed);
        f->workflow = dureq_str_of(packed, DQ_ID_BYTES);
    }
    return 0;
}

static int read_format(const dq_api_ctx *c, bool *ret_lines, dureq_error *err)
{
    const char *format = dq_api_query(c, "format");

    *ret_lines = format && strcmp(format, "ndjson") == 0;
    if (format && !*ret_lines && strcmp(format, "sse") != 0)
        return dq_fail(err, DUREQ_EINVAL, "parameter 'format' takes sse or ndjson");
    return 0;
}

/* How many events come together, and as what. */
static int read_pace(const dq_api_ctx *c, dq_event_sub_options *o, dureq_error *err)
{
    const char *text = dq_api_query(c, "coalesce");
    int64_t ms = 0;
    int rc = dq_api_query_bool(c, "digest", &o->is_digest, err);

    if (rc < 0)
        return rc;
    if (text && (dq_parse_duration_ms(dureq_str_from(text), &ms) < 0 || ms < COALESCE_MIN_MS || ms > COALESCE_MAX_MS))
        return dq_fail(err, DUREQ_EINVAL, "parameter 'coalesce' takes a duration from 20ms to 10s, not '%.64s'", text);
    o->coalesce_ms = text ? (int)ms : o->is_digest ? DIGEST_MS : 0;
    return 0;
}

/* ---- a connection that is held open ---- */

dq_api_stream_kind dq_api_stream_of(const char *method, const char *path)
{
    if (strcmp(method, "GET") != 0)
        return DQ_API_NO_STREAM;
    if (strcmp(path, "/api/events") == 0)
        return DQ_API_STREAM_EVENTS;
    return strcmp(path, "/api/ws") == 0 ? DQ_API_STREAM_SOCKET : DQ_API_NO_STREAM;
}

static void put_sse(dq_buf *out, const dq_event_item *item)
{
    if (item->token.len) {
        dq_buf_append_text(out, "id: ");
        dq_buf_append_str(out, item->token);
        dq_buf_append_char(out, '\n');
    }
    if (item->kind != DQ_EVENT_ITEM_POSITION) { /* an id alone moves the position, and no page hears of it */
        dq_buf_append_text(out, "data: ");
        dq_buf_append_str(out, item->json);
        dq_buf_append_char(out, '\n');
    }
    dq_buf_append_char(out, '\n');
}

static void put_item(void *userdata, const dq_event_item *item)
{
    dq_api_stream *s = userdata;

    if (s->frame_fn) {
        s->frame_fn(s->out, item->json);
    } else if (s->is_lines) {
        dq_buf_append_str(s->out, item->json);
        dq_buf_append_char(s->out, '\n');
    } else {
        put_sse(s->out, item);
    }
}

static int read_options(dq_api_ctx *c, dq_event_sub_options *o, unsigned char packed[DQ_ID_BYTES], dureq_error *err)
{
    int rc = read_pace(c, o, err);

    if (rc < 0)
        return rc;
    o->since = o->since && *o->since ? o->since : dq_api_query(c, "since");
    o->hides_payload = c->req->hides_payload;
    return read_filter(c, &o->filter, packed, err);
}

static int open_stream(dq_api_ctx *c, dq_api_streams *streams, const dq_api_stream_options *o, dq_api_stream **ret,
                       dureq_error *err)
{
    dq_event_sub_options sub = {.since = o->last_event_id, .on_more = o->on_more, .userdata = o->userdata};
    dq_api_stream *s = dq_calloc(1, sizeof *s);
    unsigned char packed[DQ_ID_BYTES];
    int rc;

    if (!s)
        return dq_fail_nomem(err);
    s->all = streams;
    s->frame_fn = o->frame_fn;
    s->on_more = o->on_more;
    s->userdata = o->userdata;
    rc = read_format(c, &s->is_lines, err);
    if (rc == 0)
        rc = dq_api_snapshot_kinds(dq_api_query(c, "snapshot"), &s->kinds, err);
    if (rc == 0 && s->kinds && dq_api_is_limited(c))
        rc = dq_fail(err, DUREQ_EPERM, "snapshots are of all queues and task types, and this token is limited to some");
    if (rc == 0)
        rc = read_options(c, &sub, packed, err);
    if (rc == 0)
        rc = dq_event_sub_open(streams->hub, &sub, &s->sub, err);
    if (rc < 0) {
        dq_free(s);
        return rc;
    }
    if (s->kinds && dq_list_empty(&streams->watching))
        dq_api_snapshots_forget(&streams->snapshots); /* those that nobody was there to see */
    if (s->kinds)
        dq_list_push_back(&streams->watching, &s->link);
    c->res->content_type = s->is_lines ? "application/x-ndjson" : "text/event-stream";
    *ret = s;
    return 0;
}

bool dq_api_stream_open(dq_api_streams *s, const dq_api_request *req, const dq_api_stream_options *o, dq_api_stream **ret,
                        dq_api_response *res)
{
    dq_api_ctx c = {.client = s->client, .req = req, .res = res};
    dureq_error err = {0};
    bool is_open = false;

    *res = (dq_api_response){.status = 200, .content_type = "application/json"};
    if (dq_api_admit(&c)) {
        int rc = open_stream(&c, s, o, ret, &err);

        is_open = rc == 0;
        if (rc < 0)
            dq_api_write_failure(&c, rc, &err);
    }
    dq_arena_deinit(&c.arena);
    return is_open;
}

void dq_api_stream_close(dq_api_stream *s)
{
    if (!s)
        return;
    dq_event_sub_close(s->sub);
    dq_list_remove(&s->link);
    if (dq_list_empty(&s->all->watching))
        dq_api_snapshots_forget(&s->all->snapshots);
    dq_free(s);
}

static void put_snapshots(dq_api_stream *s)
{
    for (unsigned kind = 0; kind < DQ_API_N_SNAPSHOTS; kind++) {
        const dq_api_snapshot *snap = &s->all->snapshots.kinds[kind];
        dq_event_item item = {.kind = DQ_EVENT_ITEM_EVENT, .json = dq_buf_str(&snap->text)};

        if (!(s->kinds >> kind & 1) || s->seen[kind] == snap->version || snap->text.len == 0)
            continue;
        s->seen[kind] = snap->version;
        put_item(s, &item);
    }
}

bool dq_api_stream_take(dq_api_stream *s, size_t max_bytes, dq_buf *out)
{
    bool has_more;

    s->out = out;
    put_snapshots(s);
    has_more = dq_event_sub_take(s->sub, max_bytes, put_item, s);
    s->out = NULL;
    return has_more;
}

void dq_api_stream_beat(dq_api_stream *s, dq_buf *out)
{
    size_t before = out->len;

    s->out = out;
    dq_event_sub_position(s->sub, put_item, s);
    s->out = NULL;
    if (out->len == before && !s->frame_fn && !s->is_lines)
        dq_buf_append_text(out, ":\n\n");
}

/* ---- snapshots ---- */

bool dq_api_streams_want_snapshots(const dq_api_streams *s)
{
    return !dq_list_empty(&s->watching);
}

bool dq_api_snapshots_begin(dq_api_streams *s, int64_t now_us)
{
    unsigned kinds = 0;

    DQ_LIST_FOREACH (dq_api_stream, t, &s->watching, link) {
        kinds |= t->kinds;
    }
    return kinds && dq_api_snapshots_plan(&s->snapshots, kinds, dq_event_hub_seen(s->hub), now_us);
}

void dq_api_snapshots_read(dq_api_streams *s)
{
    dq_api_snapshots_fetch(&s->snapshots, s->client);
}

static bool has_news(const dq_api_stream *t)
{
    for (unsigned kind = 0; kind < DQ_API_N_SNAPSHOTS; kind++)
        if (t->kinds >> kind & 1 && t->seen[kind] != t->all->snapshots.kinds[kind].version)
            return true;
    return false;
}

void dq_api_snapshots_give(dq_api_streams *s)
{
    dq_list all;

    if (!dq_api_snapshots_publish(&s->snapshots))
        return;
    dq_list_init(&all);
    dq_list_splice_back(&all, &s->watching);
    while (!dq_list_empty(&all)) { /* who is told may close, itself or another */
        dq_api_stream *t = dq_container_of(dq_list_pop_front(&all), dq_api_stream, link);

        dq_list_push_back(&s->watching, &t->link);
        if (has_news(t))
            t->on_more(t->userdata);
    }
}

/* ---- in the caller's own process: a thread that waits ---- */

static int flush_local(void *userdata, dureq_error *err)
{
    return dq_api_flush(userdata, err);
}

static int get_events(dq_api_ctx *c, dureq_error *err)
{
    dq_api_stream stream = {.out = &c->res->body};
    dq_event_follow f = {.put = put_item, .put_userdata = &stream, .flush_fn = flush_local, .flush_userdata = c};
    unsigned char packed[DQ_ID_BYTES];
    int rc = read_format(c, &stream.is_lines, err);

    if (rc == 0 && !c->sink)
        rc = dq_fail(err, DUREQ_EUNSUPPORTED, "events come as a stream, which the caller does not take");
    if (rc == 0)
        rc = read_options(c, &f.options, packed, err);
    if (rc < 0)
        return rc;
    c->res->content_type = stream.is_lines ? "application/x-ndjson" : "text/event-stream";
    return dq_client_follow_events(c->client, &f, err);
}

/* A server that speaks WebSocket never comes here. */
static int get_socket(dq_api_ctx *c, dureq_error *err)
{
    (void)c;
    return dq_fail(err, DUREQ_EUNSUPPORTED, "this takes a WebSocket: the handshake of version 13 (RFC 6455)");
}

/* ---- pages of what was ---- */

static int get_history(dq_api_ctx *c, dureq_error *err)
{
    unsigned char packed[DQ_ID_BYTES];
    dq_event_page p = {.until_ms = INT64_MAX, .cursor = dq_api_query(c, "cursor"), .hides_payload = c->req->hides_payload};
    int64_t limit = 50;
    int rc = read_filter(c, &p.filter, packed, err);
    const char *job = dq_api_query(c, "job_id");

    if (rc == 0 && job) {
        rc = parse_id("job_id", job, &p.filter.job, err);
        p.filter.has_job = true;
    }
    if (rc == 0)
        rc = dq_api_query_i64(c, "limit", 1, 1000, &limit, err);
    if (rc == 0)
        rc = dq_api_query_time(c, "since", &p.since_ms, err);
    if (rc == 0)
        rc = dq_api_query_time(c, "until", &p.until_ms, err);
    p.limit = (size_t)limit;
    return rc < 0 ? rc : dq_client_event_page(c->client, &p, &c->res->body, err);
}

const dq_api_route dq_api_event_routes[] = {
    {"GET", "/api/events", get_events, "since format coalesce digest " FILTERS, .scope = DQ_API_SCOPE_OWN, .cost = DQ_API_SCANS,
     .streams = true, .answer = "StreamMessage",
     .text =
         "Events as they happen, as server-sent events (text/event-stream) or lines of JSON; Last-Event-ID or since goes on from an "
         "event that was seen."},
    {"GET", "/api/ws", get_socket, "since coalesce digest snapshot " FILTERS, .scope = DQ_API_SCOPE_OWN, .cost = DQ_API_SCANS,
     .streams = true, .answer = "StreamMessage",
     .text = "The same over a WebSocket, a message each; with snapshot also counts, queues or nodes, when they changed."},
    {"GET", "/api/history/events", get_history, "job_id since until cursor limit " FILTERS, .scope = DQ_API_SCOPE_OWN,
     .cost = DQ_API_SCANS, .answer = "EventPage", .text = "Events that the streams still hold, the newest first."},
    {NULL, NULL, NULL, NULL},
};
