/* SPDX-License-Identifier: Apache-2.0 */
/* A job whose unique key is at home on another shard ends and is retried: it has the key again, or is refused. Never do two living jobs have one
   key, whether a node is there or not, and whoever goes away between two steps. */
#include "fault_proxy.h"
#include "test_mono.h"
#include "test_rig.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/clock.h"
#include "client/client_internal.h"
#include "doctor/doctor.h"
#include "store/key_calls.h"

enum { PAIRS = 50 };

static int act(dureq_run *run, void *userdata)
{
    (void)userdata;
    return dureq_run_fail(run, 1, "died");
}

static int enqueue(const char *key, const char *request, int64_t for_ms, dureq_job_id *ret)
{
    dureq_job_options o = dureq_job_options_init();
    dureq_job_spec spec = {.task_type = "act", .payload = DQ_STR_LIT("1"), .options = &o};

    o.unique_key = dureq_str_from(key);
    o.unique_for_ms = for_ms;
    o.request_id = dureq_str_from(request);
    return dureq_client_enqueue(rig.client, &spec, ret, NULL);
}

/* Names of a pair: the key and two request ids, each at home anywhere. */
typedef struct pair {
    char key[24], first[24], second[24];
    dureq_job_id a, b;
} pair;

static pair pair_of(int i)
{
    pair p = {.key = ""};

    (void)snprintf(p.key, sizeof p.key, "key %d", i);
    (void)snprintf(p.first, sizeof p.first, "first %d", i);
    (void)snprintf(p.second, sizeof p.second, "second %d", i);
    return p;
}

static unsigned home_of(const char *text)
{
    return dq_keys_shard_of(dq_client_keys(rig.client), dureq_str_from(text));
}

static int retry(const dureq_job_id *id)
{
    return dureq_client_retry(rig.client, id->text, false, NULL);
}

static dureq_job_id holder_of(const char *key)
{
    dureq_job_id id = {{0}};

    if (dureq_client_get_unique_key(rig.client, dureq_str_from(key), &id, NULL, NULL) < 0)
        id.text[0] = 0;
    return id;
}

static size_t faults(const char *kind)
{
    dq_doctor_options o = {.settle_ms = 300};
    dq_doctor_report report;
    size_t n = 0;

    RIG_OK(dq_doctor_run(rig.client, &o, &report, &err));
    for (size_t i = 0; i < report.n_faults; i++)
        n += strcmp(dq_fault_kind_to_str(report.faults[i].kind), kind) == 0;
    dq_doctor_report_deinit(&report);
    return n;
}

/* ---- another has it ---- */

SCENARIO(a_retry_is_refused_while_another_job_has_the_key)
{
    RIG_OK(dureq_client_pause_queue(rig.client, "normal", &err));
    for (int i = 0; i < PAIRS; i++) {
        pair p = pair_of(i);

        EXPECT_NOTE("pair %d", i);
        EXPECT_RC(0, enqueue(p.key, p.first, 0, &p.a));
        RIG_OK(dureq_client_cancel(rig.client, p.a.text, NULL, &err));
        EXPECT_RC(0, enqueue(p.key, p.second, 0, &p.b)); /* no node is there to tell the key's home of the cancel */
        EXPECT_TEXT(p.b.text, holder_of(p.key).text);
        EXPECT_RC(DUREQ_EDUPLICATE, retry(&p.a));
        EXPECT_I64(DUREQ_JOB_CANCELLED, rig_state(p.a.text));
        EXPECT_TEXT(p.b.text, holder_of(p.key).text);
    }
    EXPECT_U64(0, faults("key_lost"));
}

