/* SPDX-License-Identifier: Apache-2.0 */
/* schedule create, put, edit: from options to a definition; and what is done with schedules that there are. */
#include <stdio.h>

#include "enqueue.h"
#include "schedule.h"

static const dureq_str no_body = {NULL, 0};

/* ---- create, put, edit ---- */

#define FIRING_OPTIONS 7

typedef struct made {
    ctl_asked asked;
    ctl_enqueue_options job;
    ctl_raw_job raw;
    const char *key;
    dureq_job_spec spec;
    dq_buf input;
} made;

static void made_deinit(made *m)
{
    ctl_asked_deinit(&m->asked);
    ctl_enqueue_options_deinit(&m->job);
    dq_buf_deinit(&m->input);
}

static size_t firing_option_list(ctl_asked *a, ctl_option *out)
{
    const ctl_option list[FIRING_OPTIONS] = {
        {.name = "catchup", .value = &a->catchup},
        {.name = "jitter", .value = &a->jitter},
        {.name = "max-backfill", .value = &a->max_backfill},
        {.name = "max-occurrences", .value = &a->max_occurrences},
        {.name = "misfire", .value = &a->misfire},
        {.name = "overlap", .value = &a->overlap},
        {.name = "pause-on-failure", .flag = &a->pause_on_failure},
    };

    memcpy(out, list, sizeof list);
    return FIRING_OPTIONS;
}

static int read_made(made *m, int argc, char **argv, bool takes_key, int *ret_n)
{
    ctl_option options[CTL_DEFINITION_OPTIONS + FIRING_OPTIONS + CTL_JOB_OPTIONS + 1];
    size_t n = ctl_definition_option_list(&m->asked, options);

    n += firing_option_list(&m->asked, options + n);
    n += ctl_job_option_list(&m->job, &m->raw, options + n);
    if (takes_key)
        options[n++] = (ctl_option){.name = "key", .value = &m->key};
    m->asked.s = dureq_schedule_init();
    return ctl_options(argc, argv, options, n, ret_n);
}

/* argv[0]: the type; then perhaps the payload. */
static int take_job(made *m, int n, char **argv)
{
    int rc = ctl_read_job(&m->job, &m->raw);

    if (rc == 0)
        rc = ctl_read_payload(&m->job, n > 1 ? argv[1] : NULL, &m->input, &m->spec.payload);
    m->spec.task_type = argv[0];
    m->spec.options = &m->job.job;
    return rc;
}

static int take_whole(made *m, int argc, char **argv, bool takes_key)
{
    int n, kinds, rc = read_made(m, argc, argv, takes_key, &n);

    if (rc != 0)
        return rc;
    if (n < 1 || n > 2)
        return ctl_usage("'schedule %s' takes a task type and one payload (quote it)", argv[0]);
    kinds = ctl_asked_kinds(&m->asked);
    if (kinds != 1)
        return ctl_usage("'schedule %s' needs one of --cron, --daily, --weekly, --monthly, --every and --definition%s", argv[0],
                         kinds ? ", not several" : "");
    rc = ctl_asked_take(&m->asked);
    return rc == 0 ? take_job(m, n, argv + 1) : rc;
}

/* The key is an option here. */
static void own_words(const char *msg, dq_buf *out)
{
    if (strncmp(msg, "key is ", strlen("key is ")) == 0)
        dq_buf_append_text(out, "--");
    ctl_own_words(msg, out);
}

static void print_id(const ctl *c, const char *id, const char *status)
{
    if (c->format == CTL_TABLE)
        printf("%s\n", id);
    else if (c->format == CTL_CSV)
        printf("id,status\r\n%s,%s\r\n", id, status);
    else
        printf("{\"id\":\"%s\",\"status\":\"%s\"}\n", id, status);
}

static int refused(int rc, const dureq_error *err, const dureq_job_id *id)
{
    DQ_BUF_AUTO text = {0};

    own_words(err->msg, &text);
    if (rc == DUREQ_EINVAL)
        return ctl_usage("%s", text.ptr ? text.ptr : err->msg);
    if (rc == DUREQ_EDUPLICATE && id->text[0])
        return ctl_fail(ctl_exit_of(rc), "%s (%s)", err->msg, id->text);
    return ctl_fail(ctl_exit_of(rc), "%s", err->msg);
}

