/* SPDX-License-Identifier: Apache-2.0 */
#include "hist_play.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "model/id.h"
#include "redis/resp.h"
#include "store/job_calls.h"

static const char *const names[] = {
    [MSG_NONE] = "nothing",
    [MSG_SEAL] = "plain enqueue",
    [MSG_UPDATE] = "update",
    [MSG_DRAIN] = "drain",
    [MSG_ENQUEUE] = "enqueue",
    [MSG_BEAT] = "beat",
    [MSG_COMPLETE] = "complete",
    [MSG_RETURN] = "return",
    [MSG_CLOSE] = "close",
    [MSG_REAP] = "reap",
    [MSG_PROMOTE] = "promote",
    [MSG_HOUSEKEEP] = "housekeep",
    [MSG_CANCEL] = "cancel",
    [MSG_RETRY] = "retry",
    [MSG_DELETE] = "delete",
    [MSG_MOVE] = "move",
    [MSG_PURGE] = "purge",
    [MSG_QUEUE_SET] = "queue set",
    [MSG_KEY_DELETE] = "key delete",
    [MSG_SCHED_PUT] = "schedule put",
    [MSG_SCHED_PAUSE] = "schedule pause",
    [MSG_SCHED_DELETE] = "schedule delete",
    [MSG_SCHED_TRIGGER] = "schedule trigger",
    [MSG_SCHED_FIRE] = "fire",
    [MSG_FLOW_START] = "flow start",
    [MSG_FLOW_CANCEL] = "flow cancel",
    [MSG_FLOW_RETRY] = "flow retry",
    [MSG_BATCH_START] = "batch start",
    [MSG_BATCH_ADD] = "batch add",
    [MSG_BATCH_SEAL] = "batch seal",
    [MSG_BATCH_CANCEL] = "batch cancel",
    [MSG_BATCH_RETRY] = "batch retry",
    [MSG_FLOW_STEP] = "flow step",
};

/* An error where one is due, and none where none is. true: the answer is to be looked at. */
bool hist_answered(hist *h, const hist_msg *msg, dq_reply r, int want)
{
    dureq_error err = {0};
    int code = dq_reply_error(r, &err), due = want == HM_FENCED ? DUREQ_EFENCED : want == HM_UNKNOWN ? DUREQ_EUNKNOWN : 0;

    if (code != due)
        hist_fail(h, "%s: wanted %s, got %s %s", names[msg->kind], due ? dureq_errcode_name(due) : "an answer",
                  code ? dureq_errcode_name(code) : "an answer", err.msg);
    return code == 0 && due == 0;
}

/* ---- enqueue ---- */

static void same_id(hist *h, int job, dureq_str id, bool fresh)
{
    static const char none[DQ_ID_BYTES];
    dureq_str mine = hist_holder_id(h, job);

    if (fresh && memcmp(mine.ptr, none, sizeof none) == 0)
        memcpy(h->m.job[job].id, id.ptr, DQ_ID_BYTES);
    else if (!dq_str_eq(mine, id))
        hist_fail(h, "enqueue: the answer is not the id of job %d", job);
}

static void same_job(hist *h, int job, const dq_id *id, bool fresh)
{
    unsigned char packed[DQ_ID_BYTES];

    if (!hist_equal(h, "enqueue: lane", h->m.lane_no[h->m.job[job].lane], id->lane))
        return;
    dq_id_pack(id, packed);
    same_id(h, job, dureq_str_of((const char *)packed, DQ_ID_BYTES), fresh);
    hist_say(h, "    job %d in lane %d", job, h->m.job[job].lane);
}

int64_t hist_read_be(dq_reader *r, int n)
{
    int64_t v = 0;

    while (n-- > 0)
        v = v << 8 | dq_read_u8(r);
    return v;
}

static int read_run(hist *h, dq_reader *r, const hm_answer *want, int at)
{
    int64_t n = hist_read_be(r, 2);
    dq_id id = {.lane = (uint32_t)hist_read_be(r, 3)};

    id.ms = (uint64_t)hist_read_be(r, 6);
    id.seq = (uint32_t)dq_read_be(r, 4);
    for (; n > 0 && !h->failed; n--, at++, id.seq++) {
        if (at >= want->n || want->kind[at] != 0) {
            hist_fail(h, "enqueue: item %d was accepted, wanted kind %d", at, at < want->n ? want->kind[at] : -1);
            return at;
        }
        same_job(h, want->job[at], &id, /*fresh=*/true);
    }
    return at;
}

