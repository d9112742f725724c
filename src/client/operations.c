/* SPDX-License-Identifier: Apache-2.0 */
#include "client/operations.h"

#include "client/client_internal.h"

#define HOME 0 /* the shard that has the records */

/* ---- records ---- */

static int64_t number_of(dq_reply fields, const char *name, int64_t absent)
{
    dq_reply v = dq_reply_lookup(fields, name);

    return dq_reply_is_nil(v) ? absent : dq_reply_int(v);
}

/* { id, { field, value... } } */
static dq_operation_record record_of(dq_reply one)
{
    dq_reply fields = dq_reply_at(one, 1);

    return (dq_operation_record){
        .id = dq_reply_str(dq_reply_at(one, 0)),
        .spec = dq_reply_str(dq_reply_lookup(fields, "spec")),
        .state = dq_reply_str(dq_reply_lookup(fields, "st")),
        .cursor = dq_reply_str(dq_reply_lookup(fields, "cur")),
        .reason = dq_reply_str(dq_reply_lookup(fields, "why")),
        .error = dq_reply_str(dq_reply_lookup(fields, "err")),
        .created_at_ms = number_of(fields, "at", 0),
        .updated_at_ms = number_of(fields, "up", 0),
        .ended_at_ms = number_of(fields, "end", 0),
        .n_seen = number_of(fields, "seen", 0),
        .n_refused = number_of(fields, "ref", 0),
        .n_done = number_of(fields, "n", -1),
    };
}

/* Sends a call to the shard of the records; *ret is the caller's on 0. */
static int ask(dureq_client *c, unsigned flags, dq_buf *call, dq_owned_reply *ret, dureq_error *err)
{
    int rc;

    dq_client_enter(c);
    rc = dq_client_call(c, HOME, flags, call, ret, err);
    dq_client_leave(c);
    return rc;
}

int dq_client_operations(dureq_client *c, dureq_str id, dureq_str before, int limit, dq_operation_fn fn, void *userdata,
                         int64_t *ret_now_ms, dureq_error *err)
{
    dq_owned_reply reply;
    dq_buf call = {0};
    dq_reply one;
    int rc;

    dq_call_operations_page(&call, dq_client_keys(c), id, before, limit);
    rc = ask(c, DQ_CALL_REPEAT, &call, &reply, err);
    if (rc < 0)
        return rc;
    dq_reply_items items = dq_reply_items_of(reply.reply);
    if (dq_reply_type(reply.reply) != DQ_RESP_ARRAY || !dq_reply_items_next(&items, &one))
        rc = dq_fail(err, DUREQ_EPROTO, "the answer of operations_page cannot be read");
    else if (ret_now_ms)
        *ret_now_ms = dq_reply_int(one);
    while (rc >= 0 && dq_reply_items_next(&items, &one)) {
        dq_operation_record record = record_of(one);

        rc = fn(userdata, &record, err);
    }
    dq_owned_reply_deinit(&reply);
    return rc;
}

/* ---- what is done with a record ---- */

int dq_client_operation_start(dureq_client *c, dureq_str id, dureq_str spec, dureq_str detail, dureq_error *err)
{
    dq_operation_start what = {.id = id, .spec = spec, .actor = dq_client_actor(c), .detail = detail};
    dq_owned_reply reply;
    dq_buf call = {0};
    int rc = dq_client_may_write(c, err);

    if (rc < 0)
        return rc;
    dq_call_operation_start(&call, dq_client_keys(c), &what);
    rc = ask(c, DQ_CALL_REPEAT, &call, &reply, err);
    if (rc < 0)
        return rc;
    if (dq_reply_int(reply.reply) < 0)
        rc = dq_fail(err, DUREQ_ELIMIT, "a hundred operations are under way: wait for the end of one, or stop one");
    dq_owned_reply_deinit(&reply);
    return rc;
}

int dq_client_operation_stop(dureq_client *c, dureq_str id, dureq_str reason, dureq_error *err)
{
    dq_owned_reply reply;
    dq_buf call = {0};
    int64_t code;
    int rc;

    dq_call_operation_stop(&call, dq_client_keys(c), dq_client_actor(c), id, reason);
    rc = ask(c, DQ_CALL_REPEAT, &call, &reply, err);
    if (rc < 0)
        return rc;
    code = dq_reply_int(reply.reply);
    dq_owned_reply_deinit(&reply);
    if (code == DUREQ_ENOTFOUND)
        return dq_fail(err, DUREQ_ENOTFOUND, "no operation '" DQ_STR_FMT "'", DQ_STR_ARG(id));
    return code < 0 ? dq_fail(err, DUREQ_ECONFLICT, "operation " DQ_STR_FMT " has ended already", DQ_STR_ARG(id)) : 0;
}

int dq_client_operation_claim(dureq_client *c, dureq_str holder, dureq_str id, int64_t lease_ms, dq_operation_fn fn,
                              void *userdata, dureq_error *err)
{
    dq_operation_turn what = {.verb = DQ_OPERATION_CLAIM, .holder = holder, .id = id, .lease_ms = lease_ms};
    dq_owned_reply reply;
    dq_buf call = {0};
    int rc;

    dq_call_operation_turn(&call, dq_client_keys(c), &what);
    rc = ask(c, 0, &call, &reply, err);
    if (rc < 0)
        return rc;
    if (dq_reply_len(reply.reply) == 2) {
        dq_operation_record record = record_of(reply.reply);

        rc = fn(userdata, &record, err);
        rc = rc < 0 ? rc : 1;
    }
    dq_owned_reply_deinit(&reply);
    return rc;
}

int dq_client_operation_turn(dureq_client *c, const dq_operation_turn *what, bool *ret_stops, dureq_error *err)
{
    dq_owned_reply reply;
    dq_buf call = {0};
    int rc;

    dq_call_operation_turn(&call, dq_client_keys(c), what);
    rc = ask(c, DQ_CALL_REPEAT, &call, &reply, err);
    if (rc < 0)
        return rc;
    if (dq_reply_len(reply.reply) == 0)
        rc = dq_fail(err, DUREQ_EFENCED, "another daemon took the operation up");
    else if (ret_stops)
        *ret_stops = dq_str_eq_text(dq_reply_str(dq_reply_at(reply.reply, 0)), "stopping");
    dq_owned_reply_deinit(&reply);
    return rc;
}

int dq_client_operation_count(dureq_client *c, const char *verb, dureq_str id, int64_t *ret_n, dureq_error *err)
{
    int64_t n = 0;
    int rc = 0;

    dq_client_enter(c);
    for (unsigned s = 0; rc == 0 && s < dq_client_keys(c)->n_shards; s++) {
        dq_owned_reply reply;
        dq_buf call = {0};

        dq_call_operation_count(&call, dq_client_keys(c), s, verb, id);
        rc = dq_client_call(c, s, DQ_CALL_REPEAT, &call, &reply, err);
        if (rc < 0)
            break;
        dq_reply_add(reply.reply, &n);
        dq_owned_reply_deinit(&reply);
    }
    dq_client_leave(c);
    if (rc == 0)
        *ret_n = n;
    return rc;
}
