/* SPDX-License-Identifier: Apache-2.0 */
/* A change of one queue: read the definition, write the new one if it is still the one read, copy it to every shard, read again: who
   changed it meanwhile may have copied before us, so then theirs is copied once more. A program that dies between leaves shards behind
   the definition; the next one that connects brings them up to it (open.c).

   A prefix that was deleted shows by having no queues, or by a shard without its state. It must not be written to then: with a queue it
   would look as if it were there. It is made again by connecting (open.c), and the change begins again on what is there then. Loop thread. */

#include <string.h>

#include "base/clock.h"
#include "store/core.h"
#include "store/queue_calls.h"

#define TRIES_MAX     20
#define GONE_MAX      5
#define ANEW_LIMIT_US (10 * 1000000LL) /* who asked for the change has given up by then */

typedef enum change_step {
    STEP_READ,
    STEP_DEFINE,
    STEP_SHARDS,
    STEP_VERIFY,
} change_step;

static const char *const actions[] = {
    [DQ_QUEUE_SET] = "queue.set",       [DQ_QUEUE_SET_IF_MISSING] = "queue.set", [DQ_QUEUE_PAUSE] = "queue.pause",
    [DQ_QUEUE_RESUME] = "queue.resume", [DQ_QUEUE_DELETE] = "queue.delete",      [DQ_QUEUE_PUT_BACK] = "queue.set",
    [DQ_QUEUE_COPY] = "queue.set",
};

typedef struct change {
    dq_store *store;
    dq_queue_verb verb;
    dq_queue_change_fn fn;
    void *userdata;
    change_step step;
    unsigned pending; /* answers awaited */
    int tries;
    int gone;             /* how often the prefix was found deleted */
    bool misses_shard;    /* one that is not initialised, in the step */
    int64_t anew_mono_us; /* when it last was; 0: not */
    int code;             /* first failure of the step */
    dureq_error err;
    bool differs;
    dq_arena arena;
    dureq_str name, actor;
    dq_buf wanted; /* definition the caller wants, JSON; for the SETs */
    dq_buf seen;   /* what was read last; empty: nothing */
    dq_buf now;    /* what is or was written; empty: deleted */
} change;

static void run_step(change *c, change_step step);

static void change_free(change *c)
{
    dq_arena_deinit(&c->arena);
    dq_buf_deinit(&c->wanted);
    dq_buf_deinit(&c->seen);
    dq_buf_deinit(&c->now);
    dq_free(c);
}

static bool is_there(const dq_reply *reply)
{
    return dq_reply_int(dq_reply_at(*reply, 0)) != 0;
}

static dureq_str definition(const dq_reply *reply)
{
    return dq_reply_str(dq_reply_at(*reply, 1));
}

static void tell(change *c, int code, const dureq_error *err)
{
    dq_queue_change_fn fn = c->fn;
    void *userdata = c->userdata;
    bool differs = c->differs;
    dureq_error why = err ? *err : (dureq_error){0};

    change_free(c);
    fn(userdata, code, differs, &why);
}

static void on_reread(void *userdata, int code, const dq_reply *reply, const dureq_error *err)
{
    change *c = userdata;
    dq_store *s = c->store;
    dureq_error why;

    (void)err;                         /* the connection: the queues are read again with the next one */
    if (code == 0 && !is_there(reply)) /* deleted after the change */
        dq_queues_gone(s);
    else if (code == 0 && definition(reply).len > 0 && dq_queues_take_one(s, c->name, definition(reply), &why) > 0 &&
             s->cb.on_queues)
        s->cb.on_queues(s, s->cb.userdata);
    else if (code == 0 && definition(reply).len == 0)
        dq_store_refresh_queues(s);
    tell(c, 0, NULL);
}

static int send_read(change *c, dq_store_fn fn)
{
    DQ_BUF_AUTO call = {0};

    dq_call_queue_get(&call, &c->store->keys, c->name);
    if (dq_buf_failed(&call))
        return DUREQ_ENOMEM;
    return dq_store_send(c->store, 0, c->anew_mono_us ? DQ_SEND_WAIT : 0, dq_buf_str(&call), fn, c);
}

/* Who made the change finds it in what this program knows of the queues: it is read before it is told. */
static void finish(change *c, int code, const dureq_error *err)
{
    if (code < 0 || send_read(c, on_reread) < 0)
        tell(c, code, err);
}

static void on_reply(void *userdata, int code, const dq_reply *reply, const dureq_error *err);

