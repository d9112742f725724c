/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"

#include <stdlib.h>

#include "api/api.h"
#include "json/json.h"

/* A request as its first line and its body: "METHOD /path?query", a line break, the body. There is no client behind it: what is well formed ends with a
   refusal for that. Each answer has a status that HTTP has and a body that is JSON: also of the same body as NDJSON, and, with NOMEM before the request,
   when the n-th allocation fails, for each n. */

enum { NOMEM_MAX = 2000 };

/* Those that look at the client before they look whether there is one. */
static bool needs_client(const char *path)
{
    return strncmp(path, "/api/", 5) != 0 || strstr(path, "stats") || strstr(path, "redis") || strstr(path, "audit") ||
           strstr(path, "events") || strstr(path, "health") || strstr(path, "%") || strstr(path, "history") ||
           strstr(path, "overview") || strstr(path, "doctor") || strstr(path, "progress") || strstr(path, "token");
}

/* n: the allocation that fails; 0: none. True when it was asked for. */
static bool ask_as(dq_api_request *req, const char *content_type, long n)
{
    dq_api_response res;
    bool failed;

    req->content_type = content_type;
    dq_alloc_fail_at(n);
    dq_api_handle(NULL, req, &res);
    failed = n > 0 && dq_alloc_count() >= n;
    dq_alloc_fail_at(0);
    assert(res.status >= 200 && res.status < 600 && (res.code == 0) == (res.status < 400));
    assert(res.body.len == 0 || strcmp(res.content_type, "application/json") != 0 || dq_json_valid(dq_buf_str(&res.body)));
    dq_api_response_deinit(&res);
    return failed;
}

static void ask(char *text, dureq_str body, bool sweeps)
{
    static const char *const types[] = {NULL, "application/x-ndjson"};
    dq_api_request req = {.method = text, .body = body};
    char *path = strchr(text, ' '), *query;

    if (!path)
        return;
    *path++ = '\0';
    query = strchr(path, '?');
    if (query)
        *query++ = '\0';
    if (needs_client(path))
        return;
    req.path = path;
    req.query = query;
    for (size_t i = 0; i < DQ_ARRAY_LEN(types); i++)
        for (long n = sweeps; n < NOMEM_MAX; n++)
            if (!ask_as(&req, types[i], n))
                break;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *end = size ? memchr(data, '\n', size) : NULL;
    size_t line = end ? (size_t)(end - data) : size;
    char *text = dq_memdup(data, line);
    bool sweeps;

    if (!text)
        abort();
    sweeps = strncmp(text, "NOMEM ", 6) == 0;
    ask(text + (sweeps ? 6 : 0), end ? dureq_str_of((const char *)end + 1, size - line - 1) : dureq_str_of("", 0), sweeps);
    dq_free(text);
    return 0;
}
