/* SPDX-License-Identifier: Apache-2.0 */

/* Two series of announcements, each between two times: a schedule starts a job again and again, from starts_at_ms to ends_at_ms, whichever
   node is alive. With a key of its own a schedule is had as it is described, however often this program runs; its unique key belongs to it for as
   long as it lives, so nobody can enqueue a job with it meanwhile. When the last one is over it is completed, and its keys are free.

       festival [redis://host:port]            DUREQ_REDIS_URL and DUREQ_PREFIX are read too */

#define _POSIX_C_SOURCE 200809L /* gmtime_r, nanosleep */

#include <dureq/dureq.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define LIMIT_S 40

/* ---- worker ---- */

/* Each occurrence is a job of its own, which knows when it came round: the same in each attempt, however late it runs. */
static int announce(dureq_run *run, void *userdata)
{
    dureq_str payload = dureq_run_payload(run);
    int64_t at_ms = 0;
    time_t at;
    char text[16] = "";
    struct tm tm;

    (void)userdata;
    if (dureq_run_schedule(run, NULL, &at_ms)) {
        at = (time_t)(at_ms / 1000);
        if (gmtime_r(&at, &tm))
            (void)strftime(text, sizeof text, "%H:%M:%S", &tm);
    }
    printf("%s " DUREQ_STR_FMT "\n", text, DUREQ_STR_ARG(payload));
    return 0;
}

/* ---- producer ---- */

/* Every second, so many times: the first one is at starts_at_ms. */
static int put(dureq_client *client, const char *key, const char *payload, int64_t starts_at_ms, int n, dureq_job_id *ret,
               dureq_error *err)
{
    dureq_schedule schedule = dureq_schedule_init();
    dureq_job_options options = dureq_job_options_init();
    dureq_job_spec job;
    const char *const tags[] = {"festival"};
    dureq_put_result what = DUREQ_PUT_SAME;
    int rc;

    schedule.type = DUREQ_SCHEDULE_DURATION;
    schedule.interval_ms = 1000;
    schedule.starts_at_ms = starts_at_ms;
    schedule.ends_at_ms = starts_at_ms + (n - 1) * 1000;
    options.unique_key = dureq_str_from(key);
    options.tags = tags;
    options.n_tags = 1;
    job.task_type = "festival.announce";
    job.payload = dureq_str_from(payload);
    job.options = &options;
    rc = dureq_client_put_schedule(client, dureq_str_from(key), &schedule, &job, ret, &what, err);
    if (rc == 0)
        printf("%s: schedule %s %s\n", key, ret->text, what == DUREQ_PUT_CREATED ? "created" : "is there");
    return rc;
}

static int try_key(dureq_client *client, const char *key, dureq_error *err)
{
    dureq_job_options options = dureq_job_options_init();
    dureq_job_spec job;
    dureq_job_id id;
    int rc;

    options.unique_key = dureq_str_from(key);
    job.task_type = "festival.announce";
    job.payload = dureq_str_from("by hand");
    job.options = &options;
    rc = dureq_client_enqueue(client, &job, &id, err);
    if (rc == 0 || rc == DUREQ_EDUPLICATE)
        printf("%s: the key is %s\n", key, rc == 0 ? "free" : "held");
    return rc == DUREQ_EDUPLICATE ? 0 : rc;
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

/* Until nothing more of it comes round, and what did is over. There is no call that waits for that, as nobody should; so this asks again. */
static int wait_completed(dureq_client *client, const char *key, const char *id, dureq_error *err)
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
            printf("%s: completed, %d announced\n", key, (int)list->items[0].n_dispatched);
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
    int64_t soon_ms = ((int64_t)time(NULL) + 2) * 1000;
    dureq_job_id music, food;
    int rc;

    rc = put(client, "music", "the music plays", soon_ms, 3, &music, err);
    if (rc == 0)
        rc = put(client, "food", "the food is ready", soon_ms + 1000, 4, &food, err);
    if (rc == 0)
        rc = try_key(client, "music", err);
    if (rc == 0)
        rc = wait_completed(client, "music", music.text, err);
    if (rc == 0)
        rc = wait_completed(client, "food", food.text, err);
    if (rc == 0)
        rc = try_key(client, "music", err);
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
        rc = dureq_node_handle(node, "festival.announce", announce, NULL, NULL, &err);
    if (rc == 0)
        rc = dureq_node_start(node, &err);
    if (rc == 0)
        rc = produce(dureq_node_client(node), &err);
    if (rc != 0)
        fprintf(stderr, "festival: %s: %s\n", dureq_errcode_name(rc), err.msg);
    dureq_node_destroy(node);
    return rc == 0 ? 0 : 1;
}
