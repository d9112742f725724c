/* SPDX-License-Identifier: Apache-2.0 */
#include "store/keys.h"

#include <string.h>

#include "redis/resp.h"

int dq_keys_init(dq_keys *k, dureq_str prefix, unsigned n_shards)
{
    *k = (dq_keys){.n_shards = n_shards};
    k->prefix = dq_memdup(prefix.ptr, prefix.len);
    k->base = dq_calloc(n_shards, sizeof(*k->base));
    k->base_len = dq_calloc(n_shards, sizeof(*k->base_len));
    if (!k->prefix || !k->base || !k->base_len)
        goto nomem;
    for (unsigned i = 0; i < n_shards; i++) {
        dq_buf name = {0};

        dq_buf_append_fmt(&name, "{%s:%u}:", k->prefix, i);
        k->base_len[i] = name.len;
        k->base[i] = dq_buf_take(&name);
        if (!k->base[i]) {
            dq_buf_deinit(&name);
            goto nomem;
        }
    }
    return 0;
nomem:
    dq_keys_deinit(k);
    return DUREQ_ENOMEM;
}

void dq_keys_deinit(dq_keys *k)
{
    for (unsigned i = 0; k->base && i < k->n_shards; i++)
        dq_free(k->base[i]);
    dq_free(k->base);
    dq_free(k->base_len);
    dq_free(k->prefix);
    *k = (dq_keys){0};
}

void dq_keys_arg(dq_buf *out, const dq_keys *k, unsigned shard, const char *name, dureq_str suffix)
{
    size_t name_len = strlen(name);

    dq_buf_append_char(out, '$');
    dq_buf_append_i64(out, (int64_t)(k->base_len[shard] + name_len + suffix.len));
    dq_buf_append(out, "\r\n", 2);
    dq_buf_append(out, k->base[shard], k->base_len[shard]);
    dq_buf_append(out, name, name_len);
    dq_buf_append_str(out, suffix);
    dq_buf_append(out, "\r\n", 2);
}

void dq_keys_arg_u64(dq_buf *out, const dq_keys *k, unsigned shard, const char *name, uint64_t suffix)
{
    char digits[DQ_DIGITS_MAX];
    char *first = dq_digits_before(digits + sizeof(digits), suffix);

    dq_keys_arg(out, k, shard, name, dureq_str_of(first, (size_t)(digits + sizeof(digits) - first)));
}

unsigned dq_keys_shard_of(const dq_keys *k, dureq_str key)
{
    return (unsigned)(dq_hash_bytes(key.ptr, key.len) % k->n_shards);
}
