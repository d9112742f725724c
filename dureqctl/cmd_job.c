/* SPDX-License-Identifier: Apache-2.0 */
/* job, dlq, run and key commands: thin requests to the API resources. */
#include <stdio.h>

#include "act.h"

static const dureq_str no_body = {NULL, 0};

static const ctl_column job_columns[] = {
    {"ID", "id", CTL_TEXT},
    {"TYPE", "task_type", CTL_TEXT},
    {"QUEUE", "queue", CTL_TEXT, .may_go = true},
    {"STATUS", "status", CTL_STATE},
    {"ATTEMPT", "attempt", CTL_NUMBER},
    {"CREATED", "created_at", CTL_TIME, .may_go = true},
    {"UPDATED", "updated_at", CTL_TIME, .may_go = true},
    {"LAST ERROR", "last_error", CTL_TEXT},
    {NULL, "job", CTL_TEXT},
};

/* METHOD path-with-id for one id; prints a sentence made of verb and id. */
static int act(ctl *c, const char *method, const char *path_fmt, const char *id, const char *query, dureq_str body,
               const char *verb)
{
    DQ_BUF_AUTO path = {0};
    ctl_answer a;
    int rc;

    ctl_path(&path, path_fmt, id);
    rc = ctl_call(c, method, path.ptr, query, body, &a);
    if (rc != 0)
        return rc;
    ctl_print_done(c, &a, "%s %s", verb, id);
    ctl_answer_deinit(&a);
    return CTL_DONE;
}

/* The same for each positional argument; the first failure's code is kept, the others still done. */
static int act_all(ctl *c, int argc, char **argv, const char *method, const char *path_fmt, const char *query, const char *verb)
{
    int n, rc = ctl_options(argc, argv, NULL, 0, &n);

    if (rc != 0)
        return rc;
    if (n == 0)
        return ctl_usage("'%s' needs at least one id", argv[0]);
    for (int i = 1; i <= n; i++) {
        int one =
            *argv[i] ? act(c, method, path_fmt, argv[i], query, no_body, verb) : ctl_usage("'%s' takes ids, not ''", argv[0]);

        if (rc == 0)
            rc = one;
    }
    return rc;
}

static int ask(ctl *c, const char *path_fmt, const char *id, ctl_answer *ret)
{
    DQ_BUF_AUTO path = {0};

    ctl_path(&path, path_fmt, id);
    return ctl_call(c, "GET", path.ptr, NULL, no_body, ret);
}

static int show(ctl *c, const char *path_fmt, const char *id)
{
    ctl_answer a;
    int rc = ask(c, path_fmt, id, &a);

    if (rc != 0)
        return rc;
    ctl_print_object(c, &a, 0);
    ctl_answer_deinit(&a);
    return CTL_DONE;
}

static int one_id(int argc, char **argv, const ctl_option *options, size_t n_options)
{
    int n, rc = ctl_options(argc, argv, options, n_options, &n);

    if (rc != 0)
        return rc;
    return n == 1 && *argv[1] ? 0 : ctl_usage("'%s' takes one id", argv[0]);
}

/* The text of its log; a person reads it with the job. */
static int read_log(ctl *c, const char *id, dq_buf *out)
{
    ctl_answer a;
    int rc = ask(c, "/api/jobs/%s/logs", id, &a);

    if (rc != 0)
        return rc;
    (void)dq_json_string(&a.doc, dq_json_member(&a.doc, 0, "logs"), out); /* our own answer */
    ctl_answer_deinit(&a);
    return 0;
}

/* For a person: with its steps and its log. */
static int show_job(ctl *c, const ctl_answer *job, const char *id)
{
    DQ_BUF_AUTO log = {0};
    ctl_answer steps;
    int rc = read_log(c, id, &log);

    if (rc == 0)
        rc = ask(c, "/api/jobs/%s/steps", id, &steps);
    if (rc != 0)
        return rc;
    ctl_print_job(c, job, &steps, dq_buf_str(&log), id);
    ctl_answer_deinit(&steps);
    return 0;
}

