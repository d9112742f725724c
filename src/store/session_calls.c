/* SPDX-License-Identifier: Apache-2.0 */
#include "store/session_calls.h"

#include "store/store.h"

#include <assert.h>

dureq_str dq_entry_text(const dq_entry *e, char out[DQ_ENTRY_TEXT_MAX])
{
    char *end = &out[DQ_ENTRY_TEXT_MAX - 1], *at = dq_digits_before(end, e->seq);

    *--at = '-';
    at = dq_digits_before(at, e->ms);
    return dureq_str_of(at, (size_t)(end - at));
}

dureq_str dq_entry_stream(const dq_entry *e, char out[DQ_STREAM_TEXT_MAX])
{
    char *end = &out[DQ_STREAM_TEXT_MAX - 1], *at = dq_digits_before(end, e->lane);

    *--at = ':';
    *--at = e->front ? 'f' : 'l';
    return dureq_str_of(at, (size_t)(end - at));
}

/* ---- open ---- */

void dq_call_session_open(dq_buf *out, const dq_keys *k, unsigned shard, const dq_session_opening *o)
{
    dq_call c = dq_call_begin(out, k, shard, DQ_SCRIPT_SESSION_OPEN);

    dq_call_key(&c, "lease");
    dq_call_arg_text(&c, o->node_id);
    dq_call_arg_text(&c, o->info);
    dq_call_arg_i64(&c, o->lease_ms);
    dq_call_arg_i64(&c, DQ_SCRIPTS_VERSION);
    dq_call_end(&c);
}

int dq_session_open_decode(const dq_reply *r, dq_session_opened *ret)
{
    if (dq_reply_type(*r) != DQ_RESP_ARRAY || dq_reply_len(*r) != 5)
        return DUREQ_EPROTO;
    *ret = (dq_session_opened){
        .session = (uint64_t)dq_reply_int(dq_reply_at(*r, 0)),
        .now_ms = dq_reply_int(dq_reply_at(*r, 1)),
        .x = dq_reply_str(dq_reply_at(*r, 2)),
        .hv = dq_reply_str(dq_reply_at(*r, 3)),
        .data = dq_reply_str(dq_reply_at(*r, 4)),
    };
    return 0;
}

/* ---- heartbeat ---- */

enum { LIST_NONE, LIST_STARTS, LIST_PROGRESS, LIST_LANES, LIST_ENDED };

/* Up to this list: those between have nothing. */
static void open_list(dq_beat *b, unsigned list)
{
    assert(b->lists <= list);
    while (b->lists < list) {
        if (b->lists != LIST_NONE)
            dq_call_number(&b->call, b->n_at, b->n);
        b->n = 0;
        b->n_at = dq_call_number_later(&b->call);
        b->lists++;
    }
}

dq_beat dq_beat_begin(dq_buf *out, const dq_keys *k, unsigned shard, const dq_beat_head *head)
{
    dq_beat b = {.call = dq_call_begin(out, k, shard, DQ_SCRIPT_SESSION_BEAT)};
    dq_call *c = &b.call;

    dq_call_key_no(c, "s:", head->session);
    dq_call_key(c, "lease");
    dq_call_key(c, "due");
    dq_call_arg_i64(c, (int64_t)head->session);
    dq_call_arg_i64(c, head->lease_ms);
    dq_call_arg_text(c, head->state);
    dq_call_arg_flag(c, head->stands_to_lead);
    dq_call_arg(c, head->blamed);
    if (head->opened_ms >= 0)
        dq_call_arg_i64(c, head->opened_ms);
    else
        dq_call_arg(c, (dureq_str){0});
    dq_call_arg(c, head->data);
    return b;
}

void dq_beat_start(dq_beat *b, const dq_id *id, int64_t started_at_ms)
{
    open_list(b, LIST_STARTS);
    dq_call_arg_id(&b->call, id);
    dq_call_arg_i64(&b->call, started_at_ms);
    b->n++;
}

void dq_beat_progress(dq_beat *b, const dq_id *id, const dq_buf *json)
{
    open_list(b, LIST_PROGRESS);
    dq_call_arg_id(&b->call, id);
    dq_call_arg_buf(&b->call, json);
    b->n++;
}

void dq_beat_lane(dq_beat *b, uint32_t lane)
{
    open_list(b, LIST_LANES);
    dq_call_arg_i64(&b->call, lane);
    b->n++;
}

void dq_beat_late_ended(dq_beat *b, dureq_str run)
{
    open_list(b, LIST_ENDED);
    dq_call_arg(&b->call, run);
    b->n++;
}

void dq_late_pack(const dq_id *id, int run, unsigned char out[DQ_LATE_BYTES])
{
    dq_id_pack(id, out);
    out[DQ_ID_BYTES] = (unsigned char)(run >> 8);
    out[DQ_ID_BYTES + 1] = (unsigned char)run;
}

void dq_beat_end(dq_beat *b)
{
    open_list(b, LIST_ENDED);
    dq_call_number(&b->call, b->n_at, b->n);
    dq_call_end(&b->call);
}

