/* SPDX-License-Identifier: Apache-2.0 */
/* What holds tasks of a workflow back: it is suspended, has as many as may run, or they have a delay; and what is run again though it completed. */
#include "test_rig.h"

#include "base/buf.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

/* ---- what handlers saw, outside of dureq ---- */

enum { STARTS_MAX = 8000 };

static struct ledger {
    pthread_mutex_t mu;
    char names[STARTS_MAX][24];
    int n, running, most_running;
    bool hold, heals; /* heals: what is to fail does not */
} ledger = {.mu = PTHREAD_MUTEX_INITIALIZER};

static void ledger_set(bool hold, bool heals)
{
    pthread_mutex_lock(&ledger.mu);
    ledger.hold = hold;
    ledger.heals = heals;
    pthread_mutex_unlock(&ledger.mu);
}

static int ledger_n(void)
{
    pthread_mutex_lock(&ledger.mu);
    int n = ledger.n;
    pthread_mutex_unlock(&ledger.mu);
    return n;
}

/* How often it started. */
static int ledger_of(const char *name)
{
    int n = 0;

    pthread_mutex_lock(&ledger.mu);
    for (int i = 0; i < ledger.n; i++)
        n += strcmp(ledger.names[i], name) == 0;
    pthread_mutex_unlock(&ledger.mu);
    return n;
}

/* Payload: "name", "!name" fails for good, "?name" fails; "+name" waits as long as the ledger holds, and so does "#name", which then fails as "?name". */
static int act(dureq_run *run, void *userdata)
{
    dureq_str p = dureq_run_payload(run);
    char name[24] = "";
    bool hold, heals;

    (void)userdata;
    if (p.len > 2)
        (void)snprintf(name, sizeof name, "%.*s", (int)p.len - 2, p.ptr + 1);
    pthread_mutex_lock(&ledger.mu);
    if (ledger.n < STARTS_MAX)
        (void)snprintf(ledger.names[ledger.n++], sizeof ledger.names[0], "%s", name + strspn(name, "!?+#"));
    ledger.running++;
    ledger.most_running = ledger.running > ledger.most_running ? ledger.running : ledger.most_running;
    hold = ledger.hold && (name[0] == '+' || name[0] == '#');
    pthread_mutex_unlock(&ledger.mu);
    while (hold && !dureq_run_is_cancelled(run)) {
        rig_pause();
        pthread_mutex_lock(&ledger.mu);
        hold = ledger.hold;
        pthread_mutex_unlock(&ledger.mu);
    }
    pthread_mutex_lock(&ledger.mu);
    heals = ledger.heals;
    ledger.running--;
    pthread_mutex_unlock(&ledger.mu);
    if ((name[0] == '?' || name[0] == '#') && !heals)
        return dureq_run_retry(run, 7, "it broke");
    return name[0] == '!' && !heals ? dureq_run_fail(run, 7, "it broke") : 0;
}

static void ledger_clear(void)
{
    pthread_mutex_lock(&ledger.mu);
    ledger.n = ledger.running = ledger.most_running = 0;
    pthread_mutex_unlock(&ledger.mu);
    ledger_set(false, false);
}

static void node_start(void)
{
    (void)rig_node("n1", "act", act, NULL);
}

/* ---- workflows ---- */

static dureq_job_id start(const char *definition)
{
    dureq_job_id id = {{0}};

    RIG_OK(dureq_client_start_workflow(rig.client, dureq_str_from(definition), &id, &err));
    return id;
}

static dureq_workflow *get(const char *id)
{
    dureq_workflow *w = NULL;

    RIG_OK(dureq_client_get_workflow(rig.client, id, 0, 1000, &w, &err));
    return w;
}

static const dureq_workflow_task *task_of(const dureq_workflow *w, const char *name)
{
    for (size_t i = 0; i < w->n; i++)
        if (w->tasks[i].name.len == strlen(name) && memcmp(w->tasks[i].name.ptr, name, w->tasks[i].name.len) == 0)
            return &w->tasks[i];
    fail_msg("no task %s", name);
    return NULL;
}

static dureq_workflow_task_state state_of(const char *id, const char *task)
{
    dureq_workflow *w = get(id);
    dureq_workflow_task_state state = task_of(w, task)->state;

    dureq_workflow_destroy(w);
    return state;
}

