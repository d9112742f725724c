/* SPDX-License-Identifier: Apache-2.0 */
/* Numbered calls of a producer to one shard: built from what waits, kept until answered, sent again byte for byte, oldest first, after a
   lost connection. The server keeps the highest number it saw and its last 64 answers, so a repeat is answered and not executed twice.

   Two forms. Fast: MULTI, one XADD a job (and a SET of a large payload), enqueue_seal, EXEC; for jobs that start at once and hold no keys, of lanes
   that are known.
   The seal is sent as text: were its hash unknown to the server, EXEC would add the jobs unsealed. General: enqueue.lua, for everything else, and for a
   fast call that was refused as a whole (nothing of it was executed). Loop thread. */

#include <stdio.h>

#include "base/clock.h"
#include "client/produce.h"
#include "store/plain_calls.h"

/* A call that is older than the server remembers a producer may have been executed and forgotten: ten minutes before that, no more. */
#define REPEAT_LIMIT_US ((DQ_PRODUCER_KEPT_MS - 600000) * 1000)

void dq_enq_call_free(enq_call *call)
{
    dq_buf_deinit(&call->bytes);
    dq_free(call);
}

static void call_drop(enq_shard *s, enq_call *call)
{
    for (size_t i = 0; i < call->n; i++)
        if (call->items[i])
            call->items[i]->call = NULL;
    dq_list_remove(&call->link);
    s->n_flying--;
    dq_enq_call_free(call);
}

/* The item of a slot, out of the call: after its answer it is its caller's again. NULL when the caller gave up. */
static enq_item *item_out(enq_call *call, size_t slot)
{
    enq_item *item = call->items[slot];

    call->items[slot] = NULL;
    if (item)
        item->call = NULL;
    return item;
}

static void call_failed(enq_shard *s, enq_call *call, int code, const char *msg)
{
    for (size_t i = 0; i < call->n; i++) {
        enq_item *item = item_out(call, i);

        if (item)
            dq_enq_answer(item, code, NULL, msg);
    }
    call_drop(s, call);
}

/* ---- building ---- */

static dq_enqueue_head head_of(const enq_call *call)
{
    return (dq_enqueue_head){.shard = call->shard, .producer = dureq_str_from(call->producer->id), .number = call->number};
}

static void put_fast(enq_call *call, const dq_keys *k, const char *token)
{
    dq_enqueue_head head = head_of(call);
    dq_seal seal;

    dq_seal_begin(&seal, &call->bytes, k, &head);
    for (size_t i = 0; i < call->n; i++) {
        const enq_item *item = call->items[i];

        call->lane_nos[i] = item->lane->no[call->shard];
        call->large[i] = item->job.large;
        dq_seal_add(&seal, call->lane_nos[i], &item->request->args, &item->job);
    }
    dq_seal_end(&seal, token, /*by_name=*/false);
    dq_plain_exec(&call->bytes);
    call->n_executed = seal.n_replies;
}

/* Lanes of the general call, each once. */
typedef struct lane_list {
    const enq_lane *lanes[DQ_ENQUEUE_JOBS_MAX];
    dureq_str names[DQ_ENQUEUE_JOBS_MAX];
    size_t n;
    size_t of[DQ_ENQUEUE_JOBS_MAX]; /* a job */
} lane_list;

static size_t lane_index(lane_list *l, const enq_lane *lane)
{
    for (size_t i = 0; i < l->n; i++)
        if (l->lanes[i] == lane)
            return i;
    l->lanes[l->n] = lane;
    l->names[l->n] = lane->name;
    return l->n++;
}

static void put_general(enq_call *call, const dq_keys *k)
{
    dq_enqueue_head head = head_of(call);
    lane_list l;

    l.n = 0;
    for (size_t i = 0; i < call->n; i++)
        l.of[i] = lane_index(&l, call->items[i]->lane);
    dq_enqueue e = dq_enqueue_begin(&call->bytes, k, &head, l.names, l.n);
    for (size_t i = 0; i < call->n; i++) {
        const enq_item *item = call->items[i];

        dq_enqueue_add(&e, l.of[i], &item->request->args, &item->job, dureq_str_of(item->token, item->token_len));
    }
    dq_enqueue_end(&e);
}

