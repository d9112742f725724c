/* SPDX-License-Identifier: Apache-2.0 */

/* One handler for a family of task types, with middleware around it.

   "order.*" takes every type that begins with "order.", unless a longer pattern or the exact type is registered too. Middleware is
   code around handlers: it acts before and after, may answer instead, and turns outcomes into others.

       onetimeat_with_mux [redis://host:port]  DUREQ_REDIS_URL and DUREQ_PREFIX are read too */

#include <dureq/dureq.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- middleware ---- */

/* Around every handler of the node: registered with dureq_node_use, the first one outermost. */
static int logged(dureq_run *run, dureq_next_fn next, void *next_data, void *userdata)
{
    int rc;

    (void)userdata;
    printf("[log] %s begins, attempt %d of %d, queue %s\n", dureq_run_task_type(run), (int)dureq_run_attempt(run),
           (int)dureq_run_max_attempts(run), dureq_run_queue(run));
    rc = next(run, next_data); /* left out, the handler would not run */
    printf("[log] %s ends with %s\n", dureq_run_task_type(run), rc == 0 ? "0" : dureq_errcode_name(rc));
    return rc;
}

/* Around the handlers it was given with: runs inside the node's own. An order without a customer can never succeed, so it says so
   before the handler sees it, and no attempt is wasted on trying again. */
static int customer_required(dureq_run *run, dureq_next_fn next, void *next_data, void *userdata)
{
    dureq_str customer = dureq_run_header(run, "customer");

    (void)userdata;
    if (customer.len == 0)
        return dureq_run_fail(run, 0, "no customer"); /* final: no retries */
    return next(run, next_data);
}

/* ---- handlers ---- */

static int order(dureq_run *run, void *userdata)
{
    const char *what = dureq_run_task_type(run) + strlen("order.");
    dureq_str customer = dureq_run_header(run, "customer");

    (void)userdata;
    printf("%s for %.*s\n", what, (int)customer.len, customer.ptr);
    /* A negative code is a failure worth another try: after a pause, as the retry policy says. */
    return strcmp(what, "charge") == 0 && dureq_run_attempt(run) == 1 ? DUREQ_EHANDLER : 0;
}

/* More exact than "order.*", so it goes first. */
static int order_audit(dureq_run *run, void *userdata)
{
    (void)userdata;
    printf("audit by %s\n", dureq_run_node_id(run));
    return 0;
}

static int register_all(dureq_node *node, dureq_error *err)
{
    static const dureq_middleware inner[] = {{customer_required, NULL}};
    dureq_handler_options options = dureq_handler_options_init();
    dureq_retry_policy quick = dureq_retry_policy_init();
    int rc;

    quick.initial_delay_ms = 200; /* what is left zero keeps its default */
    options.retry_policy = &quick;
    options.middleware = inner;
    options.n_middleware = sizeof inner / sizeof inner[0];

    rc = dureq_node_use(node, logged, NULL, err);
    if (rc == 0)
        rc = dureq_node_handle(node, "order.*", order, NULL, &options, err);
    if (rc == 0)
        rc = dureq_node_handle(node, "order.audit", order_audit, NULL, NULL, err);
    return rc;
}

/* ---- producer ---- */

static int run_one(dureq_client *client, const char *type, const char *customer, dureq_error *err)
{
    dureq_header header;
    dureq_job_options options = dureq_job_options_init();
    dureq_job_spec spec = {type, dureq_str_from("{}"), &options};
    dureq_job_list *list = NULL;
    dureq_job_id id;
    int rc;

    header.name = "customer";
    header.value = dureq_str_from(customer);
    options.headers = &header;
    options.n_headers = customer ? 1 : 0;
    options.delay_ms = 500; /* once, in half a second */
    rc = dureq_client_enqueue(client, &spec, &id, err);
    if (rc == 0)
        rc = dureq_client_wait(client, id.text, 15000, &list, err);
    if (rc == 0)
        printf("%s: %s after %d start(s)%s%.*s\n\n", type, dureq_job_state_to_str(list->items[0].state), (int)list->items[0].runs,
               list->items[0].last_error.len ? ", last error: " : "", (int)list->items[0].last_error.len,
               list->items[0].last_error.ptr);
    dureq_job_list_destroy(list);
    return rc;
}

static int produce(dureq_client *client, dureq_error *err)
{
    int rc;

    rc = run_one(client, "order.ship", "ada", err);
    if (rc == 0)
        rc = run_one(client, "order.charge", "ada", err); /* fails once, then succeeds */
    if (rc == 0)
        rc = run_one(client, "order.refund", NULL, err); /* dead at once */
    if (rc == 0)
        rc = run_one(client, "order.audit", "ada", err);
    return rc;
}

int main(int argc, char **argv)
{
    dureq_node_options opts = dureq_node_options_init();
    const char *url = argc > 1 ? argv[1] : getenv("DUREQ_REDIS_URL");
    dureq_node *node = NULL;
    dureq_error err;
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
        fprintf(stderr, "onetimeat_with_mux: %s\n", err.msg);
    dureq_node_destroy(node);
    return rc == 0 ? 0 : 1;
}
