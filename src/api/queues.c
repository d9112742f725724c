/* SPDX-License-Identifier: Apache-2.0 */
/* Queues and unique keys. */
#include "api/scope.h"
#include "api/unhandled.h"
#include "model/job_json.h"

#define TYPES_MAX 20 /* named of a queue; `unhandled` counts the jobs of all */

static void write_queue(dq_api_ctx *c, const dureq_queue_info *q, const dq_unhandled_queue *unhandled)
{
    dq_json_begin_object(&c->w);
    dq_queue_info_members_to_json(q, &c->w);
    dq_json_key(&c->w, "unhandled");
    dq_json_put_i64(&c->w, unhandled ? unhandled->n : 0);
    if (unhandled) {
        dq_json_key(&c->w, "unhandled_types");
        dq_json_begin_array(&c->w);
        for (size_t i = 0; i < unhandled->n_types && i < TYPES_MAX; i++)
            if (dq_scope_has_type(c->req->scope, unhandled->types[i]->task_type))
                dq_json_put_str(&c->w, unhandled->types[i]->task_type);
        dq_json_end_array(&c->w);
    }
    dq_json_end_object(&c->w);
}

/* The queues and what waits in them with no node for it; both are the caller's to free. */
static int read_queues(dq_api_ctx *c, dureq_queue_list **ret, dq_unhandled *ret_unhandled, dureq_error *err)
{
    int rc = dureq_client_list_queues(c->client, ret, err);

    if (rc < 0)
        return rc;
    rc = dq_unhandled_find(c, ret_unhandled, err);
    if (rc < 0)
        dureq_queue_list_destroy(*ret);
    return rc;
}

int dq_api_write_queues(dq_api_ctx *c, dureq_error *err)
{
    dureq_queue_list *list;
    dq_unhandled unhandled;
    int rc = read_queues(c, &list, &unhandled, err);

    if (rc < 0)
        return rc;
    dq_json_begin_array(&c->w);
    for (size_t i = 0; i < list->n; i++)
        if (dq_scope_has_queue(c->req->scope, list->items[i].name))
            write_queue(c, &list->items[i], dq_unhandled_of(&unhandled, list->items[i].name));
    dq_json_end_array(&c->w);
    dq_unhandled_deinit(&unhandled);
    dureq_queue_list_destroy(list);
    return 0;
}

static int get_queue(dq_api_ctx *c, dureq_error *err)
{
    dureq_queue_list *list;
    dq_unhandled unhandled;
    int rc = read_queues(c, &list, &unhandled, err);

    if (rc < 0)
        return rc;
    rc = dq_fail(err, DUREQ_ENOTFOUND, "no queue '%s'", c->vars[0]);
    for (size_t i = 0; i < list->n; i++)
        if (dq_str_eq_text(list->items[i].name, c->vars[0])) {
            write_queue(c, &list->items[i], dq_unhandled_of(&unhandled, list->items[i].name));
            rc = 0;
        }
    dq_unhandled_deinit(&unhandled);
    dureq_queue_list_destroy(list);
    return rc;
}

static bool is_null(const dq_json *doc, dq_json_ref v)
{
    return v != DQ_JSON_NONE && dq_json_type_of(doc, v) == DQ_JSON_NULL;
}

/* A member that is a whole number in bounds; absent leaves *ret, null gives 0. */
static int read_i64(const dq_json *doc, const char *name, int64_t min, int64_t max, int64_t *ret, dureq_error *err)
{
    dq_json_ref v = dq_json_member(doc, 0, name);

    if (is_null(doc, v))
        *ret = 0;
    if (v == DQ_JSON_NONE || is_null(doc, v))
        return 0;
    if (dq_json_i64(doc, v, ret) < 0 || *ret < min || *ret > max)
        return dq_fail(err, DUREQ_EINVAL, "field '%s' takes a whole number from %lld to %lld", name, (long long)min,
                       (long long)max);
    return 0;
}

static int read_priorities(const dq_json *doc, dureq_queue_options *o, dureq_error *err)
{
    dq_json_ref v = dq_json_member(doc, 0, "priorities"), low, high;
    int64_t min, max;

    if (is_null(doc, v))
        o->priority_min = o->priority_max = 0;
    if (v == DQ_JSON_NONE || is_null(doc, v))
        return 0;
    low = dq_json_type_of(doc, v) == DQ_JSON_ARRAY && doc->nodes[v].n == 2 ? dq_json_first(doc, v) : DQ_JSON_NONE;
    high = low == DQ_JSON_NONE ? DQ_JSON_NONE : dq_json_next(doc, v, low);
    if (high == DQ_JSON_NONE || dq_json_i64(doc, low, &min) < 0 || dq_json_i64(doc, high, &max) < 0 || min < 1 || max > 10 ||
        min > max)
        return dq_fail(err, DUREQ_EINVAL, "field 'priorities' takes [lowest, highest], each from 1 to 10");
    o->priority_min = (int32_t)min;
    o->priority_max = (int32_t)max;
    return 0;
}

