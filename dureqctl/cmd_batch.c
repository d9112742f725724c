/* SPDX-License-Identifier: Apache-2.0 */
/* batch commands: thin requests to the API resources. Items of any number are read line by line and sent a megabyte at a time. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "flow/batch.h"
#include "workflow.h"

#define PART_BYTES (1024 * 1024)

static const dureq_str no_body = {NULL, 0};

static const ctl_column batch_columns[] = {
    {"ID", "id", CTL_TEXT},
    {"NAME", "name", CTL_TEXT},
    {"STATUS", "status", CTL_STATE},
    {"ITEMS", "total_items", CTL_NUMBER},
    {"COMPLETED", "completed_items", CTL_NUMBER},
    {"FAILED", "failed_items", CTL_NUMBER},
    {"RUNNING", "running_items", CTL_NUMBER},
    {"CREATED", "created_at", CTL_TIME},
    {"ENDED", "completed_at", CTL_TIME, .may_go = true},
    {NULL, NULL, CTL_TEXT},
};
static const ctl_column item_columns[] = {
    {"ITEM", "item_id", CTL_TEXT}, {"STATUS", "status", CTL_STATE}, {"JOB", "job_id", CTL_TEXT},
    {"ERROR", "error", CTL_TEXT},  {NULL, NULL, CTL_TEXT},
};
static const ctl_column result_columns[] = {
    {"ITEM", "item_id", CTL_TEXT},   {"SUCCESS", "success", CTL_VALUE},
    {"OUTPUT", "output", CTL_VALUE}, {"ERROR", "error", CTL_TEXT},
    {NULL, NULL, CTL_TEXT},
};

static int one_id(int argc, char **argv, const ctl_option *options, size_t n_options)
{
    int n, rc = ctl_options(argc, argv, options, n_options, &n);

    if (rc != 0)
        return rc;
    return n == 1 && *argv[1] ? 0 : ctl_usage("'batch %s' takes one id", argv[0]);
}

static int call_for(ctl *c, const char *method, const char *path_fmt, const char *id, const char *query, dureq_str body,
                    ctl_answer *ret)
{
    DQ_BUF_AUTO path = {0};

    ctl_path(&path, path_fmt, id);
    return ctl_call(c, method, path.ptr, query, body, ret);
}

/* ---- get, list, items, results ---- */

static int show(ctl *c, const char *id, const char *query, bool *ret_completed)
{
    ctl_answer a;
    int rc = call_for(c, "GET", "/api/batches/%s", id, query, no_body, &a);
    dq_json_ref status;

    if (rc != 0)
        return rc;
    status = dq_json_member(&a.doc, 0, "status");
    if (ret_completed)
        *ret_completed = status != DQ_JSON_NONE && dq_json_string_eq(&a.doc, status, "completed");
    if (c->format == CTL_TABLE && !(ret_completed && c->quiet))
        ctl_print_pairs(c, &a.doc, 0, "definition");
    else if (c->format != CTL_TABLE)
        ctl_print_object(c, &a, 0);
    ctl_answer_deinit(&a);
    return CTL_DONE;
}

static int batch_get(ctl *c, int argc, char **argv)
{
    int rc = one_id(argc, argv, NULL, 0);

    return rc != 0 ? rc : show(c, argv[1], NULL, NULL);
}

static int batch_wait(ctl *c, int argc, char **argv)
{
    const char *timeout = NULL;
    const ctl_option options[] = {{.name = "timeout", .value = &timeout}};
    DQ_BUF_AUTO query = {0};
    bool completed = false;
    int64_t ms;
    int rc = one_id(argc, argv, options, DQ_ARRAY_LEN(options));

    if (rc == 0 && timeout)
        rc = ctl_duration("timeout", timeout, &ms);
    if (rc != 0)
        return rc;
    ctl_query(&query, "wait", timeout ? timeout : "24h");
    rc = show(c, argv[1], query.ptr, &completed);
    return rc ? rc : completed ? CTL_DONE : CTL_FAILED;
}

static int batch_list(ctl *c, int argc, char **argv)
{
    const char *status = NULL, *limit = NULL, *cursor = NULL;
    const ctl_option options[] = {
        {.name = "status", .value = &status}, {.name = "limit", .value = &limit}, {.name = "cursor", .value = &cursor}};
    DQ_BUF_AUTO query = {0};
    int rc = ctl_only_options(argc, argv, options, DQ_ARRAY_LEN(options));

    if (rc != 0)
        return rc;
    ctl_query(&query, "status", status);
    ctl_query(&query, "limit", limit);
    ctl_query(&query, "cursor", cursor);
    return ctl_show_list(c, "/api/batches", query.ptr, "data", batch_columns);
}

