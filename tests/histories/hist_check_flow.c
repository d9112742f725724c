/* SPDX-License-Identifier: Apache-2.0 */
/* Workflows and batches as Redis has them after each call. What a call did beyond the ends it was told of (released, skipped, cancelled, began again) is
   read, and each of it must be what the model allows at that moment; then, where nothing is left to do for later, all that the model wants must have
   been done, and headers, timers and results must say what the tasks and items say. */
#include "hist_play.h"

#include <stdio.h>
#include <string.h>

#include <dureq/batch.h>
#include <dureq/workflow.h>

#include "model/batch_state.h"
#include "model/flow_state.h"
#include "redis/resp.h"

static const char look[] =
    "local K, call, out = '{dureq:0}:', redis.call, {}\n"
    "for i, arg in ipairs(ARGV) do\n"
    "  local id = string.sub(arg, 2)\n"
    "  if string.sub(arg, 1, 1) == 'f' then\n"
    "    out[i] = { call('GET', K .. 'ws:' .. id) or '', call('HGETALL', K .. 'wr:' .. id), call('ZSCORE', K .. 'tm', 'x' .. id) or '',\n"
    "      call('ZSCORE', K .. 'we', id) or '', call('EXISTS', K .. 'wf:' .. id), call('ZSCORE', K .. 'wi', id) or '' }\n"
    "  else\n"
    "    out[i] = { call('GET', K .. 'bs:' .. id) or '', call('HGETALL', K .. 'br:' .. id .. ':0'), call('ZSCORE', K .. 'tm', 'x' .. id) or '',\n"
    "      call('ZSCORE', K .. 'bo', id) or '', call('EXISTS', K .. 'bd:' .. id), call('ZSCORE', K .. 'ba', id) or '',\n"
    "      call('GET', K .. 'bx:' .. id) or '', call('HGETALL', K .. 'bj:' .. id), call('HGET', K .. 'bd:' .. id, 'oj') or '',\n"
    "      call('ZSCORE', K .. 'tm', 'l' .. id) or '', call('LLEN', K .. 'bi:' .. id .. ':0') }\n"
    "  end\n"
    "end\n"
    "return { call('LRANGE', K .. 'wq', 0, -1), { call('HGET', K .. 'wn', 'q0') or 0, call('HGET', K .. 'wn', 'q1') or 0 }, call('ZCARD', K .. 'tm'),\n"
    "  out }\n";

enum { STATE, RESULTS, TIMER, KEPT_UNTIL, ABOUT, LISTED, CELLS, IN_FLIGHT, ONCE_JOB, LOADS_UNTIL, ITEMS };
enum { EDGES = 1, ROOTS, CANCEL, FILL, CANCEL_ITEMS, RESET, RECOUNT, AGAIN }; /* kinds of what is left in wq */

typedef struct seen {
    int no;
    dq_reply row;
    dureq_str state;
    unsigned left; /* set of kinds */
    bool is_batch;
} seen;

static bool left(const seen *s, int kind)
{
    return s->left >> kind & 1;
}

static bool equal(hist *h, const seen *s, const char *what, int64_t want, int64_t got)
{
    char text[80];

    (void)snprintf(text, sizeof text, "%s %d: %s", s->is_batch ? "batch" : "workflow", s->no, what);
    return hist_equal(h, text, want, got);
}

/* ---- what is left to do ---- */

static unsigned left_of(dq_reply wq, dureq_str id, dureq_str state, size_t epoch_at)
{
    dq_reply_items items = dq_reply_items_of(wq);
    unsigned set = 0;
    dq_reply one;

    while (dq_reply_items_next(&items, &one)) {
        dureq_str t = dq_reply_str(one);

        if (t.len == DQ_ID_BYTES + 11 && state.len > epoch_at + 2 && memcmp(t.ptr, id.ptr, DQ_ID_BYTES) == 0 &&
            memcmp(t.ptr + DQ_ID_BYTES + 1, state.ptr + epoch_at, 2) == 0)
            set |= 1U << t.ptr[DQ_ID_BYTES];
    }
    return set;
}

/* ---- jobs ---- */

