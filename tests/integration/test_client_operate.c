/* SPDX-License-Identifier: Apache-2.0 */
/* What an operator may do to a job in which state; what it does; and that it is refused everywhere else. */
#include "test_rig.h"

#include <stdatomic.h>
#include <stdlib.h>

static atomic_bool let_go;

static int act(dureq_run *task, void *userdata)
{
    dureq_str p = dureq_run_payload(task);

    (void)userdata;
    if (dq_str_eq_text(p, "die"))
        return dureq_run_fail(task, 1, "died");
    if (dq_str_eq_text(p, "again"))
        return dureq_run_rate_limited(task, 3600000, "in an hour");
    if (dq_str_eq_text(p, "stay"))
        for (int i = 0; i < 3000 && !atomic_load(&let_go) && !dureq_run_is_cancelled(task); i++)
            rig_pause();
    return 0;
}

/* ---- every verb in every state ---- */

enum { N_STATES = 8 };

typedef int (*verb_fn)(const char *id, dureq_error *err);

static int do_cancel(const char *id, dureq_error *err)
{
    return dureq_client_cancel(rig.client, id, NULL, err);
}

static int do_retry(const char *id, dureq_error *err)
{
    return dureq_client_retry(rig.client, id, false, err);
}

static int do_force(const char *id, dureq_error *err)
{
    return dureq_client_retry(rig.client, id, true, err);
}

static int do_delete(const char *id, dureq_error *err)
{
    return dureq_client_delete(rig.client, id, err);
}

static int do_run_now(const char *id, dureq_error *err)
{
    return dureq_client_run_now(rig.client, id, err);
}

static int do_reschedule(const char *id, dureq_error *err)
{
    return dureq_client_reschedule(rig.client, id, rig_server_ms() + 3600000, err);
}

static int do_pause(const char *id, dureq_error *err)
{
    return dureq_client_pause(rig.client, id, err);
}

static int do_resume(const char *id, dureq_error *err)
{
    return dureq_client_resume(rig.client, id, err);
}

static int do_update(const char *id, dureq_error *err)
{
    return dureq_client_update_payload(rig.client, id, DQ_STR_LIT("new"), NULL, err);
}

#define NO   (-2) /* refused */
#define GONE (-1)

/* What the job is behind it, by the state before it, in the order of dureq_job_state. `any`: pending or further. */
static const struct {
    const char *name;
    verb_fn fn;
    int after[N_STATES];
} verbs[] = {
    {"cancel", do_cancel, {7, 7, 7, 7, 7, NO, NO, NO}},     {"retry", do_retry, {NO, NO, NO, NO, NO, NO, 0, 0}},
    {"force", do_force, {NO, NO, NO, NO, NO, 0, 0, 0}},     {"delete", do_delete, {NO, NO, NO, NO, NO, GONE, GONE, GONE}},
    {"run now", do_run_now, {0, 0, NO, 0, NO, NO, NO, NO}}, {"reschedule", do_reschedule, {1, 1, NO, 3, NO, NO, NO, NO}},
    {"pause", do_pause, {4, 4, NO, 4, NO, NO, NO, NO}},     {"resume", do_resume, {NO, NO, NO, NO, 0, NO, NO, NO}},
    {"update", do_update, {0, 1, NO, 3, 4, NO, NO, NO}},
};

/* A job in that state. Nothing but what "act" runs leaves it by itself: others wait in a queue that is paused. */
static dureq_job_id job_in(int state)
{
    static const char *const payloads[] = {"1", "1", "stay", "again", "1", "1", "die", "1"};
    dureq_job_options o = dureq_job_options_init();
    dureq_job_id id;

    o.queue = state == DUREQ_JOB_PENDING || state == DUREQ_JOB_PAUSED || state == DUREQ_JOB_CANCELLED ? "low" : "high";
    o.delay_ms = state == DUREQ_JOB_SCHEDULED ? 3600000 : 0;
    id = rig_enqueue("act", payloads[state], &o);
    if (state == DUREQ_JOB_PAUSED)
        RIG_OK(do_pause(id.text, &err));
    if (state == DUREQ_JOB_CANCELLED)
        RIG_OK(do_cancel(id.text, &err));
    RIG_UNTIL(rig_state(id.text) == state);
    return id;
}

static void start_node(void)
{
    dureq_node_options o = rig_node_options("n");
    dureq_node *n;

    atomic_store(&let_go, false);
    o.concurrency = 32;
    n = rig_node_create(&o);
    rig_handle(n, "act", act, NULL, NULL);
    rig_start(n);
    RIG_OK(dureq_client_pause_queue(rig.client, "low", &err));
}

/* Retried and run now, a job of an open queue goes on at once. */
static bool may_be(int wanted, int is)
{
    return is == wanted || (wanted == DUREQ_JOB_PENDING && is != -1 && is != DUREQ_JOB_CANCELLED);
}

