/* SPDX-License-Identifier: Apache-2.0 */
#include "store/enqueue_calls.h"

#include <assert.h>
#include <stdio.h>

/* ---- jobs as arguments ---- */

static void put_when(dq_buf *out, const dureq_job_options *o)
{
    if (o->run_at_ms > 0)
        dq_resp_arg_i64(out, o->run_at_ms);
    else if (o->delay_ms > 0)
        dq_resp_arg_i64(out, -o->delay_ms);
    else
        dq_resp_arg(out, (dureq_str){0});
}

static void put_moved_tail(dq_buf *out)
{
    DQ_BUF_AUTO tail = {0};

    dq_moved_tail_fresh(&tail, 0); /* the script puts the times in: it knows the server's clock */
    dq_resp_arg_buf(out, &tail);
}

static void put_keyed(dq_buf *out, dq_enqueue_job *job, dureq_str payload, const dureq_job_options *o)
{
    put_when(out, o);
    dq_resp_arg(out, o->unique_key);
    dq_resp_arg_i64(out, o->unique_for_ms);
    dq_resp_arg(out, o->request_id);
    dq_resp_arg_i64(out, o->request_window_ms ? o->request_window_ms : DQ_REQUEST_WINDOW_MS);
    job->token_at = (uint32_t)(out->len - job->off);
    dq_resp_arg_i64(out, o->schedule_to_start_timeout_ms);
    job->payload_at = (uint32_t)(out->len - job->off);
    dq_resp_arg(out, payload.len > DQ_PAYLOAD_INLINE_MAX ? payload : (dureq_str){0});
    job->payload_end = (uint32_t)(out->len - job->off);
    put_moved_tail(out);
}

void dq_enqueue_pack(dq_buf *args, const dureq_job_spec *spec, const dureq_job_options *o, const dq_buf *j, dq_enqueue_job *ret)
{
    uint32_t flags = dq_envelope_flags(dq_buf_str(j));
    bool is_large = flags & DQ_J_BLOB, is_general = flags & DQ_J_ENQUEUE_GENERAL;
    bool is_scheduled = o->delay_ms > 0 || o->run_at_ms > 0;

    *ret = (dq_enqueue_job){.off = (uint32_t)args->len, .kind = DQ_ENQUEUE_READY};
    if (is_general || is_large) {
        ret->kind = DQ_ENQUEUE_KEYED;
        put_keyed(args, ret, spec->payload, o);
    } else if (is_scheduled) {
        ret->kind = DQ_ENQUEUE_DUE;
        put_when(args, o);
        put_moved_tail(args);
    }
    ret->large = is_large && !is_general && !is_scheduled;
    ret->j_at = (uint32_t)(args->len - ret->off);
    dq_resp_arg_buf(args, j);
    ret->len = (uint32_t)(args->len - ret->off);
}

static dureq_str part_of(const dq_buf *args, const dq_enqueue_job *job, size_t from, size_t to)
{
    return dureq_str_of(args->ptr + job->off + from, to - from);
}

/* ---- sealed ---- */

void dq_seal_begin(dq_seal *s, dq_buf *out, const dq_keys *k, const dq_enqueue_head *head)
{
    s->out = out;
    s->keys = k;
    s->head = *head;
    s->n_jobs = s->n_lanes = s->n_large = s->n_replies = 0;
    dq_resp_begin(out, 1);
    dq_resp_arg(out, DQ_STR_LIT("MULTI"));
}

/* Name of a payload until the seal knows the id of its job: nobody else's, and within one MULTI. */
static dureq_str payload_name(const dq_seal *s, size_t job, char out[96])
{
    int len = snprintf(out, 96, DQ_STR_FMT ".%llu.%zu", DQ_STR_ARG(s->head.producer), (unsigned long long)s->head.number, job);

    return dureq_str_of(out, (size_t)DQ_MIN(len, 95));
}

/* Index of the lane; one job more in it. */
static size_t count_in_lane(dq_seal *s, uint32_t lane)
{
    size_t at = 0;

    while (at < s->n_lanes && s->lane[at] != lane)
        at++;
    if (at == s->n_lanes) {
        s->lane[at] = lane;
        s->n_of[at] = 0;
        s->n_lanes++;
    }
    s->n_of[at]++;
    return at;
}

