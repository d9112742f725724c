/* SPDX-License-Identifier: Apache-2.0 */
#include "hist_play.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "model/id.h"
#include "model/job.h"
#include "redis/resp.h"
#include "store/turn_calls.h"

#define CLASS_MS 604800000LL

static void copy(char out[24], dureq_str s)
{
    (void)snprintf(out, 24, DQ_STR_FMT, (int)s.len, s.ptr ? s.ptr : "");
}

void hist_node_drop(hist_node *n, int at)
{
    dq_buf_deinit(&n->held[at].m);
    dq_buf_deinit(&n->held[at].j);
    n->held[at] = n->held[--n->n_held];
}

const char *hist_node_name(int node)
{
    return node == 0 ? "even" : "odd";
}

void hist_node_open(hist *h)
{
    int session = hm_session_open(&h->m);
    hist_node *n = &h->node[session];
    dq_session_opening opening = {
        .node_id = hist_node_name(session % HM_NODES), .info = "{}", .lease_ms = HM_LEASE * HIST_UNIT_MS};
    dq_session_opened opened;
    dq_buf call = {0};
    dq_reply r;

    (void)hist_words(h->w, session, "UNWATCH", NULL);
    dq_call_session_open(&call, &h->w->keys, 0, &opening);
    r = hist_ask(h->w, 0, &call, 1);
    dq_buf_deinit(&call);
    hist_say(h, "  session %d", session);
    if (dq_session_open_decode(&r, &opened) < 0) {
        hist_fail(h, "open: its answer cannot be read");
        return;
    }
    (void)hist_equal(h, "open: number of the session", session, (int64_t)opened.session);
    n->opened_ms = opened.now_ms;
    copy(n->x, opened.x);
    copy(n->hv, opened.hv);
    hist_listen(h->w, session, true);
    n->listens = true;
}

/* ---- what it was pushed ---- */

static void give_back(hist *h, int session, int first)
{
    hist_node *n = &h->node[session];
    hist_msg back = {.kind = MSG_RETURN, .who = session, .n = n->n_held - first};

    for (int i = 0; i < back.n; i++) {
        back.job[i] = n->held[first + i].job;
        back.turn[i] = n->held[first + i].turn;
    }
    hist_put_return(h, &back, &n->held[first]);
    hist_exec(h, &back);
    dq_buf_deinit(&back.bytes);
    while (n->n_held > first)
        hist_node_drop(n, n->n_held - 1);
}

void hist_node_hear(hist *h, int session, bool no_slot)
{
    hist_node *n = &h->node[session];
    int first = n->n_held;

    for (int i = 0; i < n->n_pushed; i++) {
        if (n->n_held == HIST_HELD) {
            give_back(h, session, first);
            first = n->n_held;
        }
        hist_say(h, "  session %d hears of job %d", session, n->pushed[i].job);
        n->held[n->n_held++] = n->pushed[i];
    }
    n->n_pushed = 0;
    if (no_slot && n->n_held > first)
        give_back(h, session, first);
}

/* What is on its way to it is lost. */
static void stop_listening(hist *h, int session)
{
    hist_node *n = &h->node[session];

    if (n->listens)
        hist_listen(h->w, session, false);
    n->listens = false;
    for (int i = 0; i < n->n_pushed; i++) {
        dq_buf_deinit(&n->pushed[i].m);
        dq_buf_deinit(&n->pushed[i].j);
    }
    n->n_pushed = 0;
}

void hist_node_cut(hist *h, int session)
{
    hist_node *n = &h->node[session];

    hist_say(h, "  session %d loses its connections", session);
    (void)hist_words(h->w, session, "UNWATCH", NULL);
    n->watching = false;
    n->x[0] = '\0'; /* it looks what it has before it does anything else */
    stop_listening(h, session);
}

void hist_node_end(hist *h, int session)
{
    hist_node *n = &h->node[session];

    stop_listening(h, session);
    while (n->n_held > 0)
        hist_node_drop(n, 0);
    dq_buf_deinit(&n->unsure.bytes);
}

