/* SPDX-License-Identifier: Apache-2.0 */
#include "store/schedule_calls.h"

/* The first n items of a list. */
static int items_of(dq_reply r, dq_reply *out, size_t n)
{
    if (dq_reply_type(r) != DQ_RESP_ARRAY || dq_reply_len(r) < n)
        return DUREQ_EPROTO;
    for (size_t i = 0; i < n; i++)
        out[i] = i ? dq_reply_next(out[i - 1]) : dq_reply_first(r);
    return 0;
}

/* ---- make, change, read ---- */

void dq_call_schedule_put(dq_buf *out, const dq_keys *k, unsigned shard, const dq_schedule_put *p)
{
    dq_call c = dq_call_begin(out, k, shard, DQ_SCRIPT_SCHEDULE_PUT);

    dq_call_arg(&c, p->actor);
    dq_call_arg_i64(&c, shard);
    dq_call_arg_i64(&c, DQ_SCHEDULE_SCRIPTS);
    dq_call_arg(&c, p->id);
    dq_call_arg(&c, p->key);
    dq_call_arg(&c, p->seen);
    dq_call_arg(&c, p->definition);
    dq_call_arg(&c, p->payload);
    dq_call_end(&c);
}

int dq_schedule_put_decode(const dq_reply *r, dq_schedule_answer *ret)
{
    dq_reply f[3];
    int rc = items_of(*r, f, DQ_ARRAY_LEN(f));

    if (rc == 0)
        *ret = (dq_schedule_answer){.what = (int)dq_reply_int(f[0]), .id = dq_reply_str(f[1]), .now_ms = dq_reply_int(f[2])};
    return rc;
}

void dq_call_schedule_get(dq_buf *out, const dq_keys *k, unsigned shard, dureq_str id, dureq_str key, bool with_records)
{
    dq_call c = dq_call_begin(out, k, shard, DQ_SCRIPT_SCHEDULE_GET);

    dq_call_arg(&c, id);
    dq_call_arg(&c, key);
    dq_call_arg_flag(&c, with_records);
    dq_call_end(&c);
}

static int64_t score_ms(dureq_str text)
{
    double at;

    return dq_parse_f64(text, &at) == 0 && at < 9e15 ? (int64_t)at : INT64_MAX;
}

int dq_schedule_view_decode(dq_reply r, dq_schedule_view *ret)
{
    dq_reply f[10];
    size_t n = dq_reply_type(r) == DQ_RESP_ARRAY ? dq_reply_len(r) : 0;
    int rc;

    *ret = (dq_schedule_view){0};
    if (n == 1) {
        ret->now_ms = dq_reply_int(dq_reply_first(r));
        return DUREQ_ENOTFOUND;
    }
    rc = items_of(r, f, n > 8 ? 10 : 8);
    if (rc < 0)
        return rc;
    ret->now_ms = dq_reply_int(f[0]);
    ret->id = dq_reply_str(f[1]);
    ret->definition = dq_reply_str(f[3]);
    ret->edit = dq_reply_str(f[4]);
    ret->score = dq_reply_str(f[5]);
    ret->look_ms = score_ms(ret->score);
    ret->n_active = dq_reply_int(f[6]);
    ret->n_buffered = dq_reply_int(f[7]);
    if (n > 8) {
        ret->payload = dq_reply_str(f[8]);
        ret->n_records = dq_reply_type(f[9]) == DQ_RESP_ARRAY ? dq_reply_len(f[9]) : 0;
        if (ret->n_records > 0)
            ret->records = dq_reply_first(f[9]);
    }
    if (ret->id.len != DQ_ID_BYTES)
        return DUREQ_EPROTO;
    return dq_schedule_state_unpack(dq_reply_str(f[2]), &ret->state);
}

void dq_call_schedules_page(dq_buf *out, const dq_keys *k, unsigned shard, dureq_str score, dureq_str id, int limit,
                            size_t bytes_max)
{
    dq_call c = dq_call_begin(out, k, shard, DQ_SCRIPT_SCHEDULES_PAGE);

    dq_call_key(&c, "sch");
    dq_call_arg(&c, score);
    dq_call_arg(&c, id);
    dq_call_arg_i64(&c, limit);
    dq_call_arg_i64(&c, (int64_t)bytes_max);
    dq_call_end(&c);
}

