/* SPDX-License-Identifier: Apache-2.0 */
/* A job, and what came of it, as a person reads them. */
#include <inttypes.h>
#include <stdio.h>

#include "ctl.h"

#define LOG_LINES 20 /* shown of each run */

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

/* ---- the log ---- */

/* A line that a run has logged. Those of earlier versions have neither time nor run: all of it is the text. */
typedef struct log_line {
    dureq_str at, run, text;
} log_line;

static log_line read_log_line(dureq_str line)
{
    dureq_str rest = line, at = dq_str_cut(&rest, ' '), run = dq_str_cut(&rest, ' ');
    int64_t at_ms, n;

    if (dq_parse_rfc3339_ms(at, &at_ms) < 0 || dq_parse_i64(run, 1, INT32_MAX, &n) < 0)
        return (log_line){.text = line};
    return (log_line){at, run, rest.ptr ? rest : dureq_str_of("", 0)};
}

/* The lines of one run stand together: how many begin the log, and what comes after them. */
static size_t run_at(dureq_str log, dureq_str *ret_rest)
{
    dureq_str first = {0};
    size_t n = 0;

    for (dureq_str rest = log; rest.len; n++) {
        dureq_str before = rest;
        log_line l = read_log_line(dq_str_cut(&rest, '\n'));

        if (n && !dq_str_eq(l.run, first)) {
            *ret_rest = before;
            return n;
        }
        first = l.run;
    }
    *ret_rest = (dureq_str){0};
    return n;
}

static void skip_lines(dureq_str *text, size_t n)
{
    while (n-- && text->len)
        (void)dq_str_cut(text, '\n');
}

/* Whether the log ends with the lines of `detail`, of which as many are shown as a run shows. */
static bool ends_with_lines(dureq_str log, dureq_str detail)
{
    dureq_str counted = log;
    size_t n_log = 0, n_detail = 0;

    for (dureq_str rest = detail; rest.len; n_detail++)
        (void)dq_str_cut(&rest, '\n');
    for (; counted.len; n_log++)
        (void)dq_str_cut(&counted, '\n');
    if (n_detail > n_log || n_detail > LOG_LINES)
        return false;
    skip_lines(&log, n_log - n_detail);
    while (detail.len) {
        log_line l = read_log_line(dq_str_cut(&log, '\n'));

        if (!dq_str_eq(l.text, dq_str_cut(&detail, '\n')))
            return false;
    }
    return true;
}

static void print_log_line(dureq_str line)
{
    log_line l = read_log_line(line);
    dureq_str clock = l.at.len > 11 ? dureq_str_of(l.at.ptr + 11, l.at.len - 11) : l.at; /* without its day: that of the run */
    DQ_BUF_AUTO text = {0};

    dq_buf_append_fmt(&text, "  " DQ_STR_FMT "%s", DQ_STR_ARG(clock), clock.len ? "  " : "");
    dq_buf_append_str(&text, l.text);
    ctl_clean(&text, /*keep_lines=*/false);
    printf(DQ_STR_FMT "\n", DQ_STR_ARG(dq_buf_str(&text)));
}

/* The last lines of each run below its number. */
static void print_log(dureq_str log, const char *id)
{
    while (log.len) {
        dureq_str rest_of_log, rest = log;
        size_t n = run_at(log, &rest_of_log), left_out = n > LOG_LINES ? n - LOG_LINES : 0;
        log_line first = read_log_line(dq_str_cut(&rest, '\n'));

        if (first.run.len)
            printf("\nLog of run " DQ_STR_FMT ", %.10s:\n", DQ_STR_ARG(first.run), first.at.ptr);
        else
            fputs("\nLog:\n", stdout);
        if (left_out)
            printf("  (%zu more: dureqctl job logs %s)\n", left_out, id);
        skip_lines(&log, left_out);
        for (size_t i = left_out; i < n; i++)
            print_log_line(dq_str_cut(&log, '\n'));
        log = rest_of_log;
    }
}

/* ---- a job ---- */

/* Of the newest attempt: the table has its first line at most. What its log shows is not said twice. */
static void print_error(const dq_json *doc, dq_json_ref attempt, dureq_str log)
{
    static const struct {
        const char *name, *title;
    } parts[] = {{"error", "The last error"}, {"detail", "Its detail"}, {"output", "What it had written to standard output"}};

    for (size_t i = 0; i < DQ_ARRAY_LEN(parts); i++) {
        DQ_BUF_AUTO text = {0};

        text_of(doc, attempt, parts[i].name, &text);
        if (text.len == 0 || (i == 1 && ends_with_lines(log, dq_buf_str(&text))))
            continue;
        printf("\n%s:\n", parts[i].title);
        put_lines(&text);
    }
}

static void print_attempts(const ctl *c, const ctl_answer *a, dureq_str log)
{
    static const ctl_column columns[] = {
        {"RUN", "attempt", CTL_NUMBER},
        {"STARTED", "started_at", CTL_TIME},
        {"FINISHED", "finished_at", CTL_TIME, .may_go = true},
        {"OUTCOME", "outcome", CTL_STATE},
        {"NODE", "node_id", CTL_TEXT},
        {"ERROR", "error", CTL_TEXT},
        {NULL, NULL, CTL_TEXT},
    };
    const dq_json *doc = &a->doc;
    dq_json_ref attempts = dq_json_member(doc, 0, "attempts"), last = DQ_JSON_NONE;

    if (attempts == DQ_JSON_NONE || doc->nodes[attempts].n == 0)
        return;
    fputc('\n', stdout);
    ctl_print_list(c, a, attempts, columns);
    for (dq_json_ref v = dq_json_first(doc, attempts); v != DQ_JSON_NONE; v = dq_json_next(doc, attempts, v))
        last = v;
    if (!dq_json_string_eq(doc, dq_json_member(doc, 0, "status"), "completed"))
        print_error(doc, last, log);
}

const ctl_column ctl_step_columns[] = {
    {"STEP", "key", CTL_TEXT},
    {"STATUS", "status", CTL_STATE},
    {"RUN", "run_id", CTL_TEXT, .may_go = true},
    {"STARTED", "started_at", CTL_TIME},
    {"FINISHED", "finished_at", CTL_TIME, .may_go = true},
    {"RESULT", "result", CTL_VALUE},
    {NULL, "step", CTL_TEXT},
};

static void print_steps(const ctl *c, const ctl_answer *steps)
{
    if (steps->doc.nodes[0].n == 0)
        return;
    fputc('\n', stdout);
    ctl_print_list(c, steps, 0, ctl_step_columns);
}

void ctl_print_job(const ctl *c, const ctl_answer *a, const ctl_answer *steps, dureq_str log, const char *id)
{
    ctl_print_pairs(c, &a->doc, 0, "attempts");
    print_attempts(c, a, log);
    print_steps(c, steps);
    print_log(log, id);
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
