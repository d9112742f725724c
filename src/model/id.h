/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Job ids, as docs/redis-keys.md "Ids" draws them. Pure. */

#include <dureq/job.h>

#include "base/str.h"

#define DQ_ID_BYTES   13
#define DQ_ID_SEQ_MAX ((1u << 28) - 1)
#define DQ_ID_SEQ_DUE (1u << 27) /* first sequence of jobs that start in the due set */
#define DQ_LANE_MAX   ((1u << 18) - 1)
#define DQ_SHARD_MAX  1023

typedef struct dq_id {
    uint64_t ms; /* 44 bits */
    uint32_t seq;
    uint32_t lane;
    uint16_t shard;
} dq_id;

void dq_id_pack(const dq_id *id, unsigned char out[DQ_ID_BYTES]);
bool dq_id_unpack(dureq_str bytes, dq_id *ret); /* false unless exactly 13 bytes in range */
void dq_id_to_text(const dq_id *id, dureq_job_id *out);
int dq_id_parse(dureq_str text, dq_id *ret); /* DUREQ_EINVAL unless 20 characters 0-9a-v */
bool dq_id_from_entry(dureq_str entry /* "ms-seq" */, uint32_t lane, uint16_t shard, dq_id *ret);
size_t dq_id_entry(const dq_id *id, char out[32]); /* "ms-seq", NUL-ended; its length */
