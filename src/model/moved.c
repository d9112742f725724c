/* SPDX-License-Identifier: Apache-2.0 */
/* The moved part `m` and the attempts in it (docs/redis-keys.md). */

#include "model/job.h"

#define VERSION    1
#define TEXTS_KEPT 3 /* detail and output of so many */
#define FIRST_KEPT 2

static void append_be(dq_buf *out, uint64_t v, int n)
{
    for (int i = n - 1; i >= 0; i--)
        dq_buf_append_char(out, (char)(v >> (8 * i)));
}

static uint64_t zigzag(int32_t v)
{
    return v < 0 ? ((uint64_t)(-(int64_t)v) << 1) - 1 : (uint64_t)v << 1;
}

static int32_t unzigzag(uint64_t v)
{
    return (int32_t)(v & 1 ? -(int64_t)((v + 1) >> 1) : (int64_t)(v >> 1));
}

/* One attempt with its length in front. */
static dureq_str read_attempt(dq_reader *r)
{
    size_t len = (size_t)dq_read_be(r, 2);

    return dq_read_bytes(r, len);
}

static bool decode_attempt(dureq_str body, dq_attempt *ret)
{
    dq_reader r = dq_reader_of(body);
    uint64_t run, code;

    run = dq_read_varint(&r);
    ret->outcome = dq_read_u8(&r);
    ret->started_at_ms = (int64_t)dq_read_varint(&r);
    ret->ran_ms = (int64_t)dq_read_varint(&r);
    ret->session = dq_read_varint(&r);
    code = dq_read_varint(&r);
    ret->error = dq_read_lstr(&r);
    ret->detail = dq_read_lstr(&r);
    ret->output = r.p < r.end ? dq_read_lstr(&r) : (dureq_str){0};
    ret->run = (uint32_t)run;
    ret->code = unzigzag(code);
    return !r.bad && run <= UINT32_MAX && code <= UINT32_MAX && ret->started_at_ms >= 0 && ret->ran_ms >= 0;
}

bool dq_attempt_next(dureq_str *rest, dq_attempt *ret)
{
    dq_reader r = dq_reader_of(*rest);

    if (rest->len == 0)
        return false;
    dureq_str body = read_attempt(&r);
    if (r.bad || !decode_attempt(body, ret))
        return false;
    *rest = dq_read_rest(&r);
    return true;
}

int dq_moved_unpack(dureq_str m, dq_moved *ret)
{
    dq_reader r = dq_reader_of(m);
    dq_attempt a;
    unsigned n = 0;

    if (m.len > 0 && m.ptr[0] != VERSION)
        return DUREQ_ESCHEMA;
    if (m.len < DQ_M_HEAD)
        return DUREQ_EPROTO;
    (void)dq_read_u8(&r);
    if (!dq_id_unpack(dq_read_bytes(&r, DQ_ID_BYTES), &ret->id))
        return DUREQ_EPROTO;
    ret->attempts = (uint16_t)dq_read_be(&r, 2);
    ret->runs = (uint16_t)dq_read_be(&r, 2);
    ret->crashes = dq_read_u8(&r);
    ret->flags = dq_read_u8(&r);
    ret->errors_in_row = (uint16_t)dq_read_be(&r, 2);
    ret->ready_at_ms = (int64_t)dq_read_be(&r, 6);
    ret->due_at_ms = (int64_t)dq_read_be(&r, 6);
    ret->n_attempts = dq_read_u8(&r);
    ret->repeats = dq_read_u8(&r);
    ret->tail = dq_read_rest(&r);
    dureq_str rest = ret->tail;
    while (dq_attempt_next(&rest, &a))
        n++;
    return rest.len == 0 && n == ret->n_attempts ? 0 : DUREQ_EPROTO;
}

static void append_counts(dq_buf *out, const dq_moved *m)
{
    append_be(out, m->attempts, 2);
    append_be(out, m->runs, 2);
    append_be(out, m->crashes, 1);
    append_be(out, m->flags, 1);
    append_be(out, m->errors_in_row, 2);
    append_be(out, (uint64_t)m->ready_at_ms, 6);
    append_be(out, (uint64_t)m->due_at_ms, 6);
    append_be(out, m->n_attempts, 1);
    append_be(out, m->repeats, 1);
}

void dq_moved_pack(dq_buf *out, const dq_moved *m)
{
    unsigned char id[DQ_ID_BYTES];

    dq_id_pack(&m->id, id);
    dq_buf_append_char(out, VERSION);
    dq_buf_append(out, id, sizeof id);
    append_counts(out, m);
    dq_buf_append_str(out, m->tail);
}

void dq_moved_tail_fresh(dq_buf *out, int64_t due_at_ms)
{
    dq_moved m = {.ready_at_ms = due_at_ms, .due_at_ms = due_at_ms};

    append_counts(out, &m);
}

static void append_attempt(dq_buf *out, const dq_attempt *a, bool with_texts)
{
    DQ_BUF_AUTO body = {0};
    dureq_str error = {a->error.ptr, DQ_MIN(a->error.len, DQ_ERROR_TEXT_MAX)};
    dureq_str detail = {a->detail.ptr, with_texts ? DQ_MIN(a->detail.len, DQ_DETAIL_MAX) : 0};
    dureq_str output = {a->output.ptr, with_texts ? DQ_MIN(a->output.len, DQ_OUTPUT_MAX) : 0};

    dq_buf_append_varint(&body, a->run);
    dq_buf_append_char(&body, (char)a->outcome);
    dq_buf_append_varint(&body, (uint64_t)a->started_at_ms);
    dq_buf_append_varint(&body, (uint64_t)a->ran_ms);
    dq_buf_append_varint(&body, a->session);
    dq_buf_append_varint(&body, zigzag(a->code));
    dq_buf_append_lstr(&body, error);
    dq_buf_append_lstr(&body, detail);
    if (output.len > 0)
        dq_buf_append_lstr(&body, output);
    append_be(out, body.len, 2);
    dq_buf_append_buf(out, &body);
    if (dq_buf_failed(&body))
        out->failed = true;
}

void dq_attempts_add(dq_buf *out, dureq_str tail, const dq_attempt *added, uint8_t *ret_n)
{
    dq_attempt list[DQ_ATTEMPTS_KEPT + 1];
    size_t n = 0;

    while (n < DQ_ATTEMPTS_KEPT && dq_attempt_next(&tail, &list[n]))
        n++;
    list[n++] = *added;
    if (n > DQ_ATTEMPTS_KEPT) {
        memmove(&list[FIRST_KEPT], &list[FIRST_KEPT + 1], (n - FIRST_KEPT - 1) * sizeof list[0]);
        n--;
    }
    for (size_t i = 0; i < n; i++)
        append_attempt(out, &list[i], i + TEXTS_KEPT >= n);
    *ret_n = (uint8_t)n;
}
