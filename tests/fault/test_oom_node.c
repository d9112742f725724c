/* SPDX-License-Identifier: Apache-2.0 */
/* A node whose n-th allocation fails, for each n: while it starts, while it runs jobs, while it stops. It starts or says DUREQ_ENOMEM and can be started
   again; each job ends as its handler said, at the latest when memory is back; the node keeps its session or takes a new one, and ends cleanly. */

#include "test_oom.h"
#include "test_rig.h"

#include <stdatomic.h>

#define ROUNDS_MAX 2000
#define START_MS   3000
#define BIG        40000 /* a payload with a key of its own */

static atomic_long n_runs;

/* Does what handlers do; what has no memory for it is done without. The payload says how it ends. */
static int work(dureq_run *task, void *userdata)
{
    dureq_str payload = dureq_run_payload(task);

    (void)userdata;
    atomic_fetch_add(&n_runs, 1);
    dureq_run_log(task, "a line of %zu", payload.len);
    (void)dureq_run_header(task, "x-from");
    (void)dureq_run_progress(task, DQ_STR_LIT("{\"done\": 1}"));
    if (payload.len > 1 && payload.ptr[1] == 'f')
        return dureq_run_fail_detail(task, 7, "as asked", DQ_STR_LIT("detail"));
    if (payload.len > 1 && payload.ptr[1] == 'r' && dureq_run_attempt(task) == 1)
        return dureq_run_retry_detail(task, 7, "as asked", DQ_STR_LIT("detail"));
    return dureq_run_set_result(task, DQ_STR_LIT("\"result\""), NULL) == DUREQ_ENOMEM ? DUREQ_ENOMEM : 0;
}

static int node_make(dureq_node **ret, dureq_error *err)
{
    dureq_node_options o = rig_node_options("n");
    dureq_retry_policy policy = {.struct_size = sizeof policy, .max_attempts = 5, .initial_delay_ms = 1, .max_delay_ms = 2};
    dureq_handler_options h = dureq_handler_options_init();
    int rc;

    o.lease_ms = 500;
    o.concurrency = 4;
    h.retry_policy = &policy;
    rc = dureq_node_create(&o, ret, err);
    if (rc == 0)
        rc = dureq_node_handle(*ret, "work", work, NULL, &h, err);
    return rc;
}

/* -1: there was no memory to accept it. */
static int try_enqueue(const char *payload, size_t len, dureq_job_id *ret)
{
    dureq_job_options o = dureq_job_options_init();
    dureq_header header = {"x-from", DQ_STR_LIT("test")};
    dureq_job_spec spec = {"work", dureq_str_of(payload, len), &o};
    dureq_error err = {0};
    int rc;

    o.headers = &header;
    o.n_headers = 1;
    ret->text[0] = '\0';
    rc = dureq_client_enqueue(rig.client, &spec, ret, &err);
    EXPECT_TRUE(oom_is_fair(rc));
    return rc == 0 ? 0 : -1;
}

static bool ended_as(const char *id, int state)
{
    int now = rig_state(id);

    return now == state;
}

/* ---- starting ---- */

static void works(void)
{
    dureq_job_id id;

    EXPECT_I64(0, try_enqueue("\"d\"", 3, &id));
    RIG_UNTIL(ended_as(id.text, DUREQ_JOB_COMPLETED));
}

static void start_with_failure(long n, bool *over)
{
    dureq_node *node = NULL;
    dureq_error why = {0};
    int64_t began = rig_mono_ms();
    int rc;

    dq_alloc_fail_at(n);
    rc = node_make(&node, &why);
    if (rc == 0) {
        rc = dureq_node_start(node, &why);
        *over = oom_is_over(n);
        if (!oom_is_fair(rc))
            print_error("%s\n", why.msg);
        EXPECT_TRUE(oom_is_fair(rc));
        EXPECT_TRUE(rig_mono_ms() - began < START_MS);
        if (rc < 0)
            RIG_OK(dureq_node_start(node, &err));
        works();
        RIG_OK(dureq_node_stop(node, &err));
    }
    dq_alloc_fail_at(0);
    EXPECT_TRUE(oom_is_fair(rc));
    dureq_node_destroy(node);
}

SCENARIO(a_node_starts_whole_or_not_and_then_again)
{
    bool over = false;

    for (long n = oom_first(4); !over && n < ROUNDS_MAX; n += oom_step(4)) {
        EXPECT_NOTE("allocation %ld fails", n);
        start_with_failure(n, &over);
    }
    EXPECT_TRUE(over);
    rig_doctor();
}

/* ---- running ---- */

static char big[BIG];

typedef struct batch {
    dureq_job_id ids[4];
    bool accepted[4];
} batch;

static const struct kind {
    const char *payload;
    size_t len;
    int state;
} kinds[] = {
    {"\"d\"", 3, DUREQ_JOB_COMPLETED},
    {"\"f\"", 3, DUREQ_JOB_DEAD},
    {"\"r\"", 3, DUREQ_JOB_COMPLETED},
    {big, BIG, DUREQ_JOB_COMPLETED},
};