static int job_get(ctl *c, int argc, char **argv)
{
    ctl_answer a;
    int rc = one_id(argc, argv, NULL, 0);

    if (rc == 0)
        rc = ask(c, "/api/jobs/%s", argv[1], &a);
    if (rc != 0)
        return rc;
    if (c->format == CTL_TABLE)
        rc = show_job(c, &a, argv[1]);
    else
        ctl_print_object(c, &a, 0);
    ctl_answer_deinit(&a);
    return rc;
}

void ctl_print_jobs(const ctl *c, const ctl_answer *a)
{
    ctl_print_list(c, a, dq_json_member(&a->doc, 0, "data"), job_columns);
}

static int dlq_groups(ctl *c, const char *by, const ctl_filter *f)
{
    static const ctl_column by_error[] = {
        {"JOBS", "count", CTL_NUMBER},
        {"ERROR", "error", CTL_TEXT},
        {"TYPE", "task_type", CTL_TEXT, .may_go = true},
        {"NEWEST", "newest", CTL_TIME},
        {"JOB", "job_id", CTL_TEXT, .may_go = true},
        {NULL, "group", CTL_TEXT},
    };
    static const ctl_column by_type[] = {
        {"JOBS", "count", CTL_NUMBER},  {"TYPE", "task_type", CTL_TEXT},
        {"NEWEST", "newest", CTL_TIME}, {"JOB", "job_id", CTL_TEXT, .may_go = true},
        {NULL, "group", CTL_TEXT},
    };
    DQ_BUF_AUTO query = {0};

    if (strcmp(by, "error") != 0 && strcmp(by, "type") != 0)
        return ctl_usage("--group takes error or type, not '%s'", by);
    ctl_filter_query(f, &query);
    ctl_query(&query, "by", by);
    return ctl_show_list(c, "/api/dlq/groups", query.ptr, /*member=*/NULL, strcmp(by, "type") == 0 ? by_type : by_error);
}

static int list_from(ctl *c, int argc, char **argv, bool takes_status, const char *path)
{
    ctl_filter f = {0};
    const char *limit = NULL, *cursor = NULL, *group = NULL;
    bool oldest = false, payload = false;
    const ctl_option options[] = {
        {.name = "cursor", .value = &cursor},  {.name = "limit", .value = &limit}, {.name = "oldest", .flag = &oldest},
        {.name = "payload", .flag = &payload}, {.name = "group", .value = &group}, /* of dead ones */
    };
    DQ_BUF_AUTO query = {0};
    int n, rc = ctl_filter_options(&f, takes_status, argc, argv, options, DQ_ARRAY_LEN(options) - takes_status, &n);

    if (rc == 0 && n)
        rc = ctl_usage("'%s' takes options only, not '%s'", argv[0], argv[1]);
    if (rc == 0 && group && (limit || cursor || oldest || payload))
        rc = ctl_usage("--group counts all that fit: it goes with filters only");
    if (rc == 0 && group)
        return dlq_groups(c, group, &f);
    ctl_filter_query(&f, &query);
    ctl_query(&query, "limit", limit);
    ctl_query(&query, "cursor", cursor);
    ctl_query(&query, "sort", oldest ? "oldest" : NULL);
    ctl_query(&query, "payload", payload ? "1" : NULL);
    return rc != 0 ? rc : ctl_show_list(c, path, query.ptr, "data", job_columns);
}

static int job_list(ctl *c, int argc, char **argv)
{
    return list_from(c, argc, argv, /*takes_status=*/true, "/api/jobs");
}

static int dlq_list(ctl *c, int argc, char **argv)
{
    return list_from(c, argc, argv, /*takes_status=*/false, "/api/dlq");
}

static int dlq_redrive(ctl *c, int argc, char **argv)
{
    return ctl_act_dead(c, argc, argv, "POST", "/api/dlq/redrive", "retry", "retried");
}

static int dlq_purge(ctl *c, int argc, char **argv)
{
    return ctl_act_dead(c, argc, argv, "DELETE", "/api/dlq", "delete", "deleted");
}

