/* SPDX-License-Identifier: Apache-2.0 */
/* A node: one loop thread with a store, on it a worker (runs jobs), leaders (for the shards it is elected for) and a client for its
   handlers. Here they are put together and the callers' calls brought to the loop. States: created -> started -> stopped; a node is not
   started twice. Callers' threads wait on `cond` for what the loop says. */

#include <dureq/dureq.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/random.h"
#include "client/client_internal.h"
#include "json/json.h"
#include "leader/leader.h"
#include "node/external.h"
#include "worker/pool.h"
#include "worker/worker.h"

#define CONCURRENCY_DEFAULT 100
#define CONCURRENCY_MAX     65536
#define LEASE_DEFAULT_MS    5000
#define LEASE_MIN_MS        200
#define LEASE_MAX_MS        3600000
#define SHUTDOWN_DEFAULT_MS 30000
#define START_TIMEOUT_US    10000000
#define START_NO_WRITES_US  500000
#define MAX_CRASHES_DEFAULT 3
#define HOUR_MS             3600000LL
#define THE_LINK            0 /* the store speaks of its only one */
#define STACK_MIN           (64 * 1024)
#define STACK_MAX           (1024 * 1024 * 1024)
#define RETENTION_MAX_MS    (100 * 366 * 24 * HOUR_MS)

struct dureq_node {
    dureq_node_options o; /* strings are ours */
    char instance[17];
    dq_log log;
    sigset_t signals; /* the mask of the thread that created it: handler threads get it */
    dq_loop *loop;
    dq_store *store;
    dq_handlers handlers;
    dq_handlers staged; /* to replace them: of the thread that registers, until it is committed */
    bool is_staging;
    char *staged_info;
    dq_message swap;
    atomic_bool is_swapping; /* swap is under way */
    void (*on_swapped)(void *userdata);
    void *on_swapped_userdata;
    dq_worker *worker;
    dq_leaders *leaders;
    dureq_client *client;
    bool started, ended;
    dq_timer stop_timer;
    int stop_pipe[2]; /* written by dureq_node_stop_now, which may be in a signal handler */
    dq_readable stop_readable;
    dq_message begin, drain, stop;

    dq_mutex mu; /* guards the rest */
    dq_cond cond;
    bool live, stopped, refused, start_cancelled, want_drain, drain_posted;
    dureq_error why;
    dureq_node_stats last_stats; /* of a worker that is gone */
};

/* ---- what the store tells ---- */

static void on_down(dq_store *s, const dureq_error *why, void *userdata)
{
    dureq_node *n = userdata;

    (void)s;
    dq_client_on_down(n->client, why);
    dq_worker_on_down(n->worker, THE_LINK);
    dq_leaders_down(n->leaders);
}

static void set_why(dureq_node *n, const dureq_error *why, bool refused)
{
    dq_mutex_lock(&n->mu);
    n->why = *why;
    n->refused = refused;
    dq_cond_broadcast(&n->cond);
    dq_mutex_unlock(&n->mu);
}

static void on_up(dq_store *s, bool same_server, void *userdata)
{
    dureq_node *n = userdata;

    dureq_error why;
    int rc;

    (void)s;
    dq_client_on_up(n->client, same_server);
    rc = dq_worker_on_up(n->worker, THE_LINK, same_server);
    if (rc == 0)
        return;
    (void)dq_fail(&why, rc, "%s", dureq_errcode_text(rc)); /* it can only be the first time, and dureq_node_start waits for it */
    set_why(n, &why, /*refused=*/true);
}

static void on_waiting(dq_store *s, const dureq_error *why, void *userdata)
{
    (void)s;
    set_why(userdata, why, false);
}

static void on_refused(dq_store *s, const dureq_error *why, void *userdata)
{
    dureq_node *n = userdata;

    (void)s;
    dq_client_on_refused(n->client, why);
    set_why(n, why, true);
}

static void on_message(dq_store *s, unsigned shard, dureq_str name, dureq_str text, void *userdata)
{
    dureq_node *n = userdata;

    (void)s;
    if (dq_str_starts_with(name, DQ_STR_LIT("d:")))
        dq_client_on_message(n->client, shard, name, text);
    else
        dq_worker_on_message(n->worker, shard, name, text);
}

static void on_queues(dq_store *s, void *userdata)
{
    dureq_node *n = userdata;

    (void)s;
    dq_client_on_queues(n->client);
    dq_worker_on_queues(n->worker);
}