static int read_retention(const dq_json *doc, int64_t *ret, dureq_error *err)
{
    dq_json_ref v = dq_json_member(doc, 0, "retention");
    DQ_BUF_AUTO text = {0};
    int64_t ms = 0;

    if (v == DQ_JSON_NONE)
        return 0;
    if (!is_null(doc, v) && (dq_json_string(doc, v, &text) < 0 || dq_parse_duration_ms(dq_buf_str(&text), &ms) < 0 || ms < 0))
        return dq_fail(err, DUREQ_EINVAL, "field 'retention' takes a duration such as \"72h\"; \"0s\" keeps nothing");
    *ret = is_null(doc, v) ? 0 : ms == 0 ? -1 : ms;
    return 0;
}

static int read_policy(dq_api_ctx *c, const dq_json *doc, dureq_queue_options *o, dureq_retry_policy *policy, dureq_error *err)
{
    dq_json_ref v = dq_json_member(doc, 0, "retry_policy");

    if (v == DQ_JSON_NONE)
        return 0;
    *policy = dureq_retry_policy_init();
    o->retry_policy = is_null(doc, v) ? NULL : policy;
    return is_null(doc, v) ? 0 : dq_retry_policy_from_json(doc, v, &c->arena, policy, err);
}

static int read_queue(dq_api_ctx *c, const dq_json *doc, dureq_queue_options *o, dureq_retry_policy *policy, dureq_error *err)
{
    int64_t weight = o->weight;
    int rc = dq_api_body_names(doc, "weight priorities max_len retention retry_policy", err);

    if (rc == 0)
        rc = read_i64(doc, "weight", 1, 1000, &weight, err);
    if (rc == 0)
        rc = read_i64(doc, "max_len", 0, INT64_C(1) << 40, &o->max_len, err);
    if (rc == 0)
        rc = read_priorities(doc, o, err);
    if (rc == 0)
        rc = read_retention(doc, &o->retention_ms, err);
    o->weight = (int32_t)weight;
    return rc < 0 ? rc : read_policy(c, doc, o, policy, err);
}

/* What the queue is now: what the body does not name stays. */
static void take_present(const dureq_queue_list *list, const char *name, dureq_queue_options *o)
{
    for (size_t i = 0; i < list->n; i++) {
        const dureq_queue_info *q = &list->items[i];

        if (!dq_str_eq_text(q->name, name))
            continue;
        o->weight = q->weight;
        o->priority_min = q->priority_min;
        o->priority_max = q->priority_max;
        o->max_len = q->max_len;
        o->retention_ms = q->retention_ms;
        o->retry_policy = q->retry_policy;
    }
}

static int change_queue(dq_api_ctx *c, const dq_json *doc, dureq_error *err)
{
    dureq_queue_options o = dureq_queue_options_init();
    dureq_retry_policy policy;
    dureq_queue_list *list;
    int rc = dureq_client_list_queues(c->client, &list, err);

    if (rc < 0)
        return rc;
    take_present(list, c->vars[0], &o);
    rc = read_queue(c, doc, &o, &policy, err);
    if (rc == 0)
        rc = dureq_client_set_queue(c->client, c->vars[0], &o, /*only_if_missing=*/false, NULL, err);
    dureq_queue_list_destroy(list);
    return rc;
}

static int put_queue(dq_api_ctx *c, dureq_error *err)
{
    dq_json doc = {0};
    int rc = dq_api_body_object(c, &doc, err);

    if (rc < 0)
        return rc;
    rc = change_queue(c, &doc, err);
    dq_json_deinit(&doc);
    return rc < 0 ? rc : get_queue(c, err);
}

static int pause_queue(dq_api_ctx *c, dureq_error *err)
{
    int rc = dureq_client_pause_queue(c->client, c->vars[0], err);

    return rc < 0 ? rc : dq_api_reply_status(c, "paused", "queue", c->vars[0]);
}

static int resume_queue(dq_api_ctx *c, dureq_error *err)
{
    int rc = dureq_client_resume_queue(c->client, c->vars[0], err);

    return rc < 0 ? rc : dq_api_reply_status(c, "resumed", "queue", c->vars[0]);
}

static int purge_queue(dq_api_ctx *c, dureq_error *err)
{
    const char *type = dq_api_query(c, "type");
    int64_t n;
    int rc = dureq_client_purge_queue_type(c->client, c->vars[0], type, &n, err);

    if (rc < 0)
        return rc;
    dq_json_begin_object(&c->w);
    dq_json_key(&c->w, "affected");
    dq_json_put_i64(&c->w, n);
    dq_json_end_object(&c->w);
    return 0;
}

