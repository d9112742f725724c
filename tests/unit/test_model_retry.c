/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/random.h"
#include "model/job.h"

/* A policy as it comes out of an envelope. The view of its texts points into *packed. */
static dq_retry packed_and_back(const dureq_retry_policy *p, dq_buf *packed)
{
    dq_retry r;

    dq_buf_clear(packed);
    dq_retry_pack(packed, p);
    assert_false(packed->failed);
    assert_int_equal(dq_retry_unpack(dq_buf_str(packed), &r), 0);
    return r;
}

static void an_empty_policy_is_the_default(void **state)
{
    dureq_retry_policy p = dureq_retry_policy_init();
    DQ_BUF_AUTO packed = {0};
    dq_retry r = packed_and_back(&p, &packed);

    (void)state;
    assert_int_equal(r.max_attempts, 3);
    assert_int_equal(r.initial_ms, 5000);
    assert_int_equal(r.max_ms, 300000);
    assert_true(r.factor == 2.0);
    assert_true(r.jitter == 0.1);
    assert_int_equal(r.pause_after, 0);
    assert_int_equal(r.pause_delay_ms, 0);
    assert_false(dq_retry_is_final(&r, DQ_STR_LIT("anything")));
}

static void a_full_policy_survives(void **state)
{
    static const char *const finals[] = {"no such", "denied"};
    dureq_retry_policy p = dureq_retry_policy_init();
    DQ_BUF_AUTO packed = {0};
    dq_retry r;

    (void)state;
    p.max_attempts = 9;
    p.initial_delay_ms = 1;
    p.max_delay_ms = 123456789012;
    p.multiplier = 1.5;
    p.jitter = 1;
    p.pause_after_err_count = 4;
    p.pause_retry_delay_ms = 60000;
    p.non_retryable_errors = finals;
    p.n_non_retryable_errors = 2;
    r = packed_and_back(&p, &packed);
    assert_int_equal(r.max_attempts, 9);
    assert_int_equal(r.initial_ms, 1);
    assert_int_equal(r.max_ms, 123456789012);
    assert_true(r.factor == 1.5);
    assert_true(r.jitter == 1);
    assert_int_equal(r.pause_after, 4);
    assert_int_equal(r.pause_delay_ms, 60000);
    assert_true(dq_retry_is_final(&r, DQ_STR_LIT("there is no such user")));
    assert_true(dq_retry_is_final(&r, DQ_STR_LIT("denied")));
    assert_false(dq_retry_is_final(&r, DQ_STR_LIT("denie")));
    assert_false(dq_retry_is_final(&r, DQ_STR_LIT("no suc")));
    assert_false(dq_retry_is_final(&r, DQ_STR_LIT("")));
}

static void none_is_not_the_default(void **state)
{
    dureq_retry_policy p = dureq_retry_policy_init();
    DQ_BUF_AUTO packed = {0};
    dq_retry r;

    (void)state;
    p.initial_delay_ms = -1;
    p.max_delay_ms = -1;
    p.jitter = -1;
    r = packed_and_back(&p, &packed);
    assert_int_equal(r.initial_ms, 0);
    assert_int_equal(r.max_ms, -1);
    assert_true(r.jitter == 0);
}

/* Whoever wants no cap may well say the largest number there is. */
static void the_largest_delays_survive(void **state)
{
    dureq_retry_policy p = dureq_retry_policy_init();
    DQ_BUF_AUTO packed = {0};
    dureq_error err;
    dq_retry r;

    (void)state;
    p.initial_delay_ms = p.max_delay_ms = p.pause_retry_delay_ms = INT64_MAX;
    if (dq_retry_policy_check(&p, &err) < 0)
        return; /* refused is fine too: what is taken must be readable */
    r = packed_and_back(&p, &packed);
    assert_true(dq_retry_delay_ms(&r, 1, 0.5) > 0);
}

/* ---- delays ---- */

typedef struct delay_case {
    dq_retry r;
    int failures;
    double unit;
    int64_t want_ms;
} delay_case;

