/* SPDX-License-Identifier: Apache-2.0 */
/* Steps: what a handler does once, however often its job runs. */
#include "test_rig.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#define TEXT_MAX 128

/* What a scenario's handler is told, and what came of it. */
typedef struct plan {
    int fail_until;    /* runs up to this number end with a retry after their steps */
    int step_fails;    /* so many times */
    bool repeats;      /* the first run */
    const char *gives; /* what step "a" gives; NULL: nothing */
    atomic_int done_a, done_b, runs, in_step;
    atomic_int rc; /* of the last step */
    char given[TEXT_MAX], keys[4][TEXT_MAX], said[DUREQ_ERROR_MSG_MAX];
} plan;

static int step_a(dureq_step *step, void *userdata)
{
    plan *p = userdata;
    int n = atomic_fetch_add(&p->done_a, 1);

    (void)snprintf(p->keys[n % 4], TEXT_MAX, "%s", dureq_step_idempotency_key(step));
    if (n < p->step_fails)
        return DUREQ_EIO;
    return p->gives ? dureq_step_set_result(step, dureq_str_from(p->gives)) : 0;
}

static int step_b(dureq_step *step, void *userdata)
{
    plan *p = userdata;

    (void)step;
    atomic_fetch_add(&p->done_b, 1);
    return 0;
}

static int two_steps(dureq_run *run, void *userdata)
{
    plan *p = userdata;
    int n = atomic_fetch_add(&p->runs, 1) + 1;
    dureq_error err = {0};
    char *given = NULL;
    size_t len = 0;
    int rc = dureq_run_step(run, "a", step_a, p, &given, &len, &err);

    atomic_store(&p->rc, rc);
    if (rc < 0)
        return dureq_run_retry(run, rc, "%s", err.msg);
    (void)snprintf(p->given, sizeof p->given, "%s", given);
    dureq_free(given);
    if (len != strlen(p->given))
        return DUREQ_EPROTO;
    rc = dureq_run_step(run, "b", step_b, p, NULL, NULL, &err);
    if (rc < 0)
        return rc;
    if (n == 1 && p->repeats)
        return dureq_run_repeat(run, 0, (dureq_str){0});
    return n <= p->fail_until ? dureq_run_retry(run, 1, "not yet") : dureq_run_set_result(run, dureq_str_from("1"), NULL);
}

static dureq_job_id enqueue(int64_t retention_ms)
{
    dureq_job_options o = dureq_job_options_init();
    dureq_retry_policy policy = dureq_retry_policy_init();

    policy.initial_delay_ms = -1;
    o.retry_policy = &policy;
    o.retention_ms = retention_ms;
    return rig_enqueue("work", "1", &o);
}

static dureq_job_id run_one(plan *p, dureq_job_state end)
{
    dureq_job_id id;

    (void)rig_node("n", "work", two_steps, p);
    id = enqueue(0);
    EXPECT_I64(end, rig_wait(id.text)->state);
    return id;
}

/* Keys with steps, over all jobs of the prefix. */
static long long n_kept(void)
{
    char script[256];

    (void)snprintf(script, sizeof script,
                   "local n, c = 0, '0' repeat local s = redis.call('SCAN', c, 'MATCH', '{%s:*}:sp:*', 'COUNT', 1000) "
                   "c, n = s[1], n + #s[2] until c == '0' return n",
                   rig.prefix);
    return test_redis_command_int(rig.server, "EVAL", script, "0", NULL);
}

SCENARIO(a_step_is_done_once_over_all_attempts)
{
    plan p = {.fail_until = 2, .gives = "{\"receipt\": 17}"};
    dureq_job_id id = run_one(&p, DUREQ_JOB_COMPLETED);
    dureq_step_list *steps;

    EXPECT_I64(3, atomic_load(&p.runs));
    EXPECT_I64(1, atomic_load(&p.done_a));
    EXPECT_I64(1, atomic_load(&p.done_b));
    EXPECT_I64(1, atomic_load(&p.rc));
    EXPECT_TEXT("{\"receipt\": 17}", p.given);
    RIG_OK(dureq_client_list_steps(rig.client, id.text, &steps, &err));
    EXPECT_U64(2, steps->n);
    EXPECT_STR_TEXT("a", steps->items[0].key);
    EXPECT_STR_TEXT("b", steps->items[1].key);
    EXPECT_TRUE(steps->items[0].is_done && steps->items[1].is_done);
    EXPECT_I64(1, steps->items[0].run);
    EXPECT_STR_TEXT("{\"receipt\": 17}", steps->items[0].result);
    EXPECT_U64(0, steps->items[1].result.len);
    EXPECT_TRUE(steps->items[0].started_at_ms > 0 && steps->items[0].finished_at_ms >= steps->items[0].started_at_ms);
    dureq_step_list_destroy(steps);
}