static int show_page(ctl *c, int argc, char **argv, const char *path_fmt, const ctl_column *columns)
{
    const char *status = NULL, *limit = NULL, *offset = NULL;
    const ctl_option options[] = {
        {.name = "status", .value = &status}, {.name = "limit", .value = &limit}, {.name = "offset", .value = &offset}};
    DQ_BUF_AUTO query = {0};
    DQ_BUF_AUTO path = {0};
    int rc = one_id(argc, argv, options, DQ_ARRAY_LEN(options));

    if (rc != 0)
        return rc;
    ctl_query(&query, "status", status);
    ctl_query(&query, "limit", limit);
    ctl_query(&query, "offset", offset);
    ctl_path(&path, path_fmt, argv[1]);
    return ctl_show_list(c, path.ptr, query.ptr, "data", columns);
}

static int batch_items(ctl *c, int argc, char **argv)
{
    return show_page(c, argc, argv, "/api/batches/%s/items", item_columns);
}

static int batch_results(ctl *c, int argc, char **argv)
{
    return show_page(c, argc, argv, "/api/batches/%s/results", result_columns);
}

/* ---- cancel, retry, seal ---- */

static int act(ctl *c, const char *path_fmt, const char *id, dureq_str body, const char *done)
{
    ctl_answer a;
    int rc = call_for(c, "POST", path_fmt, id, NULL, body, &a);

    if (rc != 0)
        return rc;
    ctl_print_done(c, &a, "%s %s", done, id);
    ctl_answer_deinit(&a);
    return CTL_DONE;
}

static int batch_cancel(ctl *c, int argc, char **argv)
{
    const char *reason = NULL;
    const ctl_option options[] = {{.name = "reason", .value = &reason}};
    DQ_BUF_AUTO body = {0};
    int rc = one_id(argc, argv, options, DQ_ARRAY_LEN(options));

    if (rc != 0)
        return rc;
    if (reason) {
        dq_json_writer w = dq_json_writer_of(&body);

        dq_json_begin_object(&w);
        dq_json_set_text(&w, "reason", reason);
        dq_json_end_object(&w);
    }
    return act(c, "/api/batches/%s/cancel", argv[1], dq_buf_str(&body), "cancelled");
}

static int batch_retry(ctl *c, int argc, char **argv)
{
    bool all = false;
    const ctl_option options[] = {{.name = "all", .flag = &all}};
    int rc = one_id(argc, argv, options, DQ_ARRAY_LEN(options));

    if (rc != 0)
        return rc;
    return act(c, "/api/batches/%s/retry", argv[1], all ? no_body : DQ_STR_LIT("{\"retry_failed_only\":true}"), "retried");
}

static int batch_seal(ctl *c, int argc, char **argv)
{
    int rc = one_id(argc, argv, NULL, 0);

    return rc != 0 ? rc : act(c, "/api/batches/%s/seal", argv[1], no_body, "sealed");
}

/* ---- items, line by line ---- */

typedef struct feeder {
    ctl *ctl;
    const char *id;
    FILE *in;
    const char *name; /* of the file */
    dq_buf part;      /* "[line,line" */
    int64_t at, n;    /* number of the first item of the part, -1: whatever comes next; items in it */
    int64_t n_sent;
} feeder;

static int send_part(feeder *f)
{
    DQ_BUF_AUTO query = {0};
    char at[24];
    ctl_answer a;
    int rc;

    if (!f->n)
        return 0;
    dq_buf_append_char(&f->part, ']');
    if (dq_buf_failed(&f->part))
        return ctl_fail(CTL_FAILED, "out of memory");
    if (f->at >= 0) {
        (void)snprintf(at, sizeof at, "%" PRId64, f->at);
        ctl_query(&query, "at", at);
    }
    rc = call_for(f->ctl, "POST", "/api/batches/%s/items", f->id, query.ptr, dq_buf_str(&f->part), &a);
    if (rc != 0)
        return rc;
    ctl_answer_deinit(&a);
    f->at += f->at < 0 ? 0 : f->n;
    f->n_sent += f->n;
    f->n = 0;
    dq_buf_clear(&f->part);
    return 0;
}