/* Of the job of a task that is released; -1: of none. */
static int job_state_of(const char *id, const char *task)
{
    dureq_workflow *w = get(id);
    int state = task_of(w, task)->job_state;

    dureq_workflow_destroy(w);
    return state;
}

static dureq_job_id job_of(const char *id, const char *task)
{
    dureq_workflow *w = get(id);
    dureq_job_id job = task_of(w, task)->job_id;

    dureq_workflow_destroy(w);
    return job;
}

static void expect_status(const char *id, const char *status)
{
    dureq_workflow *w = get(id);

    EXPECT_TEXT(status, dureq_workflow_status_to_str(w->status));
    dureq_workflow_destroy(w);
}

static void expect_end(const char *id, const char *status, const char *states)
{
    dureq_workflow *w = NULL;
    char list[512], *rest = list;

    RIG_OK(dureq_client_wait_workflow(rig.client, id, RIG_LIMIT_MS, &w, &err));
    EXPECT_TEXT(status, dureq_workflow_status_to_str(w->status));
    (void)snprintf(list, sizeof list, "%s", states);
    while (rest && *rest) {
        char *one = strsep(&rest, " "), *state = strchr(one, '=');

        *state++ = '\0';
        EXPECT_NOTE("task %s", one);
        EXPECT_TEXT(state, dureq_workflow_task_state_to_str(task_of(w, one)->state));
    }
    EXPECT_I64(0, w->n_active);
    dureq_workflow_destroy(w);
}

static void suspend(const char *id)
{
    RIG_OK(dureq_client_suspend_workflow(rig.client, id, &err));
}

static void resume(const char *id)
{
    RIG_OK(dureq_client_resume_workflow(rig.client, id, &err));
}

/* One job of the lane of all tasks here, which would not come before what waits there: when it has ended, nothing of that was left there to start. */
static void pass_by(void)
{
    dureq_job_id id = rig_enqueue("act", "\"plain\"", NULL);

    EXPECT_I64(DUREQ_JOB_COMPLETED, rig_wait(id.text)->state);
}

#define ACT(name, payload, more) "{\"name\":\"" name "\",\"task_type\":\"act\",\"payload\":\"" payload "\"" more "}"
#define TASK(name, more)         ACT(name, name, more)

SCENARIO(nothing_of_a_suspended_workflow_starts_and_what_runs_is_kept)
{
    ledger_clear();
    ledger_set(/*hold=*/true, false);
    node_start();
    dureq_job_id id = start("{\"name\":\"w\",\"tasks\":[" ACT("a", "+a", "") "," TASK("b", ",\"depends_on\":[\"a\"]") "," TASK(
        "c", ",\"depends_on\":[\"b\"]") "]}");
    RIG_UNTIL(ledger_n() == 1);
    suspend(id.text);
    expect_status(id.text, "suspended");
    suspend(id.text); /* changes nothing */
    ledger_set(false, false);
    RIG_UNTIL(state_of(id.text, "a") == DUREQ_WORKFLOW_TASK_COMPLETED);
    pass_by();
    EXPECT_I64(DUREQ_WORKFLOW_TASK_WAITING, state_of(id.text, "b"));
    EXPECT_I64(2, ledger_n());
    RIG_FAILS(DUREQ_ECONFLICT, "has not failed", dureq_client_retry_workflow(rig.client, id.text, &err));
    resume(id.text);
    expect_end(id.text, "completed", "a=completed b=completed c=completed");
    EXPECT_I64(4, ledger_n());
    RIG_FAILS(DUREQ_ECONFLICT, "is not suspended", dureq_client_resume_workflow(rig.client, id.text, &err));
    RIG_FAILS(DUREQ_ECONFLICT, "does not run", dureq_client_suspend_workflow(rig.client, id.text, &err));
    RIG_FAILS(DUREQ_ENOTFOUND, "no workflow", dureq_client_suspend_workflow(rig.client, "000000000000000000a0", &err));
}

