/* SPDX-License-Identifier: Apache-2.0 */
/* Shard channels: which ones the store listens to, and whose message a push is. The connection subscribes again by itself
   after a reconnect. Loop thread. */

#include <string.h>

#include "redis/pubsub.h"
#include "store/core.h"

static int channel_name(const dq_store *s, unsigned shard, const char *name, dureq_str suffix, dq_buf *out)
{
    if (!s->has_keys || shard >= s->keys.n_shards)
        return DUREQ_EUNAVAILABLE;
    dq_buf_append(out, s->keys.base[shard], s->keys.base_len[shard]);
    dq_buf_append_text(out, name);
    dq_buf_append_str(out, suffix);
    return dq_buf_finish(out, NULL);
}

int dq_store_subscribe(dq_store *s, unsigned shard, const char *name, dureq_str suffix)
{
    DQ_BUF_AUTO channel = {0};
    int r = channel_name(s, shard, name, suffix, &channel);

    return r < 0 ? r : dq_redis_subscribe(s->main, true, dq_buf_str(&channel));
}

int dq_store_unsubscribe(dq_store *s, unsigned shard, const char *name, dureq_str suffix)
{
    DQ_BUF_AUTO channel = {0};
    int r = channel_name(s, shard, name, suffix, &channel);

    if (r == 0)
        dq_redis_unsubscribe(s->main, true, dq_buf_str(&channel));
    return r;
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
