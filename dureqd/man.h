/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Manual pages of the programs, in the man macros of roff: written from the tables that the help is printed from. */

#include "base/buf.h"

void dq_man_begin(dq_buf *out, const char *name, int section, const char *summary); /* and its section NAME */
void dq_man_section(dq_buf *out, const char *title);
void dq_man_usage(dq_buf *out, const char *program, const char *args);
void dq_man_item(dq_buf *out, const char *term, const char *text); /* a term, and the paragraph that explains it */
void dq_man_text(dq_buf *out, const char *text);                   /* a paragraph */
void dq_man_lines(dq_buf *out, const char *lines);                 /* as they are: examples, tables; NULL or "": none */
