/* SPDX-License-Identifier: Apache-2.0 */
/* Queues: defining, pausing, lengths and ages, limits, purging; also from several threads of one client. */
#include "test_rig.h"

#include "client/client_internal.h"

#include <pthread.h>
#include <stdatomic.h>

static int fine(dureq_run *task, void *userdata)
{
    (void)task;
    if (userdata)
        atomic_fetch_add((atomic_int *)userdata, 1);
    return 0;
}

static atomic_bool let_go;

static int stay(dureq_run *task, void *userdata)
{
    (void)userdata;
    for (int i = 0; i < 3000 && !atomic_load(&let_go) && !dureq_run_is_cancelled(task); i++)
        rig_pause();
    return 0;
}

/* A copy of what is told of one queue; its texts are not kept. found: false when there is none. */
typedef struct told {
    bool found;
    dureq_queue_info q;
    int32_t max_attempts; /* of its policy; 0: none */
} told;

static told queue(const char *name)
{
    dureq_queue_list *list = NULL;
    told t = {0};

    RIG_OK(dureq_client_list_queues(rig.client, &list, &err));
    for (size_t i = 0; i < list->n; i++) {
        EXPECT_TRUE(i == 0 || list->items[i - 1].weight >= list->items[i].weight);
        if (!dq_str_eq_text(list->items[i].name, name))
            continue;
        t = (told){.found = true, .q = list->items[i]};
        t.max_attempts = t.q.retry_policy ? t.q.retry_policy->max_attempts : 0;
    }
    dureq_queue_list_destroy(list);
    return t;
}

static int enqueue_to(const char *name, dureq_job_id *ret)
{
    dureq_job_options o = dureq_job_options_init();
    dureq_job_spec spec = {.task_type = "t", .payload = DQ_STR_LIT("1"), .options = &o};

    o.queue = name;
    return dureq_client_enqueue(rig.client, &spec, ret, NULL);
}

/* ---- defining ---- */

SCENARIO(a_new_prefix_has_the_three_default_queues)
{
    EXPECT_I64(6, queue("high").q.weight);
    EXPECT_I64(3, queue("normal").q.weight);
    EXPECT_I64(1, queue("low").q.weight);
    EXPECT_FALSE(queue("high").q.paused);
    EXPECT_FALSE(queue("other").found);
    EXPECT_RC(DUREQ_ENOTFOUND, enqueue_to("other", NULL));
}

SCENARIO(a_queue_is_defined_changed_and_kept_as_it_is_when_asked)
{
    dureq_retry_policy p = {.struct_size = sizeof p, .max_attempts = 9};
    dureq_queue_options q = dureq_queue_options_init();
    dureq_client *other = rig_client(NULL, rig.shards);
    dureq_job_id id;
    bool differs = true;

    q.weight = 40;
    q.max_len = 1000;
    q.retention_ms = 60000;
    q.retry_policy = &p;
    RIG_OK(dureq_client_set_queue(rig.client, "bulk", &q, true, &differs, &err));
    EXPECT_FALSE(differs);
    EXPECT_I64(40, queue("bulk").q.weight);
    EXPECT_I64(1000, queue("bulk").q.max_len);
    EXPECT_I64(60000, queue("bulk").q.retention_ms);
    EXPECT_I64(9, queue("bulk").max_attempts);
    RIG_OK(dureq_client_set_queue(rig.client, "bulk", &q, true, &differs, &err));
    EXPECT_FALSE(differs);
    q.weight = 5;
    RIG_OK(dureq_client_set_queue(rig.client, "bulk", &q, true, &differs, &err));
    EXPECT_TRUE(differs);
    EXPECT_I64(40, queue("bulk").q.weight);
    RIG_OK(dureq_client_set_queue(rig.client, "bulk", &q, false, NULL, &err));
    EXPECT_I64(5, queue("bulk").q.weight);
    rig.client = (dureq_client_destroy(rig.client), other); /* a client that was there before knows it too */
    RIG_UNTIL(enqueue_to("bulk", &id) == 0);
}

