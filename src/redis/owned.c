/* SPDX-License-Identifier: Apache-2.0 */
#include "redis/owned.h"

int dq_owned_reply_parse(dq_buf *bytes, dq_owned_reply *ret, dureq_error *err)
{
    dq_owned_reply o = {.bytes = *bytes};
    size_t used;
    int rc;

    *bytes = (dq_buf){0};
    rc = dq_resp_parser_create(&o.parser);
    if (rc < 0)
        rc = dq_fail_nomem(err);
    else
        rc = dq_resp_parse(o.parser, o.bytes.ptr, o.bytes.len, &used, &o.reply, err);
    if (rc == 1) {
        *ret = o;
        return 0;
    }
    dq_owned_reply_deinit(&o);
    return rc < 0 ? rc : dq_fail(err, DUREQ_EPROTO, "a reply ends before its end");
}

void dq_owned_reply_deinit(dq_owned_reply *o)
{
    dq_resp_parser_destroy(o->parser);
    dq_buf_deinit(&o->bytes);
    *o = (dq_owned_reply){0};
}
