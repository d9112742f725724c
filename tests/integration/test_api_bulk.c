/* SPDX-License-Identifier: Apache-2.0 */
/* What is done to many jobs for somebody who does not wait for it to the end. */
#include "api/operator.h"
#include "base/buf.h"
#include "test_api.h"

#define N_JOBS 2500

/* Somebody who asks, and is gone after so many looks. */
typedef struct caller {
    dq_api_sink sink;
    bool (*is_gone)(dq_api_sink *s); /* NULL: after n_looks */
    int n_looks;
    int status;
    char location[96];
    dq_buf body;
} caller;

static void begin(dq_api_sink *s, const dq_api_response *head, int64_t length)
{
    caller *k = dq_container_of(s, caller, sink);

    (void)length;
    k->status = head->status;
    memcpy(k->location, head->location, sizeof k->location);
}

static void take(dq_api_sink *s, dureq_str part)
{
    dq_buf_append_str(&dq_container_of(s, caller, sink)->body, part);
}

static void end(dq_api_sink *s, bool is_whole)
{
    (void)s;
    (void)is_whole;
}

static bool is_gone(dq_api_sink *s)
{
    return dq_container_of(s, caller, sink)->n_looks-- <= 0;
}

static dq_api_operator *operations; /* of the server that is asked; NULL: there is none */

static void ask(caller *k, const char *path, const char *query, const char *body)
{
    dq_api_request req = {.method = "POST",
                          .path = path,
                          .query = query,
                          .body = dureq_str_from(body),
                          .actor = "ci",
                          .role = DQ_API_OPERATOR,
                          .operations = operations};

    k->sink = (dq_api_sink){.begin = begin, .write = take, .end = end, .is_gone = k->is_gone ? k->is_gone : is_gone};
    dq_buf_clear(&k->body);
    dq_api_run(rig.client, &req, &k->sink);
    EXPECT_FALSE(dq_buf_failed(&k->body));
}

static void enqueue_many(void)
{
    DQ_BUF_AUTO lines = {0};

    for (int i = 0; i < N_JOBS; i++)
        dq_buf_append_text(&lines, "{\"task_type\":\"t\"}\n");
    EXPECT_I64(200, api_ndjson("/api/jobs", lines.ptr));
    EXPECT_I64(N_JOBS, rig_counts().pending);
}

SCENARIO(a_bulk_call_stops_when_nobody_waits_for_it_and_the_audit_says_how_far_it_came)
{
    caller k = {.n_looks = 1};
    char done[40];
    int64_t n;

    enqueue_many();
    ask(&k, "/api/jobs/bulk/cancel", "type=t", "{}");
    n = rig_counts().cancelled;
    EXPECT_TRUE(n > 0 && n < N_JOBS);
    EXPECT_I64(503, k.status);
    EXPECT_HAS("\"code\":\"stopped\"", k.body.ptr);
    (void)snprintf(done, sizeof done, "after %lld jobs", (long long)n);
    EXPECT_HAS(done, k.body.ptr);
    EXPECT_I64(200, api("GET", "/api/audit", "target=cancel", NULL));
    EXPECT_HAS("\"actor\":\"ci\",\"action\":\"bulk.stop\"", api_body());
    (void)snprintf(done, sizeof done, "\"detail\":\"%lld jobs: ", (long long)n);
    EXPECT_HAS(done, api_body());
    k.n_looks = 1000; /* who stays has the rest done */
    ask(&k, "/api/jobs/bulk/cancel", "type=t", "{}");
    EXPECT_I64(200, k.status);
    EXPECT_I64(N_JOBS, rig_counts().cancelled);
    dq_buf_deinit(&k.body);
}

SCENARIO(a_look_at_what_would_be_done_stops_and_leaves_no_trace)
{
    caller k = {0};

    enqueue_many();
    ask(&k, "/api/jobs/bulk/cancel", "type=t&dry_run=1", "{}");
    EXPECT_I64(503, k.status);
    EXPECT_I64(N_JOBS, rig_counts().pending);
    EXPECT_I64(200, api("GET", "/api/audit", NULL, NULL));
    EXPECT_TEXT("[]", api_body());
    dq_buf_deinit(&k.body);
}

static bool is_slow(dq_api_sink *s)
{
    int64_t from_ms = rig_mono_ms();

    (void)s;
    RIG_UNTIL(rig_mono_ms() > from_ms + 2000); /* so long a request works itself */
    return false;
}

static bool has_ended(const char *location)
{
    EXPECT_I64(200, api("GET", location, NULL, NULL));
    return strcmp("running", api_text("status")) != 0;
}

SCENARIO(a_bulk_call_that_takes_long_goes_on_as_an_operation)
{
    static const struct {
        const char *query, *body;
    } rows[] = {{"type=t&status=pending", "{\"reason\":\"too many\"}"}, {NULL, "{\"status\":\"pending\"}"}};
    const dq_log log = {0};

    for (size_t i = 0; i < DQ_ARRAY_LEN(rows); i++) {
        caller k = {.is_gone = is_slow};

        enqueue_many();
        RIG_OK(dq_api_operator_create(rig.client, &log, &operations, &err));
        ask(&k, "/api/jobs/bulk/cancel", rows[i].query, rows[i].body);
        EXPECT_NOTE("%s", k.body.ptr);
        EXPECT_I64(202, k.status);
        EXPECT_HAS("\"status\":\"pending\"", k.body.ptr);
        RIG_UNTIL_MS(3 * RIG_LIMIT_MS, has_ended(k.location));
        EXPECT_TEXT("completed", api_text("status"));
        EXPECT_TRUE(api_i64("affected") > 0 && api_i64("affected_before") > 0);
        EXPECT_I64(N_JOBS, api_i64("affected_before") + api_i64("affected"));
        EXPECT_I64(0, rig_counts().pending);
        EXPECT_I64((int64_t)(i + 1) * N_JOBS, rig_counts().cancelled);
        dq_api_operator_destroy(operations);
        operations = NULL;
        dq_buf_deinit(&k.body);
    }
}

RIG_MAIN()
