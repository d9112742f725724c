/* SPDX-License-Identifier: Apache-2.0 */
#include "hist_play.h"

#include <stdio.h>
#include <string.h>

#include "model/job.h"
#include "store/job_calls.h"
#include "store/key_calls.h"
#include "store/leader_calls.h"
#include "store/queue_calls.h"
#include "store/turn_calls.h"

static dureq_str id_of(const hist *h, int job)
{
    return dureq_str_of(h->m.job[job].id, DQ_ID_BYTES);
}

static dq_id whole_id(const hist *h, int job)
{
    dq_id id = {0};

    (void)dq_id_unpack(id_of(h, job), &id);
    return id;
}

dq_entry hist_entry_of(const hist *h, const hist_held *t)
{
    dureq_str seq = dureq_str_from(t->entry), ms = dq_str_cut(&seq, '-');
    dq_entry e = {.lane = (uint32_t)h->m.lane_no[h->m.job[t->job].lane], .front = t->stream == 'f'};
    int64_t n;

    if (dq_parse_i64(ms, 0, INT64_MAX, &n) == 0)
        e.ms = (uint64_t)n;
    if (dq_parse_i64(seq, 0, INT64_MAX, &n) == 0)
        e.seq = (uint64_t)n;
    return e;
}

dureq_str hist_holder_id(const hist *h, int holder)
{
    if (holder < HM_JOBS)
        return id_of(h, holder);
    if (holder < HM_FLOW_KEYS)
        return dureq_str_of(h->m.sched[holder - HM_JOBS].id, DQ_ID_BYTES);
    holder -= HM_FLOW_KEYS;
    return dureq_str_of(holder < HM_FLOWS ? h->m.flow[holder].id : h->m.batch[holder - HM_FLOWS].id, DQ_ID_BYTES);
}

const char *hist_key_text(int key)
{
    static const char *const names[] = {"", "k0", "k1", "k2", "k3", "k4"};

    return names[key + 1];
}

/* ---- producers ---- */

dureq_str hist_large_payload(int which)
{
    static char text[DQ_PAYLOAD_INLINE_MAX + 2];
    int len = snprintf(text, sizeof(text), "{\"large\":%d", which);

    memset(text + len, ' ', sizeof(text) - 1 - (size_t)len);
    text[sizeof(text) - 2] = '}';
    return dureq_str_of(text, sizeof(text) - 1);
}

bool hist_is_large(const hist_held *t)
{
    dq_envelope e;

    return dq_envelope_unpack(dq_buf_str(&t->j), &e) == 0 && (e.flags & DQ_J_BLOB);
}

static dureq_job_options options_of(const hm_item *it)
{
    dureq_job_options o = dureq_job_options_init();

    o.unique_key = dureq_str_from(hist_key_text(it->ukey));
    o.unique_for_ms = it->ukey_stays ? 3600000 : 0;
    o.request_id = dureq_str_from(hist_key_text(it->request));
    o.schedule_to_start_timeout_ms = (int64_t)it->s2s * HIST_UNIT_MS;
    o.delay_ms = (int64_t)it->delay * HIST_UNIT_MS;
    o.retention_ms = it->kept ? 0 : -1;
    return o;
}

static dureq_job_spec spec_of(const hm_item *it, int payload, const dureq_job_options *o, char text[24])
{
    (void)snprintf(text, 24, "{\"n\":%d}", payload);
    return (dureq_job_spec){.task_type = "a",
                            .options = o,
                            .payload = it->large && payload == 0 ? hist_large_payload(it->large) : dureq_str_from(text)};
}

void hist_pack_item(const hm_item *it, int payload, dq_buf *j)
{
    dureq_job_options o = options_of(it);
    char text[24];
    dureq_job_spec spec = spec_of(it, payload, &o, text);

    dq_envelope_pack(j, &spec, -1);
}

size_t hist_pack_template(const hm_item *it, int payload, dq_buf *j)
{
    dureq_job_options o = options_of(it);
    char text[24];
    dureq_job_spec spec = spec_of(it, payload, &o, text);

    return dq_envelope_pack_template(j, &spec);
}

