/* SPDX-License-Identifier: Apache-2.0 */

/* Results that go from task to task. A task that is piped from one other gets {"upstream": result, "original": payload}; from several, an object of results
   by name. They are kept with the workflow, so that it does not matter how long the jobs before are kept.

       result_piping [redis://host:port]   DUREQ_REDIS_URL and DUREQ_PREFIX are read too */

#include <dureq/dureq.h>

#include <stdio.h>
#include <stdlib.h>

#define LIMIT_MS 30000

/* ---- handlers ---- */

/* Its payload is a number: its square. */
static int square(dureq_run *run, void *userdata)
{
    dureq_str payload = dureq_run_payload(run);
    char text[32];
    long n;

    (void)userdata;
    (void)snprintf(text, sizeof text, "%.*s", (int)payload.len, payload.ptr);
    if (sscanf(text, "%ld", &n) != 1)
        return dureq_run_fail(run, 0, "not a number: %s", text);
    (void)snprintf(text, sizeof text, "%ld", n * n);
    return dureq_run_set_result(run, dureq_str_from(text), NULL);
}

/* Shows what it got, and gives it on. */
static int show_input(dureq_run *run, void *userdata)
{
    dureq_str got = dureq_run_payload(run);

    (void)userdata;
    printf("%s got %.*s\n", dureq_run_task_type(run), (int)got.len, got.ptr);
    return dureq_run_set_result(run, dureq_str_from("\"seen\""), NULL);
}

/* ---- producer ---- */

static int show(dureq_client *client, const char *id, dureq_error *err)
{
    dureq_workflow *workflow = NULL;
    size_t i;
    int rc = dureq_client_wait_workflow(client, id, LIMIT_MS, &workflow, err);

    if (rc != 0)
        return rc;
    for (i = 0; i < workflow->n; i++) {
        const dureq_workflow_task *t = &workflow->tasks[i];

        printf("%.*s: %s%s%.*s\n", (int)t->name.len, t->name.ptr, dureq_workflow_task_state_to_str(t->state),
               t->error.len ? ", " : "", (int)t->error.len, t->error.ptr ? t->error.ptr : "");
    }
    printf("workflow: %s\n", dureq_workflow_status_to_str(workflow->status));
    dureq_workflow_destroy(workflow);
    return 0;
}

static int produce(dureq_client *client, dureq_error *err)
{
    dureq_workflow_builder *b = dureq_workflow_builder_create("squares");
    dureq_job_spec three = {"square", {"3", 1}, NULL}, four = {"square", {"4", 1}, NULL};
    dureq_job_spec both = {"both", {NULL, 0}, NULL}, last = {"last", {NULL, 0}, NULL};
    dureq_job_id id;
    int rc;

    both.payload = dureq_str_from("{\"unit\": \"m2\"}");
    dureq_workflow_builder_add(b, "three", &three, NULL);
    dureq_workflow_builder_add(b, "four", &four, NULL);
    dureq_workflow_builder_add(b, "both", &both, NULL);
    dureq_workflow_builder_add(b, "last", &last, NULL);
    dureq_workflow_builder_pipe(b, "both", "three"); /* and so it depends on it */
    dureq_workflow_builder_pipe(b, "both", "four");
    dureq_workflow_builder_pipe(b, "last", "both");
    rc = dureq_workflow_builder_start(b, client, &id, err);
    dureq_workflow_builder_destroy(b);
    return rc == 0 ? show(client, id.text, err) : rc;
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
        rc = dureq_node_handle(node, "square", square, NULL, NULL, &err);
    if (rc == 0)
        rc = dureq_node_handle(node, "*", show_input, NULL, NULL, &err);
    if (rc == 0)
        rc = dureq_node_start(node, &err);
    if (rc == 0)
        rc = produce(dureq_node_client(node), &err);
    if (rc != 0)
        fprintf(stderr, "result_piping: %s: %s\n", dureq_errcode_name(rc), err.msg);
    dureq_node_destroy(node);
    return rc == 0 ? 0 : 1;
}
