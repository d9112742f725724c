/* SPDX-License-Identifier: Apache-2.0 */
/* stats, redis, doctor. */
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "ctl.h"
#include "doctor/doctor.h"

static const dureq_str no_body = {NULL, 0};

/* ---- stats ---- */

static int print_days(ctl *c, const char *days)
{
    static const ctl_column columns[] = {
        {"DATE", "date", CTL_TEXT},       {"ENQUEUED", "enqueued", CTL_NUMBER}, {"COMPLETED", "processed", CTL_NUMBER},
        {"FAILED", "failed", CTL_NUMBER}, {"DEAD", "dead", CTL_NUMBER},         {"CANCELLED", "cancelled", CTL_NUMBER},
        {NULL, NULL, CTL_TEXT},
    };
    DQ_BUF_AUTO query = {0};
    int64_t checked;
    int rc = ctl_i64("days", days, 1, 90, &checked);

    ctl_query(&query, "days", days);
    return rc != 0 ? rc : ctl_show_list(c, "/api/stats/daily", query.ptr, /*member=*/NULL, columns);
}

/* A row is one unit, and begins so long ago. */
static int print_series(ctl *c, const char *query)
{
    static const ctl_column columns[] = {
        {"SINCE", "at", CTL_TIME},
        {"ENQUEUED", "enqueued", CTL_NUMBER, .may_go = true},
        {"COMPLETED", "processed", CTL_NUMBER},
        {"FAILED", "failed", CTL_NUMBER},
        {"DEAD", "dead", CTL_NUMBER, .may_go = true},
        {"CANCELLED", "cancelled", CTL_NUMBER, .may_go = true},
        {"A SECOND", "per_second", CTL_NUMBER},
        {"FAILURES", "failure_ratio", CTL_NUMBER, .may_go = true},
        {"WAIT P50", "p50", CTL_MS, "wait_ms"},
        {"P95", "p95", CTL_MS, "wait_ms"},
        {"RUN P50", "p50", CTL_MS, "run_ms"},
        {"P95", "p95", CTL_MS, "run_ms"},
        {NULL, NULL, CTL_TEXT},
    };

    return ctl_show_list(c, "/api/stats/series", query, /*member=*/NULL, columns);
}

/* Again and again, until a signal ends the program. On a terminal each stands in the place of the one before. */
static int watch_series(ctl *c, const char *query, int64_t every_ms)
{
    const struct timespec pause = {.tv_sec = every_ms / 1000, .tv_nsec = every_ms % 1000 * 1000000};
    int rc;

    do {
        if (c->is_terminal)
            fputs("\033[H\033[2J", stdout);
        rc = print_series(c, query);
        if (fflush(stdout) != 0 || ferror(stdout))
            return rc;
    } while (rc == 0 && nanosleep(&pause, NULL) == 0);
    return rc;
}

/* Members that are numbers, one a line; the others are objects, shown by their own members. */
static void print_numbers(const ctl *c, const dq_json *doc, dq_json_ref object)
{
    for (dq_json_ref k = dq_json_first(doc, object); k != DQ_JSON_NONE; k = dq_json_next(doc, object, k)) {
        dureq_str name = dq_json_raw(doc, k), value = dq_json_raw(doc, k + 1);

        if (dq_json_type_of(doc, k + 1) == DQ_JSON_OBJECT)
            print_numbers(c, doc, k + 1);
        else if (c->format == CTL_CSV)
            printf("%.*s,%.*s\r\n", (int)name.len - 2, name.ptr + 1, DQ_STR_ARG(value));
        else
            printf("%-16.*s  %14.*s\n", (int)name.len - 2, name.ptr + 1, DQ_STR_ARG(value));
    }
}

static int print_stats(ctl *c)
{
    ctl_answer a;
    int rc = ctl_call(c, "GET", "/api/stats", NULL, no_body, &a);

    if (rc != 0)
        return rc;
    if (c->format == CTL_CSV)
        fputs("name,value\r\n", stdout);
    if (c->format == CTL_TABLE || c->format == CTL_CSV)
        print_numbers(c, &a.doc, 0);
    else
        ctl_print_object(c, &a, 0);
    ctl_answer_deinit(&a);
    return CTL_DONE;
}