void hist_put_item(const hm_item *it, dq_buf *args, dq_enqueue_job *ret)
{
    dureq_job_options o = options_of(it);
    char text[24];
    dureq_job_spec spec = spec_of(it, /*payload=*/0, &o, text);
    DQ_BUF_AUTO j = {0};

    dq_envelope_pack(&j, &spec, -1);
    dq_enqueue_pack(args, &spec, &o, &j, ret);
}

dq_enqueue_head hist_producer_head(const hist_msg *msg, char name[24])
{
    (void)snprintf(name, 24, "%d", msg->who);
    return (dq_enqueue_head){.producer = dureq_str_from(name), .number = (uint64_t)msg->no};
}

/* A producer names each lane once. */
static int name_lanes(const hist_msg *msg, int at[HM_LANES], int lanes[HM_LANES])
{
    int n = 0;

    for (int i = 0; i < msg->n; i++) {
        int lane = msg->item[i].lane;

        if (at[lane] == 0) {
            lanes[n++] = lane;
            at[lane] = n;
        }
    }
    return n;
}

void hist_put_enqueue(hist *h, hist_msg *msg)
{
    int at[HM_LANES] = {0}, lanes[HM_LANES], n = name_lanes(msg, at, lanes);
    char names[HM_LANES][16], who[24];
    dureq_str views[HM_LANES];
    dq_enqueue_head head = hist_producer_head(msg, who);

    for (int i = 0; i < n; i++) {
        (void)snprintf(names[i], sizeof(names[i]), "q%c|%c|", '0' + lanes[i] / 2, 'a' + lanes[i] % 2);
        views[i] = dureq_str_from(names[i]);
    }
    dq_enqueue e = dq_enqueue_begin(&msg->bytes, &h->w->keys, &head, views, (size_t)n);
    for (int i = 0; i < msg->n; i++) {
        DQ_BUF_AUTO args = {0};
        dq_enqueue_job job;

        hist_put_item(&msg->item[i], &args, &job);
        dq_enqueue_add(&e, (size_t)at[msg->item[i].lane] - 1, &args, &job, (dureq_str){0});
    }
    dq_enqueue_end(&e);
}

/* ---- nodes ---- */

void hist_put_beat(hist *h, hist_msg *msg)
{
    dq_beat_head head = {
        .session = (uint64_t)msg->who,
        .lease_ms = HM_LEASE * HIST_UNIT_MS,
        .state = "{}",
        .stands_to_lead = msg->flag,
        .blamed = msg->a >= 0             ? id_of(h, msg->a)
                  : msg->a == HM_SUSPECTS ? DQ_STR_LIT("s")
                                          : (dureq_str){0},
        .opened_ms = h->node[msg->who].opened_ms + msg->no,
    };
    dq_beat b = dq_beat_begin(&msg->bytes, &h->w->keys, 0, &head);

    for (int i = 0; i < msg->n; i++) {
        dq_id id = whole_id(h, msg->job[i]);

        dq_beat_start(&b, &id, h->base_ms + (int64_t)h->m.now * HIST_UNIT_MS);
    }
    for (int i = 0; i < h->m.n_lanes; i++)
        dq_beat_lane(&b, (uint32_t)i + 1);
    for (int i = 0; i < msg->n_late; i++) {
        unsigned char late[DQ_LATE_BYTES];
        dq_id id = whole_id(h, msg->late[i].job);

        dq_late_pack(&id, msg->late[i].run, late);
        dq_beat_late_ended(&b, dureq_str_of((const char *)late, sizeof late));
    }
    dq_beat_end(&b);
    msg->b = h->m.n_lanes;
}

void hist_put_row(hist *h, dq_buf *out, const hist_held *t, int session, dureq_job_state state, dureq_str m)
{
    dq_id id;
    dq_row row = {.state = state, .ran_ms = 2, .session = (uint64_t)session, .m = m, .j = dq_buf_str(&t->j)};

    (void)dq_id_unpack(id_of(h, t->job), &id);
    row.started_at_ms = (int64_t)id.ms + 1;
    row.finished_at_ms = (int64_t)id.ms + 3;
    row.reason = state == DUREQ_JOB_DEAD ? DQ_STR_LIT("failed") : (dureq_str){0};
    dq_row_pack_head(out, &row, &id);
    dq_buf_append_str(out, row.j);
}

