/* SPDX-License-Identifier: Apache-2.0 */
/* From the reply of a read, or a wake-up that brings its job along, to running tasks. A task sees its job as views into the receive buffer, which it holds. */

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
    if (at < 2 || dq_parse_i64(dureq_str_of(key.ptr + at, key.len - at), 1, s->n_lanes, &no) < 0)
        return NULL;
    *ret_front = key.ptr[at - 2] == 'f';
    return s->lanes[no - 1];
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

static void read_fields(dureq_run *t, dq_reply fields)
{
    dq_reply at = dq_reply_first(fields);
    size_t n = dq_reply_len(fields);

    for (size_t i = 0; i + 1 < n; i += 2) {
        dureq_str name = dq_reply_str(at);

        at = dq_reply_next(at);
        if (name.len == 1 && name.ptr[0] == 'j')
            t->j = dq_reply_str(at);
        else if (name.len == 1 && name.ptr[0] == 'm')
            t->m = dq_reply_str(at);
        if (i + 2 < n)
            at = dq_reply_next(at);
    }
}

static void set_retry(dureq_run *t)
{
    dureq_str packed = t->env.retry;

    if (packed.len == 0 && t->handler) /* a lane that nobody here serves: it is given back */
        packed = dq_buf_str(&t->handler->retry_packed);
    if (packed.len == 0)
        packed = dq_buf_str(&t->lane->queue_of->retry_packed);
    if (packed.len == 0 || dq_retry_unpack(packed, &t->retry) < 0)
        t->retry = dq_retry_default;
    if (t->env.dlq_after > 0 && t->env.dlq_after < t->retry.max_attempts)
        t->retry.max_attempts = t->env.dlq_after;
}

/* A job that was never moved is called after its entry. */
static int read_id(dureq_run *t)
{
    int rc = 0;

    if (t->m.len > 0) {
        rc = dq_moved_unpack(t->m, &t->moved);
        t->id = t->moved.id;
        t->suspect = rc == 0 && t->moved.flags & DQ_M_SUSPECT;
    } else if (t->entry_ms >> 44 || t->entry_seq > DQ_ID_SEQ_MAX) {
        return DUREQ_EPROTO;
    } else {
        t->id = (dq_id){.ms = t->entry_ms, .seq = (uint32_t)t->entry_seq, .lane = t->lane->no, .shard = (uint16_t)t->shard->no};
    }
    return rc;
}

static int decode(dureq_run *t)
{
    int rc = read_id(t);

    if (rc == 0)
        rc = dq_envelope_unpack(t->j, &t->env);
    if (rc == 0)
        set_retry(t);
    return rc;
}

static void set_texts(dureq_run *t)
{
    dureq_job_id id;

    dq_id_to_text(&t->id, &id);
    memcpy(t->job_id_text, id.text, DUREQ_JOB_ID_LEN + 1);
    memcpy(t->run_id_text, id.text, DUREQ_JOB_ID_LEN);
    if (t->moved.runs == 0)
        memcpy(t->run_id_text + DUREQ_JOB_ID_LEN, ".1", 3);
    else
        (void)snprintf(t->run_id_text + DUREQ_JOB_ID_LEN, sizeof t->run_id_text - DUREQ_JOB_ID_LEN, ".%d", t->moved.runs + 1);
}

void dq_fetch_give_back(dureq_run *t)
{
    dq_wshard *s = t->shard;

    dq_list_push_back(&s->returns, &t->link);
    t->in_returns = true;
    s->n_returns++;
}

/* What cannot be read: of a newer schema, then others may know it, and it goes back; its lane rests here, so that it does not come at once
   again. Or damaged, then nobody knows it and it is dead. */
static void refuse(dureq_run *t, int rc)
{
    dq_worker *w = t->worker;

    if (rc == DUREQ_ESCHEMA) {
        DQ_LOG(w->log, DUREQ_LOG_ERROR, "job.schema",
               "job=%s queue=%s type=%s error=\"a job of a newer schema was read: it is given back\"", t->job_id_text,
               t->queue_text, t->type_text);
        dq_lane_rest(t->lane);
        dq_fetch_give_back(t);
        return;
    }
    DQ_LOG(w->log, DUREQ_LOG_ERROR, "job.damaged", "job=%s lane=%u", t->job_id_text, (unsigned)t->lane->no);
    t->m = (dureq_str){0};
    t->moved = (dq_moved){0};
    t->env = (dq_envelope){.unique_shard = -1};
    t->said.any = true;
    t->said.outcome = DUREQ_OUTCOME_FAIL;
    t->said.code = DUREQ_EPROTO;
    t->said.msg = dq_strdup("the packed job is damaged");
    t->started_at_ms = t->finished_at_ms = dq_store_now_ms(w->store);
    dq_outcome_judge(t, DUREQ_EPROTO);
    t->phase = TASK_FINISHED;
    dq_worker_put_done(t);
}

