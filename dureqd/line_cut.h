/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Cuts what a program writes into lines, however it comes in pieces. Pure. */

#include "base/buf.h"

typedef struct dq_line_cut {
    size_t max; /* bytes of a line; what is longer is read over */
    dq_buf part;
    bool part_dropped, is_given; /* the unfinished line is too long; `part` was handed out, so the next one begins */
} dq_line_cut;

typedef enum dq_line_end {
    DQ_LINE_NONE, /* no line ends here */
    DQ_LINE_WHOLE,
    DQ_LINE_LONG, /* one ends that was too long */
    DQ_LINE_LOST, /* one ends for which there was no memory */
} dq_line_end;

void dq_line_cut_deinit(dq_line_cut *l);
/* Takes a line's end, or all there is, off the front of *bytes. With DQ_LINE_WHOLE *ret is the line without its newline, valid until
   the next call and while the bytes are. */
dq_line_end dq_line_cut_take(dq_line_cut *l, dureq_str *bytes, dureq_str *ret);
/* The last line, which may lack its newline. */
dq_line_end dq_line_cut_last(dq_line_cut *l, dureq_str *ret);
