/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* For targets that put a whole store before a server of theirs: how it is opened, and one reply at a time of what the input says. */

#include "fuzz_peer.h"

#include "store/core.h"

enum { FUZZ_SHARDS = 2 };

static inline size_t fuzz_length(const dq_list *list)
{
    size_t n = 0;

    for (const dq_list *at = list->next; at != list; at = at->next)
        n++;
    return n;
}

static inline void fuzz_put_info(dq_buf *out, const char *run_id)
{
    DQ_BUF_AUTO info = {0};

    dq_buf_append_fmt(&info, "redis_version:7.2.0\r\nrun_id:%s\r\nmaxmemory:0\r\nmaxmemory_policy:noeviction\r\n", run_id);
    dq_buf_append_fmt(out, "$%zu\r\n%s\r\n", info.len, info.ptr);
}

static inline void fuzz_put_greeting(dq_redis *r, const char *run_id, dq_buf *out)
{
    dq_buf_append_text(out, "%1\r\n$5\r\nproto\r\n:3\r\n");
    fuzz_put_info(out, run_id);
    dq_buf_append_text(out, "+PONG\r\n");
    for (size_t i = fuzz_length(&r->subscriptions); i > 0; i--)
        dq_buf_append_text(out, ">3\r\n$10\r\nssubscribe\r\n$1\r\nc\r\n:1\r\n");
}

/* What a server answers that knows the prefix. */
static inline void fuzz_put_opening(const char *run_id, dq_buf *out)
{
    DQ_BUF_AUTO queues = {0};
    size_t n;

    if (dq_queues_defaults(&queues, &n, NULL) < 0)
        abort();
    fuzz_put_info(out, run_id);
    fuzz_put_info(out, run_id);
    dq_buf_append_fmt(out, "*6\r\n:1800000000000\r\n:1\r\n:%d\r\n:1\r\n:1\r\n:1\r\n*%d\r\n", FUZZ_SHARDS, DQ_SCRIPT_COUNT);
    for (int i = 0; i < DQ_SCRIPT_COUNT; i++)
        dq_buf_append_text(out, ":1\r\n");
    dq_buf_append_fmt(out, "*6\r\n:1800000000000\r\n:1\r\n:%d\r\n:1\r\n:1\r\n:1\r\n*%zu\r\n", FUZZ_SHARDS, 2 * n);
    dq_buf_append_buf(out, &queues);
    for (int i = 0; i < FUZZ_SHARDS; i++)
        dq_buf_append_text(out, "*3\r\n:1800000000000\r\n:1\r\n:268435456\r\n");
    dq_buf_append_fmt(out, "%%%zu\r\n", n);
    dq_buf_append_buf(out, &queues);
}

/* By the server of that run id, when the connection waits for one; with opens, the store is up behind it. */
static inline void fuzz_connect_to(fuzz_peer *p, const char *run_id, bool opens)
{
    DQ_BUF_AUTO answers = {0};

    if (!p->redis || p->redis->state != DQ_CONN_WAITING)
        return;
    fuzz_peer_connect(p);
    fuzz_put_greeting(p->redis, run_id, &answers);
    if (opens)
        fuzz_put_opening(run_id, &answers);
    if (!fuzz_peer_say(p, answers.ptr, answers.len))
        abort();
}

/* One reply at *at, or nothing. */
static inline void fuzz_say_one(fuzz_peer *p, const uint8_t **at, size_t *left)
{
    dq_resp_parser *parser = NULL;
    dureq_error err = {0};
    size_t used = 0;
    dq_reply r;

    if (dq_resp_parser_create(&parser) < 0)
        abort();
    if (dq_resp_parse(parser, (const char *)*at, *left, &used, &r, &err) == 1) {
        if (p->redis && p->redis->fd >= 0)
            (void)fuzz_peer_say(p, (const char *)*at, used);
        *at += used;
        *left -= used;
    }
    dq_resp_parser_destroy(parser);
}

static inline void fuzz_lose(fuzz_peer *p)
{
    if (p->redis && p->redis->fd >= 0)
        dq_redis_reconnect(p->redis, "cut");
}
