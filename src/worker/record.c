/* SPDX-License-Identifier: Apache-2.0 */
/* Claims whose outcome is known as one general call, and their rows, records and statistics. */

#include <stdio.h>

#include "json/json.h"
#include "worker/worker_internal.h"

#define TOLD_STARTED   1 /* flags of what an event says */
#define TOLD_SPENT     2
#define TOLD_ERROR_MAX 512 /* bytes of an error in an event; the job has all of it */

int64_t dq_record_class(const dq_claim *c)
{
    return c->job.env.flags & DQ_J_RETENTION ? c->job.env.retention_ms : c->lane->queue_of->class_ms;
}

/* What the end of a run has to see to besides history, statistics, event and waiters: bits, above those of the envelope. */
enum {
    ENDS_OTHERWISE = 1 << 16, /* than well */
    HAS_MOVED = 1 << 17,
    HAS_REPORTED = 1 << 18, /* its start */
    HAS_PROGRESS = 1 << 19,
    HAS_LOG = 1 << 20,
    HAS_STEPS = 1 << 21,
};

static unsigned end_asks(const dq_claim *c)
{
    unsigned asks = c->job.env.flags & DQ_J_END_GENERAL;

    asks |= c->verdict.next != DQ_NEXT_COMPLETED ? ENDS_OTHERWISE : 0;
    asks |= c->job.entry.front || c->job.m.len > 0 ? HAS_MOVED : 0;
    asks |= c->start_told != DQ_START_UNTOLD ? HAS_REPORTED : 0;
    asks |= c->progress_told ? HAS_PROGRESS : 0;
    asks |= c->log.len > 0 ? HAS_LOG : 0;
    asks |= c->has_steps ? HAS_STEPS : 0;
    return asks;
}

/* Log lines or steps, of this run. Those of the ones before are known by its moved part. */
static bool has_beside(const dq_claim *c)
{
    return c->log.len > 0 || c->has_steps;
}

static bool ends(const dq_claim *c)
{
    return c->verdict.next == DQ_NEXT_COMPLETED || c->verdict.next == DQ_NEXT_DEAD;
}

/* Nothing is kept of it, neither in history nor among the dead: an item of a batch, which keeps what is to be known. */
static bool is_gone(const dq_claim *c)
{
    return ends(c) && ((c->job.env.flags & DQ_J_ITEM) || (c->verdict.next == DQ_NEXT_COMPLETED && dq_record_class(c) <= 0));
}

/* What plain commands can end. */
bool dq_record_is_plain(const dq_claim *c)
{
    return end_asks(c) == 0;
}

/* ---- packed forms ---- */

static dureq_str result_type_of(const dq_claim *c)
{
    dureq_str bytes = dq_buf_str(&c->words.result);

    if (!c->words.has_result)
        return (dureq_str){0};
    if (c->words.result_type)
        return dureq_str_from(c->words.result_type);
    return bytes.len > 0 && dq_json_valid(bytes) ? DQ_STR_LIT("application/json") : DQ_STR_LIT("application/octet-stream");
}

static int32_t attempt_code(const dq_claim *c)
{
    if (c->verdict.outcome == DUREQ_OUTCOME_TIMED_OUT)
        return DUREQ_ETIMEOUT;
    return c->words.has_said ? c->words.code : c->verdict.rc;
}

