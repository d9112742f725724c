/* SPDX-License-Identifier: Apache-2.0 */
/* Time-outs of attempts: told, a grace, then abandoned; what a stuck handler holds, and that nothing else waits for it. */
#include "test_rig.h"

#include <stdatomic.h>

typedef struct hold {
    atomic_bool let_go;
    atomic_int entered, told, left;
} hold;

static void deaf_wait(hold *h)
{
    for (int i = 0; i < 5000 && !atomic_load(&h->let_go); i++)
        rig_pause();
}

/* Until `n` handlers have done with `h`, which is on the stack of the test. */
static void let_go(hold *h, int n)
{
    atomic_store(&h->let_go, true);
    RIG_UNTIL(atomic_load(&h->left) == n);
}

/* Sees that it is told and returns at once. */
static int polite(dureq_run *task, void *userdata)
{
    hold *h = userdata;

    atomic_fetch_add(&h->entered, 1);
    if (dureq_run_wait_cancelled(task, 8000))
        atomic_fetch_add(&h->told, 1);
    atomic_fetch_add(&h->left, 1);
    return 0;
}

/* Hears nothing until it is let go. */
static int deaf(dureq_run *task, void *userdata)
{
    hold *h = userdata;

    dureq_run_log(task, "began");
    atomic_fetch_add(&h->entered, 1);
    deaf_wait(h);
    atomic_fetch_add(&h->told, dureq_run_is_cancelled(task));
    (void)dureq_run_set_result(task, DQ_STR_LIT("late"), NULL);
    atomic_fetch_add(&h->left, 1);
    return 0;
}

static int fine(dureq_run *task, void *userdata)
{
    (void)task;
    (void)userdata;
    return 0;
}

typedef struct limits {
    int64_t timeout_ms, grace_ms, shutdown_ms;
    int32_t concurrency, threads;
} limits;

static dureq_node *node_with(dureq_handler_fn fn, hold *h, const limits *l)
{
    dureq_node_options o = rig_node_options("n");
    dureq_handler_options ho = dureq_handler_options_init();
    dureq_node *n;

    o.concurrency = l->concurrency ? l->concurrency : o.concurrency;
    o.threads = l->threads ? l->threads : o.threads;
    o.shutdown_timeout_ms = l->shutdown_ms ? l->shutdown_ms : o.shutdown_timeout_ms;
    n = rig_node_create(&o);
    ho.timeout_ms = l->timeout_ms;
    ho.grace_ms = l->grace_ms;
    rig_handle(n, "work", fn, h, &ho);
    rig_handle(n, "fine", fine, NULL, NULL);
    rig_start(n);
    return n;
}

static dureq_job_id enqueue(int32_t max_attempts, int64_t timeout_ms)
{
    dureq_job_options o = dureq_job_options_init();
    dureq_retry_policy p = {.struct_size = sizeof p, .max_attempts = max_attempts, .initial_delay_ms = -1};

    o.retry_policy = &p;
    o.timeout_ms = timeout_ms;
    return rig_enqueue("work", "1", &o);
}

/* Until all of them have returned: `h` is on the stack of the test. */
static void let_all_go(dureq_node *n, hold *h)
{
    atomic_store(&h->let_go, true);
    RIG_UNTIL(rig_stats(n).running == 0 && atomic_load(&h->left) == atomic_load(&h->entered));
}

/* A job that is dead and each of whose runs is stuck. A run that finds no thread in its time is not begun, as happens on a machine that is busy:
   then it is another job's turn. */
static dureq_job_id stuck_job(dureq_node *n, hold *h, int attempts)
{
    dureq_job_id id;
    int more;

    for (int i = 0; i < 20; i++) {
        int before = rig_stats(n).stuck;

        id = enqueue(attempts, 0);
        EXPECT_I64(DUREQ_JOB_DEAD, rig_wait(id.text)->state);
        EXPECT_I64(attempts, rig_job(id.text)->attempt);
        more = rig_stats(n).stuck - before;
        if (more == attempts)
            break;
        if (more > 0) {
            let_all_go(n, h);
            atomic_store(&h->let_go, false);
        }
    }
    EXPECT_I64(attempts, more);
    return id;
}

/* ---- told ---- */

SCENARIO(a_handler_is_told_at_its_time_and_the_attempt_is_spent)
{
    hold h = {0};
    dureq_node *n = node_with(polite, &h, &(limits){.timeout_ms = 300});
    dureq_job_id id = enqueue(2, 0);
    const dureq_job *j = rig_wait(id.text);

    EXPECT_I64(DUREQ_JOB_DEAD, j->state);
    EXPECT_I64(2, j->attempt);
    EXPECT_I64(2, atomic_load(&h.told));
    for (int i = 0; i < 2; i++) {
        int64_t ran_ms = j->attempts[i].finished_at_ms - j->attempts[i].started_at_ms;

        EXPECT_I64(DUREQ_OUTCOME_TIMED_OUT, j->attempts[i].outcome);
        EXPECT_RC(DUREQ_ETIMEOUT, j->attempts[i].code);
        EXPECT_NOTE("ran %lld ms", (long long)ran_ms);
        EXPECT_TRUE(ran_ms >= 200 && ran_ms < 1000);
    }
    EXPECT_HAS("timed out after", j->reason.ptr);
    EXPECT_I64(0, rig_stats(n).stuck);
    RIG_UNTIL(rig_stats(n).dead == 1); /* the waiter may know it before the node does */
    RIG_UNTIL(rig_stats(n).failed == 1);
}

