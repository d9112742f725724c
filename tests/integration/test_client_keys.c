/* SPDX-License-Identifier: Apache-2.0 */
/* Unique keys and request ids: who holds them, for how long, and under races. */
#include "test_rig.h"

#include <pthread.h>
#include <stdatomic.h>

static int fine(dureq_run *task, void *userdata)
{
    (void)userdata;
    return dq_str_eq_text(dureq_run_payload(task), "die") ? dureq_run_fail(task, 1, "died") : 0;
}

static int try_unique(const char *key, int64_t for_ms, const char *payload, dureq_job_id *ret)
{
    dureq_job_options o = dureq_job_options_init();
    dureq_job_spec spec = {.task_type = "t", .payload = dureq_str_from(payload), .options = &o};

    o.unique_key = dureq_str_from(key);
    o.unique_for_ms = for_ms;
    return dureq_client_enqueue(rig.client, &spec, ret, NULL);
}

/* A job that lives where its request id is at home, not where its key is. */
static int try_request(const char *request, const char *key, dureq_job_id *ret)
{
    dureq_job_options o = dureq_job_options_init();
    dureq_job_spec spec = {.task_type = "t", .payload = DQ_STR_LIT("1"), .options = &o};

    o.unique_key = dureq_str_from(key);
    o.request_id = dureq_str_from(request);
    return dureq_client_enqueue(rig.client, &spec, ret, NULL);
}

static long long outbox_rows(void)
{
    long long n = 0;
    char name[80];

    for (int s = 0; s < rig.shards; s++) {
        (void)snprintf(name, sizeof name, "{%s:%d}:ob", rig.prefix, s);
        n += test_redis_command_int(rig.server, "HLEN", name, NULL);
    }
    return n;
}

static dureq_job_id holder_of(const char *key, int64_t *ttl_ms)
{
    dureq_job_id id = {{0}};

    RIG_OK(dureq_client_get_unique_key(rig.client, dureq_str_from(key), &id, ttl_ms, &err));
    return id;
}

static bool is_free(const char *key)
{
    dureq_job_id id;

    return dureq_client_get_unique_key(rig.client, dureq_str_from(key), &id, NULL, NULL) == DUREQ_ENOTFOUND;
}

/* ---- unique keys ---- */

SCENARIO(a_key_is_refused_while_its_job_lives_and_the_answer_names_it)
{
    dureq_job_id first, second;
    int64_t ttl = 0;

    for (int i = 0; i < 20; i++) { /* homes in all shards */
        char key[32];

        (void)snprintf(key, sizeof key, "user/%d \xff", i);
        EXPECT_NOTE("%s", key);
        EXPECT_RC(0, try_unique(key, 0, "1", &first));
        EXPECT_RC(DUREQ_EDUPLICATE, try_unique(key, 0, "2", &second));
        EXPECT_TEXT(first.text, second.text);
        EXPECT_TEXT(first.text, holder_of(key, &ttl).text);
        EXPECT_I64(-1, ttl);
        EXPECT_STR_TEXT(key, rig_job(first.text)->unique_key);
    }
    EXPECT_I64(20, rig_counts().pending);
}

SCENARIO(every_end_of_a_job_lets_its_key_go)
{
    static const char *const payloads[] = {"1", "die", "cancel"};
    dureq_job_id id;

    (void)rig_node("n", "t", fine, NULL);
    for (int i = 0; i < 3; i++) {
        if (i == 2)
            RIG_OK(dureq_client_pause_queue(rig.client, "normal", &err));
        EXPECT_RC(0, try_unique("k", 0, payloads[i], &id));
        if (i == 2)
            RIG_OK(dureq_client_cancel_by_unique_key(rig.client, dureq_str_from("k"), &err));
        (void)rig_wait(id.text);
        RIG_UNTIL(is_free("k")); /* at home in another shard: a moment later */
    }
    EXPECT_I64(DUREQ_JOB_CANCELLED, rig_state(id.text));
    RIG_FAILS(DUREQ_ENOTFOUND, "no job holds", dureq_client_cancel_by_unique_key(rig.client, dureq_str_from("k"), &err));
    EXPECT_RC(0, try_unique("k", 0, "1", &id));
    /* one that a node read, and gives back as the queue is paused, does not wait for that moment */
    RIG_UNTIL(dureq_client_purge_queue(rig.client, "normal", NULL, NULL) == 0 && is_free("k"));
}