static void on_blob(void *userdata, int code, const dq_reply *reply, const dureq_error *err)
{
    dureq_run *t = userdata;
    dq_wshard *s = t->shard;
    dq_worker *w = t->worker;
    dureq_str bytes = code == 0 ? dq_reply_str(*reply) : (dureq_str){0};

    (void)err;
    t->fetching_blob = false;
    w->n_fetching--;
    if (t->lost) { /* meanwhile; its slot was kept for it until now */
        dq_worker_task_over(t);
        dq_worker_drop_task(t);
        dq_worker_pump(w);
        return;
    }
    dq_buf_append_str(&t->blob, bytes);
    if (w->give_up) { /* handlers are told to end by now */
        dq_worker_task_over(t);
        dq_fetch_give_back(t);
        dq_session_return(s);
        return;
    }
    if (code == 0 && bytes.len == t->env.blob_len && !dq_buf_failed(&t->blob)) {
        dq_worker_start_task(t);
        return;
    }
    if (code == 0 && bytes.len != t->env.blob_len) {
        dq_worker_task_over(t);
        refuse(t, DUREQ_EPROTO);
    } else { /* the connection, or memory: another time, perhaps elsewhere */
        dq_worker_task_over(t);
        dq_fetch_give_back(t);
        dq_session_return(s);
    }
    dq_worker_pump(w);
}

/* On the cycle's connection: the other one is subscribed, and Redis drops subscribers whose replies pile up beyond 32 MiB. When it cannot be
   asked for, the caller sends what is in `returns`: here is no place for that, since some walk over what is held. */
static void fetch_blob(dureq_run *t)
{
    dq_redis *r = dq_store_redis(t->worker->store, t->shard->no, DQ_CONN_CYCLE);
    unsigned char id[DQ_ID_BYTES];

    dq_id_pack(&t->id, id);
    dq_plain_get(dq_redis_out(r), dq_store_keys(t->worker->store), t->shard->no, "b:", dureq_str_of(id, sizeof id));
    t->fetching_blob = dq_redis_commit(r, 0, on_blob, t) == 0;
    t->worker->n_fetching += t->fetching_blob;
    if (!t->fetching_blob) {
        dq_worker_task_over(t);
        dq_fetch_give_back(t);
    }
}

static void take_slot(dureq_run *t)
{
    t->worker->n_held++;
    t->lane->handler->running++;
    t->handler = t->lane->handler;
    t->phase = TASK_WAITING;
}

void dq_fetch_begin(dureq_run *t)
{
    if (t->suspect)
        dq_suspect_admit(t);
    else
        dq_fetch_start(t);
}

static void admit(dureq_run *t)
{
    take_slot(t);
    dq_fetch_begin(t);
}

void dq_fetch_start(dureq_run *t)
{
    if (t->env.flags & DQ_J_BLOB)
        fetch_blob(t);
    else
        dq_worker_start_task(t);
}

dureq_run *dq_fetch_held(dq_wshard *s, const dq_entry *e)
{
    DQ_LIST_FOREACH (dureq_run, t, &s->held, in_shard)
        if (t->entry_seq == e->seq && t->entry_ms == e->ms && t->front == e->front && t->lane->no == e->lane)
            return t;
    return NULL;
}

/* NULL: stays pending; the next resync gives it back. */
static dureq_run *make_task(dq_wlane *lane, bool front, dq_rbuf *rbuf)
{
    dureq_run *t = dq_task_create(lane->shard->worker);

    if (!t)
        return NULL;
    t->shard = lane->shard;
    t->lane = lane;
    t->handler = lane->handler;
    t->front = front;
    t->type_text = lane->type;
    t->queue_text = lane->queue;
    dq_rbuf_ref(rbuf);
    t->rbuf = rbuf;
    return t;
}

/* Among what its shard holds; false when it cannot be read. */
static bool take_task(dureq_run *t)
{
    int rc;

    dq_list_push_back(&t->shard->held, &t->in_shard);
    rc = decode(t);
    set_texts(t);
    if (rc < 0)
        refuse(t, rc);
    return rc == 0;
}

