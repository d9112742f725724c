/* SPDX-License-Identifier: Apache-2.0 */
/* What an attempt's end makes of its job: every outcome and what it spends, the retry policy, what is kept of each attempt. */
#include "test_rig.h"

/* The payload says how each run is to end, a letter a run; the number of the run is the end of the run id. */
static int act(dureq_run *task, void *userdata)
{
    dureq_str plan = dureq_run_payload(task), none = {0};
    size_t run = strtoul(dureq_run_id(task) + DUREQ_JOB_ID_LEN + 1, NULL, 10);

    (void)userdata;
    switch (run <= plan.len ? plan.ptr[run - 1] : '?') {
    case 'd': return 0;
    case 'n': return DUREQ_EIO;
    case 'r': return dureq_run_retry_detail(task, 7, "broken: no route", dureq_str_from("at line 3"));
    case 'f': return dureq_run_fail_detail(task, 8, "hopeless", dureq_str_from("at line 4"));
    case 'l': return dureq_run_rate_limited(task, 1, "slow down");
    case 'L': return dureq_run_rate_limited(task, 0, NULL);
    case 's': return dureq_run_skip(task, "nothing to do");
    case 'p': return dureq_run_pause(task, 0, "ask a human");
    case 'P': return dureq_run_pause(task, 150, "for a while");
    case 'a': return dureq_run_repeat(task, 0, none);
    case 'b': return dureq_run_repeat_limited(task, 0, none, 2);
    case 'A': return dureq_run_repeat(task, 100, none);
    case 'c': return dureq_run_repeat(task, 0, dureq_str_from("??d"));
    default: return dureq_run_fail_detail(task, 99, "ran too often", none);
    }
}

static dureq_retry_policy quick(int32_t max_attempts)
{
    dureq_retry_policy p = dureq_retry_policy_init();

    p.max_attempts = max_attempts;
    p.initial_delay_ms = -1;
    p.jitter = -1;
    return p;
}

static dureq_job_id start(const char *plan, const dureq_retry_policy *policy)
{
    dureq_job_options o = dureq_job_options_init();

    o.retry_policy = policy;
    return rig_enqueue("act", plan, &o);
}

static const dureq_job *run(const char *plan, int32_t max_attempts)
{
    dureq_retry_policy p = quick(max_attempts);
    dureq_job_id id = start(plan, &p);

    return rig_wait(id.text);
}

static void node(void)
{
    (void)rig_node("n", "act", act, NULL);
}

/* ---- outcomes ---- */

SCENARIO(done_completes_and_counts_one_attempt)
{
    const dureq_job *j;

    node();
    j = run("d", 3);
    EXPECT_I64(DUREQ_JOB_COMPLETED, j->state);
    EXPECT_I64(1, j->attempt);
    EXPECT_I64(1, j->runs);
    EXPECT_U64(1, j->n_attempts);
    EXPECT_I64(DUREQ_OUTCOME_DONE, j->attempts[0].outcome);
    EXPECT_STR_TEXT("n", j->attempts[0].node_id);
    EXPECT_U64(0, j->last_error.len);
    EXPECT_FALSE(j->skipped);
}

SCENARIO(a_failure_is_tried_again_and_kept_with_all_that_was_said)
{
    const dureq_job *j;
    const dureq_attempt *a;

    node();
    j = run("rd", 3);
    EXPECT_I64(DUREQ_JOB_COMPLETED, j->state);
    EXPECT_I64(2, j->attempt);
    EXPECT_I64(2, j->runs);
    EXPECT_U64(2, j->n_attempts);
    a = &j->attempts[0];
    EXPECT_I64(1, a->attempt);
    EXPECT_I64(DUREQ_OUTCOME_RETRY, a->outcome);
    EXPECT_I64(7, a->code);
    EXPECT_STR_TEXT("broken: no route", a->error);
    EXPECT_STR_TEXT("at line 3", a->detail);
    EXPECT_STR_TEXT("n", a->node_id);
    EXPECT_TRUE(a->started_at_ms >= j->created_at_ms - 5 && a->started_at_ms <= a->finished_at_ms);
    EXPECT_I64(2, j->attempts[1].attempt);
    EXPECT_I64(DUREQ_OUTCOME_DONE, j->attempts[1].outcome);
    EXPECT_STR_TEXT("broken: no route", j->last_error);
}