/* ---- what was taken from it, and what it does not know of ---- */

/* Entries are numbered by each stream for itself: two lanes may well have the same in one millisecond. */
static bool is_entry(const hist *h, int job, char kind, dureq_str stream, const char *mine, dureq_str entry)
{
    char name[24];

    (void)snprintf(name, sizeof(name), "%c:%d", kind, h->m.lane_no[h->m.job[job].lane]);
    return dq_str_eq_text(stream, name) && dq_str_eq_text(entry, mine);
}

static int held_at(const hist *h, const hist_node *n, dureq_str stream, dureq_str entry)
{
    for (int i = 0; i < n->n_held; i++) {
        if (is_entry(h, n->held[i].job, n->held[i].stream, stream, n->held[i].entry, entry))
            return i;
    }
    return -1;
}

/* A pending entry that the model knows too; those that the node does not are added to `back`. */
static void see_pending(hist *h, int session, dureq_str stream, dureq_str entry, bool *seen, hist_msg *back, hist_held *what)
{
    hist_node *n = &h->node[session];
    char kind = stream.len > 0 ? stream.ptr[0] : '?';
    int at = held_at(h, n, stream, entry), job = -1;

    for (int i = 0; i < h->m.n_jobs; i++) {
        const hm_job *j = &h->m.job[i];

        if (j->session == session && is_entry(h, i, j->place == HM_LANE ? 'l' : 'f', stream, j->entry, entry))
            job = i;
    }
    if (job < 0) {
        hist_fail(h, "resync: " DQ_STR_FMT " " DQ_STR_FMT " is pending for session %d", DQ_STR_ARG(stream), DQ_STR_ARG(entry),
                  session);
    } else if (at >= 0) {
        seen[at] = true;
    } else if (back->n < HIST_HELD) {
        hist_held *t = &what[back->n];

        *t = (hist_held){.job = job, .turn = h->m.job[job].turn, .stream = kind};
        (void)snprintf(t->entry, sizeof(t->entry), "%s", h->m.job[job].entry);
        back->job[back->n] = job;
        back->turn[back->n++] = t->turn;
    }
}

static int pending_in_model(const hist *h, int session)
{
    int n = 0;

    for (int i = 0; i < h->m.n_jobs; i++)
        n += h->m.job[i].session == session;
    return n;
}

/* What was pushed before the answer came over the same connection, so it is known by then. */
static void resync(hist *h, int session)
{
    hist_node *n = &h->node[session];
    hist_msg back = {.kind = MSG_RETURN, .who = session};
    hist_held what[HIST_HELD];
    bool seen[HIST_HELD] = {false};
    dq_buf call = {0};
    dq_reply r, at;

    hist_node_hear(h, session, /*no_slot=*/false);
    hist_say(h, "  session %d looks what it has", session);
    dq_call c = dq_call_session_pending(&call, &h->w->keys, 0, &(dq_pending_head){.session = (uint64_t)session, .limit = 100});
    for (int i = 0; i < h->m.n_lanes; i++)
        dq_pending_lane(&c, (uint32_t)i + 1);
    dq_call_end(&c);
    r = hist_ask(h->w, 0, &call, 1);
    dq_buf_deinit(&call);
    (void)hist_equal(h, "resync: pending", pending_in_model(h, session), (int64_t)dq_reply_len(r) / 2);
    at = dq_reply_len(r) ? dq_reply_first(r) : r;
    for (size_t i = 0; i + 1 < dq_reply_len(r); i += 2) {
        dureq_str stream = dq_reply_str(at);

        at = dq_reply_next(at);
        see_pending(h, session, stream, dq_reply_str(at), seen, &back, what);
        at = dq_reply_next(at);
    }
    for (int i = n->n_held - 1; i >= 0; i--) {
        if (!seen[i])
            hist_node_drop(n, i);
    }
    if (back.n > 0 && !h->failed) {
        hist_put_return(h, &back, what);
        hist_exec(h, &back);
        dq_buf_deinit(&back.bytes);
    }
}

/* ---- watching ---- */

