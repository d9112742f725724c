/* SPDX-License-Identifier: Apache-2.0 */
#include "test_api.h"

#include "json/json.h"

#define TEXTS 16

static dq_api_response last;
static dq_json doc;

static char *room(void)
{
    static char texts[TEXTS][512];
    static unsigned next;

    return texts[next++ % TEXTS];
}

/* One document a line becomes an array of them. */
static void lines_to_array(dq_buf *body)
{
    dq_buf out = {0};
    dureq_str rest = dq_buf_str(body);

    dq_buf_append_char(&out, '[');
    while (rest.len) {
        dq_buf_append_text(&out, out.len > 1 ? "," : "");
        dq_buf_append_str(&out, dq_str_cut(&rest, '\n'));
    }
    dq_buf_append_char(&out, ']');
    dq_buf_deinit(body);
    *body = out;
}

int api_of(const dq_api_request *req)
{
    dq_json_deinit(&doc);
    dq_api_response_deinit(&last);
    dq_api_handle(rig.client, req, &last);
    if (strcmp(last.content_type, "application/x-ndjson") == 0)
        lines_to_array(&last.body);
    else
        EXPECT_TEXT("application/json", last.content_type);
    EXPECT_RC(0, dq_json_parse(dq_buf_str(&last.body), &doc, NULL));
    return last.status;
}

int api(const char *method, const char *path, const char *query, const char *body)
{
    return api_of(&(dq_api_request){.method = method, .path = path, .query = query, .body = dureq_str_from(body)});
}

int api_ndjson(const char *path, const char *body)
{
    return api_of(
        &(dq_api_request){.method = "POST", .path = path, .body = dureq_str_from(body), .content_type = "application/x-ndjson"});
}

const char *api_body(void)
{
    return last.body.ptr ? last.body.ptr : "";
}

const dq_api_response *api_response(void)
{
    return &last;
}

const char *api_text(const char *name)
{
    DQ_BUF_AUTO text = {0};
    char *out = room();
    dq_json_ref v = dq_json_type_of(&doc, 0) == DQ_JSON_OBJECT ? dq_json_member(&doc, 0, name) : DQ_JSON_NONE;

    if (v != DQ_JSON_NONE && dq_json_type_of(&doc, v) == DQ_JSON_STRING)
        EXPECT_RC(0, dq_json_string(&doc, v, &text));
    (void)snprintf(out, 512, "%.*s", (int)text.len, text.ptr ? text.ptr : "");
    return out;
}

int64_t api_i64(const char *name)
{
    dq_json_ref v = dq_json_type_of(&doc, 0) == DQ_JSON_OBJECT ? dq_json_member(&doc, 0, name) : DQ_JSON_NONE;
    int64_t n = INT64_MIN;

    if (v != DQ_JSON_NONE)
        EXPECT_RC(0, dq_json_i64(&doc, v, &n));
    return n;
}

const char *api_path(const char *fmt, const char *arg)
{
    const char *at = strstr(fmt, "%s");
    char *out = room();

    (void)snprintf(out, 512, "%.*s%s%s", (int)(at - fmt), fmt, arg, at + 2);
    return out;
}
