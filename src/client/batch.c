/* SPDX-License-Identifier: Apache-2.0 */
/* Batches read back, waited for, cancelled, retried, listed, and their items. */

#include "client/batch.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/random.h"
#include "client/client_internal.h"
#include "store/batch_calls.h"

#define LIST_DEFAULT  10
#define ITEMS_DEFAULT 100
#define LIST_MAX      1000

static void destroy_owned(dq_arena *arena, void *what)
{
    dq_arena_deinit(arena);
    dq_free(arena);
    dq_free(what);
}

void dureq_batch_destroy(dureq_batch *batch)
{
    if (batch)
        destroy_owned(batch->owner, batch);
}

void dureq_batch_list_destroy(dureq_batch_list *list)
{
    if (list)
        destroy_owned(list->owner, list);
}

void dureq_batch_items_destroy(dureq_batch_items *items)
{
    if (items)
        destroy_owned(items->owner, items);
}

int dq_batch_parse_id(dureq_client *c, const char *text, dq_id *ret, unsigned char packed[DQ_ID_BYTES], dureq_error *err)
{
    int rc = dq_parse_job_id(text, c, ret, packed, err);

    if (rc == DUREQ_EINVAL)
        return dq_fail(err, rc, "id '%.40s' is not a batch id: it takes 20 characters 0-9a-v", text ? text : "");
    if (rc == DUREQ_ENOTFOUND || (rc == 0 && ret->lane != 0))
        return dq_fail(err, DUREQ_ENOTFOUND, "no batch %.40s", text);
    return rc;
}

/* ---- one ---- */

static bool has_ended(dureq_batch_status status)
{
    return status == DUREQ_BATCH_COMPLETED || status == DUREQ_BATCH_FAILED || status == DUREQ_BATCH_CANCELLED;
}

static int take_head(dureq_str bytes, dureq_batch *b, dureq_error *err)
{
    dq_batch_head h;
    int rc = dq_batch_head_unpack(bytes, &h);

    if (rc < 0)
        return dq_fail(err, rc, "what Redis holds of batch %s cannot be read", b->id.text);
    b->status = h.status;
    b->failing = h.is_failing;
    b->fails_fast = h.fails_fast;
    b->open = h.is_open;
    b->timed_out = h.is_timed_out;
    b->attempt = h.attempt;
    b->max_attempts = h.max_attempts;
    b->chunk_size = h.window;
    b->n_items = h.n_items;
    b->n_running = h.n_running;
    b->n_completed = h.n_completed;
    b->n_skipped = h.n_skipped;
    b->n_failed = h.n_failed;
    b->n_cancelled = h.n_cancelled;
    b->n_pending = h.n_items - DQ_MIN(h.n_items, h.n_running + h.n_completed + h.n_failed + h.n_cancelled);
    b->once = h.once;
    b->created_at_ms = h.started_at_ms;
    b->finished_at_ms = h.finished_at_ms;
    b->deadline_ms = h.deadline_ms;
    if (has_ended(b->status)) { /* what never began is cancelled with it */
        b->n_cancelled += b->n_pending;
        b->n_pending = 0;
    }
    return 0;
}

static int take_about(dq_reply about, dureq_batch *b)
{
    dq_arena *a = b->owner;
    dureq_str result;
    dq_id job;

    if (dq_reply_len(about) < 7)
        return DUREQ_EPROTO;
    b->name = dq_arena_dup_str(a, dq_reply_str(dq_reply_at(about, 0)));
    b->definition = dq_arena_dup_str(a, dq_reply_str(dq_reply_at(about, 1)));
    b->reason = dq_arena_dup_str(a, dq_reply_str(dq_reply_at(about, 2)));
    b->once_error = dq_arena_dup_str(a, dq_reply_str(dq_reply_at(about, 3)));
    result = dq_reply_str(dq_reply_at(about, 4));
    if (result.len) /* the letter before it says that it is JSON */
        b->once_result = dq_arena_dup_str(a, dureq_str_of(result.ptr + 1, result.len - 1));
    if (dq_id_unpack(dq_reply_str(dq_reply_at(about, 5)), &job))
        dq_id_to_text(&job, &b->once_job);
    return 0;
}

static void *create_owned(size_t size, dq_arena **ret_arena)
{
    void *made = dq_calloc(1, size);

    *ret_arena = made ? dq_calloc(1, sizeof(dq_arena)) : NULL;
    if (made && !*ret_arena) {
        dq_free(made);
        made = NULL;
    }
    return made;
}

