/* SPDX-License-Identifier: Apache-2.0 */
#include "client/event_ring.h"

#include "base/base.h"

const dq_event_frame *dq_event_ring_at(const dq_event_ring *r, uint64_t no)
{
    return r->frames[no % DQ_EVENT_RING_FRAMES];
}

static int64_t size_of(const dq_event_frame *f)
{
    int64_t n = (int64_t)sizeof *f;

    for (size_t i = 0; i < DQ_FRAME_PARTS; i++)
        n += f->lens[i];
    return n;
}

static void drop_first(dq_event_ring *r)
{
    dq_event_frame *f = r->frames[r->first % DQ_EVENT_RING_FRAMES];

    r->frames[r->first++ % DQ_EVENT_RING_FRAMES] = NULL;
    r->bytes -= size_of(f);
    dq_free(f);
}

void dq_event_ring_clear(dq_event_ring *r)
{
    while (r->first < r->end)
        drop_first(r);
}

void dq_event_ring_lose(dq_event_ring *r)
{
    dq_event_ring_clear(r);
    r->first = ++r->end;
}

/* ---- progress: chained by the hash of its job, the latest first, so that one that comes finds the one that it outdates ---- */

static bool is_same_job(const dq_id *a, const dq_id *b)
{
    return a->ms == b->ms && a->seq == b->seq && a->lane == b->lane && a->shard == b->shard;
}

static uint64_t *head_of(dq_event_ring *r, const dq_id *job)
{
    unsigned char packed[DQ_ID_BYTES];

    dq_id_pack(job, packed);
    return &r->heads[dq_hash_bytes(packed, sizeof packed) % DQ_EVENT_RING_HEADS];
}

/* f is about to get number r->end. A job has at most one frame that is not outdated; a chain ends where the ring begins. */
static void chain(dq_event_ring *r, dq_event_frame *f)
{
    uint64_t *head = head_of(r, &f->job);

    for (uint64_t at = *head; at > r->first;) {
        dq_event_frame *g = r->frames[(at - 1) % DQ_EVENT_RING_FRAMES];

        if (is_same_job(&g->job, &f->job)) {
            g->is_outdated = true;
            break;
        }
        at = g->before;
    }
    f->before = *head;
    *head = r->end + 1;
}

/* ---- all of them ---- */

static bool is_full(const dq_event_ring *r, int64_t more)
{
    return r->first < r->end && (r->end - r->first == DQ_EVENT_RING_FRAMES || r->bytes + more > DQ_EVENT_RING_BYTES);
}

void dq_event_ring_add(dq_event_ring *r, const dq_event_frame *like, const dureq_str parts[DQ_FRAME_PARTS])
{
    size_t n = 0;
    dq_event_frame *f;
    char *at;

    for (size_t i = 0; i < DQ_FRAME_PARTS; i++)
        n += parts[i].len;
    f = dq_malloc(sizeof *f + n + 1);
    if (!f) {
        dq_event_ring_lose(r);
        return;
    }
    *f = *like;
    at = f->bytes;
    for (size_t i = 0; i < DQ_FRAME_PARTS; i++) {
        f->lens[i] = (uint32_t)parts[i].len;
        if (parts[i].len)
            memcpy(at, parts[i].ptr, parts[i].len);
        at += parts[i].len;
    }
    while (is_full(r, size_of(f)))
        drop_first(r);
    if (f->type == DQ_EVENT_JOB_PROGRESS && f->has_job && !f->is_gap)
        chain(r, f);
    r->frames[r->end++ % DQ_EVENT_RING_FRAMES] = f;
    r->bytes += size_of(f);
}

void dq_event_frame_parts(const dq_event_frame *f, dureq_str parts[DQ_FRAME_PARTS])
{
    const char *at = f->bytes;

    for (size_t i = 0; i < DQ_FRAME_PARTS; i++) {
        parts[i] = dureq_str_of(at, f->lens[i]);
        at += f->lens[i];
    }
}

bool dq_event_frame_fits(const dq_event_frame *f, const dq_event_filter *filter, const dureq_str parts[DQ_FRAME_PARTS])
{
    dq_event e = {.type = f->type,
                  .has_job = f->has_job,
                  .job = f->job,
                  .schedule = parts[DQ_FRAME_SCHEDULE],
                  .workflow = parts[DQ_FRAME_WORKFLOW]};
    dq_event_names names = {.queue = parts[DQ_FRAME_QUEUE], .task_type = parts[DQ_FRAME_TASK_TYPE]};

    return f->is_gap || dq_event_fits(filter, &e, &names);
}