int dq_schedules_page_decode(const dq_reply *r, dq_schedules_page *ret)
{
    dq_reply f[3];
    int rc = items_of(*r, f, DQ_ARRAY_LEN(f));

    if (rc < 0)
        return rc;
    *ret = (dq_schedules_page){
        .now_ms = dq_reply_int(f[0]), .total = dq_reply_int(f[1]), .more = dq_reply_int(f[2]) == 1, .n = dq_reply_len(*r) - 3};
    if (ret->n > 0)
        ret->rows = dq_reply_next(f[2]);
    return 0;
}

/* ---- operate ---- */

void dq_call_schedule_pause(dq_buf *out, const dq_keys *k, unsigned shard, dureq_str actor, bool pause, dureq_str id)
{
    dq_call c = dq_call_begin(out, k, shard, DQ_SCRIPT_SCHEDULE_PAUSE);

    dq_call_arg(&c, actor);
    dq_call_arg_flag(&c, pause);
    dq_call_arg(&c, id);
    dq_call_end(&c);
}

void dq_call_schedule_delete(dq_buf *out, const dq_keys *k, unsigned shard, dureq_str actor, dureq_str id)
{
    dq_call c = dq_call_begin(out, k, shard, DQ_SCRIPT_SCHEDULE_DELETE);

    dq_call_arg(&c, actor);
    dq_call_arg(&c, id);
    dq_call_end(&c);
}

void dq_call_schedule_trigger(dq_buf *out, const dq_keys *k, unsigned shard, dureq_str actor, int policy, dureq_str id,
                              const int64_t *at, size_t n)
{
    dq_call c = dq_call_begin(out, k, shard, DQ_SCRIPT_SCHEDULE_TRIGGER);

    dq_call_arg(&c, actor);
    dq_call_arg_i64(&c, policy);
    dq_call_arg(&c, id);
    for (size_t i = 0; i < n; i++)
        dq_call_arg_i64(&c, at[i]);
    dq_call_end(&c);
}

int dq_schedule_trigger_decode(const dq_reply *r, dq_triggered *ret)
{
    dq_reply f[5];

    *ret = (dq_triggered){0};
    if (dq_reply_type(*r) == DQ_RESP_ARRAY && dq_reply_len(*r) == 1) {
        ret->what = (int)dq_reply_int(dq_reply_first(*r));
        return 0;
    }
    int rc = items_of(*r, f, DQ_ARRAY_LEN(f));
    if (rc == 0)
        *ret = (dq_triggered){.what = (int)dq_reply_int(f[0]),
                              .n = dq_reply_int(f[1]),
                              .job = dq_reply_str(f[2]),
                              .n_done = dq_reply_int(f[3]),
                              .reason = (unsigned)dq_reply_int(f[4])};
    return rc;
}

/* ---- the leader's ---- */

void dq_call_schedule_due(dq_buf *out, const dq_keys *k, unsigned shard, dq_term t)
{
    dq_call c = dq_call_begin(out, k, shard, DQ_SCRIPT_SCHEDULE_DUE);

    dq_call_key(&c, "sch");
    dq_call_arg_i64(&c, (int64_t)t.session);
    dq_call_arg_i64(&c, t.epoch);
    dq_call_arg_i64(&c, DQ_FIRE_SCHEDULES);
    dq_call_arg_i64(&c, DQ_FIRE_BYTES);
    dq_call_end(&c);
}

int dq_schedule_due_decode(const dq_reply *r, dq_due_schedules *ret)
{
    dq_reply f[2];
    int rc = items_of(*r, f, DQ_ARRAY_LEN(f));

    if (rc < 0)
        return rc;
    *ret = (dq_due_schedules){.now_ms = dq_reply_int(f[0]), .next_ms = dq_reply_int(f[1]), .left = dq_reply_len(*r) - 2};
    if (ret->left > 0)
        ret->at = dq_reply_next(f[1]);
    return 0;
}

