/* SPDX-License-Identifier: Apache-2.0 */
/* A client whose n-th allocation fails, for each n, while it changes jobs, queues and nodes, counts, and checks: what it says has failed has not happened. */

#include "test_oom.h"
#include "test_rig.h"

#include "doctor/doctor.h"

#define BIG (2 * 1024 * 1024) /* more than fits on the connection that calls share */

/* ---- one job ---- */

static void make_pending(oom_call *c)
{
    c->id = rig_enqueue("mail", "1", NULL);
    c->n_jobs++;
}

static void make_delayed(oom_call *c)
{
    dureq_job_options o = dureq_job_options_init();

    o.delay_ms = 3600000;
    c->id = rig_enqueue("mail", "1", &o);
    c->n_jobs++;
}

static void make_cancelled(oom_call *c)
{
    make_pending(c);
    RIG_OK(dureq_client_cancel(rig.client, c->id.text, "as asked", &err));
}

static void make_paused(oom_call *c)
{
    make_pending(c);
    RIG_OK(dureq_client_pause(rig.client, c->id.text, &err));
}

static long n_keys; /* each has one of its own, for those that failed hold theirs */

static void name_key(char out[32])
{
    (void)snprintf(out, 32, "k%ld", n_keys);
}

static void make_unique(oom_call *c)
{
    dureq_job_options o = dureq_job_options_init();
    char key[32];

    n_keys++;
    name_key(key);
    o.unique_key = dureq_str_from(key);
    c->id = rig_enqueue("mail", "1", &o);
    c->n_jobs++;
}

static int do_cancel(oom_call *c, dureq_error *err)
{
    return dureq_client_cancel(rig.client, c->id.text, "for a reason", err);
}

static int do_cancel_by_key(oom_call *c, dureq_error *err)
{
    char key[32];

    (void)c;
    name_key(key);
    return dureq_client_cancel_by_unique_key(rig.client, dureq_str_from(key), err);
}

static int do_delete_key(oom_call *c, dureq_error *err)
{
    char key[32];

    (void)c;
    name_key(key);
    return dureq_client_delete_unique_key(rig.client, dureq_str_from(key), err);
}

/* What failed has not happened; what cannot be known may have. */
static bool is_as_told(int rc, bool happened)
{
    return rc == DUREQ_EUNKNOWN || (rc == 0) == happened;
}

static void key_is_gone_or_held(oom_call *c, int rc)
{
    dureq_job_id holder = {.text = ""};
    char key[32];
    int64_t ttl_ms;

    name_key(key);
    EXPECT_TRUE(
        is_as_told(rc, dureq_client_get_unique_key(rig.client, dureq_str_from(key), &holder, &ttl_ms, NULL) == DUREQ_ENOTFOUND));
    EXPECT_TRUE(!holder.text[0] || strcmp(c->id.text, holder.text) == 0);
}

static int do_retry(oom_call *c, dureq_error *err)
{
    return dureq_client_retry(rig.client, c->id.text, /*force=*/false, err);
}

static int do_delete(oom_call *c, dureq_error *err)
{
    return dureq_client_delete(rig.client, c->id.text, err);
}

static int do_pause(oom_call *c, dureq_error *err)
{
    return dureq_client_pause(rig.client, c->id.text, err);
}

static int do_resume(oom_call *c, dureq_error *err)
{
    return dureq_client_resume(rig.client, c->id.text, err);
}

static int do_reschedule(oom_call *c, dureq_error *err)
{
    return dureq_client_reschedule(rig.client, c->id.text, rig_server_ms() + 3600000, err);
}

static int do_run_now(oom_call *c, dureq_error *err)
{
    return dureq_client_run_now(rig.client, c->id.text, err);
}

SCENARIO(what_is_done_to_a_job_is_done_or_not)
{
    static const oom_row rows[] = {
        {.name = "cancel",
         .prepare = make_pending,
         .run = do_cancel,
         .may_be_unknown = true,
         .acts = true,
         .after = DUREQ_JOB_CANCELLED},
        {.name = "cancel_by_unique_key",
         .prepare = make_unique,
         .run = do_cancel_by_key,
         .may_be_unknown = true,
         .acts = true,
         .after = DUREQ_JOB_CANCELLED},
        {.name = "delete_unique_key",
         .prepare = make_unique,
         .run = do_delete_key,
         .may_be_unknown = true,
         .check = key_is_gone_or_held},
        {.name = "retry",
         .prepare = make_cancelled,
         .run = do_retry,
         .may_be_unknown = true,
         .acts = true,
         .after = DUREQ_JOB_PENDING},
        {.name = "delete", .prepare = make_cancelled, .run = do_delete, .may_be_unknown = true, .acts = true, .after = -1},
        {.name = "pause",
         .prepare = make_pending,
         .run = do_pause,
         .may_be_unknown = true,
         .acts = true,
         .after = DUREQ_JOB_PAUSED},
        {.name = "resume",
         .prepare = make_paused,
         .run = do_resume,
         .may_be_unknown = true,
         .acts = true,
         .after = DUREQ_JOB_PENDING},
        {.name = "reschedule",
         .prepare = make_pending,
         .run = do_reschedule,
         .may_be_unknown = true,
         .acts = true,
         .after = DUREQ_JOB_SCHEDULED},
        {.name = "run_now",
         .prepare = make_delayed,
         .run = do_run_now,
         .may_be_unknown = true,
         .acts = true,
         .after = DUREQ_JOB_PENDING},
    };

    oom_each_of(rows, DQ_ARRAY_LEN(rows));
    rig_doctor();
}

