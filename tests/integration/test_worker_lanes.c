/* SPDX-License-Identifier: Apache-2.0 */
/* In which order waiting jobs start: queues share by weight, none starves, a lane is first in first out, its front goes first. */
#include "fault_proxy.h"
#include "test_rig.h"

#include "base/mutex.h"
#include "model/id.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define STARTS_MAX 4096

/* The starts so far: the first byte of the queue, the shard, and the payload as a number. */
static struct {
    dq_mutex mu;
    char queue[STARTS_MAX];
    unsigned shard[STARTS_MAX];
    int number[STARTS_MAX];
    int n;
} starts;

static atomic_int running, most;

static unsigned shard_of(const char *job_id)
{
    dq_id id;

    EXPECT_I64(0, dq_id_parse(dureq_str_from(job_id), &id));
    return id.shard;
}

static int note(dureq_run *task, void *userdata)
{
    int now = atomic_fetch_add(&running, 1) + 1, seen = atomic_load(&most);

    (void)userdata;
    while (now > seen && !atomic_compare_exchange_weak(&most, &seen, now))
        ;
    dq_mutex_lock(&starts.mu);
    if (starts.n < STARTS_MAX) {
        starts.queue[starts.n] = dureq_run_queue(task)[0];
        starts.shard[starts.n] = shard_of(dureq_run_job_id(task));
        starts.number[starts.n++] = (int)strtol(dureq_run_header(task, "no").ptr, NULL, 10);
    }
    dq_mutex_unlock(&starts.mu);
    (void)dureq_run_wait_cancelled(task, 1);
    atomic_fetch_sub(&running, 1);
    return 0;
}

/* Stays until told that it has been seen. */
static atomic_bool seen;

static int stay(dureq_run *task, void *userdata)
{
    (void)userdata;
    atomic_fetch_add(&running, 1);
    while (!atomic_load(&seen) && !dureq_run_wait_cancelled(task, 5))
        ;
    atomic_fetch_sub(&running, 1);
    return 0;
}

static int n_starts(void)
{
    dq_mutex_lock(&starts.mu);
    int n = starts.n;
    dq_mutex_unlock(&starts.mu);
    return n;
}

static void begin(void)
{
    dq_mutex_init(&starts.mu);
    starts.n = 0;
    memset(starts.queue, 0, sizeof starts.queue);
    atomic_store(&most, 0);
}

static int count_of(char queue, int among)
{
    int n = 0;

    dq_mutex_lock(&starts.mu);
    for (int i = 0; i < among; i++)
        n += starts.queue[i] == queue;
    dq_mutex_unlock(&starts.mu);
    return n;
}

/* Starts of a shard before the first of a queue there. */
static int n_before(char queue, unsigned shard)
{
    int n = 0;

    dq_mutex_lock(&starts.mu);
    for (int i = 0; i < starts.n && (starts.queue[i] != queue || starts.shard[i] != shard); i++)
        n += starts.shard[i] == shard;
    dq_mutex_unlock(&starts.mu);
    return n;
}

static dureq_job_id add(const char *type, const char *queue, int no)
{
    char text[16];
    dureq_header header = {"no", {0}};
    dureq_job_options o = dureq_job_options_init();

    (void)snprintf(text, sizeof text, "%d ", no);
    header.value = dureq_str_from(text);
    o.queue = queue;
    o.headers = &header;
    o.n_headers = 1;
    return rig_enqueue(type, "1", &o);
}

static void add_many(const char *type, const char *queue, int n)
{
    dureq_header header = {"no", DQ_STR_LIT("0")};
    dureq_job_options o = dureq_job_options_init();
    dureq_job_spec *specs = calloc((size_t)n, sizeof *specs);
    dureq_enqueue_result *r = calloc((size_t)n, sizeof *r);

    o.queue = queue;
    o.headers = &header;
    o.n_headers = 1;
    for (int i = 0; i < n; i++)
        specs[i] = (dureq_job_spec){.task_type = type, .payload = DQ_STR_LIT("1"), .options = &o};
    RIG_OK(dureq_client_enqueue_many(rig.client, specs, (size_t)n, r, &err));
    free(specs);
    free(r);
}

static void start(int32_t concurrency)
{
    dureq_node_options o = rig_node_options("n");
    dureq_node *n;

    o.concurrency = concurrency;
    n = rig_node_create(&o);
    rig_handle(n, "t*", note, NULL, NULL);
    rig_handle(n, "stay", stay, NULL, NULL);
    rig_start(n);
}

/* ---- between queues ---- */

