/* SPDX-License-Identifier: Apache-2.0 */
#include "store/plain_calls.h"

#include <stdio.h>

#include "redis/resp.h"
#include "store/script.h"

void dq_plain_exec(dq_buf *out)
{
    dq_resp_begin(out, 1);
    dq_resp_arg(out, DQ_STR_LIT("EXEC"));
}

void dq_plain_load(dq_buf *out, int script)
{
    dq_resp_begin(out, 3);
    dq_resp_arg(out, DQ_STR_LIT("SCRIPT"));
    dq_resp_arg(out, DQ_STR_LIT("LOAD"));
    dq_resp_arg(out, dureq_str_of(dq_scripts[script].text, dq_scripts[script].len));
}

void dq_plain_get(dq_buf *out, const dq_keys *k, unsigned shard, const char *name, dureq_str suffix)
{
    dq_resp_begin(out, 2);
    dq_resp_arg(out, DQ_STR_LIT("GET"));
    dq_keys_arg(out, k, shard, name, suffix);
}

void dq_plain_field(dq_buf *out, const dq_keys *k, unsigned shard, const char *name, dureq_str field)
{
    dq_resp_begin(out, 3);
    dq_resp_arg(out, DQ_STR_LIT("HGET"));
    dq_keys_arg(out, k, shard, name, (dureq_str){0});
    dq_resp_arg(out, field);
}

void dq_plain_fields(dq_buf *out, const dq_keys *k, unsigned shard, const char *name, dureq_str suffix)
{
    dq_resp_begin(out, 2);
    dq_resp_arg(out, DQ_STR_LIT("HGETALL"));
    dq_keys_arg(out, k, shard, name, suffix);
}

void dq_plain_list(dq_buf *out, const dq_keys *k, unsigned shard, const char *name, int64_t from)
{
    dq_resp_begin(out, 4);
    dq_resp_arg(out, DQ_STR_LIT("LRANGE"));
    dq_keys_arg(out, k, shard, name, (dureq_str){0});
    dq_resp_arg_i64(out, from);
    dq_resp_arg(out, DQ_STR_LIT("-1"));
}

void dq_plain_list_part(dq_buf *out, const dq_keys *k, unsigned shard, const char *name, int64_t from, int64_t n)
{
    dq_resp_begin(out, 4);
    dq_resp_arg(out, DQ_STR_LIT("LRANGE"));
    dq_keys_arg(out, k, shard, name, (dureq_str){0});
    dq_resp_arg_i64(out, from);
    dq_resp_arg_i64(out, from + n - 1);
}

void dq_plain_newest(dq_buf *out, const dq_keys *k, unsigned shard, const char *name, int64_t n_entries)
{
    dq_resp_begin(out, 6);
    dq_resp_arg(out, DQ_STR_LIT("XREVRANGE"));
    dq_keys_arg(out, k, shard, name, (dureq_str){0});
    dq_resp_arg(out, DQ_STR_LIT("+"));
    dq_resp_arg(out, DQ_STR_LIT("-"));
    dq_resp_arg(out, DQ_STR_LIT("COUNT"));
    dq_resp_arg_i64(out, n_entries);
}

static void put_range(dq_buf *out, const char *command, const dq_keys *k, unsigned shard, const char *name, const char *bounds[2],
                      int64_t n_entries)
{
    dq_resp_begin(out, 6);
    dq_resp_arg_text(out, command);
    dq_keys_arg(out, k, shard, name, (dureq_str){0});
    dq_resp_arg_text(out, bounds[0]);
    dq_resp_arg_text(out, bounds[1]);
    dq_resp_arg(out, DQ_STR_LIT("COUNT"));
    dq_resp_arg_i64(out, n_entries);
}

void dq_plain_range(dq_buf *out, const dq_keys *k, unsigned shard, const char *name, const char *from, int64_t n_entries)
{
    put_range(out, "XRANGE", k, shard, name, (const char *[]){from, "+"}, n_entries);
}

void dq_plain_range_back(dq_buf *out, const dq_keys *k, unsigned shard, const char *name, const char *before, int64_t n_entries)
{
    char bound[64];

    (void)snprintf(bound, sizeof bound, "%s%s", strcmp(before, "+") == 0 ? "" : "(", before);
    put_range(out, "XREVRANGE", k, shard, name, (const char *[]){bound, "-"}, n_entries);
}

void dq_plain_stream_info(dq_buf *out, const dq_keys *k, unsigned shard, const char *name)
{
    dq_resp_begin(out, 3);
    dq_resp_arg(out, DQ_STR_LIT("XINFO"));
    dq_resp_arg(out, DQ_STR_LIT("STREAM"));
    dq_keys_arg(out, k, shard, name, (dureq_str){0});
}