/* The jobs are over before their shards have told the keys' homes that they have them: both go out, in any order. */
SCENARIO(many_long_keys_at_home_elsewhere_are_let_go)
{
    enum { JOBS = 60, LONG = 200 };
    dureq_job_id ids[JOBS];
    char keys[JOBS][LONG + 1];

    (void)rig_node("n", "t", fine, NULL);
    for (int i = 0; i < JOBS; i++) {
        char request[24];

        (void)snprintf(keys[i], sizeof keys[i], "%0*d", LONG, i);
        (void)snprintf(request, sizeof request, "request %d", i); /* is at home where the job is */
        EXPECT_RC(0, try_request(request, keys[i], &ids[i]));
    }
    for (int i = 0; i < JOBS; i++)
        (void)rig_wait(ids[i].text);
    RIG_UNTIL(outbox_rows() == 0);
    for (int i = 0; i < JOBS; i++) {
        EXPECT_NOTE("key %d", i);
        EXPECT_TRUE(is_free(keys[i]));
    }
}

/* No node is there that would settle what the outbox says: the producer has said it itself. */
SCENARIO(a_key_at_home_elsewhere_is_held_without_any_node)
{
    enum { JOBS = 20 };
    dureq_job_id id, again;

    for (int i = 0; i < JOBS; i++) {
        char key[24], request[24], name[96];
        long long found = 0;

        EXPECT_NOTE("key %d", i);
        (void)snprintf(key, sizeof key, "key %d", i);
        (void)snprintf(request, sizeof request, "request %d", i);
        EXPECT_RC(0, try_request(request, key, &id));
        EXPECT_RC(DUREQ_EDUPLICATE, try_unique(key, 0, "2", &again));
        EXPECT_TEXT(id.text, again.text);
        for (int s = 0; s < rig.shards; s++) {
            (void)snprintf(name, sizeof name, "{%s:%d}:u:%s", rig.prefix, s, key);
            found += test_redis_command_int(rig.server, "TTL", name, NULL) == -1;
        }
        EXPECT_I64(1, found); /* for as long as the job lives */
    }
}

SCENARIO(a_key_for_a_time_is_held_past_the_end_and_no_longer)
{
    dureq_job_id id, other;
    int64_t ttl = 0, since;

    (void)rig_node("n", "t", fine, NULL);
    since = rig_mono_ms();
    EXPECT_RC(0, try_unique("k", 900, "1", &id));
    (void)rig_wait(id.text);
    EXPECT_TEXT(id.text, holder_of("k", &ttl).text);
    EXPECT_TRUE(ttl > 0 && ttl <= 900);
    EXPECT_RC(DUREQ_EDUPLICATE, try_unique("k", 900, "1", &other));
    EXPECT_TEXT(id.text, other.text);
    RIG_UNTIL(try_unique("k", 0, "1", &other) == 0);
    EXPECT_TRUE(rig_mono_ms() - since >= 890);
}

SCENARIO(a_key_can_be_deleted_by_hand)
{
    dureq_job_id id, other;

    EXPECT_RC(0, try_unique("k", 0, "1", &id));
    RIG_OK(dureq_client_delete_unique_key(rig.client, dureq_str_from("k"), &err));
    EXPECT_TRUE(is_free("k"));
    RIG_FAILS(DUREQ_ENOTFOUND, "no job holds", dureq_client_delete_unique_key(rig.client, dureq_str_from("k"), &err));
    EXPECT_RC(0, try_unique("k", 0, "1", &other));
    (void)rig_node("n", "t", fine, NULL);
    EXPECT_I64(DUREQ_JOB_COMPLETED, rig_wait(id.text)->state); /* the first one's end is not the second one's */
    EXPECT_I64(DUREQ_JOB_COMPLETED, rig_wait(other.text)->state);
    RIG_UNTIL(is_free("k"));
}

SCENARIO(the_first_jobs_end_does_not_free_a_key_that_another_took)
{
    dureq_job_id id, other;

    EXPECT_RC(0, try_unique("k", 0, "1", &id));
    RIG_OK(dureq_client_delete_unique_key(rig.client, dureq_str_from("k"), &err));
    EXPECT_RC(0, try_unique("k", 0, "1", &other));
    RIG_OK(dureq_client_cancel(rig.client, id.text, NULL, &err));
    EXPECT_TEXT(other.text, holder_of("k", NULL).text);
}