SCENARIO(a_step_that_failed_is_done_again_under_the_same_key)
{
    plan p = {.step_fails = 1, .gives = "x"};
    dureq_job_id id = run_one(&p, DUREQ_JOB_COMPLETED);
    char key[TEXT_MAX];

    EXPECT_I64(2, atomic_load(&p.done_a));
    (void)snprintf(key, sizeof key, "dureq:%s:0:a", id.text);
    EXPECT_TEXT(key, p.keys[0]);
    EXPECT_TEXT(key, p.keys[1]);
    EXPECT_HAS("step 'a': a system call failed", rig_job(id.text)->attempts[0].error.ptr);
}

SCENARIO(a_repeat_does_its_steps_anew)
{
    plan p = {.repeats = true, .gives = "x"};
    dureq_job_id id = run_one(&p, DUREQ_JOB_COMPLETED);
    char key[TEXT_MAX];

    EXPECT_I64(2, atomic_load(&p.done_a));
    EXPECT_I64(2, atomic_load(&p.done_b));
    (void)snprintf(key, sizeof key, "dureq:%s:1:a", id.text);
    EXPECT_TEXT(key, p.keys[1]);
}

SCENARIO(steps_stay_while_a_dead_job_is_kept_and_go_on_when_it_is_retried)
{
    plan p = {.fail_until = 3, .gives = "x"};
    dureq_job_id id = run_one(&p, DUREQ_JOB_DEAD);

    EXPECT_I64(1, n_kept());
    RIG_OK(dureq_client_retry(rig.client, id.text, /*force=*/false, &err));
    EXPECT_I64(DUREQ_JOB_COMPLETED, rig_wait(id.text)->state);
    EXPECT_I64(1, atomic_load(&p.done_a));
    EXPECT_I64(1, n_kept());
    RIG_OK(dureq_client_delete(rig.client, id.text, &err));
    EXPECT_I64(0, n_kept());
    RIG_FAILS(DUREQ_ENOTFOUND, "no job", dureq_client_list_steps(rig.client, id.text, &(dureq_step_list *){NULL}, &err));
}

SCENARIO(steps_of_a_job_that_is_not_kept_go_with_it)
{
    plan p = {.fail_until = 1, .gives = "x"};
    dureq_job_id id;

    (void)rig_node("n", "work", two_steps, &p);
    id = enqueue(-1);
    (void)rig_wait(id.text);
    EXPECT_I64(2, atomic_load(&p.runs));
    EXPECT_I64(0, n_kept());
}

SCENARIO(a_job_without_steps_has_none)
{
    dureq_job_id id = enqueue(0);
    dureq_step_list *steps;

    RIG_OK(dureq_client_list_steps(rig.client, id.text, &steps, &err));
    EXPECT_U64(0, steps->n);
    dureq_step_list_destroy(steps);
    EXPECT_I64(0, n_kept());
}

/* ---- what may go wrong ---- */

static int wait_in_step(dureq_step *step, void *userdata)
{
    plan *p = userdata;
    int none = 0;

    (void)step;
    (void)atomic_compare_exchange_strong(&p->in_step, &none, 1);
    while (atomic_load(&p->in_step) == 1)
        rig_pause();
    return 0;
}

static int one_step(dureq_run *run, void *userdata)
{
    plan *p = userdata;
    dureq_error err = {0};
    int rc = dureq_run_step(run, "slow", wait_in_step, p, NULL, NULL, &err);

    (void)snprintf(p->said, sizeof p->said, "%s", err.msg);
    atomic_store(&p->rc, rc);
    atomic_fetch_add(&p->runs, 1);
    return rc;
}

