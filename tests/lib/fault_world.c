/* SPDX-License-Identifier: Apache-2.0 */
#include "fault_world.h"

#include "base/clock.h"
#include "base/mutex.h"
#include "doctor/doctor.h"
#include "fault_lines.h"
#include "fault_wait.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DONE_LIMIT_MS    30000
#define AT_WORK_LIMIT_MS 20000
#define BATCH            16
#define JOBS_LEAST       200000
#define JOBS_A_ROUND \
    8000 /* twice what the busiest kind makes in a round of DUREQ_FAULT_ROUNDS; its lines cost memory when they are written */

struct fault_producer {
    fault_world *world;
    dureq_client *client;
    pthread_t thread;
    int no;
    int64_t pause_ms;
    atomic_bool stop;
};

/* ---- life ---- */

static void on_log(const dureq_log_record *r, void *userdata)
{
    fprintf(stderr, "%lld %s %s %s\n", (long long)dq_mono_us() / 1000, (const char *)userdata, r->event, r->text);
}

static dureq_client *open_client(fault_world *w, const char *url, int64_t timeout_ms)
{
    dureq_client_options o = dureq_client_options_init();
    dureq_client *c = NULL;
    dureq_error err = {0};

    o.redis_url = url;
    o.prefix = FAULT_PREFIX;
    o.shards = w->o.shards;
    o.timeout_ms = timeout_ms;
    o.log_fn = getenv("DUREQ_FAULT_LOG") ? on_log : NULL;
    o.log_userdata = (void *)"client";
    if (dureq_client_create(&o, &c, &err) < 0)
        fault_die("client: %s", err.msg);
    return c;
}

dureq_client *fault_world_client(fault_world *w)
{
    return open_client(w, w->url, w->o.timeout_ms);
}

/* In memory where that is possible: nodes write there from the threads that are looked at, and must not be held up by a disk. */
static void make_log(fault_world *w)
{
    int fd;

    (void)snprintf(w->log_path, sizeof w->log_path, "/dev/shm/dureq-nodes-XXXXXX");
    fd = mkstemp(w->log_path);
    if (fd >= 0)
        (void)close(fd);
    else
        (void)snprintf(w->log_path, sizeof w->log_path, "%s/nodes.log", test_redis_dir(w->server));
}

fault_world *fault_world_open(const fault_world_options *o)
{
    fault_world *w = dq_calloc(1, sizeof *w);
    test_redis_options ro = {.append_only = o->append_only, .own_clock = o->own_clock, .extra_args = o->redis_args};

    w->o = *o;
    if (!w->o.shards)
        w->o.shards = 1;
    if (!w->o.n_jobs)
        w->o.n_jobs = DQ_MAX(JOBS_LEAST, (long)fault_rounds(1, 1) * JOBS_A_ROUND);
    if (!w->o.concurrency)
        w->o.concurrency = 8;
    w->server = test_redis_start(&ro);
    if (o->proxied)
        w->proxy = fault_proxy_start(test_redis_socket(w->server), test_redis_file(w->server, "proxy.sock"));
    (void)snprintf(w->url, sizeof w->url, "%s", w->proxy ? fault_proxy_url(w->proxy) : test_redis_url(w->server));
    make_log(w);
    w->ledger = fault_ledger_create(w->o.n_jobs);
    w->client = open_client(w, test_redis_url(w->server), 0);
    return w;
}

void fault_world_go_direct(fault_world *w)
{
    (void)snprintf(w->url, sizeof w->url, "%s", test_redis_url(w->server));
}

static void unlink_logs(const fault_world *w)
{
    char path[sizeof w->log_path + sizeof FAULT_OCCURRENCES];

    (void)snprintf(path, sizeof path, "%s" FAULT_OCCURRENCES, w->log_path);
    (void)unlink(path);
    (void)snprintf(path, sizeof path, "%s" FAULT_TASKS, w->log_path);
    (void)unlink(path);
    (void)unlink(w->log_path);
}

void fault_world_close(fault_world *w)
{
    fault_world_stop_producers(w);
    for (int i = 0; i < FAULT_NODES_MAX; i++)
        fault_node_kill(&w->nodes[i]);
    dureq_client_destroy(w->client);
    fault_ledger_destroy(w->ledger);
    if (w->proxy)
        fault_proxy_stop(w->proxy);
    unlink_logs(w);
    test_redis_stop(w->server);
    dq_free(w);
}

