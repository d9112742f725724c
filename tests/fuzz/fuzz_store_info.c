/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"

/* Its readers of INFO are its own. */
#include "store/open.c" /* NOLINT(bugprone-suspicious-include) */

/* What a server says of itself, and what other nodes say on channels: a field's value lies within the text, a refusal says why. */

static void read_field(dureq_str info, const char *name)
{
    dureq_str v = info_field(info, name);

    assert(v.len == 0 || (v.ptr > info.ptr && v.ptr + v.len <= info.ptr + info.len));
    assert(v.len == 0 || !memchr(v.ptr, '\n', v.len));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    dureq_str info = dureq_str_of((const char *)data, size);
    dq_log quiet = {0};
    dq_store s = {.log = &quiet};
    dureq_error err = {0};
    int rc;

    read_field(info, "redis_version");
    read_field(info, "maxmemory");
    rc = check_server(info, &err);
    assert(rc == 0 || (err.code == rc && err.msg[0]));
    err = (dureq_error){0};
    rc = check_memory(&s, info, &err);
    assert(rc == 0 || (err.code == rc && err.msg[0]));
    assert(s.maxmemory >= 0);
    return 0;
}
