/* SPDX-License-Identifier: Apache-2.0 */
/* What all resources share: paths, methods, parameters, bodies, error answers. */
#include "test_api.h"

#include "base/buf.h"

#include <stdlib.h>

SCENARIO(an_unknown_path_is_404)
{
    static const char *const paths[] = {"/",
                                        "",
                                        "/api",
                                        "/api/",
                                        "/api/job",
                                        "/api/jobs/",
                                        "/api/jobs//cancel",
                                        "/api/jobs/x/y",
                                        "/api/jobs/x/cancel/",
                                        "/api/jobs/%zz",
                                        "/api/jobs/%0",
                                        "/api/jobs/a%00b",
                                        "api/jobs",
                                        "/API/jobs"};

    for (size_t i = 0; i < DQ_ARRAY_LEN(paths); i++) {
        EXPECT_NOTE("%s", paths[i]);
        API_FAILS(404, "not_found", "no such path", "GET", paths[i], NULL, NULL);
    }
}

/* The i-th "GET /api/jobs/{id}" with x for the variable; false when there are no more. */
static bool split_route(size_t i, char *method, char *path)
{
    DQ_BUF_AUTO text = {0};
    const char *route, *open, *close;
    char pattern[120];

    if (!dq_api_route_text(i, &text))
        return false;
    route = text.ptr;
    open = strchr(route, '{');
    close = strchr(route, '}');
    EXPECT_NOTE("%s", route);
    EXPECT_I64(2, sscanf(route, "%15s %119s", method, pattern));
    if (open)
        (void)snprintf(path, 128, "%.*sx%s", (int)(open - strchr(route, ' ') - 1), pattern, close + 1);
    else
        (void)snprintf(path, 128, "%s", pattern);
    return true;
}

SCENARIO(a_known_path_with_another_method_is_405)
{
    char method[16], path[128];
    size_t n = 0;

    for (; split_route(n, method, path); n++) {
        API_FAILS(405, "method_not_allowed", "does not take this method", "PATCH", path, NULL, NULL);
        API_FAILS(405, "method_not_allowed", "does not take this method", "get", path, NULL, NULL);
    }
    EXPECT_TRUE(n > 40);
}

SCENARIO(every_route_refuses_a_parameter_it_does_not_know_before_it_does_anything)
{
    char method[16], path[128];
    dureq_job_id id = rig_enqueue("t", "1", NULL);

    for (size_t n = 0; split_route(n, method, path); n++) {
        API_FAILS(400, "invalid", "unknown parameter 'colour' (takes ", method, path, "colour=red", NULL);
    }
    API_FAILS(400, "invalid", "unknown parameter 'because'", "POST", api_path("/api/jobs/%s/cancel", id.text), "because=x", NULL);
    EXPECT_I64(DUREQ_JOB_PENDING, rig_state(id.text));
}

SCENARIO(bad_parameters_are_named_with_what_they_take)
{
    static const struct {
        const char *path, *query, *said;
    } rows[] = {
        {"/api/jobs", "limit=0", "parameter 'limit' takes a whole number from 1 to 1000"},
        {"/api/jobs", "limit=1001", "parameter 'limit' takes a whole number from 1 to 1000"},
        {"/api/jobs", "limit=", "parameter 'limit' takes a whole number"},
        {"/api/jobs", "limit=5x", "parameter 'limit' takes a whole number"},
        {"/api/jobs", "limit=99999999999999999999", "parameter 'limit' takes a whole number"},
        {"/api/jobs", "limit=2&limit=3", "parameter 'limit' is given twice"},
        {"/api/jobs", "offset=-1", "parameter 'offset' takes a whole number from 0 to 10000"},
        {"/api/jobs", "offset=10001", "parameter 'offset' takes a whole number from 0 to 10000"},
        {"/api/jobs", "status=done", "parameter 'status' takes pending, scheduled, running, retrying, paused"},
        {"/api/jobs", "status=dead,,", "parameter 'status' takes"},
        {"/api/jobs", "sort=up", "parameter 'sort' takes newest or oldest"},
        {"/api/jobs", "since=yesterday", "parameter 'since' takes an RFC 3339 time such as 2026-11-23T20:00:00Z"},
        {"/api/jobs", "until=2026-13-01T00:00:00Z", "parameter 'until' takes an RFC 3339 time"},
        {"/api/jobs", "cursor=foo", "cursor is not one that a page gave"},
        {"/api/jobs", "cursor=0.99.1.x", "cursor is not one that a page gave"},
        {"/api/jobs", "payload=maybe", "parameter 'payload' takes 1 or 0"},
        {"/api/jobs", "type=%zz", "query parameter 'type' is badly encoded"},
        {"/api/dlq", "status=dead", "unknown parameter 'status'"},
        {"/api/stats/daily", "days=91", "parameter 'days' takes a whole number from 1 to 90"},
        {"/api/audit", "limit=0", "parameter 'limit' takes a whole number from 1 to 1000"},
        {"/api/redis/info", "section=nonsense", "parameter 'section' takes a section of INFO such as memory, not 'nonsense'"},
    };

    for (size_t i = 0; i < DQ_ARRAY_LEN(rows); i++) {
        EXPECT_NOTE("%s?%s", rows[i].path, rows[i].query);
        API_FAILS(400, "invalid", rows[i].said, "GET", rows[i].path, rows[i].query, NULL);
    }
}