/* ---- answers ---- */

#define UNREADABLE "the answer of an enqueue call cannot be read"

/* "queue 'low' is full" */
static void refuse_by_queue(enq_item *item, int code, const char *what)
{
    dureq_str rest = item->lane->name, queue = dq_str_cut(&rest, '|');
    char msg[sizeof(((dureq_enqueue_result *)0)->msg)];

    (void)snprintf(msg, sizeof msg, "queue '%.*s' %s", (int)DQ_MIN(queue.len, (size_t)64), queue.ptr, what);
    dq_enq_answer(item, code, NULL, msg);
}

/* Requests of jobs, workflows and batches are names of one kind; a workflow's id and a batch's have lane 0. */
static void answer_known(enq_item *item, const dq_id *id)
{
    char msg[sizeof(((dureq_enqueue_result *)0)->msg)];
    dureq_job_id text;

    if (id->lane == 0) {
        dq_id_to_text(id, &text);
        (void)snprintf(msg, sizeof msg, "its request id belongs to workflow or batch %s", text.text);
        dq_enq_answer(item, DUREQ_ECONFLICT, NULL, msg);
        return;
    }
    item->request->results[item->index].existing = true;
    dq_enq_answer(item, 0, id, NULL);
}

static void answer_item(enq_item *item, int kind, const dq_id *id)
{
    switch ((dq_enqueue_result)kind) {
    case DQ_ENQUEUE_NO_QUEUE: refuse_by_queue(item, DUREQ_ENOTFOUND, "is not defined"); break;
    case DQ_ENQUEUE_FULL: refuse_by_queue(item, DUREQ_ELIMIT, "is full"); break;
    case DQ_ENQUEUE_KEY_HELD: dq_enq_held(item, id); break;
    case DQ_ENQUEUE_KNOWN: answer_known(item, id); break;
    case DQ_ENQUEUE_NO_LANE:
        dq_enq_answer(item, DUREQ_ELIMIT, NULL,
                      "there are 262143 pairs of queue and task type, and no number is left for another");
        break;
    case DQ_ENQUEUE_ACCEPTED:
        if (item->token_len == DQ_KEY_TOKEN_BYTES)
            dq_enq_confirm(item, id);
        dq_enq_answer(item, 0, id, NULL);
        break;
    }
}

/* In the order of the answer: jobs as they were sent, or lane by lane (a sealed call's). */
static void take_answer(enq_shard *s, enq_call *call, dureq_str answer)
{
    dq_enqueue_answer a = dq_enqueue_answer_of(answer, s->no);
    bool taken[DQ_ENQUEUE_JOBS_MAX] = {false};

    for (size_t done = 0, i = 0; done < call->n; done++) {
        dq_id id = {0};
        int kind = dq_enqueue_answer_next(&a, &id);

        if (kind < 0) {
            call_failed(s, call, DUREQ_EPROTO, UNREADABLE);
            return;
        }
        if (a.by_lane)
            for (i = 0; i < call->n && (taken[i] || call->lane_nos[i] != id.lane); i++)
                ;
        if (i >= call->n)
            continue;
        taken[i] = true;
        if (kind == DQ_ENQUEUE_ACCEPTED)
            call->lanes[i]->no[s->no] = id.lane;
        if (kind == DQ_ENQUEUE_NO_QUEUE)
            dq_store_refresh_queues(call->producer->client->store);
        enq_item *item = item_out(call, i);
        if (item)
            answer_item(item, kind, &id);
        i++;
    }
    /* Whoever is left was not answered: the lanes of a sealed answer are others than those of the call. */
    call_failed(s, call, DUREQ_EPROTO, UNREADABLE);
}

