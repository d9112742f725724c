/* SPDX-License-Identifier: Apache-2.0 */
/* Batches and workflows, end to end: from their start to their end, all of it recorded. */
#include <dureq/batch.h>
#include <dureq/workflow.h>

#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "rig.h"
#include "slow.h"
#include "stats.h"

#define ITEMS    1000000
#define WINDOW   4000
#define ADDED    5000 /* items a call */
#define FAN      10000
#define HOPS     200
#define WAIT_MS  INT64_C(600000)
#define TENTH    (ITEMS / 10)
#define CHAINS   1000 /* of a definition of CHAINS * LINKS tasks */
#define LINKS    100
#define PULSES   500 /* plain jobs, one each PULSE_US, with and without flows beside them */
#define PULSE_US 3000
#define PAIRS    5

typedef struct flow_rig {
    rig rig;
    role_proc node;
    dureq_client *client;
} flow_rig;

static void flow_close(flow_rig *f)
{
    dureq_client_destroy(f->client);
    role_deinit(&f->node);
    rig_close(&f->rig);
}

/* Without a node, so that nothing of what is started begins. */
static int flow_open_alone(flow_rig *f, int64_t board_jobs, dureq_error *err)
{
    dureq_client_options o = dureq_client_options_init();
    char url[320];
    int rc = rig_open(&f->rig, &(rig_options){.has_board = true, .board_jobs = board_jobs}, err);

    if (rc < 0)
        return rc;
    (void)snprintf(url, sizeof url, "unix://%s", test_redis_socket(f->rig.redis));
    o.redis_url = url;
    return dureq_client_create(&o, &f->client, err);
}

static int flow_open(flow_rig *f, dureq_error *err)
{
    int rc = flow_open_alone(f, /*board_jobs=*/0, err);

    return rc < 0 ? rc : rig_start(&f->rig, &f->node, "node", err, "--mode=noop", "--concurrency=1000", NULL);
}

/* ---- a batch ---- */

static int add_items(dureq_client *c, const char *id, dureq_error *err)
{
    static dureq_batch_item items[ADDED];
    static const char payload[BENCH_PAYLOAD] = "\"payload\"";
    int rc = 0;

    for (int i = 0; i < ADDED; i++)
        items[i] = (dureq_batch_item){.payload = dureq_str_of(payload, sizeof payload)};
    for (int64_t at = 0; rc == 0 && at < ITEMS; at += ADDED)
        rc = dureq_client_add_batch_items(c, id, at, items, ADDED, NULL, err);
    return rc;
}

/* Items a second in each tenth, by looking at how far it is. */
static int watch(dureq_client *c, const char *id, double *ret_first, double *ret_last, dureq_error *err)
{
    double since = dq_mono_us() / 1e6;
    uint32_t done = 0, tenth = 1;
    int rc = 0;

    *ret_first = *ret_last = 0;
    while (rc == 0 && done < ITEMS) {
        dureq_batch *b;

        rc = dureq_client_wait_batch(c, id, 20, &b, err);
        if (rc == DUREQ_ETIMEOUT)
            rc = dureq_client_get_batch(c, id, &b, err);
        if (rc < 0)
            return rc;
        done = b->n_completed;
        dureq_batch_destroy(b);
        if (done >= tenth * TENTH) {
            double now = dq_mono_us() / 1e6;
            double per_s = (done - (tenth - 1) * (double)TENTH) / (now - since);

            *ret_first = tenth == 1 ? per_s : *ret_first;
            *ret_last = per_s;
            since = now;
            tenth = done / TENTH + 1;
        }
    }
    return rc;
}