static int send_define(change *c)
{
    DQ_BUF_AUTO call = {0};

    dq_call_queue_define(&call, &c->store->keys, c->name, dq_buf_str(&c->seen), dq_buf_str(&c->now));
    if (dq_buf_failed(&call))
        return DUREQ_ENOMEM;
    return dq_store_send(c->store, 0, 0, dq_buf_str(&call), on_reply, c);
}

static int send_shard(change *c, unsigned shard, const dq_queue *q)
{
    DQ_BUF_AUTO call = {0};

    if (q)
        dq_call_queue_set(&call, &c->store->keys, shard, c->actor, actions[c->verb], q);
    else
        dq_call_queue_unset(&call, &c->store->keys, shard, c->actor, c->name);
    if (dq_buf_failed(&call))
        return DUREQ_ENOMEM;
    return dq_store_send(c->store, shard, 0, dq_buf_str(&call), on_reply, c);
}

static int send_shards(change *c)
{
    dq_arena scratch = {0};
    dq_queue q;
    int r = c->now.len ? dq_queue_from_json(c->name, dq_buf_str(&c->now), &scratch, &q, &c->err) : 0;

    for (unsigned i = 0; r == 0 && i < c->store->keys.n_shards; i++) {
        r = send_shard(c, i, c->now.len ? &q : NULL);
        c->pending += r == 0;
    }
    dq_arena_deinit(&scratch);
    return r;
}

static void run_step(change *c, change_step step)
{
    int r = 0;

    c->step = step;
    c->code = 0;
    c->pending = 0;
    c->misses_shard = false;
    switch (step) {
    case STEP_READ:
    case STEP_VERIFY:
        r = send_read(c, on_reply);
        c->pending = r == 0;
        break;
    case STEP_DEFINE:
        r = send_define(c);
        c->pending = r == 0;
        break;
    case STEP_SHARDS: r = send_shards(c); break;
    }
    if (r == 0)
        return;
    c->code = r;
    dq_fail(&c->err, r, "%s", dureq_errcode_text(r));
    if (c->pending == 0)
        finish(c, r, &c->err);
}

static void put(dq_buf *out, dureq_str text)
{
    dq_buf_clear(out);
    dq_buf_append_str(out, text);
}

/* The new definition from the one that was read. 0: nothing to write any more; 1: c->now is to be written; negative. */
static int decide(change *c, dureq_error *err)
{
    dq_arena scratch = {0};
    dq_queue old = {0}, fresh = {0};
    bool exists = c->seen.len > 0;
    int r = exists ? dq_queue_from_json(c->name, dq_buf_str(&c->seen), &scratch, &old, err) : 0;

    if (r == 0 && c->wanted.len)
        r = dq_queue_from_json(c->name, dq_buf_str(&c->wanted), &scratch, &fresh, err);
    if (r < 0)
        goto out;
    if (!c->wanted.len) {
        if (!exists) {
            r = dq_fail(err, DUREQ_ENOTFOUND, "queue '" DQ_STR_FMT "' is not defined", DQ_STR_ARG(c->name));
            goto out;
        }
        if (c->verb == DQ_QUEUE_DELETE) {
            dq_buf_clear(&c->now);
            r = 1;
            goto out;
        }
        fresh = old;
        fresh.paused = c->verb == DQ_QUEUE_PAUSE;
    } else {
        fresh.paused = exists ? old.paused : c->verb == DQ_QUEUE_PUT_BACK && fresh.paused;
    }
    if (exists && (c->verb == DQ_QUEUE_SET_IF_MISSING || c->verb == DQ_QUEUE_PUT_BACK)) {
        c->differs = !dq_queue_same(&old, &fresh);
        goto out;
    }
    dq_buf_clear(&c->now);
    dq_queue_to_json(&fresh, &c->now);
    r = dq_buf_finish(&c->now, err);
    if (r == 0)
        r = 1;
out:
    dq_arena_deinit(&scratch);
    return r;
}

static void begin_anew(change *c)
{
    dureq_error err;

    dq_queues_gone(c->store);
    if (++c->gone > GONE_MAX) {
        dq_fail(&err, DUREQ_ECONFLICT, "the prefix is being deleted all the time");
        finish(c, err.code, &err);
        return;
    }
    c->anew_mono_us = dq_mono_us();
    run_step(c, STEP_READ);
}