static int from_reply(dq_reply r, dureq_batch *b, dureq_error *err)
{
    int rc;

    if (dq_reply_is_nil(r))
        return dq_fail(err, DUREQ_ENOTFOUND, "no batch %s", b->id.text);
    if (dq_reply_type(r) != DQ_RESP_ARRAY || dq_reply_len(r) < 2)
        return dq_fail(err, DUREQ_EPROTO, "the answer of batch_get cannot be read");
    rc = take_head(dq_reply_str(dq_reply_at(r, 0)), b, err);
    if (rc == 0 && take_about(dq_reply_at(r, 1), b) < 0)
        rc = dq_fail(err, DUREQ_EPROTO, "the answer of batch_get cannot be read");
    return rc;
}

static int get(dureq_client *c, const char *id_text, dureq_batch **ret, dureq_error *err)
{
    unsigned char packed[DQ_ID_BYTES];
    dq_owned_reply reply;
    dq_buf call = {0};
    dq_arena *arena;
    dq_id id;
    int rc;

    rc = dq_batch_parse_id(c, id_text, &id, packed, err);
    if (rc < 0)
        return rc;
    dq_call_batch_get(&call, dq_client_keys(c), id.shard, dureq_str_of(packed, sizeof packed));
    rc = dq_client_call(c, id.shard, DQ_CALL_REPEAT, &call, &reply, err);
    if (rc < 0)
        return rc;
    dureq_batch *b = create_owned(sizeof *b, &arena);
    if (b) {
        b->owner = arena;
        dq_id_to_text(&id, &b->id);
        rc = from_reply(reply.reply, b, err);
    } else {
        rc = dq_fail_nomem(err);
    }
    dq_owned_reply_deinit(&reply);
    if (rc < 0)
        dureq_batch_destroy(b);
    else
        *ret = b;
    return rc;
}

int dureq_client_get_batch(dureq_client *c, const char *id, dureq_batch **ret, dureq_error *err)
{
    int rc;

    if (!c || !id || !ret)
        return dq_fail(err, DUREQ_EINVAL, "client, id and ret must be given");
    dq_client_enter(c);
    rc = get(c, id, ret, err);
    dq_client_leave(c);
    return rc;
}

int dureq_client_wait_batch(dureq_client *c, const char *id_text, int64_t timeout_ms, dureq_batch **ret, dureq_error *err)
{
    unsigned char packed[DQ_ID_BYTES];
    dq_id id;
    int rc;

    if (!c || !id_text || !ret)
        return dq_fail(err, DUREQ_EINVAL, "client, id and ret must be given");
    rc = dq_batch_parse_id(c, id_text, &id, packed, err);
    if (rc < 0)
        return rc;
    dq_client_enter(c);
    rc = dq_client_wait_end(c, &id, timeout_ms, err);
    if (rc == 0)
        rc = get(c, id_text, ret, err);
    dq_client_leave(c);
    return rc;
}

/* ---- cancel, retry ---- */

/* What a script answered by one number; flags: of dq_client_call. */
static int call_simply(dureq_client *c, const dq_id *id, unsigned flags, dq_buf *call, int64_t *ret, dureq_error *err)
{
    dq_owned_reply reply;
    dureq_job_id text;
    int rc = dq_client_call(c, id->shard, flags, call, &reply, err);

    if (rc < 0)
        return rc;
    *ret = dq_reply_int(reply.reply);
    dq_owned_reply_deinit(&reply);
    dq_id_to_text(id, &text);
    return *ret == DUREQ_ENOTFOUND ? dq_fail(err, DUREQ_ENOTFOUND, "no batch %s", text.text) : 0;
}

static int cancel(dureq_client *c, const dq_id *id, dureq_str packed, dureq_str reason, const char *id_text, dureq_error *err)
{
    unsigned char token[16];
    int64_t answer = 1;
    int rc = dq_random_bytes(token, sizeof token, err);

    if (rc < 0)
        return rc;
    for (bool first = true; answer == 1; first = false) {
        dq_buf call = {0};

        dq_call_batch_cancel(&call, dq_client_keys(c), id->shard, dq_client_actor(c), packed, reason, first,
                             dureq_str_of(token, sizeof token));
        rc = call_simply(c, id, DQ_CALL_REPEAT, &call, &answer, err);
        if (rc < 0)
            return rc;
    }
    return answer < 0 ? dq_fail(err, DUREQ_ECONFLICT, "batch %s has ended already", id_text) : 0;
}

