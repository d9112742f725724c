/* SPDX-License-Identifier: Apache-2.0 */
/* Shard channels: which ones the store listens to, and whose message a push is. Loop thread. */

#include <string.h>

#include "redis/resp.h"
#include "store/core.h"

/* The server confirms with a push, which is no answer to a command: so a PING goes with it, whose answer is. Whether the user
   may listen was checked when the store was opened (shard_init). */
static void on_confirmed(void *userdata, int code, const dq_reply *reply, const dureq_error *err)
{
    dq_store *s = userdata;

    (void)reply;
    if (code < 0 && code != DUREQ_EUNAVAILABLE && code != DUREQ_ECLOSED)
        DQ_LOG(s->log, DUREQ_LOG_ERROR, "store.subscribe", "error=\"%s\"", err->msg);
}

static void tell_server(dq_store *s, const char *command, const dq_subscription *sub)
{
    dq_buf *out = dq_redis_out(s->main);

    dq_resp_begin(out, 2);
    dq_resp_arg_text(out, command);
    dq_resp_arg(out, dureq_str_of(sub->channel, sub->len));
    dq_resp_begin(out, 1);
    dq_resp_arg(out, DQ_STR_LIT("PING"));
    int r = dq_redis_commit(s->main, 0, on_confirmed, s);
    if (r < 0 && r != DUREQ_EUNAVAILABLE)
        dq_redis_reconnect(s->main, "out of memory"); /* subscribes to everything again */
}

static dq_subscription *find(dq_store *s, unsigned shard, const char *name, dureq_str suffix)
{
    size_t name_len = strlen(name);

    DQ_LIST_FOREACH (dq_subscription, sub, &s->subscriptions, link) {
        size_t at = s->keys.base_len[sub->shard];

        if (sub->shard == shard && sub->len == at + name_len + suffix.len && memcmp(sub->channel + at, name, name_len) == 0 &&
            dq_str_eq(dureq_str_of(sub->channel + at + name_len, suffix.len), suffix))
            return sub;
    }
    return NULL;
}

int dq_store_subscribe(dq_store *s, unsigned shard, const char *name, dureq_str suffix)
{
    if (!s->has_keys || shard >= s->keys.n_shards)
        return DUREQ_EUNAVAILABLE;
    if (find(s, shard, name, suffix))
        return 0;
    size_t at = s->keys.base_len[shard], name_len = strlen(name);
    dq_subscription *sub = dq_malloc(sizeof(*sub) + at + name_len + suffix.len);
    if (!sub)
        return DUREQ_ENOMEM;
    *sub = (dq_subscription){.shard = shard, .len = at + name_len + suffix.len};
    memcpy(sub->channel, s->keys.base[shard], at);
    memcpy(sub->channel + at, name, name_len);
    if (suffix.len)
        memcpy(sub->channel + at + name_len, suffix.ptr, suffix.len);
    dq_list_push_back(&s->subscriptions, &sub->link);
    if (s->up)
        tell_server(s, "SSUBSCRIBE", sub);
    return 0;
}

int dq_store_unsubscribe(dq_store *s, unsigned shard, const char *name, dureq_str suffix)
{
    dq_subscription *sub = s->has_keys ? find(s, shard, name, suffix) : NULL;

    if (!sub)
        return DUREQ_ENOTFOUND;
    if (s->up)
        tell_server(s, "SUNSUBSCRIBE", sub);
    dq_list_remove(&sub->link);
    dq_free(sub);
    return 0;
}

void dq_subscribe_all(dq_store *s)
{
    DQ_LIST_FOREACH (dq_subscription, sub, &s->subscriptions, link)
        tell_server(s, "SSUBSCRIBE", sub);
}

void dq_subscribe_deinit(dq_store *s)
{
    while (!dq_list_empty(&s->subscriptions))
        dq_free(dq_container_of(dq_list_pop_front(&s->subscriptions), dq_subscription, link));
}

/* "{prefix:shard}:name" to its shard and name. */
static bool channel_split(const dq_keys *k, dureq_str channel, unsigned *ret_shard, dureq_str *ret_name)
{
    size_t prefix_len = strlen(k->prefix);
    dureq_str rest = channel;
    int64_t shard;

    dureq_str tag = dq_str_cut(&rest, '}');
    if (tag.len < prefix_len + 3 || tag.ptr[0] != '{' || memcmp(tag.ptr + 1, k->prefix, prefix_len) != 0 ||
        tag.ptr[1 + prefix_len] != ':' || rest.len < 1 || rest.ptr[0] != ':')
        return false;
    if (dq_parse_i64(dureq_str_of(tag.ptr + prefix_len + 2, tag.len - prefix_len - 2), 0, k->n_shards - 1, &shard) < 0)
        return false;
    *ret_shard = (unsigned)shard;
    *ret_name = dureq_str_of(rest.ptr + 1, rest.len - 1);
    return true;
}

void dq_subscribe_push(dq_store *s, dq_reply push)
{
    unsigned shard;
    dureq_str name, text = dq_reply_str(dq_reply_at(push, 2));

    if (!s->has_keys || !dq_str_eq_text(dq_reply_str(dq_reply_at(push, 0)), "smessage") ||
        !channel_split(&s->keys, dq_reply_str(dq_reply_at(push, 1)), &shard, &name))
        return;
    if (dq_str_eq_text(name, "ctl") && dq_str_eq_text(text, "P"))
        dq_store_refresh_queues(s);
    if (s->cb.on_message)
        s->cb.on_message(s, shard, name, text, s->cb.userdata);
}
