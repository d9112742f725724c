/* SPDX-License-Identifier: Apache-2.0 */
#include "hist_play.h"

#include <inttypes.h>
#include <string.h>

#include "model/id.h"
#include "redis/resp.h"
#include "store/job_calls.h"

static const char *const names[] = {
    [MSG_NONE] = "nothing",        [MSG_ENQUEUE] = "enqueue", [MSG_BEAT] = "beat",           [MSG_COMPLETE] = "complete",
    [MSG_RETURN] = "return",       [MSG_CLOSE] = "close",     [MSG_REAP] = "reap",           [MSG_PROMOTE] = "promote",
    [MSG_HOUSEKEEP] = "housekeep", [MSG_CANCEL] = "cancel",   [MSG_RETRY] = "retry",         [MSG_DELETE] = "delete",
    [MSG_MOVE] = "move",           [MSG_PURGE] = "purge",     [MSG_QUEUE_SET] = "queue set", [MSG_KEY_DELETE] = "key delete",
};

/* An error where one is due, and none where none is. true: the answer is to be looked at. */
static bool answered(hist *h, const hist_msg *msg, dq_reply r, int want)
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
    char *mine = h->m.job[job].id;

    if (fresh && mine[0] == 0 && memcmp(mine, mine + 1, DQ_ID_BYTES - 1) == 0)
        memcpy(mine, id.ptr, DQ_ID_BYTES);
    else if (id.len != DQ_ID_BYTES || memcmp(mine, id.ptr, DQ_ID_BYTES) != 0)
        hist_fail(h, "enqueue: the answer is not the id of job %d", job);
}

static int read_run(hist *h, dq_reader *r, const hm_answer *want, int at)
{
    int n = dq_read_u8(r) << 8;
    dq_id id = {0};

    n |= dq_read_u8(r);
    for (int i = 0; i < 3; i++)
        id.lane = id.lane << 8 | dq_read_u8(r);
    for (int i = 0; i < 6; i++)
        id.ms = id.ms << 8 | dq_read_u8(r);
    id.seq = dq_read_u32be(r);
    for (; n > 0 && !h->failed; n--, at++, id.seq++) {
        unsigned char packed[DQ_ID_BYTES];

        if (at >= want->n || want->kind[at] != 0) {
            hist_fail(h, "enqueue: item %d was accepted, wanted kind %d", at, at < want->n ? want->kind[at] : -1);
            return at;
        }
        dq_id_pack(&id, packed);
        same_id(h, want->job[at], dureq_str_of((const char *)packed, DQ_ID_BYTES), /*fresh=*/true);
        hist_say(h, "    job %d in lane %d", want->job[at], h->m.job[want->job[at]].lane);
    }
    return at;
}

static void exec_enqueue(hist *h, const hist_msg *msg, dq_reply r, const hm_answer *want)
{
    dq_reader in = dq_reader_of(dq_reply_str(r));
    int at = 0;

    if (!hist_equal(h, "enqueue: kind of answer", 'G', dq_read_u8(&in)))
        return;
    (void)dq_read_bytes(&in, 6);
    while (at < want->n && !h->failed) {
        int kind = dq_read_u8(&in);

        if (in.bad) {
            hist_fail(h, "enqueue: the answer is cut");
        } else if (kind == 0) {
            at = read_run(h, &in, want, at);
        } else if (hist_equal(h, "enqueue: kind of item", want->kind[at], kind)) {
            if (kind >= 3)
                same_id(h, want->job[at], dq_read_bytes(&in, DQ_ID_BYTES), /*fresh=*/false);
            at++;
        }
    }
    (void)msg;
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
    (void)hist_equal(h, "beat: lanes", h->m.n_lanes, dq_reply_int(dq_reply_at(r, 3)));
    check_cancelled(h, msg->who, dq_reply_at(r, 6));
    (void)hist_equal(h, "beat: busy lanes", busy_lanes(h, msg->b), (int64_t)dq_reply_len(dq_reply_at(r, 7)));
    (void)hist_equal(h, "beat: to reap", epoch > 0 ? over : 0, dq_reply_int(dq_reply_at(r, 8)));
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

/* A record says when its worker wanted the retry; its place counts from when the call came. */
static void see_due(hist *h, const hist_msg *msg)
{
    for (int i = 0; i < msg->n; i++) {
        const hm_done *d = &msg->done[i];

        if (d->kind == 'r' && h->m.job[d->job].turn == d->turn + 1)
            h->due_late[d->job] = msg->made != h->m.now;
    }
}

/* ---- tickers ---- */

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
}

