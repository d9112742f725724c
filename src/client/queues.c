/* SPDX-License-Identifier: Apache-2.0 */
/* Queues from callers' threads: definitions with what waits in them, changes, purge. */

#include "client/queues.h"

#include "base/clock.h"
#include "client/meter.h"
#include "client/request_internal.h"
#include "model/queue.h"
#include "store/plain_calls.h"

/* ---- changes: run on the loop (store/queue_change.c), waited for here ---- */

typedef struct change_call {
    dq_request request;
    dq_queue_verb verb;
    char name[DUREQ_NAME_MAX + 1];
    dq_buf wanted; /* JSON; for the SETs */
    dq_buf actor;
} change_call;

static change_call *change_of(dq_request *r)
{
    return dq_container_of(r, change_call, request);
}

static void on_changed(void *userdata, int code, bool differs, const dureq_error *err)
{
    change_call *p = userdata;

    dq_request_end(&p->request, &(dq_answer){.code = code, .err = err, .state = differs}, (dureq_str){0});
    dq_request_unref(&p->request);
}

static void start_change(dq_request *r)
{
    change_call *p = change_of(r);
    dureq_client *c = r->client;
    dureq_str name = dureq_str_from(p->name);
    dq_arena arena = {0};
    dq_queue wanted = {.name = name};
    dureq_error err;
    int rc = 0;

    dq_request_ref(r);
    if (p->wanted.len > 0)
        rc = dq_queue_from_json(name, dq_buf_str(&p->wanted), &arena, &wanted, &err);
    if (rc == 0)
        rc = dq_store_change_queue(c->store, p->verb, name, p->wanted.len ? &wanted : NULL, dq_buf_str(&p->actor), on_changed, p,
                                   &err);
    dq_arena_deinit(&arena);
    if (rc < 0)
        on_changed(p, rc, false, &err);
}

/* What is under way goes on. */
static void leave_change(dq_request *r)
{
    (void)r;
}

static int late_change(dq_request *r, dureq_error *err)
{
    return dq_client_why_down(r->client, err);
}

static void destroy_change(dq_request *r)
{
    change_call *p = change_of(r);

    dq_buf_deinit(&p->wanted);
    dq_buf_deinit(&p->actor);
    dq_request_deinit(r);
    dq_free(p);
}

static const dq_request_kind change_kind = {
    .start = start_change, .leave = leave_change, .late = late_change, .destroy = destroy_change};

int dq_client_change_queue(dureq_client *c, dq_queue_verb verb, const char *name, dq_buf *wanted, bool *ret_differs,
                           dureq_error *err)
{
    int64_t deadline_us = dq_client_deadline_us(c);
    int rc = dq_client_may_write(c, err);
    change_call *p = rc == 0 ? dq_calloc(1, sizeof *p) : NULL;

    if (!p) {
        dq_buf_deinit(wanted);
        return rc < 0 ? rc : dq_fail_nomem(err);
    }
    dq_request_init(&p->request, &change_kind, c, /*deadline_us=*/-1, /*fn=*/NULL, NULL);
    p->verb = verb;
    memcpy(p->name, name, strlen(name)); /* checked: fits */
    p->wanted = *wanted;
    *wanted = (dq_buf){0};
    dq_buf_append_str(&p->actor, dq_client_actor(c)); /* this thread's: the loop does not know it */
    rc = dq_buf_finish(&p->actor, err);
    if (rc < 0) {
        destroy_change(&p->request);
        return rc;
    }
    dq_request_post(&p->request);
    rc = dq_request_await(&p->request, deadline_us, err);
    if (rc == 0 && ret_differs)
        *ret_differs = p->request.state == 1;
    dq_request_release(&p->request);
    return rc;
}

