/* SPDX-License-Identifier: Apache-2.0 */
/* Text to values. Pure. */
#include <errno.h>
#include <locale.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/date.h"
#include "base/str.h"

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

int dq_parse_i64(dureq_str text, int64_t min, int64_t max, int64_t *ret)
{
    bool negative = text.len && text.ptr[0] == '-';
    int64_t v = 0;
    size_t i = negative;

    if (i == text.len)
        return DUREQ_EPARSE;
    for (size_t k = i; k < text.len; k++) /* first: no number is never "out of range" */
        if (!is_digit(text.ptr[k]))
            return DUREQ_EPARSE;
    for (; i < text.len; i++) {
        int64_t digit = text.ptr[i] - '0';

        if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, negative ? -digit : digit, &v))
            return DUREQ_EINVAL;
    }
    if (v < min || v > max)
        return DUREQ_EINVAL;
    *ret = v;
    return 0;
}

static locale_t c_locale;

static void make_c_locale(void)
{
    c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
}

/* strtod as in the C locale, whatever the host program has set: in many another "1.5" ends at the point. */
static double to_double(const char *text, char **end)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    (void)pthread_once(&once, make_c_locale);
    return c_locale ? strtod_l(text, end, c_locale) : strtod(text, end);
}

int dq_parse_f64(dureq_str text, double *ret)
{
    char copy[1024]; /* more digits than any double needs; longer ones are nobody's number */
    char *end;
    double v;

    if (text.len == 0 || text.len >= sizeof copy)
        return DUREQ_EPARSE;
    for (size_t i = 0; i < text.len; i++) /* no blanks, no hexadecimal, no "inf" */
        if (!is_digit(text.ptr[i]) && !memchr("+-.eE", text.ptr[i], 5))
            return DUREQ_EPARSE;
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    errno = 0;
    v = to_double(copy, &end);
    if (end != copy + text.len)
        return DUREQ_EPARSE;
    if (errno == ERANGE && (v > 1 || v < -1))
        return DUREQ_EINVAL;
    *ret = v;
    return 0;
}

typedef struct unit {
    const char *name;
    double per_unit;
} unit;

static const unit *unit_of(const unit *units, size_t n, dureq_str name)
{
    for (size_t i = 0; i < n; i++)
        if (dq_str_eq_text(name, units[i].name))
            return &units[i];
    return NULL;
}

/* Cuts digits, then the letters after them. */
static int cut_quantity(dureq_str *rest, double *ret_number, dureq_str *ret_unit)
{
    size_t n = 0, u;
    int rc;

    while (n < rest->len && (is_digit(rest->ptr[n]) || rest->ptr[n] == '.'))
        n++;
    rc = dq_parse_f64(dureq_str_of(rest->ptr, n), ret_number);
    if (rc < 0)
        return rc;
    for (u = n; u < rest->len && !is_digit(rest->ptr[u]) && rest->ptr[u] != '.'; u++)
        continue;
    *ret_unit = dureq_str_of(rest->ptr + n, u - n);
    *rest = dureq_str_of(rest->ptr + u, rest->len - u);
    return 0;
}

int dq_parse_duration_ms(dureq_str text, int64_t *ret)
{
    static const unit units[] = {{"ns", 1e-6}, {"us", 1e-3}, {"\xc2\xb5s", 1e-3}, {"ms", 1},
                                 {"s", 1e3},   {"m", 60e3},  {"h", 3600e3},       {"d", 86400e3}};
    bool negative = text.len && text.ptr[0] == '-';
    double ms = 0;
    int64_t whole;

    if (text.len && (text.ptr[0] == '-' || text.ptr[0] == '+'))
        text = dureq_str_of(text.ptr + 1, text.len - 1);
    if (dq_str_eq_text(text, "0")) {
        *ret = 0;
        return 0;
    }
    if (text.len == 0)
        return DUREQ_EPARSE;
    while (text.len) {
        double number;
        dureq_str name;
        const unit *u;

        if (cut_quantity(&text, &number, &name) < 0)
            return DUREQ_EPARSE;
        u = unit_of(units, DQ_ARRAY_LEN(units), name);
        if (!u)
            return DUREQ_EPARSE;
        ms += number * u->per_unit;
    }
    if (ms >= 9e15) /* beyond what a double counts exactly; 285,000 years */
        return DUREQ_EINVAL;
    whole = (int64_t)ms;
    if (ms - (double)whole > 1e-9)
        whole++;
    *ret = negative ? -whole : whole;
    return 0;
}

