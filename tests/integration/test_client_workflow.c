/* SPDX-License-Identifier: Apache-2.0 */
/* Workflows from end to end: tasks run when what they depend on has ended, fail, are cancelled, and all of it ends. */
#include "test_rig.h"

#include "base/buf.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

/* ---- what handlers saw, outside of dureq ---- */

enum { STARTS_MAX = 20000 };

static struct ledger {
    pthread_mutex_t mu;
    char names[STARTS_MAX][24];
    int n, running, most_running;
    bool hold, heals; /* heals: what is to fail does not */
} ledger = {.mu = PTHREAD_MUTEX_INITIALIZER};

static void ledger_clear(void)
{
    pthread_mutex_lock(&ledger.mu);
    ledger.n = ledger.running = ledger.most_running = 0;
    ledger.hold = ledger.heals = false;
    pthread_mutex_unlock(&ledger.mu);
}

static void ledger_heal(void)
{
    pthread_mutex_lock(&ledger.mu);
    ledger.heals = true;
    pthread_mutex_unlock(&ledger.mu);
}

/* What handlers wrote under the lock is seen after this. */
static void ledger_settle(void)
{
    pthread_mutex_lock(&ledger.mu);
    pthread_mutex_unlock(&ledger.mu);
}

static void ledger_hold(bool hold)
{
    pthread_mutex_lock(&ledger.mu);
    ledger.hold = hold;
    pthread_mutex_unlock(&ledger.mu);
}

static int ledger_n(void)
{
    pthread_mutex_lock(&ledger.mu);
    int n = ledger.n;
    pthread_mutex_unlock(&ledger.mu);
    return n;
}

/* Which start it was, -1: none. */
static int ledger_at(const char *name)
{
    int at = -1;

    pthread_mutex_lock(&ledger.mu);
    for (int i = 0; i < ledger.n && at < 0; i++)
        at = strcmp(ledger.names[i], name) == 0 ? i : -1;
    pthread_mutex_unlock(&ledger.mu);
    return at;
}

/* Payload: "name", "!name" fails for good, "?name" fails, "~name" is skipped, "+name" waits as long as the ledger holds. */
static int act(dureq_run *run, void *userdata)
{
    dureq_str p = dureq_run_payload(run);
    char name[24] = "";
    bool hold;

    (void)userdata;
    if (p.len > 2)
        (void)snprintf(name, sizeof name, "%.*s", (int)p.len - 2, p.ptr + 1);
    pthread_mutex_lock(&ledger.mu);
    if (ledger.n < STARTS_MAX)
        (void)snprintf(ledger.names[ledger.n++], sizeof ledger.names[0], "%s", name + strspn(name, "!?~+"));
    hold = ledger.hold && name[0] == '+';
    bool heals = ledger.heals;
    pthread_mutex_unlock(&ledger.mu);
    while (hold && !dureq_run_is_cancelled(run)) {
        rig_pause();
        pthread_mutex_lock(&ledger.mu);
        hold = ledger.hold;
        pthread_mutex_unlock(&ledger.mu);
    }
    if (name[0] == '?' && !heals)
        return dureq_run_retry(run, 7, "it broke");
    if (name[0] == '!' && !heals)
        return dureq_run_fail(run, 7, "it broke");
    return name[0] == '~' ? dureq_run_skip(run, "nothing to do") : 0;
}

static void node_start(void)
{
    ledger_clear();
    (void)rig_node("n1", "act", act, NULL);
}

/* ---- workflows ---- */

static dureq_job_id start(const char *definition)
{
    dureq_job_id id = {{0}};

    RIG_OK(dureq_client_start_workflow(rig.client, dureq_str_from(definition), &id, &err));
    return id;
}

static dureq_workflow *wait_for(const char *id)
{
    dureq_workflow *w = NULL;

    RIG_OK(dureq_client_wait_workflow(rig.client, id, RIG_LIMIT_MS, &w, &err));
    return w;
}

static dureq_workflow *get(const char *id)
{
    dureq_workflow *w = NULL;

    RIG_OK(dureq_client_get_workflow(rig.client, id, 0, 1000, &w, &err));
    return w;
}

static const char *state_of(const dureq_workflow *w, const char *name)
{
    for (size_t i = 0; i < w->n; i++)
        if (w->tasks[i].name.len == strlen(name) && memcmp(w->tasks[i].name.ptr, name, w->tasks[i].name.len) == 0)
            return dureq_workflow_task_state_to_str(w->tasks[i].state);
    return "not there";
}