static int stats(ctl *c, int argc, char **argv)
{
    const char *days = NULL, *by = NULL, *n_rows = NULL, *queue = NULL, *type = NULL, *watch = NULL;
    const ctl_option options[] = {
        {.name = "by", .value = &by},       {.name = "days", .value = &days}, {.name = "last", .value = &n_rows},
        {.name = "queue", .value = &queue}, {.name = "type", .value = &type}, {.name = "watch", .value = &watch},
    };
    DQ_BUF_AUTO query = {0};
    int64_t every_ms = 1000, checked;
    int rc = ctl_only_options(argc, argv, options, DQ_ARRAY_LEN(options));

    if (rc == 0 && days && (by || watch || queue || type || n_rows))
        rc = ctl_usage("--days stands alone: --by day --last %s tells more", days);
    if (rc == 0 && !by && (watch || queue || type || n_rows))
        by = "minute";
    if (rc == 0)
        rc = ctl_duration("watch", watch, &every_ms);
    if (rc == 0 && every_ms < 100)
        rc = ctl_usage("--watch takes a duration of 100ms or more, not '%s'", watch);
    if (rc == 0)
        rc = ctl_i64("last", n_rows, 1, 1440, &checked);
    if (rc != 0)
        return rc;
    if (days)
        return print_days(c, days);
    if (!by)
        return print_stats(c);
    ctl_query(&query, "by", by);
    ctl_query(&query, "n", n_rows);
    ctl_query(&query, "queue", queue);
    ctl_query(&query, "type", type);
    return watch ? watch_series(c, query.ptr, every_ms) : print_series(c, query.ptr);
}

/* ---- redis ---- */

static void print_section_rows(const ctl *c, const dq_json *doc, dq_json_ref section)
{
    DQ_BUF_AUTO title = {0};
    DQ_BUF_AUTO name = {0};
    DQ_BUF_AUTO value = {0};

    (void)dq_json_string(doc, section, &title); /* keys and INFO's values are strings */
    for (dq_json_ref k = dq_json_first(doc, section + 1); k != DQ_JSON_NONE; k = dq_json_next(doc, section + 1, k)) {
        dq_buf_clear(&name);
        dq_buf_clear(&value);
        (void)dq_json_string(doc, k, &name);
        (void)dq_json_string(doc, k + 1, &value);
        ctl_print_csv_row(c, (const char *const[]){title.ptr, name.ptr, value.ptr ? value.ptr : ""}, 3);
    }
}

/* {"nodes": [{"addr", "sections": {"server": {"redis_version": ...}}}]}: a heading and its lines for each section. */
static void print_server(const ctl *c, const ctl_answer *a, dq_json_ref node)
{
    dq_json_ref sections = dq_json_member(&a->doc, node, "sections"), addr = dq_json_member(&a->doc, node, "addr");
    DQ_BUF_AUTO name = {0};

    if (sections == DQ_JSON_NONE || addr == DQ_JSON_NONE)
        return;
    (void)dq_json_string(&a->doc, addr, &name); /* not a string: nothing to show */
    if (c->format == CTL_CSV)
        fputs("section,name,value\r\n", stdout);
    else
        printf("%s\n", name.ptr ? name.ptr : "");
    for (dq_json_ref k = dq_json_first(&a->doc, sections); k != DQ_JSON_NONE; k = dq_json_next(&a->doc, sections, k)) {
        dureq_str title = dq_json_raw(&a->doc, k);

        if (c->format == CTL_CSV) {
            print_section_rows(c, &a->doc, k);
            continue;
        }
        printf("\n# %.*s\n", (int)title.len - 2, title.ptr + 1);
        ctl_print_object(c, a, k + 1);
    }
}

