/* SPDX-License-Identifier: Apache-2.0 */

/* A workflow: a file is fetched, two parts of it are read at the same time, and a report is made when both are there. A task is a job that starts when
   the tasks it depends on have ended. Node and producer are one process here; they need not be.

       workflow [redis://host:port]   DUREQ_REDIS_URL and DUREQ_PREFIX are read too */

#include <dureq/dureq.h>

#include <stdio.h>
#include <stdlib.h>

#define LIMIT_MS 30000

/* ---- handlers ---- */

static int fetch(dureq_run *run, void *userdata)
{
    (void)userdata;
    printf("fetch %.*s\n", (int)dureq_run_payload(run).len, dureq_run_payload(run).ptr);
    return 0;
}

static int read_part(dureq_run *run, void *userdata)
{
    (void)userdata;
    printf("read part %.*s\n", (int)dureq_run_payload(run).len, dureq_run_payload(run).ptr);
    return 0;
}

static int report(dureq_run *run, void *userdata)
{
    (void)userdata;
    printf("report, in run %s\n", dureq_run_id(run));
    return dureq_run_set_result(run, dureq_str_from("{\"pages\": 3}"), NULL);
}

static int register_all(dureq_node *node, dureq_error *err)
{
    int rc = dureq_node_handle(node, "file.fetch", fetch, NULL, NULL, err);

    if (rc == 0)
        rc = dureq_node_handle(node, "file.read", read_part, NULL, NULL, err);
    if (rc == 0)
        rc = dureq_node_handle(node, "file.report", report, NULL, NULL, err);
    return rc;
}

/* ---- producer ---- */

/* What is wrong with a definition is told all at once, when it starts. */
static int start(dureq_client *client, dureq_job_id *ret, dureq_error *err)
{
    dureq_workflow_builder *b = dureq_workflow_builder_create("report");
    dureq_job_spec fetch_it = {"file.fetch", {NULL, 0}, NULL};
    dureq_job_spec head = {"file.read", {NULL, 0}, NULL}, tail = {"file.read", {NULL, 0}, NULL};
    dureq_job_spec report_it = {"file.report", {NULL, 0}, NULL};
    int rc;

    fetch_it.payload = dureq_str_from("\"pages.txt\"");
    head.payload = dureq_str_from("\"head\"");
    tail.payload = dureq_str_from("\"tail\"");
    dureq_workflow_builder_add(b, "fetch", &fetch_it, NULL);
    dureq_workflow_builder_add(b, "head", &head, NULL);
    dureq_workflow_builder_add(b, "tail", &tail, NULL);
    dureq_workflow_builder_add(b, "report", &report_it, NULL);
    dureq_workflow_builder_depend(b, "head", "fetch");
    dureq_workflow_builder_depend(b, "tail", "fetch");
    dureq_workflow_builder_depend(b, "report", "head");
    dureq_workflow_builder_depend(b, "report", "tail");
    rc = dureq_workflow_builder_start(b, client, ret, err);
    if (rc == DUREQ_EINVAL)
        fputs(dureq_workflow_builder_faults(b), stderr);
    dureq_workflow_builder_destroy(b);
    return rc;
}

static int produce(dureq_client *client, dureq_error *err)
{
    dureq_workflow *workflow = NULL;
    dureq_job *last = NULL;
    dureq_job_id id;
    size_t i;
    int rc;

    rc = start(client, &id, err);
    if (rc == 0)
        rc = dureq_client_wait_workflow(client, id.text, LIMIT_MS, &workflow, err);
    if (rc != 0)
        return rc;
    for (i = 0; i < workflow->n; i++)
        printf("%.*s: %s\n", (int)workflow->tasks[i].name.len, workflow->tasks[i].name.ptr,
               dureq_workflow_task_state_to_str(workflow->tasks[i].state));
    rc = dureq_client_get_one(client, workflow->tasks[3].job_id.text, &last, err); /* a task is a job like any */
    if (rc == 0)
        printf("workflow %s, its report is %.*s\n", dureq_workflow_status_to_str(workflow->status), (int)last->result.len,
               last->result.ptr);
    dureq_job_destroy(last);
    dureq_workflow_destroy(workflow);
    return rc;
}

int main(int argc, char **argv)
{
    dureq_node_options opts = dureq_node_options_init();
    const char *url = argc > 1 ? argv[1] : getenv("DUREQ_REDIS_URL");
    dureq_node *node = NULL;
    dureq_error err = {0, 0, ""};
    int rc;

    opts.redis_url = url ? url : "redis://127.0.0.1:6379";
    opts.prefix = getenv("DUREQ_PREFIX");
    rc = dureq_node_create(&opts, &node, &err);
    if (rc == 0)
        rc = register_all(node, &err);
    if (rc == 0)
        rc = dureq_node_start(node, &err);
    if (rc == 0)
        rc = produce(dureq_node_client(node), &err);
    if (rc != 0)
        fprintf(stderr, "workflow: %s: %s\n", dureq_errcode_name(rc), err.msg);
    dureq_node_destroy(node);
    return rc == 0 ? 0 : 1;
}