/* Waits for its end, and compares: "completed", "a=completed b=skipped". */
static void expect_end(const char *id, const char *status, const char *states)
{
    dureq_workflow *w = wait_for(id);
    char list[512], *rest = list;

    EXPECT_TEXT(status, dureq_workflow_status_to_str(w->status));
    (void)snprintf(list, sizeof list, "%s", states);
    while (rest) {
        char *one = strsep(&rest, " "), *state = strchr(one, '=');

        *state++ = '\0';
        if (strcmp(state, state_of(w, one)) != 0)
            fail_msg("task %s is %s, must be %s", one, state_of(w, one), state);
    }
    EXPECT_I64(0, w->n_active);
    dureq_workflow_destroy(w);
}

#define TASK(name, more)         "{\"name\":\"" name "\",\"task_type\":\"act\",\"payload\":\"" name "\"" more "}"
#define ACT(name, payload, more) "{\"name\":\"" name "\",\"task_type\":\"act\",\"payload\":\"" payload "\"" more "}"
#define NO_RETRY                 ",\"retry_policy\":{\"max_attempts\":1}"

SCENARIO(tasks_of_a_line_run_one_after_the_other)
{
    node_start();
    dureq_job_id id = start("{\"name\":\"line\",\"tasks\":[" TASK("c", ",\"depends_on\":[\"b\"]") "," TASK("a", "") "," TASK(
        "b", ",\"depends_on\":[\"a\"]") "]}");
    expect_end(id.text, "completed", "a=completed b=completed c=completed");
    EXPECT_I64(3, ledger_n());
    EXPECT_I64(0, ledger_at("a"));
    EXPECT_I64(1, ledger_at("b"));
    EXPECT_I64(2, ledger_at("c"));
}

SCENARIO(a_join_waits_for_all_it_depends_on)
{
    node_start();
    dureq_job_id id = start("{\"name\":\"diamond\",\"tasks\":[" TASK("a", "") "," TASK("b", ",\"depends_on\":[\"a\"]") "," TASK(
        "c", ",\"depends_on\":[\"a\"]") "," TASK("d", ",\"depends_on\":[\"b\",\"c\"]") "]}");
    expect_end(id.text, "completed", "a=completed b=completed c=completed d=completed");
    EXPECT_I64(4, ledger_n());
    EXPECT_I64(0, ledger_at("a"));
    EXPECT_I64(3, ledger_at("d"));
}

SCENARIO(what_depends_on_a_failed_task_is_not_reached)
{
    node_start();
    dureq_job_id id = start(
        "{\"name\":\"fails\",\"tasks\":[" ACT("a", "!a", NO_RETRY) "," TASK("b", ",\"depends_on\":[\"a\"]") "," TASK("c", ",\"depends_on\":[\"b\"]") "," TASK(
            "clean",
            ",\"depends_on\":[\"c\"],\"run_if\":\"all_done\"") "," TASK("after",
                                                                        ",\"depends_on\":[\"clean\"]") "," TASK("alert",
                                                                                                                ",\"depends_on\":[\"a\"],\"run_if\":\"any_failed\"") "]}");
    expect_end(id.text, "failed", "a=failed b=unreached c=unreached clean=completed after=completed alert=completed");
    EXPECT_I64(4, ledger_n());

    dureq_workflow *w = get(id.text);
    EXPECT_TRUE(w->failing);
    EXPECT_I64(1, w->n_failed);
    EXPECT_I64(2, w->n_unreached);
    EXPECT_HAS("it broke", w->tasks[0].error.ptr);
    dureq_workflow_destroy(w);
}

SCENARIO(allow_failure_lets_dependents_run)
{
    node_start();
    dureq_job_id id = start("{\"name\":\"allowed\",\"tasks\":[" ACT("a", "!a", ",\"allow_failure\":true" NO_RETRY) "," TASK(
        "b", ",\"depends_on\":[\"a\"]") "," TASK("alert", ",\"depends_on\":[\"a\"],\"run_if\":\"any_failed\"") "]}");
    expect_end(id.text, "completed", "a=failed b=completed alert=skipped");
}

SCENARIO(a_skip_counts_as_done)
{
    node_start();
    dureq_job_id id = start("{\"name\":\"skips\",\"tasks\":[" ACT("a", "~a", "") "," TASK("b", ",\"depends_on\":[\"a\"]") "]}");
    expect_end(id.text, "completed", "a=skipped b=completed");
}