static int delete_queue(dq_api_ctx *c, dureq_error *err)
{
    bool force = false;
    int64_t n;
    int rc = dq_api_query_bool(c, "force", &force, err);

    if (rc == 0)
        rc = dureq_client_delete_queue(c->client, c->vars[0], force, &n, err);
    if (rc < 0)
        return rc;
    dq_json_begin_object(&c->w);
    dq_json_key(&c->w, "status");
    dq_json_put_text(&c->w, "deleted");
    dq_json_key(&c->w, "queue");
    dq_json_put_text(&c->w, c->vars[0]);
    dq_json_key(&c->w, "affected");
    dq_json_put_i64(&c->w, n);
    dq_json_end_object(&c->w);
    return 0;
}

static int get_key(dq_api_ctx *c, dureq_error *err)
{
    dureq_job_id id;
    int64_t ttl_ms;
    int rc = dureq_client_get_unique_key(c->client, dureq_str_from(c->vars[0]), &id, &ttl_ms, err);

    if (rc < 0 && rc != DUREQ_ENOTFOUND)
        return rc;
    dq_json_begin_object(&c->w);
    dq_json_key(&c->w, "exists");
    dq_json_put_bool(&c->w, rc == 0);
    dq_json_key(&c->w, "unique_key");
    dq_json_put_text(&c->w, c->vars[0]);
    dq_json_key(&c->w, "job_id");
    dq_json_put_text(&c->w, rc == 0 ? id.text : "");
    if (rc == 0) {
        dq_json_key(&c->w, "ttl_seconds");
        dq_json_put_i64(&c->w, ttl_ms < 0 ? -1 : (ttl_ms + 999) / 1000);
        dq_json_key(&c->w, "ttl");
        dq_json_put_i64(&c->w, ttl_ms < 0 ? -1 : (ttl_ms + 999) / 1000);
    }
    dq_json_end_object(&c->w);
    return 0;
}

static int delete_key(dq_api_ctx *c, dureq_error *err)
{
    int rc = dureq_client_delete_unique_key(c->client, dureq_str_from(c->vars[0]), err);

    if (rc < 0 && rc != DUREQ_ENOTFOUND)
        return rc;
    dq_json_begin_object(&c->w);
    dq_json_key(&c->w, "status");
    dq_json_put_text(&c->w, "deleted");
    dq_json_key(&c->w, "unique_key");
    dq_json_put_text(&c->w, c->vars[0]);
    dq_json_key(&c->w, "existed");
    dq_json_put_bool(&c->w, rc == 0);
    dq_json_end_object(&c->w);
    return 0;
}

const dq_api_route dq_api_queue_routes[] = {
    {"GET", "/api/queues", dq_api_write_queues, NULL, .scope = DQ_API_SCOPE_OWN, .answer = "Queues",
     .text = "The queues and what waits in them."},
    {"GET", "/api/queues/{name}", get_queue, NULL, .scope = DQ_API_SCOPE_QUEUE, .answer = "Queue", .text = "One queue."},
    {"PUT", "/api/queues/{name}", put_queue, NULL, .body = "QueueIn", .answer = "Queue",
     .text = "Makes a queue or changes it; what is not named stays, null is the default."},
    {"POST", "/api/queues/{name}/pause", pause_queue, NULL, .scope = DQ_API_SCOPE_QUEUE, .answer = "QueueDone",
     .text = "Starts none of its jobs."},
    {"DELETE", "/api/queues/{name}", delete_queue, "force", .answer = "QueueDone",
     .text = "Deletes an empty queue; with force one with jobs, and them."},
    {"POST", "/api/queues/{name}/purge", purge_queue, "type", .scope = DQ_API_SCOPE_QUEUE, .cost = DQ_API_SCANS,
     .answer = "Affected", .text = "Deletes the jobs that wait in it."},
    {"POST", "/api/queues/{name}/resume", resume_queue, NULL, .scope = DQ_API_SCOPE_QUEUE, .answer = "QueueDone",
     .text = "Starts its jobs again."},
    {"GET", "/api/unique-keys/{key}", get_key, NULL, .scope = DQ_API_SCOPE_KEY, .answer = "UniqueKey",
     .text = "Which job holds a unique key."},
    {"DELETE", "/api/unique-keys/{key}", delete_key, NULL, .scope = DQ_API_SCOPE_KEY, .answer = "UniqueKeyDone",
     .text = "Lets go of a unique key."},
    {NULL, NULL, NULL, NULL},
};