static int run_batch(bench_out *out, dureq_error *err)
{
    DQ_CLEANUP(flow_close) flow_rig f = {0};
    double first = 0, last = 0, memory[2], cpu[2];
    char definition[200];
    dureq_job_id id;
    int rc = flow_open(&f, err);

    (void)snprintf(definition, sizeof definition, "{\"name\":\"bench\",\"item_task_type\":\"%s\",\"chunk_size\":%d}",
                   BENCH_TASK_TYPE, WINDOW);
    if (rc == 0)
        rc = rig_memory(&f.rig, &memory[0], err);
    if (rc == 0)
        rc = dureq_client_open_batch(f.client, dureq_str_from(definition), &id, err);
    int64_t loaded_us = dq_mono_us();
    if (rc == 0)
        rc = add_items(f.client, id.text, err);
    loaded_us = dq_mono_us() - loaded_us;
    if (rc == 0)
        rc = rig_memory(&f.rig, &memory[1], err);
    if (rc == 0)
        rc = rig_cpu_us(&f.rig, &cpu[0], err);
    if (rc == 0)
        rc = dureq_client_seal_batch(f.client, id.text, err);
    int64_t begun_us = dq_mono_us();
    if (rc == 0)
        rc = watch(f.client, id.text, &first, &last, err);
    int64_t took_us = dq_mono_us() - begun_us;
    if (rc == 0)
        rc = rig_cpu_us(&f.rig, &cpu[1], err);
    if (rc < 0)
        return rc;
    bench_put(out, "batch_items", ITEMS / (took_us / 1e6),
              "first tenth %.0f, last %.0f; loaded in %.1f s; Redis %.2f us an item; %.0f bytes a waiting one beside its payload",
              first, last, loaded_us / 1e6, (cpu[1] - cpu[0]) / ITEMS, (memory[1] - memory[0]) / ITEMS - BENCH_PAYLOAD);
    return 0;
}

/* ---- workflows ---- */

static int time_flow(flow_rig *f, const dq_buf *definition, double *ret_s, dureq_error *err)
{
    dureq_workflow *w;
    dureq_job_id id;
    int rc = dureq_client_start_workflow(f->client, dq_buf_str(definition), &id, err);

    if (rc == 0)
        rc = dureq_client_wait_workflow(f->client, id.text, WAIT_MS, &w, err);
    if (rc < 0)
        return rc;
    *ret_s = (double)(w->finished_at_ms - w->created_at_ms) / 1e3;
    if (w->status != DUREQ_WORKFLOW_COMPLETED)
        rc = dq_fail(err, DUREQ_EHANDLER, "the workflow is %s", dureq_workflow_status_to_str(w->status));
    dureq_workflow_destroy(w);
    return rc;
}

static void put_fan(dq_buf *text, const char *queue)
{
    const char *each = "\"task_type\":\"" BENCH_TASK_TYPE "\",\"queue\"";

    dq_buf_append_fmt(text, "{\"name\":\"fan\",\"tasks\":[{\"name\":\"first\",%s:\"%s\"}", each, queue);
    for (int i = 0; i < FAN; i++)
        dq_buf_append_fmt(text, ",{\"name\":\"t%d\",%s:\"%s\",\"depends_on\":[\"first\"]}", i, each, queue);
    dq_buf_append_fmt(text, ",{\"name\":\"last\",%s:\"%s\",\"depends_on\":[", each, queue);
    for (int i = 0; i < FAN; i++)
        dq_buf_append_fmt(text, "%s\"t%d\"", i ? "," : "", i);
    dq_buf_append_text(text, "]}]}");
}

static int run_fan(bench_out *out, dureq_error *err)
{
    DQ_CLEANUP(flow_close) flow_rig f = {0};
    DQ_BUF_AUTO text = {0};
    slow_scripts slow = {0};
    double s = 0;
    int rc = flow_open(&f, err);

    put_fan(&text, "normal");
    if (rc == 0)
        rc = dq_buf_finish(&text, err);
    if (rc == 0)
        rc = slow_watch(&f.rig, err);
    for (int i = 0; rc == 0 && i < 3; i++)
        rc = time_flow(&f, &text, &s, err);
    if (rc == 0)
        rc = slow_read(&f.rig, &slow, err);
    if (rc == 0)
        bench_put(out, "fan_out", FAN / s, "the third of three; longest script %.2f ms, %s", (double)slow.longest_us / 1000,
                  slow.script);
    return rc;
}

