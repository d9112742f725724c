/* SPDX-License-Identifier: Apache-2.0 */

/* Schedules of several task types, one handler for all of them, with middleware around it. Each occurrence has headers, tags, queue and
   retries from the schedule it is of, like any job. See onetimeat_with_mux.c for what middleware is, and festival.c for schedules.

       festival_with_mux [redis://host:port]   DUREQ_REDIS_URL and DUREQ_PREFIX are read too */

#define _POSIX_C_SOURCE 200809L /* nanosleep */

#include <dureq/dureq.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define LIMIT_S 40

/* ---- middleware ---- */

/* Around every handler of the node. Of an occurrence it says how late it began, counted from when it came round. */
static int timed(dureq_run *run, dureq_next_fn next, void *next_data, void *userdata)
{
    int64_t at_ms = 0;
    int rc;

    (void)userdata;
    if (dureq_run_schedule(run, NULL, &at_ms))
        printf("[log] %s came round, dispatched after %d ms\n", dureq_run_task_type(run),
               (int)(dureq_run_enqueued_at_ms(run) - at_ms));
    rc = next(run, next_data);
    printf("[log] %s ends with %s\n", dureq_run_task_type(run), rc == 0 ? "0" : dureq_errcode_name(rc));
    return rc;
}

/* Around the handler it was given with: whose turn it is stands in a header, which each occurrence has from its schedule. */
static int stage_required(dureq_run *run, dureq_next_fn next, void *next_data, void *userdata)
{
    (void)userdata;
    if (dureq_run_header(run, "stage").len == 0)
        return dureq_run_fail(run, 0, "no stage");
    return next(run, next_data);
}

/* ---- handlers ---- */

/* "festival.*": every type that begins so. */
static int festival(dureq_run *run, void *userdata)
{
    const char *what = dureq_run_task_type(run) + strlen("festival.");
    dureq_str stage = dureq_run_header(run, "stage");

    (void)userdata;
    printf("%s on the %.*s stage, by %s\n", what, (int)stage.len, stage.ptr, dureq_run_node_id(run));
    return 0;
}

static int register_all(dureq_node *node, dureq_error *err)
{
    static const dureq_middleware inner[] = {{stage_required, NULL}};
    dureq_handler_options options = dureq_handler_options_init();
    int rc;

    options.middleware = inner;
    options.n_middleware = sizeof inner / sizeof inner[0];
    rc = dureq_node_use(node, timed, NULL, err);
    if (rc == 0)
        rc = dureq_node_handle(node, "festival.*", festival, NULL, &options, err);
    return rc;
}

/* ---- producer ---- */

/* By a cron of six fields, of which the first is the second; each ends after two occurrences. */
static int create(dureq_client *client, const char *type, const char *stage, const char *cron, dureq_job_id *ret,
                  dureq_error *err)
{
    dureq_schedule schedule = dureq_schedule_init();
    dureq_job_options options = dureq_job_options_init();
    dureq_header header;
    dureq_job_spec job;

    header.name = "stage";
    header.value = dureq_str_from(stage);
    options.headers = &header;
    options.n_headers = stage[0] ? 1 : 0;
    job.task_type = type;
    job.payload = dureq_str_from("{}");
    job.options = &options;
    schedule.type = DUREQ_SCHEDULE_CRON;
    schedule.cron_expr = cron;
    schedule.timezone = "Europe/Berlin";
    schedule.max_occurrences = 2;
    return dureq_client_create_schedule(client, &schedule, &job, ret, err);
}

/* For the end of each job that it started; they are on its record, the newest first. */
static int wait_jobs(dureq_client *client, const dureq_schedule_info *info, dureq_error *err)
{
    for (size_t i = info->n_records; i-- > 0;) {
        dureq_job_list *job = NULL;
        int rc;

        if (!info->records[i].job_id.text[0])
            continue; /* left out */
        rc = dureq_client_wait(client, info->records[i].job_id.text, LIMIT_S * 1000, &job, err);
        dureq_job_list_destroy(job);
        if (rc != 0)
            return rc;
    }
    return 0;
}

/* Until nothing more of it comes round, and what did is over. */
static int wait_completed(dureq_client *client, const char *id, dureq_error *err)
{
    const struct timespec pause = {0, 50000000};
    time_t start = time(NULL);
    dureq_schedule_list *list = NULL;
    bool completed = false;
    int rc = 0;

    while (!completed) {
        rc = dureq_client_get_schedule(client, id, &list, err);
        if (rc != 0)
            return rc;
        completed = strcmp(list->items[0].status, "completed") == 0;
        if (completed)
            rc = wait_jobs(client, &list->items[0], err);
        if (completed && rc == 0)
            printf("%.*s: completed\n", (int)list->items[0].job.task_type.len, list->items[0].job.task_type.ptr);
        dureq_schedule_list_destroy(list);
        list = NULL;
        if (!completed && time(NULL) - start > LIMIT_S)
            return DUREQ_ETIMEOUT;
        if (!completed)
            (void)nanosleep(&pause, NULL);
    }
    return rc;
}

static int produce(dureq_client *client, dureq_error *err)
{
    dureq_job_id ids[3];
    int rc;

    rc = create(client, "festival.music", "large", "* * * * * *", &ids[0], err);
    if (rc == 0)
        rc = create(client, "festival.dance", "small", "*/2 * * * * *", &ids[1], err);
    if (rc == 0)
        rc = create(client, "festival.poetry", "", "* * * * * *", &ids[2], err); /* both are dead: they have no stage */
    for (int i = 0; i < 3 && rc == 0; i++)
        rc = wait_completed(client, ids[i].text, err);
    return rc;
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
        fprintf(stderr, "festival_with_mux: %s: %s\n", dureq_errcode_name(rc), err.msg);
    dureq_node_destroy(node);
    return rc == 0 ? 0 : 1;
}
