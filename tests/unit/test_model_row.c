/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "model/job.h"

#define EXPECT_STR(want, got)                                                     \
    do {                                                                          \
        dureq_str got_ = (got);                                                   \
        if (!dq_str_eq_text(got_, want))                                          \
            fail_msg("got '" DQ_STR_FMT "', not '%s'", DQ_STR_ARG(got_), (want)); \
    } while (0)

static const dq_id some_id = {.ms = 1700000000000, .seq = 5, .lane = 3, .shard = 2};

static dq_row full_row(void)
{
    return (dq_row){.state = DUREQ_JOB_COMPLETED,
                    .skipped = true,
                    .has_logs = true,
                    .started_at_ms = 1700000000500,
                    .ran_ms = 77,
                    .finished_at_ms = 1700000000600,
                    .session = 1ULL << 40,
                    .result = DQ_STR_LIT("\0png"),
                    .result_type = DQ_STR_LIT("image/png"),
                    .reason = DQ_STR_LIT("nothing to do"),
                    .m = DQ_STR_LIT("moved"),
                    .j = DQ_STR_LIT("envelope")};
}

static void pack(dq_buf *out, const dq_row *row)
{
    dq_row_pack_head(out, row, &some_id);
    dq_buf_append_str(out, row->j);
    assert_false(out->failed);
}

static void all_that_is_packed_is_read_back(void **state)
{
    dq_row row = full_row(), back;
    DQ_BUF_AUTO out = {0};

    (void)state;
    pack(&out, &row);
    assert_int_equal(dq_row_unpack(dq_buf_str(&out), &some_id, &back), 0);
    assert_int_equal(back.state, DUREQ_JOB_COMPLETED);
    assert_true(back.skipped);
    assert_true(back.has_logs);
    assert_int_equal(back.started_at_ms, 1700000000500);
    assert_int_equal(back.ran_ms, 77);
    assert_int_equal(back.finished_at_ms, 1700000000600);
    assert_int_equal(back.session, 1ULL << 40);
    assert_true(dq_str_eq(back.result, row.result));
    EXPECT_STR("image/png", back.result_type);
    EXPECT_STR("nothing to do", back.reason);
    EXPECT_STR("moved", back.m);
    EXPECT_STR("envelope", back.j);
}

static void the_least_row(void **state)
{
    dq_row row = {.state = DUREQ_JOB_CANCELLED}, back;
    DQ_BUF_AUTO out = {0};

    (void)state;
    row.finished_at_ms = (int64_t)some_id.ms;
    pack(&out, &row);
    assert_int_equal(out.len, 12); /* length, ten of the head, length of m */
    assert_memory_equal(out.ptr, "\x0a\x01\x07\0\0\0\0\0\0\0\0\0", 12);
    assert_int_equal(dq_row_unpack(dq_buf_str(&out), &some_id, &back), 0);
    assert_int_equal(back.state, DUREQ_JOB_CANCELLED);
    assert_false(back.skipped);
    assert_int_equal(back.started_at_ms, 0);
    assert_int_equal(back.finished_at_ms, some_id.ms);
    assert_int_equal(back.result_type.len, 0);
    assert_int_equal(back.m.len, 0);
    assert_int_equal(back.j.len, 0);
}

static void result_types_survive(void **state)
{
    static const char *const types[] = {"", "application/json", "text/plain", "application/octet-stream", "a/b"};

    (void)state;
    for (size_t i = 0; i < DQ_ARRAY_LEN(types); i++) {
        dq_row row = full_row(), back;
        DQ_BUF_AUTO out = {0};

        row.result_type = dureq_str_from(types[i]);
        pack(&out, &row);
        assert_int_equal(dq_row_unpack(dq_buf_str(&out), &some_id, &back), 0);
        EXPECT_STR(types[i], back.result_type);
        assert_true(dq_str_eq(back.result, row.result));
    }
}

static void a_start_in_the_first_millisecond_is_still_a_start(void **state)
{
    dq_row row = full_row(), back;
    DQ_BUF_AUTO out = {0};

    (void)state;
    row.started_at_ms = (int64_t)some_id.ms;
    pack(&out, &row);
    assert_int_equal(dq_row_unpack(dq_buf_str(&out), &some_id, &back), 0);
    assert_int_equal(back.started_at_ms, some_id.ms + 1);
}

/* Clocks of nodes differ: a start may seem to lie before the job. */
static void times_before_the_job_are_brought_up_to_it(void **state)
{
    dq_row row = full_row(), back;
    DQ_BUF_AUTO out = {0};

    (void)state;
    row.started_at_ms = 1;
    row.finished_at_ms = 2;
    row.ran_ms = -5;
    pack(&out, &row);
    assert_int_equal(dq_row_unpack(dq_buf_str(&out), &some_id, &back), 0);
    assert_int_equal(back.started_at_ms, some_id.ms + 1);
    assert_int_equal(back.finished_at_ms, some_id.ms);
    assert_int_equal(back.ran_ms, 0);
}

static void a_large_result_fits(void **state)
{
    static char result[DUREQ_RESULT_MAX];
    dq_row row = full_row(), back;
    DQ_BUF_AUTO out = {0};

    (void)state;
    row.result = dureq_str_of(result, sizeof result);
    pack(&out, &row);
    assert_int_equal(dq_row_unpack(dq_buf_str(&out), &some_id, &back), 0);
    assert_int_equal(back.result.len, sizeof result);
    EXPECT_STR("envelope", back.j);
}

