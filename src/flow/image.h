/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The compiled form of a definition, as the server keeps it (docs/redis-keys.md "The image of a definition"): one string of bytes, cut into segments,
   which scripts read by offsets and never parse as a whole. The same definition gives the same bytes, so that they are known by their hash and kept
   once for all workflows of that definition. Pure. */

#include "flow/flow.h"

#define DQ_IMAGE_VERSION      1
#define DQ_IMAGE_HEAD         64
#define DQ_IMAGE_TASK         32 /* bytes of a task in the table */
#define DQ_IMAGE_EDGE         6  /* task I3, how many it depends on I3 */
#define DQ_IMAGE_SEGMENT      262144
#define DQ_IMAGE_HASH         16
#define DQ_IMAGE_EDGES_INLINE 8 /* so many of a task go with its job */

/* Flags of a task. */
#define DQ_IMAGE_ALLOW_FAILURE 1
#define DQ_IMAGE_ALL_DONE      2
#define DQ_IMAGE_ANY_FAILED    4
#define DQ_IMAGE_BLOB          8   /* its payload is a key of its own */
#define DQ_IMAGE_S2S           16  /* it has a schedule-to-start limit */
#define DQ_IMAGE_WANTED        32  /* its result goes on to others, and is kept */
#define DQ_IMAGE_PIPED         64  /* it gets results: its record ends with a template, see put_template */
#define DQ_IMAGE_INPUTS_MAX    100 /* of a task */

/* Other flags of it, in the byte after these. */
#define DQ_IMAGE_LATER        1 /* its record begins with when it may start: 1 for a time, 0 from its release on (u8), ms I6 */
#define DQ_IMAGE_NEVER_REUSED 2 /* a retry of the workflow runs it again though it completed */

typedef struct dq_image {
    dq_buf bytes;
    unsigned char hash[DQ_IMAGE_HASH];
    dureq_str *lanes; /* "queue|type|version", each once; views into the arena */
    uint32_t n_lanes;
    uint32_t *large; /* tasks whose payload is a key of its own */
    uint32_t n_large;
    bool is_controlled; /* a task has other flags */
    dq_arena arena;
} dq_image;

/* The queue of a job with this priority (1 to 10); empty: there is none. */
typedef dureq_str (*dq_image_queue_fn)(void *userdata, int priority);

/* Of a whole definition. DUREQ_EUNSUPPORTED: it asks for what this version cannot do, which is named; DUREQ_ENOTFOUND: no queue takes a task;
   DUREQ_ENOMEM. */
int dq_image_make(const dq_flow *flow, dq_image_queue_fn queue_of, void *userdata, dq_image *ret, dureq_error *err);
void dq_image_deinit(dq_image *image);

/* ---- read back ---- */

typedef struct dq_image_head {
    uint32_t n_tasks, n_roots, n_edges, n_lanes;
    uint32_t roots_at, edges_at, names_at, records_at, lanes_at, len;
} dq_image_head;
/* 0; DUREQ_ESCHEMA (of a later version), DUREQ_EPROTO. */
int dq_image_head_read(dureq_str bytes, dq_image_head *ret);

typedef struct dq_image_task {
    uint32_t record_at, record_len, name_at, outs_at, n_outs, n_deps, lane;
    uint8_t flags, other_flags;
} dq_image_task;
bool dq_image_task_read(dureq_str table, uint32_t i, dq_image_task *ret);