static int job_reschedule(ctl *c, int argc, char **argv)
{
    const char *at = NULL, *delay = NULL;
    char at_text[DQ_RFC3339_TEXT_MAX] = "";
    const ctl_option options[] = {{.name = "at", .value = &at}, {.name = "delay", .value = &delay}};
    DQ_BUF_AUTO body = {0};
    dq_json_writer w = dq_json_writer_of(&body);
    int64_t checked;
    int rc = one_id(argc, argv, options, DQ_ARRAY_LEN(options));

    if (rc == 0)
        rc = ctl_duration("delay", delay, &checked);
    if (rc == 0)
        rc = at ? ctl_time_text("at", at, /*is_past=*/false, at_text) : 0;
    if (rc == 0 && !at == !delay)
        rc = ctl_usage("reschedule needs --at TIME or --delay D");
    if (rc != 0)
        return rc;
    dq_json_begin_object(&w);
    dq_json_set_text(&w, at ? "run_at" : "delay", at ? at_text : delay);
    dq_json_end_object(&w);
    return act(c, "POST", "/api/jobs/%s/reschedule", argv[1], NULL, dq_buf_str(&body), "rescheduled");
}

static int job_update(ctl *c, int argc, char **argv)
{
    DQ_BUF_AUTO body = {0};
    dq_json_writer w = dq_json_writer_of(&body);
    bool text = false;
    const ctl_option options[] = {{.name = "text", .flag = &text}};
    int n, rc = ctl_options(argc, argv, options, DQ_ARRAY_LEN(options), &n);

    if (rc != 0)
        return rc;
    if (n != 2 || !*argv[1])
        return ctl_usage("update takes an id and the new payload");
    if (!text && ctl_is_broken_json(dureq_str_from(argv[2])))
        return ctl_usage("the payload begins like JSON and is none; quote it for the shell, or give --text to send it as text");
    dq_json_begin_object(&w);
    dq_json_key(&w, "payload");
    text = text || !dq_json_valid(dureq_str_from(argv[2]));
    if (!text)
        dq_json_put_raw(&w, dureq_str_from(argv[2]));
    else
        dq_json_put_text(&w, argv[2]);
    if (text) {
        dq_json_set_text(&w, "content_type", "text/plain");
    }
    dq_json_end_object(&w);
    return act(c, "PUT", "/api/jobs/%s/payload", argv[1], NULL, dq_buf_str(&body), "updated");
}

/* The end of a job and what came of it; 0 only when it is completed. */
static int print_result(ctl *c, const char *id, const char *wait)
{
    DQ_BUF_AUTO path = {0};
    DQ_BUF_AUTO query = {0};
    ctl_answer a;
    int rc;

    ctl_path(&path, "/api/jobs/%s/result", id);
    ctl_query(&query, "wait", wait);
    rc = ctl_call(c, "GET", path.ptr, query.ptr, no_body, &a);
    if (rc != 0)
        return rc;
    rc = ctl_print_result(c, &a);
    ctl_answer_deinit(&a);
    return rc;
}

static int job_result(ctl *c, int argc, char **argv)
{
    const char *wait = NULL;
    const ctl_option options[] = {{.name = "wait", .value = &wait}};
    int64_t checked;
    int rc = one_id(argc, argv, options, 1);

    if (rc == 0)
        rc = ctl_duration("wait", wait, &checked);
    return rc != 0 ? rc : print_result(c, argv[1], wait);
}

static int job_wait(ctl *c, int argc, char **argv)
{
    const char *timeout = "24h";
    const ctl_option options[] = {{.name = "timeout", .value = &timeout}};
    int64_t checked;
    int rc = one_id(argc, argv, options, 1);

    if (rc == 0)
        rc = ctl_duration("timeout", timeout, &checked);
    return rc != 0 ? rc : print_result(c, argv[1], timeout);
}

static int job_logs(ctl *c, int argc, char **argv)
{
    DQ_BUF_AUTO path = {0};
    DQ_BUF_AUTO text = {0};
    ctl_answer a;
    int rc = one_id(argc, argv, NULL, 0);

    if (rc != 0)
        return rc;
    ctl_path(&path, "/api/jobs/%s/logs", argv[1]);
    rc = ctl_call(c, "GET", path.ptr, NULL, no_body, &a);
    if (rc != 0)
        return rc;
    if (c->format == CTL_TABLE && dq_json_string(&a.doc, dq_json_member(&a.doc, 0, "logs"), &text) == 0) {
        ctl_clean(&text, /*keep_lines=*/true);
        fwrite(text.ptr ? text.ptr : "", 1, text.len, stdout);
    } else {
        ctl_print_object(c, &a, 0);
    }
    ctl_answer_deinit(&a);
    return CTL_DONE;
}

