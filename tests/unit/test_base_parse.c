/* SPDX-License-Identifier: Apache-2.0 */
#include "base/str.h"

#include "expect.h"

/* A row of every table here: text, what the call returns, what it gives. */
typedef struct row {
    const char *text;
    int rc;
    int64_t value;
} row;

#define UNTOUCHED 987654321

static void check_rows(const row *rows, size_t n, int (*parse)(dureq_str text, int64_t *ret))
{
    for (size_t i = 0; i < n; i++) {
        int64_t v = UNTOUCHED;

        EXPECT_NOTE("'%s'", rows[i].text);
        EXPECT_RC(rows[i].rc, parse(dureq_str_from(rows[i].text), &v));
        EXPECT_I64(rows[i].rc < 0 ? UNTOUCHED : rows[i].value, v);
    }
}

/* ---- integers ---- */

static int parse_any_i64(dureq_str text, int64_t *ret)
{
    return dq_parse_i64(text, INT64_MIN, INT64_MAX, ret);
}

TEST(an_integer_is_digits_with_an_optional_minus_and_nothing_else)
{
    static const row rows[] = {
        {"0", 0, 0},
        {"42", 0, 42},
        {"-42", 0, -42},
        {"-0", 0, 0},
        {"007", 0, 7},
        {"9223372036854775807", 0, INT64_MAX},
        {"-9223372036854775808", 0, INT64_MIN},
        {"9223372036854775808", DUREQ_EINVAL, 0},
        {"-9223372036854775809", DUREQ_EINVAL, 0},
        {"99999999999999999999999", DUREQ_EINVAL, 0},
        {"", DUREQ_EPARSE, 0},
        {"-", DUREQ_EPARSE, 0},
        {"+1", DUREQ_EPARSE, 0},
        {"--1", DUREQ_EPARSE, 0},
        {" 1", DUREQ_EPARSE, 0},
        {"1 ", DUREQ_EPARSE, 0},
        {"1.0", DUREQ_EPARSE, 0},
        {"1e3", DUREQ_EPARSE, 0},
        {"0x10", DUREQ_EPARSE, 0},
        {"99999999999999999999999x", DUREQ_EPARSE, 0},
    };

    check_rows(rows, DQ_ARRAY_LEN(rows), parse_any_i64);
}

static int parse_percent(dureq_str text, int64_t *ret)
{
    return dq_parse_i64(text, -5, 100, ret);
}

TEST(an_integer_outside_the_callers_bounds_is_invalid)
{
    static const row rows[] = {
        {"100", 0, 100}, {"-5", 0, -5}, {"101", DUREQ_EINVAL, 0}, {"-6", DUREQ_EINVAL, 0}, {"1x", DUREQ_EPARSE, 0},
    };

    check_rows(rows, DQ_ARRAY_LEN(rows), parse_percent);
}

TEST(a_view_is_read_to_its_end_and_no_further)
{
    int64_t v = 0;
    double d = 0;

    EXPECT_RC(0, parse_any_i64(dureq_str_of("1234", 2), &v));
    EXPECT_I64(12, v);
    EXPECT_RC(0, dq_parse_f64(dureq_str_of("1.25", 3), &d));
    EXPECT_F64(1.2, d);
    EXPECT_RC(DUREQ_EPARSE, parse_any_i64(DQ_STR_LIT("1\0"), &v));
    EXPECT_RC(DUREQ_EPARSE, dq_parse_f64(DQ_STR_LIT("1\0"), &d));
}

/* ---- floating point ---- */

typedef struct f64_row {
    const char *text;
    int rc;
    double value;
} f64_row;

