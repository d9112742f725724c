/* SPDX-License-Identifier: Apache-2.0 */
#include "json/scan.h"

#include "json/json.h"

/* What a byte within a string is: 0 plain ASCII, 1 quote, 2 backslash, 3 control, 4 start of a longer character. */
static const unsigned char kinds[256] = {
    [0 ... 31] = 3,
    ['"'] = 1,
    ['\\'] = 2,
    [128 ... 255] = 4,
};

size_t dq_utf8_len(const char *ptr, const char *end)
{
    const unsigned char *p = (const unsigned char *)ptr;
    size_t left = (size_t)(end - ptr), len;
    unsigned low = 0x80, high = 0xbf; /* bounds of the second byte */

    if (p[0] < 0x80)
        return 1;
    if (p[0] < 0xc2 || p[0] > 0xf4)
        return 0;
    len = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
    if (p[0] == 0xe0)
        low = 0xa0;
    else if (p[0] == 0xed)
        high = 0x9f;
    else if (p[0] == 0xf0)
        low = 0x90;
    else if (p[0] == 0xf4)
        high = 0x8f;
    if (left < len || p[1] < low || p[1] > high)
        return 0;
    for (size_t i = 2; i < len; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    return len;
}

bool dq_utf8_valid(dureq_str s)
{
    const char *p = s.len ? s.ptr : "", *end = p + s.len;

    while (p < end) {
        size_t len = dq_utf8_len(p, end);

        if (len == 0)
            return false;
        p += len;
    }
    return true;
}

int dq_json_hex4(const char *p, const char *end)
{
    int v = 0;

    if (end - p < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        char c = p[i];
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;

        if (digit < 0)
            return -1;
        v = v * 16 + digit;
    }
    return v;
}

/* After the backslash at p - 1; a surrogate must come as a pair. */
static const char *scan_escape(const char *p, const char *end, const char **what)
{
    const char *start = p;
    int unit;

    if (p == end) {
        *what = "the text ends too soon";
        return p;
    }
    if (*p != 'u') {
        if (*p && strchr("\"\\/bfnrt", *p))
            return p + 1;
        *what = "unknown escape";
        return p;
    }
    unit = dq_json_hex4(p + 1, end);
    if (unit < 0) {
        *what = "\\u needs four hexadecimal digits";
        return p;
    }
    p += 5;
    if (unit >= 0xdc00 && unit <= 0xdfff) {
        *what = "a lone surrogate";
    } else if (unit >= 0xd800 && unit <= 0xdbff) {
        int low = end - p >= 6 && p[0] == '\\' && p[1] == 'u' ? dq_json_hex4(p + 2, end) : -1;

        if (low < 0xdc00 || low > 0xdfff)
            *what = "a lone surrogate";
        else
            p += 6;
    }
    return *what ? start : p;
}

const char *dq_json_scan_string(const char *p, const char *end, bool *ret_escapes, const char **what)
{
    size_t len;

    p++;
    for (;;) {
        while (p < end && kinds[(unsigned char)*p] == 0)
            p++;
        if (p == end) {
            *what = "a string has no end";
            return p;
        }
        switch (kinds[(unsigned char)*p]) {
        case 1: return p + 1;
        case 2:
            *ret_escapes = true;
            p = scan_escape(p + 1, end, what);
            if (*what)
                return p;
            break;
        case 3: *what = "a control character in a string must be escaped"; return p;
        default:
            len = dq_utf8_len(p, end);
            if (len == 0) {
                *what = "invalid UTF-8";
                return p;
            }
            p += len;
        }
    }
}

static bool is_digit(const char *p, const char *end)
{
    return p < end && *p >= '0' && *p <= '9';
}

static const char *scan_digits(const char *p, const char *end, const char **what)
{
    if (!is_digit(p, end))
        *what = "a digit is expected";
    while (is_digit(p, end))
        p++;
    return p;
}

const char *dq_json_scan_number(const char *p, const char *end, const char **what)
{
    const char *start = p;

    if (*p == '-')
        p++;
    if (!is_digit(p, end)) {
        *what = p == start ? "not a JSON value" : "a digit is expected";
        return p;
    }
    if (*p == '0' && is_digit(p + 1, end)) {
        *what = "a number has no leading zeros";
        return p;
    }
    p = scan_digits(p, end, what);
    if (p < end && *p == '.')
        p = scan_digits(p + 1, end, what);
    if (!*what && p < end && (*p == 'e' || *p == 'E')) {
        p++;
        if (p < end && (*p == '+' || *p == '-'))
            p++;
        p = scan_digits(p, end, what);
    }
    return p;
}