SCENARIO(jobs_that_wait_in_a_queue_are_held)
{
    ledger_clear();
    dureq_job_id id = start("{\"name\":\"w\",\"tasks\":[" TASK("a", "") "," TASK("b", "") "," TASK("c", "") "]}");
    suspend(id.text); /* nobody is there who would have started them */
    EXPECT_I64(0, rig_counts().pending);
    EXPECT_I64(DUREQ_JOB_PAUSED, job_state_of(id.text, "a"));
    node_start();
    pass_by();
    EXPECT_I64(1, ledger_n());
    dureq_job_id job = job_of(id.text, "a");
    RIG_FAILS(DUREQ_ECONFLICT, "not paused", dureq_client_resume(rig.client, job.text, &err));
    resume(id.text);
    expect_end(id.text, "completed", "a=completed b=completed c=completed");
    EXPECT_I64(4, ledger_n());
    EXPECT_I64(1, ledger_of("a"));
}

SCENARIO(a_job_that_was_paused_by_hand_stays_so)
{
    ledger_clear();
    dureq_job_id id = start("{\"name\":\"w\",\"tasks\":[" TASK("a", "") "," TASK("b", "") "]}");
    dureq_job_id job = job_of(id.text, "a");
    RIG_OK(dureq_client_pause(rig.client, job.text, &err));
    suspend(id.text);
    resume(id.text);
    node_start();
    RIG_UNTIL(state_of(id.text, "b") == DUREQ_WORKFLOW_TASK_COMPLETED);
    EXPECT_I64(DUREQ_JOB_PAUSED, rig_state(job.text));
    RIG_OK(dureq_client_resume(rig.client, job.text, &err));
    expect_end(id.text, "completed", "a=completed b=completed");
}

SCENARIO(a_retry_that_comes_due_is_held)
{
    ledger_clear();
    ledger_set(/*hold=*/true, false);
    node_start();
    dureq_job_id id = start(
        "{\"name\":\"w\",\"tasks\":[" ACT("a", "#a", ",\"retry_policy\":{\"max_attempts\":5,\"initial_delay\":\"1ms\"}") "]}");
    RIG_UNTIL(ledger_n() == 1);
    suspend(id.text);
    ledger_set(false, false);
    RIG_UNTIL(job_state_of(id.text, "a") == DUREQ_JOB_PAUSED);
    pass_by();
    EXPECT_I64(1, ledger_of("a"));
    ledger_set(false, /*heals=*/true);
    resume(id.text);
    expect_end(id.text, "completed", "a=completed");
    EXPECT_I64(2, ledger_of("a"));
}

SCENARIO(a_suspended_workflow_is_cancelled)
{
    ledger_clear();
    dureq_job_id id = start("{\"name\":\"w\",\"tasks\":[" TASK("a", "") "," TASK("b", ",\"depends_on\":[\"a\"]") "]}");
    suspend(id.text);
    RIG_OK(dureq_client_cancel_workflow(rig.client, id.text, NULL, &err));
    expect_end(id.text, "cancelled", "a=cancelled b=waiting");
    node_start();
    RIG_OK(dureq_client_retry_workflow(rig.client, id.text, &err));
    expect_end(id.text, "completed", "a=completed b=completed");
    EXPECT_I64(2, ledger_n());
}

SCENARIO(a_suspended_workflow_times_out)
{
    ledger_clear();
    node_start();
    ledger_set(/*hold=*/true, false);
    dureq_job_id id = start("{\"name\":\"w\",\"execution_timeout\":\"3s\",\"tasks\":[" ACT("a", "+a", "") "," TASK(
        "b", ",\"depends_on\":[\"a\"]") "]}");
    suspend(id.text);
    expect_end(id.text, "failed", "a=cancelled b=waiting");
    ledger_set(false, false);
}

SCENARIO(what_starts_again_by_itself_stays_suspended)
{
    ledger_clear();
    ledger_set(/*hold=*/true, false);
    node_start();
    dureq_job_id id = start("{\"name\":\"w\",\"retry_policy\":{\"max_attempts\":2},\"tasks\":[" ACT(
        "a", "#a", ",\"retry_policy\":{\"max_attempts\":1}") "]}");
    RIG_UNTIL(ledger_n() == 1);
    suspend(id.text);
    ledger_set(false, false);
    RIG_UNTIL(state_of(id.text, "a") == DUREQ_WORKFLOW_TASK_WAITING);
    pass_by();
    expect_status(id.text, "suspended");
    EXPECT_I64(1, ledger_of("a"));
    ledger_set(false, /*heals=*/true);
    resume(id.text);
    expect_end(id.text, "completed", "a=completed");
    EXPECT_I64(2, ledger_of("a"));
}

