/* SPDX-License-Identifier: Apache-2.0 */
/* Nodes and clients against servers that are away, come back, are wrong, or were killed. What a node logs of it. */
#include "fake_redis.h"
#include "test_rig.h"

#include "base/mutex.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

static test_redis *durable; /* another one than the rig's: append-only, synced always, with a password */

#define PASSWORD "s3cret"

static int group_start(void **state)
{
    test_redis_options o = {.append_only = true, .password = PASSWORD};

    durable = test_redis_start(&o);
    return rig_group_start(state);
}

static int group_stop(void **state)
{
    test_redis_stop(durable);
    return rig_group_stop(state);
}

/* From here on the scenario's server is that one. */
static void use_durable(void)
{
    dureq_client *old = rig.client;

    rig.server = durable;
    rig.client = rig_client(NULL, rig.shards);
    dureq_client_destroy(old);
}

static int fine(dureq_run *task, void *userdata)
{
    (void)task;
    (void)userdata;
    return 0;
}

static dureq_node *node_at(const char *url, const char *prefix)
{
    dureq_node_options o = rig_node_options("n");
    dureq_node *n;

    o.redis_url = url ? url : o.redis_url;
    o.prefix = prefix ? prefix : o.prefix;
    n = rig_node_create(&o);
    rig_handle(n, "t", fine, NULL, NULL);
    return n;
}

static int client_at(const char *url, const char *prefix, dureq_error *err)
{
    dureq_client_options o = dureq_client_options_init();
    dureq_client *c = NULL;
    int rc;

    o.redis_url = url ? url : test_redis_url(rig.server);
    o.prefix = prefix ? prefix : rig.prefix;
    rc = dureq_client_create(&o, &c, err);
    dureq_client_destroy(c);
    return rc;
}

/* Node and client say the same, at once; and the node can be started when it is over. */
static dureq_node *expect_refused(int code, const char *part, const char *url, const char *prefix)
{
    dureq_node *n = node_at(url, prefix);
    int64_t since = rig_mono_ms();

    RIG_FAILS(code, part, dureq_node_start(n, &err));
    RIG_FAILS(code, part, client_at(url, prefix, &err));
    EXPECT_TRUE(rig_mono_ms() - since < 3000);
    EXPECT_PTR(NULL, dureq_node_client(n));
    return n;
}

/* ---- wrong ---- */

SCENARIO(a_server_that_may_drop_keys_is_refused_until_it_is_set_right)
{
    dureq_node_options o;
    dureq_node *n;

    free(test_redis_command(rig.server, "CONFIG", "SET", "maxmemory-policy", "allkeys-lru", NULL));
    n = expect_refused(DUREQ_EPOLICY, "allkeys-lru", NULL, NULL);
    o = rig_node_options("allowed");
    o.allow_eviction = true;
    dureq_node *allowed = rig_node_create(&o);
    rig_handle(allowed, "t", fine, NULL, NULL);
    rig_start(allowed);
    free(test_redis_command(rig.server, "CONFIG", "SET", "maxmemory-policy", "noeviction", NULL));
    rig_start(n);
    RIG_UNTIL(rig_counts().nodes == 2);
}

SCENARIO(data_of_a_newer_schema_is_refused_until_it_is_gone)
{
    char key[80], prefix[64];
    dureq_node *n;

    (void)snprintf(prefix, sizeof prefix, "%s-newer", rig.prefix);
    (void)snprintf(key, sizeof key, "%s:meta", prefix);
    (void)test_redis_command_int(rig.server, "HSET", key, "schema", "99", NULL);
    n = expect_refused(DUREQ_ESCHEMA, "99", NULL, prefix);
    (void)test_redis_command_int(rig.server, "DEL", key, NULL);
    rig_start(n);
}