SCENARIO(a_returned_code_is_a_failure_with_the_text_of_the_code)
{
    const dureq_job *j;

    node();
    j = run("nn", 2);
    EXPECT_I64(DUREQ_JOB_DEAD, j->state);
    EXPECT_U64(2, j->n_attempts);
    EXPECT_RC(DUREQ_EIO, j->attempts[0].code);
    EXPECT_STR_TEXT("a system call failed (EIO)", j->attempts[0].error);
    EXPECT_I64(DUREQ_OUTCOME_RETRY, j->attempts[1].outcome);
}

SCENARIO(the_last_attempt_that_fails_makes_the_job_dead)
{
    const dureq_job *j;

    node();
    j = run("rrr", 3);
    EXPECT_I64(DUREQ_JOB_DEAD, j->state);
    EXPECT_I64(3, j->attempt);
    EXPECT_I64(3, j->runs);
    EXPECT_U64(3, j->n_attempts);
    EXPECT_STR_TEXT("broken: no route", j->reason);
    EXPECT_STR_TEXT("broken: no route", j->last_error);
    EXPECT_STR_TEXT("at line 3", j->attempts[2].detail);
    EXPECT_I64(1, rig_counts().dead);
}

SCENARIO(a_final_failure_is_dead_at_once)
{
    const dureq_job *j;

    node();
    j = run("f", 3);
    EXPECT_I64(DUREQ_JOB_DEAD, j->state);
    EXPECT_I64(1, j->attempt);
    EXPECT_U64(1, j->n_attempts);
    EXPECT_I64(DUREQ_OUTCOME_FAIL, j->attempts[0].outcome);
    EXPECT_I64(8, j->attempts[0].code);
    EXPECT_STR_TEXT("hopeless", j->reason);
    EXPECT_STR_TEXT("at line 4", j->attempts[0].detail);
}

SCENARIO(rate_limited_runs_spend_no_attempt)
{
    const dureq_job *j;

    node();
    j = run("lLlrld", 2);
    EXPECT_I64(DUREQ_JOB_COMPLETED, j->state);
    EXPECT_I64(6, j->runs);
    EXPECT_I64(2, j->attempt);
    EXPECT_U64(6, j->n_attempts);
    EXPECT_I64(DUREQ_OUTCOME_RATE_LIMITED, j->attempts[0].outcome);
    EXPECT_STR_TEXT("slow down", j->attempts[0].error);
}

SCENARIO(a_skipped_job_is_completed_with_the_reason_and_without_an_attempt)
{
    const dureq_job *j;

    node();
    j = run("s", 3);
    EXPECT_I64(DUREQ_JOB_COMPLETED, j->state);
    EXPECT_TRUE(j->skipped);
    EXPECT_STR_TEXT("nothing to do", j->reason);
    EXPECT_I64(0, j->attempt);
    EXPECT_I64(1, j->runs);
    EXPECT_I64(DUREQ_OUTCOME_SKIP, j->attempts[0].outcome);
}

SCENARIO(a_paused_job_waits_until_it_is_resumed)
{
    dureq_retry_policy p = quick(1);
    dureq_job_id id;
    const dureq_job *j;

    node();
    id = start("pd", &p);
    RIG_UNTIL(rig_state(id.text) == DUREQ_JOB_PAUSED);
    j = rig_job(id.text);
    EXPECT_STR_TEXT("ask a human", j->reason);
    EXPECT_I64(0, j->attempt);
    EXPECT_I64(0, j->resume_at_ms);
    RIG_OK(dureq_client_resume(rig.client, id.text, &err));
    j = rig_wait(id.text);
    EXPECT_I64(DUREQ_JOB_COMPLETED, j->state);
    EXPECT_I64(1, j->attempt);
    EXPECT_I64(DUREQ_OUTCOME_PAUSE, j->attempts[0].outcome);
}

