/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"

#include "base/str.h"

#include "expect.h"

#include <time.h>

TEST(wall_time_is_milliseconds_since_1970)
{
    int64_t before_s = (int64_t)time(NULL), now_ms = dq_wall_ms(), after_s;

    after_s = (int64_t)time(NULL);
    /* time() may lag behind by a tick of the kernel's coarse clock */
    EXPECT_TRUE(now_ms >= before_s * 1000);
    EXPECT_TRUE(now_ms <= after_s * 1000 + 2000);
}

TEST(monotonic_time_is_microseconds_and_never_goes_back)
{
    struct timespec t;
    int64_t last = dq_mono_us();

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    EXPECT_TRUE((int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000 >= last);
    for (int i = 0; i < 100000; i++) {
        int64_t now = dq_mono_us();

        EXPECT_TRUE(now >= last);
        last = now;
    }
    EXPECT_TRUE(last >= (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000);
}

TEST(sums_stop_at_the_ends_of_the_range)
{
    EXPECT_I64(5, dq_add_sat(2, 3));
    EXPECT_I64(-5, dq_add_sat(-2, -3));
    EXPECT_I64(INT64_MAX, dq_add_sat(INT64_MAX, 1));
    EXPECT_I64(INT64_MAX, dq_add_sat(1, INT64_MAX));
    EXPECT_I64(INT64_MAX, dq_add_sat(INT64_MAX, INT64_MAX));
    EXPECT_I64(INT64_MIN, dq_add_sat(INT64_MIN, -1));
    EXPECT_I64(INT64_MIN, dq_add_sat(-1, INT64_MIN));
    EXPECT_I64(-1, dq_add_sat(INT64_MAX, INT64_MIN));
    EXPECT_I64(INT64_MAX, dq_add_sat(INT64_MAX, 0));
    EXPECT_I64(INT64_MIN, dq_add_sat(INT64_MIN, 0));
}

TEST_MAIN()
