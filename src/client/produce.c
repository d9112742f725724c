/* SPDX-License-Identifier: Apache-2.0 */
/* The loop's side of enqueueing. Jobs of all callers wait here per shard, in order; a few numbered calls fly at a time, and what arrives
   meanwhile goes with the next one. The lane cache lives until another server answers, which may have forgotten lanes; whether a lane's queue
   takes plain jobs follows the queue definitions. Loop thread. */

#include "client/produce.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/random.h"
#include "redis/resp.h"

static void send_all(dq_deferred *d)
{
    dq_producer *p = dq_container_of(d, dq_producer, send);

    for (unsigned i = 0; i < p->n_shards; i++)
        dq_enq_send(&p->shards[i]);
}

int dq_producer_create(dureq_client *c, dq_producer **ret, dureq_error *err)
{
    dq_producer *p = dq_calloc(1, sizeof *p);
    uint64_t random;
    int rc;

    if (!p)
        return dq_fail_nomem(err);
    rc = dq_random_bytes(&random, sizeof random, err);
    if (rc < 0) {
        dq_free(p);
        return rc;
    }
    p->client = c;
    p->send.fn = send_all;
    (void)snprintf(p->id, sizeof p->id, "%llx.%llx", (unsigned long long)dq_wall_ms(),
                   (unsigned long long)random & 0xffffffffffffULL);
    *ret = p;
    return 0;
}

void dq_producer_destroy(dq_producer *p)
{
    size_t at = 0;
    enq_lane *lane;

    if (!p)
        return;
    dq_loop_undefer(&p->send);
    for (unsigned i = 0; i < p->n_shards; i++)
        while (!dq_list_empty(&p->shards[i].flying))
            dq_enq_call_free(dq_container_of(dq_list_pop_front(&p->shards[i].flying), enq_call, link));
    for (lane = dq_map_next(&p->lanes, &at); lane; lane = dq_map_next(&p->lanes, &at))
        dq_free(lane);
    dq_map_deinit(&p->lanes);
    dq_buf_deinit(&p->scratch);
    dq_free(p->shards);
    dq_free(p);
}

/* ---- what the server says of queues ---- */

static void lane_judge(dq_producer *p, enq_lane *lane)
{
    const dq_queue *q = dq_queue_set_find(dq_store_queues(p->client->store), dureq_str_of(lane->name.ptr, lane->queue_len));

    lane->plain = q && q->max_len == 0;
    lane->limited = q && q->max_len > 0;
}

void dq_producer_queues(dq_producer *p)
{
    size_t at = 0;
    enq_lane *lane;

    for (lane = dq_map_next(&p->lanes, &at); lane; lane = dq_map_next(&p->lanes, &at))
        lane_judge(p, lane);
}

/* A shard that was deleted and made again, under the same connection too, gives its numbers to other lanes. */
static void look_if_same_shard(enq_shard *s)
{
    size_t len = strcspn(s->token, "."), at = 0;
    enq_lane *lane;

    if (len == strlen(s->shard_is) && memcmp(s->token, s->shard_is, len) == 0)
        return;
    for (lane = dq_map_next(&s->producer->lanes, &at); lane; lane = dq_map_next(&s->producer->lanes, &at))
        lane->no[s->no] = 0;
    (void)snprintf(s->shard_is, sizeof s->shard_is, "%.*s", (int)len, s->token);
}

/* The shard's token vouches for queue definitions read after it. */
static void on_token(void *userdata, int code, const dq_reply *reply, const dureq_error *err)
{
    enq_shard *s = userdata;
    dureq_str token = code == 0 ? dq_reply_str(*reply) : (dureq_str){0};

    (void)err;
    s->asks_token = false;
    s->token[0] = '\0';
    if (token.len == 0 || token.len >= sizeof s->token)
        return;
    (void)snprintf(s->token, sizeof s->token, DQ_STR_FMT, DQ_STR_ARG(token));
    look_if_same_shard(s);
    s->token_reads = dq_store_fresh_queues(s->producer->client->store);
}