int dq_due_schedules_next(dq_due_schedules *d, dq_due_schedule *ret)
{
    dq_reply f[5], row = d->at;
    dureq_str edit;
    int rc;

    if (d->left == 0)
        return 0;
    d->left--;
    if (d->left > 0)
        d->at = dq_reply_next(d->at);
    rc = items_of(row, f, DQ_ARRAY_LEN(f));
    if (rc < 0)
        return rc;
    *ret = (dq_due_schedule){.id = dq_reply_str(f[0]), .calendar = dq_reply_str(f[2]), .max = dq_reply_int(f[4])};
    edit = dq_reply_str(f[3]);
    ret->is_edited = edit.len > 0;
    if (ret->is_edited)
        rc = dq_schedule_edit_unpack(edit, &ret->edit);
    if (rc == 0)
        rc = dq_schedule_state_unpack(dq_reply_str(f[1]), &ret->state);
    return rc < 0 ? rc : 1;
}

dq_call dq_call_schedule_fire(dq_buf *out, const dq_keys *k, unsigned shard, dq_term t)
{
    dq_call c = dq_call_begin_as(out, k, shard, &(dq_call_form){.script = DQ_SCRIPT_SCHEDULE_FIRE, .n_about = 1000});

    dq_call_key(&c, "sch");
    dq_call_arg_i64(&c, (int64_t)t.session);
    dq_call_arg_i64(&c, t.epoch);
    return c;
}

void dq_fire_add(dq_call *c, const dq_due_schedule *s, const dq_firing *f)
{
    dq_call_arg(c, s->id);
    dq_call_arg_i64(c, s->state.version);
    dq_call_arg_i64(c, s->state.cursor);
    dq_call_arg_i64(c, f->next);
    dq_call_arg_i64(c, f->due_ms);
    dq_call_arg_i64(c, (int64_t)f->n);
    for (size_t i = 0; i < f->n; i++)
        dq_call_arg_i64(c, f->at[i]);
    dq_call_arg_i64(c, f->missed.n);
    dq_call_arg_i64(c, f->missed.first);
    dq_call_arg_i64(c, f->missed.last);
    dq_call_arg_i64(c, f->edit);
    if (!f->edit)
        return;
    dq_call_arg_i64(c, f->to.cursor);
    dq_call_arg_i64(c, f->to.next);
    dq_call_arg_i64(c, f->to.due_ms);
}

int dq_schedule_fire_decode(const dq_reply *r, dq_fired *ret)
{
    dq_reply f[4];
    int rc = items_of(*r, f, DQ_ARRAY_LEN(f));

    if (rc == 0)
        *ret = (dq_fired){
            .now_ms = dq_reply_int(f[0]), .next_ms = dq_reply_int(f[1]), .n = dq_reply_int(f[2]), .n_stale = dq_reply_int(f[3])};
    return rc;
}

void dq_call_schedule_look(dq_buf *out, const dq_keys *k, unsigned shard, dq_term t, const dq_look *look, const dq_look_at *at)
{
    dq_call c = dq_call_begin(out, k, shard, DQ_SCRIPT_SCHEDULE_LOOK);

    dq_call_key(&c, "sch");
    dq_call_arg_i64(&c, (int64_t)t.session);
    dq_call_arg_i64(&c, t.epoch);
    dq_call_arg(&c, look->version);
    dq_call_arg_flag(&c, look->is_changed);
    dq_call_arg(&c, dureq_str_of(at->score, at->n_score));
    dq_call_arg(&c, dureq_str_of(at->id, at->n_id));
    dq_call_arg_i64(&c, look->upto_ms);
    dq_call_arg_i64(&c, look->limit);
    dq_call_arg_i64(&c, (int64_t)look->bytes_max);
    dq_call_end(&c);
}

int dq_schedule_look_decode(const dq_reply *r, dq_looked *ret, dq_look_at *ret_at)
{
    dq_reply f[5];
    dureq_str score, id;
    int rc = items_of(*r, f, DQ_ARRAY_LEN(f));

    if (rc < 0)
        return rc;
    score = dq_reply_str(f[2]);
    id = dq_reply_str(f[3]);
    if (score.len > sizeof ret_at->score || id.len > sizeof ret_at->id)
        return DUREQ_EPROTO;
    *ret = (dq_looked){.now_ms = dq_reply_int(f[0]), .more = dq_reply_int(f[1]) == 1, .n = dq_reply_int(f[4])};
    *ret_at = (dq_look_at){.n_score = score.len, .n_id = id.len};
    memcpy(ret_at->score, score.ptr, score.len);
    memcpy(ret_at->id, id.ptr, id.len);
    return 0;
}
