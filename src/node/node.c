/* SPDX-License-Identifier: Apache-2.0 */
/* A node: one loop thread with a store, on it a worker (runs jobs), leaders (for the shards it is elected for) and a client for its
   handlers. Here they are put together and the callers' calls brought to the loop. States: created -> started -> stopped; a node is not
   started twice. Callers' threads wait on `cond` for what the loop says. */

#include "node/node_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/random.h"

#define START_TIMEOUT_US   10000000
#define START_NO_WRITES_US 500000

/* ---- create ---- */

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
    rc = dq_node_take_options(n, opts, err);
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

dq_loop *dq_node_loop(dureq_node *n)
{
    return n->loop;
}

/* ---- start ---- */

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
    rc = dq_node_make_parts(n, err);
    if (rc == 0)
        rc = dq_loop_start_thread(n->loop, "dq-loop", err);
    if (rc < 0) {
        dq_node_drop_parts(n);
        return rc;
    }
    n->started = true;
    rc = wait_live(n, err);
    if (rc < 0) {
        stop_loop(n);
        dq_node_drop_parts(n);
    }
    return rc;
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
    dq_node_drop_parts(n);
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
    dq_node_drop_parts(n);
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
    dq_node_drop_options(n);
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
