/* SPDX-License-Identifier: Apache-2.0 */
/* What is done to many jobs. Ids go out in lists, filters are applied where the jobs are; both are bounded steps, and their progress is
   shown on a terminal. */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "act.h"

#define LIST_MAX    1000 /* ids of a request */
#define CONFIRM_MIN 100  /* more jobs than that are asked about */
#define OPTIONS_MAX 16

static const dureq_str no_body = {NULL, 0};

/* ---- filters ---- */

int ctl_filter_options(ctl_filter *f, bool takes_status, int argc, char **argv, const ctl_option *more, size_t n_more, int *ret_n)
{
    const ctl_option filters[] = {
        {.name = "queue", .value = &f->queue}, {.name = "since", .value = &f->since},
        {.name = "tag", .value = &f->tag},     {.name = "text", .value = &f->text},
        {.name = "type", .value = &f->type},   {.name = "unique-key", .value = &f->unique_key},
        {.name = "until", .value = &f->until}, {.name = "status", .value = &f->status},
    };
    size_t n = takes_status ? DQ_ARRAY_LEN(filters) : DQ_ARRAY_LEN(filters) - 1;
    ctl_option options[OPTIONS_MAX];
    int rc;

    assert(n + n_more <= OPTIONS_MAX);
    memcpy(options, filters, n * sizeof *options);
    if (n_more)
        memcpy(options + n, more, n_more * sizeof *options);
    rc = ctl_options(argc, argv, options, n + n_more, ret_n);
    if (rc == 0 && f->since)
        rc = ctl_time_text("since", f->since, /*is_past=*/true, f->since_text);
    if (rc == 0 && f->until)
        rc = ctl_time_text("until", f->until, /*is_past=*/true, f->until_text);
    return rc;
}

bool ctl_filter_is_empty(const ctl_filter *f)
{
    return !f->status && !f->type && !f->queue && !f->tag && !f->text && !f->unique_key && !f->since && !f->until;
}

void ctl_filter_query(const ctl_filter *f, dq_buf *query)
{
    ctl_query(query, "status", f->status);
    ctl_query(query, "type", f->type);
    ctl_query(query, "queue", f->queue);
    ctl_query(query, "tag", f->tag);
    ctl_query(query, "text", f->text);
    ctl_query(query, "unique_key", f->unique_key);
    ctl_query(query, "since", f->since ? f->since_text : NULL);
    ctl_query(query, "until", f->until ? f->until_text : NULL);
}

/* ---- by filter ---- */

int ctl_confirm(const char *verb, int64_t n)
{
    char wanted[24], line[64] = "";

    if (n <= CONFIRM_MIN || !isatty(STDIN_FILENO) || !isatty(STDERR_FILENO))
        return 0;
    (void)snprintf(wanted, sizeof wanted, "%" PRId64, n);
    fprintf(stderr, "This is to %s %s jobs. Type %s to go on: ", verb, wanted, wanted);
    (void)fflush(stderr);
    if (fgets(line, sizeof line, stdin) && dq_str_eq_text(dq_str_trim(dureq_str_from(line)), wanted))
        return 0;
    return ctl_fail(CTL_FAILED, "nothing was done");
}

static int64_t number_of(const ctl_answer *a, const char *name)
{
    int64_t n = 0;

    (void)dq_json_i64(&a->doc, dq_json_member(&a->doc, 0, name), &n); /* our own answer */
    return n;
}

/* How many they would be, and the first ten. */
static int act_dry(ctl *c, const ctl_act *act, const char *query, ctl_answer *ret)
{
    DQ_BUF_AUTO text = {0};
    int rc;

    dq_buf_append_text(&text, query ? query : "");
    ctl_query(&text, "dry_run", "1");
    c->progress_verb = "found";
    rc = ctl_call(c, act->method, act->path, text.ptr, act->body, ret);
    c->progress_verb = NULL;
    return rc;
}

static int show_dry(ctl *c, const ctl_act *act, const char *query)
{
    ctl_answer a;
    int rc = act_dry(c, act, query, &a);
    int64_t n;

    if (rc != 0)
        return rc;
    n = number_of(&a, "matched");
    if (c->format != CTL_TABLE || n)
        ctl_print_jobs(c, &a);
    if (c->format == CTL_TABLE)
        printf("%sWould %s %" PRId64 " job%s.\n", n ? "\n" : "", act->verb, n, n == 1 ? "" : "s");
    ctl_answer_deinit(&a);
    return CTL_DONE;
}

int ctl_act_ask(ctl *c, const ctl_act *act, const char *query)
{
    ctl_answer a;
    int rc;

    if (act->yes || !isatty(STDIN_FILENO) || !isatty(STDERR_FILENO))
        return 0;
    rc = act_dry(c, act, query, &a);
    if (rc != 0)
        return rc;
    rc = ctl_confirm(act->verb, number_of(&a, "matched"));
    ctl_answer_deinit(&a);
    return rc;
}

