/* SPDX-License-Identifier: Apache-2.0 */
#include "base/random.h"

#include "base/str.h"

#include "expect.h"

TEST(kernel_bytes_fill_all_that_was_asked_for_and_no_more)
{
    unsigned char bytes[1000] = {0}, again[1000] = {0};
    int zeros = 0;

    EXPECT_RC(0, dq_random_bytes(bytes, 999, NULL));
    EXPECT_RC(0, dq_random_bytes(again, 999, NULL));
    EXPECT_U64(0, bytes[999]);
    for (int i = 0; i < 999; i++)
        zeros += bytes[i] == 0;
    EXPECT_TRUE(zeros < 40); /* about 4 */
    EXPECT_TRUE(memcmp(bytes, again, 999) != 0);
    EXPECT_RC(0, dq_random_bytes(bytes, 0, NULL));
}

/* From the reference implementation (prng.di.unimi.it), seeded by splitmix64. */
TEST(the_generator_is_xoshiro256_starstar)
{
    static const uint64_t of_zero[] = {0x99ec5f36cb75f2b4u, 0xbf6e1f784956452au, 0x1a5f849d4933e6e0u, 0x6aa594f1262d2d2cu};
    static const uint64_t of_42[] = {0x15780b2e0c2ec716u, 0x6104d9866d113a7eu, 0xae17533239e499a1u, 0xecb8ad4703b360a1u};
    dq_rng r;

    dq_rng_seed(&r, 0);
    for (size_t i = 0; i < DQ_ARRAY_LEN(of_zero); i++)
        EXPECT_U64(of_zero[i], dq_rng_next(&r));
    dq_rng_seed(&r, 42);
    for (size_t i = 0; i < DQ_ARRAY_LEN(of_42); i++)
        EXPECT_U64(of_42[i], dq_rng_next(&r));
}

TEST(numbers_below_a_bound_are_spread_evenly)
{
    int n_of[7] = {0};
    dq_rng r;

    dq_rng_seed(&r, 1);
    for (int i = 0; i < 70000; i++) {
        uint64_t v = dq_rng_below(&r, 7);

        EXPECT_TRUE(v < 7);
        n_of[v]++;
    }
    for (int i = 0; i < 7; i++) {
        EXPECT_NOTE("%d came %d of 70000 times", i, n_of[i]);
        EXPECT_TRUE(n_of[i] > 9600 && n_of[i] < 10400);
    }
}

TEST(bounds_of_any_size_work)
{
    dq_rng r;
    bool high = false;

    dq_rng_seed(&r, 1);
    for (int i = 0; i < 1000; i++) {
        EXPECT_U64(0, dq_rng_below(&r, 1));
        EXPECT_TRUE(dq_rng_below(&r, UINT64_MAX) < UINT64_MAX);
        high = high || dq_rng_below(&r, (UINT64_C(1) << 63) + 1) > UINT64_C(1) << 62;
    }
    EXPECT_TRUE(high);
}

TEST(the_unit_interval_has_its_zero_and_not_its_one)
{
    double sum = 0, low = 1, high = 0;
    dq_rng r;

    dq_rng_seed(&r, 9);
    for (int i = 0; i < 100000; i++) {
        double v = dq_rng_unit(&r);

        EXPECT_TRUE(v >= 0 && v < 1);
        sum += v;
        low = DQ_MIN(low, v);
        high = DQ_MAX(high, v);
    }
    EXPECT_TRUE(sum > 49500 && sum < 50500);
    EXPECT_TRUE(low < 0.001 && high > 0.999);
}

TEST_MAIN()