SCENARIO(a_task_is_retried_before_it_fails)
{
    node_start();
    dureq_job_id id = start("{\"name\":\"retries\",\"tasks\":[" ACT(
        "a", "?a", ",\"retry_policy\":{\"max_attempts\":3,\"initial_delay\":\"1ms\"}") "]}");
    expect_end(id.text, "failed", "a=failed");
    EXPECT_I64(3, ledger_n());
}

SCENARIO(a_cancelled_workflow_starts_nothing_more)
{
    node_start();
    ledger_hold(true);
    dureq_job_id id =
        start("{\"name\":\"cancelled\",\"tasks\":[" ACT("a", "+a", "") "," TASK("b", ",\"depends_on\":[\"a\"]") "]}");
    RIG_UNTIL(ledger_n() == 1);
    RIG_OK(dureq_client_cancel_workflow(rig.client, id.text, "not wanted", &err));
    expect_end(id.text, "cancelled", "a=cancelled b=waiting");
    EXPECT_I64(1, ledger_n());
    RIG_FAILS(DUREQ_ECONFLICT, "has ended already", dureq_client_cancel_workflow(rig.client, id.text, NULL, &err));

    dureq_workflow *w = get(id.text);
    EXPECT_TRUE(w->reason.len == 10 && memcmp(w->reason.ptr, "not wanted", 10) == 0);
    dureq_workflow_destroy(w);
    ledger_hold(false);
}

SCENARIO(a_cancelled_job_fails_its_task)
{
    node_start();
    ledger_hold(true);
    dureq_job_id id = start("{\"name\":\"one\",\"tasks\":[" ACT("a", "+a", "") "," TASK("b", ",\"depends_on\":[\"a\"]") "]}");
    RIG_UNTIL(ledger_n() == 1);
    dureq_workflow *w = get(id.text);
    EXPECT_I64(DUREQ_JOB_RUNNING, w->tasks[0].job_state);
    RIG_OK(dureq_client_cancel(rig.client, w->tasks[0].job_id.text, "no", &err));
    dureq_workflow_destroy(w);
    ledger_hold(false);
    expect_end(id.text, "failed", "a=cancelled b=unreached");
}

SCENARIO(on_failure_cancel_ends_what_runs)
{
    node_start();
    ledger_hold(true);
    dureq_job_id id = start("{\"name\":\"all or nothing\",\"on_failure\":\"cancel\",\"tasks\":[" ACT("a", "+a", "") "," ACT(
        "b", "!b", NO_RETRY) "," TASK("c", ",\"depends_on\":[\"a\"]") "]}");
    expect_end(id.text, "failed", "a=cancelled b=failed c=unreached");
    ledger_hold(false);
}

SCENARIO(a_request_id_starts_one_workflow)
{
    static const char definition[] = "{\"name\":\"once\",\"request_id\":\"r1\",\"tasks\":[" TASK("a", "") "]}";

    node_start();
    dureq_job_id first = start(definition), second = start(definition);
    EXPECT_TEXT(first.text, second.text);
    expect_end(first.text, "completed", "a=completed");
    EXPECT_I64(1, ledger_n());
}

SCENARIO(a_unique_key_is_held_until_the_end)
{
    static const char definition[] = "{\"name\":\"alone\",\"unique_key\":\"k1\",\"tasks\":[" ACT("a", "+a", "") "]}";
    dureq_job_id other;

    node_start();
    ledger_hold(true);
    dureq_job_id id = start(definition);
    RIG_FAILS(DUREQ_EDUPLICATE, id.text, dureq_client_start_workflow(rig.client, dureq_str_from(definition), &other, &err));
    ledger_hold(false);
    expect_end(id.text, "completed", "a=completed");
    id = start(definition);
    expect_end(id.text, "completed", "a=completed");
}

SCENARIO(what_cannot_be_done_yet_is_refused_by_name)
{
    static const struct {
        const char *name, *definition;
    } rows[] = {
        {"preconditions", "{\"name\":\"w\",\"tasks\":[" TASK("a", "") "," TASK(
                              "b", ",\"depends_on\":[\"a\"],\"preconditions\":[{\"type\":\"upstream_output\","
                                   "\"task\":\"a\",\"path\":\"x\",\"expected\":1}]") "]}"},
        {"hooks", "{\"name\":\"w\",\"hooks\":{\"on_exit\":{\"task_type\":\"act\"}},\"tasks\":[" TASK("a", "") "]}"},
    };
    dureq_job_id id;

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        RIG_FAILS(DUREQ_EUNSUPPORTED, rows[i].name,
                  dureq_client_start_workflow(rig.client, dureq_str_from(rows[i].definition), &id, &err));
    RIG_FAILS(DUREQ_EINVAL, "is no task of this workflow",
              dureq_client_start_workflow(rig.client,
                                          dureq_str_from("{\"name\":\"w\",\"tasks\":[" TASK("a", ",\"depends_on\":[\"x\"]") "]}"),
                                          &id, &err));
}

