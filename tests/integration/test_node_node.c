/* SPDX-License-Identifier: Apache-2.0 */
/* A node's life: registering, start, drain, stop with and without patience, callbacks, its client. */
#include "test_rig.h"

#include "base/mutex.h"

#include <pthread.h>
#include <stdatomic.h>

/* What handlers of a scenario share with it. Static: a handler may outlive its scenario when that fails. */
static struct shared {
    atomic_bool let_go;
    atomic_int entered, left;
} shared;

static int wait_for_go(dureq_run *task, void *userdata)
{
    (void)userdata;
    atomic_fetch_add(&shared.entered, 1);
    for (int i = 0; i < 3000 && !atomic_load(&shared.let_go); i++)
        rig_pause();
    atomic_fetch_add(&shared.left, 1);
    return dureq_run_set_result(task, DQ_STR_LIT("1"), NULL);
}

/* Gives up when told. */
static int wait_told(dureq_run *task, void *userdata)
{
    (void)userdata;
    atomic_fetch_add(&shared.entered, 1);
    if (dureq_run_wait_cancelled(task, 9000))
        return DUREQ_ECANCELLED;
    return 0;
}

static int fine(dureq_run *task, void *userdata)
{
    (void)task;
    (void)userdata;
    return 0;
}

static void begin(void)
{
    atomic_store(&shared.let_go, false);
    atomic_store(&shared.entered, 0);
    atomic_store(&shared.left, 0);
}

/* ---- creating and registering ---- */

SCENARIO(bad_options_are_refused_by_name)
{
    static const struct {
        const char *field;
        dureq_node_options o;
    } rows[] = {
        {"redis_url", {.node_id = "n"}},
        {"node_id", {.redis_url = "redis://h", .node_id = "a b"}},
        {"node_id", {.redis_url = "redis://h", .node_id = ""}},
        {"concurrency", {.redis_url = "redis://h", .concurrency = -1}},
        {"concurrency", {.redis_url = "redis://h", .concurrency = 65537}},
        {"threads", {.redis_url = "redis://h", .threads = -1}},
        {"lease_ms", {.redis_url = "redis://h", .lease_ms = 199}},
        {"lease_ms", {.redis_url = "redis://h", .lease_ms = -1}},
        {"lease_ms", {.redis_url = "redis://h", .lease_ms = 3600001}},
        {"shutdown_timeout_ms", {.redis_url = "redis://h", .shutdown_timeout_ms = -1}},
        {"max_crashes", {.redis_url = "redis://h", .max_crashes = 256}},
        {"max_payload_bytes", {.redis_url = "redis://h", .max_payload_bytes = DUREQ_PAYLOAD_LIMIT_MAX + 1}},
        {"shards", {.redis_url = "redis://h", .shards = 257}},
        {"history_max_bytes", {.redis_url = "redis://h", .history_max_bytes = -2}},
        {"dead_retention_ms", {.redis_url = "redis://h", .dead_retention_ms = -2}},
        {"audit_retention_ms", {.redis_url = "redis://h", .audit_retention_ms = INT64_MAX}},
        {"stats_minutes_retention_ms", {.redis_url = "redis://h", .stats_minutes_retention_ms = 3599999}},
        {"stats_hours_retention_ms", {.redis_url = "redis://h", .stats_hours_retention_ms = -1}},
        {"stats_days_retention_ms", {.redis_url = "redis://h", .stats_days_retention_ms = 1}},
    };
    dureq_node *n = NULL;

    for (size_t i = 0; i < DQ_ARRAY_LEN(rows); i++) {
        dureq_node_options o = rows[i].o;

        EXPECT_NOTE("row %zu", i);
        o.struct_size = sizeof o;
        RIG_FAILS(DUREQ_EINVAL, rows[i].field, dureq_node_create(&o, &n, &err));
        EXPECT_PTR(NULL, n);
    }
    RIG_FAILS(DUREQ_EINVAL, "opts", dureq_node_create(NULL, &n, &err));
}