SCENARIO(a_foreign_key_in_the_way_is_named)
{
    char key[80], prefix[64];
    dureq_node *n;

    (void)snprintf(prefix, sizeof prefix, "%s-foreign", rig.prefix);
    (void)snprintf(key, sizeof key, "{%s:0}:due", prefix);
    free(test_redis_command(rig.server, "SET", key, "mine", NULL));
    n = expect_refused(DUREQ_EWRONGTYPE, key, NULL, prefix);
    free(test_redis_command(rig.server, "DEL", key, NULL));
    rig_start(n);
}

SCENARIO(a_wrong_password_is_told_at_once_and_not_shown)
{
    char url[256], socket[200];
    dureq_error err = {0};

    (void)snprintf(socket, sizeof socket, "%s", test_redis_socket(durable));
    (void)snprintf(url, sizeof url, "unix://:wr0ng@%s", socket);
    (void)expect_refused(DUREQ_EAUTH, "password", url, NULL);
    EXPECT_RC(DUREQ_EAUTH, client_at(url, NULL, &err));
    EXPECT_TRUE(strstr(err.msg, "wr0ng") == NULL);
}

SCENARIO(a_server_that_is_too_old_is_refused_by_its_version)
{
    fake_redis_options o = {.version = "6.2.14"};
    fake_redis *old = fake_redis_start(&o);

    (void)expect_refused(DUREQ_ETOOOLD, "6.2.14", fake_redis_url(old), NULL);
    fake_redis_stop(old);
}

/* ---- away ---- */

SCENARIO(a_client_is_told_at_once_that_nobody_listens)
{
    int64_t since = rig_mono_ms();

    RIG_FAILS(DUREQ_EUNAVAILABLE, "nobody", client_at("unix:///nobody/here.sock", NULL, &err));
    EXPECT_TRUE(rig_mono_ms() - since < 2000);
}

static void *start_client(void *code)
{
    *(int *)code = client_at(NULL, NULL, NULL);
    return NULL;
}

SCENARIO(a_client_waits_for_a_server_that_is_slow_to_answer)
{
    pthread_t thread;
    int64_t since = rig_mono_ms();
    int code = 1;

    test_redis_freeze(rig.server);
    EXPECT_I64(0, pthread_create(&thread, NULL, start_client, &code));
    RIG_UNTIL(rig_mono_ms() - since > 400);
    test_redis_thaw(rig.server);
    (void)pthread_join(thread, NULL);
    EXPECT_RC(0, code);
}

static void *start_node(void *node)
{
    static int rc;

    rc = dureq_node_start(node, NULL);
    return &rc;
}

SCENARIO(a_node_waits_for_a_server_that_comes_up)
{
    dureq_node *n;
    pthread_t thread;
    void *rc;
    int64_t since;

    use_durable();
    n = node_at(NULL, NULL);
    test_redis_kill(durable);
    EXPECT_I64(0, pthread_create(&thread, NULL, start_node, n));
    since = rig_mono_ms();
    RIG_UNTIL(rig_mono_ms() - since > 200);
    test_redis_restart(durable);
    (void)pthread_join(thread, &rc);
    EXPECT_RC(0, *(int *)rc);
    dureq_job_id id = rig_enqueue("t", "1", NULL);
    EXPECT_I64(DUREQ_JOB_COMPLETED, rig_wait(id.text)->state);
}

/* A gate that handlers wait at: a job has begun, and ends when the test says so. */
static atomic_int at_gate;
static atomic_bool gate_is_open;

static int gated(dureq_run *task, void *userdata)
{
    (void)userdata;
    atomic_fetch_add(&at_gate, 1);
    while (!atomic_load(&gate_is_open))
        if (dureq_run_wait_cancelled(task, 1))
            break;
    return 0;
}

