/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DUREQ_QUEUE_H
#define DUREQ_QUEUE_H

/* Queues (tiers): a queue is a name with a weight, defined in Redis once for all programs that use the prefix. A new prefix
   has three: high (weight 6, priorities 8 to 10), normal (3, 4 to 7) and low (1, 1 to 3). While several
   have work they share the starts by weight; within one, jobs start in the order in which they came, whatever their
   priority. A list owns all that it points to; it is plain memory, for one thread at a time. <dureq/client.h> has the
   calls.

   Example:

       static dureq_queue_options bulk_queue(void)
       {
           dureq_queue_options o = dureq_queue_options_init();

           o.weight = 1;
           o.max_len = 1000000;
           o.retention_ms = 3600000;
           return o;
       }

       static void print_queues(const dureq_queue_list *list)
       {
           for (size_t i = 0; i < list->n; i++) {
               const dureq_queue_info *q = &list->items[i];

               printf("%.*s: %lld wait\n", (int)q->name.len, q->name.ptr, (long long)q->pending);
           }
       }
*/

#include <dureq/job.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct dureq_queue_options {
    size_t struct_size;
    int32_t weight;                         /* share when all have work; 1 to 1000, 0 = 1 */
    int32_t priority_min, priority_max;     /* priorities 1 to 10 this queue takes; 0, 0 = those left over are shared out evenly,
                                           the heaviest queue gets the highest */
    int64_t max_len;                        /* jobs waiting in it; more are refused with DUREQ_ELIMIT. 0 = no limit */
    int64_t retention_ms;                   /* of its completed and cancelled jobs; 0 = 7 days, -1 = none. Rounded as a job's */
    const dureq_retry_policy *retry_policy; /* default for its jobs; NULL: none */
} dureq_queue_options;

static inline dureq_queue_options dureq_queue_options_init(void)
{
    dureq_queue_options o;
    memset(&o, 0, sizeof o);
    o.struct_size = sizeof o;
    return o;
}

/* Settings as in dureq_queue_options. */
typedef struct dureq_queue_info {
    dureq_str name;
    int32_t weight, priority_min, priority_max;
    int64_t max_len, retention_ms;
    bool paused; /* nothing more of it is started */
    int64_t pending, running;
    int64_t oldest_age_ms;                  /* of the longest waiting job; 0 when none waits */
    const dureq_retry_policy *retry_policy; /* NULL: none */
} dureq_queue_info;

typedef struct dureq_queue_list {
    dureq_queue_info *items; /* heaviest first */
    size_t n;
    void *owner; /* private */
} dureq_queue_list;

DUREQ_API void dureq_queue_list_destroy(dureq_queue_list *list); /* NULL is fine */

#ifdef __cplusplus
}
#endif
#endif
