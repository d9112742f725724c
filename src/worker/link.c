/* SPDX-License-Identifier: Apache-2.0 */
/* A worker's way to one server. Turns have a connection to themselves, on which at most one exchange is in flight: one of

     transaction   MULTI, XACK XDEL HSET (UNLINK of payloads) of jobs that ended well, worker_cycle, XREADGROUPs, EXEC     (turn.c)
     general call  complete.lua: everything else, and whatever a transaction could not do; with it worker_cycle by itself,
                   which reads                                                                                            (sent.c)

   each followed, in the same write, by WATCH of x:<session> and hv and an MGET of them for the shard of the next turn. The next
   exchange starts when that was answered: if the values are those we knew, nobody took anything from the session, and no bucket of history came or
   went, up to the WATCH; and none will unnoticed until EXEC. So the plain commands of a transaction cannot touch a job that is not ours any
   more. When x is another value, a resync finds out what was taken first.

   Calls that record outcomes are numbered. A reply that was lost is asked for again by the general form of the same call under the same
   number: the session keeps the number of the last one. While it is not known, nothing else is sent for that shard. A repeat says that it is
   one, and is looked at entry by entry: the server that answers may have lost what it delivered, and deliver it to others. */

#include "worker/link.h"

#include "worker/worker_internal.h"

#define HOLD_OFF_US 500
#define REST_US     250000

static void hold_off_fired(dq_timer *t)
{
    dq_link_look(dq_container_of(t, dq_wlink, hold_off));
}

int dq_link_init(dq_wlink *l, dq_worker *w, unsigned no)
{
    l->worker = w;
    l->no = no;
    dq_list_init(&l->pushed.list);
    return dq_timer_init(&l->hold_off, w->loop, hold_off_fired);
}

int dq_link_add(dq_wlink *l, dq_wshard *s)
{
    dq_wshard **shards = dq_realloc(l->shards, (l->n_shards + 1) * sizeof(dq_wshard *));

    if (!shards)
        return DUREQ_ENOMEM;
    l->shards = shards;
    l->shards[l->n_shards++] = s;
    return 0;
}

void dq_link_deinit(dq_wlink *l)
{
    dq_timer_deinit(&l->hold_off);
    dq_free(l->shards);
}

/* Any of its shards names the server. */
dq_redis *dq_link_redis(dq_wlink *l)
{
    return dq_store_redis(l->worker->store, l->shards[0]->no, DQ_CONN_CYCLE);
}

/* ---- which shard's turn it is ---- */

bool dq_link_has_work(dq_wshard *s)
{
    const dq_wsession *x = &s->session;
    int64_t now_us = dq_loop_now_us(s->worker->loop);

    if (!dq_shard_is_live(s) || dq_sync_is_going(x->sync) || x->doubts || s->turn.rest_until_us > now_us)
        return false;
    return s->turn.call_is_lost || (dq_sync_is_wanted(x->sync) && !x->returning) || s->claims[DQ_CLAIM_GENERAL].n > 0 ||
           s->claims[DQ_CLAIM_PLAIN].n > 0 || (dq_lanes_worth(s) && s->turn.reads_again_us <= now_us);
}

static bool is_sure(const dq_wlink *l, const dq_wshard *s)
{
    return l->watched == s && l->watch_is_sure;
}

void dq_link_unsure(dq_wshard *s)
{
    if (s->link->watched == s)
        s->link->watch_is_sure = false;
}

/* Whose keys are watched goes first: it was chosen when its turn was prepared, and choosing again would only watch others in turn. */
static dq_wshard *next_shard(dq_wlink *l)
{
    if (l->watched && l->watch_is_sure && dq_link_has_work(l->watched))
        return l->watched;
    for (unsigned i = 0; i < l->n_shards; i++) {
        unsigned at = (l->turn + i) % l->n_shards;

        if (dq_link_has_work(l->shards[at])) {
            l->turn = (at + 1) % l->n_shards;
            return l->shards[at];
        }
    }
    return NULL;
}

dq_wshard *dq_link_next_watch(dq_wlink *l, dq_wshard *s)
{
    for (unsigned i = 0; i < l->n_shards; i++) {
        unsigned at = (l->turn + i) % l->n_shards;

        if (l->shards[at] != s && dq_link_has_work(l->shards[at])) {
            l->turn = (at + 1) % l->n_shards;
            return l->shards[at];
        }
    }
    return s;
}

/* ---- watching ---- */

void dq_link_rest(dq_wshard *s, const dureq_error *err)
{
    DQ_LOG(s->worker->log, DUREQ_LOG_WARN, "cycle.refused", "shard=%u error=\"%s\"", s->no, err->msg);
    s->turn.rest_until_us = dq_loop_now_us(s->worker->loop) + REST_US;
}

bool dq_link_is_stale(const dq_wshard *s)
{
    return !dq_shard_is_live(s) || s->session.no != s->turn.session;
}

