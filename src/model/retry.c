/* SPDX-License-Identifier: Apache-2.0 */
/* Retry policies: packed form, defaults, delays. */

#include <math.h>

#include "model/job.h"

const dq_retry dq_retry_default = {
    .max_attempts = 3,
    .initial_ms = 5000,
    .max_ms = 300000,
    .factor = 2.0,
    .jitter = 0.1,
};

static void append_f64(dq_buf *out, double v)
{
    uint64_t bits;

    memcpy(&bits, &v, sizeof bits);
    dq_buf_append_u64be(out, bits);
}

static double read_f64(dq_reader *r)
{
    uint64_t bits = dq_read_be(r, 8);
    double v;

    memcpy(&v, &bits, sizeof v);
    return v;
}

/* Delays: 0 is the default, 1 none (no cap), else the delay + 1. */
static uint64_t delay_code(int64_t given)
{
    if (given == INT64_MAX)
        given--; /* one more would not be readable */
    return given == 0 ? 0 : given < 0 ? 1 : (uint64_t)given + 1;
}

void dq_retry_pack(dq_buf *out, const dureq_retry_policy *given)
{
    dureq_retry_policy p = {0};

    memcpy(&p, given, DQ_MIN(given->struct_size, sizeof p));
    dq_buf_append_varint(out, (uint64_t)p.max_attempts);
    dq_buf_append_varint(out, delay_code(p.initial_delay_ms));
    dq_buf_append_varint(out, delay_code(p.max_delay_ms));
    append_f64(out, p.multiplier);
    append_f64(out, p.jitter);
    dq_buf_append_varint(out, (uint64_t)p.pause_after_err_count);
    dq_buf_append_varint(out, (uint64_t)p.pause_retry_delay_ms);
    dq_buf_append_varint(out, p.n_non_retryable_errors);
    for (size_t i = 0; i < p.n_non_retryable_errors; i++)
        dq_buf_append_lstr(out, dureq_str_from(p.non_retryable_errors[i]));
}

int dq_retry_unpack(dureq_str packed, dq_retry *ret)
{
    dq_reader r = dq_reader_of(packed);
    dq_retry v = dq_retry_default;
    uint64_t attempts = dq_read_varint(&r), initial = dq_read_varint(&r), max = dq_read_varint(&r);
    double factor = read_f64(&r), jitter = read_f64(&r);
    uint64_t pause_after = dq_read_varint(&r), pause_delay = dq_read_varint(&r);
    uint64_t n = dq_read_varint(&r);
    const unsigned char *start = r.p;

    for (uint64_t i = 0; i < n && !r.bad; i++)
        (void)dq_read_lstr(&r);
    if (r.bad || r.p != r.end || attempts > INT32_MAX || pause_after > INT32_MAX || initial > INT64_MAX || max > INT64_MAX ||
        pause_delay > INT64_MAX || !isfinite(factor) || !isfinite(jitter))
        return DUREQ_EPROTO;
    if (attempts)
        v.max_attempts = (int32_t)attempts;
    if (initial)
        v.initial_ms = (int64_t)initial - 1;
    if (max)
        v.max_ms = max == 1 ? -1 : (int64_t)max - 1;
    if (factor != 0)
        v.factor = factor;
    if (jitter != 0)
        v.jitter = jitter < 0 ? 0 : jitter;
    v.pause_after = (int32_t)pause_after;
    v.pause_delay_ms = (int64_t)pause_delay;
    v.final_errors = dureq_str_of(start, (size_t)(r.p - start));
    *ret = v;
    return 0;
}

int64_t dq_retry_delay_ms(const dq_retry *r, int failures, double unit)
{
    double ms = (double)r->initial_ms * pow(r->factor, failures > 1 ? failures - 1 : 0);

    if (r->initial_ms == 0)
        return 0; /* nothing times a power that overflowed is no number */
    if (r->max_ms >= 0 && ms > (double)r->max_ms)
        ms = (double)r->max_ms;
    ms *= 1 + r->jitter * (2 * unit - 1);
    if (!(ms < 9.0e15))
        return 9000000000000000LL;
    return ms > 0 ? (int64_t)ms : 0;
}

bool dq_retry_is_final(const dq_retry *r, dureq_str error_text)
{
    dq_reader at = dq_reader_of(r->final_errors);

    while (at.p < at.end) {
        dureq_str part = dq_read_lstr(&at);

        if (at.bad)
            return false;
        if (part.len > 0 && part.len <= error_text.len && memmem(error_text.ptr, error_text.len, part.ptr, part.len))
            return true;
    }
    return false;
}