SCENARIO(a_run_whose_job_was_cancelled_records_no_more)
{
    plan p = {0};
    dureq_step_list *steps;
    dureq_job_id id;

    (void)rig_node("n", "work", one_step, &p);
    id = enqueue(0);
    RIG_UNTIL(atomic_load(&p.in_step) == 1);
    RIG_OK(dureq_client_cancel(rig.client, id.text, NULL, &err));
    atomic_store(&p.in_step, 2);
    RIG_UNTIL(atomic_load(&p.runs) == 1);
    EXPECT_I64(DUREQ_EFENCED, atomic_load(&p.rc));
    EXPECT_HAS("its job went on without this run", p.said);
    RIG_OK(dureq_client_list_steps(rig.client, id.text, &steps, &err));
    EXPECT_U64(1, steps->n);
    EXPECT_FALSE(steps->items[0].is_done);
    dureq_step_list_destroy(steps);
    RIG_OK(dureq_client_delete(rig.client, id.text, &err));
    EXPECT_I64(0, n_kept());
}

/* The connections of everyone break while the step is under way; its end waits for the next one. */
SCENARIO(a_lost_connection_loses_no_step)
{
    plan p = {0};
    dureq_job_id id;

    (void)rig_node("n", "work", one_step, &p);
    id = enqueue(0);
    RIG_UNTIL(atomic_load(&p.in_step) == 1);
    (void)test_redis_command_int(rig.server, "CLIENT", "KILL", "TYPE", "normal", NULL);
    atomic_store(&p.in_step, 2);
    EXPECT_I64(DUREQ_JOB_COMPLETED, rig_wait(id.text)->state);
    EXPECT_I64(0, atomic_load(&p.rc));
    EXPECT_I64(1, atomic_load(&p.runs));
}

/* A server that stands while a run is told to stop: the handler is not held. */
SCENARIO(a_run_that_is_told_to_stop_does_not_wait_for_the_server)
{
    plan p = {0};
    dureq_node_options o = rig_node_options("n");
    dureq_handler_options ho = dureq_handler_options_init();
    dureq_node *n = rig_node_create(&o);
    dureq_job_id id;

    ho.timeout_ms = 300;
    ho.grace_ms = 400;
    rig_handle(n, "work", one_step, &p, &ho);
    rig_start(n);
    id = enqueue(0);
    RIG_UNTIL(atomic_load(&p.in_step) == 1);
    test_redis_freeze(rig.server);
    atomic_store(&p.in_step, 2);
    int64_t until = rig_mono_ms() + RIG_LIMIT_MS; /* it is thawed whatever happens */
    while (atomic_load(&p.runs) == 0 && rig_mono_ms() < until)
        rig_pause();
    int n_ended = atomic_load(&p.runs), rc = atomic_load(&p.rc);
    test_redis_thaw(rig.server);
    EXPECT_I64(1, n_ended);
    EXPECT_TRUE(rc == DUREQ_ECANCELLED || rc == DUREQ_EFENCED); /* the latter when this machine was slow and the grace is over */
    (void)rig_wait(id.text);
    RIG_UNTIL(rig_stats(n).running == 0);
}

static int many_steps(dureq_run *run, void *userdata)
{
    plan *p = userdata;
    dureq_error err = {0};
    char key[16];
    int rc = 0;

    for (int i = 0; rc >= 0 && i <= DUREQ_STEPS_MAX; i++) {
        (void)snprintf(key, sizeof key, "%d", i);
        rc = dureq_run_step(run, key, step_b, p, NULL, NULL, &err);
    }
    (void)snprintf(p->said, sizeof p->said, "%s", err.msg);
    return dureq_run_fail(run, rc, "%s", err.msg);
}

SCENARIO(a_job_has_at_most_a_thousand_steps)
{
    plan p = {0};
    dureq_step_list *steps;
    dureq_job_id id;

    (void)rig_node("n", "work", many_steps, &p);
    id = enqueue(0);
    EXPECT_I64(DUREQ_JOB_DEAD, rig_wait(id.text)->state);
    EXPECT_I64(DUREQ_STEPS_MAX, atomic_load(&p.done_b));
    EXPECT_TEXT("a job may have 1000 steps", p.said);
    RIG_OK(dureq_client_list_steps(rig.client, id.text, &steps, &err));
    EXPECT_U64(DUREQ_STEPS_MAX, steps->n);
    dureq_step_list_destroy(steps);
}