SCENARIO(bad_queues_are_refused_by_name)
{
    static const struct {
        const char *name, *field;
        dureq_queue_options o;
    } rows[] = {
        {"a b", "queue", {0}},
        {"", "queue", {0}},
        {"q", "weight", {.weight = 1001}},
        {"q", "weight", {.weight = -1}},
        {"q", "max_len", {.max_len = -1}},
        {"q", "retention_ms", {.retention_ms = -2}},
        {"q", "priorit", {.priority_min = 5, .priority_max = 4}},
        {"q", "priorit", {.priority_min = 1, .priority_max = 11}},
    };

    for (size_t i = 0; i < DQ_ARRAY_LEN(rows); i++) {
        dureq_queue_options o = rows[i].o;

        EXPECT_NOTE("row %zu", i);
        o.struct_size = sizeof o;
        RIG_FAILS(DUREQ_EINVAL, rows[i].field, dureq_client_set_queue(rig.client, rows[i].name, &o, false, NULL, &err));
    }
    EXPECT_FALSE(queue("q").found);
    RIG_FAILS(DUREQ_ENOTFOUND, "queue", dureq_client_pause_queue(rig.client, "q", &err));
    RIG_FAILS(DUREQ_ENOTFOUND, "queue", dureq_client_resume_queue(rig.client, "q", &err));
    RIG_FAILS(DUREQ_ENOTFOUND, "queue", dureq_client_purge_queue(rig.client, "q", NULL, &err));
}

/* ---- pausing ---- */

SCENARIO(nothing_of_a_paused_queue_starts_until_it_is_resumed)
{
    static atomic_int ran;
    dureq_job_id other;

    atomic_store(&ran, 0);
    (void)rig_node("n", "t", fine, &ran);
    RIG_OK(dureq_client_pause_queue(rig.client, "low", &err));
    EXPECT_TRUE(queue("low").q.paused);
    for (int i = 0; i < 20; i++)
        EXPECT_RC(0, enqueue_to("low", NULL));
    EXPECT_RC(0, enqueue_to("high", &other));
    EXPECT_I64(DUREQ_JOB_COMPLETED, rig_wait(other.text)->state);
    EXPECT_I64(1, atomic_load(&ran));
    RIG_UNTIL(queue("low").q.pending == 20);
    RIG_OK(dureq_client_resume_queue(rig.client, "low", &err));
    EXPECT_FALSE(queue("low").q.paused);
    RIG_UNTIL(rig_counts().completed == 21);
}

SCENARIO(behind_an_acknowledged_pause_nothing_more_starts)
{
    static atomic_int ran;
    int64_t since;
    int at_pause;

    atomic_store(&ran, 0);
    (void)rig_node("n", "t", fine, &ran);
    for (int i = 0; i < 400; i++)
        EXPECT_RC(0, enqueue_to("low", NULL));
    RIG_OK(dureq_client_pause_queue(rig.client, "low", &err));
    since = rig_mono_ms();
    RIG_UNTIL(rig_mono_ms() - since > 100); /* what had started ends */
    at_pause = atomic_load(&ran);
    for (int i = 0; i < 50; i++)
        EXPECT_RC(0, enqueue_to("low", NULL));
    since = rig_mono_ms();
    RIG_UNTIL(rig_mono_ms() - since > 200);
    EXPECT_I64(at_pause, atomic_load(&ran));
    RIG_OK(dureq_client_resume_queue(rig.client, "low", &err));
    RIG_UNTIL(atomic_load(&ran) == 450);
}

/* ---- what waits and runs ---- */

SCENARIO(lengths_and_ages_are_told_by_queue)
{
    int64_t since = rig_mono_ms();

    atomic_store(&let_go, false);
    EXPECT_I64(0, queue("high").q.oldest_age_ms);
    for (int i = 0; i < 12; i++)
        EXPECT_RC(0, enqueue_to("high", NULL));
    RIG_UNTIL(rig_mono_ms() - since > 120);
    EXPECT_RC(0, enqueue_to("high", NULL));
    EXPECT_I64(13, queue("high").q.pending);
    EXPECT_TRUE(queue("high").q.oldest_age_ms >= 60 && queue("high").q.oldest_age_ms < 5000);
    EXPECT_I64(0, queue("low").q.pending);
    (void)rig_node("n", "t", stay, NULL);
    RIG_UNTIL(queue("high").q.running == 8);
    EXPECT_I64(5, queue("high").q.pending);
    atomic_store(&let_go, true);
    RIG_UNTIL(queue("high").q.running == 0 && queue("high").q.pending == 0);
    EXPECT_I64(0, queue("high").q.oldest_age_ms);
}

