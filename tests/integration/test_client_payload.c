/* SPDX-License-Identifier: Apache-2.0 */
/* Payloads of all sizes: those over 32 KiB are keys of their own, which must come and go with their jobs. */
#include "fault_proxy.h"
#include "test_rig.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LARGE 40000

static int echo(dureq_run *task, void *userdata)
{
    (void)userdata;
    return dureq_run_set_result(task, dureq_run_payload(task), "application/octet-stream");
}

/* Bytes that tell their place and which payload they are of. */
static char *make_payload(size_t len, unsigned no)
{
    char *p = malloc(len ? len : 1);

    if (!p)
        abort();
    for (size_t i = 0; i < len; i++)
        p[i] = (char)(i * 7 + no * 13 + i / 251);
    return p;
}

/* How many payload keys there are, all shards together. */
static long long n_payload_keys(void)
{
    char pattern[80];
    const char *lua = "local n, at = 0, '0' repeat local s = redis.call('SCAN', at, 'MATCH', ARGV[1], 'COUNT', 1000) at = s[1] "
                      "n = n + #s[2] until at == '0' return n";

    (void)snprintf(pattern, sizeof pattern, "{%s:*}:b:*", rig.prefix);
    return test_redis_command_int(rig.server, "EVAL", lua, "0", pattern, NULL);
}

static dureq_job_id enqueue_large(const char *type, unsigned no)
{
    char *payload = make_payload(LARGE, no);
    dureq_job_spec spec = {type, dureq_str_of(payload, LARGE), NULL};
    dureq_job_id id = {{0}};

    RIG_OK(dureq_client_enqueue(rig.client, &spec, &id, &err));
    free(payload);
    return id;
}

/* Of several lanes and calls, so that places in a lane and places in a call differ. */
SCENARIO(every_job_of_many_gets_its_own_payload)
{
    enum { N = 300 };
    static const size_t sizes[] = {10, LARGE, 0, 32768, 32769, 100000, 200, 300000};
    static const char *const types[] = {"echo.a", "echo.b", "echo.c"};
    dureq_job_spec specs[N];
    dureq_enqueue_result results[N];
    long long n_large = 0;

    for (unsigned i = 0; i < N; i++) {
        size_t len = sizes[(i * 5 + i / 8) % DQ_ARRAY_LEN(sizes)];

        n_large += len > 32768;
        specs[i] = (dureq_job_spec){.task_type = types[(i / 2) % 3], .payload = dureq_str_of(make_payload(len, i), len)};
    }
    (void)rig_enqueue("echo.a", "lanes are known", NULL);
    (void)rig_enqueue("echo.b", "from the first call on", NULL);
    RIG_OK(dureq_client_enqueue_many(rig.client, specs, N, results, &err));
    EXPECT_I64(n_large, n_payload_keys());
    (void)rig_node("n", "echo.*", echo, NULL);
    RIG_UNTIL(rig_counts().completed == N + 2);
    for (unsigned i = 0; i < N; i++) {
        EXPECT_NOTE("job %u", i);
        EXPECT_STR(specs[i].payload, rig_job(results[i].id.text)->payload);
        EXPECT_STR(specs[i].payload, rig_job(results[i].id.text)->result);
        free((char *)specs[i].payload.ptr);
    }
    EXPECT_I64(n_large, n_payload_keys());
}

/* The call that was refused leaves nothing; the one in its place has the payload. */
SCENARIO(a_call_that_knew_old_queues_is_made_again)
{
    dureq_client *other = rig_client(NULL, rig.shards);

    for (unsigned i = 0; i < 12; i++) {
        dureq_job_id id = enqueue_large("echo", i);
        char *want = make_payload(LARGE, i);

        EXPECT_NOTE("job %u", i);
        EXPECT_STR(dureq_str_of(want, LARGE), rig_job(id.text)->payload);
        free(want);
        EXPECT_I64(i + 1, n_payload_keys());
        RIG_OK(i % 2 ? dureq_client_resume_queue(other, "low", &err) : dureq_client_pause_queue(other, "low", &err));
    }
    dureq_client_destroy(other);
}

