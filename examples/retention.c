/* SPDX-License-Identifier: Apache-2.0 */

/* How long jobs are kept after their end.

   Completed and cancelled jobs stay readable for their queue's retention, 7 days unless set, or for what the job itself asks; dead
   ones wait 30 days for somebody to look. What is kept goes whole buckets at a time, looked for once a minute: a job may stay a
   little longer than asked, never shorter, unless the history reached its cap of bytes, where the oldest goes first.

       retention [redis://host:port] [--watch] DUREQ_REDIS_URL and DUREQ_PREFIX are read too
                                               --watch: wait until what was kept briefly is gone, a minute or two */

#include <dureq/dureq.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define KEPT_MS 2000
#define LIMIT_S 150

static int noop(dureq_run *run, void *userdata)
{
    (void)run;
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
    return rc == DUREQ_ENOTFOUND ? 0 : rc; /* ended, and gone before anybody could look */
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

static int tell_kept(dureq_client *client, const char *what, const dureq_job_id *id, dureq_error *err)
{
    int rc = is_kept(client, id, err);

    if (rc < 0)
        return rc;
    printf("%s: %s\n", what, rc == 1 ? "readable after its end" : "gone");
    return 0;
}

/* Look every second until the job is gone. A job for tomorrow never ends while we look, so waiting for it is a sleep. */
static int watch(dureq_client *client, const dureq_job_id *id, dureq_error *err)
{
    dureq_job_options options = dureq_job_options_init();
    dureq_job_spec spec = {"retention.noop", dureq_str_from("{}"), &options};
    time_t start = time(NULL);
    dureq_job_id tomorrow;
    int rc, kept = 1;

    options.delay_ms = 24 * 3600 * 1000;
    rc = dureq_client_enqueue(client, &spec, &tomorrow, err);
    if (rc != 0)
        return rc;
    do {
        dureq_job_list *list = NULL;

        rc = dureq_client_wait(client, tomorrow.text, 1000, &list, err);
        dureq_job_list_destroy(list);
        kept = is_kept(client, id, err);
    } while (rc == DUREQ_ETIMEOUT && kept == 1 && time(NULL) - start < LIMIT_S);
    if (kept == 0)
        printf("kept for 2 s: gone after %d s\n", (int)(time(NULL) - start));
    rc = dureq_client_cancel(client, tomorrow.text, "the example ends", err);
    return kept < 0 ? kept : kept == 1 ? DUREQ_ETIMEOUT : rc;
}

static int produce(dureq_client *client, bool watching, dureq_error *err)
{
    dureq_job_id by_queue, briefly, never;
    int rc;

    rc = run_one(client, 0, &by_queue, err); /* 0: as the queue says */
    if (rc == 0)
        rc = run_one(client, KEPT_MS, &briefly, err);
    if (rc == 0)
        rc = run_one(client, -1, &never, err); /* not even its result is kept */
    if (rc == 0)
        rc = tell_kept(client, "kept as the queue says", &by_queue, err);
    if (rc == 0)
        rc = tell_kept(client, "kept for 2 s", &briefly, err);
    if (rc == 0)
        rc = tell_kept(client, "not kept", &never, err);
    if (rc == 0 && watching)
        rc = watch(client, &briefly, err);
    if (rc == 0)
        rc = dureq_client_delete(client, by_queue.text, err); /* an ended job can also be deleted by hand */
    if (rc == 0)
        rc = tell_kept(client, "deleted by hand", &by_queue, err);
    return rc;
}

int main(int argc, char **argv)
{
    dureq_node_options opts = dureq_node_options_init();
    bool watching = argc > 1 && strcmp(argv[argc - 1], "--watch") == 0;
    const char *url = argc > 1 + watching ? argv[1] : getenv("DUREQ_REDIS_URL");
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
        rc = produce(dureq_node_client(node), watching, &err);
    if (rc != 0)
        fprintf(stderr, "retention: %s: %s\n", dureq_errcode_name(rc), err.msg);
    dureq_node_destroy(node);
    return rc == 0 ? 0 : 1;
}