static void on_cycle(dq_store *s, bool ready, void *userdata)
{
    dureq_node *n = userdata;

    (void)s;
    dq_worker_on_cycle(n->worker, THE_LINK, ready);
}

/* ---- what the worker tells ---- */

static void on_session_waiting(dq_worker *w, const dureq_error *why, void *userdata)
{
    (void)w;
    set_why(userdata, why, false);
}

static void on_live(dq_worker *w, void *userdata)
{
    dureq_node *n = userdata;

    (void)w;
    dq_mutex_lock(&n->mu);
    n->live = true;
    dq_cond_broadcast(&n->cond);
    dq_mutex_unlock(&n->mu);
    DQ_LOG(&n->log, DUREQ_LOG_INFO, "node.live", "node=%s concurrency=%d", n->o.node_id, (int)n->o.concurrency);
}

static void on_beat(dq_worker *w, const dq_worker_beat *b, void *userdata)
{
    dureq_node *n = userdata;

    (void)w;
    dq_leaders_beat(n->leaders, &(dq_leader_beat){.shard = b->shard,
                                                  .session = b->session,
                                                  .epoch = b->epoch,
                                                  .next_due_ms = b->next_due_ms,
                                                  .n_expired = b->n_expired,
                                                  .n_outbox = b->n_outbox,
                                                  .n_flow_steps = b->n_flow_steps,
                                                  .next_late_ms = b->next_late_ms,
                                                  .next_schedule_ms = b->next_schedule_ms,
                                                  .memory_is_short = b->memory_is_short});
}

static void on_due(dq_worker *w, unsigned shard, int64_t at_ms, void *userdata)
{
    dureq_node *n = userdata;

    (void)w;
    dq_leaders_due(n->leaders, shard, at_ms);
}

static void on_schedule(dq_worker *w, unsigned shard, int64_t at_ms, void *userdata)
{
    dureq_node *n = userdata;

    (void)w;
    dq_leaders_schedule(n->leaders, shard, at_ms);
}

static void on_history(dq_worker *w, unsigned shard, void *userdata)
{
    dureq_node *n = userdata;

    (void)w;
    dq_leaders_history(n->leaders, shard);
}

static void on_flow(dq_worker *w, unsigned shard, void *userdata)
{
    dureq_node *n = userdata;

    (void)w;
    dq_leaders_flow(n->leaders, shard);
}

static void on_stopped(dq_worker *w, void *userdata)
{
    dureq_node *n = userdata;

    (void)w;
    dq_mutex_lock(&n->mu);
    n->stopped = true;
    dq_cond_broadcast(&n->cond);
    dq_mutex_unlock(&n->mu);
}

/* ---- create ---- */

/* Host name and six letters; of characters that a name takes. */
static char *make_node_id(void)
{
    char host[64] = "node";
    uint64_t r = 0;
    dq_buf b = {0};

    (void)gethostname(host, sizeof host - 1);
    (void)dq_random_bytes(&r, sizeof r, NULL);
    for (char *p = host; *p; p++)
        dq_buf_append_char(&b, dq_name_check("host", dureq_str_of(p, 1), NULL) == 0 ? *p : '-');
    dq_buf_append_char(&b, '-');
    for (int i = 0; i < 6; i++, r /= 26)
        dq_buf_append_char(&b, (char)('a' + r % 26));
    return dq_buf_take(&b);
}

