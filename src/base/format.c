/* SPDX-License-Identifier: Apache-2.0 */
/* Values to text. Pure. */
#include <inttypes.h>
#include <stdio.h>

#include "base/date.h"
#include "base/str.h"

size_t dq_format_duration_ms(int64_t ms, char out[DQ_DURATION_TEXT_MAX])
{
    uint64_t u = ms < 0 ? 0 - (uint64_t)ms : (uint64_t)ms;
    uint64_t h = u / 3600000, m = u / 60000 % 60, s = u / 1000 % 60, rest = u % 1000;
    const char *sign = ms < 0 ? "-" : "";
    char fraction[8] = "";
    int n;

    if (u == 0)
        return (size_t)snprintf(out, DQ_DURATION_TEXT_MAX, "0s");
    if (u < 1000)
        return (size_t)snprintf(out, DQ_DURATION_TEXT_MAX, "%s%" PRIu64 "ms", sign, u);
    if (rest) {
        int digits = 3;

        for (; rest % 10 == 0; digits--)
            rest /= 10;
        (void)snprintf(fraction, sizeof fraction, ".%0*u", digits, (unsigned)rest);
    }
    if (h)
        n = snprintf(out, DQ_DURATION_TEXT_MAX, "%s%" PRIu64 "h%um%u%ss", sign, h, (unsigned)m, (unsigned)s, fraction);
    else if (m)
        n = snprintf(out, DQ_DURATION_TEXT_MAX, "%s%um%u%ss", sign, (unsigned)m, (unsigned)s, fraction);
    else
        n = snprintf(out, DQ_DURATION_TEXT_MAX, "%s%u%ss", sign, (unsigned)s, fraction);
    return (size_t)n;
}

size_t dq_format_rfc3339_ms(int64_t at_ms, char out[DQ_RFC3339_TEXT_MAX])
{
    int64_t days;
    unsigned rest;
    dq_date d;
    int n;

    at_ms = DQ_MAX(DQ_MIN(at_ms, INT64_C(253402300799999)), INT64_C(-62135596800000)); /* years 1 to 9999 */
    days = dq_floor_div(at_ms, 86400000);
    rest = (unsigned)(at_ms - days * 86400000);
    d = dq_date_of_days(days);
    n = snprintf(out, DQ_RFC3339_TEXT_MAX, "%04d-%02d-%02dT%02u:%02u:%02u.%03uZ", (int)d.year, d.month, d.day, rest / 3600000,
                 rest / 60000 % 60, rest / 1000 % 60, rest % 1000);
    return (size_t)DQ_MIN(n, DQ_RFC3339_TEXT_MAX - 1);
}

/* What is no part of a number is the decimal separator of the program's locale, which may be of several bytes. */
static size_t put_point(char *text)
{
    char *to = text;

    for (const char *p = text; *p; p++) {
        if (strchr("0123456789+-e", *p))
            *to++ = *p;
        else if (to[-1] != '.') /* a digit is always before it */
            *to++ = '.';
    }
    *to = '\0';
    return (size_t)(to - text);
}

size_t dq_format_f64(double v, char out[DQ_F64_TEXT_MAX])
{
    size_t len = 0;
    double back = 0;

    for (int digits = 15; digits <= 17; digits++) {
        (void)snprintf(out, DQ_F64_TEXT_MAX, "%.*g", digits, v); /* 17 digits, signs, exponent, separator: 30 bytes at most */
        len = put_point(out);
        if (dq_parse_f64(dureq_str_of(out, len), &back) == 0 && back == v)
            break;
    }
    return len;
}