int dureq_client_cancel_batch(dureq_client *c, const char *id_text, const char *reason, dureq_error *err)
{
    unsigned char packed[DQ_ID_BYTES];
    dq_id id;
    int rc;

    if (!c || !id_text)
        return dq_fail(err, DUREQ_EINVAL, "client and id must be given");
    if (reason && strlen(reason) > DQ_ERROR_TEXT_MAX)
        return dq_fail(err, DUREQ_ETOOLARGE, "reason takes at most %d bytes", DQ_ERROR_TEXT_MAX);
    rc = dq_batch_parse_id(c, id_text, &id, packed, err);
    if (rc < 0)
        return rc;
    dq_client_enter(c);
    rc = cancel(c, &id, dureq_str_of(packed, sizeof packed), dureq_str_from(reason ? reason : ""), id_text, err);
    dq_client_leave(c);
    return rc;
}

static int retry(dureq_client *c, const dq_id *id, dureq_str packed, bool all, const char *id_text, dureq_error *err)
{
    dq_buf call = {0};
    int64_t answer;
    int rc;

    dq_call_batch_retry(&call, dq_client_keys(c), id->shard, dq_client_actor(c), packed, all);
    rc = call_simply(c, id, 0, &call, &answer, err);
    if (rc < 0)
        return rc;
    return answer < 0 ? dq_fail(err, DUREQ_ECONFLICT, "batch %s has not failed and was not cancelled", id_text) : 0;
}

int dureq_client_retry_batch(dureq_client *c, const char *id_text, bool all, dureq_error *err)
{
    unsigned char packed[DQ_ID_BYTES];
    dq_id id;
    int rc;

    if (!c || !id_text)
        return dq_fail(err, DUREQ_EINVAL, "client and id must be given");
    rc = dq_batch_parse_id(c, id_text, &id, packed, err);
    if (rc < 0)
        return rc;
    dq_client_enter(c);
    rc = retry(c, &id, dureq_str_of(packed, sizeof packed), all, id_text, err);
    dq_client_leave(c);
    return rc;
}

/* ---- list ---- */

typedef struct lister {
    dureq_client *client;
    dureq_batch_list *list;
    size_t limit, cap;
    dureq_str before;
    dq_buf status;
    char bound[DQ_ID_BYTES]; /* what is older than this was not looked at by every shard */
    bool is_bounded;
} lister;

static int add_listed(lister *l, dq_reply item, dureq_error *err)
{
    dureq_batch *b = &l->list->items[l->list->n];
    dq_id id;

    if (l->list->n == l->cap)
        return 0;
    if (dq_reply_len(item) < 3 || !dq_id_unpack(dq_reply_str(dq_reply_at(item, 0)), &id))
        return dq_fail(err, DUREQ_EPROTO, "the answer of batch_list cannot be read");
    *b = (dureq_batch){0};
    dq_id_to_text(&id, &b->id);
    b->name = dq_arena_dup_str(l->list->owner, dq_reply_str(dq_reply_at(item, 2)));
    l->list->n++;
    return take_head(dq_reply_str(dq_reply_at(item, 1)), b, err);
}

static int list_shard(lister *l, unsigned shard, dureq_error *err)
{
    dq_owned_reply reply;
    dq_buf call = {0};
    int rc;

    dq_call_batch_list(&call, dq_client_keys(l->client), shard, l->before, (int)l->limit, dq_buf_str(&l->status));
    rc = dq_client_call(l->client, shard, DQ_CALL_REPEAT, &call, &reply, err);
    if (rc < 0)
        return rc;
    dureq_str last = dq_reply_str(dq_reply_at(reply.reply, 0));
    if (last.len == DQ_ID_BYTES && (!l->is_bounded || memcmp(last.ptr, l->bound, DQ_ID_BYTES) > 0)) {
        memcpy(l->bound, last.ptr, DQ_ID_BYTES);
        l->is_bounded = true;
    }
    for (size_t i = 1; i < dq_reply_len(reply.reply) && rc == 0; i++)
        rc = add_listed(l, dq_reply_at(reply.reply, i), err);
    dq_owned_reply_deinit(&reply);
    return rc;
}

static int newest_first(const void *a, const void *b)
{
    return strcmp(((const dureq_batch *)b)->id.text, ((const dureq_batch *)a)->id.text);
}

