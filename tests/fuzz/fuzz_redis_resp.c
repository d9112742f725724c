/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"

#include <stdlib.h>

#include "redis/resp.h"

/* A reply read at once and read byte by byte is the same reply. */

static void walk(dq_reply r, int depth)
{
    assert(depth < 64);
    (void)dq_reply_str(r);
    (void)dq_reply_int(r);
    (void)dq_reply_error(r, NULL);
    (void)dq_reply_lookup(r, "key");
    if (dq_reply_len(r) == 0)
        return;
    r = dq_reply_first(r);
    walk(r, depth + 1);
}

static int parse_whole(dq_resp_parser *p, const char *text, size_t size, size_t *ret_used, dq_resp_type *ret_type)
{
    dureq_error err;
    dq_reply reply;
    int rc = dq_resp_parse(p, text, size, ret_used, &reply, &err);

    if (rc != 1)
        return rc;
    assert(*ret_used > 0 && *ret_used <= size);
    *ret_type = dq_reply_type(reply);
    walk(reply, 0);
    return 1;
}

static int parse_slowly(dq_resp_parser *p, const char *text, size_t size, size_t *ret_used, dq_resp_type *ret_type)
{
    int rc = 0;

    for (size_t len = 0; len <= size && rc == 0; len++)
        rc = parse_whole(p, text, len, ret_used, ret_type);
    return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    dq_resp_parser *whole = NULL, *slow = NULL;

    if (dq_resp_parser_create(&whole) < 0 || dq_resp_parser_create(&slow) < 0)
        abort();
    for (;;) {
        size_t used[2] = {0};
        dq_resp_type type[2] = {DQ_RESP_NIL, DQ_RESP_NIL};
        int rc = parse_whole(whole, text, size, &used[0], &type[0]);

        if (size <= 512) {
            int slow_rc = parse_slowly(slow, text, size, &used[1], &type[1]);

            assert(slow_rc == rc && (rc != 1 || (used[0] == used[1] && type[0] == type[1])));
        }
        if (rc != 1)
            break;
        text += used[0];
        size -= used[0];
        dq_resp_parser_reset(slow);
    }
    dq_resp_parser_destroy(whole);
    dq_resp_parser_destroy(slow);
    return 0;
}
