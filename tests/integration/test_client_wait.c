/* SPDX-License-Identifier: Apache-2.0 */
/* Waiting for the end of a job from the side that enqueued it. */
#include "test_rig.h"

#include <pthread.h>
#include <stdatomic.h>

static atomic_bool let_go;

static int act(dureq_run *task, void *userdata)
{
    dureq_str p = dureq_run_payload(task);

    (void)userdata;
    if (dq_str_eq_text(p, "die"))
        return dureq_run_fail_detail(task, 17, "it broke", DQ_STR_LIT("here"));
    if (dq_str_eq_text(p, "stay"))
        for (int i = 0; i < 3000 && !atomic_load(&let_go) && !dureq_run_is_cancelled(task); i++)
            rig_pause();
    return dureq_run_set_result(task, DQ_STR_LIT("{\"ok\": true}"), NULL);
}

static void node(void)
{
    atomic_store(&let_go, false);
    (void)rig_node("n", "act", act, NULL);
}

/* ---- waiters on threads of their own ---- */

typedef struct waiting {
    pthread_t thread;
    dureq_client *client;
    char id[DUREQ_JOB_ID_LEN + 4];
    int64_t timeout_ms;
    atomic_int started, rc;
    dureq_job_list *list;
} waiting;

enum { STILL = 99 };

static void *wait_main(void *arg)
{
    waiting *w = arg;

    atomic_store(&w->started, 1);
    atomic_store(&w->rc, dureq_client_wait(w->client, w->id, w->timeout_ms, &w->list, NULL));
    return NULL;
}

static void begin(waiting *w, dureq_client *c, const char *id, int64_t timeout_ms)
{
    *w = (waiting){.client = c, .timeout_ms = timeout_ms, .rc = STILL};
    memcpy(w->id, id, DUREQ_JOB_ID_LEN + 1);
    EXPECT_I64(0, pthread_create(&w->thread, NULL, wait_main, w));
    RIG_UNTIL(atomic_load(&w->started) == 1);
}

static int end(waiting *w)
{
    (void)pthread_join(w->thread, NULL);
    return atomic_load(&w->rc);
}

/* Whether the server knows of that many jobs that are waited for. */
static bool waited_for(int n)
{
    long long sum = 0;

    for (int s = 0; s < rig.shards; s++) {
        char key[80];

        (void)snprintf(key, sizeof key, "{%s:%d}:wt", rig.prefix, s);
        sum += test_redis_command_int(rig.server, "HLEN", key, NULL);
    }
    return sum == n;
}

/* ---- */

SCENARIO(success_arrives_with_its_result)
{
    waiting w;
    dureq_job_id id;

    RIG_OK(dureq_client_pause_queue(rig.client, "normal", &err));
    id = rig_enqueue("act", "1", NULL);
    begin(&w, rig.client, id.text, 9000);
    RIG_UNTIL(waited_for(1));
    node();
    EXPECT_RC(STILL, atomic_load(&w.rc));
    RIG_OK(dureq_client_resume_queue(rig.client, "normal", &err));
    EXPECT_RC(0, end(&w));
    EXPECT_I64(DUREQ_JOB_COMPLETED, w.list->items[0].state);
    EXPECT_STR_TEXT("{\"ok\": true}", w.list->items[0].result);
    dureq_job_list_destroy(w.list);
    EXPECT_TRUE(waited_for(0));
}

