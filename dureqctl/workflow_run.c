/* SPDX-License-Identifier: Apache-2.0 */
/* workflow start, get, list, cancel, graph: thin requests to the API resources. */
#include <stdio.h>

#include "workflow.h"

static const dureq_str no_body = {NULL, 0};

static const ctl_column workflow_columns[] = {
    {"ID", "id", CTL_TEXT},
    {"NAME", "workflow_name", CTL_TEXT},
    {"STATUS", "status", CTL_STATE},
    {"TASKS", "task_count", CTL_NUMBER},
    {"ENDED", "ended", CTL_NUMBER},
    {"FAILED", "failed", CTL_NUMBER},
    {"CREATED", "created_at", CTL_TIME},
    {"COMPLETED", "completed_at", CTL_TIME, .may_go = true},
    {NULL, NULL, CTL_TEXT},
};
static const ctl_column task_columns[] = {
    {"TASK", "name", CTL_TEXT},
    {"STATUS", "status", CTL_STATE},
    {"TYPE", "task_type", CTL_TEXT, .may_go = true},
    {"JOB", "job_id", CTL_TEXT},
    {"RELEASED", "released_at", CTL_TIME, .may_go = true},
    {"FINISHED", "finished_at", CTL_TIME},
    {"ERROR", "error", CTL_TEXT},
    {NULL, NULL, CTL_TEXT},
};

static int one_id(int argc, char **argv, const ctl_option *options, size_t n_options)
{
    int n, rc = ctl_options(argc, argv, options, n_options, &n);

    if (rc != 0)
        return rc;
    return n == 1 && *argv[1] ? 0 : ctl_usage("'workflow %s' takes one id", argv[0]);
}

static int call_for(ctl *c, const char *method, const char *path_fmt, const char *id, const char *query, dureq_str body,
                    ctl_answer *ret)
{
    DQ_BUF_AUTO path = {0};

    ctl_path(&path, path_fmt, id);
    return ctl_call(c, method, path.ptr, query, body, ret);
}

/* ---- get ---- */

/* The workflow, then its tasks as a table: the first 1,000. */
static int show(ctl *c, const char *id)
{
    ctl_answer a;
    int rc = call_for(c, "GET", "/api/workflows/%s", id, NULL, no_body, &a);

    if (rc != 0)
        return rc;
    if (c->format != CTL_TABLE) {
        ctl_print_object(c, &a, 0);
        ctl_answer_deinit(&a);
        return CTL_DONE;
    }
    ctl_print_pairs(c, &a.doc, 0, "tasks");
    ctl_answer_deinit(&a);
    rc = call_for(c, "GET", "/api/workflows/%s/tasks", id, "limit=1000", no_body, &a);
    if (rc != 0)
        return rc;
    (void)putchar('\n');
    ctl_print_list(c, &a, dq_json_member(&a.doc, 0, "data"), task_columns);
    ctl_answer_deinit(&a);
    return CTL_DONE;
}

int ctl_workflow_get(ctl *c, int argc, char **argv)
{
    int rc = one_id(argc, argv, NULL, 0);

    return rc != 0 ? rc : show(c, argv[1]);
}

/* ---- graph ---- */

void ctl_graph_task(const ctl *c, dureq_str name, dureq_str status, dq_buf *out)
{
    const char *color = ctl_color_of(c, status);
    DQ_BUF_AUTO text = {0};

    dq_buf_append_str(&text, name);
    ctl_clean(&text, /*keep_lines=*/false);
    dq_buf_append_buf(out, &text);
    if (color)
        dq_buf_append_fmt(out, "  \033[%sm" DQ_STR_FMT "\033[0m", color, DQ_STR_ARG(status));
    else
        dq_buf_append_fmt(out, "  " DQ_STR_FMT, DQ_STR_ARG(status));
}

int ctl_workflow_graph(ctl *c, int argc, char **argv)
{
    ctl_answer a;
    int rc = one_id(argc, argv, NULL, 0);

    if (rc == 0)
        rc = call_for(c, "GET", "/api/workflows/%s/graph", argv[1], NULL, no_body, &a);
    if (rc != 0)
        return rc;
    if (c->format == CTL_TABLE)
        rc = ctl_draw_graph(c, &a.doc);
    else
        ctl_print_object(c, &a, 0);
    ctl_answer_deinit(&a);
    return rc;
}

/* ---- list ---- */

int ctl_workflow_list(ctl *c, int argc, char **argv)
{
    const char *status = NULL, *limit = NULL, *cursor = NULL;
    const ctl_option options[] = {
        {.name = "status", .value = &status}, {.name = "limit", .value = &limit}, {.name = "cursor", .value = &cursor}};
    DQ_BUF_AUTO query = {0};
    ctl_answer a;
    int n, rc = ctl_options(argc, argv, options, DQ_ARRAY_LEN(options), &n);

    if (rc == 0 && n)
        rc = ctl_usage("'workflow list' takes options only, not '%s'", argv[1]);
    if (rc != 0)
        return rc;
    ctl_query(&query, "status", status);
    ctl_query(&query, "limit", limit);
    ctl_query(&query, "cursor", cursor);
    rc = ctl_call(c, "GET", "/api/workflows", query.ptr, no_body, &a);
    if (rc != 0)
        return rc;
    ctl_print_list(c, &a, dq_json_member(&a.doc, 0, "data"), workflow_columns);
    ctl_answer_deinit(&a);
    return CTL_DONE;
}

