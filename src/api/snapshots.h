/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What pages show all the time and has no event of its own: counts, queues, nodes. Each is read once for all who asked, when something happened since, but no
   oftener than it is planned; and after a while in any case, since ages grow by themselves. One that is longer than TEXT_MAX says only that it is, one that cannot be read why. */

#include "api/api.h"

typedef enum dq_api_snapshot_kind {
    DQ_API_SNAPSHOT_COUNTS,
    DQ_API_SNAPSHOT_QUEUES,
    DQ_API_SNAPSHOT_NODES,
    DQ_API_N_SNAPSHOTS,
} dq_api_snapshot_kind;

typedef struct dq_api_snapshot {
    dq_buf text; /* a whole message; empty: not read yet */
    uint64_t version;
    dq_buf next; /* of who reads, as the next */
    bool is_read;
} dq_api_snapshot;

/* Zeroed is the beginning. Loop thread, but for fetch. */
typedef struct dq_api_snapshots {
    dq_api_snapshot kinds[DQ_API_N_SNAPSHOTS];
    uint64_t version;
    unsigned have; /* kinds that are as the next two say */
    uint64_t seen; /* of the hub, when they were read */
    int64_t read_at_us;
    struct { /* what is being read */
        unsigned kinds;
        uint64_t seen;
        int64_t at_us;
    } plan;
} dq_api_snapshots;

void dq_api_snapshots_deinit(dq_api_snapshots *s);
void dq_api_snapshots_forget(dq_api_snapshots *s); /* nobody asks for them */
/* "counts,nodes" as bits; NULL: none. DUREQ_EINVAL. */
int dq_api_snapshot_kinds(const char *text, unsigned *ret, dureq_error *err);
/* True: these are to be read now, by one call of fetch and one of publish. */
bool dq_api_snapshots_plan(dq_api_snapshots *s, unsigned kinds, uint64_t seen, int64_t now_us);
void dq_api_snapshots_fetch(dq_api_snapshots *s, dureq_client *client); /* blocking; not on the loop */
bool dq_api_snapshots_publish(dq_api_snapshots *s);                     /* whether any is another than before */