static void bind(hist *h, int job, dureq_str id)
{
    hm_job *j = &h->m.job[job];

    if (id.len != DQ_ID_BYTES)
        return;
    memcpy(j->id, id.ptr, DQ_ID_BYTES);
    h->item[job] = (hm_item){.lane = j->lane, .ukey = -1, .request = -1, .s2s = j->s2s, .kept = j->kept};
    h->upstream_len[job] = 0;
}

static void expect_upstream(hist *h, int job, const dq_buf *text)
{
    h->upstream_len[job] = (int)DQ_MIN(text->len, sizeof h->upstream[job]);
    memcpy(h->upstream[job], text->ptr, (size_t)h->upstream_len[job]);
}

static void put_result(dq_buf *out, int result)
{
    if (result)
        dq_buf_append_fmt(out, "%d", result);
    else
        dq_buf_append_text(out, "null");
}

static void expect_inputs(hist *h, const hm_flow *f, int task)
{
    const hm_task_def *d = &f->d.task[task];
    const char *comma = "";
    DQ_BUF_AUTO text = {0};

    dq_buf_append_fmt(&text, "{\"upstream\":%s", d->is_map ? "{" : "");
    for (int i = 0; i < f->d.n; i++) {
        if (!(d->inputs >> i & 1))
            continue;
        if (d->is_map)
            dq_buf_append_fmt(&text, "%s\"t%d\":", comma, i);
        put_result(&text, f->task[i].result);
        comma = ",";
    }
    if (d->is_map)
        dq_buf_append_char(&text, '}');
    expect_upstream(h, f->task[task].job, &text);
}

static bool job_is(const hist *h, int job, dureq_str id)
{
    return job >= 0 && dq_str_eq(id, hist_holder_id(h, job));
}

/* What its own workflow or batch cancels is cancelled as by hand. */
static void cancel_job(hist *h, const seen *s, int at, int job, bool may)
{
    hist_say(h, "    job %d is cancelled with its %s", job, s->is_batch ? "batch" : "workflow");
    if (!may)
        hist_fail(h, "%s %d: %d was cancelled, and nobody asked for it", s->is_batch ? "batch" : "workflow", s->no, at);
    else if (hm_cancel(&h->m, job) != 0)
        hist_fail(h, "%s %d: job %d was cancelled, which is over", s->is_batch ? "batch" : "workflow", s->no, job);
}

/* ---- workflows ---- */

static dq_flow_cell cell_of(hist *h, const seen *s, int task)
{
    dq_flow_cell c = {0};

    if (!dq_flow_cell_unpack(dureq_str_of(s->state.ptr + DQ_FLOW_HEAD, s->state.len - DQ_FLOW_HEAD), (size_t)task, &c))
        hist_fail(h, "workflow %d: task %d cannot be read", s->no, task);
    return c;
}

static dureq_str cell_job(const seen *s, int task)
{
    return dureq_str_of(s->state.ptr + DQ_FLOW_HEAD + (size_t)task * DQ_FLOW_CELL + 7, DQ_ID_BYTES);
}

static void see_task_cancelled(hist *h, const seen *s)
{
    const hm_flow *f = &h->m.flow[s->no];

    for (int i = 0; i < f->d.n && !h->failed; i++) {
        if (f->task[i].state == DUREQ_WORKFLOW_TASK_RELEASED && cell_of(h, s, i).state == DUREQ_WORKFLOW_TASK_CANCELLED)
            cancel_job(h, s, i, f->task[i].job, hm_task_may_be_cancelled(&h->m, s->no, i));
    }
}

static void decide(hist *h, const seen *s, int task, int state, bool after)
{
    const hm_flow *f = &h->m.flow[s->no];
    int got = (int)cell_of(h, s, task).state;
    char what[40];

    (void)snprintf(what, sizeof what, "task %d becomes", task);
    if (f->status != DUREQ_WORKFLOW_RUNNING || f->begins_again) {
        hist_fail(h, "workflow %d: task %d became %s while the workflow %s", s->no, task, dureq_workflow_task_state_to_str(got),
                  f->begins_again ? "was being emptied" : "did not run");
        return;
    }
    if (!equal(h, s, what, state, got))
        return;
    hm_task_decide(&h->m, s->no, task, state, after);
    hist_say(h, "    workflow %d: task %d is %s%s", s->no, task, dureq_workflow_task_state_to_str(got),
             after ? " all the same" : "");
    if (state != DUREQ_WORKFLOW_TASK_RELEASED)
        return;
    bind(h, f->task[task].job, cell_job(s, task));
    h->item[f->task[task].job].large = f->d.task[task].large;
    if (f->d.task[task].inputs)
        expect_inputs(h, f, task);
    hist_say(h, "      job %d", f->task[task].job);
}

