/* SPDX-License-Identifier: Apache-2.0 */
#include "hist_play.h"

#include <stdio.h>
#include <string.h>

#include <dureq/client.h>

#include "doctor/doctor.h"
#include "model/job.h"
#include "model/queue.h"
#include "redis/resp.h"
#include "store/job_calls.h"

/* ---- each job: its state, its owner, its counts ---- */

static void check_moved(hist *h, int job, dureq_str m)
{
    const hm_job *j = &h->m.job[job];
    dq_moved got = {0};
    char what[64];

    if (m.len > 0 && dq_moved_unpack(m, &got) < 0) {
        hist_fail(h, "job %d: its moved part cannot be read", job);
        return;
    }
    (void)snprintf(what, sizeof(what), "job %d: attempts", job);
    (void)hist_equal(h, what, j->attempts, got.attempts);
    (void)snprintf(what, sizeof(what), "job %d: runs", job);
    (void)hist_equal(h, what, j->runs, got.runs);
    (void)snprintf(what, sizeof(what), "job %d: crashes", job);
    (void)hist_equal(h, what, j->crashes, got.crashes);
    (void)snprintf(what, sizeof(what), "job %d: suspect", job);
    (void)hist_equal(h, what, j->suspect, (got.flags & DQ_M_SUSPECT) != 0);
}

/* {"upstream": results, "original": its own}; between them may stand why others gave none. */
static void check_upstream(hist *h, int job, dureq_str payload)
{
    dureq_str want = dureq_str_of(h->upstream[job], (size_t)h->upstream_len[job]);
    char end[48];
    int len = snprintf(end, sizeof end, ",\"original\":{\"n\":%d}}", h->m.job[job].payload);

    if (!dq_str_starts_with(payload, want) || payload.len < want.len + (size_t)len ||
        memcmp(payload.ptr + payload.len - len, end, (size_t)len) != 0)
        hist_fail(h, "job %d: wanted the payload " DQ_STR_FMT " ... %s, got " DQ_STR_FMT, job, DQ_STR_ARG(want), end,
                  DQ_STR_ARG(payload));
}

static void check_payload(hist *h, int job, dureq_str j, dureq_str beside)
{
    dq_envelope e = {0};
    char want[24];

    (void)snprintf(want, sizeof(want), "{\"n\":%d}", h->m.job[job].payload);
    if (dq_envelope_unpack(j, &e) < 0)
        hist_fail(h, "job %d: its envelope cannot be read", job);
    else if (h->upstream_len[job] > 0)
        check_upstream(h, job, e.payload);
    else if (h->m.job[job].large != ((e.flags & DQ_J_BLOB) != 0))
        hist_fail(h, "job %d: its payload is %s", job, h->m.job[job].large ? "in its entry" : "a key of its own");
    else if (h->m.job[job].large && !dq_str_eq(beside, hist_large_payload(h->item[job].large)))
        hist_fail(h, "job %d: the payload beside it is not its own", job);
    else if (!h->m.job[job].large && !dq_str_eq_text(e.payload, want))
        hist_fail(h, "job %d: wanted the payload %s, got " DQ_STR_FMT, job, want, DQ_STR_ARG(e.payload));
}

static void check_job(hist *h, int job, dq_reply r)
{
    const hm_job *j = &h->m.job[job];
    dq_job_view view = {0};
    dq_row row = {0};
    char what[64];
    int rc = dq_job_view_decode(r, &view), state = rc == DUREQ_ENOTFOUND ? -1 : view.state;
    bool is_row = rc == 0 && (view.state == -1 || view.state == DUREQ_JOB_DEAD);

    if (rc < 0 && rc != DUREQ_ENOTFOUND) {
        hist_fail(h, "job %d: cannot be read", job);
        return;
    }
    if (is_row && dq_row_unpack(view.body, &view.id, &row) < 0) {
        hist_fail(h, "job %d: its row cannot be read", job);
        return;
    }
    if (is_row)
        state = (int)row.state;
    (void)snprintf(what, sizeof(what), "job %d: state", job);
    if (!hist_equal(h, what, hm_state(&h->m, job), state) || state < 0)
        return;
    (void)snprintf(what, sizeof(what), "job %d: its session", job);
    if (!is_row)
        (void)hist_equal(h, what, j->session, (int64_t)view.session);
    check_moved(h, job, is_row ? row.m : view.m);
    check_payload(h, job, is_row ? row.j : view.body, view.blob);
    if (is_row && j->place == HM_HISTORY) {
        (void)snprintf(what, sizeof(what), "job %d: its row tells of a run", job);
        (void)hist_equal(h, what, j->was_run, row.started_at_ms > 0);
    }
}