SCENARIO(a_dead_job_is_refused_too_and_one_of_a_list_like_one_alone)
{
    const char *ids[PAIRS];
    pair pairs[PAIRS];
    int codes[PAIRS];

    (void)rig_node("n", "act", act, NULL);
    for (int i = 0; i < PAIRS; i++) {
        pairs[i] = pair_of(i);
        EXPECT_RC(0, enqueue(pairs[i].key, pairs[i].first, 0, &pairs[i].a));
        EXPECT_I64(DUREQ_JOB_DEAD, rig_wait(pairs[i].a.text)->state);
        ids[i] = pairs[i].a.text;
    }
    RIG_OK(dureq_client_pause_queue(rig.client, "normal", &err));
    for (int i = 0; i < PAIRS; i += 2)
        EXPECT_RC(0, enqueue(pairs[i].key, pairs[i].second, 0, &pairs[i].b));
    RIG_OK(dureq_client_retry_many(rig.client, ids, PAIRS, NULL, codes, &err));
    for (int i = 0; i < PAIRS; i++) {
        EXPECT_NOTE("pair %d", i);
        EXPECT_RC(i % 2 == 0 ? DUREQ_EDUPLICATE : 0, codes[i]);
        EXPECT_TEXT(i % 2 == 0 ? pairs[i].b.text : pairs[i].a.text, holder_of(pairs[i].key).text);
    }
}

/* ---- nobody has it ---- */

SCENARIO(a_job_that_is_retried_alone_has_its_key_again_life_after_life)
{
    dureq_job_id other;

    RIG_OK(dureq_client_pause_queue(rig.client, "normal", &err));
    for (int i = 0; i < PAIRS; i++) {
        pair p = pair_of(i);

        EXPECT_NOTE("job %d", i);
        EXPECT_RC(0, enqueue(p.key, p.first, 0, &p.a));
        for (int life = 0; life < 3; life++) {
            RIG_OK(dureq_client_cancel(rig.client, p.a.text, NULL, &err));
            RIG_FAILS(DUREQ_ENOTFOUND, "key", dureq_client_get_unique_key(rig.client, dureq_str_from(p.key), &other, NULL, &err));
            EXPECT_RC(0, retry(&p.a));
            EXPECT_RC(DUREQ_ECONFLICT, retry(&p.a));
            EXPECT_TEXT(p.a.text, holder_of(p.key).text);
            EXPECT_RC(DUREQ_EDUPLICATE, enqueue(p.key, p.second, 0, &other));
            EXPECT_TEXT(p.a.text, other.text);
        }
    }
    rig_doctor();
    (void)rig_node("n", "act", act, NULL); /* now what is left in the outboxes goes out: all late */
    RIG_UNTIL(rig_counts().nodes == 1);
    for (int i = 0; i < PAIRS; i++)
        EXPECT_RC(DUREQ_EDUPLICATE, enqueue(pair_of(i).key, pair_of(i).second, 0, &other));
}

SCENARIO(a_key_held_for_a_time_is_kept_from_others_and_given_to_its_job)
{
    dureq_job_id other;

    RIG_OK(dureq_client_pause_queue(rig.client, "normal", &err));
    for (int i = 0; i < 12; i++) {
        pair p = pair_of(i);

        EXPECT_NOTE("job %d", i);
        EXPECT_RC(0, enqueue(p.key, p.first, 3600000, &p.a));
        RIG_OK(dureq_client_cancel(rig.client, p.a.text, NULL, &err));
        EXPECT_RC(DUREQ_EDUPLICATE, enqueue(p.key, p.second, 0, &other));
        EXPECT_RC(0, retry(&p.a));
        EXPECT_RC(DUREQ_EDUPLICATE, enqueue(p.key, p.second, 0, &other));
        EXPECT_TEXT(p.a.text, other.text);
    }
}

/* ---- words that come late ---- */

/* To the key's home, as the leader of the job's shard would send it. */
static void settle(const pair *p, const char *word, dureq_str value)
{
    dq_owned_reply reply;
    dq_buf bytes = {0};

    dq_call_key_settle(&bytes, dq_client_keys(rig.client), home_of(p->key), home_of(p->first), (dq_key_word)word[0],
                       dureq_str_from(p->key), value);
    dq_client_enter(rig.client);
    RIG_OK(dq_client_call(rig.client, home_of(p->key), 0, &bytes, &reply, &err));
    dq_client_leave(rig.client);
    dq_owned_reply_deinit(&reply);
}