/* ---- wider than one step may be ---- */

enum { WIDE = 1500 };

/* WIDE tasks that depend on nothing, and one that depends on all of them. */
static char *wide(const char *more)
{
    DQ_BUF_AUTO text = {0};

    dq_buf_append_fmt(
        &text, "{\"name\":\"wide\",%s\"tasks\":[{\"name\":\"last\",\"task_type\":\"act\",\"payload\":\"last\",\"depends_on\":[",
        more);
    for (int i = 0; i < WIDE; i++)
        dq_buf_append_fmt(&text, "%s\"t%d\"", i ? "," : "", i);
    dq_buf_append_text(&text, "]}");
    for (int i = 0; i < WIDE; i++)
        dq_buf_append_fmt(&text, ",{\"name\":\"t%d\",\"task_type\":\"act\",\"payload\":\"t%d\"}", i, i);
    dq_buf_append_text(&text, "]}");
    EXPECT_FALSE(dq_buf_failed(&text));
    return dq_buf_take(&text);
}

/* Each of them started once. */
static void expect_each_once(void)
{
    char name[24];

    EXPECT_I64(1, ledger_of("last"));
    for (int i = 0; i < WIDE; i += 7) {
        (void)snprintf(name, sizeof name, "t%d", i);
        EXPECT_NOTE("%s", name);
        EXPECT_I64(1, ledger_of(name));
    }
}

SCENARIO(a_wide_workflow_is_suspended_and_resumed_whole)
{
    char *definition = wide("");

    ledger_clear();
    dureq_job_id id = start(definition);
    suspend(id.text);
    EXPECT_I64(0, rig_counts().pending);
    node_start(); /* its leader goes on with what the start left to do */
    pass_by();
    EXPECT_I64(1, ledger_n());
    resume(id.text);
    RIG_UNTIL(ledger_n() > 100);
    suspend(id.text); /* in the middle of it */
    resume(id.text);
    expect_end(id.text, "completed", "last=completed");
    EXPECT_I64(1 + WIDE + 1, ledger_n());
    expect_each_once();
    dureq_free(definition);
}

/* ---- max_running ---- */

static int most_running(void)
{
    pthread_mutex_lock(&ledger.mu);
    int n = ledger.most_running;
    pthread_mutex_unlock(&ledger.mu);
    return n;
}

/* Which start it was, from 0; -1: none. */
static int ledger_at(const char *name)
{
    int at = -1;

    pthread_mutex_lock(&ledger.mu);
    for (int i = 0; i < ledger.n && at < 0; i++)
        at = strcmp(ledger.names[i], name) == 0 ? i : -1;
    pthread_mutex_unlock(&ledger.mu);
    return at;
}

SCENARIO(no_more_tasks_run_than_may)
{
    char *definition = wide("\"max_running\":7,");

    ledger_clear();
    dureq_job_id id = start(definition);
    dureq_workflow *w = get(id.text);
    EXPECT_I64(7, w->n_active);
    EXPECT_I64(7, w->max_running);
    dureq_workflow_destroy(w);
    EXPECT_I64(7, rig_counts().pending);
    node_start();
    expect_end(id.text, "completed", "last=completed");
    EXPECT_TRUE(most_running() <= 7);
    EXPECT_I64(WIDE + 1, ledger_n());
    expect_each_once();
    dureq_free(definition);
}

SCENARIO(what_waits_for_others_to_end_keeps_its_order)
{
    ledger_clear();
    dureq_job_id id = start("{\"name\":\"w\",\"max_running\":1,\"tasks\":[" TASK("low", ",\"priority\":1") "," TASK(
        "high", ",\"priority\":9") "," TASK("mid", ",\"priority\":5") "," TASK("after", ",\"depends_on\":[\"high\"]") "]}");
    node_start();
    expect_end(id.text, "completed", "low=completed high=completed mid=completed after=completed");
    EXPECT_I64(1, most_running());
    EXPECT_I64(0, ledger_at("high"));
    EXPECT_I64(1, ledger_at("mid"));
    EXPECT_I64(2, ledger_at("low"));
    EXPECT_I64(3, ledger_at("after"));
}

