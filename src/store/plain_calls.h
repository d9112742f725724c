/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Plain commands, as bytes: reads that need no script, and the end of a transaction. Any thread. `name`, `suffix`: as in dq_keys_arg. */

#include "store/keys.h"

void dq_plain_exec(dq_buf *out);
void dq_plain_load(dq_buf *out, int script); /* SCRIPT LOAD */
void dq_plain_get(dq_buf *out, const dq_keys *k, unsigned shard, const char *name, dureq_str suffix);
void dq_plain_field(dq_buf *out, const dq_keys *k, unsigned shard, const char *name, dureq_str field);   /* of a hash */
void dq_plain_fields(dq_buf *out, const dq_keys *k, unsigned shard, const char *name, dureq_str suffix); /* all, of a hash */
void dq_plain_list(dq_buf *out, const dq_keys *k, unsigned shard, const char *name,
                   int64_t from); /* from that index, to its end */
void dq_plain_list_part(dq_buf *out, const dq_keys *k, unsigned shard, const char *name, int64_t from, int64_t n);
void dq_plain_newest(dq_buf *out, const dq_keys *k, unsigned shard, const char *name, int64_t n_entries); /* of a stream */
/* Entries of a stream from one on ("ms-seq"), that included. */
void dq_plain_range(dq_buf *out, const dq_keys *k, unsigned shard, const char *name, const char *from, int64_t n_entries);
/* The same backwards, from one that is not included ("+": from the end). */
void dq_plain_range_back(dq_buf *out, const dq_keys *k, unsigned shard, const char *name, const char *before, int64_t n_entries);
void dq_plain_stream_info(dq_buf *out, const dq_keys *k, unsigned shard, const char *name);
/* Waits until some shard has an entry after its place (n_shards of them, "ms-seq"), for at most that long. */
void dq_plain_await(dq_buf *out, const dq_keys *k, const char *name, const char (*places)[48], int64_t timeout_ms);
void dq_plain_queues(dq_buf *out, const char *prefix); /* all definitions */
/* Of the hash `<prefix>:config:<name>`: all fields, some, one set, some deleted. */
void dq_plain_config(dq_buf *out, const char *prefix, const char *name);
void dq_plain_config_some(dq_buf *out, const char *prefix, const char *name, const dureq_str *fields, size_t n);
void dq_plain_config_set(dq_buf *out, const char *prefix, const char *name, dureq_str field, dureq_str value);
void dq_plain_config_delete(dq_buf *out, const char *prefix, const char *name, const dureq_str *fields, size_t n);
void dq_plain_queue_rows(dq_buf *out, const dq_keys *k, unsigned shard, dureq_str cursor); /* HSCAN of a shard's, a page */
/* HSCAN of a hash, a page. */
void dq_plain_scan(dq_buf *out, const dq_keys *k, unsigned shard, const char *name, dureq_str suffix, dureq_str cursor,
                   int count);
/* HSCAN of what is counted of a minute, a page. */
void dq_plain_minute(dq_buf *out, const dq_keys *k, unsigned shard, int64_t minute, dureq_str cursor);
void dq_plain_meta(dq_buf *out, const char *prefix);  /* schema, scripts, envelope, shards */
void dq_plain_info(dq_buf *out, const char *section); /* NULL: the usual ones */
