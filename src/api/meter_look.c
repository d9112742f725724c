/* SPDX-License-Identifier: Apache-2.0 */
/* What metrics need of Redis: a few commands for what there is now, and the minutes since the last look for what happened. A minute is read until it is
   over, and what it has more than at the last look is added. Who looks less than once an hour misses what was before. */
#include "api/meter_internal.h"
#include "base/clock.h"

#define MINUTES_BACK 60
#define FIELDS_MAX   200000  /* of a minute and shard */
#define FRESH_US     1000000 /* who asks sooner gets the counters of the last look */

void dq_meter_counters_destroy(dq_meter_counters *c)
{
    if (!c)
        return;
    dq_label_sets_deinit(&c->sets);
    for (unsigned s = 0; c->set_of && s < c->n_shards; s++)
        dq_free(c->set_of[s]);
    dq_free(c->set_of);
    dq_free(c->known);
    dq_free(c->lanes_cap);
    dq_free(c);
}

static int counters_create(dureq_client *client, dq_meter_counters **ret, dureq_error *err)
{
    dq_meter_counters *c = dq_calloc(1, sizeof *c);

    if (!c)
        return dq_fail_nomem(err);
    c->n_shards = dq_client_shards(client);
    c->known = dq_calloc(c->n_shards, sizeof *c->known);
    c->lanes_cap = dq_calloc(c->n_shards, sizeof *c->lanes_cap);
    c->set_of = dq_calloc(c->n_shards, sizeof *c->set_of);
    if (!c->known || !c->lanes_cap || !c->set_of || dq_label_sets_init(&c->sets) < 0) {
        dq_meter_counters_destroy(c);
        return dq_fail_nomem(err);
    }
    *ret = c;
    return 0;
}

/* ---- what happened ---- */

static void take_lane(void *userdata, unsigned shard, uint32_t lane, dureq_str queue, dureq_str type)
{
    dq_meter_counters *c = userdata;

    if (lane >= c->lanes_cap[shard]) {
        uint32_t cap = DQ_MAX(2 * c->lanes_cap[shard], DQ_MAX(lane + 1, 64));
        uint16_t *grown = dq_realloc(c->set_of[shard], cap * sizeof *grown);

        if (!grown) {
            c->failed = true;
            return;
        }
        memset(grown + c->lanes_cap[shard], 0, (cap - c->lanes_cap[shard]) * sizeof *grown);
        c->set_of[shard] = grown;
        c->lanes_cap[shard] = cap;
    }
    c->set_of[shard][lane] = (uint16_t)dq_label_sets_find(&c->sets, queue, type);
}

static void take_count(void *userdata, unsigned shard, uint32_t lane, char kind, int bucket, int64_t n)
{
    static const char plain[] = "ecfdx";
    dq_meter_counters *c = userdata;
    size_t set = lane < c->lanes_cap[shard] ? c->set_of[shard][lane] : 0;
    dq_meter_counts *to = &c->scratch.sets[set];
    const char *at = strchr(plain, kind);

    if (bucket < 0 && at && kind)
        to->plain[at - plain] += n;
    else if (bucket >= 0 && bucket < DQ_SERIES_BUCKETS && kind == 'w')
        to->waited[bucket] += n;
    else if (bucket >= 0 && bucket < DQ_SERIES_BUCKETS && kind == 'r')
        to->ran[bucket] += n;
}

static void add_growth(int64_t *total, const int64_t *now, int64_t *before, size_t n, bool counts)
{
    for (size_t i = 0; i < n; i++) {
        if (counts && now[i] > before[i])
            total[i] += now[i] - before[i];
        before[i] = DQ_MAX(before[i], now[i]);
    }
}

/* The first look is where counting begins. */
static void take_minute(dq_meter_counters *c, int64_t no)
{
    dq_meter_minute *before = &c->minutes[no % DQ_METER_MINUTES];

    if (before->no != no)
        *before = (dq_meter_minute){.no = no};
    for (size_t i = 0; i < c->sets.n; i++) {
        const dq_meter_counts *now = &c->scratch.sets[i];
        dq_meter_counts *was = &before->sets[i];

        add_growth(c->total[i].plain, now->plain, was->plain, DQ_METER_PLAIN, c->looked > 0);
        add_growth(c->total[i].waited, now->waited, was->waited, DQ_SERIES_BUCKETS, c->looked > 0);
        add_growth(c->total[i].ran, now->ran, was->ran, DQ_SERIES_BUCKETS, c->looked > 0);
    }
}

