/* SPDX-License-Identifier: Apache-2.0 */
/* The turn as a transaction (link.c), or without one where memory is short. Loop thread. */

#include <stdio.h>

#include "worker/worker_internal.h"

#define PLAIN_AGAIN_US 1000000

typedef struct plain_batch {
    dq_turn turn;
    size_t n_jobs;
    int64_t class_ms;
    int64_t bytes; /* of the rows */
    dq_stat_rows *stats;
    int64_t slots; /* free before the reads */
} plain_batch;

static int64_t part_of(const dq_wshard *s, const dq_claim *c)
{
    return (int64_t)c->job.id.ms / s->turn.width;
}

/* The entries of a lane: list[from..to). */
static void put_ack(plain_batch *b, dq_claim **list, size_t from, size_t to)
{
    dq_entry entries[DQ_BATCH_MAX];

    for (size_t i = from; i < to; i++)
        entries[i - from] = list[i]->job.entry;
    dq_turn_ack(&b->turn, entries, to - from);
}

/* The rows of one part of history: list[from..to). */
static void put_rows(plain_batch *b, dq_wshard *s, dq_claim **list, size_t from, size_t to)
{
    dq_buf *row = &s->worker->scratch;

    dq_turn_rows(&b->turn, s->turn.bucket, part_of(s, list[from]), to - from);
    for (size_t i = from; i < to; i++) {
        dq_buf_clear(row);
        dq_record_row(list[i], row);
        dq_turn_row(&b->turn, &list[i]->job.id, row);
        b->bytes += (int64_t)row->len + DQ_ROW_OVERHEAD;
    }
}

/* Large payloads: they stay with the rows, or go with the jobs. */
static void put_ended(plain_batch *b, dq_claim **list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        bool is_large = list[i]->job.env.flags & DQ_J_BLOB, is_kept = b->class_ms > 0;

        dq_turn_ended(&b->turn, &list[i]->job.id, is_large && is_kept);
        if (is_large && is_kept)
            b->bytes += (int64_t)list[i]->job.env.blob_len;
        else if (is_large)
            dq_turn_drop_payload(&b->turn, &list[i]->job.id);
    }
}

/* Stable order by a key, for small n: groups come together. */
static void group_by(dq_claim **list, size_t n, int64_t (*key)(const dq_wshard *, const dq_claim *), const dq_wshard *s)
{
    for (size_t i = 1; i < n; i++) {
        dq_claim *c = list[i];
        int64_t k = key(s, c);
        size_t at = i;

        while (at > 0 && key(s, list[at - 1]) > k) {
            list[at] = list[at - 1];
            at--;
        }
        list[at] = c;
    }
}

static int64_t lane_key(const dq_wshard *s, const dq_claim *c)
{
    (void)s;
    return c->lane->no;
}

static size_t group_end(dq_claim **list, size_t from, size_t n, int64_t (*key)(const dq_wshard *, const dq_claim *),
                        const dq_wshard *s)
{
    size_t to = from + 1;

    while (to < n && key(s, list[to]) == key(s, list[from]))
        to++;
    return to;
}

static dq_claim *first_plain(const dq_wshard *s)
{
    return dq_container_of(s->claims[DQ_CLAIM_PLAIN].list.next, dq_claim, link);
}

/* The jobs of one retention class, from the first of those that plain commands can record. */
static void put_jobs(plain_batch *b, dq_wshard *s)
{
    dq_claim *list[DQ_BATCH_MAX] = {NULL};
    size_t n = 0, bytes = 0;

    while (n < DQ_BATCH_MAX && bytes < DQ_PLAIN_BYTES && s->claims[DQ_CLAIM_PLAIN].n > 0) {
        dq_claim *c = first_plain(s);

        if (dq_record_class(c) != b->class_ms)
            break;
        dq_claim_move(c, DQ_CLAIM_SENT);
        list[n++] = c;
        bytes += c->job.j.len + c->words.result.len + 100;
    }
    put_ended(b, list, n);
    group_by(list, n, lane_key, s);
    for (size_t from = 0; from < n;) {
        size_t to = group_end(list, from, n, lane_key, s);

        for (size_t i = from; i < to; i++)
            dq_stats_of(b->stats, list[i]);

        put_ack(b, list, from, to);
        from = to;
    }
    b->n_jobs = n;
    if (b->class_ms <= 0)
        return;
    group_by(list, n, part_of, s);
    for (size_t from = 0; from < n;) {
        size_t to = group_end(list, from, n, part_of, s);

        put_rows(b, s, list, from, to);
        from = to;
    }
}

