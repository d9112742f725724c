/* SPDX-License-Identifier: Apache-2.0 */
/* From the reply of a read, or a wake-up that brings its job along, to started runs. A claim has its job as views into the receive buffer, which it
   holds. Loop thread. */

#include <stdio.h>

#include "base/clock.h"
#include "store/plain_calls.h"
#include "worker/worker_internal.h"

/* "{p:s}:l:12" or "...f:12" to its lane. */
static dq_wlane *lane_of(dq_wshard *s, dureq_str key, bool *ret_front)
{
    int64_t no;
    size_t at = key.len;

    while (at > 0 && key.ptr[at - 1] != ':')
        at--;
    if (at < 2 || dq_parse_i64(dureq_str_of(key.ptr + at, key.len - at), 1, s->lanes.n, &no) < 0)
        return NULL;
    *ret_front = key.ptr[at - 2] == 'f';
    return s->lanes.items[no - 1];
}

static bool parse_entry(dureq_str text, uint64_t *ret_ms, uint64_t *ret_seq)
{
    dureq_str rest = text, ms = dq_str_cut(&rest, '-');
    int64_t a, b;

    if (dq_parse_i64(ms, 0, INT64_MAX, &a) < 0 || dq_parse_i64(rest, 0, INT64_MAX, &b) < 0)
        return false;
    *ret_ms = (uint64_t)a;
    *ret_seq = (uint64_t)b;
    return true;
}

static void read_fields(dq_claim *c, dq_reply fields)
{
    dq_reply_items items = dq_reply_items_of(fields);
    dq_reply key, value;

    while (dq_reply_items_next(&items, &key) && dq_reply_items_next(&items, &value)) {
        dureq_str name = dq_reply_str(key);

        if (name.len == 1 && name.ptr[0] == 'j')
            c->job.j = dq_reply_str(value);
        else if (name.len == 1 && name.ptr[0] == 'm')
            c->job.m = dq_reply_str(value);
    }
}

static void set_retry(dq_claim *c)
{
    dureq_str packed = c->job.env.retry;

    if (packed.len == 0 && c->handler) /* a lane that nobody here serves: it is given back */
        packed = dq_buf_str(&c->handler->retry_packed);
    if (packed.len == 0)
        packed = dq_buf_str(&c->lane->queue_of->retry_packed);
    if (packed.len == 0 || dq_retry_unpack(packed, &c->job.retry) < 0)
        c->job.retry = dq_retry_default;
    if (c->job.env.dlq_after > 0 && c->job.env.dlq_after < c->job.retry.max_attempts)
        c->job.retry.max_attempts = c->job.env.dlq_after;
}

/* A job that was never moved is called after its entry. */
static int read_id(dq_claim *c)
{
    int rc = 0;

    if (c->job.m.len > 0) {
        rc = dq_moved_unpack(c->job.m, &c->job.moved);
        c->job.id = c->job.moved.id;
    } else if (c->job.entry.ms >> 44 || c->job.entry.seq > DQ_ID_SEQ_MAX) {
        return DUREQ_EPROTO;
    } else {
        c->job.id = (dq_id){
            .ms = c->job.entry.ms, .seq = (uint32_t)c->job.entry.seq, .lane = c->lane->no, .shard = (uint16_t)c->shard->no};
    }
    return rc;
}

static int decode(dq_claim *c)
{
    int rc = read_id(c);

    if (rc == 0)
        rc = dq_envelope_unpack(c->job.j, &c->job.env);
    if (rc == 0)
        set_retry(c);
    return rc;
}