/* In an order in which each comes after those it depends on; what is left then has no right to be what it is. */
static void see_decided(hist *h, const seen *s)
{
    const hm_flow *f = &h->m.flow[s->no];
    bool any = true;

    while (any && !h->failed) {
        any = false;
        for (int i = 0; i < f->d.n && !h->failed; i++) {
            bool after = false;
            int state;

            if (f->task[i].state != DUREQ_WORKFLOW_TASK_WAITING || cell_of(h, s, i).state == DUREQ_WORKFLOW_TASK_WAITING)
                continue;
            state = hm_task_becomes(&h->m, s->no, i, &after);
            if (state < 0)
                continue;
            decide(h, s, i, state, after);
            any = true;
        }
    }
}

static void check_tasks(hist *h, const seen *s)
{
    const hm_flow *f = &h->m.flow[s->no];

    for (int i = 0; i < f->d.n && !h->failed; i++) {
        const hm_task *t = &f->task[i];
        dq_flow_cell c = cell_of(h, s, i);

        if ((int)c.state != t->state)
            hist_fail(h, "workflow %d: task %d is %s, and should be %s", s->no, i, dureq_workflow_task_state_to_str(c.state),
                      dureq_workflow_task_state_to_str((dureq_workflow_task_state)t->state));
        else if (t->state == DUREQ_WORKFLOW_TASK_RELEASED && !job_is(h, t->job, cell_job(s, i)))
            hist_fail(h, "workflow %d: task %d has another job", s->no, i);
    }
}

static int n_over_before(const hm_flow *f, int task)
{
    int n = 0;

    for (int i = 0; i < f->d.n; i++)
        n += (f->d.task[task].deps >> i & 1) && f->task[i].state > DUREQ_WORKFLOW_TASK_RELEASED;
    return n;
}

/* Where nothing is left to do, nothing is left undone. */
static void check_complete(hist *h, const seen *s)
{
    const hm_flow *f = &h->m.flow[s->no];
    bool spreads = left(s, EDGES) || left(s, ROOTS) || left(s, RECOUNT) || left(s, AGAIN);
    bool after;

    if ((left(s, EDGES) || left(s, ROOTS)) && !h->was_small)
        hist_fail(h, "workflow %d: a few tasks were too many for a step", s->no);
    for (int i = 0; i < f->d.n && !h->failed; i++) {
        int state = f->task[i].state;

        if (state == DUREQ_WORKFLOW_TASK_RELEASED && !left(s, CANCEL) && hm_task_may_be_cancelled(&h->m, s->no, i))
            hist_fail(h, "workflow %d: task %d goes on, and nobody will cancel it", s->no, i);
        if (state == DUREQ_WORKFLOW_TASK_RELEASED && h->acknowledged == HM_FLOW_KEYS + s->no)
            hist_fail(h, "workflow %d: task %d goes on after the cancel was acknowledged", s->no, i);
        if (state != DUREQ_WORKFLOW_TASK_WAITING || f->status != DUREQ_WORKFLOW_RUNNING || f->begins_again || spreads)
            continue;
        if (hm_task_becomes(&h->m, s->no, i, &after) >= 0)
            hist_fail(h, "workflow %d: task %d waits, and all it depends on has ended", s->no, i);
        (void)equal(h, s, "dependencies that ended", n_over_before(f, i), cell_of(h, s, i).n_met);
    }
}

