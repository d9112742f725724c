/* SPDX-License-Identifier: Apache-2.0 */
/* Batches. The names are the Go version's; items and results are in pages of their own. */
#include "api/request.h"

#include <stdio.h>

#include "client/batch.h"

#define ITEMS_AT_ONCE 1000

/* ---- writing ---- */

static void put_time(dq_json_writer *w, const char *name, int64_t at_ms)
{
    if (at_ms)
        dq_json_set_rfc3339(w, name, at_ms);
}

static void put_head(dq_json_writer *w, const dureq_batch *b)
{
    dq_json_set_text(w, "id", b->id.text);
    dq_json_set_str(w, "name", b->name);
    dq_json_set_text(w, "status", dureq_batch_status_to_str(b->status));
    if (b->failing)
        dq_json_set_bool(w, "failing", true);
    if (b->open)
        dq_json_set_bool(w, "open", true);
    dq_json_set_i64(w, "total_items", b->n_items);
    dq_json_set_i64(w, "pending_items", b->n_pending);
    dq_json_set_i64(w, "running_items", b->n_running);
    dq_json_set_i64(w, "completed_items", b->n_completed);
    dq_json_set_i64(w, "skipped_items", b->n_skipped);
    dq_json_set_i64(w, "failed_items", b->n_failed);
    dq_json_set_i64(w, "cancelled_items", b->n_cancelled);
    dq_json_set_i64(w, "attempt", b->attempt);
    dq_json_set_i64(w, "max_attempts", b->max_attempts);
    dq_json_set_i64(w, "chunk_size", b->chunk_size);
    dq_json_set_text(w, "failure_policy", b->fails_fast ? "fail_fast" : "continue_on_error");
    put_time(w, "deadline", b->deadline_ms);
    put_time(w, "created_at", b->created_at_ms);
    put_time(w, "completed_at", b->finished_at_ms);
}

static void put_once(dq_json_writer *w, const dureq_batch *b)
{
    static const char *const words[] = {"", "pending", "running", "completed", "failed"};

    if (b->once < 1 || (size_t)b->once >= DQ_ARRAY_LEN(words))
        return;
    dq_json_key(w, "onetime_state");
    dq_json_begin_object(w);
    dq_json_set_text(w, "status", words[b->once]);
    if (*b->once_job.text)
        dq_json_set_text(w, "job_id", b->once_job.text);
    if (b->once_result.len) {
        dq_json_key(w, "result_data");
        dq_json_put_checked(w, b->once_result);
    }
    if (b->once_error.len)
        dq_json_set_str(w, "error", b->once_error);
    dq_json_end_object(w);
}

static void put_whole(dq_json_writer *w, const dureq_batch *b)
{
    dq_json_begin_object(w);
    put_head(w, b);
    if (b->reason.len)
        dq_json_set_str(w, "reason", b->reason);
    put_once(w, b);
    if (b->definition.len) {
        dq_json_key(w, "definition");
        dq_json_put_checked(w, b->definition);
    }
    dq_json_end_object(w);
}

/* ---- a batch ---- */

static int list(dq_api_ctx *c, dureq_error *err)
{
    dureq_batch_filter f = dureq_batch_filter_init();
    const char *status = dq_api_query(c, "status");
    dureq_batch_list *found;
    dureq_batch_status one;
    int64_t limit = 0;
    int rc = dq_api_query_i64(c, "limit", 1, 1000, &limit, err);

    if (rc == 0 && status && dureq_batch_status_parse(dureq_str_from(status), &one) < 0)
        rc =
            dq_fail(err, DUREQ_EINVAL,
                    "parameter 'status' takes running, completed, failed, cancelling, cancelled or loading, not '%.40s'", status);
    if (rc < 0)
        return rc;
    f.limit = (int32_t)limit;
    f.cursor = dq_api_query(c, "cursor");
    f.statuses = status ? &one : NULL;
    f.n_statuses = status ? 1 : 0;
    rc = dureq_client_list_batches(c->client, &f, &found, err);
    if (rc < 0)
        return rc;
    dq_json_begin_object(&c->w);
    dq_json_key(&c->w, "data");
    dq_json_begin_array(&c->w);
    for (size_t i = 0; i < found->n; i++) {
        dq_json_begin_object(&c->w);
        put_head(&c->w, &found->items[i]);
        dq_json_end_object(&c->w);
    }
    dq_json_end_array(&c->w);
    if (*found->next_cursor)
        dq_json_set_text(&c->w, "next_cursor", found->next_cursor);
    dq_json_end_object(&c->w);
    dureq_batch_list_destroy(found);
    return 0;
}

