/* SPDX-License-Identifier: Apache-2.0 */
/* A worker's turns. They have a connection to themselves, on which at most one exchange is in flight: one of

     transaction   MULTI, XACK XDEL HSET (UNLINK of payloads) of jobs that ended well, worker_cycle, XREADGROUPs, EXEC
     general call  complete.lua: everything else, and whatever a transaction could not do

   each followed, in the same write, by WATCH of x:<session> and hv and an MGET of them for the shard of the next turn. The next
   exchange starts when that was answered: if the values are those we knew, nobody took anything from the session, and no bucket of history came or
   went, up to the WATCH; and none will unnoticed until EXEC. So the plain commands of a transaction cannot touch a job that is not ours any
   more. When x is another value, a resync finds out what was taken first.

   Calls that record outcomes are numbered. A reply that was lost is asked for again by the general form of the same call under the same
   number: the session keeps the number of the last one. While it is not known, nothing else is sent for that shard. A repeat says that it is
   one, and is looked at entry by entry: the server that answers may have lost what it delivered, and deliver it to others. */

#include <stdio.h>

#include "base/clock.h"
#include "store/plain_calls.h"
#include "worker/worker_internal.h"

#define PLAIN_AGAIN_US 1000000
#define HOLD_OFF_US    500
#define REST_US        250000

static dq_redis *conn(dq_worker *w)
{
    return dq_store_redis(w->store, 0, DQ_CONN_CYCLE);
}

/* ---- which shard's turn it is ---- */

static bool has_work(dq_wshard *s)
{
    if (s->state != WSHARD_LIVE || s->resyncing || dq_shard_is_unsure(s) || s->rest_until_us > dq_loop_now_us(s->worker->loop))
        return false;
    return s->call_lost || (s->needs_resync && !s->returning) || s->n_slow > 0 || s->n_fast > 0 ||
           (dq_lanes_worth(s) && s->reads_again_us <= dq_loop_now_us(s->worker->loop));
}

/* Whose keys are watched goes first: it was chosen when its turn was prepared, and choosing again would only watch others in turn. */
static dq_wshard *next_shard(dq_worker *w)
{
    if (w->watching && w->watching->verified && has_work(w->watching))
        return w->watching;
    for (unsigned i = 0; i < w->n_shards; i++) {
        dq_wshard *s = &w->shards[(w->turn + i) % w->n_shards];

        if (has_work(s)) {
            w->turn = (unsigned)(s - w->shards + 1) % w->n_shards;
            return s;
        }
    }
    return NULL;
}

/* ---- watching ---- */

static void rest(dq_wshard *s, const dureq_error *err)
{
    DQ_LOG(s->worker->log, DUREQ_LOG_WARN, "cycle.refused", "shard=%u error=\"%s\"", s->no, err->msg);
    s->rest_until_us = dq_loop_now_us(s->worker->loop) + REST_US;
}

static bool is_stale(const dq_wshard *s)
{
    return s->state != WSHARD_LIVE || s->session != s->exchange_session;
}

static void exchange_over(dq_worker *w)
{
    w->exchanging = false;
    dq_worker_pump(w);
}

static void copy_text(char *out, size_t cap, dureq_str text)
{
    (void)snprintf(out, cap, DQ_STR_FMT, (int)DQ_MIN(text.len, cap - 1), text.ptr ? text.ptr : "");
}

