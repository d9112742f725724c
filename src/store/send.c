/* SPDX-License-Identifier: Apache-2.0 */
/* Sending script calls. A call is copied when it is sent, since NOSCRIPT (somebody flushed the scripts) wants the same bytes once more.

   Order is kept even then: calls of a producer are numbered and a number that comes late is refused. So at the first NOSCRIPT nothing new
   is sent; when all that is in flight is answered, the scripts are loaded, and those that were answered NOSCRIPT go first, then what
   was held back meanwhile. Loop thread. */

#include <string.h>

#include "redis/resp.h"
#include "store/core.h"

#define REPEATS_MAX 16 /* somebody may flush them again and again; a script that cannot be loaded must show in the end */

static void call_answer(dq_store_call *c, int code, const dq_reply *reply, const dureq_error *err)
{
    dq_store_fn fn = c->fn;
    void *userdata = c->userdata;

    dq_free(c);
    fn(userdata, code, reply, err);
}

/* Answers the calls of a list with an error; with keep_waiting not those that may wait. */
static void fail_list(dq_list *list, const dureq_error *err, bool keep_waiting)
{
    dq_list now;

    dq_list_init(&now);
    DQ_LIST_FOREACH (dq_store_call, c, list, link) {
        if (keep_waiting && c->wait)
            continue;
        dq_list_remove(&c->link);
        dq_list_push_back(&now, &c->link);
    }
    while (!dq_list_empty(&now))
        call_answer(dq_container_of(dq_list_pop_front(&now), dq_store_call, link), err->code, NULL, err);
}

void dq_send_down(dq_store *s, const dureq_error *why)
{
    dureq_error err;

    /* None of these was executed, yet their owner repeats what was in flight in its own order: they are part of that. */
    dq_fail(&err, DUREQ_EUNAVAILABLE, "%s", why->msg);
    fail_list(&s->again, &err, false);
    fail_list(&s->waiting, &err, true);
}

void dq_send_close(dq_store *s)
{
    dureq_error err;

    dq_fail(&err, DUREQ_ECLOSED, "the store was closed");
    fail_list(&s->again, &err, false);
    fail_list(&s->waiting, &err, false);
}

static void reload_when_quiet(dq_store *s);

static void on_call_reply(void *userdata, int code, const dq_reply *reply, const dureq_error *err)
{
    dq_store_call *c = userdata;
    dq_store *s = c->store;

    s->flying--;
    if (code == DUREQ_ENOSCRIPT && c->repeats < REPEATS_MAX && s->up) {
        c->repeats++;
        s->reloading = true;
        dq_list_push_back(&s->again, &c->link);
        c = NULL;
    }
    /* Before the answer, whose receiver may destroy the store. */
    if (s->reloading)
        reload_when_quiet(s);
    if (c)
        call_answer(c, code, reply, err);
}

static int fly(dq_store *s, dq_store_call *c)
{
    int r = dq_redis_send(s->main, 0, dureq_str_of(c->bytes, c->len), (dureq_str){0}, on_call_reply, c);

    if (r == 0)
        s->flying++;
    return r;
}

static void fly_list(dq_store *s, dq_list *list)
{
    dq_list now;

    dq_list_init(&now);
    dq_list_splice_back(&now, list);
    while (!dq_list_empty(&now)) {
        dq_store_call *c = dq_container_of(dq_list_pop_front(&now), dq_store_call, link);
        int r = fly(s, c);

        if (r < 0) {
            dureq_error err;

            dq_fail(&err, r, "the call could not be sent: %s", dureq_errcode_text(r));
            call_answer(c, r, NULL, &err);
        }
    }
}

static void on_script_loaded(void *userdata, int code, const dq_reply *reply, const dureq_error *err)
{
    dq_store *s = userdata;

    (void)reply;
    s->load_pending--;
    if (code < 0)
        DQ_LOG(s->log, DUREQ_LOG_WARN, "store.scripts", "error=\"%s\"", err->msg);
    if (s->load_pending > 0 || !s->up)
        return;
    /* A script that could not be loaded shows as ENOSCRIPT at the calls that need it. */
    s->reloading = false;
    fly_list(s, &s->again);
    fly_list(s, &s->waiting);
}

