/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"

#include <stdlib.h>

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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    dq_store s = {.cb = {.on_message = on_message}, .has_keys = true};
    dq_resp_parser *p = NULL;
    dureq_error err = {0};
    size_t used = 0;
    dq_reply r;

    if (dq_resp_parser_create(&p) < 0 || dq_keys_init(&s.keys, DQ_STR_LIT("dq"), 4) < 0)
        abort();
    n_messages = 0;
    if (dq_resp_parse(p, (const char *)data, size, &used, &r, &err) == 1) {
        whole = dureq_str_of((const char *)data, used);
        dq_subscribe_push(&s, r);
    }
    assert(n_messages <= 1);
    dq_keys_deinit(&s.keys);
    dq_resp_parser_destroy(p);
    return 0;
}