/* ---- payloads ---- */

static char big[BIG];
static dureq_client *big_client; /* takes payloads of that size */

static void open_big_client(void)
{
    dureq_client_options o = dureq_client_options_init();

    o.redis_url = test_redis_url(rig.server);
    o.prefix = rig.prefix;
    o.max_payload_bytes = BIG;
    memset(big, 'b', BIG);
    RIG_OK(dureq_client_create(&o, &big_client, &err));
}

/* With 0 it is the new one, else "1". */
static void payload_is(const oom_call *c, int rc, dureq_str fresh)
{
    dureq_job_list *list = NULL;
    bool is_fresh;

    RIG_OK(dureq_client_get_job(big_client, c->id.text, &list, &err));
    is_fresh = dq_str_eq(fresh, list->items[0].payload);
    EXPECT_TRUE(is_as_told(rc, is_fresh));
    EXPECT_TRUE(is_fresh || dq_str_eq_text(list->items[0].payload, "1"));
    dureq_job_list_destroy(list);
}

static int do_update(oom_call *c, dureq_error *err)
{
    return dureq_client_update_payload(rig.client, c->id.text, DQ_STR_LIT("[2]"), NULL, err);
}

static void is_updated_or_not(oom_call *c, int rc)
{
    payload_is(c, rc, DQ_STR_LIT("[2]"));
}

/* The server keeps no more than a few of them. */
static void forget(oom_call *c)
{
    RIG_OK(dureq_client_cancel(rig.client, c->id.text, "", &err));
    RIG_OK(dureq_client_delete(rig.client, c->id.text, &err));
    c->n_jobs--;
}

static int do_update_big(oom_call *c, dureq_error *err)
{
    return dureq_client_update_payload(big_client, c->id.text, dureq_str_of(big, BIG), "text/plain", err);
}

static void is_big_or_not(oom_call *c, int rc)
{
    payload_is(c, rc, dureq_str_of(big, BIG));
    forget(c);
}

static int do_enqueue_big(oom_call *c, dureq_error *err)
{
    dureq_job_spec spec = {"mail", dureq_str_of(big, BIG), NULL};
    int rc = dureq_client_enqueue(big_client, &spec, &c->id, err);

    c->n_jobs += rc == 0;
    return rc;
}

static void is_enqueued_or_not(oom_call *c, int rc)
{
    if (rc != 0)
        return;
    payload_is(c, rc, dureq_str_of(big, BIG));
    forget(c);
}

static void make_big_once(oom_call *c)
{
    dureq_error err = {0};

    if (c->calls == 1)
        EXPECT_RC(0, do_enqueue_big(c, &err));
}

static int do_get_big(oom_call *c, dureq_error *err)
{
    dureq_job_list *list = NULL;
    int rc = dureq_client_get_job(big_client, c->id.text, &list, err);

    if (rc == 0)
        EXPECT_TRUE(dq_str_eq(dureq_str_of(big, BIG), list->items[0].payload));
    dureq_job_list_destroy(list);
    return rc;
}

SCENARIO(a_payload_is_taken_whole_or_not_at_all)
{
    static const oom_row rows[] = {
        {.name = "update_payload", .prepare = make_pending, .run = do_update, .may_be_unknown = true, .check = is_updated_or_not},
        {.name = "update_payload of 2 MiB",
         .prepare = make_pending,
         .run = do_update_big,
         .may_be_unknown = true,
         .check = is_big_or_not},
        {.name = "enqueue of 2 MiB", .run = do_enqueue_big, .check = is_enqueued_or_not},
        {.name = "get_job of 2 MiB", .prepare = make_big_once, .run = do_get_big},
    };

    open_big_client();
    oom_each_of(rows, DQ_ARRAY_LEN(rows));
    dureq_client_destroy(big_client);
    rig_doctor();
}

/* ---- queues, nodes, all of it ---- */

enum { PURGED = 10 };

