/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* For targets that look at what a server answers: the input is a reply, when it is one. */

#include "fuzz.h"

#include "redis/resp.h"

#include <stdlib.h>

/* `look` gets the reply, and the part of the input that it is; both are gone behind it. */
static inline void fuzz_with_reply(const uint8_t *data, size_t size, void (*look)(dq_reply r, dureq_str whole))
{
    dq_resp_parser *p = NULL;
    dureq_error err = {0};
    size_t used = 0;
    dq_reply r;

    if (dq_resp_parser_create(&p) < 0)
        abort();
    if (dq_resp_parse(p, (const char *)data, size, &used, &r, &err) == 1)
        look(r, dureq_str_of((const char *)data, used));
    dq_resp_parser_destroy(p);
}