/* What every shard was looked at for, at most a page; the rest comes again. */
static void cut(lister *l)
{
    dureq_batch_list *list = l->list;
    dureq_job_id bound;
    dq_id id;

    qsort(list->items, list->n, sizeof *list->items, newest_first);
    if (l->is_bounded && dq_id_unpack(dureq_str_of(l->bound, DQ_ID_BYTES), &id)) {
        dq_id_to_text(&id, &bound);
        while (list->n && strcmp(list->items[list->n - 1].id.text, bound.text) < 0)
            list->n--;
        (void)snprintf(list->next_cursor, sizeof list->next_cursor, "%s", bound.text);
    }
    if (list->n > l->limit) {
        list->n = l->limit;
        (void)snprintf(list->next_cursor, sizeof list->next_cursor, "%s", list->items[list->n - 1].id.text);
    }
}

static int list_all(lister *l, dureq_error *err)
{
    unsigned n_shards = dq_client_keys(l->client)->n_shards;
    int rc = 0;

    l->cap = l->limit * n_shards;
    l->list->items = dq_arena_alloc(l->list->owner, (l->cap + 1) * sizeof *l->list->items);
    if (!l->list->items)
        return dq_fail_nomem(err);
    for (unsigned i = 0; i < n_shards && rc == 0; i++)
        rc = list_shard(l, i, err);
    if (rc == 0)
        cut(l);
    return rc;
}

static int read_filter(lister *l, const dureq_batch_filter *f, unsigned char packed[DQ_ID_BYTES], dureq_error *err)
{
    dq_id id;

    if (f->limit < 0 || f->limit > LIST_MAX)
        return dq_fail(err, DUREQ_EINVAL, "limit takes 1 to %d, not %d", LIST_MAX, (int)f->limit);
    l->limit = f->limit ? (size_t)f->limit : LIST_DEFAULT;
    for (size_t i = 0; i < f->n_statuses; i++)
        dq_buf_append_fmt(&l->status, "%s%d", i ? " " : "", (int)f->statuses[i]);
    if (f->cursor && *f->cursor) {
        if (dq_id_parse(dureq_str_from(f->cursor), &id) < 0)
            return dq_fail(err, DUREQ_EINVAL, "cursor '%.40s' is none", f->cursor);
        dq_id_pack(&id, packed);
        l->before = dureq_str_of(packed, DQ_ID_BYTES);
    }
    return dq_buf_finish(&l->status, err);
}

int dureq_client_list_batches(dureq_client *c, const dureq_batch_filter *filter, dureq_batch_list **ret, dureq_error *err)
{
    dureq_batch_filter f = dureq_batch_filter_init();
    unsigned char packed[DQ_ID_BYTES];
    lister l = {.client = c};
    dq_arena *arena;
    int rc;

    if (!c || !ret)
        return dq_fail(err, DUREQ_EINVAL, "client and ret must be given");
    if (filter) {
        rc = dq_options_adopt(&f, sizeof f, filter, "dureq_batch_filter", err);
        if (rc < 0)
            return rc;
    }
    l.list = create_owned(sizeof *l.list, &arena);
    if (!l.list)
        return dq_fail_nomem(err);
    l.list->owner = arena;
    dq_client_enter(c);
    rc = read_filter(&l, &f, packed, err);
    if (rc == 0)
        rc = list_all(&l, err);
    dq_client_leave(c);
    dq_buf_deinit(&l.status);
    if (rc < 0)
        dureq_batch_list_destroy(l.list);
    else
        *ret = l.list;
    return rc;
}

/* ---- items ---- */

static int take_item(dq_reply r, dureq_batch_item_info *item, dq_arena *a)
{
    dq_reply f[5];
    dureq_str kept;
    dq_id job;

    if (dq_reply_type(r) != DQ_RESP_ARRAY || dq_reply_len(r) < DQ_ARRAY_LEN(f))
        return DUREQ_EPROTO;
    f[0] = dq_reply_first(r);
    for (size_t i = 1; i < DQ_ARRAY_LEN(f); i++)
        f[i] = dq_reply_next(f[i - 1]);
    *item = (dureq_batch_item_info){.number = (uint32_t)dq_reply_int(f[0]), .state = (dureq_batch_item_state)dq_reply_int(f[1])};
    item->id = dq_arena_dup_str(a, dq_reply_str(f[2]));
    if (dq_id_unpack(dq_reply_str(f[3]), &job))
        dq_id_to_text(&job, &item->job_id);
    kept = dq_reply_str(f[4]);
    if (!kept.len)
        return 0;
    dureq_str text = dq_arena_dup_str(a, dureq_str_of(kept.ptr + 1, kept.len - 1));
    if (kept.ptr[0] == 'e') {
        item->error = text;
    } else {
        item->result = text;
        item->result_is_base64 = kept.ptr[0] == 'b';
    }
    return 0;
}