/* The moved part with one attempt more, as a worker writes it: due is only what waits for its time in the due set. */
static void moved_on(const hist *h, const hm_done *d, const hist_held *t, int session, dq_buf *out)
{
    dq_moved m = {0};
    dq_attempt at = {.outcome = 1, .started_at_ms = 5, .ran_ms = 2, .session = (uint64_t)session, .error = DQ_STR_LIT("no")};
    DQ_BUF_AUTO tail = {0};

    if (t->m.len > 0)
        (void)dq_moved_unpack(dq_buf_str(&t->m), &m);
    else
        (void)dq_id_unpack(id_of(h, d->job), &m.id);
    m.runs++;
    m.attempts++;
    m.errors_in_row++;
    m.flags = 0;
    m.ready_at_ms = h->base_ms + (int64_t)(h->m.now + DQ_MAX(d->delay, 0)) * HIST_UNIT_MS;
    m.due_at_ms = d->kind == 'r' ? m.ready_at_ms : 0;
    at.run = m.runs;
    dq_attempts_add(&tail, m.tail, &at, &m.n_attempts);
    m.tail = dq_buf_str(&tail);
    dq_moved_pack(out, &m);
}

static void put_outcome(hist *h, dq_complete *c, const hm_done *d, const hist_held *t, int session)
{
    DQ_BUF_AUTO m = {0};
    DQ_BUF_AUTO row = {0};
    dq_entry entry = hist_entry_of(h, t);
    dq_end_group group = {.kind = d->kind,
                          .front = entry.front,
                          .lane = entry.lane,
                          .class_ms = DQ_RETENTION_DEFAULT_MS,
                          .has_side_keys = hist_is_large(t)};
    dq_end_job job = {
        .id = whole_id(h, d->job), .delay_ms = d->delay < 0 ? -1 : (int64_t)d->delay * HIST_UNIT_MS, .j = dq_buf_str(&t->j)};

    if (d->kind == 'c')
        dq_buf_append_str(&m, dq_buf_str(&t->m));
    else if (d->kind != 'i')
        moved_on(h, d, t, session, &m);
    job.m = dq_buf_str(&m);
    if (d->kind == 'r' || d->kind == 'p')
        dq_record_pack(&row, job.m, job.j);
    else if (d->kind == 'c' || d->kind == 'd')
        hist_put_row(h, &row, t, session, d->kind == 'c' ? DUREQ_JOB_COMPLETED : DUREQ_JOB_DEAD, job.m);
    job.row = dq_buf_str(&row);
    dq_complete_group(c, &group, &entry, 1);
    dq_complete_job(c, &job);
}

static bool lets_go(const hist *h, const hm_done *d)
{
    const hm_job *j = &h->m.job[d->job];

    return strchr("cnd", d->kind) && j->ukey >= 0 && !j->ukey_stays;
}

/* What the envelope of an occurrence says that minds its end; empty: it does not. */
static dureq_str tracked_part(const hist_held *t)
{
    dq_envelope e;

    return dq_envelope_unpack(dq_buf_str(&t->j), &e) == 0 && (e.flags & DQ_J_TRACKED) ? e.more : (dureq_str){0};
}

static void put_schedules(hist *h, dq_complete *c, const hist_msg *msg, const hist_held *const *held)
{
    for (int i = 0; i < msg->n; i++) {
        dureq_str part = tracked_part(held[i]);
        dq_id id = whole_id(h, msg->done[i].job);

        if (part.len > 0 && strchr("cnd", msg->done[i].kind))
            dq_complete_side(c, DQ_SIDE_SCHEDULE, (size_t)i, &id, part);
    }
    for (int i = 0; i < msg->n; i++) {
        dq_id id = whole_id(h, msg->done[i].job);
        char run[12];

        (void)snprintf(run, sizeof run, "%d", msg->done[i].run);
        if (msg->done[i].late)
            dq_complete_side(c, DQ_SIDE_LATE, (size_t)i, &id, dureq_str_from(run));
    }
}

/* What the envelope says of a task or an item; empty: it is neither. */
static dureq_str task_part(const hist_held *t)
{
    dq_envelope e;

    return dq_envelope_unpack(dq_buf_str(&t->j), &e) == 0 && (e.flags & (DQ_J_TASK | DQ_J_ITEM)) ? e.more : (dureq_str){0};
}

