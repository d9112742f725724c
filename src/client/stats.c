/* SPDX-License-Identifier: Apache-2.0 */
/* What happened each day, and the server's own figures. Any thread; blocking. */

#include "client/stats.h"

#include "base/clock.h"
#include "client/client_internal.h"
#include "store/plain_calls.h"

#define DAY_MS 86400000LL

static void add_days(dq_day_stats *days, int n, dq_reply r)
{
    dq_reply_items items = dq_reply_items_of(r);
    dq_reply row;

    for (int i = 0; i < n && dq_reply_items_next(&items, &row); i++) {
        dq_reply_add(dq_reply_at(row, 0), &days[i].enqueued);
        dq_reply_add(dq_reply_at(row, 1), &days[i].completed);
        dq_reply_add(dq_reply_at(row, 2), &days[i].failed);
        dq_reply_add(dq_reply_at(row, 3), &days[i].dead);
        dq_reply_add(dq_reply_at(row, 4), &days[i].cancelled);
    }
}

int dq_client_days(dureq_client *c, int n, dq_day_stats *ret, dureq_error *err)
{
    int64_t last = dq_wall_ms() / DAY_MS, first = last - n + 1;
    int rc = 0;

    if (n < 1 || n > 400)
        return dq_fail(err, DUREQ_EINVAL, "days takes 1 to 400");
    memset(ret, 0, (size_t)n * sizeof *ret);
    for (int i = 0; i < n; i++) {
        char text[DQ_RFC3339_TEXT_MAX];

        (void)dq_format_rfc3339_ms((first + i) * DAY_MS, text);
        memcpy(ret[i].date, text, 10);
    }
    dq_client_enter(c);
    for (unsigned s = 0; rc == 0 && s < dq_client_keys(c)->n_shards; s++) {
        dq_owned_reply reply;
        dq_buf call = {0};

        dq_call_stats_days(&call, dq_client_keys(c), s, first, n);
        rc = dq_client_call(c, s, DQ_CALL_REPEAT, &call, &reply, err);
        if (rc == 0) {
            add_days(ret, n, reply.reply);
            dq_owned_reply_deinit(&reply);
        }
    }
    dq_client_leave(c);
    return rc;
}

int dq_client_redis_info(dureq_client *c, const char *section, dq_buf *ret, dureq_error *err)
{
    dq_owned_reply reply;
    dq_buf bytes = {0};
    int rc;

    dq_plain_info(&bytes, section);
    dq_client_enter(c);
    rc = dq_client_command(c, &bytes, 1, &reply, err);
    dq_client_leave(c);
    if (rc < 0)
        return rc;
    dq_buf_append_str(ret, dq_reply_str(reply.reply));
    dq_owned_reply_deinit(&reply);
    return dq_buf_finish(ret, err);
}