static pair away_pair(int from)
{
    pair p = pair_of(from);

    while (home_of(p.key) == home_of(p.first))
        p = pair_of(++from);
    return p;
}

/* A leader that was frozen after it read the release of the first life sends it when the second one has the key. */
SCENARIO_OF_SHARDS(the_release_of_an_earlier_life_frees_nothing)
{
    pair p = away_pair(0);
    unsigned char packed[DQ_ID_BYTES];
    dq_id id;

    RIG_OK(dureq_client_pause_queue(rig.client, "normal", &err));
    EXPECT_RC(0, enqueue(p.key, p.first, 0, &p.a));
    RIG_OK(dureq_client_cancel(rig.client, p.a.text, NULL, &err));
    EXPECT_RC(0, retry(&p.a));
    EXPECT_I64(0, dq_id_parse(dureq_str_from(p.a.text), &id));
    dq_id_pack(&id, packed);
    settle(&p, "r", dureq_str_of(packed, sizeof packed));
    EXPECT_TEXT(p.a.text, holder_of(p.key).text);
}

/* ---- who goes away between two steps ---- */

static dureq_client *far_client(fault_proxy **ret)
{
    dureq_client_options o = dureq_client_options_init();
    dureq_client *c = NULL;

    *ret = fault_proxy_start(test_redis_socket(rig.server), test_redis_file(rig.server, "proxy.sock"));
    o.redis_url = fault_proxy_url(*ret);
    o.prefix = rig.prefix;
    RIG_OK(dureq_client_create(&o, &c, &err));
    c->timeout_ms = 300; /* of what the test breaks off, not of the connection */
    return c;
}

/* The client's way breaks at a byte of the retry, and it is never back: the next bytes further on, until none is cut. */
static bool break_retry(const dureq_job_id *id, fault_way way, long at)
{
    dureq_client *near_one = rig.client;
    fault_proxy *proxy;
    bool was_cut;

    rig.client = far_client(&proxy);
    (void)rig_counts(); /* what comes with the connection has come */
    fault_proxy_refuse(proxy, FAULT_NO_LISTENER);
    fault_proxy_cut_at(proxy, way, at);
    (void)retry(id);
    was_cut = fault_proxy_has_cut(proxy);
    dureq_client_destroy(rig.client);
    fault_proxy_stop(proxy);
    rig.client = near_one;
    return was_cut;
}

static bool is_alive(const dureq_job_id *id)
{
    return rig_state(id->text) == DUREQ_JOB_PENDING;
}

static void expect_one_owner(const pair *p)
{
    dureq_job_id other;
    int rc = enqueue(p->key, p->second, 0, &other);

    EXPECT_TRUE(rc == 0 || rc == DUREQ_EDUPLICATE);
    if (is_alive(&p->a))
        EXPECT_RC(DUREQ_EDUPLICATE, rc);
    if (rc == 0) {
        EXPECT_RC(DUREQ_EDUPLICATE, retry(&p->a));
        EXPECT_TEXT(other.text, holder_of(p->key).text);
    }
}

SCENARIO_OF_SHARDS(a_retry_that_breaks_off_anywhere_leaves_one_owner_at_most)
{
    enum { STEP = 70, CUTS_MAX = 60 };
    int n_alive = 0, n_cuts = 0, from = 0;

    (void)rig_node("n", "other", act, NULL);
    for (int way = FAULT_TO_SERVER; way <= FAULT_TO_CLIENT; way++) {
        bool was_cut = true;

        for (int i = 0; was_cut; i++) {
            pair p = away_pair(from);

            EXPECT_TRUE(i < CUTS_MAX);
            from = atoi(p.key + 4) + 1;
            EXPECT_NOTE("way %d, cut %d", way, i);
            EXPECT_RC(0, enqueue(p.key, p.first, 0, &p.a));
            RIG_OK(dureq_client_cancel(rig.client, p.a.text, NULL, &err));
            was_cut = break_retry(&p.a, (fault_way)way, 1 + (long)i * (way == FAULT_TO_SERVER ? STEP : 8));
            n_alive += is_alive(&p.a);
            n_cuts += was_cut;
            expect_one_owner(&p);
        }
    }
    EXPECT_TRUE(n_cuts >= 6 && n_alive >= 2);
}