SCENARIO(a_bad_url_or_prefix_is_told_at_the_start)
{
    dureq_node_options o = rig_node_options("n");
    dureq_node *n;

    o.redis_url = "http://here";
    n = rig_node_create(&o);
    rig_handle(n, "t", fine, NULL, NULL);
    RIG_FAILS(DUREQ_EINVAL, "redis://", dureq_node_start(n, &err));
    o = rig_node_options("n");
    o.prefix = "a:b";
    n = rig_node_create(&o);
    rig_handle(n, "t", fine, NULL, NULL);
    RIG_FAILS(DUREQ_EINVAL, "prefix", dureq_node_start(n, &err));
}

SCENARIO(handlers_are_checked_when_they_are_registered)
{
    static const char *const bad[] = {"", "a b", "*a", "a*b*", "a**"};
    dureq_node_options o = rig_node_options("n");
    dureq_handler_options h = dureq_handler_options_init();
    dureq_retry_policy p = dureq_retry_policy_init();
    dureq_node *n = rig_node_create(&o);

    for (size_t i = 0; i < DQ_ARRAY_LEN(bad); i++) {
        EXPECT_NOTE("'%s'", bad[i]);
        RIG_FAILS(DUREQ_EINVAL, "task_type", dureq_node_handle(n, bad[i], fine, NULL, NULL, &err));
    }
    RIG_FAILS(DUREQ_EINVAL, "fn", dureq_node_handle(n, "t", NULL, NULL, NULL, &err));
    RIG_FAILS(DUREQ_EINVAL, "fn", dureq_node_use(n, NULL, NULL, &err));
    RIG_FAILS(DUREQ_EINVAL, "no handler", dureq_node_start(n, &err));
    h.concurrency = -1;
    RIG_FAILS(DUREQ_EINVAL, "concurrency", dureq_node_handle(n, "t", fine, NULL, &h, &err));
    h.concurrency = 0;
    h.timeout_ms = -1;
    RIG_FAILS(DUREQ_EINVAL, "timeout_ms", dureq_node_handle(n, "t", fine, NULL, &h, &err));
    h.timeout_ms = 0;
    h.retry_policy = &p;
    p.multiplier = 0.5;
    RIG_FAILS(DUREQ_EINVAL, "multiplier", dureq_node_handle(n, "t", fine, NULL, &h, &err));
    rig_handle(n, "t", fine, NULL, NULL);
    rig_handle(n, "t*", fine, NULL, NULL);
    RIG_FAILS(DUREQ_EDUPLICATE, "'t'", dureq_node_handle(n, "t", fine, NULL, NULL, &err));
    RIG_FAILS(DUREQ_EDUPLICATE, "'t*'", dureq_node_handle(n, "t*", fine, NULL, NULL, &err));
}

SCENARIO(a_node_is_started_once_and_stopped_once)
{
    dureq_node_options o = rig_node_options("once");
    dureq_node *n = rig_node_create(&o);

    EXPECT_TEXT("once", dureq_node_id(n));
    EXPECT_PTR(NULL, dureq_node_client(n));
    RIG_FAILS(DUREQ_ECONFLICT, "not started", dureq_node_stop(n, &err));
    EXPECT_RC(DUREQ_ECONFLICT, dureq_node_drain(n, true));
    rig_handle(n, "t", fine, NULL, NULL);
    rig_start(n);
    EXPECT_TRUE(rig_stats(n).connected);
    RIG_FAILS(DUREQ_ECONFLICT, "started already", dureq_node_start(n, &err));
    RIG_FAILS(DUREQ_ECONFLICT, "before", dureq_node_handle(n, "u", fine, NULL, NULL, &err));
    RIG_OK(dureq_node_stop(n, &err));
    EXPECT_I64(0, rig_counts().nodes);
    RIG_FAILS(DUREQ_ECONFLICT, "not started", dureq_node_stop(n, &err));
    RIG_FAILS(DUREQ_ECONFLICT, "started already", dureq_node_start(n, &err));
    EXPECT_FALSE(rig_stats(n).connected);
}

SCENARIO(a_node_without_an_id_makes_one)
{
    dureq_node_options o = rig_node_options(NULL);
    dureq_node *a = rig_node_create(&o), *b = rig_node_create(&o);

    EXPECT_TRUE(strlen(dureq_node_id(a)) > 7);
    EXPECT_TRUE(strcmp(dureq_node_id(a), dureq_node_id(b)) != 0);
}

/* ---- drain ---- */

