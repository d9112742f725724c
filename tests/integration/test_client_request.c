/* SPDX-License-Identifier: Apache-2.0 */
/* Requests with a callback: calls and waits that hold no thread, and what is left of them in the server. The clock of this program is set on. */
#include "test_mono.h"
#include "test_rig.h"

#include "client/client_internal.h"
#include "client/request.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/resource.h>

enum { STILL = 99, ASK_MS = 10000 /* waits are asked for again as often */ };

typedef struct told {
    dq_request *request;
    atomic_int n, code;
    int state;
    bool has_reply;
    pthread_t thread;
    dureq_job_id id;
} told;

static void on_told(void *userdata, const dq_answer *a)
{
    told *t = userdata;

    t->state = a->state;
    t->has_reply = a->reply != NULL;
    t->thread = pthread_self();
    atomic_store(&t->code, a->code);
    atomic_fetch_add(&t->n, 1);
}

static void submit(told *t, dureq_client *c, const char *id, int64_t timeout_ms)
{
    *t = (told){.code = STILL};
    RIG_OK(dq_client_submit_wait(c, id, timeout_ms, on_told, t, &t->request, &err));
}

static int n_told(told *t, int n, int code)
{
    int found = 0;

    for (int i = 0; i < n; i++)
        found += atomic_load(&t[i].n) == (code == STILL ? 0 : 1) && atomic_load(&t[i].code) == code;
    return found;
}

static void release_all(told *t, int n)
{
    for (int i = 0; i < n; i++)
        dq_request_release(t[i].request);
}

static char *wt_of(int shard, char out[80])
{
    (void)snprintf(out, 80, "{%s:%d}:wt", rig.prefix, shard);
    return out;
}

/* Whether the server knows of that many jobs that are waited for. */
static bool waited_for(long long n)
{
    char key[80];

    for (int s = 0; s < rig.shards; s++)
        n -= test_redis_command_int(rig.server, "HLEN", wt_of(s, key), NULL);
    return n == 0;
}

/* The bytes of channels that are registered for the job. */
static long long channel_bytes(const char *id)
{
    unsigned char packed[DQ_ID_BYTES];
    char key[80], hex[2 * DQ_ID_BYTES + 1];
    dq_id parsed;

    EXPECT_RC(0, dq_id_parse(dureq_str_from(id), &parsed));
    dq_id_pack(&parsed, packed);
    for (int i = 0; i < DQ_ID_BYTES; i++)
        (void)snprintf(hex + 2 * i, 3, "%02x", packed[i]);
    return test_redis_command_int(
        rig.server, "EVAL",
        "return #(redis.call('HGET', KEYS[1], (string.gsub(ARGV[1], '..', function(x) return string.char(tonumber(x, "
        "16)) end))) or '')",
        "1", wt_of((int)parsed.shard, key), hex, NULL);
}

/* Puts n channels that nobody listens to before those of the only job that is waited for. */
static void add_dead_channels(int shard, const char *n)
{
    char key[80];

    (void)test_redis_command_int(
        rig.server, "EVAL",
        "local id = redis.call('HKEYS', KEYS[1])[1] local who = {} for i = 1, ARGV[1] do who[i] = "
        "string.format('dead%012d', i) end "
        "who[#who + 1] = redis.call('HGET', KEYS[1], id) return redis.call('HSET', KEYS[1], id, table.concat(who, ' '))",
        "1", wt_of(shard, key), n, NULL);
}

static int n_threads(void)
{
    FILE *f = fopen("/proc/self/status", "r");
    char line[200];
    int n = -1;

    while (f && fgets(line, sizeof line, f))
        (void)sscanf(line, "Threads: %d", &n);
    if (f)
        (void)fclose(f);
    return n;
}

/* ---- ten thousand at once ---- */

enum { MANY = 10002 }; /* in three equal parts */
static told many[MANY];
static dureq_enqueue_result jobs[MANY];

static int act(dureq_run *run, void *userdata)
{
    (void)run;
    (void)userdata;
    return 0;
}

/* A third of them ends, a third is cancelled, a third, the last to be submitted, has its time. */
static int code_of(int i)
{
    static const int codes[] = {0, DUREQ_ECANCELLED, DUREQ_ETIMEOUT};

    return codes[3 * i / MANY];
}

static void enqueue_many(void)
{
    static dureq_job_spec specs[MANY];

    for (int i = 0; i < MANY; i++)
        specs[i] = (dureq_job_spec){code_of(i) == 0 ? "act" : "nobody", DQ_STR_LIT("1"), NULL};
    RIG_OK(dureq_client_enqueue_many(rig.client, specs, MANY, jobs, &err));
}