static void get_watched(hist *h, int conn, int session, bool watch, char x[24], char hv[24])
{
    dq_buf call = {0};
    dq_reply r;

    size_t n = dq_watch(&call, &h->w->keys, 0, (uint64_t)session, /*unwatch=*/false);
    r = hist_ask(h->w, conn, &call, (int)n);
    dq_buf_deinit(&call);
    dq_watched now = dq_watched_decode(&r);
    copy(x, now.x);
    copy(hv, now.hv);
    if (!watch)
        (void)hist_words(h->w, conn, "UNWATCH", NULL);
}

void hist_node_watch(hist *h, int session)
{
    hist_node *n = &h->node[session];
    int touched = h->m.session[session].touched;

    if (n->watching)
        (void)hist_words(h->w, session, "UNWATCH", NULL);
    if (!n->listens)
        hist_listen(h->w, session, true);
    n->listens = true;
    get_watched(h, session, session, /*watch=*/true, n->watched_x, n->watched_hv);
    n->watching = true;
    if (n->watched_x[0] != '\0' && h->m.session[session].life != HM_LIVE)
        hist_fail(h, "watch: session %d does not see that it is lost", session);
    n->watched_touched = touched;
    if (n->watched_x[0] == '\0') {
        hist_say(h, "  session %d sees that it is gone", session);
        if (h->m.session[session].life == HM_LIVE)
            hist_fail(h, "watch: session %d is gone", session);
        n->dead = true;
        return;
    }
    if (strcmp(n->watched_hv, n->hv) != 0)
        n->bucket[0] = '\0';
    memcpy(n->hv, n->watched_hv, sizeof(n->hv));
    if (strcmp(n->watched_x, n->x) != 0) {
        memcpy(n->x, n->watched_x, sizeof(n->x));
        resync(h, session);
    }
}

/* ---- a turn: MULTI, what ended well, the gate, a read, EXEC ---- */

typedef struct turn {
    hist_msg msg; /* the jobs that ended, in the general form that a lost reply asks for */
    const hist_held *held[HM_ITEMS];
    int lane, count, n_commands;
    bool kept;        /* the jobs that ended: all of them, or none */
    bool registers;   /* for wake-ups of its lane */
    bool by_script;   /* as when memory is short: no transaction, and nothing ends */
    size_t row_bytes; /* as they count in the history */
} turn;

static int64_t part_of(const hist *h, const hist_node *n, int job)
{
    dq_id id = {0};

    (void)dq_id_unpack(dureq_str_of(h->m.job[job].id, DQ_ID_BYTES), &id);
    return (int64_t)(id.ms / (uint64_t)n->width);
}

static void put_ended(hist *h, dq_turn *out, turn *t, const hist_node *n, const hist_held *held)
{
    const hm_job *j = &h->m.job[held->job];
    DQ_BUF_AUTO row = {0};
    dq_entry entry = hist_entry_of(h, held);
    dq_id id = {0};

    (void)dq_id_unpack(dureq_str_of(j->id, DQ_ID_BYTES), &id);
    dq_turn_ended(out, &id, t->kept && hist_is_large(held));
    dq_turn_ack(out, &entry, 1);
    if (!t->kept) {
        if (hist_is_large(held))
            dq_turn_drop_payload(out, &id);
        return;
    }
    hist_put_row(h, &row, held, t->msg.who, DUREQ_JOB_COMPLETED, dq_buf_str(&held->m));
    t->row_bytes += row.len + DQ_ROW_OVERHEAD + (hist_is_large(held) ? DQ_PAYLOAD_INLINE_MAX + 1 : 0);
    dq_turn_rows(out, n->bucket, part_of(h, n, held->job), 1);
    dq_turn_row(out, &id, &row);
}

