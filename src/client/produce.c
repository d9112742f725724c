/* SPDX-License-Identifier: Apache-2.0 */
/* The loop's side of enqueueing. Jobs of all callers wait here per shard, in order; a few numbered calls fly at a time, and what arrives
   meanwhile goes with the next one. The lane cache lives until another server answers, which may have forgotten lanes; whether a lane's queue
   takes plain jobs follows the queue definitions. Loop thread. */

#include "client/produce.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/random.h"
#include "client/keys.h"
#include "store/plain_calls.h"

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

    s->token[0] = '\0';
    dq_plain_field(dq_redis_out(r), dq_client_keys(s->producer->client), s->no, "sh", DQ_STR_LIT("v"));
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
    dq_store *s = p->client->store;
    dureq_error why;

    if (queue_of(p, item).len > 0) {
        dq_enq_answer(item, DUREQ_ENOMEM, NULL, "out of memory");
    } else if (dq_store_queues(s)->n == 0 && !dq_store_is_up(s)) { /* and never was, with a prefix */
        dq_store_last_error(s, &why);
        dq_enq_answer(item, why.code, NULL, why.msg);
    } else {
        dq_enq_answer(item, DUREQ_ENOTFOUND, NULL, "no queue takes this priority");
    }
}

/* One thing less to wait for. After the last one the request is its caller's again. */
static void request_step(enq_request *r)
{
    dq_mutex_lock(&r->mu);
    bool is_last = --r->left == 0;
    void (*done)(enq_request *) = r->done;
    if (is_last && !done)
        dq_cond_signal(&r->cond);
    dq_mutex_unlock(&r->mu);
    if (is_last && done)
        done(r);
}