static bool all_ran(const batch *b, long before)
{
    long want = 0;

    for (size_t i = 0; i < DQ_ARRAY_LEN(kinds); i++)
        want += b->accepted[i] ? 1 : 0;
    return atomic_load(&n_runs) - before >= want;
}

/* Until the failure happened, or nothing is going on any more that could make it happen. */
static void run_batch(long n, batch *b)
{
    long before = atomic_load(&n_runs);
    int64_t until = rig_mono_ms() + 100;

    dq_alloc_fail_at(n);
    for (size_t i = 0; i < DQ_ARRAY_LEN(kinds); i++)
        b->accepted[i] = try_enqueue(kinds[i].payload, kinds[i].len, &b->ids[i]) == 0;
    while (dq_alloc_count() < n && !all_ran(b, before) && rig_mono_ms() < until)
        rig_pause();
    for (int i = 0; i < 5 && dq_alloc_count() < n; i++)
        rig_pause();
}

SCENARIO(each_job_ends_as_its_handler_said)
{
    dureq_node *node = NULL;
    dureq_error why = {0};
    bool over = false;
    long started = atomic_load(&n_runs), jobs = 0;

    memset(big, '1', sizeof big);
    EXPECT_RC(0, node_make(&node, &why));
    rig.nodes[rig.n_nodes++] = node;
    rig_start(node);
    for (long n = oom_first(4); !over && n < ROUNDS_MAX; n += oom_step(4)) {
        batch b;

        EXPECT_NOTE("allocation %ld fails", n);
        run_batch(n, &b);
        over = oom_is_over(n);
        for (size_t i = 0; i < DQ_ARRAY_LEN(kinds); i++) {
            if (!b.accepted[i])
                continue;
            jobs++;
            EXPECT_NOTE("allocation %ld fails, job %s of kind %zu", n, b.ids[i].text, i);
            RIG_UNTIL(ended_as(b.ids[i].text, kinds[i].state));
        }
    }
    EXPECT_TRUE(over);
    print_message("%ld jobs, %ld runs\n", jobs, atomic_load(&n_runs) - started);
    rig_doctor();
    RIG_OK(dureq_node_stop(node, &err));
}

/* A queue of its own for each failure: its lane is made while memory is out. */
static int enqueue_to(const char *queue, dureq_job_id *ret)
{
    dureq_job_options o = dureq_job_options_init();
    dureq_job_spec spec = {"work", DQ_STR_LIT("\"d\""), &o};
    int rc;

    o.queue = queue;
    rc = dureq_client_enqueue(rig.client, &spec, ret, NULL);
    EXPECT_TRUE(oom_is_fair(rc));
    return rc;
}

SCENARIO(a_lane_there_was_no_memory_for_is_served_all_the_same)
{
    dureq_queue_options q = dureq_queue_options_init();
    dureq_node *node = NULL;
    dureq_error why = {0};
    bool over = false;

    EXPECT_RC(0, node_make(&node, &why));
    rig.nodes[rig.n_nodes++] = node;
    rig_start(node);
    for (long n = oom_first(4); !over && n < ROUNDS_MAX; n += oom_step(4)) {
        char queue[24];
        dureq_job_id id;
        int rc;

        EXPECT_NOTE("allocation %ld fails", n);
        (void)snprintf(queue, sizeof queue, "q%ld", n);
        RIG_OK(dureq_client_set_queue(rig.client, queue, &q, false, NULL, &err));
        dq_alloc_fail_at(n);
        rc = enqueue_to(queue, &id);
        for (int i = 0; i < 20 && dq_alloc_count() < n; i++)
            rig_pause();
        over = oom_is_over(n);
        if (rc == 0)
            RIG_UNTIL(ended_as(id.text, DUREQ_JOB_COMPLETED));
    }
    EXPECT_TRUE(over);
    rig_doctor();
}

/* ---- stopping ---- */

SCENARIO(a_node_stops_cleanly)
{
    bool over = false;

    for (long n = oom_first(4); !over && n < ROUNDS_MAX; n += oom_step(4)) {
        dureq_node *node = NULL;
        dureq_error why = {0};
        int64_t began;
        int rc;

        EXPECT_NOTE("allocation %ld fails", n);
        EXPECT_RC(0, node_make(&node, &why));
        RIG_OK(dureq_node_start(node, &err));
        works();
        began = rig_mono_ms();
        dq_alloc_fail_at(n);
        rc = dureq_node_stop(node, &why);
        over = oom_is_over(n);
        if (!oom_is_fair(rc))
            print_error("%s\n", why.msg);
        EXPECT_TRUE(oom_is_fair(rc));
        EXPECT_TRUE(rig_mono_ms() - began < START_MS);
        dureq_node_destroy(node);
    }
    EXPECT_TRUE(over);
    rig_doctor();
}

RIG_MAIN()
