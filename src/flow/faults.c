/* SPDX-License-Identifier: Apache-2.0 */
/* The faults of a definition, collected while it is read and given back in the order of its text. */

#include "flow/flow.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void dq_flow_faults_deinit(dq_flow_faults *f)
{
    dq_free(f->items);
    dq_arena_deinit(&f->arena);
    *f = (dq_flow_faults){0};
}

static bool make_room(dq_flow_faults *f)
{
    size_t cap = f->cap ? f->cap * 2 : 16;
    dq_flow_fault *items;

    if (f->n < f->cap)
        return true;
    items = dq_realloc(f->items, cap * sizeof *items);
    if (!items)
        return false;
    f->items = items;
    f->cap = cap;
    return true;
}

void dq_flow_fault_add(dq_flow_faults *f, uint32_t at, const char *path, const char *fmt, ...)
{
    char text[DUREQ_ERROR_MSG_MAX];
    const char *kept_path, *kept_text;
    va_list ap;

    if (f->n == DQ_FLOW_FAULTS_MAX) {
        f->n_more++;
        return;
    }
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    kept_path = dq_arena_dup(&f->arena, dureq_str_from(path));
    kept_text = dq_arena_dup(&f->arena, dureq_str_from(text));
    if (!kept_path || !kept_text || !make_room(f)) {
        f->failed = true;
        return;
    }
    f->items[f->n++] = (dq_flow_fault){.at = at, .path = kept_path, .text = kept_text};
}

static int by_place(const void *a, const void *b)
{
    const dq_flow_fault *x = a, *y = b;

    if (x->at != y->at)
        return x->at < y->at ? -1 : 1;
    return strcmp(x->text, y->text);
}

int dq_flow_faults_finish(dq_flow_faults *f, dureq_str text)
{
    uint32_t line = 1, line_at = 0, at = 0;

    if (f->failed)
        return DUREQ_ENOMEM;
    if (f->n > 1)
        qsort(f->items, f->n, sizeof *f->items, by_place);
    for (size_t i = 0; i < f->n; i++) {
        for (; at < f->items[i].at && at < text.len; at++)
            if (text.ptr[at] == '\n') {
                line++;
                line_at = at + 1;
            }
        f->items[i].line = line;
        f->items[i].column = f->items[i].at - line_at + 1;
    }
    return 0;
}