static void on_read(change *c, const dq_reply *reply)
{
    bool was_late = c->anew_mono_us && dq_mono_us() - c->anew_mono_us > ANEW_LIMIT_US;
    dureq_error err;

    c->anew_mono_us = 0;
    if (was_late) {
        dq_fail(&err, DUREQ_EUNAVAILABLE, "the prefix was deleted, and the server away for too long since");
        finish(c, err.code, &err);
        return;
    }
    put(&c->seen, definition(reply));
    if (c->verb == DQ_QUEUE_COPY)
        put(&c->now, definition(reply));
    int r = dq_buf_finish(&c->seen, &err);
    if (r == 0)
        r = dq_buf_finish(&c->now, &err);
    if (r == 0 && c->verb == DQ_QUEUE_COPY) {
        run_step(c, STEP_SHARDS);
        return;
    }
    if (r == 0)
        r = decide(c, &err);
    if (r <= 0)
        finish(c, r, r < 0 ? &err : NULL);
    else
        run_step(c, STEP_DEFINE);
}

static void on_verify(change *c, const dq_reply *reply)
{
    dureq_str there = definition(reply);
    dureq_error err;

    if (dq_str_eq(there, dq_buf_str(&c->now)) || !is_there(reply)) {
        finish(c, 0, NULL);
        return;
    }
    put(&c->now, there);
    int r = dq_buf_finish(&c->now, &err);
    if (r < 0)
        finish(c, r, &err);
    else
        run_step(c, STEP_SHARDS);
}

static void on_step(change *c, const dq_reply *reply)
{
    dureq_error err;

    switch (c->step) {
    case STEP_READ:
        if (!is_there(reply))
            begin_anew(c);
        else
            on_read(c, reply);
        return;
    case STEP_DEFINE:
        if (dq_reply_int(*reply) == 1) {
            run_step(c, STEP_SHARDS);
        } else if (dq_reply_int(*reply) == -2) {
            dq_fail(&err, DUREQ_ECONFLICT, "queue " DQ_STR_FMT " is the last one: there is always some queue",
                    DQ_STR_ARG(c->name));
            finish(c, err.code, &err);
        } else if (++c->tries < TRIES_MAX) {
            run_step(c, STEP_READ); /* which tells a prefix that was deleted from another change */
        } else {
            dq_fail(&err, DUREQ_ECONFLICT, "the queue is being changed by others all the time");
            finish(c, err.code, &err);
        }
        return;
    case STEP_SHARDS:
        if (c->misses_shard)
            begin_anew(c);
        else
            run_step(c, STEP_VERIFY);
        return;
    case STEP_VERIFY: on_verify(c, reply); return;
    }
}

static void on_reply(void *userdata, int code, const dq_reply *reply, const dureq_error *err)
{
    change *c = userdata;

    if (code < 0 && c->code == 0) {
        c->code = code;
        c->err = *err;
    }
    if (code == 0 && c->step == STEP_SHARDS && dq_reply_int(*reply) == 0)
        c->misses_shard = true;
    if (code == 0 && c->step == STEP_SHARDS && c->verb == DQ_QUEUE_COPY && c->now.len == 0 && dq_reply_int(*reply) > 0)
        c->differs = true;
    c->pending--;
    if (c->pending > 0)
        return;
    if (c->code < 0)
        finish(c, c->code, &c->err);
    else
        on_step(c, reply);
}

int dq_store_change_queue(dq_store *s, dq_queue_verb verb, dureq_str name, const dq_queue *wanted, dureq_str actor,
                          dq_queue_change_fn fn, void *userdata, dureq_error *err)
{
    change *c = dq_calloc(1, sizeof(*c));

    if (!c)
        return dq_fail_nomem(err);
    c->store = s;
    c->verb = verb;
    c->fn = fn;
    c->userdata = userdata;
    c->name = dq_arena_dup_str(&c->arena, name);
    c->actor = dq_arena_dup_str(&c->arena, actor);
    if (wanted)
        dq_queue_to_json(wanted, &c->wanted);
    int r = dq_buf_finish(&c->wanted, err);
    if (r == 0 && ((name.len && !c->name.ptr) || (actor.len && !c->actor.ptr)))
        r = dq_fail_nomem(err);
    if (r == 0) {
        r = send_read(c, on_reply);
        c->pending = r == 0;
        if (r < 0)
            dq_fail(err, r, "%s", dureq_errcode_text(r));
    }
    if (r < 0)
        change_free(c);
    return r;
}