void hist_check_jobs(hist *h)
{
    dureq_str ids[HM_JOBS];
    dq_buf call = {0};
    dq_reply r;

    if (h->failed || h->m.n_jobs == 0)
        return;
    for (int i = 0; i < h->m.n_jobs; i++)
        ids[i] = dureq_str_of(h->m.job[i].id, DQ_ID_BYTES);
    dq_call_job_get(&call, &h->w->keys, 0, ids, (size_t)h->m.n_jobs);
    r = hist_ask(h->w, 0, &call, 1);
    dq_buf_deinit(&call);
    if (!hist_equal(h, "job_get: answers", h->m.n_jobs, (int64_t)dq_reply_len(r)))
        return;
    r = dq_reply_first(r);
    for (int i = 0; i < h->m.n_jobs && !h->failed; i++) {
        check_job(h, i, r);
        if (i + 1 < h->m.n_jobs)
            r = dq_reply_next(r);
    }
}

/* ---- the shard as a whole: what no job shows ---- */

static const char look[] =
    "local K, call = '{dureq:0}:', redis.call\n"
    "local front, entries, pending, run, cx, rows, payloads, idle, s, x = 0, 0, 0, 0, 0, 0, 0, 0, 0, 0\n"
    "local late, be, sb, so = 0, 0, 0, 0\n"
    "local st, keys, known = {}, {}, {}\n"
    "local function all(of) local n = 0 for _, v in ipairs(call('HVALS', K .. of)) do n = n + v end return n end\n"
    "for lane = 1, call('LLEN', K .. 'lane') do\n"
    "  for _, kind in ipairs({ 'l:', 'f:' }) do\n"
    "    local key = K .. kind .. lane\n"
    "    local n = call('XLEN', key)\n"
    "    if kind == 'f:' then front = front + n end\n"
    "    entries, pending = entries + n, pending + call('XPENDING', key, 'g')[1]\n"
    "  end\n"
    "end\n"
    "for _, key in ipairs(call('KEYS', K .. '*')) do\n"
    "  local name = string.sub(key, #K + 1)\n"
    "  local two = string.sub(name, 1, 2)\n"
    "  if two == 's:' then s = s + 1 elseif two == 'x:' then x = x + 1\n"
    "  elseif two == 'be' then be = be + 1 elseif two == 'sb' then sb = sb + 1 elseif two == 'so' then so = so + 1\n"
    "  elseif string.sub(name, 1, 3) == 'lr:' then late = late + call('SCARD', key)\n"
    "  elseif two == 'b:' then payloads = payloads + 1\n"
    "  elseif string.sub(name, 1, 5) == 'idle:' then idle = idle + call('SCARD', key)\n"
    "  elseif string.sub(name, 1, 4) == 'run:' then run = run + call('HLEN', key)\n"
    "  elseif string.sub(name, 1, 3) == 'cx:' then cx = cx + call('SCARD', key)\n"
    "  elseif two == 'u:' then keys[#keys + 1] = string.sub(name, 3) keys[#keys + 1] = call('GET', key)\n"
    "  elseif two == 'r:' and string.sub(name, 3, 3) == 'k' then known[#known + 1] = string.sub(name, 3) known[#known + 1] = call('GET', key)\n"
    "  elseif string.sub(name, 1, 3) == 'st:' then\n"
    "    local f = call('HGETALL', key)\n"
    "    for i = 1, #f, 2 do st[f[i]] = (st[f[i]] or 0) + f[i + 1] end\n"
    "  end\n"
    "end\n"
    "local sums = {}\n"
    "for f, n in pairs(st) do sums[#sums + 1] = f sums[#sums + 1] = n end\n"
    "return { { call('HLEN', K .. 'loc'), front, entries, pending, call('ZCARD', K .. 'due'), call('HLEN', K .. 'due:h'),\n"
    "  call('ZCARD', K .. 'paused'), call('HLEN', K .. 'paused:h'), call('ZCARD', K .. 'dead'), call('HLEN', K .. 'dead:h'),\n"
    "  call('ZCARD', K .. 's2s'), all('hr'), all('hn'), call('ZCARD', K .. 'lease'), s, x, run, cx, payloads, idle,\n"
    "  late, be, sb, so, call('HLEN', K .. 'lr') }, keys, known, sums }\n";

