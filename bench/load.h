/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A producer and a node that work at the same time: the throughput rows, and every row that wants a loaded system. */

#include "rig.h"

#define LOAD_CALL 1024  /* jobs a call of enqueue_many; the client makes round trips of it */
#define LOAD_LEAD 10000 /* the producer stays at most so far ahead: the node never runs dry, no backlog builds up */

typedef struct load_rig {
    rig rig;
    role_proc producer, node;
    int64_t completed; /* by the node so far */
    int64_t lead;
} load_rig;

typedef struct load_run {
    double per_s;
    double node_us, client_us, redis_us; /* processor time a job */
} load_run;

typedef struct load_options {
    bool append_only;   /* every second */
    int64_t board_jobs; /* places for times */
    int64_t handler_us; /* the handler sleeps so long; 0: it does nothing */
    int concurrency;    /* of the node; 0: its default */
    int threads;        /* likewise */
} load_options;

/* Options of the engine are its defaults. */
int load_open(load_rig *l, const load_options *opts, dureq_error *err);
void load_close(load_rig *l);
#define LOAD_AUTO DQ_CLEANUP(load_close) load_rig
/* n jobs end to end: from the first call to the last recorded completion. */
int load_measure(load_rig *l, int64_t n, load_run *ret, dureq_error *err);
/* How many jobs take about so many seconds, from a short run that also warms everything. */
int load_size(load_rig *l, double seconds, int64_t *ret_n, double *ret_per_s, dureq_error *err);
