/* SPDX-License-Identifier: Apache-2.0 */
/* Workflows and batches that are put together in C. */
#include "test_rig.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

static atomic_int n_runs;

/* Gives back what it got. */
static int echo(dureq_run *run, void *userdata)
{
    (void)userdata;
    atomic_fetch_add(&n_runs, 1);
    return dureq_run_set_result(run, dureq_run_payload(run), NULL);
}

static int refuse(dureq_run *run, void *userdata)
{
    (void)userdata;
    return dureq_run_fail(run, 0, "told to fail");
}

static dureq_workflow *wait_workflow(const char *id)
{
    dureq_workflow *w = NULL;

    RIG_OK(dureq_client_wait_workflow(rig.client, id, RIG_LIMIT_MS, &w, &err));
    return w;
}

static void expect_result(const dureq_workflow *w, size_t i, const char *result)
{
    EXPECT_STR_TEXT(result, rig_job(w->tasks[i].job_id.text)->result);
}

/* ---- workflows ---- */

SCENARIO(a_workflow_is_put_together_and_its_results_are_piped)
{
    dureq_workflow_builder *b = dureq_workflow_builder_create("report");
    dureq_job_options o = dureq_job_options_init();
    dureq_job_spec left = {"echo", dureq_str_from("\"l\""), NULL}, right = {"echo", dureq_str_from("{\"r\": 1}"), &o};
    dureq_job_spec merge = {"echo", dureq_str_from("7"), NULL}, last = {"echo", {NULL, 0}, NULL};
    dureq_job_id id;

    o.queue = "high";
    o.timeout_ms = 90500;
    dureq_workflow_builder_add(b, "left", &left, NULL);
    dureq_workflow_builder_add(b, "right", &right, NULL);
    dureq_workflow_builder_add(b, "merge", &merge, NULL);
    dureq_workflow_builder_add(b, "last", &last, NULL);
    dureq_workflow_builder_pipe(b, "merge", "left");
    dureq_workflow_builder_depend(b, "merge", "right");
    dureq_workflow_builder_pipe(b, "merge", "right");
    dureq_workflow_builder_pipe(b, "last", "merge");
    dureq_workflow_builder_depend(b, "last", "merge");
    (void)rig_node("n", "echo", echo, NULL);
    RIG_OK(dureq_workflow_builder_start(b, rig.client, &id, &err));
    EXPECT_TEXT("", dureq_workflow_builder_faults(b));
    dureq_workflow *w = wait_workflow(id.text);
    EXPECT_I64(DUREQ_WORKFLOW_COMPLETED, w->status);
    EXPECT_STR_TEXT("report", w->name);
    expect_result(w, 2, "{\"upstream\":{\"left\":\"l\",\"right\":{\"r\": 1}},\"original\":7}");
    expect_result(w, 3, "{\"upstream\":{\"upstream\":{\"left\":\"l\",\"right\":{\"r\": 1}},\"original\":7},\"original\":null}");
    EXPECT_STR_TEXT("high", rig_job(w->tasks[1].job_id.text)->queue);
    EXPECT_I64(90500, rig_job(w->tasks[1].job_id.text)->timeout_ms);
    dureq_workflow_destroy(w);
    /* A builder may start more of them. */
    RIG_OK(dureq_workflow_builder_start(b, rig.client, &id, &err));
    dureq_workflow_destroy(wait_workflow(id.text));
    dureq_workflow_builder_destroy(b);
}