/* ---- wider than one step may be ---- */

enum { WIDE = 1500 };

/* One task, WIDE that depend on it, one that depends on all of these. The payload of the WIDE is "mark" and their number. */
static char *wide(const char *mark)
{
    DQ_BUF_AUTO text = {0};

    dq_buf_append_text(&text, "{\"name\":\"wide\",\"tasks\":[" TASK(
                                  "first", "") ",{\"name\":\"last\",\"task_type\":\"act\",\"payload\":\"last\","
                                               "\"depends_on\":[");
    for (int i = 0; i < WIDE; i++)
        dq_buf_append_fmt(&text, "%s\"t%d\"", i ? "," : "", i);
    dq_buf_append_text(&text, "]}");
    for (int i = 0; i < WIDE; i++)
        dq_buf_append_fmt(&text, ",{\"name\":\"t%d\",\"task_type\":\"act\",\"payload\":\"%st%d\",\"depends_on\":[\"first\"]}", i,
                          mark, i);
    dq_buf_append_text(&text, "]}");
    EXPECT_FALSE(dq_buf_failed(&text));
    return dq_buf_take(&text);
}

SCENARIO(what_is_wider_than_a_step_goes_on_in_more_of_them)
{
    char *definition = wide("");

    node_start();
    dureq_job_id id = start(definition);
    dureq_workflow *w = wait_for(id.text);
    EXPECT_TEXT("completed", dureq_workflow_status_to_str(w->status));
    EXPECT_I64(WIDE + 2, w->n_ended);
    EXPECT_I64(WIDE + 2, ledger_n());
    EXPECT_I64(0, ledger_at("first"));
    EXPECT_I64(WIDE + 1, ledger_at("last"));
    dureq_workflow_destroy(w);

    RIG_OK(dureq_client_get_workflow(rig.client, id.text, 1000, 1000, &w, &err));
    EXPECT_I64(WIDE + 2 - 1000, w->n);
    EXPECT_TEXT("t998", w->tasks[0].name.ptr);
    dureq_workflow_destroy(w);
    dureq_free(definition);
}

SCENARIO(a_wide_workflow_is_cancelled_whole)
{
    char *definition = wide("+");

    node_start();
    ledger_hold(true);
    dureq_job_id id = start(definition);
    RIG_UNTIL(ledger_n() == 9); /* the first, and as many as the node takes at a time */
    RIG_OK(dureq_client_cancel_workflow(rig.client, id.text, NULL, &err));
    int n = ledger_n();
    dureq_workflow *w = wait_for(id.text);
    EXPECT_TEXT("cancelled", dureq_workflow_status_to_str(w->status));
    EXPECT_I64(0, w->n_active);
    EXPECT_TEXT("waiting", state_of(w, "last"));
    dureq_workflow_destroy(w);
    EXPECT_I64(0, rig_counts().pending);
    EXPECT_I64(n, ledger_n());
    ledger_hold(false);
    dureq_free(definition);
}

/* ---- again ---- */

SCENARIO(a_failed_workflow_goes_on_from_where_it_failed)
{
    node_start();
    dureq_job_id id = start(
        "{\"name\":\"again\",\"tasks\":[" TASK("a", "") "," ACT("b", "!b", ",\"depends_on\":[\"a\"]" NO_RETRY) "," TASK("c", ",\"depends_on\":[\"b\"]") "," TASK(
            "clean",
            ",\"depends_on\":[\"c\"],\"run_if\":\"all_done\"") "," TASK("d",
                                                                        ",\"depends_on\":[\"a\"]") "," TASK("e",
                                                                                                            ",\"depends_on\":[\"a\",\"b\"]") "]}");
    expect_end(id.text, "failed", "a=completed b=failed c=unreached clean=completed d=completed e=unreached");
    EXPECT_I64(4, ledger_n());
    ledger_heal();
    RIG_OK(dureq_client_retry_workflow(rig.client, id.text, &err));
    expect_end(id.text, "completed", "a=completed b=completed c=completed clean=completed d=completed e=completed");
    EXPECT_I64(4 + 4, ledger_n());
    RIG_FAILS(DUREQ_ECONFLICT, "has not failed", dureq_client_retry_workflow(rig.client, id.text, &err));
    dureq_workflow *w = get(id.text);
    EXPECT_I64(2, w->attempt);
    EXPECT_I64(0, w->n_failed);
    EXPECT_I64(0, w->tasks[1].error.len);
    dureq_workflow_destroy(w);
}

