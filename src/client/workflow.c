/* SPDX-License-Identifier: Apache-2.0 */
/* Workflows read back, waited for, cancelled, retried, suspended, listed. */

#include <dureq/workflow.h>

#include <stdio.h>
#include <stdlib.h>

#include "base/random.h"
#include "client/client_internal.h"
#include "client/require.h"
#include "flow/image.h"
#include "model/flow_state.h"
#include "store/flow_calls.h"

#define LIST_DEFAULT 10
#define LIST_MAX     1000

void dureq_workflow_destroy(dureq_workflow *w)
{
    if (!w)
        return;
    dq_arena *arena = w->owner;
    dq_arena_deinit(arena);
    dq_free(arena);
    dq_free(w);
}

void dureq_workflow_list_destroy(dureq_workflow_list *list)
{
    if (!list)
        return;
    dq_arena *arena = list->owner;
    dq_arena_deinit(arena);
    dq_free(arena);
    dq_free(list);
}

/* ---- one ---- */

static int take_head(dureq_str bytes, dureq_workflow *w, dureq_error *err)
{
    dq_flow_head h;
    int rc = dq_flow_head_unpack(bytes, &h);

    if (rc < 0)
        return dq_fail(err, rc, "what Redis holds of workflow %s cannot be read", w->id.text);
    w->status = h.status;
    w->failing = h.is_failing;
    w->created_at_ms = h.started_at_ms;
    w->finished_at_ms = h.finished_at_ms;
    w->attempt = h.attempt;
    w->max_attempts = h.max_attempts;
    w->n_tasks = h.n_tasks;
    w->n_active = h.n_active;
    w->n_ended = h.n_ended;
    w->n_failed = h.n_failed;
    w->n_skipped = h.n_skipped;
    w->n_unreached = h.n_unreached;
    w->max_running = h.max_running;
    return 0;
}

typedef struct page { /* flow_get's answer */
    dureq_str table, cells, names, edges;
    dq_reply lanes, errors, states;
} page;

static int take_lane(dureq_workflow_task *t, const page *p, uint32_t lane, dq_arena *a)
{
    dq_reply_items items = dq_reply_items_of(p->lanes);
    dq_reply no, name;

    while (dq_reply_items_next(&items, &no) && dq_reply_items_next(&items, &name)) {
        dureq_str rest = dq_reply_str(name), version;

        if ((uint32_t)dq_reply_int(no) == lane) {
            rest = dq_arena_dup_str(a, rest);
            (void)dq_lane_name_split(rest, &t->queue, &t->task_type, &version);
            return 0;
        }
    }
    return 0;
}

static bool take_name(dureq_workflow_task *t, dureq_str names, uint32_t at, dq_arena *a)
{
    size_t len;

    if (at >= names.len)
        return false;
    len = (unsigned char)names.ptr[at];
    if (at + 1 + len > names.len)
        return false;
    t->name = dq_arena_dup_str(a, dureq_str_of(names.ptr + at + 1, len));
    return t->name.ptr != NULL;
}

static bool take_edges(dureq_workflow_task *t, dureq_str edges, uint32_t from, uint32_t n, dq_arena *a)
{
    uint32_t *to;

    if (n == 0 || edges.len == 0)
        return true;
    if (edges.len < (from + (size_t)n) * DQ_IMAGE_EDGE)
        return false;
    to = dq_arena_alloc(a, n * sizeof *to);
    if (!to)
        return false;
    for (uint32_t i = 0; i < n; i++) {
        dq_reader r = dq_reader_of(dureq_str_of(edges.ptr + (from + (size_t)i) * DQ_IMAGE_EDGE, DQ_IMAGE_EDGE));

        to[i] = (uint32_t)dq_read_be(&r, 3);
    }
    t->dependents = to;
    t->n_dependents = n;
    return true;
}

static bool take_task(const page *p, uint32_t i, const dq_image_task *first, dureq_workflow_task *t, dq_arena *a)
{
    dq_image_task row;
    dq_flow_cell cell;

    if (!dq_image_task_read(p->table, i, &row) || !dq_flow_cell_unpack(p->cells, i, &cell) || row.name_at < first->name_at ||
        row.outs_at < first->outs_at)
        return false;
    t->state = cell.state;
    t->job_state = -1;
    if (cell.job.ms)
        dq_id_to_text(&cell.job, &t->job_id);
    t->released_at_ms = cell.released_at_ms;
    t->ended_at_ms = cell.ended_at_ms;
    t->allow_failure = row.flags & DQ_IMAGE_ALLOW_FAILURE;
    t->n_depends_on = row.n_deps;
    return take_name(t, p->names, row.name_at - first->name_at, a) && take_lane(t, p, row.lane, a) == 0 &&
           take_edges(t, p->edges, row.outs_at - first->outs_at, row.n_outs, a);
}