/* Ids of a fast call from the answers of its XADDs: exact, and in the order of the jobs. */
static void take_entries(enq_shard *s, enq_call *call, dq_reply exec)
{
    dq_reply at = dq_reply_first(exec);

    for (size_t i = 0; i < call->n; i++) {
        dq_id id;
        if (call->large[i]) /* the SET of its payload */
            at = dq_reply_next(at);
        bool ok = dq_id_from_entry(dq_reply_str(at), call->lane_nos[i], (uint16_t)s->no, &id);

        enq_item *item = item_out(call, i);
        if (item)
            dq_enq_answer(item, ok ? 0 : DUREQ_EPROTO, ok ? &id : NULL, "XADD did not answer with an id");
        at = dq_reply_next(at);
    }
    call_drop(s, call);
}

static void fly(enq_shard *s, enq_call *call);

static void go_general(enq_shard *s, enq_call *call)
{
    for (size_t i = 0; i < call->n; i++)
        if (!call->items[i]) { /* its bytes are gone with its caller */
            call_failed(s, call, DUREQ_EUNKNOWN, "the call was refused and cannot be built again");
            return;
        }
    /* A new number: calls after this one may have been accepted meanwhile, and a lower number counts as a repeat. */
    call->number = s->next_number++;
    dq_list_remove(&call->link);
    dq_list_push_back(&s->flying, &call->link);
    dq_buf_clear(&call->bytes);
    call->fast = false;
    put_general(call, dq_client_keys(call->producer->client));
    fly(s, call);
}

static void on_general(void *userdata, int code, const dq_reply *reply, const dureq_error *err)
{
    enq_call *call = userdata;
    enq_shard *s = &call->producer->shards[call->shard];

    if (code >= 0 && !s->token[0] && !s->asks_token) /* when it was time to ask there was no memory to */
        dq_enq_ask_token(s);
    if (code == DUREQ_EUNAVAILABLE || code == DUREQ_ECLOSED)
        call->lost = true;
    else if (code < 0)
        call_failed(s, call, code, err->msg);
    else
        take_answer(s, call, dq_reply_str(*reply));
    dq_loop_defer(s->producer->client->loop, &s->producer->send);
}

static void on_fast(void *userdata, int code, const dq_reply *reply, const dureq_error *err)
{
    enq_call *call = userdata;
    enq_shard *s = &call->producer->shards[call->shard];
    dureq_error why;
    dq_reply seal;

    dq_loop_defer(s->producer->client->loop, &s->producer->send);
    if (code == DUREQ_EUNAVAILABLE || code == DUREQ_ECLOSED) {
        call->lost = true;
        return;
    }
    if (code < 0 || dq_reply_len(*reply) != call->n_executed) {
        (void)err;
        go_general(s, call); /* EXECABORT: not executed; the general call says why in its own words */
        return;
    }
    seal = dq_reply_at(*reply, call->n_executed - 1);
    dureq_str answer = dq_reply_str(seal);
    code = dq_reply_error(seal, &why);
    if (code < 0) {
        call_failed(s, call, code, why.msg);
        return;
    }
    switch (dq_seal_result_of(answer)) {
    case DQ_SEAL_REFUSED:
        dq_enq_ask_token(s);
        go_general(s, call);
        break;
    case DQ_SEAL_NEW: take_entries(s, call, *reply); break;
    case DQ_SEAL_KNOWN: take_answer(s, call, answer); break;
    }
}

/* ---- sending ---- */

static void fly(enq_shard *s, enq_call *call)
{
    dq_store *store = call->producer->client->store;
    int rc;

    if (dq_buf_failed(&call->bytes)) {
        call_failed(s, call, DUREQ_ENOMEM, "out of memory");
        return;
    }
    call->lost = false;
    if (call->fast) {
        dq_redis *r = dq_store_redis(store, s->no, DQ_CONN_MAIN);

        dq_buf_append_buf(dq_redis_out(r), &call->bytes);
        rc = dq_redis_commit_many(r, 0, call->n_executed + 2, on_fast, call);
    } else {
        rc = dq_store_send(store, s->no, 0, dq_buf_str(&call->bytes), on_general, call);
    }
    if (rc == DUREQ_EUNAVAILABLE)
        call->lost = true;
    else if (rc < 0)
        call_failed(s, call, rc, dureq_errcode_text(rc));
}

static bool token_holds(const enq_shard *s)
{
    return s->token[0] && dq_store_queue_reads(s->producer->client->store) >= s->token_reads;
}

