/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "model/job.h"

static const dq_id some_id = {.ms = 1700000000000, .seq = 5, .lane = 3, .shard = 2};

static dq_attempt attempt_of(uint32_t run)
{
    return (dq_attempt){.run = run,
                        .outcome = DUREQ_OUTCOME_RETRY,
                        .started_at_ms = 1700000000000 + run,
                        .ran_ms = 100 + run,
                        .session = 7,
                        .code = -11,
                        .error = DQ_STR_LIT("boom"),
                        .detail = DQ_STR_LIT("trace"),
                        .output = DQ_STR_LIT("printed")};
}

/* Attempts 1 to n, one after the other. */
static uint8_t add_attempts(dq_buf *tail, uint32_t n)
{
    DQ_BUF_AUTO next = {0};
    uint8_t kept = 0;

    for (uint32_t run = 1; run <= n; run++) {
        dq_attempt a = attempt_of(run);

        dq_buf_clear(&next);
        dq_attempts_add(&next, dq_buf_str(tail), &a, &kept);
        assert_false(next.failed);
        dq_buf_clear(tail);
        dq_buf_append_str(tail, dq_buf_str(&next));
    }
    return kept;
}

static void pack_full(dq_buf *out)
{
    DQ_BUF_AUTO tail = {0};
    dq_moved m = {.id = some_id,
                  .attempts = 2,
                  .runs = 65535,
                  .crashes = 255,
                  .flags = DQ_M_SUSPECT | DQ_M_LOGS | DQ_M_REPEATED,
                  .errors_in_row = 300,
                  .repeats = 200,
                  .ready_at_ms = (1LL << 48) - 1,
                  .due_at_ms = 1700000000001};

    m.n_attempts = add_attempts(&tail, 3);
    m.tail = dq_buf_str(&tail);
    dq_moved_pack(out, &m);
    assert_false(out->failed);
}

static void all_that_is_packed_is_read_back(void **state)
{
    DQ_BUF_AUTO packed = {0};
    dq_attempt a;
    dq_moved m;

    (void)state;
    pack_full(&packed);
    assert_int_equal(dq_moved_unpack(dq_buf_str(&packed), &m), 0);
    assert_int_equal(m.id.ms, some_id.ms);
    assert_int_equal(m.id.lane, some_id.lane);
    assert_int_equal(m.attempts, 2);
    assert_int_equal(m.runs, 65535);
    assert_int_equal(m.crashes, 255);
    assert_int_equal(m.flags, DQ_M_SUSPECT | DQ_M_LOGS | DQ_M_REPEATED);
    assert_int_equal(m.errors_in_row, 300);
    assert_int_equal(m.ready_at_ms, (1LL << 48) - 1);
    assert_int_equal(m.due_at_ms, 1700000000001);
    assert_int_equal(m.n_attempts, 3);
    assert_int_equal(m.repeats, 200);
    for (uint32_t run = 1; run <= 3; run++) {
        dq_attempt want = attempt_of(run);

        assert_true(dq_attempt_next(&m.tail, &a));
        assert_int_equal(a.run, run);
        assert_int_equal(a.outcome, want.outcome);
        assert_int_equal(a.started_at_ms, want.started_at_ms);
        assert_int_equal(a.ran_ms, want.ran_ms);
        assert_int_equal(a.session, 7);
        assert_int_equal(a.code, -11);
        assert_true(dq_str_eq(a.error, want.error));
        assert_true(dq_str_eq(a.detail, want.detail));
        assert_true(dq_str_eq(a.output, want.output));
    }
    assert_false(dq_attempt_next(&m.tail, &a));
}

/* docs/redis-keys.md: scripts count bytes in it. */
static void the_head_is_as_drawn(void **state)
{
    static const char want[DQ_M_HEAD] = "\x01\x01\x8b\xcf\xe5\x68\x00\x00\x00\x00\x50\x00\x0c\x02" /* version, id */
                                        "\x00\x02\x00\x03\x04\x01\x00\x05"                      /* attempts to errors in a row */
                                        "\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x02\x00\x00"; /* ready, due, n */
    DQ_BUF_AUTO out = {0};
    dq_moved m = {.id = some_id,
                  .attempts = 2,
                  .runs = 3,
                  .crashes = 4,
                  .flags = 1,
                  .errors_in_row = 5,
                  .ready_at_ms = 256,
                  .due_at_ms = 512};

    (void)state;
    dq_moved_pack(&out, &m);
    assert_int_equal(out.len, DQ_M_HEAD);
    assert_memory_equal(out.ptr, want, DQ_M_HEAD);
}