/* (task, value) pairs, as flow_get has them. */
static void take_pairs(dureq_workflow *w, dq_reply list, void (*take)(dureq_workflow_task *t, dq_reply value, dq_arena *a))
{
    dq_reply_items items = dq_reply_items_of(list);
    dq_reply no, value;

    while (dq_reply_items_next(&items, &no) && dq_reply_items_next(&items, &value)) {
        int64_t task = dq_reply_int(no) - w->first;

        if (task >= 0 && (size_t)task < w->n)
            take(&w->tasks[task], value, w->owner);
    }
}

static void take_error(dureq_workflow_task *t, dq_reply value, dq_arena *a)
{
    t->error = dq_arena_dup_str(a, dq_reply_str(value));
}

static void take_state(dureq_workflow_task *t, dq_reply value, dq_arena *a)
{
    (void)a;
    t->job_state = (int32_t)dq_reply_int(value);
}

static int take_tasks(dureq_workflow *w, const page *p, size_t n, dureq_error *err)
{
    dq_image_task first;
    bool has_outs = false;

    if (n == 0)
        return 0;
    w->tasks = dq_arena_alloc(w->owner, n * sizeof *w->tasks);
    if (!w->tasks)
        return dq_fail_nomem(err);
    if (!dq_image_task_read(p->table, 0, &first))
        return dq_fail(err, DUREQ_EPROTO, "the definition of workflow %s cannot be read", w->id.text);
    for (uint32_t i = 0; i < n; i++) {
        dq_image_task row;

        has_outs = has_outs || (dq_image_task_read(p->table, i, &row) && row.n_outs);
        if (!take_task(p, i, &first, &w->tasks[i], w->owner))
            return dq_fail(err, DUREQ_EPROTO, "the tasks of workflow %s cannot be read", w->id.text);
    }
    w->n = n;
    w->no_dependents = has_outs && p->edges.len == 0;
    take_pairs(w, p->errors, take_error);
    take_pairs(w, p->states, take_state);
    return 0;
}

static int from_reply(dq_reply r, dureq_workflow *w, dureq_error *err)
{
    dq_reply f[10];
    int rc;

    if (dq_reply_type(r) != DQ_RESP_ARRAY || dq_reply_len(r) < DQ_ARRAY_LEN(f))
        return dq_fail(err, DUREQ_EPROTO, "the answer of flow_get cannot be read");
    f[0] = dq_reply_first(r);
    for (size_t i = 1; i < DQ_ARRAY_LEN(f); i++)
        f[i] = dq_reply_next(f[i - 1]);
    rc = take_head(dq_reply_str(f[0]), w, err);
    if (rc < 0)
        return rc;
    w->name = dq_arena_dup_str(w->owner, dq_reply_str(dq_reply_lookup(f[1], "name")));
    w->input = dq_arena_dup_str(w->owner, dq_reply_str(dq_reply_lookup(f[1], "input")));
    w->reason = dq_arena_dup_str(w->owner, dq_reply_str(dq_reply_lookup(f[1], "why")));
    (void)dq_parse_i64(dq_reply_str(dq_reply_lookup(f[1], "deadline")), 0, INT64_MAX, &w->deadline_ms);
    page p = {.table = dq_reply_str(f[3]),
              .cells = dq_reply_str(f[4]),
              .names = dq_reply_str(f[5]),
              .edges = dq_reply_str(f[6]),
              .lanes = f[7],
              .errors = f[8],
              .states = f[9]};
    return take_tasks(w, &p, (size_t)dq_reply_int(f[2]), err);
}

static dureq_workflow *create(void)
{
    dureq_workflow *w = dq_calloc(1, sizeof *w);

    if (w)
        w->owner = dq_calloc(1, sizeof(dq_arena));
    if (w && !w->owner) {
        dq_free(w);
        w = NULL;
    }
    return w;
}