static int get(dq_api_ctx *c, dureq_error *err)
{
    const char *wait = dq_api_query(c, "wait");
    int64_t wait_ms = 0;
    dureq_batch *b;
    int rc;

    if (wait && (dq_parse_duration_ms(dureq_str_from(wait), &wait_ms) < 0 || wait_ms < 0))
        return dq_fail(err, DUREQ_EINVAL, "parameter 'wait' takes a duration such as 30s");
    if (wait && c->req->waited && c->req->waited->err.code < 0) {
        *err = c->req->waited->err;
        return err->code;
    }
    if (wait && !c->req->waited)
        rc = dureq_client_wait_batch(c->client, c->vars[0], wait_ms, &b, err);
    else
        rc = dureq_client_get_batch(c->client, c->vars[0], &b, err);
    if (rc < 0)
        return rc;
    put_whole(&c->w, b);
    dureq_batch_destroy(b);
    return 0;
}

static int start(dq_api_ctx *c, dureq_error *err)
{
    const char *seal = dq_api_query(c, "seal");
    bool seals = true;
    dureq_job_id id;
    dq_json doc;
    int rc = seal ? dq_api_query_bool(c, "seal", &seals, err) : 0;

    if (rc == 0)
        rc = dq_json_parse_frame(c->req->body, &doc, err);
    if (rc < 0)
        return rc == DUREQ_EPARSE ? DUREQ_EINVAL : rc;
    rc = dq_client_start_batch(c->client, &doc, 0, seals, &id, err);
    dq_json_deinit(&doc);
    if (rc < 0)
        return rc;
    c->res->status = 201;
    (void)snprintf(c->res->location, sizeof c->res->location, "/api/batches/%s", id.text);
    return dq_api_reply_status(c, seals ? "running" : "loading", "batch_id", id.text);
}

static int seal(dq_api_ctx *c, dureq_error *err)
{
    int rc = dureq_client_seal_batch(c->client, c->vars[0], err);

    return rc < 0 ? rc : dq_api_reply_status(c, "sealed", "batch_id", c->vars[0]);
}

static int cancel(dq_api_ctx *c, dureq_error *err)
{
    DQ_BUF_AUTO reason = {0};
    dq_json doc;
    dq_json_ref v;
    int rc = dq_api_body_object(c, &doc, err);

    if (rc < 0)
        return rc;
    rc = dq_api_body_names(&doc, "reason", err);
    v = dq_json_member(&doc, 0, "reason");
    if (rc == 0 && v != DQ_JSON_NONE && dq_json_type_of(&doc, v) != DQ_JSON_NULL && dq_json_string(&doc, v, &reason) < 0)
        rc = dq_fail(err, DUREQ_EINVAL, "field 'reason' takes a string");
    dq_json_deinit(&doc);
    if (rc == 0)
        rc = dq_buf_finish(&reason, err);
    if (rc == 0)
        rc = dureq_client_cancel_batch(c->client, c->vars[0], reason.ptr, err);
    return rc < 0 ? rc : dq_api_reply_status(c, "cancelled", "batch_id", c->vars[0]);
}