static void check_results(hist *h, const seen *s)
{
    const hm_flow *f = &h->m.flow[s->no];
    dq_reply results = dq_reply_at(s->row, RESULTS);

    for (int i = 0; i < f->d.n && !h->failed; i++) {
        const hm_task *t = &f->task[i];
        char field[8], want[16] = "";
        dureq_str got;

        (void)snprintf(field, sizeof field, "r%d", i);
        if (t->state == DUREQ_WORKFLOW_TASK_COMPLETED && t->result)
            (void)snprintf(want, sizeof want, "j%d", t->result);
        got = dq_reply_str(dq_reply_lookup(results, field));
        if (!dq_str_eq_text(got, want) && !f->begins_again)
            hist_fail(h, "workflow %d: result of task %d: wanted %s, got " DQ_STR_FMT, s->no, i, want, DQ_STR_ARG(got));
        field[0] = 'e';
        got = dq_reply_str(dq_reply_lookup(results, field));
        if (!f->begins_again)
            (void)equal(h, s, "a reason is kept", t->has_error, got.len > 0);
    }
}

static int count_tasks(const hm_flow *f, int from, int to)
{
    int n = 0;

    for (int i = 0; i < f->d.n; i++)
        n += f->task[i].state >= from && f->task[i].state <= to;
    return n;
}

static void check_head(hist *h, const seen *s)
{
    const hm_flow *f = &h->m.flow[s->no];
    dq_flow_head got;

    if (dq_flow_head_unpack(dureq_str_of(s->state.ptr, DQ_FLOW_HEAD), &got) < 0) {
        hist_fail(h, "workflow %d: its header cannot be read", s->no);
        return;
    }
    (void)equal(h, s, "status", f->status, got.status);
    (void)equal(h, s, "failing", f->failing, got.is_failing);
    (void)equal(h, s, "attempt", f->attempt, got.attempt);
    (void)equal(h, s, "released", count_tasks(f, DUREQ_WORKFLOW_TASK_RELEASED, DUREQ_WORKFLOW_TASK_RELEASED), got.n_active);
    (void)equal(h, s, "has ended", hm_flow_is_over(f), got.finished_at_ms > 0);
    if (f->begins_again)
        return;
    (void)equal(h, s, "ended", count_tasks(f, DUREQ_WORKFLOW_TASK_COMPLETED, DUREQ_WORKFLOW_TASK_UNREACHED), got.n_ended);
    (void)equal(h, s, "failed", count_tasks(f, DUREQ_WORKFLOW_TASK_FAILED, DUREQ_WORKFLOW_TASK_CANCELLED), got.n_failed);
    (void)equal(h, s, "skipped", count_tasks(f, DUREQ_WORKFLOW_TASK_SKIPPED, DUREQ_WORKFLOW_TASK_SKIPPED), got.n_skipped);
    (void)equal(h, s, "not reached", count_tasks(f, DUREQ_WORKFLOW_TASK_UNREACHED, DUREQ_WORKFLOW_TASK_UNREACHED),
                got.n_unreached);
}

static void check_time(hist *h, const seen *s, int field, const char *what, int64_t want_ms)
{
    dureq_str score = dq_reply_str(dq_reply_at(s->row, (size_t)field));
    double ms = 0;

    if (!equal(h, s, what, want_ms >= 0, score.len > 0) || want_ms < 0)
        return;
    (void)dq_parse_f64(score, &ms);
    (void)equal(h, s, what, h->base_ms + want_ms, (int64_t)ms);
}

static int64_t ms_of(int unit)
{
    return unit == HM_NEVER ? -1 : (int64_t)unit * HIST_UNIT_MS;
}

static void check_gone(hist *h, const seen *s, size_t n_fields)
{
    for (size_t i = 0; i < n_fields; i++) {
        dq_reply part = dq_reply_at(s->row, i);
        size_t n = dq_reply_type(part) == DQ_RESP_ARRAY     ? dq_reply_len(part)
                   : dq_reply_type(part) == DQ_RESP_INTEGER ? (size_t)dq_reply_int(part)
                                                            : dq_reply_str(part).len;

        (void)equal(h, s, "is gone, and something of it is left", 0, (int64_t)n);
    }
}