int dq_beat_decode(const dq_reply *r, dq_beat_answer *ret)
{
    dq_reply f[17];

    if (dq_reply_type(*r) != DQ_RESP_ARRAY || dq_reply_len(*r) < DQ_ARRAY_LEN(f))
        return DUREQ_EPROTO;
    f[0] = dq_reply_first(*r);
    for (size_t i = 1; i < DQ_ARRAY_LEN(f); i++)
        f[i] = dq_reply_next(f[i - 1]);
    *ret = (dq_beat_answer){
        .now_ms = dq_reply_int(f[0]),
        .epoch = dq_reply_int(f[1]),
        .next_due_ms = dq_reply_int(f[2]),
        .n_lanes = (uint32_t)dq_reply_int(f[3]),
        .queues_version = dq_reply_int(f[4]),
        .drain = dq_reply_int(f[5]) == 1,
        .too_old = dq_reply_int(f[5]) == 2,
        .cancelled = f[6],
        .busy = f[7],
        .n_expired = dq_reply_int(f[8]),
        .n_outbox = dq_reply_int(f[9]),
        .next_late_ms = dq_reply_int(f[10]),
        .memory_is_short = dq_reply_int(f[11]) != 0,
        .data = dq_reply_str(f[12]),
        .next_schedule_ms = dq_reply_int(f[13]),
        .late = f[14],
        .n_flow_steps = dq_reply_int(f[15]),
        .next_timer_ms = dq_reply_int(f[16]),
    };
    return 0;
}

bool dq_cancelled_decode(dureq_str what, dq_cancelled *ret)
{
    if (what.len < DQ_ID_BYTES + 2)
        return false;
    *ret = (dq_cancelled){
        .id = dureq_str_of(what.ptr, DQ_ID_BYTES),
        .front = what.ptr[DQ_ID_BYTES] == 'f',
        .entry = dureq_str_of(what.ptr + DQ_ID_BYTES + 1, what.len - DQ_ID_BYTES - 1),
    };
    return true;
}

/* ---- what it serves ---- */

dq_call dq_call_session_change(dq_buf *out, const dq_keys *k, unsigned shard, uint64_t session, const char *info)
{
    dq_call c = dq_call_begin(out, k, shard, DQ_SCRIPT_SESSION_CHANGE);

    dq_call_key_no(&c, "s:", session);
    dq_call_arg_i64(&c, (int64_t)session);
    dq_call_arg_text(&c, info);
    return c;
}

void dq_change_leave(dq_call *c, uint32_t lane)
{
    dq_call_arg_i64(c, lane);
}

/* ---- what is pending for it, and giving back ---- */

dq_call dq_call_session_pending(dq_buf *out, const dq_keys *k, unsigned shard, const dq_pending_head *head)
{
    dq_call c = dq_call_begin(out, k, shard, DQ_SCRIPT_SESSION_PENDING);

    dq_call_arg_i64(&c, (int64_t)head->session);
    dq_call_arg_i64(&c, head->limit);
    return c;
}

void dq_pending_lane(dq_call *c, uint32_t lane)
{
    dq_call_arg_i64(c, lane);
}

dq_pending_list dq_pending_decode(const dq_reply *r)
{
    dq_pending_list p = {.left = dq_reply_len(*r) / 2};

    if (p.left > 0)
        p.at = dq_reply_first(*r);
    return p;
}

static bool read_entry(dureq_str stream, dureq_str entry, dq_entry *ret)
{
    dureq_str ms_text = dq_str_cut(&entry, '-');
    int64_t lane, ms, seq;

    if (stream.len <= 2 || dq_parse_i64(dureq_str_of(stream.ptr + 2, stream.len - 2), 1, UINT32_MAX, &lane) < 0 ||
        dq_parse_i64(ms_text, 0, INT64_MAX, &ms) < 0 || dq_parse_i64(entry, 0, INT64_MAX, &seq) < 0)
        return false;
    *ret = (dq_entry){.ms = (uint64_t)ms, .seq = (uint64_t)seq, .lane = (uint32_t)lane, .front = stream.ptr[0] == 'f'};
    return true;
}

bool dq_pending_next(dq_pending_list *p, dq_entry *ret)
{
    while (p->left > 0) {
        dureq_str stream = dq_reply_str(p->at);

        p->at = dq_reply_next(p->at);
        dureq_str entry = dq_reply_str(p->at);
        p->left--;
        if (p->left > 0)
            p->at = dq_reply_next(p->at);
        if (read_entry(stream, entry, ret))
            return true;
    }
    return false;
}

dq_call dq_call_session_return(dq_buf *out, const dq_keys *k, unsigned shard, uint64_t session)
{
    dq_call c = dq_call_begin(out, k, shard, DQ_SCRIPT_SESSION_RETURN);

    dq_call_key_no(&c, "s:", session);
    dq_call_arg_i64(&c, (int64_t)session);
    dq_call_arg_i64(&c, shard);
    return c;
}

void dq_return_entry(dq_call *c, const dq_entry *e, bool has_run)
{
    char stream[DQ_STREAM_TEXT_MAX], entry[DQ_ENTRY_TEXT_MAX];

    dq_call_arg(c, dq_entry_stream(e, stream));
    dq_call_arg(c, dq_entry_text(e, entry));
    dq_call_arg_flag(c, has_run);
}

int dq_session_return_decode(const dq_reply *r, dq_returned *ret)
{
    if (dq_reply_type(*r) != DQ_RESP_ARRAY || dq_reply_len(*r) != 2)
        return DUREQ_EPROTO;
    *ret = (dq_returned){.n = dq_reply_int(dq_reply_at(*r, 0)), .x = dq_reply_int(dq_reply_at(*r, 1))};
    return 0;
}

/* ---- close ---- */

void dq_call_session_close(dq_buf *out, const dq_keys *k, unsigned shard, uint64_t session)
{
    dq_call c = dq_call_begin(out, k, shard, DQ_SCRIPT_SESSION_CLOSE);

    dq_call_key_no(&c, "s:", session);
    dq_call_key(&c, "lease");
    dq_call_arg_i64(&c, (int64_t)session);
    dq_call_end(&c);
}