static int retry(dq_api_ctx *c, dureq_error *err)
{
    dq_json_type type = DQ_JSON_NULL;
    dq_json doc;
    dq_json_ref v;
    int rc = dq_api_body_object(c, &doc, err);

    if (rc < 0)
        return rc;
    rc = dq_api_body_names(&doc, "retry_failed_only", err);
    v = dq_json_member(&doc, 0, "retry_failed_only");
    if (v != DQ_JSON_NONE)
        type = dq_json_type_of(&doc, v);
    dq_json_deinit(&doc);
    if (rc == 0 && type != DQ_JSON_NULL && type != DQ_JSON_TRUE && type != DQ_JSON_FALSE)
        rc = dq_fail(err, DUREQ_EINVAL, "field 'retry_failed_only' takes true or false");
    if (rc == 0)
        rc = dureq_client_retry_batch(c->client, c->vars[0], /*all=*/type != DQ_JSON_TRUE, err);
    return rc < 0 ? rc : dq_api_reply_status(c, "retried", "batch_id", c->vars[0]);
}

/* ---- items ---- */

typedef struct adding {
    dq_api_ctx *ctx;
    dureq_batch_item items[ITEMS_AT_ONCE];
    dq_json docs[ITEMS_AT_ONCE]; /* of lines: views of items are into them */
    size_t n, n_docs;
    int64_t at;
    int64_t number; /* of the item that is read, in the body */
    uint32_t total;
    dq_arena arena;
} adding;

static int flush(adding *a, dureq_error *err)
{
    int rc = dureq_client_add_batch_items(a->ctx->client, a->ctx->vars[0], a->at, a->items, a->n, &a->total, err);

    if (rc == 0 && a->at >= 0)
        a->at += (int64_t)a->n;
    a->n = 0;
    while (a->n_docs)
        dq_json_deinit(&a->docs[--a->n_docs]);
    dq_arena_reset(&a->arena);
    return rc;
}

static int take(adding *a, const dq_json *doc, dq_json_ref v, dureq_error *err)
{
    int rc = dq_batch_item_from_json(doc, v, &a->arena, &a->items[a->n], err);

    if (rc < 0) {
        dureq_error why = *err;

        return dq_fail(err, rc, "item %lld: %.200s", (long long)a->number, why.msg);
    }
    a->number++;
    a->n++;
    return 0;
}

static int take_lines(adding *a, dureq_error *err)
{
    dureq_str rest = a->ctx->req->body;
    int rc = 0;

    while (rest.len && rc == 0) {
        dureq_str line = dq_str_trim(dq_str_cut(&rest, '\n'));

        if (!line.len)
            continue;
        rc = dq_json_parse_frame(line, &a->docs[a->n_docs], err);
        if (rc < 0) {
            dureq_error why = *err;

            return dq_fail(err, rc == DUREQ_ENOMEM ? rc : DUREQ_EINVAL, "item %lld: %.200s", (long long)a->number, why.msg);
        }
        rc = take(a, &a->docs[a->n_docs++], 0, err);
        if (rc == 0 && a->n == ITEMS_AT_ONCE)
            rc = flush(a, err);
    }
    return rc;
}

static int take_array(adding *a, dureq_error *err)
{
    dq_json doc;
    int rc = dq_json_parse_frame(a->ctx->req->body, &doc, err);

    if (rc < 0)
        return rc == DUREQ_EPARSE ? DUREQ_EINVAL : rc;
    if (dq_json_type_of(&doc, 0) != DQ_JSON_ARRAY)
        rc = dq_fail(err, DUREQ_EINVAL, "the body must be an array of items, or one a line (NDJSON)");
    for (dq_json_ref v = rc == 0 ? dq_json_first(&doc, 0) : DQ_JSON_NONE; v != DQ_JSON_NONE && rc == 0;
         v = dq_json_next(&doc, 0, v)) {
        rc = take(a, &doc, v, err);
        if (rc == 0 && a->n == ITEMS_AT_ONCE)
            rc = flush(a, err);
    }
    if (rc == 0 && a->n)
        rc = flush(a, err);
    dq_json_deinit(&doc);
    return rc;
}