SCENARIO(a_retry_takes_the_key_again_or_is_refused)
{
    dureq_job_id id, other;

    RIG_OK(dureq_client_pause_queue(rig.client, "normal", &err));
    EXPECT_RC(0, try_unique("k", 0, "1", &id));
    RIG_OK(dureq_client_cancel(rig.client, id.text, NULL, &err));
    RIG_UNTIL(is_free("k"));
    EXPECT_RC(0, try_unique("k", 0, "1", &other));
    RIG_FAILS(DUREQ_EDUPLICATE, "unique key", dureq_client_retry(rig.client, id.text, false, &err));
    EXPECT_I64(DUREQ_JOB_CANCELLED, rig_state(id.text));
    RIG_OK(dureq_client_cancel(rig.client, other.text, NULL, &err));
    RIG_UNTIL(is_free("k"));
    RIG_OK(dureq_client_retry(rig.client, id.text, false, &err));
    EXPECT_TEXT(id.text, holder_of("k", NULL).text);
    EXPECT_RC(DUREQ_EDUPLICATE, try_unique("k", 0, "1", &other));
    EXPECT_TEXT(id.text, other.text);
}

SCENARIO(keys_have_limits)
{
    char key[300];
    dureq_job_id id;
    int64_t ttl;

    memset(key, 'k', sizeof key);
    key[256] = '\0';
    EXPECT_RC(0, try_unique(key, 0, "1", &id));
    EXPECT_TEXT(id.text, holder_of(key, NULL).text);
    key[256] = 'k';
    key[257] = '\0';
    EXPECT_RC(DUREQ_EINVAL, try_unique(key, 0, "1", &id));
    EXPECT_RC(DUREQ_EINVAL, try_unique("k", -1, "1", &id));
    RIG_FAILS(DUREQ_EINVAL, "key", dureq_client_get_unique_key(rig.client, dureq_str_from(key), &id, &ttl, &err));
    RIG_FAILS(DUREQ_EINVAL, "key", dureq_client_delete_unique_key(rig.client, (dureq_str){0}, &err));
}

/* ---- races ---- */

enum { THREADS = 8, ROUNDS = 12 };

typedef struct racer {
    pthread_t thread;
    atomic_int *gate;
    bool unique; /* else a request id */
    int rc[ROUNDS];
    dureq_job_id ids[ROUNDS];
} racer;

static void *race(void *arg)
{
    racer *r = arg;

    for (int i = 0; i < ROUNDS; i++) {
        dureq_job_options o = dureq_job_options_init();
        dureq_job_spec spec = {.task_type = "t", .payload = DQ_STR_LIT("1"), .options = &o};
        char key[32];

        (void)snprintf(key, sizeof key, "race %d", i);
        if (r->unique)
            o.unique_key = dureq_str_from(key);
        else
            o.request_id = dureq_str_from(key);
        atomic_fetch_add(&r->gate[i], 1);
        while (atomic_load(&r->gate[i]) < THREADS)
            ;
        r->rc[i] = dureq_client_enqueue(rig.client, &spec, &r->ids[i], NULL);
    }
    return NULL;
}

static void run_race(bool unique)
{
    atomic_int gate[ROUNDS] = {0};
    racer r[THREADS];

    for (int i = 0; i < THREADS; i++) {
        r[i] = (racer){.gate = gate, .unique = unique};
        EXPECT_I64(0, pthread_create(&r[i].thread, NULL, race, &r[i]));
    }
    for (int i = 0; i < THREADS; i++)
        (void)pthread_join(r[i].thread, NULL);
    for (int k = 0; k < ROUNDS; k++) {
        int accepted = 0;

        EXPECT_NOTE("round %d", k);
        for (int i = 0; i < THREADS; i++) {
            accepted += r[i].rc[k] == 0;
            EXPECT_TRUE(r[i].rc[k] == 0 || (unique && r[i].rc[k] == DUREQ_EDUPLICATE));
            EXPECT_TEXT(r[0].ids[k].text, r[i].ids[k].text);
        }
        EXPECT_I64(unique ? 1 : THREADS, accepted);
    }
    EXPECT_I64(ROUNDS, rig_counts().pending);
}

SCENARIO(of_many_threads_one_gets_the_key_and_all_learn_whose_it_is)
{
    run_race(true);
}

