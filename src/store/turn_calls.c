/* SPDX-License-Identifier: Apache-2.0 */
#include "store/turn_calls.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

/* ---- the turn ---- */

void dq_turn_begin(dq_turn *t)
{
    if (t->by_script)
        return;
    dq_resp_begin(t->out, 1);
    dq_resp_arg(t->out, DQ_STR_LIT("MULTI"));
}

void dq_turn_deinit(dq_turn *t)
{
    dq_buf_deinit(&t->ids);
    dq_buf_deinit(&t->large);
    dq_buf_deinit(&t->parts);
    dq_buf_deinit(&t->reads);
}

void dq_turn_ended(dq_turn *t, const dq_id *id, bool keeps_payload)
{
    unsigned char packed[DQ_ID_BYTES];

    dq_id_pack(id, packed);
    dq_buf_append(&t->ids, packed, sizeof(packed));
    if (keeps_payload)
        dq_buf_append(&t->large, packed, sizeof(packed));
}

void dq_turn_ack(dq_turn *t, const dq_entry *entries, size_t n)
{
    char text[DQ_ENTRY_TEXT_MAX];
    size_t from, len;
    char *again;

    dq_resp_begin(t->out, 3 + n);
    dq_resp_arg(t->out, DQ_STR_LIT("XACK"));
    dq_keys_arg_u64(t->out, t->keys, t->shard, "l:", entries[0].lane);
    dq_resp_arg(t->out, DQ_STR_LIT("g"));
    from = t->out->len;
    for (size_t i = 0; i < n; i++)
        dq_resp_arg(t->out, dq_entry_text(&entries[i], text));
    len = t->out->len - from;
    dq_resp_begin(t->out, 2 + n);
    dq_resp_arg(t->out, DQ_STR_LIT("XDEL"));
    dq_keys_arg_u64(t->out, t->keys, t->shard, "l:", entries[0].lane);
    again = dq_buf_reserve(t->out, len);
    if (again) { /* the same entries */
        memcpy(again, t->out->ptr + from, len);
        t->out->len += len;
        t->out->ptr[t->out->len] = '\0';
    }
    t->n_commands += 2;
}

void dq_turn_rows(dq_turn *t, const char *bucket, int64_t part, size_t n)
{
    char name[64];

    (void)snprintf(name, sizeof(name), "%s:%lld", bucket, (long long)part);
    dq_resp_begin(t->out, 2 + 2 * n);
    dq_resp_arg(t->out, DQ_STR_LIT("HSET"));
    dq_keys_arg(t->out, t->keys, t->shard, "h:", dureq_str_from(name));
    dq_resp_arg_i64(&t->parts, part);
    t->n_parts++;
    t->n_commands++;
}

void dq_turn_row(dq_turn *t, const dq_id *id, const dq_buf *row)
{
    unsigned char packed[DQ_ID_BYTES];

    dq_id_pack(id, packed);
    dq_resp_arg(t->out, dureq_str_of(packed, sizeof(packed)));
    dq_resp_arg_buf(t->out, row);
}

void dq_turn_drop_payload(dq_turn *t, const dq_id *id)
{
    unsigned char packed[DQ_ID_BYTES];

    dq_id_pack(id, packed);
    dq_resp_begin(t->out, 2);
    dq_resp_arg(t->out, DQ_STR_LIT("UNLINK"));
    dq_keys_arg(t->out, t->keys, t->shard, "b:", dureq_str_of(packed, sizeof(packed)));
    t->n_commands++;
}

/* As worker_cycle takes it: stream, count. */
static void put_read_words(dq_turn *t, uint32_t lane, bool front, int32_t count)
{
    char stream[DQ_STREAM_TEXT_MAX];

    dq_resp_arg(&t->reads, dq_entry_stream(&(dq_entry){.lane = lane, .front = front}, stream));
    dq_resp_arg_i64(&t->reads, count);
}

static void put_read_command(dq_turn *t, uint32_t lane, bool front, int32_t count)
{
    dq_buf *out = &t->reads;

    dq_resp_begin(out, 9);
    dq_buf_append_text(out, "$10\r\nXREADGROUP\r\n$5\r\nGROUP\r\n$1\r\ng\r\n");
    dq_resp_arg_i64(out, (int64_t)t->session);
    dq_buf_append_text(out, "$5\r\nCOUNT\r\n");
    dq_resp_arg_i64(out, count);
    dq_buf_append_text(out, "$7\r\nSTREAMS\r\n");
    dq_keys_arg_u64(out, t->keys, t->shard, front ? "f:" : "l:", lane);
    dq_buf_append_text(out, "$1\r\n>\r\n");
}

void dq_turn_read(dq_turn *t, uint32_t lane, bool front, int32_t count)
{
    if (t->by_script)
        put_read_words(t, lane, front, count);
    else
        put_read_command(t, lane, front, count);
    t->n_reads++;
}