static int half(dureq_step *step, void *userdata)
{
    static char text[DUREQ_STEPS_BYTES_MAX / 2 + 1];

    (void)userdata;
    return dureq_step_set_result(step, dureq_str_of(text, sizeof text));
}

static int two_halves(dureq_run *run, void *userdata)
{
    plan *p = userdata;
    dureq_error err = {0};
    size_t len = 0;
    char *given = NULL;
    int rc = dureq_run_step(run, "first", half, NULL, &given, &len, &err);

    dureq_free(given);
    if (rc < 0 || len != DUREQ_STEPS_BYTES_MAX / 2 + 1)
        return dureq_run_fail(run, 0, "the first half: %d, %zu bytes: %s", rc, len, err.msg);
    rc = dureq_run_step(run, "second", half, NULL, NULL, NULL, &err);
    atomic_store(&p->rc, rc);
    (void)snprintf(p->said, sizeof p->said, "%s", err.msg);
    return 0;
}

SCENARIO(results_of_steps_take_a_mebibyte_together)
{
    plan p = {0};
    dureq_job_id id;

    (void)rig_node("n", "work", two_halves, &p);
    id = enqueue(0);
    EXPECT_I64(DUREQ_JOB_COMPLETED, rig_wait(id.text)->state);
    EXPECT_I64(DUREQ_ETOOLARGE, atomic_load(&p.rc));
    EXPECT_TEXT("the job's steps and their results would take more than 1048576 bytes", p.said);
}

static int wrong_keys(dureq_run *run, void *userdata)
{
    plan *p = userdata;
    char key[DUREQ_KEY_MAX + 2];

    memset(key, 'k', sizeof key - 1);
    key[sizeof key - 1] = '\0';
    if (dureq_run_step(run, "", step_b, p, NULL, NULL, NULL) != DUREQ_EINVAL ||
        dureq_run_step(run, NULL, step_b, p, NULL, NULL, NULL) != DUREQ_EINVAL ||
        dureq_run_step(run, key, step_b, p, NULL, NULL, NULL) != DUREQ_EINVAL)
        return DUREQ_EPROTO;
    return dureq_run_step(run, key + 1, step_b, p, NULL, NULL, NULL);
}

SCENARIO(a_key_has_256_bytes_at_most)
{
    plan p = {0};
    dureq_job_id id;

    (void)rig_node("n", "work", wrong_keys, &p);
    id = enqueue(0);
    EXPECT_I64(DUREQ_JOB_COMPLETED, rig_wait(id.text)->state);
    EXPECT_I64(1, atomic_load(&p.done_b));
}

/* A session of a version that would lose steps, on each shard; and away with it. */
static void old_session(bool there)
{
    for (int i = 0; i < rig.shards; i++) {
        char session[80], lease[80];

        (void)snprintf(session, sizeof session, "{%s:%d}:s:7", rig.prefix, i);
        (void)snprintf(lease, sizeof lease, "{%s:%d}:lease", rig.prefix, i);
        if (there) {
            (void)test_redis_command_int(rig.server, "HSET", session, "st", "live", "node", "old-one", "ver", "6", NULL);
            (void)test_redis_command_int(rig.server, "ZADD", lease, "9999999999999", "7", NULL);
        } else {
            (void)test_redis_command_int(rig.server, "DEL", session, NULL);
            (void)test_redis_command_int(rig.server, "ZREM", lease, "7", NULL);
        }
    }
}

SCENARIO(a_node_of_an_older_version_is_named)
{
    plan p = {.gives = "x"};
    dureq_job_id id;

    (void)rig_node("n", "work", two_steps, &p);
    old_session(true);
    id = enqueue(0);
    EXPECT_I64(DUREQ_JOB_DEAD, rig_wait(id.text)->state);
    EXPECT_HAS("nodes are too old for this: old-one", rig_job(id.text)->last_error.ptr);
    EXPECT_I64(0, atomic_load(&p.done_a));
    old_session(false);
    RIG_OK(dureq_client_retry(rig.client, id.text, /*force=*/false, &err));
    EXPECT_I64(DUREQ_JOB_COMPLETED, rig_wait(id.text)->state);
}

RIG_MAIN()