static bool is_status(const ctl_answer *a, const char *word)
{
    dq_json_ref v = dq_json_member(&a->doc, 0, "status");

    return v != DQ_JSON_NONE && dq_json_string_eq(&a->doc, v, word);
}

/* A server that takes long for it answers with an operation, in which it goes on: its end is waited for here. */
static int follow(ctl *c, ctl_answer *a)
{
    const struct timespec pause = {.tv_nsec = 500000000};
    int rc = 0;

    while (rc == 0 && (is_status(a, "running") || is_status(a, "stopping"))) {
        DQ_BUF_AUTO id = {0};
        DQ_BUF_AUTO path = {0};

        (void)dq_json_string(&a->doc, dq_json_member(&a->doc, 0, "id"), &id); /* our own answer */
        ctl_path(&path, "/api/operations/%s", id.ptr ? id.ptr : "");
        ctl_answer_deinit(a);
        (void)nanosleep(&pause, NULL); /* a poll for people to watch; nothing waits on it */
        rc = ctl_call(c, "GET", path.ptr, NULL, no_body, a);
    }
    return rc;
}

static int64_t number_of_some(const ctl_answer *a, const char *name)
{
    return dq_json_member(&a->doc, 0, name) == DQ_JSON_NONE ? 0 : number_of(a, name);
}

int ctl_act_filter(ctl *c, const ctl_act *act, const char *query)
{
    ctl_answer a;
    int64_t n;
    int rc;

    if (act->dry_run)
        return show_dry(c, act, query);
    rc = ctl_act_ask(c, act, query);
    c->progress_verb = act->done;
    if (rc == 0)
        rc = ctl_call(c, act->method, act->path, query, act->body, &a);
    c->progress_verb = NULL;
    if (rc == 0)
        rc = follow(c, &a);
    if (rc != 0)
        return rc;
    n = number_of_some(&a, "affected") + number_of_some(&a, "affected_before");
    if (is_status(&a, "stopped") || is_status(&a, "failed"))
        rc = ctl_fail(CTL_FAILED, "it ended after %" PRId64 " jobs: see dureqctl operation list", n);
    else
        ctl_print_done(c, &a, "%s %" PRId64 " job%s", act->done, n, n == 1 ? "" : "s");
    ctl_answer_deinit(&a);
    return rc;
}

int ctl_act_dead(ctl *c, int argc, char **argv, const char *method, const char *path, const char *verb, const char *done)
{
    ctl_act act = {.method = method, .path = path, .verb = verb, .done = done};
    const ctl_option more[] = {{.name = "dry-run", .flag = &act.dry_run}, {.name = "yes", .flag = &act.yes}};
    DQ_BUF_AUTO query = {0};
    ctl_filter f = {0};
    int n, rc = ctl_filter_options(&f, /*takes_status=*/false, argc, argv, more, DQ_ARRAY_LEN(more), &n);

    if (rc == 0 && n)
        rc = ctl_usage("'%s' takes options only, not '%s'", argv[0], argv[1]);
    if (rc != 0)
        return rc;
    ctl_filter_query(&f, &query);
    return ctl_act_filter(c, &act, query.ptr);
}

/* ---- by id ---- */

typedef struct verb {
    const char *word, *path, *done, *status; /* status: as the resource of one job answers */
} verb;

/* Rows of the form that one job's answer has. */
static void print_one(const ctl *c, const verb *v, const char *id)
{
    static bool has_header;

    if (c->format == CTL_CSV) {
        if (!has_header)
            ctl_print_csv_row(c, (const char *const[]){"status", "job_id"}, 2);
        has_header = true;
        ctl_print_csv_row(c, (const char *const[]){v->status, id}, 2);
    } else if (c->format != CTL_TABLE) {
        printf("{\"status\":\"%s\",\"job_id\":\"%s\"}\n", v->status, id);
    } else if (!c->quiet) {
        printf("%s %s\n", v->done, id);
    }
}

/* `refused` of the answer is in the order of the ids: what is not in it is done. Returns the first failure's exit code. */
static int print_all(const ctl *c, const verb *v, const ctl_answer *a, char **ids, size_t n)
{
    dq_json_ref refused = dq_json_member(&a->doc, 0, "refused");
    dq_json_ref at = refused == DQ_JSON_NONE ? DQ_JSON_NONE : dq_json_first(&a->doc, refused);
    int rc = 0;

    for (size_t i = 0; i < n; i++) {
        DQ_BUF_AUTO text = {0};
        int one;

        if (at == DQ_JSON_NONE || !dq_json_string_eq(&a->doc, dq_json_member(&a->doc, at, "id"), ids[i])) {
            print_one(c, v, ids[i]);
            continue;
        }
        (void)dq_json_string(&a->doc, dq_json_member(&a->doc, at, "code"), &text); /* our own answer */
        one = ctl_exit_of(dq_api_code_of_word(dq_buf_str(&text)));
        dq_buf_clear(&text);
        (void)dq_json_string(&a->doc, dq_json_member(&a->doc, at, "error"), &text);
        (void)ctl_fail(one, "%s", text.ptr ? text.ptr : "");
        rc = rc == 0 ? one : rc;
        at = dq_json_next(&a->doc, refused, at);
    }
    return rc;
}