int ctl_schedule_create(ctl *c, int argc, char **argv)
{
    DQ_CLEANUP(made_deinit) made m = {0};
    DQ_BUF_AUTO unhandled = {0};
    dureq_error err = {0};
    dureq_job_id id = {0};
    int rc = take_whole(&m, argc, argv, /*takes_key=*/false);

    if (rc == 0)
        rc = ctl_connect(c, CTL_WRITES);
    if (rc != 0)
        return rc;
    rc = dureq_client_create_schedule(c->client, &m.asked.s, &m.spec, &id, &err);
    if (rc < 0)
        return refused(rc, &err, &id);
    ctl_warn_unhandled(c, m.spec.task_type, &unhandled);
    print_id(c, id.text, "scheduled");
    return CTL_DONE;
}

int ctl_schedule_put(ctl *c, int argc, char **argv)
{
    static const char *const words[] = {"created", "changed", "same"};
    DQ_CLEANUP(made_deinit) made m = {0};
    DQ_BUF_AUTO unhandled = {0};
    dureq_put_result what = DUREQ_PUT_SAME;
    dureq_error err = {0};
    dureq_job_id id = {0};
    int rc = take_whole(&m, argc, argv, /*takes_key=*/true);

    if (rc == 0 && !m.key)
        rc = ctl_usage("schedule put needs --key: a schedule without one is made by 'schedule create'");
    if (rc == 0)
        rc = ctl_connect(c, CTL_WRITES);
    if (rc != 0)
        return rc;
    rc = dureq_client_put_schedule(c->client, dureq_str_from(m.key), &m.asked.s, &m.spec, &id, &what, &err);
    if (rc < 0)
        return refused(rc, &err, &id);
    ctl_warn_unhandled(c, m.spec.task_type, &unhandled);
    print_id(c, id.text, words[what]);
    return CTL_DONE;
}

/* How it is fired, of the one that there is. */
static void keep_firing(dureq_schedule *s, const dureq_schedule *of)
{
    s->overlap_policy = of->overlap_policy;
    s->misfire = of->misfire;
    s->catchup_window_ms = of->catchup_window_ms;
    s->max_backfill_per_tick = of->max_backfill_per_tick;
    s->max_occurrences = of->max_occurrences;
    s->jitter_ms = of->jitter_ms;
    s->pause_on_failure = of->pause_on_failure;
}

static bool names_schedule(const ctl_asked *a)
{
    return ctl_asked_kinds(a) || ctl_asked_fires(a) || a->timezone || a->each || a->starts_at || a->ends_at || a->gap ||
           a->overlap_hour;
}

int ctl_schedule_edit(ctl *c, int argc, char **argv)
{
    DQ_CLEANUP(made_deinit) made m = {0};
    dureq_schedule_list *list = NULL;
    dureq_error err = {0};
    dureq_job_id id = {0};
    int n, rc = read_made(&m, argc, argv, /*takes_key=*/false, &n);

    if (rc == 0 && (n < 1 || n > 3))
        rc = ctl_usage("schedule edit takes an id, perhaps a task type and one payload (quote it)");
    if (rc == 0 && ctl_asked_kinds(&m.asked) > 1)
        rc = ctl_usage("schedule edit takes one of --cron, --daily, --weekly, --monthly, --every and --definition");
    if (rc == 0 && n == 1 && !names_schedule(&m.asked))
        rc = ctl_usage("schedule edit needs something to change");
    if (rc == 0)
        rc = ctl_connect(c, CTL_WRITES);
    if (rc == 0 && n > 1)
        rc = take_job(&m, n - 1, argv + 2);
    if (rc != 0)
        return rc;
    rc = dureq_client_get_schedule(c->client, argv[1], &list, &err);
    if (rc < 0)
        return refused(rc, &err, &id);
    if (ctl_asked_kinds(&m.asked))
        keep_firing(&m.asked.s, &list->items[0].schedule);
    else
        m.asked.s = list->items[0].schedule;
    rc = ctl_asked_take(&m.asked);
    if (rc == 0) {
        rc = dureq_client_edit_schedule(c->client, argv[1], names_schedule(&m.asked) ? &m.asked.s : NULL, n > 1 ? &m.spec : NULL,
                                        &err);
        rc = rc < 0 ? refused(rc, &err, &id) : CTL_DONE;
    }
    dureq_schedule_list_destroy(list);
    if (rc == CTL_DONE)
        print_id(c, argv[1], "changed");
    return rc;
}

/* ---- those that there are ---- */

