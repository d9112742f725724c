/* SPDX-License-Identifier: Apache-2.0 */
/* Counts, days, the server, audit and events. */
#include "client/stats.h"
#include "api/meter.h"
#include "api/scope.h"
#include "client/audit.h"
#include "client/client.h"
#include "client/events.h"
#include "client/series.h"

static void put_count(dq_api_ctx *c, const char *name, int64_t n)
{
    if (n == 0)
        return;
    dq_json_key(&c->w, name);
    dq_json_put_i64(&c->w, n);
}

void dq_api_write_counts(dq_api_ctx *c, const dureq_counts *n)
{
    dq_json_begin_object(&c->w);
    put_count(c, "pending", n->pending);
    put_count(c, "scheduled", n->scheduled);
    put_count(c, "running", n->running);
    put_count(c, "retrying", n->retrying);
    put_count(c, "paused", n->paused);
    put_count(c, "completed", n->completed);
    put_count(c, "dead", n->dead);
    put_count(c, "cancelled", n->cancelled);
    dq_json_end_object(&c->w);
}

static int get_stats(dq_api_ctx *c, dureq_error *err)
{
    dureq_counts n;
    int rc = dureq_client_count(c->client, &n, err);

    if (rc < 0)
        return rc;
    dq_json_begin_object(&c->w);
    dq_json_key(&c->w, "job_counts");
    dq_api_write_counts(c, &n);
    dq_json_key(&c->w, "active_schedules");
    dq_json_put_i64(&c->w, 0);
    dq_json_key(&c->w, "active_runs");
    dq_json_put_i64(&c->w, n.running);
    dq_json_key(&c->w, "active_nodes");
    dq_json_put_i64(&c->w, n.nodes);
    dq_json_key(&c->w, "history_bytes");
    dq_json_put_i64(&c->w, n.history_bytes);
    dq_json_end_object(&c->w);
    return 0;
}

static int get_daily(dq_api_ctx *c, dureq_error *err)
{
    dq_day_stats days[90] = {0};
    int64_t n = 7;
    int rc = dq_api_query_i64(c, "days", 1, 90, &n, err);

    if (rc == 0)
        rc = dq_client_days(c->client, (int)n, days, err);
    if (rc < 0)
        return rc;
    dq_json_begin_array(&c->w);
    for (int64_t i = 0; i < n; i++) {
        dq_json_begin_object(&c->w);
        dq_json_key(&c->w, "date");
        dq_json_put_text(&c->w, days[i].date);
        dq_json_key(&c->w, "processed");
        dq_json_put_i64(&c->w, days[i].completed);
        dq_json_key(&c->w, "failed");
        dq_json_put_i64(&c->w, days[i].failed);
        dq_json_key(&c->w, "enqueued");
        dq_json_put_i64(&c->w, days[i].enqueued);
        dq_json_key(&c->w, "dead");
        dq_json_put_i64(&c->w, days[i].dead);
        dq_json_key(&c->w, "cancelled");
        dq_json_put_i64(&c->w, days[i].cancelled);
        dq_json_end_object(&c->w);
    }
    dq_json_end_array(&c->w);
    return 0;
}

/* ---- by minute, hour or day ---- */

static int read_unit(const dq_api_ctx *c, dq_series_unit *ret, int64_t *ret_n, dureq_error *err)
{
    static const struct {
        const char *name;
        dq_series_unit unit;
        int64_t n;
    } units[] = {{"minute", DQ_SERIES_MINUTE, 30}, {"hour", DQ_SERIES_HOUR, 24}, {"day", DQ_SERIES_DAY, 7}};
    const char *by = dq_api_query(c, "by");

    for (size_t i = 0; i < DQ_ARRAY_LEN(units); i++)
        if (strcmp(by ? by : "minute", units[i].name) == 0) {
            *ret = units[i].unit;
            *ret_n = units[i].n;
            return dq_api_query_i64(c, "n", 1, DQ_SERIES_MAX, ret_n, err);
        }
    return dq_fail(err, DUREQ_EINVAL, "parameter 'by' takes minute, hour or day, not '%.64s'", by);
}

