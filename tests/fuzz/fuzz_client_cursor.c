/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"

#include <stdlib.h>

/* The cursor's parser is the file's own. */
#include "client/list.c" /* NOLINT(bugprone-suspicious-include) */

#define SHARDS 4

/* The cursor that a user brings back: what is taken names a structure there can be, and a place that fits where one is kept and is sent to
   a script as it is. */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    dureq_str rest = dureq_str_of((const char *)data, size);
    cursor_part p;

    while (rest.len > 0 && cursor_next(&rest, SHARDS, &p)) {
        assert(p.shard >= 0 && p.shard < SHARDS && p.place >= 0 && p.place < DQ_N_PLACES && p.group >= 0 &&
               p.group <= UINT32_MAX);
        assert(p.row.len < DQ_LIST_PLACE_MAX);
        for (size_t i = 0; i < p.row.len; i++)
            assert(isxdigit((unsigned char)p.row.ptr[i]) || strchr("-+.:infINFyYtTxXpPaA", p.row.ptr[i]));
    }
    return 0;
}
