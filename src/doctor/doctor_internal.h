/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the two files of the doctor share: doctor.c walks keys, lanes and sets, doctor_history.c the history. */

#include "client/absent.h"
#include "client/call.h"
#include "doctor/doctor.h"

typedef struct dq_doctor {
    dureq_client *client;
    const dq_keys *keys;
    dq_doctor_options options;
    dq_doctor_report *report;
    bool absent;     /* there is no prefix: it cannot lack what one has; whatever has its name is looked at */
    dq_arena arena;  /* of the report; becomes its owner */
    dq_map seen;     /* kind, key, id of the faults reported */
    size_t cap;      /* of report->faults */
    dq_buf unlisted; /* buckets of the shard under examination that lack a part, each an lstr */
} dq_doctor;

static inline dq_doctor_at dq_doctor_at_shard(const dq_doctor *d, unsigned shard)
{
    return (dq_doctor_at){.keys = d->keys, .shard = shard, .repair = d->options.repair};
}
/* Sends one step (bytes taken) and decodes it: counts are added, faults reported unless `quiet` (then only their number is in
   *step). On 0 *reply is the caller's to deinit; *step's views live as long. */
int dq_doctor_step_run(dq_doctor *d, unsigned shard, dq_buf *bytes, bool quiet, dq_owned_reply *reply, dq_doctor_step *step,
                       dureq_error *err);
/* After a step of a walk: its cursor is that of the next one, its reply goes. rc, or what went wrong here. */
int dq_doctor_go_on(dq_buf *cursor, const dq_doctor_step *step, dq_owned_reply *reply, int rc, dureq_error *err);
/* Element i of what there is to do besides; *at is where the walk through it is. */
int dq_doctor_next_more(const dq_doctor_step *step, size_t i, dq_reply *at, dq_doctor_more *ret, dureq_error *err);
/* The same for a step whose answer does not matter beyond its faults and counts. */
int dq_doctor_tell(dq_doctor *d, unsigned shard, dq_buf *bytes, dureq_error *err);
int dq_doctor_add_fault(dq_doctor *d, const dq_fault_view *f, dureq_error *err);
/* doctor_history.c */
int dq_doctor_history(dq_doctor *d, unsigned shard, dureq_error *err);