SCENARIO(a_payload_goes_with_its_job)
{
    dureq_job_options unkept = dureq_job_options_init();
    char *payload = make_payload(LARGE, 1);
    dureq_job_spec spec = {"echo", dureq_str_of(payload, LARGE), &unkept};
    dureq_job_id id, cancelled = enqueue_large("echo", 2);
    int64_t n = 0;

    unkept.retention_ms = -1;
    RIG_OK(dureq_client_enqueue(rig.client, &spec, &id, &err));
    RIG_OK(dureq_client_cancel(rig.client, cancelled.text, "", &err));
    EXPECT_I64(2, n_payload_keys()); /* a cancelled job is kept for a while */
    RIG_OK(dureq_client_delete(rig.client, cancelled.text, &err));
    EXPECT_I64(1, n_payload_keys());
    (void)enqueue_large("nobody", 3);
    RIG_OK(dureq_client_pause_queue(rig.client, "normal", &err));
    RIG_OK(dureq_client_resume_queue(rig.client, "normal", &err));
    (void)rig_node("n", "echo", echo, NULL);
    RIG_UNTIL(n_payload_keys() == 1);
    RIG_OK(dureq_client_purge_queue(rig.client, "normal", &n, &err));
    EXPECT_I64(1, n);
    RIG_FAILS(DUREQ_ENOTFOUND, "nowhere", dureq_client_purge_queue(rig.client, "nowhere", &n, &err));
    EXPECT_I64(1, n); /* not touched on failure */
    EXPECT_I64(0, n_payload_keys());
    free(payload);
}

/* Its envelope can be read: what hangs on the end of the job is let go as at any end. */
SCENARIO(a_job_whose_payload_is_gone_is_dead_and_its_unique_key_free)
{
    const char *lua = "local n = 0 for _, k in ipairs(redis.call('KEYS', ARGV[1])) do n = n + redis.call('DEL', k) end return n";
    dureq_job_options o = dureq_job_options_init();
    char pattern[80], *payload = make_payload(LARGE, 1);
    dureq_job_spec spec = {"echo", dureq_str_of(payload, LARGE), &o};
    dureq_job_id id, next;

    o.unique_key = DQ_STR_LIT("one");
    RIG_OK(dureq_client_enqueue(rig.client, &spec, &id, &err));
    (void)snprintf(pattern, sizeof pattern, "{%s:*}:b:*", rig.prefix);
    EXPECT_I64(1, test_redis_command_int(rig.server, "EVAL", lua, "0", pattern, NULL));
    (void)rig_node("n", "echo", echo, NULL);
    EXPECT_I64(DUREQ_JOB_DEAD, rig_wait(id.text)->state);
    EXPECT_I64(1, rig_job(id.text)->attempt);
    EXPECT_HAS("its payload is gone", rig_job(id.text)->reason.ptr);
    RIG_OK(dureq_client_enqueue(rig.client, &spec, &next, &err));
    EXPECT_I64(DUREQ_JOB_COMPLETED, rig_wait(next.text)->state);
    RIG_OK(dureq_client_delete(rig.client, id.text, &err)); /* or the doctor names it */
    free(payload);
}

static int repeat_too_large(dureq_run *run, void *userdata)
{
    const dureq_str *most = userdata;

    if (dureq_run_payload(run).len == most->len)
        return 0;
    if (dureq_run_attempt(run) == 1)
        EXPECT_RC(DUREQ_ETOOLARGE, dureq_run_repeat(run, 0, dureq_str_of(most->ptr, most->len + 1)));
    else
        EXPECT_RC(0, dureq_run_repeat(run, 0, *most));
    return 0; /* it does not look */
}

SCENARIO(a_repeat_gives_no_larger_payload_than_is_taken)
{
    dureq_job_options o = dureq_job_options_init();
    dureq_retry_policy p = {.struct_size = sizeof p, .max_attempts = 2, .initial_delay_ms = -1};
    char *bytes = make_payload(DUREQ_PAYLOAD_DEFAULT_MAX + 1, 1);
    dureq_str most = dureq_str_of(bytes, DUREQ_PAYLOAD_DEFAULT_MAX);
    const dureq_job *j;

    o.retry_policy = &p;
    (void)rig_node("n", "repeat", repeat_too_large, &most);
    j = rig_wait(rig_enqueue("repeat", "1", &o).text);
    EXPECT_I64(DUREQ_JOB_COMPLETED, j->state);
    EXPECT_U64(most.len, j->payload.len);
    EXPECT_I64(DUREQ_OUTCOME_RETRY, j->attempts[0].outcome);
    EXPECT_RC(DUREQ_ETOOLARGE, j->attempts[0].code);
    EXPECT_STR_TEXT("the new payload is 1048577 bytes long: at most 1048576 are taken", j->attempts[0].error);
    free(bytes);
}

/* A quarter of it is what a bucket takes, and what is too much goes without waiting for a minute to be over. */
static int check_largest(dureq_run *task, void *userdata)
{
    return dq_str_eq(dureq_run_payload(task), *(const dureq_str *)userdata) ? 0 : DUREQ_EHANDLER;
}

