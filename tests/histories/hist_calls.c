/* SPDX-License-Identifier: Apache-2.0 */
#include "hist_play.h"

#include <stdio.h>
#include <string.h>

#include "model/job.h"
#include "redis/resp.h"
#include "store/job_calls.h"
#include "store/key_calls.h"
#include "store/queue_calls.h"
#include "store/tick_calls.h"

/* Arguments are counted before the call can begin. */
typedef struct args {
    dq_buf b;
    size_t n;
} args;

static void put(args *a, dureq_str s)
{
    dq_resp_arg(&a->b, s);
    a->n++;
}

static void put_text(args *a, const char *s)
{
    put(a, dureq_str_from(s));
}

static void put_i64(args *a, int64_t v)
{
    dq_resp_arg_i64(&a->b, v);
    a->n++;
}

static const char *const full_keys[] = {"sh", "s:", "loc", "dead", "dead:h"};

/* sh, then what the script names; %: the session's. */
static void finish(hist *h, dq_buf *out, int script, const char *const *keys, size_t n_keys, int session, args *a)
{
    dq_call_begin(out, script, n_keys, a->n);
    for (size_t i = 0; i < n_keys; i++) {
        if (keys[i][strlen(keys[i]) - 1] == ':')
            dq_keys_arg_u64(out, &h->w->keys, 0, keys[i], (uint64_t)session);
        else
            dq_keys_arg(out, &h->w->keys, 0, keys[i], (dureq_str){0});
    }
    dq_buf_append_str(out, dq_buf_str(&a->b));
    dq_buf_deinit(&a->b);
}

static dureq_str id_of(const hist *h, int job)
{
    return dureq_str_of(h->m.job[job].id, DQ_ID_BYTES);
}

static const char *key_text(int key)
{
    static const char *const names[] = {"", "k0", "k1", "k2", "k3", "k4"};

    return names[key + 1];
}

/* ---- producers ---- */

dureq_str hist_large_payload(int which)
{
    static char text[DQ_PAYLOAD_INLINE_MAX + 2];
    int len = snprintf(text, sizeof(text), "{\"large\":%d}", which);

    memset(text + len, ' ', sizeof(text) - 1 - (size_t)len);
    return dureq_str_of(text, sizeof(text) - 1);
}

bool hist_is_large(const hist_held *t)
{
    dq_envelope e;

    return dq_envelope_unpack(dq_buf_str(&t->j), &e) == 0 && (e.flags & DQ_J_BLOB);
}

void hist_pack_item(const hm_item *it, int payload, dq_buf *j)
{
    dureq_job_options o = dureq_job_options_init();
    char text[24];
    dureq_job_spec spec = {.task_type = "a", .options = &o};

    (void)snprintf(text, sizeof(text), "{\"n\":%d}", payload);
    spec.payload = it->large && payload == 0 ? hist_large_payload(it->large) : dureq_str_from(text);
    o.unique_key = dureq_str_from(key_text(it->ukey));
    o.unique_for_ms = it->ukey_stays ? 3600000 : 0;
    o.request_id = dureq_str_from(key_text(it->request));
    o.schedule_to_start_timeout_ms = (int64_t)it->s2s * HIST_UNIT_MS;
    o.retention_ms = it->kept ? 0 : -1;
    dq_envelope_pack(j, &spec, -1);
}

static void put_item(args *a, int lane, const hm_item *it)
{
    DQ_BUF_AUTO j = {0};
    DQ_BUF_AUTO tail = {0};
    bool keyed = it->ukey >= 0 || it->request >= 0 || it->s2s > 0 || it->large;

    hist_pack_item(it, /*payload=*/0, &j);
    dq_moved_tail_fresh(&tail, 0);
    put_text(a, keyed ? "x" : it->delay ? "d" : "r");
    put_i64(a, lane);
    put_i64(a, 1);
    if (it->delay)
        put_i64(a, -(int64_t)it->delay * HIST_UNIT_MS);
    else if (keyed)
        put_text(a, "");
    if (keyed) {
        put_text(a, key_text(it->ukey));
        put_i64(a, it->ukey_stays ? 3600000 : 0);
        put_text(a, key_text(it->request));
        put_i64(a, 3600000);
        put_text(a, "");
        put_i64(a, (int64_t)it->s2s * HIST_UNIT_MS);
        put(a, it->large ? hist_large_payload(it->large) : (dureq_str){0});
    }
    if (keyed || it->delay)
        put(a, dq_buf_str(&tail));
    put(a, dq_buf_str(&j));
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
    static const char *const keys[] = {"sh", "p:", "lanes", "due", "due:h"};
    int at[HM_LANES] = {0}, lanes[HM_LANES], n = name_lanes(msg, at, lanes);
    args a = {0};

    put_i64(&a, msg->no);
    put_i64(&a, 0);
    put_i64(&a, n);
    for (int i = 0; i < n; i++) {
        char name[] = {'q', (char)('0' + lanes[i] / 2), '|', (char)('a' + lanes[i] % 2), '|', '\0'};

        put_text(&a, name);
    }
    for (int i = 0; i < msg->n; i++)
        put_item(&a, at[msg->item[i].lane], &msg->item[i]);
    finish(h, &msg->bytes, DQ_SCRIPT_ENQUEUE, keys, DQ_ARRAY_LEN(keys), msg->who, &a);
}

