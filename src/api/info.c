/* SPDX-License-Identifier: Apache-2.0 */
/* What this is, whether it works, and how things are at a glance. */
#include <dureq/dureq.h>

#include "api/describe.h"
#include "api/meter.h"
#include "client/audit.h"
#include "client/client.h"
#include "client/series.h"
#include "client/stats.h"
#include "doctor/doctor.h"
#include "model/job_json.h"

#define FAILING_MAX 5
#define DEAD_LOOKED 1000 /* the newest, for what fails now */
#define CHANGES_MAX 10

/* Pages show what is there. */
static const char *const features[] = {"audit",      "batches",  "bulk",   "dead_groups", "digest",   "dlq",
                                       "doctor",     "events",   "jobs",   "login",       "metrics",  "nodes",
                                       "operations", "overview", "queues", "redis",       "runs",     "schedules",
                                       "series",     "stats",    "tokens", "unique_keys", "workflows"};

static int get_version(dq_api_ctx *c, dureq_error *err)
{
    (void)err;
    dq_json_begin_object(&c->w);
    dq_json_key(&c->w, "version");
    dq_json_put_text(&c->w, dureq_version());
    dq_json_key(&c->w, "api");
    dq_json_put_i64(&c->w, 1);
    dq_json_key(&c->w, "features");
    dq_json_begin_array(&c->w);
    for (size_t i = 0; i < DQ_ARRAY_LEN(features); i++)
        dq_json_put_text(&c->w, features[i]);
    dq_json_end_array(&c->w);
    dq_json_end_object(&c->w);
    return 0;
}

static int get_openapi(dq_api_ctx *c, dureq_error *err)
{
    (void)err;
    dq_api_write_openapi(&c->w);
    return 0;
}

static int get_ready(dq_api_ctx *c, dureq_error *err)
{
    DQ_BUF_AUTO text = {0};
    int rc = dq_client_redis_info(c->client, "server", &text, err);

    if (rc < 0)
        return rc;
    dq_json_begin_object(&c->w);
    dq_json_key(&c->w, "status");
    dq_json_put_text(&c->w, "ok");
    dq_json_end_object(&c->w);
    return 0;
}

/* ---- metrics ---- */

static int write_metrics(dq_api_ctx *c, dq_api_meter *meter, dureq_error *err)
{
    bool open = c->req->accept && strstr(c->req->accept, "application/openmetrics-text");
    dq_exposition x = {.out = &c->res->body, .open_metrics = open};

    c->res->content_type = open ? DQ_EXPOSITION_OPEN : DQ_EXPOSITION_TEXT;
    return dq_api_meter_write(meter, c->client, &x, err);
}

/* A request of this program itself has no server, whose counters it could tell. */
static int get_metrics(dq_api_ctx *c, dureq_error *err)
{
    dq_api_meter *meter;
    int rc;

    if (c->req->meter)
        return write_metrics(c, c->req->meter, err);
    meter = dq_api_meter_create();
    if (!meter)
        return dq_fail_nomem(err);
    rc = write_metrics(c, meter, err);
    dq_api_meter_destroy(meter);
    return rc;
}

/* ---- doctor ---- */

static void put_fault(dq_json_writer *w, const dq_doctor_fault *f)
{
    dq_json_begin_object(w);
    dq_json_key(w, "kind");
    dq_json_put_text(w, dq_fault_kind_to_str(f->kind));
    dq_json_key(w, "key");
    dq_json_put_text(w, f->key);
    if (*f->id) {
        dq_json_key(w, "id");
        dq_json_put_text(w, f->id);
    }
    dq_json_key(w, "text");
    dq_json_put_text(w, f->text);
    dq_json_key(w, "repairable");
    dq_json_put_bool(w, f->repairable);
    dq_json_end_object(w);
}