/* Also the minute that comes: the server's clock may be ahead of ours. */
static int look_at_minutes(dq_meter_counters *c, dureq_client *client, dureq_error *err)
{
    int64_t now = dq_wall_ms() / 60000, from = c->looked ? DQ_MAX(c->looked - 1, now - MINUTES_BACK) : now - 1;
    bool is_cut = false;
    int rc = 0;

    for (int64_t no = from; rc == 0 && no <= now + 1; no++) {
        bool cut = false;

        c->scratch = (dq_meter_minute){.no = no};
        rc = dq_client_minute(client, no, FIELDS_MAX, take_count, c, &cut, err);
        is_cut = is_cut || cut;
        if (rc == 0)
            take_minute(c, no);
    }
    if (rc < 0)
        return rc;
    c->looked = DQ_MAX(now, c->looked);
    c->is_cut = is_cut;
    return 0;
}

static int look_at_counters(dq_api_meter *m, dureq_client *client, dureq_error *err)
{
    int rc = m->counters ? 0 : counters_create(client, &m->counters, err);

    if (rc < 0)
        return rc;
    if (m->counters->looked && dq_mono_us() - m->counters->looked_us < FRESH_US)
        return 0;
    rc = dq_client_new_lanes(client, m->counters->known, take_lane, m->counters, err);
    if (rc == 0 && m->counters->failed)
        rc = dq_fail_nomem(err);
    if (rc == 0)
        rc = look_at_minutes(m->counters, client, err);
    m->counters->looked_us = dq_mono_us();
    return rc;
}

/* ---- queues ---- */

static void take_queue(void *userdata, dureq_str name, bool paused)
{
    dq_api_meter *m = userdata;
    size_t i = 0;

    m->n_queues_read++;
    while (i < m->n_queues && !dq_str_eq_text(name, m->queues[i].name))
        i++;
    if (i == DQ_METER_QUEUES) {
        m->has_more_queues = true;
        return;
    }
    if (i == m->n_queues) {
        char *copy = dq_memdup(name.ptr, name.len);

        if (!copy)
            return; /* there may be memory at the next look */
        m->queues[m->n_queues++] = (dq_meter_queue){.name = copy};
    }
    m->queues[i].is_paused = paused;
    m->queues[i].is_seen = true;
}

/* All there are were seen: what was not is no more. Then there may be room for those that had none. */
static void drop_unseen(dq_api_meter *m)
{
    size_t n = 0;

    for (size_t i = 0; i < m->n_queues; i++) {
        if (m->queues[i].is_seen)
            m->queues[n++] = m->queues[i];
        else
            dq_free(m->queues[i].name);
    }
    m->n_queues = n;
}

static int read_queues(dq_api_meter *m, dureq_client *client, dureq_error *err)
{
    m->has_more_queues = false;
    m->n_queues_read = 0;
    for (size_t i = 0; i < m->n_queues; i++)
        m->queues[i].is_seen = false;
    return dq_client_some_queues(client, DQ_METER_QUEUES + 1, take_queue, m, err);
}

static int look_at_queues(dq_api_meter *m, dureq_client *client, dureq_error *err)
{
    dureq_str names[DQ_METER_QUEUES];
    dq_queue_stats depths[DQ_METER_QUEUES];
    int rc = read_queues(m, client, err);

    if (rc == 0 && m->n_queues_read <= DQ_METER_QUEUES) {
        drop_unseen(m);
        if (m->has_more_queues)
            rc = read_queues(m, client, err);
    }
    for (size_t i = 0; i < m->n_queues; i++)
        names[i] = dureq_str_from(m->queues[i].name);
    if (rc == 0)
        rc = dq_client_queue_depths(client, names, m->n_queues, depths, &m->now_ms, err);
    for (size_t i = 0; rc == 0 && i < m->n_queues; i++)
        m->queues[i].depth = depths[i];
    return rc;
}

int dq_meter_look(dq_api_meter *m, dureq_client *client, dureq_error *err)
{
    int rc = dq_client_check_up(client, err);

    if (rc == 0)
        rc = dureq_client_count(client, &m->counts, err);
    if (rc == 0)
        rc = look_at_queues(m, client, err);
    return rc < 0 ? rc : look_at_counters(m, client, err);
}
