/* SPDX-License-Identifier: Apache-2.0 */
/* The outbox of a shard has rows for keys at home on others. The duty reads some, sends each to the home of its key, and forgets them when all of these
   have answered. A row that could not be settled keeps all of its reading: settling twice changes nothing. */
#include "leader/duty.h"

typedef struct settlement {
    dq_leader *leader;
    unsigned pending;
    bool has_failed, more;
    dq_buf bytes; /* the call that forgets those that were settled */
    dq_call done;
    size_t n_done;
} settlement;

void dq_outbox_put(dq_leader *l, dq_buf *call)
{
    dq_call_outbox_read(call, dq_store_keys(l->all->store), l->shard);
}

static void settlement_free(settlement *m)
{
    dq_buf_deinit(&m->bytes);
    dq_free(m);
}

static void on_forgotten(void *userdata, int code, const dq_reply *reply, const dureq_error *err)
{
    settlement *m = userdata;

    (void)reply;
    if (dq_leader_answered(m->leader, "outbox_done", code, err))
        dq_duty_end(m->leader, DQ_DUTY_SETTLE, m->more ? DQ_DUTY_NOW : DQ_DUTY_NEVER);
    else
        dq_duty_lose(m->leader, DQ_DUTY_SETTLE);
    settlement_free(m);
}

static void all_answered(settlement *m)
{
    dq_leader *l = m->leader;

    if (!m->has_failed && m->n_done > 0) {
        dq_call_end(&m->done);
        if (dq_leader_send(l, l->shard, &m->bytes, on_forgotten, m))
            return;
    }
    if (m->n_done > 0)
        dq_duty_lose(l, DQ_DUTY_SETTLE);
    else
        dq_duty_end(l, DQ_DUTY_SETTLE, DQ_DUTY_NEVER);
    settlement_free(m);
}

static void on_settled(void *userdata, int code, const dq_reply *reply, const dureq_error *err)
{
    settlement *m = userdata;

    (void)reply;
    if (!dq_leader_answered(m->leader, "key_settle", code, err))
        m->has_failed = true;
    m->pending--;
    if (m->pending == 0)
        all_answered(m);
}

static bool send_row(settlement *m, const dq_outbox_row *row)
{
    const dq_keys *k = dq_store_keys(m->leader->all->store);
    DQ_BUF_AUTO call = {0};

    dq_call_outbox_settle(&call, k, m->leader->shard, row);
    dq_outbox_done_add(&m->done, row);
    m->n_done++;
    return dq_leader_send(m->leader, dq_keys_shard_of(k, dq_outbox_key(row)), &call, on_settled, m);
}

int dq_outbox_settle(dq_leader *l, const dq_reply *reply, int64_t *ret_next_ms)
{
    dq_outbox rows = dq_outbox_decode(reply);
    dq_outbox_row row;

    *ret_next_ms = DQ_DUTY_NEVER;
    if (rows.left == 0 || l->term.epoch == 0)
        return 0;
    settlement *m = dq_calloc(1, sizeof *m);
    if (!m)
        return DUREQ_ENOMEM;
    *m = (settlement){.leader = l, .pending = 1, .more = rows.more};
    m->done = dq_call_outbox_done(&m->bytes, dq_store_keys(l->all->store), l->shard);
    while (dq_outbox_next(&rows, &row)) {
        m->pending++;
        if (!send_row(m, &row)) {
            m->pending--;
            m->has_failed = true;
        }
    }
    m->pending--;
    if (m->pending == 0)
        all_answered(m);
    return DQ_DUTY_GOES_ON;
}
