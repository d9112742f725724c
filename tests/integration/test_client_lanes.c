/* SPDX-License-Identifier: Apache-2.0 */
/* Counts of more lanes than a step of the server looks at. */
#include "test_rig.h"

#include "client/client.h"
#include "client/lanes.h"

enum { TYPES = 1300, ASKED = 200 }; /* of a shard: several pages, and the last one is not full */

static void enqueue_types(int from, int n)
{
    dureq_job_options high = dureq_job_options_init();
    char(*names)[16] = calloc((size_t)n, sizeof *names);
    dureq_job_spec *specs = calloc((size_t)n, sizeof *specs);
    dureq_enqueue_result *results = calloc((size_t)n, sizeof *results);

    EXPECT_TRUE(names && specs && results);
    high.queue = "high";
    for (int i = 0; i < n; i++) {
        (void)snprintf(names[i], sizeof names[i], "t%d", from + i);
        specs[i] = (dureq_job_spec){.task_type = names[i], .options = i % 10 == 0 ? &high : NULL};
    }
    RIG_OK(dureq_client_enqueue_many(rig.client, specs, (size_t)n, results, &err));
    for (int i = 0; i < n; i++)
        EXPECT_I64(0, results[i].code);
    free(results);
    free(specs);
    free(names);
}

static int64_t pending_of(const char *name)
{
    dureq_queue_list *list;
    int64_t n = -1;

    RIG_OK(dureq_client_list_queues(rig.client, &list, &err));
    for (size_t i = 0; i < list->n; i++)
        if (dq_str_eq_text(list->items[i].name, name))
            n = list->items[i].pending;
    dureq_queue_list_destroy(list);
    return n;
}

static int add_waiting(dureq_str queue, dureq_str type, int64_t n, void *userdata)
{
    EXPECT_TRUE(queue.len > 0 && type.len > 0);
    *(int64_t *)userdata += n;
    return 0;
}

static int64_t waiting(void)
{
    int64_t n = 0;

    RIG_OK(dq_client_walk_waiting(rig.client, add_waiting, &n, &err));
    return n;
}

SCENARIO(jobs_of_more_lanes_than_a_page_are_all_counted)
{
    int n = rig.shards * TYPES;

    enqueue_types(0, n);
    EXPECT_I64(n, rig_counts().pending);
    EXPECT_I64(n / 10, pending_of("high"));
    EXPECT_I64(n - n / 10, pending_of("normal"));
    EXPECT_I64(0, pending_of("low"));
    EXPECT_I64(n, waiting());
    enqueue_types(0, 100); /* what is not shared is as it is now */
    EXPECT_I64(n + 100, rig_counts().pending);
}

SCENARIO(a_client_that_shares_counts_few_lanes_each_time)
{
    dq_client_share_walks(rig.client);
    for (int i = 1; i < 5; i++) {
        enqueue_types(i, 1);
        EXPECT_I64(i, rig_counts().pending);
        EXPECT_I64(i, waiting());
    }
}

static int64_t commands(void)
{
    char *text = test_redis_info(rig.server, "total_commands_processed");
    int64_t n = strtoll(text, NULL, 10);

    free(text);
    return n;
}

SCENARIO(a_client_that_shares_does_not_walk_many_lanes_for_each_who_asks)
{
    int n = rig.shards * TYPES;
    int64_t before;

    enqueue_types(0, n);
    dq_client_share_walks(rig.client);
    EXPECT_I64(n, rig_counts().pending);
    enqueue_types(0, 10);
    before = commands();
    for (int i = 0; i < ASKED; i++)
        (void)rig_counts();
    EXPECT_TRUE(commands() - before < ASKED); /* each walk has more than one a shard */
    RIG_UNTIL(rig_counts().pending == n + 10);
    EXPECT_I64(n + 10, waiting());
}

RIG_MAIN()