static bool may_be_fast(const enq_shard *s, const enq_item *item)
{
    return (item->job.kind == DQ_ENQUEUE_READY || item->job.large) && item->lane->plain && item->lane->no[s->no] > 0;
}

/* Takes what fits into one call from the front of the queue. */
static enq_call *collect(enq_shard *s)
{
    enq_call *call = dq_calloc(1, sizeof *call);
    int64_t now_us = dq_mono_us();
    size_t bytes = 0;
    bool fast = token_holds(s);

    if (!call)
        return NULL;
    call->producer = s->producer;
    call->shard = s->no;
    while (call->n < DQ_ENQUEUE_JOBS_MAX && !dq_list_empty(&s->waiting)) {
        enq_item *item = dq_container_of(s->waiting.next, enq_item, link);

        bool still_fast = fast && may_be_fast(s, item);

        if (call->n > 0 && bytes + item->job.len > (still_fast ? DQ_FAST_BYTES_MAX : DQ_CALL_BYTES_MAX))
            break;
        dq_list_remove(&item->link);
        if (item->reserved_us && now_us - item->reserved_us > DQ_RESERVE_FIRST_US) {
            dq_enq_reserve(s->producer, item);
            continue;
        }
        if (item->reserved_us && (!call->reserved_us || item->reserved_us < call->reserved_us))
            call->reserved_us = item->reserved_us;
        bytes += item->job.len;
        fast = still_fast;
        item->call = call;
        item->call_slot = call->n;
        call->lanes[call->n] = item->lane;
        call->items[call->n++] = item;
    }
    call->fast = fast;
    return call;
}

static void refuse_waiting(enq_shard *s)
{
    while (!dq_list_empty(&s->waiting))
        dq_enq_answer(dq_container_of(dq_list_pop_front(&s->waiting), enq_item, link), DUREQ_ENOMEM, NULL, "out of memory");
}

void dq_enq_send(enq_shard *s)
{
    dureq_client *c = s->producer->client;

    while (dq_store_is_up(c->store) && s->n_flying < DQ_CALLS_FLYING && !dq_list_empty(&s->waiting)) {
        enq_call *call = collect(s);

        if (!call) { /* nothing may ever come that tries again */
            refuse_waiting(s);
            return;
        }
        if (call->n == 0) {
            dq_free(call);
            continue;
        }
        call->number = s->next_number++;
        call->first_sent_us = dq_mono_us();
        if (call->fast)
            put_fast(call, dq_client_keys(c), s->token);
        else
            put_general(call, dq_client_keys(c));
        dq_list_push_back(&s->flying, &call->link);
        s->n_flying++;
        fly(s, call);
        s->producer->current = (s->producer->current + 1) % s->producer->n_shards;
    }
}

/* A fast call names lanes by numbers, which another server may have given to others: its general form, under the same number. */
static bool by_name(enq_shard *s, enq_call *call)
{
    for (size_t i = 0; i < call->n; i++)
        if (!call->items[i]) {
            call_failed(s, call, DUREQ_EUNKNOWN, "its answer was lost and the call cannot be built again");
            return false;
        }
    call->fast = false;
    dq_buf_clear(&call->bytes);
    put_general(call, dq_client_keys(call->producer->client));
    return true;
}

/* Oldest first: a number that comes after a higher one would be taken for a repeat. */
void dq_enq_resend(enq_shard *s, bool same_server)
{
    dq_list again;

    dq_list_init(&again);
    dq_list_splice_back(&again, &s->flying);
    while (!dq_list_empty(&again)) {
        enq_call *call = dq_container_of(dq_list_pop_front(&again), enq_call, link);

        dq_list_push_back(&s->flying, &call->link);
        if (!call->lost)
            continue;
        if (call->fast && !same_server && !by_name(s, call))
            continue;
        if (dq_mono_us() - call->first_sent_us > REPEAT_LIMIT_US ||
            (call->reserved_us && dq_mono_us() - call->reserved_us > DQ_RESERVE_AGAIN_US))
            call_failed(s, call, DUREQ_EUNKNOWN, "the connection was lost for too long to know what became of the call");
        else
            fly(s, call);
    }
}