void dq_enq_ask_token(enq_shard *s)
{
    dq_redis *r = dq_store_redis(s->producer->client->store, s->no, DQ_CONN_MAIN);
    dq_buf *out = dq_redis_out(r);

    s->token[0] = '\0';
    dq_resp_begin(out, 3);
    dq_resp_arg(out, DQ_STR_LIT("HGET"));
    dq_keys_arg(out, dq_client_keys(s->producer->client), s->no, "sh", (dureq_str){0});
    dq_resp_arg(out, DQ_STR_LIT("v"));
    s->asks_token = dq_redis_commit(r, 0, on_token, s) == 0;
}

static bool make_shards(dq_producer *p)
{
    unsigned n = dq_client_keys(p->client)->n_shards;

    p->shards = dq_calloc(n, sizeof *p->shards);
    if (!p->shards)
        return false;
    for (unsigned i = 0; i < n; i++) {
        p->shards[i].producer = p;
        p->shards[i].no = i;
        p->shards[i].next_number = 1;
        dq_list_init(&p->shards[i].waiting);
        dq_list_init(&p->shards[i].flying);
    }
    p->n_shards = n;
    return true;
}

/* Another server may have forgotten lanes, and given their numbers to others. */
static void forget_lanes(dq_producer *p)
{
    size_t at = 0;
    enq_lane *lane;

    for (lane = dq_map_next(&p->lanes, &at); lane; lane = dq_map_next(&p->lanes, &at))
        for (unsigned i = 0; i < p->n_shards; i++)
            lane->no[i] = 0;
}

void dq_producer_up(dq_producer *p, bool same_server)
{
    if (!p->shards && !make_shards(p))
        return; /* enqueueing answers out of memory */
    dq_producer_queues(p);
    if (!same_server)
        forget_lanes(p);
    for (unsigned i = 0; i < p->n_shards; i++) {
        dq_enq_ask_token(&p->shards[i]);
        dq_enq_resend(&p->shards[i], same_server);
    }
    dq_loop_defer(p->client->loop, &p->send);
}

void dq_producer_down(dq_producer *p)
{
    for (unsigned i = 0; i < p->n_shards; i++)
        p->shards[i].token[0] = '\0';
}

/* ---- lanes ---- */

static dureq_str queue_of(dq_producer *p, const enq_item *item)
{
    const dq_queue_set *set = dq_store_queues(p->client->store);

    if (item->queue.len > 0)
        return item->queue;
    const dq_queue *q = set->by_priority[item->priority ? item->priority : DQ_PRIORITY_DEFAULT];
    return q ? q->name : (dureq_str){0};
}

static enq_lane *lane_make(dq_producer *p, dureq_str name, size_t queue_len)
{
    enq_lane *lane = dq_calloc(1, sizeof *lane + p->n_shards * sizeof lane->no[0] + name.len);

    if (!lane)
        return NULL;
    char *text = (char *)&lane->no[p->n_shards];
    memcpy(text, name.ptr, name.len);
    lane->name = dureq_str_of(text, name.len);
    lane->queue_len = queue_len;
    lane_judge(p, lane);
    if (dq_map_put(&p->lanes, lane->name, lane) < 0) {
        dq_free(lane);
        return NULL;
    }
    return lane;
}

static enq_lane *lane_of(dq_producer *p, const enq_item *item)
{
    dureq_str queue = queue_of(p, item);

    if (queue.len == 0)
        return NULL;
    dq_buf_clear(&p->scratch);
    dq_buf_append_str(&p->scratch, queue);
    dq_buf_append_char(&p->scratch, '|');
    dq_buf_append_str(&p->scratch, item->task_type);
    dq_buf_append_char(&p->scratch, '|');
    if (dq_buf_failed(&p->scratch))
        return NULL;
    enq_lane *lane = dq_map_get(&p->lanes, dq_buf_str(&p->scratch));
    return lane ? lane : lane_make(p, dq_buf_str(&p->scratch), queue.len);
}

/* ---- requests ---- */

static void answer_no_lane(dq_producer *p, enq_item *item)
{
    if (queue_of(p, item).len > 0)
        dq_enq_answer(item, DUREQ_ENOMEM, NULL, "out of memory");
    else
        dq_enq_answer(item, DUREQ_ENOTFOUND, NULL, "no queue takes this priority");
}

