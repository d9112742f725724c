/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Queue definitions: their JSON form in <prefix>:config:queues, the mapping from priority to queue. Pure. */

#include <dureq/queue.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/map.h"

typedef struct dq_queue {
    dureq_str name;
    int32_t weight, priority_min, priority_max; /* 0, 0: shared out evenly */
    int64_t max_len, retention_ms;              /* retention 0 = default, -1 = none */
    bool paused;
    dureq_retry_policy *retry_policy; /* NULL: none */
} dq_queue;

typedef struct dq_queue_set {
    dq_arena arena;  /* owns the queues and their texts */
    dq_queue *items; /* heaviest first, then by name */
    size_t n, cap;
    dq_map by_name;                  /* of all, or of less when memory was short: then they are looked through */
    const dq_queue *by_priority[11]; /* 1..10 */
} dq_queue_set;

int dq_queue_options_check(const char *name, const dureq_queue_options *o, dureq_error *err);
void dq_queue_to_json(const dq_queue *q, dq_buf *out);
int dq_queue_from_json(dureq_str name, dureq_str json, dq_arena *a, dq_queue *ret, dureq_error *err);
bool dq_queue_same(const dq_queue *a, const dq_queue *b); /* except for paused */
/* Sorts, and works out by_priority: named ranges first, the rest evenly, heaviest queue highest. items filled by the caller. */
void dq_queue_set_index(dq_queue_set *s);
/* One definition that is new or another one than before: 1; the same as before: 0; negative. What was found before is not valid any more. */
int dq_queue_set_put(dq_queue_set *s, dureq_str name, dureq_str json, dureq_error *err);
const dq_queue *dq_queue_set_find(const dq_queue_set *s, dureq_str name);
void dq_queue_set_deinit(dq_queue_set *s);
/* The three that a new prefix gets: high (6; 8-10), normal (3; 4-7), low (1; 1-3). */
extern const dureq_queue_options dq_queue_defaults[3];
extern const char *const dq_queue_default_names[3];