SCENARIO(a_draining_node_finishes_what_runs_and_takes_no_more)
{
    dureq_node *n;
    dureq_job_id running, waiting;

    begin();
    n = rig_node("n", "t", wait_for_go, NULL);
    running = rig_enqueue("t", "1", NULL);
    RIG_UNTIL(atomic_load(&shared.entered) == 1);
    EXPECT_RC(0, dureq_node_drain(n, true));
    RIG_UNTIL(rig_stats(n).draining);
    waiting = rig_enqueue("t", "2", NULL);
    atomic_store(&shared.let_go, true);
    EXPECT_I64(DUREQ_JOB_COMPLETED, rig_wait(running.text)->state);
    EXPECT_I64(DUREQ_JOB_PENDING, rig_state(waiting.text));
    EXPECT_I64(1, atomic_load(&shared.entered));
    EXPECT_RC(0, dureq_node_drain(n, false));
    EXPECT_I64(DUREQ_JOB_COMPLETED, rig_wait(waiting.text)->state);
    EXPECT_FALSE(rig_stats(n).draining);
}

static void *toggle(void *node)
{
    for (int i = 0; i < 20000; i++)
        (void)dureq_node_drain(node, i % 2 == 0);
    return NULL;
}

SCENARIO(drain_may_be_changed_quickly_and_from_several_threads)
{
    dureq_node *n = rig_node("n", "t", fine, NULL);
    pthread_t threads[2];
    dureq_job_id id;

    for (int i = 0; i < 2; i++)
        EXPECT_I64(0, pthread_create(&threads[i], NULL, toggle, n));
    for (int i = 0; i < 2; i++)
        (void)pthread_join(threads[i], NULL);
    EXPECT_RC(0, dureq_node_drain(n, true));
    RIG_UNTIL(rig_stats(n).draining);
    EXPECT_RC(0, dureq_node_drain(n, false));
    RIG_UNTIL(!rig_stats(n).draining);
    id = rig_enqueue("t", "1", NULL);
    EXPECT_I64(DUREQ_JOB_COMPLETED, rig_wait(id.text)->state);
}

/* ---- stop ---- */

static int nap(dureq_run *task, void *userdata)
{
    (void)userdata;
    atomic_fetch_add(&shared.entered, 1);
    (void)dureq_run_wait_cancelled(task, 150);
    dureq_run_log(task, "napped"); /* its outcome is not a plain one */
    return 0;
}

SCENARIO(stop_waits_for_what_runs_and_not_longer)
{
    dureq_node_options o = rig_node_options("n");
    dureq_job_id ids[8];
    dureq_node *n;
    int64_t since;

    begin();
    o.shutdown_timeout_ms = 30000;
    n = rig_node_create(&o);
    rig_handle(n, "nap", nap, NULL, NULL);
    rig_start(n);
    for (int i = 0; i < 8; i++)
        ids[i] = rig_enqueue("nap", "1", NULL);
    RIG_UNTIL(atomic_load(&shared.entered) == 8);
    since = rig_mono_ms();
    RIG_OK(dureq_node_stop(n, &err));
    EXPECT_TRUE(rig_mono_ms() - since < 5000);
    for (int i = 0; i < 8; i++)
        EXPECT_I64(DUREQ_JOB_COMPLETED, rig_state(ids[i].text));
    EXPECT_I64(0, rig_counts().nodes);
}

SCENARIO(a_stop_at_its_deadline_gives_back_without_spending_an_attempt)
{
    dureq_node_options o = rig_node_options("first");
    dureq_job_id ids[12];
    dureq_node *n;

    begin();
    o.shutdown_timeout_ms = 100;
    n = rig_node_create(&o);
    rig_handle(n, "t", wait_told, NULL, NULL);
    rig_start(n);
    for (int i = 0; i < 12; i++) /* eight run, four wait */
        ids[i] = rig_enqueue("t", "1", NULL);
    RIG_UNTIL(atomic_load(&shared.entered) == 8);
    RIG_OK(dureq_node_stop(n, &err));
    for (int i = 0; i < 12; i++) {
        const dureq_job *j = rig_job(ids[i].text);

        EXPECT_I64(DUREQ_JOB_PENDING, j->state);
        EXPECT_I64(0, j->attempt);
        EXPECT_I64(0, j->crashes);
    }
    (void)rig_node("second", "t", fine, NULL);
    for (int i = 0; i < 12; i++) {
        const dureq_job *j = rig_wait(ids[i].text);

        EXPECT_I64(DUREQ_JOB_COMPLETED, j->state);
        EXPECT_I64(1, j->attempt);
        EXPECT_STR_TEXT("second", j->node_id);
    }
}

