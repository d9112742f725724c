/* SPDX-License-Identifier: Apache-2.0 */
/* Calls: bytes go to the loop by mailbox, the reply comes back. A call that ended for who asked (request.c) may still be under way; the answer
   then only lets go of it.

   Answers that may be large are asked for a few at a time (struct dq_large_room): Redis drops a connection that is subscribed, as the store's is, when
   more than 32 MiB of answers wait for it, and it holds the answers of any connection in its memory until they are read. So each such call has a
   number of units, about 2 MiB each, and waits in the client until there is room for them. */

#include "client/request_internal.h"

#define ROOM_MAIN 12 /* units */
#define ROOM_BULK 1  /* payloads, of any size, one at a time */

typedef struct pending_call {
    dq_request request;
    unsigned shard, flags;
    int n_replies;       /* 0: a script call for the store; else plain commands */
    dq_store_conn which; /* for these */
    int units;           /* 0: its answer is small */
    bool has_room;
    dq_list link; /* waits for room */
    dq_buf bytes;
} pending_call;

static pending_call *call_of(dq_request *r)
{
    return dq_container_of(r, pending_call, request);
}

static void send_call(pending_call *p);
static void finish(pending_call *p, const dureq_error *err, const dq_reply *reply, dureq_str raw);

static dq_large_room *room_of(const pending_call *p)
{
    dureq_client *c = p->request.client;

    return p->which == DQ_CONN_BULK ? &c->room_bulk : &c->room_main;
}

void dq_client_rooms_init(dureq_client *c)
{
    c->room_main.free = ROOM_MAIN;
    c->room_bulk.free = ROOM_BULK;
    dq_list_init(&c->room_main.waiting);
    dq_list_init(&c->room_bulk.waiting);
}

static void fail_all(dq_list *list)
{
    dureq_error why;

    (void)dq_fail(&why, DUREQ_ECLOSED, "the client was closed");
    while (!dq_list_empty(list))
        finish(dq_container_of(dq_list_pop_front(list), pending_call, link), &why, NULL, (dureq_str){0});
}

void dq_client_rooms_close(dureq_client *c)
{
    fail_all(&c->room_main.waiting);
    fail_all(&c->room_bulk.waiting);
}

/* In their order. */
static void let_in(dq_large_room *room)
{
    while (!dq_list_empty(&room->waiting)) {
        pending_call *p = dq_container_of(room->waiting.next, pending_call, link);

        if (p->units > room->free)
            return;
        dq_list_remove(&p->link);
        room->free -= p->units;
        p->has_room = true;
        send_call(p);
    }
}

/* The store's end answers what flies; then nobody else is sent. */
static void leave_room(pending_call *p, int code)
{
    dq_large_room *room = room_of(p);

    p->has_room = false;
    room->free += p->units;
    if (code != DUREQ_ECLOSED)
        let_in(room);
}

/* The last of a call: nothing of it is under way any more. */
static void finish(pending_call *p, const dureq_error *err, const dq_reply *reply, dureq_str raw)
{
    int code = err ? err->code : 0;

    dq_request_end(&p->request, &(dq_answer){.code = code, .err = err, .reply = reply, .state = -1}, raw);
    if (p->has_room)
        leave_room(p, code);
    dq_request_unref(&p->request);
}

static void on_answer(void *userdata, int code, const dq_reply *reply, const dureq_error *err)
{
    pending_call *p = userdata;
    dureq_error why;

    if (code == 0 && reply) {
        finish(p, NULL, reply, dq_redis_reply_raw(dq_store_redis(p->request.client->store, p->shard, p->which)));
        return;
    }
    why = *err;
    if (code == DUREQ_EUNAVAILABLE && (p->flags & DQ_CALL_REPEAT) && !p->request.is_ended) {
        send_call(p);
        return;
    }
    if (code == DUREQ_EUNAVAILABLE && !reply) /* else the server itself said that it did nothing */
        dq_fail(&why, DUREQ_EUNKNOWN, "the connection was lost before the answer came: %.150s", err->msg);
    finish(p, &why, NULL, (dureq_str){0});
}

static void send_call(pending_call *p)
{
    dureq_client *c = p->request.client;
    dureq_str bytes = dq_buf_str(&p->bytes);
    dureq_error why;
    int rc;

    if (p->n_replies == 0) {
        rc = dq_store_send(c->store, p->shard, DQ_SEND_WAIT, bytes, on_answer, p);
    } else {
        dq_redis *r = dq_store_redis(c->store, p->shard, p->which);

        if (r)
            dq_buf_append_str(dq_redis_out(r), bytes);
        rc = r ? dq_redis_commit_many(r, DQ_REDIS_HOLD, (size_t)p->n_replies, on_answer, p) : DUREQ_ENOMEM;
    }
    if (rc < 0) {
        dq_fail(&why, rc, "the call could not be sent: %s", dureq_errcode_text(rc));
        finish(p, &why, NULL, (dureq_str){0});
    }
}

static void start_call(dq_request *r)
{
    pending_call *p = call_of(r);

    dq_request_ref(r);
    if (p->units == 0) {
        send_call(p);
        return;
    }
    dq_list_push_back(&room_of(p)->waiting, &p->link);
    let_in(room_of(p));
}