SCENARIO(ten_thousand_waits_at_once_hold_no_thread)
{
    int threads = n_threads();

    enqueue_many();
    for (int i = 0; i < MANY; i++)
        submit(&many[i], rig.client, jobs[i].id.text, code_of(i) == DUREQ_ETIMEOUT ? 60000 : -1);
    EXPECT_I64(MANY, n_told(many, MANY, STILL));
    EXPECT_I64(threads, n_threads());
    RIG_UNTIL(waited_for(MANY));
    test_mono_pass(60);
    (void)rig_counts(); /* a loop that waits sees a clock that was set only when it is woken */
    RIG_UNTIL(n_told(many, MANY, DUREQ_ETIMEOUT) == MANY / 3);
    for (int i = 0; i < MANY; i++)
        if (code_of(i) == DUREQ_ECANCELLED)
            dq_request_cancel(many[i].request);
    (void)rig_node("n", "act", act, NULL);
    for (int i = 0; i < MANY; i++) {
        EXPECT_NOTE("wait %d", i);
        RIG_UNTIL_MS(30000, atomic_load(&many[i].n) > 0);
        EXPECT_RC(code_of(i), atomic_load(&many[i].code));
        EXPECT_TRUE(pthread_equal(many[i].thread, many[0].thread) && !pthread_equal(many[i].thread, pthread_self()));
        dq_request_release(many[i].request);
    }
    RIG_UNTIL(waited_for(0)); /* also of those that have not ended */
    for (int i = 0; i < MANY; i++)
        EXPECT_I64(1, atomic_load(&many[i].n));
}

/* ---- many for one job ---- */

/* Each client has a handful of descriptors. */
static void take_all_descriptors(void)
{
    struct rlimit limit;

    EXPECT_I64(0, getrlimit(RLIMIT_NOFILE, &limit));
    limit.rlim_cur = limit.rlim_max;
    EXPECT_I64(0, setrlimit(RLIMIT_NOFILE, &limit));
}

SCENARIO(two_hundred_clients_wait_for_one_job)
{
    enum { N = 200 };
    static dureq_client *clients[N];
    static told waits[N];
    dureq_job_id id = rig_enqueue("nobody", "1", NULL);
    int64_t since;

    take_all_descriptors();
    for (int i = 0; i < N; i++) {
        clients[i] = rig_client(NULL, rig.shards);
        submit(&waits[i], clients[i], id.text, -1);
    }
    RIG_UNTIL(channel_bytes(id.text) == 17 * N - 1);
    since = rig_mono_ms();
    RIG_OK(dureq_client_cancel(rig.client, id.text, NULL, &err));
    RIG_UNTIL(n_told(waits, N, 0) == N);
    EXPECT_TRUE(rig_mono_ms() - since < ASK_MS / 2); /* told, not asked for */
    for (int i = 0; i < N; i++)
        dureq_client_destroy(clients[i]);
    release_all(waits, N);
}

SCENARIO(who_comes_to_a_job_clears_away_channels_of_clients_that_are_gone)
{
    enum { N = 4 };
    dureq_client *clients[N];
    told first, waits[N];
    dureq_job_id id = rig_enqueue("nobody", "1", NULL);

    submit(&first, rig.client, id.text, -1);
    RIG_UNTIL(waited_for(1));
    for (int s = 0; s < rig.shards; s++)
        add_dead_channels(s, "20");
    EXPECT_I64(17 * 21 - 1, channel_bytes(id.text));
    for (int i = 0; i < N; i++) {
        clients[i] = rig_client(NULL, rig.shards);
        submit(&waits[i], clients[i], id.text, -1);
    }
    RIG_UNTIL(channel_bytes(id.text) == 17 * (N + 1) - 1);
    RIG_OK(dureq_client_cancel(rig.client, id.text, NULL, &err));
    RIG_UNTIL(n_told(waits, N, 0) == N && n_told(&first, 1, 0) == 1);
    for (int i = 0; i < N; i++)
        dureq_client_destroy(clients[i]);
    release_all(waits, N);
    dq_request_release(first.request);
}

/* ---- what is left of a wait ---- */