int dureq_client_set_queue(dureq_client *c, const char *name, const dureq_queue_options *opts, bool only_if_missing,
                           bool *ret_differs, dureq_error *err)
{
    dureq_queue_options o;
    dq_buf wanted = {0};
    int rc;

    if (!c || !name || !opts)
        return dq_fail(err, DUREQ_EINVAL, "client, name and opts must be given");
    rc = dq_options_adopt(&o, sizeof o, opts, "queue options", err);
    if (rc < 0)
        return rc;
    rc = dq_queue_options_check(name, &o, err);
    if (rc < 0)
        return rc;
    dq_queue q = {
        .name = dureq_str_from(name),
        .weight = o.weight ? o.weight : 1,
        .priority_min = o.priority_min,
        .priority_max = o.priority_max,
        .max_len = o.max_len,
        .retention_ms = o.retention_ms,
        .retry_policy = (dureq_retry_policy *)o.retry_policy,
    };
    dq_queue_to_json(&q, &wanted);
    rc = dq_buf_finish(&wanted, err);
    if (rc < 0) {
        dq_buf_deinit(&wanted);
        return rc;
    }
    dq_client_enter(c);
    rc = dq_client_change_queue(c, only_if_missing ? DQ_QUEUE_SET_IF_MISSING : DQ_QUEUE_SET, name, &wanted, ret_differs, err);
    dq_client_leave(c);
    return rc;
}

static int set_paused(dureq_client *c, const char *name, dq_queue_verb verb, dureq_error *err)
{
    dq_buf none = {0};
    int rc;

    if (!c)
        return dq_fail(err, DUREQ_EINVAL, "client must be given");
    rc = dq_name_check("queue", dureq_str_from(name), err);
    if (rc < 0)
        return rc;
    dq_client_enter(c);
    rc = dq_client_change_queue(c, verb, name, &none, NULL, err);
    dq_client_leave(c);
    return rc;
}

int dureq_client_pause_queue(dureq_client *c, const char *name, dureq_error *err)
{
    return set_paused(c, name, DQ_QUEUE_PAUSE, err);
}

int dureq_client_resume_queue(dureq_client *c, const char *name, dureq_error *err)
{
    return set_paused(c, name, DQ_QUEUE_RESUME, err);
}

/* ---- purge ---- */

/* What came to its lanes since the first step is spared. */
static int purge_shard(dureq_client *c, unsigned shard, dureq_str name, dureq_str type, int64_t *n, dureq_error *err)
{
    dq_queue_purged step = {.more = true};
    int rc = 0;

    while (rc == 0 && step.more) {
        dq_owned_reply reply;
        dq_buf call = {0};

        dq_call_queue_purge(&call, dq_client_keys(c), shard, dq_client_actor(c), name, type, step.until_ms);
        rc = dq_client_call(c, shard, DQ_CALL_REPEAT, &call, &reply, err); /* a lost answer costs at most the count of a step */
        if (rc < 0)
            return rc;
        rc = dq_queue_purge_decode(&reply.reply, &step);
        dq_owned_reply_deinit(&reply);
        if (rc < 0)
            return dq_fail(err, rc, "the answer of a purge cannot be read");
        *n = dq_add_sat(*n, step.n);
    }
    return rc;
}

static int read_definitions(dureq_client *c, dq_owned_reply *ret, dureq_error *err);

int dq_client_queue_definition(dureq_client *c, const char *name, dq_buf *out, dureq_error *err)
{
    dq_owned_reply reply;
    dureq_str json;
    int rc = read_definitions(c, &reply, err);

    if (rc < 0)
        return rc;
    json = dq_reply_str(dq_reply_lookup(reply.reply, name));
    dq_buf_append_str(out, json);
    rc = json.len ? dq_buf_finish(out, err) : dq_fail(err, DUREQ_ENOTFOUND, "queue '%s' is not defined", name);
    dq_owned_reply_deinit(&reply);
    return rc;
}

int dq_client_queue_exists(dureq_client *c, const char *name, dureq_error *err)
{
    DQ_BUF_AUTO json = {0};

    return dq_client_queue_definition(c, name, &json, err);
}

int dureq_client_purge_queue(dureq_client *c, const char *name, int64_t *ret_n, dureq_error *err)
{
    return dureq_client_purge_queue_type(c, name, /*task_type=*/NULL, ret_n, err);
}