static void reload_when_quiet(dq_store *s)
{
    if (s->flying > 0 || s->load_pending > 0)
        return;
    int r = dq_send_load_scripts(s, on_script_loaded, s, &s->load_pending);
    if (r < 0 && r != DUREQ_EUNAVAILABLE)
        dq_redis_reconnect(s->main, "the scripts could not be loaded"); /* loads them when it is up again */
}

/* ---- scripts to the server ---- */

static int send_load(dq_store *s, int script)
{
    dureq_str text = dureq_str_of(dq_scripts[script].text, dq_scripts[script].len);
    dureq_str words[] = {DQ_STR_LIT("SCRIPT"), DQ_STR_LIT("LOAD"), text};

    return dq_redis_command(s->main, 0, s->load.fn, s->load.userdata, 3, words);
}

/* Those that are not there yet: as a rule all or none. */
static int load_missing(dq_store *s, const dq_reply *exists)
{
    dq_reply at = dq_reply_first(*exists);
    int r = 0;

    *s->load.n = 0;
    for (int i = 0; i < DQ_SCRIPT_COUNT && r == 0; i++) {
        if (dq_reply_int(at) != 1) {
            r = send_load(s, i);
            *s->load.n += r == 0;
        }
        if (i + 1 < DQ_SCRIPT_COUNT)
            at = dq_reply_next(at);
    }
    return *s->load.n > 0 ? 0 : r; /* what was sent is answered, and tells of the loss */
}

static void on_exists(void *userdata, int code, const dq_reply *reply, const dureq_error *err)
{
    dq_store *s = userdata;
    dureq_error why;

    if (code == 0 && dq_reply_len(*reply) != DQ_SCRIPT_COUNT)
        code = dq_fail(&why, DUREQ_EPROTO, "SCRIPT EXISTS answered something that cannot be read");
    else if (code == 0)
        code = load_missing(s, reply);
    else
        why = *err;
    if (code == 0 && *s->load.n > 0)
        return;
    *s->load.n = 1; /* this answer itself */
    s->load.fn(s->load.userdata, code, reply, code < 0 ? &why : err);
}

/* To connect is to ask which are there: to send them all each time would cost the server milliseconds. */
int dq_send_load_scripts(dq_store *s, dq_redis_reply_fn fn, void *userdata, unsigned *n)
{
    dureq_str words[2 + DQ_SCRIPT_COUNT] = {DQ_STR_LIT("SCRIPT"), DQ_STR_LIT("EXISTS")};
    int r;

    for (int i = 0; i < DQ_SCRIPT_COUNT; i++)
        words[2 + i] = dureq_str_of(dq_scripts[i].sha1, 40);
    s->load.fn = fn;
    s->load.userdata = userdata;
    s->load.n = n;
    r = dq_redis_command(s->main, 0, on_exists, s, DQ_ARRAY_LEN(words), words);
    *n = r == 0;
    return r;
}

void dq_send_up(dq_store *s)
{
    s->reloading = false;
    s->load_pending = 0;
    fly_list(s, &s->again);
    fly_list(s, &s->waiting);
}

int dq_store_send(dq_store *s, unsigned shard, unsigned flags, dureq_str call, dq_store_fn fn, void *userdata)
{
    (void)shard; /* all shards of this version are on one server */
    if (!s->up && !(flags & DQ_SEND_WAIT))
        return DUREQ_EUNAVAILABLE;
    dq_store_call *c = dq_malloc(sizeof(*c) + call.len);
    if (!c)
        return DUREQ_ENOMEM;
    *c = (dq_store_call){.store = s, .fn = fn, .userdata = userdata, .wait = flags & DQ_SEND_WAIT, .len = call.len};
    memcpy(c->bytes, call.ptr, call.len);
    if (!s->up || s->reloading) {
        dq_list_push_back(&s->waiting, &c->link);
        return 0;
    }
    int r = fly(s, c);
    if (r == DUREQ_EUNAVAILABLE && (flags & DQ_SEND_WAIT)) {
        dq_list_push_back(&s->waiting, &c->link);
        return 0;
    }
    if (r < 0)
        dq_free(c);
    return r;
}