SCENARIO(a_full_queue_refuses_more_and_takes_them_when_there_is_room)
{
    dureq_queue_options q = dureq_queue_options_init();
    int accepted = 0;

    q.max_len = 10;
    RIG_OK(dureq_client_set_queue(rig.client, "small", &q, false, NULL, &err));
    for (int i = 0; i < 100; i++) {
        int rc = enqueue_to("small", NULL);

        EXPECT_TRUE(rc == 0 || rc == DUREQ_ELIMIT);
        accepted += rc == 0;
    }
    EXPECT_I64(10, accepted);
    (void)rig_node("n", "t", fine, NULL);
    RIG_UNTIL(rig_counts().completed == 10);
    EXPECT_RC(0, enqueue_to("small", NULL));
}

SCENARIO(purge_takes_what_waits_and_leaves_the_rest)
{
    dureq_job_options later = {.struct_size = sizeof later, .queue = "high", .delay_ms = 3600000};
    dureq_job_id running, scheduled, elsewhere;
    int64_t n = -1;

    atomic_store(&let_go, false);
    (void)rig_node("n", "stay", stay, NULL);
    running = rig_enqueue("stay", "1", &(dureq_job_options){.struct_size = sizeof later, .queue = "high"});
    RIG_UNTIL(rig_state(running.text) == DUREQ_JOB_RUNNING);
    for (int i = 0; i < 700; i++)
        EXPECT_RC(0, enqueue_to("high", NULL));
    scheduled = rig_enqueue("t", "1", &later);
    EXPECT_RC(0, enqueue_to("low", &elsewhere));
    RIG_OK(dureq_client_purge_queue(rig.client, "high", &n, &err));
    EXPECT_I64(700, n);
    EXPECT_I64(0, queue("high").q.pending);
    EXPECT_I64(DUREQ_JOB_RUNNING, rig_state(running.text));
    EXPECT_I64(DUREQ_JOB_SCHEDULED, rig_state(scheduled.text));
    EXPECT_I64(DUREQ_JOB_PENDING, rig_state(elsewhere.text));
    atomic_store(&let_go, true);
    EXPECT_I64(DUREQ_JOB_COMPLETED, rig_wait(running.text)->state);
    RIG_OK(dureq_client_purge_queue(rig.client, "high", &n, &err));
    EXPECT_I64(0, n);
}

SCENARIO(a_queue_with_a_running_or_dead_job_goes_by_force_only)
{
    dureq_job_options in_high = {.struct_size = sizeof in_high, .queue = "high"};
    dureq_job_id running;
    dureq_queue_list *list;
    int64_t n = -1;

    atomic_store(&let_go, false);
    (void)rig_node("n", "stay", stay, NULL);
    running = rig_enqueue("stay", "1", &in_high);
    RIG_UNTIL(rig_state(running.text) == DUREQ_JOB_RUNNING);
    RIG_FAILS(DUREQ_ECONFLICT, "running", dureq_client_delete_queue(rig.client, "high", /*force=*/false, &n, &err));
    RIG_OK(dureq_client_delete_queue(rig.client, "high", /*force=*/true, &n, &err));
    EXPECT_I64(1, n);
    atomic_store(&let_go, true);
    EXPECT_RC(DUREQ_ENOTFOUND, enqueue_to("high", NULL));
    RIG_OK(dureq_client_list_queues(rig.client, &list, &err));
    EXPECT_U64(2, list->n);
    dureq_queue_list_destroy(list);
    RIG_OK(dureq_client_delete_queue(rig.client, "low", /*force=*/false, NULL, &err));
    RIG_FAILS(DUREQ_ECONFLICT, "last one", dureq_client_delete_queue(rig.client, "normal", /*force=*/false, NULL, &err));
    RIG_FAILS(DUREQ_ENOTFOUND, "high", dureq_client_delete_queue(rig.client, "high", /*force=*/true, &n, &err));
    EXPECT_RC(0, enqueue_to("normal", NULL));
    RIG_FAILS(DUREQ_ECONFLICT, "last one", dureq_client_delete_queue(rig.client, "normal", /*force=*/true, NULL, &err));
    EXPECT_I64(1, rig_counts().pending); /* refused before anything is touched */
}