static int check_numbers(const dureq_node_options *o, dureq_error *err)
{
    if (o->concurrency < 0 || o->concurrency > CONCURRENCY_MAX)
        return dq_fail(err, DUREQ_EINVAL, "concurrency takes 1 to %d, or 0 for %d", CONCURRENCY_MAX, CONCURRENCY_DEFAULT);
    if (o->threads < 0 || o->threads > CONCURRENCY_MAX)
        return dq_fail(err, DUREQ_EINVAL, "threads takes 1 to %d, or 0 for as many as concurrency", CONCURRENCY_MAX);
    if (o->lease_ms != 0 && (o->lease_ms < LEASE_MIN_MS || o->lease_ms > LEASE_MAX_MS))
        return dq_fail(err, DUREQ_EINVAL, "lease_ms takes %d to %d, or 0 for %d", LEASE_MIN_MS, LEASE_MAX_MS, LEASE_DEFAULT_MS);
    if (o->stack_size != 0 && (o->stack_size < STACK_MIN || o->stack_size > STACK_MAX))
        return dq_fail(err, DUREQ_EINVAL, "stack_size takes %d to %d bytes, or 0 for %d", STACK_MIN, STACK_MAX,
                       DQ_POOL_STACK_BYTES);
    if (o->shutdown_timeout_ms < 0)
        return dq_fail(err, DUREQ_EINVAL, "shutdown_timeout_ms takes 1 or more, or 0 for %d", SHUTDOWN_DEFAULT_MS);
    if (o->max_crashes < 0 || o->max_crashes > 255)
        return dq_fail(err, DUREQ_EINVAL, "max_crashes takes 1 to 255, or 0 for %d", MAX_CRASHES_DEFAULT);
    if (o->max_payload_bytes < 0 || o->max_payload_bytes > DUREQ_PAYLOAD_LIMIT_MAX)
        return dq_fail(err, DUREQ_EINVAL, "max_payload_bytes takes 1 to %d, or 0 for 1 MiB", DUREQ_PAYLOAD_LIMIT_MAX);
    if (o->shards < 0 || o->shards > 256)
        return dq_fail(err, DUREQ_EINVAL, "shards takes 1 to 256, or 0 for 1");
    if (o->history_max_bytes < -1)
        return dq_fail(err, DUREQ_EINVAL, "history_max_bytes takes a number of bytes, 0 for the default or -1 for no cap");
    return 0;
}

static int check_retentions(const dureq_node_options *o, dureq_error *err)
{
    const struct {
        const char *name;
        int64_t ms, min, forever;
    } rows[] = {
        {"dead_retention_ms", o->dead_retention_ms, 1, -1},
        {"audit_retention_ms", o->audit_retention_ms, 1, -1},
        {"stats_minutes_retention_ms", o->stats_minutes_retention_ms, HOUR_MS, 0},
        {"stats_hours_retention_ms", o->stats_hours_retention_ms, 24 * HOUR_MS, 0},
        {"stats_days_retention_ms", o->stats_days_retention_ms, 24 * HOUR_MS, 0},
    };

    for (size_t i = 0; i < DQ_ARRAY_LEN(rows); i++)
        if (rows[i].ms != 0 && rows[i].ms != rows[i].forever && (rows[i].ms < rows[i].min || rows[i].ms > RETENTION_MAX_MS))
            return dq_fail(err, DUREQ_EINVAL, "%s takes %lld ms to 100 years, 0 for the default%s", rows[i].name,
                           (long long)rows[i].min, rows[i].forever ? " or -1 for ever" : "");
    return 0;
}

static int take_options(dureq_node *n, const dureq_node_options *given, dureq_error *err)
{
    int rc;

    rc = dq_options_adopt(&n->o, sizeof n->o, given, "node options", err);
    const char *url = n->o.redis_url, *prefix = n->o.prefix, *node_id = n->o.node_id;
    n->o.redis_url = n->o.prefix = n->o.node_id = NULL; /* ours from here on */
    if (rc < 0)
        return rc;
    if (!url)
        return dq_fail(err, DUREQ_EINVAL, "redis_url is missing: it takes redis://, rediss:// or unix://");
    if (node_id) {
        rc = dq_name_check("node_id", dureq_str_from(node_id), err);
        if (rc < 0)
            return rc;
    }
    rc = check_numbers(&n->o, err);
    if (rc == 0)
        rc = check_retentions(&n->o, err);
    if (rc < 0)
        return rc;
    n->o.redis_url = dq_strdup(url);
    n->o.prefix = dq_strdup(prefix ? prefix : "dureq");
    n->o.node_id = node_id ? dq_strdup(node_id) : make_node_id();
    if (!n->o.redis_url || !n->o.prefix || !n->o.node_id)
        return dq_fail_nomem(err);
    if (n->o.concurrency == 0)
        n->o.concurrency = CONCURRENCY_DEFAULT;
    if (n->o.threads == 0)
        n->o.threads = n->o.concurrency;
    n->o.lease_ms = n->o.lease_ms ? n->o.lease_ms : LEASE_DEFAULT_MS;
    n->o.shutdown_timeout_ms = n->o.shutdown_timeout_ms ? n->o.shutdown_timeout_ms : SHUTDOWN_DEFAULT_MS;
    n->o.max_crashes = n->o.max_crashes ? n->o.max_crashes : MAX_CRASHES_DEFAULT;
    n->log = (dq_log){.fn = n->o.log_fn, .userdata = n->o.log_userdata, .level = n->o.log_level};
    return 0;
}