static void delays_follow_the_formula(void **state)
{
    static const delay_case cases[] = {
        {{.initial_ms = 5000, .max_ms = 300000, .factor = 2}, 1, 0.3, 5000},
        {{.initial_ms = 5000, .max_ms = 300000, .factor = 2}, 2, 0.3, 10000},
        {{.initial_ms = 5000, .max_ms = 300000, .factor = 2}, 6, 0.3, 160000},
        {{.initial_ms = 5000, .max_ms = 300000, .factor = 2}, 7, 0.3, 300000}, /* capped */
        {{.initial_ms = 5000, .max_ms = -1, .factor = 2}, 7, 0.3, 320000},     /* no cap */
        {{.initial_ms = 1000, .max_ms = -1, .factor = 1}, 100, 0.3, 1000},
        {{.initial_ms = 1000, .max_ms = 300000, .factor = 2, .jitter = 0.1}, 1, 0, 900},
        {{.initial_ms = 1000, .max_ms = 300000, .factor = 2, .jitter = 0.1}, 1, 0.5, 1000},
        {{.initial_ms = 1000, .max_ms = 1000, .factor = 2, .jitter = 0.5},
         9,
         1,
         1500}, /* spread after the cap, as the Go version of dureq */
        {{.initial_ms = 1000, .max_ms = -1, .factor = 2, .jitter = 1}, 1, 0, 0},
        {{.initial_ms = 0, .max_ms = 300000, .factor = 2, .jitter = 0.1}, 3, 1, 0},
        {{.initial_ms = 1000, .max_ms = -1, .factor = 1000}, 10000, 0.5, 9000000000000000}, /* saturates */
        {{.initial_ms = 1000, .max_ms = 7, .factor = 1000}, 10000, 0.5, 7},
        {{.initial_ms = 0, .max_ms = -1, .factor = 1000}, 10000, 0.5, 0}, /* no delay stays no delay */
        {{.initial_ms = 0, .max_ms = 300000, .factor = 2}, 2000, 0.5, 0},
    };

    (void)state;
    for (size_t i = 0; i < DQ_ARRAY_LEN(cases); i++) {
        int64_t got = dq_retry_delay_ms(&cases[i].r, cases[i].failures, cases[i].unit);

        if (got != cases[i].want_ms)
            fail_msg("case %zu: got %lld, not %lld", i, (long long)got, (long long)cases[i].want_ms);
    }
}

static void delays_stay_within_the_spread(void **state)
{
    dq_rng rng;
    bool below = false, above = false;

    (void)state;
    dq_rng_seed(&rng, 3);
    for (int i = 0; i < 1000; i++) {
        int64_t ms = dq_retry_delay_ms(&dq_retry_default, 2, dq_rng_unit(&rng));

        assert_in_range(ms, 9000, 11000);
        below = below || ms < 9200;
        above = above || ms > 10800;
    }
    assert_true(below && above);
}

/* ---- what cannot be read ---- */

static void pack_full(dq_buf *out)
{
    static const char *const finals[] = {"no such", "denied"};
    dureq_retry_policy p = dureq_retry_policy_init();

    p.max_attempts = 300;
    p.initial_delay_ms = 70000;
    p.max_delay_ms = -1;
    p.multiplier = 1.5;
    p.jitter = 0.25;
    p.pause_after_err_count = 4;
    p.pause_retry_delay_ms = 60000;
    p.non_retryable_errors = finals;
    p.n_non_retryable_errors = 2;
    dq_retry_pack(out, &p);
}

static int walk_copy(const char *ptr, size_t len)
{
    char *exact = dq_malloc(len ? len : 1);
    dq_retry r;
    int rc;

    assert_non_null(exact);
    memcpy(exact, ptr, len);
    rc = dq_retry_unpack(dureq_str_of(exact, len), &r);
    assert_true(rc == 0 || rc == DUREQ_EPROTO);
    if (rc == 0) {
        for (int failures = 1; failures < 5000; failures = failures * 7) {
            int64_t ms = dq_retry_delay_ms(&r, failures, 0.9);

            assert_true(ms >= 0);
        }
        (void)dq_retry_is_final(&r, DQ_STR_LIT("some text"));
    }
    dq_free(exact);
    return rc;
}

static void every_truncation_and_every_addition_is_seen(void **state)
{
    DQ_BUF_AUTO packed = {0};

    (void)state;
    pack_full(&packed);
    assert_int_equal(walk_copy(packed.ptr, packed.len), 0);
    for (size_t len = 0; len < packed.len; len++)
        assert_int_equal(walk_copy(packed.ptr, len), DUREQ_EPROTO);
    dq_buf_append_char(&packed, 0);
    assert_int_equal(walk_copy(packed.ptr, packed.len), DUREQ_EPROTO);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_policy_is_the_default),
        cmocka_unit_test(a_full_policy_survives),
        cmocka_unit_test(none_is_not_the_default),
        cmocka_unit_test(the_largest_delays_survive),
        cmocka_unit_test(delays_follow_the_formula),
        cmocka_unit_test(delays_stay_within_the_spread),
        cmocka_unit_test(every_truncation_and_every_addition_is_seen),
        cmocka_unit_test(changed_bytes_do_no_harm),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
