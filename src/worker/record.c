/* SPDX-License-Identifier: Apache-2.0 */
/* Tasks whose outcome is known as one general call, and their rows, records and statistics. */

#include <stdio.h>

#include "json/json.h"
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

/* The moved part after this run: one run and, as judged, one attempt more. */
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
        .output = dq_buf_str(&t->said.output),
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

/* ---- the general call ---- */

static dq_end_group group_of(const dureq_run *t)
{
    dq_end_group g = {.front = t->front, .lane = t->lane->no};

    switch (t->next) {
    case NEXT_COMPLETED:
        g.class_ms = dq_record_class(t);
        g.kind = g.class_ms > 0 ? DQ_END_KEPT : DQ_END_GONE;
        g.has_side_keys = g.kind == DQ_END_KEPT && (t->log.len > 0 || (t->moved.flags & DQ_M_LOGS) || (t->env.flags & DQ_J_BLOB));
        break;
    case NEXT_DUE: g.kind = DQ_END_DUE; break;
    case NEXT_PAUSED: g.kind = DQ_END_PAUSED; break;
    case NEXT_FRONT: g.kind = DQ_END_FRONT; break;
    case NEXT_DEAD: g.kind = DQ_END_DEAD; break;
    }
    return g;
}

static bool same_group(const dq_end_group *a, const dq_end_group *b)
{
    return a->kind == b->kind && a->front == b->front && a->has_side_keys == b->has_side_keys && a->lane == b->lane &&
           a->class_ms == b->class_ms;
}

static void put_job(dq_complete *c, dureq_run *t, char kind)
{
    DQ_BUF_AUTO row = {0};
    DQ_BUF_AUTO m = {0};
    DQ_BUF_AUTO j = {0};
    dq_end_job job = {.id = t->id, .delay_ms = t->delay_ms};

    if (kind == DQ_END_KEPT || kind == DQ_END_DEAD) {
        dq_record_row(t, &row);
    } else if (kind != DQ_END_GONE) {
        dq_record_moved(t, &m);
        job.m = dq_buf_str(&m);
        job.j = envelope_on(t, &j);
        if (kind != DQ_END_FRONT)
            dq_record_pack(&row, job.m, job.j);
    }
    job.row = dq_buf_str(&row);
    dq_complete_job(c, &job);
    if (dq_buf_failed(&row) || dq_buf_failed(&m) || dq_buf_failed(&j))
        c->call.out->failed = true;
}

/* The tasks of list[from..to) are of one group. */
static void put_group(dq_complete *c, dureq_run **list, size_t from, size_t to, const dq_end_group *g)
{
    dq_entry entries[DQ_BATCH_MAX];

    for (size_t i = from; i < to; i++)
        entries[i - from] = dq_task_entry(list[i]);
    dq_complete_group(c, g, entries, to - from);
    for (size_t i = from; i < to; i++)
        put_job(c, list[i], g->kind);
}

static bool wants_side(const dureq_run *t, dq_end_side kind)
{
    bool ends = t->next == NEXT_COMPLETED || t->next == NEXT_DEAD;

    switch (kind) {
    case DQ_SIDE_KEY:
        return ends && (t->env.flags & DQ_J_UNIQUE) && t->env.unique_for_ms == 0 &&
               (t->env.unique_shard < 0 || t->env.unique_shard == t->id.shard);
    case DQ_SIDE_KEY_AWAY:
        return ends && (t->env.flags & DQ_J_UNIQUE) && t->env.unique_for_ms == 0 && t->env.unique_shard >= 0 &&
               t->env.unique_shard != t->id.shard;
    case DQ_SIDE_LOG: return t->log.len > 0 && !(t->next == NEXT_COMPLETED && dq_record_class(t) <= 0);
    case DQ_SIDE_START: return t->reported;
    case DQ_SIDE_PROGRESS: return t->progress_sent;
    case DQ_SIDE_DROP:
        return t->next == NEXT_COMPLETED && dq_record_class(t) <= 0 &&
               ((t->env.flags & DQ_J_BLOB) || (t->moved.flags & DQ_M_LOGS));
    case DQ_SIDE_PAYLOAD:
        return t->outcome == DUREQ_OUTCOME_REPEAT && t->said.has_payload && t->said.payload.len > DQ_PAYLOAD_INLINE_MAX;
    }
    return false;
}