static void on_watched(void *userdata, int code, const dq_reply *reply, const dureq_error *err)
{
    dq_wshard *s = userdata;
    dq_worker *w = s->worker;

    if (code == DUREQ_EUNAVAILABLE || code == DUREQ_ECLOSED) /* dq_cycle_lost does the rest */
        return;
    if (code < 0) { /* busy, or forbidden meanwhile: the next heartbeat looks again */
        w->exchanging = false;
        rest(s, err);
        if (dq_is_of_replica(code))
            dq_session_doubt(s);
        return;
    }
    if (is_stale(s)) { /* it was the old one's keys that are watched */
        exchange_over(w);
        return;
    }
    dq_watched now = dq_watched_decode(reply);
    if (now.x.len == 0) {
        dq_session_lost(s, "its session is gone");
    } else {
        bool is_same = dq_str_eq_text(now.hv, s->hv) && dq_str_eq_text(now.x, s->x);
        if (s->refused_unseen && is_same) { /* they were changed by nothing of dureq: the data was replaced, perhaps */
            s->needs_resync = true;
            dq_session_doubt(s);
        }
        s->refused_unseen = false;
        if (!dq_str_eq_text(now.hv, s->hv)) {
            copy_text(s->hv, sizeof s->hv, now.hv);
            s->class_ms = 0;
        }
        if (!dq_str_eq_text(now.x, s->x)) {
            copy_text(s->x, sizeof s->x, now.x);
            s->needs_resync = true;
        }
        s->verified = true;
        if (s->needs_resync && !dq_shard_is_unsure(s))
            dq_session_resync(s);
    }
    exchange_over(w);
}

/* After an exchange, or by itself. */
static void put_watch(dq_worker *w, dq_wshard *s, bool unwatch)
{
    dq_redis *r = conn(w);
    size_t n = dq_watch(dq_redis_out(r), dq_store_keys(w->store), s->no, s->session, unwatch);

    if (w->watching)
        w->watching->verified = false;
    w->watching = s;
    s->verified = false;
    s->exchange_session = s->session;
    w->exchanging = dq_redis_commit_many(r, 0, n, on_watched, s) == 0;
}

/* ---- recorded, refused, or not known ---- */

static void recorded(dureq_run *t)
{
    dq_worker *w = t->worker;

    switch (t->next) {
    case NEXT_COMPLETED:
        dq_stat_add(&w->s_completed, 1);
        dq_worker_tell(t, DUREQ_NODE_JOB_COMPLETED, "");
        break;
    case NEXT_DEAD:
        dq_stat_add(&w->s_dead, 1);
        dq_worker_tell(t, DUREQ_NODE_JOB_DEAD, t->said.msg);
        break;
    case NEXT_PAUSED: dq_worker_tell(t, DUREQ_NODE_JOB_PAUSED, t->said.msg); break;
    case NEXT_DUE:
    case NEXT_FRONT:
        if (t->spent) {
            dq_stat_add(&w->s_failed, 1);
            dq_worker_tell(t, DUREQ_NODE_JOB_FAILED, t->said.msg);
        }
        break;
    }
    dq_worker_drop_task(t);
}

static void refused(dureq_run *t)
{
    if (!t->told_cancelled)
        dq_stat_add(&t->worker->s_lost, 1);
    dq_worker_drop_task(t);
}

static void sent_recorded(dq_wshard *s)
{
    while (!dq_list_empty(&s->sent))
        recorded(dq_container_of(dq_list_pop_front(&s->sent), dureq_run, link));
}

/* Back to where they were taken from, in front. */
static void sent_again(dq_wshard *s)
{
    dq_list slow, fast;

    dq_list_init(&slow);
    dq_list_init(&fast);
    while (!dq_list_empty(&s->sent)) {
        dureq_run *t = dq_container_of(dq_list_pop_front(&s->sent), dureq_run, link);
        bool plain = dq_record_is_plain(t);

        t->phase = TASK_FINISHED;
        dq_list_push_back(plain ? &fast : &slow, &t->link);
        t->in_fast = plain;
        *(plain ? &s->n_fast : &s->n_slow) += 1;
    }
    dq_list_splice_back(&slow, &s->done_slow);
    dq_list_splice_back(&s->done_slow, &slow);
    dq_list_splice_back(&fast, &s->done_fast);
    dq_list_splice_back(&s->done_fast, &fast);
}

/* ---- the general call ---- */

/* In the order in which the call named its jobs, which is that of `sent`. */
static bool take_refusals(dq_wshard *s, dureq_str answer)
{
    dq_refusals r;

    if (dq_refusals_decode(answer, &r) < 0)
        return false;
    for (size_t i = 0; !dq_list_empty(&s->sent); i++) {
        dureq_run *t = dq_container_of(dq_list_pop_front(&s->sent), dureq_run, link);

        if (dq_refusals_has(&r, i))
            refused(t);
        else
            recorded(t);
    }
    return true;
}

