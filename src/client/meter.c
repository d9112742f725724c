/* SPDX-License-Identifier: Apache-2.0 */
#include "client/meter.h"

#include "client/client_internal.h"
#include "client/lanes.h"
#include "client/scan.h"
#include "model/job.h"
#include "store/plain_calls.h"

#define LANES_PER_CALL 5000

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

/* 1: there may be more. */
static int some_lanes(dureq_client *c, unsigned shard, uint32_t *known, dq_lane_fn fn, void *userdata, dureq_error *err)
{
    dq_owned_reply reply;
    dq_buf bytes = {0};
    uint32_t before = *known;
    dq_reply name;
    int rc;

    dq_plain_list_part(&bytes, dq_client_keys(c), shard, "lane", before, LANES_PER_CALL);
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
    return rc < 0 ? rc : *known - before == LANES_PER_CALL;
}

int dq_client_new_lanes_of(dureq_client *c, unsigned shard, uint32_t *known, dq_lane_fn fn, void *userdata, dureq_error *err)
{
    int rc;

    do {
        rc = some_lanes(c, shard, known, fn, userdata, err);
    } while (rc > 0);
    return rc;
}

int dq_client_new_lanes(dureq_client *c, uint32_t *known, dq_lane_fn fn, void *userdata, dureq_error *err)
{
    int rc = 0;

    dq_client_enter(c);
    for (unsigned s = 0; rc == 0 && s < dq_client_shards(c); s++)
        rc = dq_client_new_lanes_of(c, s, &known[s], fn, userdata, err);
    dq_client_leave(c);
    return rc;
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
        rc = dq_scan_page(c, &bytes, &cursor, take_count, r, &n_read, err);
    } while (rc == 0 && !dq_scan_is_over(&cursor) && n_read < fields_max);
    *ret_cut = *ret_cut || (rc == 0 && !dq_scan_is_over(&cursor));
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
        rc = dq_scan_page(c, &bytes, &cursor, take_queue, &r, &n_read, err);
    } while (rc == 0 && !dq_scan_is_over(&cursor) && n_read < n_max);
    dq_client_leave(c);
    return rc;
}

static int add_depth(dureq_str queue, const dq_queue_stats *part, void *userdata)
{
    dq_queue_stats *sum = dq_map_get(userdata, queue);

    if (sum)
        dq_queue_stats_add(sum, part);
    return 0;
}

int dq_client_queue_depths(dureq_client *c, const dureq_str *names, size_t n, dq_queue_stats *ret, int64_t *ret_now_ms,
                           dureq_error *err)
{
    dq_map by_name = {0};
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < n; i++) {
        ret[i] = (dq_queue_stats){.oldest_ms = -1};
        rc = dq_map_put(&by_name, names[i], &ret[i]) < 0 ? dq_fail_nomem(err) : 0;
    }
    if (rc == 0)
        rc = dq_client_walk_queues(c, add_depth, &by_name, ret_now_ms, err);
    dq_map_deinit(&by_name);
    return rc;
}
