/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Schedules that the settings declare, put into Redis as they are said there. On a thread of its own: it waits for the server. */

#include <dureq/client.h>

#include "base/log.h"
#include "config.h"
#include "schedule_list.h"

#include <stdatomic.h>

typedef struct dq_declaring {
    dureq_client *client;
    const atomic_bool *is_over; /* nothing more is to be begun */
    const dq_log *log;
} dq_declaring;

/* All of them, up to the first that is refused. One that is refused because a node of an older version is alive is logged only, since the daemon can run
   without it: then this returns 1. */
int dq_schedules_declare(const dq_declaring *d, const dq_config *cfg, dureq_error *err);
/* Those of `next` that `now` (NULL: nothing) does not have like this. What is refused is logged, and the others go on; what only `now` has stays in
   Redis, which is logged. */
typedef struct dq_declared {
    int n, n_refused;
} dq_declared;
dq_declared dq_schedules_declare_again(const dq_declaring *d, const dq_config *now, const dq_config *next);
/* Whether there is anything to do for that. */
bool dq_schedules_differ(const dq_config *now, const dq_config *next);