static void *stop_it(void *node)
{
    (void)dureq_node_stop(node, NULL);
    return NULL;
}

SCENARIO(stop_now_ends_a_patient_stop)
{
    dureq_node_options o = rig_node_options("n");
    dureq_job_id id;
    dureq_node *n;
    pthread_t thread;
    int64_t since;

    begin();
    o.shutdown_timeout_ms = 60000;
    n = rig_node_create(&o);
    rig_handle(n, "t", wait_told, NULL, NULL);
    rig_start(n);
    id = rig_enqueue("t", "1", NULL);
    RIG_UNTIL(atomic_load(&shared.entered) == 1);
    EXPECT_I64(0, pthread_create(&thread, NULL, stop_it, n));
    since = rig_mono_ms();
    dureq_node_stop_now(n);
    (void)pthread_join(thread, NULL);
    EXPECT_TRUE(rig_mono_ms() - since < 3000);
    EXPECT_I64(DUREQ_JOB_PENDING, rig_state(id.text));
    EXPECT_I64(0, rig_job(id.text)->attempt);
}

SCENARIO(stop_now_counts_for_a_stop_that_comes_later)
{
    dureq_node_options o = rig_node_options("n");
    dureq_job_id ids[3];
    dureq_node *n;
    int64_t since;

    begin();
    o.shutdown_timeout_ms = 60000;
    o.concurrency = 1;
    n = rig_node_create(&o);
    rig_handle(n, "t", wait_told, NULL, NULL);
    rig_start(n);
    for (int i = 0; i < 3; i++)
        ids[i] = rig_enqueue("t", "1", NULL);
    RIG_UNTIL(atomic_load(&shared.entered) == 1);
    dureq_node_stop_now(n);
    RIG_UNTIL(rig_stats(n).running == 0);
    since = rig_mono_ms();
    RIG_OK(dureq_node_stop(n, &err));
    EXPECT_TRUE(rig_mono_ms() - since < 3000);
    EXPECT_I64(1, atomic_load(&shared.entered));
    for (int i = 0; i < 3; i++)
        EXPECT_I64(DUREQ_JOB_PENDING, rig_state(ids[i].text));
}

/* ---- callbacks ---- */

static struct {
    dq_mutex mu;
    char text[4096];
} events;

static void note_event(const dureq_node_event *e, void *userdata)
{
    static const char *const names[] = {"?", "started", "completed", "failed", "dead", "paused", "resumed", "cancelled"};
    bool ids_fit = strncmp(e->run_id, e->job_id, DUREQ_JOB_ID_LEN) == 0;
    size_t len;

    (void)userdata;
    dq_mutex_lock(&events.mu);
    len = strlen(events.text);
    (void)snprintf(events.text + len, sizeof events.text - len, "%s %s %s %d %d %s%s\n", names[e->kind], e->task_type, e->queue,
                   (int)e->attempt, e->code, e->error, ids_fit ? "" : " wrong run id");
    dq_mutex_unlock(&events.mu);
}

static void forget_events(void)
{
    dq_mutex_lock(&events.mu);
    events.text[0] = '\0';
    dq_mutex_unlock(&events.mu);
}

static bool told(const char *line)
{
    dq_mutex_lock(&events.mu);
    bool found = strstr(events.text, line) != NULL;
    dq_mutex_unlock(&events.mu);
    return found;
}

static int twice(dureq_run *task, void *userdata)
{
    (void)userdata;
    if (dq_str_eq_text(dureq_run_payload(task), "pause"))
        return dureq_run_attempt(task) == 1 && strstr(dureq_run_id(task), ".1") ? dureq_run_pause(task, 0, "later") : 0;
    return dureq_run_attempt(task) == 1 ? dureq_run_retry(task, 5, "first") : dureq_run_fail(task, 6, "second");
}