SCENARIO(a_workflow_is_retried_by_itself)
{
    node_start();
    dureq_job_id id = start("{\"name\":\"itself\",\"retry_policy\":{\"max_attempts\":3},\"tasks\":[" TASK("a", "") "," ACT(
        "b", "!b", ",\"depends_on\":[\"a\"]" NO_RETRY) "," TASK("c", ",\"depends_on\":[\"b\"]") "]}");
    expect_end(id.text, "failed", "a=completed b=failed c=unreached");
    EXPECT_I64(1 + 3, ledger_n());
    dureq_workflow *w = get(id.text);
    EXPECT_I64(3, w->attempt);
    EXPECT_I64(3, w->max_attempts);
    dureq_workflow_destroy(w);
}

SCENARIO(an_allowed_failure_stays_when_the_rest_is_retried)
{
    node_start();
    dureq_job_id id = start("{\"name\":\"allowed\",\"tasks\":[" ACT("a", "!a", ",\"allow_failure\":true" NO_RETRY) "," ACT(
        "b", "!b", ",\"depends_on\":[\"a\"]" NO_RETRY) "]}");
    expect_end(id.text, "failed", "a=failed b=failed");
    ledger_heal();
    RIG_OK(dureq_client_retry_workflow(rig.client, id.text, &err));
    expect_end(id.text, "completed", "a=failed b=completed");
    EXPECT_I64(3, ledger_n());
}

SCENARIO(a_wide_workflow_is_retried_in_more_steps_than_one)
{
    char *definition = wide("!");

    node_start();
    dureq_job_id id = start(definition);
    dureq_workflow *w = wait_for(id.text);
    EXPECT_TEXT("failed", dureq_workflow_status_to_str(w->status));
    int first = ledger_n();
    dureq_workflow_destroy(w);
    ledger_heal();
    RIG_OK(dureq_client_retry_workflow(rig.client, id.text, &err));
    w = wait_for(id.text);
    EXPECT_TEXT("completed", dureq_workflow_status_to_str(w->status));
    EXPECT_I64(WIDE + 2, w->n_ended);
    EXPECT_I64(first + WIDE + 1, ledger_n());
    dureq_workflow_destroy(w);
    dureq_free(definition);
}

SCENARIO(a_cancelled_workflow_is_retried)
{
    node_start();
    ledger_hold(true);
    dureq_job_id id = start("{\"name\":\"cancelled\",\"tasks\":[" TASK("a", "") "," ACT(
        "b", "+b", ",\"depends_on\":[\"a\"]") "," TASK("c", ",\"depends_on\":[\"b\"]") "]}");
    RIG_UNTIL(ledger_n() == 2);
    RIG_OK(dureq_client_cancel_workflow(rig.client, id.text, NULL, &err));
    expect_end(id.text, "cancelled", "a=completed b=cancelled c=waiting");
    ledger_hold(false);
    RIG_OK(dureq_client_retry_workflow(rig.client, id.text, &err));
    expect_end(id.text, "completed", "a=completed b=completed c=completed");
    EXPECT_I64(4, ledger_n());
}

SCENARIO(a_workflow_times_out_and_can_be_retried)
{
    node_start();
    ledger_hold(true);
    dureq_job_id id = start("{\"name\":\"slow\",\"execution_timeout\":\"200ms\",\"tasks\":[" ACT("a", "+a", "") "," TASK(
        "b", ",\"depends_on\":[\"a\"]") "]}");
    expect_end(id.text, "failed", "a=cancelled b=waiting");
    dureq_workflow *w = get(id.text);
    EXPECT_TRUE(w->reason.len == 9 && memcmp(w->reason.ptr, "timed_out", 9) == 0);
    EXPECT_I64(0, w->deadline_ms);
    dureq_workflow_destroy(w);
    RIG_OK(dureq_client_retry_workflow(rig.client, id.text, &err));
    expect_end(id.text, "failed", "a=cancelled b=waiting");
    ledger_hold(false);
}

