/* SPDX-License-Identifier: Apache-2.0 */
/* Batches and workflows, end to end: from their start to their end, all of it recorded. */
#include <dureq/batch.h>
#include <dureq/workflow.h>

#include <stdio.h>

#include "base/clock.h"
#include "rig.h"

#define ITEMS   1000000
#define WINDOW  4000
#define ADDED   5000 /* items a call */
#define FAN     10000
#define HOPS    200
#define WAIT_MS INT64_C(600000)
#define TENTH   (ITEMS / 10)

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

static int flow_open(flow_rig *f, dureq_error *err)
{
    dureq_client_options o = dureq_client_options_init();
    char url[320];
    int rc = rig_open(&f->rig, &(rig_options){.has_board = true}, err);

    if (rc == 0)
        rc = rig_start(&f->rig, &f->node, "node", err, "--mode=noop", "--concurrency=1000", NULL);
    if (rc < 0)
        return rc;
    (void)snprintf(url, sizeof url, "unix://%s", test_redis_socket(f->rig.redis));
    o.redis_url = url;
    return dureq_client_create(&o, &f->client, err);
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

static int run_fan(bench_out *out, dureq_error *err)
{
    DQ_CLEANUP(flow_close) flow_rig f = {0};
    DQ_BUF_AUTO text = {0};
    double s = 0;
    int rc = flow_open(&f, err);

    dq_buf_append_fmt(&text, "{\"name\":\"fan\",\"tasks\":[{\"name\":\"first\",\"task_type\":\"%s\"}", BENCH_TASK_TYPE);
    for (int i = 0; i < FAN; i++)
        dq_buf_append_fmt(&text, ",{\"name\":\"t%d\",\"task_type\":\"%s\",\"depends_on\":[\"first\"]}", i, BENCH_TASK_TYPE);
    dq_buf_append_fmt(&text, ",{\"name\":\"last\",\"task_type\":\"%s\",\"depends_on\":[", BENCH_TASK_TYPE);
    for (int i = 0; i < FAN; i++)
        dq_buf_append_fmt(&text, "%s\"t%d\"", i ? "," : "", i);
    dq_buf_append_text(&text, "]}]}");
    if (rc == 0)
        rc = dq_buf_finish(&text, err);
    for (int i = 0; rc == 0 && i < 3; i++)
        rc = time_flow(&f, &text, &s, err);
    if (rc == 0)
        bench_put(out, "fan_out", FAN / s, "the third of three");
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
    {"batch_items", ROW(batch_items, "batch of 1,000,000 items", "items/s", 40000, true), run_batch, true},
    {NULL, NULL, NULL, false},
};
