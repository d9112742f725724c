/* SPDX-License-Identifier: Apache-2.0 */

/* The shortest useful program: one side accepts a job, the other runs it.

   Here both sides live in one process to fit on a page. They share nothing but the Redis server, so they work the same in two
   processes on two machines.

       quickstart [redis://host:port]          DUREQ_REDIS_URL and DUREQ_PREFIX are read too */

#include <dureq/dureq.h>

#include <stdio.h>
#include <stdlib.h>

/* ---- worker ---- */

static int greet(dureq_run *run, void *userdata)
{
    dureq_str name = dureq_run_payload(run); /* bytes with a length, not NUL-ended */
    char text[128];

    (void)userdata;
    snprintf(text, sizeof text, "hello, " DUREQ_STR_FMT, DUREQ_STR_ARG(name));
    return dureq_run_set_result(run, dureq_str_from(text), "text/plain"); /* 0: done */
}

static int start_worker(const char *url, const char *prefix, dureq_node **ret, dureq_error *err)
{
    dureq_node_options opts = dureq_node_options_init();
    int rc;

    opts.redis_url = url;
    opts.prefix = prefix;
    rc = dureq_node_create(&opts, ret, err);
    if (rc == 0)
        rc = dureq_node_handle(*ret, "greet", greet, NULL, NULL, err);
    if (rc == 0)
        rc = dureq_node_start(*ret, err); /* from here on jobs run, on threads of the node */
    return rc;
}

/* ---- producer ---- */

static int produce(const char *url, const char *prefix, dureq_error *err)
{
    dureq_client_options opts = dureq_client_options_init();
    dureq_job_spec spec = {"greet", dureq_str_from("world"), NULL};
    dureq_client *client = NULL;
    dureq_job_list *ended = NULL;
    dureq_job_id id;
    int rc;

    opts.redis_url = url;
    opts.prefix = prefix;
    rc = dureq_client_create(&opts, &client, err);
    if (rc == 0)
        rc = dureq_client_enqueue(client, &spec, &id, err); /* 0: it is in Redis and will run */
    if (rc == 0)
        rc = dureq_client_wait(client, id.text, 10000, &ended, err); /* optional: most do not wait */
    if (rc == 0) {
        const dureq_job *job = &ended->items[0];

        printf("job %s: %s, \"%.*s\"\n", id.text, dureq_job_state_to_str(job->state), (int)job->result.len, job->result.ptr);
    }
    dureq_job_list_destroy(ended);
    dureq_client_destroy(client);
    return rc;
}

/* ---- both in one process ---- */

int main(int argc, char **argv)
{
    const char *url = argc > 1 ? argv[1] : getenv("DUREQ_REDIS_URL");
    const char *prefix = getenv("DUREQ_PREFIX"); /* NULL: "dureq" */
    dureq_node *node = NULL;
    dureq_error err;
    int rc;

    url = url ? url : "redis://127.0.0.1:6379";
    rc = start_worker(url, prefix, &node, &err);
    if (rc == 0)
        rc = produce(url, prefix, &err);
    if (rc != 0)
        fprintf(stderr, "quickstart: %s\n", err.msg);
    dureq_node_destroy(node); /* finishes what runs, then stops */
    return rc == 0 ? 0 : 1;
}