static void records_are_split_where_they_were_joined(void **state)
{
    DQ_BUF_AUTO out = {0};
    DQ_BUF_AUTO empty = {0};
    dureq_str m, j;

    (void)state;
    dq_record_pack(&out, DQ_STR_LIT("mm"), DQ_STR_LIT("jjj"));
    assert_int_equal(out.len, 9);
    assert_memory_equal(out.ptr, "\0\0\0\x02mmjjj", 9);
    assert_int_equal(dq_record_split(dq_buf_str(&out), &m, &j), 0);
    EXPECT_STR("mm", m);
    EXPECT_STR("jjj", j);
    for (size_t len = 0; len < 6; len++)
        assert_int_equal(dq_record_split(dureq_str_of(out.ptr, len), &m, &j), DUREQ_EPROTO);
    assert_int_equal(dq_record_split(DQ_STR_LIT("\xff\xff\xff\xff"
                                                "abc"),
                                     &m, &j),
                     DUREQ_EPROTO);
    dq_record_pack(&empty, (dureq_str){0}, (dureq_str){0});
    assert_int_equal(dq_record_split(dq_buf_str(&empty), &m, &j), 0);
    assert_int_equal(m.len + j.len, 0);
}

/* ---- what cannot be read ---- */

static void a_newer_schema_is_told_apart_from_damage(void **state)
{
    dq_row row = full_row(), back;
    DQ_BUF_AUTO out = {0};

    (void)state;
    pack(&out, &row);
    out.ptr[1] = 2;
    assert_int_equal(dq_row_unpack(dq_buf_str(&out), &some_id, &back), DUREQ_ESCHEMA);
    assert_int_equal(dq_row_unpack(dureq_str_of(NULL, 0), &some_id, &back), DUREQ_EPROTO);
    assert_int_equal(dq_row_unpack(DQ_STR_LIT("\0\0"), &some_id, &back), DUREQ_EPROTO);
}

static void a_state_that_has_no_row_is_damage(void **state)
{
    dq_row row = full_row(), back;
    DQ_BUF_AUTO out = {0};

    (void)state;
    pack(&out, &row);
    for (int s = 0; s < 256; s++) {
        bool ended = s == DUREQ_JOB_COMPLETED || s == DUREQ_JOB_DEAD || s == DUREQ_JOB_CANCELLED;

        out.ptr[2] = (char)s;
        assert_int_equal(dq_row_unpack(dq_buf_str(&out), &some_id, &back), ended ? 0 : DUREQ_EPROTO);
    }
}

static void touch(dureq_str s, dureq_str whole)
{
    if (s.len)
        assert_true(s.ptr >= whole.ptr && s.ptr + s.len <= whole.ptr + whole.len);
}

static int walk_copy(const char *ptr, size_t len)
{
    char *exact = dq_malloc(len ? len : 1);
    dureq_str whole = dureq_str_of(exact, len);
    dq_row row;
    int rc;

    assert_non_null(exact);
    memcpy(exact, ptr, len);
    rc = dq_row_unpack(whole, &some_id, &row);
    assert_true(rc == 0 || rc == DUREQ_ESCHEMA || rc == DUREQ_EPROTO);
    if (rc == 0) {
        touch(row.result, whole);
        touch(row.reason, whole);
        touch(row.m, whole);
        touch(row.j, whole);
        assert_true(row.ran_ms >= 0 && row.started_at_ms >= 0 && row.finished_at_ms >= 0);
    }
    dq_free(exact);
    return rc;
}

static void every_truncation_before_the_envelope_is_seen(void **state)
{
    dq_row row = full_row();
    DQ_BUF_AUTO out = {0};

    (void)state;
    pack(&out, &row);
    for (size_t len = 0; len <= out.len; len++)
        assert_int_equal(walk_copy(out.ptr, len), len < out.len - row.j.len ? DUREQ_EPROTO : 0);
}

static void changed_bytes_do_no_harm(void **state)
{
    dq_row row = full_row();
    DQ_BUF_AUTO out = {0};

    (void)state;
    pack(&out, &row);
    for (size_t i = 0; i < out.len; i++) {
        char was = out.ptr[i];

        for (int c = 0; c < 256; c++) {
            out.ptr[i] = (char)c;
            (void)walk_copy(out.ptr, out.len);
        }
        out.ptr[i] = was;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_that_is_packed_is_read_back),
        cmocka_unit_test(the_least_row),
        cmocka_unit_test(result_types_survive),
        cmocka_unit_test(a_start_in_the_first_millisecond_is_still_a_start),
        cmocka_unit_test(times_before_the_job_are_brought_up_to_it),
        cmocka_unit_test(a_large_result_fits),
        cmocka_unit_test(records_are_split_where_they_were_joined),
        cmocka_unit_test(a_newer_schema_is_told_apart_from_damage),
        cmocka_unit_test(a_state_that_has_no_row_is_damage),
        cmocka_unit_test(every_truncation_before_the_envelope_is_seen),
        cmocka_unit_test(changed_bytes_do_no_harm),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