SCENARIO(workflows_are_listed_newest_first_in_pages)
{
    dureq_workflow_filter f = dureq_workflow_filter_init();
    dureq_workflow_list *list = NULL;
    char last[24] = "~", cursor[24];
    int n = 0, pages = 0;

    node_start();
    for (int i = 0; i < 25; i++)
        (void)start("{\"name\":\"many\",\"tasks\":[" TASK("a", "") "]}");
    do {
        (void)snprintf(cursor, sizeof cursor, "%s", list ? list->next_cursor : "");
        if (pages++)
            dureq_workflow_list_destroy(list);
        f.cursor = cursor;
        RIG_OK(dureq_client_list_workflows(rig.client, &f, &list, &err));
        for (size_t i = 0; i < list->n; i++, n++) {
            EXPECT_TRUE(strcmp(list->items[i].id.text, last) < 0);
            (void)snprintf(last, sizeof last, "%s", list->items[i].id.text);
        }
    } while (*list->next_cursor && pages < 40);
    dureq_workflow_list_destroy(list);
    EXPECT_I64(25, n);
}

SCENARIO(a_node_that_dies_leaves_no_workflow_behind)
{
    static const char definition[] =
        "{\"name\":\"orphan\",\"tasks\":[" TASK("a", "") "," TASK("b", ",\"depends_on\":[\"a\"]") "]}";
    dureq_job_id id = start(definition); /* nobody is there */

    RIG_OK(dureq_client_cancel_workflow(rig.client, id.text, NULL, &err));
    expect_end(id.text, "cancelled", "a=cancelled b=waiting");
    id = start(definition);
    node_start();
    expect_end(id.text, "completed", "a=completed b=completed");
}

/* A cancel that comes before the leader has set the tasks back for a retry. */
SCENARIO(a_retry_that_is_cancelled_counts_what_stays)
{
    ledger_clear();
    dureq_node *n = rig_node("n1", "act", act, NULL);
    dureq_job_id id = start("{\"name\":\"counts\",\"max_running\":9,\"tasks\":[" TASK("a", "") "," ACT(
        "b", "!b", ",\"depends_on\":[\"a\"]" NO_RETRY) "]}");
    expect_end(id.text, "failed", "a=completed b=failed");
    RIG_OK(dureq_node_stop(n, &err)); /* no leader sets them back */
    RIG_OK(dureq_client_retry_workflow(rig.client, id.text, &err));
    RIG_OK(dureq_client_cancel_workflow(rig.client, id.text, NULL, &err));
    (void)rig_node("n2", "act", act, NULL);
    dureq_workflow *w = wait_for(id.text);
    uint32_t ended = 0;
    for (size_t i = 0; i < w->n; i++)
        ended += w->tasks[i].state > DUREQ_WORKFLOW_TASK_RELEASED;
    EXPECT_I64(ended, w->n_ended);
    EXPECT_I64(DUREQ_WORKFLOW_TASK_COMPLETED, w->tasks[0].state);
    EXPECT_I64(true, w->n_ended >= 1);
    dureq_workflow_destroy(w);
}

SCENARIO(a_cancelled_task_that_may_fail_is_not_done_again)
{
    node_start();
    ledger_hold(true);
    dureq_job_id id = start("{\"name\":\"stays\",\"tasks\":[" ACT("d", "+d", ",\"allow_failure\":true") "," TASK(
        "t", ",\"depends_on\":[\"d\"]") "," ACT("x", "!x", ",\"depends_on\":[\"t\"]" NO_RETRY) "]}");
    RIG_UNTIL(ledger_at("d") >= 0);
    dureq_workflow *w = get(id.text);
    RIG_OK(dureq_client_cancel(rig.client, w->tasks[0].job_id.text, NULL, &err));
    dureq_workflow_destroy(w);
    expect_end(id.text, "failed", "d=cancelled t=completed x=failed");
    ledger_clear();
    ledger_heal();
    RIG_OK(dureq_client_retry_workflow(rig.client, id.text, &err));
    expect_end(id.text, "completed", "d=cancelled t=completed x=completed");
    EXPECT_I64(-1, ledger_at("d"));
}

