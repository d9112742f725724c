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
#include "redis/resp.h"
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
        return;
    }
    if (is_stale(s)) { /* it was the old one's keys that are watched */
        exchange_over(w);
        return;
    }
    dureq_str x = dq_reply_str(dq_reply_at(*reply, 0)), hv = dq_reply_str(dq_reply_at(*reply, 1));
    if (x.len == 0) {
        dq_session_lost(s, "its session is gone");
    } else {
        if (!dq_str_eq_text(hv, s->hv)) {
            copy_text(s->hv, sizeof s->hv, hv);
            s->class_ms = 0;
        }
        if (!dq_str_eq_text(x, s->x)) {
            copy_text(s->x, sizeof s->x, x);
            s->needs_resync = true;
        }
        s->verified = true;
        if (s->needs_resync)
            dq_session_resync(s);
    }
    exchange_over(w);
}

/* Behind an exchange, or by itself. */
static void put_watch(dq_worker *w, dq_wshard *s, bool unwatch)
{
    const dq_keys *k = dq_store_keys(w->store);
    dq_redis *r = conn(w);
    dq_buf *out = dq_redis_out(r);
    static const char *const commands[] = {"WATCH", "MGET"};

    if (w->watching)
        w->watching->verified = false;
    if (unwatch) {
        dq_resp_begin(out, 1);
        dq_resp_arg(out, DQ_STR_LIT("UNWATCH"));
    }
    for (size_t i = 0; i < DQ_ARRAY_LEN(commands); i++) {
        dq_resp_begin(out, 3);
        dq_resp_arg_text(out, commands[i]);
        dq_keys_arg(out, k, s->no, "x:", dureq_str_from(s->session_text));
        dq_keys_arg(out, k, s->no, "hv", (dureq_str){0});
    }
    w->watching = s;
    s->verified = false;
    s->exchange_session = s->session;
    w->exchanging = dq_redis_commit_many(r, 0, 2 + unwatch, on_watched, s) == 0;
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

/* call_no I6, n I2, index I2 each: in the order in which the call named its jobs, which is that of `sent`. */
static bool take_refusals(dq_wshard *s, dureq_str answer)
{
    const unsigned char *p = (const unsigned char *)answer.ptr;
    size_t n = answer.len >= 8 ? (size_t)p[6] << 8 | p[7] : 0, at = 0, i = 0;

    if (answer.len < 8 || answer.len != 8 + 2 * n)
        return false;
    while (!dq_list_empty(&s->sent)) {
        dureq_run *t = dq_container_of(dq_list_pop_front(&s->sent), dureq_run, link);

        if (at < n && ((size_t)p[8 + 2 * at] << 8 | p[9 + 2 * at]) == i) {
            at++;
            refused(t);
        } else {
            recorded(t);
        }
        i++;
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
    dq_buf *out;

    dq_record_general(s, is_repeat, &call);
    if (dq_buf_failed(&call))
        return false;
    if (s->load_script) {
        out = dq_redis_out(r);
        s->load_script = false;
        dq_resp_begin(out, 3);
        dq_resp_arg(out, DQ_STR_LIT("SCRIPT"));
        dq_resp_arg(out, DQ_STR_LIT("LOAD"));
        dq_resp_arg(out, dureq_str_of(dq_scripts[DQ_SCRIPT_COMPLETE].text, dq_scripts[DQ_SCRIPT_COMPLETE].len));
        (void)dq_redis_commit(r, 0, on_loaded, s);
    }
    out = dq_redis_out(r);
    dq_buf_append_buf(out, &call);
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

/* Whose keys to watch behind the turn of s: of whoever has work, s itself when nobody does. */
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
    dq_buf *out;
    size_t n_commands;
    size_t n_jobs;
    int64_t class_ms;
    int64_t bytes;
    dq_buf ids, parts;
    dq_buf large; /* of ids: whose payload is a key of its own */
    size_t n_parts;
    dq_stat_rows *stats;
} plain_batch;

static int64_t part_of(const dq_wshard *s, const dureq_run *t)
{
    return (int64_t)t->id.ms / s->width;
}

/* XACK and XDEL of a lane's entries. */
static void put_ack(plain_batch *b, dq_wshard *s, dureq_run **list, size_t from, size_t to)
{
    const dq_keys *k = dq_store_keys(s->worker->store);
    char entry[48];

    dq_resp_begin(b->out, 3 + to - from);
    dq_resp_arg(b->out, DQ_STR_LIT("XACK"));
    dq_keys_arg_u64(b->out, k, s->no, "l:", list[from]->lane->no);
    dq_resp_arg(b->out, DQ_STR_LIT("g"));
    for (size_t i = from; i < to; i++)
        dq_resp_arg(b->out, dq_task_entry(list[i], entry));
    dq_resp_begin(b->out, 2 + to - from);
    dq_resp_arg(b->out, DQ_STR_LIT("XDEL"));
    dq_keys_arg_u64(b->out, k, s->no, "l:", list[from]->lane->no);
    for (size_t i = from; i < to; i++)
        dq_resp_arg(b->out, dq_task_entry(list[i], entry));
    b->n_commands += 2;
}

/* One HSET for the rows of one part: list[from..to). */
static void put_rows(plain_batch *b, dq_wshard *s, dureq_run **list, size_t from, size_t to)
{
    char name[64], part[24];
    unsigned char id[DQ_ID_BYTES];
    dq_buf *row = &s->worker->scratch;

    (void)snprintf(part, sizeof part, "%lld", (long long)part_of(s, list[from]));
    (void)snprintf(name, sizeof name, "%s:%s", s->bucket, part);
    dq_resp_begin(b->out, 2 + 2 * (to - from));
    dq_resp_arg(b->out, DQ_STR_LIT("HSET"));
    dq_keys_arg(b->out, dq_store_keys(s->worker->store), s->no, "h:", dureq_str_from(name));
    for (size_t i = from; i < to; i++) {
        dq_id_pack(&list[i]->id, id);
        dq_buf_clear(row);
        dq_record_row(list[i], row);
        dq_resp_arg(b->out, dureq_str_of(id, sizeof id));
        dq_resp_arg_buf(b->out, row);
        b->bytes += (int64_t)row->len + DQ_ROW_OVERHEAD;
        if (dq_buf_failed(row))
            b->out->failed = true;
    }
    dq_resp_arg_text(&b->parts, part);
    b->n_parts++;
    b->n_commands++;
}

/* Large payloads: they stay with the rows, or go with the jobs. */
static void put_large(plain_batch *b, dq_wshard *s, dureq_run **list, size_t n)
{
    const dq_keys *k = dq_store_keys(s->worker->store);
    unsigned char id[DQ_ID_BYTES];

    for (size_t i = 0; i < n; i++) {
        if (!(list[i]->env.flags & DQ_J_BLOB))
            continue;
        dq_id_pack(&list[i]->id, id);
        if (b->class_ms > 0) {
            dq_buf_append(&b->large, id, sizeof id);
            b->bytes += (int64_t)list[i]->env.blob_len;
            continue;
        }
        dq_resp_begin(b->out, 2);
        dq_resp_arg(b->out, DQ_STR_LIT("UNLINK"));
        dq_keys_arg(b->out, k, s->no, "b:", dureq_str_of(id, sizeof id));
        b->n_commands++;
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
    unsigned char id[DQ_ID_BYTES];
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
        dq_id_pack(&t->id, id);
        dq_buf_append(&b->ids, id, sizeof id);
    }
    group_by(list, n, lane_key, s);
    for (size_t from = 0; from < n;) {
        size_t to = group_end(list, from, n, lane_key, s);

        for (size_t i = from; i < to; i++)
            dq_stats_of(b->stats, list[i]);

        put_ack(b, s, list, from, to);
        from = to;
    }
    b->n_jobs = n;
    put_large(b, s, list, n);
    if (b->class_ms <= 0)
        return;
    group_by(list, n, part_of, s);
    for (size_t from = 0; from < n;) {
        size_t to = group_end(list, from, n, part_of, s);

        put_rows(b, s, list, from, to);
        from = to;
    }
}

/* What goes with a turn beside what ended, as arguments and how many. */
typedef struct turn_words {
    dq_buf listing, reads;
    size_t n_listing, n_reads;
    int64_t slots; /* free before the reads */
} turn_words;

static void words_deinit(turn_words *t)
{
    dq_buf_deinit(&t->listing);
    dq_buf_deinit(&t->reads);
}

#define WORDS_AUTO DQ_CLEANUP(words_deinit) turn_words

static bool words_failed(const turn_words *t)
{
    return dq_buf_failed(&t->listing) || dq_buf_failed(&t->reads);
}

static void plan(turn_words *t, dq_wshard *s)
{
    t->slots = dq_lanes_slots(s);
    t->n_reads = dq_lanes_plan(s, &t->reads);
    t->n_listing = dq_lanes_listing(s, &t->listing);
}

static void put_i64_or_none(dq_buf *out, int64_t v, bool some)
{
    if (some)
        dq_resp_arg_i64(out, v);
    else
        dq_resp_arg(out, (dureq_str){0});
}

/* n_words: of reads by script, which follow. */
static void put_script(plain_batch *b, dq_wshard *s, int64_t wanted_class, const turn_words *t, size_t n_words)
{
    const dq_keys *k = dq_store_keys(s->worker->store);
    bool keeps = b->n_jobs > 0 && b->class_ms > 0;

    dq_call_begin_text(b->out, DQ_SCRIPT_WORKER_CYCLE, 3, 12 + b->n_parts + t->n_listing + 2 * b->stats->n + n_words);
    dq_keys_arg(b->out, k, s->no, "sh", (dureq_str){0});
    dq_keys_arg(b->out, k, s->no, "s:", dureq_str_from(s->session_text));
    dq_keys_arg(b->out, k, s->no, "paused_queues", (dureq_str){0});
    dq_resp_arg_text(b->out, s->session_text);
    put_i64_or_none(b->out, (int64_t)s->call_no, b->n_jobs > 0);
    dq_resp_arg_buf(b->out, &b->ids);
    dq_resp_arg_i64(b->out, wanted_class);
    dq_resp_arg_text(b->out, keeps ? s->bucket : "");
    dq_resp_arg_i64(b->out, b->bytes);
    dq_resp_arg_buf(b->out, &b->large);
    put_i64_or_none(b->out, s->paused_version, t->n_reads > 0);
    put_i64_or_none(b->out, t->slots, t->slots != s->slots_told);
    s->slots_told = t->slots;
    dq_resp_arg_i64(b->out, (int64_t)b->n_parts);
    dq_buf_append_buf(b->out, &b->parts);
    dq_resp_arg_i64(b->out, (int64_t)t->n_listing);
    dq_buf_append_buf(b->out, &t->listing);
    dq_resp_arg_i64(b->out, (int64_t)b->stats->n);
    dq_stats_put(b->stats, b->out);
    b->n_commands++;
}

#define GATE_ITEMS 8

/* now, live, n lanes, queue version, bucket, width, hv, paused. */
static void take_gate(dq_wshard *s, dq_reply gate, int64_t wanted_class)
{
    dq_reply at = dq_reply_first(gate);
    int64_t v[4];

    for (size_t i = 0; i < DQ_ARRAY_LEN(v); i++) {
        v[i] = dq_reply_int(at);
        at = dq_reply_next(at);
    }
    dureq_str bucket = dq_reply_str(at);
    at = dq_reply_next(at);
    s->width = DQ_MAX(dq_reply_int(at), 1);
    at = dq_reply_next(at);
    copy_text(s->hv, sizeof s->hv, dq_reply_str(at));
    dq_store_saw_time(s->worker->store, v[0]);
    copy_text(s->bucket, sizeof s->bucket, bucket);
    s->class_ms = bucket.len > 0 ? wanted_class : 0;
    at = dq_reply_next(at);
    if (dq_reply_type(at) == DQ_RESP_ARRAY)
        dq_paused_told(s, v[3], at);
    s->gate_open = dq_paused_sure(s);
    if ((uint32_t)v[2] > s->n_lanes)
        dq_lanes_load(s);
}

static void take_exec(dq_wshard *s, int code, const dq_reply *reply, const dureq_error *err)
{
    dq_worker *w = s->worker;
    dq_rbuf *rbuf = NULL;

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
                s->reads_again_us = s->plain_again_us; /* a heartbeat's pump looks again */
        }
        sent_again(s);
        dq_lanes_read_off(s);
        return;
    }
    dq_reply at = dq_reply_first(*reply);
    for (size_t i = 0; i < s->cycle_gate; i++)
        at = dq_reply_next(at);
    if (dq_reply_len(*reply) <= s->cycle_gate || dq_reply_type(at) != DQ_RESP_ARRAY || dq_reply_len(at) < GATE_ITEMS) {
        dureq_error why = {0};

        (void)dq_reply_error(at, &why);
        DQ_LOG(w->log, DUREQ_LOG_ERROR, "cycle.gate", "shard=%u error=\"%s\"", s->no, why.msg);
        dq_session_lost(s, "the gate of its turn failed");
        return;
    }
    take_gate(s, at, s->cycle_class);
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

static void send_plain(dq_worker *w, dq_wshard *s)
{
    dq_redis *r = conn(w);
    plain_batch b = {.out = dq_redis_out(r), .class_ms = wanted_class(s), .stats = &w->stat_rows};
    WORDS_AUTO t = {0};

    w->stat_rows.n = 0;
    dq_resp_begin(b.out, 1);
    dq_resp_arg(b.out, DQ_STR_LIT("MULTI"));
    if (s->n_fast > 0 && (b.class_ms <= 0 || s->class_ms == b.class_ms)) {
        s->call_no++;
        put_jobs(&b, s);
    }
    s->reads_in_script = false;
    plan(&t, s);
    s->cycle_gate = b.n_commands;
    s->cycle_class = b.class_ms;
    put_script(&b, s, b.class_ms, &t, 0);
    dq_buf_append_buf(b.out, &t.reads);
    dq_resp_begin(b.out, 1);
    dq_resp_arg(b.out, DQ_STR_LIT("EXEC"));
    if (dq_buf_failed(&b.ids) || dq_buf_failed(&b.parts) || dq_buf_failed(&b.large) || words_failed(&t))
        b.out->failed = true;
    dq_buf_deinit(&b.ids);
    dq_buf_deinit(&b.parts);
    dq_buf_deinit(&b.large);
    if (dq_redis_commit_many(r, 0, 2 + b.n_commands + t.n_reads, on_exec, s) < 0) {
        sent_again(s);
        dq_lanes_read_off(s);
        return;
    }
    w->reading = t.n_reads > 0;
    s->cycle_reads = t.n_reads;
    put_watch(w, next_watch(w, s), /*unwatch=*/false);
}

/* A turn without a transaction, for memory that is short: Redis queues nothing then. */
static void send_reads(dq_worker *w, dq_wshard *s)
{
    plain_batch b = {.out = dq_redis_out(conn(w)), .stats = &w->stat_rows};
    WORDS_AUTO t = {0};

    w->stat_rows.n = 0;
    s->reads_in_script = true;
    plan(&t, s);
    if (t.n_reads == 0)
        return;
    s->cycle_gate = 0;
    s->cycle_class = 0;
    put_script(&b, s, 0, &t, 2 * t.n_reads);
    dq_buf_append_buf(b.out, &t.reads);
    if (words_failed(&t))
        b.out->failed = true;
    if (dq_redis_commit(conn(w), 0, on_exec, s) < 0) {
        dq_lanes_read_off(s);
        return;
    }
    w->reading = t.n_reads > 0;
    s->cycle_reads = t.n_reads;
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
