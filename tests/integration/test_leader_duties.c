/* SPDX-License-Identifier: Apache-2.0 */
/* What happens by the clock: jobs for later, one leader a shard, take-over when it is gone, jobs that waited too long. */
#include "test_rig.h"

#include <stdatomic.h>
#include <stdlib.h>

static int fine(dureq_run *task, void *userdata)
{
    (void)task;
    if (userdata)
        atomic_fetch_add((atomic_int *)userdata, 1);
    return 0;
}

static dureq_node *node(const char *id, int64_t lease_ms, bool never_leads)
{
    dureq_node_options o = rig_node_options(id);
    dureq_node *n;

    o.lease_ms = lease_ms;
    o.never_leads = never_leads;
    o.concurrency = 64;
    n = rig_node_create(&o);
    rig_handle(n, "t", fine, NULL, NULL);
    rig_start(n);
    return n;
}

static dureq_job_id later(int64_t delay_ms)
{
    dureq_job_options o = dureq_job_options_init();

    o.delay_ms = delay_ms;
    return rig_enqueue("t", "1", &o);
}

/* Which sessions are leaders: a field of each shard's small state. "" when a shard has none yet. */
static void leader_of(int shard, char out[32])
{
    char key[80];
    char *reply;

    (void)snprintf(key, sizeof key, "{%s:%d}:sh", rig.prefix, shard);
    reply = test_redis_command(rig.server, "HGET", key, "tk", NULL);
    out[0] = '\0';
    if (reply[0] == '$' && reply[1] != '-')
        (void)snprintf(out, 32, "%.*s", (int)strcspn(strchr(reply, '\n') + 1, "\r"), strchr(reply, '\n') + 1);
    free(reply);
}

static bool all_have_leaders(void)
{
    for (int s = 0; s < rig.shards; s++) {
        char who[32];

        leader_of(s, who);
        if (who[0] == '\0' || strcmp(who, "0") == 0)
            return false;
    }
    return true;
}

static int nodes_that_lead(void)
{
    dureq_node_list *list = NULL;
    int n = 0;

    RIG_OK(dureq_client_list_nodes(rig.client, &list, &err));
    for (size_t i = 0; i < list->n; i++)
        n += list->items[i].leader;
    dureq_node_list_destroy(list);
    return n;
}

/* ---- on time ---- */

SCENARIO(jobs_for_later_start_on_time_each_in_its_turn)
{
    enum { N = 40 };
    dureq_job_id ids[N];

    (void)node("n", 60000, false); /* its heartbeats are too rare to help */
    RIG_UNTIL(all_have_leaders());
    for (int i = 0; i < N; i++)
        ids[i] = later(100 + (i * 17) % N * 20);
    for (int i = 0; i < N; i++) {
        const dureq_job *j = rig_wait(ids[i].text);
        int64_t due = j->created_at_ms + 100 + (i * 17) % N * 20, late = j->started_at_ms - due;

        EXPECT_NOTE("job %d started %lld ms late", i, (long long)late);
        EXPECT_TRUE(late >= -1 && late < 500);
    }
}

SCENARIO(a_sooner_job_is_not_held_up_by_one_that_is_due_later)
{
    dureq_job_id far, near;

    (void)node("n", 60000, false);
    RIG_UNTIL(all_have_leaders());
    far = later(3600000);
    near = later(150);
    EXPECT_TRUE(rig_wait(near.text)->started_at_ms - rig_job(near.text)->created_at_ms < 1000);
    EXPECT_I64(DUREQ_JOB_SCHEDULED, rig_state(far.text));
}

SCENARIO(many_jobs_due_at_once_all_start)
{
    enum { N = 1500 };
    dureq_job_options o = dureq_job_options_init();
    dureq_job_spec *specs = calloc(N, sizeof *specs);
    dureq_enqueue_result *r = calloc(N, sizeof *r);

    o.run_at_ms = rig_server_ms() + 400;
    for (int i = 0; i < N; i++)
        specs[i] = (dureq_job_spec){.task_type = "t", .payload = DQ_STR_LIT("1"), .options = &o};
    RIG_OK(dureq_client_enqueue_many(rig.client, specs, N, r, &err));
    EXPECT_I64(N, rig_counts().scheduled);
    (void)node("n", 1000, false);
    RIG_UNTIL(rig_counts().completed == N);
    for (int i = 0; i < N; i += 100)
        EXPECT_TRUE(rig_job(r[i].id.text)->started_at_ms >= o.run_at_ms);
    free(specs);
    free(r);
}

/* ---- one a shard ---- */

SCENARIO(of_two_nodes_each_shard_has_one_leader_and_it_stays)
{
    char who[4][32];

    (void)node("a", 400, false);
    RIG_UNTIL(all_have_leaders());
    for (int s = 0; s < rig.shards; s++)
        leader_of(s, who[s]);
    (void)node("b", 400, false);
    RIG_UNTIL(rig_counts().nodes == 2);
    int64_t since = rig_mono_ms();
    RIG_UNTIL(rig_mono_ms() - since > 900); /* more than two leases */
    for (int s = 0; s < rig.shards; s++) {
        char now[32];

        leader_of(s, now);
        EXPECT_TEXT(who[s], now);
    }
    EXPECT_I64(1, nodes_that_lead());
}