SCENARIO(more_parameters_than_there_can_be_are_refused)
{
    DQ_BUF_AUTO query = {0};

    for (int i = 0; i < 40; i++)
        dq_buf_append_fmt(&query, "&p%d=1", i);
    API_FAILS(400, "invalid", "more than 32 query parameters", "GET", "/api/jobs", query.ptr, NULL);
    EXPECT_I64(200, api("GET", "/api/jobs", "&&limit=5&", NULL));
}

SCENARIO(a_query_is_decoded)
{
    dureq_job_options o = dureq_job_options_init();

    o.unique_key = DQ_STR_LIT("a b&c=d+e/\xc3\xbc");
    (void)rig_enqueue("t", "1", &o);
    EXPECT_I64(200, api("GET", "/api/jobs", "unique_key=a+b%26c%3Dd%2Be/%C3%BC", NULL));
    EXPECT_HAS("\"task_type\":\"t\"", api_body());
    EXPECT_I64(200, api("GET", "/api/unique-keys/a%20b%26c=d+e%2F%c3%bc", NULL, NULL));
    EXPECT_HAS("\"exists\":true", api_body());
}

SCENARIO(bad_bodies_are_told_with_their_place)
{
    static const struct {
        const char *method, *path, *body, *said;
    } rows[] = {
        {"PUT", "/api/queues/q", "{\"weight\":\n 1,}", "line 2, column 4: "},
        {"PUT", "/api/queues/q", "[1]", "the body must be a JSON object"},
        {"PUT", "/api/queues/q", "{\"color\":1}",
         "unknown field 'color' (takes weight priorities max_len retention retry_policy)"},
        {"PUT", "/api/queues/q", "{\"weight\":0}", "field 'weight' takes a whole number from 1 to 1000"},
        {"PUT", "/api/queues/q", "{\"weight\":\"2\"}", "field 'weight' takes a whole number from 1 to 1000"},
        {"PUT", "/api/queues/q", "{\"max_len\":-1}", "field 'max_len' takes a whole number from 0"},
        {"PUT", "/api/queues/q", "{\"priorities\":[7,4]}", "field 'priorities' takes [lowest, highest], each from 1 to 10"},
        {"PUT", "/api/queues/q", "{\"retention\":\"-5s\"}", "field 'retention' takes a duration such as \"72h\""},
        {"PUT", "/api/queues/q", "{\"retention\":5}", "field 'retention' takes a duration"},
        {"PUT", "/api/queues/q", "{\"retry_policy\":{\"jitter\":2}}", "field 'retry_policy.jitter' takes a number from 0 to 1"},
        {"PUT", "/api/queues/a b", "{}", "queue"},
        {"POST", "/api/jobs", "17", "the body must be a job spec, an array of them, or one a line (NDJSON)"},
        {"POST", "/api/jobs", "", "line 1, column 1: "},
        {"POST", "/api/jobs/bulk/cancel", "{\"id\":[]}", "unknown field 'id' (takes ids status reason force)"},
        {"POST", "/api/jobs/bulk/cancel", "{}",
         "give 'ids' (an array of job ids), 'status' (a job status), or filters as parameters"},
        {"POST", "/api/jobs/bulk/cancel", "{\"status\":\"all\"}", "field 'status' takes a job status"},
        {"POST", "/api/jobs/bulk/cancel", "{\"ids\":[1]}", "field 'ids' takes an array of job ids"},
        {"POST", "/api/jobs/bulk/cancel", "{\"ids\":\"x\"}", "field 'ids' takes an array of job ids"},
        {"POST", "/api/jobs/x/reschedule", "{\"at\":1}", "unknown field 'at' (takes run_at delay)"},
        {"POST", "/api/jobs/x/reschedule", "{}", "give either 'run_at' (a time) or 'delay' (a duration)"},
        {"POST", "/api/jobs/x/reschedule", "{\"run_at\":\"1969-01-01T00:00:00Z\"}", "field 'run_at' takes an RFC 3339 time"},
        {"POST", "/api/jobs/x/reschedule", "{\"delay\":\"-1s\"}", "field 'delay' takes a duration"},
        {"POST", "/api/jobs/x/reschedule", "{\"delay\":5}", "field 'delay' takes a duration"},
        {"PUT", "/api/jobs/x/payload", "{}", "field 'payload' is missing"},
        {"PUT", "/api/jobs/x/payload", "{\"payload\":1,\"x\":2}",
         "unknown field 'x' (takes payload payload_base64 content_type)"},
    };

    for (size_t i = 0; i < DQ_ARRAY_LEN(rows); i++) {
        EXPECT_NOTE("%s %s", rows[i].path, rows[i].body);
        API_FAILS(400, "invalid", rows[i].said, rows[i].method, rows[i].path, NULL, rows[i].body);
    }
}