/* The moved part after this run: one run and, as judged, one attempt more. */
static void moved_after(const dq_claim *c, dq_buf *out)
{
    DQ_BUF_AUTO tail = {0};
    dq_moved m = c->job.moved;
    dq_attempt a = {
        .run = (uint32_t)m.runs + 1,
        .outcome = (uint8_t)c->verdict.outcome,
        .started_at_ms = c->verdict.started_at_ms,
        .ran_ms = c->verdict.ran_ms,
        .session = c->shard->session.no,
        .code = attempt_code(c),
        .error = dureq_str_from(c->words.msg),
        .detail = dq_buf_str(&c->words.detail),
        .output = dq_buf_str(&c->words.output),
    };
    bool restarts = c->verdict.outcome == DUREQ_OUTCOME_REPEAT;

    m.id = c->job.id;
    m.runs += m.runs < UINT16_MAX;
    m.attempts = restarts ? 0 : (uint16_t)DQ_MIN(m.attempts + c->verdict.is_spent, UINT16_MAX);
    m.repeats = restarts ? (uint8_t)DQ_MIN(m.repeats + 1, UINT8_MAX) : m.repeats;
    m.errors_in_row = c->verdict.is_spent ? (uint16_t)DQ_MIN(m.errors_in_row + 1, UINT16_MAX) : restarts ? 0 : m.errors_in_row;
    m.flags = (uint8_t)((m.flags & ~DQ_M_SUSPECT) | (restarts ? DQ_M_REPEATED : 0) | (has_beside(c) ? DQ_M_LOGS : 0));
    m.ready_at_ms = c->verdict.finished_at_ms + DQ_MAX(c->verdict.delay_ms, 0);
    m.due_at_ms = c->verdict.next == DQ_NEXT_DUE ? m.ready_at_ms : 0;
    dq_attempts_add(&tail, m.tail, &a, &m.n_attempts);
    m.tail = dq_buf_str(&tail);
    dq_moved_pack(out, &m);
    if (dq_buf_failed(&tail))
        out->failed = true;
}

void dq_record_row(dq_claim *c, dq_buf *out)
{
    DQ_BUF_AUTO m = {0};
    dq_row row = {
        .state = c->verdict.next == DQ_NEXT_DEAD ? DUREQ_JOB_DEAD : DUREQ_JOB_COMPLETED,
        .skipped = c->verdict.outcome == DUREQ_OUTCOME_SKIP,
        .has_logs = has_beside(c),
        .started_at_ms = c->verdict.started_at_ms,
        .ran_ms = c->verdict.ran_ms,
        .finished_at_ms = c->verdict.finished_at_ms,
        .session = c->shard->session.no,
        .m = c->job.m,
        .j = c->job.j,
    };

    if (c->verdict.next == DQ_NEXT_DEAD) {
        moved_after(c, &m);
        row.m = dq_buf_str(&m);
        row.reason = dureq_str_from(c->words.msg);
    } else {
        row.result = dq_buf_str(&c->words.result);
        row.result_type = result_type_of(c);
        row.reason = row.skipped ? dureq_str_from(c->words.msg) : (dureq_str){0};
    }
    dq_row_pack_head(out, &row, &c->job.id);
    dq_buf_append_str(out, c->job.j);
    if (dq_buf_failed(&m))
        out->failed = true;
}

/* The envelope that goes on: with the new payload of a repeat. */
static dureq_str envelope_on(dq_claim *c, dq_buf *scratch)
{
    if (c->verdict.outcome != DUREQ_OUTCOME_REPEAT || !c->words.has_payload)
        return c->job.j;
    if (dq_envelope_repack(scratch, c->job.j, dq_buf_str(&c->words.payload), NULL) < 0)
        return c->job.j;
    return dq_buf_str(scratch);
}

/* ---- the general call ---- */

static dq_end_group group_of(const dq_claim *c)
{
    dq_end_group g = {.front = c->job.entry.front, .lane = c->lane->no};

    if ((c->job.env.flags & DQ_J_ITEM) && ends(c)) {
        g.kind = DQ_END_ITEM;
        return g;
    }
    switch (c->verdict.next) {
    case DQ_NEXT_COMPLETED:
        g.class_ms = dq_record_class(c);
        g.kind = g.class_ms > 0 ? DQ_END_KEPT : DQ_END_GONE;
        g.has_side_keys =
            g.kind == DQ_END_KEPT && (has_beside(c) || (c->job.moved.flags & DQ_M_LOGS) || (c->job.env.flags & DQ_J_BLOB));
        break;
    case DQ_NEXT_DUE: g.kind = DQ_END_DUE; break;
    case DQ_NEXT_PAUSED: g.kind = DQ_END_PAUSED; break;
    case DQ_NEXT_FRONT: g.kind = DQ_END_FRONT; break;
    case DQ_NEXT_DEAD: g.kind = DQ_END_DEAD; break;
    }
    return g;
}