SCENARIO(the_last_wait_for_a_job_that_leaves_takes_the_registration_back)
{
    dureq_job_id id = rig_enqueue("nobody", "1", NULL);
    told waits[3];

    for (int i = 0; i < 3; i++)
        submit(&waits[i], rig.client, id.text, -1);
    RIG_UNTIL(waited_for(1));
    dq_request_cancel(waits[0].request);
    dq_request_cancel(waits[0].request); /* once is enough */
    RIG_UNTIL(n_told(waits, 1, DUREQ_ECANCELLED) == 1);
    EXPECT_I64(16, channel_bytes(id.text));
    dq_request_cancel(waits[1].request);
    dq_request_cancel(waits[2].request);
    RIG_UNTIL(n_told(waits, 3, DUREQ_ECANCELLED) == 3 && waited_for(0));
    release_all(waits, 3);
    submit(&waits[0], rig.client, id.text, -1); /* and another comes */
    RIG_UNTIL(waited_for(1));
    RIG_OK(dureq_client_cancel(rig.client, id.text, NULL, &err));
    RIG_UNTIL(n_told(waits, 1, 0) == 1);
    release_all(waits, 1);
}

SCENARIO(waits_left_while_the_server_is_away_are_taken_back_later)
{
    enum { N = 20 };
    told waits[N];

    for (int i = 0; i < N; i++)
        submit(&waits[i], rig.client, rig_enqueue("nobody", "1", NULL).text, -1);
    RIG_UNTIL(waited_for(N));
    free(test_redis_command(rig.server, "CLIENT", "KILL", "TYPE", "pubsub", NULL));
    for (int i = 0; i < N; i += 2)
        dq_request_cancel(waits[i].request);
    RIG_UNTIL(n_told(waits, N, DUREQ_ECANCELLED) == N / 2 && waited_for(N / 2));
    EXPECT_I64(N / 2, n_told(waits, N, STILL));
    for (int i = 1; i < N; i += 2)
        dq_request_cancel(waits[i].request);
    RIG_UNTIL(waited_for(0));
    release_all(waits, N);
}

/* ---- in a callback ---- */

static void submit_again(void *userdata, const dq_answer *a)
{
    told *t = userdata;
    dureq_counts counts;

    EXPECT_RC(DUREQ_EDEADLK, dureq_client_count(rig.client, &counts, NULL)); /* as from any callback */
    on_told(userdata, a);
    t->state = dq_client_submit_wait(rig.client, jobs[0].id.text, -1, on_told, t + 1, NULL, NULL);
}

SCENARIO(a_callback_may_submit_and_may_not_wait)
{
    dureq_job_id id = rig_enqueue("nobody", "1", NULL);
    told t[2] = {{.code = STILL}, {.code = STILL}};

    jobs[0].id = id;
    RIG_OK(dq_client_submit_wait(rig.client, id.text, 10, submit_again, &t[0], NULL, &err));
    RIG_UNTIL(n_told(t, 1, DUREQ_ETIMEOUT) == 1);
    RIG_UNTIL(waited_for(1));
    EXPECT_RC(0, t[0].state);
    RIG_OK(dureq_client_cancel(rig.client, id.text, NULL, &err));
    RIG_UNTIL(n_told(t + 1, 1, 0) == 1);
}

/* ---- calls ---- */

static void submit_call(told *t, dureq_client *c, unsigned flags, const char *id)
{
    unsigned char packed[DQ_ID_BYTES];
    dureq_str one = dureq_str_of(packed, sizeof packed);
    dq_buf call = {0};
    dq_id parsed;

    EXPECT_RC(0, dq_id_parse(dureq_str_from(id), &parsed));
    dq_id_pack(&parsed, packed);
    dq_call_job_get(&call, dq_client_keys(c), parsed.shard, &one, 1);
    *t = (told){.code = STILL};
    RIG_OK(dq_client_submit_call(c, parsed.shard, DQ_CALL_REPEAT | flags, &call, on_told, t, &t->request, &err));
}

static dureq_client *client_of_time(int64_t timeout_ms)
{
    dureq_client_options o = dureq_client_options_init();
    dureq_client *c = NULL;

    o.redis_url = test_redis_url(rig.server);
    o.prefix = rig.prefix;
    o.shards = rig.shards;
    o.timeout_ms = timeout_ms;
    RIG_OK(dureq_client_create(&o, &c, &err));
    return c;
}

SCENARIO(a_call_brings_its_reply_to_its_callback)
{
    dureq_job_id id = rig_enqueue("nobody", "1", NULL);
    told t;

    submit_call(&t, rig.client, 0, id.text);
    RIG_UNTIL(n_told(&t, 1, 0) == 1);
    EXPECT_TRUE(t.has_reply);
    dq_request_cancel(t.request); /* after its end: nothing */
    dq_request_release(t.request);
    submit_call(&t, rig.client, 0, id.text);
    RIG_UNTIL(n_told(&t, 1, 0) == 1);
    dq_request_release(t.request);
}