bool hist_is_wanted(const hist_held *t)
{
    dq_envelope e;

    return dq_envelope_unpack(dq_buf_str(&t->j), &e) == 0 && e.result_is_wanted;
}

static void put_tasks(hist *h, dq_complete *c, const hist_msg *msg, const hist_held *const *held)
{
    for (int i = 0; i < msg->n; i++) {
        const hm_done *d = &msg->done[i];
        dureq_str part = task_part(held[i]);
        bool dead = d->kind == 'd' || d->fails;
        dq_id id = whole_id(h, d->job);
        DQ_BUF_AUTO said = {0};

        if (part.len == 0 || !strchr("cndi", d->kind))
            continue;
        dq_buf_append_char(&said, d->skips ? 's' : dead ? 'd' : 'c');
        dq_buf_append_char(&said, (char)part.len);
        dq_buf_append_str(&said, part);
        if (d->skips || dead)
            dq_buf_append_text(&said, "no");
        else if (d->result)
            dq_buf_append_fmt(&said, "j%d", d->result);
        dq_complete_side(c, DQ_SIDE_TASK, (size_t)i, &id, dq_buf_str(&said));
    }
}

static void put_side(hist *h, dq_complete *c, const hist_msg *msg, int i, dq_end_side kind)
{
    dq_id id = whole_id(h, msg->done[i].job);

    dq_complete_side(c, kind, (size_t)i, &id, dureq_str_from(hist_key_text(h->m.job[msg->done[i].job].ukey)));
}

void hist_put_complete(hist *h, hist_msg *msg, const hist_held *const *held)
{
    dq_complete_head head = {
        .session = (uint64_t)msg->who,
        .call_no = msg->no,
        .is_repeat = msg->no % 2, /* whether it is one makes no difference on a server that loses nothing */
    };
    dq_complete c = dq_complete_begin(&msg->bytes, &h->w->keys, &head);

    for (int i = 0; i < msg->n; i++) {
        char field[24];

        (void)snprintf(field, sizeof(field), "%d:c", h->m.lane_no[h->m.job[msg->done[i].job].lane]);
        dq_complete_stat(&c, field, 1);
        dq_complete_counted(&c, (const uint16_t[DQ_STATS_OF_RUN]){(uint16_t)(i + 1)});
    }
    for (int i = 0; i < msg->n; i++)
        put_outcome(h, &c, &msg->done[i], held[i], msg->who);
    for (int i = 0; i < msg->n; i++)
        if (lets_go(h, &msg->done[i]))
            put_side(h, &c, msg, i, DQ_SIDE_KEY);
    put_tasks(h, &c, msg, held);
    for (int i = 0; i < msg->n; i++)
        put_side(h, &c, msg, i, DQ_SIDE_START);
    for (int i = 0; i < msg->n; i++)
        if (strchr("ni", msg->done[i].kind) && hist_is_large(held[i]))
            put_side(h, &c, msg, i, DQ_SIDE_DROP);
    put_schedules(h, &c, msg, held);
    dq_complete_end(&c);
}

void hist_put_return(hist *h, hist_msg *msg, const hist_held *held)
{
    dq_call c = dq_call_session_return(&msg->bytes, &h->w->keys, 0, (uint64_t)msg->who);

    for (int i = 0; i < msg->n; i++) {
        dq_entry entry = hist_entry_of(h, &held[i]);

        dq_return_entry(&c, &entry, msg->ran[i]);
    }
    dq_call_end(&c);
}

/* ---- leaders and operators ---- */

static void put_drain(hist *h, hist_msg *msg, dureq_str actor)
{
    dq_node_drain what = {.actor = actor, .node_id = dureq_str_from(hist_node_name(msg->who)), .drain = msg->flag, .first = true};
    char text[HM_SESSIONS + 1][12];
    dureq_str sessions[HM_SESSIONS + 1];
    size_t n = 0;

    for (int i = 1; i < HM_SESSIONS; i++, n++) { /* those that come while the call is on its way, too */
        (void)snprintf(text[n], sizeof text[n], "%d", i);
        sessions[n] = dureq_str_from(text[n]);
    }
    dq_call_node_drain(&msg->bytes, &h->w->keys, 0, &what, sessions, n);
}

