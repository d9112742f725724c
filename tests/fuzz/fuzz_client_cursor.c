/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"

#include <stdlib.h>

/* The cursor's parser is the file's own. */
#include "client/list.c" /* NOLINT(bugprone-suspicious-include) */

/* The cursor that a user brings back: what is taken names a place there is, and is written as it was read. */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = dq_memdup(data, size);
    place at = {.lane = 1};
    dureq_error err = {0};
    int rc;

    if (!text)
        abort();
    rc = cursor_parse(text, &at, 4, &err);
    if (rc < 0) {
        assert(rc == DUREQ_EINVAL && err.msg[0]);
    } else if (*text) {
        char again[128];
        place back = {.lane = 1};

        assert(at.shard < 4 && at.kind >= 0 && at.kind <= DQ_PAGE_HISTORY && at.lane >= 1);
        (void)snprintf(again, sizeof again, "%u.%d.%" PRIu32 ".%s", at.shard, at.kind, at.lane, at.inner);
        rc = cursor_parse(again, &back, 4, &err);
        assert(rc == 0 && back.shard == at.shard && back.kind == at.kind && back.lane == at.lane);
        assert(strcmp(back.inner, at.inner) == 0);
    }
    dq_free(text);
    return 0;
}
