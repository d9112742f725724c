/* SPDX-License-Identifier: Apache-2.0 */
/* Unique keys read and let go; and taken over from jobs that are not alive. A job of another shard than its key's lets go of it through its
   outbox, which nobody may be there to empty. So whoever finds the key held asks the job's shard: a job that is not alive holds nothing.
   What is then freed is the very value that was read before: each life of a job has one of its own. Callers' threads. */

#include "client/keys.h"

#include "redis/resp.h"

static int look(dureq_client *c, dureq_str key, dq_key_holder *ret, dureq_error *err)
{
    const dq_keys *k = dq_client_keys(c);
    unsigned home = dq_keys_shard_of(k, key);
    dq_owned_reply reply;
    dq_buf call = {0};
    int rc;

    dq_call_key_look(&call, k, home, key);
    rc = dq_client_call(c, home, DQ_CALL_REPEAT, &call, &reply, err);
    if (rc < 0)
        return rc;
    rc = dq_key_holder_decode(dq_reply_str(dq_reply_at(reply.reply, 0)), dq_reply_int(dq_reply_at(reply.reply, 1)), k, ret);
    dq_owned_reply_deinit(&reply);
    return rc < 0 ? dq_fail(err, rc, "what Redis holds of this key cannot be read") : 0;
}

/* 1 when the job that holds a key of another shard is alive, else 0. */
static int owner_lives(dureq_client *c, const dq_key_holder *h, dureq_error *err)
{
    dq_owned_reply reply;
    dq_buf call = {0};
    int rc;

    dq_call_key_owner(&call, dq_client_keys(c), h->shard, dureq_str_of(h->id, DQ_ID_BYTES));
    rc = dq_client_call(c, h->shard, DQ_CALL_REPEAT, &call, &reply, err);
    if (rc < 0)
        return rc;
    rc = dq_reply_int(reply.reply) == 1;
    dq_owned_reply_deinit(&reply);
    return rc;
}

bool dq_key_may_be_freed(const dq_key_holder *h, const unsigned char *own)
{
    return h->how == DQ_KEY_HELD_AWAY && (h->left_ms < 0 || (own && memcmp(h->id, own, DQ_ID_BYTES) == 0));
}

int dq_key_free_if_dead(dureq_client *c, dureq_str key, const unsigned char *own, dureq_error *err)
{
    unsigned home = dq_keys_shard_of(dq_client_keys(c), key);
    dq_owned_reply reply;
    dq_key_holder h;
    dq_buf call = {0};
    int rc;

    rc = look(c, key, &h, err);
    if (rc < 0 || h.how == DQ_KEY_FREE_NOW)
        return rc < 0 ? rc : 1;
    if (!dq_key_may_be_freed(&h, own))
        return 0;
    rc = owner_lives(c, &h, err);
    if (rc != 0)
        return DQ_MIN(rc, 0);
    dq_call_key_settle(&call, dq_client_keys(c), home, h.shard, own ? DQ_KEY_FREE_OWN : DQ_KEY_FREE, key,
                       dq_key_holder_value(&h));
    rc = dq_client_call(c, home, DQ_CALL_REPEAT, &call, &reply, err);
    if (rc < 0)
        return rc;
    dq_owned_reply_deinit(&reply);
    return 1;
}

static int get_unique_key(dureq_client *c, dureq_str key, dureq_job_id *ret, int64_t *ret_ttl_ms, dureq_error *err)
{
    dq_key_holder h;
    dq_id id;
    int rc;

    rc = look(c, key, &h, err);
    if (rc == 0 && h.how == DQ_KEY_HELD_AWAY && h.left_ms < 0) {
        rc = owner_lives(c, &h, err);
        if (rc == 0)
            h.how = DQ_KEY_FREE_NOW;
    }
    if (rc < 0)
        return rc;
    if (h.how == DQ_KEY_FREE_NOW || h.how == DQ_KEY_RESERVED || !dq_id_unpack(dureq_str_of(h.id, DQ_ID_BYTES), &id))
        return dq_fail(err, DUREQ_ENOTFOUND, "no job holds this key");
    dq_id_to_text(&id, ret);
    if (ret_ttl_ms)
        *ret_ttl_ms = h.left_ms;
    return 0;
}

int dureq_client_get_unique_key(dureq_client *c, dureq_str key, dureq_job_id *ret, int64_t *ret_ttl_ms, dureq_error *err)
{
    int rc;

    if (!c || !ret)
        return dq_fail(err, DUREQ_EINVAL, "client and ret must be given");
    rc = dq_key_check("key", key, err);
    if (rc < 0)
        return rc;
    dq_client_enter(c);
    rc = get_unique_key(c, key, ret, ret_ttl_ms, err);
    dq_client_leave(c);
    return rc;
}

/* Its job is of another shard, where it is noted that it lives without its key. That is for the doctor only: not to be told is no failure. */
static void note_lost(dureq_client *c, dureq_str value)
{
    dq_owned_reply reply;
    dq_key_holder holder;
    dq_buf call = {0};

    if (dq_key_holder_decode(value, -1, dq_client_keys(c), &holder) < 0 || holder.how != DQ_KEY_HELD_AWAY)
        return;
    dq_call_key_lost(&call, dq_client_keys(c), holder.shard, dureq_str_of(holder.id, DQ_ID_BYTES));
    if (dq_client_call(c, holder.shard, DQ_CALL_REPEAT, &call, &reply, NULL) == 0)
        dq_owned_reply_deinit(&reply);
}

static int delete_key(dureq_client *c, dureq_str key, dureq_error *err)
{
    const dq_keys *k = dq_client_keys(c);
    unsigned home = dq_keys_shard_of(k, key);
    dq_owned_reply reply;
    dq_buf call = {0};
    int rc;

    dq_call_key_delete(&call, k, home, dq_client_actor(c), key);
    rc = dq_client_call(c, home, 0, &call, &reply, err);
    if (rc < 0)
        return rc;
    if (dq_reply_int(dq_reply_at(reply.reply, 0)) == 1)
        note_lost(c, dq_reply_str(dq_reply_at(reply.reply, 1)));
    else
        rc = dq_fail(err, DUREQ_ENOTFOUND, "no job holds this key");
    dq_owned_reply_deinit(&reply);
    return rc;
}

int dureq_client_delete_unique_key(dureq_client *c, dureq_str key, dureq_error *err)
{
    int rc;

    if (!c)
        return dq_fail(err, DUREQ_EINVAL, "client must be given");
    rc = dq_key_check("key", key, err);
    if (rc < 0)
        return rc;
    dq_client_enter(c);
    rc = delete_key(c, key, err);
    dq_client_leave(c);
    return rc;
}