int ctl_schedule_list(ctl *c, int argc, char **argv)
{
    static const ctl_column columns[] = {
        {"ID", "id", CTL_TEXT},
        {"KEY", "key", CTL_TEXT, .may_go = true},
        {"TYPE", "task_type", CTL_TEXT},
        {"STATUS", "status", CTL_TEXT},
        {"NEXT", "next_run_at", CTL_TIME},
        {"SCHEDULE", "schedule", CTL_VALUE},
        {"STARTED", "dispatched", CTL_NUMBER, .may_go = true},
        {"SKIPPED", "skipped", CTL_NUMBER, .may_go = true},
        {NULL, NULL, CTL_TEXT},
    };
    const char *limit = NULL, *cursor = NULL;
    const ctl_option options[] = {{.name = "cursor", .value = &cursor}, {.name = "limit", .value = &limit}};
    DQ_BUF_AUTO query = {0};
    ctl_answer a;
    int n, rc = ctl_options(argc, argv, options, DQ_ARRAY_LEN(options), &n);

    if (rc == 0 && n)
        rc = ctl_usage("schedule list takes no '%s'", argv[1]);
    if (rc != 0)
        return rc;
    ctl_query(&query, "limit", limit ? limit : "20");
    ctl_query(&query, "cursor", cursor);
    rc = ctl_call(c, "GET", "/api/schedules", query.ptr, no_body, &a);
    if (rc != 0)
        return rc;
    ctl_print_list(c, &a, dq_json_member(&a.doc, 0, "data"), columns);
    ctl_answer_deinit(&a);
    return CTL_DONE;
}

static int print_schedule(const ctl *c, const ctl_answer *a)
{
    static const ctl_column columns[] = {
        {"WHAT", "what", CTL_TEXT},     {"SCHEDULED", "scheduled_at", CTL_TIME}, {"AT", "at", CTL_TIME},
        {"REASON", "reason", CTL_TEXT}, {"COUNT", "count", CTL_NUMBER},          {"JOB", "job_id", CTL_TEXT},
        {NULL, NULL, CTL_TEXT},
    };
    dq_json_ref records = dq_json_member(&a->doc, 0, "records");

    if (c->format != CTL_TABLE) {
        ctl_print_object(c, a, 0);
        return CTL_DONE;
    }
    ctl_print_pairs(c, &a->doc, 0, "records");
    if (records != DQ_JSON_NONE && dq_json_first(&a->doc, records) != DQ_JSON_NONE) {
        fputc('\n', stdout);
        ctl_print_list(c, a, records, columns);
    }
    return CTL_DONE;
}

/* The id of the schedule of that key, into *out. */
static int find_key(ctl *c, const char *key, dureq_job_id *out)
{
    dureq_schedule_list *list;
    dureq_error err = {0};
    int rc = ctl_connect(c, CTL_READS);

    if (rc != 0)
        return rc;
    rc = dureq_client_get_schedule_by_key(c->client, dureq_str_from(key), &list, &err);
    if (rc < 0) {
        DQ_BUF_AUTO text = {0};

        own_words(err.msg, &text);
        return ctl_fail(ctl_exit_of(rc), "%s", text.ptr ? text.ptr : err.msg);
    }
    *out = list->items[0].id;
    dureq_schedule_list_destroy(list);
    return 0;
}

int ctl_schedule_get(ctl *c, int argc, char **argv)
{
    const char *key = NULL;
    const ctl_option options[] = {{.name = "key", .value = &key}};
    DQ_BUF_AUTO path = {0};
    dureq_job_id id;
    ctl_answer a;
    int n, rc = ctl_options(argc, argv, options, DQ_ARRAY_LEN(options), &n);

    if (rc == 0 && n + !!key != 1)
        rc = ctl_usage("schedule get takes one id, or --key");
    if (rc == 0 && key)
        rc = find_key(c, key, &id);
    if (rc != 0)
        return rc;
    ctl_path(&path, "/api/schedules/%s", key ? id.text : argv[1]);
    rc = ctl_call(c, "GET", path.ptr, NULL, no_body, &a);
    if (rc != 0)
        return rc;
    rc = print_schedule(c, &a);
    ctl_answer_deinit(&a);
    return rc;
}