/* ---- nodes ---- */

void hist_put_beat(hist *h, hist_msg *msg)
{
    static const char *const keys[] = {"sh", "s:", "lease", "due"};
    args a = {0};

    put_i64(&a, msg->who);
    put_i64(&a, HM_LEASE * HIST_UNIT_MS);
    put_text(&a, "{}");
    put_text(&a, msg->flag ? "1" : "");
    put(&a, msg->a >= 0 ? id_of(h, msg->a) : msg->a == HM_SUSPECTS ? DQ_STR_LIT("s") : (dureq_str){0});
    put_i64(&a, h->node[msg->who].opened_ms + msg->no);
    put_i64(&a, msg->n);
    for (int i = 0; i < msg->n; i++) {
        put(&a, id_of(h, msg->job[i]));
        put_i64(&a, h->base_ms + (int64_t)h->m.now * HIST_UNIT_MS);
    }
    put_i64(&a, 0);
    put_i64(&a, h->m.n_lanes);
    for (int i = 0; i < h->m.n_lanes; i++)
        put_i64(&a, i + 1);
    msg->b = h->m.n_lanes;
    finish(h, &msg->bytes, DQ_SCRIPT_SESSION_BEAT, keys, DQ_ARRAY_LEN(keys), msg->who, &a);
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

static void put_outcome(hist *h, args *a, const hm_done *d, const hist_held *t, int session)
{
    DQ_BUF_AUTO m = {0};
    DQ_BUF_AUTO row = {0};
    char stream[24];
    bool ended = d->kind == 'c' || d->kind == 'd';

    (void)snprintf(stream, sizeof(stream), "%c:%d", t->stream, h->m.lane_no[h->m.job[d->job].lane]);
    put(a, dureq_str_of(&d->kind, 1));
    put_text(a, stream);
    put_i64(a, 1);
    put_text(a, t->entry);
    if (d->kind == 'c') {
        put_i64(a, DQ_RETENTION_DEFAULT_MS);
        put_text(a, hist_is_large(t) ? "1" : "");
    }
    if (d->kind == 'c')
        dq_buf_append_str(&m, dq_buf_str(&t->m));
    else
        moved_on(h, d, t, session, &m);
    if (d->kind == 'r' || d->kind == 'p') {
        put_i64(a, d->delay < 0 ? -1 : (int64_t)d->delay * HIST_UNIT_MS);
        dq_record_pack(&row, dq_buf_str(&m), dq_buf_str(&t->j));
    } else if (ended) {
        hist_put_row(h, &row, t, session, d->kind == 'c' ? DUREQ_JOB_COMPLETED : DUREQ_JOB_DEAD, dq_buf_str(&m));
    }
    put(a, id_of(h, d->job));
    if (d->kind == 'f') {
        put(a, dq_buf_str(&m));
        put(a, dq_buf_str(&t->j));
    } else if (d->kind != 'n') {
        put(a, dq_buf_str(&row));
    }
}

static bool lets_go(const hist *h, const hm_done *d)
{
    const hm_job *j = &h->m.job[d->job];

    return strchr("cnd", d->kind) && j->ukey >= 0 && !j->ukey_stays;
}

void hist_put_complete(hist *h, hist_msg *msg, const hist_held *const *held)
{
    args a = {0};

    put_i64(&a, msg->who);
    put_i64(&a, msg->no);
    put_i64(&a, 0);
    put_text(&a, msg->no % 2 ? "1" : ""); /* whether it is a repeat makes no difference on a server that loses nothing */
    put_i64(&a, msg->n);
    for (int i = 0; i < msg->n; i++) {
        char field[24];

        (void)snprintf(field, sizeof(field), "%d:c", h->m.lane_no[h->m.job[msg->done[i].job].lane]);
        put_text(&a, field);
        put_i64(&a, 1);
    }
    for (int i = 0; i < msg->n; i++)
        put_outcome(h, &a, &msg->done[i], held[i], msg->who);
    for (int i = 0; i < msg->n; i++) {
        if (!lets_go(h, &msg->done[i]))
            continue;
        put_text(&a, "u");
        put_i64(&a, 1);
        put_i64(&a, i);
        put(&a, id_of(h, msg->done[i].job));
        put_text(&a, key_text(h->m.job[msg->done[i].job].ukey));
    }
    put_text(&a, "a");
    put_i64(&a, msg->n);
    for (int i = 0; i < msg->n; i++)
        put(&a, id_of(h, msg->done[i].job));
    for (int i = 0; i < msg->n; i++) {
        if (msg->done[i].kind != 'n' || !hist_is_large(held[i]))
            continue;
        put_text(&a, "b");
        put_i64(&a, 1);
        put_i64(&a, i);
        put(&a, id_of(h, msg->done[i].job));
    }
    finish(h, &msg->bytes, DQ_SCRIPT_COMPLETE, full_keys, DQ_ARRAY_LEN(full_keys), msg->who, &a);
}

void hist_put_return(hist *h, hist_msg *msg, const hist_held *held)
{
    args a = {0};

    put_i64(&a, msg->who);
    put_i64(&a, 0);
    for (int i = 0; i < msg->n; i++) {
        char stream[24];

        (void)snprintf(stream, sizeof(stream), "%c:%d", held[i].stream, h->m.lane_no[h->m.job[held[i].job].lane]);
        put_text(&a, stream);
        put_text(&a, held[i].entry);
        put_text(&a, msg->ran[i] ? "1" : "");
    }
    finish(h, &msg->bytes, DQ_SCRIPT_SESSION_RETURN, full_keys, 2, msg->who, &a);
}

/* ---- tickers and operators ---- */

static void put_reap(hist *h, hist_msg *msg)
{
    static const char *const keys[] = {"sh", "lease", "dead", "dead:h"};
    args a = {0};

    put_i64(&a, msg->who);
    put_i64(&a, msg->no);
    put_i64(&a, 0);
    put_i64(&a, HM_LEASE * HIST_UNIT_MS);
    put_i64(&a, HM_CRASHES);
    put_i64(&a, msg->a);
    put_i64(&a, msg->b);
    finish(h, &msg->bytes, DQ_SCRIPT_SESSION_REAP, keys, DQ_ARRAY_LEN(keys), 0, &a);
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
    dq_ticker t = {.session = (uint64_t)msg->who, .epoch = msg->no};
    char queue[] = {'q', (char)('0' + msg->who % 10), '\0'};
    args a = {0};
    const dq_keep keep = {/* the dead for ever, the rest as usual */
                          .audit_ms = DQ_RETENTION_AUDIT_DEFAULT_MS,
                          .minutes_ms = DQ_RETENTION_MINUTES_DEFAULT_MS,
                          .hours_ms = DQ_RETENTION_HOURS_DEFAULT_MS,
                          .days_ms = DQ_RETENTION_DAYS_DEFAULT_MS};

    switch (msg->kind) {
    case MSG_REAP: put_reap(h, msg); break;
    case MSG_PROMOTE: dq_call_due_promote(&msg->bytes, k, 0, t); break;
    case MSG_HOUSEKEEP: dq_call_housekeep(&msg->bytes, k, 0, t, &keep, /*memory_short=*/false); break;
    case MSG_CANCEL: dq_call_job_cancel(&msg->bytes, k, 0, me, DQ_STR_LIT("no more"), &id, 1); break;
    case MSG_RETRY: dq_call_job_retry(&msg->bytes, k, 0, me, msg->flag, &id, 1); break;
    case MSG_DELETE: dq_call_job_delete(&msg->bytes, k, 0, me, &id, 1); break;
    case MSG_MOVE:
        dq_call_job_move(&msg->bytes, k, 0, me, (dq_job_verb)msg->a, h->base_ms + (int64_t)msg->b * HIST_UNIT_MS, &id, 1);
        break;
    case MSG_UPDATE: put_update(h, msg); break;
    case MSG_DRAIN: dq_call_node_drain(&msg->bytes, k, 0, me, dureq_str_from(hist_node_name(msg->who)), msg->flag); break;
    case MSG_PURGE: dq_call_queue_purge(&msg->bytes, k, 0, me, dureq_str_from(queue)); break;
    case MSG_QUEUE_SET: put_queue_set(h, msg); break;
    case MSG_KEY_DELETE: dq_call_key_delete(&msg->bytes, k, 0, me, dureq_str_from(key_text(msg->who))); break;
    case MSG_CLOSE:
        put_i64(&a, msg->who);
        finish(h, &msg->bytes, DQ_SCRIPT_SESSION_CLOSE, (const char *const[]){"sh", "s:", "lease"}, 3, msg->who, &a);
        break;
    default: break;
    }
}