SCENARIO(every_option_of_a_workflow_and_of_its_tasks_is_in_the_definition)
{
    static const char *const tags[] = {"a", "b"};
    static const dureq_header headers[] = {{"h", {"v", 1}}};
    dureq_retry_policy policy = dureq_retry_policy_init();
    dureq_workflow_builder *b = dureq_workflow_builder_create("all \"of\" it");
    dureq_workflow_options wo = dureq_workflow_options_init();
    dureq_workflow_task_options to = dureq_workflow_task_options_init();
    dureq_job_options o = dureq_job_options_init();
    dureq_job_spec job = {"t", dureq_str_from("not json"), &o};
    char *json;
    size_t len;

    wo.input = dureq_str_from("[1, 2]");
    wo.execution_timeout_ms = 3600000;
    wo.max_attempts = 3;
    wo.default_priority = 9;
    wo.cancels_on_failure = true;
    wo.tags = tags;
    wo.n_tags = 2;
    wo.unique_key = dureq_str_from("r"); /* at home where the request id is */
    wo.request_id = dureq_str_from("r");
    wo.retention_ms = 60000;
    dureq_workflow_builder_set(b, &wo);
    policy.max_attempts = 7;
    o.queue = "low";
    o.headers = headers;
    o.n_headers = 1;
    o.tags = tags;
    o.n_tags = 1;
    o.retry_policy = &policy;
    o.schedule_to_start_timeout_ms = 1000;
    o.heartbeat_timeout_ms = 2000;
    o.dlq_after = 2;
    o.retention_ms = -1;
    to.run_if = DUREQ_WORKFLOW_ALL_DONE;
    to.allow_failure = true;
    to.priority = -4;
    dureq_workflow_builder_add(b, "one", &job, &to);
    RIG_OK(dureq_workflow_builder_definition(b, &json, &len, &err));
    EXPECT_U64(len, strlen(json));
    EXPECT_HAS(
        "{\"name\":\"all \\\"of\\\" it\",\"input\":[1, 2],\"execution_timeout\":\"1h0m0s\",\"retry_policy\":{\"max_attempts\":3},"
        "\"default_priority\":9,\"on_failure\":\"cancel\",\"tags\":[\"a\",\"b\"],\"unique_key\":\"r\",\"request_id\":\"r\","
        "\"retention\":\"1m0s\",\"tasks\":[{\"name\":\"one\",\"task_type\":\"t\",\"payload_base64\":\"bm90IGpzb24=\","
        "\"content_type\":\"application/octet-stream\",\"queue\":\"low\",\"headers\":{\"h\":\"v\"},\"tags\":[\"a\"],"
        "\"retry_policy\":{\"max_attempts\":7,",
        json);
    EXPECT_HAS("\"schedule_to_start_timeout\":\"1s\",\"heartbeat_timeout\":\"2s\",\"dlq_after\":2,\"retention\":\"0s\","
               "\"run_if\":\"all_done\",\"allow_failure\":true,\"priority\":-4}]}",
               json);
    /* The same as JSON is taken. */
    dureq_job_id id, again;
    RIG_OK(dureq_client_start_workflow(rig.client, dureq_str_from(json), &id, &err));
    RIG_OK(dureq_workflow_builder_start(b, rig.client, &again, &err)); /* known by its request id */
    EXPECT_TEXT(id.text, again.text);
    dureq_free(json);
    dureq_workflow_builder_destroy(b);
}

SCENARIO(all_faults_are_told_at_once_by_task_and_field)
{
    dureq_workflow_builder *b = dureq_workflow_builder_create("bad");
    dureq_workflow_options wo = dureq_workflow_options_init();
    dureq_job_options o = dureq_job_options_init();
    dureq_job_spec good = {"t", {NULL, 0}, NULL}, untyped = {NULL, {NULL, 0}, NULL}, odd = {"t", {NULL, 0}, &o};
    dureq_job_id id;

    wo.default_priority = 11;
    wo.input = dureq_str_from("{");
    dureq_workflow_builder_set(b, &wo);
    o.timeout_ms = -5;
    o.priority = 3;
    o.unique_key = dureq_str_from("u");
    dureq_workflow_builder_add(b, "a", &good, NULL);
    dureq_workflow_builder_add(b, "untyped", &untyped, NULL);
    dureq_workflow_builder_add(b, "odd", &odd, NULL);
    dureq_workflow_builder_add(b, "a", &good, NULL);
    dureq_workflow_builder_depend(b, "odd", "nobody");
    dureq_workflow_builder_depend(b, "ghost", "a");
    RIG_FAILS(DUREQ_EINVAL, "input: is no JSON (and ", dureq_workflow_builder_start(b, rig.client, &id, &err));
    const char *faults = dureq_workflow_builder_faults(b);
    EXPECT_HAS("task 'odd': priority: of a job picks a queue", faults);
    EXPECT_HAS("task 'ghost': is none of this workflow", faults);
    EXPECT_HAS("default_priority: takes a whole number from 1 to 10, not 11\n", faults);
    EXPECT_HAS("task 'untyped': field 'task_type' is missing\n", faults);
    EXPECT_HAS("task 'odd': timeout: ", faults);
    EXPECT_HAS("task 'odd': unique_key: is an option of the workflow, not of its parts\n", faults);
    EXPECT_HAS("task 'odd': depends_on[0]: 'nobody' is no task of this workflow\n", faults);
    EXPECT_HAS("task 'a': name: ", faults);
    dureq_workflow_builder_destroy(b);
}

