/* SPDX-License-Identifier: Apache-2.0 */
/* operation commands: what is done to all jobs that fit a filter, step by step, by a daemon. */
#include "act.h"

static const dureq_str no_body = {NULL, 0};

static void put_if(dq_json_writer *w, const char *name, const char *value)
{
    if (value)
        dq_json_set_text(w, name, value);
}

typedef struct start_options {
    ctl_filter filter;
    const char *action, *reason;
    bool force, dry_run, yes;
} start_options;

/* as_of and n: of the preview that was shown; NULL: there was none. */
static void put_start(const start_options *o, bool dry_run, const char *as_of, int64_t n, dq_buf *body)
{
    const ctl_filter *f = &o->filter;
    dq_json_writer w = dq_json_writer_of(body);

    dq_json_begin_object(&w);
    dq_json_set_text(&w, "action", o->action);
    dq_json_key(&w, "filter");
    dq_json_begin_object(&w);
    put_if(&w, "status", f->status);
    put_if(&w, "type", f->type);
    put_if(&w, "queue", f->queue);
    put_if(&w, "tag", f->tag);
    put_if(&w, "text", f->text);
    put_if(&w, "unique_key", f->unique_key);
    put_if(&w, "since", f->since ? f->since_text : NULL);
    put_if(&w, "until", f->until ? f->until_text : NULL);
    dq_json_end_object(&w);
    put_if(&w, "reason", o->reason);
    put_if(&w, "as_of", as_of);
    if (as_of)
        dq_json_set_i64(&w, "matched", n);
    if (o->force)
        dq_json_set_bool(&w, "force", true);
    if (dry_run)
        dq_json_set_bool(&w, "dry_run", true);
    dq_json_end_object(&w);
}

static int64_t number_in(const ctl_answer *a, const char *name)
{
    dq_json_ref v = dq_json_member(&a->doc, 0, name);
    int64_t n = 0;

    if (v != DQ_JSON_NONE)
        (void)dq_json_i64(&a->doc, v, &n);
    return n;
}

static void show_preview(const ctl *c, const start_options *o, const ctl_answer *a)
{
    dq_json_ref exact = dq_json_member(&a->doc, 0, "matched_exact");
    bool is_exact = exact != DQ_JSON_NONE && dq_json_type_of(&a->doc, exact) == DQ_JSON_TRUE;

    if (c->format != CTL_TABLE) {
        ctl_print_object(c, a, 0);
        return;
    }
    ctl_print_jobs(c, a);
    if (!c->quiet)
        fprintf(stderr, "%s%lld jobs would be taken by '%s'; nothing was done\n", is_exact ? "" : "at least ",
                (long long)number_in(a, "matched"), o->action);
}

static int start(ctl *c, const start_options *o, const ctl_answer *preview)
{
    dq_json_ref as_of = dq_json_member(&preview->doc, 0, "as_of");
    DQ_BUF_AUTO time = {0};
    DQ_BUF_AUTO body = {0};
    DQ_BUF_AUTO id = {0};
    ctl_answer a;
    int rc;

    if (as_of == DQ_JSON_NONE || dq_json_string(&preview->doc, as_of, &time) < 0)
        return ctl_fail(CTL_FAILED, "the preview says no time");
    put_start(o, /*dry_run=*/false, time.ptr, number_in(preview, "matched"), &body);
    rc = ctl_call(c, "POST", "/api/operations", NULL, dq_buf_str(&body), &a);
    if (rc != 0)
        return rc;
    (void)dq_json_string(&a.doc, dq_json_member(&a.doc, 0, "id"), &id);
    ctl_clean(&id, /*keep_lines=*/false);
    ctl_print_done(c, &a, "operation %s started: dureqctl operation get %s", id.ptr ? id.ptr : "?", id.ptr ? id.ptr : "?");
    ctl_answer_deinit(&a);
    return CTL_DONE;
}

/* Looks first: what is started takes what the look saw, and nothing that came later. */
static int preview_and_start(ctl *c, const start_options *o)
{
    DQ_BUF_AUTO body = {0};
    ctl_answer a;
    int rc;

    put_start(o, /*dry_run=*/true, NULL, 0, &body);
    rc = ctl_call(c, "POST", "/api/operations", NULL, dq_buf_str(&body), &a);
    if (rc != 0)
        return rc;
    if (o->dry_run)
        show_preview(c, o, &a);
    else if (!o->yes)
        rc = ctl_confirm(o->action, number_in(&a, "matched"));
    if (rc == 0 && !o->dry_run)
        rc = start(c, o, &a);
    ctl_answer_deinit(&a);
    return rc;
}