/* ---- all of them ---- */

static void exec_ticker(hist *h, const hist_msg *msg, dq_reply r)
{
    int want = hm_ticker_check(&h->m, msg->who, (int)msg->no);

    if (!answered(h, msg, r, want))
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
    bool fresh = m->session[msg->who].last_call != msg->no;
    int want;

    switch (msg->kind) {
    case MSG_BEAT:
        want = hm_session_beat(m, msg->who, msg->flag, msg->a, msg->job, msg->n);
        if (answered(h, msg, r, want))
            exec_beat(h, msg, r, want);
        break;
    case MSG_COMPLETE:
        want = hm_complete(m, msg->who, msg->no, msg->done, msg->n);
        if (fresh && want == 0)
            see_due(h, msg);
        if (answered(h, msg, r, want))
            exec_complete(h, msg, r);
        break;
    case MSG_RETURN:
        want = hm_session_return(m, msg->who, msg->job, msg->turn, msg->ran, msg->n);
        if (answered(h, msg, r, want))
            (void)hist_equal(h, "return: given back", want, dq_reply_int(dq_reply_at(r, 0)));
        break;
    default:
        want = hm_session_close(m, msg->who);
        if (answered(h, msg, r, want))
            (void)hist_equal(h, "close: gone", want, dq_reply_int(r));
        break;
    }
}

static void exec_operator(hist *h, const hist_msg *msg, dq_reply r)
{
    hm *m = &h->m;
    int want = 0;
    bool is_list = msg->kind != MSG_KEY_DELETE && msg->kind != MSG_QUEUE_SET;

    switch (msg->kind) {
    case MSG_CANCEL: want = hm_cancel(m, msg->who); break;
    case MSG_RETRY: want = hm_retry(m, msg->who, msg->flag); break;
    case MSG_DELETE: want = hm_delete(m, msg->who); break;
    case MSG_MOVE: want = hm_move(m, msg->who, msg->a, msg->b); break;
    case MSG_PURGE: want = hm_purge(m, msg->who); break;
    case MSG_KEY_DELETE: want = hm_key_delete(m, msg->who); break;
    default: m->paused[msg->who] = msg->flag; break;
    }
    if (answered(h, msg, r, 0) && msg->kind != MSG_QUEUE_SET)
        (void)hist_equal(h, names[msg->kind], want, dq_reply_int(is_list ? dq_reply_at(r, 0) : r));
}

void hist_exec(hist *h, const hist_msg *msg)
{
    dq_reply r;
    hm_answer a = {0};

    if (h->failed || msg->kind == MSG_NONE)
        return;
    hist_say(h, "  -> %s %d (%d, %d%s%s) no %" PRId64 " n %d", names[msg->kind], msg->who, msg->a, msg->b, msg->flag ? ", " : "",
             msg->flag ? "yes" : "", msg->no, msg->n);
    for (int i = 0; msg->kind == MSG_COMPLETE && i < msg->n; i++)
        hist_say(h, "    job %d turn %d: %c %d", msg->done[i].job, msg->done[i].turn, msg->done[i].kind, msg->done[i].delay);
    r = hist_ask(h->w, 0, &msg->bytes, 1);
    if (msg->kind == MSG_ENQUEUE) {
        if (answered(h, msg, r, hm_enqueue(&h->m, msg->who, msg->no, msg->item, msg->n, &a)))
            exec_enqueue(h, msg, r, &a);
    } else if (msg->kind <= MSG_CLOSE) {
        exec_session(h, msg, r);
    } else if (msg->kind <= MSG_HOUSEKEEP) {
        exec_ticker(h, msg, r);
    } else {
        exec_operator(h, msg, r);
    }
}
