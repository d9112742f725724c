/* SPDX-License-Identifier: Apache-2.0 */
/* Schedules as Redis has them, compared with the model after each call: state, definition, the change that waits, when the leader looks, what is
   active, what waits, what is recorded, keys. A job that a schedule made is known by the record of it. */
#include "hist_play.h"

#include <stdio.h>
#include <string.h>

#include "model/schedule.h"
#include "redis/resp.h"
#include "store/schedule_calls.h"

static const char look[] =
    "local K, call, out = '{dureq:0}:', redis.call, {}\n"
    "for i, id in ipairs(ARGV) do\n"
    "  out[i] = { call('HGET', K .. 'sch:s', id) or '', call('HGET', K .. 'sch:d', id) or '', call('HGET', K .. 'sch:e', id) or '',\n"
    "    call('ZSCORE', K .. 'sch', id) or '', call('SMEMBERS', K .. 'sa:' .. id), call('LRANGE', K .. 'sb:' .. id, 0, -1),\n"
    "    call('LRANGE', K .. 'so:' .. id, 0, -1), call('GET', K .. 'b:' .. id) or '', call('GET', K .. 'be:' .. id) or '' }\n"
    "end\n"
    "return { { call('ZCARD', K .. 'sch'), call('HLEN', K .. 'sch:s'), call('HLEN', K .. 'sch:d'), call('HLEN', K .. 'sch:e') },\n"
    "  call('HGETALL', K .. 'sch:k'), call('HGETALL', K .. 'sch:l'), out }\n";

enum { STATE, DEFINITION, EDIT, SCORE, ACTIVE, WAITING, RECORDS, PAYLOAD, PAYLOAD_NEW };

static bool equal(hist *h, int sched, const char *what, int64_t want, int64_t got)
{
    char text[80];

    (void)snprintf(text, sizeof text, "schedule %d: %s", sched, what);
    return hist_equal(h, text, want, got);
}

static int64_t base_s(const hist *h)
{
    return h->base_ms / 1000;
}

static void check_state(hist *h, int sched, dq_reply row)
{
    const hm_sched *s = &h->m.sched[sched];
    dq_schedule_state got;
    unsigned flags = (s->paused ? DQ_SCHEDULE_PAUSED : 0) | (s->ended ? DQ_SCHEDULE_ENDED : 0) |
                     (s->held ? DQ_SCHEDULE_HELD : 0) | (s->failed ? DQ_SCHEDULE_FAILED : 0);
    dureq_str score = dq_reply_str(dq_reply_at(row, SCORE));
    double ms = 0;

    if (dq_schedule_state_unpack(dq_reply_str(dq_reply_at(row, STATE)), &got) < 0) {
        hist_fail(h, "schedule %d: its state cannot be read", sched);
        return;
    }
    (void)equal(h, sched, "flags", flags, got.flags);
    (void)equal(h, sched, "version", s->version, got.version);
    (void)equal(h, sched, "made", h->base_ms + (int64_t)s->made * 1000, got.created_ms);
    (void)equal(h, sched, "cursor", s->cursor, got.cursor - base_s(h));
    (void)equal(h, sched, "next", s->next, got.next ? got.next - base_s(h) : 0);
    (void)equal(h, sched, "dispatched", s->taken, got.n_taken);
    (void)equal(h, sched, "left out", s->skipped, got.n_skipped);
    if (s->d.max > 0 && !s->ended && got.n_taken > (uint32_t)s->d.max) /* a change to a lower limit ends it */
        hist_fail(h, "schedule %d: more than its limit of %d were dispatched", sched, s->d.max);
    if (s->due_ms == HM_NEVER_MS)
        (void)equal(h, sched, "is looked at", false, !dq_str_eq_text(score, "inf"));
    else if (dq_parse_f64(score, &ms) < 0)
        hist_fail(h, "schedule %d: is not looked at", sched);
    else
        (void)equal(h, sched, "when it is looked at", h->base_ms + s->due_ms, (int64_t)ms);
}

static void check_definition(hist *h, int sched, const hm_def *want, dureq_str got, dureq_str payload)
{
    DQ_BUF_AUTO packed = {0};

    hist_pack_definition(h, want, &packed);
    if (!dq_str_eq(dq_buf_str(&packed), got))
        hist_fail(h, "schedule %d: its definition is another", sched);
    if (!dq_str_eq(payload, want->large ? hist_large_payload(want->large) : (dureq_str){0}))
        hist_fail(h, "schedule %d: its payload is another", sched);
}

