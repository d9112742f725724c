/* SPDX-License-Identifier: Apache-2.0 */
#include "client/scan.h"

int dq_scan_page(dureq_client *c, dq_buf *bytes, dq_buf *cursor, dq_scan_fn fn, void *userdata, size_t *n_read, dureq_error *err)
{
    dq_owned_reply reply;
    dq_reply field, value;
    int rc = dq_client_command(c, bytes, 1, &reply, err);

    if (rc < 0)
        return rc;
    rc = dq_reply_error(reply.reply, err);
    if (rc == 0 && dq_reply_len(reply.reply) != 2)
        rc = dq_fail(err, DUREQ_EPROTO, "a page of a hash cannot be read");
    dq_buf_clear(cursor);
    if (rc == 0) {
        dq_reply_items items = dq_reply_items_of(dq_reply_at(reply.reply, 1));

        dq_buf_append_str(cursor, dq_reply_str(dq_reply_at(reply.reply, 0)));
        while (dq_reply_items_next(&items, &field) && dq_reply_items_next(&items, &value)) {
            fn(userdata, dq_reply_str(field), dq_reply_str(value));
            ++*n_read;
        }
        rc = dq_buf_finish(cursor, err);
    }
    dq_owned_reply_deinit(&reply);
    return rc;
}

bool dq_scan_is_over(const dq_buf *cursor)
{
    return dq_str_eq_text(dq_buf_str(cursor), "0");
}
