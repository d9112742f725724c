/* SPDX-License-Identifier: Apache-2.0 */

/* Jobs that run once, later: one at a given time, one after a delay, one that is called off before its time.

   A job that is not due is "scheduled". The time is compared with the Redis server's clock, so producers and workers need not
   agree on theirs, and it is kept in Redis: neither side has to be alive in between.

       onetimeat [redis://host:port]           DUREQ_REDIS_URL and DUREQ_PREFIX are read too */

#include <dureq/dureq.h>

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static int query(dureq_run *run, void *userdata)
{
    dureq_str payload = dureq_run_payload(run);

    (void)userdata;
    printf("queried: %.*s\n", (int)payload.len, payload.ptr);
    return 0;
}

/* "delay_ms" counts from now; "run_at_ms" is a Unix time in milliseconds. A job has one of them, or none. */
static int enqueue_at(dureq_client *client, const char *city, int64_t delay_ms, int64_t run_at_ms, dureq_job_id *ret,
                      dureq_error *err)
{
    static const char *const tags[] = {"onetimeat"};
    dureq_job_options options = dureq_job_options_init();
    dureq_job_spec job = {"weather.query", dureq_str_from(city), &options};

    options.delay_ms = delay_ms;
    options.run_at_ms = run_at_ms;
    /* While a job with this key is alive, scheduled included, a second one is refused. Without it each run of this program
       would add another. */
    options.unique_key = dureq_str_from(city);
    options.tags = tags; /* for finding them again: dureqctl job list --tag onetimeat */
    options.n_tags = 1;
    return dureq_client_enqueue(client, &job, ret, err);
}

static int wait_for(dureq_client *client, const dureq_job_id *id, dureq_error *err)
{
    dureq_job_list *list = NULL;
    const dureq_job *job;
    int rc;

    rc = dureq_client_wait(client, id->text, 15000, &list, err);
    if (rc != 0)
        return rc;
    job = &list->items[0];
    printf("%.*s: %s, started %lld ms after it was enqueued\n", (int)job->payload.len, job->payload.ptr,
           dureq_job_state_to_str(job->state), (long long)(job->started_at_ms - job->created_at_ms));
    dureq_job_list_destroy(list);
    return 0;
}

static int produce(dureq_client *client, dureq_error *err)
{
    dureq_job_id soon, later, never;
    int rc;

    rc = enqueue_at(client, "Oslo", 1000, 0, &soon, err);
    if (rc == 0)
        rc = enqueue_at(client, "Lima", 0, ((int64_t)time(NULL) + 2) * 1000, &later, err);
    if (rc == 0)
        rc = enqueue_at(client, "Rome", 3600 * 1000, 0, &never, err);
    if (rc != 0)
        return rc;

    if (enqueue_at(client, "Rome", 0, 0, &never, err) == DUREQ_EDUPLICATE)
        printf("Rome: refused, job %s holds the key\n", never.text);   /* of the living job */
    rc = dureq_client_cancel(client, never.text, "nobody asked", err); /* what is cancelled never starts */
    if (rc == 0)
        printf("Rome: cancelled an hour ahead\n");
    if (rc == 0)
        rc = wait_for(client, &soon, err);
    if (rc == 0)
        rc = wait_for(client, &later, err);
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
        rc = dureq_node_handle(node, "weather.query", query, NULL, NULL, &err);
    if (rc == 0)
        rc = dureq_node_start(node, &err);
    if (rc == 0)
        rc = produce(dureq_node_client(node), &err); /* a client that shares the node's connection */
    if (rc != 0)
        fprintf(stderr, "onetimeat: %s\n", err.msg);
    dureq_node_destroy(node);
    return rc == 0 ? 0 : 1;
}
