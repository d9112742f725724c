/* SPDX-License-Identifier: Apache-2.0 */
/* Shards are brought up to the definitions of the queues, as a part of opening (open.c). Each is asked first whether it wants rows: it does not
   when it had the same ones last time and no queue was changed since. Rows go in parts, so that no script takes longer with ten thousand queues.

   A shard that is left with rows of queues that are not defined was away when these were deleted. They go in a step of its own, after the
   definitions were read once more: a queue that was made in between has a row already. Loop thread. */

#include <stdio.h>

#include "base/random.h"
#include "model/job.h"
#include "redis/resp.h"
#include "store/core.h"
#include "store/plain_calls.h"
#include "store/queue_calls.h"

#define PART             500 /* rows */
#define HISTORY_NO_LIMIT (1LL << 50)

struct dq_open_shard {
    dq_store *store;
    unsigned shard;
    bool is_asked;   /* its answer says whether it wants rows */
    bool has_others; /* rows of queues that are not defined */
};

static dureq_str make_token(char out[16])
{
    unsigned char random[8];

    if (dq_random_bytes(random, sizeof(random), NULL) < 0)
        memset(random, 0, sizeof(random)); /* only ever used for a new shard; any text is a token */
    for (size_t i = 0; i < sizeof(random); i++) {
        out[2 * i] = "0123456789abcdef"[random[i] >> 4];
        out[2 * i + 1] = "0123456789abcdef"[random[i] & 15];
    }
    return dureq_str_of(out, 2 * sizeof(random));
}

/* Of all rows, in any order. */
static void make_digest(const dq_queue_set *set, char out[DQ_ROWS_DIGEST_MAX])
{
    uint64_t sum = 0;

    for (size_t i = 0; i < set->n; i++) {
        unsigned char bytes[DQ_QUEUE_ROW_BYTES + sizeof(uint64_t)];
        uint64_t name = dq_hash_bytes(set->items[i].name.ptr, set->items[i].name.len);

        dq_queue_row(&set->items[i], bytes);
        memcpy(bytes + DQ_QUEUE_ROW_BYTES, &name, sizeof name);
        sum += dq_hash_bytes(bytes, sizeof bytes);
    }
    (void)snprintf(out, DQ_ROWS_DIGEST_MAX, "%zu.%016llx", set->n, (unsigned long long)sum);
}

static int64_t history_cap(const dq_store *s)
{
    int64_t total = s->maxmemory > 0 ? s->maxmemory / 4 : DQ_HISTORY_DEFAULT_BYTES;

    if (s->history_max_bytes < 0)
        return HISTORY_NO_LIMIT;
    if (s->history_max_bytes > 0)
        total = s->history_max_bytes;
    return DQ_MAX(total / s->keys.n_shards, 1);
}

static void on_init(void *userdata, int code, const dq_reply *reply, const dureq_error *err);

static int send_init(struct dq_open_shard *o, dq_shard_part part, size_t from, size_t n)
{
    dq_store *s = o->store;
    char token[16];
    dq_shard_init init = {
        .part = part,
        .token = make_token(token),
        .digest = dureq_str_from(s->rows_digest),
        .history_max_bytes = history_cap(s),
        .keeps_cap = s->history_max_bytes == 0,
        .queues = s->queues.items + from,
        .n_queues = n,
        .n_all = s->queues.n,
    };
    int r;

    dq_call_shard_init(dq_redis_out(s->main), &s->keys, o->shard, &init);
    r = dq_redis_commit(s->main, 0, on_init, o);
    s->step_pending += r == 0;
    return r;
}

static int send_rows(struct dq_open_shard *o)
{
    size_t n = o->store->queues.n, from = 0;
    int r = 0;

    for (; r == 0 && n - from > PART; from += PART)
        r = send_init(o, DQ_SHARD_ROWS, from, PART);
    return r < 0 ? r : send_init(o, DQ_SHARD_LAST, from, n - from);
}