void dq_plain_await(dq_buf *out, const dq_keys *k, const char *name, const char (*places)[48], int64_t timeout_ms)
{
    dq_resp_begin(out, 6 + 2 * (size_t)k->n_shards);
    dq_resp_arg(out, DQ_STR_LIT("XREAD"));
    dq_resp_arg(out, DQ_STR_LIT("COUNT"));
    dq_resp_arg(out, DQ_STR_LIT("1"));
    dq_resp_arg(out, DQ_STR_LIT("BLOCK"));
    dq_resp_arg_i64(out, timeout_ms);
    dq_resp_arg(out, DQ_STR_LIT("STREAMS"));
    for (unsigned s = 0; s < k->n_shards; s++)
        dq_keys_arg(out, k, s, name, (dureq_str){0});
    for (unsigned s = 0; s < k->n_shards; s++)
        dq_resp_arg_text(out, places[s]);
}

static void begin_config(dq_buf *out, const char *command, size_t n_args, const char *prefix, const char *name)
{
    DQ_BUF_AUTO key = {0};

    dq_buf_append_fmt(&key, "%s:config:%s", prefix, name);
    dq_resp_begin(out, 2 + n_args);
    dq_resp_arg_text(out, command);
    dq_resp_arg_buf(out, &key);
}

void dq_plain_config(dq_buf *out, const char *prefix, const char *name)
{
    begin_config(out, "HGETALL", 0, prefix, name);
}

void dq_plain_config_some(dq_buf *out, const char *prefix, const char *name, const dureq_str *fields, size_t n)
{
    begin_config(out, "HMGET", n, prefix, name);
    for (size_t i = 0; i < n; i++)
        dq_resp_arg(out, fields[i]);
}

void dq_plain_queues(dq_buf *out, const char *prefix)
{
    dq_plain_config(out, prefix, "queues");
}

void dq_plain_config_set(dq_buf *out, const char *prefix, const char *name, dureq_str field, dureq_str value)
{
    begin_config(out, "HSET", 2, prefix, name);
    dq_resp_arg(out, field);
    dq_resp_arg(out, value);
}

void dq_plain_config_delete(dq_buf *out, const char *prefix, const char *name, const dureq_str *fields, size_t n)
{
    begin_config(out, "HDEL", n, prefix, name);
    for (size_t i = 0; i < n; i++)
        dq_resp_arg(out, fields[i]);
}

void dq_plain_queue_rows(dq_buf *out, const dq_keys *k, unsigned shard, dureq_str cursor)
{
    dq_resp_begin(out, 5);
    dq_resp_arg(out, DQ_STR_LIT("HSCAN"));
    dq_keys_arg(out, k, shard, "q", (dureq_str){0});
    dq_resp_arg(out, cursor);
    dq_resp_arg(out, DQ_STR_LIT("COUNT"));
    dq_resp_arg(out, DQ_STR_LIT("500"));
}

void dq_plain_scan(dq_buf *out, const dq_keys *k, unsigned shard, const char *name, dureq_str suffix, dureq_str cursor, int count)
{
    dq_resp_begin(out, 5);
    dq_resp_arg(out, DQ_STR_LIT("HSCAN"));
    dq_keys_arg(out, k, shard, name, suffix);
    dq_resp_arg(out, cursor);
    dq_resp_arg(out, DQ_STR_LIT("COUNT"));
    dq_resp_arg_i64(out, count);
}

void dq_plain_minute(dq_buf *out, const dq_keys *k, unsigned shard, int64_t minute, dureq_str cursor)
{
    dq_resp_begin(out, 5);
    dq_resp_arg(out, DQ_STR_LIT("HSCAN"));
    dq_keys_arg_u64(out, k, shard, "st:", (uint64_t)minute);
    dq_resp_arg(out, cursor);
    dq_resp_arg(out, DQ_STR_LIT("COUNT"));
    dq_resp_arg(out, DQ_STR_LIT("20000")); /* 4 ms; all there is, nearly always, so that no field comes twice */
}

void dq_plain_meta(dq_buf *out, const char *prefix)
{
    static const char *const fields[] = {"schema", "scripts", "envelope", "shards"};
    DQ_BUF_AUTO key = {0};

    dq_buf_append_fmt(&key, "%s:meta", prefix);
    dq_resp_begin(out, 2 + DQ_ARRAY_LEN(fields));
    dq_resp_arg(out, DQ_STR_LIT("HMGET"));
    dq_resp_arg_buf(out, &key);
    for (size_t i = 0; i < DQ_ARRAY_LEN(fields); i++)
        dq_resp_arg_text(out, fields[i]);
}

void dq_plain_info(dq_buf *out, const char *section)
{
    dq_resp_begin(out, section ? 2 : 1);
    dq_resp_arg(out, DQ_STR_LIT("INFO"));
    if (section)
        dq_resp_arg_text(out, section);
}