SCENARIO(each_code_has_its_status_and_word)
{
    static const struct {
        int code, status;
        const char *word;
    } rows[] = {
        {DUREQ_EINVAL, 400, "invalid"},
        {DUREQ_EUNSUPPORTED, 400, "unsupported"},
        {DUREQ_EPERM, 403, "not_allowed"},
        {DUREQ_ENOTFOUND, 404, "not_found"},
        {DUREQ_ECONFLICT, 409, "wrong_state"},
        {DUREQ_EDUPLICATE, 409, "duplicate"},
        {DUREQ_EPAUSED, 409, "paused"},
        {DUREQ_ETOOLARGE, 413, "too_large"},
        {DUREQ_ELIMIT, 429, "limit"},
        {DUREQ_ENOMEM, 500, "out_of_memory"},
        {DUREQ_ESCHEMA, 500, "internal"},
        {DUREQ_EUNAVAILABLE, 503, "server_away"},
        {DUREQ_ELOADING, 503, "server_loading"},
        {DUREQ_EREADONLY, 503, "server_readonly"},
        {DUREQ_EBUSY, 503, "server_busy"},
        {DUREQ_EREDISOOM, 503, "server_out_of_memory"},
        {DUREQ_ENOWRITE, 503, "server_takes_no_writes"},
        {DUREQ_EAUTH, 503, "server_auth"},
        {DUREQ_ETIMEOUT, 503, "timeout"},
        {DUREQ_EUNKNOWN, 503, "outcome_unknown"},
        {0, 200, "internal"},
    };

    for (size_t i = 0; i < DQ_ARRAY_LEN(rows); i++) {
        EXPECT_NOTE("%s", dureq_errcode_name(rows[i].code));
        EXPECT_I64(rows[i].status, dq_api_status_of(rows[i].code));
        EXPECT_TEXT(rows[i].word, dq_api_code_word(rows[i].code));
    }
}

/* "| `POST /api/jobs/{id}/pause`, `POST /api/jobs/{id}/resume` | ..." */
SCENARIO(the_document_names_every_route)
{
    const char *source = getenv("DUREQ_TEST_SOURCE");
    DQ_BUF_AUTO path = {0};
    DQ_BUF_AUTO text = {0};
    FILE *f;

    dq_buf_append_fmt(&path, "%s/docs/api.md", source ? source : ".");
    f = fopen(path.ptr, "r");
    EXPECT_TRUE(f != NULL);
    text.len = fread(dq_buf_reserve(&text, 65536), 1, 65535, f);
    (void)fclose(f);
    dq_buf_append_char(&text, '\0');
    for (size_t n = 0;; n++) {
        DQ_BUF_AUTO quoted = {0};

        dq_buf_append_char(&quoted, '`');
        if (!dq_api_route_text(n, &quoted))
            break;
        dq_buf_append_char(&quoted, '`');
        EXPECT_HAS(quoted.ptr, text.ptr);
    }
}

SCENARIO(a_server_that_is_away_is_503)
{
    dureq_client_options o = dureq_client_options_init();
    dureq_client *client = rig.client, *other = NULL;

    o.redis_url = test_redis_url(rig.server);
    o.prefix = rig.prefix;
    o.timeout_ms = 200;
    RIG_OK(dureq_client_create(&o, &other, &err));
    rig.client = other;
    test_redis_freeze(rig.server);
    API_FAILS(503, "timeout", "", "GET", "/api/queues", NULL, NULL);
    API_FAILS(503, "timeout", "", "GET", "/api/health", NULL, NULL);
    test_redis_thaw(rig.server);
    rig.client = client;
    dureq_client_destroy(other);
    EXPECT_I64(200, api("GET", "/api/health", NULL, NULL));
    EXPECT_TEXT("ok", api_text("status"));
}

RIG_MAIN()