static void set_texts(dq_claim *c)
{
    dureq_job_id id;

    dq_id_to_text(&c->job.id, &id);
    memcpy(c->job.id_text, id.text, DUREQ_JOB_ID_LEN + 1);
    memcpy(c->job.run_text, id.text, DUREQ_JOB_ID_LEN);
    if (c->job.moved.runs == 0)
        memcpy(c->job.run_text + DUREQ_JOB_ID_LEN, ".1", 3);
    else
        (void)snprintf(c->job.run_text + DUREQ_JOB_ID_LEN, sizeof c->job.run_text - DUREQ_JOB_ID_LEN, ".%d",
                       c->job.moved.runs + 1);
}

/* Nobody can run it: dead. What is known of its envelope is let go as at any end. */
static void give_up(dq_claim *c, const char *why)
{
    dq_worker *w = c->worker;

    DQ_LOG(w->log, DUREQ_LOG_ERROR, "job.damaged", "job=%s lane=%u error=\"%s\"", c->job.id_text, (unsigned)c->lane->no, why);
    c->words.has_said = true;
    c->words.outcome = DUREQ_OUTCOME_FAIL;
    c->words.code = DUREQ_EPROTO;
    c->words.msg = dq_strdup(why);
    c->verdict.started_at_ms = c->verdict.finished_at_ms = dq_store_now_ms(w->store, c->shard->no);
    dq_outcome_judge(c, DUREQ_EPROTO);
    dq_claim_judged(c);
}

/* What cannot be read: of a newer schema, then others may know it, and it goes back; its lane rests here, so that it does not come at once
   again. Or damaged, then nobody knows it and it is dead. */
static void refuse(dq_claim *c, int rc)
{
    dq_worker *w = c->worker;

    if (rc == DUREQ_ESCHEMA) {
        DQ_LOG(w->log, DUREQ_LOG_ERROR, "job.schema",
               "job=%s queue=%s type=%s error=\"a job of a newer schema was read: it is given back\"", c->job.id_text,
               c->job.queue, c->job.type);
        dq_lane_rest(c->lane);
        dq_claim_move(c, DQ_CLAIM_RETURN);
        return;
    }
    c->job.m = (dureq_str){0};
    c->job.moved = (dq_moved){0};
    c->job.env = (dq_envelope){.unique_shard = -1};
    give_up(c, "the packed job is damaged");
}

/* It did not come, or cannot be used: it gave its slot back. */
static void not_loaded(dq_claim *c)
{
    dq_run_move(&c->run, DQ_RUN_NONE);
    dq_claim_free_slot(c);
}

static void on_blob(void *userdata, int code, const dq_reply *reply, const dureq_error *err)
{
    dq_claim *c = userdata;
    dq_wshard *s = c->shard;
    dq_worker *w = c->worker;
    dureq_str bytes = code == 0 ? dq_reply_str(*reply) : (dureq_str){0};

    (void)err;
    s->link->n_loading--;
    if (c->state == DQ_CLAIM_OVER) { /* meanwhile; its slot was kept for it until now */
        not_loaded(c);
        dq_claim_free(c);
        dq_worker_pump(w);
        return;
    }
    dq_buf_append_str(&c->job.blob, bytes);
    bool is_whole = code == 0 && bytes.len == c->job.env.blob_len;
    if (is_whole && !dq_buf_failed(&c->job.blob) && !dq_worker_gives_up(w)) {
        dq_run_start(&c->run);
        return;
    }
    not_loaded(c);
    if (code == 0 && !is_whole && !dq_worker_gives_up(w)) {
        c->job.env.flags &= ~(uint32_t)DQ_J_BLOB;
        give_up(c, "its payload is gone, or not whole");
    } else { /* the connection, or memory: another time, perhaps elsewhere; or handlers are told to end by now */
        dq_claim_move(c, DQ_CLAIM_RETURN);
        dq_session_return(s);
    }
    dq_worker_pump(w);
}

/* On the turns' connection: the other one is subscribed, and Redis drops subscribers whose replies pile up beyond 32 MiB. When it cannot be
   asked for, the caller sends what is to be given back: here is no place for that, since some walk over what is held. */