SCENARIO(a_node_that_does_not_stand_is_never_leader)
{
    dureq_job_id id;

    (void)node("worker", 400, true);
    id = later(50);
    int64_t since = rig_mono_ms();
    RIG_UNTIL(rig_mono_ms() - since > 700);
    EXPECT_I64(DUREQ_JOB_SCHEDULED, rig_state(id.text));
    EXPECT_I64(0, nodes_that_lead());
    (void)node("leader", 400, false);
    EXPECT_I64(DUREQ_JOB_COMPLETED, rig_wait(id.text)->state);
    EXPECT_I64(1, nodes_that_lead());
}

SCENARIO(another_node_takes_over_when_the_leader_stops)
{
    dureq_node *first = node("first", 800, false);
    dureq_job_id id;

    RIG_UNTIL(all_have_leaders());
    (void)node("second", 800, false);
    id = later(1000);
    RIG_OK(dureq_node_stop(first, &err));
    const dureq_job *j = rig_wait(id.text);
    EXPECT_I64(DUREQ_JOB_COMPLETED, j->state);
    EXPECT_STR_TEXT("second", j->node_id);
    EXPECT_TRUE(j->started_at_ms - j->created_at_ms < 1000 + 800 + 1000);
    RIG_UNTIL(nodes_that_lead() == 1);
}

/* ---- waited too long ---- */

/* The leaders' first look is over: the next comes by itself in a minute only. */
static void settle(void)
{
    int64_t since = rig_mono_ms();

    RIG_UNTIL(all_have_leaders() && rig_mono_ms() - since > 300);
}

static dureq_job_id limited(const char *type, int64_t limit_ms, int64_t delay_ms)
{
    dureq_job_options o = dureq_job_options_init();

    o.schedule_to_start_timeout_ms = limit_ms;
    o.delay_ms = delay_ms;
    return rig_enqueue(type, "1", &o);
}

SCENARIO(a_job_that_waited_too_long_is_dead_with_that_reason)
{
    dureq_job_id late, long_enough, runs;
    const dureq_job *j;

    (void)node("n", 800, false);
    settle();
    late = limited("nobody", 200, 0);
    long_enough = limited("nobody", 3600000, 0);
    runs = limited("t", 200, 0);
    j = rig_wait(late.text);
    EXPECT_I64(DUREQ_JOB_DEAD, j->state);
    EXPECT_TRUE(j->reason.len > 0);
    EXPECT_HAS("start", j->reason.ptr);
    EXPECT_I64(0, j->runs);
    EXPECT_TRUE(j->finished_at_ms - j->created_at_ms >= 195);
    EXPECT_TRUE(j->finished_at_ms - j->created_at_ms < 2500);
    EXPECT_I64(DUREQ_JOB_PENDING, rig_state(long_enough.text));
    EXPECT_I64(DUREQ_JOB_COMPLETED, rig_wait(runs.text)->state);
    EXPECT_I64(200, rig_job(late.text)->schedule_to_start_timeout_ms);
}

SCENARIO(dead_jobs_are_kept_as_long_as_the_node_is_told)
{
    dureq_node_options o = rig_node_options("for-ever");
    dureq_node *n;
    dureq_job_id id;

    o.dead_retention_ms = -1;
    n = rig_node_create(&o);
    rig_handle(n, "t", fine, NULL, NULL);
    rig_start(n);
    settle();
    id = limited("nobody", 1, 0);
    EXPECT_I64(DUREQ_JOB_DEAD, rig_wait(id.text)->state);
    RIG_OK(dureq_node_stop(n, &err));
    EXPECT_I64(DUREQ_JOB_DEAD, rig_state(id.text));
    o = rig_node_options("shortly");
    o.dead_retention_ms = 1;
    n = rig_node_create(&o);
    rig_handle(n, "t", fine, NULL, NULL);
    rig_start(n);
    RIG_UNTIL(rig_state(id.text) == -1);
}

SCENARIO(the_limit_of_a_job_for_later_counts_from_when_it_is_due)
{
    dureq_job_id id, dead;

    (void)node("n", 800, false);
    settle();
    id = limited("t", 100, 500); /* due long after the limit alone would be over */
    dead = limited("nobody", 100, 300);
    EXPECT_I64(DUREQ_JOB_COMPLETED, rig_wait(id.text)->state);
    EXPECT_I64(DUREQ_JOB_DEAD, rig_wait(dead.text)->state);
    EXPECT_TRUE(rig_job(dead.text)->finished_at_ms - rig_job(dead.text)->created_at_ms >= 395);
}

RIG_MAIN()