/* The whole of it, up to EXEC. */
static void put_turn(hist *h, dq_buf *b, turn *t, const hist_node *n)
{
    dq_turn out = {.out = b, .keys = &h->w->keys, .session = (uint64_t)t->msg.who, .by_script = t->by_script};
    dq_turn_head head = {.call_no = t->msg.no,
                         .class_ms = t->msg.n && !t->kept ? 0 : CLASS_MS,
                         .known = -1, /* it is always told what is paused */
                         .slots = 1};

    dq_turn_begin(&out);
    for (int i = 0; i < t->msg.n; i++)
        put_ended(h, &out, t, n, t->held[i]);
    head.bucket = t->kept && t->msg.n > 0 ? n->bucket : "";
    head.bytes = (int64_t)t->row_bytes;
    dq_turn_read(&out, (uint32_t)h->m.lane_no[t->lane], t->msg.a == 'f', t->count);
    dq_turn_gate(&out, &head);
    if (t->registers)
        dq_turn_listing(&out, (uint32_t)h->m.lane_no[t->lane]);
    for (int i = 0; i < t->msg.n; i++) {
        char field[24];

        (void)snprintf(field, sizeof(field), "%d:c", h->m.lane_no[h->m.job[t->msg.done[i].job].lane]);
        dq_turn_stat(&out, field, 1);
    }
    t->n_commands = (int)dq_turn_end(&out);
    dq_turn_deinit(&out);
}

static void take_entry(hist *h, const turn *t, dq_reply e, bool known)
{
    hist_node *n = &h->node[t->msg.who];
    hm_place place = t->msg.a == 'l' ? HM_LANE : HM_FRONT;
    dureq_str entry = dq_reply_str(dq_reply_at(e, 0)), m = dq_reply_str(dq_reply_lookup(dq_reply_at(e, 1), "m")),
              j = dq_reply_str(dq_reply_lookup(dq_reply_at(e, 1), "j"));
    hist_held *held = &n->held[n->n_held];
    char text[32];
    unsigned char id[DQ_ID_BYTES] = {0};
    dq_id parsed;
    int job = -1;

    (void)snprintf(text, sizeof(text), DQ_STR_FMT, DQ_STR_ARG(entry));
    if (m.len > DQ_ID_BYTES)
        memcpy(id, m.ptr + 1, DQ_ID_BYTES);
    else if (dq_id_from_entry(entry, (uint32_t)h->m.lane_no[t->lane], 0, &parsed))
        dq_id_pack(&parsed, id);
    for (int i = 0; i < h->m.n_jobs; i++)
        job = memcmp(h->m.job[i].id, id, DQ_ID_BYTES) == 0 ? i : job;
    if (job < 0 || !hm_is_next(&h->m, job, t->lane, place)) {
        hist_fail(h, "read: session %d was given job %d, whose turn it is not", t->msg.who, job);
        return;
    }
    hm_fetch(&h->m, t->msg.who, job, text);
    hist_say(h, "    given job %d%s", job, known ? "" : ", and does not hear of it");
    if (!known)
        return;
    *held = (hist_held){.job = job, .turn = h->m.job[job].turn, .stream = (char)t->msg.a};
    (void)snprintf(held->entry, sizeof(held->entry), "%s", text);
    dq_buf_append_str(&held->m, m);
    dq_buf_append_str(&held->j, j);
    n->n_held++;
}

static int waiting_in(const hist *h, int lane, hm_place place)
{
    int n = 0;

    for (int i = 0; i < h->m.n_jobs; i++)
        n += h->m.job[i].lane == lane && h->m.job[i].place == place && h->m.job[i].session == 0;
    return n;
}

static void see_gate(hist *h, const turn *t, dq_reply gate, bool known)
{
    hist_node *n = &h->node[t->msg.who];
    dureq_error err;
    dq_gate g;
    int paused = 0;

    if (dq_gate_decode(gate, &g, &err) < 0) {
        hist_fail(h, "gate: %s", err.msg);
        return;
    }
    for (int i = 0; i < HM_QUEUES; i++)
        paused += h->m.paused[i];
    (void)hist_equal(h, "gate: live", h->m.session[t->msg.who].life == HM_LIVE, g.live);
    (void)hist_equal(h, "gate: lanes", h->m.n_lanes, g.n_lanes);
    (void)hist_equal(h, "gate: paused queues", paused, (int64_t)dq_reply_len(dq_reply_at(g.paused, 1)));
    if (known) {
        copy(n->bucket, g.bucket);
        n->width = g.width;
        copy(n->hv, g.hv);
    }
}

