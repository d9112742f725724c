/* SPDX-License-Identifier: Apache-2.0 */
#include "client/tokens.h"

#include "client/client_internal.h"
#include "store/job_calls.h"
#include "store/plain_calls.h"

#define SOME_MAX 500 /* ids of a call */

static const char *const names[] = {[DQ_PASS_TOKEN] = "tokens", [DQ_PASS_SESSION] = "sessions"};

static int command(dureq_client *c, dq_buf *bytes, int64_t *ret, dureq_error *err)
{
    dq_owned_reply reply;
    int rc = dq_client_command(c, bytes, 1, &reply, err);

    if (rc < 0)
        return rc;
    rc = dq_reply_error(reply.reply, err);
    *ret = dq_reply_int(reply.reply);
    dq_owned_reply_deinit(&reply);
    return rc;
}

int dq_client_pass_put(dureq_client *c, dq_pass_kind kind, const char *id, dureq_str text, dureq_error *err)
{
    dq_buf bytes = {0};
    int64_t n;
    int rc = dq_client_may_write(c, err);

    if (rc < 0)
        return rc;
    dq_plain_config_set(&bytes, dq_client_keys(c)->prefix, names[kind], dureq_str_from(id), text);
    return command(c, &bytes, &n, err);
}

int dq_client_pass_delete(dureq_client *c, dq_pass_kind kind, const dureq_str *ids, size_t n, int64_t *ret_n, dureq_error *err)
{
    dq_buf bytes = {0};

    *ret_n = 0;
    if (n == 0)
        return 0;
    dq_plain_config_delete(&bytes, dq_client_keys(c)->prefix, names[kind], ids, n);
    return command(c, &bytes, ret_n, err);
}

int dq_client_passes(dureq_client *c, dq_pass_kind kind, void (*fn)(void *userdata, dureq_str id, dureq_str text), void *userdata,
                     dureq_error *err)
{
    dq_owned_reply reply;
    dq_reply_items items;
    dq_reply id, text;
    dq_buf bytes = {0};
    int rc;

    dq_plain_config(&bytes, dq_client_keys(c)->prefix, names[kind]);
    rc = dq_client_command(c, &bytes, 1, &reply, err);
    if (rc < 0)
        return rc;
    rc = dq_reply_error(reply.reply, err);
    items = dq_reply_items_of(reply.reply);
    while (rc == 0 && dq_reply_items_next(&items, &id) && dq_reply_items_next(&items, &text))
        fn(userdata, dq_reply_str(id), dq_reply_str(text));
    dq_owned_reply_deinit(&reply);
    return rc;
}

typedef struct some {
    dq_pass_kind kind;
    const dureq_str *ids;
    size_t n, n_before; /* n_before: asked for by the calls before */
    void (*fn)(void *userdata, size_t i, dureq_str text);
    void *userdata;
} some;

static int read_some(dureq_client *c, const some *s, dureq_error *err)
{
    dq_owned_reply reply;
    dq_reply_items items;
    dq_reply text;
    dq_buf bytes = {0};
    int rc;

    dq_plain_config_some(&bytes, dq_client_keys(c)->prefix, names[s->kind], s->ids + s->n_before, s->n);
    rc = dq_client_command(c, &bytes, 1, &reply, err);
    if (rc < 0)
        return rc;
    rc = dq_reply_error(reply.reply, err);
    items = dq_reply_items_of(reply.reply);
    for (size_t i = 0; rc == 0 && i < s->n && dq_reply_items_next(&items, &text); i++)
        if (dq_reply_type(text) == DQ_RESP_STRING)
            s->fn(s->userdata, s->n_before + i, dq_reply_str(text));
    dq_owned_reply_deinit(&reply);
    return rc;
}

int dq_client_passes_some(dureq_client *c, dq_pass_kind kind, const dureq_str *ids, size_t n,
                          void (*fn)(void *userdata, size_t i, dureq_str text), void *userdata, dureq_error *err)
{
    some s = {.kind = kind, .ids = ids, .fn = fn, .userdata = userdata};
    int rc = 0;

    while (rc == 0 && s.n_before < n) {
        s.n = DQ_MIN(n - s.n_before, (size_t)SOME_MAX);
        rc = read_some(c, &s, err);
        s.n_before += s.n;
    }
    return rc;
}

int dq_client_audit_note(dureq_client *c, const char *action, const char *target, dureq_str detail, dureq_error *err)
{
    dq_audit_note note = {.actor = dq_client_actor(c), .action = action, .target = dureq_str_from(target), .detail = detail};
    dq_owned_reply reply;
    dq_buf call = {0};
    int rc;

    dq_client_enter(c);
    dq_call_audit_add(&call, dq_client_keys(c), 0, &note);
    rc = dq_client_call(c, 0, 0, &call, &reply, err);
    if (rc == 0)
        dq_owned_reply_deinit(&reply);
    dq_client_leave(c);
    return rc;
}
