/* SPDX-License-Identifier: Apache-2.0 */
/* The store's life: its connections, whether it is up, the server's clock. What happens between "connected" and "up" is in open.c, sending
   in send.c, Pub/Sub in subscribe.c, queues in queues.c. All of it on the loop thread; drawn from Redis again at each connect:
   meta, scripts, queues. What stays for the store's life: the keys, so that any thread may build calls with them. */

#include "store/store.h"

#include <string.h>

#include "base/clock.h"
#include "model/job.h"
#include "store/core.h"

static void on_main_ready(dq_redis *r, bool same_server, void *userdata)
{
    dq_store *s = userdata;

    (void)r;
    s->other_server = s->other_server || !same_server;
    dq_open_start(s);
}

static void go_down(dq_store *s, const dureq_error *why)
{
    bool was_up = s->up;

    s->up = s->absent = false;
    s->step = DQ_OPEN_IDLE;
    dq_open_watch(s);
    if (was_up || !dq_error_is_refusal(s->last.code))
        s->last = *why;
    dq_send_down(s, why);
    if (!was_up)
        return;
    DQ_LOG(s->log, DUREQ_LOG_WARN, "store.down", "error=\"%s\"", why->msg);
    if (s->cb.on_down)
        s->cb.on_down(s, why, s->cb.userdata);
}

static void on_main_lost(dq_redis *r, const dureq_error *why, void *userdata)
{
    (void)r;
    go_down(userdata, why);
}

static void on_main_push(dq_redis *r, dq_reply push, void *userdata)
{
    (void)r;
    dq_subscribe_push(userdata, push);
}

static void on_cycle_ready(dq_redis *r, bool same_server, void *userdata)
{
    dq_store *s = userdata;

    (void)r;
    (void)same_server;
    if (s->cb.on_cycle)
        s->cb.on_cycle(s, true, s->cb.userdata);
}

static void on_cycle_lost(dq_redis *r, const dureq_error *why, void *userdata)
{
    dq_store *s = userdata;

    (void)r;
    (void)why;
    if (s->cb.on_cycle)
        s->cb.on_cycle(s, false, s->cb.userdata);
}

static int take_options(dq_store *s, const dq_store_options *opts, dureq_error *err)
{
    const char *prefix = opts->prefix ? opts->prefix : "dureq";
    int r = dq_prefix_check(dureq_str_from(prefix), err);

    if (r < 0)
        return r;
    if (opts->shards > DQ_SHARD_MAX + 1)
        return dq_fail(err, DUREQ_EINVAL, "shards must be 1 to %d, not %u", DQ_SHARD_MAX + 1, opts->shards);
    if (opts->history_max_bytes < -1)
        return dq_fail(err, DUREQ_EINVAL, "history_max_bytes must be a number of bytes, 0 or -1");
    r = dq_redis_url_parse(dureq_str_from(opts->redis_url), &s->url, err);
    if (r < 0)
        return r;
    s->prefix = dq_strdup(prefix);
    s->client_name = opts->client_name ? dq_strdup(opts->client_name) : NULL;
    if (!s->prefix || (opts->client_name && !s->client_name))
        return dq_fail_nomem(err);
    s->shards_wanted = opts->shards ? opts->shards : 1;
    s->allow_eviction = opts->allow_eviction;
    s->no_create = opts->no_create;
    s->history_max_bytes = opts->history_max_bytes;
    s->log = opts->log;
    return 0;
}

static int connect_main(dq_store *s, dureq_error *err)
{
    dq_redis_options o = {.url = s->url, .client_name = s->client_name, .log = s->log};
    dq_redis_callbacks cb = {.on_ready = on_main_ready, .on_lost = on_main_lost, .on_push = on_main_push, .userdata = s};

    return dq_redis_create(s->loop, &o, &cb, &s->main, err);
}

