/* SPDX-License-Identifier: Apache-2.0 */
/* Late runs: the claim is over (cancelled, lost), or was judged without the handler (timed out), and the handler still runs. Redis has them on
   record, from the step that took or ended the job on, so that nothing is started in the place of a job whose handler still runs. A heartbeat
   reports their ends: when a handler ends, and what an answer shows to be on record here while nothing of it runs (it had not begun when it was
   cancelled, or a report was lost). Loop thread. */

#include <string.h>

#include "worker/worker_internal.h"

#define BEAT_ENDED_MAX 256

static void pack(const dq_claim *c, unsigned char out[DQ_LATE_BYTES])
{
    dq_late_pack(&c->job.id, DQ_MIN(c->job.moved.runs + 1, UINT16_MAX), out);
}

void dq_late_begin(dq_claim *c)
{
    if (!dq_list_linked(&c->run.late))
        dq_list_push_back(&c->shard->late, &c->run.late);
}

static void tell(dq_wshard *s, dureq_str run)
{
    dq_buf *ended = &s->session.late_ended;

    dq_buf_append_str(ended, run);
    if (dq_buf_failed(ended)) { /* an answer will show it */
        dq_buf_clear(ended);
        s->session.late_flying = 0;
    }
    dq_session_beat_soon(s);
}

void dq_late_ended(dq_claim *c)
{
    unsigned char run[DQ_LATE_BYTES];

    dq_list_remove(&c->run.late);
    pack(c, run);
    tell(c->shard, dureq_str_of(run, sizeof run));
}

void dq_late_put(dq_wshard *s, dq_beat *b)
{
    const dq_buf *ended = &s->session.late_ended;
    size_t n = DQ_MIN(ended->len / DQ_LATE_BYTES, BEAT_ENDED_MAX);

    for (size_t i = 0; i < n; i++)
        dq_beat_late_ended(b, dureq_str_of(ended->ptr + i * DQ_LATE_BYTES, DQ_LATE_BYTES));
    s->session.late_flying = n * DQ_LATE_BYTES;
}

/* What was not heard is said again; twice is as once. */
void dq_late_told(dq_wshard *s, bool came_through)
{
    size_t told = s->session.late_flying;

    s->session.late_flying = 0;
    if (!came_through)
        return;
    dq_buf_consume(&s->session.late_ended, told);
    if (s->session.late_ended.len > 0)
        dq_session_beat_soon(s);
}

static bool is_it(const dq_claim *c, dureq_str run)
{
    unsigned char mine[DQ_LATE_BYTES];

    pack(c, mine);
    return dq_str_eq(run, dureq_str_of(mine, sizeof mine));
}

static bool is_here(dq_wshard *s, dureq_str run)
{
    DQ_LIST_FOREACH (dureq_run, r, &s->late, late)
        if (is_it(dq_claim_of(r), run))
            return true;
    DQ_LIST_FOREACH (dq_claim, c, &s->held, in_shard) /* we may not have been told yet that it was taken */
        if (is_it(c, run))
            return true;
    return false;
}

/* While a read is in flight, what is on record may be in its answer: a job that was delivered, and cancelled before we saw it. The next heartbeat
   shows it again. */
void dq_late_shown(dq_wshard *s, dq_reply list)
{
    dq_reply_items items = dq_reply_items_of(list);
    dq_reply item;

    if (s->link->exchange == DQ_EXCHANGE_READING)
        return;
    while (dq_reply_items_next(&items, &item)) {
        dureq_str run = dq_reply_str(item);

        if (run.len == DQ_LATE_BYTES && !is_here(s, run))
            tell(s, run);
    }
}
