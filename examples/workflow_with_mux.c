/* SPDX-License-Identifier: Apache-2.0 */

/* A workflow whose tasks have one handler, by a pattern, with middleware around it. What the tasks have in common (who asked, how long it took) is
   written once. See workflow.c for workflows, and onetimeat_with_mux.c for what middleware is.

       workflow_with_mux [redis://host:port]   DUREQ_REDIS_URL and DUREQ_PREFIX are read too */

#include <dureq/dureq.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIMIT_MS 30000

/* ---- middleware ---- */

/* Around every handler of the node. */
static int logged(dureq_run *run, dureq_next_fn next, void *next_data, void *userdata)
{
    int rc;

    (void)userdata;
    printf("[log] %s begins, attempt %d\n", dureq_run_task_type(run), (int)dureq_run_attempt(run));
    rc = next(run, next_data);
    printf("[log] %s ends with %s\n", dureq_run_task_type(run), rc >= 0 ? "0" : dureq_errcode_name(rc));
    return rc;
}

/* Each task has the headers of its job: whose order it is. */
static int customer_required(dureq_run *run, dureq_next_fn next, void *next_data, void *userdata)
{
    (void)userdata;
    if (dureq_run_header(run, "customer").len == 0)
        return dureq_run_fail(run, 0, "no customer");
    return next(run, next_data);
}

/* ---- handler ---- */

/* "order.*": every type that begins so. The card is refused at first. */
static int order(dureq_run *run, void *userdata)
{
    const char *what = dureq_run_task_type(run) + strlen("order.");
    dureq_str customer = dureq_run_header(run, "customer");

    (void)userdata;
    if (strcmp(what, "charge") == 0 && dureq_run_attempt(run) == 1)
        return dureq_run_retry(run, 0, "the bank does not answer");
    printf("%s for %.*s\n", what, (int)customer.len, customer.ptr);
    return 0;
}

static int register_all(dureq_node *node, dureq_error *err)
{
    static const dureq_middleware inner[] = {{customer_required, NULL}};
    dureq_handler_options options = dureq_handler_options_init();
    int rc;

    options.middleware = inner;
    options.n_middleware = sizeof inner / sizeof inner[0];
    rc = dureq_node_use(node, logged, NULL, err);
    if (rc == 0)
        rc = dureq_node_handle(node, "order.*", order, NULL, &options, err);
    return rc;
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

/* Check, charge, ship, one after the other. */
static int produce(dureq_client *client, dureq_error *err)
{
    static const char *const types[] = {"order.check", "order.charge", "order.ship"};
    dureq_workflow_builder *b = dureq_workflow_builder_create("order 17");
    dureq_retry_policy soon = dureq_retry_policy_init();
    dureq_job_options options = dureq_job_options_init();
    dureq_header customer = {"customer", {"ada", 3}};
    dureq_job_id id;
    int i, rc;

    soon.initial_delay_ms = 100;
    options.headers = &customer;
    options.n_headers = 1;
    options.retry_policy = &soon;
    for (i = 0; i < 3; i++) {
        dureq_job_spec job = {NULL, {NULL, 0}, NULL};

        job.task_type = types[i];
        job.options = &options;
        dureq_workflow_builder_add(b, types[i], &job, NULL);
        if (i > 0)
            dureq_workflow_builder_depend(b, types[i], types[i - 1]);
    }
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
        rc = register_all(node, &err);
    if (rc == 0)
        rc = dureq_node_start(node, &err);
    if (rc == 0)
        rc = produce(dureq_node_client(node), &err);
    if (rc != 0)
        fprintf(stderr, "workflow_with_mux: %s: %s\n", dureq_errcode_name(rc), err.msg);
    dureq_node_destroy(node);
    return rc == 0 ? 0 : 1;
}