SCENARIO(failure_and_cancel_arrive_with_their_reason)
{
    waiting w;
    dureq_job_id id;
    const dureq_job *j;

    node();
    id = rig_enqueue("act", "die", NULL);
    j = rig_wait(id.text);
    EXPECT_I64(DUREQ_JOB_DEAD, j->state);
    EXPECT_STR_TEXT("it broke", j->reason);
    EXPECT_I64(17, j->attempts[0].code);
    EXPECT_STR_TEXT("here", j->attempts[0].detail);
    id = rig_enqueue("nobody", "1", NULL);
    begin(&w, rig.client, id.text, 9000);
    RIG_UNTIL(waited_for(1));
    RIG_OK(dureq_client_cancel(rig.client, id.text, "no more", &err));
    EXPECT_RC(0, end(&w));
    EXPECT_I64(DUREQ_JOB_CANCELLED, w.list->items[0].state);
    EXPECT_STR_TEXT("no more", w.list->items[0].reason);
    dureq_job_list_destroy(w.list);
}

SCENARIO(a_wait_begun_behind_the_end_answers_at_once)
{
    static const char *const payloads[] = {"1", "die"};
    dureq_job_list *list = NULL;
    dureq_job_id id;

    node();
    for (int i = 0; i < 2; i++) {
        id = rig_enqueue("act", payloads[i], NULL);
        RIG_UNTIL(rig_state(id.text) == (i ? DUREQ_JOB_DEAD : DUREQ_JOB_COMPLETED));
        RIG_OK(dureq_client_wait(rig.client, id.text, 0 + 2000, &list, &err));
        EXPECT_I64(i ? DUREQ_JOB_DEAD : DUREQ_JOB_COMPLETED, list->items[0].state);
        dureq_job_list_destroy(list);
    }
}

SCENARIO(a_wait_ends_with_its_time_and_can_be_repeated)
{
    dureq_job_list *list = NULL;
    dureq_job_id id = rig_enqueue("act", "1", NULL);
    int64_t since = rig_mono_ms();

    RIG_FAILS(DUREQ_ETIMEOUT, "not ended", dureq_client_wait(rig.client, id.text, 120, &list, &err));
    EXPECT_TRUE(rig_mono_ms() - since >= 118 && rig_mono_ms() - since < 2000);
    RIG_FAILS(DUREQ_ETIMEOUT, "not ended", dureq_client_wait(rig.client, id.text, 0, &list, &err));
    RIG_FAILS(DUREQ_EINVAL, "timeout_ms", dureq_client_wait(rig.client, id.text, -2, &list, &err));
    RIG_FAILS(DUREQ_EINVAL, "job id", dureq_client_wait(rig.client, "nonsense", 100, &list, &err));
    EXPECT_PTR(NULL, list);
    RIG_UNTIL(waited_for(0)); /* whoever gave up left nothing */
    node();
    RIG_OK(dureq_client_wait(rig.client, id.text, RIG_LIMIT_MS, &list, &err));
    dureq_job_list_destroy(list);
    RIG_OK(dureq_client_delete(rig.client, id.text, &err));
    RIG_FAILS(DUREQ_ENOTFOUND, "no such job", dureq_client_wait(rig.client, id.text, 1000, &list, &err));
}

SCENARIO(very_long_times_are_waited_and_not_over_at_once)
{
    static const int64_t times[] = {INT64_MAX, INT64_MAX / 1000, INT64_MAX / 1000 + 1, -1};
    waiting w[DQ_ARRAY_LEN(times)];
    dureq_job_id id = rig_enqueue("act", "1", NULL);

    for (size_t i = 0; i < DQ_ARRAY_LEN(times); i++)
        begin(&w[i], rig.client, id.text, times[i]);
    RIG_UNTIL(waited_for(1));
    node();
    for (size_t i = 0; i < DQ_ARRAY_LEN(times); i++) {
        EXPECT_NOTE("timeout %lld", (long long)times[i]);
        EXPECT_RC(0, end(&w[i]));
        dureq_job_list_destroy(w[i].list);
    }
}

