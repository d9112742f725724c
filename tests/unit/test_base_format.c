/* SPDX-License-Identifier: Apache-2.0 */
#include "base/random.h"
#include "base/str.h"

#include "expect.h"

#include <float.h>
#include <locale.h>

typedef struct row {
    int64_t value;
    const char *text;
} row;

TEST(durations_are_written_as_go_does)
{
    static const row rows[] = {
        {0, "0s"},
        {1, "1ms"},
        {999, "999ms"},
        {-250, "-250ms"},
        {1000, "1s"},
        {1500, "1.5s"},
        {1050, "1.05s"},
        {1001, "1.001s"},
        {60000, "1m0s"},
        {90000, "1m30s"},
        {-90001, "-1m30.001s"},
        {3600000, "1h0m0s"},
        {3661100, "1h1m1.1s"},
        {INT64_C(360000000), "100h0m0s"},
        {INT64_MAX, "2562047788015h12m55.807s"},
        {INT64_MIN, "-2562047788015h12m55.808s"},
    };

    for (size_t i = 0; i < DQ_ARRAY_LEN(rows); i++) {
        char out[DQ_DURATION_TEXT_MAX];
        size_t len = dq_format_duration_ms(rows[i].value, out);

        EXPECT_TEXT(rows[i].text, out);
        EXPECT_U64(strlen(rows[i].text), len);
    }
}

TEST(a_written_duration_reads_back_the_same)
{
    dq_rng rng;

    dq_rng_seed(&rng, 4711);
    for (int i = 0; i < 20000; i++) {
        int64_t ms = (int64_t)dq_rng_below(&rng, UINT64_C(1) << (1 + i % 47)) * (i % 3 ? 1 : -1), back = 0;
        char out[DQ_DURATION_TEXT_MAX];
        size_t len = dq_format_duration_ms(ms, out);

        EXPECT_NOTE("%lld ms as '%s'", (long long)ms, out);
        EXPECT_RC(0, dq_parse_duration_ms(dureq_str_of(out, len), &back));
        EXPECT_I64(ms, back);
    }
}

TEST(times_are_written_in_utc_with_milliseconds)
{
    static const row rows[] = {
        {0, "1970-01-01T00:00:00.000Z"},
        {-1, "1969-12-31T23:59:59.999Z"},
        {-86400000, "1969-12-31T00:00:00.000Z"},
        {INT64_C(1795464000123), "2026-11-23T20:00:00.123Z"},
        {INT64_C(951782400000), "2000-02-29T00:00:00.000Z"},
        {INT64_C(-2203891200000), "1900-03-01T00:00:00.000Z"},
        {INT64_C(-62135596800000), "0001-01-01T00:00:00.000Z"},
        {INT64_C(253402300799999), "9999-12-31T23:59:59.999Z"},
        {INT64_C(253402300800000), "9999-12-31T23:59:59.999Z"}, /* beyond: the nearest that has four digits */
        {INT64_MAX, "9999-12-31T23:59:59.999Z"},
        {INT64_MIN, "0001-01-01T00:00:00.000Z"},
    };

    for (size_t i = 0; i < DQ_ARRAY_LEN(rows); i++) {
        char out[DQ_RFC3339_TEXT_MAX];
        size_t len = dq_format_rfc3339_ms(rows[i].value, out);

        EXPECT_TEXT(rows[i].text, out);
        EXPECT_U64(24, len);
    }
}

TEST(a_written_time_reads_back_the_same)
{
    /* 23 hours and a bit: every day from year 1 to 9999 is met, at changing times of it */
    for (int64_t at = INT64_C(-62135596800000); at <= INT64_C(253402300799999); at += INT64_C(83412345) * 17) {
        int64_t back = 0;
        char out[DQ_RFC3339_TEXT_MAX];

        (void)dq_format_rfc3339_ms(at, out);
        EXPECT_NOTE("%lld as '%s'", (long long)at, out);
        EXPECT_RC(0, dq_parse_rfc3339_ms(dureq_str_from(out), &back));
        EXPECT_I64(at, back);
    }
}

TEST(every_day_of_four_centuries_follows_the_one_before_it)
{
    char before[DQ_RFC3339_TEXT_MAX], day[DQ_RFC3339_TEXT_MAX];
    const int64_t first = INT64_C(-2524521600000), last = INT64_C(10729324800000);

    (void)dq_format_rfc3339_ms(first, before);
    EXPECT_TEXT("1890-01-01T00:00:00.000Z", before);
    for (int64_t at = first + 86400000; at <= last; at += 86400000) {
        (void)dq_format_rfc3339_ms(at, day);
        EXPECT_NOTE("%s after %s", day, before);
        EXPECT_TRUE(strcmp(day, before) > 0);
        memcpy(before, day, sizeof(day));
    }
    EXPECT_TEXT("2310-01-01T00:00:00.000Z", day);
}

typedef struct f64_row {
    double value;
    const char *text;
} f64_row;

static const f64_row f64_rows[] = {
    {0, "0"},
    {-0.0, "-0"},
    {1.5, "1.5"},
    {0.1, "0.1"},
    {-2.25, "-2.25"},
    {1e15, "1e+15"},
    {123456, "123456"},
    {0.1 + 0.2, "0.30000000000000004"},
    {1e-7, "1e-07"},
    {5e-324, "4.94065645841247e-324"},
    {DBL_MAX, "1.7976931348623157e+308"},
    {-DBL_MIN, "-2.2250738585072014e-308"},
};

static void check_f64_rows(void)
{
    for (size_t i = 0; i < DQ_ARRAY_LEN(f64_rows); i++) {
        char out[DQ_F64_TEXT_MAX];
        double back = 1;
        size_t len = dq_format_f64(f64_rows[i].value, out);

        EXPECT_TEXT(f64_rows[i].text, out);
        EXPECT_U64(strlen(out), len);
        EXPECT_RC(0, dq_parse_f64(dureq_str_from(out), &back));
        EXPECT_F64(f64_rows[i].value, back);
    }
}

TEST(floating_point_numbers_have_no_more_digits_than_they_need)
{
    check_f64_rows();
}

TEST(any_floating_point_number_reads_back_to_the_bit)
{
    dq_rng rng;

    dq_rng_seed(&rng, 42);
    for (int i = 0; i < 20000; i++) {
        uint64_t bits = dq_rng_next(&rng);
        double v, back = 0;
        char out[DQ_F64_TEXT_MAX];

        if ((bits >> 52 & 2047) == 2047) /* infinite or no number */
            continue;
        memcpy(&v, &bits, sizeof(v));
        (void)dq_format_f64(v, out);
        EXPECT_NOTE("'%s'", out);
        EXPECT_RC(0, dq_parse_f64(dureq_str_from(out), &back));
        EXPECT_F64(v, back);
    }
}

TEST(numbers_have_a_point_in_every_locale)
{
    static const char *const names[] = {"de_DE.UTF-8", "fr_FR.UTF-8", "ps_AF.UTF-8", "de_DE"};
    bool found = false;

    for (size_t i = 0; i < DQ_ARRAY_LEN(names); i++) {
        if (!setlocale(LC_NUMERIC, names[i]))
            continue;
        found = true;
        EXPECT_NOTE("%s", names[i]);
        check_f64_rows();
    }
    (void)setlocale(LC_NUMERIC, "C");
    if (!found)
        skip(); /* none of them is installed here */
}

TEST_MAIN()