/* Says that there is no workflow rather than no job. */
static int parse_id(dureq_client *c, const char *text, dq_id *ret, unsigned char packed[DQ_ID_BYTES], dureq_error *err)
{
    int rc = dq_parse_job_id(text, c, ret, packed, err);

    if (rc == DUREQ_EINVAL)
        return dq_fail(err, rc, "id '%.40s' is not a workflow id: it takes 20 characters 0-9a-v", text ? text : "");
    if (rc == DUREQ_ENOTFOUND || (rc == 0 && ret->lane != 0))
        return dq_fail(err, DUREQ_ENOTFOUND, "no workflow %.40s", text);
    return rc;
}

static int get(dureq_client *c, const char *id_text, uint32_t first, uint32_t limit, dureq_workflow **ret, dureq_error *err)
{
    unsigned char packed[DQ_ID_BYTES];
    dq_owned_reply reply;
    dq_buf call = {0};
    dq_id id;
    int rc;

    rc = parse_id(c, id_text, &id, packed, err);
    if (rc < 0)
        return rc;
    dq_call_flow_get(&call, dq_client_keys(c), id.shard, dureq_str_of(packed, sizeof packed), first,
                     DQ_MIN(limit, (uint32_t)DQ_FLOW_PAGE_MAX));
    rc = dq_client_call(c, id.shard, DQ_CALL_REPEAT | DQ_CALL_LARGE, &call, &reply, err);
    if (rc < 0)
        return rc;
    dureq_workflow *w = create();
    if (!w)
        rc = dq_fail_nomem(err);
    else if (dq_reply_is_nil(reply.reply))
        rc = dq_fail(err, DUREQ_ENOTFOUND, "no workflow %s", id_text);
    if (rc == 0) {
        dq_id_to_text(&id, &w->id);
        w->first = first;
        rc = from_reply(reply.reply, w, err);
    }
    dq_owned_reply_deinit(&reply);
    if (rc < 0)
        dureq_workflow_destroy(w);
    else
        *ret = w;
    return rc;
}

int dureq_client_get_workflow(dureq_client *c, const char *id, uint32_t first, uint32_t limit, dureq_workflow **ret,
                              dureq_error *err)
{
    int rc;

    if (!c || !id || !ret)
        return dq_fail(err, DUREQ_EINVAL, "client, id and ret must be given");
    dq_client_enter(c);
    rc = get(c, id, first, limit, ret, err);
    dq_client_leave(c);
    return rc;
}

int dureq_client_wait_workflow(dureq_client *c, const char *id_text, int64_t timeout_ms, dureq_workflow **ret, dureq_error *err)
{
    unsigned char packed[DQ_ID_BYTES];
    dq_id id;
    int rc;

    if (!c || !id_text || !ret)
        return dq_fail(err, DUREQ_EINVAL, "client, id and ret must be given");
    rc = parse_id(c, id_text, &id, packed, err);
    if (rc < 0)
        return rc;
    dq_client_enter(c);
    rc = dq_client_wait_end(c, &id, timeout_ms, err);
    if (rc == 0)
        rc = get(c, id_text, 0, DQ_FLOW_PAGE_MAX, ret, err);
    dq_client_leave(c);
    return rc;
}

/* ---- cancel ---- */

static int cancel(dureq_client *c, const dq_id *id, dureq_str packed, dureq_str reason, const char *id_text, dureq_error *err)
{
    unsigned char token[16];
    int64_t at = 0;
    int rc = dq_random_bytes(token, sizeof token, err);

    if (rc < 0)
        return rc;
    do {
        dq_owned_reply reply;
        dq_buf call = {0};

        dq_call_flow_cancel(&call, dq_client_keys(c), id->shard, dq_client_actor(c), packed, reason, at,
                            dureq_str_of(token, sizeof token));
        rc = dq_client_call(c, id->shard, DQ_CALL_REPEAT, &call, &reply, err);
        if (rc < 0)
            return rc;
        at = dq_reply_int(reply.reply);
        dq_owned_reply_deinit(&reply);
    } while (at >= 0);
    if (at == DUREQ_ENOTFOUND)
        return dq_fail(err, DUREQ_ENOTFOUND, "no workflow %s", id_text);
    return at == DUREQ_ECONFLICT ? dq_fail(err, DUREQ_ECONFLICT, "workflow %s has ended already", id_text) : 0;
}