/* One thing less to wait for. Behind the last one the request is its caller's again. */
static void request_step(enq_request *r)
{
    dq_mutex_lock(&r->mu);
    r->left--;
    if (r->left == 0)
        dq_cond_signal(&r->cond);
    dq_mutex_unlock(&r->mu);
}

void dq_enq_answer(enq_item *item, int code, const dq_id *id, const char *msg)
{
    enq_request *r = item->request;
    dureq_enqueue_result *result = &r->results[item->index];

    if (item->done)
        return;
    item->done = true;
    result->code = code;
    result->scheduled = code == 0 && item->scheduled;
    if (id)
        dq_id_to_text(id, &result->id);
    (void)snprintf(result->msg, sizeof result->msg, "%.95s", code < 0 && msg ? msg : "");
    request_step(r);
}

static void queue_up(dq_producer *p, enq_item *item)
{
    dq_list_push_back(&p->shards[item->shard].waiting, &item->link);
    dq_loop_defer(p->client->loop, &p->send);
}

/* Asking for a unique key on another shard; outlives an item whose caller gives up. */
typedef struct enq_reserve {
    dq_producer *producer;
    enq_item *item; /* NULL: nobody wants to know any more; the reservation runs out by itself */
} enq_reserve;

static void on_reserved(void *userdata, int code, const dq_reply *reply, const dureq_error *err)
{
    enq_reserve *op = userdata;
    dq_producer *p = op->producer;
    enq_item *item = op->item;
    dureq_str holder = code == 0 ? dq_reply_str(*reply) : (dureq_str){0};
    dq_id id;

    dq_free(op);
    if (!item)
        return;
    item->reserve = NULL;
    if (code == DUREQ_EUNAVAILABLE) {
        dq_enq_reserve(p, item); /* the same token: asking again changes nothing */
    } else if (code < 0) {
        dq_enq_answer(item, code, NULL, err->msg);
    } else if (holder.len == DQ_ID_BYTES && item->has_request) {
        item->token[0] = 'X'; /* the request may be known: its shard says, and refuses the key for us if not */
        memcpy(item->token + 1, holder.ptr, DQ_ID_BYTES);
        item->token_len = 1 + DQ_ID_BYTES;
        item->reserved_us = 0;
        queue_up(p, item);
    } else if (holder.len > 0) {
        dq_enq_answer(item, DUREQ_EDUPLICATE, dq_id_unpack(holder, &id) && id.ms ? &id : NULL,
                      "unique_key is held by a living job");
    } else {
        item->token_len = DQ_TOKEN_BYTES;
        queue_up(p, item);
    }
}

/* The unique key lives on another shard than the job: ask there first. */
void dq_enq_reserve(dq_producer *p, enq_item *item)
{
    const dq_keys *k = dq_client_keys(p->client);
    unsigned home = (unsigned)item->ukey_home;
    DQ_BUF_AUTO call = {0};

    dq_call_begin(&call, DQ_SCRIPT_KEY_RESERVE, 2, 2);
    dq_keys_arg(&call, k, home, "sh", (dureq_str){0});
    dq_keys_arg(&call, k, home, "u:", item->ukey);
    dq_resp_arg(&call, dureq_str_of(item->token, DQ_TOKEN_BYTES));
    dq_resp_arg_i64(&call, DQ_RESERVE_MS);
    enq_reserve *op = dq_calloc(1, sizeof *op);
    int rc = op && !dq_buf_failed(&call) ? 0 : DUREQ_ENOMEM;
    if (rc == 0) {
        *op = (enq_reserve){.producer = p, .item = item};
        rc = dq_store_send(p->client->store, home, DQ_SEND_WAIT, dq_buf_str(&call), on_reserved, op);
    }
    if (rc < 0) {
        dq_free(op);
        dq_enq_answer(item, rc, NULL, dureq_errcode_text(rc));
        return;
    }
    item->reserve = op;
    item->reserved_us = dq_mono_us();
}