static void put_i64(dq_api_ctx *c, const char *name, int64_t v)
{
    dq_json_key(&c->w, name);
    dq_json_put_i64(&c->w, v);
}

static void put_percentiles(dq_api_ctx *c, const char *name, const int64_t buckets[DQ_SERIES_BUCKETS])
{
    dq_json_key(&c->w, name);
    if (dq_series_percentile(buckets, 0.5) < 0) {
        dq_json_put_null(&c->w);
        return;
    }
    dq_json_begin_object(&c->w);
    put_i64(c, "p50", dq_series_percentile(buckets, 0.5));
    put_i64(c, "p95", dq_series_percentile(buckets, 0.95));
    put_i64(c, "p99", dq_series_percentile(buckets, 0.99));
    dq_json_end_object(&c->w);
}

void dq_api_write_series_row(dq_api_ctx *c, const dq_series_row *row)
{
    dq_json_begin_object(&c->w);
    dq_json_key(&c->w, "at");
    dq_json_put_rfc3339(&c->w, row->at_ms);
    put_i64(c, "enqueued", row->enqueued);
    put_i64(c, "processed", row->completed);
    put_i64(c, "failed", row->failed);
    put_i64(c, "dead", row->dead);
    put_i64(c, "cancelled", row->cancelled);
    dq_json_key(&c->w, "per_second");
    dq_json_put_f64(&c->w, dq_series_per_second(row));
    dq_json_key(&c->w, "failure_ratio");
    dq_json_put_f64(&c->w, dq_series_failure_ratio(row));
    put_percentiles(c, "wait_ms", row->waited);
    put_percentiles(c, "run_ms", row->ran);
    dq_json_end_object(&c->w);
}

static int get_series(dq_api_ctx *c, dureq_error *err)
{
    dureq_job_filter f = dureq_job_filter_init();
    dq_series_unit unit = DQ_SERIES_MINUTE;
    dq_series_row *rows;
    int64_t n;
    int rc = read_unit(c, &unit, &n, err);

    f.queue = dq_api_query(c, "queue");
    if (rc == 0)
        rc = dq_api_check_queue(c, &f, err);
    if (rc < 0)
        return rc;
    rows = dq_arena_alloc(&c->arena, (size_t)n * sizeof *rows);
    if (!rows)
        return dq_fail_nomem(err);
    rc = dq_client_series(c->client, unit, (int)n, f.queue, dq_api_query(c, "type"), rows, err);
    if (rc < 0)
        return rc;
    dq_json_begin_array(&c->w);
    for (int64_t i = 0; i < n; i++)
        dq_api_write_series_row(c, &rows[i]);
    dq_json_end_array(&c->w);
    return 0;
}

/* INFO's "# Section" and "key:value" lines as {"section": {"key": "value"}}. */
static void write_info(dq_api_ctx *c, dureq_str text)
{
    bool open = false;

    dq_json_begin_object(&c->w);
    while (text.len) {
        dureq_str line = dq_str_trim(dq_str_cut(&text, '\n')), key;

        if (line.len && line.ptr[0] == '#') {
            char *name = dq_arena_dup(&c->arena, dq_str_trim(dureq_str_of(line.ptr + 1, line.len - 1)));

            for (char *p = name; p && *p; p++)
                if (*p >= 'A' && *p <= 'Z')
                    *p = (char)(*p - 'A' + 'a');
            if (open)
                dq_json_end_object(&c->w);
            dq_json_key(&c->w, name ? name : "");
            dq_json_begin_object(&c->w);
            open = true;
        } else if (line.len && open) {
            key = dq_str_cut(&line, ':');
            dq_json_key_str(&c->w, key);
            dq_json_put_str(&c->w, line.ptr ? line : dureq_str_of("", 0));
        }
    }
    if (open)
        dq_json_end_object(&c->w);
    dq_json_end_object(&c->w);
}

