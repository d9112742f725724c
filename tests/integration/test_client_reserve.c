/* SPDX-License-Identifier: Apache-2.0 */
/* A unique key at home on another shard than its job is held for that job for a limited time: a producer that cannot send its call within it
   asks again, and one that cannot learn in it what became of the call says so. Time passes at once. */
#include "fault_proxy.h"
#include "test_mono.h"
#include "test_rig.h"

#include "client/client_internal.h"

#include <pthread.h>

#define TIMEOUT_MS   60000
#define DELAY_MS     3000 /* long enough for what a test does meanwhile */
#define FIRST_OVER_S 35   /* a call may begin within 30 s, and begin again within 45 s, of the reservation */
#define AGAIN_OVER_S 50

/* ---- a producer after a proxy ---- */

typedef struct producer {
    fault_proxy *proxy;
    dureq_client *client;
    pthread_t thread;
    char key[24], request[24]; /* of the job, at home on two shards */
    int rc;
    dureq_job_id id;
} producer;

static unsigned home_of(const char *text)
{
    return dq_keys_shard_of(dq_client_keys(rig.client), dureq_str_from(text));
}

static void name_job(producer *p, int no)
{
    (void)snprintf(p->request, sizeof p->request, "request %04d", no);
    for (int i = 0; i == 0 || home_of(p->key) == home_of(p->request); i++)
        (void)snprintf(p->key, sizeof p->key, "key %04d %04d", no, i);
}

static int enqueue(dureq_client *c, const char *key, const char *request, dureq_job_id *ret)
{
    dureq_job_options o = dureq_job_options_init();
    dureq_job_spec spec = {.task_type = "t", .payload = DQ_STR_LIT("1"), .options = &o};

    o.unique_key = dureq_str_from(key);
    o.request_id = dureq_str_from(request);
    return dureq_client_enqueue(c, &spec, ret, NULL);
}

static void *run(void *arg)
{
    producer *p = arg;

    p->rc = enqueue(p->client, p->key, p->request, &p->id);
    return NULL;
}

static void begin(producer *p)
{
    EXPECT_I64(0, pthread_create(&p->thread, NULL, run, p));
}

static void end(producer *p)
{
    (void)pthread_join(p->thread, NULL);
}

static long long of_key(const producer *p, const char *command);

/* The client confirms a key after its caller went on; a key that is confirmed is held without a limit. */
static void end_confirmed(producer *p)
{
    end(p);
    EXPECT_RC(0, p->rc);
    RIG_UNTIL(of_key(p, "PTTL") == -1);
}

static void producer_open(producer *p)
{
    dureq_client_options o = dureq_client_options_init();

    *p = (producer){.proxy = fault_proxy_start(test_redis_socket(rig.server), test_redis_file(rig.server, "proxy.sock"))};
    o.redis_url = fault_proxy_url(p->proxy);
    o.prefix = rig.prefix;
    o.timeout_ms = TIMEOUT_MS;
    RIG_OK(dureq_client_create(&o, &p->client, &err));
    for (int i = 0; i < 2; i++) { /* all is known then, and calls are no longer than they must be */
        name_job(p, i);
        begin(p);
        end_confirmed(p);
    }
}

static void producer_close(producer *p)
{
    dureq_client_destroy(p->client);
    fault_proxy_stop(p->proxy);
}

/* Redis' reply to a command on the reservation, which a test takes from it as its own time-out would. */
static long long of_key(const producer *p, const char *command)
{
    char name[96];

    (void)snprintf(name, sizeof name, "{%s:%u}:u:%s", rig.prefix, home_of(p->key), p->key);
    return test_redis_command_int(rig.server, command, name, NULL);
}

/* ---- before the call ---- */

SCENARIO_OF_SHARDS(a_reservation_that_grew_old_before_the_call_is_asked_for_again)
{
    dureq_job_id other;
    producer p;

    producer_open(&p);
    name_job(&p, 2);
    fault_proxy_delay(p.proxy, DELAY_MS);
    begin(&p);
    RIG_UNTIL(of_key(&p, "EXISTS") == 1);
    fault_proxy_hold(p.proxy, true);
    EXPECT_I64(1, of_key(&p, "DEL"));
    EXPECT_RC(0, enqueue(rig.client, p.key, "", &other));
    test_mono_pass(FIRST_OVER_S);
    fault_proxy_delay(p.proxy, 0);
    fault_proxy_hold(p.proxy, false);
    end(&p);
    EXPECT_RC(DUREQ_EDUPLICATE, p.rc);
    EXPECT_TEXT(other.text, p.id.text);
    producer_close(&p);
}

/* ---- the call's answer is lost ---- */

/* A reservation, the call, which is the longest, and a confirmation: the call is cut, the clock goes on, and then there is a connection again. */
static void lose_call(producer *p, long seconds)
{
    long before = fault_proxy_get_stats(p->proxy).bytes[FAULT_TO_SERVER], length;

    name_job(p, 2);
    begin(p);
    end_confirmed(p);
    length = fault_proxy_get_stats(p->proxy).bytes[FAULT_TO_SERVER] - before;
    name_job(p, 3);
    fault_proxy_refuse(p->proxy, true);
    fault_proxy_cut_at(p->proxy, FAULT_TO_SERVER, length / 2);
    begin(p);
    RIG_UNTIL(fault_proxy_has_cut(p->proxy));
    EXPECT_I64(1, of_key(p, "EXISTS"));
    test_mono_pass(seconds);
    fault_proxy_refuse(p->proxy, false);
    end(p);
}

SCENARIO_OF_SHARDS(a_lost_call_is_sent_again_while_its_key_is_held)
{
    producer p;

    producer_open(&p);
    lose_call(&p, FIRST_OVER_S);
    EXPECT_RC(0, p.rc);
    EXPECT_I64(4, rig_counts().pending);
    producer_close(&p);
}

SCENARIO_OF_SHARDS(a_lost_call_is_not_sent_again_when_its_key_may_be_anothers)
{
    producer p;

    producer_open(&p);
    lose_call(&p, AGAIN_OVER_S);
    EXPECT_RC(DUREQ_EUNKNOWN, p.rc);
    EXPECT_I64(3, rig_counts().pending);
    producer_close(&p);
}

RIG_MAIN()