static void fetch_blob(dq_claim *c)
{
    dq_wlink *l = c->shard->link;
    dq_redis *r = dq_link_redis(l);
    unsigned char id[DQ_ID_BYTES];

    dq_id_pack(&c->job.id, id);
    dq_plain_get(dq_redis_out(r), dq_store_keys(c->worker->store), c->shard->no, "b:", dureq_str_of(id, sizeof id));
    if (dq_redis_commit(r, 0, on_blob, c) < 0) {
        dq_claim_move(c, DQ_CLAIM_RETURN);
        return;
    }
    l->n_loading++;
    dq_claim_move(c, DQ_CLAIM_STARTED);
    dq_run_move(&c->run, DQ_RUN_LOADING);
}

void dq_fetch_start(dq_claim *c)
{
    if (c->job.env.flags & DQ_J_BLOB) {
        fetch_blob(c);
        return;
    }
    dq_claim_move(c, DQ_CLAIM_STARTED);
    dq_run_start(&c->run);
}

void dq_fetch_begin(dq_claim *c)
{
    if (dq_claim_is_suspect(c))
        dq_suspect_admit(c);
    else
        dq_fetch_start(c);
}

/* NULL: stays pending; the next resync gives it back. */
static dq_claim *make_claim(dq_wlane *lane, bool front, dq_rbuf *rbuf)
{
    dq_claim *c = dq_claim_create(lane->shard->worker);

    if (!c)
        return NULL;
    c->shard = lane->shard;
    c->lane = lane;
    dq_claim_set_handler(c, lane->handler);
    c->job.entry.lane = lane->no;
    c->job.entry.front = front;
    c->job.type = lane->type;
    c->job.queue = lane->queue;
    dq_rbuf_ref(rbuf);
    c->job.rbuf = rbuf;
    return c;
}

/* Among what its shard holds; false when it cannot be read. */
static bool take_claim(dq_claim *c)
{
    int rc;

    dq_claim_hold(c);
    rc = decode(c);
    set_texts(c);
    if (rc < 0)
        refuse(c, rc);
    return rc == 0;
}

static bool take_entry(dq_wlane *lane, bool front, dq_reply entry, dq_rbuf *rbuf)
{
    const dq_worker *w = lane->shard->worker;
    dq_claim *c = make_claim(lane, front, rbuf);
    dq_reply id = dq_reply_first(entry);

    if (!c)
        return false;
    if (!parse_entry(dq_reply_str(id), &c->job.entry.ms, &c->job.entry.seq)) {
        dq_claim_free(c);
        return false;
    }
    read_fields(c, dq_reply_next(id));
    if (!take_claim(c))
        return true;
    bool is_off = lane->queue_of->paused || dq_worker_is_stopping(w) || !lane->handler;
    if (is_off || (w->suspects.alone && !dq_claim_is_suspect(c))) /* beside one that is alone nothing begins */
        dq_claim_move(c, DQ_CLAIM_RETURN);
    else if (lane->shard->pauses.gate_is_open)
        dq_fetch_begin(c);
    else
        dq_claim_move(c, DQ_CLAIM_GATED);
    return true;
}

static uint64_t read_be(dq_reader *r, int n)
{
    uint64_t v = 0;

    while (n-- > 0)
        v = v << 8 | dq_read_u8(r);
    return v;
}

/* A process that stood still may find a job when its lease is long over: then others run it. */
static void decide(dq_claim *c)
{
    dq_wshard *s = c->shard;
    bool alive = dq_mono_us() - s->session.alive_us < s->worker->lease_ms * 1000;

    if (alive && dq_lane_has_slot(c->lane)) {
        if (c->handler != c->lane->handler) { /* replaced since it came; the policy may be a view into the handler's */
            dq_claim_set_handler(c, c->lane->handler);
            set_retry(c);
        }
        dq_fetch_begin(c);
    } else {
        dq_claim_move(c, DQ_CLAIM_RETURN);
    }
    dq_session_return(s);
}