static long long rows_of(const char *queue)
{
    char key[80];
    long long n = 0;

    for (int i = 0; i < rig.shards; i++) {
        (void)snprintf(key, sizeof key, "{%s:%d}:q", rig.prefix, i);
        n += test_redis_command_int(rig.server, "HEXISTS", key, queue, NULL);
        (void)snprintf(key, sizeof key, "{%s:%d}:paused_queues", rig.prefix, i);
        n += test_redis_command_int(rig.server, "SISMEMBER", key, queue, NULL);
    }
    return n;
}

/* As a deletion leaves it that failed after its first step. */
static void undefine(const char *queue)
{
    char key[80];

    (void)snprintf(key, sizeof key, "%s:config:queues", rig.prefix);
    EXPECT_I64(1, test_redis_command_int(rig.server, "HDEL", key, queue, NULL));
}

SCENARIO(a_deletion_that_failed_between_is_done_again_until_it_is_done)
{
    int64_t n = -1;

    for (int i = 0; i < 5; i++)
        EXPECT_RC(0, enqueue_to("high", NULL));
    RIG_OK(dureq_client_pause_queue(rig.client, "high", &err));
    undefine("high");
    EXPECT_I64(2 * rig.shards, rows_of("high"));
    RIG_FAILS(DUREQ_ECONFLICT, "pending", dureq_client_delete_queue(rig.client, "high", /*force=*/false, &n, &err));
    RIG_OK(dureq_client_delete_queue(rig.client, "high", /*force=*/true, &n, &err));
    EXPECT_I64(5, n);
    EXPECT_I64(0, rows_of("high"));
    EXPECT_I64(0, rig_counts().pending);
    RIG_FAILS(DUREQ_ENOTFOUND, "high", dureq_client_delete_queue(rig.client, "high", /*force=*/true, &n, &err));
    EXPECT_RC(DUREQ_ENOTFOUND, dureq_client_delete_queue(rig.client, "high", /*force=*/true, NULL, NULL));
}

SCENARIO(a_shard_that_was_away_loses_a_deleted_queue_with_the_next_connection)
{
    dureq_queue_list *list;
    dureq_client *c;

    RIG_OK(dureq_client_pause_queue(rig.client, "high", &err));
    undefine("high");
    c = rig_client(NULL, rig.shards);
    EXPECT_I64(0, rows_of("high"));
    EXPECT_I64(rig.shards, rows_of("low"));
    RIG_OK(dureq_client_list_queues(c, &list, &err));
    EXPECT_U64(2, list->n);
    dureq_queue_list_destroy(list);
    dureq_client_destroy(c);
}

/* ---- many queues ---- */

static long long script_bytes(void)
{
    char *text = test_redis_info(rig.server, "total_net_input_bytes");
    long long n = strtoll(text, NULL, 10);

    free(text);
    return n;
}

/* 1,300 queues go in three parts. Once a shard has them, they are not sent again. */
SCENARIO(a_connection_brings_all_queues_to_a_shard_that_lacks_them_and_none_to_one_that_has_them)
{
    char key[80], name[32];
    long long first, again;

    (void)snprintf(key, sizeof key, "%s:config:queues", rig.prefix);
    for (int i = 0; i < 1300; i++) {
        (void)snprintf(name, sizeof name, "a_queue_with_a_name_%04d", i);
        free(test_redis_command(rig.server, "HSET", key, name, "{\"weight\":1}", NULL));
    }
    first = script_bytes();
    dureq_client_destroy(rig_client(NULL, rig.shards));
    first = script_bytes() - first;
    for (int i = 0; i < 1300; i += 100) {
        (void)snprintf(name, sizeof name, "a_queue_with_a_name_%04d", i);
        EXPECT_I64(rig.shards, rows_of(name));
    }
    EXPECT_I64(rig.shards, rows_of("high"));
    again = script_bytes();
    dureq_client_destroy(rig_client(NULL, rig.shards));
    again = script_bytes() - again;
    EXPECT_TRUE(first > 1300LL * 50 * rig.shards);
    EXPECT_TRUE(again < first / 10);
    (void)snprintf(key, sizeof key, "{%s:0}:q", rig.prefix);
    EXPECT_I64(1, test_redis_command_int(rig.server, "HDEL", key, "a_queue_with_a_name_0700", NULL));
    RIG_OK(dureq_client_pause_queue(rig.client, "low", &err)); /* as any change: all are looked at again */
    dureq_client_destroy(rig_client(NULL, rig.shards));
    EXPECT_I64(rig.shards, rows_of("a_queue_with_a_name_0700"));
}