SCENARIO(what_waits_for_others_to_end_is_not_reached_when_one_fails)
{
    ledger_clear();
    node_start();
    dureq_job_id id = start("{\"name\":\"w\",\"max_running\":1,\"tasks\":[" ACT(
        "a", "!a", ",\"priority\":9,\"retry_policy\":{\"max_attempts\":1}") "," TASK("b", "") "," TASK("c", "") "]}");
    expect_end(id.text, "failed", "a=failed b=unreached c=unreached");
    ledger_set(false, /*heals=*/true);
    RIG_OK(dureq_client_retry_workflow(rig.client, id.text, &err));
    expect_end(id.text, "completed", "a=completed b=completed c=completed");
    EXPECT_I64(4, ledger_n());
    EXPECT_I64(1, most_running());
}

SCENARIO(what_waits_for_others_to_end_does_not_start_after_a_cancel)
{
    char *definition = wide("\"max_running\":3,");

    ledger_clear();
    dureq_job_id id = start(definition);
    suspend(id.text);
    resume(id.text);
    RIG_OK(dureq_client_cancel_workflow(rig.client, id.text, NULL, &err));
    expect_end(id.text, "cancelled", "last=waiting");
    node_start();
    pass_by();
    EXPECT_I64(1, ledger_n());
    RIG_OK(dureq_client_retry_workflow(rig.client, id.text, &err));
    expect_end(id.text, "completed", "last=completed");
    EXPECT_TRUE(most_running() <= 3);
    EXPECT_I64(1 + WIDE + 1, ledger_n());
    expect_each_once();
    dureq_free(definition);
}

/* ---- delay ---- */

SCENARIO(a_delay_counts_from_the_release)
{
    ledger_clear();
    node_start();
    int64_t began = rig_server_ms();
    dureq_job_id id = start(
        "{\"name\":\"w\",\"tasks\":[" TASK("a", "") "," TASK("b", ",\"depends_on\":[\"a\"],\"delay\":\"300ms\"") "," TASK("c", ",\"delay\":\"1h\"") "," TASK(
            "d",
            ",\"run_at\":\"2020-01-01T00:00:00Z\"") "," TASK("e",
                                                             ",\"depends_on\":[\"a\"],\"run_at\":\"2300-01-01T00:00:00Z\"") "]}");
    RIG_UNTIL(state_of(id.text, "b") == DUREQ_WORKFLOW_TASK_COMPLETED);
    EXPECT_TRUE(rig_server_ms() - began >= 300);
    RIG_UNTIL(state_of(id.text, "d") == DUREQ_WORKFLOW_TASK_COMPLETED);
    EXPECT_I64(DUREQ_JOB_SCHEDULED, job_state_of(id.text, "c"));
    EXPECT_I64(DUREQ_JOB_SCHEDULED, job_state_of(id.text, "e"));
    EXPECT_I64(3, ledger_n());
    RIG_OK(dureq_client_run_now(rig.client, job_of(id.text, "c").text, &err));
    RIG_OK(dureq_client_run_now(rig.client, job_of(id.text, "e").text, &err));
    expect_end(id.text, "completed", "a=completed b=completed c=completed d=completed e=completed");
    EXPECT_I64(5, ledger_n());
}

SCENARIO(a_delay_that_is_over_does_not_start_a_task_of_a_suspended_workflow)
{
    ledger_clear();
    node_start();
    dureq_job_id id = start("{\"name\":\"w\",\"tasks\":[" TASK("a", ",\"delay\":\"2s\"") "]}");
    suspend(id.text);
    RIG_UNTIL(job_state_of(id.text, "a") == DUREQ_JOB_PAUSED);
    pass_by();
    EXPECT_I64(0, ledger_of("a"));
    resume(id.text);
    expect_end(id.text, "completed", "a=completed");
}