SCENARIO(a_cycle_is_told_and_nothing_is_started)
{
    dureq_workflow_builder *b = dureq_workflow_builder_create("round");
    dureq_job_spec t = {"t", {NULL, 0}, NULL};
    dureq_workflow_list *list;
    dureq_job_id id;

    dureq_workflow_builder_add(b, "a", &t, NULL);
    dureq_workflow_builder_add(b, "b", &t, NULL);
    dureq_workflow_builder_depend(b, "a", "b");
    dureq_workflow_builder_depend(b, "b", "a");
    RIG_FAILS(DUREQ_EINVAL, "is a cycle of 2: 'a' needs 'b' needs 'a'", dureq_workflow_builder_start(b, rig.client, &id, &err));
    RIG_OK(dureq_client_list_workflows(rig.client, NULL, &list, &err));
    EXPECT_U64(0, list->n);
    dureq_workflow_list_destroy(list);
    dureq_workflow_builder_destroy(b);
    RIG_FAILS(DUREQ_ENOMEM, "", dureq_workflow_builder_start(NULL, rig.client, &id, &err));
    dureq_workflow_builder_add(NULL, "a", &t, NULL);
    dureq_workflow_builder_depend(NULL, "a", "b");
    dureq_workflow_builder_destroy(NULL);
}

SCENARIO(an_allowed_failure_and_what_runs_in_spite_of_one)
{
    dureq_workflow_builder *b = dureq_workflow_builder_create("in spite");
    dureq_workflow_task_options allowed = dureq_workflow_task_options_init(), cleanup = dureq_workflow_task_options_init();
    dureq_job_spec bad = {"bad", {NULL, 0}, NULL}, good = {"echo", {NULL, 0}, NULL};
    dureq_job_id id;
    dureq_node_options o = rig_node_options("n");
    dureq_node *n = rig_node_create(&o);

    rig_handle(n, "bad", refuse, NULL, NULL);
    rig_handle(n, "echo", echo, NULL, NULL);
    rig_start(n);
    allowed.allow_failure = true;
    cleanup.run_if = DUREQ_WORKFLOW_ANY_FAILED;
    dureq_workflow_builder_add(b, "try", &bad, &allowed);
    dureq_workflow_builder_add(b, "then", &good, NULL);
    dureq_workflow_builder_add(b, "clean", &good, &cleanup);
    dureq_workflow_builder_depend(b, "then", "try");
    dureq_workflow_builder_depend(b, "clean", "try");
    RIG_OK(dureq_workflow_builder_start(b, rig.client, &id, &err));
    dureq_workflow *w = wait_workflow(id.text);
    EXPECT_I64(DUREQ_WORKFLOW_COMPLETED, w->status);
    EXPECT_I64(DUREQ_WORKFLOW_TASK_FAILED, w->tasks[0].state);
    EXPECT_I64(DUREQ_WORKFLOW_TASK_COMPLETED, w->tasks[1].state);
    dureq_workflow_destroy(w);
    dureq_workflow_builder_destroy(b);
}

SCENARIO(a_fan_in_of_ten_thousand_is_built_in_no_time)
{
    enum { N = 10000 };
    dureq_workflow_builder *b = dureq_workflow_builder_create("wide");
    dureq_job_spec t = {"nobody", {NULL, 0}, NULL};
    dureq_job_id id;
    char name[16];

    dureq_workflow_builder_add(b, "end", &t, NULL);
    for (int i = 0; i < N; i++) {
        (void)snprintf(name, sizeof name, "%d", i);
        dureq_workflow_builder_add(b, name, &t, NULL);
        dureq_workflow_builder_depend(b, "end", name);
    }
    RIG_OK(dureq_workflow_builder_start(b, rig.client, &id, &err));
    dureq_workflow_builder_destroy(b);
    RIG_OK(dureq_client_cancel_workflow(rig.client, id.text, NULL, &err));
}

/* ---- batches ---- */