static int redis(ctl *c, int argc, char **argv)
{
    const char *section = NULL;
    const ctl_option options[] = {{.name = "section", .value = &section}};
    DQ_BUF_AUTO query = {0};
    dq_json_ref nodes;
    ctl_answer a;
    int rc = ctl_only_options(argc, argv, options, DQ_ARRAY_LEN(options));

    ctl_query(&query, "section", section);
    if (rc == 0)
        rc = ctl_call(c, "GET", "/api/redis/info", query.ptr, no_body, &a);
    if (rc != 0)
        return rc;
    nodes = dq_json_member(&a.doc, 0, "nodes");
    if (c->format != CTL_TABLE && c->format != CTL_CSV)
        ctl_print_object(c, &a, 0);
    else if (nodes != DQ_JSON_NONE)
        for (dq_json_ref v = dq_json_first(&a.doc, nodes); v != DQ_JSON_NONE; v = dq_json_next(&a.doc, nodes, v))
            print_server(c, &a, v);
    ctl_answer_deinit(&a);
    return CTL_DONE;
}

/* ---- doctor ---- */

static void write_fault(dq_json_writer *w, const dq_doctor_fault *f)
{
    dq_json_begin_object(w);
    dq_json_set_text(w, "fault", dq_fault_kind_to_str(f->kind));
    dq_json_set_text(w, "key", f->key);
    dq_json_set_text(w, "job", f->id);
    dq_json_set_text(w, "text", f->text);
    dq_json_set_text(w, "repair", f->repaired ? "done" : f->repairable ? "possible" : "none");
    dq_json_end_object(w);
}

static void put_member(dq_json_writer *w, const dq_json *doc, dq_json_ref object, const char *name)
{
    dq_json_ref v = dq_json_member(doc, object, name);

    if (v == DQ_JSON_NONE)
        dq_json_put_null(w);
    else
        dq_json_put_raw(w, dq_json_raw(doc, v));
}

/* Nothing is wrong with what is stored, but somebody ought to know: types that wait with no live node for them. */
static void write_notices(dq_json_writer *w, const dq_json *queues)
{
    for (dq_json_ref q = dq_json_first(queues, 0); q != DQ_JSON_NONE; q = dq_json_next(queues, 0, q)) {
        bool is_queue = dq_json_type_of(queues, q) == DQ_JSON_OBJECT;
        dq_json_ref types = is_queue ? dq_json_member(queues, q, "unhandled_types") : DQ_JSON_NONE;

        if (types == DQ_JSON_NONE)
            continue;
        dq_json_begin_object(w);
        dq_json_set_text(w, "notice", "unhandled_types");
        dq_json_key(w, "queue");
        put_member(w, queues, q, "name");
        dq_json_key(w, "jobs");
        put_member(w, queues, q, "unhandled");
        dq_json_set_raw(w, "task_types", dq_json_raw(queues, types));
        dq_json_end_object(w);
    }
}

static void write_report(dq_json_writer *w, const dq_doctor_report *r, const dq_json *queues)
{
    dq_json_begin_object(w);
    dq_json_key(w, "counts");
    dq_json_begin_object(w);
#define X(member, text)   \
    dq_json_key(w, text); \
    dq_json_put_i64(w, r->tally.member);
    DQ_TALLY_MAP(X)
#undef X
    dq_json_end_object(w);
    dq_json_set_i64(w, "found", r->n_found);
    dq_json_set_i64(w, "unsettled", r->n_unsettled);
    dq_json_key(w, "faults");
    dq_json_begin_array(w);
    for (size_t i = 0; i < r->n_faults; i++)
        write_fault(w, &r->faults[i]);
    dq_json_end_array(w);
    dq_json_key(w, "notices");
    dq_json_begin_array(w);
    write_notices(w, queues);
    dq_json_end_array(w);
    dq_json_end_object(w);
}

/* "31 jobs of queue normal wait, with no live node that handles their types: a, b" */
static void append_notice(const dq_json *doc, dq_json_ref notice, dq_buf *out)
{
    dq_json_ref types = dq_json_member(doc, notice, "task_types");
    int64_t n = 0, named = 0;

    (void)dq_json_i64(doc, dq_json_member(doc, notice, "jobs"), &n); /* our own answer */
    dq_buf_append_fmt(out, "%" PRId64 " job%s of queue ", n, n == 1 ? "" : "s");
    (void)dq_json_string(doc, dq_json_member(doc, notice, "queue"), out);
    dq_buf_append_fmt(out, " wait%s, with no live node that handles %s:", n == 1 ? "s" : "", n == 1 ? "its type" : "their types");
    for (dq_json_ref t = dq_json_first(doc, types); t != DQ_JSON_NONE; t = dq_json_next(doc, types, t)) {
        dq_buf_append_text(out, named++ ? ", " : " ");
        (void)dq_json_string(doc, t, out);
    }
    ctl_clean(out, /*keep_lines=*/false);
}