SCENARIO(the_largest_payload_there_can_be)
{
    static dureq_str largest;
    char *bytes = make_payload(DUREQ_PAYLOAD_LIMIT_MAX + 1, 1);
    dureq_client_options o = dureq_client_options_init();
    dureq_client *c;
    dureq_job_spec spec = {.task_type = "largest"};
    dureq_job_id id;

    o.redis_url = test_redis_url(rig.server);
    o.prefix = rig.prefix;
    o.max_payload_bytes = DUREQ_PAYLOAD_LIMIT_MAX;
    RIG_OK(dureq_client_create(&o, &c, &err));
    spec.payload = dureq_str_of(bytes, DUREQ_PAYLOAD_LIMIT_MAX + 1);
    RIG_FAILS(DUREQ_ETOOLARGE, "payload", dureq_client_enqueue(c, &spec, NULL, &err));
    largest = spec.payload = dureq_str_of(bytes, DUREQ_PAYLOAD_LIMIT_MAX);
    RIG_OK(dureq_client_enqueue(c, &spec, &id, &err));
    (void)rig_node("n", "largest", check_largest, &largest);
    EXPECT_I64(DUREQ_JOB_COMPLETED, rig_wait(id.text)->state);
    RIG_OK(dureq_client_delete(c, id.text, &err));
    EXPECT_I64(0, n_payload_keys());
    dureq_client_destroy(c);
    free(bytes);
}

/* ---- many large reads at once: Redis drops a subscribed connection when 32 MiB of answers wait for it ---- */

enum { READERS = 40, MIB = 1 << 20 };

typedef struct reader {
    pthread_t thread;
    dureq_client *client;
    const char *id; /* NULL: lists */
    int rc;
    size_t len;
} reader;

static void *read_one(void *arg)
{
    reader *r = arg;
    dureq_job_filter f = dureq_job_filter_init();
    dureq_job_list *list = NULL;

    f.with_payload = true;
    r->rc = r->id ? dureq_client_get_job(r->client, r->id, &list, NULL) : dureq_client_list_jobs(r->client, &f, &list, NULL);
    for (size_t i = 0; r->rc == 0 && i < list->n; i++)
        r->len += list->items[i].payload.len;
    dureq_job_list_destroy(list);
    return NULL;
}

static void read_all(dureq_client *c, const char *id, int n, size_t len)
{
    reader readers[READERS];

    for (int i = 0; i < n; i++) {
        readers[i] = (reader){.client = c, .id = id};
        EXPECT_I64(0, pthread_create(&readers[i].thread, NULL, read_one, &readers[i]));
    }
    for (int i = 0; i < n; i++) {
        (void)pthread_join(readers[i].thread, NULL);
        EXPECT_NOTE("reader %d", i);
        EXPECT_RC(0, readers[i].rc);
        EXPECT_U64(len, readers[i].len);
    }
}

/* Subscribed, as one that has waited for a job is. */
static dureq_client *open_subscribed(const char *url)
{
    dureq_client_options o = dureq_client_options_init();
    dureq_job_list *list = NULL;
    dureq_client *c;
    dureq_job_id id = rig_enqueue("nobody", "1", NULL);

    o.redis_url = url;
    o.prefix = rig.prefix;
    o.max_payload_bytes = 2 * MIB;
    RIG_OK(dureq_client_create(&o, &c, &err));
    EXPECT_RC(DUREQ_ETIMEOUT, dureq_client_wait(c, id.text, 1, &list, NULL));
    RIG_OK(dureq_client_cancel(c, id.text, NULL, &err));
    RIG_OK(dureq_client_delete(c, id.text, &err));
    return c;
}

static dureq_job_id enqueue_of(dureq_client *c, size_t len)
{
    char *bytes = make_payload(len, 1);
    dureq_job_spec spec = {"t", dureq_str_of(bytes, len), NULL};
    dureq_job_id id = {{0}};

    RIG_OK(dureq_client_enqueue(c, &spec, &id, &err));
    free(bytes);
    return id;
}

static long long connections(void)
{
    return test_redis_command_int(
        rig.server, "EVAL", "return tonumber(string.match(redis.call('INFO', 'stats'), 'total_connections_received:(%d+)'))", "0",
        NULL);
}