SCENARIO(of_many_threads_with_one_request_id_all_get_one_job)
{
    run_race(false);
}

/* ---- request ids ---- */

SCENARIO(a_request_id_answers_with_the_same_job_for_its_window)
{
    dureq_job_options o = dureq_job_options_init();
    dureq_job_spec spec = {.task_type = "t", .payload = DQ_STR_LIT("1"), .options = &o};
    dureq_enqueue_result r[3];
    dureq_job_id id, again = {{0}};

    (void)rig_node("n", "t", fine, NULL);
    o.request_id = dureq_str_from("req 1");
    o.request_window_ms = 700;
    RIG_OK(dureq_client_enqueue(rig.client, &spec, &id, &err));
    (void)rig_wait(id.text); /* also when it has ended */
    RIG_OK(dureq_client_enqueue(rig.client, &spec, &again, &err));
    EXPECT_TEXT(id.text, again.text);
    RIG_OK(dureq_client_enqueue_many(rig.client, (dureq_job_spec[]){spec, spec, spec}, 3, r, &err));
    for (int i = 0; i < 3; i++) {
        EXPECT_RC(0, r[i].code);
        EXPECT_TRUE(r[i].existing);
        EXPECT_TEXT(id.text, r[i].id.text);
    }
    EXPECT_STR_TEXT("req 1", rig_job(id.text)->request_id);
    RIG_UNTIL(dureq_client_enqueue(rig.client, &spec, &again, NULL) == 0 && strcmp(again.text, id.text) != 0);
    (void)rig_wait(again.text);
    EXPECT_I64(2, rig_counts().completed);
}

/* ---- other prefixes ---- */

SCENARIO(two_prefixes_never_see_each_other)
{
    char prefix[64];
    dureq_client *mine = rig.client, *theirs;
    dureq_job_id here, there;
    dureq_job_list *list = NULL;

    (void)snprintf(prefix, sizeof prefix, "%s.x", rig.prefix); /* one is the other's beginning */
    theirs = rig_client(prefix, rig.shards);
    EXPECT_RC(0, try_unique("k", 0, "1", &here));
    rig.client = theirs;
    EXPECT_TRUE(is_free("k"));
    EXPECT_I64(0, rig_counts().pending);
    EXPECT_RC(0, try_unique("k", 0, "1", &there));
    RIG_OK(dureq_client_pause_queue(theirs, "high", &err));
    RIG_OK(dureq_client_list_jobs(theirs, NULL, &list, &err));
    EXPECT_U64(1, list->n);
    dureq_job_list_destroy(list);
    rig.client = mine;
    (void)rig_node("n", "t", fine, NULL);
    EXPECT_I64(DUREQ_JOB_COMPLETED, rig_wait(here.text)->state);
    RIG_UNTIL(is_free("k"));
    rig.client = theirs;
    EXPECT_I64(DUREQ_JOB_PENDING, rig_state(there.text));
    EXPECT_I64(0, rig_counts().nodes);
    EXPECT_FALSE(is_free("k"));
    rig_doctor();
    rig.client = mine;
    dureq_client_destroy(theirs);
}

/* With several shards a limited queue lives whole on one of them, and request ids elsewhere. */
SCENARIO(a_request_id_is_known_when_its_queue_becomes_limited)
{
    dureq_queue_options q = {.struct_size = sizeof q, .weight = 1, .max_len = 1000};
    dureq_job_options o = dureq_job_options_init();
    dureq_job_id ids[20];
    char text[16];

    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 20; i++) {
            dureq_job_spec spec = {.task_type = "t", .payload = DQ_STR_LIT("1"), .options = &o};
            dureq_enqueue_result r;

            (void)snprintf(text, sizeof text, "limited %d", i);
            o.request_id = dureq_str_from(text);
            o.queue = "low";
            RIG_OK(dureq_client_enqueue_many(rig.client, &spec, 1, &r, &err));
            EXPECT_RC(0, r.code);
            EXPECT_TRUE(r.existing == (round > 0));
            if (round == 0)
                ids[i] = r.id;
            else
                EXPECT_STR_TEXT(ids[i].text, dureq_str_from(r.id.text));
        }
        RIG_OK(dureq_client_set_queue(rig.client, "low", &q, false, NULL, &err));
    }
    EXPECT_I64(20, rig_counts().pending);
}

RIG_MAIN()
