/* SPDX-License-Identifier: Apache-2.0 */
#include "client/meter.h"

#include "client/client_internal.h"
#include "model/job.h"
#include "store/plain_calls.h"

#define QUEUES_PER_CALL 100

unsigned dq_client_shards(const dureq_client *c)
{
    return dq_client_keys(c)->n_shards;
}

int dq_client_check_up(dureq_client *c, dureq_error *err)
{
    dq_mutex_lock(&c->mu);
    bool up = c->was_up && c->why.code == 0;
    dq_mutex_unlock(&c->mu);
    return up ? 0 : dq_client_why_down(c, err);
}

/* ---- lanes ---- */

static int new_lanes(dureq_client *c, unsigned shard, uint32_t *known, dq_lane_fn fn, void *userdata, dureq_error *err)
{
    dq_owned_reply reply;
    dq_buf bytes = {0};
    dq_reply name;
    int rc;

    dq_plain_list(&bytes, dq_client_keys(c), shard, "lane", *known);
    rc = dq_client_command(c, &bytes, 1, &reply, err);
    if (rc < 0)
        return rc;
    rc = dq_reply_error(reply.reply, err);
    dq_reply_items names = dq_reply_items_of(reply.reply);
    while (rc == 0 && dq_reply_items_next(&names, &name)) {
        dureq_str queue = {0}, type = {0}, version;

        ++*known;
        (void)dq_lane_name_split(dq_reply_str(name), &queue, &type, &version);
        fn(userdata, shard, *known, queue, type);
    }
    dq_owned_reply_deinit(&reply);
    return rc;
}

int dq_client_new_lanes(dureq_client *c, uint32_t *known, dq_lane_fn fn, void *userdata, dureq_error *err)
{
    int rc = 0;

    dq_client_enter(c);
    for (unsigned s = 0; rc == 0 && s < dq_client_shards(c); s++)
        rc = new_lanes(c, s, &known[s], fn, userdata, err);
    dq_client_leave(c);
    return rc;
}

/* ---- pages of a hash ---- */

typedef void (*scan_fn)(void *userdata, dureq_str field, dureq_str value);

/* One page: fields and values to fn, the cursor of the next one to *cursor, which is "0" after the last. */
static int scan_page(dureq_client *c, dq_buf *bytes, dq_buf *cursor, scan_fn fn, void *userdata, size_t *n_read, dureq_error *err)
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

static bool is_over(const dq_buf *cursor)
{
    return dq_str_eq_text(dq_buf_str(cursor), "0");
}

/* ---- minutes ---- */

typedef struct minute_reader {
    dq_minute_fn fn;
    void *userdata;
    unsigned shard;
} minute_reader;

/* "<lane>:<kind><bucket>" */
static void take_count(void *userdata, dureq_str field, dureq_str value)
{
    const minute_reader *r = userdata;
    dureq_str rest = field, lane = dq_str_cut(&rest, ':');
    int64_t no, n, bucket = -1;

    if (rest.len == 0 || dq_parse_i64(lane, 1, UINT32_MAX, &no) < 0 || dq_parse_i64(value, 0, INT64_MAX, &n) < 0)
        return;
    if (rest.len > 1 && dq_parse_i64(dureq_str_of(rest.ptr + 1, rest.len - 1), 0, 63, &bucket) < 0)
        return;
    r->fn(r->userdata, r->shard, (uint32_t)no, rest.ptr[0], (int)bucket, n);
}

static int read_minute(dureq_client *c, minute_reader *r, int64_t minute, size_t fields_max, bool *ret_cut, dureq_error *err)
{
    DQ_BUF_AUTO cursor = {0};
    size_t n_read = 0;
    int rc = 0;

    dq_buf_append_text(&cursor, "0");
    do {
        dq_buf bytes = {0};

        dq_plain_minute(&bytes, dq_client_keys(c), r->shard, minute, dq_buf_str(&cursor));
        rc = scan_page(c, &bytes, &cursor, take_count, r, &n_read, err);
    } while (rc == 0 && !is_over(&cursor) && n_read < fields_max);
    *ret_cut = *ret_cut || (rc == 0 && !is_over(&cursor));
    return rc;
}

int dq_client_minute(dureq_client *c, int64_t minute, size_t fields_max, dq_minute_fn fn, void *userdata, bool *ret_cut,
                     dureq_error *err)
{
    minute_reader r = {.fn = fn, .userdata = userdata};
    int rc = 0;

    *ret_cut = false;
    dq_client_enter(c);
    for (; rc == 0 && r.shard < dq_client_shards(c); r.shard++)
        rc = read_minute(c, &r, minute, fields_max, ret_cut, err);
    dq_client_leave(c);
    return rc;
}

/* ---- queues ---- */

typedef struct queue_reader {
    void (*fn)(void *userdata, dureq_str name, bool paused);
    void *userdata;
    size_t n, n_max;
} queue_reader;

/* The row of a queue: max_len in 6 bytes, flags in one. */
static void take_queue(void *userdata, dureq_str name, dureq_str row)
{
    queue_reader *r = userdata;

    if (r->n++ < r->n_max)
        r->fn(r->userdata, name, row.len > 6 && (row.ptr[6] & 1));
}

int dq_client_some_queues(dureq_client *c, size_t n_max, void (*fn)(void *userdata, dureq_str name, bool paused), void *userdata,
                          dureq_error *err)
{
    queue_reader r = {.fn = fn, .userdata = userdata, .n_max = n_max};
    DQ_BUF_AUTO cursor = {0};
    size_t n_read = 0;
    int rc;

    dq_buf_append_text(&cursor, "0");
    dq_client_enter(c);
    do {
        dq_buf bytes = {0};

        dq_plain_queue_rows(&bytes, dq_client_keys(c), /*shard=*/0, dq_buf_str(&cursor));
        rc = scan_page(c, &bytes, &cursor, take_queue, &r, &n_read, err);
    } while (rc == 0 && !is_over(&cursor) && n_read < n_max);
    dq_client_leave(c);
    return rc;
}

static int add_depths(dureq_client *c, unsigned shard, const dureq_str *names, size_t n, dq_queue_stats *sums,
                      int64_t *ret_now_ms, dureq_error *err)
{
    dq_owned_reply reply;
    dq_buf call = {0};
    int rc;

    dq_call_queue_stats(&call, dq_client_keys(c), shard, names, n);
    rc = dq_client_call(c, shard, DQ_CALL_REPEAT, &call, &reply, err);
    if (rc < 0)
        return rc;
    rc = dq_queue_stats_add(&reply.reply, sums, n, ret_now_ms);
    dq_owned_reply_deinit(&reply);
    return rc < 0 ? dq_fail(err, rc, "the answer of queue_stats cannot be read") : 0;
}

int dq_client_queue_depths(dureq_client *c, const dureq_str *names, size_t n, dq_queue_stats *ret, int64_t *ret_now_ms,
                           dureq_error *err)
{
    int rc = 0;

    for (size_t i = 0; i < n; i++)
        ret[i] = (dq_queue_stats){.oldest_ms = -1};
    dq_client_enter(c);
    for (unsigned s = 0; rc == 0 && s < dq_client_shards(c); s++)
        for (size_t i = 0; rc == 0 && i < n; i += QUEUES_PER_CALL)
            rc = add_depths(c, s, names + i, DQ_MIN(n - i, QUEUES_PER_CALL), ret + i, ret_now_ms, err);
    dq_client_leave(c);
    return rc;
}