static bool take_entry(dq_wlane *lane, bool front, dq_reply entry, dq_rbuf *rbuf)
{
    const dq_worker *w = lane->shard->worker;
    dureq_run *t = make_task(lane, front, rbuf);
    dq_reply id = dq_reply_first(entry);

    if (!t)
        return false;
    if (!parse_entry(dq_reply_str(id), &t->entry_ms, &t->entry_seq)) {
        dq_task_free(t);
        return false;
    }
    read_fields(t, dq_reply_next(id));
    if (!take_task(t))
        return true;
    bool is_off = lane->queue_of->paused || w->stopping || !lane->handler;
    if (is_off || (w->alone && !t->suspect)) { /* beside one that is alone nothing begins */
        dq_fetch_give_back(t);
    } else if (lane->shard->gate_open) {
        admit(t);
    } else {
        take_slot(t);
        dq_paused_hold(t);
    }
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
static void decide(dureq_run *t)
{
    dq_wshard *s = t->shard;

    t->undecided = false;
    if (dq_mono_us() - s->alive_us < s->worker->lease_ms * 1000 && t->lane->handler && dq_lane_has_slot(t->lane)) {
        admit(t);
    } else {
        dq_fetch_give_back(t);
    }
    dq_session_return(s);
}

void dq_fetch_decide(dq_worker *w)
{
    while (!dq_list_empty(&w->undecided))
        decide(dq_container_of(dq_list_pop_front(&w->undecided), dureq_run, link));
}

/* lane I3, ms I6, sequence I4, j. While a read is in flight, the slots that are free now may be taken when it is answered. It may be here already: a
   server that forgot its delivery delivers it again, before our resync has told us so. Then the one we hold is what was delivered. */
void dq_fetch_pushed(dq_wshard *s, dureq_str job)
{
    dq_worker *w = s->worker;
    dq_reader r = dq_reader_of(job);
    uint64_t no = read_be(&r, 3), ms = read_be(&r, 6), seq = read_be(&r, 4);
    dq_wlane *lane = no > 0 && no <= s->n_lanes ? s->lanes[no - 1] : NULL;
    dureq_run *t = dq_fetch_held(s, &(dq_entry){.ms = ms, .seq = seq, .lane = (uint32_t)no});
    dq_rbuf *rbuf;

    if (s->state != WSHARD_LIVE)
        return;
    if (t) {
        t->seen = true;
        dq_lane_wake(s, (uint32_t)no, /*is_called=*/false);
        return;
    }
    rbuf = dq_redis_reply_ref(dq_store_redis(w->store, s->no, DQ_CONN_MAIN));
    t = lane && !r.bad && !dq_shard_is_unsure(s) ? make_task(lane, /*front=*/false, rbuf) : NULL;
    dq_rbuf_unref(rbuf);
    if (!t) {
        s->needs_resync = true;
        dq_worker_pump(w);
        return;
    }
    t->entry_ms = ms;
    t->entry_seq = seq;
    t->j = dureq_str_of(job.ptr + 13, job.len - 13);
    t->seen = true; /* a resync under way may have looked already */
    if (take_task(t)) {
        t->undecided = true;
        dq_list_push_back(&w->undecided, &t->link);
    } else {
        dq_session_return(s);
    }
    if (!w->reading)
        dq_fetch_decide(w);
    w->last_fetch_us = dq_loop_now_us(w->loop);
    dq_lane_wake(s, (uint32_t)no, /*is_called=*/false); /* to be registered again */
}

static void take_stream(dq_wshard *s, dureq_str key, dq_reply entries, dq_rbuf *rbuf)
{
    bool front = false;
    dq_wlane *lane = lane_of(s, key, &front);
    size_t n = dq_reply_len(entries);
    dq_reply at = n > 0 ? dq_reply_first(entries) : entries;

    if (!lane)
        return;
    if (front)
        lane->got_front += (int32_t)n;
    else
        lane->got_main += (int32_t)n;
    for (size_t i = 0; i < n; i++) {
        if (!take_entry(lane, front, at, rbuf))
            s->needs_resync = true;
        if (i + 1 < n)
            at = dq_reply_next(at);
    }
}

/* RESP3: a map of key to entries; RESP2: an array of pairs; nothing: nil. The buffer is held at most once a reply. */
void dq_fetch_streams(dq_wshard *s, dq_reply streams, dq_rbuf **rbuf)
{
    size_t n = dq_reply_len(streams);

    if (dq_reply_is_nil(streams) || n == 0)
        return;
    if (!*rbuf)
        *rbuf = dq_redis_reply_ref(dq_store_redis(s->worker->store, s->no, DQ_CONN_CYCLE));
    if (!*rbuf) {
        s->needs_resync = true;
        return;
    }
    dq_reply at = dq_reply_first(streams);
    if (dq_reply_type(streams) == DQ_RESP_MAP) {
        for (size_t i = 0; i + 1 < n; i += 2) {
            dq_reply entries = dq_reply_next(at);

            take_stream(s, dq_reply_str(at), entries, *rbuf);
            if (i + 2 < n)
                at = dq_reply_next(entries);
        }
        return;
    }
    for (size_t i = 0; i < n; i++) {
        take_stream(s, dq_reply_str(dq_reply_at(at, 0)), dq_reply_at(at, 1), *rbuf);
        if (i + 1 < n)
            at = dq_reply_next(at);
    }
}