static int get_redis(dq_api_ctx *c, dureq_error *err)
{
    const char *section = dq_api_query(c, "section");
    DQ_BUF_AUTO text = {0};
    int rc = dq_client_redis_info(c->client, section, &text, err);

    if (rc < 0)
        return rc;
    if (section && text.len == 0)
        return dq_fail(err, DUREQ_EINVAL, "parameter 'section' takes a section of INFO such as memory, not '%.64s'", section);
    dq_json_begin_object(&c->w);
    dq_json_key(&c->w, "mode");
    dq_json_put_text(&c->w, "standalone");
    dq_json_key(&c->w, "nodes");
    dq_json_begin_array(&c->w);
    dq_json_begin_object(&c->w);
    dq_json_key(&c->w, "addr");
    dq_json_put_text(&c->w, dq_client_server_name(c->client));
    dq_json_key(&c->w, "role");
    dq_json_put_text(&c->w, "master");
    dq_json_key(&c->w, "sections");
    write_info(c, dq_buf_str(&text));
    dq_json_end_object(&c->w);
    dq_json_end_array(&c->w);
    dq_json_end_object(&c->w);
    return 0;
}

static int get_health(dq_api_ctx *c, dureq_error *err)
{
    DQ_BUF_AUTO text = {0};
    int rc = dq_client_redis_info(c->client, "server", &text, err);

    return rc < 0 ? rc : dq_api_reply_status(c, "ok", "server", dq_client_server_name(c->client));
}

/* What this daemon's node holds while Redis is away. Nothing is given up, so that nothing has failed. */
static int get_sync_retries(dq_api_ctx *c, dureq_error *err)
{
    (void)err;
    dq_json_begin_object(&c->w);
    dq_json_set_i64(&c->w, "pending", c->req->meter ? dq_api_meter_unsent(c->req->meter) : 0);
    dq_json_set_i64(&c->w, "failed", 0);
    dq_json_key(&c->w, "recent");
    dq_json_begin_array(&c->w);
    dq_json_end_array(&c->w);
    dq_json_end_object(&c->w);
    return 0;
}

#define JOB_ACTIONS_MAX 1000 /* that are shown; the last entry says when there are more */

static int get_audit(dq_api_ctx *c, dureq_error *err)
{
    const char *target = dq_api_query(c, "target");
    int64_t limit = 50;
    int rc = dq_api_query_i64(c, "limit", 1, 1000, &limit, err);

    dq_audit_query q = {.target = dureq_str_from(target), .limit = (int)limit};

    return rc < 0 ? rc : dq_client_audit(c->client, &q, /*ret_more=*/NULL, &c->res->body, err);
}

#define COUNTS_IDS_MAX 100 /* each is a read of its own */

/* Of a caller that is limited, what is outside is left out. */
static bool is_counted(dq_api_ctx *c, const char *id)
{
    return !dq_api_is_limited(c) || dq_api_check_job(c, id, NULL) == 0;
}

static int count_audit(dq_api_ctx *c, const char *id, dureq_error *err)
{
    DQ_BUF_AUTO text = {0};
    dq_json doc = {0};
    dq_audit_query q = {.target = dureq_str_from(id), .limit = JOB_ACTIONS_MAX};
    int rc = dq_client_audit(c->client, &q, /*ret_more=*/NULL, &text, err);

    if (rc == 0)
        rc = dq_json_parse(dq_buf_str(&text), &doc, err);
    if (rc < 0)
        return rc;
    dq_json_key(&c->w, id);
    dq_json_put_i64(&c->w, doc.nodes[0].n);
    dq_json_deinit(&doc);
    return 0;
}

