/* SPDX-License-Identifier: Apache-2.0 */
#include "client/tokens.h"

#include "client/client_internal.h"
#include "store/plain_calls.h"

int dq_client_token_put(dureq_client *c, const char *id, dureq_str text, dureq_error *err)
{
    dq_owned_reply reply;
    dq_buf bytes = {0};
    int rc = dq_client_may_write(c, err);

    if (rc < 0)
        return rc;
    dq_plain_token_set(&bytes, dq_client_keys(c)->prefix, dureq_str_from(id), text);
    rc = dq_client_command(c, &bytes, 1, &reply, err);
    if (rc < 0)
        return rc;
    rc = dq_reply_error(reply.reply, err);
    dq_owned_reply_deinit(&reply);
    return rc;
}

int dq_client_token_delete(dureq_client *c, const char *id, bool *ret_existed, dureq_error *err)
{
    dq_owned_reply reply;
    dq_buf bytes = {0};
    int rc;

    dq_plain_token_delete(&bytes, dq_client_keys(c)->prefix, dureq_str_from(id));
    rc = dq_client_command(c, &bytes, 1, &reply, err);
    if (rc < 0)
        return rc;
    rc = dq_reply_error(reply.reply, err);
    *ret_existed = dq_reply_int(reply.reply) > 0;
    dq_owned_reply_deinit(&reply);
    return rc;
}

int dq_client_tokens(dureq_client *c, void (*fn)(void *userdata, dureq_str id, dureq_str text), void *userdata, dureq_error *err)
{
    dq_owned_reply reply;
    dq_reply item;
    dq_buf bytes = {0};
    int rc;

    dq_plain_tokens(&bytes, dq_client_keys(c)->prefix);
    rc = dq_client_command(c, &bytes, 1, &reply, err);
    if (rc < 0)
        return rc;
    rc = dq_reply_error(reply.reply, err);
    item = dq_reply_first(reply.reply);
    for (size_t i = 0; rc == 0 && i + 1 < dq_reply_len(reply.reply); i += 2) {
        dureq_str id = dq_reply_str(item);

        item = dq_reply_next(item);
        fn(userdata, id, dq_reply_str(item));
        item = dq_reply_next(item);
    }
    dq_owned_reply_deinit(&reply);
    return rc;
}