static void x_counted(dq_wshard *s)
{
    int64_t x;

    if (dq_parse_i64(dureq_str_from(s->x), 0, INT64_MAX - 1, &x) == 0)
        (void)snprintf(s->x, sizeof s->x, "%lld", (long long)x + 1);
}

static void on_general(void *userdata, int code, const dq_reply *reply, const dureq_error *err)
{
    dq_wshard *s = userdata;

    if (is_stale(s))
        return;
    if (code == DUREQ_EUNAVAILABLE || code == DUREQ_ECLOSED) {
        s->call_lost = true;
        return;
    }
    if (code == DUREQ_ENOSCRIPT) { /* not executed */
        s->call_lost = true;
        s->load_script = true;
    } else if (code == DUREQ_EFENCED) {
        dq_session_lost(s, err->msg);
    } else if (code < 0) {
        DQ_LOG(s->worker->log, DUREQ_LOG_ERROR, "complete.refused", "shard=%u error=\"%s\"", s->no, err->msg);
        s->call_lost = true; /* not executed, or only a retry tells */
        rest(s, err);
        s->plain_again_us = dq_loop_now_us(s->worker->loop) + PLAIN_AGAIN_US;
        if (dq_is_of_replica(code))
            dq_session_doubt(s);
    } else {
        s->call_lost = false;
        if (!take_refusals(s, dq_reply_str(*reply)))
            DQ_LOG(s->worker->log, DUREQ_LOG_ERROR, "complete.answer", "shard=%u error=\"its answer cannot be read\"", s->no);
        x_counted(s);
    }
}

static void on_loaded(void *userdata, int code, const dq_reply *reply, const dureq_error *err)
{
    (void)userdata;
    (void)code;
    (void)reply;
    (void)err;
}

/* All of `sent`. False: memory is short, and nothing was sent. */
static bool put_general(dq_worker *w, dq_wshard *s, bool is_repeat)
{
    dq_redis *r = conn(w);
    DQ_BUF_AUTO call = {0};

    dq_record_general(s, is_repeat, &call);
    if (dq_buf_failed(&call))
        return false;
    if (s->load_script) {
        s->load_script = false;
        dq_plain_load(dq_redis_out(r), DQ_SCRIPT_COMPLETE);
        (void)dq_redis_commit(r, 0, on_loaded, s);
    }
    dq_buf_append_buf(dq_redis_out(r), &call);
    if (dq_redis_commit(r, 0, on_general, s) < 0)
        s->call_lost = true;
    else
        put_watch(w, s, /*unwatch=*/true);
    return true;
}

/* Up to a batch of finished tasks into `sent`. */
static void collect(dq_wshard *s, dq_list *from, size_t *n_from, size_t *n, size_t *bytes)
{
    while (*n < DQ_BATCH_MAX && *bytes < DQ_BATCH_BYTES && !dq_list_empty(from)) {
        dureq_run *t = dq_container_of(dq_list_pop_front(from), dureq_run, link);

        --*n_from;
        ++*n;
        *bytes += t->j.len + t->m.len + t->result.len + t->log.len + 200;
        t->phase = TASK_SENT;
        dq_list_push_back(&s->sent, &t->link);
    }
}

static void send_general(dq_worker *w, dq_wshard *s, bool with_fast)
{
    size_t n = 0, bytes = 0;

    collect(s, &s->done_slow, &s->n_slow, &n, &bytes);
    if (with_fast)
        collect(s, &s->done_fast, &s->n_fast, &n, &bytes);
    s->call_no++;
    if (!put_general(w, s, /*is_repeat=*/false))
        sent_again(s);
}

/* ---- the transaction ---- */

/* Whose keys to watch after the turn of s: of whoever has work, s itself when nobody does. */
static dq_wshard *next_watch(dq_worker *w, dq_wshard *s)
{
    for (unsigned i = 0; i < w->n_shards; i++) {
        dq_wshard *other = &w->shards[(w->turn + i) % w->n_shards];

        if (other != s && has_work(other)) {
            w->turn = (w->turn + i + 1) % w->n_shards;
            return other;
        }
    }
    return s;
}