static void stop_timer_fired(dq_timer *t)
{
    dq_worker_stop_now(dq_container_of(t, dureq_node, stop_timer)->worker);
}

static void stop_now_readable(dq_readable *w, int fd)
{
    dureq_node *n = dq_container_of(w, dureq_node, stop_readable);
    char bytes[16];

    while (read(fd, bytes, sizeof bytes) > 0)
        ;
    if (n->worker)
        dq_worker_stop_now(n->worker);
}

static int make_loop(dureq_node *n, dureq_error *err)
{
    int rc;

    rc = dq_loop_create(&n->loop, err);
    if (rc < 0)
        return rc;
    rc = dq_timer_init(&n->stop_timer, n->loop, stop_timer_fired);
    if (rc < 0)
        return dq_fail_nomem(err);
    if (pipe2(n->stop_pipe, O_CLOEXEC | O_NONBLOCK) < 0) {
        n->stop_pipe[0] = n->stop_pipe[1] = -1;
        return dq_fail_errno(err, DUREQ_EIO, errno, "a pipe could not be made");
    }
    rc = dq_readable_init(&n->stop_readable, n->loop, n->stop_pipe[0], stop_now_readable);
    if (rc < 0)
        return dq_fail_nomem(err);
    return 0;
}

static int make_instance(dureq_node *n, dureq_error *err)
{
    uint64_t r = 0;
    int rc = dq_random_bytes(&r, sizeof r, err);

    (void)snprintf(n->instance, sizeof n->instance, "%016llx", (unsigned long long)r);
    return rc;
}

int dureq_node_create(const dureq_node_options *opts, dureq_node **ret, dureq_error *err)
{
    dureq_node *n;
    int rc;

    if (!opts || !ret)
        return dq_fail(err, DUREQ_EINVAL, "opts and ret must be given");
    n = dq_calloc(1, sizeof *n);
    if (!n)
        return dq_fail_nomem(err);
    (void)pthread_sigmask(SIG_SETMASK, NULL, &n->signals);
    n->stop_pipe[0] = n->stop_pipe[1] = -1;
    dq_mutex_init(&n->mu);
    dq_cond_init(&n->cond);
    rc = take_options(n, opts, err);
    if (rc == 0)
        rc = make_instance(n, err);
    if (rc == 0)
        rc = make_loop(n, err);
    if (rc < 0) {
        dureq_node_destroy(n);
        return rc;
    }
    *ret = n;
    return 0;
}

/* ---- registering ---- */

static int may_register(const dureq_node *n, dureq_error *err)
{
    if (!n)
        return dq_fail(err, DUREQ_EINVAL, "node must be given");
    if (n->started && !n->is_staging)
        return dq_fail(err, DUREQ_ECONFLICT, "handlers are registered before the node is started");
    return 0;
}

static dq_handlers *set_of(dureq_node *n)
{
    return n->is_staging ? &n->staged : &n->handlers;
}

int dureq_node_use(dureq_node *n, dureq_middleware_fn fn, void *userdata, dureq_error *err)
{
    int rc = may_register(n, err);

    if (rc < 0)
        return rc;
    return fn ? dq_handlers_use(&n->handlers, fn, userdata, err) : dq_fail(err, DUREQ_EINVAL, "fn must be given");
}

int dureq_node_handle(dureq_node *n, const char *task_type, dureq_handler_fn fn, void *userdata,
                      const dureq_handler_options *opts, dureq_error *err)
{
    int rc = may_register(n, err);

    if (rc < 0)
        return rc;
    if (!fn || !task_type)
        return dq_fail(err, DUREQ_EINVAL, "task_type and fn must be given");
    return dq_handlers_add(set_of(n), task_type, fn, NULL, userdata, opts, err);
}

int dq_node_handle_external(dureq_node *n, const char *task_type, const dq_external_ops *ops, void *userdata,
                            const dureq_handler_options *opts, dureq_error *err)
{
    int rc = may_register(n, err);

    return rc < 0 ? rc : dq_handlers_add(set_of(n), task_type, NULL, ops, userdata, opts, err);
}

dq_loop *dq_node_loop(dureq_node *n)
{
    return n->loop;
}

/* ---- start ---- */

