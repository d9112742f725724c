/* SPDX-License-Identifier: Apache-2.0 */
/* The node: a dureq_node with one handler that does next to nothing, or what a row needs it to do. */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <dureq/node.h>

#include "bench.h"
#include "board.h"
#include "role.h"

#define POLL_US 2000

typedef struct node_role {
    dureq_node *node;
    board *board;     /* NULL: none */
    int32_t number;   /* of the node, from 0 */
    int64_t sleep_us; /* of the handler; -1: until cancelled */
    _Atomic int64_t starts;
    _Atomic int64_t lost; /* records "session.lost" */
} node_role;

/* ---- handlers ---- */

static void note_start(node_role *r, const dureq_run *task)
{
    int64_t number, expected = 0;
    board_job *job;

    atomic_fetch_add_explicit(&r->starts, 1, memory_order_relaxed);
    if (!r->board)
        return;
    atomic_fetch_add_explicit(&r->board->n_started, 1, memory_order_relaxed);
    if (r->board->n == 0)
        return;
    number = board_read_number(dureq_run_payload(task));
    if (number < 0 || number >= r->board->n)
        return;
    job = &r->board->jobs[number];
    atomic_compare_exchange_strong(&job->started_us, &expected, dq_mono_us());
    atomic_fetch_add(&job->starts, 1);
    atomic_store(&job->started_by, r->number + 1);
}

static int run_noop(dureq_run *task, void *userdata)
{
    note_start(userdata, task);
    return 0;
}

static int run_sleep(dureq_run *task, void *userdata)
{
    node_role *r = userdata;

    note_start(r, task);
    if (r->sleep_us < 0)
        (void)dureq_run_wait_cancelled(task, -1);
    else
        role_sleep_until_us(dq_mono_us() + r->sleep_us);
    return 0;
}

/* Fails until its last attempt. */
static int run_retry(dureq_run *task, void *userdata)
{
    note_start(userdata, task);
    if (dureq_run_attempt(task) >= dureq_run_max_attempts(task))
        return 0;
    return dureq_run_retry(task, 1, "again");
}

/* ---- commands ---- */

static int drain(void *role, const role_words *q, role_words *answer, dureq_error *err)
{
    node_role *r = role;
    int rc = dureq_node_drain(r->node, role_get(q, "on", 1) != 0);

    (void)answer;
    return rc < 0 ? dq_fail(err, rc, "the node cannot be drained") : 0;
}

static int stats(void *role, const role_words *q, role_words *answer, dureq_error *err)
{
    node_role *r = role;
    dureq_node_stats s;

    (void)q;
    (void)err;
    dureq_node_get_stats(r->node, &s);
    role_put(answer, "starts", (double)atomic_load(&r->starts));
    role_put(answer, "running", s.running);
    role_put(answer, "completed", (double)s.completed);
    role_put(answer, "failed", (double)s.failed);
    role_put(answer, "lost", (double)s.lost);
    role_put(answer, "sessions_lost", (double)atomic_load(&r->lost));
    return 0;
}

/* Until the node has completed (and Redis has recorded) so many jobs, or so many are running. */
static int wait_for(void *role, const role_words *q, role_words *answer, dureq_error *err)
{
    node_role *r = role;
    double completed = role_get(q, "completed", 0), running = role_get(q, "running", 0);
    int64_t limit = dq_mono_us() + (int64_t)(role_get(q, "limit_s", 50) * 1e6);
    dureq_node_stats s;

    for (;;) {
        dureq_node_get_stats(r->node, &s);
        if ((double)s.completed >= completed && s.running >= running)
            break;
        if (dq_mono_us() > limit)
            return dq_fail(err, DUREQ_ETIMEOUT, "%llu of %.0f jobs were completed in time, %d running",
                           (unsigned long long)s.completed, completed, s.running);
        role_sleep_until_us(dq_mono_us() + POLL_US);
    }
    role_put(answer, "at_us", (double)dq_mono_us());
    return stats(role, q, answer, err);
}

static const role_command commands[] = {{"drain", drain}, {"stats", stats}, {"wait", wait_for}, {NULL, NULL}};

/* ---- start ---- */

static void on_log(const dureq_log_record *record, void *userdata)
{
    node_role *r = userdata;

    if (strcmp(record->event, "session.lost") == 0)
        atomic_fetch_add(&r->lost, 1);
    if (getenv("BENCH_LOG"))
        fprintf(stderr, "node %d: %s %s\n", r->number, record->event, record->text);
}

static int add_handler(node_role *r, const char *mode, dureq_error *err)
{
    dureq_handler_options opts = dureq_handler_options_init();
    dureq_retry_policy policy = dureq_retry_policy_init();
    bool is_retry = strcmp(mode, "retry") == 0;

    policy.max_attempts = 10;
    policy.initial_delay_ms = -1;
    policy.jitter = -1;
    if (is_retry)
        opts.retry_policy = &policy;
    return dureq_node_handle(r->node, BENCH_TASK_TYPE,
                             is_retry                     ? run_retry
                             : strcmp(mode, "sleep") == 0 ? run_sleep
                                                          : run_noop,
                             r, &opts, err);
}

static int start(node_role *r, int argc, char **argv, dureq_error *err)
{
    dureq_node_options opts = dureq_node_options_init();
    const char *mode = role_option(argc, argv, "mode"), *board_path = role_option(argc, argv, "board");
    int rc = board_path ? board_open(board_path, &r->board, err) : 0;

    if (rc < 0)
        return rc;
    opts.redis_url = role_option(argc, argv, "url");
    opts.concurrency = (int32_t)role_option_i64(argc, argv, "concurrency", 0);
    opts.threads = (int32_t)role_option_i64(argc, argv, "threads", 0);
    opts.lease_ms = role_option_i64(argc, argv, "lease_ms", 0);
    opts.shutdown_timeout_ms = 1000;
    opts.log_fn = on_log;
    opts.log_userdata = r;
    r->number = (int32_t)role_option_i64(argc, argv, "number", 0);
    r->sleep_us = role_option_i64(argc, argv, "sleep_us", 0);
    rc = dureq_node_create(&opts, &r->node, err);
    if (rc == 0)
        rc = add_handler(r, mode ? mode : "noop", err);
    if (rc == 0)
        rc = dureq_node_start(r->node, err);
    if (rc == 0 && role_option_i64(argc, argv, "drained", 0))
        rc = drain(r, &(role_words){.n = 0}, NULL, err);
    return rc;
}

int role_node_main(int argc, char **argv)
{
    node_role r = {.number = 0};
    dureq_error err = {0};
    int rc = start(&r, argc, argv, &err);

    rc = rc < 0 ? role_fail_start(&err) : role_serve(commands, &r);
    if (r.node)
        dureq_node_stop_now(r.node);
    dureq_node_destroy(r.node);
    board_close(r.board);
    return rc;
}