/* ---- a large definition ---- */

static void put_chains(dq_buf *text)
{
    dq_buf_append_text(text, "{\"name\":\"large\",\"tasks\":[");
    for (int c = 0; c < CHAINS; c++)
        for (int i = 0; i < LINKS; i++) {
            dq_buf_append_fmt(text, "%s{\"name\":\"c%d-%d\",\"task_type\":\"%s\"", c || i ? "," : "", c, i, BENCH_TASK_TYPE);
            if (i > 0)
                dq_buf_append_fmt(text, ",\"depends_on\":[\"c%d-%d\"]", c, i - 1);
            dq_buf_append_char(text, '}');
        }
    dq_buf_append_text(text, "]}");
}

static int run_start(bench_out *out, dureq_error *err)
{
    DQ_CLEANUP(flow_close) flow_rig f = {0};
    DQ_BUF_AUTO text = {0};
    slow_scripts slow = {0};
    double memory[2];
    dureq_job_id id;
    int rc = flow_open_alone(&f, /*board_jobs=*/0, err);

    put_chains(&text);
    if (rc == 0)
        rc = dq_buf_finish(&text, err);
    if (rc == 0)
        rc = rig_memory(&f.rig, &memory[0], err);
    if (rc == 0)
        rc = slow_watch(&f.rig, err);
    int64_t begun_us = dq_mono_us();
    if (rc == 0)
        rc = dureq_client_start_workflow(f.client, dq_buf_str(&text), &id, err);
    double took_s = (double)(dq_mono_us() - begun_us) / 1e6;
    if (rc == 0)
        rc = rig_memory(&f.rig, &memory[1], err);
    if (rc == 0)
        rc = slow_read(&f.rig, &slow, err);
    if (rc < 0)
        return rc;
    bench_put(out, "flow_start", took_s, "%.1f MB of JSON", (double)text.len / 1e6);
    bench_put(out, "flow_start_script", (double)slow.longest_us / 1000, "%s", slow.script);
    bench_put(out, "flow_task_bytes", (memory[1] - memory[0]) / (CHAINS * LINKS), "names of 4 to 7 bytes, no payload");
    return 0;
}

/* ---- plain jobs beside flows ---- */

/* p99 from enqueue to start of the next PULSES jobs; `flow` runs beside them until they are over, when it is not NULL. */
static int pulse(flow_rig *f, role_proc *producer, const dq_buf *flow, double *ret_p99_ms, dureq_error *err)
{
    BENCH_SAMPLES_AUTO s = {0};
    int64_t until_us = dq_mono_us() + INT64_C(1) * PULSES * PULSE_US;
    double took_s;
    int rc;

    board_clear(f->rig.board);
    rc = role_tell(producer, err, "pulse n=%d first=0 batch=1 gap_us=%d", PULSES, PULSE_US);
    while (rc == 0 && flow && dq_mono_us() < until_us)
        rc = time_flow(f, flow, &took_s, err);
    if (rc == 0)
        rc = role_wait(producer, NULL, err);
    for (int i = 0; rc == 0 && i < PULSES; i++) {
        const board_job *job = &f->rig.board->jobs[i];
        int64_t limit_us = dq_mono_us() + WAIT_MS * 1000;

        while (!atomic_load(&job->started_us) && dq_mono_us() < limit_us)
            (void)usleep(1000);
        if (!atomic_load(&job->started_us))
            rc = dq_fail(err, DUREQ_ETIMEOUT, "a plain job did not start");
        bench_samples_add(&s, (double)(atomic_load(&job->started_us) - job->enqueued_us));
    }
    *ret_p99_ms = bench_quantile(&s, 0.99) / 1000;
    return rc;
}

