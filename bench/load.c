/* SPDX-License-Identifier: Apache-2.0 */
#include "load.h"

#include <stdio.h>

int load_open(load_rig *l, const load_options *opts, dureq_error *err)
{
    rig_options of_rig = {.append_only = opts->append_only, .has_board = true, .board_jobs = opts->board_jobs};
    char sleep[48], concurrency[48], threads[48];
    int rc;

    *l = (load_rig){.lead = LOAD_LEAD};
    (void)snprintf(sleep, sizeof sleep, "--sleep_us=%lld", (long long)opts->handler_us);
    (void)snprintf(concurrency, sizeof concurrency, "--concurrency=%d", opts->concurrency);
    (void)snprintf(threads, sizeof threads, "--threads=%d", opts->threads);
    rc = rig_open(&l->rig, &of_rig, err);
    if (rc == 0)
        rc = rig_start(&l->rig, &l->node, "node", err, opts->handler_us ? "--mode=sleep" : "--mode=noop", sleep, concurrency,
                       threads, NULL);
    if (rc == 0)
        rc = rig_start(&l->rig, &l->producer, "producer", err, NULL);
    return rc;
}

void load_close(load_rig *l)
{
    role_deinit(&l->producer);
    role_deinit(&l->node);
    rig_close(&l->rig);
}

static int usage(load_rig *l, double *ret_node, double *ret_redis, dureq_error *err)
{
    role_words answer = {.n = 0};
    int rc = role_ask(&l->node, &answer, err, "usage");

    *ret_node = role_get(&answer, "cpu_us", 0);
    if (rc == 0)
        rc = rig_cpu_us(&l->rig, ret_redis, err);
    return rc;
}

int load_measure(load_rig *l, int64_t n, load_run *ret, dureq_error *err)
{
    role_words produced = {.n = 0}, completed = {.n = 0};
    double node[2] = {0}, redis[2] = {0};
    int64_t begun;
    int rc = usage(l, &node[0], &redis[0], err);

    if (rc < 0)
        return rc;
    l->completed += n;
    begun = dq_mono_us();
    rc = role_tell(&l->producer, err, "enqueue n=%lld batch=%d lead=%lld", (long long)n, LOAD_CALL, (long long)l->lead);
    if (rc == 0)
        rc = role_ask(&l->node, &completed, err, "wait limit_s=1500 completed=%lld", (long long)l->completed);
    if (rc == 0)
        rc = role_wait(&l->producer, &produced, err);
    if (rc == 0)
        rc = usage(l, &node[1], &redis[1], err);
    if (rc < 0)
        return rc;

    ret->per_s = (double)n * 1e6 / (role_get(&completed, "at_us", 0) - (double)begun);
    ret->node_us = (node[1] - node[0]) / (double)n;
    ret->client_us = role_get(&produced, "cpu_us", 0) / (double)n;
    ret->redis_us = (redis[1] - redis[0]) / (double)n;
    return 0;
}

int load_size(load_rig *l, double seconds, int64_t *ret_n, double *ret_per_s, dureq_error *err)
{
    load_run run = {0};
    int rc = load_measure(l, 2000, &run, err); /* loads the scripts */

    if (rc == 0)
        rc = load_measure(l, 20000, &run, err);
    *ret_per_s = run.per_s;
    *ret_n = DQ_MAX((int64_t)(run.per_s * seconds), 2000);
    return rc;
}