SCENARIO(a_job_paused_for_a_time_goes_on_by_itself)
{
    const dureq_job *j;

    node();
    j = run("Pd", 1);
    EXPECT_I64(DUREQ_JOB_COMPLETED, j->state);
    EXPECT_I64(1, j->attempt);
    EXPECT_TRUE(j->attempts[1].started_at_ms >= j->attempts[0].finished_at_ms + 145);
}

SCENARIO(repeat_counts_attempts_anew)
{
    const dureq_job *j;

    node();
    j = run("rarad", 2);
    EXPECT_I64(DUREQ_JOB_COMPLETED, j->state);
    EXPECT_I64(5, j->runs);
    EXPECT_I64(1, j->attempt);
    j = run("rarr", 2);
    EXPECT_I64(DUREQ_JOB_DEAD, j->state);
    EXPECT_I64(2, j->attempt);
}

SCENARIO(repeat_ends_at_its_limit)
{
    dureq_job_id id;
    const dureq_job *j;

    node();
    EXPECT_I64(DUREQ_JOB_COMPLETED, run("bbd", 1)->state);
    id = start("bbbbb", NULL);
    j = rig_wait(id.text);
    EXPECT_I64(DUREQ_JOB_DEAD, j->state);
    EXPECT_I64(3, j->runs);
    EXPECT_STR_TEXT("repeated 2 times, which is its limit", j->attempts[2].error);
    RIG_OK(dureq_client_retry(rig.client, id.text, false, &err)); /* from 0 */
    RIG_UNTIL(rig_state(id.text) == DUREQ_JOB_DEAD && rig_job(id.text)->runs == 6);
}

SCENARIO(repeat_after_a_delay_waits_for_it)
{
    const dureq_job *j;

    node();
    j = run("Ad", 1);
    EXPECT_I64(DUREQ_JOB_COMPLETED, j->state);
    EXPECT_TRUE(j->attempts[1].started_at_ms >= j->attempts[0].finished_at_ms + 95);
}

SCENARIO(repeat_with_a_new_payload_goes_on_from_it)
{
    const dureq_job *j;

    node();
    j = run("rc", 2);
    EXPECT_I64(DUREQ_JOB_COMPLETED, j->state);
    EXPECT_STR_TEXT("??d", j->payload);
    EXPECT_I64(3, j->runs);
}

/* ---- the policy ---- */

SCENARIO(a_substring_of_the_error_makes_it_final)
{
    static const char *const finals[] = {"no such table", "no route"};
    dureq_retry_policy p = quick(5);
    dureq_job_id id;

    node();
    p.non_retryable_errors = finals;
    p.n_non_retryable_errors = 1;
    id = start("rd", &p);
    EXPECT_I64(DUREQ_JOB_COMPLETED, rig_wait(id.text)->state);
    p.n_non_retryable_errors = 2;
    id = start("rd", &p);
    EXPECT_I64(DUREQ_JOB_DEAD, rig_wait(id.text)->state);
    EXPECT_I64(1, rig_job(id.text)->attempt);
}

SCENARIO(errors_in_a_row_pause_the_job_and_resuming_counts_anew)
{
    dureq_retry_policy p = quick(10);
    dureq_job_id id;
    const dureq_job *j;

    node();
    p.pause_after_err_count = 2;
    id = start("rrrd", &p);
    RIG_UNTIL(rig_state(id.text) == DUREQ_JOB_PAUSED);
    j = rig_job(id.text);
    EXPECT_I64(2, j->attempt);
    EXPECT_STR_TEXT("broken: no route", j->reason);
    RIG_OK(dureq_client_resume(rig.client, id.text, &err));
    j = rig_wait(id.text);
    EXPECT_I64(DUREQ_JOB_COMPLETED, j->state);
    EXPECT_I64(4, j->attempt);
}

