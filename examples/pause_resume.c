/* SPDX-License-Identifier: Apache-2.0 */

/* Four reasons for a job to stand still, and how each goes on:

   1. its retry policy pauses it after so many errors in a row, for a person to look at, and the person resumes it;
   2. its handler pauses it for a time, and it goes on by itself;
   3. an operator pauses one waiting job;
   4. an operator pauses a whole queue.

   A paused job keeps everything: payload, attempts, unique key.

       pause_resume [redis://host:port]        DUREQ_REDIS_URL and DUREQ_PREFIX are read too */

#include <dureq/dureq.h>

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define LIMIT_S 20

/* ---- worker ---- */

/* Fails three times, then works: the fault outside was mended while the job was paused. */
static int fragile(dureq_run *run, void *userdata)
{
    int *starts = userdata;

    (void)run;
    return ++*starts <= 3 ? DUREQ_EHANDLER : 0;
}

/* Not ready yet: come back in a second. That spends no attempt and holds no thread. */
static int early(dureq_run *run, void *userdata)
{
    int *starts = userdata;

    return ++*starts == 1 ? dureq_run_pause(run, 1000, "the file is not there yet") : 0;
}

/* ---- producer ---- */

/* Wait until the job is in this state. There is no call for that, only for the end: ask again, with the wait as a pause. */
static int wait_state(dureq_client *client, const char *id, dureq_job_state state, dureq_error *err)
{
    time_t start = time(NULL);
    dureq_job_list *list = NULL;
    bool there, ended;
    int rc;

    do {
        rc = dureq_client_get_job(client, id, &list, err);
        if (rc != 0)
            return rc;
        there = list->items[0].state == state;
        ended = list->items[0].finished_at_ms > 0;
        if (there)
            printf("%.*s: %s%s%.*s\n", (int)list->items[0].task_type.len, list->items[0].task_type.ptr,
                   dureq_job_state_to_str(state), list->items[0].reason.len ? ", " : "", (int)list->items[0].reason.len,
                   list->items[0].reason.ptr);
        dureq_job_list_destroy(list);
        list = NULL;
        if (there)
            return 0;
        if (ended)
            return DUREQ_ECONFLICT; /* it will never be */
        rc = dureq_client_wait(client, id, 200, &list, NULL);
        dureq_job_list_destroy(list);
        list = NULL;
    } while ((rc == 0 || rc == DUREQ_ETIMEOUT) && time(NULL) - start < LIMIT_S);
    return rc == 0 ? DUREQ_ETIMEOUT : rc;
}

static int by_policy(dureq_client *client, dureq_error *err)
{
    dureq_retry_policy policy = dureq_retry_policy_init();
    dureq_job_options options = dureq_job_options_init();
    dureq_job_spec spec = {"pause.fragile", dureq_str_from("{}"), &options};
    dureq_job_id id;
    int rc;

    policy.max_attempts = 10;
    policy.initial_delay_ms = 100;
    policy.pause_after_err_count = 3;
    policy.pause_retry_delay_ms = 0; /* until resumed by hand; a time here would resume it by itself */
    options.retry_policy = &policy;
    rc = dureq_client_enqueue(client, &spec, &id, err);
    if (rc == 0)
        rc = wait_state(client, id.text, DUREQ_JOB_PAUSED, err);
    if (rc == 0)
        rc = dureq_client_resume(client, id.text, err); /* dureqctl job resume ID */
    if (rc == 0)
        rc = wait_state(client, id.text, DUREQ_JOB_COMPLETED, err);
    return rc;
}

static int by_handler(dureq_client *client, dureq_error *err)
{
    dureq_job_spec spec = {"pause.early", dureq_str_from("{}"), NULL};
    dureq_job_id id;
    int rc;

    rc = dureq_client_enqueue(client, &spec, &id, err);
    if (rc == 0)
        rc = wait_state(client, id.text, DUREQ_JOB_PAUSED, err);
    if (rc == 0)
        rc = wait_state(client, id.text, DUREQ_JOB_COMPLETED, err);
    return rc;
}

static int by_operator(dureq_client *client, dureq_error *err)
{
    dureq_job_options options = dureq_job_options_init();
    dureq_job_spec spec = {"pause.early", dureq_str_from("{}"), &options};
    dureq_job_id id;
    int rc;

    options.queue = "low";
    rc = dureq_client_pause_queue(client, "low", err); /* once this returns, nothing more of it starts */
    if (rc != 0)
        return rc;
    rc = dureq_client_enqueue(client, &spec, &id, err); /* a paused queue still takes jobs */
    if (rc == 0)
        rc = wait_state(client, id.text, DUREQ_JOB_PENDING, err);
    if (rc == 0)
        rc = dureq_client_pause(client, id.text, err); /* this one job */
    if (rc == 0)
        rc = dureq_client_resume_queue(client, "low", err);
    if (rc == 0)
        rc = wait_state(client, id.text, DUREQ_JOB_PAUSED, err); /* although its queue runs again */
    if (rc == 0)
        rc = dureq_client_resume(client, id.text, err);
    if (rc == 0)
        rc = wait_state(client, id.text, DUREQ_JOB_COMPLETED, err);
    return rc;
}

int main(int argc, char **argv)
{
    dureq_node_options opts = dureq_node_options_init();
    const char *url = argc > 1 ? argv[1] : getenv("DUREQ_REDIS_URL");
    int fragile_starts = 0, early_starts = 0;
    dureq_node *node = NULL;
    dureq_error err = {0, 0, ""};
    int rc;

    opts.redis_url = url ? url : "redis://127.0.0.1:6379";
    opts.prefix = getenv("DUREQ_PREFIX");
    rc = dureq_node_create(&opts, &node, &err);
    if (rc == 0)
        rc = dureq_node_handle(node, "pause.fragile", fragile, &fragile_starts, NULL, &err);
    if (rc == 0)
        rc = dureq_node_handle(node, "pause.early", early, &early_starts, NULL, &err);
    if (rc == 0)
        rc = dureq_node_start(node, &err);
    if (rc == 0)
        rc = by_policy(dureq_node_client(node), &err);
    if (rc == 0)
        rc = by_handler(dureq_node_client(node), &err);
    if (rc == 0)
        rc = by_operator(dureq_node_client(node), &err);
    if (rc != 0)
        fprintf(stderr, "pause_resume: %s: %s\n", dureq_errcode_name(rc), err.msg);
    dureq_node_destroy(node);
    return rc == 0 ? 0 : 1;
}