static void print_notices(const ctl *c, const dq_json *doc)
{
    dq_json_ref notices = dq_json_member(doc, 0, "notices");

    for (dq_json_ref v = dq_json_first(doc, notices); v != DQ_JSON_NONE; v = dq_json_next(doc, notices, v)) {
        DQ_BUF_AUTO text = {0};

        append_notice(doc, v, &text);
        if (c->format == CTL_CSV)
            ctl_print_csv_row(c, (const char *const[]){"notice", "", "", text.ptr ? text.ptr : "", ""}, 5);
        else if (c->format == CTL_TABLE && !c->quiet)
            printf("Notice: " DQ_STR_FMT ".\n", DQ_STR_ARG(dq_buf_str(&text)));
    }
}

/* The counts where the faults are lines of their own: as a last object, as rows. */
static void print_counts(const ctl *c, const dq_json *doc)
{
    dq_json_ref counts = dq_json_member(doc, 0, "counts");

    if (c->format == CTL_NDJSON)
        printf("{\"counts\":" DQ_STR_FMT ",\"found\":" DQ_STR_FMT ",\"unsettled\":" DQ_STR_FMT ",\"notices\":" DQ_STR_FMT "}\n",
               DQ_STR_ARG(dq_json_raw(doc, counts)), DQ_STR_ARG(dq_json_raw(doc, dq_json_member(doc, 0, "found"))),
               DQ_STR_ARG(dq_json_raw(doc, dq_json_member(doc, 0, "unsettled"))),
               DQ_STR_ARG(dq_json_raw(doc, dq_json_member(doc, 0, "notices"))));
    if (c->format != CTL_CSV)
        return;
    for (dq_json_ref k = dq_json_first(doc, counts); k != DQ_JSON_NONE; k = dq_json_next(doc, counts, k)) {
        dureq_str name = dq_json_raw(doc, k), n = dq_json_raw(doc, k + 1);

        printf("count,,%.*s," DQ_STR_FMT ",\r\n", (int)name.len - 2, name.ptr + 1, DQ_STR_ARG(n));
    }
}

static void print_summary(const ctl *c, const dq_doctor_report *r, int64_t n_repaired)
{
    if (c->format != CTL_TABLE)
        return;
    if (!c->quiet) {
        if (r->n_found)
            fputc('\n', stdout);
#define X(member, text) printf("%-12s  %12" PRId64 "\n", text, r->tally.member);
        DQ_TALLY_MAP(X)
#undef X
        fputc('\n', stdout);
    }
    if (r->n_unsettled)
        printf("%" PRId64 " sums were not checked: their rows kept changing.\n", r->n_unsettled);
    if (r->n_found > (int64_t)r->n_faults)
        printf("%" PRId64 " more faults are not shown.\n", r->n_found - (int64_t)r->n_faults);
    if (r->n_found == 0)
        printf("No fault.\n");
    else if (n_repaired)
        printf("%" PRId64 " fault%s, %" PRId64 " repaired.\n", r->n_found, r->n_found == 1 ? "" : "s", n_repaired);
    else
        printf("%" PRId64 " fault%s.\n", r->n_found, r->n_found == 1 ? "" : "s");
}

static int print_report(const ctl *c, const dq_doctor_report *r, const dq_json *queues, int64_t n_repaired)
{
    static const ctl_column columns[] = {
        {"FAULT", "fault", CTL_TEXT}, {"JOB", "job", CTL_TEXT},       {"KEY", "key", CTL_TEXT},
        {"WHAT", "text", CTL_TEXT},   {"REPAIR", "repair", CTL_TEXT}, {NULL, NULL, CTL_TEXT},
    };
    ctl_answer a = {0};
    dq_json_writer w = dq_json_writer_of(&a.res.body);
    dureq_error err = {0};
    int rc;

    write_report(&w, r, queues);
    rc = dq_buf_finish(&a.res.body, &err);
    if (rc == 0)
        rc = dq_json_parse(dq_buf_str(&a.res.body), &a.doc, &err);
    if (rc < 0) {
        ctl_answer_deinit(&a);
        return ctl_fail(CTL_FAILED, "%s", err.msg);
    }
    if (r->n_faults || c->format != CTL_TABLE)
        ctl_print_list(c, &a, dq_json_member(&a.doc, 0, "faults"), columns);
    print_counts(c, &a.doc);
    print_summary(c, r, n_repaired);
    print_notices(c, &a.doc);
    ctl_answer_deinit(&a);
    return CTL_DONE;
}

