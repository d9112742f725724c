/* SPDX-License-Identifier: Apache-2.0 */
/* The plain calls of producers, as src/client/produce_call.c makes them: MULTI, an XADD for each job (and a SET of a large payload), the seal,
   EXEC. A producer goes this way while it has a token, knows the numbers of the lanes, and has read that their queues have no limit. Refused as a
   whole, it asks for the token anew and sends the same jobs the general way under a new number; when another server answers, in the general way
   under the same number. */

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "hist_play.h"
#include "redis/resp.h"

/* ---- what it knows ---- */

void hist_see_queues(hist *h, int producer)
{
    for (int i = 0; i < HM_QUEUES; i++)
        h->producer[producer].plain[i] = h->m.limit[i] == 0;
}

/* The token vouches for queues that are read behind it. */
void hist_ask_token(hist *h, int producer)
{
    hist_producer *p = &h->producer[producer];
    dq_buf call = {0};
    dureq_str token;

    dq_resp_begin(&call, 3);
    dq_resp_arg_text(&call, "HGET");
    dq_keys_arg(&call, &h->w->keys, 0, "sh", (dureq_str){0});
    dq_resp_arg_text(&call, "v");
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

/* Of a payload, until the seal names it after its job. */
static void put_payload_key(hist *h, dq_buf *out, const hist_msg *msg, int i)
{
    char name[64];

    (void)snprintf(name, sizeof(name), "%d.%" PRId64 ".%d", msg->who, msg->no, i);
    dq_keys_arg(out, &h->w->keys, 0, "b:", dureq_str_from(name));
}

static void put_entry(hist *h, dq_buf *out, const hist_msg *msg, int i)
{
    const hm_item *it = &msg->item[i];
    DQ_BUF_AUTO j = {0};

    if (it->large) {
        dq_resp_begin(out, 3);
        dq_resp_arg_text(out, "SET");
        put_payload_key(h, out, msg, i);
        dq_resp_arg(out, hist_large_payload(it->large));
    }
    hist_pack_item(it, /*payload=*/0, &j);
    dq_resp_begin(out, 6);
    dq_resp_arg_text(out, "XADD");
    dq_keys_arg_u64(out, &h->w->keys, 0, "l:", (uint64_t)h->m.lane_no[it->lane]);
    dq_resp_arg_text(out, "NOMKSTREAM");
    dq_resp_arg_text(out, "*");
    dq_resp_arg_text(out, "j");
    dq_resp_arg(out, dq_buf_str(&j));
}

/* Lanes in the order in which their first jobs come. */
static size_t count_lanes(const hist_msg *msg, int lane[HM_LANES], int n_of[HM_LANES])
{
    size_t n = 0;

    for (int i = 0; i < msg->n; i++) {
        size_t at = 0;

        while (at < n && lane[at] != msg->item[i].lane)
            at++;
        if (at == n) {
            lane[n] = msg->item[i].lane;
            n_of[n++] = 0;
        }
        n_of[at]++;
    }
    return n;
}

static size_t n_large(const hist_msg *msg)
{
    size_t n = 0;

    for (int i = 0; i < msg->n; i++)
        n += msg->item[i].large > 0;
    return n;
}

static int place_in_lane(const hist_msg *msg, int at)
{
    int n = 0;

    for (int i = 0; i < at; i++)
        n += msg->item[i].lane == msg->item[at].lane;
    return n;
}

/* A producer sends the seal as text, since a server that forgot scripts would add the jobs unsealed; this one forgets none. */
static void put_seal(hist *h, dq_buf *out, const hist_msg *msg)
{
    const hist_producer *p = &h->producer[msg->who];
    int lane[HM_LANES], n_of[HM_LANES];
    size_t n = count_lanes(msg, lane, n_of), large = n_large(msg);

    dq_call_begin(out, DQ_SCRIPT_ENQUEUE_SEAL, 2 + large, 4 + 2 * n + 2 * large);
    dq_keys_arg(out, &h->w->keys, 0, "sh", (dureq_str){0});
    dq_keys_arg_u64(out, &h->w->keys, 0, "p:", (uint64_t)msg->who);
    for (int i = 0; i < msg->n; i++) {
        if (msg->item[i].large)
            put_payload_key(h, out, msg, i);
    }
    dq_resp_arg_i64(out, msg->no);
    dq_resp_arg_text(out, p->token);
    dq_resp_arg_i64(out, 0);
    dq_resp_arg_i64(out, (int64_t)n);
    for (size_t i = 0; i < n; i++) {
        dq_resp_arg_i64(out, h->m.lane_no[lane[i]]);
        dq_resp_arg_i64(out, n_of[i]);
    }
    for (int i = 0; i < msg->n; i++) {
        if (!msg->item[i].large)
            continue;
        dq_resp_arg_i64(out, h->m.lane_no[msg->item[i].lane]);
        dq_resp_arg_i64(out, place_in_lane(msg, i));
    }
}

void hist_put_seal(hist *h, hist_msg *msg)
{
    dq_buf *out = &msg->bytes;

    msg->kind = MSG_SEAL;
    msg->a = h->producer[msg->who].version;
    put_word(out, "MULTI");
    for (int i = 0; i < msg->n; i++) {
        if (i == msg->b)
            put_stall(out);
        put_entry(h, out, msg, i);
    }
    put_seal(h, out, msg);
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
