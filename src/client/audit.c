/* SPDX-License-Identifier: Apache-2.0 */
/* What operators did, newest first over all shards. Any thread; blocking. */

#include "client/audit.h"

#include "client/client_internal.h"
#include "json/json.h"
#include "store/plain_calls.h"

int dq_client_newest(dureq_client *c, unsigned shard, const char *name, int count, dq_owned_reply *ret, dureq_error *err)
{
    dq_buf bytes = {0};

    dq_plain_newest(&bytes, dq_client_keys(c), shard, name, count);
    return dq_client_command(c, &bytes, 1, ret, err);
}

static void put_audit_entry(dq_json_writer *w, dq_reply fields, dureq_str target)
{
    dq_id id;

    dq_json_begin_object(w);
    dq_json_set_rfc3339(w, "at", dq_reply_int(dq_reply_lookup(fields, "at")));
    dq_json_set_str(w, "actor", dq_reply_str(dq_reply_lookup(fields, "actor")));
    dq_json_set_str(w, "action", dq_reply_str(dq_reply_lookup(fields, "action")));
    dq_json_key(w, "target");
    if (dq_id_unpack(target, &id)) {
        dureq_job_id text;

        dq_id_to_text(&id, &text);
        dq_json_put_text(w, text.text);
    } else {
        dq_json_put_str(w, target);
    }
    dq_json_set_str(w, "detail", dq_reply_str(dq_reply_lookup(fields, "detail")));
    dq_json_end_object(w);
}

/* Targets that are jobs are kept packed. */
static dureq_str packed_target(dureq_str target, unsigned char packed[DQ_ID_BYTES])
{
    dq_id id;

    if (dq_id_parse(target, &id) < 0)
        return target;
    dq_id_pack(&id, packed);
    return dureq_str_of(packed, DQ_ID_BYTES);
}

#define AUDIT_SCAN 10000 /* entries of a shard, when one target's are wanted */

/* What one shard knows, newest first, and how far it was told. */
typedef struct audit_shard {
    dq_owned_reply reply;
    dq_reply_items entries;
    dq_reply fields; /* of the entry whose turn it is */
    dureq_str target;
    int64_t at_ms; /* -1: nothing is left */
} audit_shard;

/* On to the next entry of this target (empty: of any). */
static void audit_step(audit_shard *s, dureq_str wanted)
{
    s->at_ms = -1;
    dq_reply entry;

    while (s->at_ms < 0 && dq_reply_items_next(&s->entries, &entry)) {
        s->fields = dq_reply_at(entry, 1);
        s->target = dq_reply_str(dq_reply_lookup(s->fields, "target"));
        if (wanted.len == 0 || dq_str_eq(s->target, wanted))
            s->at_ms = DQ_MAX(dq_reply_int(dq_reply_lookup(s->fields, "at")), 0);
    }
}

static int audit_read(dureq_client *c, unsigned shard, dureq_str wanted, int limit, audit_shard *ret, dureq_error *err)
{
    int rc;

    rc = dq_client_newest(c, shard, "au", wanted.len > 0 ? AUDIT_SCAN : limit, &ret->reply, err);
    if (rc < 0)
        return rc;
    ret->entries = dq_reply_items_of(ret->reply.reply);
    audit_step(ret, wanted);
    return 0;
}

static audit_shard *audit_newest(audit_shard *shards, unsigned n)
{
    audit_shard *newest = &shards[0];

    for (unsigned s = 1; s < n; s++)
        if (shards[s].at_ms > newest->at_ms)
            newest = &shards[s];
    return newest->at_ms < 0 ? NULL : newest;
}

/* Returns whether there is more. */
static bool put_audit(audit_shard *shards, unsigned n, dureq_str wanted, int limit, dq_buf *ret)
{
    dq_json_writer w = dq_json_writer_of(ret);

    dq_json_begin_array(&w);
    for (int i = 0; i < limit; i++) {
        audit_shard *newest = audit_newest(shards, n);

        if (!newest)
            break;
        put_audit_entry(&w, newest->fields, newest->target);
        audit_step(newest, wanted);
    }
    dq_json_end_array(&w);
    return audit_newest(shards, n) != NULL;
}

/* Entries before the last that were looked at may be of the target, too. */
static bool was_cut(const audit_shard *shards, unsigned n)
{
    for (unsigned s = 0; s < n; s++)
        if (dq_reply_len(shards[s].reply.reply) == AUDIT_SCAN)
            return true;
    return false;
}

int dq_client_audit(dureq_client *c, const dq_audit_query *q, bool *ret_more, dq_buf *ret, dureq_error *err)
{
    unsigned char packed[DQ_ID_BYTES];
    dureq_str wanted = packed_target(q->target, packed);
    bool has_more = false;
    unsigned n = 0;
    int rc = 0;

    dq_client_enter(c);
    unsigned n_shards = dq_client_keys(c)->n_shards;
    audit_shard *shards = dq_calloc(n_shards, sizeof *shards);
    if (!shards)
        rc = dq_fail_nomem(err);
    while (rc == 0 && n < n_shards) {
        rc = audit_read(c, n, wanted, q->limit, &shards[n], err);
        n += rc == 0;
    }
    dq_client_leave(c);
    if (rc == 0)
        has_more = put_audit(shards, n_shards, wanted, q->limit, ret) || (wanted.len > 0 && was_cut(shards, n_shards));
    if (rc == 0 && ret_more)
        *ret_more = has_more;
    for (unsigned s = 0; s < n; s++)
        dq_owned_reply_deinit(&shards[s].reply);
    dq_free(shards);
    return rc < 0 ? rc : dq_buf_finish(ret, err);
}
