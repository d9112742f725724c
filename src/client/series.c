/* SPDX-License-Identifier: Apache-2.0 */
#include "client/series.h"

#include "base/clock.h"
#include "client/client_internal.h"
#include "model/job.h"
#include "store/job_calls.h"

#define FIELDS (5 + 2 * DQ_SERIES_BUCKETS)

static const int64_t unit_ms[] = {[DQ_SERIES_MINUTE] = 60000, [DQ_SERIES_HOUR] = 3600000, [DQ_SERIES_DAY] = 86400000};

static void add_row(dq_series_row *row, dq_reply numbers)
{
    int64_t *const plain[] = {&row->enqueued, &row->completed, &row->failed, &row->dead, &row->cancelled};
    dq_reply_items items = dq_reply_items_of(numbers);
    dq_reply at;

    for (size_t i = 0; dq_reply_items_next(&items, &at); i++) {
        size_t bucket = i - DQ_MIN(i, DQ_ARRAY_LEN(plain));

        if (i < DQ_ARRAY_LEN(plain))
            dq_reply_add(at, plain[i]);
        else if (bucket < DQ_SERIES_BUCKETS)
            dq_reply_add(at, &row->waited[bucket]);
        else
            dq_reply_add(at, &row->ran[bucket - DQ_SERIES_BUCKETS]);
    }
}

/* Rows that one answer holds; negative when it is none. */
static int add_rows(dq_series_row *rows, int n, dq_reply r)
{
    size_t len = dq_reply_type(r) == DQ_RESP_ARRAY ? dq_reply_len(r) : 0;
    dq_reply_items items = dq_reply_items_of(r);
    dq_reply at;

    if (len == 0 || len > (size_t)n)
        return DUREQ_EPROTO;
    for (size_t i = 0; dq_reply_items_next(&items, &at); i++) {
        if (dq_reply_type(at) != DQ_RESP_ARRAY || dq_reply_len(at) != FIELDS)
            return DUREQ_EPROTO;
        add_row(&rows[i], at);
    }
    return (int)len;
}

static int add_shard(dureq_client *c, unsigned shard, dq_stats_series *what, dq_series_row *rows, dureq_error *err)
{
    int64_t first = what->first;
    int n = what->n, done = 0, rc = 0;

    while (rc >= 0 && done < n) {
        dq_owned_reply reply;
        dq_buf call = {0};

        what->first = first + done;
        what->n = n - done;
        dq_call_stats_series(&call, dq_client_keys(c), shard, what);
        rc = dq_client_call(c, shard, DQ_CALL_REPEAT, &call, &reply, err);
        if (rc < 0)
            break;
        rc = add_rows(rows + done, n - done, reply.reply);
        dq_owned_reply_deinit(&reply);
        if (rc < 0)
            dq_fail(err, rc, "the answer of stats_series cannot be read");
        done += DQ_MAX(rc, 0);
    }
    what->first = first;
    what->n = n;
    return DQ_MIN(rc, 0);
}

int dq_client_series(dureq_client *c, dq_series_unit unit, int n, const char *queue, const char *type, dq_series_row *ret,
                     dureq_error *err)
{
    static const char letters[] = "mhd";
    int64_t now_ms = dq_wall_ms(), last = now_ms / unit_ms[unit];
    dq_stats_series what = {
        .unit = letters[unit], .first = last - n + 1, .n = n, .queue = dureq_str_from(queue), .type = dureq_str_from(type)};
    int rc = dq_type_filter_check(type, err);

    memset(ret, 0, (size_t)n * sizeof *ret);
    for (int i = 0; i < n; i++) {
        ret[i].at_ms = (what.first + i) * unit_ms[unit];
        ret[i].length_ms = i + 1 < n ? unit_ms[unit] : now_ms - ret[i].at_ms;
    }
    dq_client_enter(c);
    for (unsigned s = 0; rc == 0 && s < dq_client_keys(c)->n_shards; s++)
        rc = add_shard(c, s, &what, ret, err);
    dq_client_leave(c);
    return rc;
}

int64_t dq_series_percentile(const int64_t buckets[DQ_SERIES_BUCKETS], double q)
{
    double total = 0, before = 0;

    for (int i = 0; i < DQ_SERIES_BUCKETS; i++)
        total += (double)buckets[i];
    if (total <= 0)
        return -1;
    for (int i = 0; i < DQ_SERIES_BUCKETS; i++) {
        double low = i ? (double)(INT64_C(1) << (i - 1)) : 0, high = (double)(INT64_C(1) << i), n = (double)buckets[i];

        if (n > 0 && before + n >= q * total)
            return (int64_t)(low + (high - low) * DQ_MAX(q * total - before, 0) / n);
        before += n;
    }
    return INT64_C(1) << (DQ_SERIES_BUCKETS - 1);
}
