/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"

#include "redis/url.h"

/* What is accepted has a place to connect to and can be described; a copy is described the same. */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    dureq_str text = dureq_str_of((const char *)data, size);
    DQ_BUF_AUTO shown = {0};
    DQ_BUF_AUTO shown_copy = {0};
    dq_redis_url url = {0}, copy = {0};
    dureq_error err;
    int rc = dq_redis_url_parse(text, &url, &err);

    if (rc < 0)
        return 0;
    assert(url.host && url.host[0] && url.port >= 0 && url.port <= 65535 && url.db >= 0);
    dq_redis_url_describe(&url, &shown);
    assert(shown.len > 0);
    rc = dq_redis_url_dup(&url, &copy);
    assert(rc == 0);
    dq_redis_url_describe(&copy, &shown_copy);
    assert(dq_str_eq(dq_buf_str(&shown), dq_buf_str(&shown_copy)));
    dq_redis_url_deinit(&copy);
    dq_redis_url_deinit(&url);
    return 0;
}