SCENARIO(a_queue_that_a_living_workflow_names_stays)
{
    dureq_queue_options o = dureq_queue_options_init();

    RIG_OK(dureq_client_set_queue(rig.client, "side", &o, false, NULL, &err));
    dureq_job_id id =
        start("{\"name\":\"named\",\"tasks\":[" TASK("a", "") "," TASK("b", ",\"depends_on\":[\"a\"],\"queue\":\"side\"") "]}");
    RIG_FAILS(DUREQ_ECONFLICT, "named by a workflow", dureq_client_delete_queue(rig.client, "side", true, NULL, &err));
    RIG_OK(dureq_client_cancel_workflow(rig.client, id.text, NULL, &err));
    RIG_OK(dureq_client_delete_queue(rig.client, "side", false, NULL, &err));
}

SCENARIO(the_job_of_a_task_is_not_retried_by_itself)
{
    node_start();
    dureq_job_id id = start("{\"name\":\"dead\",\"tasks\":[" ACT("a", "!a", NO_RETRY) "]}");
    expect_end(id.text, "failed", "a=failed");
    dureq_workflow *w = get(id.text);
    RIG_FAILS(DUREQ_EUNSUPPORTED, "is a task of a workflow", dureq_client_retry(rig.client, w->tasks[0].job_id.text, true, &err));
    dureq_workflow_destroy(w);
}

/* Payloads over 32 KiB are keys of their own. */
static size_t large_len;

static int measure(dureq_run *run, void *userdata)
{
    (void)userdata;
    large_len = dureq_run_payload(run).len;
    return 0;
}

SCENARIO(large_payloads_go_along)
{
    DQ_BUF_AUTO text = {0};

    dq_buf_append_text(&text,
                       "{\"name\":\"large\",\"tasks\":[" TASK(
                           "first", "") ",{\"name\":\"big\",\"task_type\":\"measure\",\"depends_on\":[\"first\"],\"payload\":\"");
    for (int i = 0; i < 100000; i++)
        dq_buf_append_char(&text, 'x');
    dq_buf_append_text(&text, "\"}]}");
    ledger_clear();
    dureq_node_options o = rig_node_options("n1");
    dureq_node *n = rig_node_create(&o);
    rig_handle(n, "act", act, NULL, NULL);
    rig_handle(n, "measure", measure, NULL, NULL);
    rig_start(n);
    dureq_job_id id = start(text.ptr);
    expect_end(id.text, "completed", "first=completed big=completed");
    EXPECT_I64(100002, large_len);
}

/* ---- results ---- */

static char got[3][256];
static size_t got_len;

/* Gives what its payload asks for; what it was given is kept in got[0..2], for payloads (or originals) 0, 1, 2. */
static int give(dureq_run *run, void *userdata)
{
    dureq_str p = dureq_run_payload(run);
    const char *at = p.len ? memchr(p.ptr, '#', p.len) : NULL;

    (void)userdata;
    pthread_mutex_lock(&ledger.mu);
    if (at && at[1] >= '0' && at[1] <= '2')
        (void)snprintf(got[at[1] - '0'], sizeof got[0], "%.*s", (int)(p.len < 255 ? p.len : 255), p.ptr);
    got_len = p.len > got_len ? p.len : got_len;
    pthread_mutex_unlock(&ledger.mu);
    if (p.len > 5 && memcmp(p.ptr, "\"json", 5) == 0)
        return dureq_run_set_result(run, dureq_str_from("{\"n\":7}"), NULL);
    if (p.len > 5 && memcmp(p.ptr, "\"text", 5) == 0)
        return dureq_run_set_result(run, dureq_str_from("plain"), "text/plain");
    if (p.len > 4 && memcmp(p.ptr, "\"cut", 4) == 0)
        return dureq_run_fail(run, 1, "caf\xC3");
    if (p.len > 5 && memcmp(p.ptr, "\"skip", 5) == 0)
        return dureq_run_skip(run, "nothing to do");
    if (p.len > 5 && memcmp(p.ptr, "\"fail", 5) == 0)
        return dureq_run_fail(run, 1, "it \"broke\"");
    if (p.len > 6 && memcmp(p.ptr, "\"large", 6) == 0) {
        DQ_BUF_AUTO text = {0};

        dq_buf_append_char(&text, '"');
        for (int i = 0; i < 700000; i++)
            dq_buf_append_char(&text, 'x');
        dq_buf_append_char(&text, '"');
        return dureq_run_set_result(run, dq_buf_str(&text), "application/json");
    }
    return 0;
}

#define GIVE(name, payload, more) "{\"name\":\"" name "\",\"task_type\":\"give\",\"payload\":\"" payload "\"" more "}"