static bool same_group(const dq_end_group *a, const dq_end_group *b)
{
    return a->kind == b->kind && a->front == b->front && a->has_side_keys == b->has_side_keys && a->lane == b->lane &&
           a->class_ms == b->class_ms;
}

static void put_job(dq_complete *call, dq_claim *c, char kind)
{
    DQ_BUF_AUTO row = {0};
    DQ_BUF_AUTO m = {0};
    DQ_BUF_AUTO j = {0};
    dq_end_job job = {.id = c->job.id, .delay_ms = c->verdict.delay_ms};

    if (kind == DQ_END_KEPT || kind == DQ_END_DEAD) {
        dq_record_row(c, &row);
    } else if (kind != DQ_END_GONE && kind != DQ_END_ITEM) {
        moved_after(c, &m);
        job.m = dq_buf_str(&m);
        job.j = envelope_on(c, &j);
        if (kind != DQ_END_FRONT)
            dq_record_pack(&row, job.m, job.j);
    }
    job.row = dq_buf_str(&row);
    dq_complete_job(call, &job);
    if (dq_buf_failed(&row) || dq_buf_failed(&m) || dq_buf_failed(&j))
        call->call.out->failed = true;
}

/* The claims of list[from..to) are of one group. */
static void put_group(dq_complete *call, dq_claim **list, size_t from, size_t to, const dq_end_group *g)
{
    dq_entry entries[DQ_BATCH_MAX];

    for (size_t i = from; i < to; i++)
        entries[i - from] = list[i]->job.entry;
    dq_complete_group(call, g, entries, to - from);
    for (size_t i = from; i < to; i++)
        put_job(call, list[i], g->kind);
}

static bool wants_side(const dq_claim *c, dq_end_side kind)
{
    switch (kind) {
    case DQ_SIDE_KEY:
        return ends(c) && (c->job.env.flags & DQ_J_UNIQUE) && c->job.env.unique_for_ms == 0 &&
               (c->job.env.unique_shard < 0 || c->job.env.unique_shard == c->job.id.shard);
    case DQ_SIDE_KEY_AWAY:
        return ends(c) && (c->job.env.flags & DQ_J_UNIQUE) && c->job.env.unique_for_ms == 0 && c->job.env.unique_shard >= 0 &&
               c->job.env.unique_shard != c->job.id.shard;
    case DQ_SIDE_SCHEDULE: return ends(c) && (c->job.env.flags & DQ_J_TRACKED);
    case DQ_SIDE_TASK: return ends(c) && (c->job.env.flags & (DQ_J_TASK | DQ_J_ITEM));
    case DQ_SIDE_LOG: return c->log.len > 0 && !is_gone(c);
    case DQ_SIDE_START: return c->start_told != DQ_START_UNTOLD;
    case DQ_SIDE_PROGRESS: return c->progress_told;
    case DQ_SIDE_LATE: return c->run.state == DQ_RUN_STUCK;
    case DQ_SIDE_DROP: return is_gone(c) && ((c->job.env.flags & DQ_J_BLOB) || (c->job.moved.flags & DQ_M_LOGS) || c->has_steps);
    case DQ_SIDE_STEPS:
        return !ends(c) && c->verdict.outcome == DUREQ_OUTCOME_REPEAT && (c->has_steps || (c->job.moved.flags & DQ_M_LOGS));
    case DQ_SIDE_PAYLOAD:
        return c->verdict.outcome == DUREQ_OUTCOME_REPEAT && c->words.has_payload && c->words.payload.len > DQ_PAYLOAD_INLINE_MAX;
    case DQ_SIDE_TOLD: return c->verdict.next != DQ_NEXT_COMPLETED || c->start_told != DQ_START_UNTOLD || c->job.moved.runs > 0;
    }
    return false;
}

/* As other tasks get it: JSON, or base64 of what is none. */
static void put_result(const dq_claim *c, dq_buf *out)
{
    dureq_str result = dq_buf_str(&c->words.result);
    bool is_json = dq_str_eq_text(result_type_of(c), "application/json") && dq_json_valid(result);

    dq_buf_append_char(out, is_json ? 'j' : 'b');
    if (is_json)
        dq_buf_append_str(out, result);
    else
        dq_base64_encode(out, result);
}