#define COUNTED 25
static const char *const counted[COUNTED] = {
    "locators",
    "entries of fronts",
    "entries",
    "pending entries",
    "due",
    "records of due",
    "paused",
    "records of paused",
    "dead",
    "rows of dead",
    "start limits",
    "rows",
    "of them cancelled",
    "leases",
    "sessions",
    "watched keys",
    "starts known",
    "cancelled to tell",
    "payloads beside jobs",
    "sessions that wait for work of a lane",
    "late runs",
    "payloads of changes",
    "buffers",
    "lists of records",
    "jobs with late runs",
};

static void count_jobs(const hm *m, int64_t n[COUNTED])
{
    for (int i = 0; i < m->n_jobs; i++) {
        const hm_job *j = &m->job[i];

        n[0] += j->place == HM_FRONT;
        n[2] += j->place == HM_LANE || j->place == HM_FRONT;
        n[3] += j->session != 0;
        n[4] += j->place == HM_DUE;
        n[6] += j->place == HM_PAUSED;
        n[8] += j->place == HM_DEAD;
        n[10] += j->s2s_at >= 0;
        n[11] += j->place == HM_HISTORY;
        n[12] += j->place == HM_HISTORY && j->state == DUREQ_JOB_CANCELLED;
        n[18] += j->large && j->place != HM_GONE;
    }
    for (int i = 0; i < m->n_scheds; i++) {
        const hm_sched *s = &m->sched[i];

        n[18] += s->there && s->d.large;
        n[21] += s->there && s->edited && s->e.large;
        n[22] += s->there && s->n_buf > 0;
        n[23] += s->there && s->n_records > 0;
    }
    for (int i = 0; i < m->n_jobs; i++)
        n[24] += hm_has_late(m, i);
    n[20] = m->n_late;
    n[1] = n[0];
    n[5] = n[4];
    n[7] = n[6];
    n[9] = n[8];
}

static void count_sessions(const hm *m, int64_t n[COUNTED])
{
    for (int i = 1; i <= m->n_sessions; i++) {
        const hm_session *s = &m->session[i];

        n[13] += s->life == HM_LIVE || s->life == HM_REAPING;
        n[15] += s->life == HM_LIVE;
        for (int k = 0; k < m->n_jobs; k++) {
            n[16] += s->started[k];
            n[17] += s->cancelled[k];
        }
        for (int lane = 0; lane < HM_LANES; lane++)
            n[19] += m->idle[lane][i];
    }
    n[14] = n[13];
}

static void check_held(hist *h, const char *what, const int *want, int n, dq_reply got)
{
    int held = 0;

    for (int i = 0; i < n; i++) {
        char name[] = {'k', (char)('0' + i), '\0'};
        dureq_str id = dq_reply_str(dq_reply_lookup(got, name));

        held += want[i] >= 0;
        if ((want[i] >= 0) != (id.len > 0))
            hist_fail(h, "%s %s: %s in the model, %s in the shard", what, name, want[i] >= 0 ? "held" : "free",
                      id.len ? "held" : "free");
        else if (id.len > 0 && !dq_str_eq(id, hist_holder_id(h, want[i])))
            hist_fail(h, "%s %s: not of job %d", what, name, want[i]);
    }
    (void)hist_equal(h, what, held, (int64_t)dq_reply_len(got) / 2);
}