SCENARIO(a_jobs_own_limit_goes_before_its_handlers)
{
    hold h = {0};
    dureq_job_id id;
    int64_t since = rig_mono_ms();

    (void)node_with(polite, &h, &(limits){.timeout_ms = 30000});
    id = enqueue(1, 80);
    EXPECT_I64(DUREQ_JOB_DEAD, rig_wait(id.text)->state);
    EXPECT_TRUE(rig_mono_ms() - since < 5000);
    EXPECT_I64(80, rig_job(id.text)->timeout_ms);
}

/* The time counts from when the job was given to the pool, what it ran from when a thread had it. */
SCENARIO(many_deadlines_are_each_kept)
{
    enum { N = 24 };
    hold h = {0};
    dureq_job_id ids[N];

    (void)node_with(polite, &h, &(limits){.concurrency = N});
    for (int i = 0; i < N; i++)
        ids[i] = enqueue(1, 60 + (i * 37) % N * 15);
    for (int i = 0; i < N; i++) {
        const dureq_job *j = rig_wait(ids[i].text);
        int64_t ran_ms = j->finished_at_ms - j->started_at_ms, wanted_ms = 60 + (i * 37) % N * 15;

        EXPECT_NOTE("job %d: %lld ms", i, (long long)ran_ms);
        EXPECT_I64(DUREQ_OUTCOME_TIMED_OUT, j->attempts[0].outcome);
        EXPECT_TRUE(ran_ms >= wanted_ms / 3 && ran_ms < wanted_ms + 800);
    }
    EXPECT_I64(N, atomic_load(&h.told));
}

/* ---- abandoned ---- */

SCENARIO(a_deaf_handler_is_abandoned_behind_its_grace)
{
    hold h = {0};
    dureq_node *n = node_with(deaf, &h, &(limits){.timeout_ms = 80, .grace_ms = 120});
    dureq_job_id id = stuck_job(n, &h, 1);
    const dureq_job *j = rig_job(id.text);
    size_t len = 0;
    char *log = NULL;

    EXPECT_I64(DUREQ_JOB_DEAD, j->state);
    EXPECT_I64(1, j->attempt);
    EXPECT_I64(DUREQ_OUTCOME_TIMED_OUT, j->attempts[0].outcome);
    EXPECT_TRUE(j->finished_at_ms - j->started_at_ms >= 195);
    EXPECT_I64(1, rig_stats(n).stuck);
    EXPECT_I64(0, atomic_load(&h.left));
    RIG_OK(dureq_client_get_logs(rig.client, id.text, &log, &len, &err));
    EXPECT_HAS("Z 1 began\n", log);
    EXPECT_U64(len, strcspn(log, "\n") + 1);
    dureq_free(log);
    let_go(&h, 1);
    RIG_UNTIL(rig_stats(n).stuck == 0);
    EXPECT_I64(1, atomic_load(&h.told));
    EXPECT_I64(DUREQ_JOB_DEAD, rig_job(id.text)->state);
    EXPECT_U64(0, rig_job(id.text)->result.len);
}

SCENARIO(an_abandoned_attempt_is_tried_again_elsewhere_in_the_pool)
{
    hold h = {0};
    dureq_node *n = node_with(deaf, &h, &(limits){.timeout_ms = 60, .grace_ms = 60});

    (void)stuck_job(n, &h, 3);
    EXPECT_I64(3, rig_stats(n).stuck);
    let_all_go(n, &h);
    EXPECT_I64(0, rig_stats(n).stuck);
}

/* As everybody sees it. */
static int n_stuck_shown(void)
{
    dureq_node_list *list = NULL;
    int n = 0;

    RIG_OK(dureq_client_list_nodes(rig.client, &list, &err));
    for (size_t i = 0; i < list->n; i++)
        n += list->items[i].stuck;
    dureq_node_list_destroy(list);
    return n;
}

SCENARIO(a_stuck_slot_is_taken_until_the_handler_returns)
{
    hold h = {0};
    dureq_node *n = node_with(deaf, &h, &(limits){.timeout_ms = 60, .grace_ms = 60, .concurrency = 2});
    dureq_job_id other;

    (void)stuck_job(n, &h, 1);
    other = rig_enqueue("fine", "1", NULL); /* the other slot works */
    EXPECT_I64(DUREQ_JOB_COMPLETED, rig_wait(other.text)->state);
    (void)stuck_job(n, &h, 1);
    EXPECT_I64(2, rig_stats(n).stuck);
    RIG_UNTIL(n_stuck_shown() == 2);
    other = rig_enqueue("fine", "1", NULL);
    int64_t since = rig_mono_ms();
    RIG_UNTIL(rig_mono_ms() - since > 300);
    EXPECT_I64(DUREQ_JOB_PENDING, rig_state(other.text));
    let_go(&h, 2);
    EXPECT_I64(DUREQ_JOB_COMPLETED, rig_wait(other.text)->state);
    RIG_UNTIL(rig_stats(n).stuck == 0);
}