static void put_i64_or_none(dq_call *c, int64_t v, bool is_some)
{
    if (is_some)
        dq_call_arg_i64(c, v);
    else
        dq_call_arg(c, (dureq_str){0});
}

void dq_turn_gate(dq_turn *t, const dq_turn_head *head)
{
    dq_call_form form = {.script = DQ_SCRIPT_WORKER_CYCLE, .as_text = true};
    dq_call *c = &t->call;

    t->call = dq_call_begin_as(t->out, t->keys, t->shard, &form);
    dq_call_key_no(c, "s:", t->session);
    dq_call_key(c, "paused_queues");
    dq_call_arg_i64(c, (int64_t)t->session);
    put_i64_or_none(c, head->call_no, t->ids.len > 0);
    dq_call_arg_buf(c, &t->ids);
    dq_call_arg_i64(c, head->class_ms);
    dq_call_arg_text(c, head->bucket);
    dq_call_arg_i64(c, head->bytes);
    dq_call_arg_buf(c, &t->large);
    put_i64_or_none(c, head->known, t->n_reads > 0);
    put_i64_or_none(c, head->slots, head->slots >= 0);
    dq_call_arg_i64(c, (int64_t)t->n_parts);
    dq_call_raw(c, dq_buf_str(&t->parts), t->n_parts);
    t->n_at = dq_call_number_later(c);
    t->gate_at = t->n_commands++;
    if (dq_buf_failed(&t->parts))
        t->out->failed = true;
}

void dq_turn_listing(dq_turn *t, uint32_t lane)
{
    assert(!t->counting);
    dq_call_arg_i64(&t->call, lane);
    t->n++;
}

static void begin_stats(dq_turn *t)
{
    dq_call_number(&t->call, t->n_at, t->n);
    t->n_at = dq_call_number_later(&t->call);
    t->n = 0;
    t->counting = true;
}

void dq_turn_stat(dq_turn *t, const char *field, int64_t n)
{
    if (!t->counting)
        begin_stats(t);
    dq_call_arg_text(&t->call, field);
    dq_call_arg_i64(&t->call, n);
    t->n++;
}

size_t dq_turn_end(dq_turn *t)
{
    if (!t->counting)
        begin_stats(t);
    dq_call_number(&t->call, t->n_at, t->n);
    if (dq_buf_failed(&t->reads))
        t->out->failed = true;
    if (t->by_script) {
        dq_call_raw(&t->call, dq_buf_str(&t->reads), 2 * t->n_reads);
        dq_call_end(&t->call);
        return 1;
    }
    dq_call_end(&t->call);
    dq_buf_append_buf(t->out, &t->reads);
    t->n_commands += t->n_reads;
    dq_resp_begin(t->out, 1);
    dq_resp_arg(t->out, DQ_STR_LIT("EXEC"));
    return t->n_commands + 2;
}

int dq_gate_decode(dq_reply r, dq_gate *ret, dureq_error *err)
{
    dq_reply f[8];
    int code = dq_reply_error(r, err);

    if (code < 0)
        return code;
    if (dq_reply_type(r) != DQ_RESP_ARRAY || dq_reply_len(r) < DQ_ARRAY_LEN(f))
        return dq_fail(err, DUREQ_EPROTO, "the answer of a turn cannot be read");
    f[0] = dq_reply_first(r);
    for (size_t i = 1; i < DQ_ARRAY_LEN(f); i++)
        f[i] = dq_reply_next(f[i - 1]);
    *ret = (dq_gate){
        .now_ms = dq_reply_int(f[0]),
        .live = dq_reply_int(f[1]) != 0,
        .n_lanes = (uint32_t)dq_reply_int(f[2]),
        .queues_version = dq_reply_int(f[3]),
        .bucket = dq_reply_str(f[4]),
        .width = DQ_MAX(dq_reply_int(f[5]), 1),
        .hv = dq_reply_str(f[6]),
        .tells_paused = dq_reply_type(f[7]) == DQ_RESP_ARRAY,
        .paused = f[7],
    };
    return 0;
}

/* ---- watching ---- */

size_t dq_watch(dq_buf *out, const dq_keys *k, unsigned shard, uint64_t session, bool unwatch)
{
    static const char *const commands[] = {"WATCH", "MGET"};

    if (unwatch) {
        dq_resp_begin(out, 1);
        dq_resp_arg(out, DQ_STR_LIT("UNWATCH"));
    }
    for (size_t i = 0; i < DQ_ARRAY_LEN(commands); i++) {
        dq_resp_begin(out, 3);
        dq_resp_arg_text(out, commands[i]);
        dq_keys_arg_u64(out, k, shard, "x:", session);
        dq_keys_arg(out, k, shard, "hv", (dureq_str){0});
    }
    return DQ_ARRAY_LEN(commands) + unwatch;
}

dq_watched dq_watched_decode(const dq_reply *r)
{
    return (dq_watched){.x = dq_reply_str(dq_reply_at(*r, 0)), .hv = dq_reply_str(dq_reply_at(*r, 1))};
}