static void spawn(fault_world *w, int slot, char die_at)
{
    char node_id[32];
    fault_node_options o = {
        .url = w->url,
        .prefix = FAULT_PREFIX,
        .node_id = node_id,
        .log_path = w->log_path,
        .shards = w->o.shards,
        .concurrency = w->o.concurrency,
        .max_crashes = w->o.max_crashes,
        .die_at = die_at,
    };

    (void)snprintf(node_id, sizeof node_id, "node-%d", ++w->n_spawned);
    fault_node_spawn(&w->nodes[slot], &o);
}

void fault_world_spawn(fault_world *w, int slot)
{
    spawn(w, slot, 0);
}

void fault_world_spawn_dying(fault_world *w, int slot, fault_step step)
{
    spawn(w, slot, (char)step);
}

void fault_world_respawn_dead(fault_world *w)
{
    for (int i = 0; i < FAULT_NODES_MAX; i++)
        if (w->nodes[i].pid && !fault_node_is_alive(&w->nodes[i])) {
            fault_node_kill(&w->nodes[i]); /* buries it */
            fault_world_spawn(w, i);
        }
}

/* ---- producers ---- */

static void *produce(void *userdata)
{
    fault_producer *p = userdata;
    bool full = false;

    while (!atomic_load(&p->stop) && !full) {
        if (p->no % 2)
            (void)fault_ledger_enqueue_many(p->world->ledger, p->client, BATCH, &full);
        else
            (void)fault_ledger_enqueue(p->world->ledger, p->client, &full);
        if (p->pause_ms)
            fault_pass(p->pause_ms);
    }
    return NULL;
}

void fault_world_produce(fault_world *w, int n, int64_t pause_ms)
{
    for (int i = 0; i < n; i++) {
        fault_producer *p = dq_calloc(1, sizeof *p);

        p->world = w;
        p->no = i;
        p->pause_ms = pause_ms * (i % 2 ? BATCH / 2 : 1);
        p->client = open_client(w, w->url, w->o.timeout_ms);
        if (dq_thread_start(&p->thread, "producer", 0, produce, p, NULL) < 0)
            fault_die("a producer's thread did not start");
        w->producers[i] = p;
    }
}

void fault_world_stop_producers(fault_world *w)
{
    for (int i = 0; i < FAULT_PRODUCERS_MAX; i++)
        if (w->producers[i])
            atomic_store(&w->producers[i]->stop, true);
    for (int i = 0; i < FAULT_PRODUCERS_MAX; i++) {
        fault_producer *p = DQ_TAKE(w->producers[i]);

        if (!p)
            continue;
        (void)pthread_join(p->thread, NULL);
        dureq_client_destroy(p->client);
        dq_free(p);
    }
}

long fault_world_acknowledged(fault_world *w)
{
    return fault_ledger_acknowledged(w->ledger);
}

typedef struct load {
    fault_world *world;
    long until;
} load;

static bool has_load(void *userdata)
{
    load *l = userdata;

    return fault_world_acknowledged(l->world) >= l->until;
}

void fault_world_wait_load(fault_world *w, long n, int64_t limit_ms)
{
    load l = {.world = w, .until = fault_world_acknowledged(w) + n};

    if (!fault_wait(limit_ms, has_load, &l) && fault_ledger_is_full(w->ledger))
        fault_die("the ledger's %ld lines are full: too few for so many rounds", w->o.n_jobs);
    if (!has_load(&l))
        fault_die("no %ld more jobs were acknowledged within %lld ms", n, (long long)limit_ms);
}

typedef struct work {
    fault_world *world;
    int64_t since_us;
    long log_bytes, acknowledged;
} work;

static bool are_at_work(void *userdata)
{
    work *a = userdata;
    fault_world *w = a->world;
    fault_lines lines = fault_lines_read_from(w->log_path, a->log_bytes);
    bool all = fault_world_acknowledged(w) > a->acknowledged;

    for (int i = 0; all && i < FAULT_NODES_MAX; i++) {
        bool is_at_work = w->nodes[i].pid == 0;

        for (size_t k = 0; k < lines.n && !is_at_work; k++)
            is_at_work = lines.items[k].mark == FAULT_MARK_START && lines.items[k].at_us > a->since_us &&
                         strcmp(lines.items[k].node_id, w->nodes[i].node_id) == 0;
        all = is_at_work;
    }
    fault_lines_deinit(&lines);
    return all;
}