SCENARIO(a_pause_by_errors_ends_by_itself_when_the_policy_says_so)
{
    dureq_retry_policy p = quick(10);
    dureq_job_id id;
    const dureq_job *j;

    node();
    p.pause_after_err_count = 1;
    p.pause_retry_delay_ms = 120;
    id = start("rd", &p);
    j = rig_wait(id.text);
    EXPECT_I64(DUREQ_JOB_COMPLETED, j->state);
    EXPECT_TRUE(j->attempts[1].started_at_ms >= j->attempts[0].finished_at_ms + 115);
}

SCENARIO(a_pause_goes_before_attempts_that_are_used_up)
{
    dureq_retry_policy p = quick(2);
    dureq_job_id id;

    node();
    p.pause_after_err_count = 2;
    id = start("rr", &p);
    RIG_UNTIL(rig_state(id.text) == DUREQ_JOB_PAUSED);
    EXPECT_I64(2, rig_job(id.text)->attempt);
}

SCENARIO(delays_grow_by_the_factor_up_to_the_cap)
{
    static const int64_t wanted_ms[] = {60, 180, 200};
    dureq_retry_policy p = quick(4);
    dureq_job_id id;
    const dureq_job *j;

    node();
    p.initial_delay_ms = 60;
    p.multiplier = 3;
    p.max_delay_ms = 200;
    id = start("rrrd", &p);
    j = rig_wait(id.text);
    EXPECT_I64(DUREQ_JOB_COMPLETED, j->state);
    for (size_t i = 0; i < DQ_ARRAY_LEN(wanted_ms); i++) {
        int64_t waited = j->attempts[i + 1].started_at_ms - j->attempts[i].finished_at_ms;

        EXPECT_NOTE("delay %zu took %lld ms", i, (long long)waited);
        EXPECT_TRUE(waited >= wanted_ms[i] - 2);
        EXPECT_TRUE(waited < wanted_ms[i] + 1000);
    }
}

SCENARIO(a_job_that_waits_for_its_next_attempt_says_when)
{
    dureq_retry_policy p = dureq_retry_policy_init();
    dureq_job_id id;
    const dureq_job *j;
    int64_t delay;

    node();
    p.jitter = -1;
    id = start("r", &p);
    RIG_UNTIL(rig_state(id.text) == DUREQ_JOB_RETRYING);
    j = rig_job(id.text);
    delay = j->run_at_ms - j->attempts[0].finished_at_ms;
    EXPECT_TRUE(delay >= 5000 && delay < 5500); /* the default of 5 s */
    EXPECT_I64(3, j->max_attempts);
}

SCENARIO(the_jobs_policy_goes_before_the_handlers_and_that_before_the_queues)
{
    dureq_node_options o = rig_node_options("n");
    dureq_handler_options h = dureq_handler_options_init();
    dureq_queue_options q = dureq_queue_options_init();
    dureq_retry_policy by_job = quick(1), by_handler = quick(2), by_queue = quick(4);
    dureq_job_options at = dureq_job_options_init();
    dureq_node *n = rig_node_create(&o);
    dureq_job_id id;

    q.retry_policy = &by_queue;
    RIG_OK(dureq_client_set_queue(rig.client, "own", &q, false, NULL, &err));
    h.retry_policy = &by_handler;
    rig_handle(n, "act", act, NULL, &h);
    rig_handle(n, "bare", act, NULL, NULL);
    rig_start(n);
    at.queue = "own";
    id = rig_enqueue("bare", "rrrrd", &at);
    EXPECT_I64(4, rig_wait(id.text)->attempt);
    id = rig_enqueue("act", "rrrrd", &at);
    EXPECT_I64(2, rig_wait(id.text)->attempt);
    EXPECT_I64(0, rig_job(id.text)->max_attempts); /* not the job's to tell */
    at.dlq_after = 3;
    id = rig_enqueue("act", "rrrrd", &at);
    EXPECT_I64(3, rig_job(id.text)->max_attempts);
    at.dlq_after = 0;
    at.retry_policy = &by_job;
    id = rig_enqueue("act", "rrrrd", &at);
    EXPECT_I64(1, rig_wait(id.text)->attempt);
    EXPECT_I64(1, rig_job(id.text)->max_attempts);
}