static void check_definitions(hist *h, int sched, dq_reply row)
{
    const hm_sched *s = &h->m.sched[sched];
    dureq_str packed = dq_reply_str(dq_reply_at(row, EDIT)), payload = dq_reply_str(dq_reply_at(row, PAYLOAD_NEW));
    dq_schedule_edit edit = {0};

    check_definition(h, sched, &s->d, dq_reply_str(dq_reply_at(row, DEFINITION)), dq_reply_str(dq_reply_at(row, PAYLOAD)));
    if (!equal(h, sched, "a change waits", s->edited, packed.len > 0) || !s->edited)
        return;
    if (dq_schedule_edit_unpack(packed, &edit) < 0) {
        hist_fail(h, "schedule %d: its change cannot be read", sched);
        return;
    }
    (void)equal(h, sched, "number of the change", s->e_no, edit.number);
    (void)equal(h, sched, "when the change came", h->base_ms + (int64_t)s->e_at * 1000, edit.at_ms);
    check_definition(h, sched, &s->e, edit.rest, payload);
}

/* A job that was made just now is the one that its record names. */
static void bind(hist *h, int sched, int job, dureq_str id)
{
    hm_job *j = &h->m.job[job];
    static const char none[sizeof j->id];

    if (memcmp(j->id, none, sizeof none) == 0) {
        memcpy(j->id, id.ptr, DQ_ID_BYTES);
        h->item[job] =
            (hm_item){.lane = j->lane, .ukey = -1, .request = -1, .s2s = j->s2s, .kept = j->kept, .large = j->large_no};
        hist_say(h, "    schedule %d dispatches job %d for %d", sched, job, j->at);
    } else if (!dq_str_eq(id, dureq_str_of(j->id, DQ_ID_BYTES))) {
        hist_fail(h, "schedule %d: a record is not of job %d", sched, job);
    }
}

static void check_record(hist *h, int sched, const hm_record *want, dureq_str packed)
{
    dq_schedule_record got;

    if (dq_schedule_record_unpack(packed, &got) < 0) {
        hist_fail(h, "schedule %d: a record cannot be read", sched);
        return;
    }
    (void)equal(h, sched, "kind of a record", want->kind, (int64_t)got.kind);
    (void)equal(h, sched, "reason of a record", want->reason, got.reason);
    (void)equal(h, sched, "time of a record", h->base_ms + (int64_t)want->at * 1000, got.at_ms);
    (void)equal(h, sched, "occurrence of a record", want->first, got.first - base_s(h));
    if (want->job >= 0) {
        if (equal(h, sched, "job of a record", DQ_ID_BYTES, (int64_t)got.job.len))
            bind(h, sched, want->job, got.job);
        return;
    }
    (void)equal(h, sched, "last occurrence of a record", want->last, got.last - base_s(h));
    (void)equal(h, sched, "occurrences of a record", want->n, got.n);
}

static void check_records(hist *h, int sched, dq_reply list)
{
    const hm_sched *s = &h->m.sched[sched];

    if (!equal(h, sched, "records", s->n_records, (int64_t)dq_reply_len(list)))
        return;
    dq_reply at = s->n_records > 0 ? dq_reply_first(list) : list;
    for (int i = 0; i < s->n_records && !h->failed; i++) {
        check_record(h, sched, &s->record[i], dq_reply_str(at));
        at = i + 1 < s->n_records ? dq_reply_next(at) : at;
    }
}

static void check_active(hist *h, int sched, dq_reply set)
{
    int n = 0;

    for (int i = 0; i < h->m.n_jobs; i++)
        n += h->m.job[i].sched == sched && h->m.job[i].active;
    if (!equal(h, sched, "active", n, (int64_t)dq_reply_len(set)))
        return;
    for (size_t k = 0; k < dq_reply_len(set); k++) {
        dureq_str id = dq_reply_str(dq_reply_at(set, k));
        bool found = false;

        for (int i = 0; i < h->m.n_jobs; i++)
            found = found || (h->m.job[i].sched == sched && h->m.job[i].active && dq_str_eq(id, hist_holder_id(h, i)));
        if (!found)
            hist_fail(h, "schedule %d: one is active that is not", sched);
    }
}