static void make_info(const dureq_node *n, const dq_handlers *handlers, dq_buf *out)
{
    dq_json_writer w = dq_json_writer_of(out);
    DQ_BUF_AUTO types = {0};
    char host[256] = "";
    struct stat space;

    (void)gethostname(host, sizeof host - 1);
    dq_handlers_names(handlers, &types);
    dq_json_begin_object(&w);
    dq_json_set_str(&w, "task_types", dq_buf_str(&types));
    dq_json_set_text(&w, "version", dureq_version());
    dq_json_set_text(&w, "host", host);
    dq_json_set_i64(&w, "pid", getpid());
    if (stat("/proc/self/ns/pid", &space) == 0)
        dq_json_set_i64(&w, "pid_space", (int64_t)space.st_ino);
    dq_json_set_text(&w, "instance", n->instance);
    dq_json_set_i64(&w, "concurrency", n->o.concurrency);
    dq_json_end_object(&w);
}

static int make_store(dureq_node *n, dureq_error *err)
{
    dq_store_callbacks cb = {
        .on_up = on_up,
        .on_down = on_down,
        .on_waiting = on_waiting,
        .on_refused = on_refused,
        .on_message = on_message,
        .on_queues = on_queues,
        .on_cycle = on_cycle,
        .userdata = n,
    };
    dq_store_options so = {
        .redis_url = n->o.redis_url,
        .prefix = n->o.prefix,
        .shards = (unsigned)n->o.shards,
        .allow_eviction = n->o.allow_eviction,
        .client_name = "dureq-node",
        .history_max_bytes = n->o.history_max_bytes,
        .log = &n->log,
    };

    return dq_store_create(n->loop, &so, &cb, &n->store, err);
}

static int make_worker(dureq_node *n, dureq_error *err)
{
    DQ_BUF_AUTO info = {0};
    dq_worker_callbacks cb = {.on_live = on_live,
                              .on_waiting = on_session_waiting,
                              .on_beat = on_beat,
                              .on_due = on_due,
                              .on_schedule = on_schedule,
                              .on_history = on_history,
                              .on_flow = on_flow,
                              .on_stopped = on_stopped,
                              .userdata = n};
    dq_worker_options wo = {
        .node_id = n->o.node_id,
        .concurrency = (uint32_t)n->o.concurrency,
        .threads = (uint32_t)n->o.threads,
        .stack_bytes = (size_t)n->o.stack_size,
        .signals = &n->signals,
        .max_payload = (size_t)n->o.max_payload_bytes,
        .lease_ms = n->o.lease_ms,
        .stands_to_lead = !n->o.never_leads,
        .on_event = n->o.on_event,
        .on_event_userdata = n->o.on_event_userdata,
        .log = &n->log,
    };
    int rc;

    make_info(n, &n->handlers, &info);
    rc = dq_buf_finish(&info, err);
    if (rc < 0)
        return rc;
    wo.info = info.ptr;
    return dq_worker_create(n->store, &n->handlers, &wo, &cb, &n->worker, err);
}

static int make_parts(dureq_node *n, dureq_error *err)
{
    dq_leaders_options to = {
        .lease_ms = n->o.lease_ms,
        .max_crashes = n->o.max_crashes,
        .keep = {.dead_ms = n->o.dead_retention_ms,
                 .audit_ms = n->o.audit_retention_ms,
                 .minutes_ms = n->o.stats_minutes_retention_ms,
                 .hours_ms = n->o.stats_hours_retention_ms,
                 .days_ms = n->o.stats_days_retention_ms},
        .log = &n->log,
    };
    int rc;

    rc = make_store(n, err);
    if (rc < 0)
        return rc;
    rc = dq_client_create_shared(n->loop, n->store, &n->log, n->o.node_id, n->o.redis_url, n->o.max_payload_bytes, &n->client,
                                 err);
    if (rc < 0)
        return rc;
    rc = dq_leaders_create(n->store, &to, &n->leaders, err);
    if (rc < 0)
        return rc;
    return make_worker(n, err);
}

