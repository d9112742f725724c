/* SPDX-License-Identifier: Apache-2.0 */
/* What a node tells of jobs that nobody runs. */
#include "test_rig.h"

#include <stdatomic.h>
#include <string.h>

#include "base/clock.h"

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

SCENARIO(a_job_resumed_by_hand_is_told_by_the_leader)
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

SCENARIO(a_job_whose_pause_is_over_is_told_by_the_leader)
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

/* ---- the node's own client on the node's own thread ---- */

enum { CALLS = 8, TRIES = 5 };

typedef struct caller {
    dureq_node *node;
    int rc[CALLS];
    dureq_error err[CALLS];
    int64_t best_us[CALLS]; /* of the tries: the machine may hold one up */
    atomic_int done;
} caller;

static int call_one(int which, dureq_client *c, const char *id, dureq_error *err)
{
    dureq_job_spec spec = {.task_type = "t", .payload = DQ_STR_LIT("1")};
    dureq_enqueue_result result;
    dureq_job_list *list;
    dureq_counts counts;
    int code;

    switch (which) {
    case 0: return dureq_client_get_job(c, id, &list, err);
    case 1: return dureq_client_enqueue(c, &spec, NULL, err);
    case 2: return dureq_client_enqueue_many(c, &spec, 1, &result, err);
    case 3: return dureq_client_wait(c, id, -1, &list, err);
    case 4: return dureq_client_cancel(c, id, NULL, err);
    case 5: return dureq_client_cancel_many(c, &id, 1, NULL, &code, err);
    case 6: return dureq_client_pause_queue(c, "low", err);
    default: return dureq_client_count(c, &counts, err);
    }
}

static void call_all(const dureq_node_event *e, void *userdata)
{
    caller *k = userdata;

    if (e->kind != DUREQ_NODE_JOB_RESUMED || atomic_load(&k->done))
        return;
    for (int i = 0; i < CALLS; i++)
        for (int try = 0; try < TRIES; try++) {
            int64_t began = dq_mono_us(), took;

            k->rc[i] = call_one(i, dureq_node_client(k->node), e->job_id, &k->err[i]);
            took = dq_mono_us() - began;
            k->best_us[i] = try == 0 || took < k->best_us[i] ? took : k->best_us[i];
        }
    atomic_store(&k->done, 1);
}

SCENARIO(a_call_that_would_wait_for_its_own_thread_is_refused_at_once)
{
    static caller k;
    static int64_t after_ms;
    dureq_node_options o = rig_node_options("n");
    dureq_job_id id;

    k = (caller){.rc = {0}};
    after_ms = 0;
    o.on_event = call_all;
    o.on_event_userdata = &k;
    k.node = rig_node_create(&o);
    rig_handle(k.node, "pausing", pause_once, &after_ms, NULL);
    rig_start(k.node);
    id = rig_enqueue("pausing", "1", NULL);
    RIG_UNTIL(rig_state(id.text) == DUREQ_JOB_PAUSED);
    RIG_OK(dureq_client_resume(rig.client, id.text, &err));
    RIG_UNTIL(atomic_load(&k.done) == 1);
    for (int i = 0; i < CALLS; i++) {
        EXPECT_NOTE("call %d: %lld us", i, (long long)k.best_us[i]);
        EXPECT_RC(DUREQ_EDEADLK, k.rc[i]);
        EXPECT_HAS("own thread", k.err[i].msg);
        EXPECT_TRUE(k.best_us[i] < 1000);
    }
    EXPECT_I64(DUREQ_JOB_COMPLETED, rig_wait(id.text)->state);
    EXPECT_I64(0, rig_counts().cancelled + rig_counts().pending);
}

RIG_MAIN()