static void a_fresh_tail_and_an_id_make_a_moved_part(void **state)
{
    unsigned char id[DQ_ID_BYTES];
    DQ_BUF_AUTO out = {0};
    dq_moved m;

    (void)state;
    dq_id_pack(&some_id, id);
    dq_buf_append_char(&out, 1);
    dq_buf_append(&out, id, sizeof id);
    dq_moved_tail_fresh(&out, 1800000000000);
    assert_int_equal(out.len, DQ_M_HEAD);
    assert_int_equal(dq_moved_unpack(dq_buf_str(&out), &m), 0);
    assert_int_equal(m.id.seq, some_id.seq);
    assert_int_equal(m.due_at_ms, 1800000000000);
    assert_int_equal(m.runs, 0);
    assert_int_equal(m.n_attempts, 0);
}

static void the_first_and_the_last_attempts_are_kept(void **state)
{
    DQ_BUF_AUTO tail = {0};
    dureq_str rest;
    dq_attempt a;
    uint8_t n = add_attempts(&tail, 57);

    (void)state;
    assert_int_equal(n, DQ_ATTEMPTS_KEPT);
    rest = dq_buf_str(&tail);
    for (unsigned i = 0; i < n; i++) {
        assert_true(dq_attempt_next(&rest, &a));
        assert_int_equal(a.run, i < 2 ? i + 1 : 57 - (DQ_ATTEMPTS_KEPT - 1 - i));
        assert_int_equal(a.detail.len, i < DQ_ATTEMPTS_KEPT - 3 ? 0 : strlen("trace"));
        assert_int_equal(a.output.len, i < DQ_ATTEMPTS_KEPT - 3 ? 0 : strlen("printed"));
        assert_true(dq_str_eq_text(a.error, "boom"));
    }
    assert_int_equal(rest.len, 0);
}

static void twenty_fit(void **state)
{
    DQ_BUF_AUTO tail = {0};
    dureq_str rest;
    dq_attempt a;
    unsigned n = 0;

    (void)state;
    assert_int_equal(add_attempts(&tail, DQ_ATTEMPTS_KEPT), DQ_ATTEMPTS_KEPT);
    rest = dq_buf_str(&tail);
    while (dq_attempt_next(&rest, &a))
        assert_int_equal(a.run, ++n);
    assert_int_equal(n, DQ_ATTEMPTS_KEPT);
}

static void long_texts_are_cut(void **state)
{
    static char text[DQ_OUTPUT_MAX + 100];
    DQ_BUF_AUTO tail = {0};
    dq_attempt a = {.run = UINT32_MAX, .session = UINT64_MAX, .code = INT32_MIN, .started_at_ms = INT64_MAX, .ran_ms = INT64_MAX},
               back;
    dureq_str rest;
    uint8_t n;

    (void)state;
    a.error = a.detail = a.output = dureq_str_of(text, sizeof text);
    dq_attempts_add(&tail, (dureq_str){0}, &a, &n);
    assert_int_equal(n, 1);
    rest = dq_buf_str(&tail);
    assert_true(dq_attempt_next(&rest, &back));
    assert_int_equal(back.error.len, DQ_ERROR_TEXT_MAX);
    assert_int_equal(back.detail.len, DQ_DETAIL_MAX);
    assert_int_equal(back.output.len, DQ_OUTPUT_MAX);
    assert_int_equal(back.run, UINT32_MAX);
    assert_true(back.session == UINT64_MAX);
    assert_int_equal(back.code, INT32_MIN);
    assert_int_equal(rest.len, 0);
}

/* As versions before outputs wrote them. */
static void an_attempt_without_output_is_read(void **state)
{
    static const char bytes[] = "\x00\x0a\x03\x01\x05\x06\x07\x00\x01"
                                "e"
                                "\x01"
                                "d";
    dureq_str rest = dureq_str_of(bytes, sizeof bytes - 1);
    dq_attempt a;

    (void)state;
    assert_true(dq_attempt_next(&rest, &a));
    assert_int_equal(rest.len, 0);
    assert_int_equal(a.run, 3);
    assert_true(dq_str_eq_text(a.detail, "d"));
    assert_int_equal(a.output.len, 0);
}

static void codes_of_either_sign_survive(void **state)
{
    static const int32_t codes[] = {0, 1, -1, 63, -64, 64, -65, INT32_MAX, INT32_MIN, DUREQ_EHANDLER};

    (void)state;
    for (size_t i = 0; i < DQ_ARRAY_LEN(codes); i++) {
        DQ_BUF_AUTO tail = {0};
        dq_attempt a = {.run = 1, .code = codes[i]}, back;
        dureq_str rest;
        uint8_t n;

        dq_attempts_add(&tail, (dureq_str){0}, &a, &n);
        rest = dq_buf_str(&tail);
        assert_true(dq_attempt_next(&rest, &back));
        assert_int_equal(back.code, codes[i]);
    }
}

