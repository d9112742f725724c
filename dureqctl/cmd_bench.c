/* SPDX-License-Identifier: Apache-2.0 */
/* bench: what this server and this machine do end to end, measured by one process that is producer and node. The jobs live under a
   prefix of their own, so that no other node takes them and no count of the real one moves; nothing of them is kept. */
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>

#include <dureq/node.h>

#include "base/clock.h"
#include "base/mutex.h"
#include "base/random.h"
#include "ctl.h"

#define TASK_TYPE "bench.noop"
#define JOBS      100000
#define PAYLOAD   200
#define CALL      1024     /* jobs a call of enqueue_many */
#define TOKEN_LEN 16       /* a payload begins with the run's: left-overs of an interrupted run do not count */
#define STUCK_US  30000000 /* without a job ended: given up */
#define SETTLE_US 1000

typedef struct bench {
    int64_t n_jobs, payload_len, concurrency, batch;
    char url[512], prefix[DUREQ_PREFIX_MAX + 1];
    char token[TOKEN_LEN];
    dureq_node *node;
    dureq_client *client; /* the producer's own */
    char *payload;
    dureq_job_spec *specs;
    dureq_enqueue_result *results;
    _Atomic int64_t n_run;
    dq_mutex lock;
    dq_cond all_run;
    int64_t enqueue_us, total_us;
} bench;

static int run_job(dureq_run *task, void *userdata)
{
    bench *b = userdata;
    dureq_str payload = dureq_run_payload(task);

    if (payload.len < TOKEN_LEN || memcmp(payload.ptr, b->token, TOKEN_LEN) != 0)
        return 0;
    if (atomic_fetch_add(&b->n_run, 1) + 1 == b->n_jobs) {
        dq_mutex_lock(&b->lock);
        dq_cond_signal(&b->all_run);
        dq_mutex_unlock(&b->lock);
    }
    return 0;
}

/* ---- set-up ---- */

static int read_options(bench *b, int argc, char **argv)
{
    const char *jobs = NULL, *payload = NULL, *concurrency = NULL, *batch = NULL;
    const ctl_option options[] = {
        {.name = "batch", .value = &batch},
        {.name = "concurrency", .value = &concurrency},
        {.name = "jobs", .value = &jobs},
        {.name = "payload", .value = &payload},
    };
    int rc = ctl_only_options(argc, argv, options, DQ_ARRAY_LEN(options));

    b->n_jobs = JOBS;
    b->payload_len = PAYLOAD;
    b->batch = CALL;
    if (rc == 0 && jobs)
        rc = ctl_i64("jobs", jobs, 1, INT64_C(100000000), &b->n_jobs);
    if (rc == 0 && payload)
        rc = ctl_i64("payload", payload, TOKEN_LEN, DUREQ_PAYLOAD_DEFAULT_MAX, &b->payload_len);
    if (rc == 0 && concurrency)
        rc = ctl_i64("concurrency", concurrency, 1, 65536, &b->concurrency);
    if (rc == 0 && batch)
        rc = ctl_i64("batch", batch, 1, 65536, &b->batch);
    return rc;
}

/* As ctl_connect finds it, for the node needs it as text. */
static int find_server(ctl *c, bench *b)
{
    DQ_BUF_AUTO url = {0};
    const char *prefix;
    int rc = ctl_server(c, &url);

    if (rc != 0)
        return rc;
    if (ctl_is_http(url.ptr))
        return ctl_usage("bench measures Redis itself: give a redis://, rediss:// or unix:// server");
    if (url.len >= sizeof(b->url))
        return ctl_usage("the server's URL is too long");
    memcpy(b->url, url.ptr, url.len + 1);
    prefix = c->prefix && *c->prefix ? c->prefix : "dureq";
    if ((size_t)snprintf(b->prefix, sizeof(b->prefix), "%s-bench", prefix) >= sizeof(b->prefix))
        return ctl_usage("the prefix is too long to add '-bench' to it");
    return 0;
}

/* All jobs share one payload: the run's token, then letters. */
static int make_jobs(bench *b, dureq_error *err)
{
    static const dureq_job_options options = {.struct_size = sizeof(options), .retention_ms = -1};
    uint8_t random[TOKEN_LEN];
    int rc = dq_random_bytes(random, sizeof(random), err);

    if (rc < 0)
        return rc;
    for (size_t i = 0; i < TOKEN_LEN; i++)
        b->token[i] = (char)('a' + random[i] % 16);
    b->payload = dq_malloc((size_t)b->payload_len);
    b->specs = dq_calloc((size_t)b->batch, sizeof(*b->specs));
    b->results = dq_calloc((size_t)b->batch, sizeof(*b->results));
    if (!b->payload || !b->specs || !b->results)
        return dq_fail_nomem(err);
    memset(b->payload, 'x', (size_t)b->payload_len);
    memcpy(b->payload, b->token, TOKEN_LEN);
    for (int64_t i = 0; i < b->batch; i++)
        b->specs[i] = (dureq_job_spec){TASK_TYPE, dureq_str_of(b->payload, (size_t)b->payload_len), &options};
    return 0;
}