/* What enqueue.lua says: in the order of the jobs. */
static void read_items(hist *h, dq_reader *in, const hm_answer *want)
{
    int at = 0;

    while (at < want->n && !h->failed) {
        int kind = dq_read_u8(in);

        if (in->bad) {
            hist_fail(h, "enqueue: the answer is cut");
        } else if (kind == 0) {
            at = read_run(h, in, want, at);
        } else if (hist_equal(h, "enqueue: kind of item", want->kind[at], kind)) {
            if (kind >= 3)
                same_id(h, want->job[at], dq_read_bytes(in, DQ_ID_BYTES), /*fresh=*/false);
            at++;
        }
    }
}

/* The first id of a lane, taken out. */
static bool take_first(dq_id *ids, int *n, uint32_t lane, dq_id *ret)
{
    int i = 0;

    while (i < *n && ids[i].lane != lane)
        i++;
    if (i == *n)
        return false;
    *ret = ids[i];
    --*n;
    memmove(&ids[i], &ids[i + 1], (size_t)(*n - i) * sizeof *ids);
    return true;
}

/* What enqueue_seal.lua kept: runs of ids lane by lane, those of a lane in the order of its jobs. */
static void read_sealed(hist *h, dq_reader *in, const hm_answer *want)
{
    dq_id ids[HM_ITEMS], id;
    int n = 0;

    while (in->p < in->end && !in->bad && !h->failed) {
        id = (dq_id){.lane = (uint32_t)hist_read_be(in, 3)};
        id.ms = (uint64_t)hist_read_be(in, 6);
        id.seq = (uint32_t)dq_read_be(in, 4);
        for (int64_t left = hist_read_be(in, 2); left > 0 && n < HM_ITEMS; left--, id.seq++)
            ids[n++] = id;
    }
    if (in->bad || !hist_equal(h, "plain enqueue: ids that were kept", want->n, n))
        hist_fail(h, "plain enqueue: the answer is cut");
    for (int i = 0; i < want->n && !h->failed; i++) {
        int lane = h->m.lane_no[h->m.job[want->job[i]].lane];

        if (take_first(ids, &n, (uint32_t)lane, &id))
            same_job(h, want->job[i], &id, /*fresh=*/false);
        else
            hist_fail(h, "plain enqueue: no id was kept for job %d", want->job[i]);
    }
}

static void read_answer(hist *h, dureq_str answer, const hm_answer *want)
{
    dq_reader in = dq_reader_of(answer);

    if (!hist_equal(h, "enqueue: kind of answer", want->sealed ? 'S' : 'G', dq_read_u8(&in)) ||
        !hist_equal(h, "enqueue: number", want->no, hist_read_be(&in, 6)))
        return;
    if (want->sealed)
        read_sealed(h, &in, want);
    else
        read_items(h, &in, want);
}

/* What jobs were made of; and their producer knows now the numbers of their lanes. */
static void see_made(hist *h, const hist_msg *msg, const hm_answer *a)
{
    for (int i = 0; i < a->n; i++) {
        if (a->kind[i] != 0)
            continue;
        h->item[a->job[i]] = msg->item[i];
        h->producer[msg->who].lane[msg->item[i].lane] = true;
    }
}

static void exec_enqueue(hist *h, const hist_msg *msg)
{
    hm_answer a = {0};
    dq_reply r = hist_ask(h->w, 0, &msg->bytes, 1);

    if (!hist_answered(h, msg, r, hm_enqueue(&h->m, msg->who, msg->no, msg->item, msg->n, &a)))
        return;
    read_answer(h, dq_reply_str(r), &a);
    see_made(h, msg, &a);
}

/* Accepted as a whole: the ids are what the XADDs said. */
static void read_entries(hist *h, const hist_msg *msg, dq_reply exec, const hm_answer *want)
{
    size_t at = 0;

    for (int i = 0; i < want->n && !h->failed; i++, at++) {
        dureq_str entry;
        dq_id id;

        at += (i == msg->b) + (msg->item[i].large > 0); /* a stall, and the SET of its payload, come before it */
        entry = dq_reply_str(dq_reply_at(exec, at));

        if (dq_id_from_entry(entry, (uint32_t)h->m.lane_no[msg->item[i].lane], 0, &id))
            same_job(h, want->job[i], &id, /*fresh=*/true);
        else
            hist_fail(h, "plain enqueue: " DQ_STR_FMT " is no entry", DQ_STR_ARG(entry));
    }
}