static int count_each(dq_api_ctx *c, const dq_json *doc, dureq_error *err)
{
    dq_json_ref ids = dq_json_member(doc, 0, "ids");
    int rc = dq_api_body_names(doc, "ids", err);

    if (rc < 0)
        return rc;
    if (ids == DQ_JSON_NONE || dq_json_type_of(doc, ids) != DQ_JSON_ARRAY || doc->nodes[ids].n > COUNTS_IDS_MAX)
        return dq_fail(err, DUREQ_EINVAL, "field 'ids' takes an array of at most %d job ids", COUNTS_IDS_MAX);
    dq_json_begin_object(&c->w);
    for (dq_json_ref v = dq_json_first(doc, ids); rc == 0 && v != DQ_JSON_NONE; v = dq_json_next(doc, ids, v)) {
        DQ_BUF_AUTO id = {0};

        if (dq_json_string(doc, v, &id) < 0 || id.len == 0)
            return dq_fail(err, DUREQ_EINVAL, "field 'ids' takes an array of at most %d job ids", COUNTS_IDS_MAX);
        if (is_counted(c, id.ptr))
            rc = count_audit(c, id.ptr, err);
    }
    dq_json_end_object(&c->w);
    return rc;
}

/* How often operators acted on each job. */
static int get_audit_counts(dq_api_ctx *c, dureq_error *err)
{
    dq_json doc = {0};
    int rc = dq_api_body_object(c, &doc, err);

    if (rc < 0)
        return rc;
    rc = count_each(c, &doc, err);
    dq_json_deinit(&doc);
    return rc;
}

static int get_job_events(dq_api_ctx *c, dureq_error *err)
{
    return dq_client_job_events(c->client, c->vars[0], c->req->hides_payload, &c->res->body, err);
}

/* A transition in the form of an audit entry: nobody's action. */
static void put_transition(dq_api_ctx *c, const dq_json *events, dq_json_ref event)
{
    dq_json_begin_object(&c->w);
    dq_json_key(&c->w, "at");
    dq_json_put_raw(&c->w, dq_json_raw(events, dq_json_member(events, event, "at")));
    dq_json_key(&c->w, "actor");
    dq_json_put_text(&c->w, "");
    dq_json_key(&c->w, "action");
    dq_json_put_raw(&c->w, dq_json_raw(events, dq_json_member(events, event, "type")));
    dq_json_key(&c->w, "target");
    dq_json_put_text(&c->w, c->vars[0]);
    dq_json_key(&c->w, "detail");
    dq_json_put_text(&c->w, "");
    dq_json_end_object(&c->w);
}

/* Times have one length, so that their texts are in their order. */
static bool is_later(const dq_json *a, dq_json_ref entry_a, const dq_json *b, dq_json_ref entry_b)
{
    dureq_str x = dq_json_raw(a, dq_json_member(a, entry_a, "at")), y = dq_json_raw(b, dq_json_member(b, entry_b, "at"));

    return memcmp(x.ptr, y.ptr, DQ_MIN(x.len, y.len)) > 0;
}

/* The last of a list that has no room for all. Its time is that of the entry before it. */
static void put_cut(dq_api_ctx *c, dureq_str at)
{
    dq_json_begin_object(&c->w);
    dq_json_key(&c->w, "at");
    dq_json_put_raw(&c->w, at);
    dq_json_key(&c->w, "actor");
    dq_json_put_text(&c->w, "");
    dq_json_key(&c->w, "action");
    dq_json_put_text(&c->w, "audit.cut");
    dq_json_key(&c->w, "target");
    dq_json_put_text(&c->w, c->vars[0]);
    dq_json_key(&c->w, "detail");
    dq_json_put_text(&c->w, "there are older actions, or may be, that are not shown");
    dq_json_end_object(&c->w);
}