/* How it ended, what its envelope says of its task or item, why it failed or what it gives to others. */
static void put_task(const dq_claim *c, dq_buf *out)
{
    bool is_done = c->verdict.next == DQ_NEXT_COMPLETED, is_skip = is_done && c->verdict.outcome == DUREQ_OUTCOME_SKIP;

    dq_buf_append_char(out, is_skip ? 's' : is_done ? 'c' : 'd');
    dq_buf_append_char(out, (char)c->job.env.more.len);
    dq_buf_append_str(out, c->job.env.more);
    if (is_skip || !is_done)
        dq_buf_append_text(out, c->words.msg);
    else if (c->job.env.result_is_wanted && c->words.has_result)
        put_result(c, out);
}

static void put_be(dq_buf *out, uint64_t v, size_t n)
{
    while (n-- > 0)
        dq_buf_append_char(out, (char)(v >> (8 * n)));
}

/* What the event says of it (complete.lua). */
static void put_told(const dq_claim *c, dq_buf *out)
{
    bool goes_on = c->verdict.next == DQ_NEXT_DUE || c->verdict.next == DQ_NEXT_FRONT;
    dureq_str error = c->verdict.next == DQ_NEXT_COMPLETED ? (dureq_str){0} : dureq_str_from(c->words.msg);
    unsigned flags = c->start_told != DQ_START_UNTOLD ? TOLD_STARTED : 0;

    if (error.len > TOLD_ERROR_MAX)
        error.len = TOLD_ERROR_MAX;
    put_be(out, flags | (c->verdict.is_spent ? TOLD_SPENT : 0), 1);
    put_be(out, (uint64_t)c->job.moved.runs + (c->job.moved.runs < UINT16_MAX), 2);
    put_be(out, (uint64_t)c->job.moved.attempts + (c->job.moved.attempts < UINT16_MAX), 2);
    put_be(out, (uint64_t)c->verdict.outcome, 1);
    put_be(out, goes_on ? (uint64_t)(c->verdict.finished_at_ms + DQ_MAX(c->verdict.delay_ms, 0)) : 0, 6);
    put_be(out, error.len, 2);
    dq_buf_append_str(out, error);
}

static dureq_str side_value(const dq_claim *c, dq_end_side kind, dq_buf *scratch)
{
    if (kind == DQ_SIDE_TASK) {
        dq_buf_clear(scratch);
        put_task(c, scratch);
        return dq_buf_str(scratch);
    }
    if (kind == DQ_SIDE_TOLD) {
        dq_buf_clear(scratch);
        put_told(c, scratch);
        return dq_buf_str(scratch);
    }
    if (kind == DQ_SIDE_KEY || kind == DQ_SIDE_KEY_AWAY)
        return c->job.env.unique_key;
    if (kind == DQ_SIDE_SCHEDULE)
        return c->job.env.more;
    if (kind == DQ_SIDE_PAYLOAD)
        return dq_buf_str(&c->words.payload);
    if (kind == DQ_SIDE_LATE)
        return dureq_str_from(c->job.run_text + DUREQ_JOB_ID_LEN + 1);
    dureq_str log = dq_buf_str(&c->log);
    if (log.len > DQ_LOG_MAX)
        log = dureq_str_of(log.ptr + (log.len - DQ_LOG_MAX), DQ_LOG_MAX);
    return log;
}

static void put_side(dq_complete *call, dq_claim **list, size_t n, dq_end_side kind)
{
    DQ_BUF_AUTO scratch = {0};

    for (size_t i = 0; i < n; i++)
        if (wants_side(list[i], kind))
            dq_complete_side(call, kind, i, &list[i]->job.id, side_value(list[i], kind, &scratch));
    if (dq_buf_failed(&scratch))
        call->call.out->failed = true;
}