SCENARIO(a_delayed_task_is_cancelled)
{
    ledger_clear();
    dureq_job_id id = start("{\"name\":\"w\",\"tasks\":[" TASK("a", ",\"delay\":\"1h\"") "]}");
    RIG_OK(dureq_client_cancel_workflow(rig.client, id.text, NULL, &err));
    expect_end(id.text, "cancelled", "a=cancelled");
}

/* ---- result_reuse ---- */

SCENARIO(a_retry_runs_again_what_is_never_reused)
{
    ledger_clear();
    node_start();
    dureq_job_id id = start(
        "{\"name\":\"w\",\"tasks\":[" TASK("a", ",\"result_reuse\":\"never\"") "," TASK("b", ",\"depends_on\":[\"a\"]") "," ACT(
            "c", "!c", ",\"depends_on\":[\"a\",\"b\"],\"retry_policy\":{\"max_attempts\":1}") "]}");
    expect_end(id.text, "failed", "a=completed b=completed c=failed");
    ledger_set(false, /*heals=*/true);
    RIG_OK(dureq_client_retry_workflow(rig.client, id.text, &err));
    expect_end(id.text, "completed", "a=completed b=completed c=completed");
    EXPECT_I64(2, ledger_of("a"));
    EXPECT_I64(1, ledger_of("b"));
    EXPECT_I64(2, ledger_of("c"));
}

/* ---- input ---- */

static char input_seen[64];

static int read_input(dureq_run *run, void *userdata)
{
    dureq_workflow *w = NULL;
    dureq_error err = {0};
    dureq_job_id id;

    (void)userdata;
    if (!dureq_run_workflow(run, &id) || dureq_client_get_workflow(rig.client, id.text, 0, 0, &w, &err) < 0)
        return dureq_run_fail(run, 1, "no workflow");
    pthread_mutex_lock(&ledger.mu);
    (void)snprintf(input_seen, sizeof input_seen, "%.*s", (int)w->input.len, w->input.ptr);
    pthread_mutex_unlock(&ledger.mu);
    dureq_workflow_destroy(w);
    return 0;
}

SCENARIO(a_task_reads_the_input_of_its_workflow)
{
    memset(input_seen, 0, sizeof input_seen);
    (void)rig_node("n1", "input", read_input, NULL);
    dureq_job_id id =
        start("{\"name\":\"w\",\"input\":{\"day\": \"monday\"},\"tasks\":[{\"name\":\"a\",\"task_type\":\"input\"}]}");
    expect_end(id.text, "completed", "a=completed");
    pthread_mutex_lock(&ledger.mu);
    pthread_mutex_unlock(&ledger.mu);
    EXPECT_TEXT("{\"day\": \"monday\"}", input_seen);
    dureq_job_id plain = rig_enqueue("input", "1", NULL);
    EXPECT_I64(DUREQ_JOB_DEAD, rig_wait(plain.text)->state);
}

SCENARIO(suspended_workflows_are_listed_by_themselves)
{
    dureq_workflow_filter f = dureq_workflow_filter_init();
    dureq_workflow_status running = DUREQ_WORKFLOW_RUNNING, suspended = DUREQ_WORKFLOW_SUSPENDED;
    dureq_workflow_list *list = NULL;

    ledger_clear();
    dureq_job_id one = start("{\"name\":\"one\",\"tasks\":[" TASK("a", "") "]}");
    dureq_job_id other = start("{\"name\":\"other\",\"tasks\":[" TASK("a", "") "]}");
    suspend(one.text);
    f.n_statuses = 1;
    f.statuses = &suspended;
    RIG_OK(dureq_client_list_workflows(rig.client, &f, &list, &err));
    EXPECT_I64(1, list->n);
    EXPECT_TEXT(one.text, list->items[0].id.text);
    EXPECT_I64(DUREQ_WORKFLOW_SUSPENDED, list->items[0].status);
    dureq_workflow_list_destroy(list);
    f.statuses = &running;
    RIG_OK(dureq_client_list_workflows(rig.client, &f, &list, &err));
    EXPECT_I64(1, list->n);
    EXPECT_TEXT(other.text, list->items[0].id.text);
    dureq_workflow_list_destroy(list);
}

RIG_MAIN()
