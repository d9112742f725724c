/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz_reply.h"

/* Reading a page of counts is the file's own. */
#include "client/lanes.c" /* NOLINT(bugprone-suspicious-include) */

/* The answer of counts: where the next page begins, and numbers, whose sums end at their limits. */

static void read_counts(dq_reply page, dureq_str whole)
{
    dureq_counts sum = {.pending = INT64_MAX};
    int64_t from = 1;

    (void)whole;
    add_counts(&sum, page, &from);
    assert(from == dq_reply_int(dq_reply_first(page)) || dq_reply_len(page) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_with_reply(data, size, read_counts);
    return 0;
}
