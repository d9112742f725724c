/* SPDX-License-Identifier: Apache-2.0 */
/* A node's store, client, leaders and worker: made, told of each other's news, and dropped. All of it but the making runs on the loop. */

#include "node/node_internal.h"

#define THE_LINK 0 /* the store speaks of its only one */

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
                                                  .next_timer_ms = b->next_timer_ms,
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

/* ---- made and dropped ---- */

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

    dq_node_make_info(n, &n->handlers, &info);
    rc = dq_buf_finish(&info, err);
    if (rc < 0)
        return rc;
    wo.info = info.ptr;
    return dq_worker_create(n->store, &n->handlers, &wo, &cb, &n->worker, err);
}

int dq_node_make_parts(dureq_node *n, dureq_error *err)
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

/* The store first: it answers what is in flight to the others. */
void dq_node_drop_parts(dureq_node *n)
{
    dq_store_destroy(n->store);
    n->store = NULL;
    drop_worker(n);
    dq_leaders_destroy(n->leaders);
    n->leaders = NULL;
    dureq_client_destroy(n->client);
    n->client = NULL;
}