static void exec_seal(hist *h, const hist_msg *msg)
{
    bool fresh = msg->no > h->m.producer[msg->who].last;
    hm_answer a = {0};
    dq_reply exec = hist_send_seal(h, msg), seal;
    int want = hm_enqueue_seal(&h->m, msg->who, msg->no, msg->a, msg->item, msg->n, &a);

    if (!hist_equal(h, "plain enqueue: replies", hist_seal_commands(msg) - 2, (int64_t)dq_reply_len(exec)))
        return;
    seal = dq_reply_at(exec, dq_reply_len(exec) - 1);
    if (!hist_answered(h, msg, seal, want == HM_STALE ? 0 : want))
        return;
    h->stale = want == HM_STALE;
    if (h->stale) {
        hist_say(h, "    refused: the queues changed");
        (void)hist_equal(h, "plain enqueue: bytes of a refusal", 0, (int64_t)dq_reply_str(seal).len);
    } else if (!fresh) {
        read_answer(h, dq_reply_str(seal), &a);
    } else if (dq_str_eq_text(dq_reply_str(seal), "N")) {
        see_made(h, msg, &a);
        read_entries(h, msg, exec, &a);
    } else {
        hist_fail(h, "plain enqueue: wanted N, got " DQ_STR_FMT, DQ_STR_ARG(dq_reply_str(seal)));
    }
}

/* ---- sessions ---- */

static int job_of(const hist *h, dureq_str id)
{
    for (int i = 0; i < h->m.n_jobs; i++) {
        if (id.len >= DQ_ID_BYTES && memcmp(h->m.job[i].id, id.ptr, DQ_ID_BYTES) == 0)
            return i;
    }
    return -1;
}

static void check_cancelled(hist *h, int session, dq_reply list)
{
    int *told = h->m.session[session].cancelled;

    for (size_t i = 0; i < dq_reply_len(list); i++) {
        int job = job_of(h, dq_reply_str(dq_reply_at(list, i)));

        if (job < 0 || --told[job] < 0)
            hist_fail(h, "beat: told of a cancelled job %d that was not", job);
    }
    for (int i = 0; i < h->m.n_jobs; i++) {
        if (told[i] > 0)
            hist_fail(h, "beat: not told that job %d was cancelled", i);
        told[i] = 0;
    }
}

static int busy_lanes(const hist *h, int n)
{
    int busy = 0;
    bool seen[HM_LANES] = {false};

    for (int i = 0; i < h->m.n_jobs; i++) {
        const hm_job *j = &h->m.job[i];

        if ((j->place == HM_LANE || j->place == HM_FRONT) && !seen[j->lane] && h->m.lane_no[j->lane] <= n) {
            seen[j->lane] = true;
            busy++;
        }
    }
    return busy;
}

static void exec_beat(hist *h, const hist_msg *msg, dq_reply r, int epoch)
{
    int over = 0;

    for (int i = 1; i <= h->m.n_sessions; i++)
        over += hm_is_over(&h->m, i, 0);
    (void)hist_equal(h, "beat: epoch", epoch, dq_reply_int(dq_reply_at(r, 1)));
    (void)hist_equal(h, "beat: draining", h->m.draining[msg->who % HM_NODES], dq_reply_int(dq_reply_at(r, 5)));
    (void)hist_equal(h, "beat: lanes", h->m.n_lanes, dq_reply_int(dq_reply_at(r, 3)));
    check_cancelled(h, msg->who, dq_reply_at(r, 6));
    (void)hist_equal(h, "beat: busy lanes", busy_lanes(h, msg->b), (int64_t)dq_reply_len(dq_reply_at(r, 7)));
    (void)hist_equal(h, "beat: to reap", epoch > 0 ? over : 0, dq_reply_int(dq_reply_at(r, 8)));
    for (int i = 0; i < msg->n_late; i++)
        hm_late_over(&h->m, msg->who, msg->late[i].job, msg->late[i].run);
    (void)hist_equal(h, "beat: late runs", hm_n_late(&h->m, msg->who), (int64_t)dq_reply_len(dq_reply_at(r, 14)));
    if (epoch > 0)
        h->epoch_of[msg->who] = epoch;
}

