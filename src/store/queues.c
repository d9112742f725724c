/* SPDX-License-Identifier: Apache-2.0 */
/* The queue set of a store: `<prefix>:config:queues` is the truth, shards hold copies. A change is written there first and then to every
   shard; the last to write a shard looks at the truth once more (open.c), so that copies converge whoever races. Loop thread. */

#include "model/job.h"
#include "redis/resp.h"
#include "store/core.h"
#include "store/queue_calls.h"

int dq_queues_defaults(dq_buf *out, size_t *ret_n, dureq_error *err)
{
    DQ_BUF_AUTO json = {0};

    for (size_t i = 0; i < DQ_ARRAY_LEN(dq_queue_defaults); i++) {
        const dureq_queue_options *o = &dq_queue_defaults[i];
        dq_queue q = {.name = dureq_str_from(dq_queue_default_names[i]),
                      .weight = o->weight,
                      .priority_min = o->priority_min,
                      .priority_max = o->priority_max,
                      .max_len = o->max_len,
                      .retention_ms = o->retention_ms};

        dq_buf_clear(&json);
        dq_queue_to_json(&q, &json);
        int r = dq_buf_finish(&json, err);
        if (r < 0)
            return r;
        dq_resp_arg(out, q.name);
        dq_resp_arg_buf(out, &json);
    }
    *ret_n = DQ_ARRAY_LEN(dq_queue_defaults);
    return dq_buf_finish(out, err);
}

int dq_queue_set_from_reply(const dq_reply *reply, dq_queue_set *ret, dureq_error *err)
{
    size_t n = dq_reply_len(*reply) / 2;
    int r;

    *ret = (dq_queue_set){0};
    ret->items = dq_arena_alloc(&ret->arena, (n ? n : 1) * sizeof(*ret->items));
    if (!ret->items)
        return dq_fail_nomem(err);
    dq_reply at = dq_reply_first(*reply);
    for (size_t i = 0; i < n; i++) {
        dq_reply value = dq_reply_next(at);
        dureq_str name = dq_arena_dup_str(&ret->arena, dq_reply_str(at));

        if (!name.ptr && dq_reply_str(at).len > 0)
            r = dq_fail_nomem(err);
        else
            r = dq_queue_from_json(name, dq_reply_str(value), &ret->arena, &ret->items[i], err);
        if (r < 0) {
            dq_queue_set_deinit(ret);
            return r;
        }
        ret->n++;
        at = i + 1 < n ? dq_reply_next(value) : value;
    }
    dq_queue_set_index(ret);
    return 0;
}

static bool same_set(const dq_queue_set *a, const dq_queue_set *b)
{
    if (a->n != b->n)
        return false;
    for (size_t i = 0; i < a->n; i++) {
        const dq_queue *q = dq_queue_set_find(b, a->items[i].name);

        if (!q || !dq_queue_same(&a->items[i], q) || a->items[i].paused != q->paused)
            return false;
    }
    return true;
}

bool dq_queues_take(dq_store *s, dq_queue_set *fresh)
{
    bool differs = !same_set(&s->queues, fresh);

    if (differs || fresh->arena.used < s->queues.arena.used) {
        dq_queue_set old = s->queues;

        s->queues = *fresh;
        *fresh = old;
    }
    dq_queue_set_deinit(fresh);
    return differs;
}

/* What was replaced stays in the set's memory until the set is read whole again. */
int dq_queues_take_one(dq_store *s, dureq_str name, dureq_str json, dureq_error *err)
{
    int r = dq_queue_set_put(&s->queues, name, json, err);

    if (r > 0 && s->queues.arena.used > 1024 * (s->queues.n + 64))
        dq_store_refresh_queues(s);
    return r;
}

static void put_u48(unsigned char *out, uint64_t v)
{
    for (int i = 0; i < 6; i++)
        out[i] = (unsigned char)(v >> (40 - 8 * i));
}

void dq_queue_row(const dq_queue *q, unsigned char out[DQ_QUEUE_ROW_BYTES])
{
    int64_t retention_ms = q->retention_ms ? q->retention_ms : DQ_RETENTION_DEFAULT_MS;

    put_u48(out, (uint64_t)q->max_len);
    out[6] = q->paused ? 1 : 0;
    put_u48(out + 7, (uint64_t)dq_retention_class(retention_ms));
}

void dq_queues_gone(dq_store *s)
{
    s->other_server = true;
    dq_redis_reconnect(s->main, "the prefix was deleted");
}

static void refresh_read(void *userdata, int code, const dq_reply *reply, const dureq_error *err)
{
    dq_store *s = userdata;
    dq_queue_set fresh;
    dureq_error why;

    bool again = s->refresh_again;

    s->refreshing = false;
    s->refresh_again = false;
    if (code < 0) {
        /* The connection went: the queues are read again with the next one. */
        if (code != DUREQ_EUNAVAILABLE && code != DUREQ_ECLOSED)
            DQ_LOG(s->log, DUREQ_LOG_WARN, "store.queues", "error=\"%s\"", err->msg);
        return;
    }
    int r = dq_queue_set_from_reply(reply, &fresh, &why);
    if (r < 0) {
        DQ_LOG(s->log, DUREQ_LOG_ERROR, "store.queues", "error=\"%s\"", why.msg);
        return;
    }
    if (fresh.n == 0) { /* there are always some */
        dq_queue_set_deinit(&fresh);
        dq_queues_gone(s);
        return;
    }
    s->queue_reads++;
    if (again)
        dq_store_refresh_queues(s);
    if (dq_queues_take(s, &fresh) && s->cb.on_queues)
        s->cb.on_queues(s, s->cb.userdata);
}

int dq_queues_read(dq_store *s, dq_redis_reply_fn fn, void *userdata)
{
    DQ_BUF_AUTO key = {0};

    dq_buf_append_fmt(&key, "%s:config:queues", s->prefix);
    if (dq_buf_failed(&key))
        return DUREQ_ENOMEM;
    dureq_str words[] = {DQ_STR_LIT("HGETALL"), dq_buf_str(&key)};
    return dq_redis_command(s->main, 0, fn, userdata, 2, words);
}

void dq_store_refresh_queues(dq_store *s)
{
    if (!s->up)
        return; /* read anyway before it is up */
    if (s->refreshing) {
        s->refresh_again = true; /* the answer on its way may be from before the change */
        return;
    }
    s->refreshing = dq_queues_read(s, refresh_read, s) == 0;
}

uint64_t dq_store_fresh_queues(dq_store *s)
{
    uint64_t target = s->queue_reads + (s->refreshing ? 2 : 1);

    dq_store_refresh_queues(s);
    return target;
}

uint64_t dq_store_queue_reads(const dq_store *s)
{
    return s->queue_reads;
}

const dq_queue_set *dq_store_queues(const dq_store *s)
{
    return &s->queues;
}
