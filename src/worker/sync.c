/* SPDX-License-Identifier: Apache-2.0 */
/* The resync: what Redis holds pending for a session is compared with what it holds. Entries unknown here were in a reply that was lost, and are
   given back; claims unknown there were taken away, and are lost. Wanted after each loss of a connection, whenever the watched keys or the
   identity of the data tell that somebody took something, and when something was fetched that there was no memory for. Loop thread. */

#include <assert.h>

#include "worker/worker_internal.h"

#define RESYNC_LANES 250 /* in a call: about a millisecond of the server */

#define BIT(name) (1u << DQ_SYNC_##name)

static const unsigned next_states[] = {
    [DQ_SYNC_DONE] = BIT(WANTED),
    [DQ_SYNC_WANTED] = BIT(GOING) | BIT(DONE),
    [DQ_SYNC_GOING] = BIT(STALE) | BIT(WANTED) | BIT(DONE),
    [DQ_SYNC_STALE] = BIT(WANTED) | BIT(DONE),
};

bool dq_sync_can_move(dq_sync_state from, dq_sync_state to)
{
    return (size_t)from < DQ_ARRAY_LEN(next_states) && (size_t)to < DQ_ARRAY_LEN(next_states) && next_states[from] & (1u << to);
}

static void move(dq_wshard *s, dq_sync_state to)
{
    assert(next_states[s->session.sync] & (1u << to));
    s->session.sync = to;
}

void dq_sync_want(dq_wshard *s)
{
    if (s->session.sync == DQ_SYNC_DONE)
        move(s, DQ_SYNC_WANTED);
    else if (s->session.sync == DQ_SYNC_GOING)
        move(s, DQ_SYNC_STALE);
}

void dq_sync_forget(dq_wshard *s)
{
    if (s->session.sync != DQ_SYNC_DONE)
        move(s, DQ_SYNC_DONE);
}

/* Through, or broken off: from the start when the connection is back. */
static void over(dq_wshard *s, bool ok)
{
    if (dq_sync_is_going(s->session.sync))
        move(s, ok && s->session.sync == DQ_SYNC_GOING ? DQ_SYNC_DONE : DQ_SYNC_WANTED);
}

typedef struct resync {
    dq_wshard *shard;
    uint64_t session;
    uint32_t next_lane; /* from 1 */
    /* Entries pending for us that we never saw, whose reply was lost: the call that gives them back. */
    dq_buf bytes;
    dq_call unknown;
    size_t n_unknown;
} resync;

static void step(resync *r);

static void resync_free(resync *r)
{
    dq_buf_deinit(&r->bytes);
    dq_free(r);
}

static void take_pending(resync *r, const dq_reply *reply)
{
    dq_pending_list p = dq_pending_decode(reply);
    dq_entry e;

    while (dq_pending_next(&p, &e)) {
        dq_claim *c = dq_claim_find(r->shard, &e);

        if (c) {
            c->seen = true;
            continue;
        }
        dq_return_entry(&r->unknown, &e, /*has_run=*/false);
        r->n_unknown++;
    }
}

static void on_unknown_returned(void *userdata, int code, const dq_reply *reply, const dureq_error *err)
{
    dq_wshard *s = userdata;

    if (code == DUREQ_EFENCED) {
        dq_session_lost(s, err->msg);
        return;
    }
    if (!dq_shard_is_live(s))
        return;
    over(s, code == 0);
    dq_link_unsure(s);
    if (code == 0)
        dq_session_x_returned(s, reply);
    dq_worker_pump(s->worker);
}

/* All lanes were looked at: what is held here and not there was taken from us. */
static void finish(resync *r)
{
    dq_wshard *s = r->shard;
    bool sent = false;

    DQ_LIST_FOREACH (dq_claim, c, &s->held, in_shard) {
        bool ours = c->seen || c->state == DQ_CLAIM_SENT;

        c->seen = false;
        if (!ours)
            dq_claim_lose(c, DQ_STOP_LOST);
    }
    if (r->n_unknown > 0) {
        DQ_LOG(s->worker->log, DUREQ_LOG_INFO, "session.resync", "shard=%u unknown=%zu", s->no, r->n_unknown);
        dq_call_end(&r->unknown);
        sent = dq_session_send(s, &r->bytes, on_unknown_returned, s);
    }
    if (!sent)
        over(s, r->n_unknown == 0);
    resync_free(r);
    dq_worker_look_for_end(s->worker);
    dq_worker_pump(s->worker);
}

static void on_pending(void *userdata, int code, const dq_reply *reply, const dureq_error *err)
{
    resync *r = userdata;
    dq_wshard *s = r->shard;

    (void)err;
    if (!dq_shard_is_live(s) || s->session.no != r->session) {
        resync_free(r);
        return;
    }
    if (code < 0) {
        over(s, false);
        resync_free(r);
        return;
    }
    take_pending(r, reply);
    step(r);
}

static void step(resync *r)
{
    dq_wshard *s = r->shard;
    DQ_BUF_AUTO bytes = {0};
    dq_pending_head head = {.session = s->session.no, .limit = s->worker->concurrency + DQ_BATCH_MAX};
    dq_call call = dq_call_session_pending(&bytes, dq_store_keys(s->worker->store), s->no, &head);
    size_t n = 0;

    while (r->next_lane <= s->lanes.n && n < RESYNC_LANES) {
        const dq_wlane *lane = s->lanes.items[r->next_lane - 1];

        if (lane && lane->was_served) {
            dq_pending_lane(&call, r->next_lane);
            n++;
        }
        r->next_lane++;
    }
    if (n == 0) {
        finish(r);
        return;
    }
    dq_call_end(&call);
    if (dq_session_send(s, &bytes, on_pending, r))
        return;
    over(s, false);
    resync_free(r);
}

/* With a read in flight, entries would look unknown that are on their way. */
void dq_sync_begin(dq_wshard *s)
{
    resync *r;

    if (!dq_shard_is_live(s) || dq_sync_is_going(s->session.sync) || s->turn.call_is_lost || s->session.returning)
        return;
    r = dq_calloc(1, sizeof *r);
    if (!r)
        return;
    DQ_LIST_FOREACH (dq_claim, c, &s->held, in_shard)
        c->seen = false;
    r->shard = s;
    r->session = s->session.no;
    r->next_lane = 1;
    r->unknown = dq_call_session_return(&r->bytes, dq_store_keys(s->worker->store), s->no, s->session.no);
    move(s, DQ_SYNC_GOING);
    step(r);
}