static void exec_complete(hist *h, const hist_msg *msg, dq_reply r)
{
    const hm_session *s = &h->m.session[msg->who];
    dq_reader in = dq_reader_of(dq_reply_str(r));
    int n;

    (void)dq_read_bytes(&in, 6);
    n = dq_read_u8(&in) << 8;
    n |= dq_read_u8(&in);
    if (in.bad || !hist_equal(h, "complete: refused", s->n_refused, n))
        return;
    for (int i = 0; i < n; i++) {
        int at = dq_read_u8(&in) << 8;

        at |= dq_read_u8(&in);
        (void)hist_equal(h, "complete: which is refused", s->refused[i], at);
    }
}

/* ---- leaders ---- */

/* Which of its late runs went with the session is the script's choice: those that it does not have any more. */
static void see_forgotten(hist *h, int victim, int want)
{
    hm_late gone[HM_LATE];
    int n = 0;
    char key[40];

    (void)snprintf(key, sizeof key, "{dureq:0}:lr:%d", victim);
    for (int i = 0; i < h->m.n_late; i++) {
        const hm_late *late = &h->m.late[i];
        unsigned char what[DQ_LATE_BYTES];
        dq_id id = {0};

        if (late->session != victim)
            continue;
        (void)dq_id_unpack(dureq_str_of(h->m.job[late->job].id, DQ_ID_BYTES), &id);
        dq_late_pack(&id, late->run, what);
        DQ_BUF_AUTO call = {0};
        dq_resp_begin(&call, 3);
        dq_resp_arg_text(&call, "SISMEMBER");
        dq_resp_arg_text(&call, key);
        dq_resp_arg(&call, dureq_str_of((const char *)what, sizeof what));
        if (dq_reply_int(hist_ask(h->w, 0, &call, 1)) == 0)
            gone[n++] = *late;
    }
    (void)hist_equal(h, "reap: late runs that go", want, n);
    for (int i = 0; i < n; i++)
        hm_late_over(&h->m, victim, gone[i].job, gone[i].run);
}

static void exec_reap(hist *h, const hist_msg *msg, dq_reply r)
{
    int victim = (int)dq_reply_int(dq_reply_at(r, 1)), any = 0;
    hm_reaped want;

    for (int i = 1; i <= h->m.n_sessions; i++)
        any = hm_is_over(&h->m, i, msg->who) ? i : any;
    if (victim == 0) {
        (void)hist_equal(h, "reap: the session whose lease is over", any, victim);
        return;
    }
    if (victim < 0 || victim > h->m.n_sessions || !hm_is_over(&h->m, victim, msg->who)) {
        hist_fail(h, "reap: session %d is taken, whose lease is not over", victim);
        return;
    }
    want = hm_session_reap(&h->m, victim, msg->who, msg->a, msg->b);
    hist_say(h, "    session %d: %d handed over, %d dead", victim, want.handed, want.dead);
    (void)hist_equal(h, "reap: handed over", want.handed, dq_reply_int(dq_reply_at(r, 2)));
    (void)hist_equal(h, "reap: dead", want.dead, dq_reply_int(dq_reply_at(r, 3)));
    (void)hist_equal(h, "reap: more", want.more, dq_reply_int(dq_reply_at(r, 4)));
    see_forgotten(h, victim, want.late);
    if (want.through)
        hm_session_reaped(&h->m, victim);
}

/* ---- all of them ---- */

static void exec_leader(hist *h, const hist_msg *msg, dq_reply r)
{
    int want = hm_leader_check(&h->m, msg->who, (int)msg->no);

    if (!hist_answered(h, msg, r, want))
        return;
    if (msg->kind == MSG_PROMOTE) {
        (void)hist_equal(h, "promote: moved", hm_due_promote(&h->m), dq_reply_int(dq_reply_at(r, 1)));
    } else if (msg->kind == MSG_HOUSEKEEP) {
        (void)hist_equal(h, "housekeep: dead", hm_housekeep(&h->m), dq_reply_int(dq_reply_at(r, 2)));
    } else {
        hm_serve(&h->m);
        exec_reap(h, msg, r);
    }
}