SCENARIO(what_ends_while_the_server_stands_is_counted_until_it_is_recorded)
{
    enum { N = 5 };
    dureq_node_stats s;
    dureq_node *n;

    atomic_store(&at_gate, 0);
    atomic_store(&gate_is_open, false);
    n = rig_node("n", "gated", gated, NULL);
    for (int i = 0; i < N; i++)
        (void)rig_enqueue("gated", "", NULL);
    RIG_UNTIL(atomic_load(&at_gate) == N);
    EXPECT_U64(0, rig_stats(n).unsent);

    test_redis_freeze(rig.server);
    atomic_store(&gate_is_open, true);
    RIG_UNTIL((s = rig_stats(n)).running == 0);
    EXPECT_U64(N, s.unsent);
    EXPECT_U64(0, s.completed);
    test_redis_thaw(rig.server);
    RIG_UNTIL((s = rig_stats(n)).unsent == 0);
    EXPECT_U64(N, s.completed + s.lost);
}

/* ---- deleted ---- */

static atomic_int n_right, n_wrong;

static int own_payload(dureq_run *task, void *userdata)
{
    atomic_fetch_add(dq_str_eq_text(dureq_run_payload(task), userdata) ? &n_right : &n_wrong, 1);
    return 0;
}

/* As soon as it is accepted: where all was deleted there is no queue until somebody has noticed. */
static void enqueue_until_accepted(const char *type, const char *payload)
{
    dureq_job_spec spec = {.task_type = type, .payload = dureq_str_from(payload)};

    RIG_UNTIL(dureq_client_enqueue(rig.client, &spec, NULL, NULL) == 0);
}

SCENARIO(when_all_was_deleted_under_live_programs_they_start_over)
{
    static char a[] = "\"a\"", b[] = "\"b\"";
    dureq_client *old = rig.client;

    atomic_store(&n_right, 0);
    atomic_store(&n_wrong, 0);
    for (int i = 0; i < 3; i++) {
        dureq_node_options o = rig_node_options((const char *[]){"n", "m", "o"}[i]);
        dureq_node *n = rig_node_create(&o);

        rig_handle(n, "a", own_payload, a, NULL);
        rig_handle(n, "b", own_payload, b, NULL);
        rig_start(n);
    }
    rig.client =
        rig_client(NULL, 0); /* whose options say nothing of shards: it must not make the prefix with another number of them */
    dureq_client_destroy(old);
    for (int round = 0; round < 4; round++) {
        bool turned = round % 2 != 0; /* lanes are numbered as they come */

        for (int i = 0; i < 8; i++) {
            enqueue_until_accepted(turned ? "b" : "a", turned ? b : a);
            enqueue_until_accepted(turned ? "a" : "b", turned ? a : b);
        }
        RIG_UNTIL(atomic_load(&n_right) == 16 * (round + 1));
        RIG_UNTIL(rig_counts().completed == 16);
        rig_doctor();
        free(test_redis_command(rig.server, "FLUSHALL", NULL));
    }
    EXPECT_I64(0, atomic_load(&n_wrong));
    enqueue_until_accepted("a", a); /* for the doctor of the end */
}

static bool has_queue(const char *name)
{
    dureq_queue_list *list = NULL;
    bool found = false;

    RIG_OK(dureq_client_list_queues(rig.client, &list, &err));
    for (size_t i = 0; i < list->n; i++)
        found = found || dq_str_eq_text(list->items[i].name, name);
    dureq_queue_list_destroy(list);
    return found;
}

