/* SPDX-License-Identifier: Apache-2.0 */
#include "base/str.h"

bool dq_str_eq(dureq_str a, dureq_str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

bool dq_str_eq_text(dureq_str a, const char *text)
{
    return dq_str_eq(a, dureq_str_from(text));
}

bool dq_str_starts_with(dureq_str s, dureq_str prefix)
{
    return s.len >= prefix.len && dq_str_eq(dureq_str_of(s.ptr, prefix.len), prefix);
}

bool dq_str_ends_with(dureq_str s, dureq_str suffix)
{
    size_t skipped = s.len - suffix.len;

    return s.len >= suffix.len && (suffix.len == 0 || dq_str_eq(dureq_str_of(s.ptr + skipped, suffix.len), suffix));
}

int dq_str_cmp(dureq_str a, dureq_str b)
{
    size_t n = DQ_MIN(a.len, b.len);
    int c = n ? memcmp(a.ptr, b.ptr, n) : 0;

    if (c != 0)
        return c;
    return (a.len > b.len) - (a.len < b.len);
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

dureq_str dq_str_trim(dureq_str s)
{
    while (s.len && is_blank(s.ptr[0])) {
        s.ptr++;
        s.len--;
    }
    while (s.len && is_blank(s.ptr[s.len - 1]))
        s.len--;
    return s;
}

dureq_str dq_str_last(dureq_str s, size_t n)
{
    return s.len > n ? dureq_str_of(s.ptr + (s.len - n), n) : s;
}

dureq_str dq_str_cut(dureq_str *rest, char sep)
{
    dureq_str head = *rest;
    const char *at = rest->len ? memchr(rest->ptr, sep, rest->len) : NULL;

    if (!at) {
        *rest = dureq_str_of(NULL, 0);
        return head;
    }
    head.len = (size_t)(at - head.ptr);
    *rest = dureq_str_of(at + 1, rest->len - head.len - 1);
    return head;
}

uint64_t dq_hash_bytes(const void *ptr, size_t len)
{
    const unsigned char *p = ptr;
    uint64_t h = 0xcbf29ce484222325u; /* FNV-1a 64: http://www.isthe.com/chongo/tech/comp/fnv/ */

    for (size_t i = 0; i < len; i++)
        h = (h ^ p[i]) * 0x100000001b3u;
    h ^= h >> 33; /* the final mix of MurmurHash3, so that the low bits are good */
    h *= 0xff51afd7ed558ccdu;
    h ^= h >> 33;
    return h;
}