static int act(ctl *c, const char *method, const char *path_fmt, const char *query, const char *done, const char *id)
{
    DQ_BUF_AUTO path = {0};
    ctl_answer a;
    int rc;

    ctl_path(&path, path_fmt, id);
    rc = *id ? ctl_call(c, method, path.ptr, query, no_body, &a) : ctl_usage("an id is not ''");
    if (rc != 0)
        return rc;
    ctl_print_done(c, &a, "%s %s", done, id);
    ctl_answer_deinit(&a);
    return CTL_DONE;
}

/* For each id; the first failure's code is kept, the others still done. */
static int act_all(ctl *c, int argc, char **argv, const char *method, const char *path_fmt, const char *done)
{
    int n, rc = ctl_options(argc, argv, NULL, 0, &n);

    if (rc != 0)
        return rc;
    if (n == 0)
        return ctl_usage("'schedule %s' needs an id", argv[0]);
    for (int i = 1; i <= n; i++) {
        int one = act(c, method, path_fmt, NULL, done, argv[i]);

        rc = rc == 0 ? one : rc;
    }
    return rc;
}

int ctl_schedule_pause(ctl *c, int argc, char **argv)
{
    return act_all(c, argc, argv, "POST", "/api/schedules/%s/pause", "paused");
}

int ctl_schedule_resume(ctl *c, int argc, char **argv)
{
    return act_all(c, argc, argv, "POST", "/api/schedules/%s/resume", "resumed");
}

int ctl_schedule_delete(ctl *c, int argc, char **argv)
{
    return act_all(c, argc, argv, "DELETE", "/api/schedules/%s", "deleted");
}

int ctl_schedule_trigger(ctl *c, int argc, char **argv)
{
    const char *policy = NULL;
    const ctl_option options[] = {{.name = "policy", .value = &policy}};
    DQ_BUF_AUTO path = {0};
    DQ_BUF_AUTO query = {0};
    DQ_BUF_AUTO job = {0};
    ctl_answer a;
    int n, rc = ctl_options(argc, argv, options, DQ_ARRAY_LEN(options), &n);

    if (rc == 0 && n != 1)
        rc = ctl_usage("schedule trigger takes one id");
    if (rc != 0)
        return rc;
    ctl_path(&path, "/api/schedules/%s/trigger", argv[1]);
    ctl_query(&query, "policy", policy);
    rc = ctl_call(c, "POST", path.ptr, query.ptr, no_body, &a);
    if (rc != 0)
        return rc;
    (void)dq_json_string(&a.doc, dq_json_member(&a.doc, 0, "job_id"), &job);
    ctl_print_done(c, &a, "%s", job.len ? job.ptr : "not started: another one is active");
    ctl_answer_deinit(&a);
    return CTL_DONE;
}

int ctl_schedule_backfill(ctl *c, int argc, char **argv)
{
    const char *policy = NULL, *from = NULL, *to = NULL;
    const ctl_option options[] = {
        {.name = "from", .value = &from}, {.name = "policy", .value = &policy}, {.name = "to", .value = &to}};
    char from_text[DQ_RFC3339_TEXT_MAX], to_text[DQ_RFC3339_TEXT_MAX];
    DQ_BUF_AUTO path = {0};
    DQ_BUF_AUTO query = {0};
    int64_t dispatched = 0;
    ctl_answer a;
    int n, rc = ctl_options(argc, argv, options, DQ_ARRAY_LEN(options), &n);

    if (rc == 0 && (n != 1 || !from || !to))
        rc = ctl_usage("schedule backfill takes one id, --from and --to");
    if (rc == 0)
        rc = ctl_time_text("from", from, /*is_past=*/true, from_text);
    if (rc == 0)
        rc = ctl_time_text("to", to, /*is_past=*/true, to_text);
    if (rc == 0 && strcmp(from_text, to_text) > 0) /* of one length each, so in the order of time */
        rc = ctl_usage("--from '%s' is after --to '%s'", from, to);
    if (rc != 0)
        return rc;
    ctl_path(&path, "/api/schedules/%s/backfill", argv[1]);
    ctl_query(&query, "from", from_text);
    ctl_query(&query, "to", to_text);
    ctl_query(&query, "policy", policy);
    rc = ctl_call(c, "POST", path.ptr, query.ptr, no_body, &a);
    if (rc != 0)
        return rc;
    (void)dq_json_i64(&a.doc, dq_json_member(&a.doc, 0, "dispatched"), &dispatched);
    ctl_print_done(c, &a, "%lld jobs", (long long)dispatched);
    ctl_answer_deinit(&a);
    return CTL_DONE;
}
