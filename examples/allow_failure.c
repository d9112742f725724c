/* SPDX-License-Identifier: Apache-2.0 */

/* What becomes of a workflow when a task fails. One that may fail (allow_failure) stops nothing: what depends on it runs, and the workflow completes.
   One that may not fails the workflow; then only tasks that ask for it (run_if) still run, such as a clean-up.

       allow_failure [redis://host:port]   DUREQ_REDIS_URL and DUREQ_PREFIX are read too */

#include <dureq/dureq.h>

#include <stdio.h>
#include <stdlib.h>

#define LIMIT_MS 30000

/* ---- handlers ---- */

static int work(dureq_run *run, void *userdata)
{
    (void)userdata;
    printf("%s\n", dureq_run_task_type(run));
    return 0;
}

static int fails(dureq_run *run, void *userdata)
{
    (void)userdata;
    return dureq_run_fail(run, 0, "no such weather station");
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

/* weather (fails) -> dashboard, and a clean-up that runs only when something before it failed. */
static int run_one(dureq_client *client, bool may_fail, dureq_error *err)
{
    dureq_workflow_builder *b = dureq_workflow_builder_create(may_fail ? "optional" : "required");
    dureq_workflow_task_options weather = dureq_workflow_task_options_init(), clean = dureq_workflow_task_options_init();
    dureq_job_spec bad = {"weather", {NULL, 0}, NULL}, good = {"dashboard", {NULL, 0}, NULL}, last = {"clean", {NULL, 0}, NULL};
    dureq_job_id id;
    int rc;

    printf("%s:\n", may_fail ? "the weather is optional" : "the weather is required");
    weather.allow_failure = may_fail;
    clean.run_if = DUREQ_WORKFLOW_ANY_FAILED;
    dureq_workflow_builder_add(b, "weather", &bad, &weather);
    dureq_workflow_builder_add(b, "dashboard", &good, NULL);
    dureq_workflow_builder_add(b, "clean", &last, &clean);
    dureq_workflow_builder_depend(b, "dashboard", "weather");
    dureq_workflow_builder_depend(b, "clean", "weather");
    rc = dureq_workflow_builder_start(b, client, &id, err);
    dureq_workflow_builder_destroy(b);
    return rc == 0 ? show(client, id.text, err) : rc;
}

static int produce(dureq_client *client, dureq_error *err)
{
    int rc = run_one(client, true, err);

    return rc == 0 ? run_one(client, false, err) : rc;
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
        rc = dureq_node_handle(node, "weather", fails, NULL, NULL, &err);
    if (rc == 0)
        rc = dureq_node_handle(node, "*", work, NULL, NULL, &err);
    if (rc == 0)
        rc = dureq_node_start(node, &err);
    if (rc == 0)
        rc = produce(dureq_node_client(node), &err);
    if (rc != 0)
        fprintf(stderr, "allow_failure: %s: %s\n", dureq_errcode_name(rc), err.msg);
    dureq_node_destroy(node);
    return rc == 0 ? 0 : 1;
}