/* ---- cancel ---- */

int ctl_workflow_cancel(ctl *c, int argc, char **argv)
{
    const char *reason = NULL;
    const ctl_option options[] = {{.name = "reason", .value = &reason}};
    DQ_BUF_AUTO body = {0};
    ctl_answer a;
    int rc = one_id(argc, argv, options, DQ_ARRAY_LEN(options));

    if (rc != 0)
        return rc;
    if (reason) {
        dq_json_writer w = dq_json_writer_of(&body);

        dq_json_begin_object(&w);
        dq_json_key(&w, "reason");
        dq_json_put_text(&w, reason);
        dq_json_end_object(&w);
    }
    rc = call_for(c, "POST", "/api/workflows/%s/cancel", argv[1], NULL, dq_buf_str(&body), &a);
    if (rc != 0)
        return rc;
    ctl_print_done(c, &a, "cancelled %s", argv[1]);
    ctl_answer_deinit(&a);
    return CTL_DONE;
}

/* ---- retry, suspend, resume ---- */

static int act_on(ctl *c, int argc, char **argv, const char *path_fmt, const char *done)
{
    ctl_answer a;
    int rc = one_id(argc, argv, NULL, 0);

    if (rc == 0)
        rc = call_for(c, "POST", path_fmt, argv[1], NULL, no_body, &a);
    if (rc != 0)
        return rc;
    ctl_print_done(c, &a, "%s %s", done, argv[1]);
    ctl_answer_deinit(&a);
    return CTL_DONE;
}

int ctl_workflow_retry(ctl *c, int argc, char **argv)
{
    return act_on(c, argc, argv, "/api/workflows/%s/retry", "retried");
}

int ctl_workflow_suspend(ctl *c, int argc, char **argv)
{
    return act_on(c, argc, argv, "/api/workflows/%s/suspend", "suspended");
}

int ctl_workflow_resume(ctl *c, int argc, char **argv)
{
    return act_on(c, argc, argv, "/api/workflows/%s/resume", "resumed");
}

/* ---- start ---- */

static bool has_status(const dq_json *doc, const char *word)
{
    dq_json_ref v = dq_json_member(doc, 0, "status");

    return v != DQ_JSON_NONE && dq_json_string_eq(doc, v, word);
}

/* Ends with the graph on standard output, or the workflow as JSON; the exit code says whether it completed. */
static int wait_for(ctl *c, const char *id, const char *timeout)
{
    DQ_BUF_AUTO query = {0};
    ctl_answer a;
    bool completed;
    int rc;

    ctl_query(&query, "wait", timeout ? timeout : "24h");
    rc = call_for(c, "GET", "/api/workflows/%s", id, query.ptr, no_body, &a);
    if (rc != 0) {
        fprintf(stderr, "The workflow goes on: see dureqctl workflow get %s\n", id);
        return rc;
    }
    completed = has_status(&a.doc, "completed");
    if (c->format != CTL_TABLE)
        ctl_print_object(c, &a, 0);
    ctl_answer_deinit(&a);
    if (c->format == CTL_TABLE && !c->quiet)
        rc = show(c, id);
    return rc ? rc : completed ? CTL_DONE : CTL_FAILED;
}

int ctl_workflow_start(ctl *c, int argc, char **argv)
{
    const char *timeout = NULL;
    bool wait = false;
    const ctl_option options[] = {{.name = "wait", .flag = &wait}, {.name = "wait-timeout", .value = &timeout}};
    DQ_BUF_AUTO text = {0};
    DQ_BUF_AUTO id = {0};
    ctl_answer a;
    int64_t ms;
    int n, rc = ctl_options(argc, argv, options, DQ_ARRAY_LEN(options), &n);

    if (rc == 0 && n != 1)
        rc = ctl_usage("'workflow start' takes one file, or '-' for standard input");
    if (rc == 0 && timeout && !wait)
        rc = ctl_usage("--wait-timeout needs --wait");
    if (rc == 0 && timeout)
        rc = ctl_duration("wait-timeout", timeout, &ms);
    if (rc == 0)
        rc = ctl_read_definition(argv[1], &text);
    if (rc == 0)
        rc = ctl_call(c, "POST", "/api/workflows", NULL, dq_buf_str(&text), &a);
    if (rc != 0)
        return rc;
    (void)dq_json_string(&a.doc, dq_json_member(&a.doc, 0, "workflow_id"), &id);
    if (!wait && c->format != CTL_TABLE)
        ctl_print_object(c, &a, 0);
    else if (c->format == CTL_TABLE && !wait)
        printf("%s\n", id.ptr ? id.ptr : "");
    ctl_answer_deinit(&a);
    if (dq_buf_failed(&id) || !id.len)
        return ctl_fail(CTL_FAILED, "out of memory");
    return wait ? wait_for(c, id.ptr, timeout) : CTL_DONE;
}
