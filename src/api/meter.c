/* SPDX-License-Identifier: Apache-2.0 */
/* The text of /metrics. Names, types and labels are in docs/metrics.md; a test compares. */
#include "api/meter_internal.h"

#include <dureq/dureq.h>

#include <dirent.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

/* ---- the process ---- */

static void put_gauge(dq_exposition *x, const char *name, const char *help, double value)
{
    dq_exposition_begin(x, DQ_GAUGE, name, help);
    dq_exposition_put(x, NULL, value);
}

static void put_build(dq_exposition *x)
{
    DQ_BUF_AUTO labels = {0};

    dq_label_put(&labels, "version", dureq_str_from(dureq_version()));
    dq_exposition_begin(x, DQ_GAUGE, "dureq_build_info", "The version of this process, as a label; always 1.");
    dq_exposition_put(x, &labels, 1);
}

static double open_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    double n = -3; /* the two that every directory has, and the one it is read by */

    if (!dir)
        return 0;
    while (readdir(dir))
        n++;
    (void)closedir(dir);
    return n;
}

typedef struct process_stat {
    double started_s; /* since boot */
    double virtual_bytes, resident_bytes;
} process_stat;

/* What comes after the name of the program, which may have anything in it. */
static bool read_stat(process_stat *ret)
{
    char text[2048];
    FILE *f = fopen("/proc/self/stat", "re");
    size_t n = f ? fread(text, 1, sizeof text - 1, f) : 0;
    unsigned long long started, size;
    long long pages;
    const char *end;

    if (f)
        (void)fclose(f);
    text[n] = '\0';
    end = strrchr(text, ')');
    if (!end || sscanf(end + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu %llu %lld",
                       &started, &size, &pages) != 3)
        return false;
    *ret = (process_stat){(double)started / (double)sysconf(_SC_CLK_TCK), (double)size,
                          (double)pages * (double)sysconf(_SC_PAGESIZE)};
    return true;
}

static double booted_s(void)
{
    char line[256];
    FILE *f = fopen("/proc/stat", "re");
    unsigned long long s = 0;

    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "btime %llu", &s) == 1)
            break;
    if (f)
        (void)fclose(f);
    return (double)s;
}