TEST(a_floating_point_number_is_decimal_and_finite)
{
    static const f64_row rows[] = {
        {"0", 0, 0},
        {"-0", 0, -0.0},
        {"1.5", 0, 1.5},
        {"-2.5e-3", 0, -0.0025},
        {"1E+2", 0, 100},
        {"0.1", 0, 0.1},
        {"1.7976931348623157e308", 0, 1.7976931348623157e308},
        {"5e-324", 0, 5e-324},
        {"1e-400", 0, 0},
        {"1e309", DUREQ_EINVAL, 0},
        {"-1e309", DUREQ_EINVAL, 0},
        {"", DUREQ_EPARSE, 0},
        {".", DUREQ_EPARSE, 0},
        {"e1", DUREQ_EPARSE, 0},
        {"1e", DUREQ_EPARSE, 0},
        {"1.2.3", DUREQ_EPARSE, 0},
        {"1,5", DUREQ_EPARSE, 0},
        {"inf", DUREQ_EPARSE, 0},
        {"nan", DUREQ_EPARSE, 0},
        {"0x1p3", DUREQ_EPARSE, 0},
        {" 1", DUREQ_EPARSE, 0},
        {"1 ", DUREQ_EPARSE, 0},
        {"1-1", DUREQ_EPARSE, 0},
    };

    for (size_t i = 0; i < DQ_ARRAY_LEN(rows); i++) {
        double v = UNTOUCHED;

        EXPECT_NOTE("'%s'", rows[i].text);
        EXPECT_RC(rows[i].rc, dq_parse_f64(dureq_str_from(rows[i].text), &v));
        EXPECT_F64(rows[i].rc < 0 ? UNTOUCHED : rows[i].value, v);
    }
}

/* ---- durations ---- */

TEST(durations_are_written_as_in_go)
{
    static const row rows[] = {
        {"0", 0, 0},           {"-0", 0, 0},          {"0s", 0, 0},         {"1h30m", 0, 5400000},
        {"250ms", 0, 250},     {"1.5s", 0, 1500},     {".5s", 0, 500},      {"1.s", 0, 1000},
        {"-1m30s", 0, -90000}, {"+2h", 0, 7200000},   {"2d", 0, 172800000}, {"1d2h3m4s5ms", 0, 93784005},
        {"1m1m", 0, 120000},   {"30s1h", 0, 3630000}, {"3000us", 0, 3},     {"3000\xc2\xb5s", 0, 3},
        {"5000000ns", 0, 5},   {"0.3s", 0, 300},      {"4.35s", 0, 4350},   {"106751d", 0, INT64_C(9223286400000)},
    };

    check_rows(rows, DQ_ARRAY_LEN(rows), dq_parse_duration_ms);
}

TEST(parts_of_a_millisecond_round_up)
{
    static const row rows[] = {
        {"1ns", 0, 1},    {"1us", 0, 1},        {"999us", 0, 1},       {"1000us", 0, 1},
        {"1001us", 0, 2}, {"1.0001s", 0, 1001}, {"1h1ns", 0, 3600001}, {"-1.0001s", 0, -1001},
    };

    check_rows(rows, DQ_ARRAY_LEN(rows), dq_parse_duration_ms);
}

TEST(a_duration_needs_its_unit_and_knows_no_other_form)
{
    static const row rows[] = {
        {"", DUREQ_EPARSE, 0},       {"-", DUREQ_EPARSE, 0},     {"5", DUREQ_EPARSE, 0},    {"1h5", DUREQ_EPARSE, 0},
        {"s", DUREQ_EPARSE, 0},      {"5x", DUREQ_EPARSE, 0},    {"5 s", DUREQ_EPARSE, 0},  {" 5s", DUREQ_EPARSE, 0},
        {"5s ", DUREQ_EPARSE, 0},    {"1h-5m", DUREQ_EPARSE, 0}, {"--5s", DUREQ_EPARSE, 0}, {"+-5s", DUREQ_EPARSE, 0},
        {"1.2.3s", DUREQ_EPARSE, 0}, {".s", DUREQ_EPARSE, 0},    {"1e3s", DUREQ_EPARSE, 0}, {"5S", DUREQ_EPARSE, 0},
        {"1w", DUREQ_EPARSE, 0},     {"00", DUREQ_EPARSE, 0},
    };

    check_rows(rows, DQ_ARRAY_LEN(rows), dq_parse_duration_ms);
}

TEST(a_duration_beyond_exact_counting_is_invalid)
{
    static const row rows[] = {
        {"8999999999999s", 0, INT64_C(8999999999999000)},
        {"9000000000000s", DUREQ_EINVAL, 0},
        {"-9000000000000s", DUREQ_EINVAL, 0},
        {"99999999999999999999999999d", DUREQ_EINVAL, 0},
    };

    check_rows(rows, DQ_ARRAY_LEN(rows), dq_parse_duration_ms);
}

/* ---- sizes ---- */