static int add(dq_api_ctx *c, dureq_error *err)
{
    bool lines = c->req->content_type && strstr(c->req->content_type, "ndjson");
    adding *a = dq_calloc(1, sizeof *a);
    int rc;

    if (!a)
        return dq_fail_nomem(err);
    a->ctx = c;
    a->at = -1;
    rc = dq_api_query_i64(c, "at", 0, INT64_C(100000000), &a->at, err);
    if (rc == 0 && lines)
        rc = take_lines(a, err);
    else if (rc == 0)
        rc = take_array(a, err);
    if (rc == 0 && (a->n || !a->number)) /* without items: how many there are */
        rc = flush(a, err);
    if (rc == 0) {
        dq_json_begin_object(&c->w);
        dq_json_set_text(&c->w, "batch_id", c->vars[0]);
        dq_json_set_i64(&c->w, "total_items", a->total);
        dq_json_end_object(&c->w);
    }
    while (a->n_docs)
        dq_json_deinit(&a->docs[--a->n_docs]);
    dq_arena_deinit(&a->arena);
    dq_free(a);
    return rc;
}

static void put_item(dq_json_writer *w, const dureq_batch_item_info *i)
{
    dq_json_begin_object(w);
    dq_json_set_i64(w, "number", i->number);
    dq_json_set_str(w, "item_id", i->id);
    dq_json_set_text(w, "status", dureq_batch_item_state_to_str(i->state));
    if (*i->job_id.text)
        dq_json_set_text(w, "job_id", i->job_id.text);
    if (i->error.len)
        dq_json_set_str(w, "error", i->error);
    dq_json_end_object(w);
}

static void put_result(dq_json_writer *w, const char *batch_id, const dureq_batch_item_info *i)
{
    dq_json_begin_object(w);
    dq_json_set_text(w, "batch_id", batch_id);
    dq_json_set_i64(w, "number", i->number);
    dq_json_set_str(w, "item_id", i->id);
    dq_json_set_bool(w, "success", i->state == DUREQ_BATCH_ITEM_COMPLETED || i->state == DUREQ_BATCH_ITEM_SKIPPED);
    if (i->state == DUREQ_BATCH_ITEM_SKIPPED)
        dq_json_set_bool(w, "skipped", true);
    if (i->result_is_base64) {
        dq_json_set_str(w, "output_base64", i->result);
    } else if (i->result.len) {
        dq_json_key(w, "output");
        dq_json_put_checked(w, i->result);
    }
    if (i->error.len)
        dq_json_set_str(w, "error", i->error);
    dq_json_end_object(w);
}

static int read_page(dq_api_ctx *c, dureq_batch_items_filter *f, dureq_batch_item_state *one, dureq_error *err)
{
    int64_t offset = 0, limit = 100;
    const char *status = dq_api_query(c, "status");
    int rc = dq_api_query_i64(c, "offset", 0, INT64_C(100000000), &offset, err);

    if (rc == 0)
        rc = dq_api_query_i64(c, "limit", 1, 1000, &limit, err);
    if (rc == 0 && status && dureq_batch_item_state_parse(dureq_str_from(status), one) < 0)
        rc = dq_fail(err, DUREQ_EINVAL,
                     "parameter 'status' takes pending, running, completed, skipped, failed or cancelled, not '%.40s'", status);
    f->first = (uint32_t)offset;
    f->limit = (int32_t)limit;
    if (status) {
        f->states = one;
        f->n_states = 1;
    }
    return rc;
}

static int list_page(dq_api_ctx *c, const dureq_batch_items_filter *f, bool results, dureq_error *err)
{
    dureq_batch_items *found;
    int rc = dureq_client_list_batch_items(c->client, c->vars[0], f, &found, err);

    if (rc < 0)
        return rc;
    dq_json_begin_object(&c->w);
    dq_json_key(&c->w, "data");
    dq_json_begin_array(&c->w);
    for (size_t i = 0; i < found->n; i++)
        if (results)
            put_result(&c->w, c->vars[0], &found->items[i]);
        else
            put_item(&c->w, &found->items[i]);
    dq_json_end_array(&c->w);
    dq_json_set_i64(&c->w, "total", found->n_items);
    if (found->has_more)
        dq_json_set_i64(&c->w, "next_offset", found->next);
    dq_json_end_object(&c->w);
    dureq_batch_items_destroy(found);
    return 0;
}