static int take_line(feeder *f, dureq_str line)
{
    line = dq_str_trim(line);
    if (!line.len)
        return 0;
    if (!dq_json_valid(line))
        return ctl_fail(CTL_FAILED, "%s: item %" PRId64 " is no JSON", f->name, f->n_sent + f->n);
    dq_buf_append_char(&f->part, f->n++ ? ',' : '[');
    dq_buf_append_str(&f->part, line);
    if (dq_buf_failed(&f->part))
        return ctl_fail(CTL_FAILED, "out of memory");
    return f->part.len >= PART_BYTES ? send_part(f) : 0;
}

static int feed(feeder *f)
{
    char *line = NULL;
    size_t cap = 0;
    ssize_t n;
    int rc = 0;

    for (n = getline(&line, &cap, f->in); rc == 0 && n >= 0; n = getline(&line, &cap, f->in))
        rc = take_line(f, dureq_str_of(line, (size_t)n));
    free(line);
    if (rc == 0 && ferror(f->in))
        rc = ctl_fail(CTL_FAILED, "cannot read %s: %s", f->name, strerror(errno));
    if (rc == 0)
        rc = send_part(f);
    dq_buf_deinit(&f->part);
    return rc;
}

static int feed_file(ctl *c, const char *id, const char *name, bool is_first)
{
    bool is_stdin = strcmp(name, "-") == 0;
    feeder f = {.ctl = c, .id = id, .at = is_first ? 0 : -1, .in = is_stdin ? stdin : fopen(name, "re"), .name = name};
    int rc;

    if (!f.in)
        return ctl_fail(CTL_FAILED, "cannot open %s: %s", name, strerror(errno));
    rc = feed(&f);
    if (!is_stdin)
        (void)fclose(f.in);
    return rc;
}

static int batch_add(ctl *c, int argc, char **argv)
{
    int n, rc = ctl_options(argc, argv, NULL, 0, &n);

    if (rc == 0 && n != 2)
        rc = ctl_usage("'batch add' takes an id and a file, or '-' for standard input");
    return rc != 0 ? rc : feed_file(c, argv[1], argv[2], /*is_first=*/false);
}

/* ---- start ---- */

typedef struct starting {
    const char *type, *name, *items, *chunk_size, *policy, *timeout;
    bool wait;
} starting;

static int put_definition(const starting *s, dq_buf *out)
{
    dq_json_writer w = dq_json_writer_of(out);
    int64_t n = 0;
    int rc;

    dq_json_begin_object(&w);
    dq_json_set_text(&w, "name", s->name ? s->name : s->type);
    dq_json_set_text(&w, "item_task_type", s->type);
    if (s->policy)
        dq_json_set_text(&w, "failure_policy", s->policy);
    if (s->chunk_size) {
        rc = ctl_i64("chunk-size", s->chunk_size, 1, DQ_BATCH_WINDOW_MAX, &n);
        if (rc != 0)
            return rc;
        dq_json_set_i64(&w, "chunk_size", n);
    }
    dq_json_end_object(&w);
    return dq_buf_failed(out) ? ctl_fail(CTL_FAILED, "out of memory") : 0;
}

static int begin(ctl *c, dureq_str definition, bool has_items, dq_buf *id)
{
    ctl_answer a;
    int rc = ctl_call(c, "POST", "/api/batches", has_items ? "seal=false" : NULL, definition, &a);

    if (rc != 0)
        return rc;
    (void)dq_json_string(&a.doc, dq_json_member(&a.doc, 0, "batch_id"), id);
    ctl_answer_deinit(&a);
    return dq_buf_failed(id) || !id->len ? ctl_fail(CTL_FAILED, "out of memory") : 0;
}

static int load(ctl *c, const char *id, const char *items)
{
    ctl_answer a;
    int rc = feed_file(c, id, items, /*is_first=*/true);

    if (rc == 0)
        rc = call_for(c, "POST", "/api/batches/%s/seal", id, NULL, no_body, &a);
    if (rc == 0)
        ctl_answer_deinit(&a);
    else
        fprintf(stderr, "Batch %s was not started.\n", id);
    return rc;
}

static int finish(ctl *c, const starting *s, const char *id)
{
    DQ_BUF_AUTO query = {0};
    bool completed = false;
    int rc;

    if (!s->wait && c->format != CTL_TABLE)
        return show(c, id, NULL, NULL);
    if (!s->wait) {
        printf("%s\n", id);
        return CTL_DONE;
    }
    ctl_query(&query, "wait", s->timeout ? s->timeout : "24h");
    rc = show(c, id, query.ptr, &completed);
    if (rc != 0)
        fprintf(stderr, "The batch goes on: see dureqctl batch get %s\n", id);
    return rc ? rc : completed ? CTL_DONE : CTL_FAILED;
}