static dureq_str side_value(const dureq_run *t, dq_end_side kind)
{
    if (kind == DQ_SIDE_KEY || kind == DQ_SIDE_KEY_AWAY)
        return t->env.unique_key;
    if (kind == DQ_SIDE_PAYLOAD)
        return dq_buf_str(&t->said.payload);
    dureq_str log = dq_buf_str(&t->log);
    if (log.len > DQ_LOG_MAX)
        log = dureq_str_of(log.ptr + (log.len - DQ_LOG_MAX), DQ_LOG_MAX);
    return log;
}

static void put_side(dq_complete *c, dureq_run **list, size_t n, dq_end_side kind)
{
    for (size_t i = 0; i < n; i++)
        if (wants_side(list[i], kind))
            dq_complete_side(c, kind, i, &list[i]->id, side_value(list[i], kind));
}

/* Groups together, each in the order it was in. n is at most DQ_BATCH_MAX. */
static void sort_groups(dureq_run **list, size_t n)
{
    for (size_t from = 0; from < n;) {
        dq_end_group k = group_of(list[from]);
        size_t to = from + 1;

        for (size_t i = to; i < n; i++) {
            dq_end_group other = group_of(list[i]);
            dureq_run *t = list[i];

            if (!same_group(&k, &other))
                continue;
            memmove(&list[to + 1], &list[to], (i - to) * sizeof *list);
            list[to++] = t;
        }
        from = to;
    }
}

/* All of `sent`, by groups. Indices of refusals count in this order: the list follows it. */
static size_t take_sent(dq_wshard *s, dureq_run **list)
{
    size_t n = 0;

    DQ_LIST_FOREACH (dureq_run, t, &s->sent, link)
        if (n < DQ_BATCH_MAX)
            list[n++] = t;
    sort_groups(list, n);
    dq_list_init(&s->sent);
    for (size_t i = 0; i < n; i++) {
        list[i]->link = (dq_list){0};
        dq_list_push_back(&s->sent, &list[i]->link);
    }
    return n;
}

static void put_stats(dq_complete *c, dq_stat_rows *stats, dureq_run **list, size_t n)
{
    char name[32];

    stats->n = 0;
    for (size_t i = 0; i < n; i++)
        dq_stats_of(stats, list[i]);
    for (size_t i = 0; i < stats->n; i++)
        dq_complete_stat(c, dq_stat_name(&stats->rows[i], name), stats->rows[i].n);
}

void dq_record_general(dq_wshard *s, bool is_repeat, dq_buf *out)
{
    static const dq_end_side sides[] = {DQ_SIDE_KEY,      DQ_SIDE_KEY_AWAY, DQ_SIDE_LOG,    DQ_SIDE_START,
                                        DQ_SIDE_PROGRESS, DQ_SIDE_DROP,     DQ_SIDE_PAYLOAD};
    dureq_run *list[DQ_BATCH_MAX];
    size_t n = take_sent(s, list);
    dq_complete_head head = {
        .shard = s->no, .session = s->session, .call_no = (int64_t)s->call_no, .is_repeat = is_repeat, .n_about = n};
    dq_complete c = dq_complete_begin(out, dq_store_keys(s->worker->store), &head);

    put_stats(&c, &s->worker->stat_rows, list, n);
    for (size_t from = 0; from < n;) {
        dq_end_group g = group_of(list[from]);
        size_t to = from + 1;

        for (; to < n; to++) {
            dq_end_group other = group_of(list[to]);

            if (!same_group(&g, &other))
                break;
        }
        put_group(&c, list, from, to, &g);
        from = to;
    }
    for (size_t i = 0; i < DQ_ARRAY_LEN(sides); i++)
        put_side(&c, list, n, sides[i]);
    dq_complete_end(&c);
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

const char *dq_stat_name(const dq_stat_row *row, char out[32])
{
    static const char plain[] = "cfd";

    if (row->field < 100)
        (void)snprintf(out, 32, "%u:%c", (unsigned)row->lane, plain[row->field % 3]);
    else
        (void)snprintf(out, 32, "%u:%c%d", (unsigned)row->lane, row->field < 200 ? 'w' : 'r', (int)(row->field % 100));
    return out;
}