/* A server that takes no writes may be in the middle of a fail-over, or say why not for hours. */
static int wait_live(dureq_node *n, dureq_error *err)
{
    int64_t deadline_us = dq_mono_us() + START_TIMEOUT_US;
    bool in_time = true, has_no_writes = false;
    dureq_error why;

    dq_mutex_lock(&n->mu);
    while (!n->live && !n->refused && !n->start_cancelled && in_time) {
        if (dq_store_takes_no_writes(n->why.code) && !has_no_writes)
            deadline_us = DQ_MIN(deadline_us, dq_mono_us() + START_NO_WRITES_US);
        has_no_writes = dq_store_takes_no_writes(n->why.code);
        in_time = dq_cond_wait_until(&n->cond, &n->mu, deadline_us);
    }
    bool live = n->live, cancelled = n->start_cancelled;
    why = n->why;
    dq_mutex_unlock(&n->mu);
    if (live)
        return 0;
    if (cancelled)
        return dq_fail(err, DUREQ_ECANCELLED, "stopped while it waited for the server");
    if (why.code == 0)
        return dq_fail(err, DUREQ_EUNAVAILABLE, "no server within %d s", START_TIMEOUT_US / 1000000);
    if (err)
        *err = why;
    return why.code;
}

void dq_node_cancel_start(dureq_node *n)
{
    dq_mutex_lock(&n->mu);
    n->start_cancelled = true;
    dq_cond_broadcast(&n->cond);
    dq_mutex_unlock(&n->mu);
}

static void stop_loop(dureq_node *n)
{
    if (n->started) {
        dq_client_close_waits(n->client);
        dq_loop_stop_thread(n->loop);
    }
    n->started = false;
}

/* What it counted is still asked for. */
static void drop_worker(dureq_node *n)
{
    dq_worker *w = n->worker;

    if (!w)
        return;
    dq_mutex_lock(&n->mu);
    dq_worker_get_stats(w, &n->last_stats);
    n->last_stats.connected = false;
    n->worker = NULL;
    dq_mutex_unlock(&n->mu);
    dq_worker_destroy(w);
}

/* Everything that start made; the loop's thread is over. The store first: it answers what is in flight to the others. */
static void drop_parts(dureq_node *n)
{
    dq_store_destroy(n->store);
    n->store = NULL;
    drop_worker(n);
    dq_leaders_destroy(n->leaders);
    n->leaders = NULL;
    dureq_client_destroy(n->client);
    n->client = NULL;
}

/* One that was refused may be made again, when what was in the way is out of it. */
static void forget_last_start(dureq_node *n)
{
    dq_mutex_lock(&n->mu);
    n->live = n->refused = false;
    n->why = (dureq_error){0};
    dq_mutex_unlock(&n->mu);
}

int dureq_node_start(dureq_node *n, dureq_error *err)
{
    int rc;

    if (!n)
        return dq_fail(err, DUREQ_EINVAL, "node must be given");
    if (n->started || n->ended)
        return dq_fail(err, DUREQ_ECONFLICT, "the node was started already");
    if (n->handlers.n == 0)
        return dq_fail(err, DUREQ_EINVAL, "no handler is registered");
    forget_last_start(n);
    rc = make_parts(n, err);
    if (rc == 0)
        rc = dq_loop_start_thread(n->loop, "dq-loop", err);
    if (rc < 0) {
        drop_parts(n);
        return rc;
    }
    n->started = true;
    rc = wait_live(n, err);
    if (rc < 0) {
        stop_loop(n);
        drop_parts(n);
    }
    return rc;
}

/* ---- other handlers while it runs ---- */

int dq_node_handlers_begin(dureq_node *n, dureq_error *err)
{
    if (!n->started || n->is_staging)
        return dq_fail(err, DUREQ_ECONFLICT, "handlers are replaced while the node runs, one set at a time");
    if (atomic_load_explicit(&n->is_swapping, memory_order_acquire))
        return dq_fail(err, DUREQ_ECONFLICT, "the handlers are being replaced already");
    n->is_staging = true;
    return 0;
}

void dq_node_handlers_abort(dureq_node *n)
{
    n->is_staging = false;
    dq_handlers_drop(&n->staged);
}

static void run_swap(dq_message *m)
{
    dureq_node *n = dq_container_of(m, dureq_node, swap);
    void (*done)(void *userdata) = n->on_swapped;
    void *userdata = n->on_swapped_userdata;

    dq_worker_replace_handlers(n->worker, &n->staged, n->staged_info);
    n->staged_info = NULL;
    atomic_store_explicit(&n->is_swapping, false, memory_order_release);
    if (done)
        done(userdata);
}