static int operation_start(ctl *c, int argc, char **argv)
{
    start_options o = {0};
    const ctl_option options[] = {{.name = "reason", .value = &o.reason},
                                  {.name = "force", .flag = &o.force},
                                  {.name = "dry-run", .flag = &o.dry_run},
                                  {.name = "yes", .flag = &o.yes}};
    int n, rc = ctl_filter_options(&o.filter, /*takes_status=*/true, argc, argv, options, DQ_ARRAY_LEN(options), &n);

    if (rc == 0 && n != 1)
        rc = ctl_usage("'operation start' takes what is to be done: cancel, retry, redrive, delete, run, pause or resume");
    if (rc != 0)
        return rc;
    o.action = argv[1];
    return preview_and_start(c, &o);
}

static int operation_list(ctl *c, int argc, char **argv)
{
    static const ctl_column columns[] = {
        {"ID", "id", CTL_TEXT},           {"ACTION", "action", CTL_TEXT},      {"STATUS", "status", CTL_STATE},
        {"DONE", "affected", CTL_NUMBER}, {"OF", "matched", CTL_NUMBER},       {"REFUSED", "refused", CTL_NUMBER},
        {"BY", "actor", CTL_TEXT},        {"STARTED", "created_at", CTL_TIME}, {NULL, "operation", CTL_TEXT},
    };
    const char *limit = NULL, *cursor = NULL;
    const ctl_option options[] = {{.name = "limit", .value = &limit}, {.name = "cursor", .value = &cursor}};
    DQ_BUF_AUTO query = {0};
    int rc = ctl_only_options(argc, argv, options, DQ_ARRAY_LEN(options));

    if (rc != 0)
        return rc;
    ctl_query(&query, "limit", limit);
    ctl_query(&query, "cursor", cursor);
    return ctl_show_list(c, "/api/operations", query.ptr, "data", columns);
}

/* The operation that the arguments name, by GET, or by POST to what follows its id. */
static int ask_one(ctl *c, int argc, char **argv, const char *method, const char *path, dureq_str body, ctl_answer *ret)
{
    DQ_BUF_AUTO full = {0};

    if (argc != 1 || !*argv[1])
        return ctl_usage("'operation %s' takes one id: see dureqctl operation list", argv[0]);
    ctl_path(&full, path, argv[1]);
    return ctl_call(c, method, full.ptr, NULL, body, ret);
}

static int operation_get(ctl *c, int argc, char **argv)
{
    ctl_answer a;
    int n, rc = ctl_options(argc, argv, NULL, 0, &n);

    if (rc == 0)
        rc = ask_one(c, n, argv, "GET", "/api/operations/%s", no_body, &a);
    if (rc != 0)
        return rc;
    ctl_print_object(c, &a, 0);
    ctl_answer_deinit(&a);
    return CTL_DONE;
}

static int operation_stop(ctl *c, int argc, char **argv)
{
    const char *reason = NULL;
    const ctl_option options[] = {{.name = "reason", .value = &reason}};
    DQ_BUF_AUTO body = {0};
    dq_json_writer w = dq_json_writer_of(&body);
    ctl_answer a;
    int n, rc = ctl_options(argc, argv, options, DQ_ARRAY_LEN(options), &n);

    dq_json_begin_object(&w);
    put_if(&w, "reason", reason);
    dq_json_end_object(&w);
    if (rc == 0)
        rc = ask_one(c, n, argv, "POST", "/api/operations/%s/stop", dq_buf_str(&body), &a);
    if (rc != 0)
        return rc;
    ctl_print_done(c, &a, "operation %s stops; what it did stays done", argv[1]);
    ctl_answer_deinit(&a);
    return CTL_DONE;
}

const ctl_command ctl_operation_commands[] = {
    {"operation list", "[--limit N] [--cursor C]", "What is done, or was, to all jobs that fit a filter", "", operation_list},
    {"operation get", "ID", "How far an operation is", "", operation_get},
    {"operation start", "ACTION [filters] [--reason TEXT] [--force] [--dry-run] [--yes]",
     "Do something to all jobs that fit a filter, by a daemon, in steps",
     "ACTION: cancel, retry, redrive (dead ones), delete, run, pause or resume. A daemon that serves the API does it, and another goes on should that one\n"
     "end; jobs that came, or ended, after the start are left alone.\n" CTL_FILTERS_HELP CTL_ACT_HELP
     "  --force: completed jobs, too (of retry)\n"
     "Example: dureqctl operation start redrive --type mail.* --dry-run\n",
     operation_start},
    {"operation stop", "ID [--reason TEXT]", "Let an operation go no further", "", operation_stop},
    {NULL, NULL, NULL, NULL, NULL},
};