SCENARIO(a_cancelled_handler_that_is_deaf_is_abandoned_too)
{
    hold h = {0};
    dureq_node *n = node_with(deaf, &h, &(limits){.grace_ms = 80});
    dureq_job_id id = enqueue(1, 0);

    RIG_UNTIL(atomic_load(&h.entered) == 1);
    RIG_OK(dureq_client_cancel(rig.client, id.text, NULL, &err));
    RIG_UNTIL(rig_stats(n).stuck == 1);
    EXPECT_I64(DUREQ_JOB_CANCELLED, rig_state(id.text));
    let_go(&h, 1);
    RIG_UNTIL(rig_stats(n).stuck == 0);
    EXPECT_I64(DUREQ_JOB_CANCELLED, rig_state(id.text));
}

/* ---- and the node's end ---- */

/* What a handler holds that has not returned when its node is stopped is left to it, and with it all that its node's threads made. */
DUREQ_API const char *__lsan_default_suppressions(void); /* NOLINT(bugprone-reserved-identifier): what the leak checker asks */
const char *__lsan_default_suppressions(void)            /* NOLINT(bugprone-reserved-identifier) */
{
    return "leak:loop_thread_main\nleak:on_socket\nleak:dureq_node_start\nleak:dq_run_call\n";
}

SCENARIO(a_node_stops_although_a_handler_is_stuck)
{
    static hold h; /* the handler outlives the node */
    dureq_node *n;
    int left_before = atomic_load(&h.left);
    int64_t since;

    atomic_store(&h.let_go, false);
    n = node_with(deaf, &h, &(limits){.timeout_ms = 60, .grace_ms = 60});
    (void)stuck_job(n, &h, 1);
    since = rig_mono_ms();
    RIG_OK(dureq_node_stop(n, &err));
    EXPECT_TRUE(rig_mono_ms() - since < 2000);
    atomic_store(&h.let_go, true);
    RIG_UNTIL(atomic_load(&h.left) == left_before + 1);
}

SCENARIO(a_node_stops_although_a_cancelled_handler_is_deaf)
{
    static hold h;
    dureq_node *n;
    dureq_job_id id;
    int entered_before = atomic_load(&h.entered), left_before = atomic_load(&h.left);
    int64_t since;

    atomic_store(&h.let_go, false);
    n = node_with(deaf, &h, &(limits){.grace_ms = 600, .shutdown_ms = 50});
    id = enqueue(1, 0);
    RIG_UNTIL(atomic_load(&h.entered) == entered_before + 1);
    RIG_OK(dureq_client_cancel(rig.client, id.text, NULL, &err));
    RIG_UNTIL(rig_stats(n).cancelled == 1);
    since = rig_mono_ms();
    RIG_OK(dureq_node_stop(n, &err));
    EXPECT_TRUE(rig_mono_ms() - since < 3000);
    atomic_store(&h.let_go, true);
    RIG_UNTIL(atomic_load(&h.left) == left_before + 1);
}

/* ---- more slots than threads ---- */

SCENARIO(a_job_that_found_no_thread_in_its_time_is_not_begun)
{
    hold h = {0};
    dureq_job_id first, second;
    const dureq_job *j;

    (void)node_with(deaf, &h, &(limits){.concurrency = 2, .threads = 1, .grace_ms = 50});
    first = enqueue(1, 0);
    RIG_UNTIL(atomic_load(&h.entered) == 1);
    second = enqueue(1, 100);
    j = rig_wait(second.text);
    EXPECT_I64(DUREQ_JOB_DEAD, j->state);
    EXPECT_I64(DUREQ_OUTCOME_TIMED_OUT, j->attempts[0].outcome);
    let_go(&h, 1);
    EXPECT_I64(DUREQ_JOB_COMPLETED, rig_wait(first.text)->state);
    (void)rig_wait(rig_enqueue("fine", "1", NULL).text); /* after whatever the pool had */
    EXPECT_I64(1, atomic_load(&h.entered));
}

SCENARIO(a_stop_gives_back_what_found_no_thread)
{
    hold h = {0};
    dureq_node *n = node_with(polite, &h, &(limits){.concurrency = 2, .threads = 1, .shutdown_ms = 300});
    dureq_job_id first = enqueue(1, 0), second;

    RIG_UNTIL(atomic_load(&h.entered) == 1);
    second = enqueue(1, 0);
    RIG_UNTIL(rig_stats(n).running == 2);
    EXPECT_RC(0, dureq_node_stop(n, NULL));
    EXPECT_I64(1, atomic_load(&h.entered));
    EXPECT_I64(1, atomic_load(&h.left));
    EXPECT_I64(DUREQ_JOB_COMPLETED, rig_state(first.text));
    EXPECT_I64(DUREQ_JOB_PENDING, rig_state(second.text));
}

RIG_MAIN()