void dq_seal_add(dq_seal *s, uint32_t lane, const dq_buf *args, const dq_enqueue_job *job)
{
    static const char before_entry[] = "$10\r\nNOMKSTREAM\r\n$1\r\n*\r\n$1\r\nj\r\n";
    size_t at;

    assert(s->n_jobs < DQ_ENQUEUE_JOBS_MAX);
    at = count_in_lane(s, lane);
    if (job->large) {
        char name[96];

        dq_resp_begin(s->out, 3);
        dq_resp_arg(s->out, DQ_STR_LIT("SET"));
        dq_keys_arg(s->out, s->keys, s->head.shard, "b:", payload_name(s, s->n_jobs, name));
        dq_buf_append_str(s->out, part_of(args, job, job->payload_at, job->payload_end));
        s->large[s->n_large].job = s->n_jobs;
        s->large[s->n_large].lane = lane;
        s->large[s->n_large++].place = s->n_of[at] - 1;
        s->n_replies++;
    }
    dq_resp_begin(s->out, 6);
    dq_resp_arg(s->out, DQ_STR_LIT("XADD"));
    dq_keys_arg_u64(s->out, s->keys, s->head.shard, "l:", lane);
    dq_buf_append(s->out, before_entry, sizeof(before_entry) - 1);
    dq_buf_append_str(s->out, part_of(args, job, job->j_at, job->len));
    s->n_jobs++;
    s->n_replies++;
}

void dq_seal_end(dq_seal *s, const char *token, bool by_name)
{
    dq_call c = dq_call_begin_as(s->out, s->keys, s->head.shard,
                                 &(dq_call_form){.script = DQ_SCRIPT_ENQUEUE_SEAL,
                                                 .as_text = !by_name,
                                                 .n_more_keys = s->n_large,
                                                 .n_about = 4 + 2 * s->n_lanes + 2 * s->n_large});

    dq_call_key_of(&c, "p:", s->head.producer);
    for (size_t i = 0; i < s->n_large; i++) {
        char name[96];

        dq_call_key_of(&c, "b:", payload_name(s, s->large[i].job, name));
    }
    dq_call_arg_i64(&c, (int64_t)s->head.number);
    dq_call_arg_text(&c, token);
    dq_call_arg_i64(&c, s->head.shard);
    dq_call_arg_i64(&c, (int64_t)s->n_lanes);
    for (size_t i = 0; i < s->n_lanes; i++) {
        dq_call_arg_i64(&c, s->lane[i]);
        dq_call_arg_i64(&c, (int64_t)s->n_of[i]);
    }
    for (size_t i = 0; i < s->n_large; i++) {
        dq_call_arg_i64(&c, s->large[i].lane);
        dq_call_arg_i64(&c, (int64_t)s->large[i].place);
    }
    dq_call_end(&c);
    s->n_replies++;
}

/* ---- named ---- */

dq_enqueue dq_enqueue_begin(dq_buf *out, const dq_keys *k, const dq_enqueue_head *head, const dureq_str *lanes, size_t n_lanes)
{
    dq_enqueue e = {.call = dq_call_begin(out, k, head->shard, DQ_SCRIPT_ENQUEUE)};
    dq_call *c = &e.call;

    dq_call_key_of(c, "p:", head->producer);
    dq_call_key(c, "lanes");
    dq_call_key(c, "due");
    dq_call_key(c, "due:h");
    dq_call_arg_i64(c, (int64_t)head->number);
    dq_call_arg_i64(c, head->shard);
    dq_call_arg_i64(c, (int64_t)n_lanes);
    dq_call_args(c, lanes, n_lanes);
    return e;
}

static void close_segment(dq_enqueue *e)
{
    if (e->kind)
        dq_call_number(&e->call, e->n_at, e->n);
}

