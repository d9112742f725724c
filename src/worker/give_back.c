/* SPDX-License-Identifier: Apache-2.0 */
/* Claims that are given back: not started, or stopped at a shutdown. A call at a time. Loop thread. */

#include <stdio.h>

#include "worker/worker_internal.h"

/* session_return tells x after it: if it counted up by our own call alone, nobody else took anything, and the next look need not be
   followed by a resync. */
void dq_session_x_returned(dq_wshard *s, const dq_reply *r)
{
    char *x = s->session.x;
    dq_returned ret;
    int64_t before;

    if (dq_session_return_decode(r, &ret) == 0 && dq_parse_i64(dureq_str_from(x), 0, INT64_MAX - 1, &before) == 0 &&
        before + (ret.n > 0) == ret.x)
        (void)snprintf(x, sizeof s->session.x, "%lld", (long long)ret.x);
}

static void on_returned(void *userdata, int code, const dq_reply *reply, const dureq_error *err)
{
    dq_wshard *s = userdata;

    s->session.returning = false;
    if (!dq_shard_is_live(s))
        return;
    if (code == DUREQ_EFENCED) {
        dq_session_lost(s, err->msg);
        return;
    }
    if (code < 0) /* perhaps done: what is still ours then shows up as unknown, and is given back again */
        dq_sync_want(s);
    else
        dq_session_x_returned(s, reply);
    dq_link_unsure(s);
    dq_session_return(s);
    dq_worker_look_for_end(s->worker);
    dq_worker_pump(s->worker);
}

void dq_session_return(dq_wshard *s)
{
    dq_worker *w = s->worker;
    dq_list *list = &s->claims[DQ_CLAIM_RETURN].list;
    DQ_BUF_AUTO bytes = {0};

    if (s->session.returning || dq_list_empty(list) || !dq_shard_is_live(s) || s->session.doubts)
        return;
    dq_call call = dq_call_session_return(&bytes, dq_store_keys(w->store), s->no, s->session.no);
    for (size_t n = 0; n < DQ_BATCH_MAX && !dq_list_empty(list); n++) {
        dq_claim *c = dq_container_of(list->next, dq_claim, link);

        dq_return_entry(&call, &c->job.entry, /*has_run=*/c->run.started_at_ms != 0);
        dq_stat_add(&w->stats.returned, 1);
        dq_claim_over(c);
    }
    dq_call_end(&call);
    s->session.returning = dq_session_send(s, &bytes, on_returned, s);
    if (!s->session.returning)
        dq_sync_want(s);
}