/* Who waits for room need not go on to do so; what is under way goes on. */
static void leave_call(dq_request *r)
{
    pending_call *p = call_of(r);

    if (!dq_list_linked(&p->link))
        return;
    dq_list_remove(&p->link);
    dq_request_unref(r);
}

int dq_client_why_down(dureq_client *c, dureq_error *err)
{
    dq_mutex_lock(&c->mu);
    dureq_error why = c->why;
    dq_mutex_unlock(&c->mu);
    if (why.code == 0)
        return dq_fail(err, DUREQ_ETIMEOUT, "no answer in time");
    if (err)
        *err = why;
    return why.code;
}

static int late_call(dq_request *r, dureq_error *err)
{
    return dq_client_why_down(r->client, err);
}

static void destroy_call(dq_request *r)
{
    pending_call *p = call_of(r);

    dq_buf_deinit(&p->bytes);
    dq_request_deinit(r);
    dq_free(p);
}

static const dq_request_kind call_kind = {.start = start_call, .leave = leave_call, .late = late_call, .destroy = destroy_call};

/* Takes bytes, also when there is no memory. */
static pending_call *call_create(dureq_client *c, unsigned shard, unsigned flags, dq_buf *bytes, dq_request_fn fn, void *userdata)
{
    pending_call *p = dq_buf_failed(bytes) ? NULL : dq_calloc(1, sizeof *p);

    if (!p) {
        dq_buf_deinit(bytes);
        return NULL;
    }
    dq_request_init(&p->request, &call_kind, c, fn ? dq_client_deadline_us(c) : -1, fn, userdata);
    p->shard = shard;
    p->flags = flags;
    p->which = DQ_CONN_MAIN;
    p->units = (int)(flags / DQ_CALL_LARGE);
    p->bytes = *bytes;
    *bytes = (dq_buf){0};
    return p;
}

int dq_client_submit_call(dureq_client *c, unsigned shard, unsigned flags, dq_buf *bytes, dq_request_fn fn, void *userdata,
                          dq_request **ret, dureq_error *err)
{
    pending_call *p = call_create(c, shard, flags, bytes, fn, userdata);

    return p ? dq_request_submit(&p->request, ret, err) : dq_fail_nomem(err);
}

/* ---- a thread waits ---- */

/* There is an answer. What was only read is not; what was changed may be, so DUREQ_ENOMEM, which says that nothing happened, would be wrong. */
static int answer_without_memory(const pending_call *p, dureq_error *err)
{
    if (p->flags & DQ_CALL_REPEAT)
        return dq_fail_nomem(err);
    return dq_fail(err, DUREQ_EUNKNOWN, "an answer came, but there was no memory to read it");
}

static int call_end(pending_call *p, int64_t deadline_us, dq_owned_reply *ret, dureq_error *err)
{
    int rc;

    rc = dq_request_await(&p->request, deadline_us, err);
    if (rc == 0) {
        rc = dq_buf_failed(&p->request.reply) ? DUREQ_ENOMEM : dq_owned_reply_parse(&p->request.reply, ret, err);
        if (rc == DUREQ_ENOMEM)
            rc = answer_without_memory(p, err);
    }
    dq_request_release(&p->request);
    return rc;
}

static int call(dureq_client *c, unsigned shard, unsigned flags, dq_buf *bytes, int n_replies, dq_store_conn which,
                dq_owned_reply *ret, dureq_error *err)
{
    int64_t deadline_us = dq_client_deadline_us(c);
    pending_call *p;
    bool only_reads = n_replies > 0 || dq_call_only_reads(dq_buf_str(bytes)); /* commands do */
    int rc;

    rc = only_reads ? dq_client_may_wait(c, err) : dq_client_may_write(c, err);
    if (rc < 0) {
        dq_buf_deinit(bytes);
        return rc;
    }
    p = call_create(c, shard, flags, bytes, /*fn=*/NULL, NULL);
    if (!p)
        return dq_fail_nomem(err);
    p->n_replies = n_replies;
    p->which = which;
    if (which == DQ_CONN_BULK)
        p->units = ROOM_BULK;
    dq_request_post(&p->request);
    return call_end(p, deadline_us, ret, err);
}

int dq_client_call(dureq_client *c, unsigned shard, unsigned flags, dq_buf *bytes, dq_owned_reply *ret, dureq_error *err)
{
    return call(c, shard, flags, bytes, 0, DQ_CONN_MAIN, ret, err);
}

void *dq_client_call_begin(dureq_client *c, unsigned shard, unsigned flags, dq_buf *bytes)
{
    pending_call *p = call_create(c, shard, flags, bytes, /*fn=*/NULL, NULL);

    if (p)
        dq_request_post(&p->request);
    return p;
}

int dq_client_call_end(void *begun, int64_t deadline_us, dq_owned_reply *ret, dureq_error *err)
{
    return begun ? call_end(begun, deadline_us, ret, err) : dq_fail_nomem(err);
}

int dq_client_command(dureq_client *c, dq_buf *bytes, int n_replies, dq_owned_reply *ret, dureq_error *err)
{
    return call(c, 0, DQ_CALL_REPEAT, bytes, n_replies, DQ_CONN_MAIN, ret, err);
}

int dq_client_read_large(dureq_client *c, dq_buf *bytes, dq_owned_reply *ret, dureq_error *err)
{
    return call(c, 0, DQ_CALL_REPEAT, bytes, 1, DQ_CONN_BULK, ret, err);
}