static void open_segment(dq_enqueue *e, uint8_t kind, size_t lane)
{
    char text = (char)kind;

    close_segment(e);
    dq_call_arg(&e->call, dureq_str_of(&text, 1));
    dq_call_arg_i64(&e->call, (int64_t)lane + 1);
    e->n_at = dq_call_number_later(&e->call);
    e->kind = kind;
    e->lane = lane;
    e->n = 0;
}

void dq_enqueue_add(dq_enqueue *e, size_t lane, const dq_buf *args, const dq_enqueue_job *job, dureq_str token)
{
    if (e->kind != job->kind || e->lane != lane)
        open_segment(e, job->kind, lane);
    e->n++;
    switch ((dq_enqueue_kind)job->kind) {
    case DQ_ENQUEUE_READY: dq_call_raw(&e->call, part_of(args, job, 0, job->len), 1); break;
    case DQ_ENQUEUE_DUE: dq_call_raw(&e->call, part_of(args, job, 0, job->len), 3); break;
    case DQ_ENQUEUE_KEYED:
        dq_call_raw(&e->call, part_of(args, job, 0, job->token_at), 5);
        dq_call_arg(&e->call, token);
        dq_call_raw(&e->call, part_of(args, job, job->token_at, job->len), 4);
        break;
    }
}

void dq_enqueue_end(dq_enqueue *e)
{
    close_segment(e);
    dq_call_end(&e->call);
}

/* ---- answers ---- */

dq_enqueue_answer dq_enqueue_answer_of(dureq_str bytes, unsigned shard)
{
    dq_enqueue_answer a = {.r = dq_reader_of(bytes), .shard = shard};

    a.by_lane = dq_read_u8(&a.r) == 'S';
    (void)dq_read_be(&a.r, 6); /* the call's number */
    return a;
}

/* What no script answers is damage: an id made of it would be another job's. */
static bool run_is_sound(const dq_enqueue_answer *a)
{
    return !a->r.bad && a->left > 0 && a->lane > 0 && a->lane <= DQ_LANE_MAX && a->ms >> 44 == 0 &&
           (uint64_t)a->seq + a->left <= (uint64_t)DQ_ID_SEQ_MAX + 1;
}

static void read_run(dq_enqueue_answer *a)
{
    if (a->by_lane) {
        a->lane = (uint32_t)dq_read_be(&a->r, 3);
        a->ms = dq_read_be(&a->r, 6);
        a->seq = (uint32_t)dq_read_be(&a->r, 4);
        a->left = (uint32_t)dq_read_be(&a->r, 2);
    } else {
        a->left = (uint32_t)dq_read_be(&a->r, 2);
        a->lane = (uint32_t)dq_read_be(&a->r, 3);
        a->ms = dq_read_be(&a->r, 6);
        a->seq = (uint32_t)dq_read_be(&a->r, 4);
    }
}

int dq_enqueue_answer_next(dq_enqueue_answer *a, dq_id *ret)
{
    if (a->left == 0) {
        int kind = a->by_lane ? DQ_ENQUEUE_ACCEPTED : dq_read_u8(&a->r);
        bool has_id = kind == DQ_ENQUEUE_KEY_HELD || kind == DQ_ENQUEUE_KNOWN;

        if (a->r.bad || kind > DQ_ENQUEUE_NO_LANE)
            return DUREQ_EPROTO;
        if (has_id && !dq_id_unpack(dq_read_bytes(&a->r, DQ_ID_BYTES), ret))
            return DUREQ_EPROTO;
        if (kind != DQ_ENQUEUE_ACCEPTED)
            return kind;
        read_run(a);
        if (!run_is_sound(a))
            return DUREQ_EPROTO;
    }
    *ret = (dq_id){.ms = a->ms, .seq = a->seq++, .lane = a->lane, .shard = (uint16_t)a->shard};
    a->left--;
    return DQ_ENQUEUE_ACCEPTED;
}

dq_seal_result dq_seal_result_of(dureq_str bytes)
{
    if (bytes.len == 0)
        return DQ_SEAL_REFUSED;
    return bytes.ptr[0] == 'N' ? DQ_SEAL_NEW : DQ_SEAL_KNOWN;
}