void dq_enq_answer(enq_item *item, int code, const dq_id *id, const char *msg)
{
    enq_request *r = item->request;
    dureq_enqueue_result *result = &r->results[item->index];

    if (item->done)
        return;
    item->done = true;
    result->code = code;
    result->scheduled = code == 0 && item->scheduled && !result->existing;
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

/* ---- unique keys of other shards ---- */

/* Asking for a unique key on another shard, or for its holder; outlives an item whose caller gives up. */
typedef struct enq_reserve {
    dq_producer *producer;
    enq_item *item;     /* NULL: nobody wants to know any more; the reservation runs out by itself */
    dq_id known_holder; /* as the refusal named it; ms 0: it did not */
    dq_key_holder holder;
} enq_reserve;

static void take_over(dq_producer *p, enq_item *item, const dq_id *holder);

/* The op is over; returns its item, NULL when that has gone. */
static enq_item *reserve_end(enq_reserve *op)
{
    enq_item *item = op->item;

    dq_free(op);
    if (item)
        item->reserve = NULL;
    return item;
}

/* Sends a call of an op for the item. When it cannot be sent, the item is answered so. */
static void reserve_send(enq_reserve *op, unsigned shard, dq_buf *call, dq_store_fn fn)
{
    int rc = dq_buf_failed(call) ? DUREQ_ENOMEM
                                 : dq_store_send(op->producer->client->store, shard, DQ_SEND_WAIT, dq_buf_str(call), fn, op);

    dq_buf_deinit(call);
    if (rc == 0)
        return;
    enq_item *item = reserve_end(op);
    if (item)
        dq_enq_answer(item, rc, NULL, dureq_errcode_text(rc));
}

static enq_reserve *reserve_begin(dq_producer *p, enq_item *item, const dq_id *holder)
{
    enq_reserve *op = dq_calloc(1, sizeof *op);

    if (!op) {
        dq_enq_answer(item, DUREQ_ENOMEM, NULL, dureq_errcode_text(DUREQ_ENOMEM));
        return NULL;
    }
    op->producer = p;
    op->item = item;
    if (holder)
        op->known_holder = *holder;
    item->reserve = op;
    return op;
}

/* A living job has the key. The request may be known all the same: its shard says, and refuses the key for us if not. */
static void held(dq_producer *p, enq_item *item, const dq_id *holder)
{
    bool was_asked = item->token_len == 1 + DQ_ID_BYTES;

    if (item->has_request && item->ukey_home != item->shard && !was_asked) {
        item->token[0] = 'X';
        dq_id_pack(holder, item->token + 1);
        item->token_len = 1 + DQ_ID_BYTES;
        item->reserved_us = 0;
        queue_up(p, item);
        return;
    }
    dq_enq_answer(item, DUREQ_EDUPLICATE, holder->ms ? holder : NULL, "unique_key is held by a living job");
}

static void on_reserved(void *userdata, int code, const dq_reply *reply, const dureq_error *err)
{
    enq_reserve *op = userdata;
    dq_producer *p = op->producer;
    dureq_str holder = code == 0 ? dq_reply_str(*reply) : (dureq_str){0};
    enq_item *item = reserve_end(op);
    dq_id id;

    if (!item)
        return;
    if (code == DUREQ_EUNAVAILABLE) {
        dq_enq_reserve(p, item); /* the same token: asking again changes nothing */
    } else if (code < 0) {
        dq_enq_answer(item, code, NULL, err->msg);
    } else if (holder.len > 0) {
        dq_enq_held(item, dq_id_unpack(holder, &id) ? &id : &(dq_id){0});
    } else {
        item->token_len = DQ_KEY_TOKEN_BYTES;
        queue_up(p, item);
    }
}

/* The unique key lives on another shard than the job: ask there first. */
void dq_enq_reserve(dq_producer *p, enq_item *item)
{
    enq_reserve *op = reserve_begin(p, item, NULL);
    dq_buf call = {0};

    if (!op)
        return;
    item->reserved_us = dq_mono_us();
    dq_call_key_reserve(&call, dq_client_keys(p->client), (unsigned)item->ukey_home, item->ukey,
                        dureq_str_of(item->token, DQ_KEY_TOKEN_BYTES), DQ_RESERVE_MS);
    reserve_send(op, (unsigned)item->ukey_home, &call, on_reserved);
}

/* ---- taking over from a job that is not alive: see keys.c, which does the same for callers' threads ---- */

/* Whether there is an answer to go on with; else the item has its own. */
static bool take_over_answered(enq_reserve *op, int code, const dureq_error *err)
{
    dq_producer *p = op->producer;
    dq_id holder = op->known_holder;

    if (code == 0 && op->item)
        return true;
    enq_item *item = reserve_end(op);
    if (item && code == DUREQ_EUNAVAILABLE)
        take_over(p, item, &holder); /* from the start: what was freed is free */
    else if (item)
        dq_enq_answer(item, code, NULL, err->msg);
    return false;
}

/* The key was let go: another may have it by now, and is alive. */
static void go_again(enq_reserve *op)
{
    dq_producer *p = op->producer;
    enq_item *item = reserve_end(op);

    item->token_len = 0;
    if (item->ukey_home != item->shard)
        dq_enq_reserve(p, item);
    else
        queue_up(p, item);
}

static void still_held(enq_reserve *op)
{
    dq_producer *p = op->producer;
    dq_id holder = op->known_holder;

    held(p, reserve_end(op), &holder);
}

static void on_freed(void *userdata, int code, const dq_reply *reply, const dureq_error *err)
{
    (void)reply;
    if (take_over_answered(userdata, code, err))
        go_again(userdata);
}

static void on_owner(void *userdata, int code, const dq_reply *reply, const dureq_error *err)
{
    enq_reserve *op = userdata;
    dq_buf call = {0};

    if (!take_over_answered(op, code, err))
        return;
    if (dq_reply_int(*reply) == 1) {
        still_held(op);
        return;
    }
    unsigned home = (unsigned)op->item->ukey_home;
    dq_call_key_settle(&call, dq_client_keys(op->producer->client), home, op->holder.shard, DQ_KEY_FREE, op->item->ukey,
                       dq_key_holder_value(&op->holder));
    reserve_send(op, home, &call, on_freed);
}

static void on_looked(void *userdata, int code, const dq_reply *reply, const dureq_error *err)
{
    enq_reserve *op = userdata;
    dq_buf call = {0};

    if (!take_over_answered(op, code, err))
        return;
    const dq_keys *k = dq_client_keys(op->producer->client);
    int rc = dq_key_holder_decode(dq_reply_str(dq_reply_at(*reply, 0)), dq_reply_int(dq_reply_at(*reply, 1)), k, &op->holder);
    if (rc == 0 && op->holder.how == DQ_KEY_FREE_NOW) {
        go_again(op);
    } else if (rc < 0 || !dq_key_may_be_freed(&op->holder, NULL)) {
        still_held(op);
    } else {
        dq_call_key_owner(&call, k, op->holder.shard, dureq_str_of(op->holder.id, DQ_ID_BYTES));
        reserve_send(op, op->holder.shard, &call, on_owner);
    }
}

static void take_over(dq_producer *p, enq_item *item, const dq_id *holder)
{
    enq_reserve *op = reserve_begin(p, item, holder);
    dq_buf call = {0};

    if (!op)
        return;
    dq_call_key_look(&call, dq_client_keys(p->client), (unsigned)item->ukey_home, item->ukey);
    reserve_send(op, (unsigned)item->ukey_home, &call, on_looked);
}

/* Once an item: whoever has the key after that is alive, or was until just now. */
void dq_enq_held(enq_item *item, const dq_id *holder)
{
    dq_producer *p = item->request->producer;
    bool may_be_dead = item->ukey_home >= 0 && holder->ms && holder->shard != item->ukey_home;

    if (!may_be_dead || item->has_looked) {
        held(p, item, holder);
        return;
    }
    item->has_looked = true;
    take_over(p, item, holder);
}

static void on_confirmed(void *userdata, int code, const dq_reply *reply, const dureq_error *err)
{
    (void)userdata;
    (void)code;
    (void)reply;
    (void)err;
}

/* The leader of the job's shard does it as well, from the outbox; but there may be none for longer than the reservation lasts. */
void dq_enq_confirm(enq_item *item, const dq_id *id)
{
    dureq_client *c = item->request->producer->client;
    unsigned char packed[DQ_ID_BYTES];
    DQ_BUF_AUTO value = {0};
    DQ_BUF_AUTO call = {0};

    dq_id_pack(id, packed);
    dq_key_word_value(&value, dureq_str_of(item->token, DQ_KEY_TOKEN_BYTES), dureq_str_of(packed, sizeof packed), item->ukey_ms);
    dq_call_key_settle(&call, dq_client_keys(c), (unsigned)item->ukey_home, (unsigned)item->shard, DQ_KEY_CONFIRM, item->ukey,
                       dq_buf_str(&value));
    if (!dq_buf_failed(&call) && !dq_buf_failed(&value))
        (void)dq_store_send(c->store, (unsigned)item->ukey_home, 0, dq_buf_str(&call), on_confirmed, NULL);
}

static void placed(dq_producer *p, enq_item *item)
{
    if (item->shard < 0)
        item->shard = (int16_t)p->current;
    if (item->ukey_home >= 0 && item->ukey_home != item->shard)
        dq_enq_reserve(p, item);
    else
        queue_up(p, item);
}

static void look_at_home(dq_producer *p, enq_item *item);

static void on_home(void *userdata, int code, const dq_reply *reply, const dureq_error *err)
{
    enq_reserve *op = userdata;
    dq_producer *p = op->producer;
    dureq_str known = code == 0 ? dq_reply_str(*reply) : (dureq_str){0};
    enq_item *item = reserve_end(op);
    dq_id id;

    if (!item)
        return;
    if (code == DUREQ_EUNAVAILABLE) {
        look_at_home(p, item);
    } else if (code < 0) {
        dq_enq_answer(item, code, NULL, err->msg);
    } else if (dq_id_unpack(known, &id)) {
        item->request->results[item->index].existing = true;
        dq_enq_answer(item, 0, &id, NULL);
    } else {
        placed(p, item);
    }
}

/* A limited queue lives whole on one shard, and what request ids its jobs had before it was limited is known on theirs. */
static void look_at_home(dq_producer *p, enq_item *item)
{
    const dq_keys *k = dq_client_keys(p->client);
    unsigned home = dq_keys_shard_of(k, item->request_id);
    enq_reserve *op = reserve_begin(p, item, NULL);
    dq_buf call = {0};

    if (!op)
        return;
    dq_plain_get(&call, k, home, "r:", item->request_id);
    reserve_send(op, home, &call, on_home);
}

/* The shard of a job: where a limited queue lives whole, or its request id or unique key, or whichever takes jobs now. */
static void place(dq_producer *p, enq_item *item)
{
    int16_t home = item->shard;

    if (item->lane->limited)
        item->shard =
            (int16_t)dq_keys_shard_of(dq_client_keys(p->client), dureq_str_of(item->lane->name.ptr, item->lane->queue_len));
    if (item->has_request && item->shard != home)
        look_at_home(p, item);
    else
        placed(p, item);
}

static void take_items(enq_request *r)
{
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

static void take_request(dq_message *m)
{
    take_items(dq_container_of(m, enq_request, message));
}

/* The caller's time is over. An item that flies may have been accepted; one that waits was not. */
static void drop_items(enq_request *r)
{
    for (size_t i = 0; i < r->n; i++) {
        enq_item *item = &r->items[i];

        if (item->done)
            continue;
        if (item->call) {
            item->call->items[item->call_slot] = NULL;
            dq_enq_answer(item, DUREQ_EUNKNOWN, NULL, DQ_ENQ_NO_ANSWER);
        } else {
            if (item->reserve)
                item->reserve->item = NULL;
            dq_list_remove(&item->link);
            dq_enq_answer(item, r->why.code, NULL, r->why.msg);
        }
    }
    request_step(r);
}

static void withdraw(dq_message *m)
{
    drop_items(dq_container_of(m, enq_request, withdraw));
}

static void request_for(dq_producer *p, enq_request *r)
{
    r->producer = p;
    r->left = r->n + 1;
}

void dq_enq_take(dq_producer *p, enq_request *r)
{
    request_for(p, r);
    take_items(r);
}

void dq_enq_drop(enq_request *r)
{
    r->left++; /* loop thread, as is whoever else counts it down */
    drop_items(r);
}

void dq_enq_submit(dq_producer *p, enq_request *r)
{
    request_for(p, r);
    r->message.fn = take_request;
    dq_loop_post(p->client->loop, &r->message);
}

void dq_enq_withdraw(enq_request *r)
{
    r->withdraw.fn = withdraw;
    dq_loop_post(r->producer->client->loop, &r->withdraw);
}
