/* SPDX-License-Identifier: Apache-2.0 */
/* Tasks whose outcome is known as arguments of complete.lua, and their rows, records and statistics. */

#include <stdio.h>

#include "json/json.h"
#include "redis/resp.h"
#include "worker/worker_internal.h"

int64_t dq_record_class(const dureq_run *t)
{
    return t->env.flags & DQ_J_RETENTION ? t->env.retention_ms : t->lane->queue_of->class_ms;
}

/* What the end of a run has to see to besides history, statistics, event and waiters: bits, above those of the envelope. */
enum {
    ENDS_OTHERWISE = 1 << 16, /* than well */
    HAS_MOVED = 1 << 17,
    HAS_REPORTED = 1 << 18, /* its start */
    HAS_PROGRESS = 1 << 19,
    HAS_LOG = 1 << 20,
};

static unsigned end_asks(const dureq_run *t)
{
    unsigned asks = t->env.flags & DQ_J_END_GENERAL;

    asks |= t->next != NEXT_COMPLETED ? ENDS_OTHERWISE : 0;
    asks |= t->front || t->m.len > 0 ? HAS_MOVED : 0;
    asks |= t->reported ? HAS_REPORTED : 0;
    asks |= t->progress_sent ? HAS_PROGRESS : 0;
    asks |= t->log.len > 0 ? HAS_LOG : 0;
    return asks;
}

/* What plain commands can end. */
bool dq_record_is_plain(const dureq_run *t)
{
    return end_asks(t) == 0;
}

/* ---- packed forms ---- */

static dureq_str result_type_of(const dureq_run *t)
{
    dureq_str bytes = dq_buf_str(&t->result);

    if (!t->has_result)
        return (dureq_str){0};
    if (t->result_type)
        return dureq_str_from(t->result_type);
    return bytes.len > 0 && dq_json_valid(bytes) ? DQ_STR_LIT("application/json") : DQ_STR_LIT("application/octet-stream");
}

void dq_record_row(dureq_run *t, dq_buf *out)
{
    DQ_BUF_AUTO m = {0};
    dq_row row = {
        .state = t->next == NEXT_DEAD ? DUREQ_JOB_DEAD : DUREQ_JOB_COMPLETED,
        .skipped = t->outcome == DUREQ_OUTCOME_SKIP,
        .has_logs = t->log.len > 0,
        .started_at_ms = t->started_at_ms,
        .ran_ms = t->ran_ms,
        .finished_at_ms = t->finished_at_ms,
        .session = t->shard->session,
        .m = t->m,
        .j = t->j,
    };

    if (t->next == NEXT_DEAD) {
        dq_record_moved(t, &m);
        row.m = dq_buf_str(&m);
        row.reason = dureq_str_from(t->said.msg);
    } else {
        row.result = dq_buf_str(&t->result);
        row.result_type = result_type_of(t);
        row.reason = row.skipped ? dureq_str_from(t->said.msg) : (dureq_str){0};
    }
    dq_row_pack_head(out, &row, &t->id);
    dq_buf_append_str(out, t->j);
    if (dq_buf_failed(&m))
        out->failed = true;
}

static int32_t attempt_code(const dureq_run *t)
{
    if (t->outcome == DUREQ_OUTCOME_TIMED_OUT)
        return DUREQ_ETIMEOUT;
    return t->said.any ? t->said.code : t->rc;
}

