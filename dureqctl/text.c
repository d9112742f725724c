/* SPDX-License-Identifier: Apache-2.0 */
/* Text as a terminal shows it: what would drive it is taken out, and widths are in its cells. */
#include <stdint.h>
#include <stdio.h>

#include "ctl.h"

#define INVALID 0xfffffffful /* a byte that is no UTF-8 */

typedef struct range {
    uint32_t first, last;
} range;

/* Controls of C0 and C1, DEL, marks that turn the direction of what follows, and separators of lines that are no \n. */
static const range driving[] = {
    {0x00, 0x1f}, {0x7f, 0x9f}, {0x61c, 0x61c}, {0x200e, 0x200f}, {0x2028, 0x202e}, {0x2066, 0x2069}, {INVALID, INVALID},
};

static const range without_width[] = {
    {0x300, 0x36f},   {0x483, 0x489},   {0x591, 0x5bd},   {0x610, 0x61a},     {0x64b, 0x65f},
    {0x6d6, 0x6dc},   {0x93c, 0x93c},   {0x941, 0x948},   {0xe31, 0xe31},     {0xe34, 0xe3a},
    {0xe47, 0xe4e},   {0x1ab0, 0x1aff}, {0x1dc0, 0x1dff}, {0x200b, 0x200d},   {0x20d0, 0x20ff},
    {0xfe00, 0xfe0f}, {0xfe20, 0xfe2f}, {0xfeff, 0xfeff}, {0xe0100, 0xe01ef},
};

static const range wide[] = {
    {0x1100, 0x115f}, {0x231a, 0x231b},   {0x2e80, 0x303e},   {0x3041, 0x33ff},   {0x3400, 0x4dbf},   {0x4e00, 0x9fff},
    {0xa000, 0xa4cf}, {0xa960, 0xa97c},   {0xac00, 0xd7a3},   {0xf900, 0xfaff},   {0xfe30, 0xfe4f},   {0xff00, 0xff60},
    {0xffe0, 0xffe6}, {0x1f300, 0x1f64f}, {0x1f680, 0x1f6ff}, {0x1f900, 0x1f9ff}, {0x1fa70, 0x1faff}, {0x20000, 0x3fffd},
};

static bool is_among(uint32_t c, const range *ranges, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (c >= ranges[i].first && c <= ranges[i].last)
            return true;
    return false;
}

/* The character at s, of at least one byte; how many bytes it has. A byte that begins none is INVALID, alone. */
static size_t char_at(dureq_str s, uint32_t *ret)
{
    unsigned char lead = (unsigned char)s.ptr[0];
    size_t len = lead < 0x80 ? 1 : lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;

    *ret = INVALID;
    if (len > s.len || !dq_utf8_valid(dureq_str_of(s.ptr, len)))
        return 1;
    *ret = len == 1 ? lead : lead & (0xffu >> (len + 1));
    for (size_t i = 1; i < len; i++)
        *ret = *ret << 6 | ((unsigned char)s.ptr[i] & 0x3f);
    return len;
}

static dureq_str from(const dq_buf *b, size_t at)
{
    return dureq_str_of(b->ptr + at, b->len - at);
}

void ctl_append_vfmt(dq_buf *out, const char *fmt, va_list args)
{
    va_list again;
    char *room;
    int n;

    va_copy(again, args);
    n = vsnprintf(NULL, 0, fmt, again);
    va_end(again);
    room = n > 0 ? dq_buf_reserve(out, (size_t)n + 1) : NULL;
    if (!room)
        return;
    (void)vsnprintf(room, (size_t)n + 1, fmt, args);
    out->len += (size_t)n;
}

void ctl_clean(dq_buf *b, bool keep_lines)
{
    uint32_t c;
    size_t n;

    for (size_t at = 0; at < b->len; at += n) {
        n = char_at(from(b, at), &c);
        if (is_among(c, driving, DQ_ARRAY_LEN(driving)) && !(keep_lines && (c == '\n' || c == '\t')))
            memset(b->ptr + at, c == INVALID ? '?' : ' ', n);
    }
}

/* Controls of C0 are escaped in any JSON; what is left of them stands between values. */
void ctl_append_json(dq_buf *out, dureq_str json)
{
    while (json.len) {
        uint32_t c;
        size_t n = char_at(json, &c);

        if (c > ' ' && is_among(c, driving, DQ_ARRAY_LEN(driving)))
            dq_buf_append_fmt(out, "\\u%04x", c == INVALID ? 0xfffdu : (unsigned)c);
        else
            dq_buf_append(out, json.ptr, n);
        json = dureq_str_of(json.ptr + n, json.len - n);
    }
}

static size_t width_of(uint32_t c)
{
    if (is_among(c, without_width, DQ_ARRAY_LEN(without_width)))
        return 0;
    return is_among(c, wide, DQ_ARRAY_LEN(wide)) ? 2 : 1;
}

size_t ctl_width(dureq_str s)
{
    size_t width = 0;

    while (s.len) {
        uint32_t c;
        size_t n = char_at(s, &c);

        width += width_of(c);
        s = dureq_str_of(s.ptr + n, s.len - n);
    }
    return width;
}

void ctl_cut(dq_buf *b, size_t width)
{
    const char *mark = width > 3 ? "..." : "";
    size_t left = width - strlen(mark), at = 0;

    if (b->len <= width || ctl_width(dq_buf_str(b)) <= width)
        return;
    while (at < b->len) {
        uint32_t c;
        size_t n = char_at(from(b, at), &c), w = width_of(c);

        if (w > left)
            break;
        left -= w;
        at += n;
    }
    b->len = at;
    dq_buf_append_text(b, mark);
}