/* Groups together, each in the order it was in. n is at most DQ_BATCH_MAX. */
static void sort_groups(dq_claim **list, size_t n)
{
    for (size_t from = 0; from < n;) {
        dq_end_group k = group_of(list[from]);
        size_t to = from + 1;

        for (size_t i = to; i < n; i++) {
            dq_end_group other = group_of(list[i]);
            dq_claim *c = list[i];

            if (!same_group(&k, &other))
                continue;
            memmove(&list[to + 1], &list[to], (i - to) * sizeof *list);
            list[to++] = c;
        }
        from = to;
    }
}

/* All that are sent, by groups. Indices of refusals count in this order: the list follows it. */
static size_t take_sent(dq_wshard *s, dq_claim **list)
{
    dq_list *sent = &s->claims[DQ_CLAIM_SENT].list;
    size_t n = 0;

    DQ_LIST_FOREACH (dq_claim, c, sent, link)
        if (n < DQ_BATCH_MAX)
            list[n++] = c;
    sort_groups(list, n);
    dq_list_init(sent);
    for (size_t i = 0; i < n; i++) {
        list[i]->link = (dq_list){0};
        dq_list_push_back(sent, &list[i]->link);
    }
    return n;
}

static void put_stats(dq_complete *call, dq_stat_rows *stats, dq_claim **list, size_t n)
{
    char name[32];

    stats->n = 0;
    for (size_t i = 0; i < n; i++) {
        dq_stats_of(stats, list[i]);
        dq_complete_counted(call, stats->of);
    }
    for (size_t i = 0; i < stats->n; i++)
        dq_complete_stat(call, dq_stat_name(&stats->rows[i], name), stats->rows[i].n);
}

void dq_record_general(dq_wshard *s, bool is_repeat, dq_buf *out)
{
    static const dq_end_side sides[] = {DQ_SIDE_KEY,  DQ_SIDE_KEY_AWAY, DQ_SIDE_SCHEDULE, DQ_SIDE_TASK,
                                        DQ_SIDE_LOG,  DQ_SIDE_START,    DQ_SIDE_PROGRESS, DQ_SIDE_LATE,
                                        DQ_SIDE_DROP, DQ_SIDE_STEPS,    DQ_SIDE_PAYLOAD,  DQ_SIDE_TOLD};
    dq_claim *list[DQ_BATCH_MAX];
    size_t n = take_sent(s, list);
    dq_complete_head head = {
        .shard = s->no, .session = s->session.no, .call_no = (int64_t)s->turn.call_no, .is_repeat = is_repeat, .n_about = n};
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

/* Returns the row's number, from 1. */
static uint16_t stat_add(dq_stat_rows *rows, uint32_t lane, int32_t field)
{
    /* Runs come lane by lane; a lane that comes again gets other rows, which are summed where they are kept. */
    for (size_t i = rows->n; i-- > 0 && rows->rows[i].lane == lane;)
        if (rows->rows[i].field == field) {
            rows->rows[i].n++;
            return (uint16_t)(i + 1);
        }
    rows->rows[rows->n++] = (dq_stat_row){.lane = lane, .field = field, .n = 1}; /* there is room for all of a batch */
    return (uint16_t)rows->n;
}

/* Bucket i holds what is below 2^i ms. */
static int32_t log2_bucket(int64_t ms)
{
    int32_t i = 0;

    while (i < 23 && ms >= (1LL << i))
        i++;
    return i;
}

void dq_stats_of(dq_stat_rows *rows, const dq_claim *c)
{
    uint32_t lane = c->lane->no;
    int64_t since = c->job.m.len > 0 ? c->job.moved.ready_at_ms : (int64_t)c->job.id.ms;

    memset(rows->of, 0, sizeof rows->of);
    if (c->verdict.next == DQ_NEXT_COMPLETED)
        rows->of[0] = stat_add(rows, lane, 0);
    else if (c->verdict.is_spent)
        rows->of[0] = stat_add(rows, lane, 1);
    if (c->verdict.next == DQ_NEXT_DEAD)
        rows->of[1] = stat_add(rows, lane, 2);
    rows->of[2] = stat_add(rows, lane, 100 + log2_bucket(c->verdict.started_at_ms - since));
    rows->of[3] = stat_add(rows, lane, 200 + log2_bucket(c->verdict.ran_ms));
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