typedef struct plain_batch {
    dq_turn turn;
    size_t n_jobs;
    int64_t class_ms;
    int64_t bytes; /* of the rows */
    dq_stat_rows *stats;
    int64_t slots; /* free before the reads */
} plain_batch;

static int64_t part_of(const dq_wshard *s, const dureq_run *t)
{
    return (int64_t)t->id.ms / s->width;
}

/* The entries of a lane: list[from..to). */
static void put_ack(plain_batch *b, dureq_run **list, size_t from, size_t to)
{
    dq_entry entries[DQ_BATCH_MAX];

    for (size_t i = from; i < to; i++)
        entries[i - from] = dq_task_entry(list[i]);
    dq_turn_ack(&b->turn, entries, to - from);
}

/* The rows of one part of history: list[from..to). */
static void put_rows(plain_batch *b, dq_wshard *s, dureq_run **list, size_t from, size_t to)
{
    dq_buf *row = &s->worker->scratch;

    dq_turn_rows(&b->turn, s->bucket, part_of(s, list[from]), to - from);
    for (size_t i = from; i < to; i++) {
        dq_buf_clear(row);
        dq_record_row(list[i], row);
        dq_turn_row(&b->turn, &list[i]->id, row);
        b->bytes += (int64_t)row->len + DQ_ROW_OVERHEAD;
    }
}

/* Large payloads: they stay with the rows, or go with the jobs. */
static void put_ended(plain_batch *b, dureq_run **list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        bool is_large = list[i]->env.flags & DQ_J_BLOB, is_kept = b->class_ms > 0;

        dq_turn_ended(&b->turn, &list[i]->id, is_large && is_kept);
        if (is_large && is_kept)
            b->bytes += (int64_t)list[i]->env.blob_len;
        else if (is_large)
            dq_turn_drop_payload(&b->turn, &list[i]->id);
    }
}

/* Stable order by a key, for small n: groups come together. */
static void group_by(dureq_run **list, size_t n, int64_t (*key)(const dq_wshard *, const dureq_run *), const dq_wshard *s)
{
    for (size_t i = 1; i < n; i++) {
        dureq_run *t = list[i];
        int64_t k = key(s, t);
        size_t at = i;

        while (at > 0 && key(s, list[at - 1]) > k) {
            list[at] = list[at - 1];
            at--;
        }
        list[at] = t;
    }
}

static int64_t lane_key(const dq_wshard *s, const dureq_run *t)
{
    (void)s;
    return t->lane->no;
}

static size_t group_end(dureq_run **list, size_t from, size_t n, int64_t (*key)(const dq_wshard *, const dureq_run *),
                        const dq_wshard *s)
{
    size_t to = from + 1;

    while (to < n && key(s, list[to]) == key(s, list[from]))
        to++;
    return to;
}

/* The jobs of one retention class from the front of done_fast, as plain commands. */
static void put_jobs(plain_batch *b, dq_wshard *s)
{
    dureq_run *list[DQ_BATCH_MAX] = {NULL};
    size_t n = 0, bytes = 0;

    while (n < DQ_BATCH_MAX && bytes < DQ_PLAIN_BYTES && !dq_list_empty(&s->done_fast)) {
        dureq_run *t = dq_container_of(s->done_fast.next, dureq_run, link);

        if (dq_record_class(t) != b->class_ms)
            break;
        dq_list_remove(&t->link);
        s->n_fast--;
        t->phase = TASK_SENT;
        dq_list_push_back(&s->sent, &t->link);
        list[n++] = t;
        bytes += t->j.len + t->result.len + 100;
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
        .call_no = (int64_t)s->call_no,
        .class_ms = b->class_ms,
        .bucket = b->n_jobs > 0 && b->class_ms > 0 ? s->bucket : "",
        .bytes = b->bytes,
        .known = s->paused_version,
        .slots = b->slots == s->slots_told ? -1 : b->slots,
    };
    char name[32];

    s->slots_asked = b->slots;
    s->slots_told = -1; /* until the gate's answer: who was refused, or lost, may not have told it */
    dq_turn_gate(&b->turn, &head);
    dq_lanes_listing(s, &b->turn);
    for (size_t i = 0; i < b->stats->n; i++)
        dq_turn_stat(&b->turn, dq_stat_name(&b->stats->rows[i], name), b->stats->rows[i].n);
    s->cycle_gate = b->turn.gate_at;
    s->cycle_class = b->class_ms;
    return dq_turn_end(&b->turn);
}

