/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* How keys are put together: prefix, shard, name, suffix. The names stand where calls are written; docs/redis-keys.md lists
   them, and a test compares. Immutable once made: any thread may read. */

#include "base/buf.h"

typedef struct dq_keys {
    char *prefix;
    unsigned n_shards;
    char **base; /* "{prefix:shard}:" of each shard */
    size_t *base_len;
} dq_keys;

int dq_keys_init(dq_keys *k, dureq_str prefix, unsigned n_shards); /* DUREQ_ENOMEM */
void dq_keys_deinit(dq_keys *k);
/* As one RESP argument: base of the shard, then `name` ("sh", "due:h" ...), then `suffix` (may be empty). */
void dq_keys_arg(dq_buf *out, const dq_keys *k, unsigned shard, const char *name, dureq_str suffix);
void dq_keys_arg_u64(dq_buf *out, const dq_keys *k, unsigned shard, const char *name, uint64_t suffix);
unsigned dq_keys_shard_of(const dq_keys *k, dureq_str key); /* home shard of a unique key, request id, limited queue */