/* ---- what cannot be read ---- */

static void a_newer_schema_is_told_apart_from_damage(void **state)
{
    DQ_BUF_AUTO packed = {0};
    dq_moved m;

    (void)state;
    pack_full(&packed);
    packed.ptr[0] = 2;
    assert_int_equal(dq_moved_unpack(dq_buf_str(&packed), &m), DUREQ_ESCHEMA);
    assert_int_equal(dq_moved_unpack(DQ_STR_LIT("\x02"), &m), DUREQ_ESCHEMA);
    assert_int_equal(dq_moved_unpack(DQ_STR_LIT("\x01"), &m), DUREQ_EPROTO);
    assert_int_equal(dq_moved_unpack(dureq_str_of(NULL, 0), &m), DUREQ_EPROTO);
}

static void a_wrong_count_of_attempts_is_damage(void **state)
{
    DQ_BUF_AUTO packed = {0};
    dq_moved m;

    (void)state;
    pack_full(&packed);
    packed.ptr[DQ_M_HEAD - 2] = 2;
    assert_int_equal(dq_moved_unpack(dq_buf_str(&packed), &m), DUREQ_EPROTO);
    packed.ptr[DQ_M_HEAD - 2] = 4;
    assert_int_equal(dq_moved_unpack(dq_buf_str(&packed), &m), DUREQ_EPROTO);
}

/* Reads and adds an attempt, in a block of the input's own size. */
static int walk_copy(const char *ptr, size_t len)
{
    char *exact = dq_malloc(len ? len : 1);
    DQ_BUF_AUTO tail = {0};
    dq_attempt a = attempt_of(9);
    dq_moved m;
    uint8_t n;
    int rc;

    assert_non_null(exact);
    memcpy(exact, ptr, len);
    rc = dq_moved_unpack(dureq_str_of(exact, len), &m);
    assert_true(rc == 0 || rc == DUREQ_ESCHEMA || rc == DUREQ_EPROTO);
    if (rc == 0) {
        dq_attempts_add(&tail, m.tail, &a, &n);
        assert_false(tail.failed);
        assert_in_range(n, 1, DQ_ATTEMPTS_KEPT);
    }
    dq_free(exact);
    return rc;
}

static void every_truncation_is_seen(void **state)
{
    DQ_BUF_AUTO packed = {0};

    (void)state;
    pack_full(&packed);
    assert_int_equal(walk_copy(packed.ptr, packed.len), 0);
    for (size_t len = 0; len < packed.len; len++)
        assert_int_equal(walk_copy(packed.ptr, len), DUREQ_EPROTO);
}

static void changed_bytes_do_no_harm(void **state)
{
    DQ_BUF_AUTO packed = {0};

    (void)state;
    pack_full(&packed);
    for (size_t i = 0; i < packed.len; i++) {
        char was = packed.ptr[i];

        for (int c = 0; c < 256; c++) {
            packed.ptr[i] = (char)c;
            (void)walk_copy(packed.ptr, packed.len);
        }
        packed.ptr[i] = was;
    }
}

/* More attempts than we keep, written by a version that keeps more. */
static void a_longer_list_is_thinned_when_it_grows(void **state)
{
    DQ_BUF_AUTO tail = {0};
    DQ_BUF_AUTO one = {0};
    DQ_BUF_AUTO grown = {0};
    dq_attempt a = attempt_of(1);
    uint8_t n;

    (void)state;
    dq_attempts_add(&one, (dureq_str){0}, &a, &n);
    for (int i = 0; i < 255; i++)
        dq_buf_append_str(&tail, dq_buf_str(&one));
    dq_attempts_add(&grown, dq_buf_str(&tail), &a, &n);
    assert_false(grown.failed);
    assert_int_equal(n, DQ_ATTEMPTS_KEPT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_that_is_packed_is_read_back),
        cmocka_unit_test(the_head_is_as_drawn),
        cmocka_unit_test(a_fresh_tail_and_an_id_make_a_moved_part),
        cmocka_unit_test(the_first_and_the_last_attempts_are_kept),
        cmocka_unit_test(twenty_fit),
        cmocka_unit_test(long_texts_are_cut),
        cmocka_unit_test(an_attempt_without_output_is_read),
        cmocka_unit_test(codes_of_either_sign_survive),
        cmocka_unit_test(a_newer_schema_is_told_apart_from_damage),
        cmocka_unit_test(a_wrong_count_of_attempts_is_damage),
        cmocka_unit_test(every_truncation_is_seen),
        cmocka_unit_test(changed_bytes_do_no_harm),
        cmocka_unit_test(a_longer_list_is_thinned_when_it_grows),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
