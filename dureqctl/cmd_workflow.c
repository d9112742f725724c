/* SPDX-License-Identifier: Apache-2.0 */
/* workflow commands, and the one that needs no server. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "flow/flow.h"
#include "workflow.h"

static int read_all(FILE *in, const char *name, dq_buf *out)
{
    size_t n;

    do {
        char *at = dq_buf_reserve(out, 65536);

        if (!at)
            return ctl_fail(CTL_FAILED, "out of memory");
        n = fread(at, 1, 65536, in);
        out->len += n;
        if (out->len > DQ_FLOW_TEXT_MAX)
            return ctl_fail(CTL_FAILED, "%s is larger than %d MiB", name, DQ_FLOW_TEXT_MAX / (1024 * 1024));
    } while (n > 0);
    return ferror(in) ? ctl_fail(CTL_FAILED, "cannot read %s: %s", name, strerror(errno)) : CTL_DONE;
}

int ctl_read_definition(const char *name, dq_buf *out)
{
    FILE *in;
    int rc;

    if (strcmp(name, "-") == 0)
        return read_all(stdin, "standard input", out);
    in = fopen(name, "re");
    if (!in)
        return ctl_fail(CTL_FAILED, "cannot open %s: %s", name, strerror(errno));
    rc = read_all(in, name, out);
    (void)fclose(in);
    return rc;
}

static void faults_as_json(const dq_flow_faults *faults, dq_json_writer *w)
{
    dq_json_begin_object(w);
    dq_json_set_bool(w, "valid", false);
    dq_json_key(w, "details");
    dq_json_begin_array(w);
    for (size_t i = 0; i < faults->n; i++) {
        const dq_flow_fault *f = &faults->items[i];

        dq_json_begin_object(w);
        dq_json_set_text(w, "path", f->path);
        dq_json_set_i64(w, "line", f->line);
        dq_json_set_i64(w, "column", f->column);
        dq_json_set_text(w, "error", f->text);
        dq_json_end_object(w);
    }
    dq_json_end_array(w);
    dq_json_set_i64(w, "more", (int64_t)faults->n_more);
    dq_json_end_object(w);
}

static void flow_as_json(const dq_flow *flow, dq_json_writer *w)
{
    dq_json_begin_object(w);
    dq_json_set_bool(w, "valid", true);
    dq_json_set_str(w, "name", flow->name);
    dq_json_set_i64(w, "tasks", flow->n_tasks);
    dq_json_set_i64(w, "dependencies", flow->n_edges);
    dq_json_set_i64(w, "layers", flow->n_layers);
    dq_json_end_object(w);
}

/* The compiler's form, which editors know how to jump from. */
static void print_faults(const char *name, const dq_flow_faults *faults)
{
    DQ_BUF_AUTO out = {0};

    for (size_t i = 0; i < faults->n; i++) {
        const dq_flow_fault *f = &faults->items[i];

        dq_buf_append_fmt(&out, "%s:%" PRIu32 ":%" PRIu32 ": %s%s%s\n", name, f->line, f->column, f->path, *f->path ? ": " : "",
                          f->text);
    }
    if (faults->n_more)
        dq_buf_append_fmt(&out, "%s: and %zu more\n", name, faults->n_more);
    ctl_clean(&out, /* keep_lines */ true);
    if (!dq_buf_failed(&out) && out.len)
        (void)fwrite(out.ptr, 1, out.len, stderr);
}

static const char *plural(uint32_t n, const char *one, const char *many)
{
    return n == 1 ? one : many;
}

static void print_flow(const dq_flow *flow)
{
    DQ_BUF_AUTO name = {0};

    dq_buf_append_str(&name, flow->name);
    ctl_clean(&name, /* keep_lines */ false);
    printf("%s: %" PRIu32 " %s, %" PRIu32 " %s, %" PRIu32 " %s\n", name.ptr, flow->n_tasks,
           plural(flow->n_tasks, "task", "tasks"), flow->n_edges, plural(flow->n_edges, "dependency", "dependencies"),
           flow->n_layers, plural(flow->n_layers, "layer", "layers"));
}