TEST(sizes_know_powers_of_two_and_of_ten)
{
    static const row rows[] = {
        {"0", 0, 0},
        {"512", 0, 512},
        {"512B", 0, 512},
        {"64KiB", 0, 65536},
        {"1MiB", 0, 1048576},
        {"2GiB", 0, INT64_C(2147483648)},
        {"1KB", 0, 1000},
        {"2MB", 0, 2000000},
        {"3GB", 0, INT64_C(3000000000)},
        {"1.5KiB", 0, 1536},
        {"", DUREQ_EPARSE, 0},
        {"KiB", DUREQ_EPARSE, 0},
        {"-1", DUREQ_EPARSE, 0},
        {"1 KiB", DUREQ_EPARSE, 0},
        {"1kib", DUREQ_EPARSE, 0},
        {"1KiB2", DUREQ_EPARSE, 0},
        {"1KiB2B", DUREQ_EPARSE, 0},
        {"9000000000000000", DUREQ_EINVAL, 0},
        {"9999999999GiB", DUREQ_EINVAL, 0},
    };

    check_rows(rows, DQ_ARRAY_LEN(rows), dq_parse_bytes);
}

/* ---- points in time ---- */

TEST(rfc3339_times_become_unix_milliseconds)
{
    static const row rows[] = {
        {"1970-01-01T00:00:00Z", 0, 0},
        {"2026-11-23T20:00:00.5Z", 0, INT64_C(1795464000500)},
        {"2026-11-23T20:00:00.123456789Z", 0, INT64_C(1795464000123)},
        {"2026-11-23t20:00:00z", 0, INT64_C(1795464000000)},
        {"2026-11-23 20:00:00Z", 0, INT64_C(1795464000000)},
        {"2026-11-23T21:00:00+01:00", 0, INT64_C(1795464000000)},
        {"2026-11-23T14:30:00-05:30", 0, INT64_C(1795464000000)},
        {"2026-11-23T20:00:00-00:00", 0, INT64_C(1795464000000)},
        {"2000-02-29T00:00:00Z", 0, INT64_C(951782400000)},
        {"1969-12-31T23:59:59.999Z", 0, -1},
        {"1900-03-01T00:00:00Z", 0, INT64_C(-2203891200000)},
        {"0001-01-01T00:00:00Z", 0, INT64_C(-62135596800000)},
        {"9999-12-31T23:59:59.999Z", 0, INT64_C(253402300799999)},
        {"2016-12-31T23:59:60Z", 0, INT64_C(1483228800000)}, /* a leap second is the next second, as in Unix time */
    };

    check_rows(rows, DQ_ARRAY_LEN(rows), dq_parse_rfc3339_ms);
}

TEST(a_damaged_rfc3339_time_is_refused)
{
    static const char *const texts[] = {
        "",
        "2026",
        "2026-11-23",
        "2026-11-23T20:00Z",
        "2026-11-23T20:00:00",
        "2026-11-23T20:00:00.Z",
        "2026-11-23T20:00:00,5Z",
        "2026-11-23T20:00:00Zx",
        "2026-11-23T20:00:00Z ",
        " 2026-11-23T20:00:00Z",
        "2026-13-01T00:00:00Z",
        "2026-00-01T00:00:00Z",
        "2026-01-00T00:00:00Z",
        "2026-01-32T00:00:00Z",
        "2026-04-31T00:00:00Z",
        "2026-02-29T00:00:00Z",
        "1900-02-29T00:00:00Z",
        "2026-01-01T24:00:00Z",
        "2026-01-01T00:60:00Z",
        "2026-01-01T00:00:61Z",
        "2026-1-01T00:00:00Z",
        "26-01-01T00:00:00Z",
        "-026-01-01T00:00:00Z",
        "2026-01--1T00:00:00Z",
        "2026/01/01T00:00:00Z",
        "2026-01-01X00:00:00Z",
        "2026-01-01T00:00:00+1:00",
        "2026-01-01T00:00:00+0100",
        "2026-01-01T00:00:00+24:00",
        "2026-01-01T00:00:00+01:60",
        "2026-01-01T00:00:00+01:00Z",
        "2026-01-01T00:00:00+",
        "2026-01-01T-1:00:00Z",
    };

    for (size_t i = 0; i < DQ_ARRAY_LEN(texts); i++) {
        int64_t v = UNTOUCHED;

        EXPECT_NOTE("'%s'", texts[i]);
        EXPECT_RC(DUREQ_EPARSE, dq_parse_rfc3339_ms(dureq_str_from(texts[i]), &v));
        EXPECT_I64(UNTOUCHED, v);
    }
}

TEST_MAIN()