static int get_doctor(dq_api_ctx *c, dureq_error *err)
{
    dq_doctor_options o = {.max_faults = 1000};
    dq_doctor_report r;
    int rc = dq_doctor_run(c->client, &o, &r, err);

    if (rc < 0)
        return rc;
    dq_json_begin_object(&c->w);
    dq_json_key(&c->w, "faults");
    dq_json_begin_array(&c->w);
    for (size_t i = 0; i < r.n_faults; i++)
        put_fault(&c->w, &r.faults[i]);
    dq_json_end_array(&c->w);
    dq_json_key(&c->w, "found");
    dq_json_put_i64(&c->w, r.n_found);
    dq_json_key(&c->w, "unsettled");
    dq_json_put_i64(&c->w, r.n_unsettled);
    dq_json_end_object(&c->w);
    dq_doctor_report_deinit(&r);
    return 0;
}

/* ---- overview ---- */

typedef struct failing {
    dureq_str task_type;
    int64_t n, newest_ms;
    dureq_job_id job;
} failing;

typedef struct overview {
    dureq_counts counts;
    dq_series_row pulse[DQ_SERIES_PULSE];
    dureq_job_list *dead;
    failing failing[FAILING_MAX];
    size_t n_failing;
    dq_buf changes;
} overview;

static void overview_deinit(overview *o)
{
    dureq_job_list_destroy(o->dead);
    dq_buf_deinit(&o->changes);
}

/* Those that died in the last hour, newest first. */
static int read_dead(dq_api_ctx *c, overview *o, dureq_error *err)
{
    static const dureq_job_state dead[] = {DUREQ_JOB_DEAD};
    dureq_job_filter f = dureq_job_filter_init();

    f.states = dead;
    f.n_states = 1;
    f.limit = DEAD_LOOKED;
    return dureq_client_list_jobs(c->client, &f, &o->dead, err);
}

/* The types of those that died since: as many as there is room for, by when they first come up, which is the newest first. */
static void find_failing(overview *o, int64_t since_ms)
{
    for (size_t i = 0; i < o->dead->n; i++) {
        const dureq_job *job = &o->dead->items[i];
        size_t k = 0;

        if (job->finished_at_ms < since_ms)
            continue;
        while (k < o->n_failing && !dq_str_eq(o->failing[k].task_type, job->task_type))
            k++;
        if (k == FAILING_MAX)
            continue;
        if (k == o->n_failing)
            o->failing[o->n_failing++] = (failing){job->task_type, 0, job->finished_at_ms, job->id};
        o->failing[k].n++;
    }
}

static int read_all(dq_api_ctx *c, overview *o, dureq_error *err)
{
    int rc = dureq_client_count(c->client, &o->counts, err);

    if (rc == 0)
        rc = dq_client_pulse(c->client, o->pulse, err);
    if (rc == 0)
        rc = read_dead(c, o, err);
    if (rc == 0)
        rc = dq_client_audit(c->client, &(dq_audit_query){.limit = CHANGES_MAX}, /*ret_more=*/NULL, &o->changes, err);
    if (rc == 0)
        find_failing(o, o->pulse[0].at_ms);
    return rc;
}

/* One sentence and what it rests on: the worst thing first. */
static const char *say(const overview *o, dq_buf *sentence)
{
    int64_t done = 0, dead = 0;

    for (size_t i = 0; i < DQ_SERIES_PULSE; i++) {
        done += o->pulse[i].completed;
        dead += o->pulse[i].dead;
    }
    if (o->counts.nodes == 0 && o->counts.pending > 0) {
        dq_buf_append_fmt(sentence, "No node is alive, and %lld jobs wait for one.", (long long)o->counts.pending);
        return "bad";
    }
    if (dead > 0) {
        dq_buf_append_fmt(sentence, "%lld jobs died in the last hour, while %lld were done.", (long long)dead, (long long)done);
        return "watch";
    }
    dq_buf_append_fmt(sentence, "All is well: %lld jobs were done in the last hour, and none died; %lld wait and %lld run.",
                      (long long)done, (long long)o->counts.pending, (long long)o->counts.running);
    return "good";
}