static void check_stats(hist *h, dq_reply got)
{
    const hm *m = &h->m;
    const struct {
        char letter;
        const int *want;
    } all[] = {{'e', m->stat_e}, {'x', m->stat_x}, {'d', m->stat_d}, {'c', m->stat_c}};

    for (size_t k = 0; k < DQ_ARRAY_LEN(all); k++) {
        for (int i = 0; i < HM_LANES; i++) {
            char field[24], what[64];

            (void)snprintf(field, sizeof(field), "%d:%c", m->lane_no[i], all[k].letter);
            (void)snprintf(what, sizeof(what), "statistics %s", field);
            if (m->lane_no[i])
                (void)hist_equal(h, what, all[k].want[i], dq_reply_int(dq_reply_lookup(got, field)));
        }
    }
}

void hist_check_all(hist *h)
{
    int64_t want[COUNTED] = {0};
    dq_reply r, n;

    hist_check_jobs(h);
    for (int i = 0; i < h->m.n_jobs; i++) {
        if (h->m.session[h->m.job[i].session].life == HM_DROPPED)
            hist_fail(h, "job %d is stranded: session %d has it, which is gone", i, h->m.job[i].session);
    }
    if (h->failed)
        return;
    r = hist_words(h->w, 0, "EVAL", look, "0", NULL);
    if (dq_reply_type(r) != DQ_RESP_ARRAY) {
        hist_fail(h, "the look at the whole: " DQ_STR_FMT, DQ_STR_ARG(dq_reply_str(r)));
        return;
    }
    count_jobs(&h->m, want);
    count_sessions(&h->m, want);
    n = dq_reply_first(dq_reply_at(r, 0));
    for (int i = 0; i < COUNTED && !h->failed; i++) {
        (void)hist_equal(h, counted[i], want[i], dq_reply_int(n));
        if (i + 1 < COUNTED)
            n = dq_reply_next(n);
    }
    check_held(h, "unique key", h->m.key, HM_KEYS, dq_reply_at(r, 1));
    check_held(h, "request id", h->m.request, HM_REQUESTS, dq_reply_at(r, 2));
    check_stats(h, dq_reply_at(r, 3));
}

/* ---- the doctor ---- */

/* It reads the definitions of the queues, which histories have no use for. */
static void define_queues(hist *h)
{
    for (int i = 0; i < HM_QUEUES; i++) {
        char name[] = {'q', (char)('0' + i), '\0'};
        dq_queue q = {.name = dureq_str_from(name), .max_len = h->m.limit[i], .paused = h->m.paused[i]};
        dq_buf json = {0}, call = {0};

        dq_queue_to_json(&q, &json);
        dq_resp_begin(&call, 4);
        dq_resp_arg_text(&call, "HSET");
        dq_resp_arg_text(&call, "dureq:config:queues");
        dq_resp_arg_text(&call, name);
        dq_resp_arg(&call, dq_buf_str(&json));
        (void)hist_ask(h->w, 0, &call, 1);
        dq_buf_deinit(&json);
        dq_buf_deinit(&call);
    }
}

void hist_check_health(hist *h)
{
    dureq_client_options o = dureq_client_options_init();
    dq_doctor_options how = {.settle_ms = 1};
    dq_doctor_report report;
    dureq_client *client;
    dureq_error err = {0};

    if (h->failed)
        return;
    define_queues(h);
    o.redis_url = test_redis_url(h->w->server);
    if (dureq_client_create(&o, &client, &err) < 0)
        hist_die("the doctor's client", err.msg);
    if (dq_doctor_run(client, &how, &report, &err) < 0)
        hist_die("the doctor", err.msg);
    for (size_t i = 0; i < report.n_faults; i++) {
        const dq_doctor_fault *f = &report.faults[i];

        /* A heartbeat that came late leaves the start of a job that is no more its own; a worker waits for its heartbeats. */
        if (f->kind != DQ_FAULT_RUN_STALE)
            hist_fail(h, "doctor: %s %s %s: %s", dq_fault_kind_to_str(f->kind), f->key, f->id, f->text);
    }
    dq_doctor_report_deinit(&report);
    dureq_client_destroy(client);
}