void fault_world_wait_at_work(fault_world *w)
{
    int64_t held_up_ms = fault_held_up_ms(), ms;
    work a = {.world = w,
              .since_us = dq_mono_us(),
              .log_bytes = fault_lines_bytes(w->log_path),
              .acknowledged = fault_world_acknowledged(w)};

    if (!fault_wait(AT_WORK_LIMIT_MS, are_at_work, &a))
        fault_die("somebody does nothing any more, %d ms after fault %d", AT_WORK_LIMIT_MS, w->recoveries.n + 1);
    ms = (dq_mono_us() - a.since_us) / 1000;
    w->recoveries.n++;
    if (fault_is_to_set_aside(ms, FAULT_RECOVER_MS, held_up_ms))
        w->recoveries.n_aside++;
    else
        w->recoveries.longest_ms = DQ_MAX(w->recoveries.longest_ms, ms);
}

/* ---- the end ---- */

static void count(fault_world *w, dureq_counts *ret)
{
    dureq_error err = {0};

    if (dureq_client_count(w->client, ret, &err) < 0)
        fault_die("count: %s", err.msg);
}

static int64_t count_left(fault_world *w)
{
    dureq_counts n = {0};

    count(w, &n);
    return n.pending + n.scheduled + n.running + n.retrying + n.paused;
}

bool fault_world_is_done(fault_world *w)
{
    return count_left(w) == 0;
}

typedef struct rest {
    fault_world *world;
    int64_t n; /* jobs that were left */
} rest;

static bool is_less(void *userdata)
{
    rest *r = userdata;

    return count_left(r->world) < r->n;
}

void fault_world_wait_done(fault_world *w, int64_t limit_ms)
{
    rest r = {.world = w, .n = count_left(w)};
    dureq_counts n = {0};

    while (r.n > 0 && fault_wait(limit_ms, is_less, &r))
        r.n = count_left(w);
    if (r.n == 0)
        return;
    count(w, &n);
    fault_world_assert_clean(w);
    fault_die("nothing more was done within %lld ms: %lld pending, %lld scheduled, %lld running, %lld retrying, %lld paused",
              (long long)limit_ms, (long long)n.pending, (long long)n.scheduled, (long long)n.running, (long long)n.retrying,
              (long long)n.paused);
}

void fault_world_assert_clean(fault_world *w)
{
    dq_doctor_options o = {.settle_ms = 3000};
    dq_doctor_report r;
    dureq_error err = {0};

    if (dq_doctor_run(w->client, &o, &r, &err) < 0)
        fault_die("doctor: %s", err.msg);
    for (size_t i = 0; i < r.n_faults && i < 20; i++)
        fprintf(stderr, "  %s %s %s: %s\n", dq_fault_kind_to_str(r.faults[i].kind), r.faults[i].key, r.faults[i].id,
                r.faults[i].text);
    if (r.n_found)
        fault_die("the doctor found %lld faults", (long long)r.n_found);
    dq_doctor_report_deinit(&r);
}

bool fault_world_has_node(fault_world *w, const char *node_id)
{
    dureq_node_list *list = NULL;
    dureq_error err = {0};
    bool found = false;

    if (dureq_client_list_nodes(w->client, &list, &err) < 0)
        fault_die("nodes: %s", err.msg);
    for (size_t i = 0; i < list->n; i++)
        found = found || dq_str_eq_text(list->items[i].node_id, node_id);
    dureq_node_list_destroy(list);
    return found;
}

static void report_recoveries(const fault_world *w, const char *what)
{
    const fault_recoveries *r = &w->recoveries;

    if (r->n == 0)
        return;
    printf("%s: everyone at work %lld ms after it at most", what, (long long)r->longest_ms);
    if (r->n_aside > 0)
        printf(" (%d not judged: the machine stood still)", r->n_aside);
    printf("\n");
    (void)fflush(stdout);
    if (r->longest_ms > FAULT_RECOVER_MS)
        fault_die("%s: everyone was at work after %lld ms only, %d is the most", what, (long long)r->longest_ms,
                  FAULT_RECOVER_MS);
    if (r->n_aside > DQ_MAX(r->n / 2, 1))
        fault_die("%s: the machine stood still in %d of %d recoveries", what, r->n_aside, r->n);
}

fault_sums fault_world_finish(fault_world *w, const char *what)
{
    fault_sums s;

    fault_world_stop_producers(w);
    fault_world_wait_done(w, DONE_LIMIT_MS);
    fault_world_assert_clean(w);
    for (int i = 0; i < FAULT_NODES_MAX; i++)
        fault_node_stop(&w->nodes[i]);
    fault_world_assert_clean(w);
    s = fault_ledger_check(w->ledger, w->client, w->log_path);
    if (w->times > 0)
        printf("%s: %d times\n", what, w->times);
    fault_sums_print(what, &s);
    report_recoveries(w, what);
    return s;
}
