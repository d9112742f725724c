/* SPDX-License-Identifier: Apache-2.0 */

/* How long jobs are kept after their end.

   Completed and cancelled jobs stay readable for the queue's retention, 7 days unless set, or for what the job itself asks; dead
   ones wait 30 days for somebody to look. What is kept goes whole buckets at a time, so a job may stay a little longer than asked, by
   a fraction of the retention, and never goes sooner, unless the history reached its cap of bytes.

       retention [redis://host:port]           DUREQ_REDIS_URL and DUREQ_PREFIX are read too */

#include <dureq/dureq.h>

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define KEPT_MS 2000
#define LIMIT_S 30

static int noop(dureq_task *task, void *userdata)
{
    (void)task;
    (void)userdata;
    return 0;
}

static int run_one(dureq_client *client, int64_t retention_ms, dureq_job_id *ret, dureq_error *err)
{
    dureq_job_options options = dureq_job_options_init();
    dureq_job_spec spec = {"retention.noop", dureq_str_from("{}"), &options};
    dureq_job_list *list = NULL;
    int rc;

    options.retention_ms = retention_ms;
    rc = dureq_client_enqueue(client, &spec, ret, err);
    if (rc == 0)
        rc = dureq_client_wait(client, ret->text, 15000, &list, err);
    dureq_job_list_destroy(list);
    return rc;
}

/* 1: still there; 0: gone; negative: an error. */
static int is_kept(dureq_client *client, const dureq_job_id *id, dureq_error *err)
{
    dureq_job_list *list = NULL;
    int rc;

    rc = dureq_client_get_job(client, id->text, &list, err);
    dureq_job_list_destroy(list);
    return rc == 0 ? 1 : rc == DUREQ_ENOTFOUND ? 0 : rc;
}

static int wait_gone(dureq_client *client, const dureq_job_id *gone, const dureq_job_id *pace, dureq_error *err)
{
    time_t start = time(NULL);
    int rc;

    do {
        dureq_job_list *list = NULL;

        /* `pace` does not end, so this is a sleep of half a second. */
        rc = dureq_client_wait(client, pace->text, 500, &list, err);
        dureq_job_list_destroy(list);
        if (rc != DUREQ_ETIMEOUT)
            return rc;
        rc = is_kept(client, gone, err);
    } while (rc == 1 && time(NULL) - start < LIMIT_S);
    if (rc == 0)
        printf("kept for 2 s: gone\n");
    return rc == 1 ? DUREQ_ETIMEOUT : rc;
}

static int produce(dureq_client *client, dureq_error *err)
{
    dureq_job_options far = dureq_job_options_init();
    dureq_job_spec spec = {"retention.noop", dureq_str_from("{}"), &far};
    dureq_job_id by_queue, briefly, later;
    int rc;

    rc = run_one(client, 0, &by_queue, err); /* 0: as the queue says */
    if (rc == 0)
        rc = run_one(client, KEPT_MS, &briefly, err); /* -1 would keep nothing at all */
    if (rc != 0)
        return rc;

    rc = is_kept(client, &briefly, err);
    if (rc < 0)
        return rc;
    printf("kept for 2 s: %s\n", rc == 1 ? "readable after its end" : "already gone");

    far.delay_ms = 3600 * 1000;
    rc = dureq_client_enqueue(client, &spec, &later, err);
    if (rc == 0)
        rc = wait_gone(client, &briefly, &later, err);
    if (rc == 0)
        rc = dureq_client_cancel(client, later.text, "example ends", err);
    if (rc == 0)
        rc = is_kept(client, &by_queue, err);
    if (rc < 0)
        return rc;
    printf("kept as the queue says: %s\n", rc == 1 ? "still readable" : "gone");
    return dureq_client_delete(client, by_queue.text, err); /* an ended job can also be deleted by hand */
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
    opts.history_max_bytes = 256 * 1024 * 1024; /* of all that is kept: at the cap the oldest goes first */
    rc = dureq_node_create(&opts, &node, &err);
    if (rc == 0)
        rc = dureq_node_handle(node, "retention.noop", noop, NULL, NULL, &err);
    if (rc == 0)
        rc = dureq_node_start(node, &err);
    if (rc == 0)
        rc = produce(dureq_node_client(node), &err);
    if (rc != 0)
        fprintf(stderr, "retention: %s: %s\n", dureq_errcode_name(rc), err.msg);
    dureq_node_destroy(node);
    return rc == 0 ? 0 : 1;
}