/* What a shard answers comes in the order of what was sent to it. */
static void on_init(void *userdata, int code, const dq_reply *reply, const dureq_error *err)
{
    struct dq_open_shard *o = userdata;
    dq_store *s = o->store;
    bool wants = code == 0 && dq_shard_init_wants(reply);
    bool is_asked = o->is_asked;
    dureq_error why;
    int r = 0;

    o->is_asked = false;
    if (s->step == DQ_OPEN_SHARDS && wants && is_asked)
        r = send_rows(o);
    else if (wants)
        o->has_others = s->has_others = true;
    if (r < 0)
        dq_fail(&why, r, "%s", dureq_errcode_text(r));
    dq_open_answered(s, r < 0 ? r : code, reply, r < 0 ? &why : err);
}

int dq_shards_send(dq_store *s)
{
    int r = 0;

    s->step_pending = 0;
    if (!s->shards)
        s->shards = dq_calloc(s->keys.n_shards, sizeof *s->shards);
    if (!s->shards)
        return DUREQ_ENOMEM;
    make_digest(&s->queues, s->rows_digest);
    s->has_others = false;
    for (unsigned i = 0; r == 0 && i < s->keys.n_shards; i++) {
        s->shards[i] = (struct dq_open_shard){.store = s, .shard = i, .is_asked = true};
        r = send_init(&s->shards[i], DQ_SHARD_ASK, 0, 0);
    }
    return r;
}

/* ---- rows of queues that are not there ---- */

static void on_unset(void *userdata, int code, const dq_reply *reply, const dureq_error *err)
{
    dq_open_answered(userdata, code, reply, err);
}

static void on_names(void *userdata, int code, const dq_reply *reply, const dureq_error *err);

static int send_names(struct dq_open_shard *o, dureq_str cursor)
{
    dq_store *s = o->store;
    int r;

    dq_plain_queue_rows(dq_redis_out(s->main), &s->keys, o->shard, cursor);
    r = dq_redis_commit(s->main, 0, on_names, o);
    s->step_pending += r == 0;
    return r;
}

static int unset(struct dq_open_shard *o, dureq_str name)
{
    dq_store *s = o->store;
    int r;

    if (dq_queue_set_find(&s->queues, name))
        return 0;
    DQ_LOG(s->log, DUREQ_LOG_INFO, "store.queue_gone", "shard=%u queue=\"" DQ_STR_FMT "\"", o->shard, DQ_STR_ARG(name));
    dq_call_queue_unset(dq_redis_out(s->main), &s->keys, o->shard, DQ_STR_LIT("system"), name);
    r = dq_redis_commit(s->main, 0, on_unset, s);
    s->step_pending += r == 0;
    return r;
}

static int take_names(struct dq_open_shard *o, const dq_reply *reply)
{
    dureq_str cursor = dq_reply_str(dq_reply_at(*reply, 0));
    dq_reply rows = dq_reply_at(*reply, 1);
    size_t n = dq_reply_len(rows) / 2;
    dq_reply at;
    int r = 0;

    if (dq_reply_type(*reply) != DQ_RESP_ARRAY || dq_reply_len(*reply) != 2)
        return DUREQ_EPROTO;
    if (n > 0)
        at = dq_reply_first(rows);
    for (size_t i = 0; r == 0 && i < n; i++) {
        r = unset(o, dq_reply_str(at));
        if (i + 1 < n)
            at = dq_reply_next(dq_reply_next(at));
    }
    return r < 0 || dq_str_eq_text(cursor, "0") ? r : send_names(o, cursor);
}

static void on_names(void *userdata, int code, const dq_reply *reply, const dureq_error *err)
{
    struct dq_open_shard *o = userdata;
    dureq_error why;
    int r = 0;

    if (code == 0 && o->store->step == DQ_OPEN_SHARDS_PRUNE)
        r = take_names(o, reply);
    if (r < 0)
        dq_fail(&why, r, "%s", dureq_errcode_text(r));
    dq_open_answered(o->store, r < 0 ? r : code, reply, r < 0 ? &why : err);
}

int dq_shards_prune(dq_store *s)
{
    int r = 0;

    s->has_others = false;
    s->step_pending = 0;
    for (unsigned i = 0; r == 0 && i < s->keys.n_shards; i++)
        if (s->shards[i].has_others)
            r = send_names(&s->shards[i], DQ_STR_LIT("0"));
    return r;
}