/* Where definitions are damaged they cannot be told: an empty list then, for the faults say it. */
static int ask_queues(ctl *c, ctl_answer *ret)
{
    dq_api_request req = {.method = "GET", .path = "/api/queues"};
    dureq_error err = {0};
    int rc;

    *ret = (ctl_answer){0};
    dq_api_handle(c->client, &req, &ret->res);
    if (ret->res.status >= 400) {
        dq_buf_clear(&ret->res.body);
        dq_buf_append_text(&ret->res.body, "[]");
    }
    rc = dq_json_parse_frame(dq_buf_str(&ret->res.body), &ret->doc, &err);
    if (rc == 0 && dq_json_type_of(&ret->doc, 0) == DQ_JSON_ARRAY)
        return 0;
    if (rc < 0)
        ret->doc = (dq_json){0};
    return ctl_fail(CTL_FAILED, "%s", err.msg);
}

static int doctor(ctl *c, int argc, char **argv)
{
    dq_doctor_options o = {0};
    const ctl_option options[] = {{.name = "repair", .flag = &o.repair}};
    dq_doctor_report report;
    dureq_error err = {0};
    int64_t n_repaired = 0;
    ctl_answer queues;
    int rc = ctl_only_options(argc, argv, options, DQ_ARRAY_LEN(options));

    if (rc == 0)
        rc = ctl_connect(c, o.repair ? CTL_WRITES : CTL_READS);
    if (rc == 0 && c->http)
        rc = ctl_fail(CTL_USAGE,
                      "doctor looks at Redis itself: give a redis://, rediss:// or unix:// server (GET /api/doctor only checks)");
    if (rc != 0)
        return rc;
    rc = dq_doctor_run(c->client, &o, &report, &err);
    if (rc < 0)
        return ctl_fail(ctl_exit_of(rc), "%s", err.msg);
    for (size_t i = 0; i < report.n_faults; i++)
        n_repaired += report.faults[i].repaired;
    rc = ask_queues(c, &queues);
    if (rc == 0)
        rc = print_report(c, &report, &queues.doc, n_repaired);
    if (rc == CTL_DONE && report.n_found > n_repaired)
        rc = CTL_FAILED;
    ctl_answer_deinit(&queues);
    dq_doctor_report_deinit(&report);
    return rc;
}

const ctl_command ctl_tool_commands[] = {
    {"doctor", "[--repair]", "Check all that is stored under the prefix, and count it",
     "Exits with 1 when a fault was found, or with --repair when one is left. Programs may go on working meanwhile.\n"
     "--repair does only what loses nothing; call doctor again afterwards. Types that wait with no live node for them are told, too.\n",
     doctor},
    {"redis", "[--section NAME]", "The server's own figures", "Example: dureqctl redis --section memory\n", redis},
    {"stats", "[--days N] | --by minute|hour|day [--last N] [--queue Q] [--type T] [--watch D]",
     "Jobs by state, or what happened each of the last minutes, hours or days",
     "  --by minute|hour|day   what happened in each: rates, failures, how long jobs waited and ran\n"
     "  --last N               so many of them, 1 to 1440 (else 30 minutes, 24 hours, 7 days)\n"
     "  --queue Q, --type T    of these only; T may end in *\n"
     "  --watch D              again and again, every D (100ms or more), until Ctrl-C\n"
     "Days begin at midnight UTC. P50 and P95: half of the jobs, 95 of 100 of them took no longer, about.\n",
     stats},
    {NULL, NULL, NULL, NULL, NULL},
};
