/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Requests to the API resources, over the rig's client. */

#include "test_rig.h"

#include "api/api.h"

/* Status of the answer; its body (NUL-ended) and the rest stay until the next request. query and body may be NULL. */
int api(const char *method, const char *path, const char *query, const char *body);
int api_ndjson(const char *path, const char *body);
int api_of(const dq_api_request *req);
const char *api_body(void);
const dq_api_response *api_response(void);
/* A text member of the answer, "" when it has none; valid until the next but 15. */
const char *api_text(const char *name);
int64_t api_i64(const char *name); /* INT64_MIN when it has none */
/* "/api/jobs/<id>/cancel"; valid until the next but 15. */
const char *api_path(const char *fmt, const char *arg);

/* A request that is refused: status, code word, and a part of its sentence. */
#define API_FAILS(status, word, part, ...)      \
    do {                                        \
        EXPECT_I64((status), api(__VA_ARGS__)); \
        EXPECT_TEXT((word), api_text("code"));  \
        EXPECT_HAS((part), api_text("error"));  \
    } while (0)