static void fill(dureq_batch_item *items, char (*texts)[8], size_t n)
{
    for (size_t i = 0; i < n; i++) {
        (void)snprintf(texts[i], sizeof texts[i], "%zu", i);
        items[i] = (dureq_batch_item){.payload = dureq_str_from(texts[i]), .is_json = true};
    }
}

SCENARIO(a_batch_is_started_from_a_struct)
{
    dureq_batch_spec spec = dureq_batch_spec_init();
    dureq_job_options o = dureq_job_options_init();
    dureq_batch_item items[50];
    dureq_batch_items *page;
    char texts[50][8];
    dureq_batch *batch;
    dureq_job_id id;

    fill(items, texts, 50);
    o.queue = "low";
    spec.name = "squares";
    spec.item_task_type = "echo";
    spec.item_options = &o;
    spec.chunk_size = 7;
    spec.onetime_task_type = "echo";
    spec.onetime_payload = dureq_str_from("{\"x\": 1}");
    spec.items = items;
    spec.n_items = 50;
    (void)rig_node("n", "echo", echo, NULL);
    RIG_OK(dureq_client_start_batch_spec(rig.client, &spec, &id, &err));
    RIG_OK(dureq_client_wait_batch(rig.client, id.text, RIG_LIMIT_MS, &batch, &err));
    EXPECT_I64(DUREQ_BATCH_COMPLETED, batch->status);
    EXPECT_I64(50, batch->n_completed);
    EXPECT_I64(7, batch->chunk_size);
    dureq_batch_destroy(batch);
    RIG_OK(dureq_client_list_batch_items(rig.client, id.text, NULL, &page, &err));
    EXPECT_STR_TEXT("{\"upstream\":{\"x\": 1},\"original\":3}", page->items[3].result);
    dureq_batch_items_destroy(page);
}

SCENARIO(an_open_batch_of_a_struct_takes_more_and_a_repeated_start_is_one)
{
    dureq_batch_spec spec = dureq_batch_spec_init();
    dureq_batch_item items[4];
    char texts[4][8];
    dureq_batch *batch;
    dureq_job_id id, again;

    fill(items, texts, 4);
    spec.name = "more";
    spec.item_task_type = "echo";
    spec.request_id = dureq_str_from("r1");
    spec.items = items;
    spec.n_items = 2;
    RIG_OK(dureq_client_open_batch_spec(rig.client, &spec, &id, &err));
    spec.n_items = 4; /* the same start, which broke off half-way */
    RIG_OK(dureq_client_start_batch_spec(rig.client, &spec, &again, &err));
    EXPECT_TEXT(id.text, again.text);
    RIG_OK(dureq_client_get_batch(rig.client, id.text, &batch, &err));
    EXPECT_I64(4, batch->n_items);
    dureq_batch_destroy(batch);
    (void)rig_node("n", "echo", echo, NULL);
    RIG_OK(dureq_client_wait_batch(rig.client, id.text, RIG_LIMIT_MS, &batch, &err));
    EXPECT_I64(4, batch->n_completed);
    dureq_batch_destroy(batch);
}

SCENARIO(what_is_wrong_with_a_batch_is_named)
{
    dureq_batch_spec spec = dureq_batch_spec_init();
    dureq_batch_item items[2] = {{{NULL, 0}, {"1", 1}, true}, {{"\n", 1}, {"1", 1}, true}};
    dureq_job_id id;

    spec.name = "b";
    RIG_FAILS(DUREQ_EINVAL, "item_task_type", dureq_client_start_batch_spec(rig.client, &spec, &id, &err));
    spec.item_task_type = "echo";
    spec.chunk_size = -1;
    RIG_FAILS(DUREQ_EINVAL, "chunk_size", dureq_client_start_batch_spec(rig.client, &spec, &id, &err));
    spec.chunk_size = 0;
    spec.onetime_payload = dureq_str_from("{");
    RIG_FAILS(DUREQ_EINVAL, "onetime_payload", dureq_client_start_batch_spec(rig.client, &spec, &id, &err));
    spec.onetime_payload = (dureq_str){0};
    spec.items = items;
    spec.n_items = 2;
    RIG_FAILS(DUREQ_EINVAL, "items[1]", dureq_client_start_batch_spec(rig.client, &spec, &id, &err));
}

RIG_MAIN()