static int start(const ctl *c, bench *b, dureq_error *err)
{
    dureq_client_options co = dureq_client_options_init();
    dureq_node_options no = dureq_node_options_init();
    int rc = make_jobs(b, err);

    if (rc < 0)
        return rc;
    no.redis_url = co.redis_url = b->url;
    no.prefix = co.prefix = b->prefix;
    no.allow_eviction = co.allow_eviction = c->allow_eviction;
    no.concurrency = (int32_t)b->concurrency;
    co.timeout_ms = c->timeout_ms;
    co.client_name = "dureqctl-bench";
    rc = dureq_client_create(&co, &b->client, err);
    if (rc == 0)
        rc = dureq_node_create(&no, &b->node, err);
    if (rc == 0)
        rc = dureq_node_handle(b->node, TASK_TYPE, run_job, b, NULL, err);
    if (rc == 0)
        rc = dureq_node_start(b->node, err);
    return rc;
}

/* ---- the run ---- */

static int enqueue_all(bench *b, dureq_error *err)
{
    for (int64_t done = 0; done < b->n_jobs;) {
        size_t n = (size_t)DQ_MIN(b->n_jobs - done, b->batch);
        int rc = dureq_client_enqueue_many(b->client, b->specs, n, b->results, err);

        if (rc < 0)
            return rc;
        for (size_t i = 0; i < n; i++)
            if (b->results[i].code < 0)
                return dq_fail(err, b->results[i].code, "%s", b->results[i].msg);
        done += (int64_t)n;
    }
    return 0;
}

static bool is_settled(bench *b)
{
    dureq_node_stats s;

    dureq_node_get_stats(b->node, &s);
    return s.running == 0 && s.unsent == 0 && s.completed + s.failed + s.dead + s.cancelled >= s.started;
}

/* Until the last completion is recorded; a server that does nothing for long is given up. */
static int wait_for_end(bench *b, dureq_error *err)
{
    int64_t seen = -1, limit = 0;

    dq_mutex_lock(&b->lock);
    for (;;) {
        int64_t n = atomic_load(&b->n_run), now = dq_mono_us();
        bool all = n >= b->n_jobs;

        if (all && is_settled(b))
            break;
        if (n != seen) {
            seen = n;
            limit = now + STUCK_US;
        }
        if (now > limit) {
            dq_mutex_unlock(&b->lock);
            return dq_fail(err, DUREQ_ETIMEOUT, "%" PRId64 " of %" PRId64 " jobs ran, then nothing for 30 s", n, b->n_jobs);
        }
        (void)dq_cond_wait_until(&b->all_run, &b->lock, DQ_MIN(limit, now + (all ? SETTLE_US : 1000000)));
    }
    dq_mutex_unlock(&b->lock);
    return 0;
}

static int measure(bench *b, dureq_error *err)
{
    int64_t begun = dq_mono_us();
    int rc = enqueue_all(b, err);

    b->enqueue_us = dq_mono_us() - begun;
    if (rc == 0)
        rc = wait_for_end(b, err);
    b->total_us = dq_mono_us() - begun;
    return rc;
}

static double per_s(int64_t n, int64_t us)
{
    return us > 0 ? (double)(int64_t)((double)n * 1e6 / (double)us) : 0;
}

static int print(const ctl *c, const bench *b)
{
    ctl_answer a = {0};
    dq_json_writer w = dq_json_writer_of(&a.res.body);
    int rc;

    dq_json_begin_object(&w);
    dq_json_set_i64(&w, "jobs", b->n_jobs);
    dq_json_set_i64(&w, "payload_bytes", b->payload_len);
    dq_json_set_f64(&w, "seconds", (double)(b->total_us / 1000) / 1000);
    dq_json_set_f64(&w, "jobs_per_second", per_s(b->n_jobs, b->total_us));
    dq_json_set_f64(&w, "enqueued_per_second", per_s(b->n_jobs, b->enqueue_us));
    dq_json_end_object(&w);
    rc = dq_json_parse(dq_buf_str(&a.res.body), &a.doc, NULL);
    if (rc == 0)
        ctl_print_object(c, &a, 0);
    ctl_answer_deinit(&a);
    return rc == 0 ? CTL_DONE : ctl_fail(CTL_FAILED, "out of memory");
}

static int run_bench(ctl *c, int argc, char **argv)
{
    bench b = {.node = NULL};
    dureq_error err = {0};
    int rc = read_options(&b, argc, argv);

    if (rc == 0)
        rc = find_server(c, &b);
    if (rc != 0)
        return rc;
    dq_mutex_init(&b.lock);
    dq_cond_init(&b.all_run);
    rc = start(c, &b, &err);
    if (rc == 0)
        rc = measure(&b, &err);
    rc = rc < 0 ? ctl_fail(ctl_exit_of(rc), "%s", err.msg) : print(c, &b);
    dureq_node_destroy(b.node);
    dureq_client_destroy(b.client);
    dq_cond_deinit(&b.all_run);
    dq_mutex_deinit(&b.lock);
    dq_free(b.payload);
    dq_free(b.specs);
    dq_free(b.results);
    return rc;
}

const ctl_command ctl_bench_commands[] = {
    {"bench", "[--jobs N] [--payload BYTES] [--concurrency N] [--batch N]", "Measure jobs a second on this server",
     "Enqueues jobs that do nothing (100000 of 200 bytes) and runs them in this process, under the prefix with '-bench' added.\n"
     "--batch N is how many are given to the client at once (1024), --concurrency N how many run at a time (100).\n",
     run_bench},
    {NULL, NULL, NULL, NULL, NULL},
};
