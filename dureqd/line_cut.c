/* SPDX-License-Identifier: Apache-2.0 */
#include "line_cut.h"

void dq_line_cut_deinit(dq_line_cut *l)
{
    dq_buf_deinit(&l->part);
}

/* A line that came in one piece is not copied. */
static dq_line_end end_line(dq_line_cut *l, dureq_str rest, dureq_str *ret)
{
    l->is_given = true;
    if (l->part_dropped)
        return DQ_LINE_LONG;
    if (l->part.len == 0 && !l->part.failed) {
        *ret = rest;
        return DQ_LINE_WHOLE;
    }
    dq_buf_append_str(&l->part, rest);
    if (l->part.failed)
        return DQ_LINE_LOST; /* the end of a line must not pass for one */
    *ret = dq_buf_str(&l->part);
    return DQ_LINE_WHOLE;
}

static void begin_line(dq_line_cut *l)
{
    if (!l->is_given)
        return;
    dq_buf_clear(&l->part);
    l->part_dropped = l->is_given = false;
}

dq_line_end dq_line_cut_take(dq_line_cut *l, dureq_str *bytes, dureq_str *ret)
{
    const char *end = memchr(bytes->ptr, '\n', bytes->len);
    size_t n = end ? (size_t)(end - bytes->ptr) : bytes->len;
    dureq_str piece = dureq_str_of(bytes->ptr, n);

    begin_line(l);
    if (l->part.len + n > l->max)
        l->part_dropped = true;
    n += end ? 1 : 0;
    *bytes = dureq_str_of(bytes->ptr + n, bytes->len - n);
    if (end)
        return end_line(l, piece, ret);
    if (l->part_dropped)
        dq_buf_deinit(&l->part);
    else
        dq_buf_append_str(&l->part, piece);
    return DQ_LINE_NONE;
}

dq_line_end dq_line_cut_last(dq_line_cut *l, dureq_str *ret)
{
    begin_line(l);
    /* A first piece for which there was no memory leaves nothing but the failure. */
    if (l->part.len == 0 && !l->part.failed && !l->part_dropped)
        return DQ_LINE_NONE;
    return end_line(l, (dureq_str){0}, ret);
}
