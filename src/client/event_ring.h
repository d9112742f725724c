/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The latest events, each written once for all who listen (client/event_hub.h). Frames have numbers that only grow: who reads keeps the number of the
   next one. What is full drops its oldest, and without memory all; who is then before `first` has missed something. Loop thread of its client. */

#include "client/event.h"
#include "client/event_cursor.h"

#define DQ_EVENT_RING_FRAMES 16384 /* a power of two */
#define DQ_EVENT_RING_BYTES  (INT64_C(16) << 20)
#define DQ_EVENT_RING_HEADS  4096 /* a power of two */

enum { DQ_FRAME_TEXT, DQ_FRAME_TOKEN, DQ_FRAME_QUEUE, DQ_FRAME_TASK_TYPE, DQ_FRAME_SCHEDULE, DQ_FRAME_WORKFLOW, DQ_FRAME_PARTS };

typedef struct dq_event_frame {
    dq_event_type type;
    bool is_gap, has_job;
    bool is_outdated; /* progress, of a job of which the ring has a later one */
    unsigned shard;
    dq_event_place place;
    uint32_t index;
    dq_id job;
    dq_event_secret secret;
    uint64_t before; /* 1 + number of the frame of progress before it with the same head; 0: none */
    uint32_t lens[DQ_FRAME_PARTS];
    char bytes[]; /* the parts, one after the other */
} dq_event_frame;

typedef struct dq_event_ring {
    dq_event_frame *frames[DQ_EVENT_RING_FRAMES];
    uint64_t heads[DQ_EVENT_RING_HEADS]; /* the same of the latest frame of progress, by the hash of its job */
    uint64_t first, end;                 /* numbers of frames */
    int64_t bytes;
} dq_event_ring;

/* `like` without its parts, which are copied. */
void dq_event_ring_add(dq_event_ring *r, const dq_event_frame *like, const dureq_str parts[DQ_FRAME_PARTS]);
void dq_event_ring_lose(
    dq_event_ring *r); /* an event that could not be written: those who listen miss it, as if they were too slow */
void dq_event_ring_clear(dq_event_ring *r);
const dq_event_frame *dq_event_ring_at(const dq_event_ring *r, uint64_t no); /* first <= no < end */

void dq_event_frame_parts(const dq_event_frame *f, dureq_str parts[DQ_FRAME_PARTS]); /* lent by the frame */
bool dq_event_frame_fits(const dq_event_frame *f, const dq_event_filter *filter, const dureq_str parts[DQ_FRAME_PARTS]);