int dq_node_handlers_commit(dureq_node *n, void (*done)(void *userdata), void *userdata, dureq_error *err)
{
    DQ_BUF_AUTO info = {0};
    int rc =
        n->staged.n > 0 ? dq_handlers_number(&n->staged, &n->handlers, err) : dq_fail(err, DUREQ_EINVAL, "no handler is left");

    if (rc == 0)
        make_info(n, &n->staged, &info);
    if (rc == 0)
        rc = dq_buf_finish(&info, err);
    if (rc < 0) {
        dq_node_handlers_abort(n);
        return rc;
    }
    n->staged_info = dq_buf_take(&info);
    n->is_staging = false;
    n->on_swapped = done;
    n->on_swapped_userdata = userdata;
    n->swap.fn = run_swap;
    atomic_store_explicit(&n->is_swapping, true, memory_order_relaxed);
    dq_loop_post(n->loop, &n->swap);
    return 0;
}

void dq_node_set_log_level(dureq_node *n, dureq_log_level level)
{
    atomic_store_explicit(&n->log.level, (int)level, memory_order_relaxed);
}

/* ---- drain, stop ---- */

static void run_drain(dq_message *m)
{
    dureq_node *n = dq_container_of(m, dureq_node, drain);

    dq_mutex_lock(&n->mu);
    bool drain = n->want_drain;
    n->drain_posted = false;
    dq_mutex_unlock(&n->mu);
    dq_worker_drain(n->worker, drain);
}

int dureq_node_drain(dureq_node *n, bool drain)
{
    if (!n || !n->started)
        return DUREQ_ECONFLICT;
    dq_mutex_lock(&n->mu);
    bool post = n->want_drain != drain && !n->drain_posted; /* one under way takes what is wanted by then */
    n->want_drain = drain;
    n->drain_posted = n->drain_posted || post;
    dq_mutex_unlock(&n->mu);
    if (post) {
        n->drain.fn = run_drain;
        dq_loop_post(n->loop, &n->drain);
    }
    return 0;
}

static void run_stop(dq_message *m)
{
    dureq_node *n = dq_container_of(m, dureq_node, stop);
    int64_t timeout_us = n->o.shutdown_timeout_ms * 1000;

    dq_timer_set(&n->stop_timer, timeout_us);
    dq_worker_stop(n->worker);
}

int dureq_node_stop(dureq_node *n, dureq_error *err)
{
    if (!n || !n->started)
        return dq_fail(err, DUREQ_ECONFLICT, "the node is not started");
    n->stop.fn = run_stop;
    dq_loop_post(n->loop, &n->stop);
    dq_mutex_lock(&n->mu);
    while (!n->stopped)
        dq_cond_wait(&n->cond, &n->mu);
    dq_mutex_unlock(&n->mu);
    stop_loop(n);
    n->ended = true;
    drop_parts(n);
    return 0;
}

void dureq_node_stop_now(dureq_node *n)
{
    if (n && n->stop_pipe[1] >= 0) {
        ssize_t done = write(n->stop_pipe[1], "!", 1);

        (void)done; /* a full pipe says it already */
    }
}

void dureq_node_destroy(dureq_node *n)
{
    if (!n)
        return;
    if (n->started)
        (void)dureq_node_stop(n, NULL);
    drop_parts(n);
    dq_readable_deinit(&n->stop_readable);
    for (int i = 0; i < 2; i++)
        if (n->stop_pipe[i] >= 0)
            close(n->stop_pipe[i]);
    if (n->loop)
        dq_timer_deinit(&n->stop_timer);
    dq_loop_destroy(n->loop);
    dq_handlers_deinit(&n->handlers);
    dq_handlers_deinit(&n->staged);
    dq_free(n->staged_info);
    dq_cond_deinit(&n->cond);
    dq_mutex_deinit(&n->mu);
    dq_free((char *)n->o.redis_url);
    dq_free((char *)n->o.prefix);
    dq_free((char *)n->o.node_id);
    dq_free(n);
}

dureq_client *dureq_node_client(dureq_node *n)
{
    return n ? n->client : NULL;
}

const char *dureq_node_id(const dureq_node *n)
{
    return n->o.node_id;
}

const char *dq_node_instance(const dureq_node *n)
{
    return n->instance;
}

void dureq_node_get_stats(dureq_node *n, dureq_node_stats *ret)
{
    dq_mutex_lock(&n->mu);
    *ret = n->last_stats;
    ret->concurrency = n->o.concurrency;
    if (n->worker)
        dq_worker_get_stats(n->worker, ret);
    dq_mutex_unlock(&n->mu);
}