int dq_store_create(dq_loop *loop, const dq_store_options *opts, const dq_store_callbacks *cb, dq_store **ret, dureq_error *err)
{
    dq_store *s = dq_calloc(1, sizeof(*s));

    if (!s)
        return dq_fail_nomem(err);
    s->loop = loop;
    s->cb = *cb;
    dq_list_init(&s->again);
    dq_list_init(&s->waiting);
    int r = take_options(s, opts, err);
    if (r == 0) {
        r = dq_timer_init(&s->retry, loop, dq_open_retry_fired);
        if (r < 0)
            dq_fail_nomem(err);
    }
    if (r == 0)
        r = connect_main(s, err);
    if (r == 0)
        dq_open_watch(s);
    if (r < 0) {
        dq_store_destroy(s);
        return r;
    }
    *ret = s;
    return 0;
}

int dq_store_open_cycle(dq_store *s, dureq_error *err)
{
    dq_redis_options o = {.url = s->url, .client_name = s->client_name, .log = s->log};
    dq_redis_callbacks cb = {.on_ready = on_cycle_ready, .on_lost = on_cycle_lost, .userdata = s};

    return s->cycle ? 0 : dq_redis_create(s->loop, &o, &cb, &s->cycle, err);
}

void dq_store_destroy(dq_store *s)
{
    if (!s)
        return;
    s->up = false;
    s->cb = (dq_store_callbacks){0};
    if (s->cycle)
        dq_redis_destroy(s->cycle);
    if (s->bulk)
        dq_redis_destroy(s->bulk);
    if (s->main)
        dq_redis_destroy(s->main);
    dq_send_close(s);
    dq_timer_deinit(&s->retry);
    dq_queue_set_deinit(&s->queues);
    dq_free(s->shards);
    if (s->has_keys)
        dq_keys_deinit(&s->keys);
    dq_redis_url_deinit(&s->url);
    dq_free(s->prefix);
    dq_free(s->client_name);
    dq_free(s);
}

bool dq_store_is_up(const dq_store *s)
{
    return s->up;
}

bool dq_store_is_absent(const dq_store *s)
{
    return s->absent;
}

void dq_store_last_error(const dq_store *s, dureq_error *ret)
{
    if (s->up) {
        *ret = (dureq_error){0};
        return;
    }
    *ret = s->last;
    if (ret->code == 0)
        dq_redis_last_error(s->main, ret);
    if (ret->code == 0)
        dq_fail(ret, DUREQ_EUNAVAILABLE, "not connected yet");
}

dq_loop *dq_store_loop(const dq_store *s)
{
    return s->loop;
}

const dq_keys *dq_store_keys(const dq_store *s)
{
    return &s->keys;
}

unsigned dq_store_n_links(const dq_store *s)
{
    (void)s;
    return 1;
}

unsigned dq_store_link_of(const dq_store *s, unsigned shard)
{
    (void)s;
    (void)shard;
    return 0;
}

static dq_redis *bulk_of(dq_store *s)
{
    dq_redis_options o = {.url = s->url, .client_name = s->client_name, .log = s->log};
    dq_redis_callbacks none = {0};

    if (!s->bulk && dq_redis_create(s->loop, &o, &none, &s->bulk, NULL) < 0)
        s->bulk = NULL;
    return s->bulk;
}

int dq_store_connect(dq_store *s, const dq_redis_callbacks *cb, dq_redis **ret, dureq_error *err)
{
    dq_redis_options o = {.url = s->url, .client_name = s->client_name, .log = s->log};

    return dq_redis_create(s->loop, &o, cb, ret, err);
}

dq_redis *dq_store_redis(dq_store *s, unsigned shard, dq_store_conn which)
{
    (void)shard; /* all shards of this version are on one server */
    if (which == DQ_CONN_BULK)
        return bulk_of(s);
    return which == DQ_CONN_CYCLE ? s->cycle : s->main;
}

int64_t dq_store_now_ms(const dq_store *s, unsigned shard)
{
    (void)shard; /* one server, one clock */
    return s->has_time ? (dq_mono_us() + s->offset_us) / 1000 : dq_wall_ms();
}

/* What no server's clock says comes from an answer that cannot be read: the clock goes on as it was. */
void dq_store_saw_time(dq_store *s, unsigned shard, int64_t server_now_ms)
{
    (void)shard;
    if (server_now_ms <= 0 || server_now_ms >> 44) /* more than a job id can tell */
        return;
    s->offset_us = server_now_ms * 1000 - dq_mono_us();
    s->has_time = true;
}