static int print_json(const dq_flow *flow, const dq_flow_faults *faults)
{
    DQ_BUF_AUTO out = {0};
    dq_json_writer w = dq_json_writer_of(&out);

    if (faults->n)
        faults_as_json(faults, &w);
    else
        flow_as_json(flow, &w);
    if (dq_buf_failed(&out))
        return ctl_fail(CTL_FAILED, "out of memory");
    printf("%s\n", out.ptr);
    return faults->n ? CTL_FAILED : CTL_DONE;
}

static int judge(const ctl *c, const char *name, const dq_json *doc)
{
    dq_flow_faults faults = {0};
    dq_flow flow = {0};
    int rc = dq_flow_from_json(doc, 0, DUREQ_PAYLOAD_LIMIT_MAX, &flow, &faults);

    if (rc == DUREQ_ENOMEM) {
        rc = ctl_fail(CTL_FAILED, "out of memory");
    } else if (c->format == CTL_JSON || c->format == CTL_NDJSON) {
        rc = print_json(&flow, &faults);
    } else if (faults.n) {
        print_faults(name, &faults);
        rc = CTL_FAILED;
    } else {
        print_flow(&flow);
        rc = CTL_DONE;
    }
    dq_flow_deinit(&flow);
    dq_flow_faults_deinit(&faults);
    return rc;
}

static int workflow_validate(ctl *c, int argc, char **argv)
{
    DQ_BUF_AUTO text = {0};
    dureq_error err;
    dq_json doc;
    int n, rc = ctl_options(argc, argv, NULL, 0, &n);

    if (rc == 0 && n != 1)
        rc = ctl_usage("'workflow validate' takes one file, or '-' for standard input");
    if (rc == 0)
        rc = ctl_read_definition(argv[1], &text);
    if (rc != 0)
        return rc;
    rc = dq_json_parse_frame(dq_buf_str(&text), &doc, &err);
    if (rc < 0)
        return ctl_fail(CTL_FAILED, "%s: %s", argv[1], err.msg);
    rc = judge(c, argv[1], &doc);
    dq_json_deinit(&doc);
    return rc;
}

const ctl_command ctl_workflow_commands[] = {
    {"workflow start", "FILE|- [--wait]", "Start a workflow, print its id",
     "FILE is JSON; '-' reads standard input.\n"
     "  --wait [--wait-timeout D]  wait for the end and show its tasks; exit 1 unless completed\n"
     "\n"
     "Example:\n"
     "  dureqctl workflow start report.json --wait\n",
     ctl_workflow_start},
    {"workflow get", "ID", "Show a workflow and its tasks", "Example: dureqctl workflow get 38hbr6mbp00000000000\n",
     ctl_workflow_get},
    {"workflow list", "[--status S]", "List workflows, newest first",
     "  --status S: running, suspended, completed, failed, cancelling, cancelled\n"
     "  --limit N (10)  --cursor C, of the page before\n",
     ctl_workflow_list},
    {"workflow cancel", "ID", "Cancel a workflow: none of its tasks starts any more", "  --reason TEXT\n", ctl_workflow_cancel},
    {"workflow retry", "ID", "Run a workflow again from where it failed",
     "Of one that failed or was cancelled: what completed stays, the rest begins again.\n", ctl_workflow_retry},
    {"workflow suspend", "ID", "Have no task of a workflow start until it is resumed",
     "What runs goes on, and what it gives is kept; the time-out of the workflow runs on.\n", ctl_workflow_suspend},
    {"workflow resume", "ID", "Let a suspended workflow go on", "What became ready meanwhile starts.\n", ctl_workflow_resume},
    {"workflow graph", "ID", "Draw the tasks of a workflow and what depends on what",
     "Each task stands after those it depends on; lines lead from it to those that depend on it.\n", ctl_workflow_graph},
    {"workflow validate", "FILE", "Check the definition of a workflow; needs no server",
     "FILE is JSON; '-' reads standard input. Every fault is told with its line and column; then the exit code is 1.\n"
     "\n"
     "Example:\n"
     "  dureqctl workflow validate report.json\n",
     workflow_validate},
    {NULL, NULL, NULL, NULL, NULL},
};