SCENARIO(many_waiters_of_several_clients_are_all_told)
{
    enum { N = 12 };
    dureq_client *other = rig_client(NULL, rig.shards);
    dureq_job_id ids[4];
    waiting w[N];

    RIG_OK(dureq_client_pause_queue(rig.client, "normal", &err));
    for (int i = 0; i < 4; i++)
        ids[i] = rig_enqueue("act", "1", NULL);
    for (int i = 0; i < N; i++)
        begin(&w[i], i % 2 ? other : rig.client, ids[i % 4].text, 9000);
    RIG_UNTIL(waited_for(4));
    node();
    RIG_OK(dureq_client_resume_queue(rig.client, "normal", &err));
    for (int i = 0; i < N; i++) {
        EXPECT_NOTE("waiter %d", i);
        EXPECT_RC(0, end(&w[i]));
        EXPECT_TEXT(ids[i % 4].text, w[i].list->items[0].id.text);
        EXPECT_I64(DUREQ_JOB_COMPLETED, w[i].list->items[0].state);
        dureq_job_list_destroy(w[i].list);
    }
    dureq_client_destroy(other);
}

/* ---- jobs that are not kept ---- */

static waiting wait_for_unkept(const char *type, const char *payload)
{
    dureq_job_options o = dureq_job_options_init();
    dureq_job_id id;
    waiting w;

    o.retention_ms = -1;
    id = rig_enqueue(type, payload, &o);
    w = (waiting){.client = rig.client};
    memcpy(w.id, id.text, DUREQ_JOB_ID_LEN + 1);
    return w;
}

SCENARIO(the_end_of_a_job_that_is_not_kept_is_told_with_its_state)
{
    waiting done = wait_for_unkept("act", "1"), cancelled = wait_for_unkept("nobody", "1"), own;
    char id[DUREQ_JOB_ID_LEN + 4];

    memcpy(id, done.id, sizeof id);
    begin(&own, rig.client, id, 9000);
    RIG_UNTIL(waited_for(1));
    node();
    EXPECT_RC(0, end(&own));
    EXPECT_I64(DUREQ_JOB_COMPLETED, own.list->items[0].state);
    dureq_job_list_destroy(own.list);
    memcpy(id, cancelled.id, sizeof id);
    begin(&own, rig.client, id, 9000);
    RIG_UNTIL(waited_for(1));
    RIG_OK(dureq_client_cancel(rig.client, id, "gone", &err));
    EXPECT_RC(0, end(&own));
    EXPECT_I64(DUREQ_JOB_CANCELLED, own.list->items[0].state);
    dureq_job_list_destroy(own.list);
    EXPECT_I64(-1, rig_state(id));
}

SCENARIO(a_wait_for_a_job_that_is_purged_says_that_it_is_gone)
{
    dureq_job_id id = rig_enqueue("nobody", "1", NULL);
    waiting w;

    begin(&w, rig.client, id.text, 9000);
    RIG_UNTIL(waited_for(1));
    RIG_OK(dureq_client_purge_queue(rig.client, "normal", NULL, &err));
    EXPECT_RC(DUREQ_ENOTFOUND, end(&w));
}

SCENARIO(destroying_a_client_ends_its_waits)
{
    dureq_client *other = rig_client(NULL, rig.shards);
    dureq_job_id id = rig_enqueue("act", "1", NULL);
    waiting w[3];

    for (int i = 0; i < 3; i++)
        begin(&w[i], other, id.text, i == 0 ? 9000 : -1);
    RIG_UNTIL(waited_for(1));
    dureq_client_destroy(other);
    for (int i = 0; i < 3; i++)
        EXPECT_RC(DUREQ_ECLOSED, end(&w[i]));
}

SCENARIO(a_node_that_stops_ends_the_waits_of_its_client)
{
    dureq_node *n = rig_node("n", "act", act, NULL);
    dureq_job_id id = rig_enqueue("nobody", "1", NULL);
    waiting w;

    begin(&w, dureq_node_client(n), id.text, -1);
    RIG_UNTIL(waited_for(1));
    RIG_OK(dureq_node_stop(n, &err));
    EXPECT_RC(DUREQ_ECLOSED, end(&w));
}

RIG_MAIN()
