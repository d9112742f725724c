/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz_reply.h"

/* Taking a channel's name apart is the file's own. */
#include "store/subscribe.c" /* NOLINT(bugprone-suspicious-include) */

/* A message that came by Pub/Sub: what is handed on is of a shard there is, of a channel of this prefix, and lies within the push. */

static dureq_str whole;
static unsigned n_messages;

static void within(dureq_str part)
{
    assert(part.len == 0 || (part.ptr >= whole.ptr && part.ptr + part.len <= whole.ptr + whole.len));
}

static void on_message(dq_store *s, unsigned shard, dureq_str name, dureq_str text, void *userdata)
{
    (void)userdata;
    assert(shard < s->keys.n_shards);
    within(name);
    within(text);
    n_messages++;
}

static void take_push(dq_reply r, dureq_str all)
{
    dq_store s = {.cb = {.on_message = on_message}, .has_keys = true};

    if (dq_keys_init(&s.keys, DQ_STR_LIT("dq"), 4) < 0)
        abort();
    whole = all;
    n_messages = 0;
    dq_subscribe_push(&s, r);
    assert(n_messages <= 1);
    dq_keys_deinit(&s.keys);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_with_reply(data, size, take_push);
    return 0;
}
