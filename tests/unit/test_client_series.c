/* SPDX-License-Identifier: Apache-2.0 */
#include "client/series.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static void without_any_there_is_no_percentile(void **state)
{
    const int64_t none[DQ_SERIES_BUCKETS] = {0};

    (void)state;
    assert_int_equal(dq_series_percentile(none, 0.5), -1);
}

static void a_percentile_lies_in_the_bucket_that_holds_it(void **state)
{
    int64_t b[DQ_SERIES_BUCKETS] = {0};

    (void)state;
    b[4] = 90; /* 8 to 16 ms */
    b[11] = 9; /* 1024 to 2048 ms */
    b[23] = 1;
    assert_in_range(dq_series_percentile(b, 0.5), 8, 16);
    assert_in_range(dq_series_percentile(b, 0.95), 1024, 2048);
    assert_in_range(dq_series_percentile(b, 1), 1 << 22, 1 << 23);
    assert_true(dq_series_percentile(b, 0.25) < dq_series_percentile(b, 0.75));
}

static void what_took_no_time_is_below_a_millisecond(void **state)
{
    const int64_t b[DQ_SERIES_BUCKETS] = {5};

    (void)state;
    assert_int_equal(dq_series_percentile(b, 0.5), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_any_there_is_no_percentile),
        cmocka_unit_test(a_percentile_lies_in_the_bucket_that_holds_it),
        cmocka_unit_test(what_took_no_time_is_below_a_millisecond),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
