/* SPDX-License-Identifier: Apache-2.0 */
/* A job, and what came of it, as a person reads them. */
#include <stdio.h>

#include "ctl.h"

static void put_lines(dq_buf *text)
{
    while (text->len && text->ptr[text->len - 1] == '\n')
        text->len--;
    ctl_clean(text, /*keep_lines=*/true);
    printf(DQ_STR_FMT "\n", DQ_STR_ARG(dq_buf_str(text)));
}

/* The text of a member, "" when there is none. */
static void text_of(const dq_json *doc, dq_json_ref object, const char *name, dq_buf *out)
{
    dq_json_ref v = dq_json_member(doc, object, name);

    if (v != DQ_JSON_NONE)
        (void)dq_json_string(doc, v, out); /* not a string: nothing to show */
}

/* Of the newest attempt: the table has its first line at most. */
static void print_error(const dq_json *doc, dq_json_ref attempt)
{
    DQ_BUF_AUTO error = {0};
    DQ_BUF_AUTO detail = {0};

    text_of(doc, attempt, "error", &error);
    text_of(doc, attempt, "detail", &detail);
    if (error.len) {
        fputs("\nThe last error:\n", stdout);
        put_lines(&error);
    }
    if (detail.len) {
        fputs("\nIts detail:\n", stdout);
        put_lines(&detail);
    }
}

void ctl_print_job(const ctl *c, const ctl_answer *a)
{
    static const ctl_column columns[] = {
        {"ATTEMPT", "attempt", CTL_NUMBER},
        {"STARTED", "started_at", CTL_TIME},
        {"FINISHED", "finished_at", CTL_TIME, .may_go = true},
        {"OUTCOME", "outcome", CTL_STATE},
        {"NODE", "node_id", CTL_TEXT},
        {"ERROR", "error", CTL_TEXT},
        {NULL, NULL, CTL_TEXT},
    };
    const dq_json *doc = &a->doc;
    dq_json_ref attempts = dq_json_member(doc, 0, "attempts"), last = DQ_JSON_NONE;

    if (c->format != CTL_TABLE) {
        ctl_print_object(c, a, 0);
        return;
    }
    ctl_print_pairs(c, doc, 0, "attempts");
    if (attempts == DQ_JSON_NONE || doc->nodes[attempts].n == 0)
        return;
    fputc('\n', stdout);
    ctl_print_list(c, a, attempts, columns);
    for (dq_json_ref v = dq_json_first(doc, attempts); v != DQ_JSON_NONE; v = dq_json_next(doc, attempts, v))
        last = v;
    if (!dq_json_string_eq(doc, dq_json_member(doc, 0, "status"), "completed"))
        print_error(doc, last);
}

/* With --quiet the bare result, for a pipe. */
static void print_bare(const ctl *c, const dq_json *doc)
{
    dq_json_ref result = dq_json_member(doc, 0, "result");
    DQ_BUF_AUTO text = {0};

    if (result == DQ_JSON_NONE)
        text_of(doc, 0, "result_base64", &text);
    else if (dq_json_type_of(doc, result) == DQ_JSON_STRING)
        (void)dq_json_string(doc, result, &text);
    else
        dq_buf_append_str(&text, dq_json_raw(doc, result));
    if (c->is_terminal)
        ctl_clean(&text, /*keep_lines=*/true);
    if (text.len)
        printf(DQ_STR_FMT "\n", DQ_STR_ARG(dq_buf_str(&text)));
    dq_buf_clear(&text);
    text_of(doc, 0, "error", &text);
    if (text.len)
        (void)ctl_fail(CTL_FAILED, DQ_STR_FMT, DQ_STR_ARG(dq_buf_str(&text)));
}

int ctl_print_result(const ctl *c, const ctl_answer *a)
{
    if (c->quiet && c->format == CTL_TABLE)
        print_bare(c, &a->doc);
    else
        ctl_print_object(c, a, 0);
    return dq_json_string_eq(&a->doc, dq_json_member(&a->doc, 0, "status"), "completed") ? CTL_DONE : CTL_FAILED;
}