static void see_read(hist *h, const turn *t, dq_reply read, bool known)
{
    dq_reply entries = dq_reply_at(dq_reply_at(read, 0), 1);
    int want = DQ_MIN(waiting_in(h, t->lane, t->msg.a == 'l' ? HM_LANE : HM_FRONT), t->count), first = h->node[t->msg.who].n_held;

    if (!hist_equal(h, "read: entries", want, (int64_t)dq_reply_len(entries)))
        return;
    for (int i = 0; i < want && !h->failed; i++)
        take_entry(h, t, dq_reply_at(entries, (size_t)i), known);
    if (known && h->m.paused[t->lane / 2] && h->node[t->msg.who].n_held > first && !h->failed)
        give_back(h, t->msg.who, first);
}

/* Up to `max` of its jobs end well: such as need no more than plain commands, and go into the history or do not, all of them. */
static void pick_ended(hist *h, turn *t, int max)
{
    hist_node *n = &h->node[t->msg.who];

    for (int i = 0; i < n->n_held && t->msg.n < max && (n->bucket[0] || !t->kept); i++) {
        const hm_job *j = &h->m.job[n->held[i].job];

        if (j->kept != t->kept || (j->ukey >= 0 && !j->ukey_stays) || n->held[i].stream != 'l' ||
            h->m.session[t->msg.who].started[n->held[i].job] || j->minds || j->flow || j->batch)
            continue;
        t->held[t->msg.n] = &n->held[i];
        t->msg.done[t->msg.n++] = (hm_done){.job = n->held[i].job, .turn = n->held[i].turn, .kind = t->kept ? 'c' : 'n'};
    }
    if (t->msg.n > 0) {
        t->msg.no = ++n->call_no;
        hist_put_complete(h, &t->msg, t->held);
    }
}

static void drop_done(hist_node *n, const hist_msg *msg)
{
    for (int i = 0; i < msg->n; i++) {
        for (int k = n->n_held - 1; k >= 0; k--) {
            if (n->held[k].job == msg->done[i].job && n->held[k].turn == msg->done[i].turn)
                hist_node_drop(n, k);
        }
    }
}

static void see_exec(hist *h, turn *t, dq_reply r, bool same, bool known)
{
    hist_node *n = &h->node[t->msg.who];
    bool touched = h->m.session[t->msg.who].touched != n->watched_touched;

    if (dq_reply_type(r) == DQ_RESP_ERROR) {
        hist_fail(h, "turn: " DQ_STR_FMT, DQ_STR_ARG(dq_reply_str(r)));
        return;
    }
    hist_say(h, "    %s", dq_reply_is_nil(r) ? "refused" : "done");
    (void)hist_equal(h, "turn: refused, as what it watches changed", !same, dq_reply_is_nil(r));
    if (touched && !dq_reply_is_nil(r))
        hist_fail(h, "turn: session %d was touched, and its transaction went through", t->msg.who);
    if (dq_reply_is_nil(r) || h->failed)
        return;
    for (int i = 0; i < t->msg.n; i++) {
        const hm_job *j = &h->m.job[t->msg.done[i].job];

        if (j->session != t->msg.who || j->turn != t->msg.done[i].turn)
            hist_fail(h, "turn: session %d ended job %d, which is not its own", t->msg.who, t->msg.done[i].job);
    }
    if (!hm_cycle(&h->m, t->msg.who, t->msg.no, t->msg.done, t->msg.n)) { /* it starts nothing of what it reads now */
        known = false;
        n->dead = true;
    } else if (t->registers) {
        hm_register(&h->m, t->msg.who, t->lane);
    }
    see_gate(h, t, dq_reply_at(r, dq_reply_len(r) - 2), known);
    see_read(h, t, dq_reply_at(r, dq_reply_len(r) - 1), known);
}

