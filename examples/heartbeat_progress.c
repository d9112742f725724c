/* SPDX-License-Identifier: Apache-2.0 */

/* A long job that tells how far it is, and what becomes of one that falls silent.

   Progress is any JSON; readers see it within a second. With a heartbeat time-out a handler has to give a sign of life so often,
   by progress or by dureq_run_heartbeat, or its attempt is over and another one begins: a handler that hangs is found in seconds
   although the job may take hours.

       heartbeat_progress [redis://host:port]  DUREQ_REDIS_URL and DUREQ_PREFIX are read too */

#include <dureq/dureq.h>

#include <stdio.h>
#include <stdlib.h>

#define ROWS       1000
#define CHUNK      100
#define CHUNK_MS   300
#define SILENCE_MS 1500

/* ---- worker ---- */

static int import(dureq_run *run, void *userdata)
{
    int done;

    (void)userdata;
    for (done = 0; done < ROWS; done += CHUNK) {
        char json[96];

        snprintf(json, sizeof json, "{\"rows_processed\":%d,\"rows_total\":%d,\"percent\":%d}", done, ROWS, done * 100 / ROWS);
        dureq_run_progress(run, dureq_str_from(json)); /* a sign of life as well */
        /* Where a real handler would work. Sleeping this way ends at once when the job is cancelled. */
        if (dureq_run_wait_cancelled(run, CHUNK_MS))
            return DUREQ_ECANCELLED; /* nobody listens any more: leave */
    }
    return dureq_run_set_result(run, dureq_str_from("{\"rows\":1000}"), NULL); /* NULL: JSON when it is JSON */
}

/* Hangs in its first attempt, as if on a dead connection. */
static int flaky(dureq_run *run, void *userdata)
{
    (void)userdata;
    if (dureq_run_attempt(run) == 1) {
        dureq_run_wait_cancelled(run, -1); /* wakes when the attempt was given up; what follows no longer counts */
        return DUREQ_ECANCELLED;
    }
    dureq_run_heartbeat(run);
    return 0;
}

/* ---- producer ---- */

static int enqueue(dureq_client *client, const char *type, dureq_job_id *ret, dureq_error *err)
{
    dureq_retry_policy policy = dureq_retry_policy_init();
    dureq_job_options options = dureq_job_options_init();
    dureq_job_spec spec = {type, dureq_str_from("{\"dataset_id\":7}"), &options};

    policy.initial_delay_ms = 100;
    options.retry_policy = &policy;
    options.heartbeat_timeout_ms = SILENCE_MS;
    return dureq_client_enqueue(client, &spec, ret, err);
}

static int show_progress(dureq_client *client, const char *id, dureq_error *err)
{
    dureq_job_list *list = NULL;
    int rc;

    rc = dureq_client_get_job(client, id, &list, err);
    if (rc == 0 && list->items[0].progress.len)
        printf("progress: %.*s\n", (int)list->items[0].progress.len, list->items[0].progress.ptr);
    dureq_job_list_destroy(list);
    return rc;
}

/* Wait for the end, and look at the progress in between. */
static int follow(dureq_client *client, const char *id, dureq_error *err)
{
    dureq_job_list *list = NULL;
    const dureq_job *job;
    size_t i;
    int rc;

    do {
        rc = dureq_client_wait(client, id, 500, &list, err);
        if (rc == DUREQ_ETIMEOUT && show_progress(client, id, err) != 0)
            return err->code;
    } while (rc == DUREQ_ETIMEOUT);
    if (rc != 0)
        return rc;

    job = &list->items[0];
    for (i = 0; i < job->n_attempts; i++)
        printf("attempt %d: %s %.*s\n", (int)job->attempts[i].attempt, dureq_outcome_to_str(job->attempts[i].outcome),
               (int)job->attempts[i].error.len, job->attempts[i].error.ptr);
    printf("%.*s: %s after %d start(s) %.*s\n\n", (int)job->task_type.len, job->task_type.ptr, dureq_job_state_to_str(job->state),
           (int)job->runs, (int)job->result.len, job->result.ptr);
    dureq_job_list_destroy(list);
    return 0;
}

static int produce(dureq_client *client, dureq_error *err)
{
    dureq_job_id id;
    int rc;

    rc = enqueue(client, "dataset.import", &id, err);
    if (rc == 0)
        rc = follow(client, id.text, err);
    if (rc == 0)
        rc = enqueue(client, "dataset.flaky", &id, err);
    if (rc == 0)
        rc = follow(client, id.text, err);
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
        rc = dureq_node_handle(node, "dataset.import", import, NULL, NULL, &err);
    if (rc == 0)
        rc = dureq_node_handle(node, "dataset.flaky", flaky, NULL, NULL, &err);
    if (rc == 0)
        rc = dureq_node_start(node, &err);
    if (rc == 0)
        rc = produce(dureq_node_client(node), &err);
    if (rc != 0)
        fprintf(stderr, "heartbeat_progress: %s\n", err.msg);
    dureq_node_destroy(node);
    return rc == 0 ? 0 : 1;
}