/* What is to be read, and the script: it comes before the reads, which decide what it lists. Returns how many answers come. */
static size_t put_gate(plain_batch *b, dq_wshard *s)
{
    dq_turn_head head = {
        .call_no = (int64_t)s->turn.call_no,
        .class_ms = b->class_ms,
        .bucket = b->n_jobs > 0 && b->class_ms > 0 ? s->turn.bucket : "",
        .bytes = b->bytes,
        .known = s->pauses.version,
        .slots = b->slots == s->lanes.slots_told ? -1 : b->slots,
    };
    char name[32];

    s->lanes.slots_asked = b->slots;
    s->lanes.slots_told = -1; /* until the gate's answer: who was refused, or lost, may not have told it */
    dq_turn_gate(&b->turn, &head);
    dq_lanes_listing(s, &b->turn);
    for (size_t i = 0; i < b->stats->n; i++)
        dq_turn_stat(&b->turn, dq_stat_name(&b->stats->rows[i], name), b->stats->rows[i].n);
    s->turn.gate_at = b->turn.gate_at;
    s->turn.class_asked = b->class_ms;
    return dq_turn_end(&b->turn);
}

static void take_gate(dq_wshard *s, const dq_gate *g, int64_t wanted_class)
{
    dq_store_saw_time(s->worker->store, s->no, g->now_ms);
    s->turn.width = g->width;
    dq_copy_text(s->session.hv, sizeof s->session.hv, g->hv);
    dq_copy_text(s->turn.bucket, sizeof s->turn.bucket, g->bucket);
    s->turn.class_ms = g->bucket.len > 0 ? wanted_class : 0;
    if (g->tells_paused)
        dq_paused_told(s, g->queues_version, g->paused);
    s->pauses.gate_is_open = dq_paused_sure(s) && (!g->tells_paused || s->pauses.version == g->queues_version);
    s->lanes.slots_told = s->lanes.slots_asked;
    if (g->n_lanes > s->lanes.n)
        dq_lanes_load(s);
}

/* Memory is short, or somebody took something: nothing of it was done. */
static void turn_refused(dq_wshard *s, int code, const dureq_error *err)
{
    if (code == 0) {
        s->turn.refused_unseen = true;
    } else {
        DQ_LOG(s->worker->log, DUREQ_LOG_WARN, "cycle.refused", "shard=%u error=\"%s\"", s->no, err->msg);
        s->turn.plain_again_us = dq_loop_now_us(s->worker->loop) + PLAIN_AGAIN_US;
        if (s->turn.reads_by_script)
            s->turn.reads_again_us = s->turn.plain_again_us; /* a heartbeat's pump looks again */
        if (dq_is_of_replica(code) || code == DUREQ_EREDIS)  /* EXECABORT does not say why */
            dq_session_doubt(s);
    }
    if (!s->turn.reads_by_script) /* else what is sent is of a general call before it */
        dq_sent_again(s);
    dq_lanes_read_off(s);
}

/* Those after the gate's answer. */
static void take_reads(dq_wshard *s, dq_reply at)
{
    dq_worker *w = s->worker;
    dq_rbuf *rbuf = NULL;

    w->is_taking = true;
    for (size_t i = 0; i < s->turn.n_reads; i++) {
        at = dq_reply_next(at);
        if (dq_reply_type(at) == DQ_RESP_ERROR)
            dq_lanes_load(s); /* its stream is gone: somebody emptied the server */
        else
            dq_fetch_streams(s, at, &rbuf);
    }
    if (rbuf)
        dq_rbuf_unref(rbuf);
    w->is_taking = false;
    dq_lanes_read_done(s);
    if (!dq_list_empty(&w->to_pool) || s->link->n_loading > 0)
        s->link->last_fetch_us = dq_loop_now_us(w->loop);
    dq_pool_push(w->pool, &w->to_pool);
    if (s->claims[DQ_CLAIM_RETURN].n > 0)
        dq_session_return(s);
}