static int run_beside(bench_out *out, dureq_error *err)
{
    DQ_CLEANUP(flow_close) flow_rig f = {0};
    ROLE_AUTO producer = {0};
    DQ_BUF_AUTO text = {0};
    BENCH_SAMPLES_AUTO alone = {0};
    BENCH_SAMPLES_AUTO beside = {0};
    BENCH_SAMPLES_AUTO more = {0};
    double ms[2] = {0};
    int rc = flow_open_alone(&f, PULSES, err);

    put_fan(&text, "low");
    if (rc == 0)
        rc = dq_buf_finish(&text, err);
    if (rc == 0)
        rc = rig_start(&f.rig, &f.node, "node", err, "--mode=noop", NULL);
    if (rc == 0)
        rc = rig_start(&f.rig, &producer, "producer", err, NULL);
    for (int i = 0; rc == 0 && i < PAIRS; i++) {
        rc = pulse(&f, &producer, /*flow=*/NULL, &ms[0], err);
        if (rc == 0)
            rc = pulse(&f, &producer, &text, &ms[1], err);
        bench_samples_add(&alone, ms[0]);
        bench_samples_add(&beside, ms[1]);
        bench_samples_add(&more, ms[1] - ms[0]);
    }
    if (rc == 0)
        bench_put(out, "flow_beside", bench_median(&more), "p99 %.2f ms, without %.2f ms; medians of %d pairs",
                  bench_median(&beside), bench_median(&alone), PAIRS);
    return rc;
}

static int run_hops(bench_out *out, dureq_error *err)
{
    DQ_CLEANUP(flow_close) flow_rig f = {0};
    DQ_BUF_AUTO text = {0};
    double s = 0;
    int rc = flow_open(&f, err);

    dq_buf_append_fmt(&text, "{\"name\":\"line\",\"tasks\":[{\"name\":\"t0\",\"task_type\":\"%s\"}", BENCH_TASK_TYPE);
    for (int i = 1; i < HOPS; i++)
        dq_buf_append_fmt(&text, ",{\"name\":\"t%d\",\"task_type\":\"%s\",\"depends_on\":[\"t%d\"]}", i, BENCH_TASK_TYPE, i - 1);
    dq_buf_append_text(&text, "]}");
    if (rc == 0)
        rc = dq_buf_finish(&text, err);
    for (int i = 0; rc == 0 && i < 3; i++)
        rc = time_flow(&f, &text, &s, err);
    if (rc == 0)
        bench_put(out, "workflow_hop", 1e3 * s / HOPS, "mean of %d hops, the third of three", HOPS);
    return rc;
}

#define ROW(name, what, unit, target, at_least) \
    (const bench_row[])                         \
    {                                           \
        {#name, what, unit, target, at_least},  \
        {                                       \
            NULL, NULL, NULL, 0, false          \
        }                                       \
    }

const bench_group bench_flow_groups[] = {
    {"workflow_hop", ROW(workflow_hop, "linear workflow, time of a hop", "ms", 1.2, false), run_hops, false},
    {"fan_out", ROW(fan_out, "fan-out of 10,000 tasks and fan-in", "tasks/s", 30000, true), run_fan, false},
    {"flow_start",
     (const bench_row[]){{"flow_start", "a definition of 100,000 tasks is started", "s", 3, false},
                         {"flow_start_script", "longest script of that", "ms", 5, false},
                         {"flow_task_bytes", "Redis memory of a waiting task", "bytes", 150, false},
                         {NULL, NULL, NULL, 0, false}},
     run_start, false},
    {"flow_beside", ROW(flow_beside, "p99 start of plain jobs, later beside fans of 10,000", "ms", 10, false), run_beside, false},
    {"batch_items", ROW(batch_items, "batch of 1,000,000 items", "items/s", 40000, true), run_batch, true},
    {NULL, NULL, NULL, false},
};