SCENARIO(results_go_on_to_those_who_ask_for_them)
{
    memset(got, 0, sizeof got);
    (void)rig_node("n1", "give", give, NULL);
    dureq_job_id id = start(
        "{\"name\":\"pipes\",\"tasks\":[" GIVE("a", "json", "") "," GIVE("b", "text", "") "," GIVE("c \\u00e9", "fail", ",\"allow_failure\":true" NO_RETRY) "," GIVE(
            "one", "#0",
            ",\"depends_on\":[\"a\"],\"result_from\":\"a\"") "," GIVE("raw", "#1",
                                                                      ",\"depends_on\":[\"b\"],\"result_from\":\"b\"") "," GIVE("all",
                                                                                                                                "#2",
                                                                                                                                ",\"depends_on\":[\"a\",\"b\",\"c \\u00e9\"],\"result_from\":[\"a\",\"c \\u00e9\",\"b\"]") "]}");
    expect_end(id.text, "completed", "one=completed raw=completed all=completed");
    ledger_settle();
    EXPECT_TEXT("{\"upstream\":{\"n\":7},\"original\":\"#0\"}", got[0]);
    EXPECT_TEXT("{\"upstream_base64\":\"cGxhaW4=\",\"original\":\"#1\"}", got[1]);
    EXPECT_TEXT(
        "{\"upstream\":{\"a\":{\"n\":7},\"c \u00e9\":null,\"b\":{\"base64\":\"cGxhaW4=\"}},\"errors\":{\"c \u00e9\":\"it \\\"broke\\\"\"},\"original\":\"#2\"}",
        got[2]);
}

SCENARIO(what_is_no_utf8_is_handed_on_as_json)
{
    memset(got, 0, sizeof got);
    (void)rig_node("n1", "give", give, NULL);
    dureq_job_id id = start(
        "{\"name\":\"cut\",\"tasks\":[" GIVE("a", "cut", ",\"allow_failure\":true" NO_RETRY) "," GIVE("b", "skip", "") "," GIVE(
            "one", "#0",
            ",\"depends_on\":[\"a\"],\"result_from\":\"a\"") "," GIVE("two", "#1",
                                                                      ",\"depends_on\":[\"b\"],\"result_from\":\"b\"") "]}");
    expect_end(id.text, "completed", "a=failed b=skipped one=completed two=completed");
    ledger_settle();
    EXPECT_TEXT("{\"upstream\":null,\"error\":\"caf\xEF\xBF\xBD\",\"original\":\"#0\"}", got[0]);
    EXPECT_TEXT("{\"upstream\":null,\"original\":\"#1\"}", got[1]);
}

/* The bound is on what it gets, not on what it has. */
SCENARIO(a_large_payload_is_no_large_result)
{
    DQ_BUF_AUTO text = {0};

    dq_buf_append_text(&text, "{\"name\":\"large\",\"tasks\":[" GIVE(
                                  "a", "json", "") ",{\"name\":\"big\",\"task_type\":\"give\",\"depends_on\":[\"a\"],"
                                                   "\"result_from\":\"a\",\"payload\":\"");
    for (int i = 0; i < 1048560; i++)
        dq_buf_append_char(&text, 'x');
    dq_buf_append_text(&text, "\"}]}");
    (void)rig_node("n1", "give", give, NULL);
    dureq_job_id id = start(text.ptr);
    expect_end(id.text, "completed", "a=completed big=completed");
}

SCENARIO(large_results_go_on_as_large_payloads)
{
    got_len = 0;
    (void)rig_node("n1", "give", give, NULL);
    dureq_job_id id = start("{\"name\":\"large\",\"tasks\":[" GIVE("a", "large", "") "," GIVE("b", "large", "") "," GIVE(
        "one", "#0",
        ",\"depends_on\":[\"a\"],\"result_from\":\"a\"") "," GIVE("both", "#1",
                                                                  ",\"depends_on\":[\"a\",\"b\",\"one\"],\"result_from\":[\"a\",\"b\"]") "]}");
    expect_end(id.text, "failed", "a=completed b=completed one=completed both=failed");
    ledger_settle();
    EXPECT_I64(700002 + (int64_t)strlen("{\"upstream\":,\"original\":\"#0\"}"), got_len);
    dureq_workflow *w = get(id.text);
    EXPECT_HAS("take over 1 MiB", w->tasks[3].error.ptr);
    dureq_workflow_destroy(w);
}

RIG_MAIN()