SCENARIO(each_verb_does_its_work_or_is_refused_by_the_state)
{
    start_node();
    for (size_t v = 0; v < DQ_ARRAY_LEN(verbs); v++)
        for (int state = 0; state < N_STATES; state++) {
            dureq_job_id id = job_in(state);
            dureq_error err = {0};
            int wanted = verbs[v].after[state], rc = verbs[v].fn(id.text, &err);

            EXPECT_NOTE("%s in state %s", verbs[v].name, dureq_job_state_to_str((dureq_job_state)state));
            EXPECT_RC(wanted == NO ? DUREQ_ECONFLICT : 0, rc);
            if (wanted == NO)
                EXPECT_HAS(id.text, err.msg);
            EXPECT_TRUE(may_be(wanted == NO ? state : wanted, rig_state(id.text)));
        }
    atomic_store(&let_go, true);
}

SCENARIO(verbs_on_a_job_that_is_not_there_say_so)
{
    dureq_job_id id = rig_enqueue("t", "1", NULL);

    RIG_OK(dureq_client_cancel(rig.client, id.text, NULL, &err));
    RIG_OK(dureq_client_delete(rig.client, id.text, &err));
    for (size_t v = 0; v < DQ_ARRAY_LEN(verbs); v++) {
        EXPECT_NOTE("%s", verbs[v].name);
        RIG_FAILS(DUREQ_ENOTFOUND, id.text, verbs[v].fn(id.text, &err));
        RIG_FAILS(DUREQ_EINVAL, "job id", verbs[v].fn("0123", &err));
        RIG_FAILS(DUREQ_EINVAL, "job id", verbs[v].fn("zzzzzzzzzzzzzzzzzzzz", &err));
    }
}

/* ---- what they do ---- */

SCENARIO(a_dead_job_starts_anew_with_its_history)
{
    dureq_job_id id;
    const dureq_job *j;

    start_node();
    id = rig_enqueue("act", "die", NULL);
    EXPECT_I64(DUREQ_JOB_DEAD, rig_wait(id.text)->state);
    RIG_OK(dureq_client_retry(rig.client, id.text, false, &err));
    RIG_UNTIL(rig_state(id.text) == DUREQ_JOB_DEAD && rig_job(id.text)->runs == 2);
    j = rig_job(id.text);
    EXPECT_I64(1, j->attempt);
    EXPECT_U64(2, j->n_attempts);
    EXPECT_I64(2, j->attempts[1].attempt);
    EXPECT_I64(1, rig_counts().dead);
}

SCENARIO(runs_of_a_completed_job_go_on_when_it_is_forced)
{
    dureq_job_id id;
    const dureq_job *j;

    start_node();
    id = rig_enqueue("act", "1", NULL);
    EXPECT_I64(DUREQ_JOB_COMPLETED, rig_wait(id.text)->state);
    for (int run = 2; run <= 4; run++) {
        RIG_OK(dureq_client_retry(rig.client, id.text, true, &err));
        j = rig_wait(id.text);
        EXPECT_I64(DUREQ_JOB_COMPLETED, j->state);
        EXPECT_I64(run, j->runs);
        EXPECT_I64(1, j->attempt);
        EXPECT_U64((uint64_t)run, j->n_attempts);
        for (int i = 0; i < run; i++) {
            EXPECT_I64(i + 1, j->attempts[i].attempt);
            EXPECT_I64(DUREQ_OUTCOME_DONE, j->attempts[i].outcome);
            EXPECT_STR_TEXT("n", j->attempts[i].node_id);
            EXPECT_TRUE(j->attempts[i].started_at_ms >= j->created_at_ms - 5 &&
                        j->attempts[i].finished_at_ms <= j->finished_at_ms + 5);
        }
    }
    EXPECT_I64(1, rig_counts().completed);
}

SCENARIO(a_job_cancelled_while_it_ran_has_a_new_run_id_when_retried)
{
    dureq_job_id id;
    const dureq_job *j;

    start_node();
    id = rig_enqueue("act", "stay", NULL);
    RIG_UNTIL(rig_state(id.text) == DUREQ_JOB_RUNNING && rig_job(id.text)->started_at_ms > 0);
    RIG_OK(dureq_client_cancel(rig.client, id.text, "stop it", &err));
    EXPECT_STR_TEXT("stop it", rig_job(id.text)->reason);
    EXPECT_I64(1, rig_job(id.text)->runs);
    atomic_store(&let_go, true);
    RIG_OK(dureq_client_retry(rig.client, id.text, false, &err));
    j = rig_wait(id.text);
    EXPECT_I64(DUREQ_JOB_COMPLETED, j->state);
    EXPECT_I64(2, j->runs);
    EXPECT_I64(DUREQ_OUTCOME_CANCELLED, j->attempts[0].outcome);
    EXPECT_I64(DUREQ_OUTCOME_DONE, j->attempts[1].outcome);
}

