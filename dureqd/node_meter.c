/* SPDX-License-Identifier: Apache-2.0 */
#include "node_meter.h"

#include "api/meter.h"
#include "base/mutex.h"

/* Those of Prometheus' clients, from 5 ms to 10 s, and further for long jobs. */
static const double bounds[] = {0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 3600};
#define BOUNDS DQ_ARRAY_LEN(bounds)

enum { COMPLETED, FAILED, DEAD, PAUSED, CANCELLED, OUTCOMES };
static const char *const outcome_words[OUTCOMES] = {"completed", "failed", "dead", "paused", "cancelled"};

typedef struct tally {
    uint64_t outcomes[OUTCOMES], ran[BOUNDS + 1];
    double ran_s;
} tally;

struct dq_node_meter {
    dq_mutex mu; /* guards the rest */
    dureq_node *node;
    dq_label_sets sets;
    tally tallies[DQ_METER_SETS + 1];
};

dq_node_meter *dq_node_meter_create(void)
{
    dq_node_meter *m = dq_calloc(1, sizeof *m);

    if (!m || dq_label_sets_init(&m->sets) < 0) {
        dq_free(m);
        return NULL;
    }
    dq_mutex_init(&m->mu);
    return m;
}

void dq_node_meter_destroy(dq_node_meter *m)
{
    if (!m)
        return;
    dq_label_sets_deinit(&m->sets);
    dq_mutex_deinit(&m->mu);
    dq_free(m);
}

static int outcome_of(dureq_node_event_kind kind)
{
    switch (kind) {
    case DUREQ_NODE_JOB_COMPLETED: return COMPLETED;
    case DUREQ_NODE_JOB_FAILED: return FAILED;
    case DUREQ_NODE_JOB_DEAD: return DEAD;
    case DUREQ_NODE_JOB_PAUSED: return PAUSED;
    case DUREQ_NODE_JOB_CANCELLED: return CANCELLED;
    case DUREQ_NODE_JOB_STARTED:
    case DUREQ_NODE_JOB_RESUMED: break;
    }
    return -1;
}

void dq_node_meter_event(dq_node_meter *m, const dureq_node_event *event)
{
    int outcome = outcome_of(event->kind);
    double ran_s = (double)event->ran_ms / 1000;
    size_t bucket = 0;
    tally *t;

    if (outcome < 0)
        return;
    while (bucket < BOUNDS && ran_s > bounds[bucket])
        bucket++;
    dq_mutex_lock(&m->mu);
    t = &m->tallies[dq_label_sets_find(&m->sets, dureq_str_from(event->queue), dureq_str_from(event->task_type))];
    t->outcomes[outcome]++;
    t->ran[bucket]++;
    t->ran_s += ran_s;
    dq_mutex_unlock(&m->mu);
}

void dq_node_meter_watch(dq_node_meter *m, dureq_node *node)
{
    dq_mutex_lock(&m->mu);
    m->node = node;
    dq_mutex_unlock(&m->mu);
}

/* ---- the text ---- */

static void put_gauge(dq_exposition *x, const char *name, const char *help, double value)
{
    dq_exposition_begin(x, DQ_GAUGE, name, help);
    dq_exposition_put(x, NULL, value);
}

static void put_counter(dq_exposition *x, const char *name, const char *help, uint64_t value)
{
    dq_exposition_begin(x, DQ_COUNTER, name, help);
    dq_exposition_put_u64(x, NULL, value);
}

static void put_node(dq_exposition *x, dureq_node *node)
{
    dureq_node_stats s;

    dureq_node_get_stats(node, &s);
    put_gauge(x, "dureq_node_concurrency", "Jobs that this node runs at most at a time.", s.concurrency);
    put_gauge(x, "dureq_node_running_jobs", "Jobs that it runs.", s.running);
    put_gauge(x, "dureq_node_stuck_handlers", "Handlers that were given up and still hold their thread.", s.stuck);
    put_gauge(x, "dureq_node_connected", "1 while the node is connected to Redis.", s.connected);
    put_gauge(x, "dureq_node_draining", "1 while it takes no more jobs.", s.draining);
    put_gauge(x, "dureq_node_unrecorded_runs", "Runs that ended here and are not known to be recorded yet.", (double)s.unsent);
    put_counter(x, "dureq_node_runs_started", "Runs that began.", s.started);
    put_counter(x, "dureq_node_jobs_returned", "Jobs that were given back before their end.", s.returned);
    put_counter(x, "dureq_node_jobs_lost", "Jobs that went elsewhere because the lease was over.", s.lost);
}

static void put_outcomes(dq_exposition *x, const dq_node_meter *m)
{
    dq_exposition_begin(x, DQ_COUNTER, "dureq_job_outcomes", "Runs of this node by how they ended: failed ones are tried again.");
    for (size_t i = 0; i < m->sets.n; i++)
        for (size_t k = 0; k < OUTCOMES; k++) {
            DQ_BUF_AUTO labels = {0};

            dq_buf_append_buf(&labels, &m->sets.sets[i].labels);
            dq_label_put(&labels, "outcome", dureq_str_from(outcome_words[k]));
            dq_exposition_put_u64(x, &labels, m->tallies[i].outcomes[k]);
        }
}

static void put_times(dq_exposition *x, const dq_node_meter *m)
{
    dq_exposition_begin(x, DQ_HISTOGRAM, "dureq_job_run_seconds", "How long runs of this node took.");
    for (size_t i = 0; i < m->sets.n; i++) {
        const tally *t = &m->tallies[i];

        dq_exposition_put_histogram(x, &m->sets.sets[i].labels,
                                    &(dq_exposed_histogram){.bounds = bounds, .counts = t->ran, .n = BOUNDS, .sum = t->ran_s});
    }
}

void dq_node_meter_write(dq_exposition *x, void *node_meter)
{
    dq_node_meter *m = node_meter;

    dq_mutex_lock(&m->mu);
    if (m->node)
        put_node(x, m->node);
    put_outcomes(x, m);
    put_times(x, m);
    dq_mutex_unlock(&m->mu);
}

int64_t dq_node_meter_unsent(void *node_meter)
{
    dq_node_meter *m = node_meter;
    dureq_node_stats s = {0};

    dq_mutex_lock(&m->mu);
    if (m->node)
        dureq_node_get_stats(m->node, &s);
    dq_mutex_unlock(&m->mu);
    return (int64_t)s.unsent;
}
