/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What a server keeps for /metrics: counters of the whole deployment, as far as it has seen them since it began to look, and where else values come
   from. Redis counts by minute; each look adds what the minutes have more than at the last one, so that counters only grow.

   However many queues and task types there are, values have at most DQ_METER_SETS pairs of them as labels, the first ones seen; all
   others are counted under the labels `other`. */

#include "api/api.h"
#include "api/exposition.h"
#include "base/map.h"

#define DQ_METER_SETS   200
#define DQ_METER_QUEUES 200

typedef void (*dq_meter_fn)(dq_exposition *x, void *userdata); /* any thread */

dq_api_meter *dq_api_meter_create(void); /* NULL: no memory */
void dq_api_meter_destroy(dq_api_meter *m);
/* Before anybody asks: values of the process beside the meter's own. At most four. */
void dq_api_meter_add(dq_api_meter *m, dq_meter_fn fn, void *userdata);

/* How many completions a node of this process holds that are not known to be recorded. Before anybody asks. */
typedef int64_t (*dq_meter_unsent_fn)(void *userdata);
void dq_api_meter_set_unsent(dq_api_meter *m, dq_meter_unsent_fn fn, void *userdata);
int64_t dq_api_meter_unsent(const dq_api_meter *m); /* 0 without a node */

/* The whole answer. Redis away is said in it, and is no error. */
int dq_api_meter_write(dq_api_meter *m, dureq_client *client, dq_exposition *x, dureq_error *err);

/* The pairs of queue and task type that have labels of their own, in the order in which they were seen. Not thread-safe. */
typedef struct dq_label_set {
    char *key; /* queue, NUL, type */
    size_t key_len;
    dq_buf labels; /* queue="...",task_type="..." */
} dq_label_set;
typedef struct dq_label_sets {
    dq_map *by_key;
    dq_label_set sets[DQ_METER_SETS + 1]; /* [0] is of all others */
    size_t n;                             /* of those made, the first included */
} dq_label_sets;
int dq_label_sets_init(dq_label_sets *s); /* DUREQ_ENOMEM */
void dq_label_sets_deinit(dq_label_sets *s);
size_t dq_label_sets_find(dq_label_sets *s, dureq_str queue, dureq_str type); /* 0: it has none of its own */