int dureq_client_cancel_workflow(dureq_client *c, const char *id_text, const char *reason, dureq_error *err)
{
    unsigned char packed[DQ_ID_BYTES];
    dq_id id;
    int rc;

    if (!c || !id_text)
        return dq_fail(err, DUREQ_EINVAL, "client and id must be given");
    if (reason && strlen(reason) > DQ_ERROR_TEXT_MAX)
        return dq_fail(err, DUREQ_ETOOLARGE, "reason takes at most %d bytes", DQ_ERROR_TEXT_MAX);
    rc = parse_id(c, id_text, &id, packed, err);
    if (rc < 0)
        return rc;
    dq_client_enter(c);
    rc = cancel(c, &id, dureq_str_of(packed, sizeof packed), dureq_str_from(reason ? reason : ""), id_text, err);
    dq_client_leave(c);
    return rc;
}

/* ---- retry ---- */

static int retry(dureq_client *c, const dq_id *id, dureq_str packed, const char *id_text, dureq_error *err)
{
    dq_owned_reply reply;
    dq_buf call = {0};
    int64_t answer;
    int rc;

    dq_call_flow_retry(&call, dq_client_keys(c), id->shard, dq_client_actor(c), packed);
    rc = dq_client_call(c, id->shard, 0, &call, &reply, err);
    if (rc < 0)
        return rc;
    answer = dq_reply_int(reply.reply);
    dq_owned_reply_deinit(&reply);
    if (answer == DUREQ_ENOTFOUND)
        return dq_fail(err, DUREQ_ENOTFOUND, "no workflow %s", id_text);
    return answer < 0 ? dq_fail(err, DUREQ_ECONFLICT, "workflow %s has not failed and was not cancelled", id_text) : 0;
}

/* ---- suspend, resume ---- */

/* *at: where to go on, or a code of the script. */
static int suspend_step(dureq_client *c, const dq_id *id, dureq_str packed, int64_t *at, dureq_error *err)
{
    dq_owned_reply reply;
    dq_buf call = {0};
    int rc;

    dq_call_flow_suspend(&call, dq_client_keys(c), id->shard, dq_client_actor(c), packed, *at);
    rc = dq_client_call(c, id->shard, DQ_CALL_REPEAT, &call, &reply, err);
    if (rc < 0)
        return rc;
    *at = dq_reply_int(reply.reply);
    dq_owned_reply_deinit(&reply);
    return 0;
}

static int suspend(dureq_client *c, const dq_id *id, dureq_str packed, const char *id_text, dureq_error *err)
{
    int64_t at = 0;
    int rc;

    rc = suspend_step(c, id, packed, &at, err);
    if (rc == 0 && at == DUREQ_EUNSUPPORTED) {
        at = 0;
        rc = dq_client_require_version(c, DQ_FLOW_HOLDS, err);
        if (rc == 0)
            rc = suspend_step(c, id, packed, &at, err);
    }
    while (rc == 0 && at >= 0)
        rc = suspend_step(c, id, packed, &at, err);
    if (rc < 0)
        return rc;
    if (at == DUREQ_ENOTFOUND)
        return dq_fail(err, DUREQ_ENOTFOUND, "no workflow %s", id_text);
    if (at == DUREQ_EUNSUPPORTED)
        return dq_fail(err, DUREQ_ECONFLICT, "a shard was made again meanwhile: try again");
    return at == DUREQ_ECONFLICT ? dq_fail(err, DUREQ_ECONFLICT, "workflow %s does not run", id_text) : 0;
}

static int resume(dureq_client *c, const dq_id *id, dureq_str packed, const char *id_text, dureq_error *err)
{
    dq_owned_reply reply;
    dq_buf call = {0};
    int64_t answer;
    int rc;

    dq_call_flow_resume(&call, dq_client_keys(c), id->shard, dq_client_actor(c), packed);
    rc = dq_client_call(c, id->shard, 0, &call, &reply, err);
    if (rc < 0)
        return rc;
    answer = dq_reply_int(reply.reply);
    dq_owned_reply_deinit(&reply);
    if (answer == DUREQ_ENOTFOUND)
        return dq_fail(err, DUREQ_ENOTFOUND, "no workflow %s", id_text);
    return answer < 0 ? dq_fail(err, DUREQ_ECONFLICT, "workflow %s is not suspended", id_text) : 0;
}

static int act_on(dureq_client *c, const char *id_text,
                  int (*act)(dureq_client *c, const dq_id *id, dureq_str packed, const char *id_text, dureq_error *err),
                  dureq_error *err)
{
    unsigned char packed[DQ_ID_BYTES];
    dq_id id;
    int rc;

    if (!c || !id_text)
        return dq_fail(err, DUREQ_EINVAL, "client and id must be given");
    rc = parse_id(c, id_text, &id, packed, err);
    if (rc < 0)
        return rc;
    dq_client_enter(c);
    rc = act(c, &id, dureq_str_of(packed, sizeof packed), id_text, err);
    dq_client_leave(c);
    return rc;
}

