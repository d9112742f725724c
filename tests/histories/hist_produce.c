/* SPDX-License-Identifier: Apache-2.0 */
/* The plain calls of producers, as src/client/produce_call.c makes them: MULTI, an XADD for each job (and a SET of a large payload), the seal,
   EXEC. A producer goes this way while it has a token, knows the numbers of the lanes, and has read that their queues have no limit. Refused as a
   whole, it asks for the token again and sends the same jobs the general way under a new number; when another server answers, in the general way
   under the same number. */

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "hist_play.h"
#include "redis/resp.h"
#include "store/plain_calls.h"

/* ---- what it knows ---- */

void hist_see_queues(hist *h, int producer)
{
    for (int i = 0; i < HM_QUEUES; i++)
        h->producer[producer].plain[i] = h->m.limit[i] == 0;
}

/* The token vouches for queues that are read after it. */
void hist_ask_token(hist *h, int producer)
{
    hist_producer *p = &h->producer[producer];
    dq_buf call = {0};
    dureq_str token;

    dq_plain_field(&call, &h->w->keys, 0, "sh", DQ_STR_LIT("v"));
    token = dq_reply_str(hist_ask(h->w, 0, &call, 1));
    (void)snprintf(p->token, sizeof(p->token), DQ_STR_FMT, DQ_STR_ARG(token));
    p->version = h->m.version;
    dq_buf_deinit(&call);
    hist_see_queues(h, producer);
}

bool hist_may_seal(const hist *h, const hist_msg *msg)
{
    const hist_producer *p = &h->producer[msg->who];

    for (int i = 0; i < msg->n; i++) {
        const hm_item *it = &msg->item[i];

        if (it->delay || it->ukey >= 0 || it->request >= 0 || it->s2s || !p->lane[it->lane] || !p->plain[it->lane / 2])
            return false;
    }
    return p->token[0] != '\0';
}

/* ---- the call: all but EXEC, which may never come ---- */

static void put_word(dq_buf *out, const char *word)
{
    dq_resp_begin(out, 1);
    dq_resp_arg_text(out, word);
}

/* The server works through the commands of a transaction while its clock goes on: the next entry is of another millisecond. */
static void put_stall(dq_buf *out)
{
    static const char wait[] =
        "local function ms() local t = redis.call('TIME') return t[1] * 1000 + math.floor(t[2] / 1000) end "
        "local from, n = ms(), 0 while ms() == from and n < 100000 do n = n + 1 end";

    dq_resp_begin(out, 3);
    dq_resp_arg_text(out, "EVAL");
    dq_resp_arg_text(out, wait);
    dq_resp_arg_text(out, "0");
}

static size_t n_large(const hist_msg *msg)
{
    size_t n = 0;

    for (int i = 0; i < msg->n; i++)
        n += msg->item[i].large > 0;
    return n;
}

/* A producer sends the seal as text, since a server that forgot scripts would add the jobs unsealed; this one forgets none. */
void hist_put_seal(hist *h, hist_msg *msg)
{
    char who[24];
    dq_enqueue_head head = hist_producer_head(msg, who);
    dq_seal seal;

    msg->kind = MSG_SEAL;
    msg->a = h->producer[msg->who].version;
    dq_seal_begin(&seal, &msg->bytes, &h->w->keys, &head);
    for (int i = 0; i < msg->n; i++) {
        DQ_BUF_AUTO args = {0};
        dq_enqueue_job job;

        if (i == msg->b)
            put_stall(&msg->bytes);
        hist_put_item(&msg->item[i], &args, &job);
        dq_seal_add(&seal, (uint32_t)h->m.lane_no[msg->item[i].lane], &args, &job);
    }
    dq_seal_end(&seal, h->producer[msg->who].token, /*by_name=*/true);
}

int hist_seal_commands(const hist_msg *msg)
{
    return msg->n + (int)n_large(msg) + (msg->b < msg->n) + 3;
}

dq_reply hist_send_seal(hist *h, const hist_msg *msg)
{
    int n = hist_seal_commands(msg);
    DQ_BUF_AUTO bytes = {0};

    for (int i = msg->flag ? 0 : 1; i < 2; i++) {
        dq_buf_clear(&bytes);
        dq_buf_append_str(&bytes, dq_buf_str(&msg->bytes));
        put_word(&bytes, i == 0 ? "DISCARD" : "EXEC"); /* DISCARD: its connection ended before EXEC came */
        if (i == 0)
            (void)hist_ask(h->w, 0, &bytes, n);
    }
    return hist_ask(h->w, 0, &bytes, n);
}

/* ---- the general way ---- */

static hist_msg general_of(hist *h, const hist_msg *msg, int64_t no)
{
    hist_msg g = {.kind = MSG_ENQUEUE, .who = msg->who, .no = no, .n = msg->n};

    memcpy(g.item, msg->item, sizeof(g.item));
    hist_put_enqueue(h, &g);
    return g;
}

void hist_by_name(hist *h, const hist_msg *msg)
{
    hist_msg g = general_of(h, msg, msg->no);

    hist_exec(h, &g);
    dq_buf_deinit(&g.bytes);
}

void hist_go_general(hist *h, hist_msg *msg, bool twice)
{
    hist_msg g;

    hist_ask_token(h, msg->who);
    g = general_of(h, msg, ++h->producer[msg->who].call_no);
    hist_exec(h, &g);
    if (twice)
        hist_exec(h, &g);
    dq_buf_deinit(&g.bytes);
}