/* The moved part behind this run: one run and, as judged, one attempt more. */
void dq_record_moved(const dureq_run *t, dq_buf *out)
{
    DQ_BUF_AUTO tail = {0};
    dq_moved m = t->moved;
    dq_attempt a = {
        .run = (uint32_t)m.runs + 1,
        .outcome = (uint8_t)t->outcome,
        .started_at_ms = t->started_at_ms,
        .ran_ms = t->ran_ms,
        .session = t->shard->session,
        .code = attempt_code(t),
        .error = dureq_str_from(t->said.msg),
        .detail = dq_buf_str(&t->said.detail),
    };
    bool anew = t->outcome == DUREQ_OUTCOME_REPEAT;

    m.id = t->id;
    m.runs += m.runs < UINT16_MAX;
    m.attempts = anew ? 0 : (uint16_t)DQ_MIN(m.attempts + t->spent, UINT16_MAX);
    m.repeats = anew ? (uint8_t)DQ_MIN(m.repeats + 1, UINT8_MAX) : m.repeats;
    m.errors_in_row = t->spent ? (uint16_t)DQ_MIN(m.errors_in_row + 1, UINT16_MAX) : anew ? 0 : m.errors_in_row;
    m.flags = (uint8_t)((m.flags & ~DQ_M_SUSPECT) | (anew ? DQ_M_REPEATED : 0) | (t->log.len > 0 ? DQ_M_LOGS : 0));
    m.ready_at_ms = t->finished_at_ms + DQ_MAX(t->delay_ms, 0);
    m.due_at_ms = t->next == NEXT_DUE ? m.ready_at_ms : 0;
    dq_attempts_add(&tail, m.tail, &a, &m.n_attempts);
    m.tail = dq_buf_str(&tail);
    dq_moved_pack(out, &m);
    if (dq_buf_failed(&tail))
        out->failed = true;
}

/* The envelope that goes on: with the new payload of a repeat. */
static dureq_str envelope_on(dureq_run *t, dq_buf *scratch)
{
    if (t->outcome != DUREQ_OUTCOME_REPEAT || !t->said.has_payload)
        return t->j;
    if (dq_envelope_repack(scratch, t->j, dq_buf_str(&t->said.payload), NULL) < 0)
        return t->j;
    return dq_buf_str(scratch);
}

/* ---- segments of complete.lua ---- */

typedef struct group_key {
    char kind;
    bool front, side;
    uint32_t lane;
    int64_t class_ms;
} group_key;

static group_key key_of(const dureq_run *t)
{
    group_key k = {.front = t->front, .lane = t->lane->no};

    switch (t->next) {
    case NEXT_COMPLETED:
        k.class_ms = dq_record_class(t);
        k.kind = k.class_ms > 0 ? 'c' : 'n';
        k.side = k.kind == 'c' && (t->log.len > 0 || (t->moved.flags & DQ_M_LOGS) || (t->env.flags & DQ_J_BLOB));
        break;
    case NEXT_DUE: k.kind = 'r'; break;
    case NEXT_PAUSED: k.kind = 'p'; break;
    case NEXT_FRONT: k.kind = 'f'; break;
    case NEXT_DEAD: k.kind = 'd'; break;
    }
    return k;
}

static bool same_group(const group_key *a, const group_key *b)
{
    return a->kind == b->kind && a->front == b->front && a->side == b->side && a->lane == b->lane && a->class_ms == b->class_ms;
}

typedef struct writer {
    dq_buf *out;
    size_t n_args;
} writer;

static void put(writer *w, dureq_str arg)
{
    dq_resp_arg(w->out, arg);
    w->n_args++;
}

static void put_i64(writer *w, int64_t v)
{
    dq_resp_arg_i64(w->out, v);
    w->n_args++;
}

static void put_id(writer *w, const dureq_run *t)
{
    unsigned char id[DQ_ID_BYTES];

    dq_id_pack(&t->id, id);
    put(w, dureq_str_of(id, sizeof id));
}

static void put_job(writer *w, dureq_run *t, char kind)
{
    DQ_BUF_AUTO body = {0};
    DQ_BUF_AUTO m = {0};
    DQ_BUF_AUTO j = {0};

    if (kind == 'r' || kind == 'p')
        put_i64(w, t->delay_ms);
    put_id(w, t);
    if (kind == 'n')
        return;
    if (kind == 'c' || kind == 'd') {
        dq_record_row(t, &body);
        put(w, dq_buf_str(&body));
    } else {
        dq_record_moved(t, &m);
        if (kind == 'f') {
            put(w, dq_buf_str(&m));
            put(w, envelope_on(t, &j));
        } else {
            dq_record_pack(&body, dq_buf_str(&m), envelope_on(t, &j));
            put(w, dq_buf_str(&body));
        }
    }
    if (dq_buf_failed(&body) || dq_buf_failed(&m) || dq_buf_failed(&j))
        w->out->failed = true;
}