static int list_items(dq_api_ctx *c, dureq_error *err)
{
    dureq_batch_items_filter f = dureq_batch_items_filter_init();
    dureq_batch_item_state one;
    int rc = read_page(c, &f, &one, err);

    return rc < 0 ? rc : list_page(c, &f, /*results=*/false, err);
}

static int list_results(dq_api_ctx *c, dureq_error *err)
{
    static const dureq_batch_item_state ended[] = {DUREQ_BATCH_ITEM_COMPLETED, DUREQ_BATCH_ITEM_SKIPPED, DUREQ_BATCH_ITEM_FAILED,
                                                   DUREQ_BATCH_ITEM_CANCELLED};
    dureq_batch_items_filter f = dureq_batch_items_filter_init();
    dureq_batch_item_state one;
    int rc = read_page(c, &f, &one, err);

    if (!f.states) {
        f.states = ended;
        f.n_states = DQ_ARRAY_LEN(ended);
    }
    return rc < 0 ? rc : list_page(c, &f, /*results=*/true, err);
}

static int get_result(dq_api_ctx *c, dureq_error *err)
{
    dureq_batch_items_filter f = dureq_batch_items_filter_init();
    dureq_batch_items *found;
    int rc;

    f.item_id = c->vars[1];
    rc = dureq_client_list_batch_items(c->client, c->vars[0], &f, &found, err);
    if (rc < 0)
        return rc;
    if (found->items[0].state < DUREQ_BATCH_ITEM_COMPLETED)
        rc = dq_fail(err, DUREQ_ENOTFOUND, "item '%.128s' has not ended", c->vars[1]);
    else
        put_result(&c->w, c->vars[0], &found->items[0]);
    dureq_batch_items_destroy(found);
    return rc;
}

static int get_item(dq_api_ctx *c, dureq_error *err)
{
    dureq_batch_items_filter f = dureq_batch_items_filter_init();
    dureq_batch_items *found;
    int rc;

    f.item_id = c->vars[1];
    rc = dureq_client_list_batch_items(c->client, c->vars[0], &f, &found, err);
    if (rc < 0)
        return rc;
    put_item(&c->w, &found->items[0]);
    dureq_batch_items_destroy(found);
    return 0;
}

const dq_api_route dq_api_batch_routes[] = {
    {"GET", "/api/batches", list, "status limit cursor", .answer = "BatchPage", .text = "A page of batches, the newest first."},
    {"POST", "/api/batches", start, "seal", .creates = true, .body = "BatchIn", .answer = "BatchDone",
     .text = "Starts a batch; with seal=false its items may follow."},
    {"GET", "/api/batches/{id}", get, "wait", .waits = true, .shows_payload = true, .answer = "Batch",
     .text = "One batch, without its items; with wait it waits for its end."},
    {"POST", "/api/batches/{id}/cancel", cancel, NULL, .body = "BatchCancel", .answer = "BatchDone",
     .text = "Has no item of it start any more."},
    {"GET", "/api/batches/{id}/items", list_items, "offset limit status", .shows_payload = true, .answer = "BatchItemPage",
     .text = "A page of its items."},
    {"POST", "/api/batches/{id}/items", add, "at", .body = "BatchItemsIn", .answer = "BatchAdded",
     .text = "Adds items, an array of them or one a line; at is the number of the first, which makes a repeat add nothing."},
    {"GET", "/api/batches/{id}/items/{item}", get_item, NULL, .shows_payload = true, .answer = "BatchItem",
     .text = "One of its items."},
    {"GET", "/api/batches/{id}/results", list_results, "offset limit status", .shows_payload = true, .answer = "BatchResultPage",
     .text = "A page of the results of items that have ended."},
    {"GET", "/api/batches/{id}/results/{item}", get_result, NULL, .shows_payload = true, .answer = "BatchItemResult",
     .text = "The result of one item."},
    {"POST", "/api/batches/{id}/retry", retry, NULL, .body = "BatchRetry", .answer = "BatchDone",
     .text = "Runs one that failed or was cancelled again, all items or those that did not complete."},
    {"POST", "/api/batches/{id}/seal", seal, NULL, .answer = "BatchDone", .text = "No more items come."},
    {NULL, NULL, NULL, NULL},
};
