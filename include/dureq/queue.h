/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DUREQ_QUEUE_H
#define DUREQ_QUEUE_H

/* Queues (tiers): a queue is a name with a weight. Defined once in Redis, for all programs that use the prefix. */

#include <dureq/job.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct dureq_queue_options {
    size_t struct_size;
    int32_t weight;           /* share when all have work; 1 to 1000, 0 = 1 */
    int32_t priority_min, priority_max; /* priorities 1 to 10 this queue takes; 0, 0 = shared out evenly, heaviest queue highest */
    int64_t max_len;          /* jobs waiting in it; more are refused with DUREQ_ELIMIT. 0 = no limit */
    int64_t retention_ms;     /* of its completed and cancelled jobs; 0 = 7 days, -1 = none */
    const dureq_retry_policy *retry_policy; /* default for its jobs; NULL: none */
} dureq_queue_options;

static inline dureq_queue_options dureq_queue_options_init(void)
{
    dureq_queue_options o;
    memset(&o, 0, sizeof o);
    o.struct_size = sizeof o;
    return o;
}

typedef struct dureq_queue_info {
    dureq_str name;
    int32_t weight, priority_min, priority_max;
    int64_t max_len, retention_ms;
    bool paused;
    int64_t pending, running;
    int64_t oldest_age_ms; /* of the longest waiting job; 0 when none waits */
    const dureq_retry_policy *retry_policy;
} dureq_queue_info;

typedef struct dureq_queue_list {
    dureq_queue_info *items; /* heaviest first */
    size_t n;
    void *owner;
} dureq_queue_list;

DUREQ_API void dureq_queue_list_destroy(dureq_queue_list *list);

#ifdef __cplusplus
}
#endif
#endif
