/* SPDX-License-Identifier: Apache-2.0 */
/* Series for charts: what dq_client_series reads, of any time that is kept, in steps of so many minutes, hours or days. */
#include "api/scope.h"
#include "base/clock.h"
#include "client/series.h"

#define STEPS_DEFAULT 60
#define MINUTE_MS     INT64_C(60000)
#define HOUR_MS       INT64_C(3600000)
#define DAY_MS        INT64_C(86400000)

typedef enum metric_kind { COUNT, RATE, RATIO, WAITED, RAN } metric_kind;

static const struct metric {
    const char *name;
    metric_kind kind;
    size_t at; /* of a count: where in a row */
    double part;
} metrics[] = {
    {"enqueued", COUNT, offsetof(dq_series_row, enqueued), 0},
    {"processed", COUNT, offsetof(dq_series_row, completed), 0},
    {"failed", COUNT, offsetof(dq_series_row, failed), 0},
    {"dead", COUNT, offsetof(dq_series_row, dead), 0},
    {"cancelled", COUNT, offsetof(dq_series_row, cancelled), 0},
    {"per_second", RATE, 0, 0},
    {"failure_ratio", RATIO, 0, 0},
    {"wait_p50", WAITED, 0, 0.5},
    {"wait_p95", WAITED, 0, 0.95},
    {"wait_p99", WAITED, 0, 0.99},
    {"run_p50", RAN, 0, 0.5},
    {"run_p95", RAN, 0, 0.95},
    {"run_p99", RAN, 0, 0.99},
};
_Static_assert(DQ_ARRAY_LEN(metrics) <= 32, "a set of metrics is the bits of a number");

/* What is asked for: n steps of `each` units. */
typedef struct wanted {
    uint32_t metrics;
    const char *queue, *type;
    dq_series_unit unit;
    int64_t step_ms, unit_ms, each;
    int64_t from_ms; /* a whole number of steps since 1970 */
    int64_t n;
} wanted;

static int read_metrics(const dq_api_ctx *c, uint32_t *ret, dureq_error *err)
{
    dureq_str rest = dureq_str_from(dq_api_query(c, "metric"));

    *ret = rest.ptr ? 0 : UINT32_MAX;
    while (rest.len) {
        dureq_str name = dq_str_cut(&rest, ',');
        uint32_t found = 0;

        for (size_t i = 0; i < DQ_ARRAY_LEN(metrics); i++)
            if (dq_str_eq_text(name, metrics[i].name))
                found = 1u << i;
        if (!found)
            return dq_fail(
                err, DUREQ_EINVAL,
                "parameter 'metric' takes enqueued, processed, failed, dead, cancelled, per_second, failure_ratio, wait_p50, "
                "wait_p95, wait_p99, run_p50, run_p95 or run_p99, with commas between, not '" DQ_STR_FMT "'",
                (int)DQ_MIN(name.len, (size_t)40), name.ptr ? name.ptr : "");
        *ret |= found;
    }
    return *ret ? 0 : dq_fail(err, DUREQ_EINVAL, "parameter 'metric' is empty");
}

static int read_step(const dq_api_ctx *c, wanted *w, dureq_error *err)
{
    const char *text = dq_api_query(c, "step");

    w->step_ms = MINUTE_MS;
    if (text && (dq_parse_duration_ms(dureq_str_from(text), &w->step_ms) < 0 || w->step_ms < MINUTE_MS ||
                 w->step_ms % MINUTE_MS != 0 || w->step_ms > DQ_SERIES_MAX * DAY_MS))
        return dq_fail(err, DUREQ_EINVAL, "parameter 'step' takes a duration of whole minutes such as 5m, not '%.40s'", text);
    w->unit = w->step_ms % DAY_MS == 0 ? DQ_SERIES_DAY : w->step_ms % HOUR_MS == 0 ? DQ_SERIES_HOUR : DQ_SERIES_MINUTE;
    w->unit_ms = w->unit == DQ_SERIES_DAY ? DAY_MS : w->unit == DQ_SERIES_HOUR ? HOUR_MS : MINUTE_MS;
    w->each = w->step_ms / w->unit_ms;
    return 0;
}

