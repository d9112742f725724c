/* SPDX-License-Identifier: Apache-2.0 */
/* Late runs: what Redis says of handlers whose job went on without them. */
#include "test_rig.h"

#include <stdatomic.h>
#include <stdio.h>

typedef struct hold {
    atomic_bool let_go;
    atomic_int entered, left;
} hold;

/* Hears nothing until it is let go. */
static int deaf(dureq_run *run, void *userdata)
{
    hold *h = userdata;

    (void)run;
    atomic_fetch_add(&h->entered, 1);
    for (int i = 0; i < 5000 && !atomic_load(&h->let_go); i++)
        rig_pause();
    atomic_fetch_add(&h->left, 1);
    return 0;
}

static dureq_node *node_with(hold *h, int64_t timeout_ms, int32_t threads)
{
    dureq_node_options o = rig_node_options("n");
    dureq_handler_options ho = dureq_handler_options_init();
    dureq_node *n;

    o.threads = threads ? threads : o.threads;
    n = rig_node_create(&o);
    ho.timeout_ms = timeout_ms;
    ho.grace_ms = 100;
    rig_handle(n, "work", deaf, h, &ho);
    rig_start(n);
    return n;
}

static dureq_job_id enqueue(void)
{
    dureq_job_options o = dureq_job_options_init();
    dureq_retry_policy p = {.struct_size = sizeof p, .max_attempts = 1};

    o.retry_policy = &p;
    return rig_enqueue("work", "1", &o);
}

/* Jobs with late runs, over all shards. */
static long long n_late(void)
{
    long long n = 0;

    for (int i = 0; i < rig.shards; i++) {
        char key[80];

        (void)snprintf(key, sizeof key, "{%s:%d}:lr", rig.prefix, i);
        n += test_redis_command_int(rig.server, "HLEN", key, NULL);
    }
    return n;
}

SCENARIO(a_cancelled_run_is_late_until_its_handler_has_ended)
{
    hold h = {0};
    dureq_node *n = node_with(&h, 0, 0);
    dureq_job_id id = enqueue();

    RIG_UNTIL(atomic_load(&h.entered) == 1);
    EXPECT_I64(0, n_late());
    RIG_OK(dureq_client_cancel(rig.client, id.text, NULL, &err));
    EXPECT_I64(1, n_late()); /* from the same step on */
    RIG_UNTIL(rig_stats(n).stuck == 1);
    int64_t since = rig_mono_ms();
    RIG_UNTIL(rig_mono_ms() - since > 700); /* some heartbeats have come by, and found it here */
    EXPECT_I64(1, n_late());
    atomic_store(&h.let_go, true);
    RIG_UNTIL_MS(1000, n_late() == 0);
    EXPECT_I64(1, atomic_load(&h.left));
}

SCENARIO(a_run_that_timed_out_is_late_when_its_handler_does_not_end)
{
    hold h = {0};
    dureq_node *n = node_with(&h, 100, 0);

    for (int i = 0; i < 20 && rig_stats(n).stuck == 0; i++) /* on a busy machine a run may find no thread in its time */
        EXPECT_I64(DUREQ_JOB_DEAD, rig_wait(enqueue().text)->state);
    EXPECT_I64(1, rig_stats(n).stuck);
    EXPECT_I64(1, n_late()); /* from the step on that ended the job */
    EXPECT_I64(0, atomic_load(&h.left));
    atomic_store(&h.let_go, true);
    RIG_UNTIL_MS(1000, n_late() == 0);
    EXPECT_I64(1, atomic_load(&h.left));
}

static int polite(dureq_run *run, void *userdata)
{
    (void)userdata;
    return dureq_run_wait_cancelled(run, 8000) ? DUREQ_ETIMEOUT : 0;
}

SCENARIO(a_run_that_ends_when_it_is_told_is_late_no_longer)
{
    dureq_node *n = rig_node("n", "work", polite, NULL);
    dureq_job_id ids[20];

    for (int i = 0; i < 20; i++)
        ids[i] = enqueue();
    RIG_UNTIL(rig_stats(n).running > 3);
    for (int i = 0; i < 20; i++) /* those that wait yet are cancelled as well */
        RIG_OK(dureq_client_cancel(rig.client, ids[i].text, NULL, &err));
    RIG_UNTIL(n_late() == 0);
    RIG_UNTIL(rig_stats(n).running == 0);
}

/* It has its slot and waits for the only thread. */
SCENARIO(a_run_that_never_began_is_late_for_a_moment)
{
    hold h = {0};
    dureq_node *n = node_with(&h, 0, 1);
    dureq_job_id one = enqueue(), two;

    RIG_UNTIL(atomic_load(&h.entered) == 1);
    two = enqueue();
    RIG_UNTIL(rig_stats(n).running == 2);
    RIG_OK(dureq_client_cancel(rig.client, two.text, NULL, &err));
    RIG_UNTIL_MS(1000, n_late() == 0);
    EXPECT_I64(DUREQ_JOB_RUNNING, rig_state(one.text));
    atomic_store(&h.let_go, true);
    EXPECT_I64(DUREQ_JOB_COMPLETED, rig_wait(one.text)->state);
}

/* What is on record and does not run here was not reported, or its report was lost: the next heartbeats find it out. */
static void expect_found_out(const char *n_each)
{
    hold h = {0};
    dureq_job_id id;

    (void)node_with(&h, 0, 0);
    id = enqueue();
    RIG_UNTIL(atomic_load(&h.entered) == 1);
    for (int i = 0; i < rig.shards; i++) {
        char base[64];

        (void)snprintf(base, sizeof base, "{%s:%d}:", rig.prefix, i);
        long long n = test_redis_command_int(
            rig.server, "EVAL",
            "local n = 0 for _, s in ipairs(redis.call('ZRANGE', KEYS[1] .. 'lease', 0, -1)) do "
            "for i = 1, tonumber(ARGV[1]) do local id = string.format('%013d', i) "
            "redis.call('SADD', KEYS[1] .. 'lr:' .. s, id .. struct.pack('>I2', 1)) "
            "redis.call('HSET', KEYS[1] .. 'lr', id, struct.pack('>I6I2', tonumber(s), 1)) n = n + 1 end end return n",
            "1", base, n_each, NULL);
        EXPECT_I64(strtol(n_each, NULL, 10), n);
    }
    RIG_UNTIL(n_late() == 0);
    atomic_store(&h.let_go, true);
    EXPECT_I64(DUREQ_JOB_COMPLETED, rig_wait(id.text)->state);
}

SCENARIO(what_is_late_by_mistake_is_found_out)
{
    expect_found_out("1");
}

SCENARIO(more_than_one_answer_shows_is_found_out_too)
{
    expect_found_out("600");
}

RIG_MAIN()