static void on_confirmed(void *userdata, int code, const dq_reply *reply, const dureq_error *err)
{
    (void)userdata;
    (void)code;
    (void)reply;
    (void)err;
}

/* The ticker of the job's shard does it as well, from the outbox; but there may be none for longer than the reservation lasts. */
void dq_enq_confirm(enq_item *item, const dq_id *id)
{
    dureq_client *c = item->request->producer->client;
    const dq_keys *k = dq_client_keys(c);
    unsigned char packed[DQ_ID_BYTES];
    DQ_BUF_AUTO value = {0};
    DQ_BUF_AUTO call = {0};

    dq_id_pack(id, packed);
    dq_buf_append(&value, item->token, DQ_TOKEN_BYTES);
    dq_buf_append(&value, packed, sizeof packed);
    dq_buf_append_i64(&value, item->ukey_ms);
    dq_call_begin(&call, DQ_SCRIPT_KEY_SETTLE, 1, 4);
    dq_keys_arg(&call, k, (unsigned)item->ukey_home, "sh", (dureq_str){0});
    dq_resp_arg_i64(&call, item->shard);
    dq_resp_arg_text(&call, "k");
    dq_resp_arg(&call, item->ukey);
    dq_resp_arg_buf(&call, &value);
    if (!dq_buf_failed(&call))
        (void)dq_store_send(c->store, (unsigned)item->ukey_home, 0, dq_buf_str(&call), on_confirmed, NULL);
}

/* The shard of a job: where a limited queue lives whole, or its request id or unique key, or whichever takes jobs now. */
static void place(dq_producer *p, enq_item *item)
{
    if (item->lane->limited)
        item->shard =
            (int16_t)dq_keys_shard_of(dq_client_keys(p->client), dureq_str_of(item->lane->name.ptr, item->lane->queue_len));
    if (item->shard < 0)
        item->shard = (int16_t)p->current;
    if (item->ukey_home >= 0 && item->ukey_home != item->shard)
        dq_enq_reserve(p, item);
    else
        queue_up(p, item);
}

static void take_request(dq_message *m)
{
    enq_request *r = dq_container_of(m, enq_request, message);
    dq_producer *p = r->producer;
    enq_item *before = NULL;

    for (size_t i = 0; i < r->n; i++) {
        enq_item *item = &r->items[i];
        bool same = before && before->task_type.ptr == item->task_type.ptr && before->queue.ptr == item->queue.ptr &&
                    before->priority == item->priority;

        if (!p->shards && dq_store_is_up(p->client->store))
            dq_producer_up(p, /*same_server=*/true); /* there was no memory for them then */
        if (!p->shards) {
            dq_enq_answer(item, DUREQ_ENOMEM, NULL, "out of memory");
            continue;
        }
        item->lane = same ? before->lane : lane_of(p, item);
        if (!item->lane) {
            answer_no_lane(p, item);
            continue;
        }
        before = item;
        place(p, item);
    }
    request_step(r);
}

/* The caller's time is over. An item that flies may have been accepted; one that waits was not. */
static void withdraw(dq_message *m)
{
    enq_request *r = dq_container_of(m, enq_request, withdraw);

    for (size_t i = 0; i < r->n; i++) {
        enq_item *item = &r->items[i];

        if (item->done)
            continue;
        if (item->call) {
            item->call->items[item->call_slot] = NULL;
            dq_enq_answer(item, DUREQ_EUNKNOWN, NULL, "the call was sent, its answer did not come in time");
        } else {
            if (item->reserve)
                item->reserve->item = NULL;
            dq_list_remove(&item->link);
            dq_enq_answer(item, r->why.code, NULL, r->why.msg);
        }
    }
    request_step(r);
}

void dq_enq_submit(dq_producer *p, enq_request *r)
{
    r->producer = p;
    r->left = r->n + 1;
    r->message.fn = take_request;
    dq_loop_post(p->client->loop, &r->message);
}

void dq_enq_withdraw(enq_request *r)
{
    r->withdraw.fn = withdraw;
    dq_loop_post(r->producer->client->loop, &r->withdraw);
}