SCENARIO(large_reads_wait_for_each_other)
{
    dureq_client *c = open_subscribed(test_redis_url(rig.server));
    dureq_job_id mib = enqueue_of(c, MIB), two = enqueue_of(c, 2 * MIB);
    long long before = connections();

    read_all(c, mib.text, READERS, MIB);
    EXPECT_I64(1, connections() - before); /* that of the question */
    read_all(c, two.text, READERS, 2 * MIB);
    EXPECT_I64(3, connections() - before); /* and that of such payloads */
    dureq_client_destroy(c);
}

SCENARIO(lists_of_large_payloads_wait_for_each_other)
{
    enum { JOBS = 8, LISTS = 16 };
    dureq_client *c = open_subscribed(test_redis_url(rig.server));
    long long before;

    for (int i = 0; i < JOBS; i++)
        (void)enqueue_of(c, MIB);
    before = connections();
    read_all(c, NULL, LISTS, JOBS * (size_t)MIB);
    EXPECT_I64(1, connections() - before);
    dureq_client_destroy(c);
}

SCENARIO(large_reads_outlast_lost_connections)
{
    fault_proxy *proxy = fault_proxy_start(test_redis_socket(rig.server), test_redis_file(rig.server, "proxy.sock"));
    dureq_client *c = open_subscribed(fault_proxy_url(proxy));
    dureq_job_id two = enqueue_of(c, 2 * MIB);
    reader r[READERS];

    for (int i = 0; i < READERS; i++) {
        r[i] = (reader){.client = c, .id = two.text};
        EXPECT_I64(0, pthread_create(&r[i].thread, NULL, read_one, &r[i]));
    }
    for (int i = 0; i < 3; i++) {
        long seen = fault_proxy_get_stats(proxy).connections;

        fault_proxy_cut_all(proxy);
        RIG_UNTIL(fault_proxy_get_stats(proxy).connections > seen);
    }
    for (int i = 0; i < READERS; i++) {
        (void)pthread_join(r[i].thread, NULL);
        EXPECT_RC(0, r[i].rc);
        EXPECT_U64(2 * MIB, r[i].len);
    }
    dureq_client_destroy(c);
    fault_proxy_stop(proxy);
}

/* Who gives up leaves its place to the others. */
SCENARIO(large_reads_that_nobody_waits_for_take_no_room)
{
    fault_proxy *proxy = fault_proxy_start(test_redis_socket(rig.server), test_redis_file(rig.server, "proxy.sock"));
    dureq_client_options o = dureq_client_options_init();
    dureq_client *c = open_subscribed(test_redis_url(rig.server)), *hasty;
    dureq_job_id two = enqueue_of(c, 2 * MIB);
    reader r[READERS];

    o.redis_url = fault_proxy_url(proxy);
    o.prefix = rig.prefix;
    o.timeout_ms = 1000;
    RIG_OK(dureq_client_create(&o, &hasty, &err));
    fault_proxy_hold(proxy, true);
    for (int i = 0; i < READERS; i++) {
        r[i] = (reader){.client = hasty, .id = two.text};
        EXPECT_I64(0, pthread_create(&r[i].thread, NULL, read_one, &r[i]));
    }
    for (int i = 0; i < READERS; i++) {
        (void)pthread_join(r[i].thread, NULL);
        EXPECT_TRUE(r[i].rc < 0);
    }
    fault_proxy_hold(proxy, false);
    RIG_UNTIL((r[0] = (reader){.client = hasty, .id = two.text}, (void)read_one(&r[0]), r[0].rc == 0));
    EXPECT_U64(2 * MIB, r[0].len);
    dureq_client_destroy(hasty);
    dureq_client_destroy(c);
    fault_proxy_stop(proxy);
}

SCENARIO(history_is_capped_by_all_that_it_keeps)
{
    enum { CAP = 1000000, JOBS = 120 };
    dureq_counts counts;
    char key[80];

    for (int i = 0; i < rig.shards; i++) {
        (void)snprintf(key, sizeof key, "{%s:%d}:sh", rig.prefix, i);
        EXPECT_I64(0, test_redis_command_int(rig.server, "HSET", key, "hm", "1000000", NULL));
    }
    (void)rig_node("n", "echo", echo, NULL);
    for (unsigned i = 0; i < JOBS; i++)
        (void)enqueue_large("echo", i);
    RIG_UNTIL(rig_counts().pending + rig_counts().running == 0);
    /* payload and result of 80 KB a job: 12 make the cap of one shard, and a bucket more may be there */
    RIG_UNTIL(n_payload_keys() <= rig.shards * 17);
    counts = rig_counts();
    RIG_UNTIL(rig_counts().completed == n_payload_keys());
    EXPECT_TRUE(counts.completed > 0);
}

RIG_MAIN()