/* The tasks of list[from..to) are of one group. */
static void put_segment(writer *w, dureq_run **list, size_t from, size_t to, const group_key *k)
{
    char stream[24], entry[48];
    int len = snprintf(stream, sizeof stream, "%c:%u", k->front ? 'f' : 'l', (unsigned)k->lane);

    put(w, dureq_str_of(&k->kind, 1));
    put(w, dureq_str_of(stream, (size_t)len));
    put_i64(w, (int64_t)(to - from));
    for (size_t i = from; i < to; i++)
        put(w, dq_task_entry(list[i], entry));
    if (k->kind == 'c') {
        put_i64(w, k->class_ms);
        put(w, k->side ? DQ_STR_LIT("1") : (dureq_str){0});
    }
    for (size_t i = from; i < to; i++)
        put_job(w, list[i], k->kind);
}

/* Side segments: for tasks for which `wants` holds, kind n and `n` items. */
static bool wants_side(const dureq_run *t, char kind)
{
    bool ends = t->next == NEXT_COMPLETED || t->next == NEXT_DEAD;

    switch (kind) {
    case 'u':
        return ends && (t->env.flags & DQ_J_UNIQUE) && t->env.unique_for_ms == 0 &&
               (t->env.unique_shard < 0 || t->env.unique_shard == t->id.shard);
    case 'U':
        return ends && (t->env.flags & DQ_J_UNIQUE) && t->env.unique_for_ms == 0 && t->env.unique_shard >= 0 &&
               t->env.unique_shard != t->id.shard;
    case 'o': return t->log.len > 0 && !(t->next == NEXT_COMPLETED && dq_record_class(t) <= 0);
    case 'a': return t->reported;
    case 'g': return t->progress_sent;
    case 'b':
        return t->next == NEXT_COMPLETED && dq_record_class(t) <= 0 &&
               ((t->env.flags & DQ_J_BLOB) || (t->moved.flags & DQ_M_LOGS));
    case 'B': return t->outcome == DUREQ_OUTCOME_REPEAT && t->said.has_payload && t->said.payload.len > DQ_PAYLOAD_INLINE_MAX;
    default: return false;
    }
}

static dureq_str side_value(const dureq_run *t, char kind)
{
    if (kind == 'u' || kind == 'U')
        return t->env.unique_key;
    if (kind == 'B')
        return dq_buf_str(&t->said.payload);
    dureq_str log = dq_buf_str(&t->log);
    if (log.len > DQ_LOG_MAX)
        log = dureq_str_of(log.ptr + (log.len - DQ_LOG_MAX), DQ_LOG_MAX);
    return log;
}

static void put_side(writer *w, dureq_run **list, size_t n, char kind)
{
    size_t count = 0;

    for (size_t i = 0; i < n; i++)
        count += wants_side(list[i], kind);
    if (count == 0)
        return;
    put(w, dureq_str_of(&kind, 1));
    put_i64(w, (int64_t)count);
    for (size_t i = 0; i < n; i++) {
        if (!wants_side(list[i], kind))
            continue;
        if (kind != 'a' && kind != 'g')
            put_i64(w, (int64_t)i);
        put_id(w, list[i]);
        if (kind != 'a' && kind != 'g' && kind != 'b')
            put(w, side_value(list[i], kind));
    }
}

/* Groups together, each in the order it was in. n is at most DQ_BATCH_MAX. */
static void sort_groups(dureq_run **list, size_t n)
{
    for (size_t from = 0; from < n;) {
        group_key k = key_of(list[from]);
        size_t to = from + 1;

        for (size_t i = to; i < n; i++) {
            group_key other = key_of(list[i]);
            dureq_run *t = list[i];

            if (!same_group(&k, &other))
                continue;
            memmove(&list[to + 1], &list[to], (i - to) * sizeof *list);
            list[to++] = t;
        }
        from = to;
    }
}

