/* SPDX-License-Identifier: Apache-2.0 */
#include "redis/pubsub.h"

#include "redis/conn_internal.h"

/* The list holds what is wanted. `is_sent` says that this connection was told; it falls with the connection. The server
   confirms by a push, in the order of the commands: the ring has a slot for each, as for other commands.

   A user may be refused a channel, and be given it later. So after a refusal all are asked for again every second, which costs those that are had
   nothing; when none is refused any more, the connection is made again, so that its owner looks for what it did not hear. */

#define AGAIN_US 1000000

typedef struct subscription {
    dq_list link;
    bool sharded;
    bool is_sent;
    size_t len;
    char channel[];
} subscription;

static subscription *find(dq_redis *r, bool sharded, dureq_str channel)
{
    DQ_LIST_FOREACH (subscription, s, &r->subscriptions, link)
        if (s->sharded == sharded && dq_str_eq(dureq_str_of(s->channel, s->len), channel))
            return s;
    return NULL;
}

static void append_command(dq_buf *out, const char *verb, dureq_str channel)
{
    dq_resp_begin(out, 2);
    dq_resp_arg_text(out, verb);
    dq_resp_arg(out, channel);
}

static void append_subscribe(subscription *s, dq_buf *out)
{
    append_command(out, s->sharded ? "SSUBSCRIBE" : "SUBSCRIBE", dureq_str_of(s->channel, s->len));
    s->is_sent = true;
}

static int send_subscribe(dq_redis *r, subscription *s)
{
    int rc;

    append_subscribe(s, &r->out);
    rc = dq_conn_commit_kind(r, DQ_PENDING_SUBSCRIBE);
    s->is_sent = rc == 0;
    return rc;
}

int dq_redis_subscribe(dq_redis *r, bool sharded, dureq_str channel)
{
    subscription *s = find(r, sharded, channel);
    int rc;

    if (r->wants_resp2)
        return DUREQ_EUNSUPPORTED;
    if (s)
        return 0;
    s = dq_malloc(sizeof(*s) + channel.len);
    if (!s)
        return DUREQ_ENOMEM;
    *s = (subscription){.sharded = sharded, .len = channel.len};
    if (channel.len)
        memcpy(s->channel, channel.ptr, channel.len);
    dq_list_push_back(&r->subscriptions, &s->link);
    if (r->state != DQ_CONN_READY || !r->hello.speaks_resp3)
        return 0;
    rc = send_subscribe(r, s);
    if (rc < 0) {
        dq_list_remove(&s->link);
        dq_free(s);
    }
    return rc;
}

void dq_redis_unsubscribe(dq_redis *r, bool sharded, dureq_str channel)
{
    subscription *s = find(r, sharded, channel);

    if (!s)
        return;
    if (s->is_sent && r->state == DQ_CONN_READY) {
        append_command(&r->out, sharded ? "SUNSUBSCRIBE" : "UNSUBSCRIBE", channel);
        /* Out of memory: messages go on coming, to an owner that no longer knows the channel. */
        (void)dq_conn_commit_kind(r, DQ_PENDING_UNSUBSCRIBE);
    }
    dq_list_remove(&s->link);
    dq_free(s);
}

size_t dq_pubsub_append_all(dq_redis *r, dq_buf *out)
{
    size_t n = 0;

    DQ_LIST_FOREACH (subscription, s, &r->subscriptions, link) {
        append_subscribe(s, out);
        n++;
    }
    return n;
}

void dq_pubsub_after_greeting(dq_redis *r)
{
    if (!r->hello.speaks_resp3)
        return;
    DQ_LIST_FOREACH (subscription, s, &r->subscriptions, link)
        if (!s->is_sent)
            (void)send_subscribe(r, s); /* out of memory: with the next connection */
    if (r->subscribe_refused)
        dq_timer_set(&r->state_timer, AGAIN_US);
}

void dq_pubsub_on_refused(dq_redis *r, const dureq_error *why)
{
    if (!r->subscribe_refused) /* each time would be once a second */
        DQ_LOG(r->log, DUREQ_LOG_ERROR, "redis.subscribe_refused", "server=%s error=\"%s\"", r->address, why->msg);
    r->subscribe_refused = true;
    r->n_asked_again = 0;
    if (r->state == DQ_CONN_READY)
        dq_timer_set(&r->state_timer, AGAIN_US);
}

void dq_pubsub_on_confirmed(dq_redis *r)
{
    if (r->n_asked_again == 0 || --r->n_asked_again > 0)
        return;
    dq_redis_reconnect(r, "channels that were refused are not any more");
}

void dq_pubsub_ask_again(dq_redis *r)
{
    r->n_asked_again = 0;
    DQ_LIST_FOREACH (subscription, s, &r->subscriptions, link)
        if (send_subscribe(r, s) == 0) /* out of memory: with the next connection */
            r->n_asked_again++;
}

void dq_pubsub_on_lost(dq_redis *r)
{
    r->subscribe_refused = false;
    r->n_asked_again = 0;
    DQ_LIST_FOREACH (subscription, s, &r->subscriptions, link)
        s->is_sent = false;
}

void dq_pubsub_deinit(dq_redis *r)
{
    for (dq_list *l = dq_list_pop_front(&r->subscriptions); l; l = dq_list_pop_front(&r->subscriptions))
        dq_free(dq_container_of(l, subscription, link));
}

bool dq_pubsub_is_confirmation(dq_reply push, dq_pending_kind *ret_kind)
{
    dureq_str verb = dq_reply_str(dq_reply_first(push));

    if (dq_str_eq_text(verb, "subscribe") || dq_str_eq_text(verb, "ssubscribe")) {
        *ret_kind = DQ_PENDING_SUBSCRIBE;
        return true;
    }
    if (dq_str_eq_text(verb, "unsubscribe") || dq_str_eq_text(verb, "sunsubscribe")) {
        *ret_kind = DQ_PENDING_UNSUBSCRIBE;
        return true;
    }
    return false;
}