/* A turn of a node that was refused transactions: it reads, if it lives, and that is all. */
static void turn_by_script(hist *h, turn *t, bool known)
{
    bool live = h->m.session[t->msg.who].life == HM_LIVE;
    DQ_BUF_AUTO b = {0};
    dq_reply r;

    hist_say(h, "    by script");
    put_turn(h, &b, t, &h->node[t->msg.who]);
    r = hist_ask(h->w, t->msg.who, &b, 1);
    if (!hist_equal(h, "turn by script: answers", 1 + live, (int64_t)dq_reply_len(r)))
        return;
    if (live && t->registers)
        hm_register(&h->m, t->msg.who, t->lane);
    see_gate(h, t, dq_reply_at(r, 0), known);
    if (live)
        see_read(h, t, dq_reply_at(r, 1), known);
}

static void discard(dq_buf *b)
{
    b->len -= sizeof("*1\r\n$4\r\nEXEC\r\n") - 1;
    dq_resp_begin(b, 1);
    dq_resp_arg_text(b, "DISCARD");
}

/* Workflows go deep only when what they release is read: mostly it is read where something of one waits. */
static void read_where_work_is(const hist *h, uint32_t r, turn *t)
{
    for (int i = 0; i < h->m.n_jobs; i++) {
        const hm_job *j = &h->m.job[(r + (uint32_t)i) % (uint32_t)h->m.n_jobs];

        if ((j->flow || j->batch) && j->session == 0 && (j->place == HM_LANE || j->place == HM_FRONT)) {
            t->lane = j->lane;
            t->msg.a = j->place == HM_LANE ? 'l' : 'f';
            return;
        }
    }
}

void hist_node_turn(hist *h, int session, const uint32_t *r)
{
    hist_node *n = &h->node[session];
    turn t = {.msg = {.kind = MSG_COMPLETE, .who = session, .a = r[0] % 2 ? 'l' : 'f'},
              .lane = (int)(r[1] % HM_LANES),
              .count = 1 + (int)(r[2] % 3),
              .kept = r[2] / 16 % 4 != 0,
              .registers = r[2] / 64 % 4 != 0,
              .by_script = r[2] / 256 % 16 == 0};
    bool known = r[3] % 6 != 0, same;
    char x[24], hv[24];
    DQ_BUF_AUTO b = {0};

    if (r[1] / 4 % 4 != 0)
        read_where_work_is(h, r[1] / 16, &t);
    if (!n->watching && !t.by_script)
        hist_node_watch(h, session);
    if (n->dead || h->failed || h->m.lane_no[t.lane] == 0 || n->n_held + t.count > HIST_HELD)
        return;
    hist_say(h, "  session %d reads %c of lane %d%s", session, t.msg.a, t.lane, known ? "" : ", the reply is lost");
    if (t.by_script) {
        turn_by_script(h, &t, known);
        return;
    }
    pick_ended(h, &t, (int)(r[4] % HM_ITEMS));
    for (int i = 0; i < t.msg.n; i++)
        hist_say(h, "    and ends job %d", t.msg.done[i].job);
    get_watched(h, 0, session, /*watch=*/false, x, hv);
    same = strcmp(x, n->watched_x) == 0 && strcmp(hv, n->watched_hv) == 0;
    put_turn(h, &b, &t, n);
    if (r[3] % 11 == 1) /* its connection ends before EXEC comes */
        discard(&b);
    n->watching = false;
    if (r[3] % 11 == 1)
        (void)hist_ask(h->w, session, &b, t.n_commands);
    else
        see_exec(h, &t, hist_ask(h->w, session, &b, t.n_commands), same, known);
    if (t.msg.n > 0 &&
        (!known || r[3] % 11 == 1)) /* it does not know what became of it: the general form under the same number */
        n->unsure = t.msg;
    else
        dq_buf_deinit(&t.msg.bytes);
    if (known && !h->failed && t.msg.n > 0 && n->unsure.kind == MSG_NONE && h->m.session[session].last_call == t.msg.no)
        drop_done(n, &t.msg);
}