SCENARIO(a_call_to_a_server_that_is_silent_ends_by_its_time_or_when_cancelled)
{
    dureq_job_id id = rig_enqueue("nobody", "1", NULL);
    dureq_client *c = client_of_time(300);
    told t[2], next;

    test_redis_freeze(rig.server);
    submit_call(&t[0], c, 0, id.text);
    submit_call(&t[1], c, 0, id.text);
    dq_request_cancel(t[0].request);
    RIG_UNTIL(n_told(&t[0], 1, DUREQ_ECANCELLED) == 1);
    RIG_UNTIL(n_told(&t[1], 1, DUREQ_ETIMEOUT) == 1);
    test_redis_thaw(rig.server);
    submit_call(&next, c, 0, id.text);
    RIG_UNTIL(n_told(&next, 1, 0) == 1);
    dq_request_release(next.request);
    EXPECT_I64(1, atomic_load(&t[0].n));
    EXPECT_I64(1, atomic_load(&t[1].n));
    release_all(t, 2);
    dureq_client_destroy(c);
}

SCENARIO(a_call_that_waits_for_room_can_be_cancelled_and_others_follow)
{
    enum { WHOLE_ROOM = 12 * DQ_CALL_LARGE, N = 4 };
    dureq_job_id id = rig_enqueue("nobody", "1", NULL);
    told t[N];

    test_redis_freeze(rig.server);
    for (int i = 0; i < N; i++)
        submit_call(&t[i], rig.client, WHOLE_ROOM, id.text);
    dq_request_cancel(t[0].request); /* under way */
    dq_request_cancel(t[2].request);
    RIG_UNTIL(n_told(t, N, DUREQ_ECANCELLED) == 2);
    EXPECT_I64(2, n_told(t, N, STILL));
    test_redis_thaw(rig.server);
    RIG_UNTIL(n_told(t, N, 0) == 2);
    EXPECT_I64(2, n_told(t, N, DUREQ_ECANCELLED));
    release_all(t, N);
}

/* ---- the end of the client ---- */

typedef struct late_comer {
    told told;
    dureq_client *client;
    const char *id;
    int refused;
} late_comer;

static void submit_to_closed(void *userdata, const dq_answer *a)
{
    late_comer *l = userdata;

    l->refused = dq_client_submit_wait(l->client, l->id, -1, on_told, &l->told, NULL, NULL);
    on_told(&l->told, a);
}

SCENARIO(destroying_a_client_ends_its_requests_and_takes_no_others)
{
    enum { N = 50 };
    static told waits[N];
    dureq_client *c = rig_client(NULL, rig.shards);
    dureq_job_id id = rig_enqueue("nobody", "1", NULL);
    late_comer l = {.told = {.code = STILL}, .client = c, .id = id.text};
    told held;

    for (int i = 0; i < N; i++)
        submit(&waits[i], c, id.text, i % 2 ? -1 : 60000);
    RIG_OK(dq_client_submit_wait(c, id.text, -1, submit_to_closed, &l, NULL, &err));
    RIG_UNTIL(waited_for(1));
    test_redis_freeze(rig.server);
    submit_call(&held, c, 0, id.text);
    dureq_client_destroy(c);
    EXPECT_I64(N, n_told(waits, N, DUREQ_ECLOSED)); /* all before it was back */
    EXPECT_I64(1, n_told(&held, 1, DUREQ_ECLOSED));
    EXPECT_I64(1, n_told(&l.told, 1, DUREQ_ECLOSED));
    EXPECT_RC(DUREQ_ECLOSED, l.refused);
    test_redis_thaw(rig.server);
    release_all(waits, N);
    dq_request_release(held.request);
}

SCENARIO(a_node_that_stops_ends_the_requests_of_its_client)
{
    dureq_node *n = rig_node("n", "act", act, NULL);
    dureq_job_id id = rig_enqueue("nobody", "1", NULL);
    told t;

    submit(&t, dureq_node_client(n), id.text, -1);
    RIG_UNTIL(waited_for(1));
    RIG_OK(dureq_node_stop(n, &err));
    EXPECT_I64(1, n_told(&t, 1, DUREQ_ECLOSED));
    dq_request_release(t.request);
}

/* ---- a job, without a thread ---- */

static void on_enqueued(void *userdata, const dureq_enqueue_result *r)
{
    told *t = userdata;

    t->id = r->id;
    atomic_store(&t->code, r->code);
    atomic_fetch_add(&t->n, 1);
}