static void check_flow(hist *h, const seen *s)
{
    const hm_flow *f = &h->m.flow[s->no];

    if (!f->there) {
        check_gone(h, s, LISTED + 1);
        return;
    }
    if (s->state.len != DQ_FLOW_HEAD + (size_t)f->d.n * DQ_FLOW_CELL) {
        hist_fail(h, "workflow %d: its state is not there", s->no);
        return;
    }
    if (f->begins_again && !left(s, RESET))
        hm_flow_reset(&h->m, s->no);
    see_task_cancelled(h, s);
    see_decided(h, s);
    if (!h->failed)
        check_tasks(h, s);
    check_complete(h, s);
    hm_flow_settle(&h->m, s->no);
    check_head(h, s);
    check_results(h, s);
    check_time(h, s, TIMER, "time-out", ms_of(f->due));
    check_time(h, s, KEPT_UNTIL, "is kept until", hm_flow_is_over(f) ? ms_of(f->gone_at) : -1);
}

/* ---- batches ---- */

static int item_of(const seen *s, int item)
{
    dureq_str cells = dq_reply_str(dq_reply_at(s->row, CELLS));

    return (size_t)item < cells.len ? (unsigned char)cells.ptr[item] : -1;
}

static dureq_str item_job(const seen *s, int item)
{
    char field[12];

    (void)snprintf(field, sizeof field, "%d", item);
    return dq_reply_str(dq_reply_lookup(dq_reply_at(s->row, IN_FLIGHT), field));
}

/* It may have begun again in the same call, when it was the last one. */
static void see_items_cancelled(hist *h, const seen *s, const dq_batch_head *head)
{
    const hm_batch *b = &h->m.batch[s->no];
    bool once_is_another = head->once == 2 && !job_is(h, b->once_job, dq_reply_str(dq_reply_at(s->row, ONCE_JOB)));

    for (int i = 0; i < b->n && !h->failed; i++) {
        const hm_member *m = &b->item[i];
        bool is_another = item_of(s, i) == DUREQ_BATCH_ITEM_RUNNING && !job_is(h, m->job, item_job(s, i));

        if (m->state == DUREQ_BATCH_ITEM_RUNNING && (is_another || item_of(s, i) == DUREQ_BATCH_ITEM_CANCELLED))
            cancel_job(h, s, i, m->job, hm_batch_may_cancel(b));
    }
    if (b->once == 2 && (head->once == 4 || once_is_another))
        cancel_job(h, s, -1, b->once_job, hm_batch_may_cancel(b));
}

static void see_once_released(hist *h, const seen *s, const dq_batch_head *head)
{
    hm_batch *b = &h->m.batch[s->no];

    if (b->once != 1 || head->once != 2)
        return;
    if (b->status != DUREQ_BATCH_RUNNING) {
        hist_fail(h, "batch %d: its one-time task is released, and it does not run", s->no);
        return;
    }
    hm_batch_release(&h->m, s->no, HM_MEMBERS);
    bind(h, b->once_job, dq_reply_str(dq_reply_at(s->row, ONCE_JOB)));
    hist_say(h, "    batch %d: its one-time task is job %d", s->no, b->once_job);
}

static void see_released(hist *h, const seen *s)
{
    const hm_batch *b = &h->m.batch[s->no];
    DQ_BUF_AUTO text = {0};

    if (b->once == 3) {
        dq_buf_append_text(&text, "{\"upstream\":");
        put_result(&text, b->once_result);
    }
    for (int i = b->next; i < b->n && !h->failed; i++) {
        int next = hm_batch_next(b);

        if (item_of(s, i) != DUREQ_BATCH_ITEM_RUNNING || b->item[i].state == DUREQ_BATCH_ITEM_RUNNING)
            continue;
        if (i != next || !hm_batch_may_release(&h->m, s->no)) {
            hist_fail(h, "batch %d: item %d is released, and %d would be the next", s->no, i,
                      hm_batch_may_release(&h->m, s->no) ? next : -1);
            return;
        }
        hm_batch_release(&h->m, s->no, i);
        bind(h, b->item[i].job, item_job(s, i));
        if (text.len > 0)
            expect_upstream(h, b->item[i].job, &text);
        hist_say(h, "    batch %d: item %d is job %d", s->no, i, b->item[i].job);
    }
}