static void take_gate(dq_wshard *s, const dq_gate *g, int64_t wanted_class)
{
    dq_store_saw_time(s->worker->store, g->now_ms);
    s->width = g->width;
    copy_text(s->hv, sizeof s->hv, g->hv);
    copy_text(s->bucket, sizeof s->bucket, g->bucket);
    s->class_ms = g->bucket.len > 0 ? wanted_class : 0;
    if (g->tells_paused)
        dq_paused_told(s, g->queues_version, g->paused);
    s->gate_open = dq_paused_sure(s) && (!g->tells_paused || s->paused_version == g->queues_version);
    s->slots_told = s->slots_asked;
    if (g->n_lanes > s->n_lanes)
        dq_lanes_load(s);
}

static void take_exec(dq_wshard *s, int code, const dq_reply *reply, const dureq_error *err)
{
    dq_worker *w = s->worker;
    dq_rbuf *rbuf = NULL;
    dureq_error why = {0};
    dq_gate gate;

    if (is_stale(s)) /* what it read is the old session's, and given to others when that one is reaped */
        return;
    if (code == DUREQ_EUNAVAILABLE || code == DUREQ_ECLOSED) {
        s->call_lost = !dq_list_empty(&s->sent);
        s->needs_resync = true;
        return;
    }
    if (code < 0 || dq_reply_is_nil(*reply)) { /* memory is short, or somebody took something: nothing of it was done */
        if (code < 0) {
            DQ_LOG(w->log, DUREQ_LOG_WARN, "cycle.refused", "shard=%u error=\"%s\"", s->no, err->msg);
            s->plain_again_us = dq_loop_now_us(w->loop) + PLAIN_AGAIN_US;
            if (s->reads_in_script)
                s->reads_again_us = s->plain_again_us;          /* a heartbeat's pump looks again */
            if (dq_is_of_replica(code) || code == DUREQ_EREDIS) /* EXECABORT does not say why */
                dq_session_doubt(s);
        } else {
            s->refused_unseen = true;
        }
        sent_again(s);
        dq_lanes_read_off(s);
        return;
    }
    dq_reply at = dq_reply_first(*reply);
    for (size_t i = 0; i < s->cycle_gate; i++)
        at = dq_reply_next(at);
    if (dq_gate_decode(at, &gate, &why) < 0) {
        DQ_LOG(w->log, DUREQ_LOG_ERROR, "cycle.gate", "shard=%u error=\"%s\"", s->no, why.msg);
        dq_session_lost(s, "the gate of its turn failed");
        return;
    }
    take_gate(s, &gate, s->cycle_class);
    sent_recorded(s);
    w->taking = true;
    for (size_t i = 0; i < s->cycle_reads; i++) {
        at = dq_reply_next(at);
        if (dq_reply_type(at) == DQ_RESP_ERROR)
            dq_lanes_load(s); /* its stream is gone: somebody emptied the server */
        else
            dq_fetch_streams(s, at, &rbuf);
    }
    if (rbuf)
        dq_rbuf_unref(rbuf);
    w->taking = false;
    dq_lanes_read_done(s);
    if (!dq_list_empty(&w->to_pool) || w->n_fetching > 0)
        w->last_fetch_us = dq_loop_now_us(w->loop);
    dq_pool_push(w->pool, &w->to_pool);
    if (s->n_returns > 0)
        dq_session_return(s);
}

static void on_exec(void *userdata, int code, const dq_reply *reply, const dureq_error *err)
{
    dq_wshard *s = userdata;

    take_exec(s, code, reply, err);
    s->worker->reading = false;
    dq_fetch_decide(s->worker);
}

static int64_t wanted_class(const dq_wshard *s)
{
    if (s->n_fast > 0)
        return dq_record_class(dq_container_of(s->done_fast.next, dureq_run, link));
    return s->class_ms;
}