/* By a program that has not noticed yet: a queue alone must not be taken for a prefix. */
SCENARIO(a_queue_that_is_set_where_all_was_deleted_is_not_the_only_one)
{
    static char a[] = "\"a\"", b[] = "\"b\"", c[] = "\"c\"";
    static char *const payloads[] = {a, b, c};
    static const char *const types[] = {"a", "b", "c"};
    dureq_queue_options q = dureq_queue_options_init();
    dureq_job_options in_bulk = dureq_job_options_init();
    dureq_node_options o = rig_node_options("n");
    dureq_node *n = rig_node_create(&o);
    char meta[64];

    q.weight = 2;
    in_bulk.queue = "bulk";
    (void)snprintf(meta, sizeof meta, "%s:meta", rig.prefix);
    atomic_store(&n_right, 0);
    atomic_store(&n_wrong, 0);
    for (int i = 0; i < 3; i++)
        rig_handle(n, types[i], own_payload, payloads[i], NULL);
    rig_start(n);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 9; i++) { /* lanes are numbered as they come */
            int k = (i + round) % 3;

            enqueue_until_accepted(types[k], payloads[k]);
            if (round > 0)
                (void)rig_enqueue(types[k], payloads[k], &in_bulk);
        }
        RIG_UNTIL(atomic_load(&n_right) + atomic_load(&n_wrong) == 9 + 18 * round);
        EXPECT_I64(0, atomic_load(&n_wrong));
        RIG_UNTIL(rig_counts().completed == (round ? 18 : 9));
        rig_doctor();
        if (round == 2)
            break;
        free(test_redis_command(rig.server, "FLUSHALL", NULL));
        RIG_OK(dureq_client_set_queue(rig.client, "bulk", &q, /*only_if_missing=*/false, NULL, &err));
        EXPECT_TRUE(has_queue("high") && has_queue("normal") && has_queue("low") && has_queue("bulk"));
        EXPECT_I64(1, test_redis_command_int(rig.server, "HEXISTS", meta, "schema", NULL));
    }
}

/* ---- full ---- */

enum { KEPT = 600, KEPT_BYTES = 16000 };

static void limit_memory(int64_t bytes)
{
    char text[32];

    (void)snprintf(text, sizeof text, "%lld", (long long)bytes);
    free(test_redis_command(rig.server, "CONFIG", "SET", "maxmemory", text, NULL));
}

static int64_t used_memory(void)
{
    char *used = test_redis_info(rig.server, "used_memory");
    int64_t bytes = strtoll(used, NULL, 10);

    free(used);
    return bytes;
}

static int try_enqueue(void)
{
    dureq_job_spec spec = {.task_type = "t", .payload = DQ_STR_LIT("1")};

    return dureq_client_enqueue(rig.client, &spec, NULL, NULL);
}

SCENARIO(a_server_that_is_full_of_history_makes_room_by_itself)
{
    char payload[KEPT_BYTES + 1];
    int64_t full;

    memset(payload, '1', KEPT_BYTES);
    payload[KEPT_BYTES] = '\0';
    rig_start(node_at(NULL, NULL));
    for (int i = 0; i < KEPT; i++)
        (void)rig_enqueue("t", payload, NULL);
    RIG_UNTIL(rig_counts().completed == KEPT);
    full = used_memory();
    limit_memory(full);
    RIG_UNTIL(try_enqueue() == 0);
    RIG_UNTIL(used_memory() < full - KEPT * KEPT_BYTES / 8); /* no more than is needed: of four shards one may be enough */
    rig_doctor();
    limit_memory(0);
}

/* ---- killed under work ---- */

enum { MANY = 1500 };

static int count_run(dureq_run *task, void *userdata)
{
    (void)dureq_run_wait_cancelled(task, 2);
    atomic_fetch_add((atomic_int *)userdata, 1);
    return 0;
}

/* The calls of a producer whose server is away for a while; those that failed are made again. */
static void enqueue_all(dureq_job_spec *specs, size_t n)
{
    dureq_enqueue_result *r = calloc(n, sizeof *r);

    RIG_OK(dureq_client_enqueue_many(rig.client, specs, n, r, &err));
    for (size_t i = 0; i < n; i++)
        EXPECT_RC(0, r[i].code);
    free(r);
}