static int sub_list(ctl *c, int argc, char **argv, const char *path_fmt, const ctl_column *columns)
{
    DQ_BUF_AUTO path = {0};
    int rc = one_id(argc, argv, NULL, 0);

    if (rc != 0)
        return rc;
    ctl_path(&path, path_fmt, argv[1]);
    return ctl_show_list(c, path.ptr, /*query=*/NULL, /*member=*/NULL, columns);
}

static int job_steps(ctl *c, int argc, char **argv)
{
    return sub_list(c, argc, argv, "/api/jobs/%s/steps", ctl_step_columns);
}

static int job_events(ctl *c, int argc, char **argv)
{
    static const ctl_column columns[] = {{"WHEN", "at", CTL_TEXT}, {"EVENT", "type", CTL_TEXT}, {NULL, "event", CTL_TEXT}};

    return sub_list(c, argc, argv, "/api/jobs/%s/events", columns);
}

static int job_audit(ctl *c, int argc, char **argv)
{
    static const ctl_column columns[] = {{"WHEN", "at", CTL_TEXT},
                                         {"ACTOR", "actor", CTL_TEXT},
                                         {"ACTION", "action", CTL_TEXT},
                                         {"DETAIL", "detail", CTL_TEXT},
                                         {NULL, "event", CTL_TEXT}};

    return sub_list(c, argc, argv, "/api/jobs/%s/audit", columns);
}

static int run_list(ctl *c, int argc, char **argv)
{
    static const ctl_column columns[] = {{"RUN", "id", CTL_TEXT},
                                         {"TYPE", "task_type", CTL_TEXT},
                                         {"QUEUE", "queue", CTL_TEXT, .may_go = true},
                                         {"NODE", "node_id", CTL_TEXT},
                                         {"ATTEMPT", "attempt", CTL_NUMBER},
                                         {"STARTED", "started_at", CTL_TIME},
                                         {"PROGRESS", "progress", CTL_VALUE},
                                         {NULL, "run", CTL_TEXT}};
    int rc = ctl_only_options(argc, argv, NULL, 0);

    return rc != 0 ? rc : ctl_show_list(c, "/api/runs", /*query=*/NULL, /*member=*/NULL, columns);
}

static int run_get(ctl *c, int argc, char **argv)
{
    int rc = one_id(argc, argv, NULL, 0);

    return rc != 0 ? rc : show(c, "/api/runs/%s", argv[1]);
}

static int run_requeue(ctl *c, int argc, char **argv)
{
    return act_all(c, argc, argv, "POST", "/api/runs/%s/requeue", NULL, "requeued");
}

static int key_get(ctl *c, int argc, char **argv)
{
    DQ_BUF_AUTO path = {0};
    ctl_answer a;
    bool exists;
    int rc = one_id(argc, argv, NULL, 0);

    if (rc != 0)
        return rc;
    ctl_path(&path, "/api/unique-keys/%s", argv[1]);
    rc = ctl_call(c, "GET", path.ptr, NULL, no_body, &a);
    if (rc != 0)
        return rc;
    exists = dq_json_type_of(&a.doc, dq_json_member(&a.doc, 0, "exists")) == DQ_JSON_TRUE;
    if (exists)
        ctl_print_object(c, &a, 0);
    ctl_answer_deinit(&a);
    return exists ? CTL_DONE : ctl_fail(CTL_NOT_FOUND, "no job holds the key '%s'", argv[1]);
}

static int delete_key(ctl *c, const char *key)
{
    DQ_BUF_AUTO path = {0};
    ctl_answer a;
    bool existed;
    int rc;

    ctl_path(&path, "/api/unique-keys/%s", key);
    rc = *key ? ctl_call(c, "DELETE", path.ptr, NULL, no_body, &a) : ctl_usage("'delete' takes keys, not ''");
    if (rc != 0)
        return rc;
    existed = dq_json_type_of(&a.doc, dq_json_member(&a.doc, 0, "existed")) == DQ_JSON_TRUE;
    if (existed)
        ctl_print_done(c, &a, "let go of %s", key);
    ctl_answer_deinit(&a);
    return existed ? CTL_DONE : ctl_fail(CTL_NOT_FOUND, "no job holds the key '%s'", key);
}

