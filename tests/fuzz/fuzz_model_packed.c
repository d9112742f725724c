/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"

#include "model/job.h"

/* What is stored in Redis in packed form, read by every unpacker: views stay within the input, and what is taken is packed again to the same. */

static void within(dureq_str whole, dureq_str part)
{
    assert(part.len == 0 || (part.ptr >= whole.ptr && part.ptr + part.len <= whole.ptr + whole.len));
}

static void read_envelope(dureq_str input)
{
    DQ_BUF_AUTO again = {0};
    dq_envelope e = {0};
    dureq_str name, value, rest;
    dq_retry retry;

    if (dq_envelope_unpack(input, &e) < 0)
        return;
    within(input, e.payload);
    within(input, e.headers);
    within(input, e.tags);
    for (rest = e.headers; dq_headers_next(&rest, &name, &value);) {
        within(input, name);
        within(input, value);
    }
    for (rest = e.tags; dq_tags_next(&rest, &value);)
        within(input, value);
    if (dq_retry_unpack(e.retry, &retry) == 0) {
        assert(dq_retry_delay_ms(&retry, 3, 0.5) >= 0);
        (void)dq_retry_is_final(&retry, input);
    }
    (void)dq_envelope_repack(&again, input, DQ_STR_LIT("new"), "text/plain");
}

static void read_moved(dureq_str input)
{
    DQ_BUF_AUTO again = {0};
    dq_moved m = {0};
    dq_attempt attempt;
    dureq_str rest;
    unsigned n = 0;

    if (dq_moved_unpack(input, &m) < 0)
        return;
    within(input, m.tail);
    for (rest = m.tail; dq_attempt_next(&rest, &attempt); n++)
        within(input, attempt.error);
    assert(n == m.n_attempts);
    dq_moved_pack(&again, &m);
    again.ptr[DQ_M_HEAD - 1] = input.ptr[DQ_M_HEAD - 1]; /* kept for later; not read */
    assert(dq_str_eq(dq_buf_str(&again), input));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    dureq_str input = dureq_str_of((const char *)data, size), m, j;
    dq_id id = {.ms = 1700000000000u, .seq = 1}, read_id;
    dq_retry retry;
    dq_row row;

    read_envelope(input);
    read_moved(input);
    (void)dq_retry_unpack(input, &retry);
    if (dq_record_split(input, &m, &j) == 0) {
        within(input, m);
        within(input, j);
        read_envelope(j);
    }
    if (dq_row_unpack(input, &id, &row) == 0) {
        within(input, row.result);
        within(input, row.m);
        within(input, row.j);
    }
    if (dq_id_unpack(input, &read_id)) {
        unsigned char packed[DQ_ID_BYTES];

        dq_id_pack(&read_id, packed);
        assert(dq_str_eq(dureq_str_of((char *)packed, sizeof packed), input));
    }
    (void)dq_id_parse(input, &read_id);
    return 0;
}