/* What the watched keys are, up to the WATCH. */
static void take_watched(dq_wshard *s, const dq_reply *reply)
{
    dq_wsession *x = &s->session;
    dq_watched now = dq_watched_decode(reply);

    if (now.x.len == 0) {
        dq_session_lost(s, "its session is gone");
        return;
    }
    bool is_same = dq_str_eq_text(now.hv, x->hv) && dq_str_eq_text(now.x, x->x);
    if (s->turn.refused_unseen && is_same) { /* they were changed by nothing of dureq: the data was replaced, perhaps */
        dq_sync_want(s);
        dq_session_doubt(s);
    }
    s->turn.refused_unseen = false;
    if (!dq_str_eq_text(now.hv, x->hv)) {
        dq_copy_text(x->hv, sizeof x->hv, now.hv);
        s->turn.class_ms = 0;
    }
    if (!dq_str_eq_text(now.x, x->x)) {
        dq_copy_text(x->x, sizeof x->x, now.x);
        dq_sync_want(s);
    }
    s->link->watch_is_sure = true;
    if (dq_sync_is_wanted(x->sync) && !x->doubts)
        dq_sync_begin(s);
}

static void on_watched(void *userdata, int code, const dq_reply *reply, const dureq_error *err)
{
    dq_wshard *s = userdata;
    dq_wlink *l = s->link;

    if (code == DUREQ_EUNAVAILABLE || code == DUREQ_ECLOSED) /* dq_link_lost does the rest */
        return;
    l->exchange = DQ_EXCHANGE_NONE;
    if (code < 0) { /* busy, or forbidden meanwhile: the next heartbeat looks again */
        dq_link_rest(s, err);
        if (dq_is_of_replica(code))
            dq_session_doubt(s);
        return;
    }
    if (!dq_link_is_stale(s)) /* else it is the old one's keys that are watched */
        take_watched(s, reply);
    dq_worker_pump(l->worker);
}

void dq_link_watch(dq_wlink *l, dq_wshard *s, bool unwatch)
{
    dq_redis *r = dq_link_redis(l);
    size_t n = dq_watch(dq_redis_out(r), dq_store_keys(l->worker->store), s->no, s->session.no, unwatch);

    l->watched = s;
    l->watch_is_sure = false;
    s->turn.session = s->session.no;
    if (dq_redis_commit_many(r, 0, n, on_watched, s) < 0)
        l->watched = NULL;
    if (l->exchange != DQ_EXCHANGE_READING)
        dq_link_read_over(l);
}

void dq_link_read_over(dq_wlink *l)
{
    l->exchange = l->watched ? DQ_EXCHANGE_GOING : DQ_EXCHANGE_NONE;
}

/* ---- the exchange ---- */

/* Short handlers are being run off one after the other right now, or will be when their payloads are here: what they bring goes in one turn
   with what is there. Never for long: a handler that blocks its thread must not hold up the others' outcomes. */
static bool better_later(dq_wlink *l)
{
    int64_t now_us = dq_loop_now_us(l->worker->loop);

    if ((!dq_pool_runs_off(l->worker->pool) && l->n_loading == 0) || now_us - l->last_fetch_us > HOLD_OFF_US)
        return false;
    if (!dq_timer_is_set(&l->hold_off))
        dq_timer_set(&l->hold_off, HOLD_OFF_US);
    return true;
}

/* Jobs whose ends the general call records must not keep those from being recorded that a transaction does. */
static bool goes_general(const dq_wlink *l, const dq_wshard *s)
{
    bool plain_waits = s->claims[DQ_CLAIM_PLAIN].n > 0;

    return s->claims[DQ_CLAIM_GENERAL].n > 0 && !(plain_waits && s->turn.was_general && is_sure(l, s));
}

static unsigned index_of(const dq_wlink *l, const dq_wshard *s)
{
    unsigned at = 0;

    while (l->shards[at] != s)
        at++;
    return at;
}

void dq_link_look(dq_wlink *l)
{
    if (!l->is_up || !l->turns_are_up || l->exchange != DQ_EXCHANGE_NONE || better_later(l))
        return;
    dq_wshard *s = next_shard(l);
    if (!s)
        return;
    bool plain_off = s->turn.plain_again_us > dq_loop_now_us(l->worker->loop);
    if (s->turn.call_is_lost)
        dq_sent_repeat(s); /* a transaction, too: under its number */
    else if (dq_sync_is_wanted(s->session.sync))
        dq_link_watch(l, s, /*unwatch=*/l->watched != NULL);
    else if (plain_off ? s->claims[DQ_CLAIM_GENERAL].n + s->claims[DQ_CLAIM_PLAIN].n > 0 : goes_general(l, s))
        dq_sent_general(s, plain_off);
    else if (plain_off)
        (void)dq_link_send_reads(s);
    else if (!is_sure(l, s)) {
        l->turn = index_of(l, s); /* still its turn once it is watched: or shards would be watched in a ring and none read */
        dq_link_watch(l, s, /*unwatch=*/l->watched != NULL);
    } else {
        dq_link_send_turn(s);
    }
}

void dq_link_lost(dq_wlink *l)
{
    l->exchange = DQ_EXCHANGE_NONE;
    l->watched = NULL;
    l->watch_is_sure = false;
    dq_fetch_decide(l);
    for (unsigned i = 0; i < l->n_shards; i++) {
        l->shards[i]->turn.class_ms = 0; /* a server that forgot its bucket may have another one of that number */
        dq_lanes_read_off(l->shards[i]);
    }
}