void dq_fetch_decide(dq_wlink *l)
{
    while (!dq_list_empty(&l->pushed.list))
        decide(dq_container_of(l->pushed.list.next, dq_claim, link));
}

/* lane I3, ms I6, sequence I4, j. While a read is in flight, the slots that are free now may be taken when it is answered. It may be here already: a
   server that forgot its delivery delivers it again, before our resync has told us so. Then the one we hold is what was delivered. */
void dq_fetch_pushed(dq_wshard *s, dureq_str job)
{
    dq_worker *w = s->worker;
    dq_reader r = dq_reader_of(job);
    uint64_t no = read_be(&r, 3), ms = read_be(&r, 6), seq = read_be(&r, 4);
    dq_wlane *lane = no > 0 && no <= s->lanes.n ? s->lanes.items[no - 1] : NULL;
    dq_claim *c = dq_claim_find(s, &(dq_entry){.ms = ms, .seq = seq, .lane = (uint32_t)no});
    dq_rbuf *rbuf;

    if (!dq_shard_is_live(s))
        return;
    if (c) {
        c->seen = true;
        dq_lane_wake(s, (uint32_t)no, /*is_called=*/false);
        return;
    }
    rbuf = dq_redis_reply_ref(dq_store_redis(w->store, s->no, DQ_CONN_MAIN));
    c = lane && !r.bad && !s->session.doubts ? make_claim(lane, /*front=*/false, rbuf) : NULL;
    dq_rbuf_unref(rbuf);
    if (!c) {
        dq_sync_want(s);
        dq_worker_pump(w);
        return;
    }
    c->job.entry.ms = ms;
    c->job.entry.seq = seq;
    c->job.j = dureq_str_of(job.ptr + 13, job.len - 13);
    c->seen = true; /* a resync under way may have looked already */
    if (take_claim(c))
        dq_claim_move(c, DQ_CLAIM_PUSHED);
    else
        dq_session_return(s);
    if (s->link->exchange != DQ_EXCHANGE_READING)
        dq_fetch_decide(s->link);
    s->link->last_fetch_us = dq_loop_now_us(w->loop);
    dq_lane_wake(s, (uint32_t)no, /*is_called=*/false); /* to be registered again */
}

static void take_stream(dq_wshard *s, dureq_str key, dq_reply entries, dq_rbuf *rbuf)
{
    bool front = false;
    dq_wlane *lane = lane_of(s, key, &front);
    dq_reply_items items = dq_reply_items_of(entries);
    dq_reply entry;

    if (!lane)
        return;
    if (front)
        lane->got_front += (int32_t)items.left;
    else
        lane->got_main += (int32_t)items.left;
    while (dq_reply_items_next(&items, &entry))
        if (!take_entry(lane, front, entry, rbuf))
            dq_sync_want(s);
}

/* RESP3: a map of key to entries; RESP2: an array of pairs; nothing: nil. The buffer is held at most once a reply. */
void dq_fetch_streams(dq_wshard *s, dq_reply streams, dq_rbuf **rbuf)
{
    dq_reply_items items = dq_reply_items_of(streams);
    dq_reply at, entries;

    if (items.left == 0)
        return;
    if (!*rbuf)
        *rbuf = dq_redis_reply_ref(dq_store_redis(s->worker->store, s->no, DQ_CONN_CYCLE));
    if (!*rbuf) {
        dq_sync_want(s);
        return;
    }
    if (dq_reply_type(streams) == DQ_RESP_MAP) {
        while (dq_reply_items_next(&items, &at) && dq_reply_items_next(&items, &entries))
            take_stream(s, dq_reply_str(at), entries, *rbuf);
        return;
    }
    while (dq_reply_items_next(&items, &at))
        take_stream(s, dq_reply_str(dq_reply_at(at, 0)), dq_reply_at(at, 1), *rbuf);
}
