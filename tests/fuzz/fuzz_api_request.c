/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"

#include <stdlib.h>

#include "api/api.h"
#include "json/json.h"

/* A request as its first line and its body: "METHOD /path?query", a line break, the body. There is no client behind it: what is well formed ends with a
   refusal for that. Each answer has a status that HTTP has and a body that is JSON. */

/* Those that look at the client before they look whether there is one. */
static bool needs_client(const char *path)
{
    return strncmp(path, "/api/", 5) != 0 || strstr(path, "stats") || strstr(path, "redis") || strstr(path, "audit") ||
           strstr(path, "events") || strstr(path, "health") || strstr(path, "%") || strstr(path, "history");
}

static void ask(char *text, dureq_str body)
{
    dq_api_request req = {.method = text, .body = body};
    dq_api_response res;
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
    dq_api_handle(NULL, &req, &res);
    assert(res.status >= 200 && res.status < 600 && (res.code == 0) == (res.status < 400));
    assert(res.body.len == 0 || strcmp(res.content_type, "application/json") != 0 || dq_json_valid(dq_buf_str(&res.body)));
    dq_api_response_deinit(&res);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *end = size ? memchr(data, '\n', size) : NULL;
    size_t line = end ? (size_t)(end - data) : size;
    char *text = dq_memdup(data, line);

    if (!text)
        abort();
    ask(text, end ? dureq_str_of((const char *)end + 1, size - line - 1) : dureq_str_of("", 0));
    dq_free(text);
    return 0;
}
