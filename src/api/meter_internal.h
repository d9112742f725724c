/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Between meter.c (the text) and meter_look.c (what is read of Redis). */

#include "api/meter.h"
#include "base/mutex.h"
#include "client/meter.h"
#include "client/series.h"

#define DQ_METER_PLAIN   5 /* enqueued, completed, failed, dead, cancelled */
#define DQ_METER_MINUTES 4
#define DQ_METER_MORE    4

typedef struct dq_meter_counts {
    int64_t plain[DQ_METER_PLAIN], waited[DQ_SERIES_BUCKETS], ran[DQ_SERIES_BUCKETS];
} dq_meter_counts;

typedef struct dq_meter_minute {
    int64_t no; /* from 1970; 0: none */
    dq_meter_counts sets[DQ_METER_SETS + 1];
} dq_meter_minute;

/* What is counted by minute, as far as it was seen: made at the first look. */
typedef struct dq_meter_counters {
    dq_label_sets sets;
    unsigned n_shards;
    uint32_t *known;     /* of each shard, how many of its lanes have their set */
    uint16_t **set_of;   /* of each shard: by lane */
    uint32_t *lanes_cap; /* of set_of */
    dq_meter_minute minutes[DQ_METER_MINUTES], scratch;
    dq_meter_counts total[DQ_METER_SETS + 1];
    int64_t looked; /* the minute of the last look; 0: never */
    int64_t looked_us;
    bool is_cut; /* there was more than the last look read */
    bool failed; /* no memory for a lane */
} dq_meter_counters;

typedef struct dq_meter_queue {
    char *name;
    bool is_paused, is_seen;
    dq_queue_stats depth;
} dq_meter_queue;

struct dq_api_meter {
    struct {
        dq_meter_fn fn;
        void *userdata;
    } more[DQ_METER_MORE];
    size_t n_more;
    dq_meter_unsent_fn unsent; /* NULL: no node */
    void *unsent_userdata;

    dq_mutex mu; /* one looks, others wait for it; guards the rest */
    dq_meter_counters *counters;
    dq_meter_queue queues[DQ_METER_QUEUES];
    size_t n_queues, n_queues_read;
    bool has_more_queues; /* than have a row */
    int64_t now_ms;       /* the server's */
    dureq_counts counts;
};

/* All that the text needs of Redis; the caller holds the lock. */
int dq_meter_look(dq_api_meter *m, dureq_client *client, dureq_error *err);
void dq_meter_counters_destroy(dq_meter_counters *c);