SCENARIO(queues_share_by_weight_while_all_have_work)
{
    enum { FIRST = 300 };

    begin();
    for (int part = 0; part < 4; part++) { /* calls are spread over the shards */
        add_many("t", "high", 150);
        add_many("t", "normal", 150);
        add_many("t", "low", 150);
    }
    start(10);
    RIG_UNTIL(n_starts() >= FIRST);
    EXPECT_NOTE("high %d, normal %d, low %d", count_of('h', FIRST), count_of('n', FIRST), count_of('l', FIRST));
    EXPECT_TRUE(count_of('h', FIRST) > 135 && count_of('h', FIRST) < 225); /* 180 by weight */
    EXPECT_TRUE(count_of('n', FIRST) > 55 && count_of('n', FIRST) < 125);  /* 90 */
    EXPECT_TRUE(count_of('l', FIRST) > 12 && count_of('l', FIRST) < 60);   /* 30 */
    RIG_UNTIL(rig_counts().completed == 1800);
}

SCENARIO(a_light_queue_does_not_starve_beside_a_heavy_one)
{
    dureq_queue_options q = {.struct_size = sizeof q, .weight = 100};
    dureq_job_id light;

    begin();
    RIG_OK(dureq_client_set_queue(rig.client, "xxl", &q, false, NULL, &err));
    for (int part = 0; part < 4; part++)
        add_many("t", "xxl", 700);
    light = add("t", "low", 1);
    start(2);
    EXPECT_I64(DUREQ_JOB_COMPLETED, rig_wait(light.text)->state);
    /* Of the 700 and more of its shard; the shards take turns as the server answers. */
    EXPECT_NOTE("%d before it", n_before('l', shard_of(light.text)));
    EXPECT_TRUE(n_before('l', shard_of(light.text)) <= 350);
    RIG_OK(dureq_client_purge_queue(rig.client, "xxl", NULL, &err));
}

SCENARIO(a_queue_that_is_alone_gets_all_slots)
{
    begin();
    atomic_store(&seen, false);
    add_many("stay", "low", 400);
    start(12);
    RIG_UNTIL(atomic_load(&running) == 12);
    atomic_store(&seen, true);
    RIG_UNTIL(rig_counts().completed == 400);
}

SCENARIO(a_queue_may_name_its_priorities)
{
    dureq_queue_options q = {.struct_size = sizeof q, .weight = 50, .priority_min = 10, .priority_max = 10};
    dureq_job_options o = dureq_job_options_init();
    dureq_job_id id;

    RIG_OK(dureq_client_set_queue(rig.client, "vip", &q, false, NULL, &err));
    o.priority = 10;
    id = rig_enqueue("t", "1", &o);
    EXPECT_STR_TEXT("vip", rig_job(id.text)->queue);
    o.priority = 9;
    id = rig_enqueue("t", "1", &o);
    EXPECT_STR_TEXT("high", rig_job(id.text)->queue);
}

/* ---- within one ---- */

SCENARIO(types_of_a_queue_take_turns)
{
    begin();
    for (int part = 0; part < 4; part++)
        add_many("t.many", "normal", 250);
    for (int i = 0; i < 5; i++)
        (void)add("t.few", "normal", 7);
    start(4);
    RIG_UNTIL(rig_counts().completed == 1005);
    int last = 0;
    for (int i = 0; i < starts.n; i++)
        last = starts.number[i] == 7 ? i : last;
    EXPECT_NOTE("the last of the few was start %d", last);
    EXPECT_TRUE(last < 500);
}

SCENARIO(jobs_of_a_lane_start_in_the_order_they_came)
{
    enum { N = 60 };

    begin();
    for (int i = 0; i < N; i++)
        (void)add("t", "normal", i);
    start(1);
    RIG_UNTIL(rig_counts().completed == N);
    for (int i = 1; rig.shards == 1 && i < N; i++)
        EXPECT_I64(starts.number[i - 1] + 1, starts.number[i]);
}

static int fine(dureq_run *task, void *userdata)
{
    (void)task;
    (void)userdata;
    return 0;
}

static char *definitions(const char *command, const char *json)
{
    char key[64];

    (void)snprintf(key, sizeof key, "%s:config:queues", rig.prefix);
    return test_redis_command(rig.server, command, key, "normal", json, NULL);
}

/* Whoever resumes a queue changes its definition first, then the shards one by one. A node goes by what its shard says, as soon as it says
   so: its heartbeats are far apart here. */
SCENARIO(a_queue_counts_as_paused_until_its_shard_says_otherwise)
{
    dureq_node_options o = rig_node_options("n");
    char *before = definitions("HGET", NULL), *json = strchr(before, '{');
    dureq_node *n;
    dureq_job_id id, other;

    *strrchr(before, '\r') = '\0';
    RIG_OK(dureq_client_pause_queue(rig.client, "normal", &err));
    o.lease_ms = 120000;
    n = rig_node_create(&o);
    rig_handle(n, "t", fine, NULL, NULL);
    rig_start(n);
    free(definitions("HSET", json));
    for (int i = 0; i < rig.shards; i++) {
        char channel[96];

        (void)snprintf(channel, sizeof channel, "{%s:%d}:ctl", rig.prefix, i);
        free(test_redis_command(rig.server, "SPUBLISH", channel, "P", NULL));
    }
    id = rig_enqueue("t", "1", NULL);
    other = add("t", "low", 1);
    EXPECT_I64(DUREQ_JOB_COMPLETED, rig_wait(other.text)->state); /* a turn has been since */
    EXPECT_I64(DUREQ_JOB_PENDING, rig_state(id.text));
    EXPECT_TRUE(rig_stats(n).returned == 0);
    RIG_OK(dureq_client_resume_queue(rig.client, "normal", &err));
    EXPECT_I64(DUREQ_JOB_COMPLETED, rig_wait(id.text)->state);
    free(before);
}