static plain_batch batch_of(dq_worker *w, dq_wshard *s, bool by_script)
{
    w->stat_rows.n = 0;
    return (plain_batch){.stats = &w->stat_rows,
                         .slots = dq_lanes_slots(s),
                         .turn = {.out = dq_redis_out(conn(w)),
                                  .keys = dq_store_keys(w->store),
                                  .shard = s->no,
                                  .session = s->session,
                                  .by_script = by_script}};
}

static void send_plain(dq_worker *w, dq_wshard *s)
{
    plain_batch b = batch_of(w, s, /*by_script=*/false);

    b.class_ms = wanted_class(s);
    dq_turn_begin(&b.turn);
    if (s->n_fast > 0 && (b.class_ms <= 0 || s->class_ms == b.class_ms)) {
        s->call_no++;
        put_jobs(&b, s);
    }
    s->reads_in_script = false;
    dq_lanes_plan(s, &b.turn);
    size_t n_replies = put_gate(&b, s);
    dq_turn_deinit(&b.turn);
    if (dq_redis_commit_many(conn(w), 0, n_replies, on_exec, s) < 0) {
        sent_again(s);
        dq_lanes_read_off(s);
        return;
    }
    w->reading = b.turn.n_reads > 0;
    s->cycle_reads = b.turn.n_reads;
    put_watch(w, next_watch(w, s), /*unwatch=*/false);
}

/* A turn without a transaction, for memory that is short: Redis queues nothing then. */
static void send_reads(dq_worker *w, dq_wshard *s)
{
    plain_batch b = batch_of(w, s, /*by_script=*/true);

    s->reads_in_script = true;
    dq_lanes_plan(s, &b.turn);
    if (b.turn.n_reads == 0)
        return;
    size_t n_replies = put_gate(&b, s);
    dq_turn_deinit(&b.turn);
    if (dq_redis_commit_many(conn(w), 0, n_replies, on_exec, s) < 0) {
        dq_lanes_read_off(s);
        return;
    }
    w->reading = true;
    s->cycle_reads = b.turn.n_reads;
    put_watch(w, s, /*unwatch=*/true);
}

/* ---- the turn ---- */

/* Short handlers are being run off one after the other right now, or will be when their payloads are here: what they bring goes in one turn
   with what is there. Never for long: a handler that blocks its thread must not hold up the others' outcomes. */
static bool better_later(dq_worker *w)
{
    int64_t now_us = dq_loop_now_us(w->loop);

    if ((!dq_pool_runs_off(w->pool) && w->n_fetching == 0) || now_us - w->last_fetch_us > HOLD_OFF_US)
        return false;
    if (!dq_timer_is_set(&w->hold_off))
        dq_timer_set(&w->hold_off, HOLD_OFF_US);
    return true;
}

void dq_cycle_look(dq_worker *w)
{
    if (!w->up || !w->cycle_up || w->exchanging || better_later(w))
        return;
    dq_wshard *s = next_shard(w);
    if (!s)
        return;
    bool plain_off = s->plain_again_us > dq_loop_now_us(w->loop);
    if (s->call_lost)
        (void)put_general(w, s, /*is_repeat=*/true); /* a transaction, too: under its number */
    else if (s->needs_resync)
        put_watch(w, s, /*unwatch=*/w->watching != NULL);
    else if (s->n_slow > 0 || (plain_off && s->n_fast > 0))
        send_general(w, s, plain_off);
    else if (plain_off)
        send_reads(w, s);
    else if (w->watching != s || !s->verified) {
        w->turn = s->no; /* still its turn once it is watched: or shards would be watched in a ring and none read */
        put_watch(w, s, /*unwatch=*/w->watching != NULL);
    } else {
        send_plain(w, s);
    }
}

void dq_cycle_lost(dq_worker *w)
{
    w->exchanging = w->reading = false;
    w->watching = NULL;
    dq_fetch_decide(w);
    for (unsigned i = 0; i < w->n_shards; i++) {
        w->shards[i].verified = false;
        w->shards[i].class_ms = 0; /* a server that forgot its bucket may have another one of that number */
        dq_lanes_read_off(&w->shards[i]);
    }
}