int dureq_client_retry_workflow(dureq_client *c, const char *id, dureq_error *err)
{
    return act_on(c, id, retry, err);
}

int dureq_client_suspend_workflow(dureq_client *c, const char *id, dureq_error *err)
{
    return act_on(c, id, suspend, err);
}

int dureq_client_resume_workflow(dureq_client *c, const char *id, dureq_error *err)
{
    return act_on(c, id, resume, err);
}

/* ---- list ---- */

typedef struct lister {
    dureq_client *client;
    dureq_workflow_list *list;
    size_t limit, cap;
    dureq_str before;
    dq_buf status;
    char bound[DQ_ID_BYTES]; /* what is older than this was not looked at by every shard */
    bool is_bounded;
} lister;

static int add_item(lister *l, dq_reply item, dureq_error *err)
{
    dureq_workflow *w = &l->list->items[l->list->n];
    dq_id id;

    if (l->list->n == l->cap)
        return 0;
    if (dq_reply_len(item) < 3 || !dq_id_unpack(dq_reply_str(dq_reply_at(item, 0)), &id))
        return dq_fail(err, DUREQ_EPROTO, "the answer of flow_list cannot be read");
    *w = (dureq_workflow){0};
    dq_id_to_text(&id, &w->id);
    w->name = dq_arena_dup_str(l->list->owner, dq_reply_str(dq_reply_at(item, 2)));
    l->list->n++;
    return take_head(dq_reply_str(dq_reply_at(item, 1)), w, err);
}

static int list_shard(lister *l, unsigned shard, dureq_error *err)
{
    dq_owned_reply reply;
    dq_buf call = {0};
    int rc;

    dq_call_flow_list(&call, dq_client_keys(l->client), shard, l->before, (int)l->limit, dq_buf_str(&l->status));
    rc = dq_client_call(l->client, shard, DQ_CALL_REPEAT, &call, &reply, err);
    if (rc < 0)
        return rc;
    dureq_str last = dq_reply_str(dq_reply_at(reply.reply, 0));
    if (last.len == DQ_ID_BYTES && (!l->is_bounded || memcmp(last.ptr, l->bound, DQ_ID_BYTES) > 0)) {
        memcpy(l->bound, last.ptr, DQ_ID_BYTES);
        l->is_bounded = true;
    }
    for (size_t i = 1; i < dq_reply_len(reply.reply) && rc == 0; i++)
        rc = add_item(l, dq_reply_at(reply.reply, i), err);
    dq_owned_reply_deinit(&reply);
    return rc;
}

static int newest_first(const void *a, const void *b)
{
    return strcmp(((const dureq_workflow *)b)->id.text, ((const dureq_workflow *)a)->id.text);
}

/* What every shard was looked at for, at most a page; the rest comes again. */
static void cut(lister *l)
{
    dureq_workflow_list *list = l->list;
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

static int read_filter(lister *l, const dureq_workflow_filter *f, unsigned char packed[DQ_ID_BYTES], dureq_error *err)
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

int dureq_client_list_workflows(dureq_client *c, const dureq_workflow_filter *filter, dureq_workflow_list **ret, dureq_error *err)
{
    dureq_workflow_filter f = dureq_workflow_filter_init();
    unsigned char packed[DQ_ID_BYTES];
    lister l = {.client = c};
    int rc;

    if (!c || !ret)
        return dq_fail(err, DUREQ_EINVAL, "client and ret must be given");
    if (filter) {
        rc = dq_options_adopt(&f, sizeof f, filter, "dureq_workflow_filter", err);
        if (rc < 0)
            return rc;
    }
    l.list = dq_calloc(1, sizeof *l.list);
    if (l.list)
        l.list->owner = dq_calloc(1, sizeof(dq_arena));
    if (!l.list || !l.list->owner) {
        dq_free(l.list);
        return dq_fail_nomem(err);
    }
    dq_client_enter(c);
    rc = read_filter(&l, &f, packed, err);
    if (rc == 0)
        rc = list_all(&l, err);
    dq_client_leave(c);
    dq_buf_deinit(&l.status);
    if (rc < 0)
        dureq_workflow_list_destroy(l.list);
    else
        *ret = l.list;
    return rc;
}