static void write_body(dq_buf *out, char **ids, size_t n, const char *reason, bool force)
{
    dq_json_writer w = dq_json_writer_of(out);

    dq_json_begin_object(&w);
    if (ids) {
        dq_json_key(&w, "ids");
        dq_json_begin_array(&w);
        for (size_t i = 0; i < n; i++)
            dq_json_put_text(&w, ids[i]);
        dq_json_end_array(&w);
    }
    if (reason) {
        dq_json_set_text(&w, "reason", reason);
    }
    if (force) {
        dq_json_set_bool(&w, "force", true);
    }
    dq_json_end_object(&w);
}

static int act_ids(ctl *c, const verb *v, char **ids, size_t n, const char *reason, bool force)
{
    int rc = 0;

    for (size_t at = 0; at < n; at += LIST_MAX) {
        size_t take = DQ_MIN(n - at, (size_t)LIST_MAX);
        DQ_BUF_AUTO body = {0};
        ctl_answer a;
        int one;

        write_body(&body, ids + at, take, reason, force);
        c->progress_verb = v->done;
        one = ctl_call(c, "POST", v->path, NULL, dq_buf_str(&body), &a);
        c->progress_verb = NULL;
        if (one != 0)
            return one;
        one = print_all(c, v, &a, ids + at, take);
        ctl_answer_deinit(&a);
        rc = rc == 0 ? one : rc;
    }
    return rc;
}

static int act(ctl *c, const verb *v, int argc, char **argv)
{
    ctl_act act = {.method = "POST", .path = v->path, .verb = v->word, .done = v->done, .body = no_body};
    const char *reason = NULL;
    bool force = false;
    const ctl_option more[] = {
        {.name = "dry-run", .flag = &act.dry_run},
        {.name = "yes", .flag = &act.yes},
        strcmp(v->word, "cancel") == 0 ? (ctl_option){.name = "reason", .value = &reason}
                                       : (ctl_option){.name = "force", .flag = &force},
    };
    bool has_third = strcmp(v->word, "cancel") == 0 || strcmp(v->word, "retry") == 0;
    DQ_BUF_AUTO query = {0};
    DQ_BUF_AUTO body = {0};
    ctl_filter f = {0};
    int n, rc = ctl_filter_options(&f, /*takes_status=*/true, argc, argv, more, has_third ? 3 : 2, &n);

    if (rc == 0 && n && !ctl_filter_is_empty(&f))
        rc = ctl_usage("'%s' takes ids or filters, not both", argv[0]);
    if (rc == 0 && n && act.dry_run)
        rc = ctl_usage("--dry-run is for filters, not for ids");
    if (rc == 0 && !n && ctl_filter_is_empty(&f))
        rc = ctl_usage("'%s' needs at least one id, or a filter such as --type T", argv[0]);
    for (int i = 1; rc == 0 && i <= n; i++)
        if (!*argv[i])
            rc = ctl_usage("'%s' takes ids, not ''", argv[0]);
        else if (!dq_utf8_valid(dureq_str_from(argv[i])))
            rc = ctl_usage("'%s' takes ids of 20 characters 0-9a-v, not bytes that are no text", argv[0]);
    if (rc != 0)
        return rc;
    if (n)
        return act_ids(c, v, argv + 1, (size_t)n, reason, force);
    ctl_filter_query(&f, &query);
    write_body(&body, NULL, 0, reason, force);
    act.body = dq_buf_str(&body);
    return ctl_act_filter(c, &act, query.ptr);
}

int ctl_job_cancel(ctl *c, int argc, char **argv)
{
    static const verb v = {"cancel", "/api/jobs/bulk/cancel", "cancelled", "cancelled"};

    return act(c, &v, argc, argv);
}

int ctl_job_delete(ctl *c, int argc, char **argv)
{
    static const verb v = {"delete", "/api/jobs/bulk/delete", "deleted", "deleted"};

    return act(c, &v, argc, argv);
}

int ctl_job_pause(ctl *c, int argc, char **argv)
{
    static const verb v = {"pause", "/api/jobs/bulk/pause", "paused", "paused"};

    return act(c, &v, argc, argv);
}

int ctl_job_resume(ctl *c, int argc, char **argv)
{
    static const verb v = {"resume", "/api/jobs/bulk/resume", "resumed", "resumed"};

    return act(c, &v, argc, argv);
}

int ctl_job_retry(ctl *c, int argc, char **argv)
{
    static const verb v = {"retry", "/api/jobs/bulk/retry", "retried", "retried"};

    return act(c, &v, argc, argv);
}

int ctl_job_run(ctl *c, int argc, char **argv)
{
    static const verb v = {"run now", "/api/jobs/bulk/run", "runs now:", "pending"};

    return act(c, &v, argc, argv);
}