typedef struct late {
    int round_trips; /* before it enqueues */
    int rc;
} late;

static void *enqueue_one(void *userdata)
{
    late *l = userdata;

    for (int i = 0; i < l->round_trips; i++)
        (void)rig_state("00000000000000000000");
    l->rc = enqueue_to("brief", NULL);
    return NULL;
}

/* One of the two is first, whichever: a job that was accepted keeps its queue, and one that came too late is refused. */
SCENARIO(a_job_that_comes_while_its_queue_is_deleted_keeps_it_or_is_refused)
{
    for (int i = 0; i < 150; i++) {
        dureq_queue_options o = dureq_queue_options_init();
        late l = {.round_trips = i % 40};
        pthread_t thread;
        bool accepted;
        int rc;

        RIG_OK(dureq_client_set_queue(rig.client, "brief", &o, /*only_if_missing=*/true, NULL, &err));
        assert_int_equal(pthread_create(&thread, NULL, enqueue_one, &l), 0);
        rc = dureq_client_delete_queue(rig.client, "brief", /*force=*/false, NULL, NULL);
        (void)pthread_join(thread, NULL);
        accepted = l.rc == 0;
        EXPECT_TRUE(accepted || l.rc == DUREQ_ENOTFOUND);
        EXPECT_TRUE(rc == 0 || rc == DUREQ_ECONFLICT);
        EXPECT_TRUE(accepted == (rc == DUREQ_ECONFLICT));
        EXPECT_I64(accepted, rig_counts().pending);
        rc = dureq_client_purge_queue(rig.client, "brief", NULL, NULL);
        EXPECT_RC(accepted ? 0 : DUREQ_ENOTFOUND, rc);
    }
}

/* ---- one client, many threads ---- */

enum { THREADS = 8, EACH = 60 };

typedef struct user {
    pthread_t thread;
    int no, failures;
} user;

static void use_once(user *u, int i)
{
    dureq_job_spec spec = {.task_type = "t", .payload = DQ_STR_LIT("1")};
    dureq_job_list *list = NULL;
    dureq_queue_list *queues = NULL;
    dureq_counts counts;
    dureq_job_id id;

    u->failures += dureq_client_enqueue(rig.client, &spec, &id, NULL) != 0;
    u->failures += dureq_client_get_job(rig.client, id.text, &list, NULL) != 0 || strcmp(list->items[0].id.text, id.text) != 0;
    dureq_job_list_destroy(list);
    list = NULL;
    switch ((u->no + i) % 4) {
    case 0: u->failures += dureq_client_wait(rig.client, id.text, 9000, &list, NULL) != 0; break;
    case 1: u->failures += dureq_client_list_jobs(rig.client, NULL, &list, NULL) != 0; break;
    case 2: u->failures += dureq_client_list_queues(rig.client, &queues, NULL) != 0; break;
    default: u->failures += dureq_client_count(rig.client, &counts, NULL) != 0; break;
    }
    dureq_job_list_destroy(list);
    dureq_queue_list_destroy(queues);
}

static void *use(void *arg)
{
    for (int i = 0; i < EACH; i++)
        use_once(arg, i);
    return NULL;
}

SCENARIO(one_client_serves_eight_threads_at_once)
{
    user users[THREADS];

    (void)rig_node("n", "t", fine, NULL);
    for (int i = 0; i < THREADS; i++) {
        users[i] = (user){.no = i};
        EXPECT_I64(0, pthread_create(&users[i].thread, NULL, use, &users[i]));
    }
    for (int i = 0; i < THREADS; i++) {
        (void)pthread_join(users[i].thread, NULL);
        EXPECT_NOTE("thread %d", i);
        EXPECT_I64(0, users[i].failures);
    }
    RIG_UNTIL(rig_counts().completed == (int64_t)THREADS * EACH);
}