static void on_job(void *userdata, const dureq_job *job, const dureq_error *e)
{
    told *t = userdata;

    t->state = job ? (int)job->state : -1;
    atomic_store(&t->code, e ? e->code : 0);
    atomic_fetch_add(&t->n, 1);
}

static void submit_enqueue(told *t, dureq_client *c, const dureq_job_spec *spec)
{
    *t = (told){.code = STILL};
    RIG_OK(dq_client_submit_enqueue(c, spec, on_enqueued, t, &t->request, &err));
}

static void submit_get(told *t, const char *id)
{
    *t = (told){.code = STILL};
    RIG_OK(dq_client_submit_get(rig.client, id, on_job, t, &t->request, &err));
}

SCENARIO(jobs_are_enqueued_and_read_without_a_thread)
{
    dureq_job_options keyed = dureq_job_options_init();
    dureq_job_spec spec = {.task_type = "nobody", .payload = DQ_STR_LIT("1")}, unique = spec;
    static told put[100], got[100], again;

    for (int i = 0; i < 100; i++)
        submit_enqueue(&put[i], rig.client, &spec);
    RIG_UNTIL(n_told(put, 100, 0) == 100);
    for (int i = 0; i < 100; i++)
        submit_get(&got[i], put[i].id.text);
    RIG_UNTIL(n_told(got, 100, 0) == 100);
    for (int i = 0; i < 100; i++)
        EXPECT_I64(DUREQ_JOB_PENDING, got[i].state);
    release_all(put, 100);
    release_all(got, 100);
    submit_get(&got[0], "38hbp4bda00000000900");
    RIG_UNTIL(n_told(got, 1, DUREQ_ENOTFOUND) == 1);
    release_all(got, 1);
    keyed.unique_key = DQ_STR_LIT("one");
    unique.options = &keyed;
    submit_enqueue(&put[0], rig.client, &unique);
    RIG_UNTIL(n_told(put, 1, 0) == 1);
    submit_enqueue(&again, rig.client, &unique);
    RIG_UNTIL(n_told(&again, 1, DUREQ_EDUPLICATE) == 1);
    EXPECT_TEXT(put[0].id.text, again.id.text);
    release_all(put, 1);
    release_all(&again, 1);
}

SCENARIO(an_enqueue_to_a_server_that_is_silent_ends_by_its_time_or_when_cancelled)
{
    dureq_client *c = client_of_time(300);
    dureq_job_spec spec = {.task_type = "nobody", .payload = DQ_STR_LIT("1")};
    told t[3], next;

    submit_enqueue(&next, c, &spec); /* its lane is known from now on */
    RIG_UNTIL(n_told(&next, 1, 0) == 1);
    dq_request_release(next.request);
    test_redis_freeze(rig.server);
    for (int i = 0; i < 3; i++)
        submit_enqueue(&t[i], c, &spec);
    dq_request_cancel(t[0].request);
    RIG_UNTIL(n_told(t, 1, DUREQ_ECANCELLED) == 1);
    RIG_UNTIL(n_told(t + 1, 2, DUREQ_EUNKNOWN) == 2); /* they were sent */
    test_redis_thaw(rig.server);
    submit_enqueue(&next, c, &spec);
    RIG_UNTIL(n_told(&next, 1, 0) == 1);
    for (int i = 0; i < 3; i++)
        EXPECT_I64(1, atomic_load(&t[i].n));
    release_all(t, 3);
    dq_request_release(next.request);
    dureq_client_destroy(c);
}

SCENARIO(what_makes_no_sense_is_refused_and_nobody_is_told)
{
    dureq_job_id id = rig_enqueue("nobody", "1", NULL);
    told t = {.code = STILL};

    RIG_FAILS(DUREQ_EINVAL, "job id", dq_client_submit_wait(rig.client, "nonsense", -1, on_told, &t, NULL, &err));
    RIG_FAILS(DUREQ_EINVAL, "job id", dq_client_submit_get(rig.client, "nonsense", on_job, &t, NULL, &err));
    RIG_FAILS(DUREQ_EINVAL, "task_type", dq_client_submit_enqueue(rig.client, &(dureq_job_spec){0}, on_enqueued, &t, NULL, &err));
    RIG_FAILS(DUREQ_EINVAL, "timeout_ms", dq_client_submit_wait(rig.client, id.text, -2, on_told, &t, NULL, &err));
    EXPECT_I64(0, atomic_load(&t.n));
}

RIG_MAIN()