static void put_reap(hist *h, hist_msg *msg)
{
    dq_term t = {.session = (uint64_t)msg->who, .epoch = msg->no};
    dq_reap reap = {.lease_ms = HM_LEASE * HIST_UNIT_MS, .max_crashes = HM_CRASHES, .limit = msg->a, .lanes = msg->b};

    dq_call_session_reap(&msg->bytes, &h->w->keys, 0, t, &reap);
}

static void put_queue_set(hist *h, hist_msg *msg)
{
    char name[] = {'q', (char)('0' + msg->who), '\0'};
    dq_queue q = {.name = dureq_str_from(name), .max_len = msg->a, .paused = msg->flag};

    dq_call_queue_set(&msg->bytes, &h->w->keys, 0, DQ_STR_LIT("me"), "queue.pause", &q);
}

static void put_update(hist *h, hist_msg *msg)
{
    DQ_BUF_AUTO old_j = {0};
    DQ_BUF_AUTO new_j = {0};

    hist_pack_item(&h->item[msg->who], msg->a, &old_j);
    hist_pack_item(&h->item[msg->who], msg->b, &new_j);
    dq_call_job_update(&msg->bytes, &h->w->keys, 0, DQ_STR_LIT("me"), id_of(h, msg->who), dq_buf_str(&old_j), dq_buf_str(&new_j),
                       /*blob=*/(dureq_str){0});
}

void hist_put_operator(hist *h, hist_msg *msg)
{
    const dq_keys *k = &h->w->keys;
    dureq_str me = DQ_STR_LIT("me"), id = msg->kind >= MSG_CANCEL && msg->kind <= MSG_UPDATE ? id_of(h, msg->who) : me;
    dq_term t = {.session = (uint64_t)msg->who, .epoch = msg->no};
    char queue[] = {'q', (char)('0' + msg->who % 10), '\0'};
    const dq_keep keep = {/* the dead for ever, the rest as usual */
                          .audit_ms = DQ_RETENTION_AUDIT_DEFAULT_MS,
                          .minutes_ms = DQ_RETENTION_MINUTES_DEFAULT_MS,
                          .hours_ms = DQ_RETENTION_HOURS_DEFAULT_MS,
                          .days_ms = DQ_RETENTION_DAYS_DEFAULT_MS};

    switch (msg->kind) {
    case MSG_REAP: put_reap(h, msg); break;
    case MSG_PROMOTE: dq_call_due_promote(&msg->bytes, k, 0, t); break;
    case MSG_HOUSEKEEP: dq_call_housekeep(&msg->bytes, k, 0, t, &keep, /*memory_short=*/false); break;
    case MSG_CANCEL: dq_call_job_cancel(&msg->bytes, k, 0, me, DQ_STR_LIT("no more"), (dureq_str){0}, &id, 1); break;
    case MSG_RETRY: dq_call_job_retry(&msg->bytes, k, 0, me, msg->flag, (dureq_str){0}, &id, 1); break;
    case MSG_DELETE: dq_call_job_delete(&msg->bytes, k, 0, me, (dureq_str){0}, &id, 1); break;
    case MSG_MOVE:
        dq_call_job_move(&msg->bytes, k, 0, me,
                         &(dq_job_move){.verb = (dq_job_verb)msg->a, .at_ms = h->base_ms + (int64_t)msg->b * HIST_UNIT_MS}, &id,
                         1);
        break;
    case MSG_UPDATE: put_update(h, msg); break;
    case MSG_DRAIN: put_drain(h, msg, me); break;
    case MSG_PURGE: dq_call_queue_purge(&msg->bytes, k, 0, me, dureq_str_from(queue), (dureq_str){0}, 0); break;
    case MSG_QUEUE_SET: put_queue_set(h, msg); break;
    case MSG_KEY_DELETE: dq_call_key_delete(&msg->bytes, k, 0, me, dureq_str_from(hist_key_text(msg->who))); break;
    case MSG_CLOSE: dq_call_session_close(&msg->bytes, k, 0, (uint64_t)msg->who); break;
    default: break;
    }
}