static void exec_session(hist *h, const hist_msg *msg, dq_reply r)
{
    hm *m = &h->m;
    int want;

    switch (msg->kind) {
    case MSG_BEAT:
        want = msg->no == 0 ? hm_session_beat(m, msg->who, msg->flag, msg->a, msg->job, msg->n) : HM_FENCED;
        if (hist_answered(h, msg, r, want))
            exec_beat(h, msg, r, want);
        break;
    case MSG_COMPLETE:
        want = hm_complete(m, msg->who, msg->no, msg->done, msg->n);
        if (hist_answered(h, msg, r, want))
            exec_complete(h, msg, r);
        break;
    case MSG_RETURN:
        want = hm_session_return(m, msg->who, msg->job, msg->turn, msg->ran, msg->n);
        if (hist_answered(h, msg, r, want))
            (void)hist_equal(h, "return: given back", want, dq_reply_int(dq_reply_at(r, 0)));
        break;
    default:
        want = hm_session_close(m, msg->who);
        if (hist_answered(h, msg, r, want))
            (void)hist_equal(h, "close: gone", want, dq_reply_int(r));
        break;
    }
}

static void exec_operator(hist *h, const hist_msg *msg, dq_reply r)
{
    hm *m = &h->m;
    int want = 0;
    bool is_list = msg->kind <= MSG_PURGE || msg->kind == MSG_KEY_DELETE;

    switch (msg->kind) {
    case MSG_CANCEL: want = hm_cancel(m, msg->who); break;
    case MSG_RETRY: want = hm_retry(m, msg->who, msg->flag); break;
    case MSG_DELETE: want = hm_delete(m, msg->who); break;
    case MSG_MOVE: want = hm_move(m, msg->who, msg->a, msg->b); break;
    case MSG_UPDATE: want = hm_update(m, msg->who, msg->a, msg->b); break;
    case MSG_DRAIN: want = hm_node_drain(m, msg->who, msg->flag); break;
    case MSG_PURGE: want = hm_purge(m, msg->who); break;
    case MSG_KEY_DELETE: want = hm_key_delete(m, msg->who); break;
    default: want = hm_queue_set(m, msg->who, msg->flag, msg->a); break;
    }
    if (hist_answered(h, msg, r, 0))
        (void)hist_equal(h, names[msg->kind], want, dq_reply_int(is_list ? dq_reply_at(r, 0) : r));
}

static void exec_one(hist *h, const hist_msg *msg)
{
    dq_reply r;

    hist_say(h, "  -> %s %d (%d, %d%s%s) no %" PRId64 " n %d", names[msg->kind], msg->who, msg->a, msg->b, msg->flag ? ", " : "",
             msg->flag ? "yes" : "", msg->no, msg->n);
    for (int i = 0; msg->kind == MSG_COMPLETE && i < msg->n; i++)
        hist_say(h, "    job %d turn %d: %c %d%s%s", msg->done[i].job, msg->done[i].turn, msg->done[i].kind, msg->done[i].delay,
                 msg->done[i].skips ? " skipped" : "", msg->done[i].fails ? " failed" : "");
    if (msg->kind == MSG_ENQUEUE) {
        exec_enqueue(h, msg);
        return;
    }
    if (msg->kind == MSG_SEAL) {
        exec_seal(h, msg);
        return;
    }
    r = hist_ask(h->w, 0, &msg->bytes, DQ_MAX(msg->n_commands, 1));
    if (msg->kind >= MSG_FLOW_START) {
        hist_exec_flow(h, msg, r);
    } else if (msg->kind >= MSG_SCHED_PUT) {
        hist_exec_schedule(h, msg, r);
    } else if (msg->kind <= MSG_CLOSE) {
        exec_session(h, msg, r);
    } else if (msg->kind <= MSG_HOUSEKEEP) {
        exec_leader(h, msg, r);
    } else {
        exec_operator(h, msg, r);
    }
}

void hist_exec(hist *h, const hist_msg *msg)
{
    bool enqueues = msg->kind == MSG_ENQUEUE || msg->kind == MSG_SEAL;
    int made = enqueues ? msg->n : hist_schedule_jobs(msg);
    hist_before before;

    h->stale = false;
    /* What waits in buffers becomes jobs by itself. */
    if (h->failed || msg->kind == MSG_NONE || !hist_schedule_fits(h, msg) || !hist_flow_fits(h, msg) ||
        (made > 0 && h->m.n_jobs + hm_n_buffered(&h->m) + hm_flows_to_come(&h->m) + made > HM_JOBS))
        return;
    before = hist_wake_before(h);
    exec_one(h, msg);
    hist_check_schedules(h);
    hist_check_flows(h);
    hist_wake_after(h, &before);
}
