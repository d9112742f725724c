/* SPDX-License-Identifier: Apache-2.0 */
#include "redis/blocking.h"

#include "base/clock.h"
#include "base/mutex.h"

#include <stdatomic.h>

/* A call is shared by the caller, who may give up waiting, and the loop, which answers later: whoever lets go last frees it.
   `mu` guards the result; the command is the loop's from the post on.

   A connection says by itself only that it was made or lost, not why it cannot be made: while a command is held, a timer
   looks at that. */

#define WATCH_US 50000

typedef struct call {
    dq_message message;
    dq_loop *loop;
    dq_redis *redis;
    atomic_int refs;
    int n_replies;
    dq_timer watch;   /* loop thread */
    bool is_given_up; /* loop thread: the caller has its answer, the command's own is nobody's */

    dq_mutex mu; /* guards the next four */
    dq_cond cond;
    bool is_done;
    dq_buf reply;
    dureq_error err; /* code 0: answered. Before is_done: why it waits, if the connection is away */

    size_t command_len;
    char command[];
} call;

static void call_unref(call *c)
{
    if (atomic_fetch_sub(&c->refs, 1) != 1)
        return;
    dq_buf_deinit(&c->reply);
    dq_cond_deinit(&c->cond);
    dq_mutex_deinit(&c->mu);
    dq_free(c);
}

static void tell(call *c, const dureq_error *err, dureq_str raw)
{
    dq_mutex_lock(&c->mu);
    c->is_done = true;
    if (err)
        c->err = *err;
    else
        c->err = (dureq_error){0};
    dq_buf_append_str(&c->reply, raw);
    if (!err && dq_buf_failed(&c->reply))
        (void)dq_fail_nomem(&c->err);
    dq_cond_signal(&c->cond);
    dq_mutex_unlock(&c->mu);
}

/* The loop lets go. */
static void finish(call *c, const dureq_error *err, dureq_str raw)
{
    dq_timer_deinit(&c->watch);
    if (!c->is_given_up)
        tell(c, err, raw);
    call_unref(c);
}

static void on_reply(void *userdata, int code, const dq_reply *reply, const dureq_error *err)
{
    call *c = userdata;

    (void)reply;
    finish(c, code < 0 ? err : NULL, code < 0 ? (dureq_str){0} : dq_redis_reply_raw(c->redis));
}

static void note_why(call *c, const dureq_error *why)
{
    dq_mutex_lock(&c->mu);
    c->err = *why;
    dq_mutex_unlock(&c->mu);
}

static void on_watch(dq_timer *t)
{
    call *c = dq_container_of(t, call, watch);
    dureq_error why;

    dq_redis_last_error(c->redis, &why);
    if (dq_redis_error_is_refusal(why.code)) {
        c->is_given_up = true;
        tell(c, &why, (dureq_str){0});
        return;
    }
    note_why(c, &why);
    if (!dq_redis_is_ready(c->redis))
        dq_timer_set(t, WATCH_US);
}

static void watch_if_held(call *c)
{
    /* Out of memory: the caller waits in vain then, but not for ever. */
    if (!dq_redis_is_ready(c->redis) && dq_timer_init(&c->watch, c->loop, on_watch) == 0)
        dq_timer_set(&c->watch, WATCH_US);
}

static void on_posted(dq_message *m)
{
    call *c = dq_container_of(m, call, message);
    dureq_error why;
    int rc;

    dq_redis_last_error(c->redis, &why);
    if (dq_redis_error_is_refusal(why.code)) {
        finish(c, &why, (dureq_str){0});
        return;
    }
    note_why(c, &why);
    dq_buf_append(dq_redis_out(c->redis), c->command, c->command_len);
    rc = dq_redis_commit_many(c->redis, DQ_REDIS_HOLD, (size_t)c->n_replies, on_reply, c);
    if (rc < 0) {
        (void)dq_fail(&why, rc, "the command cannot be sent: %s", dureq_errcode_text(rc));
        finish(c, &why, (dureq_str){0});
        return;
    }
    watch_if_held(c);
}

static call *create_call(dq_loop *loop, dq_redis *r, dureq_str command, int n_replies)
{
    call *c = dq_malloc(sizeof(*c) + command.len);

    if (!c)
        return NULL;
    memset(c, 0, sizeof(*c));
    c->message.fn = on_posted;
    c->loop = loop;
    c->redis = r;
    c->n_replies = n_replies;
    atomic_init(&c->refs, 2);
    dq_mutex_init(&c->mu);
    dq_cond_init(&c->cond);
    c->command_len = command.len;
    memcpy(c->command, command.ptr, command.len);
    return c;
}

/* The result so far, the wait being over. */
static int collect(call *c, int64_t timeout_ms, dq_buf *ret_bytes, dureq_error *err) DQ_REQUIRES(c->mu)
{
    if (c->is_done && c->err.code == 0) {
        *ret_bytes = c->reply;
        c->reply = (dq_buf){0};
        return 0;
    }
    if (c->is_done || c->err.code < 0) {
        if (err)
            *err = c->err;
        return c->err.code;
    }
    return dq_fail(err, DUREQ_ETIMEOUT, "no answer within %lld ms", (long long)timeout_ms);
}

int dq_redis_call(dq_loop *loop, dq_redis *r, dureq_str command, int n_replies, int64_t timeout_ms, dq_buf *ret_bytes,
                  dureq_error *err)
{
    int64_t deadline_us =
        timeout_ms < 0 ? -1 : dq_add_sat(dq_mono_us(), timeout_ms > INT64_MAX / 1000 ? INT64_MAX : timeout_ms * 1000);
    bool in_time = true;
    call *c;
    int rc;

    if (command.len == 0 || n_replies < 1)
        return dq_fail(err, DUREQ_EINVAL, "a call needs a command and at least one reply");
    c = create_call(loop, r, command, n_replies);
    if (!c)
        return dq_fail_nomem(err);
    dq_loop_post(loop, &c->message);

    dq_mutex_lock(&c->mu);
    while (!c->is_done && in_time)
        in_time = dq_cond_wait_until(&c->cond, &c->mu, deadline_us);
    rc = collect(c, timeout_ms, ret_bytes, err);
    dq_mutex_unlock(&c->mu);
    call_unref(c);
    return rc;
}

/* ---- owned replies ---- */

int dq_owned_reply_parse(dq_buf *bytes, dq_owned_reply *ret, dureq_error *err)
{
    dq_owned_reply o = {.bytes = *bytes};
    size_t used;
    int rc;

    *bytes = (dq_buf){0};
    rc = dq_resp_parser_create(&o.parser);
    if (rc < 0)
        rc = dq_fail_nomem(err);
    else
        rc = dq_resp_parse(o.parser, o.bytes.ptr, o.bytes.len, &used, &o.reply, err);
    if (rc == 1) {
        *ret = o;
        return 0;
    }
    dq_owned_reply_deinit(&o);
    return rc < 0 ? rc : dq_fail(err, DUREQ_EPROTO, "a reply ends before its end");
}

void dq_owned_reply_deinit(dq_owned_reply *o)
{
    dq_resp_parser_destroy(o->parser);
    dq_buf_deinit(&o->bytes);
    *o = (dq_owned_reply){0};
}
