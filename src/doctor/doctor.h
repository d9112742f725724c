/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Checks the invariants of the data model over a whole prefix (docs/redis-keys.md), also while programs work on it: whatever could be a
   trace of something that moves is looked at again before it is reported. It only reads, unless asked to repair; and then does only what
   loses nothing. Bounded steps, each a script call of some milliseconds. Any caller's thread; blocks. */

#include <dureq/client.h>

#include "store/doctor_calls.h"

typedef struct dq_doctor_options {
    bool repair;
    size_t max_faults; /* kept in the report; more are only counted. 0 = 1000 */
    int64_t settle_ms; /* how long what must soon be settled between shards is waited for; 0 = 500 */
} dq_doctor_options;

typedef struct dq_doctor_fault {
    dq_fault_kind kind;
    char *key; /* printable: bytes that are not come as \xNN */
    char *id;  /* of the job as people write it, or "" */
    char *text;
    bool repairable, repaired;
} dq_doctor_fault;

typedef struct dq_doctor_report {
    dq_tally tally;
    dq_doctor_fault *faults; /* in the order they were found; the same fault of the same job once */
    size_t n_faults;         /* in `faults` */
    int64_t n_found;         /* also those beyond max_faults */
    int64_t n_unsettled;     /* sums that could not be checked because the rows kept changing */
    void *owner;
} dq_doctor_report;

/* 0 also when faults were found: see n_found. *ret is the caller's to deinit. */
int dq_doctor_run(dureq_client *client, const dq_doctor_options *o, dq_doctor_report *ret, dureq_error *err);
void dq_doctor_report_deinit(dq_doctor_report *r);