/* ---- a call that lies somewhere for longer than the key is reserved ---- */

typedef struct late_retry {
    dureq_client *client;
    char id[24];
    int rc;
} late_retry;

static void *retry_late(void *userdata)
{
    late_retry *l = userdata;

    l->rc = dureq_client_retry(l->client, l->id, false, NULL);
    return NULL;
}

static dureq_client *client_of(const char *url)
{
    dureq_client_options o = dureq_client_options_init();
    dureq_client *c = NULL;

    o.redis_url = url;
    o.prefix = rig.prefix;
    o.shards = rig.shards;
    o.timeout_ms = 60000;
    RIG_OK(dureq_client_create(&o, &c, &err));
    return c;
}

/* The server's clock goes on by more than the reservation, and another job takes the key, before the retry's second call is there. */
SCENARIO_OF_SHARDS(a_retry_that_comes_after_its_reservation_starts_nothing)
{
    test_redis *server = test_redis_start(&(test_redis_options){.own_clock = true});
    fault_proxy *proxy = fault_proxy_start(test_redis_socket(server), test_redis_file(server, "proxy.sock"));
    dureq_client *near_one = rig.client;
    late_retry l = {.client = NULL};
    pair p = away_pair(0);
    char key[96];
    pthread_t thread;

    rig.client = client_of(test_redis_url(server));
    l.client = client_of(fault_proxy_url(proxy));
    EXPECT_RC(0, enqueue(p.key, p.first, 0, &p.a));
    RIG_OK(dureq_client_cancel(rig.client, p.a.text, NULL, &err));
    RIG_UNTIL(!holder_of(p.key).text[0]);
    (void)snprintf(key, sizeof key, "{%s:%u}:u:%s", rig.prefix, home_of(p.key), p.key);
    EXPECT_I64(1, test_redis_command_int(server, "DEL", key, NULL)); /* as the leader does, of whom there is none */
    (void)snprintf(l.id, sizeof l.id, "%s", p.a.text);
    fault_proxy_delay(proxy, 1000);
    EXPECT_I64(0, pthread_create(&thread, NULL, retry_late, &l));
    RIG_UNTIL(test_redis_command_int(server, "EXISTS", key, NULL) == 1);
    fault_proxy_hold(proxy, true);
    test_redis_set_clock(server, 70);
    /* Valkey 9 tells the time of its last look for a while. */
    RIG_UNTIL(test_redis_command_int(server, "EVAL", "return tonumber(redis.call('TIME')[1])", "0", NULL) >
              dq_wall_ms() / 1000 + 60);
    EXPECT_RC(0, enqueue(p.key, p.second, 0, &p.b));
    fault_proxy_delay(proxy, 0);
    fault_proxy_hold(proxy, false);
    (void)pthread_join(thread, NULL);
    EXPECT_RC(DUREQ_EUNAVAILABLE, l.rc);
    EXPECT_I64(DUREQ_JOB_CANCELLED, rig_state(p.a.text));
    EXPECT_TEXT(p.b.text, holder_of(p.key).text);
    EXPECT_RC(DUREQ_EDUPLICATE, retry(&p.a));
    dureq_client_destroy(l.client);
    dureq_client_destroy(rig.client);
    fault_proxy_stop(proxy);
    test_redis_stop(server);
    rig.client = near_one;
}

RIG_MAIN()