/* ---- outcomes in the general form ---- */

dq_complete dq_complete_begin(dq_buf *out, const dq_keys *k, const dq_complete_head *head)
{
    dq_call_form form = {.script = DQ_SCRIPT_COMPLETE, .n_about = 12 + 4 * head->n_about};
    dq_complete complete = {.call = dq_call_begin_as(out, k, head->shard, &form)};
    dq_call *c = &complete.call;

    dq_call_key_no(c, "s:", head->session);
    dq_call_key(c, "loc");
    dq_call_key(c, "dead");
    dq_call_key(c, "dead:h");
    dq_call_arg_i64(c, (int64_t)head->session);
    dq_call_arg_i64(c, head->call_no);
    dq_call_arg_i64(c, head->shard);
    dq_call_arg_flag(c, head->is_repeat);
    complete.n_at = dq_call_number_later(c);
    return complete;
}

void dq_complete_stat(dq_complete *c, const char *field, int64_t n)
{
    assert(!c->kind);
    dq_call_arg_text(&c->call, field);
    dq_call_arg_i64(&c->call, n);
    c->n++;
}

void dq_complete_counted(dq_complete *c, const uint16_t stats[DQ_STATS_OF_RUN])
{
    for (size_t i = 0; i < DQ_STATS_OF_RUN; i++) {
        unsigned char packed[] = {(unsigned char)(stats[i] >> 8), (unsigned char)stats[i]};

        dq_buf_append(&c->counted, packed, sizeof packed);
    }
}

/* What is counted is over. */
static void open_kind(dq_complete *c, char kind)
{
    if (c->n_at)
        dq_call_number(&c->call, c->n_at, c->n);
    if (c->n_at && !c->kind) {
        dq_call_arg_buf(&c->call, &c->counted);
        dq_buf_deinit(&c->counted);
    }
    c->n = c->n_at = 0;
    c->kind = kind;
    if (kind)
        dq_call_arg(&c->call, dureq_str_of(&kind, 1));
}

void dq_complete_group(dq_complete *c, const dq_end_group *g, const dq_entry *entries, size_t n)
{
    char stream[DQ_STREAM_TEXT_MAX], text[DQ_ENTRY_TEXT_MAX];

    open_kind(c, g->kind);
    dq_call_arg(&c->call, dq_entry_stream(&(dq_entry){.lane = g->lane, .front = g->front}, stream));
    dq_call_arg_i64(&c->call, (int64_t)n);
    for (size_t i = 0; i < n; i++)
        dq_call_arg(&c->call, dq_entry_text(&entries[i], text));
    if (g->kind == DQ_END_KEPT) {
        dq_call_arg_i64(&c->call, g->class_ms);
        dq_call_arg_flag(&c->call, g->has_side_keys);
    }
}

void dq_complete_job(dq_complete *c, const dq_end_job *j)
{
    if (c->kind == DQ_END_DUE || c->kind == DQ_END_PAUSED)
        dq_call_arg_i64(&c->call, j->delay_ms);
    dq_call_arg_id(&c->call, &j->id);
    if (c->kind == DQ_END_FRONT) {
        dq_call_arg(&c->call, j->m);
        dq_call_arg(&c->call, j->j);
    } else if (c->kind != DQ_END_GONE && c->kind != DQ_END_ITEM) {
        dq_call_arg(&c->call, j->row);
    }
}

void dq_complete_side(dq_complete *c, dq_end_side kind, size_t index, const dq_id *id, dureq_str value)
{
    bool by_id = kind == DQ_SIDE_START || kind == DQ_SIDE_PROGRESS;

    if (c->kind != (char)kind) {
        open_kind(c, (char)kind);
        c->n_at = dq_call_number_later(&c->call);
    }
    if (!by_id)
        dq_call_arg_i64(&c->call, (int64_t)index);
    dq_call_arg_id(&c->call, id);
    if (!by_id && kind != DQ_SIDE_DROP && kind != DQ_SIDE_STEPS)
        dq_call_arg(&c->call, value);
    c->n++;
}

void dq_complete_end(dq_complete *c)
{
    open_kind(c, 0);
    dq_call_end(&c->call);
}

/* call_no I6, n I2, index I2 each. */
int dq_refusals_decode(dureq_str answer, dq_refusals *ret)
{
    const unsigned char *p = (const unsigned char *)answer.ptr;
    size_t n = answer.len >= 8 ? (size_t)p[6] << 8 | p[7] : 0;

    if (answer.len < 8 || answer.len != 8 + 2 * n)
        return DUREQ_EPROTO;
    *ret = (dq_refusals){.at = p + 8, .left = n};
    return 0;
}

bool dq_refusals_has(dq_refusals *r, size_t index)
{
    if (r->left == 0 || ((size_t)r->at[0] << 8 | r->at[1]) != index)
        return false;
    r->at += 2;
    r->left--;
    return true;
}
