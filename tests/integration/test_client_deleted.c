/* SPDX-License-Identifier: Apache-2.0 */
/* Those who wait for jobs whose keys were deleted by hand, of which no message tells. The clock of this program is set on. */
#include "test_mono.h"
#include "test_rig.h"

#include <pthread.h>
#include <stdatomic.h>

enum { ASK_S = 10, JOBS = 12, STILL = 99 };

typedef struct waiting {
    pthread_t thread;
    dureq_client *client;
    char id[DUREQ_JOB_ID_LEN + 4];
    atomic_int rc;
    dureq_job_list *list;
} waiting;

static void *wait_main(void *arg)
{
    waiting *w = arg;

    atomic_store(&w->rc, dureq_client_wait(w->client, w->id, -1, &w->list, NULL));
    return NULL;
}

static void begin(waiting *w, dureq_client *c)
{
    dureq_job_id id = rig_enqueue("nobody", "1", NULL);

    *w = (waiting){.client = c, .rc = STILL};
    memcpy(w->id, id.text, DUREQ_JOB_ID_LEN + 1);
    EXPECT_I64(0, pthread_create(&w->thread, NULL, wait_main, w));
}

static int end(waiting *w)
{
    (void)pthread_join(w->thread, NULL);
    return atomic_load(&w->rc);
}

static int n_ended(waiting *w, int rc)
{
    int n = 0;

    for (int i = 0; i < JOBS; i++)
        n += atomic_load(&w[i].rc) == rc;
    return n;
}

/* How many jobs the server knows to be waited for. */
static long long n_registered(void)
{
    long long sum = 0;

    for (int s = 0; s < rig.shards; s++) {
        char key[80];

        (void)snprintf(key, sizeof key, "{%s:%d}:wt", rig.prefix, s);
        sum += test_redis_command_int(rig.server, "HLEN", key, NULL);
    }
    return sum;
}

static void forget_registered(void)
{
    for (int s = 0; s < rig.shards; s++) {
        char key[80];

        (void)snprintf(key, sizeof key, "{%s:%d}:wt", rig.prefix, s);
        (void)test_redis_command_int(rig.server, "DEL", key, NULL);
    }
}

/* Whether so many channels are left of those that nobody listens to. */
static bool looked_at(int n)
{
    long long bytes = 0;

    for (int s = 0; s < rig.shards; s++) {
        char key[80];

        (void)snprintf(key, sizeof key, "{%s:%d}:wt", rig.prefix, s);
        bytes += test_redis_command_int(rig.server, "EVAL", "return #(redis.call('HVALS', KEYS[1])[1] or '')", "1", key, NULL);
    }
    return bytes == 17 * n + 1;
}

/* A loop that waits sees a clock that was set only when it is woken. */
static void pass(dureq_client *c, long seconds)
{
    dureq_counts counts;

    test_mono_pass(seconds);
    RIG_OK(dureq_client_count(c, &counts, &err));
}

SCENARIO(who_waits_for_ever_is_told_that_the_job_was_deleted)
{
    dureq_queue_options q = dureq_queue_options_init();
    dureq_client *c = rig_client(NULL, rig.shards);
    waiting w[JOBS];

    for (int i = 0; i < JOBS; i++)
        begin(&w[i], c);
    RIG_UNTIL(n_registered() == JOBS);
    free(test_redis_command(rig.server, "FLUSHALL", NULL));
    RIG_OK(
        dureq_client_set_queue(rig.client, "bulk", &q, /*only_if_missing=*/false, NULL, &err)); /* another one makes it again */
    pass(c, ASK_S / 2);
    EXPECT_I64(JOBS, n_ended(w, STILL));
    test_mono_pass(ASK_S / 2);
    RIG_UNTIL((pass(c, 0), n_ended(w, DUREQ_ENOTFOUND) == JOBS));
    for (int i = 0; i < JOBS; i++)
        EXPECT_RC(DUREQ_ENOTFOUND, end(&w[i]));
    dureq_client_destroy(c);
}

SCENARIO(waits_are_asked_for_again_and_again_and_go_on)
{
    dureq_client *c = rig_client(NULL, rig.shards);
    waiting w[JOBS];

    for (int i = 0; i < JOBS; i++)
        begin(&w[i], c);
    RIG_UNTIL(n_registered() == JOBS);
    for (int round = 0; round < 3; round++) {
        forget_registered();
        pass(c, ASK_S + 1);
        RIG_UNTIL(n_registered() == JOBS);
        EXPECT_I64(JOBS, n_ended(w, STILL));
    }
    for (int i = 0; i < JOBS; i++) {
        RIG_OK(dureq_client_cancel(rig.client, w[i].id, NULL, &err));
        EXPECT_RC(0, end(&w[i]));
        EXPECT_I64(DUREQ_JOB_CANCELLED, w[i].list->items[0].state);
        dureq_job_list_destroy(w[i].list);
    }
    dureq_client_destroy(c);
}

/* A thousand are told by the server; whoever comes then asks again. */
SCENARIO(who_is_not_registered_for_want_of_room_asks_again_and_hears_of_the_end)
{
    dureq_client *c = rig_client(NULL, rig.shards);
    char key[80];
    waiting w, other;

    begin(&w, rig.client);
    RIG_UNTIL(n_registered() == 1);
    for (int s = 0; s < rig.shards; s++) {
        (void)snprintf(key, sizeof key, "{%s:%d}:wt", rig.prefix, s);
        (void)test_redis_command_int(rig.server, "EVAL",
                                     "local id = redis.call('HKEYS', KEYS[1])[1] return id and redis.call('HSET', KEYS[1], id, "
                                     "string.rep('nobody-listens-x ', 2000) .. 'y') or 0",
                                     "1", key, NULL);
    }
    other = (waiting){.client = c, .rc = STILL};
    memcpy(other.id, w.id, sizeof other.id);
    EXPECT_I64(0, pthread_create(&other.thread, NULL, wait_main, &other));
    RIG_UNTIL(looked_at(2000 - 8));
    RIG_OK(dureq_client_cancel(rig.client, w.id, NULL, &err));
    test_mono_pass(ASK_S + 1);
    RIG_UNTIL((pass(rig.client, 0), pass(c, 0), atomic_load(&w.rc) != STILL && atomic_load(&other.rc) != STILL));
    EXPECT_RC(0, end(&w));
    EXPECT_RC(0, end(&other));
    EXPECT_I64(DUREQ_JOB_CANCELLED, other.list->items[0].state);
    dureq_job_list_destroy(w.list);
    dureq_job_list_destroy(other.list);
    dureq_client_destroy(c);
}

/* It is refused then, but who is registered stays so. */
SCENARIO(asking_again_where_memory_is_full_ends_no_wait)
{
    dureq_client *c = rig_client(NULL, rig.shards);
    waiting w;

    begin(&w, c);
    RIG_UNTIL(n_registered() == 1);
    free(test_redis_command(rig.server, "CONFIG", "SET", "maxmemory", "1", NULL));
    for (int round = 0; round < 2; round++)
        pass(c, ASK_S + 1);
    EXPECT_RC(STILL, atomic_load(&w.rc));
    free(test_redis_command(rig.server, "CONFIG", "SET", "maxmemory", "0", NULL));
    RIG_OK(dureq_client_cancel(rig.client, w.id, NULL, &err));
    EXPECT_RC(0, end(&w));
    dureq_job_list_destroy(w.list);
    dureq_client_destroy(c);
}

RIG_MAIN()
