/* SPDX-License-Identifier: Apache-2.0 */
/* schedule create, put, edit: from options to a definition; and what is done with schedules that there are. */
#include <stdio.h>

#include "enqueue.h"
#include "model/job.h"
#include "model/schedule.h"
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

/* The id, or the object as it came. */
static void print_made(const ctl *c, const ctl_answer *a)
{
    DQ_BUF_AUTO id = {0};

    (void)dq_json_string(&a->doc, dq_json_member(&a->doc, 0, "id"), &id);
    if (c->format == CTL_TABLE)
        printf("%s\n", id.ptr ? id.ptr : "");
    else
        ctl_print_object(c, a, 0);
}

/* The request for what was made; either may be NULL. */
static int send(ctl *c, const char *method, const char *path, const char *query, const dureq_schedule *schedule,
                const dureq_job_spec *job)
{
    DQ_BUF_AUTO body = {0};
    DQ_BUF_AUTO unhandled = {0};
    dq_json_writer w = dq_json_writer_of(&body);
    ctl_answer a;
    int rc;

    dq_json_begin_object(&w);
    if (schedule) {
        dq_json_key(&w, "schedule");
        dq_schedule_to_json(schedule, &w);
    }
    if (job)
        ctl_put_spec(&w, job);
    dq_json_end_object(&w);
    rc = dq_buf_failed(&body) ? ctl_fail(CTL_FAILED, "out of memory") : ctl_call(c, method, path, query, dq_buf_str(&body), &a);
    if (rc != 0)
        return rc;
    if (job)
        ctl_warn_unhandled(c, job->task_type, &unhandled);
    print_made(c, &a);
    ctl_answer_deinit(&a);
    return CTL_DONE;
}

int ctl_schedule_create(ctl *c, int argc, char **argv)
{
    DQ_CLEANUP(made_deinit) made m = {0};
    int rc = take_whole(&m, argc, argv, /*takes_key=*/false);

    return rc == 0 ? send(c, "POST", "/api/schedules", NULL, &m.asked.s, &m.spec) : rc;
}

static int check_key(const char *key)
{
    dureq_error err = {0};

    return dq_key_check("--key", dureq_str_from(key), &err) < 0 ? ctl_usage("%s", err.msg) : 0;
}

int ctl_schedule_put(ctl *c, int argc, char **argv)
{
    DQ_CLEANUP(made_deinit) made m = {0};
    DQ_BUF_AUTO query = {0};
    int rc = take_whole(&m, argc, argv, /*takes_key=*/true);

    if (rc == 0 && !m.key)
        rc = ctl_usage("schedule put needs --key: a schedule without one is made by 'schedule create'");
    if (rc == 0)
        rc = check_key(m.key);
    ctl_query(&query, "key", m.key);
    return rc == 0 ? send(c, "PUT", "/api/schedules", query.ptr, &m.asked.s, &m.spec) : rc;
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

/* The definition of the one that there is, which lives as long as m and a. */
static int read_present(ctl *c, made *m, const char *path, ctl_answer *a, dureq_schedule *ret)
{
    dureq_error err = {0};
    int rc = ctl_call(c, "GET", path, NULL, no_body, a);

    if (rc != 0)
        return rc;
    rc = dq_schedule_from_json(&a->doc, dq_json_member(&a->doc, 0, "schedule"), &m->asked.arena, ret, &err);
    if (rc == 0)
        return 0;
    ctl_answer_deinit(a);
    return ctl_fail(CTL_FAILED, "%s", err.msg);
}

int ctl_schedule_edit(ctl *c, int argc, char **argv)
{
    DQ_CLEANUP(made_deinit) made m = {0};
    DQ_BUF_AUTO path = {0};
    dureq_schedule present;
    ctl_answer a;
    int n, rc = read_made(&m, argc, argv, /*takes_key=*/false, &n);

    if (rc == 0 && (n < 1 || n > 3))
        rc = ctl_usage("schedule edit takes an id, perhaps a task type and one payload (quote it)");
    if (rc == 0 && ctl_asked_kinds(&m.asked) > 1)
        rc = ctl_usage("schedule edit takes one of --cron, --daily, --weekly, --monthly, --every and --definition");
    if (rc == 0 && n == 1 && !names_schedule(&m.asked))
        rc = ctl_usage("schedule edit needs something to change");
    if (rc == 0 && n > 1)
        rc = take_job(&m, n - 1, argv + 2);
    if (rc != 0)
        return rc;
    ctl_path(&path, "/api/schedules/%s", argv[1]);
    rc = read_present(c, &m, path.ptr, &a, &present);
    if (rc != 0)
        return rc;
    if (ctl_asked_kinds(&m.asked))
        keep_firing(&m.asked.s, &present);
    else
        m.asked.s = present;
    rc = ctl_asked_take(&m.asked);
    if (rc == 0)
        rc = send(c, "PUT", path.ptr, NULL, names_schedule(&m.asked) ? &m.asked.s : NULL, n > 1 ? &m.spec : NULL);
    ctl_answer_deinit(&a);
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
        {"SCHEDULE", "schedule", CTL_SCHEDULE},
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

/* The id of the schedule of that key. */
static int find_key(ctl *c, const char *key, dq_buf *ret)
{
    DQ_BUF_AUTO query = {0};
    dq_json_ref list, one;
    ctl_answer a;
    int rc;

    rc = check_key(key);
    if (rc != 0)
        return rc;
    ctl_query(&query, "key", key);
    rc = ctl_call(c, "GET", "/api/schedules", query.ptr, no_body, &a);
    if (rc != 0)
        return rc;
    list = dq_json_member(&a.doc, 0, "data");
    one = list == DQ_JSON_NONE ? list : dq_json_first(&a.doc, list);
    if (one != DQ_JSON_NONE)
        (void)dq_json_string(&a.doc, dq_json_member(&a.doc, one, "id"), ret);
    ctl_answer_deinit(&a);
    return ret->len ? 0 : ctl_fail(CTL_NOT_FOUND, "no schedule of this key");
}

int ctl_schedule_get(ctl *c, int argc, char **argv)
{
    const char *key = NULL;
    const ctl_option options[] = {{.name = "key", .value = &key}};
    DQ_BUF_AUTO path = {0};
    DQ_BUF_AUTO id = {0};
    ctl_answer a;
    int n, rc = ctl_options(argc, argv, options, DQ_ARRAY_LEN(options), &n);

    if (rc == 0 && n + !!key != 1)
        rc = ctl_usage("schedule get takes one id, or --key");
    if (rc == 0 && key)
        rc = find_key(c, key, &id);
    if (rc != 0)
        return rc;
    ctl_path(&path, "/api/schedules/%s", key ? id.ptr : argv[1]);
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
    char from_text[DQ_RFC3339_TEXT_MAX] = "", to_text[DQ_RFC3339_TEXT_MAX] = "";
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