static int take_items(dq_reply r, dureq_batch_items *ret, dureq_error *err)
{
    size_t n = dq_reply_type(r) == DQ_RESP_ARRAY ? dq_reply_len(r) : 0;
    dq_batch_head head;
    dq_reply at;
    int rc;

    if (n < 2)
        return dq_fail(err, DUREQ_EPROTO, "the answer of batch_items cannot be read");
    at = dq_reply_first(r);
    rc = dq_batch_head_unpack(dq_reply_str(at), &head);
    if (rc < 0)
        return dq_fail(err, rc, "what Redis holds of the batch cannot be read");
    ret->n_items = head.n_items;
    at = dq_reply_next(at);
    ret->has_more = dq_reply_type(at) == DQ_RESP_INTEGER;
    ret->next = ret->has_more ? (uint32_t)dq_reply_int(at) : 0;
    ret->items = dq_arena_alloc(ret->owner, n * sizeof *ret->items);
    if (!ret->items)
        return dq_fail_nomem(err);
    for (size_t i = 2; i < n; i++) {
        at = dq_reply_next(at);
        rc = take_item(at, &ret->items[ret->n++], ret->owner);
        if (rc < 0)
            return dq_fail(err, rc, "the answer of batch_items cannot be read");
    }
    return 0;
}

static int read_items_filter(const dureq_batch_items_filter *f, dq_batch_page *page, char states[8], dureq_error *err)
{
    if (f->limit < 0 || f->limit > LIST_MAX)
        return dq_fail(err, DUREQ_EINVAL, "limit takes 1 to %d, not %d", LIST_MAX, (int)f->limit);
    if (f->n_states > 8)
        return dq_fail(err, DUREQ_EINVAL, "states takes at most 8");
    for (size_t i = 0; i < f->n_states; i++)
        states[i] = (char)f->states[i];
    *page = (dq_batch_page){.first = f->first,
                            .limit = f->limit ? f->limit : ITEMS_DEFAULT,
                            .states = dureq_str_of(states, f->n_states),
                            .item = dureq_str_from(f->item_id ? f->item_id : "")};
    return 0;
}

static int list_items(dureq_client *c, const char *id_text, const dq_batch_page *page, dureq_batch_items *ret, dureq_error *err)
{
    unsigned char packed[DQ_ID_BYTES];
    dq_owned_reply reply;
    dq_buf call = {0};
    dq_id id;
    int rc;

    rc = dq_batch_parse_id(c, id_text, &id, packed, err);
    if (rc < 0)
        return rc;
    dq_call_batch_items(&call, dq_client_keys(c), id.shard, dureq_str_of(packed, sizeof packed), page);
    rc = dq_client_call(c, id.shard, DQ_CALL_REPEAT | DQ_CALL_LARGE, &call, &reply, err);
    if (rc < 0)
        return rc;
    if (dq_reply_is_nil(reply.reply))
        rc = dq_fail(err, DUREQ_ENOTFOUND, "no batch %s", id_text);
    else
        rc = take_items(reply.reply, ret, err);
    if (rc == 0 && page->item.len && !ret->n)
        rc = dq_fail(err, DUREQ_ENOTFOUND, "batch %s has no item '%.*s'", id_text, (int)DQ_MIN(page->item.len, (size_t)128),
                     page->item.ptr);
    dq_owned_reply_deinit(&reply);
    return rc;
}

int dureq_client_list_batch_items(dureq_client *c, const char *id, const dureq_batch_items_filter *filter,
                                  dureq_batch_items **ret, dureq_error *err)
{
    dureq_batch_items_filter f = dureq_batch_items_filter_init();
    dureq_batch_items *items;
    dq_batch_page page;
    dq_arena *arena;
    char states[8];
    int rc;

    if (!c || !id || !ret)
        return dq_fail(err, DUREQ_EINVAL, "client, id and ret must be given");
    if (filter) {
        rc = dq_options_adopt(&f, sizeof f, filter, "dureq_batch_items_filter", err);
        if (rc < 0)
            return rc;
    }
    rc = read_items_filter(&f, &page, states, err);
    if (rc < 0)
        return rc;
    items = create_owned(sizeof *items, &arena);
    if (!items)
        return dq_fail_nomem(err);
    items->owner = arena;
    dq_client_enter(c);
    rc = list_items(c, id, &page, items, err);
    dq_client_leave(c);
    if (rc < 0)
        dureq_batch_items_destroy(items);
    else
        *ret = items;
    return rc;
}
