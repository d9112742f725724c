/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz_reply.h"

/* Reading a row of a session is the file's own. */
#include "client/nodes.c" /* NOLINT(bugprone-suspicious-include) */

/* The answer of node_list: sessions with what their nodes said of themselves, in JSON. A process is named once, and its texts do not need the reply. */

static void read_rows(dq_reply rows, dureq_str whole)
{
    dq_arena arena = {0};
    dureq_node_list list = {.owner = &arena};
    size_t cap = 0;
    int rc = 0;

    (void)whole;
    for (size_t i = 0; rc == 0 && i < dq_reply_len(rows); i++)
        rc = add_session(&list, &cap, dq_reply_at(rows, i));
    assert(rc == 0 && list.n <= cap && list.n <= dq_reply_len(rows));
    for (size_t i = 0; i < list.n; i++) {
        for (size_t k = 0; k < i; k++)
            assert(!dq_str_eq(list.items[i].node_id, list.items[k].node_id) || list.items[i].pid != list.items[k].pid ||
                   !dq_str_eq(list.items[i].host, list.items[k].host));
        assert(list.items[i].host.len == 0 || dq_utf8_valid(list.items[i].host));
    }
    dq_arena_deinit(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_with_reply(data, size, read_rows);
    return 0;
}
