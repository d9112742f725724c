/* SPDX-License-Identifier: Apache-2.0 */
/* Schedules: made, changed, read, operated, looked at before they are made. */
#include <dureq/schedule.h>

#include <stdio.h>

#include "api/scope.h"
#include "base/clock.h"
#include "client/schedule.h"
#include "model/job_json.h"
#include "model/schedule.h"

/* ---- what a body says ---- */

/* A job spec with a schedule. */
typedef struct wanted {
    dureq_schedule schedule;
    dureq_job_spec job;
    dureq_job_options options;
    bool has_schedule, has_job;
} wanted;

static int read_members(dq_api_ctx *c, const dq_json *doc, dq_spec_reading *s, wanted *ret, dureq_error *err)
{
    for (dq_json_ref k = dq_json_first(doc, 0); k != DQ_JSON_NONE; k = dq_json_next(doc, 0, k)) {
        dureq_str name = dq_json_raw(doc, k);
        int rc;

        if (dq_str_eq_text(name, "\"schedule\"")) {
            rc = dq_schedule_from_json(doc, k + 1, &c->arena, &ret->schedule, err);
            ret->has_schedule = true;
        } else {
            rc = dq_spec_read_member(doc, k, &c->arena, s, err);
            ret->has_job = true;
            if (rc == DUREQ_ENOTFOUND)
                rc = dq_fail(err, DUREQ_EINVAL, "unknown field '%.*s': a schedule takes 'schedule' and the fields of a job spec",
                             (int)DQ_MIN(name.len - 2, (size_t)60), name.ptr + 1);
        }
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int read_wanted(dq_api_ctx *c, const dq_json *doc, wanted *ret, dureq_error *err)
{
    dq_spec_reading s = dq_spec_reading_of();
    int rc = read_members(c, doc, &s, ret, err);

    if (rc == 0 && ret->has_job) {
        ret->options = dureq_job_options_init();
        rc = dq_spec_read_end(doc, &c->arena, &s, &ret->job, &ret->options, err);
    }
    return rc;
}

/* Also what the caller may make. */
static int read_allowed(dq_api_ctx *c, const dq_json *doc, wanted *ret, dureq_error *err)
{
    int rc = read_wanted(c, doc, ret, err);

    if (rc < 0 || !ret->has_job)
        return rc;
    ret->job.options = &ret->options;
    return dq_api_check_spec(c, &ret->job, err);
}

static int read_whole(dq_api_ctx *c, const dq_json *doc, wanted *ret, dureq_error *err)
{
    int rc = read_allowed(c, doc, ret, err);

    if (rc == 0 && !ret->has_schedule)
        rc = dq_fail(err, DUREQ_EINVAL, "field 'schedule' is missing");
    if (rc == 0 && !ret->has_job)
        rc = dq_fail(err, DUREQ_EINVAL, "field 'task_type' is missing");
    return rc;
}

/* ---- answers ---- */

static void put_time(dq_api_ctx *c, const char *name, int64_t at_ms)
{
    if (!at_ms)
        return;
    dq_json_key(&c->w, name);
    dq_json_put_rfc3339(&c->w, at_ms);
}

static void put_text(dq_api_ctx *c, const char *name, const char *text)
{
    if (!*text)
        return;
    dq_json_key(&c->w, name);
    dq_json_put_text(&c->w, text);
}

static void put_i64(dq_api_ctx *c, const char *name, int64_t n)
{
    dq_json_key(&c->w, name);
    dq_json_put_i64(&c->w, n);
}

static void put_record(dq_api_ctx *c, const dureq_schedule_record *r)
{
    dq_json_begin_object(&c->w);
    put_text(c, "what", r->what);
    put_text(c, "reason", r->reason);
    put_time(c, "at", r->at_ms);
    put_time(c, "scheduled_at", r->first_ms);
    if (r->last_ms != r->first_ms)
        put_time(c, "until", r->last_ms);
    if (r->n != 1) {
        put_i64(c, "count", r->n ? r->n : DUREQ_PREVIEW_MAX);
        dq_json_key(&c->w, "count_exact");
        dq_json_put_bool(&c->w, r->n != 0);
    }
    put_text(c, "job_id", r->job_id.text);
    dq_json_end_object(&c->w);
}

static void put_info(dq_api_ctx *c, const dureq_schedule_info *s, bool with_records)
{
    dq_json_begin_object(&c->w);
    put_text(c, "id", s->id.text);
    put_text(c, "job_id", s->id.text);
    if (s->key.len) {
        dq_json_key(&c->w, "key");
        dq_json_put_str(&c->w, s->key);
    }
    put_text(c, "status", s->status);
    put_text(c, "reason", s->reason);
    put_time(c, "next_run_at", s->next_at_ms);
    dq_json_key(&c->w, "schedule");
    dq_schedule_to_json(&s->schedule, &c->w);
    dq_json_key(&c->w, "task_type");
    dq_json_put_str(&c->w, s->job.task_type);
    dq_json_key(&c->w, "queue");
    dq_json_put_str(&c->w, s->job.queue);
    put_i64(c, "dispatched", s->n_dispatched);
    put_i64(c, "skipped", s->n_skipped);
    put_i64(c, "active", s->n_active);
    put_i64(c, "buffered", s->n_buffered);
    put_time(c, "created_at", s->created_at_ms);
    dq_json_key(&c->w, "job");
    dq_api_write_job(c, &s->job);
    if (with_records) {
        dq_json_key(&c->w, "records");
        dq_json_begin_array(&c->w);
        for (size_t i = 0; i < s->n_records; i++)
            put_record(c, &s->records[i]);
        dq_json_end_array(&c->w);
    }
    dq_json_end_object(&c->w);
}

static int answer_made(dq_api_ctx *c, const dureq_job_id *id, const char *status)
{
    dq_json_begin_object(&c->w);
    put_text(c, "id", id->text);
    put_text(c, "status", status);
    dq_json_end_object(&c->w);
    return 0;
}

/* ---- make and change ---- */

/* Idempotency-Key is the request id of a schedule that is one job. One that comes round has a key of its own for that. */
static int take_request(const dq_api_ctx *c, wanted *w, dureq_error *err)
{
    const char *key = c->req->idempotency_key;

    if (!key || !*key)
        return 0;
    if (dq_schedule_is_recurring(w->schedule.type))
        return dq_fail(
            err, DUREQ_EINVAL,
            "Idempotency-Key is not for a schedule: PUT /api/schedules?key= makes one that is there already no second time");
    if (w->options.request_id.len == 0)
        w->options.request_id = dureq_str_from(key);
    return 0;
}

int dq_api_create_schedule(dq_api_ctx *c, const dq_json *doc, dureq_error *err)
{
    dureq_job_id id = {0};
    wanted w = {0};
    int rc = read_whole(c, doc, &w, err);

    if (rc == 0)
        rc = take_request(c, &w, err);
    if (rc < 0)
        return rc;
    rc = dureq_client_create_schedule(c->client, &w.schedule, &w.job, &id, err);
    if (rc < 0)
        return rc;
    c->res->status = 201;
    (void)snprintf(c->res->location, sizeof c->res->location, "/api/%s/%s",
                   dq_schedule_is_recurring(w.schedule.type) ? "schedules" : "jobs", id.text);
    return answer_made(c, &id, w.schedule.type == DUREQ_SCHEDULE_IMMEDIATE ? "pending" : "scheduled");
}

/* Runs fn with the body as a document. */
static int with_body(dq_api_ctx *c, int (*fn)(dq_api_ctx *c, const dq_json *doc, dureq_error *err), dureq_error *err)
{
    dq_json doc = {0};
    int rc = dq_api_body_object(c, &doc, err);

    if (rc < 0)
        return rc;
    rc = fn(c, &doc, err);
    dq_json_deinit(&doc);
    return rc;
}

static int create_schedule(dq_api_ctx *c, dureq_error *err)
{
    return with_body(c, dq_api_create_schedule, err);
}

/* Who is limited may not take another's schedule by its key. */
static int check_key(dq_api_ctx *c, const char *key, dureq_error *err)
{
    dureq_schedule_list *list;
    int rc;

    if (!dq_api_is_limited(c))
        return 0;
    rc = dureq_client_get_schedule_by_key(c->client, dureq_str_from(key), &list, err);
    if (rc < 0)
        return rc == DUREQ_ENOTFOUND ? 0 : rc;
    if (!dq_scope_fits(c->req->scope, list->items[0].job.queue, list->items[0].job.task_type))
        rc = dq_fail(err, DUREQ_EPERM,
                     "the schedule of key '%.64s' is outside the queues or task types that this token is limited to", key);
    dureq_schedule_list_destroy(list);
    return rc;
}

static int put_of_body(dq_api_ctx *c, const dq_json *doc, dureq_error *err)
{
    static const char *const words[] = {"created", "changed", "same"};
    const char *key = dq_api_query(c, "key");
    dureq_put_result what = DUREQ_PUT_SAME;
    dureq_job_id id = {0};
    wanted w = {0};
    int rc = key ? read_whole(c, doc, &w, err) : dq_fail(err, DUREQ_EINVAL, "parameter 'key' is missing");

    if (rc == 0)
        rc = check_key(c, key, err);
    if (rc < 0)
        return rc;
    rc = dureq_client_put_schedule(c->client, dureq_str_from(key), &w.schedule, &w.job, &id, &what, err);
    if (rc < 0)
        return rc;
    c->res->status = what == DUREQ_PUT_CREATED ? 201 : 200;
    if (what == DUREQ_PUT_CREATED)
        (void)snprintf(c->res->location, sizeof c->res->location, "/api/schedules/%s", id.text);
    return answer_made(c, &id, words[what]);
}

static int put_schedule(dq_api_ctx *c, dureq_error *err)
{
    return with_body(c, put_of_body, err);
}

static int edit_of_body(dq_api_ctx *c, const dq_json *doc, dureq_error *err)
{
    wanted w = {0};
    int rc = read_allowed(c, doc, &w, err);

    if (rc < 0)
        return rc;
    rc = dureq_client_edit_schedule(c->client, c->vars[0], w.has_schedule ? &w.schedule : NULL, w.has_job ? &w.job : NULL, err);
    return rc < 0 ? rc : dq_api_reply_status(c, "changed", "id", c->vars[0]);
}

static int edit_schedule(dq_api_ctx *c, dureq_error *err)
{
    return with_body(c, edit_of_body, err);
}

/* ---- read ---- */

static int get_schedule(dq_api_ctx *c, dureq_error *err)
{
    dureq_schedule_list *list;
    int rc = dureq_client_get_schedule(c->client, c->vars[0], &list, err);

    if (rc < 0)
        return rc;
    put_info(c, &list->items[0], true);
    dureq_schedule_list_destroy(list);
    return 0;
}

/* Who is limited sees its own, and so of the total at least as many. */
static void put_list(dq_api_ctx *c, const dureq_schedule_list *list)
{
    int64_t n_shown = 0;

    dq_json_begin_object(&c->w);
    dq_json_key(&c->w, "data");
    dq_json_begin_array(&c->w);
    for (size_t i = 0; i < list->n; i++) {
        if (!dq_scope_fits(c->req->scope, list->items[i].job.queue, list->items[i].job.task_type))
            continue;
        put_info(c, &list->items[i], false);
        n_shown++;
    }
    dq_json_end_array(&c->w);
    put_i64(c, "total", dq_api_is_limited(c) ? n_shown : list->total);
    if (dq_api_is_limited(c)) {
        dq_json_key(&c->w, "total_exact");
        dq_json_put_bool(&c->w, false);
    }
    if (list->next_cursor.len) {
        dq_json_key(&c->w, "next_cursor");
        dq_json_put_str(&c->w, list->next_cursor);
    }
    dq_json_end_object(&c->w);
}

/* With ?key= the one of that key, or none. */
static int list_schedules(dq_api_ctx *c, dureq_error *err)
{
    const char *key = dq_api_query(c, "key");
    dureq_schedule_list none = {0}, *list = NULL;
    int64_t limit = 10;
    int rc = dq_api_query_i64(c, "limit", 1, 1000, &limit, err);

    if (rc < 0)
        return rc;
    if (key) {
        rc = dureq_client_get_schedule_by_key(c->client, dureq_str_from(key), &list, err);
        if (rc == 0)
            list->total = 1;
        else if (rc == DUREQ_ENOTFOUND)
            rc = 0;
    } else {
        rc = dureq_client_list_schedules(c->client, (int32_t)limit, dq_api_query(c, "cursor"), &list, err);
    }
    if (rc == 0)
        put_list(c, list ? list : &none);
    dureq_schedule_list_destroy(list);
    return rc;
}

/* ---- operate ---- */

static int pause_schedule(dq_api_ctx *c, dureq_error *err)
{
    int rc = dureq_client_pause_schedule(c->client, c->vars[0], err);

    return rc < 0 ? rc : dq_api_reply_status(c, "paused", "id", c->vars[0]);
}

static int resume_schedule(dq_api_ctx *c, dureq_error *err)
{
    int rc = dureq_client_resume_schedule(c->client, c->vars[0], err);

    return rc < 0 ? rc : dq_api_reply_status(c, "resumed", "id", c->vars[0]);
}

static int delete_schedule(dq_api_ctx *c, dureq_error *err)
{
    int rc = dureq_client_delete_schedule(c->client, c->vars[0], err);

    return rc < 0 ? rc : dq_api_reply_status(c, "deleted", "id", c->vars[0]);
}

/* *ret: NULL when the query names none. */
static int read_policy(dq_api_ctx *c, dureq_overlap *room, const dureq_overlap **ret, dureq_error *err)
{
    const char *text = dq_api_query(c, "policy");

    *ret = text ? room : NULL;
    if (text && dureq_overlap_parse(dureq_str_from(text), room) < 0)
        return dq_fail(err, DUREQ_EINVAL, "parameter 'policy' takes ALLOW_ALL, SKIP, BUFFER_ONE, BUFFER_ALL or REPLACE");
    return 0;
}

static int trigger_schedule(dq_api_ctx *c, dureq_error *err)
{
    const dureq_overlap *policy;
    dureq_job_id job = {0};
    dureq_overlap room;
    int rc = read_policy(c, &room, &policy, err);

    if (rc == 0)
        rc = dureq_client_trigger_schedule(c->client, c->vars[0], policy, &job, err);
    if (rc < 0)
        return rc;
    dq_json_begin_object(&c->w);
    put_text(c, "status", job.text[0] ? "dispatched" : "not_dispatched");
    put_text(c, "id", c->vars[0]);
    put_text(c, "job_id", job.text);
    dq_json_end_object(&c->w);
    return 0;
}

static int backfill_schedule(dq_api_ctx *c, dureq_error *err)
{
    const dureq_overlap *policy;
    int64_t from_ms = 0, to_ms = 0, n = 0;
    dureq_overlap room;
    int rc = read_policy(c, &room, &policy, err);

    if (rc == 0)
        rc = dq_api_query_time(c, "from", &from_ms, err);
    if (rc == 0)
        rc = dq_api_query_time(c, "to", &to_ms, err);
    if (rc == 0 && (!from_ms || !to_ms))
        rc = dq_fail(err, DUREQ_EINVAL, "parameters 'from' and 'to' take RFC 3339 times");
    if (rc == 0)
        rc = dureq_client_backfill_schedule(c->client, c->vars[0], from_ms, to_ms, policy, &n, err);
    if (rc < 0)
        return rc;
    dq_json_begin_object(&c->w);
    put_text(c, "id", c->vars[0]);
    put_i64(c, "dispatched", n);
    dq_json_end_object(&c->w);
    return 0;
}

/* ---- look before ---- */

static int read_range(dq_api_ctx *c, int64_t *ret_from_ms, int64_t *ret_n, dureq_error *err)
{
    int rc = dq_api_query_time(c, "from", ret_from_ms, err);

    return rc < 0 ? rc : dq_api_query_i64(c, "n", 1, 1000, ret_n, err);
}

/* Times in the schedule's zone, and what it means in words. */
static int put_preview(dq_api_ctx *c, const dureq_schedule *s, int64_t created_ms, int64_t from_ms, int64_t n, dureq_error *err)
{
    DQ_BUF_AUTO text = {0};
    int64_t *at = dq_calloc((size_t)n, sizeof *at);
    dq_calendar cal;
    size_t n_at;
    int rc = at ? dq_schedule_open(&cal, s, created_ms, NULL, err) : dq_fail_nomem(err);

    if (rc < 0) {
        dq_free(at);
        return rc;
    }
    n_at = dq_schedule_list(&cal, from_ms, (size_t)n, at);
    dq_calendar_explain(&cal, from_ms / 1000, &text);
    dq_json_begin_object(&c->w);
    dq_json_key(&c->w, "data");
    dq_json_begin_array(&c->w);
    for (size_t i = 0; i < n_at; i++) {
        char one[DQ_CALENDAR_TEXT_MAX];

        dq_calendar_format(cal.zone, at[i], one);
        dq_json_put_text(&c->w, one);
    }
    dq_json_end_array(&c->w);
    dq_json_key(&c->w, "text");
    dq_json_put_str(&c->w, dq_buf_str(&text));
    dq_json_end_object(&c->w);
    dq_calendar_deinit(&cal);
    dq_free(at);
    return dq_buf_failed(&text) ? dq_fail_nomem(err) : 0;
}

static int preview_schedule(dq_api_ctx *c, dureq_error *err)
{
    int64_t from_ms = dq_wall_ms(), n = 10;
    dureq_schedule_list *list;
    int rc = read_range(c, &from_ms, &n, err);

    if (rc == 0)
        rc = dureq_client_get_schedule(c->client, c->vars[0], &list, err);
    if (rc < 0)
        return rc;
    rc = put_preview(c, &list->items[0].schedule, list->items[0].created_at_ms, from_ms, n, err);
    dureq_schedule_list_destroy(list);
    return rc;
}

static int preview_of_body(dq_api_ctx *c, const dq_json *doc, dureq_error *err)
{
    int64_t from_ms = dq_wall_ms(), n = 10;
    dureq_schedule s;
    int rc = read_range(c, &from_ms, &n, err);

    if (rc == 0)
        rc = dq_schedule_from_json(doc, 0, &c->arena, &s, err);
    return rc < 0 ? rc : put_preview(c, &s, from_ms, from_ms, n, err);
}

static int preview_definition(dq_api_ctx *c, dureq_error *err)
{
    return with_body(c, preview_of_body, err);
}

const dq_api_route dq_api_schedule_routes[] = {
    {"GET", "/api/schedules", list_schedules, "limit cursor key", .scope = DQ_API_SCOPE_OWN, .answer = "SchedulePage",
     .text = "Schedules, those that come round next first."},
    {"POST", "/api/schedules", create_schedule, NULL, .scope = DQ_API_SCOPE_OWN, .creates = true, .body = "ScheduledSpec",
     .answer = "ScheduleMade", .text = "Makes a schedule of a job spec."},
    {"PUT", "/api/schedules", put_schedule, "key", .scope = DQ_API_SCOPE_OWN, .creates = true, .body = "ScheduledSpec",
     .answer = "ScheduleMade", .text = "Has the schedule of that key as the body says; the same again does nothing."},
    {"POST", "/api/schedules/preview", preview_definition, "from n", .scope = DQ_API_SCOPE_OPEN, .role = DQ_API_VIEWER,
     .body = "Schedule", .answer = "Preview", .text = "The next times of a definition, and what it means."},
    {"GET", "/api/schedules/{id}", get_schedule, NULL, .scope = DQ_API_SCOPE_SCHEDULE, .answer = "ScheduleInfo",
     .text = "One schedule, with the last hundred things that it did and left out."},
    {"PUT", "/api/schedules/{id}", edit_schedule, NULL, .scope = DQ_API_SCOPE_SCHEDULE, .body = "ScheduleEdit",
     .answer = "ScheduleDone",
     .text =
         "Changes a schedule: its times (schedule), its job (task_type and all else), or both; the part that is not given stays. The payload alone: PUT /api/jobs/{id}/payload."},
    {"DELETE", "/api/schedules/{id}", delete_schedule, NULL, .scope = DQ_API_SCOPE_SCHEDULE, .answer = "ScheduleDone",
     .text = "Forgets a schedule."},
    {"POST", "/api/schedules/{id}/backfill", backfill_schedule, "from to policy", .scope = DQ_API_SCOPE_SCHEDULE,
     .cost = DQ_API_SCANS, .answer = "Backfilled", .text = "Starts the jobs of a time that is past."},
    {"POST", "/api/schedules/{id}/pause", pause_schedule, NULL, .scope = DQ_API_SCOPE_SCHEDULE, .answer = "ScheduleDone",
     .text = "Lets nothing of it start."},
    {"GET", "/api/schedules/{id}/preview", preview_schedule, "from n", .scope = DQ_API_SCOPE_SCHEDULE, .answer = "Preview",
     .text = "Its next times."},
    {"POST", "/api/schedules/{id}/resume", resume_schedule, NULL, .scope = DQ_API_SCOPE_SCHEDULE, .answer = "ScheduleDone",
     .text = "Lets it go on."},
    {"POST", "/api/schedules/{id}/trigger", trigger_schedule, "policy", .scope = DQ_API_SCOPE_SCHEDULE, .answer = "Triggered",
     .text = "Starts one of its jobs now."},
    {NULL, NULL, NULL, NULL},
};
