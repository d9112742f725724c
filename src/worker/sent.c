/* SPDX-License-Identifier: Apache-2.0 */
/* Outcomes that were sent: recorded, refused, or sent again; and the general call, which records what a transaction could not. Loop thread. */

#include <stdio.h>

#include "store/plain_calls.h"
#include "worker/worker_internal.h"

#define PLAIN_AGAIN_US 1000000

/* ---- recorded, refused, or not known ---- */

static void recorded(dq_claim *c)
{
    dq_worker *w = c->worker;

    switch (c->verdict.next) {
    case DQ_NEXT_COMPLETED:
        dq_stat_add(&w->stats.completed, 1);
        dq_worker_tell(c, DUREQ_NODE_JOB_COMPLETED, "");
        break;
    case DQ_NEXT_DEAD:
        dq_stat_add(&w->stats.dead, 1);
        dq_worker_tell(c, DUREQ_NODE_JOB_DEAD, c->words.msg);
        break;
    case DQ_NEXT_PAUSED: dq_worker_tell(c, DUREQ_NODE_JOB_PAUSED, c->words.msg); break;
    case DQ_NEXT_DUE:
    case DQ_NEXT_FRONT:
        if (c->verdict.is_spent) {
            dq_stat_add(&w->stats.failed, 1);
            dq_worker_tell(c, DUREQ_NODE_JOB_FAILED, c->words.msg);
        }
        break;
    }
    dq_claim_over(c);
}

static void refused(dq_claim *c)
{
    if (!c->told_cancelled)
        dq_stat_add(&c->worker->stats.lost, 1);
    dq_claim_over(c);
}

static dq_list *sent_list(dq_wshard *s)
{
    return &s->claims[DQ_CLAIM_SENT].list;
}

static dq_claim *first_sent(dq_wshard *s)
{
    return dq_container_of(sent_list(s)->next, dq_claim, link);
}

void dq_sent_recorded(dq_wshard *s)
{
    while (!dq_list_empty(sent_list(s)))
        recorded(first_sent(s));
}

/* The last one first: so they are in front in their order. */
void dq_sent_again(dq_wshard *s)
{
    while (!dq_list_empty(sent_list(s)))
        dq_claim_again(dq_container_of(sent_list(s)->prev, dq_claim, link));
}

/* ---- the general call ---- */

/* In the order in which the call named its jobs, which is that of the list. */
static bool take_refusals(dq_wshard *s, dureq_str answer)
{
    dq_refusals r;

    if (dq_refusals_decode(answer, &r) < 0)
        return false;
    for (size_t i = 0; !dq_list_empty(sent_list(s)); i++) {
        if (dq_refusals_has(&r, i))
            refused(first_sent(s));
        else
            recorded(first_sent(s));
    }
    return true;
}

static void x_counted(dq_wshard *s)
{
    int64_t x;

    if (dq_parse_i64(dureq_str_from(s->session.x), 0, INT64_MAX - 1, &x) == 0)
        (void)snprintf(s->session.x, sizeof s->session.x, "%lld", (long long)x + 1);
}

static void on_general(void *userdata, int code, const dq_reply *reply, const dureq_error *err)
{
    dq_wshard *s = userdata;

    if (dq_link_is_stale(s))
        return;
    if (code == DUREQ_EUNAVAILABLE || code == DUREQ_ECLOSED) {
        s->turn.call_is_lost = true;
        return;
    }
    if (code == DUREQ_ENOSCRIPT) { /* not executed */
        s->turn.call_is_lost = true;
        s->link->lacks_script = true;
    } else if (code == DUREQ_EFENCED) {
        dq_session_lost(s, err->msg);
    } else if (code < 0) {
        DQ_LOG(s->worker->log, DUREQ_LOG_ERROR, "complete.refused", "shard=%u error=\"%s\"", s->no, err->msg);
        s->turn.call_is_lost = true; /* not executed, or only a retry tells */
        dq_link_rest(s, err);
        s->turn.plain_again_us = dq_loop_now_us(s->worker->loop) + PLAIN_AGAIN_US;
        if (dq_is_of_replica(code))
            dq_session_doubt(s);
    } else {
        s->turn.call_is_lost = false;
        if (!take_refusals(s, dq_reply_str(*reply)))
            DQ_LOG(s->worker->log, DUREQ_LOG_ERROR, "complete.answer", "shard=%u error=\"its answer cannot be read\"", s->no);
        x_counted(s);
    }
}

static void on_loaded(void *userdata, int code, const dq_reply *reply, const dureq_error *err)
{
    (void)userdata;
    (void)code;
    (void)reply;
    (void)err;
}

/* All that are sent. False: memory is short, and nothing was. */
static bool put_general(dq_wshard *s, bool is_repeat)
{
    dq_redis *r = dq_link_redis(s->link);
    DQ_BUF_AUTO call = {0};

    dq_record_general(s, is_repeat, &call);
    if (dq_buf_failed(&call))
        return false;
    if (s->link->lacks_script) {
        s->link->lacks_script = false;
        dq_plain_load(dq_redis_out(r), DQ_SCRIPT_COMPLETE);
        (void)dq_redis_commit(r, 0, on_loaded, s);
    }
    dq_buf_append_buf(dq_redis_out(r), &call);
    s->turn.session = s->session.no;
    if (dq_redis_commit(r, 0, on_general, s) < 0)
        s->turn.call_is_lost = true;
    else if (is_repeat || !dq_lanes_worth(s) || !dq_link_send_reads(s)) /* what comes next goes with it */
        dq_link_watch(s->link, dq_link_next_watch(s->link, s), /*unwatch=*/true);
    return true;
}

/* Up to a batch of those of a state. */
static void collect(dq_wshard *s, dq_claim_state state, size_t *n, size_t *bytes)
{
    dq_list *from = &s->claims[state].list;

    while (*n < DQ_BATCH_MAX && *bytes < DQ_BATCH_BYTES && !dq_list_empty(from)) {
        dq_claim *c = dq_container_of(from->next, dq_claim, link);

        ++*n;
        *bytes += c->job.j.len + c->job.m.len + c->words.result.len + c->words.payload.len + c->words.detail.len +
                  c->words.output.len + c->log.len + 200;
        dq_claim_move(c, DQ_CLAIM_SENT);
    }
}

void dq_sent_general(dq_wshard *s, bool with_plain)
{
    size_t n = 0, bytes = 0;

    collect(s, DQ_CLAIM_GENERAL, &n, &bytes);
    if (with_plain)
        collect(s, DQ_CLAIM_PLAIN, &n, &bytes);
    s->turn.call_no++;
    s->turn.was_general = true;
    if (!put_general(s, /*is_repeat=*/false))
        dq_sent_again(s);
}

void dq_sent_repeat(dq_wshard *s)
{
    (void)put_general(s, /*is_repeat=*/true);
}
