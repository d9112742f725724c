/* SPDX-License-Identifier: Apache-2.0 */

/* A report that takes longer than the time between two of it: what becomes of the next one while the last one runs. The same schedule five times, each
   with another policy, side by side; then what each did and left out, from its record.

       overlap_policy [redis://host:port]      DUREQ_REDIS_URL and DUREQ_PREFIX are read too */

#define _POSIX_C_SOURCE 200809L /* nanosleep */

#include <dureq/dureq.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define EVERY_MS 1000
#define TAKES_MS 1600
#define N        5 /* come round */
#define POLICIES 5
#define LIMIT_S  50

/* Stands for the work. REPLACE ends what runs by cancelling it, so a handler for it must listen: the next one waits until this has returned. */
static int report(dureq_run *run, void *userdata)
{
    (void)userdata;
    return dureq_run_wait_cancelled(run, TAKES_MS) ? DUREQ_ECANCELLED : 0;
}

static int create(dureq_client *client, dureq_overlap policy, int64_t starts_at_ms, dureq_job_id *ret, dureq_error *err)
{
    dureq_schedule schedule = dureq_schedule_init();
    dureq_job_spec job;

    schedule.type = DUREQ_SCHEDULE_DURATION;
    schedule.interval_ms = EVERY_MS;
    schedule.starts_at_ms = starts_at_ms;
    schedule.ends_at_ms = starts_at_ms + (N - 1) * EVERY_MS;
    schedule.overlap_policy = policy;
    job.task_type = "report";
    job.payload = dureq_str_from(dureq_overlap_to_str(policy));
    job.options = NULL;
    return dureq_client_create_schedule(client, &schedule, &job, ret, err);
}

/* One line an occurrence, from the first to the last: at which second, what became of it, and why. */
static void print_record(const dureq_schedule_info *info, int64_t starts_at_ms)
{
    printf("%s\n", dureq_overlap_to_str(info->schedule.overlap_policy));
    for (size_t i = info->n_records; i-- > 0;) {
        const dureq_schedule_record *r = &info->records[i];

        printf("  %d s: %s%s%s\n", (int)((r->first_ms - starts_at_ms) / 1000), r->what, r->reason[0] ? ", " : "", r->reason);
    }
}

/* Until nothing more comes round, and nothing of it runs or waits (under ALLOW_ALL what runs is not counted). */
static int wait_and_print(dureq_client *client, const char *id, int64_t starts_at_ms, dureq_error *err)
{
    const struct timespec pause = {0, 50000000};
    time_t start = time(NULL);
    dureq_schedule_list *list = NULL;
    bool over = false;
    int rc = 0;

    while (!over) {
        const dureq_schedule_info *info;

        rc = dureq_client_get_schedule(client, id, &list, err);
        if (rc != 0)
            return rc;
        info = &list->items[0];
        over = strcmp(info->status, "completed") == 0 && info->n_active == 0 && info->n_buffered == 0;
        if (over)
            print_record(info, starts_at_ms);
        dureq_schedule_list_destroy(list);
        list = NULL;
        if (!over && time(NULL) - start > LIMIT_S)
            return DUREQ_ETIMEOUT;
        if (!over)
            (void)nanosleep(&pause, NULL);
    }
    return 0;
}

static int produce(dureq_client *client, dureq_error *err)
{
    int64_t soon_ms = ((int64_t)time(NULL) + 2) * 1000;
    dureq_job_id ids[POLICIES];
    int rc = 0;

    for (int i = 0; i < POLICIES && rc == 0; i++)
        rc = create(client, (dureq_overlap)i, soon_ms, &ids[i], err);
    for (int i = 0; i < POLICIES && rc == 0; i++)
        rc = wait_and_print(client, ids[i].text, soon_ms, err);
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
        rc = dureq_node_handle(node, "report", report, NULL, NULL, &err);
    if (rc == 0)
        rc = dureq_node_start(node, &err);
    if (rc == 0)
        rc = produce(dureq_node_client(node), &err);
    if (rc != 0)
        fprintf(stderr, "overlap_policy: %s: %s\n", dureq_errcode_name(rc), err.msg);
    dureq_node_destroy(node);
    return rc == 0 ? 0 : 1;
}