SCENARIO(work_goes_on_by_itself_when_the_server_was_killed_and_is_back)
{
    static atomic_int ran;
    dureq_job_spec *specs = calloc(MANY, sizeof *specs);
    dureq_node_options o;
    dureq_node *n;

    use_durable();
    atomic_store(&ran, 0);
    for (int i = 0; i < MANY; i++)
        specs[i] = (dureq_job_spec){.task_type = "count", .payload = DQ_STR_LIT("1")};
    o = rig_node_options("n");
    n = rig_node_create(&o);
    rig_handle(n, "count", count_run, &ran, NULL);
    rig_start(n);
    enqueue_all(specs, MANY / 2);
    for (int round = 1; round <= 2; round++) {
        RIG_UNTIL(atomic_load(&ran) > round * 100);
        test_redis_kill(durable);
        RIG_UNTIL(!rig_stats(n).connected);
        test_redis_restart(durable);
        RIG_UNTIL(rig_stats(n).connected);
    }
    enqueue_all(specs + MANY / 2, MANY / 2);
    RIG_UNTIL(rig_counts().completed == MANY);
    EXPECT_I64(0, rig_counts().dead);
    EXPECT_I64(0, rig_counts().pending + rig_counts().running);
    EXPECT_TRUE(atomic_load(&ran) >= MANY && atomic_load(&ran) <= MANY + 2 * 8 + 2);
    free(specs);
}

/* ---- what is logged ---- */

static struct {
    dq_mutex mu;
    int n[5], bad;
    char events[4096];
} logged;

static void take_record(const dureq_log_record *r, void *userdata)
{
    dq_mutex_lock(&logged.mu);
    if (userdata != &logged || !r->event || !r->text || !r->file || r->line <= 0 || strchr(r->text, '\n') || r->level < 1 ||
        r->level > 4) {
        logged.bad++;
    } else {
        size_t len = strlen(logged.events);

        logged.n[r->level]++;
        (void)snprintf(logged.events + len, sizeof logged.events - len, "%s ", r->event);
    }
    dq_mutex_unlock(&logged.mu);
}

static bool has_event(const char *name)
{
    dq_mutex_lock(&logged.mu);
    bool found = strstr(logged.events, name) != NULL;
    dq_mutex_unlock(&logged.mu);
    return found;
}

static dureq_node *logging_node(const char *id, int level)
{
    dureq_node_options o = rig_node_options(id);
    dureq_node *n;

    dq_mutex_init(&logged.mu);
    memset(logged.n, 0, sizeof logged.n);
    logged.bad = 0;
    logged.events[0] = '\0';
    o.log_fn = take_record;
    o.log_userdata = &logged;
    o.log_level = level;
    n = rig_node_create(&o);
    rig_handle(n, "t", fine, NULL, NULL);
    rig_start(n);
    return n;
}

SCENARIO(the_callers_logger_gets_the_records_of_its_level)
{
    dureq_node *n;

    use_durable();
    n = logging_node("a", DUREQ_LOG_DEBUG);
    RIG_UNTIL(has_event("node.live"));
    RIG_UNTIL(has_event("leader.elected"));
    test_redis_kill(durable);
    RIG_UNTIL(!rig_stats(n).connected);
    test_redis_restart(durable);
    RIG_UNTIL(rig_stats(n).connected);
    RIG_OK(dureq_node_stop(n, &err));
    EXPECT_I64(0, logged.bad);
    EXPECT_TRUE(logged.n[DUREQ_LOG_INFO] > 0 && logged.n[DUREQ_LOG_DEBUG] > 0 && logged.n[DUREQ_LOG_WARN] > 0);
    n = logging_node("b", DUREQ_LOG_WARN);
    RIG_OK(dureq_node_stop(n, &err));
    EXPECT_I64(0, logged.bad + logged.n[DUREQ_LOG_INFO] + logged.n[DUREQ_LOG_DEBUG]);
}

int main(void)
{
    cmocka_set_test_filter(getenv("DUREQ_TEST_ONLY"));
    return _cmocka_run_group_tests(__FILE__, expect_tests, expect_n_tests, group_start, group_stop);
}