static int key_delete(ctl *c, int argc, char **argv)
{
    int n, rc = ctl_options(argc, argv, NULL, 0, &n);

    if (rc == 0 && n == 0)
        rc = ctl_usage("'delete' needs at least one key");
    if (rc != 0)
        return rc;
    for (int i = 1; i <= n; i++) {
        int one = delete_key(c, argv[i]);

        rc = rc == 0 ? one : rc;
    }
    return rc;
}

#define PAGES "  --limit 1..1000 (10)  --oldest (first)  --cursor C (of the page before)  --payload (large ones too)\n"

const ctl_command ctl_job_commands[] = {
    {"job audit", "ID", "What became of a job, and what operators did to it", "", job_audit},
    {"job cancel", "ID... | FILTERS", "Cancel jobs in any state",
     "  --reason TEXT\n" CTL_FILTERS_HELP CTL_ACT_HELP "Example: dureqctl job cancel --type 'mail.*' --queue bulk --dry-run\n",
     ctl_job_cancel},
    {"job delete", "ID... | FILTERS", "Forget ended jobs", CTL_FILTERS_HELP CTL_ACT_HELP, ctl_job_delete},
    {"job events", "ID", "Recent events that name the job", "", job_events},
    {"job get", "ID", "Show a job", "Example: dureqctl job get 0d6kq2v0m5t0g0000g00 -o json\n", job_get},
    {"job list", "[FILTERS]", "List jobs, newest first",
     CTL_FILTERS_HELP PAGES "Example: dureqctl job list --status dead,cancelled --type 'order.*'\n", job_list},
    {"job logs", "ID", "Log lines of its runs", "", job_logs},
    {"job pause", "ID... | FILTERS", "Hold back jobs that do not run yet", CTL_FILTERS_HELP CTL_ACT_HELP, ctl_job_pause},
    {"job reschedule", "ID --at TIME | --delay D", "Start at another time", "", job_reschedule},
    {"job result", "ID [--wait D]", "Its result; exit 1 unless completed", "", job_result},
    {"job resume", "ID... | FILTERS", "Let paused jobs go", CTL_FILTERS_HELP CTL_ACT_HELP, ctl_job_resume},
    {"job retry", "ID... | FILTERS", "Start ended jobs again; completed ones with --force",
     "  --force: completed ones, too; with FILTERS when --status names them\n" CTL_FILTERS_HELP CTL_ACT_HELP
     "Example: dureqctl job retry --status dead --since 2026-11-23T20:00:00Z\n",
     ctl_job_retry},
    {"job run", "ID... | FILTERS", "Start waiting jobs now", CTL_FILTERS_HELP CTL_ACT_HELP, ctl_job_run},
    {"job steps", "ID", "What its handler does once however often it runs, and what that gave", "", job_steps},
    {"job update", "ID PAYLOAD [--text]", "Change the payload of a job that does not run", "", job_update},
    {"job wait", "ID [--timeout D]", "Wait for the end; exit 1 unless completed", "", job_wait},
    {"job watch", "ID", "A line at each change until the end", "", ctl_job_watch},
    {"dlq list", "[FILTERS] [--group error|type]", "Dead jobs",
     CTL_DEAD_FILTERS_HELP PAGES "  --group error|type: how many of each, most first; numbers in errors are left out (N)\n",
     dlq_list},
    {"dlq purge", "[FILTERS]", "Delete dead jobs that match", CTL_DEAD_FILTERS_HELP CTL_ACT_HELP, dlq_purge},
    {"dlq redrive", "[FILTERS]", "Retry dead jobs that match",
     CTL_DEAD_FILTERS_HELP CTL_ACT_HELP "Example: dureqctl dlq redrive --type email.send\n", dlq_redrive},
    {"run get", "RUN", "A run: one start of a job", "RUN is <job id>.<run>, as `run list` and `job get` show it.\n", run_get},
    {"run list", "", "What runs now", "", run_list},
    {"run requeue", "RUN...", "Start the job of a run again", "", run_requeue},
    {"key delete", "KEY...", "Let go of unique keys by hand", "", key_delete},
    {"key get", "KEY", "Who holds a unique key", "", key_get},
    {NULL, NULL, NULL, NULL, NULL},
};