int dureq_client_purge_queue_type(dureq_client *c, const char *name, const char *type, int64_t *ret_n, dureq_error *err)
{
    int64_t n = 0;
    int rc;

    if (!c)
        return dq_fail(err, DUREQ_EINVAL, "client must be given");
    rc = dq_name_check("queue", dureq_str_from(name), err);
    if (rc == 0 && type && !*type)
        rc = dq_fail(err, DUREQ_EINVAL, "a task type is not empty");
    if (rc == 0)
        rc = dq_type_filter_check(type, err);
    if (rc < 0)
        return rc;
    dq_client_enter(c);
    rc = dq_client_queue_exists(c, name, err);
    for (unsigned s = 0; rc == 0 && s < dq_client_keys(c)->n_shards; s++)
        rc = purge_shard(c, s, dureq_str_from(name), type ? dureq_str_from(type) : (dureq_str){0}, &n, err);
    dq_client_leave(c);
    if (rc == 0 && ret_n)
        *ret_n = n;
    return rc;
}

/* ---- list ---- */

typedef struct queues_owner {
    dq_queue_set set;
} queues_owner;

void dureq_queue_list_destroy(dureq_queue_list *list)
{
    if (!list)
        return;
    queues_owner *owner = list->owner;
    dq_queue_set_deinit(&owner->set);
    dq_free(owner);
    dq_free(list->items);
    dq_free(list);
}

static int read_definitions(dureq_client *c, dq_owned_reply *ret, dureq_error *err)
{
    dq_buf bytes = {0};

    dq_plain_queues(&bytes, dq_client_keys(c)->prefix);
    return dq_client_command(c, &bytes, 1, ret, err);
}

int dq_client_read_queues(dureq_client *c, dq_queue_set *ret, dureq_error *err)
{
    dq_owned_reply reply;
    int rc = read_definitions(c, &reply, err);

    if (rc < 0)
        return rc;
    rc = dq_queue_set_from_reply(&reply.reply, ret, err);
    dq_owned_reply_deinit(&reply);
    return rc;
}

static void fill_info(dureq_queue_info *out, const dq_queue *q, const dq_queue_stats *n, int64_t now_ms)
{
    *out = (dureq_queue_info){
        .name = q->name,
        .weight = q->weight,
        .priority_min = q->priority_min,
        .priority_max = q->priority_max,
        .max_len = q->max_len,
        .retention_ms = q->retention_ms,
        .paused = q->paused,
        .pending = n->pending,
        .running = n->running,
        .oldest_age_ms = n->oldest_ms < 0 ? 0 : DQ_MAX(now_ms - n->oldest_ms, 0),
        .retry_policy = q->retry_policy,
    };
}

static int list_queues(dureq_client *c, dureq_queue_list *list, dureq_error *err)
{
    queues_owner *owner = list->owner;
    dq_queue_stats *sums = NULL;
    dureq_str *names;
    int64_t now_ms = 0;
    int rc;

    rc = dq_client_read_queues(c, &owner->set, err);
    if (rc < 0)
        return rc;
    sums = dq_calloc(owner->set.n + 1, sizeof *sums);
    list->items = dq_calloc(owner->set.n + 1, sizeof *list->items);
    names = dq_calloc(owner->set.n + 1, sizeof *names);
    rc = sums && list->items && names ? 0 : dq_fail_nomem(err);
    for (size_t i = 0; rc == 0 && i < owner->set.n; i++)
        names[i] = owner->set.items[i].name;
    if (rc == 0)
        rc = dq_client_queue_depths(c, names, owner->set.n, sums, &now_ms, err);
    for (size_t i = 0; rc == 0 && i < owner->set.n; i++)
        fill_info(&list->items[i], &owner->set.items[i], &sums[i], now_ms);
    list->n = rc == 0 ? owner->set.n : 0;
    dq_free(names);
    dq_free(sums);
    return rc;
}

int dureq_client_list_queues(dureq_client *c, dureq_queue_list **ret, dureq_error *err)
{
    int rc;

    if (!c || !ret)
        return dq_fail(err, DUREQ_EINVAL, "client and ret must be given");
    dureq_queue_list *list = dq_calloc(1, sizeof *list);
    if (list)
        list->owner = dq_calloc(1, sizeof(queues_owner));
    if (!list || !list->owner) {
        dq_free(list);
        return dq_fail_nomem(err);
    }
    dq_client_enter(c);
    rc = list_queues(c, list, err);
    dq_client_leave(c);
    if (rc < 0)
        dureq_queue_list_destroy(list);
    else
        *ret = list;
    return rc;
}