SCENARIO(a_cancelled_job_never_starts)
{
    dureq_job_id ids[50];

    RIG_OK(dureq_client_pause_queue(rig.client, "normal", &err));
    for (int i = 0; i < 50; i++)
        ids[i] = rig_enqueue("act", "1", NULL);
    for (int i = 0; i < 50; i += 2)
        RIG_OK(dureq_client_cancel(rig.client, ids[i].text, NULL, &err));
    start_node();
    RIG_OK(dureq_client_resume_queue(rig.client, "normal", &err));
    RIG_UNTIL(rig_counts().completed == 25);
    for (int i = 0; i < 50; i += 2) {
        EXPECT_I64(DUREQ_JOB_CANCELLED, rig_state(ids[i].text));
        EXPECT_I64(0, rig_job(ids[i].text)->runs);
    }
}

SCENARIO(run_now_and_reschedule_change_when_a_job_starts)
{
    dureq_job_options o = dureq_job_options_init();
    dureq_job_id now, later;
    int64_t at;

    start_node();
    o.delay_ms = 3600000;
    now = rig_enqueue("act", "1", &o);
    later = rig_enqueue("act", "1", &o);
    RIG_OK(dureq_client_run_now(rig.client, now.text, &err));
    EXPECT_I64(DUREQ_JOB_COMPLETED, rig_wait(now.text)->state);
    at = rig_server_ms() + 300;
    RIG_OK(dureq_client_reschedule(rig.client, later.text, at, &err));
    EXPECT_I64(at, rig_job(later.text)->run_at_ms);
    EXPECT_TRUE(rig_wait(later.text)->started_at_ms >= at);
    RIG_FAILS(DUREQ_EINVAL, "run_at_ms", dureq_client_reschedule(rig.client, later.text, 0, &err));
    RIG_FAILS(DUREQ_EINVAL, "run_at_ms", dureq_client_reschedule(rig.client, later.text, -5, &err));
}

SCENARIO(a_changed_payload_is_what_runs)
{
    static const size_t sizes[] = {3, 40000, 0, 500000, 10};
    char *bytes = malloc(500000);
    dureq_job_id id;
    const dureq_job *j;

    RIG_OK(dureq_client_pause_queue(rig.client, "normal", &err));
    id = rig_enqueue("act", "1", NULL);
    memset(bytes, 'q', 500000);
    for (size_t i = 0; i < DQ_ARRAY_LEN(sizes); i++) {
        dureq_str payload = dureq_str_of(bytes, sizes[i]);

        EXPECT_NOTE("%zu bytes", sizes[i]);
        RIG_OK(dureq_client_update_payload(rig.client, id.text, payload, i == 1 ? "image/png" : NULL, &err));
        j = rig_job(id.text);
        EXPECT_STR(payload, j->payload);
        EXPECT_STR_TEXT(i == 1 ? "image/png" : "application/octet-stream", j->content_type);
    }
    RIG_FAILS(DUREQ_ETOOLARGE, "payload",
              dureq_client_update_payload(rig.client, id.text, dureq_str_of(bytes, 1048577), NULL, &err));
    start_node();
    RIG_OK(dureq_client_resume_queue(rig.client, "normal", &err));
    j = rig_wait(id.text);
    EXPECT_I64(DUREQ_JOB_COMPLETED, j->state);
    EXPECT_STR_TEXT("qqqqqqqqqq", j->payload);
    free(bytes);
}

SCENARIO(a_long_reason_is_refused_by_name)
{
    char reason[1100];
    dureq_job_id id = rig_enqueue("t", "1", NULL);

    memset(reason, 'r', sizeof reason - 1);
    reason[sizeof reason - 1] = '\0';
    RIG_FAILS(DUREQ_ETOOLARGE, "reason", dureq_client_cancel(rig.client, id.text, reason, &err));
    EXPECT_I64(DUREQ_JOB_PENDING, rig_state(id.text));
}

static int log_once(dureq_run *run, void *userdata)
{
    int *starts = userdata;

    if (++*starts > 1)
        return 0;
    dureq_run_log(run, "the first life");
    return dureq_run_fail(run, 1, "died");
}

SCENARIO(log_lines_of_a_life_before_go_with_the_job)
{
    int starts = 0;
    dureq_job_id id = rig_enqueue("log.once", "1", NULL);
    char *logs;
    size_t len;

    (void)rig_node("n", "log.once", log_once, &starts);
    EXPECT_I64(DUREQ_JOB_DEAD, rig_wait(id.text)->state);
    RIG_OK(dureq_client_retry(rig.client, id.text, false, &err));
    EXPECT_I64(DUREQ_JOB_COMPLETED, rig_wait(id.text)->state);
    RIG_OK(dureq_client_get_logs(rig.client, id.text, &logs, &len, &err));
    EXPECT_HAS("the first life", logs);
    dureq_free(logs);
    RIG_OK(dureq_client_delete(rig.client, id.text, &err)); /* the doctor would find what is left of it */
    RIG_FAILS(DUREQ_ENOTFOUND, "no job", dureq_client_get_logs(rig.client, id.text, &logs, &len, &err));
}

RIG_MAIN()