/* Both newest first; at the same time what an action led to stands above it. */
static int merge_audit(dq_api_ctx *c, const dq_json *actions, const dq_json *events, bool is_cut, dureq_error *err)
{
    size_t n = events->nodes[0].n;
    dq_json_ref *refs = dq_arena_alloc(&c->arena, (n + 1) * sizeof *refs);
    dq_json_ref action = dq_json_first(actions, 0), last = DQ_JSON_NONE;

    if (!refs)
        return dq_fail_nomem(err);
    n = 0;
    for (dq_json_ref e = dq_json_first(events, 0); e != DQ_JSON_NONE; e = dq_json_next(events, 0, e))
        refs[n++] = e;
    dq_json_begin_array(&c->w);
    while (n > 0 || action != DQ_JSON_NONE) {
        if (n > 0 && (action == DQ_JSON_NONE || !is_later(actions, action, events, refs[n - 1]))) {
            put_transition(c, events, refs[--n]);
        } else {
            dq_json_put_raw(&c->w, dq_json_raw(actions, action));
            last = action;
            action = dq_json_next(actions, 0, action);
        }
    }
    if (is_cut && last != DQ_JSON_NONE)
        put_cut(c, dq_json_raw(actions, dq_json_member(actions, last, "at")));
    dq_json_end_array(&c->w);
    return 0;
}

/* What operators did to a job, and what became of it. */
static int get_job_audit(dq_api_ctx *c, dureq_error *err)
{
    DQ_BUF_AUTO actions_text = {0};
    DQ_BUF_AUTO events_text = {0};
    dq_json actions = {0}, events = {0};
    dq_audit_query q = {.target = dureq_str_from(c->vars[0]), .limit = JOB_ACTIONS_MAX};
    bool is_cut = false;
    int rc;

    rc = dq_client_job_events(c->client, c->vars[0], c->req->hides_payload, &events_text, err);
    if (rc == 0)
        rc = dq_client_audit(c->client, &q, &is_cut, &actions_text, err);
    if (rc == 0)
        rc = dq_json_parse(dq_buf_str(&actions_text), &actions, err);
    if (rc == 0)
        rc = dq_json_parse(dq_buf_str(&events_text), &events, err);
    if (rc == 0)
        rc = merge_audit(c, &actions, &events, is_cut, err);
    dq_json_deinit(&actions);
    dq_json_deinit(&events);
    return rc;
}

const dq_api_route dq_api_stat_routes[] = {
    {"POST", "/api/audit/counts", get_audit_counts, NULL, .scope = DQ_API_SCOPE_OWN, .role = DQ_API_VIEWER, .body = "Ids",
     .answer = "AuditCounts", .text = "How often operators acted on each of up to 100 jobs."},
    {"GET", "/api/audit", get_audit, "limit target", .scope = DQ_API_SCOPE_TARGET, .answer = "Audit",
     .text = "What operators did, the newest first."},
    {"GET", "/api/health", get_health, NULL, .scope = DQ_API_SCOPE_OPEN, .role = DQ_API_ANYONE, .answer = "Health",
     .text = "Whether Redis answers, and which."},
    {"GET", "/api/jobs/{id}/audit", get_job_audit, NULL, .scope = DQ_API_SCOPE_JOB, .answer = "Audit",
     .text = "What operators did to a job, and what became of it."},
    {"GET", "/api/jobs/{id}/events", get_job_events, NULL, .scope = DQ_API_SCOPE_JOB, .answer = "Events",
     .text = "What happened to a job, as far as the stream of events still has it."},
    {"GET", "/api/redis/info", get_redis, "section", .answer = "Redis", .text = "What Redis says of itself."},
    {"GET", "/api/sync-retries", get_sync_retries, NULL, .answer = "SyncRetries",
     .text = "Completions that this daemon's node holds while Redis is away."},
    {"GET", "/api/stats", get_stats, NULL, .answer = "Stats", .text = "How many jobs are in which state."},
    {"GET", "/api/stats/daily", get_daily, "days", .answer = "Days", .text = "The last days, the oldest first."},
    {"GET", "/api/stats/series", get_series, "by n queue type", .scope = DQ_API_SCOPE_NAMED, .cost = DQ_API_SCANS,
     .answer = "Series", .text = "By minute, hour or day: how many, how fast, how often they failed."},
    {NULL, NULL, NULL, NULL},
};