void dq_record_general(dq_wshard *s, bool is_repeat, dq_buf *out)
{
    static const char sides[] = "uUoagbB";
    const dq_keys *k = dq_store_keys(s->worker->store);
    dureq_run *list[DQ_BATCH_MAX];
    DQ_BUF_AUTO args = {0};
    writer w = {.out = &args};
    dq_stat_rows *stats = &s->worker->stat_rows;
    size_t n = 0;

    stats->n = 0;
    DQ_LIST_FOREACH (dureq_run, t, &s->sent, link)
        if (n < DQ_BATCH_MAX)
            list[n++] = t;
    sort_groups(list, n);
    /* Indices of refusals count in this order: the list follows it. */
    dq_list_init(&s->sent);
    for (size_t i = 0; i < n; i++) {
        list[i]->link = (dq_list){0};
        dq_list_push_back(&s->sent, &list[i]->link);
        dq_stats_of(stats, list[i]);
    }
    for (size_t from = 0; from < n;) {
        group_key key = key_of(list[from]);
        size_t to = from + 1;

        while (to < n) {
            group_key other = key_of(list[to]);

            if (!same_group(&key, &other))
                break;
            to++;
        }
        put_segment(&w, list, from, to, &key);
        from = to;
    }
    for (size_t i = 0; i < sizeof sides - 1; i++)
        put_side(&w, list, n, sides[i]);

    dq_call_begin(out, DQ_SCRIPT_COMPLETE, 5, 5 + 2 * stats->n + w.n_args);
    dq_keys_arg(out, k, s->no, "sh", (dureq_str){0});
    dq_keys_arg(out, k, s->no, "s:", dureq_str_from(s->session_text));
    dq_keys_arg(out, k, s->no, "loc", (dureq_str){0});
    dq_keys_arg(out, k, s->no, "dead", (dureq_str){0});
    dq_keys_arg(out, k, s->no, "dead:h", (dureq_str){0});
    dq_resp_arg_text(out, s->session_text);
    dq_resp_arg_i64(out, (int64_t)s->call_no);
    dq_resp_arg_i64(out, s->no);
    dq_resp_arg_text(out, is_repeat ? "1" : "");
    dq_resp_arg_i64(out, (int64_t)stats->n);
    dq_stats_put(stats, out);
    dq_buf_append_buf(out, &args);
    if (dq_buf_failed(&args))
        out->failed = true;
}

/* ---- statistics ---- */

static void stat_add(dq_stat_rows *rows, uint32_t lane, int32_t field)
{
    /* Runs come lane by lane; a lane that comes again gets other rows, which are summed where they are kept. */
    for (size_t i = rows->n; i-- > 0 && rows->rows[i].lane == lane;)
        if (rows->rows[i].field == field) {
            rows->rows[i].n++;
            return;
        }
    rows->rows[rows->n++] = (dq_stat_row){.lane = lane, .field = field, .n = 1}; /* there is room for all of a batch */
}

/* Bucket i holds what is below 2^i ms. */
static int32_t log2_bucket(int64_t ms)
{
    int32_t i = 0;

    while (i < 23 && ms >= (1LL << i))
        i++;
    return i;
}

void dq_stats_of(dq_stat_rows *rows, const dureq_run *t)
{
    uint32_t lane = t->lane->no;
    int64_t since = t->m.len > 0 ? t->moved.ready_at_ms : (int64_t)t->id.ms;

    if (t->next == NEXT_COMPLETED)
        stat_add(rows, lane, 0);
    else if (t->spent)
        stat_add(rows, lane, 1);
    if (t->next == NEXT_DEAD)
        stat_add(rows, lane, 2);
    stat_add(rows, lane, 100 + log2_bucket(t->started_at_ms - since));
    stat_add(rows, lane, 200 + log2_bucket(t->ran_ms));
}

void dq_stats_put(const dq_stat_rows *rows, dq_buf *out)
{
    static const char plain[] = "cfd";

    for (size_t i = 0; i < rows->n; i++) {
        const dq_stat_row *r = &rows->rows[i];
        char field[32];

        if (r->field < 100)
            (void)snprintf(field, sizeof field, "%u:%c", (unsigned)r->lane, plain[r->field % 3]);
        else
            (void)snprintf(field, sizeof field, "%u:%c%d", (unsigned)r->lane, r->field < 200 ? 'w' : 'r', (int)(r->field % 100));
        dq_resp_arg_text(out, field);
        dq_resp_arg_i64(out, r->n);
    }
}