static void fill_queue(oom_call *c)
{
    dureq_job_options o = dureq_job_options_init();

    o.queue = "bulk";
    for (int i = 0; i < PURGED; i++)
        c->id = rig_enqueue("mail", "1", &o);
    c->n_jobs += PURGED;
}

static int do_purge(oom_call *c, dureq_error *err)
{
    int64_t n = 0;
    int rc = dureq_client_purge_queue(rig.client, "bulk", &n, err);

    c->n_jobs -= rc == 0 ? n : 0;
    return rc;
}

static void is_purged(oom_call *c, int rc)
{
    if (rc == 0)
        EXPECT_I64(-1, rig_state(c->id.text));
}

static bool queue_is_paused(const char *name)
{
    dureq_queue_list *queues = NULL;
    bool paused = false;

    RIG_OK(dureq_client_list_queues(rig.client, &queues, &err));
    for (size_t i = 0; i < queues->n; i++)
        if (dq_str_eq_text(queues->items[i].name, name))
            paused = queues->items[i].paused;
    dureq_queue_list_destroy(queues);
    return paused;
}

static void let_queue_go(oom_call *c)
{
    (void)c;
    RIG_OK(dureq_client_resume_queue(rig.client, "bulk", &err));
}

static int do_pause_queue(oom_call *c, dureq_error *err)
{
    (void)c;
    return dureq_client_pause_queue(rig.client, "bulk", err);
}

/* A failure may have come between the shards: what is asked for again holds on all of them. */
static void pausing_again_does(oom_call *c, int rc)
{
    (void)c;
    if (rc < 0)
        RIG_OK(dureq_client_pause_queue(rig.client, "bulk", &err));
    EXPECT_TRUE(queue_is_paused("bulk"));
    rig_doctor();
}

static int do_count(oom_call *c, dureq_error *err)
{
    dureq_counts n;
    int rc = dureq_client_count(rig.client, &n, err);

    if (rc == 0)
        EXPECT_I64(c->n_jobs, n.pending + n.cancelled);
    return rc;
}

static int do_doctor(oom_call *c, dureq_error *err)
{
    dq_doctor_options o = {.repair = false};
    dq_doctor_report r;
    int rc = dq_doctor_run(rig.client, &o, &r, err);

    if (rc != 0)
        return rc;
    EXPECT_I64(0, r.n_found);
    EXPECT_I64(c->n_jobs, r.tally.pending + r.tally.cancelled);
    dq_doctor_report_deinit(&r);
    return rc;
}

SCENARIO(queues_and_counts_are_right_or_refused)
{
    dureq_queue_options o = dureq_queue_options_init();
    static const oom_row rows[] = {
        {.name = "purge_queue", .prepare = fill_queue, .run = do_purge, .check = is_purged, .may_lose = true},
        {.name = "pause_queue", .prepare = let_queue_go, .run = do_pause_queue, .check = pausing_again_does},
        {.name = "count", .run = do_count},
        {.name = "doctor", .run = do_doctor},
    };

    RIG_OK(dureq_client_set_queue(rig.client, "bulk", &o, /*only_if_missing=*/false, NULL, &err));
    for (int i = 0; i < 5; i++)
        RIG_OK(dureq_client_cancel(rig.client, rig_enqueue("mail", "1", NULL).text, "", &err));
    oom_each_of(rows, DQ_ARRAY_LEN(rows));
    rig_doctor();
}

/* ---- a node, whose allocations fail as well ---- */

static int write_log(dureq_run *task, void *userdata)
{
    (void)userdata;
    dureq_run_log(task, "a line");
    return 0;
}

static dureq_job_id logged;

static int do_get_logs(oom_call *c, dureq_error *err)
{
    char *text = NULL;
    size_t len = 0;
    int rc = dureq_client_get_logs(rig.client, logged.text, &text, &len, err);

    (void)c;
    if (rc == 0)
        EXPECT_HAS("a line", text);
    dureq_free(text);
    return rc;
}

static int do_drain(oom_call *c, dureq_error *err)
{
    return dureq_client_drain_node(rig.client, "n", /*drain=*/c->calls % 2 == 1, err);
}

SCENARIO(what_a_node_has_is_read_or_changed_or_not)
{
    static const oom_row rows[] = {
        {.name = "get_logs", .run = do_get_logs},
        {.name = "drain_node", .run = do_drain},
    };
    dureq_node *node = rig_node("n", "mail", write_log, NULL);

    logged = rig_enqueue("mail", "1", NULL);
    (void)rig_wait(logged.text);
    oom_each_of(rows, DQ_ARRAY_LEN(rows));
    RIG_OK(dureq_client_drain_node(rig.client, "n", /*drain=*/false, &err));
    (void)rig_wait(rig_enqueue("mail", "1", NULL).text);
    RIG_OK(dureq_node_stop(node, &err));
}

RIG_MAIN()