/* What is said to the server, and by it, for one change. */
static int64_t bytes_of_a_change(const char *name)
{
    char *before = test_redis_command(rig.server, "INFO", "stats", NULL), *after;
    dureq_queue_options q = {.struct_size = sizeof q, .weight = 2};
    int64_t n = 0;

    RIG_OK(dureq_client_set_queue(rig.client, name, &q, false, NULL, &err));
    after = test_redis_command(rig.server, "INFO", "stats", NULL);
    n = strtoll(strstr(after, "total_net_output_bytes:") + 23, NULL, 10) -
        strtoll(strstr(before, "total_net_output_bytes:") + 23, NULL, 10);
    free(before);
    free(after);
    return n;
}

SCENARIO(a_change_costs_the_same_however_many_queues_there_are)
{
    dureq_queue_options q = {.struct_size = sizeof q, .weight = 1};
    int64_t few = bytes_of_a_change("first"), many;
    char name[24];

    for (int i = 0; i < 500; i++) {
        (void)snprintf(name, sizeof name, "q%d", i);
        RIG_OK(dureq_client_set_queue(rig.client, name, &q, false, NULL, &err));
    }
    many = bytes_of_a_change("last");
    EXPECT_NOTE("%d bytes with few queues, %d with 500", (int)few, (int)many);
    EXPECT_TRUE(many < 2 * few);
}

/* ---- calls whose time is over before they were looked at ---- */

static int call_set(dureq_client *c)
{
    dureq_queue_options o = dureq_queue_options_init();

    return dureq_client_set_queue(c, "high", &o, /*only_if_missing=*/false, NULL, NULL);
}

static int call_pause(dureq_client *c)
{
    return dureq_client_pause_queue(c, "high", NULL);
}

static int call_delete(dureq_client *c)
{
    return dureq_client_delete_queue(c, "high", /*force=*/true, NULL, NULL);
}

static int call_list(dureq_client *c)
{
    dureq_queue_list *list;

    return dureq_client_list_queues(c, &list, NULL);
}

static int call_wait(dureq_client *c)
{
    dureq_job_list *list;

    return dureq_client_wait(c, "00000000000000000000", 20, &list, NULL);
}

static int call_cancel(dureq_client *c)
{
    const char *ids[] = {"00000000000000000000"};
    int code;

    return dureq_client_cancel_many(c, ids, 1, NULL, &code, NULL);
}

static int call_key(dureq_client *c)
{
    return dureq_client_delete_unique_key(c, DQ_STR_LIT("k"), NULL);
}

/* A node's client while the node stops: the loop turns no more, and what was posted to it is looked at when the client is gone. */
SCENARIO(a_call_that_lies_in_the_mailbox_when_its_client_goes_is_not_carried_out)
{
    static int (*const calls[])(dureq_client * c) = {call_set,  call_pause,  call_delete, call_list,
                                                     call_wait, call_cancel, call_key};
    dq_log log = {0};

    for (size_t i = 0; i < DQ_ARRAY_LEN(calls); i++) {
        dq_store_options o = {.redis_url = test_redis_url(rig.server), .prefix = rig.prefix, .log = &log};
        dq_store_callbacks none = {0};
        dureq_client *c;
        dq_loop *loop;
        dq_store *store;

        EXPECT_NOTE("call %zu", i);
        RIG_OK(dq_loop_create(&loop, &err));
        RIG_OK(dq_store_create(loop, &o, &none, &store, &err));
        while (!dq_store_is_up(store))
            dq_loop_run_once(loop, /*block=*/true);
        RIG_OK(dq_client_create_shared(loop, store, &log, "test", test_redis_url(rig.server), 0, &c, &err));
        c->timeout_ms = 20;
        EXPECT_TRUE(calls[i](c) < 0);
        dq_store_destroy(store);
        dureq_client_destroy(c);
        dq_loop_destroy(loop);
    }
}

RIG_MAIN()