static void put_process(dq_exposition *x)
{
    struct rusage used = {0};
    struct rlimit fds = {0};
    process_stat stat;

    (void)getrusage(RUSAGE_SELF, &used);
    (void)getrlimit(RLIMIT_NOFILE, &fds);
    dq_exposition_begin(x, DQ_COUNTER, "process_cpu_seconds", "Processor time that this process used.");
    dq_exposition_put(x, NULL,
                      (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
                          (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6);
    put_gauge(x, "process_open_fds", "Descriptors that this process has open.", open_fds());
    put_gauge(x, "process_max_fds", "Descriptors that it may have open.", (double)fds.rlim_cur);
    if (!read_stat(&stat))
        return;
    put_gauge(x, "process_virtual_memory_bytes", "Its address space.", stat.virtual_bytes);
    put_gauge(x, "process_resident_memory_bytes", "Its memory.", stat.resident_bytes);
    put_gauge(x, "process_start_time_seconds", "When it was started, as Unix time.", booted_s() + stat.started_s);
}

/* ---- the deployment: what there is ---- */

static void put_state(dq_exposition *x, const char *state, int64_t n)
{
    DQ_BUF_AUTO labels = {0};

    dq_label_put(&labels, "state", dureq_str_from(state));
    dq_exposition_put(x, &labels, (double)n);
}

static void put_counts(dq_exposition *x, const dureq_counts *n)
{
    dq_exposition_begin(x, DQ_GAUGE, "dureq_cluster_jobs", "Jobs that are stored, by state.");
    put_state(x, "pending", n->pending);
    put_state(x, "scheduled", n->scheduled);
    put_state(x, "running", n->running);
    put_state(x, "retrying", n->retrying);
    put_state(x, "paused", n->paused);
    put_state(x, "completed", n->completed);
    put_state(x, "dead", n->dead);
    put_state(x, "cancelled", n->cancelled);
    put_gauge(x, "dureq_cluster_nodes", "Nodes that are alive.", (double)n->nodes);
    put_gauge(x, "dureq_cluster_history_bytes", "Rows of ended jobs and what they keep beside them.", (double)n->history_bytes);
}

static void put_queue_jobs(dq_exposition *x, const char *queue, const char *state, int64_t n)
{
    DQ_BUF_AUTO labels = {0};

    dq_label_put(&labels, "queue", dureq_str_from(queue));
    dq_label_put(&labels, "state", dureq_str_from(state));
    dq_exposition_put(x, &labels, (double)n);
}

/* Of the queues that have no row: what is left of the whole. */
static void put_other_queues(dq_exposition *x, const dq_api_meter *m)
{
    int64_t pending = m->counts.pending, running = m->counts.running;

    for (size_t i = 0; i < m->n_queues; i++) {
        pending -= m->queues[i].depth.pending;
        running -= m->queues[i].depth.running;
    }
    put_queue_jobs(x, "other", "pending", DQ_MAX(pending, 0));
    put_queue_jobs(x, "other", "running", DQ_MAX(running, 0));
}

static void put_queue_gauge(dq_exposition *x, const char *queue, double value)
{
    DQ_BUF_AUTO labels = {0};

    dq_label_put(&labels, "queue", dureq_str_from(queue));
    dq_exposition_put(x, &labels, value);
}

static void put_queues(dq_exposition *x, const dq_api_meter *m)
{
    dq_exposition_begin(x, DQ_GAUGE, "dureq_cluster_queue_jobs", "Jobs of a queue that wait to run (pending) or run (running).");
    for (size_t i = 0; i < m->n_queues; i++) {
        put_queue_jobs(x, m->queues[i].name, "pending", m->queues[i].depth.pending);
        put_queue_jobs(x, m->queues[i].name, "running", m->queues[i].depth.running);
    }
    if (m->has_more_queues)
        put_other_queues(x, m);
    dq_exposition_begin(x, DQ_GAUGE, "dureq_cluster_queue_oldest_age_seconds",
                        "How long the job has been waiting that waits longest; 0 when none does.");
    for (size_t i = 0; i < m->n_queues; i++) {
        int64_t since_ms = m->queues[i].depth.oldest_ms;

        put_queue_gauge(x, m->queues[i].name, since_ms < 0 ? 0 : (double)DQ_MAX(m->now_ms - since_ms, 0) / 1000);
    }
    dq_exposition_begin(x, DQ_GAUGE, "dureq_cluster_queue_paused", "1 while a queue is paused.");
    for (size_t i = 0; i < m->n_queues; i++)
        if (m->queues[i].is_seen)
            put_queue_gauge(x, m->queues[i].name, m->queues[i].is_paused);
}

/* ---- the deployment: what happened ---- */

static void put_outcomes(dq_exposition *x, const dq_meter_counters *c)
{
    static const char *const outcomes[DQ_METER_PLAIN] = {NULL, "completed", "failed", "dead", "cancelled"};

    dq_exposition_begin(x, DQ_COUNTER, "dureq_cluster_jobs_enqueued", "Jobs that were accepted, since this daemon first looked.");
    for (size_t i = 0; i < c->sets.n; i++)
        dq_exposition_put_u64(x, &c->sets.sets[i].labels, (uint64_t)c->total[i].plain[0]);
    dq_exposition_begin(x, DQ_COUNTER, "dureq_cluster_job_outcomes",
                        "Jobs that ended (completed, dead, cancelled) and attempts that failed, since this daemon first looked.");
    for (size_t i = 0; i < c->sets.n; i++)
        for (size_t k = 1; k < DQ_METER_PLAIN; k++) {
            DQ_BUF_AUTO labels = {0};

            dq_buf_append_buf(&labels, &c->sets.sets[i].labels);
            dq_label_put(&labels, "outcome", dureq_str_from(outcomes[k]));
            dq_exposition_put_u64(x, &labels, (uint64_t)c->total[i].plain[k]);
        }
}

#define FIRST_BOUND 2 /* 4 ms: buckets below it are one */
#define BOUNDS      (DQ_SERIES_BUCKETS - 1 - FIRST_BOUND)

/* Redis has counts in buckets of powers of two, and no sum: it is estimated from the middles of the buckets. */
static void put_times(dq_exposition *x, const dq_buf *labels, const int64_t counts[DQ_SERIES_BUCKETS])
{
    double bounds[BOUNDS], sum = 0;
    uint64_t sized[BOUNDS + 1] = {0};

    for (int i = 0; i < DQ_SERIES_BUCKETS; i++) {
        int at = DQ_MAX(i - FIRST_BOUND, 0);

        sized[at] += (uint64_t)counts[i];
        if (at < BOUNDS)
            bounds[at] = (double)(INT64_C(1) << (at + FIRST_BOUND)) / 1000;
        sum += (double)counts[i] * (double)(INT64_C(1) << i) * (i ? 0.75 : 0.5) / 1000;
    }
    dq_exposition_put_histogram(x, labels, &(dq_exposed_histogram){.bounds = bounds, .counts = sized, .n = BOUNDS, .sum = sum});
}

static void put_counters(dq_exposition *x, const dq_meter_counters *c)
{
    put_outcomes(x, c);
    dq_exposition_begin(x, DQ_HISTOGRAM, "dureq_cluster_job_wait_seconds",
                        "How long jobs waited before they ran, since this daemon first looked; the sum is an estimate.");
    for (size_t i = 0; i < c->sets.n; i++)
        put_times(x, &c->sets.sets[i].labels, c->total[i].waited);
    dq_exposition_begin(x, DQ_HISTOGRAM, "dureq_cluster_job_run_seconds",
                        "How long runs took, since this daemon first looked; the sum is an estimate.");
    for (size_t i = 0; i < c->sets.n; i++)
        put_times(x, &c->sets.sets[i].labels, c->total[i].ran);
    put_gauge(x, "dureq_cluster_counters_cut", "1 when a minute held more than was read: counters lag.", c->is_cut);
}

/* ---- the whole ---- */

static void write_cluster(dq_api_meter *m, dureq_client *client, dq_exposition *x)
{
    int rc;

    dq_mutex_lock(&m->mu);
    rc = dq_meter_look(m, client, NULL);
    put_gauge(x, "dureq_redis_up", "1 when Redis answered all that this scrape asked.", rc == 0);
    if (rc == 0) {
        put_counts(x, &m->counts);
        put_queues(x, m);
        put_counters(x, m->counters);
    }
    dq_mutex_unlock(&m->mu);
}

int dq_api_meter_write(dq_api_meter *m, dureq_client *client, dq_exposition *x, dureq_error *err)
{
    put_build(x);
    put_process(x);
    for (size_t i = 0; i < m->n_more; i++)
        m->more[i].fn(x, m->more[i].userdata);
    write_cluster(m, client, x);
    dq_exposition_end(x);
    return dq_buf_finish(x->out, err);
}

dq_api_meter *dq_api_meter_create(void)
{
    dq_api_meter *m = dq_calloc(1, sizeof *m);

    if (m)
        dq_mutex_init(&m->mu);
    return m;
}

void dq_api_meter_destroy(dq_api_meter *m)
{
    if (!m)
        return;
    dq_meter_counters_destroy(m->counters);
    for (size_t i = 0; i < m->n_queues; i++)
        dq_free(m->queues[i].name);
    dq_mutex_deinit(&m->mu);
    dq_free(m);
}

void dq_api_meter_add(dq_api_meter *m, dq_meter_fn fn, void *userdata)
{
    m->more[m->n_more].fn = fn;
    m->more[m->n_more++].userdata = userdata;
}

void dq_api_meter_set_unsent(dq_api_meter *m, dq_meter_unsent_fn fn, void *userdata)
{
    m->unsent = fn;
    m->unsent_userdata = userdata;
}

int64_t dq_api_meter_unsent(const dq_api_meter *m)
{
    return m->unsent ? m->unsent(m->unsent_userdata) : 0;
}
