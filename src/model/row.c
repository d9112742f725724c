/* SPDX-License-Identifier: Apache-2.0 */
/* Records (jobs that wait in a set) and rows (jobs that ended), as docs/redis-keys.md draws them. */

#include "model/job.h"

#define VERSION      1
#define ROW_SKIPPED  1
#define ROW_HAS_LOGS 2

enum result_type {
    RESULT_NONE,
    RESULT_JSON,
    RESULT_TEXT,
    RESULT_BYTES,
    RESULT_OTHER,
};

int dq_record_split(dureq_str record, dureq_str *ret_m, dureq_str *ret_j)
{
    dq_reader r = dq_reader_of(record);
    uint32_t len = (uint32_t)dq_read_be(&r, 4);

    *ret_m = dq_read_bytes(&r, len);
    *ret_j = dq_read_rest(&r);
    return r.bad ? DUREQ_EPROTO : 0;
}

void dq_record_pack(dq_buf *out, dureq_str m, dureq_str j)
{
    dq_buf_append_u32be(out, (uint32_t)m.len);
    dq_buf_append_str(out, m);
    dq_buf_append_str(out, j);
}

static enum result_type type_code(dureq_str type)
{
    if (type.len == 0)
        return RESULT_NONE;
    if (dq_str_eq_text(type, "application/json"))
        return RESULT_JSON;
    if (dq_str_eq_text(type, "text/plain"))
        return RESULT_TEXT;
    return dq_str_eq_text(type, "application/octet-stream") ? RESULT_BYTES : RESULT_OTHER;
}

static size_t put_varint(unsigned char *p, uint64_t v)
{
    size_t n = 0;

    while (v >= 128) {
        p[n++] = (unsigned char)(v | 128);
        v >>= 7;
    }
    p[n++] = (unsigned char)v;
    return n;
}

static uint64_t after(int64_t at_ms, const dq_id *id)
{
    int64_t since = at_ms - (int64_t)id->ms;

    return since > 0 ? (uint64_t)since : 0;
}

/* The numbers of a head: at most 3 bytes and four varints of at most 10. */
static size_t put_numbers(unsigned char *p, const dq_row *row, const dq_id *id)
{
    size_t n = 0;

    p[n++] = VERSION;
    p[n++] = (unsigned char)row->state;
    p[n++] = (unsigned char)((row->skipped ? ROW_SKIPPED : 0) | (row->has_logs ? ROW_HAS_LOGS : 0));
    /* 0 means never, so a start within the first millisecond counts as one later */
    n += put_varint(p + n, row->started_at_ms ? DQ_MAX(after(row->started_at_ms, id), 1) : 0);
    n += put_varint(p + n, (uint64_t)DQ_MAX(row->ran_ms, 0));
    n += put_varint(p + n, after(row->finished_at_ms, id));
    n += put_varint(p + n, row->session);
    return n;
}

static size_t varint_len(uint64_t v)
{
    size_t n = 1;

    for (v >>= 7; v > 0; v >>= 7)
        n++;
    return n;
}

void dq_row_pack_head(dq_buf *out, const dq_row *row, const dq_id *id)
{
    unsigned char numbers[48];
    size_t n = put_numbers(numbers, row, id);
    enum result_type type = type_code(row->result_type);
    size_t len = n + 1 + varint_len(row->result.len) + row->result.len + varint_len(row->reason.len) + row->reason.len;

    if (type == RESULT_OTHER)
        len += varint_len(row->result_type.len) + row->result_type.len;
    dq_buf_append_varint(out, len);
    dq_buf_append(out, numbers, n);
    dq_buf_append_char(out, (char)type);
    if (type == RESULT_OTHER)
        dq_buf_append_lstr(out, row->result_type);
    dq_buf_append_lstr(out, row->result);
    dq_buf_append_lstr(out, row->reason);
    dq_buf_append_lstr(out, row->m);
}

static dureq_str read_result_type(dq_reader *r)
{
    static const char *const names[] = {[RESULT_NONE] = NULL,
                                        [RESULT_JSON] = "application/json",
                                        [RESULT_TEXT] = "text/plain",
                                        [RESULT_BYTES] = "application/octet-stream"};
    uint8_t code = dq_read_u8(r);

    if (code == RESULT_OTHER)
        return dq_read_lstr(r);
    if (code > RESULT_OTHER)
        r->bad = true;
    return code < DQ_ARRAY_LEN(names) ? dureq_str_from(names[code]) : (dureq_str){0};
}

/* A time as ms after the id's; absurd ones (a damaged row) are bad, so that sums cannot overflow. */
static int64_t read_after(dq_reader *r, const dq_id *id)
{
    uint64_t v = dq_read_varint(r);

    if (v >> 44)
        r->bad = true;
    return (int64_t)(id->ms + (v & ((1ULL << 44) - 1)));
}

static int read_head(dureq_str head, const dq_id *id, dq_row *ret)
{
    dq_reader r = dq_reader_of(head);
    uint8_t state, flags;

    (void)dq_read_u8(&r);
    state = dq_read_u8(&r);
    flags = dq_read_u8(&r);
    ret->state = (dureq_job_state)state;
    ret->skipped = flags & ROW_SKIPPED;
    ret->has_logs = flags & ROW_HAS_LOGS;
    ret->started_at_ms = read_after(&r, id);
    if (ret->started_at_ms == (int64_t)id->ms)
        ret->started_at_ms = 0;
    ret->ran_ms = (int64_t)(dq_read_varint(&r) & INT64_MAX);
    ret->finished_at_ms = read_after(&r, id);
    ret->session = dq_read_varint(&r);
    ret->result_type = read_result_type(&r);
    ret->result = dq_read_lstr(&r);
    ret->reason = dq_read_lstr(&r);
    if (state < DUREQ_JOB_COMPLETED || state > DUREQ_JOB_CANCELLED)
        r.bad = true;
    return r.bad ? DUREQ_EPROTO : 0;
}

int dq_row_unpack(dureq_str bytes, const dq_id *id, dq_row *ret)
{
    dq_reader r = dq_reader_of(bytes);
    dureq_str head = dq_read_lstr(&r);

    memset(ret, 0, sizeof *ret);
    if (!r.bad && head.len > 0 && head.ptr[0] != VERSION)
        return DUREQ_ESCHEMA;
    ret->m = dq_read_lstr(&r);
    ret->j = dq_read_rest(&r);
    if (r.bad || head.len == 0)
        return DUREQ_EPROTO;
    return read_head(head, id, ret);
}