static void put_failing(dq_json_writer *w, const failing *f)
{
    dq_json_begin_object(w);
    dq_json_key(w, "task_type");
    dq_json_put_str(w, f->task_type);
    dq_json_key(w, "count");
    dq_json_put_i64(w, f->n);
    dq_json_key(w, "newest");
    dq_json_put_rfc3339(w, f->newest_ms);
    dq_json_key(w, "job_id");
    dq_json_put_text(w, f->job.text);
    dq_json_end_object(w);
}

static int write_overview(dq_api_ctx *c, const overview *o, dureq_error *err)
{
    dq_json_writer *w = &c->w;
    DQ_BUF_AUTO sentence = {0};
    const char *level = say(o, &sentence);
    int rc;

    dq_json_begin_object(w);
    dq_json_key(w, "sentence");
    dq_json_put_str(w, dq_buf_str(&sentence));
    dq_json_key(w, "level");
    dq_json_put_text(w, level);
    dq_json_key(w, "counts");
    dq_api_write_counts(c, &o->counts);
    dq_json_key(w, "nodes");
    dq_json_put_i64(w, o->counts.nodes);
    dq_json_key(w, "pulse");
    dq_json_begin_array(w);
    for (size_t i = 0; i < DQ_SERIES_PULSE; i++)
        dq_api_write_series_row(c, &o->pulse[i]);
    dq_json_end_array(w);
    dq_json_key(w, "queues");
    rc = dq_api_write_queues(c, err);
    dq_json_key(w, "failing");
    dq_json_begin_array(w);
    for (size_t i = 0; i < o->n_failing; i++)
        put_failing(w, &o->failing[i]);
    dq_json_end_array(w);
    dq_json_key(w, "changes");
    dq_json_put_raw(w, dq_buf_str(&o->changes));
    dq_json_end_object(w);
    return rc;
}

static int get_overview(dq_api_ctx *c, dureq_error *err)
{
    overview *o = dq_calloc(1, sizeof *o);
    int rc;

    if (!o)
        return dq_fail_nomem(err);
    rc = read_all(c, o, err);
    if (rc == 0)
        rc = write_overview(c, o, err);
    overview_deinit(o);
    dq_free(o);
    return rc;
}

static int refuse_search(dq_api_ctx *c, dureq_error *err)
{
    (void)c;
    return dq_fail(err, DUREQ_EUNSUPPORTED, "search by a path of the payload comes with a later version; text= looks for a text");
}

const dq_api_route dq_api_info_routes[] = {
    {"GET", "/api/version", get_version, NULL, .scope = DQ_API_SCOPE_OPEN, .role = DQ_API_ANYONE, .answer = "Version",
     .text = "The version, and what this server can do."},
    {"GET", "/api/openapi.json", get_openapi, NULL, .scope = DQ_API_SCOPE_OPEN, .role = DQ_API_ANYONE, .answer = "Any",
     .text = "This document."},
    {"GET", "/readyz", get_ready, NULL, .scope = DQ_API_SCOPE_OPEN, .role = DQ_API_ANYONE, .answer = "Alive",
     .text = "Whether Redis answers."},
    {"GET", "/healthz", get_ready, NULL, .scope = DQ_API_SCOPE_OPEN, .role = DQ_API_ANYONE, .answer = "Alive",
     .text = "The same as /readyz."},
    {"GET", "/metrics", get_metrics, NULL, .answer = "Metrics",
     .text = "Values for Prometheus: text format 0.0.4, or OpenMetrics when Accept names it."},
    {"GET", "/api/doctor", get_doctor, NULL, .cost = DQ_API_SCANS, .role = DQ_API_OPERATOR, .answer = "Doctor",
     .text = "Checks all that is stored, and changes nothing."},
    {"GET", "/api/overview", get_overview, NULL, .cost = DQ_API_SCANS, .answer = "Overview",
     .text = "How things are: a sentence, the last hour, queues, what fails, what was changed."},
    {"GET", "/api/search/jobs", refuse_search, "path value task_type", .scope = DQ_API_SCOPE_OPEN, .answer = "Job",
     .text = "Refused: comes with a later version."},
    {NULL, NULL, NULL, NULL},
};