static void check_items(hist *h, const seen *s)
{
    const hm_batch *b = &h->m.batch[s->no];
    dq_reply results = dq_reply_at(s->row, RESULTS);

    for (int i = 0; i < b->n && !h->failed; i++) {
        const hm_member *m = &b->item[i];
        char field[12], want[16] = "";
        dureq_str got;

        if (item_of(s, i) != m->state)
            hist_fail(h, "batch %d: item %d is %d, and should be %d", s->no, i, item_of(s, i), m->state);
        else if (m->state == DUREQ_BATCH_ITEM_RUNNING ? !job_is(h, m->job, item_job(s, i)) : item_job(s, i).len > 0)
            hist_fail(h, "batch %d: item %d has another job", s->no, i);
        (void)snprintf(field, sizeof field, "%d", i);
        got = dq_reply_str(dq_reply_lookup(results, field));
        if (m->state == DUREQ_BATCH_ITEM_COMPLETED && m->result)
            (void)snprintf(want, sizeof want, "j%d", m->result);
        if (m->state == DUREQ_BATCH_ITEM_COMPLETED && !dq_str_eq_text(got, want))
            hist_fail(h, "batch %d: result of item %d: wanted %s, got " DQ_STR_FMT, s->no, i, want, DQ_STR_ARG(got));
        if (m->state > DUREQ_BATCH_ITEM_COMPLETED && (got.len == 0 || got.ptr[0] != 'e'))
            hist_fail(h, "batch %d: why item %d did not complete is not kept", s->no, i);
    }
}

static void check_batch_complete(hist *h, const seen *s)
{
    const hm_batch *b = &h->m.batch[s->no];

    if (b->status == DUREQ_BATCH_RUNNING && b->once == 1)
        hist_fail(h, "batch %d: its one-time task is not released", s->no);
    if (hm_batch_may_release(&h->m, s->no) && hm_batch_next(b) >= 0 && !left(s, FILL))
        hist_fail(h, "batch %d: item %d is not released, and nobody will", s->no, hm_batch_next(b));
    if (left(s, FILL) && !h->was_small)
        hist_fail(h, "batch %d: a few items were too many for a step", s->no);
    if (hm_batch_running(b) == 0 && b->once != 2)
        return;
    if (hm_batch_may_cancel(b) && !left(s, CANCEL_ITEMS))
        hist_fail(h, "batch %d: items go on, and nobody will cancel them", s->no);
    if (h->acknowledged == HM_FLOW_KEYS + HM_FLOWS + s->no)
        hist_fail(h, "batch %d: items go on after the cancel was acknowledged", s->no);
}

static void check_batch_head(hist *h, const seen *s, const dq_batch_head *got)
{
    const hm_batch *b = &h->m.batch[s->no];

    (void)equal(h, s, "status", b->status, got->status);
    (void)equal(h, s, "failing", b->failing, got->is_failing);
    (void)equal(h, s, "timed out", b->timed_out, got->is_timed_out);
    (void)equal(h, s, "open", b->is_open, got->is_open);
    (void)equal(h, s, "one-time task", b->once, got->once);
    (void)equal(h, s, "attempt", b->attempt, got->attempt);
    (void)equal(h, s, "items", b->n, got->n_items);
    (void)equal(h, s, "in flight", hm_batch_running(b), got->n_running);
    (void)equal(h, s, "completed", b->n_completed, got->n_completed);
    (void)equal(h, s, "skipped", b->n_skipped, got->n_skipped);
    (void)equal(h, s, "failed", b->n_failed, got->n_failed);
    (void)equal(h, s, "cancelled", b->n_cancelled, got->n_cancelled);
    (void)equal(h, s, "has ended", hm_batch_is_over(b), got->finished_at_ms > 0);
}

