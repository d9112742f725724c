/* SPDX-License-Identifier: Apache-2.0 */
/* What a node tells of jobs that nobody runs. */
#include "test_rig.h"

#include <stdatomic.h>
#include <string.h>

typedef struct heard {
    atomic_int n;
    char job_id[DUREQ_JOB_ID_LEN + 1], task_type[32], queue[32]; /* of the last one */
} heard;

static void on_event(const dureq_node_event *e, void *userdata)
{
    heard *h = userdata;

    if (e->kind != DUREQ_NODE_JOB_RESUMED)
        return;
    (void)snprintf(h->job_id, sizeof h->job_id, "%s", e->job_id);
    (void)snprintf(h->task_type, sizeof h->task_type, "%s", e->task_type);
    (void)snprintf(h->queue, sizeof h->queue, "%s", e->queue);
    atomic_fetch_add(&h->n, 1);
}

static int pause_once(dureq_run *task, void *userdata)
{
    int64_t *after_ms = userdata;

    if (dureq_run_attempt(task) > 1 || strstr(dureq_run_id(task), ".1") == NULL)
        return 0;
    return dureq_run_pause(task, *after_ms, "not now");
}

static void start_node(heard *h, int64_t *after_ms)
{
    dureq_node_options o = rig_node_options("n");

    o.on_event = on_event;
    o.on_event_userdata = h;
    dureq_node *n = rig_node_create(&o);
    rig_handle(n, "pausing", pause_once, after_ms, NULL);
    rig_start(n);
}

SCENARIO(a_job_resumed_by_hand_is_told_by_the_ticker)
{
    static heard h;
    static int64_t after_ms;
    dureq_job_id id;

    h = (heard){.n = 0};
    after_ms = 0;
    start_node(&h, &after_ms);
    id = rig_enqueue("pausing", "1", NULL);
    RIG_UNTIL(rig_state(id.text) == DUREQ_JOB_PAUSED);
    EXPECT_I64(0, atomic_load(&h.n));
    RIG_OK(dureq_client_resume(rig.client, id.text, &err));
    EXPECT_I64(DUREQ_JOB_COMPLETED, rig_wait(id.text)->state);
    RIG_UNTIL(atomic_load(&h.n) == 1);
    EXPECT_TEXT(id.text, h.job_id);
    EXPECT_TEXT("pausing", h.task_type);
    EXPECT_TEXT("normal", h.queue);
}

SCENARIO(a_job_whose_pause_is_over_is_told_by_the_ticker)
{
    static heard h;
    static int64_t after_ms;
    dureq_job_id id;

    h = (heard){.n = 0};
    after_ms = 50;
    start_node(&h, &after_ms);
    id = rig_enqueue("pausing", "1", NULL);
    EXPECT_I64(DUREQ_JOB_COMPLETED, rig_wait(id.text)->state);
    RIG_UNTIL(atomic_load(&h.n) == 1);
    EXPECT_TEXT(id.text, h.job_id);
}

RIG_MAIN()