static void take_answers(dq_wshard *s, const dq_reply *reply)
{
    dq_reply at = dq_reply_first(*reply);
    dureq_error why = {0};
    dq_gate gate;

    for (size_t i = 0; i < s->turn.gate_at; i++)
        at = dq_reply_next(at);
    if (dq_gate_decode(at, &gate, &why) < 0) {
        DQ_LOG(s->worker->log, DUREQ_LOG_ERROR, "cycle.gate", "shard=%u error=\"%s\"", s->no, why.msg);
        dq_session_lost(s, "the gate of its turn failed");
        return;
    }
    take_gate(s, &gate, s->turn.class_asked);
    if (!s->turn.reads_by_script)
        dq_sent_recorded(s);
    take_reads(s, at);
}

static void take_exec(dq_wshard *s, int code, const dq_reply *reply, const dureq_error *err)
{
    if (dq_link_is_stale(s)) /* what it read is the old session's, and given to others when that one is reaped */
        return;
    if (code == DUREQ_EUNAVAILABLE || code == DUREQ_ECLOSED) {
        s->turn.call_is_lost = s->claims[DQ_CLAIM_SENT].n > 0;
        dq_sync_want(s);
    } else if (code < 0 || dq_reply_is_nil(*reply)) {
        turn_refused(s, code, err);
    } else {
        take_answers(s, reply);
    }
}

static void on_exec(void *userdata, int code, const dq_reply *reply, const dureq_error *err)
{
    dq_wshard *s = userdata;

    take_exec(s, code, reply, err);
    dq_link_read_over(s->link);
    dq_fetch_decide(s->link);
}

static int64_t wanted_class(const dq_wshard *s)
{
    if (s->claims[DQ_CLAIM_PLAIN].n > 0)
        return dq_record_class(first_plain(s));
    return s->turn.class_ms;
}

static plain_batch batch_of(dq_wshard *s, bool by_script)
{
    dq_worker *w = s->worker;

    w->stat_rows.n = 0;
    return (plain_batch){.stats = &w->stat_rows,
                         .slots = dq_lanes_slots(s),
                         .turn = {.out = dq_redis_out(dq_link_redis(s->link)),
                                  .keys = dq_store_keys(w->store),
                                  .shard = s->no,
                                  .session = s->session.no,
                                  .by_script = by_script}};
}

/* What is to be recorded and read is in the batch. */
static bool put_batch(dq_wshard *s, plain_batch *b)
{
    size_t n_replies = put_gate(b, s);

    dq_turn_deinit(&b->turn);
    if (dq_redis_commit_many(dq_link_redis(s->link), 0, n_replies, on_exec, s) < 0) {
        if (!s->turn.reads_by_script)
            dq_sent_again(s);
        dq_lanes_read_off(s);
        return false;
    }
    s->link->exchange = b->turn.n_reads > 0 ? DQ_EXCHANGE_READING : DQ_EXCHANGE_NONE;
    s->turn.n_reads = b->turn.n_reads;
    return true;
}

void dq_link_send_turn(dq_wshard *s)
{
    plain_batch b = batch_of(s, /*by_script=*/false);

    b.class_ms = wanted_class(s);
    dq_turn_begin(&b.turn);
    if (s->claims[DQ_CLAIM_PLAIN].n > 0 && (b.class_ms <= 0 || s->turn.class_ms == b.class_ms)) {
        s->turn.call_no++;
        put_jobs(&b, s);
    }
    s->turn.reads_by_script = s->turn.was_general = false;
    dq_lanes_plan(s, &b.turn);
    if (put_batch(s, &b))
        dq_link_watch(s->link, dq_link_next_watch(s->link, s), /*unwatch=*/false);
}

bool dq_link_send_reads(dq_wshard *s)
{
    plain_batch b = batch_of(s, /*by_script=*/true);

    b.class_ms = wanted_class(s); /* its bucket stays known */
    s->turn.reads_by_script = true;
    s->turn.session = s->session.no;
    dq_lanes_plan(s, &b.turn);
    if (b.turn.n_reads == 0 || !put_batch(s, &b))
        return false;
    dq_link_watch(s->link, dq_link_next_watch(s->link, s), /*unwatch=*/true);
    return true;
}
