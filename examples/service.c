/* SPDX-License-Identifier: Apache-2.0 */

/* A worker as a whole service: settings from the environment, a log, two handlers with their own options, and an orderly end. SIGTERM or
   SIGINT lets running jobs finish for DRAIN_MS at most and gives the rest back; a second one gives back at once. Whatever ends the
   process otherwise, its jobs run elsewhere within the lease.

       service [redis://host:port]          DUREQ_REDIS_URL, DUREQ_PREFIX and SERVICE_CONCURRENCY are read too */

#include <dureq/dureq.h>

#include <stdio.h>
#include <stdlib.h>

#define DRAIN_MS 20000

/* One line a record on standard error, where a supervisor collects them. Several threads may log at once: one call, one line. */
static void log_line(const dureq_log_record *record, void *userdata)
{
    (void)userdata;
    fprintf(stderr, "%s%s %s\n", record->level <= DUREQ_LOG_WARN ? "! " : "", record->event, record->text);
}

static int resize(dureq_run *run, void *userdata)
{
    dureq_str path = dureq_run_payload(run);

    (void)userdata;
    if (path.len == 0)
        return dureq_run_fail(run, 0, "the payload takes the path of an image"); /* no retry would help */
    dureq_run_log(run, "resizing " DUREQ_STR_FMT, DUREQ_STR_ARG(path));
    return dureq_run_wait_cancelled(run, 50) ? DUREQ_ECANCELLED : 0; /* stands for the work; wakes when told to stop */
}

static int notify(dureq_run *run, void *userdata)
{
    (void)userdata;
    if (dureq_run_attempt(run) == 1)
        return dureq_run_retry(run, 503, "attempt %d: the service is busy", (int)dureq_run_attempt(run));
    return 0;
}

static int add_handlers(dureq_node *node, dureq_error *err)
{
    dureq_handler_options images = dureq_handler_options_init(), calls = dureq_handler_options_init();
    dureq_retry_policy patient = dureq_retry_policy_init();
    int rc;

    images.concurrency = 4; /* it needs the processor */
    images.timeout_ms = 60000;
    patient.max_attempts = 10;
    patient.initial_delay_ms = 1000;
    calls.retry_policy = &patient;
    calls.timeout_ms = 10000;
    rc = dureq_node_handle(node, "image.resize", resize, NULL, &images, err);
    if (rc == 0)
        rc = dureq_node_handle(node, "notify", notify, NULL, &calls, err);
    return rc;
}

int main(int argc, char **argv)
{
    const char *url = argc > 1 ? argv[1] : getenv("DUREQ_REDIS_URL"), *concurrency = getenv("SERVICE_CONCURRENCY");
    dureq_node_options opts = dureq_node_options_init();
    dureq_node *node = NULL;
    dureq_error err;
    int rc, n;

    opts.redis_url = url ? url : "redis://127.0.0.1:6379";
    opts.prefix = getenv("DUREQ_PREFIX"); /* NULL: "dureq" */
    if (concurrency && sscanf(concurrency, "%d", &n) == 1)
        opts.concurrency = n;
    opts.shutdown_timeout_ms = DRAIN_MS;
    opts.log_fn = log_line;
    rc = dureq_node_create(&opts, &node, &err);
    if (rc == 0)
        rc = add_handlers(node, &err);
    if (rc == 0)
        rc = dureq_node_start(node, &err);
    if (rc == 0) {
        printf("service: %s takes jobs\n", dureq_node_id(node));
        fflush(stdout);
        rc = dureq_node_run_until_signal(node, &err);
    }
    if (rc != 0)
        fprintf(stderr, "service: %s\n", err.msg);
    dureq_node_destroy(node);
    return rc == 0 ? 0 : 1;
}