int dq_parse_bytes(dureq_str text, int64_t *ret)
{
    static const unit units[] = {{"", 1},     {"B", 1},    {"KiB", 1024}, {"MiB", 1048576}, {"GiB", 1073741824},
                                 {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}};
    double number;
    dureq_str name;
    const unit *u;

    if (cut_quantity(&text, &number, &name) < 0 || text.len)
        return DUREQ_EPARSE;
    u = unit_of(units, DQ_ARRAY_LEN(units), name);
    if (!u)
        return DUREQ_EPARSE;
    if (number * u->per_unit >= 9e15)
        return DUREQ_EINVAL;
    *ret = (int64_t)(number * u->per_unit);
    return 0;
}

/* Exactly n digits at the start of *s. */
static int cut_digits(dureq_str *s, size_t n, int *ret)
{
    int64_t v;

    if (s->len < n || s->ptr[0] == '-' || dq_parse_i64(dureq_str_of(s->ptr, n), 0, 9999, &v) < 0)
        return DUREQ_EPARSE;
    *s = dureq_str_of(s->ptr + n, s->len - n);
    *ret = (int)v;
    return 0;
}

static int cut_char(dureq_str *s, const char *any)
{
    if (!s->len || !s->ptr[0] || !strchr(any, s->ptr[0]))
        return DUREQ_EPARSE;
    *s = dureq_str_of(s->ptr + 1, s->len - 1);
    return 0;
}

/* ".123456" after the seconds; absent is fine. */
static int cut_fraction_ms(dureq_str *s, int *ret)
{
    int scale = 100;

    *ret = 0;
    if (!s->len || s->ptr[0] != '.')
        return 0;
    *s = dureq_str_of(s->ptr + 1, s->len - 1);
    if (!s->len || !is_digit(s->ptr[0]))
        return DUREQ_EPARSE;
    while (s->len && is_digit(s->ptr[0])) {
        *ret += (s->ptr[0] - '0') * scale;
        scale /= 10;
        *s = dureq_str_of(s->ptr + 1, s->len - 1);
    }
    return 0;
}

static int cut_offset_minutes(dureq_str *s, int *ret)
{
    int sign, hours, minutes;

    *ret = 0;
    if (s->len == 1 && (s->ptr[0] == 'Z' || s->ptr[0] == 'z'))
        return cut_char(s, "Zz");
    if (!s->len)
        return DUREQ_EPARSE;
    sign = s->ptr[0] == '-' ? -1 : 1;
    if (cut_char(s, "+-") < 0 || cut_digits(s, 2, &hours) < 0 || cut_char(s, ":") < 0 || cut_digits(s, 2, &minutes) < 0)
        return DUREQ_EPARSE;
    if (hours > 23 || minutes > 59)
        return DUREQ_EPARSE;
    *ret = sign * (hours * 60 + minutes);
    return 0;
}

int dq_parse_rfc3339_ms(dureq_str text, int64_t *ret)
{
    int y, mo, d, h, mi, s, ms, offset;

    if (cut_digits(&text, 4, &y) < 0 || cut_char(&text, "-") < 0 || cut_digits(&text, 2, &mo) < 0 || cut_char(&text, "-") < 0 ||
        cut_digits(&text, 2, &d) < 0 || cut_char(&text, "Tt ") < 0 || cut_digits(&text, 2, &h) < 0 || cut_char(&text, ":") < 0 ||
        cut_digits(&text, 2, &mi) < 0 || cut_char(&text, ":") < 0 || cut_digits(&text, 2, &s) < 0 ||
        cut_fraction_ms(&text, &ms) < 0 || cut_offset_minutes(&text, &offset) < 0 || text.len)
        return DUREQ_EPARSE;
    if (mo < 1 || mo > 12 || d < 1 || d > dq_days_in_month(y, mo) || h > 23 || mi > 59 || s > 60)
        return DUREQ_EPARSE;
    *ret = ((dq_days_of_date(y, mo, d) * 24 + h) * 60 + mi - offset) * 60000 + s * 1000 + ms;
    return 0;
}