/* Steps begin where a whole number of them is over since 1970. The one that `to` is in comes, too, unless it only begins there. */
static int read_range(const dq_api_ctx *c, wanted *w, dureq_error *err)
{
    int64_t now_ms = dq_wall_ms(), to_ms = now_ms, most = DQ_SERIES_MAX / w->each;
    int rc = dq_api_query_time(c, "to", &to_ms, err);

    to_ms = DQ_MIN(to_ms, now_ms + 1);
    w->from_ms = (to_ms + w->step_ms - 1) / w->step_ms * w->step_ms - DQ_MIN((int64_t)STEPS_DEFAULT, most) * w->step_ms;
    if (rc == 0)
        rc = dq_api_query_time(c, "from", &w->from_ms, err);
    if (rc < 0)
        return rc;
    if (w->from_ms < 0 || w->from_ms >= to_ms)
        return dq_fail(err, DUREQ_EINVAL, "parameter 'from' takes a time before 'to', and before now");
    w->from_ms -= w->from_ms % w->step_ms;
    w->n = (to_ms - w->from_ms + w->step_ms - 1) / w->step_ms;
    if (w->n > most)
        return dq_fail(err, DUREQ_EINVAL,
                       "from 'from' to 'to' there are %lld steps: at most %lld of that length are given at once", (long long)w->n,
                       (long long)most);
    return 0;
}

static int read_query(dq_api_ctx *c, wanted *w, dureq_error *err)
{
    dureq_job_filter f = dureq_job_filter_init();
    int rc = read_metrics(c, &w->metrics, err);

    w->queue = f.queue = dq_api_query(c, "queue");
    w->type = dq_api_query(c, "type");
    if (rc == 0)
        rc = read_step(c, w, err);
    if (rc == 0)
        rc = read_range(c, w, err);
    return rc < 0 ? rc : dq_api_check_queue(c, &f, err);
}

static void put_percentile(dq_api_ctx *c, const int64_t *buckets, double part)
{
    int64_t ms = dq_series_percentile(buckets, part);

    if (ms < 0)
        dq_json_put_null(&c->w);
    else
        dq_json_put_i64(&c->w, ms);
}

static void put_metric(dq_api_ctx *c, const struct metric *m, const dq_series_row *row)
{
    dq_json_key(&c->w, m->name);
    switch (m->kind) {
    case COUNT: dq_json_put_i64(&c->w, *(const int64_t *)((const char *)row + m->at)); break;
    case RATE: dq_json_put_f64(&c->w, dq_series_per_second(row)); break;
    case RATIO: dq_json_put_f64(&c->w, dq_series_failure_ratio(row)); break;
    case WAITED: put_percentile(c, row->waited, m->part); break;
    case RAN: put_percentile(c, row->ran, m->part); break;
    }
}

static void put_steps(dq_api_ctx *c, const wanted *w, dq_series_row *rows)
{
    dq_json_key(&c->w, "data");
    dq_json_begin_array(&c->w);
    for (int64_t i = 0; i < w->n; i++) {
        dq_series_row *sum = &rows[i * w->each];

        for (int64_t k = 1; k < w->each; k++)
            dq_series_add(sum, &sum[k]);
        dq_json_begin_object(&c->w);
        dq_json_set_rfc3339(&c->w, "at", sum->at_ms);
        for (size_t m = 0; m < DQ_ARRAY_LEN(metrics); m++)
            if (w->metrics >> m & 1)
                put_metric(c, &metrics[m], sum);
        dq_json_end_object(&c->w);
    }
    dq_json_end_array(&c->w);
}

static int get_metric_series(dq_api_ctx *c, dureq_error *err)
{
    wanted w = {0};
    char step[DQ_DURATION_TEXT_MAX];
    dq_series_row *rows;
    int rc = read_query(c, &w, err);

    if (rc < 0)
        return rc;
    rows = dq_arena_alloc(&c->arena, (size_t)(w.n * w.each) * sizeof *rows);
    if (!rows)
        return dq_fail_nomem(err);
    rc = dq_client_series_from(c->client, w.unit, w.from_ms / w.unit_ms, (int)(w.n * w.each), w.queue, w.type, rows, err);
    if (rc < 0)
        return rc;
    (void)dq_format_duration_ms(w.step_ms, step);
    dq_json_begin_object(&c->w);
    dq_json_set_text(&c->w, "step", step);
    put_steps(c, &w, rows);
    dq_json_end_object(&c->w);
    return 0;
}

const dq_api_route dq_api_metric_routes[] = {
    {"GET", "/api/metrics/series", get_metric_series, "metric queue type step from to", .scope = DQ_API_SCOPE_NAMED,
     .cost = DQ_API_SCANS, .answer = "MetricSeries", .text = "For charts: what happened in each step from a time to another."},
    {NULL, NULL, NULL, NULL},
};