/* Of a version to come: flag 17 is not known yet. */
SCENARIO(a_job_of_a_newer_schema_goes_back_and_the_node_goes_on)
{
    dureq_node *n = rig_node("n", "t*", fine, NULL);
    dureq_job_id id = rig_enqueue("t.new", "1", NULL);
    char stream[96];

    rig.is_damaged = true;
    EXPECT_I64(DUREQ_JOB_COMPLETED, rig_wait(id.text)->state);
    for (int s = 0; s < rig.shards; s++) { /* its only lane */
        (void)snprintf(stream, sizeof stream, "{%s:%d}:l:1", rig.prefix, s);
        char *length = test_redis_command(rig.server, "EXISTS", stream, NULL);
        bool there = strstr(length, ":1") != NULL;

        free(length);
        if (there)
            free(test_redis_command(rig.server, "XADD", stream, "*", "j", "\x01\x80\x80\x08{}", NULL));
    }
    id = rig_enqueue("t.new", "1", NULL); /* wakes the node */
    RIG_UNTIL(rig_stats(n).returned > 0);
    for (int i = 0; i < 20; i++)
        id = rig_enqueue("t.old", "1", NULL);
    EXPECT_I64(DUREQ_JOB_COMPLETED, rig_wait(id.text)->state);
    EXPECT_TRUE(rig_stats(n).returned < 10); /* it does not come back at once */
}

SCENARIO(a_job_run_now_by_hand_goes_before_the_backlog)
{
    dureq_job_id id;

    begin();
    add_many("t", "normal", 200);
    id = add("t", "normal", 77);
    RIG_OK(dureq_client_run_now(rig.client, id.text, &err));
    start(1);
    RIG_UNTIL(rig_counts().completed == 201);
    for (int i = 0; rig.shards == 1 && i < starts.n; i++)
        if (starts.number[i] == 77)
            EXPECT_TRUE(i < 5);
}

static atomic_bool enough;

static int again(dureq_run *task, void *userdata)
{
    (void)userdata;
    if (dureq_run_header(task, "no").ptr[0] != '9' || atomic_load(&enough))
        return 0;
    return dureq_run_repeat(task, 0, (dureq_str){0});
}

/* It is ready in the front stream whenever the only slot comes free. */
SCENARIO(a_job_that_repeats_at_once_does_not_keep_its_lane_from_running)
{
    dureq_node_options o = rig_node_options("n");
    dureq_job_id endless = add("t", "normal", 9), id = endless;
    dureq_node *n;

    atomic_store(&enough, false);
    for (int i = 0; i < 20; i++)
        id = add("t", "normal", 1);
    o.concurrency = 1;
    n = rig_node_create(&o);
    rig_handle(n, "t", again, NULL, NULL);
    rig_start(n);
    EXPECT_I64(DUREQ_JOB_COMPLETED, rig_wait(id.text)->state);
    atomic_store(&enough, true);
    EXPECT_I64(DUREQ_JOB_COMPLETED, rig_wait(endless.text)->state);
}

/* ---- a connection that was away ---- */

/* More lanes than a heartbeat asks about, and the next heartbeat is far. */
SCENARIO(wake_ups_that_were_lost_with_the_connection_are_made_up_for)
{
    enum { LANES = 400, JOBS = 4 };
    fault_proxy *proxy = fault_proxy_start(test_redis_socket(rig.server), test_redis_file(rig.server, "proxy.sock"));
    dureq_node_options o = rig_node_options("n");
    char type[16];
    dureq_node *n;

    begin();
    o.redis_url = fault_proxy_url(proxy);
    o.lease_ms = 600000;
    n = rig_node_create(&o);
    rig_handle(n, "t*", note, NULL, NULL);
    rig_start(n);
    for (int i = 0; i < LANES; i++) {
        (void)snprintf(type, sizeof type, "t%d", i);
        (void)add(type, "normal", i);
    }
    RIG_UNTIL(rig_counts().completed == LANES);
    fault_proxy_refuse(proxy, FAULT_NO_LISTENER);
    fault_proxy_cut_all(proxy);
    RIG_UNTIL(!rig_stats(n).connected);
    for (int i = 0; i < JOBS; i++) {
        (void)snprintf(type, sizeof type, "t%d", i * LANES / JOBS);
        (void)add(type, "normal", i);
    }
    fault_proxy_refuse(proxy, FAULT_TAKE);
    RIG_UNTIL(rig_counts().completed == LANES + JOBS);
    RIG_OK(dureq_node_stop(n, &err));
    fault_proxy_stop(proxy);
}

RIG_MAIN()