static void check_waiting(hist *h, int sched, dq_reply list)
{
    const hm_sched *s = &h->m.sched[sched];

    if (!equal(h, sched, "waiting", s->n_buf, (int64_t)dq_reply_len(list)))
        return;
    for (int i = 0; i < s->n_buf; i++) {
        dureq_str text = dq_reply_str(dq_reply_at(list, (size_t)i));
        bool by_hand = text.len > 0 && text.ptr[0] == '+';
        int64_t at = 0;

        if (dq_parse_i64(by_hand ? dureq_str_of(text.ptr + 1, text.len - 1) : text, 0, INT64_MAX, &at) < 0)
            hist_fail(h, "schedule %d: what waits cannot be read", sched);
        (void)equal(h, sched, "what waits", s->buf[i], at - base_s(h));
        (void)equal(h, sched, "what waits was asked for by hand", s->buf_by_hand[i], by_hand);
    }
}

static void check_one(hist *h, int sched, dq_reply row)
{
    if (!h->m.sched[sched].there) {
        size_t left = 0;

        for (size_t i = 0; i <= PAYLOAD_NEW; i++) {
            dq_reply part = dq_reply_at(row, i);

            left += dq_reply_type(part) == DQ_RESP_ARRAY ? dq_reply_len(part) : dq_reply_str(part).len;
        }
        (void)equal(h, sched, "what is left of it", 0, (int64_t)left);
        return;
    }
    check_records(h, sched, dq_reply_at(row, RECORDS)); /* first: it tells the ids of jobs */
    check_state(h, sched, row);
    check_definitions(h, sched, row);
    check_active(h, sched, dq_reply_at(row, ACTIVE));
    check_waiting(h, sched, dq_reply_at(row, WAITING));
}

static void check_keys(hist *h, dq_reply got)
{
    static const char *const names[HM_SKEYS] = {"s0", "s1"};
    int held = 0;

    for (int i = 0; i < HM_SKEYS; i++) {
        dureq_str id = dq_reply_str(dq_reply_lookup(got, names[i]));

        held += h->m.skey[i] >= 0;
        if (!dq_str_eq(id, h->m.skey[i] >= 0 ? hist_holder_id(h, HM_JOBS + h->m.skey[i]) : (dureq_str){0}))
            hist_fail(h, "key %s of schedules is not of schedule %d", names[i], h->m.skey[i]);
    }
    (void)hist_equal(h, "keys of schedules", held, (int64_t)dq_reply_len(got) / 2);
}

static void check_lingering(hist *h, dq_reply got)
{
    int n = 0;

    for (int i = 0; i < h->m.n_jobs; i++)
        n += h->m.job[i].lingers;
    (void)hist_equal(h, "occurrences whose handler is waited for", n, (int64_t)dq_reply_len(got) / 2);
}

void hist_check_schedules(hist *h)
{
    DQ_BUF_AUTO call = {0};
    int there = 0, edited = 0;
    dq_reply r, counts, row;

    if (h->failed || h->m.n_scheds == 0)
        return;
    dq_resp_begin(&call, 3 + (size_t)h->m.n_scheds);
    dq_resp_arg_text(&call, "EVAL");
    dq_resp_arg_text(&call, look);
    dq_resp_arg_text(&call, "0");
    for (int i = 0; i < h->m.n_scheds; i++) {
        dq_resp_arg(&call, hist_holder_id(h, HM_JOBS + i));
        there += h->m.sched[i].there;
        edited += h->m.sched[i].there && h->m.sched[i].edited;
    }
    r = hist_ask(h->w, 0, &call, 1);
    if (dq_reply_type(r) != DQ_RESP_ARRAY) {
        hist_fail(h, "the look at schedules: " DQ_STR_FMT, DQ_STR_ARG(dq_reply_str(r)));
        return;
    }
    row = dq_reply_first(dq_reply_at(r, 3));
    for (int i = 0; i < h->m.n_scheds && !h->failed; i++) {
        check_one(h, i, row);
        row = i + 1 < h->m.n_scheds ? dq_reply_next(row) : row;
    }
    counts = dq_reply_at(r, 0);
    (void)hist_equal(h, "schedules that are looked at", there, dq_reply_int(dq_reply_at(counts, 0)));
    (void)hist_equal(h, "states of schedules", there, dq_reply_int(dq_reply_at(counts, 1)));
    (void)hist_equal(h, "definitions of schedules", there, dq_reply_int(dq_reply_at(counts, 2)));
    (void)hist_equal(h, "changes of schedules", edited, dq_reply_int(dq_reply_at(counts, 3)));
    check_keys(h, dq_reply_at(r, 1));
    check_lingering(h, dq_reply_at(r, 2));
}