SCENARIO(dlq_after_lowers_the_attempts)
{
    dureq_job_options o = dureq_job_options_init();
    dureq_retry_policy p = quick(5);
    dureq_job_id id;

    node();
    o.retry_policy = &p;
    o.dlq_after = 2;
    id = rig_enqueue("act", "rrd", &o);
    EXPECT_I64(DUREQ_JOB_DEAD, rig_wait(id.text)->state);
    EXPECT_I64(2, rig_job(id.text)->attempt);
    o.dlq_after = 9; /* does not raise them */
    id = rig_enqueue("act", "rrrrrd", &o);
    EXPECT_I64(5, rig_wait(id.text)->attempt);
}

/* ---- what is kept ---- */

static int say_much(dureq_run *task, void *userdata)
{
    static char text[20000];
    dureq_str detail = dureq_str_of(text, sizeof text);

    (void)userdata;
    memset(text, 'x', sizeof text - 1);
    return dureq_run_fail_detail(task, 0, text, detail);
}

SCENARIO(long_messages_and_details_are_cut_and_not_refused)
{
    dureq_job_id id;
    const dureq_job *j;

    (void)rig_node("n", "much", say_much, NULL);
    id = rig_enqueue("much", "1", NULL);
    j = rig_wait(id.text);
    EXPECT_I64(DUREQ_JOB_DEAD, j->state);
    EXPECT_U64(8192, j->attempts[0].detail.len);
    EXPECT_TRUE(j->attempts[0].error.len >= 240 && j->attempts[0].error.len < 20000);
    EXPECT_RC(DUREQ_EHANDLER, j->attempts[0].code);
}

SCENARIO(a_job_that_fails_for_ever_keeps_its_last_attempts_only)
{
    char plan[301];
    const dureq_job *j;

    memset(plan, 'r', sizeof plan - 1);
    plan[sizeof plan - 1] = '\0';
    node();
    j = run(plan, 300);
    EXPECT_I64(DUREQ_JOB_DEAD, j->state);
    EXPECT_I64(300, j->attempt);
    EXPECT_TRUE(j->n_attempts >= 10 && j->n_attempts <= 300);
    EXPECT_I64(300, j->attempts[j->n_attempts - 1].attempt);
}

SCENARIO(a_retried_job_comes_back_before_the_backlog)
{
    dureq_node_options o = rig_node_options("n");
    dureq_retry_policy p = quick(3);
    dureq_node *n = rig_node_create(&o);
    dureq_job_id first, last = {{0}};

    RIG_OK(dureq_client_pause_queue(rig.client, "normal", &err));
    first = start("rd", &p);
    for (int i = 0; i < 500; i++)
        last = start("d", &p);
    rig_handle(n, "act", act, NULL, NULL);
    rig_start(n);
    RIG_OK(dureq_client_resume_queue(rig.client, "normal", &err));
    RIG_UNTIL(rig_counts().completed == 501);
    if (rig.shards == 1) /* else they may be in two shards, whose turns are free */
        EXPECT_TRUE(rig_job(first.text)->finished_at_ms <= rig_job(last.text)->finished_at_ms);
    EXPECT_I64(2, rig_job(first.text)->attempt);
}

RIG_MAIN()