static int check(const starting *s, int n)
{
    int64_t ms;

    if (n > 1 || (n == 0 && !s->type))
        return ctl_usage("'batch start' takes one file, '-' for standard input, or --type");
    if (n == 1 && (s->type || s->name || s->chunk_size || s->policy))
        return ctl_usage("--type, --name, --chunk-size and --failure-policy stand for a file");
    if (n == 0 && !s->items)
        return ctl_usage("--type needs --items");
    if (s->timeout && !s->wait)
        return ctl_usage("--wait-timeout needs --wait");
    return s->timeout ? ctl_duration("wait-timeout", s->timeout, &ms) : 0;
}

static int batch_start(ctl *c, int argc, char **argv)
{
    starting s = {0};
    const ctl_option options[] = {
        {.name = "type", .value = &s.type},
        {.name = "name", .value = &s.name},
        {.name = "items", .value = &s.items},
        {.name = "chunk-size", .value = &s.chunk_size},
        {.name = "failure-policy", .value = &s.policy},
        {.name = "wait", .flag = &s.wait},
        {.name = "wait-timeout", .value = &s.timeout},
    };
    DQ_BUF_AUTO text = {0};
    DQ_BUF_AUTO id = {0};
    int n, rc = ctl_options(argc, argv, options, DQ_ARRAY_LEN(options), &n);

    if (rc == 0)
        rc = check(&s, n);
    if (rc == 0 && n == 1 && s.items && strcmp(argv[1], "-") == 0 && strcmp(s.items, "-") == 0)
        rc = ctl_usage("either the definition or its items come from standard input");
    if (rc == 0)
        rc = n == 1 ? ctl_read_definition(argv[1], &text) : put_definition(&s, &text);
    if (rc == 0)
        rc = begin(c, dq_buf_str(&text), s.items != NULL, &id);
    if (rc == 0 && s.items)
        rc = load(c, id.ptr, s.items);
    return rc != 0 ? rc : finish(c, &s, id.ptr);
}

const ctl_command ctl_batch_commands[] = {
    {"batch start", "FILE|- | --type TYPE --items FILE|- [--wait]", "Start a batch, print its id",
     "FILE is its definition as JSON; '-' reads standard input.\n"
     "  --items FILE|-             its items, one a line: {\"id\": \"a\", \"payload\": ...}, as many as there are\n"
     "  --type TYPE                task type of the items; then no definition is needed, and these are of use:\n"
     "  --name NAME  --chunk-size N (100, in flight at most)  --failure-policy continue_on_error|fail_fast\n"
     "  --wait [--wait-timeout D]  wait for the end; exit 1 unless completed\n"
     "\n"
     "Example:\n"
     "  dureqctl batch start --type thumbnail --items images.ndjson --wait\n",
     batch_start},
    {"batch get", "ID", "Show a batch and how far it is", "Example: dureqctl batch get 38hbr6mbp00000000000\n", batch_get},
    {"batch wait", "ID", "Wait for the end of a batch", "  --timeout D (24h); exit 1 unless it completed\n", batch_wait},
    {"batch list", "[--status S]", "List batches, newest first",
     "  --status S: loading, running, completed, failed, cancelling, cancelled\n"
     "  --limit N (10)  --cursor C, of the page before\n",
     batch_list},
    {"batch items", "ID [--status S]", "List the items of a batch",
     "  --status S: pending, running, completed, skipped, failed, cancelled\n"
     "  --limit N (100)  --offset N, number of the item to begin with\n",
     batch_items},
    {"batch results", "ID [--status S]", "List what became of items that have ended",
     "  --status S: completed, skipped, failed, cancelled\n"
     "  --limit N (100)  --offset N, number of the item to begin with\n",
     batch_results},
    {"batch add", "ID FILE|-", "Add items to a batch that is open", "FILE has one item a line; '-' reads standard input.\n",
     batch_add},
    {"batch seal", "ID", "No more items come: the batch may end", "Example: dureqctl batch seal 38hbr6mbp00000000000\n",
     batch_seal},
    {"batch cancel", "ID", "Cancel a batch: none of its items starts any more", "  --reason TEXT\n", batch_cancel},
    {"batch retry", "ID [--all]", "Run items again that did not complete",
     "Of a batch that failed or was cancelled.\n"
     "  --all  also those that completed\n",
     batch_retry},
    {NULL, NULL, NULL, NULL, NULL},
};