SCENARIO(callbacks_tell_what_becomes_of_jobs)
{
    dureq_node_options o = rig_node_options("n");
    dureq_retry_policy p = {.struct_size = sizeof p, .initial_delay_ms = -1};
    dureq_job_options jo = {.struct_size = sizeof jo, .retry_policy = &p};
    dureq_job_id id;
    dureq_node *n;

    begin();
    dq_mutex_init(&events.mu);
    forget_events();
    o.on_event = note_event;
    n = rig_node_create(&o);
    rig_handle(n, "fine", fine, NULL, NULL);
    rig_handle(n, "twice", twice, NULL, NULL);
    rig_handle(n, "told", wait_told, NULL, NULL);
    rig_start(n);
    id = rig_enqueue("fine", "1", NULL);
    (void)rig_wait(id.text);
    RIG_UNTIL(told("completed fine normal 1 0 \n"));
    EXPECT_TEXT("started fine normal 1 0 \ncompleted fine normal 1 0 \n", events.text);
    forget_events();
    id = rig_enqueue("twice", "1", &jo);
    EXPECT_I64(DUREQ_JOB_DEAD, rig_wait(id.text)->state);
    RIG_UNTIL(told("dead"));
    EXPECT_TEXT(
        "started twice normal 1 0 \nfailed twice normal 1 5 first\nstarted twice normal 2 0 \ndead twice normal 2 6 second\n",
        events.text);
    forget_events();
    id = rig_enqueue("twice", "pause", &jo);
    RIG_UNTIL(told("paused twice normal 1 0 later\n"));
    RIG_OK(dureq_client_resume(rig.client, id.text, &err));
    RIG_UNTIL(told("completed twice normal 1 0 \n"));
    id = rig_enqueue("told", "1", NULL);
    RIG_UNTIL(atomic_load(&shared.entered) == 1);
    RIG_OK(dureq_client_cancel(rig.client, id.text, NULL, &err));
    RIG_UNTIL(told("cancelled told normal 1 0 \n"));
}

/* ---- its client ---- */

static int enqueue_more(dureq_run *task, void *userdata)
{
    dureq_client *c = dureq_node_client(*(dureq_node **)userdata);
    dureq_job_spec spec = {.task_type = "fine", .payload = dureq_run_payload(task)};
    dureq_job_list *list = NULL;
    dureq_job_id id;
    int rc;

    rc = dureq_client_enqueue(c, &spec, &id, NULL);
    if (rc == 0)
        rc = dureq_client_wait(c, id.text, 5000, &list, NULL);
    dureq_job_list_destroy(list);
    return rc < 0 ? rc : dureq_run_set_result(task, dureq_str_from(id.text), "text/plain");
}

SCENARIO(handlers_enqueue_and_wait_with_the_nodes_client)
{
    static dureq_node *n;
    dureq_node_options o = rig_node_options("n");
    dureq_job_id ids[6];

    n = rig_node_create(&o);
    rig_handle(n, "more", enqueue_more, &n, NULL);
    rig_handle(n, "fine", fine, NULL, NULL);
    rig_start(n);
    for (int i = 0; i < 6; i++)
        ids[i] = rig_enqueue("more", "1", NULL);
    for (int i = 0; i < 6; i++) {
        const dureq_job *j = rig_wait(ids[i].text);
        char child[DUREQ_JOB_ID_LEN + 1];

        EXPECT_I64(DUREQ_JOB_COMPLETED, j->state);
        (void)snprintf(child, sizeof child, DQ_STR_FMT, DQ_STR_ARG(j->result));
        EXPECT_I64(DUREQ_JOB_COMPLETED, rig_state(child));
    }
    RIG_UNTIL(rig_stats(n).completed == 12);
    EXPECT_U64(12, rig_stats(n).started);
}

SCENARIO(what_a_node_counted_is_known_behind_its_stop)
{
    dureq_node *n = rig_node("n", "fine", fine, NULL);

    EXPECT_U64(0, rig_stats(n).completed);
    for (int i = 0; i < 3; i++)
        (void)rig_wait(rig_enqueue("fine", "1", NULL).text);
    RIG_UNTIL(rig_stats(n).completed == 3);
    RIG_OK(dureq_node_stop(n, &err));
    EXPECT_U64(3, rig_stats(n).completed);
    EXPECT_U64(3, rig_stats(n).started);
    EXPECT_I64(0, rig_stats(n).running);
    EXPECT_FALSE(rig_stats(n).connected);
}

RIG_MAIN()