static void check_batch(hist *h, const seen *s)
{
    const hm_batch *b = &h->m.batch[s->no];
    dq_batch_head head;

    if (!b->there) {
        check_gone(h, s, ITEMS + 1);
        return;
    }
    if (dq_batch_head_unpack(s->state, &head) < 0) {
        hist_fail(h, "batch %d: its header cannot be read", s->no);
        return;
    }
    see_items_cancelled(h, s, &head);
    hm_batch_settle(&h->m, s->no);
    see_once_released(h, s, &head);
    see_released(h, s);
    if (!h->failed)
        check_items(h, s);
    check_batch_complete(h, s);
    hm_batch_settle(&h->m, s->no);
    check_batch_head(h, s, &head);
    check_time(h, s, TIMER, "time-out", ms_of(b->due));
    check_time(h, s, LOADS_UNTIL, "is loaded until", b->status == DUREQ_BATCH_LOADING ? ms_of(b->loads_until) + 60000 : -1);
    check_time(h, s, KEPT_UNTIL, "is kept until", hm_batch_is_over(b) ? ms_of(b->gone_at) : -1);
    (void)equal(h, s, "items kept", b->n, dq_reply_int(dq_reply_at(s->row, ITEMS)));
}

/* ---- all of them ---- */

static bool names_queue(const hm_flow_def *d, int queue)
{
    bool any = false;

    for (int i = 0; i < d->n; i++)
        any = any || d->task[i].lane / 2 == queue;
    return any;
}

/* A queue that a living one names cannot be deleted. */
static void check_named(hist *h, dq_reply named)
{
    for (int q = 0; q < HM_QUEUES; q++) {
        dq_reply r = dq_reply_at(named, (size_t)q);
        int64_t n = 0;
        int want = 0;

        for (int i = 0; i < h->m.n_flows; i++)
            want += h->m.flow[i].there && !hm_flow_is_over(&h->m.flow[i]) && names_queue(&h->m.flow[i].d, q);
        for (int i = 0; i < h->m.n_batches; i++)
            want += h->m.batch[i].there && !hm_batch_is_over(&h->m.batch[i]) && h->m.batch[i].d.lane / 2 == q;
        if (dq_reply_type(r) == DQ_RESP_INTEGER)
            n = dq_reply_int(r);
        else
            (void)dq_parse_i64(dq_reply_str(r), 0, INT64_MAX, &n);
        (void)hist_equal(h, "workflows and batches that name a queue", want, n);
    }
}

static dq_reply ask(hist *h)
{
    DQ_BUF_AUTO call = {0};
    int n = h->m.n_flows + h->m.n_batches;

    dq_resp_begin(&call, 3 + (size_t)n);
    dq_resp_arg_text(&call, "EVAL");
    dq_resp_arg_text(&call, look);
    dq_resp_arg_text(&call, "0");
    for (int i = 0; i < n; i++) {
        bool is_batch = i >= h->m.n_flows;
        DQ_BUF_AUTO arg = {0};

        dq_buf_append_char(&arg, is_batch ? 'b' : 'f');
        dq_buf_append_str(&arg, hist_holder_id(h, HM_FLOW_KEYS + (is_batch ? HM_FLOWS + i - h->m.n_flows : i)));
        dq_resp_arg(&call, dq_buf_str(&arg));
    }
    return hist_ask(h->w, 0, &call, 1);
}

void hist_check_flows(hist *h)
{
    int n = h->m.n_flows + h->m.n_batches;
    dq_reply r, rows;

    if (h->failed || n == 0)
        return;
    r = ask(h);
    if (dq_reply_type(r) != DQ_RESP_ARRAY) {
        hist_fail(h, "the look at workflows: " DQ_STR_FMT, DQ_STR_ARG(dq_reply_str(r)));
        return;
    }
    rows = dq_reply_at(r, 3);
    for (int i = 0; i < n && !h->failed; i++) {
        seen s = {.is_batch = i >= h->m.n_flows, .row = dq_reply_at(rows, (size_t)i)};

        s.no = s.is_batch ? i - h->m.n_flows : i;
        s.state = dq_reply_str(dq_reply_at(s.row, STATE));
        s.left = left_of(dq_reply_at(r, 0), hist_holder_id(h, HM_FLOW_KEYS + (s.is_batch ? HM_FLOWS : 0) + s.no), s.state,
                         s.is_batch ? 4 : 3);
        if (s.is_batch)
            check_batch(h, &s);
        else
            check_flow(h, &s);
    }
    check_named(h, dq_reply_at(r, 1));
    h->acknowledged = 0;
}
